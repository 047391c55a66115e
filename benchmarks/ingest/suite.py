"""Run the cases of the ingest benchmark and put their figures together."""

from __future__ import annotations

import argparse
import shutil
import statistics
from pathlib import Path
from typing import Any

from harness import HERE, RESULTS, Report, answer, gathered, start
from ingest.cases import CASES, FULL, QUICK, Case, Contestant, case_of

FOLDER = HERE / "ingest"
NAMES = tuple(case.name for case in CASES)


def run(options: argparse.Namespace) -> dict[str, Any] | None:
    """Run what was asked for; None if nothing was."""
    names = QUICK if options.quick else tuple(options.case or FULL)
    done = [run_case(case_of(name), options) for name in names if name in NAMES]
    if not done:
        return None
    return gathered("ingest", options, done)


def run_case(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """Run one case: all contestants in turns, products compared after the first turn."""
    _, inputs = answer(FOLDER / "data.py", "--case", case.name)
    contestants = [one for one in case.contestants if not options.only or one.name in options.only]
    work = RESULTS / "work" / "ingest" / case.name
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    warm(Path(inputs["folder"]))
    runs: dict[str, list[Report]] = {one.name: [] for one in contestants}
    verdicts: dict[str, Any] = {}
    for turn in range(options.runs):
        for one in contestants:
            report = run_one(case, one, work, inputs["folder"], options.threads)
            runs[one.name].append(report)
            took = report["run"]
            figures = f"{took['cpu']:.2f} s CPU, {took['wall']:.2f} s wall, {took['extra_mib']:.0f} MiB"
            print(f"ingest, {case.name}, turn {turn + 1}/{options.runs}, {one.name}: {figures}", flush=True)
        if turn == 0:
            verdicts = compare(case, contestants, work)
    if not options.keep:
        shutil.rmtree(work)
    same = all(verdict["same"] for verdict in verdicts.values())
    return {"case": case.name, "title": case.title, "runs": runs, "verdicts": verdicts, "same": same}


def run_one(case: Case, one: Contestant, work: Path, folder: str, threads: int) -> Report:
    """Run a contestant once, as a fresh process."""
    place = work / slug(one.name)
    shutil.rmtree(place, ignore_errors=True)
    arguments = ["--case", case.name, "--mode", one.mode, "--folder", folder, "--out", str(place)]
    return start(FOLDER / one.script, [*arguments, "--threads", str(threads)], work / "log", work / "report.json")


def warm(folder: Path) -> None:
    """Read every input once, so that no contestant pays for the disk of the other."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as source:
            while source.read(1 << 24):
                pass


def compare(case: Case, contestants: list[Contestant], work: Path) -> dict[str, Any]:
    """Compare every product with the first contestant's; where there is only one, there is nothing to compare."""
    if len(contestants) < 2:
        return {}
    _, verdicts = answer(FOLDER / "compare.py", "--case", case.name, *(work / slug(one.name) for one in contestants))
    for name, verdict in verdicts.items():
        if not verdict["same"]:
            print(f"ingest, {case.name}: {name} wrote something else: {verdict}", flush=True)
    return {one.name: verdicts[slug(one.name)] for one in contestants if slug(one.name) in verdicts}


def slug(name: str) -> str:
    """Return a name that can be one of a folder."""
    return "-".join("".join(letter if letter.isalnum() else " " for letter in name).split())


def middle(runs: list[Report], measure: str) -> tuple[float, float, float]:
    """Return median, lowest and highest of a measure."""
    values = [report["run"][measure] for report in runs]
    return statistics.median(values), min(values), max(values)


def markdown(result: dict[str, Any]) -> str:
    """Return the report: a table per case."""
    place = result["machine"]
    lines = [
        "# ingest",
        "",
        f"{result['date']}; {place['processor']}, {place['cores']} cores, {place['memory_gib']} GiB, Python "
        f"{place['python']}; {result['threads']} threads; medians (lowest-highest) of {result['rounds']} interleaved "
        "runs, page cache warm, imports outside the clock but for what is called as a command; memory: peak over what "
        "was held before, without other processes.",
    ]
    for case in result["cases"]:
        lines += ["", f"## {case['case']}: {case['title']}", "", *case_table(case)]
    return "\n".join([*lines, "", *versions(result["cases"])]) + "\n"


def case_table(case: dict[str, Any]) -> list[str]:
    """Return the rows of one case, ratios over its first contestant, and what was to be reached."""
    base = {measure: middle(next(iter(case["runs"].values())), measure) for measure in ("cpu", "wall")}
    heads = ("contestant", "CPU s", "ratio", "wall s", "ratio", "extra MiB", "written MB", "against the first")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, runs in case["runs"].items():
        cells = [name]
        for measure in ("cpu", "wall"):
            figures = middle(runs, measure)
            cells += ["{:.2f} ({:.2f}-{:.2f})".format(*figures), f"{figures[0] / base[measure][0]:.2f}"]
        cells += [f"{middle(runs, 'extra_mib')[0]:.0f}", f"{middle(runs, 'written_mb')[0]:.1f}"]
        verdict = case["verdicts"].get(name, {"same": True, "told": ""})
        cells.append(verdict["told"] if verdict["same"] else f"**differs: {verdict['reason']}**")
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, *goals(case, base)]


def goals(case: dict[str, Any], base: dict[str, tuple[float, float, float]]) -> list[str]:
    """Return what was to be reached, by the lowest of each, which other work on the machine disturbs least."""
    wanted, own = case_of(case["case"]).goals, case["runs"].get("terracube")
    if not wanted or not own:
        return []
    found = {measure: middle(own, measure)[1] / base[measure][1] for measure in wanted}
    told = [
        f"{name} {found[name]:.2f} of {goal:g}{'' if found[name] <= goal else ' (missed)'}"
        for name, goal in wanted.items()
    ]
    return ["", f"To reach, lowest over lowest: {'; '.join(told)}."]


def versions(cases: list[dict[str, Any]]) -> list[str]:
    """Return the versions of what the contestants are made of."""
    found: dict[str, str] = {}
    for case in cases:
        for runs in case["runs"].values():
            told = ", ".join(f"{package} {number}" for package, number in runs[0]["versions"].items())
            found.setdefault(runs[0]["contestant"], told)
    return [f"- {name}: {told}" for name, told in found.items()]
