"""Bridging undefined dates: against numpy's interpolation, and in any company."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.processing.kernels.bridge import bridge


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_equals_plain_interpolation(seed: int, missing: float) -> None:
    """Each variable of each pixel is what numpy interpolates; nothing that is there changes; all missing stays."""
    rng = np.random.default_rng(seed)
    days = np.cumsum(rng.uniform(0.5, 20, 9))
    values = rng.normal(size=(9, 2, 5)).astype("float32")
    values[rng.uniform(size=values.shape) < missing] = np.nan
    found = values.copy()
    bridge(found, days)
    for variable in range(2):
        for pixel in range(5):
            series = values[:, variable, pixel]
            there = np.isfinite(series)
            if there.any():
                expected = np.interp(days, days[there], series[there].astype("float64"))
                np.testing.assert_allclose(found[:, variable, pixel], expected, rtol=1e-6, atol=1e-6)
                np.testing.assert_array_equal(found[there, variable, pixel], series[there])
            else:
                assert np.isnan(found[:, variable, pixel]).all()


def test_company_changes_nothing() -> None:
    """A pixel alone gives the same bits as among others."""
    rng = np.random.default_rng(3)
    values = rng.normal(size=(7, 3, 11)).astype("float32")
    values[rng.uniform(size=values.shape) < 0.4] = np.nan
    whole = values.copy()
    bridge(whole, np.arange(7.0))
    alone = np.ascontiguousarray(values[:, :, 4:5])
    bridge(alone, np.arange(7.0))
    np.testing.assert_array_equal(whole[:, :, 4:5], alone)
