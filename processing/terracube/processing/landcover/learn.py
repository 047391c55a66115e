"""Learning a classifier from a table of features: one function for all algorithms, honest choices, a model as a result.

Whatever is chosen by looking at data -- scales, hyper-parameters, the temperature of probabilities -- is chosen inside
:func:`fit`, from the rows it is given and in folds of whole groups. So a cross-validation that calls it never lets a
held-out sample take part in a choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field

from terracube.core.errors import InputError
from terracube.core.validation import validated
from terracube.processing.landcover.estimators import grid_of, make_estimator

if TYPE_CHECKING:
    from terracube.processing.landcover.accuracy.crossval import CrossValidation
    from terracube.processing.landcover.models import Model

type Algorithm = Literal["forest", "extra_trees", "lightgbm", "svm", "xgboost", "linear", "kernel", "ensemble"]
type Json = dict[str, Any]


class TrainParameters(BaseModel):
    """How a classifier is learnt; plain JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    algorithm: Algorithm = Field(
        default="forest",
        description="forest, extra_trees, lightgbm, xgboost: trees; svm, kernel: few samples; linear: discriminants; "
        "ensemble: mean of the probabilities of several",
    )
    parameters: dict[str, float | int | bool | str | None] = Field(
        default={}, description="hyper-parameters of the algorithm by their scikit-learn names"
    )
    tune: bool = Field(default=False, description="choose hyper-parameters in folds of the samples at hand")
    score: Literal["accuracy", "balanced_accuracy"] = Field(default="accuracy", description="what tuning looks at")
    class_weight: Literal["balanced"] | None = Field(default=None, description="whether classes count alike")
    members: tuple[Algorithm, ...] = Field(
        default=("linear", "kernel", "svm", "extra_trees"),
        min_length=1,
        max_length=8,
        description="algorithms of an ensemble",
    )
    trees: int = Field(default=200, ge=1, le=5000, description="trees of a forest")
    folds: int = Field(default=5, ge=2, le=50, description="folds, of tuning and of validation")
    repeats: int = Field(default=3, ge=0, le=100, description="cross-validations, each with folds of its own")
    calibrate: bool = Field(
        default=True,
        description="make probabilities true by a temperature, found on held-out samples; no class changes",
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1)


def to_parameters(params: TrainParameters | None = None, **options: Any) -> TrainParameters:
    """Accept parameters, or their fields one by one, or both: a field given by name wins.

    Raises
    ------
    InputError
        Naming the field that is wrong.
    """
    known = {} if params is None else params.model_dump()
    made = validated(TrainParameters, {**known, **options}, what="the model cannot be learnt so")
    if made.algorithm == "ensemble" and "ensemble" in made.members:
        raise InputError("an ensemble cannot be its own member", where="members", got=", ".join(made.members))
    return made


def fit(
    X: ArrayLike,
    y: ArrayLike,
    features: Sequence[str] | None = None,
    *,
    groups: ArrayLike | None = None,
    params: TrainParameters | None = None,
    **options: Any,
) -> Any:
    """Learn a classifier; hyper-parameters that are chosen are chosen inside folds of these samples alone.

    Parameters
    ----------
    X : (n, F) array
        Features, finite.
    y : (n,) array of int
        Class codes.
    features : sequence of str, optional
        Names of the features, for messages.
    groups : (n,) array, optional
        Samples that belong together (polygon, spatial block): inner folds never split them. Without them, inner folds
        are random and the choice leans to models that learn neighbours by heart.
    params, **options
        :class:`TrainParameters`, or its fields.

    Returns
    -------
    A fitted estimator with scikit-learn's ``predict``, ``predict_proba`` and ``classes_``; the same data, parameters
    and order of rows give the same one.

    Raises
    ------
    InputError
        If the table does not fit, holds NaN, or has a single class or a class with one sample; if a parameter is
        unknown to the algorithm, or its library is not installed.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(60, 2)), np.repeat([3, 7], 30)
    >>> X[y == 7] += 4
    >>> fit(X, y, algorithm="linear").predict([[0.0, 0.0], [4.0, 4.0]]).tolist()
    [3, 7]
    """
    how = to_parameters(params, **options)
    values, codes = _checked(X, y, features)
    _check_codes(codes)
    return _fit(values, codes, None if groups is None else _members(groups, len(codes)), how)


