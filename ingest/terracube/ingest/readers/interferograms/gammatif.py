"""Interferograms of GAMMA as GeoTIFFs with tags; see :mod:`.tagged`, and :mod:`.gamma` for the sign."""

from __future__ import annotations

from pathlib import Path

from terracube.ingest.readers.interferograms import tagged
from terracube.ingest.scene import Delivered
from terracube.ingest.sources import Source


def find(path: Path) -> list[Path]:
    """Look for GeoTIFFs whose tags name GAMMA."""
    return tagged.find(path, "GAMMA")


def read(path: Path, source: Source) -> Delivered:
    """Read a pair, or the terrain of a stack.

    Raises
    ------
    TerraCubeError
    """
    return tagged.read(path, source, "GAMMA")
