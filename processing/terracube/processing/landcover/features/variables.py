"""What can stand in a description beside the bands: spectral indices of the catalogue, and the brightness."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.spectrum import lengths
from terracube.processing.landcover.indices import Program, compile_indices

BRIGHTNESS = "brightness"
"""Length of the spectrum: the root of the sum of the squares of all bands."""


@dataclass(frozen=True, slots=True)
class Derived:
    """How variables are made of bands: V bands in, I variables out."""

    names: tuple[str, ...]
    program: Program | None
    """Makes the indices, in the order of the names; None where there is none."""

    def run(self, values: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """Make the variables of some pixels, (V, N) to (I, N)."""
        indices = None if self.program is None else self.program.run(values)
        place = 0
        for row, name in enumerate(self.names):
            if name == BRIGHTNESS:
                lengths(values, out[row])
            elif indices is not None:
                out[row] = indices[place]
                place += 1


@lru_cache(maxsize=64)
def derived(names: tuple[str, ...], bands: tuple[str, ...], parameters: tuple[tuple[str, float], ...] = ()) -> Derived:
    """Find how variables are made of bands; ``parameters`` are numbers of the formulas.

    Raises
    ------
    TerraCubeError
        If a name is no index of the catalogue, an index needs a band that is not there, or a parameter is unknown.
    """
    indices = tuple(name for name in names if name != BRIGHTNESS)
    return Derived(names, compile_indices(indices, bands, dict(parameters)) if indices or parameters else None)
