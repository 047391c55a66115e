"""NetCDF files of points, series, profiles and trajectories (CF discrete sampling geometries).

Read are the variables of the root group whose standard name, name or long name can only mean one word of the
vocabulary; the mapping may say it for others. Times without a zone are UTC (CF 1.11, section 4.4). A cell without
a value is a missing observation only where a flag says so; else nothing was measured there, or the array is padded, and
the number of such cells that have a time is noted. What TerraCube's own exports add to CF is read again: measured
units, marks of values beyond a limit, methods and replicates.

References
----------
CF conventions, version 1.11: chapter 9 and appendix H (geometries), 2.5.1 (missing data), 3.5 (flags), 4.3 (vertical).
"""

from __future__ import annotations

from collections.abc import Mapping as Words
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from terracube.core.errors import AssetError, BudgetError, MetadataError, TerraCubeError
from terracube.ingest.insitu.formats import _common as common
from terracube.ingest.insitu.formats import _nc as nc
from terracube.ingest.insitu.formats._geometry import FEATURES, Geometry, direction_of, is_coordinate, without_letters
from terracube.ingest.insitu.formats._judgement import Judgement
from terracube.ingest.insitu.formats._terms import term_of, unit_of
from terracube.ingest.insitu.mapping import Column, Mapping
from terracube.ingest.insitu.table import MISSING, Issue, Observations, join, make
from terracube.ingest.insitu.units import convert
from terracube.ingest.insitu.vocabulary import Term, term_named

_STATION_ATTRIBUTES = ("platform_code", "wmo_platform_code", "platform", "station_id", "station", "id")
_MODIFIERS = (
    "status_flag",
    "quality_flag",
    "standard_error",
    "number_of_observations",
    "detection_minimum",
    "quality_test_flag",
    "data_age",
)


def recognise(path: Path) -> bool:
    """Tell whether a file is NetCDF and says that it holds a discrete sampling geometry other than Argo's."""
    if not nc.is_netcdf(path):
        return False
    try:
        with nc.opened(path) as data:
            return _feature(data) in FEATURES and "argo" not in nc.text(data, "Conventions").lower()
    except TerraCubeError:
        return False


def read(path: Path, mapping: Mapping | None = None) -> Observations:
    """Read the observations of a NetCDF file.

    Parameters
    ----------
    path : Path
        A local file.
    mapping : Mapping, optional
        ``columns`` say what variables of the file are; ``station.constant``, ``position.constant`` and
        ``time.constant`` say what the file does not; ``quality`` what its flags mean.

    Returns
    -------
    Observations
        ``source`` is ``file.nc:dimension=index``, counted from 0.

    Raises
    ------
    AssetError
        If the file is damaged, or holds nothing that can be used.
    MetadataError
        If it holds no such geometry, or what it tells is contradictory: counts, units of time, direction of depth.
    BudgetError
        If it claims more cells than are read.
    """
    with nc.opened(path) as data:
        if _feature(data) not in FEATURES and mapping is None:
            expected = f"featureType, one of {', '.join(FEATURES)}"
            got = nc.text(data, "featureType") or "none"
            raise MetadataError("no discrete sampling geometry", where=str(path), expected=expected, got=got[:80])
        reader = _Reader(path, data, Geometry(path, data), mapping)
        return reader.read()


