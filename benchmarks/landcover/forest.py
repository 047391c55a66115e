"""Forests of 200 trees, 60 features, 23 classes, depth 25 and 12: CPU time against scikit-learn and onnxruntime.

Each contestant is a fresh process on one thread, in turns; answers are compared with scikit-learn's: labels to the
bit, probabilities within 1e-6. The forests are trained once and kept below results/work.

    python benchmarks/landcover/forest.py                      # 32 768 pixels, 3 turns; training takes minutes
    python benchmarks/landcover/forest.py --case shallow --runs 1 --only terracube scikit-learn
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from forest_contestant import CASES, Case, train

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from harness import RESULTS, machine, start  # noqa: E402  the folder above has to be known first

WORK = RESULTS / "work" / "landcover-forest"
CLOSE = 1e-6
CONTESTANTS = {
    "terracube": "own_forest.py",
    "scikit-learn": "peer_forest_sklearn.py",
    "onnxruntime": "peer_forest_onnx.py",
}
GOALS = {("deep", "scikit-learn"): 3.5, ("shallow", "scikit-learn"): 4.5}
GOALS |= {(name, "onnxruntime"): 8.0 for name in CASES}
# The slow peer is asked for fewer pixels; its cost per pixel does not depend on their number.
SHARE = {"onnxruntime": 8}


def run_case(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """Run the contestants of a case in turns and compare their answers."""
    kept = WORK / f"{case.name}.joblib"
    if not kept.exists():
        train(case, kept)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in options.only}
    for turn in range(options.runs):
        for name in options.only:
            if name == "onnxruntime" and turn:
                continue
            told = ["--forest", str(kept), "--pixels", str(options.pixels // SHARE.get(name, 1))]
            told += ["--repeat", "1" if name in SHARE else "3"]
            told += ["--answer", str(WORK / f"{case.name}-{name}.npy")] if turn == 0 else []
            runs[name].append(start(HERE / CONTESTANTS[name], told, WORK / "log.txt", WORK / "report.json"))
            print(f"forest, {case.name}, turn {turn + 1}, {name}: {runs[name][-1]['cpu']:.2f} s CPU", flush=True)
    return told_of(case, runs, options.pixels)


def told_of(case: Case, runs: dict[str, list[dict[str, Any]]], pixels: int) -> dict[str, Any]:
    """Put the figures of a case together."""
    cost = {
        name: statistics.median(run["cpu"] for run in found) * SHARE.get(name, 1) / pixels * 1e6
        for name, found in runs.items()
    }
    ratios = {name: round(cost[name] / cost["terracube"], 2) for name in cost if name != "terracube"}
    extra = {name: round(max(run["extra_kib"] for run in found) / 1024, 1) for name, found in runs.items()}
    return {
        "case": case.name,
        "seconds per Mpixel": {name: round(seconds, 2) for name, seconds in cost.items()},
        "ratios": ratios,
        "goals": {name: GOALS[case.name, name] for name in ratios},
        "extra MiB": extra,
        "answer MiB": round(runs["terracube"][0]["answer_kib"] / 1024, 1),
        "answers": compared(case),
        "versions": {name: found[0]["versions"] for name, found in runs.items()},
    }


def compared(case: Case) -> dict[str, Any]:
    """Compare labels and probabilities with those of scikit-learn."""
    own, peer = (np.load(WORK / f"{case.name}-{name}.npy") for name in ("terracube", "scikit-learn"))
    same = bool((own.argmax(axis=1) == peer.argmax(axis=1)).all())
    apart = float(abs(own - peer).max())
    return {"labels equal": same, "largest difference": apart, "same": same and apart <= CLOSE}


def main() -> int:
    """Run what was asked for, print and store it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=tuple(CASES), nargs="+", default=list(CASES))
    parser.add_argument("--only", choices=tuple(CONTESTANTS), nargs="+", default=list(CONTESTANTS))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--pixels", type=int, default=32768)
    options = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    cases = [run_case(CASES[name], options) for name in options.case]
    told = {"suite": "landcover-forest", "date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine()}
    text = json.dumps({**told, "pixels": options.pixels, "rounds": options.runs, "cases": cases}, indent=1)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    (RESULTS / f"landcover-forest-{stamp}.json").write_text(text + "\n", encoding="utf-8")
    print(json.dumps(cases, indent=1))
    return 0 if all(case["answers"]["same"] for case in cases) else 1


if __name__ == "__main__":
    sys.exit(main())
