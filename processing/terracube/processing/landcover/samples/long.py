"""Labelled series from a long table: one row per sample and date."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from terracube.core.errors import ConflictError, InputError
from terracube.processing.landcover.nomenclature import Nomenclature
from terracube.processing.landcover.samples._columns import encode, find_columns
from terracube.processing.landcover.samples.align import blank, common_days, days_since, season_start, to_times
from terracube.processing.landcover.samples.series import Series, make_series
from terracube.processing.vectors import format_of, numbers, read_table

_ROLES = ("sample", "group", "region", "weight", "start", "lon", "lat", "date")
_MUST = ("sample", "date")


def read_series(
    path: str | Path,
    *,
    label: str = "label",
    nomenclature: str | Path | Nomenclature | None = None,
    columns: Mapping[str, str] | None = None,
    bands: Collection[str] | None = None,
    ignore: Collection[Any] = (),
    season: str | None = None,
) -> Series:
    """Read labelled series from a CSV (also gzipped) with one row per sample and date.

    Parameters
    ----------
    path : path
        ``.csv`` or ``.csv.gz``, UTF-8, with a header. An empty value is missing.
    label : str
        Column of the labels: codes, names or titles of the nomenclature.
    nomenclature : name, path or Nomenclature, optional
        What the labels mean; without it one is made of them.
    columns : mapping, optional
        Column of each role, where it has not its usual name: ``sample``, ``date``, ``lon``, ``lat`` (degrees, WGS 84),
        ``group``, ``region``, ``weight``, ``start`` (first day of the season).
    bands : collection of str, optional
        Columns that are bands, in that order; without it all columns that have no other role.
    ignore : collection
        Labels whose rows are left out.
    season : str, optional
        First day of every season, ``"MM-DD"``. Without it, and without a column ``start``, day 0 of each sample is its
        first date.

    Returns
    -------
    Series
        In the order in which the samples first occur. Days of different samples that are within one day of each other
        share a date. Samples at one place are one group, unless a column tells the groups.

    Raises
    ------
    InputError
        If a column is missing, a label is unknown, or something is no number or no date, with its row.
    ConflictError
        If a sample has two labels, places or seasons, or two rows at one date.
    AssetError, HostileInputError, BudgetError
        If the file is no CSV, or too large.
    """
    path = Path(path)
    suffix = format_of(path)
    if not suffix.startswith(".csv"):
        raise InputError("series are read from a long table", where=str(path), expected=".csv, .csv.gz", got=suffix)
    wanted = Wanted(label, nomenclature, columns, bands, ignore, season, where=str(path))
    return to_series(read_table(path), wanted)


def series_of(
    table: pd.DataFrame,
    *,
    label: str = "label",
    nomenclature: str | Path | Nomenclature | None = None,
    columns: Mapping[str, str] | None = None,
    bands: Collection[str] | None = None,
    ignore: Collection[Any] = (),
    season: str | None = None,
) -> Series:
    """Make labelled series of a long table; see :func:`read_series`.

    Examples
    --------
    >>> days = ["2018-01-01", "2018-01-11", "2018-01-01", "2018-01-11"]
    >>> rows = {"sample": [1, 1, 2, 2], "label": ["Soy", "Soy", "Rice", "Rice"], "date": days, "red": [0.1, 0.2, 0, 0]}
    >>> found = series_of(pd.DataFrame(rows))
    >>> found.values.shape, found.labels.tolist(), found.nomenclature.names
    ((2, 2, 1), [2, 1], ('Rice', 'Soy'))
    """
    return to_series(table, Wanted(label, nomenclature, columns, bands, ignore, season))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a long table means, as :func:`read_series` is told."""

    label: str
    nomenclature: str | Path | Nomenclature | None = None
    columns: Mapping[str, str] | None = None
    bands: Collection[str] | None = None
    ignore: Collection[Any] = ()
    season: str | None = None
    where: str = "table"
    """What the table is called in messages."""


def to_series(table: pd.DataFrame, wanted: Wanted) -> Series:
    """Make labelled series of a long table."""
    where = wanted.where
    held = find_columns([str(name) for name in table.columns], wanted.label, wanted.columns, roles=_ROLES, where=where)
    lacking = [role for role in _MUST if role not in held]
    if lacking:
        todo = f"columns={{{lacking[0]!r}: ...}}"
        raise InputError("a column is missing", where=where, expected=", ".join(_MUST), got=str(list(held)), todo=todo)
    classes, codes, kept, left_out = encode(table[wanted.label], wanted.nomenclature, wanted.ignore, where)
    table = table[kept].reset_index(drop=True)
    names, first, owner = _owners(table[held["sample"]])
    _check_constant(table, held, names, owner, where)
    times = _times(table[held["date"]], f"{where}, {held['date']}")
    start = _starts(table, held, times, owner, wanted)
    bands = _bands(table, held, wanted.bands, where)
    observed = np.stack([_float32(numbers(table[band], f"{where}, {band}")) for band in bands], axis=1)
    days, place = common_days(owner, days_since(times, start[owner]))
    series = blank(len(names), len(days), len(bands))
    series[owner, place] = observed
    return make_series(
        series, days, bands, codes[first], sample=names, start=start, nomenclature=classes, left_out=left_out,
        **_facts(table, held, first, where),
    )  # fmt: skip


