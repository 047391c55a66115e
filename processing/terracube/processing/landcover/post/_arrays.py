"""What all operations on maps share: which pixels are missing, codes as small numbers, windows over chunks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError

Codes = NDArray[Any]
"""A map: whole numbers (y, x)."""
_MOST_CODES = 65535
_FULL = np.iinfo("int32")


def check_map(classes: Any, *, where: str = "classes") -> None:
    """Refuse what is no map of whole numbers (y, x), before anything is computed.

    Raises
    ------
    InputError
        If it has another number of dimensions, or its type may hold numbers that 32 bits with a sign do not.
    """
    kind = np.dtype(classes.dtype)
    if classes.ndim != 2 or kind.kind not in "iu" or not np.can_cast(kind, "int32"):
        raise InputError(
            "this is no map of classes",
            where=where,
            expected="whole numbers of at most 32 bits, (y, x)",
            got=f"{kind} of shape {tuple(classes.shape)}",
        )


def nodata_of(classes: xr.DataArray, nodata: int | None) -> int | None:
    """Give the code that means missing: the given one, or what the map says of itself; ``None`` if there is none."""
    check_map(classes)
    found = nodata if nodata is not None else classes.attrs.get("nodata", classes.attrs.get("_FillValue"))
    if found is None:
        return None
    if int(found) != found or not _FULL.min <= found <= _FULL.max:
        raise InputError("the nodata of a map is a whole number of 32 bits", where="nodata", got=repr(found))
    return int(found)


def odd(window: int, *, where: str = "window") -> int:
    """Give the radius of a window of an odd number of pixels along each side.

    Raises
    ------
    InputError
        If it is even, below 1 or above 101.
    """
    if isinstance(window, bool) or not isinstance(window, int | np.integer) or window % 2 == 0 or not 1 <= window < 102:
        raise InputError("a window has a middle", where=where, expected="1, 3, 5, ... 101 pixels", got=repr(window))
    return int(window) // 2


def ranked(classes: Codes, nodata: int | None) -> tuple[NDArray[np.uint16], NDArray[np.int32]]:
    """Give codes as numbers 1, 2, ... in their order, 0 for what is missing, and the code of each number.

    Raises
    ------
    InputError
        If there are more than 65535 codes.
    """
    check_map(classes)
    codes = np.asarray(classes, np.int32)
    found = present(codes)
    if nodata is not None:
        found = found[found != nodata]
    if found.size >= _MOST_CODES:
        raise InputError("too many codes", where="classes", expected=f"fewer than {_MOST_CODES}", got=str(found.size))
    if codes.size == 0 or found.size == 0:
        return np.zeros(codes.shape, np.uint16), found
    numbers = (np.searchsorted(found, codes) + 1).astype(np.uint16) if _wide(found) else _looked_up(codes, found)
    if nodata is not None:
        numbers[codes == nodata] = 0
    return numbers, found


def present(codes: NDArray[np.int32]) -> NDArray[np.int32]:
    """Give the codes that occur, sorted."""
    if codes.size == 0:
        return np.empty(0, np.int32)
    low, high = int(codes.min()), int(codes.max())
    if high - low > _MOST_CODES:
        return np.unique(codes)
    return (np.flatnonzero(np.bincount((codes - low).ravel())) + low).astype(np.int32)


def _wide(found: NDArray[np.int32]) -> bool:
    return int(found[-1]) - int(found[0]) > _MOST_CODES


def _looked_up(codes: NDArray[np.int32], found: NDArray[np.int32]) -> NDArray[np.uint16]:
    low = int(found[0])
    table = np.zeros(int(found[-1]) - low + 1, np.uint16)
    table[found - low] = np.arange(1, found.size + 1)
    numbers: NDArray[np.uint16] = table[np.clip(codes - np.int64(low), 0, table.size - 1)]
    return numbers


def named(numbers: NDArray[np.uint16], found: NDArray[np.int32], like: Codes, nodata: int | None) -> Codes:
    """Turn numbers back to codes, in the type of the map they came from."""
    table = np.concatenate([[0 if nodata is None else nodata], found]).astype(like.dtype)
    return table[numbers]


def over_windows(core: Callable[[Any], Any], array: Any, radius: int) -> Any:
    """Call a function of windows on an array (..., y, x): at once, or chunk by chunk with ``radius`` pixels around.

    The edges of the array are edges for ``core`` too; chunks narrower than the radius are joined for the while. The
    result has the chunks of the array along y and x, and one along other dimensions.
    """
    if not isinstance(array, da.Array):
        return core(np.asarray(array))
    outer = array.chunks[:-2]
    sizes = (*((sum(side),) for side in outer), *(at_least(side, radius) for side in array.chunks[-2:]))
    wide = array.rechunk(sizes)
    depth = {axis: radius if wide.numblocks[axis] > 1 else 0 for axis in (array.ndim - 2, array.ndim - 1)}
    meta = np.empty((0,) * array.ndim, array.dtype)
    found = da.map_overlap(core, wide, depth=depth, boundary="none", dtype=array.dtype, meta=meta)
    return found.rechunk((*sizes[:-2], *array.chunks[-2:]))


def at_least(sizes: tuple[int, ...], least: int) -> tuple[int, ...]:
    """Join pieces of a length to their neighbours until none is shorter than a window needs.

    Examples
    --------
    >>> at_least((1, 1, 5, 1), 3)
    (8,)
    >>> at_least((4, 1, 2, 4), 3)
    (4, 3, 4)
    """
    kept: list[int] = []
    for size in sizes:
        if kept and kept[-1] < least:
            kept[-1] += size
        else:
            kept.append(size)
    while len(kept) > 1 and kept[-1] < least:
        kept[-2:] = [kept[-2] + kept[-1]]
    return tuple(kept)
