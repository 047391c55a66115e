"""ROI_PAC: two-band binaries written as its documentation describes them, read by GDAL's driver too."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terracube.core.errors import AssetError, MetadataError, TerraCubeError
from terracube.ingest import load_source
from terracube.ingest.readers.interferograms import roipac as reader

SOURCE = load_source("roipac-insar")
RESOURCE = """WIDTH                                    {1}
FILE_LENGTH                              {0}
X_FIRST                                  150.91
X_STEP                                   0.001
X_UNIT                                   degres
Y_FIRST                                  -34.17
Y_STEP                                   -0.001
Y_UNIT                                   degres
PROJECTION                               LL
DATUM                                    WGS84
DATE12                                   060619-061002
WAVELENGTH                               0.0562356424
RLOOKS                                   4
ALOOKS                                   20
HEADING_DEG                              -166.8
P_BASELINE_TOP_HDR                       10.5
P_BASELINE_BOTTOM_HDR                    11.5
PLATFORM                                 ENVISAT
"""


@pytest.fixture
def stack(tmp_path, scene):
    """Write a pair with its correlation and terrain."""

    def make(name="geo_060619-061002", *, phase=None, text=RESOURCE):
        folder = tmp_path / "stack"
        folder.mkdir(exist_ok=True)
        unwrapped = scene.conjugate.copy() if phase is None else phase
        unwrapped[:, 0] = 0
        amplitude = np.full(scene.shape, 9.0)
        told = text.format(*scene.shape)
        for end, plane in ((".unw", unwrapped), (".cor", np.full(scene.shape, 0.6))):
            both = np.stack([amplitude, plane], axis=1).astype("<f4")
            (folder / f"{name}{end}").write_bytes(both.tobytes())
            (folder / f"{name}{end}.rsc").write_text(told)
        (folder / "sydney.dem").write_bytes(np.full(scene.shape, 300, "<i2").tobytes())
        (folder / "sydney.dem.rsc").write_text(told)
        return folder / f"{name}.unw"

    return make


def test_sign_of_an_uplift(stack, scene, values):
    """The first image times the conjugate of the second: ground that rises comes nearer."""
    pair = reader.read(stack(), SOURCE)
    # The images were made with the wavelength of the scene, not that of the resource file.
    found = -scene.wavelength / (4 * np.pi) * values(pair, "unwrapped_phase")
    np.testing.assert_allclose(found[:, 1:], scene.towards[:, 1:], atol=1e-7)
    assert found[4, 5] > 0.009
    assert np.isnan(found[:, 0]).all()


def test_as_gdal_reads_it(stack):
    """GDAL's ROI_PAC driver gives the same numbers at the same place."""
    path = stack()
    raster = reader.read(path, SOURCE).rasters[0]
    # The header beside the file is found by listing the folder, which other settings of the process may forbid.
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="FALSE"), rasterio.open(path, driver="ROI_PAC") as dataset:
        np.testing.assert_array_equal(dataset.read(2)[:, 1:], raster.pixels.rows(0, dataset.height)[:, 1:])
        np.testing.assert_allclose(dataset.bounds, raster.grid.bounds, atol=1e-9)
        assert dataset.crs.to_epsg() == 4326
    assert raster.grid.crs == "EPSG:4326"


def test_facts(stack, values):
    """Dates of two digits, mean baseline, looks, heading; the terrain is an item of its own."""
    path = stack()
    pair = reader.read(path, SOURCE)
    told = pair.properties
    assert told["terracube:pair"] == "20060619_20061002"
    assert told["terracube:time_precision"] == "day"
    assert told["insar:perpendicular_baseline"] == 11.0
    assert (told["sar:looks_range"], told["sar:looks_azimuth"]) == (4, 20)
    assert told["sat:orbit_state"] == "descending"
    assert told["platform"] == "envisat"
    np.testing.assert_allclose(values(pair, "coherence"), 0.6, rtol=1e-6)
    terrain = reader.read(path.parent / "sydney.dem", SOURCE)
    assert values(terrain, "dem")[0, 0] == 300
    assert terrain.id == "sydney-geometry"
    assert terrain.interval == pair.interval
    assert reader.find(path.parent) == [path, path.parent / "sydney.dem"]
    assert reader.find(path.parent / "sydney.dem") == [path.parent / "sydney.dem"]
    assert reader.find(path.with_suffix(".cor")) == []


