"""Volumes of lakes: changes between two dates with known heights and areas, and what is stored by a known curve."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from terracube.core.errors import InputError, MetadataError

if TYPE_CHECKING:
    from terracube.processing.water.lakes.hypsometry import Hypsometry

# What lies anywhere between two bounds has this part of their distance as standard deviation.
_UNIFORM = 1 / math.sqrt(12)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the volume of a lake."""

    volume: float
    """m3; positive where the lake has grown."""
    sigma: float
    """Standard error, m3; NaN where no errors of heights and areas are given."""


def volume_change(
    height_1: float, area_1: float, height_2: float, area_2: float, *, sigma_height: float = math.nan,
    sigma_area: float = math.nan,
) -> Change:  # fmt: skip
    """Give the change of volume between two states of a lake, as a truncated pyramid.

    dV = (h2 - h1) (A1 + A2 + sqrt(A1 A2)) / 3, as Taube (2000, *Instructions for winter lake mapping*) and the
    literature on lakes from space use it.

    Parameters
    ----------
    height_1, height_2 : float
        m.
    area_1, area_2 : float
        m2; zero is a dry lake.
    sigma_height, sigma_area : float
        Standard errors of each height (m) and of each area (m2), independent of each other; propagated to first order.

    Returns
    -------
    Change
        NaN where a height or an area is missing.

    Raises
    ------
    InputError
        If an area or an error is negative.

    Examples
    --------
    >>> volume_change(10.0, 1e6, 12.0, 1e6, sigma_height=0.1, sigma_area=0.0)
    Change(volume=2000000.0, sigma=141421.356...)
    """
    for name, value in (("area", area_1), ("area", area_2), ("sigma", sigma_height), ("sigma", sigma_area)):
        if value < 0:
            raise InputError("this is never negative", where=name, expected=">= 0", got=repr(value))
    rise, root = height_2 - height_1, math.sqrt(area_1 * area_2)
    section = (area_1 + area_2 + root) / 3
    slopes = [rise / 3 * (1 + other / (2 * root)) if root else rise / 3 for other in (area_2, area_1)]
    sigma = math.hypot(math.sqrt(2) * section * sigma_height, math.hypot(*slopes) * sigma_area)
    return Change(rise * section, sigma)


def with_heights(table: pd.DataFrame, heights: pd.DataFrame, *, window: float = 3.0) -> pd.DataFrame:
    """Put the height of the lake beside its area: for each date the nearest one measured within some days.

    Parameters
    ----------
    table : pandas.DataFrame
        Of :func:`terracube.processing.water.lakes.series`, of one lake or more.
    heights : pandas.DataFrame
        ``time`` (UTC), ``height`` (m above one datum), and ``id`` where there is more than one lake; in any order.
    window : float
        Longest time between both, in days.

    Returns
    -------
    pandas.DataFrame
        The same rows with ``height`` and ``height_time``; NaN and NaT where none is near. Of two that are equally near
        the earlier is taken.

    Raises
    ------
    InputError
        If a column is missing, or there is more than one lake and the heights have no ``id``.
    MetadataError
        If a date is missing.
    """
    known = heights.dropna(subset=["height"]) if "height" in heights.columns else heights
    by = "id" if "id" in heights.columns else None
    absent = [name for name in ("time", "height") if name not in heights.columns or ("time" not in table.columns)]
    if absent or (by is None and table["id"].nunique() > 1):
        raise InputError("heights are matched by date and lake", where="heights", expected="columns time, height, id")
    if known["time"].isna().any() or table["time"].isna().any():
        raise MetadataError("a date is missing", where="time", expected="a date in each row", got="NaT")
    right = known.assign(height_time=known["time"])[["time", "height", "height_time", *([by] if by else [])]]
    right = right.astype({"time": table["time"].dtype}).sort_values("time", kind="stable")
    left = table.assign(_row=np.arange(len(table))).sort_values("time", kind="stable")
    joined = pd.merge_asof(left, right, on="time", by=by, tolerance=timedelta(days=window), direction="nearest")
    result = joined.sort_values("_row").drop(columns="_row").set_axis(table.index)
    result.attrs = dict(table.attrs)
    return result


