"""The land: its covers, and their spectra through the year."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from terracube.ingest.simulate.fields import FloatArray
from terracube.ingest.simulate.sensor import SpectralBand

_TABLE = "land-spectra.csv"


class Cover(IntEnum):
    """Land covers; 0 is left for "no data"."""

    BROADLEAF = 1
    CONIFER = 2
    MEADOW = 3
    WINTER_CROP = 4
    SUMMER_CROP = 5
    BUILT_UP = 6
    BARE = 7
    WATER = 8


LAND = tuple(cover for cover in Cover if cover is not Cover.WATER)
FARMED = (Cover.MEADOW, Cover.WINTER_CROP, Cover.SUMMER_CROP, Cover.BARE)


@dataclass(frozen=True)
class Phenology:
    """Greenness through the year: a double logistic (Beck et al. 2006, 10.1016/j.rse.2005.10.021)."""

    low: float
    """Greenness in winter, 0 to 1."""
    high: float
    """Greenness at the peak, 0 to 1."""
    spring: float
    """Day of the year of the steepest rise."""
    autumn: float
    """Day of the year of the steepest fall."""
    rise: float
    """Days in which the rise goes from 50 % to 73 %."""
    fall: float
    """Days in which the fall goes from 50 % to 27 %."""

    def greenness(self, day: FloatArray) -> FloatArray:
        """Evaluate at days of the year.

        Examples
        --------
        >>> PHENOLOGY[Cover.WINTER_CROP].greenness(np.array([15.0, 130.0, 230.0])).round(1).tolist()
        [0.2, 1.0, 0.2]
        """
        up = 1 / (1 + np.exp((self.spring - day) / self.rise))
        down = 1 / (1 + np.exp((day - self.autumn) / self.fall))
        return self.low + (self.high - self.low) * up * down


PHENOLOGY: dict[Cover, Phenology] = {
    Cover.BROADLEAF: Phenology(low=0.05, high=1.0, spring=116, autumn=297, rise=6, fall=9),
    Cover.CONIFER: Phenology(low=0.55, high=1.0, spring=130, autumn=290, rise=18, fall=22),
    Cover.MEADOW: Phenology(low=0.30, high=0.95, spring=95, autumn=290, rise=10, fall=20),
    Cover.WINTER_CROP: Phenology(low=0.15, high=1.0, spring=82, autumn=182, rise=11, fall=6),
    Cover.SUMMER_CROP: Phenology(low=0.02, high=1.0, spring=164, autumn=258, rise=7, fall=8),
    Cover.BUILT_UP: Phenology(low=0.15, high=0.45, spring=110, autumn=295, rise=12, fall=16),
    Cover.BARE: Phenology(low=0.10, high=0.30, spring=110, autumn=270, rise=14, fall=20),
}
"""Typical of central Europe; chosen by hand so that no two covers have the same season."""


@dataclass(frozen=True, eq=False)
class LandMaps:
    """What lies where, on the 10 m grid. Made by :func:`terracube.ingest.simulate.landscape.draw_land`."""

    fractions: NDArray[np.float32]
    """Share of each cover in each pixel, ``(cover, y, x)`` in the order of :class:`Cover`; sums to 1."""
    delay: NDArray[np.float32]
    """Days by which the season comes later than usual, ``(y, x)``."""
    vigour: NDArray[np.float32]
    """Factor on the greenness, ``(y, x)``."""
    brightness: NDArray[np.float32]
    """Factor on the reflectance of the land, ``(y, x)``: the variability inside a cover."""

    def share(self, *covers: Cover) -> NDArray[np.float32]:
        """Give the share of some covers together, ``(y, x)``."""
        return np.asarray(self.fractions[[cover - 1 for cover in covers]].sum(axis=0))


@cache
def _end_members() -> dict[tuple[str, str], dict[str, float]]:
    text = resources.files(__package__).joinpath(_TABLE).read_text(encoding="utf-8")
    head, *rows = (line.split(",") for line in text.splitlines() if not line.startswith("#"))
    return {(row[0], row[1]): dict(zip(head[2:], map(float, row[2:]), strict=True)) for row in rows}


def end_members(cover: Cover, band: SpectralBand) -> tuple[float, float]:
    """Give the reflectance of a land cover in its dry or bare state and in its green state.

    Examples
    --------
    >>> from terracube.ingest.simulate.sensor import BANDS
    >>> end_members(Cover.MEADOW, BANDS["nir"])
    (0.235, 0.4)
    """
    known = _end_members()
    return known[cover.name.lower(), "dry"][band.file], known[cover.name.lower(), "green"][band.file]


def green_shares(land: LandMaps, day_of_year: float) -> NDArray[np.float32]:
    """Give the green part of each land cover's share on a day, ``(cover, y, x)`` in the order of ``LAND``."""
    season = day_of_year - land.delay
    green = [PHENOLOGY[cover].greenness(season) * land.vigour * land.fractions[cover - 1] for cover in LAND]
    return np.stack(green).astype(np.float32)


def land_reflectance(land: LandMaps, green: NDArray[np.float32], band: SpectralBand) -> NDArray[np.float32]:
    """Mix the end members of all land covers; water counts as black.

    Parameters
    ----------
    green : float32 array ``(cover, y, x)``
        From :func:`green_shares`.

    Returns
    -------
    float32 array ``(y, x)``, surface reflectance.
    """
    total = np.zeros_like(land.brightness)
    # A plain loop in a fixed order, not a matrix product: the sum must not depend on how a library cuts its work.
    for cover, share in zip(LAND, green, strict=True):
        dry, lush = (np.float32(value) for value in end_members(cover, band))
        total += dry * land.fractions[cover - 1] + (lush - dry) * share
    return total * land.brightness
