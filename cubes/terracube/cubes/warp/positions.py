"""From nodes to the position of each pixel of a row, in integers: what every resampling kernel starts from."""

from __future__ import annotations

import numpy as np
from numba import njit

from terracube.cubes.warp.frame import (
    COL,
    EMPTY,
    EXACT,
    HEIGHT,
    INNER,
    KERNEL,
    NOWHERE,
    ONE,
    PERIOD,
    POSITION_BITS,
    ROOT,
    ROOT_BITS,
    ROW,
    SEPARABLE,
    WIDTH,
    Array,
    Geometry,
)

# A sliver of less than 2^-18 of a source pixel is no cover: it comes from rounding.
_SLIVER = 1 << (POSITION_BITS - 18)


@njit(**INNER)
def centres(geometry: Geometry, row: int, wanted: Array, x: Array, y: Array) -> None:
    """Give the position of the centres of one row of a block; NOWHERE for pixels that are not ``wanted``."""
    frame, cells, nodes = geometry
    if frame[SEPARABLE]:
        for j in range(x.size):
            x[j] = nodes[0, j]
            y[j] = nodes[1, row]
    else:
        _through_cells(frame, cells, nodes, row, x, y)
    period = frame[PERIOD]
    if period:
        for j in range(x.size):
            if x[j] != NOWHERE:
                x[j] += period * (x[j] < 0) - period * (x[j] >= period)
    if wanted.size:
        for j in range(x.size):
            if not wanted[row, j]:
                x[j] = NOWHERE


@njit(**INNER)
def _through_cells(frame: Array, cells: Array, nodes: Array, row: int, x: Array, y: Array) -> None:
    line, first = frame[ROW] + row, frame[COL]
    last = first + x.size
    for root in range(first >> ROOT_BITS, ((last - 1) >> ROOT_BITS) + 1):
        begin, end = max(root << ROOT_BITS, first), min((root + 1) << ROOT_BITS, last)
        level, at = cells[line >> ROOT_BITS, root]
        if level == EMPTY:
            x[begin - first : end - first] = NOWHERE
            y[begin - first : end - first] = NOWHERE
        elif level == EXACT:
            at += (line % ROOT) * ROOT
            for j in range(begin, end):
                x[j - first] = nodes[0, at + j % ROOT]
                y[j - first] = nodes[1, at + j % ROOT]
        else:
            # No slices: to make one costs more than to fill it.
            where, part = (at, level, line % ROOT), (begin % ROOT, end - begin, begin - first)
            _interpolate(nodes, 0, where, part, x)
            _interpolate(nodes, 1, where, part, y)


@njit(**INNER)
def _interpolate(nodes: Array, axis: int, where: tuple[int, int, int], part: tuple[int, int, int], out: Array) -> None:
    """Give pixels ``begin`` onwards of one line of a root cell: the bilinear form at odd half pixels, exact."""
    at, level, line = where
    begin, count, start = part
    step, side = 1 << level, (ROOT >> level) + 1
    shift = 10 - 2 * level
    down = 2 * (line % step) + 1
    end = begin + count
    for cell in range(begin >> level, ((end - 1) >> level) + 1):
        node = at + (line >> level) * side + cell
        west = nodes[axis, node] * (2 * step - down) + nodes[axis, node + side] * down
        slope = nodes[axis, node + 1] * (2 * step - down) + nodes[axis, node + side + 1] * down - west
        low, high = max(begin, cell << level), min(end, (cell + 1) << level)
        place = (west * (2 * step) + slope * (2 * (low % step) + 1)) << shift
        stride = (2 * slope) << shift
        for j in range(start + low - begin, start + high - begin):
            out[j] = place
            place += stride


@njit(**INNER)
def boxes(geometry: Geometry, row: int, wanted: Array, box: Array) -> None:
    """Give west, east, north and south of the pixels of one row of a block; NOWHERE for those not ``wanted``."""
    frame, cells, nodes = geometry
    if frame[SEPARABLE]:
        for j in range(box.shape[1]):
            box[0, j], box[1, j] = nodes[0, j], nodes[1, j]
            box[2, j], box[3, j] = nodes[2, row], nodes[3, row]
    else:
        _boxes_through_cells(frame, cells, nodes, row, box)
    period = frame[PERIOD]
    if period:
        for j in range(box.shape[1]):
            if box[0, j] != NOWHERE:
                turn = period * (box[0, j] < 0) - period * (box[0, j] >= period)
                box[0, j] += turn
                box[1, j] += turn
    if wanted.size:
        for j in range(box.shape[1]):
            if not wanted[row, j]:
                box[:, j] = NOWHERE


@njit(**INNER)
def _boxes_through_cells(frame: Array, cells: Array, nodes: Array, row: int, box: Array) -> None:
    line, first = frame[ROW] + row, frame[COL]
    last = first + box.shape[1]
    for root in range(first >> ROOT_BITS, ((last - 1) >> ROOT_BITS) + 1):
        begin, end = max(root << ROOT_BITS, first), min((root + 1) << ROOT_BITS, last)
        level, at = cells[line >> ROOT_BITS, root]
        if level == EMPTY:
            box[:, begin - first : end - first] = NOWHERE
        elif level == EXACT:
            at += (line % ROOT) * ROOT
            for j in range(begin, end):
                for side in range(4):
                    box[side, j - first] = nodes[side, at + j % ROOT]
        else:
            part = box[:, begin - first : end - first]
            thin = _thin(nodes, at, level)
            _rims(nodes[0], (at, level, line % ROOT, begin % ROOT), thin, part[0], part[1])
            _rims(nodes[1], (at, level, line % ROOT, begin % ROOT), thin, part[2], part[3])


