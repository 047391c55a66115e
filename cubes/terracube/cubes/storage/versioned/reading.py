"""A state of a cube as a lazy dataset."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import dask.array as da
import numpy as np
import rioxarray  # noqa: F401  registers the `.rio` accessor
import xarray as xr
import zarr
from dask.delayed import delayed

from terracube.cubes.storage.versioned.layout import Head, read_head, read_part
from terracube.cubes.storage.versioned.place import Place, quiet, told
from terracube.cubes.storage.versioned.variable import CubeVariable, Values


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the chunks of one variable are read from; travels with the graph and opens the store where it arrives."""

    place: Place
    snapshot: str
    name: str


@lru_cache(maxsize=64)
def _opened(source: _Source) -> zarr.Array[Any]:
    head = head_at(source.place, source.snapshot)
    return head.array(source.name)


def head_at(place: Place, snapshot: str) -> Head:
    """Read the state of a cube in a snapshot."""
    repository = place.open()
    with told(place.address), quiet():
        session = repository.readonly_session(snapshot_id=snapshot)
        return read_head(session.store, snapshot, place.address)


def _read_chunk(source: _Source, slots: Values, chunk: int, size: tuple[int, int], block_id: tuple[int, ...]) -> Values:
    date, row, col = block_id
    rows = slice(row * chunk, min((row + 1) * chunk, size[0]))
    cols = slice(col * chunk, min((col + 1) * chunk, size[1]))
    with told(source.place.address):
        values = read_part(_opened(source), int(slots[date]), (rows, cols))
    return values[np.newaxis]


def as_dataset(place: Place, head: Head) -> xr.Dataset:
    """Give a state of the cube as a lazy dataset, sorted by time, one task per chunk."""
    slots = np.argsort(head.times, kind="stable")
    variables = {
        name: _variable(place, head, name, variable, slots) for name, variable in head.layout.variables.items()
    }
    y, x = head.layout.grid.centres()
    times = head.times[slots].astype("datetime64[ns]")
    found = xr.Dataset(variables, coords={"time": times, "y": y, "x": x}, attrs={"Conventions": "CF-1.11"})
    found["time"].attrs["standard_name"] = "time"
    grid = head.layout.grid
    placed: xr.Dataset = found.rio.write_crs(grid.crs).rio.write_transform(grid.transform).rio.write_coordinate_system()
    # Not among the attributes: the same pixels are the same dataset, by whatever way the cube came to them.
    placed.encoding = {"source": place.address, "snapshot": head.snapshot}
    return placed


def _variable(place: Place, head: Head, name: str, variable: CubeVariable, slots: Values) -> xr.Variable:
    layout = head.layout
    shape = (slots.size, *layout.grid.shape)
    chunks = ((1,) * slots.size, *layout.grid.chunks(layout.chunk))
    if not slots.size:
        return xr.Variable(("time", "y", "x"), da.empty(shape, dtype=variable.dtype, chunks=-1), variable.attributes)
    token = f"{head.snapshot}-{name}"
    order = delayed(slots, name=f"dates-{token}", traverse=False)
    lazy = da.map_blocks(
        _read_chunk,
        _Source(place, head.snapshot, name),
        order,
        layout.chunk,
        tuple(layout.grid.shape),
        chunks=chunks,
        dtype=variable.dtype,
        meta=np.empty((0, 0, 0), variable.dtype),
        name=f"kept-{token}",
    )
    return xr.Variable(("time", "y", "x"), lazy, variable.attributes)
