"""What the inversion of a stack costs, and how near it comes to least squares in float64.

Stacks in memory, float32: 30 dates and 100 pairs, 500 x 500, and 300 dates with their four successors; weights from
coherence, 10 % of the pairs missing at random. Measured are CPU seconds per million pixels of the whole step, that is
weights, displacement, deviation, temporal coherence, residual, chi squared and counts; beside it normal equations and
their solution for a batch of pixels in plain numpy, and least squares pixel by pixel; and MintPy on the same pixels,
where an interpreter that has it is named. Published for the first stack on another run of a like machine: MintPy 1.6.4
212 to 268, dolphin (weighted, without coherence) 134.

    python benchmarks/deformation/inversion.py --out benchmarks/results/deformation-inversion.json --mintpy PYTHON
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# Before numpy starts its threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import xarray as xr

from terracube.processing.deformation.inversion import invert_stack
from terracube.processing.deformation.inversion.weights import phase_variance
from terracube.processing.deformation.network import network_of_stack

MISSING, LOOKS, WAVELENGTH = 0.1, 10.0, 0.0554
METRES = -WAVELENGTH / (4 * np.pi)
CASES: dict[str, dict[str, Any]] = {
    "displacement, deviation, coherence": {},
    "unweighted": {"weights": None},
    "parts linked by least velocity": {"disconnected": "minimum_velocity"},
    "robust": {"robust": True},
}


def best(job: Callable[[], Any], times: int = 4) -> float:
    """Give the least CPU seconds of several calls, after one that compiles."""
    job()
    taken = []
    for _ in range(times):
        start = time.process_time()
        job()
        taken.append(time.process_time() - start)
    return min(taken)


def random_network() -> list[tuple[int, int]]:
    """Draw 100 pairs of 30 dates: each date with the next, and others with one of the six that follow."""
    rng = np.random.default_rng(1)
    pairs = {(k, k + 1) for k in range(29)}
    while len(pairs) < 100:
        first = int(rng.integers(0, 29))
        pairs.add((first, min(29, first + int(rng.integers(1, 7)))))
    return sorted(pairs)


def band(dates: int, width: int) -> list[tuple[int, int]]:
    """Pair each date with those that follow it."""
    return [(i, j) for i in range(dates) for j in range(i + 1, min(i + width + 1, dates))]


def simulated(network: list[tuple[int, int]], shape: tuple[int, int]) -> xr.Dataset:
    """Draw a stack with noise by coherence and with gaps."""
    rng, pairs = np.random.default_rng(0), np.array(network)
    truth = np.cumsum(rng.normal(0, 1, (pairs.max() + 1, *shape)), axis=0).astype("float32")
    coherence = rng.uniform(0.2, 0.95, (len(pairs), *shape)).astype("float32")
    phase = truth[pairs[:, 1]] - truth[pairs[:, 0]]
    phase += (rng.standard_normal(phase.shape) * np.sqrt(phase_variance(coherence, LOOKS))).astype("float32")
    phase[rng.random(phase.shape, "float32") < MISSING] = np.nan
    times = np.datetime64("2020-01-01", "ns") + pairs * np.timedelta64(12, "D")
    return xr.Dataset(
        {"unwrapped_phase": (("pair", "y", "x"), phase), "coherence": (("pair", "y", "x"), coherence)},
        coords={"reference_time": ("pair", times[:, 0]), "secondary_time": ("pair", times[:, 1])},
        attrs={"wavelength": WAVELENGTH, "looks": LOOKS},
    )


def arrays(stack: xr.Dataset, count: int) -> tuple[Any, Any, Any]:
    """Give the design without the first date, phases and weights of some pixels."""
    network, _ = network_of_stack(stack)
    design = np.zeros((len(network.pairs), len(network.times)))
    row = np.arange(len(design))
    design[row, network.pairs[:, 1]], design[row, network.pairs[:, 0]] = 1, -1
    phase, coherence = (stack[name].values.reshape(len(row), -1)[:, :count].astype("float64") for name in stack)
    weight = np.where(np.isfinite(phase), 1 / phase_variance(coherence, LOOKS), 0)
    return design[:, 1:], np.nan_to_num(phase), weight


def in_numpy(stack: xr.Dataset, count: int) -> Any:
    """Solve the normal equations of a batch, and give values and temporal coherence."""
    design, phase, weight = arrays(stack, count)
    normal = np.einsum("mi,mp,mj->pij", design, weight, design, optimize=True)
    right = (design.T @ (weight * phase)).T
    found = np.linalg.solve(normal + 1e-9 * np.eye(design.shape[1]), right[..., None])[..., 0].T
    left = phase - design @ found
    return found, np.abs((np.exp(1j * left) * (weight > 0)).sum(axis=0)) / (weight > 0).sum(axis=0)


def by_pixel(stack: xr.Dataset, count: int) -> Any:
    """Solve pixel by pixel by orthogonal decomposition; NaN where the design has not full rank."""
    design, phase, weight = arrays(stack, count)
    found = np.full((design.shape[1], count), np.nan)
    for pixel in range(count):
        root = np.sqrt(weight[:, pixel])[:, None]
        solution, _, rank, _ = np.linalg.lstsq(design * root, phase[:, pixel] * root[:, 0], rcond=None)
        if rank == design.shape[1]:
            found[:, pixel] = solution
    return found


def right(stack: xr.Dataset, count: int) -> dict[str, float]:
    """Compare with least squares in float64, pixel by pixel, under the same weights."""
    weights = xr.DataArray(1 / phase_variance(stack["coherence"].values, LOOKS), dims=("pair", "y", "x"))
    series = invert_stack(stack, weights=weights)
    found = series["displacement"].values.reshape(series.sizes["time"], -1)[1:, :count] / METRES
    expected, parts = by_pixel(stack, count), series["n_components"].values.ravel()[:count]
    whole = np.isfinite(expected).all(axis=0)
    flagged = parts > 1
    return {
        "pixels compared": int(whole.sum()),
        "largest difference, rad": float(np.abs(found - expected)[:, whole].max()),
        "deficient": int((~whole).sum()),
        "deficient, not flagged": int((~whole & ~flagged).sum()),
        "flagged falsely": int((whole & flagged).sum()),
    }


def by_mintpy(stack: xr.Dataset, count: int, python: Path) -> dict[str, float]:
    """Let MintPy solve the same pixels with the same weights, and compare the series."""
    network, _ = network_of_stack(stack)
    phase, coherence = (stack[name].values.reshape(len(network.pairs), -1)[:, :count] for name in stack)
    weights = xr.DataArray(1 / phase_variance(stack["coherence"].values, LOOKS), dims=("pair", "y", "x"))
    own = invert_stack(stack, weights=weights)
    with TemporaryDirectory() as folder:
        given = Path(folder) / "given.npz"
        np.savez(given, pairs=network.pairs, days=network.days, phase=phase.astype("float64"),
                 weight=1 / phase_variance(coherence, LOOKS))  # fmt: skip
        subprocess.run([str(python), str(Path(__file__).with_name("peer_mintpy.py")), str(given)], check=True)
        peer, told = np.load(given.with_name("mintpy.npy")), json.loads(given.with_name("mintpy.json").read_text())
    series = own["displacement"].values.reshape(len(peer), -1)[:, :count] / METRES
    whole = np.isfinite(series).all(axis=0) & (peer[1:] != 0).all(axis=0)
    return {
        "CPU s per Mpixel": told["seconds"] * 1e6 / told["pixels"],
        "pixels solved by both": int(whole.sum()),
        "pixels solved here": int(np.isfinite(series).all(axis=0).sum()),
        "pixels solved by MintPy": int((peer[1:] != 0).all(axis=0).sum()),
        "largest difference, rad": float(np.abs(series - peer)[:, whole].max()),
    }


def measured(stack: xr.Dataset, some: int, times: int) -> dict[str, Any]:
    """Measure all cases on one stack."""
    pixels = stack.sizes["y"] * stack.sizes["x"]
    costs = {name: best(partial(invert_stack, stack, **how), times) * 1e6 / pixels for name, how in CASES.items()}
    costs["numpy, batch of normal equations"] = best(partial(in_numpy, stack, some), 1) * 1e6 / some
    costs["numpy, least squares by pixel"] = best(partial(by_pixel, stack, some), 1) * 1e6 / some
    return {"CPU s per Mpixel": costs, "against float64": right(stack, some)}


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--side", type=int, default=500, help="pixels per side of the first stack")
    parser.add_argument("--times", type=int, default=4, help="calls of which the least counts")
    parser.add_argument("--mintpy", type=Path, help="an interpreter that has MintPy")
    options = parser.parse_args()
    long = max(options.side // 4, 16)
    figures = {
        "30 dates, 100 pairs": measured(simulated(random_network(), (options.side,) * 2), 3000, options.times),
        "300 dates, 1 190 pairs": measured(simulated(band(300, 4), (long,) * 2), 60, options.times),
    }
    if options.mintpy:
        figures["MintPy, 30 dates, 100 pairs"] = by_mintpy(simulated(random_network(), (40, 40)), 1500, options.mintpy)
    print(json.dumps(figures, indent=1))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
