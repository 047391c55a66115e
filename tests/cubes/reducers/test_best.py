"""Best pixel: the date with the highest score, whole, or nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.reducers import best_pixel


def plain(cube, score, nodata):
    """Do the same pixel by pixel in plain Python."""
    values = np.full(cube.shape[1:], np.nan if cube.dtype.kind == "f" else nodata, cube.dtype)
    index = np.full(score.shape[1:], -1)
    for y, x in np.ndindex(*score.shape[1:]):
        usable = [
            (-float(score[t, y, x]), t)
            for t in range(len(cube))
            if not np.isnan(score[t, y, x]) and not any(v in (nodata, None) or np.isnan(v) for v in cube[t, :, y, x])
        ]
        if usable:
            index[y, x] = min(usable)[1]
            values[:, y, x] = cube[index[y, x], :, y, x]
    return values, index


@given(seed=st.integers(0, 100), dtype=st.sampled_from(("uint8", "int32", "float32")))
def test_equals_plain_python(seed, dtype):
    """Ties go to the earliest date; a date that lacks a band or a score is never taken."""
    rng = np.random.default_rng(seed)
    cube = rng.integers(0, 4, (5, 2, 3, 4)).astype(dtype)
    score = rng.integers(0, 3, (5, 3, 4)).astype("float32")
    score[rng.random(score.shape) < 0.2] = np.nan
    best = best_pixel(cube, score, nodata=0)
    values, index = plain(cube, score, 0)
    np.testing.assert_array_equal(best.values, values)
    np.testing.assert_array_equal(best.index, index)
    np.testing.assert_array_equal(best.count, ((cube != 0).all(axis=1) & ~np.isnan(score)).sum(axis=0))


def test_scores_of_any_type():
    """Whole numbers and booleans are scores too, and minus infinity is a score."""
    cube = np.array([1.0, 2.0, np.nan], "float32").reshape(3, 1, 1, 1)
    for score in (np.array([3, 9, 10], "int64"), np.array([False, True, True]), np.array([-np.inf, 0, 1])):
        best = best_pixel(cube, score.reshape(3, 1, 1), nodata=None)
        assert (best.values.item(), best.index.item(), best.count.item()) == (2.0, 1, 2)
    only = best_pixel(cube[:1], np.full((1, 1, 1), -np.inf), nodata=None)
    assert only.index.item() == 0


def test_blocks_give_the_same():
    """A part of the block gives the part of the result; a block without pixels gives none."""
    rng = np.random.default_rng(3)
    cube, score = rng.integers(0, 9, (4, 2, 6, 7)).astype("uint16"), rng.random((4, 6, 7))
    whole = best_pixel(cube, score, nodata=0)
    part = best_pixel(cube[..., 2:5, 1:], score[:, 2:5, 1:], nodata=0)
    np.testing.assert_array_equal(part.values, whole.values[:, 2:5, 1:])
    assert best_pixel(cube[..., :0], score[..., :0], nodata=0).values.shape == (2, 6, 0)


def test_refusals():
    """Wrong shapes and types are refused, and integers without a way to write a missing value."""
    cube, score = np.ones((2, 1, 3, 3), "uint8"), np.ones((2, 3, 3))
    for wrong in (score[:1], score.astype("complex"), [1], np.ma.array(score)):
        with pytest.raises(InputError, match="score does not fit"):
            best_pixel(cube, wrong, nodata=0)
    with pytest.raises(InputError, match="no band"):
        best_pixel(cube[:, :0], score, nodata=0)
    with pytest.raises(InputError, match="wrong shape"):
        best_pixel(cube[:, 0], score, nodata=0)
    with pytest.raises(MetadataError, match="how a missing result is written"):
        best_pixel(cube, score, nodata=None)
