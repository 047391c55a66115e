"""What the deep-water pixels of a whole scene say of its glint: slopes against a near-infrared band.

Sums are made over fixed tiles of 256 x 256 pixels at absolute positions and put together in the order of the tiles, so
that slopes are the same to the bit however the scene is cut into chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from dask.delayed import Delayed
from numpy.typing import NDArray

from terracube.cubes import reduce_blocks

DEEP = "deep_water"


@dataclass(frozen=True, slots=True)
class _Sums:
    """Moments of the deep-water pixels of a tile, (time,) or (time, band)."""

    count: NDArray[np.float64]
    least: NDArray[np.float64]
    nir: NDArray[np.float64]
    means: NDArray[np.float64]
    spread: NDArray[np.float64]
    """Sum of squares of the NIR around its mean."""
    cross: NDArray[np.float64]
    """Sum of products of band and NIR around their means."""


@dataclass(frozen=True, slots=True)
class DeepWater:
    """What is gathered from the deep-water pixels of each date."""

    slopes: NDArray[np.float64]
    """(time, band): change of the band per change of the NIR; NaN where a date has fewer than two pixels."""
    least: NDArray[np.float64]
    """(time,) smallest NIR reflectance."""
    count: NDArray[np.float64]
    """(time,) pixels used."""

    def table(self) -> NDArray[np.float64]:
        """Give all in one array (time, band + 2): slopes, then the smallest NIR, then the count."""
        return np.concatenate([self.slopes, self.least[:, None], self.count[:, None]], axis=1)


def deep_water(cube: xr.Dataset, bands: Sequence[str], nir: str, deep: xr.DataArray) -> Delayed:
    """Gather slopes and the smallest NIR of the deep-water pixels, lazily: gives :meth:`DeepWater.table`.

    Parameters
    ----------
    cube : xarray.Dataset
        (time, y, x) or (y, x), with CRS.
    bands : sequence of str
        Bands to regress on the NIR.
    nir : str
        Band that holds glint alone where water is deep.
    deep : xarray.DataArray
        bool (time, y, x) or (y, x): deep water with glint of all strengths, and nothing else.
    """
    chosen = cube[list(dict.fromkeys([*bands, nir]))].assign({DEEP: deep.astype("uint8")})
    return reduce_blocks(_cut_alike(chosen), None, _Partial(tuple(bands), nir), _combine)


def _cut_alike(cube: xr.Dataset) -> xr.Dataset:
    """Cut all variables as the first lazy one is; what is in memory stays there if all is."""
    first = next((values for values in cube.data_vars.values() if values.chunks is not None), None)
    return cube if first is None else cube.chunk(first.chunksizes)


@dataclass(frozen=True, slots=True)
class _Partial:
    """Makes the sums of one tile."""

    bands: tuple[str, ...]
    nir: str

    def __call__(self, tile: xr.Dataset) -> _Sums:
        nir = _dated(tile[self.nir].values)
        marked = np.broadcast_to(_dated(tile[DEEP].values) == 1, nir.shape)
        values = np.stack([np.broadcast_to(_dated(tile[band].values), nir.shape) for band in self.bands], axis=1)
        seen = marked & np.isfinite(nir) & np.isfinite(values).all(axis=1)
        return _joined([_sums(nir[date][seen[date]], values[date][:, seen[date]]) for date in range(len(nir))])


def _dated(values: NDArray[Any]) -> NDArray[Any]:
    return values[None] if values.ndim == 2 else values


def _sums(nir: NDArray[Any], values: NDArray[Any]) -> _Sums:
    """Make the sums of the pixels (n,) and (band, n) of one date."""
    own, others = nir.astype("float64"), np.ascontiguousarray(values, "float64")
    size, none = np.array(float(own.size)), np.zeros(len(others))
    if not own.size:
        return _Sums(size, np.array(np.inf), np.array(0.0), none, np.array(0.0), none)
    mean, means = np.array(own.mean()), others.mean(axis=1)
    away = own - mean
    cross = ((others - means[:, None]) * away).sum(axis=1)
    return _Sums(size, np.array(own.min()), mean, means, np.array((away * away).sum()), cross)


def _joined(dates: Sequence[_Sums]) -> _Sums:
    return _Sums(*(np.stack([getattr(one, name) for one in dates]) for name in _Sums.__slots__))


def _combine(tiles: list[_Sums]) -> NDArray[np.float64]:
    total = tiles[0]
    for tile in tiles[1:]:
        total = _added(total, tile)
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = np.where(total.spread[:, None] > 0, total.cross / total.spread[:, None], np.nan)
    least = np.where(total.count > 0, total.least, np.nan)
    return DeepWater(slopes, least, total.count).table()


def _added(one: _Sums, other: _Sums) -> _Sums:
    """Put the moments of two sets of pixels together (Chan, Golub and LeVeque 1979, pairwise update)."""
    count = one.count + other.count
    share = np.divide(other.count, count, out=np.zeros_like(count), where=count > 0)
    weight = one.count * share
    step, steps = other.nir - one.nir, other.means - one.means
    return _Sums(
        count,
        np.minimum(one.least, other.least),
        one.nir + step * share,
        one.means + steps * share[:, None],
        one.spread + other.spread + step * step * weight,
        one.cross + other.cross + steps * (step * weight)[:, None],
    )
