"""Water as some of the clusters of a sample of a scene, and naive Bayes for its other pixels, as WaterDetect does it.

Cordeiro, Martinez & Pena-Luque 2021, doi:10.1016/j.rse.2020.112209. Different here: the sample is drawn by the position
of pixels, so that it does not depend on how the scene is cut; half of it are pixels that may be water; more than one
cluster may be water, and none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.processing.kernels.bayes import likeliest
from terracube.processing.water.masks._blocks import unboxed
from terracube.processing.water.masks.clear import is_clear
from terracube.processing.water.masks.indices import FLOOR, water_index

BANDS = ("green", "nir", "swir16", "swir22")
FEATURES = ("ndwi", "mndwi", "swir22")
LEAST_NDWI, LEAST_MNDWI, MOST_SWIR = -0.15, -0.1, 0.075
"""A pixel beyond one of these is not water, whatever its cluster."""
SAMPLE = 1500
"""Pixels of each half of the sample."""
MOST_CLUSTERS = 7
_SPREAD = 0.01
"""Added to the standard deviation of a cluster's features, which may be none for few pixels."""

type Doubles = NDArray[np.float64]
type Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False, slots=True)
class Sample:
    """Some pixels: those of the smallest numbers that chance gave to their positions."""

    numbers: NDArray[np.uint64]
    """Of each pixel, ascending; no two are equal."""
    features: Floats
    """(pixels, features)."""


@dataclass(frozen=True, eq=False, slots=True)
class Clusters:
    """What a sample was parted into."""

    means: Doubles
    """(clusters, features)."""
    variances: Doubles
    """(clusters, features)."""
    shares: Doubles
    """Of the sample, (clusters,)."""
    water: NDArray[np.bool_]
    """Which clusters are water, (clusters,)."""


@np.errstate(invalid="ignore", over="ignore")
def features(bands: Mapping[str, NDArray[Any]]) -> Floats:
    """Give NDWI, MNDWI and swir22 of pixels, float32 (features, ...)."""
    names = ("ndwi", "mndwi")
    found = [water_index(name).values(bands) for name in names] + [np.maximum(bands["swir22"], FLOOR)]
    return np.stack(found).astype(np.float32)


def may_be_water(x: Floats) -> NDArray[np.bool_]:
    """Tell which pixels (features, ...) are not excluded from water."""
    found: NDArray[np.bool_] = (x[0] > LEAST_NDWI) & (x[1] > LEAST_MNDWI) & (x[2] < MOST_SWIR)
    return found


def draw(
    flags: NDArray[np.uint16],
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    *bands: NDArray[Any],
    seed: int,
) -> tuple[Sample, Sample]:
    """Draw from a block the clear pixels that may be water, and the others."""
    x = features(dict(zip(BANDS, bands, strict=True)))
    clear = is_clear(flags) & np.isfinite(x).all(axis=0)
    wet = may_be_water(x)
    places = (rows.astype(np.uint64) << np.uint64(32)) | cols.astype(np.uint64)
    numbers = _shuffled(places, seed)
    return _least(numbers, x, clear & wet), _least(numbers, x, clear & ~wet)


def together(parts: list[Any]) -> Clusters:
    """Part the sample of a scene, drawn block by block, into clusters."""
    halves = list(zip(*unboxed(parts), strict=True))
    drawn = [_first(list(half)) for half in halves]
    return cluster(np.concatenate([half.features for half in drawn]).astype(np.float64))


