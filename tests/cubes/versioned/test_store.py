"""Where a cube lies, what other readers see of it, and what a damaged or hostile store can do."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import icechunk
import numpy as np
import odc.geo.xr  # noqa: F401  registers the `.odc` accessor
import pytest
import rasterio
import xarray as xr
import zarr

from terracube.core.errors import (
    AssetError,
    ConflictError,
    EmptyResultError,
    InputError,
    IntegrityError,
    NotFoundError,
    StorageError,
    TerraCubeError,
    VersionError,
)
from terracube.cubes import YX, Grid
from terracube.cubes.access.s3 import AnonymousS3, S3Keys
from terracube.cubes.storage.versioned import VersionedCube
from terracube.cubes.storage.versioned.place import Place, to_place, told

DAYS = ["2023-08-10", "2023-08-12"]


@pytest.fixture(scope="module")
def template(tmp_path_factory, cube_in, scene):
    """The folder of a cube with two dates, the later one first."""
    folder = tmp_path_factory.mktemp("template") / "cube"
    cube = cube_in(folder)
    cube.append(scene(DAYS[1:]))
    cube.append(scene(DAYS[:1]))
    return folder


@pytest.fixture
def filled(template, tmp_path):
    """A cube with two dates, to do anything with."""
    shutil.copytree(template, tmp_path / "cube-0")
    return VersionedCube.open(tmp_path / "cube-0")


def change(folder, work, message="changed by hand"):
    """Change a store behind the cube's back."""
    session = icechunk.Repository.open(icechunk.local_filesystem_storage(str(folder))).writable_session("main")
    work(zarr.open_group(session.store, mode="r+"))
    session.commit(message)


def test_citizen(filled, scene, grid):
    """The dataset has CRS, pixels, nodata and chunks as other libraries look for them, and is lazy."""
    found = filled.dataset()
    assert found.rio.crs.to_epsg() == 32633
    assert found.rio.transform() == grid.transform
    assert found.odc.geobox == grid.geobox
    assert found.red.odc.geobox == grid.geobox
    assert found.red.chunks == ((1, 1), (32, 9), (32, 23))
    assert found.scl.rio.nodata == 255
    assert found.red.attrs["units"] == "1"
    assert set(found.coords) == {"time", "y", "x", "spatial_ref"}
    assert found.time.dtype == "datetime64[ns]"
    assert found.sel(time="2023-08-12").red.load().identical(found.red.load().sel(time="2023-08-12"))
    assert Grid.like(found) == grid


def test_lazy(filled):
    """The graph is one task per chunk and date, deterministic, and may travel to other processes."""
    one, other = filled.dataset(), filled.dataset()
    assert one.red.data.name == other.red.data.name
    assert len(one.red.data.__dask_graph__()) <= 2 * 4 + 2
    there = pickle.loads(pickle.dumps(one))
    assert there.load().identical(other.load())


def test_round_trip_to_zarr(filled, tmp_path):
    """What is opened can be written by xarray as it is."""
    filled.dataset().to_zarr(tmp_path / "plain.zarr", consolidated=False)
    found = xr.open_zarr(tmp_path / "plain.zarr", consolidated=False, decode_coords="all")
    assert np.array_equal(found.red.values, filled.dataset().red.values, equal_nan=True)
    assert found.rio.crs.to_epsg() == 32633


def test_plain_icechunk_readers(filled, tmp_path, grid):
    """Who has icechunk and xarray alone reads the store too; dates lie in the order of their arrival."""
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(tmp_path / "cube-0")))
    store = repository.readonly_session("main").store
    found = xr.open_zarr(store, consolidated=False, decode_coords="all").sortby("time")
    assert set(found.data_vars) == {"red", "scl"}
    assert found.rio.crs.to_epsg() == 32633
    assert found.rio.transform() == grid.transform
    assert np.array_equal(found.time.values, filled.dataset().time.values)
    assert np.array_equal(found.red.values, filled.dataset().red.values, equal_nan=True)


