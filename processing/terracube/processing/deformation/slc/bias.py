"""The bias of a sample coherence: what is expected of few samples, and what was there when so much was found."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import InputError

_NODES = 97
_NODES_OF_LOOKS = 24
# Beyond, the first terms of the series in (1 - coherence^2) are exact to 1e-6, and the sum would need too many terms.
_EXACT = 0.97
_FEWEST = 1.5
# The bias of more is below 1e-3 of a coherence of 0.02, and the table has a row for each.
_MOST = 16384


def expected_coherence(coherence: ArrayLike, looks: float) -> NDArray[np.float64]:
    """Give the expected value of the sample coherence of circular Gaussian signals.

    With D the coherence and L the number of independent samples (Touzi et al. 1999, equation 13) it is
    ``G(L) G(3/2) / G(L + 1/2) 3F2(3/2, L, L; L + 1/2, 1; D^2) (1 - D^2)^L``. Taken as the mean, over a negative
    binomial distribution of k with L successes and the probability D^2, of the mean root of a beta distribution with
    k + 1 and L - 1, it is a sum of positive terms.

    Parameters
    ----------
    coherence : array
        D, 0 to 1.
    looks : float
        L, more than 1.

    Returns
    -------
    array
        In the same shape.

    Raises
    ------
    InputError
        If a number is out of bounds.

    References
    ----------
    Touzi, R., Lopes, A., Bruniquel, J., Vachon, P. W. (1999), 10.1109/36.739146.

    Examples
    --------
    >>> expected_coherence([0, 0.5, 1], 10).round(4).tolist()
    [0.2838, 0.5339, 1.0]
    """
    given = np.asarray(coherence, "float64")
    if not looks > 1 or not np.isfinite(looks):
        raise InputError("too few samples", where="looks", expected="more than 1", got=repr(looks))
    if ((given < 0) | (given > 1)).any():
        raise InputError("coherence out of bounds", where="coherence", expected="0 to 1")
    squares = given.ravel() ** 2
    found = np.sqrt(squares + (1 - squares) ** 2 / (2 * looks))
    inside = squares <= _EXACT
    if inside.any():
        found[inside] = _summed(squares[inside], float(looks))
    return found.reshape(given.shape)


def _summed(squares: NDArray[np.float64], looks: float) -> NDArray[np.float64]:
    from scipy.special import gammaln

    counts = _terms(squares, looks)
    k = np.arange(int(counts.max()))
    chances = gammaln(looks + k) - gammaln(looks) - gammaln(k + 1)
    roots = np.exp(gammaln(k + 1.5) - gammaln(k + 1) + gammaln(looks + k) - gammaln(looks + k + 0.5))
    found = np.empty(squares.shape)
    for n, (square, count) in enumerate(zip(squares, counts, strict=True)):
        some = slice(0, int(count))
        weights = np.exp(chances[some] + k[some] * np.log(max(square, 1e-300)) + looks * np.log1p(-square))
        found[n] = (weights * roots[some]).sum()
    return found


def _terms(squares: NDArray[np.float64], looks: float) -> NDArray[np.float64]:
    """Give how many terms matter: the mean, twelve standard deviations, and a tail that falls as powers."""
    mean, spread = looks * squares / (1 - squares), np.sqrt(looks * squares) / (1 - squares)
    return np.ceil(mean + 12 * spread + 40 / -np.log(np.clip(squares, 1e-12, None)) + 10)


def unbiased_coherence(
    sample: Any, samples: Any, *, most: int | None = None, independence: float = 1.0
) -> NDArray[np.float32]:
    """Give the coherence for which a sample coherence would be expected.

    The estimate of a single pixel is still uncertain, and where the coherence is low, and values below the least
    expected become 0, the mean of estimates is a little too high; of a mean over many pixels it is not.

    Parameters
    ----------
    sample : array
        Sample coherence, 0 to 1; NaN = missing.
    samples : array, of the same shape, or a number
        How many samples it was made of.
    most : int, optional
        The most there can be; taken from ``samples`` by default. More than 16384 count as so many.
    independence : float
        Independent samples per sample.

    Returns
    -------
    float32 array
        Exact to 2e-3 above 0.1; 0 below what is expected of no coherence; NaN where it is missing, or made of fewer
        than two independent samples (1.5 rounds to two).

    Examples
    --------
    >>> unbiased_coherence(np.array([0.2, 0.5339, 1.0]), 10).round(2).tolist()
    [0.0, 0.5, 1.0]
    """
    found, counts = np.asarray(sample, np.float32), np.asarray(samples, np.float32)
    counts = np.broadcast_to(counts, found.shape)
    if most is None:
        most = int(np.nanmax(counts, initial=0))
    most = min(most, _MOST)
    table, least = _table(most, float(independence))
    row = np.clip(np.nan_to_num(counts), 0, most).astype(np.intp)
    floor = least[row]
    place = np.clip((np.nan_to_num(found) - floor) / (1 - floor), 0, 1) * (_NODES - 1)
    low = np.minimum(place.astype(np.intp), _NODES - 2)
    part = place - low
    squares = table[row, low] * (1 - part) + table[row, low + 1] * part
    squares[np.isnan(found)] = np.nan
    return np.asarray(np.sqrt(squares), np.float32)


@lru_cache(maxsize=16)
def _table(most: int, independence: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give, for 0 to ``most`` samples, squared coherence by where a sample lies between the least expected and one."""
    from scipy.special import gammaln

    looks = np.arange(most + 1) * independence
    enough = looks >= _FEWEST
    table, least = np.full((most + 1, _NODES), np.nan), np.zeros(most + 1)
    if not enough.any():
        return table, least
    few = looks[enough]
    least[enough] = np.exp(gammaln(few) + gammaln(1.5) - gammaln(few + 0.5))
    nodes = np.unique(np.geomspace(few[0], max(few[-1], few[0] * 1.001), _NODES_OF_LOOKS))
    curves = np.stack([_curve(float(node)) for node in nodes])
    for column in range(_NODES):
        table[enough, column] = np.interp(np.log(few), np.log(nodes), curves[:, column])
    return table, least


def _curve(looks: float) -> NDArray[np.float64]:
    squares = np.linspace(0, 1, _NODES)
    expected = expected_coherence(np.sqrt(squares), looks)
    return np.interp(np.linspace(0, 1, _NODES), (expected - expected[0]) / (1 - expected[0]), squares)
