"""Gap filling: observations at irregular dates to values at given dates, one set of time weights for all bands.

A date counts in a pixel when all its bands are there. Between the clear dates before and after a target the value is
interpolated; before the first and after the last clear date that date's value is repeated; a pixel without any clear
date is NaN. This is the contract of the gap filling of the Orfeo ToolBox (Inglada, 2016, doi:10.5281/zenodo.45572),
except that a pixel without any clear date is not left undefined.

The spline is, by the number of clear dates in the pixel, a straight line (fewer than three), the natural cubic spline
(three or four) or that of Akima (1970, doi:10.1145/321607.321609) for more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import inner, kernel

LINEAR, AKIMA = 0, 1
METHODS = {"linear": LINEAR, "akima": AKIMA}
"""By the names that users give."""
# 256 pixels of 60 dates and 10 bands fill half of a second-level cache.
TILE = 256
# As for the geometric median: what is larger counts as missing, so that no difference overflows.
LIMIT = np.float32(1e15)
_NAN = np.float32(np.nan)
# A mask that changes no offset: it shows the compiler that none is negative.
_PLACES = (1 << 40) - 1


type Floats = NDArray[np.float32]
type Doubles = NDArray[np.float64]
type Counts = NDArray[np.uint16]
type Marks = NDArray[np.int32]
type Places = NDArray[np.int64]


def fill(series: Floats, days: Doubles, targets: Doubles, out: Floats, count: Counts, method: int) -> None:
    """Interpolate each pixel's clear dates at the targets.

    Parameters
    ----------
    series : float32 (dates, bands, pixels), C-contiguous
        NaN, infinite values and 1e15 and more in magnitude are missing.
    days : float64 (dates,)
        Strictly increasing.
    targets : float64 (targets,)
        Strictly increasing, in the unit of ``days``.
    out : float32 (targets, bands, pixels), C-contiguous
        Is written: NaN in pixels without a clear date.
    count : uint16 (pixels,)
        Is written: the number of dates on which all bands are there.
    method : int
        ``LINEAR`` or ``AKIMA``.

    Notes
    -----
    A pixel's values are the same to the bit wherever it lies in the array. Nothing is checked. Works on 256 pixels at
    a time, for which it allocates 4 (dates + 1) (bands + 3) + 4 bands bytes each.
    """
    if method == AKIMA:
        _splines(series, days, targets, out, count)
    else:
        rows = np.searchsorted(days, targets, side="right").astype(np.int64)
        _lines(series, days, targets, rows, out, count)


# The loops over lanes. They work on flat arrays from an offset on, because a slice costs as much as 256 lanes, and
# read both values before choosing one, without which they are not vectorised.


@inner
def _see(values: Floats, at: int, marks: Marks) -> None:
    """Unmark the pixels in which a band is missing."""
    at &= _PLACES
    for lane in range(marks.size):
        marks[lane] &= np.int32(abs(values[at + lane]) < LIMIT)


@inner
def _hold(values: Floats, at: int, marks: Marks, held: Floats, before: int, now: int) -> None:
    """Take the values of clear pixels, and those held before of the others."""
    at, before, now = at & _PLACES, before & _PLACES, now & _PLACES
    for lane in range(marks.size):
        new, old = values[at + lane], held[before + lane]
        held[now + lane] = new if marks[lane] else old


@inner
def _hold_day(day: float, marks: Marks, before: Doubles, now: Doubles) -> None:
    """Take the day where pixels are clear, and the one held before in the others."""
    for lane in range(marks.size):
        old = before[lane]
        now[lane] = day if marks[lane] else old


# In place on their own: handed one array twice, the loops above find that they overlap and take the slow way.


@inner
def _meet(held: Floats, at: int, marks: Marks, ahead: Floats, place: int) -> None:
    """Put the values of clear pixels in the place of those met before."""
    at, place = at & _PLACES, place & _PLACES
    for lane in range(marks.size):
        new, old = held[at + lane], ahead[place + lane]
        ahead[place + lane] = new if marks[lane] else old


@inner
def _meet_day(day: float, marks: Marks, until: Doubles) -> None:
    """Put the day in the place of the one met before where pixels are clear."""
    for lane in range(marks.size):
        old = until[lane]
        until[lane] = day if marks[lane] else old


@inner
def _weigh(target: float, since: Doubles, until: Doubles, weight: Floats) -> None:
    """Give the weight of the later of the two clear dates around a target; 0 where there is but one."""
    for lane in range(weight.size):
        share = np.float32(target - since[lane]) / np.float32(until[lane] - since[lane])
        weight[lane] = share if share == share else np.float32(0)


@inner
def _mix(held: Floats, at: int, ahead: Floats, place: int, weight: Floats, out: Floats, to: int) -> None:
    """Interpolate between two values; where one is missing, the other is the value."""
    at, place, to = at & _PLACES, place & _PLACES, to & _PLACES
    for lane in range(weight.size):
        before, after = held[at + lane], ahead[place + lane]
        one = before if before == before else after
        other = after if after == after else one
        out[to + lane] = one + weight[lane] * (other - one)


@inner
def _gather(series: Floats, start: int, clear: Marks, held: Floats, count: Counts) -> None:
    """Read a tile once: which dates are clear, how many, and the last clear values up to each date.

    ``held`` is (1 + dates, bands, lanes): its first row stays NaN, row ``1 + date`` takes the values.
    """
    dates, bands, pixels = series.shape
    width, flat = clear.shape[1], series.reshape(-1)
    lanes = min(width, pixels - start)
    counts = count[start : start + lanes]
    counts[:] = 0
    for date in range(dates):
        marks = clear[date, :lanes]
        marks[:] = 1
        for band in range(bands):
            _see(flat, (date * bands + band) * pixels + start, marks)
        for lane in range(lanes):
            counts[lane] += np.uint16(marks[lane])
        for band in range(bands):
            row = date * bands + band
            _hold(flat, row * pixels + start, marks, held, row * width, (row + bands) * width)


@kernel
def _lines(series: Floats, days: Doubles, targets: Doubles, rows: Places, out: Floats, count: Counts) -> None:
    """Interpolate linearly; ``rows`` says how many dates lie at or before each target."""
    dates, bands, pixels = series.shape
    width, written = min(TILE, max(pixels, 1)), out.reshape(-1)
    held = np.full((dates + 1) * bands * width, _NAN, np.float32)
    clear, since = np.empty((dates, width), np.int32), np.full((dates + 1, width), np.nan)
    ahead, until, weight = np.empty(bands * width, np.float32), np.empty(width), np.empty(width, np.float32)
    for start in range(0, pixels, width):
        lanes = min(width, pixels - start)
        _gather(series, start, clear, held, count)
        for date in range(dates):
            _hold_day(days[date], clear[date, :lanes], since[date], since[date + 1])
        ahead[:] = _NAN
        until[:] = np.nan
        target = targets.size - 1
        # Backwards, so that the values ahead of a row are those of the next clear date.
        for row in range(dates, -1, -1):
            while target >= 0 and rows[target] == row:
                _weigh(targets[target], since[row], until, weight[:lanes])
                for band in range(bands):
                    at, to = (row * bands + band) * width, (target * bands + band) * pixels + start
                    _mix(held, at, ahead, band * width, weight[:lanes], written, to)
                target -= 1
            if row:
                _meet_day(days[row - 1], clear[row - 1, :lanes], until)
                for band in range(bands):
                    _meet(held, (row * bands + band) * width, clear[row - 1, :lanes], ahead, band * width)


@kernel
def _splines(series: Floats, days: Doubles, targets: Doubles, out: Floats, count: Counts) -> None:
    """Interpolate by splines; in float64, pixel by pixel."""
    dates, bands, pixels = series.shape
    width = min(TILE, max(pixels, 1))
    held, clear = np.full((dates + 1) * bands * width, _NAN, np.float32), np.empty((dates, width), np.int32)
    # Days, values and slopes at the clear dates, slopes between them, and what the natural spline needs besides.
    places, room = np.empty(dates, np.int64), np.empty((5, dates + 4))
    for start in range(0, pixels, width):
        _gather(series, start, clear, held, count)
        for lane in range(min(width, pixels - start)):
            found = 0
            for date in range(dates):
                if clear[date, lane]:
                    places[found] = (date + 1) * bands * width + lane
                    room[0, found] = days[date]
                    found += 1
            for band in range(bands):
                for number in range(found):
                    room[1, number] = held[places[number] + band * width]
                _tangents(found, room)
                _evaluate(found, room, targets, out[:, band, start + lane])


@inner
def _tangents(found: int, room: Doubles) -> None:
    """Give the slope of the curve at each of its points."""
    if found > 4:
        _akima(found, room)
    elif found > 2:
        _natural(found, room)
    elif found == 2:
        slope = (room[1, 1] - room[1, 0]) / (room[0, 1] - room[0, 0])
        room[2, 0] = slope
        room[2, 1] = slope


@inner
def _akima(found: int, room: Doubles) -> None:
    """Weigh the slopes on both sides of a point by how much the slopes beyond them change on the other side.

    The slope before point ``i`` is ``slopes[i + 1]``; two more are continued at both ends.
    """
    days, values, tangents, slopes = room[0], room[1], room[2], room[3]
    for i in range(found - 1):
        slopes[i + 2] = (values[i + 1] - values[i]) / (days[i + 1] - days[i])
    for i in (1, 0):
        slopes[i] = 2 * slopes[i + 1] - slopes[i + 2]
    for i in (found + 1, found + 2):
        slopes[i] = 2 * slopes[i - 1] - slopes[i - 2]
    largest = 0.0
    for i in range(found):
        largest = max(largest, abs(slopes[i + 3] - slopes[i + 2]) + abs(slopes[i + 1] - slopes[i]))
    for i in range(found):
        after = abs(slopes[i + 3] - slopes[i + 2])
        before = abs(slopes[i + 1] - slopes[i])
        # Below that both are rounding, and the two slopes are as good as each other.
        if after + before > 1e-9 * largest:
            tangents[i] = (after * slopes[i + 1] + before * slopes[i + 2]) / (after + before)
        else:
            tangents[i] = 0.5 * (slopes[i + 1] + slopes[i + 2])


@inner
def _natural(found: int, room: Doubles) -> None:
    """Solve for the slopes that make the second derivative continuous, and 0 at both ends (Thomas' algorithm)."""
    days, values, tangents, upper = room[0], room[1], room[2], room[4]
    step = days[1] - days[0]
    upper[0] = 0.5
    tangents[0] = 1.5 * (values[1] - values[0]) / step
    for i in range(1, found):
        before = days[i] - days[i - 1]
        rise = (values[i] - values[i - 1]) / before
        if i + 1 < found:
            after = days[i + 1] - days[i]
            lower, middle, higher = 1 / before, 2 * (1 / before + 1 / after), 1 / after
            right = 3 * (rise / before + (values[i + 1] - values[i]) / (after * after))
        else:
            lower, middle, higher, right = 1.0, 2.0, 0.0, 3 * rise
        pivot = middle - lower * upper[i - 1]
        upper[i] = higher / pivot
        tangents[i] = (right - lower * tangents[i - 1]) / pivot
    for i in range(found - 2, -1, -1):
        tangents[i] -= upper[i] * tangents[i + 1]


@inner
def _evaluate(found: int, room: Doubles, targets: Doubles, out: Floats) -> None:
    """Evaluate the cubic pieces (in Hermite's form) at the targets; the ends are repeated beyond them."""
    if not found:
        out[:] = _NAN
        return
    days, values, tangents = room[0], room[1], room[2]
    i = 0
    for number in range(targets.size):
        target = targets[number]
        while i < found and days[i] <= target:
            i += 1
        if i == 0 or i == found:
            out[number] = values[min(i, found - 1)]
            continue
        step = days[i] - days[i - 1]
        u = (target - days[i - 1]) / step
        rest = 1 - u
        bend = (tangents[i - 1] * rest - tangents[i] * u) * step + (values[i] - values[i - 1]) * (2 * u - 1)
        out[number] = values[i - 1] * rest + values[i] * u + u * rest * bend
