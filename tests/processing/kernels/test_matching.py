"""Matching: known motion is recovered, gaps are left out, and a point depends on the pixels around it alone."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from terracube.processing.kernels import matching
from terracube.processing.kernels.laplacian import eliminate
from terracube.processing.kernels.matching import DX, DY, EDGE, EMPTY, FLAT, LAYERS, NCC, STATE, halve, match
from terracube.processing.kernels.offsets import invert_offsets
from terracube.processing.kernels.sides import companions, outlying

type Floats = NDArray[np.float32]


def ground(seed: int = 0, side: int = 96) -> NDArray[np.float64]:
    """A texture of waves: it is known between pixels too."""
    rng = np.random.default_rng(seed)
    return np.asarray(np.concatenate([rng.normal(0, 0.55, (2, 150)), rng.uniform(0, 6.28, (1, 150))]))


def seen(waves: NDArray[np.float64], y: NDArray[np.float64], x: NDArray[np.float64]) -> Floats:
    """The texture at places."""
    out = np.zeros(y.shape)
    for down, right, phase in waves.T:
        out += np.cos(down * y + right * x + phase)
    return out.astype(np.float32)


def pair(motion: tuple[float, float], side: int = 96, seed: int = 0, gradient: float = 0.0) -> tuple[Floats, Floats]:
    """Two images; the ground moves by ``motion``, and along x by ``gradient`` per pixel from the middle more."""
    waves = ground(seed)
    y, x = np.mgrid[:side, :side].astype(float)
    middle = (side - 1) / 2
    source = (x - motion[1] - middle) / (1 + gradient) + middle
    return seen(waves, y, x), seen(waves, y - motion[0], source)


def run(
    before: Floats, after: Floats, places: list[tuple[int, int]], *, steps: int = 5, size: int = 32, reach: int = 3
) -> Floats:
    """Match chips without a guess."""
    spots = np.array(places, np.int32)
    out = np.empty((len(spots), LAYERS), np.float32)
    match(before, after, spots, np.zeros_like(spots), ((size, reach, 12, steps), 0.5), out)
    return out


def plain_ncc(a: Floats, b: Floats) -> float:
    """Correlate two squares as a textbook does."""
    return float(np.corrcoef(a.ravel().astype(float), b.ravel().astype(float))[0, 1])


@pytest.mark.parametrize("motion", [(0.0, 0.0), (0.5, -0.5), (1.3, 2.26), (-2.71, 0.49), (7.2, -6.4)])
def test_recovers_motion(motion: tuple[float, float]) -> None:
    """A texture moved by a known part of a pixel is found to a few thousandths, however far within the search."""
    found = run(*pair(motion), [(30, 34)], reach=2 + int(max(map(abs, motion))))[0]
    assert np.isfinite(found[[DY, DX, NCC, matching.STD_Y]]).all()
    assert found[STATE] == 0
    assert found[[DY, DX]] == pytest.approx(motion, abs=4e-3)


def test_the_gradient_of_motion_is_found_too() -> None:
    """Stretched ground does not draw the motion of the middle, and the stretch is told."""
    before, after = pair((0.3, 0.4), gradient=0.01)
    place = 32
    found = run(before, after, [(place, place)])[0]
    middle = place + 15.5
    assert found[DX] == pytest.approx(0.4 + 0.01 * (middle - 47.5), abs=0.01)
    assert found[[matching.A_XX, matching.A_YY]] == pytest.approx([0.01, 0.0], abs=2e-3)


def test_correlation_is_that_of_a_textbook() -> None:
    """Sums over columns and running rows give the correlation coefficient."""
    before, after = pair((2.0, -1.0))
    after = after + np.random.default_rng(3).normal(0, 4, after.shape).astype(np.float32) + 1000
    found = run(before, after, [(30, 30)], steps=0)[0]
    there = after[32:64, 29:61]
    assert found[NCC] == pytest.approx(plain_ncc(before[30:62, 30:62], there), abs=1e-5)


def test_gain_and_bias_do_not_matter() -> None:
    """A darker second image moves the same."""
    before, after = pair((0.4, 0.7))
    bright = run(before, after, [(30, 30)])[0]
    dark = run(before, np.float32(0.2) * after + np.float32(7), [(30, 30)])[0]
    assert dark[[DY, DX]] == pytest.approx(bright[[DY, DX]], abs=1e-3)


def test_standard_deviations_hold() -> None:
    """Two thirds of the errors lie within one standard deviation when noise is all there is."""
    before, after = pair((0.3, -0.2), side=256)
    rng = np.random.default_rng(5)
    level = 0.15 * before.std()
    noisy = [(one + rng.normal(0, level, one.shape)).astype(np.float32) for one in (before, after)]
    places = [(y, x) for y in range(8, 216, 13) for x in range(8, 216, 13)]
    found = run(noisy[0], noisy[1], places, reach=1)
    z = (found[:, [DY, DX]] - [0.3, -0.2]) / found[:, [matching.STD_Y, matching.STD_X]]
    assert np.isfinite(z).all()
    assert 0.6 < (np.abs(z) < 1).mean() < 0.76


def test_missing_pixels_are_left_out() -> None:
    """Gaps in either image, and the edge, do not draw the motion; too many of them are told."""
    before, after = pair((0.6, -1.4))
    before[36:48, 30:44] = np.nan
    after[50:60, 52:64] = np.inf
    found = run(before, after, [(30, 30), (0, 0), (64, 64)])
    assert np.abs(found[:, [DY, DX]] - [0.6, -1.4]).max() < 0.03
    before[30:62, 30:50] = np.nan
    gone = run(before, after, [(30, 30)])[0]
    assert gone[STATE] == EMPTY
    assert np.isnan(gone[[DY, DX]]).all()


def test_masked_correlation_is_that_of_the_valid_pixels() -> None:
    """With gaps the coefficient is that of the pixels valid in both."""
    before, after = pair((1.0, 0.0))
    after = after + np.random.default_rng(4).normal(0, 3, after.shape).astype(np.float32)
    before[40:44, 31:60] = np.nan
    found = run(before, after, [(30, 30)], steps=0)[0]
    a, b = before[30:62, 30:62], after[31:63, 30:62]
    good = np.isfinite(a)
    assert found[NCC] == pytest.approx(plain_ncc(a[good], b[good]), abs=1e-5)


def test_nothing_to_match() -> None:
    """Flat chips are told; noise that does not agree correlates little; a peak beyond the limit is told."""
    before, after = pair((0.0, 0.0))
    flat = np.full_like(before, 17.0)
    assert run(flat, after, [(30, 30)])[0, STATE] == FLAT
    noise = np.random.default_rng(1).normal(size=before.shape).astype(np.float32)
    assert run(before, noise, [(30, 30)])[0, NCC] < 0.4
    far = run(*pair((0.0, 17.0), seed=2), [(30, 20)])[0]
    assert int(far[STATE]) & EDGE or far[NCC] < 0.6


def test_a_point_depends_on_what_is_around_it_alone() -> None:
    """Other points, and where the images are cut, change no bit."""
    before, after = pair((1.2, -0.8))
    places = [(20, 24), (33, 41), (28, 30)]
    whole = run(before, after, places)
    for number, (y, x) in enumerate(places):
        y0, x0 = y - 18, x - 17
        cut = run(before[y0 : y0 + 66, x0 : x0 + 68].copy(), after[y0 : y0 + 66, x0 : x0 + 68].copy(), [(18, 17)])
        assert np.array_equal(cut[0], whole[number], equal_nan=True)


def test_halving_takes_the_mean_of_what_is_valid() -> None:
    """Two of four pixels are enough, one is not; odd rows are left."""
    image = np.array([[1, 3, np.nan, 4], [5, 7, 8, np.nan], [9, 9, 9, 9]], np.float32)
    out = np.empty((1, 2), np.float32)
    halve(image, out)
    assert out.tolist() == [[4.0, 6.0]]
    image[0, 3] = np.nan
    halve(image, out)
    assert np.isnan(out[0, 1])


def test_neighbours_are_counted_and_ranked() -> None:
    """Companions are counted with the point itself; deviations are in median absolute deviations."""
    rng = np.random.default_rng(0)
    field = rng.normal(0, 1, (9, 9)).astype(np.float32)
    good, out = np.ones((9, 9), np.uint8), np.empty((9, 9), np.uint8)
    good[0, 0] = 0
    companions((field, field), good, (2, 8, 0.8), out)
    around = field[2:7, 2:7]
    assert out[4, 4] == ((np.abs(around - field[4, 4]) <= 0.8).sum() >= 8)
    assert out[0, 0] == 0
    off = np.empty((9, 9), np.float32)
    outlying(field, good, (2, 1e-6), off)
    median = np.median(around)
    assert off[4, 4] == pytest.approx(abs(field[4, 4] - median) / np.median(np.abs(around - median)), rel=1e-5)
    assert np.isnan(off[0, 0])


def network(pixels: int, outliers: float, seed: int = 1) -> tuple[NDArray[np.int32], Floats, Floats, Floats]:
    """Pairs of 12 dates up to 7 apart, true motion, offsets with noise of 0.08 and outliers, weights with gaps."""
    rng = np.random.default_rng(seed)
    pairs = np.array([(i, j) for i in range(12) for j in range(i + 1, min(12, i + 8))], np.int32)
    truth = np.cumsum(rng.normal(0, 0.3, (2, 12, pixels)), 1)
    truth -= truth[:, :1]
    moved = truth[:, pairs[:, 1]] - truth[:, pairs[:, 0]] + rng.normal(0, 0.08, (2, len(pairs), pixels))
    moved = np.where(rng.random((len(pairs), pixels)) < outliers, rng.uniform(-6, 6, moved.shape), moved)
    weights = (rng.random((len(pairs), pixels)) > 0.1).astype(np.float32)
    moved[:, weights == 0] = np.nan
    return pairs, truth.astype(np.float32), moved.astype(np.float32), weights


def series(pairs: NDArray[np.int32], moved: Floats, weights: Floats, *, robust: bool = True) -> Floats:
    """Invert."""
    scales = (np.array([6, 3, 1.5, 0.8, 0.4, 0.25]), np.array([0.5, 0.4, 0.35]))
    none = np.empty(0), np.empty(0)
    out = np.empty((4 * 12 + 3, moved.shape[2]), np.float32)
    values = np.ascontiguousarray(moved[0]), np.ascontiguousarray(moved[1]), np.ascontiguousarray(weights)
    invert_offsets(eliminate(pairs, 12), pairs, values, scales if robust else none, out)
    return out


def test_series_without_doubt_is_least_squares() -> None:
    """Plain least squares per pixel is the reference, its covariance too."""
    pairs, _, moved, weights = network(5, 0.0)
    out = series(pairs, moved, weights, robust=False)
    for pixel in range(5):
        good = weights[:, pixel] > 0
        design = np.zeros((int(good.sum()), 12))
        design[np.arange(len(design)), pairs[good, 1]] = 1
        design[np.arange(len(design)), pairs[good, 0]] = -1
        design = design[:, 1:]
        for k in range(2):
            wanted = np.linalg.lstsq(design, moved[k, good, pixel].astype(float), rcond=None)[0]
            assert out[12 * k + 1 : 12 * k + 12, pixel] == pytest.approx(wanted, abs=5e-6)
        assert out[25:36, pixel] == pytest.approx(np.diag(np.linalg.inv(design.T @ design)), rel=1e-4)


def test_series_withstands_outliers() -> None:
    """With 15 % outliers of up to 6 pixels, what is not flagged is nearly as good as if they were known."""
    pairs, truth, moved, weights = network(1500, 0.15)
    out = series(pairs, moved, weights)
    flagged = (out[36:48] < 2).any(axis=0) | np.isnan(out[:24]).any(axis=0)
    off = np.stack([out[:12] - truth[0], out[12:24] - truth[1]])[:, 1:, ~flagged]
    assert np.isfinite(off).all()
    assert flagged.mean() < 0.08
    plain = series(pairs, moved, weights, robust=False)
    assert np.sqrt(np.mean(off**2)) < 0.075
    assert np.sqrt(np.mean((plain[1:12] - truth[0, 1:]) ** 2)) > 0.6


def test_series_of_a_pixel_does_not_depend_on_others() -> None:
    """Bits stay when pixels are shifted to other lanes and tiles."""
    pairs, _, moved, weights = network(300, 0.15)
    whole = series(pairs, moved, weights)
    part = series(pairs, moved[:, :, 37:290], weights[:, 37:290])
    assert np.array_equal(whole[:, 37:290], part, equal_nan=True)


def test_dates_that_no_pair_joins_are_nan() -> None:
    """A part of the network without a way to the first date has no motion; nor has an empty pixel."""
    pairs, _, moved, weights = network(3, 0.0)
    cut = (pairs[:, 0] < 6) & (pairs[:, 1] >= 6)
    weights[cut, 0] = 0
    weights[:, 1] = 0
    out = series(pairs, moved, weights)
    assert np.isfinite(out[:6, 0]).all()
    assert np.isnan(out[6:12, 0]).all()
    assert out[0, 1] == 0
    assert np.isnan(out[1:12, 1]).all()
    assert np.isnan(out[48, 1])
    assert np.isfinite(out[:24, 2]).all()


def test_textures_of_pixels_match_as_well() -> None:
    """Smoothed noise, moved by a spline, is found to a hundredth of a pixel."""
    rng = np.random.default_rng(9)
    before = ndimage.gaussian_filter(rng.normal(size=(96, 96)), 1.5)
    after = ndimage.shift(before, (0.3, -0.6), order=5, mode="reflect")
    found = run(before.astype(np.float32), after.astype(np.float32), [(32, 32)])[0]
    assert found[[DY, DX]] == pytest.approx([0.3, -0.6], abs=0.01)
