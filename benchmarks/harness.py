"""Run one contestant as a fresh process and say what it took. Standard library only, so that it stays small."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
Report = dict[str, Any]


@dataclass(frozen=True)
class Suite:
    """A job that several scripts do: the scripts, what makes their inputs, and what compares their outputs."""

    name: str
    cases: tuple[str, ...]
    quick_case: str
    contestants: tuple[tuple[str, str], ...]  # short name and script; ratios are first over second

    def script(self, name: str) -> Path:
        """Return the path of a script of the suite."""
        return HERE / self.name / name


def answer(*command: str | Path) -> tuple[int, Any]:
    """Run a helper script and return its exit code and the JSON it printed."""
    done = subprocess.run([sys.executable, *map(str, command)], stdout=subprocess.PIPE, check=False, text=True)
    if not done.stdout.strip():
        raise SystemExit(f"{command[0]} printed nothing (exit code {done.returncode})")
    return done.returncode, json.loads(done.stdout.strip().splitlines()[-1])


def warm_page_cache(folders: list[str]) -> None:
    """Read every input once, so that no contestant pays for the disk of the other."""
    for folder in folders:
        for path in sorted(Path(folder).rglob("*.tif")):
            with path.open("rb") as source:
                while source.read(1 << 24):
                    pass


def run_contestant(script: Path, arguments: list[str], work: Path) -> Report:
    """Run a contestant to its end; its own report, and the CPU seconds of its whole process tree."""
    work.mkdir(parents=True, exist_ok=True)
    return start(script, ["--out", str(work / "product"), *arguments], work / "log.txt", work / "report.json")


def start(script: Path, arguments: list[str], log: Path, report: Path) -> Report:
    """Run a script as a fresh process; what it reports of itself, and the CPU seconds of its whole process tree.

    The tree's peak is that of its largest process; Linux hands it down from the process that starts another, so it is
    only a check that no child was larger than the contestant itself.
    """
    report.unlink(missing_ok=True)
    command = [sys.executable, str(script), "--report", str(report), *arguments]
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or not report.exists():
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise SystemExit(f"{script.name} failed with exit code {process.returncode}; the end of its output:\n{tail}")
    tree = {"cpu": round(usage.ru_utime + usage.ru_stime, 3), "peak_kib": usage.ru_maxrss}
    return {**json.loads(report.read_text(encoding="utf-8")), "tree": tree, "load": round(os.getloadavg()[0], 2)}


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processor, cores, memory, system, Python."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = (line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line)
        model = next(names, model)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def gathered(suite: str, options: argparse.Namespace, cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Put what the cases of a suite gave beside what they depend on."""
    return {
        "suite": suite,
        "case": "quick" if options.quick else ("some" if options.case else "all"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "threads": options.threads,
        "rounds": options.runs,
        "cases": cases,
        "same": all(result["same"] for result in cases),
    }
