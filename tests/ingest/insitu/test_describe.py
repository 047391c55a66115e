"""Drafts of mappings: what is told, what is left open, and that a draft is never more than one."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terracube.core.errors import AssetError, NotFoundError, TerraCubeError
from terracube.ingest.insitu.describe import Described, describe
from terracube.ingest.insitu.mapping import parse_mapping
from terracube.ingest.insitu.read import read_observations


def draft(tmp_path: Path, content: str | bytes, name: str = "a.csv", encoding: str = "utf-8") -> Described:
    """Write a file and describe it."""
    path = tmp_path / name
    path.write_bytes(content.encode(encoding) if isinstance(content, str) else content)
    return describe(path)


def unsure(found: Described) -> str:
    """Give all that is unsure as one text."""
    return "\n".join(found.unsure)


def test_a_draft_that_is_sure_reads_its_file(tmp_path: Path) -> None:
    """Names, units, ISO times and degrees: the draft is a mapping, and reads all cells."""
    text = "Station,Longitude,Latitude,Date,Depth (m),TN (mg/L),Chl-a (ug/L)\nA,21.5,53.7,2019-08-20,0.5,1,5\n"
    found = draft(tmp_path, text)
    assert found.mapping is not None
    assert parse_mapping(found.yaml()) == found.mapping
    table = read_observations(tmp_path / "a.csv", found.mapping).table
    assert table.value.tolist() == [1.0, 5.0]
    assert table.depth.tolist() == [0.5, 0.5]
    assert "position.crs" in unsure(found)


def test_units_decide_between_names(tmp_path: Path) -> None:
    """Turbidity in FNU is that of ISO 7027; without a unit both are offered."""
    found = draft(tmp_path, "Station,Date,Turbidity (FNU),Turb\nA,2019-08-20,1,2\n")
    assert "variable: turbidity_fnu" in found.yaml()
    assert "Turb: turbidity_ntu or turbidity_fnu?" in unsure(found)
    assert "Turb: in which unit?" in unsure(found)


def test_nitrate_is_a_question(tmp_path: Path) -> None:
    """NO3 may be counted as N."""
    assert "NO3 (mg/L): no3 or no3_n?" in unsure(draft(tmp_path, "Station,Date,NO3 (mg/L)\nA,2019-08-20,1\n"))


def test_units_of_another_quantity_and_unknown_units_are_told(tmp_path: Path) -> None:
    """A unit row with a furlong; a total nitrogen in metres."""
    found = draft(tmp_path, "Station,Date,TN (m),TP,DOC\n,,m,furlong,mg/L\nA,2019-08-20,1,2,3\n")
    assert "m is no unit of tn" in unsure(found)
    assert "TP: the unit furlong is not known" in unsure(found)


def test_both_readings_of_a_date_are_told(tmp_path: Path) -> None:
    """If no row decides, both are shown with what the first date would be, and none is chosen."""
    found = draft(tmp_path, "Station,Date,TN (mg/L)\nA,05/08/2019,1\nB,06/08/2019,1\n")
    assert "%d/%m/%Y (05/08/2019 is 2019-08-05) or as %m/%d/%Y (05/08/2019 is 2019-05-08)" in unsure(found)
    assert "# format:" in found.yaml()


def test_the_rows_that_decide_a_date_are_told(tmp_path: Path) -> None:
    """A thirteenth month is none."""
    found = draft(tmp_path, "Station,Date,TN (mg/L)\nA,05/08/2019,1\nB,23/08/2019,1\n")
    assert "%d/%m/%Y, not %m/%d/%Y, because of row 3 (23/08/2019)" in unsure(found)
    assert found.mapping is not None
    assert found.mapping.time.format == "%d/%m/%Y"


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("20.08.2019 10:30", "%d.%m.%Y %H:%M"),
        ("08/20/2019 1:30 PM", "%m/%d/%Y %I:%M %p"),
        ("2019年8月20日", "%Y年%m月%d日"),
        ("20190820", "%Y%m%d"),
        ("20-Aug-2019", "%d-%b-%Y"),
        ("43697.5", "excel"),
        ("2019-08-20T10:30", "iso"),
    ],
)
def test_forms_of_times(tmp_path: Path, text: str, form: str) -> None:
    """The forms that tables have, serial days among them."""
    found = draft(tmp_path, f"Station,Date,TN (mg/L)\nA,{text},1\n")
    assert found.mapping is not None
    assert found.mapping.time.format == form


def test_zones_are_asked_for_and_never_filled_in(tmp_path: Path) -> None:
    """A time of day without a zone is a question; a day is none, and neither is a time with its zone."""
    assert "time.zone" in unsure(draft(tmp_path, "Station,Date,TN (mg/L)\nA,2019-08-20 10:00,1\n"))
    assert "time.zone" not in unsure(draft(tmp_path, "Station,Date,TN (mg/L)\nA,2019-08-20 10:00Z,1\n"))
    assert "time.zone" not in unsure(draft(tmp_path, "Station,Date,TN (mg/L)\nA,2019-08-20,1\n"))


def test_date_and_clock_in_two_columns(tmp_path: Path) -> None:
    """A column named time that holds clocks stands beside the date."""
    found = draft(tmp_path, "Station,date,time,TN (mg/L)\nA,2019-08-20,10:30,1\n")
    assert found.mapping is not None
    assert (found.mapping.time.column, found.mapping.time.clock) == ("date", "time")


def test_marks_and_odd_texts_are_told(tmp_path: Path) -> None:
    """-999 among small numbers, a word among numbers, values below a limit."""
    found = draft(
        tmp_path, "Station,Date,TN (mg/L)\nA,2019-08-20,1\nB,2019-08-20,-999\nC,2019-08-20,lost\nD,2019-08-20,<0.1\n"
    )
    assert "missing: [-999.0]" in found.yaml()
    assert "these are no numbers: lost" in unsure(found)
    assert "1 values below or above a limit" in unsure(found)


def test_decimal_commas_and_thousands(tmp_path: Path) -> None:
    """Commas behind semicolons are decimal; three digits behind a point are a question then."""
    found = draft(tmp_path, "Station;Date;TN (mg/L);DOC (mg/L)\nA;2019-08-20;1,5;1.234\nB;2019-08-20;2,5;7,1\n")
    assert found.mapping is not None
    assert found.mapping.layout.decimal == ","
    assert "does the mark separate thousands" in unsure(found)


def test_rows_of_titles_names_and_units(tmp_path: Path) -> None:
    """A title above, merged names, a unit row below."""
    text = "Survey 2019,,,\n,,Nutrients,\nLake,Date,TN,TP\n,,mg/L,ug/L\nA,2019-08-20,1,20\nB,2019-08-20,2,30\n"
    found = draft(tmp_path, text)
    assert found.mapping is not None
    layout = found.mapping.layout
    assert (layout.header, layout.header_rows, layout.unit_row) == (2, 2, 4)


@pytest.mark.parametrize(
    ("encoding", "lake"),
    [
        ("gb18030", "纳木错湖泊水质调查"),
        ("cp1250", "Gopło, Śniardwy, Hańcza"),
        ("cp1252", "Müritz, Über, Höll"),
        ("utf-16-le", "Nam Co"),
    ],
)
def test_encodings_are_guessed_and_shown(tmp_path: Path, encoding: str, lake: str) -> None:
    """How the text reads in each encoding is shown, for a person to choose."""
    found = draft(tmp_path, f'Station,Date,TN (mg/L)\n"{lake}",2019-08-20,1\n', encoding=encoding)
    assert f"encoding: {encoding}" in found.yaml()
    assert "encoding: " in unsure(found)


def test_names_that_nobody_knows_are_listed(tmp_path: Path) -> None:
    """They are not read, and told so."""
    found = draft(tmp_path, "Station,Date,TN (mg/L),Gloop\nA,2019-08-20,1,2\n")
    assert '#   "Gloop"' in found.yaml()


def test_heights_ask_for_their_datum(tmp_path: Path) -> None:
    """A water level is above something."""
    assert "above which datum" in unsure(draft(tmp_path, "Station,Date,Water level (cm)\nA,2019-08-20,1\n"))


def test_a_file_of_no_measurements_is_told(tmp_path: Path) -> None:
    """No column is made one."""
    found = draft(tmp_path, "Algorithm,R_Squared\nNDCI,0.5\n")
    assert found.mapping is None
    assert "no column is known to be a measurement" in unsure(found)


def test_files_that_are_none(tmp_path: Path) -> None:
    """Absent, of no kind, a workbook that is none."""
    with pytest.raises(NotFoundError):
        describe(tmp_path / "absent.csv")
    with pytest.raises(AssetError, match="no known kind"):
        draft(tmp_path, b"\0\1\2", name="a.bin")
    with pytest.raises(AssetError, match="no workbook"):
        draft(tmp_path, b"PK", name="a.xlsx")


def test_a_workbook_of_several_sheets(tmp_path: Path) -> None:
    """The first sheet is drafted, all are named."""
    table = "urn:oasis:names:tc:opendocument:xmlns:table:1.0"
    names = f'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" xmlns:table="{table}"'
    names += ' xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"'

    def row(*cells: str) -> str:
        made = (
            f'<table:table-cell office:value-type="string"><text:p>{cell}</text:p></table:table-cell>' for cell in cells
        )
        return f"<table:table-row>{''.join(made)}</table:table-row>"

    rows = row("站点", "日期", "总氮 (mg/L)") + row("A", "2019-08-20", "1.5")
    sheets = "".join(f'<table:table table:name="{name}">{rows}</table:table>' for name in ("Field", "Lab"))
    inner = f"<office:body><office:spreadsheet>{sheets}</office:spreadsheet></office:body>"
    body = f"<office:document-content {names}>{inner}</office:document-content>"
    with zipfile.ZipFile(tmp_path / "a.ods", "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", f'<?xml version="1.0" encoding="UTF-8"?>{body}')
        archive.writestr(
            "META-INF/manifest.xml", '<m:manifest xmlns:m="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>'
        )
    found = describe(tmp_path / "a.ods")
    assert "sheet: Field, Lab" in unsure(found)
    assert found.mapping is not None
    assert found.mapping.layout.sheet == "Field"
    assert found.mapping.columns[0].variable == "tn"
    assert read_observations(tmp_path / "a.ods", found.mapping).table.value.tolist() == [1.5]


def test_real_tables(data_dir: Path) -> None:
    """Albers metres are a question; latin letters of Poland are read; results of algorithms are no measurements."""
    lakes = describe(data_dir / "insitu" / "nla2007-lakes" / "ltmData.csv")
    assert "projected coordinates" in unsure(lakes)
    assert lakes.mapping is not None
    assert {column.variable for column in lakes.mapping.columns} >= {"tn", "tp", "chlorophyll_a", "secchi_depth"}
    poland = data_dir / "insitu" / "lakes-temperature-poland"
    temperatures = describe(poland / "lakes_temp.csv").mapping
    assert temperatures is not None
    assert (temperatures.layout.delimiter, temperatures.layout.decimal) == (";", ",")
    assert "Śniardwy" in describe(poland / "predictions_testset.csv").yaml()
    for path in sorted((data_dir / "water" / "harsha").glob("*.csv")):
        assert describe(path).mapping is None


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300) | st.text(alphabet='Tabc,;|\t\n\r"0159./- °\ue000é', max_size=150).map(str.encode))
def test_any_bytes_are_described_or_refused(tmp_path: Path, content: bytes) -> None:
    """No file breaks it; a draft that is complete is a valid mapping."""
    try:
        found = draft(tmp_path, content)
    except TerraCubeError:
        return
    if found.mapping is not None:
        assert parse_mapping(found.yaml()) == found.mapping
