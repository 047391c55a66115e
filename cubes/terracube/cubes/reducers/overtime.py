"""Median, percentiles, mean, least and largest value over time of one band, on the numbers as they are stored."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.reducers._kernels import average, extreme, order
from terracube.cubes.reducers._lanes import LANES, MAX_DATES

TYPES = ("uint8", "uint16", "int16", "int32", "float32")
type How = str | tuple[str, float]
_NAMED = ("median", "mean", "min", "max", "count")


def reduce_time(
    values: NDArray[Any],
    how: How,
    *,
    nodata: float | None,
    clear: NDArray[np.bool_] | None = None,
    integer: bool = False,
    out: NDArray[Any] | None = None,
) -> tuple[NDArray[Any], NDArray[np.uint16]]:
    """Reduce the dates of one band to one value per pixel, with the number of observations it comes from.

    Missing values are left out, never converted. The result of a pixel is the same to the bit whatever the shape of
    the block, the other pixels in it and the number of threads that call at once; but for the mean of floats, which is
    added up in the order of the dates, it does not depend on their order either.

    Parameters
    ----------
    values : numpy.ndarray, shape (time, y, x)
        uint8, uint16, int16, int32 or float32; 1 to 65535 dates. Copied when not contiguous. Other types are refused,
        since converting costs memory unseen.
    how : str or ("percentile", q)
        ``"median"``: for an even count the mean of the two middle values. ``("percentile", q)``: q from 0 to 100,
        linear interpolation between dates. ``"mean"``; ``"min"``; ``"max"``; ``"count"``.
    nodata : number or None
        The number that stands for a missing value; ``None`` = no number does. NaN is always missing; infinite values
        are values.
    clear : numpy.ndarray of bool, shape (time, y, x), optional
        False leaves an observation out, for instance under clouds.
    integer : bool
        Only for ``"median"``: keep the type, and for an even count take the lower of the two middle values.
    out : numpy.ndarray, shape (y, x), optional
        Where to write the result: C-contiguous, of the result's type.

    Returns
    -------
    result : numpy.ndarray, shape (y, x)
        ``min``, ``max`` and the median with ``integer``: the type of ``values``, ``nodata`` (NaN for floats) where
        nothing was seen. ``count``: uint16. Else float32 (float64 for int32, which float32 cannot hold), computed in
        float64 and rounded once, NaN where nothing was seen.
    count : numpy.ndarray of uint16, shape (y, x)
        Number of observations that are there and clear.

    Raises
    ------
    InputError
        If an array has the wrong type or shape, ``how`` is unknown, or the type cannot hold ``nodata``.
    MetadataError
        If a result of integers could be missing and there is no ``nodata`` to say so.

    Notes
    -----
    Needs 128 values per date beyond the results, for each calling thread. The first call with a type compiles the
    kernel, about a second. The global interpreter lock is released.

    Examples
    --------
    >>> dates = np.array([7, 3, 0, 4], "uint16").reshape(4, 1, 1)
    >>> middle, count = reduce_time(dates, "median", nodata=0)
    >>> middle.item(), count.item()
    (4.0, 3)
    """
    fraction = _fraction(how)
    check_values(values, "values", 3)
    if integer and how != "median":
        raise InputError("only a median can stay an integer", where="integer", expected="how='median'", got=str(how))
    keeps = integer or how in ("min", "max")
    missing = to_missing(values.dtype, nodata)
    if keeps and nodata is None and clear is not None and values.dtype.kind != "f":
        raise MetadataError(
            "nothing says how a missing result is written",
            where="nodata",
            expected="a number of the type",
            got="None with a mask",
        )
    shape = values.shape[1:]
    pixels = math.prod(shape)
    flat, seen = _lanes(values, pixels), _lanes(_as_clear(clear, values.shape), pixels)
    result = np.empty(max(pixels, LANES), values.dtype if keeps else _float_type(values.dtype))
    count = np.zeros(max(pixels, LANES), np.uint16)
    if pixels:
        _run(flat, seen, missing, how, -1.0 if integer else fraction, result, count)
    counted = count[:pixels].reshape(shape)
    return _deliver(counted if how == "count" else result[:pixels].reshape(shape), out), counted


def check_values(values: NDArray[Any], name: str, dimensions: int) -> None:
    """Refuse what the kernels cannot reduce."""
    kind = type(values).__name__ if not isinstance(values, np.ndarray) else f"{type(values).__name__} of {values.dtype}"
    plain = isinstance(values, np.ndarray) and not isinstance(values, np.ma.MaskedArray)
    if not plain or values.dtype.name not in TYPES or not values.dtype.isnative:
        raise InputError(f"{name} have the wrong type", where=name, expected="ndarray of " + ", ".join(TYPES), got=kind)
    if values.ndim != dimensions or not 1 <= values.shape[0] <= MAX_DATES:
        expected = f"(time, {'band, ' if dimensions == 4 else ''}y, x) with 1 to {MAX_DATES} dates"
        raise InputError(f"{name} have the wrong shape", where=name, expected=expected, got=str(values.shape))


def to_missing(dtype: np.dtype[Any], nodata: float | None) -> float | None:
    """Give the number that stands for a missing value, if there is one besides NaN.

    Raises
    ------
    InputError
        If the type cannot hold it.
    """
    if nodata is None or math.isnan(nodata):
        if nodata is not None and dtype.kind != "f":
            raise InputError("integers cannot be NaN", where="nodata", expected=f"a number of {dtype}", got="NaN")
        return None
    if dtype.kind == "f":
        held = math.isinf(nodata) or abs(nodata) <= float(np.finfo(dtype).max)
    else:
        held = float(nodata).is_integer() and np.iinfo(dtype).min <= nodata <= np.iinfo(dtype).max
    if not held:
        raise InputError(
            "the type cannot hold the nodata number", where="nodata", expected=f"a number of {dtype}", got=str(nodata)
        )
    return nodata


def _fraction(how: How) -> float:
    """Give the quantile asked for, in [0, 1]; 0.5 where none is."""
    if isinstance(how, str) and how in _NAMED:
        return 0.5
    if not isinstance(how, str) and len(how) == 2 and how[0] == "percentile" and 0 <= how[1] <= 100:
        return float(how[1]) / 100
    raise InputError(
        "unknown reducer", where="how", expected=", ".join(_NAMED) + ", or ('percentile', 0 to 100)", got=repr(how)
    )


def _float_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Give the type that holds every value and the middle between any two."""
    return np.dtype(np.float64 if dtype == np.int32 else np.float32)


