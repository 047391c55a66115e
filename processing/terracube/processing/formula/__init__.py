"""Formulas written once: run on numbers they are the truth, run on symbols they become one pass over the pixels.

A formula is a plain Python function of values. Called with numpy arrays it computes; called with :class:`Expr` it
builds a graph, whose common parts are found, whose derivatives can be asked for, and which :func:`compile_program`
turns into a table of steps for one kernel. Nothing is compiled per formula and no text is evaluated.
"""

from terracube.processing.formula.expression import (
    Expr,
    Value,
    absolute,
    arctan2,
    band,
    constant,
    exp,
    isfinite,
    log,
    log10,
    maximum,
    minimum,
    power,
    sqrt,
    where,
)
from terracube.processing.formula.gradient import gradient
from terracube.processing.formula.program import Judged, Program, compile_program

__all__ = [
    "Expr",
    "Judged",
    "Program",
    "Value",
    "absolute",
    "arctan2",
    "band",
    "compile_program",
    "constant",
    "exp",
    "gradient",
    "isfinite",
    "log",
    "log10",
    "maximum",
    "minimum",
    "power",
    "sqrt",
    "where",
]
