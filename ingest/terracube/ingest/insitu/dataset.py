"""A data set of observations as an item of the catalogue: files, place, time, quality and where it came from."""

from __future__ import annotations

import csv
import dataclasses
import importlib.metadata
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pystac
from numpy.typing import NDArray

from terracube.core.files import storage_error
from terracube.ingest.insitu.parquet import PRIMARY_GEOMETRY, columns, write_partitions
from terracube.ingest.insitu.qc import counts
from terracube.ingest.insitu.spreadsheet import neutral
from terracube.ingest.insitu.table import FAIL, SUSPECT, Issue
from terracube.stac import describe_collection, file_asset, file_fields, set_extensions

COLLECTION = "insitu"
CONTENT = "terracube:content"
OBSERVATIONS = "observations"
PARQUET = "application/vnd.apache.parquet"
_MOST_POINTS = 1000
_SOFTWARE = ("terracube", "ioos-qc", "pandas", "pyarrow", "pint")
# A data set of which more than this share is suspect or failed is itself suspect.
_MOST_BAD = 0.1
_LICENCE = re.compile(r"[\w\-.+]{1,80}")
_DOI = re.compile(r"10\.[0-9]{4,9}/\S{1,200}")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A delivered file."""

    name: str
    sha256: str
    size: int
    """Bytes."""
    refused: str = ""
    """Why nothing was taken from it; empty if something was."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """Observations, tested, and what is known of them."""

    id: str
    table: pd.DataFrame
    """Canonical."""
    sources: tuple[SourceFile, ...]
    content: str
    """Digest of the delivered bytes, the mapping and the tests' configuration."""
    issues: tuple[Issue, ...] = ()
    about: Mapping[str, str] = field(default_factory=dict)
    """title, attribution, licence, doi, url."""
    notes: tuple[str, ...] = ()
    mapping: Mapping[str, Any] | None = None
    """As plain JSON; None where the files say all themselves."""

    def verdict(self) -> tuple[str, list[str]]:
        """Judge the whole: ``accepted`` or ``suspect``, with reasons."""
        judged = len(self.table)
        bad = self.table["qc"].isin([SUSPECT, FAIL]).sum()
        reasons = []
        if bad > _MOST_BAD * judged:
            reasons.append(f"{bad} of {judged} observations are suspect or failed")
        reasons += [f"{source.name} was refused: {source.refused}" for source in self.sources if source.refused]
        return ("suspect" if reasons else "accepted"), reasons


def collection() -> pystac.Collection:
    """Describe the collection of all data sets of observations."""
    told = "Measurements in situ: one item per data set, a table of observations partitioned by variable and year."
    return describe_collection(COLLECTION, title="Measurements in situ", description=told)


def write_dataset(data: DataSet, folder: Path) -> pystac.Item:
    """Write a data set into an empty folder, and describe it as an item for `terracube.stac.Catalog.publish`.

    Raises
    ------
    InputError
        If the table is not canonical.
    StorageError
        If the disk refuses.
    """
    write_partitions(data.table, folder / OBSERVATIONS)
    geometry, bbox = place(data.table)
    item = pystac.Item(data.id, geometry, bbox, None, {}, collection=COLLECTION, **_period(data.table))
    item.properties.update(_properties(data))
    item.add_asset(OBSERVATIONS, _observations(folder / OBSERVATIONS))
    _add_issues(item, data.issues, folder)
    if data.mapping is not None:
        _write(folder / "mapping.json", json.dumps(data.mapping, ensure_ascii=False, indent=2, sort_keys=True))
        title = "What the columns were declared to mean"
        asset = file_asset(folder / "mapping.json", href="./mapping.json", title=title, roles=["metadata"])
        item.add_asset("mapping", asset)
    _add_links(item, data.about)
    return set_extensions(item)


def place(table: pd.DataFrame) -> tuple[dict[str, Any] | None, list[float] | None]:
    """Give the positions as GeoJSON, and their box; None, None if there are none.

    Positions that a test of location doubts are left out; beyond 1000 it is their box that is given. The box is the
    narrowest: with west > east if it crosses the antimeridian.

    Examples
    --------
    >>> from terracube.ingest.insitu.table import make
    >>> place(make(2, station="A", variable="ph", value=7.0, lon=[179.5, -179.5], lat=[1.0, 2.0], source="a:1"))[1]
    [179.5, 1.0, -179.5, 2.0]
    """
    trusted = ~table["qc_tests"].str.contains("location", regex=False).to_numpy(bool)
    points = table.loc[trusted, ["lon", "lat"]].dropna().drop_duplicates().sort_values(["lon", "lat"]).to_numpy()
    points = np.unique(np.round(points[(np.abs(points) <= [180.0, 90.0]).all(axis=1)], 7), axis=0)
    if len(points) == 0:
        return None, None
    west, east = _narrowest(points[:, 0])
    bbox = [west, float(points[:, 1].min()), east, float(points[:, 1].max())]
    if len(points) == 1:
        return {"type": "Point", "coordinates": points[0].tolist()}, bbox
    if len(points) <= _MOST_POINTS:
        return {"type": "MultiPoint", "coordinates": points.tolist()}, bbox
    return _box(bbox), bbox