def volume_series(table: pd.DataFrame, *, sigma_height: float = math.nan, area: str = "area_wet") -> pd.DataFrame:
    """Give the change of volume of a lake between each date with a height and an area and the one before.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of one lake with ``time``, areas (m2) and ``height`` (m), as :func:`with_heights` gives.
    sigma_height : float
        Standard error of one height, m.
    area : str
        Column with areas; from ``<area>_min`` and ``<area>_max`` follows the error of an area, as of something that
        lies anywhere between them. Without these the areas count as exact.

    Returns
    -------
    pandas.DataFrame
        One row per pair of dates: ``start``, ``stop``, ``change`` and ``sigma`` (m3). Dates without a height or an area
        are passed over: the change goes from the last one known.

    Raises
    ------
    InputError
        If a column is not there, or there is more than one lake.
    """
    _check_one(table, (area, "height", "time"))
    known = table[table[area].notna() & table["height"].notna()].sort_values("time", kind="stable")
    ends = [f"{area}_min", f"{area}_max"]
    exact = not set(ends) <= set(known.columns)
    errors = np.zeros(len(known)) if exact else (known[ends[1]] - known[ends[0]]).to_numpy(dtype="float64") * _UNIFORM
    heights, areas = (known[name].to_numpy(dtype="float64") for name in ("height", area))
    rows = []
    for at in range(1, len(known)):
        pair = math.sqrt((errors[at - 1] ** 2 + errors[at] ** 2) / 2)
        found = volume_change(
            heights[at - 1], areas[at - 1], heights[at], areas[at], sigma_height=sigma_height, sigma_area=pair
        )
        start, stop = known["time"].iloc[at - 1], known["time"].iloc[at]
        rows.append({"start": start, "stop": stop, "change": found.volume, "sigma": found.sigma})
    return pd.DataFrame(rows, columns=["start", "stop", "change", "sigma"])


def storage_series(table: pd.DataFrame, hypsometry: Hypsometry, *, area: str = "area_wet") -> pd.DataFrame:
    """Give the height and the stored volume of a lake at every date of its series.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of one lake, of :func:`terracube.processing.water.lakes.series`.
    hypsometry : Hypsometry
    area : str
        Column with areas in m2; bounds ``<area>_min`` and ``<area>_max`` are used where they are there.

    Returns
    -------
    pandas.DataFrame
        The same rows: ``id`` and ``time`` (if there), ``area``, ``height`` (m), ``storage`` (m3 above that of the
        smallest area known), ``storage_min``, ``storage_max`` (what was not seen all dry, all wet), ``storage_sigma``
        (from the scatter of the heights), ``change`` (since the last date with a value), and ``range`` (ok, missing,
        or beyond). NaN where the area is missing or beyond what the curve knows: nothing is extrapolated.

    Raises
    ------
    InputError
        If the column is not there, or there is more than one lake.
    """
    _check_one(table, (area,))
    values = table[area].to_numpy(dtype="float64")
    storage = hypsometry.volume(values)
    told: dict[str, Any] = {name: table[name] for name in ("id", "time") if name in table.columns}
    told |= {"area": values, "height": hypsometry.height(values), "storage": storage}
    for end in ("_min", "_max"):
        if area + end in table.columns:
            told["storage" + end] = hypsometry.volume(table[area + end].to_numpy(dtype="float64"))
    # To first order an error of the height is a slab as large as the lake.
    told["storage_sigma"] = np.where(np.isnan(storage), np.nan, values * hypsometry.scatter)
    told["change"] = pd.Series(storage, index=table.index).pipe(lambda s: s - s.ffill().shift())
    told["range"] = np.where(np.isnan(values), "missing", np.where(np.isnan(storage), "beyond", "ok"))
    return pd.DataFrame(told, index=table.index)


def frustum(h1: Any, a1: Any, h2: Any, a2: Any) -> Any:
    """Volume of a truncated pyramid between two heights and the areas there."""
    return (h2 - h1) * (a1 + a2 + np.sqrt(a1 * a2)) / 3


def _check_one(table: pd.DataFrame, columns: tuple[str, ...]) -> None:
    absent = [name for name in columns if name not in table.columns]
    if absent or ("id" in table.columns and table["id"].nunique() > 1):
        raise InputError(
            "volumes need the columns of one lake", where=", ".join(absent) or "id", todo="select rows of one id"
        )
