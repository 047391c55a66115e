"""Normalised cross-correlation of a chip with the places of an area, with or without gaps, and its peak.

Sums run over the rows of the chip, one sum per column, and the columns are added from left to right: an order that
depends on nothing else. No integral image is kept, because its bits would depend on where it begins.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import inner
from terracube.processing.kernels.gaussnewton import MARGIN

type Floats = NDArray[np.float32]


@inner
def _products(chip: Floats, area: Floats, dims: tuple[int, int, int], lanes: Floats) -> None:
    """Add up the products of the chip with the area, per column, for all shifts along x: lanes (shift, column)."""
    size, side, begin = dims
    shifts = side - size - 2 * MARGIN + 1
    lanes[: shifts * size] = 0
    for i in range(0, size, 4):
        at = i * size
        t0, t1 = chip[at : at + size], chip[at + size : at + 2 * size]
        t2, t3 = chip[at + 2 * size : at + 3 * size], chip[at + 3 * size : at + 4 * size]
        for shift in range(shifts):
            at = begin + i * side + shift
            s0, s1 = area[at : at + size], area[at + side : at + side + size]
            s2 = area[at + 2 * side : at + 2 * side + size]
            s3 = area[at + 3 * side : at + 3 * side + size]
            lane = lanes[shift * size : shift * size + size]
            for j in range(size):
                lane[j] += (t0[j] * s0[j] + t1[j] * s1[j]) + (t2[j] * s2[j] + t3[j] * s3[j])


@inner
def _add_row(row: Floats, sign: float, ones: Floats, squares: Floats) -> None:
    for j in range(row.size):
        ones[j] += sign * row[j]
        squares[j] += sign * (row[j] * row[j])


@inner
def surface(chip: Floats, area: Floats, size: int, side: int, lanes: Floats, found: Floats) -> None:
    """Correlate the chip (its mean taken away) with all places of an area without gaps."""
    shifts = side - size - 2 * MARGIN + 1
    ones, squares = lanes[shifts * size : shifts * size + side], lanes[shifts * size + side : shifts * size + 2 * side]
    power = total(chip[: size * size], chip[: size * size], size, lanes)
    ones[:] = 0
    squares[:] = 0
    for i in range(size):
        _add_row(area[(MARGIN + i) * side : (MARGIN + i + 1) * side], np.float32(1), ones, squares)
    for down in range(shifts):
        if down:
            old, new = MARGIN + down - 1, MARGIN + down - 1 + size
            _add_row(area[old * side : (old + 1) * side], np.float32(-1), ones, squares)
            _add_row(area[new * side : (new + 1) * side], np.float32(1), ones, squares)
        _products(chip, area, (size, side, (MARGIN + down) * side + MARGIN), lanes)
        for shift in range(shifts):
            lane, begin = lanes[shift * size : shift * size + size], MARGIN + shift
            one, square = ones[begin : begin + size], squares[begin : begin + size]
            cross, sum_one, sum_square = 0.0, 0.0, 0.0
            for j in range(size):
                cross += lane[j]
                sum_one += one[j]
                sum_square += square[j]
            spread = sum_square - sum_one * sum_one / (size * size)
            scale = math.sqrt(max(power * spread, 0.0))
            found[down * shifts + shift] = cross / scale if scale > 1e-6 * sum_square and scale > 0 else -1.0


@inner
def total(a: Floats, b: Floats, size: int, lanes: Floats) -> float:
    """Add up the products of two squares."""
    lane = lanes[:size]
    lane[:] = 0
    for i in range(size):
        first, second = a[i * size : i * size + size], b[i * size : i * size + size]
        for j in range(size):
            lane[j] += first[j] * second[j]
    total = 0.0
    for j in range(size):
        total += lane[j]
    return total


@inner
def masked_surface(room: Any, size: int, side: int, share: float, found: Floats) -> None:
    """Correlate where pixels are missing: over those valid in both (Padfield 2012, doi:10.1109/TIP.2011.2181402)."""
    chip, known, area, there, lanes = room
    shifts = side - size - 2 * MARGIN + 1
    for number in range(shifts * shifts):
        begin = (MARGIN + number // shifts) * side + MARGIN + number % shifts
        sums = lanes[: 6 * size]
        sums[:] = 0
        for i in range(size):
            t, m = chip[i * size : i * size + size], known[i * size : i * size + size]
            at = begin + i * side
            s, v = area[at : at + size], there[at : at + size]
            n, a, b = sums[:size], sums[size : 2 * size], sums[2 * size : 3 * size]
            c, d, e = sums[3 * size : 4 * size], sums[4 * size : 5 * size], sums[5 * size : 6 * size]
            for j in range(size):
                n[j] += m[j] * v[j]
                a[j] += t[j] * v[j]
                b[j] += s[j] * m[j]
                c[j] += t[j] * t[j] * v[j]
                d[j] += s[j] * s[j] * m[j]
                e[j] += t[j] * s[j]
        n0, a0, b0, c0, d0, e0 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for j in range(size):
            n0 += sums[j]
            a0 += sums[size + j]
            b0 += sums[2 * size + j]
            c0 += sums[3 * size + j]
            d0 += sums[4 * size + j]
            e0 += sums[5 * size + j]
        found[number] = -1.0
        if n0 >= share * size * size:
            scale = math.sqrt(max((c0 - a0 * a0 / n0) * (d0 - b0 * b0 / n0), 0.0))
            if scale > 1e-6 * math.sqrt(c0 * d0) and scale > 0:
                found[number] = (e0 - a0 * b0 / n0) / scale


@inner
def summit(found: Floats, shifts: int) -> tuple[int, float]:
    """Find the highest value, and how far it stands out: over the root mean square of those not beside it."""
    best = 0
    for number in range(shifts * shifts):
        if found[number] > found[best]:
            best = number
    total, count = 0.0, 0
    for number in range(shifts * shifts):
        aside = abs(number // shifts - best // shifts) > 1 or abs(number % shifts - best % shifts) > 1
        if aside and found[number] > -1:
            total += found[number] * found[number]
            count += 1
    return best, (found[best] / math.sqrt(total / count) if count and total > 0 else np.nan)


@inner
def vertex(found: Floats, shifts: int, best: int) -> tuple[float, float]:
    """Give the top of the quadratic (with its cross term) through the logarithms of 3 x 3 values, from the middle."""
    y0, y1, x0, x1, xy, mean_y, mean_x = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(-1, 2):
        for j in range(-1, 2):
            value = math.log(max(found[best + i * shifts + j], 1e-3))
            y0 += value * i
            x0 += value * j
            y1 += value * (3 * i * i - 2)
            x1 += value * (3 * j * j - 2)
            xy += value * i * j
    mean_y, mean_x = y0 / 6, x0 / 6
    # Half the second derivatives are y1 / 6 and x1 / 6.
    down, across, mixed = y1 / 3, x1 / 3, xy / 4
    determinant = down * across - mixed * mixed
    if not (down < 0 and across < 0 and determinant > 0):
        return 0.0, 0.0
    y = -(across * mean_y - mixed * mean_x) / determinant
    x = -(down * mean_x - mixed * mean_y) / determinant
    return min(max(y, -1.0), 1.0), min(max(x, -1.0), 1.0)
