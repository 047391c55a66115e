"""LiCSAR: frames written as COMET describes them."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terracube.core.errors import AssetError, MetadataError, TerraCubeError
from terracube.ingest import load_source
from terracube.ingest.readers.interferograms import licsar as reader

FRAME = "021D_04972_131213"
DEGREES = Affine(0.001, 0, 29.0, 0, -0.001, 41.0)
METADATA = """master=20170302
center_time=16:07:04.2
heading=-169.87
avg_incidence_angle=39.19
"""
BASELINES = "20170302 20170302 0.0 0.0\n20170302 20170314 32.4 12.0\n20170302 20170326 130.9 24.0\n"
SOURCE = load_source("licsar")


@pytest.fixture
def frame(tmp_path, scene, write_tif):
    """Write a frame of two pairs as the portal gives it, or flat, as it is downloaded for LiCSBAS."""

    def make(*, flat=False, pairs=("20170302_20170314", "20170314_20170326"), turn=1.0, metadata=METADATA):
        root = tmp_path / FRAME
        inside, beside = (root, root) if flat else (root / "interferograms", root / "metadata")
        for pair in pairs:
            phase = scene.grown.copy()
            phase[0] = 0
            coherence = np.full(scene.shape, 204, "uint8")
            coherence[0] = 0
            write_tif(inside / pair / f"{pair}.geo.unw.tif", phase, crs="EPSG:4326", transform=DEGREES)
            write_tif(inside / pair / f"{pair}.geo.cc.tif", coherence, crs="EPSG:4326", transform=DEGREES)
        for name, part in zip("ENU", scene.los, strict=True):
            layer = np.full(scene.shape, turn * part, "float32")
            layer[0] = 0
            write_tif(beside / f"{FRAME}.geo.{name}.tif", layer, crs="EPSG:4326", transform=DEGREES)
        write_tif(
            beside / f"{FRAME}.geo.hgt.tif", np.full(scene.shape, 7, "float32"), crs="EPSG:4326", transform=DEGREES
        )
        (beside / "metadata.txt").write_text(metadata)
        (beside / "baselines").write_text(BASELINES)
        return root

    return make


@pytest.mark.parametrize("flat", [False, True])
def test_sign_of_an_uplift(frame, scene, displacement, values, flat):
    """Ground that rises comes nearer; the line of sight of the frame's own item points to the satellite."""
    pair, _, geometry = (reader.read(path, SOURCE) for path in sorted(reader.find(frame(flat=flat)), key=_pairs_first))
    found = displacement(pair)
    np.testing.assert_allclose(found[1:], scene.towards[1:], atol=1e-7)
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(values(geometry, "los_up")[1:] * scene.uplift[1:], found[1:], atol=1e-7)
    assert np.isnan(values(geometry, "los_east")[0]).all()


def _pairs_first(path):
    return ".geo.U." in path.name, path.name


def test_vector_to_the_ground_is_turned(frame, scene, values):
    """A satellite is above the ground: a vector that points down is turned round as a whole."""
    path = next(path for path in reader.find(frame(turn=-1.0)) if ".U." in path.name)
    geometry = reader.read(path, SOURCE)
    for key, part in zip(("los_east", "los_north", "los_up"), scene.los, strict=True):
        np.testing.assert_allclose(values(geometry, key)[1:], part, atol=1e-6)


def test_pair(frame, values):
    """Coherence keeps its bytes; baselines of dates give that of the pair; the frame's name tells the orbit."""
    path = next(path for path in reader.find(frame()) if "20170314_20170326" in path.name)
    delivered = reader.read(path, SOURCE)
    assert delivered.id == f"{FRAME}_20170314_20170326"
    assert next(raster.dtype for raster in delivered.rasters if raster.key == "coherence") == "uint8"
    found = values(delivered, "coherence")
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(found[1:], 0.8)
    told = delivered.properties
    assert told["insar:perpendicular_baseline"] == pytest.approx(98.5)
    assert (told["sat:relative_orbit"], told["sat:orbit_state"]) == (21, "descending")
    assert told["view:incidence_angle"] == 39.19
    assert told["terracube:time_precision"] == "minute"
    assert delivered.acquired == datetime(2017, 3, 26, 16, 7, 4, tzinfo=UTC)


