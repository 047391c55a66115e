"""What the contestants of the gap-filling benchmark share: the series, the command line, the measurement of themselves.

A contestant calls `contest(name, jobs, packages)`; a job takes series (dates, bands, pixels), their days and the target
days, and gives the filled series (targets, bands, pixels). It is done once on a few pixels, where compilation is paid
for, and then some times on all of them: the least CPU time counts, because other work on a machine only adds to it.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Days = npt.NDArray[np.float64]
Job = Callable[[Floats, Days, Days], Floats]

DATES, BANDS, REGULAR = 60, 10, 37
MASKED = 0.5
SEED = 20261120
JOBS = ("regular", "dates")  # to 37 dates ten days apart; at the 60 dates themselves


@dataclass(frozen=True)
class Case:
    """Series and where they are wanted."""

    series: Floats  # (dates, bands, pixels), NaN in all bands where masked
    days: Days
    targets: Days


def case(job: str, pixels: int) -> Case:
    """Return seeded series: seasonal curves with noise, half of the dates of each pixel masked, some pixels wholly."""
    rng = np.random.default_rng(SEED)
    days = np.sort(rng.choice(365, DATES, replace=False)).astype(np.float64)
    phase = rng.random((1, 1, pixels), dtype=np.float32) + np.linspace(0, 1, BANDS, dtype=np.float32)[None, :, None]
    curve = 0.3 + 0.2 * np.sin(2 * np.pi * (days[:, None, None].astype(np.float32) / 365 + phase))
    series = (curve + rng.normal(0, 0.02, curve.shape)).astype(np.float32)
    masked = rng.random((DATES, 1, pixels)) < MASKED
    masked[:, 0, ::997] = True
    series[np.broadcast_to(masked, series.shape)] = np.nan
    return Case(series, days, np.arange(REGULAR) * 10.0 if job == "regular" else days)


def timed(job: Job, given: Case) -> tuple[dict[str, float], Floats]:
    """Return what a job took, seconds of the system (new pages of memory) apart, and what it gave."""
    before, wall = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    found = job(given.series, given.days, given.targets)
    after = resource.getrusage(resource.RUSAGE_SELF)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    took = {"cpu": user + system, "user": user, "system": system, "wall": time.perf_counter() - wall}
    return took, found


def contest(name: str, jobs: dict[str, Job], packages: tuple[str, ...]) -> None:
    """Do the job that the command line asks for and store the measurements as JSON, the answer as an array."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--job", choices=JOBS, required=True)
    parser.add_argument("--pixels", type=int, required=True)
    parser.add_argument("--repeat", type=int, required=True)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--answer", type=Path, help="save the filled series there")
    options = parser.parse_args()
    job, given = jobs[options.job], case(options.job, options.pixels)
    cold = timed(job, case(options.job, 64))[0]["cpu"]
    runs = []
    for _ in range(options.repeat):
        took, found = timed(job, given)
        runs.append(took)
    if options.answer:
        np.save(options.answer, found)
    report = {
        "contestant": name,
        **min(runs, key=lambda run: run["cpu"]),
        "repetitions": runs,
        "cold": cold,
        "versions": {package: version(package) for package in packages},
    }
    options.report.write_text(json.dumps(report), encoding="utf-8")
