"""What the kernels over time share: pixels as lanes of a tile, loaded date by date, and sorted side by side.

A tile is LANES pixels; its values lie in one flat work array (date, lane), so that every line below becomes vector
instructions on the numbers of the file, 16 to 64 at a time. What a lane holds depends on its own pixel only.
"""

from __future__ import annotations

from typing import Any

from numba import njit
from numpy.typing import NDArray

LANES = 128
MAX_DATES = 65535
# Masks that change no valid value: they show the compiler that offsets are not negative, hence that rows of the work
# array do not overlap. Without them it gives up vectorising.
_DATES = 0xFFFF
_PLACES = (1 << 40) - 1

_LEAN: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
stage = njit(nogil=True, error_model="numpy", **_LEAN)
kernel = njit(nogil=True, error_model="numpy")

type Work = NDArray[Any]


@stage
def load_date(row: Work, clear: NDArray[Any], nodata: Any, free: bool, top: Any, work: Work, counts: Work) -> bool:
    """Put one date of a tile into ``work``, missing values as ``top``, and count what is there; tell if any is.

    ``row``, ``work`` and ``counts`` hold the LANES pixels; ``clear`` holds as many, or none where all are clear.
    ``free`` means that no number stands for a missing value.
    """
    found = 0
    if clear.size == 0:
        for lane in range(LANES):
            value = row[lane] + row.dtype.type(0)  # turns -0.0 into 0.0: equal values must have equal bits
            seen = ((value != nodata) | free) & (value == value)
            work[lane] = value if seen else top
            counts[lane] += seen
            found += seen
    else:
        for lane in range(LANES):
            value = row[lane] + row.dtype.type(0)
            seen = ((value != nodata) | free) & (value == value) & (clear[lane] != 0)
            work[lane] = value if seen else top
            counts[lane] += seen
            found += seen
    return found > 0


@stage
def sort_lanes(work: Work, size: int) -> None:
    """Sort ``size`` values of every lane by merge exchange (Knuth, The Art of Computer Programming 3, 5.2.2 M)."""
    top = 1
    while top < size:
        top *= 2
    width = top >> 1
    while width > 0:
        reach, bit, apart = top >> 1, 0, width
        while apart > 0:
            for item in range(size - apart):
                if (item & width) == bit:
                    low = (item * LANES) & _PLACES
                    high = low + LANES + ((apart - 1) & _DATES) * LANES
                    for lane in range(LANES):
                        one, two = work[low + lane], work[high + lane]
                        work[low + lane] = two if two < one else one
                        work[high + lane] = one if two < one else two
            apart = reach - width
            reach >>= 1
            bit = width
        width >>= 1
