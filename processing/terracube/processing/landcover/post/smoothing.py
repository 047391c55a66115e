"""Bayesian smoothing: probabilities that agree with what is around them.

The logit of each class at a pixel is taken as an observation of known variance; the highest logits of the class in
the window around it, of which most come from its own region if the window lies across a border, make a normal prior.
The smoothed logit is the posterior mean (empirical Bayes; Camara et al. 2024, "Bayesian inference for post-processing
of remote sensing image classification", doi:10.3390/rs16234572).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing.kernels.neighbours import smooth_plane
from terracube.processing.landcover.post._arrays import odd, over_windows

# Forests give many zeros, whose logit is infinite.
_FLOOR = 1e-4
_FLAT = 1e-4
Variance = float | Sequence[float]


def smooth(
    probabilities: xr.DataArray, *, window: int = 9, variance: Variance = 20.0, fraction: float = 0.5
) -> xr.DataArray:
    """Smooth the probabilities of classes, lazily where they are lazy.

    Parameters
    ----------
    probabilities : xarray.DataArray (class, y, x)
        Floats from 0 to 1; the classes' dimension may have any name. NaN in any class = missing pixel.
    window, variance, fraction
        As for :func:`smooth_array`.

    Returns
    -------
    xarray.DataArray (class, y, x)
        float32, sums of 1 over the classes; NaN in all classes where one is missing. The same to the bit however
        the array is cut.

    Raises
    ------
    InputError
        If the array or a parameter is not as above.
    """
    _check(probabilities, window, variance, fraction)
    core = partial(smooth_array, window=window, variance=variance, fraction=fraction)
    data = probabilities.data.astype("float32")
    return probabilities.copy(data=over_windows(core, data, odd(window)))


def smooth_array(
    probabilities: NDArray[np.floating[Any]], *, window: int = 9, variance: Variance = 20.0, fraction: float = 0.5
) -> NDArray[np.float32]:
    """Smooth the probabilities of classes, in memory.

    Parameters
    ----------
    probabilities : float array (class, y, x)
        NaN in any class = missing pixel. Values are taken as at least 1e-4 and at most 1 - 1e-4.
    window : int
        Pixels along each side, odd. At the edges the array is mirrored.
    variance : float or one per class
        Variance of the logits within one class: the higher, the smoother.
    fraction : float
        Part of the window's valid pixels, those of the highest logits, that make the prior; in (0, 1].

    Returns
    -------
    float32 array (class, y, x)
        New; sums of 1 over the classes.

    Raises
    ------
    InputError
        If the array or a parameter is not as above.

    Examples
    --------
    >>> forest = np.full((5, 5), 0.9); forest[2, 2] = 0.4
    >>> found = smooth_array(np.stack([forest, 1 - forest]), window=3)
    >>> found[:, 2, 2].astype(float).round(1).tolist()
    [0.8, 0.2]
    """
    _check(probabilities, window, variance, fraction)
    count, radius = probabilities.shape[0], odd(window)
    out = np.empty(probabilities.shape, np.float32)
    if not out.size:
        return out
    given = np.clip(np.asarray(probabilities, np.float32), np.float32(_FLOOR), np.float32(1 - _FLOOR))
    missing = np.isnan(given).any(axis=0)
    total = np.zeros(given.shape[1:], np.float32)
    for number, spread in enumerate(_per_class(variance, count)):
        logits = np.log(given[number] / (1 - given[number]))
        logits[missing] = np.nan
        padded = np.pad(logits, radius, mode="symmetric")
        posterior = smooth_plane(padded, radius, fraction, spread, _FLAT)
        out[number] = 1 / (1 + np.exp(-posterior))
        total += out[number]
    out /= total
    return out


def _per_class(variance: Variance, count: int) -> list[float]:
    return [float(value) for value in np.broadcast_to(np.asarray(variance, "float64"), count)]


def _check(probabilities: Any, window: int, variance: Variance, fraction: float) -> None:
    odd(window)
    if probabilities.ndim != 3 or np.dtype(probabilities.dtype).kind != "f" or not probabilities.shape[0]:
        raise InputError(
            "these are no probabilities",
            where="probabilities",
            expected="floats (class, y, x)",
            got=f"{probabilities.dtype} of shape {tuple(probabilities.shape)}",
        )
    spread = np.asarray(variance, "float64")
    if spread.shape not in ((), (probabilities.shape[0],)) or not (np.isfinite(spread) & (spread > 0)).all():
        raise InputError(
            "the variance is unusable", where="variance", expected="> 0, one or one per class", got=str(variance)[:80]
        )
    if not 0 < fraction <= 1:
        raise InputError("the fraction is none", where="fraction", expected="in (0, 1]", got=str(fraction))
