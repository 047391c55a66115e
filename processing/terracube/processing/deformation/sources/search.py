"""The search for the source that fits points best: many starts, bounded least squares, covariance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from terracube.processing.deformation.sources.points import Points

type Doubles = NDArray[np.float64]
type Forward = Callable[[Mapping[str, float], Doubles, Doubles], Sequence[Doubles]]
"""Parameters, and how far points are east and north of the source, to motion east, north and up."""

LINEAR = ("volume", "strike_slip", "dip_slip", "opening")
"""Motion grows in proportion to these, so that they need no start."""
_OFFSET = "offset_"
# This close to a bound, as a share of its range, a parameter has been held by it.
_HELD = 1e-3
# Starts whose end costs no more than this share above the best have found the same.
_SAME = 1e-3


@dataclass(frozen=True, eq=False)
class Problem:
    """Least squares with parameters scaled to 0 .. 1 between their bounds.

    Parameters
    ----------
    forward : callable
        What a source does.
    free : mapping
        Bounds of the parameters to fit.
    held : mapping
        The others.
    points : Points
    offsets : bool
        Whether each look has a constant.
    """

    forward: Forward
    free: Mapping[str, tuple[float, float]]
    held: Mapping[str, float]
    points: Points
    offsets: bool

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The parameters to fit, the constants of the looks last."""
        looks = len(self.points.factors) if self.offsets else 0
        return (*self.free, *(f"{_OFFSET}{look + 1}" for look in range(looks)))

    @cached_property
    def low(self) -> Doubles:
        """Where the scale of each begins."""
        size = self._size
        return np.array([self.free[name][0] if name in self.free else -size for name in self.names])

    @cached_property
    def width(self) -> Doubles:
        """How long the scale of each is."""
        size = self._size
        return np.array([self.free[name][1] if name in self.free else size for name in self.names]) - self.low

    @cached_property
    def bounded(self) -> NDArray[np.bool_]:
        """Which have bounds: all but the constants."""
        return np.array([name in self.free for name in self.names])

    @cached_property
    def white(self) -> Doubles:
        """The data, divided by the root of their covariance."""
        return self.points.whiten(self.points.value)

    @property
    def _size(self) -> float:
        return max(1e-12, float(np.abs(self.points.value).max(initial=0.0)))

    def known(self, scaled: Doubles) -> dict[str, float]:
        """Give all parameters by name."""
        return {**self.held, **dict(zip(self.names, (self.low + scaled * self.width).tolist(), strict=True))}

    def _seen(self, known: Mapping[str, float]) -> Doubles:
        east, north = self.points.from_place(known["east"], known["north"])
        return self.points.project(self.forward(known, east, north))

    def residuals(self, scaled: Doubles) -> Doubles:
        """Give model less data, whitened."""
        known = self.known(scaled)
        constant = np.array([known.get(f"{_OFFSET}{look + 1}", 0.0) for look in range(len(self.points.factors))])
        return np.asarray(self.points.whiten(self._seen(known) + constant[self.points.look]) - self.white)

    def started(self, scaled: Doubles) -> Doubles:
        """Set the parameters in which the problem is linear to their best, within their bounds."""
        which = [n for n, name in enumerate(self.names) if name in LINEAR or name.startswith(_OFFSET)]
        if not which:
            return scaled
        known = self.known(scaled)
        known |= {name: 0.0 for name in LINEAR if name in self.free}
        ground = self._seen(known)
        columns = [self._column(self.names[n], known, ground) for n in which]
        left = self.white - self.points.whiten(ground)
        best = np.linalg.lstsq(self.points.whiten(np.stack(columns, axis=1)), left)[0]
        found = scaled.copy()
        found[which] = (best - self.low[which]) / self.width[which]
        return np.asarray(np.where(self.bounded, np.clip(found, 1e-6, 1 - 1e-6), found))

    def _column(self, name: str, known: Mapping[str, float], ground: Doubles) -> Doubles:
        if name.startswith(_OFFSET):
            return np.asarray(self.points.look == int(name.removeprefix(_OFFSET)) - 1, "float64")
        return self._seen({**known, name: 1.0}) - ground


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What a search found.

    Parameters
    ----------
    values : float64 (parameters,)
    covariance : float64 (parameters, parameters)
    chi2 : float
    at_bound : tuple of str
    agreeing : (int, int)
        How many of the refined starts ended at this one, and how many there were.
    """

    values: Doubles
    covariance: Doubles
    chi2: float
    at_bound: tuple[str, ...]
    agreeing: tuple[int, int]


def search(problem: Problem, starts: tuple[int, int]) -> Found:
    """Try places spread evenly over the bounds, and refine the best of them."""
    from scipy.optimize import least_squares
    from scipy.stats.qmc import Halton

    # The first point of the sequence is a corner.
    places = Halton(len(problem.names), scramble=False).random(starts[0] + 1)[1:]
    tried = [problem.started(each) for each in places]
    costs = [float(np.sum(problem.residuals(each) ** 2)) for each in tried]
    limits = (np.where(problem.bounded, 0.0, -np.inf), np.where(problem.bounded, 1.0, np.inf))
    ends = [
        least_squares(problem.residuals, tried[place], jac="3-point", bounds=limits, xtol=1e-12, ftol=1e-12)
        for place in np.argsort(costs, kind="stable")[: starts[1]]
    ]
    best = min(ends, key=lambda end: float(end.cost))
    same = sum(float(end.cost) <= float(best.cost) * (1 + _SAME) + 1e-9 for end in ends)
    inside = (best.x > _HELD) & (best.x < 1 - _HELD)
    return Found(
        values=problem.low + best.x * problem.width,
        covariance=_covariance(np.asarray(best.jac), problem.width),
        chi2=2 * float(best.cost),
        at_bound=tuple(np.array(problem.names)[problem.bounded & ~inside].tolist()),
        agreeing=(same, len(ends)),
    )


def _covariance(jacobian: Doubles, width: Doubles) -> Doubles:
    singular = np.linalg.svd(jacobian, compute_uv=False)
    if not singular[-1] > 1e-10 * singular[0]:
        return np.full((width.size, width.size), np.nan)
    return np.asarray(np.linalg.inv(jacobian.T @ jacobian) * width[:, None] * width)
