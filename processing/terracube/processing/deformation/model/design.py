"""The dates of a series against the terms of a model: the design matrix, and whether the dates hold the model."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing.deformation.model.terms import (
    YEAR,
    Doubles,
    Model,
    Relaxation,
    Seasonal,
    Step,
    Term,
    Times,
    days_since,
)

# Below so many years a year's wave cannot be told from a trend; below the second it is poorly told.
_LEAST_YEARS, _FAIR_YEARS = 1.5, 2.0
# Share of a column that the others must leave unexplained, as in the regression.
_DEGENERATE = 1e-9


class ShortSeriesWarning(UserWarning):
    """The series holds a term of the model barely."""


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """A model at some dates."""

    model: Model
    epoch: np.datetime64
    """Where the years of polynomials count from: the middle of the series."""
    matrix: Doubles
    """(time, parameter), columns of a root mean square of 1."""
    scale: Doubles
    """(parameter,): what a parameter of ``matrix`` is divided by to get that of the model."""
    days: Doubles
    """(time,): since the first date."""

    @property
    def hat(self) -> Doubles:
        """The matrix that gives the model's values from those of a series without gaps, (time, time)."""
        q = np.linalg.qr(self.matrix)[0]
        return q @ q.T


def design_of(model: Model, times: Times, *, warn: bool = True) -> Design:
    """Make the design matrix, in centred and scaled time.

    Parameters
    ----------
    model : Model
    times : array (time,), datetime64
        In order, each once.
    warn : bool
        Whether to warn of terms that the dates hold barely.

    Raises
    ------
    InputError
        If dates are out of order, if there are no more dates than parameters, if the span is below 18 months for a
        seasonal term, if no date lies before or after a step, fewer than two after the beginning of a relaxation, or if
        the dates cannot tell a term from the others.

    Warns
    -----
    ShortSeriesWarning
        If the span is below two years for a seasonal term, or a single date lies before or after a step.
    """
    moments = np.asarray(times, "datetime64[ns]")
    if np.isnat(moments).any() or (np.diff(moments.astype("int64")) <= 0).any():
        raise InputError("the dates are not in order", where="time", expected="increasing, each once")
    if len(moments) <= len(model.parameters):
        raise InputError(
            "there are too few dates for the model",
            where=model.text,
            expected=f"more dates than its {len(model.parameters)} parameters",
            got=str(len(moments)),
        )
    told = [told for term in model.terms if (told := _check(term, moments))]
    for text in told if warn else []:
        warnings.warn(text, ShortSeriesWarning, stacklevel=3)
    return _scaled(model, moments, moments[0] + (moments[-1] - moments[0]) // 2)


def too_short(there: NDArray[np.bool_], design: Design) -> NDArray[np.bool_]:
    """Tell which pixels have dates over too short a time for the seasonal terms of a design.

    Parameters
    ----------
    there : array (time, pixel)
        Where a pixel has a date.
    design : Design

    Returns
    -------
    array (pixel,)
    """
    if not any(isinstance(term, Seasonal) for term in design.model.terms):
        return np.zeros(there.shape[1], bool)
    first, last = there.argmax(axis=0), len(there) - 1 - there[::-1].argmax(axis=0)
    return np.asarray(design.days[last] - design.days[first] < _LEAST_YEARS * YEAR)


def columns_at(model: Model, times: Times, epoch: np.datetime64) -> Doubles:
    """Give the columns of a model at any dates, unscaled, (time, parameter)."""
    moments = np.asarray(times, "datetime64[ns]")
    return np.concatenate([term.columns(moments, epoch) for term in model.terms], axis=1)


def _scaled(model: Model, times: Times, epoch: np.datetime64) -> Design:
    columns = columns_at(model, times, epoch)
    scale = np.sqrt((columns**2).mean(axis=0))
    scale[scale == 0] = 1.0
    matrix = columns / scale
    for column in range(matrix.shape[1]):
        others = matrix[:, :column]
        left = matrix[:, column] - others @ np.linalg.lstsq(others, matrix[:, column], rcond=None)[0]
        if (left**2).sum() <= 2 * _DEGENERATE * (matrix[:, column] ** 2).sum():
            name = model.parameters[column][0]
            raise InputError(
                "the dates cannot tell a term from those before it", where=name, got=model.text, todo="leave it out"
            )
    return Design(model, epoch, np.ascontiguousarray(matrix), scale, days_since(times, times[0]))


def _check(term: Term, times: Times) -> str:
    """Refuse a term that the dates do not hold; tell if they hold it barely."""
    if isinstance(term, Seasonal):
        return _check_span(term, times)
    if isinstance(term, Step | Relaxation):
        return _check_sides(term, times)
    return ""


def _check_span(term: Term, times: Times) -> str:
    years = float(days_since(times[-1:], times[0])[0]) / YEAR
    if years < _LEAST_YEARS:
        raise InputError(
            "the series is too short for a seasonal term",
            where=term.text,
            expected="18 months",
            got=f"{12 * years:.1f} months",
            todo="leave it out: it could not be told from the trend",
        )
    if years < _FAIR_YEARS:
        return f"{term.text}: {12 * years:.1f} months; below 24 a seasonal term is poorly told from the trend"
    return ""


def _check_sides(term: Step | Relaxation, times: Times) -> str:
    moment = np.datetime64(term.date, "ns")
    before, after = int((times < moment).sum()), int((times >= moment).sum())
    least = 1 if isinstance(term, Step) else 2
    if before < 1 or after < least:
        raise InputError(
            "the series does not hold this term",
            where=term.text,
            expected=f"a date before it and {least} after it",
            got=f"{before} before, {after} after",
        )
    if isinstance(term, Step) and min(before, after) == 1:
        side = "before" if before == 1 else "after"
        return f"{term.text}: a single date lies {side} it, which the step follows with its whole error"
    return ""
