"""Mending single pixels: recovered cycles, series against least squares, rivals against brute force; votes."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.processing.kernels.repair import (
    CYCLE,
    NO_LOOP,
    TIED,
    judge_pixels,
    mend_pixels,
    round_pixels,
    screen_pixels,
    solve_pixels,
    web_of,
)
from terracube.processing.kernels.vote import draw_near

DATES = 9
PAIRS = np.array([(i, j) for i in range(DATES) for j in range(i + 1, min(DATES, i + 4))], "int32")
WEB = web_of(PAIRS, DATES)


def stack(pixels: int, *, wrong: float = 0.0, missing: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Phases (pair, pixel) with noise of 0.2 rad, and the cycles that mend them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 3, (DATES, pixels))
    y = x[PAIRS[:, 1]] - x[PAIRS[:, 0]] + rng.normal(0, 0.2, (len(PAIRS), pixels))
    cycles = (rng.random(y.shape) < wrong) * rng.choice([-2, -1, 1, 2], y.shape)
    y = (y - 2 * np.pi * cycles).astype("float32")
    y[rng.random(y.shape) < missing] = np.nan
    return y, cycles


def mended(y: np.ndarray) -> np.ndarray:
    """Cycles after up to four rounds."""
    cycles = np.zeros(y.shape, "int8")
    todo = screen_pixels(y, WEB, cycles, 1.0)
    for _ in range(4):
        todo = mend_pixels(y, WEB, cycles, 0.3, todo)
    return cycles


def test_one_wrong_pair_is_found_wherever_it_is() -> None:
    """Each pair in turn, by one and two cycles: all the others contradict it."""
    y, _ = stack(len(PAIRS) * 2)
    expected = np.concatenate([np.eye(len(PAIRS)), -2 * np.eye(len(PAIRS))], axis=1).astype("int8")
    found = mended(y - expected * CYCLE)
    np.testing.assert_array_equal(found, expected)


def test_few_wrong_pairs_are_mended_and_none_of_the_right_ones() -> None:
    """At five wrong pairs of a hundred nearly all pixels are exact; clean ones are not touched."""
    y, cycles = stack(1500, wrong=0.05)
    exact = (mended(y) == cycles).all(axis=0)
    assert exact.mean() > 0.95
    assert not mended(stack(400)[0]).any()


def test_missing_pairs_change_nothing_else() -> None:
    """A tenth of the pairs missing: they get no cycles, and the others are mended."""
    y, cycles = stack(800, wrong=0.03, missing=0.1)
    found = mended(y)
    assert not found[np.isnan(y)].any()
    assert (np.where(np.isnan(y), 0, cycles) == found).all(axis=0).mean() > 0.9


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 290), st.integers(1, 40))
def test_a_pixel_is_mended_alike_in_any_company(start: int, size: int) -> None:
    """Cycles and series have the same bits, whichever pixels lie beside."""
    y, _ = stack(330, wrong=0.15, missing=0.1)
    whole, part = mended(y), np.ascontiguousarray(y[:, start : start + size])
    np.testing.assert_array_equal(mended(part), whole[:, start : start + size])
    x, _ = solve_pixels(y, WEB, whole)
    some, _ = solve_pixels(part, WEB, np.ascontiguousarray(whole[:, start : start + size]))
    np.testing.assert_array_equal(some.view("u4"), x[:, start : start + size].view("u4"))


def test_series_are_those_of_least_squares() -> None:
    """Against float64 least squares of each pixel; NaN where no pairs lead to the first date."""
    y, _ = stack(60, missing=0.3, seed=3)
    cycles = np.ones(y.shape, "int8")
    found, misfit = solve_pixels(y, WEB, cycles)
    gone = 0
    for pixel in range(y.shape[1]):
        there = np.isfinite(y[:, pixel])
        design = np.zeros((there.sum(), DATES))
        rows = np.arange(there.sum())
        design[rows, PAIRS[there, 1]], design[rows, PAIRS[there, 0]] = 1, -1
        x = np.linalg.lstsq(design, y[there, pixel] + 2 * np.pi, rcond=None)[0]
        seen = np.isfinite(found[:, pixel])
        gone += (~seen).sum()
        left = y[there, pixel] + 2 * np.pi - design @ x
        np.testing.assert_allclose(misfit[pixel], (left**2).sum(), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found[seen, pixel], (x - x[0])[seen], atol=5e-5)
    assert found[0].tolist() == [0.0] * 60
    assert gone > 0


def test_cycles_follow_from_series_with_a_margin() -> None:
    """Beyond half a cycle and the margin, a pair is rounded to whole ones; without a series it keeps what it has."""
    y = np.array([[3.3, 3.6, -3.6, 9.0, 20.0, 5.0, np.nan]], "float32")
    x = np.zeros((2, 7), "float32")
    x[1, 5] = np.nan
    cycles, changed = np.array([[0, 0, 0, 0, 0, 4, 3]], "int8"), np.empty(7, "uint8")
    round_pixels(y, x, np.array([[0, 1]], "int32"), 0.3, cycles, changed)
    assert cycles.tolist() == [[0, -1, 1, -1, -3, 4, 3]]
    assert changed.tolist() == [0, 1, 1, 1, 1, 0, 0]


def brute(there: np.ndarray, cycles: np.ndarray, limit: int) -> tuple[int, np.ndarray]:
    """Least cost of shifting any run of dates by a cycle, and the pairs that differ where it is low."""
    least, tied = 127, np.zeros(len(PAIRS), bool)
    for first, last in combinations(range(DATES + 1), 2):
        inside = np.isin(PAIRS, np.arange(first, last))
        cut = inside[:, 0] != inside[:, 1]
        for turn in (1, -1):
            other = cycles + turn * (inside[:, 1].astype(int) - inside[:, 0].astype(int))
            cost = int(((other != 0) & there).sum()) - int(((cycles != 0) & there).sum())
            if (cut & there).any():
                least = min(least, cost)
                tied |= cut & (cost <= limit)
    return least, tied


def test_rivals_are_those_of_brute_force() -> None:
    """The cheapest run of dates to be shifted, and where that is no more than one wrong pair."""
    y, cycles = stack(150, wrong=0.25, missing=0.25, seed=5)
    added = np.where(np.isnan(y), 0, np.clip(cycles, -1, 1)).astype("int8")
    slack, undecided = judge_pixels(y, WEB, added, leverage=0.95, rivals=1, reach=DATES)
    for pixel in range(150):
        there = np.isfinite(y[:, pixel])
        least, tied = brute(there, added[:, pixel].astype(int), 1)
        assert slack[pixel] == least
        np.testing.assert_array_equal((undecided[:, pixel] & TIED) > 0, tied)


def test_a_pair_in_no_loop_is_marked() -> None:
    """Its leverage is one; the others of the network have less."""
    pairs = np.array([[0, 1], [0, 2], [1, 2], [2, 3]], "int32")
    y = np.zeros((4, 2), "float32")
    y[1, 1] = np.nan
    slack, undecided = judge_pixels(y, web_of(pairs, 4), np.zeros(y.shape, "int8"), leverage=0.95, rivals=-9, reach=4)
    assert slack.tolist() == [1, 1]
    assert undecided.T.tolist() == [[0, 0, 0, NO_LOOP], [NO_LOOP, 0, NO_LOOP, NO_LOOP]]


def test_without_pairs_there_is_nothing_to_decide() -> None:
    """A pixel that has none: no cycles, no rival, no series but that of the first date."""
    y = np.full((len(PAIRS), 1), np.nan, "float32")
    slack, undecided = judge_pixels(y, WEB, mended(y), leverage=0.95, rivals=1, reach=3)
    assert slack.tolist() == [127]
    assert not undecided.any()
    assert np.isnan(solve_pixels(y, WEB, mended(y))[0][1:]).all()


def plainly(values: np.ndarray, radius: int) -> np.ndarray:
    """The vote, pixel by pixel."""
    rows, columns = values.shape[1] - 2 * radius, values.shape[2] - 2 * radius
    out = np.empty((len(values), rows, columns))
    for layer, y, x in np.ndindex(*out.shape):
        window = values[layer, y : y + 2 * radius + 1, x : x + 2 * radius + 1].astype("float64")
        apart = window - window[radius, radius]
        apart = apart[np.isfinite(apart)]
        near = apart[np.abs(apart) <= np.pi]
        step = near.mean() if near.size else 0.0
        step = 2 * np.pi if (apart > np.pi).sum() > apart.size / 2 else step
        step = -2 * np.pi if (apart < -np.pi).sum() > apart.size / 2 else step
        out[layer, y, x] = window[radius, radius] + (step if apart.size >= 9 else 0.0)
    return out


@pytest.mark.parametrize("radius", [1, 2])
def test_the_vote_is_that_of_a_plain_loop(radius: int) -> None:
    """Whole cycles towards most of the window, else the mean of what is near; few neighbours move nothing."""
    rng = np.random.default_rng(2)
    values = (rng.normal(0, 1, (2, 17, 300)) + 2 * np.pi * rng.integers(0, 2, (2, 17, 300))).astype("float32")
    values[rng.random(values.shape) < 0.3] = np.nan
    out = np.empty((2, 17 - 2 * radius, 300 - 2 * radius), "float32")
    draw_near(values, radius, out)
    np.testing.assert_allclose(out, plainly(values, radius), atol=5e-6)
    part = np.empty((2, 17 - 2 * radius, 40), "float32")
    draw_near(np.ascontiguousarray(values[:, :, 31 : 71 + 2 * radius]), radius, part)
    np.testing.assert_array_equal(part.view("u4"), out[:, :, 31:71].view("u4"))
