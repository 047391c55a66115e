"""Votes of windows and of squares: chunks that never show, scipy where it agrees, larger pixels in their place."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from terracube.core.errors import InputError
from terracube.cubes import Grid
from terracube.processing.landcover.post import coarsen, coarsen_array, majority, majority_array

Placer = Callable[..., xr.DataArray]
MAPS = arrays("uint8", array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 3))
SIDES = st.tuples(st.integers(1, 6), st.integers(1, 6))
FEW = settings(max_examples=25, deadline=None)


@FEW
@given(MAPS, SIDES, st.sampled_from([1, 3, 7]))
def test_chunks_of_a_majority_do_not_show(
    placed: Placer, codes: np.ndarray, chunks: tuple[int, int], window: int
) -> None:
    """Any chunks give the same map, cut as before."""
    cut = majority(placed(codes, chunks), window=window)
    xr.testing.assert_identical(cut.compute(scheduler="synchronous"), majority(placed(codes), window=window))
    assert cut.data.chunks == placed(codes, chunks).data.chunks


@FEW
@given(MAPS, SIDES, st.integers(1, 5))
def test_chunks_of_squares_do_not_show(placed: Placer, codes: np.ndarray, chunks: tuple[int, int], factor: int) -> None:
    """Any chunks give the same larger pixels in the same places."""
    cut = coarsen(placed(codes, chunks), factor).compute(scheduler="synchronous")
    xr.testing.assert_identical(cut, coarsen(placed(codes), factor))


def test_two_classes_are_a_median() -> None:
    """Of two classes and an odd number of pixels the majority is the median."""
    codes = np.random.default_rng(1).integers(1, 3, (30, 40)).astype("uint8")
    inner = slice(2, -2)
    np.testing.assert_array_equal(
        majority_array(codes, window=5)[inner, inner], ndimage.median_filter(codes, 5)[inner, inner]
    )


def test_missing_pixels_and_far_codes() -> None:
    """Missing pixels stay and do not vote; codes far apart and below zero are codes like others."""
    codes = np.array([[0, 0, -30000], [0, 32000, -30000], [0, 0, 0]], "int16")
    assert majority_array(codes, nodata=0).tolist() == [[0, 0, -30000], [0, -30000, -30000], [0, 0, 0]]
    wide = np.array([[-(2**31), 2**31 - 1, 2**31 - 1]], "int32")
    assert majority_array(wide).tolist() == [[-(2**31), 2**31 - 1, 2**31 - 1]]
    assert coarsen_array(wide, 3).tolist() == [[2**31 - 1]]
    assert majority_array(np.zeros((2, 2), "uint8"), nodata=0).tolist() == [[0, 0], [0, 0]]
    assert majority_array(np.zeros((0, 2), "uint8")).shape == (0, 2)


def test_larger_pixels_lie_where_the_small_ones_were(placed: Placer) -> None:
    """The first corner stays, the pixel size grows, a part of a square at the edge is a whole pixel."""
    grid = Grid.like(coarsen(placed(np.ones((5, 4), "uint8"), (2, 3)), 2))
    assert (grid.bounds.left, grid.bounds.top) == (500_000, 4_800_000)
    assert (grid.resolution.x, tuple(grid.shape)) == (20, (3, 2))
    bare = coarsen(xr.DataArray(np.ones((4, 4), "uint8"), dims=("y", "x")), 2)
    assert not bare.coords


def test_nothing_is_computed_early(untouchable: Placer) -> None:
    """Lazy maps stay lazy."""
    assert majority(untouchable((9, 9), "uint8")).dtype == "uint8"
    assert coarsen(untouchable((9, 9), "uint8"), 2).shape == (5, 5)


def test_wrong_requests_are_refused() -> None:
    """A window without a middle, no factor, too many codes."""
    codes = np.ones((3, 3), "uint8")
    for call, where in [
        (lambda: majority_array(codes, window=2), "window"),
        (lambda: majority_array(codes, window=True), "window"),
        (lambda: coarsen_array(codes, 0), "factor"),
        (lambda: majority_array(np.arange(70_000, dtype="int32").reshape(7, -1)), "classes"),
    ]:
        with pytest.raises(InputError) as caught:
            call()
        assert caught.value.where == where
