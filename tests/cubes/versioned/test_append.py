"""What is appended is in the cube, to the bit, whatever the order and however it was cut."""

from __future__ import annotations

from itertools import pairwise, permutations

import dask
import numpy as np
import pytest
import xarray as xr
from distributed import Client, LocalCluster
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terracube.core.errors import ConflictError, InputError
from terracube.cubes.storage.versioned import CubeVariable, VersionedCube

DAYS = ["2023-08-10", "2023-08-12T10:00:31.024", "2023-08-15", "2023-08-20"]


def same(one: xr.Dataset, other: xr.Dataset) -> bool:
    """Tell whether two datasets are equal in every bit, coordinate and attribute."""
    bits = all(one[name].values.tobytes() == other[name].values.tobytes() for name in [*one.data_vars, *one.coords])
    return bits and one.load().identical(other.load())


def test_round_trip(cube, scene):
    """An appended dataset comes back bit for bit, sorted by time."""
    whole = scene(DAYS)
    cube.append(whole.isel(time=[2, 0, 3, 1]))
    found = cube.dataset()
    assert found.time.values.tolist() == whole.time.values.tolist()
    for name in ("red", "scl"):
        assert found[name].dtype == whole[name].dtype
        assert found[name].values.tobytes() == whole[name].values.tobytes()
    for name in ("y", "x"):
        assert found[name].values.tobytes() == whole[name].values.tobytes()


def test_any_order(new_cube, scene):
    """Whatever the order in which dates arrive, singly or together, the cube is the same."""
    wanted = new_cube()
    wanted.append(scene(DAYS[:3]))
    for order in list(permutations(DAYS[:3]))[1::2]:
        cube = new_cube()
        for day in order:
            cube.append(scene([day]))
        assert same(cube.dataset(), wanted.dataset()), order


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_pieces(new_cube, scene, data):
    """Whatever the windows and the order in which the pixels of a date arrive, the cube is the same."""
    rows = sorted({0, 41, *data.draw(st.lists(st.integers(1, 40), max_size=2))})
    cols = sorted({0, 55, *data.draw(st.lists(st.integers(1, 54), max_size=2))})
    pieces = [
        scene([day], start=(top, left), shape=(bottom - top, right - left))
        for day in DAYS[:2]
        for top, bottom in pairwise(rows)
        for left, right in pairwise(cols)
    ]
    wanted, cube = new_cube(), new_cube()
    wanted.append(scene(DAYS[:2]))
    for piece in data.draw(st.permutations(pieces)):
        cube.append(piece, on_conflict=data.draw(st.sampled_from(["replace", "keep", "raise"])))
    assert same(cube.dataset(), wanted.dataset())
    assert cube.verify() == 2 * 2 * 4


@pytest.mark.parametrize("chunks", [None, {"time": -1, "y": 7, "x": 13}, {"time": 1, "y": 32, "x": 32}])
def test_any_chunks(cube, new_cube, scene, chunks):
    """A dataset in memory, or lazy and cut in any way, enters the same way."""
    whole = scene(DAYS, start=(3, 5), shape=(30, 40))
    wanted = new_cube()
    wanted.append(whole)
    cube.append(whole if chunks is None else whole.chunk(chunks), verify=True)
    assert same(cube.dataset(), wanted.dataset())


def test_blocks_computed_once(cube, scene):
    """A lazy block that lies across chunks of the cube is computed once."""
    whole = scene(DAYS[:1])
    calls = []

    def count(values):
        calls.append(values.shape)
        return values

    lazy = whole.chunk(y=23, x=29)
    lazy["red"] = lazy.red.copy(data=lazy.red.data.map_blocks(count, dtype="float32", meta=np.empty((0, 0, 0), "f4")))
    cube.append(lazy)
    assert len(calls) == 4


def test_again(cube, scene):
    """The same content again makes no new snapshot, whole or in part, under any rule."""
    first = cube.append(scene(DAYS))
    for rule in ("replace", "keep", "overwrite", "raise"):
        assert cube.append(scene(DAYS), on_conflict=rule) == first
        assert cube.append(scene(DAYS[1:2], start=(5, 6), shape=(20, 20)), on_conflict=rule) == first
    assert len(cube.history()) == 2


@pytest.mark.parametrize(
    ("rule", "window"),
    [
        ("replace", ((0, 0), (41, 55))),
        ("replace", ((10, 20), (17, 29))),
        ("keep", ((10, 20), (17, 29))),
        ("overwrite", ((10, 20), (17, 29))),
        ("overwrite", ((40, 54), (1, 1))),
    ],
)
def test_rules(cube, scene, rule, window):
    """Where a date is there already, the rule says for each pixel which value stays."""
    start, shape = window
    old, new = scene(DAYS), scene(DAYS[1:3], start=start, shape=shape, seed=1)
    cube.append(old)
    cube.append(new, on_conflict=rule)
    found = cube.dataset()
    inside = (slice(1, 3), slice(start[0], start[0] + shape[0]), slice(start[1], start[1] + shape[1]))
    for name, missing in (("red", np.isnan), ("scl", lambda v: v == 255)):
        wanted, fresh = old[name].values.copy(), new[name].values
        held = wanted[inside]
        taken = {"replace": ~missing(fresh), "keep": missing(held), "overwrite": np.ones(fresh.shape, bool)}[rule]
        wanted[inside] = np.where(taken, fresh, held)
        assert np.array_equal(found[name].values, wanted, equal_nan=True)
    assert cube.verify()


