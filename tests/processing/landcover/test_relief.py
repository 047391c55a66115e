"""Terrain: planes have the slope they were made with; an independent writing of Horn's gradient; no seams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import Geod

from terracube.core.errors import InputError, MetadataError
from terracube.cubes import YX, Grid, Pair
from terracube.cubes.layout import georeference
from terracube.processing.landcover.relief import TERRAIN, terrain

UTM = "EPSG:32633"


def placed(
    values: NDArray[Any], crs: str = UTM, resolution: tuple[float, float] = (10, 10), **attrs: Any
) -> xr.DataArray:
    """An elevation model."""
    size = Pair(-resolution[0], resolution[1])
    grid = Grid(crs, size, Pair(0, 0), YX(-480, 30) if crs == "EPSG:4326" else YX(-500000, 50000), YX(*values.shape))
    return georeference(xr.DataArray(values, dims=("y", "x"), attrs={"units": "m", **attrs}), grid)


def plane(east: float, north: float, shape: tuple[int, int] = (7, 9)) -> NDArray[np.float64]:
    """Heights that rise by these metres per metre, on pixels of 10 m."""
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    return 300 + 10.0 * (east * cols - north * rows)


def hills(rows: int, cols: int, seed: int = 0) -> NDArray[np.float64]:
    """Random heights with holes."""
    rng = np.random.default_rng(seed)
    values = rng.normal(500, 20, (rows, cols))
    values[rng.random(values.shape) < 0.1] = np.nan
    return values


@pytest.mark.parametrize("east", [-0.5, 0.0, 0.3])
@pytest.mark.parametrize("north", [-1.0, 0.0, 0.2])
def test_planes_have_their_slope_and_aspect_everywhere(east: float, north: float) -> None:
    """On a plane slope, aspect and shade are exact, at the edges and in the corners too."""
    found = terrain(placed(plane(east, north)), TERRAIN, azimuth=200, altitude=30)
    steep = np.hypot(east, north)
    light = np.array([np.sin(np.radians(200)), np.cos(np.radians(200)), np.tan(np.radians(30))]) * np.cos(
        np.radians(30)
    )
    shade = max(0.0, light @ np.array([-east, -north, 1]) / np.sqrt(1 + steep**2))
    np.testing.assert_allclose(found.slope, np.degrees(np.arctan(steep)), rtol=1e-6)
    np.testing.assert_allclose(found.aspect_sin, -east / steep if steep else 0, atol=1e-6)
    np.testing.assert_allclose(found.aspect_cos, -north / steep if steep else 0, atol=1e-6)
    np.testing.assert_allclose(found.hillshade, shade, atol=1e-6)
    np.testing.assert_array_equal(found.elevation, plane(east, north).astype(np.float32))


def horn(z: NDArray[np.float64], size: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Horn's gradient towards east and north of the inner pixels: differences first, then the sums of three."""
    across, down = z[:, 2:] - z[:, :-2], z[:-2] - z[2:]
    east = across[:-2] + 2 * across[1:-1] + across[2:]
    north = down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]
    return east / (8 * size), north / (8 * size)


def test_equals_an_independent_writing() -> None:
    """Slope and aspect of rough ground equal numpy's."""
    z = np.nan_to_num(hills(30, 40), nan=500)
    east, north = horn(z, 10)
    found = terrain(placed(z), TERRAIN).isel(y=slice(1, -1), x=slice(1, -1))
    np.testing.assert_allclose(found.slope, np.degrees(np.arctan(np.hypot(east, north))), rtol=1e-5)
    aspect = np.arctan2(-east, -north)
    np.testing.assert_allclose(found.aspect_sin, np.sin(aspect), atol=1e-6)
    np.testing.assert_allclose(found.aspect_cos, np.cos(aspect), atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 5), st.integers(1, 5), st.integers(0, 5))
def test_blocks_leave_no_seams(rows: int, cols: int, block_rows: int, block_cols: int, seed: int) -> None:
    """Chunked and whole results are equal to the bit, holes and edges included; lazy stays lazy."""
    dem = placed(hills(rows, cols, seed))
    whole = terrain(dem, TERRAIN)
    lazy = terrain(dem.chunk(y=block_rows, x=block_cols), TERRAIN)
    assert all(lazy[name].chunks for name in TERRAIN)
    assert not whole.chunks
    for name in TERRAIN:
        assert whole[name].dtype == lazy[name].dtype == np.float32
        np.testing.assert_array_equal(whole[name].values.view(np.uint32), lazy[name].values.view(np.uint32))
        assert lazy[name].attrs == whole[name].attrs
    assert Grid.like(lazy) == Grid.like(whole) == Grid.like(dem)


