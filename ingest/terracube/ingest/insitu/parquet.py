"""Observations as GeoParquet: one file per variable and year, the same bytes for the same observations.

Files follow GeoParquet 1.1.0 (geometry as WKB points in longitude and latitude, with a covering box column); they lie
as Hive partitions, ``variable=tn/year=2019/part.parquet``, which Arrow, DuckDB, Spark and GDAL read as one table.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

from terracube.core.errors import AssetError
from terracube.core.files import safe_name, storage_error
from terracube.ingest.insitu.table import COLUMNS, TEXT, TIME, check, empty

PRIMARY_GEOMETRY = "geometry"
_ROWS_OF_GROUP = 1 << 16
_PARTITION = pa.schema([("variable", pa.string()), ("year", pa.int32())])
_POINT = np.dtype([("order", "u1"), ("type", "<u4"), ("x", "<f8"), ("y", "<f8")])
_BOX = pa.struct([(name, pa.float64()) for name in ("xmin", "ymin", "xmax", "ymax")])
_COVERING = {name: ["bbox", name] for name in ("xmin", "ymin", "xmax", "ymax")}

DESCRIPTIONS = {
    "station": "Id of the station",
    "station_name": "Name of the station",
    "time": "Time of the observation, UTC",
    "lon": "Longitude, WGS 84, degrees east; missing where not told",
    "lat": "Latitude, WGS 84, degrees north; missing where not told",
    "depth": "Depth below the surface, metres, positive down; missing where not told",
    "variable": "What was measured: name in the vocabulary (partition)",
    "value": "Value in the canonical unit; the reporting limit where censored; missing where qc is 9",
    "unit": "Canonical unit",
    "method": "Method of measurement",
    "replicate": "Which of several samples of one place and time",
    "censored": "'<' below value, '>' above value, empty where measured",
    "qc": "QARTOD flag: 1 good, 2 not evaluated, 3 suspect, 4 fail, 9 missing",
    "qc_tests": "Tests that gave 3 or 4, with their flag; without one a remark (day_only, copy, ...)",
    "original_value": "Value as delivered",
    "original_unit": "Unit as delivered",
    "source": "File and row of the delivery",
    "geometry": "Position as a point (WKB); empty where not told",
    "bbox": "Box of the geometry",
    "year": "Year of the time (partition)",
}


def _arrow_type(dtype: Any) -> pa.DataType:
    if dtype == TEXT:
        return pa.string()
    return pa.timestamp("us", "UTC") if dtype == TIME else pa.from_numpy_dtype(dtype)


_CANONICAL = pa.schema([(name, _arrow_type(dtype)) for name, dtype in COLUMNS.items()])
FILE_SCHEMA = pa.schema(
    [*(field for field in _CANONICAL if field.name != "variable"), (PRIMARY_GEOMETRY, pa.binary()), ("bbox", _BOX)]
)
"""Columns of a file; ``variable`` and ``year`` stand in its path."""


def columns() -> list[dict[str, str]]:
    """Describe the columns of the whole table, for ``table:columns`` of the STAC table extension."""
    types = {field.name: str(field.type) for field in [*FILE_SCHEMA, *_PARTITION]}
    names = {**types, PRIMARY_GEOMETRY: "binary (WKB point)", "bbox": "struct (xmin, ymin, xmax, ymax)"}
    return [{"name": name, "type": told, "description": DESCRIPTIONS[name]} for name, told in names.items()]


def write_partitions(table: pd.DataFrame, folder: Path) -> list[Path]:
    """Write observations below a folder, sorted in each file by station and time, then by all other columns.

    Parameters
    ----------
    table : DataFrame
        Canonical, rows in any order.
    folder : Path
        Made if it is not there; must hold no other partitions.

    Returns
    -------
    list of Path
        The files. Their bytes depend on the observations alone (and on the version of Arrow), not on the order of rows.

    Raises
    ------
    InputError
        If the table is not canonical.
    StorageError
        If the disk refuses.
    """
    check(table)
    ordered = _sorted(table)
    written = []
    for name, year, rows in _partitions(ordered):
        path = folder / f"variable={safe_name(name, what='variable')}" / f"year={year}" / "part.parquet"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(rows, path)
        except OSError as error:
            raise storage_error(error, path) from error
        written.append(path)
    return written


def _sorted(table: pd.DataFrame) -> pa.Table:
    arrow = pa.Table.from_pandas(table, schema=_CANONICAL, preserve_index=False).replace_schema_metadata(None)
    arrow = arrow.append_column("year", pc.year(arrow["time"]).cast(pa.int32()))
    first = ["variable", "year", "station", "time", "depth", "method", "replicate"]
    keys = [*first, *(name for name in COLUMNS if name not in first)]
    return arrow.sort_by([(name, "ascending") for name in keys])


def _partitions(ordered: pa.Table) -> Iterator[tuple[str, int, pa.Table]]:
    if ordered.num_rows == 0:
        return
    codes = ordered["variable"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    years = ordered["year"].to_numpy()
    starts = np.flatnonzero(np.r_[True, (np.diff(codes) != 0) | (np.diff(years) != 0)])
    for start, end in zip(starts, [*starts[1:], ordered.num_rows], strict=True):
        yield ordered["variable"][start].as_py(), int(years[start]), ordered.slice(start, end - start)


def _write(rows: pa.Table, path: Path) -> None:
    lon, lat = (rows[name].to_numpy() for name in ("lon", "lat"))
    edges = [pa.array(side, from_pandas=True) for side in (lon, lat, lon, lat)]
    box = pa.StructArray.from_arrays(edges, fields=list(_BOX), mask=pa.array(np.isnan(lon)))
    kept = rows.select([field.name for field in FILE_SCHEMA if field.name in COLUMNS])
    whole = kept.append_column(PRIMARY_GEOMETRY, _points(lon, lat)).append_column("bbox", box)
    told = whole.cast(FILE_SCHEMA).replace_schema_metadata({"geo": json.dumps(_geo(lon, lat), sort_keys=True)})
    pq.write_table(told, path, compression="zstd", row_group_size=_ROWS_OF_GROUP, write_page_index=True)


def _points(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> pa.Array:
    """Write points as WKB; one of NaN is the empty point."""
    points = np.zeros(len(lon), _POINT)
    points["order"], points["type"], points["x"], points["y"] = 1, 1, lon, lat
    offsets = np.arange(len(lon) + 1, dtype="int32") * _POINT.itemsize
    return pa.Array.from_buffers(pa.binary(), len(lon), [None, pa.py_buffer(offsets), pa.py_buffer(points.tobytes())])


def _geo(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> dict[str, Any]:
    """Tell the file's geometry as GeoParquet 1.1.0 does; without ``crs`` it is OGC:CRS84."""
    column: dict[str, Any] = {"encoding": "WKB", "geometry_types": ["Point"], "covering": {"bbox": _COVERING}}
    known = np.isfinite(lon)
    if known.any():
        x, y = lon[known], lat[known]
        column["bbox"] = [float(edge) for edge in (x.min(), y.min(), x.max(), y.max())]
    return {"version": "1.1.0", "primary_column": PRIMARY_GEOMETRY, "columns": {PRIMARY_GEOMETRY: column}}


