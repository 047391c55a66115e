"""Texts of units: what ``µg·L⁻¹`` means.

pint knows the words, by the definitions of ``units.txt``. The text comes from outside, so it is taken apart here, word
by word, and never given to an evaluator.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

import pint

from terracube.core.errors import MetadataError

_MAX_TEXT = 60
#: Molar masses in g/mol (from the abridged standard atomic weights, IUPAC 2021, doi:10.1515/pac-2019-0603) and the
#: atom that one mole of the species holds one mole of: only species of one atom convert into each other.
SPECIES: dict[str, tuple[float, str]] = {
    "N": (14.007, "N"),
    "NO3": (62.004, "N"),
    "NO2": (46.005, "N"),
    "NH4": (18.039, "N"),
    "NH3": (17.031, "N"),
    "P": (30.974, "P"),
    "PO4": (94.970, "P"),
    "C": (12.011, "C"),
    "HCO3": (61.016, "C"),
    "CO2": (44.009, "C"),
    "Si": (28.085, "Si"),
    "SiO2": (60.083, "Si"),
    "SiO4": (92.081, "Si"),
    "O2": (31.998, "O2"),
    "CaCO3": (100.087, "CaCO3"),
    "SO4": (96.06, "S"),
    "Cl": (35.45, "Cl"),
}
#: Whole texts, in small letters, that mean a unit and are none by the rules of writing.
_WHOLE = {
    **dict.fromkeys(("1", "none", "unitless", "dimensionless", "-", "--", "/", "ratio"), "1"),
    **dict.fromkeys(
        ("std units", "standard units", "std. units", "su", "ph units", "ph unit", "s.u.", "无量纲ph"), "pH"
    ),
    **dict.fromkeys(
        ("deg c", "c", "degrees celsius", "degree celsius", "degrees c", "deg. c", "deg_c", "摄氏度"), "degC"
    ),
    **dict.fromkeys(("degree_c", "degrees_c", "degree_celsius", "degrees_celsius", "degree centigrade"), "degC"),
    **dict.fromkeys(("deg f", "f", "degrees fahrenheit", "deg_f", "degree_f"), "degF"),
    **dict.fromkeys(("% saturation", "% saturatn", "%sat", "% sat", "% by vol", "pct", "percent saturation"), "%"),
    **dict.fromkeys(
        ("pt-co", "pt-co units", "mg/l pt", "platinum cobalt units", "pcu", "mg pt/l", "mg/l pt-co"), "PCU"
    ),
    **dict.fromkeys(("pss-78", "psu-78", "practical salinity units", "1e-3 (pss-78)"), "PSU"),
    **dict.fromkeys(("cubic feet per second", "ft3/sec"), "ft3/s"),
    **dict.fromkeys(("毫克/升", "毫克每升"), "mg/L"),
    **dict.fromkeys(("微克/升", "微克每升"), "ug/L"),
    **dict.fromkeys(("米",), "m"),
    **dict.fromkeys(("#/ml", "nb/ml", "个/ml"), "cells/mL"),
}
#: Greek mu, minus and hyphens, dots and crosses of multiplication, by their code; each as this module writes it.
_MARKS = {0x3BC: "u", 0x2030: "permille", 0xD7: "*", **dict.fromkeys((0x22C5, 0x2022, 0x2219), "·")}
_MARKS |= dict.fromkeys((0x2212, 0x2010, 0x2011, 0x2013), "-")
_BASIS = "|".join(sorted(SPECIES, key=len, reverse=True))
#: "mgN/L" without a space.
_GLUED = re.compile(rf"\b([munp]?(?:g|mol))({_BASIS})(?![A-Za-z0-9])")
_AS = re.compile(rf"(?i:\s*\bas\s*)(?P<basis>{_BASIS})\s*$")
_AT_25 = re.compile(r"\s*(?:@|\bat\b)\s*25\s*°?\s*(?:C|degC|deg C)?\s*$", re.IGNORECASE)
_TOKEN = re.compile(
    rf"""\s*(?:
    (?P<basis>(?:{_BASIS})(?![A-Za-z0-9_^*+-])|(?:{_BASIS})(?=-?/))
    |(?P<number>\d{{1,9}}(?:\.\d{{1,9}})?(?:[eE][+-]?\d{{1,2}}|\^[+-]?\d{{1,2}})?)
    |(?P<per>/|\bper\b)
    |(?P<word>(?:[^\W\d_]|%)[^\W\d]{{0,30}})(?:(?:\^|\*\*)?(?P<power>[+-]?[1-9](?![0-9])))?
    |(?P<open>\()|(?P<close>\))|(?P<times>\*|\.|·|-)
    )""",
    re.VERBOSE,
)
#: What cannot stand behind what.
_NEVER = {
    *((kind, last) for kind in ("times", "close") for last in ("times", "per", "open")),
    *(("per", last) for last in ("per", "open")),
    *(("number", last) for last in ("number", "word", "power")),
}


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit that was understood."""

    text: str
    """As it was written."""
    scale: float
    """A number in front of it: 100 in CFU/100 mL is 0.01."""
    unit: pint.Unit
    basis: str
    """What it is counted as (``mg/L as N``), the condition (``25C``), or empty."""


