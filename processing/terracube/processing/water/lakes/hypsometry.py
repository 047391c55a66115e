"""From the area of a lake to its height and volume: what grows together, and by how much.

Where the height of a lake is known at some dates (a gauge, an altimeter) and its area too, the height is a monotone
function of the area, within what was observed. Nothing is said beyond.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import EmptyResultError, InputError
from terracube.processing.water.lakes.volumes import frustum

_LEAST = 3


@dataclass(frozen=True, eq=False, slots=True)
class Hypsometry:
    """Height, and volume above the lowest area observed, as functions of the area."""

    areas: NDArray[np.float64]
    """(k,) m2, ascending."""
    heights: NDArray[np.float64]
    """(k,) m, ascending: above the datum of the heights that were given."""
    volumes: NDArray[np.float64]
    """(k,) m3 above the volume of the smallest area."""
    scatter: float
    """Standard deviation of the observed heights around the curve, m; corrected for the steps that were fitted."""
    n: int
    """Pairs that were used."""
    pairs: int
    """Pairs that were given."""

    def height(self, area: ArrayLike) -> NDArray[np.float64]:
        """Give the height in m for areas in m2, NaN beyond what was observed."""
        return self._at(area, self.areas, self.heights)

    def area(self, height: ArrayLike) -> NDArray[np.float64]:
        """Give the area in m2 for heights in m, NaN beyond what was observed."""
        return self._at(height, self.heights, self.areas)

    def volume(self, area: ArrayLike) -> NDArray[np.float64]:
        """Give the volume in m3 above that of the smallest area observed, for areas in m2; NaN beyond."""
        return self._at(area, self.areas, self.volumes)

    def _at(self, places: ArrayLike, knots: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
        from scipy.interpolate import PchipInterpolator

        wanted = np.asarray(places, dtype="float64")
        return np.asarray(PchipInterpolator(knots, values, extrapolate=False)(wanted), dtype="float64")


def fit_hypsometry(areas: ArrayLike, heights: ArrayLike, *, weights: ArrayLike | None = None) -> Hypsometry:
    """Fit the height of a lake as a monotone function of its area.

    Heights are first made ascending by isotonic regression (Barlow et al. 1972, *Statistical inference under order
    restrictions*; least squares, pools of equal height), then a smooth curve that stays monotone goes through the
    middles of the pools (Fritsch and Carlson 1980, doi:10.1137/0717021). The order of the pairs does not matter.

    Parameters
    ----------
    areas : array (n,)
        m2. Pairs of which either is NaN are left out.
    heights : array (n,)
        m, above any datum.
    weights : array (n,), optional
        For example one over the square of the error of each height.

    Raises
    ------
    InputError
        If lengths differ, an area or a weight is not positive.
    EmptyResultError
        If fewer than three pairs are left, or the heights do not grow with the areas.

    Examples
    --------
    >>> bowl = fit_hypsometry([1e6, 2e6, 3e6], [10.0, 11.0, 12.0])
    >>> bowl.height([1.5e6, 4e6]).tolist(), round(float(bowl.volume(2e6)))
    ([10.5, nan], 1471405)
    """
    area, height = np.asarray(areas, dtype="float64").ravel(), np.asarray(heights, dtype="float64").ravel()
    weight = np.ones(area.shape) if weights is None else np.asarray(weights, dtype="float64").ravel()
    if not area.shape == height.shape == weight.shape:
        got = f"{area.size}, {height.size}, {weight.size}"
        raise InputError("every area needs a height", where="areas, heights, weights", expected="as many", got=got)
    known = np.isfinite(area) & np.isfinite(height)
    if (area[known] <= 0).any() or not (weight[known] > 0).all():
        raise InputError("an area or a weight is not positive", where="areas, weights", expected="> 0")
    if known.sum() < _LEAST:
        raise EmptyResultError("too few pairs of area and height", expected=f"{_LEAST} or more", got=str(known.sum()))
    knots, values, scatter = _monotone(area[known], height[known], weight[known])
    volumes = np.concatenate([[0.0], np.cumsum(frustum(values[:-1], knots[:-1], values[1:], knots[1:]))])
    return Hypsometry(knots, values, volumes, scatter, int(known.sum()), area.size)


def _monotone(
    area: NDArray[np.float64], height: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Give knots and values of the curve, strictly ascending, and the scatter around the pools."""
    from scipy.optimize import isotonic_regression

    knots, at = np.unique(area, return_inverse=True)
    weights = np.bincount(at, weight)
    means = np.bincount(at, weight * height) / weights
    fitted = isotonic_regression(means, weights=weights)
    pools = fitted.blocks[:-1]
    if len(pools) < 2:
        raise EmptyResultError(
            "the heights do not grow with the areas", expected="larger areas at greater heights", got="one height"
        )
    counts = np.diff(fitted.blocks)
    spare = max(area.size - counts.size, 0)
    residual = height - fitted.x[at]
    total = float(np.sum(weight * residual**2) / np.mean(weight))
    scatter = math.sqrt(total / spare) if spare else math.nan
    middles = np.add.reduceat(weights * knots, pools) / np.add.reduceat(weights, pools)
    # The ends of what was observed belong to the curve.
    values = fitted.x[pools]
    return *_with_ends(middles, values, knots[0], knots[-1]), scatter


def _with_ends(
    knots: NDArray[np.float64], values: NDArray[np.float64], first: float, last: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Go on straight from the middles of the outermost pools to the least and greatest area."""
    before = values[0] - (knots[0] - first) * (values[1] - values[0]) / (knots[1] - knots[0])
    behind = values[-1] + (last - knots[-1]) * (values[-1] - values[-2]) / (knots[-1] - knots[-2])
    inner = (knots > first) & (knots < last)
    return np.concatenate([[first], knots[inner], [last]]), np.concatenate([[before], values[inner], [behind]])
