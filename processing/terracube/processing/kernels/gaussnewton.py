"""Refine the match of a chip by Gauss-Newton steps: its motion, how that changes across it, gain and bias.

The steps need derivatives of the first image alone, so that the normal equations are set up once per point and noise
of the second image does not draw the answer to the middle of a pixel.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import inner, part

type Floats = NDArray[np.float32]
type Doubles = NDArray[np.float64]

MARGIN, RIM = 3, 2
"""Pixels around the places searched, for the six taps of the interpolation; around the chip, for its gradient."""
UNKNOWNS = 8
"""Motion along y and x; its change along y and x of each; gain and bias."""
_LEAST_GAIN = 1e-3
_SETTLED, _UNSETTLED = 4e-3, 0.1


@inner
def taps(part: float, out: Floats) -> float:
    """Write the six weights that interpolate at ``part`` (0 to 1) between the third and the fourth of six values.

    Lagrange's polynomial of the fifth degree. Gives the sum of their squares: what is left of noise.
    """
    total = 0.0
    for k in range(6):
        weight = 1.0
        for other in range(6):
            if other != k:
                weight *= (part + 2 - other) / (k - other)
        out[k] = weight
        total += weight * weight
    return total


@inner
def gradients(rimmed: Floats, known: Floats, size: int, out: tuple[Floats, Floats, Floats]) -> None:
    """Differentiate the chip along y and x; the pixels where that can be done are one in the last array, else zero."""
    grad_y, grad_x, one = out
    side = size + 2 * RIM
    near, far = np.float32(2 / 3), np.float32(1 / 12)
    for i in range(size):
        at, to = (i + RIM) * side + RIM, i * size
        gy, gx, w = grad_y[to : to + size], grad_x[to : to + size], one[to : to + size]
        a, b = rimmed[at - 1 : at - 1 + size], rimmed[at + 1 : at + 1 + size]
        c, d = rimmed[at - 2 : at - 2 + size], rimmed[at + 2 : at + 2 + size]
        for j in range(size):
            gx[j] = near * (b[j] - a[j]) - far * (d[j] - c[j])
        a, b = rimmed[at - side : at - side + size], rimmed[at + side : at + side + size]
        c, d = rimmed[at - 2 * side : at - 2 * side + size], rimmed[at + 2 * side : at + 2 * side + size]
        for j in range(size):
            gy[j] = near * (b[j] - a[j]) - far * (d[j] - c[j])
        middle = known[at : at + size]
        for j in range(size):
            w[j] = middle[j]
        for k in range(1, RIM + 1):
            a, b = known[at - k : at - k + size], known[at + k : at + k + size]
            c, d = known[at - k * side : at - k * side + size], known[at + k * side : at + k * side + size]
            for j in range(size):
                w[j] *= (a[j] * b[j]) * (c[j] * d[j])
        for j in range(size):
            gx[j] *= w[j]
            gy[j] *= w[j]


@inner
def resample(area: Floats, side: int, corner: tuple[int, int], size: int, weights: Doubles, room: Floats) -> Floats:
    """Interpolate a square of the area: ``corner`` is the first of its six taps, ``weights`` (2, 6) are of y and x."""
    wide = size + 5
    between, out = room[: size * wide], room[size * wide : size * wide + size * size]
    w0, w1, w2 = np.float32(weights[0, 0]), np.float32(weights[0, 1]), np.float32(weights[0, 2])
    w3, w4, w5 = np.float32(weights[0, 3]), np.float32(weights[0, 4]), np.float32(weights[0, 5])
    for i in range(size):
        at = (corner[0] + i) * side + corner[1]
        a, b, c = area[at : at + wide], area[at + side : at + side + wide], area[at + 2 * side : at + 2 * side + wide]
        at += 3 * side
        d, e, f = area[at : at + wide], area[at + side : at + side + wide], area[at + 2 * side : at + 2 * side + wide]
        row = between[i * wide : i * wide + wide]
        for j in range(wide):
            row[j] = ((w0 * a[j] + w5 * f[j]) + (w1 * b[j] + w4 * e[j])) + (w2 * c[j] + w3 * d[j])
    w0, w1, w2 = np.float32(weights[1, 0]), np.float32(weights[1, 1]), np.float32(weights[1, 2])
    w3, w4, w5 = np.float32(weights[1, 3]), np.float32(weights[1, 4]), np.float32(weights[1, 5])
    for i in range(size):
        at = i * wide
        a, b, c = between[at : at + size], between[at + 1 : at + 1 + size], between[at + 2 : at + 2 + size]
        d, e, f = between[at + 3 : at + 3 + size], between[at + 4 : at + 4 + size], between[at + 5 : at + 5 + size]
        row = out[i * size : i * size + size]
        for j in range(size):
            row[j] = ((w0 * a[j] + w5 * f[j]) + (w1 * b[j] + w4 * e[j])) + (w2 * c[j] + w3 * d[j])
    return out


@part
def _gather_normals(chip: Floats, grads: Any, size: int, lanes: Floats) -> None:
    """Add up, per column, the products of derivatives and values with powers of the row: 20 sums."""
    grad_y, grad_x, one = grads
    lanes[: 20 * size] = 0
    middle = np.float32(0.5 * (size - 1))
    for i in range(size):
        at = i * size
        gy, gx, w, t = grad_y[at : at + size], grad_x[at : at + size], one[at : at + size], chip[at : at + size]
        y = np.float32(i) - middle
        s = lanes[: 20 * size].reshape(20, size)
        p0, p1, p2, p3, p4, p5, p6, p7, p8 = s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8]
        for j in range(size):
            yy, xy, xx = gy[j] * gy[j], gx[j] * gy[j], gx[j] * gx[j]
            p0[j] += yy
            p1[j] += yy * y
            p2[j] += yy * y * y
            p3[j] += xy
            p4[j] += xy * y
            p5[j] += xy * y * y
            p6[j] += xx
            p7[j] += xx * y
            p8[j] += xx * y * y
        q0, q1, q2, q3, q4, q5, q6, q7 = s[9], s[10], s[11], s[12], s[13], s[14], s[15], s[16]
        q8, q9, q10 = s[17], s[18], s[19]
        for j in range(size):
            a, b, c = gy[j] * t[j], gx[j] * t[j], w[j] * t[j]
            q0[j] += a
            q1[j] += a * y
            q2[j] += b
            q3[j] += b * y
            q4[j] += gy[j]
            q5[j] += gy[j] * y
            q6[j] += gx[j]
            q7[j] += gx[j] * y
            q8[j] += c * t[j]
            q9[j] += c
            q10[j] += w[j]


@inner
def _moments(lanes: Floats, sums: int, size: int, out: Doubles) -> None:
    """Add up lanes times the powers 0, 1 and 2 of the column: (sums, 3)."""
    for number in range(sums):
        m0, m1, m2 = 0.0, 0.0, 0.0
        for j in range(size):
            value, x = lanes[number * size + j], j - 0.5 * (size - 1)
            m0 += value
            m1 += value * x
            m2 += value * x * x
        out[number, 0], out[number, 1], out[number, 2] = m0, m1, m2


@part
def _normal_matrix(m: Doubles, n: Doubles) -> None:
    """Fill the matrix of the unknowns (y, x, y by row, y by column, x by row, x by column, gain, bias)."""
    for block in range(3):
        at = 3 * block
        a, b = (0 if block < 2 else 1), (0 if block == 0 else 1)
        rows, cols = (a, 2 + 2 * a, 3 + 2 * a), (b, 2 + 2 * b, 3 + 2 * b)
        # Products of (1, row, column) with (1, row, column).
        n[rows[0], cols[0]] = m[at, 0]
        n[rows[0], cols[1]] = n[rows[1], cols[0]] = m[at + 1, 0]
        n[rows[0], cols[2]] = n[rows[2], cols[0]] = m[at, 1]
        n[rows[1], cols[1]] = m[at + 2, 0]
        n[rows[1], cols[2]] = n[rows[2], cols[1]] = m[at + 1, 1]
        n[rows[2], cols[2]] = m[at, 2]
    for axis in range(2):
        for other in range(2):
            at = 9 + 4 * other + 2 * axis
            n[axis, 6 + other] = m[at, 0]
            n[2 + 2 * axis, 6 + other] = m[at + 1, 0]
            n[3 + 2 * axis, 6 + other] = m[at, 1]
    n[6, 6], n[6, 7], n[7, 7] = m[17, 0], m[18, 0], m[19, 0]
    for i in range(UNKNOWNS):
        for j in range(i):
            n[i, j] = n[j, i]


@part
def _factor(n: Doubles) -> bool:
    """Factor in place after Cholesky; False if the chip cannot tell the unknowns apart."""
    for i in range(UNKNOWNS):
        before = n[i, i]
        for j in range(i + 1):
            value = n[i, j]
            for k in range(j):
                value -= n[i, k] * n[j, k]
            if i == j:
                if not value > 1e-6 * before:
                    return False
                n[i, i] = math.sqrt(value)
            else:
                n[i, j] = value / n[j, j]
    return True


@inner
def _solve(n: Doubles, right: Doubles) -> None:
    for i in range(UNKNOWNS):
        value = right[i]
        for k in range(i):
            value -= n[i, k] * right[k]
        right[i] = value / n[i, i]
    for i in range(UNKNOWNS - 1, -1, -1):
        value = right[i]
        for k in range(i + 1, UNKNOWNS):
            value -= n[k, i] * right[k]
        right[i] = value / n[i, i]


@part
def _project(moved: Floats, chip: Floats, grads: Any, size: int, lanes: Floats) -> None:
    """Add up, per column, products of the moved square with the columns of the equations, and with itself: 7 sums."""
    grad_y, grad_x, one = grads
    lanes[: 7 * size] = 0
    s = lanes[: 7 * size].reshape(7, size)
    s0, s1, s2, s3, s4, s5, s6 = s[0], s[1], s[2], s[3], s[4], s[5], s[6]
    middle = np.float32(0.5 * (size - 1))
    for i in range(size):
        at = i * size
        gy, gx, w = grad_y[at : at + size], grad_x[at : at + size], one[at : at + size]
        t, r = chip[at : at + size], moved[at : at + size]
        y = np.float32(i) - middle
        for j in range(size):
            a, b, c = gy[j] * r[j], gx[j] * r[j], w[j] * r[j]
            s0[j] += a
            s1[j] += a * y
            s2[j] += b
            s3[j] += b * y
            s4[j] += c * t[j]
            s5[j] += c
            s6[j] += c * r[j]


@part
def _right_side(m: Doubles, right: Doubles) -> None:
    right[0], right[2], right[3] = m[0, 0], m[1, 0], m[0, 1]
    right[1], right[4], right[5] = m[2, 0], m[3, 0], m[2, 1]
    right[6], right[7] = m[4, 0], m[5, 0]


@part
def _judge(equations: Any, squares: float, known: tuple[float, float], into: Doubles) -> None:
    """Write what the last step tells beside the motion: variances from what is left over, change of motion, gain."""
    normal, right, beside = equations
    valid, kept = known
    rest, gain = squares, right[6]
    for k in range(UNKNOWNS):
        rest -= right[k] * beside[k]
    # What is left of the noise of the second image after interpolation is less than what it does to the motion.
    noise = max(rest, 0.0) / (valid - UNKNOWNS) * 2 / (1 + kept)
    for k in range(4):
        into[4 + k] = -right[2 + k] / gain
    into[8], into[9], into[10] = gain, right[7], noise
    for axis in range(2):
        right[:] = 0
        right[axis] = 1
        _solve(normal, right)
        into[2 + axis] = noise * right[axis] / (gain * gain)


@part
def refine(room: Any, dims: tuple[int, int, int, int], start: tuple[float, float], into: Doubles) -> bool:
    """Refine a match.

    Parameters
    ----------
    room : tuple
        Chip, its three gradients as of :func:`gradients`, area, lanes, room for :func:`resample`, and work in float64.
    dims : tuple of int
        Size of the chip, side of the area, steps at most, steps along each side of the search.
    start : tuple of float
        Motion along y and x, from the middle of the area.
    into : float64 (12,)
        Is written: motion along y and x, their variances, change of motion (4), gain, bias, rest, steps.

    Returns
    -------
    bool
        Whether it settled.
    """
    chip, grads, area, lanes, between, normal, m, work = room
    size, side, most, reach = dims
    weights, right, beside = work[:12].reshape(2, 6), work[12 : 12 + UNKNOWNS], work[24 : 24 + UNKNOWNS]
    _gather_normals(chip, grads, size, lanes)
    _moments(lanes, 20, size, m)
    _normal_matrix(m, normal)
    valid = m[19, 0]
    if valid < 4 * UNKNOWNS or not _factor(normal):
        return False
    y, x, kept = start[0], start[1], 1.0
    step_y, step_x = 1.0, 1.0
    for number in range(most):
        row, column = math.floor(y), math.floor(x)
        if not (-reach - 1 <= row <= reach and -reach - 1 <= column <= reach):
            return False
        kept = taps(y - row, weights[0]) * taps(x - column, weights[1])
        moved = resample(area, side, (row + reach + 1, column + reach + 1), size, weights, between)
        _project(moved, chip, grads, size, lanes)
        _moments(lanes, 7, size, m)
        _right_side(m, right)
        for k in range(UNKNOWNS):
            beside[k] = right[k]
        _solve(normal, right)
        gain = right[6]
        if not gain > _LEAST_GAIN:
            return False
        step_y, step_x = -right[0] / gain, -right[1] / gain
        y, x = y + step_y, x + step_x
        into[11] = number + 1
        if not abs(step_y) + abs(step_x) < 4 or not abs(y - start[0]) + abs(x - start[1]) < 3:
            return False
        if abs(step_y) + abs(step_x) < _SETTLED:
            break
    into[0], into[1] = y, x
    _judge((normal, right, beside), m[6, 0], (valid, kept), into)
    return abs(step_y) + abs(step_x) < _UNSETTLED
