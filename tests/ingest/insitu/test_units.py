"""Units: what texts mean, what converts, and above all what does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from terracube.core.errors import MetadataError, TerraCubeError
from terracube.ingest.insitu.units import conversion, convert, same_unit
from terracube.ingest.insitu.unittext import is_unit, parse_unit
from terracube.ingest.insitu.vocabulary import vocabulary

WORDS = vocabulary()


@pytest.mark.parametrize(
    "text",
    [
        "mg/L",
        "mg L-1",
        "mg·L⁻¹",
        "mg l^-1",
        "mg L**-1",
        "MG/L",
        "mg/dm3",
        "g/m3",
        "g m-3",
        "mg per L",
        "\uff4dg/L",
        "mg.L-1",
    ],
)
def test_one_unit_written_in_many_ways(text: str) -> None:
    """Raised digits, dots, powers, capital letters of old machines and full-width letters are one unit."""
    assert same_unit(text, "mg/L")


@pytest.mark.parametrize("text", ["°C", "℃", "ºC", "deg C", "Celsius", "C", "degree_Celsius", "degC"])
def test_degrees_written_in_many_ways(text: str) -> None:
    """25 degrees are 25 degrees."""
    assert convert(25.0, text, WORDS["water_temperature"]) == 25.0


@pytest.mark.parametrize(
    ("value", "unit", "name", "expected"),
    [
        (24.0, "ug/L", "po4_p", 0.024),
        (12.3, "µg/L", "tp", 0.0123),
        (1.0, "mg/m³", "chlorophyll_a", 1.0),
        (77.0, "degF", "water_temperature", 25.0),
        (298.15, "K", "water_temperature", 25.0),
        (35.3146667, "ft3/s", "discharge", 1.0),
        (1.5, "mS/cm", "specific_conductance", 1500.0),
        (100.0, "cm", "secchi_depth", 1.0),
        (10.0, "ft", "water_level", 3.048),
        (8.1, "std units", "ph", 8.1),
        (35.0, "PSU", "practical_salinity", 35.0),
        (5.0, "cells/mL", "cell_count", 5000.0),
        (5.0, "cells/100 mL", "cell_count", 50.0),
        (924.3, "ueq/L", "alkalinity", 0.9243),
        (1013.25, "mbar", "air_pressure", 1013.25),
    ],
)
def test_conversions_against_arithmetic(value: float, unit: str, name: str, expected: float) -> None:
    """Known pairs; thousandths come out to the last digit."""
    assert convert(value, unit, WORDS[name]) == pytest.approx(expected, rel=1e-8)


def test_thousandths_are_exact() -> None:
    """24.1 ug/L is 0.0241 mg/L, not 0.024100000000000003."""
    values = np.array([24.1, 0.3, 7.7, np.nan])
    np.testing.assert_array_equal(convert(values, "ug/L", WORDS["tp"]), values / 1000)


@pytest.mark.parametrize(
    ("unit", "name"),
    [
        ("FNU", "turbidity_ntu"),
        ("NTU", "turbidity_fnu"),
        ("FTU", "turbidity_fnu"),
        ("mg/L", "turbidity_ntu"),
        ("mg/L as NO3", "no3_n"),
        ("mg NO3/L", "no3_n"),
        ("mg/L as N", "no3"),
        ("umol/L", "no3_n"),
        ("mg/kg", "tn"),
        ("ppm", "tn"),
        ("%", "ph"),
        ("%", "wind_direction"),
        ("g/kg", "practical_salinity"),
        ("permil", "practical_salinity"),
        ("RFU", "chlorophyll_a"),
        ("uS/cm @25C", "conductivity"),
        ("mg/L", "dissolved_oxygen_content"),
        ("mL/L", "dissolved_oxygen"),
        ("1", "tn"),
        ("m", "water_temperature"),
        ("degC/m", "water_temperature"),
    ],
)
def test_other_quantities_are_refused(unit: str, name: str) -> None:
    """NTU is not FNU, NO3 is not NO3-N, a mass is no amount; the message names variable and unit."""
    with pytest.raises(MetadataError) as caught:
        convert(1.0, unit, WORDS[name])
    assert caught.value.where in (name, "unit")


def test_basis_converts_when_it_is_said() -> None:
    """10 mg/L of nitrate are 2.259 mg/L as nitrogen, by 14.007/62.004; the note tells it."""
    found = conversion("mg/L", WORDS["no3_n"], basis="NO3")
    assert found(10.0) == pytest.approx(10 * 14.007 / 62.004)
    assert "NO3" in found.note
    assert convert(1.0, "mg/L as PO4", WORDS["po4_p"], basis="PO4") == pytest.approx(30.974 / 94.97)
    assert convert(1.0, "mg/L", WORDS["no3_n"], basis="N") == 1.0


@pytest.mark.parametrize(
    ("unit", "basis"), [("mg/L", "PO4"), ("mg/L", "nonsense"), ("mg/L as N", "NO3"), ("mg/L", "CaCO3")]
)
def test_impossible_bases_are_refused(unit: str, basis: str) -> None:
    """Phosphate is no nitrate, and unit and basis must not contradict each other."""
    with pytest.raises(MetadataError):
        convert(1.0, unit, WORDS["no3_n"], basis=basis)


def test_amounts_become_masses_when_it_is_said() -> None:
    """By the molar mass, and for ions by their charge; a mole of NO3 holds a mole of N."""
    assert convert(100.0, "umol/L", WORDS["no3_n"], molar=True) == pytest.approx(1.4007)
    assert convert(100.0, "umol/L", WORDS["no3_n"], molar=True, basis="NO3") == pytest.approx(1.4007)
    assert convert(100.0, "ueq/L", WORDS["sulfate"], molar=True) == pytest.approx(4.803)
    assert convert(1.4007, "mg/L", WORDS["nitrate_molar"], molar=True, basis="N") == pytest.approx(
        1.4007 / 62.004 * 1000, rel=1
    )
    with pytest.raises(MetadataError):
        convert(1.0, "umol/kg", WORDS["dissolved_oxygen"], molar=True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "lake",
        "Mg/L",
        "ML",
        "9**9**9",
        "m99",
        "mg/(L",
        "((((",
        "mg//L",
        "/L",
        "mg/",
        "mg N P/L",
        "x" * 999,
        "kg\0",
        "mg\u2044lx",
        "2",
    ],
)
def test_unknown_units_are_named(text: str) -> None:
    """What is no unit is told with what stood there; a careless Mg/L is no thousand tons."""
    with pytest.raises(MetadataError, match="unknown unit"):
        parse_unit(text)
    assert not is_unit(text)


def test_same_unit_looks_at_scale_and_basis() -> None:
    """Two names of one unit are the same; another scale, another basis are not."""
    assert same_unit("ug/L", "mg/m3")
    assert not same_unit("mg/L", "m")
    assert not same_unit("mg/L as N", "mg/L as NO3")
    assert not same_unit("degC", "degF")


@given(st.text(max_size=70))
def test_any_text_is_a_unit_or_an_error_of_ours(text: str) -> None:
    """No text breaks the reading of units."""
    try:
        unit = parse_unit(text)
    except TerraCubeError:
        return
    assert unit.text == text
    for name in ("tn", "ph", "water_temperature"):
        try:
            convert(1.0, text, WORDS[name], molar=True)
        except TerraCubeError:
            continue


@given(st.text(alphabet="mgLukNOP3/ ()^*-.·1209eCdasµ°%", max_size=25))
def test_texts_of_unit_letters_break_nothing(text: str) -> None:
    """Nor does any text of the letters that units are made of."""
    try:
        parse_unit(text)
    except TerraCubeError:
        return


@given(st.floats(-1e12, 1e12), st.sampled_from(["mg/L", "ug/L", "ng/L", "kg/m3", "g/L", "mg/m3"]))
def test_there_and_back(value: float, unit: str) -> None:
    """A conversion and the way back give the value again."""
    there = convert(value, unit, WORDS["tn"])
    back = np.asarray(there) / conversion(unit, WORDS["tn"]).factor
    assert back == pytest.approx(value, rel=1e-12)
