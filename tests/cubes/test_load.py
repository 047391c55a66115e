"""Loading: the cube is what a plain reading of the files gives, however it is cut into blocks."""

from __future__ import annotations

import collections
import itertools
import math
import pickle
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import dask
import numpy as np
import odc.geo.xr  # noqa: F401  registers the `.odc` accessor
import pystac
import pytest
import rasterio
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from terracube.core.errors import AssetError, EmptyResultError, InputError, LeftOut, MetadataError, NotFoundError
from terracube.cubes import (
    YX,
    CubeSpec,
    Grid,
    SceneSet,
    as_array,
    as_dataset,
    load,
    load_array,
    open_product,
    plan_cube,
    read_scenes,
)
from terracube.cubes.plan import mask_classes
from terracube.cubes.storage import Layer, write_group

BANDS = ("blue", "green", "red", "nir")
CLOUDY = (0, 1, 3, 8, 9, 10)


def plain_observations(item, window, masked, *, reflectance=True):
    """Read one scene for a window with rasterio and numpy alone: (band, y, x), NaN where nothing clear was seen."""
    y, x = window.centres()
    folder = Path(item.get_self_href()).parent
    layers = {}
    for key, name in (("blue", "B02"), ("green", "B03"), ("red", "B04"), ("nir", "B08"), ("scl", "SCL")):
        with rasterio.open(folder / f"{name}.tif") as dataset:
            values, place, crs = dataset.read(1), dataset.transform, dataset.crs
        if crs.to_string() == window.crs:
            px, py = np.meshgrid(x, y)
        else:
            px, py = Transformer.from_crs(window.crs, crs, always_xy=True).transform(*np.meshgrid(x, y))
        col = np.floor(np.round((px - place.c) / place.a, 6)).astype(int)
        row = np.floor(np.round((place.f - py) / place.a, 6)).astype(int)
        inside = (row >= 0) & (row < values.shape[0]) & (col >= 0) & (col < values.shape[1])
        layers[key] = np.where(inside, values[row.clip(0, values.shape[0] - 1), col.clip(0, values.shape[1] - 1)], 0)
    numbers = np.stack([layers[band] for band in BANDS]).astype("float64")
    # The provider has taken the offset away already, so that reflectance is the number over ten thousand.
    scaled = numbers / 10000 if reflectance else numbers
    clear = np.ones(window.shape, bool) if masked is None else ~np.isin(layers["scl"], masked)
    return np.where(clear & (numbers > 0), scaled, np.nan)


def in_order(items):
    """Sort items by time, then id, and group them by day."""
    ordered = sorted(items, key=lambda item: (item.datetime, item.id))
    return [list(day) for _, day in itertools.groupby(ordered, key=lambda item: item.datetime.date())]


def plain_cube(items, window, masked, **options):
    """Mosaic each day: each band takes the first scene, by time and id, that saw the pixel clearly."""
    steps = []
    for day in in_order(items):
        found = np.full((len(BANDS), *window.shape), np.nan)
        for item in day:
            seen = plain_observations(item, window, masked, **options)
            found = np.where(np.isnan(found), seen, found)
        steps.append(found)
    return np.stack(steps)


@pytest.fixture(scope="module")
def window(native):
    """A part of the native grid with the edge of both tiles in it, and all of their overlap in y."""
    return native.window(YX(815, 330), YX(150, 180))


@pytest.fixture(scope="module")
def european(window):
    """A grid of another system and pixel size over about the same place."""
    middle = Transformer.from_crs(window.crs, 3035, always_xy=True).transform(
        (window.bounds.left + window.bounds.right) / 2, (window.bounds.top + window.bounds.bottom) / 2
    )
    box = (middle[0] - 8000, middle[1] - 8000, middle[0] + 8000, middle[1] + 8000)
    return Grid.from_bbox(box, crs="EPSG:3035", resolution=110, bbox_crs="EPSG:3035")


@pytest.fixture(scope="module")
def plan(real, window):
    """The plan of the whole cube over the window."""
    return plan_cube(real, CubeSpec(BANDS, CLOUDY), window)


@pytest.fixture(scope="module")
def values(plan):
    """The cube over the window, computed as one block."""
    return load_array(plan, 1000).compute(scheduler="sync")