def parse_unit(text: str) -> Unit:
    """Understand the text of a unit.

    Raises
    ------
    MetadataError
        If a word of it is not known, or it is not written like a unit.

    Examples
    --------
    >>> [str(parse_unit(text).unit) for text in ("µg·L⁻¹", "mg/m3", "uS/cm")]
    ['microgram / liter', 'milligram / meter ** 3', 'microsiemens / centimeter']
    >>> parse_unit("mg/l as N").basis
    'N'
    """
    return _parsed(text[: _MAX_TEXT + 1])


def is_unit(text: str) -> bool:
    """Tell whether a text can be understood as a unit.

    Examples
    --------
    >>> is_unit("mg N/L"), is_unit("lake")
    (True, False)
    """
    try:
        parse_unit(text)
    except MetadataError:
        return False
    return True


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Unit:
    if len(text) > _MAX_TEXT or not text.strip():
        raise unknown_unit(text, "too long" if text.strip() else "none told")
    plain = _plain(text)
    bare = plain.strip().casefold()
    if bare in _WHOLE:
        return _product(text, _WHOLE[bare], "")
    for pattern in (_AS, _AT_25):
        if found := pattern.search(plain):
            basis = found.groupdict().get("basis") or "25C"
            start = plain[: found.start()].strip()
            return _product(text, _WHOLE.get(start.casefold(), start), basis)
    return _product(text, plain, "")


def _plain(text: str) -> str:
    """Letters as this module reads them: no raised digits, one micro sign, one minus, degrees in letters."""
    whole = unicodedata.normalize("NFKC", text)
    whole = _GLUED.sub(r"\1 \2", whole.translate(_MARKS))
    return re.sub(r"[°˚]\s*(?=[CF]\b)", "deg", whole).replace("°", "degree")


def _product(text: str, plain: str, basis: str) -> Unit:
    """Multiply the words up; a number binds to the word behind it, "/" to the one factor, or bracket, that follows."""
    scale, unit, found = 1.0, registry().Unit(""), {basis} - {""}
    for power, word, number, species in _factors(text, plain.strip()):
        scale *= number**power
        found |= {species} - {""}
        unit = unit * _word(text, word) ** power if word else unit
    if len(found) > 1:
        raise unknown_unit(text, "counted as two things")
    return Unit(text, scale, unit, next(iter(found), ""))


def _factors(text: str, plain: str) -> Iterator[tuple[int, str, float, str]]:
    """Power, word, number and basis of each factor, from the left."""
    at, outer, sign, inside, last = 0, 1, 1, False, "open"
    while at < len(plain):
        token = _TOKEN.match(plain, at)
        kind = str(token.lastgroup) if token else ""
        if token is None or (kind, last) in _NEVER:
            raise unknown_unit(text, plain[at : at + 20])
        at, last = token.end(), kind
        if kind == "per":
            sign = -1
        elif kind == "open" and not inside:
            outer, sign, inside = sign, 1, True
        elif kind == "close" and inside:
            outer, sign, inside = 1, 1, False
        elif kind in ("word", "power"):
            yield sign * outer * int(token["power"] or 1), token["word"], 1.0, ""
            sign = 1
        elif kind == "number":
            yield sign * outer, "", _number(text, token["number"]), ""
            sign = sign if plain[at : at + 2].strip()[:1].isalpha() else 1
        elif kind == "basis":
            yield 1, "", 1.0, token["basis"]
        elif kind != "times":
            raise unknown_unit(text, "brackets")
    if inside or last in ("per", "times") or (last == "number" and plain != "1"):
        raise unknown_unit(text, plain[-20:])


def _number(text: str, token: str) -> float:
    base, _, power = token.partition("^")
    if float(base) == 0:
        raise unknown_unit(text, token)
    return float(base) ** int(power) if power else float(base)


def _word(text: str, word: str) -> pint.Unit:
    try:
        return registry().Unit(word)
    except (pint.UndefinedUnitError, pint.DefinitionSyntaxError, ValueError, TypeError, AttributeError) as error:
        raise unknown_unit(text, word) from error


def unknown_unit(text: str, part: str) -> MetadataError:
    """Say that a unit is not known, and at which part of it."""
    return MetadataError(
        "unknown unit",
        where="unit",
        expected="a unit such as mg/L, ug L-1, umol/kg, degC, NTU",
        got=f"{text[:_MAX_TEXT]!r}" + (f" ({part})" if part != text else ""),
        todo="write the unit in the mapping",
    )


@cache
def registry() -> pint.UnitRegistry:
    """The units of ``units.txt`` and no others."""
    registry: pint.UnitRegistry = pint.UnitRegistry(None)
    lines = resources.files(__package__).joinpath("units.txt").read_text(encoding="utf-8").splitlines()
    registry.load_definitions(lines)
    return registry
