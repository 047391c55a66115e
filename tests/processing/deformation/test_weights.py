"""Weights: the distribution of the phase is simulated from its definition, and integrated another way."""

from __future__ import annotations

import math

import numpy as np
import pytest

from terracube.core.errors import InputError
from terracube.processing.deformation.inversion.weights import (
    CEILING,
    ENTRIES,
    FLOOR,
    bound_variance,
    phase_density,
    phase_variance,
    weight_table,
)


@pytest.mark.parametrize(("coherence", "looks"), [(0.3, 4), (0.6, 8), (0.9, 2)])
def test_variance_is_that_of_simulated_speckle(coherence: float, looks: int) -> None:
    """The phase of sums of products of correlated circular Gaussian numbers has this variance."""
    rng = np.random.default_rng(looks)
    a, b = (rng.normal(size=(looks, 200_000)) + 1j * rng.normal(size=(looks, 200_000)) for _ in range(2))
    phase = np.angle((a * np.conj(coherence * a + math.sqrt(1 - coherence**2) * b)).sum(axis=0))
    assert phase_variance(coherence, looks) == pytest.approx(np.mean(phase**2), rel=0.02)


@pytest.mark.parametrize("looks", [1, 2.5, 8, 80, 1000])
@pytest.mark.parametrize("coherence", [0.0, 0.5, 0.99])
def test_density_integrates_to_one(looks: float, coherence: float) -> None:
    """Nothing overflows or is lost, from one look to a thousand."""
    phase = np.linspace(-math.pi, math.pi, 20_001)
    density = phase_density(phase, coherence, looks)
    assert (density >= 0).all()
    assert np.trapezoid(density, phase) == pytest.approx(1, abs=1e-6)


def test_interpolation_is_exact_enough() -> None:
    """The variance between nodes is that of a direct integral to a few millionths."""
    phase = np.linspace(0, math.pi, 40_001)
    for coherence in (0.0612, 0.3333, 0.777, 0.983):
        direct = 2 * np.trapezoid(phase**2 * phase_density(phase, coherence, 8), phase)
        assert phase_variance(coherence, 8) == pytest.approx(direct, rel=5e-6)


def test_many_looks_reach_the_bound() -> None:
    """The variance lies above its bound where that is one, and reaches it for many looks."""
    coherence = np.linspace(0.3, 0.99, 20)
    assert (phase_variance(coherence, 8) > bound_variance(coherence, 8)).all()
    np.testing.assert_allclose(phase_variance(coherence, 3000), bound_variance(coherence, 3000), rtol=5e-3)


def test_uniform_phase_is_the_worst() -> None:
    """Low coherence ends near the variance of a uniform phase, and coherences are held within their limits."""
    assert phase_variance(0.0, 1) == phase_variance(FLOOR, 1)
    assert phase_variance(1.0, 1) == phase_variance(CEILING, 1)
    assert 3.0 < phase_variance(0.0, 1) < math.pi**2 / 3
    assert np.isnan(phase_variance(np.nan, 1))


@pytest.mark.parametrize("weights", ["variance", "fisher", "coherence"])
def test_tables_rise_with_coherence(weights: str) -> None:
    """More coherence never counts less, and no entry is zero."""
    table = weight_table(weights, 20)
    assert table.shape == (ENTRIES,)
    assert table.dtype == np.float32
    assert (table > 0).all()
    assert (np.diff(table) >= 0).all()


def test_tables_hold_what_8_bits_can() -> None:
    """Coherences stored in 8 bits fall on entries."""
    stored = np.arange(256) / 255
    np.testing.assert_allclose(
        weight_table("variance", 8)[np.rint(stored * (ENTRIES - 1)).astype(int)], 1 / phase_variance(stored, 8), 1e-6
    )


def test_refuses_what_is_no_weight() -> None:
    """Unknown weights, missing looks and impossible looks are told."""
    with pytest.raises(InputError, match="no such weight"):
        weight_table("snr", 8)
    with pytest.raises(InputError, match="need the equivalent number of looks"):
        weight_table("variance", None)
    with pytest.raises(InputError, match="no number of looks"):
        phase_variance(0.5, 0)


def test_very_many_looks() -> None:
    """Where the density is too narrow for numbers the bound is taken, which it joins."""
    coherence = np.array([0.05, 0.3, 0.9])
    for looks in (1e4, 1e6):
        np.testing.assert_array_equal(phase_variance(coherence, looks), bound_variance(coherence, looks))
    np.testing.assert_allclose(phase_variance(coherence, 9_999), phase_variance(coherence, 10_000), rtol=0.03)
