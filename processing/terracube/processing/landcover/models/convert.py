"""Classifiers by kind: taken from fitted estimators, and put together again from what a file says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing.landcover.models import file
from terracube.processing.landcover.models.boosted import Boosted
from terracube.processing.landcover.models.checks import Arrays, Facts, demand
from terracube.processing.landcover.models.forest import Forest
from terracube.processing.landcover.models.protocol import Classifier
from terracube.processing.landcover.models.scaled import Scaled
from terracube.processing.landcover.models.scores import Linear, Mean, Radial
from terracube.processing.landcover.models.svm import Svm

_FORESTS = ("RandomForestClassifier", "ExtraTreesClassifier", "DecisionTreeClassifier", "ExtraTreeClassifier")
_LINEAR = ("LinearDiscriminantAnalysis", "LogisticRegression")
_OTHERS = ("LGBMClassifier", "XGBClassifier", "SVC", "CalibratedClassifierCV of SVC", "VotingClassifier", "Pipeline")
_SIMPLE: dict[str, type[Forest] | type[Boosted] | type[Svm] | type[Radial]] = {
    one.kind: one for one in (Forest, Boosted, Svm, Radial)
}
_SCORES = (*_LINEAR, "KernelClassifier")
_MAX_NESTING = 4


def classifier_of(estimator: Any, *, missing: bool) -> Classifier:
    """Copy the numbers of a fitted estimator.

    Raises
    ------
    InputError
        If it is of a kind that is not known here.
    """
    name = type(estimator).__name__
    match name:
        case _ if name in _FORESTS:
            demand(getattr(estimator, "n_outputs_", 1) == 1, "the forest predicts several things", where="estimator")
            return Forest.from_sklearn(estimator, missing=missing)
        case "LGBMClassifier":
            return Boosted.from_lightgbm(estimator)
        case "XGBClassifier":
            return Boosted.from_xgboost(estimator)
        case "SVC" | "NuSVC":
            return Svm.from_sklearn(estimator)
        case "CalibratedClassifierCV":
            return _calibrated(estimator)
        case "VotingClassifier":
            return _voting(estimator, missing=missing)
        case "Ensemble":
            return Mean(tuple(classifier_of(one, missing=missing) for _, one in estimator.members))
        case "Recoded":
            return classifier_of(estimator.estimator, missing=missing)
        case _ if name in _SCORES:
            return _scores(estimator, np.zeros(estimator.n_features_in_), np.ones(estimator.n_features_in_))
        case "Pipeline":
            return _pipeline([step for _, step in estimator.steps], missing=missing)
    known = ", ".join((*_FORESTS, *_OTHERS, *_SCORES))
    raise InputError("this kind of estimator cannot be taken over", where="estimator", expected=known, got=name)


def _calibrated(estimator: Any) -> Classifier:
    """Copy machines with one sigmoid per class."""
    pairs = estimator.calibrated_classifiers_
    demand(estimator.method == "sigmoid", "only calibration by a sigmoid can be taken over", where="estimator")
    members = tuple(_calibrated_member(one.estimator, one.calibrators) for one in pairs)
    return members[0] if len(members) == 1 else Mean(members)


def _calibrated_member(machine: Any, calibrators: list[Any]) -> Classifier:
    """Copy one machine, scaled or not, with its sigmoids."""
    if type(machine).__name__ == "Pipeline":
        *before, last = [step for _, step in machine.steps]
        return _scaled(before, _calibrated_member(last, calibrators))
    name = type(machine).__name__
    good = name in ("SVC", "NuSVC") and machine.decision_function_shape == "ovr"
    demand(good, "only a calibrated SVC can be taken over", where="estimator", got=name)
    return Svm.from_sklearn(machine, list(calibrators))


def _voting(estimator: Any, *, missing: bool) -> Classifier:
    """Copy the members of a soft vote."""
    demand(estimator.voting == "soft", "only a vote with probabilities can be taken over", where="estimator")
    members = tuple(classifier_of(one, missing=missing) for one in estimator.estimators_)
    weights = estimator.weights
    equal = weights is None or len(set(weights)) == 1
    demand(equal, "only a vote of equal weights can be taken over", where="estimator", got=str(weights)[:80])
    return Mean(members)


def _scores(estimator: Any, shift: NDArray[np.float64], factor: NDArray[np.float64]) -> Classifier:
    """Copy a classifier by scores of features ``(x - shift) * factor``."""
    if type(estimator).__name__ in _LINEAR:
        return Linear.from_sklearn(estimator, shift=shift, factor=factor)
    return Radial.from_sklearn(estimator, shift=shift, factor=factor)


def _pipeline(steps: list[Any], *, missing: bool) -> Classifier:
    """Copy a classifier and the scalers before it."""
    *before, last = [step for step in steps if step is not None and step != "passthrough"]
    if type(last).__name__ in _SCORES and len(before) == 1:
        mean, scale = _scaling(before[0])
        return _scores(last, mean, 1 / scale)
    return _scaled(before, classifier_of(last, missing=missing))


def _scaled(before: list[Any], inner: Classifier) -> Classifier:
    """Put scalers before a classifier."""
    for step in reversed(before):
        inner = Scaled(*_scaling(step), inner)
    return inner


def _scaling(step: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Copy mean and scale of a StandardScaler."""
    name = type(step).__name__
    demand(
        name == "StandardScaler",
        "only a StandardScaler can stand before a classifier",
        where="estimator",
        expected="StandardScaler",
        got=name,
    )
    features = int(step.n_features_in_)
    mean = np.zeros(features) if step.mean_ is None or not step.with_mean else step.mean_
    scale = np.ones(features) if step.scale_ is None else step.scale_
    return np.array(mean, np.float64), np.array(scale, np.float64)


