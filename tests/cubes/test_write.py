"""Cubes kept as Zarr: whole or absent, the same bytes however they are chunked, placed right by every reader."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading

import dask
import dask.array as da
import numpy as np
import odc.geo.xr  # noqa: F401  registers the `.odc` accessor
import pandas as pd
import pytest
import rasterio
import rioxarray  # noqa: F401  registers the `.rio` accessor
import xarray as xr
import zarr
from distributed import Client
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import BloscCodec

from terracube.core.digest import tree_manifest
from terracube.core.errors import (
    ConflictError,
    HostileInputError,
    InputError,
    IntegrityError,
    MetadataError,
    StorageError,
)
from terracube.cubes import YX, Grid, Pair
from terracube.cubes.load import georeference
from terracube.cubes.storage import chunks as chunk_files
from terracube.cubes.storage import dataset, regions, write_zarr
from terracube.cubes.storage.attributes import Place
from terracube.cubes.storage.chunks import write_chunk
from terracube.cubes.storage.describe import grid_of, method_of
from terracube.cubes.storage.pyramid import count_levels, reduce_levels
from terracube.cubes.storage.regions import make_frame

RNG = np.random.default_rng(20)
DAYS = pd.to_datetime(["2024-01-01", "2024-01-03", "2024-02-01"])


def some_grid(shape, crs="EPSG:32633", size=10.0):
    """Give a grid of a shape, off the multiples of its resolution."""
    return Grid(crs, Pair(-size, size), Pair(0.5, 0.25), YX(-300, 60), YX(*shape))


def cube_of(shape=(300, 200), times=3, chunks=None, crs="EPSG:32633", size=10.0):
    """Give a cube of three kinds of variables: numbers with nodata, floats with NaN, classes."""
    grid = some_grid(shape, crs, size)
    rng = np.random.default_rng(5)
    numbers = rng.integers(0, 9000, (times, *shape)).astype("uint16")
    numbers[:, shape[0] // 3 : shape[0] // 2, : shape[1] // 2] = 0
    floats = rng.normal(size=shape).astype("float32")
    floats[floats > 1.2] = np.nan
    classes = rng.integers(0, 4, (times, *shape)).astype("uint8")
    told = {
        "red": (("time", "y", "x"), numbers, {"nodata": 0, "units": "1", "long_name": "Red <DN>"}),
        "height": (("y", "x"), floats, {"units": "m"}),
        "scl": (("time", "y", "x"), classes, {"flag_values": np.arange(4, dtype="uint8"), "flag_meanings": "a b c d"}),
    }
    variables = {}
    for name, (dims, values, attrs) in told.items():
        data = values if chunks is None else da.from_array(values, chunks=chunks[-values.ndim :])
        variables[name] = georeference(xr.DataArray(data, dims=dims, attrs=attrs), grid)
    ds = xr.Dataset(variables, attrs={"title": "a cube", "terracube:sources": "[1, 2]"})
    return ds.assign_coords(time=DAYS[:times], platform=("time", ["S2A", "S2B", "S2A"][:times]))


def same_values(found, expected):
    """Compare variables and labels, whatever the order of the variables."""
    names = list(found.data_vars)
    xr.testing.assert_equal(found.drop_vars("spatial_ref"), expected[names].drop_vars("spatial_ref").compute())
    assert set(names) == set(expected.data_vars)
    assert {name: found[name].dtype for name in names} == {name: expected[name].dtype for name in names}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A cube with two levels, larger than a chunk, and what it was written from."""
    ds = cube_of((300, 200))
    return write_zarr(ds, tmp_path_factory.mktemp("store") / "cube.zarr", chunks=128, multiscales=2), ds


