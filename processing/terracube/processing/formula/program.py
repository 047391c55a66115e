"""From formulas to a table of steps: common parts found once, constants folded in, slots used again when free."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing.formula.expression import Expr
from terracube.processing.formula.making import Form, Maker, Step
from terracube.processing.formula.merging import merged, needed
from terracube.processing.kernels import tape

_PART = 16 * tape.TILE
"""Pixels whose bands are copied at once: they are still in the cache when they are read."""


_COMMUTE = frozenset((tape.MADC, tape.MIN, tape.MAX))
"""Steps whose two operands may change places."""


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A product that has a value only where nothing speaks against it."""

    value: Expr
    least: Expr
    """The least of the bands it needs: NaN says that one is missing, less than zero that one is negative."""
    reason: Expr | None = None
    """Why the formula gives no value, as bits; 0: it does."""
    low: float = -math.inf
    high: float = math.inf
    """Beyond these the value is kept and flagged."""
    flags: str | None = None
    """Name of its flags, if they are wanted."""
    beside: Expr | None = None
    """The product it goes with: without a value of that there is none of this. ``None``: it stands alone."""


@dataclass(frozen=True, eq=False)
class Program:
    """Formulas, ready to run on pixels. Plain arrays: it travels to workers as it is."""

    bands: tuple[str, ...]
    """Names of the rows of the values."""
    products: tuple[str, ...]
    """Names of the rows of floats that come out."""
    flags: tuple[str, ...]
    """Names of the rows of bytes that come out."""
    table: NDArray[np.int32]
    numbers: NDArray[np.float64]
    slots: int

    def run(self, values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Run on bands (V, N), float32 or float64; give products (K, N) in that type and flags (M, N).

        Raises
        ------
        InputError
            If there is another number of bands, or numbers are no floats.

        Examples
        --------
        >>> from terracube.processing.formula import band, compile_program
        >>> red, nir = band("red"), band("nir")
        >>> program = compile_program({"ndvi": (nir - red) / (nir + red)})
        >>> sorted(program.bands)
        ['nir', 'red']
        >>> seen = {"nir": [0.3], "red": [0.1]}
        >>> program.run(np.array([seen[name] for name in program.bands]))[0].round(3).tolist()
        [[0.5]]
        """
        if values.ndim != 2 or values.shape[0] != len(self.bands) or values.dtype not in (np.float32, np.float64):
            raise InputError(
                "the values are not those of the formulas",
                where=", ".join(self.bands),
                expected=f"float32 or float64 ({len(self.bands)}, pixels)",
                got=f"{values.dtype} {values.shape}",
            )
        out = np.empty((len(self.products), values.shape[1]), values.dtype)
        marks = np.empty((len(self.flags), values.shape[1]), np.uint8)
        given = np.ascontiguousarray(values)
        tape.run(self.table, self.numbers.astype(values.dtype), self.slots, given, 0, out, marks)
        return out, marks

    def run_bands(self, bands: Sequence[NDArray[Any]], dtype: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Run on one array per band, all of one shape; the same numbers as :meth:`run`, without a copy of all bands.

        Parameters
        ----------
        bands : sequence of arrays
            As :attr:`bands` names them; of any numbers.
        dtype : numpy.dtype
            float32 or float64: what is computed in, and what comes out.

        Returns
        -------
        tuple of arrays
            Products (K, N) and flags (M, N), N pixels in the order of the arrays.

        Raises
        ------
        InputError
            If there is another number of bands, or their shapes differ.
        """
        if len(bands) != len(self.bands) or len({one.shape for one in bands}) != 1:
            raise InputError(
                "the values are not those of the formulas",
                where=", ".join(self.bands),
                expected=f"{len(self.bands)} arrays of one shape",
                got=", ".join(str(one.shape) for one in bands)[:200],
            )
        flat = [one.reshape(-1) for one in bands]
        size = flat[0].size
        out, marks = np.empty((len(self.products), size), dtype), np.empty((len(self.flags), size), np.uint8)
        part = np.empty((len(flat), min(_PART, size)), dtype)
        numbers = self.numbers.astype(dtype)
        for first in range(0, size, _PART):
            count = min(_PART, size - first)
            given = part if count == part.shape[1] else np.empty((len(flat), count), dtype)
            for row, one in zip(given, flat, strict=True):
                row[:] = one[first : first + count]
            tape.run(self.table, numbers, self.slots, given, first, out, marks)
        return out, marks


def compile_program(products: Mapping[str, Expr | Judged], flags: Mapping[str, Expr] | None = None) -> Program:
    """Turn formulas into one program.

    Parameters
    ----------
    products : mapping of name to Expr or Judged
    flags : mapping of name to Expr
        Whose values are whole numbers 0 to 255; those of judged products come after them.

    Raises
    ------
    InputError
        If there are none, or more steps than can be meant.
    """
    if not products and not flags:
        raise InputError("a program needs a formula", where="products", got="none")
    marks = [*(flags or {}), *(one.flags for one in products.values() if isinstance(one, Judged) and one.flags)]
    joint = Maker()
    stores: list[_Store] = []
    for number, product in enumerate(products.values()):
        stores.append(_taken_in(joint, *_one(product, number, marks)))
    for number, one in enumerate((flags or {}).values()):
        maker = Maker()
        stores.append(_taken_in(joint, maker, _Store(tape.FLAG, number, (maker.slot(maker.enter(one)),))))
    table, numbers, slots, bands = _finish(joint.steps, stores)
    return Program(bands, tuple(products), tuple(marks), table, numbers, slots)


@dataclass(frozen=True, slots=True)
class _Store:
    """What is written, and where."""

    code: int
    number: int
    operands: tuple[int, ...]
    """Of a product that is judged: its value, the least of its bands, its reason, and the value it goes with."""
    mark: int = -1
    numbers: tuple[float, float, float] = (0.0, 0.0, 0.0)


def _one(one: Expr | Judged, number: int, marks: Sequence[str]) -> tuple[Maker, _Store]:
    """Make the steps of one product alone: how it is computed does not depend on what else is asked for."""
    maker = Maker()
    if isinstance(one, Expr):
        return maker, _Store(tape.STORE, number, (maker.slot(maker.enter(one)),))
    # What it goes with comes first, so that its steps are those of that product itself.
    beside = None if one.beside is None else maker.slot(maker.enter(one.beside))
    value, least = (maker.slot(maker.enter(node)) for node in (one.value, one.least))
    reason = maker.enter(one.reason) if one.reason is not None else 0.0
    scale = 1.0
    if isinstance(reason, Form) and reason.shift == 0:
        reason, scale = Form(reason.value), reason.scale
    mark = marks.index(one.flags) if one.flags else -1
    operands = (value, least, maker.slot(reason), value if beside is None else beside)
    return maker, _Store(tape.EMIT, number, operands, mark, (one.low, one.high, scale))


def _taken_in(joint: Maker, maker: Maker, store: _Store) -> _Store:
    """Take the steps of one product into those of all, where what is equal is made once."""
    steps = merged(maker.steps, store.operands)
    place: dict[int, int] = {}
    for value in needed(steps, store.operands):
        step = steps[value]
        operands = tuple(place[one] for one in step.operands)
        if step.code in _COMMUTE or (step.code == tape.AXPY and step.numbers[0] == 1):
            operands = tuple(sorted(operands))
        place[value] = joint.number(replace(step, operands=operands))
    return replace(store, operands=tuple(place[one] for one in store.operands))


def _finish(
    steps: Sequence[Step], stores: Sequence[_Store]
) -> tuple[NDArray[np.int32], NDArray[np.float64], int, tuple[str, ...]]:
    order = needed(steps, [value for store in stores for value in store.operands])
    bands = tuple(steps[value].band for value in order if steps[value].code == tape.LOAD)
    place = {value: number for number, value in enumerate(order)}
    after: dict[int, list[_Store]] = {}
    for store in stores:
        after.setdefault(max(store.operands, key=place.__getitem__), []).append(store)
    rows, numbers, slots = _placed(steps, order, after, bands)
    return np.array(rows, np.int32).reshape(-1, 7), np.array(numbers, np.float64).reshape(-1, 3), slots, bands


def _placed(
    steps: Sequence[Step], order: Sequence[int], after: Mapping[int, Sequence[_Store]], bands: Sequence[str]
) -> tuple[list[tuple[int, ...]], list[tuple[float, float, float]], int]:
    """Give each value a slot from when it is made until it is last asked for."""
    last = {operand: place for place, value in enumerate(order) for operand in steps[value].operands}
    for place, value in enumerate(order):
        for store in after.get(value, ()):
            last |= {operand: max(place, last.get(operand, place)) for operand in store.operands}
    ends: dict[int, list[int]] = {}
    for value, place in last.items():
        ends.setdefault(place, []).append(value)
    free: list[int] = []
    slot: dict[int, int] = {}
    slots = 0
    rows: list[tuple[int, ...]] = []
    numbers: list[tuple[float, float, float]] = []
    for place, value in enumerate(order):
        step = steps[value]
        # The target is taken before the operands are given back: the loops are only fast if they differ.
        if not free:
            free.append(slots)
            slots += 1
        slot[value] = free.pop()
        rows.append((step.code, slot[value], *_operands(step, slot, bands), -1, 0))
        numbers.append(step.numbers)
        for store in after.get(value, ()):
            rows.append((store.code, store.number, *_stored(store, slot)))
            numbers.append(store.numbers)
        free.extend(sorted((slot[one] for one in ends.get(place, ())), reverse=True))
    return rows, numbers, slots


def _operands(step: Step, slot: Mapping[int, int], bands: Sequence[str]) -> tuple[int, int, int]:
    if step.code == tape.LOAD:
        return bands.index(step.band), 0, 0
    found = [slot[one] for one in step.operands] or [0]
    a, b, c = (*found, found[0], found[0])[:3]
    return a, b, c


def _stored(store: _Store, slot: Mapping[int, int]) -> tuple[int, ...]:
    found = [slot[one] for one in store.operands]
    a, b, c, beside = (*found, *found[:1] * 3)[:4]
    return a, b, c, store.mark, beside