def test_raise(cube, scene):
    """Other values are refused if asked for; equal ones and ones for gaps are welcome."""
    cube.append(scene(DAYS, shape=(41, 30)), on_conflict="raise")
    state = cube.append(scene(DAYS, start=(0, 20)), on_conflict="raise")
    with pytest.raises(ConflictError, match="other values"):
        cube.append(scene(DAYS[:1], seed=1), on_conflict="raise")
    assert cube.history()[0] == state
    assert same(cube.dataset(), cube.at(state.id))


def test_corrected_scene(new_cube, scene):
    """A corrected scene that overwrites the old one gives the cube that never knew the old one."""
    wanted, cube = new_cube(), new_cube()
    wanted.append(scene(DAYS, seed=2))
    cube.append(scene(DAYS[2:]))
    cube.append(scene(DAYS, seed=2), on_conflict="overwrite")
    assert same(cube.dataset(), wanted.dataset())


def test_all_missing(cube, scene):
    """A date without any value is a date; its chunks take no space, and may be filled or emptied later."""
    whole = scene(DAYS[:1])
    empty = whole.assign(red=whole.red * np.float32(np.nan), scl=whole.scl.where(False, 255).astype("uint8"))
    empty.red.attrs, empty.scl.attrs = whole.red.attrs, whole.scl.attrs
    first = cube.append(empty)
    assert (first.changed_pixels, len(first.added)) == (0, 1)
    assert np.isnan(cube.dataset().red.values).all()
    assert (cube.dataset().scl.values == 255).all()
    cube.append(whole)
    assert same(cube.dataset()[["red"]], cube.dataset()[["red"]])
    cube.append(empty, on_conflict="overwrite")
    assert same(cube.dataset(), cube.at(first.id))
    assert cube.verify()


def test_nan_has_one_form(cube, scene):
    """A NaN of other bits is the same NaN: equal data are equal bits."""
    odd = scene(DAYS[:1])
    values = odd.red.values
    values.view("uint32")[np.isnan(values)] = 0xFFC12345
    first = cube.append(odd)
    assert cube.append(scene(DAYS[:1])) == first


def test_one_date_without_axis(cube, scene):
    """A dataset (y, x) with its time beside it is one date; rows may run north; axes may be in any order."""
    whole = scene(DAYS[:1])
    first = cube.append(whole.isel(time=0))
    assert cube.append(whole.isel(y=slice(None, None, -1))) == first
    assert cube.append(whole.transpose("x", "y", "time")) == first


def test_without_nodata(tmp_path, grid, scene):
    """Integers without a nodata value are taken for the whole grid only, and zero is a value."""
    cube = VersionedCube.create(tmp_path / "cube", grid=grid, variables={"scl": "uint8"}, chunks=32)
    counts = scene(DAYS[:2])[["scl"]]
    counts.scl.attrs.clear()
    counts.scl[0] = 0
    first = cube.append(counts)
    assert first.changed_pixels == 2 * 41 * 55
    assert np.array_equal(cube.dataset().scl.values, counts.scl.values)
    assert "nodata" not in cube.dataset().scl.attrs
    assert cube.append(counts) == first
    with pytest.raises(InputError, match="every pixel"):
        cube.append(counts.isel(x=slice(0, 20)))
    cube.append(counts.isel(time=[0]) + np.uint8(1))
    assert cube.verify() == 8


def test_from_dataset(tmp_path, scene, grid):
    """A cube can take grid and variables from a dataset, also from one cut out of a larger raster."""
    whole = scene(DAYS[:1])
    cut = whole.isel(y=slice(4, 9), x=slice(7, 8))
    for number, (dataset, shape) in enumerate([(whole, (41, 55)), (cut, (5, 1))]):
        cube = VersionedCube.create(tmp_path / str(number), variables=dataset)
        assert cube.grid.same_pixels(grid)
        assert tuple(cube.grid.shape) == shape
        # As text, in which two NaN are alike.
        wanted = {"red": CubeVariable("float32", units="1"), "scl": CubeVariable("uint8", 255)}
        assert repr(dict(cube.variables)) == repr(wanted)
        cube.append(dataset)
        assert cube.dataset().red.values.tobytes() == dataset.red.values.tobytes()
        assert cube.dataset().x.values.tobytes() == dataset.x.values.tobytes()


def test_one_pixel(tmp_path, grid, scene):
    """A cube of one pixel works."""
    pixel = scene(DAYS).isel(y=[3], x=[4])
    cube = VersionedCube.create(tmp_path / "cube", variables=pixel, chunks=1)
    cube.append(pixel)
    assert cube.dataset().scl.values.tobytes() == pixel.scl.values.tobytes()


def test_scheduler(cube, new_cube, scene):
    """The scheduler that dask is set to does not matter."""
    wanted = new_cube()
    wanted.append(scene(DAYS))
    with dask.config.set(scheduler="synchronous"):
        cube.append(scene(DAYS).chunk(y=9))
    assert same(cube.dataset(), wanted.dataset())


def test_cluster(cube, new_cube, scene, monkeypatch):
    """With an active client its workers compute the pixels, a batch at a time; they are the same."""
    monkeypatch.setattr("terracube.cubes.storage.versioned.writing._BATCH_BYTES", 5000)
    wanted = new_cube()
    wanted.append(scene(DAYS))
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster),
    ):
        there = scene(DAYS).chunk(y=9).persist()  # only workers hold the pixels
        first = cube.append(there)
        assert same(cube.dataset(), wanted.dataset())
        assert cube.append(there) == first
