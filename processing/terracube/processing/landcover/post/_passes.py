"""One pass of the sieve: tables of blocks, their join, and what becomes of each region; see :mod:`.sieve`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.delayed import delayed
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing.kernels.labels import borders, components
from terracube.processing.landcover.post._arrays import Codes, check_map, present
from terracube.processing.landcover.post._regions import Border, Joined, border_of, codes_of, join, seams

_Numbers = NDArray[np.int64]
_Rows = tuple[_Numbers, _Numbers, _Numbers]
# Pixels of one piece are numbered in 32 bits.
_MOST_PIXELS = 1 << 31
# Beyond all codes of 32 bits.
_GROUPED = 1 << 40


@dataclass(frozen=True, slots=True)
class Rule:
    """What a pass of the sieve does."""

    size: int
    """Regions of fewer pixels are small."""
    eight: bool
    nodata: int | None
    groups: tuple[tuple[int, ...], ...] | None = None
    """Classes that may become each other; ``None`` = all."""

    def group(self, codes: NDArray[Any]) -> _Numbers:
        """Give the number of the group of each class; a class in none is a group of its own."""
        found = np.asarray(codes, np.int64)
        for number, members in enumerate(self.groups or ()):
            found = np.where(np.isin(codes, members), _GROUPED + number, found)
        return found

    def allowed(self, codes: NDArray[Any], others: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell which classes may become which others."""
        if self.groups is None:
            return np.ones(len(codes), bool)
        same: NDArray[np.bool_] = self.group(codes) == self.group(others)
        return same


def sieved(data: Any, rule: Rule, passes: int) -> Any:
    """Sieve a map in memory, or lazily."""
    check_map(data)
    if not isinstance(data, da.Array) and data.size >= _MOST_PIXELS:
        raise InputError(
            "the map is too large for one piece", expected="fewer than 2^31 pixels", todo="give it in chunks of Dask"
        )
    if not data.size or rule.size == 1:
        return data.copy()
    for _ in range(passes):
        data = _lazy_pass(data, rule) if isinstance(data, da.Array) else _pass(data, rule)
    return data


def _pass(data: Codes, rule: Rule) -> Codes:
    answer = _answers([[_table(data, rule)]], rule)[0, 0]
    return _apply(data, answer, rule)


def _lazy_pass(data: da.Array, rule: Rule) -> da.Array:
    ones = tuple((1,) * count for count in data.numblocks)
    nothing = np.empty((0, 0), object)
    told = da.map_blocks(_table_block, data, rule=rule, chunks=ones, dtype=object, meta=nothing)
    token = tokenize(told.name, rule)[:24]
    gather = delayed(_answer_blocks, pure=True)
    whole = gather(told.to_delayed(optimize_graph=False).tolist(), rule, dask_key_name=f"sieve-join-{token}")
    spread = da.from_delayed(whole, data.numblocks, meta=nothing, name=f"sieve-answers-{token}").rechunk((1, 1))
    empty = np.empty((0, 0), data.dtype)
    done: da.Array = da.map_blocks(
        _apply_block, data, spread, rule=rule, chunks=data.chunks, dtype=data.dtype, meta=empty
    )
    return done


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """What a block tells of the regions at its edge."""

    border: Border
    sizes: _Numbers
    """Pixels within the block."""
    rows: tuple[_Numbers, _Numbers, _Numbers, _Numbers]
    """Border of those still small: number, number of the region beyond (0: its class counts), class, sides."""


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    """What becomes of the regions at the edge of a block."""

    large: NDArray[np.bool_]
    codes: NDArray[np.int32]


def _table_block(data: Codes, rule: Rule) -> NDArray[Any]:
    out = np.empty((1, 1), object)
    out[0, 0] = _table(data, rule)
    return out


def _apply_block(data: Codes, answer: NDArray[Any], rule: Rule) -> Codes:
    return _apply(data, answer[0, 0], rule)


def _answer_blocks(tables: list[list[NDArray[Any]]], rule: Rule) -> NDArray[Any]:
    return _answers([[table[0, 0] for table in row] for row in tables], rule)


def _regions(data: Codes, rule: Rule) -> tuple[NDArray[np.int32], NDArray[np.int32], _Numbers]:
    """Give labels, and class and size of each region."""
    codes = data.astype(np.int32)
    labels, count = components(codes, nodata=rule.nodata, eight=rule.eight)
    return labels, codes_of(labels, codes, count, rule.nodata), np.bincount(labels.ravel(), minlength=count + 1)


