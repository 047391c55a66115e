"""Smoothing: against dense linear algebra and scipy, and a pixel's independence of all others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import savgol_filter

from terracube.processing.kernels import smooth
from terracube.processing.kernels.smooth import TILE


def made(seed: int, dates: int, bands: int, pixels: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Random series with missing dates, weights and irregular times."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.2, 3, dates))
    series = rng.random((dates, bands, pixels), dtype=np.float32)
    series[np.broadcast_to(rng.random((dates, 1, pixels)) < 0.3, series.shape)] = np.nan
    return series, rng.uniform(0.1, 2, (dates, pixels)).astype(np.float32), times


def smoothed(series: Any, weights: Any, times: Any, lam: float) -> NDArray[Any]:
    """What the kernel gives."""
    values = np.ascontiguousarray(series, np.float32)
    out = np.full_like(values, -7)
    smooth.whittaker(values, np.ascontiguousarray(weights, np.float32), np.asarray(times, np.float64), lam, out)
    return out


def one(values: list[float], times: list[float], lam: float, weights: list[float] | None = None) -> NDArray[Any]:
    """The smoothed series of one pixel with one band."""
    given_weights = np.ones(len(values)) if weights is None else np.asarray(weights)
    return smoothed(np.reshape(values, (-1, 1, 1)), given_weights[:, None], times, lam)[:, 0, 0]


def dense(values: NDArray[Any], weights: NDArray[Any], times: NDArray[Any], lam: float) -> NDArray[Any]:
    """Solve the same problem by least squares on full matrices, its differences written out."""
    rows = []
    for j in range(1, len(times) - 1):
        row = np.zeros(len(times))
        before, after, span = times[j] - times[j - 1], times[j + 1] - times[j], times[j + 1] - times[j - 1]
        row[j + 1] += 2 / (after * span)
        row[j] -= 2 / (after * span) + 2 / (before * span)
        row[j - 1] += 2 / (before * span)
        rows.append(row * lam**0.5)
    used = np.isfinite(values)
    root = np.sqrt(np.where(used, weights, 0))
    matrix = np.vstack([np.diag(root), *rows])
    right = np.concatenate([root * np.where(used, values, 0), np.zeros(len(rows))])
    found: NDArray[Any] = np.linalg.lstsq(matrix, right, rcond=None)[0]
    return found


@pytest.mark.parametrize("lam", [0.01, 1.0, 1000.0])
def test_whittaker_solves_the_least_squares_problem(lam: float) -> None:
    """Irregular dates, weights and gaps: the same as full matrices give."""
    series, weights, times = made(1, 24, 2, 20)
    out = smoothed(series, weights, times, lam)
    for pixel in range(20):
        for band in range(2):
            expected = dense(series[:, band, pixel].astype(float), weights[:, pixel], times, lam)
            np.testing.assert_allclose(out[:, band, pixel], expected, atol=2e-6, rtol=2e-6)


def test_whittaker_on_regular_dates_is_the_classic_one() -> None:
    """One unit apart, it is (W + lambda D'D) z = W y with D of 1, -2, 1; h units apart it needs lambda h^4."""
    values = np.random.default_rng(2).random(15)
    d = np.diff(np.eye(15), n=2, axis=0)
    classic = np.linalg.solve(np.eye(15) + 7 * d.T @ d, values)
    np.testing.assert_allclose(one(list(values), list(range(15)), 7), classic, atol=1e-6)
    tens = [10.0 * i for i in range(15)]
    np.testing.assert_allclose(one(list(values), tens, 7e4), classic, atol=1e-6)


def test_the_penalty_of_four_regular_dates() -> None:
    """The diagonals are those that everybody knows: 1 5 5 1, -2 -4 -2, 1 1."""
    found = smooth.penalty(np.arange(4.0), 2.0) / 2
    np.testing.assert_allclose(found, [[1, 5, 5, 1], [-2, -4, -2, 0], [1, 1, 0, 0]], atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), lam=st.sampled_from([1e-3, 1.0, 1e6]))
def test_straight_lines_stay_straight(seed: int, lam: float) -> None:
    """A line has no second difference: it comes back, gaps and ends filled along it."""
    series, weights, times = made(seed, 12, 1, 4)
    line = (0.3 - 0.02 * times)[:, None, None]
    out = smoothed(np.where(np.isfinite(series), line, np.nan), weights, times, lam)
    enough = np.isfinite(series[:, 0]).sum(axis=0) >= 2
    np.testing.assert_allclose(out[:, 0, enough], np.broadcast_to(line[:, 0], (12, 4))[:, enough], atol=1e-5, rtol=0)


def test_a_large_lambda_gives_the_line_of_regression_and_a_small_one_the_values() -> None:
    """The two ends of what lambda does."""
    _, weights, times = made(5, 20, 1, 1)
    values = np.random.default_rng(5).random(20)
    root = np.sqrt(weights[:, 0].astype(float))
    line = np.polyval(np.polyfit(times, values, 1, w=root), times)
    np.testing.assert_allclose(one(list(values), list(times), 1e8, list(weights[:, 0])), line, atol=1e-5)
    np.testing.assert_allclose(one(list(values), list(times), 1e-9), values, atol=1e-6)


