"""What the kernels of the geometric median share: the lanes of a tile and the rows of the work array.

Pixels are worked on in tiles of 64 lanes, innermost in one flat float32 work array. Each name below is the offset of
a row of 64 values; four rows per band follow, then the samples (date, band, lane), then the deviations.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

type Work = NDArray[np.float32]
type Scratch = NDArray[np.float64]

LANES = 64
MAX_DATES = 65535
# Masks that change no valid value: they show the compiler that an offset is not negative, hence that samples, state
# and results do not overlap. Without them it gives up vectorising.
DATES = 0xFFFF
PLACES = (1 << 40) - 1

WEIGHT, NEAR, NEAREST, LEAST, GAIN, MOVING, TOLERANCE, SMOOTH = (row * LANES for row in range(8))
COUNT, CLEAR, LENGTH, ANGLES, RATIOS, EMAD, SMAD, BCMAD = (row * LANES for row in range(8, 16))
BANDS = 16 * LANES

ZERO, HALF, ONE, TWO = (np.float32(value) for value in (0.0, 0.5, 1.0, 2.0))
INF, NAN = np.float32(np.inf), np.float32(np.nan)
# Values from LIMIT on count as missing; a missing sample is stored as ABSENT, whose squared distance exceeds FAR.
LIMIT, ABSENT, FAR = np.float32(1e15), np.float32(1e18), np.float32(1e34)

# No fastmath: every lane computes the same bits wherever it lies. Stages are called by other stages only, so they
# need no wrapper for Python: a tenth less to compile.
_LEAN: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
stage = njit(nogil=True, error_model="numpy", **_LEAN)
inlined = njit(nogil=True, error_model="numpy", inline="always")


def state_size(bands: int) -> int:
    """Offset of the samples in the work array: named rows, then median, pull, last pull and last move per band."""
    return BANDS + 4 * bands * LANES


def work_size(dates: int, bands: int) -> int:
    """Length of the work array: the state, the samples, and the three deviations of every date."""
    return state_size(bands) + max(dates, 1) * (bands + 3) * LANES
