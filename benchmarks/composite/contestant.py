"""What every contestant of the composite benchmark shares: its command line and its measurements of itself.

A contestant is a script that imports its libraries, then calls `contest(name, job)`; `job(request, stage)` does the
whole job once, from item JSONs to files in `request.out`. The memory right after the imports is subtracted by the
harness, so the call must come after all imports. With ``--repeat 2`` the same process does the job twice: the first
run pays for just-in-time compilation (cold), the second does not (warm).
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

BANDS = ("blue", "green", "red", "nir")
COUNT = "count"
LAYERS = (*BANDS, "emad", "smad", "bcmad", COUNT)
MASKED_CLASSES = (0, 1, 3, 8, 9, 10)
EPS = 1e-6
BLOCK = 512  # COG tiles of both contestants


@dataclass(frozen=True)
class Request:
    """One composite job: what to read, the target grid, where to write, how many threads."""

    items: tuple[Path, ...]  # item JSON files, sorted by name
    crs: str
    resolution: float
    bounds: tuple[float, float, float, float]  # left, bottom, right, top
    out: Path
    threads: int
    chunk: int  # 0: the contestant's own choice
    mosaic: str  # "first" or "masked", see the peer


@dataclass
class Run:
    """What one run of the job took, as the process itself saw it."""

    wall: float
    cpu: float  # user + system seconds of this process and of children it waited for
    peak_kib: int  # highest resident set of this process so far
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: dict[str, float] = field(default_factory=dict)  # what the contestant itself wants told


Stage = Callable[[str], AbstractContextManager[None]]
Job = Callable[[Request, Stage], dict[str, float]]
Prepare = Callable[[Request], None]


def nothing(_: Request) -> None:
    """Prepare nothing."""


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def memory_kib(field_name: str) -> int:
    """Return VmRSS (now) or VmHWM (peak) of this process.

    ``ru_maxrss`` is not used where ``/proc`` exists: Linux carries it over from the process that started this one.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        unit = 1024 if sys.platform == "darwin" else 1
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit
    lines = status.read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field_name}:"))


def measured(job: Job, request: Request, prepare: Prepare) -> Run:
    """Run the job once into an empty folder and return what it took, without what prepares it."""
    shutil.rmtree(request.out, ignore_errors=True)
    request.out.mkdir(parents=True)
    prepare(request)
    stages: dict[str, dict[str, float]] = {}

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), cpu_seconds()
        yield
        took = {"wall": round(time.perf_counter() - wall, 3), "cpu": round(cpu_seconds() - cpu, 3)}
        stages[name] = {**took, "peak_kib": memory_kib("VmHWM")}

    wall, cpu = time.perf_counter(), cpu_seconds()
    notes = job(request, stage)
    took = (round(time.perf_counter() - wall, 3), round(cpu_seconds() - cpu, 3), memory_kib("VmHWM"))
    return Run(*took, stages=stages, notes=notes)


def item_files(folders: list[Path]) -> tuple[Path, ...]:
    """Return the item JSONs below the folders: a scene's folder and its item carry the same name."""
    found = (path for folder in folders for path in folder.rglob("*.json") if path.stem == path.parent.name)
    return tuple(sorted(found, key=lambda path: path.name))


def parse() -> tuple[Request, argparse.Namespace]:
    """Return the request on the command line and the options that concern only the measurement."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=Path, nargs="+", required=True, help="folders that hold the STAC items")
    parser.add_argument("--out", type=Path, required=True, help="folder of the product; emptied before each run")
    parser.add_argument("--crs", required=True)
    parser.add_argument("--resolution", type=float, required=True)
    parser.add_argument("--bounds", type=float, nargs=4, required=True, metavar=("LEFT", "BOTTOM", "RIGHT", "TOP"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--chunk", type=int, default=0, help="pixels per block side (0: the contestant's own choice)")
    parser.add_argument("--mosaic", choices=("first", "masked"), default="masked", help="same-day rule of the peer")
    parser.add_argument("--repeat", type=int, default=1, help="how often the job is done in this process")
    parser.add_argument("--report", type=Path, help="JSON file for the measurements")
    options = parser.parse_args()
    left, bottom, right, top = options.bounds
    grid = (options.crs, options.resolution, (left, bottom, right, top))
    files = item_files(options.items)
    if not files:
        parser.error("no STAC item found in the folders given with --items")
    return Request(files, *grid, options.out, options.threads, options.chunk, options.mosaic), options


def contest(name: str, job: Job, packages: tuple[str, ...], *, prepare: Prepare = nothing) -> None:
    """Do the job as the command line says and print (and store) the measurements as one JSON line.

    `prepare` is called before each run and not measured; what needs much memory it must leave to another process.
    """
    imported = {"rss_kib": memory_kib("VmRSS"), "cpu": round(cpu_seconds(), 3)}
    request, options = parse()
    runs = [measured(job, request, prepare) for _ in range(options.repeat)]
    written = [path for path in request.out.rglob("*") if path.is_file()]
    report = {
        "contestant": name,
        "imports": imported,
        "runs": [asdict(run) for run in runs],
        "bytes_cog": sum(path.stat().st_size for path in written if path.suffix == ".tif"),
        "bytes_zarr": sum(path.stat().st_size for path in written if any(".zarr" in part for part in path.parts)),
        "versions": {package: version(package) for package in packages},
    }
    text = json.dumps(report)
    if options.report:
        options.report.write_text(text + "\n", encoding="utf-8")
    print(text)
