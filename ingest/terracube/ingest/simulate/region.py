"""The region: everything that is true, as a pure function of a seed and a few parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer

from terracube.core.digest import sha256_of
from terracube.core.errors import InputError
from terracube.ingest.simulate.deformation import Deformation
from terracube.ingest.simulate.landscape import LakeMaps, draw_lake, draw_land
from terracube.ingest.simulate.parameters import Clouds, Noise, Radar, describe_parameters
from terracube.ingest.simulate.sensor import SpectralBand, Sun, band_of, sun_position, to_date
from terracube.ingest.simulate.surface import Cover, LandMaps, green_shares, land_reflectance
from terracube.ingest.simulate.water import water_reflectance

VERSION = 1
"""Raised whenever the same seed gives other numbers."""
PIXEL = 10
EPSG = 32633
_LEFT, _TOP = 546_000, 5_160_000
_SIDE_STEP = 30


@dataclass(frozen=True)
class Tile:
    """One of the two overlapping tiles that scenes are cut into; both have the region's width."""

    name: str
    """Shaped like a tile of the military grid, but of a square that does not exist."""
    first_row: int
    """Row of the region (10 m grid) at which the tile begins."""
    rows: int
    """Rows on the 10 m grid, a multiple of 6 so that all three grids nest."""

    @property
    def slice(self) -> slice:
        """The tile's rows of the region."""
        return slice(self.first_row, self.first_row + self.rows)


