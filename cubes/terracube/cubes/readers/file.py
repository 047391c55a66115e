"""One file as the readers hand it to each other."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from terracube.cubes.access import ByteSource, Location


@dataclass(frozen=True, slots=True)
class File:
    """A file that is open for reading bytes."""

    location: Location
    source: ByteSource
    identity: Hashable
    """Equal for the same bytes of the same file only."""
    driver: str
    """Which driver of GDAL may open it."""
