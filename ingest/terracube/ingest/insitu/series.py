"""One station, one variable: observations as an xarray object, over time or over time and depth."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from terracube.core.errors import BudgetError, InputError, NotFoundError
from terracube.ingest.insitu.access import open_table
from terracube.ingest.insitu.table import GOOD, MISSING, NOT_EVALUATED
from terracube.ingest.insitu.vocabulary import vocabulary
from terracube.stac import Catalog

_MOST_CELLS = 1 << 26
FLAG_ATTRS: Mapping[str, Any] = {
    "long_name": "QARTOD quality flag",
    "standard_name": "aggregate_quality_flag",
    "flag_values": np.array([1, 2, 3, 4, 9], "int8"),
    "flag_meanings": "good not_evaluated suspect fail missing",
}


def series(
    source: pd.DataFrame | Catalog | Path | str,
    station: str,
    variable: str,
    *,
    qc: Collection[int] = (GOOD, NOT_EVALUATED),
    depth_step: float | None = None,
    average: bool = False,
    **chosen: str | float,
) -> xr.DataArray:
    """Give the observations of one variable at one station.

    Parameters
    ----------
    source : DataFrame, Catalog or path of one
        Where they are.
    station, variable : str
        Id of the station, name in the vocabulary.
    qc : collection of int
        Flags of the observations to keep: good and not evaluated ones unless told; ``(1, 2, 3, 4)`` keeps all values.
    depth_step : float
        Round depths to multiples of so many metres, for profiles that never meet the same depth twice.
    average : bool
        Take the mean where several values share a time and depth; else that is an error.
    **chosen
        ``depth`` (metres), ``method``, ``replicate``: take only these.

    Returns
    -------
    xarray.DataArray
        float64, by ``time`` (UTC, increasing), or by ``time`` and ``depth`` (metres, positive down, increasing) if
        there are several depths; NaN where nothing was measured. ``units`` and ``standard_name`` are CF's. Coordinates
        beside: ``qc`` (9 where there is nothing), ``censored`` (``"<"``: the value is an upper limit), ``lon``,
        ``lat``, ``station``, and ``depth`` where there is one only.

    Raises
    ------
    NotFoundError
        If the station has no observation of the variable.
    InputError
        If several values share a time and depth, or a censored one would be averaged with its opposite.
    BudgetError
        If times and depths span more than 67 million cells.

    Examples
    --------
    >>> from terracube.ingest.insitu.table import make
    >>> times = np.array(["2020-01-02", "2020-01-01"], "M8[us]")
    >>> table = make(station="A", variable="water_temperature", time=times, value=[4.0, 5.0], unit="degC", source="a:1")
    >>> series(table, "A", "water_temperature").values.tolist()
    [5.0, 4.0]
    """
    rows = _rows(source, station, variable, chosen)
    rows = rows[rows["qc"].isin(list(qc)) & (rows["qc"] != MISSING)]
    depth = rows["depth"].to_numpy()
    if depth_step is not None:
        rows = rows.assign(depth=np.round(depth / depth_step) * depth_step)
    cells = _cells(rows, variable, average=average)
    levels = np.unique(cells["depth"].to_numpy())
    array = _profile(cells, levels) if len(levels) > 1 else _line(cells)
    if len(levels) == 1 and np.isfinite(levels[0]):
        array = array.assign_coords(depth=levels[0])
    return _described(array, rows, station, variable)


def _rows(
    source: pd.DataFrame | Catalog | Path | str, station: str, variable: str, chosen: Mapping[str, str | float]
) -> pd.DataFrame:
    unknown = set(chosen) - {"depth", "method", "replicate"}
    if unknown:
        raise InputError(
            "no such choice", where="series", expected="depth, method, replicate", got=", ".join(sorted(unknown))
        )
    table = source if isinstance(source, pd.DataFrame) else open_table(source, variable, station)
    rows = table[(table["station"] == station) & (table["variable"] == variable)]
    for name, value in chosen.items():
        rows = rows[rows[name] == value]
    if len(rows) == 0:
        told = ", ".join([station, variable, *(f"{name} {value}" for name, value in chosen.items())])
        raise NotFoundError("there are no such observations", where="in-situ table", got=told)
    return rows


def _cells(rows: pd.DataFrame, variable: str, *, average: bool) -> pd.DataFrame:
    """Give one row per time and depth, sorted."""
    keys = ["time", "depth"]
    once = rows.drop_duplicates([*keys, "value", "censored", "method", "replicate"]).sort_values(keys)
    several = once.duplicated(keys, keep=False)
    if not several.any():
        return once
    if not average:
        told = {name: sorted(once.loc[several, name].unique()) for name in ("method", "replicate")}
        raise InputError(
            "several values share a time and depth",
            where=variable,
            got="; ".join(f"{name}: {', '.join(map(repr, values[:8]))}" for name, values in told.items()),
            todo="choose a method or replicate, or take their mean: average=True",
        )
    marks = once["censored"].to_numpy(object)
    groups = once.assign(below=marks == "<", above=marks == ">").groupby(keys, dropna=False, sort=True)
    cells = groups.agg({"value": "mean", "qc": "max", "below": "any", "above": "any"}).reset_index()
    if (cells["below"] & cells["above"]).any():
        raise InputError("a value below a limit has no mean with one above", where=variable)
    # The mean with an upper limit is an upper limit.
    return cells.assign(censored=np.select([cells["below"], cells["above"]], ["<", ">"], ""))


def _line(cells: pd.DataFrame) -> xr.DataArray:
    coords = {
        "time": _naive(cells["time"]),
        "qc": ("time", cells["qc"].to_numpy("uint8")),
        "censored": ("time", cells["censored"].to_numpy(object).astype("U1")),
    }
    return xr.DataArray(cells["value"].to_numpy(), coords, ("time",))


def _profile(cells: pd.DataFrame, levels: np.ndarray) -> xr.DataArray:
    if np.isnan(levels).any():
        raise InputError(
            "some depths are known and others not",
            where="depth",
            got=f"{int(cells['depth'].isna().sum())} of {len(cells)} without depth",
            todo="choose a depth",
        )
    times, row = np.unique(_naive(cells["time"]), return_inverse=True)
    if len(times) * len(levels) > _MOST_CELLS:
        raise BudgetError(
            "too many times and depths for one array",
            where="series",
            expected=f"<= {_MOST_CELLS}",
            got=f"{len(times)} x {len(levels)}",
            todo="give depth_step",
        )
    column = np.searchsorted(levels, cells["depth"].to_numpy())
    shape = (len(times), len(levels))
    value, flag, mark = np.full(shape, np.nan), np.full(shape, MISSING, "uint8"), np.full(shape, "", "U1")
    value[row, column], flag[row, column] = cells["value"], cells["qc"]
    mark[row, column] = cells["censored"].to_numpy(object).astype("U1")
    coords = {"time": times, "depth": levels, "qc": (("time", "depth"), flag), "censored": (("time", "depth"), mark)}
    return xr.DataArray(value, coords, ("time", "depth"))


def _naive(times: pd.Series) -> np.ndarray:
    return np.asarray(times.dt.tz_localize(None), "datetime64[us]")


def _described(array: xr.DataArray, rows: pd.DataFrame, station: str, variable: str) -> xr.DataArray:
    term = vocabulary().get(variable)
    told = {"long_name": variable, "units": str(rows["unit"].iloc[0]) if len(rows) else "1"}
    if term is not None:
        told = {"long_name": term.title, "units": term.cf_unit, "measured_unit": term.unit}
        if term.cf_standard_name:
            told["standard_name"] = term.cf_standard_name
    array.name = variable
    array.attrs = told
    array = array.assign_coords(station=station, **_place(rows))
    array["time"].attrs = {"standard_name": "time", "long_name": "Time (UTC)"}
    array["qc"].attrs = dict(FLAG_ATTRS)
    array["censored"].attrs = {"long_name": "'<': the value is an upper limit; '>': a lower limit"}
    if "depth" in array.coords:
        array["depth"].attrs = {"standard_name": "depth", "units": "m", "positive": "down", "long_name": "Depth"}
    return array


def _place(rows: pd.DataFrame) -> dict[str, Any]:
    """Give the position: one, or one per time where the platform moves."""
    places = rows[["lon", "lat"]].dropna().drop_duplicates()
    if len(places) <= 1:
        lon, lat = places.to_numpy()[0] if len(places) else (np.nan, np.nan)
        found: dict[str, tuple[Sequence[str], Any]] = {"lon": ((), float(lon)), "lat": ((), float(lat))}
    else:
        by_time = rows.groupby("time", sort=True)[["lon", "lat"]].first()
        found = {name: (("time",), by_time[name].to_numpy()) for name in ("lon", "lat")}
    attrs = {
        "lon": {"standard_name": "longitude", "units": "degrees_east", "long_name": "Longitude"},
        "lat": {"standard_name": "latitude", "units": "degrees_north", "long_name": "Latitude"},
    }
    return {name: xr.Variable(dims, values, attrs[name]) for name, (dims, values) in found.items()}
