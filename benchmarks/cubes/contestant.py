"""What every contestant of the cubes benchmark shares: its command line and its measurements of itself.

A contestant is a script that imports its libraries and then calls `contest(name, jobs, packages)`; a job takes a
`Request` and gives an `Answer`. It is done three times: twice on a few pixels, where the first time pays for imports
and compilation (both are told), and then once on all of them, which is what is compared. The highest memory is counted
from just before that, so imports and compiled code are left out for all contestants alike.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from cubes.cases import Case, Target, case_of  # noqa: E402  the folder above has to be known first

TINY = 96  # pixels per side of what is done first
STRIDE = 3  # every third row and column is compared


@dataclass(frozen=True)
class Request:
    """One job."""

    case: Case
    mode: str
    items: tuple[Path, ...]  # item JSON files, in order of time
    target: Target
    out: Path  # a folder of this contestant's own
    threads: int

    @property
    def clones(self) -> int:
        """How many items are asked for, made from the files' own."""
        return self.case.items or len(self.items)


@dataclass
class Answer:
    """What a job gave: values (time, band, y, x) or (band, y, x), nodata as NaN or 0, or where a product lies."""

    values: Any = None
    zarr: Path | None = None
    notes: Callable[[], dict[str, float]] = dict  # what is told besides; asked for when the clock has stopped


Prepare = Callable[[Request], Any]  # what a job needs and what is not measured: items in memory
Job = Callable[[Request, Any], Answer]


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def memory_kib(name: str) -> int:
    """Return VmRSS (now) or VmHWM (peak) of this process."""
    status = Path("/proc/self/status")
    if not status.exists():
        unit = 1024 if sys.platform == "darwin" else 1
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit
    lines = status.read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def forget_peak() -> None:
    """Give back what was freed, and count the highest memory from now on, where the system lets us."""
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        pass


def measured(job: Job, request: Request, prepared: Any) -> tuple[dict[str, float], Answer]:
    """Do a job and return what it took, and its answer."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    answer = job(request, prepared)
    took = {"wall": round(time.perf_counter() - wall, 4), "cpu": round(cpu_seconds() - cpu, 4)}
    return {**took, "peak_kib": memory_kib("VmHWM")}, answer


def parse() -> tuple[Request, argparse.Namespace]:
    """Return the request on the command line and where the report and the answer go."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", required=True)
    parser.add_argument("--mode", default="")
    parser.add_argument("--inputs", type=Path, required=True, help="JSON file with what data.py printed")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--answer", type=Path, help="save a part of the values there, to be compared")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    told = json.loads(options.inputs.read_text(encoding="utf-8"))
    case = case_of(options.case)
    threads = case.own_threads or options.threads
    if hasattr(os, "sched_setaffinity"):  # so that nobody can take more than the others
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    options.out.mkdir(parents=True, exist_ok=True)
    items = tuple(map(Path, told["items"]))
    return Request(case, options.mode, items, Target(**told["target"]), options.out, threads), options


def tiny(request: Request) -> Request:
    """Return the same job on a few pixels."""
    few = replace(request.case, items=min(request.case.items, 10))
    return replace(request, case=few, target=request.target.aside(TINY), out=request.out / "tiny")


def sample(answer: Answer, bands: tuple[str, ...]) -> np.ndarray | None:
    """Return every third row and column of the values, missing ones as NaN."""
    if answer.zarr is not None:
        import xarray as xr

        with xr.open_dataset(answer.zarr, engine="zarr", consolidated=False) as stored:
            values = np.stack([stored[band].values for band in bands])
    elif answer.values is None:
        return None
    else:
        values = answer.values
    return np.ascontiguousarray(values[..., ::STRIDE, ::STRIDE])


def contest(name: str, prepare: Prepare, jobs: dict[str, Job], packages: tuple[str, ...]) -> None:
    """Do the job that the command line asks for and store the measurements as JSON."""
    imported = {"rss_kib": memory_kib("VmRSS"), "cpu": round(cpu_seconds(), 3)}
    request, options = parse()
    job = jobs[request.case.job]
    small = tiny(request)
    few, many = prepare(small), prepare(request)
    warm_up = []
    for turn in ("first", "second"):
        again = replace(small, out=small.out / turn)
        again.out.mkdir(parents=True)
        warm_up.append(measured(job, again, few)[0])
    forget_peak()
    before = memory_kib("VmRSS")
    took, answer = measured(job, request, many)
    took["extra_mib"] = round((took["peak_kib"] - before) / 1024, 1)
    if answer.values is not None:
        took["array_mib"] = round(answer.values.nbytes / 2**20, 1)
    if options.answer:
        values = sample(answer, request.case.bands)
        if values is not None:
            np.save(options.answer, values)
    report = {
        "contestant": name,
        "imports": imported,
        "cold": warm_up[0],
        "warm": warm_up[1],
        "run": took,
        "notes": answer.notes(),
        "versions": {package: version(package) for package in packages},
    }
    options.report.write_text(json.dumps(report) + "\n", encoding="utf-8")
