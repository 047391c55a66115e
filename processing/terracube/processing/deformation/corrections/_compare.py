"""Whether a field that is known from elsewhere is seen in the displacement: spread before and after, correlation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.delayed import delayed
from numpy.typing import NDArray

from terracube.cubes import reduce_blocks
from terracube.processing.deformation.corrections._record import DISPLACEMENT

type Doubles = NDArray[np.float64]

_SIDE = 1024


def compared(series: xr.Dataset, field: xr.DataArray, name: str) -> dict[str, xr.DataArray]:
    """Compare a field (time, y, x), m, with the displacement that it is to be taken off.

    Returns
    -------
    Arrays (time,) named ``NAME_std_before`` and ``NAME_std_after``, m, over the pixels that have both, and
    ``NAME_correlation``; NaN where a date has fewer than two. The same to the bit however the series is cut.
    """
    own = series[DISPLACEMENT]
    places = {key: own.coords[key] for key in ("y", "x", "spatial_ref") if key in own.coords}
    dims = ("time", "y", "x")
    made = {"seen": (dims, own.data), "known": (dims, field.transpose(*dims).data)}
    sides = (_SIDE, _SIDE) if own.chunks is None else (own.chunks[1], own.chunks[2])
    cube = xr.Dataset(made, coords=places).chunk(time=-1, y=sides[0], x=sides[1])
    answer = delayed(_told, pure=True)(reduce_blocks(cube, None, _Moments(), _added))
    shape = (3, own.sizes["time"])
    # What is in memory already is answered at once; a lazy series stays lazy.
    table: Any = np.asarray(answer.compute()) if own.chunks is None else da.from_delayed(answer, shape, "float64")
    names = ("std_before", "std_after", "correlation")
    return {f"{name}_{key}": xr.DataArray(table[row], dims="time") for row, key in enumerate(names)}


@dataclass(frozen=True, slots=True)
class _Moments:
    """Sums over a tile of one, both, and their products: (6, time)."""

    def __call__(self, tile: xr.Dataset) -> Doubles:
        seen, known = (np.asarray(tile[key].values, "float64") for key in ("seen", "known"))
        both = np.isfinite(seen) & np.isfinite(known)
        x, y = np.where(both, seen, 0.0), np.where(both, known, 0.0)
        return np.stack([part.sum(axis=(1, 2)) for part in (both.astype("float64"), x, y, x * x, y * y, x * y)])


def _added(tiles: list[Doubles]) -> Doubles:
    return np.asarray(np.sum(tiles, axis=0), "float64")


def _told(sums: Doubles) -> Doubles:
    """Make spread before, after and correlation of the sums."""
    with np.errstate(divide="ignore", invalid="ignore"):
        count = np.where(sums[0] >= 2, sums[0], np.nan)
        mean_x, mean_y = sums[1] / count, sums[2] / count
        xx, yy = sums[3] / count - mean_x**2, sums[4] / count - mean_y**2
        xy = sums[5] / count - mean_x * mean_y
        after = np.sqrt(np.maximum(xx - 2 * xy + yy, 0.0))
        correlation = np.where((xx > 0) & (yy > 0), xy / np.sqrt(np.maximum(xx * yy, 1e-300)), np.nan)
        return np.stack([np.sqrt(np.maximum(xx, 0.0)), after, correlation])