def _float32(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Round to float32; what it cannot hold is missing."""
    with np.errstate(over="ignore"):
        found = values.astype(np.float32)
    found[~np.isfinite(found)] = np.nan
    return found


def _owners(column: pd.Series) -> tuple[NDArray[np.str_], NDArray[np.int64], NDArray[np.int64]]:
    """Give the names of the samples as they first occur, the first row of each, and the number of each row's."""
    number, names = pd.factorize(column.astype(str))
    first = np.full(len(names), -1, np.int64)
    first[number[::-1]] = np.arange(len(number))[::-1]
    return np.asarray(names, dtype=object).astype(np.str_), first, number.astype(np.int64)


def _check_constant(
    table: pd.DataFrame, held: Mapping[str, str], names: NDArray[np.str_], owner: NDArray[np.int64], where: str
) -> None:
    """Refuse a sample that is told differently in its rows."""
    first = np.unique(owner, return_index=True)[1]
    for role, column in held.items():
        if role in ("sample", "date"):
            continue
        number = pd.factorize(table[column])[0]  # what is missing is the same everywhere
        wrong = np.flatnonzero(number != number[first][owner])
        if len(wrong):
            row = int(wrong[0])
            told = table[column].to_numpy(dtype=object)
            raise ConflictError(
                f"a sample has two values of {column}",
                where=f"{where}, sample {names[owner[row]]}",
                expected=str(told[first[owner[row]]])[:60],
                got=str(told[row])[:60],
            )


def _times(column: pd.Series, where: str) -> NDArray[np.datetime64]:
    times = to_times(column, where)
    if np.isnat(times).any():
        raise InputError("a date is missing", where=f"{where}, row {int(np.isnat(times).argmax())}")
    return times


def _starts(
    table: pd.DataFrame,
    held: Mapping[str, str],
    times: NDArray[np.datetime64],
    owner: NDArray[np.int64],
    wanted: Wanted,
) -> NDArray[np.datetime64]:
    """Give the first day of each sample's season."""
    first = np.full(int(owner.max()) + 1, np.datetime64("2262-01-01", "ns"))
    np.minimum.at(first, owner, times)
    if wanted.season is not None:
        return season_start(first, wanted.season)
    if "start" not in held:
        return first.astype("datetime64[D]")
    start = np.zeros(len(first), "datetime64[ns]")
    start[owner] = _times(table[held["start"]], f"{wanted.where}, {held['start']}")
    return start.astype("datetime64[D]")


def _bands(table: pd.DataFrame, held: Mapping[str, str], bands: Collection[str] | None, where: str) -> list[str]:
    taken = set(held.values())
    names = [str(name) for name in table.columns if str(name) not in taken] if bands is None else list(bands)
    wrong = [name for name in names if name in taken or name not in table.columns]
    if wrong or not names or len(set(names)) < len(names):
        got = ", ".join(map(str, wrong or names)) or "none"
        raise InputError("these are no bands", where=where, expected="columns with numbers", got=got[:200])
    return names


def _facts(table: pd.DataFrame, held: Mapping[str, str], first: NDArray[np.int64], where: str) -> dict[str, Any]:
    """Give what is known of each sample besides its label."""
    rows = table.iloc[first]
    facts: dict[str, Any] = {}
    for role in ("lon", "lat", "weight"):
        if role in held:
            facts[role] = numbers(rows[held[role]], f"{where}, {held[role]}")
    if "region" in held:
        facts["region"] = rows[held["region"]].astype(str).to_numpy(dtype=object).astype(np.str_)
    places = "lon" in facts and "lat" in facts
    if places:
        facts |= {"x": facts["lon"], "y": facts["lat"], "crs": "EPSG:4326"}
    if "group" in held:
        facts["groups"] = np.unique(rows[held["group"]].astype(str).to_numpy(dtype=object), return_inverse=True)[1]
    elif places:
        facts["groups"] = _by_place(facts["lon"], facts["lat"])
    return facts


def _by_place(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.int64]:
    """Give samples at one place one number; one without a place is alone."""
    known = np.isfinite(lon) & np.isfinite(lat)
    own = np.where(known, 0.0, np.arange(1.0, len(lon) + 1))
    keys = np.stack([np.where(known, lon, 0.0), np.where(known, lat, 0.0), own], axis=1)
    return np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
