"""Mappings: what a person declares, checked at the door."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import AssetError, InputError, NotFoundError, TerraCubeError
from terracube.ingest.insitu.mapping import Mapping, load_mapping, parse_mapping, ready_mappings

SMALL = "kind: csv\ncolumns: [{column: TN, variable: tn}]\n"


@pytest.mark.parametrize("name", ready_mappings())
def test_ready_mappings_are_whole(name: str) -> None:
    """Each mapping that comes with the package is valid and says whose data these are."""
    mapping = load_mapping(name)
    assert mapping.about.title
    assert mapping.columns


def test_a_mapping_survives_its_own_dump() -> None:
    """What is read, written and read again is the same."""
    mapping = load_mapping("nla2007-lakes")
    assert Mapping.model_validate(mapping.model_dump()) == mapping


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kind: csv", "columns, or long"),
        ("kind: nonsense", "kind"),
        (SMALL + "extra: 1", "extra"),
        ("kind: csv\ncolumns: [{column: TN, variable: nitrogen}]", "not in the vocabulary"),
        ("kind: csv\ncolumns: [{column: Chl, variable: 'Chl-a'}]", "chlorophyll_a"),
        ("kind: csv\ncolumns: [{column: h, variable: water_level, unit: m}]", "datum"),
        (SMALL + "time: {column: t, zone: Mars/Olympus}", "no time zone"),
        (SMALL + "time: {column: t, zone: ../../etc/passwd}", "no time zone"),
        (SMALL + "time: {column: t, constant: '2020-01-01'}", "one of column"),
        (SMALL + "time: {parts: {year: Y}}", "year, month and day"),
        (SMALL + "position: {lon: X, lat: Y}", "crs"),
        (SMALL + "position: {lon: X, crs: 'EPSG:4326'}", "go together"),
        (SMALL + "position: {lon: X, lat: Y, crs: nonsense}", "no coordinate reference"),
        (SMALL + "layout: {delimiter: x}", "delimiter"),
        (SMALL + "layout: {header: -1}", "header"),
        (SMALL + "quality: {A: 5}", "quality"),
        ("kind: csv\ncolumns: [{column: 0, variable: tn}]", "column"),
        (SMALL + "long: {variable_column: a, value_column: b, variables: {}}", "not both"),
    ],
)
def test_what_is_wrong_is_told_field_by_field(text: str, told: str) -> None:
    """The message names the field and the reason."""
    with pytest.raises(InputError) as caught:
        parse_mapping(text, where="m.yaml")
    assert told in str(caught.value)
    assert "m.yaml" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1, 2]",
        "a: &a [x, x]\nb: *a",
        "a: [1",
        "\0",
        "!!python/object/apply:os.system [ls]",
        "a: " + "[" * 5000,
        "? [a]\n: b",
    ],
)
def test_hostile_yaml_is_refused(text: str) -> None:
    """No mapping, aliases that multiply, tags that run code, and depths without end."""
    with pytest.raises(InputError):
        parse_mapping(text)


def test_files_that_are_absent_or_too_large(tmp_path: Path) -> None:
    """A mapping that is not there is told with the ready ones; a huge one is not read."""
    with pytest.raises(NotFoundError, match="nla2007-lakes"):
        load_mapping(tmp_path / "absent.yaml")
    with pytest.raises(AssetError, match="cannot be read"):
        load_mapping(tmp_path)
    huge = tmp_path / "huge.yaml"
    huge.write_bytes(b"#" * ((1 << 20) + 2))
    with pytest.raises(AssetError, match="too large"):
        load_mapping(huge)


def test_a_file_is_read(tmp_path: Path) -> None:
    """A mapping in a file is the mapping of its text; numbers and texts may both mean "no value"."""
    path = tmp_path / "m.yaml"
    path.write_text(SMALL + "missing: [-999, NA]\n", encoding="utf-8")
    assert load_mapping(path).missing == (-999.0, "NA")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_mapping_or_an_error_of_ours(content: bytes) -> None:
    """No bytes break the reading of mappings."""
    try:
        parse_mapping(content)
    except TerraCubeError:
        return


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*Mapping.model_fields]), st.recursive(st.none() | st.integers() | st.text(), st.lists)
    )
)
def test_any_fields_are_a_mapping_or_an_error_of_ours(fields: dict[str, object]) -> None:
    """Nor do odd values of its own fields."""
    try:
        parse_mapping(str(fields))
    except TerraCubeError:
        return


def test_yaml_is_read_as_people_mean_it() -> None:
    """A day, a shift of hours, a code with zeros and NO are texts; numbers and truth values are what they are."""
    text = "{kind: csv, time: {constant: 2019-08-20, zone: +08:00}, station: {column: NO}, depth: {constant: 0.5}, "
    text += "missing: [-999, 1e30, n.d.], long: {variable_column: Code, value_column: Value, "
    text += "variables: {00600: {variable: tn, molar: true}}}}"
    mapping = parse_mapping(text)
    assert (mapping.time.constant, mapping.time.zone, mapping.station.column) == ("2019-08-20", "+08:00", "NO")
    assert mapping.long is not None
    assert mapping.long.variables["00600"].molar
    assert (mapping.depth.constant, mapping.missing) == (0.5, (-999.0, 1e30, "n.d."))


@pytest.mark.parametrize("time", ["{clock: Hour}", "{clock: Hour, constant: 2019-08-01/2019-09-30}"])
def test_a_clock_needs_its_day(time: str) -> None:
    """A time of day alone, or within a period, is no time."""
    with pytest.raises(InputError, match="a clock needs its date"):
        parse_mapping(f"{{kind: csv, time: {time}, columns: [{{column: TN, variable: tn}}]}}")
