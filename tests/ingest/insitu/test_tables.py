"""Tables of measurements: messy files in, every delivered cell accounted for."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terracube.core.errors import (
    AssetError,
    BudgetError,
    InputError,
    MetadataError,
    NotFoundError,
    TerraCubeError,
)
from terracube.ingest.insitu import decoding, textfiles
from terracube.ingest.insitu.mapping import Mapping, parse_mapping
from terracube.ingest.insitu.read import read_observations
from terracube.ingest.insitu.table import Observations, check

type Read = Callable[..., Observations]
BASE = "kind: csv\nstation: {column: Lake}\ntime: {column: Date, zone: UTC}\n"
TN = BASE + "columns: [{column: TN, variable: tn, unit: mg/L}]\n"


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Write a file and read it by a mapping."""

    def reading(content: str | bytes, mapping: str = TN, name: str = "a.csv", encoding: str = "utf-8") -> Observations:
        path = tmp_path / name
        path.write_bytes(content.encode(encoding) if isinstance(content, str) else content)
        found = read_observations(path, parse_mapping(mapping))
        check(found.table)
        return found

    return reading


def rows(found: Observations, *names: str) -> list[tuple[Any, ...]]:
    """Give columns of the table as tuples."""
    return list(found.table[list(names)].itertuples(index=False, name=None))


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def told(found: Observations) -> str:
    """Give all issues as one text."""
    return "\n".join(map(str, found.issues))


@pytest.mark.parametrize(("delimiter", "decimal"), [(",", "."), (";", ","), (";", "."), ("\t", ","), ("|", ".")])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends(read: Read, delimiter: str, decimal: str, end: str) -> None:
    """The mark that cuts the rows evenly is found; numbers have the mark that is declared."""
    lines = [["Lake", "Date", "TN"], ["A", "2019-08-20", f"1{decimal}5"], ["B", "2019-08-21", f"2{decimal}5"]]
    found = read(end.join(delimiter.join(line) for line in lines), TN + f'layout: {{decimal: "{decimal}"}}\n')
    assert rows(found, "station", "value", "source") == [("A", 1.5, "a.csv:2"), ("B", 2.5, "a.csv:3")]


def test_mixed_line_ends_are_told(read: Read) -> None:
    """Rows of three systems in one file."""
    found = read(b"Lake,Date,TN\r\nA,2019-08-20,1\nB,2019-08-20,2\rC,2019-08-20,3\r\n")
    assert rows(found, "station", "value") == [("A", 1.0), ("B", 2.0), ("C", 3.0)]
    assert "mixed line endings" in found.notes


def test_two_even_marks_must_be_declared(read: Read) -> None:
    """Where comma and semicolon both cut evenly, no one is taken."""
    with pytest.raises(MetadataError, match="two marks"):
        read("Lake,x;Date,y;TN,z\nA,x;2019-08-20,y;1,z\n")


def test_blanks_as_delimiter(read: Read) -> None:
    """Columns lined up with blanks."""
    found = read("Lake   Date         TN\nA      2019-08-20   1.5\n", TN + 'layout: {delimiter: " "}\n')
    assert rows(found, "station", "value") == [("A", 1.5)]


@pytest.mark.parametrize(
    ("encoding", "lake"),
    [
        ("utf-8", "Śniardwy"),
        ("utf-8-sig", "纳木错"),
        ("utf-16", "纳木错"),
        ("utf-16-le", "Śniardwy"),
        ("utf-32", "纳木错"),
        ("gb18030", "纳木错"),
        ("cp1250", "Gopło"),
        ("iso8859-2", "Śniardwy"),
        ("cp1252", "Müritz"),
        ("latin-1", "Müritz"),
    ],
)
def test_encodings(read: Read, encoding: str, lake: str) -> None:
    """With a mark, or as UTF-8, or as declared; the name of the lake is whole."""
    by_itself = encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32")
    layout = "" if by_itself else f"layout: {{encoding: {encoding}}}\n"
    found = read(f"Lake,Date,TN\n{lake},2019-08-20,1\n", TN + layout, encoding=encoding)
    assert found.table.station[0] == lake