def test_export(filled, tmp_path, grid):
    """A state can be written as plain Zarr, which xarray and GDAL place right."""
    state = filled.history()[0]
    filled.export_zarr(tmp_path / "out.zarr", state.id)
    found = xr.open_zarr(tmp_path / "out.zarr", consolidated=False, decode_coords="all", mask_and_scale=False)
    for name in ("red", "scl"):
        assert np.array_equal(found[name].values, filled.dataset()[name].values, equal_nan=name == "red")
    with rasterio.open(f'ZARR:"{tmp_path / "out.zarr"}":/red:0') as dataset:
        assert dataset.crs.to_epsg() == 32633
        assert dataset.transform.almost_equals(grid.transform, precision=1e-6)
        assert np.array_equal(dataset.read(1), filled.dataset().red.values[0], equal_nan=True)


def test_empty(cube, tmp_path):
    """A cube without dates can be opened, and has nothing to be written."""
    found = VersionedCube.open(tmp_path / "cube-0").dataset()
    assert found.red.shape == (0, 41, 55)
    assert found.rio.crs.to_epsg() == 32633
    assert cube.verify() == 0
    assert not cube.diff(cube.history()[0].id).differences
    with pytest.raises(EmptyResultError):
        cube.export_zarr(tmp_path / "out.zarr")


def test_moved(filled, tmp_path):
    """A folder can be given another name."""
    before = filled.dataset().load()
    os.rename(tmp_path / "cube-0", tmp_path / "elsewhere")
    assert VersionedCube.open(tmp_path / "elsewhere").dataset().load().identical(before)


def test_user_log_level_stands(filled, monkeypatch):
    """Who asks icechunk to log gets what was asked for."""
    monkeypatch.setenv("ICECHUNK_LOG", "error")
    monkeypatch.setattr(icechunk, "set_logs_filter", pytest.fail)
    assert filled.dataset().sizes["time"] == 2


def test_damaged_chunk(filled, tmp_path):
    """A chunk whose bytes were changed on disk is found."""
    (path,) = (p for p in sorted((tmp_path / "cube-0" / "chunks").iterdir(), key=os.path.getsize)[-1:])
    content = bytearray(path.read_bytes())
    content[-20] ^= 0xFF
    path.write_bytes(content)
    damaged = VersionedCube.open(tmp_path / "cube-0")
    with pytest.raises((IntegrityError, AssetError)):
        damaged.verify()


def test_other_values(filled, tmp_path):
    """Values changed behind the cube's back do not have their digests."""

    def one_pixel(group):
        group["red"][0, 0, 0] = 42

    change(tmp_path / "cube-0", one_pixel)
    with pytest.raises(IntegrityError, match="red, date 0, chunk 0, 0"):
        filled.verify()


def test_undecodable_chunk(filled, tmp_path):
    """A chunk that is no longer one is told by name when it is read."""
    for path in (tmp_path / "cube-0" / "chunks").iterdir():
        path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(AssetError, match="red"):
        VersionedCube.open(tmp_path / "cube-0").dataset().red.load()


def test_lost_chunk(filled, tmp_path):
    """A chunk that is gone is an error of the store, not a gap in the data."""
    for path in (tmp_path / "cube-0" / "chunks").iterdir():
        path.unlink()
    with pytest.raises(TerraCubeError):
        filled.dataset().red.load()


def _attribute(**fields):
    def work(group):
        group.attrs["terracube:cube"] = dict(group.attrs["terracube:cube"]) | fields

    return work


def _deep(name, **fields):
    def work(group):
        told = dict(group.attrs["terracube:cube"])
        told[name] = dict(told[name]) | fields
        group.attrs["terracube:cube"] = told

    return work


def _array(name, **fields):
    def work(group):
        del group[name]
        group.create_array(name, **fields)

    return work


def _times(values):
    def work(group):
        group["time"][:] = np.array(values, "int64")

    return work


