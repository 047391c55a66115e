"""Seeded randomness: one independent stream per name, and smooth or fractal fields made from it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]


def generator(seed: int, *names: str) -> np.random.Generator:
    """Give the random stream of one component, independent of every other and of the order in which they are used.

    Parameters
    ----------
    seed : int
        Seed of the region, >= 0.
    *names : str
        What the numbers are for: ``"clouds", "2023-08-15"``.

    Examples
    --------
    >>> float(generator(7, "noise", "2023-08-15").random()) == float(generator(7, "noise", "2023-08-15").random())
    True
    >>> float(generator(7, "noise", "2023-08-15").random()) == float(generator(7, "noise", "2023-08-16").random())
    False
    """
    words = [int.from_bytes(hashlib.sha256(name.encode("utf-8")).digest()[:4], "big") for name in names]
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=tuple(words)))


def smooth_field(rng: np.random.Generator, shape: tuple[int, int], *, length: float) -> FloatArray:
    """Draw a Gaussian random field that varies over about ``length`` pixels.

    The covariance at distance r is exp(-(r / length)^2 / 2).

    Returns
    -------
    float64 array ``(y, x)``, periodic at its edges, expected mean 0 and standard deviation 1.
    """
    return _filtered(rng, shape, lambda k: np.exp(-((k * np.pi * length) ** 2)))


def fractal_field(rng: np.random.Generator, shape: tuple[int, int], *, exponent: float) -> FloatArray:
    """Draw a random field whose two-dimensional power spectral density falls as ``wavenumber ** -exponent``.

    Returns
    -------
    float64 array ``(y, x)``, periodic at its edges, mean 0 and expected standard deviation 1.
    """
    return _filtered(rng, shape, lambda k: np.where(k > 0, np.maximum(k, 1e-9) ** (-exponent / 2), 0.0))


def _filtered(
    rng: np.random.Generator, shape: tuple[int, int], amplitude: Callable[[FloatArray], FloatArray]
) -> FloatArray:
    ky = np.fft.fftfreq(shape[0])[:, None]
    weight = amplitude(np.hypot(ky, np.fft.fftfreq(shape[1])[None, :]))
    spectrum = np.fft.rfft2(rng.standard_normal(shape)) * weight[:, : shape[1] // 2 + 1]
    # Parseval: white noise of variance 1, filtered by `weight`, has the mean square of `weight` as its variance.
    return np.asarray(np.fft.irfft2(spectrum, s=shape) / np.sqrt(np.mean(weight**2)))


def block_mean(array: FloatArray, factor: int) -> FloatArray:
    """Average blocks of ``factor`` x ``factor`` pixels over the last two axes, which ``factor`` must divide.

    Examples
    --------
    >>> block_mean(np.arange(16.0).reshape(4, 4), 2).tolist()
    [[2.5, 4.5], [10.5, 12.5]]
    """
    *lead, rows, columns = array.shape
    blocks = array.reshape(*lead, rows // factor, factor, columns // factor, factor)
    return blocks.mean(axis=(-3, -1), dtype=np.float64).astype(array.dtype)
