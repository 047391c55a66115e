"""Support vector machines answer as scikit-learn does, with either calibration, scaled or not."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC

from terracube.core.errors import InputError
from terracube.processing.kernels.coupling import couple
from terracube.processing.landcover.models import Model

RANDOM = np.random.default_rng(4)
X = RANDOM.normal(size=(160, 5)).astype(np.float32) * np.array([1, 3, 1, 1, 2], np.float32)
MANY, TWO = X[:, :4].argmax(axis=1), (X[:, 0] + 0.3 * RANDOM.normal(size=160) > 0).astype(int)
Z = RANDOM.normal(size=(300, 5)).astype(np.float32)
NAMES = tuple("abcde")
targets = pytest.mark.parametrize("y", [MANY, TWO], ids=["many", "two"])


def fitted(estimator, y):
    """Fit; scikit-learn announces the end of ``probability=True``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return estimator.fit(X, y)


def agrees(estimator, x=Z):
    """Check probabilities against scikit-learn, for float32 and float64; labels are those of the probabilities."""
    model = Model.from_sklearn(estimator, features=NAMES)
    for values in (x, x.astype(np.float64)):
        ours, theirs = model.predict_proba(values), estimator.predict_proba(values)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(model.predict(values), estimator.classes_[theirs.argmax(axis=1)])
    return model


@targets
@pytest.mark.parametrize("kernel", ["linear", "poly", "rbf", "sigmoid"])
def test_sigmoids_of_pairs(y, kernel):
    """Platt's sigmoids per pair of classes, coupled."""
    agrees(fitted(SVC(kernel=kernel, C=3, coef0=0.5, probability=True, random_state=0), y))


@targets
@pytest.mark.parametrize("ensemble", [True, False])
def test_sigmoids_of_classes(y, ensemble, tmp_path):
    """A sigmoid per class, of one machine or the mean of several; from a file too."""
    machine = make_pipeline(StandardScaler(), SVC(C=3))
    model = agrees(fitted(CalibratedClassifierCV(machine, ensemble=ensemble, cv=2), y))
    again = Model.load(model.save(tmp_path / "m.tcmodel"))
    assert again.digest == model.digest
    np.testing.assert_array_equal(again.predict_proba(Z), model.predict_proba(Z))


def test_scaled_features():
    """Scalers before the machine, also two, also without a mean; others are refused."""
    agrees(fitted(make_pipeline(StandardScaler(), SVC(probability=True, random_state=0)), MANY))
    twice = make_pipeline(StandardScaler(with_mean=False), StandardScaler(with_std=False), RandomForestClassifier(5))
    agrees(fitted(twice, MANY))
    with pytest.raises(InputError, match="StandardScaler"):
        Model.from_sklearn(fitted(make_pipeline(MinMaxScaler(), RandomForestClassifier(2)), MANY), features=NAMES)


def test_votes():
    """The mean of the probabilities of several kinds."""
    members = [("a", RandomForestClassifier(5, random_state=0)), ("b", SVC(probability=True, random_state=0))]
    agrees(fitted(VotingClassifier(members, voting="soft"), MANY))
    for how in ({"voting": "hard"}, {"voting": "soft", "weights": [1, 2]}):
        with pytest.raises(InputError, match="vote"):
            Model.from_sklearn(fitted(VotingClassifier(members, **how), MANY), features=NAMES)


def test_machines_that_are_refused():
    """Without probabilities, with a kernel that is code, or calibrated otherwise."""
    for estimator in (
        SVC(),
        SVC(kernel=lambda a, b: a @ b.T),
        CalibratedClassifierCV(SVC(), method="isotonic", cv=2),
        CalibratedClassifierCV(RandomForestClassifier(3), cv=2),
    ):
        with pytest.raises(InputError):
            Model.from_sklearn(fitted(estimator, MANY), features=NAMES)


def test_blocks_do_not_show(monkeypatch):
    """A machine is run some rows at a time; rows do not know of each other."""
    model = Model.from_sklearn(fitted(SVC(probability=True, random_state=0), MANY), features=NAMES)
    whole = model.predict_proba(Z)
    monkeypatch.setattr("terracube.processing.landcover.models.svm._BLOCK_NUMBERS", 1)
    np.testing.assert_allclose(model.predict_proba(Z), whole, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    "change",
    [
        {"kernel": "code"},
        {"calibration": "none"},
        {"degree": -1},
        {"degree": 10**6},
        {"count": np.array([1, 2])},
        {"count": np.array([-5, 5, 0, 0])},
        {"count": np.array([2**62, 2**62, 2**62, 2**62])},
        {"dual": np.zeros((1, 1))},
        {"intercept": np.zeros(2)},
        {"slope": np.zeros(5)},
        {"offset": np.full(6, np.nan)},
        {"vectors": np.zeros((0, 5))},
    ],
)
def test_machines_that_do_not_fit(change):
    """Arrays of other shapes, or numbers that are not finite, are refused."""
    good = Model.from_sklearn(fitted(SVC(probability=True), MANY), features=NAMES).classifier
    with pytest.raises(InputError):
        replace(good, **change)


def test_coupling_finds_consistent_probabilities():
    """Pairs made of probabilities give them back."""
    p = RANDOM.dirichlet(np.ones(5), 20)
    with np.errstate(invalid="ignore"):
        pairs = p[:, :, None] / (p[:, :, None] + p[:, None, :])
    out = np.empty_like(p)
    couple(pairs, out)
    np.testing.assert_allclose(out.sum(axis=1), 1)
    np.testing.assert_allclose(out, p, atol=0.03)