def test_geometry(frame, values):
    """The geometry is an item of its own, for the dates of the frame."""
    path = next(path for path in reader.find(frame()) if ".U." in path.name)
    delivered = reader.read(path, SOURCE)
    assert delivered.id == f"{FRAME}-geometry"
    assert delivered.properties["terracube:insar"] == "geometry"
    assert delivered.interval == (
        datetime(2017, 3, 2, 16, 7, 4, tzinfo=UTC),
        datetime(2017, 3, 26, 16, 7, 4, tzinfo=UTC),
    )
    assert values(delivered, "dem")[0, 0] == 7


def test_nothing_told(frame):
    """Without metadata only the day is known, and no baseline; without its name a frame has to be told."""
    root = frame()
    (root / "metadata" / "metadata.txt").unlink()
    (root / "metadata" / "baselines").unlink()
    path = next(path for path in reader.find(root) if "20170302_20170314" in path.name)
    told = reader.read(path, SOURCE)
    assert told.properties["terracube:time_precision"] == "day"
    assert told.properties["insar:secondary_datetime"] == "2017-03-14T00:00:00Z"
    assert "insar:perpendicular_baseline" not in told.properties
    assert "sar:looks_range" not in told.properties


def test_user_adds_what_is_missing(frame):
    """Looks and a name from ``terracube.yaml`` in the folder of the frame."""
    root = frame()
    (root / "metadata" / "terracube.yaml").write_text("stack: bosporus\nlooks_range: 20\nlooks_azimuth: 4\n")
    path = next(path for path in reader.find(root) if "20170302_20170314" in path.name)
    delivered = reader.read(path, SOURCE)
    assert delivered.id == "bosporus_20170302_20170314"
    assert delivered.properties["sar:looks_range"] == 20


def test_unnamed_frame(tmp_path, scene, write_tif):
    """A frame whose name is told nowhere is asked for; geometry without pairs cannot be dated."""
    path = write_tif(tmp_path / "x" / "20170302_20170314.geo.unw.tif", scene.grown)
    with pytest.raises(MetadataError, match="name of the frame"):
        reader.read(path, SOURCE)
    up = write_tif(tmp_path / "y" / f"{FRAME}.geo.U.tif", np.ones(scene.shape, "float32"))
    with pytest.raises(MetadataError, match="which dates"):
        reader.read(up, SOURCE)
    (up.parent / "terracube.yaml").write_text("dates: ['2017-03-02', '20170326']\n")
    alone = reader.read(up, SOURCE)
    assert (alone.rasters, "not whole" in alone.notes[0]) == ((), True)


def test_truncated(frame):
    """A file of other content than its name says is refused."""
    path = reader.find(frame())[0]
    path.write_bytes(b"<VRTDataset/>")
    with pytest.raises(TerraCubeError, match="not what its name says"):
        reader.read(path, SOURCE)


def test_whole_numbers_are_no_phase(tmp_path, scene, write_tif):
    """A phase of integers is refused."""
    path = write_tif(tmp_path / FRAME / "20170302_20170314.geo.unw.tif", np.ones(scene.shape, "int16"))
    with pytest.raises(AssetError, match="whole number"):
        reader.read(path, SOURCE)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(metadata=st.binary(max_size=200), baselines=st.binary(max_size=200))
def test_any_bytes(frame, tmp_path, metadata, baselines):
    """Metadata of any bytes give a delivery or one of our errors."""
    root = tmp_path / FRAME
    if not root.exists():
        frame()
    (root / "metadata" / "metadata.txt").write_bytes(b"heading=1\navg_incidence_angle=" + metadata)
    (root / "metadata" / "baselines").write_bytes(b"20170302 20170314 " + baselines)
    with contextlib.suppress(TerraCubeError):
        reader.read(reader.find(root)[0], SOURCE)


def test_ingested(frame, scene, recovered):
    """From the delivered frame to the cube: two pairs in order, and the geometry of the frame."""
    found, cube = recovered("licsar", frame())
    assert cube.pair.values.tolist() == ["20170302_20170314", "20170314_20170326"]
    np.testing.assert_allclose(found[1, 1:], scene.towards[1:], atol=1e-7)
    np.testing.assert_allclose(cube.los_up.values[1:] * scene.uplift[1:], found[0, 1:], atol=1e-7)
    np.testing.assert_allclose(cube.perpendicular_baseline, [32.4, 98.5])
