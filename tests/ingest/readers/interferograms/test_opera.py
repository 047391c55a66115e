"""OPERA DISP-S1: NetCDF products written as the specification describes them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import netCDF4
import numpy as np
import pytest
import xarray as xr
from pyproj import CRS

from terracube.core.errors import AssetError, MetadataError, TerraCubeError
from terracube.cubes.readers import close_files
from terracube.ingest import load_source
from terracube.ingest.readers.interferograms import opera as reader

SOURCE = load_source("opera-disp-s1")
NAME = "OPERA_L3_DISP-S1_IW_F11116_VV_20160705T140755Z_20160729T140756Z_v1.0_20250408T163512Z"
STATIC = "OPERA_L3_DISP-S1-STATIC_F11116_20140403_S1A_v1.0"
TOWARDS = "Displacement along the radar Line-of-Sight. Positive values indicate apparent motion towards the platform."
DATES = {"reference_datetime": "2016-07-05 14:07:55.000000", "secondary_datetime": "2016-07-29 14:07:56.000000"}
PLACE = (405000.0, 3778000.0)
NAMES = {
    "coherence": "estimated_phase_quality",
    "temporal_coherence": "temporal_coherence",
    "short_wavelength_displacement": "short_wavelength_displacement",
    "connected_components": "connected_component_labels",
    "recommended_mask": "recommended_mask",
}


@pytest.fixture
def product(tmp_path, scene):
    """Write a product; the first row was not unwrapped."""

    def make(*, dates=DATES, described=TOWARDS, wavelength=None):
        close_files()
        path = tmp_path / f"{NAME}.nc"
        rows, cols = scene.shape
        with netCDF4.Dataset(path, "w") as out:
            out.createDimension("y", rows)
            out.createDimension("x", cols)
            for axis, count, start, step in (("y", rows, PLACE[1], -30.0), ("x", cols, PLACE[0], 30.0)):
                out.createVariable(axis, "f8", (axis,))[:] = start + (np.arange(count) + 0.5) * step
            mapping = out.createVariable("spatial_ref", "i4", ())
            mapping.crs_wkt = CRS.from_epsg(32611).to_wkt()
            mapping.GeoTransform = f"{PLACE[0]} 30.0 0.0 {PLACE[1]} 0.0 -30.0"
            moved = scene.towards.astype("float32")
            moved[0] = np.nan
            fields = {
                "displacement": (moved, np.nan),
                "short_wavelength_displacement": (moved / 2, np.nan),
                "temporal_coherence": (np.full(scene.shape, 0.9, "float32"), np.nan),
                "estimated_phase_quality": (np.full(scene.shape, 0.7, "float32"), np.nan),
                "connected_component_labels": (np.where(np.isnan(moved), 65535, 1).astype("uint16"), 65535),
                "recommended_mask": (np.isfinite(moved).astype("uint8"), 255),
            }
            for name, (values, fill) in fields.items():
                one = out.createVariable(name, values.dtype, ("y", "x"), fill_value=fill, chunksizes=(4, 4))
                one[:] = values
                one.grid_mapping = "spatial_ref"
            out["displacement"].description = described
            about = out.createGroup("identification")
            for name, text in dates.items():
                about.createVariable(name, str, ())[...] = text
            about.createVariable("radar_wavelength", "f8", ())[...] = wavelength or scene.wavelength
            more = out.createGroup("corrections")
            more.createVariable("perpendicular_baseline", "f4", ("y", "x"))[:] = np.linspace(60, 64, rows)[:, None]
        return path

    return make


def test_sign_of_an_uplift(product, scene, displacement, values):
    """Displacement towards the platform becomes phase and comes back; its numbers are kept, with the other sign."""
    pair = reader.read(product(), SOURCE)
    found = displacement(pair)
    np.testing.assert_allclose(found[1:], scene.towards[1:], rtol=1e-6, atol=1e-12)
    assert np.isnan(found[0]).all()
    assert values(pair, "unwrapped_phase")[4, 5] < 0
    raster = pair.rasters[0]
    np.testing.assert_array_equal(raster.pixels.rows(2, 5), -scene.towards.astype("float32")[2:5])
    assert raster.radiometry.scale == pytest.approx(4 * math.pi / scene.wavelength)


def test_layers_as_xarray_reads_them(product, values):
    """Layers and place are those that another reader finds."""
    path = product()
    pair = reader.read(path, SOURCE)
    close_files()
    with xr.open_dataset(path, engine="netcdf4") as other:
        for key, name in NAMES.items():
            np.testing.assert_allclose(values(pair, key), other[name].values, rtol=1e-7)
        y, x = pair.rasters[0].grid.centres()
        np.testing.assert_allclose(y, other.y)
        np.testing.assert_allclose(x, other.x)
    assert pair.rasters[0].grid.crs == "EPSG:32611"
    by_key = {raster.key: raster for raster in pair.rasters}
    assert by_key["connected_components"].nodata == 65535
    assert by_key["recommended_mask"].classes[1] == "recommended"


def test_facts(product):
    """Dates, wavelength and the mean baseline of the groups."""
    pair = reader.read(product(), SOURCE)
    assert pair.id == NAME
    assert pair.acquired == datetime(2016, 7, 29, 14, 7, 56, tzinfo=UTC)
    assert pair.properties["insar:reference_datetime"] == "2016-07-05T14:07:55Z"
    assert pair.properties["insar:perpendicular_baseline"] == pytest.approx(62.0)


def test_reversed_dates(product, scene, displacement):
    """A product whose reference is later is turned round, with its sign."""
    turned = {"reference_datetime": DATES["secondary_datetime"], "secondary_datetime": DATES["reference_datetime"]}
    pair = reader.read(product(dates=turned), SOURCE)
    assert pair.properties["terracube:pair"] == "20160705_20160729"
    np.testing.assert_allclose(displacement(pair)[1:], -scene.towards[1:], rtol=1e-6, atol=1e-12)


def test_static_layers(tmp_path, scene, write_tif, values):
    """Static layers are an item of their own, of the date in their name."""
    vector = np.stack([np.full(scene.shape, part, "float32") for part in scene.los])
    vector[:, 0] = 0
    path = write_tif(tmp_path / f"{STATIC}_line_of_sight_enu.tif", vector)
    write_tif(tmp_path / f"{STATIC}_dem.tif", np.full(scene.shape, 9, "float32"))
    assert reader.find(tmp_path) == [path]
    static = reader.read(path, SOURCE)
    assert static.id == f"{STATIC}-geometry"
    assert static.acquired == datetime(2014, 4, 3, tzinfo=UTC)
    np.testing.assert_allclose(values(static, "los_north")[1:], scene.los[1], atol=1e-6)
    assert np.isnan(values(static, "los_up")[0]).all()
    assert values(static, "dem")[0, 0] == 9


def test_refusals(product, tmp_path):
    """Dates that are missing, a displacement described otherwise, and files that are no NetCDF."""
    with pytest.raises(MetadataError, match="unknown way"):
        reader.read(product(described="Positive values are away from the sensor"), SOURCE)
    with pytest.raises(MetadataError, match="secondary_datetime"):
        reader.read(product(dates={"reference_datetime": "2016-07-05 14:07:55"}), SOURCE)
    with pytest.raises(MetadataError, match="no wavelength of a radar"):
        reader.read(product(wavelength=5.5), SOURCE)
    path = product()
    assert reader.find(path) == [path]
    whole = path.read_bytes()
    close_files()
    for content in (b"", b"nothing of it", whole[:200], whole[: len(whole) // 2]):
        broken = tmp_path / f"b{len(content)}" / path.name
        broken.parent.mkdir()
        broken.write_bytes(content)
        with pytest.raises(TerraCubeError):
            _all(reader.read(broken, SOURCE))


def _all(delivered):
    for raster in delivered.rasters:
        raster.pixels.rows(0, raster.grid.shape.y)


def test_no_displacement(tmp_path):
    """A product without the main layer is refused."""
    path = tmp_path / f"{NAME}.nc"
    with netCDF4.Dataset(path, "w") as out:
        about = out.createGroup("identification")
        for name, text in DATES.items():
            about.createVariable(name, str, ())[...] = text
        about.createVariable("radar_wavelength", "f8", ())[...] = 0.0555
    with pytest.raises((MetadataError, AssetError), match="lacks a variable"):
        reader.read(path, SOURCE)


def test_ingested(product, scene, recovered):
    """From the delivered file to the cube: metres in, radians in the cube, the same metres out."""
    found, cube = recovered("opera-disp-s1", product(), static=())
    np.testing.assert_allclose(found[0, 1:], scene.towards[1:], rtol=1e-6, atol=1e-9)
    assert cube.unwrapped_phase.values[0, 4, 5] < 0
