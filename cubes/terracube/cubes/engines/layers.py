"""From what another loader read, scene by scene, to the cube: mask, scale, mosaic, labels.

The loaders are asked for each scene alone and for the numbers of the files. Scaling, masking and the choice between
scenes of one step are done here, by the rules of our own engine, so that what differs is reading and warping alone.
Arrays may be numpy's or Dask's; the functions called here serve both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import IntegrityError
from terracube.core.sensors import MaskRule, clear_of
from terracube.cubes.engines.request import MASK, Batch, PeerRequest, batches
from terracube.cubes.grid import Grid
from terracube.cubes.layout import to_dataset
from terracube.cubes.plan import BandPlan
from terracube.cubes.sources import Source

_TOLERANCE = 1e-6  # of a pixel

Layers = Mapping[str, Any]
"""Name and array (scene, y, x)."""
Read = Callable[[PeerRequest, Batch], Layers]


def build(request: PeerRequest, read: Read) -> xr.Dataset:
    """Read all layers with a loader and make the cube of them.

    Parameters
    ----------
    request : PeerRequest
    read : callable
        From the request and one batch to an array (scene, y, x) for each of its layers.

    Raises
    ------
    IntegrityError
        If an array has another shape than was asked for.
    """
    layers: dict[str, Any] = {}
    fills: dict[str, Any] = {}
    for batch in batches(request):
        layers.update(read(request, batch))
        fills.update(dict.fromkeys(batch.names, batch.number))
    _check_shapes(request, layers)
    clear = _clear(request, layers, fills)
    arrays = {band.name: _band(request, band, layers[band.name], clear) for band in request.plan.bands}
    return to_dataset(request.plan, arrays, [dict(gone) for gone in request.left_out])


def check_pixels(grid: Grid, y: NDArray[Any], x: NDArray[Any]) -> None:
    """Check that a loader put its pixels where they were asked for, to a millionth of a pixel.

    Raises
    ------
    IntegrityError
        If it did not.
    """
    for theirs, ours, size in zip((y, x), grid.centres(), grid.resolution, strict=True):
        off = np.abs(theirs - ours).max() / abs(size) if theirs.shape == ours.shape else np.inf
        if not off <= _TOLERANCE:
            raise IntegrityError(
                "the loader laid out other pixels than it was asked for",
                expected=f"{ours.size} pixels from {ours[0]}",
                got=f"{theirs.size} pixels, up to {off:.3g} pixels away",
            )


def _check_shapes(request: PeerRequest, layers: Layers) -> None:
    wanted = (len(request.scenes), *request.plan.grid.shape)
    for name, array in layers.items():
        if array.shape != wanted:
            raise IntegrityError(
                "the loader gave another shape", where=name, expected=str(wanted), got=str(array.shape)
            )


def _band(request: PeerRequest, band: BandPlan, numbers: Any, clear: list[Any]) -> Any:
    """Make one variable (time, y, x): each pixel from the first scene of its step that is clear and has a value."""
    sources = request.sources(band.name)
    out, scene = [], 0
    for group in request.plan.groups:
        layer: Any = band.missing
        for _ in group:
            values = np.where(clear[scene], _values(band, numbers[scene], sources[scene]), band.missing)
            layer = np.where(_is_fill(layer, band), values, layer)
            scene += 1
        out.append(layer)
    return np.stack(out)


def _values(band: BandPlan, numbers: Any, source: Source) -> Any:
    """Turn the numbers of one scene into values of the band."""
    if numbers.dtype.kind == "f":
        numbers = np.where(np.isinf(numbers), numbers.dtype.type(np.nan), numbers)  # no value, as in our own engine
    if math.isnan(band.fill) and source.nodata is not None and not math.isnan(source.nodata):
        # The loaders know the nodata of the file alone, not what is declared beside it.
        numbers = np.where(numbers == source.nodata, numbers.dtype.type(np.nan), numbers)
    if band.scaled:
        numbers = numbers.astype("float64") * source.scale + source.offset
    return numbers.astype(band.dtype)


def _is_fill(values: Any, band: BandPlan) -> Any:
    return np.isnan(values) if math.isnan(band.fill) else values == band.missing


def _clear(request: PeerRequest, layers: Layers, fills: Mapping[str, Any]) -> list[Any]:
    """Tell of each scene where it is clear; everywhere if no mask is asked for."""
    if not request.plan.rules:
        return [True] * len(request.scenes)
    sources = request.sources(MASK)
    classes = layers[MASK]
    return [
        _judge(request.plan.rules.get(scene.collection), classes[number], sources[number], fills[MASK])
        for number, scene in enumerate(request.scenes)
    ]


def _judge(rule: Any, numbers: Any, source: Source, fill: Any) -> Any:
    """Judge the mask layer of one scene; where it has no pixel the scene is not clear."""
    outside = np.isnan(numbers) if np.isnan(fill) else numbers == fill
    if source.nodata is not None:
        # The loaders do not tell the nodata of the file from what lies beside it: the rule judges both.
        told, outside = np.where(outside, numbers.dtype.type(source.nodata), numbers), np.False_
    else:
        told = np.where(outside, numbers.dtype.type(0), numbers)
    judge = partial(clear_of, rule) if isinstance(rule, MaskRule) else rule
    return ~outside & _on_blocks(judge, told.astype(source.dtype))


def _on_blocks(judge: Callable[[NDArray[Any]], NDArray[np.bool_]], values: Any) -> Any:
    if isinstance(values, np.ndarray):
        return judge(values)
    return values.map_blocks(judge, dtype="bool", meta=np.empty((0, 0), "bool"))
