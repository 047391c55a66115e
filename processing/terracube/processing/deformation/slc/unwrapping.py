"""Unwrap interferograms with kept libraries, whole or in tiles that overlap."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.delayed import delayed
from numpy.typing import NDArray

from terracube.core.errors import InputError, MetadataError
from terracube.processing.deformation.slc._arrays import Plane, check_alike, each_pair, is_lazy, to_plane
from terracube.processing.deformation.slc._tiles import (
    MISSING,
    Slices,
    Solved,
    Tile,
    common,
    compare,
    cut,
    join,
    neighbours,
    parts_of,
)
from terracube.processing.deformation.slc._unwrappers import Unwrapper, to_unwrapper

_LEAST_OVERLAP = 16
_CYCLE = 2 * np.pi


def unwrap(
    interferogram: Plane,
    coherence: Plane,
    looks: float | None = None,
    *,
    filtered: Plane | None = None,
    method: str = "whirlwind",
    tile: int | None = 2048,
    overlap: int = 256,
) -> xr.Dataset:
    """Unwrap an interferogram: add whole cycles, so that the phase has no jumps where it can be known.

    Larger images are unwrapped tile by tile and the tiles joined by whole cycles, by what most pixels of their
    overlaps tell. The result is congruent to the interferogram: it differs from its phase by multiples of 2 pi. It
    depends on the tiles (each is a problem of its own), but not on chunks or threads. One constant for the whole image
    is arbitrary.

    Parameters
    ----------
    interferogram : complex array (y, x) or (pair, y, x)
        Lazy in, lazy out: a task per tile; what is found in all tiles, 9 bytes per pixel, are kept in memory
        until they are joined. What is not finite, or zero, is missing.
    coherence : real array of the same shape
        0 to 1; NaN = missing, and the pixel is not unwrapped.
    looks : float, optional
        Equivalent number of independent samples; the interferogram's attribute ``looks`` by default.
    filtered : complex array of the same shape, optional
        The interferogram after a filter, of which the cycles are found; they are added to the phase as it was before.
    method : "whirlwind" or "snaphu"
        ``whirlwind-insar`` (minimum cost flow; BSD or Apache licence), or ``snaphu`` (Chen and Zebker 2001), which is
        no part of a normal installation, because parts of it may not be used commercially.
    tile, overlap : int
        Pixels along each side of a tile, and those that neighbours have in common; ``tile=None``: the image as a whole.

    Returns
    -------
    Dataset
        ``unwrapped_phase`` float32 (y, x), rad, NaN where missing, with the sign of the interferogram;
        ``connected_components`` int32, 1, 2, ... from the largest, 0 = not known to belong to one (it has a phase all
        the same); ``agreement``, a number: of the pixels that two tiles both put into a component, the share on which
        they agree after they were joined; NaN without any.

    Raises
    ------
    InputError
        If an option or shape is wrong, the library is not installed, or, when computed, the coherence is out of bounds.
    MetadataError
        If the looks are not known.

    References
    ----------
    Chen, C. W., Zebker, H. A. (2001): Two-dimensional phase unwrapping with use of statistical models for cost
    functions in nonlinear optimization. Journal of the Optical Society of America A 18(2), 338-351,
    10.1364/JOSAA.18.000338.
    """
    plane = to_plane(interferogram, "c", where="interferogram")
    known = to_plane(coherence, "f", where="coherence")
    guide = plane if filtered is None else to_plane(filtered, "c", where="filtered")
    check_alike({"interferogram": plane, "coherence": known, "filtered": guide})
    number = _to_looks(looks, plane)
    if tile is not None and (overlap < _LEAST_OVERLAP or tile < 2 * overlap):
        raise InputError(
            "tiles overlap too much or too little",
            where="tile, overlap",
            expected=f"an overlap of {_LEAST_OVERLAP} pixels or more, and a tile of at least twice that",
            got=f"{tile}, {overlap}",
        )
    unwrapper, told = to_unwrapper(method)
    core = partial(_unwrap_tile, unwrapper=unwrapper, looks=number)
    found: xr.Dataset = each_pair(partial(_of_plane, core=core, tile=tile, overlap=overlap), plane, known, guide)
    kept = {name: value for name, value in plane.attrs.items() if name not in ("units", "long_name")}
    tiles = "none" if tile is None else f"{tile}, overlap {overlap}"
    return found.assign_attrs(kept | {"looks": number, "unwrapper": told, "tiles": tiles})


def _to_looks(looks: float | None, plane: xr.DataArray) -> float:
    found = plane.attrs.get("looks") if looks is None else looks
    if found is None:
        raise MetadataError(
            "the number of looks is not known", where="looks", todo="give the equivalent number of independent samples"
        )
    if not np.isfinite(found) or not found >= 1:
        raise InputError("no such number of looks", where="looks", expected="1 or more", got=repr(found))
    return float(found)


def _unwrap_tile(values: Any, coherence: Any, guide: Any, *, unwrapper: Unwrapper, looks: float) -> Solved:
    """Give the cycles to add to the phase of a tile, and the components."""
    plain, known, wrapped = (np.asarray(part) for part in (values, coherence, guide))
    wrapped, known = wrapped.astype(np.complex64), known.astype(np.float32)
    if ((known < 0) | (known > 1)).any():
        raise InputError(
            "coherence out of bounds",
            where="coherence",
            expected="0 to 1",
            got=f"{np.nanmin(known):g} to {np.nanmax(known):g}",
        )
    valid = np.isfinite(plain) & (plain != 0) & np.isfinite(wrapped) & (wrapped != 0) & np.isfinite(known)
    cycles, labels = np.full(valid.shape, MISSING, "int32"), np.zeros(valid.shape, "int32")
    if valid.any():
        wide = tuple((0, max(0, 2 - size)) for size in valid.shape)
        given, coherent = (np.pad(np.where(valid, part, 0).astype(part.dtype), wide) for part in (wrapped, known))
        solution = unwrapper(given, coherent, np.pad(valid, wide), looks)
        phase, found = (part[: valid.shape[0], : valid.shape[1]] for part in solution)
        solved = valid & np.isfinite(phase)
        cycles[solved] = np.rint((phase[solved].astype("float64") - np.angle(wrapped[solved])) / _CYCLE)
        labels[solved] = found[solved]
    return Solved.of(cycles, labels)


def _of_plane(
    plane: xr.DataArray,
    known: xr.DataArray,
    guide: xr.DataArray,
    *,
    core: Callable[..., Any],
    tile: int | None,
    overlap: int,
) -> xr.Dataset:
    lazy = is_lazy([plane.data, known.data, guide.data])
    call = _deferred if lazy else _at_once
    shape = plane.shape
    if not all(shape):
        raise InputError("the image has no pixels", where="interferogram", got=str(shape))
    rows = cut((shape[0], shape[1]), max(shape) if tile is None else tile, 0 if tile is None else overlap)
    flat = [one for row in rows for one in row]
    solved = [call(core)(plane.data[one.whole], known.data[one.whole], guide.data[one.whole]) for one in flat]
    parts = [
        call(parts_of)(solution, number=number, core=one.inside)
        for number, (one, solution) in enumerate(zip(flat, solved, strict=True))
    ]
    compared = [
        call(compare)(solved[a], solved[b], numbers=(a, b), seen=common(one, two))
        for (a, one), (b, two) in neighbours(rows)
    ]
    joined = call(join)(parts, compared)
    found = [
        call(_settled)(solution, plane.data[one.core], guide.data[one.core], joined, number=number, core=one.inside)
        for number, (one, solution) in enumerate(zip(flat, solved, strict=True))
    ]
    return _dataset(plane, rows, found, joined, lazy=lazy)


def _at_once(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def _deferred(function: Callable[..., Any]) -> Any:
    return delayed(function, pure=True)


def _settled(
    solution: Solved, values: Any, guide: Any, joined: NDArray[np.int64], *, number: int, core: Slices
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Give phase and components of the core of a tile."""
    cycles, parts = solution.cycles[core], solution.parts[core]
    own = joined[joined[:, 0] == number]
    size = int(own[:, 1].max(initial=0)) + 1
    added, named = np.zeros(size, "int64"), np.zeros(size, "int32")
    added[own[:, 1]], named[own[:, 1]] = own[:, 2], own[:, 3]
    solved = cycles != MISSING
    phase = np.full(cycles.shape, np.nan, "float32")
    wrapped, smooth = (np.angle(np.asarray(part, np.complex64)[solved]).astype("float64") for part in (values, guide))
    # Of one image with itself the second number is zero; of a filtered one it is the cycle that the noise crossed.
    crossed = np.rint((smooth - wrapped) / _CYCLE)
    phase[solved] = wrapped + _CYCLE * (cycles[solved] + added[parts[solved]] + crossed)
    return phase, np.where(solution.reliable[core], named[parts], 0).astype("int32")


