"""Phenology: the dates that a curve was drawn with come back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from terracube.processing.kernels import phenology
from terracube.processing.kernels.phenology import AMPLITUDE, BASE, END, INTEGRAL, LENGTH, PEAK, START

DAYS = np.arange(0.0, 361, 10)


def run(values: NDArray[np.floating], days: NDArray[np.float64] = DAYS, share: float = 0.5) -> NDArray[np.float32]:
    """Measure (dates, pixels)."""
    out = np.empty((phenology.METRICS, values.shape[1]), np.float32)
    phenology.seasons(np.ascontiguousarray(values[:, None], np.float32), 0, days, share, out)
    return out


def double_logistic(days: NDArray[np.float64], rise: float, fall: float, pace: float = 12) -> NDArray[np.float64]:
    """A season from 0.2 to 0.8: half up on the day ``rise``, half down on the day ``fall``."""
    up = 1 / (1 + np.exp((rise - days) / pace))
    down = 1 / (1 + np.exp((days - fall) / pace))
    return 0.2 + 0.6 * (up + down - 1)


def test_double_logistic_gives_its_dates() -> None:
    """Start, end and length of seasons with known dates come back within a fifth of the step, the peak within half."""
    rises, falls = np.meshgrid(np.arange(90.0, 140, 7), np.arange(220.0, 280, 9))
    rises, falls = rises.ravel(), falls.ravel()
    found = run(double_logistic(DAYS[:, None], rises, falls, 8))
    np.testing.assert_allclose(found[START], rises, atol=2)
    np.testing.assert_allclose(found[END], falls, atol=2)
    np.testing.assert_allclose(found[LENGTH], falls - rises, atol=3)
    np.testing.assert_allclose(found[PEAK], (rises + falls) / 2, atol=5)
    np.testing.assert_allclose(found[BASE], 0.2, atol=0.01)
    np.testing.assert_allclose(found[AMPLITUDE], 0.6, atol=0.02)


def test_integral_is_the_area_between_curve_and_base() -> None:
    """The integral equals that of a fine sampling of the same curve between its start and end."""
    fine = np.arange(0.0, 361, 0.01)
    found = run(double_logistic(DAYS, 120, 250)[:, None])[:, 0]
    curve = double_logistic(fine, 120, 250)
    inside = (fine >= found[START]) & (fine <= found[END])
    expected = np.trapezoid(curve[inside] - found[BASE], fine[inside])
    assert found[INTEGRAL] == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.8])
def test_triangle_is_exact(share: float) -> None:
    """On straight lines all numbers are exact, whatever the threshold and the level of each side."""
    days = np.array([0.0, 50, 100, 200, 300])
    found = run(np.array([[0.0], [0], [2], [1], [1]]), days, share)[:, 0]
    start, end = 50 + 50 * share, 100 + 100 * (1 - share)
    assert found[BASE] == 0.5
    assert found[AMPLITUDE] == 1.5
    assert found[START] == pytest.approx(start)
    assert found[END] == pytest.approx(end)
    low, high = 2 * share - 0.5, 1 + share - 0.5
    area = (100 - start) * (low + 1.5) / 2 + (end - 100) * (high + 1.5) / 2
    assert found[INTEGRAL] == pytest.approx(area, rel=1e-6)


def test_peak_lies_between_dates() -> None:
    """The top of a parabola is found between the dates, also when they are not even."""
    days = np.array([0.0, 30, 45, 80, 90])
    assert run((5 - (days - 52.0) ** 2 / 1000)[:, None], days)[PEAK].item() == pytest.approx(52.0)
    assert run(np.array([[0.0], [1], [1], [0]]), np.arange(4) * 10.0)[PEAK].item() == pytest.approx(15)


def test_other_seasons_do_not_count() -> None:
    """Only the season around the largest value is measured."""
    values = double_logistic(DAYS, 60, 120, 6) + 0.7 * (double_logistic(DAYS, 220, 280, 6) - 0.2)
    found = run(values[:, None])[:, 0]
    assert found[START] == pytest.approx(60, abs=2)
    assert found[END] == pytest.approx(120, abs=2)


def test_a_season_cut_off_starts_and_ends_with_the_series() -> None:
    """Where the series does not fall below the threshold the season reaches to its end."""
    found = run(np.array([[1.9], [2.0], [0.0]]), np.array([0.0, 10, 20]))[:, 0]
    assert found[START] == pytest.approx(5)
    only_up = run(np.array([[0.0], [1.0], [2.0]]), np.array([0.0, 10, 20]))[:, 0]
    assert only_up[[START, PEAK, END, BASE, AMPLITUDE]].tolist() == [10, 20, 20, 0, 2]
    only_down = run(np.array([[2.0], [1.0], [0.0]]), np.array([0.0, 10, 20]))[:, 0]
    assert only_down[[START, PEAK, END, BASE, AMPLITUDE]].tolist() == [0, 0, 10, 0, 2]


def test_no_season() -> None:
    """Equal values have a base and no season; nothing seen is NaN; one value is level."""
    values = np.full((4, 3), 0.3, np.float32)
    values[:, 1] = np.nan
    values[1:, 2] = np.nan
    found = run(values, np.arange(4.0))
    assert np.isnan(found[[START, PEAK, END, LENGTH]]).all()
    assert found[BASE, [0, 2]].tolist() == [np.float32(0.3)] * 2
    assert found[[AMPLITUDE, INTEGRAL]][:, [0, 2]].tolist() == [[0, 0], [0, 0]]
    assert np.isnan(found[:, 1]).all()


def test_missing_dates_are_left_out() -> None:
    """A series with gaps is the series of the dates that are there."""
    values = double_logistic(DAYS, 100, 240)
    gaps = values.copy()
    gaps[::3] = np.nan
    there = np.isfinite(gaps)
    np.testing.assert_array_equal(run(gaps[:, None]), run(values[there][:, None], DAYS[there]))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 30), st.integers(1, 200), st.integers(0, 199), st.integers(0, 9))
def test_a_pixel_never_depends_on_the_others(dates: int, pixels: int, first: int, seed: int) -> None:
    """Any part of the pixels alone gives the same bits, and dates lie in order within the series."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0.4, 0.2, (dates, pixels)).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    days, first = np.arange(dates) * 10.0, first % pixels
    whole, part = run(values, days), run(values[:, first:], days)
    np.testing.assert_array_equal(whole[:, first:].view(np.uint32), part.view(np.uint32))
    season = whole[:, np.isfinite(whole[START])]
    assert (season[START] <= season[PEAK] + 1e-3).all()
    assert (season[PEAK] <= season[END] + 1e-3).all()
    assert (season[AMPLITUDE] > 0).all()
