"""Values that are numbers or symbols, and the functions that a formula may use of them.

Every function takes floats, numpy arrays and :class:`Expr` alike. With numbers it is the function of numpy of that
name, without warnings: what has no value is NaN or infinite. Truth values are booleans of numpy, or an ``Expr`` of
zeros and ones; a comparison with NaN is false in both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import InputError

type Value = Expr | float | NDArray[Any]

_LOG2_10 = math.log2(10)


@dataclass(frozen=True, eq=False, slots=True)
class Expr:
    """A node of a formula: an operation and what it is done to.

    Examples
    --------
    >>> red, nir = band("red"), band("nir")
    >>> str((nir - red) / (nir + red))
    '((nir - red) / (nir + red))'
    """

    op: str
    args: tuple[Expr, ...] = ()
    number: float = 0.0
    """Of a constant."""
    name: str = ""
    """Of a band."""

    # An array beside a symbol would take the symbol for one of its elements.
    __array_ufunc__ = None

    def __add__(self, other: Value) -> Expr:
        return _node("add", self, other)

    def __radd__(self, other: Value) -> Expr:
        return _node("add", other, self)

    def __sub__(self, other: Value) -> Expr:
        return _node("sub", self, other)

    def __rsub__(self, other: Value) -> Expr:
        return _node("sub", other, self)

    def __mul__(self, other: Value) -> Expr:
        return _node("mul", self, other)

    def __rmul__(self, other: Value) -> Expr:
        return _node("mul", other, self)

    def __truediv__(self, other: Value) -> Expr:
        return _node("div", self, other)

    def __rtruediv__(self, other: Value) -> Expr:
        return _node("div", other, self)

    def __pow__(self, other: Value) -> Expr:
        return _power(self, other)

    def __rpow__(self, other: Value) -> Expr:
        return _power(other, self)

    def __neg__(self) -> Expr:
        return _node("sub", 0.0, self)

    def __abs__(self) -> Expr:
        return _node("abs", self)

    def __lt__(self, other: Any) -> Expr:
        return _node("lt", self, other)

    def __le__(self, other: Any) -> Expr:
        return _node("le", self, other)

    def __gt__(self, other: Any) -> Expr:
        return _node("lt", other, self)

    def __ge__(self, other: Any) -> Expr:
        return _node("le", other, self)

    def __and__(self, other: Value) -> Expr:
        return _node("min", self, other)

    def __rand__(self, other: Value) -> Expr:
        return _node("min", other, self)

    def __or__(self, other: Value) -> Expr:
        return _node("max", self, other)

    def __ror__(self, other: Value) -> Expr:
        return _node("max", other, self)

    def __invert__(self) -> Expr:
        return _node("sub", 1.0, self)

    def __bool__(self) -> bool:
        raise InputError(
            "a formula cannot ask whether a symbol is true",
            where=str(self)[:80],
            expected="where(condition, a, b)",
            todo="use & | ~ instead of and, or, not",
        )

    def __str__(self) -> str:
        if self.op == "constant":
            return f"{self.number:g}"
        if self.op == "band":
            return self.name
        sign = {"add": "+", "sub": "-", "mul": "*", "div": "/", "lt": "<", "le": "<="}.get(self.op)
        if sign is None:
            return f"{self.op}({', '.join(map(str, self.args))})"
        return f"({self.args[0]} {sign} {self.args[1]})"


def band(name: str) -> Expr:
    """Give the symbol of a band."""
    return Expr("band", name=name)


def constant(number: float) -> Expr:
    """Give the symbol of a number."""
    return Expr("constant", number=float(number))


# What each operation does to numbers: the only meaning it has.
NUMPY: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "mulz": lambda a, b: np.where(np.equal(a, 0), 0.0, np.multiply(a, b)),
    "min": np.minimum,
    "max": np.maximum,
    "lt": np.less,
    "le": np.less_equal,
    "pow": np.power,
    "abs": np.abs,
    "sqrt": np.sqrt,
    "log2": np.log2,
    "exp2": np.exp2,
    "arctan2": np.arctan2,
    "finite": np.isfinite,
    "where": lambda c, a, b: np.where(np.not_equal(c, 0), a, b),
}


def _to_expr(value: Value) -> Expr:
    if isinstance(value, Expr):
        return value
    if isinstance(value, bool | int | float | np.number | np.bool_):
        return constant(float(value))
    raise InputError(
        "symbols and arrays do not mix", where="formula", expected="Expr or a number", got=str(type(value))
    )


def _node(op: str, *args: Value) -> Expr:
    """Make a node, or the number it comes to."""
    nodes = tuple(map(_to_expr, args))
    if all(one.op == "constant" for one in nodes):
        with np.errstate(all="ignore"):
            return constant(float(NUMPY[op](*(np.float64(one.number) for one in nodes))))
    simpler = _simpler(op, nodes)
    return Expr(op, nodes) if simpler is None else simpler


def _simpler(op: str, nodes: tuple[Expr, ...]) -> Expr | None:
    """Leave out what changes nothing, for any number and for NaN."""
    a, b = nodes[0], nodes[-1]
    left, right = (one.number if one.op == "constant" else None for one in (a, b))
    if op == "add" and left == 0:
        return b
    if (op in ("add", "sub") and right == 0) or (op in ("mul", "mulz", "div", "pow") and right == 1):
        return a
    if op in ("mul", "mulz") and left == 1:
        return b
    if op == "mulz" and 0 in (left, right):
        return constant(0.0)
    return None


def apply(op: str, *args: Value) -> Any:
    """Do an operation to numbers, or note it down where one of them is a symbol."""
    if any(isinstance(one, Expr) for one in args):
        return _node(op, *args)
    with np.errstate(all="ignore"):
        return NUMPY[op](*args)


def _power(base: Value, exponent: Value) -> Expr:
    """Write whole powers as products, which also negative numbers have, and powers of ten by their logarithm."""
    if isinstance(exponent, Expr):
        if isinstance(base, Expr) and base.op != "constant":
            return _node("exp2", exponent * _node("log2", base))
        number = base.number if isinstance(base, Expr) else float(np.float64(base))
        return _node("exp2", exponent * math.log2(number))
    number = float(np.float64(exponent))
    symbol = _to_expr(base)
    if number == int(number) and 1 <= abs(number) <= 8:
        whole = _product(symbol, int(abs(number)))
        return whole if number > 0 else 1.0 / whole
    return _node("sqrt", symbol) if number == 0.5 else _node("pow", symbol, number)


def _product(symbol: Expr, times: int) -> Expr:
    if times == 1:
        return symbol
    half = _product(symbol, times // 2)
    return half * half if times % 2 == 0 else half * half * symbol


def power(base: Value, exponent: Value) -> Any:
    """Raise to a power. Of a negative number to a fraction: NaN."""
    if isinstance(base, Expr) or isinstance(exponent, Expr):
        return _power(base, exponent)
    numbers = np.asarray(base)
    return apply("pow", numbers if numbers.dtype.kind == "f" else numbers.astype("float64"), exponent)


def log(x: Value) -> Any:
    """Natural logarithm; of a negative number NaN, of zero minus infinity."""
    return apply("log2", x) * math.log(2)


def log10(x: Value) -> Any:
    """Logarithm to the base ten."""
    return apply("log2", x) * (1 / _LOG2_10) if isinstance(x, Expr) else _quiet(np.log10, x)


def exp(x: Value) -> Any:
    """Exponential."""
    return apply("exp2", x * (1 / math.log(2))) if isinstance(x, Expr) else _quiet(np.exp, x)


def sqrt(x: Value) -> Any:
    """Square root; of a negative number NaN."""
    return apply("sqrt", x)


def arctan2(y: Value, x: Value) -> Any:
    """Angle of the point (x, y), radians, -pi to pi."""
    return apply("arctan2", y, x)


def where(condition: Value, a: Value, b: Value) -> Any:
    """Take ``a`` where the condition holds, else ``b``; what is not taken does no harm."""
    if isinstance(condition, bool | np.bool_):
        return a if condition else b
    return apply("where", condition, a, b)


def minimum(a: Value, b: Value) -> Any:
    """Take the smaller one; NaN if one is."""
    return apply("min", a, b)


def maximum(a: Value, b: Value) -> Any:
    """Take the larger one; NaN if one is."""
    return apply("max", a, b)


def absolute(x: Value) -> Any:
    """Take away the sign."""
    return apply("abs", x)


def isfinite(x: Value) -> Any:
    """Tell whether there is a value."""
    return apply("finite", x)


def _quiet(function: Callable[[Any], Any], x: Any) -> Any:
    with np.errstate(all="ignore"):
        return function(x)
