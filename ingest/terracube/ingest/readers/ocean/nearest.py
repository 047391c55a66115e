"""The nearest sample of a swath to each pixel of a grid."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numcodecs import Blosc
from numpy.typing import NDArray

from terracube.cubes.crs import transform_points
from terracube.ingest.readers.ocean.netcdf import Stored
from terracube.ingest.readers.ocean.swath import BLOCK, GEOGRAPHIC, METRES_PER_DEGREE, Pair, Plan, Swath, project

_STRIP_PIXELS = 1 << 20
_ROWS = 512
_PACKER = Blosc(cname="lz4", clevel=5, shuffle=Blosc.BITSHUFFLE)
# A projected pixel covers less ground than its side says, by at most this, where our projections are used.
_STRETCH = 4.0


class Nearest:
    """Which sample of a swath is the nearest to each pixel of a grid, worked out strip by strip, each once.

    What was found is kept packed, a fiftieth of its size or less, for the other layers. Strips count from row 0 of the
    grid, so that it does not matter which rows are asked first. Travels to other processes as what it was made of.
    """

    def __init__(self, swath: Swath, plan: Plan) -> None:
        self.swath, self.plan = swath, plan
        self._strip = max(1, min(plan.grid.shape.y, _STRIP_PIXELS // plan.grid.shape.x))
        self._packed: dict[int, bytes] = {}
        self._blocks: dict[int, Pair] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Nearest, (self.swath, self.plan)

    def rows(self, start: int, stop: int) -> NDArray[np.int32]:
        """Give the number of the nearest sample, counted along the rows of the swath; -1 = none is near.

        Returns
        -------
        int32 array (stop - start, columns)
        """
        out = np.empty((stop - start, self.plan.grid.shape.x), "int32")
        for strip in range(start // self._strip, -(-stop // self._strip)):
            rows = self._rows_of(strip)
            first, last = max(start, rows.start), min(stop, rows.stop)
            out[first - start : last - start] = self._found(strip)[first - rows.start : last - rows.start]
        return out

    def _rows_of(self, strip: int) -> slice:
        return slice(strip * self._strip, min((strip + 1) * self._strip, self.plan.grid.shape.y))

    def _found(self, strip: int) -> NDArray[np.int32]:
        with self._lock:
            if strip not in self._packed:
                found = self._search(strip)
                # Numbers of neighbours differ by little, which packs well.
                self._packed[strip] = _PACKER.encode(np.diff(found.ravel(), prepend=np.int32(0)))
                if len(self._packed) * self._strip >= self.plan.grid.shape.y:
                    self._blocks.clear()
            packed = self._packed[strip]
        steps = np.frombuffer(_PACKER.decode(packed), "int32")
        return np.cumsum(steps, dtype="int32").reshape(-1, self.plan.grid.shape.x)

    def _search(self, strip: int) -> NDArray[np.int32]:
        """Find the neighbours of the pixels of a strip."""
        rows, transform = self._rows_of(strip), self.plan.grid.transform
        margin = _margin(self.plan)
        span = transform.f + transform.e * rows.stop - margin, transform.f + transform.e * rows.start + margin
        number, lon, lat = self._candidates(span)
        if not number.size:
            return np.full((rows.stop - rows.start, self.plan.grid.shape.x), -1, "int32")
        found = _neighbours(lon, lat, *self._centres(rows), self.plan.radius)
        return np.where(found < 0, -1, number[found]).astype("int32")

    def _candidates(
        self, span: tuple[float, float]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Give number, longitude and latitude of the samples that may be the nearest to a pixel of a strip."""
        touching = np.flatnonzero((self.plan.high >= span[0]) & (self.plan.low <= span[1]))
        wanted = np.unique(touching // BLOCK).tolist()
        # Strips are asked from north to south, so that each block of the swath is decoded once or twice.
        self._blocks = {block: self._blocks.get(block) or self.swath.block(block) for block in wanted}
        parts = [(np.empty(0, "int64"), np.empty(0), np.empty(0))]
        for block, (lon, lat) in self._blocks.items():
            near = np.flatnonzero(_near(lon.ravel(), lat.ravel(), self.plan.grid.crs, span))
            parts.append((near + block * BLOCK * self.swath.shape[1], lon.ravel()[near], lat.ravel()[near]))
        number, lon, lat = (np.concatenate(one) for one in zip(*parts, strict=True))
        return number, lon, lat

    def _centres(self, rows: slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give longitude and latitude of the centres of pixels."""
        ys, xs = self.plan.grid.centres()
        x, y = np.meshgrid(xs, ys[rows])
        if self.plan.grid.crs == GEOGRAPHIC:
            return x, y
        lon, lat = transform_points(self.plan.grid.crs, GEOGRAPHIC, x.ravel(), y.ravel())
        return lon.reshape(x.shape), lat.reshape(x.shape)


@dataclass(frozen=True, eq=False)
class SwathPixels:
    """A layer of a swath on the grid, in the numbers that are stored."""

    nearest: Nearest
    layer: Stored
    missing: float | int
    """What a pixel holds near which no sample lies."""
    dtype: str
    step: int = _ROWS
    kept: None = None

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Give rows ``start`` to ``stop``; see :class:`terracube.ingest.pixels.Pixels`."""
        index = self.nearest.rows(start, stop)
        out = np.full(index.shape, self.missing, self.dtype)
        there = index >= 0
        if there.any():
            cols = self.layer.shape[1]
            wanted = index[there]
            first, last = int(wanted.min()) // cols, int(wanted.max()) // cols + 1
            out[there] = self.layer.rows(first, last).ravel()[wanted - first * cols]
        return out


def _near(lon: NDArray[np.float64], lat: NDArray[np.float64], crs: str, span: tuple[float, float]) -> NDArray[np.bool_]:
    """Tell which samples may be the nearest to a pixel of a strip."""
    _, y = project(lon, lat, crs)
    return np.isfinite(lon) & (y >= span[0]) & (y <= span[1])


def _margin(plan: Plan) -> float:
    """Give how far beyond a strip a sample may lie, in units of the grid."""
    return plan.radius / METRES_PER_DEGREE * 1.01 if plan.grid.crs == GEOGRAPHIC else plan.radius * _STRETCH


def _neighbours(
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
    at_lon: NDArray[np.float64],
    at_lat: NDArray[np.float64],
    radius: float,
) -> NDArray[np.int64]:
    """Give the number of the nearest of some positions for each of others; -1 = none within the radius."""
    geometry, kd_tree = import_module("pyresample.geometry"), import_module("pyresample.kd_tree")
    usable, _, index, _ = kd_tree.get_neighbour_info(
        geometry.SwathDefinition(lons=lon, lats=lat),
        geometry.GridDefinition(lons=at_lon, lats=at_lat),
        radius,
        neighbours=1,
        reduce_data=False,
    )
    given = np.flatnonzero(usable)
    found = np.append(given, -1)[np.minimum(index, given.size)]
    return np.asarray(found, "int64").reshape(at_lon.shape)
