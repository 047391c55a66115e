"""Drafts of mappings: what is told, what is left open, and that a draft is never more than one."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terracube.core.errors import AssetError, MetadataError, NotFoundError, TerraCubeError
from terracube.ingest.insitu.describe import Described, describe
from terracube.ingest.insitu.mapping import parse_mapping
from terracube.ingest.insitu.plainyaml import read_plain
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


def test_a_draft_is_yaml_whatever_the_cells_say(tmp_path: Path) -> None:
    """Control characters of a wrong encoding and lines within cells stay in their comments and quotes."""
    text = 'Station;Date;TN (mg/L);"Gl\x8cop";"TP\x8c (mg/L)"\n\x8criardwy Ha\xf1cza;2019-08-20;1;2;3\n'
    text += 'A;2019-08-20;"lost\nkind: argo";2;3\nB;2019-08-20;2;2;3\nC;2019-08-20;2;2;3\n'
    found = draft(tmp_path, text, encoding="latin-1")
    assert read_plain(found.yaml())["kind"] == "csv"
    assert found.mapping is not None
    assert "lost kind: argo" in unsure(found)


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


def test_a_file_of_no_measurements_is_refused(tmp_path: Path) -> None:
    """The columns there are, and what to write by hand, are told; no draft that reads nothing is given."""
    with pytest.raises(MetadataError, match="no column looks like a measurement") as refused:
        draft(tmp_path, "Algorithm,R_Squared\nNDCI,0.5\n")
    assert refused.value.got == "Algorithm, R_Squared"
    assert "columns: [{column: NAME" in refused.value.todo


def test_noise_is_refused(tmp_path: Path) -> None:
    """Random bytes of any seed, under a name that promises a table, are none."""
    for seed in range(20):
        with pytest.raises((AssetError, MetadataError)):
            draft(tmp_path, np.random.default_rng(seed).bytes(300))
    with pytest.raises(AssetError, match="no table of text"):
        draft(tmp_path, bytes(range(1, 32)) * 10 + b"\xff")


@pytest.mark.parametrize(
    ("header", "variable", "unit"),
    [
        ("TN mg/L", "tn", "mg/L"),
        ("NO3-N mg/L", "no3_n", "mg/L"),
        ("Chl_a_ug_L", "chlorophyll_a", "ug/L"),
        ("Chl_ugL", "chlorophyll_a", "ug/L"),
        ("X.Chl_a..ug.L.", "chlorophyll_a", "ug/L"),
        ("Secchi_m", "secchi_depth", "m"),
        ("DO %", "oxygen_saturation", "%"),
        ("Turbid_NTU", "turbidity_ntu", "NTU"),
        ("TP_mg_m_3", "tp", "mg m-3"),
        ("总氮mg/L", "tn", "mg/L"),
        ("水温/℃", "water_temperature", "℃"),
        ("TN/mg·L-1", "tn", "mg·L-1"),
        ("COND_25 uS/cm", "conductivity", "uS/cm"),
    ],
)
def test_units_behind_a_name_are_read_and_doubted(tmp_path: Path, header: str, variable: str, unit: str) -> None:
    """Spaces, underscores, dots and slashes, as loggers, statistics programs and Chinese tables write them."""
    found = draft(tmp_path, f"Station,Date,{header}\nA,2019-08-20,1\n")
    assert found.mapping is not None
    (column,) = found.mapping.columns
    assert (column.variable, column.unit) == (variable, unit)
    assert f"{header}: is its unit {unit}?" in unsure(found)
    assert len(read_observations(tmp_path / "a.csv", found.mapping).table) == 1


@pytest.mark.parametrize("header", ["Total N", "Chl a", "DOC_min", "TN_TP", "TOC_f", "Chla_1"])
def test_what_stands_behind_a_name_may_be_no_unit(tmp_path: Path, header: str) -> None:
    """A species, a letter, a statistic, a number: the unit stays a question."""
    found = draft(tmp_path, f"Station,Date,{header},TN (mg/L)\nA,2019-08-20,1,2\n")
    assert found.mapping is not None
    told = {column.column: column.unit for column in found.mapping.columns}
    assert not told.get(header)


def test_units_with_the_species_glued_on(tmp_path: Path) -> None:
    """mgN/L is mg/L counted as nitrogen."""
    found = draft(tmp_path, "Station,Date,NO3-N (mgN/L)\nA,2019-08-20,1.5\n")
    assert found.mapping is not None
    assert read_observations(tmp_path / "a.csv", found.mapping).table.value.tolist() == [1.5]


def test_numbered_columns_of_one_quantity(tmp_path: Path) -> None:
    """Chla.1 and Chla.2, and a depth with its unit behind it, as a statistics program writes them."""
    found = draft(tmp_path, "Date.Time,Depth.cm,Chla.1,Chla.2,X412nm\n2019-08-20,50,1,2,3\n")
    assert 'depth: {column: "Depth.cm", unit: cm}' in found.yaml()
    assert found.yaml().count("variable: chlorophyll_a") == 2
    assert '#   "X412nm"' in found.yaml()


def test_a_known_name_over_words_is_told(tmp_path: Path) -> None:
    """A column of temperature that holds words is not read, and not in silence."""
    found = draft(tmp_path, "Station,Date,TN (mg/L),Water temp\nA,2019-08-20,1,cold\nB,2019-08-20,2,warm\n")
    assert "few numbers or none: Water temp" in unsure(found)


def test_thousands_beside_decimal_commas(tmp_path: Path) -> None:
    """1.234,5 can only be read in one way; the draft reads it so."""
    found = draft(tmp_path, "Station;Date;Chl-a (µg/l)\nA;2019-08-20;1.234,5\nB;2019-08-20;2,5\n")
    assert found.mapping is not None
    assert read_observations(tmp_path / "a.csv", found.mapping).table.value.tolist() == [1234.5, 2.5]


def test_day_and_clock_that_are_not_iso(tmp_path: Path) -> None:
    """The draft's format is that of the day; clocks of any form beside it are read, and an empty one leaves a day."""
    rows = "".join(f"A;{day}.08.2019;{clock};1\n" for day, clock in ((23, "9:05"), (24, "10:30:15"), (25, "")))
    text = draft(tmp_path, "Messstelle;Datum;Uhrzeit;TN (mg/L)\n" + rows).yaml()
    mapping = parse_mapping(text.replace("# zone: UTC", "zone: Europe/Berlin"))
    found = read_observations(tmp_path / "a.csv", mapping)
    times = [time.isoformat()[:19] for time in found.table.time]
    assert times == ["2019-08-23T07:05:00", "2019-08-24T08:30:15", "2019-08-25T00:00:00"]


