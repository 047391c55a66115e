"""Gap filling: against numpy's and scipy's interpolation, and a pixel's independence of all others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.interpolate import Akima1DInterpolator, CubicSpline

from terracube.processing.kernels import gapfill
from terracube.processing.kernels.gapfill import AKIMA, LINEAR, TILE

METHODS = pytest.mark.parametrize("method", [LINEAR, AKIMA])
TARGETS = np.arange(0.0, 361.0, 10.0)


def made(seed: int, dates: int, bands: int, pixels: int, missing: float = 0.5) -> tuple[NDArray[Any], NDArray[Any]]:
    """Random series in which dates are missing as a whole, and their days."""
    rng = np.random.default_rng(seed)
    days = np.sort(rng.choice(3650, dates, replace=False)) / 10
    series = rng.random((dates, bands, pixels), dtype=np.float32)
    series[np.broadcast_to(rng.random((dates, 1, pixels)) < missing, series.shape)] = np.nan
    return series, days


def filled(series: Any, days: Any, targets: Any, method: int = LINEAR) -> tuple[NDArray[Any], NDArray[Any]]:
    """What the kernel gives, in arrays that hold something else before."""
    values = np.ascontiguousarray(series, np.float32)
    at, wanted = np.asarray(days, np.float64), np.asarray(targets, np.float64)
    out = np.full((wanted.size, *values.shape[1:]), -7, np.float32)
    count = np.full(values.shape[2], 999, np.uint16)
    gapfill.fill(values, at, wanted, out, count, method)
    return out, count


def single(values: list[float], days: list[float], targets: list[float], method: int = LINEAR) -> list[float]:
    """The filled series of one pixel with one band."""
    out, _ = filled(np.reshape(values, (-1, 1, 1)), days, targets, method)
    return [float(value) for value in out.ravel()]


def test_linear_equals_interpolation_of_the_clear_dates() -> None:
    """Each band of each pixel is numpy's interpolation of its clear dates, ends repeated."""
    series, days = made(1, 25, 3, 300)
    out, count = filled(series, days, TARGETS)
    for pixel in range(0, 300, 7):
        clear = np.isfinite(series[:, 0, pixel])
        assert count[pixel] == clear.sum()
        for band in range(3):
            expected = np.interp(TARGETS, days[clear], series[clear, band, pixel])
            np.testing.assert_allclose(out[:, band, pixel], expected, atol=1e-6, rtol=0)


def test_akima_equals_scipy() -> None:
    """Five clear dates and more give Akima's curve, as scipy draws it."""
    series, days = made(2, 30, 2, 60)
    out, count = filled(series, days, TARGETS, AKIMA)
    for pixel in np.flatnonzero(count > 4):
        clear = np.isfinite(series[:, 0, pixel])
        at, values = days[clear], series[clear, :, pixel].astype(float)
        expected = Akima1DInterpolator(at, values)(np.clip(TARGETS, at[0], at[-1]))
        np.testing.assert_allclose(out[:, :, pixel], expected, atol=1e-6, rtol=0)
    assert (count > 4).sum() > 50


@pytest.mark.parametrize("clear", [3, 4])
def test_three_or_four_clear_dates_give_the_natural_cubic(clear: int) -> None:
    """Three and four clear dates give scipy's natural cubic spline, ends repeated."""
    rng = np.random.default_rng(clear)
    days, values = np.array([10.0, 31.5, 90.0, 200.0])[:clear], rng.random((clear, 2, 5)).astype(np.float32)
    out, _ = filled(values, days, TARGETS, AKIMA)
    expected = CubicSpline(days, values.astype(float), bc_type="natural")(np.clip(TARGETS, days[0], days[-1]))
    np.testing.assert_allclose(out, expected, atol=1e-6, rtol=0)


@METHODS
def test_few_clear_dates(method: int) -> None:
    """Two clear dates are joined by a line, one is repeated, none gives NaN; beyond the ends values are repeated."""
    nan = float("nan")
    assert single([nan, 0.0, 1.0, nan], [0, 10, 20, 30], [0, 10, 15, 20, 30], method) == [0, 0, 0.5, 1, 1]
    assert single([nan, 0.25], [0, 10], [0, 10, 20], method) == [0.25] * 3
    assert np.isnan(single([nan, nan], [0, 10], [0, 10, 20], method)).all()


@METHODS
def test_clear_dates_are_kept(method: int) -> None:
    """At a clear date the result is the observation itself."""
    series, days = made(3, 12, 2, 40, missing=0.3)
    out, _ = filled(series, days, days, method)
    seen = np.isfinite(series)
    np.testing.assert_array_equal(out[seen], series[seen])
    assert np.isfinite(out[:, np.isfinite(series).any(axis=0)]).all()


