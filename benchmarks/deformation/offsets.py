"""What offsets cost and how near they come: chips matched on a known field with a fault, and series of many pairs.

Fields: a smooth one (amplitude 1.3 pixels, waves of the image's width) with a jump along a line; texture known on half
pixels, noise given as a share of it. Errors are root mean squares, near means within 24 pixels of the line. Series: 20
dates, 112 pairs up to 7 dates apart, 15 % of them wrong by up to 6 pixels, 10 % missing, noise of 0.08 pixels; flagged
are pixels with a date that fewer than two pairs agree on; the oracle knows which pairs are wrong.

    python benchmarks/deformation/offsets.py --out result.json
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import ndimage

from terracube.processing.deformation.offsets import Rules, invert_offsets, track

type Floats = NDArray[np.float64]

PAD = 48
CASES = {
    "jump 1, noise 2 %": (1.0, 0.02),
    "jump 3, noise 2 %": (3.0, 0.02),
    "jump 0.5, noise 5 %": (0.5, 0.05),
    "jump 1, noise 15 %": (1.0, 0.15),
}


def field(y: Floats, x: Floats, size: int, side: Any) -> tuple[Floats, Floats]:
    """Motion along y and x."""
    k = 2 * np.pi / size
    down = 1.3 * np.sin(k * x + 0.4) * np.cos(0.8 * k * y) + 0.004 * (x - size / 2) + side + 0.37
    right = 0.9 * np.cos(k * y * 0.9 + 0.3) * np.sin(k * x * 0.7) + 0.003 * (y - size / 2) - 0.61
    return np.asarray(down), np.asarray(right)


def images(size: int, jump: float, noise: float, seed: int) -> tuple[Floats, Floats, float]:
    """Both images, and where the fault lies."""
    rng = np.random.default_rng(seed)
    broad, fine = (ndimage.gaussian_filter(rng.standard_normal((2 * (size + 2 * PAD),) * 2), s) for s in (9.6, 2.4))
    known = ndimage.spline_filter(fine / fine.std() + 0.7 * broad / broad.std(), order=5)
    fault = size * 0.6 + 0.3
    y, x = np.mgrid[:size, :size].astype(float)
    sources = []
    for side in (0.0, jump):
        row, column = y, x
        for _ in range(12):
            moved = field(row, column, size, side)
            row, column = y - moved[0], x - moved[1]
        sources.append((row, column))
    right = sources[1][1] >= fault
    places = [(y, x), tuple(np.where(right, sources[1][axis], sources[0][axis]) for axis in range(2))]
    seen = [
        ndimage.map_coordinates(known, [2 * (place + PAD) for place in one], order=5, prefilter=False)
        + noise * known.std() * rng.standard_normal((size, size))
        for one in places
    ]
    return seen[0], 1.1 * seen[1] + 0.2, fault


def rms(values: Floats) -> float:
    """Root mean square of what is there."""
    return round(float(np.sqrt(np.nanmean(values**2))), 4)


def tracking(size: int, turns: int) -> dict[str, dict[str, float]]:
    """Score chips of 32 pixels at every eighth pixel."""
    rows = {}
    for number, (name, (jump, noise)) in enumerate(CASES.items()):
        row: dict[str, Any] = {}
        for label, rules in (("", Rules()), ("plain peak ", Rules(steps=0, breaks=False, neighbours=False))):
            parts = []
            for more in (0, 3, 6):
                before, after, fault = images(size + more, jump, noise, number)
                took = []
                for _ in range(turns):
                    start = time.process_time()
                    found = track(before, after, rules=rules)
                    took.append(time.process_time() - start)
                x, y = np.meshgrid(found.x.values, found.y.values)
                true = field(y, x, size + more, (x >= fault) * jump)
                off = np.stack([found.dy.values - true[0], found.dx.values - true[1]])
                parts.append((off.reshape(2, -1), np.abs(x - fault).ravel(), min(took) / x.size * 1e6))
            off, distance = np.concatenate([p[0] for p in parts], 1), np.concatenate([p[1] for p in parts])
            near = distance <= 24
            row |= {f"{label}far y": rms(off[0, ~near]), f"{label}far x": rms(off[1, ~near])}
            row |= {f"{label}near y": rms(off[0, near]), f"{label}near x": rms(off[1, near])}
            row[f"{label}valid near"] = round(float(np.isfinite(off[0, near]).mean()), 4)
            row[f"{label}us/point"] = round(min(part[2] for part in parts), 1)
        rows[name] = row
    return rows


def stack(pixels: int, seed: int) -> tuple[xr.Dataset, Floats, NDArray[np.bool_]]:
    """Offsets of pairs, true motion (component, time, pixel), and which pairs are wrong."""
    rng, dates = np.random.default_rng(seed), 20
    ends = np.array([(i, j) for i in range(dates) for j in range(i + 1, min(dates, i + 8))])
    truth = np.cumsum(rng.normal(0, 0.3, (2, dates, pixels)), 1)
    truth -= truth[:, :1]
    moved = truth[:, ends[:, 1]] - truth[:, ends[:, 0]] + rng.normal(0, 0.08, (2, len(ends), pixels))
    wrong = rng.random((len(ends), pixels)) < 0.15
    moved = np.where(wrong, rng.uniform(-6, 6, moved.shape), moved).astype("float32")
    moved[:, rng.random(wrong.shape) < 0.1] = np.nan
    times = np.datetime64("2020-01-01", "ns") + np.arange(dates) * np.timedelta64(20, "D")
    dims = ("pair", "y", "x")
    coords = {"reference_time": ("pair", times[ends[:, 0]]), "secondary_time": ("pair", times[ends[:, 1]])}
    made = xr.Dataset({"dx": (dims, moved[0][:, np.newaxis]), "dy": (dims, moved[1][:, np.newaxis])}, coords)
    return made, truth, wrong


def inversion(pixels: int, turns: int, seed: int) -> dict[str, float]:
    """Score series."""
    given, truth, wrong = stack(pixels, seed)
    took = []
    for _ in range(turns + 1):
        start = time.process_time()
        found = invert_offsets(given, weights=None)
        took.append(time.process_time() - start)

    def off(one: xr.Dataset) -> Floats:
        return np.stack([one.dx.values[:, 0] - truth[0], one.dy.values[:, 0] - truth[1]])[:, 1:]

    flagged = found.uncertain.values[0] > 0
    known = given.where(xr.DataArray(~wrong[:, np.newaxis], dims=given.dx.dims))
    return {
        "all": rms(off(found)),
        "not flagged": rms(off(found)[..., ~flagged]),
        "flagged share": round(float(flagged.mean()), 4),
        "oracle": rms(off(invert_offsets(known, weights=None, robust=False))),
        "least squares": rms(off(invert_offsets(given, weights=None, robust=False))),
        "s/Mpx": round(min(took[1:]) / pixels * 1e6, 2),
    }


def main() -> None:
    """Score both and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--pixels", type=int, default=8192)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    result = {"tracking": tracking(asked.size, asked.turns)}
    result["series"] = {f"seed {seed}": inversion(asked.pixels, asked.turns, seed) for seed in range(3)}
    for rows in result.values():
        for name, row in rows.items():
            print(f"{name:20s}", "  ".join(f"{key} {value}" for key, value in row.items()))
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
