"""What a kept cube consists of, and how it lies in its store.

One array (time, y, x) per variable with chunks (1, n, n): a date is never in one chunk with another, so that writing
one touches no byte of another. Dates lie in the order of their arrival and are sorted when the cube is opened: a late
date costs what any date costs. Beside each array lie the digests of its chunks, by which a change is seen without
reading a pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import icechunk
import numpy as np
import zarr
from numpy.typing import NDArray
from pyproj import CRS
from zarr.codecs import BloscCodec

from terracube.core.errors import AssetError, InputError, IntegrityError, TerraCubeError, VersionError
from terracube.core.files import safe_name
from terracube.cubes.grid import Grid
from terracube.cubes.storage.versioned.variable import CubeVariable, Values

FORMAT = 1
DEFAULT_CHUNK = 512
CHECK_BYTES = 16
CHECKS = "checks"
_KEY = "terracube:cube"
_TAKEN = frozenset({"time", "y", "x", "spatial_ref", CHECKS})
# Bounds on what a store may ask for before its pixels are read: 128 MiB for a chunk, 32 MiB for a coordinate.
_MAX_CHUNK, _MAX_SIDE, _MAX_VARIABLES, _MAX_DATES = 4096, 1 << 22, 1024, 1 << 20
_TIMES_CHUNK = 4096
_NO_TIME = np.iinfo(np.int64).min
_TIME_FACTS: dict[str, Any] = {
    "units": "nanoseconds since 1970-01-01",
    "calendar": "proleptic_gregorian",
    "standard_name": "time",
    "axis": "T",
}


@dataclass(frozen=True, slots=True)
class Layout:
    """Grid, chunks and variables of a cube; they never change."""

    grid: Grid
    chunk: int
    """Pixels along each side of a chunk."""
    variables: Mapping[str, CubeVariable]

    def __post_init__(self) -> None:
        if not 1 <= self.chunk <= _MAX_CHUNK:
            raise InputError("unusable chunk size", where="chunks", expected=f"1..{_MAX_CHUNK}", got=str(self.chunk))
        if max(self.grid.shape) > _MAX_SIDE:
            raise InputError(
                "the grid is too large", expected=f"<= {_MAX_SIDE} rows, columns", got=str(self.grid.shape)
            )
        if not 1 <= len(self.variables) <= _MAX_VARIABLES:
            raise InputError(
                "unusable number of variables", expected=f"1..{_MAX_VARIABLES}", got=str(len(self.variables))
            )
        for name in self.variables:
            if safe_name(name, what="variable") in _TAKEN:
                raise InputError("this name is taken", where="variables", expected="another name", got=name)

    @property
    def counts(self) -> tuple[int, int]:
        """How many chunks there are along y and x."""
        return -(-self.grid.shape.y // self.chunk), -(-self.grid.shape.x // self.chunk)

    def bounds(self, row: int, col: int) -> tuple[slice, slice]:
        """Give the rows and columns of a chunk, cut off at the edge of the grid."""
        top, left = row * self.chunk, col * self.chunk
        return (
            slice(top, min(top + self.chunk, self.grid.shape.y)),
            slice(left, min(left + self.chunk, self.grid.shape.x)),
        )

    def as_dict(self) -> dict[str, Any]:
        """Give plain JSON values."""
        variables = {name: variable.as_dict() for name, variable in self.variables.items()}
        return {"format": FORMAT, "grid": self.grid.as_dict(), "chunk": self.chunk, "variables": variables}


def read_layout(attributes: Mapping[str, Any], where: str) -> Layout:
    """Read the layout from the attributes of a group.

    Raises
    ------
    VersionError
        If a newer version wrote it.
    IntegrityError
        If it is malformed.
    """
    told = attributes.get(_KEY)
    version = told.get("format") if isinstance(told, Mapping) else None
    if isinstance(version, int) and version > FORMAT:
        raise VersionError(
            "a newer version of the software wrote this cube",
            where=where,
            expected=f"format <= {FORMAT}",
            got=str(version),
            todo="update the software",
        )
    if not isinstance(told, Mapping) or version != FORMAT:
        raise IntegrityError("the store holds no cube", where=where, expected=f"attribute {_KEY}", got=repr(told)[:80])
    try:
        variables = {str(name): CubeVariable.from_dict(fields) for name, fields in told["variables"].items()}
        return Layout(Grid.from_dict(told["grid"]), int(told["chunk"]), variables)
    except (KeyError, TypeError, AttributeError, ValueError, TerraCubeError) as error:
        raise IntegrityError("the description of the cube is malformed", where=where, got=str(error)[:200]) from error


def create_arrays(store: Any, layout: Layout) -> None:
    """Write the arrays of a cube without any date into an empty store."""
    attributes = {"Conventions": "CF-1.11", _KEY: layout.as_dict()}
    group = zarr.create_group(store, zarr_format=3, attributes=attributes)
    checks = group.create_group(CHECKS)
    counts = layout.counts
    for name, variable in layout.variables.items():
        group.create_array(
            name,
            shape=(0, *layout.grid.shape),
            chunks=(1, layout.chunk, layout.chunk),
            dtype=variable.dtype,
            fill_value=variable.fill,
            dimension_names=("time", "y", "x"),
            compressors=BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"),
            attributes=variable.attributes | {"grid_mapping": "spatial_ref"},
        )
        checks.create_array(
            name, shape=(0, *counts, CHECK_BYTES), chunks=(1, *counts, CHECK_BYTES), dtype="uint8", fill_value=0
        )
    group.create_array(
        "time",
        shape=(0,),
        chunks=(_TIMES_CHUNK,),
        dtype="int64",
        fill_value=_NO_TIME,
        dimension_names=("time",),
        attributes=_TIME_FACTS,
    )
    _create_coordinates(group, layout.grid)


def _create_coordinates(group: zarr.Group, grid: Grid) -> None:
    """Write what readers of CF need; this software takes coordinates from the grid alone."""
    crs = CRS.from_user_input(grid.crs)
    facts = {axis["axis"].lower(): axis for axis in crs.cs_to_cf()}
    for name, values in zip(("y", "x"), grid.centres(), strict=True):
        array = group.create_array(
            name, shape=values.shape, dtype="float64", dimension_names=(name,), attributes=facts.get(name, {})
        )
        array[:] = values
    place = " ".join(map(repr, grid.transform.to_gdal()))
    mapping = group.create_array(
        "spatial_ref", shape=(), dtype="int64", attributes=crs.to_cf() | {"GeoTransform": place}
    )
    mapping[...] = 0


@dataclass(frozen=True, slots=True)
class Head:
    """The state of a cube in one snapshot."""

    snapshot: str
    layout: Layout
    times: NDArray[np.int64]
    """Nanoseconds since 1970, in the order of arrival; the place of a date here is its place in the arrays."""
    group: zarr.Group

    def slots(self) -> dict[int, int]:
        """Give the place of each date."""
        return {int(time): slot for slot, time in enumerate(self.times)}

    def times_array(self) -> zarr.Array[Any]:
        """Give the array of the dates."""
        return _array(self.group, "time", (self.times.size,), (_TIMES_CHUNK,), "int64")

    def array(self, name: str) -> zarr.Array[Any]:
        """Give the array of a variable, after checking that it is what the layout says."""
        variable = self.layout.variables[name]
        shape, chunks = (self.times.size, *self.layout.grid.shape), (1, self.layout.chunk, self.layout.chunk)
        array = _array(self.group, name, shape, chunks, variable.dtype)
        if not _same_number(array.fill_value, variable.fill):
            raise IntegrityError(
                "an array is not what the cube says",
                where=f"{name}, fill value",
                expected=str(variable.fill),
                got=str(array.fill_value),
            )
        return array

    def checks(self, name: str) -> zarr.Array[Any]:
        """Give the digests of a variable's chunks: (date, row, column, 16 bytes), 0 where a chunk is all missing."""
        counts = self.layout.counts
        shape, chunks = (self.times.size, *counts, CHECK_BYTES), (1, *counts, CHECK_BYTES)
        return _array(self.group, f"{CHECKS}/{name}", shape, chunks, "uint8")

    def checks_of(self, name: str, slot: int) -> NDArray[np.uint8]:
        """Give the digests of one date."""
        return np.asarray(self.checks(name)[slot], "uint8")


