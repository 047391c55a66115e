"""A threshold of a whole scene, found from a histogram in which water and land weigh the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.processing.water.masks._blocks import unboxed
from terracube.processing.water.masks.indices import WaterIndex

BINS = 1024
"""Of a histogram over the range of an index: a threshold of a ratio is one of every 0.002."""
LEAST_SHARE, LEAST_PIXELS = 0.001, 20
"""A class with a smaller share of the clear pixels, or fewer of them, does not count as one."""
DEEPEST = 0.5
"""Between two classes lie bins with fewer pixels than this part of those where the smaller class has most."""
_WINDOW = 33

type Counts = NDArray[np.int64]


def histogram(values: NDArray[Any], clear: NDArray[np.bool_], index: WaterIndex) -> Counts:
    """Count the clear pixels in ``BINS`` bins over the range of an index; those beyond it at its ends."""
    low, high = index.range
    found = values[clear & np.isfinite(values)].astype(np.float64)
    numbers = np.clip((found - low) * (BINS / (high - low)), 0, BINS - 1).astype(np.int64)
    return np.bincount(numbers, minlength=BINS).astype(np.int64)


def added(parts: list[Any]) -> Counts:
    """Add the histograms of all blocks: whole numbers, so that order and cut do not matter."""
    counts: Counts = np.sum(unboxed(parts), axis=0, dtype=np.int64)
    return counts


def balanced_threshold(counts: Counts, index: WaterIndex) -> float:
    """Find the threshold between water and land.

    Otsu's threshold (1979, doi:10.1109/TSMC.1979.4310076) goes wrong where one class is a small part of the scene. Here
    the histogram is parted at the published threshold, both parts are given the same weight, and Otsu's threshold of
    that histogram is looked for within the window of the index: land is of many kinds, and in a sum of bands spreads so
    much wider than water that the threshold between their means would lie far within it.

    Parameters
    ----------
    counts : int64 (BINS,)
    index : WaterIndex

    Returns
    -------
    float
        The published threshold where a class has fewer than 0.1 % of the clear pixels or fewer than 20, or where there
        is no valley between the two: then there is no water or nothing else, and what lies on the other side is the
        tail of the one there is.

    Examples
    --------
    >>> from terracube.processing.water.masks.indices import water_index
    >>> counts = np.zeros(BINS, np.int64)
    >>> counts[[300, 820]] = 9_800, 200
    >>> round(balanced_threshold(counts, water_index("mndwi")), 2)
    0.1
    """
    low, high = index.range
    edges = np.linspace(low, high, BINS + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    cut = int(np.searchsorted(edges, index.threshold))
    dry, wet = int(counts[:cut].sum()), int(counts[cut:].sum())
    if min(dry, wet) < max(LEAST_PIXELS, LEAST_SHARE * (dry + wet)) or not _has_valley(counts, cut):
        return index.threshold
    shares = np.concatenate([counts[:cut] / dry, counts[cut:] / wet]) / 2
    return float(edges[_otsu(shares, middles, edges, index.window)])


def _has_valley(counts: Counts, cut: int) -> bool:
    """Tell whether there are two kinds of pixels: a peak on each side of a bin, and a valley between."""
    smooth = np.convolve(counts, np.ones(_WINDOW, np.int64), "same")
    dry = int(np.argmax(smooth[:cut]))
    wet = cut + int(np.argmax(smooth[cut:]))
    return bool(smooth[dry : wet + 1].min() < DEEPEST * min(smooth[dry], smooth[wet]))


def _otsu(
    shares: NDArray[np.float64],
    middles: NDArray[np.float64],
    edges: NDArray[np.float64],
    window: tuple[float, float],
) -> int:
    """Give the edge within the window that parts the histogram best.

    Of edges that part it equally well, as those of empty bins, the one in the middle.
    """
    below = np.cumsum(shares)[:-1]
    moment = np.cumsum(shares * middles)
    mean, moment = moment[-1], moment[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        between = np.square(mean * below - moment) / (below * (1.0 - below))
    between[~np.isfinite(between)] = 0.0
    inside = np.flatnonzero((edges[1:-1] >= window[0]) & (edges[1:-1] <= window[1]))
    best = between[inside].max()
    equals = np.flatnonzero(np.abs(between - best) <= best * 1e-9)
    found = np.clip(equals[equals.size // 2], inside[0], inside[-1])
    return int(found) + 1
