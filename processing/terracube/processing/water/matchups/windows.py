"""How near in time a scene must be to a measurement: by moments, or by days where scenes or wishes are of days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError, MetadataError

SAME_DAY = "same day"
_DAY = timedelta(days=1)
_TURN, _DEGREES_PER_HOUR = 360.0, 15.0
_HOUR_NS = 3_600_000_000_000


@dataclass(frozen=True, slots=True)
class Window:
    """What is near in time."""

    reach: timedelta
    """Largest difference, before or after; whole days where `dated`."""
    same_day: bool
    """Whether the scene has to be of the solar day of the measurement."""
    dated: bool
    """Whether the scenes tell their day alone, so that days are compared."""

    @property
    def takes_days(self) -> bool:
        """Whether a measurement may be used of which only the day is known."""
        return self.same_day or self.reach >= _DAY


def window_of(told: str | timedelta, out: xr.Dataset) -> Window:
    """Settle what is near in time.

    Parameters
    ----------
    told : str or timedelta
        Like ``3h``, or ``same day``.
    out : xarray.Dataset
        With dates of scenes. If all of them are midnights they are days, as cubes have them where the scenes of a day
        were put together.

    Raises
    ------
    InputError
        If the window is no time.
    MetadataError
        If the scenes tell their day alone, and the window is less.
    """
    dated = _dated(out)
    if told == SAME_DAY:
        return Window(timedelta(0), True, dated)
    reach = _reach(told)
    if dated and reach < _DAY:
        raise MetadataError(
            "the scenes tell their day, not their moment",
            where="time",
            expected="moments in UTC",
            got=str(out["time"].values.reshape(-1)[0])[:16],
            todo='cubes.load(..., groupby="time") or groupby="scene", which keep moments; or window="same day"',
        )
    return Window(timedelta(days=reach.days) if dated else reach, False, dated)


def solar_days(moments: NDArray[Any], longitude: NDArray[np.float64]) -> NDArray[np.datetime64]:
    """Give the calendar days (datetime64[ns], 00:00) of moments at longitudes: UTC plus four minutes per degree east.

    Examples
    --------
    >>> solar_days(np.array(["2023-08-14T23:30"], "M8[ns]"), np.array([170.0])).astype(str).tolist()
    ['2023-08-15T00:00:00.000000000']
    """
    return _shifted(moments, longitude, 1).astype("datetime64[D]").astype("datetime64[ns]")


def solar_noons(days: NDArray[Any], longitude: NDArray[np.float64]) -> NDArray[np.datetime64]:
    """Give the moment (UTC) of the middle of solar days."""
    return _shifted(days + np.timedelta64(12, "h"), longitude, -1)


def _shifted(moments: NDArray[Any], longitude: NDArray[np.float64], sign: int) -> NDArray[np.datetime64]:
    known = np.where(np.abs(longitude) <= _TURN, longitude, 0.0)  # what is no longitude shifts nothing
    later = np.rint(sign * known / _DEGREES_PER_HOUR * _HOUR_NS).astype("int64").astype("timedelta64[ns]")
    return np.asarray(moments.astype("datetime64[ns]") + later)


def _dated(out: xr.Dataset) -> bool:
    if "time" not in out.coords or out["time"].dtype.kind != "M":
        return False
    times = out["time"].values.reshape(-1)
    return bool(times.size and (times == times.astype("datetime64[D]")).all())


def _reach(told: str | timedelta) -> timedelta:
    """Give a span of time; a number without a unit is none."""
    reach: Any = None
    if isinstance(told, timedelta) or (isinstance(told, str) and any(map(str.isalpha, told))):
        try:
            reach = pd.to_timedelta([told]).to_pytimedelta()[0]
        except (ValueError, OverflowError):
            reach = None
    if not isinstance(reach, timedelta) or reach < timedelta(0):
        raise InputError("the window is no time", where="window", expected=f"like '3h', not negative, or {SAME_DAY!r}",
                         got=repr(told)[:80])  # fmt: skip
    return reach
