"""Cross-validation twice over: random folds, and folds of whole groups such as spatial blocks, side by side.

Samples close together look alike, so that random folds flatter a model: a fold holds neighbours of what was learnt.
Folds of whole blocks ask it about places it has not seen; their figure is the headline, the random one its bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import InputError
from terracube.processing.landcover.accuracy.scores import (
    Confusion,
    Scores,
    ScoreSpread,
    Spread,
    as_codes,
    confusion,
    scores,
    spread_scores,
)

RANDOM, BLOCKED = "random", "blocked"

type Rows = NDArray[np.int64]
type Fit = Callable[..., Any]
"""``fit(X, y)``, or ``fit(X, y, groups)``: gives something with ``predict`` and, if it can, ``predict_proba``."""


@dataclass(frozen=True, eq=False, slots=True)
class Validation:
    """One way to make folds, repeated with several seeds."""

    scheme: str
    """``random`` or ``blocked``."""
    folds: int
    seeds: tuple[int, ...]
    codes: tuple[int, ...]
    predicted: NDArray[np.int64]
    """(seed, sample): what was said of each sample by the model that had not seen its fold."""
    probabilities: NDArray[np.float32] | None
    """(sample, class), of the first seed; ``None`` if the model gives none."""
    confusions: tuple[Confusion, ...]
    """One per seed, all folds together."""
    scores: tuple[Scores, ...]
    """One per seed."""
    spread: ScoreSpread
    """The scores over seeds."""
    places: Spread
    """Overall accuracy, had other groups (without groups: other samples) been visited: 95 % interval of a ratio over
    groups taken as clusters, of the agreement averaged over seeds (Cochran 1977, Sampling techniques, 9A.1)."""

    @property
    def overall(self) -> float:
        """Mean overall accuracy over seeds."""
        return self.spread.overall.mean

    def as_dict(self) -> dict[str, Any]:
        """Give plain JSON values."""
        mean = np.mean([one.counts for one in self.confusions], axis=0)
        return {
            "scheme": self.scheme,
            "folds": self.folds,
            "seeds": list(self.seeds),
            "scores": self.spread.as_dict(),
            "overall_over_places": self.places.as_dict(),
            "confusion": Confusion(self.codes, mean).as_dict(),
        }


@dataclass(frozen=True, eq=False, slots=True)
class CrossValidation:
    """Random and blocked cross-validation of one model on one table."""

    labels: NDArray[np.int64]
    """Reference code of each sample."""
    random: Validation
    blocked: Validation | None
    """``None`` if no groups were given."""
    notes: tuple[str, ...]
    """What a reader of the figures should know."""

    @property
    def headline(self) -> Validation:
        """Give the blocked validation, or the random one if there is no other."""
        return self.random if self.blocked is None else self.blocked

    def as_dict(self) -> dict[str, Any]:
        """Give plain JSON values."""
        return {
            "samples": int(self.labels.size),
            "random": self.random.as_dict(),
            "blocked": None if self.blocked is None else self.blocked.as_dict(),
            "headline": self.headline.scheme,
            "notes": list(self.notes),
        }


def cross_validate(
    fit: Fit,
    X: ArrayLike,
    y: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    folds: int = 5,
    seeds: Iterable[int] = range(10),
    nested: bool = False,
) -> CrossValidation:
    """Validate a model by random folds and, with groups, by folds of whole groups: several seeds, same samples.

    Parameters
    ----------
    fit : callable
        ``fit(X, y)`` learns from the rows it is given and returns an object with ``predict(X)`` giving codes. If that
        has ``predict_proba(X)`` and ``classes_``, probabilities are kept too. Everything that is learnt -- scaling,
        hyper-parameters -- belongs inside, so that no fold knows of another.
    X : array (n, F)
        Features; handed on as they are.
    y : array of int (n,)
        Class codes.
    groups : array (n,), optional
        Group of each sample: a spatial block, a polygon. No group is in both parts of a fold.
    folds : int
        At least 2.
    seeds : iterable of int
        One repetition each.
    nested : bool
        Call ``fit(X, y, groups)`` instead, for models that choose hyper-parameters in folds of their own: with the
        groups of these rows in the blocked scheme, with ``None`` in the random one.

    Returns
    -------
    CrossValidation
        Random folds share out each class evenly. Blocked folds are those of scikit-learn's shuffled ``GroupKFold``:
        equally many groups each, whatever their size, and do not depend on the order of rows.

    Raises
    ------
    InputError
        If there is a single class, a class with one sample, fewer groups than folds, or a fold to learn from whose
        rows hold one class alone.

    References
    ----------
    Roberts et al. 2017, Cross-validation strategies for data with temporal, spatial, hierarchical, or phylogenetic
    structure, doi:10.1111/ecog.02881.

    Examples
    --------
    >>> from sklearn.naive_bayes import GaussianNB
    >>> X = np.repeat([[0.0], [1.0], [5.0], [6.0]], 6, axis=0) + np.tile([[0.0], [0.1]], (12, 1))
    >>> y = np.repeat([1, 2], 12)
    >>> found = cross_validate(lambda X, y: GaussianNB().fit(X, y), X, y, np.arange(24) % 8, folds=4, seeds=[0, 1])
    >>> found.headline.scheme, found.headline.overall
    ('blocked', 1.0)
    """
    table, labels = np.asarray(X), as_codes(y, "y")
    tried = tuple(int(seed) for seed in seeds)
    member = _checked(table, labels, groups, folds, tried)
    run = _Run(fit, table, labels, member, folds, tried, nested)
    random = _validate(run, RANDOM)
    blocked = None if member is None else _validate(run, BLOCKED)
    return CrossValidation(labels, random, blocked, _notes(labels, member, folds))


@dataclass(frozen=True, eq=False, slots=True)
class _Run:
    """What both schemes share."""

    fit: Fit
    X: NDArray[Any]
    y: NDArray[np.int64]
    groups: Rows | None
    folds: int
    seeds: tuple[int, ...]
    nested: bool


def _checked(
    X: NDArray[Any], y: NDArray[np.int64], groups: ArrayLike | None, folds: int, seeds: Sequence[int]
) -> Rows | None:
    """Check the table; give the number of the group of each row."""
    if X.ndim != 2 or len(X) != len(y):
        raise InputError("the table needs a row for each label", where="X, y", got=f"{X.shape} and {y.shape}")
    if isinstance(folds, bool) or folds < 2 or not seeds:
        raise InputError("two folds and one seed are the least", where="folds, seeds", got=f"{folds}, {len(seeds)}")
    codes, counts = np.unique(y, return_counts=True)
    if codes.size < 2:
        raise InputError("there is nothing to tell apart", where="y", expected="two classes", got=f"{codes.size}")
    if counts.min() < 2:
        alone = ", ".join(str(code) for code in codes[counts < 2].tolist())
        raise InputError(
            "a class with one sample cannot be validated", where=f"class {alone}", todo="add samples or leave it out"
        )
    if groups is None:
        return None
    given = np.asarray(groups)
    if given.shape != y.shape:
        raise InputError("each sample needs a group", where="groups", expected=str(y.shape), got=str(given.shape))
    names, member = np.unique(given, return_inverse=True)
    if names.size < folds:
        raise InputError(
            "there are fewer groups than folds", where="groups", expected=f"at least {folds}", got=str(names.size)
        )
    return member.astype(np.int64)


def random_folds(y: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """Give the fold of each sample: each class is shuffled and dealt out, going on where the class before ended."""
    rng = np.random.default_rng(seed)
    fold = np.empty(y.size, np.int64)
    dealt = 0
    for code in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == code))
        fold[rows] = (dealt + np.arange(rows.size)) % folds
        dealt += rows.size
    return fold


def blocked_folds(groups: Rows, folds: int, seed: int) -> NDArray[np.int64]:
    """Give the fold of each sample: whole groups, equally many in each fold."""
    from sklearn.model_selection import GroupKFold

    fold = np.empty(groups.size, np.int64)
    splitter = GroupKFold(folds, shuffle=True, random_state=seed)
    for number, (_, test) in enumerate(splitter.split(groups, groups=groups)):
        fold[test] = number
    return fold


def _validate(run: _Run, scheme: str) -> Validation:
    codes = np.unique(run.y)
    predicted = np.empty((len(run.seeds), run.y.size), np.int64)
    kept: NDArray[np.float32] | None = None
    for number, seed in enumerate(run.seeds):
        chances = np.zeros((run.y.size, codes.size), np.float32) if number == 0 else None
        complete = True
        for train, test in _splits(run, scheme, seed):
            model = _learn(run, scheme, train)
            predicted[number, test] = as_codes(model.predict(run.X[test]), "predict")
            if chances is not None:
                complete &= _keep(chances, model, run.X[test], test, codes)
        if chances is not None and complete:
            kept = chances
    matrices = tuple(confusion(row, run.y, codes=codes.tolist()) for row in predicted)
    found = tuple(scores(matrix) for matrix in matrices)
    places = _over_places((predicted == run.y).mean(axis=0), run.groups)
    spread = spread_scores(found)
    return Validation(scheme, run.folds, run.seeds, spread.codes, predicted, kept, matrices, found, spread, places)


def _splits(run: _Run, scheme: str, seed: int) -> Iterator[tuple[Rows, Rows]]:
    if scheme == BLOCKED and run.groups is not None:
        fold = blocked_folds(run.groups, run.folds, seed)
    else:
        fold = random_folds(run.y, run.folds, seed)
    for number in range(run.folds):
        test = np.flatnonzero(fold == number)
        # Tiny tables leave a fold empty.
        if test.size:
            yield np.flatnonzero(fold != number), test


def _learn(run: _Run, scheme: str, train: Rows) -> Any:
    y = run.y[train]
    if (y == y[0]).all():
        raise InputError(
            "the part to learn from holds one class alone",
            where=f"{scheme} folds",
            got=f"class {int(y[0])}",
            todo="take smaller groups, or fewer folds",
        )
    if not run.nested:
        return run.fit(run.X[train], y)
    return run.fit(run.X[train], y, run.groups[train] if scheme == BLOCKED and run.groups is not None else None)


def _keep(chances: NDArray[np.float32], model: Any, X: NDArray[Any], test: Rows, codes: NDArray[np.int64]) -> bool:
    """Put the probabilities of a fold in place; a class that was not learnt has none. Tell whether there are any."""
    if not (hasattr(model, "predict_proba") and hasattr(model, "classes_")):
        return False
    known = as_codes(model.classes_, "classes_")
    chances[np.ix_(test, np.searchsorted(codes, known))] = model.predict_proba(X)
    return True


def _over_places(right: NDArray[np.float64], groups: Rows | None) -> Spread:
    """Give the accuracy as a ratio over groups, each a cluster drawn at random, with Student's interval."""
    from scipy.special import stdtrit

    member = np.arange(right.size) if groups is None else groups
    sums, sizes = np.bincount(member, right), np.bincount(member)
    mean = float(sums.sum() / sizes.sum())
    departure = sums - mean * sizes
    error = math.sqrt(sums.size / (sums.size - 1) * float(departure @ departure)) / float(sizes.sum())
    half = float(stdtrit(sums.size - 1, 0.975)) * error
    return Spread(mean, error * math.sqrt(sums.size), max(0.0, mean - half), min(1.0, mean + half), int(sums.size))


def _notes(y: NDArray[np.int64], groups: Rows | None, folds: int) -> tuple[str, ...]:
    codes, counts = np.unique(y, return_counts=True)
    notes = [
        f"class {code} has {count} samples, fewer than the {folds} folds"
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True)
        if count < folds
    ]
    if groups is None:
        return (*notes, "no groups were given: random folds alone, an optimistic figure where samples lie close")
    for code in codes.tolist():
        held = np.unique(groups[y == code]).size
        if held == 1:
            notes.append(f"class {code} lies in one group: blocked folds can never recognise it")
    share = float(np.bincount(groups).max() / groups.size)
    if share > 1 / folds:
        notes.append(f"one group holds {share:.0%} of the samples: blocked folds are unequal")
    return tuple(notes)
