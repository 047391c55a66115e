"""What a fit of a source sees of maps of motion: points on a lattice, weighed by their covariance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import EmptyResultError, InputError, MetadataError
from terracube.cubes.crs import full_turn, metres_per_unit, transform_points
from terracube.cubes.gridlike import grid_like
from terracube.processing.deformation.views import Look

type Doubles = NDArray[np.float64]

_METRES = ("m", "metre", "meter", "metres", "meters")
_WGS84 = "EPSG:4326"


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Points of several looks.

    Parameters
    ----------
    x, y : float64 (points,)
        Coordinates of the map, m.
    value : float64 (points,)
    vector : float64 (points, 3)
    look : int (points,)
        Of which look each is.
    factors : tuple
        Of each look: the lower factor of Cholesky of its covariance, or standard deviations where points are taken as
        independent.
    north : (float, float)
        True north, as a unit vector of the map.
    """

    x: Doubles
    y: Doubles
    value: Doubles
    vector: Doubles
    look: NDArray[np.int64]
    factors: tuple[Doubles, ...]
    north: tuple[float, float]

    def whiten(self, columns: Doubles) -> Doubles:
        """Divide (points,) or (points, k) by the square root of the covariance."""
        from scipy.linalg import solve_triangular

        parts = []
        for number, factor in enumerate(self.factors):
            part = columns[self.look == number]
            if factor.ndim == 1:
                parts.append(part / (factor if part.ndim == 1 else factor[:, None]))
            else:
                parts.append(solve_triangular(factor, part, lower=True))
        return np.concatenate(parts)

    def from_place(self, east: float, north: float) -> tuple[Doubles, Doubles]:
        """Give how far the points are east and north of a place of the map."""
        return turned(self.x - east, self.y - north, self.north)

    def project(self, motion: Sequence[Doubles]) -> Doubles:
        """Give motion along each point's direction."""
        return np.asarray(sum(self.vector[:, axis] * np.asarray(motion[axis]) for axis in range(3)))


def turned(x: Any, y: Any, north: tuple[float, float]) -> tuple[Any, Any]:
    """Turn a difference of map coordinates to true east and north."""
    return x * north[1] - y * north[0], x * north[0] + y * north[1]


def sample_points(looks: Sequence[Look], like: xr.Dataset, *, most: int, correlation_length: float | None) -> Points:
    """Take points of maps on a lattice: the densest that has not more than ``most`` pixels over all looks.

    Which pixels are on it depends on the size of the map alone; those without a value are left out.

    Raises
    ------
    EmptyResultError
        If none is left.
    InputError, MetadataError
        If a map has dates, or coordinates that are not metres.
    """
    if any(look.is_series for look in looks):
        raise InputError("a source is fitted to a map", expected="dimensions y and x", got="a dimension time")
    north = true_north(like)
    step = 1
    while sum(_on_lattice(look.value, step) for look in looks) > most:
        step += 1
    start = step // 2
    pick = {"y": slice(start, None, step), "x": slice(start, None, step)}
    parts = [_of_look(look, like, pick) for look in looks]
    if not sum(part[0].size for part in parts):
        raise EmptyResultError("no pixel of the maps on the lattice has a value", got=f"every {step}th pixel seen")
    x, y, value, vector = (np.concatenate([part[n] for part in parts]) for n in range(4))
    factors = tuple(_factor(part, correlation_length) for part in parts)
    return Points(x, y, value, vector, np.repeat(np.arange(len(parts)), [p[0].size for p in parts]), factors, north)


def _on_lattice(value: xr.DataArray, step: int) -> int:
    return math.prod(len(range(step // 2, value.sizes[axis], step)) for axis in ("y", "x"))


def _of_look(
    look: Look, like: xr.Dataset, pick: dict[str, slice]
) -> tuple[Doubles, Doubles, Doubles, Doubles, Doubles]:
    rows, cols = (np.asarray(like[axis].values[pick[axis]], "float64") for axis in ("y", "x"))

    frame = look.value.isel(pick)

    def taken(values: xr.DataArray | float) -> Doubles:
        if not isinstance(values, xr.DataArray):
            return np.full((rows.size, cols.size), float(values))
        chosen = values.isel({axis: pick[axis] for axis in ("y", "x") if axis in values.dims})
        return np.asarray(chosen.broadcast_like(frame).transpose("y", "x").values, "float64")

    value, std = taken(look.value), taken(look.total_std)
    vector = np.stack([taken(each) for each in look.vector], axis=-1)
    there = np.isfinite(value) & (std > 0) & np.isfinite(std) & np.isfinite(vector).all(axis=-1)
    y, x = np.meshgrid(rows, cols, indexing="ij")
    return x[there], y[there], value[there], vector[there], std[there]


def _factor(part: tuple[Doubles, ...], correlation_length: float | None) -> Doubles:
    x, y, _, _, std = part
    if correlation_length is None:
        return std
    apart = np.hypot(x[:, None] - x, y[:, None] - y)
    return np.linalg.cholesky(std[:, None] * std * np.exp(-apart / correlation_length))


def true_north(like: xr.Dataset) -> tuple[float, float]:
    """Give the direction of true north in the middle of a map, as a unit vector of its coordinates.

    Raises
    ------
    MetadataError
        If the coordinates are not known to be metres.
    """
    if not any(name in like.coords or name in like.attrs for name in ("spatial_ref", "crs")):
        if all(str(like[axis].attrs.get("units", "")) in _METRES for axis in ("y", "x") if axis in like.coords):
            return 0.0, 1.0
        raise MetadataError(
            "the coordinates are not known to be metres",
            where="y, x",
            expected="a projected CRS, or the attribute units = m",
            todo="reproject to UTM, or write the attribute",
        )
    crs = grid_like(like).crs
    if full_turn(crs) is not None or metres_per_unit(crs) != 1.0:
        raise MetadataError("the coordinates are not metres", where="CRS", got=crs[:200], todo="reproject, to UTM say")
    middle = [np.array([float(like[axis].values.mean())]) for axis in ("x", "y")]
    lon, lat = transform_points(crs, _WGS84, middle[0], middle[1])
    x, y = transform_points(_WGS84, crs, lon, lat + 1e-3)
    dx, dy = float(x[0] - middle[0][0]), float(y[0] - middle[1][0])
    length = math.hypot(dx, dy)
    return dx / length, dy / length
