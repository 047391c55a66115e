"""From a swath, of which each sample has its own longitude and latitude, to a regular grid, by the nearest sample.

The grid is aligned to multiples of its resolution, so that scenes of different days share their pixels. Neighbours are
found by pyresample's k-d tree of positions on the sphere, which knows no edge at the antimeridian or the poles. A
sample is never blended with others, so numbers stay as they were delivered and flags keep their bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError

from terracube.core.errors import HostileInputError, InputError, MetadataError
from terracube.cubes.crs import transform_points
from terracube.cubes.grid import Grid
from terracube.ingest.readers.ocean.netcdf import Stored

GEOGRAPHIC = "EPSG:4326"
METRES_PER_DEGREE = 111_195.0  # of pyresample's sphere
BLOCK = 256
"""Rows of a swath that are read at once."""
_MOST_SAMPLES = (1 << 31) - 2
# Degrees of latitude: longer than any granule, shorter than a half orbit.
_GRANULE = 60.0
_LEAST = 1e-6


Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Swath:
    """Where longitude and latitude of a swath's samples stand."""

    lon: Stored
    lat: Stored

    @property
    def shape(self) -> tuple[int, int]:
        """Rows (along the track) and columns."""
        return self.lat.shape

    def blocks(self) -> Iterator[tuple[int, NDArray[np.float64], NDArray[np.float64]]]:
        """Give longitude and latitude block by block, with the first row of each."""
        for number in range(-(-self.shape[0] // BLOCK)):
            yield number * BLOCK, *self.block(number)

    def block(self, number: int) -> Pair:
        """Give longitude and latitude of a block of rows; NaN where either is not known."""
        start, stop = number * BLOCK, min((number + 1) * BLOCK, self.shape[0])
        lon, lat = self.lon.values(start, stop), self.lat.values(start, stop)
        nowhere = ~(np.isfinite(lon) & np.isfinite(lat))
        lon[nowhere] = lat[nowhere] = np.nan
        return lon, lat


@dataclass(frozen=True)
class Extent:
    """Where a swath lies, in degrees."""

    west: float
    south: float
    east: float
    north: float
    crossing: bool
    """Whether it crosses the antimeridian; then ``west`` is greater than ``east``."""
    spacing: float
    """Metres between samples, along or across, whichever is larger; median of a block in the middle."""


@dataclass(frozen=True, eq=False)
class Plan:
    """The grid onto which a swath goes."""

    grid: Grid
    radius: float
    """Metres from the centre of a pixel within which a sample must lie."""
    low: NDArray[np.float64] = field(repr=False)
    high: NDArray[np.float64] = field(repr=False)
    """Least and greatest y of each row of the swath, in the CRS of the grid; infinite where nothing is known."""
    notes: tuple[str, ...] = ()


def survey(swath: Swath) -> Extent:
    """Look through all positions of a swath.

    Raises
    ------
    MetadataError
        If longitude and latitude are none, or seem to be swapped.
    """
    _check_arrays(swath)
    box = np.array([np.inf, np.inf, -np.inf, -np.inf, np.inf, -np.inf])
    spacing = 0.0
    for start, lon, lat in swath.blocks():
        if np.isnan(lat).all():
            continue
        _check_range(lon, lat, swath)
        turned = np.mod(lon, 360.0)
        low = [np.nanmin(one) for one in (lon, lat, turned)]
        high = [np.nanmax(one) for one in (lon, lat, turned)]
        box[[0, 1, 4]] = np.minimum(box[[0, 1, 4]], low)
        box[[2, 3, 5]] = np.maximum(box[[2, 3, 5]], high)
        if start <= swath.shape[0] // 2:
            spacing = _spacing(lon, lat)
    west, south, east, north, first, last = map(float, box)
    if not np.isfinite(box).all() or spacing <= 0:
        raise MetadataError(
            "the swath has no geolocation",
            where=swath.lat.where,
            expected="longitude and latitude of its samples",
            got="none that is finite, or all at one place",
        )
    crossing = east - west > 180.0 and last - first < east - west
    if crossing:
        west, east = (value - 360.0 if value > 180.0 else value for value in (first, last))
    return Extent(west, south, east, north, crossing, spacing)


def plan(swath: Swath, extent: Extent, options: Mapping[str, Any], *, scale: float = 1.0, largest: int) -> Plan:
    """Choose the grid of a swath.

    Parameters
    ----------
    swath : Swath
    extent : Extent
        As :func:`survey` gave it.
    options : mapping
        ``grid`` (crs, resolution in units of the CRS), and where they are told ``antimeridian``, ``polar_north`` and
        ``polar_south`` (the same) with ``polar_from`` (degrees); ``radius`` (spacings of samples).
    scale : float
        How many times coarser than the resolutions of the options.
    largest : int
        Pixels along each side beyond which a grid is not made.

    Raises
    ------
    InputError
        If no grid is told for a swath there, or the options cannot be used.
    HostileInputError
        If the grid would be too large.
    """
    where = swath.lat.where
    crs, resolution, notes = _choose(extent, options, where)
    low, high, bounds = _ranges(swath, crs, extent)
    try:
        grid = Grid.from_bbox(bounds, crs=crs, resolution=resolution * scale, bbox_crs=crs)
    except (InputError, MetadataError) as error:
        raise InputError(error.what, where=f"{where}, options.grid", expected=error.expected, got=error.got) from error
    samples = swath.shape[0] * swath.shape[1]
    if max(grid.shape) > largest or samples > _MOST_SAMPLES:
        raise HostileInputError(
            "the positions of the swath span more pixels than a scene of this source",
            where=where,
            expected=f"at most {largest} along each side",
            got=f"{grid.shape.y} x {grid.shape.x} pixels of {resolution * scale:g}",
            todo="check longitude and latitude, or choose a coarser grid",
        )
    radius = float(options.get("radius", 1.0)) * extent.spacing
    return Plan(grid, radius, low, high, notes)


def _check_arrays(swath: Swath) -> None:
    if swath.lon.shape != swath.lat.shape:
        raise MetadataError(
            "longitude and latitude differ in shape",
            where=swath.lat.where,
            expected=str(swath.lat.shape),
            got=str(swath.lon.shape),
        )
    for stored, name, unit in ((swath.lon, "longitude", "degrees_east"), (swath.lat, "latitude", "degrees_north")):
        told = {key: stored.text(key) for key in ("standard_name", "units")}
        other = told["units"] in ("degrees_east", "degrees_north") and told["units"] != unit
        if other or told["standard_name"] not in ("", name):
            raise MetadataError(
                "longitude and latitude are swapped",
                where=stored.where,
                expected=f"{name}, {unit}",
                got=", ".join(told.values()),
                todo="ask the producer; positions are never guessed",
            )


def _check_range(lon: NDArray[np.float64], lat: NDArray[np.float64], swath: Swath) -> None:
    for values, stored, limit in ((lat, swath.lat, 90.0), (lon, swath.lon, 180.0)):
        worst = float(np.nanmax(np.abs(values)))
        if worst > limit:
            raise MetadataError(
                "a position is out of range",
                where=stored.where,
                expected=f"-{limit:g} to {limit:g} degrees",
                got=f"{worst:g}",
                todo="check that longitude and latitude are not swapped, and how missing positions are marked",
            )


def _spacing(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> float:
    """Give the median distance of neighbours in metres: along or across, whichever is larger."""
    steps = [0.0]
    for axis in (0, 1):
        if lat.shape[axis] < 2:
            continue
        east = (np.mod(np.diff(lon, axis=axis) + 180.0, 360.0) - 180.0) * np.cos(np.radians(_behind(lat, axis)))
        found = np.hypot(east, np.diff(lat, axis=axis))
        if np.isfinite(found).any():
            steps.append(float(np.nanmedian(found)) * METRES_PER_DEGREE)
    return max(steps)


def _behind(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    return values[1:] if axis == 0 else values[:, 1:]


def _choose(extent: Extent, options: Mapping[str, Any], where: str) -> tuple[str, float, tuple[str, ...]]:
    name, why = _which(extent, float(options.get("polar_from", 90.0)))
    told = options.get(name)
    crs = str(told.get("crs")) if isinstance(told, Mapping) else ""
    try:
        resolution = float(told["resolution"]) if isinstance(told, Mapping) else 0.0
        CRS.from_user_input(crs)
    except (KeyError, TypeError, ValueError, CRSError):
        resolution = 0.0
    if not 0.0 < resolution < np.inf:
        raise InputError(
            f"the source has no grid for a swath that {why}",
            where=f"{where}, options.{name}",
            expected="crs and resolution",
            got=str(told)[:80],
            todo="add them to the description of the source",
        )
    return crs, resolution, () if name == "grid" else (f"the swath {why}: it lies on a grid of {crs}",)


def _which(extent: Extent, polar_from: float) -> tuple[str, str]:
    """Choose among the grids: a granule near a pole or over the antimeridian has one of its own."""
    long = extent.north - extent.south > _GRANULE
    if not long and extent.north > polar_from:
        return "polar_north", f"reaches beyond {polar_from:g} degrees north"
    if not long and extent.south < -polar_from:
        return "polar_south", f"reaches beyond {polar_from:g} degrees south"
    if extent.crossing and not long:
        return "antimeridian", "crosses the antimeridian"
    return "grid", "lies anywhere"


def _ranges(
    swath: Swath, crs: str, extent: Extent
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[float, float, float, float]]:
    """Give least and greatest y of each row of the swath, and the box that holds all of it."""
    low, high = np.full(swath.shape[0], np.inf), np.full(swath.shape[0], -np.inf)
    left, right = np.inf, -np.inf
    for start, lon, lat in swath.blocks():
        x, y = project(lon.ravel(), lat.ravel(), crs)
        known = np.isfinite(x) & np.isfinite(y)
        if not known.any():
            continue
        left, right = min(left, float(x[known].min())), max(right, float(x[known].max()))
        rows = slice(start, start + len(lat))
        grid = known.reshape(lat.shape)
        low[rows] = np.where(grid, y.reshape(lat.shape), np.inf).min(axis=1)
        high[rows] = np.where(grid, y.reshape(lat.shape), -np.inf).max(axis=1)
    if crs == GEOGRAPHIC and extent.crossing:
        left, right = -180.0, 180.0
    bottom, top = float(low.min()), float(high.max())
    # A single row or column has no width of its own.
    wide, tall = (_LEAST if one == other else 0.0 for one, other in ((left, right), (bottom, top)))
    return low, high, (left - wide, bottom - tall, right + wide, top + tall)


def project(lon: NDArray[np.float64], lat: NDArray[np.float64], crs: str) -> Pair:
    """Project longitude and latitude."""
    return (lon, lat) if crs == GEOGRAPHIC else transform_points(GEOGRAPHIC, crs, lon, lat)
