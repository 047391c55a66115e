"""What a block needs of one source: which pixels, at which level, and which of them could not be decoded."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from terracube.core.errors import BudgetError
from terracube.cubes.crs import full_turn, metres_per_unit
from terracube.cubes.grid import Grid
from terracube.cubes.readers import read_header, read_pixels
from terracube.cubes.sources import Source, verify_header
from terracube.cubes.warp import Placement, overview_level, place
from terracube.cubes.window import Window

# A window is read whole; one gigabyte of float32 is more than a block ever needs.
_MOST = 1 << 28
_METRES_PER_TURN = 40_075_017.0
# Nearer to a pole a distance spans more columns than a block ever has.
_STEEPEST = math.cos(math.radians(89.0))

Reach = tuple[int, int]
"""Pixels along y and x."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """Numbers of a window of a source, as the file holds them."""

    values: NDArray[Any]
    nodata: float | None
    """The number that means nothing was seen; NaN always does."""
    bad: NDArray[np.bool_] | None = None
    """Which pixels could not be decoded; ``None`` = all could."""

    def cut(self, window: Window, outer: Window) -> Pixels:
        """Give a part of a larger window."""
        part = window.within(outer).slices
        return Pixels(self.values[part], self.nodata, None if self.bad is None else self.bad[part])


@dataclass(frozen=True, slots=True)
class Need:
    """What some rows of a block need of a source."""

    source: Source
    level: int
    """0 = full resolution, 1 = the finest overview."""
    grid: Grid
    """Where the pixels of that level lie."""
    placement: Placement
    margin: Reach
    """Pixels that are needed around those that are placed, to grow a mask."""

    @property
    def window(self) -> Window:
        """The pixels to read."""
        return widened(self.placement.window, self.margin, self.grid.shape)


def verified(source: Source, where: str) -> Source:
    """Compare a source that was taken from metadata with its header, which is read once per process."""
    return source if source.known else verify_header(source, read_header(source.location, where=where))


def level_of(source: Source, target: Grid, method: str, *, overviews: str, mask: bool) -> int:
    """Choose the overview: never for classes and masks, whose overviews may have been made by averaging."""
    if overviews == "none" or mask or source.classes or method == "mode" or not source.overviews:
        return 0
    return overview_level(source.grid, target, source.overviews)


def level_grid(source: Source, level: int) -> Grid:
    """Give the grid of an overview: the same outer edges, the true ratio of sizes."""
    if level == 0:
        return source.grid
    height, width = source.overviews[level - 1]
    full = source.grid.shape
    wider = Affine.scale(full.x / width, full.y / height)
    return Grid.from_affine(source.grid.crs, source.grid.transform @ wider, (height, width))


def need_of(
    source: Source, target: Grid, method: str, *, overviews: str = "none", mask: bool = False, metres: float = 0.0
) -> Need | None:
    """Settle what some rows of a block need of a source; ``None`` where it has nothing for them."""
    level = level_of(source, target, method, overviews=overviews, mask=mask)
    grid = level_grid(source, level)
    placement = place(grid, target, method)
    if placement is None:
        return None
    return Need(source, level, grid, placement, in_pixels(metres, grid))


def read(need: Need, window: Window, *, where: str, skip: bool, told: set[str]) -> Pixels:
    """Read a window of a source; with ``skip``, tiles that cannot be decoded are marked, and told.

    Raises
    ------
    AssetError
        If pixels cannot be read, and are not skipped.
    BudgetError
        If the window is larger than a block should ever need.
    """
    if window.height * window.width > _MOST:
        raise BudgetError(
            "a block spans too many pixels of a scene",
            where=where,
            expected=f"at most {_MOST:,}",
            got=f"{window.height:,} x {window.width:,}",
            todo="choose smaller blocks or a finer resolution, or overviews='auto'",
        )
    source = need.source
    place_, band, level = source.location, source.band, need.level
    if not skip:
        return Pixels(read_pixels(place_, band, window, level=level), source.nodata)
    reasons: list[str] = []
    zeros = read_pixels(place_, band, window, level=level, on_bad=reasons.append, missing=0.0)
    told.update(reasons)
    if not reasons:
        return Pixels(zeros, source.nodata)
    # What differs between two fillings is what could not be decoded; no number of the file need mean missing.
    ones = read_pixels(place_, band, window, level=level, on_bad=reasons.append, missing=1.0)
    same = zeros == ones
    if zeros.dtype.kind == "f":
        same |= np.isnan(zeros) & np.isnan(ones)
    return Pixels(zeros, source.nodata, ~same)


def as_numbers(pixels: Pixels, dtype: np.dtype[Any]) -> tuple[NDArray[Any], float | None]:
    """Give numbers in a type that can be resampled into another; what is infinite or undecodable is no value."""
    values, nodata = pixels.values, pixels.nodata
    if pixels.bad is not None:
        if nodata is not None and math.isfinite(nodata) and values.dtype.kind != "f":
            values = np.where(pixels.bad, values.dtype.type(nodata), values)
        else:
            floating = values if values.dtype.kind == "f" else values.astype("float64")
            values = np.where(pixels.bad, floating.dtype.type(np.nan), floating)
    if values.dtype.kind == "f":
        infinite = np.isinf(values)
        return (np.where(infinite, values.dtype.type(np.nan), values) if infinite.any() else values), nodata
    if dtype.kind in "iu":
        return values.astype(dtype, copy=False), nodata
    return (values.astype("float64") if values.dtype.itemsize > 4 else values), nodata


def in_pixels(metres: float, grid: Grid) -> Reach:
    """Give a distance in pixels of a grid along y and x, rounded up; in degrees, that of the row nearest to a pole."""
    if not metres:
        return 0, 0
    turn = full_turn(grid.crs)
    height, width = -grid.resolution.y, grid.resolution.x
    if turn is None:
        unit = metres_per_unit(grid.crs)
        return math.ceil(metres / (height * unit)), math.ceil(metres / (width * unit))
    unit = _METRES_PER_TURN / turn
    farthest = max(abs(grid.bounds.top), abs(grid.bounds.bottom)) / turn * math.tau
    narrow = max(math.cos(min(farthest, math.pi / 2)), _STEEPEST)
    return math.ceil(metres / (height * unit)), math.ceil(metres / (width * unit * narrow))


def widened(window: Window, margin: Reach, shape: Iterable[int]) -> Window:
    """Give a window with a margin, inside the raster."""
    rows, cols = margin
    if not (rows or cols):
        return window
    height, width = shape
    top, left = max(0, window.row - rows), max(0, window.col - cols)
    bottom, right = min(height, window.stop[0] + rows), min(width, window.stop[1] + cols)
    return Window(top, left, bottom - top, right - left)