class TestReaders:
    def test_xarray(self, store):
        """xarray finds values, types, labels and texts as they were."""
        path, ds = store
        found = xr.open_zarr(path)
        same_values(found, ds)
        assert found.attrs["title"] == "a cube"
        assert json.loads(found.attrs["terracube:sources"]) == [1, 2]
        assert found.red.attrs["long_name"] == "Red <DN>"
        assert found.red.attrs["nodata"] == 0
        assert found.scl.attrs["flag_values"] == [0, 1, 2, 3]
        assert found.time.encoding["units"] == "days since 1970-01-01"
        assert found.red.encoding["chunks"] == (1, 128, 128)

    def test_places(self, store):
        """rioxarray and odc-geo find CRS and transform, at each level."""
        path, ds = store
        for level in range(3):
            found = xr.open_zarr(path, group=str(level) if level else None, decode_coords="all")
            place = Place(grid_of(ds), level)
            assert found.rio.crs.to_epsg() == 32633
            assert found.red.rio.transform()[:6] == place.transform
            assert found.odc.geobox.transform[:6] == place.transform
            assert tuple(found.odc.geobox.shape) == place.shape
            assert found.time.equals(ds.time)

    def test_gdal(self, store):
        """GDAL finds values, CRS, transform and nodata, at each level."""
        path, ds = store
        for level in range(3):
            prefix = f"/{level}" if level else ""
            values = xr.open_zarr(path, group=str(level) if level else None)
            with rasterio.open(f'ZARR:"{path}":{prefix}/red') as dataset:
                assert dataset.crs.to_epsg() == 32633
                assert dataset.transform.almost_equals(rasterio.Affine(*Place(grid_of(ds), level).transform), 1e-6)
                assert dataset.nodata == 0
                assert np.array_equal(dataset.read(), values.red.values)
            with rasterio.open(f'ZARR:"{path}":{prefix}/height') as dataset:
                assert np.isnan(dataset.nodata)
                assert np.array_equal(dataset.read(1), values.height.values, equal_nan=True)

    def test_zarr_writes_the_same_bytes(self, store, tmp_path):
        """A chunk is to the byte what zarr-python writes."""
        path, ds = store
        array = zarr.create_array(
            str(tmp_path / "z"),
            shape=(3, 300, 200),
            chunks=(1, 128, 128),
            dtype="uint16",
            fill_value=0,
            compressors=BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"),
        )
        array[:] = ds.red.values
        for name in ("c/0/0/0", "c/1/2/1"):
            assert (tmp_path / "z" / name).read_bytes() == (path / "red" / name).read_bytes()

    def test_conventions(self, store):
        """The store names the conventions by their constants; the layout leads to arrays of the shapes it tells."""
        path, ds = store
        group = zarr.open_group(str(path), mode="r")
        attrs = dict(group.attrs)
        assert {each["name"] for each in attrs["zarr_conventions"]} == {"proj", "spatial", "multiscales"}
        for each in attrs["zarr_conventions"]:
            assert set(each) == {"schema_url", "spec_url", "uuid", "name", "description"}
            assert each["schema_url"].endswith(f"/{each['name']}/refs/tags/v0.1/schema.json")
        told = {each["name"]: each for each in attrs["zarr_conventions"]}["multiscales"]
        assert told["uuid"] == "d35379db-88df-4056-af3a-620245f8e347"
        assert told["description"] == "Multiscale layout of zarr datasets"
        assert attrs["spatial:dimensions"] == ["y", "x"]
        assert not {"spatial:transform", "spatial:shape"} & set(attrs), "beside a layout each entry tells its own"
        layout = attrs["multiscales"]["layout"]
        assert [entry["asset"] for entry in layout][:4] == ["red", "height", "scl", "1/red"]
        for entry in layout:
            assert re.fullmatch(r"(?!/)(?!.*\.\.)([^/]+(/[^/]+)*)", entry["asset"])
            array = group[entry["asset"]]
            assert list(array.shape[-2:]) == entry["spatial:shape"]
            assert array.attrs["spatial:transform"] == entry["spatial:transform"]
            assert array.attrs["proj:code"] == "EPSG:32633"
            level = int(entry["asset"].partition("/")[0]) if "/" in entry["asset"] else 0
            assert entry["transform"] == {"scale": [2.0**level] * 2, "translation": [0.0, 0.0]}
            assert ("derived_from" in entry) == ("resampling_method" in entry) == bool(level)
        methods = {entry["asset"]: entry.get("resampling_method") for entry in layout}
        assert (methods["1/red"], methods["2/scl"]) == ("average", "nearest")
        assert isinstance(attrs["spatial:bbox"], list)
        assert ds.sizes["y"] == 300

    def test_valid_json(self, store):
        """No file of metadata holds what JSON does not know."""

        def refuse(constant):
            raise AssertionError(f"{constant} is no JSON")

        for file in store[0].rglob("zarr.json"):
            json.loads(file.read_text(), parse_constant=refuse)


@pytest.mark.parametrize(
    "chunks", [(1, 64, 64), (3, 300, 200), (2, 300, 64), (1, 77, 130), (3, 128, 128), (1, 256, 256), ((1, 2), 150, 200)]
)
def test_chunks_do_not_matter(store, tmp_path, chunks):
    """However the cube is cut, every file of the store is the same."""
    again = write_zarr(cube_of((300, 200), chunks=chunks), tmp_path / "z", chunks=128, multiscales=2)
    assert tree_manifest(again) == tree_manifest(store[0])


