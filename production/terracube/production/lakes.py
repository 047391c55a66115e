"""Series of lakes from the scenes of a catalogue: a table per lake and date, published with pictures like any product.

The scenes, the mask, the correction and the products are those of a request of the chain ``water``; the polygons are
read from a file, whose checksum is part of the key. The same scenes and the same polygons are summarised once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas
import pystac
from pydantic import BaseModel, ConfigDict, Field

from terracube.core.digest import file_sha256, sha256_of
from terracube.core.errors import AssetError, EmptyResultError, InputError, TerraCubeError
from terracube.core.logging import get_logger
from terracube.core.progress import CancelToken, ProgressCallback, silent
from terracube.core.validation import validated
from terracube.cubes import load
from terracube.cubes.engine import computing
from terracube.cubes.sources import local_path
from terracube.processing.vectors import format_of, read_features
from terracube.processing.water.dates import daily
from terracube.processing.water.lakes import series, write_report
from terracube.production.prepare import Job, explain, find_items, prepare, rejected
from terracube.production.publish import provenance_of
from terracube.production.records import write_record
from terracube.production.request import RunRequest
from terracube.production.run import Clock, RunOptions
from terracube.stac import (
    Catalog,
    derived_from,
    describe_collection,
    file_asset,
    link_versions,
    set_extensions,
    to_query,
)

if TYPE_CHECKING:
    import pandas as pd

_log = get_logger(__name__)
LAKES = "water-lakes"
"""The collection."""
_VERSION = "1.0.0"
_FILES = {
    "table": ("lakes.parquet", "Series with their polygons", "application/vnd.apache.parquet", ["data"]),
    "csv": ("lakes.csv", "The same as text", "text/csv", ["data"]),
    "columns": ("lakes.json", "What the columns are, with units", "application/json", ["metadata"]),
    "report": ("lakes.html", "Map, facts and a picture of each lake", "text/html", ["metadata", "overview"]),
}


class LakeRequest(BaseModel):
    """Which polygons, and from which products."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    run: RunRequest
    polygons: str = Field(max_length=4096, description="file of polygons: GeoPackage, GeoParquet or GeoJSON")
    layer: str | None = Field(default=None, max_length=200, description="of a GeoPackage that has several")
    id: str | None = Field(default=None, max_length=100, description="column that names the polygons")
    min_valid: float = Field(default=0.5, gt=0, le=1, description="least share of a lake that has to be seen")

    @property
    def how(self) -> dict[str, Any]:
        """What is done with the polygons."""
        return {"id": self.id, "layer": self.layer, "min_valid": self.min_valid}


