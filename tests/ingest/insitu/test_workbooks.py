"""Workbooks: XLSX and ODS written by hand, good ones, odd ones and hostile ones."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terracube.core.errors import AssetError, HostileInputError, InputError, MetadataError, TerraCubeError
from terracube.ingest.insitu import archives
from terracube.ingest.insitu.mapping import Layout, parse_mapping
from terracube.ingest.insitu.read import read_observations
from terracube.ingest.insitu.table import Observations, check
from terracube.ingest.insitu.workbooks import open_workbook

TN = "kind: csv\nstation: {column: Lake}\ntime: {column: Date, zone: UTC}\n"
TN += "columns: [{column: TN, variable: tn, unit: mg/L}]\n"


def rows(found: Observations, *names: str) -> list[tuple[Any, ...]]:
    """Give columns of the table as tuples."""
    return list(found.table[list(names)].itertuples(index=False, name=None))


def told(found: Observations) -> str:
    """Give all issues as one text."""
    return "\n".join(map(str, found.issues))


_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'


def xlsx(path: Path, sheets: dict[str, str], *, of_1904: bool = False, strings: str = "") -> Path:
    """Write an XLSX by hand (ECMA-376, part 1): sheet data as XML, styles 1 to 3 are a day, a moment, a clock."""
    numbers = range(1, len(sheets) + 1)
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
        f'<Relationship Id="r1" Type="{_REL}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_REL}"><workbookPr date1904="{int(of_1904)}"/><sheets>'
        + "".join(f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"/>' for n, name in zip(numbers, sheets, strict=True))
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
        + "".join(
            f'<Relationship Id="r{n}" Type="{_REL}/worksheet" Target="worksheets/sheet{n}.xml"/>' for n in numbers
        )
        + f'<Relationship Id="rs" Type="{_REL}/styles" Target="styles.xml"/>'
        + f'<Relationship Id="rt" Type="{_REL}/sharedStrings" Target="sharedStrings.xml"/></Relationships>',
        "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><cellXfs count="4"><xf numFmtId="0"/><xf numFmtId="14"/>'
        '<xf numFmtId="22"/><xf numFmtId="20"/></cellXfs></styleSheet>',
        "xl/sharedStrings.xml": f'<sst xmlns="{_MAIN}">{strings}</sst>',
        **{
            f"xl/worksheets/sheet{n}.xml": f'<worksheet xmlns="{_MAIN}">{data}</worksheet>'
            for n, data in zip(numbers, sheets.values(), strict=True)
        },
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, _XML + content)
    return path


def sheet(table: list[list[Any]]) -> str:
    """Write rows as sheet data; a tuple is (style, serial day), a text that starts with "<" is taken as it is."""
    lines = []
    for number, row in enumerate(table, start=1):
        cells = "".join(_cell(f"{chr(65 + at)}{number}", cell) for at, cell in enumerate(row))
        lines.append(f'<row r="{number}">{cells}</row>')
    return f"<sheetData>{''.join(lines)}</sheetData>"


def _cell(ref: str, cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return f'<c r="{ref}" t="b"><v>{int(cell)}</v></c>'
    if isinstance(cell, tuple):
        return f'<c r="{ref}" s="{cell[0]}"><v>{cell[1]}</v></c>'
    if isinstance(cell, str):
        text = cell.replace("&", "&amp;").replace("<", "&lt;")
        return (
            f'<c r="{ref}"{cell[1:]}'
            if cell.startswith("\0")
            else f'<c r="{ref}" t="inlineStr"><is><t>{text}</t></is></c>'
        )
    return f'<c r="{ref}"><v>{cell}</v></c>'


def ods(path: Path, rows_: str) -> Path:
    """Write an ODS by hand (OpenDocument 1.3, part 3, section 9.1): rows as XML."""
    space = "urn:oasis:names:tc:opendocument:xmlns"
    names = " ".join(f'xmlns:{name}="{space}:{name}:1.0"' for name in ("office", "table", "text"))
    inner = f'<office:spreadsheet><table:table table:name="Lakes">{rows_}</table:table></office:spreadsheet>'
    body = f"<office:document-content {names}><office:body>{inner}</office:body></office:document-content>"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", _XML + body)
        archive.writestr(
            "META-INF/manifest.xml",
            _XML + '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>',
        )
    return path


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


TIBET = [
    "Lake name",
    "Abbreviation",
    "Longitude",
    "Latitude",
    "CHL (ug/L)",
    "TN (mg/L)",
    "TP (mg/L)",
    "DTN (mg/L)",
    "DTP (mg/L)",
]
TIBET += ["NO3-N (mg/L)", "NO2-N (mg/L)", "NH4-N (mg/L)", "PO4-P (ug/L)", "TSS (mg/L)", "OSS (mg/L)", "ISS (mg/L)"]


def test_a_lake_survey_as_a_data_centre_publishes_it(tmp_path: Path) -> None:
    """Names in two languages, units per column, PO4-P in ug/L among mg/L, values below detection, the closure."""
    table = [
        TIBET,
        [
            "纳木错 Nam Co",
            "NAM",
            90.6,
            30.7,
            0.52,
            0.281,
            0.011,
            0.250,
            0.008,
            0.12,
            "<0.003",
            0.02,
            4.1,
            2.4,
            0.9,
            1.5,
        ],
        [
            "色林错 Siling Co",
            "SLC",
            88.9,
            31.8,
            1.31,
            0.910,
            0.034,
            0.702,
            0.021,
            0.31,
            0.004,
            "n.d.",
            12.0,
            5.5,
            2.0,
            3.5,
        ],
    ]
    found = read_observations(xlsx(tmp_path / "tibet.xlsx", {"Sheet1": sheet(table)}), "tibet-lakes-2019")
    wide = found.table.pivot(index="station", columns="variable", values="value")
    assert wide.loc["NAM", "po4_p"] == 4.1 / 1000
    assert (wide.dtp >= wide.po4_p).all()
    np.testing.assert_allclose(wide.suspended_matter, wide.suspended_matter_organic + wide.suspended_matter_inorganic)
    first = found.table[(found.table.station == "NAM") & (found.table.variable == "no2_n")].iloc[0]
    assert (first.censored, first.value, first.original_value, first.original_unit) == ("<", 0.003, "<0.003", "mg/L")
    assert first.station_name == "纳木错 Nam Co"
    assert found.table.loc[found.table.variable == "nh4_n", "censored"].tolist() == ["", "<"]
    assert found.about["attribution"] == "National Tibetan Plateau Data Center"


def test_a_unit_against_the_mapping_is_caught(tmp_path: Path) -> None:
    """If the next edition has PO4-P in mg/L, its column is refused and the others go on."""
    table = [
        [name.replace("PO4-P (ug/L)", "PO4-P (mg/L)") for name in TIBET],
        ["Nam Co", "NAM", 90.6, 30.7, *[1.0] * 12],
    ]
    found = read_observations(xlsx(tmp_path / "tibet.xlsx", {"Sheet1": sheet(table)}), "tibet-lakes-2019")
    assert "po4_p" not in set(found.table.variable)
    assert len(found.table) == 11
    assert "PO4-P (mg/L): the mapping says ug/L" in told(found)


BOOK = TN.replace("csv", "xlsx")


@pytest.mark.parametrize(("of_1904", "shift"), [(False, 0), (True, 1462)])
def test_dates_of_both_systems(tmp_path: Path, *, of_1904: bool, shift: int) -> None:
    """Cells marked as dates are dates, in the system of the workbook; midnight among times is a time."""
    table = [["Lake", "Date", "TN"], ["A", (2, 43697.5 - shift), 1], ["B", (2, 43698 - shift), 2]]
    found = read_observations(xlsx(tmp_path / "a.xlsx", {"S": sheet(table)}, of_1904=of_1904), parse_mapping(BOOK))
    assert [str(time)[:16] for time in found.table.time] == ["2019-08-20 12:00", "2019-08-21 00:00"]
    assert found.table.qc_tests.tolist() == ["", ""]


def test_serials_that_are_not_marked_need_to_be_declared(tmp_path: Path) -> None:
    """A bare number is a day only if the mapping says so; text dates stand beside."""
    path = xlsx(tmp_path / "a.xlsx", {"S": sheet([["Lake", "Date", "TN"], ["A", 43697, 1], ["B", "2019-08-21", 2]])})
    assert len(read_observations(path, parse_mapping(BOOK)).table) == 1
    found = read_observations(path, parse_mapping(BOOK.replace("zone: UTC", "format: excel")))
    assert [str(time)[:10] for time in found.table.time] == ["2019-08-20", "2019-08-21"]


def test_day_and_clock_cells(tmp_path: Path) -> None:
    """A day in one column, a clock in the next."""
    path = xlsx(tmp_path / "a.xlsx", {"S": sheet([["Lake", "Date", "Hour", "TN"], ["A", (1, 43697), (3, 0.4375), 1]])})
    found = read_observations(path, parse_mapping(BOOK.replace("zone: UTC", "clock: Hour, zone: UTC")))
    assert str(found.table.time[0])[:16] == "2019-08-20 10:30"


def test_cells_that_are_no_numbers(tmp_path: Path) -> None:
    """True, an error, a formula with its result and one without, a number with a decimal comma in a text."""
    cells = [True, '\0 t="e"><v>#DIV/0!</v></c>', "\0><f>1+1</f><v>2</v></c>", "\0><f>1+1</f></c>", "1,5", 0.1]
    table = [["Lake", "Date", "TN"], *[[f"L{at}", (1, 43697), cell] for at, cell in enumerate(cells)]]
    path = xlsx(tmp_path / "a.xlsx", {"S": sheet(table)})
    found = read_observations(path, parse_mapping(BOOK))
    assert rows(found, "station", "original_value", "qc") == [
        ("L0", "TRUE", 9),
        ("L2", "2", 2),
        ("L4", "1,5", 9),
        ("L5", "0.1", 2),
    ]
    assert "formulas without a stored result" in told(found)
    assert "an error of the spreadsheet" in told(found)
    comma = read_observations(path, parse_mapping(BOOK + 'layout: {decimal: ","}\n'))
    assert comma.table.value.dropna().tolist() == [2.0, 1.5, 0.1]


def test_merged_cells_count_for_all_they_cover(tmp_path: Path) -> None:
    """A merged title over two columns, and a lake over two rows."""
    table = [
        [None, None, "Nutrients", None],
        ["Lake", "Date", "TN", "TP"],
        ["A", (1, 43697), 1, 2],
        [None, (1, 43698), 3, 4],
    ]
    data = sheet(table) + '<mergeCells count="2"><mergeCell ref="C1:D1"/><mergeCell ref="A3:A4"/></mergeCells>'
    data = data.replace('<c r="B3"', '<c r="B3"')
    mapping = BOOK.replace("TN,", "Nutrients TN,") + "layout: {header_rows: 2}\n"
    found = read_observations(xlsx(tmp_path / "a.xlsx", {"S": data}), parse_mapping(mapping))
    assert rows(found, "station", "value", "source") == [("A", 1.0, "a.xlsx:3"), ("A", 3.0, "a.xlsx:4")]
    assert "2 merged cells count for all they cover" in found.notes


def test_several_sheets_must_be_chosen(tmp_path: Path) -> None:
    """By name or number; the message lists them."""
    one = sheet([["Lake", "Date", "TN"], ["A", (1, 43697), 1]])
    path = xlsx(tmp_path / "a.xlsx", {"Field": one, "Lab": one.replace("<v>1</v>", "<v>2</v>")})
    with pytest.raises(MetadataError, match="Field, Lab"):
        read_observations(path, parse_mapping(BOOK))
    for name in ("Lab", "2"):
        assert read_observations(path, parse_mapping(BOOK + f"layout: {{sheet: {name}}}\n")).table.value[0] == 2
    with pytest.raises(InputError, match="no such sheet"):
        read_observations(path, parse_mapping(BOOK + "layout: {sheet: Other}\n"))


def test_ods(tmp_path: Path) -> None:
    """Texts, numbers, dates, repeated cells and the endless empty rows that such files end with."""

    def text(value: str) -> str:
        return f'<table:table-cell office:value-type="string"><text:p>{value}</text:p></table:table-cell>'

    def number(value: float, repeat: int = 1) -> str:
        told = f'office:value="{value}" table:number-columns-repeated="{repeat}"'
        return f'<table:table-cell office:value-type="float" {told}/>'

    day = '<table:table-cell office:value-type="date" office:date-value="2019-08-20T10:30:00"/>'
    empty = '<table:table-cell table:number-columns-repeated="16380"/>'
    table = "".join(
        f"<table:table-row>{''.join(cells)}</table:table-row>"
        for cells in ([text("Lake"), text("Date"), text("TN"), text("TP")], [text("A"), day, number(1.5, 2), empty])
    )
    end = '<table:table-row table:number-rows-repeated="1048574">'
    end += '<table:table-cell table:number-columns-repeated="16384"/></table:table-row>'
    found = read_observations(ods(tmp_path / "a.ods", table + end), parse_mapping(TN.replace("csv", "ods")))
    assert rows(found, "station", "value", "source") == [("A", 1.5, "a.ods:2")]
    assert str(found.table.time[0])[:16] == "2019-08-20 10:30"


VALUE = 'office:value="1"'


def _bomb(path: Path, inside: str, name: str = "xl/worksheets/sheet1.xml") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, inside)
    return path


@pytest.mark.parametrize(
    "data",
    [
        '<sheetData><row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"/></row></sheetData>',
        '<sheetData><row r="99999999999"><c r="A99999999999"><v>1</v></c></row></sheetData>',
        f'<sheetData><row r="1"><c {" " * 5000}r="XFD1"/></row><row r="900000"><c r="A900000"/></row></sheetData>',
        '<sheetData><row r="1"><c r="AAAAAAA1"><v>1</v></c></row></sheetData>',
    ],
)
def test_sheets_that_span_the_world_are_refused(tmp_path: Path, data: str) -> None:
    """Two cells at far corners would fill the memory of a reader."""
    with pytest.raises(HostileInputError, match="spans"):
        open_workbook(xlsx(tmp_path / "a.xlsx", {"S": data}), Layout())


def test_long_texts_of_many_cells_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One long shared text that every cell refers to; short texts in as many cells are fine."""
    monkeypatch.setattr(archives, "_MAX_TEXT_BYTES", 100_000)
    cells = "".join(f'<row r="{at}"><c r="A{at}" t="s"><v>1</v></c></row>' for at in range(1, 200))
    path = xlsx(
        tmp_path / "a.xlsx",
        {"S": f"<sheetData>{cells}</sheetData>"},
        strings=f"<si><t>a</t></si><si><t>{'x' * 5000}</t></si>",
    )
    with pytest.raises(HostileInputError, match="texts"):
        open_workbook(path, Layout())
    calm = cells.replace("<v>1</v>", "<v>0</v>")
    path = xlsx(
        tmp_path / "b.xlsx",
        {"S": f"<sheetData>{calm}</sheetData>"},
        strings=f"<si><t>a</t></si><si><t>{'x' * 5000}</t></si>",
    )
    assert len(open_workbook(path, Layout()).grid) == 199


