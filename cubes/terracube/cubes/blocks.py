"""The block engine's inner part: read one block of a cube, all steps of time and any bands.

For each step the scenes are asked in the plan's order. A pixel of a band takes the first scene that is clear there and
has a value; whether other bands are loaded beside it never changes a band.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from terracube.core.errors import AssetError, BudgetError, HostileInputError, InputError, MetadataError
from terracube.core.sensors import MaskRule, clear_of, mask_table
from terracube.cubes.crs import full_turn
from terracube.cubes.dilate import dilate
from terracube.cubes.grid import YX, Grid
from terracube.cubes.ledger import Note
from terracube.cubes.plan import BandPlan, CubePlan
from terracube.cubes.readers import read_header, read_pixels
from terracube.cubes.sources import Scene, Source, verify_header
from terracube.cubes.warp import Placement, overview_level, place, reach, warp
from terracube.cubes.window import Window

_UNREADABLE = (AssetError, HostileInputError, MetadataError)
# Windows up to this many source pixels per block pixel are kept for all strips of the block; of finer sources each
# strip reads its own part.
_KEPT = 2.0
_METRES_PER_TURN = 40_075_017.0
# A window is read whole; one gigabyte of float32 is more than a block ever needs.
_MOST = 1 << 28


def read_block(plan: CubePlan, target: Grid) -> NDArray[np.float32]:
    """Read one block of a cube as float values.

    Parameters
    ----------
    plan : CubePlan
    target : Grid
        The block's pixels.

    Returns
    -------
    float32 array (time, band, y, x)
        NaN where no scene of the step has a clear observation.

    Raises
    ------
    AssetError
        If pixels cannot be read, unless the plan skips what cannot be read.
    """
    return BlockReader(plan, target).rows(0, target.shape.y)


def read_band(plan: CubePlan, target: Grid, band: int) -> NDArray[Any]:
    """Read one band of a block, (time, y, x), in the band's own type, its fill value where nothing was seen."""
    return BlockReader(plan, target, (band,)).read()[0]


