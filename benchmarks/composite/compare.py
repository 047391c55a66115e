"""Compare the products of two contestants pixel by pixel, so that speed is never compared for different answers.

Only clear-cut pixels count: both contestants saw the same number of clear dates, three or more. With two dates every
point between them is a geometric median, so the answer depends on where the iteration starts.

    python benchmarks/composite/compare.py DIR_A DIR_B     # prints JSON; exit code 1 if the answers differ
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from contestant import COUNT, LAYERS

# Both stop when a step is shorter than 1e-6; the rest to the minimum is larger where the iteration converges slowly.
MEDIAN_LIMIT = 1e-5
# On the real tiles 1 % of the peer's pixels lie up to 1.4e-4 from the minimum; ours within 1e-6 of it (a test).
P99_LIMIT = 2e-4
OTHER_COUNT_LIMIT = 0.001  # share of pixels with another number of clear dates
Pixels = npt.NDArray[Any]


def read(folder: Path, layer: str, rows: int | None = None) -> tuple[Pixels, dict[str, Any]]:
    """Return the pixels of one layer (of its first rows) and its grid."""
    with rasterio.open(folder / f"{layer}.tif") as source:
        return source.read(1)[:rows], {"crs": source.crs, "transform": source.transform, "shape": source.shape}


def differences(one: Pixels, other: Pixels, use: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Return how far two layers lie apart on the pixels used, and where only one of them has a value."""
    apart = np.abs(one[use].astype(np.float64) - other[use])
    missing = float((np.isfinite(one) != np.isfinite(other)).mean())
    found = apart[np.isfinite(apart)]
    if not found.size:
        raise SystemExit("the two products share no pixel with three or more clear dates")
    values = (np.median(found), *np.percentile(found, (99, 99.9)), found.max(), missing)
    return dict(zip(("median", "p99", "p99.9", "max", "only one"), map(float, values), strict=True))


def compare(one: Path, other: Path, rows: int | None = None) -> dict[str, Any]:
    """Return the verdict and the figures behind it, for the first rows or for all."""
    (counts, grid), (other_counts, other_grid) = read(one, COUNT, rows), read(other, COUNT, rows)
    if grid != other_grid:
        return {"same": False, "reason": f"the grids differ: {grid} and {other_grid}"}
    equal = counts == other_counts
    use = equal & (counts >= 3)
    names = [layer for layer in LAYERS if layer != COUNT]
    layers = {name: differences(read(one, name, rows)[0], read(other, name, rows)[0], use) for name in names}
    other_count = float(1 - equal.mean())
    near = all(figures["median"] <= MEDIAN_LIMIT and figures["p99"] <= P99_LIMIT for figures in layers.values())
    complete = max(other_count, *(figures["only one"] for figures in layers.values())) <= OTHER_COUNT_LIMIT
    return {
        "same": near and complete,
        "clear-cut": float(use.mean()),
        "other count": other_count,
        "layers": layers,
    }


def main() -> None:
    """Print the comparison of two folders as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("one", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("--rows", type=int, help="compare the first rows only")
    options = parser.parse_args()
    verdict = compare(options.one, options.other, options.rows)
    print(json.dumps(verdict))
    sys.exit(0 if verdict["same"] else 1)


if __name__ == "__main__":
    main()
