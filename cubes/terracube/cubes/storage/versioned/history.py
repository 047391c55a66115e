"""What happened to a cube, and what differs between two of its states."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import icechunk
import numpy as np
from numpy.typing import NDArray

from terracube.cubes.storage.versioned.layout import CHECK_BYTES, Head, read_part
from terracube.cubes.storage.versioned.merge import differ
from terracube.cubes.storage.versioned.variable import CubeVariable
from terracube.cubes.storage.versioned.writing import Attempt

_KEY = "terracube"
Dates = tuple[np.datetime64, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state of a cube that was committed."""

    id: str
    time: dt.datetime
    """When it was committed (UTC)."""
    message: str
    added: Dates = ()
    """Dates that were not there before."""
    replaced: Dates = ()
    """Dates that were there, and of which a pixel changed."""
    changed_pixels: int = 0
    """Pixels of all variables that changed; of a new date those with a value."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """What the appended dataset told about where it comes from; ``terracube:missing`` is what could not be read."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How pixels of one date and variable differ between two states of a cube."""

    date: np.datetime64
    variable: str
    pixels: int
    """Pixels with other bits; of a date that only one of the states has, those with a value."""


@dataclass(frozen=True, slots=True)
class CubeDiff:
    """What differs between two states of a cube."""

    added: Dates
    removed: Dates
    replaced: Dates
    """Dates in both, with pixels that are not the same."""
    differences: tuple[Difference, ...]
    """By date and variable, where a pixel differs."""


def to_dates(times: Iterable[int]) -> Dates:
    """Give times as dates, sorted."""
    return tuple(np.datetime64(time, "ns") for time in sorted(map(int, times)))


def record(attempt: Attempt, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Give what is kept with a commit.

    Dates are told by their places, as ranges: they are never moved, and a store reads the records of all commits
    together, so that they must stay small.
    """
    before, added = attempt.target.head.times.size, len(attempt.target.added)
    slots = sorted({attempt.target.slots[change.time] for change in attempt.changes})
    return {
        _KEY: {
            "added": [before, before + added],
            "replaced": _ranges([slot for slot in slots if slot < before]),
            "changed_pixels": sum(change.pixels for change in attempt.changes),
            "attributes": dict(attributes),
        }
    }


def _ranges(numbers: list[int]) -> list[list[int]]:
    """Write sorted integers as half-open ranges.

    Examples
    --------
    >>> _ranges([1, 2, 3, 7])
    [[1, 4], [7, 8]]
    """
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number:
            found[-1][1] = number + 1
        else:
            found.append([number, number + 1])
    return found


def to_snapshot(info: icechunk.SnapshotInfo, times: NDArray[np.int64]) -> Snapshot:
    """Read what was kept with a commit; ``times`` are those of a later state, in their places."""
    found = info.metadata.get(_KEY)
    told: dict[str, Any] = found if isinstance(found, dict) else {}
    added, replaced = told.get("added"), told.get("replaced")
    pixels, attributes = told.get("changed_pixels"), told.get("attributes")
    return Snapshot(
        info.id,
        info.written_at,
        info.message,
        _dates_in([added], times),
        _dates_in(replaced if isinstance(replaced, list) else [], times),
        pixels if isinstance(pixels, int) else 0,
        attributes if isinstance(attributes, dict) else {},
    )


def _dates_in(ranges: list[Any], times: NDArray[np.int64]) -> Dates:
    found: set[int] = set()
    for pair in ranges:
        if isinstance(pair, list) and len(pair) == 2 and all(isinstance(number, int) for number in pair):
            found.update(times[max(pair[0], 0) : max(pair[1], 0)].tolist())
    return to_dates(found)


def compare(one: Head, other: Head) -> CubeDiff:
    """Give what differs from state ``one`` to state ``other``; only chunks with other digests are read."""
    mine, theirs = one.slots(), other.slots()
    differences = tuple(
        Difference(np.datetime64(time, "ns"), name, pixels)
        for time in sorted({*mine, *theirs})
        for name in other.layout.variables
        if (pixels := _changed(one, other, (mine.get(time), theirs.get(time)), name))
    )
    both = {np.datetime64(time, "ns") for time in mine.keys() & theirs.keys()}
    return CubeDiff(
        to_dates(theirs.keys() - mine.keys()),
        to_dates(mine.keys() - theirs.keys()),
        tuple(sorted({found.date for found in differences} & both)),
        differences,
    )


def _changed(one: Head, other: Head, slots: tuple[int | None, int | None], name: str) -> int:
    sides = list(zip((one, other), slots, strict=True))
    checks = [_checks(head, name, slot) for head, slot in sides]
    where = zip(*np.nonzero((checks[0] != checks[1]).any(axis=-1)), strict=True)
    variable = other.layout.variables[name]
    return sum(_changed_in(sides, checks, variable, name, (int(row), int(col))) for row, col in where)


def _checks(head: Head, name: str, slot: int | None) -> NDArray[np.uint8]:
    return np.zeros((*head.layout.counts, CHECK_BYTES), "uint8") if slot is None else head.checks_of(name, slot)


def _changed_in(
    sides: list[tuple[Head, int | None]],
    checks: list[NDArray[np.uint8]],
    variable: CubeVariable,
    name: str,
    place: tuple[int, int],
) -> int:
    bounds = sides[0][0].layout.bounds(*place)
    shape = tuple(part.stop - part.start for part in bounds)
    held = []
    for (head, slot), check in zip(sides, checks, strict=True):
        if slot is None and variable.nodata is None:
            return int(np.prod(shape))
        if slot is None or not check[place].any():
            held.append(np.full(shape, variable.fill, variable.dtype))
        else:
            held.append(read_part(head.array(name), slot, bounds))
    return int(differ(held[0], held[1]).sum())


def newest_first(infos: Iterator[icechunk.SnapshotInfo], times: NDArray[np.int64], limit: int | None) -> list[Snapshot]:
    """Read the commits of a branch, without the empty one that every store begins with."""
    return [to_snapshot(info, times) for info in islice(infos, limit) if info.parent_id is not None]
