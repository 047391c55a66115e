"""The doors to the block engine: any cut gives the same answer, and halos see their neighbours."""

from __future__ import annotations

import dask
import numpy as np
import pytest
import xarray as xr

from terracube.core.errors import InputError, MetadataError
from terracube.cubes import YX, load, map_blocks, read_scenes, reduce_blocks, reduce_time

SIDE = 300
RNG = np.random.default_rng(3)


@pytest.fixture(scope="module")
def items(build, tmp_path_factory):
    """Two dates of two bands, with holes and clouds."""
    folder = tmp_path_factory.mktemp("doors")
    made = []
    for day in (14, 15):
        layers = {name: RNG.integers(0, 4000, (SIDE, SIDE)).astype("uint16") for name in ("red", "nir")}
        layers["scl"] = RNG.choice(np.array([4, 5, 9], "uint8"), (SIDE, SIDE))
        made.append(build(folder, f"s{day}", layers, when=f"2023-08-{day}T10:00:00Z"))
    return made


@pytest.fixture(scope="module")
def grid(items):
    """A window whose corner is no multiple of anything."""
    native = read_scenes(items, ["red"]).scenes[0].bands["red"].grid
    return native.window(YX(3, 5), YX(290, 287))


@pytest.fixture(scope="module")
def cube(items, grid):
    """The cube in memory."""
    return load(items, bands=["red", "nir"], grid=grid, chunks=None)


def index(block):
    """A ratio over the dates, and how many there are."""
    total = np.nansum(block.nir.values, axis=0) - np.nansum(block.red.values, axis=0)
    return {"gap": total.astype("float32"), "count": block.red.notnull().sum("time").values.astype("uint16")}


