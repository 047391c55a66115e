"""Against GDAL's warp, asked exactly the same question: no approximate coordinates, the same kernel scale."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import rasterio.warp
from affine import Affine
from pyproj import Transformer
from rasterio.enums import Resampling

from terracube.cubes import YX, Grid
from terracube.cubes.warp import METHODS, pair_scale

MERCATOR = "EPSG:3857"
RATIOS = (0.5, 1.0, 1.41, 2.0)


def gdal(values, source, target, method, *, nodata):
    """Warp with GDAL."""
    out = np.full(target.shape, nodata, values.dtype)
    scale = pair_scale(source, target)
    options = {"XSCALE": scale.x, "YSCALE": scale.y} if method in ("bilinear", "cubic") else {}
    rasterio.warp.reproject(
        values, out, src_transform=source.transform, src_crs=source.crs, dst_transform=target.transform,
        dst_crs=target.crs, src_nodata=nodata, dst_nodata=nodata, resampling=Resampling[method], tolerance=0, **options,
    )  # fmt: skip
    return out


@pytest.fixture(scope="module")
def bands(data_dir):
    """Red band and scene classes of a real scene, cut to the part around its centre that keeps the test short."""
    folder = data_dir / "sentinel2-l2a" / "33TWM"

    def band(name):
        path = sorted(folder.rglob(f"*{name}*.tif"))[0]
        with rasterio.open(path) as file:
            values, grid = file.read(1), Grid.from_affine(file.crs, file.transform, file.shape)
        return values[200:700, 300:800].copy(), grid.window(YX(200, 300), YX(500, 500))

    return {name: band(name) for name in ("B04", "SCL")}


def covering(source, ratio):
    """Cover a source at about 46 north."""
    size = source.resolution.x * 1.45 * ratio
    return Grid.from_bbox(source.bounds, crs=MERCATOR, resolution=size, bbox_crs=source.crs)


def compare(into, values, source, target, method):
    """Give absolute differences where both have a value, and the share of pixels where only one has."""
    ours = into(values, source, target, method, nodata=0, dtype=values.dtype, fill=0)
    theirs = gdal(values, source, target, method, nodata=0)
    both = (ours != 0) & (theirs != 0)
    assert both.mean() > 0.3
    return np.abs(ours.astype("int64") - theirs)[both], ((ours == 0) != (theirs == 0)).mean()


class TestSameQuestion:
    @pytest.mark.parametrize("ratio", RATIOS)
    @pytest.mark.parametrize("method", ["bilinear", "cubic", "average"])
    def test_smooth_methods(self, source, make, bands, into, method, ratio):
        """Within one count in 98 % of pixels and more, on a made-up and on a real band, with the same footprint."""
        for values, grid in ((make(source.shape, "uint16", 0), source), bands["B04"]):
            off, footprint = compare(into, values, grid, covering(grid, ratio), method)
            assert (off <= 1).mean() >= 0.98
            assert (off == 0).mean() >= 0.97
            assert footprint <= 1e-4

    @pytest.mark.parametrize("ratio", RATIOS)
    def test_nearest(self, source, make, bands, into, ratio):
        """The same source pixel but where the centre lies within the bound of an edge between two."""
        for values, grid in ((make(source.shape, "uint16", 0), source), bands["B04"]):
            off, footprint = compare(into, values, grid, covering(grid, ratio), "nearest")
            assert (off > 0).mean() <= 2e-4
            assert footprint <= 2e-4

    @pytest.mark.parametrize("crs", [MERCATOR, "EPSG:3035", "EPSG:4326"])
    @pytest.mark.parametrize("ratio", [*RATIOS, 4.0])
    def test_nearest_on_the_whole_real_scene(self, tiles, into, crs, ratio):
        """Every pixel names its source: another one than GDAL's in at most two of ten thousand, in any system."""
        source = tiles["33TWM"]
        size = source.resolution.x * ratio * {MERCATOR: 1.45, "EPSG:3035": 1.0}.get(crs, 1 / 111_000)
        target = Grid.from_bbox(source.bounds, crs=crs, resolution=size, bbox_crs=source.crs)
        names = np.arange(1, source.shape.y * source.shape.x + 1, dtype="int32").reshape(source.shape)
        ours = into(names, source, target, "nearest", nodata=0, dtype="int32", fill=0)
        theirs = gdal(names, source, target, "nearest", nodata=0)
        seen = (ours != 0) | (theirs != 0)
        assert 0.3 < seen.mean() < 1
        assert (ours != theirs)[seen].mean() <= 2e-4

    @pytest.mark.parametrize("ratio", RATIOS)
    def test_mode_of_classes(self, bands, into, ratio):
        """The same class in 99.99 % of pixels, ties included."""
        values, grid = bands["SCL"]
        off, footprint = compare(into, values, grid, covering(grid, ratio), "mode")
        assert (off == 0).mean() >= 0.9999
        assert footprint <= 1e-4

    def test_projected_pixel_by_pixel(self, source, make, into):
        """With a bound of zero nearest is GDAL's in every pixel: what departs above is the lattice."""
        values, target = make(source.shape, "uint16", 0), covering(source, 1.41).window(YX(60, 60), YX(120, 120))
        ours = into(values, source, target, "nearest", nodata=0, dtype="uint16", fill=0, bound=0.0)
        assert np.array_equal(ours, gdal(values, source, target, "nearest", nodata=0))


