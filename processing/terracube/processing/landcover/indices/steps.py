"""From postfix order to the steps of the kernel: numbers are computed at once, equal steps are done once.

Steps are collected for all formulas together: ``N - R`` of one index is that of the next. Then each gets a slot, which
is used again as soon as nobody needs its value.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from terracube.core.errors import InputError
from terracube.processing.kernels import postfix as kernel
from terracube.processing.landcover.indices.formula import OPERATIONS, Postfix

MAX_POWER = 16.0
"""Largest exponent; beyond it float32 leaves its range for any reflectance."""

type Row = tuple[int, int, int, int]

_FOLD: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": math.pow,
}
_FOLD_ONE: Mapping[str, Callable[[float], float]] = {
    "neg()": operator.neg,
    "sqrt()": math.sqrt,
    "exp()": math.exp,
    "log()": math.log,
}
_TWO = {"+": kernel.ADD, "-": kernel.SUBTRACT, "*": kernel.MULTIPLY, "/": kernel.DIVIDE}
_ONE = {"neg()": kernel.NEGATE, "sqrt()": kernel.ROOT, "exp()": kernel.EXPONENTIAL, "log()": kernel.LOGARITHM}
_CONSTANT = -1


@dataclass(frozen=True, slots=True)
class Value:
    """A value that varies by pixel: the number of the step that gives it."""

    step: int


type Operand = float | Value


@dataclass(slots=True)
class Steps:
    """Collects the steps of formulas; a step that is there already is not done again."""

    formula: str = ""
    """The formula at work, for messages."""
    numbers: dict[float, Value] = field(default_factory=dict)
    known: dict[tuple[int, int, int], Value] = field(default_factory=dict)
    """Code and operands of each step to its value; of ``LOAD`` the operand is the band, of a constant its number."""

    def add(self, code: int, a: int, b: int = 0) -> Value:
        """Give the value of a step, which is new or known."""
        return self.known.setdefault((code, a, b), Value(len(self.known)))

    def place(self, operand: Operand) -> int:
        """Give the step of an operand: a number takes one too."""
        if isinstance(operand, Value):
            return operand.step
        if abs(operand) > float(np.finfo(np.float32).max):
            raise InputError("a number of the formula is too large", where=self.formula[:80], got=str(operand))
        if operand not in self.numbers:
            self.numbers[operand] = self.add(_CONSTANT, len(self.numbers))
        return self.numbers[operand].step

    def two(self, code: int, a: Operand, b: Operand) -> Value:
        """Add a step of two operands."""
        return self.add(code, self.place(a), self.place(b))

    def power(self, base: Value, exponent: Operand) -> Value:
        """Raise to a number: small whole ones by multiplication, which is exact to the last bits and fast."""
        if isinstance(exponent, Value):
            todo = "raise to a number or a parameter"
            raise InputError("the formula raises to what varies by pixel", where=self.formula[:80], todo=todo)
        if abs(exponent) > MAX_POWER:
            what, expected = "the formula has a power that is too large", f"at most {MAX_POWER:g}"
            raise InputError(what, where=self.formula[:80], expected=expected, got=str(exponent))
        if exponent == 1.0:
            return base
        if exponent == 0.5:
            return self.add(kernel.ROOT, base.step)
        if exponent not in (2.0, 3.0, 4.0):
            return self.two(kernel.POWER, base, exponent)
        square = self.two(kernel.MULTIPLY, base, base)
        if exponent == 2.0:
            return square
        return self.two(kernel.MULTIPLY, square, base if exponent == 3.0 else square)

    def fold(self, operation: Callable[..., float], *numbers: float) -> float:
        """Compute with numbers alone, in double precision."""
        try:
            return operation(*numbers)
        except (ArithmeticError, ValueError) as error:
            got = ", ".join(str(number) for number in numbers)
            todo = "give other parameters"
            raise InputError("the formula has no value", where=self.formula[:80], got=got, todo=todo) from error

    def apply(self, operation: str, stack: list[Operand]) -> Operand:
        """Do an operation on the top of the stack: with numbers now, with pixels as a step."""
        b = stack.pop()
        if operation in _FOLD_ONE:
            if isinstance(b, Value):
                return self.add(_ONE[operation], b.step)
            return self.fold(_FOLD_ONE[operation], b)
        a = stack.pop()
        if not isinstance(a, Value) and not isinstance(b, Value):
            return self.fold(_FOLD[operation], a, b)
        if operation == "/" and b == 0.0:
            raise InputError("the formula divides by zero", where=self.formula[:80], todo="give other parameters")
        if operation != "**":
            return self.two(_TWO[operation], a, b)
        if not isinstance(a, Value):
            return self.power(Value(self.place(a)), b)
        return self.power(a, b)

    def walk(self, postfix: Postfix, names: Mapping[str, Operand | Postfix]) -> Operand:
        """Turn a formula into steps and give its value; a name may stand for a formula."""
        stack: list[Operand] = []
        for token in postfix:
            if isinstance(token, float):
                stack.append(token)
            elif token in OPERATIONS:
                stack.append(self.apply(token, stack))
            else:
                value = names[token]
                stack.append(self.walk(value, names) if isinstance(value, tuple) else value)
        return stack.pop()


def _last_uses(steps: list[tuple[int, int, int]], results: Iterable[int]) -> dict[int, int]:
    """Say after which step each value is not needed any more; results are stored as soon as they are there."""
    last = {result: result for result in results}
    for number, (code, a, b) in enumerate(steps):
        for operand in _operands(code, a, b):
            last[operand] = max(number, last.get(operand, 0))
    return last


def _operands(code: int, a: int, b: int) -> tuple[int, ...]:
    if code in (_CONSTANT, kernel.LOAD):
        return ()
    return (a,) if code >= kernel.NEGATE else (a, b)


def to_table(collected: Steps, results: list[int]) -> tuple[tuple[Row, ...], int]:
    """Give each step a slot, and the rows of the kernel's table with the number of slots.

    Constants keep the first slots. Another value takes the slot that was freed last, never that of its own operands,
    which are freed after it: so no step writes over what it reads.
    """
    steps = list(collected.known)
    last = _last_uses(steps, results)
    slots: dict[int, int] = {value.step: number for number, value in enumerate(collected.numbers.values())}
    rows: list[Row] = []
    free: list[int] = []
    count = fixed = len(slots)
    for number, (code, a, b) in enumerate(steps):
        if code != _CONSTANT:
            if not free:
                free.append(count)
                count += 1
            slots[number] = free.pop()
            operands = [slots[operand] for operand in _operands(code, a, b)]
            rows.append((code, slots[number], *((operands[0], operands[-1]) if operands else (a, 0))))
        rows.extend((kernel.STORE, row, slots[number], 0) for row, result in enumerate(results) if result == number)
        done = {operand for operand in (*_operands(code, a, b), number) if last.get(operand) == number}
        free.extend(sorted(slots[value] for value in done if slots[value] >= fixed))
    return tuple(rows), count
