"""GAMMA: binaries written as its reference manuals describe them, and the real stack of Sydney."""

from __future__ import annotations

import math
import shutil
from datetime import UTC, datetime

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terracube.core.errors import AssetError, HostileInputError, MetadataError, TerraCubeError
from terracube.ingest import load_source
from terracube.ingest.readers.interferograms import SPEED_OF_LIGHT
from terracube.ingest.readers.interferograms import gamma as reader
from terracube.ingest.readers.interferograms.complement import Facts

SOURCE = load_source("gamma-insar")
MAP = """Gamma DIFF&GEO DEM/MAP parameter file
DEM_projection:     EQA
data_format:        REAL*4
width:                {1}
nlines:               {0}
corner_lat:    40.0000000  decimal degrees
corner_lon:    30.0000000  decimal degrees
post_lat:   -1.0000e-03  decimal degrees
post_lon:    1.0000e-03  decimal degrees
ellipsoid_name: WGS 84
datum_name: WGS 1984
"""
IMAGE = """title: {0}
date:  {0} {1} {2}   16 7 4.500000
range_looks:  8
azimuth_looks: 2
radar_frequency:   5.405000454e+09  Hz
incidence_angle:  39.0000  degrees
heading:  -13.0000  degrees
azimuth_angle: 90.0
sar_to_earth_center:  7070000.0  m
earth_radius_below_sensor: 6370000.0 m
"""
BASE = """initial_baseline(TCN):    0.0000000   120.0000000   -10.0000000   m   m   m
initial_baseline_rate:    0.0000000   0.0   0.0   m/s m/s m/s
precision_baseline(TCN):  0.0000000   100.0000000   20.0000000   m   m   m
"""
PAIR = "20180106-20180130"


@pytest.fixture
def stack(tmp_path, scene):
    """Write a stack of one pair, with its geometry."""

    def make(pair=PAIR, *, phase=None, image=IMAGE):
        folder = tmp_path / "geo"
        folder.mkdir(exist_ok=True)
        unwrapped = scene.grown.copy() if phase is None else phase
        unwrapped[:, 0] = 0
        east, north, _ = scene.los
        layers = {
            f"{pair}_utm.unw": unwrapped,
            f"{pair}_utm.unw.cc": np.full(scene.shape, 0.7),
            "20180106_utm.dem": np.full(scene.shape, 55.0),
            "20180106_utm.lv_theta": np.full(scene.shape, math.radians(90 - scene.incidence)),
            "20180106_utm.lv_phi": np.full(scene.shape, math.atan2(north, east)),
            "20180106_utm.inc": np.full(scene.shape, 0.5),
        }
        for name, values in layers.items():
            (folder / name).write_bytes(values.astype(">f4").tobytes())
        (folder / "20180106_utm_dem.par").write_text(MAP.format(*scene.shape))
        for day in ("20180106", "20180130"):
            (folder / f"{day}_slc.par").write_text(image.format(day[:4], day[4:6], day[6:]))
        (folder / f"{pair}_base.par").write_text(BASE)
        return folder

    return make


def test_sign_of_an_uplift(stack, scene, displacement, values):
    """Ground that rises comes nearer; the look angles give the vector to the satellite."""
    pair, geometry = (reader.read(path, SOURCE) for path in reader.find(stack()))
    found = displacement(pair)
    np.testing.assert_allclose(found[:, 1:], scene.towards[:, 1:], atol=1e-7)
    assert np.isnan(found[:, 0]).all()
    for key, part in zip(("los_east", "los_north", "los_up"), scene.los, strict=True):
        np.testing.assert_allclose(values(geometry, key), part, atol=1e-6)


