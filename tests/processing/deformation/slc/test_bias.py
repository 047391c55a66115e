"""The bias of the sample coherence, against other ways to compute it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import gammaln, hyp2f1

from terracube.core.errors import InputError
from terracube.processing.deformation.slc import expected_coherence, unbiased_coherence


def by_density(coherence: float, looks: int) -> float:
    """Integrate over the density of the sample coherence (Touzi et al. 1999, equation 12)."""

    def density(d: float) -> float:
        factor = 2 * (looks - 1) * (1 - coherence**2) ** looks * d * (1 - d * d) ** (looks - 2)
        return float(d * factor * hyp2f1(looks, looks, 1, (d * coherence) ** 2))

    return float(quad(density, 0, 1, epsabs=1e-9)[0])


@pytest.mark.parametrize("looks", [2, 5, 20])
@pytest.mark.parametrize("gamma", [0.0, 0.2, 0.7, 0.9])
def test_expectation_is_the_integral_over_the_density(gamma: float, looks: int) -> None:
    """Two forms of the same expectation agree."""
    assert abs(expected_coherence(gamma, looks) - by_density(gamma, looks)) < 1e-7


def test_expectation_at_its_ends() -> None:
    """Without coherence it is a ratio of gamma functions, with all of it one; it grows in between, also at the seam."""
    assert expected_coherence(0, 7) == pytest.approx(np.exp(gammaln(7) + gammaln(1.5) - gammaln(7.5)))
    assert expected_coherence(1, 7) == 1
    curve = expected_coherence(np.linspace(0, 1, 3001), 3)
    assert (np.diff(curve) > 0).all()
    assert (curve >= np.linspace(0, 1, 3001)).all()


@pytest.mark.parametrize("independence", [0.5, 1.0])
def test_correction_inverts_the_expectation(independence: float) -> None:
    """For whole and broken numbers of looks."""
    gamma = np.linspace(0.1, 1, 19)
    for samples in (6, 17, 64, 400, 2000):
        expected = expected_coherence(gamma, samples * independence)
        found = unbiased_coherence(expected, samples, most=3000, independence=independence)
        np.testing.assert_allclose(found, gamma, atol=2e-3)


def test_correction_keeps_missing_missing() -> None:
    """NaN stays; too few samples are missing; below the least expected it is zero; no pixel gives none."""
    found = unbiased_coherence(np.array([np.nan, 0.9, 0.1, 1.0]), np.array([10, 1, 10, 10]))
    np.testing.assert_array_equal(found, np.array([np.nan, np.nan, 0, 1], "float32"))
    assert unbiased_coherence(np.zeros((0, 3)), 5, most=5).shape == (0, 3)
    assert np.isnan(unbiased_coherence(np.array([0.5]), 1)).all()
    assert abs(unbiased_coherence(np.array([0.5]), 10**9).item() - 0.5) < 1e-3


def test_no_such_coherence() -> None:
    """Out of bounds is refused."""
    with pytest.raises(InputError, match="few samples"):
        expected_coherence(0.5, 1)
    with pytest.raises(InputError, match="out of bounds"):
        expected_coherence(1.5, 4)
