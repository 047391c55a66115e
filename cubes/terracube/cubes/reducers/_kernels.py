"""Kernels over time on flat arrays (date, pixel): order statistics, extremes and means, a tile of pixels at a time.

All take ``values`` and ``clear`` flattened, at least LANES pixels, and the number of pixels; ``clear`` may be empty.
The last tile overlaps the one before: the same pixels give the same bits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.cubes.reducers._lanes import LANES, kernel, load_date, sort_lanes

type Flat = NDArray[Any]


@kernel
def order(
    values: Flat, clear: Flat, missing: tuple[Any, bool, Any], fraction: float, fill: Any, work: Flat, out: Flat,
    count: Flat,
) -> None:  # fmt: skip
    """Write the quantile of every pixel, between two dates by linear interpolation; ``fraction`` < 0: the lower median.

    ``missing`` is the number that stands for a missing value, whether there is none, and what sorts behind all.
    """
    nodata, free, top = missing
    pixels = count.size
    for tile in range(0, pixels, LANES):
        first, kept = min(tile, pixels - LANES), 0
        count[first : first + LANES] = 0
        for start in range(first, values.size, pixels):
            row, seen = values[start : start + LANES], clear[start : start + LANES]
            place = work[kept * LANES : (kept + 1) * LANES]
            kept += load_date(row, seen, nodata, free, top, place, count[first : first + LANES])
        sort_lanes(work, kept)
        for lane in range(LANES):
            size = int(count[first + lane])
            if size == 0:
                out[first + lane] = fill
            elif fraction < 0:
                out[first + lane] = work[(size - 1) // 2 * LANES + lane]
            else:
                position = fraction * (size - 1)
                below = min(math.floor(position), size - 1)
                one = np.float64(work[below * LANES + lane])
                two = np.float64(work[min(below + 1, size - 1) * LANES + lane])
                out[first + lane] = _between(one, two, position - below)


@kernel
def _between(one: float, two: float, part: float) -> float:
    """Interpolate from the nearer end, so that both ends are met exactly and equal ends stay as they are."""
    if part == 0.0 or one == two:
        return one
    return two - (two - one) * (1.0 - part) if part >= 0.5 else one + (two - one) * part


@kernel
def extreme(
    values: Flat, clear: Flat, missing: tuple[Any, bool, Any], largest: bool, fill: Any, work: Flat, out: Flat,
    count: Flat,
) -> None:  # fmt: skip
    """Write the least or the largest value of every pixel; what stands for missing must lose against every value."""
    nodata, free, worst = missing
    pixels = count.size
    for tile in range(0, pixels, LANES):
        first = min(tile, pixels - LANES)
        best = out[first : first + LANES]
        count[first : first + LANES] = 0
        best[:] = worst
        for start in range(first, values.size, pixels):
            row, seen = values[start : start + LANES], clear[start : start + LANES]
            load_date(row, seen, nodata, free, worst, work, count[first : first + LANES])
            for lane in range(LANES):
                better = work[lane] > best[lane] if largest else work[lane] < best[lane]
                best[lane] = work[lane] if better else best[lane]
        for lane in range(LANES):
            best[lane] = best[lane] if count[first + lane] > 0 else fill


@kernel
def average(
    values: Flat, clear: Flat, missing: tuple[Any, bool, Any], work: Flat, sums: Flat, out: Flat, count: Flat
) -> None:
    """Write the mean of every pixel, added up in float64 in the order of the dates; NaN where nothing was seen."""
    nodata, free, zero = missing
    pixels = count.size
    for tile in range(0, pixels, LANES):
        first = min(tile, pixels - LANES)
        count[first : first + LANES] = 0
        sums[:] = 0.0
        for start in range(first, values.size, pixels):
            row, seen = values[start : start + LANES], clear[start : start + LANES]
            load_date(row, seen, nodata, free, zero, work, count[first : first + LANES])
            for lane in range(LANES):
                sums[lane] += work[lane]
        for lane in range(LANES):
            size = count[first + lane]
            out[first + lane] = sums[lane] / size if size > 0 else np.nan
