"""Sums over fixed tiles for regressions of many layers on a few spatial fields, with their spatial correlation.

A layer is a date of a series or a pair of a stack. Sums are float64, over tiles of 256 x 256 pixels at absolute
positions, put together in the order of the tiles: the same to the bit however the pixels are cut into chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import xarray as xr
from numpy.typing import NDArray

type Doubles = NDArray[np.float64]
type Marks = NDArray[np.bool_]

VALUES, KEPT, WHERE, HEIGHT = "values", "kept", "where", "height"
"""Names of the variables of a tile; ``kept`` and ``where`` are 0 or 1, ``height`` may be absent."""
LAGS = (1, 2, 4, 8, 16, 32, 64, 128)
"""Distances, pixels, at which the correlation of what remains is measured, along rows and columns."""
KILOMETRE = 1000.0
# Correlation is measured on one line in so many.
_THIN = 4


@dataclass(frozen=True, slots=True)
class Frame:
    """Which fields layers are regressed on: 1, a polynomial of the place, and the height.

    Places are scaled so that the whole grid spans -1 to 1; heights are in kilometres.
    """

    y: tuple[float, float]
    """Middle and half of the extent, in units of the CRS."""
    x: tuple[float, float]
    degree: int
    """Of the polynomial: 0, 1 or 2."""
    height: bool

    @property
    def ramp(self) -> tuple[str, ...]:
        """Names of the polynomial's terms without the constant."""
        return (("x", "y"), ("x", "y", "xx", "xy", "yy"))[self.degree - 1] if self.degree else ()

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of all terms."""
        return ("constant", *self.ramp, *(("height",) if self.height else ()))

    def fields(self, y: Doubles, x: Doubles, height: Doubles | None) -> Doubles:
        """Evaluate all terms, (term, y, x); ``y`` (rows,) and ``x`` (columns,) in units of the CRS, ``height`` in m."""
        v, u = np.meshgrid((y - self.y[0]) / self.y[1], (x - self.x[0]) / self.x[1], indexing="ij")
        made = {"constant": np.ones_like(u), "x": u, "y": v, "xx": u * u, "xy": u * v, "yy": v * v}
        if height is not None:
            made["height"] = height / KILOMETRE
        return np.stack([made[name] for name in self.terms])


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of products over the pixels that count; G are the fields, x a layer less its temporal model."""

    count: Doubles
    """(layer,)"""
    gg: Doubles
    """(layer or 1, term, term)"""
    gx: Doubles
    """(layer, term)"""
    xx: Doubles
    """(layer,)"""
    near_count: Doubles
    """(2, lag, layer): pairs of pixels along columns and rows."""
    near_gg: Doubles
    """(2, lag, layer or 1, term, term)"""
    near_gx: Doubles
    """(2, lag, layer, term)"""
    near_xx: Doubles
    """(2, lag, layer)"""

    def plus(self, other: Sums) -> Sums:
        """Add the sums of another tile."""
        return Sums(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


@dataclass(frozen=True, slots=True)
class CountTile:
    """Counts the pixels of a tile that each layer has."""

    def __call__(self, tile: xr.Dataset) -> Doubles:
        """Give the count, (layer,)."""
        seen = np.isfinite(tile[VALUES].values) & _wanted(tile)
        return np.asarray(seen.sum(axis=(1, 2)), "float64")


@dataclass(frozen=True, slots=True)
class SumTile:
    """Makes the sums of a tile."""

    frame: Frame
    design: tuple[tuple[float, ...], ...] | None
    """Temporal model, (layer, column); ``None`` for layers that stand alone, each with its own pixels."""

    def __call__(self, tile: xr.Dataset) -> Sums:
        """Make the sums over the pixels that count."""
        values = np.asarray(tile[VALUES].values, "float64")
        seen = np.isfinite(values) & _wanted(tile)
        if self.design is not None:
            kept = tile[KEPT].values[:, 0, 0] == 1
            seen = (seen | ~kept[:, None, None]).all(axis=0, keepdims=True)
            values = _without_model(np.where(seen, values, 0.0), np.array(self.design), kept)
        height = np.asarray(tile[HEIGHT].values, "float64") if self.frame.height else None
        grounds = self.frame.fields(tile["y"].values, tile["x"].values, height)
        return _sums(np.where(seen, values, 0.0), np.where(seen.any(axis=0), grounds, 0.0), seen)


def combine(tiles: list[Sums]) -> Sums:
    """Add the sums of all tiles, in their order."""
    total = tiles[0]
    for tile in tiles[1:]:
        total = total.plus(tile)
    return total


def basis_of(design: Doubles, kept: Marks) -> Doubles:
    """Give an orthonormal basis (layer, rank) of the temporal model at the layers that are kept; 0 at the others."""
    own = np.where(kept[:, None], design, 0.0)
    size = np.sqrt((own * own).sum(axis=0))
    scaled = own / np.where(size > 0, size, 1.0)
    left, strength, _ = np.linalg.svd(scaled, full_matrices=False)
    return np.asarray(left[:, strength > 1e-8], "float64")


def _without_model(values: Doubles, design: Doubles, kept: Marks) -> Doubles:
    """Subtract each pixel's own least-squares fit of the temporal model; 0 at layers that are not kept."""
    basis = basis_of(design, kept)
    own = np.where(kept[:, None, None], values, 0.0)
    return np.asarray(own - np.einsum("kr,ryx->kyx", basis, np.einsum("kr,kyx->ryx", basis, own)), "float64")


def _wanted(tile: xr.Dataset) -> Marks:
    wanted = tile[WHERE].values == 1
    return wanted & np.isfinite(tile[HEIGHT].values) if HEIGHT in tile else np.asarray(wanted)


def _sums(x: Doubles, g: Doubles, seen: Marks) -> Sums:
    """Make all sums; ``x`` (layer, y, x) and ``g`` (term, y, x) are 0 where nothing is seen."""
    marks = seen.astype("float64")
    own = _products((x, g, marks), (x, g, marks))
    near = [[_products(*_apart((x, g, marks), lag, axis)) for lag in LAGS] for axis in (1, 2)]
    return Sums(*own, *(np.array([[cell[part] for cell in row] for row in near]) for part in range(4)))


def _apart(arrays: Sequence[Doubles], lag: int, axis: int) -> tuple[list[Doubles], list[Doubles]]:
    """Give both ends of pixels that lie ``lag`` apart, on one in four lines."""
    ends: tuple[list[Doubles], list[Doubles]] = ([], [])
    size = max(arrays[0].shape[axis] - lag, 0)
    for array in arrays:
        thin = array[:, :, ::_THIN] if axis == 1 else array[:, ::_THIN]
        for start, end in zip((0, lag), ends, strict=True):
            cut = slice(start, start + size) if size else slice(0, 0)
            end.append(np.ascontiguousarray(thin[:, cut] if axis == 1 else thin[:, :, cut]))
    return ends


def _products(one: Sequence[Doubles], other: Sequence[Doubles]) -> tuple[Doubles, ...]:
    """Sum the products of pixels both of which count, made symmetric."""
    (x0, g0, m0), (x1, g1, m1) = one, other
    both = m0 * m1
    count = np.broadcast_to(both.sum(axis=(1, 2)), (len(x0),)).copy()
    xx = np.einsum("kyx,kyx->k", x0, x1)
    squares = _gram(both, g0, g1)
    # Where all layers share their pixels, a field is 0 wherever one of them is.
    alone = len(both) > 1
    crossed = np.einsum("kyx,pyx->kp", x0 * both if alone else x0, g1)
    if x0 is not x1:
        crossed = (crossed + np.einsum("kyx,pyx->kp", x1 * both if alone else x1, g0)) / 2
        squares = (squares + squares.transpose(0, 2, 1)) / 2
    return count, squares, crossed, xx


def _gram(both: Doubles, g0: Doubles, g1: Doubles) -> Doubles:
    made = np.empty((len(both), len(g0), len(g1)))
    for p, q in np.ndindex(len(g0), len(g1)):
        made[:, p, q] = np.einsum("kyx,yx->k", both, g0[p] * g1[q])
    return made