def smooth(block):
    """The sum of the eight neighbours and the pixel itself."""
    values = np.nan_to_num(block.red.values[0]).astype("float64")
    total = sum(np.roll(values, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
    return {"sum": total}


TYPES = {"gap": "float32", "count": "uint16"}


class TestMap:
    @pytest.mark.parametrize("chunks", [37, 100, {"y": 290, "x": 50}, "auto"])
    def test_any_cut(self, items, grid, cube, chunks):
        """Items and datasets, in any blocks, give what the function gives for the whole."""
        wanted = index(cube)
        options = {"bands": ["red", "nir"]}
        mapped = map_blocks(items, grid, index, TYPES, chunks=chunks, **options)
        lazy = load(items, grid=grid, chunks=64, **options)
        for found in (mapped, map_blocks(lazy, None, index, TYPES), map_blocks(cube, None, index, TYPES)):
            for name, values in wanted.items():
                assert found[name].dtype == values.dtype
                assert np.array_equal(found[name].values, values)
            assert found.rio.crs == cube.rio.crs
            assert found.x.equals(cube.x)

    @pytest.mark.parametrize("chunks", [40, 97, 300])
    def test_halo(self, items, grid, cube, chunks):
        """A function of neighbours sees them across the borders of blocks; beyond the grid there is nothing."""
        padded = np.pad(np.nan_to_num(cube.red.values[0]).astype("float64"), 1)
        wanted = sum(padded[dy : dy + 290, dx : dx + 287] for dy in range(3) for dx in range(3))
        found = map_blocks(items, grid, smooth, {"sum": "float64"}, halo=2, chunks=chunks, bands=["red"])
        assert np.allclose(found["sum"].values, wanted, rtol=1e-12)
        lazy = load(items, grid=grid, chunks=chunks, bands=["red"])
        again = map_blocks(lazy, None, smooth, {"sum": "float64"}, halo=2)
        assert np.array_equal(again["sum"].values, found["sum"].values)

    def test_halo_without_a_number_for_missing(self, grid):
        """Whole numbers without nodata cannot be continued beyond the edge."""
        y, x = grid.centres()
        counts = xr.Dataset({"n": (("y", "x"), np.ones(grid.shape, "int16"))}, {"y": y, "x": x}).rio.write_crs(grid.crs)
        with pytest.raises(MetadataError, match="means missing"):
            map_blocks(counts, None, smooth, {"sum": "float64"}, halo=1)
        assert map_blocks(counts, None, lambda b: {"n": b.n.values}, {"n": "int16"}).n.sum() == 290 * 287

    def test_attributes_of_a_template(self, cube):
        """A dataset as template gives names, types and attributes."""
        template = xr.Dataset({"gap": ((), np.float32(0), {"units": "1"}), "count": ((), np.uint16(0))})
        assert map_blocks(cube, None, index, template).gap.attrs["units"] == "1"

    def test_tasks(self, items, grid):
        """One task reads and computes a block; each variable adds the one that takes it out."""
        found = map_blocks(items, grid, index, TYPES, chunks=100, bands=["red", "nir"])
        assert len(dict(found.__dask_graph__())) <= 9 * 3 + 2
        assert len(dict(found[["gap"]].__dask_graph__())) <= 9 * 2 + 2

    def test_names_follow_content(self, items, grid):
        """The same call has the same names; another function, value or halo has others."""

        def keys(**changes):
            call = {"fn": index, "template": TYPES, "chunks": 100} | changes
            fn, template = call.pop("fn"), call.pop("template")
            return map_blocks(items, grid, fn, template, bands=["red", "nir"], **call).gap.data.name

        assert keys() == keys()
        others = [keys(), keys(fn=lambda b: index(b)), keys(halo=1), keys(broadcast=1), keys(broadcast=2)]
        assert len({*others, keys(chunks=50)}) == 6

    @pytest.mark.parametrize(
        "fn",
        [
            lambda block: {"other": block.red.values[0]},
            lambda block: {"gap": block.red.values[0, 1:]},
            lambda block: {"gap": block.red.values[0].astype("float64")},
            lambda block: 3,
        ],
    )
    def test_results_that_do_not_fit(self, cube, fn):
        """A result that is not what the template says is told, not cast."""
        with pytest.raises(InputError, match=r"the function gives|does not give"):
            map_blocks(cube, None, fn, {"gap": "float32"}).compute(scheduler="sync")

    def test_refused(self, cube, items, grid):
        """A negative halo, an empty template, options with a dataset, and what is no cube are refused."""
        with pytest.raises(InputError, match="halo"):
            map_blocks(cube, None, index, TYPES, halo=-1)
        with pytest.raises(InputError, match="template"):
            map_blocks(cube, None, index, {})
        with pytest.raises(InputError, match="already"):
            map_blocks(cube, grid, index, TYPES)
        with pytest.raises(InputError, match="rows run north"):
            map_blocks(cube.isel(y=slice(None, None, -1)), None, index, TYPES)
        with pytest.raises(InputError, match="not a cube"):
            map_blocks(cube.isel(y=0), None, index, TYPES)


def histogram(tile):
    """Numbers of values per class, and an exact sum."""
    assert max(tile.sizes["y"], tile.sizes["x"]) <= 256
    values = tile.red.values
    return np.histogram(values[np.isfinite(values)], 50, (0, 0.5))[0], float(np.nansum(values, dtype="float64"))


def together(parts):
    """Add up, in the order given."""
    return sum(part[0] for part in parts), sum(part[1] for part in parts)


class TestReduce:
    def test_any_cut_to_the_bit(self, items, grid, cube):
        """Float sums too are the same to the bit, whatever the blocks, from items and from datasets."""
        options = {"bands": ["red"]}
        answers = [
            reduce_blocks(items, grid, histogram, together, chunks=c, **options) for c in (64, 300, "auto", 1000)
        ]
        answers += [reduce_blocks(cube[["red"]], None, histogram, together)]
        answers += [
            reduce_blocks(load(items, grid=grid, chunks=c, **options), None, histogram, together) for c in (33, 290)
        ]
        found = dask.compute(*answers)
        for counts, total in found:
            assert np.array_equal(counts, found[0][0])
            assert total == found[0][1]
        assert found[0][0].sum() == np.isfinite(cube.red.values).sum()
        assert found[0][1] == pytest.approx(np.nansum(cube.red.values, dtype="float64"))

    def test_broadcast(self, items, grid, cube):
        """A threshold of the whole scene is gathered first and handed to every block, lazily."""
        mean = reduce_blocks(items, grid, histogram, lambda parts: together(parts)[1], bands=["red"])

        def above(block, total):
            return {"above": (block.red.values[0] > total / 1e5).astype("uint8")}

        found = map_blocks(items, grid, above, {"above": "uint8"}, broadcast=mean, chunks=100, bands=["red"])
        assert np.array_equal(found.above.values, cube.red.values[0] > mean.compute() / 1e5)


class TestDatasets:
    def test_names_follow_all_that_blocks_see(self, cube):
        """Names, attributes, dates and place of a dataset are part of what its tasks are called."""
        lazy = cube[["red", "nir"]].chunk(y=100, x=100)
        swapped = lazy.rename(red="nir", nir="red")
        later = lazy.assign_coords(time=lazy.time + np.timedelta64(1, "D").astype("timedelta64[ns]"))
        noted = lazy.assign(red=lazy.red.assign_attrs(nodata=3))
        names = {map_blocks(one, None, index, TYPES).gap.data.name for one in (lazy, swapped, later, noted)}
        assert len(names) == 4
        first, second = dask.compute(map_blocks(lazy, None, index, TYPES), map_blocks(swapped, None, index, TYPES))
        assert np.array_equal(first.gap.values, -second.gap.values)

    def test_results_are_placed_by_name(self, cube):
        """A dataset that comes back with its axes in another order is turned, not taken as it lies."""
        square = cube.isel(y=slice(0, 50), x=slice(0, 50))
        found = map_blocks(
            square, None, lambda b: b.red.mean("time").transpose("x", "y").to_dataset(name="m"), {"m": "float32"}
        )
        assert np.array_equal(found.m.values, square.red.mean("time").values, equal_nan=True)

    def test_halo_wider_than_the_last_block(self, cube):
        """Blocks smaller than the halo are joined."""
        lazy = cube[["red"]].chunk(y=96, x=95)  # leaves two rows and two columns
        found = map_blocks(lazy, None, smooth, {"sum": "float64"}, halo=5)
        wanted = map_blocks(cube[["red"]], None, smooth, {"sum": "float64"}, halo=5)
        assert np.array_equal(found["sum"].values, wanted["sum"].values)

    def test_least_and_largest_keep_nodata(self, items, grid):
        """Numbers that were never seen are not taken for values afterwards."""
        loaded = load(items, bands=["red"], grid=grid, radiometry="dn")
        found = reduce_time(loaded, "min")
        assert found.red.attrs["nodata"] == 0
        assert found.red.dtype == np.uint16
