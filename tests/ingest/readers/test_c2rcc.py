"""Cubes and granules of C2RCC: the real ones of the North Sea, and small ones that are wrong in some way."""

from __future__ import annotations

import json
import pickle
import shutil
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial import cKDTree

import terracube.cubes.sources as cube_sources
from terracube.core.errors import AssetError, HostileInputError, InputError, MetadataError, TerraCubeError
from terracube.core.sensors import clear_of
from terracube.cubes import load
from terracube.ingest import ingest
from terracube.ingest.readers.ocean import c2rcc
from terracube.ingest.scene import Delivered, Raster
from terracube.ingest.sources import load_source
from terracube.stac import Catalog

SOURCE = load_source("olci-c2rcc")
MEANINGS = dict((SOURCE.mask.bits if SOURCE.mask else {}).items())
FLAGS = {"flag_masks": [1 << bit for bit in MEANINGS], "flag_meanings": " ".join(MEANINGS.values())}
VALID = 1 << 31


@pytest.fixture(scope="module")
def north_sea(data_dir: Path) -> Path:
    """The real data; tests skip, saying so, where they are absent."""
    folder = data_dir / "water" / "olci-northsea"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    return folder


@pytest.fixture(scope="module")
def real_cube(north_sea: Path) -> Path:
    """Five times of January 2017."""
    return north_sea / "serve" / "demo" / "cube-1-250-250.zarr"


@pytest.fixture(scope="module")
def real_granule(north_sea: Path) -> Path:
    """100 x 100 samples of 14 April 2017."""
    return north_sea / "notebooks" / "inputdata" / "O_L2_0001_SNS_2017104102450_v1.0.nc"


def layer(scene: Delivered, key: str) -> Raster:
    """The layer of a key."""
    return next(raster for raster in scene.rasters if raster.key == key)


def whole(raster: Raster) -> NDArray[Any]:
    """All rows."""
    return raster.pixels.rows(0, raster.grid.shape.y)


def small(**changes: Any) -> xr.Dataset:
    """A cube of two times and 6 x 8 pixels."""
    lat = changes.pop("lat", 52.0 - 0.0025 * (np.arange(6) + 0.5))
    chl = np.arange(96, dtype="float32").reshape(2, 6, 8)
    chl[0, 0, 0] = np.nan
    flags = np.full((2, 6, 8), float(VALID))
    flags[:, 2, 3] += 8
    flags[1, 5, 7] = np.nan
    coordinates = {
        "time": ("time", np.array([17000.5, 17001.5]), {"units": "days since 1970-01-01", "calendar": "gregorian"}),
        "lat": ("lat", lat, {"units": "degrees_north"}),
        "lon": ("lon", 3.0 + 0.0025 * (np.arange(8) + 0.5), {"units": "degrees_east"}),
    }
    dims = ("time", "lat", "lon")
    values = {
        "conc_chl": (dims, chl, {"units": "mg m^-3"}),
        "c2rcc_flags": (dims, flags, dict(FLAGS)),
    }
    return xr.Dataset(values, coordinates, changes)


def store(data: xr.Dataset, path: Path, *, version: int = 2) -> Path:
    """Write a Zarr store of one chunk per time."""
    sizes = {name: data.sizes[name] for name in ("lat", "lon")}
    chunks = {name: {"chunks": (1, *sizes.values())} for name in data.data_vars if data[name].ndim == 3}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # consolidated metadata of version 3 are not yet in the specification
        data.to_zarr(path, zarr_format=version, encoding=chunks, consolidated=True)
    return path


def test_finds_stores_and_files(north_sea: Path, real_cube: Path, real_granule: Path, tmp_path: Path) -> None:
    """Both are found below a folder, and by themselves; other Zarr and NetCDF are not."""
    assert c2rcc.find(north_sea) == [real_granule, real_cube]
    assert c2rcc.find(real_cube) == [real_cube]
    assert c2rcc.find(real_granule) == [real_granule]
    (tmp_path / "a.nc").write_bytes(b"\x89HDF\r\n\x1a\nrubbish")
    small().rename(conc_chl="a", c2rcc_flags="b").to_netcdf(tmp_path / "b.nc")
    assert c2rcc.find(tmp_path) == []
    assert c2rcc.find(tmp_path / "absent") == []