def test_height_of_two_bands(stack, scene, values):
    """A terrain of two bands is one too: the second holds the heights."""
    path = stack()
    (path.parent / "sydney.dem.rsc").unlink()
    both = np.stack([np.ones(scene.shape), np.full(scene.shape, 12.0)], axis=1).astype("<f4")
    file = path.parent / "radar.hgt"
    file.write_bytes(both.tobytes())
    file.with_name("radar.hgt.rsc").write_text(RESOURCE.format(*scene.shape))
    assert reader.find(path.parent) == [path, file]
    assert values(reader.read(file, SOURCE), "dem")[2, 2] == 12


@pytest.mark.parametrize(
    ("old", "new", "error", "what"),
    [
        ("DATUM                                    WGS84", "DATUM AGD66", MetadataError, "CRS is not known"),
        ("X_FIRST", "X_LAST", MetadataError, "radar geometry"),
        ("060619-061002", "060619-061003", MetadataError, "different dates"),
        ("0.0562356424", "56.2", MetadataError, "no wavelength of a radar"),
        ("WIDTH                                    11", "WIDTH 10", AssetError, "size that its header says"),
        ("FILE_LENGTH                              9", "FILE_LENGTH 9.5", MetadataError, "size is none"),
        ("-0.001", "0.001", MetadataError, "north-up"),
        ("Y_STEP", "Y_JUMP", MetadataError, "value is missing"),
    ],
)
def test_bad_resource(stack, scene, old, new, error, what):
    """What is wrong with a resource file is told with its name."""
    text = RESOURCE.format(*scene.shape)
    assert old in text
    path = stack(text=text.replace(old, new))
    with pytest.raises(error) as told:
        reader.read(path, SOURCE)
    assert what in str(told.value)
    assert ".rsc" in str(told.value) or ".unw" in str(told.value)


@pytest.mark.parametrize(
    ("projection", "code"), [("UTM56S", "EPSG:32756"), ("UTM 7N", "EPSG:32607"), ("LATLON", "EPSG:4326")]
)
def test_projections(stack, projection, code):
    """UTM zones and both words for degrees are known."""
    text = RESOURCE.replace("PROJECTION                               LL", f"PROJECTION {projection}")
    assert reader.read(stack(text=text), SOURCE).rasters[0].grid.crs == code


def test_crs_of_the_terrain(stack, scene):
    """Interferograms without a datum take that of the terrain beside them; without one, it is asked for."""
    path = stack()
    bare = RESOURCE.format(*scene.shape).replace("DATUM", "NOTHING")
    path.with_name(path.name + ".rsc").write_text(bare)
    assert reader.read(path, SOURCE).rasters[0].grid.crs == "EPSG:4326"
    path.with_name("sydney.dem.rsc").write_text(bare)
    with pytest.raises(MetadataError, match=r"terracube\.yaml"):
        reader.read(path, SOURCE)
    (path.parent / "terracube.yml").write_text("crs: EPSG:4283\n")
    assert reader.read(path, SOURCE).rasters[0].grid.crs == "EPSG:4283"


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    told=st.one_of(
        st.binary(max_size=300), st.text(max_size=20).map(lambda t: f"X_FIRST {t}\nWIDTH {t}\nDATE12 {t}".encode())
    )
)
def test_any_bytes(stack, tmp_path, told):
    """A resource file of any bytes gives one of our errors."""
    path = tmp_path / "stack" / "geo_060619-061002.unw"
    if not path.exists():
        stack()
    path.with_name(path.name + ".rsc").write_bytes(told)
    with pytest.raises(TerraCubeError):
        reader.read(path, SOURCE)


def test_ingested(stack, scene, recovered):
    """From the delivered folder to the cube."""
    found, cube = recovered("roipac-insar", stack().parent, static=["dem"])
    by_scene = found[0] * scene.wavelength / cube.attrs["wavelength"]
    np.testing.assert_allclose(by_scene[:, 1:], scene.towards[:, 1:], atol=1e-7)
    assert cube.dem.values[2, 2] == 300