def _fit(
    values: NDArray[np.float32], codes: NDArray[np.int64], member: NDArray[np.int64] | None, how: TrainParameters
) -> Any:
    """Learn from a checked table, or from a part of one: in a part, a class may have a single sample."""
    if how.algorithm == "ensemble":
        return _ensemble(values, codes, member, how)
    chosen = how.parameters
    if how.tune and grid_of(how):
        chosen = _tuned(values, codes, member, how)
    return _learn(values, codes, member, how, chosen)


def validate_fit(
    X: ArrayLike,
    y: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    params: TrainParameters | None = None,
    **options: Any,
) -> CrossValidation:
    """Cross-validate :func:`fit` by random folds and, with groups, by folds of whole groups; choices are nested.

    See :func:`terracube.processing.landcover.accuracy.cross_validate`; parameters as for :func:`fit`.
    """
    from terracube.processing.landcover.accuracy.crossval import cross_validate

    how = to_parameters(params, **options)

    def learn(part: NDArray[Any], codes: NDArray[Any], member: NDArray[Any] | None) -> Any:
        return _fit(part, codes, member, how)

    values, codes = _checked(X, y, None)
    _check_codes(codes)
    seeds = range(how.seed, how.seed + max(1, how.repeats))
    return cross_validate(learn, values, codes, groups, folds=how.folds, seeds=seeds, nested=True)


def train_table(
    X: ArrayLike,
    y: ArrayLike,
    features: Sequence[str],
    *,
    groups: ArrayLike | None = None,
    params: TrainParameters | None = None,
    told: Mapping[str, Any] | None = None,
    card: Mapping[str, Any] | None = None,
) -> Model:
    """Learn a model from a table, with its training domain and a card that says how well it does.

    Parameters
    ----------
    X, y, features, groups, params
        As for :func:`fit`. With ``repeats`` above 0 the model is cross-validated. With ``calibrate`` the temperature
        of its probabilities is found on samples held out in that (in folds of its own without repeats).
    told : mapping, optional
        ``nomenclature`` and ``spec`` of the model, plain JSON; ``temperature``, if it is known already.
    card : mapping, optional
        Further entries of the card (title, licence, data checksums, dates); they win over what is found here.

    Returns
    -------
    Model
        With the arrays of its domain as ``extras``.

    Raises
    ------
    InputError
        As :func:`fit`.
    """
    from terracube.processing.landcover.domain import LEAST, training_domain
    from terracube.processing.landcover.models import Model

    how = to_parameters(params)
    values, codes = _checked(X, y, features)
    estimator = fit(values, codes, features, groups=groups, params=how)
    # Of few samples, or of one place, nobody can say what is unlike them: then maps tell nothing of it.
    several = groups is None or len(np.unique(np.asarray(groups))) > 1
    domain = training_domain(values, groups=groups, seed=how.seed) if several and len(values) >= LEAST else None
    found, heat = _validated(values, codes, groups, how, known="temperature" in (told or {}))
    entries = {**_card(values, codes, features, groups, how), **found, **(card or {})}
    return Model.from_sklearn(
        estimator,
        features=list(features),
        extras={} if domain is None else domain.arrays(),
        card=entries,
        **{"temperature": heat, **(told or {})},
    )


def _validated(
    values: NDArray[np.float32],
    codes: NDArray[np.int64],
    groups: ArrayLike | None,
    how: TrainParameters,
    *,
    known: bool,
) -> tuple[Json, float]:
    """Give what cross-validation has to say on the card, and the temperature of the probabilities."""
    from terracube.processing.landcover.tempering import calibrated, find_temperature

    calibrate = how.calibrate and not known
    if how.repeats:
        cross = validate_fit(values, codes, groups, params=how)
        better = calibrated(cross, groups) if calibrate else None
        told = (cross if better is None else better.cross).as_dict()
        entries: Json = {"accuracies": {name: told[name] for name in ("random", "blocked", "headline", "notes")}}
        return (entries, 1.0) if better is None else (entries | {"calibration": better.as_dict()}, better.temperature)
    if not calibrate:
        return {}, 1.0
    member = None if groups is None else _members(groups, len(codes))
    heat = find_temperature(_held_out(values, codes, member, how), codes, np.unique(codes))
    return {"calibration": {"temperature": heat, "found_on": "samples held out in folds"}}, heat


