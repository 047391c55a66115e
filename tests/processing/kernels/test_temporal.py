"""Statistics over dates: numpy's own functions are the reference."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from terracube.processing.kernels import temporal

CODES = np.array([*range(temporal.QUANTILE), *[temporal.QUANTILE] * 4])
FRACTIONS = np.array([0.0] * temporal.QUANTILE + [0.0, 0.1, 0.5, 1.0])


def run(values: NDArray[np.float32], days: NDArray[np.float64] | None = None) -> NDArray[np.float32]:
    """All statistics of (dates, pixels): (11, pixels)."""
    out = np.empty((CODES.size, values.shape[1]), np.float32)
    at = np.arange(float(len(values))) if days is None else days
    temporal.statistics(np.ascontiguousarray(values[:, None]), 0, at, CODES, FRACTIONS, out)
    return out


def simulated(dates: int, pixels: int, seed: int = 0, missing: float = 0.3) -> NDArray[np.float32]:
    """Random series with gaps."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0.3, 0.2, (dates, pixels)).astype(np.float32)
    values[rng.random(values.shape) < missing] = np.nan
    return values


def reference(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """The same by numpy in float64, but for the slope."""
    wide = values.astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = np.nanmin(wide, 0), np.nanmax(wide, 0)
        quantiles = [np.nanquantile(wide, fraction, axis=0) for fraction in FRACTIONS[temporal.QUANTILE :]]
        total = np.where(np.isnan(wide).all(0), np.nan, np.nansum(wide, 0))
        return np.stack([low, high, np.nanmean(wide, 0), np.nanstd(wide, 0), high - low, total, *quantiles])


@pytest.mark.parametrize("dates", [1, 2, 3, 5, 7, 8, 16, 17, 37, 64, 100])
def test_equals_numpy(dates: int) -> None:
    """All statistics but the slope equal numpy's, whatever the number of dates; where nothing is seen they are NaN."""
    values = simulated(dates, 333, dates)
    values[:, 5] = np.nan
    found = np.delete(run(values), temporal.SLOPE, 0)
    np.testing.assert_allclose(found, reference(values), rtol=2e-6, atol=2e-7)
    assert np.isnan(found[:, 5]).all()


def test_sorts_every_pattern_of_zeros_and_ones() -> None:
    """The order of dates comes out for every pattern of two values, hence for all values (0-1 principle)."""
    for dates in range(1, 13):
        patterns = ((np.arange(2**dates)[None] >> np.arange(dates)[:, None]) & 1).astype(np.float32)
        fractions = np.linspace(0, 1, dates) if dates > 1 else np.zeros(1)
        out = np.empty((dates, patterns.shape[1]), np.float32)
        codes = np.full(dates, temporal.QUANTILE)
        temporal.statistics(np.ascontiguousarray(patterns[:, None]), 0, np.arange(float(dates)), codes, fractions, out)
        np.testing.assert_allclose(out, np.sort(patterns, 0), atol=1e-6)


def test_slope_is_that_of_the_least_squares_line() -> None:
    """The slope is numpy's through the dates that are there; a line is recovered; one date has no slope."""
    rng = np.random.default_rng(3)
    days = np.cumsum(rng.uniform(1, 30, 20))
    values = simulated(20, 50, 1)
    values[:, 0] = 0.1 + 0.002 * days
    values[1:, 1] = np.nan
    values[0, 1] = 3
    found = run(values, days)[temporal.SLOPE]
    for pixel in range(50):
        there = np.isfinite(values[:, pixel])
        if there.sum() > 1:
            expected = np.polyfit(days[there], values[there, pixel].astype(float), 1)[0]
            assert found[pixel] == pytest.approx(expected, rel=1e-5, abs=1e-9)
    assert found[0] == pytest.approx(0.002, rel=1e-6)
    assert np.isnan(found[1])


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 300), st.integers(0, 299), st.integers(0, 9))
def test_a_pixel_never_depends_on_the_others(dates: int, pixels: int, first: int, seed: int) -> None:
    """Any part of the pixels alone gives the same bits."""
    values = simulated(dates, pixels, seed)
    first %= pixels
    whole, part = run(values), run(values[:, first:])
    np.testing.assert_array_equal(whole[:, first:].view(np.uint32), part.view(np.uint32))


def test_takes_the_variable_that_is_asked_for() -> None:
    """A variable among others gives what it gives alone."""
    values = simulated(9, 40)
    stacked = np.ascontiguousarray(np.stack([values * 2, values, values - 1], axis=1))
    out = np.empty((1, 40), np.float32)
    temporal.statistics(stacked, 1, np.arange(9.0), np.array([temporal.MEAN]), np.zeros(1), out)
    np.testing.assert_array_equal(out[0], run(values)[temporal.MEAN])


def test_large_values_keep_their_spread() -> None:
    """A small spread about a large mean is not lost."""
    values = np.float32([[8388608 - 2], [8388608], [8388608 + 2]])
    assert run(values)[temporal.STD].item() == pytest.approx((8 / 3) ** 0.5, rel=1e-6)


def test_no_pixels() -> None:
    """No pixels give no results."""
    assert run(np.empty((3, 0), np.float32)).shape == (CODES.size, 0)