def _as_clear(clear: NDArray[np.bool_] | None, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    if clear is None:
        return None
    if not isinstance(clear, np.ndarray) or clear.dtype != np.bool_ or clear.shape != shape:
        got = f"{clear.dtype} {clear.shape}" if isinstance(clear, np.ndarray) else type(clear).__name__
        raise InputError("the mask does not fit the values", where="clear", expected=f"bool {shape}", got=got)
    return clear.view(np.uint8)


def _lanes(values: NDArray[Any] | None, pixels: int) -> NDArray[Any]:
    """Flatten (time, y, x), with enough pixels for one tile; empty where there are no values."""
    if values is None:
        return np.empty(0, np.uint8)
    flat = np.require(np.asarray(values), requirements=["C", "A"]).reshape(len(values), pixels)
    if 0 < pixels < LANES:
        flat = np.pad(flat, ((0, 0), (0, LANES - pixels)), mode="edge")
    return flat.reshape(-1)


def _run(
    flat: NDArray[Any],
    seen: NDArray[np.uint8],
    nodata: float | None,
    how: How,
    fraction: float,
    result: NDArray[Any],
    count: NDArray[np.uint16],
) -> None:
    """Call the kernel that ``how`` asks for."""
    kind, dates = flat.dtype.type, len(flat) // count.size
    low, high = (-np.inf, np.inf) if flat.dtype.kind == "f" else (np.iinfo(kind).min, np.iinfo(kind).max)
    fill = result.dtype.type(np.nan if result.dtype.kind == "f" else nodata or 0)
    number, free, work = kind(nodata or 0), nodata is None, np.empty(LANES, kind)
    if how in ("mean", "count"):
        average(flat, seen, (number, free, kind(0)), work, np.empty(LANES), result, count)
    elif how in ("min", "max"):
        worst = kind(low if how == "max" else high)
        extreme(flat, seen, (number, free, worst), how == "max", fill, work, result, count)
    else:
        order(flat, seen, (number, free, kind(high)), fraction, fill, np.empty(dates * LANES, kind), result, count)


def _deliver(result: NDArray[Any], out: NDArray[Any] | None) -> NDArray[Any]:
    if out is None:
        return result
    if not isinstance(out, np.ndarray) or out.dtype != result.dtype or out.shape != result.shape:
        got = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise InputError("out does not fit the result", where="out", expected=f"{result.dtype} {result.shape}", got=got)
    out[...] = result
    return out
