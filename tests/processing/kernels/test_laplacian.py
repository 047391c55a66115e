"""The solver of networks: numpy's dense algebra is the reference, also for networks in parts and for singular lanes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import kernel
from terracube.processing.kernels.laplacian import (
    LANES,
    Elimination,
    assemble,
    eliminate,
    factor,
    phases,
    residuals,
    solve,
    variances,
)

type Floats = NDArray[np.float32]


@kernel
def _all_steps(plan, pairs, w, y, matrix, right, weak, x, e, scratch, variance):  # type: ignore[no-untyped-def]
    assemble(plan, pairs, w, y, matrix, right)
    factor(plan, matrix, weak)
    solve(plan, matrix, right)
    phases(plan, right, x)
    residuals(pairs, x, y, w, e)
    variances(plan, matrix, scratch, variance)


def run(pairs: NDArray[np.int32], dates: int, y: Floats, w: Floats) -> dict[str, NDArray[Any]]:
    """Solve one tile; all rooms start as NaN, so that what is read before it is written shows."""
    plan = eliminate(pairs, dates)
    size = plan.size[0]

    def rows(count: int) -> Floats:
        return np.full((count, LANES), np.nan, np.float32)

    weak = np.zeros((dates - 1, LANES), np.uint8)
    x, e, variance = rows(dates), rows(len(pairs)), rows(dates)
    _all_steps(plan, pairs, w, y, rows(size), rows(dates - 1), weak, x, e, rows(size), variance)
    return {"x": x, "e": e, "variance": variance, "weak": weak}


def band(dates: int, width: int) -> NDArray[np.int32]:
    """Each date with those that follow it."""
    return np.array([(i, j) for i in range(dates) for j in range(i + 1, min(i + width + 1, dates))], np.int32)


def simulated(pairs: NDArray[np.int32], dates: int, seed: int = 0, missing: float = 0.1) -> tuple[Floats, Floats]:
    """Pairs of a random series with noise; what is missing is NaN under weight zero."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 2, (dates, LANES))
    y = truth[pairs[:, 1]] - truth[pairs[:, 0]] + rng.normal(0, 0.3, (len(pairs), LANES))
    w = rng.uniform(0.2, 5, y.shape)
    w[rng.random(y.shape) < missing] = 0
    return np.where(w > 0, y, np.nan).astype("float32"), w.astype("float32")


def dense(
    pairs: NDArray[np.int32], dates: int, y: Floats, w: Floats
) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
    """Solution, diagonal of the inverse, and whether the design has full rank, of one lane in float64."""
    there = w > 0
    design = np.zeros((there.sum(), dates))
    row = np.arange(there.sum())
    design[row, pairs[there, 1]], design[row, pairs[there, 0]] = 1, -1
    design, root = design[:, 1:], np.sqrt(w[there].astype("float64"))
    x, _, rank, _ = np.linalg.lstsq(design * root[:, None], y[there] * root, rcond=None)
    normal = design.T @ (design * root[:, None] ** 2)
    return np.r_[0, x], np.r_[0, np.diag(np.linalg.pinv(normal))], bool(rank == dates - 1)


@pytest.mark.parametrize(("dates", "width"), [(2, 1), (12, 3), (30, 6)])
def test_equals_dense_algebra(dates: int, width: int) -> None:
    """Values, residuals and variances of lanes of full rank are those of dense float64 algebra."""
    pairs = band(dates, width)
    y, w = simulated(pairs, dates)
    found = run(pairs, dates, y, w)
    assert all(np.isfinite(each).all() for each in found.values())
    solved = 0
    for lane in range(0, LANES, 5):
        x, variance, full = dense(pairs, dates, y[:, lane], w[:, lane])
        if full:
            solved += 1
            np.testing.assert_allclose(found["x"][:, lane], x, atol=5e-5)
            np.testing.assert_allclose(found["variance"][:, lane], variance, rtol=1e-4, atol=1e-7)
            left = np.where(w[:, lane] > 0, y[:, lane] - (x[pairs[:, 1]] - x[pairs[:, 0]]), 0)
            np.testing.assert_allclose(found["e"][:, lane], left, atol=1e-4)
    assert solved > 20