def test_reversed_pair(stack, scene, displacement):
    """A pair written later date first is turned round: dates, phase and baseline."""
    folder = stack()
    plain = reader.read(folder / f"{PAIR}_utm.unw", SOURCE)
    turned = reader.read(stack("20180130-20180106", phase=-scene.grown) / "20180130-20180106_utm.unw", SOURCE)
    np.testing.assert_array_equal(displacement(turned), displacement(plain))
    assert turned.interval == plain.interval
    assert turned.properties["terracube:pair"] == "20180106_20180130"
    assert turned.properties["insar:perpendicular_baseline"] == -plain.properties["insar:perpendicular_baseline"]


def test_places_and_numbers(stack, scene):
    """Corners are centres of pixels; numbers are big-endian, as the ENVI driver of GDAL reads them too."""
    folder = stack()
    path = folder / f"{PAIR}_utm.unw"
    raster = reader.read(path, SOURCE).rasters[0]
    assert raster.grid.bounds.left == pytest.approx(30.0 - 0.0005)
    assert raster.grid.bounds.top == pytest.approx(40.0 + 0.0005)
    assert raster.grid.crs == "EPSG:4326"
    header = f"ENVI\nsamples = {scene.shape[1]}\nlines = {scene.shape[0]}\nbands = 1\ndata type = 4\nbyte order = 1\n"
    path.with_name(path.name + ".hdr").write_text(
        header + "map info = {Geographic Lat/Lon, 1, 1, 29.9995, 40.0005, 1e-3, 1e-3, WGS-84}\n"
    )
    # The header beside the file is found by listing the folder, which other settings of the process may forbid.
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="FALSE"), rasterio.open(path, driver="ENVI") as dataset:
        other = dataset.read(1)
        np.testing.assert_allclose(dataset.bounds, raster.grid.bounds, atol=1e-9)
    ours = raster.pixels.rows(0, scene.shape[0])
    np.testing.assert_array_equal(ours[:, 1:], other[:, 1:])


def test_facts(stack):
    """Times, frequency, looks and the baseline of components along and across the look."""
    told = reader.read(stack() / f"{PAIR}_utm.unw", SOURCE).properties
    assert told["insar:reference_datetime"] == "2018-01-06T16:07:04Z"
    assert told["terracube:wavelength"] == pytest.approx(SPEED_OF_LIGHT / 5.405000454e9)
    look = math.asin(6370 / 7070 * math.sin(math.radians(39)))
    assert told["insar:perpendicular_baseline"] == pytest.approx(100 * math.cos(look) - 20 * math.sin(look))
    assert (told["sar:looks_range"], told["sar:looks_azimuth"]) == (8, 2)
    assert told["sar:observation_direction"] == "right"
    assert told["sat:orbit_state"] == "ascending"


def test_wavelength_is_asked_for(stack):
    """Without image parameters the wavelength has to be told, and then the pair is known by its days."""
    folder = stack()
    for path in folder.glob("*_slc.par"):
        path.unlink()
    with pytest.raises(MetadataError, match="wavelength is not told"):
        reader.read(folder / f"{PAIR}_utm.unw", SOURCE)
    (folder / "terracube.yaml").write_text("wavelength: 0.0555\nplatform: sentinel-1a\nstack: t005\n")
    delivered = reader.read(folder / f"{PAIR}_utm.unw", SOURCE)
    assert delivered.id == f"t005_{PAIR}_utm"
    assert delivered.properties["platform"] == "sentinel-1a"
    assert delivered.properties["terracube:time_precision"] == "day"


def test_sign_told_by_the_user(stack, scene, displacement):
    """A user who knows that the phase was turned says so, and it is noted."""
    folder = stack(phase=-scene.grown)
    (folder / "terracube.json").write_text('{"sign": "range_decrease"}')
    delivered = reader.read(folder / f"{PAIR}_utm.unw", SOURCE)
    np.testing.assert_allclose(displacement(delivered)[:, 1:], scene.towards[:, 1:], atol=1e-7)
    assert "range_decrease" in delivered.notes[0]


