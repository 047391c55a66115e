"""What is handed on: the table as CSV, its latest state on a map as GeoParquet, and a page with a picture per lake."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from terracube.core.errors import InputError
from terracube.core.files import atomic_path, write_text
from terracube.core.html import png_data_uri, render
from terracube.processing.water.lakes.pictures import overview, picture
from terracube.processing.water.lakes.timeline import STATUS

# Pictures in one page; of more lakes the rest is in the table alone.
_MOST_PICTURES = 50
_KM2 = 1e6


def write_csv(table: pd.DataFrame, path: Path) -> Path:
    """Write a series as CSV: one header line, dates in ISO 8601 (UTC), nothing where a value is missing.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    told = table.copy()
    if "time" in told.columns:
        told["time"] = told["time"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    for name in told.columns[[dtype.kind == "O" for dtype in told.dtypes]]:
        told[name] = told[name].map(_unarmed)
    write_text(path, told.to_csv(index=False, lineterminator="\n", float_format="%.9g"))
    return path


def write_geoparquet(table: pd.DataFrame, polygons: geopandas.GeoDataFrame, path: Path) -> Path:
    """Write a series with its polygons as GeoParquet: one row per polygon and date.

    Parameters
    ----------
    table : pandas.DataFrame
    polygons : geopandas.GeoDataFrame
        With a column ``id``, or its index, as in the table; and a CRS.
    path : Path

    Raises
    ------
    InputError
        If a polygon of the table is not there.
    StorageError
        If the disk refuses.
    """
    placed = _placed(table, polygons)
    with atomic_path(path) as temporary:
        placed.to_parquet(temporary, index=False, write_covering_bbox=True)
    return path


def write_report(
    table: pd.DataFrame, polygons: geopandas.GeoDataFrame, folder: Path, *, title: str = "Lakes",
    column: str | None = None, max_pictures: int = _MOST_PICTURES,
) -> list[Path]:  # fmt: skip
    """Write ``lakes.html`` (map, facts, a picture per lake), ``lakes.csv``, ``lakes.parquet`` and ``lakes.json``.

    Parameters
    ----------
    table : pandas.DataFrame
        Of :func:`terracube.processing.water.lakes.series`.
    polygons : geopandas.GeoDataFrame
        With a column ``id``, or its index, as in the table; and a CRS.
    folder : Path
    title : str
    column : str, optional
        What colours the map; the median of the first product, or the share of water, unless given.
    max_pictures : int
        Lakes with a picture, the largest first.

    Returns
    -------
    list of Path
        The files; each is there whole or not at all. All names in the page are escaped.

    Raises
    ------
    InputError
        If a polygon of the table is not there.
    StorageError
        If the disk refuses.
    """
    placed = _placed(table, polygons)
    lakes = [_lake(rows, table) for _, rows in table.groupby("id", sort=False)]
    largest = sorted(lakes, key=lambda lake: -lake["area"])[:max_pictures] if "time" in table.columns else []
    for lake in largest:
        lake["picture"] = _as_uri(picture(table, lake["id"]))
    shown = column or _first(table)
    # One polygon far away would leave no room for those that were asked about.
    there = placed.loc[placed["status"] != "outside"].drop_duplicates("id")
    page = render(
        "terracube.processing.water.lakes",
        "lakes.html",
        title=title,
        lakes=lakes,
        facts=_facts(table),
        status=STATUS,
        map=None if shown is None or not len(there) else _as_uri(overview(table, there, shown)),
        column=shown,
        left_out=len(lakes) - len(largest) if "time" in table.columns else 0,
    )
    files = [folder / f"lakes.{end}" for end in ("csv", "parquet", "json", "html")]
    write_csv(table, files[0])
    write_geoparquet(table, polygons, files[1])
    write_text(files[2], json.dumps(_described(table), indent=1, allow_nan=False) + "\n")
    write_text(files[3], page)
    return files


def _placed(table: pd.DataFrame, polygons: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """Give the table with the polygon of each row."""
    named = polygons.set_index("id") if "id" in polygons.columns else polygons
    absent = table.loc[~table["id"].isin(named.index), "id"]
    if len(absent) or not named.index.is_unique:
        got = repr(absent.iloc[0]) if len(absent) else "two polygons of one id"
        raise InputError("each row needs one polygon", where="polygons", expected="the ids of the table", got=got[:120])
    shapes = named.geometry.reindex(table["id"]).to_numpy()
    return geopandas.GeoDataFrame(table.copy(), geometry=shapes, crs=polygons.crs)


def _unarmed(value: Any) -> Any:
    """Put an apostrophe before what a spreadsheet would take for a formula; names come from outside."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _first(table: pd.DataFrame) -> str | None:
    medians = [str(column) for column in table.columns if str(column).endswith("_median")]
    known = [*medians, *(["wet_fraction"] if "wet_fraction" in table.columns else [])]
    return known[0] if known else None


def _facts(table: pd.DataFrame) -> list[tuple[str, str]]:
    counts = table["status"].value_counts()
    facts = [(f"{table['id'].nunique():,}", "polygons")]
    if "time" in table.columns:
        facts.append((f"{table['time'].nunique():,}", "dates"))
    return facts + [(f"{counts.get(status, 0):,}", f"rows: {status}") for status in STATUS]


def _lake(rows: pd.DataFrame, table: pd.DataFrame) -> dict[str, Any]:
    """Give what the page tells of one lake."""
    ok = rows["status"] == "ok"
    area = float(np.nan_to_num(rows["area_total"].iloc[0]))
    told: dict[str, Any] = {"id": rows["id"].iloc[0], "area": area, "area_text": f"{area / _KM2:.4g}", "picture": None}
    told |= {"ok": int(ok.sum()), "rows": len(rows), "note": str(rows["note"].iloc[0])}
    told["seen"] = f"{100 * rows['valid_fraction'].mean():.0f} %" if rows["valid_fraction"].notna().any() else "-"
    units = table.attrs.get("units", {})
    told["medians"] = [
        _written(str(column).removesuffix("_median"), float(rows[column].median()), units.get(column, "1"))
        for column in rows.columns
        if str(column).endswith("_median") and rows[column].notna().any()
    ]
    return told


def _written(name: str, value: float, unit: str) -> str:
    return f"{name} {value:.4g}" if unit == "1" else f"{name} {value:.4g} {unit}"


def _described(table: pd.DataFrame) -> dict[str, Any]:
    """Say what the columns are, for those who read the files without the library."""
    return {
        "columns": {str(name): str(dtype) for name, dtype in table.dtypes.items()},
        "units": dict(table.attrs.get("units", {})),
        "status": dict(STATUS),
    }


def _as_uri(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return png_data_uri(buffer.getvalue())
