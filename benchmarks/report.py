"""Medians, ratios and the Markdown table of a benchmark case."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from typing import Any

Report = dict[str, Any]
Measure = Callable[[Report], float]
MIB = 1024.0

# Only the first run tells the extra memory of one job: the peak of a second one cannot be lower.
MEASURES: dict[str, Measure] = {
    "CPU s, cold": lambda report: report["runs"][0]["cpu"],
    "CPU s, warm": lambda report: report["runs"][-1]["cpu"],
    "CPU s, fresh process (imports + cold)": lambda report: report["imports"]["cpu"] + report["runs"][0]["cpu"],
    "wall s, cold": lambda report: report["runs"][0]["wall"],
    "wall s, warm": lambda report: report["runs"][-1]["wall"],
    "peak over imports MiB, cold": lambda report: peak_over_imports(report, 0),
    "peak over imports MiB, both runs": lambda report: peak_over_imports(report, -1),
    "peak MiB, both runs": lambda report: report["runs"][-1]["peak_kib"] / MIB,
    "COG MB written": lambda report: report["bytes_cog"] / 1e6,
    "Zarr MB written": lambda report: report["bytes_zarr"] / 1e6,
}


def peak_over_imports(report: Report, run: int) -> float:
    """Return by how many MiB the peak up to the end of a run exceeds the memory right after the imports."""
    return float(report["runs"][run]["peak_kib"] - report["imports"]["rss_kib"]) / MIB


def spread(reports: Iterable[Report], measure: Measure) -> tuple[float, float, float]:
    """Return median, lowest and highest of a measure."""
    values = [measure(report) for report in reports]
    return statistics.median(values), min(values), max(values)


def summary(runs: dict[str, list[Report]]) -> dict[str, dict[str, Any]]:
    """Return for each measure the median, lowest and highest of each contestant, and the ratio first / second."""
    table: dict[str, dict[str, Any]] = {}
    for name, measure in MEASURES.items():
        row: dict[str, Any] = {who: spread(reports, measure) for who, reports in runs.items()}
        medians = [figures[0] for figures in row.values()]
        if len(medians) > 1 and medians[1]:
            row["ratio"] = medians[0] / medians[1]
        table[name] = row
    return table


def stage_rows(runs: dict[str, list[Report]]) -> list[str]:
    """Return the median CPU seconds of each stage and note of the warm run, per contestant."""
    lines = []
    for who, reports in runs.items():
        last = [report["runs"][-1] for report in reports]
        for stage in last[0]["stages"]:
            seconds = statistics.median(run["stages"][stage]["cpu"] for run in last)
            lines.append(f"| {who} | {stage} | {seconds:.2f} |")
        notes = {note: statistics.median(run["notes"][note] for run in last) for note in last[0]["notes"]}
        lines += [f"| {who} | ({note}) | {seconds:.2f} |" for note, seconds in notes.items()]
    return lines


def agreement(verdict: dict[str, Any] | None) -> list[str]:
    """Return the lines that say whether the contestants gave the same answer."""
    if verdict is None:
        return ["The products were not compared: only one contestant ran."]
    if "reason" in verdict:
        return [f"**The products differ: {verdict['reason']}**"]
    head = "The products agree" if verdict["same"] else "**The products differ**"
    counts = f"{verdict['other count']:.4%} of the pixels have another number of clear dates"
    lines = [f"{head} ({verdict['clear-cut']:.1%} of the pixels compared; {counts}).", ""]
    lines += ["| layer | median | p99 | p99.9 | max |", "|---|---|---|---|---|"]
    for layer, figures in verdict["layers"].items():
        cells = " | ".join(f"{figures[name]:.1e}" for name in ("median", "p99", "p99.9", "max"))
        lines.append(f"| {layer} | {cells} |")
    return lines


def markdown(result: dict[str, Any]) -> str:
    """Return the report of a case: machine, medians with their range, ratio, stages, agreement."""
    runs: dict[str, list[Report]] = result["runs"]
    names = list(runs)
    place = result["machine"]
    rounds = len(runs[names[0]])
    columns = [*names, *(["ratio"] if len(names) > 1 else [])]
    lines = [
        f"# {result['suite']}, {result['case']}",
        "",
        f"{result['date']}; {place['processor']}, {place['cores']} cores, {place['memory_gib']} GiB, Python "
        f"{place['python']}; {result['threads']} threads; medians (lowest-highest) of {rounds} interleaved runs, page "
        "cache warm.",
        "",
        f"| | {' | '.join(columns)} |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for measure, row in result["summary"].items():
        cells = [f"{middle:.2f} ({low:.2f}-{high:.2f})" for middle, low, high in (row[name] for name in names)]
        ratio = [f"{row['ratio']:.2f}" if "ratio" in row else "-"] if len(names) > 1 else []
        lines.append(f"| {measure} | {' | '.join([*cells, *ratio])} |")
    lines += ["", *agreement(result["agreement"]), "", "| contestant | stage, warm | CPU s |", "|---|---|---|"]
    lines += stage_rows(runs)
    lines.append("")
    for name in names:
        versions = ", ".join(f"{package} {number}" for package, number in runs[name][0]["versions"].items())
        lines.append(f"- {name}: {versions}")
    return "\n".join(lines) + "\n"
