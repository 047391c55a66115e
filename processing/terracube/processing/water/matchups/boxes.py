"""The boxes of pixels around measurements: every block that holds one is read once, for all products together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import EmptyResultError, InputError
from terracube.processing.water.masks.flags import no_flags_of_others
from terracube.processing.water.matchups.filters import BoxStatistics, Filters, box_statistics, valid_pixels
from terracube.processing.water.matchups.windows import Window, solar_days, solar_noons

_PLACE = "EPSG:4326"
_SUFFIXES = ("_flags", "_noise", "_algorithm")
_COMMON = ("flags", "water")
ANGLES = ("sun_zenith", "view_zenith")
_KEYS = ["time", "day", "lon", "lat"]
_HALF_A_DAY = timedelta(hours=12)
# What stands for pixels beyond the edge in variables of bits: "no data", and "a needed band is missing".
_BEYOND = 1


@dataclass(frozen=True, slots=True)
class Places:
    """Where and when boxes are wanted: different positions and moments of the measurements."""

    of_sample: NDArray[np.int64]
    """(sample,) number of the place; -1 where the measurement has no position or time."""
    frame: pd.DataFrame
    """One row per place: time, day, lon, lat."""


def places_of(samples: pd.DataFrame, usable: NDArray[np.bool_]) -> Places:
    """Give the different positions and moments of the measurements."""
    numbers = np.full(len(samples), -1, "int64")
    keys = samples.loc[usable, _KEYS]
    frame = keys.drop_duplicates().sort_values(_KEYS, ignore_index=True)
    if len(frame):
        joined = keys.merge(frame.assign(place=np.arange(len(frame))), on=_KEYS, how="left")
        numbers[usable] = joined["place"].to_numpy("int64")
    return Places(numbers, frame)


def read_boxes(
    cube: xr.Dataset, products: Sequence[str], places: Places, *, box: int, window: Window, filters: Filters
) -> xr.Dataset | None:
    """Read the boxes of all places at all scenes within the window; ``None`` if there is none.

    Where days are compared, ``time_difference`` is that of the days.

    Raises
    ------
    InputError
        If the cube lacks a variable that the filters ask for.
    """
    import geopandas

    from terracube.cubes import extract_boxes

    if places.frame.empty:
        return None
    missing = [name for name in filters.scatter_bands if name not in cube.data_vars]
    if missing:
        raise InputError("the cube lacks bands whose scatter is asked", where="filters.scatter_bands",
                         expected=", ".join(map(str, cube.data_vars))[:200], got=", ".join(missing))  # fmt: skip
    of_day = window.same_day and not window.dated
    moments = places.frame["day"] if window.dated else places.frame["time"]
    if of_day:
        moments = pd.Series(solar_noons(places.frame["day"].to_numpy(), places.frame["lon"].to_numpy("float64")))
    points = geopandas.GeoDataFrame(
        {"time": moments.dt.tz_localize("UTC")},
        geometry=geopandas.points_from_xy(places.frame["lon"], places.frame["lat"]),
        crs=_PLACE,
    )
    reach = _HALF_A_DAY if of_day else window.reach
    try:
        boxes = extract_boxes(_chosen(cube, products, filters), points, n=box, window=reach)
    except EmptyResultError:
        return None
    return _of_the_day(boxes, places) if of_day else boxes


def _of_the_day(boxes: xr.Dataset, places: Places) -> xr.Dataset | None:
    """Keep the boxes of the solar day of their place, with the difference to the measurement itself."""
    frame = places.frame.iloc[boxes["id"].values.astype("int64")]
    scenes = boxes["time"].values.astype("datetime64[ns]")
    kept = np.flatnonzero(solar_days(scenes, frame["lon"].to_numpy("float64")) == frame["day"].to_numpy())
    apart = (scenes - frame["time"].to_numpy("datetime64[ns]")) / np.timedelta64(1, "s")
    return boxes.assign_coords(time_difference=("sample", apart)).isel(sample=kept) if kept.size else None


def outside(cube: xr.Dataset, product: str, places: Places) -> NDArray[np.bool_]:
    """Tell which places lie beyond the pixels."""
    import geopandas

    from terracube.cubes.sampling.pixels import find_pixels

    if places.frame.empty:
        return np.zeros(0, bool)
    points = geopandas.points_from_xy(places.frame["lon"], places.frame["lat"])
    found: NDArray[np.bool_] = find_pixels(cube[[product]], list(points), crs=_PLACE).outside
    return found


def _chosen(cube: xr.Dataset, products: Sequence[str], filters: Filters) -> xr.Dataset:
    """Give what is read: products, their companions, flags, water, angles by pixel."""
    names = [*products, *(f"{product}{suffix}" for product in products for suffix in _SUFFIXES)]
    names += [*_COMMON, *filters.scatter_bands, *ANGLES]
    by_pixel = [name for name in ANGLES if name in cube.coords and _has_pixels(cube.coords[name])]
    with_angles = cube.reset_coords(by_pixel)
    kept = list(
        dict.fromkeys(name for name in names if name in with_angles.data_vars and _has_pixels(with_angles[name]))
    )
    chosen = with_angles[kept]
    if "flags" in kept:
        no_flags_of_others(chosen["flags"])
    for name in kept:
        if chosen[name].dtype.kind in "iu" and "nodata" not in chosen[name].attrs:
            chosen[name] = chosen[name].assign_attrs(nodata=_BEYOND)
    return chosen


def _has_pixels(array: xr.DataArray) -> bool:
    return {"y", "x"} <= set(array.dims)


@dataclass(frozen=True, slots=True)
class Described:
    """What the boxes say of one product; all (box,)."""

    statistics: BoxStatistics
    scatter: NDArray[np.float64]
    """Coefficient of variation that is asked."""
    dry: NDArray[np.bool_]
    """Where the middle pixel is not water."""
    parts: dict[str, NDArray[np.float64]]
    """Median of each uncertainty over the valid pixels."""


def describe(boxes: xr.Dataset, product: str, filters: Filters) -> Described:
    """Describe the boxes of one product."""
    values = np.asarray(boxes[product].values, "float64")
    flags, water = (boxes[name].values if name in boxes else None for name in _COMMON)
    reasons = boxes[f"{product}_flags"].values if f"{product}_flags" in boxes else None
    # Pixels beyond the edge are NaN in the product, so nodata of its companions never counts as valid.
    valid = valid_pixels(values, flags=flags, reasons=reasons, water=water, filters=filters)
    found = box_statistics(values, valid, filters.sigma)
    middle = values.shape[1] // 2
    dry = np.zeros(len(values), bool) if water is None else water[:, middle, middle] == 0
    scatter = found.scatter
    if filters.scatter_bands:
        bands = [box_statistics(boxes[name].values, valid, filters.sigma).scatter for name in filters.scatter_bands]
        scatter = np.asarray(np.median(np.stack(bands), axis=0), "float64")
    parts = {
        part: box_statistics(boxes[f"{product}_{part}"].values, valid).median
        for part in ("noise", "algorithm")
        if f"{product}_{part}" in boxes
    }
    return Described(found, scatter, dry, parts)


def angle(boxes: xr.Dataset, cube: xr.Dataset, name: str) -> NDArray[np.float64]:
    """Give an angle of each box, in degrees: of its middle pixel, or of its scene; NaN where the cube does not tell."""
    if name in boxes:
        middle = boxes.sizes["y_box"] // 2
        return np.asarray(boxes[name].values[:, middle, middle], "float64")
    told: Any = cube[name] if name in cube.variables else None
    if told is None or not set(told.dims) <= {"time"}:
        return np.full(boxes.sizes["sample"], np.nan)
    if told.ndim == 0:
        return np.full(boxes.sizes["sample"], float(told))
    by_scene = pd.Series(np.asarray(told.values, "float64"), index=cube["time"].values.astype("datetime64[ns]"))
    scenes = pd.Index(boxes["time"].values.astype("datetime64[ns]"))
    return np.asarray(by_scene[~by_scene.index.duplicated()].reindex(scenes), "float64")
