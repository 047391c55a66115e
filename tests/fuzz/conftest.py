"""The process in which parsers are fuzzed, and the names of the parsers.

The modules of ``harness/`` run in that process alone, as a script finds them; here only their list is needed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parent
CRASHERS = FOLDER / "crashers"
#: Modules that find each other as scripts do, not as tests.
collect_ignore = ["harness"]

_WALL_SECONDS = 120.0
"""After which a call that does not use the processor either is given up."""


class Worker:
    """A process that runs parsers; another is started where one died."""

    def __init__(self, scratch: Path) -> None:
        self._scratch, self._count = scratch, 0
        self._process: subprocess.Popen[str] | None = None

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and give its answer; a process that dies or hangs is an answer too."""
        process = self._started()
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the worker has no pipes")
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], _WALL_SECONDS)
        line = process.stdout.readline() if ready else ""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        what = "the process died" if ready else f"no answer in {_WALL_SECONDS:g} s"
        code = self.close(kill=not ready)
        trace = self._log.read_text(encoding="utf-8", errors="replace")[-3000:]
        return {"outcome": "finding", "what": f"{what} ({code})", "where": what, "trace": trace, "died": True}

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._count += 1
            scratch = self._scratch / str(self._count)
            scratch.mkdir()
            self._log = scratch.with_suffix(".log")
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-B", str(FOLDER / "harness" / "worker.py"), str(scratch)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
        return self._process

    def close(self, *, kill: bool = False) -> int:
        """End the process; give its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        if kill:
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        code = process.wait()
        if process.stdout is not None:
            process.stdout.close()
        return code


def _parsers() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_parsers", FOLDER / "harness" / "parsers.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError("harness/parsers.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


PARSERS: dict[str, Any] = _parsers().PARSERS


@pytest.fixture(scope="session")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """The process that runs parsers."""
    found = Worker(tmp_path_factory.mktemp("fuzz"))
    yield found
    found.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test for every parser, every valid product, or every crasher that is kept."""
    if "parser" in metafunc.fixturenames:
        metafunc.parametrize("parser", PARSERS.values(), ids=PARSERS)
    if "seed" in metafunc.fixturenames:
        seeds = [(one.name, number) for one in PARSERS.values() for number in range(len(one.seeds))]
        metafunc.parametrize("seed", seeds, ids=[f"{name}-{number}" for name, number in seeds])
    if "crasher" in metafunc.fixturenames:
        kept = sorted(CRASHERS.glob("*/*.zip"))
        metafunc.parametrize("crasher", kept, ids=[f"{path.parent.name}-{path.stem}" for path in kept])


@pytest.fixture(scope="session")
def crashers() -> Path:
    """Where findings are kept, a folder per parser."""
    return CRASHERS


@pytest.fixture(scope="session")
def fuzz_seconds() -> float:
    """How long each parser is fuzzed; 0: a few fixed cases, as in `make test`."""
    return float(os.environ.get("TERRACUBE_FUZZ_SECONDS") or 0)


@pytest.fixture(scope="session")
def fuzz_start(fuzz_seconds: float) -> int:
    """The number of the first case: 0 in `make test`, another one at each `make fuzz` unless it is given."""
    told = os.environ.get("TERRACUBE_FUZZ_START")
    return int(told) if told else (int.from_bytes(os.urandom(4), "big") if fuzz_seconds else 0)