def test_contradictions(stack):
    """User and delivery, and name and image, must not contradict each other."""
    folder = stack()
    (folder / "terracube.yaml").write_text("wavelength: 0.24\n")
    with pytest.raises(MetadataError, match="disagree on wavelength"):
        reader.read(folder / f"{PAIR}_utm.unw", SOURCE)
    (folder / "terracube.yaml").unlink()
    (folder / "20180130_slc.par").write_text(IMAGE.format(2018, 2, 1))
    with pytest.raises(MetadataError, match="different days"):
        reader.read(folder / f"{PAIR}_utm.unw", SOURCE)


@pytest.mark.parametrize(
    ("old", "new", "error", "what"),
    [
        ("WGS 1984", "ED50", MetadataError, "CRS of the map"),
        ("width:", "weite:", MetadataError, "size is missing"),
        ("post_lat:   -1.0", "post_lat:   1.0", MetadataError, "north-up"),
        ("corner_lat:    40", "corner_lat:    none", MetadataError, "corner_lat"),
        ("nlines:               9", "nlines:               900000", HostileInputError, "more pixels"),
        ("nlines:               9", "nlines:               8", AssetError, "size that its header says"),
        ("DEM_projection:     EQA", "projection:   EQA", MetadataError, "parameter is missing"),
    ],
)
def test_bad_map(stack, old, new, error, what):
    """A map that does not say where the pixels lie, or lies about the file, is refused."""
    folder = stack()
    path = folder / "20180106_utm_dem.par"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(error) as told:
        reader.read(folder / f"{PAIR}_utm.unw", SOURCE)
    assert what in str(told.value)


def test_other_maps(tmp_path):
    """UTM is known by its zone and false northing; any other CRS is told by the user."""
    utm = "DEM_projection: UTM\nprojection_zone: 33\nfalse_northing: 10000000.\ndatum_name: WGS 1984\n"
    utm += "width: 3\nnlines: 2\n"
    place = "corner_north: 100.0\ncorner_east: 200.0\npost_north: -20.0\npost_east: 20.0\n"
    path = tmp_path / "a_dem.par"
    path.write_text(utm + place)
    grid = reader.map_grid(path, Facts())
    assert grid.crs == "EPSG:32733"
    assert tuple(grid.bounds) == (190.0, 70.0, 250.0, 110.0)
    path.write_text((utm + place).replace("UTM", "LCC"))
    assert reader.map_grid(path, Facts(crs="EPSG:2154")).crs == "EPSG:2154"
    path.write_text((utm + place).replace("post_east: 20.0", "post_east: 0.0"))
    with pytest.raises(MetadataError):
        reader.map_grid(path, Facts())


def test_find(stack, tmp_path):
    """A pair and the map are deliveries; a ROI_PAC file, or one without a map, is none."""
    folder = stack()
    pair, chart = folder / f"{PAIR}_utm.unw", folder / "20180106_utm_dem.par"
    assert reader.find(tmp_path) == sorted([pair, chart])
    assert reader.find(pair) == [pair]
    assert reader.find(chart) == [chart]
    assert reader.find(folder / "20180106_slc.par") == []
    pair.with_name(pair.name + ".rsc").write_text("WIDTH 3")
    assert reader.find(tmp_path) == []


def test_two_maps(stack):
    """Two maps in one folder leave open which one holds."""
    folder = stack()
    shutil.copyfile(folder / "20180106_utm_dem.par", folder / "b_dem.par")
    with pytest.raises(MetadataError, match="which map"):
        reader.read(folder / f"{PAIR}_utm.unw", SOURCE)


def test_names_of_the_coherence(stack, values):
    """A coherence of another name with the same dates is taken, if it is the only one."""
    folder = stack()
    path = folder / f"{PAIR}_utm.unw"
    path.with_name(f"{path.name}.cc").rename(folder / f"{PAIR}.adf.cc")
    assert values(reader.read(path, SOURCE), "coherence")[0, 0] == pytest.approx(0.7)
    shutil.copyfile(folder / f"{PAIR}.adf.cc", folder / f"{PAIR}.diff.cc")
    with pytest.raises(MetadataError, match="several coherences"):
        reader.read(path, SOURCE)


