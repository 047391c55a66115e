"""How the simulation writes: cloud-optimised GeoTIFFs and JSON, never visible half-written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from terracube.core.files import atomic_path, write_text

_SMALLEST_OVERVIEW = 50


def write_geotiff(
    path: Path,
    array: NDArray[Any],
    *,
    transform: Affine,
    epsg: int,
    nodata: float,
    names: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
) -> None:
    """Write an array as COG: deflate, predictor, blocks of 512, overviews down to a side of 50 pixels.

    Parameters
    ----------
    array : array ``(y, x)`` or ``(band, y, x)``
        Overviews of uint8 (classes) take the most frequent value, others the mean.
    names : sequence of str
        Descriptions of the bands.
    """
    stack = array if array.ndim == 3 else array[None]
    profile = {
        "driver": "COG",
        "dtype": array.dtype.name,
        "count": stack.shape[0],
        "height": stack.shape[1],
        "width": stack.shape[2],
        "crs": f"EPSG:{epsg}",
        "transform": transform,
        "nodata": nodata,
        "compress": "deflate",
        "predictor": "yes",
        "blocksize": 512,
        "overview_count": _overview_count(min(stack.shape[1:])),
        "overview_resampling": "mode" if array.dtype == np.uint8 else "average",
    }
    with atomic_path(path) as temporary, rasterio.open(temporary, "w", **profile) as target:
        target.write(stack)
        for band, name in enumerate(names, start=1):
            target.set_band_description(band, name)
        target.update_tags(**(tags or {}))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object, indented; not if the file holds just that already."""
    text = json.dumps(content, indent=2) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; empty if the file is not there or holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _overview_count(side: int) -> int:
    count = 0
    while side >> (count + 1) >= _SMALLEST_OVERVIEW:
        count += 1
    return count
