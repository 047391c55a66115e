"""What the name of a column may say: the quantity, and a unit behind it; for a person to confirm."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from terracube.core.errors import MetadataError
from terracube.ingest.insitu.units import conversion
from terracube.ingest.insitu.unittext import is_unit
from terracube.ingest.insitu.vocabulary import Term, find_term, guess_terms

_MAX_TEXT = 300
#: What may stand before a unit; "总氮mg/L" has nothing there.
_SEPARATOR = re.compile(r"[\s_,;.]+|/|(?<=[\u4e00-\u9fff])(?=[A-Za-z%°℃µμ])")
_CHINESE = re.compile(r"[\u4e00-\u9fff]+")
#: Units as they are written where a name may hold letters and digits only.
_GLUED = {
    "ugl": "ug/L",
    "mgl": "mg/L",
    "ngl": "ng/L",
    "umoll": "umol/L",
    "mmoll": "mmol/L",
    "uscm": "uS/cm",
    "mscm": "mS/cm",
    "mgm3": "mg/m3",
    "gm3": "g/m3",
}


@dataclass(frozen=True, slots=True)
class Named:
    """What a name may mean."""

    terms: tuple[Term, ...]
    """The likeliest first; those that the unit fits, if it fits any."""
    unit: str
    """Unit row, brackets, or what stands behind the name; empty if none is told."""
    behind: bool
    """The unit stands behind the name, without brackets: it may be none."""
    sure: bool
    """The name, or the name and the unit, can mean nothing else."""


def read_name(name: str, unit: str = "") -> Named:
    """Tell what a column may hold, by its name and the unit that stands in the unit row or in brackets.

    A unit behind the name, after a space, comma, slash, dot or underscore, is taken only if it is one of what the
    rest of the name means.

    Examples
    --------
    >>> found = read_name("Chl_a_ug_L")
    >>> found.terms[0].name, found.unit, found.behind
    ('chlorophyll_a', 'ug/L', True)
    >>> read_name("NO3-N mg/L").unit, read_name("Total N").unit
    ('mg/L', '')
    """
    whole = _terms(name)
    if unit:
        fitting = _fitting(unit, whole)
        chosen = len(fitting) == 1 < len(whole)
        return Named(fitting or whole, unit, False, find_term(name) is not None or chosen)
    for stem, told in trailing_units(name):
        rest = _terms(stem)
        fitting = _fitting(told, rest) or _fitting(told, whole)
        if fitting:
            known = any(find_term(text) is not None for text in (stem, name))
            return Named(fitting, told, True, known or len(fitting) == 1 < len(rest))
    return Named(whole, "", False, find_term(name) is not None)


def trailing_units(name: str) -> Iterator[tuple[str, str]]:
    """Give every way to take a name for one with a unit behind it, the longest unit first.

    Names that a statistics program has made of ``TN (mg/L)`` have dots for all that is no letter.

    Examples
    --------
    >>> next(trailing_units("TN/mg·L-1")), list(trailing_units("X.Chl_a..ug.L."))[:2]
    (('TN', 'mg·L-1'), [('Chl_a', 'ug L'), ('Chl_a', 'ug/L')])
    """
    plain = re.sub(r"^X\.", "", name[:_MAX_TEXT]).strip(" ._,;")
    for mark in _SEPARATOR.finditer(plain):
        stem, tail = plain[: mark.start()].strip(), plain[mark.end() :]
        # A number in front would be a factor: "Cond_25 uS/cm" is not told in units of 25 uS/cm.
        if stem and not tail[:1].isdigit() and re.search(r"[^\W\d_]|[%℃]", tail):
            yield from ((stem, unit) for unit in dict.fromkeys(_written(tail)) if is_unit(unit))


def _written(tail: str) -> Iterator[str]:
    """The ways to read a text as a unit: as it stands, "ug_L_1" for "ug L-1", "ug_L" for "ug/L", "ugL"."""
    yield re.sub(r"[_.\s]+", " ", tail)
    yield re.sub(r"[_.\s]+", " ", re.sub(r"[_.\s]([1-3])$", r"-\1", tail))
    start, mark, end = re.sub(r"[_.\s]+", " ", tail).rpartition(" ")
    if mark:
        yield f"{start}/{end}"
    if tail.casefold() in _GLUED:
        yield _GLUED[tail.casefold()]


def nothing_measured(where: str, names: Sequence[str]) -> MetadataError:
    """Say that no name is known to be a measurement, which names there are, and what to do."""
    told = [name for name in names if name]
    more = f" and {len(told) - 30} more" if len(told) > 30 else ""
    return MetadataError(
        "no column looks like a measurement",
        where=where,
        expected="a name such as TN, Chl-a or 水温 (see `terracube insitu variables`), with numbers below it",
        got=(", ".join(told[:30])[:1500] or "no names") + more,
        todo='write the mapping by hand, with "columns: [{column: NAME, variable: tn, unit: mg/L}]"; '
        "docs/insitu.md shows a whole one",
    )


def converts(unit: str, term: Term) -> bool:
    """Tell whether a unit is one of a quantity."""
    try:
        conversion(unit, term)
    except MetadataError:
        return False
    return True


def _terms(name: str) -> tuple[Term, ...]:
    """What a name may mean; if nothing is known, without brackets ("TN/(mg/L)"), dots as spaces ("Chla.1"), Chinese."""
    bare = re.sub(r"[(\[\uff08].*$", "", name).strip(" /_,;.")
    others = (bare, re.sub(r"^X\.", "", bare).replace(".", " ").strip(), "".join(_CHINESE.findall(bare)))
    return next((found for text in (name, *others) if text and (found := guess_terms(text))), ())


def _fitting(unit: str, terms: Sequence[Term]) -> tuple[Term, ...]:
    return tuple(term for term in terms if converts(unit, term))