class BlockReader:
    """Reads a block, whole or in strips of rows: each file is decoded once where its pixels are not much finer."""

    def __init__(
        self, plan: CubePlan, target: Grid, bands: Sequence[int] | None = None, *, steps: slice = slice(None)
    ) -> None:
        self._plan, self._target = plan, target
        self._steps = range(len(plan.groups))[steps]
        self._bands = tuple(range(len(plan.bands)) if bands is None else bands)
        self._kept: dict[tuple[str, str, str], tuple[NDArray[Any], float | None]] = {}
        self._clears: dict[tuple[str, str], NDArray[np.bool_] | bool] | None = None
        self._gone: set[tuple[str, str, str]] = set()
        self._notes: set[Note] = set()

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Give rows ``start`` to ``stop`` of the block: float32 (time, band, y, x), as :func:`read_block`."""
        steps, bands, width = len(self._steps), len(self._bands), self._target.shape.x
        cube = np.empty((steps, bands, stop - start, width), "float32")
        views = [cube[:, number] for number in range(bands)]
        wanted = [self._plan.bands[band] for band in self._bands]
        typed = [
            view if band.dtype == "float32" else np.empty(view.shape, band.dtype)
            for view, band in zip(views, wanted, strict=True)
        ]
        self.fill(typed, start, stop)
        for view, values, band in zip(views, typed, wanted, strict=True):
            if view is not values:
                view[...] = values
                view[_is_fill(values, band)] = np.nan
        return cube

    def read(self, start: int = 0, stop: int | None = None) -> list[NDArray[Any]]:
        """Give rows of the block as one array (time, y, x) per band, each in its own type."""
        last = self._target.shape.y if stop is None else stop
        shape = (len(self._steps), last - start, self._target.shape.x)
        outs = [np.empty(shape, self._plan.bands[band].dtype) for band in self._bands]
        self.fill(outs, start, last)
        return outs

    def band(self, number: int) -> NDArray[Any]:
        """Give one band of the whole block, (time, y, x), in its own type; masks are judged once for all bands."""
        self._bands = (number,)
        self._clears = {} if self._clears is None else self._clears
        out = np.empty((len(self._steps), *self._target.shape), self._plan.bands[number].dtype)
        for at, step in enumerate(self._steps):
            self.fill_step(step, [out[at]], self._target)
        return out

    def fill(self, outs: Sequence[NDArray[Any]], start: int = 0, stop: int | None = None) -> None:
        """Put rows of the block into one array (time, y, x) per band."""
        last = self._target.shape.y if stop is None else stop
        part = self._target.window(YX(start, 0), YX(last - start, self._target.shape.x))
        for number, step in enumerate(self._steps):
            self.fill_step(step, [out[number] for out in outs], part)
        self.tell()

    def tell(self) -> None:
        """Pass on what was read and what could not be."""
        self._plan.channel.tell(self._notes)
        self._notes.clear()

    def fill_step(self, step: int, outs: Sequence[NDArray[Any]], part: Grid) -> None:
        """Put one step of time into one array (y, x) per band."""
        begun = [False] * len(outs)
        for scene in self._plan.groups[step]:
            clear = self._clear(scene, part)
            if clear is False:
                continue
            for number, (band, out) in enumerate(zip(self._bands, outs, strict=True)):
                begun[number] |= self._add(scene, self._plan.bands[band], part, clear, out, first=not begun[number])
        for number, (band, out) in enumerate(zip(self._bands, outs, strict=True)):
            if not begun[number]:
                out.fill(self._plan.bands[band].missing)

    def _add(
        self,
        scene: Scene,
        band: BandPlan,
        part: Grid,
        clear: NDArray[np.bool_] | bool,
        out: NDArray[Any],
        *,
        first: bool,
    ) -> bool:
        """Put what a scene saw of a band where nothing is yet; tell whether it reaches the block."""
        empty = None
        if not first:
            empty = _is_fill(out, band) & clear
            if not empty.any():
                return True
        source = scene.bands[band.name]
        found = self._pixels(scene, band.name, source, part, band.method)
        if found is None:
            return not first
        values, placement, nodata = found
        into = out if first else np.empty_like(out)
        values = _as_numbers(values, into.dtype)
        scale, offset = (source.scale, source.offset) if band.scaled else (1.0, 0.0)
        warp(values, placement, nodata=nodata, out=into, fill=band.fill, scale=scale, offset=offset)
        if empty is not None:
            np.copyto(out, into, where=empty)
        elif clear is not True:
            np.copyto(out, band.missing, where=~np.asarray(clear))
        return True

    def _clear(self, scene: Scene, part: Grid) -> NDArray[np.bool_] | bool:
        """Give the clear pixels of a scene: an array, or True where there is no mask, or False where none is clear."""
        if self._clears is None:
            return self._judged(scene, part)
        if (scene.collection, scene.id) not in self._clears:
            self._clears[scene.collection, scene.id] = self._judged(scene, part)
        return self._clears[scene.collection, scene.id]

    def _judged(self, scene: Scene, part: Grid) -> NDArray[np.bool_] | bool:
        rule = self._plan.rules.get(scene.collection)
        if rule is None or scene.mask is None:
            return self._reaches(next(iter(scene.bands.values())), part)
        margin = rule.dilate_m if isinstance(rule, MaskRule) else 0.0
        found = self._pixels(scene, "mask", scene.mask, part, "nearest", metres=margin)
        if found is None:
            return False
        values, placement, _ = found
        seen = _judge(rule, values, scene.id)
        if margin:
            pixels = _in_pixels(margin, scene.mask.grid)
            seen = ~dilate(~seen, pixels)
            outer = _widened(placement.window, pixels, scene.mask.grid.shape)
            seen = seen[placement.window.within(outer).slices]
        clear = np.empty(part.shape, "uint8")
        warp(np.ascontiguousarray(seen).view("uint8"), placement, nodata=None, out=clear, fill=0)
        return clear.view("bool") if clear.any() else False

    def _reaches(self, source: Source, part: Grid) -> bool:
        found = reach(source.grid, part)
        if found is None:
            return False
        top, bottom, left, right = found[0], found[1], found[2], found[3]
        y, x = part.offset
        return top < y + part.shape.y and bottom > y and left < x + part.shape.x and right > x

    def _pixels(
        self, scene: Scene, name: str, source: Source, part: Grid, method: str, *, metres: float = 0.0
    ) -> tuple[NDArray[Any], Placement, float | None] | None:
        """Read what some rows of the block need of a source; None where it has nothing, or cannot be read."""
        key = (scene.collection, scene.id, name)
        if key in self._gone or not self._reaches(source, part):
            return None
        try:
            known = _verified(source, f"{scene.id}/{source.asset or name}")
            level = self._level(known, part, method)
            grid = level_grid(known, level)
            placement = place(grid, part, method)
            if placement is None:
                return None
            pixels = _in_pixels(metres, grid)
            wanted = _widened(placement.window, pixels, grid.shape)
            values, nodata = self._window(scene, name, known, level, wanted, self._outer(grid, part, method, pixels))
        except _UNREADABLE as error:
            if self._plan.spec.on_error == "raise":
                raise
            self._gone.add(key)
            self._notes.add(Note(scene.id, source.asset or name, str(error)))
            return None
        self._notes.add(Note(scene.id, source.asset or name))
        return values, placement, nodata

    def _level(self, source: Source, part: Grid, method: str) -> int:
        """Choose the overview: never for classes, whose overviews may have been made by averaging."""
        if self._plan.spec.overviews == "none" or source.classes or method == "mode" or not source.overviews:
            return 0
        return overview_level(source.grid, part, source.overviews)

    def _window(
        self, scene: Scene, name: str, source: Source, level: int, wanted: Window, outer: Window | None
    ) -> tuple[NDArray[Any], float | None]:
        """Read a window, or cut it from what is kept of the source for all strips of the block."""
        if outer is None:
            return self._read(scene, name, source, level, wanted)
        key = (scene.collection, scene.id, name)
        if key not in self._kept:
            self._kept[key] = self._read(scene, name, source, level, outer)
        values, nodata = self._kept[key]
        return values[wanted.within(outer).slices], nodata

    def _outer(self, grid: Grid, part: Grid, method: str, pixels: int) -> Window | None:
        """Give the window of the whole block, where the block is read in strips and the source is not much finer."""
        if part.shape == self._target.shape:
            return None
        whole = place(grid, self._target, method)
        if whole is None:
            return None
        outer = _widened(whole.window, pixels, grid.shape)
        return outer if outer.height * outer.width <= _KEPT * self._target.shape.y * self._target.shape.x else None

    def _read(
        self, scene: Scene, name: str, source: Source, level: int, window: Window
    ) -> tuple[NDArray[Any], float | None]:
        """Read a window; with ``skip`` its undecodable tiles are missing, and told."""
        if window.height * window.width > _MOST:
            raise BudgetError(
                "a block spans too many pixels of a scene",
                where=f"{scene.id}/{source.asset or name}",
                expected=f"at most {_MOST:,}",
                got=f"{window.height:,} x {window.width:,}",
                todo="choose smaller blocks or a finer resolution, or overviews='auto'",
            )
        if self._plan.spec.on_error == "raise":
            return read_pixels(source.location, source.band, window, level=level), source.nodata
        bad: list[str] = []
        missing = source.nodata
        if missing is None:
            missing = math.nan if np.dtype(source.dtype).kind == "f" else 0.0
        values = read_pixels(source.location, source.band, window, level=level, on_bad=bad.append, missing=missing)
        self._notes.update(Note(scene.id, source.asset or name, reason) for reason in bad)
        if not bad or source.nodata is not None or np.dtype(source.dtype).kind == "f":
            return values, source.nodata
        # No number of this file means missing: what differs between two fillings is what could not be decoded.
        other = read_pixels(source.location, source.band, window, level=level, on_bad=bad.append, missing=1.0)
        return np.where(values == other, values.astype("float64"), np.nan), None


def _as_numbers(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Give numbers in a type that can be resampled into another; what is infinite is no value."""
    if values.dtype.kind == "f":
        return np.where(np.isinf(values), values.dtype.type(np.nan), values) if np.isinf(values).any() else values
    if dtype.kind in "iu":
        return values.astype(dtype, copy=False)
    return values.astype("float64") if values.dtype.itemsize > 4 else values


