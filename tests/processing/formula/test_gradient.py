"""Derivatives: those of finite differences, for every operation."""

from __future__ import annotations

import numpy as np
import pytest

from terracube.processing.formula import (
    absolute,
    arctan2,
    band,
    compile_program,
    exp,
    gradient,
    isfinite,
    log,
    log10,
    maximum,
    minimum,
    sqrt,
    where,
)

_FORMULAS = {
    "sums": lambda x, y: 2.0 * x - y + 3.0 - (1.0 - y) * x,
    "quotients": lambda x, y: x / y + 1.0 / x + y / 3.0,
    "powers": lambda x, y: x**3 + y**-2 + x**1.7 + 2.0**y + x**y,
    "roots and logs": lambda x, y: sqrt(x) * log(y) + log10(x + y) + exp(-x * y),
    "angle": lambda x, y: arctan2(y - 0.2, x - 0.7) * x,
    "extremes": lambda x, y: minimum(x, y) + maximum(x * 2.0, y) * absolute(x - y) + maximum(x, 0.4) + minimum(0.3, y),
    "choice": lambda x, y: where((x < y) & isfinite(x), x * y, log(x)) + where(x > 0.5, 1.0, y),
    "shared": lambda x, y: (x * y + 1.0) ** 2 * (x * y + 1.0),
}


@pytest.mark.parametrize("name", _FORMULAS)
def test_equals_finite_differences(name: str) -> None:
    """The derivative of every formula is that of small steps."""
    x, y = np.random.default_rng(2).uniform(0.1, 0.9, (2, 400))
    formula = _FORMULAS[name]
    slopes = gradient(formula(band("x"), band("y")), ["x", "y"])
    program = compile_program(slopes)
    given = {"x": x, "y": y}
    found = dict(zip(program.products, program.run(np.stack([given[one] for one in program.bands]))[0], strict=True))
    step = 1e-6
    expected = {
        "x": (formula(x + step, y) - formula(x - step, y)) / (2 * step),
        "y": (formula(x, y + step) - formula(x, y - step)) / (2 * step),
    }
    for band_name in ("x", "y"):
        got = found.get(band_name, np.zeros_like(x))
        near = np.isclose(got, expected[band_name], rtol=1e-5, atol=1e-5)
        # A step across a corner has another slope: those are few.
        assert near.mean() > 0.99, band_name


def test_a_branch_not_taken_does_no_harm() -> None:
    """A branch without a derivative leaves that of the branch taken as it is."""
    slope = gradient(where(band("x") > 0.0, band("x") ** 2, sqrt(band("x"))), ["x"])["x"]
    program = compile_program({"slope": slope})
    assert program.run(np.array([[2.0]]))[0].tolist() == [[4.0]]
    other = gradient(where(band("x") < 0.0, sqrt(band("x") - 3.0), band("x") * 5.0), ["x"])["x"]
    assert compile_program({"slope": other}).run(np.array([[1.0]]))[0].tolist() == [[5.0]]


def test_only_what_is_asked_for() -> None:
    """Bands that are not asked for, and those that do not matter, have no derivative."""
    x, y = band("x"), band("y")
    assert set(gradient(x * y, ["x", "z"])) == {"x"}
    assert gradient(where(x < y, 1.0, 2.0) + y * 0.0, ["x"]) == {}
