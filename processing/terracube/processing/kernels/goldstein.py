"""The adaptive filter of Goldstein and Werner: each patch's spectrum times a power of its own smoothed magnitude.

Patches lie at multiples of a step, each is transformed by an own Fourier transform (Stockham, powers of two) beside
others of its row, which do not meet it, and patches are added in the order of rows and columns: the bits of a pixel
depend on the pixels of the patches above it alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.compiling import inner, kernel
from terracube.processing.kernels.lanes import exp2_lane, log2_lane

LANES = 8
"""Patches that are transformed beside each other."""
_LEAST = np.float32(1e-30)


def filtered(
    values: NDArray[np.complex64],
    coherence: NDArray[np.float32] | None,
    *,
    alpha: float,
    patch: int,
    step: int,
    radius: int,
) -> NDArray[np.complex64]:
    """Filter an array whose first pixel is the corner of patches.

    Parameters
    ----------
    values : complex64 array (y, x)
        What is not finite is missing: it counts as zero, and stays missing.
    coherence : float32 array (y, x), optional
        With it, the exponent of a patch is one minus the mean of its coherence (Baran et al. 2003), between 0 and 1;
        0 in a patch without any.
    alpha : float
        Without coherence: the exponent.
    patch : int
        Pixels along each side, a power of two.
    step : int
        From a patch to the next; divides half a patch.
    radius : int
        The magnitude is smoothed by a window of 2 radius + 1 frequencies along each axis.

    Returns
    -------
    complex64 array (y, x)

    Examples
    --------
    >>> fringe = np.exp(0.25j * np.pi * np.arange(32))[None].repeat(32, 0).astype("complex64")
    >>> found = filtered(fringe, None, alpha=0.8, patch=8, step=4, radius=0)
    >>> bool(np.allclose(found[8:24, 8:24], fringe[8:24, 8:24], atol=1e-5))
    True
    """
    out = np.zeros(values.shape, np.complex64)
    angles = -2 * np.pi * np.arange(patch // 2) / patch
    twiddles = np.stack([np.cos(angles), np.sin(angles)]).astype("float32")
    window = 1 - np.abs(2 * np.arange(patch) + 1 - patch) / patch
    # A triangle's copies at the steps add up to patch / (2 step); the transforms there and back to patch^2.
    window = (window * 2 * step / patch**2).astype("float32")
    work = np.zeros((6, patch * patch * LANES), np.float32)
    known = np.zeros((0, 0), np.float32) if coherence is None else np.ascontiguousarray(coherence, np.float32)
    source = np.ascontiguousarray(values, np.complex64)
    _filter(source, known, np.float32(alpha), (patch, step, radius), (twiddles, window), work, out)
    return out


@kernel
def _filter(values: Any, coherence: Any, alpha: Any, sizes: Any, tables: Any, work: Any, out: Any) -> None:
    patch, step, radius = sizes
    twiddles, window = tables
    rows, columns = values.shape
    powers = np.empty(LANES, np.float32)
    for top in range(step - patch, rows, step):
        for left in range(step - patch, columns, step * LANES):
            corner = (top, left)
            _gather(values, corner, patch, step, work)
            _exponents(values, coherence, alpha, corner, (patch, step), powers)
            at = 0
            # Columns, rows, then back: rows, columns. One place in the code for each step keeps it quick to compile.
            for turn in range(4):
                at = _transform(work, at, patch, twiddles, np.float32(1 if turn < 2 else -1))
                if turn == 1:
                    _weigh(work, at, patch, radius, powers)
                elif turn != 3:
                    at = _turn(work, at, patch)
            _add(work, at, corner, (patch, step), window, out)
    for y in range(rows):
        for x in range(columns):
            total = values[y, x].real + values[y, x].imag
            if total - total != 0.0:
                out[y, x] = complex(np.nan, np.nan)


@inner
def _gather(values: Any, corner: Any, patch: int, step: int, work: Any) -> None:
    """Lay out the patches, zero where there is nothing: (row, column, lane)."""
    top, left = corner
    rows, columns = values.shape
    for row in range(patch):
        y = top + row
        for lane in range(LANES):
            for column in range(patch):
                x = left + lane * step + column
                re, im = np.float32(0), np.float32(0)
                if 0 <= y < rows and 0 <= x < columns:
                    value = values[y, x]
                    total = value.real + value.imag
                    if total - total == 0.0:
                        re, im = value.real, value.imag
                place = (row * patch + column) * LANES + lane
                work[0, place] = re
                work[1, place] = im


@inner
def _exponents(values: Any, coherence: Any, alpha: Any, corner: Any, sizes: Any, powers: Any) -> None:
    """Give each lane its exponent."""
    (top, left), (patch, step) = corner, sizes
    rows, columns = values.shape
    for lane in range(LANES):
        powers[lane] = alpha
        if coherence.size:
            total, count = 0.0, 0
            start = left + lane * step
            for y in range(max(0, top), min(rows, top + patch)):
                for x in range(max(0, start), min(columns, start + patch)):
                    known = coherence[y, x]
                    there = values[y, x].real + values[y, x].imag
                    if known == known and there - there == 0.0:
                        total += known
                        count += 1
            powers[lane] = min(max(1.0 - total / count, 0.0), 1.0) if count else 0.0


@inner
def _transform(work: Any, at: int, patch: int, twiddles: Any, sign: Any) -> int:
    """Transform along rows; from the buffer ``at`` (0 or 2) to the one whose number is given back."""
    width = patch * LANES
    half, stride = patch // 2, 1
    while half >= 1:
        to = 2 - at
        length = stride * width
        for number in range(half):
            cosine, sine = twiddles[0, number * stride], sign * twiddles[1, number * stride]
            _butterfly(
                work[at], work[at + 1], work[to], work[to + 1],
                (number * length, (number + half) * length, 2 * number * length), length, (cosine, sine),
            )  # fmt: skip
        at = to
        half //= 2
        stride *= 2
    return at


@inner
def _butterfly(re: Any, im: Any, to_re: Any, to_im: Any, places: Any, length: int, factor: Any) -> None:
    """Write sums, and differences that are turned, of two stretches of numbers."""
    # Slices, because an index that may be negative makes no vectors; and each loop writes to one array alone, because
    # with more there would be too many tests of overlap.
    (one, two, to), (cosine, sine) = places, factor
    re_one, im_one = re[one : one + length], im[one : one + length]
    re_two, im_two = re[two : two + length], im[two : two + length]
    re_sum, im_sum = to_re[to : to + length], to_im[to : to + length]
    re_turned, im_turned = to_re[to + length : to + 2 * length], to_im[to + length : to + 2 * length]
    for n in range(length):
        re_sum[n] = re_one[n] + re_two[n]
    for n in range(length):
        im_sum[n] = im_one[n] + im_two[n]
    for n in range(length):
        re_turned[n] = (re_one[n] - re_two[n]) * cosine - (im_one[n] - im_two[n]) * sine
    for n in range(length):
        im_turned[n] = (re_one[n] - re_two[n]) * sine + (im_one[n] - im_two[n]) * cosine


@inner
def _turn(work: Any, at: int, patch: int) -> int:
    """Swap rows and columns."""
    to = 2 - at
    for part in range(2):
        source, found = work[at + part], work[to + part]
        for row in range(patch):
            for column in range(patch):
                place, new = (row * patch + column) * LANES, (column * patch + row) * LANES
                for lane in range(LANES):
                    found[new + lane] = source[place + lane]
    return to


@inner
def _weigh(work: Any, at: int, patch: int, radius: int, powers: Any) -> None:
    """Multiply the spectrum by its smoothed magnitude, over the largest, to the power of the lane."""
    re, im, smooth, other = work[at], work[at + 1], work[4], work[5]
    width = patch * LANES
    size = patch * width
    for n in range(size):
        smooth[n] = np.sqrt(re[n] * re[n] + im[n] * im[n])
    if radius:
        for row in range(patch):
            _around(smooth, other, row * width, width, radius, LANES)
        _around(other, smooth, 0, size, radius, width)
    most = np.zeros(LANES, np.float32)
    for place in range(0, size, LANES):
        for lane in range(LANES):
            most[lane] = max(most[lane], smooth[place + lane])
    for lane in range(LANES):
        most[lane] = np.float32(1) / most[lane] if most[lane] > 0 else np.float32(0)
    for place in range(0, size, LANES):
        for lane in range(LANES):
            smooth[place + lane] = powers[lane] * log2_lane(smooth[place + lane] * most[lane] + _LEAST)
    for n in range(size):
        smooth[n] = exp2_lane(smooth[n])
    for n in range(size):
        re[n] *= smooth[n]
    for n in range(size):
        im[n] *= smooth[n]


@inner
def _around(source: Any, found: Any, start: int, length: int, radius: int, shift: int) -> None:
    """Add up what lies 0, 1, ... ``radius`` shifts before and after each number of a stretch that is a circle."""
    centre, total = source[start : start + length], found[start : start + length]
    for n in range(length):
        total[n] = centre[n]
    for far in range(1, radius + 1):
        for way in (-far, far):
            turn = (way * shift) % length
            after, before = centre[turn:], centre[:turn]
            last = total[length - turn :]
            for n in range(length - turn):
                total[n] += after[n]
            for n in range(turn):
                last[n] += before[n]


@inner
def _add(work: Any, at: int, corner: Any, sizes: Any, window: Any, out: Any) -> None:
    """Add the patches to the image, weighted by the window, one after the other."""
    (top, left), (patch, step) = corner, sizes
    rows, columns = out.shape
    re, im = work[at], work[at + 1]
    for lane in range(LANES):
        start = left + lane * step
        for row in range(max(0, -top), min(patch, rows - top)):
            for column in range(max(0, -start), min(patch, columns - start)):
                place = (row * patch + column) * LANES + lane
                weight = window[row] * window[column]
                out[top + row, start + column] += complex(re[place] * weight, im[place] * weight)
