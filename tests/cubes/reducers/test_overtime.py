"""Reducers over time: what numpy says in float64, for every type, however the work is cut."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.reducers import reduce_time

TYPES = ("uint8", "uint16", "int16", "int32", "float32")
HOWS = ("median", "mean", "min", "max", "count", ("percentile", 0), ("percentile", 12.5), ("percentile", 100))
NODATA = {"uint8": 0, "uint16": 0, "int16": -32768, "int32": -9999, "float32": -9999.0}


def made_up(dtype, shape, *, seed=0, spread=None):
    """Random dates with extremes of the type, ties, missing values and (floats) NaN."""
    rng = np.random.default_rng(seed)
    limits = (-1e30, 1e30) if dtype == "float32" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if dtype == "float32":
        values = rng.normal(0, 1e3, shape).astype(dtype)
        values[rng.random(shape) < 0.1] = np.nan
    else:
        values = rng.integers(limits[0], limits[1], shape, dtype=dtype, endpoint=True)
    values = np.where(rng.random(shape) < 0.3, np.array(7, dtype), values)
    values = np.where(rng.random(shape) < 0.1, np.array(limits[1], dtype), values)
    return np.where(rng.random(shape) < 0.3, np.array(NODATA[dtype], dtype), values).astype(dtype)


def plain(values, how, nodata, clear=None):
    """Do the same with numpy on float64 with NaN, one pixel after the other."""
    wide = values.astype("float64")
    wide[values == nodata] = np.nan
    if clear is not None:
        wide[~clear] = np.nan
    result = np.full(values.shape[1:], np.nan)
    for place in np.ndindex(*values.shape[1:]):
        seen = wide[(slice(None), *place)]
        seen = seen[~np.isnan(seen)]
        if how == "count":
            result[place] = len(seen)
        elif len(seen):
            if isinstance(how, tuple):
                result[place] = np.percentile(seen, how[1])
            else:
                result[place] = getattr(np, how)(seen)
    return result


def as_floats(result, nodata, how):
    """Give a result as float64 with NaN where missing."""
    wide = result.astype("float64")
    if result.dtype.kind in "iu" and how != "count":
        wide[result == nodata] = np.nan
    return wide


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("how", HOWS, ids=str)
def test_equals_numpy(dtype, how):
    """Every reducer gives what numpy gives in float64, rounded once."""
    values = made_up(dtype, (11, 13, 21))
    nodata = NODATA[dtype]
    clear = np.random.default_rng(1).random(values.shape) < 0.8
    for mask in (None, clear):
        result, count = reduce_time(values, how, nodata=nodata, clear=mask)
        expected = plain(values, how, nodata, mask)
        got = as_floats(result, nodata, how)
        wanted = expected.astype(result.dtype).astype(float) if result.dtype.kind == "f" else expected
        if how == "mean":
            np.testing.assert_allclose(got, wanted, rtol=3e-7)
        else:
            np.testing.assert_array_equal(got, wanted)
        np.testing.assert_array_equal(count, plain(values, "count", nodata, mask))


@pytest.mark.parametrize("dtype", TYPES)
def test_result_types(dtype):
    """Least and largest keep the type; other results are floats that hold every value of it."""
    values = made_up(dtype, (3, 2, 2))
    floats = "float64" if dtype == "int32" else "float32"
    types = {"min": dtype, "max": dtype, "median": floats, "mean": floats, "count": "uint16"}
    for how, expected in types.items():
        assert reduce_time(values, how, nodata=NODATA[dtype])[0].dtype == expected
    assert reduce_time(values, "median", nodata=NODATA[dtype], integer=True)[0].dtype == dtype


@pytest.mark.parametrize("dtype", TYPES)
def test_lower_median(dtype):
    """With ``integer`` the median is one of the values: the lower of the two middle ones."""
    values = made_up(dtype, (10, 5, 30), seed=4)
    nodata = NODATA[dtype]
    result, count = reduce_time(values, "median", nodata=nodata, integer=True)
    for place in np.ndindex(*count.shape):
        series = values[(slice(None), *place)]
        seen = np.sort(series[(series != nodata) & (series == series)])
        if len(seen):
            assert result[place] == seen[(len(seen) - 1) // 2]
        else:
            assert np.isnan(result[place]) if dtype == "float32" else result[place] == nodata


@pytest.mark.parametrize("dates", [1, 2, 3, 4, 7, 8, 9, 31, 32, 33, 64, 65, 257])
def test_any_number_of_dates(dates):
    """The sort is right for every number of dates, whichever are missing."""
    values = made_up("uint16", (dates, 3, 50), seed=dates)
    result, _ = reduce_time(values, "median", nodata=0)
    np.testing.assert_array_equal(result, plain(values, "median", 0).astype("float32"))


def test_most_dates():
    """65535 dates are reduced and counted; one more is refused."""
    values = np.arange(65535, dtype="uint16")[::-1].reshape(-1, 1, 1).copy()
    result, count = reduce_time(values, "median", nodata=None)
    assert (result.item(), count.item()) == (32767.0, 65535)
    with pytest.raises(InputError, match="1 to 65535 dates"):
        reduce_time(np.zeros((65536, 1, 1), "uint8"), "mean", nodata=None)


def test_valid_values_at_the_ends_of_the_type_count():
    """The largest and smallest numbers of a type are values, also beside missing ones."""
    values = np.array([255, 255, 0, 1, 255], "uint8").reshape(5, 1, 1)
    assert reduce_time(values, "median", nodata=0)[0].item() == 255
    assert reduce_time(values, "min", nodata=0)[0].item() == 1
    assert reduce_time(values, "max", nodata=255)[0].item() == 1
    assert reduce_time(values, "median", nodata=None)[0].item() == 255


def test_infinite_values_are_values():
    """Infinity sorts as the largest value; between equal infinities nothing becomes NaN."""
    values = np.array([np.inf, np.inf, 1, np.nan], "float32").reshape(4, 1, 1)
    assert reduce_time(values, "median", nodata=None)[0].item() == np.inf
    assert reduce_time(values, "min", nodata=None)[0].item() == 1
    pair = np.array([-np.inf, -np.inf], "float32").reshape(2, 1, 1)
    assert reduce_time(pair, ("percentile", 30), nodata=None)[0].item() == -np.inf


def test_all_missing():
    """A pixel that no date saw is missing in every result, never 0."""
    for dtype in TYPES:
        values = np.full((4, 2, 3), NODATA[dtype], dtype)
        for how in HOWS:
            result, count = reduce_time(values, how, nodata=NODATA[dtype])
            assert (count == 0).all()
            if how != "count":
                assert np.isnan(as_floats(result, NODATA[dtype], how)).all()
    assert np.isnan(reduce_time(np.full((4, 2, 3), np.nan, "float32"), "max", nodata=None)[0]).all()


def test_empty_block():
    """A block without pixels gives results without pixels."""
    result, count = reduce_time(np.zeros((4, 0, 3), "uint8"), "median", nodata=0)
    assert result.shape == count.shape == (0, 3)


def test_large_integers_are_exact():
    """int32 values that float32 cannot hold come out exactly."""
    values = np.array([2**31 - 1, 2**31 - 2, -(2**31)], "int32").reshape(3, 1, 1)
    assert reduce_time(values, "median", nodata=None)[0].item() == 2**31 - 2
    assert reduce_time(values[:2], "median", nodata=None)[0].item() == 2**31 - 1.5


@settings(max_examples=30)
@given(
    dtype=st.sampled_from(("uint16", "float32")),
    how=st.sampled_from(("median", "mean", "min", ("percentile", 30))),
    cuts=st.tuples(*[st.integers(0, 24)] * 4),
    seed=st.integers(0, 5),
)
def test_any_block_gives_the_same_bits(dtype, how, cuts, seed):
    """A rectangle cut out of a block has the bits it has in the block, signs of zero included."""
    values = made_up(dtype, (9, 24, 24), seed=seed)
    values[values == 7] = 0.0 if dtype == "uint16" else -0.0
    values[::2][values[::2] == 0] = 0
    top, bottom, left, right = *sorted(cuts[:2]), *sorted(cuts[2:])
    whole = reduce_time(values, how, nodata=None)[0]
    part = reduce_time(values[:, top:bottom, left:right], how, nodata=None)[0]
    assert part.tobytes() == whole[top:bottom, left:right].tobytes()


@settings(max_examples=20)
@given(order=st.permutations(range(8)), how=st.sampled_from(("median", "max", ("percentile", 77))))
def test_order_of_dates_does_not_matter(order, how):
    """Order statistics are the same to the bit in every order of the dates."""
    values = made_up("float32", (8, 5, 31), seed=3)
    assert (
        reduce_time(values[order], how, nodata=-9999)[0].tobytes()
        == reduce_time(values, how, nodata=-9999)[0].tobytes()
    )


def test_threads_give_the_same_bits():
    """Callers in several threads do not disturb each other."""
    values = made_up("uint16", (12, 40, 40))
    expected = reduce_time(values, "median", nodata=0)[0].tobytes()
    found = []

    def work():
        found.extend(reduce_time(values, "median", nodata=0)[0].tobytes() for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 15


def test_strided_and_read_only_input_and_out():
    """Views and read-only arrays are read as they are and not written to; ``out`` takes the result."""
    cube = made_up("uint16", (6, 3, 9, 10))
    before = cube.copy()
    cube.flags.writeable = False
    out = np.empty((9, 10), "float32")
    result, _ = reduce_time(cube[:, 1], "median", nodata=0, out=out)
    assert result is out
    np.testing.assert_array_equal(out, reduce_time(before[:, 1].copy(), "median", nodata=0)[0])
    np.testing.assert_array_equal(cube, before)


@pytest.mark.parametrize(
    ("values", "how", "options", "message"),
    [
        (np.zeros((0, 2, 2), "uint8"), "mean", {}, "wrong shape"),
        (np.zeros((2, 2), "uint8"), "mean", {}, "wrong shape"),
        (np.zeros((2, 2, 2), "float64"), "mean", {}, "wrong type"),
        (np.zeros((2, 2, 2), ">u2"), "mean", {}, "wrong type"),
        (np.ma.zeros((2, 2, 2), "uint8"), "mean", {}, "wrong type"),
        ([[[1]]], "mean", {}, "wrong type"),
        (np.zeros((2, 2, 2), "uint8"), "mode", {}, "unknown reducer"),
        (np.zeros((2, 2, 2), "uint8"), ("percentile", 101), {}, "unknown reducer"),
        (np.zeros((2, 2, 2), "uint8"), ("percentile", float("nan")), {}, "unknown reducer"),
        (np.zeros((2, 2, 2), "uint8"), ("quantile", 0.5), {}, "unknown reducer"),
        (np.zeros((2, 2, 2), "uint8"), "max", {"integer": True}, "only a median"),
        (np.zeros((2, 2, 2), "uint8"), "mean", {"nodata": -1}, "cannot hold"),
        (np.zeros((2, 2, 2), "uint8"), "mean", {"nodata": 0.5}, "cannot hold"),
        (np.zeros((2, 2, 2), "uint8"), "mean", {"nodata": float("nan")}, "cannot be NaN"),
        (np.zeros((2, 2, 2), "float32"), "mean", {"nodata": 1e300}, "cannot hold"),
        (np.zeros((2, 2, 2), "uint8"), "mean", {"clear": np.ones((2, 2, 1), bool)}, "does not fit"),
        (np.zeros((2, 2, 2), "uint8"), "mean", {"clear": np.ones((2, 2, 2), "uint8")}, "does not fit"),
        (np.zeros((2, 2, 2), "uint8"), "mean", {"out": np.ones((2, 2))}, "out does not fit"),
    ],
)
def test_refusals(values, how, options, message):
    """What cannot be reduced is refused with a sentence."""
    with pytest.raises(InputError, match=message):
        reduce_time(values, how, **({"nodata": None} | options))


def test_a_missing_integer_needs_a_number():
    """Where a mask can empty a pixel of integers, nodata must be known."""
    values, clear = np.ones((2, 2, 2), "uint8"), np.zeros((2, 2, 2), bool)
    with pytest.raises(MetadataError, match="how a missing result is written"):
        reduce_time(values, "min", nodata=None, clear=clear)
    assert np.isnan(reduce_time(values, "mean", nodata=None, clear=clear)[0]).all()
