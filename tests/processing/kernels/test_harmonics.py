"""Harmonics: what a series was made of is recovered; numpy's least squares are the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from terracube.processing.kernels import harmonics


def design(days: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    """The terms of the model, (dates, parameters)."""
    angles = 2 * np.pi * days / 365.25
    terms = [np.ones_like(days)]
    for k in range(1, order + 1):
        terms += [np.cos(k * angles), np.sin(k * angles)]
    return np.stack(terms, axis=1)


def run(values: NDArray[np.float32], days: NDArray[np.float64], order: int) -> NDArray[np.float32]:
    """Fit (dates, pixels)."""
    series = np.ascontiguousarray(values[:, None])
    out = np.empty((2 * order + 2, values.shape[1]), np.float32)
    harmonics.fit(series, 0, harmonics.clear_dates(series), days, order, out)
    return out


def dates(count: int, seed: int = 0) -> NDArray[np.float64]:
    """Irregular dates over two years."""
    return np.sort(np.random.default_rng(seed).choice(730, count, replace=False)).astype(float)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_recovers_what_the_series_was_made_of(order: int) -> None:
    """Coefficients come back from series with half the dates missing, and nothing is left over."""
    rng = np.random.default_rng(order)
    days, truth = dates(60, order), rng.normal(0, 1, (2 * order + 1, 300))
    values = (design(days, order) @ truth).astype(np.float32)
    values[rng.random(values.shape) < 0.5] = np.nan
    found = run(values, days, order)
    np.testing.assert_allclose(found[:-1], truth, atol=3e-6)
    np.testing.assert_allclose(found[-1], 0, atol=1e-6)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_equals_least_squares(order: int) -> None:
    """Noisy series give numpy's least squares and the spread of what they leave."""
    rng = np.random.default_rng(order)
    days = dates(45, 7)
    values = rng.normal(0.4, 0.2, (45, 60)).astype(np.float32)
    values[rng.random(values.shape) < 0.4] = np.nan
    found, terms = run(values, days, order), design(days, order)
    for pixel in range(60):
        there = np.isfinite(values[:, pixel])
        best, *_ = np.linalg.lstsq(terms[there], values[there, pixel].astype(float), rcond=None)
        left = values[there, pixel] - terms[there] @ best
        rmse = np.sqrt((left**2).sum() / (there.sum() - terms.shape[1]))
        np.testing.assert_allclose(found[:, pixel], [*best, rmse], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_too_few_dates_are_nan(order: int) -> None:
    """As many dates as parameters are too few; one more is enough; none is NaN too."""
    size = 2 * order + 1
    days = np.arange(size + 1) * 365.25 / (size + 1)
    values = np.ones((size + 1, 3), np.float32)
    values[0, 0] = np.nan
    values[:, 1] = np.nan
    found = run(values, days, order)
    assert np.isnan(found[:, :2]).all()
    np.testing.assert_allclose(found[:, 2], [1] + [0] * size, atol=1e-6)


def test_dates_that_cannot_tell_terms_apart_are_nan() -> None:
    """Dates at the same time of every year, or within a day, decide nothing."""
    values = np.ones((8, 1), np.float32)
    assert np.isnan(run(values, np.arange(8) * 365.25, 1)).all()
    assert np.isnan(run(values, np.arange(8) / 10, 3)).all()


def test_a_date_counts_when_all_variables_are_there() -> None:
    """A date on which another band is missing is left out."""
    days = dates(12)
    series = np.ones((12, 2, 1), np.float32)
    series[3, 0], series[3, 1] = 99, np.nan
    out = np.empty((4, 1), np.float32)
    harmonics.fit(series, 0, harmonics.clear_dates(series), days, 1, out)
    np.testing.assert_allclose(out.ravel(), [1, 0, 0, 0], atol=1e-6)


def test_clear_dates_know_what_is_missing() -> None:
    """NaN, infinity and absurd numbers are missing."""
    series = np.float32([1, np.nan, np.inf, -np.inf, 1e15, -1e14]).reshape(6, 1, 1)
    assert harmonics.clear_dates(series).ravel().tolist() == [1, 0, 0, 0, 0, 1]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(1, 300), st.integers(0, 299), st.integers(0, 9))
def test_a_pixel_never_depends_on_the_others(order: int, pixels: int, first: int, seed: int) -> None:
    """Any part of the pixels alone gives the same bits."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0.4, 0.2, (20, pixels)).astype(np.float32)
    values[rng.random(values.shape) < 0.5] = np.nan
    days, first = dates(20, seed), first % pixels
    whole, part = run(values, days, order), run(values[:, first:], days, order)
    np.testing.assert_array_equal(whole[:, first:].view(np.uint32), part.view(np.uint32))
