"""Boosted trees answer as LightGBM and XGBoost do, missing values included."""

from __future__ import annotations

from dataclasses import replace

import lightgbm
import numpy as np
import pytest

from terracube.core.errors import InputError
from terracube.processing.landcover.models import Model

RANDOM = np.random.default_rng(3)
X = RANDOM.normal(size=(400, 6)).round(1).astype(np.float32)
X[RANDOM.random(X.shape) < 0.15] = np.nan
X[RANDOM.random(X.shape) < 0.1] = 0
MANY = np.nan_to_num(X)[:, :4].argmax(axis=1)
TWO = (np.nan_to_num(X)[:, 0] > 0.2).astype(int)
NAMES = tuple("abcdef")


def lgbm(**how):
    """A small LightGBM classifier."""
    return lightgbm.LGBMClassifier(n_estimators=12, num_leaves=7, verbose=-1, n_jobs=1, random_state=0, **how)


def agrees(estimator, x):
    """Check labels and probabilities against the library, before and after a file."""
    model = Model.from_sklearn(estimator, features=NAMES, missing=True)
    np.testing.assert_allclose(model.predict_proba(x), estimator.predict_proba(x), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(model.predict(x), estimator.predict(x))
    return model


@pytest.mark.parametrize("y", [MANY, TWO], ids=["many", "two"])
@pytest.mark.parametrize("how", [{}, {"zero_as_missing": True}, {"use_missing": False}], ids=str)
def test_lightgbm(tmp_path, y, how):
    """Softmax and sigmoid, with every rule for missing values, from a file too."""
    model = agrees(lgbm(**how).fit(X, y), X)
    again = Model.load(model.save(tmp_path / "m.tcmodel"))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(again.predict_proba(X[:7]), model.predict_proba(X)[:7])


def test_lightgbm_values_in_double():
    """Values of float64 are compared as they are."""
    x = RANDOM.normal(size=(200, 6))
    agrees(lgbm().fit(x, (x[:, 0] > 0).astype(int)), x)


def test_lightgbm_stopped_early():
    """Only the trees up to the best iteration count."""
    stop = lightgbm.early_stopping(2, verbose=False)
    estimator = lgbm(learning_rate=1.0).fit(X[:200], TWO[:200], eval_X=X[200:], eval_y=1 - TWO[200:], callbacks=[stop])
    assert estimator.best_iteration_ < 12
    agrees(estimator, X)


def test_lightgbm_that_cannot_be_taken_over():
    """Linear leaves, categories and other objectives are refused."""
    x = np.nan_to_num(X)
    for estimator in (lgbm(linear_tree=True).fit(x, TWO), lgbm(objective="multiclassova").fit(x, MANY)):
        with pytest.raises(InputError, match="cannot be taken over"):
            Model.from_sklearn(estimator, features=NAMES)
    whole = np.abs(x * 10).astype(int)
    with pytest.raises(InputError, match="categories"):
        Model.from_sklearn(lgbm().fit(whole, whole[:, 0] % 2, categorical_feature=[0]), features=NAMES)


@pytest.mark.parametrize("y", [MANY, TWO], ids=["many", "two"])
def test_xgboost(y):
    """Float32 thresholds, base scores and default directions of XGBoost."""
    xgboost = pytest.importorskip("xgboost", reason="the extra xgboost is not installed")
    agrees(xgboost.XGBClassifier(n_estimators=10, max_depth=4, n_jobs=1).fit(X, y), X)


@pytest.mark.parametrize(
    "how", [{"rate_drop": 0.5}, {"multi_strategy": "multi_output_tree"}, {"objective": "reg:squarederror"}], ids=str
)
def test_xgboost_that_cannot_be_taken_over(how):
    """Trees that are dropped, that have several outputs, and other objectives are refused."""
    xgboost = pytest.importorskip("xgboost", reason="the extra xgboost is not installed")
    estimator = xgboost.XGBClassifier(n_estimators=3, n_jobs=1, **how).fit(X, TWO if "objective" in how else MANY)
    with pytest.raises(InputError, match="cannot be taken over"):
        Model.from_sklearn(estimator, features=NAMES)


def test_missing_values_are_refused_unless_trained_with():
    """The public door refuses NaN if nobody said that it has a meaning."""
    model = Model.from_sklearn(lgbm().fit(X, TWO), features=NAMES)
    with pytest.raises(InputError, match="no usable value"):
        model.predict_proba(X)


@pytest.mark.parametrize(
    "change",
    [
        {"link": "identity"},
        {"link": "softmax"},
        {"n_classes": 3},
        {"column": np.array([5])},
        {"base": np.array([np.nan])},
        {"rule": np.array([3], np.uint8)},
        {"rule": np.array([8], np.uint8)},
        {"threshold": np.array([np.inf])},
        {"feature": np.array([9], np.uint16)},
        {"n_features": 0},
    ],
)
def test_trees_that_do_not_fit(change):
    """Numbers that would leave the arrays, or give no probabilities, are refused."""
    good = Model.from_sklearn(lgbm().fit(X, TWO), features=NAMES).classifier
    wide = {
        name: np.resize(value, getattr(good, name).shape) if isinstance(value, np.ndarray) else value
        for name, value in change.items()
    }
    with pytest.raises(InputError):
        replace(good, **wide)