def _held_out(
    values: NDArray[np.float32], codes: NDArray[np.int64], member: NDArray[np.int64] | None, how: TrainParameters
) -> NDArray[np.float32]:
    """Give what is said of each sample by a model that had not seen its fold; NaN if it had not seen its class."""
    classes, number = np.unique(codes, return_inverse=True)
    out = np.full((len(codes), len(classes)), np.nan, np.float32)
    for train, test in _folds(number, member, how):
        learnt = np.unique(codes[train])
        if len(learnt) > 1:
            rows = test[np.isin(codes[test], learnt)]
            if len(rows):
                part = None if member is None else member[train]
                out[rows] = 0
                said = _fit(values[train], codes[train], part, how).predict_proba(values[rows])
                out[np.ix_(rows, np.searchsorted(classes, learnt))] = said
    return out


def _folds(number: NDArray[Any], member: NDArray[np.int64] | None, how: TrainParameters) -> list[tuple[Any, Any]]:
    """Share out samples by whole groups, if there are several."""
    from terracube.processing.landcover.learners import folds_of

    several = member is not None and len(np.unique(member)) > 1
    return folds_of(number, member if several else None, how.seed, folds=how.folds)


def _card(
    values: NDArray[Any], codes: NDArray[Any], features: Sequence[str], groups: ArrayLike | None, how: TrainParameters
) -> Json:
    """Tell what a model was made of, as the card of a model wants it."""
    from terracube.processing.landcover.models.card import make_card

    found, counts = np.unique(codes, return_counts=True)
    low, middle, high = np.quantile(values, [0.01, 0.5, 0.99], axis=0).round(6).tolist()
    return make_card(
        classes=[{"code": code, "samples": count} for code, count in zip(found.tolist(), counts.tolist(), strict=True)],
        features=list(features),
        domain={"quantiles": [0.01, 0.5, 0.99], "values": [low, middle, high]},
        training=how.model_dump(mode="json"),
        samples=len(codes),
        groups=None if groups is None else len(np.unique(np.asarray(groups))),
    )


