"""Moving extremes of a series as features: highest and lowest values around each date, which forgive a shifted season.

A value at a date tells classes apart only where sowing is on time; the highest and lowest value of a few dates around
it say nearly the same and change little when the season comes some weeks early. For samples of places that were not
seen this is worth more than the values themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from terracube.core.digest import sha256_of
from terracube.core.errors import InputError
from terracube.processing.landcover.features.functions import register_function
from terracube.processing.landcover.features.spec import Season

_VERSION = "1.0"


def moving_extremes(names: Sequence[str], season: Season, *, window: int = 5) -> str:
    """Register the highest and lowest value in a window around each regular date as a function of features.

    The key depends on the arguments alone: the same call in another process registers the same function.

    Parameters
    ----------
    names : sequence of str
        Bands and indices.
    season : Season
        The regular dates.
    window : int
        Dates in the window, odd; at the ends of the season it is cut.

    Returns
    -------
    str
        The key, for ``functions`` of a :class:`FeatureSpec`. The features are called ``NDVI_max5_d016``, ...

    Raises
    ------
    InputError
        If the window does not fit.

    Examples
    --------
    >>> key = moving_extremes(("NDVI",), Season(start="09-01", step=16, count=3), window=3)
    >>> key.partition("_")[0], key.partition("@")[2]
    ('extremes3', '1.0')
    """
    if window % 2 == 0 or not 3 <= window <= season.count * 2:
        raise InputError("the window does not fit", where="window", expected="odd, 3 or more", got=str(window))
    wanted = tuple(names)
    days = [f"d{step * season.step:03d}" for step in range(season.count)]
    outputs = tuple(f"{name}_{kind}{window}_{day}" for kind in ("max", "min") for name in wanted for day in days)
    mark = sha256_of([wanted, season.step, season.count])[:8]
    moving = _MOVING.setdefault(window, _moving(window))
    made = register_function(f"extremes{window}_{mark}", _VERSION, outputs=outputs, fn=moving, needs=wanted)
    return made.key


def _extremes(series: NDArray[np.float32], days: NDArray[np.float64], *, window: int) -> NDArray[np.float32]:
    """From (D, V, N) to (2 V D, N): highest values variable by variable, then lowest; missing stays missing."""
    half = window // 2
    dates = len(days)
    out = np.empty((2, series.shape[1], dates, series.shape[2]), np.float32)
    for date in range(dates):
        part = series[max(0, date - half) : date + half + 1]
        np.max(part, axis=0, out=out[0, :, date])
        np.min(part, axis=0, out=out[1, :, date])
    return out.reshape(-1, series.shape[2])


def _moving(window: int) -> partial[NDArray[np.float32]]:
    return partial(_extremes, window=window)


# One object per window, so that registering twice is registering the same.
_MOVING: dict[int, partial[NDArray[np.float32]]] = {}