def test_zip_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what is claimed, by what comes out, and by the number of entries."""
    monkeypatch.setattr(archives, "_MAX_UNPACKED", 1 << 20)
    with pytest.raises(HostileInputError, match="when unpacked"):
        open_workbook(_bomb(tmp_path / "a.xlsx", " " * (2 << 20)), Layout())
    monkeypatch.setattr(archives, "_MAX_ENTRIES", 0)
    with pytest.raises(HostileInputError, match="entries"):
        open_workbook(_bomb(tmp_path / "b.xlsx", ""), Layout())


@pytest.mark.parametrize(
    "row",
    [
        f'<t-row t:number-rows-repeated="1048576"><t-cell {VALUE} t:number-columns-repeated="16384"/></t-row>',
        f'<t-row t:number-rows-repeated="99999999"/><t-row><t-cell {VALUE}/></t-row>',
        f'<t-row><t-cell t:number-columns-repeated="99999999"/><t-cell {VALUE}/></t-row>',
    ],
)
def test_repeated_cells_are_counted(tmp_path: Path, row: str) -> None:
    """A row that is repeated a million times, with a cell repeated as often."""
    with pytest.raises(HostileInputError, match="repeats"):
        open_workbook(ods(tmp_path / "a.ods", row.replace("t-", "table:table-").replace(" t:", " table:")), Layout())


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\xd0\xcf\x11\xe0" + b"\0" * 600, b"Lake,TN\n"])
def test_what_is_no_workbook(tmp_path: Path, content: bytes) -> None:
    """Empty, cut, of the old format, or a text under another name."""
    with pytest.raises(AssetError, match="no workbook"):
        read_observations(_written(tmp_path / "a.xlsx", content), parse_mapping(BOOK))


@pytest.mark.parametrize("number", ["-1e18", "999999999999", "1E+300"])
def test_days_beyond_counting_are_refused(tmp_path: Path, number: str) -> None:
    """A number in a cell marked as a day that no calendar reaches would make the reader panic."""
    table = [["Lake", "Date", "TN"], ["A", (1, 43697), (2, number)]]
    with pytest.raises(AssetError, match="no workbook"):
        open_workbook(xlsx(tmp_path / "a.xlsx", {"S": sheet(table)}), Layout())
    calm = [["Lake", "Date", "TN"], ["A", (1, 43697), float(number)]]
    assert open_workbook(xlsx(tmp_path / "b.xlsx", {"S": sheet(calm)}), Layout()).grid[1][2] == float(number)


def test_entities_are_refused(tmp_path: Path) -> None:
    """No workbook needs a document type."""
    with pytest.raises(HostileInputError, match="entities"):
        open_workbook(_bomb(tmp_path / "a.xlsx", '<!DOCTYPE x [<!ENTITY a "b">]><row/>'), Layout())


ANYTHING = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@ANYTHING
@given(st.binary(max_size=400), st.integers(0, 3000), st.booleans())
def test_any_damage_to_a_workbook_is_an_error_of_ours(tmp_path: Path, noise: bytes, at: int, insert: bool) -> None:
    """Bytes of the archive replaced or put between."""
    whole = xlsx(tmp_path / "good.xlsx", {"S": sheet([["Lake", "Date", "TN"], ["A", (1, 43697), 1]])}).read_bytes()
    broken = whole[:at] + noise + whole[at + (0 if insert else len(noise)) :]
    try:
        check(read_observations(_written(tmp_path / "a.xlsx", broken), parse_mapping(BOOK)).table)
    except TerraCubeError:
        return


@ANYTHING
@given(st.text(alphabet="<>/=\"rcvsft1234567890ABX '", max_size=120))
def test_any_sheet_is_a_table_or_an_error_of_ours(tmp_path: Path, data: str) -> None:
    """Sheets of broken XML."""
    good = sheet([["Lake", "Date", "TN"], ["A", (1, 43697), 1]])
    path = xlsx(tmp_path / "a.xlsx", {"S": good.replace("</sheetData>", data + "</sheetData>")})
    try:
        check(read_observations(path, parse_mapping(BOOK)).table)
    except TerraCubeError:
        return


@ANYTHING
@given(st.text(alphabet='<>/="tableowrnumbscp-:1234567890 ', max_size=120))
def test_any_ods_is_a_table_or_an_error_of_ours(tmp_path: Path, data: str) -> None:
    """Rows of broken XML."""
    try:
        read_observations(ods(tmp_path / "a.ods", data), parse_mapping(TN.replace("csv", "ods")))
    except TerraCubeError:
        return
