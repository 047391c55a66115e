"""How the stages of a chain run on blocks: in strips, with a margin, or at finer pixels; and squares for surveys."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.cubes import YX, CubePlan, Grid
from terracube.cubes.blocks import BlockReader
from terracube.cubes.storage.layers import TILE, strips
from terracube.processing.stages import ChainParameters, Context, Finish, Map, Place, Survey

BYTES = 4
# A strip this size keeps a block's observations small beside its result, and is long enough for the kernels.
_STRIP_PIXELS = (8_192, 65_536)
_STRIP_BYTES = 1 << 25
_WHOLE = (slice(None), slice(None))


@dataclass(frozen=True)
class Blockwise:
    """The stages of a chain, block by block."""

    stage: Map
    finish: Finish | None
    values: Callable[[ChainParameters], int]
    """How many values per pixel the first stage gives."""

    def block(
        self, plan: CubePlan, target: Grid, context: Context, static: CubePlan | None, found: Mapping[str, Any]
    ) -> NDArray[np.float32]:
        """Read a block and turn it into layers (layer, y, x)."""
        context = replace(context, found=found)
        if self.sees_wide(context.parameters):
            return self._wide(plan, target, context, static)
        if self.finish is None:
            return self._strips(plan, target, context, static)
        halo = self.finish.halo(context.parameters)
        wide, inner = _widened(target, plan.grid, halo)
        between = self._strips(plan, wide, context, static)
        return np.ascontiguousarray(self.finish.block(between, context)[:, *inner])

    def _strips(self, plan: CubePlan, target: Grid, context: Context, static: CubePlan | None) -> NDArray[np.float32]:
        out = np.empty((self.values(context.parameters), *target.shape), "float32")
        reader = BlockReader(plan, target)
        held = self.stage.held(context.parameters)
        for start, stop in strips(target.shape.y, max(1, strip_pixels(plan, held) // target.shape.x)):
            here = target.window(YX(start, 0), YX(stop - start, target.shape.x))
            placed = replace(context, place=Place(here, _WHOLE, _static(static, here)))
            out[:, start:stop] = self.stage.block(reader.rows(start, stop), placed)
        return out

    def sees_wide(self, parameters: ChainParameters) -> bool:
        """Tell whether the first stage sees more than the pixels of a block; it is not cut into strips then."""
        return self.halo(parameters) > 0 or self.zoom(parameters) > 1

    def zoom(self, parameters: ChainParameters) -> int:
        """Give the pixels of the observations along each side of a pixel of the product."""
        return 1 if self.stage.zoom is None else self.stage.zoom(parameters)

    def halo(self, parameters: ChainParameters) -> int:
        """Give the margin of the observations, in their pixels."""
        return 0 if self.stage.halo is None else self.stage.halo(parameters)

    def wide_pixels(self, rows: int, cols: int, parameters: ChainParameters) -> int:
        """Count the pixels of the observations that are read at once for a block that is not cut into strips."""
        zoom, halo = self.zoom(parameters), self.halo(parameters)
        return (rows * zoom + 2 * halo) * (cols * zoom + 2 * halo)

    def _wide(self, plan: CubePlan, target: Grid, context: Context, static: CubePlan | None) -> NDArray[np.float32]:
        """Run the first stage on the observations of a block with their margin, at their own resolution."""
        values, place = self._read_wide(plan, target, context.parameters, static)
        return self.stage.block(values, replace(context, place=place))

    def _read_wide(
        self, plan: CubePlan, target: Grid, parameters: ChainParameters, static: CubePlan | None
    ) -> tuple[NDArray[np.float32], Place]:
        zoom, halo = self.zoom(parameters), self.halo(parameters)
        fine = plan if zoom == 1 else replace(plan, grid=plan.grid.finer(zoom))
        wide, inner = _widened(target.finer(zoom), fine.grid, halo)
        values = BlockReader(fine, wide).rows(0, wide.shape.y)
        return values, Place(wide, inner, _static(static, wide))

    def part(
        self, survey: Survey, plan: CubePlan, tile: Grid, context: Context, static: CubePlan | None,
        found: Mapping[str, Any],
    ) -> Any:  # fmt: skip
        """Read a square and give the part of a survey."""
        values, place = self._read_wide(plan, tile, context.parameters, static)
        return survey.part(values, replace(context, found=found, place=place))


def squares(grid: Grid) -> Iterator[Grid]:
    """Give squares of 256 pixels that lie where the grid counts from, whatever part of it this is, in row order."""
    ends = [_cuts(grid.offset[axis], grid.shape[axis]) for axis in (0, 1)]
    for top, bottom in ends[0]:
        for left, right in ends[1]:
            yield grid.window(YX(top, left), YX(bottom - top, right - left))


def _cuts(offset: int, size: int) -> list[tuple[int, int]]:
    first = -(offset % TILE)
    return [(max(start, 0), min(start + TILE, size)) for start in range(first, size, TILE)]


def joined(survey: Survey, parts: Sequence[Any], context: Context, before: Mapping[str, Any]) -> dict[str, Any]:
    """Join the parts of a survey, beside what those before it found."""
    return {**before, **survey.join(parts, replace(context, found=before))}


def _static(plan: CubePlan | None, target: Grid) -> NDArray[np.float32]:
    """Read what does not change, (band, y, x)."""
    if plan is None:
        return np.empty((0, *target.shape), "float32")
    values: NDArray[np.float32] = BlockReader(plan, target).rows(0, target.shape.y)[0]
    return values


def _widened(target: Grid, whole: Grid, halo: int) -> tuple[Grid, tuple[slice, slice]]:
    """Widen a block by a margin as far as the grid goes; tell where the block lies in it."""
    top, left = (min(halo, target.offset[axis] - whole.offset[axis]) for axis in (0, 1))
    ends = [whole.offset[axis] + whole.shape[axis] - target.offset[axis] - target.shape[axis] for axis in (0, 1)]
    bottom, right = (min(halo, end) for end in ends)
    shape = target.shape
    wide = target.window(YX(-top, -left), YX(shape.y + top + bottom, shape.x + left + right))
    return wide, (slice(top, top + shape.y), slice(left, left + shape.x))


def strip_pixels(plan: CubePlan, held: float) -> int:
    """Give how many pixels are read and reduced at once: fewer where each has many dates and bands, or products."""
    least, most = _STRIP_PIXELS
    each = BYTES * max(1, len(plan.groups) * len(plan.spec.bands)) * max(1.0, held / 2)
    return min(most, max(least, int(_STRIP_BYTES // each)))