def test_a_clock_beside_an_iso_day_asks_for_its_zone(tmp_path: Path) -> None:
    """A day needs no zone, and a day with a clock beside it does."""
    found = draft(tmp_path, "Station,Date,Sample_Time,TN (mg/L)\nA,2019-08-20,10:30,1\n")
    assert "time.zone" in unsure(found)


def test_degrees_and_minutes(tmp_path: Path) -> None:
    """The draft says how they are written, and reads them."""
    found = draft(tmp_path, "Station,Date,Lat,Lon,TN (mg/L)\nA,2019-08-20,30°42'N,90°36'E,1\n")
    assert found.mapping is not None
    table = read_observations(tmp_path / "a.csv", found.mapping).table
    assert (table.lon[0], table.lat[0]) == pytest.approx((90.6, 30.7))


def test_names_in_two_scripts(tmp_path: Path) -> None:
    """A Chinese name with the abbreviation behind it is that of the Chinese name, and doubted."""
    found = draft(tmp_path, "站点,日期,总氮TN(mg/L)\nA,2019-08-20,1\n")
    assert "总氮TN(mg/L): tn?" in unsure(found)


def test_a_title_is_one_question(tmp_path: Path) -> None:
    """Lines of remarks above the names are asked about once, at the header."""
    found = draft(tmp_path, "# Survey, by us, and others\nStation,Date,TN (mg/L)\nA,2019-08-20,1\nB,2019-08-21,1\n")
    assert [text for text in found.unsure if "header" in text] == ["header: which rows hold names and units"]


def test_a_clock_alone_asks_for_its_day(tmp_path: Path) -> None:
    """One day in the field: the day stands in the mapping, unquoted as people write it, the clock in the file."""
    assert "of which day" in unsure(draft(tmp_path, "Site,Uhrzeit,TN mg/L\nA,9:05,1\nB,10:30,2\n"))
    found = draft(tmp_path, "Site,Time,TN mg/L\nA,9:05,1\nB,10:30,2\n")
    assert found.mapping is None
    assert "of which day" in unsure(found)
    mapping = parse_mapping(found.yaml().replace('constant: "",', "constant: 2016-08-08, zone: -04:00,"))
    times = read_observations(tmp_path / "a.csv", mapping).table.time
    assert [time.isoformat()[:16] for time in times] == ["2016-08-08T13:05", "2016-08-08T14:30"]


def test_year_month_and_day_in_columns(tmp_path: Path) -> None:
    """They are the parts of a time; with an hour the zone is asked for."""
    found = draft(tmp_path, "Lake,Year,Month,Day,TN mg/L\nA,2019,8,20,1\n")
    assert found.mapping is not None
    assert read_observations(tmp_path / "a.csv", found.mapping).table.time[0].isoformat()[:10] == "2019-08-20"
    assert "time.zone" in unsure(draft(tmp_path, "Lake,Year,Month,Day,Hour,TN mg/L\nA,2019,8,20,10,1\n"))


LONG = "Lake,Date,Parameter,Result,Unit\nA,2019-08-20,TN,1.2,mg/L\nA,2019-08-20,TP,20,ug/L\nA,2019-08-20,Gloop,3,m\n"


