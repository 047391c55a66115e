"""Byte ranges, and how near ones are asked for together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from terracube.core.errors import AssetError, HostileInputError

# A round trip to an object store takes as long as some 100 KiB of bytes.
GAP = 64 << 10
# Pieces of this size are asked for side by side.
LONGEST = 8 << 20
# No single read of a tile, a header or a strip is as large; a header that says so is an attack on the memory.
MOST = 1 << 30


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes that are asked for at once."""

    start: int
    stop: int
    """After the last byte."""
    members: tuple[int, ...]
    """Which of the wanted ranges lie in it."""


def coalesce(ranges: Sequence[tuple[int, int]], *, gap: int = GAP, longest: int = LONGEST) -> list[Span]:
    """Join ranges that lie near each other.

    Parameters
    ----------
    ranges : sequence of (start, stop)
        In any order; they may overlap, and may be empty.
    gap : int
        Join over at most so many unwanted bytes.
    longest : int
        Join no further than to this many bytes; a single range may be longer.

    Returns
    -------
    list of Span
        In the order of the file. Every range that is not empty lies in exactly one.

    Examples
    --------
    >>> coalesce([(100, 200), (0, 50), (900, 950)], gap=60)
    [Span(start=0, stop=200, members=(1, 0)), Span(start=900, stop=950, members=(2,))]
    """
    spans: list[Span] = []
    for index in sorted(range(len(ranges)), key=lambda k: ranges[k]):
        start, stop = ranges[index]
        if start == stop:
            continue
        last = spans[-1] if spans else None
        if last and start <= last.stop + gap and max(stop, last.stop) - last.start <= longest:
            spans[-1] = Span(last.start, max(stop, last.stop), (*last.members, index))
        else:
            spans.append(Span(start, stop, (index,)))
    return spans


def check_range(start: int, stop: int, size: int, name: str) -> None:
    """Refuse a range that is no part of the file, or too large to be read at once.

    Raises
    ------
    AssetError
        If it reaches outside: the file is cut off, or its header is wrong.
    HostileInputError
        If it is longer than 1 GiB.
    """
    if not 0 <= start <= stop <= size:
        raise AssetError(
            "the file ends before the bytes that its header points to",
            where=name,
            expected=f"bytes {start} to {stop}",
            got=f"{size} bytes in all",
            todo="fetch the file again",
        )
    if stop - start > MOST:
        raise HostileInputError("too many bytes at once", where=name, expected=f"at most {MOST}", got=f"{stop - start}")
