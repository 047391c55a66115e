"""Frequency of water, and flags as names."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import binomtest

from terracube.core.errors import InputError
from terracube.processing.water.masks import BITS, MEANINGS, NODATA, UNCLEAR, bitmask, frequency
from terracube.processing.water.masks.flags import flag_attrs, water_attrs


def masks(seed=0, dates=12):
    """Draw classes of some dates."""
    values = np.random.default_rng(seed).choice([0, 1, 255], (dates, 6, 7)).astype(np.uint8)
    values[:, 0, 0], values[:, 0, 1], values[:, 0, 2] = 255, 1, 0
    return xr.DataArray(values, dims=("time", "y", "x"), name="water", attrs=water_attrs())


def test_as_counted_by_hand():
    """Frequency is wet over clear dates; where none is clear it is missing, not dry."""
    water = masks()
    found = frequency(water)
    clear, wet = (water.values != 255).sum(0), (water.values == 1).sum(0)
    np.testing.assert_array_equal(found["clear"], clear)
    np.testing.assert_array_equal(found["wet"], wet)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(found["frequency"], (wet / clear).astype("float32"))
    assert np.isnan(found["frequency"].values[0, 0])
    assert found["frequency"].values[0, 1] == 1
    assert found["frequency"].values[0, 2] == 0
    assert (found["wet"].dtype, found["frequency"].dtype) == (np.uint16, np.float32)


def test_interval_is_that_of_wilson():
    """Bounds are those of SciPy's Wilson interval."""
    found = frequency(masks(), z=1.959963984540054)
    for row, col in ((0, 1), (0, 2), (3, 4), (5, 6)):
        wet, clear = int(found["wet"][row, col]), int(found["clear"][row, col])
        bounds = binomtest(wet, clear).proportion_ci(0.95, "wilson")
        assert (float(found["low"][row, col]), float(found["high"][row, col])) == pytest.approx(bounds, abs=1e-6)


def test_cut_and_order_do_not_matter():
    """Chunks and the order of dates change nothing; lazy stays lazy."""
    water = masks(3)
    whole = frequency(water)
    lazy = frequency(xr.Dataset({"water": water.isel(time=slice(None, None, -1)).chunk(time=5, y=4)}))
    assert lazy["frequency"].chunks is not None
    xr.testing.assert_identical(lazy.compute(), whole)


def test_bad_input_is_refused():
    """A mask of one date, other numbers, or no interval are refused."""
    for wrong in (masks()[0], masks().astype(float), xr.Dataset({"flags": masks()})):
        with pytest.raises(InputError):
            frequency(wrong)
    with pytest.raises(InputError):
        frequency(masks(), z=0)


def test_flags_are_those_of_the_observations():
    """The lower eight bits are those of Water Observations from Space: clear wet is 128; each flag has a meaning."""
    names = ["nodata", "contiguity", "low_sun", "terrain_shadow", "steep", "cloud_shadow", "cloud", "wet"]
    assert [BITS[name] for name in names] == list(range(8))
    assert (list(MEANINGS), max(BITS.values())) == (list(BITS), 12)
    assert bitmask(["wet"]) == 128
    assert bitmask([]) == 0
    assert not {"wet", "haze", "near_land", "glint", "negative"} & {*UNCLEAR}
    with pytest.raises(InputError):
        bitmask(["magic"])
    assert flag_attrs()["flag_masks"][:3] == [1, 2, 4]
    assert len(flag_attrs()["flag_meanings"].split()) == 13
    assert (water_attrs()["nodata"], NODATA) == (255, 255)
