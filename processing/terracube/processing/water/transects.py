"""Where water lines cross transects of a beach, and at which level of the sea.

The way of Vos et al. 2019 (doi:10.1016/j.envsoft.2019.104528), and the correction for the tide with the slope of the
beach face.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import InputError

if TYPE_CHECKING:
    import geopandas
    import pandas as pd
    import shapely


def shore_positions(
    lines: geopandas.GeoDataFrame,
    transects: geopandas.GeoDataFrame,
    *,
    reach: float = 25.0,
    most_std: float = 15.0,
    most_range: float = 30.0,
    least_points: int = 3,
) -> pd.DataFrame:
    """Measure how far along each transect the water line lies.

    Points of the lines within `reach` to either side of a transect are projected onto it; the position is their median.
    Where they scatter, the line winds or there are two, and the position is missing rather than doubtful.

    Parameters
    ----------
    lines : geopandas.GeoDataFrame
        Lines of `shoreline`; with a column ``time``, each date by itself.
    transects : geopandas.GeoDataFrame
        Straight lines from land to sea in the same CRS; the index names them.
    reach : float
        Farthest a point may lie from the transect, across it, m.
    most_std, most_range : float
        Largest standard deviation and largest range of the points along the transect, m.
    least_points : int
        Fewest points.

    Returns
    -------
    pandas.DataFrame
        One row per transect and date, in the order of both: ``transect``, ``time`` (if the lines have it),
        ``position_m`` (from the start of the transect; NaN unless ``status`` is ok), ``std_m``, ``range_m``, ``n``,
        ``status`` (``ok``, ``no line``, ``few points``, ``scattered``). Dates on which no line was drawn at all are
        not known here.

    Raises
    ------
    InputError
        If a CRS is missing or they differ, a transect is no line or is named twice, or a limit is not positive.

    Examples
    --------
    >>> import geopandas, shapely
    >>> lines = geopandas.GeoDataFrame(geometry=[shapely.LineString([(40, y) for y in range(5)])], crs=32630)
    >>> across = geopandas.GeoDataFrame(geometry=[shapely.LineString([(0, 2), (100, 2)])], index=["T1"], crs=32630)
    >>> shore_positions(lines, across)[["position_m", "n", "status"]].values.tolist()
    [[40.0, 5, 'ok']]
    """
    import pandas as pd

    _check(lines, transects, reach, most_std, most_range, least_points)
    limits = {"std": most_std, "range": most_range, "points": least_points}
    rows = [
        {"transect": name} | when | _measured(_along(points, line, reach), limits)
        for name, line in transects.geometry.items()
        for when, points in _by_date(lines)
    ]
    columns = ["transect", *(["time"] if "time" in lines else []), "position_m", "std_m", "range_m", "n", "status"]
    return pd.DataFrame(rows, columns=columns)


def tidal_shift(tide: ArrayLike, slope: ArrayLike, reference: float = 0.0) -> Any:
    """Tell how far seaward a water line would lie at the reference level: ``(tide - reference) / slope``.

    Parameters
    ----------
    tide : array_like
        Level of the sea when the image was taken, m. NaN is missing.
    slope : array_like
        Slope of the beach face, rise over run, above zero. NaN is missing.
    reference : float
        Level to bring the line to, m, above the same datum.

    Returns
    -------
    ndarray of float64
        m; NaN where the tide or the slope is missing.

    Raises
    ------
    InputError
        A slope is zero or less.

    Examples
    --------
    >>> float(tidal_shift(0.5, 0.1))
    5.0
    """
    run = np.asarray(slope, np.float64)
    if (run <= 0).any():
        raise InputError("a beach that does not rise", where="slope", expected="> 0", got=f"{np.nanmin(run):g}")
    return (np.asarray(tide, np.float64) - reference) / run


def correct_tide(
    positions: pd.DataFrame,
    tide: pd.Series[Any],
    slope: float | Mapping[Any, float],
    *,
    reference: float = 0.0,
    largest_gap: timedelta = timedelta(hours=1),
) -> pd.DataFrame:
    """Bring positions along transects to one level of the sea.

    Parameters
    ----------
    positions : pandas.DataFrame
        Table of `shore_positions`, with ``time``.
    tide : pandas.Series
        Level of the sea, m, by time (same time zone as the positions, or both without one), in any order. NaN and gaps
        are missing.
    slope : float or mapping of transects to float
        Slope of the beach face, of all transects or of each.
    reference : float
        Level to bring the positions to, m, above the datum of the tide.
    largest_gap : datetime.timedelta
        Levels are interpolated between neighbours that are at most this far apart, and not beyond the series.

    Returns
    -------
    pandas.DataFrame
        The table with ``tide_m`` and ``position_corrected_m``; NaN where the level, the slope or the position is
        missing.

    Raises
    ------
    InputError
        No times, times given twice, or a slope that is not above zero.
    """
    import pandas as pd

    if "time" not in positions or not isinstance(tide.index, pd.DatetimeIndex):
        raise InputError("no times", where="time", expected="a column of the positions and the index of the tide")
    level = _levels(pd.DatetimeIndex(positions["time"]), tide, largest_gap.total_seconds())
    run = positions["transect"].map(slope).astype("float64") if isinstance(slope, Mapping) else slope
    shift = tidal_shift(level, run, reference)
    return positions.assign(tide_m=level, position_corrected_m=positions["position_m"] + shift)


def _levels(times: pd.DatetimeIndex, tide: pd.Series[Any], largest: float) -> NDArray[np.float64]:
    """Interpolate a level to times, only between neighbours that are near enough."""
    known = tide.dropna().sort_index()
    index = known.index
    if index.has_duplicates:
        raise InputError("a time is given twice", where="tide", expected="one level per time")
    if (getattr(index, "tz", None) is None) != (times.tz is None):
        raise InputError(
            "time zones differ", where="tide", expected=str(times.tz), got=str(getattr(index, "tz", None)),
            todo="give both in UTC, or both without a zone",
        )  # fmt: skip
    if len(known) < 1 or not len(times):
        return np.full(len(times), np.nan)
    at, levels = _seconds(index), known.to_numpy(np.float64)
    wanted = _seconds(times)
    right = np.clip(np.searchsorted(at, wanted), 0, at.size - 1)
    left = np.where(at[right] == wanted, right, np.maximum(right - 1, 0))
    good = (at[left] <= wanted) & (wanted <= at[right]) & (at[right] - at[left] <= largest)
    return np.where(good & ~np.isnan(wanted), np.interp(wanted, at, levels), np.nan)


def _seconds(times: Any) -> NDArray[np.float64]:
    """Seconds since 1970, exact to a millisecond; NaN for no time."""
    plain = times.tz_convert("UTC").tz_localize(None) if times.tz is not None else times
    moments = plain.to_numpy().astype("datetime64[ms]")
    return np.where(np.isnat(moments), np.nan, moments.astype(np.int64) / 1000.0)


def _by_date(lines: geopandas.GeoDataFrame) -> Iterator[tuple[dict[str, Any], NDArray[np.float64]]]:
    """The points of all lines of each date, in order of time."""
    if "time" not in lines:
        yield {}, _points(lines.geometry)
        return
    for when, group in lines.groupby("time", sort=True):
        yield {"time": when}, _points(group.geometry)


def _points(shapes: Any) -> NDArray[np.float64]:
    import shapely

    return np.asarray(shapely.get_coordinates(shapes.to_numpy()), np.float64)


def _along(points: NDArray[np.float64], transect: shapely.LineString, reach: float) -> NDArray[np.float64]:
    """Distances from the start of the transect of the points within reach of it."""
    (x0, y0), (x1, y1) = transect.coords[0][:2], transect.coords[-1][:2]
    length = float(np.hypot(x1 - x0, y1 - y0))
    east, north = (x1 - x0) / length, (y1 - y0) / length
    dx, dy = points[:, 0] - x0, points[:, 1] - y0
    along, across = dx * east + dy * north, dy * east - dx * north
    return np.asarray(along[(np.abs(across) <= reach) & (along >= 0) & (along <= length)])


def _measured(along: NDArray[np.float64], limits: Mapping[str, float]) -> dict[str, Any]:
    if not along.size:
        return {"position_m": np.nan, "std_m": np.nan, "range_m": np.nan, "n": 0, "status": "no line"}
    std, spread = float(np.std(along)), float(np.ptp(along))
    status = "ok"
    if along.size < limits["points"]:
        status = "few points"
    elif std > limits["std"] or spread > limits["range"]:
        status = "scattered"
    position = float(np.median(along)) if status == "ok" else np.nan
    return {"position_m": position, "std_m": std, "range_m": spread, "n": int(along.size), "status": status}


def _check(lines: geopandas.GeoDataFrame, transects: geopandas.GeoDataFrame, *limits: float) -> None:
    if lines.crs is None or transects.crs is None or lines.crs != transects.crs:
        raise InputError(
            "lines and transects are not in one CRS", where="CRS", expected=str(lines.crs), got=str(transects.crs)
        )
    shapes = transects.geometry
    if (shapes.geom_type != "LineString").any() or (shapes.length == 0).any():
        raise InputError("a transect is no line", where="transects", expected="LineStrings of some length")
    if transects.index.has_duplicates:
        raise InputError("a transect is named twice", where="transects", expected="an index without repetition")
    if any(limit <= 0 for limit in limits):
        raise InputError("a limit is not positive", where="limits", expected="> 0", got=str(limits))