def test_a_cube_written_again(store, tmp_path):
    """A store that was opened and is written again keeps values, place and texts."""
    opened = xr.open_zarr(store[0], decode_coords="all")
    again = write_zarr(opened, tmp_path / "z", chunks=128, multiscales=2)
    same_values(xr.open_zarr(again), store[1])


def test_a_cluster(store, tmp_path):
    """An active client computes and writes, and gives the same bytes."""
    with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0"):
        again = write_zarr(cube_of((300, 200), chunks=(1, 128, 128)), tmp_path / "z", chunks=128, multiscales=2)
    assert tree_manifest(again) == tree_manifest(store[0])


def test_each_block_is_computed_once(tmp_path):
    """What two variables share is computed once, with levels and all."""
    calls = []

    def block(block_info=None):
        calls.append(1)
        return np.ones((2, 128, 128), "float32")

    base = da.map_blocks(
        block, chunks=((2,), (128, 128), (128, 128)), dtype="float32", meta=np.empty((0, 0, 0), "float32")
    )
    grid = some_grid((256, 256))
    ds = xr.Dataset({name: georeference(xr.DataArray(base[at], dims=("y", "x")), grid) for at, name in enumerate("ab")})
    write_zarr(ds, tmp_path / "z", chunks=128)
    assert len(calls) == 4
    assert (xr.open_zarr(tmp_path / "z", group="1").b == 1).all()


class TestWholeOrAbsent:
    def test_an_error_of_a_block(self, tmp_path):
        """An error while a block is computed goes through, and nothing is left."""

        def block(block_info=None):
            if block_info[None]["chunk-location"] == (1, 1):
                raise InputError("no such block")
            return np.zeros((64, 64), "float32")

        lazy = da.map_blocks(block, chunks=((64, 64), (64, 64)), dtype="float32", meta=np.empty((0, 0), "float32"))
        array = georeference(xr.DataArray(lazy, dims=("y", "x"), name="a"), some_grid((128, 128)))
        with pytest.raises(InputError, match="no such block"):
            write_zarr(array, tmp_path / "z", chunks=64)
        assert os.listdir(tmp_path) == []

    def test_killed(self, tmp_path):
        """After kill -9 nothing has the final name, and the next run writes it."""
        program = """
import os, signal, sys
import dask.array as da
import numpy as np
import xarray as xr
from terracube.cubes import YX, Grid, Pair
from terracube.cubes.load import georeference
from terracube.cubes.storage import write_zarr

def block(block_info=None):
    if block_info[None]["chunk-location"] == (3, 3):
        os.kill(os.getpid(), signal.SIGKILL)
    return np.ones((64, 64), "float32")

lazy = da.map_blocks(block, chunks=((64,) * 4, (64,) * 4), dtype="float32", meta=np.empty((0, 0), "float32"))
grid = Grid("EPSG:32633", Pair(-10.0, 10.0), Pair(0.0, 0.0), YX(0, 0), YX(256, 256))
write_zarr(georeference(xr.DataArray(lazy, dims=("y", "x"), name="a"), grid), sys.argv[1], chunks=64)
"""
        done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "z")], check=False)
        assert done.returncode == -signal.SIGKILL
        assert all(re.fullmatch(r"\.writing-\d+-\d+-z", name) for name in os.listdir(tmp_path))
        write_zarr(cube_of((70, 60)), tmp_path / "z", chunks=64)
        same_values(xr.open_zarr(tmp_path / "z"), cube_of((70, 60)))

    @pytest.mark.parametrize("limit", [200, 3000, 20_000])
    def test_a_full_disk(self, tmp_path, limit):
        """Wherever the disk refuses, it is told as such, and nothing is left."""
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        ds = cube_of((300, 200))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            with pytest.raises(StorageError, match=r"z.*File too large"):
                write_zarr(ds, tmp_path / "z", chunks=256)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert os.listdir(tmp_path) == []

    def test_existing_paths(self, tmp_path):
        """A store is replaced only if asked for, anything else never."""
        write_zarr(cube_of((70, 60)), tmp_path / "z", chunks=64)
        before = tree_manifest(tmp_path / "z")
        with pytest.raises(ConflictError, match="overwrite=True"):
            write_zarr(cube_of((20, 10)), tmp_path / "z")
        assert tree_manifest(tmp_path / "z") == before
        write_zarr(cube_of((20, 10)), tmp_path / "z", overwrite=True)
        assert xr.open_zarr(tmp_path / "z").sizes["y"] == 20
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "precious.txt").touch()
        with pytest.raises(ConflictError, match="not replaced"):
            write_zarr(cube_of((20, 10)), tmp_path / "folder", overwrite=True)
        assert sorted(os.listdir(tmp_path)) == ["folder", "z"]

    def test_a_failed_replacement(self, tmp_path):
        """If what replaces a store fails, the store is as it was."""
        write_zarr(cube_of((70, 60)), tmp_path / "z", chunks=64)
        before = tree_manifest(tmp_path / "z")

        def block(block_info=None):
            raise InputError("no such block")

        lazy = da.map_blocks(block, chunks=((70,), (60,)), dtype="float32", meta=np.empty((0, 0), "float32"))
        with pytest.raises(InputError, match="no such block"):
            write_zarr(cube_of((70, 60)).height.copy(data=lazy), tmp_path / "z", chunks=64, overwrite=True)
        assert tree_manifest(tmp_path / "z") == before
        assert os.listdir(tmp_path) == ["z"]

    def test_replacing_what_is_read(self, tmp_path):
        """A lazy cube may replace the store that it is read from."""
        write_zarr(cube_of((70, 60)), tmp_path / "z", chunks=64)
        opened = xr.open_zarr(tmp_path / "z", decode_coords="all")
        write_zarr(opened.assign(red=opened.red + np.uint16(1)), tmp_path / "z", chunks=64, overwrite=True)
        assert np.array_equal(xr.open_zarr(tmp_path / "z").red.values, cube_of((70, 60)).red.values + 1)

    def test_verification(self, tmp_path, monkeypatch):
        """A chunk that is not what was written is found before the store gets its name."""
        real = chunk_files._put

        def tampered(path, content):
            real(path, (tmp_path / "other").read_bytes() if path.parts[-5] == "red" else content)

        (tmp_path / "other").write_bytes(chunk_files.Blosc("zstd", 1).encode(np.ones((64, 60), "uint16")))
        monkeypatch.setattr(chunk_files, "_put", tampered)
        with pytest.raises(IntegrityError, match="red"):
            write_zarr(cube_of((64, 60), times=1), tmp_path / "z", chunks=64)
        assert os.listdir(tmp_path) == ["other"]

    def test_workers_that_write_elsewhere(self, tmp_path, monkeypatch):
        """Chunks that tasks say they wrote and that are not there are missed."""
        monkeypatch.setattr(regions, "write_chunk", lambda *told: 1)
        array = georeference(xr.DataArray(np.ones((64, 64)), dims=("y", "x"), name="a"), some_grid((64, 64)))
        with pytest.raises(StorageError, match="see the same folder"):
            write_zarr(array, tmp_path / "z", chunks=64)
        assert os.listdir(tmp_path) == []

    def test_a_block_of_another_type(self, tmp_path):
        """A block that is not of the type it promised is refused, not converted."""
        lazy = da.from_array(np.ones((9, 9), "float64")).map_blocks(lambda a: a, dtype="float32")
        array = georeference(xr.DataArray(lazy, dims=("y", "x"), name="a"), some_grid((9, 9)))
        with pytest.raises(IntegrityError, match=r"another type.*float32.*float64"):
            write_zarr(array, tmp_path / "z")


