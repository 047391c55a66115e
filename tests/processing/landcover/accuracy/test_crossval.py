"""Cross-validation: folds keep their promises, blocks show what random folds hide, bad tables are refused by name."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from terracube.core.errors import InputError
from terracube.processing.landcover.accuracy import cross_validate
from terracube.processing.landcover.accuracy.crossval import blocked_folds, random_folds


def nearest(X: NDArray[Any], y: NDArray[Any]) -> KNeighborsClassifier:
    """Learn by heart."""
    return KNeighborsClassifier(1).fit(X, y)


def patches(count: int = 12, size: int = 12, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Make blocks of samples that are almost equal within a block and unrelated between blocks."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(count, 3))
    X = np.repeat(centres, size, axis=0) + rng.normal(scale=0.01, size=(count * size, 3))
    return X, np.repeat(np.arange(count) % 2 + 1, size), np.repeat(np.arange(count), size)


def test_blocks_show_what_random_folds_hide() -> None:
    """Samples that repeat their block are learnt by heart: random folds say 100 %, blocked ones about a half."""
    X, y, groups = patches()
    found = cross_validate(nearest, X, y, groups, seeds=range(3))
    assert found.random.overall == 1.0
    assert found.blocked is not None
    assert found.blocked.overall < 0.75
    assert found.headline is found.blocked


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=80), st.integers(2, 6), st.integers(0, 99))
def test_random_folds_are_even(labels: list[int], folds: int, seed: int) -> None:
    """Every class is spread over the folds to within one sample, and so is the whole."""
    y = np.array(labels)
    fold = random_folds(y, folds, seed)
    for rows in [np.ones(y.size, bool), *(y == code for code in np.unique(y))]:
        counts = np.bincount(fold[rows], minlength=folds)
        assert counts.max() - counts.min() <= 1
    np.testing.assert_array_equal(fold, random_folds(y, folds, seed))


def test_blocked_folds_keep_groups_whole_in_any_order() -> None:
    """No group is in two folds, they are scikit-learn's, and another order of rows gives the same folds."""
    rng = np.random.default_rng(2)
    groups = rng.integers(0, 23, 200)
    fold = blocked_folds(groups, 5, 7)
    assert all(np.unique(fold[groups == name]).size == 1 for name in np.unique(groups))
    order = rng.permutation(200)
    np.testing.assert_array_equal(blocked_folds(groups[order], 5, 7), fold[order])
    for number, (_, test) in enumerate(GroupKFold(5, shuffle=True, random_state=7).split(groups, groups=groups)):
        np.testing.assert_array_equal(np.flatnonzero(fold == number), test)


def test_no_fold_sees_its_test_rows() -> None:
    """A model is never asked about a row it learnt from, nor, in blocks, about a group."""
    _, y, groups = patches(10, 6)
    table = np.column_stack([np.arange(y.size), groups])
    blocked: list[bool] = []

    class Spy:
        """Remembers what it saw."""

        def __init__(self, seen: NDArray[Any]) -> None:
            self.seen = seen

        def predict(self, asked: NDArray[Any]) -> NDArray[Any]:
            """Check, and say one class."""
            assert not np.intersect1d(self.seen[:, 0], asked[:, 0]).size
            blocked.append(not np.intersect1d(self.seen[:, 1], asked[:, 1]).size)
            return np.ones(len(asked), int)

    found = cross_validate(lambda X, y: Spy(X), table, y, groups, seeds=[0])
    assert blocked[-5:] == [True] * 5
    assert found.random.probabilities is None
    assert found.random.overall == found.headline.overall == 0.5


def test_nested_fits_know_their_groups() -> None:
    """With ``nested`` the groups of the rows to learn from are handed on in blocks, and nothing in random folds."""
    X, y, groups = patches(8, 4)
    given_groups: list[Any] = []

    def fit(X: NDArray[Any], y: NDArray[Any], groups: NDArray[Any] | None) -> KNeighborsClassifier:
        given_groups.append(groups)
        if groups is not None:
            assert len(groups) == len(y)
            assert np.unique(groups).size < 8
        return nearest(X, y)

    cross_validate(fit, X, y, groups, folds=4, seeds=[3], nested=True)
    assert given_groups[:4] == [None] * 4
    assert all(one is not None for one in given_groups[4:])


