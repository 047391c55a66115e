"""What a model of motion costs: CPU seconds per million pixels of a series in memory, all errors included.

60 dates, an eighth of the values missing; the peers give parameters and their standard deviations for the same data:
numpy's batched normal equations, and a loop of numpy's lstsq over pixels, which is what a user writes first. Where
nothing is missing, one matrix product fits all pixels, and that is the peer there. Answers are compared before anything
is timed; contestants take turns in one process, and CPU time counts all threads.

    python benchmarks/deformation/model.py --out benchmarks/results/deformation-model.json
    python benchmarks/deformation/model.py --pixels 16384 --runs 2

Not run here: MintPy 1.6.4 took below a second beyond its start for 0.25 Mpx of complete series (a matrix product) when
it was measured for this project.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.processing.deformation.atmosphere import atmosphere_std
from terracube.processing.deformation.events import step_map
from terracube.processing.deformation.model import design_of, fit, parse_model, select_terms

DATES, LOOPED = 60, 2000
MODELS = {"linear": "linear", "seven parameters": "linear + annual + semiannual + step(2019-02-03)"}
GOALS = {"linear": 0.5, "seven parameters": 1.5}
LIMIT = 1e-5
"""Metres, or metres per year."""

type Floats = NDArray[np.floating[Any]]


def series(pixels: int, *, gaps: bool) -> xr.Dataset:
    """Make series with a trend, a season, a step and noise."""
    rng = np.random.default_rng(5)
    times = np.datetime64("2018-01-06", "ns") + np.arange(DATES) * np.timedelta64(86_400 * 13, "s")
    design = design_of(parse_model(MODELS["seven parameters"]), times).matrix
    values = design @ (0.01 * rng.normal(size=(design.shape[1], pixels))) + 0.004 * rng.normal(size=(DATES, pixels))
    if gaps:
        values[rng.random(values.shape) < 1 / 8] = np.nan
    cube = values.astype("float32").reshape(DATES, -1, 256)
    spread = np.full(cube.shape, 0.001, "float32")
    spread[0] = 0.0
    dims = ("time", "y", "x")
    made = {"displacement": (dims, cube), "std_network": (dims, spread)}
    return xr.Dataset(made, {"time": times}, {"reference_date": "2018-01-06"})


def columns(cube: xr.Dataset, model: str) -> tuple[Floats, Floats, Floats]:
    """Give the design, its scale, and the values (date, pixel)."""
    design = design_of(parse_model(model), cube.time.values)
    return design.matrix, design.scale, cube.displacement.values.reshape(DATES, -1)


def product(cube: xr.Dataset, model: str) -> tuple[Floats, Floats]:
    """Fit complete series by one matrix product."""
    design, scale, values = columns(cube, model)
    inverse = np.linalg.inv(design.T @ design)
    found = inverse @ design.T @ values
    variance = ((values - design @ found) ** 2).sum(axis=0) / (DATES - design.shape[1])
    return found / scale[:, None], np.sqrt(variance * np.diag(inverse)[:, None]) / scale[:, None]


def batched(cube: xr.Dataset, model: str) -> tuple[Floats, Floats]:
    """Fit series with gaps by batched normal equations."""
    design, scale, values = columns(cube, model)
    there = np.isfinite(values)
    filled = np.where(there, values, 0).astype("float64")
    terms = design.shape[1]
    products = (design[:, :, None] * design[:, None, :]).reshape(DATES, -1)
    normal = (there.T.astype("float64") @ products).reshape(-1, terms, terms)
    found = np.linalg.solve(normal, (filled.T @ design)[..., None])[..., 0]
    left = np.where(there, filled - design @ found.T, 0)
    variance = (left**2).sum(axis=0) / (there.sum(axis=0) - terms)
    spread = np.sqrt(variance[:, None] * np.diagonal(np.linalg.inv(normal), axis1=1, axis2=2))
    return (found / scale).T, (spread / scale).T


def looped(cube: xr.Dataset, model: str) -> tuple[Floats, Floats]:
    """Fit series with gaps pixel by pixel."""
    design, scale, values = columns(cube, model)
    found, spread = np.empty((2, design.shape[1], values.shape[1]))
    for pixel in range(values.shape[1]):
        there = np.isfinite(values[:, pixel])
        rows, right = design[there], values[there, pixel].astype("float64")
        found[:, pixel], squares, *_ = np.linalg.lstsq(rows, right, rcond=None)
        inverse = np.linalg.inv(rows.T @ rows)
        spread[:, pixel] = np.sqrt(squares[0] / (there.sum() - design.shape[1]) * np.diag(inverse))
    return found / scale[:, None], spread / scale[:, None]


def own(cube: xr.Dataset, model: str) -> tuple[Floats, Floats]:
    """Fit as a user does a series of independent errors, which is all that the peers know."""
    found = fit(cube.drop_vars("std_network"), model)
    names = [name for name, _ in parse_model(model).parameters]
    return tuple(np.stack([found[name + end].values.ravel() for name in names]) for end in ("", "_std"))  # type: ignore[return-value]  # two of them


def least_cpu(jobs: dict[str, Callable[[], Any]], runs: int) -> dict[str, float]:
    """Return the least CPU seconds of each job, in turns."""
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(runs):
        for name, job in jobs.items():
            start = time.process_time()
            job()
            taken[name].append(time.process_time() - start)
    return {name: min(found) for name, found in taken.items()}


def compare(name: str, cube: xr.Dataset, *, gaps: bool, runs: int) -> dict[str, Any]:
    """Compare answers and costs of one model."""
    pixels = cube.sizes["y"] * cube.sizes["x"]
    few = cube.isel(y=slice(0, max(LOOPED // 256, 1)))
    number = few.sizes["y"] * few.sizes["x"]
    peer = batched if gaps else product
    # The first call compiles.
    apart = max(
        float(np.abs(a - b).max()) for a, b in zip(own(cube, MODELS[name]), peer(cube, MODELS[name]), strict=True)
    )
    jobs: dict[str, Callable[[], Any]] = {
        "terracube": lambda: own(cube, MODELS[name]),
        "numpy, all pixels": lambda: peer(cube, MODELS[name]),
    }
    cost = {who: taken / pixels * 1e6 for who, taken in least_cpu(jobs, runs).items()}
    cost["numpy lstsq, loop"] = least_cpu({"loop": lambda: looped(few, MODELS[name])}, 1)["loop"] / number * 1e6
    told = {who: round(value, 3) for who, value in cost.items()}
    return {
        "CPU s per Mpx": told,
        "goal": GOALS[name],
        "apart": apart,
        "same": bool(np.isfinite(apart) and apart < LIMIT),
    }


def others(cube: xr.Dataset, runs: int) -> dict[str, float]:
    """Time what else is made of a series."""
    pixels = cube.sizes["y"] * cube.sizes["x"]
    model = MODELS["seven parameters"]
    jobs: dict[str, Callable[[], Any]] = {
        "fit, with the noise of the network": lambda: fit(cube, model),
        "fit, weights, AR(1), covariance": lambda: fit(cube, model, weights="std", coloured="ar1", covariance=True),
        "select_terms": lambda: select_terms(cube, model),
        "atmosphere_std": lambda: atmosphere_std(cube),
        "step_map": lambda: step_map(cube, "2019-02-03"),
    }
    for job in jobs.values():
        job()
    return {name: round(taken / pixels * 1e6, 3) for name, taken in least_cpu(jobs, runs).items()}


def main() -> None:
    """Run all cases, print and keep what they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pixels", type=int, default=1 << 17)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    report: dict[str, Any] = {"dates": DATES, "pixels": told.pixels}
    for gaps in (True, False):
        cube = series(told.pixels, gaps=gaps)
        for name in MODELS:
            report[f"{name}, {'an eighth missing' if gaps else 'complete'}"] = compare(
                name, cube, gaps=gaps, runs=told.runs
            )
        if gaps:
            report["others, CPU s per Mpx"] = others(cube, told.runs)
    print(json.dumps(report, indent=1))
    if told.out is not None:
        told.out.parent.mkdir(parents=True, exist_ok=True)
        told.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
