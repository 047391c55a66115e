"""The forest kernel gives the labels of scikit-learn to the bit and its probabilities within 1e-6."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from terracube.processing.kernels import forest as kernel
from terracube.processing.landcover.models.forest import Forest

few = settings(max_examples=25, deadline=None)


def table(seed, rows, features, classes, digits):
    """Samples with many equal values and noisy labels, so that trees are deep and votes are tied."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, features)).round(digits).astype(np.float32)
    return x, (np.digitize(x[:, 0], [-0.6, 0.0, 0.6]) + random.integers(0, 2, rows)) % classes


def run(forest, x):
    """Give the probabilities of a forest, (n, classes)."""
    out = np.empty((len(x), forest.n_classes), np.float32)
    forest.probabilities(np.ascontiguousarray(x), out)
    return out


def agrees(estimator, x):
    """Check labels to the bit and probabilities to 1e-6 against scikit-learn."""
    ours, theirs = run(Forest.from_sklearn(estimator, missing=False), x), estimator.predict_proba(x)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(estimator.classes_[ours.argmax(axis=1)], estimator.predict(x))


@few
@given(
    seed=st.integers(0, 10**6),
    features=st.sampled_from([1, 2, 5, 60, 300]),
    classes=st.integers(1, 30),
    trees=st.integers(1, 24),
    depth=st.sampled_from([None, 1, 3, 12]),
    digits=st.sampled_from([0, 1, 7]),
    extra=st.booleans(),
)
def test_any_forest_equals_scikit_learn(seed, features, classes, trees, depth, digits, extra):
    """Forests of any depth, width and number of classes, on values that lie on thresholds."""
    x, y = table(seed, 120, features, classes, digits)
    kind = ExtraTreesClassifier if extra else RandomForestClassifier
    agrees(
        kind(trees, max_depth=depth, random_state=seed).fit(x, y), table(seed + 1, 333, features, classes, digits)[0]
    )


@pytest.mark.parametrize("weight", [None, "balanced", "balanced_subsample"])
@pytest.mark.parametrize("bootstrap", [True, False])
def test_weights_and_bootstrap(weight, bootstrap):
    """Leaves whose probabilities are no simple fractions."""
    x, y = table(3, 300, 6, 7, 1)
    agrees(RandomForestClassifier(30, class_weight=weight, bootstrap=bootstrap, random_state=0).fit(x, y), x)


def test_constant_features_and_one_class():
    """Trees of a single leaf: nothing to split by, or one class only."""
    x = np.ones((20, 3), np.float32)
    agrees(RandomForestClassifier(5).fit(x, np.arange(20) % 3), x)
    agrees(DecisionTreeClassifier().fit(x, np.full(20, 4)), x)


def test_exact_ties_go_to_the_first_class():
    """Duplicated trees and two-tree votes: exactly equal probabilities give the label of scikit-learn."""
    x, y = table(8, 200, 4, 5, 0)
    forest = RandomForestClassifier(2, random_state=1).fit(x, y)
    forest.estimators_ = forest.estimators_ * 3
    agrees(forest, table(9, 2000, 4, 5, 0)[0])


def test_thresholds_between_two_floats():
    """A value just above and just below a float64 threshold that float32 cannot hold goes where it should."""
    x = np.array([[0.1], [np.nextafter(np.float32(0.1), np.float32(1))]], np.float32)
    agrees(DecisionTreeClassifier().fit(x, [0, 1]), np.repeat(x, 40, axis=0))


def test_zeros_of_both_signs():
    """Minus zero is not less than zero."""
    x = np.array([[-0.0], [0.0], [1e-45], [-1e-45], [3e38], [-3e38]], np.float32)
    agrees(ExtraTreesClassifier(20, random_state=0).fit(x, [0, 0, 1, 2, 3, 4]), x)


@few
@given(seed=st.integers(0, 10**6), cut=st.integers(0, 1300))
def test_a_pixel_does_not_depend_on_its_neighbours(seed, cut):
    """The same bits wherever a pixel lies and however many there are."""
    x, y = table(5, 150, 5, 4, 1)
    forest = Forest.from_sklearn(RandomForestClassifier(7, random_state=0).fit(x, y), missing=False)
    many = np.random.default_rng(seed).normal(size=(1300, 5)).astype(np.float32)
    whole = run(forest, many)
    np.testing.assert_array_equal(np.concatenate([run(forest, many[:cut]), run(forest, many[cut:])]), whole)


def test_missing_values_go_where_the_tree_says():
    """NaN is treated as scikit-learn does, in training and prediction."""
    x, y = table(2, 400, 5, 4, 1)
    holes = np.random.default_rng(0).random(x.shape) < 0.2
    x[holes] = np.nan
    estimator = RandomForestClassifier(15, random_state=0).fit(x, y)
    ours = run(Forest.from_sklearn(estimator, missing=True), x)
    np.testing.assert_allclose(ours, estimator.predict_proba(x), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(ours.argmax(axis=1), estimator.predict(x))


@pytest.mark.parametrize("bits", [0x7FC00000, 0x7FFFFFFF, 0x7F800001, 0xFFC00000, 0xFFFFFFFF, 0x7F800000, 0xFF800000])
def test_no_value_leaves_the_tree(bits):
    """Any NaN, and both infinities, end at a leaf of the tree, even if nobody said what they mean."""
    x, y = table(2, 100, 3, 4, 1)
    forest = Forest.from_sklearn(RandomForestClassifier(9, random_state=0).fit(x, y), missing=False)
    strange = np.full((50, 3), bits, np.uint32).view(np.float32)
    out = run(forest, strange)
    np.testing.assert_allclose(out.sum(axis=1), 1, atol=1e-5)


def test_the_exact_way_alone_gives_the_same(monkeypatch):
    """A forest whose table would not fit memory is walked without it."""
    x, y = table(4, 200, 5, 6, 1)
    estimator = RandomForestClassifier(11, random_state=0).fit(x, y)
    fast = run(Forest.from_sklearn(estimator, missing=False), x)
    monkeypatch.setattr("terracube.processing.landcover.models.forest.MAX_TABLE", 0)
    exact = run(Forest.from_sklearn(estimator, missing=False), x)
    np.testing.assert_array_equal(exact, estimator.predict_proba(x).astype(np.float32))
    np.testing.assert_allclose(fast, exact, rtol=0, atol=1e-6)


def test_no_pixel():
    """Nothing in, nothing out."""
    x, y = table(4, 50, 2, 2, 1)
    assert run(Forest.from_sklearn(RandomForestClassifier(3).fit(x, y), missing=False), x[:0]).shape == (0, 2)


def test_ranks_keep_the_order():
    """Ranks are ordered as the floats are; NaN ranks as an infinity, so no NaN lies above a leaf."""
    values = np.sort(np.random.default_rng(0).normal(size=500).astype(np.float32))
    values = np.concatenate([[-np.inf], values, [np.inf]]).astype(np.float32)
    assert (np.diff(kernel.ranks(values)) > 0).all()
    nan = np.array([0x7FFFFFFF, 0xFFFFFFFF], np.uint32).view(np.float32)
    assert kernel.ranks(nan).max() <= kernel.ranks(values).max()


def test_sums_fit_their_words():
    """The largest sum of any number of trees fits 32 bits, and one leaf is off by less than 1e-6."""
    for trees in (1, 2, 200, 8000):
        assert trees * kernel.scale_of(trees) < 2**32
        assert 0.5 / kernel.scale_of(trees) < 1e-6