class TestRealScenes:
    @pytest.mark.parametrize("mask", ["clear", None, (3, 8, 9, 10, 4), ()])
    def test_against_plain_reading(self, items, window, mask):
        """Values equal a straightforward computation with rasterio and numpy, for any choice of classes."""
        found = as_array(load(items, bands=BANDS, grid=window, mask=mask)).compute(scheduler="sync").values
        wanted = plain_cube(items, window, CLOUDY if mask == "clear" else mask)
        assert found.dtype == np.float32
        assert np.array_equal(np.isnan(found), np.isnan(wanted))
        assert np.nanmax(np.abs(found - wanted)) < 1e-6
        assert 0.01 < np.isfinite(found).mean() < 1

    def test_against_plain_reading_elsewhere(self, items, european):
        """The same in another CRS: a pixel takes the one that holds its projected centre."""
        found = as_array(load(items, bands=BANDS, grid=european)).compute(scheduler="sync").values
        wanted = plain_cube(items, european, CLOUDY)
        # The lattice is exact to 2e-4 of a pixel: the few centres closer than that to an edge may go to either side.
        same = (np.isnan(found) & np.isnan(wanted)) | (np.abs(found - wanted) < 1e-6)
        assert same.mean() > 0.9995

    def test_numbers_of_the_file(self, items, window):
        """As `dn` the numbers of the file are given unchanged."""
        found = as_array(load(items, bands=BANDS, grid=window, radiometry="dn")).compute(scheduler="sync").values
        wanted = plain_cube(items, window, CLOUDY, reflectance=False)
        assert np.array_equal(found, wanted, equal_nan=True)

    @pytest.mark.parametrize("block", [1000, 256, 100, 37])
    @pytest.mark.parametrize("place", ["window", "european"])
    def test_blocks_do_not_change_a_bit(self, real, values, place, block, request):
        """Any block size gives the same cube, to the bit, on the files' own grid and on another."""
        grid = request.getfixturevalue(place)
        found = load_array(plan_cube(real, CubeSpec(BANDS, CLOUDY), grid), block)
        assert found.data.chunksize[2:] == tuple(min(block, side) for side in grid.shape)
        whole = values if place == "window" else load_array(plan_cube(real, CubeSpec(BANDS, CLOUDY), grid), 1000)
        assert found.compute(scheduler="threads").identical(whole.compute(scheduler="sync"))

    def test_nothing_seen_is_lost(self, items, window, values):
        """A pixel is missing on a day only if no scene of that day saw it clearly; the overlap has no seam."""
        for step, day in enumerate(in_order(items)):
            seen = np.any([np.isfinite(plain_observations(item, window, CLOUDY)[0]) for item in day], axis=0)
            assert np.array_equal(np.isfinite(values.values[step, 0]), seen)

    def test_the_rule_of_the_overlap(self, items, window, values):
        """Where two tiles saw a pixel clearly on one day, it is wholly that of the first by time and id."""
        checked = 0
        for step, day in enumerate(in_order(items)):
            if len(day) == 1:
                continue
            first, second = (plain_observations(item, window, CLOUDY) for item in day)
            both = np.isfinite(first[0]) & np.isfinite(second[0])
            assert np.allclose(values.values[step][:, both], first[:, both], atol=1e-6)
            only = np.isfinite(second[0]) & ~np.isfinite(first[0])
            assert np.allclose(values.values[step][:, only], second[:, only], atol=1e-6)
            checked += int(both.sum())
        assert checked > 5000

    def test_each_scene_alone(self, items, window):
        """By scene, each one is a step of its own, in order of time, and equal to loading it alone."""
        cube = load(items, bands=["red"], grid=window, groupby="scene").red.compute(scheduler="sync")
        assert cube.sizes["time"] == 8
        ordered = sorted(items, key=lambda item: (item.datetime, item.id))
        for step, item in enumerate(ordered):
            alone = load([item], bands=["red"], grid=window).red.compute(scheduler="sync")
            assert np.array_equal(cube.values[step], alone.values[0], equal_nan=True)

    def test_time_is_the_day(self, values):
        """Five days in order, as dates."""
        assert [str(day)[:10] for day in values.time.values] == [f"2023-08-{day}" for day in (10, 13, 15, 18, 20)]

    @settings(max_examples=8)
    @given(data=st.data())
    def test_order_of_items_does_not_matter(self, items, window, data):
        """Items in any order give the same lazy cube: same names, so the same values."""
        shuffled = data.draw(st.permutations(items))
        first = load(items, bands=["red"], grid=window).red.data.name
        assert load(shuffled, bands=["red"], grid=window).red.data.name == first


