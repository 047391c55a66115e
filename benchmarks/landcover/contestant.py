"""What every contestant of the land-cover benchmark shares: its command line and its measurements of itself."""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import resource
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Request:
    """One job: where the cube and the forest are, where the maps go, how many threads."""

    folder: Path
    out: Path
    threads: int


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(used.ru_utime + used.ru_stime for used in both)


def memory_kib(field: str) -> int:
    """Return VmRSS (now) or VmHWM (peak) of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def reset_peak() -> None:
    """Give back what was freed, and count the highest memory from now on, where the system lets us."""
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        pass


def contest(name: str, job: Callable[[Request], None], prepare: Callable[[Request], None] | None = None) -> None:
    """Do the job as the command line says, and write what it took; the call comes after all imports."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    request = Request(options.folder, options.out, options.threads)
    if prepare is not None:
        prepare(request)
    imported = memory_kib("VmRSS")
    runs = []
    for _ in range(options.repeat):
        shutil.rmtree(request.out, ignore_errors=True)
        request.out.mkdir(parents=True)
        reset_peak()
        wall, cpu = time.perf_counter(), cpu_seconds()
        job(request)
        took = {"wall": round(time.perf_counter() - wall, 3), "cpu": round(cpu_seconds() - cpu, 3)}
        runs.append({**took, "peak_kib": memory_kib("VmHWM")})
    report = json.dumps({"contestant": name, "imports": {"rss_kib": imported}, "runs": runs})
    if options.report:
        options.report.write_text(report + "\n", encoding="utf-8")
    print(report)
