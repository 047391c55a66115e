"""Boxes of pixels around measurements, for match-ups: all variables and flags as they are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from pyproj import CRS, Geod

from terracube.core.errors import BudgetError, EmptyResultError, InputError, MetadataError
from terracube.cubes.crs import transform_points
from terracube.cubes.grid import Grid
from terracube.cubes.sampling._gather import Indices, Pixels, gather
from terracube.cubes.sampling._places import Places, to_places
from terracube.cubes.sampling._points import Spots, to_spots
from terracube.cubes.sampling._raster import Raster, nodata_of, to_raster

_LARGEST = 1001
_BUDGET = 2 << 30


@dataclass(frozen=True, eq=False, slots=True)
class _Pairs:
    """Points and the dates of the cube that lie near them in time."""

    points: Indices
    dates: Indices
    seconds: NDArray[np.float64]
    """Date of the cube minus date of the point."""


def extract_boxes(
    data: Any,
    points: Any,
    *,
    n: int = 3,
    time_column: str = "time",
    window: str | timedelta = "3h",
    id: str | None = None,  # noqa: A002  the word users look for
    **load_options: Any,
) -> xr.Dataset:
    """Take the n x n pixels around each measurement from every date of the cube within a time window.

    Nothing is interpolated, masked or converted: what is done with flags and scatter is the user's protocol. Each
    chunk that holds a match is read once; dates without a match are not read.

    Parameters
    ----------
    data : xarray.Dataset, xarray.DataArray, or STAC items
        As for :func:`sample`, with moments (UTC) as time, not solar days. Items are loaded with ``groupby="time"``
        unless ``load_options`` say otherwise.
    points : geopandas.GeoDataFrame
        Points in any CRS, and a column with the moments of the measurements, with time zone.
    n : int
        Pixels along each side, odd; the point lies in the middle pixel.
    time_column : str
        Column with the moments.
    window : str or datetime.timedelta
        Largest difference in time, before or after, included.
    id : str, optional
        Column that names the points; without it their index does. Names must differ.
    **load_options
        For items: what :func:`terracube.cubes.load` takes.

    Returns
    -------
    xarray.Dataset
        Dimensions sample, y_box, x_box (offsets from the middle pixel: south and east are positive). Variables keep
        type and attributes; pixels beyond the edge of the grid are NaN or the variable's nodata. Along sample:
        ``id``, ``time`` (of the cube), ``point_time``, ``time_difference`` (cube minus point, seconds), ``x``, ``y``
        (centre of the middle pixel, CRS of the cube), ``distance`` (from the point to that centre, metres on the
        ellipsoid), ``complete`` (False where the edge cuts the box). Samples are sorted by point, then date. The
        attribute ``left_out`` lists points without a sample, and why, as JSON.

    Raises
    ------
    InputError
        If ``n`` is not odd, the window is no time, or a point or its time is missing or malformed.
    MetadataError
        If a CRS or time zone is missing, or a cut box needs a nodata number that a variable does not have.
    EmptyResultError
        If no point has a date of the cube within the window.
    BudgetError
        If the boxes would need more than 2 GiB.
    """
    reach = _check(points, n, time_column, window)
    if not isinstance(data, xr.Dataset | xr.DataArray):
        load_options = {"groupby": "time"} | load_options
    raster = to_raster(data, load_options)
    if raster.times is None or raster.times.dtype.kind != "M":
        raise MetadataError("the cube has no moments", where="time", expected="datetime64 coordinate (UTC)")
    places = to_places(points, raster.grid, crs=None, id=id, kind="point")
    moments = _moments(points[time_column], places, time_column)
    spots = to_spots(places.pixels, raster.grid)
    pairs = _match(moments, raster.times, spots.inside, reach)
    left_out = _left_out(places, spots.inside, pairs)
    if not len(pairs.points):
        told = "; ".join(f"{one['id']}: {one['reason']}" for one in left_out[:5])
        raise EmptyResultError("no point has a match", where="points", expected=f"dates within {window}", got=told)
    _check_budget(raster, len(pairs.points), n)
    boxes = _read(raster, spots, pairs, n)
    placed = boxes.assign_coords(_coordinates(raster, places, spots, pairs, moments))
    return placed.assign_attrs(crs=raster.grid.crs, window_seconds=reach / 1e9, left_out=json.dumps(left_out))


def box_frame(boxes: xr.Dataset) -> pd.DataFrame:
    """Give boxes as a tidy table: one row per sample and pixel, with all that is known along the samples.

    Parameters
    ----------
    boxes : xarray.Dataset
        From :func:`extract_boxes`.

    Returns
    -------
    pandas.DataFrame
        Columns ``sample``, ``id``, ``time``, ..., ``y_box``, ``x_box``, then the variables.
    """
    dims = ("sample", "y_box", "x_box")
    if not set(dims) <= set(boxes.dims):
        raise InputError("these are no boxes", expected=", ".join(dims), got=", ".join(map(str, boxes.dims)))
    size = tuple(boxes.sizes[dim] for dim in dims)
    index = np.indices(size).reshape(3, -1)
    frame: dict[str, Any] = {"sample": index[0]}
    frame |= {str(k): v.values[index[0]] for k, v in boxes.coords.items() if v.dims == ("sample",) and k != "sample"}
    frame |= {dim: boxes[dim].values[index[axis]] for axis, dim in ((1, "y_box"), (2, "x_box"))}
    frame |= {str(k): v.transpose(*dims).values.reshape(-1) for k, v in boxes.data_vars.items()}
    return pd.DataFrame(frame)


def _check(points: Any, n: int, column: str, window: str | timedelta) -> int:
    if not isinstance(n, int) or n % 2 == 0 or not 1 <= n <= _LARGEST:
        raise InputError("a box has a middle pixel", where="n", expected=f"odd, 1 to {_LARGEST}", got=str(n))
    if column not in getattr(points, "columns", ()):
        raise InputError("the points have no such column", where="time_column", expected=column)
    reach = _nanoseconds(window)
    if reach < 0:
        raise InputError("the window is no time", where="window", expected="like '3h', not negative", got=repr(window))
    return reach


def _nanoseconds(window: str | timedelta) -> int:
    """Give a span of time in nanoseconds; -1 for what is none, a number without unit among it."""
    if not isinstance(window, timedelta) and not (isinstance(window, str) and any(map(str.isalpha, window))):
        return -1
    try:
        spans = pd.to_timedelta([window])
    except (ValueError, OverflowError):
        return -1
    return -1 if spans.isna().any() else int(spans.to_numpy().astype("timedelta64[ns]").astype("int64")[0])


def _moments(column: pd.Series[Any], places: Places, name: str) -> NDArray[Any]:
    """Give the moments of the points in UTC, as datetime64 in nanoseconds."""
    if not isinstance(column.dtype, pd.DatetimeTZDtype):
        raise MetadataError(
            "the times of the points have no time zone",
            where=name,
            expected="moments with their zone",
            got=str(column.dtype),
            todo=f"points[{name!r}] = pandas.to_datetime(points[{name!r}]).dt.tz_localize('UTC'), if they are UTC",
        )
    if column.isna().any():
        row = int(np.flatnonzero(column.isna())[0])
        raise InputError("a point has no time", where=f"row {row} (id {places.ids[row]})", expected=name, got="nothing")
    moments: NDArray[Any] = column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[ns]")
    return moments


def _match(moments: NDArray[Any], times: NDArray[Any], inside: NDArray[np.bool_], reach: int) -> _Pairs:
    """Find all dates of the cube within reach of each point, sorted by point, then date."""
    told = times.astype("datetime64[ns]").astype("int64")
    order = np.argsort(told, kind="stable")
    sorted_times, own = told[order], moments.astype("int64")
    first = np.searchsorted(sorted_times, own - reach, side="left")
    last = np.where(inside, np.searchsorted(sorted_times, own + reach, side="right"), first)
    points = np.repeat(np.arange(len(own)), last - first)
    start = np.repeat(first - np.concatenate([[0], np.cumsum(last - first)[:-1]]), last - first)
    dates = order[start + np.arange(len(points))]
    return _Pairs(points, dates, (told[dates] - own[points]) / 1e9)


def _left_out(places: Places, inside: NDArray[np.bool_], pairs: _Pairs) -> list[dict[str, str]]:
    missing = np.setdiff1d(np.arange(len(inside)), pairs.points)
    reasons = {True: "no date within the window", False: "outside the grid"}
    return [{"id": str(places.ids[int(row)]), "reason": reasons[bool(inside[row])]} for row in missing]


def _check_budget(raster: Raster, samples: int, n: int) -> None:
    need = samples * n * n * sum(array.dtype.itemsize for array in raster.variables)
    if need > _BUDGET:
        raise BudgetError(
            "the boxes do not fit in memory",
            where="n",
            expected=f"at most {_BUDGET >> 20} MiB",
            got=f"{need / 2**20:.0f} MiB for {samples} samples",
            todo="take fewer points, dates or pixels at once",
        )


def _read(raster: Raster, spots: Spots, pairs: _Pairs, n: int) -> xr.Dataset:
    """Read the boxes, padded where the grid ends."""
    around = np.arange(n) - n // 2
    shape = (len(pairs.points), n, n)
    rows = np.broadcast_to((spots.rows[pairs.points][:, None] + around)[:, :, None], shape)
    cols = np.broadcast_to((spots.cols[pairs.points][:, None] + around)[:, None, :], shape)
    real = (rows >= 0) & (rows < raster.grid.shape.y) & (cols >= 0) & (cols < raster.grid.shape.x)
    dates = np.broadcast_to(pairs.dates[:, None, None], shape)
    pads = [_padding(array, cut=not real.all()) for array in raster.variables]
    found = gather(raster.variables, Pixels(rows[real], cols[real], dates[real]))
    dims = ("sample", "y_box", "x_box")
    variables = {}
    for array, pad, values in zip(raster.variables, pads, found, strict=True):
        box = np.full(shape, pad, array.dtype)
        box[real] = values
        variables[str(array.name)] = (dims, box, {k: v for k, v in array.attrs.items() if k != "grid_mapping"})
    coords = {"y_box": around, "x_box": around, "complete": ("sample", real.all(axis=(1, 2)))}
    return xr.Dataset(variables, coords=coords)


def _padding(array: xr.DataArray, *, cut: bool) -> float:
    """Give what stands beyond the edge: NaN or nodata."""
    nodata = nodata_of(array)
    if array.dtype.kind == "f":
        return np.nan
    if nodata is None and cut:
        raise MetadataError(
            "a box is cut by the edge, and nothing says how missing pixels are written",
            where=str(array.name),
            expected="attribute nodata",
            todo=f"ds[{str(array.name)!r}].attrs['nodata'] = ..., or leave out points at the edge",
        )
    return 0 if nodata is None else nodata


def _coordinates(raster: Raster, places: Places, spots: Spots, pairs: _Pairs, moments: NDArray[Any]) -> dict[str, Any]:
    """Tell what is known of each sample."""
    y, x = (
        axis[index[pairs.points]] for axis, index in zip(raster.grid.centres(), (spots.rows, spots.cols), strict=True)
    )
    distance = _distance(spots, raster.grid)[pairs.points]
    times = raster.times if raster.times is not None else moments
    # Not "seconds": a unit of time by its full name would be read back as a time span.
    difference = {"units": "s", "long_name": "time of the cube minus time of the point"}
    away = {"units": "m", "long_name": "distance from the point to the centre of the middle pixel"}
    return {
        "id": ("sample", places.ids.to_numpy()[pairs.points]),
        "time": ("sample", times[pairs.dates]),
        "point_time": ("sample", moments[pairs.points]),
        "time_difference": ("sample", pairs.seconds, difference),
        "x": ("sample", x),
        "y": ("sample", y),
        "distance": ("sample", distance, away),
    }


def _distance(spots: Spots, grid: Grid) -> NDArray[np.float64]:
    """Give the distance on the ellipsoid from each point to the centre of its pixel, in metres."""
    known = CRS.from_user_input(grid.crs)
    geodetic, geod = known.geodetic_crs, known.get_geod() or Geod(ellps="WGS84")
    target = geodetic.to_wkt() if geodetic is not None else "EPSG:4326"
    ends = []
    for col, row in (spots.exact.T, (spots.cols + 0.5, spots.rows + 0.5)):
        x = (col + grid.offset.x + grid.phase.x) * grid.resolution.x
        y = (row + grid.offset.y + grid.phase.y) * grid.resolution.y
        ends.append(transform_points(grid.crs, target, np.where(spots.inside, x, 0.0), np.where(spots.inside, y, 0.0)))
    distance: NDArray[np.float64] = np.asarray(geod.inv(*ends[0], *ends[1])[2])
    return distance
