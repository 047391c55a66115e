"""Which word of the vocabulary a variable of a NetCDF file is, told by its standard name, name, long name and unit."""

from __future__ import annotations

from typing import Any

from terracube.core.errors import MetadataError
from terracube.ingest.insitu.formats import _nc as nc
from terracube.ingest.insitu.units import convert
from terracube.ingest.insitu.vocabulary import Term, find_term, term_named, vocabulary

#: Standard names that CF has for the same things, beside those of the vocabulary.
_ALIASES = {
    "sea_water_salinity": "practical_salinity",
    "sea_surface_temperature": "water_temperature",
    "sea_surface_height_above_geopotential_datum": "water_level",
    "sea_surface_height_above_reference_ellipsoid": "water_level",
    "sea_surface_height_above_mean_sea_level": "water_level",
}


def term_of(variable: Any) -> tuple[Term | None, str, str]:
    """Give what a variable is, its unit, and, where it is not sure what it is, why.

    Where CF's unit says nothing, as ``1`` of a turbidity does, ``measured_unit`` tells it, as in files of TerraCube.
    """
    unit, candidates = nc.text(variable, "units"), _candidates(variable)
    found: list[Term] = []
    for told in _units(variable):
        found = [term for term in candidates if _fits(told, term)] or found
        if len({term.kind for term in found}) == 1:
            return found[0], told, ""
    if found:
        return None, unit, "may mean " + " or ".join(term.name for term in found) + "; say which in the mapping"
    if candidates:
        return None, unit, f"the unit {unit!r} is not one of {candidates[0].name}"
    return None, unit, "not in the vocabulary; say what it is in the mapping"


def unit_of(variable: Any, term: Term) -> str:
    """Give the unit of a variable that is known to be a term; CF's if none fits."""
    return next((told for told in _units(variable) if _fits(told, term)), nc.text(variable, "units"))


def _units(variable: Any) -> list[str]:
    """Give CF's unit, and the measured one where it is told."""
    return [nc.text(variable, "units"), *filter(None, [nc.text(variable, "measured_unit")])]


def _candidates(variable: Any) -> list[Term]:
    standard = nc.text(variable, "standard_name")
    by_name = [find_term(text) for text in (variable.name, nc.text(variable, "long_name")) if text]
    named = [term for term in by_name if term is not None]
    if not standard:
        return named[:1]
    if standard in _ALIASES:
        return [term_named(_ALIASES[standard])]
    same = [term for term in vocabulary().values() if term.cf_standard_name == standard]
    return [term for term in named if term in same][:1] or same


def _fits(unit: str, term: Term) -> bool:
    try:
        convert(0.0, unit, term)
    except MetadataError:
        return False
    return True
