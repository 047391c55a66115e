"""Units of measurements: what a text like ``µg·L⁻¹`` means, and how values become those of the vocabulary's unit.

pint does the arithmetic, with the definitions of ``units.txt``. The text of a unit comes from outside, so it is taken
apart here, word by word, and never given to an evaluator.

A unit is more than its dimension. NTU (white light, EPA method 180.1) and FNU (infrared light, ISO 7027) are different
quantities; 1 mg/L of nitrate as NO3 is 0.226 mg/L as N; a mass is an amount only with a molar mass. Such a conversion
is refused unless the caller says that it is meant.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pint

from terracube.core.errors import MetadataError
from terracube.ingest.insitu.unittext import SPECIES, Unit, parse_unit, registry, unknown_unit
from terracube.ingest.insitu.vocabulary import Term

type Values = float | np.ndarray

_MAX_TEXT = 60
#: Kinds whose values are plain numbers, and the word that also names them.
_PLAIN_KINDS = {"ph": "pH", "ph_total_scale": "pH", "practical_salinity": "PSU"}


@dataclass(frozen=True, slots=True)
class Conversion:
    """How values of one unit become those of another."""

    source: pint.Unit
    target: pint.Unit
    factor: float
    """What values are multiplied by; NaN where the scale is shifted (temperatures)."""
    note: str
    """What was taken for granted because the caller said so, in words; empty if nothing was."""

    def __call__(self, values: Values) -> Values:
        """Convert a number or an array of float64."""
        if np.isnan(self.factor):
            return registry().Quantity(values, self.source).m_as(self.target)
        inverse = 1 / self.factor
        # Divided by a whole number where it can be: 12.3 ug/L is then 0.0123 mg/L to the last digit.
        if self.factor < 1 and abs(inverse - round(inverse)) < 1e-9 * inverse:
            return values / round(inverse)
        return values if self.factor == 1 else values * self.factor


def same_unit(one: str, other: str) -> bool:
    """Tell whether two texts mean one unit; what is counted (N, NO3) must differ only if both tell it.

    Examples
    --------
    >>> same_unit("mg/m3", "µg L-1"), same_unit("mg/L", "ug/L"), same_unit("mg/L", "mg/L as N")
    (True, False, True)
    """
    first, second = parse_unit(one), parse_unit(other)
    if first.basis and second.basis and first.basis != second.basis:
        return False
    if first.unit.dimensionality != second.unit.dimensionality:
        return False
    if first.unit == second.unit:
        return first.scale == second.scale
    return _rounded(_factor(first.unit, second.unit) * first.scale / second.scale) == 1.0


def convert(values: Values, unit: str, term: Term, *, basis: str = "", molar: bool = False) -> Values:
    """Convert values to the unit of a term.

    Parameters
    ----------
    values : float or array of float64
        NaN stays NaN.
    unit : str
        The unit they were delivered in.
    term : Term
        What they are.
    basis : str
        What the delivered mass is counted as, said by the user: ``NO3`` for values that are to become ``no3_n``.
    molar : bool
        The user says that amounts are to become masses (or masses amounts) by the molar mass.

    Raises
    ------
    MetadataError
        If the unit is unknown, or is not of this quantity.

    Examples
    --------
    >>> from terracube.ingest.insitu.vocabulary import vocabulary
    >>> convert(24.0, "ug/L", vocabulary()["po4_p"])
    0.024
    >>> round(convert(10.0, "mg/L", vocabulary()["no3_n"], basis="NO3"), 4)
    2.259
    >>> convert(3.0, "FNU", vocabulary()["turbidity_ntu"])
    Traceback (most recent call last):
    ...
    terracube.core.errors.MetadataError: a unit of another quantity (where: turbidity_ntu; expected: NTU; got: FNU; ...)
    """
    return conversion(unit, term, basis=basis, molar=molar)(values)


@lru_cache(maxsize=4096)
def conversion(unit: str, term: Term, *, basis: str = "", molar: bool = False) -> Conversion:
    """Give the conversion that `convert` does, once for many values; same parameters and errors."""
    source = parse_unit(unit)
    target = parse_unit(_PLAIN_KINDS.get(term.kind, term.unit))
    if term.kind in _PLAIN_KINDS and source.unit.dimensionless and _factor(source.unit, _one()) == source.scale == 1:
        return Conversion(target.unit, target.unit, 1.0, "")
    ratio, note = _basis_ratio(source, term, basis)
    if source.unit.dimensionality == target.unit.dimensionality:
        factor = _factor(source.unit, target.unit) * source.scale * ratio
        return Conversion(source.unit, target.unit, _rounded(factor), note)
    by_moles = _by_moles(source, target, term) if molar else None
    if by_moles is None:
        raise _other_quantity(source, term)
    told = f"{source.text} to {term.unit} by {term.molar_mass} g/mol"
    return Conversion(source.unit, target.unit, _rounded(by_moles), told)


def _basis_ratio(source: Unit, term: Term, basis: str) -> tuple[float, str]:
    """What a mass must be multiplied by because it is counted as something else."""
    told = basis or source.basis
    if basis and basis not in SPECIES:
        raise MetadataError("unknown basis", where=term.name, expected=", ".join(SPECIES), got=basis[:40])
    if basis and source.basis and basis != source.basis:
        raise MetadataError("unit and basis contradict each other", where=term.name, expected=basis, got=source.text)
    if not told or told == term.basis:
        return 1.0, ""
    known = told in SPECIES and term.basis in SPECIES and SPECIES[told][1] == SPECIES[term.basis][1]
    if not known or not basis:
        raise _other_quantity(source, term)
    if "[substance]" in source.unit.dimensionality:  # a mole of NO3 holds a mole of N
        return 1.0, ""
    return SPECIES[term.basis][0] / SPECIES[told][0], f"{source.text} as {told} to {term.unit} as {term.basis}"


def _by_moles(source: Unit, target: Unit, term: Term) -> float | None:
    """The factor from amount, or charge, to mass or back; None if the two differ by more than that."""
    if term.molar_mass is None:
        return None
    bridges = [registry().Quantity(term.molar_mass, "gram/mole")]
    if term.charge:
        bridges.append(registry().Quantity(term.molar_mass / term.charge, "gram/equivalent"))
    start = registry().Quantity(source.scale, source.unit)
    try:
        candidates: list[pint.Quantity] = [start * bridge for bridge in bridges] + [
            start / bridge for bridge in bridges
        ]
    except pint.PintError:  # a shifted scale within a product, such as degC m
        return None
    return next((float(one.m_as(target.unit)) for one in candidates if one.check(target.unit.dimensionality)), None)


def _other_quantity(source: Unit, term: Term) -> MetadataError:
    countable = {"[substance]", "[charge_amount]"} & set(source.unit.dimensionality)
    amounts = bool(countable) and term.molar_mass is not None
    todo = "choose the variable that this is, or correct the unit in the mapping"
    if source.basis and source.basis != term.basis and term.basis in SPECIES:
        todo = f"choose the variable counted as {source.basis}, or say 'basis: {source.basis}' to have it converted"
    elif amounts:
        todo = f"say 'molar: true' to have it converted by {term.molar_mass} g/mol"
    expected = term.unit + (f" as {term.basis}" if term.basis else "")
    return MetadataError("a unit of another quantity", where=term.name, expected=expected, got=source.text, todo=todo)


def _factor(source: pint.Unit, target: pint.Unit) -> float:
    """Of two units of one dimension; NaN if a scale is shifted as well (temperatures)."""
    try:
        zero = float(registry().Quantity(0.0, source).m_as(target))
        return float(registry().Quantity(1.0, source).m_as(target)) if zero == 0 else np.nan
    except pint.PintError as error:  # a shifted scale within a product, such as degC/m
        raise unknown_unit(str(source), "a shifted scale in a product") from error


def _rounded(factor: float) -> float:
    """Without the dust of floating point: ug/L to mg/L is 0.001."""
    return float(f"{factor:.15g}")


def _one() -> pint.Unit:
    return registry().Unit("")
