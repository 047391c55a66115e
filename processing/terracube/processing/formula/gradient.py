"""Derivatives of formulas, as formulas: what the noise of bands does to a product is one more product."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from terracube.processing.formula.expression import Expr, apply, where

type _Slopes = tuple[Expr | float | None, ...]

_LN2 = math.log(2)
# The derivative by each operand, given the result and then the operands; None: it does not change with it.
_RULES: dict[str, Callable[[tuple[Expr, ...]], _Slopes]] = {
    "add": lambda _: (1.0, 1.0),
    "sub": lambda _: (1.0, -1.0),
    "mul": lambda v: (v[2], v[1]),
    "mulz": lambda v: (v[2], v[1]),
    "div": lambda v: (1.0 / v[2], -v[0] / v[2]),
    "min": lambda v: (v[1] <= v[2], 1.0 - (v[1] <= v[2])),
    "max": lambda v: (v[2] <= v[1], 1.0 - (v[2] <= v[1])),
    "lt": lambda _: (None, None),
    "le": lambda _: (None, None),
    "finite": lambda _: (None,),
    "pow": lambda v: (v[2] * v[1] ** (v[2].number - 1), None),
    "abs": lambda v: (where(v[1] < 0, -1.0, 1.0),),
    "sqrt": lambda v: (0.5 / v[0],),
    "log2": lambda v: ((1 / _LN2) / v[1],),
    "exp2": lambda v: (v[0] * _LN2,),
    "arctan2": lambda v: (v[2] / (v[1] ** 2 + v[2] ** 2), -v[1] / (v[1] ** 2 + v[2] ** 2)),
    "where": lambda v: (None, v[1], 1.0 - v[1]),
}


def gradient(result: Expr, bands: Iterable[str]) -> dict[str, Expr]:
    """Differentiate a formula by its bands, backwards from the result; bands on which it does not depend are left out.

    At a switch the derivative is that of the branch taken; what was not taken does no harm, even where it has no
    value there.

    Examples
    --------
    >>> from terracube.processing.formula import band
    >>> red = band("red")
    >>> str(gradient(red * 3.0, ["red"])["red"])
    '3'
    """
    wanted = set(bands)
    flow: dict[int, Expr] = {id(result): Expr("constant", number=1.0)}
    found: dict[str, Expr] = {}
    for node in reversed(ordered([result])):
        coming = flow.pop(id(node), None)
        if coming is None or node.op == "constant":
            continue
        if node.op == "band":
            if node.name in wanted:
                found[node.name] = coming if node.name not in found else found[node.name] + coming
            continue
        for operand, slope in zip(node.args, _RULES[node.op]((node, *node.args)), strict=True):
            if slope is None or operand.op == "constant":
                continue
            part: Expr = apply("mulz", coming, slope)
            flow[id(operand)] = part if id(operand) not in flow else flow[id(operand)] + part
    return found


def ordered(results: Iterable[Expr]) -> list[Expr]:
    """List all nodes, operands before what is made of them, each object once."""
    done: set[int] = set()
    order: list[Expr] = []
    for result in results:
        waiting = [(result, False)]
        while waiting:
            node, opened = waiting.pop()
            if id(node) in done:
                continue
            if opened:
                done.add(id(node))
                order.append(node)
                continue
            waiting.append((node, True))
            waiting.extend((operand, False) for operand in reversed(node.args))
    return order
