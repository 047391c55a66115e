"""HyP3: products written as the guides of ASF describe them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terracube.core.errors import AssetError, MetadataError, TerraCubeError
from terracube.ingest import load_source
from terracube.ingest.readers.interferograms import SENTINEL_1
from terracube.ingest.readers.interferograms import hyp3 as reader

SCENE = "S1AB_20171111T150004_20171117T145926_VVP006_INT80_G_ueF_4D09"
BURST = "S1_136231_IW2_20200604_20200616_VV_INT80_12E3"
GAMMA_TEXT = """Reference Granule: S1A_IW_SLC__1SDV_20171111T150004_20171111T150032_019219_0208AF_EE89
Secondary Granule: S1B_IW_SLC__1SDV_20171117T145926_20171117T145953_008323_00EBAB_AFB8
Baseline: 61.8974 meters
UTC time: 54004.989128 seconds
Heading: -13.0235756 degrees
Slant range center: 878813.0619 meters
Range looks: 20
Azimuth looks: 4
Y coordinate of the reference point in the map projection: 4099960.0
X coordinate of the reference point in the map projection: 600120.0
"""
BURST_TEXT = """Reference Granule: S1_136231_IW2_20200604T022312_VV_7C85-BURST, S1_136232_IW2_20200604T022315_VV_7C86-B
Secondary Granule: S1_136231_IW2_20200616T022313_VV_5D11-BURST
Reference Pass Direction: ASCENDING
Reference Orbit Number: 32861
Baseline: -12.5
Heading: 346.5
Range looks: 20
Azimuth looks: 4
"""
SOURCE = load_source("hyp3-insar")


@pytest.fixture
def product(tmp_path, scene, write_tif):
    """Write a product; the first column was not unwrapped, and the reference point (0, 1) was set to zero."""

    def make(name=SCENE, text=GAMMA_TEXT, *, phase=None):
        folder = tmp_path / name
        unwrapped = scene.grown.copy() if phase is None else phase
        unwrapped[:, 0] = 0
        coherence = np.full(scene.shape, 0.8, "float32")
        coherence[:, 0] = 0
        theta = np.full(scene.shape, math.radians(90 - scene.incidence), "float32")
        # The vector to the satellite of a right-looking ascending orbit points west; counted from east to north.
        east, north, _ = scene.los
        phi = np.full(scene.shape, math.atan2(north, east), "float32")
        theta[:, 0] = phi[:, 0] = 0
        layers = {
            "unw_phase": unwrapped,
            "corr": coherence,
            "wrapped_phase": unwrapped,
            "lv_theta": theta,
            "lv_phi": phi,
            "inc_map_ell": np.full(scene.shape, math.radians(scene.incidence), "float32"),
            "dem": np.full(scene.shape, 120, "int16"),
        }
        for end, values in layers.items():
            write_tif(folder / f"{name}_{end}.tif", values, nodata=0)
        write_tif(folder / f"{name}_water_mask.tif", np.ones(scene.shape, "uint8"))
        labels = np.ones(scene.shape, "float32")
        labels[:, 0] = 0
        write_tif(folder / f"{name}_conncomp.tif", labels, nodata=0)
        (folder / f"{name}.txt").write_text(text)
        (folder / f"{name}.README.md.txt").write_text("Reference Granule: none")
        return folder / f"{name}.txt"

    return make


def test_sign_of_an_uplift(product, scene, displacement, values):
    """Ground that rises comes nearer: displacement towards the satellite is positive, of the right size."""
    delivered = reader.read(product(), SOURCE)
    found = displacement(delivered)
    np.testing.assert_allclose(found[:, 1:], scene.towards[:, 1:], atol=1e-7)
    assert found[4, 5] > 0.009
    vector = [values(delivered, key)[:, 1:] for key in ("los_east", "los_north", "los_up")]
    for part, truth in zip(vector, scene.los, strict=True):
        np.testing.assert_allclose(part, truth, atol=1e-6)
    np.testing.assert_allclose(vector[2] * scene.uplift[:, 1:], found[:, 1:], atol=1e-7)


def test_layers(product, values):
    """Missing is NaN, angles come in degrees, labels are whole numbers, the mask has its meanings."""
    delivered = reader.read(product(), SOURCE)
    for key in ("unwrapped_phase", "wrapped_phase", "coherence", "los_up", "los_east", "connected_components"):
        assert np.isnan(values(delivered, key)[:, 0]).all(), key
    assert np.nanmin(values(delivered, "coherence")) == pytest.approx(0.8)
    assert values(delivered, "incidence_angle")[3, 3] == pytest.approx(39.0, abs=1e-5)
    by_key = {raster.key: raster for raster in delivered.rasters}
    assert by_key["connected_components"].dtype == "uint16"
    assert by_key["water_mask"].classes == {0: "water", 1: "land"}
    assert by_key["water_mask"].nodata is None
    assert values(delivered, "dem")[0, 1] == 120
    assert len(by_key["los_east"].files) == 2
    assert "local_incidence_angle" not in by_key


def test_zero_at_the_reference_point_is_a_phase(product, scene, values):
    """ASF sets the phase of the reference point to zero: there zero is a value."""
    phase = scene.grown.copy()
    phase[0, 1] = phase[2, 2] = 0
    found = values(reader.read(product(phase=phase), SOURCE), "unwrapped_phase", strip=2)
    assert found[0, 1] == 0
    assert np.isnan(found[2, 2])


def test_properties_of_a_scene(product):
    """Dates, platforms, baseline, looks and orbit come from the parameter file."""
    delivered = reader.read(product(), SOURCE)
    told = delivered.properties
    assert delivered.id == SCENE
    assert delivered.acquired == datetime(2017, 11, 17, 14, 59, 26, tzinfo=UTC)
    assert delivered.interval == (datetime(2017, 11, 11, 15, 0, 4, tzinfo=UTC), delivered.acquired)
    assert told["insar:perpendicular_baseline"] == 61.8974
    assert told["insar:temporal_baseline"] == pytest.approx(5.99956, abs=1e-5)
    assert told["terracube:pair"] == "20171111_20171117"
    assert told["terracube:time_precision"] == "second"
    assert told["terracube:wavelength"] == SENTINEL_1
    assert (told["sar:looks_range"], told["sar:looks_azimuth"]) == (20, 4)
    assert (told["sat:orbit_state"], told["sat:relative_orbit"]) == ("ascending", 72)
    assert told["sar:frequency_band"] == "C"
    assert told["sar:polarizations"] == ["VV"]
    assert "platform" not in told
    assert [paper.key for paper in delivered.documents] == ["parameters"]


def test_burst(product):
    """A product of several bursts tells its pass, and its dates by the first burst."""
    delivered = reader.read(product(BURST, BURST_TEXT), SOURCE)
    assert delivered.properties["insar:reference_datetime"] == "2020-06-04T02:23:12Z"
    assert delivered.properties["sat:orbit_state"] == "ascending"
    assert delivered.properties["terracube:heading"] == pytest.approx(-13.5)
    assert delivered.properties["insar:perpendicular_baseline"] == -12.5
    assert "sat:relative_orbit" not in delivered.properties


def test_find(product, tmp_path):
    """One delivery per product, whether asked for by its folder or by its parameter file; README files are none."""
    first, second = product(), product(BURST, BURST_TEXT)
    assert reader.find(tmp_path) == sorted([first, second])
    assert reader.find(first) == [first]
    assert reader.find(first.with_name(f"{SCENE}.README.md.txt")) == []
    assert reader.find(first.with_name(f"{SCENE}_corr.tif")) == []


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("S1A_IW_SLC__1SDV_20171111T150004", "none", "names no granule"),
        ("20171111T150004_20171111", "20171317T150004_20171111", "there is no date"),
        ("Baseline: 61.8974", "Baseline: many", "no number"),
        ("Heading: -13.0235756", "Heading: nan", "no number"),
        ("S1A_IW_SLC__1SDV_20171111T150004", "S1A_IW_SLC__1SDV_20171117T145926", "both dates"),
    ],
)
def test_bad_parameters(product, old, new, what):
    """What is wrong with a parameter file is told with its name."""
    path = product(text=GAMMA_TEXT.replace(old, new))
    with pytest.raises(MetadataError, match=what) as error:
        reader.read(path, SOURCE)
    assert str(path.name) in str(error.value)


def test_layers_on_other_pixels(product, write_tif):
    """A coherence that does not lie on the phase is refused."""
    path = product()
    write_tif(path.with_name(f"{SCENE}_corr.tif"), np.ones((3, 3), "float32"))
    with pytest.raises(MetadataError, match="same pixels"):
        reader.read(path, SOURCE)


def test_labels_that_are_none(product, write_tif, scene, values):
    """Labels with fractions are refused when they are read."""
    path = product()
    write_tif(path.with_name(f"{SCENE}_conncomp.tif"), np.full(scene.shape, 1.5, "float32"))
    with pytest.raises(AssetError, match="whole number"):
        values(reader.read(path, SOURCE), "connected_components")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.binary(max_size=400))
def test_any_bytes(product, tmp_path, text):
    """A parameter file of any bytes gives a delivery or one of our errors."""
    path = tmp_path / SCENE / f"{SCENE}.txt"
    if not path.exists():
        product()
    path.write_bytes(text)
    with pytest.raises(TerraCubeError):
        reader.read(path, SOURCE)


def test_ingested(product, scene, recovered):
    """From the delivered folder to the cube: the uplift comes back, and the vector with it."""
    found, cube = recovered("hyp3-insar", product().parent, static=["los_up", "dem", "incidence_angle"])
    np.testing.assert_allclose(found[0, :, 1:], scene.towards[:, 1:], atol=1e-7)
    np.testing.assert_allclose(cube.los_up.values[:, 1:] * scene.uplift[:, 1:], found[0, :, 1:], atol=1e-7)
    assert cube.incidence_angle.values[1, 1] == pytest.approx(39.0, abs=1e-4)