def test_encodings_are_not_guessed(read: Read) -> None:
    """Bytes that are no UTF-8 need their encoding told; the place is named."""
    with pytest.raises(MetadataError, match=r"line 2.*layout.encoding"):
        read("Lake,Date,TN\nGopło,2019-08-20,1\n", encoding="cp1250")
    with pytest.raises(AssetError, match="not of the encoding"):
        read(b"Lake,Date,TN\n\xff\xfe,2019-08-20,1\n", TN + "layout: {encoding: utf-8}\n")
    with pytest.raises(MetadataError, match="no such encoding"):
        read("Lake,Date,TN\nA,2019-08-20,1\n", TN + "layout: {encoding: klingon}\n")
    with pytest.raises(AssetError, match="zero bytes"):
        read("Lake,Date,TN\nA,2019-08-20,1\n", encoding="utf-16-le")


def test_quotes_blank_rows_comments_and_ragged_rows(read: Read) -> None:
    """Quoted line ends are one row, blank rows count and are no observation, short rows are filled, long ones told."""
    text = 'note\n"Lake\nname",Date,TN\nA,2019-08-20,1\n\n# c\nB,2019-08-20\nC,2019-08-20,3,,\n'
    text += "D,2019-08-20,4,x\nE,2019-08-20,5\n"
    mapping = TN.replace("Lake", "Lake name") + 'layout: {header: 2, comment: "#", delimiter: ","}\n'
    found = read(text, mapping)
    assert rows(found, "station", "source") == [("A", "a.csv:3"), ("C", "a.csv:7"), ("E", "a.csv:9")]
    assert "row 8, row: more cells than the 3 columns of the header: D,2019-08-20,4,x (left out)" in told(found)


def test_rows_of_notes_below_the_data_are_not_read(read: Read) -> None:
    """layout.last ends the table."""
    found = read("Lake,Date,TN\nA,2019-08-20,1\nmean,2019-08-20,1\n", TN + "layout: {last: 2}\n")
    assert len(found.table) == 1


def test_columns_by_number_without_names(read: Read) -> None:
    """header: 0; columns are numbers."""
    mapping = "kind: csv\nlayout: {header: 0}\nstation: {column: 1}\ntime: {column: 2}\n"
    mapping += "columns: [{column: 3, variable: tn, unit: mg/L}]\n"
    assert rows(read("A,2019-08-20,1\nB,2019-08-20,2\n", mapping), "station", "value") == [("A", 1.0), ("B", 2.0)]


def test_two_rows_of_names_and_a_row_of_units(read: Read) -> None:
    """Merged cells count for all they cover; the unit row is the unit of each column."""
    text = "Survey 2019,,,\n,,Nutrients,\nLake,Date,TN,TP\n,,(mg/L),(ug/L)\nA,2019-08-20,1,20\n"
    mapping = BASE + (
        "layout: {header: 2, header_rows: 2, unit_row: 4}\n"
        "columns: [{column: Nutrients TN, variable: tn}, {column: Nutrients TP, variable: tp}]\n"
    )
    found = read(text, mapping)
    assert rows(found, "variable", "value", "original_unit", "source") == [
        ("tn", 1.0, "mg/L", "a.csv:5"),
        ("tp", 0.02, "ug/L", "a.csv:5"),
    ]


def test_units_in_names(read: Read) -> None:
    """In brackets of any kind; a name is found with and without its unit."""
    text = "Lake,Date,TN (mg/L),Chl-a [µg L-1],PO4-P\uff08ug/L\uff09\nA,2019-08-20,1,5,24\n"
    mapping = BASE + (
        "columns: [{column: TN, variable: tn}, {column: 'Chl-a', variable: chlorophyll_a},\n"
        " {column: 'PO4-P', variable: po4_p}]\n"
    )
    assert rows(read(text, mapping), "variable", "value", "unit") == [
        ("tn", 1.0, "mg L-1"),
        ("chlorophyll_a", 5.0, "ug L-1"),
        ("po4_p", 0.024, "mg L-1"),
    ]


def test_a_unit_that_is_unknown_refuses_its_column_alone(read: Read) -> None:
    """Unknown, absent, of another quantity, against the file: each is told by its column, and the rest goes on."""
    text = "Lake,Date,TN,TP (furlong),Turb (FNU),PO4-P (ug/L),DOC\nA,2019-08-20,1,2,3,4,5\n"
    mapping = BASE + (
        "columns: [{column: TN, variable: tn, unit: mg/L}, {column: TP (furlong), variable: tp, unit: furlong},\n"
        " {column: Turb, variable: turbidity_ntu}, {column: PO4-P, variable: po4_p, unit: mg/L},\n"
        " {column: DOC, variable: doc}, {column: absent, variable: toc, unit: mg/L}]\n"
    )
    found = read(text, mapping)
    assert rows(found, "variable") == [("tn",)]
    refused = {issue.field: issue for issue in found.issues}
    assert all(issue.action == "refused" and issue.row is None for issue in found.issues)
    assert "unknown unit" in refused["TP (furlong)"].what
    assert "another quantity" in refused["Turb (FNU)"].what
    assert "another unit" in refused["PO4-P (ug/L)"].what
    assert "no unit" in refused["DOC"].what
    assert "no such column" in refused["absent"].what


