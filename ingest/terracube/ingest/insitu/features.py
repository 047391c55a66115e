"""GeoPackages: the attributes of a layer as a table, and its points as two columns of degrees."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
from pyproj.exceptions import CRSError

from terracube.core.errors import AssetError, BudgetError, InputError, MetadataError
from terracube.ingest.insitu.decoding import read_bytes
from terracube.ingest.insitu.mapping import Layout
from terracube.ingest.insitu.positions import to_lonlat
from terracube.ingest.insitu.raw import MAX_COLUMNS, make_head
from terracube.ingest.insitu.workbooks import Cell, SheetTable

#: What the columns are called that the points become; they are degrees of WGS 84 whatever the layer's system is.
LON, LAT = "geometry lon", "geometry lat"
_MAX_BYTES = 256 << 20
_MAX_CELLS = 10_000_000
_SQLITE, _IDS = b"SQLite format 3\0", (b"GPKG", b"GP10", b"GP11")


def open_features(path: Path, layout: Layout) -> SheetTable:
    """Open one layer of a GeoPackage; ``layout.sheet`` says which, where there are several.

    It is read from memory: nothing beside it is opened or written. A row's number is the place of its feature, from 1.

    Raises
    ------
    TerraCubeError
        If it is no GeoPackage, too large, or has several layers and the mapping does not say which.
    """
    content = read_bytes(path)
    if not content.startswith(_SQLITE) or content[68:72] not in _IDS:
        raise AssetError("no GeoPackage", where=str(path), expected="SQLite with the application id GPKG")
    if len(content) > _MAX_BYTES:
        raise BudgetError("a GeoPackage is too large", where=path.name, expected=f"at most {_MAX_BYTES} bytes")
    try:
        with warnings.catch_warnings():
            # What the reader of the format remarks (an odd application id, a field of odd kind) changes no value.
            warnings.simplefilter("ignore")
            layers = [str(name) for name in geopandas.list_layers(io.BytesIO(content))["name"]]
            layer = _layer(layers, layout, path.name)
            frame = geopandas.read_file(
                io.BytesIO(content), layer=layer, engine="pyogrio", rows=_MAX_CELLS // 10, on_invalid="ignore"
            )
            points, notes = _points(frame)
    except (RuntimeError, ValueError, OSError, TypeError, KeyError, OverflowError, CRSError) as error:
        raise AssetError("no GeoPackage that can be read", where=str(path), got=str(error)[:200]) from error
    if len(frame) * max(len(frame.columns), 10) >= _MAX_CELLS or len(frame.columns) > MAX_COLUMNS:
        raise BudgetError("a layer is too large", where=path.name, expected=f"less than {_MAX_CELLS} cells")
    columns = {**points, **{str(name): frame[name] for name in frame.columns if name != _geometry(frame)}}
    grid: list[list[Cell]] = [list(row) for row in zip(*(map(_cell, one) for one in columns.values()), strict=True)]
    head = make_head([list(columns)], [], len(columns), 1)
    return SheetTable(path.name, grid, layout, head, tuple(layers), (), (f"layer {layer}", *notes))


def _layer(layers: list[str], layout: Layout, where: str) -> str:
    if isinstance(layout.sheet, str) and layout.sheet in layers:
        return layout.sheet
    if isinstance(layout.sheet, int) and layout.sheet <= len(layers):
        return layers[layout.sheet - 1]
    told = ", ".join(layers)[:500]
    if layout.sheet is not None or not layers:
        raise InputError("no such layer", where=where, expected=told or "a layer", got=str(layout.sheet)[:100])
    if len(layers) > 1:
        raise MetadataError("several layers", where=where, got=told, todo="say layout.sheet in the mapping")
    return layers[0]


def _geometry(frame: Any) -> str:
    """Name of the column of geometries; empty if the layer has none."""
    return str(frame.geometry.name) if isinstance(frame, geopandas.GeoDataFrame) else ""


def _points(frame: Any) -> tuple[dict[str, Any], list[str]]:
    """The points as two columns of degrees, and what is to be said of them."""
    if not _geometry(frame):
        return {}, []
    # The format has two systems that say that there is none (OGC 12-128, srs_id -1 and 0); both have a name.
    if frame.crs is None or frame.crs.name.casefold().startswith("undefined"):
        return {}, ["the layer tells no coordinate reference system: its geometries are not read"]
    points = frame.geometry.geom_type.eq("Point") & ~frame.geometry.is_empty
    other = int((~points).sum())
    x, y = np.full(len(frame), np.nan), np.full(len(frame), np.nan)
    x[points], y[points] = frame.geometry[points].x, frame.geometry[points].y
    lon, lat = to_lonlat(x, y, frame.crs.to_wkt())
    return {LON: lon, LAT: lat}, [f"{other} geometries are no points: they have no position"] if other else []


def _cell(value: Any) -> Cell:
    """A value as a workbook would hold it; binary ones are none."""
    if value is None or isinstance(value, bytes) or bool(pd.isna(value)):
        return ""
    if isinstance(value, np.generic):
        return _cell(value.item())
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    return value if isinstance(value, str | float | bool) else float(value) if isinstance(value, int) else str(value)
