"""Moving ground: a Mogi source below the region, and a yearly breathing of the soil."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from terracube.ingest.simulate.fields import FloatArray
from terracube.ingest.simulate.parameters import parameter

DAYS_PER_YEAR = 365.25


@dataclass(frozen=True)
class Deformation:
    """The ground's true motion. Free parameters: any value is a possible truth."""

    depth: float = parameter(1400.0, "m", "of the source's centre (Mogi 1958)", harder="either")
    volume_rate: float = parameter(-2.5e5, "m3/year", "change of the source's volume; negative sinks", harder="either")
    poisson: float = parameter(0.25, "", "Poisson's ratio of the half space", harder="either")
    east: float = parameter(-900.0, "m", "of the source from the region's centre", harder="either")
    north: float = parameter(700.0, "m", "of the source from the region's centre", harder="either")
    annual: float = parameter(0.006, "m", "amplitude of the yearly uplift at its centre", harder="either")
    annual_radius: float = parameter(
        2200.0, "m", "of the yearly uplift (Gaussian, standard deviation)", harder="either"
    )
    annual_peak: float = parameter(100.0, "day of year", "of the highest ground", harder="either")


@dataclass(frozen=True, eq=False)
class Motion:
    """Displacement of the ground, metres, arrays of one shape."""

    east: FloatArray
    north: FloatArray
    up: FloatArray


def mogi(x: FloatArray, y: FloatArray, *, depth: float, volume: float, poisson: float = 0.25) -> Motion:
    """Compute the surface displacement by a small sphere that changes its volume in an elastic half space.

    Mogi 1958 (Bull. Earthq. Res. Inst. 36, 99-134), in the form for a volume change:
    ``u = (1 - nu) dV / pi * (x, y, d) / R^3`` with ``R^2 = x^2 + y^2 + d^2``. The integral of the uplift over the
    plane is ``2 (1 - nu) dV``: with ``r`` from 0 to infinity, ``2 pi d`` times the integral of ``r / R^3`` is 2 pi.

    Parameters
    ----------
    x, y : array
        East and north of the source, m.
    depth : float
        m, > 0.
    volume : float
        Change of volume, m3; positive lifts.

    Examples
    --------
    >>> float(mogi(np.array(0.0), np.array(0.0), depth=1000.0, volume=1e6).up.round(4))
    0.2387
    """
    strength = (1 - poisson) * volume / np.pi / np.sqrt(x**2 + y**2 + depth**2) ** 3
    return Motion(east=strength * x, north=strength * y, up=strength * depth)


@dataclass(frozen=True)
class LineOfSight:
    """Unit vector from the ground to the satellite."""

    east: float
    north: float
    up: float

    @classmethod
    def of(cls, *, incidence: float, heading: float) -> LineOfSight:
        """Make it for a radar that looks to the right of its path.

        Parameters
        ----------
        incidence, heading : float
            Degrees from the vertical; degrees clockwise from north.

        Examples
        --------
        >>> look = LineOfSight.of(incidence=90.0, heading=0.0)  # flying north, seen low in the west
        >>> round(look.east, 9), round(look.north, 9), round(look.up, 9)
        (-1.0, 0.0, 0.0)
        """
        # The satellite stands to the left of its flight, seen from the ground it looks at.
        bearing, slant = np.radians(heading - 90), np.radians(incidence)
        return cls(
            east=float(np.sin(slant) * np.sin(bearing)),
            north=float(np.sin(slant) * np.cos(bearing)),
            up=float(np.cos(slant)),
        )

    def project(self, motion: Motion) -> FloatArray:
        """Give the displacement towards the satellite."""
        return np.asarray(self.east * motion.east + self.north * motion.north + self.up * motion.up)


@dataclass(frozen=True, eq=False)
class TrueMotion:
    """What a perfect radar would see, in metres along the line of sight, positive towards the satellite."""

    velocity: FloatArray
    """m/year, ``(y, x)``."""
    annual: FloatArray
    """Amplitude of the yearly term, m, ``(y, x)``."""
    peak: float
    """Day of the year on which the yearly term is largest."""

    def displacement(self, dates: Sequence[date]) -> FloatArray:
        """Give the displacement since the first date, m, ``(date, y, x)``."""
        years = np.array([(day - dates[0]).days for day in dates]) / DAYS_PER_YEAR
        cycle = np.array([self._cycle(day) for day in dates])
        return np.asarray(years[:, None, None] * self.velocity + (cycle - cycle[0])[:, None, None] * self.annual)

    def _cycle(self, day: date) -> float:
        return float(np.cos(2 * np.pi * (day.timetuple().tm_yday - self.peak) / DAYS_PER_YEAR))


def true_motion(ground: Deformation, x: FloatArray, y: FloatArray, *, look: LineOfSight) -> TrueMotion:
    """Compute velocity and yearly amplitude at points ``x``, ``y`` (m east and north of the region's centre)."""
    source = mogi(
        x - ground.east, y - ground.north, depth=ground.depth, volume=ground.volume_rate, poisson=ground.poisson
    )
    # The yearly term is vertical: water comes and goes in the soil around the region's centre.
    breath = ground.annual * np.exp(-(x**2 + y**2) / (2 * ground.annual_radius**2))
    return TrueMotion(velocity=look.project(source), annual=look.up * breath, peak=ground.annual_peak)