def test_real_cube_becomes_one_delivery_per_time(real_cube: Path) -> None:
    """Numbers, times and places are those that xarray reads; flags become whole numbers."""
    scenes = c2rcc.read_all(real_cube, SOURCE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = xr.open_zarr(real_cube, drop_variables=["kd489"]).load()
    assert [scene.id[-15:] for scene in scenes] == [f"{time:%Y%m%dT%H%M%S}" for time in data.time.to_index()]
    for number, scene in enumerate(scenes):
        step, grid = data.isel(time=number), scene.rasters[0].grid
        ys, xs = grid.centres()
        assert np.allclose(ys, data.lat, atol=1e-9)
        assert np.allclose(xs, data.lon, atol=1e-9)
        assert grid.crs == "EPSG:4326"
        for name in ("conc_chl", "conc_tsm"):
            assert np.array_equal(whole(layer(scene, name)), step[name].values, equal_nan=True)
        flags = whole(layer(scene, "c2rcc_flags"))
        known = np.isfinite(step.c2rcc_flags.values)
        assert np.array_equal(flags[known], step.c2rcc_flags.values[known].astype("uint32"))
        assert (flags[~known] == 0xFFFFFFFF).all()
        start, stop = scene.interval or (None, None)
        assert start < scene.acquired < stop
        assert any("kd489" in note for note in scene.notes)
    assert layer(scenes[0], "conc_chl").unit == "mg m-3"
    assert layer(scenes[0], "quality_flags").bits[31] == "land"


def test_real_masks(real_cube: Path) -> None:
    """What the rules keep is a part of what was seen, and none of it is cloudy."""
    flags = whole(layer(c2rcc.read_all(real_cube, SOURCE)[0], "c2rcc_flags"))
    rules = SOURCE.mask.rules if SOURCE.mask else {}
    seen = flags != 0xFFFFFFFF
    kept = {name: clear_of(rule, flags) for name, rule in rules.items()}
    assert not any((one & ~seen).any() for one in kept.values())
    assert not (kept["clear"] & kept["cloud"]).any()
    assert (kept["in_range"] <= kept["clear"]).all()
    assert kept["valid"].sum() == ((flags >> 31 & 1).astype(bool) & seen).sum() > 0


def test_real_granule_on_the_grid(real_granule: Path) -> None:
    """Each pixel holds the nearest sample, found by another k-d tree; flags by the same neighbour."""
    scene = c2rcc.read(real_granule, SOURCE)
    with netCDF4.Dataset(real_granule) as data:
        data.set_auto_maskandscale(False)
        lon, lat, chl, flags = (data[name][:] for name in ("lon", "lat", "conc_chl", "c2rcc_flags"))
    grid = scene.rasters[0].grid
    ys, xs = grid.centres()
    distance, nearest = cKDTree(_sphere(lon, lat)).query(_sphere(*np.meshgrid(xs, ys)))
    near = (distance * 6_370_997.0 <= scene.facts["radius"]).reshape(grid.shape)
    found = whole(layer(scene, "c2rcc_flags"))
    there = found != 0xFFFFFFFF
    assert there.mean() > 0.4
    assert np.array_equal(there, near)
    expected = flags.view("uint32").ravel()[nearest].reshape(grid.shape)
    assert np.array_equal(found[there], expected[there])
    values = whole(layer(scene, "conc_chl"))
    assert np.array_equal(values[there], chl.ravel()[nearest].reshape(grid.shape)[there], equal_nan=True)
    assert np.isnan(values[~there]).all()
    assert scene.acquired.isoformat() == "2017-04-14T10:27:29.454657+00:00"
    assert any("rrs_21" in note and "1020" in note for note in scene.notes)
    assert layer(scene, "red").extra["terracube:quantity"] == "rrs"


def _sphere(lon: Any, lat: Any) -> NDArray[np.float64]:
    lam, phi = np.radians(np.asarray(lon).ravel()), np.radians(np.asarray(lat).ravel())
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], -1)


