"""What the pixels of one tile tell about a lake, and what all tiles tell together.

Areas are summed as whole numbers of square centimetres, so that neither the order of tiles nor of dates changes a bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.cubes import Grid
from terracube.cubes.sampling.zones import ZoneTile
from terracube.processing.water.lakes.areas import pixel_areas

FRACTIONS = (0.1, 0.25, 0.5, 0.75, 0.9)
_UNIT = 1e-4
_SUMS = 5
# The median of n values that scatter normally is this much less sure than their mean.
_MEDIAN = float(np.sqrt(np.pi / 2))


@dataclass(frozen=True, slots=True)
class Names:
    """Which variable says what; ``None`` where there is none."""

    mask: str | None
    flags: str | None
    products: tuple[str, ...]
    noise: tuple[str | None, ...]
    algorithm: tuple[str | None, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Order:
    """How to measure."""

    grid: Grid
    names: Names
    nodata: dict[str, float | None]
    """The number, besides NaN, that stands for missing in each variable."""
    ground: tuple[bool, ...]
    """Per polygon: whether its pixels are measured on the ellipsoid."""
    rates: tuple[float, ...]
    """Per polygon: share of the pixels whose values are kept for quantiles."""
    unclear: int
    """Bits of the flags under which a pixel is not seen."""
    refused: int
    """Bits of the flags under which a pixel of water has no value of a product."""
    cloud: int
    ice: int


@dataclass(frozen=True, eq=False, slots=True)
class Part:
    """What is known of a polygon from one tile, or from all."""

    pixels: int
    """Pixels of the cube that the polygon touches."""
    area: int
    """Area of the polygon within the cube, in cm2."""
    planes: NDArray[np.int64]
    """(4, T): area seen, area wet, area under cloud or its shadow, area under ice, in cm2."""
    weights: NDArray[np.float64]
    """(k,), areas of the pixels kept for quantiles."""
    values: NDArray[np.float32]
    """(product, T, k), NaN where missing, not water, or under a flag that is refused."""
    told: NDArray[np.float32]
    """(product, T, k): the algorithm's error of each value, NaN where it is not known."""
    sums: NDArray[np.float64]
    """(product, 5, T): number of values; of those whose noise is known, sums of weight, of weight times noise, of the
    square of weight, and of weight over noise."""


def measure(tile: ZoneTile, *, order: Order) -> Part:
    """Measure one tile of a polygon."""
    area = tile.shares * pixel_areas(order.grid, tile.rows, tile.cols, ground=order.ground[tile.number])
    weights = np.rint(area / _UNIT).astype("int64")
    values = {name: _number(tile, name, order) for name in order.names.products}
    dates = max((len(array) for array in tile.values.values() if array.ndim == 2), default=1)
    seen, wet = _water(tile, order, values, dates)
    flags = _flags(tile, order)
    cloud, ice = (flags & bits != 0 for bits in (order.cloud, order.ice))
    planes = [np.where(np.broadcast_to(plane, (dates, area.size)), weights, 0) for plane in (seen, wet, cloud, ice)]
    kept = _kept(tile.rows, tile.cols, order.rates[tile.number])
    fit = wet & (flags & order.refused == 0)
    shown = [np.where(fit, array, np.nan) for array in values.values()]
    return Part(
        pixels=area.size,
        area=int(weights.sum()),
        planes=np.array([plane.sum(axis=1) for plane in planes]),
        weights=area[kept],
        values=np.array([array[:, kept] for array in shown], "float32").reshape(len(shown), dates, int(kept.sum())),
        told=_told(tile, order, shown, kept).reshape(len(shown), dates, int(kept.sum())),
        sums=_sums(tile, order, shown, area).reshape(len(shown), _SUMS, dates),
    )


def join(parts: Sequence[Part]) -> Part:
    """Join the parts of all tiles, in their order."""
    return Part(
        pixels=sum(part.pixels for part in parts),
        area=sum(part.area for part in parts),
        planes=np.sum([part.planes for part in parts], axis=0),
        weights=np.concatenate([part.weights for part in parts]),
        values=np.concatenate([part.values for part in parts], axis=2),
        told=np.concatenate([part.told for part in parts], axis=2),
        sums=np.sum([part.sums for part in parts], axis=0),
    )


@dataclass(frozen=True, eq=False, slots=True)
class Summary:
    """What is reported of a polygon, at some dates; areas in m2."""

    pixels: int
    area: float
    planes: NDArray[np.float64]
    """(4, T)."""
    quantiles: NDArray[np.float64]
    """(product, T, fraction)."""
    errors: NDArray[np.float64]
    """(product, 4, T): number of values; mean noise of a pixel; noise and algorithm's error of the median."""


def summary(parts: list[Part]) -> Summary:
    """Join parts and let their values go."""
    whole = join(parts)
    quantiles = np.array([[quantiles_of(row, whole.weights) for row in array] for array in whole.values])
    shape = (*whole.values.shape[:2], len(FRACTIONS))
    return Summary(
        pixels=whole.pixels,
        area=whole.area * _UNIT,
        planes=np.asarray(whole.planes * _UNIT, "float64"),
        quantiles=quantiles.reshape(shape),
        errors=np.array([_errors(*both, whole.weights) for both in zip(whole.sums, whole.told, strict=True)]).reshape(
            shape[0], 4, shape[1]
        ),
    )


