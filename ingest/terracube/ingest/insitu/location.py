"""Quality tests of positions: on the globe, in a box, swapped, and leaps of what stays in one place.

What is usual is told by the rows, not by the different positions: one wrong row of twelve does not move the middle of
its station. A platform that moves has no middle, and is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from ioos_qc import qartod

from terracube.ingest.insitu.checks import Bools, Flags, Floats, Ints
from terracube.ingest.insitu.qc_config import Location
from terracube.ingest.insitu.table import GOOD, NOT_EVALUATED, SUSPECT

# Rows off their station's middle: at most a third may be swapped ones, and a tenth leaps.
_MOST_SWAPPED, _MOST_LEAPS = 1 / 3, 1 / 10
# A place that is left by a leap is told to this part of `Location.station_degrees`.
_STILL = 0.1
# A swapped position lies off by more than so many times `Location.station_degrees`: nearer ones are too much alike.
_CLEAR = 3.0
_FEWEST_OTHERS = 2


def positions(
    lon: Floats, lat: Floats, station: Ints, limits: Location, weight: Ints | None = None
) -> dict[str, Flags]:
    """Test positions, each given once per station.

    Parameters
    ----------
    lon, lat : float64 arrays
        Degrees; NaN = not told, which gives 2.
    station : int64 array
        Number of the station, from 0.
    limits : Location
    weight : int64 array
        How often each position is told; once unless given.

    Returns
    -------
    dict
        By name of the test: ``location`` (4 off the globe, 3 at 0/0 and outside the box), ``location_swapped`` (3 if
        longitude and latitude, swapped, would lie in the box, at the place where the station mostly is, or among the
        other stations, and as they are do not), ``location_leap`` (3 if a station that does not move is told to lie
        elsewhere in a tenth of its rows or less).

    Examples
    --------
    >>> lon, lat = np.array([12.0, 12.1, 55.0]), np.array([55.0, 55.1, 12.0])
    >>> found = positions(lon, lat, np.zeros(3, int), Location())
    >>> found["location"].tolist(), found["location_swapped"].tolist()
    ([1, 1, 1], [1, 1, 3])
    """
    known = np.isfinite(lon) & np.isfinite(lat)
    nowhere = known & (lon == 0) & (lat == 0)
    where = np.full(len(lon), NOT_EVALUATED, "uint8")
    where[known] = np.asarray(qartod.location_test(lon[known], lat[known])).astype("uint8")
    where[nowhere & (where == GOOD)] = SUSPECT
    swapped, leap = (np.where(known, GOOD, NOT_EVALUATED).astype("uint8") for _ in range(2))
    if limits.bbox is not None:
        outside = known & ~within(lon, lat, limits.bbox)
        where[outside & (where == GOOD)] = SUSPECT
        swapped[outside & within(lat, lon, limits.bbox)] = SUSPECT
    told = np.ones(len(lon), "int64") if weight is None else weight
    places = _Places(lon, lat, station, np.where(known & ~nowhere, told, 0))
    turned, left = places.judge(limits.station_degrees)
    swapped[turned] = SUSPECT
    leap[left & (swapped != SUSPECT)] = SUSPECT
    return {"location": where, "location_swapped": swapped, "location_leap": leap}


def within(lon: Floats, lat: Floats, bbox: tuple[float, float, float, float]) -> Bools:
    """Tell which positions lie in a box, its edges included; west > east crosses the antimeridian."""
    west, south, east, north = bbox
    across = (lon >= west) & (lon <= east) if west <= east else (lon >= west) | (lon <= east)
    return across & (lat >= south) & (lat <= north)


@dataclass(frozen=True, slots=True)
class _Places:
    """Positions, each once per station; those without weight take no part."""

    lon: Floats
    lat: Floats
    station: Ints
    weight: Ints

    def judge(self, near: float) -> tuple[Bools, Bools]:
        """Tell which positions are swapped, and which lie off where their station stays."""
        if not self.weight.any():
            return np.zeros(len(self.lon), bool), np.zeros(len(self.lon), bool)
        middle = self.middles()
        centre = middle[self.station]
        off, off_swapped = _degrees(self.lon, self.lat, centre), _degrees(self.lat, self.lon, centre)
        moving = self.sums(off > near) > _MOST_SWAPPED * self.sums(np.ones(len(off), bool))
        whole = self.among_others(middle, off, moving, near)[self.station]
        turned = self.strays(off, near, _CLEAR * near, _MOST_SWAPPED) & (off_swapped <= near)
        left = self.strays(off, _STILL * near, near, _MOST_LEAPS)
        # Where the whole station is swapped, the few that are not are right.
        return np.where(whole, (off <= near) & (self.weight > 0), turned), left & ~whole

    def middles(self) -> Floats:
        """Give the median position of each station; NaN where none is known."""
        rows = np.repeat(np.arange(len(self.weight)), self.weight)
        told = pd.DataFrame({"lon": self.lon[rows], "lat": self.lat[rows]})
        found = told.groupby(self.station[rows]).median().reindex(range(int(self.station.max()) + 1))
        return found.to_numpy("float64")

    def sums(self, chosen: Bools) -> Floats:
        """Give the weight of the chosen positions of each station."""
        count = int(self.station.max()) + 1
        return np.bincount(self.station, weights=np.where(chosen, self.weight, 0), minlength=count)

    def strays(self, off: Floats, inner: float, outer: float, most: float) -> Bools:
        """Tell which positions lie off, of stations that stay within ``inner`` but for few rows, with none between."""
        far = off > outer
        total = self.sums(np.ones(len(off), bool))
        fixed = (self.sums((off > inner) & ~far) == 0) & (self.sums(far) <= most * total)
        return np.asarray(far & fixed[self.station] & (self.weight > 0))

    def among_others(self, middle: Floats, off: Floats, moving: Bools, near: float) -> Bools:
        """Tell which stations lie far from all others, and among them when swapped."""
        known = np.isfinite(middle).all(axis=1)
        centre, flipped = np.median(middle[known], axis=0), middle[:, ::-1]
        nearer = np.abs(flipped - centre).max(axis=1) < np.abs(middle - centre).max(axis=1)
        trusted = known & ~nearer
        if trusted.sum() < _FEWEST_OTHERS or trusted.sum() <= (known & nearer).sum():
            return np.zeros(len(middle), bool)
        # All of a platform's track, and of a station the place where it mostly is.
        part = trusted[self.station] & (self.weight > 0) & ((off <= near) | moving[self.station])
        track = np.column_stack([self.lon[part], self.lat[part]])
        low, high = track.min(axis=0), track.max(axis=0)
        outside = np.maximum(low - middle, middle - high).max(axis=1)
        inside = ((flipped >= low - near) & (flipped <= high + near)).all(axis=1)
        far = outside > max(_CLEAR * near, float((high - low).max()) / 2)
        return np.asarray(known & nearer & inside & far & ~moving)


def _degrees(lon: Floats, lat: Floats, middle: Floats) -> Floats:
    """Give how far positions lie from others, in degrees of latitude along the meridian or the parallel."""
    east = np.abs((lon - middle[:, 0] + 180.0) % 360.0 - 180.0) * np.abs(np.cos(np.radians(middle[:, 1])))
    return np.asarray(np.maximum(east, np.abs(lat - middle[:, 1])))
