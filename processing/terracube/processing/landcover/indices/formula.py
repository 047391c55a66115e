"""Read formulas of spectral indices: text to postfix order, through an allow-list; nothing is ever evaluated.

What is allowed: numbers, names, ``+ - * /``, ``**``, signs, brackets, and the functions ``sqrt``, ``exp`` and ``log``
of one argument. All else is refused, by what it is: a formula is input, and may come from anybody.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator
from functools import lru_cache

from terracube.core.errors import InputError

MAX_LENGTH = 600
"""Characters of a formula; the longest of the catalogue has 215."""
MAX_DEPTH = 40
"""Operations and brackets inside one another; the deepest of the catalogue has 9."""
FUNCTIONS = ("sqrt", "exp", "log")

type Token = float | str
"""A number, a name, or one of the operations: ``+ - * / ** neg() sqrt() exp() log()``."""
type Postfix = tuple[Token, ...]

_ALLOWED = re.compile(r"[A-Za-z0-9_+\-*/(). ]+")
# A number with letters at its end: the parser would read "1if" as two words, with a warning.
_STUCK = re.compile(r"(?<![A-Za-z0-9_.])[0-9.]++(?:[eE][+-]?[0-9]++)?+[A-Za-z_]")
_BINARY = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
OPERATIONS = frozenset({*_BINARY.values(), "neg()", *(f"{name}()" for name in FUNCTIONS)})


def _refuse(what: str, got: str, todo: str = "write it with numbers, names, + - * / ** and brackets") -> InputError:
    expected = f"numbers, names, + - * / ** ( ) and {', '.join(FUNCTIONS)} of one argument"
    return InputError(what, where="formula", expected=expected, got=repr(got)[:200], todo=todo)


def _number(node: ast.Constant, text: str) -> float:
    if isinstance(node.value, bool) or not isinstance(node.value, int | float):
        raise _refuse("the formula holds a constant that is no number", text)
    try:
        number = float(node.value)
    except OverflowError as error:
        raise _refuse("the formula holds a number that is too large", text) from error
    if not math.isfinite(number):
        raise _refuse("the formula holds a number that is too large", text)
    return number


def _call(node: ast.Call, text: str) -> str:
    plain = isinstance(node.func, ast.Name) and len(node.args) == 1 and not node.keywords
    if not plain or not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
        raise _refuse("the formula calls what it may not call", text)
    return node.func.id


def _tokens(node: ast.expr, text: str, depth: int) -> Iterator[Token]:
    """Give the postfix order of a node, operands first."""
    if depth > MAX_DEPTH:
        raise _refuse("the formula is too deep", text, f"at most {MAX_DEPTH} operations inside one another")
    match node:
        case ast.Constant():
            yield _number(node, text)
        case ast.Name():
            yield node.id
        case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
            yield from _tokens(node.operand, text, depth + 1)
            if isinstance(node.op, ast.USub):
                yield "neg()"
        case ast.BinOp() if type(node.op) in _BINARY:
            yield from _tokens(node.left, text, depth + 1)
            yield from _tokens(node.right, text, depth + 1)
            yield _BINARY[type(node.op)]
        case ast.Call():
            name = _call(node, text)
            yield from _tokens(node.args[0], text, depth + 1)
            yield f"{name}()"
        case _:
            raise _refuse(f"the formula holds {type(node).__name__}, which is not allowed", text)


@lru_cache(maxsize=1024)
def parse(text: str) -> Postfix:
    """Turn a formula into postfix order.

    Parameters
    ----------
    text : str
        Such as ``"(N - R)/(N + R)"``; at most 600 characters, 40 operations deep.

    Returns
    -------
    tuple of numbers, names and operations
        Operands before their operation. ``"neg()"`` is the sign; it and functions carry brackets, as no name does.

    Raises
    ------
    InputError
        If it holds anything but numbers, names, the operations and the functions of the allow-list.

    Examples
    --------
    >>> parse("(N - R)/(N + R)")
    ('N', 'R', '-', 'N', 'R', '+', '/')
    """
    if not isinstance(text, str) or not text.strip():
        raise _refuse("the formula is empty", str(text))
    # Both before the parser sees it: it may need much memory for what is long or strange.
    if len(text) > MAX_LENGTH:
        raise _refuse("the formula is too long", text, f"at most {MAX_LENGTH} characters")
    if _ALLOWED.fullmatch(text) is None or _STUCK.search(text) is not None:
        raise _refuse("the formula holds characters that no formula needs", text)
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _refuse("the formula cannot be read", text) from error
    return tuple(_tokens(tree.body, text, 0))


def names_in(postfix: Postfix) -> tuple[str, ...]:
    """List the names of a formula, each once, in the order in which they come.

    Examples
    --------
    >>> names_in(parse("N - a * (N - R)"))
    ('N', 'a', 'R')
    """
    return tuple(dict.fromkeys(token for token in postfix if isinstance(token, str) and token not in OPERATIONS))