def test_nothing_to_read_is_an_error(read: Read) -> None:
    """If all columns are refused, or no row is left, nothing is given as if it were a result."""
    with pytest.raises(AssetError, match="nothing could be read"):
        read("Lake,Date,TN\nA,2019-08-20,1\n", TN.replace("unit: mg/L", "unit: furlong"))
    with pytest.raises(AssetError):
        read("Lake,Date,TN\n")


def test_every_delivered_cell_is_accounted_for(read: Read) -> None:
    """Censored, undetected, absent, remarked, unreadable and empty cells, with their originals as delivered."""
    cells = ["<0.01", "> 200", "n.d.", "-", "NA", " 5 ", "12 J", "abc", "", "-999", "0"]
    text = "Lake,Date,TN\n" + "".join(f"L{at},2019-08-20,{cell}\n" for at, cell in enumerate(cells))
    found = read(text, TN.replace("unit: mg/L", "unit: ug/L, limit: 5"))
    assert found.table.original_value.tolist() == [cell for cell in cells if cell]
    assert found.table.censored.tolist() == ["<", ">", "<", "", "", "", "", "", "", ""]
    expected = [0.00001, 0.2, 0.005, np.nan, np.nan, 0.005, 0.012, np.nan, -0.999, 0.0]
    np.testing.assert_allclose(found.table.value, expected, rtol=1e-15)
    assert found.table.qc.tolist() == [2, 2, 2, 9, 9, 2, 3, 9, 3, 2]
    tests = [text.replace("day_only", "").strip(",") for text in found.table.qc_tests]
    assert tests == ["", "", "", "", "", "", "remark:3", "unreadable:9", "sentinel:3", ""]
    assert "row 9, TN: no number: abc (flagged)" in told(found)
    assert "row 11, TN: looks like" in told(found)


def test_undetected_without_a_limit_has_no_value(read: Read) -> None:
    """Below an unknown limit: censored, qc 9, told; never zero."""
    found = read("Lake,Date,TN\nA,2019-08-20,n.d.\n")
    assert rows(found, "censored", "qc") == [("<", 9)]
    assert np.isnan(found.table.value[0])
    assert "limit that is not told" in told(found)


def test_declared_marks_and_words(read: Read) -> None:
    """-999 as declared is missing, and so is a word; a declared word for "not detected" is censored."""
    mapping = TN.replace("unit: mg/L", "unit: mg/L, limit: 0.5") + "missing: [-999, lost]\nnot_detected: [trace]\n"
    found = read("Lake,Date,TN\nA,2019-08-20,-999.0\nB,2019-08-20,lost\nC,2019-08-20,trace\n", mapping)
    assert found.table.qc.tolist() == [9, 9, 2]
    assert found.table.censored.tolist() == ["", "", "<"]
    assert not found.issues


def test_limits_and_signs_of_columns(read: Read) -> None:
    """A column with the limit of each row, one with its sign, one with the producer's flag."""
    text = "Lake,Date,TN,sign,dl,flag\nA,2019-08-20,5,<,,ok\nB,2019-08-20,nd,,0.2,bad\n"
    text += "C,2019-08-20,7,=,,??\nD,2019-08-20,8,E,,\n"
    extra = "unit: mg/L, censor_column: sign, limit_column: dl, quality_column: flag"
    found = read(text, TN.replace("unit: mg/L", extra) + "quality: {ok: 1, bad: 4}\n")
    assert found.table.censored.tolist() == ["<", "<", "", ""]
    assert found.table.value.tolist() == [5.0, 0.2, 7.0, 8.0]
    assert found.table.qc.tolist() == [1, 4, 2, 3]
    assert "a flag that the mapping does not explain: ??" in told(found)


