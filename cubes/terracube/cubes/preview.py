"""Pictures that are looked at before anything is read: a quick-look of a product or of one layer."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from terracube.core.files import atomic_path
from terracube.cubes.look import TRUE_COLOUR, Choice, look
from terracube.cubes.plot import class_colours, classes_of, colours, limits_of
from terracube.cubes.storage.layers import Layer, RowReader

_MAX_SIDE = 900
_STRETCH = (2.0, 98.0)
_GAMMA = 0.8


def preview(
    source: xr.Dataset | xr.DataArray | str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    rgb: Sequence[str] | None = TRUE_COLOUR,
    band: str | None = None,
    time: Any = None,
    stretch: tuple[float, float] = _STRETCH,
    limits: tuple[float, float] | None = None,
    side: int = _MAX_SIDE,
) -> bytes:
    """Give a PNG of one date of a cube, from overviews where it has them; missing pixels are transparent.

    Parameters
    ----------
    source : Dataset, DataArray or path
        A path names a Zarr store, a raster file (three bands or one), or a folder of files ``{variable}.tif``.
    out : path or None
        File to write, atomically, beside giving its bytes.
    rgb, band, time, stretch, limits
        As in ``ds.terracube.plot``: three variables, or one; a date; percentiles or values that become black and
        white, common to the three.
    side : int
        Pixels of the longer side, at most.

    Raises
    ------
    NotFoundError
        If there is no such path, variable or date.
    StorageError
        If the disk refuses.
    """
    seen = look(source, Choice(rgb, band, time, side))
    names = list(seen.bands)
    classes = classes_of(seen.attrs[names[0]]) if len(names) == 1 else None
    if classes is not None:
        png = _png(class_colours(seen.bands[names[0]], seen.seen[names[0]], classes))
    elif len(names) == 3:
        png = _png(colours(seen, names, *limits_of(seen, names, stretch, limits)))
    else:
        low, high = limits_of(seen, names, stretch, limits)
        values = np.where(seen.seen[names[0]], seen.bands[names[0]].astype("float64"), np.nan)
        png = map_png(values.astype("float32"), low=low, high=high)
    if out is not None:
        with atomic_path(Path(out)) as temporary:
            temporary.write_bytes(png)
    return png


def thin(source: RowReader, layer: int, *, side: int = _MAX_SIDE) -> NDArray[np.float32]:
    """Take every n-th pixel of a layer, so that neither side is longer than ``side``."""
    step = thin_step(source.shape, side=side)
    lines = [source.rows(layer, row, row + 1)[:, ::step] for row in range(0, source.shape.y, step)]
    return np.concatenate(lines)


def thin_step(shape: tuple[int, int], *, side: int = _MAX_SIDE) -> int:
    """Tell which n :func:`thin` takes."""
    return max(1, math.ceil(max(shape) / side))


def stretch(channels: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Bring layers to 0..1 up to the 98th percentile of all of them together, so that hues stay.

    Black is zero, as it is for reflectance, or the 2nd percentile where that lies below. Dark tones are lifted (power
    0.8). NaN stays NaN; where all is one value, 0.5.
    """
    seen = np.concatenate([channel[np.isfinite(channel)] for channel in channels])
    if not seen.size:
        return list(channels)
    low, high = np.percentile(seen, _STRETCH)
    if high <= low:
        return [np.where(np.isfinite(channel), np.float32(0.5), channel) for channel in channels]
    low = min(low, 0.0)
    scaled = [np.clip((channel - low) / (high - low), 0.0, 1.0) for channel in channels]
    return [np.power(channel, _GAMMA).astype("float32") for channel in scaled]


def rgb_png(channels: Sequence[NDArray[np.float32]]) -> bytes:
    """Give a PNG of three layers (y, x) as red, green and blue; missing pixels are transparent."""
    seen = np.all([np.isfinite(channel) for channel in channels], axis=0)
    colours = [np.nan_to_num(channel * 255.0).astype("uint8") for channel in stretch(channels)]
    return _png(np.dstack([*colours, np.where(seen, 255, 0).astype("uint8")]))


def map_png(values: NDArray[np.float32], *, colours: str = "viridis", low: float, high: float) -> bytes:
    """Give a PNG of one layer in a named colour scale between ``low`` and ``high``; missing is transparent."""
    scaled = np.clip((values - low) / max(high - low, 1e-12), 0.0, 1.0)
    pixels: NDArray[np.uint8] = colormaps[colours](np.nan_to_num(scaled), bytes=True)
    pixels[..., 3] = np.where(np.isfinite(values), 255, 0)
    return _png(pixels)


def classes_png(values: NDArray[np.float32], layer: Layer) -> bytes:
    """Give a PNG of a layer of classes in their colours; whatever is none of them is transparent."""
    return _png(class_colours(values, np.isfinite(values), classes_of(layer.flags) or {}))


def _png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return stream.getvalue()