def quantiles_of(values: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give quantiles of values that count by their weight, NaN left out; with equal weights the usual ones.

    A value stands at the middle of its weight in the sum of all; the least and the greatest are the ends, and between
    values one goes straight. With equal weights this is Hyndman and Fan's type 7 (doi:10.1080/00031305.1996.10473566).

    Examples
    --------
    >>> quantiles_of(np.array([4.0, 1.0, np.nan, 2.0, 3.0]), np.ones(5)).tolist()
    [1.3, 1.75, 2.5, 3.25, 3.7]
    """
    seen = np.flatnonzero(~np.isnan(values))
    if not seen.size:
        return np.full(len(FRACTIONS), np.nan)
    order = seen[np.argsort(values[seen], kind="stable")]
    sizes = weights[order]
    middles = np.cumsum(sizes) - sizes / 2
    middles -= middles[0]
    wanted = np.asarray(FRACTIONS) * middles[-1]
    return np.asarray(np.interp(wanted, middles, values[order].astype("float64")), "float64")


def _number(tile: ZoneTile, name: str, order: Order) -> NDArray[Any]:
    """Give a variable as floats (T, n), or (1, n) where it has no dates; NaN where missing."""
    values = np.atleast_2d(tile.values[name])
    nodata = order.nodata[name]
    wide = values.astype("float32" if values.dtype.itemsize <= 2 or values.dtype == np.float32 else "float64")
    if nodata is not None:
        wide[values == nodata] = np.nan
    wide[~np.isfinite(wide)] = np.nan
    return wide


def _water(
    tile: ZoneTile, order: Order, values: dict[str, NDArray[Any]], dates: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell which pixels are seen, and which of these are water."""
    mask = order.names.mask
    if mask is None:
        found = [~np.isnan(array) for array in values.values()]
        seen = np.logical_or.reduce([np.broadcast_to(one, (dates, tile.rows.size)) for one in found])
        wet = seen
    else:
        told = np.atleast_2d(tile.values[mask])
        seen, wet = (told == 0) | (told == 1), told == 1
    clear = _flags(tile, order) & order.unclear == 0
    return np.broadcast_to(seen & clear, (dates, tile.rows.size)), np.broadcast_to(wet & clear, (dates, tile.rows.size))


def _flags(tile: ZoneTile, order: Order) -> NDArray[Any]:
    name = order.names.flags
    return np.zeros((1, tile.rows.size), "uint16") if name is None else np.atleast_2d(tile.values[name])


def _told(tile: ZoneTile, order: Order, shown: Sequence[NDArray[Any]], kept: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Give the algorithm's error of the values that are kept for quantiles."""
    found = []
    for array, name in zip(shown, order.names.algorithm, strict=True):
        errors = np.full_like(array, np.nan) if name is None else _number(tile, name, order)
        found.append(np.where(np.isnan(array), np.nan, errors)[:, kept])
    return np.array(found, "float32")


def _sums(
    tile: ZoneTile, order: Order, shown: Sequence[NDArray[Any]], area: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sum what the noise of the median is made of, over the pixels that have a value."""
    sums = []
    for array, name in zip(shown, order.names.noise, strict=True):
        weights = np.where(np.isnan(array), 0.0, area)
        noise = np.full_like(array, np.nan) if name is None else _number(tile, name, order)
        known = np.where(np.isnan(noise), 0.0, weights)
        noise = np.where(np.isnan(noise), 1.0, noise)
        with np.errstate(divide="ignore", invalid="ignore"):
            surety = np.where(known > 0, known / noise, 0.0)
        terms = (weights > 0, known, known * noise, np.square(known), surety)
        # Summed along pixels that lie behind each other, a date does not notice how many dates there are.
        sums.append([np.ascontiguousarray(np.broadcast_to(term, weights.shape)).sum(axis=1) for term in terms])
    return np.array(sums, "float64")


def _errors(sums: NDArray[np.float64], told: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give number, mean noise of a pixel, noise of the median, and the algorithm's error of the median.

    The median of values of different noise is as sure as the sum of their inverse noises says. The error of a formula
    grows with its value, so that the middle one of the errors is that of the middle value.
    """
    number, known, noise, squares, surety = sums
    known = np.where(known > 0, known, np.nan)
    factor = np.where(number > 2, _MEDIAN, 1.0)
    middle = np.array([quantiles_of(row, weights)[FRACTIONS.index(0.5)] for row in told])
    with np.errstate(divide="ignore", invalid="ignore"):
        sure = factor * np.sqrt(squares) / np.where(surety > 0, surety, np.nan)
    return np.stack([number, noise / known, sure, middle])


def _kept(rows: NDArray[np.int64], cols: NDArray[np.int64], rate: float) -> NDArray[np.bool_]:
    """Choose a share of the pixels by their place alone: a number is made of it that looks random (SplitMix64)."""
    if rate >= 1.0:
        return np.ones(rows.shape, np.bool_)
    mixed = (rows.astype("uint64") << np.uint64(32)) ^ (cols.astype("uint64") & np.uint64(0xFFFFFFFF))
    mixed += np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return np.asarray(mixed < np.uint64(int(rate * 2.0**64)), np.bool_)
