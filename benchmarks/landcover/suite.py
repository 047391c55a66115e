"""Run the cases of the land-cover benchmark and put their figures together."""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness import HERE, RESULTS, Report, answer, gathered, start

FOLDER = HERE / "landcover"
CHAINS = ("chain-512", "chain-1024", "chain-2048")
PARTS = ("gapfill", "forest-deep", "forest-shallow")
NAMES = (*CHAINS, *PARTS)
FULL, QUICK = ("chain-2048", *PARTS), ("chain-512", *PARTS)
CONTESTANTS = {"xarray + scikit-learn": "peer_xarray_sklearn.py", "terracube": "own_terracube.py"}
GOALS = {"cpu": 4.0, "extra_mib": 4.0}
MEASURES = {"cpu": "CPU s", "wall": "wall s", "extra_mib": "extra MiB"}


def run(options: argparse.Namespace) -> dict[str, Any] | None:
    """Run what was asked for; None if nothing was."""
    names = [name for name in (QUICK if options.quick else tuple(options.case or FULL)) if name in NAMES]
    if not names:
        return None
    done = [run_chain(name, options) if name in CHAINS else run_part(name, options) for name in names]
    return gathered("landcover", options, done)


def run_chain(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run the whole chain: both contestants in turns, each twice in its process; maps compared after the first turn."""
    _, inputs = answer(FOLDER / "data.py", "--case", name)
    own = FOLDER / CONTESTANTS["terracube"]
    work = RESULTS / "work" / "landcover" / name
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    prepare(own, inputs["folder"], work)
    wanted = {one: script for one, script in CONTESTANTS.items() if not options.only or one in options.only}
    runs: dict[str, list[Report]] = {one: [] for one in wanted}
    verdict: dict[str, Any] = {"same": True}
    for turn in range(options.runs):
        for one, script in wanted.items():
            told = ["--folder", inputs["folder"], "--out", str(work / script), "--repeat", str(options.repeat)]
            told += ["--threads", str(options.threads)]
            report = start(FOLDER / script, told, work / "log", work / "report.json")
            runs[one].append({"run": figures(report), **report})
            print(f"landcover, {name}, turn {turn + 1}/{options.runs}, {one}: {figures(report)}", flush=True)
        if turn == 0 and len(wanted) > 1:
            _, verdict = answer(FOLDER / "compare.py", *(work / script for script in wanted.values()))
    if not options.keep:
        shutil.rmtree(work)
    return {"case": name, "size": inputs["size"], "runs": runs, "verdict": verdict, "same": verdict["same"]}


def prepare(own: Path, folder: str, work: Path) -> None:
    """Have the forest taken over in a process of its own, where it is not yet, so that nobody's memory holds it."""
    if not (Path(folder) / "forest.tcmodel").exists():
        told = ["--folder", folder, "--out", str(work / "prepared"), "--repeat", "0"]
        start(own, told, work / "log", work / "report.json")


def figures(report: Report) -> dict[str, float]:
    """Return what the last, warm run of a process took; memory is what it held at most beyond its imports."""
    last = report["runs"][-1]
    extra = (last["peak_kib"] - report["imports"]["rss_kib"]) / 1024
    return {"cpu": last["cpu"], "wall": last["wall"], "extra_mib": round(extra, 1)}


def run_part(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run the gap filling or a forest alone, by the modules that do."""
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))
    if name == "gapfill":
        import gapfill

        told = argparse.Namespace(runs=options.runs, pixels=2048 if options.quick else 16_384)
        with tempfile.TemporaryDirectory() as folder:
            cases = [gapfill.run_case(case, told, Path(folder)) for case in gapfill.CASES]
        return {"case": name, "parts": cases, "same": all(case["apart"] <= gapfill.LIMIT for case in cases)}
    import forest

    forest.WORK.mkdir(parents=True, exist_ok=True)
    only = [one for one in forest.CONTESTANTS if not options.only or one in options.only]
    told = argparse.Namespace(runs=options.runs, pixels=16_384 if options.quick else 32_768, only=only)
    case = forest.run_case(forest.CASES[name.removeprefix("forest-")], told)
    return {"case": name, "parts": [case], "same": case["answers"]["same"]}


def middle(runs: list[Report], measure: str) -> tuple[float, float, float]:
    """Return median, lowest and highest of a measure."""
    values = [report["run"][measure] for report in runs]
    return statistics.median(values), min(values), max(values)


def markdown(result: dict[str, Any]) -> str:
    """Return the report: a table per case."""
    place = result["machine"]
    lines = [
        "# landcover",
        "",
        f"{result['date']}; {place['processor']}, {place['cores']} cores, {place['memory_gib']} GiB, Python "
        f"{place['python']}; {result['threads']} threads (parts: one); medians (lowest-highest) of {result['rounds']} "
        "interleaved runs, warm: each process does its job twice.",
    ]
    tables = {"gapfill": gapfill_table}
    for case in result["cases"]:
        table = chain_table if case["case"] in CHAINS else tables.get(case["case"], forest_table)
        lines += ["", f"## {case['case']}", "", *table(case)]
    return "\n".join(lines) + "\n"


def chain_table(case: dict[str, Any]) -> list[str]:
    """Return the rows of the whole chain, and how often the own figures go into the peer's."""
    lines = [f"| contestant | {' | '.join(MEASURES.values())} |", "|---" * (len(MEASURES) + 1) + "|"]
    for name, runs in case["runs"].items():
        cells = ["{:.1f} ({:.1f}-{:.1f})".format(*middle(runs, measure)) for measure in MEASURES]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    if len(case["runs"]) == len(CONTESTANTS):
        peer, own = (case["runs"][name] for name in CONTESTANTS)
        ratios = {measure: middle(peer, measure)[0] / middle(own, measure)[0] for measure in MEASURES}
        told = [f"{MEASURES[name]} {ratio:.2f} times" for name, ratio in ratios.items()]
        missed = [MEASURES[name] for name, goal in GOALS.items() if ratios[name] < goal]
        reached = f"missed: {', '.join(missed)}" if missed else "reached"
        lines += ["", f"The peer needs {', '.join(told)} as much; to reach: 4 times CPU and memory ({reached})."]
    verdict = ", ".join(f"{name}: {value}" for name, value in case["verdict"].items())
    return [*lines, "", f"Maps: {verdict}."]


def gapfill_table(case: dict[str, Any]) -> list[str]:
    """Return the rows of the gap filling."""
    lines = ["| job | peer | CPU s/Mpx, terracube | peer's | ratio | to reach | apart |", "|---" * 7 + "|"]
    for part in case["parts"]:
        (_, own), (peer, other) = part["cpu_s_per_mpx"].items()
        cells = (part["title"], peer, f"{own:.2f}", f"{other:.2f}", f"{part['ratio']:.1f}", f"{part['goal']:g}")
        lines.append(f"| {' | '.join(cells)} | {part['apart']:.1e} |")
    return lines


def forest_table(case: dict[str, Any]) -> list[str]:
    """Return the rows of a forest."""
    lines = ["| contestant | CPU s/Mpx | ratio | to reach |", "|---" * 4 + "|"]
    for part in case["parts"]:
        for name, seconds in part["seconds per Mpixel"].items():
            ratio, goal = part["ratios"].get(name), part["goals"].get(name)
            lines.append(f"| {name} | {seconds:.2f} | {ratio or ''} | {goal or ''} |")
        told = ", ".join(f"{name}: {value}" for name, value in part["answers"].items())
        lines += ["", f"Against scikit-learn: {told}."]
    return lines