def test_granule_and_cube_share_their_pixels(real_cube: Path, real_granule: Path) -> None:
    """The grid of granules is that of the cube, so that both can be stacked."""
    one, other = c2rcc.read(real_granule, SOURCE), c2rcc.read_all(real_cube, SOURCE)[0]
    assert one.rasters[0].grid.same_pixels(other.rasters[0].grid)


@pytest.mark.parametrize("version", [2, 3])
def test_small_store(tmp_path: Path, version: int) -> None:
    """Stores of both versions give what was written, from north to south, also in another process."""
    turned = small(lat=51.985 + 0.0025 * (np.arange(6) + 0.5))
    scenes = pickle.loads(pickle.dumps(c2rcc.read_all(store(turned, tmp_path / "a.zarr", version=version), SOURCE)))
    assert [scene.id for scene in scenes] == ["a_20160718T120000", "a_20160719T120000"]
    for number, scene in enumerate(scenes):
        chl = layer(scene, "conc_chl")
        assert np.array_equal(whole(chl), turned.conc_chl.values[number, ::-1], equal_nan=True)
        assert np.array_equal(chl.pixels.rows(1, 3), whole(chl)[1:3], equal_nan=True)
    flags = whole(layer(scenes[1], "c2rcc_flags"))
    assert (flags[0, 7], flags[3, 3]) == (0xFFFFFFFF, VALID + 8)


def test_netcdf_cube(tmp_path: Path) -> None:
    """A NetCDF file on a regular grid is a cube as a store is; its file is what it is made of."""
    small().to_netcdf(tmp_path / "a.nc")
    scenes = c2rcc.read_all(tmp_path / "a.nc", SOURCE)
    assert np.array_equal(whole(layer(scenes[0], "conc_chl")), small().conc_chl.values[0], equal_nan=True)
    assert layer(scenes[0], "conc_chl").files == (tmp_path / "a.nc",)
    with pytest.raises(InputError, match="several times"):
        c2rcc.read(tmp_path / "a.nc", SOURCE)


def test_file_without_time(tmp_path: Path) -> None:
    """A file of one moment tells it in an attribute; without one, or without a zone, it is refused."""
    plain = small().isel(time=0, drop=True)
    plain.assign_attrs(time_coverage_start="2016-07-18T12:00:00Z").to_netcdf(tmp_path / "a.nc")
    assert c2rcc.read(tmp_path / "a.nc", SOURCE).id == "a_20160718T120000"
    for name, attributes in {"b": {}, "c": {"time_coverage_start": "2016-07-18T12:00:00"}}.items():
        plain.assign_attrs(attributes).to_netcdf(tmp_path / f"{name}.nc")
        expect(tmp_path / f"{name}.nc", MetadataError, "no date")
    plain.assign_attrs(start_date="31-FEB-2016 12:00:00.1").to_netcdf(tmp_path / "d.nc")
    expect(tmp_path / "d.nc", MetadataError, "no such date")


def test_content_of_a_time_is_its_own(tmp_path: Path) -> None:
    """The files of a time are its chunks, so that a cube may grow without its old times becoming other content."""
    path = store(small(), tmp_path / "a.zarr")
    first, second = (layer(scene, "conc_chl").files for scene in c2rcc.read_all(path, SOURCE))
    assert [file.name for file in first] == ["0.0.0", ".zattrs"]
    assert [file.name for file in second] == ["1.0.0", ".zattrs"]


def test_missing_chunks_are_missing_values(tmp_path: Path) -> None:
    """What was never written is NaN, not zero; a layer of which nothing was written at a time is left out and told."""
    path = store(small(), tmp_path / "a.zarr")
    (path / "conc_chl" / "1.0.0").unlink()
    scenes = c2rcc.read_all(path, SOURCE)
    assert [raster.key for raster in scenes[1].rasters] == ["c2rcc_flags"]
    assert any("conc_chl holds nothing" in note for note in scenes[1].notes)
    shutil.rmtree(path / "conc_chl")
    assert any("conc_chl is listed" in note for note in c2rcc.read_all(path, SOURCE)[0].notes)


