"""Directions of sun and view on the coarse grid of nodes that Sentinel-2 products give with a tile.

The values stand at nodes, 5000 m apart, of which the first is the upper left corner of the tile; a layer of them is
georeferenced so that each node is the middle of a pixel, hence begins half a step north-west of the tile. That the
first node is the corner, and not half a step inside, shows in the products: the grid, taken at the middle of the tile,
then is the mean sun angle that the same file tells.

Reference: Sentinel-2 Products Specification Document, S2-PDGS-TAS-DI-PSD, issue 14.9 (2021), tile metadata,
`Tile_Angles`: zenith from the vertical of the node, azimuth of the line from the ground to the sun or the
satellite, from north, clockwise; both in degrees.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from terracube.core.errors import InputError, MetadataError
from terracube.core.sensors import Band
from terracube.cubes.grid import Grid
from terracube.ingest.pixels import ArrayPixels
from terracube.ingest.scene import Raster

Floats = NDArray[np.float64]

MOST_NODES = 128
"""Along each side; a tile of 110 km with a node every 5 km has 23."""
NO_GRIDS = ("the product has no angle grids",)
"""Note on a product that tells mean directions at best."""
# Kilometres: mean radius of the Earth; mean altitude of the orbit (Sentinel-2 User Handbook, issue 1.2, 2015).
_EARTH, _ALTITUDE = 6371.0, 786.0


@dataclass(frozen=True)
class Direction:
    """Zenith and azimuth of the nodes of a grid, degrees; NaN where they are not told."""

    zenith: Floats
    azimuth: Floats

    def checked(self, where: str) -> Direction:
        """Give it back if its numbers can be directions.

        Raises
        ------
        MetadataError
            If the shapes differ, are absurd, or a number is none of an angle.
        """
        shape = self.zenith.shape
        if shape != self.azimuth.shape or len(shape) != 2 or not all(2 <= side <= MOST_NODES for side in shape):
            raise MetadataError(
                "the angle grid has no usable shape",
                where=where,
                expected=f"two grids of one shape, 2 to {MOST_NODES} nodes along each side",
                got=f"zenith {shape}, azimuth {self.azimuth.shape}",
            )
        for name, values, most in (("zenith", self.zenith, 180.0), ("azimuth", self.azimuth, 360.0)):
            known = values[~np.isnan(values)]
            if known.size and not (known.min() >= 0 and known.max() <= most):
                raise MetadataError(
                    f"the {name} is no angle",
                    where=where,
                    expected=f"0 to {most:g} degrees, or NaN",
                    got=f"{known.min():g} to {known.max():g}",
                )
        return self


def merge(directions: Sequence[Direction]) -> Direction:
    """Put the directions of several detectors together.

    A node that one detector saw keeps its numbers; one that several saw gets the mean of their unit vectors, so that
    neither their order nor the step from 360 to 0 degrees matters.

    Examples
    --------
    >>> two = [Direction(np.array([[10.0, 4.0]]), np.array([[350.0, 90.0]])),
    ...        Direction(np.array([[10.0, np.nan]]), np.array([[10.0, np.nan]]))]
    >>> found = merge(two)
    >>> found.azimuth.round(6).tolist(), found.zenith.round(2).tolist()
    ([[0.0, 90.0]], [[9.85, 4.0]])
    """
    zenith = np.stack([one.zenith for one in directions])
    azimuth = np.stack([one.azimuth for one in directions])
    known = np.isfinite(zenith) & np.isfinite(azimuth)
    count = known.sum(axis=0)
    mean = _mean(np.where(known, zenith, np.nan), np.where(known, azimuth, np.nan))
    first = known.argmax(axis=0)[None]
    alone = count == 1
    return Direction(
        np.where(alone, np.take_along_axis(zenith, first, 0)[0], np.where(count > 0, mean.zenith, np.nan)),
        np.where(alone, np.take_along_axis(azimuth, first, 0)[0], np.where(count > 0, mean.azimuth, np.nan)),
    )


def mean_direction(pairs: Iterable[tuple[float, float]]) -> tuple[float, float] | None:
    """Give zenith and azimuth of the mean of unit vectors; ``None`` for no vectors, or vectors that cancel out.

    Examples
    --------
    >>> [round(angle, 6) for angle in mean_direction([(5, 359), (5, 1)])][1]
    0.0
    """
    known = [pair for pair in pairs if all(map(math.isfinite, pair))]
    if not known:
        return None
    zenith, azimuth = np.array(known, np.float64).T
    found = _mean(zenith, azimuth)
    pair = float(found.zenith), float(found.azimuth)
    return pair if all(map(math.isfinite, pair)) else None


def _mean(zenith: Floats, azimuth: Floats) -> Direction:
    """Give the direction of the sum of unit vectors along the first axis; NaN adds nothing."""
    z, a = np.radians(zenith), np.radians(azimuth)
    east, north, up = (np.nansum(part, axis=0) for part in (np.sin(z) * np.sin(a), np.sin(z) * np.cos(a), np.cos(z)))
    flat = np.hypot(east, north)
    with np.errstate(invalid="ignore"):
        nothing = np.where((flat == 0) & (up == 0), np.nan, 0.0)
    # Rounded first: the smallest negative angle would become 360.
    azimuth = np.round(np.degrees(np.arctan2(east, north)), 9) % 360
    return Direction(np.degrees(np.arctan2(flat, up)) + nothing, azimuth + nothing)


def off_nadir(incidence: float) -> float:
    """Give the angle at the satellite between straight down and a place that sees it at an incidence angle, degrees.

    sin(off_nadir) = R / (R + h) sin(incidence), on a sphere, with the mean altitude of the orbit; the true altitude,
    which varies by 20 km, changes it by less than 0.03 degrees.

    Examples
    --------
    >>> round(off_nadir(9.2), 2)
    8.18
    """
    return math.degrees(math.asin(_EARTH / (_EARTH + _ALTITUDE) * math.sin(math.radians(incidence))))


def node_grid(crs: str, corner: tuple[float, float], step: tuple[float, float], shape: tuple[int, int]) -> Grid:
    """Give the grid whose pixels have the nodes as their middles, to 2^-20 of a step, as all grids.

    Parameters
    ----------
    crs : str
    corner : (x, y)
        The first node.
    step : (x, y)
        From node to node, positive.
    shape : (rows, columns)

    Raises
    ------
    MetadataError
        If the numbers are no place.

    Examples
    --------
    >>> round(node_grid("EPSG:32633", (499980, 5300040), (5000, 5000), (23, 23)).bounds.left, 1)
    497480.0
    """
    transform = Affine(step[0], 0, corner[0] - step[0] / 2, 0, -step[1], corner[1] + step[1] / 2)
    try:
        return Grid.from_affine(crs, transform, shape)
    except InputError as error:
        raise MetadataError(error.what, where="angle grid", expected=error.expected, got=error.got) from error


@dataclass(frozen=True)
class Angles:
    """Directions that a product tells; ``None`` or empty where it does not."""

    sun_mean: tuple[float, float] | None = None
    """Zenith and azimuth, degrees."""
    view_mean: tuple[float, float] | None = None
    """Mean over the bands that have reflectance at the ground."""
    sun: Direction | None = None
    views: Mapping[str, Direction] = field(default_factory=dict)
    """By the agency's name of the band, merged over detectors."""
    grid: Grid | None = None
    """Whose pixels have the nodes as their middles, see :func:`node_grid`; ``None`` where there are no grids."""
    files: tuple[Path, ...] = ()
    """What tells the directions."""
    notes: tuple[str, ...] = ()

    def properties(self) -> dict[str, float]:
        """Give the STAC properties of the mean directions.

        ``view:azimuth`` is that of the line from the ground to the satellite, as the product and the public catalogues
        of it have it.
        """
        found: dict[str, float] = {}
        if self.sun_mean is not None:
            zenith, azimuth = self.sun_mean
            found |= {"view:sun_elevation": round(90.0 - zenith, 6), "view:sun_azimuth": round(azimuth, 6)}
        if self.view_mean is not None:
            zenith, azimuth = self.view_mean
            found |= {
                "view:incidence_angle": round(zenith, 6),
                "view:off_nadir": round(off_nadir(zenith), 3),
                "view:azimuth": round(azimuth, 6),
            }
        return found

    def rasters(self, bands: Mapping[str, Band]) -> Iterator[Raster]:
        """Make the layers of directions: float32, degrees, NaN where nothing is told; none where there are no grids.

        Parameters
        ----------
        bands : mapping
            The bands by the agency's name.
        """
        if self.grid is None:
            return
        if self.sun is not None:
            yield self._raster("sun_zenith", "SZA", "Sun zenith", self.sun.zenith, self.grid)
            yield self._raster("sun_azimuth", "SAA", "Sun azimuth", self.sun.azimuth, self.grid)
        for name, view in self.views.items():
            role = bands[name].name
            yield self._raster(f"view_zenith_{role}", f"VZA_{name}", f"View zenith of {name}", view.zenith, self.grid)
            yield self._raster(
                f"view_azimuth_{role}", f"VAA_{name}", f"View azimuth of {name}", view.azimuth, self.grid
            )

    def _raster(self, key: str, file: str, title: str, values: Floats, grid: Grid) -> Raster:
        band = Band(key, f"{title}, degrees", (key,), file, kind="other", dtype="float32", unit="degree")
        pixels = ArrayPixels(np.ascontiguousarray(values, np.float32))
        return Raster(
            key, band, pixels, grid, "float32", math.nan, self.files, unit="degree", roles=("data", "metadata")
        )
