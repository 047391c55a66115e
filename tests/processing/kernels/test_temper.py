"""Tempering of probabilities: the formula, and no class ever changes."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.processing.kernels.temper import temper


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    classes=st.integers(1, 30),
    votes=st.integers(1, 300),
    power=st.sampled_from([0.05, 0.3, 1.0, 2.5, 20.0]),
)
def test_formula_and_first_class(seed: int, classes: int, votes: int, power: float) -> None:
    """Each row is p**power scaled to sum 1, and its first largest class stays, ties and all; rows know no others."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(votes, rng.dirichlet(np.full(classes, 0.5)), size=40)
    given_ = (counts / votes).astype("float32")
    found = given_.copy()
    temper(found, power)
    wanted = given_.astype("float64") ** power
    np.testing.assert_allclose(found, wanted / wanted.sum(axis=1, keepdims=True), rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(found.argmax(axis=1), given_.argmax(axis=1))
    alone = given_[7:8].copy()
    temper(alone, power)
    np.testing.assert_array_equal(alone[0], found[7])


def test_near_ties_stay_in_order() -> None:
    """A class that is ahead by the last bit stays ahead, though rounding would make it equal to one before it."""
    half = np.float32(0.5)
    rows = np.float32([[half, np.nextafter(half, np.float32(1))], [np.nextafter(half, np.float32(0)), half]])
    for power in (0.05, 0.01, 3.0):
        found = rows.copy()
        temper(found, power)
        assert found.argmax(axis=1).tolist() == [1, 1]
        np.testing.assert_allclose(found, 0.5, atol=1e-6)


def test_what_is_no_probability_stays() -> None:
    """NaN and rows of zeros stay; a certain class stays certain; none of the classes below becomes NaN."""
    rows = np.float32([[np.nan, 1], [0, 0], [1, 0], [1e-30, 1 - 1e-7]])
    found = rows.copy()
    temper(found, 20.0)
    np.testing.assert_array_equal(found[:3], rows[:3])
    assert found[3].tolist() == [0, 1]
