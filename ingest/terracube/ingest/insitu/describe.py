"""A draft of a mapping for a file, with all that a person must confirm."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from terracube.core.errors import InputError, MetadataError, NotFoundError, TerraCubeError
from terracube.ingest.insitu import guesses
from terracube.ingest.insitu.decoding import decode, read_bytes
from terracube.ingest.insitu.mapping import Layout, Mapping, parse_mapping
from terracube.ingest.insitu.raw import Cells, Head, RawTable
from terracube.ingest.insitu.read import kind_of
from terracube.ingest.insitu.textfiles import open_text
from terracube.ingest.insitu.units import conversion
from terracube.ingest.insitu.unittext import is_unit
from terracube.ingest.insitu.vocabulary import Term, find_term, guess_terms
from terracube.ingest.insitu.workbooks import open_workbook

_SAMPLE = 5000


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
    TerraCubeError
        If it is none that can be read.
    """
    path = Path(path)
    if not path.is_file():
        raise NotFoundError("no such file", where=str(path))
    kind = kind_of(path)
    if kind not in ("csv", "xlsx", "ods"):
        text = f"# {path.name} tells by itself what it holds. A mapping is needed only to add to that.\nkind: {kind}\n"
        return Described(text, (), parse_mapping(text))
    drafter = _Drafter(path.name, kind)
    raw = drafter.open_text(path) if kind == "csv" else drafter.open_workbook(path)
    text = drafter.text(raw)
    try:
        mapping = parse_mapping(text)
    except InputError:
        mapping = None
    return Described(text, tuple(drafter.unsure), mapping)


