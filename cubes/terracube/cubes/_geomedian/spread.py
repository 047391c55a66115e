"""The three deviations of the dates from the geometric median, and their medians over time."""

from __future__ import annotations

from typing import Any

import numpy as np

from terracube.cubes._geomedian.lanes import (
    ANGLES,
    BANDS,
    BCMAD,
    DATES,
    EMAD,
    FAR,
    HALF,
    INF,
    LANES,
    LENGTH,
    NAN,
    ONE,
    PLACES,
    RATIOS,
    SMAD,
    TWO,
    ZERO,
    Work,
    stage,
    state_size,
)


@stage
def lengths(work: Work, bands: int) -> None:
    """Set the length of every median, and forget the dates counted."""
    for lane in range(LANES):
        work[LENGTH + lane] = ZERO
        work[ANGLES + lane] = ZERO
        work[RATIOS + lane] = ZERO
    for band in range(bands):
        for lane in range(LANES):
            work[LENGTH + lane] += work[BANDS + band * LANES + lane] ** 2
    for lane in range(LANES):
        work[LENGTH + lane] = np.sqrt(work[LENGTH + lane])


def deviator(bands: int) -> Any:
    """Make the stage that writes the three deviations of every date behind the samples."""
    samples, span = state_size(bands), bands * LANES

    @stage
    def deviate(work: Work, kept: int, spread: int) -> None:
        for date in range(kept):
            sample = samples + (date & DATES) * span
            for lane in range(LANES):
                square, own, across, apart, beside = ZERO, ZERO, ZERO, ZERO, ZERO
                for band in range(bands):
                    value, median = work[sample + band * LANES + lane], work[BANDS + band * LANES + lane]
                    less = value - median
                    square += less * less
                    own += value * value
                    across += less * (value + median)
                for band in range(bands):
                    value, median = work[sample + band * LANES + lane], work[BANDS + band * LANES + lane]
                    less, plus = value - median, value + median
                    apart += less if less > ZERO else -less
                    beside += plus if plus > ZERO else -plus
                length, median = np.sqrt(own), work[LENGTH + lane]
                # 1 - cos(x, m) = (|x - m|^2 - (|x| - |m|)^2) / (2 |x| |m|), which keeps the digits 1 - cos loses.
                excess = across / (length + median)
                turned = square - excess * excess
                angle = (turned if turned > ZERO else ZERO) / (TWO * (length * median))
                ratio = apart / beside
                seen = square < FAR
                work[EMAD + lane] = np.sqrt(square) if seen else INF
                work[SMAD + lane] = angle if seen & (angle < INF) else INF
                work[BCMAD + lane] = ratio if seen & (ratio < INF) else INF
                work[ANGLES + lane] += ONE if seen & (angle < INF) else ZERO
                work[RATIOS + lane] += ONE if seen & (ratio < INF) else ZERO
            first, gap = (spread + date * LANES) & PLACES, (kept & DATES) * LANES
            for lane in range(LANES):
                work[first + lane] = work[EMAD + lane]
                work[first + gap + lane] = work[SMAD + lane]
                work[first + 2 * gap + lane] = work[BCMAD + lane]

    return deviate


@stage
def sort(work: Work, start: int, size: int) -> None:
    """Sort the values of every lane by merge exchange (Knuth, The Art of Computer Programming 3, 5.2.2 M)."""
    top = 1
    while top < size:
        top *= 2
    width = top >> 1
    while width > 0:
        reach, bit, apart = top >> 1, 0, width
        while apart > 0:
            for item in range(size - apart):
                if (item & width) == bit:
                    low = (start + item * LANES) & PLACES
                    high = low + LANES + ((apart - 1) & DATES) * LANES
                    for lane in range(LANES):
                        one, two = work[low + lane], work[high + lane]
                        work[low + lane] = two if two < one else one
                        work[high + lane] = one if two < one else two
            apart = reach - width
            reach >>= 1
            bit = width
        width >>= 1


@stage
def middle(work: Work, start: int, counts: int, maps: Work, place: int) -> None:
    """Write the median of the sorted values of every lane: the mean of the two middle ones when even, NaN of none."""
    for lane in range(LANES):
        count = int(work[counts + lane])
        low, high = work[start + (count - 1) // 2 * LANES + lane], work[start + count // 2 * LANES + lane]
        maps[place + lane] = (low + high) * HALF if count > 0 else NAN
