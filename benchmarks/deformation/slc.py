"""What the steps from radar images to unwrapped phase cost, and how right they are.

Cost: CPU seconds per million pixels in memory, one thread, least of several calls after one that compiles. Looks and
coherence are set beside plain numpy and scipy (per million samples of the images); the filter beside one that
transforms rows of patches with scipy and smooths with its moving average, in single precision. Right: cycles of
simulated hills in speckle of known coherence, as a share of wrong pixels; whole, and in tiles. snaphu is measured where
it is installed.

    python benchmarks/deformation/slc.py --out benchmarks/results/deformation-slc.json
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# Before numpy and the unwrapper start their threads.
os.environ.setdefault("RAYON_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import scipy.fft
from scipy.ndimage import uniform_filter

from terracube.processing.deformation.slc import coherence, goldstein, interferogram, unwrap

PATCH, STEP, ALPHA = 32, 16, 0.6


def best(job: Callable[[], Any], times: int = 4) -> float:
    """Give the least CPU seconds of several calls, after one that compiles."""
    job()
    taken = []
    for _ in range(times):
        start = time.process_time()
        job()
        taken.append(time.process_time() - start)
    return min(taken)


def images(side: int, gamma: float = 0.6) -> tuple[Any, Any]:
    """Draw two images of speckle with a coherence."""
    rng = np.random.default_rng(0)
    first, other = (rng.standard_normal((side, side, 2)) @ [1, 1j] for _ in range(2))
    return first.astype("complex64"), (gamma * first + np.sqrt(1 - gamma**2) * other).astype("complex64")


def plain_looks(one: Any, two: Any, flat: Any, looks: tuple[int, int]) -> Any:
    """Average products and powers of cells with numpy."""
    product = one * two.conj() * np.exp(-1j * flat).astype("complex64")
    shape = (one.shape[0] // looks[0], looks[0], one.shape[1] // looks[1], looks[1])
    whole = (slice(shape[0] * looks[0]), slice(shape[2] * looks[1]))
    return [
        np.nanmean(part[whole].reshape(shape), axis=(1, 3)) for part in (product, np.abs(one) ** 2, np.abs(two) ** 2)
    ]


def plain_coherence(pair: Any, window: tuple[int, int]) -> Any:
    """Average over windows with scipy, without missing pixels and without correction."""
    value, first, second = (pair[name].values for name in ("interferogram", "reference_power", "secondary_power"))
    real, imaginary, one, two = (uniform_filter(part, window) for part in (value.real, value.imag, first, second))
    return np.hypot(real, imaginary) / np.sqrt(one * two)


def plain_filter(values: Any) -> Any:
    """Filter rows of patches with scipy's transform; the edges are left out."""
    out = np.zeros(values.shape, "complex64")
    triangle = (1 - np.abs(2 * np.arange(PATCH) + 1 - PATCH) / PATCH).astype("float32")
    weight = np.outer(triangle, triangle)
    lefts = range(0, values.shape[1] - PATCH + 1, STEP)
    for top in range(0, values.shape[0] - PATCH + 1, STEP):
        patches = np.stack([values[top : top + PATCH, left : left + PATCH] for left in lefts])
        spectra = scipy.fft.fft2(patches)
        smooth = uniform_filter(np.abs(spectra), (0, 3, 3), mode="wrap")
        smooth /= smooth.max(axis=(1, 2), keepdims=True)
        filtered = scipy.fft.ifft2(spectra * smooth**ALPHA) * weight
        for left, patch in zip(lefts, filtered, strict=True):
            out[top : top + PATCH, left : left + PATCH] += patch
    return out


