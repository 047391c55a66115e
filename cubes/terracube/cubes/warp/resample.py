"""Resampling of values into a block, from a placement."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.cubes.warp import points
from terracube.cubes.warp.areas import average, mode
from terracube.cubes.warp.finish import to_floats, to_integers
from terracube.cubes.warp.missing import around, holes
from terracube.cubes.warp.placement import AREAS, Placement
from terracube.cubes.warp.positions import boxes_of_rows, centres_of_rows
from terracube.cubes.warp.wide import RUN, widened

type _Array = NDArray[Any]
type _Kernel = Callable[..., None]

_DTYPES = tuple(np.dtype(name) for name in ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"))
# Results are worked out in float64 and finished in strips of about this many pixels, which stay in the cache.
_STRIP = 1 << 15
# Blocks of up to so many strips keep which source pixels are theirs: two mebibytes.
_KEPT_STRIPS = 16


def warp(
    values: _Array,
    placement: Placement,
    *,
    nodata: float | None,
    out: _Array,
    fill: float,
    scale: float = 1.0,
    offset: float = 0.0,
    keep: bool = False,
) -> None:
    """Resample values of a source into a block of the target.

    Nearest, bilinear and cubic give a value where the centre of the target pixel falls on a source pixel that has
    one; average and mode where any part of it does. Each pixel's result is the same to the bit whatever block of the
    target it is asked in.

    Parameters
    ----------
    values : (y, x), (u)int8 to (u)int32, float32 or float64
        The pixels of ``placement.window``, as stored.
    placement : Placement
    nodata : float or None
        Number that marks missing values; NaN always does.
    out : (y, x), same integer dtype or float32 or float64
        The block, written in place. Integers are rounded half up and clamped, and a value that comes to lie on
        ``nodata`` moves by one. Floats are ``result * scale + offset``, worked out in float64 and rounded once.
    fill : float
        What pixels without a value become.
    scale, offset : float
        For floats only.
    keep : bool
        Leave pixels of ``out`` that are not ``fill`` as they are: in a mosaic the first valid one wins.

    Raises
    ------
    InputError
        If shapes or dtypes do not fit, ``fill`` is no number of the dtype, or integers are to be scaled.

    Examples
    --------
    >>> from terracube.cubes.grid import Grid
    >>> from terracube.cubes.warp.placement import place
    >>> source = Grid.from_bbox((0, 0, 40, 20), crs="EPSG:32633", resolution=10, bbox_crs="EPSG:32633")
    >>> target = Grid.from_bbox((0, 0, 40, 20), crs="EPSG:32633", resolution=20, bbox_crs="EPSG:32633")
    >>> out = np.zeros((1, 2), "float32")
    >>> values = np.array([[1, 2, 5, 0], [3, 2, 6, 0]], "uint16")
    >>> warp(values, place(source, target, "average"), nodata=0, out=out, fill=np.nan)
    >>> out
    array([[2. , 5.5]], dtype=float32)
    """
    _check(values, placement, out, fill)
    if out.dtype.kind != "f" and (scale, offset) != (1.0, 0.0):
        raise InputError("integers are not scaled", where="out", expected="float32 or float64", got=str(out.dtype))
    wanted = _filled(out, fill) if keep else np.empty((0, 0), bool)
    if keep and not wanted.any():
        return
    if placement.copy and not keep and out.dtype == values.dtype and (scale, offset) == (1.0, 0.0):
        _copy(values, placement, nodata, out, fill)
        return
    target = np.ascontiguousarray(out)
    if not keep:
        target[...] = fill
    if placement.copy or placement.method == "nearest":
        _nearest(_ready(values, placement), placement, nodata, wanted, target, fill, (scale, offset))
    else:
        _resample(_ready(values, placement), placement, nodata, wanted, target, (scale, offset))
    if target is not out:
        out[...] = target


def _check(values: _Array, placement: Placement, out: _Array, fill: float) -> None:
    if values.shape != placement.window.shape:
        raise InputError("wrong window", where="values", expected=str(placement.window.shape), got=str(values.shape))
    if out.shape != tuple(placement.target.shape):
        raise InputError("wrong block", where="out", expected=str(tuple(placement.target.shape)), got=str(out.shape))
    native = values.dtype.newbyteorder("=")
    if native not in _DTYPES:
        raise InputError("values of a dtype that is not resampled", expected="8 to 32 bits", got=str(values.dtype))
    if out.dtype not in {native, np.dtype("f4"), np.dtype("f8")}:
        raise InputError("the dtypes do not fit", where="out", expected=f"{native} or floats", got=str(out.dtype))
    if out.dtype.kind != "f" and not _holds(out.dtype, fill):
        raise InputError("the dtype does not hold this", where="fill", expected=str(out.dtype), got=str(fill))


def _holds(dtype: np.dtype[Any], number: float) -> bool:
    limits = np.iinfo(dtype)
    return limits.min <= number <= limits.max and float(number).is_integer()


def _filled(out: _Array, fill: float) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.isnan(out) if math.isnan(fill) else out == out.dtype.type(fill)
    return found


def _ready(values: _Array, placement: Placement) -> _Array:
    """Give the values as the kernels are compiled for: native, contiguous, not read-only, run on around the globe."""
    if any(placement.pad):
        columns = np.arange(-placement.pad[0], values.shape[1] + placement.pad[1]) % values.shape[1]
        values = values[:, columns]
    return np.require(values, values.dtype.newbyteorder("="), ["C", "W"])


def _missing(dtype: np.dtype[Any], nodata: float | None) -> tuple[Any, bool]:
    """Give nodata as a number of the dtype, and whether it marks anything in it that NaN does not."""
    if nodata is None or math.isnan(nodata) or (dtype.kind != "f" and not _holds(dtype, nodata)):
        return dtype.type(0), False
    with np.errstate(over="ignore"):
        return dtype.type(nodata), True


def _copy(values: _Array, placement: Placement, nodata: float | None, out: _Array, fill: float) -> None:
    """Put pixels that are those of the target into their place."""
    if placement.part.shape != out.shape:
        out[...] = fill
    part = out[placement.part.slices]
    part[...] = values
    missing, has_missing = _missing(values.dtype, nodata)
    if values.dtype.kind == "f" or (has_missing and missing != fill):
        marks = holes(values, missing, has_missing)
        if marks.size:
            part[marks.view("bool")] = fill


def _resample(
    values: _Array,
    placement: Placement,
    nodata: float | None,
    wanted: _Array,
    out: _Array,
    linear: tuple[float, float],
) -> None:
    """Work strip by strip: where the pixels lie, what they become, and how that is written."""
    height, width = out.shape
    count = min(max(_STRIP // width, 1), height)
    missing, has_missing = _missing(values.dtype, nodata)
    marks = holes(values, missing, has_missing)
    if marks.size and marks.all():
        return
    has_missing = has_missing and marks.size > 0
    kernel, room = _kernel(placement, values.dtype, around(marks, *_taps(placement)))
    find, places = _places(placement.method, count, width)
    found, limits = np.empty((count, width)), _limits(out.dtype, nodata)
    for start in range(0, height, count):
        into = out[start : start + count]
        rows = into.shape[0]
        here = tuple(place[:rows] for place in places)
        find(placement.geometry, start, wanted, *here)
        found[:rows] = np.nan
        kernel(values, missing, has_missing, placement.geometry[0], here + room, found[:rows])
        _finish(found[:rows], limits, linear, into)


def _finish(found: _Array, limits: _Array, linear: tuple[float, float], out: _Array) -> None:
    if out.dtype.kind == "f":
        to_floats(found, *linear, out)
    else:
        to_integers(found, limits, out)


def _nearest(
    values: _Array,
    placement: Placement,
    nodata: float | None,
    wanted: _Array,
    out: _Array,
    fill: float,
    linear: tuple[float, float],
) -> None:
    """Take the values of single pixels, strip by strip; in small blocks which they are is worked out once."""
    height, width = out.shape
    missing, has_missing = _missing(values.dtype, nodata)
    # Numbers that are only copied need no float64 on the way.
    copied = out.dtype == values.dtype and linear == (1.0, 0.0)
    if copied and out.dtype.kind != "f":
        has_missing = has_missing and missing != fill
    small = out.size <= _STRIP * _KEPT_STRIPS and not wanted.size
    known = placement.kept.get("nearest") if small else None
    count = height if small and copied else min(max(_STRIP // width, 1), height)
    if small and known is None:
        known = placement.kept["nearest"] = _pixels(placement, values.shape[1], 0, height, wanted)
    for start in range(0, height, count):
        into = out[start : start + count]
        stop = start + into.shape[0]
        at = _pixels(placement, values.shape[1], start, stop, wanted) if known is None else known[start:stop]
        if copied:
            points.nearest(values, missing, has_missing, at, into)
            continue
        found = np.full(into.shape, np.nan)
        points.nearest(values, missing, has_missing, at, found)
        _finish(found, _limits(out.dtype, nodata), linear, into)


def _pixels(placement: Placement, stride: int, start: int, stop: int, wanted: _Array) -> NDArray[np.int32]:
    """Give the source pixels that hold the centres of some rows; a window has fewer than 2^31."""
    shape = (stop - start, placement.target.shape.x)
    x, y, at = np.empty(shape, "int64"), np.empty(shape, "int64"), np.empty(shape, "int32")
    centres_of_rows(placement.geometry, start, wanted, x, y)
    points.pixels_at(placement.geometry[0], stride, x, y, at)
    return at


def _places(method: str, count: int, width: int) -> tuple[_Kernel, tuple[_Array, ...]]:
    """Give what finds the pixels of some rows in the source, and room for where they lie."""
    if method in AREAS:
        return boxes_of_rows, (np.empty((count, 4, width), "int64"),)
    return centres_of_rows, (np.empty((count, width), "int64"), np.empty((count, width), "int64"))


def _kernel(placement: Placement, dtype: np.dtype[Any], marks: _Array) -> tuple[_Kernel, tuple[_Array, ...]]:
    """Give the kernel of a placement and the room that it works in."""
    method = placement.method
    if method in AREAS:
        weights = np.empty(sum(placement.window.shape) + sum(placement.pad))
        if method == "average":
            return average, (weights,)
        return mode, (weights, _table(placement.largest, dtype), np.zeros(1))
    if placement.widened:
        rows, columns = _taps(placement)
        stretch = np.array([method == "cubic", *placement.scale], "float64")
        room = (marks, np.empty((rows + 1, RUN)), np.empty((columns + 1, RUN)), np.empty(RUN, "int64"), stretch)
        return widened, room
    return (points.cubic, (marks,)) if method == "cubic" else (points.bilinear, ())


def _taps(placement: Placement) -> tuple[int, int]:
    """Give the rows and columns of source pixels that a kernel takes."""
    radius = {"bilinear": 1, "cubic": 2}.get(placement.method, 0)
    return 2 * math.ceil(radius / placement.scale.y), 2 * math.ceil(radius / placement.scale.x)


def _table(largest: int, dtype: np.dtype[Any]) -> _Array:
    """Make an empty table of stamps, values and weights, twice as large as a box has values."""
    values = min(largest, 1 << (8 * dtype.itemsize)) if dtype.kind != "f" else largest
    table = np.empty((3, 1 << (2 * values - 1).bit_length()))
    table[0] = -1.0
    return table


def _limits(dtype: np.dtype[Any], nodata: float | None) -> NDArray[np.float64]:
    """Give smallest and largest number, nodata, and the number beside nodata that it is kept apart from."""
    if dtype.kind == "f":
        return np.zeros(4)
    low, high = float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
    if not _missing(dtype, nodata)[1] or nodata is None:
        return np.array([low, high, math.nan, math.nan])
    return np.array([low, high, nodata, nodata + 1 if nodata == low else nodata - 1])
