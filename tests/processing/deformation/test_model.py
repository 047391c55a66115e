"""Models of motion: their text, the dates that hold them, their fit and its errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing.deformation.model import (
    Model,
    ShortSeriesWarning,
    columns_at,
    design_of,
    fit,
    parse_model,
    select_terms,
)

DAY = np.timedelta64(86_400, "s")
WHOLE = "linear + quadratic + annual + semiannual + step(2019-06-02) + exp(2020-03-01, 30) + log(2020-03-01T12:00, 5.5)"


def dates(count: int, every: int = 12, first: str = "2018-01-06") -> NDArray[np.datetime64]:
    """List regular dates."""
    return np.datetime64(first, "ns") + (np.arange(count) * every) * DAY


def series_of(values: NDArray[Any], times: NDArray[np.datetime64], **attrs: Any) -> xr.Dataset:
    """Make a series of displacements (time, y, x)."""
    shape = values.shape
    places = {"time": times, "y": -10.0 * np.arange(shape[1]), "x": 10.0 * np.arange(shape[2])}
    return xr.Dataset({"displacement": (("time", "y", "x"), values.astype("float32"))}, places, attrs)


def drawn(model: Model, times: NDArray[np.datetime64], *, noise: float, shape: tuple[int, int] = (12, 20),
          seed: int = 0) -> tuple[xr.Dataset, NDArray[np.float64]]:  # fmt: skip
    """Draw parameters and the series that they make, with white noise."""
    rng = np.random.default_rng(seed)
    columns = columns_at(model, times, times[0] + (times[-1] - times[0]) // 2)
    truth = 0.02 * rng.normal(size=(columns.shape[1], *shape))
    values = np.tensordot(columns, truth, 1) + noise * rng.normal(size=(len(times), *shape))
    return series_of(values, times), truth


def test_grammar() -> None:
    """Every term has its parameters; a model's text can be read again."""
    model = parse_model(WHOLE)
    assert [name for name, _ in model.parameters] == [
        "offset", "velocity", "acceleration", "annual_cos", "annual_sin", "semiannual_cos", "semiannual_sin",
        "step_20190602", "exp_20200301_30", "log_20200301T1200_5p5",
    ]  # fmt: skip
    assert parse_model(model.text) == model
    assert dict(model.parameters)["velocity"] == "m/year"
    assert dict(model.parameters)["acceleration"] == "m/year2"
    assert parse_model("constant").text == "constant"
    assert parse_model("linear + constant").parameters == parse_model("linear").parameters


@pytest.mark.parametrize(
    "text",
    ["", "linear +", "linear linear", "step", "step()", "step(2018-13-01)", "step(24.4.2018)", "exp(2018-01-01)",
     "exp(2018-01-01, -3)", "exp(2018-01-01, nan)", "log(2018-01-01, x)", "linear + linear", "annual(2)",
     "__import__('os')", "rain", "linear; annual", "x" * 2000,
     " + ".join(f"step(2018-01-{d:02d})" for d in range(1, 20)),
     ],
)  # fmt: skip
def test_wrong_text_is_refused(text: str) -> None:
    """What is no model is refused with the grammar or the reason, and never executed."""
    with pytest.raises(InputError):
        parse_model(text)


