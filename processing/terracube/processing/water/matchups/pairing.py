"""The door to match-ups: every measurement with every scene near it in time, and why it is compared or not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import MetadataError
from terracube.cubes.gridlike import to_grid
from terracube.processing.water.matchups.boxes import ANGLES, angle, describe, outside, places_of, read_boxes
from terracube.processing.water.matchups.choice import nearest_once, shared_pixels
from terracube.processing.water.matchups.filters import REASONS, Filters, enough, within
from terracube.processing.water.matchups.table import compared, measurements, objections
from terracube.processing.water.matchups.units import conversion_factor
from terracube.processing.water.matchups.windows import window_of

type Units = Literal["same", "convert", "ignore"] | Mapping[str, str]
_DEFAULTS = Filters()
_FIRST = ["product", "variable", "station", "sample", "used", "reasons", "truth", "truth_unit", "estimate", "unit"]
_NO_SCENE = np.datetime64("NaT", "ns")


def matchup(
    out: xr.Dataset,
    table: pd.DataFrame,
    *,
    variables: Mapping[str, str] | Iterable[str] | None = None,
    box: int = 3,
    window: str | timedelta = "3h",
    units: Units = "same",
    filters: Filters = _DEFAULTS,
) -> pd.DataFrame:
    """Compare products with measurements: one row for every measurement and every scene near it in time.

    Nothing is left out without a word: a candidate that is not used stays in the table with all reasons. Boxes of all
    products are read together, each block that holds one once.

    Parameters
    ----------
    out : xarray.Dataset
        Products (time, y, x) with CRS and moments in UTC, each with ``attrs["units"]``. If they are there: ``flags``,
        ``water``, ``<product>_flags``, ``<product>_noise``, ``<product>_algorithm``, ``sun_zenith`` and
        ``view_zenith`` (degrees; by pixel, or a coordinate of time).
    table : pandas.DataFrame
        Tidy measurements, one per row: ``time`` (with time zone), ``lon``, ``lat`` (WGS 84), ``variable``, ``value``,
        ``unit``; and if they are there ``station``, ``depth`` (m), ``qc`` (QARTOD), ``censored``, ``qc_tests``.
    variables : mapping or iterable of str, optional
        Product to the variable that it is compared with. Without it, products whose name begins with ``chl``, ``spm``,
        ``turbidity`` (as FNU), ``secchi`` or ``cdom``.
    box : int
        Pixels along each side of the box, odd.
    window : str or timedelta
        Largest difference in time, before or after; or ``same day``: the solar day of the place (UTC plus four minutes
        per degree east). Scenes that are all dated 00:00 tell their solar day alone, as those of a cube that was loaded
        with ``groupby="solar_day"`` do: for them it is ``same day``, or a window of whole days, between solar days.
    units : "same", "convert", "ignore" or mapping
        ``same``: a unit that differs by a factor is refused. ``convert``: measurements are brought to the unit of the
        product. A mapping like ``{"NTU": "FNU"}`` says which units of the table are to be taken as others, and
        converts. ``ignore``: not looked at, for an index compared with a concentration.
    filters : Filters
        What a candidate must fulfil; and, as ``overlap``, whether boxes of one scene may share pixels.

    Returns
    -------
    pandas.DataFrame
        Sorted by product, variable, station, time. ``used`` and ``reasons`` (names of
        `terracube.processing.water.matchups.REASONS`, separated by ``;``); ``truth`` in ``truth_unit`` (``value`` and
        ``value_unit`` as they were) and ``estimate`` in ``unit``; ``time`` and ``scene_time`` (UTC), and
        ``time_difference`` (scene minus measurement, s; of their days where the scenes tell no more); position,
        ``depth``, ``distance`` from the middle of the pixel (m); ``pixels`` of the box, ``shared`` (how many of them
        are in boxes of other rows that are used), ``valid``, ``mean``, ``median``, ``std``, ``filtered``,
        ``filtered_mean``, ``scatter`` and ``centre`` of the valid ones; angles; uncertainties where the cube has them.

        A measurement is used at most once, with the scene nearest in time; and a pixel of a scene at most once per
        product, with the measurement nearest in time (of equals, nearest to the middle of its pixel): reason
        ``pixel_used`` for the middle pixel, ``box_used`` for others of the box. So pairs do not repeat each other, and
        of stations that lie closer together than a box not all are used: take ``box=1``, or
        ``filters=Filters(overlap="allow")``. Replicates are to be averaged before.

    Raises
    ------
    InputError
        If a column, product or filter does not fit.
    MetadataError
        If a unit, time zone or CRS is missing, or units differ; or if the scenes tell their day alone.
    EmptyResultError
        If the table has no measurement of the variables.
    """
    chosen = compared(map(str, out.data_vars), variables)
    near = window_of(window, out)
    samples = measurements(table, chosen.values())
    factors = {product: _factors(out[product], samples, variable, units) for product, variable in chosen.items()}
    alone = objections(samples, filters, near)
    places = places_of(samples, ~(alone["no_position"] | alone["no_time"]))
    boxes = read_boxes(out, list(chosen), places, box=box, window=near, filters=filters)
    beyond = _by_sample(outside(out, next(iter(chosen)), places), places.of_sample)
    candidates = _candidates(samples, places.of_sample, boxes)
    objects = {name: found[candidates["at"]] for name, found in alone.items()}
    objects["outside"] = beyond[candidates["at"]]
    tables = []
    for product, variable in chosen.items():
        rows = candidates[(samples["variable"] == variable).to_numpy()[candidates["at"]]]
        objected = {name: found[rows.index] for name, found in objects.items()}
        described = _described(out, boxes, product, rows["box"].to_numpy("int64"), filters)
        whole = _table(samples, rows, described, objected, _Boxes(filters, box, (out.sizes["y"], out.sizes["x"])))
        whole.insert(0, "product", product)
        whole["truth"], whole["truth_unit"] = _truth(samples, rows, factors[product])
        whole["unit"] = str(out[product].attrs.get("units", ""))
        tables.append(whole)
    found = pd.concat(tables, ignore_index=True)
    found = found.sort_values(
        ["product", "variable", "station", "time", "scene_time"], kind="stable", ignore_index=True
    )
    return found[_FIRST + [name for name in found.columns if name not in _FIRST]]


def gates(found: pd.DataFrame) -> pd.DataFrame:
    """Count, per product and reason, the candidates that have it, and those that have no other.

    Parameters
    ----------
    found : pandas.DataFrame
        From `matchup`.

    Returns
    -------
    pandas.DataFrame
        Columns ``product``, ``reason`` (also ``used``), ``meaning``, ``candidates``, ``alone``.
    """
    rows = []
    for product, part in found.groupby("product", sort=True):
        told = part["reasons"].str.split(";")
        rows.append((product, "used", "compared", int(part["used"].sum()), int(part["used"].sum())))
        for reason, meaning in REASONS.items():
            has = told.map(lambda names, reason=reason: reason in names)
            if has.any():
                rows.append((product, reason, meaning, int(has.sum()), int((part["reasons"] == reason).sum())))
    return pd.DataFrame(rows, columns=pd.Index(["product", "reason", "meaning", "candidates", "alone"]))


def _factors(product: xr.DataArray, samples: pd.DataFrame, variable: str, units: Units) -> dict[str, tuple[float, str]]:
    """Give, for each unit of the table, the factor to that of the product, and the unit that the truth then has."""
    told = sorted(samples.loc[samples["variable"] == variable, "unit"].unique())
    if units == "ignore":
        return {unit: (1.0, unit) for unit in told}
    target = str(product.attrs.get("units", ""))
    if not target:
        raise MetadataError("a product does not tell its unit", where=str(product.name), expected="attrs['units']",
                            todo="ds[name].attrs['units'] = ..., or units='ignore' for an index")  # fmt: skip
    alike = units if isinstance(units, Mapping) else {}
    todo = "compare with a measurement of the same quantity; or say which units are alike, like units={!r}"
    found = {unit: conversion_factor(alike.get(unit, unit), target, todo=todo.format({unit: target})) for unit in told}
    differing = [unit for unit, factor in found.items() if factor != 1.0]
    if differing and units == "same":
        raise MetadataError("measurements and product have different units", where=f"{variable} with {product.name}",
                            expected=target, got=", ".join(differing), todo="units='convert'")  # fmt: skip
    return {unit: (factor, target) for unit, factor in found.items()}


def _truth(
    samples: pd.DataFrame, rows: pd.DataFrame, factors: Mapping[str, tuple[float, str]]
) -> tuple[NDArray[np.float64], list[str]]:
    chosen = samples.iloc[rows["at"]]
    factor = np.array([factors[unit][0] for unit in chosen["unit"]], "float64")
    return chosen["value"].to_numpy("float64") * factor, [factors[unit][1] for unit in chosen["unit"]]


def _by_sample(found: NDArray[np.bool_], places: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.array([place >= 0 and bool(found[place]) for place in places.tolist()], bool)


def _candidates(samples: pd.DataFrame, places: NDArray[np.int64], boxes: xr.Dataset | None) -> pd.DataFrame:
    """Give the pairs of measurement (``at``) and box, with box -1 for a measurement without any."""
    alone = pd.DataFrame({"at": np.arange(len(samples)), "place": places})
    held = np.empty(0, "int64") if boxes is None else np.asarray(boxes["id"].values, "int64")
    scenes = pd.DataFrame({"place": held, "box": np.arange(len(held))})
    joined = alone.merge(scenes, on="place", how="left")
    return joined.assign(box=joined["box"].fillna(-1).astype("int64"))


def _described(
    out: xr.Dataset, boxes: xr.Dataset | None, product: str, chosen: NDArray[np.int64], filters: Filters
) -> pd.DataFrame:
    """Give what the box of each candidate says; NaN, 0 and NaT without one."""
    columns = _columns_of_none() if boxes is None else _columns_of(out, boxes, product, filters)
    at = np.where(chosen >= 0, chosen, len(columns["valid"]))
    # One more row, which stands for no box: in numpy, because pandas 2 warns of NaT with newer numpy.
    whole = {name: np.append(column, np.asarray(_nothing(column), column.dtype)) for name, column in columns.items()}
    return pd.DataFrame({name: column[at] for name, column in whole.items()})


def _columns_of(out: xr.Dataset, boxes: xr.Dataset, product: str, filters: Filters) -> dict[str, NDArray[Any]]:
    found = describe(boxes, product, filters)
    own = found.statistics
    names = ("valid", "mean", "median", "std", "filtered", "filtered_mean", "centre")
    columns: dict[str, NDArray[Any]] = {name: getattr(own, name) for name in names}
    columns |= {"scatter": found.scatter, "on_land": found.dry} | found.parts
    columns |= {name: angle(boxes, out, name) for name in ANGLES}
    columns |= {name: boxes[name].values for name in ("time_difference", "distance", "x", "y")}
    times = boxes["time"].values.astype("datetime64[ns]")
    places = {"scene": np.unique(times, return_inverse=True)[1].astype("int64")} | _rows_and_columns(out, boxes)
    return columns | places | {"scene_time": times}


def _rows_and_columns(out: xr.Dataset, boxes: xr.Dataset) -> dict[str, NDArray[Any]]:
    """Tell which pixel of the cube is the middle of each box."""
    to_pixel = ~to_grid(out).transform
    column, row = (np.floor(values).astype("int64") for values in to_pixel * (boxes["x"].values, boxes["y"].values))
    return {"row": row, "column": column}


def _columns_of_none() -> dict[str, NDArray[Any]]:
    floats = ("mean", "median", "std", "filtered_mean", "centre", "scatter", *ANGLES)
    columns: dict[str, NDArray[Any]] = {
        name: np.empty(0) for name in (*floats, "time_difference", "distance", "x", "y")
    }
    whole = {name: np.empty(0, "int64") for name in ("valid", "filtered", "scene", "row", "column")}
    return columns | whole | {"on_land": np.empty(0, bool), "scene_time": np.empty(0, "datetime64[ns]")}


def _nothing(column: NDArray[Any]) -> Any:
    return {"b": False, "i": 0, "M": _NO_SCENE}.get(column.dtype.kind, np.nan)


@dataclass(frozen=True, slots=True)
class _Boxes:
    """How boxes are judged."""

    filters: Filters
    side: int
    """Pixels along each side."""
    shape: tuple[int, int]
    """Rows and columns of a scene."""


def _table(
    samples: pd.DataFrame,
    rows: pd.DataFrame,
    described: pd.DataFrame,
    objected: dict[str, NDArray[np.bool_]],
    how: _Boxes,
) -> pd.DataFrame:
    """Put one product's candidates together and judge them."""
    filters, pixels = how.filters, how.side * how.side
    boxed = (rows["box"] >= 0).to_numpy(bool)
    own = samples.iloc[rows["at"]].reset_index(drop=True)
    estimate = described[filters.statistic].to_numpy("float64")
    known = objected["no_position"] | objected["no_time"] | objected["outside"]
    objected = objected | {
        "no_scene": ~boxed & ~known,
        "on_land": boxed & described["on_land"].to_numpy(bool),
        "few_valid": boxed
        & (~enough(described["valid"].to_numpy("int64"), pixels, filters.min_valid) | ~np.isfinite(estimate)),
        "scatter": boxed & ~within(described["scatter"].to_numpy("float64"), filters.max_scatter),
        "low_sun": boxed & ~within(described["sun_zenith"].to_numpy("float64"), filters.max_sun_zenith),
        "low_sensor": boxed & ~within(described["view_zenith"].to_numpy("float64"), filters.max_view_zenith),
    }
    middle = described[["scene", "row", "column"]].to_numpy("int64")
    objected |= _chosen_once(rows, described, middle, ~np.any(list(objected.values()), axis=0), how)
    told = _reasons(objected)
    used = np.array([not words for words in told], bool)
    facts = own[["variable", "station", "sample", "time", "lon", "lat", "depth"]].assign(
        value=own["value"], value_unit=own["unit"], used=used, reasons=told, estimate=estimate, pixels=pixels,
        shared=np.where(boxed, shared_pixels(middle, used, box=how.side, shape=how.shape), 0),
    )  # fmt: skip
    facts["time"] = facts["time"].dt.tz_localize("UTC")
    box = described.drop(columns=["on_land", "scene", "row", "column"])
    box["scene_time"] = box["scene_time"].dt.tz_localize("UTC")
    return pd.concat([facts, box], axis=1)


def _chosen_once(
    rows: pd.DataFrame, described: pd.DataFrame, middle: NDArray[np.int64], good: NDArray[np.bool_], how: _Boxes
) -> dict[str, NDArray[np.bool_]]:
    """Choose among the good candidates, so that no measurement and no pixel is compared twice."""
    at = np.flatnonzero(good)
    # Of equals in time, the measurement nearest to the middle of the pixel wins.
    at = at[np.argsort(described["distance"].to_numpy("float64")[at], kind="stable")]
    apart = np.abs(described["time_difference"].to_numpy("float64")[at])
    side = 1 if how.filters.overlap == "allow" else how.side
    taken = nearest_once(apart, rows["at"].to_numpy("int64")[at], middle[at], apart=side)
    result = {name: np.zeros(len(rows), bool) for name in ("sample_used", "pixel_used", "box_used")}
    for all_of_them, these in zip(result.values(), taken, strict=True):
        all_of_them[at] = these
    return result


def _reasons(objected: Mapping[str, NDArray[np.bool_]]) -> list[str]:
    names = [name for name in REASONS if name in objected]
    table = np.stack([objected[name] for name in names], axis=1)
    return [";".join(name for name, true in zip(names, row, strict=True) if true) for row in table.tolist()]