def test_duplicates_are_flagged_or_numbered(read: Read) -> None:
    """The first stays good; the same again and another value are told apart; replicates are numbered if declared."""
    text = "Lake,Date,TN\nA,2019-08-20,1\nA,2019-08-20,1\nA,2019-08-20,2\nB,2019-08-20,1\n"
    found = read(text)
    assert found.table.qc.tolist() == [2, 3, 3, 2]
    assert "row 3, TN: told twice: 1" in told(found)
    assert "row 4, TN: a second value for one station, time and depth: 2" in told(found)
    several = read(text, TN + "duplicates: replicates\n")
    assert several.table.replicate.tolist() == ["1", "2", "3", ""]
    assert not several.issues


def test_replicates_of_a_column_are_no_duplicates(read: Read) -> None:
    """Nor are two depths, or two methods."""
    text = "Lake,Date,TN,rep,z\nA,2019-08-20,1,a,0\nA,2019-08-20,1,b,0\nA,2019-08-20,1,a,5\n"
    found = read(text, TN + "replicate_column: rep\ndepth: {column: z, unit: cm}\n")
    assert found.table.qc.tolist() == [2, 2, 2]
    assert found.table.depth.tolist() == [0.0, 0.0, 0.05]


def test_rows_without_station_or_time_are_left_out_and_told(read: Read) -> None:
    """Nothing is dropped silently."""
    text = "Lake,Date,TN\n,2019-08-20,1\nA,yesterday,2\nA,2019-08-20 10:00,3\n"
    found = read(text)
    assert len(found.table) == 1
    assert {(issue.row, issue.field, issue.action) for issue in found.issues} == {
        (2, "station", "left out"),
        (3, "time", "left out"),
    }


def test_doubtful_times_are_kept_and_told(read: Read) -> None:
    """An hour that comes twice, one that never comes, a day to come."""
    text = "Lake,Date,TN\nA,2019-10-27 02:30,1\nA,2019-03-31 02:30,2\nA,2250-01-01 00:00,3\nA,2019-05-01 00:00,4\n"
    found = read(text, TN.replace("UTC", "Europe/Warsaw"))
    assert found.table.qc_tests.tolist() == ["dst_ambiguous:3", "dst_nonexistent:3", "future:3", ""]
    assert found.table.qc.tolist() == [3, 3, 3, 2]
    assert [issue.action for issue in found.issues] == ["flagged"] * 3


def test_times_need_a_zone_and_days_do_not(read: Read) -> None:
    """A time of day without a zone is refused; a day without one is a day."""
    with pytest.raises(MetadataError, match="no zone"):
        read("Lake,Date,TN\nA,2019-08-20 10:00,1\n", TN.replace(", zone: UTC", ""))
    found = read("Lake,Date,TN\nA,2019-08-20,1\n", TN.replace(", zone: UTC", ""))
    assert found.table.qc_tests[0] == "day_only"
    assert any("day and no time of day" in note for note in found.notes)


def test_day_and_month_only_as_declared(read: Read) -> None:
    """05/08/2019 is what the mapping says, and is no time if it says nothing."""
    text = "Lake,Date,TN\nA,05/08/2019,1\n"
    with pytest.raises(AssetError, match="no row has a time"):
        read(text)
    for form, day in (("%d/%m/%Y", "2019-08-05"), ("%m/%d/%Y", "2019-05-08")):
        found = read(text, TN.replace("zone: UTC", f'format: "{form}"'))
        assert found.table.time[0] == pd.Timestamp(day, tz="UTC")


def test_periods_and_constants(read: Read) -> None:
    """A survey that tells its months only has their middle, and says so; a constant is for all rows."""
    found = read("Lake,TN\nA,1\n", TN.replace("column: Date, zone: UTC", "constant: 2019-08-01/2019-09-30"))
    assert found.table.time[0] == pd.Timestamp("2019-08-31", tz="UTC")
    assert found.table.qc_tests[0] == "period"
    assert any("only the period" in note for note in found.notes)
    found = read("Lake,TN\nA,1\n", TN.replace("column: Date, zone: UTC", "constant: 2019-08-01T10:00Z"))
    assert found.table.qc_tests[0] == ""
    with pytest.raises(MetadataError, match="no period"):
        read("Lake,TN\nA,1\n", TN.replace("column: Date, zone: UTC", "constant: summer/2019"))


