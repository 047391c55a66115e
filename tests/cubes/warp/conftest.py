"""A source in UTM whose every kind of pixel occurs: smooth, rough, holes, and ways to warp it whole and in blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from affine import Affine

from terracube.cubes import Grid
from terracube.cubes.warp import place, warp

UTM = "EPSG:32633"


def make_source(shape: tuple[int, int] = (300, 340), pixel: float = 10.0) -> Grid:
    """A raster near 46 north, 15.6 east."""
    return Grid.from_affine(UTM, Affine(pixel, 0, 546000, 0, -pixel, 5130000), shape)


def make_values(shape: tuple[int, int], dtype: str, hole: float) -> np.ndarray:
    """Noise on waves, with a hole, single lost pixels, and few different values for eight bits."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[: shape[0], : shape[1]]
    values = 5000 + 3000 * np.sin(x / 17) * np.cos(y / 23) + rng.normal(0, 300, shape)
    if np.dtype(dtype).itemsize == 1:
        values = values // 100
    values[60:110, 80:150] = hole
    values[rng.random(shape) < 0.01] = hole
    return values.astype(dtype)


def run(
    values: np.ndarray,
    source: Grid,
    target: Grid,
    method: str,
    *,
    nodata: float | None = None,
    dtype: Any = "float64",
    fill: float = np.nan,
    bound: float = 2e-4,
    **options: Any,
) -> np.ndarray:
    """Warp into a block, handing over nothing but a copy of the window that is asked for."""
    out = np.full(target.shape, fill, dtype)
    placement = place(source, target, method, bound=bound)
    if placement is not None:
        part = values[placement.window.slices].copy()
        warp(part, placement, nodata=nodata, out=out, fill=fill, **options)
    return out


@pytest.fixture(scope="session")
def source() -> Grid:
    """A grid of 300 x 340 pixels of 10 m."""
    return make_source()


@pytest.fixture(scope="session")
def make() -> Callable[..., np.ndarray]:
    """Make values for a shape, dtype and value of holes."""
    return make_values


@pytest.fixture(scope="session")
def into() -> Callable[..., np.ndarray]:
    """Warp values into a block."""
    return run