def read_partitions(
    folder: Path,
    *,
    variables: Sequence[str] | None = None,
    stations: Sequence[str] | None = None,
    bbox: tuple[float, float, float, float] | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> pd.DataFrame:
    """Read observations back, opening only the files that may hold what is asked for.

    Parameters
    ----------
    folder : Path
        As it was given to `write_partitions`.
    variables, stations : sequence of str
        Names; all unless given.
    bbox : (west, south, east, north)
        Degrees, edges included; west > east crosses the antimeridian. Rows without position are left out.
    start, end : datetime
        First and last moment, both included, with a time zone.

    Returns
    -------
    DataFrame
        Canonical, by variable, year, station, time.

    Raises
    ------
    AssetError
        If a file that is needed is not there or damaged.
    """
    where = _where(variables, stations, bbox, start, end)
    schema = pa.unify_schemas([FILE_SCHEMA, _PARTITION])
    try:
        files = sorted(str(path) for path in folder.glob("variable=*/year=*/*.parquet"))
        dataset = ds.dataset(
            files,
            schema=schema,
            format="parquet",
            partitioning=ds.partitioning(_PARTITION, flavor="hive"),
            partition_base_dir=str(folder),
        )
        found = dataset.to_table(columns=list(COLUMNS), filter=where)
    except (OSError, pa.ArrowException) as error:
        raise AssetError("observations cannot be read", where=str(folder), got=str(error)[:200]) from error
    return to_frame(found)


def to_frame(found: pa.Table) -> pd.DataFrame:
    """Turn an Arrow table of the canonical columns into the canonical DataFrame."""
    if found.num_rows == 0:
        return empty()
    frame = found.to_pandas(types_mapper=lambda kind: TEXT if kind == pa.string() else None)
    canonical: pd.DataFrame = frame.astype(dict(COLUMNS))[list(COLUMNS)]
    return canonical


def _where(
    variables: Sequence[str] | None,
    stations: Sequence[str] | None,
    bbox: tuple[float, float, float, float] | None,
    start: datetime | None,
    end: datetime | None,
) -> pc.Expression | None:
    """Say what is asked for; by year too, which opens no file that it leaves out."""
    terms = []
    if variables is not None:
        terms.append(pc.field("variable").isin(pa.array(list(variables), pa.string())))
    if stations is not None:
        terms.append(pc.field("station").isin(pa.array(list(stations), pa.string())))
    for moment, low in ((start, True), (end, False)):
        if moment is not None:
            year, time = pc.field("year"), pc.field("time")
            limit = pa.scalar(moment, pa.timestamp("us", "UTC"))
            terms += [year >= moment.year, time >= limit] if low else [year <= moment.year, time <= limit]
    if bbox is not None:
        west, south, east, north = bbox
        lon, lat = pc.field("lon"), pc.field("lat")
        across = (lon >= west) & (lon <= east) if west <= east else (lon >= west) | (lon <= east)
        terms.append(across & (lat >= south) & (lat <= north))
    whole = None
    for term in terms:
        whole = term if whole is None else whole & term
    return whole
