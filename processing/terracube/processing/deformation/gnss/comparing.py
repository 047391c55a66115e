"""Series of radar beside those of stations: differences, their statistics, and a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import EmptyResultError, InputError
from terracube.cubes.crs import transform_points
from terracube.cubes.gridlike import grid_like
from terracube.processing.deformation.gnss.reading import MOST_WINDOW, at_times, project_gnss
from terracube.processing.deformation.stack.nearest import half_pixel
from terracube.processing.deformation.views import Look, looks_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

type Doubles = NDArray[np.float64]

_WGS84 = "EPSG:4326"
_NS_PER_YEAR = 365.25 * 86_400e9
_WIDEST = 500
_INK, _LINE, _RADAR, _STATION = "#1d2b2a", "#d8e0df", "#b86e00", "#14746f"
_ABOUT = {
    "insar": ("motion towards the satellite that radar saw, median of the pixels around", "m"),
    "std_insar": ("standard deviation of it, median of the pixels around", "m"),
    "gnss": ("motion of the station towards the satellite, its mean brought to that of the radar's", "m"),
    "std_gnss": ("standard deviation of it", "m"),
    "difference": ("radar less station", "m"),
    "rmse": ("root of the mean square of the differences", "m"),
    "chi2": ("mean of the squares of the differences over their variances, one degree of freedom less", "1"),
    "n_dates": ("dates that both have", "1"),
    "n_pixels": ("pixels around the station with a value on any date", "1"),
    "velocity_insar": ("slope of the radar's series, dates that both have", "m/year"),
    "velocity_gnss": ("slope of the station's series, dates that both have", "m/year"),
    "velocity_difference": ("slope of the differences", "m/year"),
    "velocity_difference_std": ("standard deviation of it, from what is left", "m/year"),
}


def compare_gnss(
    series: xr.Dataset,
    stations: Sequence[xr.Dataset],
    *,
    radius: float = 100.0,
    window: float = 1.5,
    reference: str | None = None,
) -> xr.Dataset:
    """Compare a series of radar with stations.

    A station's motion is projected on the line of sight of the pixels around it and averaged over the days around each
    date. Radar tells motion relative to a place and a date; a mean difference is therefore taken out of each station,
    and with ``reference`` the series of that station out of all, on both sides. The pixels around the stations are
    read here.

    Parameters
    ----------
    series : Dataset (time, y, x)
        With ``displacement``, its standard deviations, line of sight, and a CRS.
    stations : sequence of Dataset
        Of :func:`terracube.processing.deformation.gnss.read_gnss`.
    radius : float
        m: pixels whose centres are not farther count, and always the one the station stands in.
    window : float
        Days before and after a date that count for it.
    reference : str, optional
        Name of a station.

    Returns
    -------
    Dataset (station, time)
        ``insar``, ``std_insar``, ``gnss``, ``std_gnss``, ``difference`` in metres; per station ``rmse``, ``chi2``,
        ``n_dates``, ``n_pixels``, ``velocity_insar``, ``velocity_gnss``, ``velocity_difference`` and its ``_std``. NaN
        where a station lies outside, has no pixel with a value, or shares too few dates (2; for slopes 3).

    Raises
    ------
    InputError
        If a name comes twice or the reference is none of them; if a parameter is wrong.
    EmptyResultError
        If no station has a pixel.
    """
    names = [str(station.attrs["station"]) for station in stations]
    _check(names, radius, window, reference)
    (look,) = looks_of(series, variable="displacement", name="series")
    if not look.is_series:
        raise InputError("this is no series", where="series", expected="a dimension time", got=str(look.value.dims))
    seen = _read_around(look, series, stations, radius)
    if not any(count for *_, count in seen):
        raise EmptyResultError(
            "no station stands on a pixel with a value", where="stations", got=", ".join(names)[:300]
        )
    dates = np.asarray(series["time"].values, "datetime64[ns]")
    rows = [_beside(one, station, dates, window) for one, station in zip(seen, stations, strict=True)]
    if reference is not None:
        base = rows[names.index(reference)]
        rows = [_relative(row, base) for row in rows]
    compared = [_compared(row, dates) for row in rows]
    return _table(compared, [count for *_, count in seen], stations, dates, reference)


def _check(names: Sequence[str], radius: float, window: float, reference: str | None) -> None:
    if not names or len(set(names)) < len(names):
        raise InputError("stations have names of their own", where="stations", got=", ".join(names)[:300])
    if not (0 <= radius < np.inf and 0 < window <= MOST_WINDOW):
        raise InputError(
            "no neighbourhood",
            where="radius, window",
            expected=f">= 0 m, 0 to {MOST_WINDOW:g} days",
            got=f"{radius}, {window}",
        )
    if reference is not None and reference not in names:
        raise InputError("no such station", where="reference", expected=", ".join(names)[:300], got=str(reference)[:80])


type Around = tuple[Doubles, Doubles, tuple[float, float, float], int]


def _read_around(look: Look, series: xr.Dataset, stations: Sequence[xr.Dataset], radius: float) -> list[Around]:
    """Read value, standard deviation and direction around each station, and say how many pixels have any value."""
    import dask.base

    grid = grid_like(series)
    parts: list[Any] = []
    for station in stations:
        place = _place(series, grid.crs, station)
        pick = None if place is None else _window(series, grid.crs, place, radius)
        if pick is None:
            parts.append(None)
            continue
        cut = {axis: pick[axis] for axis in ("y", "x")}
        taken = [_cut(each, cut) for each in (look.value, look.total_std, *look.vector)]
        parts.append((taken, pick["near"]))
    return [_summary(part, series.sizes["time"]) for part in dask.base.compute(parts)[0]]


def _cut(values: xr.DataArray | float, cut: Mapping[str, slice]) -> Any:
    if not isinstance(values, xr.DataArray):
        return values
    order = [dim for dim in ("time", "y", "x") if dim in values.dims]
    return values.isel({axis: cut[axis] for axis in cut if axis in values.dims}).transpose(*order).data


def _summary(part: Any, dates: int) -> Around:
    nothing = np.full(dates, np.nan)
    if part is None:
        return nothing, nothing, (np.nan, np.nan, np.nan), 0
    (value, std, *vector), near = part
    value = np.where(near & np.isfinite(value), np.asarray(value, "float64"), np.nan)
    there = np.isfinite(value)
    std = np.where(there, std, np.nan)
    middle, spread = nothing.copy(), nothing.copy()
    for date in np.flatnonzero(there.any(axis=(1, 2))):
        middle[date], spread[date] = np.median(value[date][there[date]]), np.median(std[date][there[date]])
    used = there.any(axis=0)
    flat = [np.broadcast_to(np.asarray(each, "float64"), near.shape)[used] for each in vector]
    east, north, up = (float(each.mean()) if each.size else np.nan for each in flat)
    return middle, spread, (east, north, up), int(used.sum())


def _place(series: xr.Dataset, crs: str, station: xr.Dataset) -> tuple[int, int] | None:
    """Find the pixel that a station stands in."""
    where = [np.array([station.attrs[name]], "float64") for name in ("longitude", "latitude")]
    x, y = transform_points(_WGS84, crs, where[0], where[1])
    found = []
    for axis, at in (("y", float(y[0])), ("x", float(x[0]))):
        centres = np.asarray(series[axis].values, "float64")
        half = half_pixel(series, axis)
        nearest = int(np.argmin(np.abs(centres - at))) if math.isfinite(at) else -1
        if nearest < 0 or abs(centres[nearest] - at) > half:
            return None
        found.append(nearest)
    return found[0], found[1]


def _window(series: xr.Dataset, crs: str, place: tuple[int, int], radius: float) -> dict[str, Any]:
    """Give the rows and columns around a pixel, and which pixels of them are near."""
    from pyproj import Geod

    geod = Geod(ellps="WGS84")
    centres = {axis: np.asarray(series[axis].values, "float64") for axis in ("y", "x")}

    def metres(rows: NDArray[np.int64], cols: NDArray[np.int64]) -> Doubles:
        y, x = np.meshgrid(centres["y"][rows], centres["x"][cols], indexing="ij")
        lon, lat = transform_points(crs, _WGS84, x.ravel(), y.ravel())
        own = transform_points(crs, _WGS84, centres["x"][place[1]][None], centres["y"][place[0]][None])
        from_here = [np.full(lon.shape, float(each[0])) for each in own]
        return np.asarray(geod.inv(from_here[0], from_here[1], lon, lat)[2]).reshape(y.shape)

    reach = []
    for axis, at in zip(("y", "x"), place, strict=True):
        size = centres[axis].size
        other = at + 1 if at + 1 < size else at - 1
        pair = np.array([other]) if size > 1 else np.array([at])
        here = np.array([place[1]]) if axis == "y" else np.array([place[0]])
        step = float((metres(pair, here) if axis == "y" else metres(here, pair))[0, 0])
        span = min(_WIDEST, math.ceil(radius / step)) if step > 0 else 0
        reach.append(np.arange(max(0, at - span), min(size, at + span + 1)))
    near = metres(reach[0], reach[1]) <= radius
    near[place[0] - reach[0][0], place[1] - reach[1][0]] = True
    return {"y": slice(reach[0][0], reach[0][-1] + 1), "x": slice(reach[1][0], reach[1][-1] + 1), "near": near}


type Row = tuple[Doubles, Doubles, Doubles, Doubles]


def _beside(one: Around, station: xr.Dataset, dates: NDArray[np.datetime64], window: float) -> Row:
    value, std, vector, count = one
    if not count:
        return value, std, value, std
    motion, spread = project_gnss(station, vector)
    own, own_std = at_times(np.asarray(station["time"].values), motion, spread, dates, window=window)
    return value, std, own, own_std


def _relative(row: Row, base: Row) -> Row:
    return row[0] - base[0], np.hypot(row[1], base[1]), row[2] - base[2], np.hypot(row[3], base[3])


def _compared(row: Row, dates: NDArray[np.datetime64]) -> dict[str, Any]:
    radar, radar_std, own, own_std = row
    both = np.isfinite(radar) & np.isfinite(own)
    count = int(both.sum())
    shift = float((radar - own)[both].mean()) if count else np.nan
    own = own + shift
    left = np.where(both, radar - own, np.nan)
    variance = radar_std**2 + own_std**2
    sure = both & (variance > 0)
    years = (dates - dates[0]).astype("timedelta64[ns]").astype("int64") / _NS_PER_YEAR
    enough = count >= 2
    slopes = [_slope(years[both], each[both]) for each in (radar, own, left)]
    return {
        "insar": radar,
        "std_insar": radar_std,
        "gnss": own,
        "std_gnss": own_std,
        "difference": left,
        "rmse": math.sqrt(float((left[both] ** 2).mean())) if enough else np.nan,
        "chi2": float((left[sure] ** 2 / variance[sure]).sum() / (sure.sum() - 1)) if sure.sum() > 1 else np.nan,
        "n_dates": float(count),
        "velocity_insar": slopes[0][0],
        "velocity_gnss": slopes[1][0],
        "velocity_difference": slopes[2][0],
        "velocity_difference_std": slopes[2][1],
    }


def _slope(years: Doubles, values: Doubles) -> tuple[float, float]:
    if years.size < 3:
        return np.nan, np.nan
    t = years - years.mean()
    size = float((t**2).sum())
    slope = float((t * values).sum()) / size
    left = values - values.mean() - slope * t
    return slope, math.sqrt(float((left**2).sum()) / (years.size - 2) / size)


def _table(
    rows: Sequence[Mapping[str, Any]],
    counts: Sequence[int],
    stations: Sequence[xr.Dataset],
    dates: NDArray[np.datetime64],
    reference: str | None,
) -> xr.Dataset:
    data: dict[str, Any] = {"n_pixels": ("station", np.array(counts, "float64"))}
    for name in rows[0]:
        values = np.array([row[name] for row in rows], "float64")
        data[name] = (("station", "time")[: values.ndim], values)
    found = xr.Dataset(
        data,
        coords={
            "station": [str(station.attrs["station"]) for station in stations],
            "time": dates,
            **{
                each: ("station", [float(station.attrs[each]) for station in stations])
                for each in ("latitude", "longitude")
            },
        },
        attrs={
            "reference": f"station {reference}" if reference else "the mean difference of each station is taken out"
        },
    )
    for name, (text, unit) in _ABOUT.items():
        found[name].attrs = {"long_name": text, "units": unit}
    return found


def plot_gnss(compared: xr.Dataset, *, stations: Sequence[str] | None = None) -> Figure:
    """Draw radar and stations, one panel each, with error bars; the first date of both is where zero is.

    Parameters
    ----------
    compared : Dataset
        Of :func:`compare_gnss`.
    stations : sequence of str, optional
        Which; all that have a value unless given.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If there is none of that name.
    EmptyResultError
        If none has a value.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    known = [str(name) for name in compared["station"].values]
    some = np.isfinite(compared["difference"].values).any(axis=1)
    shown = [name for name, any_ in zip(known, some, strict=True) if any_] if stations is None else list(stations)
    strange = [name for name in shown if name not in known]
    if strange:
        raise InputError("no such station", expected=", ".join(known)[:300], got=", ".join(strange)[:300])
    if not shown:
        raise EmptyResultError("no station has dates in common with the series")
    with mpl.rc_context({"font.size": 9, "axes.edgecolor": _LINE, "text.color": _INK}):
        figure = Figure(figsize=(8.4, 0.7 + 1.9 * len(shown)), dpi=110, layout="constrained")
        axes = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
        for axis, name in zip(axes, shown, strict=True):
            _draw(axis, compared.sel(station=name), name)
        axes[0].legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.0, ncols=2, frameon=False)
    return figure


def _draw(axis: Axes, one: xr.Dataset, name: str) -> None:
    both = one["insar"].values[np.isfinite(one["difference"].values)]
    zero = both[0] if both.size else 0.0
    for what, colour, label, marker in (("gnss", _STATION, "station", "o"), ("insar", _RADAR, "radar", "s")):
        values = (one[what].values - zero) * 1e3
        there = np.isfinite(values)
        spread = one[f"std_{what}"].values[there] * 1e3
        axis.errorbar(
            one["time"].values[there], values[there], yerr=np.nan_to_num(spread), color=colour, label=label,
            marker=marker, markersize=3.5, linewidth=0, elinewidth=0.8,
        )  # fmt: skip
    axis.axhline(0.0, color=_LINE, linewidth=0.8, zorder=0)
    axis.set_ylabel("towards satellite [mm]")
    rate, spread_of = (float(one[n]) * 1e3 for n in ("velocity_difference", "velocity_difference_std"))
    text = f"{name}: RMSE {float(one['rmse']) * 1e3:.1f} mm on {int(one['n_dates'])} dates"
    if math.isfinite(rate):
        text += f", radar less station {rate:+.1f} ± {spread_of:.1f} mm/year"
    axis.set_title(text, loc="left", fontsize=9)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
