"""Pictures: missing is transparent, hues stay, and nothing odd breaks them."""

from __future__ import annotations

import io

import numpy as np
import pytest
import xarray as xr
from matplotlib import colormaps
from PIL import Image

from terracube.cubes import YX, Grid, Pair
from terracube.cubes.load import georeference
from terracube.cubes.preview import map_png, preview, rgb_png, stretch, thin
from terracube.cubes.storage import rasters, write_zarr

RNG = np.random.default_rng(7)


def pixels(png):
    """Decode a PNG into (y, x, RGBA)."""
    picture = Image.open(io.BytesIO(png))
    assert (picture.format, picture.mode) == ("PNG", "RGBA")
    return np.asarray(picture)


class Rows:
    """Rows of one array."""

    def __init__(self, values):
        self.values, self.shape = values, YX(*values.shape)

    def rows(self, layer, start, stop):
        """Give rows."""
        return self.values[start:stop]


@pytest.mark.parametrize(("shape", "side"), [((10, 7), 4), ((7, 10), 3), ((5, 5), 5), ((1, 9), 2), ((4, 4), 900)])
def test_thinning_takes_pixels(shape, side):
    """Neither side is longer than asked, and every pixel is one of the layer, at even distances."""
    values = np.arange(shape[0] * shape[1], dtype="float32").reshape(shape)
    found = thin(Rows(values), 0, side=side)
    step = -(-max(shape) // side)
    assert max(found.shape) <= side
    assert np.array_equal(found, values[::step, ::step])


def test_missing_is_transparent():
    """A pixel that lacks any of the three layers is transparent, all others are opaque."""
    layers = [RNG.random((6, 5)).astype("float32") for _ in range(3)]
    for number, layer in enumerate(layers):
        layer[number, number] = np.nan
    layers[0][5, 4] = np.inf
    found = pixels(rgb_png(layers))
    expected = np.full((6, 5), 255)
    expected[[0, 1, 2, 5], [0, 1, 2, 4]] = 0
    assert np.array_equal(found[..., 3], expected)


def test_grey_stays_grey_and_bright_stays_brighter():
    """Layers are stretched together: equal layers are grey, and the order of brightness is kept."""
    ramp = np.linspace(0.01, 0.4, 200, dtype="float32").reshape(10, 20)
    found = pixels(rgb_png([ramp, ramp, ramp]))
    assert (found[..., 0] == found[..., 1]).all()
    assert (found[..., 1] == found[..., 2]).all()
    assert (np.diff(found[..., 0].ravel().astype(int)) >= 0).all()
    assert found[-1, -1, 0] == 255
    assert 0 < found[0, 0, 0] < 40, "black is a reflectance of zero, not the darkest pixel"
    reddish = pixels(rgb_png([ramp * 2, ramp, ramp]))
    assert (reddish[5:, :, 0] >= reddish[5:, :, 1]).all()


@pytest.mark.parametrize("value", [np.nan, 0.3])
def test_nothing_or_one_value(value):
    """A picture without any value is all transparent; one with a single value is grey."""
    layer = np.full((4, 4), value, "float32")
    found = pixels(rgb_png([layer] * 3))
    assert (found[..., 3] == (0 if np.isnan(value) else 255)).all()
    if not np.isnan(value):
        assert (found[..., :3] == 127).all()


def test_stretch_leaves_its_input_alone():
    """Stretching changes nothing in the arrays it was given, and keeps NaN."""
    layer = RNG.normal(size=(9, 9)).astype("float32")
    layer[0, 0] = np.nan
    before = layer.copy()
    (found,) = stretch([layer])
    assert np.array_equal(layer, before, equal_nan=True)
    assert np.isnan(found[0, 0])
    assert (np.nanmin(found), np.nanmax(found)) == (0.0, 1.0)


def test_a_map_in_colours():
    """Values take the colours of the scale from low to high; what lies beyond takes its ends."""
    found = pixels(map_png(np.array([[0, 5, 10, -3, 99, np.nan]], "float32"), low=0, high=10))
    scale = [(np.array(colormaps["viridis"](share)) * 255).astype("uint8") for share in (0.0, 0.5, 1.0)]
    for pixel, colour in zip(found[0, :5], [*scale, scale[0], scale[2]], strict=True):
        assert np.abs(pixel.astype(int) - colour).max() <= 1
    assert found[0, 5, 3] == 0
    assert (found[0, :5, 3] == 255).all()


def test_a_map_of_one_value():
    """Low equal to high is no division by zero."""
    assert pixels(map_png(np.ones((2, 2), "float32"), low=1, high=1)).shape == (2, 2, 4)


class TestPreview:
    def cube(self):
        """Give three bands with a missing corner."""
        grid = Grid("EPSG:32633", Pair(-10.0, 10.0), Pair(0.0, 0.0), YX(-515000, 50000), YX(120, 200))
        values = RNG.random((120, 200)).astype("float32")
        values[:20, :40] = np.nan
        bands = {name: values * factor for name, factor in (("red", 3), ("green", 2), ("blue", 1))}
        return xr.Dataset({n: georeference(xr.DataArray(v, dims=("y", "x")), grid) for n, v in bands.items()})

    def test_sources(self, tmp_path):
        """Dataset, Zarr store and folder of COGs give pictures of one size, transparent in the same place."""
        ds = self.cube()
        write_zarr(ds, tmp_path / "z", chunks=64, multiscales=1)
        rasters.write_cog(ds, tmp_path / "cogs")
        for source in (ds, ds.chunk(50), tmp_path / "z", str(tmp_path / "cogs")):
            found = pixels(preview(source, side=100))
            assert found.shape == (60, 100, 4)
            assert (found[:10, :20, 3] == 0).all()
            assert (found[10:, :, 3] == 255).all()
            assert (found[20:, :, 0] >= found[20:, :, 2]).all()

    def test_a_file(self, tmp_path):
        """The picture is written whole, and given."""
        png = preview(self.cube().red, tmp_path / "a.png")
        assert (tmp_path / "a.png").read_bytes() == png
        assert pixels(png).shape == (120, 200, 4)

    def test_classes(self):
        """Classes are shown in their colours."""
        ds = self.cube()
        ds["scl"] = (
            (ds.red > 1).astype("uint8").assign_attrs(flag_values=[0, 1], flag_meanings="a b", flag_colors="red blue")
        )
        found = pixels(preview(ds, band="scl"))
        assert {tuple(colour) for colour in found.reshape(-1, 4)} == {(255, 0, 0, 255), (0, 0, 255, 255)}
