"""Calibration: errors that are known by construction are found."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing.landcover.accuracy import calibration, temperature

CODES = (3, 5, 9)


def draw(count: int, sharper: float = 1.0, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Draw true classes from probabilities, and tell these raised to a power: 1 is calibrated."""
    rng = np.random.default_rng(seed)
    true = rng.dirichlet([0.8, 0.8, 0.8], count)
    labels = np.array(CODES)[(true.cumsum(axis=1) < rng.random(count)[:, None]).sum(axis=1)]
    told = true**sharper
    return told / told.sum(axis=1, keepdims=True), labels


def test_calibrated_probabilities() -> None:
    """Labels drawn from the probabilities themselves: every error is near zero, in both kinds of bins."""
    told, labels = draw(40_000)
    for equal in ("width", "count"):
        found = calibration(told, labels, CODES, equal=equal)
        assert found.ece < 0.01
        assert found.by_class.max() < 0.01
        assert abs(found.bias) < 0.01
        assert found.samples == 40_000
    assert found.counts.max() - found.counts.min() <= 1


def test_too_sure() -> None:
    """Probabilities that are too sharp have a bias and an error of the same size; temperature gives the sharpness."""
    told, labels = draw(40_000, sharper=3.0)
    found = calibration(told, labels, CODES)
    assert found.bias == pytest.approx(found.ece, abs=1e-3)
    assert found.ece > 0.1
    assert temperature(told, labels, CODES) == pytest.approx(3.0, rel=0.03)
    cooled = told ** (1 / 3)
    assert calibration(cooled / cooled.sum(axis=1, keepdims=True), labels, CODES).ece < 0.01


def test_known_by_hand() -> None:
    """Four samples at 0.75, three right: no error. At 0.95, half right: an error of 0.45."""
    assert calibration([[0.75, 0.25]] * 4, [1, 1, 1, 2], [1, 2]).ece == 0
    found = calibration([[0.95, 0.05]] * 2, [1, 2], [1, 2])
    assert (found.ece, found.worst) == pytest.approx((0.45, 0.45))
    assert found.brier == pytest.approx((2 * 0.05**2 + 2 * 0.95**2) / 2)
    assert found.log_loss == pytest.approx(-(math.log(0.95) + math.log(0.05)) / 2)
    np.testing.assert_allclose(found.by_class, [0.45, 0.45])


def test_order_of_columns_and_samples() -> None:
    """Another order of columns or samples gives the same."""
    told, labels = draw(500, 2.0)
    one = calibration(told, labels, CODES)
    other = calibration(told[::-1, ::-1], labels[::-1], CODES[::-1])
    assert one.ece == pytest.approx(other.ece)
    np.testing.assert_allclose(one.by_class, other.by_class[::-1])


def test_wilson_interval_holds_the_share() -> None:
    """Each bin's interval holds its accuracy and lies within 0 and 1; empty bins have none."""
    told, labels = draw(300)
    found = calibration(told, labels, CODES, bins=20)
    filled = found.counts > 0
    assert not filled.all()
    assert np.isnan(found.low[~filled]).all()
    assert np.isnan(found.accuracy[~filled]).all()
    assert (found.low[filled] <= found.accuracy[filled]).all()
    assert (found.high[filled] >= found.accuracy[filled]).all()
    assert 0 <= found.low[filled].min() <= found.high[filled].max() <= 1
    json.dumps(found.as_dict(), allow_nan=False)


def test_missing_and_unknown() -> None:
    """Rows with NaN are left out and counted; a class that the model does not know makes it wrong."""
    found = calibration([[1.0, 0.0], [np.nan, np.nan], [1.0, 0.0]], [1, 1, 7], [1, 2])
    assert (found.left_out, found.samples) == (1, 2)
    assert found.accuracy[-1] == 0.5
    assert found.brier == pytest.approx(1.0)


def test_what_are_no_probabilities_is_refused() -> None:
    """Shapes that do not fit, rows that do not sum to 1, unknown bins and no row at all are refused."""
    good = [[0.5, 0.5]]
    for told, labels, codes, options in (
        (good, [1, 2], [1, 2], {}),
        (good, [1], [1, 2, 3], {}),
        (good, [1], [1, 1], {}),
        ([[0.5, 0.6]], [1], [1, 2], {}),
        ([[1.5, -0.5]], [1], [1, 2], {}),
        ([[np.nan, 1]], [1], [1, 2], {}),
        (good, [1], [1, 2], {"bins": 0}),
        (good, [1], [1, 2], {"equal": "area"}),
    ):
        with pytest.raises(InputError):
            calibration(told, labels, codes, **options)  # type: ignore[arg-type]  one call for all
