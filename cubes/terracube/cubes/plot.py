"""Pictures of a cube for people: true colours, one band with its scale, classes with their names; with a scale bar."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import is_color_like, to_rgba_array
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from pyproj import CRS, Geod

from terracube.core.errors import InputError
from terracube.cubes.crs import Bounds, transform_points
from terracube.cubes.look import Look

_CLASSES = "tab20"
_MOST_CLASSES = 64
# Steps of the length of a scale bar, and the share of the width that it may take.
_ROUND = (1.0, 2.0, 5.0)
_SHARE = 0.25
_LONGITUDE_LATITUDE = "EPSG:4326"


def limits_of(
    look: Look, names: Sequence[str], stretch: tuple[float, float], limits: tuple[float, float] | None
) -> tuple[float, float]:
    """Give the values that become black and white: common to all bands, so that hues stay.

    Parameters
    ----------
    look, names
        What is looked at.
    stretch : (low, high)
        Percentiles of all valid pixels of these bands together.
    limits : (low, high) or None
        Values, instead.

    Raises
    ------
    InputError
        If they are no two numbers in order.
    """
    given, what = (stretch, "stretch") if limits is None else (limits, "limits")
    low, high = (float(value) for value in given)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError("the lower limit is not below the upper", where=what, got=str(tuple(given)))
    if limits is not None:
        return low, high
    if low < 0 or high > 100:
        raise InputError(
            "percentiles lie from 0 to 100", where="stretch", got=str(tuple(given)), todo="limits= takes values"
        )
    seen = np.concatenate([look.bands[name][look.seen[name]].astype("float64") for name in names])
    if not seen.size:
        return 0.0, 1.0
    bottom, top = (float(value) for value in np.percentile(seen, (low, high)))
    return (bottom, top) if top > bottom else (bottom - 0.5, bottom + 0.5)


def colours(look: Look, names: Sequence[str], low: float, high: float) -> NDArray[np.uint8]:
    """Give three bands as red, green, blue and alpha (y, x, 4); a pixel that lacks any is transparent."""
    scaled = [np.clip((look.bands[name].astype("float64") - low) / (high - low), 0.0, 1.0) for name in names]
    whole = np.logical_and.reduce([look.seen[name] for name in names])
    alpha = np.where(whole, 1.0, 0.0)
    stacked = np.dstack([*(np.where(whole, band, 0.0) for band in scaled), alpha])
    return np.rint(stacked * 255.0).astype("uint8")


def classes_of(attrs: Mapping[str, Any]) -> dict[int, tuple[str, Any]] | None:
    """Give name and colour of each class that a variable's CF attributes tell; ``None`` if it has no classes.

    ``flag_values`` and ``flag_meanings`` (names with blanks between) make classes; ``flag_colors`` (``#rrggbb``, with
    blanks between) their colours. Bit flags (``flag_masks``) are no classes.
    """
    if "flag_values" not in attrs or "flag_meanings" not in attrs or "flag_masks" in attrs:
        return None
    values = [int(value) for value in np.atleast_1d(np.asarray(attrs["flag_values"]))]
    names = _words(attrs["flag_meanings"])
    if len(values) != len(names) or not 0 < len(values) <= _MOST_CLASSES:
        return None
    told = _words(attrs.get("flag_colors", ""))
    own = len(told) == len(values) and all(is_color_like(colour) for colour in told)
    shades = told if own else [colormaps[_CLASSES](n % 20) for n in range(len(values))]
    return {value: (name.replace("_", " "), shade) for value, name, shade in zip(values, names, shades, strict=True)}


def _words(value: Any) -> list[str]:
    return value.split() if isinstance(value, str) else [str(each) for each in np.atleast_1d(np.asarray(value))]


def class_colours(
    values: NDArray[Any], seen: NDArray[np.bool_], classes: Mapping[int, tuple[str, Any]]
) -> NDArray[np.uint8]:
    """Give classes as red, green, blue and alpha (y, x, 4); what is missing or has no name is transparent."""
    pixels = np.zeros((*values.shape, 4), "uint8")
    for value, (_, shade) in classes.items():
        pixels[(values == value) & seen] = np.rint(to_rgba_array(shade)[0] * 255.0).astype("uint8")
    return pixels


def draw(
    look: Look,
    *,
    stretch: tuple[float, float] = (2.0, 98.0),
    limits: tuple[float, float] | None = None,
    cmap: str = "viridis",
    ax: Axes | None = None,
) -> Axes:
    """Draw a look on axes, in the units of its CRS, with title, scale bar and what explains its colours."""
    axes = ax if ax is not None else _new_axes()
    names = list(look.bands)
    box = look.bounds
    # More pixels than the figure shows are averaged; those of classes are picked.
    where: dict[str, Any] = {"extent": (box.left, box.right, box.bottom, box.top), "interpolation": "auto"}
    classes = classes_of(look.attrs[names[0]]) if len(names) == 1 else None
    if classes is not None:
        _draw_classes(axes, look, names[0], classes, where)
    elif len(names) == 1:
        _draw_band(axes, look, names[0], limits_of(look, names, stretch, limits), cmap, where)
    else:
        axes.imshow(colours(look, names, *limits_of(look, names, stretch, limits)), **where)
    _dress(axes, look)
    return axes


def _new_axes() -> Axes:
    # Half a second that only those who draw should pay.
    import matplotlib.pyplot as plt

    axes: Axes = plt.subplots(figsize=(7.0, 6.0), layout="constrained")[1]
    return axes


def _draw_band(
    axes: Axes, look: Look, name: str, limits: tuple[float, float], cmap: str, where: Mapping[str, Any]
) -> None:
    values = np.ma.masked_array(look.bands[name], ~look.seen[name])
    image = axes.imshow(values, cmap=cmap, vmin=limits[0], vmax=limits[1], **where)
    attrs = look.attrs[name]
    unit = str(attrs.get("units", ""))
    label = str(attrs.get("long_name") or name) + (f" [{unit}]" if unit not in ("", "1") else "")
    beyond = values.compressed()
    below, above = (
        (bool((beyond < limits[0]).any()), bool((beyond > limits[1]).any())) if beyond.size else (False, False)
    )
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get((below, above), "neither")
    axes.figure.colorbar(image, ax=axes, label=label, extend=extend, shrink=0.8)


def _draw_classes(
    axes: Axes, look: Look, name: str, classes: Mapping[int, tuple[str, Any]], where: Mapping[str, Any]
) -> None:
    values, seen = look.bands[name], look.seen[name]
    axes.imshow(class_colours(values, seen, classes), **{**where, "interpolation": "nearest"})
    there = {int(value) for value in np.unique(values[seen])}
    patches = [
        Patch(facecolor=shade, edgecolor="0.4", label=text)
        for value, (text, shade) in classes.items()
        if value in there
    ]
    title = str(look.attrs[name].get("long_name") or name)
    if patches:
        axes.legend(
            handles=patches,
            title=title,
            loc="upper left",
            bbox_to_anchor=(1.01, 1.0),
            fontsize="small",
            borderaxespad=0,
        )


def _dress(axes: Axes, look: Look) -> None:
    """Add title, axes labels, true proportions and the scale bar."""
    known = CRS.from_user_input(look.crs)
    name = look.crs if "[" not in look.crs else known.name
    axes.set_title(" · ".join(part for part in (look.date, name) if part), fontsize="medium")
    box = look.bounds
    axes.set_xlim(box.left, box.right)
    axes.set_ylim(box.bottom, box.top)
    if known.is_geographic:
        axes.set_aspect(1.0 / max(0.05, math.cos(math.radians((box.top + box.bottom) / 2))))
        axes.set_xlabel("longitude [°]")
        axes.set_ylabel("latitude [°]")
    else:
        axes.set_aspect("equal")
        unit = known.axis_info[0].unit_name.replace("metre", "m")
        axes.set_xlabel(f"easting [{unit}]")
        axes.set_ylabel(f"northing [{unit}]")
    axes.ticklabel_format(style="plain", useOffset=False)
    axes.tick_params(labelsize="small")
    axes.locator_params(nbins=5)
    metres = ground_width(look.crs, box)
    if metres is not None:
        _scale_bar(axes, metres)


def ground_width(crs: str, box: Bounds) -> float | None:
    """Give the width of a box on the ground, in metres: twice that of its middle half, along its middle row.

    So it is right for degrees at the middle latitude, and for projections that stretch, such as Mercator's. ``None``
    where the box lies off the earth.

    Examples
    --------
    >>> round(ground_width("EPSG:4326", Bounds(14.0, 59.5, 15.0, 60.5)))
    55800
    """
    quarter, middle = (box.right - box.left) / 4, (box.top + box.bottom) / 2
    x = np.array([box.left + quarter, box.right - quarter])
    lon, lat = transform_points(crs, _LONGITUDE_LATITUDE, x, np.array([middle, middle]))
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        return None
    _, _, length = Geod(ellps="WGS84").inv(lon[0], lat[0], lon[1], lat[1])
    return 2.0 * float(length) if length > 0 else None


def round_length(most: float) -> float:
    """Give the longest of 1, 2, 5 x 10^n that is at most ``most``.

    Examples
    --------
    >>> round_length(3400.0), round_length(0.09)
    (2000.0, 0.05)
    """
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in reversed(_ROUND) if step * power <= most * (1 + 1e-9))


def _scale_bar(axes: Axes, metres: float) -> None:
    length = round_length(metres * _SHARE)
    share = length / metres
    left, bottom, height = 0.04, 0.04, 0.012
    outline = [withStroke(linewidth=2.5, foreground="white")]
    for part, colour in enumerate(("black", "white")):
        corner = (left + part * share / 2, bottom)
        axes.add_patch(
            Rectangle(
                corner, share / 2, height, transform=axes.transAxes, facecolor=colour, edgecolor="black", linewidth=0.8
            )
        )
    text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    axes.text(
        left + share / 2, bottom + 0.02, text, transform=axes.transAxes, ha="center", va="bottom", path_effects=outline
    )
