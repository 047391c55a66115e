"""What a radar sees of the region: terrain, delays in the air, coherence, and the phase of one pair of dates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from terracube.ingest.simulate.deformation import LineOfSight, TrueMotion, true_motion
from terracube.ingest.simulate.fields import FloatArray, fractal_field, generator, smooth_field
from terracube.ingest.simulate.parameters import Radar
from terracube.ingest.simulate.region import PIXEL, Region
from terracube.ingest.simulate.surface import Cover

NODATA = 0.0
_TURBULENCE_EXPONENT = 11 / 3
_TERRAIN_EXPONENT = 3.6
_WATER_COHERENCE = 0.05


@dataclass(frozen=True)
class Frame:
    """The grid of the interferograms: a square around the region's centre, which the radar sees and moves in."""

    region: Region
    size: int = 128
    """Pixels per side."""
    pixel: float = 90.0
    """m."""

    @property
    def centre(self) -> tuple[float, float]:
        """Easting and northing of the region's and the frame's centre, m."""
        left, bottom, right, top = self.region.bounds
        return (left + right) / 2, (bottom + top) / 2

    @property
    def transform(self) -> Affine:
        """The grid's transform, in the region's coordinates."""
        half, (east, north) = self.size * self.pixel / 2, self.centre
        return Affine(self.pixel, 0, east - half, 0, -self.pixel, north + half)

    @property
    def offsets(self) -> tuple[FloatArray, FloatArray]:
        """Metres east ``(1, x)`` and north ``(y, 1)`` of the centre, for every pixel's centre."""
        line = (np.arange(self.size) + 0.5 - self.size / 2) * self.pixel
        return line[None, :], -line[:, None]

    @cached_property
    def motion(self) -> TrueMotion:
        """Give the ground's true motion along the line of sight."""
        radar = self.region.radar
        look = LineOfSight.of(incidence=radar.incidence, heading=radar.heading)
        return true_motion(self.region.deformation, *self.offsets, look=look)

    @cached_property
    def terrain(self) -> FloatArray:
        """Draw the height of the ground, m, ``(y, x)``."""
        field = fractal_field(generator(self.region.seed, "terrain"), self._twice, exponent=_TERRAIN_EXPONENT)
        return np.asarray(np.maximum(450.0 + 190.0 * self._crop(field), 120.0))

    @cached_property
    def lasting_coherence(self) -> FloatArray:
        """Draw the coherence that remains after any time, ``(y, x)``: from 0.1 (woods) to 0.6 (towns, rock)."""
        field = smooth_field(generator(self.region.seed, "lasting coherence"), (self.size, self.size), length=5.0)
        return np.asarray(0.10 + 0.50 / (1 + np.exp(-1.5 * field)))

    @cached_property
    def water(self) -> NDArray[np.bool_]:
        """Tell where the region's lake and river lie on this grid, ``(y, x)``."""
        east, north = self.offsets
        side = self.region.size
        columns, rows = (np.floor(side / 2 + a / PIXEL).astype(int) for a in (east, -north))
        inside = (columns >= 0) & (columns < side) & (rows >= 0) & (rows < side)
        wet = self.region.land.share(Cover.WATER) > 0.5
        return np.asarray(inside & wet[np.clip(rows, 0, side - 1), np.clip(columns, 0, side - 1)])

    @property
    def _twice(self) -> tuple[int, int]:
        # Fields made by Fourier transform are periodic; a quarter of a larger one is not.
        return (2 * self.size, 2 * self.size)

    def _crop(self, field: FloatArray) -> FloatArray:
        return field[: self.size, : self.size]

    def delay(self, day: date) -> FloatArray:
        """Draw the excess path through the air on a date, m along the line of sight, ``(y, x)``.

        A part proportional to height, and a turbulent part: its spectrum along a line falls with k^-8/3, its
        two-dimensional power spectral density with k^-11/3 (Hanssen 2001).
        """
        rng, radar = generator(self.region.seed, "air", day.isoformat()), self.region.radar
        height = self.terrain
        layered = radar.stratification * rng.standard_normal() * (height - height.mean()) / 1000
        return layered + radar.turbulence * self._crop(fractal_field(rng, self._twice, exponent=_TURBULENCE_EXPONENT))

    def orbit(self, day: date) -> float:
        """Draw the perpendicular position of the orbit on a date, m."""
        return float(
            self.region.radar.baseline * generator(self.region.seed, "orbit", day.isoformat()).standard_normal()
        )


@dataclass(frozen=True, eq=False)
class Interferogram:
    """One pair of dates."""

    unwrapped: NDArray[np.float32]
    """Phase, rad, ``(y, x)``, second minus first date; it rises with the distance; NaN = not unwrapped."""
    coherence: NDArray[np.float32]
    """Coherence as estimated from ``looks`` samples, 0 to 1, ``(y, x)``."""
    baseline: float
    """Perpendicular baseline, m."""


def true_coherence(lasting: FloatArray, *, days: int, baseline: float, radar: Radar) -> FloatArray:
    """Model the coherence: an exponential decay in time to what lasts, times a linear one with the baseline.

    Examples
    --------
    >>> true_coherence(np.array([0.3]), days=0, baseline=0.0, radar=Radar()).round(6).tolist()
    [0.9]
    """
    temporal = lasting + (radar.initial_coherence - lasting) * np.exp(-days / radar.decorrelation)
    return np.asarray(temporal * max(0.0, 1 - abs(baseline) / radar.critical_baseline))


def phase_noise_std(coherence: FloatArray, *, looks: float) -> FloatArray:
    """Give the standard deviation of the phase, rad: the Cramer-Rao bound of Rodriguez & Martin 1992.

    ``sqrt((1 - g^2) / (2 L g^2))`` (10.1049/ip-f-2.1992.0018), a good model from about ten looks on.
    """
    return np.asarray(np.sqrt((1 - coherence**2) / (2 * looks)) / coherence)


def interferogram(frame: Frame, first: date, second: date) -> Interferogram:
    """Simulate one pair; a pure function of the frame and the two dates.

    Phase = -(4 pi / wavelength) * (motion - delay), later minus earlier, plus decorrelation noise. Unwrapping is
    perfect where it succeeds: there are no errors of 2 pi and no arbitrary constant.
    """
    radar = frame.region.radar
    motion = frame.motion.displacement([first, second])[1]
    signal = -4 * np.pi / radar.wavelength * (motion - (frame.delay(second) - frame.delay(first)))
    baseline = frame.orbit(second) - frame.orbit(first)
    on_land = true_coherence(frame.lasting_coherence, days=(second - first).days, baseline=baseline, radar=radar)
    coherence = np.where(frame.water, _WATER_COHERENCE, on_land)
    rng = generator(frame.region.seed, "pair", first.isoformat(), second.isoformat())
    noise, doubt = rng.standard_normal((2, *signal.shape))
    phase = signal + noise * phase_noise_std(coherence, looks=radar.looks)
    # Spread of a sample coherence: (1 - g^2) / sqrt(2 L) (Touzi et al. 1999, 10.1109/36.739146).
    estimate = np.clip(coherence + doubt * (1 - coherence**2) / np.sqrt(2 * radar.looks), 0.01, 0.999)
    phase[estimate < radar.masked_below] = np.nan
    return Interferogram(phase.astype(np.float32), estimate.astype(np.float32), baseline)