def cluster(x: Doubles) -> Clusters:
    """Part pixels (pixels, features) into 1 to 7 clusters, and say which of them are water.

    Average linkage of the features divided by their standard deviation; of 2 to 7 clusters that number with the
    greatest index of Calinski & Harabasz (1974, doi:10.1080/03610927408827101). A cluster is water if its mean is:
    MNDWI above 0, NDWI above -0.15, swir22 below 0.075.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> water = rng.normal([0.6, 0.8, 0.01], 0.02, (40, 3))
    >>> land = rng.normal([-0.5, -0.4, 0.2], 0.02, (60, 3))
    >>> found = cluster(np.concatenate([water, land]))
    >>> sorted(zip(found.shares.tolist(), found.water.tolist()))
    [(0.4, True), (0.6, False)]
    """
    labels = _labels(x)
    groups = [x[labels == number] for number in range(labels.max() + 1 if labels.size else 0)]
    if not groups:
        nothing = np.empty((0, len(FEATURES)))
        return Clusters(nothing, nothing, np.empty(0), np.empty(0, np.bool_))
    means = np.stack([group.mean(axis=0) for group in groups])
    variances = np.stack([np.square(group.std(axis=0) + _SPREAD) for group in groups])
    shares = np.array([len(group) / len(x) for group in groups])
    water = (means[:, 0] > LEAST_NDWI) & (means[:, 1] > 0) & (means[:, 2] < MOST_SWIR)
    return Clusters(means, variances, shares, water)


def classify(x: Floats, found: Clusters) -> NDArray[np.bool_]:
    """Tell which pixels (features, ...) are water: the likeliest cluster is, and nothing excludes it."""
    if not found.water.any():
        return np.zeros(x.shape[1:], np.bool_)
    out = np.empty(x[0].size, np.uint8)
    offsets = np.log(found.shares) - np.log(found.variances).sum(axis=1) / 2
    flat = np.ascontiguousarray(x.reshape(len(x), -1))
    likeliest(flat, found.means, 1.0 / (2.0 * found.variances), offsets, out)
    return found.water[out].reshape(x.shape[1:]) & may_be_water(x)


def _labels(x: Doubles) -> NDArray[np.int64]:
    """Give the cluster of each pixel, 0, 1, ..."""
    from scipy.cluster.hierarchy import fcluster, linkage

    spread = x.std(axis=0) if len(x) else np.ones(0)
    if len(x) < 3 or not (spread > 0).any():
        return np.zeros(len(x), np.int64)
    scaled = x / np.where(spread > 0, spread, 1.0)
    tree = linkage(scaled, "average")
    cuts = [fcluster(tree, number, "maxclust") - 1 for number in range(2, min(MOST_CLUSTERS, len(x) - 1) + 1)]
    best: NDArray[np.int64] = max(cuts, key=lambda labels: _separation(scaled, labels))
    return best.astype(np.int64)


def _separation(x: Doubles, labels: NDArray[np.int64]) -> float:
    """Give the index of Calinski & Harabasz: variance between clusters over that within, per degree of freedom."""
    many = int(labels.max()) + 1
    if many < 2 or many >= len(x):
        return -1.0
    centre, between, within = x.mean(axis=0), 0.0, 0.0
    for number in range(many):
        group = x[labels == number]
        mean = group.mean(axis=0)
        between += len(group) * float(np.square(mean - centre).sum())
        within += float(np.square(group - mean).sum())
    return between / (many - 1) / (within / (len(x) - many)) if within > 0 else np.inf


def _shuffled(places: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """Give each place a number that looks drawn: the finaliser of splitmix64, which makes no two equal.

    Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195.
    """
    found = places + np.uint64((0x9E3779B97F4A7C15 * (seed + 1)) % (1 << 64))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        found = (found ^ (found >> np.uint64(shift))) * np.uint64(factor)
    numbers: NDArray[np.uint64] = found ^ (found >> np.uint64(31))
    return numbers


def _least(numbers: NDArray[np.uint64], x: Floats, chosen: NDArray[np.bool_]) -> Sample:
    return _cut(numbers[chosen], x[:, chosen].T)


def _first(parts: list[Sample]) -> Sample:
    return _cut(np.concatenate([part.numbers for part in parts]), np.concatenate([part.features for part in parts]))


def _cut(numbers: NDArray[np.uint64], x: Floats) -> Sample:
    """Keep the pixels of the smallest numbers, in their order."""
    if numbers.size > SAMPLE:
        kept = np.argpartition(numbers, SAMPLE)[:SAMPLE]
        numbers, x = numbers[kept], x[kept]
    order = np.argsort(numbers)
    return Sample(numbers[order], np.ascontiguousarray(x[order]))
