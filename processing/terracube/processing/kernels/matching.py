"""Match small squares (chips) of two images: normalised cross-correlation, its peak, and its refinement.

Everything of a point is computed from the pixels around that point alone, in an order that depends on nothing else.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import inner, kernel, part
from terracube.processing.kernels.correlation import masked_surface, summit, surface, total, vertex
from terracube.processing.kernels.gaussnewton import MARGIN, RIM, UNKNOWNS, gradients, refine

type Floats = NDArray[np.float32]
type Doubles = NDArray[np.float64]

DY, DX, NCC, SNR, STD_Y, STD_X, A_YY, A_YX, A_XY, A_XX, STATE = range(11)
LAYERS = 11
"""What a match tells of a point: rows and columns moved; correlation; how far the peak stands out; standard deviations;
change of rows moved per row and per column, of columns moved likewise; bits of its state."""
EMPTY, FLAT, EDGE, UNREFINED = 1, 2, 4, 8
"""Too few valid pixels; nothing to match; the peak lies at the edge of the search; the refinement did not settle."""

_MOVES = 4


@kernel
def halve(image: Floats, out: Floats) -> None:
    """Average squares of 2 x 2 pixels.

    Parameters
    ----------
    image : float32 (y, x)
        NaN is missing.
    out : float32 (y // 2, x // 2)
        The mean of the valid ones, NaN where fewer than two are valid.
    """
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            total, count = np.float32(0), np.float32(0)
            for i in range(4):
                value = image[2 * y + i // 2, 2 * x + i % 2]
                if value == value:
                    total += value
                    count += np.float32(1)
            out[y, x] = total / count if count >= 2 else np.nan


@inner
def _gather(image: Floats, corner: tuple[int, int], side: int, values: Floats, valid: Floats) -> int:
    """Copy a square, zero where it is missing or outside; give the number of valid pixels."""
    top, left = corner
    first, last = max(0, -left), min(side, image.shape[1] - left)
    count = 0
    for i in range(side):
        row, there = values[i * side : i * side + side], valid[i * side : i * side + side]
        if top + i < 0 or top + i >= image.shape[0] or last <= first:
            row[:] = 0
            there[:] = 0
            continue
        row[:first] = 0
        there[:first] = 0
        row[last:] = 0
        there[last:] = 0
        source = image[top + i, left + first : left + last]
        target, known = row[first:last], there[first:last]
        for j in range(source.size):
            value = source[j]
            good = value - value == 0
            target[j] = value if good else np.float32(0)
            known[j] = np.float32(1) if good else np.float32(0)
            count += good
    return count


@inner
def _centre(values: Floats, valid: Floats, side: int, lanes: Floats, count: int) -> float:
    """Take the mean of the valid pixels from them; give it."""
    lane = lanes[:side]
    lane[:] = 0
    for i in range(side):
        row = values[i * side : i * side + side]
        for j in range(side):
            lane[j] += row[j]
    total = 0.0
    for j in range(side):
        total += lane[j]
    mean = np.float32(total / max(count, 1))
    for i in range(side * side):
        values[i] = (values[i] - mean) * valid[i]
    return float(mean)


@part
def _inside(values: Floats, side: int, rim: int, out: Floats) -> None:
    """Cut a rim off a square."""
    size = side - 2 * rim
    for i in range(size):
        start = (i + rim) * side + rim
        source, target = values[start : start + size], out[i * size : i * size + size]
        for j in range(size):
            target[j] = source[j]


@part
def _look(room: Any, after: Floats, at: tuple[int, int], dims: tuple[int, int, int], share: float) -> tuple[int, float]:
    """Search around one place: the peak's number and how far it stands out; -1 where there is too little to see."""
    chip, known, area, there, lanes, found = room
    size, reach, gaps = dims
    side, shifts = size + 2 * reach + 2 * MARGIN, 2 * reach + 1
    count = _gather(after, (at[0] - reach - MARGIN, at[1] - reach - MARGIN), side, area, there)
    if count < share * size * size:
        return -1, np.nan
    _centre(area, there, side, lanes, count)
    if gaps or count < side * side:
        masked_surface((chip, known, area, there, lanes), size, side, share, found)
    else:
        surface(chip, area, size, side, lanes, found)
    peak: tuple[int, float] = summit(found, shifts)
    return peak


@part
def _search(
    room: Any, after: Floats, place: tuple[int, int], guess: tuple[int, int], dims: Any, share: float
) -> tuple[int, int, int, float, bool]:
    """Search around the guess, and again around the peak while that lies at the edge."""
    size, reach, limit, gaps = dims
    shifts = 2 * reach + 1
    down, right = guess
    for _ in range(_MOVES):
        best, stands = _look(room, after, (place[0] + down, place[1] + right), (size, reach, gaps), share)
        if best < 0:
            return down, right, best, stands, False
        i, j = best // shifts, best % shifts
        if 0 < i < shifts - 1 and 0 < j < shifts - 1:
            return down, right, best, stands, True
        y, x = down + i - reach, right + j - reach
        if max(abs(y), abs(x)) > limit:
            break
        down, right = y, x
    return down, right, best, stands, False


@part
def _leave_out(grads: Any, there: Floats, dims: tuple[int, int], peak: tuple[int, int]) -> None:
    """Leave out pixels whose counterparts, or what those are interpolated from, are missing."""
    size, side = dims
    missing = 0
    for k in range(side * side):
        missing += there[k] < np.float32(0.5)
    if missing == 0:
        return
    grad_y, grad_x, one = grads
    for i in range(size):
        for j in range(size):
            w = np.float32(1)
            for row in range(-2, 3):
                at = (MARGIN + peak[0] + i + row) * side + MARGIN + peak[1] + j
                for column in range(-2, 3):
                    w *= there[at + column]
            at = i * size + j
            grad_y[at] *= w
            grad_x[at] *= w
            one[at] *= w


@part
def _chip(before: Floats, room: Any, place: tuple[int, int], size: int, share: float) -> tuple[int, int]:
    """Read a chip and its rim less its mean; give what speaks against it, and whether pixels are missing."""
    rimmed, rim_known, chip, known, lanes = room
    wide = size + 2 * RIM
    _gather(before, (place[0] - RIM, place[1] - RIM), wide, rimmed, rim_known)
    _inside(rim_known, wide, RIM, known)
    _inside(rimmed, wide, RIM, chip)
    count = 0
    for i in range(size * size):
        count += known[i] > 0
    if count < share * size * size:
        return EMPTY, 1
    mean = np.float32(_centre(chip, known, size, lanes, count))
    for k in range(wide * wide):
        rimmed[k] = (rimmed[k] - mean) * rim_known[k]
    power = total(chip, chip, size, lanes)
    return 0 if power > 1e-10 * count * mean * mean else FLAT, int(count < size * size)


@part
def _point(room: Any, images: Any, place: tuple[int, int], guess: tuple[int, int], facts: Any, out: Floats) -> None:
    """Match one chip, whose first pixel is ``place``."""
    before, after = images
    (size, reach, limit, steps), share = facts
    rimmed, rim_known, chip, known, area, there, lanes, found, grads, between, normal, m, work = room
    out[:] = np.nan
    out[STATE] = 0
    shifts = 2 * reach + 1
    out[STATE], gaps = _chip(before, (rimmed, rim_known, chip, known, lanes), place, size, share)
    if out[STATE] != 0:
        return
    seen = chip, known, area, there, lanes, found
    down, right, best, stands, inside = _search(seen, after, place, guess, (size, reach, limit, gaps), share)
    if best < 0 or found[best] <= -1:
        out[STATE] = EMPTY
        return
    i, j = best // shifts, best % shifts
    out[NCC], out[SNR] = found[best], stands
    y, x = float(i - reach), float(j - reach)
    if not inside:
        out[STATE] = EDGE
    else:
        part_y, part_x = vertex(found, shifts, best)
        y, x = y + part_y, x + part_x
    out[DY], out[DX] = down + y, right + x
    if not steps or not inside:
        return
    gradients(rimmed, rim_known, size, grads)
    side = size + 2 * reach + 2 * MARGIN
    _leave_out(grads, there, (size, side), (i, j))
    into = work[40:52]
    refined = refine((chip, grads, area, lanes, between, normal, m, work), (size, side, steps, reach), (y, x), into)
    if not refined:
        out[STATE] = UNREFINED
        return
    out[DY], out[DX] = down + into[0], right + into[1]
    out[STD_Y], out[STD_X] = math.sqrt(into[2]), math.sqrt(into[3])
    for k in range(4):
        out[A_YY + k] = into[4 + k]


@kernel
def match(
    before: Floats, after: Floats, places: NDArray[np.int32], guesses: NDArray[np.int32], facts: Any, out: Floats
) -> None:
    """Match chips of one image with another.

    Parameters
    ----------
    before, after : float32 (y, x), C-contiguous
        NaN is missing, and so is what lies outside.
    places : int32 (point, 2)
        Row and column of the first pixel of each chip.
    guesses : int32 (point, 2)
        Where to search, rows and columns away.
    facts : tuple ((size, reach, limit, steps), share)
        Pixels along each side of a chip, a multiple of four; pixels searched around the guess to each side, >= 1;
        motion at most, to which the search may follow a peak at its edge; Gauss-Newton steps at most, 0 for none;
        share of the chip's pixels that must be valid.
    out : float32 (point, LAYERS)
        Is written; NaN is unknown. The motion is that of the middle of the chip.
    """
    (size, reach, _, _), _ = facts
    side, wide, shifts = size + 2 * reach + 2 * MARGIN, size + 2 * RIM, 2 * reach + 1
    rimmed, rim_known = np.empty(wide * wide, np.float32), np.empty(wide * wide, np.float32)
    chip, known = np.empty(size * size, np.float32), np.empty(size * size, np.float32)
    area, there = np.empty(side * side, np.float32), np.empty(side * side, np.float32)
    lanes = np.empty(max(20, shifts) * size + 2 * side + wide, np.float32)
    found = np.empty(shifts * shifts, np.float32)
    grads = (np.empty(size * size, np.float32), np.empty(size * size, np.float32), np.empty(size * size, np.float32))
    between = np.empty(size * (2 * size + 5), np.float32)
    normal, moments, work = np.zeros((UNKNOWNS, UNKNOWNS)), np.empty((20, 3)), np.zeros(64)
    room = rimmed, rim_known, chip, known, area, there, lanes, found, grads, between, normal, moments, work
    for point in range(places.shape[0]):
        place, guess = (places[point, 0], places[point, 1]), (guesses[point, 0], guesses[point, 1])
        _point(room, (before, after), place, guess, facts, out[point])
