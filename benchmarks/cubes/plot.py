"""Plot how the cost of a median grows with items, pixels and threads, from a result of the cubes benchmark.

python benchmarks/cubes/plot.py benchmarks/results/cubes-all-20261120T120000.json docs/images/cubes-growth.png
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

PANELS = {
    "items": "items (window of 512 x 512 pixels, 4 bands)",
    "pixels": "megapixels (10 dates, 1 band)",
    "workers": "threads (10 dates, 4 bands, 2048 x 2048)",
}


def series(result: dict[str, Any], name: str) -> dict[str, list[float]]:
    """Return the medians of the cases of one panel."""
    found: dict[str, list[float]] = {"size": [], "cpu": [], "wall": [], "extra_mib": []}
    for case in result["cases"]:
        if case["case"].startswith(f"growth-{name}-"):
            (runs,) = case["runs"].values()
            found["size"].append(float(case["case"].rpartition("-")[2]))
            for measure in ("cpu", "wall", "extra_mib"):
                found[measure].append(statistics.median(report["run"][measure] for report in runs))
    return found


def panel(axis: Any, points: dict[str, list[float]], label: str) -> None:
    """Draw time and memory over size."""
    axis.plot(points["size"], points["cpu"], "o-", color="#1f5a8a", label="CPU s")
    axis.plot(points["size"], points["wall"], "s--", color="#5b9bd5", label="wall s")
    axis.set_xlabel(label)
    axis.set_ylim(bottom=0)
    axis.set_xlim(left=0)
    axis.grid(alpha=0.3)
    memory = axis.twinx()
    memory.plot(points["size"], points["extra_mib"], "^:", color="#b5532a", label="extra MiB")
    memory.set_ylim(bottom=0, top=max([300.0, *(1.3 * value for value in points["extra_mib"])]))
    lines = [*axis.get_lines(), *memory.get_lines()]
    axis.legend(lines, [line.get_label() for line in lines], loc="upper left", fontsize=8, frameon=False)


def main() -> None:
    """Draw the three panels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=Path)
    parser.add_argument("image", type=Path)
    options = parser.parse_args()
    result = json.loads(options.result.read_text(encoding="utf-8"))
    figure, axes = plt.subplots(1, len(PANELS), figsize=(13, 3.6), layout="constrained")
    for axis, (name, label) in zip(axes, PANELS.items(), strict=True):
        points = series(result, name)
        if points["size"]:
            panel(axis, points, label)
    figure.suptitle("Cloud-masked median over time, from items to Zarr: time (left scale) and memory (right scale)")
    figure.savefig(options.image, dpi=110)


if __name__ == "__main__":
    main()