def test_from_cube_to_cube(tmp_path: Path, catalog: Catalog, validate_stac: Callable[[dict[str, Any]], None]) -> None:
    """Ingested, described by valid items, loaded: the same values, without what the mask leaves out."""
    path = store(small(), tmp_path / "a.zarr")
    assert ingest(SOURCE.name, [path], catalog).taken == ["a_20160718T120000", "a_20160719T120000"]
    items = [catalog.find(name, SOURCE.name) for name in ("a_20160718T120000", "a_20160719T120000")]
    for item in items:
        validate_stac(item.to_dict())
    if "uint32" not in cube_sources._CLASS_TYPES:
        pytest.skip("masks of 32 bits are not loaded yet")
    cube = load(items, bands=["conc_chl"], mask="clear")
    expected = small().conc_chl.values.copy()
    expected[:, 2, 3] = expected[1, 5, 7] = np.nan
    assert np.array_equal(cube.conc_chl.values, expected, equal_nan=True)


@pytest.mark.parametrize(
    ("name", "days", "platform"),
    [
        ("a.zarr", 17000.5, "sentinel-3a"),  # July 2016: the second was not yet launched
        ("a.zarr", 18000.5, None),  # April 2019: either of the two
        ("subset_of_S3B_OL_1_EFR____20190414T102729.zarr", 18000.5, "sentinel-3b"),
        ("S3A_OL_2_WFR_x.zarr", 18000.5, "sentinel-3a"),
    ],
)
def test_which_satellite_it_was(tmp_path: Path, name: str, days: float, platform: str | None) -> None:
    """As the name of the product tells, or as no other had been launched; else it is not told, and never guessed."""
    data = small().isel(time=[0]).assign_coords(time=("time", [days], small().time.attrs))
    assert c2rcc.read(store(data, tmp_path / name), SOURCE).properties.get("platform") == platform


def test_a_cube_that_grows(tmp_path: Path, catalog: Catalog) -> None:
    """Times that are in the catalogue stay as they are when the cube gets another one."""
    assert len(ingest(SOURCE.name, [store(small().isel(time=[0]), tmp_path / "1" / "a.zarr")], catalog).taken) == 1
    report = ingest(SOURCE.name, [store(small(), tmp_path / "2" / "a.zarr")], catalog)
    assert (report.already, report.taken) == (["a_20160718T120000"], ["a_20160719T120000"])


# What is wrong is told


def read_whole(path: Path) -> None:
    """Read everything."""
    for scene in c2rcc.read_all(path, SOURCE):
        for raster in scene.rasters:
            whole(raster)


def expect(path: Path, kind: type[TerraCubeError], *words: str) -> None:
    """Reading raises this kind of error, and the message holds these words."""
    with pytest.raises(kind) as told:
        read_whole(path)
    for word in words:
        assert word in str(told.value)


def test_swapped_coordinates(tmp_path: Path) -> None:
    """A cube whose latitudes are beyond the poles is refused."""
    data = small()
    data = data.assign_coords(lat=("lat", np.linspace(151.0, 150.0, 6)))
    expect(store(data, tmp_path / "a.zarr"), MetadataError, "out of range")


def test_no_coordinates(tmp_path: Path) -> None:
    """A cube without coordinates is nowhere."""
    expect(store(small().drop_vars(["lat", "lon"]), tmp_path / "a.zarr"), MetadataError, "where it lies")


@pytest.mark.parametrize(
    "told",
    [{"units": "days"}, {"units": "weeks since 1970-01-01"}, {"units": "days since then"}, {"calendar": "noleap"}],
)
def test_times_that_are_none(tmp_path: Path, told: dict[str, str]) -> None:
    """Times whose unit or calendar is not understood are refused."""
    data = small()
    data.time.attrs.update(told)
    expect(store(data, tmp_path / "a.zarr"), MetadataError, "time")


def test_times_that_are_not_finite(tmp_path: Path) -> None:
    """A missing time is not a time."""
    data = small()
    data = data.assign_coords(time=("time", [np.nan, 17000.0], data.time.attrs))
    expect(store(data, tmp_path / "a.zarr"), MetadataError, "times")


def test_times_that_are_the_same(tmp_path: Path) -> None:
    """Two times within a second cannot be told apart by their names."""
    data = small()
    data = data.assign_coords(time=("time", [17000.0, 17000.000001], data.time.attrs))
    expect(store(data, tmp_path / "a.zarr"), MetadataError, "same second")


