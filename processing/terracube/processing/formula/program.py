"""From formulas to a table of steps: common parts found once, constants folded in, slots used again when free."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing.formula.expression import Expr
from terracube.processing.formula.gradient import ordered
from terracube.processing.kernels import tape

_PAIRS = {"add": tape.ADD, "sub": tape.SUB, "mul": tape.MUL, "div": tape.DIV, "mulz": tape.MULZ, "min": tape.MIN,
          "max": tape.MAX, "lt": tape.LT, "le": tape.LE, "arctan2": tape.ARCTAN2}  # fmt: skip
_SINGLES = {"abs": tape.ABS, "sqrt": tape.SQRT, "log2": tape.LOG2, "exp2": tape.EXP2, "finite": tape.FINITE}
# With a constant as second or as first operand.
_RIGHT = {"add": tape.ADDC, "mul": tape.MULC, "min": tape.MINC, "max": tape.MAXC, "lt": tape.LTC, "le": tape.LEC,
          "pow": tape.POWC}  # fmt: skip
_LEFT = {"add": tape.ADDC, "sub": tape.RSUBC, "mul": tape.MULC, "div": tape.RDIVC, "min": tape.MINC, "max": tape.MAXC,
         "lt": tape.GTC, "le": tape.GEC}  # fmt: skip
_COMMUTES = frozenset(("add", "mul", "min", "max"))
_MOST_STEPS = 100_000


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
        >>> program.bands
        ('nir', 'red')
        >>> program.run(np.array([[0.3], [0.1]]))[0].round(3).tolist()
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
        tape.run(self.table, self.numbers.astype(values.dtype), self.slots, given, out, marks)
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
    maker = _Maker()
    marks = [*(flags or {}), *(one.flags for one in products.values() if isinstance(one, Judged) and one.flags)]
    stores = []
    for number, one in enumerate(products.values()):
        if isinstance(one, Expr):
            stores.append(_Store(tape.STORE, number, (maker.enter(one),)))
        else:
            mark = marks.index(one.flags) if one.flags else -1
            operands = (maker.enter(one.value), maker.judge(one))
            stores.append(_Store(tape.EMIT, number, operands, mark, (one.low, one.high)))
    stores += [_Store(tape.FLAG, number, (maker.enter(one),)) for number, one in enumerate((flags or {}).values())]
    table, numbers, slots, bands = maker.finish(stores)
    return Program(bands, tuple(products), tuple(marks), table, numbers, slots)


@dataclass(frozen=True, slots=True)
class _Store:
    """What is written, and where."""

    code: int
    number: int
    operands: tuple[int, ...]
    mark: int = 0
    numbers: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class _Step:
    """One value of the program: how it is made of others."""

    code: int
    operands: tuple[int, ...]
    numbers: tuple[float, float] = (0.0, 0.0)
    band: str = ""


@dataclass
class _Maker:
    """Numbers the values, so that what is equal is made once, and gives each a slot for as long as it is needed."""

    known: dict[_Step, int] = field(default_factory=dict)
    steps: list[_Step] = field(default_factory=list)
    places: dict[int, int | float] = field(default_factory=dict)
    """From the identity of a node to the number of its value, or a float where it is a constant."""
    alive: list[Expr] = field(default_factory=list)
    """Nodes seen: as long as they are kept, their identity is theirs."""

    def enter(self, result: Expr) -> int:
        for node in ordered([result]):
            if id(node) not in self.places:
                self.alive.append(node)
                self.places[id(node)] = self._value(node)
        found = self.places[id(result)]
        return found if isinstance(found, int) else self._number(_Step(tape.FILL, (), (found, 0.0)))

    def judge(self, one: Judged) -> int:
        """Number the reason of a product."""
        reason = self.enter(one.reason) if one.reason is not None else self._slot(0.0)
        return self._number(_Step(tape.REASON, (self.enter(one.value), self.enter(one.least), reason)))

    def _value(self, node: Expr) -> int | float:
        if node.op == "constant":
            return float(node.number)
        if node.op == "band":
            return self._number(_Step(tape.LOAD, (), band=node.name))
        args = [self.places[id(one)] for one in node.args]
        if node.op == "where":
            return self._number(self._choice(args))
        return self._number(self._operation(node.op, args))

    def _operation(self, op: str, args: list[int | float]) -> _Step:
        if op in _SINGLES:
            return _Step(_SINGLES[op], (self._slot(args[0]),))
        a, b = args
        if isinstance(b, float) and not isinstance(a, float):
            if op == "sub":
                return _Step(tape.ADDC, (a,), (-b, 0.0))
            if op == "div" and b != 0:
                return _Step(tape.MULC, (a,), (1.0 / b, 0.0))
            if op in _RIGHT:
                return _Step(_RIGHT[op], (a,), (b, 0.0))
        if isinstance(a, float) and not isinstance(b, float) and op in _LEFT:
            return _Step(_LEFT[op], (b,), (a, 0.0))
        left, right = self._slot(a), self._slot(b)
        if op in _COMMUTES and left > right:
            left, right = right, left
        return _Step(_PAIRS[op], (left, right))

    def _choice(self, args: list[int | float]) -> _Step:
        condition, a, b = self._slot(args[0]), args[1], args[2]
        if isinstance(a, float) and isinstance(b, float):
            return _Step(tape.WHERE_AB, (condition,), (a, b))
        if isinstance(a, float):
            return _Step(tape.WHERE_A, (condition, condition, self._slot(b)), (a, 0.0))
        if isinstance(b, float):
            return _Step(tape.WHERE_B, (condition, a), (b, 0.0))
        return _Step(tape.WHERE, (condition, a, b))

    def _slot(self, value: int | float) -> int:
        return value if isinstance(value, int) else self._number(_Step(tape.FILL, (), (value, 0.0)))

    def _number(self, step: _Step) -> int:
        if step not in self.known:
            if len(self.steps) >= _MOST_STEPS:
                raise InputError("the formulas have too many steps", expected=f"<= {_MOST_STEPS}")
            self.known[step] = len(self.steps)
            self.steps.append(step)
        return self.known[step]

    def finish(self, stores: Sequence[_Store]) -> tuple[NDArray[np.int32], NDArray[np.float64], int, tuple[str, ...]]:
        results = [value for store in stores for value in store.operands]
        steps = _merged(self.steps, results)
        order = _needed(steps, results)
        bands = tuple(steps[value].band for value in order if steps[value].code == tape.LOAD)
        place = {value: number for number, value in enumerate(order)}
        after: dict[int, list[_Store]] = {}
        for store in stores:
            after.setdefault(max(store.operands, key=place.__getitem__), []).append(store)
        rows, numbers, slots = _placed(steps, order, after, bands)
        return np.array(rows, np.int32).reshape(-1, 5), np.array(numbers, np.float64).reshape(-1, 2), slots, bands


def _merged(steps: Sequence[_Step], kept: Iterable[int]) -> list[_Step]:
    """Join steps where nobody else asks for what lies between them: products of constants, and products with sums."""
    uses = Counter(operand for step in steps for operand in set(step.operands))
    uses.update(kept)
    found = list(steps)
    for value, step in enumerate(steps):
        first = found[step.operands[0]] if step.operands else step
        if step.code == tape.MULC and first.code == tape.MULC:
            found[value] = _Step(tape.MULC, first.operands, (step.numbers[0] * first.numbers[0], 0.0))
        elif step.code == tape.RSUBC and first.code == tape.MULC:
            found[value] = _Step(tape.LINC, first.operands, (-first.numbers[0], step.numbers[0]))
        elif step.code == tape.ADDC and uses[step.operands[0]] == 1:
            if first.code == tape.MUL:
                found[value] = _Step(tape.MADC, first.operands, step.numbers)
            elif first.code == tape.MULC:
                found[value] = _Step(tape.LINC, first.operands, (first.numbers[0], step.numbers[0]))
        elif step.code in (tape.ADD, tape.SUB):
            found[value] = _sum(step, found, uses)
    return found


def _sum(step: _Step, found: Sequence[_Step], uses: Mapping[int, int]) -> _Step:
    """Join a sum or difference with a product that only it asks for."""
    one, other = step.operands
    sign = -1.0 if step.code == tape.SUB else 1.0
    if one == other:
        return step
    if uses[other] == 1 and found[other].code == tape.MULC:
        return _Step(tape.AXPY, (*found[other].operands, one), (sign * found[other].numbers[0], 0.0))
    if step.code == tape.SUB:
        return step
    if uses[one] == 1 and found[one].code == tape.MULC:
        return _Step(tape.AXPY, (*found[one].operands, other), (found[one].numbers[0], 0.0))
    for product, rest in ((one, other), (other, one)):
        if uses[product] == 1 and found[product].code == tape.MUL:
            return _Step(tape.MAD, (*found[product].operands, rest))
    return step


def _needed(steps: Sequence[_Step], results: Sequence[int]) -> list[int]:
    """List the values that the results are made of, operands first, each as late as its result allows."""
    done: set[int] = set()
    order: list[int] = []
    for result in results:
        waiting = [(result, False)]
        while waiting:
            value, opened = waiting.pop()
            if value in done:
                continue
            if opened:
                done.add(value)
                order.append(value)
                continue
            waiting.append((value, True))
            waiting.extend((operand, False) for operand in reversed(steps[value].operands))
    return order


def _placed(
    steps: Sequence[_Step], order: Sequence[int], after: Mapping[int, Sequence[_Store]], bands: Sequence[str]
) -> tuple[list[tuple[int, ...]], list[tuple[float, float]], int]:
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
    numbers: list[tuple[float, float]] = []
    for place, value in enumerate(order):
        step = steps[value]
        # The target is taken before the operands are given back: the loops are only fast if they differ.
        if not free:
            free.append(slots)
            slots += 1
        slot[value] = free.pop()
        rows.append((step.code, slot[value], *_operands(step, slot, bands)))
        numbers.append(step.numbers)
        for store in after.get(value, ()):
            rows.append((store.code, store.number, *_stored(store, slot)))
            numbers.append(store.numbers)
        free.extend(sorted((slot[one] for one in ends.get(place, ())), reverse=True))
    return rows, numbers, slots


def _operands(step: _Step, slot: Mapping[int, int], bands: Sequence[str]) -> tuple[int, int, int]:
    if step.code == tape.LOAD:
        return bands.index(step.band), 0, 0
    found = [slot[one] for one in step.operands] or [0]
    a, b, c = (*found, found[0], found[0])[:3]
    return a, b, c


def _stored(store: _Store, slot: Mapping[int, int]) -> tuple[int, int, int]:
    found = [slot[one] for one in store.operands]
    return found[0], found[-1], store.mark
