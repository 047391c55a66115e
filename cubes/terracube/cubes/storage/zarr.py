"""Zarr version 3: groups that xarray, rioxarray, GDAL and GeoZarr readers find their way in.

A group carries CF coordinates and grid mapping (what today's GDAL and rioxarray read) and the attributes of the
GeoZarr conventions (see :mod:`terracube.cubes.storage.attributes`). The full resolution lies in the group itself, so
that ``xarray.open_zarr(path)`` opens it; levels of a pyramid are its sub-groups ``1``, ``2`` and so on, each complete.
Chunks are not sharded, because GDAL before 3.13 cannot read shards.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.errors import UnstableSpecificationWarning, ZarrUserWarning

from terracube.core.files import storage_error
from terracube.cubes.grid import Grid
from terracube.cubes.storage.attributes import (
    GRID_MAPPING,
    Place,
    array_attributes,
    axis_attributes,
    grid_mapping,
    group_attributes,
    layout,
)
from terracube.cubes.storage.chunks import CHUNK, Variable, create_array, unused_value, write_chunk
from terracube.cubes.storage.layers import Layer, RowReader, strips
from terracube.cubes.storage.pyramid import count_levels, reduce_levels

# Python before 3.14 keeps the filters of warnings for all threads together.
_WARNINGS = threading.RLock()


@dataclass(frozen=True, slots=True)
class Coordinate:
    """A small array that labels an axis, or describes a whole cube."""

    dims: tuple[str, ...]
    values: NDArray[Any]
    attributes: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Scheme:
    """All that is known of a Zarr store before its first chunk."""

    grid: Grid
    variables: tuple[Variable, ...]
    chunk: int = CHUNK
    """Pixels along each side of a chunk."""
    levels: int = 0
    """Levels beside the full resolution."""
    attributes: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """JSON values of the group beside those that place it."""
    coordinates: Mapping[str, Coordinate] = field(default_factory=dict, hash=False)
    """Beside y, x and the grid mapping; the same at each level."""
    axes: Mapping[str, NDArray[np.float64]] = field(default_factory=dict, hash=False)
    """``y`` and ``x`` of full resolution, where they are to be stored as they were given."""


def create_store(folder: Path, scheme: Scheme) -> None:
    """Make a new store, whole but for its chunks.

    Raises
    ------
    OSError
        If the disk refuses.
    """
    for level in range(scheme.levels + 1):
        place = Place(scheme.grid, level)
        methods = {variable.name: variable.method for variable in scheme.variables}
        entries = layout(scheme.grid, methods, scheme.levels) if scheme.levels and not level else []
        group = zarr.create_group(
            str(level_folder(folder, level)),
            zarr_format=3,
            attributes={**scheme.attributes, **group_attributes(place, entries)},
        )
        _write_coordinates(group, scheme, place)
        for variable in scheme.variables:
            placed = {**array_attributes(place), "coordinates": _labels(scheme, variable)}
            create_array(group, variable, place.shape, scheme.chunk, placed)


def _labels(scheme: Scheme, variable: Variable) -> str:
    """Name the coordinates of a variable that are not those of its axes, as CF does."""
    beside = (name for name, told in scheme.coordinates.items() if (name,) != told.dims)
    return " ".join([GRID_MAPPING, *sorted(n for n in beside if set(scheme.coordinates[n].dims) <= set(variable.dims))])


def level_folder(folder: Path, level: int) -> Path:
    """Give the folder of a level's group."""
    return folder / str(level) if level else folder


def finish_store(folder: Path) -> None:
    """Gather the metadata of all groups and arrays in one file, so that readers open the store in one read."""
    with _WARNINGS, warnings.catch_warnings():
        # Consolidated metadata are not part of the Zarr v3 specification yet; readers that look for them open the
        # group in one read, others pass them over.
        warnings.simplefilter("ignore", ZarrUserWarning)
        zarr.consolidate_metadata(str(folder))


def _write_coordinates(group: zarr.Group, scheme: Scheme, place: Place) -> None:
    facts = axis_attributes(scheme.grid.crs)
    for name, centres in zip("yx", place.centres(), strict=True):
        values = centres if place.level else scheme.axes.get(name, centres)
        _write_small(group, name, Coordinate((name,), values, facts[name]))
    _write_small(group, GRID_MAPPING, Coordinate((), np.array(0, "int64"), grid_mapping(place)))
    for name, coordinate in scheme.coordinates.items():
        _write_small(group, name, coordinate)


def _write_small(group: zarr.Group, name: str, told: Coordinate) -> None:
    """Write an array as one chunk."""
    text = told.values.dtype.kind in "OTU"
    with _WARNINGS, warnings.catch_warnings():
        # Text of any length has a codec in all readers we know, and a name in the specification soon.
        warnings.simplefilter("ignore", UnstableSpecificationWarning)
        array = group.create_array(
            name,
            shape=told.values.shape,
            chunks=tuple(max(1, side) for side in told.values.shape),
            dtype="string" if text else told.values.dtype.newbyteorder("<"),
            dimension_names=told.dims,
            attributes=dict(told.attributes),
        )
        array[...] = told.values.astype(object) if text else told.values


