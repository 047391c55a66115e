"""The kernel that runs tables of steps on tiles of pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from terracube.processing.kernels import postfix as kernel

Floats = NDArray[np.float32]

TWO: dict[int, Callable[[Any, Any], Any]] = {
    kernel.ADD: np.add,
    kernel.SUBTRACT: np.subtract,
    kernel.MULTIPLY: np.multiply,
    kernel.DIVIDE: np.divide,
    kernel.POWER: np.float_power,
}
ONE: dict[int, Callable[[Any], Any]] = {
    kernel.NEGATE: np.negative,
    kernel.ROOT: np.sqrt,
    kernel.EXPONENTIAL: np.exp,
    kernel.LOGARITHM: np.log,
}


def f32(values: Any) -> Floats:
    """Make an array of single precision."""
    return np.asarray(values, np.float32)


def run(rows: list[tuple[int, int, int, int]], values: Floats, *, results: int = 1, constants: Any = ()) -> Floats:
    """Run rows with as many slots as they name."""
    slots = len(constants) + 1 + max((max(row[1:]) for row in rows), default=0)
    out = np.full((results, values.shape[1]), -7, np.float32)
    kernel.run(np.asarray(rows, np.int32).reshape(-1, 4), np.asarray(constants, np.float32), slots, values, out)
    return out


def two(code: int, values: Floats) -> Floats:
    """Do one step on two bands."""
    rows = [(kernel.LOAD, 0, 0, 0), (kernel.LOAD, 1, 1, 0), (code, 2, 0, 1), (kernel.STORE, 0, 2, 0)]
    return f32(run(rows, values)[0])


def one(code: int, values: Floats) -> Floats:
    """Do one step on one band."""
    return f32(run([(kernel.LOAD, 0, 0, 0), (code, 1, 0, 0), (kernel.STORE, 0, 1, 0)], values)[0])


def pixels(count: int, bands: int = 2, seed: int = 0) -> Floats:
    """Make positive random bands."""
    return np.random.default_rng(seed).uniform(0.01, 2, (bands, count)).astype(np.float32)


@pytest.mark.parametrize("code", sorted(TWO))
@pytest.mark.parametrize("count", [0, 1, kernel.TILE - 1, kernel.TILE, kernel.TILE + 1, 1000])
def test_two_operands(code: int, count: int) -> None:
    """Each step of two operands is numpy's, whatever the number of pixels."""
    values = pixels(count)
    wanted = TWO[code](values[0], values[1]).astype(np.float32)
    np.testing.assert_allclose(two(code, values), wanted, rtol=3e-7 if code == kernel.POWER else 0)


@pytest.mark.parametrize("code", sorted(ONE))
def test_one_operand(code: int) -> None:
    """Each step of one operand is numpy's."""
    values = pixels(300, 1)
    rtol = 3e-7 if code in (kernel.EXPONENTIAL, kernel.LOGARITHM) else 0
    np.testing.assert_allclose(one(code, values), ONE[code](values[0]), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("code", sorted(TWO))
def test_missing_operand(code: int) -> None:
    """A missing operand makes the result missing, also to the power of zero."""
    nan = math.nan
    assert np.isnan(two(code, f32([[nan, 2, nan, nan], [1, nan, nan, 0]]))).all()


@pytest.mark.parametrize("code", sorted(ONE))
def test_missing_single_operand(code: int) -> None:
    """A missing operand makes the result missing."""
    assert np.isnan(one(code, f32([[math.nan, math.inf, -math.inf]]))).all()


def test_division_by_zero_is_missing() -> None:
    """A division by zero is missing and not infinite, and so is one beyond the largest number."""
    values = f32([[1, -1, 0, 0, 3e38], [0, 0, 0, -0.0, 1e-3]])
    assert np.isnan(two(kernel.DIVIDE, values)).all()


def test_infinite_step_does_not_return() -> None:
    """One over one over zero is missing, not zero."""
    rows = [(kernel.LOAD, 1, 0, 0), (kernel.DIVIDE, 2, 0, 1), (kernel.DIVIDE, 3, 0, 2), (kernel.STORE, 0, 3, 0)]
    found = run(rows, f32([[0, 4]]), constants=[1])
    np.testing.assert_array_equal(found, f32([[math.nan, 4]]))


def test_overflow_is_missing() -> None:
    """What leaves the range of float32 is missing."""
    assert np.isnan(two(kernel.MULTIPLY, f32([[3e38], [3e38]]))).all()
    assert np.isnan(one(kernel.EXPONENTIAL, f32([[1000]]))).all()


def test_powers_without_value_are_missing() -> None:
    """Negative numbers to fractions, zero to negative numbers: missing; negative to whole numbers: there."""
    found = two(kernel.POWER, f32([[-1, 0, -2, 0], [0.5, -1, 3, 2]]))
    np.testing.assert_array_equal(found, f32([math.nan, math.nan, -8, 0]))


def test_roots_and_logarithms_without_value_are_missing() -> None:
    """The root of a negative number and the logarithm of zero are missing."""
    assert np.isnan(one(kernel.ROOT, f32([[-1e-9]]))).all()
    assert np.isnan(one(kernel.LOGARITHM, f32([[0, -1]]))).all()


def test_several_results() -> None:
    """Several results come from one table, and a constant is the same at all pixels of all tiles."""
    rows = [
        (kernel.LOAD, 2, 1, 0), (kernel.ADD, 3, 2, 0), (kernel.STORE, 1, 3, 0),
        (kernel.MULTIPLY, 3, 2, 1), (kernel.STORE, 0, 3, 0),
    ]  # fmt: skip
    values = pixels(700)
    found = run(rows, values, results=2, constants=[2, 3])
    np.testing.assert_array_equal(found, np.stack([values[1] * np.float32(3), values[1] + np.float32(2)]))


def test_empty_table_writes_nothing() -> None:
    """Without steps the results are as they were."""
    np.testing.assert_array_equal(run([], pixels(3)), np.full((1, 3), -7, np.float32))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 600), st.integers(0, 600), st.integers(0, 2**16))
def test_result_does_not_depend_on_neighbours(first: int, count: int, seed: int) -> None:
    """A pixel's result is the same to the bit wherever it lies and whatever lies around it."""
    values = pixels(1200, seed=seed)
    values[:, np.random.default_rng(seed).random(1200) < 0.1] = np.nan
    rows = [
        (kernel.LOAD, 0, 0, 0), (kernel.LOAD, 1, 1, 0), (kernel.POWER, 2, 0, 1), (kernel.EXPONENTIAL, 3, 2, 0),
        (kernel.DIVIDE, 2, 3, 0), (kernel.LOGARITHM, 3, 2, 0), (kernel.STORE, 0, 3, 0),
    ]  # fmt: skip
    part = np.ascontiguousarray(values[:, first : first + count])
    assert run(rows, part).tobytes() == run(rows, values)[:, first : first + count].tobytes()
