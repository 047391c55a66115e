"""Closure: phases summed around loops of pairs are zero but for noise, slow changes of the ground's scattering, and
whole cycles that unwrapping got wrong.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import EmptyResultError, InputError
from terracube.processing.deformation.cycles._blocks import over_pixels, phase_of
from terracube.processing.deformation.cycles._loops import Loops, loops_of, table_of
from terracube.processing.kernels.closure import (
    BAD,
    BAD_LONG,
    ROWS,
    SQUARES,
    SUM,
    VALID,
    VALID_LONG,
    LoopTable,
    close_pixels,
    cumulate_pixels,
)

__all__ = ["Loops", "closure", "loops_of", "sequential_closure"]

_FACTS = {
    "n_triplets": "closed triplets of pairs that have a phase",
    "n_bad_triplets": "triplets whose closure is a whole number of cycles other than zero",
    "n_loops": "longer loops that have a phase",
    "n_bad_loops": "longer loops that do not close",
    "closure_mean": "mean closure of triplets within half a cycle",
    "closure_rms": "root mean square closure of triplets within half a cycle",
}


def closure(stack: xr.Dataset) -> xr.Dataset:
    """Map what does not close.

    Parameters
    ----------
    stack : Dataset
        ``unwrapped_phase`` (pair, y, x), rad, NaN = missing, with ``reference_time`` and ``secondary_time`` (pair). A
        constant that differs from pair to pair does not close: subtract the phase of a reference area before.

    Returns
    -------
    Dataset
        Lazy if the stack is, the same whatever its chunks and the order of its pairs. float32 (y, x): ``n_triplets``,
        ``n_bad_triplets`` (Yunjun et al. 2019, doi:10.1016/j.cageo.2019.104331: the closure, less its part within half
        a cycle, is not zero), ``n_loops`` and ``n_bad_loops`` of longer loops, ``closure_mean`` and ``closure_rms`` of
        what is left within half a cycle (rad; NaN without a triplet): noise, and the bias of changing scatterers (De
        Zan et al. 2015, doi:10.1109/TGRS.2015.2447021). ``bad_share`` (pair, y, x): part of the loops through a pair
        that do not close, NaN where it is in none.

    Raises
    ------
    InputError
        If this is no stack.
    EmptyResultError
        If the network has no loop.
    """
    phase, network, order = phase_of(stack)
    loops = loops_of(network)
    if not loops.triplets and not loops.longer:
        raise EmptyResultError("no pairs close a loop", where="stack", expected="three pairs of three dates, or more")
    outs = dict.fromkeys(_FACTS, ("float32", 0)) | {"bad_share": ("float32", len(network.pairs))}
    core = partial(_closed, table=loops.table, triplets=len(loops.triplets))
    found = over_pixels(core, [phase.data], outs)
    maps = {
        name: (("y", "x"), found[name], {"long_name": told, "units": "rad" if name.startswith("closure") else "1"})
        for name, told in _FACTS.items()
    }
    share = phase.copy(data=found["bad_share"]).drop_attrs().isel(pair=np.argsort(order))
    share.attrs.update(long_name="part of the loops through the pair that do not close", units="1")
    plain = stack.drop_vars(list(stack.data_vars)).assign(maps)
    return plain.assign(bad_share=share.drop_vars(list(share.coords)))


def sequential_closure(stack: xr.Dataset, *, span: int = 2) -> xr.Dataset:
    """Add up, over time, the closures of runs of short pairs against the long one that spans them.

    Where scatterers change, short pairs carry a bias that long ones lose; its rate shows as a steady growth here (Zheng
    et al. 2022, doi:10.1109/TGRS.2022.3167648).

    Parameters
    ----------
    stack : Dataset
        As for :func:`closure`.
    span : int
        Number of consecutive intervals that each long pair spans, >= 2. Closures are divided by it, because so many of
        them contain each interval.

    Returns
    -------
    Dataset
        ``cumulative_closure`` (time, y, x), rad: the sum of those that end at or before a date; what is missing adds
        nothing, so see ``n_closures`` (y, x), the number that is there. NaN where that is zero.

    Raises
    ------
    InputError
        If this is no stack, or the span is none.
    EmptyResultError
        If no pair spans so many intervals of which each has a pair.
    """
    if isinstance(span, bool) or not isinstance(span, int) or span < 2:
        raise InputError("no such span", where="span", expected="2, 3, ... intervals", got=repr(span))
    phase, network, _ = phase_of(stack)
    number = {(int(i), int(j)): m for m, (i, j) in enumerate(network.pairs)}
    ends = [k for k in range(span, len(network.times)) if _spanned(number, k - span, k)]
    if not ends:
        raise EmptyResultError(
            "no long pair spans short ones", where="stack", expected=f"{span} intervals and their sum"
        )
    runs = [[(number[d, d + 1], 1) for d in range(k - span, k)] + [(number[k - span, k], -1)] for k in ends]
    core = partial(
        _cumulated, table=table_of([tuple(run) for run in runs]), ends=np.array(ends, np.int32),
        scale=1 / span, dates=len(network.times),
    )  # fmt: skip
    outs = {"cumulative_closure": ("float32", len(network.times)), "n_closures": ("float32", 0)}
    found = over_pixels(core, [phase.data], outs)
    told = {"long_name": f"cumulative closure of {span} intervals", "units": "rad"}
    plain = stack.drop_dims("pair").drop_vars(list(stack.drop_dims("pair").data_vars))
    return plain.assign_coords(time=network.times).assign(
        cumulative_closure=(("time", "y", "x"), found["cumulative_closure"], told),
        n_closures=(("y", "x"), found["n_closures"], {"long_name": "closures that are there", "units": "1"}),
    )


def _spanned(number: dict[tuple[int, int], int], first: int, last: int) -> bool:
    return (first, last) in number and all((d, d + 1) in number for d in range(first, last))


def _closed(phase: NDArray[Any], *, table: LoopTable, triplets: int) -> dict[str, NDArray[np.float32]]:
    flat = np.ascontiguousarray(phase, np.float32).reshape(len(phase), -1)
    counts, shares = np.empty((ROWS, flat.shape[1]), np.float32), np.empty(flat.shape, np.float32)
    close_pixels(flat, table, triplets, counts, shares)
    some = np.where(counts[VALID] > 0, counts[VALID], np.float32(np.nan))
    found = {
        "n_triplets": counts[VALID], "n_bad_triplets": counts[BAD], "n_loops": counts[VALID_LONG],
        "n_bad_loops": counts[BAD_LONG], "closure_mean": counts[SUM] / some,
        "closure_rms": np.sqrt(counts[SQUARES] / some),
    }  # fmt: skip
    shape = phase.shape[1:]
    return {name: values.reshape(shape) for name, values in found.items()} | {"bad_share": shares.reshape(phase.shape)}


def _cumulated(
    phase: NDArray[Any], *, table: LoopTable, ends: NDArray[np.int32], scale: float, dates: int
) -> dict[str, NDArray[np.float32]]:
    flat = np.ascontiguousarray(phase, np.float32).reshape(len(phase), -1)
    sums, counts = np.empty((dates, flat.shape[1]), np.float32), np.empty(flat.shape[1], np.float32)
    cumulate_pixels(flat, table, ends, scale, sums, counts)
    sums[:, counts == 0] = np.nan
    return {
        "cumulative_closure": sums.reshape(dates, *phase.shape[1:]),
        "n_closures": counts.reshape(phase.shape[1:]),
    }
