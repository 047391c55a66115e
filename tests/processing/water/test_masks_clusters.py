"""Clusters of a sample."""

import numpy as np
import pytest
from sklearn.metrics import calinski_harabasz_score

from terracube.processing.water.masks.clusters import (
    SAMPLE,
    _separation,
    _shuffled,
    classify,
    cluster,
    draw,
    together,
)

WATER, TURBID, LAND, SAND = (0.6, 0.8, 0.01), (0.1, 0.4, 0.03), (-0.5, -0.4, 0.2), (-0.2, -0.3, 0.4)


def kinds(*means, many=60, seed=0):
    """Draw pixels (pixels, features) of some kinds."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(mean, 0.015, (many, 3)) for mean in means])


def block(rows=40, cols=50, seed=0):
    """Give flags and the bands of a block with a lake in it."""
    rng = np.random.default_rng(seed)
    wet = np.zeros((rows, cols), bool)
    wet[10:20, 10:30] = True
    values = [np.where(wet, a, b) * rng.uniform(0.9, 1.1, wet.shape) for a, b in
              ((0.05, 0.08), (0.01, 0.25), (0.004, 0.25), (0.003, 0.15))]  # fmt: skip
    return wet, np.zeros(wet.shape, np.uint16), values


@pytest.mark.parametrize(
    ("means", "wet"), [((WATER, LAND), 1), ((WATER, TURBID, LAND), 2), ((WATER, LAND, SAND), 1), ((LAND, SAND), 0)]
)
def test_kinds_are_told_apart(means, wet):
    """Well separated kinds become clusters, of which those that look like water are water."""
    found = cluster(kinds(*means))
    assert len(found.shares) == len(means)
    assert found.water.sum() == wet
    assert found.shares.sum() == pytest.approx(1.0)


def test_all_water_and_too_few():
    """A sample of water alone is water whatever it is parted into; one pixel, and none, have an answer."""
    assert cluster(kinds(WATER)).water.all()
    assert cluster(np.array([WATER])).water.tolist() == [True]
    assert cluster(np.array([LAND])).water.tolist() == [False]
    assert cluster(np.tile(WATER, (50, 1))).shares.tolist() == [1.0]
    nothing = cluster(np.empty((0, 3)))
    assert nothing.water.size == 0
    assert not classify(np.zeros((3, 4), np.float32), nothing).any()


def test_separation_is_that_of_scikit_learn():
    """The index of Calinski and Harabasz is that of scikit-learn."""
    x, labels = kinds(WATER, LAND, SAND, many=20), np.repeat([0, 1, 2], 20)
    assert _separation(x, labels) == pytest.approx(calinski_harabasz_score(x, labels), rel=1e-9)
    assert _separation(x, np.zeros(60, int)) == -1.0


def test_pixels_get_the_class_of_their_cluster():
    """New pixels of a kind are classified as that kind; what cannot be water never is."""
    found = cluster(kinds(WATER, TURBID, LAND))
    new = kinds(WATER, TURBID, LAND, seed=5).T.astype(np.float32)
    np.testing.assert_array_equal(classify(new, found), np.repeat([True, True, False], 60))
    bright = np.array([[0.6], [0.8], [0.1]], np.float32)
    assert not classify(bright, found).any()


def test_the_sample_does_not_depend_on_the_cut():
    """Drawn from a block or from its parts in another order, the sample and the clusters are the same."""
    _, flags, values = block(60, 90)
    rows, cols = np.arange(60)[:, None] + 1000, np.arange(90)[None] + 77
    whole = together([draw(flags, rows, cols, *values, seed=3)])
    parts = [
        draw(flags[y, x], rows[y], cols[:, x], *(value[y, x] for value in values), seed=3)
        for y in (slice(35, 60), slice(0, 35))
        for x in (slice(50, 90), slice(0, 50))
    ]
    cut = together(parts)
    np.testing.assert_array_equal(whole.means, cut.means)
    np.testing.assert_array_equal(whole.water, cut.water)


def test_samples_are_bounded_and_clear():
    """At most so many pixels of each half are drawn, none of them under a flag or missing."""
    _, flags, values = block(80, 90)
    flags[:40] = 64
    values[0][60:] = np.nan
    wet, dry = draw(flags, np.arange(80)[:, None], np.arange(90)[None], *values, seed=0)
    assert (len(wet.numbers), len(dry.numbers)) == (0, SAMPLE)
    assert np.isfinite(dry.features).all()
    other = draw(flags, np.arange(80)[:, None], np.arange(90)[None], *values, seed=1)[1]
    assert not np.array_equal(other.numbers, dry.numbers)


def test_shuffled_numbers_differ():
    """No two places get the same number, and neighbours get far ones."""
    numbers = _shuffled(np.arange(100_000, dtype=np.uint64), 7)
    assert np.unique(numbers).size == 100_000
    assert abs(np.corrcoef(numbers[1:].astype(float), numbers[:-1].astype(float))[0, 1]) < 0.02