def _narrowest(lon: NDArray[np.float64]) -> tuple[float, float]:
    """Give west and east of the shortest arc that holds all longitudes (sorted)."""
    steps = np.diff(np.append(lon, lon[0] + 360.0))
    widest = int(np.argmax(steps))
    if widest == len(lon) - 1:
        return float(lon[0]), float(lon[-1])
    return float(lon[widest + 1]), float(lon[widest])


def _box(bbox: Sequence[float]) -> dict[str, Any]:
    west, south, east, north = bbox
    parts = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
    rings = [[[[w, south], [e, south], [e, north], [w, north], [w, south]]] for w, e in parts]
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings[0]}
    return {"type": "MultiPolygon", "coordinates": rings}


def _period(table: pd.DataFrame) -> dict[str, Any]:
    return {
        "start_datetime": table["time"].min().to_pydatetime(),
        "end_datetime": table["time"].max().to_pydatetime(),
    }


def _properties(data: DataSet) -> dict[str, Any]:
    table, about = data.table, data.about
    verdict, reasons = data.verdict()
    by_action = pd.Series([issue.action for issue in data.issues], dtype=object).value_counts()
    told = {
        "title": about.get("title", ""),
        "license": _licence(about.get("licence", "")),
        "terracube:licence": about.get("licence", ""),
        "terracube:attribution": about.get("attribution", ""),
        "sci:doi": _doi(about.get("doi", "")),
        "terracube:notes": list(data.notes),
        "terracube:quality_reasons": reasons,
    }
    return {
        **{key: value for key, value in told.items() if value},
        "table:columns": columns(),
        "table:row_count": len(table),
        "table:primary_geometry": PRIMARY_GEOMETRY,
        "terracube:variables": sorted(table["variable"].unique().tolist()),
        "terracube:stations": int(table["station"].nunique()),
        "terracube:without_position": int(table["lon"].isna().sum()),
        "terracube:censored": int((table["censored"] != "").sum()),
        "terracube:qc": counts(table),
        "terracube:issues": {str(action): int(count) for action, count in sorted(by_action.items())},
        "terracube:sources": [_source(source) for source in data.sources],
        CONTENT: data.content,
        "terracube:quality": verdict,
        "processing:software": {name: importlib.metadata.version(name) for name in _SOFTWARE},
    }


def _source(source: SourceFile) -> dict[str, Any]:
    return {key: value for key, value in dataclasses.asdict(source).items() if value != "" or key == "name"}


def _licence(text: str) -> str:
    """Give what STAC takes for a licence: an identifier, or ``other`` for what is told in words."""
    return (text if _LICENCE.fullmatch(text) else "other") if text else ""


def _doi(text: str) -> str:
    found = _DOI.search(text)
    return found.group() if found else ""


def _observations(folder: Path) -> pystac.Asset:
    return pystac.Asset(
        f"./{OBSERVATIONS}",
        title="Observations",
        description="GeoParquet 1.1, Hive partitions by variable and year. file:checksum is the sha256 of a manifest: "
        "one line per file, sorted by path, of its sha256 (hex), two spaces and its path.",
        media_type=PARQUET,
        roles=["data"],
        extra_fields=file_fields(folder),
    )


def _add_issues(item: pystac.Item, issues: Sequence[Issue], folder: Path) -> None:
    if not issues:
        return
    path = folder / "issues.csv"
    try:
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow([each.name for each in dataclasses.fields(Issue)])
            writer.writerows([[neutral(value) for value in dataclasses.astuple(issue)] for issue in issues])
    except OSError as error:
        raise storage_error(error, path) from error
    title = "What was left out or doubted"
    asset = file_asset(path, href="./issues.csv", title=title, roles=["metadata"], media_type="text/csv")
    item.add_asset("issues", asset)


def _add_links(item: pystac.Item, about: Mapping[str, str]) -> None:
    if doi := _doi(about.get("doi", "")):
        item.add_link(pystac.Link("cite-as", f"https://doi.org/{doi}"))
    url = about.get("url", "")
    if url.startswith(("https://", "http://")):
        item.add_link(pystac.Link("via", url))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise storage_error(error, path) from error