def costs(side: int) -> dict[str, float]:
    """Measure looks, coherence and the filter."""
    one, two = images(side)
    flat = np.linspace(0, 3000, side)[None] * np.ones((side, 1))
    pair = interferogram(one, two)
    jobs: dict[str, Callable[[], Any]] = {
        "looks 4 x 16, flat phase": lambda: interferogram(one, two, flat=flat, looks=(4, 16)),
        "looks 4 x 16, no flat phase": lambda: interferogram(one, two, looks=(4, 16)),
        "looks 4 x 16, flat phase, numpy": lambda: plain_looks(one, two, flat, (4, 16)),
        "coherence 5 x 5, corrected": lambda: coherence(pair, window=(5, 5)),
        "coherence 5 x 5, as estimated": lambda: coherence(pair, window=(5, 5), unbiased=False),
        "coherence 5 x 5, scipy, as estimated, nothing missing": lambda: plain_coherence(pair, (5, 5)),
        "filter": lambda: goldstein(one, ALPHA, patch=PATCH, step=STEP),
        "filter by coherence": lambda: goldstein(one, np.full(one.shape, 0.4, "float32"), patch=PATCH, step=STEP),
        "filter, scipy": lambda: plain_filter(one),
    }
    return {name: best(job) * 1e6 / side**2 for name, job in jobs.items()}


def same_filter(side: int = 256) -> float:
    """Give the largest difference of both filters inside the edges, relative to the largest value."""
    one, _ = images(side)
    inner = (slice(PATCH, -PATCH), slice(PATCH, -PATCH))
    own, plain = goldstein(one, ALPHA, patch=PATCH, step=STEP).values[inner], plain_filter(one)[inner]
    return float(np.abs(own - plain).max() / np.abs(plain).max())


def hills(side: int, gamma: float, looks: int = 16) -> tuple[Any, Any, Any]:
    """Simulate an interferogram of smooth hills: true phase, interferogram, coherence."""
    y, x = np.linspace(-1, 1, side)[:, None], np.linspace(-1, 1, side)[None]
    truth = 40 * np.exp(-4 * (y**2 + (x - 0.2) ** 2)) + 25 * x * np.sin(3 * y)
    rng, real = np.random.default_rng(1), np.zeros((4, side, side))
    for _ in range(looks):
        first, other = (rng.standard_normal((side, side, 2)) @ [1, 1j] for _ in range(2))
        second = gamma * first + np.sqrt(1 - gamma**2) * other
        product = first * second.conj() / looks
        real += [product.real, product.imag, np.abs(first) ** 2 / looks, np.abs(second) ** 2 / looks]
    mean = real[0] + 1j * real[1]
    found = np.abs(mean) / np.sqrt(real[2] * real[3])
    return truth, (mean * np.exp(1j * truth)).astype("complex64"), found.astype("float32")


def unwrapped(side: int) -> dict[str, dict[str, float]]:
    """Measure the unwrappers: CPU s per million pixels and the share of pixels with wrong cycles."""
    found: dict[str, dict[str, float]] = {}
    methods = ["whirlwind", *(["snaphu"] if find_spec("snaphu") else [])]
    for gamma in (0.8, 0.4):
        truth, values, known = hills(side, gamma)
        filtered = goldstein(values, known)
        for method in methods:
            variants: dict[str, dict[str, Any]] = {
                "whole": {"tile": None},
                "tiles of 256, overlap 64": {"tile": 256, "overlap": 64},
                "whole, cycles of the filtered": {"tile": None, "filtered": filtered},
            }
            for name, options in variants.items():
                start = time.process_time()
                phase = unwrap(values, known, 16, method=method, **options)["unwrapped_phase"].values
                taken = time.process_time() - start
                off = np.rint((phase - truth) / (2 * np.pi))
                wrong = float((off != np.median(off)).mean())
                found[f"{method}, coherence {gamma}, {name}"] = {"s/Mpx": taken * 1e6 / side**2, "wrong": wrong}
    return found


def main() -> None:
    """Measure, print, and write what was found."""
    parser = argparse.ArgumentParser(description="Time the steps from radar images to unwrapped phase.")
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    report: dict[str, Any] = {
        "CPU s per Mpx": costs(options.side),
        "difference of the filters, relative": same_filter(),
        "unwrapping": unwrapped(options.side),
    }
    print(json.dumps(report, indent=2))
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
