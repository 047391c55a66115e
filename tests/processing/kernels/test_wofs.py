"""The decision tree of Water Observations from Space against a second writing of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.processing.kernels.wofs import MISSING, NEGATIVE, SEEN, add_state, wet_pixels


def by_leaves(b):
    """Write the tree as the list of its wet leaves, each a conjunction, on reflectance times 10 000."""
    blue, green, red, nir, swir1, swir2 = b
    with np.errstate(all="ignore"):
        ndi52 = (swir1 - green) / (swir1 + green)
        ndi43 = (nir - red) / (nir + red)
        ndi72 = (swir2 - green) / (swir2 + green)
    low = (ndi52 <= -0.01) & (blue <= 2083.5)
    bright = low & (swir2 > 323.5)
    middle = ~(ndi52 <= -0.01) & (ndi52 <= 0.23) & (blue <= 334.5) & (ndi43 <= 0.54)
    leaves = [
        low & (swir2 <= 323.5) & (ndi43 <= 0.61),
        bright & (blue > 1400.5) & (ndi43 <= -0.01),
        bright & (blue <= 1400.5) & (ndi72 > -0.23) & (blue <= 379),
        bright & (blue <= 1400.5) & (ndi72 <= -0.23) & (ndi43 <= 0.22),
        bright & (blue <= 1400.5) & (ndi72 <= -0.23) & (ndi43 > 0.22) & (blue <= 473),
        middle & (ndi52 <= 0.12),
        middle & (ndi52 > 0.12) & (red <= 364.5) & (blue <= 129.5),
        middle & (ndi52 > 0.12) & (red > 364.5) & (blue <= 300.5),
        (ndi52 > 0.23) & (ndi52 <= 0.34) & (blue <= 249.5) & (ndi43 <= 0.45) & (red <= 364.5) & (blue <= 129.5),
    ]
    return np.logical_or.reduce(leaves), leaves


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_every_leaf_is_reached_and_agrees(kind):
    """On random pixels in which every wet leaf occurs, the kernel and the second writing agree on all."""
    rng = np.random.default_rng(5)
    numbers = np.floor(10 ** rng.uniform(1, 3.5, (6, 200_000)))
    # Many that lie on a threshold.
    numbers[0, ::5] = rng.choice([379, 473, 1400, 2083, 129, 334], 40_000)
    numbers[4, ::3] = np.round(
        numbers[1, ::3] * rng.choice([0.99 / 1.01, 1.23 / 0.77, 1.12 / 0.88, 1.34 / 0.66], 66_667)
    )
    expected, leaves = by_leaves(numbers)
    assert all(leaf.any() for leaf in leaves)
    out = np.empty(expected.size, np.bool_)
    wet_pixels(*(numbers / 10_000).astype(kind), out)
    np.testing.assert_array_equal(out, expected)


def test_missing_values_are_not_wet():
    """A pixel without any value is not water, and nothing fails where sums are zero."""
    out = np.ones(2, np.bool_)
    wet_pixels(*np.array([[np.nan, 0.0]] * 6), out)
    assert out.tolist() == [False, True] or out.tolist() == [False, False]
    assert not out[0]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_pixels_do_not_know_each_other(seed, cut):
    """Cutting the pixels in two changes nothing."""
    bands = np.random.default_rng(seed).uniform(-0.01, 0.2, (6, 41))
    whole, parts = np.empty(41, np.bool_), np.empty(41, np.bool_)
    wet_pixels(*bands, whole)
    wet_pixels(*(np.ascontiguousarray(band[:cut]) for band in bands), parts[:cut])
    wet_pixels(*(np.ascontiguousarray(band[cut:]) for band in bands), parts[cut:])
    np.testing.assert_array_equal(whole, parts)


def test_state_of_bands():
    """States tell what was seen, missing or saturated, and below zero in a visible band."""
    low = np.zeros(1, np.uint8)
    add_state(np.array([-5.0]), 1.6, True, low)
    assert low.tolist() == [SEEN | MISSING | NEGATIVE]
    state = np.zeros(5, np.uint8)
    add_state(np.array([0.1, np.nan, 2.0, -0.1, np.inf]), 1.6, True, state)
    assert state.tolist() == [SEEN, MISSING, SEEN | MISSING, SEEN | NEGATIVE, SEEN | MISSING]
    add_state(np.full(5, -0.1), 1.6, False, state)
    assert state.tolist() == [SEEN, SEEN | MISSING, SEEN | MISSING, SEEN | NEGATIVE, SEEN | MISSING]
