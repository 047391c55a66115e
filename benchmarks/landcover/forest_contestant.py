"""What the contestants of the forest benchmark share: the forest, the pixels, and the measurement of themselves.

A contestant calls `contest(name, prepare, packages)`; `prepare` takes the fitted forest and gives a function from
pixels (n, features) to probabilities (n, classes). It is called once on a few pixels, where compilation is paid for,
then some times on all: the least CPU time counts, because other work on a machine only adds to it.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Predict = Callable[[Floats], npt.NDArray[Any]]
Prepare = Callable[[Any], Predict]

TREES, FEATURES, CLASSES, SAMPLES = 200, 60, 23, 28_000
MODES, NOISE, WRONG = 3, 2.0, 0.05
SEED = 20261120


@dataclass(frozen=True)
class Case:
    """A forest: how deep, and how few samples a leaf may hold."""

    name: str
    depth: int
    leaf: int


CASES = {case.name: case for case in (Case("deep", 25, 5), Case("shallow", 12, 2))}


def draw(count: int, seed: int) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Draw independent samples of classes with three centres each: neighbours share nothing, the worst case."""
    centres = np.random.default_rng(SEED).normal(size=(CLASSES, MODES, FEATURES))
    random = np.random.default_rng(seed)
    label = random.integers(0, CLASSES, count)
    noise = NOISE * random.normal(size=(count, FEATURES))
    return (centres[label, random.integers(0, MODES, count)] + noise).astype(np.float32), label


def train(case: Case, path: Path) -> None:
    """Fit the forest of a case and keep it."""
    from sklearn.ensemble import RandomForestClassifier

    x, y = draw(SAMPLES, SEED + 1)
    random = np.random.default_rng(SEED + 2)
    y = np.where(random.random(SAMPLES) < WRONG, random.integers(0, CLASSES, SAMPLES), y)
    forest = RandomForestClassifier(
        TREES, max_depth=case.depth, min_samples_leaf=case.leaf, random_state=0, n_jobs=1
    ).fit(x, y)
    path.parent.mkdir(parents=True, exist_ok=True)
    joblib.dump(forest, path)


def cpu_seconds() -> float:
    """Return the CPU seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def memory_kib(field: str) -> int:
    """Return VmRSS (now) or VmHWM (peak) of this process."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(f"{field}:"))


def contest(name: str, prepare: Prepare, packages: tuple[str, ...]) -> None:
    """Do the job as the command line says and store the measurements as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--forest", type=Path, required=True)
    parser.add_argument("--pixels", type=int, required=True)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--answer", type=Path)
    parser.add_argument("--report", type=Path, required=True)
    options = parser.parse_args()
    x, _ = draw(options.pixels, SEED + 3)
    began = time.process_time()
    predict = prepare(joblib.load(options.forest))
    predict(x[:64])
    prepared = time.process_time() - began
    before, took = memory_kib("VmHWM"), []
    answer = np.empty((0, CLASSES), np.float32)
    for _ in range(options.repeat):
        cpu = cpu_seconds()
        answer = predict(x)
        took.append(cpu_seconds() - cpu)
    report = {
        "contestant": name,
        "cpu": min(took),
        "prepared": prepared,
        "extra_kib": memory_kib("VmHWM") - before,
        "answer_kib": answer.nbytes // 1024,
        "versions": {package: version(package) for package in packages},
    }
    if options.answer:
        np.save(options.answer, answer)
    options.report.write_text(json.dumps(report), encoding="utf-8")