@njit(**INNER)
def _thin(nodes: Array, at: int, level: int) -> bool:
    """Tell whether the box between the first and last corner of a pixel would be much smaller than the pixel.

    It is where the target lies askew by more than 30 degrees. One answer for a root cell, from its outer corners.
    """
    side = (ROOT >> level) + 1
    ne, sw = at + side - 1, at + side * (side - 1)
    se = sw + side - 1
    along_x, along_y = float(nodes[0, se] - nodes[0, at]), float(nodes[1, se] - nodes[1, at])
    aside_x, aside_y = float(nodes[0, sw] - nodes[0, ne]), float(nodes[1, sw] - nodes[1, ne])
    return abs(along_x * along_y) < 0.25 * abs(along_x * aside_y - along_y * aside_x)


@njit(**INNER)
def _rims(nodes: Array, where: tuple[int, int, int, int], thin: bool, low: Array, high: Array) -> None:
    """Give the smallest and largest coordinate of the corners of pixels ``begin`` onwards of a line of a root cell."""
    at, level, line, begin = where
    step, side = 1 << level, (ROOT >> level) + 1
    shift = 10 - 2 * level
    down = 2 * (line % step)
    end = begin + low.size
    for cell in range(begin >> level, ((end - 1) >> level) + 1):
        node = at + (line >> level) * side + cell
        first, last = max(begin, cell << level), min(end, (cell + 1) << level)
        south = nodes[node + side] - nodes[node]
        west = nodes[node] * (2 * step) + south * down
        slope = (nodes[node + 1] - nodes[node]) * (2 * step)
        slope += (nodes[node + side + 1] - nodes[node + 1] - south) * down
        west_below = west + 2 * south
        slope_below = slope + 2 * (nodes[node + side + 1] - nodes[node + 1] - south)
        for j in range(first, last):
            across = 2 * (j % step)
            nw = (west * (2 * step) + slope * across) << shift
            se = (west_below * (2 * step) + slope_below * (across + 2)) << shift
            least, most = min(nw, se), max(nw, se)
            if thin:
                ne = (west * (2 * step) + slope * (across + 2)) << shift
                sw = (west_below * (2 * step) + slope_below * across) << shift
                least, most = min(least, ne, sw), max(most, ne, sw)
            low[j - begin], high[j - begin] = least, most


@njit(**KERNEL)
def centres_of_rows(geometry: Geometry, first: int, wanted: Array, x: Array, y: Array) -> None:
    """Give the positions of the centres of rows ``first`` onwards, as many as there is room for."""
    for i in range(x.shape[0]):
        centres(geometry, first + i, wanted, x[i], y[i])


@njit(**KERNEL)
def boxes_of_rows(geometry: Geometry, first: int, wanted: Array, box: Array) -> None:
    """Give the boxes of rows ``first`` onwards, as many as there is room for: (row, side, column)."""
    for i in range(box.shape[0]):
        boxes(geometry, first + i, wanted, box[i])


@njit(**INNER)
def span(low: int, high: int, first: int, last: int) -> tuple[int, int]:
    """Give the first source pixel of [first, last) that a stretch covers and the one after the last."""
    begin = (low + _SLIVER) >> POSITION_BITS
    end = (high - _SLIVER + ONE - 1) >> POSITION_BITS
    return max(begin, first), min(max(end, begin + 1), last)


@njit(**KERNEL)
def hull_of_centres(geometry: Geometry, height: int, x: Array, y: Array, hull: Array) -> None:
    """Give first row, row after the last, first column, column after the last of the source pixels at centres."""
    frame = geometry[0]
    everything = np.empty((0, 0), np.bool_)
    hull[0], hull[1], hull[2], hull[3] = ONE, -ONE, ONE, -ONE
    for i in range(height):
        centres(geometry, i, everything, x, y)
        for j in range(x.size):
            row, col = y[j] >> POSITION_BITS, x[j] >> POSITION_BITS
            if 0 <= row < frame[HEIGHT] and 0 <= col < frame[WIDTH]:
                hull[0], hull[1] = min(hull[0], row), max(hull[1], row + 1)
                hull[2], hull[3] = min(hull[2], col), max(hull[3], col + 1)


@njit(**KERNEL)
def hull_of_boxes(geometry: Geometry, height: int, box: Array, hull: Array) -> None:
    """Give the same of the pixels that boxes cover, and the most in one; columns run on beyond a turn of the globe."""
    frame = geometry[0]
    everything = np.empty((0, 0), np.bool_)
    stop = frame[WIDTH] if not frame[PERIOD] else 2 * frame[WIDTH]
    hull[0], hull[1], hull[2], hull[3], hull[4] = ONE, -ONE, ONE, -ONE, 0
    for i in range(height):
        boxes(geometry, i, everything, box)
        for j in range(box.shape[1]):
            top, bottom = span(box[2, j], box[3, j], 0, frame[HEIGHT])
            left, right = span(box[0, j], box[1, j], 0, stop)
            if top < bottom and left < right:
                hull[0], hull[1] = min(hull[0], top), max(hull[1], bottom)
                hull[2], hull[3] = min(hull[2], left), max(hull[3], right)
                hull[4] = max(hull[4], (bottom - top) * (right - left))