def test_times_of_several_columns(read: Read) -> None:
    """Date and clock; year, month and day; a zone per row."""
    found = read("Lake,Date,Hour,TN\nA,2019-08-20,10:30,1\n", TN.replace("zone: UTC", "clock: Hour, zone: '+08:00'"))
    assert found.table.time[0] == pd.Timestamp("2019-08-20T02:30Z")
    parts = "parts: {year: Y, month: M, day: D}"
    found = read("Lake,Y,M,D,TN\nA,2019,8,20,1\n", TN.replace("column: Date, zone: UTC", parts))
    assert found.table.time[0] == pd.Timestamp("2019-08-20", tz="UTC")
    found = read("Lake,Date,tz,TN\nA,2019-08-20 10:00,EST,1\n", TN.replace("zone: UTC", "zone_column: tz"))
    assert found.table.time[0] == pd.Timestamp("2019-08-20T15:00Z")


def test_positions(read: Read) -> None:
    """Degrees, degrees with minutes, projected metres, one for all, by station; what is no position is NaN and told."""
    text = "Lake,Date,TN,x,y\nA,2019-08-20,1,21.5,53.7\nB,2019-08-20,1,abc,53\n"
    found = read(text, TN + "position: {lon: x, lat: y, crs: EPSG:4326}\n")
    assert found.table.lon[0] == 21.5
    assert found.table[["lon", "lat"]].isna().to_numpy()[1].all()
    assert "row 3, x: no number: abc (flagged)" in told(found)
    found = read(
        "Lake,Date,TN,x,y\nA,2019-08-20,1,21°30'E,53 42 0 N\n",
        TN + "position: {lon: x, lat: y, crs: EPSG:4326, style: dms}\n",
    )
    assert rows(found, "lon", "lat") == [(21.5, 53.7)]
    found = read("Lake,Date,TN\nA,2019-08-20,1\n", TN + "position: {constant: [500000, 0], crs: EPSG:32633}\n")
    np.testing.assert_allclose(found.table[["lon", "lat"]].to_numpy(), [[15.0, 0.0]], atol=1e-9)
    found = read(
        "Lake,Date,TN\nA,2019-08-20,1\nB,2019-08-20,1\n", TN + "position: {stations: {A: [1, 2]}, crs: EPSG:4326}\n"
    )
    assert found.table.lon.isna().tolist() == [False, True]


def test_depths(read: Read) -> None:
    """Positive down; an up-pointing column turns; a column may have a depth of its own."""
    text = "Lake,Date,TN,z\nA,2019-08-20,1,-2\n"
    assert read(text, TN + "depth: {column: z, positive: up}\n").table.depth[0] == 2.0
    assert read(text, TN.replace("unit: mg/L", "unit: mg/L, depth: 7") + "depth: {constant: 1}\n").table.depth[0] == 7.0


def test_heights_keep_their_datum(read: Read) -> None:
    """A water level says what it is above."""
    found = read(
        "Lake,Date,h\nA,2019-08-20,123\n",
        BASE + "columns: [{column: h, variable: water_level, unit: cm, datum: NAP, method: float gauge}]\n",
    )
    assert rows(found, "value", "method") == [(1.23, "float gauge; datum NAP")]


def test_long_tables(read: Read) -> None:
    """A row per value, its own unit, limit and method; unknown names are told; an empty value is missing."""
    text = (
        "Lake,Date,param,val,unit,dl,dlunit,how\n"
        "A,2019-08-20,Chl,5,ug/L,,,HPLC\n"
        "A,2019-08-20,Chl,nd,mg/L,1,ug/L,\n"
        "A,2019-08-20,Zn,5,ug/L,,,\n"
        "A,2019-08-21,Chl,,ug/L,,,\n"
        "A,2019-08-22,Chl,3,furlong,,,\n"
        "A,2019-08-22,Temp,50,degF,,,\n"
    )
    mapping = BASE + (
        "method: lab\nlong: {variable_column: param, value_column: val, unit_column: unit, limit_column: dl,\n"
        " limit_unit_column: dlunit, method_column: how,\n"
        " variables: {Chl: {variable: chlorophyll_a}, Temp: {variable: water_temperature}}}\n"
    )
    found = read(text, mapping)
    table = found.table.sort_values("source")
    assert table.source.tolist() == ["a.csv:2", "a.csv:3", "a.csv:5", "a.csv:7"]
    assert table.value.tolist()[:2] == [5.0, 1.0]
    assert table.method.tolist() == ["HPLC", "lab", "lab", "lab"]
    assert table.censored.tolist() == ["", "<", "", ""]
    assert table.qc.tolist() == [2, 2, 9, 2]
    assert table.value.tolist()[3] == pytest.approx(10.0)
    assert "Zn (left out)" in told(found)
    assert "furlong (refused)" in told(found)


