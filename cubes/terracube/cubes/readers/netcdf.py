"""NetCDF files: local ones, and remote ones that fit into memory. The library runs one call at a time."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import AssetError, HostileInputError, MetadataError
from terracube.cubes.access import ByteSource, Location
from terracube.cubes.readers.cf import Variable
from terracube.cubes.readers.netcdfguard import MAGIC as MAGIC
from terracube.cubes.readers.netcdfguard import SMALL, check_netcdf

if TYPE_CHECKING:
    import netCDF4

# A remote file is held whole.
MOST_REMOTE = 512 << 20
_MAX_OPEN = 8
_MAX_AXIS = 1 << 22
_MAX_CHUNK = 256 << 20

# HDF5 keeps state for the whole process and is not made for threads; a fork gives the child a lock of its own.
_lock = threading.RLock()
_open: OrderedDict[Hashable, tuple[netCDF4.Dataset, int]] = OrderedDict()


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()
    _open.clear()


os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def dataset(location: Location, source: ByteSource, *, cells: int = SMALL) -> Iterator[netCDF4.Dataset]:
    """Open a file, alone: no other thread may call the library meanwhile.

    The file is held to its format before the library sees it; see `terracube.cubes.readers.netcdfguard`.

    Parameters
    ----------
    location : Location
    source : ByteSource
        Its bytes.
    cells : int
        How many cells of a file of HDF5 are read elsewhere before it is trusted.

    Raises
    ------
    AssetError
        If it cannot be opened, or is remote and too large.
    HostileInputError
        If it is no NetCDF, or one on which the library would not come to an end.
    """
    key = (location.href, location.signer, source.version, source.size, cells)
    with _lock:
        if key not in _open:
            _open[key] = _opened(location, source, cells), source.size if location.is_remote else 0
            while len(_open) > _MAX_OPEN or (len(_open) > 1 and sum(size for _, size in _open.values()) > MOST_REMOTE):
                _open.popitem(last=False)[1][0].close()
        _open.move_to_end(key)
        yield _open[key][0]


def _library() -> ModuleType:
    try:
        return import_module("netCDF4")
    except ModuleNotFoundError:
        told = "no module netCDF4"
    raise AssetError("NetCDF cannot be read here", expected="netCDF4", got=told, todo="pip install netCDF4")


def _opened(location: Location, source: ByteSource, cells: int) -> netCDF4.Dataset:
    library = _library()
    if location.is_remote and source.size > MOST_REMOTE:
        raise AssetError(
            "the file is too large to be fetched whole",
            where=source.name,
            expected=f"at most {MOST_REMOTE >> 20} MiB",
            got=f"{source.size >> 20} MiB",
            todo="fetch it first, or use a Zarr copy",
        )
    content = source.read(0, source.size) if location.is_remote else None
    check_netcdf(source, content, cells=cells)
    try:
        # A name in memory; else the path, as the library reads what it needs.
        name = "memory.nc" if content else source.name
        opened: netCDF4.Dataset = library.Dataset(name, mode="r", memory=content)
    except (OSError, RuntimeError, ValueError) as error:
        told = str(getattr(error, "strerror", "") or error)[:120]
    else:
        opened.set_auto_maskandscale(False)
        opened.set_auto_chartostring(False)
        return opened
    raise AssetError("cannot open the file", where=source.name, expected="a readable NetCDF", got=told)


def close_datasets() -> None:
    """Close the files that are kept open."""
    with _lock:
        while _open:
            _open.popitem()[1][0].close()


def pick(data: netCDF4.Dataset, member: str, where: str) -> netCDF4.Variable[Any]:
    """Give the variable that a location names, or the only one that has two dimensions or more.

    Raises
    ------
    AssetError
        If there is no such variable.
    MetadataError
        If none is named, and there are several.
    """
    if not member:
        names = [name for name, one in data.variables.items() if one.ndim >= 2]
        if len(names) != 1:
            raise MetadataError(
                "which variable?", where=where, expected="a name", got=", ".join(sorted(names)[:20]) or "no raster"
            )
        member = names[0]
    group: netCDF4.Dataset | None = data
    *folders, name = member.strip("/").split("/")
    for folder in folders:
        group = None if group is None else group.groups.get(folder)
    if group is None or name not in group.variables:
        raise AssetError("no such variable in the file", where=where, got=member[:80])
    return group.variables[name]


def describe(variable: netCDF4.Variable[Any], where: str) -> Variable:
    """Take all that a variable says of itself.

    Raises
    ------
    AssetError
        If it holds no numbers.
    HostileInputError
        If its chunks are absurdly large.
    """
    dtype = numbers(variable, where)
    attributes = _attributes(variable)
    for name in ("_FillValue", "missing_value"):
        value = attributes.get(name)
        if dtype.kind == "u" and isinstance(value, np.number) and value < 0:
            attributes[name] = int(value) + (1 << 8 * dtype.itemsize)
    return Variable(
        dims=tuple(variable.dimensions),
        shape=tuple(int(size) for size in variable.shape),
        dtype=dtype.name,
        tile=_tile(variable, dtype, where),
        attributes=attributes,
        groups=tuple(_attributes(group) for group in _groups(variable)),
        mapping=_mapping(variable, attributes),
        y=_axis(variable, -2),
        x=_axis(variable, -1),
    )


def numbers(variable: netCDF4.Variable[Any], where: str) -> np.dtype[Any]:
    """Give the type of the numbers of a variable, in this machine's byte order."""
    kind = variable.dtype
    if not isinstance(kind, np.dtype) or kind.kind not in "iuf":
        raise AssetError(
            "the variable holds no numbers", where=where, expected="integers or floats", got=str(kind)[:60]
        )
    plain = kind.newbyteorder("=")
    # The classic format has signed types only; this attribute of old says what is meant.
    unsigned = str(_attributes(variable).get("_Unsigned", "")).lower() == "true"
    return np.dtype(f"u{plain.itemsize}") if unsigned and plain.kind == "i" else plain


