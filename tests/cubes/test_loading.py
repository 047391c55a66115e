"""The loader's options: each does what it says, and none makes the values depend on how the cube is cut."""

from __future__ import annotations

import json
import pickle
import time
from pathlib import Path

import dask
import numpy as np
import odc.geo.xr  # noqa: F401  registers the `.odc` accessor
import pystac
import pytest
import xarray as xr
from distributed import Client, LocalCluster
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import AssetError, InputError, MetadataError
from terracube.cubes import YX, Grid, load, map_blocks, report

RNG = np.random.default_rng(7)
BANDS = ["red", "nir", "scl"]


def make_day(build, folder, day, *, side=200, east=0, hour=10, **options):
    """Write a scene of two bands with holes, and classes at 20 m."""
    smooth = (1500 + 800 * np.sin(np.arange(side) / 9)[:, None] * np.cos(np.arange(side) / 13)).astype("uint16")
    layers = {name: smooth + RNG.integers(0, 90, (side, side)).astype("uint16") for name in ("red", "nir")}
    layers["red"][20:50, 30:70] = 0
    layers["scl"] = RNG.choice(np.array([4, 5, 9], "uint8"), (side // 2, side // 2), p=(0.5, 0.3, 0.2))
    return build(
        folder, f"s{day}{hour}", layers, when=f"2023-08-{day}T{hour}:00:00Z", pixels={"scl": 20.0},
        origin=(500040.0 + east, 5100000.0), tiled=True, blockxsize=64, blockysize=64, compress="deflate", **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def items(build, tmp_path_factory):
    """Three days; on the last two scenes overlap in part."""
    folder = tmp_path_factory.mktemp("loading")
    days = [make_day(build, folder, day) for day in (13, 14, 15)]
    return [*days, make_day(build, folder, 15, east=1000, hour=11)]


@pytest.fixture(scope="module")
def grids(items):
    """The items' own pixels, and others: another projection, degrees, coarser."""
    native = Grid.from_items(items, bands=["red"])
    middle = (14.9999, 46.025, 15.05, 46.06)
    return {
        "native": native,
        "3035": Grid.from_bbox(middle, crs="EPSG:3035", resolution=14),
        "4326": Grid.from_bbox(middle, crs="EPSG:4326", resolution=(0.0001, 0.00015)),
        "coarse": Grid.from_bbox(native.bounds, crs=native.crs, resolution=47, bbox_crs=native.crs),
    }


METHODS = ["nearest", "bilinear", "cubic", "average", "mode"]


class TestAnyCut:
    @pytest.mark.parametrize("where", ["native", "3035", "4326", "coarse"])
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("radiometry", ["physical", "dn"])
    def test_blocks(self, items, grids, where, method, radiometry):
        """Blocks of 37 pixels, of any rectangle, and the whole read at once are equal to the bit."""
        options = {"bands": BANDS, "grid": grids[where], "resampling": method, "radiometry": radiometry}
        whole = load(items, chunks=None, **options)
        assert whole.red.data.__class__ is np.ndarray
        cut = load(items, chunks={"y": 37, "x": 53, "time": 2}, **options).compute(scheduler="threads")
        assert cut.equals(whole)
        assert {name: v.dtype for name, v in cut.data_vars.items()} == {n: v.dtype for n, v in whole.data_vars.items()}
        window = grids[where].window(YX(11, 17), YX(31, 23))
        part = load(items, chunks=None, **(options | {"grid": window}))
        assert np.array_equal(part.red.values, whole.red.values[:, 11:42, 17:40], equal_nan=radiometry == "physical")

    @settings(max_examples=15)
    @given(order=st.permutations(range(4)), names=st.permutations(BANDS), block=st.integers(20, 250))
    def test_order(self, items, grids, order, names, block):
        """The order of items and of bands changes nothing, nor does which bands are loaded together."""
        whole = load(items, bands=BANDS, grid=grids["native"], chunks=None)
        found = load([items[at] for at in order], bands=names, grid=grids["native"], chunks=block)
        assert list(found.data_vars) == list(names)
        alone = load(items, bands=[names[0]], grid=grids["native"], chunks=block)
        assert alone[names[0]].compute(scheduler="sync").equals(whole[names[0]])

    def test_real_scenes(self, items, grids):
        """Several threads at once give what one gives."""
        options = {"bands": BANDS, "grid": grids["3035"], "resampling": "cubic", "chunks": 40}
        one = load(items, **options).compute(scheduler="sync")
        assert load(items, **options).compute(scheduler="threads", num_workers=4).identical(one)


class TestValues:
    def test_types(self, items, grids):
        """Measurements are float32 with NaN, classes keep their type and say their nodata."""
        cube = load(items, bands=BANDS, grid=grids["native"], chunks=None)
        assert (cube.red.dtype, cube.scl.dtype) == (np.float32, np.uint8)
        assert cube.scl.attrs["nodata"] == 0
        assert "vegetation" in cube.scl.attrs["flag_meanings"]
        assert set(np.unique(cube.scl)) == {0, 4, 5}

    def test_numbers(self, items, grids):
        """Numbers of files times scale plus offset are the physical values."""
        numbers = load(items, bands=["red"], grid=grids["native"], radiometry="dn", chunks=None)
        values = load(items, bands=["red"], grid=grids["native"], chunks=None)
        told = json.loads(values.red.attrs["terracube:radiometry"])
        assert (numbers.red.dtype, numbers.red.attrs["nodata"]) == (np.uint16, 0)
        (rule,) = told["rules"]
        assert told["steps"] == [[0], [0], [0]]
        wanted = np.where(numbers.red == 0, np.nan, numbers.red.values * rule["scale"] + rule["offset"])
        assert np.allclose(values.red.values, wanted, rtol=1e-6, equal_nan=True)

    def test_each_step_has_its_own_offset(self, build, tmp_path, grids):
        """Before and after the change of the processing baseline, one ground has one reflectance."""
        old = make_day(build, tmp_path, 20)
        values = load([old], bands=["red"], grid=grids["native"], mask=None, chunks=None).red.values[0]
        from rasterio import open as open_raster

        path = Path(old.get_self_href()).parent / "red.tif"
        with open_raster(path) as dataset:
            numbers, profile = dataset.read(1), dataset.profile
        new = make_day(build, tmp_path, 21, properties={"s2:processing_baseline": "05.10"})
        with open_raster(Path(new.get_self_href()).parent / "red.tif", "w", **profile) as dataset:
            dataset.write(np.where(numbers == 0, 0, numbers + 1000).astype("uint16"), 1)
        both = load([old, new], bands=["red"], grid=grids["native"], mask=None, chunks=None)
        assert np.allclose(both.red.values[1], values, atol=1e-6, equal_nan=True)
        assert json.loads(both.red.attrs["terracube:radiometry"])["steps"] == [[0], [1]]

    def test_mask_function(self, items, grids):
        """A function of the classes decides as numbers of classes do."""
        by_number = load(items, bands=["red"], grid=grids["native"], mask=(0, 5, 9), chunks=None)
        by_function = load(items, bands=["red"], grid=grids["native"], mask=lambda v: v == 4, chunks=70).compute()
        assert by_function.equals(by_number)
        with pytest.raises(InputError, match="bool array"):
            load(items, bands=["red"], grid=grids["native"], mask=lambda v: v, chunks=None)

    def test_mosaic_rule(self, items, grids):
        """Where two scenes of a day overlap, the rule says whose value is taken."""
        options = {"bands": ["red"], "grid": grids["native"], "mask": None, "chunks": None}
        first = load(items[2:], **options).red.values[0]
        last = load(items[2:], mosaic=lambda scenes: scenes[::-1], **options).red.values[0]
        left, right = (load([item], **options).red.values[0] for item in items[2:])
        assert np.array_equal(first, np.where(np.isnan(left), right, left), equal_nan=True)
        assert np.array_equal(last, np.where(np.isnan(right), left, right), equal_nan=True)
        assert not np.array_equal(first, last, equal_nan=True)

    def test_steps_without_grouping(self, items, grids):
        """Each item is a step at its own time."""
        cube = load(items, bands=["red"], grid=grids["native"], groupby=None)
        assert cube.sizes["time"] == 4
        assert str(cube.time.values[-1])[:16] == "2023-08-15T11:00"

    def test_overviews(self, build, tmp_path):
        """Overviews are read only when asked for, never for classes, and any cut agrees."""
        import rasterio
        from rasterio.enums import Resampling

        item = make_day(build, tmp_path, 22, side=512)
        for name in ("red", "scl"):
            with rasterio.open(Path(item.get_self_href()).parent / f"{name}.tif", "r+") as dataset:
                dataset.build_overviews([2, 4], Resampling.average)
        native = Grid.from_items([item], bands=["red"])
        coarse = Grid.from_bbox(native.bounds, crs=native.crs, resolution=45, bbox_crs=native.crs)
        options = {"bands": ["red", "scl"], "grid": coarse, "mask": None, "resampling": "bilinear"}
        full = load([item], chunks=None, **options)
        fast = load([item], overviews="auto", chunks=None, **options)
        assert not np.array_equal(full.red.values, fast.red.values, equal_nan=True)
        assert np.nanmean(np.abs(full.red.values - fast.red.values)) < 0.01
        assert full.scl.equals(fast.scl)
        assert load([item], overviews="auto", chunks=23, **options).compute().equals(fast)


class TestCitizen:
    def test_accessors(self, items, grids):
        """rioxarray and odc-geo see the CRS and the pixels that were asked for."""
        cube = load(items, bands=BANDS, grid=grids["3035"], chunks=64)
        assert cube.rio.crs.to_epsg() == 3035
        assert cube.rio.transform() == grids["3035"].transform
        assert cube.odc.geobox == grids["3035"].geobox
        assert Grid.like(cube) == grids["3035"]
        assert load(items, bands=BANDS, grid=cube).x.equals(cube.x)
        assert load(items, bands=BANDS, grid=cube.odc.geobox).y.equals(cube.y)

    def test_select_and_store(self, items, grids, tmp_path):
        """Days are selected by their date, and a cube goes to Zarr and back unchanged."""
        cube = load(items, bands=BANDS, grid=grids["native"], chunks=64)
        assert cube.sel(time="2023-08-14").sizes == {"y": 200, "x": 300}
        cube.to_zarr(tmp_path / "cube.zarr", consolidated=False)
        again = xr.open_zarr(tmp_path / "cube.zarr", decode_coords="all", consolidated=False)
        assert again.rio.crs == cube.rio.crs
        for name in BANDS:
            assert np.array_equal(again[name].values, cube[name].values, equal_nan=name != "scl")

    def test_where_the_pixels_come_from(self, items, grids):
        """Without a grid: the items' own pixels; with a box, a part of them; or CRS and resolution."""
        native = load(items, bands=["red"])
        assert Grid.like(native) == grids["native"]
        part = load(items, bands=["red"], bbox=(15.003, 46.035, 15.01, 46.04))
        assert part.sizes["x"] < 80
        assert set(part.x.values) <= set(native.x.values)
        other = load(items, bands=["red"], crs="EPSG:3857", resolution=30)
        assert other.rio.crs.to_epsg() == 3857
        with pytest.raises(InputError, match="not both"):
            load(items, bands=["red"], grid=grids["native"], crs="EPSG:3857")

    def test_dictionaries(self, items, grids):
        """Items may be plain dictionaries."""
        told = [item.to_dict() for item in items]
        found = load(told, bands=["red"], grid=grids["native"], chunks=None)
        assert found.equals(load(items, bands=["red"], grid=grids["native"], chunks=None))
        assert found.equals(
            load({"type": "FeatureCollection", "features": told}, bands=["red"], grid=grids["native"], chunks=None)
        )

    def test_cluster(self, items, grids):
        """An active client computes the cube, and its ledger comes back."""
        cube = load(items, bands=["red"], grid=grids["3035"], chunks=100)
        wanted = cube.compute(scheduler="sync")
        with (
            LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
            Client(cluster),
        ):
            fresh = load(items, bands=["red"], grid=grids["3035"], chunks=90)
            assert fresh.compute().equals(wanted)
            assert {asset for _, asset in report(fresh).read} == {"red", "scl"}


class TestGraph:
    def test_thousand_items(self, items, grids):
        """A thousand items with four bands make one task per block and one more, in little space."""
        base = items[0].to_dict()
        place = Path(items[0].get_self_href()).parent
        told = []
        for number in range(1000):
            day = np.datetime64("2020-01-01") + np.timedelta64(number, "D")
            item = base | {"id": f"item-{number}", "links": [{"rel": "self", "href": str(place / "item.json")}]}
            item["properties"] = base["properties"] | {"datetime": f"{day}T10:00:00Z"}
            item["assets"] = base["assets"] | {"blue": base["assets"]["red"], "green": base["assets"]["nir"]}
            told.append(item)
        began = time.process_time()
        cube = load(told, bands=["blue", "green", "red", "nir"], grid=grids["native"], chunks=100)
        took = time.process_time() - began
        graph = dict(cube.__dask_graph__())
        assert cube.sizes["time"] == 1000
        assert len(graph) <= 4 * cube.red.data.npartitions + 2
        assert len(pickle.dumps(cube.__dask_graph__())) < 1_000_000
        assert took < 60  # far beyond what it takes; a graph that grows with the items would not end

    def test_names(self, items, grids):
        """The same call makes the same graph."""
        one, two = (load(items, bands=["red"], grid=grids["native"], chunks=64) for _ in range(2))
        assert set(dict(one.__dask_graph__())) == set(dict(two.__dask_graph__()))
        other = load(items, bands=["red"], grid=grids["native"], chunks=64, mask=None)
        assert other.red.data.name != one.red.data.name


class TestFailures:
    def test_tile_in_mid_file(self, build, tmp_path, grids):
        """A tile that cannot be decoded is missing and told, the rest is there, however the cube is cut."""
        good = make_day(build, tmp_path / "good", 23)
        bad = make_day(build, tmp_path / "bad", 23)
        path = Path(bad.get_self_href()).parent / "red.tif"
        clean = Path(good.get_self_href()).parent / "red.tif"
        path.write_bytes(clean.read_bytes())
        import rasterio

        with rasterio.open(path) as dataset:
            offset = int(dataset.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", bidx=1))
        raw = bytearray(path.read_bytes())
        raw[offset : offset + 40] = b"\xff" * 40
        path.write_bytes(bytes(raw))
        options = {"bands": ["red"], "grid": grids["native"], "mask": None}
        with pytest.raises(AssetError):
            load([bad], chunks=None, **options)
        whole = load([good], chunks=None, **options).red.values[0]
        cubes = [load([bad], chunks=chunks, on_error="skip", **options) for chunks in (None, 50, 200)]
        wanted = whole.copy()
        wanted[64:128, 64:128] = np.nan
        for cube in cubes:
            assert np.array_equal(cube.red.values[0], wanted, equal_nan=True)
            (note,) = report(cube).failed
            assert (note.item, note.asset) == ("s2310", "red")
            assert not report(cube).complete

    def test_file_that_went_away(self, build, tmp_path, grids):
        """A file that is gone when it is read stops the computation, or is missing and told."""
        item = make_day(build, tmp_path, 24)
        other = make_day(build, tmp_path, 25)
        options = {"bands": ["red"], "grid": grids["native"], "chunks": 100}
        strict, lenient = (load([item, other], on_error=rule, **options) for rule in ("raise", "skip"))
        (Path(item.get_self_href()).parent / "red.tif").unlink()
        with pytest.raises(AssetError):
            strict.compute(scheduler="sync")
        found = lenient.compute(scheduler="threads")
        assert np.isnan(found.red.values[0]).all()
        assert not np.isnan(found.red.values[1]).all()
        assert {note.item for note in report(lenient).failed} == {"s2410"}

    def test_processes_tell_too(self, build, tmp_path, grids):
        """What other processes could not read is told here."""
        item = make_day(build, tmp_path, 26)
        cube = load([item], bands=["red"], grid=grids["native"], chunks=150, on_error="skip")
        (Path(item.get_self_href()).parent / "red.tif").unlink()
        assert np.isnan(cube.compute(scheduler="processes", num_workers=2).red.values).all()
        assert [note.item for note in report(cube).failed] == ["s2610"]

    def test_unknown_sensor(self, build, tmp_path):
        """Items of unknown collections load by asset key; a mask needs a rule that is given."""
        values = np.array([[1, 2], [3, 0]], "uint16")
        item = build(tmp_path, "any", {"height": values}, collection="elevation")
        cube = load([item], bands=["height"], mask=None, chunks=None)
        assert np.array_equal(cube["height"].values[0], [[1, 2], [3, np.nan]], equal_nan=True)
        with pytest.raises(InputError, match="mask"):
            load([item], bands=["height"])

    def test_no_nodata(self, build, tmp_path):
        """Where no number means missing, numbers become floats, and what is outside is NaN."""
        item = build(tmp_path, "plain", {"height": np.array([[1, 2]], "int16")}, collection="elevation", nodata=None)
        native = Grid.from_items([item], bands=["height"])
        wide = native.window(YX(0, 0), YX(1, 3))
        cube = load([item], bands=["height"], grid=wide, mask=None, radiometry="dn", chunks=None)
        assert np.array_equal(cube["height"].values[0], [[1, 2, np.nan]], equal_nan=True)
        told = load([item], bands=["height"], grid=wide, mask=None, radiometry="dn", nodata=-9, chunks=None)
        assert told["height"].values.tolist() == [[[1, 2, -9]]]
        assert told["height"].dtype == np.int16

    def test_unknown_options(self, items):
        """A misspelt option is refused by Python itself, an unknown engine by us."""
        with pytest.raises(TypeError, match="resample"):
            load(items, bands=["red"], resample="nearest")
        with pytest.raises(InputError, match="engine"):
            load(items, bands=["red"], engine="gdal")

    def test_lying_shape(self, build, tmp_path, grids):
        """The header of a local file decides, whatever its item claims of its shape."""
        item = make_day(build, tmp_path, 27)
        item.assets["red"].extra_fields["proj:shape"] = [7, 7]
        item.assets["red"].extra_fields["proj:transform"] = [1, 0, 0, 0, -1, 0]
        found = load([item], bands=["red"], chunks=None)
        assert found.sizes["y"] == 200


def test_in_memory_cubes_enter_the_doors(items, grids):
    """A dataset from anywhere enters where items do."""
    cube = load(items, bands=["red"], grid=grids["native"], chunks=None)
    plain = xr.Dataset({"red": (("time", "y", "x"), cube.red.values)}, cube.coords)
    found = map_blocks(plain, None, lambda b: {"n": b.red.notnull().sum("time").values.astype("uint8")}, {"n": "uint8"})
    assert np.array_equal(found.n.values, cube.red.notnull().sum("time"))


_ = dask, pystac, MetadataError