class TestGraph:
    def test_one_task_per_block(self, real, native):
        """Whatever the dates and bands, the optimised graph has one task per block, and one node for the plan."""
        lazy = load_array(plan_cube(real, CubeSpec(BANDS, CLOUDY), native), 256)
        (optimised,) = dask.optimize(lazy.data)
        names = collections.Counter(
            str(key[0] if isinstance(key, tuple) else key) for key in optimised.__dask_graph__()
        )
        assert lazy.data.numblocks == (1, 1, 7, 4)
        assert sorted(names.values()) == [1, 28]

    def test_each_block_is_read_once_for_all_bands(self, real, window):
        """Split into bands, a block is still read by one task; the others only take their band out of it."""
        data = as_dataset(load_array(plan_cube(real, CubeSpec(BANDS, CLOUDY), window), 100))
        (optimised,) = dask.optimize(data)
        names = collections.Counter(
            (key[0] if isinstance(key, tuple) else key).split("-")[0] for key in optimised.__dask_graph__()
        )
        assert names == {"plan": 1, "cube": 4, "getitem": 16}

    def test_names_are_deterministic(self, real, window, plan):
        """Two builds of one request have equal keys; any difference in the request gives other ones."""
        assert set(load_array(plan, 64).data.__dask_graph__()) == set(load_array(plan, 64).data.__dask_graph__())
        others = [
            (plan, 65),
            (plan_cube(real, CubeSpec(BANDS[:3], CLOUDY), window), 64),
            (plan_cube(real, CubeSpec(BANDS[::-1], CLOUDY), window), 64),
            (plan_cube(real, CubeSpec(BANDS, CLOUDY[:-1]), window), 64),
            (plan_cube(real, CubeSpec(BANDS, ()), window), 64),
            (plan_cube(real, CubeSpec(BANDS, None), window), 64),
            (plan_cube(real, CubeSpec(BANDS, CLOUDY, "scene"), window), 64),
            (plan_cube(real, CubeSpec(BANDS, CLOUDY, radiometry="dn"), window), 64),
            (plan_cube(real, CubeSpec(BANDS, CLOUDY), window.window(YX(1, 0), window.shape)), 64),
            (plan_cube(SceneSet(real.scenes[1:]), CubeSpec(BANDS, CLOUDY), window), 64),
        ]
        names = [load_array(other, block).data.name for other, block in [(plan, 64), *others]]
        assert len(set(names)) == len(names)

    def test_a_file_on_another_grid_has_another_name(self, real, window):
        """What a header says decides the values, so it decides the name too: place, nodata, scale and offset."""
        first, *others = real.scenes
        red = first.bands["red"]
        names = []
        for change in (
            {},
            {"grid": red.grid.window(YX(1, 0), red.grid.shape)},
            {"nodata": math.nan},
            {"nodata": None},
            {"scale": 1e-3},
            {"offset": -0.1},
            {"location": replace(red.location, href=red.path + "f")},
            {"band": 2},
        ):
            changed = replace(first, bands={"red": replace(red, **change)})
            scenes = SceneSet((changed, *others))
            names.append(load_array(plan_cube(scenes, CubeSpec(("red",), CLOUDY), window), 64).data.name)
        assert len(set(names)) == len(names)

    def test_a_plan_puts_scenes_in_order(self, real, window):
        """A plan does not depend on the order of the scenes it is made from."""
        for groupby in ("solar_day", "scene"):
            spec = CubeSpec(BANDS, CLOUDY, groupby)
            assert plan_cube(SceneSet(real.scenes[::-1]), spec, window) == plan_cube(real, spec, window)

    def test_it_travels(self, plan, values):
        """The lazy cube survives pickling, and then computes the same."""
        lazy = pickle.loads(pickle.dumps(load_array(plan, 100)))
        assert lazy.compute(scheduler="sync").identical(values)
        assert pickle.loads(pickle.dumps(plan)) == plan


