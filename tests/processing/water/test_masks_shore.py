"""Distance to the shore."""

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from terracube.core.errors import InputError, MetadataError
from terracube.cubes import Grid
from terracube.cubes.layout import georeference
from terracube.processing.water.masks import shore_distance


def water(values, *, crs="EPSG:32633", pixel=20.0):
    """Place a map of water."""
    rows, cols = values.shape[-2:]
    box = (0, 0, cols * pixel, rows * pixel)
    grid = Grid.from_bbox(box, crs=crs, bbox_crs=crs, resolution=pixel)
    return georeference(xr.DataArray(values.astype(np.uint8), dims=("time", "y", "x")[-values.ndim :]), grid)


def scattered(seed=0, shape=(50, 60), share=0.01):
    """Give water with a few dry pixels and some without data."""
    rng = np.random.default_rng(seed)
    values = np.where(rng.random(shape) < share, 0, 1)
    values[rng.random(shape) < 0.02] = 255
    return values


def test_as_the_exact_transform():
    """Up to the reach the distance is the exact one, in metres; missing is NaN and no shore."""
    values = scattered()
    exact = np.minimum(distance_transform_edt(values != 0, sampling=20.0), 150.0)
    found = shore_distance(water(values), reach=150.0)
    np.testing.assert_allclose(found.values, np.where(values == 255, np.nan, exact), rtol=1e-6)
    assert (found.attrs["units"], found.dtype) == ("m", np.float32)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 99), st.sampled_from([25.0, 90.0, 400.0]))
def test_cuts_never_matter(rows, cols, seed, reach):
    """Whatever the chunks, the same to the bit, and nothing is computed early."""
    layer = water(scattered(seed))
    with dask.config.set(scheduler=None):
        lazy = shore_distance(layer.chunk(y=rows, x=cols), reach=reach)
    np.testing.assert_array_equal(lazy.values, shore_distance(layer, reach=reach).values)


def test_dates():
    """Dates are measured apart, lazily or not."""
    values = np.stack([scattered(1), scattered(2)])
    found = shore_distance(water(values), reach=100.0)
    assert found.dims == ("time", "y", "x")
    for number in range(2):
        np.testing.assert_array_equal(found[number].values, shore_distance(water(values[number]), reach=100.0).values)
    lazy = shore_distance(water(values).chunk(time=1, y=20), reach=100.0)
    np.testing.assert_array_equal(lazy.values, found.values)


def test_degrees():
    """In degrees at 60 north, a pixel to the side is half as far as one above."""
    values = np.ones((5, 5))
    values[2, 2] = 0
    grid = Grid.from_bbox((10, 60, 10.005, 60.005), crs="EPSG:4326", resolution=0.001)
    layer = georeference(xr.DataArray(values.astype(np.uint8), dims=("y", "x")), grid)
    found = shore_distance(layer, reach=500.0).values
    assert found[2, 3] == pytest.approx(55.7, rel=0.01)
    assert found[1, 2] == pytest.approx(111.4, rel=0.01)


def test_no_shore_and_no_water():
    """All water is as far as the reach; all land is at no distance; nothing seen is NaN."""
    assert (shore_distance(water(np.ones((3, 4))), reach=70.0) == 70.0).all()
    assert (shore_distance(water(np.zeros((3, 4))), reach=70.0) == 0.0).all()
    assert shore_distance(water(np.full((3, 4), 255)), reach=70.0).isnull().all()


def test_bad_input_is_refused():
    """What is no map of water, a reach of nothing or of too much, and no CRS are refused."""
    layer = water(scattered())
    for wrong in (layer.astype(float), layer.values, layer.rename(y="row")):
        with pytest.raises(InputError):
            shore_distance(wrong)
    for reach in (0.0, -1.0, 1e6, float("nan")):
        with pytest.raises(InputError):
            shore_distance(layer, reach=reach)
    with pytest.raises(MetadataError):
        shore_distance(xr.DataArray(np.ones((3, 3), np.uint8), dims=("y", "x")))
