"""Observations as CF-1.11 NetCDF: discrete sampling geometries, as ragged arrays.

The layouts are those of the CF conventions, version 1.11, appendix H: ``timeSeries`` (H.2.4), ``profile`` (H.3.4),
``trajectory`` (H.4.3), ``timeSeriesProfile`` (H.5.3) and ``trajectoryProfile`` (H.6.3).
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import EmptyResultError, InputError
from terracube.core.files import atomic_path
from terracube.ingest.insitu.checks import Ints
from terracube.ingest.insitu.series import FLAG_ATTRS
from terracube.ingest.insitu.table import check
from terracube.ingest.insitu.vocabulary import vocabulary

Kind = Literal["timeSeries", "profile", "trajectory", "timeSeriesProfile", "trajectoryProfile"]

_SECONDS = "seconds since 1970-01-01 00:00:00"
_PLACE = ["lon", "lat"]
_OBSERVATION = ["station", "time", *_PLACE, "depth", "method", "replicate"]
_ATTRS: Mapping[str, Mapping[str, Any]] = {
    "time": {
        "standard_name": "time",
        "long_name": "Time (UTC)",
        "units": _SECONDS,
        "calendar": "standard",
        "units_metadata": "leap_seconds: none",
        "axis": "T",
    },
    "lon": {"standard_name": "longitude", "long_name": "Longitude", "units": "degrees_east", "axis": "X"},
    "lat": {"standard_name": "latitude", "long_name": "Latitude", "units": "degrees_north", "axis": "Y"},
    "depth": {
        "standard_name": "depth",
        "long_name": "Depth below the surface",
        "units": "m",
        "positive": "down",
        "axis": "Z",
    },
}
_CENSORED = {"long_name": "Censoring", "flag_values": np.array([0, 1, 2], "int8")}
_CENSORED_MEANINGS = "measured true_value_is_below true_value_is_above"
_UNMEASURED = np.int8(-127)  # what the library fills bytes with
_MARKS = {"": 0, "<": 1, ">": 2}


def write_netcdf(table: pd.DataFrame, path: Path, *, kind: Kind | None = None, **about: str) -> Kind:
    """Write observations as a CF-1.11 file of discrete sampling geometries.

    Each variable of the vocabulary becomes one of the file, with ``<name>_qc`` (QARTOD flags) and, where some values
    are censored, ``<name>_censored``. Variables share times, depths and places; a cell where one was not measured is
    missing. What a delivery said of itself (original values, rows of files) is not written: CSV and GeoPackage hold
    it.

    Parameters
    ----------
    table : DataFrame
        Canonical.
    path : Path
        Replaced if it is there.
    kind : str
        CF's featureType. Unless given: ``timeSeries`` for stations with one depth, ``timeSeriesProfile`` if they are
        measured at several depths at once, ``trajectoryProfile`` if they also move, else ``trajectory``.
        ``profile`` makes every profile stand alone. Rows without position make no station move: in files that tell
        one position per station they are where their station is.
    **about
        Global attributes: title, institution, source, references, comment, license, ...

    Returns
    -------
    str
        The featureType.

    Raises
    ------
    EmptyResultError
        If there is no observation.
    InputError
        If the observations do not fit the kind: stations that move, profiles without depth.
    StorageError
        If the disk refuses.
    """
    check(table)
    if len(table) == 0:
        raise EmptyResultError("there is no observation to export", where=str(path))
    if kind is not None and kind not in get_args(Kind):
        raise InputError("no such kind", where="kind", expected=", ".join(get_args(Kind)), got=str(kind)[:80])
    chosen = kind or natural_kind(table)
    if chosen.startswith("timeSeries"):
        table = _settled(table)
    _check_fit(table, chosen)
    dataset = _dataset(table, chosen, about)
    with atomic_path(path) as temporary:
        dataset.to_netcdf(temporary, engine="netcdf4", format="NETCDF4")
    return chosen


def natural_kind(table: pd.DataFrame) -> Kind:
    """Tell how observations lie: see `write_netcdf`."""
    moving = _most(table, ["station"], _PLACE) > 1
    if _most(table, ["station", "time"], ["depth"]) > 1 and table["depth"].notna().all():
        return "trajectoryProfile" if moving else "timeSeriesProfile"
    return "trajectory" if moving or _most(table, ["station"], ["depth"]) > 1 else "timeSeries"


def _most(table: pd.DataFrame, by: list[str], of: list[str]) -> int:
    """Give the largest number of different values within a group; a position that is not told is none."""
    told = table.dropna(subset=_PLACE) if of == _PLACE else table
    once = told[[*by, *of]].drop_duplicates()
    return int(once.groupby(by).size().max()) if len(once) else 0


def _settled(table: pd.DataFrame) -> pd.DataFrame:
    """Give rows without position that of their station: these files tell one for each station."""
    known = table.groupby("station")[_PLACE].transform("first")
    return table.assign(**{name: table[name].fillna(known[name]) for name in _PLACE})


def _check_fit(table: pd.DataFrame, kind: Kind) -> None:
    fits = {"timeSeries": (["station"], [*_PLACE, "depth"]), "timeSeriesProfile": (["station"], _PLACE)}
    by, of = fits.get(kind, ([], []))
    if by and _most(table, by, of) > 1:
        raise InputError(
            "a station has several places or depths",
            where=kind,
            todo=f"export as {natural_kind(table)}, or choose a depth",
        )
    if kind.lower().endswith("profile") and table["depth"].isna().any():
        got = f"{int(table['depth'].isna().sum())} observations without depth"
        raise InputError("a profile needs depths", where=kind, got=got, todo="export as timeSeries or trajectory")


def _dataset(table: pd.DataFrame, kind: Kind, about: Mapping[str, str]) -> xr.Dataset:
    rows, observation = _numbered(table)
    first = rows[~pd.Series(observation).duplicated().to_numpy()]
    data = _Builder(kind)
    data.add_geometry(first)
    for name in ("method", "replicate"):
        if (first[name] != "").any():
            data.add(name, "obs", _texts(first[name]), {"long_name": name.capitalize()})
    labels = [name for name in ("method", "replicate") if (first[name] != "").any()]
    for name in sorted(rows["variable"].unique()):
        chosen = (rows["variable"] == name).to_numpy()
        data.add_measured(name, rows[chosen], observation[chosen], labels, len(first))
    version = importlib.metadata.version("terracube")
    told = {
        "Conventions": "CF-1.11",
        "featureType": kind,
        "title": "Observations in situ",
        "source": "observations in situ",
        "institution": "not told",
        "history": f"written by TerraCube {version}",
        "references": "not told",
        "comment": "Values and flags are missing where a variable was not measured; flags are those of QARTOD.",
        **{key: value for key, value in about.items() if value},
    }
    return xr.Dataset(data.variables, attrs=told)


def _numbered(table: pd.DataFrame) -> tuple[pd.DataFrame, Ints]:
    """Sort the rows, and give each the number of its observation: one time and place, with a value per variable."""
    rows = table.sort_values([*_OBSERVATION, "variable", "value", "censored", "qc", "source"], ignore_index=True)
    copy = rows.groupby([*_OBSERVATION, "variable"], dropna=False, sort=False).cumcount()
    number = rows.assign(copy=copy).groupby([*_OBSERVATION, "copy"], dropna=False, sort=True).ngroup().to_numpy()
    order = np.argsort(number, kind="stable")
    return rows.iloc[order], number[order]


def _texts(values: pd.Series) -> NDArray[Any]:
    return values.to_numpy(object)


class _Builder:
    """Gathers the variables of one file."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.variables: dict[str, xr.Variable] = {}

    def add(self, name: str, dimension: str, values: NDArray[Any], attrs: Mapping[str, Any]) -> None:
        """Add a variable; numbers that may be missing get a fill value; texts become characters, as CF always had."""
        gaps = values.dtype.kind == "f" and np.isnan(values).any()
        encoding: dict[str, Any] = {"_FillValue": np.nan if gaps else None}
        if values.dtype.kind == "O":
            encoding = {"dtype": "S1", "char_dim_name": f"{name}_letters"}
        self.variables[name] = xr.Variable((dimension,), values, dict(attrs), encoding=encoding)

    def add_geometry(self, first: pd.DataFrame) -> None:
        """Add stations, profiles, times and places of the observations (one row each)."""
        profiles = self.kind.lower().endswith("profile")
        keys = ["station", "time", *_PLACE] if profiles else ["station"]
        inner = first[~first.duplicated(keys).to_numpy()]
        sizes = first.groupby(keys, sort=False, dropna=False).size().to_numpy("int32")
        dimension = "profile" if profiles else "station"
        told = {"long_name": f"Number of observations of this {dimension}", "sample_dimension": "obs"}
        self.add("row_size", dimension, sizes, told)
        if profiles:
            self.add_profiles(inner)
        if self.kind != "profile":
            self.add_stations(first[~first.duplicated(["station"]).to_numpy()])
        where = {
            "timeSeries": {"time": "obs", "lon": "station", "lat": "station", "depth": "station"},
            "trajectory": {"time": "obs", "lon": "obs", "lat": "obs", "depth": "obs"},
            "timeSeriesProfile": {"time": "profile", "lon": "station", "lat": "station", "depth": "obs"},
        }.get(self.kind, {"time": "profile", "lon": "profile", "lat": "profile", "depth": "obs"})
        sources = {"obs": first, "profile": inner, "station": first[~first.duplicated(["station"]).to_numpy()]}
        for name, dimension in where.items():
            self.add_coordinate(name, dimension, sources[dimension])

    def add_coordinate(self, name: str, dimension: str, rows: pd.DataFrame) -> None:
        """Add time, longitude, latitude or depth; a depth that is never told is left out."""
        if name == "time":
            moments = np.asarray(rows["time"].dt.tz_localize(None), "datetime64[us]")
            self.add(name, dimension, moments.astype("int64") / 1e6, _ATTRS[name])
        elif name != "depth" or rows["depth"].notna().any():
            self.add(name, dimension, rows[name].to_numpy(), _ATTRS[name])

    def add_profiles(self, inner: pd.DataFrame) -> None:
        """Add the ids of profiles, and which station each belongs to."""
        if self.kind == "profile":
            number = (inner.groupby("station", sort=False).cumcount() + 1).astype(str)
            alone = inner.groupby("station")["time"].transform("size") == 1
            ids = inner["station"].astype(object).where(alone, inner["station"].astype(object) + "/" + number)
            self.add("profile_id", "profile", _texts(ids), {"long_name": "Profile", "cf_role": "profile_id"})
            told = {"long_name": "Station", "standard_name": "platform_id"}
            self.add("station", "profile", _texts(inner["station"]), told)
            return
        index = pd.factorize(inner["station"])[0].astype("int32")
        told = {"long_name": "Station of this profile", "instance_dimension": "station"}
        self.add("station_index", "profile", index, told)

    def add_stations(self, stations: pd.DataFrame) -> None:
        """Add ids and names of stations."""
        role = "timeseries_id" if self.kind.startswith("timeSeries") else "trajectory_id"
        self.add("station_id", "station", _texts(stations["station"]), {"long_name": "Station", "cf_role": role})
        if (stations["station_name"] != "").any():
            told = {"long_name": "Name of the station", "standard_name": "platform_name"}
            self.add("station_name", "station", _texts(stations["station_name"]), told)

    def add_measured(self, name: str, rows: pd.DataFrame, place: Ints, labels: Sequence[str], size: int) -> None:
        """Add a measured variable with its flags."""
        term = vocabulary().get(name)
        value, flag, mark = np.full(size, np.nan), np.full(size, _UNMEASURED), np.full(size, _UNMEASURED)
        value[place], flag[place] = rows["value"].to_numpy(), rows["qc"].to_numpy().astype("int8")
        mark[place] = [_MARKS[one] for one in rows["censored"].to_numpy(object)]
        told = {"long_name": name, "units": str(rows["unit"].iloc[0])}
        if term is not None:
            # UDUNITS has no NTU and no pH: the unit as it is measured stands beside CF's.
            told = {"long_name": term.title, "units": term.cf_unit, "measured_unit": term.unit}
            if term.kind == "temperature":
                told["units_metadata"] = "temperature: on_scale"
            if term.cf_standard_name:
                told["standard_name"] = term.cf_standard_name
        censored = (rows["censored"] != "").any()
        beside = [f"{name}_qc", *([f"{name}_censored"] if censored else [])]
        places = [one for one in ("time", "lat", "lon", "depth") if one in self.variables]
        told |= {"ancillary_variables": " ".join(beside), "coordinates": " ".join([*places, *labels])}
        self.add(name, "obs", value, told)
        self.variables[name].encoding["_FillValue"] = np.nan
        self.add_marks(f"{name}_qc", flag, {**FLAG_ATTRS, "long_name": f"QARTOD flag of {name}"})
        if censored:
            attrs = {**_CENSORED, "flag_meanings": _CENSORED_MEANINGS, "long_name": f"Censoring of {name}"}
            self.add_marks(f"{name}_censored", mark, attrs)

    def add_marks(self, name: str, values: NDArray[Any], attrs: Mapping[str, Any]) -> None:
        """Add flags of observations, missing where nothing was measured."""
        self.add(name, "obs", values, attrs)
        if (values == _UNMEASURED).any():
            self.variables[name].encoding["_FillValue"] = _UNMEASURED