@given(st.text(max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_text_is_a_model_or_refused(text: str) -> None:
    """Any text is either a model or refused as such."""
    try:
        model = parse_model(text)
    except InputError:
        return
    assert parse_model(model.text) == model


def test_parameters_are_recovered_exactly() -> None:
    """Without noise all terms come back, in their units, at the epoch."""
    times = dates(90)
    series, truth = drawn(parse_model(WHOLE), times, noise=0)
    found = fit(series, WHOLE)
    for at, (name, unit) in enumerate(parse_model(WHOLE).parameters):
        assert found[name].attrs["units"] == unit
        np.testing.assert_allclose(found[name], truth[at], atol=2e-6)
    assert float(found.residual_std.max()) < 1e-7
    assert json.loads(found.attrs["parameters"]) == dict(parse_model(WHOLE).parameters)
    assert dict(found.sizes) == {"y": 12, "x": 20}
    np.testing.assert_array_equal(found.n_dates, 90)


def test_errors_cover() -> None:
    """Of the true parameters, and of amplitude and peak, 68 % lie within one standard deviation."""
    model = parse_model("linear + annual + step(2019-06-02)")
    times = dates(70)
    series, truth = drawn(model, times, noise=0.004, shape=(60, 60))
    found = fit(series, model)
    inside = [
        float((abs(found[name] - truth[at]) < found[f"{name}_std"]).mean())
        for at, (name, _) in enumerate(model.parameters)
    ]
    a, b = truth[2], truth[3]
    strong = np.hypot(a, b) > 0.01
    inside.append(
        float((abs(found.annual_amplitude - np.hypot(a, b)) < found.annual_amplitude_std).values[strong].mean())
    )
    late = (found.annual_peak - np.mod(np.arctan2(b, a), 2 * np.pi) * 365.25 / (2 * np.pi) + 182.625) % 365.25 - 182.625
    inside.append(float((abs(late) < found.annual_peak_std).values[strong].mean()))
    np.testing.assert_allclose(inside, 0.683, atol=0.03)
    assert abs(float(found.residual_std.mean()) - 0.004) < 1e-4


def test_peak_is_a_day_of_the_year() -> None:
    """A wave that is highest on 1 April has its peak 90 days after the beginning of the year."""
    times = dates(80)
    years = (times - np.datetime64("2018-04-01", "ns")) / DAY / 365.25
    found = fit(series_of(0.01 * np.cos(2 * np.pi * years)[:, None, None], times), "linear + annual")
    assert abs(float(found.annual_peak[0, 0]) - 90) < 1.0
    assert abs(float(found.annual_amplitude[0, 0]) - 0.01) < 1e-5


def test_covariance_is_that_of_a_dense_solution() -> None:
    """The covariance of a pixel with gaps is s^2 (G^T G)^-1 of its dates, symmetric, and holds the errors."""
    model, times = parse_model("linear + annual"), dates(70)
    series, _ = drawn(model, times, noise=0.003, shape=(2, 3))
    series.displacement[5:9, 1, 1] = np.nan
    found = fit(series, model, covariance=True)
    values = series.displacement.values[:, 1, 1].astype("float64")
    there = np.isfinite(values)
    columns = columns_at(model, times, np.datetime64(found.attrs["epoch"], "ns"))[there]
    left = values[there] - columns @ np.linalg.lstsq(columns, values[there], rcond=None)[0]
    truth = left @ left / (there.sum() - 4) * np.linalg.inv(columns.T @ columns)
    got = found.covariance.values[:, :, 1, 1]
    np.testing.assert_allclose(got, truth, rtol=1e-4, atol=1e-12)
    np.testing.assert_array_equal(got, got.T)
    np.testing.assert_allclose(np.sqrt(got[1, 1]), float(found.velocity_std[1, 1]), rtol=1e-6)


@pytest.mark.parametrize("chunks", [{"time": 7, "y": 5, "x": 3}, {"time": -1, "y": 12, "x": 20}, {"y": 1, "x": 20}])
def test_lazy_equals_eager(chunks: dict[str, int]) -> None:
    """A lazy series gives a lazy answer, equal to the bit however it is cut."""
    series, _ = drawn(parse_model("linear + annual"), dates(40, 20), noise=0.002)
    series.displacement[3, :4] = np.nan
    series["std_network"] = xr.full_like(series.displacement, 0.002)
    ways: list[dict[str, Any]] = [{}, {"weights": "std", "coloured": "ar1", "covariance": True}]
    for how in ways:
        eager, lazy = fit(series, "linear + annual", **how), fit(series.chunk(chunks), "linear + annual", **how)
        assert all(array.chunks for array in lazy.data_vars.values())
        xr.testing.assert_identical(lazy.compute(), eager)


def test_weights() -> None:
    """Dates with a large standard deviation hardly count; the reference date has the variance of the others."""
    times = dates(20)
    values = np.zeros((20, 1, 2)) + 0.01 * ((times - times[0]) / DAY / 365.25)[:, None, None]
    values[11] += 1.0
    series = series_of(values, times, reference_date="2018-01-06")
    spread = np.full(values.shape, 0.002)
    spread[11], spread[0] = 10.0, 0.0
    series["std_network"] = ("time", "y", "x"), spread.astype("float32")
    assert abs(float(fit(series, weights="std").velocity[0, 0]) - 0.01) < 1e-4
    assert abs(float(fit(series).velocity[0, 0]) - 0.01) > 0.01
    with pytest.raises(InputError, match="standard deviations"):
        fit(series.drop_vars("std_network"), weights="std")
    series.attrs["reference_date"] = "2001-01-01"
    with pytest.raises(InputError, match="reference date"):
        fit(series, weights="std")


def test_coloured_noise() -> None:
    """With an AR(1) noise of 0.5 white errors of the velocity are too small; inflated ones cover; white ones stay."""
    times = dates(120)
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(120, 40, 40))
    walk = noise.copy()
    for date in range(1, 120):
        walk[date] += 0.5 * walk[date - 1]
    inside = {}
    for name, values in (("white", noise), ("ar1", walk)):
        for coloured in (None, "ar1"):
            found = fit(series_of(values, times), coloured=coloured)
            inside[name, coloured] = float((abs(found.velocity) < found.velocity_std).mean())
    assert inside["ar1", None] < 0.5
    assert abs(inside["ar1", "ar1"] - 0.683) < 0.04
    assert abs(inside["white", "ar1"] - 0.683) < 0.05
    found = fit(series_of(walk, times), coloured="ar1")
    assert abs(float(found.residual_correlation.mean()) - 0.5) < 0.03


def test_spans() -> None:
    """A seasonal term is refused below 18 months and warned of below 24; a step needs dates on both sides."""
    short = series_of(np.zeros((30, 1, 1)), dates(30))
    for term in ("annual", "semiannual"):
        with pytest.raises(InputError, match="too short"):
            fit(short, f"linear + {term}")
    middle = series_of(np.zeros((30, 1, 1)), dates(30, 22))
    with pytest.warns(ShortSeriesWarning, match="below 24"):
        fit(middle, "linear + annual")
    for date in ("2017-01-01", "2018-01-06", "2030-01-01"):
        with pytest.raises(InputError, match="does not hold"):
            fit(short, f"linear + step({date})")
    with pytest.raises(InputError, match="does not hold"):
        fit(short, "exp(2018-12-18, 10)")
    with pytest.warns(ShortSeriesWarning, match="single date"):
        fit(short, "step(2018-12-20)")
    with pytest.raises(InputError, match="cannot tell"):
        fit(short, "step(2018-05-01) + step(2018-05-02)")
    with pytest.raises(InputError, match="too few dates"):
        fit(short.isel(time=slice(0, 2)), "linear")


def test_given_terms() -> None:
    """A course of the caller is fitted, in metres per its unit; a gap, another length or a bad name is refused."""
    times = dates(40)
    rain = xr.DataArray(np.sin(np.arange(40.0) ** 2), {"time": times}, "time", attrs={"units": "mm"})
    years = (times - times[20]) / DAY / 365.25
    series = series_of((0.02 * years + 0.005 * rain.values)[:, None, None], times)
    found = fit(series, "linear + rain", arrays={"rain": rain})
    assert abs(float(found.rain[0, 0]) - 0.005) < 1e-6
    assert found.rain.attrs["units"] == "m/(mm)"
    for name, array in [("rain", rain[:-1]), ("rain", rain.where(rain > 0)), ("linear", rain), ("Rain", rain),
                        ("rain", rain.rename(time="t"))]:  # fmt: skip
        with pytest.raises(InputError):
            fit(series, "linear + rain", arrays={name: array})


@pytest.mark.parametrize("name", ["velocity_std", "n_dates", "displacement", "annual_cos", "los_up", "annual_peak"])
def test_given_terms_have_names_of_their_own(name: str) -> None:
    """A term of the caller cannot take the place of a result."""
    times = dates(70)
    rain = xr.DataArray(np.sin(np.arange(70.0) ** 2), {"time": times}, "time")
    with pytest.raises(InputError, match="name of a result"):
        fit(series_of(np.zeros((70, 1, 1)), times), f"linear + annual + {name}", arrays={name: rain})


@pytest.mark.parametrize("weights", ["none", "std"])
def test_seasons_need_the_dates_of_the_pixel(weights: Any) -> None:
    """A pixel whose own dates span too few months has no seasonal term, and no rate beside one; others have."""
    times = dates(70)
    series = series_of(0.001 * np.random.default_rng(0).normal(size=(70, 1, 3)), times)
    series["std_network"] = xr.full_like(series.displacement, 0.001)
    months = (times - times[0]) / DAY / 30.4375
    series.displacement[months > 17, 0, 1] = np.nan
    series.std_network[months > 17, 0, 2] = np.nan
    found = fit(series, "linear + annual", weights=weights)
    expected = [True, False, weights == "none"]
    for name in ("velocity", "velocity_std", "annual_amplitude", "residual_std"):
        assert np.isfinite(found[name].values[0]).tolist() == expected
    assert float(found.n_dates[0, 1]) == (months <= 17).sum()
    assert np.isfinite(fit(series, "linear", weights=weights).velocity).all()
    chosen = select_terms(series, "linear + annual").statistic.values[:, 0]
    assert np.isfinite(chosen[:, 0]).all()
    assert np.isnan(chosen[:, 1]).all()


def test_dates_without_the_air_still_count() -> None:
    """A date whose part of the air is not known yet is taken as the others are; one without any error is left out."""
    times = dates(20)
    series = series_of(0.001 * np.random.default_rng(0).normal(size=(20, 1, 2)), times)
    series["std_network"] = xr.full_like(series.displacement, 0.001)
    series["std_atmosphere"] = xr.full_like(series.displacement, 0.004)
    whole = fit(series, weights="std")
    series.std_atmosphere[15:] = np.nan
    xr.testing.assert_allclose(fit(series, weights="std"), whole)
    series.std_network[18:] = np.nan
    assert (fit(series, weights="std").n_dates == 18).all()
    series.std_atmosphere[:] = np.nan
    alone = series.drop_vars("std_atmosphere")
    xr.testing.assert_allclose(fit(series, weights="std"), fit(alone, weights="std"))


def test_bad_series_are_refused() -> None:
    """No displacement, other dimensions or units, dates out of order, unknown ways: each is named."""
    series, _ = drawn(parse_model("linear"), dates(10), noise=0.001, shape=(2, 2))
    with pytest.raises(InputError, match="no series"):
        fit(series.rename(displacement="phase"))
    with pytest.raises(InputError, match="no series"):
        fit(series.isel(x=0))
    with pytest.raises(InputError, match="order"):
        fit(series.isel(time=slice(None, None, -1)))
    with pytest.raises(InputError, match="such way"):
        fit(series, weights="best")  # type: ignore[arg-type]
    series.displacement.attrs["units"] = "mm"
    with pytest.raises(InputError, match="metres"):
        fit(series)


def test_missing_pixels() -> None:
    """A pixel without data is NaN with no dates; zero is a value."""
    series, _ = drawn(parse_model("linear"), dates(10), noise=0.001, shape=(1, 3))
    series.displacement[:, 0, 0] = np.nan
    series.displacement[:, 0, 1] = 0.0
    found = fit(series)
    np.testing.assert_array_equal(np.isnan(found.velocity), [[True, False, False]])
    np.testing.assert_array_equal(found.n_dates, [[0, 10, 10]])
    assert float(found.velocity[0, 1]) == 0.0


def test_terms_are_tested_as_by_nested_fits() -> None:
    """F, its probability and BIC are those of two fits; terms that are there are kept, others at the level."""
    model = "linear + annual + step(2019-06-02)"
    rng, times = np.random.default_rng(5), dates(64)
    values = 0.003 * rng.normal(size=(64, 30, 30)) + 0.02 * (times >= np.datetime64("2019-06-02"))[:, None, None]
    series = series_of(values, times)
    found = select_terms(series, model)
    assert found.term.values.tolist() == ["linear", "annual", "step(2019-06-02)"]
    squares = {}
    for text in (model, "linear + step(2019-06-02)"):
        fitted = fit(series, text)
        squares[text] = fitted.residual_std**2 * (64 - len(parse_model(text).parameters))
    more, less = squares[model], squares["linear + step(2019-06-02)"]
    np.testing.assert_allclose(
        found.statistic.sel(term="annual"), (less - more) / 2 / (more / 59), rtol=2e-2, atol=2e-3
    )
    bic = 64 * np.log(less / more) - 2 * np.log(64)
    np.testing.assert_allclose(found.bic_difference.sel(term="annual"), bic, rtol=1e-2, atol=1e-2)
    kept = found.keep_f.mean(("y", "x"))
    assert abs(float(kept[1]) - 0.05) < 0.025
    assert float(kept[2]) > 0.99
    assert float(found.keep_bic.sel(term="annual").mean()) < 0.03
    xr.testing.assert_identical(select_terms(series.chunk({"y": 11}), model).compute(), found)
    loose = select_terms(series, model, coloured="ar1")
    assert float(loose.statistic.mean()) <= float(found.statistic.mean())
    with pytest.raises(InputError, match="no term"):
        select_terms(series, "constant")
    with pytest.raises(InputError, match="probability"):
        select_terms(series, model, level=1.5)


def test_mexico_velocity(data_dir: Path) -> None:
    """A plain regression of another software's series gives its velocity to 1e-3 mm/year, and its error."""
    path = data_dir / "insar" / "mexico-sentinel1" / "mintpy_reference.npz"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    kept = np.load(path)
    times = np.array([f"{day[:4]}-{day[4:6]}-{day[6:]}" for day in kept["dates"]], "datetime64[ns]")
    found = fit(series_of(kept["ts_no_vel"], times))
    there = kept["fit_no_vel_lin_velocity"] != 0
    assert there.mean() > 0.97
    for name, theirs in (("velocity", "velocity"), ("velocity_std", "velocityStd")):
        apart = 1000 * np.abs(found[name].values - kept[f"fit_no_vel_lin_{theirs}"])[there]
        assert np.isfinite(apart).all()
        assert apart.max() < 1e-3


def test_design_is_scaled() -> None:
    """Columns have a root mean square of 1, and the hat matrix is a projection."""
    made = design_of(parse_model(WHOLE), dates(90))
    np.testing.assert_allclose((made.matrix**2).mean(axis=0), 1)
    np.testing.assert_allclose(made.hat @ made.hat, made.hat, atol=1e-10)
    assert np.linalg.cond(made.matrix) < 1e4
