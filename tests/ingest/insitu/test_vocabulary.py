"""The vocabulary: one name, one unit, one quantity."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from terracube.core.errors import InputError
from terracube.ingest.insitu.units import conversion
from terracube.ingest.insitu.unittext import SPECIES, parse_unit
from terracube.ingest.insitu.vocabulary import Term, find_term, guess_terms, term_named, vocabulary

TERMS = sorted(vocabulary().values(), key=lambda term: term.name)


def test_cf_names_stand_in_the_table_of_standard_names() -> None:
    """Every CF standard name is one (checked against the table that compliance-checker carries)."""
    found = importlib.util.find_spec("compliance_checker")
    if found is None or found.origin is None:
        pytest.skip("compliance-checker, which carries the table of standard names, is not installed")
    table = Path(found.origin).parent / "data" / "cf-standard-name-table.xml"
    known = set(re.findall(r'entry id="([^"]+)"', table.read_text(encoding="utf-8")))
    assert not {term.cf_standard_name for term in TERMS if term.cf_standard_name} - known


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.name)
def test_each_term_is_whole(term: Term) -> None:
    """Its unit converts into itself unchanged, its limits are in order, its CF unit is a unit, its basis is known."""
    assert conversion(term.unit, term).factor == 1
    assert term.valid_min < term.valid_max
    parse_unit(term.cf_unit)
    assert term.basis in {"", "25C", "Ca", "Mg", "Na", "K", *SPECIES}
    assert term.title
    if term.basis in SPECIES and term.molar_mass is not None:
        assert term.molar_mass == pytest.approx(SPECIES[term.basis][0], abs=0.01)


def test_no_two_terms_claim_one_sure_name() -> None:
    """A name that is listed as sure for two terms would be a coin toss."""
    claimed: dict[str, str] = {}
    for term in TERMS:
        for text in (*term.synonyms, term.title):
            key = text.casefold()
            assert claimed.setdefault(key, term.name) == term.name, text


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Chl-a [µg L-1]", "chlorophyll_a"),
        ("CHL_A", "chlorophyll_a"),
        ("叶绿素a", "chlorophyll_a"),
        ("总氮\uff08mg/L\uff09", "tn"),
        ("NO3-N", "no3_n"),
        ("PO4-P (ug/L)", "po4_p"),
        ("DTP", "dtp"),
        ("TSS", "suspended_matter"),
        ("水温", "water_temperature"),
        ("acdom(440)", "cdom_absorption_440"),
        ("DO (%)", "oxygen_saturation"),
        ("DO (mg/L)", "dissolved_oxygen"),
        ("TN", "tn"),
    ],
)
def test_names_as_tables_have_them(text: str, name: str) -> None:
    """Case, dashes, brackets with a unit, full-width letters and Chinese names are understood."""
    found = find_term(text)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize(
    "text", ["turbidity", "NO3", "PO4", "T", "temp", "chlorophyll", "Chl", "SD", "COND", "alkalinity"]
)
def test_names_of_two_meanings_are_not_found_but_guessed(text: str) -> None:
    """NO3 may be counted as N or as NO3: no name is taken, and all readings are offered."""
    assert find_term(text) is None
    assert guess_terms(text)


def test_guesses_look_at_the_first_words() -> None:
    """A laboratory adds its method to the name."""
    assert guess_terms("Phaeophytin_Jeff_Humphr")[0].name == "phaeophytin"
    assert guess_terms("x" * 10_000) == ()
    assert guess_terms("") == ()


def test_unknown_names_are_told_with_the_nearest() -> None:
    """A person who writes turbidity is offered the two."""
    with pytest.raises(InputError, match="turbidity_fnu"):
        term_named("turbidity")
    assert term_named("tn").unit == "mg L-1"
