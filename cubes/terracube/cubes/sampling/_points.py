"""Time series at points: the pixel that holds the point, or between the four around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.cubes.grid import Grid
from terracube.cubes.sampling._gather import Indices, Pixels, gather
from terracube.cubes.sampling._raster import Raster, is_classes, missing_in, nodata_of

METHODS = ("nearest", "bilinear")


@dataclass(frozen=True, eq=False, slots=True)
class Spots:
    """Points on a grid; rows and columns count from its first pixel."""

    exact: NDArray[np.float64]
    """(point, 2): column and row, in pixels from the outer edge of the first."""
    rows: Indices
    cols: Indices
    inside: NDArray[np.bool_]
    """Where the pixel that holds the point is one of the grid."""


def to_spots(shapes: NDArray[Any], grid: Grid) -> Spots:
    """Find the pixel that holds each point (in pixel coordinates); a point between two goes south and east."""
    exact = shapely.get_coordinates(shapes) - np.array([grid.offset.x, grid.offset.y])
    held = np.floor(exact)
    inside = ((held >= 0) & (held < np.array([grid.shape.x, grid.shape.y]))).all(axis=1)
    cols, rows = np.where(inside[:, None], held, -1).astype("int64").T
    return Spots(exact, rows, cols, inside)


def methods_of(raster: Raster, method: str | Mapping[str, str]) -> list[str]:
    """Give the method of every variable; ``"*"`` stands for all that are not named.

    Raises
    ------
    InputError
        If a method or variable is unknown, or classes would be interpolated.
    """
    told = {"*": method} if isinstance(method, str) else dict(method)
    names = raster.names
    unknown = set(told) - {*names, "*"}
    chosen = [told.get(name, told.get("*", "nearest")) for name in names]
    if unknown or not {*told.values()} <= {*METHODS}:
        expected = f"{' or '.join(METHODS)}, for {', '.join(names)} or '*'"
        raise InputError("unknown method or variable", where="method", expected=expected[:300], got=str(told)[:200])
    for array, name, one in zip(raster.variables, names, chosen, strict=True):
        if one == "bilinear" and is_classes(array):
            todo = f"method={{'{name}': 'nearest', '*': 'bilinear'}}"
            raise InputError("classes cannot be interpolated", where=name, expected="nearest", got=one, todo=todo)
    return chosen


def read_points(raster: Raster, spots: Spots, methods: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read every variable at the points: (point, time), or (point,) where it has no dates; NaN where missing.

    Floats keep their type; integers become float64, to hold NaN.
    """
    around = _corners(spots, raster.grid) if "bilinear" in methods else None
    arrays = list(raster.variables)
    held = np.flatnonzero(spots.inside)
    rows, cols = spots.rows[held], spots.cols[held]
    if around is not None:
        rows, cols = np.concatenate([rows, around.rows]), np.concatenate([cols, around.cols])
    found = gather(arrays, Pixels(rows, cols))
    results = {}
    for array, method, values in zip(arrays, methods, found, strict=True):
        wide = _as_floats(values, array)
        own = wide[..., : held.size]
        if method == "bilinear" and around is not None:
            corners = wide[..., held.size :].reshape(*wide.shape[:-1], 4, held.size)
            own = _between(own, corners, around.weights)
        told = np.full((len(spots.inside), *own.shape[:-1]), np.nan, own.dtype)
        told[held] = np.moveaxis(own, -1, 0)
        results[str(array.name)] = told
    return results


@dataclass(frozen=True, eq=False, slots=True)
class _Corners:
    """The four pixels around each point inside: flat (4 x point) indices, and weights (4, point)."""

    rows: Indices
    cols: Indices
    weights: NDArray[np.float64]


def _corners(spots: Spots, grid: Grid) -> _Corners:
    x, y = (spots.exact[spots.inside] - 0.5).T
    left, top = np.floor(x), np.floor(y)
    rows, cols, weights = [], [], []
    for down in (0, 1):
        for right in (0, 1):
            row, col = (top + down).astype("int64"), (left + right).astype("int64")
            real = (row >= 0) & (row < grid.shape.y) & (col >= 0) & (col < grid.shape.x)
            weight = (y - top if down else 1 - (y - top)) * (x - left if right else 1 - (x - left))
            weights.append(np.where(real, weight, 0.0))
            # A corner beyond the edge has no weight; the pixel that holds the point is read in its place.
            rows.append(np.where(real, row, spots.rows[spots.inside]))
            cols.append(np.where(real, col, spots.cols[spots.inside]))
    return _Corners(np.concatenate(rows), np.concatenate(cols), np.stack(weights))


def _between(own: NDArray[Any], corners: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[Any]:
    """Weigh the corners that are there; missing where the pixel that holds the point is missing."""
    total, share = np.zeros(own.shape), np.zeros(own.shape)
    for corner, weight in zip(np.moveaxis(corners, -2, 0), weights, strict=True):
        seen = ~np.isnan(corner) & (weight > 0)
        total += np.where(seen, corner, 0.0).astype("float64") * weight
        share += np.where(seen, weight, 0.0)
    return np.where(np.isnan(own), np.nan, total / np.where(share > 0, share, 1.0)).astype(own.dtype)


def _as_floats(values: NDArray[Any], array: xr.DataArray) -> NDArray[Any]:
    missing = missing_in(values, nodata_of(array))
    wide = values.astype(values.dtype if values.dtype.kind == "f" else "float64")
    wide[missing] = np.nan
    return wide
