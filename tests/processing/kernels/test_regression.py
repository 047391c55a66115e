"""Least squares per pixel: against numpy's lstsq, with gaps and weights, and independent of neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from terracube.processing.kernels.regression import TILE, combine, entry, regress


def simulated(
    dates: int, pixels: int, terms: int, seed: int = 0, missing: float = 0.2
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Draw a design with a constant, and series with noise and gaps."""
    rng = np.random.default_rng(seed)
    design = np.concatenate([np.ones((dates, 1)), rng.normal(size=(dates, terms - 1))], axis=1)
    values = (design @ rng.normal(size=(terms, pixels)) + 0.1 * rng.normal(size=(dates, pixels))).astype("float32")
    values[rng.random(values.shape) < missing] = np.nan
    return values, design


@pytest.mark.parametrize(("dates", "terms"), [(4, 1), (12, 2), (31, 7), (40, 12)])
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_lstsq(dates: int, terms: int, weighted: bool) -> None:
    """Parameters, inverse and sums are those of a dense solution of each pixel, to 1e-9."""
    values, design = simulated(dates, TILE + 5, terms, dates)
    weights = np.random.default_rng(1).uniform(0.2, 3, values.shape).astype("float32")
    got = regress(values, design, weights if weighted else None)
    solved = 0
    for pixel in range(values.shape[1]):
        there = np.isfinite(values[:, pixel])
        if there.sum() <= terms:
            assert np.isnan(got.parameters[:, pixel]).all()
            continue
        solved += 1
        root = np.sqrt(weights[there, pixel].astype("float64")) if weighted else np.ones(there.sum())
        rows, right = design[there] * root[:, None], values[there, pixel] * root
        truth = np.linalg.lstsq(rows, right, rcond=None)[0]
        left = right - rows @ truth
        inverse = np.linalg.inv(rows.T @ rows)
        np.testing.assert_allclose(got.parameters[:, pixel], truth, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(got.inverse[:, pixel], inverse[np.tril_indices(terms)], rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(got.chi2[pixel], left @ left, rtol=1e-8)
        np.testing.assert_allclose(got.squares[pixel], ((left / root) ** 2).sum(), rtol=1e-8)
        np.testing.assert_allclose(got.lagged[pixel], (left[1:] * left[:-1]).mean(), rtol=1e-6, atol=1e-12)
        assert got.count[pixel] == there.sum()
    assert solved > 100


@given(start=st.integers(0, 140), size=st.integers(1, 300), shared=st.booleans())
@settings(max_examples=12, deadline=None)
def test_pixels_are_independent(start: int, size: int, shared: bool) -> None:
    """A pixel's bits do not depend on where a block begins, how long it is, nor on its neighbours."""
    values, design = simulated(15, 300, 4, 3)
    weights = None if shared else np.random.default_rng(2).uniform(0.5, 2, values.shape).astype("float32")
    whole = regress(values, design, weights)
    cut = slice(start, start + size)
    part = regress(values[:, cut], design, None if weights is None else weights[:, cut])
    for name in ("parameters", "inverse", "count", "chi2", "squares", "lagged"):
        np.testing.assert_array_equal(getattr(whole, name)[..., cut], getattr(part, name))
    assert np.isfinite(whole.parameters).any()


def test_gaps_say_nothing() -> None:
    """NaN, infinity, weight 0 and a weight of NaN leave a date out, as if it had not been."""
    values, design = simulated(12, 5, 3, 4, missing=0)
    weights = np.ones_like(values)
    values[2], weights[5], weights[7] = np.nan, 0, np.nan
    values[9] = np.inf
    kept = np.setdiff1d(np.arange(12), [2, 5, 7, 9])
    got, truth = regress(values, design, weights), regress(values[kept], design[kept])
    np.testing.assert_array_equal(got.count, 8)
    np.testing.assert_allclose(got.parameters, truth.parameters, rtol=1e-12)


def test_what_cannot_be_told_is_missing() -> None:
    """Terms that the dates of a pixel cannot tell apart, and too few dates, give NaN; their neighbours are solved."""
    values, _ = simulated(10, 4, 2, 5, missing=0)
    design = np.stack([np.ones(10), np.arange(10) >= 5], axis=1).astype("float64")
    values[5:, 1] = np.nan
    values[1:, 2] = np.nan
    values[:, 3] = np.nan
    got = regress(values, design)
    assert np.isfinite(got.parameters[:, 0]).all()
    assert np.isnan(got.parameters[:, 1:]).all()
    assert np.isnan(got.inverse[:, 1:]).all()
    np.testing.assert_array_equal(got.count, [10, 5, 1, 0])


def test_no_pixels_and_doubles() -> None:
    """An empty block gives an empty answer; series in double precision are fitted in it."""
    assert regress(np.empty((4, 0), "float32"), np.ones((4, 1))).parameters.shape == (1, 0)
    exact = 1e6 + 1e-6 * np.arange(6.0)[:, None]
    got = regress(exact, np.stack([np.ones(6), np.arange(6.0)], axis=1))
    np.testing.assert_allclose(got.parameters[1], 1e-6, rtol=1e-3)


def test_places_in_the_triangle() -> None:
    """The triangle holds rows one after the other."""
    rows, columns = np.tril_indices(5)
    assert [entry(int(i), int(j)) for i, j in zip(rows, columns, strict=True)] == list(range(15))


def test_sums_of_rows() -> None:
    """A combination is the matrix product, with the same bits wherever the pixels are cut; NaN stays with its pixel."""
    rng = np.random.default_rng(0)
    factors, rows = rng.normal(size=(3, 7)), rng.normal(size=(7, 300))
    rows[2, 5] = np.nan
    whole = combine(factors, rows)
    np.testing.assert_allclose(
        np.delete(whole, 5, axis=1), np.delete(factors @ rows, 5, axis=1), rtol=1e-12, atol=1e-14
    )
    assert np.isnan(whole[:, 5]).all()
    np.testing.assert_array_equal(combine(factors, rows[:, 37:203]), whole[:, 37:203])
    assert combine(factors, rows[:, :0]).shape == (3, 0)
