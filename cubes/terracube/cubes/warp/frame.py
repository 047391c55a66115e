"""How a block's geometry is laid out in arrays, known to the code that builds it and to the kernels that read it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

type Array = NDArray[Any]
# How functions are compiled that only compiled ones call, and those that Python calls.
INNER: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
KERNEL: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
# frame, cells, nodes
type Geometry = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]

# Root cells of 2^5 target pixels on the canonical index.
ROOT_BITS = 5
ROOT = 1 << ROOT_BITS
# Nodes are kept to 2^-20 of a source pixel; interpolated at half pixels of a 32-pixel cell they have 32 fraction bits.
NODE_BITS = 20
POSITION_BITS = 32
ONE = 1 << POSITION_BITS
HALF = ONE >> 1
MASK = ONE - 1
# 2^29 source pixels in 32.32 bits leave two bits for the sums on the way.
FARTHEST = 1 << 29
# The position of a target pixel that has none: left of every source.
NOWHERE = -(1 << 62)

# What a root cell holds: nothing, one position (or box) for each pixel, or nodes every 2^level pixels.
EMPTY, EXACT = -1, 0
LEVELS = (5, 4, 3, 2)

# Slots of the frame.
ROW, COL = 0, 1  # first pixel of the block, counted from the first root cell
HEIGHT, WIDTH = 2, 3  # true size of the source
TOP, LEFT = 4, 5  # source pixel that comes first in the values handed over
LOW, HIGH = 6, 7  # columns of the source that a kernel may take
PERIOD = 8  # a full turn as a position, 0 where there is none
SEPARABLE = 9  # 1: positions of the columns and of the rows, one CRS
REACH_Y, REACH_X = 10, 11  # source pixels on either side that a widened kernel takes
SLOTS = 12
