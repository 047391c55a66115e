"""Put the formulas of several products together into one program, with their flags and uncertainties.

What is common to formulas -- a ratio, a logarithm, the inherent optical properties -- is computed once. The reason
bits of a product, and the two parts of its uncertainty, are formulas like any other and run in the same pass.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

from terracube.core.errors import InputError, TerraCubeError
from terracube.processing.formula import (
    Expr,
    Judged,
    Program,
    absolute,
    band,
    compile_program,
    constant,
    gradient,
    maximum,
    minimum,
    sqrt,
    where,
)
from terracube.processing.water.coefficients import CoefficientSet
from terracube.processing.water.retrievals import get_retrieval
from terracube.processing.water.retrievals.base import Bands, Retrieval, Retrieved
from terracube.processing.water.sensors import WaterSensor

MISSING, NEGATIVE, OUTSIDE, SATURATED, BELOW_RANGE, ABOVE_RANGE, NOT_WATER = 1, 2, 4, 8, 16, 32, 64
REASONS: Mapping[str, int] = {
    "missing": MISSING,
    "negative": NEGATIVE,
    "outside": OUTSIDE,
    "saturated": SATURATED,
    "below_range": BELOW_RANGE,
    "above_range": ABOVE_RANGE,
    "not_water": NOT_WATER,
}
"""Bits of ``<product>_flags``: beyond the range the value is kept; with any other bit there is none."""

PARTS = ("noise", "algorithm")
"""Parts of the uncertainty: what the noise of the bands does, and how far the formula is from the truth."""

# Factors from what is given to what a formula takes.
_FACTORS = {("rhow", "rrs"): 1 / math.pi, ("rrs", "rhow"): math.pi}


@dataclass(frozen=True, slots=True)
class Product:
    """One product of an assembly."""

    retrieval: Retrieval
    coefficients: CoefficientSet
    roles: tuple[str, ...]
    """Bands it is made of."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """Products that are made in one pass."""

    products: tuple[Product, ...]
    program: Program
    """Its products are the names, then ``<name>_noise`` and ``<name>_algorithm`` where asked for."""
    sensor: WaterSensor
    quantity: str


def costs(names: Sequence[str], sensor: WaterSensor, roles: Collection[str], quantity: str) -> dict[str, str]:
    """Tell which products cannot be made, and why; empty if all can.

    Parameters
    ----------
    names : sequence of str
        Products.
    sensor : WaterSensor
    roles : collection of str
        Bands there are.
    quantity : str
        What they hold: ``rhow``, ``rrs`` or ``rhos``.
    """
    found = {}
    for name in names:
        try:
            retrieval = get_retrieval(name)
            missing = [role for role in retrieval.roles(sensor) if role not in roles]
            if missing:
                found[name] = f"needs {', '.join(missing)}"
            retrieval.coefficient_set(sensor)
            _factor(quantity, retrieval)
        except TerraCubeError as error:
            found[name] = str(error)
    return found


def assemble(
    names: Sequence[str],
    sensor: WaterSensor,
    roles: Collection[str],
    *,
    quantity: str,
    parts: Collection[str] = (),
    noise: Mapping[str, float] | None = None,
) -> Assembly:
    """Put products together.

    Parameters
    ----------
    names : sequence of str
        Products.
    sensor : WaterSensor
    roles : collection of str
        Bands there are.
    quantity : str
        What they hold.
    parts : collection of str
        Of :data:`PARTS`: uncertainties to give.
    noise : mapping of role to float
        One standard deviation of the noise of bands, in their quantity; else that of the sensor.

    Raises
    ------
    InputError
        If a product is unknown, or cannot be made; the message names each with its reason.
    """
    impossible = costs(names, sensor, roles, quantity)
    if impossible or not names:
        told = "; ".join(f"{name}: {reason}" for name, reason in impossible.items())
        raise InputError(
            "these products cannot be made of these bands",
            where=sensor.name,
            expected="products whose bands, quantity and coefficients are there",
            got=told[:1500] or "no product",
            todo='leave them out, or on_missing="skip"',
        )
    if wrong := set(parts) - set(PARTS):
        raise InputError("unknown part of the uncertainty", expected=", ".join(PARTS), got=", ".join(sorted(wrong)))
    sigma = {role: _sigma(role, sensor, quantity, noise or {}) for role in roles if role in sensor.bands}
    products: list[Product] = []
    values: dict[str, Expr | Judged] = {}
    for name in dict.fromkeys(names):
        product = _product(get_retrieval(name), sensor, roles)
        judged = _judged(product, sensor, quantity)
        values[name] = judged
        if "noise" in parts:
            values[f"{name}_noise"] = replace(judged, value=_noise(judged.value, sigma), flags=None)
        if "algorithm" in parts:
            values[f"{name}_algorithm"] = replace(judged, value=_error(judged.value, product), flags=None)
        products.append(product)
    return Assembly(tuple(products), compile_program(values), sensor, quantity)


def _error(value: Expr, product: Product) -> Expr:
    """Give how far the formula is from the truth, as its coefficients say."""
    known = product.coefficients.error
    if known.absolute == 0:
        return _symbol(absolute(value) * known.relative)
    return _symbol(sqrt((value * known.relative) ** 2 + known.absolute**2))


def _product(retrieval: Retrieval, sensor: WaterSensor, roles: Collection[str]) -> Product:
    more = [role for role in retrieval.optional(sensor) if role in roles]
    return Product(
        retrieval, retrieval.coefficient_set(sensor), tuple(dict.fromkeys([*retrieval.roles(sensor), *more]))
    )


def _factor(quantity: str, retrieval: Retrieval) -> float:
    """Give the factor from what is given to what the formula takes; refuse what is something else."""
    if retrieval.quantity in (quantity, "any") or (retrieval.quantity == "ratio" and quantity in ("rhow", "rrs")):
        return 1.0
    if (quantity, retrieval.quantity) in _FACTORS:
        return _FACTORS[quantity, retrieval.quantity]
    raise InputError(
        "the bands hold another quantity",
        where=retrieval.name,
        expected="rhow or rrs" if retrieval.quantity == "ratio" else retrieval.quantity,
        got=quantity,
        todo="water.correct(...) makes rhow of surface reflectance; water.declare says what the bands hold",
    )


def _judged(product: Product, sensor: WaterSensor, quantity: str) -> Judged:
    """Give the value of a product, and what may speak against it."""
    retrieval = product.retrieval
    factor = _factor(quantity, retrieval)
    symbols = {role: band(role) * factor for role in product.roles}
    got: Retrieved = retrieval.formula(Bands(symbols, sensor), product.coefficients.values)
    least: Expr = reduce(minimum, [band(role) for role in sorted(retrieval.roles(sensor))])
    if retrieval.signed:
        least = maximum(least, 0.0)
    reason = None if got.outside is None else where(got.outside, float(OUTSIDE), 0.0)
    if got.saturated is not None:
        reason = where(got.saturated, float(SATURATED), 0.0 if reason is None else reason)
    low, high = product.coefficients.range or (-math.inf, math.inf)
    name = f"{retrieval.name}_flags"
    return Judged(_symbol(got.value), least, None if reason is None else _symbol(reason), low, high, name)


def _symbol(value: Any) -> Expr:
    """Take a formula that came to a number for a symbol of it."""
    return value if isinstance(value, Expr) else constant(float(value))


def _sigma(role: str, sensor: WaterSensor, quantity: str, given: Mapping[str, float]) -> float:
    """Give the noise of a band in the quantity it holds."""
    if role in given:
        return float(given[role])
    return sensor.bands[role].noise * (1 / math.pi if quantity == "rrs" else 1.0)


def _noise(value: Expr, sigma: Mapping[str, float]) -> Expr:
    """Carry the noise of the bands through the formula, to first order; bands are taken as independent."""
    slopes = gradient(value, sigma)
    squares = [(slopes[role] * sigma[role]) ** 2 for role in sorted(slopes)]
    if len(squares) == 1:
        return _symbol(absolute(slopes[min(slopes)]) * sigma[min(slopes)])
    return _symbol(sqrt(reduce(add, squares)) if squares else 0.0)
