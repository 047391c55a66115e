"""From nodes of a formula to steps, each made once.

A value is kept as a step's result with a scale and a shift, ``k v + m``, as long as possible: most steps take them in
without cost, and what is scaled twice, or scaled and then divided by what has the same scale, is not scaled at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from terracube.core.errors import InputError
from terracube.processing.formula.expression import Expr
from terracube.processing.formula.gradient import ordered
from terracube.processing.kernels import tape

_MOST_STEPS = 100_000
_LEAST, _MOST = 1e-30, 1e30
_TRUTHS = frozenset((tape.LT, tape.LE, tape.LTC, tape.LEC, tape.FINITE))


@dataclass(frozen=True, slots=True)
class Step:
    """One value of the program: how it is made of others."""

    code: int
    operands: tuple[int, ...]
    numbers: tuple[float, float, float] = (0.0, 0.0, 0.0)
    band: str = ""


@dataclass(frozen=True, slots=True)
class Form:
    """The result of a step, scaled and shifted."""

    value: int
    scale: float = 1.0
    shift: float = 0.0

    def times(self, number: float) -> Form:
        """Scale it once more."""
        return Form(self.value, self.scale * number, self.shift * number)

    def like(self, other: Form) -> bool:
        """Tell whether both are scaled and shifted alike."""
        return self.scale == other.scale and self.shift == other.shift


type Operand = Form | float


@dataclass
class Maker:
    """Numbers the values, so that what is equal is made once."""

    known: dict[Step, int] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    places: dict[int, Operand] = field(default_factory=dict)
    """From the identity of a node to what it comes to."""
    truths: set[int] = field(default_factory=set)
    """Values that are zero or one."""
    alive: list[Expr] = field(default_factory=list)
    """Nodes seen: as long as they are kept, their identity is theirs."""

    def enter(self, result: Expr) -> Operand:
        """Make the steps of a formula, and give what it comes to."""
        for node in ordered([result]):
            if id(node) not in self.places:
                self.alive.append(node)
                self.places[id(node)] = self._sound(self._made(node))
        return self.places[id(result)]

    def slot(self, one: Operand) -> int:
        """Give the number of a value as it is, scaled and shifted."""
        if isinstance(one, float):
            return self.number(Step(tape.FILL, (), (one, 0.0, 0.0)))
        if one.scale == 1 and one.shift == 0:
            return one.value
        return self.number(Step(tape.LINC, (one.value,), (one.scale, one.shift, 0.0)))

    def number(self, step: Step) -> int:
        """Give the number of the value that a step makes."""
        if step not in self.known:
            if len(self.steps) >= _MOST_STEPS:
                raise InputError("the formulas have too many steps", expected=f"<= {_MOST_STEPS}")
            number = self.known[step] = len(self.steps)
            self.steps.append(step)
            joined = step.code in (tape.MIN, tape.MAX) and self.truths.issuperset(step.operands)
            if joined or step.code in _TRUTHS:
                self.truths.add(number)
        return self.known[step]

    def _sound(self, one: Operand) -> Operand:
        # A scale that came to nothing, or to more than a number of 32 bits holds, is not carried on.
        if isinstance(one, float) or (_LEAST < abs(one.scale) < _MOST and abs(one.shift) < _MOST):
            return one
        return Form(self.slot(one))

    def _made(self, node: Expr) -> Operand:
        if node.op == "constant":
            return float(node.number)
        if node.op == "band":
            return Form(self.number(Step(tape.LOAD, (), band=node.name)))
        return _MAKE[node.op](self, *(self.places[id(one)] for one in node.args))

    def new(self, code: int, *operands: int, numbers: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Form:
        """Give the value of a step as a form."""
        return Form(self.number(Step(code, operands, numbers)))


def _add(maker: Maker, a: Operand, b: Operand) -> Operand:
    if isinstance(a, float):
        return a + b if isinstance(b, float) else Form(b.value, b.scale, b.shift + a)
    if isinstance(b, float):
        return Form(a.value, a.scale, a.shift + b)
    if a.value == b.value:
        return Form(a.value, a.scale + b.scale, a.shift + b.shift)
    # The one made first is the one without scale, unless only the other has none.
    first, second = (a, b) if a.value < b.value else (b, a)
    if second.scale == 1 and first.scale not in (1, -1):
        first, second = second, first
    ratio = second.scale / first.scale
    return Form(maker.new(tape.AXPY, second.value, first.value, numbers=(ratio, 0.0, 0.0)).value, first.scale,
                a.shift + b.shift)  # fmt: skip


def _negative(a: Operand) -> Operand:
    return -a if isinstance(a, float) else a.times(-1.0)


def _multiply(maker: Maker, a: Operand, b: Operand, code: int = tape.MADC) -> Operand:
    for one, other in ((a, b), (b, a)):
        if isinstance(one, float) and isinstance(other, Form) and math.isfinite(one):
            return other.times(one)
    (x, k), (y, m) = _factor(maker, a), _factor(maker, b)
    if code == tape.MADC:
        x, y = sorted((x, y))
    return maker.new(code, x, y, numbers=(1.0, 0.0, 0.0)).times(k * m)


def _factor(maker: Maker, one: Operand) -> tuple[int, float]:
    """Give a value and the scale that may be taken out of a product."""
    if isinstance(one, float) or one.shift != 0:
        return maker.slot(one), 1.0
    return one.value, one.scale


def _divide(maker: Maker, a: Operand, b: Operand) -> Operand:
    if isinstance(b, float):
        if b != 0 and math.isfinite(1 / b):
            return _multiply(maker, a, 1 / b)
        return maker.new(tape.DIV, maker.slot(a), maker.slot(b), numbers=(1.0, 0.0, 0.0))
    below = (b.scale, b.shift) if b.shift != 0 else (1.0, 0.0)
    outer = 1.0 if b.shift != 0 else 1 / b.scale
    if isinstance(a, float):
        return maker.new(tape.RDIVC, b.value, numbers=(*below, a * outer))
    x, k = _factor(maker, a)
    return maker.new(tape.DIV, x, b.value, numbers=(*below, 0.0)).times(k * outer)


def _extreme(code: int) -> Callable[[Maker, Operand, Operand], Operand]:
    other = tape.MAX if code == tape.MIN else tape.MIN

    def make(maker: Maker, a: Operand, b: Operand) -> Operand:
        if isinstance(a, float):
            a, b = b, a
        if isinstance(b, float):
            bounds = (-math.inf, b) if code == tape.MIN else (b, math.inf)
            return maker.new(tape.CLAMP, maker.slot(a), numbers=(*bounds, 0.0))
        if not isinstance(a, float) and a.like(b):
            x, y = sorted((a.value, b.value))
            return Form(maker.new(code if a.scale > 0 else other, x, y).value, a.scale, a.shift)
        x, y = sorted((maker.slot(a), maker.slot(b)))
        return maker.new(code, x, y)

    return make


def _compare(code: int, with_number: int) -> Callable[[Maker, Operand, Operand], Operand]:
    def make(maker: Maker, a: Operand, b: Operand) -> Operand:
        if isinstance(b, float):
            x, k = _factor(maker, a)
            return maker.new(with_number, x, numbers=(math.copysign(1.0, k), b / abs(k), 0.0))
        if isinstance(a, float):
            # "a number is less than x" is "-x is less than its negative".
            x, k = _factor(maker, b)
            return maker.new(with_number, x, numbers=(math.copysign(1.0, -k), -a / abs(k), 0.0))
        if a.like(b):
            x, y = (a.value, b.value) if a.scale > 0 else (b.value, a.value)
            return maker.new(code, x, y)
        return maker.new(code, maker.slot(a), maker.slot(b))

    return make


def _power(maker: Maker, a: Operand, b: Operand) -> Operand:
    if not isinstance(b, float):
        raise InputError("a power is of a number", where="pow", got="a symbol", todo="write power(x, y)")
    x, k, exponent = *_factor(maker, a), b
    if k < 0 or not _LEAST < k**exponent < _MOST:
        x, k = maker.slot(a), 1.0
    return maker.new(tape.POWC, x, numbers=(1.0, 0.0, exponent)).times(k**exponent)


def _logarithm(maker: Maker, a: Operand) -> Operand:
    x, k = _factor(maker, a)
    if k < 0:
        x, k = maker.slot(a), 1.0
    return Form(maker.new(tape.LOG2, x, numbers=(1.0, 0.0, 0.0)).value, 1.0, math.log2(k))


def _taking(code: int) -> Callable[[Maker, Operand], Operand]:
    """Make a function that scales and shifts what it takes."""

    def make(maker: Maker, a: Operand) -> Operand:
        one = Form(maker.slot(a)) if isinstance(a, float) else a
        return maker.new(code, one.value, numbers=(one.scale, one.shift, 0.0))

    return make


def _absolute(maker: Maker, a: Operand) -> Operand:
    x, k = _factor(maker, a)
    return maker.new(tape.ABS, x).times(abs(k))


def _finite(maker: Maker, a: Operand) -> Operand:
    return maker.new(tape.FINITE, maker.slot(a) if isinstance(a, float) else a.value)


def _angle(maker: Maker, a: Operand, b: Operand) -> Operand:
    return maker.new(tape.ARCTAN2, maker.slot(a), maker.slot(b))


def _choice(maker: Maker, condition: Operand, a: Operand, b: Operand) -> Operand:
    if isinstance(condition, float):
        return a if condition != 0 else b
    if condition.like(Form(0, -1.0, 1.0)) and condition.value in maker.truths:
        condition, a, b = Form(condition.value), b, a
    c = maker.slot(condition)
    if isinstance(a, float) and isinstance(b, float):
        if c in maker.truths and _exact(a, b, a - b):
            return Form(c, a - b, b)
        return maker.new(tape.WHERE_AB, c, numbers=(a, b, 0.0))
    if isinstance(a, float):
        other, k = _divided(maker, a, b)
        return maker.new(tape.WHERE_A, c, c, other, numbers=(a / k, 0.0, 0.0)).times(k)
    if isinstance(b, float):
        other, k = _divided(maker, b, a)
        return maker.new(tape.WHERE_B, c, other, numbers=(b / k, 0.0, 0.0)).times(k)
    if a.like(b):
        return Form(maker.new(tape.WHERE, c, a.value, b.value).value, a.scale, a.shift)
    return maker.new(tape.WHERE, c, maker.slot(a), maker.slot(b))


def _divided(maker: Maker, number: float, one: Operand) -> tuple[int, float]:
    """Give a value and the scale that may be taken out of a choice between it and a number, if nothing is rounded."""
    x, k = _factor(maker, one)
    if k > 0 and math.log2(k) % 1 == 0 and _exact(number, k, number / k):
        return x, k
    return maker.slot(one), 1.0


def _exact(*numbers: float) -> bool:
    return all(math.isfinite(one) and float(np.float32(one)) == one for one in numbers)


_MAKE: dict[str, Callable[..., Operand]] = {
    "add": _add,
    "sub": lambda maker, a, b: _add(maker, a, _negative(b)),
    "mul": _multiply,
    "mulz": lambda maker, a, b: _multiply(maker, a, b, tape.MULZ),
    "div": _divide,
    "min": _extreme(tape.MIN),
    "max": _extreme(tape.MAX),
    "lt": _compare(tape.LT, tape.LTC),
    "le": _compare(tape.LE, tape.LEC),
    "pow": _power,
    "abs": _absolute,
    "sqrt": _taking(tape.SQRT),
    "exp2": _taking(tape.EXP2),
    "log2": _logarithm,
    "arctan2": _angle,
    "finite": _finite,
    "where": _choice,
}