@given(st.integers(2, 9), st.data())
@settings(max_examples=25, deadline=None)
def test_any_network(dates: int, data: st.DataObject) -> None:
    """Networks with parts, lone dates and pairs in any orientation are solved where they hold, and marked elsewhere."""
    possible = [(i, j) for i in range(dates) for j in range(dates) if i < j]
    chosen = data.draw(st.lists(st.sampled_from(possible), min_size=1, max_size=14, unique=True))
    turned = data.draw(st.lists(st.booleans(), min_size=len(chosen), max_size=len(chosen)))
    pairs = np.array([pair[::-1] if back else pair for pair, back in zip(chosen, turned, strict=True)], np.int32)
    y, w = simulated(pairs, dates, seed=dates, missing=0.0)
    found = run(pairs, dates, y, w)
    _, _, full = dense(pairs, dates, y[:, 0], w[:, 0])
    assert bool((found["weak"][:, 0] == 0).all()) == full
    assert np.isfinite(found["x"]).all()
    # Within each part the residuals are those of least squares, whichever date is grounded.
    x, _, _ = dense(pairs, dates, y[:, 0], w[:, 0])
    np.testing.assert_allclose(found["e"][:, 0], y[:, 0] - (x[pairs[:, 1]] - x[pairs[:, 0]]), atol=1e-4)


def test_marks_exactly_the_singular_lanes() -> None:
    """With pairs missing at random a lane is marked if, and only if, its design has not full rank."""
    pairs = band(14, 2)
    y, w = simulated(pairs, 14, missing=0.3)
    found = run(pairs, 14, y, w)
    full = np.array([dense(pairs, 14, y[:, lane], w[:, lane])[2] for lane in range(LANES)])
    assert 0 < full.sum() < LANES
    np.testing.assert_array_equal((found["weak"] == 0).all(axis=0), full)


def test_lanes_are_independent() -> None:
    """A lane has the same bits whatever its neighbours hold and wherever it lies."""
    pairs = band(10, 3)
    y, w = simulated(pairs, 10)
    found = run(pairs, 10, y, w)["x"]
    rolled = run(pairs, 10, np.roll(y, 37, axis=1), np.roll(w, 37, axis=1))["x"]
    np.testing.assert_array_equal(np.roll(found, 37, axis=1), rolled)
    alone_y, alone_w = np.full_like(y, np.nan), np.zeros_like(w)
    alone_y[:, 5], alone_w[:, 5] = y[:, 5], w[:, 5]
    np.testing.assert_array_equal(run(pairs, 10, alone_y, alone_w)["x"][:, 5], found[:, 5])


def test_a_date_is_grounded_on_demand() -> None:
    """A date marked before the factor is made stays at zero."""
    pairs = band(5, 2)
    plan = eliminate(pairs, 5)
    y, w = simulated(pairs, 5, missing=0.0)
    rooms = [np.zeros((count, LANES), np.float32) for count in (plan.size[0], 4, 5, len(pairs), plan.size[0], 5)]
    weak = np.zeros((4, LANES), np.uint8)
    weak[plan.column[3]] = 1
    matrix, right, x, e, scratch, variance = rooms
    _all_steps(plan, pairs, w, y, matrix, right, weak, x, e, scratch, variance)
    assert (x[3] == 0).all()
    assert (x[[1, 2, 4]] != 0).all()


def test_long_networks_stay_sparse() -> None:
    """300 dates of bandwidth 4 take about ten steps per date."""
    pairs = band(300, 4)
    plan = eliminate(pairs, 300)
    assert len(plan.updates) <= 10 * 300
    assert sorted(plan.column.tolist()) == list(range(-1, 299))


def test_each_step_stays_inside() -> None:
    """All indices of a plan lie in range, and each update lies in the pattern."""
    plan: Elimination = eliminate(band(20, 5), 20)
    values = plan.size[0] - 19
    for index in (plan.updates, plan.values, plan.diagonal, plan.place[:, 2]):
        assert index.min() >= 0
        assert index.max() < values
    assert len(np.unique(np.r_[plan.values, plan.diagonal])) == values


@pytest.mark.parametrize("pairs", [[[0, 3]], [[1, 1]], [[-1, 0]]])
def test_refuses_what_is_no_pair(pairs: list[list[int]]) -> None:
    """A pair of dates that are not there, or of a date with itself, is refused."""
    with pytest.raises(ValueError, match="names no two of"):
        eliminate(np.array(pairs, np.int32), 3)


def test_refuses_a_network_without_sparsity() -> None:
    """All pairs of 400 dates would take millions of steps per pixel."""
    with pytest.raises(ValueError, match="too dense"):
        eliminate(band(400, 400), 400)