def test_progress(tmp_path):
    """The call-back hears of every task, in order, up to all of them."""
    heard = []
    write_zarr(
        cube_of((300, 200), chunks=(1, 128, 128)), tmp_path / "z", chunks=128, progress=lambda *told: heard.append(told)
    )
    assert [done for done, _ in heard] == list(range(1, heard[-1][1] + 1))
    assert len({total for _, total in heard}) == 1


def test_threads_at_once(store, tmp_path):
    """Two cubes written at once from two threads do not meet."""
    jobs = [
        threading.Thread(
            target=write_zarr,
            args=(cube_of((300, 200), chunks=(1, 128, 128)), tmp_path / name),
            kwargs={"chunks": 128, "multiscales": 2},
        )
        for name in "ab"
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert tree_manifest(tmp_path / "a") == tree_manifest(tmp_path / "b") == tree_manifest(store[0])


@pytest.mark.parametrize("overwrite", [False, True])
def test_one_path_at_once(tmp_path, overwrite):
    """Of several writers of one path that begin together one succeeds, unless they may replace; nothing is mixed."""
    cubes, together, told = [cube_of((70, 60))[["height"]] + number for number in range(4)], threading.Barrier(4), []

    def begin(done, _):
        if done == 1:
            together.wait(timeout=60)

    def work(number):
        try:
            write_zarr(cubes[number], tmp_path / "z", chunks=64, overwrite=overwrite, progress=begin)
            told.append(number)
        except ConflictError as error:
            told.append(str(error))

    jobs = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    written, refused = [one for one in told if isinstance(one, int)], [one for one in told if isinstance(one, str)]
    assert len(written) + len(refused) == 4
    assert len(written) == 1 if not overwrite else written
    assert not any("free space" in one for one in refused)
    found = xr.open_zarr(tmp_path / "z")
    assert any(np.array_equal(found.height, cubes[one].height, equal_nan=True) for one in written)
    assert os.listdir(tmp_path) == ["z"]


def test_taken_at_the_last_moment(tmp_path, monkeypatch):
    """A name that another writer takes between the last look and the renaming stays theirs."""
    real = dataset._check_target

    def slow(target, overwrite):
        real(target, overwrite)
        if any(tmp_path.glob(".writing-*")):
            (target / "precious").mkdir(parents=True)

    monkeypatch.setattr(dataset, "_check_target", slow)
    with pytest.raises(ConflictError, match="another writer was faster"):
        write_zarr(cube_of((20, 10)), tmp_path / "z", chunks=64)
    assert [path.name for path in tmp_path.rglob("*")] == ["z", "precious"]


class TestShapes:
    @pytest.mark.parametrize("shape", [(1, 1), (1, 200), (200, 1), (64, 64), (65, 129)])
    @pytest.mark.parametrize("chunks", [None, (1, 50, 70)])
    def test_small_and_odd(self, tmp_path, shape, chunks):
        """One pixel, one row, exact and odd multiples of a chunk come back, at every level."""
        ds = cube_of(shape, chunks=chunks)
        write_zarr(ds, tmp_path / "z", chunks=64, multiscales=2)
        same_values(xr.open_zarr(tmp_path / "z"), ds)
        for level, expected in enumerate(reduce_levels(ds.height.values, 2, "average", None), 1):
            found = xr.open_zarr(tmp_path / "z", group=str(level))
            assert np.array_equal(found.height.values, expected, equal_nan=True)

    def test_axes_in_any_order(self, tmp_path):
        """Variables whose y and x are not last are turned; a band axis with names is kept."""
        ds = cube_of((70, 60), times=2)
        turned = ds.transpose("x", "y", "time").assign(cube=(("band", "y", "x"), RNG.random((2, 70, 60)), {}))
        turned = turned.assign_coords(band=["red", "nïr"])
        write_zarr(turned, tmp_path / "z")
        found = xr.open_zarr(tmp_path / "z")
        assert found.cube.dims == ("band", "y", "x")
        assert found.band.values.tolist() == ["red", "nïr"]
        xr.testing.assert_equal(found.red.drop_vars("spatial_ref"), ds.red.drop_vars("spatial_ref"))
        with rasterio.open(f'ZARR:"{tmp_path / "z"}":/cube') as dataset:
            assert dataset.count == 2

    def test_one_array_and_things_beside(self, tmp_path):
        """An array alone is stored by its name; variables without a grid, lazy ones too, are kept beside."""
        ds = cube_of((70, 60)).assign(threshold=((), da.from_array(np.float64(0.25))), clear=("time", [1, 2, 3]))
        write_zarr(ds, tmp_path / "a")
        found = xr.open_zarr(tmp_path / "a")
        assert (float(found.threshold), found.clear.values.tolist()) == (0.25, [1, 2, 3])
        write_zarr(ds.height, tmp_path / "b", multiscales=False)
        assert list(xr.open_zarr(tmp_path / "b").data_vars) == ["height"]
        assert not (tmp_path / "b" / "1").exists()

    @pytest.mark.parametrize(("crs", "size"), [("EPSG:4326", 0.01), ("EPSG:3413", 500.0), ("EPSG:3035", 60.0)])
    def test_other_systems(self, tmp_path, crs, size):
        """Degrees, polar and northing-first systems are found again, at each level."""
        write_zarr(cube_of((70, 60), crs=crs, size=size), tmp_path / "z", multiscales=1)
        for group in (None, "1"):
            found = xr.open_zarr(tmp_path / "z", group=group, decode_coords="all")
            assert found.rio.crs == rasterio.CRS.from_user_input(crs)
            with rasterio.open(f'ZARR:"{tmp_path / "z"}":{"/" + group if group else ""}/red') as dataset:
                assert dataset.transform.almost_equals(found.red.rio.transform(), 1e-6 * size)

    @pytest.mark.parametrize(
        "moments", [["2024-05-01T10:20:31"], ["2024-05-01T10:20:31.123456"], ["1969-12-31", "2024-05-01"]]
    )
    def test_times(self, tmp_path, moments):
        """Moments come back as they were, stored as whole numbers."""
        ds = cube_of((9, 9), times=1).isel(time=[0] * len(moments)).assign_coords(time=pd.to_datetime(moments))
        write_zarr(ds, tmp_path / "z")
        assert (pd.DatetimeIndex(xr.open_zarr(tmp_path / "z").time.values) == pd.to_datetime(moments)).all()
        assert zarr.open_group(str(tmp_path / "z"), mode="r")["time"].dtype == "int64"


class TestMissing:
    def one(self, values, **attrs):
        """Give an array with attributes."""
        return georeference(xr.DataArray(values, dims=("y", "x"), name="a", attrs=attrs), some_grid(values.shape))

    def test_words_are_kept(self, tmp_path):
        """``nodata`` leaves values as they are; CF's words make readers see NaN; GDAL sees the number of both."""
        values = np.array([[1, -7, 3], [1, 1, 1]], "int16")
        for number, word in enumerate(("nodata", "_FillValue", "missing_value")):
            path = write_zarr(self.one(values, **{word: -7}), tmp_path / str(number))
            found = xr.open_zarr(path).a
            expected = values if word == "nodata" else [[1, np.nan, 3], [1, 1, 1]]
            assert np.array_equal(found.values, expected, equal_nan=word != "nodata")
            with rasterio.open(f'ZARR:"{path}":/a') as dataset:
                assert dataset.nodata == -7
                assert dataset.read(1).tolist() == values.tolist()

    def test_scale_is_kept(self, tmp_path):
        """Scale and offset are told, not applied to what is stored."""
        values = np.array([[1000, 2000]], "uint16")
        path = write_zarr(self.one(values, scale_factor=0.0001, add_offset=-0.1), tmp_path / "z")
        assert zarr.open_group(str(path), mode="r")["a"][:].tolist() == values.tolist()
        assert xr.open_zarr(path).a.values == pytest.approx(np.array([[0.0, 0.1]]))

    def test_every_value_means_something(self, tmp_path):
        """Without a missing number, zeros are values for GDAL too, and NaN is missing in floats."""
        path = write_zarr(self.one(np.zeros((3, 3), "uint8")), tmp_path / "z")
        with rasterio.open(f'ZARR:"{path}":/a') as dataset:
            assert (dataset.read_masks(1) == 255).all()

    @pytest.mark.parametrize(
        ("dtype", "attrs"),
        [
            ("uint8", {"nodata": -1}),
            ("uint8", {"nodata": 0.5}),
            ("int16", {"nodata": 0, "_FillValue": 1}),
            ("uint8", {"nodata": "x"}),
        ],
    )
    def test_contradictions(self, tmp_path, dtype, attrs):
        """Two missing numbers, or one that the type lacks, are refused and named."""
        with pytest.raises(MetadataError, match=r"missing value.*a"):
            write_zarr(self.one(np.zeros((3, 3), dtype), **attrs), tmp_path / "z")


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            (lambda ds: ds.drop_vars("spatial_ref"), MetadataError, "CRS is not known"),
            (lambda ds: ds.isel(y=slice(None, None, -1)), MetadataError, "rows run north"),
            (lambda ds: ds.assign_coords(x=ds.x.values**2), MetadataError, "not regular.*x"),
            (lambda ds: ds.assign_coords(x=ds.x.values + 3.0), MetadataError, "contradict.*x"),
            (lambda ds: ds.rename(y="lat"), MetadataError, "axes y and x"),
            (lambda ds: ds.assign(height=ds.height.astype("complex64")), InputError, "type.*height.*complex64"),
            (lambda ds: ds.assign(height=ds.height.assign_attrs(odd=object())), InputError, "attribute.*height: odd"),
            (lambda ds: ds.assign_coords(lon=(("y", "x"), ds.height.values)), InputError, "spans the grid.*lon"),
            (lambda ds: ds.assign_coords(odd=("time", [{}, {}, {}])), InputError, "coordinate.*odd"),
            (lambda ds: ds.assign_coords(time=[*DAYS[:2], pd.NaT]), InputError, "time is missing"),
            (lambda ds: ds.assign(row=("y", np.zeros(70))), InputError, "row"),
            (lambda ds: ds.drop_vars(list(ds.data_vars)), InputError, "no variable"),
            (lambda ds: ds.rename(red="1"), InputError, "name.*level"),
        ],
    )
    def test_datasets(self, tmp_path, change, error, message):
        """What cannot be stored is named, and nothing is left behind."""
        with pytest.raises(error, match=message):
            write_zarr(change(cube_of((70, 60))), tmp_path / "z", chunks=64)
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize(
        "options", [{"chunks": 500}, {"chunks": 0}, {"multiscales": 10}, {"multiscales": -1}, {"resampling": "cubic"}]
    )
    def test_options(self, tmp_path, options):
        """Options that mean nothing are refused."""
        with pytest.raises(InputError):
            write_zarr(cube_of((70, 60)), tmp_path / "z", **options)
        assert os.listdir(tmp_path) == []

    def test_names(self, tmp_path):
        """A name that would leave the folder is refused."""
        with pytest.raises(HostileInputError, match="name of a variable"):
            write_zarr(cube_of((9, 9)).rename(red="../red"), tmp_path / "z")