@dataclass(frozen=True)
class Region:
    """A simulated region: land, a lake, moving ground; the truth behind scenes and interferograms.

    Truth is what the methods give; :func:`write_scenes` and :func:`write_interferograms` add the imperfections of
    ``noise``, ``clouds`` and ``radar``. Equal regions give equal bits.

    Parameters
    ----------
    seed : int
        Any integer >= 0.
    size : int
        Pixels of 10 m per side; a multiple of 30, at least 90.

    Examples
    --------
    >>> region = Region(seed=3, size=90)
    >>> region.reflectance("nir", "2023-07-14").shape
    (90, 90)
    >>> [tile.name for tile in region.tiles]
    ['33TSM', '33TSL']
    """

    seed: int = 1
    size: int = 360
    noise: Noise = field(default_factory=Noise)
    clouds: Clouds = field(default_factory=Clouds)
    deformation: Deformation = field(default_factory=Deformation)
    radar: Radar = field(default_factory=Radar)

    def __post_init__(self) -> None:
        if self.size < 90 or self.size % _SIDE_STEP:
            raise InputError(
                "the grids of 10, 20 and 60 m would not nest",
                where="Region.size",
                expected=f"a multiple of {_SIDE_STEP}, at least 90",
                got=str(self.size),
            )
        if self.seed < 0:
            raise InputError("negative seed", where="Region.seed", expected=">= 0", got=str(self.seed))

    def as_dict(self) -> dict[str, Any]:
        """Give all parameters as JSON values."""
        return asdict(self)

    @property
    def digest(self) -> str:
        """Fingerprint of the parameters and of the version of the simulator."""
        return sha256_of({"version": VERSION, "region": self.as_dict()})

    @property
    def epsg(self) -> int:
        """Code of the coordinate system: UTM zone 33 north."""
        return EPSG

    def transform(self, resolution: int = PIXEL, *, first_row: int = 0) -> Affine:
        """Give the grid of pixel size ``resolution`` (m) that starts at a row of the 10 m grid.

        The origin follows the rule of Sentinel-2's tiles: both coordinates are multiples of 60 m.
        """
        return Affine(resolution, 0, _LEFT, 0, -resolution, _TOP - PIXEL * first_row)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top in metres."""
        side = self.size * PIXEL
        return (_LEFT, _TOP - side, _LEFT + side, _TOP)

    @property
    def lonlat(self) -> tuple[float, float]:
        """Longitude and latitude of the centre, degrees."""
        left, bottom, right, top = self.bounds
        to_lonlat = Transformer.from_crs(EPSG, 4326, always_xy=True)
        longitude, latitude = to_lonlat.transform((left + right) / 2, (bottom + top) / 2)
        return float(longitude), float(latitude)

    @property
    def tiles(self) -> tuple[Tile, Tile]:
        """The northern and the southern tile; they share a fifth of the region's rows."""
        rows = self.size * 3 // 5
        return Tile("33TSM", 0, rows), Tile("33TSL", self.size - rows, rows)

    @cached_property
    def land(self) -> LandMaps:
        """Shares of the land covers and their variability."""
        return draw_land(self.seed, self.size)

    @cached_property
    def lake(self) -> LakeMaps:
        """Content of the water on an average day."""
        return draw_lake(self.seed, self.size)

    @cached_property
    def land_cover(self) -> NDArray[np.uint8]:
        """The cover with the largest share, codes of :class:`Cover`, ``(y, x)``."""
        return (np.argmax(self.land.fractions, axis=0) + 1).astype(np.uint8)

    def sun(self, day: date | str) -> Sun:
        """Tell where the sun stands when the region is seen."""
        longitude, latitude = self.lonlat
        return sun_position(to_date(day), longitude=longitude, latitude=latitude)

    def chlorophyll(self, day: date | str) -> NDArray[np.float32]:
        """Give the lake's chlorophyll on a day, mg m-3, float32 ``(y, x)``; NaN where there is no water.

        The average map times a season with a spring and a late-summer bloom.
        """
        doy = to_date(day).timetuple().tm_yday
        season = 0.7 + 0.6 * np.exp(-(((doy - 115) / 25) ** 2)) + 0.9 * np.exp(-(((doy - 235) / 35) ** 2))
        return self._in_water(self.lake.chlorophyll * np.float32(season))

    def suspended_matter(self, day: date | str) -> NDArray[np.float32]:
        """Give the lake's suspended matter on a day, g m-3, float32 ``(y, x)``; NaN where there is no water.

        The average map times a season with snow melt in May and rain in November.
        """
        doy = to_date(day).timetuple().tm_yday
        season = 0.75 + 0.7 * np.exp(-(((doy - 130) / 25) ** 2)) + 0.5 * np.exp(-(((doy - 315) / 20) ** 2))
        return self._in_water(self.lake.suspended * np.float32(season))

    def _in_water(self, field_: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.where(self.land.share(Cover.WATER) > 0, field_, np.float32(np.nan))

    def reflectance(self, band: str, day: date | str) -> NDArray[np.float32]:
        """Give the true surface reflectance: no noise, no cloud, no haze.

        Parameters
        ----------
        band : str
            Role name: ``red``, ``nir``, ``swir16``.
        day : date or str

        Returns
        -------
        float32 array ``(y, x)`` on the 10 m grid, also for bands that are delivered at 20 or 60 m; no pixel missing.
        """
        known, when = band_of(band), to_date(day)
        land = land_reflectance(self.land, _green_shares(self, when), known)
        return land + self.land.share(Cover.WATER) * _water(self, known, when)

    def truth_reflectance(self, bands: Sequence[str], dates: Sequence[date | str]) -> NDArray[np.float32]:
        """Give the true surface reflectance of several bands and dates, float32 ``(date, band, y, x)``."""
        return np.stack([np.stack([self.reflectance(band, day) for band in bands]) for day in dates])

    def describe(self) -> str:
        """Write what the region is and how imperfect its observations are, a line per parameter."""
        longitude, latitude = self.lonlat
        shares = ", ".join(f"{c.name.lower()} {100 * self.land.share(c).mean():.0f} %" for c in Cover)
        return "\n".join(
            [
                f"Simulated region, seed {self.seed}: {self.size} x {self.size} pixels of {PIXEL} m, EPSG:{EPSG}, "
                f"centre {longitude:.3f} E {latitude:.3f} N",
                f"Land covers: {shares}",
                describe_parameters(self.noise, self.clouds, self.deformation, self.radar),
            ]
        )


@lru_cache(maxsize=4)
def _green_shares(region: Region, day: date) -> NDArray[np.float32]:
    return green_shares(region.land, day.timetuple().tm_yday)


def _water(region: Region, band: SpectralBand, day: date) -> NDArray[np.float32]:
    wet = region.land.share(Cover.WATER) > 0
    result = np.zeros(wet.shape, dtype=np.float32)
    result[wet] = water_reflectance(
        band,
        region.chlorophyll(day)[wet],
        region.suspended_matter(day)[wet],
        sun_zenith=90 - region.sun(day).elevation,
    )
    return result
