"""What lies in a Zarr product beside its rasters: attributes, small arrays, and which files make an array."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from terracube.core.errors import AssetError, HostileInputError, TerraCubeError
from terracube.cubes.access import Location
from terracube.cubes.readers.zarrstore import BROKEN, BytesStore, check_codecs

_MOST_NUMBERS = 1 << 22
_NUMBERS = re.compile(r"(?:u?int|float)(?:8|16|32|64)|[<>|=][iuf][1248]")
_MOST_FILES = 200_000
_METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")
_UNREADABLE = (*BROKEN, KeyError, AttributeError, OverflowError)


@dataclass(frozen=True)
class Store:
    """A local folder that is a Zarr store, of version 2 or 3."""

    folder: Path

    @cached_property
    def _bytes(self) -> BytesStore:
        return BytesStore(Location(str(self.folder.absolute())))

    def location(self, path: str) -> Location:
        """Give the place of an array."""
        return Location(str(self.folder.absolute()), path)

    def attributes(self, path: str = "") -> Mapping[str, Any]:
        """Give the attributes of a group or array; empty if there are none.

        Raises
        ------
        HostileInputError
            If they are no JSON object, or too large.
        """
        prefix = f"{path}/" if path else ""
        document = self._bytes.read_json(prefix + "zarr.json")
        found = document.get("attributes") if document is not None else self._bytes.read_json(prefix + ".zattrs")
        return found if isinstance(found, dict) else {}

    def document(self) -> Path | None:
        """Give the file of the product's attributes."""
        for name in ("zarr.json", ".zattrs"):
            if (self.folder / name).is_file() and not (self.folder / name).is_symlink():
                return self.folder / name
        return None

    def has(self, path: str) -> bool:
        """Tell whether there is an array at a path."""
        return self._array(path) is not None

    def _array(self, path: str) -> Mapping[str, Any] | None:
        found = self._bytes.read_json(f"{path}/zarr.json")
        if found is None:
            found = self._bytes.read_json(f"{path}/.zarray")
            return None if found is None else {"zarr_format": 2, **found}
        return found if found.get("node_type") == "array" else None

    def numbers(self, path: str) -> NDArray[np.float64] | None:
        """Read a small array whole; ``None`` if there is none.

        Raises
        ------
        AssetError
            If it cannot be read, or holds no numbers.
        HostileInputError
            If it is too large, or a codec is not allowed.
        """
        document = self._array(path)
        if document is None:
            return None
        where = f"{self.folder}:{path}"
        version: Literal[2, 3] = 2 if document.get("zarr_format") == 2 else 3
        filters = document.get("filters")
        codecs = [document.get("compressor"), *(filters if isinstance(filters, list) else [filters])]
        check_codecs(codecs if version == 2 else document.get("codecs"), where)
        kind = str(document.get("data_type") if version == 3 else document.get("dtype"))[:80]
        if not _NUMBERS.fullmatch(kind):
            raise AssetError("cannot read the array", where=where, expected="numbers", got=kind)
        told = ""
        try:
            array = zarr.open_array(self._bytes, path=path, mode="r", zarr_format=version)
            chunk = math.prod(array.shards or array.chunks)
            if max(math.prod(array.shape), chunk) > _MOST_NUMBERS:
                raise HostileInputError("the array is too large for what it is", where=where, got=str(array.shape))
            self._bytes.expect(8.0 * chunk)
            return np.asarray(array[...], np.float64)
        except TerraCubeError:
            raise
        except _UNREADABLE as error:
            told = f"{type(error).__name__}: {error}"[:160]
        raise AssetError("cannot read the array", where=where, expected="numbers", got=told)

    def files(self, path: str) -> tuple[Path, ...]:
        """List the files that an array is made of: its metadata and chunks.

        Raises
        ------
        HostileInputError
            If there are too many.
        """
        found: list[Path] = []
        for place, folders, names in os.walk(self.folder / path):
            folders.sort()
            found += [Path(place, name) for name in sorted(names)]
            if len(found) > _MOST_FILES:
                raise HostileInputError("too many files", where=f"{self.folder}:{path}", expected=f"<= {_MOST_FILES}")
        return tuple(file for file in found if file.is_file() and not file.is_symlink())

    def chunks(self, path: str) -> int:
        """Count the files of an array that hold numbers; one of nothing but the fill value may be left out."""
        return sum(file.name not in _METADATA for file in self.files(path))
