"""Tables, points and polygons from files of users, bounded and by formats that reach nothing else."""

from __future__ import annotations

import gzip
import io
import json
import re
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

import geopandas
import pandas as pd
from pyarrow import ArrowException
from pyarrow.parquet import ParquetFile
from pyproj.exceptions import CRSError
from shapely.errors import ShapelyError

from terracube.core.errors import AssetError, HostileInputError, InputError, MetadataError

_MOST_ROWS = 20_000_000
_MOST_PLACES = 2_000_000
# Bytes of a file, of text within a compressed one, and of a GeoJSON, which becomes many times as much in memory.
_MOST_BYTES, _MOST_TEXT, _MOST_JSON = 1 << 30, 2 << 30, 256 << 20
_SQLITE, _APPLICATION = b"SQLite format 3\0", (b"GPKG", b"GP10", b"GP11")
_CRS_OF_GEOJSON = re.compile(r"^(?:urn:ogc:def:crs:)?(EPSG|OGC)(?::[0-9.]*)?:{1,2}([A-Za-z0-9]+)$")
_NOTHING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None")
# What readers raise for bytes, JSON or geometries that are none: RuntimeError is GDAL's.
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, ShapelyError)
FORMATS = (".gpkg", ".parquet", ".geoparquet", ".geojson", ".json", ".csv", ".csv.gz")


def format_of(path: Path) -> str:
    """Give the format of a file by its name.

    Raises
    ------
    AssetError
        If there is no such file.
    InputError
        If it is of another format.
    HostileInputError
        If it is too large.
    """
    name = path.name.lower()
    suffix = ".csv.gz" if name.endswith(".csv.gz") else Path(name).suffix
    if suffix not in FORMATS:
        raise InputError("places cannot be read from this", where=str(path), expected=", ".join(FORMATS), got=suffix)
    try:
        size, regular = path.stat().st_size, path.is_file()
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or str(error)
        raise AssetError("cannot read the file", where=str(path), got=told) from error
    if not regular:
        raise AssetError("this is no file", where=str(path))
    limit = _MOST_JSON if suffix in (".geojson", ".json") else _MOST_BYTES
    if size > limit:
        raise HostileInputError("the file is too large", where=str(path), expected=f"<= {limit} bytes", got=str(size))
    return suffix


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV, gzipped or not: every value is text; see `numbers` for what is meant as a number.

    Raises
    ------
    AssetError
        If it is no CSV.
    HostileInputError
        If there are too many rows or too much text in it.
    """
    try:
        with gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb") as stream:
            bounded = io.BufferedReader(_Bounded(stream, str(path)))
            table = pd.read_csv(bounded, dtype=str, keep_default_na=False, nrows=_MOST_ROWS + 1, encoding="utf-8-sig")
    except (OSError, EOFError, ValueError, pd.errors.ParserError) as error:
        raise AssetError("the file is no CSV", where=str(path), got=" ".join(str(error).split())[:200]) from error
    if not isinstance(table.index, pd.RangeIndex):
        raise AssetError(
            "rows of the CSV are longer than its header", where=str(path), got=str(list(table.columns))[:200]
        )
    return _counted(table, _MOST_ROWS, path)


def numbers(column: pd.Series, where: str) -> Any:
    """Give numbers of texts as float64, NaN where there is nothing.

    Raises
    ------
    InputError
        If one is no finite number, with its row.
    """
    if column.dtype.kind in "iufb":
        found = column.astype("float64")
    else:
        texts = column.astype(object).where(~column.isin(_NOTHING) & column.notna(), None)
        found = pd.to_numeric(texts, errors="coerce").astype("float64")
        wrong = found.isna() & texts.notna()
        found = found.where(~wrong, float("inf"))
    bad = found.abs() == float("inf")
    if bad.any():
        row = int(bad.to_numpy().argmax())
        raise InputError("this is no number", where=f"{where}, row {row}", got=str(column.iloc[row])[:60])
    return found.to_numpy()


def read_features(path: Path, suffix: str, layer: str | None, wanted: Collection[str]) -> geopandas.GeoDataFrame:
    """Read points or polygons with their columns; of a GeoParquet those that are wanted.

    Raises
    ------
    AssetError
        If it cannot be read.
    InputError
        If there are several layers, and none or an unknown one is asked for.
    HostileInputError
        If it is not what its name says, or has too many rows.
    MetadataError
        If the CRS is missing.
    """
    if suffix == ".gpkg":
        frame = _geopackage(path, layer)
    elif suffix in (".parquet", ".geoparquet"):
        frame = _geoparquet(path, wanted)
    else:
        frame = _geojson(path)
    if frame.crs is None:
        raise MetadataError("the CRS is missing", where=str(path), todo="write the file with its CRS")
    return _counted(frame, _MOST_PLACES, path)


class _Bounded(io.RawIOBase):
    """A stream that ends in an error after so many bytes, so that a small file cannot unfold without end."""

    def __init__(self, stream: gzip.GzipFile | io.BufferedReader, where: str) -> None:
        super().__init__()
        self._stream, self._where, self._left = stream, where, _MOST_TEXT

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some bytes."""
        found = self._stream.read(len(buffer))
        self._left -= len(found)
        if self._left < 0:
            raise HostileInputError("there is too much text", where=self._where, expected=f"<= {_MOST_TEXT} bytes")
        buffer[: len(found)] = found
        return len(found)


