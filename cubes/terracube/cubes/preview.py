"""Pictures that are looked at before anything is read: a quick-look of a product or of one layer."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from terracube.cubes.storage.layers import RowReader

_MAX_SIDE = 900
_STRETCH = (2.0, 98.0)
_GAMMA = 0.8


def thin(source: RowReader, layer: int, *, side: int = _MAX_SIDE) -> NDArray[np.float32]:
    """Take every n-th pixel of a layer, so that neither side is longer than ``side``."""
    step = max(1, math.ceil(max(source.shape) / side))
    lines = [source.rows(layer, row, row + 1)[:, ::step] for row in range(0, source.shape.y, step)]
    return np.concatenate(lines)


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


def _png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return stream.getvalue()