def _judge(rule: Any, values: NDArray[Any], where: str) -> NDArray[np.bool_]:
    if not isinstance(rule, MaskRule):
        seen = rule(values)
    elif values.dtype == np.uint8:
        seen = mask_table(rule)[values]
    else:
        seen = clear_of(rule, values)
    if not isinstance(seen, np.ndarray) or seen.dtype != bool or seen.shape != values.shape:
        raise InputError(
            "a mask function gives the clear pixels",
            where=where,
            expected=f"bool array of shape {values.shape}",
            got=f"{getattr(seen, 'dtype', type(seen).__name__)} {getattr(seen, 'shape', '')}",
        )
    return seen


def _is_fill(values: NDArray[Any], band: BandPlan) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.isnan(values) if math.isnan(band.fill) else values == band.missing
    return found


def _verified(source: Source, where: str) -> Source:
    """Compare a source that was taken from metadata with its header, which is read once per process."""
    if source.known:
        return source
    return verify_header(source, read_header(source.location, where=where))


def _in_pixels(metres: float, grid: Grid) -> int:
    """Give a distance in pixels of a grid, rounded up; a degree has 111 km or less."""
    turn = full_turn(grid.crs)
    unit = _METRES_PER_TURN / turn if turn else 1.0
    return math.ceil(metres / (min(abs(grid.resolution.y), grid.resolution.x) * unit)) if metres else 0


def _widened(window: Window, pixels: int, shape: tuple[int, int]) -> Window:
    if not pixels:
        return window
    top, left = max(0, window.row - pixels), max(0, window.col - pixels)
    bottom, right = min(shape[0], window.stop[0] + pixels), min(shape[1], window.stop[1] + pixels)
    return Window(top, left, bottom - top, right - left)


def level_grid(source: Source, level: int) -> Grid:
    """Give the grid of an overview: the same outer edges, the true ratio of sizes."""
    if level == 0:
        return source.grid
    height, width = source.overviews[level - 1]
    full = source.grid.shape
    wider = Affine.scale(full.x / width, full.y / height)
    return Grid.from_affine(source.grid.crs, source.grid.transform @ wider, (height, width))
