"""Joining steps where nobody else asks for what lies between them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from terracube.processing.formula.making import Step
from terracube.processing.kernels import tape

_SCALED = frozenset((tape.MADC,))
"""Steps that scale and shift what they give, by their first two numbers. Logarithms and powers could too, and then two
products that scale the same one differently would take it twice."""


def merged(steps: Sequence[Step], results: Iterable[int]) -> list[Step]:
    """Join products with sums, functions with what scales them, and limits with limits.

    Parameters
    ----------
    steps : sequence of Step
        Operands before what is made of them.
    results : iterable of int
        Values that are asked for from outside.

    Returns
    -------
    list of Step
        With the same numbers; some are no longer needed.
    """
    kept = list(results)
    order = needed(steps, kept)
    uses = Counter(operand for value in order for operand in set(steps[value].operands))
    uses.update(kept)
    found = list(steps)
    for value in sorted(order):
        step = found[value]
        if step.code == tape.LINC and uses[step.operands[0]] == 1:
            found[value] = _scaled(step, found[step.operands[0]])
        elif step.code == tape.CLAMP and uses[step.operands[0]] == 1:
            found[value] = _held(step, found[step.operands[0]])
        elif step.code == tape.AXPY:
            found[value] = _sum(step, found, uses)
    return found


def needed(steps: Sequence[Step], results: Sequence[int]) -> list[int]:
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


def _scaled(step: Step, first: Step) -> Step:
    k, m, _ = step.numbers
    one, other, third = first.numbers
    if first.code in _SCALED:
        return Step(first.code, first.operands, (one * k, other * k + m, third))
    if first.code == tape.RDIVC and m == 0:
        return Step(first.code, first.operands, (one, other, third * k))
    if first.code == tape.DIV and m == 0:
        return Step(first.code, first.operands, (one / k, other / k, third))
    return step


def _held(step: Step, first: Step) -> Step:
    """Join a lower with an upper limit."""
    (low, high, _), (under, over, _) = step.numbers, first.numbers
    if first.code == tape.CLAMP and math.isinf(low) != math.isinf(under) and max(low, under) <= min(high, over):
        return Step(tape.CLAMP, first.operands, (max(low, under), min(high, over), 0.0))
    return step


def _sum(step: Step, found: Sequence[Step], uses: Mapping[int, int]) -> Step:
    """Join a sum with a product that only it asks for."""
    one, other = step.operands
    scale = step.numbers[0]
    pairs = [(one, other, scale)] + ([(other, one, 1.0)] if scale == 1 else [])
    for product, rest, times in pairs:
        made = found[product]
        if uses[product] == 1 and made.code == tape.MADC and made.numbers[1] == 0:
            return Step(tape.MAD, (*made.operands, rest), (made.numbers[0] * times, 0.0, 0.0))
    return step
