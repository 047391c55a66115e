"""FLATSIM: products written as ForM@Ter describes them."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine

from terracube.core.errors import AssetError, MetadataError
from terracube.ingest import load_source
from terracube.ingest.readers.interferograms import flatsim as reader

SOURCE = load_source("flatsim")
DEGREES = Affine(0.001, 0, 29.0, 0, -0.001, 41.0)
PLACE = {"crs": "EPSG:4326", "transform": DEGREES}


@pytest.fixture
def stack(tmp_path, scene, write_tif):
    """Write a pair, and the line of sight in a folder of its own."""

    def make(first="20180106", second="20180130", *, phase=None, los="ENU"):
        folder = tmp_path / "INTERFERO" / f"int_{first}_{second}"
        unwrapped = scene.grown.copy() if phase is None else phase
        unwrapped[0] = 0
        other = np.full(scene.shape, 0.5, "float32")
        stem = f"{first}_{second}"
        write_tif(folder / f"CNES_InU_geo_{stem}_sd_era_8rlks.tiff", np.stack([unwrapped, other]), **PLACE)
        write_tif(folder / f"CNES_InWF_geo_{stem}_sd_era_8rlks.tiff", np.stack([unwrapped, other]), **PLACE)
        write_tif(folder / f"CNES_Coh_geo_{stem}_8rlks.tiff", other, **PLACE)
        (folder / f"CNES_InU_geo_{stem}_sd_era_8rlks.meta").write_text("Rlooks_unw: 8\n")
        east, north, up = scene.los
        # ENU points from the satellite to the ground, NEU from the ground to the satellite.
        parts = (-east, -north, -up) if los == "ENU" else (north, east, up)
        vector = np.stack([np.full(scene.shape, part, "float32") for part in parts])
        write_tif(tmp_path / "DAUX" / f"CNES_Cos{los}_geo_8rlks.tiff", vector, **PLACE)
        return tmp_path

    return make


@pytest.mark.parametrize("los", ["ENU", "NEU"])
def test_sign_of_an_uplift(stack, scene, displacement, values, los):
    """Phases of NSBAS grow with the range; both forms of the line of sight become the vector to the satellite."""
    geometry, pair = (reader.read(path, SOURCE) for path in reader.find(stack(los=los)))
    found = displacement(pair)
    np.testing.assert_allclose(found[1:], scene.towards[1:], atol=1e-7)
    assert np.isnan(found[0]).all()
    for key, part in zip(("los_east", "los_north", "los_up"), scene.los, strict=True):
        np.testing.assert_allclose(values(geometry, key), part, atol=1e-6)


def test_pair(stack, values):
    """Coherence, looks in azimuth, days; the metadata of the producer are kept beside it."""
    (path,) = (path for path in reader.find(stack()) if "InU" in path.name)
    pair = reader.read(path, SOURCE)
    assert pair.id == "CNES_InU_geo_20180106_20180130_sd_era_8rlks"
    np.testing.assert_allclose(values(pair, "coherence"), 0.5)
    assert {raster.key for raster in pair.rasters} == {"unwrapped_phase", "coherence", "wrapped_phase"}
    assert pair.properties["sar:looks_azimuth"] == 8
    assert "sar:looks_range" not in pair.properties
    assert pair.properties["terracube:time_precision"] == "day"
    assert [paper.path.suffix for paper in pair.documents] == [".meta"]


def test_geometry(stack):
    """The line of sight is dated by the interferograms beside it, or by the user."""
    root = stack()
    (path,) = (path for path in reader.find(root) if "Cos" in path.name)
    assert [f"{moment:%Y%m%d}" for moment in reader.read(path, SOURCE).interval] == ["20180106", "20180130"]
    moved = root / "elsewhere" / "deep" / path.name
    moved.parent.mkdir(parents=True)
    path.rename(moved)
    with pytest.raises(MetadataError, match="which dates"):
        reader.read(moved, SOURCE)
    (moved.parent / "terracube.yaml").write_text("dates: ['20160101', '20200101']\nstack: etna\norbit: ascending\n")
    geometry = reader.read(moved, SOURCE)
    assert geometry.id == "etna_CNES_CosENU_geo_8rlks-geometry"
    assert geometry.properties["sat:orbit_state"] == "ascending"


def test_reversed(stack, scene, displacement):
    """A pair whose first date is the later one is turned round."""
    (path,) = (p for p in reader.find(stack("20180130", "20180106", phase=-scene.grown)) if "InU" in p.name)
    pair = reader.read(path, SOURCE)
    np.testing.assert_allclose(displacement(pair)[1:], scene.towards[1:], atol=1e-7)
    assert pair.properties["terracube:pair"] == "20180106_20180130"


def test_refusals(stack, tmp_path, scene, write_tif):
    """Radar geometry, two coherences, and a vector of one band are refused."""
    root = stack()
    radar = write_tif(tmp_path / "CNES_InU_radar_20180106_20180130_8rlks.tiff", scene.grown)
    assert reader.find(radar) == [radar]
    with pytest.raises(MetadataError, match="radar geometry"):
        reader.read(radar, SOURCE)
    (path,) = (path for path in reader.find(root) if "InU_geo" in path.name)
    write_tif(path.with_name("CNES_Coh_geo_20180106_20180130_4rlks.tiff"), scene.grown, **PLACE)
    with pytest.raises(MetadataError, match="several Coh"):
        reader.read(path, SOURCE)
    thin = write_tif(tmp_path / "CNES_CosENU_geo.tiff", scene.grown, **PLACE)
    with pytest.raises(AssetError, match="number of bands"):
        reader.read(thin, SOURCE)


def test_ingested(stack, scene, recovered):
    """From the delivered folder to the cube."""
    found, cube = recovered("flatsim", stack())
    np.testing.assert_allclose(found[0, 1:], scene.towards[1:], atol=1e-7)
    np.testing.assert_allclose(cube.los_up.values[1:] * scene.uplift[1:], found[0, 1:], atol=1e-7)
