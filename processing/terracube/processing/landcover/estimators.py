"""The estimators behind the names of algorithms, what each is by default, and what is tried when one is tuned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from terracube.core.errors import InputError

if TYPE_CHECKING:
    from terracube.processing.landcover.learn import TrainParameters

_TREES = ("forest", "extra_trees", "lightgbm", "xgboost")
_LEAVES: dict[str, list[Any]] = {"min_samples_leaf": [1, 2, 5], "max_features": ["sqrt", 0.3]}
_BOOST: dict[str, list[Any]] = {"n_estimators": [100, 300], "learning_rate": [0.05, 0.1]}
# What is tried when hyper-parameters are to be chosen; the first of each is the default.
_GRIDS: Mapping[str, Mapping[str, list[Any]]] = {
    "forest": _LEAVES,
    "extra_trees": _LEAVES,
    "lightgbm": {**_BOOST, "num_leaves": [31, 15]},
    "xgboost": {**_BOOST, "max_depth": [6, 4]},
    "svm": {"C": [3.0, 10.0], "gamma": [0.4, 0.8]},
    "linear": {},
    # The kernel learner chooses by itself, from the inverse it needs anyway.
    "kernel": {},
    "ensemble": {},
}
_KERNEL_CHOICES = {"gamma": (0.2, 0.4, 0.8), "alpha": (0.03, 0.1)}


def grid_of(how: TrainParameters) -> Mapping[str, list[Any]]:
    """Give the hyper-parameters of the algorithm and the values that are tried, the default first."""
    return {name: values for name, values in _GRIDS[how.algorithm].items() if name not in how.parameters}


def make_estimator(
    how: TrainParameters, chosen: Mapping[str, Any], sizes: tuple[int, int], *, chances: bool, splits: Any = None
) -> Any:
    """Make the estimator of an algorithm, not fitted.

    Parameters
    ----------
    how : TrainParameters
    chosen : mapping
        Hyper-parameters; the rest has the defaults of this module.
    sizes : (int, int)
        Number of features and of classes.
    chances : bool
        Whether it has to give probabilities, or only classes (faster).
    splits : list of (train, test)
        In which the probabilities of a support vector machine are calibrated.

    Raises
    ------
    InputError
        If a parameter is unknown to the algorithm, or its library is not installed.
    """
    if how.algorithm in _TREES:
        return _set(_trees(how), chosen)
    return _scaled(how, chosen, sizes, chances, splits)


def _trees(how: TrainParameters) -> Any:
    if how.algorithm in ("lightgbm", "xgboost"):
        return _boosted(how)
    from sklearn import ensemble

    kinds = {"forest": ensemble.RandomForestClassifier, "extra_trees": ensemble.ExtraTreesClassifier}
    return kinds[how.algorithm](how.trees, random_state=how.seed, class_weight=how.class_weight, n_jobs=1)


def _boosted(how: TrainParameters) -> Any:
    start: dict[str, Any] = {name: choices[0] for name, choices in _GRIDS[how.algorithm].items()}
    if how.algorithm == "lightgbm":
        from lightgbm import LGBMClassifier

        fixed: dict[str, Any] = {"deterministic": True, "force_row_wise": True, "verbosity": -1, "n_jobs": 1}
        return LGBMClassifier(random_state=how.seed, class_weight=how.class_weight, **start, **fixed)
    try:
        from xgboost import XGBClassifier
    except ImportError as error:
        raise InputError(
            "XGBoost is not installed",
            where="algorithm",
            todo="install the extra: terracube[xgboost], or choose lightgbm",
        ) from error
    return XGBClassifier(random_state=how.seed, n_jobs=1, tree_method="hist", **start)


def _scaled(how: TrainParameters, chosen: Mapping[str, Any], sizes: tuple[int, int], chances: bool, splits: Any) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if how.algorithm == "linear":
        return make_pipeline(StandardScaler(), _linear(how, chosen, sizes[1]))
    if how.algorithm == "kernel":
        return make_pipeline(StandardScaler(), _kernel(how, chosen))
    return make_pipeline(StandardScaler(), _svm(how, chosen, sizes[0], chances, splits))


def _linear(how: TrainParameters, chosen: Mapping[str, Any], classes: int) -> Any:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    # The shrinkage of the covariance is that of Ledoit and Wolf: known from the data without trying.
    priors = None if how.class_weight is None else np.full(classes, 1.0 / classes)
    return _set(LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=priors), chosen)


def _kernel(how: TrainParameters, chosen: Mapping[str, Any]) -> Any:
    from terracube.processing.landcover.learners import KernelClassifier

    choices = _KERNEL_CHOICES if how.tune else {}
    open_choices = {name: values for name, values in choices.items() if name not in chosen}
    learner = KernelClassifier(class_weight=how.class_weight, score=how.score, random_state=how.seed, **open_choices)
    return _set(learner, chosen)


def _svm(how: TrainParameters, chosen: Mapping[str, Any], features: int, chances: bool, splits: Any) -> Any:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.svm import SVC

    start = {name: choices[0] for name, choices in _GRIDS["svm"].items()}
    told = {**start, **chosen}
    gamma = told["gamma"]
    if isinstance(gamma, int | float):
        # Per feature, so that a value means the same for 20 and for 600 of them.
        told["gamma"] = gamma / features
    machine = _set(SVC(class_weight=how.class_weight, random_state=how.seed), told)
    return CalibratedClassifierCV(machine, cv=splits, ensemble=False) if chances else machine


def _set(estimator: Any, chosen: Mapping[str, Any]) -> Any:
    known = set(estimator.get_params(deep=False)) - {"n_jobs", "random_state", "verbose", "warm_start"}
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise InputError(
            "the algorithm has no such parameters",
            where="parameters",
            expected=", ".join(sorted(known)),
            got=", ".join(unknown)[:200],
        )
    return estimator.set_params(**dict(chosen))
