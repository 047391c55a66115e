"""Reducing over time while reading: what numpy gives for the whole cube, in any blocks."""

from __future__ import annotations

import numpy as np
import pytest

from terracube.core.errors import InputError
from terracube.cubes import load, read_scenes, reduce_time

RNG = np.random.default_rng(11)
SIDE = 90


@pytest.fixture(scope="module")
def items(build, tmp_path_factory):
    """Five dates of two bands with holes and clouds; one pixel is never seen, one only once."""
    folder = tmp_path_factory.mktemp("overtime")
    made = []
    for day in range(11, 16):
        layers = {name: RNG.integers(1, 4000, (SIDE, SIDE)).astype("uint16") for name in ("red", "nir")}
        layers["red"][RNG.random((SIDE, SIDE)) < 0.2] = 0
        layers["scl"] = RNG.choice(np.array([4, 5, 9], "uint8"), (SIDE, SIDE))
        layers["scl"][0, 0] = 9
        layers["scl"][0, 1] = 4 if day == 12 else 8
        made.append(build(folder, f"s{day}", layers, when=f"2023-08-{day}T10:00:00Z"))
    return made


@pytest.fixture(scope="module")
def grid(items):
    """The pixels of the items."""
    return read_scenes(items, ["red"]).scenes[0].bands["red"].grid


REDUCERS = {
    "median": lambda v: np.nanmedian(v, axis=0),
    "mean": lambda v: np.nanmean(v, axis=0, dtype="float64"),
    "min": lambda v: np.nanmin(v, axis=0),
    "max": lambda v: np.nanmax(v, axis=0),
    ("percentile", 30): lambda v: np.nanpercentile(v.astype("float64"), 30, axis=0),
}


@pytest.mark.filterwarnings("ignore:All-NaN", "ignore:Mean of empty")
@pytest.mark.parametrize("how", REDUCERS, ids=str)
@pytest.mark.parametrize("resampling", ["nearest", "bilinear"])
def test_against_numpy(items, grid, how, resampling):
    """Values are those of numpy on the whole cube, whether numbers or blended values are reduced."""
    options = {"bands": ["red", "nir"], "grid": grid, "resampling": resampling}
    found = reduce_time(items, how, chunks=32, **options).compute()
    cube = load(items, chunks=None, **options)
    for name in ("red", "nir"):
        wanted = REDUCERS[how](cube[name].values)
        assert found[name].dtype == np.float32
        assert np.allclose(found[name].values, wanted, rtol=0, atol=1e-7, equal_nan=True)
        assert np.array_equal(found[f"{name}_count"].values, cube[name].notnull().sum("time"))
    assert np.isnan(found.red.values[0, 0])
    assert found.nir_count.values[0, 1] == 1


@pytest.mark.parametrize("radiometry", ["physical", "dn"])
def test_any_cut(items, grid, radiometry):
    """Blocks of any size, and a cube that was loaded before, give the same to the bit."""
    options = {"bands": ["red"], "grid": grid, "radiometry": radiometry}
    whole = reduce_time(items, "median", chunks=1000, **options).compute()
    for chunks in (7, 64, {"y": 90, "x": 11}):
        assert reduce_time(items, "median", chunks=chunks, **options).compute().equals(whole)
    loaded = reduce_time(load(items, chunks=40, **options), "median").compute()
    assert np.allclose(loaded.red.values, whole.red.values, rtol=0, atol=1e-7, equal_nan=True)
    assert loaded.red_count.equals(whole.red_count)


def test_numbers_keep_their_type(items, grid):
    """Least and largest numbers of files are numbers of files."""
    found = reduce_time(items, "max", bands=["red"], grid=grid, radiometry="dn").compute()
    assert (found.red.dtype, found.red.attrs["nodata"]) == (np.uint16, 0)
    assert found.red.values[0, 0] == 0


def test_tasks(items, grid):
    """One task reads and reduces a block; each variable adds the one that takes it out."""
    found = reduce_time(items, bands=["red", "nir"], grid=grid, chunks=30)
    assert len(dict(found.__dask_graph__())) <= 9 * 5 + 2


@pytest.mark.parametrize("how", ["mode", ("percentile",), 3, ("quantile", 3)])
def test_unknown(items, how):
    """An unknown reducer is refused."""
    with pytest.raises(InputError, match="reducer"):
        reduce_time(items, how, bands=["red"])
