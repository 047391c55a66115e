"""Series of offsets: the network's truth comes back in spite of outliers, and what cannot be known is flagged."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import InputError
from terracube.processing.deformation.offsets import invert_offsets

DATES = 12


def stack(outliers: float = 0.15, *, shape: tuple[int, int] = (24, 40), seed: int = 0) -> tuple[xr.Dataset, np.ndarray]:
    """Offsets of pairs up to seven dates apart, and the true motion (component, time, y, x)."""
    rng = np.random.default_rng(seed)
    times = np.datetime64("2020-01-01", "ns") + np.arange(DATES) * np.timedelta64(20, "D")
    ends = np.array([(i, j) for i in range(DATES) for j in range(i + 1, min(DATES, i + 8))])
    truth = np.cumsum(rng.normal(0, 0.3, (2, DATES, *shape)), 1)
    truth -= truth[:, :1]
    moved = truth[:, ends[:, 1]] - truth[:, ends[:, 0]] + rng.normal(0, 0.08, (2, len(ends), *shape))
    wrong = rng.random((len(ends), *shape)) < outliers
    moved = np.where(wrong, rng.uniform(-6, 6, moved.shape), moved).astype("float32")
    moved[:, rng.random(wrong.shape) < 0.1] = np.nan
    dims = ("pair", "y", "x")
    data = {"dx": (dims, moved[0]), "dy": (dims, moved[1])}
    coords = {"reference_time": ("pair", times[ends[:, 0]]), "secondary_time": ("pair", times[ends[:, 1]])}
    return xr.Dataset(data, coords), truth


def test_outliers_do_not_count() -> None:
    """What is not flagged is near what knowing the outliers would give, with errors as large as told."""
    given, truth = stack()
    found = invert_offsets(given, weights=None)
    good = found.uncertain.values == 0
    off = np.stack([found.dx.values - truth[0], found.dy.values - truth[1]])[:, 1:, good]
    assert np.isfinite(off).all()
    assert good.mean() > 0.93
    assert np.quantile(np.sqrt(np.mean(off**2, axis=(0, 1))), 0.98) < 0.1
    assert np.sqrt(np.mean(off**2)) < 0.12
    z = off / found.std_dx.values[1:, good]
    assert 0.63 < (np.abs(z) < 1).mean() < 0.73
    assert np.isclose(np.nanmedian(found.residual_rms), 0.08, atol=0.01)


def test_weights_follow_variances() -> None:
    """Pairs that say they are worse count less; without variances that is refused."""
    given, truth = stack(0.0)
    rng = np.random.default_rng(7)
    spread = np.where(rng.random(given.sizes["pair"]) < 0.4, 0.5, 0.01)[:, None, None] * np.ones(given.dx.shape)
    noisy = given.assign(
        dx=given.dx + spread * rng.normal(size=spread.shape), dy=given.dy + spread * rng.normal(size=spread.shape)
    )
    told = noisy.assign(std_dx=(given.dx.dims, spread), std_dy=(given.dx.dims, spread))
    weighted, plain = (invert_offsets(told, weights=how, robust=False) for how in ("variance", None))
    assert np.std(weighted.dx - truth[0]) < 0.8 * np.std(plain.dx - truth[0])
    with pytest.raises(InputError, match="variance"):
        invert_offsets(given)


def test_unknowable_dates_are_flagged() -> None:
    """A date with one agreeing pair, and one without any, say so; the pixel is uncertain."""
    given, _ = stack(0.0, shape=(2, 2))
    times = np.unique(given.secondary_time)
    last = (given.secondary_time == times[-1]).values
    given.dx[np.flatnonzero(last)[1:], 0, 0] = np.nan
    given.dx[last, 0, 1] = np.nan
    found = invert_offsets(given, weights=None)
    assert found.flags.values[-1].tolist() == [[1, 3], [0, 0]]
    assert np.isfinite(found.dx.values[-1, 0, 0])
    assert np.isnan(found.dy.values[-1, 0, 1])
    assert found.uncertain.values.tolist() == [[1, 1], [0, 0]]


def test_an_empty_pixel_and_one_pair() -> None:
    """Nothing known is NaN but for the first date; a single pair is its own series."""
    given, _ = stack(0.0, shape=(1, 2))
    given.dx[:, 0, 0] = np.nan
    found = invert_offsets(given, weights=None)
    assert np.isnan(found.dx.values[1:, 0, 0]).all()
    assert found.n_pairs.values[0, 0] == 0
    one = invert_offsets(given.isel(pair=[0]), weights=None)
    np.testing.assert_allclose(one.dx.values[1, 0, 1], given.dx.values[0, 0, 1])
    assert one.uncertain.values.all()


def test_parts_that_do_not_meet() -> None:
    """What is left is told of the part that leads to the first date, and by its own degrees of freedom."""
    days = np.datetime64("2020-01-01", "ns") + np.arange(6) * np.timedelta64(30, "D")
    pairs = np.array([(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5)])
    noise = np.random.default_rng(0).normal(0, 0.08, (2, 6, 50, 50)).astype("float32")
    ends = {"reference_time": ("pair", days[pairs[:, 0]]), "secondary_time": ("pair", days[pairs[:, 1]])}
    both = xr.Dataset({name: (("pair", "y", "x"), noise[at]) for at, name in enumerate(("dx", "dy"))}, ends)
    whole, first = (invert_offsets(one, weights=None, robust=False) for one in (both, both.isel(pair=slice(3))))
    assert np.isnan(whole.dx[3:]).all()
    np.testing.assert_allclose(whole.residual_rms, first.residual_rms, rtol=1e-5)
    assert float(np.sqrt((whole.residual_rms**2).mean())) == pytest.approx(0.08, rel=0.03)
    assert (whole.n_pairs == 6).all()


def test_blocks_and_order_change_no_bit() -> None:
    """Lazy in, lazy out; chunks and the order of pairs do not matter."""
    given, _ = stack(shape=(20, 31))
    whole = invert_offsets(given, weights=None)
    mixed = given.isel(pair=np.random.default_rng(0).permutation(given.sizes["pair"]))
    lazy = invert_offsets(mixed.chunk({"pair": 7, "y": 6, "x": 13}), weights=None)
    assert lazy.dx.chunks is not None
    xr.testing.assert_identical(lazy.compute(scheduler="threads"), whole)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**31), st.floats(-20, 20), st.floats(-20, 20))
def test_motion_common_to_a_date_moves_that_date_alone(seed: int, down: float, right: float) -> None:
    """Adding motion to a date is the same before and after the inversion."""
    given, _ = stack(0.0, shape=(1, 8), seed=seed)
    date = np.unique(given.secondary_time)[4]
    sign = (given.secondary_time == date).astype("float32") - (given.reference_time == date).astype("float32")
    moved = given.assign(dx=given.dx + sign * right, dy=given.dy + sign * down)
    before, after = (invert_offsets(one, weights=None, robust=False) for one in (given, moved))
    wanted = before.dx + right * (before.time == date)
    np.testing.assert_allclose(after.dx, wanted.transpose(*after.dx.dims), atol=2e-4)


def test_metres_follow() -> None:
    """East and north come along where the offsets tell the size of a pixel."""
    given, _ = stack(0.0, shape=(2, 2))
    east = (10 * given.dx).assign_attrs(metres_per_pixel=10.0)
    north = (-10 * given.dy).assign_attrs(metres_per_pixel=-10.0)
    found = invert_offsets(given.assign(east=east, north=north), weights=None)
    np.testing.assert_allclose(found.east, 10 * found.dx)
    np.testing.assert_allclose(found.north, -10 * found.dy)
    assert (found.std_north.values[1:] > 0).all()
    assert found.north.attrs["units"] == "m"


def test_what_is_no_network_is_refused() -> None:
    """Missing components, dates, and weights that make no sense are told."""
    given, _ = stack(0.0, shape=(1, 1))
    with pytest.raises(InputError, match="no dy"):
        invert_offsets(given.drop_vars("dy"))
    with pytest.raises(InputError, match="no stack"):
        invert_offsets(given.drop_vars("secondary_time"), weights=None)
    with pytest.raises(InputError, match="weights"):
        invert_offsets(given, weights="best")
    with pytest.raises(InputError, match="weights"):
        invert_offsets(given, weights=None, noise=0.0)
    with pytest.raises(InputError, match="no offsets"):
        invert_offsets(given.isel(y=0), weights=None)
