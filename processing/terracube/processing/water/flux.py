"""Sediment that a river carries, from suspended matter seen from above and its discharge.

``flux = k * SPM * Q``. A satellite sees the matter near the surface; the mean over the cross-section that the discharge
carries is another, usually larger. Their ratio `k` is known from soundings of a site alone, so it has to be given, with
its error: there is no default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import InputError, MetadataError
from terracube.processing.water.matchups.units import conversion_factor

if TYPE_CHECKING:
    import pandas as pd

SPM_UNIT, DISCHARGE_UNIT, FLUX_UNIT = "g m-3", "m3 s-1", "t day-1"
# 1 g m-3 times 1 m3 s-1 is 1 g s-1, which is 0.0864 tonnes a day.
_TONNES_PER_DAY = 0.0864


@dataclass(frozen=True, slots=True)
class Section:
    """What turns the suspended matter seen at the surface into that of the cross-section."""

    factor: float
    """Mean of the section, weighted by the flow, over the value at the surface, without unit; above zero."""
    error: float
    """One standard deviation of the factor, without unit; 0 only where it is exact."""

    def __post_init__(self) -> None:
        """Refuse a factor that is not positive, or an error that is negative."""
        if not (np.isfinite(self.factor) and self.factor > 0 and np.isfinite(self.error) and self.error >= 0):
            raise InputError(
                "the section factor is not positive, or its error negative",
                where="section",
                expected="factor > 0, error >= 0",
                got=f"factor {self.factor}, error {self.error}",
            )


@dataclass(frozen=True, slots=True, eq=False)
class Flux:
    """Sediment flux with the parts of its uncertainty, each one standard deviation, t day-1; NaN is missing."""

    value: NDArray[np.float64]
    """Flux."""
    from_spm: NDArray[np.float64]
    """Part from the error of the suspended matter."""
    from_discharge: NDArray[np.float64]
    """Part from the error of the discharge."""
    from_section: NDArray[np.float64]
    """Part from the error of the section factor."""

    @property
    def error(self) -> NDArray[np.float64]:
        """The three parts together, taken as independent of each other."""
        parts = np.stack([self.from_spm, self.from_discharge, self.from_section])
        return np.asarray(np.sqrt(np.square(parts).sum(axis=0)))


def sediment_flux(
    spm: ArrayLike,
    discharge: ArrayLike,
    section: Section,
    *,
    spm_unit: str,
    discharge_unit: str,
    spm_error: ArrayLike = np.nan,
    discharge_error: ArrayLike = np.nan,
) -> Flux:
    """Multiply suspended matter at the surface, the section factor and the discharge.

    Parameters
    ----------
    spm : array_like
        Suspended particulate matter. NaN is missing.
    discharge : array_like, broadcast with `spm`
        Discharge, negative where the tide runs upstream. NaN is missing.
    section : Section
        Factor from the surface to the section.
    spm_unit, discharge_unit : str
        Units of both, like ``g m-3`` or ``mg/L``, and ``m3 s-1`` or ``L/s``.
    spm_error, discharge_error : array_like
        One standard deviation in the same units. NaN: not known, and then that of the flux is not known either.

    Returns
    -------
    Flux
        t day-1: ``0.0864 * k * SPM * Q`` for g m-3 and m3 s-1; first-order errors.

    Raises
    ------
    MetadataError
        A unit is missing, unknown, or of something else.
    InputError
        Suspended matter or an error is negative.

    Examples
    --------
    >>> flux = sediment_flux(100.0, 50.0, Section(1.0, 0.0), spm_unit="mg/L", discharge_unit="m3/s")
    >>> float(flux.value)
    432.0
    """
    load = _values(spm, spm_unit, SPM_UNIT, "spm")
    flow = _values(discharge, discharge_unit, DISCHARGE_UNIT, "discharge")
    load_error = _values(spm_error, spm_unit, SPM_UNIT, "spm_error")
    flow_error = _values(discharge_error, discharge_unit, DISCHARGE_UNIT, "discharge_error")
    for name, values in (("spm", load), ("spm_error", load_error), ("discharge_error", flow_error)):
        if (values < 0).any():
            raise InputError("a value is negative", where=name, expected=">= 0", got=f"{np.nanmin(values):g}")
    value = _TONNES_PER_DAY * section.factor * load * flow
    missing = np.isnan(value)
    rate = np.abs(flow) * _TONNES_PER_DAY
    parts = (section.factor * rate * load_error, section.factor * load * _TONNES_PER_DAY * flow_error,
             rate * load * section.error)  # fmt: skip
    return Flux(value, *(np.where(missing, np.nan, part) for part in parts))


def daily_flux(
    spm: pd.Series[Any],
    discharge: pd.Series[Any],
    section: Section,
    *,
    spm_unit: str,
    discharge_unit: str,
    spm_error: pd.Series[Any] | None = None,
    discharge_error: float = float("nan"),
) -> pd.DataFrame:
    """Give the sediment flux of each day of which both suspended matter and discharge are known.

    Parameters
    ----------
    spm, discharge : pandas.Series
        Values by time, in any order, several a day or none; both in the same time zone or without one. Means of each
        calendar day are taken, so that what both do together within a day is lost. NaN is missing.
    section : Section
        Factor from the surface to the section.
    spm_unit, discharge_unit : str
        Their units.
    spm_error : pandas.Series, optional
        One standard deviation of each value of `spm`, by the same times; that of a day is the mean, because errors of
        a formula do not average out.
    discharge_error : float
        One standard deviation of the discharge as a fraction of it. NaN: not known.

    Returns
    -------
    pandas.DataFrame
        One row per day from the first to the last day of either series, by ``day``: ``spm_g_m3``,
        ``discharge_m3_s``, ``n_spm``, ``n_discharge`` (values of the day), ``flux_t`` (t of the day; NaN where either
        is missing), ``from_spm_t``, ``from_discharge_t``, ``from_section_t``, ``error_t``.

    Raises
    ------
    InputError
        No times, time zones that differ, errors at other times, or negative values.
    MetadataError
        A unit is missing, unknown, or of something else.

    Examples
    --------
    >>> import pandas as pd
    >>> spm = pd.Series([100.0, 50.0], pd.to_datetime(["2024-03-01 10:30", "2024-03-03 10:30"]))
    >>> flow = pd.Series(10.0, pd.date_range("2024-03-01", periods=3))
    >>> days = daily_flux(spm, flow, Section(1.2, 0.2), spm_unit="g m-3", discharge_unit="m3 s-1")
    >>> days["flux_t"].round(2).tolist()
    [103.68, nan, 51.84]
    """
    import pandas as pd

    errors = pd.Series(np.nan, spm.index) if spm_error is None else spm_error
    if not errors.index.equals(spm.index):
        raise InputError("errors are not those of the values", where="spm_error", expected="the times of spm")
    _check_times(spm, discharge)
    matter, flow, doubt = (one.groupby(_day_of(one)).mean() for one in (spm, discharge, errors))
    seen = pd.DatetimeIndex(matter.index.union(flow.index), name="day")
    days = pd.date_range(seen.min(), seen.max(), freq="D", name="day") if len(seen) else seen
    matter, flow, doubt = (one.reindex(days).astype("float64") for one in (matter, flow, doubt))
    flux = sediment_flux(
        matter, flow, section, spm_unit=spm_unit, discharge_unit=discharge_unit,
        spm_error=doubt, discharge_error=np.abs(flow) * discharge_error,
    )  # fmt: skip
    columns = {
        "spm_g_m3": _values(matter, spm_unit, SPM_UNIT, "spm"),
        "discharge_m3_s": _values(flow, discharge_unit, DISCHARGE_UNIT, "discharge"),
        "n_spm": _counts(spm, days),
        "n_discharge": _counts(discharge, days),
        "flux_t": flux.value,
        "from_spm_t": flux.from_spm,
        "from_discharge_t": flux.from_discharge,
        "from_section_t": flux.from_section,
        "error_t": flux.error,
    }
    return pd.DataFrame(columns, index=days)


def annual_flux(
    daily: pd.DataFrame, *, least_share: float = 1.0, spm_errors: Literal["common", "independent"] = "common"
) -> pd.DataFrame:
    """Sum the flux of each calendar year, and say how much of the year is known.

    Parameters
    ----------
    daily : pandas.DataFrame
        Table of `daily_flux`.
    least_share : float
        Share of the days of a year that must be known for it to have a total, above 0 and up to 1. Below 1 the missing
        days are taken as like the known ones, whose mean is multiplied by the days of the year; this is right only
        where the known days are a fair sample, and floods under cloud are not.
    spm_errors : {"common", "independent"}
        Whether errors of the suspended matter go the same way on all days, as those of a formula do, or average out.

    Returns
    -------
    pandas.DataFrame
        One row per year, by ``year``: ``days`` (of the year), ``known_days``, ``missing_days``, ``known_t`` (sum over
        the known days; NaN where there is none), ``flux_t`` (total, NaN where fewer days are known than asked for),
        ``missing_t`` (part of its error from the missing days, as if chance had chosen the known ones: s N / sqrt(n)
        sqrt(1 - n / N) for the standard deviation s of n known of N days; 0 if none is missing, NaN with fewer than
        two known days; too small where missing days come in runs or are floods), ``error_t`` (one standard deviation of
        the total: that of the known days, and ``missing_t``).

    Raises
    ------
    InputError
        The share is not within (0, 1], or the table is not that of days.

    Examples
    --------
    >>> import pandas as pd
    >>> flow = pd.Series(10.0, pd.date_range("2023-01-01", "2023-12-31"))
    >>> spm = flow.iloc[:300] * 10
    >>> days = daily_flux(spm, flow, Section(1.0, 0.1), spm_unit="g m-3", discharge_unit="m3 s-1")
    >>> annual_flux(days)[["known_days", "missing_days", "known_t", "flux_t"]].round(1).values.tolist()
    [[300.0, 65.0, 25920.0, nan]]
    """
    import pandas as pd

    if not 0 < least_share <= 1:
        raise InputError("no such share", where="least_share", expected="above 0, up to 1", got=str(least_share))
    if not isinstance(daily.index, pd.DatetimeIndex) or daily.index.has_duplicates or "from_section_t" not in daily:
        raise InputError("this is not a table of days", where="daily", expected="the table of daily_flux")
    years = daily.groupby(daily.index.year)
    rows = {int(str(year)): _year(int(str(year)), days, least_share, spm_errors == "common") for year, days in years}
    columns = ["days", "known_days", "missing_days", "known_t", "flux_t", "missing_t", "error_t"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("year")


def _year(year: int, days: pd.DataFrame, least: float, common: bool) -> Mapping[str, float]:
    length = 366 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 365
    known = days[days["flux_t"].notna()]
    count = len(known)
    total = float(known["flux_t"].sum()) if count else float("nan")
    whole = count > 0 and count >= least * length
    grown = length / count if whole else float("nan")
    spm, flow = (known[name].to_numpy(np.float64) for name in ("from_spm_t", "from_discharge_t"))
    # A wrong factor is wrong in the same way on every day: on days of upstream flow it takes away what it adds else.
    section = float((known["from_section_t"] * np.sign(known["flux_t"])).sum())
    matter = float((spm * np.sign(known["flux_t"])).sum()) if common else float(np.sqrt(np.square(spm).sum()))
    error = float(np.sqrt(matter**2 + section**2 + np.square(flow).sum()))
    missing = _of_missing_days(known["flux_t"].to_numpy(np.float64), length) if whole else float("nan")
    return {"days": length, "known_days": count, "missing_days": length - count, "known_t": total,
            "flux_t": total * grown, "missing_t": missing,
            "error_t": float(np.hypot(error * grown, missing))}  # fmt: skip


def _of_missing_days(known: NDArray[np.float64], length: int) -> float:
    """Give the standard deviation of a year's total that is grown from a sample of its days, drawn without return."""
    count = known.size
    if count == length:
        return 0.0
    if count < 2:  # one day says nothing of how days differ
        return float("nan")
    return float(known.std(ddof=1) * length / np.sqrt(count) * np.sqrt(1 - count / length))


