"""Which items a date of a cube was made of, so that an append that leaves some of them out is seen.

Items of one date are mosaicked together: a pixel takes the first of them that saw it. Appended one after the other they
would fill the pixels of each other in the order of their arrival, and the cube would depend on it. Beside the digests
of the chunks lie digests of the items' ids, 16 bytes each, by date.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import zarr

from terracube.core.errors import ConflictError, IntegrityError
from terracube.cubes.storage.versioned.layout import CHECK_BYTES, CHECKS, Head

Codes = frozenset[bytes]
# No name of a variable begins so.
_NAME = f"{CHECKS}/_items"
_CHUNK, _MOST = 64, 4096
_TOLD = 5
OTHER = b"\xff" * CHECK_BYTES
"""Stands for pixels of which no item is known, and for more items than are kept."""


def code_of(item: str) -> bytes:
    """Give 16 bytes that stand for the id of an item."""
    return hashlib.sha256(item.encode()).digest()[:CHECK_BYTES]


def read_codes(head: Head, times: Iterable[int]) -> dict[int, Codes]:
    """Give what dates were made of; of dates that are not there nothing, of those without a record `OTHER`.

    Raises
    ------
    IntegrityError
        If the record is malformed.
    """
    slots = head.slots()
    there = [time for time in times if time in slots]
    array = _array(head) if there else None
    found = {}
    for time in there:
        known = array is not None and slots[time] < array.shape[0]
        rows = np.asarray(array[slots[time]], "uint8") if array is not None and known else np.empty((0, CHECK_BYTES))
        found[time] = frozenset(row.tobytes() for row in rows if row.any()) or frozenset({OTHER})
    return found


def _array(head: Head) -> zarr.Array[Any] | None:
    node = head.group.get(_NAME)
    if node is None:
        return None
    shape = node.shape if isinstance(node, zarr.Array) else ()
    if (
        isinstance(node, zarr.Array)
        and (node.chunks, str(node.dtype)) == ((1, _CHUNK, CHECK_BYTES), "uint8")
        and (shape[0] <= head.times.size and shape[1] <= _MOST and shape[2] == CHECK_BYTES)
    ):
        return node
    raise IntegrityError("the record of items is not what a cube has", where=_NAME, got=str(shape))


def check_codes(head: Head, items: Mapping[int, Collection[str]]) -> None:
    """Refuse items of dates that are there unless they hold all that these dates were made of.

    Raises
    ------
    ConflictError
        Naming the date.
    """
    for time, held in read_codes(head, items).items():
        lacking = held - {code_of(item) for item in items[time]}
        if lacking:
            given = ", ".join(sorted(items[time])[:_TOLD])[:200]
            got = f"{len(lacking)} of them are not among {given}"
            raise ConflictError(
                "the date is there already, made of other items: appended apart they give another cube than together",
                where=f"{np.datetime64(time, 'ns')}"[:19],
                expected="all items of the date in one append",
                got="pixels of which no items are known" if OTHER in lacking else got,
                todo='append all items of that date together, or say on_conflict="replace", "keep" or "overwrite"',
            )


def write_codes(
    head: Head, slots: Mapping[int, int], items: Mapping[int, Collection[str]], *, size: int, whole: bool
) -> None:
    """Keep what dates are made of from now on.

    Parameters
    ----------
    head : Head
        What was there before.
    slots : mapping of time to place
        Dates that changed, or are new.
    items : mapping of time to ids
        Of the items that were appended, where they are known.
    size : int
        How many dates there are now.
    whole : bool
        Whether nothing is left of what was there.
    """
    before = {} if whole else read_codes(head, slots)
    now = {}
    for time, slot in slots.items():
        told = frozenset(map(code_of, items[time])) if items.get(time) else frozenset({OTHER})
        both = told | before.get(time, frozenset())
        now[slot] = sorted(both) if len(both) <= _MOST else [OTHER]
    if not now:
        return
    array = _array(head) or head.group.create_array(
        _NAME, shape=(0, _CHUNK, CHECK_BYTES), chunks=(1, _CHUNK, CHECK_BYTES), dtype="uint8", fill_value=0
    )
    array.resize((size, max(array.shape[1], *map(len, now.values())), CHECK_BYTES))
    for slot, codes in now.items():
        rows = np.zeros((array.shape[1], CHECK_BYTES), "uint8")
        rows[: len(codes)] = np.frombuffer(b"".join(codes), "uint8").reshape(-1, CHECK_BYTES)
        array[slot] = rows
