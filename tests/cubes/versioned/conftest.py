"""Small datasets whose every pixel is known, and cubes to put them in."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from terracube.cubes.grid import YX, Grid, Pair
from terracube.cubes.storage.versioned import CubeVariable, VersionedCube

# 2 x 2 chunks of 32 pixels; those at the southern and eastern edges are smaller.
GRID = Grid("EPSG:32633", Pair(-10.0, 10.0), Pair(0.25, 0.5), YX(-510000, 50000), YX(41, 55))
CHUNK = 32
VARIABLES = {"red": CubeVariable("float32", units="1"), "scl": CubeVariable("uint8", nodata=255)}
Scene = Callable[..., xr.Dataset]


def make_scene(
    days: list[str], *, start: tuple[int, int] = (0, 0), shape: tuple[int, int] | None = None, seed: int = 0
) -> xr.Dataset:
    """Give random pixels with gaps in a window of the grid; they depend on date, place and seed alone."""
    size = YX(*(shape or (GRID.shape.y - start[0], GRID.shape.x - start[1])))
    window = GRID.window(YX(*start), size)
    y, x = window.centres()
    times = np.array(days, "datetime64[ns]")
    red = np.empty((len(days), *size), "float32")
    scl = np.empty(red.shape, "uint8")
    inside = (slice(start[0], start[0] + size.y), slice(start[1], start[1] + size.x))
    for number, time in enumerate(times.astype("int64")):
        rng = np.random.default_rng([int(time) % (1 << 62), seed])
        whole = rng.random(GRID.shape, "float32")
        gaps = rng.random(GRID.shape) < 0.3
        red[number] = np.where(gaps, np.nan, whole)[inside]
        scl[number] = np.where(gaps, 255, (whole * 11).astype("uint8"))[inside]
    found = xr.Dataset(
        {"red": (("time", "y", "x"), red, {"units": "1"}), "scl": (("time", "y", "x"), scl, {"nodata": 255})},
        {"time": times, "y": y, "x": x},
        {"inputs": [f"scene of {day}" for day in days]},
    )
    return found.rio.write_crs(GRID.crs).rio.write_transform(window.transform).rio.write_coordinate_system()


@pytest.fixture(scope="session")
def scene() -> Scene:
    """Make a dataset, see :func:`make_scene`."""
    return make_scene


@pytest.fixture
def grid() -> Grid:
    """Pixels of the cubes here."""
    return GRID


@pytest.fixture(scope="session")
def cube_in() -> Callable[[Path], VersionedCube]:
    """Make an empty cube in a folder."""
    return lambda folder: VersionedCube.create(folder, grid=GRID, variables=VARIABLES, chunks=CHUNK)


@pytest.fixture
def new_cube(tmp_path: Path, cube_in: Callable[[Path], VersionedCube]) -> Callable[[], VersionedCube]:
    """Make an empty cube, each time another one."""
    numbers = count()
    return lambda: cube_in(tmp_path / f"cube-{next(numbers)}")


@pytest.fixture
def cube(new_cube: Callable[[], VersionedCube]) -> VersionedCube:
    """Give an empty cube."""
    return new_cube()
