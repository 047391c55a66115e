"""Formulas as symbols: the same answer as with numbers, and no way to use a symbol for what it is not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from terracube.core.errors import InputError
from terracube.processing.formula import (
    Expr,
    absolute,
    arctan2,
    band,
    compile_program,
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
from terracube.processing.kernels import tape


def _formulas(x, y):
    """Use every function and operator once at least."""
    ratio = maximum(x, y) / minimum(x, 0.3)
    return {
        "sum": x + y + 1.0 - 2.0,
        "difference": 3.0 - (x - y) * 2.0,
        "quotient": 1.0 / (x + 0.3) + y / 4.0,
        "powers": x**2 + 2.0 * y**3 - x**-1 + (x + 1.0) ** 1.7 + 1.3 ** (x * y) + 10**y,
        "roots": sqrt(x + 1.0) + power(y + 1.0, 0.5) + (x + 2.0) ** 0,
        "logs": log(x + 1.0) * log10(y + 1.5) + exp(-x),
        "angle": arctan2(y - 0.3, x - 0.3),
        "choice": where((x < y) & (x >= 0.1) | ~(y > 0.2), x, -y) + where(x <= 0.3, 1.0, y) + where(x > y, x, 2.0),
        "marks": absolute(x - y) + isfinite(ratio) * 2.0 + where(isfinite(ratio) & (y < 0.5), 1.0, 0.0),
        "powered": (x + 1.0) ** (y + 0.5),
    }


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 3e-5)])
def test_symbols_give_what_numbers_give(dtype: str, tolerance: float) -> None:
    """The program of a formula gives what numpy gives, missing values included; an infinite band is a missing one."""
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-0.1, 0.6, (2, 3000)).astype(dtype)
    x[:5], y[5:9] = np.nan, np.nan
    x[10], y[11] = 0.0, np.inf
    program = compile_program(_formulas(band("x"), band("y")))
    given = {"x": x, "y": y}
    found, _ = program.run(np.stack([given[name] for name in program.bands]))
    x, y = (np.where(np.isfinite(one), one, np.nan) for one in (x, y))
    with np.errstate(all="ignore"):
        truth = _formulas(x.astype("float64"), y.astype("float64"))
    for name, row in zip(program.products, found, strict=True):
        expected = np.where(np.isfinite(truth[name]), truth[name], np.nan)
        assert np.array_equal(np.isnan(row), np.isnan(expected)), name
        np.testing.assert_allclose(row, expected, rtol=tolerance, atol=tolerance, err_msg=name)


def test_constants_are_computed_ahead() -> None:
    """What holds no band is a number before the program runs."""
    program = compile_program({"a": band("x") * (2.0 + log10(100.0)), "b": where(False, band("x"), 3.0) + band("x")})
    assert program.table.shape[0] == 1 + 2 + 2
    assert program.run(np.array([[1.0]]))[0].tolist() == [[4.0], [4.0]]


def test_common_parts_are_made_once() -> None:
    """Two formulas that share a part take it once, in whatever order its operands are written."""
    x, y = band("x"), band("y")
    alone = compile_program({"a": log10(x + y)})
    both = compile_program({"a": log10(x + y), "b": log10(y + x) * 2.0})
    for code in (tape.AXPY, tape.LOG2):
        assert (both.table[:, 0] == code).sum() == (alone.table[:, 0] == code).sum() == 1


def test_a_result_may_be_a_band_or_a_constant() -> None:
    """A formula need not compute anything."""
    program = compile_program({"x": band("x"), "again": band("x"), "one": band("x") * 0.0 + 1.0})
    assert program.run(np.array([[2.0, np.nan]]))[0].tolist()[0][0] == 2.0
    assert compile_program({"n": Expr("constant", number=3.0), "x": band("x")}).run(np.zeros((1, 2)))[0][
        0
    ].tolist() == [3.0, 3.0]


def test_a_choice_ignores_what_is_not_taken() -> None:
    """A branch without a value does no harm where the other is taken."""
    program = compile_program({"a": where(band("x") > 0.0, log(band("x")), -1.0)})
    assert program.run(np.array([[-1.0, 1.0, np.nan]]))[0].tolist() == [[-1.0, 0.0, -1.0]]


def test_a_symbol_has_no_truth() -> None:
    """Asking whether a symbol is true is refused: `and` and `if` would silently take one branch for all pixels."""
    with pytest.raises(InputError, match="whether a symbol is true"):
        bool(band("x") > 1.0)


def test_symbols_and_arrays_do_not_mix() -> None:
    """A formula is of symbols or of numbers."""
    with pytest.raises(InputError, match="do not mix"):
        band("x") + np.zeros(3)


def test_a_program_needs_a_formula() -> None:
    """No formula, no program."""
    with pytest.raises(InputError, match="needs a formula"):
        compile_program({})


@pytest.mark.parametrize("values", [np.zeros((2, 3)), np.zeros(3), np.zeros((1, 3), "int16")])
def test_other_values_are_refused(values: np.ndarray) -> None:
    """Another number of bands, or numbers that are no floats."""
    with pytest.raises(InputError, match="not those of the formulas"):
        compile_program({"a": band("x") + 1.0}).run(values)


def test_how_a_formula_reads() -> None:
    """A formula can be read by people."""
    assert str(sqrt(band("x")) * 2.0 < band("y")) == "((sqrt(x) * 2) < y)"
    assert math.isclose(log10(1000.0), 3.0)
