"""Discrete sampling geometries of the CF conventions: the station, time and place of each cell of a variable.

All four ways to store them come down to one rule. A coordinate is brought to the shape of a variable by the names of
its dimensions; a dimension that the variable lacks is reached through an index: of a contiguous ragged array by its
counts (``sample_dimension``), of an indexed one by its index variable (``instance_dimension``).

References
----------
CF conventions, version 1.11, chapter 9 "Discrete sampling geometries" and appendix H.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import netCDF4
import numpy as np

from terracube.core.errors import MetadataError
from terracube.ingest.insitu.formats import _nc as nc

FEATURES = ("point", "timeseries", "profile", "timeseriesprofile", "trajectory", "trajectoryprofile")
_LATITUDE = {"degrees_north", "degree_north", "degree_n", "degrees_n", "degreen", "degreesn"}
_LONGITUDE = {"degrees_east", "degree_east", "degree_e", "degrees_e", "degreee", "degreese"}
_VERTICAL = ("depth", "height", "altitude", "sea_water_pressure", "height_above_mean_sea_level")
_ROLES = ("timeseries_id", "trajectory_id", "profile_id")


class Geometry:
    """The dimensions of a file and how they hang together."""

    def __init__(self, path: Path, data: netCDF4.Dataset) -> None:
        self.path = path
        self.variables: Mapping[str, Any] = MappingProxyType(dict(data.variables))
        self.parents, self.links = self._find_links(data)

    def _find_links(self, data: netCDF4.Dataset) -> tuple[Mapping[str, tuple[str, np.ndarray]], frozenset[str]]:
        """Give, by dimension, its parent and the index into it; and the names of the variables that told it."""
        parents, links = {}, set()
        for name, variable in self.variables.items():
            child, parent = nc.text(variable, "sample_dimension"), nc.text(variable, "instance_dimension")
            if not (child or parent) or variable.ndim != 1 or not nc.is_number(variable):
                continue
            own = variable.dimensions[0]
            for dimension in (child, parent):
                if dimension and dimension not in data.dimensions:
                    raise MetadataError("no such dimension", where=f"{self.path}, {name}", got=dimension[:80])
            if child:
                parents[child] = (own, self._counts(variable, len(data.dimensions[child])))
                links.add(name)
            if parent:
                parents[own] = (parent, self._index(variable, len(data.dimensions[parent])))
                links.add(name)
        return MappingProxyType(parents), frozenset(links)

    def _counts(self, variable: Any, size: int) -> np.ndarray:
        """Give the instance of each sample of a contiguous ragged array."""
        values = nc.numbers(self.path, variable).values
        counts = np.where(np.isnan(values), 0, values)
        if (counts < 0).any() or (counts != np.floor(counts)).any() or counts.sum() > size:
            told = f"{counts.sum():g} samples, {size} cells"
            raise MetadataError("counts that do not fit", where=f"{self.path}, {variable.name}", got=told)
        if size > nc.MAX_CELLS:
            raise MetadataError("more samples than are read", where=f"{self.path}, {variable.name}", got=str(size))
        index = np.full(size, -1, dtype="int64")
        made = np.repeat(np.arange(len(counts)), counts.astype("int64"))
        index[: len(made)] = made
        return index

    def _index(self, variable: Any, size: int) -> np.ndarray:
        """Give the instance of each sample of an indexed ragged array, -1 where none is told."""
        values = nc.numbers(self.path, variable).values
        index = np.where(np.isnan(values), -1, values)
        if (index != np.floor(index)).any() or (index < -1).any() or (index >= size).any():
            raise MetadataError(
                "an index outside its dimension", where=f"{self.path}, {variable.name}", expected=f"0 ... {size - 1}"
            )
        return index.astype("int64")

    def reaches(self, target: Sequence[str], dimensions: Iterable[str]) -> bool:
        """Tell whether a coordinate with these dimensions can be brought to a variable with the target's."""
        return all(self._chain(target, dimension) is not None for dimension in dimensions)

    def _chain(self, target: Sequence[str], wanted: str) -> list[str] | None:
        """Give the dimensions from one of the target's up to the one that is wanted."""
        for start in target:
            chain = [start]
            while chain[-1] != wanted and chain[-1] in self.parents and len(chain) <= 4:
                chain.append(self.parents[chain[-1]][0])
            if chain[-1] == wanted:
                return chain
        return None

    def bring(
        self, values: np.ndarray, dimensions: Sequence[str], target: Sequence[str], shape: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Bring values with these dimensions to the target's shape; say where a sample has an instance at all."""
        known = np.ones(tuple(shape), dtype=bool)
        if not dimensions:
            return np.broadcast_to(values, tuple(shape)), known
        indices = []
        for dimension in dimensions:
            chain = self._chain(target, dimension)
            if chain is None:
                raise MetadataError("a coordinate of other dimensions", where=str(self.path), got=dimension)
            index = np.arange(shape[list(target).index(chain[0])])
            for step in chain[:-1]:
                above = self.parents[step][1]
                index = np.where(index >= 0, above[index], -1)
            around = [1] * len(target)
            around[list(target).index(chain[0])] = -1
            known &= (index >= 0).reshape(around)
            indices.append(np.maximum(index, 0).reshape(around))
        return np.broadcast_to(values[tuple(indices)], tuple(shape)), known

    def coordinates(self, variable: Any) -> dict[str, Any]:
        """Give time, latitude, longitude and height or depth of a variable, as far as the file tells them.

        Those that the variable names come first, then those that it could have.

        Raises
        ------
        MetadataError
            If two coordinates claim one role equally.
        """
        named = [name for name in nc.words(variable, "coordinates") if name in self.variables]
        named += [name for name in variable.dimensions if name in self.variables]
        found: dict[str, Any] = {}
        for names in (named, list(self.variables)):
            for role in ("time", "lat", "lon", "z"):
                if role not in found:
                    best = self._best(role, [name for name in names if name != variable.name], variable)
                    if best is not None:
                        found[role] = best
        return found

    def _best(self, role: str, names: list[str], variable: Any) -> Any:
        ranked = []
        for name in dict.fromkeys(names):
            other = self.variables[name]
            rank = _rank(other, role)
            if rank and nc.is_number(other) and self.reaches(variable.dimensions, other.dimensions):
                ranked.append((rank, name))
        if not ranked:
            return None
        top = max(rank for rank, _ in ranked)
        best = [name for rank, name in ranked if rank == top]
        if len(best) > 1:
            got, todo = ", ".join(best)[:200], "name one in its attribute 'coordinates'"
            raise MetadataError(
                f"two coordinates for {role}", where=f"{self.path}, {variable.name}", got=got, todo=todo
            )
        return self.variables[best[0]]

    def instances(self, variable: Any) -> tuple[np.ndarray, np.ndarray] | None:
        """Give the id of each cell's station, trajectory or profile, and where there is one; None if none is told."""
        for role in _ROLES:
            for other in self.variables.values():
                if nc.text(other, "cf_role") != role or not (nc.is_text(other) or nc.is_number(other)):
                    continue
                dimensions = without_letters(other)
                if self.reaches(variable.dimensions, dimensions):
                    ids = nc.strings(self.path, other)
                    return self.bring(ids, dimensions, variable.dimensions, variable.shape)
        return None

    def names(self, variable: Any) -> np.ndarray | None:
        """Give the name of each cell's station, None if none is told."""
        for other in self.variables.values():
            named = nc.text(other, "standard_name") in ("platform_name", "station_name")
            if named and nc.is_text(other) and self.reaches(variable.dimensions, without_letters(other)):
                ids = nc.strings(self.path, other)
                return self.bring(ids, without_letters(other), variable.dimensions, variable.shape)[0]
        return None


def is_coordinate(variable: Any) -> bool:
    """Tell whether a variable says where or when, whatever else refers to it."""
    name = nc.text(variable, "standard_name")
    told = name in ("time", "latitude", "longitude") or " since " in nc.text(variable, "units")
    degrees = nc.text(variable, "units").lower() in _LATITUDE | _LONGITUDE
    own = variable.dimensions == (variable.name,)
    return told or degrees or own or nc.text(variable, "axis").upper() in ("X", "Y", "Z", "T")


def _rank(variable: Any, role: str) -> int:
    """How surely a variable has a role: by its standard name, else axis, else unit; 0 if it has not."""
    name, axis = nc.text(variable, "standard_name"), nc.text(variable, "axis").upper()
    units = nc.text(variable, "units").lower()
    if role == "time":
        return 3 if name == "time" else 2 if axis == "T" and not name else 1 if " since " in units and not name else 0
    if role == "lat":
        return 3 if name == "latitude" else 1 if units in _LATITUDE and not name else 0
    if role == "lon":
        return 3 if name == "longitude" else 1 if units in _LONGITUDE and not name else 0
    if name in _VERTICAL:
        return 10 + (5 if axis == "Z" else 0) - _VERTICAL.index(name) if axis == "Z" or name != _VERTICAL[3] else 0
    return 2 if axis == "Z" else 1 if nc.text(variable, "positive").lower() in ("up", "down") and not name else 0


def without_letters(variable: Any) -> tuple[str, ...]:
    """Give the dimensions of a text without the one along its letters."""
    letters = variable.dtype is not str and variable.dtype.kind in "SU"
    return tuple(variable.dimensions[:-1] if letters else variable.dimensions)


def direction_of(where: str, name: str, positive: str) -> float | None:
    """Give 1 for a coordinate that grows downwards from the surface, -1 for upwards, None if it is no such thing."""
    natural = {"depth": "down", "height": "up"}.get(name)
    if natural and positive and positive != natural:
        what = "standard name and direction contradict each other"
        raise MetadataError(what, where=where, expected=f"positive: {natural}", got=positive[:80])
    if name and natural is None:
        return None
    return {"down": 1.0, "up": -1.0}.get(natural or positive)
