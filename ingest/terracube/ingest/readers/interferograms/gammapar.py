"""Parameter files of GAMMA: ``name: value unit`` on each line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from terracube.core.errors import MetadataError
from terracube.ingest.text import read_text

_MAX_BYTES = 4 << 20


@dataclass(frozen=True)
class Parameters:
    """What a parameter file tells."""

    path: Path
    told: Mapping[str, str]

    def text(self, name: str, default: str | None = None) -> str:
        """Give a text; without a default it must be there."""
        found = self.told.get(name, default)
        if found is None:
            raise MetadataError("a parameter is missing", where=str(self.path), expected=name, got="nothing")
        return found

    def numbers(self, name: str) -> list[float]:
        """Give the numbers at the beginning of a value; none where it is not there."""
        found: list[float] = []
        for word in self.told.get(name, "").split():
            try:
                number = float(word)
            except ValueError:
                break
            if not math.isfinite(number):
                raise MetadataError("a parameter is not finite", where=f"{self.path}, {name}", got=word[:40])
            found.append(number)
        return found

    def optional(self, name: str) -> float | None:
        """Give a number, if it is there."""
        found = self.numbers(name)
        return found[0] if found else None

    def number(self, name: str) -> float:
        """Give a number that must be there."""
        found = self.optional(name)
        if found is None:
            raise MetadataError(
                "a parameter is missing or no number",
                where=str(self.path),
                expected=name,
                got=self.told.get(name, "nothing")[:40],
            )
        return found

    def whole(self, name: str) -> int | None:
        """Give a whole number, if it is there."""
        found = self.optional(name)
        return None if found is None or found != int(found) else int(found)

    def count(self, name: str) -> int:
        """Give a number of pixels, which must be there."""
        found = self.whole(name)
        if found is None or found < 1:
            raise MetadataError(
                "a size is missing or none",
                where=str(self.path),
                expected=name,
                got=self.told.get(name, "nothing")[:40],
            )
        return found


def read_parameters(path: Path) -> Parameters:
    """Read a parameter file.

    Raises
    ------
    AssetError, HostileInputError
        If it cannot be read, or is too large.
    """
    lines = (line.partition(":") for line in read_text(path, limit=_MAX_BYTES).splitlines() if ":" in line)
    return Parameters(path, {name.strip(): value.strip() for name, _, value in lines})
