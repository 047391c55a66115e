"""Samples from files: points, polygons, or labelled series."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd

from terracube.core.errors import InputError, LeftOut
from terracube.processing.landcover.nomenclature import Nomenclature
from terracube.processing.landcover.samples._columns import encode, find_columns, usual_names
from terracube.processing.landcover.samples.long import Wanted, to_series
from terracube.processing.landcover.samples.places import Samples, make_samples, overlapping
from terracube.processing.landcover.samples.series import Series
from terracube.processing.vectors import format_of, numbers, read_features, read_table

_ROLES = ("sample", "group", "region", "weight", "start", "end")
_OVERLAPS = ("refuse", "leave_out", "keep")


def read_samples(
    path: str | Path,
    *,
    label: str = "label",
    nomenclature: str | Path | Nomenclature | None = None,
    columns: Mapping[str, str] | None = None,
    ignore: Collection[Any] = (),
    layer: str | None = None,
    overlaps: str = "refuse",
) -> Samples | Series:
    """Read samples: polygons or points, or, from a CSV with dates, labelled series.

    Parameters
    ----------
    path : path
        GeoPackage, GeoParquet, GeoJSON, or a CSV (also gzipped) with columns ``longitude`` and ``latitude``; with a
        column ``date`` too it is a long table, which :func:`read_series` reads.
    label : str
        Column of the labels: codes, names or titles of the nomenclature.
    nomenclature : name, path or Nomenclature, optional
        What the labels mean; without it one is made of them.
    columns : mapping, optional
        Column of each role, where it has not its usual name: ``sample`` (name), ``group``, ``region``, ``weight``,
        ``start`` and ``end`` (first and last day of the season); in a CSV also ``lon`` and ``lat``.
    ignore : collection
        Labels that are left out, ``""`` for missing ones.
    layer : str, optional
        Layer of a GeoPackage that has several.
    overlaps : "refuse", "leave_out" or "keep"
        What to do with polygons of different labels that overlap: an error, leave both out, or keep them (pixels that
        both claim are left out when they are extracted).

    Returns
    -------
    Samples or Series
        Without a column for their names, samples are named after their rows, from 0. Each polygon is
        a group of its own, and points at one place are one, unless a column tells the groups.

    Raises
    ------
    InputError
        If a column is missing, a label is unknown, a geometry is empty, invalid or neither point nor polygon (with its
        row), or polygons of different labels overlap.
    MetadataError
        If the CRS is missing.
    AssetError, HostileInputError
        If the file is not what its name says, or too large.
    """
    path = Path(path)
    suffix = format_of(path)
    if overlaps not in _OVERLAPS:
        raise InputError("unknown choice", where="overlaps", expected=", ".join(_OVERLAPS), got=str(overlaps)[:60])
    if suffix.startswith(".csv"):
        table = read_table(path)
        named = set(columns or {}) | {str(name) for name in table.columns}
        if named & {"date", "time"}:
            return to_series(table, Wanted(label, nomenclature, columns, ignore=ignore, where=str(path)))
        frame, held = _points(table, label, columns, str(path))
    else:
        wanted = {label, *usual_names(_ROLES), *(columns or {}).values()}
        frame = read_features(path, suffix, layer, wanted)
        held = find_columns([str(name) for name in frame.columns], label, columns, roles=_ROLES, where=str(path))
    return _checked(_labelled(frame, held, nomenclature, ignore, str(path)), overlaps, str(path))


def _points(
    table: pd.DataFrame, label: str, columns: Mapping[str, str] | None, where: str
) -> tuple[geopandas.GeoDataFrame, dict[str, str]]:
    """Make points of a table with longitude and latitude."""
    names = [str(name) for name in table.columns]
    held = find_columns(names, label, columns, roles=(*_ROLES, "lon", "lat"), where=where)
    if "lon" not in held or "lat" not in held:
        expected = "longitude and latitude"
        raise InputError("the samples have no place", where=where, expected=expected, got=", ".join(names)[:200])
    lon, lat = (numbers(table[held.pop(role)], f"{where}, {role}") for role in ("lon", "lat"))
    lost = ~(np.isfinite(lon) & np.isfinite(lat) & (np.abs(lat) <= 90) & (np.abs(lon) <= 360))
    if lost.any():
        row = int(np.flatnonzero(lost)[0])
        raise InputError("a sample has no place on Earth", where=f"{where}, row {row}", got=f"{lon[row]}, {lat[row]}")
    return geopandas.GeoDataFrame(table, geometry=geopandas.points_from_xy(lon, lat), crs="EPSG:4326"), held


def _labelled(
    frame: geopandas.GeoDataFrame, held: Mapping[str, str], nomenclature: Any, ignore: Collection[Any], where: str
) -> Samples:
    classes, codes, kept, left_out = encode(frame[held["label"]], nomenclature, ignore, where)
    rows = frame[kept]
    known: dict[str, Any] = {role: rows[name].to_numpy() for role, name in held.items() if role != "label"}
    known.setdefault("sample", np.flatnonzero(kept))
    if "weight" in known:
        known["weight"] = numbers(rows[held["weight"]], f"{where}, {held['weight']}")
    for role in ("start", "end"):
        if role in known:
            known[role] = [one if one != "" else None for one in known[role]]
    return replace(make_samples(rows.geometry, codes, classes, **known), left_out=left_out)


def _checked(samples: Samples, overlaps: str, where: str) -> Samples:
    """Refuse polygons that contradict each other, or leave them out."""
    pairs = overlapping(samples) if overlaps != "keep" else []
    if not pairs:
        return samples
    names, labels = samples.sample, samples.labels
    told = [f"{names[one]} ({labels[one]}) and {names[two]} ({labels[two]})" for one, two in pairs]
    if overlaps == "refuse":
        raise InputError(
            "polygons of different classes overlap",
            where=where,
            expected="no place with two labels",
            got="; ".join(told[:5]) + (f"; and {len(told) - 5} more pairs" if len(told) > 5 else ""),
            todo="correct them, or give overlaps='leave_out' or 'keep'",
        )
    lost = sorted({row for pair in pairs for row in pair})
    if len(lost) == len(samples):
        raise InputError("all polygons overlap others of another class", where=where, got=told[0])
    reports = tuple(LeftOut(str(names[row]), "overlaps a polygon of another class") for row in lost)
    kept = np.setdiff1d(np.arange(len(samples)), lost)
    return replace(samples.take(kept), left_out=samples.left_out + reports)
