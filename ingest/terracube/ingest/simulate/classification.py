"""The scene classification that comes with a scene: mostly right, with the mistakes such maps have."""

from __future__ import annotations

from datetime import date
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from terracube.ingest.simulate.clouds import Sky
from terracube.ingest.simulate.fields import FloatArray, block_mean, generator, smooth_field
from terracube.ingest.simulate.parameters import Clouds

FACTOR = 2
"""The map has pixels of 20 m."""
_PATCH = 2.5
_THICK = 0.6
_CIRRUS_SEEN = 0.06
_DARK = 0.3


class Scl(IntEnum):
    """Classes of the scene classification map (Sen2Cor)."""

    NODATA = 0
    SATURATED = 1
    DARK = 2
    SHADOW = 3
    VEGETATION = 4
    BARE = 5
    WATER = 6
    UNCLASSIFIED = 7
    CLOUD_MEDIUM = 8
    CLOUD_HIGH = 9
    CIRRUS = 10
    SNOW = 11


def classify(
    sky: Sky,
    *,
    seed: int,
    day: date,
    clouds: Clouds,
    water_share: NDArray[np.float32],
    red: NDArray[np.float32],
    nir: NDArray[np.float32],
) -> NDArray[np.uint8]:
    """Classify what the satellite saw.

    Opacities are judged with an error that varies over about 50 m, so that edges of clouds and shadows are missed here
    and overdone there; opacities below the threshold are not recognised; some clear land is called cloud.

    Parameters
    ----------
    water_share, red, nir : float32 arrays ``(y, x)`` on the 10 m grid
        True share of water, and reflectance as the satellite sees it.

    Returns
    -------
    uint8 array ``(y, x)`` on the 20 m grid, codes of :class:`Scl`, nowhere 0.
    """
    cloud, shadow, cirrus, wet, red20, nir20 = (
        block_mean(a, FACTOR) for a in (sky.cloud, sky.shadow, sky.cirrus, water_share, red, nir)
    )
    rng = generator(seed, "classification", day.isoformat())
    errors = [clouds.confusion * smooth_field(rng, wet.shape, length=_PATCH) for _ in range(2)]
    seen, shaded = cloud + errors[0], shadow + errors[1]
    result = _ground(wet, red20, nir20)
    result[shaded > clouds.threshold] = Scl.DARK
    result[shaded > max(_DARK, clouds.threshold)] = Scl.SHADOW
    result[cirrus + 0.2 * errors[1] > _CIRRUS_SEEN] = Scl.CIRRUS
    alarm = smooth_field(rng, wet.shape, length=_PATCH)
    result[(alarm > np.quantile(alarm, 1 - clouds.false_alarms)) & (wet < 0.5)] = Scl.CLOUD_MEDIUM
    result[seen > 0.75 * clouds.threshold] = Scl.UNCLASSIFIED
    result[seen > clouds.threshold] = Scl.CLOUD_MEDIUM
    result[seen > _THICK] = Scl.CLOUD_HIGH
    return result


def _ground(wet: FloatArray, red: FloatArray, nir: FloatArray) -> NDArray[np.uint8]:
    green = (nir - red) > 0.4 * (nir + red)
    return np.where(wet > 0.5, Scl.WATER, np.where(green, Scl.VEGETATION, Scl.BARE)).astype(np.uint8)


def percentages(scl: NDArray[np.uint8]) -> dict[Scl, float]:
    """Give the share of every class in percent: of the whole map for "no data", of the seen pixels for the others.

    Examples
    --------
    >>> shares = percentages(np.array([[0, 9], [4, 6]], dtype=np.uint8))
    >>> shares[Scl.NODATA], round(shares[Scl.CLOUD_HIGH], 1)
    (25.0, 33.3)
    """
    counts = np.bincount(scl.ravel(), minlength=len(Scl))
    seen = max(int(counts[1:].sum()), 1)
    return {k: 100.0 * int(counts[k]) / (scl.size if k is Scl.NODATA else seen) for k in Scl}
