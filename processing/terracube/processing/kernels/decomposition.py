"""Motion east, north and up from what was seen along several directions: least squares, 3 x 3, in closed form.

Per pixel, ``sum_q (d_q - u_q . m)^2 / s_q^2`` (and, with a prior, ``(m_north - n)^2 / s_n^2``) is least. Sums, inverse
and eigenvalues are float64. A pixel's numbers depend on no other pixel.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import inner, kernel

type Floats = NDArray[np.float32]
type Doubles = NDArray[np.float64]

TILE = 256
ROWS = 12
"""Rows of the result: east, north, up; covariances ee, en, eu, nn, nu, uu; condition, misfit, number of looks."""
# Squares of the lengths between which a vector is taken for a unit vector; zeros of a producer are none.
_SHORT, _LONG = 0.96, 1.04
# Rows of the sums: normal matrix (ee, en, eu, nn, nu, uu), right side, the same matrix without weights, looks.
_RIGHT, _PLAIN, _COUNT, _SUMS = 6, 9, 15, 16


@inner
def _weight(value: float, std: float, east: float, north: float, up: float) -> float:
    """Give the weight of an observation; 0 if anything of it is missing."""
    length = east * east + north * north + up * up
    there = (abs(value) < np.inf) & (std > 0.0) & (std < np.inf) & (length > _SHORT) & (length < _LONG)
    weight: float = 1.0 / (std * std) if there else 0.0
    return weight


@inner
def _add(value: Floats, std: Floats, vector: Floats, sums: Doubles) -> None:
    for lane in range(value.size):
        east, north, up = np.float64(vector[0, lane]), np.float64(vector[1, lane]), np.float64(vector[2, lane])
        d = np.float64(value[lane])
        w = _weight(d, np.float64(std[lane]), east, north, up)
        if w > 0.0:
            sums[0, lane] += w * east * east
            sums[1, lane] += w * east * north
            sums[2, lane] += w * east * up
            sums[3, lane] += w * north * north
            sums[4, lane] += w * north * up
            sums[5, lane] += w * up * up
            sums[6, lane] += w * east * d
            sums[7, lane] += w * north * d
            sums[8, lane] += w * up * d
            sums[9, lane] += east * east
            sums[10, lane] += east * north
            sums[11, lane] += east * up
            sums[12, lane] += north * north
            sums[13, lane] += north * up
            sums[14, lane] += up * up
            sums[15, lane] += 1.0


@inner
def _spread_of_two(ee: float, eu: float, uu: float) -> float:
    """Give the ratio of the eigenvalues of a symmetric 2 x 2 matrix; infinite if it is singular."""
    largest = 0.5 * (ee + uu) + math.sqrt(0.25 * (ee - uu) * (ee - uu) + eu * eu)
    least = (ee * uu - eu * eu) / largest
    ratio: float = largest / least if least > 1e-15 * largest else np.inf
    return ratio


@inner
def _spread_of_three(sums: Doubles, lane: int) -> float:
    """Give the ratio of the outer eigenvalues of the matrix without weights, by the angles of its cubic equation."""
    ee, en, eu = sums[9, lane], sums[10, lane], sums[11, lane]
    nn, nu, uu = sums[12, lane], sums[13, lane], sums[14, lane]
    mean = (ee + nn + uu) / 3.0
    a, b, c = ee - mean, nn - mean, uu - mean
    p = math.sqrt((a * a + b * b + c * c + 2.0 * (en * en + eu * eu + nu * nu)) / 6.0)
    if p <= 1e-12 * mean:
        return 1.0
    det = a * (b * c - nu * nu) - en * (en * c - nu * eu) + eu * (en * nu - b * eu)
    angle = math.acos(min(1.0, max(-1.0, det / (2.0 * p * p * p)))) / 3.0
    largest = mean + 2.0 * p * math.cos(angle)
    least = mean + 2.0 * p * math.cos(angle + 2.0 * math.pi / 3.0)
    ratio: float = largest / least if least > 1e-15 * largest else np.inf
    return ratio


@inner
def _solve(sums: Doubles, lane: int, limit: float, prior: bool, out: Floats, pixel: int) -> None:
    """Solve one pixel; its normal matrix has the prior already."""
    ee, en, eu = sums[0, lane], sums[1, lane], sums[2, lane]
    nn, nu, uu = sums[3, lane], sums[4, lane], sums[5, lane]
    spread = _spread_of_two(sums[9, lane], sums[11, lane], sums[14, lane]) if prior else _spread_of_three(sums, lane)
    cee, cen, ceu = nn * uu - nu * nu, eu * nu - en * uu, en * nu - eu * nn
    cnn, cnu, cuu = ee * uu - eu * eu, en * eu - ee * nu, ee * nn - en * en
    det = ee * cee + en * cen + eu * ceu
    condition = math.sqrt(spread)
    known = (condition <= limit) & (det > 0.0)
    scale = 1.0 / det if known else np.nan
    e, n, u = sums[6, lane], sums[7, lane], sums[8, lane]
    out[0, pixel] = scale * (cee * e + cen * n + ceu * u)
    out[1, pixel] = scale * (cen * e + cnn * n + cnu * u)
    out[2, pixel] = scale * (ceu * e + cnu * n + cuu * u)
    out[3, pixel], out[4, pixel], out[5, pixel] = scale * cee, scale * cen, scale * ceu
    out[6, pixel], out[7, pixel], out[8, pixel] = scale * cnn, scale * cnu, scale * cuu
    out[9, pixel] = condition if sums[15, lane] > 0.0 else np.nan
    out[10, pixel] = np.float32(0.0) if known else np.float32(np.nan)
    out[11, pixel] = sums[15, lane]


@inner
def _misfit(value: Floats, std: Floats, vector: Floats, out: Floats) -> None:
    for lane in range(value.size):
        east, north, up = np.float64(vector[0, lane]), np.float64(vector[1, lane]), np.float64(vector[2, lane])
        d = np.float64(value[lane])
        w = _weight(d, np.float64(std[lane]), east, north, up)
        if w > 0.0:
            left = d - east * out[0, lane] - north * out[1, lane] - up * out[2, lane]
            out[10, lane] += w * left * left


@kernel
def decompose(
    values: Floats, stds: Floats, vectors: Floats, north: Floats, north_std: float, limit: float, out: Floats
) -> None:
    """Solve each pixel for its motion.

    Parameters
    ----------
    values : float32 (looks, pixels), C-contiguous
        Motion along each direction; NaN = missing.
    stds : float32 (looks, pixels), C-contiguous
        Standard deviations; what is not above 0 makes the observation missing.
    vectors : float32 (looks, 3, pixels), C-contiguous
        Unit vectors (east, north, up); one whose length is off by more than 2 % makes the observation missing.
    north : float32 (pixels,)
        What is thought of the motion to the north before.
    north_std : float
        Its standard deviation; infinite = nothing is.
    limit : float
        Pixels with a larger condition number are not solved.
    out : float32 (12, pixels), C-contiguous
        Is written: see ``ROWS``. The condition number is the ratio of the largest to the least singular value of the
        matrix of the unit vectors; with a prior, of their columns east and up. The misfit is the sum of the squares of
        the residuals over their standard deviations, the prior's too. NaN where not solved; the number of looks always
        is one.

    Examples
    --------
    >>> vectors = np.float32(np.eye(3)).reshape(3, 3, 1)
    >>> out = np.empty((12, 1), np.float32)
    >>> decompose(np.float32([[1], [2], [3]]), np.ones((3, 1), np.float32), vectors, np.zeros(1, np.float32),
    ...           np.inf, 100.0, out)
    >>> out[:, 0].tolist()
    [1.0, 2.0, 3.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 3.0]
    """
    sums = np.empty((_SUMS, TILE))
    prior = north_std < np.inf
    trust = 1.0 / (north_std * north_std)
    for start in range(0, out.shape[1], TILE):
        stop = min(start + TILE, out.shape[1])
        sums[:] = 0.0
        for look in range(values.shape[0]):
            _add(values[look, start:stop], stds[look, start:stop], vectors[look, :, start:stop], sums)
        for lane in range(stop - start):
            if prior:
                sums[3, lane] += trust
                sums[7, lane] += trust * north[start + lane]
            _solve(sums, lane, limit, prior, out, start + lane)
        for look in range(values.shape[0]):
            _misfit(values[look, start:stop], stds[look, start:stop], vectors[look, :, start:stop], out[:, start:stop])
        for lane in range(start, stop):
            if prior:
                left = np.float64(north[lane]) - out[1, lane]
                out[10, lane] += trust * left * left
