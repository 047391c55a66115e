"""Every parser of what comes from outside, on valid products, on spoilt ones, and on those that once broke it.

Whatever it is given, a parser gives what it read or raises a TerraCubeError: nothing else escapes, nothing is written,
opened or called outside the product, and neither time nor memory run away. `make test` runs a few cases that are always
the same; `make fuzz` others for some minutes, and keeps what it finds below ``crashers/``.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import pytest

_CASES = 9
_MOST_FINDINGS = 5


def test_valid_products_are_read(worker: Any, seed: tuple[str, int]) -> None:
    """What the fuzzing starts from is read without an error: else it would look at nothing but refusals."""
    found = worker.ask(do="seed", parser=seed[0], number=seed[1])
    assert found["outcome"] == "read", found


def test_crashers_stay_mended(worker: Any, crasher: Path) -> None:
    """What once broke a parser is read or refused."""
    found = worker.ask(do="replay", parser=crasher.parent.name, path=str(crasher))
    assert found["outcome"] in ("read", "refused"), f"{found['what']}\n{found['trace']}"


def test_spoilt_products_are_read_or_refused(
    worker: Any, parser: Any, crashers: Path, fuzz_seconds: float, fuzz_start: int
) -> None:
    """A product that is spoilt in one way or several is read or refused."""
    findings: dict[str, str] = {}
    worker.ask(do="seed", parser=parser.name, number=0)  # what it imports and compiles is not fuzzing
    number, end = fuzz_start, time.monotonic() + fuzz_seconds * (1 if parser.cost == 1 else 2)
    last = number + max(3, _CASES // parser.cost)
    while (time.monotonic() < end if fuzz_seconds else number < last) and len(findings) < _MOST_FINDINGS:
        found = worker.ask(do="fuzz", parser=parser.name, number=number)
        if found["outcome"] == "finding" and found["where"] not in findings:
            kept = keep(worker, crashers / parser.name, parser.name, number, found) if fuzz_seconds else "not kept"
            findings[found["where"]] = f"case {number} ({kept}): {found['what']}\n{found['trace']}"
        number += 1
    print(f"{parser.name}: cases {fuzz_start} to {number - 1}")
    assert not findings, "\n".join(findings.values())


def keep(worker: Any, folder: Path, parser: str, number: int, found: dict[str, Any]) -> str:
    """Write the spoilt product of a finding, made as small as it can be; give the name of the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(found['where'].encode()).hexdigest()[:12]}.zip"
    told = {"parser": parser, "number": number, "where": found["where"], "what": found["what"], "path": str(path)}
    worker.ask(do="keep", small=not found.get("died"), **told)
    return f"crashers/{parser}/{path.name}"


def test_a_finding_is_kept_small_and_stays_one(worker: Any, tmp_path: Path) -> None:
    """What is kept is a file of few bytes that shows the finding again."""
    found = worker.ask(do="fuzz", parser="error", number=1)
    assert keep(worker, tmp_path, "error", 1, found).startswith("crashers/error/")
    (kept,) = tmp_path.glob("*.zip")
    assert kept.stat().st_size < 1000
    assert worker.ask(do="replay", parser="error", path=str(kept))["where"] == found["where"]


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("error", "KeyError"),
        ("write", "open outside: left"),
        ("change", "open outside: a.txt"),
        ("read", "a file outside the product was opened"),
        ("connect", "socket.connect was called"),
        ("start", "a program was started: true"),
        ("memory", "MemoryError"),
        ("peak", "too much memory was used"),
        ("loop", "more than 0.1 s of processor time"),
        ("die", "the process died"),
    ],
)
def test_the_watch_sees_what_it_is_for(worker: Any, kind: str, what: str) -> None:
    """A parser that does what it must not is found out, also if it takes its process with it."""
    if kind == "peak":
        worker.close(kill=True)  # what a process has used at most, it has used already
    found = worker.ask(do="seed", parser=kind, number=0, seconds=0.1 if kind == "loop" else 10)
    assert found["outcome"] == "finding"
    assert what in found["what"]