def wave(x, y):
    """A smooth function of the place, in UTM metres."""
    return (4000 + 2000 * np.sin(x / 300) * np.cos(y / 400)).astype("float32")


def mean_of_wave(x, y, side):
    """Its mean over a square, from the integral."""
    factor = np.sinc(side / 600 / np.pi) * np.sinc(side / 800 / np.pi)
    return (4000 + 2000 * np.sin(x / 300) * np.cos(y / 400) * factor).astype("float32")


class TestTruth:
    def places(self, source, target):
        """Give x and y of the source's centres, and of the target's in the source's system, by PROJ."""
        (y, x), (ty, tx) = source.centres(), target.centres()
        px, py = Transformer.from_crs(target.crs, source.crs, always_xy=True).transform(*np.meshgrid(tx, ty))
        return x[None, :], y[:, None], px, py

    @pytest.mark.parametrize(("method", "error"), [("bilinear", 0.45), ("cubic", 0.02), ("nearest", 60.0)])
    def test_interpolation_recovers_a_smooth_image(self, source, into, method, error):
        """At finer target pixels, the image at the exact place, to the order of the method."""
        target = covering(source, 0.5)
        x, y, px, py = self.places(source, target)
        off = np.abs(into(wave(x, y), source, target, method) - wave(px, py))
        assert np.isfinite(off).mean() > 0.8
        assert np.nanquantile(off[40:-40, 40:-40], 0.9999) < error

    @pytest.mark.parametrize("method", ["bilinear", "cubic", "average"])
    def test_not_farther_from_the_truth_than_gdal(self, source, into, method):
        """Where the two depart, the analytic image says that ours is as near, to a hundredth of a count."""
        target = covering(source, 2.0)
        x, y, px, py = self.places(source, target)
        values = mean_of_wave(x, y, 10.0)
        truth = mean_of_wave(px, py, 20.0) if method == "average" else mean_of_wave(px, py, 10.0)
        ours = into(values, source, target, method, nodata=-1.0, fill=-1.0)
        theirs = gdal(values, source, target, method, nodata=-1.0)
        inner = (np.abs(px - x.mean()) < 1600) & (np.abs(py - y.mean()) < 1400)
        assert np.array_equal(ours[inner] == -1.0, theirs[inner] == -1.0)
        error, reference = (np.sqrt(np.mean((found - truth)[inner] ** 2)) for found in (ours, theirs))
        assert error <= reference * (1 + 2e-3) + 0.01

    def test_average_at_the_edge(self, source, into):
        """A box half outside gives the mean of what it covers, whatever lies beyond: on a ramp, that is known."""
        values = np.arange(source.shape.y, dtype="float32")[:, None] + np.zeros(source.shape, "float32")
        left, _, _, top = source.bounds
        target = Grid.from_affine(source.crs, Affine(20, 0, left + 5, 0, -20, top + 15), (20, 20))
        found = into(values, source, target, "average")[:, 5]
        # Half of row 0 alone; half of row 0, row 1, half of row 2; and so on.
        assert found[:3].tolist() == [0.0, 1.0, 3.0]


def test_all_methods_are_gdals():
    """Each name is a method that GDAL has too."""
    assert {Resampling[name] for name in METHODS}
