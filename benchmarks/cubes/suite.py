"""Run the cases of the cubes benchmark and put their figures together."""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
from pathlib import Path
from typing import Any

from cubes.cases import CASES, GROWTH, QUICK, SPEED, Case, Contestant, case_of
from harness import HERE, RESULTS, Report, answer, gathered, start, warm_page_cache

FOLDER = HERE / "cubes"
NAMES = tuple(case.name for case in CASES)
_MEASURES = ("cpu", "wall", "extra_mib")


def run(options: argparse.Namespace) -> dict[str, Any] | None:
    """Run what was asked for: the timed cases, then how cost grows; None if nothing was."""
    names = QUICK if options.quick else tuple(options.case or [case.name for case in (*SPEED, *GROWTH)])
    cases = [case_of(name) for name in names if name in NAMES]
    done = [result for case in cases if (result := run_case(case, options)) is not None]
    if not done:
        return None
    return gathered("cubes", options, done)


def run_case(case: Case, options: argparse.Namespace) -> dict[str, Any] | None:
    """Run one case: all contestants in turns, answers compared after the first turn."""
    _, inputs = answer(FOLDER / "data.py", "--case", case.name)
    if inputs is None:
        print(f"cubes, {case.name}: left out, its scenes are not here (set TERRACUBE_DATA)")
        return None
    contestants = [one for one in case.contestants if not options.only or one.name in options.only]
    work = RESULTS / "work" / "cubes" / case.name
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    (work / "inputs.json").write_text(json.dumps(inputs), encoding="utf-8")
    warm_page_cache(inputs["folders"])
    runs: dict[str, list[Report]] = {one.name: [] for one in contestants}
    verdicts: dict[str, Any] = {}
    for turn in range(options.runs):
        for one in contestants:
            report = run_one(case, one, work, options, compared=turn == 0)
            runs[one.name].append(report)
            took = report["run"]
            figures = f"{took['cpu']:.2f} s CPU, {took['wall']:.2f} s wall, {took['extra_mib']:.0f} MiB"
            print(f"cubes, {case.name}, turn {turn + 1}/{options.runs}, {one.name}: {figures}", flush=True)
        if turn == 0:
            verdicts = compare(case, contestants, work)
    if not options.keep:
        shutil.rmtree(work)
    same = all(verdict["same"] for verdict in verdicts.values())
    return {"case": case.name, "title": case.title, "runs": runs, "verdicts": verdicts, "same": same}


def run_one(case: Case, one: Contestant, work: Path, options: argparse.Namespace, *, compared: bool) -> Report:
    """Run a contestant once, as a fresh process."""
    place = work / slug(one.name)
    shutil.rmtree(place, ignore_errors=True)
    arguments = ["--case", case.name, "--mode", one.mode, "--inputs", str(work / "inputs.json")]
    arguments += ["--out", str(place), "--threads", str(options.threads)]
    if compared:
        arguments += ["--answer", str(work / f"{slug(one.name)}.npy")]
    return start(FOLDER / one.script, arguments, work / "log", work / "report.json")


def compare(case: Case, contestants: list[Contestant], work: Path) -> dict[str, Any]:
    """Compare every answer with the first contestant's; where there is none, there is nothing to compare."""
    answers = [work / f"{slug(one.name)}.npy" for one in contestants]
    there = [path for path in answers if path.exists()]
    if len(there) < 2 or there[0] != answers[0]:
        return {}
    _, verdicts = answer(FOLDER / "compare.py", "--case", case.name, *there)
    for path in there:
        path.unlink()
    for name, verdict in verdicts.items():
        if not verdict["same"]:
            print(f"cubes, {case.name}: {name} gave another answer: {verdict}", flush=True)
    return {one.name: verdicts[slug(one.name)] for one in contestants if slug(one.name) in verdicts}


def slug(name: str) -> str:
    """Return a name that can be one of a file."""
    return "-".join("".join(letter if letter.isalnum() else " " for letter in name).split())


def middle(runs: list[Report], measure: str) -> tuple[float, float, float]:
    """Return median, lowest and highest of a measure."""
    values = [report["run"][measure] for report in runs]
    return statistics.median(values), min(values), max(values)


def markdown(result: dict[str, Any]) -> str:
    """Return the report: a table per timed case, one for growth, one for compilation."""
    place = result["machine"]
    lines = [
        "# cubes",
        "",
        f"{result['date']}; {place['processor']}, {place['cores']} cores, {place['memory_gib']} GiB, Python "
        f"{place['python']}; {result['threads']} threads; medians (lowest-highest) of {result['rounds']} interleaved "
        "runs, page cache warm, imports and compilation outside the clock; memory: peak over what was held before.",
    ]
    growth = {case.name for case in GROWTH}
    timed = [case for case in result["cases"] if case["case"] not in growth]
    grown = [case for case in result["cases"] if case["case"] in growth]
    for case in timed:
        lines += ["", f"## {case['case']}: {case['title']}", "", *case_table(case)]
    if grown:
        lines += ["", "## How cost grows", "", *growth_table(grown)]
    lines += ["", "## Before the clock", "", *cold_table(result["cases"]), "", *versions(result["cases"])]
    return "\n".join(lines) + "\n"


