"""What a run needs, known before a pixel is read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from terracube.core.errors import InputError
from terracube.cubes import CubePlan, Grid

_BYTES = 4


@dataclass(frozen=True)
class Estimate:
    """What a run needs, known before a pixel is read."""

    block: int
    """Pixels along each side of a block."""
    tasks: int
    """Blocks, one task each."""
    memory: int
    """Bytes in memory for the blocks in work at once."""
    disk: int
    """Bytes on disk at the peak: scratch blocks, COG and Zarr, before compression."""

    def as_dict(self) -> dict[str, int]:
        """Give plain numbers."""
        return {"block": self.block, "tasks": self.tasks, "memory": self.memory, "disk": self.disk}


def source_bytes(plan: CubePlan) -> float:
    """Bytes per target pixel for the numbers of all scenes, were they all to meet in one block, and for the lookups."""
    ratios: dict[Grid, float] = {}
    total = 0.0
    for scene in (scene for group in plan.groups for scene in group):
        for source in (*scene.bands.values(), *([scene.mask] if scene.mask else [])):
            if source.grid not in ratios:
                ratios[source.grid] = _source_pixels(source.grid, plan.grid)
            # A window that is much finer than the block is read strip by strip and not kept.
            total += min(ratios[source.grid], 2.0) * np.dtype(source.dtype).itemsize
    return total + _BYTES * (2 * len(ratios) + max(ratios.values()))


def _source_pixels(source: Grid, target: Grid) -> float:
    """Give how many pixels of a source one target pixel stands for, on average."""
    try:
        covered = Grid.covering([source], like=target).shape
    except InputError:  # it cannot be projected as a whole: then at most all of it is read
        covered = target.shape
    return source.shape.y * source.shape.x / max(1, covered.y * covered.x)