def test_missing_pixels_stay_missing_and_leave_their_neighbours() -> None:
    """A hole is NaN in all layers; beside it a plane keeps its slope."""
    values = plane(0.3, -0.4)
    values[3, 4] = np.nan
    values[0, 8] = np.inf
    found = terrain(placed(values))
    gone = np.zeros(values.shape, bool)
    gone[3, 4] = gone[0, 8] = True
    for name in found.data_vars:
        np.testing.assert_array_equal(np.isnan(found[name].values), gone)
    np.testing.assert_allclose(found.slope.values[~gone], np.degrees(np.arctan(0.5)), rtol=1e-6)


def test_whole_numbers_with_nodata() -> None:
    """Elevations in whole numbers are the same as floats; their nodata is missing."""
    values = plane(0.3, 0.1).astype(np.int16)
    values[2, 2] = -9999
    floats = np.where(values == -9999, np.nan, values)
    for dem in (placed(values, nodata=-9999), placed(values, nodata=-9999).chunk(y=3, x=4)):
        xr.testing.assert_equal(terrain(dem).compute(), terrain(placed(floats)))


def test_a_lone_pixel_is_level() -> None:
    """One pixel, or one among missing ones, is level."""
    assert terrain(placed(np.ones((1, 1)))).slope.item() == 0
    alone = np.full((3, 3), np.nan)
    alone[1, 1] = 5
    found = terrain(placed(alone))
    assert found.slope.values[1, 1] == 0
    assert found.aspect_cos.values[1, 1] == 0


def test_degrees_are_turned_into_metres() -> None:
    """On longitude and latitude distances are those on the ellipsoid, row by row."""
    step = 0.1
    rows, cols = np.mgrid[:3, :3]
    geod = Geod(ellps="WGS84")
    for values, azimuth in ((100.0 * cols, 90), (-100.0 * rows, 0)):
        dem = placed(values, "EPSG:4326", (step, step))
        lat, lon = dem.y.values[1], dem.x.values[1]
        across = (lon - step / 2, lat, lon + step / 2, lat) if azimuth else (lon, lat - step / 2, lon, lat + step / 2)
        metres = geod.inv(*across)[2]
        expected = np.degrees(np.arctan(100.0 / metres))
        assert terrain(dem).slope.values[1, 1] == pytest.approx(expected, rel=1e-5)


def test_units_are_told_not_guessed() -> None:
    """Feet are turned into metres, on the ground and in height; without a unit the model is refused."""
    feet = placed(plane(0.5, 0) / 0.3048, units="ft")
    np.testing.assert_allclose(terrain(feet).slope, np.degrees(np.arctan(0.5)), rtol=1e-6)
    np.testing.assert_allclose(terrain(feet).elevation, plane(0.5, 0), rtol=1e-6)
    ground = placed(plane(0.5, 0), "EPSG:2263")
    np.testing.assert_allclose(terrain(ground).slope, np.degrees(np.arctan(0.5 * 3937 / 1200)), rtol=1e-6)
    with pytest.raises(MetadataError, match="unit"):
        terrain(placed(plane(0, 0)).drop_attrs(deep=False))
    with pytest.raises(MetadataError, match="fathom"):
        terrain(placed(plane(0, 0)), unit="fathom")
    assert terrain(placed(plane(0.5, 0)).drop_attrs(deep=False), unit="m").slope.attrs["units"] == "degree"


@pytest.mark.parametrize(
    ("change", "names", "told"),
    [
        (lambda dem: dem, ("roughness",), "roughness"),
        (lambda dem: dem, (), "none"),
        (lambda dem: dem, ("slope", "slope"), "slope"),
        (lambda dem: dem.to_dataset(name="dem"), ("slope",), "Dataset"),
        (lambda dem: dem.expand_dims("time"), ("slope",), "time"),
        (lambda dem: dem.astype(bool), ("slope",), "bool"),
        (lambda dem: dem.sortby("y"), ("slope",), "north"),
    ],
)
def test_what_is_no_elevation_model_is_refused(change: Any, names: tuple[str, ...], told: str) -> None:
    """Wrong layers and wrong arrays are named."""
    with pytest.raises(InputError, match=told):
        terrain(change(placed(plane(0, 0))), names)


@pytest.mark.parametrize("altitude", [0.0, 91.0, np.nan])
def test_a_light_below_the_horizon_is_refused(altitude: float) -> None:
    """The light stands above the horizon."""
    with pytest.raises(InputError, match="light"):
        terrain(placed(plane(0, 0)), ["hillshade"], altitude=altitude)


def test_real_elevation(data_dir: Path) -> None:
    """The hills of a Slovenian scene have plausible slopes, and the direction of descent leads down."""
    folder = data_dir / "landcover" / "slovenia-eopatch" / "TestEOPatch"
    heights = np.load(folder / "data_timeless" / "DEM.npy")[..., 0].astype(np.float64)
    found = terrain(placed(heights))
    assert 0 <= float(found.slope.min()) < float(found.slope.max()) < 60
    north, east = np.gradient(heights, -10.0, 10.0)
    steep = found.slope.values > 5
    along = east * found.aspect_sin.values + north * found.aspect_cos.values
    assert (along[steep] < 0).mean() > 0.99