def write_small(folder: Path, name: str, told: Coordinate) -> None:
    """Add an array without y and x to a store."""
    _write_small(zarr.open_group(str(folder), mode="r+"), name, told)


def write_group(
    folder: Path,
    source: RowReader,
    grid: Grid,
    layers: Sequence[Layer],
    *,
    title: str,
    multiscales: bool | int = False,
) -> None:
    """Write layers into a new Zarr v3 group, a strip of chunks at a time, and compare what was stored.

    Parameters
    ----------
    folder : Path
        A folder that does not exist yet, inside a staging folder.
    source : RowReader
        Where the rows come from.
    grid, layers, title
        What they are.
    multiscales : bool or int
        Levels of half the resolution, made of the same rows on the way; ``True`` = until one chunk holds the whole.

    Raises
    ------
    IntegrityError
        If a value does not fit the layer's type, or what was read back is not what was written.
    StorageError
        If the disk refuses.
    """
    levels = count_levels(grid.shape, CHUNK, multiscales)
    variables, places = _variables(layers)
    scheme = Scheme(grid, tuple(variables), CHUNK, levels, {"title": title}, _times(layers))
    try:
        create_store(folder, scheme)
        for number, layer in enumerate(layers):
            _write_layer(folder, scheme, number, layer, source, places[number])
        finish_store(folder)
    except OSError as error:
        raise storage_error(error, folder) from error


@dataclass(frozen=True, slots=True)
class _Slot:
    """Where a layer lies in a group."""

    variable: Variable
    leading: tuple[int, ...]
    """Its place along the axes before y and x."""


def _moments(layers: Sequence[Layer]) -> list[str]:
    return sorted({layer.step[1] for layer in layers if layer.step is not None})


def _variables(layers: Sequence[Layer]) -> tuple[list[Variable], list[_Slot]]:
    """Give the arrays of a group, and where each layer lies in them."""
    moments = _moments(layers)
    known: dict[str, Variable] = {}
    places = []
    for layer in layers:
        name = layer.name if layer.step is None else layer.step[0]
        if name not in known:
            known[name] = _variable(layer, name, () if layer.step is None else (len(moments),))
        places.append(_Slot(known[name], () if layer.step is None else (moments.index(layer.step[1]),)))
    return list(known.values()), places


def _times(layers: Sequence[Layer]) -> dict[str, Coordinate]:
    """Give the axis of time, as CF has it; nothing where no layer is a date of one."""
    moments = _moments(layers)
    if not moments:
        return {}
    seconds = np.array(moments, "datetime64[s]").astype("int64")
    told = {"units": "seconds since 1970-01-01", "calendar": "proleptic_gregorian", "standard_name": "time"}
    return {"time": Coordinate(("time",), seconds, told)}


def _variable(layer: Layer, name: str, leading: tuple[int, ...]) -> Variable:
    # A number that stands for missing; NaN needs no telling.
    told = {} if layer.missing is None or math.isnan(layer.missing) else {"missing_value": layer.missing}
    fill = unused_value(layer.dtype) if layer.missing is None else layer.missing
    title = layer.title if layer.step is None else layer.title.rpartition(", ")[0] or layer.title
    attributes = {"long_name": title, "units": layer.unit, **told, **layer.flags}
    dims = ("time", "y", "x") if leading else ("y", "x")
    return Variable(name, dims, leading, layer.dtype, fill, layer.missing, layer.resampling, attributes)


def _write_layer(folder: Path, scheme: Scheme, number: int, layer: Layer, source: RowReader, slot: _Slot) -> None:
    """Write a layer strip by strip; the strips of a level gather until they fill a row of its chunks."""
    variable = slot.variable
    gathered: list[list[NDArray[Any]]] = [[] for _ in range(scheme.levels)]
    for start, stop in strips(scheme.grid.shape.y, scheme.chunk):
        rows = layer.encode(source.rows(number, start, stop))
        write_rows(folder, scheme, slot, 0, start, rows)
        for level, coarse in enumerate(reduce_levels(rows, scheme.levels, variable.method, variable.missing), 1):
            waiting = gathered[level - 1]
            waiting.append(coarse)
            if stop % (scheme.chunk << level) == 0 or stop == scheme.grid.shape.y:
                first = (stop - 1) // (scheme.chunk << level) * scheme.chunk
                write_rows(folder, scheme, slot, level, first, np.concatenate(waiting))
                waiting.clear()


def write_rows(folder: Path, scheme: Scheme, slot: _Slot, level: int, start: int, rows: NDArray[Any]) -> None:
    """Write whole rows of chunks of a layer, from a row that is a multiple of the chunk."""
    variable = slot.variable
    array = level_folder(folder, level) / variable.name
    shape = Place(scheme.grid, level).shape
    chunk = (min(scheme.chunk, shape.y), min(scheme.chunk, shape.x))
    for top in range(0, rows.shape[0], chunk[0]):
        for col, left in enumerate(range(0, shape.x, chunk[1])):
            part = rows[top : top + chunk[0], left : left + chunk[1]]
            write_chunk(array, (*slot.leading, (start + top) // chunk[0], col), part, chunk, variable.filler)
