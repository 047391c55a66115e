"""How a cube is cut into blocks: a matter of memory and speed, never of values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from terracube.core.errors import InputError
from terracube.cubes.grid import YX
from terracube.cubes.plan import CubePlan

BUDGET = 64 << 20
# Blocks much smaller than the tiles of the files decode each tile many times: deep stacks may take twice the budget
# before their blocks get smaller than this.
_SMALL = 256
_SIDES = (2048, 1024, 512, 256, 128)
_FEWEST = 4


@dataclass(frozen=True, slots=True)
class Blocks:
    """Sizes of the pieces along time, rows and columns."""

    time: tuple[int, ...]
    y: tuple[int, ...]
    x: tuple[int, ...]

    @property
    def chunks(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """The pieces as Dask names them."""
        return self.time, self.y, self.x

    @property
    def token(self) -> str:
        """A short text that tells two cuts apart."""
        return "-".join(f"{sizes[0]}.{sizes[len(sizes) > 1]}.{len(sizes)}" for sizes in self.chunks)

    @property
    def count(self) -> int:
        """Number of blocks."""
        return len(self.time) * len(self.y) * len(self.x)

    def of(self, index: tuple[int, ...]) -> tuple[slice, tuple[YX, YX]]:
        """Give the steps of time, and the first pixel and the shape, of a block by its index."""
        starts = [sum(sizes[:at]) for sizes, at in zip(self.chunks, index, strict=True)]
        counts = [sizes[at] for sizes, at in zip(self.chunks, index, strict=True)]
        window = YX(starts[1], starts[2]), YX(counts[1], counts[2])
        return slice(starts[0], starts[0] + counts[0]), window


def cut(plan: CubePlan, chunks: str | int | Mapping[str, int] | None) -> Blocks:
    """Settle the blocks of a cube.

    Raises
    ------
    InputError
        If a size is no positive number, or a dimension is unknown.
    """
    shape, steps = plan.grid.shape, len(plan.groups)
    if isinstance(chunks, int | np.integer):
        chunks = {"y": block_side(chunks), "x": int(chunks)}
    if isinstance(chunks, Mapping):
        unknown = sorted(set(chunks) - {"time", "y", "x"})
        if unknown:
            raise InputError("unknown dimension", where="chunks", expected="time, y, x", got=", ".join(unknown))
        sides = {name: _side(name, chunks[name]) for name in chunks}
        whole = {"time": steps, "y": shape.y, "x": shape.x}
        pieces = {name: _pieces(whole[name], sides.get(name, whole[name]), 0) for name in whole}
        return Blocks(pieces["time"], pieces["y"], pieces["x"])
    if chunks != "auto":
        raise InputError("unknown chunks", where="chunks", expected="'auto', a number, a mapping", got=repr(chunks))
    side, first = _auto(plan)
    return Blocks((steps,), _pieces(shape.y, side, first.y), _pieces(shape.x, side, first.x))


def block_side(block: Any) -> int:
    """Check the pixels along a side of a block."""
    return _side("chunks", block)


def _side(name: str, size: Any) -> int:
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or (size < 1 and size != -1):
        raise InputError("blocks need at least one pixel", where=f"chunks of {name}", expected=">= 1", got=repr(size))
    return (1 << 31) if size == -1 else int(size)


def _auto(plan: CubePlan) -> tuple[int, YX]:
    """Choose the largest block in the budget that leaves some work for every core, on tile borders if it can."""
    bytes_per_pixel = len(plan.groups) * max(np.dtype(band.dtype).itemsize for band in plan.bands)
    fitting = [side for side in _SIDES if side * side * bytes_per_pixel <= (2 if side <= _SMALL else 1) * BUDGET]
    fitting = fitting or [_SIDES[-1]]
    area = plan.grid.shape.y * plan.grid.shape.x
    shared = [side for side in fitting if side * side * _FEWEST <= area]
    side = (shared or fitting[-1:])[0]
    return side, _first(plan, side)


def _first(plan: CubePlan, side: int) -> YX:
    """Give the size of the first block, so that the others begin on borders of the files' tiles."""
    sources = [source for scene in plan.groups[0] for source in scene.bands.values()]
    finest = min(sources, key=lambda source: source.grid.resolution.x)
    if not finest.grid.same_pixels(plan.grid) or side % max(finest.tile[0], 1) or side % max(finest.tile[1], 1):
        return YX(0, 0)
    offset, origin = plan.grid.offset, finest.grid.offset
    return YX((origin.y - offset.y) % side, (origin.x - offset.x) % side)


def _pieces(size: int, side: int, first: int) -> tuple[int, ...]:
    first = min(first, size)
    start = [first] if first else []
    return (*start, *(min(side, size - at) for at in range(first, size, side)))
