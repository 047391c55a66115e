"""Cubes of NetCDF and Zarr on a regular grid of longitude and latitude: their variables, times, and where each lies."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import HostileInputError, MetadataError, TerraCubeError
from terracube.cubes.access import Location
from terracube.cubes.readers import zarrs
from terracube.cubes.readers.cf import Variable, header_of
from terracube.cubes.readers.header import Header
from terracube.cubes.readers.zarrstore import BROKEN, BytesStore
from terracube.ingest.readers.ocean.netcdf import Holding, Stored, look

_STORE_MARKS = (".zgroup", ".zmetadata", "zarr.json")
_ARRAY_MARKS = (".zarray", "zarr.json")
_DOCUMENTS = (".zattrs", "zarr.json")
_CHUNK = re.compile(r"(?:c[./])?(?P<first>\d+)(?:[./]\d+)*")
_MOST_ARRAYS = 4096
_MOST_TIMES = 100_000
_MOST_FILES = 1_000_000
_SINCE = re.compile(r"\s*(?P<unit>[a-z]+)\s+since\s+(?P<origin>\S.*?)\s*", re.IGNORECASE)
_MICROSECONDS = {"day": 86_400e6, "hour": 3_600e6, "minute": 60e6, "second": 1e6, "millisecond": 1e3}
_MICROSECONDS |= {"microsecond": 1.0, "nanosecond": 1e-3}
_CALENDARS = ("", "standard", "gregorian", "proleptic_gregorian")
# Before it the two calendars that are called standard differ.
_REFORM = datetime(1582, 10, 15, tzinfo=UTC)


@dataclass(frozen=True)
class StoredZarr(Stored):
    """An array of a Zarr store."""

    def _read(self, index: tuple[Any, ...]) -> NDArray[Any]:
        told = ""
        try:
            return zarrs.read(zarrs.open_array(_store(self.path), self.name, self.where).array, index)
        except TerraCubeError:
            raise
        except BROKEN as error:
            told = f"{type(error).__name__}: {error}"[:160]
        raise self._damaged(told)


@dataclass(frozen=True)
class Cube:
    """What a store or file holds."""

    holding: Holding
    zarr: bool
    times: tuple[datetime, ...]
    """UTC; empty where there is no dimension of time."""
    bounds: tuple[tuple[datetime, datetime], ...] = ()
    listed: tuple[str, ...] = field(default=())
    """Arrays that the store lists but does not hold."""

    def layer(self, name: str, time: int, *, crs: str) -> tuple[Stored, Header]:
        """Give a variable at a time, and what is known of it.

        Parameters
        ----------
        name : str
        time : int
            Position among the times.
        crs : str
            What longitude and latitude refer to, where the file does not say.

        Raises
        ------
        MetadataError
            If it is no raster on a regular grid.
        """
        variable = self.holding.variables[name]
        where = f"{self.holding.path}, {name}"
        header = header_of(_located(variable, crs, where), driver="cube", decoder="cube", where=where)
        leading = {name: size for name, size in zip(variable.dims, variable.shape[:-2], strict=False) if size != 1}
        if leading not in ({}, {"time": len(self.times)}):
            raise MetadataError(
                "the variable has a dimension that is not understood", where=where, expected="time", got=str(leading)
            )
        position = tuple(time if size != 1 else 0 for size in variable.shape[:-2])
        attributes = {**variable.attributes, "_FillValue": header.nodata[0]}
        rows, cols = variable.shape[-2:]
        kind = StoredZarr if self.zarr else Stored
        shape, tile = (rows, cols), min(variable.tile[0], rows)
        return kind(self.holding.path, name, shape, variable.dtype, tile, attributes, position), header

    def files(self, name: str, time: int) -> tuple[Path, ...]:
        """Give the files that hold a variable at a time; empty where nothing was written."""
        if not self.zarr:
            return (self.holding.path,)
        variable = self.holding.variables[name]
        folder = self.holding.path / name
        array = zarrs.open_array(_store(self.holding.path), name, str(folder)).array
        whole = array.shards or array.chunks
        first = time // whole[0] if len(variable.shape) > 2 and variable.shape[0] > 1 else None
        chunks = [path for path in _below(folder) if _holds(path.relative_to(folder).as_posix(), first)]
        papers = [folder / paper for paper in _DOCUMENTS if (folder / paper).is_file()]
        return (*chunks, *papers) if chunks else ()


def is_store(path: Path) -> bool:
    """Tell whether a folder is a Zarr group."""
    return any((path / mark).is_file() for mark in _STORE_MARKS) and not (path / ".zarray").is_file()


def arrays_in(path: Path) -> list[str]:
    """List the arrays of a Zarr group, by name."""
    with os.scandir(path) as entries:
        folders = sorted(one.name for one in entries if one.is_dir(follow_symlinks=False))
    if len(folders) > _MOST_ARRAYS:
        raise HostileInputError("the store holds too many arrays", where=str(path), expected=f"<= {_MOST_ARRAYS}")
    return [name for name in folders if any((path / name / mark).is_file() for mark in _ARRAY_MARKS)]


def open_cube(path: Path, *, largest: int) -> Cube:
    """Read what a Zarr store or a NetCDF file says of itself.

    Raises
    ------
    TerraCubeError
        If it cannot be read, or claims absurd sizes.
    """
    zarr = path.is_dir()
    holding, listed = _look_store(path, largest) if zarr else (look(path, largest=largest), ())
    time = holding.variables.get("time")
    if time is None or len(time.shape) != 1 or not any("time" in one.dims for one in holding.variables.values()):
        return Cube(holding, zarr, (), listed=listed)
    numbers = _numbers(holding, "time", zarr)
    told = str(time.attributes.get("bounds", "time_bnds"))
    limits = _numbers(holding, told, zarr) if told in holding.variables else np.empty((0, 2))
    moments = _moments(numbers.ravel(), time.attributes, f"{path}, time")
    bounds = _moments(limits.ravel(), time.attributes, f"{path}, {told}") if limits.shape == (len(moments), 2) else ()
    pairs = tuple(zip(bounds[::2], bounds[1::2], strict=True))
    return Cube(holding, zarr, moments, pairs, listed)


def _store(path: Path) -> BytesStore:
    return BytesStore(Location(str(path.absolute())))


def _look_store(path: Path, largest: int) -> tuple[Holding, tuple[str, ...]]:
    store = _store(path)
    names = arrays_in(path)
    variables = {}
    for name in names:
        variable = zarrs.open_array(store, name, f"{path}, {name}").variable
        if max(variable.shape, default=0) > largest:
            raise HostileInputError(
                "the store claims more than a product of this source holds",
                where=f"{path}, {name}",
                expected=f"dimensions of at most {largest}",
                got=str(variable.shape),
            )
        variables[name] = variable
    group = next((one for one in (store.read_json(name) for name in ("zarr.json", ".zattrs")) if one), {})
    attributes = group.get("attributes", {}) if "zarr_format" in group else group
    listed = sorted(set(_listed(store)) - set(names))
    return Holding(path, variables, attributes if isinstance(attributes, dict) else {}), tuple(listed)


def _listed(store: BytesStore) -> Iterator[str]:
    """Give the arrays that the consolidated metadata of a store list."""
    old = (store.read_json(".zmetadata") or {}).get("metadata")
    for key in old if isinstance(old, dict) else ():
        name, _, document = str(key).rpartition("/")
        if document == ".zarray" and "/" not in name:
            yield name
    inline = (store.read_json("zarr.json") or {}).get("consolidated_metadata")
    new = inline.get("metadata") if isinstance(inline, dict) else None
    for name, told in new.items() if isinstance(new, dict) else ():
        if isinstance(told, dict) and told.get("node_type") == "array" and "/" not in name:
            yield name


def _numbers(holding: Holding, name: str, zarr: bool) -> NDArray[np.float64]:
    """Read a short variable whole."""
    variable = holding.variables[name]
    where = f"{holding.path}, {name}"
    if int(np.prod(variable.shape, dtype=np.float64)) > 2 * _MOST_TIMES:
        raise HostileInputError("there are too many times", where=where, expected=f"<= {_MOST_TIMES}")
    kind = StoredZarr if zarr else Stored
    shape = (variable.shape[0], 1)
    return np.asarray(kind(holding.path, name, shape, variable.dtype, 1, variable.attributes).whole(), "float64")


def _moments(numbers: NDArray[np.float64], told: Mapping[str, Any], where: str) -> tuple[datetime, ...]:
    """Turn numbers into times (CF conventions 1.11, section 4.4: UTC where no zone is named)."""
    match = _SINCE.fullmatch(str(told.get("units", "")))
    unit = _MICROSECONDS.get(match["unit"].lower().removesuffix("s")) if match else None
    try:
        origin = datetime.fromisoformat(match["origin"].upper().removesuffix(" UTC")) if match else _REFORM
        origin = origin.replace(tzinfo=UTC) if origin.tzinfo is None else origin.astimezone(UTC)
        calendar = str(told.get("calendar", "")).lower()
        if unit is None or calendar not in _CALENDARS or not np.isfinite(numbers).all() or origin < _REFORM:
            raise ValueError(calendar)
        return tuple(origin + timedelta(microseconds=round(number * unit)) for number in numbers.tolist())
    except (ValueError, OverflowError) as error:
        raise MetadataError(
            "the times cannot be read",
            where=where,
            expected="finite numbers, and units like 'days since 1970-01-01' of the usual calendar",
            got=f"{told.get('units')}, {told.get('calendar', 'no calendar')}"[:120],
            todo="ask the producer; a date is never guessed",
        ) from error


def _located(variable: Variable, crs: str, where: str) -> Variable:
    """Say what longitude and latitude refer to, where the file does not."""
    told = [variable.attributes, *variable.groups]
    if variable.mapping or any(str(key).startswith("proj:") for one in told for key in one):
        return variable
    y, x = variable.y, variable.x
    names = tuple(name.lower() for name in variable.dims[-2:])
    if names not in (("lat", "lon"), ("latitude", "longitude")) or y is None or x is None:
        raise MetadataError(
            "the variable does not say where it lies",
            where=where,
            expected="dimensions lat and lon with their coordinates, or a grid mapping",
            got=", ".join(variable.dims),
        )
    if np.abs(y).max(initial=0.0) > 90 or np.abs(x).max(initial=0.0) > 180:
        raise MetadataError(
            "a position is out of range",
            where=where,
            expected="latitudes of -90 to 90, longitudes of -180 to 180 degrees",
            got=f"{y.min():g} to {y.max():g}, {x.min():g} to {x.max():g}",
            todo="check that longitude and latitude are not swapped",
        )
    return replace(variable, mapping={"crs_wkt": crs})


def _below(folder: Path) -> list[Path]:
    found = []
    for number, path in enumerate(folder.rglob("*")):
        if number > _MOST_FILES:
            raise HostileInputError("the array has too many files", where=str(folder), expected=f"<= {_MOST_FILES}")
        if path.is_file() and not path.is_symlink():
            found.append(path)
    return sorted(found)


def _holds(name: str, first: int | None) -> bool:
    """Tell whether a file is a chunk, and one of the wanted along the first dimension."""
    match = _CHUNK.fullmatch(name)
    return match is not None and (first is None or int(match["first"]) == first)