def test_columns_that_nobody_mapped_are_told(read: Read) -> None:
    """Except those known to be something else."""
    found = read("Lake,Date,TN,TP,note\nA,2019-08-20,1,2,x\n", TN + "ignore: [note]\n")
    assert any("1 columns are not in the mapping: TP" in note for note in found.notes)


@pytest.mark.parametrize(
    ("mapping", "error", "message"),
    [
        (TN.replace("Lake", "Lakes"), InputError, "no such column.*Lake"),
        (TN.replace("column: TN", "column: 9"), AssetError, "no such column"),
        (TN.replace("station: {column: Lake}\n", ""), MetadataError, "no station"),
        (TN.replace("time: {column: Date, zone: UTC}\n", ""), MetadataError, "no time"),
        (TN + "layout: {header: 99}\n", InputError, "no such row"),
    ],
)
def test_mappings_that_do_not_fit(read: Read, mapping: str, error: type[TerraCubeError], message: str) -> None:
    """What a mapping names must be in the file."""
    with pytest.raises(error, match=message):
        read("Lake,Date,TN\nA,2019-08-20,1\n", mapping)


def test_columns_of_one_name_are_told_apart_by_number(read: Read) -> None:
    """Two columns TN: the mapping must say which."""
    text = "Lake,Date,TN,TN\nA,2019-08-20,1,2\n"
    with pytest.raises(AssetError, match="several of that name"):
        read(text)
    assert read(text, TN.replace("column: TN", "column: 4")).table.value.tolist() == [2.0]


def test_a_table_needs_a_mapping_and_a_file(tmp_path: Path) -> None:
    """Neither is guessed."""
    path = tmp_path / "a.csv"
    path.write_text("Lake,Date,TN\nA,2019-08-20,1\n")
    with pytest.raises(MetadataError, match="needs a mapping"):
        read_observations(path)
    with pytest.raises(NotFoundError):
        read_observations(tmp_path / "absent.csv", parse_mapping(TN))
    with pytest.raises(AssetError, match="no known kind"):
        read_observations(_written(tmp_path / "a.bin", b"\x00\x01"))


