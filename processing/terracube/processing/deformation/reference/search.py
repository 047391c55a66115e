"""The search for the calmest area of a stack, which then is its reference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import EmptyResultError
from terracube.cubes.grid import Grid
from terracube.processing.deformation.network.network import network_of_stack
from terracube.processing.deformation.stack import COHERENCE, COMPONENTS, PHASE

# Areas that are looked at, and cells of which each gives its best one: both are counted from the grid's pixel (0, 0).
AREA, _CELL = 8, 32
_FEWEST = 8
# Of the median absolute deviation, and what makes that a standard deviation of normal numbers.
_OUTLYING, _NORMAL = 3.0, 1.4826


@dataclass(frozen=True, slots=True)
class ReferenceSearch:
    """Look for the calmest area: what each tile gives, and what is made of all of them.

    Areas are squares of 8 pixels, counted from pixel (0, 0) of the grid, so that neither blocks nor the corner of the
    cube decide. Of each area the pixels count that have a phase (and a coherence and a component, where there are
    such layers) in every pair; half of its pixels are asked for, if any area has so many. Its quality is the mean over
    pairs of ``coherence * exp(-s^2 / 2)``, ``s`` being the standard deviation of the phase within the area: the length
    of the mean vector of phases that scatter so, 1 for still and coherent ground. Areas whose rate differs from the
    median rate by more than three scaled median absolute deviations are left out, where there are eight or more.
    """

    spans: tuple[float, ...]
    """Days from the reference to the secondary date of each pair."""
    resolution: tuple[float, float]
    """Pixel size of the grid, with sign."""
    phase: tuple[float, float]
    """Of the grid, in pixels."""
    median: bool = False
    """Whether the phase of an area is its median."""

    @classmethod
    def of(cls, stack: xr.Dataset, grid: Grid, *, median: bool = False) -> ReferenceSearch:
        """Make the search for a stack and its grid."""
        network, order = network_of_stack(stack)
        spans = np.empty(len(order))
        spans[order] = network.spans
        return cls(tuple(spans.tolist()), (*grid.resolution,), (*grid.phase,), median)

    def partial(self, tile: xr.Dataset) -> NDArray[np.float64]:
        """Give the best area of each cell of a tile, as :meth:`look` does, from its layers and coordinates."""
        first = (self._index(tile["y"].values[0], 0), self._index(tile["x"].values[0], 1))
        layers = (tile[name].values if name in tile else None for name in (COHERENCE, COMPONENTS))
        return self.look(tile[PHASE].values, *layers, first=first)

    def look(
        self,
        phases: NDArray[np.float32],
        coherence: NDArray[np.float32] | None = None,
        components: NDArray[Any] | None = None,
        *,
        first: tuple[int, int] = (0, 0),
    ) -> NDArray[np.float64]:
        """Give the best area of each cell of a tile.

        Parameters
        ----------
        phases, coherence, components : array (pair, y, x)
            At most 256 x 256 pixels whose edges lie on multiples of 256, or at the edge of the grid.
        first : (row, column)
            Absolute index of the first pixel.

        Returns
        -------
        array (area, 4 + pair), float64
            Absolute row and column of the middle of the pixels that count, their number, phases, and quality.
        """
        common = np.isfinite(phases).all(axis=0)
        if coherence is not None:
            common &= np.isfinite(coherence).all(axis=0)
        if components is not None:
            common &= (components > 0).all(axis=0)
        if not common.any():
            return np.empty((0, 4 + len(phases)))
        count = _areas(common, first, fill=False).sum(axis=-1)
        quality = _quality(phases, coherence, common, first)
        chosen = _best_of_cells(count, quality, (first[0] // AREA, first[1] // AREA))
        return np.stack([np.r_[self._facts(phases, common, first, at), quality[at]] for at in chosen])

    def combine(self, parts: list[NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
        """Choose among the areas of all tiles.

        Returns
        -------
        dict
            ``row``, ``col`` (absolute, of the centre), ``pixels``, ``quality``, ``phase`` (pair).

        Raises
        ------
        EmptyResultError
            If no pixel has a phase in every pair.
        """
        areas = np.concatenate(parts)
        if not len(areas):
            raise EmptyResultError(
                "no pixel can be the reference",
                where="reference",
                expected="a pixel with a phase, a coherence and a component in every pair",
                got="none",
                todo="leave out pairs with little coverage, or give a reference",
            )
        whole = areas[:, 2] >= AREA**2 / 2
        areas = areas[whole] if whole.any() else areas
        areas = areas[self._steady(areas[:, 3:-1])]
        row, col, pixels, *phase, quality = areas[np.lexsort((areas[:, 1], areas[:, 0], -areas[:, -1]))[0]]
        found = {"row": row, "col": col, "pixels": pixels, "quality": quality, "phase": phase}
        return {name: np.asarray(value, "float64") for name, value in found.items()}

    def _index(self, place: float, axis: int) -> int:
        return round(place / self.resolution[axis] - self.phase[axis] - 0.5)

    def _facts(
        self, phases: NDArray[np.float32], common: NDArray[np.bool_], first: tuple[int, int], at: tuple[int, int]
    ) -> NDArray[np.float64]:
        """Give the middle, the number and the phases of the pixels of an area that count."""
        corner = [(first[axis] // AREA + at[axis]) * AREA - first[axis] for axis in (0, 1)]
        rows, cols = (slice(max(0, start), start + AREA) for start in corner)
        inside = common[rows, cols]
        values = np.ascontiguousarray(phases[:, rows, cols][:, inside], "float64")
        middle = np.median(values, axis=1) if self.median else values.mean(axis=1)
        row, col = (np.mean(where) + 0.5 for where in np.nonzero(inside))
        place = [first[0] + rows.start + row, first[1] + cols.start + col, inside.sum()]
        return np.concatenate([np.array(place, "float64"), middle])

    def _steady(self, phases: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which areas do not move apart from most."""
        if len(phases) < _FEWEST:
            return np.ones(len(phases), bool)
        spans = np.array(self.spans)
        rates = ((phases - np.median(phases, axis=0)) * spans).sum(axis=1) / (spans**2).sum()
        apart = np.abs(rates - np.median(rates))
        return np.asarray(apart <= _OUTLYING * _NORMAL * np.median(apart))


