"""Smoothing of series: Whittaker's smoother on dates at any distance, and Savitzky and Golay's moving polynomials.

Whittaker's smoother (1923, doi:10.1017/S0013091500077853; Eilers 2003, doi:10.1021/ac034173t) gives the series z that
minimises ``sum w (y - z)^2 + lambda sum (D z)^2``. Here D is the second derivative by divided differences,

    D_j z = 2 ((z_j+1 - z_j) / (t_j+1 - t_j) - (z_j - z_j-1) / (t_j - t_j-1)) / (t_j+1 - t_j-1),

so dates may lie at any distance. Where all are one unit of time apart, D is ``z_j+1 - 2 z_j + z_j-1`` and lambda is the
classic one; dates h units apart need lambda h^4 for the same curve. A missing value has weight 0. The system has five
diagonals and is symmetric: it is factorised as L D L^T once per pixel and solved for each band.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import inner, kernel
from terracube.processing.kernels.gapfill import LIMIT

TILE = 128
_NAN = np.float32(np.nan)


type Floats = NDArray[np.float32]
type Doubles = NDArray[np.float64]
type Places = NDArray[np.int64]


def whittaker(series: Floats, weights: Floats, times: Doubles, lam: float, out: Floats) -> None:
    """Smooth each pixel's bands with one set of weights.

    Parameters
    ----------
    series : float32 (dates, bands, pixels), C-contiguous
        A date on which a band is missing (NaN, infinite, 1e15 and more) counts for none.
    weights : float32 (dates, pixels), C-contiguous
        0 or more; NaN counts as 0.
    times : float64 (dates,)
        Strictly increasing.
    lam : float
        Positive; in the unit of ``times`` to the fourth.
    out : float32 (dates, bands, pixels), C-contiguous
        Is written: all dates, missing ones too (a straight line beyond the first and last that count). The value
        itself where one date counts, NaN where none does.

    Notes
    -----
    Solved in float64. A pixel's values are the same to the bit wherever it lies. Nothing is checked.
    """
    dates, _, pixels = series.shape
    lanes = min(TILE, max(pixels, 1))
    # Two rows of zeros before the first date, and after the last, spare the ends a case of their own.
    factors, solution = np.zeros((3, dates + 2, lanes)), np.zeros((dates + 4, lanes))
    used = np.empty((dates, lanes), np.float32)
    _whittaker(series, weights, penalty(times, lam), out, used, factors, solution)


def penalty(times: Doubles, lam: float) -> Doubles:
    """Give the three upper diagonals (3, dates) of lambda times D^T D; all 0 for fewer than three dates.

    Examples
    --------
    >>> penalty(np.arange(4.0), 1.0)[0].tolist()
    [1.0, 5.0, 5.0, 1.0]
    """
    found = np.zeros((3, times.size))
    if times.size < 3:
        return found
    rows = differences(times)
    for shift in range(3):
        for i in range(3 - shift):
            found[shift, i : i + rows.shape[1]] += lam * rows[i] * rows[i + shift]
    return found


def differences(times: Doubles) -> Doubles:
    """Give the coefficients (3, dates - 2) of the second divided differences: of the date before, of it, and after.

    Examples
    --------
    >>> differences(np.arange(3.0)).ravel().tolist()
    [1.0, -2.0, 1.0]
    """
    step = np.diff(times)
    span = step[:-1] + step[1:]
    before, after = 2 / (span * step[:-1]), 2 / (span * step[1:])
    return np.stack([before, -before - after, after])


@inner
def _use(values: Floats, used: Floats) -> None:
    """Take the weight from pixels in which a band is missing."""
    for lane in range(used.size):
        used[lane] = used[lane] if abs(values[lane]) < LIMIT else np.float32(0)


@inner
def _weigh(series: Floats, weights: Floats, start: int, stop: int, used: Floats) -> None:
    """Give the weights of a tile that count: of dates on which all bands are there."""
    lanes = stop - start
    for date in range(series.shape[0]):
        row, given = used[date, :lanes], weights[date, start:stop]
        for lane in range(lanes):
            row[lane] = given[lane] if given[lane] > 0 else np.float32(0)
        for band in range(series.shape[1]):
            _use(series[date, band, start:stop], row)


@inner
def _factorise(used: Floats, diagonals: Doubles, lanes: int, factors: Doubles) -> None:
    """Factorise W + P = L D L^T: D, then the first and the second diagonal below that of L; date i is row i + 2."""
    d, c, e = factors[0], factors[1], factors[2]
    for i in range(used.shape[0]):
        middle, next_one, next_two = diagonals[0, i], diagonals[1, i], diagonals[2, i]
        for lane in range(lanes):
            from_last = d[i + 1, lane] * c[i + 1, lane]
            d_i = used[i, lane] + middle - from_last * c[i + 1, lane] - d[i, lane] * e[i, lane] * e[i, lane]
            d[i + 2, lane] = d_i
            c[i + 2, lane] = (next_one - from_last * e[i + 1, lane]) / d_i
            e[i + 2, lane] = next_two / d_i


@inner
def _substitute(series: Floats, band: int, start: int, used: Floats, lanes: int, factors: Doubles, z: Doubles) -> None:
    """Solve for one band with the factors; date i is row i + 2 of the solution."""
    d, c, e = factors[0], factors[1], factors[2]
    dates = used.shape[0]
    for i in range(dates):
        values = series[i, band, start : start + lanes]
        for lane in range(lanes):
            weight = np.float64(used[i, lane])
            weighted = weight * values[lane]
            # Missing values are NaN, or too large: no number times 0.
            weighted = weighted if weight > 0 else 0.0
            z[i + 2, lane] = weighted - c[i + 1, lane] * z[i + 1, lane] - e[i, lane] * z[i, lane]
    for i in range(dates + 1, 1, -1):
        for lane in range(lanes):
            z[i, lane] = z[i, lane] / d[i, lane] - c[i, lane] * z[i + 1, lane] - e[i, lane] * z[i + 2, lane]


@inner
def _few(series: Floats, pixel: int, used: Floats, lane: int, out: Floats) -> None:
    """Give the values of a pixel where at most one date counts."""
    out[:, :, pixel] = _NAN
    for date in range(used.shape[0]):
        if used[date, lane] > 0:
            for band in range(out.shape[1]):
                out[:, band, pixel] = series[date, band, pixel]


@kernel
def _whittaker(
    series: Floats, weights: Floats, diagonals: Doubles, out: Floats, used: Floats, factors: Doubles, z: Doubles
) -> None:
    """Smooth tile by tile."""
    dates, bands, pixels = series.shape
    for start in range(0, pixels, used.shape[1]):
        stop = min(start + used.shape[1], pixels)
        lanes = stop - start
        _weigh(series, weights, start, stop, used)
        _factorise(used, diagonals, lanes, factors)
        for band in range(bands):
            _substitute(series, band, start, used, lanes, factors, z)
            for date in range(dates):
                row, found = out[date, band, start:stop], z[date + 2]
                for lane in range(lanes):
                    row[lane] = np.float32(found[lane])
        for lane in range(lanes):
            # The system is singular then.
            if (used[:, lane] > 0).sum() < 2:
                _few(series, start + lane, used, lane, out)


def v_curve(series: Floats, weights: Floats, times: Doubles, exponents: Doubles) -> float:
    """Choose one lambda for all series by the V-curve of Frasso and Eilers (2015, doi:10.1177/1471082X14549288).

    For each candidate 10^exponent the logarithms of the misfit ``sum w (y - z)^2`` and of the roughness
    ``sum (D z)^2`` are taken, summed over the pixels; lambda lies midway between the two neighbouring candidates that
    are nearest to each other in that plane. With several bands the distances of the bands are added up.

    Parameters
    ----------
    series, weights, times
        As for :func:`whittaker`.
    exponents : float64 (candidates,)
        Increasing, two or more.

    Returns
    -------
    float
        NaN where no two candidates can be compared: nothing to smooth, or every series is a straight line.
    """
    points = np.stack([_fit(series, weights, times, 10.0**exponent) for exponent in exponents])
    with np.errstate(divide="ignore", invalid="ignore"):
        moves = np.diff(np.log10(points), axis=0) / np.diff(exponents)[:, None, None]
    distances = np.sqrt((moves**2).sum(axis=1)).sum(axis=1)
    if not np.isfinite(distances).any():
        return float("nan")
    nearest = int(np.nanargmin(np.where(np.isfinite(distances), distances, np.nan)))
    return float(10 ** (0.5 * (exponents[nearest] + exponents[nearest + 1])))


def _fit(series: Floats, weights: Floats, times: Doubles, lam: float) -> Doubles:
    """Give misfit and roughness (2, bands) of a lambda."""
    smooth = np.empty_like(series)
    whittaker(series, weights, times, lam, smooth)
    z = smooth.astype(np.float64)
    valid = (np.abs(series) < LIMIT).all(axis=1) & (weights > 0)
    used = np.where(valid, weights, 0)[:, None]
    misfit = (used * (np.where(valid[:, None], series, 0) - z) ** 2).sum(axis=0)
    before, at, after = differences(times)[..., None, None]
    rough = ((before * z[:-2] + at * z[1:-1] + after * z[2:]) ** 2).sum(axis=0)
    return np.stack([np.nansum(misfit, axis=1), np.nansum(rough, axis=1)])


def savgol(series: Floats, window: int, order: int, out: Floats) -> None:
    """Replace each value by that of a polynomial fitted to the window around it (Savitzky and Golay 1964).

    Near the ends the polynomial of the first and last whole window is taken (doi:10.1021/ac60214a047; as
    ``scipy.signal.savgol_filter(mode="interp")``).

    Parameters
    ----------
    series : float32 (dates, bands, pixels), C-contiguous
        Dates at one distance from each other, ``window`` of them at least. NaN spreads over the window.
    window : int
        Odd.
    order : int
        Degree of the polynomial, below ``window``.
    out : float32 (dates, bands, pixels), C-contiguous
        Is written; not the series itself.
    """
    dates, bands, pixels = series.shape
    starts, coefficients = savgol_rows(dates, window, order)
    flat, result = series.reshape(dates, bands * pixels), out.reshape(dates, bands * pixels)
    _weighted_sums(flat, starts, coefficients, result, np.empty(max(1, min(4096, flat.shape[1]))))


def savgol_rows(dates: int, window: int, order: int) -> tuple[Places, Doubles]:
    """Give for each date the first date of its window and the coefficients (dates, window).

    Examples
    --------
    >>> starts, rows = savgol_rows(5, 3, 1)
    >>> starts.tolist(), rows[2].round(4).tolist(), rows[0].round(4).tolist()
    ([0, 0, 1, 2, 2], [0.3333, 0.3333, 0.3333], [0.8333, 0.3333, -0.1667])
    """
    half = window // 2
    places = np.arange(dates)
    starts = np.clip(places - half, 0, dates - window)
    # Scaled to -1..1, so that powers stay of one size.
    along = np.arange(-half, half + 1) / max(half, 1)
    powers = np.vander(along, order + 1, increasing=True)
    wanted = powers[places - starts]
    return starts.astype(np.int64), np.ascontiguousarray(wanted @ np.linalg.pinv(powers))


@kernel
def _weighted_sums(series: Floats, starts: Places, coefficients: Doubles, out: Floats, total: Doubles) -> None:
    """Sum the values of each window with its coefficients, in float64."""
    for begin in range(0, series.shape[1], total.size):
        end = min(begin + total.size, series.shape[1])
        for date in range(starts.size):
            sums = total[: end - begin]
            sums[:] = 0
            for step in range(coefficients.shape[1]):
                values, share = series[starts[date] + step, begin:end], coefficients[date, step]
                for lane in range(sums.size):
                    sums[lane] += share * values[lane]
            row = out[date, begin:end]
            for lane in range(sums.size):
                row[lane] = np.float32(sums[lane])
