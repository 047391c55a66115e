"""Words for what is measured: one name, one canonical unit and one quantity each, and what others call it.

The words lie in ``vocabulary.csv``. CF standard names are those of the CF standard name table; they say "sea water"
where CF has no word for the water of lakes and rivers. NERC P01 codes are given only where they are certain.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

from terracube.core.errors import InputError

_MAX_TEXT = 300
_UNIT_PART = re.compile(r"[(\[{\uff08\u3010][^()\[\]{}\uff08\uff09\u3010\u3011]*[)\]}\uff09\u3011]")
_SEPARATORS = re.compile(r"[\s_\-.·:'\"\u2010-\u2015]+")


@dataclass(frozen=True, slots=True)
class Term:
    """A measured quantity."""

    name: str
    """Our name: ``chlorophyll_a``."""
    title: str
    """In words."""
    cf_standard_name: str
    """CF standard name, or empty."""
    nerc_p01: str
    """Code of the NERC vocabulary P01, or empty."""
    unit: str
    """The canonical unit, as it stands in the table of observations."""
    cf_unit: str
    """The same in UDUNITS' words; ``1`` where UDUNITS has none (NTU, RFU)."""
    kind: str
    """What sort of quantity it is; values convert within a kind only (turbidity_ntu is not turbidity_fnu)."""
    basis: str
    """What a mass or an amount is counted as (N, NO3, CaCO3), or the condition it is brought to (25C); or empty."""
    molar_mass: float | None
    """Of the basis in g/mol, where amounts may be converted."""
    charge: int | None
    """Of one ion, where equivalents may be converted."""
    valid_min: float
    valid_max: float
    """The least and the greatest value that can be, in the canonical unit."""
    synonyms: tuple[str, ...]
    """Other names that mean this and nothing else."""
    maybe: tuple[str, ...]
    """Names that may mean this or something else."""


@cache
def vocabulary() -> Mapping[str, Term]:
    """Give all terms by name.

    Examples
    --------
    >>> vocabulary()["chlorophyll_a"].unit
    'ug L-1'
    """
    text = resources.files(__package__).joinpath("vocabulary.csv").read_text(encoding="utf-8")
    terms = [_term(row) for row in csv.DictReader(text.splitlines())]
    return MappingProxyType({term.name: term for term in terms})


def find_term(text: str) -> Term | None:
    """Find the term that a name can only mean, or None.

    A unit in brackets, case, spaces, full-width letters, dots and dashes make no difference.

    Examples
    --------
    >>> find_term("Chl-a [µg/L]").name, find_term("总氮 (mg/L)").name, find_term("turbidity")
    ('chlorophyll_a', 'tn', None)
    """
    found = _lookup(text)
    if len(found) != 1:
        return None
    term = vocabulary()[found[0]]
    only_maybe = {_key(other) for other in term.maybe} & {_key(form) for form in _forms(text)}
    return None if only_maybe else term


def guess_terms(text: str) -> tuple[Term, ...]:
    """Give every term that a name, or its first or last words, may mean, the likeliest first.

    Examples
    --------
    >>> [term.name for term in guess_terms("turbidity")]
    ['turbidity_ntu', 'turbidity_fnu']
    """
    found = _lookup(text)
    told = text[:_MAX_TEXT].split()
    words = re.split(r"[\s_/,;]+", text[:_MAX_TEXT])
    while not found and len(words) > 1:
        words.pop()
        start = "_".join(words)
        found = _lookup(start) if len(_key(start)) > 2 else ()
    for at in range(1, len(told)):
        # Names below a merged cell begin with what that cell says: "Nutrients TN (mg/L)".
        found = found or _lookup(" ".join(told[at:]))
    return tuple(vocabulary()[name] for name in found)


def term_named(name: str) -> Term:
    """Give the term of that very name.

    Raises
    ------
    InputError
        If the vocabulary has none; it tells the nearest names.
    """
    term = vocabulary().get(name)
    if term is None:
        near = [guess.name for guess in guess_terms(name)] or sorted(vocabulary())
        raise InputError("no such variable", where="vocabulary", expected=", ".join(near)[:600], got=name[:100])
    return term


def _term(row: Mapping[str, str]) -> Term:
    told = [text for text in row["synonyms"].split("|") if text]
    return Term(
        **{name: row[name] for name in ("name", "title", "cf_standard_name", "nerc_p01", "unit", "cf_unit", "kind")},
        basis=row["basis"],
        molar_mass=float(row["molar_mass"]) if row["molar_mass"] else None,
        charge=int(row["charge"]) if row["charge"] else None,
        valid_min=float(row["valid_min"]),
        valid_max=float(row["valid_max"]),
        synonyms=tuple(text for text in told if not text.endswith("?")),
        maybe=tuple(text[:-1] for text in told if text.endswith("?")),
    )


@cache
def _index() -> Mapping[str, tuple[str, ...]]:
    """Names of terms by what they are called; a sure name stands before the ones that only may be meant."""
    sure: dict[str, list[str]] = {}
    maybe: dict[str, list[str]] = {}
    for term in vocabulary().values():
        for index, texts in ((sure, (term.name, term.title, *term.synonyms)), (maybe, term.maybe)):
            for key in {_key(text) for text in texts}:
                index.setdefault(key, []).append(term.name)
    keys = sure.keys() | maybe.keys()
    return {key: tuple(dict.fromkeys(sure.get(key, []) + maybe.get(key, []))) for key in keys}


def _lookup(text: str) -> tuple[str, ...]:
    for form in _forms(text):
        if found := _index().get(_key(form)):
            return found
    return ()


def _forms(text: str) -> tuple[str, str]:
    """A name as it stands, and without what stands in brackets: a unit, most of the time."""
    return text[:_MAX_TEXT], _UNIT_PART.sub(" ", text[:_MAX_TEXT])


def _key(text: str) -> str:
    """What is left of a name when writing habits are taken away."""
    return _SEPARATORS.sub("", unicodedata.normalize("NFKC", text).casefold())
