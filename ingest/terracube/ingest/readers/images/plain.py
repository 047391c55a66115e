"""Plain rasters, GeoTIFF and JPEG 2000, that a side-car describes: finding them, and what their headers tell."""

from __future__ import annotations

import math
from pathlib import Path

from terracube.core.errors import MetadataError
from terracube.cubes.readers import open_raster

_RASTERS = frozenset({".tif", ".tiff", ".jp2"})


def find(path: Path) -> list[Path]:
    """Look for GeoTIFF and JPEG 2000 files, by name; links are not followed."""
    try:
        if path.is_dir():
            return sorted(one for one in path.rglob("*") if one.suffix.lower() in _RASTERS and one.is_file())
        return [path] if path.suffix.lower() in _RASTERS and path.is_file() else []
    except (OSError, ValueError):
        return []


def stored_scaling(path: Path, band: int) -> tuple[float, float] | None:
    """Give scale and offset of a band, counted from 1, in the header; ``None`` where it has none.

    Raises
    ------
    MetadataError
        If they are no usable numbers.
    """
    with open_raster(path) as dataset:
        scale, offset = float(dataset.scales[band - 1]), float(dataset.offsets[band - 1])
    if not (math.isfinite(scale) and math.isfinite(offset) and scale > 0):
        raise MetadataError(
            "scale or offset of the raster are no usable numbers", where=str(path), got=f"{scale}, {offset}"
        )
    return None if (scale, offset) == (1.0, 0.0) else (scale, offset)
