"""What the columns of a file mean: declared once, in YAML, by somebody who knows.

Reading guesses nothing: time zone, order of day and month, unit, coordinate system and missing values stand here or in
the file. ``terracube insitu describe FILE`` writes a draft to be confirmed.
"""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pyproj import CRS
from pyproj.exceptions import CRSError

from terracube.core.errors import AssetError, InputError, NotFoundError
from terracube.core.validation import validated
from terracube.ingest.insitu.plainyaml import read_plain
from terracube.ingest.insitu.vocabulary import find_term, vocabulary

_MAX_BYTES = 1 << 20
_MAX_COLUMNS = 2000
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")

#: A column: the text of its header, or its number from 1. Two columns of one name are told apart by the number.
type ColumnRef = Annotated[str, Field(max_length=500)] | Annotated[int, Field(ge=1, le=20_000)]


def _known_variable(name: str) -> str:
    if name not in vocabulary():
        found = find_term(name)
        hint = f"; this may be {found.name}" if found else ""
        raise ValueError(f"{name[:60]!r} is not in the vocabulary{hint}")
    return name


def _known_zone(name: str) -> str:
    if name[:1] in "+-" and len(name) in (3, 6):
        hours, _, minutes = name[1:].partition(":")
        if hours.isdigit() and int(hours) <= 14 and (not minutes or (minutes.isdigit() and int(minutes) < 60)):
            return name
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name[:60]!r} is no time zone; write UTC, Europe/Warsaw, or +08:00") from error
    return name


def _known_crs(text: str) -> str:
    try:
        CRS.from_user_input(text)
    except CRSError as error:
        raise ValueError(f"{text[:60]!r} is no coordinate reference system") from error
    return text


type Variable = Annotated[str, AfterValidator(_known_variable)]
type Zone = Annotated[str, AfterValidator(_known_zone)]
type CrsText = Annotated[str, Field(max_length=4000), AfterValidator(_known_crs)]
type Kind = Literal["csv", "xlsx", "ods", "gpkg", "netcdf", "argo", "wqp", "nwis", "donar", "noos", "gnss"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_max_length=10_000)


class About(_Model):
    """Whose data these are."""

    title: str = ""
    attribution: str = ""
    licence: str = ""
    """SPDX identifier, or words."""
    doi: str = ""
    url: str = ""


class Layout(_Model):
    """How the table lies in the file."""

    encoding: str = ""
    """Such as utf-8, cp1250, gb18030; empty: a byte-order mark or valid UTF-8, else it is refused."""
    delimiter: Literal["", ",", ";", "\t", "|", " "] = ""
    """Empty: the one that cuts the rows evenly; refused if two do. A space stands for any number of them."""
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'"] = ""
    comment: Annotated[str, Field(max_length=8)] = ""
    """Lines that start so are left out."""
    sheet: str | Annotated[int, Field(ge=1, le=1000)] | None = None
    """Of a workbook (of a GeoPackage: its layer): name, or number from 1; None where there is only one."""
    header: Annotated[int, Field(ge=0, le=10_000)] = 1
    """Row of the file with the names of the columns; 0 if there is none (columns are then numbers)."""
    header_rows: Annotated[int, Field(ge=1, le=4)] = 1
    """How many rows the names take; they are joined by a space, merged cells count for all they cover."""
    unit_row: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Row with the units, 0 if there is none."""
    first: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """First row of data; 0: the one after names and units."""
    last: Annotated[int, Field(ge=0)] = 0
    """Last row of data; 0: the end. What stands below (notes, sums) is not read."""


class Time(_Model):
    """Where the time stands, how it is written and in which zone."""

    column: ColumnRef | None = None
    """Date, or date and time."""
    clock: ColumnRef | None = None
    """Time of day, where it has a column of its own, beside the date in ``column`` or ``constant``."""
    parts: dict[Literal["year", "month", "day", "hour", "minute", "second"], ColumnRef] = Field(default_factory=dict)
    """Columns of numbers, instead of ``column``."""
    constant: str = ""
    """One time for all rows, as ISO 8601; or a period (2019-08-01/2019-09-30), whose middle then stands for it."""
    format: Annotated[str, Field(max_length=60)] = "iso"
    """``iso``; ``excel`` or ``excel1904`` (serial days); ``unix`` (seconds since 1970); or as strptime:
    ``%d.%m.%Y %H:%M``. ISO 8601, and dates of a workbook, are read whatever this says."""
    zone: Zone | None = None
    """Time zone of what is written without one. Needed, unless every time tells its own."""
    zone_column: ColumnRef | None = None
    """Column with a zone per row (``EST``, ``+02:00``)."""
    folds: Literal["flag", "first", "second"] = "flag"
    """For the hour that an autumn night has twice: flag the row as unsure (and take the first), or take one of them."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [self.column is not None, bool(self.parts), bool(self.constant)]
        if sum(ways) > 1:
            raise ValueError("give one of column, parts and constant")
        if self.parts and not {"year", "month", "day"} <= set(self.parts):
            raise ValueError("parts need year, month and day")
        if self.clock is not None and self.column is None and not _DAY.fullmatch(self.constant):
            raise ValueError("a clock needs its date: a column, or a constant such as 2019-08-20")
        return self


