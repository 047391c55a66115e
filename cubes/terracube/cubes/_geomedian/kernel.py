"""Geometric median of many pixels side by side: the kernels behind :mod:`terracube.cubes.reduce`.

Pixels are worked on in tiles of 64 lanes, innermost in one flat float32 work array, so that every arithmetic line
below becomes vector instructions. What a lane holds and when it stops depends on its own samples only: the result of
a pixel is the same to the bit wherever it lies in a block, whatever its neighbours are.

The number of bands is a constant of each kernel, so that the compiler unrolls the loops over bands inside the lanes
(measured: four times faster than lanes inside bands).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from terracube.cubes._geomedian.lanes import (
    ANGLES,
    BANDS,
    COUNT,
    LANES,
    MOVING,
    NAN,
    NEAREST,
    ONE,
    RATIOS,
    TOLERANCE,
    ZERO,
    Scratch,
    Work,
    inlined,
)
from terracube.cubes._geomedian.newton import finish
from terracube.cubes._geomedian.spread import deviator, lengths, middle, sort
from terracube.cubes._geomedian.steps import loader, puller, scale_pull, start, stepper

type Counts = NDArray[np.uint16]

# A lane that stopped within 64 tolerances of a sample may belong exactly there; Newton's method decides.
_CLOSE = np.float32(64.0**2)

# Explicit, so that a read-only cube does not compile the kernel a second time.
_CUBE = types.Array(types.float32, 1, "C", readonly=True)
_FLAT, _ROWS = types.Array(types.float32, 1, "C"), types.Array(types.float64, 2, "C")
_SIGNATURE = types.void(_CUBE, _FLAT, _ROWS, types.float32, types.int64, _FLAT, types.Array(types.uint16, 1, "C"))


def _settler(bands: int) -> Any:
    """Make the part that iterates until no lane moves, and finishes the lanes that need it."""
    pull, step = puller(bands), stepper(bands)

    @inlined
    def settle(work: Work, kept: int, scratch: Scratch, steps: int) -> None:
        moving = ONE
        while (moving > ZERO) & (steps > 0):
            pull(work, kept)
            scale_pull(work, kept, bands)
            moving = step(work)
            steps -= 1
        for lane in range(LANES):
            close = work[NEAREST + lane] <= _CLOSE * work[TOLERANCE + lane]
            if (work[COUNT + lane] > ZERO) & ((work[MOVING + lane] > ZERO) | close):
                finish(work, BANDS + lane, kept, work[TOLERANCE + lane], scratch)

    return settle


def _writer(bands: int) -> Any:
    """Make the part that writes the results of a tile."""
    deviate = deviator(bands)

    @inlined
    def write(work: Work, kept: int, maps: Work, count: Counts, first: int) -> None:
        for band in range(bands):
            for lane in range(LANES):
                median = work[BANDS + band * LANES + lane]
                maps[band * count.size + first + lane] = median if work[COUNT + lane] > ZERO else NAN
        for lane in range(LANES):
            count[first + lane] = np.uint16(work[COUNT + lane])
        spread = BANDS + (4 + kept) * bands * LANES
        lengths(work, bands)
        deviate(work, kept, spread)
        for part, counts in enumerate((COUNT, ANGLES, RATIOS)):
            sort(work, spread + part * kept * LANES, kept)
            middle(work, spread + part * kept * LANES, counts, maps, (bands + part) * count.size + first)

    return write


@cache
def kernel(bands: int) -> Any:
    """Compile ``run(cube, work, scratch, eps, steps, maps, count)`` for a number of bands; flat arrays but scratch.

    The cube is (time, band, pixel); the maps are the bands of the median, then EMAD, SMAD and BCMAD; the size of
    count gives the number of pixels, at least 64.
    """
    load, settle, write = loader(bands), _settler(bands), _writer(bands)

    @njit(_SIGNATURE, nogil=True, error_model="numpy")
    def run(cube: Work, work: Work, scratch: Scratch, eps: np.float32, steps: int, maps: Work, count: Counts) -> None:
        for tile in range(0, count.size, LANES):
            # The last tile overlaps the one before: the same pixels give the same bits.
            first = min(tile, count.size - LANES)
            kept = load(cube, count.size, first, work)
            start(work, bands, eps * eps)
            settle(work, kept, scratch, steps)
            write(work, kept, maps, count, first)

    return run
