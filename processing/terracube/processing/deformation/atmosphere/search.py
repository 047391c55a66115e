"""The search for how far the air moves each date: what each tile counts, and what is made of all counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.processing.deformation.atmosphere.estimate import (
    chosen_design,
    gain_of,
    mean_square,
    residual_counts,
    squares_within,
)
from terracube.processing.deformation.model.design import Design
from terracube.processing.deformation.model.fitting import displacement_of, reference_position


@dataclass(frozen=True, slots=True)
class AtmosphereSearch:
    """Size of the air of each date by the residuals of a model, as :func:`atmosphere_std`, in tiles."""

    design: Design
    reference: int

    @classmethod
    def of(cls, series: xr.Dataset) -> AtmosphereSearch:
        """Make the search for a series: linear motion, and annual where the dates hold it."""
        return cls(chosen_design(displacement_of(series), None, None), reference_position(series))

    def counts(self, series: xr.Dataset) -> NDArray[np.int64]:
        """Count squares of what the model leaves in a tile, (time, class)."""
        values, deviations = (
            series[name].values.reshape(series.sizes["time"], -1) for name in ("displacement", "std_network")
        )
        return residual_counts(values, deviations, self.design, self.reference)

    @staticmethod
    def combine(parts: Sequence[NDArray[np.int64]]) -> list[float]:
        """Give the factor of each date; NaN where no pixel tells, and everywhere if none has enough dates."""
        total = np.sum(np.stack(list(parts)), axis=0)
        return [float(one) for one in squares_within(total)]

    def std(self, series: xr.Dataset, factors: NDArray[np.float64]) -> xr.DataArray:
        """Give the standard deviation of the air, (time, y, x) m, of a tile."""
        displacement = series["displacement"]
        values, deviations = (np.moveaxis(series[name].values, 0, -1) for name in ("displacement", "std_network"))
        square = mean_square(values, deviations, self.design, self.reference)
        share = np.asarray(factors) * gain_of(self.design, self.reference)
        found = (square[None].astype("float64") * share[:, None, None]) ** 0.5
        return displacement.copy(data=np.where(np.isfinite(displacement.values), found, np.nan).astype("float32"))
