"""Regular series: the doors refuse what is wrong, and cubes give the numbers of plain arrays however they are cut."""

from __future__ import annotations

import pickle
from datetime import date
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import InputError, MetadataError
from terracube.processing.landcover.series import (
    choose_lambda,
    days_since,
    fill_series,
    regular_series,
    savgol,
    smooth_series,
    whittaker,
    whittaker_series,
)

SEASON: dict[str, Any] = {"start": "2018-01-01", "step": 10, "count": 12}
TARGETS = np.arange(12) * 10.0


def cube(seed: int = 0, dates: int = 14, y: int = 5, x: int = 7) -> xr.Dataset:
    """A cube of two bands whose dates lie at random days, half of the observations missing."""
    rng = np.random.default_rng(seed)
    days = np.sort(rng.choice(120, dates, replace=False))
    values = rng.random((2, dates, y, x), dtype=np.float32)
    values[:, rng.random((dates, y, x)) < 0.5] = np.nan
    dims, attrs = ("time", "y", "x"), {"units": "1", "long_name": "reflectance", "nodata": np.nan}
    coords = {
        "time": np.datetime64("2018-01-01", "ns") + days.astype("timedelta64[D]"),
        "y": -10.0 * np.arange(y),
        "x": 10.0 * np.arange(x),
        "spatial_ref": 32633,
    }
    return xr.Dataset({"red": (dims, values[0], attrs), "nir": (dims, values[1], attrs)}, coords=coords)


def regular(seed: int = 0) -> xr.Dataset:
    """A cube without gaps at regular dates."""
    return regular_series(cube(seed, dates=30), **SEASON)[["red", "nir"]].fillna(0.5)