class TestGrids:
    def test_parts_and_every_other(self):
        """A part of a cube has its own corner, every other pixel its own size, one pixel that of the transform."""
        ds, grid = cube_of((70, 60)), some_grid((70, 60))
        assert grid_of(ds) == grid
        assert grid_of(ds.isel(y=slice(10, 30), x=slice(5, 6))) == grid.window(YX(10, 5), YX(20, 1))
        assert grid_of(ds.isel(y=slice(0, None, 2), x=slice(0, None, 2))).resolution == Pair(-20.0, 20.0)

    def test_no_coordinates(self):
        """The transform alone places a cube; without it there is no place."""
        bare = cube_of((70, 60)).drop_vars(["y", "x"])
        assert grid_of(bare) == some_grid((70, 60))
        bare.spatial_ref.attrs.pop("GeoTransform")
        with pytest.raises(MetadataError, match="pixel size is not known"):
            grid_of(bare)

    @pytest.mark.parametrize(
        ("text", "message"), [("1 2 3", "unreadable"), ("a b c d e f", "unreadable"), ("0 1 1 0 1 1", "rotated")]
    )
    def test_odd_transforms(self, text, message):
        """A transform that is none, or turned, is told."""
        ds = cube_of((9, 9))
        ds.spatial_ref.attrs["GeoTransform"] = text
        with pytest.raises(MetadataError, match=message):
            grid_of(ds)

    def test_places_of_levels(self):
        """A level has the corner of the grid, pixels of exactly twice the size, and covers it."""
        grid = some_grid((71, 33))
        for level in range(6):
            place, size = Place(grid, level), 1 << level
            a, _, c, _, e, f = place.transform
            assert (a, e, c, f) == (10.0 * size, -10.0 * size, grid.transform.c, grid.transform.f)
            assert place.shape == YX(-(-71 // size), -(-33 // size))
            assert place.bounds.left == grid.bounds.left
            assert place.bounds.right >= grid.bounds.right > place.bounds.right - a
            y, x = place.centres()
            assert (y[0], x[-1]) == (f + e / 2, c + a * (len(x) - 0.5))


def slow_level(values, size, method, missing):
    """Reduce pixel by pixel, as the definition says."""
    out = np.empty((-(-values.shape[0] // size), -(-values.shape[1] // size)), values.dtype)
    for row, col in np.ndindex(*out.shape):
        part = values[row * size : (row + 1) * size, col * size : (col + 1) * size]
        if method == "nearest":
            out[row, col] = part[min(size // 2, part.shape[0] - 1), min(size // 2, part.shape[1] - 1)]
            continue
        seen = part[(part == part) & (part != missing)] if missing is not None else part[part == part]
        if not seen.size:
            out[row, col] = np.nan if missing is None else missing
        elif method == "mode":
            found, counts = np.unique(seen, return_counts=True)
            out[row, col] = found[counts.argmax()]
        else:
            mean = seen.astype("float64").sum() / seen.size
            if values.dtype.kind in "iu":
                mean = np.rint(mean)
                mean = mean + 1 if mean == missing and mean < np.iinfo(values.dtype).max else mean - (mean == missing)
            out[row, col] = mean
    return out


class TestPyramid:
    @pytest.mark.parametrize("method", ["average", "nearest", "mode"])
    @pytest.mark.parametrize(
        ("dtype", "missing"), [("uint8", 0), ("uint8", None), ("int16", -9), ("float32", None), ("float32", 3.0)]
    )
    @settings(max_examples=25)
    @given(height=st.integers(1, 21), width=st.integers(1, 21), seed=st.integers(0, 99))
    def test_definition(self, method, dtype, missing, height, width, seed):
        """Each level is what its definition says of full resolution, for every type and missing value."""
        rng = np.random.default_rng(seed)
        values = rng.integers(-9 if dtype[0] != "u" else 0, 9, (height, width)).astype(dtype)
        if dtype[0] == "f":
            values[rng.random(values.shape) < 0.2] = np.nan
        for level, found in enumerate(reduce_levels(values, 3, method, missing), 1):
            assert found.dtype == values.dtype
            assert np.array_equal(found, slow_level(values, 1 << level, method, missing), equal_nan=dtype[0] == "f")

    @settings(max_examples=25)
    @given(top=st.integers(0, 3), left=st.integers(0, 3), seed=st.integers(0, 99))
    def test_windows(self, top, left, seed):
        """A block at a multiple of the coarsest pixel gives the pixels of the whole, to the bit."""
        values = np.random.default_rng(seed).normal(size=(41, 37))
        values[values > 1] = np.nan
        whole = reduce_levels(values, 3, "average", None)
        part = reduce_levels(values[8 * top :, 8 * left :], 3, "average", None)
        for level, (large, small) in enumerate(zip(whole, part, strict=True), 1):
            shift = 8 >> level
            assert large[shift * top :, shift * left :].tobytes() == small.tobytes()

    def test_number_of_levels(self):
        """Levels go on until one chunk holds the whole, or as asked, but never past a pixel for each chunk."""
        assert [count_levels((size, 5), 512, True) for size in (1, 512, 513, 1024, 1025, 10980)] == [0, 0, 1, 1, 2, 5]
        assert [count_levels((9000, 9000), 512, asked) for asked in (False, 0, 3, 9)] == [0, 0, 3, 9]
        assert count_levels((1 << 20, 5), 64, True) == 6

    def test_methods(self):
        """Classes, counts and truths are picked, measurements averaged, and what is asked for wins."""
        plain = xr.DataArray(np.zeros((2, 2), "uint8"))
        assert method_of("a", plain, None) == "average"
        assert method_of("a", plain.assign_attrs(flag_meanings="a b"), None) == "nearest"
        assert method_of("a", plain.assign_attrs(standard_name="x number_of_observations"), None) == "nearest"
        assert method_of("a", plain.astype(bool), None) == "nearest"
        assert method_of("a", plain.assign_attrs(overview_resampling="mode", flag_values=[0]), None) == "mode"
        assert method_of("a", plain.astype(bool), "average") == "average"

    def test_asked_by_name(self, tmp_path):
        """One method for a variable, another for all others."""
        ds = cube_of((70, 60))
        write_zarr(ds, tmp_path / "z", chunks=64, resampling={"scl": "mode", "*": "nearest"})
        found = xr.open_zarr(tmp_path / "z", group="1")
        assert np.array_equal(found.scl.values[0], slow_level(ds.scl.values[0], 2, "mode", None))
        assert np.array_equal(found.height.values, slow_level(ds.height.values, 2, "nearest", None), equal_nan=True)


def test_chunks_of_nothing(tmp_path):
    """A chunk of nothing but the fill value is no file; a negative zero is not a zero."""
    for values, fill, files in [
        (np.zeros((4, 4), "uint8"), 0, 0),
        (np.full((4, 4), np.nan, "float32"), np.nan, 0),
        (np.zeros((4, 4), "float32"), np.float32(0), 0),
        (np.array([[0.0, -0.0]], "float32"), np.float32(0), 1),
        (np.array([[0, 1]], "uint8"), 0, 1),
    ]:
        assert write_chunk(tmp_path, (0, files), values, values.shape, fill) == files


def test_regions_follow_the_blocks(tmp_path):
    """Large blocks make large regions; times are cut where the source is, and taken together where blocks are small."""
    from terracube.cubes.storage.dataset import plan_store

    def frame(chunks, times):
        values = da.zeros((times, 4096, 4096), dtype="uint16", chunks=chunks)
        array = georeference(xr.DataArray(values, dims=("time", "y", "x"), name="a"), some_grid((4096, 4096)))
        scheme, sources, _ = plan_store(array, chunks=512, multiscales=True, resampling=None)
        return make_frame(tmp_path, tmp_path, scheme, sources)

    assert (frame((1, 512, 512), 10).side, frame((1, 512, 512), 10).slabs) == (512, ((0, 10),))
    assert (frame((1, 2048, 2048), 10).side, frame((1, 2048, 2048), 10).filled) == (2048, 2)
    assert frame((1, 2048, 2048), 10).slabs == tuple((at, min(at + 4, 10)) for at in range(0, 10, 4))
    assert frame((5, 300, 300), 10).slabs == ((0, 10),)
    assert frame((400, 512, 512), 1000).slabs == ((0, 400), (400, 800), (800, 1000))
    assert dask.config.get("scheduler", None) is None