def _values(values: ArrayLike, unit: str, wanted: str, where: str) -> NDArray[np.float64]:
    if not unit:
        raise MetadataError("a unit is missing", where=where, expected=f"like {wanted}", got="nothing")
    return np.asarray(values, np.float64) * conversion_factor(unit, wanted)


def _counts(series: pd.Series[Any], days: pd.DatetimeIndex) -> NDArray[np.int64]:
    known = series.dropna()
    counts = known.groupby(_day_of(known)).size()
    return np.asarray(counts.reindex(days, fill_value=0), np.int64)


def _day_of(series: pd.Series[Any]) -> pd.DatetimeIndex:
    import pandas as pd

    return pd.DatetimeIndex(series.index).floor("D")


def _check_times(spm: pd.Series[Any], discharge: pd.Series[Any]) -> None:
    import pandas as pd

    zones = []
    for name, series in (("spm", spm), ("discharge", discharge)):
        if not isinstance(series.index, pd.DatetimeIndex):
            raise InputError("no times", where=name, expected="a series by time", got=type(series.index).__name__)
        zones.append(series.index.tz)
    if str(zones[0]) != str(zones[1]):
        raise InputError(
            "time zones differ", where="discharge", expected=str(zones[0]), got=str(zones[1]),
            todo="give both in the same zone: it decides where a day begins",
        )  # fmt: skip