def _counted[Frame: pd.DataFrame](frame: Frame, most: int, path: Path) -> Frame:
    if len(frame) > most:
        raise HostileInputError("there are too many rows", where=str(path), expected=f"<= {most}")
    if not len(frame):
        raise InputError("there is nothing in the file", where=str(path), expected="at least one", got="none")
    return frame


def _geopackage(path: Path, layer: str | None) -> geopandas.GeoDataFrame:
    """Read a layer from memory: nothing beside the file is opened or written, and no other driver can take it."""
    content = path.read_bytes()
    if not content.startswith(_SQLITE) or content[68:72] not in _APPLICATION:
        raise HostileInputError("the file is no GeoPackage", where=str(path), got=repr(content[:16]))
    try:
        with warnings.catch_warnings():
            # What the reader remarks of odd fields changes no value; geometries are checked afterwards.
            warnings.simplefilter("ignore")
            layers = geopandas.list_layers(io.BytesIO(content))
            names = [str(name) for name in layers["name"][layers["geometry_type"].notna()]]
            chosen = _layer(names, layer, path)
            frame = geopandas.read_file(
                io.BytesIO(content), layer=chosen, engine="pyogrio", rows=_MOST_PLACES + 1, on_invalid="ignore"
            )
    except (CRSError, OverflowError, *_UNREADABLE) as error:
        raise AssetError("cannot read the GeoPackage", where=str(path), got=str(error)[:200]) from error
    return frame


def _layer(names: list[str], layer: str | None, path: Path) -> str:
    """Choose the layer with geometries."""
    if layer is None and len(names) == 1:
        return names[0]
    if layer in names:
        return str(layer)
    raise InputError(
        "which layer is meant?" if layer is None else "there is no such layer",
        where=str(path),
        expected=", ".join(names)[:300] or "a layer with geometries",
        got=str(layer)[:100],
        todo="give layer=...",
    )


def _geoparquet(path: Path, wanted: Collection[str]) -> geopandas.GeoDataFrame:
    try:
        with ParquetFile(path) as file:
            facts, names = file.metadata, list(file.schema_arrow.names)
            raw = (file.schema_arrow.metadata or {}).get(b"geo")
            size = sum(facts.row_group(at).total_byte_size for at in range(facts.num_row_groups))
        if facts.num_rows > _MOST_PLACES or size > _MOST_BYTES:
            raise HostileInputError("the GeoParquet is too large", where=str(path), got=f"{facts.num_rows} rows")
        if raw is None:
            raise AssetError("the Parquet file has no geometries", where=str(path), expected="GeoParquet metadata")
        geometry = str(json.loads(raw)["primary_column"])
        columns = [geometry, *(name for name in names if name in wanted and name != geometry)]
        frame = geopandas.read_parquet(path, columns=columns)
    except CRSError as error:
        raise MetadataError("the CRS of the GeoParquet is unknown", where=str(path), got=str(error)[:120]) from error
    except (ArrowException, *_UNREADABLE) as error:
        raise AssetError("cannot read the GeoParquet", where=str(path), got=str(error)[:200]) from error
    return frame


def _geojson(path: Path) -> geopandas.GeoDataFrame:
    """Read a collection of features: longitude and latitude (RFC 7946), unless it names its CRS in the older way."""
    try:
        value = json.loads(path.read_bytes())
        frame = geopandas.GeoDataFrame.from_features(value["features"])
        named = (value.get("crs") or {}).get("properties", {}).get("name")
        if "geometry" not in frame.columns:
            raise InputError(
                "there is nothing in the file", where=str(path), expected="features with geometries", got="none"
            )
        return frame.set_crs(_crs_of(named, path))
    except CRSError as error:
        raise MetadataError("the CRS of the GeoJSON is unknown", where=str(path), got=str(named)[:120]) from error
    except _UNREADABLE as error:
        raise AssetError(
            "the file is no GeoJSON", where=str(path), got=f"{type(error).__name__}: {error}"[:200]
        ) from error


def _crs_of(named: Any, path: Path) -> str:
    if named is None:
        return "OGC:CRS84"
    found = _CRS_OF_GEOJSON.match(str(named))
    if not found:
        raise MetadataError("the CRS of the GeoJSON is unknown", where=str(path), got=str(named)[:120])
    return f"{found[1]}:{found[2]}"
