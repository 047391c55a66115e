"""Sentinel-2 products of Theia: groups R1 (10 m) and R2 (20 m)."""

from __future__ import annotations

import re
from pathlib import Path

from terracube.ingest.readers.finding import find_named
from terracube.ingest.readers.theia.reading import read_product
from terracube.ingest.scene import Delivered
from terracube.ingest.sources import Source

_NAME = re.compile(r"(SENTINEL2[A-D]_.{1,120})_MTD_ALL\.xml", re.IGNORECASE)


def find(path: Path) -> list[Path]:
    """Look for products by the names of their metadata files."""
    return find_named(path, _NAME)


def read(path: Path, source: Source) -> Delivered:
    """Read the metadata of a product, and the headers of its files; see :func:`.reading.read_product`."""
    return read_product(path, source, _NAME)