def _checked(
    X: ArrayLike, y: ArrayLike, features: Sequence[str] | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Take a table as float32 and codes, or say what is wrong with it."""
    values, codes = np.asarray(X), np.asarray(y)
    good = values.ndim == 2 and values.dtype.kind in "fiub" and codes.ndim == 1 and len(codes) == len(values)
    if not good or codes.dtype.kind not in "iu":
        raise InputError(
            "this is no table of samples",
            where="X, y",
            expected="numbers (n, features), whole numbers (n,)",
            got=f"{values.dtype} {values.shape}, {codes.dtype} {codes.shape}",
        )
    if features is not None and (len(features) != values.shape[1] or len(set(features)) < len(features)):
        raise InputError(
            "the names of the features do not fit the table",
            where="features",
            expected=f"{values.shape[1]} different names",
            got=f"{len(features)} names, {len(set(features))} different",
        )
    with np.errstate(over="ignore"):
        table = np.ascontiguousarray(values, np.float32)
    bad = ~np.isfinite(table)
    if bad.any():
        row, column = np.argwhere(bad)[0].tolist()
        where = f"row {row}, " + (str(features[column]) if features is not None else f"column {column}")
        todo = "leave out samples with missing features"
        got = f"{int(bad.sum())} that are not"
        raise InputError("features must be finite to learn from", where=where, got=got, todo=todo)
    return table, codes.astype(np.int64)


def _check_codes(codes: NDArray[Any]) -> None:
    found, counts = np.unique(codes, return_counts=True)
    if len(found) < 2:
        got = f"{len(found)} ({', '.join(map(str, found))})"
        raise InputError("one class cannot be told from others", where="y", expected="two classes or more", got=got)
    alone = found[counts < 2]
    if len(alone):
        raise InputError(
            "a class has a single sample",
            where="y",
            expected="two samples or more of each class",
            got=", ".join(map(str, alone[:12].tolist())),
            todo="add samples, join the class with another, or leave it out",
        )


def _members(groups: ArrayLike, n: int) -> NDArray[np.int64]:
    given = np.asarray(groups)
    if given.shape != (n,):
        raise InputError("the groups do not fit the table", where="groups", expected=f"({n},)", got=str(given.shape))
    found: NDArray[np.int64] = np.unique(given, return_inverse=True)[1].astype(np.int64)
    return found


def _ensemble(
    values: NDArray[np.float32], codes: NDArray[np.int64], member: NDArray[np.int64] | None, how: TrainParameters
) -> Any:
    from terracube.processing.landcover.learners import Ensemble

    if how.parameters:
        raise InputError("an ensemble has no parameters of its own", where="parameters", got=", ".join(how.parameters))
    parts = []
    for name in how.members:
        alone = how.model_copy(update={"algorithm": name})
        parts.append((name, _fit(values, codes, member, alone)))
    return Ensemble(parts)


def _tuned(
    values: NDArray[np.float32], codes: NDArray[np.int64], member: NDArray[np.int64] | None, how: TrainParameters
) -> Json:
    """Give the parameters that do best in inner folds; of equal ones the first of the grid."""
    from sklearn.metrics import accuracy_score, balanced_accuracy_score

    folds = _folds(np.unique(codes, return_inverse=True)[1], member, how)
    judge = balanced_accuracy_score if how.score == "balanced_accuracy" else accuracy_score
    grid = grid_of(how)
    best, chosen = -1.0, dict(how.parameters)
    for combination in product(*grid.values()):
        candidate = {**how.parameters, **dict(zip(grid, combination, strict=True))}
        said = np.full(len(codes), np.iinfo(np.int64).min)
        for train, test in folds:
            if len(np.unique(codes[train])) > 1:
                quick = make_estimator(how, candidate, _sizes(values, codes[train]), chances=False)
                said[test] = _run(quick, values[train], codes[train], None, how).predict(values[test])
        # A class that no fold could learn counts against every candidate alike.
        found = _judged(judge, codes, said)
        if found > best:
            best, chosen = found, candidate
    return chosen


def _judged(judge: Any, codes: NDArray[np.int64], said: NDArray[np.int64]) -> float:
    import warnings

    with warnings.catch_warnings():
        # Classes that are only predicted, such as the mark of a fold that could not be learnt, have no recall.
        warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true", category=UserWarning)
        return float(judge(codes, said))


def _learn(
    values: NDArray[np.float32],
    codes: NDArray[np.int64],
    member: NDArray[np.int64] | None,
    how: TrainParameters,
    chosen: Mapping[str, Any],
) -> Any:
    from terracube.processing.landcover.learners import folds_of

    splits = None
    if how.algorithm == "svm":
        # Folds of groups may miss a class altogether, which would teach the calibration that it never occurs.
        splits = folds_of(np.unique(codes, return_inverse=True)[1], None, how.seed, folds=how.folds)
    estimator = make_estimator(how, chosen, _sizes(values, codes), chances=True, splits=splits)
    return _run(estimator, values, codes, member, how)


def _sizes(values: NDArray[np.float32], codes: NDArray[np.int64]) -> tuple[int, int]:
    return values.shape[1], len(np.unique(codes))


def _run(
    estimator: Any,
    values: NDArray[np.float32],
    codes: NDArray[np.int64],
    member: NDArray[np.int64] | None,
    how: TrainParameters,
) -> Any:
    try:
        if how.algorithm == "kernel":
            return estimator.fit(values, codes, **({} if member is None else {"kernelclassifier__groups": member}))
        if how.algorithm == "xgboost":
            return _run_xgboost(estimator, values, codes, how)
        return estimator.fit(values, codes)
    except _refusals(how.algorithm) as error:
        raise InputError(
            "the algorithm refuses its parameters or samples",
            where=how.algorithm,
            got=" ".join(str(error).split())[:300],
        ) from error


def _refusals(algorithm: Algorithm) -> tuple[type[Exception], ...]:
    """Name what the library of an algorithm raises for parameters that it cannot use."""
    if algorithm == "lightgbm":
        from lightgbm.basic import LightGBMError

        return ValueError, TypeError, LightGBMError
    return ValueError, TypeError


def _run_xgboost(estimator: Any, values: NDArray[np.float32], codes: NDArray[np.int64], how: TrainParameters) -> Any:
    """XGBoost wants classes 0, 1, ... and weights; the codes are put back by a thin cover."""
    from sklearn.utils.class_weight import compute_sample_weight

    from terracube.processing.landcover.learners import Recoded

    classes, number = np.unique(codes, return_inverse=True)
    weight = None if how.class_weight is None else compute_sample_weight(how.class_weight, codes)
    return Recoded(estimator.fit(values, number, sample_weight=weight), classes)
