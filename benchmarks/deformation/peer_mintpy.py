"""Time MintPy's inversion of one stack, pixel by pixel as it does with weights or gaps; in an environment of its own.

Reads what ``inversion.py --mintpy PYTHON`` wrote, and writes seconds and series beside it. MintPy is under the GPL, and
not needed here: install it where PYTHON is (``pip install mintpy``), and name that interpreter.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from mintpy.ifgram_inversion import estimate_timeseries


def main() -> None:
    """Solve each pixel, one call to warm up before."""
    source = Path(sys.argv[1])
    given = np.load(source)
    pairs, days = given["pairs"], given["days"]
    count = len(days)
    first = np.zeros((len(pairs), count))
    first[np.arange(len(pairs)), pairs[:, 1]] = 1
    first[np.arange(len(pairs)), pairs[:, 0]] = -1
    design = first[:, 1:]
    gaps = np.diff(days)[:, None] / 365.25
    between = np.zeros_like(design)
    for row, (one, other) in enumerate(pairs):
        between[row, one:other] = gaps[one:other, 0]
    phase, root = given["phase"], np.sqrt(given["weight"])
    found = np.zeros((count, phase.shape[1]))

    def solve(pixel: int) -> np.ndarray:
        values = phase[:, pixel : pixel + 1].copy()
        return estimate_timeseries(
            design, between, values, gaps, weight_sqrt=root[:, pixel : pixel + 1], print_msg=False
        )[0].ravel()

    solve(0)
    start = time.process_time()
    for pixel in range(phase.shape[1]):
        found[:, pixel] = solve(pixel)
    seconds = time.process_time() - start
    np.save(source.with_name("mintpy.npy"), found)
    source.with_name("mintpy.json").write_text(json.dumps({"seconds": seconds, "pixels": phase.shape[1]}))


if __name__ == "__main__":
    main()
