"""Single values of a NetCDF file: texts and numbers of its groups."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from terracube.core.errors import AssetError, MetadataError
from terracube.cubes.access import Location, open_bytes
from terracube.cubes.readers import netcdf

_MAX_TEXT = 4096
_SAMPLES = 9
_BROKEN = (OSError, RuntimeError, ValueError, IndexError, KeyError, TypeError, AttributeError, UnicodeDecodeError)


class NetcdfFacts:
    """An open file; to be used inside ``with NetcdfFacts.of(path)``."""

    def __init__(self, data: Any, path: Path) -> None:
        self._data, self._path = data, path

    @classmethod
    @contextmanager
    def of(cls, path: Path) -> Iterator[NetcdfFacts]:
        """Open a file.

        Raises
        ------
        AssetError, HostileInputError
            If it is no NetCDF.
        """
        location = Location(str(path.absolute()))
        with netcdf.dataset(location, open_bytes(location)) as data:
            yield cls(data, path)

    def variables(self) -> set[str]:
        """Give the names of the variables of the root."""
        return {str(name) for name in self._data.variables}

    def _find(self, name: str) -> Any:
        group = self._data
        *folders, last = name.split("/")
        for folder in folders:
            group = group.groups.get(folder)
            if group is None:
                return None
        return group.variables.get(last)

    def _value(self, name: str) -> Any:
        found = self._find(name)
        if found is None or found.size != 1:
            return None
        try:
            return np.asarray(found[...]).reshape(-1)[0]
        except _BROKEN as error:
            raise AssetError("cannot read a value", where=f"{self._path}, {name}", got=str(error)[:120]) from error

    def text(self, name: str) -> str:
        """Give a text that must be there.

        Raises
        ------
        MetadataError
        """
        value = self._value(name)
        told = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        if not isinstance(told, str) or not 0 < len(told) <= _MAX_TEXT:
            raise MetadataError(
                "a text is missing", where=f"{self._path}, {name}", expected="text", got=repr(told)[:60]
            )
        return told

    def number(self, name: str) -> float | None:
        """Give a number, if it is there."""
        value = self._value(name)
        try:
            return None if value is None else float(value)
        except (TypeError, ValueError) as error:
            raise MetadataError("a value is no number", where=f"{self._path}, {name}", got=repr(value)[:60]) from error

    def attribute(self, name: str, attribute: str) -> str:
        """Give a text attribute of a variable, empty where there is none."""
        found = self._find(name)
        if found is None:
            raise MetadataError("the product lacks a variable", where=str(self._path), expected=name, got="nothing")
        try:
            return str(found.getncattr(attribute))[:_MAX_TEXT] if attribute in found.ncattrs() else ""
        except _BROKEN as error:
            raise AssetError("cannot read an attribute", where=f"{self._path}, {name}", got=str(error)[:120]) from error

    def mean(self, name: str) -> float | None:
        """Give the mean of a smooth field over a few of its rows; ``None`` where it is absent or empty."""
        found = self._find(name)
        if found is None or found.ndim != 2 or 0 in found.shape:
            return None
        height = found.shape[0]
        rows = sorted({(2 * number + 1) * height // (2 * _SAMPLES) for number in range(_SAMPLES)})
        try:
            values = np.stack([np.asarray(found[row, :], "float64") for row in rows])
        except _BROKEN as error:
            raise AssetError("cannot read a field", where=f"{self._path}, {name}", got=str(error)[:120]) from error
        seen = values[np.isfinite(values)]
        # The product holds zeros throughout where the field could not be computed.
        return float(math.fsum(seen) / seen.size) if seen.size and seen.any() else None
