"""Motion beside a break: each point takes the plane of motion that fits the pixels right around it.

A chip across a fault or the edge of a landslide sees two motions. Chips a half to the side see one each: their
motions, carried on to the point by their own change per pixel, are tried, and the pixels next to the point decide.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import inner, kernel, part
from terracube.processing.kernels.gaussnewton import resample, taps

type Floats = NDArray[np.float32]
type Doubles = NDArray[np.float64]

_Y, _X, _NCC, _SY, _SX, _AYY, _STATE = 0, 1, 2, 4, 5, 6, 10
WINDOW = 12
"""Pixels along each side of the square that decides; it is weighted, most in its middle."""
_SIDE = WINDOW + 5
_WIDTH = 1.8
# The next best motion may leave that much of the variance more unexplained before it is out of the question.
_DOUBT = 1.12
DIVIDED, CARRIED = 64, 256
"""Two motions fit equally well; the motion is that of a chip beside."""


@inner
def _cut(image: Floats, top: int, left: int, side: int, out: Floats) -> bool:
    """Copy a square; False if a pixel is missing or outside."""
    if top < 0 or left < 0 or top + side > image.shape[0] or left + side > image.shape[1]:
        return False
    bad = 0
    for i in range(side):
        for j in range(side):
            value = image[top + i, left + j]
            bad += value - value != 0
            out[i * side + j] = value
    return bad == 0


@inner
def _likeness(a: Floats, b: Floats, weights: Floats) -> float:
    """Correlate two squares, weighted."""
    total, sum_a, sum_b = 0.0, 0.0, 0.0
    for k in range(weights.size):
        total += weights[k]
        sum_a += weights[k] * a[k]
        sum_b += weights[k] * b[k]
    mean_a, mean_b = sum_a / total, sum_b / total
    aa, bb, ab = 0.0, 0.0, 0.0
    for k in range(weights.size):
        x, y = a[k] - mean_a, b[k] - mean_b
        aa += weights[k] * x * x
        bb += weights[k] * y * y
        ab += weights[k] * x * y
    return ab / math.sqrt(aa * bb) if aa > 0 and bb > 0 else -1.0


@part
def _fits(after: Floats, room: Any, at: tuple[int, int], motion: tuple[float, float], limit: float) -> float:
    """Tell how well the pixels around a point agree with a motion; -2 where that cannot be seen."""
    near, area, between, weights, kernel_weights = room
    y, x = motion
    if not (abs(y) <= limit and abs(x) <= limit):
        return -2.0
    row, column = math.floor(y), math.floor(x)
    corner = at[0] - WINDOW // 2 + row - 2, at[1] - WINDOW // 2 + column - 2
    if not _cut(after, corner[0], corner[1], _SIDE, area):
        return -2.0
    taps(y - row, kernel_weights[0])
    taps(x - column, kernel_weights[1])
    fit: float = _likeness(near, resample(area, _SIDE, (0, 0), WINDOW, kernel_weights, between), weights)
    return fit


@part
def _carried(field: Floats, place: tuple[int, int], shift: tuple[int, int], facts: Any) -> tuple[float, float, bool]:
    """Carry the motion of a neighbour on to a point."""
    (apart, step), (_, least, _, _) = facts
    i, j = place[0] + apart * shift[0], place[1] + apart * shift[1]
    if not (0 <= i < field.shape[0] and 0 <= j < field.shape[1]):
        return 0.0, 0.0, False
    told = field[i, j]
    if not (told[_STATE] == 0 and told[_NCC] >= least):
        return 0.0, 0.0, False
    down, right = -float(shift[0] * apart * step), -float(shift[1] * apart * step)
    y = told[_Y] + told[_AYY] * down + told[_AYY + 1] * right
    x = told[_X] + told[_AYY + 2] * down + told[_AYY + 3] * right
    return y, x, y == y and x == x


@part
def _candidates(field: Floats, place: tuple[int, int], facts: Any, motions: Doubles) -> bool:
    """Write the motions to try, the point's own as number 4; tell whether they differ."""
    own, limit = field[place[0], place[1]], facts[1][0]
    motions[:] = np.nan
    good = own[_STATE] == 0 and own[_NCC] >= facts[1][1]
    if good:
        motions[4, 0], motions[4, 1] = own[_Y], own[_X]
    differ = not good
    for number in range(9):
        if number == 4:
            continue
        y, x, there = _carried(field, place, (number // 3 - 1, number % 3 - 1), facts)
        if there:
            motions[number, 0], motions[number, 1] = y, x
            differ = differ or max(abs(y - own[_Y]), abs(x - own[_X])) > limit
    return differ


@part
def _take(field: Floats, place: tuple[int, int], best: int, facts: Any, motions: Doubles, out: Floats) -> None:
    """Take the motion of a neighbour, with what carrying it on adds to its standard deviation."""
    (apart, step), (_, _, size, _) = facts
    down, right = best // 3 - 1, best % 3 - 1
    for layer in range(out.size):
        out[layer] = field[place[0] + apart * down, place[1] + apart * right, layer]
    far = (down * down + right * right) * (apart * step / size) ** 2
    out[_Y], out[_X] = motions[best, 0], motions[best, 1]
    for axis in range(2):
        out[_SY + axis] *= math.sqrt(1 + 12 * far)
    out[_STATE] = CARRIED


@kernel
def settle(images: Any, field: Floats, centres: NDArray[np.int32], facts: Any, out: Floats) -> None:
    """Choose for each point among its own motion and those of chips beside it.

    Parameters
    ----------
    images : tuple of float32 (y, x)
        Before and after.
    field : float32 (row, column, LAYERS)
        What the matches of a regular lattice of points told.
    centres : int32 (row, column, 2)
        Edge of pixels, along y and x, that each point lies at.
    facts : tuple ((apart, step), (differ, least, size, limit))
        Which neighbours are asked, in points, and pixels between points; by how many pixels motions must differ to be
        tried; correlation that neighbours must have; size of the chips; motion at most, pixels.
    out : like field
        Is written.
    """
    before, after = images
    limit, motions, fits = facts[1][3], np.empty((9, 2)), np.empty(9)
    near, area = np.empty(WINDOW * WINDOW, np.float32), np.empty(_SIDE * _SIDE, np.float32)
    between, taps_room = np.empty(WINDOW * (2 * WINDOW + 5), np.float32), np.empty((2, 6))
    weights = np.empty(WINDOW * WINDOW, np.float32)
    for k in range(WINDOW * WINDOW):
        i, j = k // WINDOW - 0.5 * (WINDOW - 1), k % WINDOW - 0.5 * (WINDOW - 1)
        weights[k] = math.exp(-0.5 * (i * i + j * j) / (_WIDTH * _WIDTH))
    room = near, area, between, weights, taps_room
    for row in range(field.shape[0]):
        for column in range(field.shape[1]):
            target = out[row, column]
            for layer in range(target.size):
                target[layer] = field[row, column, layer]
            if not _candidates(field, (row, column), facts, motions):
                continue
            at = centres[row, column, 0], centres[row, column, 1]
            if not _cut(before, at[0] - WINDOW // 2, at[1] - WINDOW // 2, WINDOW, near):
                continue
            for number in range(9):
                fits[number] = _fits(after, room, at, (motions[number, 0], motions[number, 1]), limit)
            best = 4
            for number in range(9):
                if fits[number] > fits[best]:
                    best = number
            if fits[best] <= 0:
                continue
            if best != 4:
                _take(field, (row, column), best, facts, motions, target)
            for number in range(9):
                aside = max(abs(motions[number, 0] - motions[best, 0]), abs(motions[number, 1] - motions[best, 1]))
                if aside > 2 * facts[1][0] and 1 - fits[number] < _DOUBT * (1 - fits[best]):
                    target[_STATE] = float(int(target[_STATE]) | DIVIDED)
                    break


@kernel
def companions(field: Any, good: NDArray[np.uint8], facts: tuple[int, int, float], out: NDArray[np.uint8]) -> None:
    """Mark the points that enough of their neighbours agree with.

    Parameters
    ----------
    field : tuple of float32 (row, column)
        Motion along y and x.
    good : uint8 (row, column)
        Points that count.
    facts : tuple (radius, least, tolerance)
        Points around; how many of them, the point itself among them, must move alike; to how many pixels.
    out : uint8 (row, column)
        Is written.
    """
    down, right = field
    radius, least, tolerance = facts
    for i in range(good.shape[0]):
        for j in range(good.shape[1]):
            count = 0
            for row in range(max(0, i - radius), min(good.shape[0], i + radius + 1)):
                for column in range(max(0, j - radius), min(good.shape[1], j + radius + 1)):
                    off = max(abs(down[row, column] - down[i, j]), abs(right[row, column] - right[i, j]))
                    count += good[row, column] != 0 and off <= tolerance
            out[i, j] = good[i, j] != 0 and count >= least


@inner
def _middle(values: Doubles, count: int) -> float:
    """Sort the first values; give their lower median."""
    for i in range(1, count):
        value, j = values[i], i - 1
        while j >= 0 and values[j] > value:
            values[j + 1] = values[j]
            j -= 1
        values[j + 1] = value
    return float(values[(count - 1) // 2])


@kernel
def outlying(field: Floats, good: NDArray[np.uint8], facts: tuple[int, float], out: Floats) -> None:
    """Tell how far each point lies from the median around it, over what is usual there.

    Parameters
    ----------
    field : float32 (row, column)
    good : uint8 (row, column)
        Points that count.
    facts : tuple (radius, floor)
        Points around; the least median absolute deviation that is believed.
    out : float32 (row, column)
        Is written: the deviation over the median absolute deviation, NaN where the point does not count.
    """
    radius, floor = facts
    side = 2 * radius + 1
    values = np.empty(side * side)
    for i in range(good.shape[0]):
        for j in range(good.shape[1]):
            out[i, j] = np.nan
            if good[i, j] == 0:
                continue
            count = 0
            for row in range(max(0, i - radius), min(good.shape[0], i + radius + 1)):
                for column in range(max(0, j - radius), min(good.shape[1], j + radius + 1)):
                    if good[row, column] != 0:
                        values[count] = field[row, column]
                        count += 1
            median = _middle(values, count)
            for k in range(count):
                values[k] = abs(values[k] - median)
            out[i, j] = abs(field[i, j] - median) / max(_middle(values, count), floor)
