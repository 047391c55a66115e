"""Regularisation: classes of one kind first, then all, then larger pixels; chunks that never show."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from terracube.core.errors import InputError
from terracube.processing.landcover.post import OSO_GROUPS, regularise, regularise_array

Placer = Callable[..., xr.DataArray]
MAPS = arrays("uint8", array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.sampled_from([0, 1, 2, 16, 23]))
SIDES = st.tuples(st.integers(1, 6), st.integers(1, 6))


@settings(max_examples=15, deadline=None)
@given(MAPS, SIDES, st.integers(2, 6), st.integers(1, 3))
def test_chunks_do_not_show(placed: Placer, codes: np.ndarray, chunks: tuple[int, int], size: int, factor: int) -> None:
    """Any chunks give the same map through all stages."""
    options = {"size": size, "factor": factor, "last": 3}
    cut = regularise(placed(codes, chunks), **options).compute(scheduler="synchronous")
    xr.testing.assert_identical(cut, regularise(placed(codes), **options))
    np.testing.assert_array_equal(cut, regularise_array(codes, nodata=0, **options))


def test_the_own_kind_comes_first() -> None:
    """Dense built-up among forest becomes diffuse built-up where it touches it; alone it becomes forest."""
    codes = np.full((12, 12), 16, "uint8")
    codes[:, 8:] = 2
    codes[5:7, 6:8], codes[2, 2] = 1, 1
    found = regularise_array(codes, size=10)
    assert (found[5:7, 6:8] == 2).all()
    assert found[2, 2] == 16


def test_water_has_no_other_of_its_kind() -> None:
    """A pond below the size goes in the second round, one of the size stays."""
    codes = np.full((12, 12), 16, "uint8")
    codes[1:4, 1:4], codes[6:8, 5:10] = 23, 23
    found = regularise_array(codes, size=10)
    assert (found[1:4, 1:4] == 16).all()
    assert (found[6:8, 5:10] == 23).all()


def test_groups_hold_each_class_once() -> None:
    """The groups of the 23 classes hold each of them once."""
    assert sorted(code for codes in OSO_GROUPS.values() for code in codes) == list(range(1, 24))


def test_larger_pixels_then_the_last_sieve(placed: Placer) -> None:
    """A map of 10 m becomes one of 20 m, without regions of fewer than the last number of pixels."""
    codes = np.full((12, 12), 16, "uint8")
    codes[2:6, 2:5] = 23
    done = regularise(placed(codes), factor=2, last=7)
    assert done.shape == (6, 6)
    assert (done == 16).all()
    assert (regularise(placed(codes), factor=2) == 23).any()


def test_lazy_maps_stay_lazy_and_wrong_ones_are_refused(untouchable: Placer) -> None:
    """Nothing is computed early; a class in two groups is named."""
    assert regularise(untouchable((9, 9), "uint8"), factor=3, last=2).shape == (3, 3)
    with pytest.raises(InputError, match="two groups"):
        regularise_array(np.ones((2, 2), "uint8"), groups=[(1,), (1, 2)])
