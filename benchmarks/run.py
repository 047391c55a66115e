"""Run the benchmarks: each contestant as a fresh process, in turns, and write medians and ratios to ``results/``.

python benchmarks/run.py                          # every case of every suite, 5 runs of each contestant
python benchmarks/run.py cubes                    # one suite
python benchmarks/run.py composite --case real-33T --runs 3
python benchmarks/run.py --quick                  # few small cases, one or two runs: does everything still work?
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from datetime import UTC, datetime
from functools import partial
from typing import Any

from cubes import suite as cubes_suite
from deformation import suite as deformation_suite
from harness import RESULTS, Report, Suite, answer, machine, run_contestant, warm_page_cache
from ingest import suite as ingest_suite
from landcover import suite as landcover_suite
from report import markdown, summary
from water import suite as water_suite

COMPOSITE = Suite(
    name="composite",
    cases=("synthetic-4096", "real-33T"),
    quick_case="synthetic-512",
    contestants=(("terracube", "own_terracube.py"), ("peer", "peer_odc_geomad.py")),
)
SUITES = ("composite", "cubes", "deformation", "ingest", "landcover", "water")


def case_arguments(inputs: dict[str, Any], options: argparse.Namespace) -> list[str]:
    """Return the command line that every contestant of a case gets."""
    bounds = [str(edge) for edge in inputs["bounds"]]
    grid = ["--crs", inputs["crs"], "--resolution", str(inputs["resolution"]), "--bounds", *bounds]
    effort = ["--threads", str(options.threads), "--repeat", str(options.repeat)]
    return ["--items", *inputs["items"], *grid, *effort]


def run_case(suite: Suite, case: str, options: argparse.Namespace) -> dict[str, Any] | None:
    """Run one case and return its result; None, with a message, when its inputs are not on this machine."""
    _, inputs = answer(suite.script("data.py"), "--case", case)
    if inputs is None:
        print(f"{suite.name}, {case}: left out, its scenes are not here (set TERRACUBE_DATA)")
        return None
    contestants = [pair for pair in suite.contestants if not options.only or pair[0] in options.only]
    work = RESULTS / "work" / suite.name / case
    shutil.rmtree(work, ignore_errors=True)
    warm_page_cache(inputs["items"])
    runs: dict[str, list[Report]] = {name: [] for name, _ in contestants}
    agreement: dict[str, Any] | None = None
    for turn in range(options.runs):
        for name, script in contestants:
            report = run_contestant(suite.script(script), case_arguments(inputs, options), work / name)
            runs[name].append(report)
            took = ", ".join(f"{run['cpu']:.1f} s CPU {run['wall']:.1f} s wall" for run in report["runs"])
            print(f"{suite.name}, {case}, turn {turn + 1}/{options.runs}, {name}: {took}", flush=True)
        if turn == 0 and len(contestants) > 1:
            products = [work / name / "product" for name, _ in contestants]
            rows = ("--rows", str(inputs["compared_rows"])) if inputs["compared_rows"] else ()
            _, agreement = answer(suite.script("compare.py"), *products, *rows)
    if not options.keep:
        shutil.rmtree(work)
    return {
        "suite": suite.name,
        "case": case,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "threads": options.threads,
        "runs": runs,
        "summary": summary(runs),
        "agreement": agreement,
    }


def store(result: dict[str, Any], text: str) -> None:
    """Write the result as JSON and Markdown, and print the latter."""
    stamp = result["date"][:19].replace(":", "").replace("-", "")
    RESULTS.mkdir(parents=True, exist_ok=True)
    stem = f"{result['suite']}-{result['case']}-{stamp}"
    (RESULTS / f"{stem}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (RESULTS / f"{stem}.md").write_text(text, encoding="utf-8")
    print("\n" + text)


def parse() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"{' or '.join(SUITES)}; all unless given")
    parser.add_argument("--case", action="append", help="only this case; may be given again")
    parser.add_argument("--only", action="append", help="only this contestant; may be given again")
    parser.add_argument("--runs", type=int, default=5, help="how often each contestant is started")
    parser.add_argument("--repeat", type=int, default=2, help="composite, landcover: jobs per process, first cold")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="few small cases, one run of each (two of cubes)")
    parser.add_argument("--keep", action="store_true", help="keep the products, in results/work")
    options = parser.parse_args()
    if options.runs < 1 or options.repeat < 1:
        parser.error("--runs and --repeat must be 1 or more")
    if set(options.suites) - set(SUITES):
        parser.error(f"unknown suite; known: {', '.join(SUITES)}")
    known = {*COMPOSITE.cases, COMPOSITE.quick_case}
    suites = (cubes_suite, deformation_suite, ingest_suite, landcover_suite, water_suite)
    known.update(*(suite.NAMES for suite in suites))
    if unknown := set(options.case or ()) - known:
        parser.error(f"unknown case {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
    options.suites = options.suites or list(SUITES)
    return options


def run_composite(options: argparse.Namespace) -> bool:
    """Run the cases of the composite; False if any two contestants gave different answers."""
    if options.quick:
        options.runs = 1
    known = (*COMPOSITE.cases, COMPOSITE.quick_case)
    asked = [case for case in options.case if case in known] if options.case else list(COMPOSITE.cases)
    same = True
    for case in [COMPOSITE.quick_case] if options.quick else asked:
        result = run_case(COMPOSITE, case, options)
        if result is not None:
            store(result, markdown(result))
            same = same and (result["agreement"] is None or result["agreement"]["same"])
    return same


def run_suite(suite: Any, options: argparse.Namespace, *, quick_rounds: int = 1) -> bool:
    """Run the cases of a suite that puts its own figures together; False if any two contestants differed."""
    if options.quick:
        options.runs = quick_rounds
    result = suite.run(options)
    if result is None:
        return True
    store(result, suite.markdown(result))
    return bool(result["same"])


def main() -> int:
    """Run what was asked for; 1 if any two contestants gave different answers."""
    options = parse()
    runners = {
        "composite": run_composite,
        "cubes": partial(run_suite, cubes_suite, quick_rounds=2),
        "deformation": partial(run_suite, deformation_suite),
        "ingest": partial(run_suite, ingest_suite),
        "landcover": partial(run_suite, landcover_suite),
        "water": partial(run_suite, water_suite),
    }
    same = [runners[name](options) for name in options.suites]  # all of them, even after one that differs
    return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
