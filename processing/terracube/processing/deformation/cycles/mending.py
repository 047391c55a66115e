"""Mend a stack: add whole cycles to the phases that the network contradicts, and say what it cannot decide."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing.deformation.cycles._blocks import over_pixels, phase_of
from terracube.processing.deformation.network import solvable
from terracube.processing.kernels.repair import (
    CYCLE,
    NO_LOOP,
    TIED,
    Web,
    judge_pixels,
    mend_pixels,
    round_pixels,
    screen_pixels,
    solve_pixels,
    web_of,
)
from terracube.processing.kernels.vote import draw_near

CHANGED, VOTED, UNSETTLED, RIVALLED, LOOSE = 1, 2, 4, 8, 16
"""Bits of ``repair_flags``."""

_MEANINGS = "cycles_added changed_by_neighbours not_settled rival_solution pair_without_loop"
# A third of a half cycle: least squares spread an error of one cycle, but hide it only where nothing could tell it.
_SCREEN = 1.0
_ROUNDS = 4
# Two looks at the neighbours, each of two steps, so that errors of two cycles are found.
_LOOKS, _STEPS = 2, 2
# By so much may neighbours raise a pixel's sum of squared residuals, rad2: half a cycle squared. Less loses pixels with
# noise of 0.8 rad, twice as much lets steep but sound phase of real interferograms be changed.
_WORSE = np.pi**2
# And so many more pairs may they call wrong: a pixel that truly moves by itself needs all pairs of a date.
_MORE = 3
_LEFT = 2.0
_LOOSE_LEVERAGE = 0.95
_REACH = 6
_WINDOW = 7


@dataclass(frozen=True, slots=True)
class _How:
    """What a repair is asked to do."""

    margin: float
    """rad."""
    radius: int
    """Of the window of neighbours, pixels; 0 = none."""
    rivals: int

    @property
    def halo(self) -> int:
        """Pixels around a block that its result depends on."""
        return self.radius * _LOOKS * _STEPS


REACH = _WINDOW // 2 * _LOOKS * _STEPS
"""Pixels around a pixel that decide its repair with neighbours."""


def repair(
    stack: xr.Dataset, *, margin: float = 0.3, neighbours: bool = False, window: int = _WINDOW, rivals: int = 1
) -> xr.Dataset:
    """Mend phases that are wrong by whole cycles.

    Each pixel is solved robustly on the network; residuals beyond half a cycle and ``margin`` are rounded to cycles and
    taken off, until there are none.

    Parameters
    ----------
    stack : Dataset
        ``unwrapped_phase`` (pair, y, x), rad, NaN = missing, less that of a reference area, with ``reference_time`` and
        ``secondary_time`` (pair).
    margin : float
        rad, from 0 to below pi. With phase noise s and a part p of wrong pairs, ``s^2 ln(2 (1 - p) / p) / (2 pi)``
        loses least (0.04 at 0.3 rad and 10 %, 0.3 at 0.8 rad); more changes fewer pairs that were right.
    neighbours : bool
        Also compare with the pixels around: the phase between consecutive dates is moved to that of most of them, and
        cycles are settled by these series. It assumes that the ground moves alike, to half a cycle between dates, over
        half of the window, and that errors are smaller than it; where a pixel's own pairs contradict it (their squared
        residuals would grow by more than pi^2, or more than three further pairs be wrong), it changes nothing.
    window : int
        Pixels along each side of that window: 3, 5, ... 31.
    rivals : int
        Another solution that needs at most so many wrong pairs more is a rival. Below zero: fewer.

    Returns
    -------
    Dataset
        The stack, lazy if it was, with ``unwrapped_phase`` mended, and

        ``cycles`` : int8 (pair, y, x)
            What was added, in cycles; 0 where the phase is missing.
        ``undecided`` : uint8 (pair, y, x)
            Bit 1: the pair is in no loop that could tell (its leverage is above 0.95); bit 2: it differs in a rival.
        ``slack`` : int8 (y, x)
            So many more wrong pairs, or fewer, another solution needs in which a run of dates is a cycle higher or
            lower; the smaller, the less is sure. 127 without pairs.
        ``repair_flags`` : uint8 (y, x)
            Bit 1: something was changed; 2: by the neighbours; 4: not settled after four rounds, or a residual above
            2 rad is left; 8: there is a rival; 16: some pair is in no loop.

        The same whatever the blocks and the order of the pairs.

    Raises
    ------
    InputError
        If this is no stack, or a parameter is out of range.
    """
    how = _asked(margin, neighbours, window, rivals)
    phase, network, order = phase_of(stack)
    with solvable():
        web = web_of(network.pairs, len(network.times))
    many = len(network.pairs)
    pairwise = {"cycles": ("int8", many), "flags": ("uint8", 0)}
    found = over_pixels(partial(_mended, web=web, how=how), [phase.data], pairwise)
    arrays = [phase.data, found["cycles"], found["flags"][None]]
    if how.radius:
        found = over_pixels(partial(_voted, web=web, how=how), arrays, pairwise, halo=how.halo)
        arrays = [phase.data, found["cycles"], found["flags"][None]]
    outs = {"undecided": ("uint8", many), "slack": ("int8", 0), "flags": ("uint8", 0)}
    judged = over_pixels(partial(_judged, web=web, how=how), arrays, outs)
    layers = {"cycles": arrays[1], "undecided": judged["undecided"]}
    # One product per pixel, in the type of the phase; nothing is added where nothing is wrong.
    layers["unwrapped_phase"] = phase.data + layers["cycles"] * CYCLE.astype(phase.dtype)
    return _told(stack, phase, order, layers | {"slack": judged["slack"], "repair_flags": judged["flags"]}, how)


def rehearse(pairs: NDArray[np.int32], dates: int) -> None:
    """Compile what a repair of such a network needs, on pixels without a phase."""
    how = _How(0.3, 1, 1)
    phase = np.full((len(pairs), 1, 1), np.nan, np.float32)
    web = web_of(pairs, dates)
    found = _mended(phase, web=web, how=how)
    _judged(phase, found["cycles"], found["flags"][None], web=web, how=how)
    around = ((0, 0), (how.halo, how.halo), (how.halo, how.halo))
    wide = np.pad(phase, around, constant_values=np.nan)
    _voted(wide, np.zeros(wide.shape, np.int8), np.zeros((1, *wide.shape[1:]), np.uint8), web=web, how=how)


def _asked(margin: float, neighbours: bool, window: int, rivals: int) -> _How:
    if not 0 <= margin < np.pi:
        raise InputError("the margin is none", where="margin", expected="0 to below pi, rad", got=repr(margin))
    if isinstance(window, bool) or not isinstance(window, int) or window % 2 == 0 or not 3 <= window <= 31:
        raise InputError("a window has a middle", where="window", expected="3, 5, ... 31 pixels", got=repr(window))
    if isinstance(rivals, bool) or not isinstance(rivals, int) or not -9 <= rivals <= 9:
        raise InputError("no such number of pairs", where="rivals", expected="-9 to 9", got=repr(rivals))
    return _How(float(margin), window // 2 if neighbours else 0, rivals)


def _told(
    stack: xr.Dataset, phase: xr.DataArray, order: NDArray[np.int64], layers: dict[str, Any], how: _How
) -> xr.Dataset:
    """Put the results into the stack, in its order of pairs."""
    back = np.argsort(order)
    facts: dict[str, dict[str, Any]] = {
        "unwrapped_phase": dict(stack["unwrapped_phase"].attrs),
        "cycles": {"long_name": "cycles added to the phase", "units": "1"},
        "undecided": {
            "long_name": "what the network cannot decide",
            "flag_masks": np.array([NO_LOOP, TIED], "uint8"),
            "flag_meanings": "no_loop differs_in_a_rival",
        },
        "slack": {"long_name": "further wrong pairs of the next solution", "units": "1"},
        "repair_flags": {
            "long_name": "repair of unwrapping errors",
            "flag_masks": np.array([CHANGED, VOTED, UNSETTLED, RIVALLED, LOOSE], "uint8"),
            "flag_meanings": _MEANINGS,
        },
    }
    found = {}
    for name, values in layers.items():
        dims = ("pair", "y", "x")[-values.ndim :]
        one = xr.DataArray(values, dims=dims, attrs=facts[name])
        found[name] = one.isel(pair=back) if values.ndim == 3 and (np.diff(order) != 1).any() else one
    side = 2 * how.radius + 1
    text = f"margin {how.margin:g} rad; neighbours {f'{side}x{side}' if how.radius else 'none'}; rivals {how.rivals}"
    del phase
    return stack.assign(found).assign_attrs(repair=text)


def _flat(phase: NDArray[Any]) -> NDArray[np.float32]:
    return np.ascontiguousarray(phase, np.float32).reshape(len(phase), phase.shape[1] * phase.shape[2])


def _mended(phase: NDArray[Any], *, web: Web, how: _How) -> dict[str, NDArray[Any]]:
    """Mend each pixel alone."""
    y = _flat(phase)
    cycles = np.zeros(y.shape, np.int8)
    left = _mend(y, web, how, cycles, _SCREEN)
    flags = np.where((cycles != 0).any(axis=0), CHANGED, 0).astype(np.uint8)
    flags[left] |= UNSETTLED
    return {"cycles": cycles.reshape(phase.shape), "flags": flags.reshape(phase.shape[1:])}


def _mend(y: NDArray[np.float32], web: Web, how: _How, cycles: NDArray[np.int8], limit: float) -> NDArray[np.int64]:
    """Mend in place the pixels with a residual beyond a limit; give those that are not settled."""
    todo = screen_pixels(y, web, cycles, limit)
    for _ in range(_ROUNDS):
        if todo.size:
            todo = mend_pixels(y, web, cycles, how.margin, todo)
    return todo


def _voted(
    phase: NDArray[Any], cycles: NDArray[np.int8], flags: NDArray[np.uint8], *, web: Web, how: _How
) -> dict[str, NDArray[Any]]:
    """Settle the cycles of a block by series that were moved to those of their neighbours."""
    y, before = _flat(phase), np.ascontiguousarray(cycles).reshape(len(cycles), -1)
    found, changed = before.copy(), np.empty(y.shape[1], np.uint8)
    alone, misfit = solve_pixels(y, web, before)
    x = alone
    for _ in range(_LOOKS):
        near = _near(x.reshape(len(x), *phase.shape[1:]), how.radius)
        round_pixels(y, near.reshape(x.shape), web.pairs, how.margin, found, changed)
        x, after = solve_pixels(y, web, found)
        # Neighbours decide where the pixel's own pairs do not; what these contradict is not theirs to settle.
        added = (found != 0).sum(axis=0) - (before != 0).sum(axis=0)
        worse = (after > misfit + _WORSE) | (added > _MORE)
        found[:, worse], x[:, worse] = before[:, worse], alone[:, worse]
    inside = slice(how.halo, -how.halo)
    wide, shape = phase.shape, (len(phase), *phase[0, inside, inside].shape)

    def inner(values: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(values.reshape(wide)[:, inside, inside]).reshape(len(values), -1)

    y, before, found = inner(y), inner(before), inner(found)
    told = flags[0, inside, inside].ravel() & ~np.uint8(CHANGED)
    # What the neighbours left inconsistent is settled by the pixel alone.
    left = _mend(y, web, how, found, np.pi + how.margin)
    told[left] |= UNSETTLED
    told[(found != 0).any(axis=0)] |= CHANGED
    told[(found != before).any(axis=0)] |= VOTED
    return {"cycles": found.reshape(shape), "flags": told.reshape(shape[1:])}


def _near(x: NDArray[np.float32], radius: int) -> NDArray[np.float32]:
    """Move the steps between dates to those of the neighbours; series that lack a date go on after it."""
    there = np.isfinite(x)
    last = np.where(there, np.arange(len(x))[:, None, None], 0)
    filled = np.take_along_axis(x, np.maximum.accumulate(last, axis=0), axis=0)
    steps = np.where(there[1:], np.diff(filled, axis=0), np.float32(np.nan))
    around = ((0, 0), (radius, radius), (radius, radius))
    for _ in range(_STEPS):
        moved = np.empty_like(steps)
        draw_near(np.pad(steps, around, constant_values=np.nan), radius, moved)
        steps = moved
    found = np.zeros_like(x)
    np.cumsum(np.where(there[1:], steps, np.float32(0)), axis=0, out=found[1:])
    found[~there] = np.nan
    return found


def _judged(
    phase: NDArray[Any], cycles: NDArray[np.int8], flags: NDArray[np.uint8], *, web: Web, how: _How
) -> dict[str, NDArray[Any]]:
    """Tell what cannot be decided."""
    y = _flat(phase)
    added = np.ascontiguousarray(cycles).reshape(y.shape)
    slack, undecided = judge_pixels(y, web, added, leverage=_LOOSE_LEVERAGE, rivals=how.rivals, reach=_REACH)
    told = flags[0].ravel().copy()
    told[screen_pixels(y, web, added, _LEFT)] |= UNSETTLED
    told[(undecided & TIED).any(axis=0)] |= RIVALLED
    told[(undecided & NO_LOOP).any(axis=0)] |= LOOSE
    shape = phase.shape
    return {
        "undecided": undecided.reshape(shape),
        "slack": slack.reshape(shape[1:]),
        "flags": told.reshape(shape[1:]),
    }
