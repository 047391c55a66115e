"""The block engine's inner part: read one block of a cube, all steps of time and any bands.

For each step the scenes are asked in the plan's order. A pixel of a band takes the first scene that is clear there and
has a value; whether other bands are loaded beside it never changes a band.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import AssetError, HostileInputError, InputError, MetadataError
from terracube.core.sensors import MaskRule, clear_of, mask_table
from terracube.cubes.dilate import dilate
from terracube.cubes.grid import YX, Grid
from terracube.cubes.ledger import Note
from terracube.cubes.pieces import Need, Pixels, as_numbers, need_of, read, verified
from terracube.cubes.plan import BandPlan, Clear, CubePlan
from terracube.cubes.sources import Scene, Source
from terracube.cubes.warp import reach, warp
from terracube.cubes.window import Window

_UNREADABLE = (AssetError, HostileInputError, MetadataError)
# Windows up to this many source pixels per block pixel are kept for all strips of the block; of finer sources each
# strip reads its own part.
_KEPT = 2.0
# No band has an empty name.
_MASK, _PERCENT = "", 100.0
_Key = tuple[str, str, str]


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
        self._stored = {band.name: band.nodata for band in plan.bands if band.nodata is not None}
        self._kept: dict[_Key, Pixels] = {}
        self._clears: dict[tuple[str, str], NDArray[np.bool_] | bool] | None = None
        self._gone: set[_Key] = set()
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
        need, pixels = found
        into = out if first else np.empty_like(out)
        values, nodata = as_numbers(pixels, into.dtype)
        scale, offset = (source.scale, source.offset) if band.scaled else (1.0, 0.0)
        warp(values, need.placement, nodata=nodata, out=into, fill=band.fill, scale=scale, offset=offset)
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
            return True
        metres = rule.dilate_m if isinstance(rule, MaskRule) else 0.0
        found = self._pixels(scene, _MASK, scene.mask, part, "nearest", metres=metres)
        if found is None:
            return False
        need, pixels = found
        seen = judge(rule, pixels, scene.id)
        if any(need.margin):
            seen = ~dilate(~seen, need.margin)[need.placement.window.within(need.window).slices]
        clear = np.empty(part.shape, "uint8")
        warp(np.ascontiguousarray(seen).view("uint8"), need.placement, nodata=None, out=clear, fill=0)
        return clear.view("bool") if clear.any() else False

    def _pixels(
        self, scene: Scene, name: str, source: Source, part: Grid, method: str, *, metres: float = 0.0
    ) -> tuple[Need, Pixels] | None:
        """Read what some rows of the block need of a source; None where it has nothing, or cannot be read."""
        key = (scene.collection, scene.id, name)
        if key in self._gone or not _reaches(source, part):
            return None
        where = f"{scene.id}/{source.asset or name}"
        stored = self._stored.get(name)
        options: dict[str, Any] = {"overviews": self._plan.spec.overviews, "mask": name == _MASK, "metres": metres}
        try:
            known = verified(source, where)
            if stored is not None and known.nodata != stored:
                raise MetadataError(
                    "the header has another nodata than was taken for granted",
                    where=where,
                    expected=f"{stored:g}",
                    got=str(known.nodata),
                    todo=f"give nodata={{{name!r}: ...}}, or headers='always'",
                )
            need = need_of(known, part, method, **options)
            if need is None:
                return None
            pixels = self._window(
                key, need, where, None if self._is_whole(part) else self._outer(known, method, options)
            )
        except _UNREADABLE as error:
            if self._plan.spec.on_error == "raise":
                raise
            self._gone.add(key)
            self._notes.add(Note(scene.id, source.asset or name, str(error)))
            return None
        self._notes.add(Note(scene.id, source.asset or name))
        return need, pixels

    def _window(self, key: _Key, need: Need, where: str, outer: Window | None) -> Pixels:
        """Read a window, or cut it from what is kept of the source for all strips of the block."""
        told: set[str] = set()
        skip = self._plan.spec.on_error == "skip"
        if outer is None:
            pixels = read(need, need.window, where=where, skip=skip, told=told)
        else:
            if key not in self._kept:
                self._kept[key] = read(need, outer, where=where, skip=skip, told=told)
            pixels = self._kept[key].cut(need.window, outer)
        self._notes.update(Note(key[1], need.source.asset or key[2], reason) for reason in told)
        return pixels

    def _is_whole(self, part: Grid) -> bool:
        return part.shape == self._target.shape

    def _outer(self, source: Source, method: str, options: dict[str, Any]) -> Window | None:
        """Give the window of the whole block, to be kept for all strips, if the source is not much finer."""
        whole = need_of(source, self._target, method, **options)
        if whole is None:
            return None
        window = whole.window
        return window if window.height * window.width <= _KEPT * self._target.shape.y * self._target.shape.x else None


def _reaches(source: Source, part: Grid) -> bool:
    found = reach(source.grid, part)
    if found is None:
        return False
    top, bottom, left, right = found
    y, x = part.offset
    return top < y + part.shape.y and bottom > y and left < x + part.shape.x and right > x


def judge(rule: MaskRule | Clear, pixels: Pixels, where: str) -> NDArray[np.bool_]:
    """Tell which pixels of a mask layer are clear: never what is missing or could not be decoded.

    A probability of 0 is a value, whatever number the file declares as nodata: providers declare 0 there.
    """
    values, nodata = pixels.values, pixels.nodata
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
    probability = isinstance(rule, MaskRule) and rule.threshold is not None
    if nodata is not None and not (probability and 0 <= nodata <= _PERCENT):
        seen = seen & (values != nodata)
    return seen if pixels.bad is None else seen & ~pixels.bad


def _is_fill(values: NDArray[Any], band: BandPlan) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.isnan(values) if math.isnan(band.fill) else values == band.missing
    return found
