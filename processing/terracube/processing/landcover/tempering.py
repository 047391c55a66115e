"""The temperature of a model: found from what it said of samples that it had not seen, so that probabilities are true.

A forest of fully grown trees is seldom as sure as it could be, boosted trees and discriminants are surer than they
should be. One number T mends most of either, p**(1/T) scaled to sum 1, and changes no class.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import InputError
from terracube.processing.kernels.temper import temper
from terracube.processing.landcover.accuracy.calibration import Calibration, calibration, temperature
from terracube.processing.landcover.accuracy.crossval import (
    BLOCKED,
    CrossValidation,
    Validation,
    blocked_folds,
    random_folds,
)

# The search by halves ends when the temperature is known to 1e-4.
_HALVES = 14


@dataclass(frozen=True, eq=False)
class Tempered:
    """A cross-validation as the calibrated model gives it."""

    cross: CrossValidation
    temperature: float
    before: Calibration
    after: Calibration

    def as_dict(self) -> dict[str, Any]:
        """Give plain JSON values, for the card of a model."""
        return {
            "temperature": self.temperature,
            "ece": round(self.after.ece, 6),
            "ece_before": round(self.before.ece, 6),
            "samples": self.after.samples,
            "found_on": f"held-out samples of the {self.cross.headline.scheme} folds; the errors are of the same ones",
        }


def tempered(chances: ArrayLike, value: float) -> NDArray[np.float32]:
    """Give probabilities (n, classes) calibrated by a temperature; the first of the largest of a row stays so.

    Examples
    --------
    >>> tempered([[0.6, 0.3, 0.1]], 0.5).round(3).tolist()
    [[0.7829999923706055, 0.19599999487400055, 0.02199999988079071]]
    """
    out = np.array(chances, np.float32, order="C")
    temper(out, 1 / value)
    return out


def find_temperature(chances: ArrayLike, labels: ArrayLike, codes: ArrayLike) -> float:
    """Find the temperature by which probabilities of held-out samples come closest to the truth (Brier's score).

    Where all of few samples were right, that would be certainty. So no temperature below 1 makes the mean of the
    highest probabilities exceed (right + 1) / (n + 2), Laplace's rule of succession.

    Parameters
    ----------
    chances : (n, classes) array
        Rows with NaN are left out.
    labels : (n,) array of int
    codes : (classes,) array of int
        Class of each column.

    Returns
    -------
    float
        Rounded to four decimals; 1 without rows.
    """
    columns, truth = np.asarray(codes), np.asarray(labels)
    values = np.asarray(chances, np.float32)
    used = np.isfinite(values).all(axis=1)
    values, truth = values[used], truth[used]
    if not len(values):
        return 1.0
    found = round(temperature(values, truth, columns.tolist(), score="brier"), 4)
    most = (int((columns[values.argmax(axis=1)] == truth).sum()) + 1) / (len(values) + 2)
    if found >= 1 or tempered(values, found).max(axis=1).mean() <= most:
        return found
    low, high = found, 1.0
    for _ in range(_HALVES):
        middle = (low + high) / 2
        low, high = (low, middle) if tempered(values, middle).max(axis=1).mean() <= most else (middle, high)
    return round(high, 4)


def calibrated(cross: CrossValidation, groups: ArrayLike | None) -> Tempered | None:
    """Calibrate a cross-validation by the temperature of its headline; ``None`` where there are no probabilities.

    Samples of a class that the model of their fold had no sample of take no part: it could not know that class, the
    final model does. Their probabilities become NaN.

    Parameters
    ----------
    cross : CrossValidation
    groups : (n,) array, optional
        Those it was made with.
    """
    best = cross.headline
    if best.probabilities is None:
        return None
    known = _learnable(best, cross.labels, groups)
    if not known.any():
        return None
    held_out = np.where(known[:, None], best.probabilities, np.float32(np.nan))
    value = find_temperature(held_out, cross.labels, best.codes)
    after = tempered(held_out, value)
    notes = [
        f"the probabilities are calibrated by a temperature of {value:g}; it was found on the same held-out samples "
        "that the calibration error is told of, so elsewhere the error may be larger"
    ]
    if not known.all():
        notes.append(
            f"{int((~known).sum())} samples take no part in the calibration: no other fold has samples of their class"
        )
    changed: Any = {"blocked" if best.scheme == BLOCKED else "random": replace(best, probabilities=after)}
    return Tempered(
        replace(cross, notes=(*cross.notes, *notes), **changed),
        value,
        *(calibration(one, cross.labels, best.codes) for one in (held_out, after)),
    )


def _learnable(best: Validation, labels: NDArray[np.int64], groups: ArrayLike | None) -> NDArray[np.bool_]:
    """Tell of which samples the class was among those that the model of their fold learnt from."""
    if best.scheme == BLOCKED:
        if groups is None:
            raise InputError("folds of groups were made with groups", where="groups", got="None")
        member = np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)
        fold = blocked_folds(member, best.folds, best.seeds[0])
    else:
        fold = random_folds(labels, best.folds, best.seeds[0])
    known = np.zeros(labels.size, np.bool_)
    for number in range(best.folds):
        inside = fold == number
        known[inside] = np.isin(labels[inside], labels[~inside])
    return known