def read_part(array: zarr.Array[Any], slot: int, part: tuple[slice, slice]) -> Values:
    """Read pixels of one date.

    Raises
    ------
    AssetError
        If a chunk cannot be decoded.
    """
    try:
        return np.asarray(array[slot, *part])
    except icechunk.IcechunkError:  # some are a ValueError too; whoever opened the store knows what to say
        raise
    except (RuntimeError, ValueError, TypeError) as error:
        raise AssetError(
            "a chunk cannot be decoded",
            where=f"{array.path}, date {slot}, row {part[0].start}, column {part[1].start}",
            got=str(error)[:200],
        ) from error


def _same_number(one: Any, other: Any) -> bool:
    return bool(one == other or (one != one and other != other))


def _array(
    group: zarr.Group, path: str, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: str
) -> zarr.Array[Any]:
    node = group.get(path)
    got = (node.shape, node.chunks, str(node.dtype)) if isinstance(node, zarr.Array) else ()
    if not isinstance(node, zarr.Array) or got != (shape, chunks, dtype):
        raise IntegrityError(
            "an array is not what the cube says",
            where=path,
            expected=str((shape, chunks, dtype)),
            got=str(got)[:200] or "none",
        )
    return node


def read_head(store: Any, snapshot: str, where: str) -> Head:
    """Read the state of a cube from a store.

    Raises
    ------
    VersionError
        If a newer version wrote it.
    IntegrityError
        If it is malformed.
    """
    try:
        group = zarr.open_group(store, mode="r+" if not store.read_only else "r", zarr_format=3)
    except (FileNotFoundError, ValueError, TypeError, KeyError) as error:
        raise IntegrityError("the store holds no cube", where=where, got=str(error)[:200]) from error
    layout = read_layout(group.attrs, where)
    array = group.get("time")
    if not isinstance(array, zarr.Array) or len(array.shape) != 1 or not 0 <= array.shape[0] <= _MAX_DATES:
        raise IntegrityError("the cube has no usable dates", where=where, expected=f"at most {_MAX_DATES}")
    times = np.asarray(_array(group, "time", array.shape, (_TIMES_CHUNK,), "int64")[:], "int64")
    if np.unique(times).size < times.size or (times == _NO_TIME).any():
        raise IntegrityError("dates of the cube are missing or told twice", where=where)
    return Head(snapshot, layout, times, group)
