"""Pictures of motion: a map on a scale that is white at zero, and the series of a point with its model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import EmptyResultError, InputError, NotFoundError
from terracube.processing.deformation.model.design import columns_at
from terracube.processing.deformation.model.fitting import displacement_of
from terracube.processing.deformation.model.terms import Step, Times, days_since, parse_model
from terracube.processing.deformation.stack.nearest import half_pixel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _SOFT, _LINE, _ACCENT, _GREY = "#1d2b2a", "#5d6f6d", "#d8e0df", "#b03a2e", "#e9edec"
_STYLE: Any = {
    "font.size": 9, "axes.edgecolor": _LINE, "axes.labelcolor": _INK, "xtick.color": _SOFT, "ytick.color": _SOFT,
    "text.color": _INK,
}  # fmt: skip
# Red is away from the satellite, as where ground sinks; both ends are told apart by the colour-blind.
_DIVERGING = "RdBu"
_SHARE, _DPI = 98.0, 110
_MILLIMETRES = 1000.0
_CURVE = 400


def motion_map(
    fitted: xr.Dataset, name: str = "velocity", *, limit: float | None = None, uncertainty: bool = False
) -> Figure:
    """Draw a map of a velocity, a step or another parameter in millimetres, white at zero.

    Parameters
    ----------
    fitted : xarray.Dataset
        Of :func:`fit` or :func:`step_map`; what is drawn is computed.
    name : str
        A variable (y, x) in metres, or metres per something.
    limit : float, optional
        Where the colours end on both sides, in millimetres; what 98 % of the pixels do not exceed, by default.
    uncertainty : bool
        Draw ``name_std`` beside it.

    Returns
    -------
    matplotlib.figure.Figure
        Missing pixels are grey. Blue is towards the satellite, red away.

    Raises
    ------
    NotFoundError
        If there is no such variable.
    InputError
        If it is not in metres, or if the limit is not above zero.
    EmptyResultError
        If it has no value at all.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    names = [name, f"{name}_std"] if uncertainty else [name]
    layers = [_layer(fitted, one) for one in names]
    most = _limit(layers[0][0], limit)
    with mpl.rc_context(_STYLE):
        rows, columns = layers[0][0].shape
        high = min(max(5.0 * rows / columns, 2.0), 9.0) + 0.8
        figure = Figure(figsize=(6.4 * len(names), high), dpi=_DPI, layout="constrained")
        axes = figure.subplots(1, len(names), squeeze=False)[0]
        scales = [(-most, most, _DIVERGING), (0.0, None, "cividis")]
        for ax, (values, label), (low, high, colours) in zip(axes, layers, scales, strict=False):
            _draw(figure, ax, (values, label), fitted, (low, _limit(values, None) if high is None else high, colours))
        figure.suptitle(_told(fitted), fontsize=9, color=_SOFT)
    return figure