@METHODS
@pytest.mark.parametrize("absent", [np.nan, np.inf, -np.inf, 1e15, -3e38])
def test_one_band_missing_makes_the_date_missing(method: int, absent: float) -> None:
    """A date with a band that is missing, infinite or absurd counts for no band."""
    series = np.array([[[0.0], [0.0]], [[9.0], [absent]], [[1.0], [2.0]]])
    out, count = filled(series, [0, 1, 4], [1, 2], method)
    assert count.tolist() == [2]
    np.testing.assert_array_equal(out[..., 0], [[0.25, 0.5], [0.5, 1.0]])


@METHODS
def test_no_dates_no_targets_no_pixels(method: int) -> None:
    """Nothing in, nothing out: without dates all is missing."""
    out, count = filled(np.empty((0, 2, 3)), [], [0, 1], method)
    assert np.isnan(out).all()
    assert count.tolist() == [0, 0, 0]
    out, count = filled(np.zeros((3, 2, 4)), [0, 1, 2], [], method)
    assert (out.shape, count.tolist()) == ((0, 2, 4), [3] * 4)
    out, count = filled(np.zeros((3, 2, 0)), [0, 1, 2], [1], method)
    assert (out.shape, count.size) == ((1, 2, 0), 0)


@METHODS
def test_a_pixel_does_not_depend_on_its_neighbours(method: int) -> None:
    """Any part of the pixels gives the same bits as all of them, over the borders of tiles too."""
    series, days = made(4, 14, 2, TILE + 60)
    whole, counts = filled(series, days, TARGETS, method)
    for start, stop in [(0, 1), (TILE - 1, TILE + 1), (5, 22), (37, TILE + 60), (TILE, TILE + 17)]:
        out, count = filled(series[..., start:stop], days, TARGETS, method)
        np.testing.assert_array_equal(out.view(np.int32), whole[..., start:stop].view(np.int32))
        np.testing.assert_array_equal(count, counts[start:stop])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), dates=st.integers(1, 9), method=st.sampled_from([LINEAR, AKIMA]))
def test_missing_dates_change_nothing(seed: int, dates: int, method: int) -> None:
    """Dates that are missing in a pixel could as well not be there: the same bits."""
    series, days = made(seed, dates, 2, 3)
    targets = np.linspace(-5, 400, 23)
    out, _ = filled(series, days, targets, method)
    for pixel in range(3):
        clear = np.isfinite(series[:, 0, pixel])
        alone, _ = filled(series[clear][..., [pixel]], days[clear], targets, method)
        np.testing.assert_array_equal(out[..., pixel].view(np.int32), alone[..., 0].view(np.int32))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), dates=st.integers(2, 12), method=st.sampled_from([LINEAR, AKIMA]))
def test_straight_lines_stay_straight(seed: int, dates: int, method: int) -> None:
    """Whatever is missing, a line through all dates is found again between the first and last clear date."""
    series, days = made(seed, dates, 2, 4)
    line = np.where(np.isfinite(series), (0.2 + 0.001 * days)[:, None, None], np.nan)
    out, count = filled(line, days, TARGETS, method)
    for pixel in np.flatnonzero(count > 0):
        at = days[np.isfinite(series[:, 0, pixel])]
        expected = 0.2 + 0.001 * np.clip(TARGETS, at[0], at[-1])
        np.testing.assert_allclose(out[:, 0, pixel], expected, atol=1e-6, rtol=0)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), dates=st.integers(1, 12))
def test_linear_filling_stays_within_what_was_seen(seed: int, dates: int) -> None:
    """Linear filling gives nothing above the largest or below the smallest clear value, but for rounding."""
    series, days = made(seed, dates, 1, 5, missing=0.3)
    out, count = filled(series, days, TARGETS)
    seen = np.flatnonzero(count)
    tiny = np.float32(2e-7)
    assert (out[:, 0, seen] <= np.nanmax(series[:, 0, seen], axis=0) + tiny).all()
    assert (out[:, 0, seen] >= np.nanmin(series[:, 0, seen], axis=0) - tiny).all()


def test_flat_series_with_a_step() -> None:
    """Akima's curve runs straight through flat parts beside a step, where both of its weights vanish."""
    values = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    days = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert single(values, days, [0.5, 1.5, 3.5, 4.5], AKIMA) == [0, 0, 1, 1]
    assert single(values, days, [2.5], AKIMA) == pytest.approx([0.5])


def test_days_far_from_zero_and_close_together() -> None:
    """Days are compared in double precision: seconds matter even decades after the epoch."""
    second = 1 / 86400
    start = 20_000.0
    assert single([0, 1], [start, start + second], [start + second / 4]) == pytest.approx([0.25], abs=1e-4)
