"""Maps with a place on the ground, in memory or in chunks."""

from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from affine import Affine

from terracube.cubes import Grid
from terracube.cubes.layout import georeference

Placer = Callable[..., xr.DataArray]


@pytest.fixture(scope="session")
def placed() -> Placer:
    """Place an array (..., y, x) on 10 m pixels of UTM 31, or on degrees, cut into chunks if any are given."""

    def place(values: np.ndarray, chunks: Any = None, *, nodata: int | None = 0, degrees: bool = False) -> xr.DataArray:
        transform = Affine(1e-4, 0, 2, 0, -1e-4, 43) if degrees else Affine(10, 0, 500_000, 0, -10, 4_800_000)
        grid = Grid.from_affine("EPSG:4326" if degrees else "EPSG:32631", transform, values.shape[-2:])
        data = values if chunks is None else da.from_array(values, chunks=(*(1,) * (values.ndim - 2), *chunks))
        attrs = {} if nodata is None else {"nodata": nodata}
        array = xr.DataArray(data, dims=("class", "y", "x")[-values.ndim :], attrs=attrs).rename("map")
        if values.ndim == 3:
            array = array.assign_coords({"class": np.arange(1, values.shape[0] + 1)})
        return georeference(array, grid)

    return place


@pytest.fixture(scope="session")
def untouchable(placed: Placer) -> Placer:
    """A lazy map whose pixels may not be computed."""

    def refuse(block: np.ndarray) -> np.ndarray:
        raise AssertionError("computed")

    def make(shape: tuple[int, ...], dtype: str) -> xr.DataArray:
        array = placed(np.zeros(shape, dtype), (3, 3))
        return array.copy(data=da.map_blocks(refuse, array.data, dtype=dtype, meta=np.empty((0,) * len(shape), dtype)))

    return make
