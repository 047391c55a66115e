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
from terracube.core.errors import EmptyResultError, InputError
from terracube.core.validation import validated
from terracube.cubes import load
from terracube.processing.vectors import format_of, read_features
from terracube.processing.water.dates import daily
from terracube.processing.water.lakes import series, write_report
from terracube.production.prepare import Job, find_items, prepare, rejected
from terracube.production.publish import provenance_of
from terracube.production.records import write_record
from terracube.production.request import RunRequest
from terracube.production.run import Clock
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


def lake_series(catalog: Catalog, request: LakeRequest | dict[str, Any]) -> LakeResult:
    """Make the series of the lakes of a file from the scenes of a catalogue, unless they are there already.

    Parameters
    ----------
    catalog : Catalog
    request : LakeRequest or dict

    Returns
    -------
    LakeResult
        With the item in the collection ``water-lakes``.

    Raises
    ------
    EmptyResultError
        If there is no scene, or no polygon lies in what they cover.
    TerraCubeError
        If the file or the request is wrong; nothing is published then.
    """
    asked = request if isinstance(request, LakeRequest) else validated(LakeRequest, request, what="wrong lake request")
    if asked.run.chain != "water":
        raise InputError(
            "series of lakes are made of water products", where="chain", expected="water", got=asked.run.chain
        )
    clock = Clock()
    with clock.stage("prepare"):
        path = Path(asked.polygons)
        polygons = _polygons(path, asked)
        items = find_items(catalog, asked.run)
        job = prepare(catalog, asked.run, items, without=rejected(items))
        how = {"id": asked.id, "layer": asked.layer, "min_valid": asked.min_valid}
        checksum = file_sha256(path)
        key = sha256_of({"product": job.key, "version": _VERSION, "polygons": checksum, **how})
    # A file of the same name elsewhere holds other lakes.
    slot = sha256_of({"run": asked.run.slot, "polygons": str(path.resolve()), **how})
    newest = _newest(catalog, slot)
    if newest is not None and newest.properties.get("terracube:key") == key:
        return LakeResult("nothing to do", newest, newest.properties.get("terracube:rows", {}), clock.seconds)
    with clock.stage("compute"):
        table = _table(job, polygons, asked)
    status = "partly" if job.left_out else "done"
    with clock.stage("publish"):
        item = _publish(catalog, job, _Made(table, polygons, asked, key, slot, checksum), newest)
    result = LakeResult(status, item, item.properties["terracube:rows"], clock.seconds)
    write_record(catalog.root, "lakes", {**result.as_dict(), "request": asked.model_dump(mode="json")})
    return result


def _polygons(path: Path, asked: LakeRequest) -> geopandas.GeoDataFrame:
    """Read the polygons, named by their column or by their number."""
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


def _table(job: Job, polygons: geopandas.GeoDataFrame, asked: LakeRequest) -> pd.DataFrame:
    """Summarise the products of all dates in the polygons; only blocks that hold one are read."""
    told = job.parameters
    cube = load(job.items, grid=job.plan.grid, bands=list(told.bands), mask=told.mask, groupby=told.groupby)
    table = series(daily(cube, told), polygons, min_valid=asked.min_valid, id="id")
    if (table["status"] == "outside").all():
        raise EmptyResultError(
            "no polygon lies in what the scenes cover",
            where=asked.polygons,
            expected=str(job.plan.grid.bounds),
            got=str(polygons.total_bounds.tolist()),
            todo="check the CRS of the file, or widen bbox and datetime",
        )
    # The scenes' own masks took the clouds away before: nothing is known of their share.
    return table.drop(columns="cloud_fraction")


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
        "terracube:polygons": {"count": len(made.polygons), "sha256": made.checksum},
        **provenance_of(job).properties(),
        "terracube:key": made.key,
    }
    item.add_links(derived_from(job.items))
    for name, (file, title, kind, roles) in _FILES.items():
        item.add_asset(name, file_asset(folder / file, href=f"./{file}", title=title, media_type=kind, roles=roles))
    return set_extensions(item)