class Station(_Model):
    """Which station a row belongs to."""

    column: ColumnRef | None = None
    constant: Annotated[str, Field(max_length=200)] = ""
    name_column: ColumnRef | None = None
    """A name for people, beside the id."""
    name: Annotated[str, Field(max_length=500)] = ""
    """Name of the constant station."""


class Position(_Model):
    """Where the station lies."""

    lon: ColumnRef | None = None
    """Column of longitude, or of the easting."""
    lat: ColumnRef | None = None
    """Column of latitude, or of the northing."""
    constant: tuple[float, float] | None = None
    """Longitude (or easting) and latitude (or northing) of all rows."""
    stations: dict[str, tuple[float, float]] = Field(default_factory=dict, max_length=100_000)
    """The same by station id."""
    crs: CrsText | None = None
    """Coordinate reference system of these numbers: ``EPSG:4326``, ``EPSG:5070``. Needed where there are any."""
    style: Literal["decimal", "dms"] = "decimal"
    """``dms``: degrees, minutes, seconds as text (53°07'30"N)."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.lon is None) != (self.lat is None):
            raise ValueError("lon and lat go together")
        if (self.lon is not None or self.constant is not None or self.stations) and self.crs is None:
            raise ValueError("positions need their crs, such as EPSG:4326")
        return self


class Depth(_Model):
    """How deep below the surface it was measured, in metres, positive down."""

    column: ColumnRef | None = None
    constant: float | None = None
    unit: str = "m"
    positive: Literal["down", "up"] = "down"


class Measured(_Model):
    """What one column measures (a wide table), or one name in the column of names (a long one)."""

    variable: Variable
    unit: Annotated[str, Field(max_length=60)] = ""
    """Unit as delivered; empty: from the unit row, or the brackets of the header."""
    method: str = ""
    basis: str = ""
    """What a delivered mass is counted as, where it is to be converted: ``NO3`` for a column that becomes ``no3_n``."""
    molar: bool = False
    """Convert between amount and mass by the molar mass."""
    datum: str = ""
    """For heights: what they are above (``NAP``, ``NAVD88``); goes to the method."""
    replicate: str = ""
    depth: float | None = None
    """In metres, where this column has a depth of its own."""
    missing: tuple[str | float, ...] = ()
    """More values that mean "no value", beside those of the whole table."""
    limit: Annotated[float, Field(gt=0)] | None = None
    """Detection limit, in the delivered unit: makes "n.d." a value below it."""
    limit_column: ColumnRef | None = None
    """Column with the detection limit of each row."""
    censor_column: ColumnRef | None = None
    """Column that tells "<" or ">" of each row."""
    quality_column: ColumnRef | None = None
    """Column with the producer's flag of each row; see ``quality``."""

    @model_validator(mode="after")
    def _datum(self) -> Self:
        if vocabulary()[self.variable].kind == "height" and not self.datum:
            raise ValueError("a height needs its datum, such as NAP or NAVD88")
        return self


class Column(Measured):
    """A column of a wide table."""

    column: ColumnRef