def read(variable: netCDF4.Variable[Any], index: tuple[Any, ...], where: str) -> NDArray[Any]:
    """Read numbers as they are stored."""
    found = np.asarray(variable[index])
    dtype = numbers(variable, where)
    plain = found.astype(found.dtype.newbyteorder("="), copy=False)
    return plain.view(dtype) if plain.dtype.itemsize == dtype.itemsize else plain


def _attributes(holder: Any) -> dict[str, Any]:
    return {name: holder.getncattr(name) for name in holder.ncattrs()}


def _groups(variable: netCDF4.Variable[Any]) -> Iterator[netCDF4.Dataset]:
    group: netCDF4.Dataset | None = variable.group()
    while group is not None:
        yield group
        group = group.parent


def _find(variable: netCDF4.Variable[Any], name: str) -> netCDF4.Variable[Any] | None:
    """Find a variable by name as CF scopes it: in the same group, or one around it."""
    for group in _groups(variable):
        if name in group.variables:
            return group.variables[name]
    return None


def _mapping(variable: netCDF4.Variable[Any], attributes: dict[str, Any]) -> dict[str, Any] | None:
    words = str(attributes.get("grid_mapping", "")).split()
    found = _find(variable, words[0].rstrip(":") if words else "spatial_ref")
    return None if found is None else _attributes(found)


def _axis(variable: netCDF4.Variable[Any], position: int) -> NDArray[np.float64] | None:
    if variable.ndim < 2:
        return None
    name = variable.dimensions[position]
    found = _find(variable, name)
    if found is None or found.ndim != 1 or found.size > _MAX_AXIS or found.dtype.kind not in "iuf":
        return None
    values = np.asarray(found[:], np.float64)
    scale, offset = (found.getncattr(key) if key in found.ncattrs() else None for key in ("scale_factor", "add_offset"))
    if scale is not None or offset is not None:
        values = values * float(1 if scale is None else scale) + float(0 if offset is None else offset)
    return values


def _tile(variable: netCDF4.Variable[Any], dtype: np.dtype[Any], where: str) -> tuple[int, int]:
    chunks = variable.chunking()
    if variable.ndim < 2 or not isinstance(chunks, list):
        # Without chunks the file holds row after row.
        return 1, int(variable.shape[-1]) if variable.ndim else 1
    if int(np.prod(chunks, dtype=np.float64)) * dtype.itemsize > _MAX_CHUNK:
        raise HostileInputError(
            "the chunks are too large to decode safely",
            where=where,
            expected=f"{_MAX_CHUNK >> 20} MiB",
            got=str(chunks),
        )
    return int(chunks[-2]), int(chunks[-1])
