"""The training domain: what is like the samples, what is not, and that a pixel's answer is its own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing.landcover.domain import Domain, outside, training_domain


@dataclass
class Carrier:
    """What the flag needs of a model."""

    extras: dict[str, NDArray[Any]] = field(default_factory=dict)
    features: tuple[str, ...] = ("a", "b", "c")


def samples(n: int = 300, features: int = 3, seed: int = 0) -> NDArray[np.float64]:
    """Two clusters of samples, with a third feature that follows the first."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, features))
    X[: n // 2, 0] += 8
    X[:, -1] = 2 * X[:, 0] + 0.1 * rng.normal(size=n)
    return X


def test_samples_lie_inside() -> None:
    """Nearly all samples of the same distribution, never seen, lie inside."""
    known = training_domain(samples())
    assert (known.dissimilarity(samples(seed=1).T) > 1).mean() < 0.08


def test_far_away_is_outside() -> None:
    """A pixel far from all samples is outside, along each feature and in each direction."""
    known = training_domain(samples())
    far = samples()[:1].repeat(6, axis=0)
    far[np.arange(6), [0, 1, 2] * 2] += [40, 40, 40, -40, -40, -40]
    assert (known.dissimilarity(far.T) > 1).all()


def test_between_clusters_is_outside() -> None:
    """The mean of two distant clusters is no place where samples are, although no single feature is extreme."""
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(100, 4)) - 10, rng.normal(size=(100, 4)) + 10])
    assert training_domain(X).dissimilarity(np.zeros((4, 1), np.float32))[0] > 1


def test_broken_relation_is_outside() -> None:
    """Usual values that do not go together are outside: the axes leave their contradiction over."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(400, 2))
    X = np.hstack([hidden, hidden @ rng.normal(size=(2, 6))]) + 0.01 * rng.normal(size=(400, 8))
    known = training_domain(X)
    assert known.axes.shape[0] == 2
    odd = X[:1].copy()
    odd[0, 7] += 3 * X[:, 7].std()
    assert known.dissimilarity(X[:1].T)[0] < 1 < known.dissimilarity(odd.T)[0]


def test_distance_is_that_of_the_definition() -> None:
    """The kernel gives the distance in the full space to prototypes in the subspace."""
    X = samples(features=5)
    known = training_domain(X)
    scaled = (X - known.shift) * known.factor
    places = known.prototypes @ known.axes
    expected = np.sqrt(((scaled[:, None] - places[None]) ** 2).sum(axis=2)).min(axis=1) / known.limit[0]
    # Next to a prototype a distance is the difference of two like numbers of 32 bits.
    np.testing.assert_allclose(known.dissimilarity(X.T), expected, rtol=2e-4, atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 400), st.integers(0, 399), st.integers(0, 2**31))
def test_a_pixel_does_not_depend_on_the_others(n: int, at: int, seed: int) -> None:
    """The value of a pixel is the same to the bit alone, in any company, and in any place."""
    known = training_domain(samples(60))
    X = np.random.default_rng(seed).normal(size=(3, n)).astype(np.float32)
    whole = known.dissimilarity(X)
    k = at % n
    assert whole[k] == known.dissimilarity(X[:, k : k + 1])[0]
    np.testing.assert_array_equal(whole[k:], known.dissimilarity(X[:, k:]))


def test_missing_features_have_no_answer() -> None:
    """NaN and infinity give NaN; their neighbours are not touched."""
    known = training_domain(samples())
    X = samples()[:4].T.copy()
    X[1, 1], X[2, 2] = np.nan, np.inf
    flag = outside(Carrier(known.arrays()), X)
    assert np.isnan(flag[[1, 2]]).all()
    assert set(flag[[0, 3]].tolist()) <= {0.0, 1.0}


def test_a_model_without_domain_says_nothing() -> None:
    """Without a domain the flag is missing everywhere, not 0."""
    assert np.isnan(outside(Carrier(), np.zeros((3, 5), np.float32))).all()


def test_travels_as_arrays() -> None:
    """What is stored and taken out again gives the same answers."""
    known = training_domain(samples())
    again = Domain.from_arrays(known.arrays())
    assert again is not None
    X = samples(seed=3).T
    np.testing.assert_array_equal(again.dissimilarity(X), known.dissimilarity(X))


@pytest.mark.parametrize("name", ["shift", "factor", "axes", "prototypes", "limit"])
def test_damaged_arrays_are_refused(name: str) -> None:
    """An array that is missing, of another shape or type, or not finite, is refused by name."""
    arrays = training_domain(samples()).arrays()
    key = f"domain_{name}"
    whole = arrays[key]
    for bad in (whole.astype(np.float64), whole[..., :0], np.full_like(whole, np.nan)):
        with pytest.raises(InputError):
            Domain.from_arrays({**arrays, key: bad})
    with pytest.raises(InputError, match=name):
        Domain.from_arrays({other: array for other, array in arrays.items() if other != key})


def test_grouped_folds_widen_the_domain() -> None:
    """If places differ, holding out whole places gives a larger limit than holding out neighbours."""
    rng = np.random.default_rng(0)
    place = np.repeat(np.arange(20), 15)
    X = rng.normal(size=(20, 3))[place] * 5 + 0.1 * rng.normal(size=(300, 3))
    assert training_domain(X, groups=place).limit[0] > 2 * training_domain(X).limit[0]


def test_weights_say_what_matters() -> None:
    """A feature without weight may be anything."""
    known = training_domain(samples(), weights=[1, 0, 1])
    X = samples()[:1].T.copy()
    X[1] = 1e6
    assert known.dissimilarity(X)[0] < 1


def test_a_feature_that_never_changed_counts_once_it_does() -> None:
    """A constant feature neither breaks the scale nor is forgotten."""
    X = samples()
    X[:, 1] = 0.5
    known = training_domain(X)
    same, other = X[:1].copy(), X[:1].copy()
    other[0, 1] = 50.0
    assert known.dissimilarity(same.T)[0] < 1 < known.dissimilarity(other.T)[0]


def test_identical_samples_are_a_domain() -> None:
    """Samples that are all the same make a domain of one place."""
    known = training_domain(np.ones((20, 3)))
    assert known.dissimilarity(np.ones((3, 1)))[0] == 0
    assert known.dissimilarity(np.full((3, 1), 2.0))[0] > 1


def test_incomplete_rows_are_left_out() -> None:
    """A row with a missing value changes nothing."""
    X = samples()
    more = np.vstack([X, np.full((5, 3), np.nan)])
    np.testing.assert_array_equal(training_domain(more).prototypes, training_domain(X).prototypes)


@pytest.mark.parametrize(
    ("X", "told"),
    [
        (np.zeros((5, 2)), {}),
        (np.zeros(50), {}),
        (np.zeros((50, 2)), {"groups": np.zeros(50)}),
        (np.zeros((50, 2)), {"groups": np.zeros(49)}),
        (np.ones((50, 2)), {"weights": [-1, 1]}),
        (np.ones((50, 2)), {"weights": [0, 0]}),
    ],
)
def test_unfit_samples_are_refused(X: NDArray[np.float64], told: dict[str, Any]) -> None:
    """Too few samples, a single group, groups or weights that do not fit."""
    with pytest.raises(InputError):
        training_domain(X, **told)


def test_another_number_of_features_is_refused() -> None:
    """A pixel with other features is refused."""
    known = training_domain(samples())
    with pytest.raises(InputError, match="domain"):
        known.dissimilarity(np.zeros((4, 2), np.float32))
    with pytest.raises(InputError):
        replace(known, limit=np.zeros(1, np.float32))