class Long(_Model):
    """A table with one value per row, and columns that say what it is."""

    variable_column: ColumnRef
    value_column: ColumnRef
    unit_column: ColumnRef | None = None
    method_column: ColumnRef | None = None
    replicate_column: ColumnRef | None = None
    limit_column: ColumnRef | None = None
    limit_unit_column: ColumnRef | None = None
    censor_column: ColumnRef | None = None
    quality_column: ColumnRef | None = None
    variables: dict[str, Measured] = Field(max_length=_MAX_COLUMNS)
    """What each name in ``variable_column`` is; names that are not here are told and left out."""


class Mapping(_Model):
    """What a file means.

    Examples
    --------
    >>> mapping = Mapping.model_validate({
    ...     "kind": "csv", "station": {"column": "Lake"}, "time": {"column": "Date", "zone": "UTC"},
    ...     "columns": [{"column": "TN", "variable": "tn", "unit": "mg/L"}]})
    >>> mapping.columns[0].variable
    'tn'
    """

    kind: Kind
    about: About = About()
    layout: Layout = Layout()
    time: Time = Time()
    station: Station = Station()
    position: Position = Position()
    depth: Depth = Depth()
    columns: tuple[Column, ...] = Field(default=(), max_length=_MAX_COLUMNS)
    """A wide table: one column per variable. For NetCDF: which variables of the file to read, and as what."""
    long: Long | None = None
    """A long table: one row per value."""
    method: str = ""
    """For all that is measured and says none."""
    replicate_column: ColumnRef | None = None
    duplicates: Literal["flag", "replicates"] = "flag"
    """Rows that tell one station, time, depth and variable twice: suspect, or meant as replicates and numbered."""
    missing: tuple[str | float, ...] = ()
    """Values that mean "no value": texts as they stand, numbers by their value (-999 is also -999.0)."""
    not_detected: tuple[str, ...] = ()
    """Texts, beside the common ones, that mean "below the detection limit"."""
    quality: dict[str, Literal[1, 2, 3, 4, 9]] = Field(default_factory=dict, max_length=1000)
    """QARTOD flag of each flag of the producer."""
    ignore: tuple[ColumnRef, ...] = Field(default=(), max_length=_MAX_COLUMNS)
    """Columns known not to be measurements; the rest that is not mapped is told."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.columns and self.long:
            raise ValueError("give columns (a wide table) or long, not both")
        if self.kind in ("csv", "xlsx", "ods", "gpkg") and not self.columns and not self.long:
            raise ValueError("say what is measured: columns, or long")
        return self


def ready_mappings() -> tuple[str, ...]:
    """Name the data sets whose mapping comes with the package.

    Examples
    --------
    >>> "nla2007-lakes" in ready_mappings()
    True
    """
    folder = resources.files(__package__).joinpath("mappings")
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def load_mapping(path: Path | str) -> Mapping:
    """Read a mapping from a YAML file, or the one that comes with the package under that name.

    Raises
    ------
    NotFoundError, AssetError
        If there is no such file, or it is no YAML.
    InputError
        Naming each field that is wrong.
    """
    if str(path) in ready_mappings() and not Path(path).exists():
        text = resources.files(__package__).joinpath("mappings", f"{path}.yaml").read_text(encoding="utf-8")
        return parse_mapping(text, where=str(path))
    path = Path(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except FileNotFoundError as error:
        known = ", ".join(ready_mappings())
        raise NotFoundError("no such mapping", where=str(path), expected=f"a file, or one of {known}") from error
    except OSError as error:
        raise AssetError("a mapping cannot be read", where=str(path), got=str(error.strerror)) from error
    if len(content) > _MAX_BYTES:
        raise AssetError("a mapping is too large", where=str(path), expected=f"at most {_MAX_BYTES} bytes")
    return parse_mapping(content, where=str(path))


def parse_mapping(text: str | bytes, *, where: str = "mapping") -> Mapping:
    """Make a mapping of YAML text.

    Raises
    ------
    InputError
        If the text is no YAML, or a field is wrong.

    Examples
    --------
    >>> parse_mapping("kind: argo").kind
    'argo'
    """
    try:
        values = read_plain(text)
    except ValueError as error:
        raise InputError("a mapping is no YAML", where=where, got=str(error)[:300]) from error
    if not isinstance(values, dict):
        raise InputError("a mapping is no YAML", where=where, expected="fields and values", got=type(values).__name__)
    fields: dict[str, Any] = {str(key): value for key, value in values.items()}
    return validated(Mapping, fields, what=f"the mapping is wrong ({where})")
