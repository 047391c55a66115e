"""Series that grow: new pairs and dates enter a kept series, by solving anew or with the past as it was.

A kept series is a versioned cube: each append is one commit, all of it or nothing; a process that is killed leaves the
series as it was, and every former state can be opened. The record of a commit tells how it was made. Of a kept series
one process at a time makes the next state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

from terracube.core.errors import (
    ConflictError,
    EmptyResultError,
    InputError,
    MetadataError,
)
from terracube.cubes.gridlike import grid_like
from terracube.processing.deformation.incremental.frozen import solve_frozen
from terracube.processing.deformation.network.network import Network, network_of, network_of_stack
from terracube.processing.deformation.stack import PHASE

if TYPE_CHECKING:
    from terracube.cubes.storage.versioned import Snapshot, VersionedCube

from terracube.processing.deformation.incremental.kept import KeptSeries, commit, record_of, states_at_end
from terracube.processing.deformation.incremental.resolved import check_same, referenced, same_pixels, solved_anew


def append(
    kept: KeptSeries,
    new: xr.Dataset,
    *,
    how: Literal["resolve", "frozen"] = "resolve",
    old: xr.Dataset | None = None,
    message: str = "",
) -> KeptSeries:
    """Add pairs to a kept series.

    Parameters
    ----------
    kept : KeptSeries
    new : Dataset
        Pairs that the series does not have yet, as :func:`~terracube.processing.deformation.stack.to_stack` gives them,
        on the pixels of the series or a part of them. The reference of the series is applied, unless the attribute
        ``reference`` says that this was done.
    how : "resolve" or "frozen"
        ``resolve``: all pairs, old and new, are solved anew, mended and with the noise of a named reference as the
        series was. ``frozen``: what is kept stays as it is to the bit; dates
        that are new follow from the pairs that join them with kept dates and with each other. Pairs between two kept
        dates are then not used, and maps such as the temporal coherence stay those of the last full solution.
    old : Dataset, optional
        The pairs that the series was made of, for ``resolve``; lazily, for then only the blocks in which a new pair has
        a phase are read, and the reference.
    message : str
        What a person reads in the history.

    Returns
    -------
    KeptSeries
        The new state.

    Raises
    ------
    InputError
        If a pair is in the series already, ``old`` is missing, or frozen finds no new date.
    MetadataError
        If wavelength or looks are others, or the new pairs lie on other pixels.
    ConflictError
        If ``old`` are not the pairs of the series, the reference is another one, or another process appended meanwhile.
    EmptyResultError
        If no new pair has a phase anywhere.

    Notes
    -----
    ``std_atmosphere`` of new dates is missing: ``atmosphere_std`` of the whole new series tells it.

    In ``frozen`` mode a new date is ``x = sum w (y + x_i) / sum w`` over its pairs with kept dates, or the least
    squares solution where new dates are joined too; kept dates are taken to err together.
    """
    if how not in ("resolve", "frozen"):
        raise InputError("unknown way to add pairs", where="how", expected="resolve, frozen", got=repr(how)[:60])
    network, fresh = _joined_network(kept, new)
    check_same(kept, new)
    pairs = referenced(kept, new, old if how == "resolve" else None)
    part = _touched(kept, pairs)
    if how == "frozen":
        series, used = solve_frozen(kept.cube.dataset(), pairs.isel(part), kept.facts)
    else:
        series, used = solved_anew(kept, pairs, part, old), len(fresh.pairs)
    facts = {**kept.facts, "network": network.digest}
    dates = len(network.times) - len(kept.network.times)
    made = {"how": how, "pairs_added": len(fresh.pairs), "pairs_used": used, "dates_added": dates}
    dated = states_at_end(series)
    begun = kept.cube.history(limit=1)[0].id
    record = record_of(facts, network, kept.reference, kept.statistic, made)
    state = commit(kept.cube, _with_all(dated, kept.cube), record, message or f"{len(fresh.pairs)} pairs, {how}")
    _check_alone(kept.cube, begun, state)
    return KeptSeries.of(kept.cube)


def _joined_network(kept: KeptSeries, new: xr.Dataset) -> tuple[Network, Network]:
    """Give the network of old and new pairs, and that of the new ones; pairs that come twice are refused."""
    fresh, _ = network_of_stack(new)
    ends = np.concatenate([net.times[net.pairs] for net in (kept.network, fresh)])
    return network_of(ends)[0], fresh


def _touched(kept: KeptSeries, new: xr.Dataset) -> dict[str, slice]:
    """Find the rows and columns of new pairs that lie in blocks of the cube where one of them has a phase."""
    window, whole = grid_like(new), kept.cube.grid
    if window.crs != whole.crs or not same_pixels(window, whole):
        raise MetadataError(
            "the new pairs lie on other pixels than the series",
            where="y, x",
            expected=str(whole.as_dict())[:300],
            got=str(window.as_dict())[:300],
            todo="load them on the grid of the series: grid=kept.cube.grid",
        )
    seen = new[PHASE].notnull().any("pair")
    axes = xr.Dataset({"y": seen.any("x"), "x": seen.any("y")}).compute()
    found = {}
    for axis, name in enumerate(("y", "x")):
        where = np.flatnonzero(axes[name].values)
        if not where.size:
            raise EmptyResultError("no new pair has a phase anywhere", where="append")
        start = window.offset[axis] - whole.offset[axis]
        first, last = (start + int(where[0])) // kept.cube.chunk, (start + int(where[-1])) // kept.cube.chunk
        low, high = first * kept.cube.chunk - start, (last + 1) * kept.cube.chunk - start
        found[name] = slice(max(0, low), min(window.shape[axis], high))
    return found


def _with_all(dated: xr.Dataset, cube: VersionedCube) -> xr.Dataset:
    """Add the variables that the cube has beside, without values."""
    lacking = [name for name in cube.variables if name not in dated]
    empty = xr.full_like(dated["displacement"], np.nan)
    units = {name: {"units": cube.variables[name].units} for name in lacking}
    found = dated.assign({name: empty.copy(deep=False) for name in lacking})[list(cube.variables)]
    for name, told in units.items():
        found[name].attrs = told
    return found


def _check_alone(cube: VersionedCube, begun: str, state: Snapshot) -> None:
    before = [one.id for one in cube.history(limit=2)]
    if before[0] != state.id or (state.id != begun and before[1] != begun):
        raise ConflictError(
            "another process appended to the series meanwhile",
            where=repr(cube),
            expected=f"the state after {begun}",
            got=", ".join(before),
            todo="open the state that was before both, and append one after the other",
        )
