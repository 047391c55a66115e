"""Pixels inside polygons: chunks are taken in pieces that end at fixed tiles, each piece once.

Tiles of 256 x 256 pixels lie at multiples of 256 counted from the origin of the CRS. Membership of pixels and the
moments of a polygon are found tile by tile, whatever the chunks and the extent of the dataset are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import numpy as np
import rasterio
import shapely
import xarray as xr
from affine import Affine
from dask.delayed import delayed
from numpy.typing import NDArray
from rasterio.features import rasterize

from terracube.core.errors import BudgetError
from terracube.cubes.grid import YX
from terracube.cubes.sampling._gather import Call, edges_of, run
from terracube.cubes.sampling._raster import Raster, missing_in, nodata_of
from terracube.cubes.sampling._statistics import MOMENTS, Wanted, join, moments_of, quantiles_of
from terracube.cubes.window import Window

TILE = 256
# Bytes of values that quantiles of polygons which straddle pieces may need at once.
_BUDGET = 2 << 30
# No grid has pixels beyond this index.
_FAR = 1 << 40
# A polygon with more vertices than this travels to the workers once, not with each piece.
_HEAVY = 1000
# rasterio silences a warning of its own meanwhile, for the whole process: two threads at once would undo each other.
_BURNING = Lock()


@dataclass(frozen=True, eq=False, slots=True)
class Part:
    """What one tile knows of a polygon, or what all tiles know together."""

    tile: tuple[int, int]
    pixels: int
    whole: NDArray[np.int64]
    """(time,), pixels where all variables have a value."""
    moments: NDArray[np.float64]
    """(variable, time, moment)."""
    values: NDArray[Any] | None
    """(variable, time, pixel), NaN where missing; ``None`` where no quantile needs them."""
    quantiles: NDArray[np.float64] | None = None
    """(variable, time, fraction), once the values are all there."""


@dataclass(frozen=True, slots=True)
class _Order:
    """What a piece has to do; counted from the origin of the CRS."""

    window: Window
    nodata: tuple[float | None, ...]
    rows: tuple[int, ...]
    """Numbers of the polygons."""
    alone: tuple[bool, ...]
    """Whether a polygon lies in this piece only."""
    fractions: tuple[float, ...]
    all_touched: bool


def zonal(raster: Raster, shapes: NDArray[Any], wanted: Wanted, *, all_touched: bool) -> list[Part | None]:
    """Find the moments and quantiles of every polygon (in pixel coordinates); ``None`` where it has no pixel.

    Raises
    ------
    BudgetError
        If a quantile needs more values of one polygon at once than memory is meant for.
    """
    arrays, cuts = _cut(raster)
    hits = _hits(shapes, cuts, raster.grid.offset)
    times = np.unique(np.concatenate([edges_of(a, "time") for a in arrays if "time" in a.dims] or [np.array([0, 1])]))
    often = np.bincount([row for rows in hits.values() for row in rows], minlength=len(shapes))
    if wanted.fractions:
        _check_budget(shapes[often > 1], sum(array.nbytes / np.prod(array.shape[-2:]) for array in arrays))
    heavy = shapely.get_num_coordinates(shapes) > _HEAVY
    texts = [shapely.to_wkb(shape) for shape in shapes]
    sent = [
        delayed(t, pure=True, traverse=False) if h and _is_lazy(arrays) else t
        for t, h in zip(texts, heavy, strict=True)
    ]
    nodata = tuple(nodata_of(array) for array in arrays)
    calls = []
    spans = list(zip(times[:-1].tolist(), times[1:].tolist(), strict=True))
    for piece, rows in hits.items():
        alone = tuple(bool(often[row] == 1) for row in rows)
        order = _Order(_moved(piece, raster.grid.offset), nodata, tuple(rows), alone, wanted.fractions, all_touched)
        for span in spans:
            pieces = tuple((array, _slices(array, piece, span)) for array in arrays)
            calls.append(Call(_measure, pieces, (order, [sent[row] for row in rows])))
    found = run(calls)
    dated = [_joined_dates(found[at : at + len(spans)]) for at in range(0, len(found), len(spans))]
    return _finished(dated, len(shapes), wanted.fractions)


def _is_lazy(arrays: Sequence[xr.DataArray]) -> bool:
    return any(array.chunks is not None for array in arrays)


def _cut(raster: Raster) -> tuple[list[xr.DataArray], tuple[list[int], list[int]]]:
    """Cut lazy arrays where tiles end, near where their chunks end; give the edges along y and x too."""
    arrays = list(raster.variables)
    lines = []
    for dim, first in (("y", raster.grid.offset.y), ("x", raster.grid.offset.x)):
        edges = np.unique(np.concatenate([edges_of(array, dim) for array in arrays]))
        size = int(edges[-1])
        tiles = np.unique((edges[1:-1] + first) // TILE * TILE - first)
        lines.append([0, *(int(edge) for edge in tiles if 0 < edge < size), size])
    if _is_lazy(arrays):
        dates = [edges_of(array, "time") for array in arrays if "time" in array.dims]
        times = np.diff(np.unique(np.concatenate(dates))) if dates else np.empty(0, "int64")
        sizes = dict(zip("yx", (tuple(np.diff(line).tolist()) for line in lines), strict=True))
        sizes["time"] = tuple(times.tolist())
        arrays = [array.chunk({str(dim): sizes[str(dim)] for dim in array.dims}) for array in arrays]
    return arrays, (lines[0], lines[1])


def _hits(shapes: NDArray[Any], cuts: tuple[list[int], list[int]], offset: YX) -> dict[Window, list[int]]:
    """Give the pieces that polygons touch, in row order, with the numbers of these polygons."""
    pieces = [
        Window(top, left, bottom - top, right - left)
        for top, bottom in zip(cuts[0][:-1], cuts[0][1:], strict=True)
        for left, right in zip(cuts[1][:-1], cuts[1][1:], strict=True)
    ]
    corners = np.array([(p.col, p.row, p.stop[1], p.stop[0]) for p in pieces], "float64")
    boxes = shapely.box(*(corners + np.array([offset.x, offset.y] * 2)).T)
    rows, places = shapely.STRtree(boxes).query(shapes, predicate="intersects")
    hits: dict[Window, list[int]] = {}
    for at in np.lexsort((rows, places)):
        hits.setdefault(pieces[places[at]], []).append(int(rows[at]))
    return hits


def _check_budget(shapes: NDArray[Any], bytes_per_pixel: float) -> None:
    need = float(shapely.area(shapes).max(initial=0.0)) * bytes_per_pixel
    if need > _BUDGET:
        raise BudgetError(
            "exact quantiles of one polygon need too many values at once",
            where="stats",
            expected=f"at most {_BUDGET >> 20} MiB",
            got=f"about {need / 2**20:.0f} MiB",
            todo="leave out median and percentiles, take fewer dates or variables, or divide the polygon",
        )


def _moved(window: Window, offset: YX) -> Window:
    return replace(window, row=window.row + offset.y, col=window.col + offset.x)


def _slices(array: xr.DataArray, piece: Window, span: tuple[int, int]) -> tuple[slice, ...]:
    return (slice(*span), *piece.slices) if "time" in array.dims else piece.slices


def _measure(pieces: list[NDArray[Any]], order: _Order, shapes: list[bytes]) -> list[tuple[int, list[Part]]]:
    """Measure the polygons of a piece: one part each where it lies here alone, else one per tile."""
    found = []
    with rasterio.Env():  # entered once: each drawing would make one of its own
        for row, alone, text in zip(order.rows, order.alone, shapes, strict=True):
            parts = list(_parts(pieces, order, shapely.from_wkb(text)))
            if alone and parts:
                parts = [finish(parts, order.fractions)]
            found.append((row, parts))
    return found


def _parts(pieces: list[NDArray[Any]], order: _Order, shape: Any) -> Iterator[Part]:
    """Measure a polygon tile by tile."""
    shapely.prepare(shape)
    for window in _windows(shape, order.window):
        drawn = membership(shape, window, all_touched=order.all_touched)
        place = window.within(order.window)
        top, left = max(place.row, 0), max(place.col, 0)
        bottom, right = min(place.stop[0], order.window.height), min(place.stop[1], order.window.width)
        inside = drawn[top - place.row : bottom - place.row, left - place.col : right - place.col]
        if inside.any():
            here = [np.asarray(piece)[..., top:bottom, left:right][..., inside] for piece in pieces]
            yield _part(here, order, window)


def _windows(shape: Any, outer: Window) -> Iterator[Window]:
    """Go through the parts of tiles that may hold pixels of a polygon and meet ``outer``, in row order.

    They are not cut where ``outer`` ends, and have one pixel more on each side: which pixels a polygon touches is,
    where it meets their corners, a matter of the window it is drawn in.
    """
    left, top, right, bottom = np.floor(np.clip(shapely.bounds(shape), -_FAR, _FAR)).astype("int64").tolist()
    for row, stop in _spans(top - 1, bottom + 2, (outer.row, outer.stop[0])):
        for col, end in _spans(left - 1, right + 2, (outer.col, outer.stop[1])):
            yield Window(row, col, stop - row, end - col)


def _spans(first: int, last: int, outer: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Cut first..last where tiles end, and leave out what does not meet ``outer``."""
    for tile in range(max(first, outer[0]) // TILE * TILE, min(last, outer[1]), TILE):
        start, stop = max(tile, first), min(tile + TILE, last)
        if max(start, outer[0]) < min(stop, outer[1]):
            yield start, stop


def membership(shape: Any, window: Window, *, all_touched: bool) -> NDArray[np.bool_]:
    """Tell which pixels of a window belong to a polygon in pixel coordinates: centre inside, or touched at all."""
    box = shapely.box(window.col, window.row, window.stop[1], window.stop[0])
    if window.height * window.width > TILE and shapely.contains(shape, box):
        return np.ones(window.shape, np.bool_)
    place = Affine.translation(window.col, window.row)
    with _BURNING:
        burnt: NDArray[np.uint8] = rasterize(
            [shape], out_shape=window.shape, transform=place, all_touched=all_touched, dtype="uint8"
        )
    return burnt.view(np.bool_)


def _part(values: list[NDArray[Any]], order: _Order, window: Window) -> Part:
    """Measure the values (time, pixel) or (pixel,) of every variable in one tile."""
    dates = max((len(array) for array in values if array.ndim == 2), default=1)
    wide = np.empty((len(values), dates, values[0].shape[-1]))
    for place, (array, nodata) in enumerate(zip(values, order.nodata, strict=True)):
        wide[place] = np.where(missing_in(array, nodata), np.nan, array)
    moments = np.empty((len(values), dates, MOMENTS))
    for rows, out in zip(wide, moments, strict=True):
        moments_of(rows, out)
    whole = (~np.isnan(wide)).all(axis=0).sum(axis=1)
    kept = None
    if order.fractions:
        exact = all(array.dtype.itemsize < 4 or array.dtype == np.float32 for array in values)
        kept = wide.astype(np.float32) if exact else wide
    return Part((window.row // TILE, window.col // TILE), wide.shape[2], whole, moments, kept)


def finish(parts: Sequence[Part], fractions: tuple[float, ...]) -> Part:
    """Join all parts of a polygon in the order of their tiles, and find its quantiles."""
    ordered = sorted(parts, key=lambda part: part.tile)
    moments = join([part.moments for part in ordered])
    quantiles = np.empty((*moments.shape[:2], len(fractions)))
    kept = [part.values for part in ordered if part.values is not None]
    if kept:
        for place, out in enumerate(quantiles):
            values = np.concatenate([values[place] for values in kept], axis=1, dtype="float64")
            quantiles_of(values, np.asarray(fractions), out)
    whole = np.sum([part.whole for part in ordered], axis=0)
    return Part(ordered[0].tile, sum(part.pixels for part in ordered), whole, moments, None, quantiles)


def _joined_dates(spans: list[list[tuple[int, list[Part]]]]) -> list[tuple[int, list[Part]]]:
    """Put the parts of one piece from several runs of dates behind each other."""
    if len(spans) == 1:
        return spans[0]
    rows = [row for row, _ in spans[0]]
    tiles = [list(zip(*(span[at][1] for span in spans), strict=True)) for at in range(len(rows))]
    return [(row, [_behind(parts) for parts in told]) for row, told in zip(rows, tiles, strict=True)]


def _behind(parts: Sequence[Part]) -> Part:
    values, quantiles = ([getattr(part, name) for part in parts] for name in ("values", "quantiles"))
    return replace(
        parts[0],
        whole=np.concatenate([part.whole for part in parts]),
        moments=np.concatenate([part.moments for part in parts], axis=1),
        values=None if parts[0].values is None else np.concatenate(values, axis=1),
        quantiles=None if parts[0].quantiles is None else np.concatenate(quantiles, axis=1),
    )


def _finished(dated: list[list[tuple[int, list[Part]]]], size: int, fractions: tuple[float, ...]) -> list[Part | None]:
    gathered: dict[int, list[Part]] = {}
    for told in dated:
        for row, parts in told:
            gathered.setdefault(row, []).extend(parts)
    results: list[Part | None] = [None] * size
    for row, parts in gathered.items():
        if parts:
            results[row] = parts[0] if parts[0].quantiles is not None else finish(parts, fractions)
    return results