def test_probabilities_are_of_unseen_rows_by_class() -> None:
    """Probabilities of the first seed are kept by class, zero for a class that a fold did not learn."""
    X, y, groups = patches(6, 5)
    y = np.where(groups == 5, 9, y)
    found = cross_validate(nearest, X, y, groups, folds=3, seeds=[0, 1])
    assert found.blocked is not None
    assert found.blocked.codes == (1, 2, 9)
    assert found.blocked.probabilities is not None
    np.testing.assert_allclose(found.blocked.probabilities.sum(axis=1), 1)
    assert not found.blocked.probabilities[y == 9, 2].any()
    said = np.array(found.blocked.codes)[found.blocked.probabilities.argmax(axis=1)]
    np.testing.assert_array_equal(said, found.blocked.predicted[0])
    assert any("class 9 lies in one group" in note for note in found.notes)


def test_models_without_probabilities() -> None:
    """A model that gives labels alone is scored, without probabilities."""
    X, y, _ = patches(6, 5)
    found = cross_validate(lambda X, y: LinearSVC().fit(X, y), X, y, seeds=[0])
    assert found.blocked is None
    assert found.random.probabilities is None
    assert found.headline is found.random
    assert any("optimistic" in note for note in found.notes)


def test_interval_over_places_covers() -> None:
    """The interval over groups covers the true accuracy about as often as it says, also where groups are alike."""
    from terracube.processing.landcover.accuracy.crossval import _over_places

    rng = np.random.default_rng(4)
    held = 0
    for _ in range(400):
        sizes = rng.integers(5, 40, 40)
        chance = rng.beta(4, 1, 40)
        groups = np.repeat(np.arange(40), sizes)
        found = _over_places((rng.random(groups.size) < chance[groups]).astype(float), groups)
        held += found.low <= 0.8 <= found.high
    assert 0.91 <= held / 400 <= 0.98


def test_notes_tell_of_thin_tables() -> None:
    """Classes with fewer samples than folds and groups that hold much are told."""
    X, y, groups = patches(6, 5)
    y = y.copy()
    y[:2] = 7
    groups = np.where(groups < 2, 0, groups)
    notes = cross_validate(nearest, X, y, groups, folds=4, seeds=[0]).notes
    assert any("class 7 has 2 samples" in note for note in notes)
    assert any("one group holds 33%" in note for note in notes)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"y": np.ones(20, int)}, "nothing to tell apart"),
        ({"y": np.array([1] * 19 + [2])}, "class 2"),
        ({"groups": np.arange(20) % 3}, "fewer groups"),
        ({"groups": np.arange(19)}, "needs a group"),
        ({"X": np.zeros((19, 2))}, "row for each label"),
        ({"X": np.zeros(20)}, "row for each label"),
        ({"folds": 1}, "least"),
        ({"seeds": []}, "least"),
    ],
)
def test_bad_tables_are_refused(change: dict[str, Any], what: str) -> None:
    """A single class, a class with one sample, too few groups and tables that do not fit are refused by name."""
    good = {"X": np.zeros((20, 2)), "y": np.arange(20) % 2, "groups": np.arange(20)}
    with pytest.raises(InputError, match=what):
        cross_validate(nearest, **(good | change))


def test_a_fold_without_classes_is_refused() -> None:
    """Groups of one class each, two of them: no fold can learn both classes."""
    y = np.repeat([1, 2], 10)
    with pytest.raises(InputError, match="one class alone"):
        cross_validate(nearest, np.zeros((20, 1)), y, y, folds=2, seeds=[0])


def test_empty_folds_are_passed_over() -> None:
    """A table smaller than the number of folds leaves some of them empty."""
    found = cross_validate(nearest, np.array([[0.0], [0.1], [5.0], [5.1]]), [1, 1, 2, 2], folds=6, seeds=[0])
    assert found.random.overall == 1.0


def test_json() -> None:
    """The whole becomes plain JSON."""
    X, y, groups = patches(6, 5)
    told = cross_validate(nearest, X, y, groups, folds=3, seeds=[0]).as_dict()
    json.dumps(told, allow_nan=False)
    assert told["headline"] == "blocked"