HOSTILE = {
    "a newer format": (_attribute(format=2), VersionError),
    "no description": (lambda group: group.attrs.pop("terracube:cube"), IntegrityError),
    "a description of another kind": (lambda group: group.attrs.put({"terracube:cube": [1]}), IntegrityError),
    "a format that is no number": (_attribute(format="1"), IntegrityError),
    "no grid": (_attribute(grid=None), IntegrityError),
    "a grid that no memory holds": (_deep("grid", shape=[1 << 30, 1 << 30]), IntegrityError),
    "another grid than the arrays": (_deep("grid", shape=[41, 56]), IntegrityError),
    "chunks that no memory holds": (_attribute(chunk=1 << 30), IntegrityError),
    "chunks of other arrays": (_attribute(chunk=16), IntegrityError),
    "a name that leaves": (_attribute(variables={"../red": {"dtype": "uint8"}}), IntegrityError),
    "no variables": (_attribute(variables={}), IntegrityError),
    "too many variables": (_attribute(variables={f"b{n}": {"dtype": "uint8"} for n in range(2000)}), IntegrityError),
    "a variable that is not there": (_attribute(variables={"nir": {"dtype": "uint8", "nodata": 0}}), IntegrityError),
    "another type": (_deep("variables", red={"dtype": "float64", "nodata": "NaN"}), IntegrityError),
    "another nodata": (_deep("variables", scl={"dtype": "uint8", "nodata": 0}), IntegrityError),
    "objects": (_deep("variables", red={"dtype": "object", "nodata": None}), IntegrityError),
    "dates without number": (_array("time", shape=(1 << 40,), chunks=(4096,), dtype="int64"), IntegrityError),
    "dates in a plane": (_array("time", shape=(2, 2), chunks=(2, 2), dtype="int64"), IntegrityError),
    "dates in one huge chunk": (_array("time", shape=(2,), chunks=(1 << 40,), dtype="int64"), IntegrityError),
    "a date twice": (_times([5, 5]), IntegrityError),
    "a missing date": (_times([5, np.iinfo("int64").min]), IntegrityError),
    "a group for dates": (lambda group: (group.__delitem__("time"), group.create_group("time")), IntegrityError),
    "pixels in one huge chunk": (
        _array("red", shape=(2, 41, 55), chunks=(1, 1 << 20, 1 << 20), dtype="float32", fill_value=np.nan),
        IntegrityError,
    ),
    "fewer dates than told": (lambda group: group["red"].resize((1, 41, 55)), IntegrityError),
    "no digests": (lambda group: group["checks"].__delitem__("red"), IntegrityError),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(filled, tmp_path, name, scene):
    """A store that contradicts itself, or asks for more than any cube, is refused before a pixel is read."""
    work, error = HOSTILE[name]
    change(tmp_path / "cube-0", work)

    def use():
        cube = VersionedCube.open(tmp_path / "cube-0")
        cube.dataset().load()
        cube.append(scene(DAYS, seed=1))

    with pytest.raises(error):
        use()


def test_hostile_history(filled, tmp_path):
    """Records of commits that make no sense are told as empty."""
    session = icechunk.Repository.open(icechunk.local_filesystem_storage(str(tmp_path / "cube-0"))).writable_session(
        "main"
    )
    zarr.open_group(session.store, mode="r+").attrs["x"] = 1
    odd = {"added": [0, 1 << 60], "replaced": [[1], "x", ["a", 2], [-5, 1]], "changed_pixels": "many", "attributes": []}
    session.commit("odd", {"terracube": odd})
    found = filled.history()[0]
    assert (found.changed_pixels, found.attributes, len(found.added), len(found.replaced)) == (0, {}, 2, 1)


def test_other_stores(tmp_path):
    """Places without a cube are told so, and left as they are."""
    with pytest.raises(NotFoundError):
        VersionedCube.open(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    icechunk.Repository.create(icechunk.local_filesystem_storage(str(tmp_path / "empty")))
    with pytest.raises(IntegrityError, match="no cube"):
        VersionedCube.open(tmp_path / "empty")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "repo").write_bytes(b"no repo")
    with pytest.raises(TerraCubeError):
        VersionedCube.open(tmp_path / "odd")


@pytest.mark.parametrize("lock", ["commit.lock", "writers.lock"])
def test_no_lock(filled, tmp_path, scene, lock):
    """Where no lock can be had, a cube can be read, and nothing is appended."""
    (tmp_path / "cube-0" / lock).unlink()
    (tmp_path / "cube-0" / lock).mkdir()
    assert filled.dataset().load().sizes["time"] == 2
    with pytest.raises(StorageError):
        filled.append(scene(DAYS, seed=1))
    assert len(filled.history()) == 3


@pytest.mark.parametrize(
    "address",
    ["https://example.org/cube", "s3://", "s3://bucket", "s3://bucket/", "gs://b/c", "s3://b/c?sig=secretword"],
)
def test_odd_addresses(address):
    """Only folders and S3 stores are taken, and no secret is repeated."""
    with pytest.raises(InputError) as caught:
        to_place(address)
    assert "secretword" not in str(caught.value)


def test_store_in_use(filled, tmp_path):
    """A store is not created where there is one, also where no folder is renamed at the end."""
    with pytest.raises(ConflictError, match="already"):
        Place(str(tmp_path / "cube-0")).create(1)


def test_signer_needs_a_store(tmp_path):
    """A signer for a folder is a mistake."""
    with pytest.raises(InputError):
        to_place(tmp_path, AnonymousS3())


@pytest.mark.parametrize(
    ("signer", "endpoint"),
    [
        (None, None),
        (S3Keys(region="eu-central-1"), None),
        (AnonymousS3(), None),
        (S3Keys("https://objects.example.org", "default", "MY_KEY", "MY_SECRET"), "https://objects.example.org"),
        (S3Keys("https://{bucket}.objects.example.org"), "https://objects.example.org"),
        (AnonymousS3("http://localhost:9000"), "http://localhost:9000"),
    ],
)
def test_s3(signer, endpoint, monkeypatch):
    """An S3 store is reached as its signer says; keys are asked for when they are needed, and kept nowhere."""
    monkeypatch.setenv("MY_KEY", "key-of-a-test")
    monkeypatch.setenv("MY_SECRET", "secret-of-a-test")
    place = to_place("s3://bucket/some/prefix/", signer)
    assert place == Place("s3://bucket/some/prefix", signer)
    assert place.folder is None
    shown = repr(place.storage())
    assert "bucket" in shown
    assert endpoint is None or endpoint in shown
    carried = pickle.dumps(place) + repr(place).encode() + shown.encode()
    assert b"of-a-test" not in carried
    with place.writing(), place.committing(), place.clearing():
        pass  # no lock is to be had, and none is needed


def test_keys(monkeypatch):
    """Keys come from the named variables; one that is not set is told by its name."""
    from terracube.cubes.storage.versioned.place import _Credentials

    signer = S3Keys("https://objects.example.org", "default", "MY_KEY", "MY_SECRET", "MY_SESSION")
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(InputError, match="MY_KEY"):
        _Credentials(signer)()
    monkeypatch.setenv("MY_KEY", "key-of-a-test")
    monkeypatch.setenv("MY_SECRET", "secret-of-a-test")
    monkeypatch.setenv("MY_SESSION", "session-of-a-test")
    found = _Credentials(signer)()
    assert (found.access_key_id, found.session_token) == ("key-of-a-test", "session-of-a-test")
    with pytest.raises(TerraCubeError) as caught, told("here"):
        raise icechunk.IcechunkError("denied for session-of-a-test")
    assert "of-a-test" not in str(caught.value)


def test_items(tmp_path, items, native):
    """Items are loaded on the cube's grid; again, or in another order, they change nothing."""
    part = native.window(YX(300, 300), YX(64, 80))
    cubes = [
        VersionedCube.create(tmp_path / str(n), grid=part, variables={"red": "float32", "nir": "float32"}, chunks=64)
        for n in range(2)
    ]
    some = items[3:6]
    first = cubes[0].append(some, message="all")
    assert cubes[0].append(some) == first
    for item in some[::-1]:
        cubes[1].append([item], mask="clear", on_conflict="keep")
    found = [cube.dataset().load() for cube in cubes]
    assert np.array_equal(found[0].time, found[1].time)
    for name in ("red", "nir"):
        assert found[0][name].count() > 0
        assert np.array_equal(found[0][name].notnull(), found[1][name].notnull())


def test_repr(cube, tmp_path):
    """A cube says where it lies and what it holds."""
    assert repr(cube) == f"VersionedCube({Path(tmp_path) / 'cube-0'}: red, scl; 41 x 55)"
