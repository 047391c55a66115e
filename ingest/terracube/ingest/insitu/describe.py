"""A draft of a mapping for a file, with all that a person must confirm."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from terracube.core.errors import AssetError, InputError, MetadataError, NotFoundError, TerraCubeError
from terracube.ingest.insitu import charsets, guesses
from terracube.ingest.insitu.decoding import decode, read_bytes
from terracube.ingest.insitu.features import LON, open_features
from terracube.ingest.insitu.headers import Named, converts, nothing_measured, read_name, trailing_units
from terracube.ingest.insitu.mapping import Layout, Mapping, parse_mapping
from terracube.ingest.insitu.plainyaml import printable, quoted
from terracube.ingest.insitu.positions import is_dms
from terracube.ingest.insitu.raw import Cells, Head, RawTable
from terracube.ingest.insitu.read import kind_of
from terracube.ingest.insitu.textfiles import open_text
from terracube.ingest.insitu.unittext import is_unit
from terracube.ingest.insitu.vocabulary import vocabulary
from terracube.ingest.insitu.workbooks import SheetTable, open_workbook

_SAMPLE = 5000
_MAX_SHEETS = 10
#: Share of control characters in what is still a text.
_MAX_STRANGE = 0.005


@dataclass(frozen=True, slots=True)
class Described:
    """A draft of a mapping."""

    text: str
    """YAML, to be saved, confirmed and given back; comments tell what is not sure."""
    unsure: tuple[str, ...]
    """What a person must confirm or fill in."""
    mapping: Mapping | None
    """The draft as it stands, if it is complete enough to be one."""

    def yaml(self) -> str:
        """Give the text of the draft."""
        return self.text


def describe(path: Path | str) -> Described:
    """Look at a file and draft its mapping.

    Nothing of it is used without being confirmed: reading takes a mapping, never a guess.

    Raises
    ------
    NotFoundError
        If there is no such file.
    MetadataError
        If no column looks like a measurement: what there is, and how a mapping is written by hand.
    TerraCubeError
        If it is none that can be read.
    """
    path = Path(path)
    if not path.is_file():
        raise NotFoundError("no such file", where=str(path))
    kind = kind_of(path)
    if kind not in ("csv", "xlsx", "ods", "gpkg"):
        told = f"# {printable(path.name)} tells by itself what it holds. A mapping is needed only to add to that."
        text = f"{told}\nkind: {kind}\n"
        return Described(text, (), parse_mapping(text))
    drafter, text = _drafted(path, kind)
    try:
        mapping = parse_mapping(text)
    except InputError:
        mapping = None
    return Described(text, tuple(drafter.unsure), mapping)


def _drafted(path: Path, kind: str) -> tuple[_Drafter, str]:
    """Draft the first sheet, or layer, in which something is measured: the first of a workbook is often a title."""
    refusal: TerraCubeError | None = None
    for sheet in range(1, _MAX_SHEETS + 1):
        drafter = _Drafter(path.name, kind, sheet)
        openers = {"csv": drafter.open_text, "gpkg": drafter.open_features}
        try:
            return drafter, drafter.text(openers.get(kind, drafter.open_workbook)(path))
        except (AssetError, InputError, MetadataError) as error:
            refusal = refusal or error
            if not drafter.several or isinstance(error, InputError):
                break
    raise refusal or InputError("no sheet", where=path.name)


@dataclass(slots=True)
class _Drafter:
    """Collects lines of YAML and what is unsure."""

    source: str
    kind: str
    sheet: int = 1
    """Which to take, where there are several."""
    several: bool = False
    unsure: list[str] = field(default_factory=list)
    layout: list[str] = field(default_factory=list)
    decimal: str = "."
    thousands: str = ""

    def doubt(self, *what: str) -> str:
        """Note what is unsure; give a comment that says so."""
        what = tuple(printable(text) for text in what)
        self.unsure.extend(what)
        return f"  # UNSURE: {'; '.join(what)}" if what else ""

    def open_text(self, path: Path) -> RawTable:
        """Guess encoding and layout of a text and open it so."""
        content, encoding = read_bytes(path), ""
        try:
            decoded = decode(content, where=path.name)
        except TerraCubeError:
            encoding, readings = charsets.guess_encoding(content)
            decoded = decode(content, encoding=encoding, where=path.name)
            self.layout.append(f"encoding: {encoding}" + self.doubt(f"encoding: it reads as {' / '.join(readings)}"))
        head = decoded.content[: 1 << 20].decode("utf-8", errors="ignore")
        if (strange := charsets.strange_part(head)) > _MAX_STRANGE:
            raise AssetError(
                "no table of text",
                where=path.name,
                expected="lines of letters and numbers, with commas, semicolons or tabs between them",
                got=f"{strange:.0%} of its characters are no text in any encoding that is known",
            )
        found = guesses.guess_layout(head)
        layout = Layout(
            encoding=encoding,
            delimiter=found.delimiter,
            header=found.header,
            header_rows=found.header_rows,
            unit_row=found.unit_row,
        )
        self.layout.append(
            f"delimiter: {json.dumps(found.delimiter)}"
            + self.doubt(*[text for text in found.unsure if "delimiter" in text])
        )
        self._say_header(found)
        return open_text(path, layout)

    def open_workbook(self, path: Path) -> RawTable:
        """Open the first sheet, and guess where the names stand."""
        try:
            first = open_workbook(path, Layout(header=0))
        except MetadataError as error:
            first = self._chosen(open_workbook, path, error.got)
        sheet = first.sheets[self.sheet - 1] if self.several else None
        shown = first.cells(range(len(first.head.names)), 50)
        rows = [list(row) for row in zip(*(column.to_pylist() for column in shown.columns.values()), strict=True)]
        found = guesses.guess_header(rows)
        self._say_header(found)
        layout = Layout(sheet=sheet, header=found.header, header_rows=found.header_rows, unit_row=found.unit_row)
        return open_workbook(path, layout)

    def open_features(self, path: Path) -> RawTable:
        """Open a layer: the one there is, or the first."""
        try:
            return open_features(path, Layout())
        except MetadataError as error:
            return self._chosen(open_features, path, error.got)

    def _chosen(self, opener: Callable[[Path, Layout], SheetTable], path: Path, names: object) -> SheetTable:
        """Open the sheet that is drafted of several, and say so."""
        self.several = True
        opened = opener(path, Layout(header=0, sheet=self.sheet))
        doubt = self.doubt(f"sheet: which of {names}?")
        self.layout.append(f"sheet: {quoted(opened.sheets[self.sheet - 1])}{doubt}")
        return opened

    def _say_header(self, found: guesses.Layoutish) -> None:
        self.layout.append(f"header: {found.header}" + self.doubt(*[text for text in found.unsure if "header" in text]))
        if found.header_rows > 1:
            self.layout.append(f"header_rows: {found.header_rows}")
        if found.unit_row:
            self.layout.append(f"unit_row: {found.unit_row}")

    def text(self, raw: RawTable) -> str:
        """Write the draft."""
        cells = raw.cells(range(len(raw.head.names)), _SAMPLE)
        roles = guesses.guess_roles(raw.head, cells)
        self.decimal, told = guesses.guess_decimal(cells.columns) if self.kind == "csv" else (".", [])
        self.thousands = guesses.guess_thousands(cells.columns, self.decimal) if self.kind == "csv" else ""
        if self.decimal == "," or told:
            self.layout.append(f'decimal: "{self.decimal}"' + self.doubt(*told))
        if self.thousands:
            doubt = f"thousands: numbers such as 1{self.thousands}234{self.decimal}5"
            self.layout.append(f'thousands: "{self.thousands}"' + self.doubt(doubt))
        parts = {} if "time" in roles else guesses.guess_parts(raw.head.names)
        taken = {*roles.values(), *parts.values()}
        measured = self._columns(raw.head, cells, taken)
        lines = [
            f"# Draft of what {printable(self.source)} means. Confirm it; nothing is read by a guess.",
            f"kind: {self.kind}",
            'about: {title: "", attribution: "", licence: "", doi: "", url: ""}',
            *(["layout:", *[f"  {line}" for line in self.layout]] if self.layout else []),
            *self._time(raw.head, cells, roles),
            *self._place(raw.head, cells, roles),
            *measured,
        ]
        summary = [f"#   - {what}" for what in self.unsure]
        title = f"# To confirm ({len(summary)}):" if summary else "# All is sure."
        return "\n".join([lines[0], title, *summary, *lines[1:], ""])

    def _time(self, head: Head, cells: Cells, roles: dict[str, int]) -> list[str]:
        if "time" not in roles and (parts := guesses.guess_parts(head.names)):
            told = ", ".join(f"{part}: {_ref(head, at)}" for part, at in parts.items())
            lines = [f"time:{self.doubt('time.parts: are these the parts of the time?')}", f"  parts: {{{told}}}"]
            return [*lines, self._zone()] if "hour" in parts else lines
        at = roles.get("time", roles.get("clock"))
        if at is None:
            note = self.doubt("time: no column of times was found; give time.column, parts or constant")
            return [f"time: {{}}{note}"]
        if len({"time", "clock"} & set(roles)) == 1 and guesses.is_clock(cells.columns[at]):
            note = self.doubt("time.constant: a time of day alone; of which day?", "time.zone: UTC, or the local zone?")
            return [f'time: {{constant: "", clock: {_ref(head, at)}}}{note}']
        form = guesses.guess_times(cells.columns[at], cells.rows)
        lines = ["time:", f"  column: {_ref(head, at)}"]
        if "clock" in roles:
            lines.append(
                f"  clock: {_ref(head, roles['clock'])}" + self.doubt("time.clock: a column with the time of day?")
            )
        if form.form:
            lines.append(f"  format: {quoted(form.form)}" + self.doubt(*form.unsure))
        else:
            lines.append("  # format:" + self.doubt(*form.unsure))
        if "clock" in roles if form.day_only else not form.zoned:
            lines.append(self._zone())
        return lines

    def _zone(self) -> str:
        return "  # zone: UTC" + self.doubt("time.zone: times have none; UTC, or the local zone?")

    def _place(self, head: Head, cells: Cells, roles: dict[str, int]) -> list[str]:
        lines = []
        if "station" in roles:
            lines.append(
                f"station: {{column: {_ref(head, roles['station'])}}}"
                + self.doubt("station: is this the id of stations?")
            )
        else:
            lines.append('station: {constant: ""}' + self.doubt("station: no column was found"))
        if "lon" in roles and "lat" in roles:
            refs = f"lon: {_ref(head, roles['lon'])}, lat: {_ref(head, roles['lat'])}"
            refs += ", style: dms" if is_dms(cells.columns[roles["lon"]]) else ""
            if head.names[roles["lon"]] == LON:  # they are made so, whatever the layer's system is
                lines.append(f"position: {{{refs}, crs: EPSG:4326}}")
            elif guesses.guess_role(head.names[roles["lon"]]) and guesses.in_degrees(head.names[roles["lon"]]):
                lines.append(f"position: {{{refs}, crs: EPSG:4326}}" + self.doubt("position.crs: is it WGS 84?"))
            else:
                lines.append(
                    f"# position: {{{refs}, crs: }}"
                    + self.doubt("position.crs: projected coordinates of which system?")
                )
        else:
            lines.append("# position: {lon: , lat: , crs: }" + self.doubt("position: no columns were found"))
        if "depth" in roles:
            name = head.names[roles["depth"]]
            behind = [unit for _, unit in trailing_units(name) if converts(unit, vocabulary()["water_depth"])]
            unit = head.units[roles["depth"]] or next(iter(behind), "")
            lines.append(
                f"depth: {{column: {_ref(head, roles['depth'])}, unit: {unit or 'm'}}}"
                + self.doubt("depth: of the sample, in this unit?")
            )
        if "replicate" in roles:
            lines.append(f"replicate_column: {_ref(head, roles['replicate'])}")
        return lines

    def _columns(self, head: Head, cells: Cells, taken: set[int]) -> list[str]:
        lines, marks = [], {}
        other: list[int] = []
        wordy: list[int] = []
        for at, name in enumerate(head.names):
            if at in taken or not name:
                continue
            named = read_name(name, head.units[at])
            numbers, odd, below, numeric = guesses.guess_marks(cells.columns[at], self.decimal, self.thousands)
            if not named.terms or not numeric:
                (other if not named.terms else wordy).append(at)
                continue
            lines.append(f"  - {self._measured([f'column: {_ref(head, at)}'], name, named, below=below)}")
            if odd:
                self.doubt(f"{name}: these are no numbers: {', '.join(odd)[:120]}")
            marks.update(dict.fromkeys(numbers, name))
        if not lines:
            return self._long(head, cells)
        if told := [head.names[at] for at in wordy]:
            self.doubt(f"not read, for these hold few numbers or none: {', '.join(told)[:300]}")
        unread = [_ref(head, at) for at in (*other, *wordy)]
        return [*self._missing(list(marks)), "columns:", *lines, *guesses.unread(unread)]

    def _missing(self, marks: list[float]) -> list[str]:
        doubt = f'missing: {marks} look like marks for "no value"'
        return [f"missing: {json.dumps(marks)}" + self.doubt(doubt)] if marks else []

    def _measured(self, fields: list[str], name: str, named: Named, *, below: int = 0, apart: bool = False) -> str:
        """Draft what a column, or a name in the column of names, is; a unit that stands ``apart`` is not repeated."""
        term, unit, doubts = named.terms[0], named.unit, []
        if len(named.terms) > 1 or not named.sure:
            doubts.append(f"{name}: {' or '.join(one.name for one in named.terms)}?")
        if term.kind == "height":
            doubts.append(f"{name}: above which datum?")
        if not unit and term.kind not in ("ph", "ph_total_scale"):
            doubts.append(f"{name}: in which unit?")
        elif unit and not is_unit(unit):
            doubts.append(f"{name}: the unit {unit} is not known")
        elif unit and not converts(unit, term):
            doubts.append(f"{name}: {unit} is no unit of {term.name} ({term.unit})")
        elif named.behind:
            doubts.append(f"{name}: is its unit {unit}?")
        if below:
            doubts.append(f"{name}: {below} values below or above a limit")
        told = [*fields, f"variable: {term.name}"]
        told += [f"unit: {quoted(unit)}"] * bool(unit and not apart) + ['datum: "?"'] * (term.kind == "height")
        return f"{{{', '.join(told)}}}" + self.doubt(*doubts)

    def _long(self, head: Head, cells: Cells) -> list[str]:
        """Draft a table with one value per row.

        Raises
        ------
        MetadataError
            If it is none, or none of its names is known: then nothing seems to be measured.
        """
        found = guesses.guess_long(head.names)
        if not found:
            raise nothing_measured(self.source, head.names)
        names = guesses.names_and_units(cells, found)
        known = {name: read for name, unit in names.items() if (read := read_name(name, unit)).terms}
        if not known:
            raise nothing_measured(f"{self.source}, {head.names[found['variable']]}", list(names))
        lines = [
            f"    {quoted(name)}: " + self._measured([], name, read, apart=bool(names[name]))
            for name, read in known.items()
        ]
        marks, odd, below, _ = guesses.guess_marks(cells.columns[found["value"]], self.decimal, self.thousands)
        doubts = [f"long: {below} values below or above a limit"] if below else []
        doubts += [f"long: these are no numbers: {', '.join(odd)[:120]}"] if odd else []
        columns = [f"  {part}_column: {_ref(head, at)}" for part, at in found.items()]
        note = self.doubt("long: one value per row, in these columns?", *doubts)
        unread = guesses.unread([quoted(name) for name in names if name not in known])
        return [*self._missing(marks), f"long:{note}", *columns, "  variables:", *lines, *unread]


def _ref(head: Head, at: int) -> str:
    """A column as a mapping names it: by its name if that is its alone, else by its number."""
    name = head.names[at]
    return quoted(name) if name and head.names.count(name) == 1 else str(at + 1)
