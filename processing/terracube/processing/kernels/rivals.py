"""What a network cannot decide: pairs in no loop, and other solutions that need hardly more wrong pairs.

Shifting a run of dates by a cycle changes the cycles of the pairs that leave the run, and no residual. So two solutions
that differ by such a shift fit equally well, and only the number of pairs that each calls wrong can tell them apart.
Loops over tiles of lanes, as in :mod:`~terracube.processing.kernels.repair`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from terracube.processing.kernels.compiling import inner
from terracube.processing.kernels.laplacian import LANES, variances

NO_LOOP, TIED = 1, 2
"""Bits of a pair that cannot be judged: it is in no loop, or another solution needs hardly more wrong pairs."""

_ZERO = np.float32(0)


@inner
def mark_loose(web: Any, room: Any, scratch: Any, out: Any, limit: Any, flags: Any) -> None:
    """Mark pairs whose phase alone decides what is fitted to it: the rest of the network says little or nothing."""
    variances(web.plan, room.matrix, scratch, out)
    for m in range(web.pairs.shape[0]):
        i, j, entry = web.pairs[m, 0], web.pairs[m, 1], web.plan.place[m, 0]
        for lane in range(LANES):
            both = scratch[entry, lane] if entry >= 0 else _ZERO
            lever = out[i, lane] + out[j, lane] - both - both
            flags[m, lane] = NO_LOOP if lever > limit and room.valid[m, lane] > _ZERO else 0


@inner
def count_gains(cycles: Any, todo: Any, start: int, room: Any, gains: Any) -> None:
    """Write how many more wrong pairs (-1, 0, 1) each pair makes with one cycle more, and with one less."""
    gains[:] = 0
    for m in range(cycles.shape[0]):
        for lane in range(min(LANES, todo.size - start)):
            count = cycles[m, todo[start + lane]]
            more, less = -1 if count == -1 else 0, -1 if count == 1 else 0
            if room.valid[m, lane] > _ZERO:
                gains[0, m, lane] = 1 if count == 0 else more
                gains[1, m, lane] = 1 if count == 0 else less


@inner
def _grow(web: Any, first: int, last: int, turn: int, gains: Any, room: Any, costs: Any) -> None:
    """Take one more date into a run of dates that are shifted by a cycle: what pairs that leave it then cost."""
    for number in range(web.starts[last], web.starts[last + 1]):
        m = web.incident[number]
        i, j = web.pairs[m, 0], web.pairs[m, 1]
        inside = first <= i < last and j == last
        # A pair that ends in the run gains a cycle, one that begins there loses one.
        way = turn if j == last and not inside else 1 - turn
        sign = np.int16(-1 if inside else 1)
        for lane in range(LANES):
            costs[0, lane] += sign * gains[way, m, lane]
            costs[1, lane] += sign * np.int16(room.valid[m, lane])


@inner
def _mark(web: Any, first: int, last: int, low: Any, flags: Any) -> None:
    """Mark the pairs that leave a run, where shifting it costs little."""
    for date in range(first, last + 1):
        for number in range(web.starts[date], web.starts[date + 1]):
            m = web.incident[number]
            other = web.pairs[m, 0] + web.pairs[m, 1] - date
            if not first <= other <= last:
                for lane in range(LANES):
                    flags[m, lane] |= TIED * low[lane]


@inner
def _weigh(limit: int, costs: Any, slack: Any, low: Any) -> bool:
    """Note the cost of a run, and tell whether it is low somewhere."""
    some = 0
    for lane in range(LANES):
        there = costs[1, lane] > 0
        cost = costs[0, lane]
        slack[lane] = cost if there and cost < slack[lane] else slack[lane]
        low[lane] = 1 if there and cost <= limit else 0
        some += low[lane]
    return some > 0


@inner
def find_rivals(web: Any, reach: int, limit: int, gains: Any, room: Any, slack: Any, flags: Any) -> None:
    """Shift each run of dates by a cycle, both ways: the least number of wrong pairs that this adds."""
    dates = web.starts.size - 1
    costs, low = np.empty((2, LANES), np.int16), np.empty(LANES, np.uint8)
    slack[:] = 127
    for turn in range(2):
        for first in range(dates):
            costs[:] = 0
            # From the first date on, runs of any length: shifting what follows is the same.
            end = dates - 1 if first == 0 else min(dates, first + reach)
            for last in range(first, end):
                _grow(web, first, last, turn, gains, room, costs)
                if _weigh(limit, costs, slack, low):
                    _mark(web, first, last, low, flags)
