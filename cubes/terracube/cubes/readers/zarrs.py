"""Arrays of Zarr stores, version 2 and 3, by their place in the store: local folders, http and S3."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from terracube.core.errors import AssetError, HostileInputError, MetadataError, TerraCubeError
from terracube.cubes.access import Location
from terracube.cubes.readers.cf import Variable
from terracube.cubes.readers.zarrstore import BROKEN, BytesStore, check_codecs

_MAX_AXIS = 1 << 22
_MAX_CHUNK = 256 << 20
_MAX_DEPTH = 16


@dataclass(frozen=True, slots=True)
class Opened:
    """An array, and what is known of it."""

    array: zarr.Array[Any]
    variable: Variable


def split(location: Location) -> tuple[Location, str]:
    """Give the store that a location lies in, and the path of the array inside.

    A store ends where a name ends in ``.zarr``; otherwise it is the folder itself where a member is named, and the one
    around it where none is: coordinates lie beside their array.

    Examples
    --------
    >>> split(Location("s3://eodata/S2.zarr/measurements/r10m", "b04"))[1]
    'measurements/r10m/b04'
    """
    base, mark, query = location.href.partition("?") if location.is_remote else (location.href, "", "")
    parts = base.rstrip("/").split("/")
    member = [part for part in location.member.split("/") if part]
    ends = [k for k, part in enumerate(parts) if part.endswith(".zarr")]
    cut = ends[0] + 1 if ends else len(parts) - (0 if member else 1)
    inside = "/".join([*parts[cut:], *member])
    return replace(location, href="/".join(parts[:cut]) + mark + query, member=""), inside


def stamp(store: BytesStore, path: str) -> tuple[Any, ...]:
    """Give what changes when a local array is replaced; nothing for remote ones."""
    found = []
    for name in ("zarr.json", ".zarray", ".zattrs"):
        place = store.place(f"{path}/{name}" if path else name)
        if not place.is_remote and os.path.isfile(place.href):
            status = os.stat(place.href)
            found.append((name, status.st_ino, status.st_ctime_ns, status.st_mtime_ns, status.st_size))
    return tuple(found)


def open_array(store: BytesStore, path: str, where: str) -> Opened:
    """Open an array, having looked at its metadata first.

    Raises
    ------
    AssetError
        If there is no array, or it holds no numbers.
    HostileInputError
        If a codec is not allowed, or its chunks are absurdly large.
    """
    document = _document(store, path, where)
    array = _open(store, path, 3 if document["zarr_format"] == 3 else 2, where)
    attributes = dict(array.attrs.asdict())
    groups = tuple(_attributes(store, group) for group in _around(path))
    dims = _dims(document, attributes, array.ndim)
    variable = Variable(
        dims=dims,
        shape=tuple(array.shape),
        dtype=array.dtype.newbyteorder("=").name,
        tile=(array.chunks[-2], array.chunks[-1]) if array.ndim >= 2 else (1, 1),
        attributes=attributes,
        groups=groups,
        mapping=_mapping(store, path, attributes),
        y=_axis(store, path, dims[-2], where) if array.ndim >= 2 else None,
        x=_axis(store, path, dims[-1], where) if array.ndim >= 2 else None,
        fill=document.get("fill_value") if document["zarr_format"] == 2 else None,
    )
    return Opened(array, variable)


def is_array(store: BytesStore, path: str) -> bool:
    """Tell whether there is an array at a path."""
    prefix = f"{path}/" if path else ""
    document = store.read_json(prefix + "zarr.json")
    if document is not None:
        return document.get("node_type") == "array"
    return store.read_json(prefix + ".zarray") is not None


def read(array: zarr.Array[Any], index: tuple[Any, ...]) -> NDArray[Any]:
    """Read numbers as they are stored."""
    found = np.asarray(array[index])
    return found.astype(found.dtype.newbyteorder("="), copy=False)


def _document(store: BytesStore, path: str, where: str) -> Mapping[str, Any]:
    """Give the metadata of an array, having seen that opening it is safe."""
    prefix = f"{path}/" if path else ""
    for name in ("zarr.json", ".zarray"):
        found = store.read_json(prefix + name)
        if found is None or found.get("node_type") == "group":
            continue
        version = 3 if name == "zarr.json" else 2
        codecs = found.get("codecs") if version == 3 else [found.get("compressor"), *(found.get("filters") or [])]
        check_codecs(codecs, where)
        return {**found, "zarr_format": version}
    raise AssetError(
        "no array in the store",
        where=where,
        expected="a Zarr array of version 2 or 3",
        got=path or "a group" if found or store.read_json(prefix + ".zgroup") else "nothing",
        todo="name the variable",
    )


def _open(store: BytesStore, path: str, version: Literal[2, 3], where: str) -> zarr.Array[Any]:
    told = ""
    try:
        array = zarr.open_array(store, path=path, mode="r", zarr_format=version)
    except TerraCubeError:
        raise
    except (ValueError, TypeError, KeyError, OverflowError, AttributeError, IndexError, RuntimeError, OSError) as error:
        told = f"{type(error).__name__}: {error}"[:160]
    if told:
        raise AssetError("cannot open the array", where=where, expected="a readable Zarr array", got=told)
    if not isinstance(array.dtype, np.dtype) or array.dtype.kind not in "iuf":
        raise AssetError("the array holds no numbers", where=where, expected="integers or floats", got=str(array.dtype))
    if float(np.prod(array.chunks, dtype=np.float64)) * array.dtype.itemsize > _MAX_CHUNK:
        raise HostileInputError(
            "the chunks are too large to decode safely",
            where=where,
            expected=f"at most {_MAX_CHUNK >> 20} MiB",
            got=str(array.chunks),
        )
    store.expect(float(np.prod(array.shards or array.chunks, dtype=np.float64)) * array.dtype.itemsize)
    return array


def _dims(document: Mapping[str, Any], attributes: Mapping[str, Any], count: int) -> tuple[str, ...]:
    names = document.get("dimension_names") or attributes.get("_ARRAY_DIMENSIONS") or ()
    if not isinstance(names, list) or len(names) != count:
        spatial = attributes.get("spatial:dimensions")
        names = ["" for _ in range(count)]
        if isinstance(spatial, list) and len(spatial) == 2 and count >= 2:
            names[-2:] = spatial
    return tuple(str(name or "") for name in names)


def _around(path: str) -> Iterator[str]:
    """Give the groups around an array, the nearest first."""
    parts = path.split("/")[:-1]
    if len(parts) > _MAX_DEPTH:
        raise MetadataError("the array lies too deep", where=path[:80], expected=f"at most {_MAX_DEPTH} groups")
    for length in range(len(parts), -1, -1):
        yield "/".join(parts[:length])


def _attributes(store: BytesStore, group: str) -> dict[str, Any]:
    prefix = f"{group}/" if group else ""
    document = store.read_json(prefix + "zarr.json")
    found = document.get("attributes") if document is not None else store.read_json(prefix + ".zattrs")
    return dict(found) if isinstance(found, dict) else {}


def _beside(store: BytesStore, path: str, name: str) -> str | None:
    """Find an array by name: in the group of another, or one around it."""
    if not name or "/" in name:
        return None
    for group in _around(path):
        prefix = f"{group}/{name}/" if group else f"{name}/"
        document = store.read_json(prefix + "zarr.json")
        if (document or {}).get("node_type") == "array" or (document is None and store.read_json(prefix + ".zarray")):
            return prefix.rstrip("/")
    return None


def _mapping(store: BytesStore, path: str, attributes: Mapping[str, Any]) -> dict[str, Any] | None:
    words = str(attributes.get("grid_mapping", "")).split()
    found = _beside(store, path, words[0].rstrip(":") if words else "spatial_ref")
    return None if found is None else _attributes(store, found)


def _axis(store: BytesStore, path: str, name: str, where: str) -> NDArray[np.float64] | None:
    place = _beside(store, path, name)
    if place is None:
        return None
    document = _document(store, place, where)
    array = _open(store, place, 3 if document["zarr_format"] == 3 else 2, where)
    if array.ndim != 1 or array.size > _MAX_AXIS:
        return None
    attributes: dict[str, Any] = dict(array.attrs.asdict())
    told = ""
    try:
        values = np.asarray(array[:], np.float64) * attributes.get("scale_factor", 1) + attributes.get("add_offset", 0)
    except TerraCubeError:
        raise
    except BROKEN as error:
        told = f"{type(error).__name__}: {error}"[:160]
    if told:
        raise AssetError(f"the coordinates of {name} cannot be read", where=where, got=told)
    return np.asarray(values, np.float64)
