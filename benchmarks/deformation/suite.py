"""Run the cases of the deformation benchmark, each a script of its own, and put their figures together."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

from harness import HERE, RESULTS, gathered

FOLDER = HERE / "deformation"
REPEATS = {"inversion": "--times", "repair": None, "model": "--runs", "offsets": "--turns", "slc": None}
"""Scripts, and how each is told the number of runs of which the least counts."""
SMALL = {
    "inversion": ("--side", "128"),
    "repair": ("--side", "32"),
    "model": ("--pixels", "16384"),
    "offsets": ("--size", "256", "--pixels", "2048"),
    "slc": ("--side", "256"),
}
NAMES = tuple(f"deformation-{script}" for script in REPEATS)


def run(options: argparse.Namespace) -> dict[str, Any] | None:
    """Run what was asked for; None if nothing was."""
    asked = NAMES if options.quick else tuple(options.case or NAMES)
    done = [run_case(name, options) for name in NAMES if name in asked]
    return gathered("deformation", options, done) if done else None


def run_case(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run a script; its figures and what it printed."""
    script = name.removeprefix("deformation-")
    out = RESULTS / "work" / "deformation" / f"{name}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    told = ["--out", str(out), *(SMALL[script] if options.quick else ())]
    if repeats := REPEATS[script]:
        told += [repeats, str(options.runs)]
    command = [sys.executable, str(FOLDER / f"{script}.py"), *told]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    print(f"deformation, {name}: done", flush=True)
    return {"case": name, "figures": json.loads(out.read_text(encoding="utf-8")), "text": done.stdout, "same": True}


def markdown(result: dict[str, Any]) -> str:
    """Return the report: what each script printed."""
    place = result["machine"]
    lines = [
        "# deformation",
        "",
        f"{result['date']}; {place['processor']}, {place['cores']} cores, {place['memory_gib']} GiB, Python "
        f"{place['python']}; CPU seconds: least of {result['rounds']} runs, in memory, compiled before.",
    ]
    for case in result["cases"]:
        lines += ["", f"## {case['case']}", "", "```", case["text"].rstrip(), "```"]
    return "\n".join(lines) + "\n"