def _table(data: Codes, rule: Rule) -> _Table:
    labels, codes, sizes = _regions(data, rule)
    border, numbers = border_of(labels, codes)
    known = present(codes[1:])
    # Beyond lies a class, if the region is known to be large; a region, if it reaches the edge; or nothing that counts.
    ranks = np.searchsorted(known, codes).astype(np.int32)
    beyond = np.where(sizes >= rule.size, ranks, np.int32(-1))
    beyond = np.where(numbers > 0, numbers + np.int32(known.size - 1), beyond).astype(np.int32)
    counted = (numbers > 0) & (sizes < rule.size)
    region, target, sides = borders(labels, counted, beyond, max(1, known.size + border.labels.size))
    inner = target < known.size
    other = np.where(inner, 0, target - known.size + 1)
    theirs = np.where(inner, target, 0)
    code = np.where(inner, known[theirs] if known.size else 0, border.codes[np.maximum(other, 1) - 1]).astype(np.int64)
    rows = numbers[region].astype(np.int64), other, code, sides
    return _Table(border, sizes[border.labels], rows)


def _answers(tables: Sequence[Sequence[_Table]], rule: Rule) -> NDArray[Any]:
    """Join the tables of all blocks, and give each block what becomes of its regions."""
    blocks = [[table.border for table in row] for row in tables]
    found = join(blocks, eight=rule.eight)
    flat = [table for row in tables for table in row]
    totals = np.zeros(found.first[-1], np.int64)
    np.add.at(totals, found.roots, np.concatenate([table.sizes for table in flat]))
    large = totals[found.roots] >= rule.size
    region, code, sides = (np.concatenate(parts) for parts in zip(*_rows(flat, blocks, found, large), strict=True))
    codes = found.codes.copy()
    owner, best = winners(found.roots[region], code, sides, rule, found.codes)
    codes[owner] = best
    codes = codes[found.roots]
    answers = np.empty((len(tables), len(tables[0])), object)
    for number, start in enumerate(found.first[:-1]):
        part = slice(start, found.first[number + 1])
        answers[divmod(number, len(tables[0]))] = _Answer(large[part], codes[part])
    return answers


def _rows(
    flat: Sequence[_Table], blocks: Sequence[Sequence[Border]], found: Joined, large: NDArray[np.bool_]
) -> list[_Rows]:
    """Give the border of small regions at large ones: within blocks, and along the seams."""
    rows = []
    for table, first in zip(flat, found.first, strict=False):
        region, other, code, sides = table.rows
        region = region + first - 1
        kept = ~large[region] if region.size else np.zeros(0, bool)
        named = other > 0
        kept[named] &= large[other[named] + first - 1]
        rows.append((region[kept], code[kept], sides[kept]))
    for seam in seams(blocks, found.first):
        for one, two in ((seam.before, seam.after), (seam.after, seam.before)):
            there = (one >= 0) & (two >= 0)
            one, two = one[there], two[there]
            kept = ~large[one] & large[two]
            rows.append((one[kept], found.codes[two[kept]].astype(np.int64), np.ones(int(kept.sum()), np.int64)))
    return rows


def winners(
    region: _Numbers, code: _Numbers, sides: _Numbers, rule: Rule, codes: NDArray[np.int32]
) -> tuple[_Numbers, _Numbers]:
    """Give, for each region that has a neighbour, the class with the longest border; of equal ones the lowest."""
    allowed = rule.allowed(codes[region], code)
    region, code, sides = region[allowed], code[allowed], sides[allowed]
    if not region.size:
        return region, code
    order = np.lexsort((code, region))
    region, code, sides = region[order], code[order], sides[order]
    new = np.flatnonzero(np.concatenate([[True], (np.diff(region) != 0) | (np.diff(code) != 0)]))
    region, code, sides = region[new], code[new], np.add.reduceat(sides, new)
    order = np.lexsort((code, -sides, region))
    region, code = region[order], code[order]
    first = np.concatenate([[True], np.diff(region) != 0])
    return region[first], code[first]


def _apply(data: Codes, answer: _Answer, rule: Rule) -> Codes:
    """Give every pixel of a block its class."""
    labels, codes, sizes = _regions(data, rule)
    border, _ = border_of(labels, codes)
    large = sizes >= rule.size
    large[border.labels] = answer.large
    large[0] = False
    small = ~large
    small[border.labels] = False
    small[0] = False
    known = present(codes[1:])
    beyond = np.where(large, np.searchsorted(known, codes), -1).astype(np.int32)
    region, target, sides = borders(labels, small, beyond, max(1, known.size))
    owner, best = winners(region, known[target].astype(np.int64), sides, rule, codes)
    codes[owner] = best
    codes[border.labels] = answer.codes
    return codes.astype(data.dtype)[labels]