def test_few_dates_that_count() -> None:
    """None gives NaN, one its value everywhere, two a line through both; of no dates at all nothing."""
    nan = float("nan")
    assert np.isnan(one([nan, nan, nan], [0, 1, 2], 1)).all()
    assert one([nan, 0.5, nan], [0, 1, 2], 1).tolist() == [0.5] * 3
    assert one([0.25, 1, 2], [0, 1, 2], 1, [1, 0, nan]).tolist() == [0.25] * 3
    np.testing.assert_allclose(one([nan, 1, nan, 3], [0, 1, 2, 3], 1), [0, 1, 2, 3], atol=1e-6)
    np.testing.assert_allclose(one([1, 3], [0, 1], 5), [1, 3], atol=1e-6)
    assert one([4.0], [0], 5).tolist() == [4]
    assert smoothed(np.empty((0, 2, 3)), np.empty((0, 3)), [], 1).shape == (0, 2, 3)
    assert smoothed(np.empty((4, 2, 0)), np.empty((4, 0)), [0, 1, 2, 3], 1).shape == (4, 2, 0)


@pytest.mark.parametrize("absent", [np.nan, np.inf, -1e30])
def test_a_missing_value_has_no_weight(absent: float) -> None:
    """What is missing or absurd counts as little as weight 0, in all bands of the date."""
    series, weights, times = made(6, 10, 2, 1)
    series = np.nan_to_num(series, nan=0.5)
    without = weights.copy()
    without[4] = 0
    expected = smoothed(series, without, times, 3.0)
    series[4, 1] = absent
    np.testing.assert_array_equal(smoothed(series, weights, times, 3.0), expected)


def test_a_pixel_does_not_depend_on_its_neighbours() -> None:
    """Any part of the pixels gives the same bits as all of them, over the borders of tiles too."""
    series, weights, times = made(7, 12, 2, TILE + 40)
    whole = smoothed(series, weights, times, 2.0)
    for start, stop in [(0, 1), (TILE - 1, TILE + 1), (3, 20), (37, TILE + 40)]:
        part = smoothed(series[..., start:stop], weights[:, start:stop], times, 2.0)
        np.testing.assert_array_equal(part.view(np.int32), whole[..., start:stop].view(np.int32))


def waves(noise: float, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Forty seasonal curves of 46 dates, with noise and without."""
    rng = np.random.default_rng(seed)
    time = np.arange(46) / 46
    shift = rng.uniform(0, 1, 40)
    truth = 0.5 + 0.3 * np.sin(2 * np.pi * (time[:, None] + shift))[:, None]
    return (truth + rng.normal(0, noise, truth.shape)).astype(np.float32), truth


@pytest.mark.parametrize("noise", [0.02, 0.08])
def test_the_v_curve_comes_near_the_best_lambda(noise: float) -> None:
    """The lambda it chooses leaves at most 1.3 times the error of the best one, and far less than no smoothing."""
    series, truth = waves(noise)
    weights, times, exponents = np.ones((46, 40), np.float32), np.arange(46.0), np.arange(-2, 5.1, 0.5)
    chosen = smooth.v_curve(series, weights, times, exponents)

    def error(lam: float) -> float:
        return float(np.sqrt(np.mean((smoothed(series, weights, times, lam) - truth) ** 2)))

    best = min(error(10.0**exponent) for exponent in exponents)
    assert error(chosen) <= 1.3 * best
    assert error(chosen) < 0.5 * noise


def test_the_v_curve_of_what_needs_no_smoothing() -> None:
    """Where nothing was seen there is no lambda."""
    missing = np.full((10, 1, 2), np.nan, np.float32)
    assert np.isnan(smooth.v_curve(missing, np.ones((10, 2), np.float32), np.arange(10.0), np.arange(-1, 3.0)))


@pytest.mark.parametrize(("window", "order"), [(1, 0), (3, 1), (5, 2), (7, 3), (9, 8), (11, 4)])
def test_savgol_equals_scipy(window: int, order: int) -> None:
    """The moving polynomials of scipy, the ends fitted."""
    series = np.random.default_rng(window).random((12, 3, 7), dtype=np.float32)
    out = np.empty_like(series)
    smooth.savgol(series, window, order, out)
    expected = savgol_filter(series.astype(float), window, order, axis=0, mode="interp")
    np.testing.assert_allclose(out, expected, atol=1e-6)


def test_savgol_keeps_polynomials_and_what_is_missing() -> None:
    """A polynomial of its degree comes back; a pixel without values stays without, its neighbours keep theirs."""
    time = np.arange(9.0)
    curve = 1 + 0.5 * time - 0.1 * time**2
    series = np.stack([curve, np.full(9, np.nan), curve], axis=1)[:, None].astype(np.float32)
    out = np.empty_like(series)
    smooth.savgol(series, 5, 2, out)
    np.testing.assert_allclose(out[:, 0, 0], curve, atol=1e-6)
    assert np.isnan(out[:, 0, 1]).all()
    np.testing.assert_array_equal(out[..., 0], out[..., 2])


def test_savgol_does_not_depend_on_the_neighbours() -> None:
    """Any part of the pixels gives the same bits as all of them."""
    series = np.random.default_rng(3).random((8, 2, 5000), dtype=np.float32)
    whole, part = np.empty_like(series), np.empty((8, 2, 1100), np.float32)
    smooth.savgol(series, 5, 2, whole)
    smooth.savgol(np.ascontiguousarray(series[..., 3300:4400]), 5, 2, part)
    np.testing.assert_array_equal(part.view(np.int32), whole[..., 3300:4400].view(np.int32))