class TestGeoreference:
    def test_as_others_know_it(self, items, window):
        """CRS, transform and geobox are what rioxarray and odc-geo find."""
        cube = load(items, bands=["red", "nir"], grid=window)
        assert cube.rio.crs.to_epsg() == 32633
        assert cube.red.rio.transform() == window.transform
        assert cube.odc.geobox == window.geobox
        assert cube.red.odc.geobox == window.geobox
        assert cube.x.attrs["standard_name"] == "projection_x_coordinate"
        assert np.array_equal(cube.y.values, window.centres()[0])

    def test_dataset_and_array(self, values):
        """Splitting into bands and joining again gives the same array."""
        data = as_dataset(values)
        assert list(data.data_vars) == list(BANDS)
        again = as_array(data)
        assert np.array_equal(again.values, values.values, equal_nan=True)
        assert again.dims == values.dims
        assert list(again.band.values) == list(BANDS)
        assert again.rio.crs == values.rio.crs
        assert as_dataset(again).identical(data)
        assert as_array(values) is not None
        assert as_array(values.transpose("band", "y", "x", "time")).identical(values)

    def test_lazy_stays_lazy(self, plan, values):
        """Joining a lazy dataset gives a lazy array with one chunk along time and band."""
        again = as_array(as_dataset(load_array(plan, 100)))
        assert again.data.numblocks == (1, 1, 2, 2)
        assert np.array_equal(again.compute(scheduler="sync").values, values.values, equal_nan=True)

    @pytest.mark.parametrize(
        "cube",
        [xr.Dataset(), xr.Dataset({"red": ("y", [1.0])}), xr.DataArray([1.0], dims="y"),
         xr.Dataset({"red": (("time", "y", "x", "z"), np.zeros((1, 1, 1, 1)))})],
    )  # fmt: skip
    def test_no_cube(self, cube):
        """Data without the dimensions of a cube are refused."""
        with pytest.raises(InputError, match="not a cube"):
            as_array(cube)

    def test_to_zarr_and_back(self, values, tmp_path):
        """A cube written by xarray itself comes back the same, with its CRS."""
        data = as_dataset(values)
        data.to_zarr(tmp_path / "cube.zarr", consolidated=False)
        again = xr.open_zarr(tmp_path / "cube.zarr", consolidated=False, decode_coords="all")
        xr.testing.assert_identical(again.compute(), data)
        assert again.rio.crs == data.rio.crs


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, build):
    """A scene with a band at 10 m, one at 20 m and classes at 60 m, over one square of 120 m."""
    rng = np.random.default_rng(5)
    layers = {
        "red": rng.integers(1, 9000, (12, 12), "uint16"),
        "rededge1": rng.integers(1, 9000, (6, 6), "uint16"),
        "scl": np.array([[4, 9], [3, 5]], "uint8"),
    }
    item = build(tmp_path_factory.mktemp("mixed"), "mixed", layers, pixels={"rededge1": 20.0, "scl": 60.0})
    return item, layers