def plain(source: xr.Dataset) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The same as a plain array (dates, bands, pixels)."""
    return np.stack([source[name].values.reshape(source.sizes["time"], -1) for name in ("red", "nir")], axis=1)


def same(found: xr.Dataset, expected: xr.Dataset) -> None:
    """Check that two datasets are the same to the bit."""
    xr.testing.assert_identical(found.compute(), expected.compute())


@pytest.mark.parametrize("method", ["linear", "akima"])
@pytest.mark.parametrize("smooth", [None, ("whittaker", 2.0), ("savgol", 5, 2)])
def test_a_cube_gives_what_its_plain_arrays_give(method: str, smooth: Any) -> None:
    """The doors for cubes and for arrays give the same numbers."""
    source = cube()
    found = regular_series(source, **SEASON, method=method, smooth=smooth)
    days = days_since(source["time"].values, np.datetime64("2018-01-01"))
    filled, count = fill_series(plain(source), days, TARGETS, method)
    expected = smooth_series(filled, TARGETS, smooth)
    np.testing.assert_array_equal(plain(found), expected)
    np.testing.assert_array_equal(found["clear"].values.ravel(), count)
    np.testing.assert_array_equal(count, np.isfinite(source["red"].values).sum(axis=0).ravel())


def test_what_a_regular_series_says_of_itself() -> None:
    """Dates, places, types, titles and units."""
    source = cube()
    found = regular_series(source, **SEASON)
    assert found["time"].values[[0, -1]].astype("datetime64[D]").astype(str).tolist() == ["2018-01-01", "2018-04-21"]
    assert {name: str(values.dtype) for name, values in found.data_vars.items()} == {
        "red": "float32", "nir": "float32", "clear": "uint16",
    }  # fmt: skip
    assert found["red"].attrs == {"units": "1", "long_name": "reflectance"}
    assert found["clear"].dims == ("y", "x")
    for name in ("y", "x", "spatial_ref"):
        xr.testing.assert_identical(found[name], source[name])


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), chunks=st.tuples(st.integers(1, 14), st.integers(1, 5), st.integers(1, 7)))
def test_chunks_change_nothing(seed: int, chunks: tuple[int, int, int]) -> None:
    """However a cube is cut, along time too, the result is lazy and the same to the bit."""
    source = cube(seed)
    lazy = source.chunk(dict(zip(("time", "y", "x"), chunks, strict=True)))
    weights = source["red"] * 2
    smooth = ("whittaker", 3.0)
    with dask.config.set(scheduler="synchronous"):
        found = regular_series(lazy, **SEASON, smooth=smooth)
        assert all(values.chunks is not None for values in found.data_vars.values())
        same(found, regular_series(source, **SEASON, smooth=smooth))
        found = whittaker(lazy, 5.0, weights=weights.chunk(x=2))
        assert all(values.chunks is not None for values in found.data_vars.values())
        same(found, whittaker(source, 5.0, weights=weights))


def test_lazy_savgol_and_weights_in_memory() -> None:
    """Moving polynomials are lazy too, and weights may be in memory where the cube is not, and the other way round."""
    source = regular()
    same(savgol(source.chunk(y=2), 5, 2), savgol(source, 5, 2))
    weights = xr.ones_like(source["red"])
    expected = whittaker(source, 1.0, weights=weights)
    same(whittaker(source.chunk(y=2), 1.0, weights=weights), expected)
    same(whittaker(source, 1.0, weights=weights.chunk(y=3)), expected)
    same(whittaker(source, 1.0), expected)


def test_graphs_are_deterministic_and_can_be_sent() -> None:
    """The same call gives the same keys, another parameter others; the graph can be pickled for a cluster."""
    source = cube().chunk(y=2, x=3)
    one, again = (regular_series(source, **SEASON) for _ in range(2))
    assert one["red"].data.name == again["red"].data.name
    assert one["red"].data.name != regular_series(source, **SEASON, method="akima")["red"].data.name
    assert pickle.loads(pickle.dumps(one["clear"].data)).name == one["clear"].data.name


@pytest.mark.parametrize("chunked", [False, True])
def test_the_order_of_dates_does_not_matter(chunked: bool) -> None:
    """Dates in another order give the same result, for weights too."""
    source = cube(3)
    mixed = source.isel(time=np.random.default_rng(1).permutation(14))
    mixed = mixed.chunk(time=3, y=2) if chunked else mixed
    same(regular_series(mixed, **SEASON), regular_series(source, **SEASON))
    weights = source["nir"]
    expected = whittaker(source, 2.0, weights=weights)
    same(whittaker(mixed, 2.0, weights=mixed["nir"]), expected)
    same(whittaker(mixed, 2.0, weights=mixed["nir"].drop_vars("time")), expected)


def test_other_forms_of_cube_and_date() -> None:
    """A DataArray with bands, whole numbers with a nodata, and a start as date or with a time zone."""
    source = cube()
    expected = regular_series(source, **SEASON)
    joined = source.to_dataarray("band").transpose("band", "y", "time", "x")
    xr.testing.assert_equal(regular_series(joined, **SEASON), expected)
    same(regular_series(source, **SEASON | {"start": date(2018, 1, 1)}), expected)
    same(regular_series(source, **SEASON | {"start": "2018-01-01T01:00:00+01:00"}), expected)
    whole = (source * 100).fillna(-1).round().astype("int16")
    for values in whole.data_vars.values():
        values.attrs["nodata"] = -1
    np.testing.assert_array_equal(regular_series(whole, **SEASON)["clear"], expected["clear"])


def test_a_pixel_without_clear_dates() -> None:
    """It is missing, and its count says so; so is a single pixel, and a cube without any date."""
    source = cube()
    source["red"][:, 2, 3] = np.nan
    found = regular_series(source, **SEASON, smooth=("savgol", 5, 2))
    assert np.isnan(found["nir"][:, 2, 3]).all()
    assert found["clear"][2, 3] == 0
    single = regular_series(source.isel(y=[1], x=[1]), **SEASON, smooth=("savgol", 5, 2))
    same(single, found.isel(y=[1], x=[1]))
    nothing = regular_series(source.isel(time=slice(0)), **SEASON)
    assert np.isnan(nothing["red"]).all()
    assert not nothing["clear"].any()


def test_an_input_is_never_written_to() -> None:
    """The cube is what it was before."""
    source = cube()
    before = source.copy(deep=True)
    regular_series(source, **SEASON, smooth=("whittaker", 1.0))
    whittaker(source, 1.0, weights=source["red"])
    xr.testing.assert_identical(source, before)


def test_whittaker_in_days_and_in_steps() -> None:
    """A unit of h days needs lambda / h^4 for the same curve; on regular dates the step is the unit."""
    source = regular()
    in_steps = whittaker(source, 4.0)
    xr.testing.assert_allclose(whittaker(source, 4e4, unit=1.0), in_steps, atol=1e-6)
    np.testing.assert_array_equal(plain(in_steps), smooth_series(plain(source), TARGETS, ("whittaker", 4.0)))


def test_lambda_is_chosen_for_all_series_together() -> None:
    """More noise, more smoothing; bands may differ in scale."""
    rng = np.random.default_rng(1)
    curve = np.sin(np.arange(46) / 7)[:, None, None]
    quiet, loud = (
        choose_lambda((curve * [[1], [5]] + rng.normal(0, noise, (46, 2, 30))).astype("float32"), np.arange(46) * 8)
        for noise in (0.02, 0.5)
    )
    assert quiet < loud
    assert 1e-2 <= quiet <= loud <= 1e5


SERIES = np.zeros((3, 2, 4), np.float32)
BAD_ARRAYS: list[tuple[Any, Any, Any, str]] = [
    (SERIES.astype("float64"), [0, 1, 2], [1], "float64"),
    (np.ma.masked_array(SERIES), [0, 1, 2], [1], "filled"),
    ([[[0.0]]], [0], [1], "list"),
    (SERIES[0], [0, 1, 2], [1], r"\(2, 4\)"),
    (SERIES[:, :0], [0, 1, 2], [1], "one band"),
    (SERIES, [0, 1], [1], "3 dates"),
    (SERIES, [0, 1, 1], [1], "merge scenes of one day"),
    (SERIES, [0, 2, 1], [1], "strictly increasing"),
    (SERIES, [0, 1, np.nan], [1], "finite"),
    (SERIES, [0, 1, 2], [2, 1], "targets"),
    (SERIES, [0, 1, 2], [[1]], "targets"),
    (SERIES, [0, 1, 2], "today", "targets"),
]


@pytest.mark.parametrize(("series", "days", "targets", "said"), BAD_ARRAYS)
def test_wrong_arrays_are_refused(series: Any, days: Any, targets: Any, said: str) -> None:
    """The message names what is wrong."""
    with pytest.raises(InputError, match=said):
        fill_series(series, days, targets)


@pytest.mark.parametrize("method", ["spline", "", None, 1, ["linear"]])
def test_unknown_methods_are_refused(method: Any) -> None:
    """The message names the methods that there are."""
    with pytest.raises(InputError, match="linear, akima"):
        fill_series(SERIES, [0, 1, 2], [1], method)


@pytest.mark.parametrize(
    "how",
    [
        "whittaker", ("whittaker",), ("whittaker", 0), ("whittaker", np.nan), ("whittaker", 1e12), ("whittaker", "1"),
        ("savgol", 5), ("savgol", 4, 2), ("savgol", 5, 5), ("savgol", 5, -1), ("savgol", 5.5, 2), ("savgol", 13, 2),
        ("savgol", True, 0), ("median", 3), (), 7,
    ],
)  # fmt: skip
def test_wrong_ways_of_smoothing_are_refused(how: Any) -> None:
    """Names, counts and ranges of the numbers; a window longer than the series."""
    with pytest.raises(InputError):
        smooth_series(np.zeros((12, 1, 1), np.float32), TARGETS, how)


def test_moving_polynomials_need_regular_dates() -> None:
    """Irregular dates are refused, and what to do is said."""
    with pytest.raises(InputError, match="fill the gaps at regular dates first"):
        savgol(cube(), 5, 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"count": 0}, {"count": 2.0}, {"count": True}, {"count": 10**6}, {"step": 0}, {"step": -1}, {"step": np.nan},
        {"step": "10"}, {"step": 1e9}, {"start": "soon"}, {"start": None}, {"start": "NaT"}, {"method": "cubic"},
        {"smooth": ("whittaker", -1)}, {"smooth": ("savgol", 13, 2)},
    ],
)  # fmt: skip
def test_wrong_seasons_are_refused(wrong: dict[str, Any]) -> None:
    """Before anything is computed."""
    with pytest.raises(InputError):
        regular_series(cube().chunk(), **SEASON | wrong)


def test_wrong_cubes_are_refused() -> None:
    """A date that comes twice, times that are none, names that clash, variables without time."""
    source = cube()
    times = source["time"].values
    with pytest.raises(InputError, match="comes twice"):
        regular_series(source.assign_coords(time=[times[0], *times[:-1]]), **SEASON)
    for wrong in (range(14), np.where(np.arange(14) == 3, np.datetime64("NaT", "ns"), times)):
        with pytest.raises(MetadataError, match="time"):
            regular_series(source.assign_coords(time=wrong), **SEASON)
    with pytest.raises(MetadataError, match="no dates"):
        regular_series(source.drop_vars("time"), **SEASON)
    with pytest.raises(InputError, match="clear"):
        regular_series(source.rename(red="clear"), **SEASON)
    with pytest.raises(InputError, match="dimensions"):
        regular_series(source.isel(time=0), **SEASON)


def test_wrong_weights_and_units_are_refused() -> None:
    """Weights of another shape, place or sign; a unit or lambda that is none."""
    source = cube()
    weights = xr.ones_like(source["red"])
    for wrong in (weights.isel(x=slice(3)), weights.assign_coords(x=weights["x"] + 10), -weights, weights * np.inf):
        with pytest.raises(InputError, match="weight"):
            whittaker(source, 1.0, weights=wrong)
    with pytest.raises(InputError, match="shape"):
        whittaker_series(SERIES, [0, 1, 2], 1.0, weights=[1, 2, 3])
    for unit in (0, -1, np.nan, np.inf):
        with pytest.raises(InputError, match="unit"):
            whittaker(source, 1.0, unit=unit)
    with pytest.raises(InputError, match="lam"):
        whittaker(source, np.nan)


def test_no_lambda_can_be_chosen() -> None:
    """Too few dates or candidates, or nothing seen."""
    with pytest.raises(InputError, match="four dates"):
        choose_lambda(SERIES, [0, 1, 2])
    noise = np.random.default_rng(0).random((9, 1, 3), dtype=np.float32)
    with pytest.raises(InputError, match="two candidates"):
        choose_lambda(noise, range(9), exponents=[1])
    with pytest.raises(InputError, match="lam"):
        choose_lambda(noise, range(9), exponents=[1, 99])
    with pytest.raises(InputError, match="nothing to choose"):
        choose_lambda(noise * np.float32(np.nan), range(9))
