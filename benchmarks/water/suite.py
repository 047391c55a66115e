"""Run the cases of the water benchmark, each a script of its own, and put their figures together."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness import HERE, RESULTS, gathered

FOLDER = HERE / "water"
NAMES = ("water-speed", "water-masks", "water-sediment", "water-chlorophyll", "water-optics")
SCRIPTS = {name: f"{name.removeprefix('water-')}.py" for name in NAMES} | {"water-speed": "retrieve.py"}
QUICK = ("water-speed", "water-optics")
NEEDS = {"water-sediment": "water/ccrr", "water-chlorophyll": "water/ccrr"}
"""Folders below TERRACUBE_DATA without which there is nothing to score."""


def run(options: argparse.Namespace) -> dict[str, Any] | None:
    """Run what was asked for; None if nothing was, or nothing could be."""
    asked = QUICK if options.quick else tuple(options.case or NAMES)
    done = [run_case(name, options) for name in NAMES if name in asked and here(name)]
    return gathered("water", options, done) if done else None


def here(name: str) -> bool:
    """Tell whether the measurements of a case are there; say so if they are not."""
    folder = NEEDS.get(name)
    if folder is None or (Path(os.environ.get("TERRACUBE_DATA", "")) / folder).is_dir():
        return True
    print(f"water, {name}: left out, its measurements are not here (set TERRACUBE_DATA)")
    return False


def run_case(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run a script; its figures and what it printed."""
    out = RESULTS / "work" / "water" / f"{name}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    told = ["--out", str(out)]
    if name == "water-speed":
        told += ["--turns", str(options.runs)]
        told += [part for one in options.only or () for part in ("--only", one)]
        told += ["--pixels", str(1 << 18), "--set", "twelve"] if options.quick else []
    if name == "water-optics" and options.quick:
        told += ["--count", "60"]
    command = [sys.executable, str(FOLDER / SCRIPTS[name]), *told]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    print(f"water, {name}: done", flush=True)
    return {"case": name, "figures": json.loads(out.read_text(encoding="utf-8")), "text": done.stdout, "same": True}


def markdown(result: dict[str, Any]) -> str:
    """Return the report: what each script printed."""
    place = result["machine"]
    lines = [
        "# water",
        "",
        f"{result['date']}; {place['processor']}, {place['cores']} cores, {place['memory_gib']} GiB, Python "
        f"{place['python']}; speed: one thread, least of {result['rounds']} interleaved runs of each contestant.",
    ]
    for case in result["cases"]:
        lines += ["", f"## {case['case']}", "", "```", case["text"].rstrip(), "```"]
    return "\n".join(lines) + "\n"