def test_too_large_and_too_many(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes and cells are bounded before anything is made of them."""
    monkeypatch.setattr(textfiles, "_MAX_CELLS", 5)
    with pytest.raises(BudgetError, match="cells"):
        read("Lake,Date,TN\nA,2019-08-20,1\n")
    monkeypatch.setattr(decoding, "MAX_BYTES", 5)
    with pytest.raises(BudgetError, match="too large"):
        read("Lake,Date,TN\nA,2019-08-20,1\n")


def test_rows_come_out_in_the_order_of_the_file_whatever_the_blocks(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small blocks of the parser give the same table as large ones, with ragged rows between."""
    lines = [f"L{at},2019-08-20,{at}" if at % 7 else f"L{at},2019-08-20" for at in range(1, 2000)]
    text = "Lake,Date,TN\n" + "\n".join(lines) + "\n"
    whole = read(text).table
    monkeypatch.setattr(textfiles, "_BLOCK", 1000)
    pd.testing.assert_frame_equal(read(text).table, whole)
    assert whole.source.tolist() == [f"a.csv:{at + 1}" for at in range(1, 2000) if at % 7]


def test_national_lakes_assessment(data_dir: Path) -> None:
    """Every cell of 23 columns; the ions in mg/L give back the producer's own sum in ueq/L; places on land."""
    path = data_dir / "insitu" / "nla2007-lakes" / "ltmData.csv"
    found = read_observations(path, "nla2007-lakes")
    assert len(found.table) == 23 * 1148
    assert not found.issues
    with path.open(encoding="utf-8") as stream:
        delivered = list(csv.DictReader(stream))
    wide = found.table.pivot(index="source", columns="variable", values="value")
    wide = wide.loc[[f"ltmData.csv:{at}" for at in range(2, 1150)]]
    ions = {"calcium": 2 / 40.078, "magnesium": 2 / 24.305, "sodium": 1 / 22.99, "potassium": 1 / 39.098}
    total = sum(wide[name] * 1000 * charge for name, charge in ions.items())
    base = np.array([float(row["SOBC"]) for row in delivered])
    np.testing.assert_allclose(total, base, rtol=2e-3, atol=0.5)
    np.testing.assert_array_equal(wide["tn"], np.array([float(row["NTL"]) for row in delivered]) / 1000)
    assert (found.table[found.table.original_value == "NA"].qc == 9).all()
    assert found.table.lat.between(25, 49.1).all()
    assert found.table.lon.between(-125, -66).all()


def test_lake_temperatures_of_poland(data_dir: Path) -> None:
    """Semicolons, decimal commas, all 65 044 values; the table of stations needs its encoding told."""
    folder = data_dir / "insitu" / "lakes-temperature-poland"
    found = read_observations(folder / "lakes_temp.csv", "lakes-temperature-poland")
    expected = pd.read_csv(folder / "lakes_temp.csv", sep=";", decimal=",", dtype={"ID": str})
    assert len(found.table) == len(expected)
    np.testing.assert_array_equal(found.table.value, expected["T"])
    assert found.table.station.tolist() == expected.ID.tolist()
    assert found.table.original_value[0] == "2,8"
    mapping = 'kind: csv\nlayout: {decimal: ",", encoding: cp1250}\nstation: {column: lake}\ntime: {column: date}\n'
    mapping += "columns: [{column: T, variable: water_temperature, unit: K}]\n"
    stations = set(read_observations(folder / "predictions_testset.csv", parse_mapping(mapping)).table.station)
    assert "Jez. Śniardwy" in stations


def test_cruise_of_the_north_sea(data_dir: Path) -> None:
    """Tabs, an empty Secchi depth, units that only the mapping knows."""
    path = next((data_dir / "water" / "olci-northsea").rglob("summercruise_2017_positions_for_pixex.txt"))
    mapping = Mapping.model_validate(
        {
            "kind": "csv",
            "station": {"column": "Name"},
            "time": {"column": "DateTime", "zone": "UTC"},
            "position": {"lon": "longitude", "lat": "latitude", "crs": "EPSG:4326"},
            "columns": [
                {
                    "column": "Chlorophyll-a_Jeff_Humphr",
                    "variable": "chlorophyll_a",
                    "unit": "ug/L",
                    "method": "Jeffrey and Humphrey",
                },
                {"column": "Phaeophytin_Jeff_Humphr", "variable": "phaeophytin", "unit": "ug/L"},
                {"column": "SD", "variable": "secchi_depth", "unit": "m"},
            ],
        }
    )
    found = read_observations(path, mapping)
    counts = found.table.groupby("variable").size().to_dict()
    assert counts["chlorophyll_a"] == 36
    assert counts["secchi_depth"] < 36
    assert found.table.iloc[0][["station", "lon", "value"]].tolist() == ["GN003", 8.111166667, 5.939]


ANYTHING = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@ANYTHING
@given(
    st.binary(max_size=300),
    st.sampled_from(["", "utf-8", "utf-16-le", "gb18030", "cp1250"]),
    st.sampled_from(["", ",", " "]),
)
def test_any_bytes_are_a_table_or_an_error_of_ours(
    tmp_path: Path, content: bytes, encoding: str, delimiter: str
) -> None:
    """Bytes of any kind, as text."""
    mapping = Mapping.model_validate(
        {
            "kind": "csv",
            "layout": {"encoding": encoding, "delimiter": delimiter, "comment": "#"},
            "station": {"column": 1},
            "time": {"constant": "2020-01-01"},
            "columns": [{"column": 2, "variable": "tn", "unit": "mg/L"}],
        }
    )
    try:
        check(read_observations(_written(tmp_path / "a.csv", content), mapping).table)
    except TerraCubeError:
        return


@ANYTHING
@given(st.lists(st.lists(st.text(alphabet='ab,;"\n\r<>0159.-\t nN', max_size=8), max_size=5), max_size=8))
def test_any_cells_are_a_table_or_an_error_of_ours(tmp_path: Path, table: list[list[str]]) -> None:
    """Cells of any kind behind a proper header: whatever comes out keeps the contract."""
    text = io.StringIO()
    csv.writer(text).writerows([["Lake", "Date", "TN"], ["A", "2019-08-20", "1"], *table])
    path = _written(tmp_path / "a.csv", text.getvalue().encode())
    try:
        found = read_observations(path, parse_mapping(TN + 'layout: {delimiter: ","}\n'))
    except TerraCubeError:
        return
    check(found.table)
    assert len(found.table) >= 1
