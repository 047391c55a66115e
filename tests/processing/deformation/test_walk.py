"""Noise that adds up along the network: it is in the errors of parameters, steps and tests as dense algebra has it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from terracube.processing.deformation.events import step_map
from terracube.processing.deformation.model import fit, select_terms
from terracube.processing.deformation.model.walk import increments, walked
from terracube.processing.kernels.regression import entry, regress

DATES, SIDE = 24, 40


def walk(sigma: float, seed: int = 0, reference: int = 0) -> xr.Dataset:
    """Draw still ground whose dates are joined by a chain of pairs with noise."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, sigma, (DATES - 1, SIDE, SIDE))
    place = np.concatenate([np.zeros((1, SIDE, SIDE)), np.cumsum(steps, axis=0)])
    away = sigma * np.sqrt(np.abs(np.arange(DATES) - reference))
    spread = np.broadcast_to(away[:, None, None], place.shape)
    times = np.datetime64("2020-01-01", "ns") + np.arange(DATES) * np.timedelta64(24, "D")
    dims = ("time", "y", "x")
    return xr.Dataset(
        {"displacement": (dims, (place - place[reference]).astype("float32")),
         "std_network": (dims, spread.astype("float32"))},
        {"time": times},
        {"reference_date": str(times[reference])[:19]},
    )  # fmt: skip


def within(found: xr.Dataset, name: str) -> float:
    """Give the share of pixels whose value lies within one standard deviation of nothing."""
    value, std = found[name].values, found[f"{name}_std"].values
    assert np.isfinite(value).all()
    assert (std > 0).all()
    return float((np.abs(value) < std).mean())


def dense(variance: NDArray[Any], reference: int) -> NDArray[Any]:
    """Give the covariance of a walk that goes both ways from the reference date."""
    dates = np.arange(len(variance))
    same = (dates[:, None] < reference) == (dates < reference)
    nearer = np.where(np.abs(dates[:, None] - reference) < np.abs(dates - reference), dates[:, None], dates)
    return np.where(same, variance[nearer], 0.0)


@pytest.mark.parametrize("reference", [0, 9, DATES])
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_dense_algebra(reference: int, *, weighted: bool) -> None:
    """Covariance of the parameters and the share of chi2 are those of the whole covariance matrix, with gaps too."""
    rng = np.random.default_rng(3)
    design = np.stack([np.ones(DATES), np.linspace(-1, 1, DATES), np.sin(np.arange(DATES))], axis=1)
    values = rng.normal(size=(DATES, 5))
    values[rng.random(values.shape) < 0.2] = np.nan
    steps = rng.uniform(0.5, 2.0, DATES)
    far = np.cumsum(np.r_[steps[reference:], 0.0])[:-1] if reference < DATES else np.empty(0)
    variance = np.r_[np.cumsum(steps[:reference][::-1])[::-1], far]
    weights = rng.uniform(0.5, 2.0, values.shape) if weighted else np.ones(values.shape)
    used = np.where(np.isfinite(values), weights, 0.0)
    deviations = np.broadcast_to(np.sqrt(variance)[:, None], values.shape)
    got = regress(values, design, used if weighted else None)
    covariance, expected = walked(design, got, used, deviations, reference)
    known = dense(variance, reference)
    for pixel in range(values.shape[1]):
        v = np.diag(used[:, pixel])
        gain = np.linalg.solve(design.T @ v @ design, design.T @ v)
        whole = gain @ known @ gain.T
        left = np.eye(DATES) - design @ gain
        for row in range(3):
            for column in range(row + 1):
                assert covariance[entry(row, column), pixel] == pytest.approx(whole[row, column], rel=1e-9, abs=1e-12)
        assert expected[pixel] == pytest.approx(np.trace(v @ left @ known @ left.T), rel=1e-9)


def test_increments_add_up() -> None:
    """What is added on the way gives the variance again, on both sides; a date that is not known adds nothing."""
    deviations = np.sqrt(np.array([[5.0], [2.0], [0.0], [1.0], [np.nan], [4.0]]))
    np.testing.assert_allclose(increments(deviations, 2)[:, 0], [3, 2, 0, 1, 0, 3])


@pytest.mark.parametrize("reference", [0, 11])
def test_velocity_is_covered(reference: int) -> None:
    """One standard deviation of the velocity covers two thirds where there is nothing but the network's noise."""
    series = walk(0.002, reference=reference)
    assert 0.64 < within(fit(series), "velocity") < 0.73
    assert 0.64 < within(fit(series, weights="std"), "velocity") < 0.73
    # Without the noise of the network the residuals hide most of it.
    assert within(fit(series.drop_vars("std_network")), "velocity") < 0.3


def test_steps_and_tests_are_covered() -> None:
    """The step too; and a test at a level of five in a hundred keeps noise about as often."""
    series = walk(0.002, seed=1)
    found = step_map(series, str(series.time.values[12])[:10])
    assert 0.64 < within(found, "step") < 0.74
    late = step_map(series, str(series.time.values[18])[:10], before=150, after=150)
    assert 0.6 < within(late, "step") < 0.8
    kept = select_terms(series, "linear").keep_f.values.mean()
    assert kept < 0.08
    assert select_terms(series.drop_vars("std_network"), "linear").keep_f.values.mean() > 0.4


def test_blocks_change_no_bit() -> None:
    """Any blocks give the same."""
    series = walk(0.002, seed=2)
    whole = fit(series, covariance=True)
    xr.testing.assert_identical(fit(series.chunk(y=7, x=11), covariance=True).compute(), whole)


def test_independent_noise_is_as_before() -> None:
    """Where the network is without noise, errors are those that the residuals tell."""
    rng = np.random.default_rng(5)
    series = walk(0.0)
    series["displacement"] += rng.normal(0, 0.003, series["displacement"].shape).astype("float32")
    np.testing.assert_array_equal(fit(series).velocity_std, fit(series.drop_vars("std_network")).velocity_std)
    assert 0.64 < within(fit(series), "velocity") < 0.73
