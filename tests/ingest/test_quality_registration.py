"""Shift between bands: known shifts are recovered, and what cannot be known is not guessed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.sensors import load_sensor
from terracube.cubes import YX, Grid, Pair
from terracube.ingest.quality import SceneQuality, find_shift
from terracube.ingest.quality.registration import Lattice, Windows, coarser

RULES = {"registration": ["red", "nir"], "registration_shift": {"suspect_above": 1.0}}
MASK = load_sensor("sentinel-2-l2a").mask


def grid_of(shape, resolution=10.0, left=500_000.0):
    """Give a grid of a shape."""
    col = left / resolution
    return Grid(
        "EPSG:32633",
        Pair(-resolution, resolution),
        Pair(0.0, col % 1),
        YX(math.floor(-5_200_000 / resolution), math.floor(col)),
        YX(*shape),
    )


def scenery(side, seed=1, steepness=1.5):
    """Give a random picture with a spectrum as land has, and nothing beyond 0.45 cycles per pixel."""
    noise = np.fft.fft2(np.random.default_rng(seed).normal(size=(side, side)))
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side))
    picture = np.fft.ifft2(noise * (frequency < 0.45) / (frequency + 0.01) ** steepness).real
    return 2000 + 500 * picture / picture.std()


def shifted(picture, down, right):
    """Move a picture by any distance, exactly, by the phases of its waves."""
    rows, cols = (np.fft.fftfreq(side) for side in picture.shape)
    wave = np.exp(-2j * np.pi * (rows[:, None] * down + cols * right))
    return np.fft.ifft2(np.fft.fft2(picture) * wave).real


def scene_of(red, nir, *, strip=97, resolutions=(10.0, 10.0), left=500_000.0, mask=None, nodata=0):
    """Measure a scene of two bands, given in strips."""
    scene = SceneQuality(RULES, mask=MASK if mask is not None else None)
    layers = {"red": (red, resolutions[0]), "nir": (nir, resolutions[1])}
    grids = {
        key: grid_of(values.shape, size, left if key == "nir" else 500_000.0) for key, (values, size) in layers.items()
    }
    scene.compare(*grids.values())
    for key, (values, _) in layers.items():
        band = scene.layer(key, grids[key], "uint16", nodata=nodata)
        numbers = np.rint(values).astype("uint16")
        for start in range(0, len(numbers), strip):
            band.add(start, numbers[start : start + strip])
    if mask is not None:
        scene.layer("scl", grid_of(mask.shape, 20.0), "uint8", kind="classes").add(0, mask)
    return scene.finish()


class TestTruth:
    @pytest.mark.parametrize("shift", [(0.0, 0.0), (0.3, -0.7), (0.5, 0.5), (-1.25, 2.6), (7.4, -3.1), (0.05, 0.0)])
    @pytest.mark.parametrize(("contrast", "noise"), [(1.0, 0.0), (-0.6, 10.0), (1.0, 60.0)])
    def test_a_known_shift(self, shift, contrast, noise):
        """Recovered to a tenth of a pixel, in direction and length, also if contrast is reversed, and with noise."""
        red = scenery(800)
        nir = 2000 + contrast * (shifted(red, *shift) - 2000)
        nir += noise * np.random.default_rng(2).normal(size=nir.shape)
        found = scene_of(red, nir)
        assert found.shift.y == pytest.approx(shift[0], abs=0.1)
        assert found.shift.x == pytest.approx(shift[1], abs=0.1)
        assert found.measures["registration_shift"].value == pytest.approx(math.hypot(*shift), abs=0.1)
        assert (found.verdict == "suspect") == (math.hypot(*shift) > 1)

    @settings(max_examples=12, deadline=None)
    @given(down=st.floats(-8, 8), right=st.floats(-8, 8), seed=st.integers(0, 1000))
    def test_any_shift(self, down, right, seed):
        """Any shift up to eight pixels is found in one window of 256."""
        picture = scenery(256, seed)
        found = find_shift([(picture, shifted(picture, down, right))])
        assert (found.y, found.x) == pytest.approx((down, right), abs=0.1)

    def test_there_and_back(self):
        """The second band as seen from the first is the reverse of the first as seen from the second."""
        red, nir = scenery(512), shifted(scenery(512), 1.3, -0.4)
        there, back = find_shift([(red, nir)]), find_shift([(nir, red)])
        assert (there.y, there.x) == pytest.approx((-back.y, -back.x), abs=0.02)

    def test_bands_of_two_resolutions(self):
        """The shift is told in pixels of the finer band."""
        red = scenery(1024, steepness=2.0)
        nir = coarser(shifted(red, 1.6, -2.4), 2)
        found = scene_of(red, nir, resolutions=(10.0, 20.0))
        assert (found.shift.y, found.shift.x) == pytest.approx((1.6, -2.4), abs=0.2)

    def test_the_coarser_band_first(self):
        """The order of the bands tells the sign, not which is finer."""
        nir = scenery(1024, steepness=2.0)
        found = scene_of(coarser(shifted(nir, 1.6, -2.4), 2), nir, resolutions=(20.0, 10.0))
        assert (found.shift.y, found.shift.x) == pytest.approx((-1.6, 2.4), abs=0.2)

    def test_real_bands(self, data_dir):
        """Bands of a real scene, one of them moved: the difference is that move."""
        files = sorted((data_dir / "sentinel2-l2a" / "33TWM").rglob("S2A_33TWM_20230818_0_L2A/B0[24].tif"))
        if len(files) != 2:
            pytest.skip("no bands B02 and B04 of S2A_33TWM_20230818 in the data")
        blue, red = (read(path) for path in files)
        before, after = find_shift([(blue, red)]), find_shift([(blue, shifted(red, 0.6, -0.3))])
        assert before.length < 0.2
        assert (after.y - before.y, after.x - before.x) == pytest.approx((0.6, -0.3), abs=0.1)


def read(path):
    """Give the middle of a raster."""
    with rasterio.open(path) as dataset:
        return dataset.read(1, window=rasterio.windows.Window(300, 100, 256, 256)).astype("float64")


class TestNotMeasurable:
    @pytest.mark.parametrize(
        ("red", "nir"),
        [
            (np.full((300, 300), 500.0), np.full((300, 300), 700.0)),
            (np.random.default_rng(1).normal(500, 9, (600, 600)), np.random.default_rng(2).normal(500, 9, (600, 600))),
            (scenery(600, 1), scenery(600, 2)),
            (np.zeros((300, 300)), scenery(300)),
            (scenery(63), scenery(63)),
            (np.ones((1, 1)), np.ones((1, 1))),
        ],
        ids=["flat", "noise", "other scenery", "nothing seen", "too small", "one pixel"],
    )
    def test_is_not_guessed(self, red, nir):
        """Where there is nothing to compare there is no shift, and the measure is told as missing."""
        found = scene_of(red, nir)
        assert found.shift is None
        assert found.not_measured == ("registration_shift",)

    def test_windows_that_disagree(self):
        """Windows that each show another shift show none."""
        picture = scenery(256)
        pairs = [(picture, shifted(picture, down, right)) for down, right in ((9, 0), (-9, 0), (0, 9), (0, -9))]
        assert find_shift(pairs) is None

    def test_nothing(self):
        """No windows, no shift."""
        assert find_shift([]) is None
        assert find_shift([(np.full((256, 256), np.nan), scenery(256))]) is None

    @pytest.mark.parametrize("options", [{"resolutions": (10.0, 15.0)}, {"left": 500_005.0}], ids=["ratio", "corner"])
    def test_grids_that_do_not_nest(self, options):
        """Bands whose pixels do not lie in each other are not compared."""
        assert scene_of(scenery(300), scenery(300), **options).shift is None

    def test_a_band_that_is_not_there(self):
        """With one of the bands there is nothing to compare."""
        scene = SceneQuality(RULES)
        scene.layer("red", grid_of((300, 300)), "uint16").add(0, np.ones((300, 300), "uint16"))
        assert scene.finish().shift is None


class TestWindows:
    @settings(max_examples=10, deadline=None)
    @given(strip=st.integers(1, 700))
    def test_strips_do_not_matter(self, strip):
        """Whatever the strips, the shift is the same to the bit."""
        red = scenery(600)
        nir = shifted(red, 0.4, 0.2)
        assert scene_of(red, nir, strip=strip).shift == scene_of(red, nir, strip=600).shift

    def test_clouds_are_left_out(self):
        """Clouds that moved between two bands do not make the bands move."""
        red = scenery(1024)
        nir = red.copy()
        clouds, scl = 8 * (scenery(512, 7) - 2000), np.full((512, 512), 4, "uint8")
        red[:512, :512] += clouds
        nir[:512, :512] += shifted(clouds, 5.0, 5.0)
        for bright in (red, nir):
            bright += 20_000
        scl[:256, :256] = 9
        assert scene_of(red, nir, mask=scl).shift.length < 0.1
        assert scene_of(red, nir, mask=scl).shift.windows == 12

    def test_gaps_are_left_out(self):
        """A window in which one pixel is missing is not compared."""
        red = scenery(512)
        red[5, 5] = 0
        assert scene_of(red, red).shift.windows == 3

    @pytest.mark.parametrize(
        ("shape", "expected"),
        [
            ((10980, 10980), (256, 8, 8)),
            ((300, 5000), (256, 1, 8)),
            ((200, 200), (128, 1, 1)),
            ((64, 64), (64, 1, 1)),
            ((63, 900), None),
        ],
    )
    def test_lattice(self, shape, expected):
        """Few windows, spread over the whole grid, smaller on small scenes."""
        found = Lattice.over(*shape)
        assert (found and (found.size, len(found.rows), len(found.cols))) == expected
        if found:
            assert found.rows[-1] + found.size <= shape[0]

    def test_memory_is_that_of_windows(self):
        """What is kept of a tile of 10980 x 10980 pixels is less than 10 MB."""
        assert Windows(Lattice.over(10980, 10980), 1, "uint16").pixels.nbytes < 10e6
