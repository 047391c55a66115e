"""Sediment flux: units, the section factor, days and years in which something is missing, uncertainty."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import InputError, MetadataError
from terracube.processing.water.flux import Section, annual_flux, daily_flux, sediment_flux

EXACT = Section(1.0, 0.0)
UNITS = {"spm_unit": "g m-3", "discharge_unit": "m3 s-1"}


def test_the_known_conversion() -> None:
    """One milligram a litre times one cubic metre a second is 0.0864 tonnes a day."""
    assert sediment_flux(1.0, 1.0, EXACT, spm_unit="mg/L", discharge_unit="m3/s").value == pytest.approx(0.0864)


@pytest.mark.parametrize(
    ("spm_unit", "discharge_unit", "factor"),
    [("kg m-3", "m3 s-1", 1e3), ("mg L-1", "L/s", 1e-3), ("g/m3", "m3 s-1", 1.0), ("ug/L", "m3 s-1", 1e-3)],
)
def test_units_are_converted(spm_unit: str, discharge_unit: str, factor: float) -> None:
    """Whatever units are given, the flux comes in tonnes a day."""
    got = sediment_flux(3.0, 7.0, EXACT, spm_unit=spm_unit, discharge_unit=discharge_unit)
    assert got.value == pytest.approx(21.0 * 0.0864 * factor)


@pytest.mark.parametrize(
    ("spm_unit", "discharge_unit"), [("", "m3 s-1"), ("FNU", "m3 s-1"), ("g m-3", "m3"), ("x", "y")]
)
def test_wrong_units_are_refused(spm_unit: str, discharge_unit: str) -> None:
    """A unit that is missing, of another quantity or unknown is never guessed."""
    with pytest.raises(MetadataError):
        sediment_flux(1.0, 1.0, EXACT, spm_unit=spm_unit, discharge_unit=discharge_unit)


@pytest.mark.parametrize(
    ("factor", "error"), [(0.0, 0.1), (-1.0, 0.1), (1.0, -0.1), (float("nan"), 0.1), (1.0, float("inf"))]
)
def test_a_section_must_make_sense(factor: float, error: float) -> None:
    """The factor is positive and its error is not negative."""
    with pytest.raises(InputError, match="section factor"):
        Section(factor, error)


def test_negative_matter_is_refused_and_upstream_flow_is_not() -> None:
    """Suspended matter and errors are not negative; a discharge may be."""
    assert sediment_flux(10.0, -5.0, EXACT, **UNITS).value == pytest.approx(-4.32)
    with pytest.raises(InputError, match="negative"):
        sediment_flux([1.0, -1.0, np.nan], 1.0, EXACT, **UNITS)
    with pytest.raises(InputError, match="negative"):
        sediment_flux(1.0, 1.0, EXACT, spm_error=-1.0, **UNITS)


@settings(max_examples=20, deadline=None)
@given(
    spm=st.floats(1.0, 500.0), flow=st.floats(-900.0, 900.0), factor=st.floats(0.5, 3.0), share=st.floats(0.001, 0.05)
)
def test_errors_agree_with_differences(spm: float, flow: float, factor: float, share: float) -> None:
    """Each part of the error is what the flux changes when its source changes by one standard deviation."""
    section = Section(factor, share * factor)
    got = sediment_flux(spm, flow, section, spm_error=share * spm, discharge_error=abs(share * flow), **UNITS)
    more = sediment_flux(spm * (1 + share), flow, section, **UNITS).value - got.value
    for part in (got.from_spm, got.from_discharge, got.from_section):
        assert part == pytest.approx(abs(more), rel=1e-6, abs=1e-12)
    assert got.error == pytest.approx(abs(more) * np.sqrt(3.0), rel=1e-6, abs=1e-12)


def test_unknown_errors_stay_unknown_and_missing_stays_missing() -> None:
    """Without an error of the input there is none of the flux; without an input there is no flux."""
    got = sediment_flux([1.0, np.nan], [1.0, 2.0], Section(1.0, 0.1), spm_error=0.1, **UNITS)
    assert np.isnan(got.value).tolist() == [False, True]
    assert np.isnan(got.from_section).tolist() == [False, True]
    assert np.isnan(got.from_discharge).all()
    assert np.isnan(got.error).all()


def _days(series: list[float], start: str = "2024-01-01", **more: Any) -> pd.Series:
    return pd.Series(series, pd.date_range(start, periods=len(series), **({"freq": "D"} | more)))


def test_days_without_either_are_missing_and_in_the_table() -> None:
    """Every day of the span has a row; one without matter or discharge has no flux, not zero."""
    spm = pd.Series([10.0, 30.0, 5.0], pd.to_datetime(["2024-01-04 11:00", "2024-01-01 10:00", "2024-01-01 12:00"]))
    flow = _days([2.0, 2.0, np.nan, np.nan, 4.0])
    got = daily_flux(spm, flow, Section(2.0, 0.5), discharge_error=0.1, **UNITS)
    assert got.index.tolist() == list(pd.date_range("2024-01-01", periods=5))
    np.testing.assert_allclose(got["flux_t"], [0.0864 * 2 * 17.5 * 2, np.nan, np.nan, np.nan, np.nan])
    assert got["n_spm"].tolist() == [2, 0, 0, 1, 0]
    assert got["n_discharge"].tolist() == [1, 1, 0, 0, 1]
    assert got["from_section_t"].iloc[0] == pytest.approx(got["flux_t"].iloc[0] / 4)
    assert got["error_t"].isna().all()


def test_order_and_units_do_not_matter() -> None:
    """Rows in another order, or in other units, give the same table."""
    spm, flow = _days([5.0, 6.0, 7.0, 8.0], freq="7h"), _days([1.0, 2.0, 3.0])
    expected = daily_flux(spm, flow, EXACT, spm_error=spm * 0.2, discharge_error=0.1, **UNITS)
    turned = daily_flux(
        spm[::-1] / 1000, flow.sample(frac=1.0, random_state=2) * 1000, EXACT, spm_unit="kg m-3", discharge_unit="L/s",
        spm_error=spm[::-1] * 0.2 / 1000, discharge_error=0.1,
    )  # fmt: skip
    pd.testing.assert_frame_equal(turned, expected)


def test_nothing_known_is_a_valid_answer() -> None:
    """Empty series give an empty table, and no year."""
    none = pd.Series([], pd.DatetimeIndex([]), dtype=float)
    assert len(annual_flux(daily_flux(none, none, EXACT, **UNITS))) == 0
    year = annual_flux(daily_flux(none, _days([1.0, 1.0]), EXACT, **UNITS)).loc[2024]
    assert year["known_days"] == 0
    assert np.isnan(year[["known_t", "flux_t", "error_t"]]).all()


def test_times_must_fit() -> None:
    """Both series are by time, in one zone, and errors belong to the values."""
    spm, flow = _days([1.0]), _days([1.0])
    with pytest.raises(InputError, match="zones"):
        daily_flux(spm, flow.tz_localize("UTC"), EXACT, **UNITS)
    with pytest.raises(InputError, match="no times"):
        daily_flux(spm, flow.reset_index(drop=True), EXACT, **UNITS)
    with pytest.raises(InputError, match="errors"):
        daily_flux(spm, flow, EXACT, spm_error=_days([1.0, 2.0]), **UNITS)
    utc = daily_flux(spm.tz_localize("UTC"), flow.tz_localize("UTC"), EXACT, **UNITS)
    assert str(utc.index.tz) == "UTC"


def test_a_whole_year_is_the_sum_of_its_days() -> None:
    """A complete year has its sum; a leap year has a day more."""
    flow = _days([10.0] * 366)
    year = annual_flux(daily_flux(flow * 5, flow, EXACT, **UNITS)).loc[2024]
    assert year["missing_days"] == 0
    assert year["flux_t"] == pytest.approx(366 * 0.0864 * 500)


def test_a_year_with_gaps_says_so() -> None:
    """A year with missing days has the sum of what is known, and a total only where that is enough."""
    flow = _days([10.0] * 365, "2023-01-01")
    spm = (flow * 5).where(np.arange(365) % 5 > 0)
    days = daily_flux(spm, flow, Section(1.0, 0.1), spm_error=spm * 0.3, discharge_error=0.0, **UNITS)
    strict, loose = annual_flux(days).loc[2023], annual_flux(days, least_share=0.75).loc[2023]
    assert (strict["known_days"], strict["missing_days"]) == (292, 73)
    assert strict["known_t"] == pytest.approx(292 * 43.2)
    assert np.isnan(strict["flux_t"])
    assert loose["flux_t"] == pytest.approx(365 * 43.2)
    assert loose["error_t"] == pytest.approx(365 * 43.2 * np.hypot(0.1, 0.3))
    assert loose["missing_t"] == pytest.approx(0.0, abs=1e-6)
    apart = annual_flux(days, least_share=0.75, spm_errors="independent").loc[2023]
    assert apart["error_t"] == pytest.approx(365 * 43.2 * np.hypot(0.1, 0.3 / np.sqrt(292)))


def test_the_error_of_a_year_knows_what_is_missing() -> None:
    """From few days the total of a year is as wrong as chance makes it; from one day nothing is known of that."""
    rng = np.random.default_rng(3)
    flow = _days([1.0] * 365, "2023-01-01")
    load = pd.Series(rng.lognormal(3, 1, 365), flow.index)
    truth = 0.0864 * load.sum()
    off, told = [], []
    for _ in range(60):
        seen = load.where(np.isin(np.arange(365), rng.choice(365, 60, replace=False)))
        days = daily_flux(seen, flow, EXACT, spm_error=seen * 0, discharge_error=0.0, **UNITS)
        year = annual_flux(days, least_share=0.1).loc[2023]
        assert year["error_t"] == year["missing_t"]
        off.append(year["flux_t"] - truth)
        told.append(year["error_t"])
    assert np.sqrt(np.mean(np.square(told))) == pytest.approx(np.sqrt(np.mean(np.square(off))), rel=0.25)
    one = load.where(np.arange(365) == 100)
    days = daily_flux(one, flow, EXACT, spm_error=one * 0, discharge_error=0.0, **UNITS)
    year = annual_flux(days, least_share=0.001).loc[2023]
    assert np.isfinite(year["flux_t"])
    assert np.isnan(year[["missing_t", "error_t"]]).all()
    whole = annual_flux(daily_flux(load, flow, EXACT, spm_error=load * 0, discharge_error=0.0, **UNITS)).loc[2023]
    assert (whole["missing_t"], whole["error_t"]) == (0.0, 0.0)


def test_years_that_make_no_sense_are_refused() -> None:
    """A share beyond one or of nothing, and a table that is not of days, are errors."""
    days = daily_flux(_days([1.0]), _days([1.0]), EXACT, **UNITS)
    for share in (0.0, 1.1):
        with pytest.raises(InputError, match="share"):
            annual_flux(days, least_share=share)
    with pytest.raises(InputError, match="table of days"):
        annual_flux(days.reset_index())
    with pytest.raises(InputError, match="table of days"):
        annual_flux(pd.concat([days, days]))