def case_table(case: dict[str, Any]) -> list[str]:
    """Return the rows of one case, ratios over its first contestant, and what was to be reached."""
    first = next(iter(case["runs"].values()))
    base = {measure: middle(first, measure)[0] for measure in _MEASURES}
    notes = list(dict.fromkeys(note for runs in case["runs"].values() for note in runs[0]["notes"]))
    heads = ["contestant", "CPU s", "ratio", "wall s", "ratio", "extra MiB", *notes, "against the first"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, runs in case["runs"].items():
        cpu, wall, extra = (middle(runs, measure) for measure in _MEASURES)
        cells = [name, spread(cpu), ratio(cpu[0], base["cpu"]), spread(wall), ratio(wall[0], base["wall"])]
        cells.append(f"{extra[0]:.0f}")
        cells += [f"{runs[0]['notes'][note]:g}" if note in runs[0]["notes"] else "" for note in notes]
        cells.append(agreement(case["verdicts"].get(name)))
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, *goals(case, base)]


def spread(figures: tuple[float, float, float]) -> str:
    """Return median, lowest and highest as text."""
    return "{:.2f} ({:.2f}-{:.2f})".format(*figures)


def ratio(value: float, base: float) -> str:
    """Return a ratio as text."""
    return f"{value / base:.2f}" if base > 0 else "-"


def agreement(verdict: dict[str, Any] | None) -> str:
    """Return how far an answer lies from the first one's."""
    if verdict is None:
        return ""
    if "reason" in verdict:
        return f"**differs: {verdict['reason']}**"
    told = (
        f"{verdict['equal']:.1%} equal, mean {verdict['mean']:.3g}, p99 {verdict['p99']:.3g}, "
        f"footprint {verdict['footprint']:.3%}"
    )
    return told if verdict["same"] else f"**differs**: {told}"


def goals(case: dict[str, Any], base: dict[str, float]) -> list[str]:
    """Return what was to be reached, and whether it was, by the best of the own contestants."""
    wanted = case_of(case["case"]).goals
    own = [runs for name, runs in case["runs"].items() if name.startswith("terracube")]
    if not wanted or not own:
        return []
    found = {
        "cpu": min(middle(runs, "cpu")[0] for runs in own) / (base["cpu"] or 1.0),
        "memory": min(middle(runs, "extra_mib")[0] for runs in own),
        "wall seconds": min(middle(runs, "wall")[0] for runs in own),
        "memory over array": min(middle(runs, "extra_mib")[0] / runs[0]["run"].get("array_mib", 1.0) for runs in own),
    }
    told = [
        f"{name} {found[name]:.2f} of {goal:g}{'' if found[name] <= goal else ' (missed)'}"
        for name, goal in wanted.items()
    ]
    return ["", f"To reach: {'; '.join(told)}."]


def growth_table(cases: list[dict[str, Any]]) -> list[str]:
    """Return what the own contestant took as the work grows."""
    lines = ["| case | CPU s | wall s | extra MiB |", "|---|---|---|---|"]
    for case in cases:
        runs = next(iter(case["runs"].values()))
        cpu, wall, extra = (middle(runs, measure) for measure in _MEASURES)
        lines.append(f"| {case['title']} | {spread(cpu)} | {spread(wall)} | {extra[0]:.0f} |")
    return lines


def cold_table(cases: list[dict[str, Any]]) -> list[str]:
    """Return what the first and the second job on a few pixels took: the difference is imports and compilation."""
    lines = ["| case | contestant | first CPU s | second CPU s |", "|---|---|---|---|"]
    for case in cases:
        for name, runs in case["runs"].items():
            cold, warm = (statistics.median(report[key]["cpu"] for report in runs) for key in ("cold", "warm"))
            if cold - warm > 0.1:
                lines.append(f"| {case['case']} | {name} | {cold:.2f} | {warm:.2f} |")
    return lines


def versions(cases: list[dict[str, Any]]) -> list[str]:
    """Return the versions of what the contestants are made of."""
    found: dict[str, str] = {}
    for case in cases:
        for runs in case["runs"].values():
            told = ", ".join(f"{package} {number}" for package, number in runs[0]["versions"].items())
            found.setdefault(runs[0]["contestant"], told)
    return [f"- {name}: {told}" for name, told in found.items()]
