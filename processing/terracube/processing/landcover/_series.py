"""Regular series of plain arrays (dates, bands, pixels): filled at given dates, and smoothed along time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import InputError
from terracube.processing.kernels import gapfill, smooth

type Floats = NDArray[np.float32]
type Smooth = tuple[Any, ...] | None
"""``None``, ``("whittaker", lam)`` or ``("savgol", window, order)``."""

_MOST_DATES = 65_535
_LAMBDAS = (1e-9, 1e9)
_EXPONENTS = tuple(exponent / 4 for exponent in range(-8, 21))
# Dates of a regular series may be this far off, as a share of the step.
_EVEN = 1e-6


def fill_series(
    series: Floats, days: ArrayLike, targets: ArrayLike, method: str = "linear"
) -> tuple[Floats, NDArray[np.uint16]]:
    """Fill the gaps of each pixel's series and give its values at the target dates.

    Parameters
    ----------
    series : float32 (dates, bands, pixels)
        NaN, infinite values and those of 1e15 and more in magnitude are missing; a date counts in a pixel when all
        its bands are there. Copied when not C-contiguous.
    days : (dates,)
        Days since any epoch, strictly increasing: scenes of one day are merged before.
    targets : (targets,)
        Strictly increasing, days since the same epoch.
    method : str
        ``"linear"`` between the nearest clear dates; ``"akima"``: the natural cubic spline for three or four clear
        dates, Akima's (1970, doi:10.1145/321607.321609) for more, straight for fewer. The first and last clear values
        are repeated beyond them.

    Returns
    -------
    filled : float32 (targets, bands, pixels)
        NaN where a pixel has no clear date.
    count : uint16 (pixels,)
        Clear dates.

    Raises
    ------
    InputError
        If types, shapes or the order of dates are wrong, or the method is unknown.

    Examples
    --------
    >>> series = np.float32([0.2, np.nan, 0.4]).reshape(3, 1, 1)
    >>> filled, count = fill_series(series, days=[0, 10, 20], targets=[5, 10, 30])
    >>> filled.ravel().astype(float).round(3).tolist(), count.tolist()
    ([0.25, 0.3, 0.4], [2])
    """
    check_method(method)
    values = _checked(series, "series")
    at = _dates(days, "days", values.shape[0])
    wanted = _dates(targets, "targets", None)
    filled = np.empty((wanted.size, *values.shape[1:]), np.float32)
    count = np.empty(values.shape[2], np.uint16)
    gapfill.fill(values, at, wanted, filled, count, gapfill.METHODS[method])
    return filled, count


def smooth_series(filled: Floats, targets: ArrayLike, how: Smooth) -> Floats:
    """Smooth regular series.

    Parameters
    ----------
    filled : float32 (targets, variables, pixels)
        NaN in pixels without any value, as from :func:`fill_series`.
    targets : (targets,)
        Strictly increasing days. Times are measured in their mean distance, so that lambda is the classic one for
        regular dates.
    how : None, ("whittaker", lam) or ("savgol", window, order)
        ``None`` gives the series itself.

    Returns
    -------
    numpy.ndarray of float32 (targets, variables, pixels)

    Raises
    ------
    InputError
        If ``how`` cannot be applied to these dates.

    Examples
    --------
    >>> noisy = np.float32([0, 1, 0, 1, 0]).reshape(5, 1, 1)
    >>> smooth_series(noisy, range(5), ("savgol", 5, 1)).ravel().astype(float).round(3).tolist()
    [0.4, 0.4, 0.4, 0.4, 0.4]
    """
    values = _checked(filled, "filled")
    at = _dates(targets, "targets", values.shape[0])
    kind, numbers = checked_smooth(how, at)
    if kind is None:
        return values
    out = np.empty_like(values)
    if kind == "savgol":
        window, order = numbers
        smooth.savgol(values, int(window), int(order), out)
    else:
        weights = np.ones((values.shape[0], values.shape[2]), np.float32)
        smooth.whittaker(values, weights, in_steps(at), numbers[0], out)
    return out


def whittaker_series(
    series: Floats, days: ArrayLike, lam: float, *, weights: ArrayLike | None = None, unit: float | None = None
) -> Floats:
    """Smooth observations at irregular dates, missing ones included, by Whittaker's smoother.

    Minimises ``sum w (y - z)^2 + lam sum (D z)^2`` with the second divided differences D over time, see
    :mod:`terracube.processing.kernels.smooth`.

    Parameters
    ----------
    series : float32 (dates, bands, pixels)
        A date counts in a pixel when all its bands are there.
    days : (dates,)
        Strictly increasing.
    lam : float
        1e-9 to 1e9: larger is smoother.
    weights : (dates, pixels), optional
        0 or more, NaN is 0; one set for all bands, 1 if left out.
    unit : float, optional
        Days that count as 1 in D. Left out, it is the mean distance of the dates: for dates at one distance ``lam`` is
        then the classic one. Halving it needs 16 times the ``lam`` for the same curve.

    Returns
    -------
    numpy.ndarray of float32 (dates, bands, pixels)
        Values at all dates, a straight line before the first and after the last that counts; NaN where none counts,
        one value everywhere where one counts.

    Raises
    ------
    InputError
        If types, shapes, dates, ``lam``, ``unit`` or weights are wrong.

    Examples
    --------
    >>> line = np.float32([0, np.nan, 3, 7]).reshape(4, 1, 1)
    >>> whittaker_series(line, [0, 2, 3, 7], 100.0).ravel().astype(float).round(4).tolist()
    [0.0, 2.0, 3.0, 7.0]
    """
    values = _checked(series, "series")
    at = _dates(days, "days", values.shape[0])
    check_lambda(lam)
    out = np.empty_like(values)
    smooth.whittaker(values, _weights(weights, values), in_steps(at, unit), float(lam), out)
    return out


def choose_lambda(
    series: Floats,
    days: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    unit: float | None = None,
    exponents: ArrayLike = _EXPONENTS,
) -> float:
    """Choose the lambda of Whittaker's smoother for a whole set of series by the V-curve.

    Frasso and Eilers (2015, doi:10.1177/1471082X14549288): one for all pixels given, because one pixel with its few
    dates decides badly. Give a sample of pixels, and the bands or indices that matter.

    Parameters
    ----------
    series, days, weights, unit
        As for :func:`whittaker_series`.
    exponents : (candidates,)
        Logarithms to base 10 of the candidates, increasing.

    Returns
    -------
    float
        Midway, in the logarithm, between two candidates.

    Raises
    ------
    InputError
        As :func:`whittaker_series`; if there are fewer than two candidates, fewer than four dates or no series that
        can be smoothed (all missing, or straight lines).

    Examples
    --------
    >>> wave = np.sin(np.arange(60) / 6.0)
    >>> noisy = wave + np.random.default_rng(1).normal(0, 0.1, 60)
    >>> 1 < choose_lambda(noisy.astype("float32").reshape(60, 1, 1), range(60)) < 1e4
    True
    """
    values = _checked(series, "series")
    at = _dates(days, "days", values.shape[0])
    powers = _dates(exponents, "exponents", None)
    if powers.size < 2 or values.shape[0] < 4:
        got = f"{powers.size} candidates, {values.shape[0]} dates"
        raise InputError("a V-curve needs two candidates and four dates", where="exponents", got=got)
    for exponent in powers[[0, -1]]:
        check_lambda(10.0**exponent)
    found = smooth.v_curve(values, _weights(weights, values), in_steps(at, unit), powers)
    if not np.isfinite(found):
        raise InputError("nothing to choose lambda from", where="series", expected="series with noise", got="none")
    return found


def checked_smooth(how: Smooth, targets: NDArray[np.float64]) -> tuple[str | None, tuple[float, ...]]:
    """Check a way of smoothing for these dates, and give its name and numbers.

    Raises
    ------
    InputError
        Naming what is wrong.
    """
    if how is None:
        return None, ()
    expected = "None, ('whittaker', lam) or ('savgol', window, order)"
    if not isinstance(how, Sequence) or isinstance(how, str) or [*how[:1]] not in (["whittaker"], ["savgol"]):
        raise InputError("unknown way to smooth", where="smooth", expected=expected, got=repr(how)[:80])
    kind, *numbers = how
    if len(numbers) != (1 if kind == "whittaker" else 2) or any(isinstance(one, str | bool) for one in numbers):
        raise InputError("wrong numbers for smoothing", where="smooth", expected=expected, got=repr(how)[:80])
    if kind == "whittaker":
        check_lambda(numbers[0])
    else:
        _check_window(numbers[0], numbers[1], targets)
    return kind, tuple(float(one) for one in numbers)


def in_steps(days: NDArray[np.float64], unit: float | None = None) -> NDArray[np.float64]:
    """Measure days in a unit, or in their mean distance.

    Raises
    ------
    InputError
        If the unit is not positive.
    """
    if unit is not None and not 0 < unit < np.inf:
        raise InputError("the unit of time is not positive", where="unit", expected="days, above 0", got=str(unit))
    if unit is None:
        unit = (days[-1] - days[0]) / (days.size - 1) if days.size > 1 else 1.0
    return (days - days[0]) / unit if days.size else days


def check_method(method: str) -> None:
    """Refuse an unknown way to fill gaps.

    Raises
    ------
    InputError
        Naming those there are.
    """
    if not isinstance(method, str) or method not in gapfill.METHODS:
        expected = ", ".join(gapfill.METHODS)
        raise InputError("unknown way to fill gaps", where="method", expected=expected, got=repr(method)[:80])


def check_lambda(lam: float) -> None:
    """Refuse a lambda that float64 cannot solve for.

    Raises
    ------
    InputError
        If it is outside 1e-9 to 1e9.
    """
    low, high = _LAMBDAS
    if not low <= lam <= high:
        raise InputError("lambda is out of range", where="lam", expected=f"{low:g} to {high:g}", got=str(lam))


def _check_window(window: float, order: float, days: NDArray[np.float64]) -> None:
    """Refuse a window that does not fit."""
    if window != int(window) or order != int(order) or window % 2 != 1 or not 0 <= order < window <= 999:
        raise InputError(
            "no window for moving polynomials", where="savgol", expected="an odd window up to 999, 0 <= order < window",
            got=f"window {window}, order {order}",
        )  # fmt: skip
    if days.size < window:
        todo = "take a shorter window, or a longer series"
        raise InputError("the window is longer than the series", where="savgol", expected=f"up to {days.size} dates",
                         got=str(window), todo=todo)  # fmt: skip
    step = np.diff(days)
    if np.ptp(step) > _EVEN * step[0]:
        raise InputError(
            "moving polynomials need dates at one distance", where="days", expected=f"{step[0]:g} days",
            got=f"{step.min():g} to {step.max():g}", todo="fill the gaps at regular dates first",
        )  # fmt: skip


def _checked(series: Floats, where: str) -> Floats:
    """Give the array, contiguous, if it is one of float32 (dates, bands, pixels)."""
    if not isinstance(series, np.ndarray) or isinstance(series, np.ma.MaskedArray) or series.dtype != np.float32:
        kind = f"{type(series).__name__} of {getattr(series, 'dtype', 'no type')}"
        todo = "convert it: .filled(numpy.nan) for a masked array, .astype('float32') for another type"
        raise InputError("the series has the wrong type", where=where, expected="float32 array", got=kind, todo=todo)
    if series.ndim != 3 or series.shape[1] == 0 or series.shape[0] > _MOST_DATES:
        expected = f"(dates, bands, pixels), up to {_MOST_DATES} dates, one band or more"
        raise InputError("the series has the wrong shape", where=where, expected=expected, got=str(series.shape))
    return np.ascontiguousarray(series)


def _dates(days: ArrayLike, where: str, count: int | None) -> NDArray[np.float64]:
    """Give days as float64 if they are finite and strictly increasing."""
    try:
        found = np.ascontiguousarray(days, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError("no numbers of days", where=where, expected="numbers", got=repr(days)[:80]) from error
    if found.ndim != 1 or (count is not None and found.size != count) or found.size > _MOST_DATES:
        expected = f"one number for each of {count} dates" if count is not None else f"up to {_MOST_DATES} numbers"
        raise InputError("the wrong number of dates", where=where, expected=expected, got=str(found.shape))
    if not np.isfinite(found).all() or not (np.diff(found) > 0).all():
        raise InputError(
            "dates are not in order", where=where, expected="finite, strictly increasing", got=str(found[:6].tolist()),
            todo="sort them, and merge scenes of one day",
        )  # fmt: skip
    return found


def _weights(weights: ArrayLike | None, series: Floats) -> Floats:
    """Give weights (dates, pixels) as float32, if they are 0 or more."""
    shape = (series.shape[0], series.shape[2])
    if weights is None:
        return np.ones(shape, np.float32)
    found = np.ascontiguousarray(weights, np.float32)
    if found.shape != shape:
        raise InputError("weights have the wrong shape", where="weights", expected=str(shape), got=str(found.shape))
    if (found < 0).any() or np.isinf(found).any():
        raise InputError("a weight is negative or infinite", where="weights", expected="0 or more", got="less")
    return found