def test_one_value_per_row(tmp_path: Path) -> None:
    """Names in a column, units in another: the draft reads what is known, and tells what is not."""
    found = draft(tmp_path, LONG + "B,2019-08-20,Turbidity,<4,NTU\n")
    assert found.mapping is not None
    assert '#   "Gloop"' in found.yaml()
    assert "1 values below or above a limit" in unsure(found)
    read = read_observations(tmp_path / "a.csv", found.mapping)
    values = dict(zip(read.table.variable, read.table.value, strict=True))
    assert values == {"tn": 1.2, "tp": 0.02, "turbidity_ntu": 4.0}
    assert [issue.value for issue in read.issues] == ["Gloop"]
    with pytest.raises(MetadataError, match="no column looks like a measurement") as refused:
        draft(tmp_path, "Lake,Date,Parameter,Result\nA,2019-08-20,Gloop,1\n")
    assert "Gloop" in refused.value.got


def test_files_that_are_none(tmp_path: Path) -> None:
    """Absent, of no kind, a workbook that is none."""
    with pytest.raises(NotFoundError):
        describe(tmp_path / "absent.csv")
    with pytest.raises(AssetError, match="no known kind"):
        draft(tmp_path, b"\0\1\2", name="a.bin")
    with pytest.raises(AssetError, match="no workbook"):
        draft(tmp_path, b"PK", name="a.xlsx")


def ods(path: Path, tables: dict[str, list[list[str]]]) -> Path:
    """Write an ODS by hand (OpenDocument 1.3, part 3, section 9.1) whose cells are texts."""
    space = "urn:oasis:names:tc:opendocument:xmlns"
    names = " ".join(f'xmlns:{name}="{space}:{name}:1.0"' for name in ("office", "table", "text"))
    sheets = ""
    for name, rows in tables.items():
        cells = [
            [f'<table:table-cell office:value-type="string"><text:p>{text}</text:p></table:table-cell>' for text in row]
            for row in rows
        ]
        body = "".join(f"<table:table-row>{''.join(row)}</table:table-row>" for row in cells)
        sheets += f'<table:table table:name="{name}">{body}</table:table>'
    inner = f"<office:body><office:spreadsheet>{sheets}</office:spreadsheet></office:body>"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        text = (
            f'<?xml version="1.0" encoding="UTF-8"?><office:document-content {names}>{inner}</office:document-content>'
        )
        archive.writestr("content.xml", text)
        archive.writestr("META-INF/manifest.xml", f'<m:manifest xmlns:m="{space}:manifest:1.0"/>')
    return path


CHINESE = [["站点", "日期", "总氮\uff08mg/L\uff09"], ["A", "2019-08-20", "1.5"]]


def test_a_workbook_of_several_sheets(tmp_path: Path) -> None:
    """The first sheet is drafted, all are named."""
    found = describe(ods(tmp_path / "a.ods", {"Field": CHINESE, "Lab": CHINESE}))
    assert "sheet: which of Field, Lab?" in unsure(found)
    assert found.mapping is not None
    assert found.mapping.layout.sheet == "Field"
    assert found.mapping.columns[0].variable == "tn"
    assert read_observations(tmp_path / "a.ods", found.mapping).table.value.tolist() == [1.5]


def test_a_first_sheet_of_words_is_passed_over(tmp_path: Path) -> None:
    """The first sheet in which something is measured is drafted; if there is none, that is told."""
    words = [["Survey of lakes"], ["by an institute"]]
    found = describe(ods(tmp_path / "a.ods", {"Read me": words, "Lab": CHINESE}))
    assert found.mapping is not None
    assert found.mapping.layout.sheet == "Lab"
    assert read_observations(tmp_path / "a.ods", found.mapping).table.value.tolist() == [1.5]
    with pytest.raises(MetadataError, match="no column looks like a measurement"):
        describe(ods(tmp_path / "b.ods", {"Read me": words, "More": words}))
    with pytest.raises(AssetError):
        describe(ods(tmp_path / "c.ods", {"Read me": [], "More": []}))


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
    predicted = describe(poland / "predictions_testset.csv")
    assert "Śniardwy" in predicted.yaml()
    assert predicted.mapping is not None
    for path in sorted((data_dir / "water" / "harsha").glob("*.csv")):
        with pytest.raises(MetadataError, match="no column looks like a measurement"):
            describe(path)
    for folder, depths in (("ccrr", 0), ("valente", 1)):
        for path in (data_dir / "water" / folder).glob("*.csv"):
            found = describe(path)
            assert {line.split("variable: ")[1][:13] for line in found.yaml().splitlines() if "variable: " in line} <= {
                "chlorophyll_a",
                "suspended_mat",
            }
            assert "# Not read" in found.yaml()
            assert found.yaml().count("\ndepth:") == depths


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300) | st.text(alphabet='Tabc,;|\t\n\r"0159./- °\ue000é', max_size=150).map(str.encode))
def test_any_bytes_are_described_or_refused(tmp_path: Path, content: bytes) -> None:
    """No file breaks it; a draft that is complete is a valid mapping."""
    try:
        found = draft(tmp_path, content)
    except TerraCubeError:
        return
    assert set(read_plain(found.yaml())) >= {"kind", "about"}
    if found.mapping is not None:
        assert parse_mapping(found.yaml()) == found.mapping