def _agreement(joined: NDArray[np.int64]) -> NDArray[np.float64]:
    agreeing, everything = joined[-1, 2:]
    return np.asarray(agreeing / everything if everything else np.nan, "float64")


def _dataset(plane: xr.DataArray, rows: list[list[Tile]], found: list[Any], joined: Any, *, lazy: bool) -> xr.Dataset:
    width = len(rows[0])
    layers: dict[str, Any] = {}
    for number, (name, dtype) in enumerate((("unwrapped_phase", "float32"), ("connected_components", "int32"))):
        blocks = [
            [_block(found[y * width + x], number, tile, dtype, lazy=lazy) for x, tile in enumerate(row)]
            for y, row in enumerate(rows)
        ]
        layers[name] = da.block(blocks) if lazy else np.block(blocks)
        if isinstance(plane.data, da.Array):
            layers[name] = layers[name].rechunk(plane.data.chunks)
    agreement = da.from_delayed(_deferred(_agreement)(joined), (), "float64") if lazy else _agreement(joined)
    placed = xr.Dataset({name: (("y", "x"), layer) for name, layer in layers.items()}, plane.coords)
    placed["unwrapped_phase"].attrs = {"units": "rad", "long_name": "unwrapped phase"}
    placed["connected_components"].attrs = {"long_name": "connected components"}
    return placed.assign(agreement=((), agreement, {"long_name": "share of agreeing pixels in overlaps"}))


def _block(pair: Any, number: int, tile: Tile, dtype: str, *, lazy: bool) -> Any:
    if not lazy:
        return pair[number]
    shape = tuple(side.stop - side.start for side in tile.core)
    return da.from_delayed(pair[number], shape, dtype)