@dataclass(slots=True)
class _Drafter:
    """Collects lines of YAML and what is unsure."""

    source: str
    kind: str
    unsure: list[str] = field(default_factory=list)
    layout: list[str] = field(default_factory=list)
    decimal: str = "."

    def doubt(self, *what: str) -> str:
        """Note what is unsure; give a comment that says so."""
        self.unsure.extend(what)
        return f"  # UNSURE: {'; '.join(what)}" if what else ""

    def open_text(self, path: Path) -> RawTable:
        """Guess encoding and layout of a text and open it so."""
        content, encoding = read_bytes(path), ""
        try:
            decoded = decode(content, where=path.name)
        except TerraCubeError:
            encoding, readings = guesses.guess_encoding(content)
            decoded = decode(content, encoding=encoding, where=path.name)
            self.layout.append(f"encoding: {encoding}" + self.doubt(f"encoding: it reads as {' / '.join(readings)}"))
        head = decoded.content[: 1 << 20].decode("utf-8", errors="ignore")
        found = guesses.guess_layout(head)
        layout = Layout(
            encoding=encoding,
            delimiter=found.delimiter,
            header=found.header,
            header_rows=found.header_rows,
            unit_row=found.unit_row,
        )
        self.layout.append(f"delimiter: {json.dumps(found.delimiter)}" + self.doubt(*found.unsure[:1]))
        self._say_header(found)
        return open_text(path, layout)

    def open_workbook(self, path: Path) -> RawTable:
        """Open the first sheet, and guess where the names stand."""
        try:
            first = open_workbook(path, Layout(header=0))
        except MetadataError as error:
            first = open_workbook(path, Layout(header=0, sheet=1))
            self.layout.append(
                f"sheet: {json.dumps(first.sheets[0], ensure_ascii=False)}" + self.doubt(f"sheet: {error.got}")
            )
        sheet = first.sheets[0] if len(first.sheets) > 1 and self.layout else None
        shown = first.cells(range(len(first.head.names)), 50)
        rows = [list(row) for row in zip(*(column.to_pylist() for column in shown.columns.values()), strict=True)]
        found = guesses.guess_header(rows)
        self._say_header(found)
        layout = Layout(sheet=sheet, header=found.header, header_rows=found.header_rows, unit_row=found.unit_row)
        return open_workbook(path, layout)

    def _say_header(self, found: guesses.Layoutish) -> None:
        self.layout.append(f"header: {found.header}" + self.doubt(*[text for text in found.unsure if "header" in text]))
        if found.header_rows > 1:
            self.layout.append(f"header_rows: {found.header_rows}")
        if found.unit_row:
            self.layout.append(f"unit_row: {found.unit_row}")

    def text(self, raw: RawTable) -> str:
        """Write the draft."""
        cells = raw.cells(range(len(raw.head.names)), _SAMPLE)
        roles = _roles(raw.head)
        self.decimal, told = guesses.guess_decimal(cells.columns) if self.kind == "csv" else (".", [])
        if self.decimal == "," or told:
            self.layout.append(f'decimal: "{self.decimal}"' + self.doubt(*told))
        measured = self._columns(raw.head, cells, set(roles.values()))
        lines = [
            f"# Draft of what {self.source} means. Confirm it; nothing is read by a guess.",
            f"kind: {self.kind}",
            'about: {title: "", attribution: "", licence: "", doi: "", url: ""}',
            "layout:",
            *[f"  {line}" for line in self.layout],
            *self._time(raw.head, cells, roles),
            *self._place(raw.head, roles),
            *measured,
        ]
        summary = [f"#   - {what}" for what in self.unsure]
        return (
            "\n".join(
                [lines[0], f"# To confirm ({len(summary)}):" if summary else "# All is sure.", *summary, *lines[1:]]
            )
            + "\n"
        )

    def _time(self, head: Head, cells: Cells, roles: dict[str, int]) -> list[str]:
        if "time" not in roles:
            note = self.doubt("time: no column of times was found; give time.column, parts or constant")
            return [f"time: {{}}{note}"]
        at = roles["time"]
        if "clock" not in roles:
            others = [other for other, name in enumerate(head.names) if guesses.guess_role(name) == "time"]
            clocks = [other for other in others if guesses.is_clock(cells.columns[other])]
            days = [other for other in others if other not in clocks]
            if clocks and days:
                at, roles["clock"] = days[0], clocks[0]
        form = guesses.guess_times(cells.columns[at], cells.rows)
        lines = ["time:", f"  column: {_ref(head, at)}"]
        if "clock" in roles:
            lines.append(
                f"  clock: {_ref(head, roles['clock'])}" + self.doubt("time.clock: a column with the time of day?")
            )
        if form.form:
            lines.append(f"  format: {json.dumps(form.form, ensure_ascii=False)}" + self.doubt(*form.unsure))
        else:
            lines.append("  # format:" + self.doubt(*form.unsure))
        if not form.zoned and (not form.day_only or "clock" in roles):
            lines.append("  # zone: UTC" + self.doubt("time.zone: times have none; UTC, or the local zone?"))
        return lines

    def _place(self, head: Head, roles: dict[str, int]) -> list[str]:
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
            if guesses.guess_role(head.names[roles["lon"]]) and _degrees(head.names[roles["lon"]]):
                lines.append(f"position: {{{refs}, crs: EPSG:4326}}" + self.doubt("position.crs: is it WGS 84?"))
            else:
                lines.append(
                    f"# position: {{{refs}, crs: }}"
                    + self.doubt("position.crs: projected coordinates of which system?")
                )
        else:
            lines.append("# position: {lon: , lat: , crs: }" + self.doubt("position: no columns were found"))
        if "depth" in roles:
            unit = head.units[roles["depth"]]
            lines.append(
                f"depth: {{column: {_ref(head, roles['depth'])}, unit: {unit or 'm'}}}"
                + self.doubt("depth: of the sample, in this unit?")
            )
        if "replicate" in roles:
            lines.append(f"replicate_column: {_ref(head, roles['replicate'])}")
        return lines

    def _columns(self, head: Head, cells: Cells, taken: set[int]) -> list[str]:
        lines, other, marks = [], [], {}
        for at, name in enumerate(head.names):
            terms = guess_terms(name)
            if at in taken or not name:
                continue
            numbers, odd, below, numeric = guesses.guess_marks(cells.columns[at], self.decimal)
            if not terms or not numeric:
                other.append(at)
                continue
            lines += self._column(head, at, terms, below)
            if odd:
                self.doubt(f"{name}: these are no numbers: {', '.join(odd)[:120]}")
            marks.update(dict.fromkeys(numbers, name))
        if not lines:
            lines = ["  []" + self.doubt("columns: no column is known to be a measurement")]
        missing = (
            [
                f"missing: {json.dumps(list(marks))}"
                + self.doubt(f'missing: {list(marks)} look like marks for "no value"')
            ]
            if marks
            else []
        )
        unread = (
            ["# Not read, for their names are not known:", *[f"#   {_ref(head, at)}" for at in other]] if other else []
        )
        return [*missing, "columns:", *lines, *unread]

    def _column(self, head: Head, at: int, terms: Sequence[Term], below: int) -> list[str]:
        name, unit = head.names[at], head.units[at]
        fitting = [term for term in terms if unit and _converts(unit, term)] or list(terms)
        term, doubts = fitting[0], []
        if len(fitting) > 1 or (find_term(name) is None and not (unit and len(fitting) == 1 and len(terms) > 1)):
            doubts.append(f"{name}: {' or '.join(one.name for one in fitting)}?")
        if term.kind == "height":
            doubts.append(f"{name}: above which datum?")
        if not unit and term.kind not in ("ph", "ph_total_scale"):
            doubts.append(f"{name}: in which unit?")
        elif unit and not is_unit(unit):
            doubts.append(f"{name}: the unit {unit} is not known")
        elif unit and not _converts(unit, term):
            doubts.append(f"{name}: {unit} is no unit of {term.name} ({term.unit})")
        if below:
            doubts.append(f"{name}: {below} values below or above a limit")
        fields = [f"column: {_ref(head, at)}", f"variable: {term.name}"]
        fields += [f"unit: {json.dumps(unit, ensure_ascii=False)}"] if unit else []
        fields += ['datum: "?"'] if term.kind == "height" else []
        return [f"  - {{{', '.join(fields)}}}" + self.doubt(*doubts)]


def _roles(head: Head) -> dict[str, int]:
    """The first column of each role."""
    roles: dict[str, int] = {}
    for at, name in enumerate(head.names):
        role = guesses.guess_role(name)
        if role:
            roles.setdefault(role, at)
    return roles


def _ref(head: Head, at: int) -> str:
    """A column as a mapping names it: by its name if that is its alone, else by its number."""
    name = head.names[at]
    return json.dumps(name, ensure_ascii=False) if name and head.names.count(name) == 1 else str(at + 1)


def _degrees(name: str) -> bool:
    return any(word in name.casefold() for word in ("lon", "lng", "经"))


def _converts(unit: str, term: Term) -> bool:
    try:
        conversion(unit, term)
    except MetadataError:
        return False
    return True
