"""Measurements as match-ups need them: checked, in one order, with what speaks against each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from terracube.core.errors import EmptyResultError, InputError, MetadataError
from terracube.processing.water.matchups.filters import Filters, within
from terracube.processing.water.matchups.windows import Window, solar_days

_NEEDED = ("time", "lon", "lat", "variable", "value", "unit")
_TEXTS = ("station", "censored", "qc_tests")
_ORDER = ["variable", "station", "time", "depth", "lon", "lat", "value"]
_TIES = ["qc", "unit", "censored"]
_POLE = 90.0

PREFIXES: Mapping[str, str] = {
    "chl": "chlorophyll_a",
    "spm": "suspended_matter",
    "turbidity": "turbidity_fnu",
    "secchi": "secchi_depth",
    "cdom": "cdom_absorption_440",
}
"""What a product is compared with unless told otherwise, by the first word of its name."""


def compared(products: Iterable[str], variables: Mapping[str, str] | Iterable[str] | None) -> dict[str, str]:
    """Give the variable of the measurements that each product is compared with.

    Parameters
    ----------
    products : iterable of str
        Variables of the cube.
    variables : mapping, iterable of str, or None
        Product to variable; or products, whose variable follows from `PREFIXES`; or all products that have one.

    Raises
    ------
    InputError
        If a product is not in the cube, or nothing says what it is compared with.

    Examples
    --------
    >>> compared(["chl_oc3", "chl_oc3_flags", "hue_angle"], None)
    {'chl_oc3': 'chlorophyll_a'}
    """
    known = list(products)
    if isinstance(variables, Mapping):
        chosen = {str(name): str(variable) for name, variable in variables.items()}
    elif variables is None:
        parts = ("_flags", "_noise", "_algorithm")
        chosen = {name: _variable_of(name) for name in known if not name.endswith(parts)}
        chosen = {name: variable for name, variable in chosen.items() if variable}
    else:
        chosen = {str(name): _variable_of(str(name)) for name in variables}
    wrong = [name for name in chosen if name not in known or not chosen[name]]
    if wrong or not chosen:
        raise InputError("it is not clear what is compared", where="variables",
                         expected="like {'chl_oc3': 'chlorophyll_a'}, with products of the cube",
                         got=", ".join(wrong) or f"nothing among {', '.join(known)}"[:200])  # fmt: skip
    return chosen


def _variable_of(product: str) -> str:
    return PREFIXES.get(product.partition("_")[0], "")


def measurements(table: pd.DataFrame, variables: Iterable[str]) -> pd.DataFrame:
    """Check a table of measurements and put those of some variables in one order, whatever order they came in.

    Gives the columns of the table with ``sample`` (the label of the row) and ``row`` (its number from 0) before them.
    Texts that are absent are empty, depths that are absent NaN, ``qc`` 2. ``day`` is the solar day at the place; of a
    measurement of which only the day is known, the day as written.

    Raises
    ------
    InputError
        If a column is missing, or two rows have one label.
    MetadataError
        If times have no zone.
    EmptyResultError
        If there is no measurement of the variables.
    """
    missing = [name for name in _NEEDED if name not in table.columns]
    if missing:
        raise InputError("the table of measurements lacks a column", where="table", expected=", ".join(_NEEDED),
                         got=f"no {', '.join(missing)}")  # fmt: skip
    if not isinstance(table["time"].dtype, pd.DatetimeTZDtype):
        raise MetadataError("the times of the measurements have no time zone", where="time",
                            expected="moments with their zone", got=str(table["time"].dtype),
                            todo="table['time'].dt.tz_localize('UTC'), if they are UTC")  # fmt: skip
    if not table.index.is_unique:
        twice = repr(table.index[table.index.duplicated()][0])
        raise InputError("two measurements have one label", where="table.index", got=twice,
                         todo="table.reset_index(drop=True)")  # fmt: skip
    wanted = sorted(set(variables))
    rows = table["variable"].isin(wanted).to_numpy(bool)
    if not rows.any():
        there = ", ".join(sorted(table["variable"].dropna().astype(str).unique()))[:200]
        raise EmptyResultError("no measurement can be compared", where="table", expected=", ".join(wanted), got=there)
    return _plain(table, rows).sort_values(_ORDER + _TIES, kind="stable", ignore_index=True)


def _plain(table: pd.DataFrame, rows: NDArray[np.bool_]) -> pd.DataFrame:
    """Give the chosen rows with plain types, and every column that is asked for."""
    chosen = table.loc[rows]
    plain: dict[str, Any] = {"sample": chosen.index.to_numpy(), "row": np.flatnonzero(rows)}
    plain["time"] = chosen["time"].dt.tz_convert("UTC").astype("datetime64[ns, UTC]").to_numpy("datetime64[ns]")
    for name in ("lon", "lat", "value", "depth"):
        plain[name] = _numbers(chosen, name)
    for name in ("variable", "unit", *_TEXTS):
        plain[name] = _words(chosen, name)
    written = _remarked(plain["qc_tests"], "day_only")
    plain["day"] = solar_days(plain["time"], np.where(written, 0.0, plain["lon"]))
    quality = chosen["qc"].to_numpy("float64") if "qc" in chosen.columns else np.full(len(chosen), 2.0)
    return pd.DataFrame(plain | {"qc": np.nan_to_num(quality, nan=2.0).astype("int64")})


def _numbers(table: pd.DataFrame, name: str) -> NDArray[np.float64]:
    if name not in table.columns:
        return np.full(len(table), np.nan)
    try:
        return table[name].to_numpy("float64", na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise InputError(
            "a column of numbers holds words", where=name, expected="float64", got=str(error)[:120]
        ) from error


def _words(table: pd.DataFrame, name: str) -> NDArray[Any]:
    if name not in table.columns:
        return np.full(len(table), "", object)
    return table[name].astype(object).where(table[name].notna(), "").map(str).to_numpy(object)


def _remarked(tests: NDArray[Any], *names: str) -> NDArray[np.bool_]:
    return np.array([not set(names).isdisjoint(told.split(",")) for told in tests], bool)


def objections(samples: pd.DataFrame, filters: Filters, window: Window) -> dict[str, NDArray[np.bool_]]:
    """Tell what speaks against each measurement by itself, by reason."""
    vague = ("period",) if window.same_day else () if window.takes_days else ("day_only", "period")
    return {
        "no_value": ~np.isfinite(samples["value"].to_numpy()),
        "no_position": ~np.isfinite(samples[["lon", "lat"]].to_numpy()).all(axis=1)
        | (np.abs(samples["lat"].to_numpy()) > _POLE),
        "no_time": samples["time"].isna().to_numpy(bool),
        "quality": samples["qc"].isin(filters.refused_quality).to_numpy(bool),
        "censored": (samples["censored"] != "").to_numpy(bool),
        "time_of_day": _remarked(samples["qc_tests"].to_numpy(object), *vague),
        "depth": ~within(samples["depth"].to_numpy("float64"), filters.max_depth),
        "copy": samples.duplicated(_ORDER, keep="first").to_numpy(bool),
    }
