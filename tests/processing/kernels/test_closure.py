"""Closures of loops: against plain sums, in any company, and with what is missing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.processing.kernels.closure import (
    BAD,
    BAD_LONG,
    LANES,
    ROWS,
    SQUARES,
    SUM,
    VALID,
    VALID_LONG,
    LoopTable,
    close_pixels,
    cumulate_pixels,
)

LOOPS = [
    [(0, 1), (2, 1), (1, -1)],
    [(2, 1), (4, 1), (3, -1)],
    [(0, 1), (3, 1), (5, -1)],
    [(1, 1), (4, 1), (6, 1), (5, -1)],
]
PAIRS = 7
TRIPLETS = 3


def table(loops: list[list[tuple[int, int]]]) -> LoopTable:
    """Loops as the kernel takes them."""
    flat = [entry for loop in loops for entry in loop]
    return LoopTable(
        np.cumsum([0, *map(len, loops)]).astype("int32"),
        np.array([m for m, _ in flat], "int32"),
        np.array([s for _, s in flat], "float32"),
    )


def closed(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts and shares of all pixels."""
    counts, shares = np.empty((ROWS, y.shape[1]), "float32"), np.empty(y.shape, "float32")
    close_pixels(y, table(LOOPS), TRIPLETS, counts, shares)
    return counts, shares


def plainly(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same, loop by loop in float64."""
    sums = np.array([sum(sign * y[m].astype("float64") for m, sign in loop) for loop in LOOPS])
    whole = np.round(sums / (2 * np.pi))
    there, wrong = np.isfinite(sums), np.isfinite(sums) & (np.nan_to_num(whole) != 0)
    left = np.where(there, sums - 2 * np.pi * whole, 0)[:TRIPLETS]
    counts = [there[:TRIPLETS].sum(0), wrong[:TRIPLETS].sum(0), there[TRIPLETS:].sum(0), wrong[TRIPLETS:].sum(0)]
    counts += [left.sum(0), (left**2).sum(0)]
    member = np.array([[m in dict(loop) for loop in LOOPS] for m in range(PAIRS)], "float64")
    with np.errstate(invalid="ignore"):
        return np.array(counts), (member @ wrong) / (member @ there)


def phases(pixels: int, seed: int = 0) -> np.ndarray:
    """Phases of several cycles, a tenth of them missing."""
    rng = np.random.default_rng(seed)
    y = rng.normal(0, 4, (PAIRS, pixels)).astype("float32")
    y[rng.random(y.shape) < 0.1] = np.nan
    return y


def test_counts_and_shares_are_those_of_plain_sums() -> None:
    """Triplets and longer loops that do not close, what is left, and the part of each pair's loops."""
    y = phases(LANES + 90)
    (counts, shares), (expected, part) = closed(y), plainly(y)
    np.testing.assert_array_equal(counts[[VALID, BAD, VALID_LONG, BAD_LONG]], expected[:4])
    np.testing.assert_allclose(counts[[SUM, SQUARES]], expected[4:], atol=2e-5)
    np.testing.assert_allclose(shares, part, atol=1e-7)
    assert np.isnan(shares).any()
    assert np.isfinite(counts).all()


def test_what_is_infinite_is_missing() -> None:
    """An infinite phase counts as none, and does not reach other pixels."""
    y = np.zeros((PAIRS, 3), "float32")
    y[2, 1] = np.inf
    counts, shares = closed(y)
    assert counts[VALID].tolist() == [3, 1, 3]
    assert counts[BAD].tolist() == [0, 0, 0]
    assert np.isnan(shares[2]).tolist() == [False, True, False]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 300), st.integers(1, 60))
def test_a_pixel_does_not_depend_on_its_place(start: int, size: int) -> None:
    """Any cut of the pixels gives the same bits."""
    y = phases(361)
    counts, shares = closed(y)
    part, some = closed(np.ascontiguousarray(y[:, start : start + size]))
    np.testing.assert_array_equal(part, counts[:, start : start + size])
    np.testing.assert_array_equal(some, shares[:, start : start + size])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31))
def test_a_field_per_date_closes(seed: int) -> None:
    """What belongs to dates cancels in every loop: only whole cycles of pairs do not close."""
    rng = np.random.default_rng(seed)
    ends = [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (0, 3), (3, 0)]
    x = rng.normal(0, 3, (4, 5))
    y = np.array([x[j] - x[i] for i, j in ends[:6]] + [np.zeros(5)])
    counts, shares = closed(y.astype("float32"))
    assert (counts[BAD] == 0).all()
    np.testing.assert_allclose(counts[SQUARES], 0, atol=1e-9)
    assert (shares[[0, 2, 3, 4]] == 0).all()


def test_no_pixels_and_no_loops() -> None:
    """Nothing in, nothing out; a network without loops has no shares."""
    counts, shares = closed(np.empty((PAIRS, 0), "float32"))
    assert counts.shape == (ROWS, 0)
    assert shares.shape == (PAIRS, 0)
    y, counts, shares = phases(2), np.empty((ROWS, 2), "float32"), np.empty((PAIRS, 2), "float32")
    close_pixels(y, table([]), 0, counts, shares)
    assert (counts == 0).all()
    assert np.isnan(shares).all()


@pytest.mark.parametrize("missing", [False, True])
def test_cumulated_closures_add_up_to_each_date(missing: bool) -> None:
    """The sum at a date holds the loops that end there or before; one that is missing adds nothing."""
    y = np.zeros((PAIRS, 300), "float32")
    y[1], y[3], y[5] = -0.1, -0.2, 7.0
    y[2, 7] = np.nan if missing else 0.0
    sums, counts = np.empty((4, 300), "float32"), np.empty(300, "float32")
    cumulate_pixels(y, table(LOOPS[:3]), np.array([1, 1, 3], "int32"), 0.5, sums, counts)
    left = 2 * np.pi - 7.0 - 0.2
    expected = np.array([0, 0.15, 0.15, 0.15 + left / 2])
    np.testing.assert_allclose(sums[:, 8], expected, atol=1e-6)
    np.testing.assert_allclose(sums[:, 7], expected - (np.array([0, 0.15, 0.15, 0.15]) if missing else 0), atol=1e-6)
    assert counts[[7, 8]].tolist() == [1.0 if missing else 3.0, 3.0]