@dataclass(frozen=True)
class LakeResult:
    """What became of it."""

    status: str
    """``done``, ``partly`` (scenes were left out) or ``nothing to do``."""
    item: pystac.Item
    rows: Mapping[str, int]
    """How many rows of the table say what."""
    seconds: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Give plain JSON values."""
        return {
            "status": self.status,
            "item": self.item.id,
            "href": self.item.get_self_href(),
            "rows": dict(self.rows),
            "seconds": {stage: round(value, 3) for stage, value in self.seconds.items()},
        }


def lake_series(
    catalog: Catalog,
    request: LakeRequest | dict[str, Any],
    options: RunOptions | None = None,
    *,
    progress: ProgressCallback = silent,
    cancel: CancelToken | None = None,
) -> LakeResult:
    """Make the series of the lakes of a file from the scenes of a catalogue, unless they are there already.

    Parameters
    ----------
    catalog : Catalog
    request : LakeRequest or dict
    options : RunOptions
        Where to compute; no value depends on it.
    progress, cancel
        Called after each part; asked after each.

    Returns
    -------
    LakeResult
        With the item in the collection ``water-lakes``.

    Raises
    ------
    EmptyResultError
        If there is no scene, or no polygon lies in what they cover.
    TerraCubeError
        If the file or the request is wrong; nothing is published then, and a record is written all the same.
    """
    asked = to_lake_request(request)
    told = {"request": asked.model_dump(mode="json")}
    try:
        result = _series(catalog, asked, _Way(options or RunOptions(), progress, cancel))
    except TerraCubeError as error:
        facts = {"status": "failed", **told, "error": type(error).__name__, "message": str(error)}
        write_record(catalog.root, "lakes", facts)
        raise
    write_record(catalog.root, "lakes", {**result.as_dict(), **told})
    return result


def to_lake_request(value: LakeRequest | dict[str, Any]) -> LakeRequest:
    """Accept a request as a model or as JSON values.

    Raises
    ------
    InputError
        Naming each field that is wrong.
    """
    asked = value if isinstance(value, LakeRequest) else validated(LakeRequest, value, what="wrong lake request")
    if asked.run.chain != "water":
        raise InputError(
            "series of lakes are made of water products", where="chain", expected="water", got=asked.run.chain
        )
    return asked


@dataclass(frozen=True)
class _Way:
    """How it is computed."""

    options: RunOptions
    progress: ProgressCallback
    cancel: CancelToken | None


def _series(catalog: Catalog, asked: LakeRequest, way: _Way) -> LakeResult:
    clock = Clock()
    with clock.stage("prepare"):
        polygons = read_polygons(asked)
        items = find_items(catalog, asked.run)
        checksum = file_sha256(Path(asked.polygons))
    # A file of the same name elsewhere holds other lakes.
    place = str(Path(asked.polygons).resolve())
    slot = sha256_of({"run": asked.run.slot, "polygons": place, **asked.how})
    newest = _newest(catalog, slot)
    without = rejected(items)
    while True:
        with clock.stage("prepare"):
            job = prepare(catalog, asked.run, items, without=without)
            key = sha256_of({"product": job.key, "version": _VERSION, "polygons": checksum, **asked.how})
        if newest is not None and newest.properties.get("terracube:key") == key:
            return LakeResult("nothing to do", newest, newest.properties["terracube:rows"], clock.seconds)
        try:
            with clock.stage("compute"):
                table = table_of(job, polygons, asked.min_valid, way.options, progress=way.progress, cancel=way.cancel)
        except AssetError as error:
            broken = explain(error, job)
            if broken is None:
                raise
            # One bad scene never stops the others.
            _log.warning("left out %s: %s", broken.id, broken.reason)
            without.append(broken)
            continue
        with clock.stage("publish"):
            item = _publish(catalog, job, _Made(table, polygons, asked, key, slot, checksum), newest)
        status = "partly" if job.left_out else "done"
        return LakeResult(status, item, item.properties["terracube:rows"], clock.seconds)


def read_polygons(asked: LakeRequest) -> geopandas.GeoDataFrame:
    """Read the polygons of a request, named (``id``) by their column or by their number.

    Raises
    ------
    InputError
        If the file is of another kind, lacks the column, or a polygon has no name.
    TerraCubeError
        If it cannot be read.
    """
    path = Path(asked.polygons)
    suffix = format_of(path)
    if suffix.startswith(".csv"):
        raise InputError("polygons cannot be read from this", where=str(path), expected=".gpkg, .parquet, .geojson")
    frame = read_features(path, suffix, asked.layer, () if asked.id is None else (asked.id,))
    if asked.id is not None and asked.id not in frame.columns:
        expected = ", ".join(str(name) for name in frame.columns if name != frame.geometry.name)[:300]
        raise InputError("the polygons have no such column", where=str(path), expected=expected, got=asked.id)
    if asked.id is not None and frame[asked.id].isna().any():
        row = int(frame[asked.id].isna().to_numpy().argmax())
        raise InputError("a polygon has no name", where=f"{path}, feature {row + 1}", expected=f"a value of {asked.id}")
    names = frame[asked.id] if asked.id is not None else [f"{number + 1}" for number in range(len(frame))]
    return geopandas.GeoDataFrame({"id": [str(name) for name in names]}, geometry=frame.geometry.values, crs=frame.crs)


def table_of(
    job: Job,
    polygons: geopandas.GeoDataFrame,
    min_valid: float,
    options: RunOptions,
    *,
    progress: ProgressCallback = silent,
    cancel: CancelToken | None = None,
) -> pd.DataFrame:
    """Summarise the products of all dates of a job in polygons; only blocks that hold one are read.

    Raises
    ------
    EmptyResultError
        If none of them lies in what the scenes cover.
    """
    told = job.parameters
    cube = load(job.items, grid=job.plan.grid, bands=list(told.bands), mask=told.mask, groupby=told.groupby)
    with computing(options.scheduler, tasks="zone-", progress=progress, cancel=cancel):
        table = series(daily(cube, told), polygons, min_valid=min_valid, id="id")
    if (table["status"] == "outside").all():
        raise EmptyResultError(
            "no polygon lies in what the scenes cover",
            expected=str(job.plan.grid.bounds),
            got=str(polygons.to_crs(job.plan.grid.crs).total_bounds.tolist()),
            todo="check the CRS of the file, or widen bbox and datetime",
        )
    # The scenes' own masks took the clouds away before: nothing is known of their share.
    return table.drop(columns="cloud_fraction")


def recorded_polygons(item: pystac.Item) -> tuple[geopandas.GeoDataFrame, pd.DataFrame]:
    """Give the polygons and the table of an item that was published here."""
    frame = geopandas.read_parquet(local_path(item, "table"))
    polygons = frame.drop_duplicates("id")[["id", "geometry"]].reset_index(drop=True)
    return polygons, frame.drop(columns="geometry")


@dataclass(frozen=True)
class _Made:
    """What is published."""

    table: pd.DataFrame
    polygons: geopandas.GeoDataFrame
    asked: LakeRequest
    key: str
    slot: str
    checksum: str


def _newest(catalog: Catalog, slot: str) -> pystac.Item | None:
    found = catalog.search(to_query(collections=LAKES, filters=f'terracube:slot="{slot}"'))
    return max(found, key=lambda item: int(item.properties["version"]), default=None)


def _publish(catalog: Catalog, job: Job, made: _Made, newest: pystac.Item | None) -> pystac.Item:
    version = 1 if newest is None else int(newest.properties["version"]) + 1
    period = "".join(c if c.isalnum() or c in "-." else "_" for c in made.asked.run.datetime)[:50]
    item_id = f"{LAKES}_{period}_{made.key[:10]}_v{version}"
    with catalog.stage(item_id) as folder:
        write_report(made.table, made.polygons, folder, title=f"Lakes, {made.asked.run.datetime}")
        item = _item(job, made, folder, item_id)
        item.properties["version"] = str(version)
        updates = [] if newest is None else [link_versions(item, newest)]
        told = "Series of water quality in lakes, reaches and strips"
        catalog.add_collection(describe_collection(LAKES, title="Lakes", description=told))
        return catalog.publish(item, folder, updates=updates)


def _item(job: Job, made: _Made, folder: Path, item_id: str) -> pystac.Item:
    west, south, east, north = (float(edge) for edge in made.polygons.to_crs(4326).total_bounds)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    moments = [scene.acquired for group in job.plan.groups for scene in group]
    item = pystac.Item(
        item_id, {"type": "Polygon", "coordinates": [ring]}, [west, south, east, north], None,
        {"created": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")},
        start_datetime=min(moments), end_datetime=max(moments), collection=LAKES,
    )  # fmt: skip
    item.common_metadata.title = f"Lakes, {made.asked.run.datetime}"
    rows = made.table["status"].value_counts()
    item.properties |= {
        "terracube:slot": made.slot,
        "terracube:rows": {str(status): int(count) for status, count in rows.items()},
        "terracube:polygons": {"count": len(made.polygons), "sha256": made.checksum, **made.asked.how},
        "terracube:grid": job.plan.grid.as_dict(),
        "terracube:product_key": job.key,
        **provenance_of(job).properties(),
        "terracube:key": made.key,
    }
    item.add_links(derived_from(job.items))
    for name, (file, title, kind, roles) in _FILES.items():
        item.add_asset(name, file_asset(folder / file, href=f"./{file}", title=title, media_type=kind, roles=roles))
    return set_extensions(item)