class TestMadeUpScenes:
    def grid(self, item):
        """Take the grid of the red band."""
        return read_scenes([item], ["red"]).scenes[0].bands["red"].grid

    @pytest.mark.parametrize("chunks", [512, 5, 1])
    def test_mixed_resolutions(self, mixed, chunks):
        """Coarser bands and classes are repeated: each 10 m pixel has those that hold it."""
        item, layers = mixed
        cube = load([item], bands=["red", "rededge1"], grid=self.grid(item), chunks=chunks).compute(scheduler="sync")
        clear = np.isin(np.kron(layers["scl"], np.ones((6, 6), int)), (4, 5))
        wanted = np.where(clear, layers["red"] / 10000, np.nan)
        coarse = np.where(clear, np.kron(layers["rededge1"], np.ones((2, 2))) / 10000, np.nan)
        assert np.allclose(cube.red.values[0], wanted, atol=1e-7, equal_nan=True)
        assert np.allclose(cube.rededge1.values[0], coarse, atol=1e-7, equal_nan=True)

    def test_one_pixel(self, mixed):
        """A grid of one pixel holds one value."""
        item, layers = mixed
        grid = self.grid(item).window(YX(1, 2), YX(1, 1))
        cube = load([item], bands=["red"], grid=grid).compute(scheduler="sync")
        assert cube.red.values[0, 0, 0] == np.float32(layers["red"][1, 2]) * np.float32(1e-4)

    @pytest.mark.parametrize("start", [(0, 500), (500, 0), (-500, -500)])
    def test_beside_the_scene(self, mixed, start):
        """A grid that no scene reaches is a cube of missing values."""
        item, _ = mixed
        cube = load([item], bands=["red"], grid=self.grid(item).window(YX(*start), YX(7, 5))).compute(scheduler="sync")
        assert cube.red.shape == (1, 7, 5)
        assert np.isnan(cube.red.values).all()

    def test_across_the_edge(self, mixed):
        """Pixels beyond the scene are missing, those in it are there."""
        item, layers = mixed
        grid = self.grid(item).window(YX(-3, -2), YX(18, 16))
        cube = load([item], bands=["red"], grid=grid, mask=None).red.compute(scheduler="sync").values[0]
        assert np.array_equal(np.isfinite(cube), np.pad(layers["red"] > 0, ((3, 3), (2, 2))))
        assert np.allclose(cube[3:15, 2:14], layers["red"] / 10000, atol=1e-7)

    def test_all_masked(self, mixed):
        """Where every class is left out nothing is seen."""
        item, _ = mixed
        cube = load([item], bands=["red"], grid=self.grid(item), mask=range(12)).compute(scheduler="sync")
        assert np.isnan(cube.red.values).all()

    def test_offset_and_scale(self, make_scene):
        """From baseline 04.00 on, the number 1000 is reflectance zero."""
        numbers = np.array([[1000, 2000, 500, 1]], "uint16")
        layers = {"red": numbers, "scl": np.full((1, 4), 4, "uint8")}
        item = make_scene("scene", layers, properties={"s2:processing_baseline": "05.09"})
        cube = load([item], bands=["red"], grid=self.grid(item)).compute(scheduler="sync")
        assert np.allclose(cube.red.values[0, 0], [0.0, 0.1, -0.05, -0.0999], atol=1e-7)

    def test_classes_beyond_the_table(self, make_scene):
        """A class below 0 or above 255 is no known class, so it is not clear."""
        layers = {"red": np.full((1, 4), 100, "uint16"), "scl": np.array([[4, -1, 256, 300]], "int16")}
        item = make_scene("scene", layers)
        cube = load([item], bands=["red"], grid=self.grid(item)).compute(scheduler="sync")
        assert np.isfinite(cube.red.values[0, 0]).tolist() == [True, False, False, False]

    @pytest.mark.parametrize(("nodata", "missing"), [(math.nan, [False, True, True]), (-1.0, [True, True, True])])
    def test_nodata_of_floats(self, make_scene, nodata, missing):
        """NaN and infinities are never values; a declared number is not one either."""
        layers = {"red": np.array([[-1, np.nan, np.inf, 2]], "float32")}
        item = make_scene("scene", layers, nodata=nodata)
        cube = load([item], bands=["red"], grid=self.grid_of(item), mask=None, radiometry="dn").compute(
            scheduler="sync"
        )
        assert np.isnan(cube.red.values[0, 0]).tolist() == [*missing, False]

    def grid_of(self, item):
        """Take the grid of the red band of a scene without mask."""
        return read_scenes([item], ["red"], mask=False).scenes[0].bands["red"].grid

    def test_a_band_missing_hides_no_other(self, make_scene):
        """Each band is what it would be alone: what one lacks is not missing in another."""
        layers = {"red": np.array([[5, 0, 5]], "uint16"), "nir": np.array([[5, 5, 0]], "uint16"),
                  "scl": np.full((1, 3), 4, "uint8")}  # fmt: skip
        item = make_scene("scene", layers)
        cube = load([item], bands=["red", "nir"], grid=self.grid(item)).compute(scheduler="sync")
        assert np.isfinite(cube.red.values[0, 0]).tolist() == [True, False, True]
        assert np.isfinite(cube.nir.values[0, 0]).tolist() == [True, True, False]

    def test_damaged_pixels_are_told(self, make_scene):
        """A file damaged in the middle is an error of its asset when computed, not missing pixels."""
        layers = {"red": np.arange(1, 257, dtype="uint16").reshape(16, 16), "scl": np.full((16, 16), 4, "uint8")}
        item = make_scene("scene", layers, tiled=True, blockxsize=16, blockysize=16, compress="deflate")
        path = Path(item.get_self_href()).parent / "red.tif"
        cube = load([item], bands=["red"], grid=self.grid(item))
        content = path.read_bytes()
        with rasterio.open(path) as dataset:
            at = int(dataset.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", 1))
        path.write_bytes(content[:at] + b"\xff" * 50 + content[at + 50 :])
        with pytest.raises(AssetError, match=r"cannot decode pixels.*red\.tif"):
            cube.compute(scheduler="threads")


class TestRefused:
    def test_no_scene(self, window):
        """Without an item there is no cube; reasons of those left out are told."""
        with pytest.raises(EmptyResultError, match="no scene"):
            load([], bands=["red"], grid=window)
        with pytest.raises(EmptyResultError, match="a: no date"):
            plan_cube(SceneSet((), (LeftOut("a", "no date"),)), CubeSpec(("red",), None), window)

    @pytest.mark.parametrize(
        "options",
        [{"mask": "cloudy"}, {"mask": [4, 256]}, {"mask": [-1]}, {"radiometry": "radiance"},
         {"chunks": 0}, {"chunks": -5}, {"bands": []}, {"bands": ["red", "red"]}],
    )  # fmt: skip
    def test_options(self, items, window, options):
        """Unknown rules, impossible classes and blocks, no bands or one band twice are errors of the call."""
        with pytest.raises(InputError):
            load(items[:1], grid=window, **({"bands": ["red"]} | options))

    def test_unknown_property(self, items, window):
        """A property that the items do not have cannot group them."""
        with pytest.raises(MetadataError, match="month"):
            load(items[:1], grid=window, bands=["red"], groupby="month")

    def test_what_was_not_read(self, items, real, window):
        """A plan for a mask or band that the scenes were not read with is refused, not filled with guesses."""
        unmasked = read_scenes(items[:2], ["red"], mask=False)
        with pytest.raises(InputError, match="read without what the cube asks for"):
            plan_cube(unmasked, CubeSpec(("red",), CLOUDY), window)
        with pytest.raises(InputError, match="swir16"):
            plan_cube(real, CubeSpec(("swir16",), CLOUDY), window)

    def test_classes(self, real):
        """Classes are sorted and told once; the sensor's own are those of its description."""
        assert mask_classes(real, "clear") == CLOUDY
        assert mask_classes(real, [9, 8, 9]) == (0, 8, 9), "what was not seen is never clear"
        assert mask_classes(real, None) is None


class TestOpenProduct:
    def test_a_published_group(self, tmp_path, window):
        """A product's Zarr group opens lazily, as float with NaN where missing, with its CRS."""
        values = np.arange(window.shape.y * window.shape.x, dtype="float32").reshape(window.shape)
        values[0, 0] = np.nan

        class Rows:
            shape = window.shape

            def rows(self, layer, start, stop):
                return values[start:stop]

        write_group(tmp_path / "cube.zarr", Rows(), window, [Layer("red", "Red", "float32", "1", math.nan)], title="t")
        item = pystac.Item("p", None, None, datetime(2023, 1, 1), {})
        item.set_self_href(str(tmp_path / "p.json"))
        with pytest.raises(NotFoundError, match="no Zarr asset"):
            open_product(item)
        item.add_asset("zarr", pystac.Asset("./cube.zarr"))
        found = open_product(item)
        assert found.red.chunks is not None
        assert np.array_equal(found.red.values, values, equal_nan=True)
        assert found.rio.crs.to_epsg() == 32633
        item.assets["zarr"].href = "./gone.zarr"
        with pytest.raises(AssetError, match="folder of the asset is missing"):
            open_product(item)