def test_map_without_layers(stack):
    """A map that holds no layer of geometry is no delivery of its own."""
    folder = stack()
    for name in ("dem", "lv_theta", "lv_phi", "inc"):
        (folder / f"20180106_utm.{name}").unlink()
    assert reader.find(folder) == [folder / f"{PAIR}_utm.unw"]
    assert reader.find(folder / "20180106_utm_dem.par") == []


def test_links_and_long_names(stack, tmp_path):
    """A link that leads out of the folder is refused; a name that is too long for its companions stops nothing."""
    folder = stack()
    path = folder / f"{PAIR}_utm.unw"
    outside = tmp_path / "outside.bin"
    path.rename(outside)
    path.symlink_to(outside)
    with pytest.raises(HostileInputError, match="leaves the folder"):
        reader.read(path, SOURCE)
    (folder / f"20180106-20180130{'x' * 234}.unw").write_bytes(b"")
    assert len(reader.find(folder)) == 3


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chart=st.binary(max_size=300), image=st.binary(max_size=300), base=st.binary(max_size=100))
def test_any_bytes(stack, tmp_path, chart, image, base):
    """Parameter files of any bytes give a delivery or one of our errors."""
    folder = tmp_path / "geo"
    if not folder.exists():
        stack()
    for name, told in (("20180106_utm_dem.par", chart), ("20180106_slc.par", image), (f"{PAIR}_base.par", base)):
        (folder / name).write_bytes(told)
    for path in folder.glob("*_utm.unw"), folder.glob("*dem.par"):
        with pytest.raises(TerraCubeError):
            reader.read(next(path), SOURCE)


def test_sydney(data_dir, tmp_path, values):
    """17 real pairs: phases are those of the files, what was not unwrapped is NaN, wrong angles are left out."""
    real = data_dir / "insar" / "sydney-envisat"
    folder = tmp_path / "stack"
    shutil.copytree(real / "gamma_obs", folder)
    for path in (real / "coherence").glob("*.cc"):
        shutil.copyfile(path, folder / path.name)
    found = reader.find(folder)
    pairs = [reader.read(path, SOURCE) for path in found if path.suffix == ".unw"]
    assert len(pairs) == 17
    for pair in pairs:
        plain = np.fromfile(pair.path, ">f4").reshape(72, 47)
        np.testing.assert_array_equal(values(pair, "unwrapped_phase", strip=30), np.where(plain == 0, np.nan, plain))
        coherence = values(pair, "coherence")
        assert 0 < np.nanmin(coherence) < np.nanmax(coherence) < 1
    first = pairs[0]
    assert first.id == "20060619-20061002_utm"
    assert first.interval[0] == datetime(2006, 6, 19, 8, 28, 59, tzinfo=UTC)
    look = math.asin(6371577.2590 / 7080600.3965 * math.sin(math.radians(22.9671)))
    expected = 15.3525463 * math.cos(look) - 9.7718029 * math.sin(look)
    assert first.properties["insar:perpendicular_baseline"] == pytest.approx(expected)
    assert first.properties["sat:orbit_state"] == "descending"
    (chart,) = (path for path in found if path.suffix == ".par")
    geometry = reader.read(chart, SOURCE)
    assert [raster.key for raster in geometry.rasters] == ["dem"]
    with rasterio.open(real / "dem" / "roipac_test_trimmed.tif") as dataset:
        np.testing.assert_array_equal(values(geometry, "dem"), dataset.read(1))
    assert sum("no radians" in note for note in geometry.notes) == 2


def test_ingested(stack, scene, recovered):
    """From the delivered folder to the cube."""
    found, cube = recovered("gamma-insar", stack())
    np.testing.assert_allclose(found[0, :, 1:], scene.towards[:, 1:], atol=1e-7)
    np.testing.assert_allclose(cube.los_up.values * scene.uplift, scene.towards, atol=1e-7)
