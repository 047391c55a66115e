"""The kernel of formulas: accurate, and the same whatever lies around a pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import InputError
from terracube.processing.formula import arctan2, band, compile_program, exp, log10, power, where
from terracube.processing.kernels import tape

_X, _Y = band("x"), band("y")
_PROGRAM = compile_program(
    {
        "a": power(_X, 1.3) + log10(_X / _Y),
        "b": exp(-_X) * _Y,
        "c": arctan2(_Y, _X),
        "d": where(_X < _Y, _X * _Y + _X, _Y / _X),
    },
    {"mark": (_X < _Y) * 4.0 + (_Y > 0.5) * 16.0},
)


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(0, 2000))
def test_a_pixel_does_not_depend_on_its_place(size: int, shift: int) -> None:
    """Any cut of the pixels gives the same bits."""
    values = np.random.default_rng(size).uniform(-0.1, 1, (2, size + shift)).astype("float32")
    whole, marks = _PROGRAM.run(values)
    part, few = _PROGRAM.run(np.ascontiguousarray(values[:, shift:]))
    assert np.array_equal(whole[:, shift:], part, equal_nan=True)
    assert np.array_equal(marks[:, shift:], few)


@pytest.mark.parametrize("shape", [(3, 7), (130, 131), (0, 4)])
def test_bands_of_their_own_arrays(shape: tuple[int, int]) -> None:
    """Bands given one by one, of any strides, come to the same bits as rows of one array."""
    x, y = np.random.default_rng(3).uniform(-0.1, 1, (2, *shape[::-1])).astype("float32").swapaxes(1, 2)
    whole, marks = _PROGRAM.run(np.stack([one.reshape(-1) for one in (x, y)]))
    out, few = _PROGRAM.run_bands([x, y], np.dtype("float32"))
    assert np.array_equal(whole, out, equal_nan=True)
    assert np.array_equal(marks, few)


def test_bands_of_other_shapes_are_refused() -> None:
    """All bands lie on the same pixels."""
    with pytest.raises(InputError, match="not those of the formulas"):
        _PROGRAM.run_bands([np.zeros(3), np.zeros(4)], np.dtype("float32"))


def test_no_pixel() -> None:
    """Nothing in, nothing out."""
    products, flags = _PROGRAM.run(np.empty((2, 0), "float32"))
    assert products.shape == (4, 0)
    assert flags.shape == (1, 0)


def test_missing_is_missing() -> None:
    """A pixel without a value has none, and its marks are those of false comparisons."""
    products, flags = _PROGRAM.run(np.full((2, 1), np.nan, "float32"))
    assert np.isnan(products).all()
    assert flags.tolist() == [[0]]


def test_own_logarithm_power_and_angle_are_accurate() -> None:
    """In float32 the relative error of the polynomials is below 3e-7 over the range that matters, ends included."""
    x = np.exp(np.linspace(-80, 80, 50_001)).astype("float32")
    y = np.linspace(-120, 120, 50_001).astype("float32")
    program = compile_program({"log": log10(_X), "power": 2.0**_Y, "angle": arctan2(_Y, _X)})
    log, two, angle = program.run(np.stack([x, y]))[0]
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(log, np.log10(x.astype("float64")), rtol=3e-7, atol=1e-7)
        np.testing.assert_allclose(two, np.exp2(y.astype("float64")), rtol=3e-7)
        np.testing.assert_allclose(angle, np.arctan2(y.astype("float64"), x.astype("float64")), rtol=4e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ends_of_the_functions(dtype: str) -> None:
    """Logarithms of zero and less, powers that overflow or vanish, and angles on the axes."""
    program = compile_program(
        {"log": where(log10(_X) < -1e30, -1.0, log10(_X)), "power": 2.0**_Y, "angle": arctan2(_X, _Y)}
    )
    x = np.array([0.0, -1.0, 1.0, 0.0, 0.0], dtype)
    y = np.array([3e3, -3e3, 0.0, -1.0, 1.0], dtype)
    log, two, angle = program.run(np.stack([x, y]))[0]
    assert log[:3].tolist()[0] == -1.0
    assert np.isnan(log[1])
    assert log[2] == 0.0
    assert np.isnan(two[0])  # infinite is no value
    assert two[1:3].tolist() == [0.0, 1.0]
    np.testing.assert_allclose(angle[2:], [np.pi / 2, np.pi, 0.0], rtol=1e-6)


def test_codes_are_told_apart() -> None:
    """Each step has a number of its own, below the number of steps."""
    others = ("TILE", "CODES", "MISSING", "NEGATIVE", "OUTSIDE", "BELOW", "ABOVE")
    names = [name for name in vars(tape) if name.isupper() and not name.startswith("_") and name not in others]
    codes = [getattr(tape, name) for name in names]
    assert sorted(codes) == list(range(tape.CODES))
