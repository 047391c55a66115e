"""How well pairs agree with a series, pixel by pixel: sums over residuals, and weights against contradictions.

Rows of :data:`~terracube.processing.kernels.laplacian.LANES` pixels; a lane never depends on its neighbours.

References
----------
Pepe and Lanari 2006 (doi:10.1109/TGRS.2006.873207) for the temporal coherence; Geman and McClure 1987 for the weights
of :func:`redescend`.
"""

from __future__ import annotations

import math

import numpy as np

from terracube.processing.kernels.compiling import inner
from terracube.processing.kernels.laplacian import LANES, Tile

LEAST_RESIDUAL = np.float32(0.1)
"""Below this residual (rad, or pixels) absolute values are rounded off to squares, so that weights stay finite."""

_LEAST_SHARE = np.float32(1e-3)
_ZERO, _HALF, _ONE, _TWO = (np.float32(k) for k in (0, 0.5, 1, 2))
# 2 pi in two parts, the first exact in few bits; and added, it leaves no room for a fraction.
_TURN_HIGH, _TURN_LOW = np.float32(6.28125), np.float32(2 * math.pi - 6.28125)
_PER_TURN, _ROUNDER = np.float32(0.5 / math.pi), np.float32(1.5 * 2**23)
# Minimax polynomials of sin(z) / z and cos(z) in z^2 for |z| <= pi / 2, by weighted least squares, rounded to float32.
_SINE = tuple(np.float32(k) for k in (1.0, -0.16666658222675323, 0.008333050645887852, -0.00019809075456578285,
                                      2.6052248358610086e-06))  # fmt: skip
_COSINE = tuple(np.float32(k) for k in (1.0, -0.5, 0.04166663810610771, -0.0013888361863791943, 2.476016197761055e-05,
                                        -2.605149518331018e-07))  # fmt: skip


@inner
def clear(rows: Tile) -> None:
    """Set a row to zero."""
    for lane in range(rows.size):
        rows[lane] = _ZERO


@inner
def copy(rows: Tile, target: Tile) -> None:
    """Copy a row."""
    for lane in range(LANES):
        target[lane] = rows[lane]


@inner
def add_turn(residual: Tile, weight: Tile, cosines: Tile, sines: Tile) -> None:
    """Add the unit vector at the angle of a residual, by the sine and cosine of its half."""
    for lane in range(LANES):
        e = residual[lane]
        turns = (e * _PER_TURN + _ROUNDER) - _ROUNDER
        half = ((e - turns * _TURN_HIGH) - turns * _TURN_LOW) * _HALF
        z = half * half
        sine = half * (_SINE[0] + z * (_SINE[1] + z * (_SINE[2] + z * (_SINE[3] + z * _SINE[4]))))
        cosine = _COSINE[3] + z * (_COSINE[4] + z * _COSINE[5])
        cosine = _COSINE[0] + z * (_COSINE[1] + z * (_COSINE[2] + z * cosine))
        there = weight[lane] > _ZERO
        cosines[lane] += _ONE - _TWO * sine * sine if there else _ZERO
        sines[lane] += _TWO * sine * cosine if there else _ZERO


@inner
def add_squares(residual: Tile, weight: Tile, squares: Tile, weighted: Tile) -> None:
    """Add the square of each residual, plain and weighted."""
    for lane in range(LANES):
        square = residual[lane] * residual[lane]
        squares[lane] += square
        weighted[lane] += weight[lane] * square


@inner
def soften(residual: Tile, weight: Tile, out: Tile) -> None:
    """Weigh so that absolute values count instead of squares."""
    for lane in range(LANES):
        size = abs(residual[lane])
        size = size if size > LEAST_RESIDUAL else LEAST_RESIDUAL
        out[lane] = np.float32(math.sqrt(weight[lane])) / size


@inner
def redescend(residual: Tile, weight: Tile, bound: Tile, out: Tile) -> None:
    """Weigh by Geman and McClure: what lies far beyond the bound (squared) hardly counts."""
    for lane in range(LANES):
        v = weight[lane]
        share = bound[lane] / (bound[lane] + v * residual[lane] * residual[lane])
        # A date with contradicting pairs only is still held, by a little.
        share = share if share > _LEAST_SHARE else _LEAST_SHARE
        out[lane] = v * share * share


@inner
def largest(residual: Tile, weight: Tile, top: Tile, total: Tile) -> None:
    """Keep the largest weighted square, and add up the weights."""
    for lane in range(LANES):
        v = weight[lane] * residual[lane] * residual[lane]
        top[lane] = v if v > top[lane] else top[lane]
        total[lane] += weight[lane]


@inner
def below(residual: Tile, weight: Tile, middle: Tile, count: Tile) -> None:
    """Count the pairs whose weighted square is not above a middle."""
    for lane in range(LANES):
        v = weight[lane] * residual[lane] * residual[lane]
        count[lane] += _ONE if (v <= middle[lane]) & (weight[lane] > _ZERO) else _ZERO


@inner
def add_cut(residual: Tile, weight: Tile, most: Tile, total: Tile) -> None:
    """Add weighted squares, each at most a bound."""
    for lane in range(LANES):
        v = weight[lane] * residual[lane] * residual[lane]
        total[lane] += v if v < most[lane] else most[lane]