def test_flags_of_another_version(tmp_path: Path) -> None:
    """Bits that mean something else are refused, because the masks would lie."""
    data = small()
    data.c2rcc_flags.attrs["flag_meanings"] = FLAGS["flag_meanings"].replace("Cloud_risk", "Fog_risk")
    expect(store(data, tmp_path / "a.zarr"), MetadataError, "bit 3")


def test_flags_that_are_no_flags(tmp_path: Path) -> None:
    """Flags with fractions are refused when they are read."""
    data = small()
    data.c2rcc_flags[0, 0, 0] = 8.5
    expect(store(data, tmp_path / "a.zarr"), AssetError, "whole")


def test_damaged_chunk(tmp_path: Path) -> None:
    """A chunk that cannot be unpacked is told."""
    path = store(small(), tmp_path / "a.zarr")
    (path / "conc_chl" / "0.0.0").write_bytes(b"rubbish")
    expect(path, AssetError, "conc_chl")


def test_codec_that_could_do_harm(tmp_path: Path) -> None:
    """A store whose codec would run what it holds is not opened."""
    path = store(small(), tmp_path / "a.zarr")
    document = json.loads((path / "conc_chl" / ".zarray").read_text())
    document["filters"] = [{"id": "pickle"}]
    (path / "conc_chl" / ".zarray").write_text(json.dumps(document))
    expect(path, HostileInputError, "pickle")


def test_absurd_sizes(tmp_path: Path) -> None:
    """A store that claims 10^9 pixels along a side is refused."""
    path = store(small(), tmp_path / "a.zarr")
    document = json.loads((path / "conc_chl" / ".zarray").read_text())
    document["shape"] = [2, 1_000_000_000, 8]
    (path / "conc_chl" / ".zarray").write_text(json.dumps(document))
    expect(path, HostileInputError, "1000000000")


def test_link_in_the_store(tmp_path: Path) -> None:
    """A chunk that is a link out of the store is not followed."""
    path = store(small(), tmp_path / "a.zarr")
    moved = (path / "conc_chl" / "0.0.0").rename(tmp_path / "elsewhere")
    (path / "conc_chl" / "0.0.0").symlink_to(moved)
    scene = c2rcc.read_all(path, SOURCE)[0]
    assert [raster.key for raster in scene.rasters] == ["c2rcc_flags"]


def test_granule_of_another_shape(tmp_path: Path, real_granule: Path) -> None:
    """A granule whose layer does not fit its positions is refused."""
    with xr.open_dataset(real_granule, decode_cf=False) as data:
        part = data[["lat", "lon"]].isel(y=slice(0, 50)).rename(y="rows")
        xr.merge([part, data[["conc_chl"]]]).assign_attrs(data.attrs).to_netcdf(tmp_path / "a.nc")
    expect(tmp_path / "a.nc", MetadataError, "another shape")


def test_nothing_known(tmp_path: Path) -> None:
    """A cube without any layer of the source is refused."""
    expect(store(small()[["conc_chl"]].rename(conc_chl="a"), tmp_path / "a.zarr"), AssetError, "no layer")


DOCUMENTS = [".zmetadata", "time/.zarray", "lat/.zattrs", "conc_chl/.zattrs", "time/0", "lat/0"]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from([".zmetadata", "time/.zarray", "lat/.zattrs", "conc_chl/.zattrs", "time/0", "lat/0"]),
    junk=st.binary(max_size=60),
)
@example(name="time/0", junk=b"\x02\x00\x00\x00\x00\x00\x00\x80")  # a blosc chunk of negative size
@example(name="conc_chl/0.0.0", junk=b"\x02\x00\x00\x00\x00\x00\x00\x80")
def test_any_bytes(tmp_path: Path, name: str, junk: bytes) -> None:
    """Whatever stands in a store, it is read or refused with one of our errors."""
    path = tmp_path / "any.zarr"
    shutil.rmtree(path, ignore_errors=True)
    (store(small(), path) / name).write_bytes(junk)
    with suppress(TerraCubeError):
        read_whole(path)
