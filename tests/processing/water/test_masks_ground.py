"""What sun and terrain do: shade, slopes, low sun, sizes of pixels."""

import numpy as np
import pytest
import xarray as xr
from affine import Affine

from terracube.core.errors import InputError, MetadataError
from terracube.cubes import Grid
from terracube.cubes.layout import georeference
from terracube.processing.water.masks import bitmask, mask
from terracube.processing.water.masks.ground import low_sun_flag, terrain_flags
from terracube.processing.water.masks.pixels import pixel_sizes

SHADE, STEEP = bitmask(["terrain_shadow"]), bitmask(["steep"])


def elevation(values, *, crs="EPSG:32633", corner=(500_000, 5_100_000), pixel=10.0):
    """Make an elevation model."""
    rows, cols = values.shape
    grid = Grid.from_affine(crs, Affine(pixel, 0, corner[0], 0, -pixel, corner[1]), (rows, cols))
    layer = xr.DataArray(values, dims=("y", "x"), attrs={"units": "m"}, name="dem")
    return georeference(layer, grid)


def wall(rows=30, cols=40):
    """Give level ground with a wall of 105 m in column 30."""
    heights = np.zeros((rows, cols))
    heights[:, 30] = 105.0
    return heights


def test_a_wall_shades_and_is_steep():
    """The shade of a wall of 105 m under 45 degrees covers ten pixels; the pixels beside it are steep."""
    flags = terrain_flags(elevation(wall()), sun_azimuth=90.0, sun_elevation=45.0)
    assert (flags & SHADE > 0).all(axis=0).nonzero()[0].tolist() == list(range(20, 30))
    assert (flags & STEEP > 0).all(axis=0).nonzero()[0].tolist() == [29, 31]


@pytest.mark.parametrize("chunks", [(7, 9), (30, 11), (1, 40)])
def test_cuts_never_matter(chunks):
    """Shade crosses the borders of blocks: the same bits whatever the chunks."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:30, :40]
    dem = elevation(200 * np.sin(y / 6) ** 2 * np.cos(x / 8) ** 2 + rng.random((30, 40)))
    facts = {"sun_azimuth": 217.0, "sun_elevation": 21.0, "reach": 150.0}
    whole = terrain_flags(dem, **facts)
    assert (whole & SHADE).any()
    lazy = terrain_flags(dem.chunk(y=chunks[0], x=chunks[1]), **facts)
    np.testing.assert_array_equal(lazy.compute(), whole)


def test_terrain_in_a_mask():
    """Steep and shaded pixels have no class; each date has its own sun."""
    bands = {"blue": 0.03, "green": 0.05, "red": 0.03, "nir": 0.01, "swir16": 0.004, "swir22": 0.003}
    dem = elevation(wall())
    cube = xr.Dataset({name: dem * 0 + value for name, value in bands.items()})
    cube = cube.drop_attrs(deep=False).expand_dims(
        time=[np.datetime64("2023-01-01", "ns"), np.datetime64("2023-07-01", "ns")]
    )
    found = mask(cube, dem=dem, sun_azimuth=[90.0, 270.0], sun_elevation=[45.0, 9.0])
    first = found["water"].isel(time=0, y=5).values
    assert first.nonzero()[0].size == 40
    assert (first == 255).nonzero()[0].tolist() == [*range(20, 30), 31]
    assert (found["flags"].isel(time=1).values & bitmask(["low_sun"]) > 0).all()
    assert (found["water"].isel(time=1) == 255).all()
    lazy = mask(
        cube.chunk(time=1, y=10, x=13), dem=dem.chunk(y=9), sun_azimuth=[90.0, 270.0], sun_elevation=[45.0, 9.0]
    )
    np.testing.assert_array_equal(lazy["flags"].values, found["flags"].values)


def test_without_a_sun_nothing_is_shaded():
    """Without angles, or with a sun below the horizon, slopes alone are flagged."""
    for sun in ({}, {"sun_azimuth": 90.0, "sun_elevation": -3.0}):
        assert not (terrain_flags(elevation(wall()), **sun) & SHADE).any()


def test_low_sun():
    """The sun is low below the least elevation, and no sun at all says nothing."""
    assert low_sun_flag(9.99, 10.0) == bitmask(["low_sun"])
    assert low_sun_flag(10.0, 10.0) == 0
    assert low_sun_flag(None, 10.0) == 0
    with pytest.raises(InputError):
        low_sun_flag(91.0, 10.0)


def test_degrees_and_metres_agree():
    """On a grid in degrees at the equator, shade reaches as far as in metres; missing heights say nothing."""
    pixel = 10.0 / 111_319.49
    flags = terrain_flags(
        elevation(wall(), crs="EPSG:4326", corner=(10.0, 0.0), pixel=pixel), sun_azimuth=90.0, sun_elevation=45.0
    )
    assert (flags & SHADE > 0).all(axis=0).sum() == 10
    assert not terrain_flags(elevation(np.full((4, 4), np.nan)), sun_azimuth=1.0, sun_elevation=5.0).any()


def test_sizes_of_pixels():
    """A pixel of a degree at the equator is 111 km wide and high, at 60 degrees half as wide; feet become metres."""
    width, height = pixel_sizes(Grid.from_bbox((0, -0.5, 1, 0.5), crs="EPSG:4326", resolution=1))
    assert (width[0], height[0]) == pytest.approx((111_320, 110_574), rel=1e-4)
    at_60 = Grid.from_affine("EPSG:4326", Affine(1, 0, 0, 0, -1, 60.5), (1, 1))
    assert pixel_sizes(at_60)[0][0] == pytest.approx(55_800, rel=1e-3)
    feet = Grid.from_bbox((0, 0, 100, 100), crs="EPSG:2263", bbox_crs="EPSG:2263", resolution=100)
    assert pixel_sizes(feet)[0][0] == pytest.approx(30.48, rel=1e-4)


def test_bad_input_is_refused():
    """A reach of thousands of pixels, no unit and no direction are refused."""
    dem = elevation(wall())
    with pytest.raises(InputError, match="reach"):
        terrain_flags(dem, sun_azimuth=1.0, sun_elevation=5.0, reach=1e6)
    with pytest.raises(InputError, match="azimuth"):
        terrain_flags(dem, sun_azimuth=float("nan"), sun_elevation=5.0)
    with pytest.raises(MetadataError):
        terrain_flags(dem.drop_attrs())