def _areas(values: NDArray[Any], first: Sequence[int], fill: Any) -> NDArray[Any]:
    """Cut a tile (y, x) into areas: (rows of areas, columns of areas, pixels of an area)."""
    pads = [(start % AREA, -(start + size) % AREA) for start, size in zip(first, values.shape, strict=True)]
    padded = np.pad(values, pads, constant_values=fill)
    rows, cols = (size // AREA for size in padded.shape)
    return np.asarray(padded.reshape(rows, AREA, cols, AREA).swapaxes(1, 2).reshape(rows, cols, AREA**2))


def _quality(
    phases: NDArray[np.float32], coherence: NDArray[np.float32] | None, common: NDArray[np.bool_], first: Sequence[int]
) -> NDArray[np.float64]:
    """Give the quality of each area; 0 where no pixel counts."""
    inside = _areas(common, first, fill=False).astype("float64")
    count = np.maximum(inside.sum(axis=-1), 1.0)
    total = np.zeros(count.shape)
    for number, values in enumerate(phases):
        known = _areas(np.where(common, values, 0.0).astype("float64"), first, 0.0)
        apart = (known - (known.sum(axis=-1) / count)[..., None]) * inside
        resultant = np.exp(-(apart**2).sum(axis=-1) / count / 2)
        if coherence is not None:
            seen = np.where(common, coherence[number], 0.0).astype("float64")
            resultant *= _areas(seen, first, 0.0).sum(axis=-1) / count
        total += resultant
    return np.where(inside.any(axis=-1), total / len(phases), 0.0)


def _best_of_cells(
    count: NDArray[np.int64], quality: NDArray[np.float64], corner: tuple[int, int]
) -> list[tuple[int, int]]:
    """Give the place of the best area of each cell: those with enough pixels first, then by quality."""
    rows, cols = np.nonzero(count)
    cells = [(at + start) * AREA // _CELL for at, start in zip((rows, cols), corner, strict=True)]
    enough = count[rows, cols] >= AREA**2 / 2
    order = np.lexsort((cols, rows, -quality[rows, cols], ~enough, cells[1], cells[0]))
    ranked = np.stack(cells, axis=1)[order]
    leads = np.r_[True, (ranked[1:] != ranked[:-1]).any(axis=1)]
    return [(int(rows[k]), int(cols[k])) for k in order[leads]]


def area_around(grid: Grid, y: float, x: float) -> tuple[float, float, float, float]:
    """Give left, bottom, right and top of the area that the search would look at around a point."""
    corners = []
    for axis, place in enumerate((y, x)):
        index = math.floor(place / grid.resolution[axis] - grid.phase[axis])
        first = index - index % AREA
        corners.append([(first + side + grid.phase[axis]) * grid.resolution[axis] for side in (0, AREA)])
    (top, bottom), (left, right) = corners
    return left, min(top, bottom), right, max(top, bottom)
