"""Put the formulas of several products together into one program, with their flags and uncertainties.

What is common to formulas -- a ratio, a logarithm, the inherent optical properties -- is computed once. The reason
bits of a product, and the two parts of its uncertainty, are formulas like any other and run in the same pass.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
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
    isfinite,
    maximum,
    minimum,
    sqrt,
    where,
)
from terracube.processing.water.coefficients import CoefficientSet
from terracube.processing.water.noise import nominal
from terracube.processing.water.retrievals import get_retrieval
from terracube.processing.water.retrievals.base import Bands, Retrieval, Retrieved
from terracube.processing.water.sensors import WaterSensor, load_water_sensor

MISSING, NEGATIVE, OUTSIDE, SATURATED, BELOW_RANGE, ABOVE_RANGE, NOT_WATER, UNCLEAR = 1, 2, 4, 8, 16, 32, 64, 128
REASONS: Mapping[str, int] = {
    "missing": MISSING,
    "negative": NEGATIVE,
    "outside": OUTSIDE,
    "saturated": SATURATED,
    "below_range": BELOW_RANGE,
    "above_range": ABOVE_RANGE,
    "not_water": NOT_WATER,
    "unclear": UNCLEAR,
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
    return {name: reason for name in names if (reason := _cost(name, sensor, roles, quantity))}


def _cost(name: str, sensor: WaterSensor, roles: Collection[str], quantity: str) -> str:
    try:
        retrieval = get_retrieval(name)
        if absent := [str(key) for key in retrieval.needs if sensor.find(key) is None]:
            return f"{sensor.name} has no band {', '.join(absent)}"
        retrieval.coefficient_set(sensor)
        missing = [role for role in retrieval.roles(sensor) if role not in roles]
    except TerraCubeError as error:
        return str(error)
    if missing:
        return f"needs {', '.join(missing)}"
    if retrieval.quantity == "ratio":
        return "" if quantity in ("rhow", "rrs") else f"takes rhow or rrs, not {quantity}"
    known = retrieval.quantity in (quantity, "any") or (quantity, retrieval.quantity) in _FACTORS
    return "" if known else f"takes {retrieval.quantity}, not {quantity}"


def assemble(
    names: Sequence[str],
    sensor: WaterSensor,
    roles: Collection[str],
    *,
    quantity: str,
    parts: Collection[str] = (),
    noise: Mapping[str, float] | None = None,
    shared: Mapping[str, float] | None = None,
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
    shared : mapping of role to float
        Noise that bands have in common, as :func:`~terracube.processing.water.noise.band_noise` gives it.

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
            got=told or "no product",
            todo=("water.correct(...) makes rhow of surface reflectance; or " if quantity == "rhos" else "")
            + f'leave them out (retrieve: on_missing="skip"); describe(sensor="{sensor.name}") lists what can be made',
        )
    if wrong := set(parts) - set(PARTS):
        raise InputError("unknown part of the uncertainty", expected=", ".join(PARTS), got=", ".join(sorted(wrong)))
    if odd := {role: value for role, value in (noise or {}).items() if role not in sensor.bands or not value >= 0}:
        raise InputError(
            "wrong noise of bands", where="noise", expected="roles of bands, numbers from 0 on", got=str(odd)[:200]
        )
    own = {role: nominal(sensor, role, quantity) for role in roles if role in sensor.bands} | dict(noise or {})
    products: list[Product] = []
    values: dict[str, Expr | Judged] = {}
    for name in dict.fromkeys(names):
        product = _product(get_retrieval(name), sensor, roles)
        judged = _judged(product, sensor, quantity)
        values[name] = judged
        if "noise" in parts:
            values[f"{name}_noise"] = _beside(judged, _noise(product, judged.value, own, shared or {}))
        if "algorithm" in parts:
            values[f"{name}_algorithm"] = _beside(judged, _error(judged.value, product))
        products.append(product)
    return Assembly(tuple(products), compile_program(values), sensor, quantity)


type Numbers = tuple[tuple[str, float], ...]


@lru_cache(maxsize=64)
def assembled(
    names: tuple[str, ...],
    sensor: str,
    roles: tuple[str, ...],
    quantity: str,
    parts: tuple[str, ...],
    noise: tuple[Numbers, Numbers],
) -> Assembly:
    """Assemble once what is asked for again and again: all products of a scene take a tenth of a second.

    As :func:`assemble`, with the sensor by its name, and noise and shared noise as pairs of role and number.
    """
    own, shared = map(dict, noise)
    return assemble(names, load_water_sensor(sensor), roles, quantity=quantity, parts=parts, noise=own, shared=shared)


def _beside(judged: Judged, value: Expr) -> Judged:
    """Give what goes with a product: nothing where the product has no value."""
    return replace(judged, value=value, flags=None, beside=judged.value)


def _error(value: Expr, product: Product) -> Expr:
    """Give how far the formula is from the truth, as its coefficients say."""
    known = product.coefficients.error
    if known.absolute == 0 and known.relative == 0:
        return constant(math.nan)  # nobody says
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
    reason = _reason(got, [band(role) for role in product.roles if role not in retrieval.roles(sensor)])
    low, high = product.coefficients.range or (-math.inf, math.inf)
    name = f"{retrieval.name}_flags"
    return Judged(_symbol(got.value), least, reason, low, high, name)


def _reason(got: Retrieved, optional: list[Expr]) -> Expr | None:
    """Say why a formula gives no value: saturated, or outside of it, which may be for want of an optional band."""
    reason: Any = None
    outside = got.outside
    if optional:
        outside = ~isfinite(got.value) if outside is None else outside | ~isfinite(got.value)
    if outside is not None:
        why: Any = float(OUTSIDE)
        if optional:
            least = reduce(minimum, optional)
            why = where(least < 0.0, float(NEGATIVE), where(isfinite(least), float(OUTSIDE), float(MISSING)))
        reason = where(outside, why, 0.0)
    if got.saturated is not None:
        reason = where(got.saturated, float(SATURATED), 0.0 if reason is None else reason)
    return None if reason is None else _symbol(reason)


def _symbol(value: Any) -> Expr:
    """Take a formula that came to a number for a symbol of it."""
    return value if isinstance(value, Expr) else constant(float(value))


def _noise(product: Product, value: Expr, own: Mapping[str, float], shared: Mapping[str, float]) -> Expr:
    """Carry the noise of the bands through the formula, to first order; classes have none."""
    if product.retrieval.classes:
        return constant(math.nan)
    slopes = gradient(value, own)
    alone = [absolute(slopes[role]) * own[role] for role in sorted(slopes) if own[role] > 0]
    together = [slopes[role] * shared[role] for role in sorted(slopes) if shared.get(role)]
    parts = alone + ([reduce(add, together)] if together else [])
    if len(parts) == 1:
        return _symbol(absolute(parts[0]))
    return _symbol(sqrt(reduce(add, [part**2 for part in parts])) if parts else 0.0)