def check_names_of(estimator: Any, names: tuple[str, ...]) -> None:
    """Refuse names in another order than the estimator itself remembers, and estimators that are not fitted."""
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(estimator)
    except (NotFittedError, TypeError) as error:
        got = type(estimator).__name__
        raise InputError("this is no fitted estimator", where="estimator", got=got, todo="fit it first") from error
    remembered = getattr(estimator, "feature_names_in_", None)
    # LightGBM makes names up where it was given none.
    invented = remembered is not None and all(name == f"Column_{k}" for k, name in enumerate(remembered))
    if remembered is not None and not invented and tuple(map(str, remembered)) != names:
        raise InputError(
            "the features are not those the estimator was fitted with",
            where="features",
            expected=", ".join(map(str, remembered[:12])),
            got=", ".join(names[:12]),
        )


def codes_of(estimator: Any, classes: Sequence[int] | None) -> tuple[int, ...]:
    """Give the code of each class of the estimator."""
    if classes is not None:
        return tuple(int(code) for code in classes)
    own = np.asarray(estimator.classes_)
    if own.dtype.kind not in "iu":
        raise InputError(
            "the classes of the estimator are not whole numbers",
            where="classes",
            got=", ".join(map(str, own[:12])),
            todo="give the code of each of its classes_ as classes=[...]",
        )
    return tuple(int(code) for code in own)


def classifier_from(kind: Any, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Classifier:
    """Put a classifier together from the facts and arrays of a file.

    Raises
    ------
    IntegrityError
        If they do not make one.
    """
    with file.blaming():
        return _from(kind, facts, Arrays(arrays), depth=0)


def _from(kind: Any, facts: Any, arrays: Arrays, *, depth: int) -> Classifier:
    """Put a classifier together that may be made of others, to some depth."""
    demand(isinstance(facts, dict) and depth < _MAX_NESTING, "the classifier is no object", where="classifier")
    if isinstance(kind, str) and kind in _SIMPLE:
        return _SIMPLE[kind].from_parts(Facts(facts), arrays)
    if kind == "linear":
        return Linear.from_parts(arrays)
    if kind == "scaled":
        mean, scale = (arrays.take(name, np.float64, 1) for name in ("mean", "scale"))
        told = facts.get("inner")
        good = isinstance(told, dict) and set(told) == {"kind", "facts"}
        demand(good, "there is no inner classifier", where="inner")
        inner = _from(told["kind"], told["facts"], arrays.below("inner/"), depth=depth + 1)
        return Scaled(mean, scale, inner)
    if kind == "mean":
        return Mean.from_parts(Facts(facts), arrays, lambda *parts: _member(*parts, depth=depth + 1))
    known = ", ".join((*_SIMPLE, "linear", "scaled", "mean"))
    raise InputError("the kind of classifier is not known", where="kind", expected=known, got=repr(kind)[:80])


def _member(kind: Any, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], *, depth: int) -> Classifier:
    """Put one member of several together."""
    return _from(kind, facts, Arrays(arrays), depth=depth)


def checked_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """See that the facts of a model are of the right types; give them as a dict.

    Raises
    ------
    IntegrityError
        If they are not.
    """
    names = {"kind", "classifier", "features", "classes", "nomenclature", "spec", "card", "missing"}
    with file.blaming():
        told = set(facts) - {"temperature"}
        demand(told == names, "the facts are not those of a model", where="facts", got=str(len(facts)))
        # Told only where it changes something, so that a model has one form and one digest.
        demand(facts.get("temperature") != 1, "a temperature of 1 is not told", where="temperature")
        demand(isinstance(facts["kind"], str), "the kind is not a word", where="kind")
        demand(_all(facts["features"], str), "the features are not a list of names", where="features")
        demand(_all(facts["classes"], int), "the classes are not a list of codes", where="classes")
        demand(isinstance(facts["missing"], bool), "this is neither true nor false", where="missing")
        for name in ("classifier", "card"):
            demand(isinstance(facts[name], dict), "this is not an object", where=name)
        for name in ("nomenclature", "spec"):
            demand(facts[name] is None or isinstance(facts[name], dict), "this is no object", where=name)
    return dict(facts)


def _all(values: Any, kind: type) -> bool:
    """Tell whether this is a list of values of exactly one kind."""
    return isinstance(values, list) and all(type(one) is kind for one in values)
