"""Gap filling, 60 dates x 10 bands, half of the dates masked: CPU time per pixel against numpy and xarray.

Each contestant is a fresh process on one thread, in turns; answers are compared, so that speed is never compared for
different answers.

    python benchmarks/landcover/gapfill.py                     # 16 384 pixels, 5 turns; half a minute to a minute
    python benchmarks/landcover/gapfill.py --runs 1 --pixels 2048
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from harness import RESULTS, machine, start  # noqa: E402  the folder above has to be known first

LIMIT = 1e-6


@dataclass(frozen=True)
class Case:
    """A job, who does it, and how many times faster than the other the first is to be."""

    job: str
    title: str
    contestants: tuple[tuple[str, str], ...]  # name and script
    goal: float


# As many repetitions for both sides of a case: the least of more would be less.
TURNS = {"regular": 5, "dates": 2}
OWN = ("terracube", "own_gapfill.py")
CASES = (
    Case("regular", "60 dates to 37, ten days apart", (OWN, ("numpy", "peer_gapfill_numpy.py")), 5.0),
    Case("dates", "at the 60 dates themselves", (OWN, ("xarray", "peer_gapfill_xarray.py")), 75.0),
)


def run_case(case: Case, options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Run the contestants of a case in turns and compare their answers."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name, _ in case.contestants}
    for turn in range(options.runs):
        for name, script in case.contestants:
            told = ["--job", case.job, "--pixels", str(options.pixels), "--repeat", str(TURNS[case.job])]
            told += ["--answer", str(work / f"{name}.npy")] if turn == 0 else []
            runs[name].append(start(HERE / script, told, work / "log.txt", work / "report.json"))
    per_pixel = {name: statistics.median(run["cpu"] for run in found) / options.pixels for name, found in runs.items()}
    own, peer = (per_pixel[name] for name, _ in case.contestants)
    answers = [np.load(work / f"{name}.npy") for name, _ in case.contestants]
    return {
        "case": case.job,
        "title": case.title,
        "cpu_s_per_mpx": {name: round(value * 1e6, 4) for name, value in per_pixel.items()},
        "range_cpu_s_per_mpx": {name: spread(found, options.pixels) for name, found in runs.items()},
        "runs": runs,
        "compile_cpu_s": {name: round(found[0]["cold"], 2) for name, found in runs.items()},
        "ratio": round(peer / own, 1),
        "goal": case.goal,
        "apart": apart(*answers),
        "versions": {name: found[0]["versions"] for name, found in runs.items()},
    }


def spread(runs: list[dict[str, Any]], pixels: int) -> tuple[float, float]:
    """Return the least and the most that a process took, per megapixel."""
    values = [run["cpu"] / pixels * 1e6 for run in runs]
    return round(min(values), 4), round(max(values), 4)


def apart(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """Return the largest difference of two answers; infinite if they are missing in different places."""
    if one.shape != other.shape or (np.isnan(one) != np.isnan(other)).any():
        return float("inf")
    return float(np.nanmax(np.abs(one.astype(np.float64) - other)))


def markdown(result: dict[str, Any]) -> str:
    """Return the report."""
    place = result["machine"]
    lines = [
        "# landcover: gap filling",
        "",
        f"{result['date']}; {place['processor']}, {place['cores']} cores, Python {place['python']}; {result['pixels']} "
        f"pixels, medians (lowest-highest) of {result['runs']} interleaved processes, compilation outside the clock.",
        "",
        "| case | terracube, CPU s/Mpx | peer | CPU s/Mpx | ratio | to reach | largest difference |",
        "|---|---|---|---|---|---|---|",
    ]
    for case in result["cases"]:
        (_, own), (peer, other) = case["cpu_s_per_mpx"].items()
        (low, high), (least, most) = case["range_cpu_s_per_mpx"].values()
        figures = (f"{own:.2f} ({low:.2f}-{high:.2f})", peer, f"{other:.2f} ({least:.2f}-{most:.2f})")
        verdict = (f"**{case['ratio']:.1f}**", f"{case['goal']:g}", f"{case['apart']:.1e}")
        lines.append(f"| {' | '.join((case['title'], *figures, *verdict))} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run both cases, write JSON and Markdown to the results and print the latter; exit code 1 if answers differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--pixels", type=int, default=64 * 256)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cases = [run_case(case, options, Path(folder)) for case in CASES]
    date = datetime.now(UTC).isoformat(timespec="seconds")
    result = {"date": date, "machine": machine(), "pixels": options.pixels, "runs": options.runs, "cases": cases}
    RESULTS.mkdir(parents=True, exist_ok=True)
    stem = f"landcover-gapfill-{date[:19].replace(':', '').replace('-', '')}"
    (RESULTS / f"{stem}.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    (RESULTS / f"{stem}.md").write_text(markdown(result), encoding="utf-8")
    print(markdown(result))
    sys.exit(0 if all(case["apart"] <= LIMIT for case in cases) else 1)


if __name__ == "__main__":
    main()
