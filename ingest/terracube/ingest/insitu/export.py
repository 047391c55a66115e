"""Observations as files for others: CSV, GeoPackage, CF NetCDF."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import geopandas as gpd
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from terracube.core.errors import InputError
from terracube.core.files import atomic_path
from terracube.ingest.insitu.discrete import Kind, write_netcdf
from terracube.ingest.insitu.spreadsheet import neutral
from terracube.ingest.insitu.table import COLUMNS, TEXT, TIME, check

Format = Literal["netcdf", "csv", "gpkg"]
_SUFFIXES: dict[str, Format] = {".nc": "netcdf", ".csv": "csv", ".gpkg": "gpkg"}
_END = "\r\n"
_QUOTED = (",", '"', "\r", "\n")
_ROWS_AT_ONCE = 1 << 16


def export(
    table: pd.DataFrame, path: Path | str, *, form: Format | None = None, kind: Kind | None = None, **about: str
) -> Format:
    """Write observations in the format that the suffix names, unless one is given.

    Parameters
    ----------
    table : DataFrame
        Canonical.
    path : Path
        ``.nc``, ``.csv`` or ``.gpkg``; replaced if it is there.
    form : str
        ``netcdf``, ``csv`` or ``gpkg``.
    kind, **about
        For NetCDF: see `terracube.ingest.insitu.discrete.write_netcdf`.

    Returns
    -------
    str
        The format.

    Raises
    ------
    InputError
        If neither suffix nor ``form`` is known, or the table is not canonical or does not fit the kind.
    EmptyResultError
        If a NetCDF file would hold nothing.
    StorageError
        If the disk refuses.
    """
    path = Path(path)
    chosen = form or _SUFFIXES.get(path.suffix.lower())
    if chosen is None or chosen not in get_args(Format):
        raise InputError("no such format", where=str(path), expected=", ".join(_SUFFIXES), todo="choose a suffix")
    if chosen == "netcdf":
        write_netcdf(table, path, kind=kind, **about)
    elif chosen == "csv":
        write_csv(table, path)
    else:
        write_geopackage(table, path)
    return chosen


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write the canonical table as CSV: RFC 4180, UTF-8, one header row, times as ISO 8601 in UTC.

    Numbers are written so that they read back the same; what is missing is an empty field. A text that a spreadsheet
    would take for a formula gets an apostrophe before it (see `terracube.ingest.insitu.spreadsheet.neutral`).

    Raises
    ------
    InputError
        If the table is not canonical.
    StorageError
        If the disk refuses.
    """
    check(table)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        stream.write(",".join(COLUMNS) + _END)
        for start in range(0, len(table), _ROWS_AT_ONCE):
            part = table.iloc[start : start + _ROWS_AT_ONCE]
            fields = [_fields(part[name]) for name in COLUMNS]
            lines = pc.binary_join_element_wise(*fields, ",")
            stream.write(_END.join(lines.to_pylist()) + _END)


def _fields(column: pd.Series) -> pa.Array:
    """Write a column as the fields of a CSV file: whole columns at once, each different text once."""
    if column.dtype == TEXT:
        texts = _whole(column, pa.string()).dictionary_encode()
        fields = [_quoted(str(neutral(text))) for text in texts.dictionary.to_pylist()]
        return pa.array(fields, pa.string()).take(texts.indices)
    if column.dtype == TIME:
        return _iso(_whole(column, pa.timestamp("us", "UTC")))
    return pc.fill_null(_whole(column).cast(pa.string()), "")


def _whole(column: pd.Series, kind: pa.DataType | None = None) -> pa.Array:
    """Give a column as one array; of a table that was read from several files it lies in chunks."""
    made = pa.array(column, kind, from_pandas=True)
    return made.combine_chunks() if isinstance(made, pa.ChunkedArray) else made


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in _QUOTED) else text


def _iso(times: pa.Array) -> pa.Array:
    """Write times as ``2020-01-01T12:00:00Z``, with fractions of a second only where there are any."""
    whole = pc.strftime(pc.cast(times, pa.timestamp("s", "UTC"), safe=False), "%Y-%m-%dT%H:%M:%SZ")
    exact = pc.strftime(times, "%Y-%m-%dT%H:%M:%SZ")
    return pc.if_else(pc.equal(pc.subsecond(times), 0.0), whole, exact)


def write_geopackage(table: pd.DataFrame, path: Path) -> None:
    """Write the canonical table as the layer ``observations`` of a GeoPackage, as points in WGS 84.

    Rows without position have an empty point. Times are UTC.

    Raises
    ------
    InputError
        If the table is not canonical.
    StorageError
        If the disk refuses.
    """
    check(table)
    plain = table.astype({name: object for name, dtype in COLUMNS.items() if dtype == TEXT} | {"qc": "int16"})
    points = gpd.points_from_xy(table["lon"], table["lat"])
    frame = gpd.GeoDataFrame(plain, geometry=points, crs="EPSG:4326")
    with atomic_path(path) as temporary:
        frame.to_file(temporary, layer="observations", driver="GPKG", engine="pyogrio", use_arrow=True)