def _feature(data: Any) -> str:
    told = nc.text(data, "featureType") or nc.text(data, "CF:featureType")
    return told.lower().replace("_", "")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where and when each cell of a variable was measured."""

    station: np.ndarray
    name: Any
    time: np.ndarray
    lon: np.ndarray
    lat: np.ndarray
    depth: np.ndarray
    exists: np.ndarray
    """Where a cell has an instance, a time and, in profiles, a depth: an observation, not padding."""


class _Reader:
    """Reads one open file."""

    def __init__(self, path: Path, data: Any, geometry: Geometry, mapping: Mapping | None) -> None:
        self.path, self.data, self.geometry, self.mapping = path, data, geometry, mapping
        self.issues: list[Issue] = []
        self.notes: list[str] = []
        quality = mapping.quality if mapping else {}
        self.judgement = Judgement(path, geometry, quality, self._issue)
        self.columns: Words[str, Column] = {str(c.column): c for c in mapping.columns} if mapping else {}
        self._numbers: dict[str, nc.Numbers] = {}

    def read(self) -> Observations:
        """Read every variable that is measured."""
        tables, cells = [], 0
        for variable in self._measured():
            term, unit = self._term(variable)
            if term is None:
                continue
            cells += int(np.prod(variable.shape, dtype=object))
            if cells > nc.MAX_CELLS:
                expected = f"<= {nc.MAX_CELLS}"
                raise BudgetError("more cells than are read", where=str(self.path), expected=expected, todo="split it")
            table = self._table(variable, term, unit)
            if table is not None:
                tables.append(table)
        if not tables:
            got = str(self.issues[0]) if self.issues else "no variable of numbers with a time"
            raise AssetError("nothing in the file can be used", where=str(self.path), got=got[:300])
        return Observations(join(tables), tuple(self.issues), self._about(), tuple(self.notes))

    def _about(self) -> dict[str, str]:
        names = {"title": "title", "attribution": "institution", "licence": "license", "doi": "doi"}
        told = {ours: nc.text(self.data, theirs)[:2000] for ours, theirs in names.items()}
        return {name: value for name, value in told.items() if value} | common.about(self.mapping)

    def _issue(self, variable: str, what: str, value: str, action: Any) -> None:
        self.issues.append(Issue(self.path.name, None, variable, what, value[:80], action))

    def _measured(self) -> list[Any]:
        """Give the variables that hold measurements: numbers, not places, flags, bounds or counts."""
        variables = self.geometry.variables
        others = set(self.geometry.links)
        for variable in variables.values():
            for name in ("ancillary_variables", "bounds", "climatology", "grid_mapping", "node_coordinates"):
                others.update(nc.words(variable, name))
            if "coordinates" in variable.ncattrs():
                others.update(name for name in nc.words(variable, "coordinates") if name not in self.columns)
        found = []
        for name, variable in variables.items():
            if name in self.columns:
                found.append(variable)
                continue
            standard = nc.text(variable, "standard_name")
            aside = name in others and standard != "sea_water_pressure"
            flag = nc.attribute(variable, "flag_meanings") is not None or standard.endswith(_MODIFIERS)
            bare = variable.ndim == 0 and not standard
            pressure = standard == "sea_water_pressure" and variable.dimensions != (name,)
            place = is_coordinate(variable) and not pressure
            if nc.is_number(variable) and not (aside or flag or bare or place or nc.text(variable, "cf_role")):
                found.append(variable)
        return found

    def _term(self, variable: Any) -> tuple[Term | None, str]:
        """Give what a variable is and its unit; tell and give None if that is not sure."""
        column = self.columns.get(variable.name)
        if column is not None:
            named = term_named(column.variable)
            return named, column.unit or unit_of(variable, named)
        term, unit, why = term_of(variable)
        if term is None:
            self._issue(variable.name, why, f"{int(np.prod(variable.shape, dtype=object))} cells", "left out")
        return term, unit

    def _table(self, variable: Any, term: Term, unit: str) -> pd.DataFrame | None:
        """Make the rows of one variable."""
        place = self._place(variable)
        if place is None:
            return None
        numbers = self._read(variable)
        values = self._without(numbers.values)
        there = ~np.isnan(values)
        self._tell_lost(variable, there & ~place.exists)
        judged = self.judgement
        told = {other.name: judged.read(variable, other) for other in judged.variables(variable)}
        missing = np.logical_or.reduce([flag == MISSING for flag in told.values()], initial=False)
        keep = place.exists & (there | missing)
        self._tell_empty(variable, int((place.exists & ~keep).sum()))
        told = {name: flag[keep] for name, flag in told.items()}
        flags, tests = judged.judge(variable, values[keep], numbers.invalid[keep], told)
        column = self.columns.get(variable.name)
        basis, molar = (column.basis, column.molar) if column else ("", False)
        indices = np.nonzero(keep)
        method = (column.method if column else "") or (self.mapping.method if self.mapping else "")
        return make(
            station=common.texts(place.station[keep]),
            station_name="" if place.name is None else common.texts(place.name[keep]),
            time=place.time[keep],
            lon=place.lon[keep],
            lat=place.lat[keep],
            depth=place.depth[keep] if column is None or column.depth is None else column.depth,
            variable=term.name,
            value=convert(values[keep], unit, term, basis=basis, molar=molar),
            unit=term.unit,
            method=method or self._label(variable, "method", keep),
            replicate=self._label(variable, "replicate", keep),
            censored=judged.censored(variable)[keep],
            qc=flags,
            qc_tests=tests,
            original_value=nc.shown(numbers.shown[keep]),
            original_unit=unit,
            source=nc.places(self.path.name, variable.dimensions, indices),
            size=len(flags),
        )

    def _label(self, variable: Any, name: str, keep: np.ndarray) -> Any:
        """Give the texts of a label that a variable names among its coordinates, empty if it names none."""
        other = self.geometry.variables.get(name)
        if other is None or name not in nc.words(variable, "coordinates") or not nc.is_text(other):
            return ""
        dimensions = without_letters(other)
        if not self.geometry.reaches(variable.dimensions, dimensions):
            return ""
        labels = nc.strings(self.path, other)
        return common.texts(self.geometry.bring(labels, dimensions, variable.dimensions, variable.shape)[0][keep])

    def _read(self, variable: Any) -> nc.Numbers:
        if variable.name not in self._numbers:
            if len(self._numbers) > 8:
                self._numbers.clear()
            self._numbers[variable.name] = nc.numbers(self.path, variable)
        return self._numbers[variable.name]

    def _without(self, values: np.ndarray) -> np.ndarray:
        """Take away the values that the mapping calls missing."""
        told = [common.numbers([text])[0] for text in (self.mapping.missing if self.mapping else ())]
        return np.where(np.isin(values, [value for value in told if np.isfinite(value)]), np.nan, values)

    def _tell_lost(self, variable: Any, lost: np.ndarray) -> None:
        if lost.any():
            first = ",".join(f"{d}={int(i[0])}" for d, i in zip(variable.dimensions, np.nonzero(lost), strict=True))
            what = "values without a time, depth or station"
            self._issue(variable.name, what, f"{lost.sum()}, first {first}", "left out")

    def _place(self, variable: Any) -> _Place | None:
        found = self.geometry.coordinates(variable)
        constant = self.mapping.time.constant if self.mapping else ""
        if "time" not in found and not constant:
            self._issue(variable.name, "it has no time", f"{variable.dimensions}", "left out")
            return None
        exists = np.ones(variable.shape, dtype=bool)
        time = self._time(variable, found.get("time"), constant)
        lon, lat = self._position(variable, found)
        depth, vertical = self._depth(variable, found.get("z"), lat)
        exists &= ~np.isnat(time)
        # A series or a trajectory may tell some depths and others not; without one a cell of a profile is padding.
        if vertical is not None and _feature(self.data) not in ("point", "timeseries", "trajectory"):
            exists &= np.isfinite(vertical)
        told = self.geometry.instances(variable)
        if told is not None:
            station, known = told
            exists &= known & (station != "")
        else:
            station = np.broadcast_to(np.array(self._station(), dtype=object), variable.shape)
        return _Place(station, self.geometry.names(variable), time, lon, lat, depth, exists)

    def _station(self) -> str:
        """Give the one station of a file that names none per cell, told by the mapping or the file, else its name."""
        if self.mapping and self.mapping.station.constant:
            return self.mapping.station.constant
        return next((nc.text(self.data, a) for a in _STATION_ATTRIBUTES if nc.text(self.data, a)), self.path.stem)[:200]

    def _brought(self, variable: Any, other: Any) -> tuple[np.ndarray, np.ndarray]:
        values = self._read(other)
        kept = np.where(values.invalid, np.nan, values.values)
        brought, known = self.geometry.bring(kept, other.dimensions, variable.dimensions, variable.shape)
        return np.where(known, brought, np.nan), known

    def _time(self, variable: Any, time: Any, constant: str) -> np.ndarray:
        if time is None:
            return np.full(variable.shape, common.constant_time(constant, self.mapping))
        values = self._brought(variable, time)[0]
        where = f"{self.path}, {time.name}"
        return nc.moments(values, nc.text(time, "units"), nc.text(time, "calendar"), where)

    def _position(self, variable: Any, found: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """Give longitude and latitude, NaN where not both are told and possible."""
        constant = self.mapping.position.constant if self.mapping else None
        if "lon" in found and "lat" in found:
            lon, lat = (self._brought(variable, found[name])[0] for name in ("lon", "lat"))
        elif constant is not None and self.mapping is not None:
            where = "position.constant in the mapping"
            x, y = common.to_wgs84(*constant, self.mapping.position.crs or "", where)
            return np.full(variable.shape, x), np.full(variable.shape, y)
        else:
            return np.full(variable.shape, np.nan), np.full(variable.shape, np.nan)
        wrong = (np.abs(lat) > 90) | (np.abs(lon) > 360)
        if wrong.any():
            self._issue(variable.name, "positions that are not on Earth", f"{wrong.sum()} cells", "flagged")
        none = wrong | np.isnan(lon) | np.isnan(lat)
        lon = np.where(np.abs(lon) > 180, common.around(lon), lon)
        return np.where(none, np.nan, lon), np.where(none, np.nan, lat)

    def _depth(self, variable: Any, z: Any, lat: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Give the depth of each cell, and the vertical coordinate where cells have one of their own."""
        none = np.full(variable.shape, np.nan)
        if z is None:
            told = self.mapping.depth.constant if self.mapping else None
            return (none if told is None else np.full(variable.shape, told)), None
        values = self._brought(variable, z)[0]
        own = values if z.ndim and self._is_vertical(variable, z) else None
        name, unit = nc.text(z, "standard_name"), nc.text(z, "units")
        if name == "sea_water_pressure":
            return common.depth_of_pressure(common.in_unit_of(values, unit, term_named("pressure")), lat), own
        sign = direction_of(f"{self.path}, {z.name}", name, nc.text(z, "positive").lower())
        if sign is None:
            what = "a vertical coordinate that is no depth below the surface"
            if not any(issue.field == z.name for issue in self.issues):
                self._issue(z.name, what, name or "no direction", "left out")
            return none, own
        return sign * common.in_unit_of(values, unit, term_named("water_depth")), own

    def _is_vertical(self, variable: Any, z: Any) -> bool:
        """Whether depths vary within a station: then a cell without one is no observation."""
        return variable.ndim > 0 and (variable.dimensions[-1] in z.dimensions)

    def _tell_empty(self, variable: Any, count: int) -> None:
        """Note cells that hold nothing: not measured there, or a gap."""
        if count:
            self.notes.append(f"{self.path.name}: {variable.name} has no value in {count} cells that have a time")