def series_plot(series: xr.Dataset, at: tuple[float, float], *, fitted: xr.Dataset | None = None) -> Figure:
    """Draw the displacement of one pixel with its standard deviation, and the model that was fitted to it.

    Parameters
    ----------
    series : xarray.Dataset
        With ``displacement`` (time, y, x), m.
    at : (y, x)
        In the coordinates of the series, of which the nearest pixel is drawn; rows and columns where it has none.
    fitted : xarray.Dataset, optional
        Of :func:`fit`: its curve is drawn, steps are marked, the velocity is told.

    Returns
    -------
    matplotlib.figure.Figure
        Bars are one standard deviation: of the network and the air together, as far as both are known.

    Raises
    ------
    InputError
        If the point lies outside.
    EmptyResultError
        If the pixel has no value.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    row, column = _pixel(series, at)
    pixel = series.isel(y=row, x=column)
    values = displacement_of(series).isel(y=row, x=column).values.astype("float64") * _MILLIMETRES
    if not np.isfinite(values).any():
        raise EmptyResultError("this pixel has no value", where="at", got=f"row {row}, column {column}")
    times = series["time"].values.astype("datetime64[ns]")
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7.4, 3.6), dpi=_DPI, layout="constrained")
        axes = figure.add_subplot()
        axes.axhline(0.0, color=_LINE, linewidth=0.8)
        axes.errorbar(times, values, yerr=_spread(pixel), fmt="o", markersize=3.6, color=_INK, ecolor=_SOFT,
                      elinewidth=0.8, capsize=0)  # fmt: skip
        told = _curve(axes, fitted.isel(y=row, x=column), times) if fitted is not None else ""
        _dress(axes, f"row {row}, column {column}" + (f"   {told}" if told else ""))
    return figure


def _told(fitted: xr.Dataset) -> str:
    facts = [str(fitted.attrs.get(name, "")) for name in ("first_date", "last_date", "model")]
    return f"{facts[0][:10]} to {facts[1][:10]}: {facts[2]}" if all(facts) else facts[2]


def _layer(fitted: xr.Dataset, name: str) -> tuple[NDArray[np.float64], str]:
    if name not in fitted.variables or fitted[name].dims != ("y", "x"):
        known = [str(one) for one, array in fitted.data_vars.items() if array.dims == ("y", "x")]
        raise NotFoundError("no such map", where="name", expected=", ".join(known) or "a variable (y, x)", got=name)
    array = fitted[name]
    unit = str(array.attrs.get("units", ""))
    if unit.split("/")[0] != "m":
        raise InputError("this is not in metres", where=name, expected="m or m/year", got=unit or "no unit")
    values = array.values.astype("float64") * _MILLIMETRES
    if not np.isfinite(values).any():
        raise EmptyResultError("the map has no value", where=name)
    return values, f"{array.attrs.get('long_name', name)} [m{unit.replace('year2', 'year²').replace('year3', 'year³')}]"


def _limit(values: NDArray[np.float64], given: float | None) -> float:
    if given is not None:
        if not (given > 0 and math.isfinite(given)):
            raise InputError("colours end beyond zero", where="limit", expected="above 0 mm", got=str(given))
        return float(given)
    return float(np.nanpercentile(np.abs(values), _SHARE)) or 1.0


def _draw(figure: Figure, axes: Axes, what: tuple[NDArray[np.float64], str], fitted: xr.Dataset, how: Any) -> None:
    (values, label), (low, high, colours) = what, how
    # Copied, because a scale of matplotlib's own is shared by all.
    from matplotlib import colormaps

    scale = colormaps[colours].with_extremes(bad=_GREY)
    image = axes.imshow(np.ma.masked_invalid(values), cmap=scale, vmin=low, vmax=high, interpolation="nearest",
                        extent=_extent(fitted, values.shape))  # fmt: skip
    known = values[np.isfinite(values)]
    below, above = bool((known < low).any()), bool((known > high).any())
    ends = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[below, above]
    bar = figure.colorbar(image, ax=axes, shrink=0.8, extend=ends)
    bar.set_label(label)
    axes.ticklabel_format(useOffset=False, style="plain")
    axes.set_facecolor(_GREY)
    axes.tick_params(labelsize=7.5)


def _extent(fitted: xr.Dataset, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """Give left, right, bottom, top; in pixels where there are no coordinates."""
    found = []
    for axis, size in (("x", shape[1]), ("y", shape[0])):
        line = fitted[axis].values.astype("float64") if axis in fitted.coords else np.arange(size, dtype="float64")
        half = (line[-1] - line[0]) / max(size - 1, 1) / 2 if size > 1 else 0.5
        found += [line[0] - half, line[-1] + half]
    left, right, top, bottom = found
    return left, right, bottom, top


def _pixel(series: xr.Dataset, at: tuple[float, float]) -> tuple[int, int]:
    found = []
    for axis, value in zip(("y", "x"), at, strict=True):
        size = series.sizes[axis]
        line = series[axis].values.astype("float64") if axis in series.coords else np.arange(size, dtype="float64")
        near = int(np.argmin(np.abs(line - value)))
        if not abs(line[near] - value) <= half_pixel(series, axis) * (1 + 1e-9):
            expected = f"{line.min():g} to {line.max():g}"
            raise InputError("the point lies outside the series", where=axis, expected=expected, got=f"{value:g}")
        found.append(near)
    return found[0], found[1]


def _spread(pixel: xr.Dataset) -> NDArray[np.float64] | None:
    known = [pixel[name].values.astype("float64") for name in ("std_network", "std_atmosphere") if name in pixel]
    if not known:
        return None
    return np.sqrt(np.nansum([one**2 for one in known], axis=0)) * _MILLIMETRES


def _curve(axes: Axes, fitted: xr.Dataset, times: Times) -> str:
    """Draw the model of a pixel; tell its velocity."""
    text = str(fitted.attrs.get("model", "constant"))
    try:
        model = parse_model(text)
    except InputError:  # with a term of the caller's, whose course between the dates nobody knows
        return _rate_of(text[:200].replace("$", r"\$"), fitted)
    values = np.array([float(fitted[name]) for name, _ in model.parameters if name in fitted.variables])
    if len(values) != len(model.parameters) or not np.isfinite(values).all():
        return "not fitted"
    first, days = times[0], float(days_since(times[-1:], times[0])[0])
    fine = first + (np.linspace(0.0, days, _CURVE) * 86_400e9).astype("int64").astype("timedelta64[ns]")
    columns = columns_at(model, fine, np.datetime64(str(fitted.attrs["epoch"]), "ns"))
    axes.plot(fine, columns @ values * _MILLIMETRES, color=_ACCENT, linewidth=1.3)
    for term in model.terms:
        if isinstance(term, Step):
            axes.axvline(np.datetime64(term.date, "ns"), color=_SOFT, linewidth=0.8, linestyle=":")  # type: ignore[arg-type]  # matplotlib takes dates, its types do not know
    return _rate_of(model.text, fitted)


def _rate_of(text: str, fitted: xr.Dataset) -> str:
    if not {"velocity", "velocity_std"} <= set(fitted.variables):
        return text
    rate, error = (float(fitted[name]) * _MILLIMETRES for name in ("velocity", "velocity_std"))
    return f"{text}: {rate:.1f} ± {error:.1f} mm/year"


def _dress(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=9, color=_SOFT, loc="left")
    axes.set_ylabel("displacement towards the satellite [mm]")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=8)
