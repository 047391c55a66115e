"""What hides the ground: clouds, the shadows they throw, thin cirrus, haze that the correction left in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from terracube.ingest.simulate.fields import fractal_field, generator
from terracube.ingest.simulate.parameters import Clouds, Noise
from terracube.ingest.simulate.sensor import SpectralBand, Sun

PIXEL = 10.0
_EDGE = 0.35
"""How fast clouds thicken: optical thickness per standard deviation of the cloud field, inverse."""
_HAZE_EXPONENT = 1.3

_LOOKS: dict[str, tuple[float, float, float]] = {
    "coastal": (0.72, 0.55, 0.62),
    "blue": (0.74, 0.56, 0.68),
    "green": (0.76, 0.57, 0.74),
    "red": (0.78, 0.58, 0.80),
    "rededge1": (0.79, 0.58, 0.83),
    "rededge2": (0.80, 0.58, 0.85),
    "rededge3": (0.80, 0.58, 0.87),
    "nir": (0.80, 0.58, 0.88),
    "nir08": (0.79, 0.57, 0.89),
    "nir09": (0.72, 0.52, 0.90),
    "swir16": (0.48, 0.25, 0.95),
    "swir22": (0.36, 0.18, 0.97),
}
"""Per band: reflectance of a thick water cloud, of ice cloud, and the share of the light that comes straight from the
sun (a shadow takes it away). Typical values, chosen by hand; not measurements."""


@dataclass(frozen=True, eq=False)
class Sky:
    """What lies between the ground and the satellite on one day; float32 ``(y, x)`` on the 10 m grid, 0 to 1."""

    cloud: NDArray[np.float32]
    """Opacity of low clouds."""
    cirrus: NDArray[np.float32]
    """Opacity of cirrus."""
    shadow: NDArray[np.float32]
    """Opacity of the low cloud that stands between the ground and the sun."""
    shift: tuple[int, int]
    """Rows and columns from a cloud to its shadow."""
    haze: float
    """Reflectance left in by the correction at 550 nm, either sign."""

    def veil(self, reflectance: NDArray[np.float32], band: SpectralBand) -> NDArray[np.float32]:
        """Turn the ground's reflectance into what the satellite reports, before noise.

        A shadow takes its share of the direct light; clouds are mixed in by their opacity, cirrus on top; haze adds.
        """
        cloud, ice, direct = (np.float32(value) for value in _LOOKS[band.name])
        lit = reflectance * (1 - direct * self.shadow)
        below = lit + self.cloud * (cloud - lit)
        haze = np.float32(self.haze * (band.centre / 550) ** -_HAZE_EXPONENT)
        return np.asarray(below + self.cirrus * (ice - below) + haze, dtype=np.float32)


def shadow_shift(height: float, sun: Sun) -> tuple[int, int]:
    """Tell how far a shadow lies from its cloud, in rows (down) and columns (right) of 10 m.

    Parameters
    ----------
    height : float
        Of the cloud above the ground, m.

    Examples
    --------
    >>> shadow_shift(1000.0, Sun(azimuth=180.0, elevation=45.0))  # sun in the south: the shadow falls to the north
    (-100, 0)
    """
    length = height / np.tan(np.radians(sun.elevation)) / PIXEL
    azimuth = np.radians(sun.azimuth)
    return round(float(length * np.cos(azimuth))), round(float(-length * np.sin(azimuth)))


def draw_sky(seed: int, size: int, day: date, *, sun: Sun, clouds: Clouds, noise: Noise) -> Sky:
    """Draw the sky of one day; a pure function of its arguments.

    Clouds are a fractal field above a threshold that leaves the day's cover; the field is twice as wide as the region,
    so that clouds outside throw shadows inside.
    """
    rng = generator(seed, "sky", day.isoformat())
    cover = rng.beta(0.6, 0.6 * max(1 / clouds.cover - 1, 0.01))
    height, haze = rng.uniform(700, 1800), rng.normal(0.0, noise.aerosol)
    veiled = rng.uniform() < clouds.cirrus
    field = fractal_field(rng, (2 * size, 2 * size), exponent=2.9)
    wisps = fractal_field(rng, (2 * size, 2 * size), exponent=4.0)[:size, :size]
    thickness = np.clip((field - np.quantile(field, 1 - cover)) / _EDGE, 0, None)
    opacity = (1 - np.exp(-(thickness**1.5))).astype(np.float32)
    shift = shadow_shift(height, sun)
    return Sky(
        cloud=opacity[:size, :size],
        cirrus=np.clip(0.14 * veiled * wisps, 0, 0.2).astype(np.float32),
        shadow=np.roll(opacity, shift, axis=(0, 1))[:size, :size],
        shift=shift,
        haze=float(haze),
    )
