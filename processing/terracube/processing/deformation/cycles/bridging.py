"""Bridge the parts of interferograms that unwrapping left apart: whole cycles between connected components.

Within a pair, each component is unwrapped in itself, but may lie whole cycles off the next one. Components are joined
over the shortest gaps between them (a minimum spanning tree), each to the phase beyond the gap.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import tokenize
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing.deformation.cycles._blocks import phase_of

_CYCLE = 2 * np.pi
_MOST_COMPONENTS = 4096
type Ends = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class _Gap:
    """The shortest way from one component to another."""

    length: float
    """Pixels."""
    first: int
    second: int
    """Numbers of the components."""
    ends: Ends
    """Row and column of the pixel in each."""


def bridge(stack: xr.Dataset, *, radius: int = 50, fewest: int = 100, deramp: bool = False) -> xr.Dataset:
    """Add whole cycles to the connected components of each pair, so that they go on from one to the next.

    Parameters
    ----------
    stack : Dataset
        ``unwrapped_phase`` (pair, y, x), rad, NaN = missing, and ``connected_components`` (pair, y, x), in which zero,
        NaN and what is negative belong to none. Each pair is held in memory as a whole.
    radius : int
        Of the windows at both ends of a gap whose median phases are compared, pixels.
    fewest : int
        Components of fewer pixels stay as they are.
    deramp : bool
        Compare after a plane, fitted to the largest component, is taken off; the plane stays in the result.

    Returns
    -------
    Dataset
        The stack, lazy if it was, with ``unwrapped_phase`` bridged, and ``bridged`` (pair, y, x) int8, the cycles that
        were added. The component with most pixels (of equal ones the lowest number) is the one that stays.

    Raises
    ------
    InputError
        If there are no phases or components, a parameter is out of range, or, when computed, a pair has more than 4096
        components.
    """
    if "connected_components" not in stack or set(stack["connected_components"].dims) != {"pair", "y", "x"}:
        raise InputError("the stack has no components", expected="connected_components (pair, y, x)")
    for name, value in (("radius", radius), ("fewest", fewest)):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 100_000:
            raise InputError("no such number of pixels", where=name, expected="1 to 100000", got=repr(value))
    phase_of(stack)
    phase = stack["unwrapped_phase"].transpose("pair", "y", "x")
    labels = stack["connected_components"].transpose("pair", "y", "x")
    core = partial(_bridged, radius=radius, fewest=fewest, deramp=deramp)
    cycles = _over_pairs(core, phase.data, labels.data)
    mended = phase.copy(data=phase.data + cycles * phase.dtype.type(_CYCLE))
    added = xr.DataArray(
        cycles, dims=phase.dims, attrs={"long_name": "cycles added to the connected component", "units": "1"}
    )
    return stack.assign(unwrapped_phase=mended, bridged=added)


def _over_pairs(core: Any, phase: Any, labels: Any) -> Any:
    """Call a function on each whole pair; lazily if the phases are, and with their chunks."""
    if not isinstance(phase, da.Array):
        values, parts = np.asarray(phase), np.asarray(labels)
        return np.stack([core(one, part) for one, part in zip(values, parts, strict=True)])
    whole = (1, phase.shape[1], phase.shape[2])
    given = [one.rechunk(whole) if isinstance(one, da.Array) else da.from_array(one, whole) for one in (phase, labels)]
    name = f"bridged-{tokenize(core, *(one.name for one in given))[:24]}"
    meta = np.empty((0, 0, 0), np.int8)
    found: da.Array = da.map_blocks(partial(_each, core=core), *given, dtype=np.int8, meta=meta, name=name)
    return found.rechunk(phase.chunks)


def _each(phase: NDArray[Any], labels: NDArray[Any], *, core: Any) -> NDArray[np.int8]:
    found: NDArray[np.int8] = core(phase[0], labels[0])[None]
    return found


def _bridged(phase: NDArray[Any], labels: NDArray[Any], *, radius: int, fewest: int, deramp: bool) -> NDArray[np.int8]:
    """Give the cycles of one pair (y, x)."""
    there = np.isfinite(phase) & (np.nan_to_num(labels, nan=0) > 0)
    cycles = np.zeros(phase.shape, np.int8)
    known, numbers, sizes = np.unique(labels[there], return_inverse=True, return_counts=True)
    if len(known) > _MOST_COMPONENTS:
        raise InputError("too many components", where="connected_components", expected=f"<= {_MOST_COMPONENTS}")
    parts = np.zeros(phase.shape, np.int32)
    parts[there] = np.where(sizes[numbers] >= fewest, numbers + 1, 0)
    if (sizes >= fewest).sum() < 2:
        return cycles
    main = int(np.argmax(sizes)) + 1
    level = np.where(parts > 0, phase, np.nan).astype("float64")
    if deramp:
        level -= _plane(level, parts == main)
    added = _joined(level, parts, _tree(_gaps(parts), main), main, radius)
    for number, count in added.items():
        cycles[parts == number] = np.clip(count, -127, 127)
    return cycles


def _plane(level: NDArray[np.float64], where: NDArray[np.bool_]) -> NDArray[np.float64]:
    y, x = (side.astype("float64") for side in np.indices(level.shape))
    design = np.stack([np.ones(int(where.sum())), y[where], x[where]], axis=1)
    found = np.linalg.lstsq(design, level[where], rcond=None)[0]
    return np.asarray(found[0] + found[1] * y + found[2] * x)


def _gaps(parts: NDArray[np.int32]) -> list[_Gap]:
    """Find the shortest gap between components that lie next to each other.

    Each pixel belongs to the component that it is nearest to; where two of these areas meet, the way between their
    nearest pixels is a gap. The shortest of all, which a minimum spanning tree takes, are among them.
    """
    from scipy.ndimage import distance_transform_edt

    far, nearest = distance_transform_edt(parts == 0, return_distances=True, return_indices=True)
    del far
    owner = parts[nearest[0], nearest[1]]
    found: dict[tuple[int, int], _Gap] = {}
    for here, there in (
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
    ):
        one, other = owner[here], owner[there]
        at = np.nonzero(one != other)
        a, b = nearest[(slice(None), *here)][:, *at], nearest[(slice(None), *there)][:, *at]
        length = np.hypot(*(a - b).astype("float64"))
        first, second = one[at], other[at]
        turned = first > second
        low, high = np.where(turned, second, first), np.where(turned, first, second)
        start, end = np.where(turned, b, a), np.where(turned, a, b)
        for k in np.lexsort((end[1], end[0], start[1], start[0], length, high, low)):
            key = (int(low[k]), int(high[k]))
            ends = ((int(start[0, k]), int(start[1, k])), (int(end[0, k]), int(end[1, k])))
            gap = _Gap(float(length[k]), *key, ends)
            if key not in found or (gap.length, gap.ends) < (found[key].length, found[key].ends):
                found[key] = gap
    return sorted(found.values(), key=lambda gap: (gap.length, gap.first, gap.second))


def _tree(gaps: list[_Gap], main: int) -> list[tuple[int, int, Ends]]:
    """Choose gaps that reach all components from the main one, shortest first: from, to, and the pixels of both."""
    reached = {main}
    found: list[tuple[int, int, Ends]] = []
    while True:
        ways = [gap for gap in gaps if (gap.first in reached) != (gap.second in reached)]
        if not ways:
            return found
        gap = ways[0]
        ahead = gap.first in reached
        found.append(
            (gap.first, gap.second, gap.ends) if ahead else (gap.second, gap.first, (gap.ends[1], gap.ends[0]))
        )
        reached |= {gap.first, gap.second}


def _joined(
    level: NDArray[np.float64], parts: NDArray[np.int32], tree: list[tuple[int, int, Ends]], main: int, radius: int
) -> dict[int, int]:
    """Give the cycles that each component gets."""
    added = {main: 0}
    for known, new, ends in tree:
        apart = _median(level, parts, known, ends[0], radius) - _median(level, parts, new, ends[1], radius)
        added[new] = added[known] + int(np.rint(apart / _CYCLE))
    return added


def _median(level: NDArray[np.float64], parts: NDArray[np.int32], part: int, at: tuple[int, int], radius: int) -> float:
    window = tuple(slice(max(0, side - radius), side + radius + 1) for side in at)
    return float(np.median(level[window][parts[window] == part]))
