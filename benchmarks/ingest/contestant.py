"""What every contestant of the ingest benchmark shares: its command line and its measurements of itself.

A contestant is a script that imports its libraries and then calls `contest(name, jobs, packages)`; a job takes a
`Request` and writes into its folder. The clock runs from just before the job to just after it, imports are left out;
but what a job starts as other processes counts whole, since that is how its user would run it.
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
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from ingest.cases import Case, case_of  # noqa: E402  the folder above has to be known first


@dataclass(frozen=True)
class Request:
    """One job."""

    case: Case
    mode: str
    folder: Path  # where the inputs lie
    out: Path  # an empty folder for the product
    threads: int

    @property
    def raster(self) -> Path:
        """The one raster of the inputs."""
        return next(path for path in sorted(self.folder.iterdir()) if path.suffix in (".tif", ".jp2"))


Job = Callable[[Request], None]


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def memory_kib(name: str) -> int:
    """Return VmRSS (now) or VmHWM (peak) of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def forget_peak() -> None:
    """Give back what was freed, and count the highest memory from now on, where the system lets us."""
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        pass


def parse() -> tuple[Request, Path]:
    """Return the request on the command line and where the report goes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", required=True)
    parser.add_argument("--mode", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # so that nobody can take more than the others
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    options.out.mkdir(parents=True, exist_ok=True)
    return Request(case_of(options.case), options.mode, options.folder, options.out, options.threads), options.report


def contest(name: str, jobs: dict[str, Job], packages: tuple[str, ...]) -> None:
    """Do the job that the command line asks for and store the measurements as JSON."""
    imported = round(cpu_seconds(), 3)
    request, report = parse()
    forget_peak()
    before = memory_kib("VmRSS")
    wall, cpu = time.perf_counter(), cpu_seconds()
    jobs[request.mode](request)
    took = {"wall": round(time.perf_counter() - wall, 3), "cpu": round(cpu_seconds() - cpu, 3)}
    took["peak_mib"] = round(memory_kib("VmHWM") / 1024, 1)
    took["extra_mib"] = round((memory_kib("VmHWM") - before) / 1024, 1)
    files = [path for path in request.out.rglob("*") if path.is_file()]
    took["written_mb"] = round(sum(path.stat().st_size for path in files) / 1e6, 1)
    told = {
        "contestant": name,
        "imports": imported,
        "run": took,
        "versions": {package: version(package) for package in packages},
    }
    report.write_text(json.dumps(told) + "\n", encoding="utf-8")
