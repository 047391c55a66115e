"""The chain ``offsets``: from images of one region to how its surface moves, in horizontal components.

Each pair of dates that lie near each other is matched on a lattice of points, one per ``step`` pixels; what ground that
stands still seems to do is taken off (the median of all points, found before over the whole grid); the pairs of each
point are inverted to a series, and a model of motion is fitted to it. The pixels of the product are the points.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
import pystac
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field
from pyproj import CRS

from terracube.core.errors import InputError
from terracube.cubes import CubePlan
from terracube.cubes.items.names import sensor_for
from terracube.cubes.items.view import acquired, to_item
from terracube.cubes.storage import Layer
from terracube.processing.chain import Chain, ChainParameters, Context, Intake, Map, Place, Shown, Survey
from terracube.processing.deformation.layers import short
from terracube.processing.deformation.model import fit, parse_model
from terracube.processing.deformation.offsets.filters import HALO
from terracube.processing.deformation.offsets.series import invert_offsets
from terracube.processing.deformation.offsets.track import plan_of, track
from terracube.processing.deformation.story import map_picture
from terracube.processing.registry import register

# Classes of the medians: 1/500 of a pixel, 64 pixels to each side.
_FINE, _WIDEST = 500, 64
_AXES = ("east", "north")


class OffsetParameters(ChainParameters):
    """What the chain can be told; dates are those of the images."""

    bands: tuple[str, ...] = Field(default=("red",), min_length=1, max_length=1, description="the band that is matched")
    mask: Annotated[str, Field(max_length=40)] | tuple[int, ...] | None = Field(
        default="auto", description="as of other chains; auto: clear, where the sensor tells what is not, else none"
    )
    chip: int = Field(default=32, ge=8, le=256, multiple_of=4, description="pixels along each side of what is compared")
    step: int = Field(default=8, ge=8, le=128, multiple_of=8, description="pixels from one point to the next")
    search: int = Field(default=8, ge=1, le=64, description="largest motion looked for, pixels")
    neighbours: int = Field(default=3, ge=1, le=20, description="each date is matched with so many later ones")
    shift: bool = Field(default=True, description="take off the median of all points of each pair")
    model: str = Field(
        default="auto",
        max_length=1000,
        description="of motion, like linear + annual; none: displacements alone; auto: linear, none of two dates",
    )
    series: bool = Field(default=True, description="publish the displacement of each date, too")
    dates: tuple[str, ...] = Field(default=(), max_length=400, description="as the images say")


def _told(parameters: ChainParameters) -> OffsetParameters:
    if not isinstance(parameters, OffsetParameters):
        raise InputError("the offsets chain needs its own parameters", got=type(parameters).__name__)
    return parameters


def _part(items: Iterable[pystac.Item]) -> tuple[list[pystac.Item], list[pystac.Item]]:
    return list(items), []


def _examine(parameters: ChainParameters, items: Sequence[pystac.Item]) -> OffsetParameters:
    """Fill in the dates, and refuse what no series can be made of."""
    told = _told(parameters)
    if told.model not in ("auto", "none"):
        parse_model(told.model)
    if told.groupby != "solar_day":
        raise InputError("offsets are between dates", where="groupby", expected="solar_day", got=told.groupby)
    days = sorted({_day(item) for item in items})
    if len(days) < 2:
        raise InputError("motion needs two dates", where="datetime", expected="2 or more", got=str(len(days)))
    mask = _mask(items) if told.mask == "auto" else told.mask
    model = told.model if told.model != "auto" else "none" if len(days) == 2 else "linear"
    return told.model_copy(update={"dates": tuple(map(str, days)), "mask": mask, "model": model})


def _mask(items: Sequence[pystac.Item]) -> str | None:
    """Give the usual mask if all images have one; what a user brings along tells of no clouds."""
    return "clear" if all(sensor_for(to_item(item)) is not None for item in items) else None


def _day(item: pystac.Item) -> date:
    return acquired(to_item(item))[1]


def _steps(plan: CubePlan) -> tuple[str, ...]:
    """Tell the dates, and refuse a grid whose pixels have no size in metres."""
    units = {axis.unit_name for axis in CRS.from_user_input(plan.grid.crs).axis_info[:2]}
    if units != {"metre"}:
        raise InputError(
            "offsets need pixels in metres",
            where="crs",
            expected="a projected CRS",
            got=plan.grid.crs[:60],
            todo="give --crs and --resolution",
        )
    return tuple(str(day)[:10] for day in plan.dates)


def _pairs(told: OffsetParameters, dates: int) -> list[tuple[int, int]]:
    return [(one, one + gap) for one in range(dates) for gap in range(1, told.neighbours + 1) if one + gap < dates]


def _margin(told: OffsetParameters) -> tuple[int, int]:
    """Give how many points around a point it depends on, and every how many points a coarsest point begins."""
    plan = plan_of(told.chip, told.step, told.search)
    period = plan.coarse_chip // 2 << plan.levels if plan.levels else 1
    every = period // math.gcd(told.step, period)
    points = -(-(plan.halo + told.chip) // told.step) + HALO
    return -(-points // every) * every, every


def _halo(parameters: ChainParameters) -> int:
    """Give the margin of pixels that a point depends on: its own, and that of the neighbours it is judged by."""
    told = _told(parameters)
    points, every = _margin(told)
    return (points + every) * told.step


def _tracked(values: NDArray[np.float32], context: Context) -> xr.Dataset:
    """Match all pairs of a block with its margin, (pair, y, x) of the points that are asked for."""
    told, place = _told(context.parameters), context.place
    if place is None:
        raise InputError("offsets are tracked in places", where="context", expected="a place", got="none")
    images, skips, shape = _padded(values[:, 0], place, told)
    dates = np.array(context.steps, "datetime64[ns]")
    pairs = _pairs(told, len(dates))
    kept = [slice(skip, skip + size) for skip, size in zip(skips, shape, strict=True)]
    found = [
        track(images[one], images[two], chip=told.chip, step=told.step, search=told.search)
        .isel(y=kept[0], x=kept[1])
        .drop_vars(["y", "x"])[["dx", "dy", "std_dx", "std_dy", "correlation"]]
        for one, two in pairs
    ]
    ends = {
        "reference_time": ("pair", dates[[p[0] for p in pairs]]),
        "secondary_time": ("pair", dates[[p[1] for p in pairs]]),
    }
    return xr.concat(found, dim="pair").assign_coords(ends)


def _padded(
    values: NDArray[np.float32], place: Place, told: OffsetParameters
) -> tuple[NDArray[np.float32], list[int], list[int]]:
    """Widen images with nothing so that points lie in the middle of the pixels of the product, wherever a block lies.

    Returns
    -------
    array (time, y, x), how many points come before those asked for along each axis, and how many are asked for.
    """
    # The first point lies half a chip from the corner; it is to lie half a step from the corner of a product's pixel.
    ahead = (told.chip - told.step) // 2
    points, every = _margin(told)
    spans, skips, counts = [], [], []
    for axis, part in enumerate(place.inner):
        # Coarse pixels and points count from where the grid counts, as in every other block.
        skip = points + (place.grid.offset[axis] + part.start) // told.step % every
        before = skip * told.step + ahead - part.start
        after = points * told.step + ahead - (values.shape[axis + 1] - part.stop)
        spans.append((before, after))
        skips.append(skip)
        counts.append((part.stop - part.start) // told.step)
    cut = [slice(max(0, -before), size - max(0, -after))
           for (before, after), size in zip(spans, values.shape[1:], strict=True)]  # fmt: skip
    wide = [(0, 0), *((max(0, before), max(0, after)) for before, after in spans)]
    return np.pad(values[:, cut[0], cut[1]], wide, constant_values=np.nan), skips, counts


def _shift_part(values: NDArray[np.float32], context: Context) -> NDArray[np.int64]:
    """Count the motion of the points of a square in fine classes, (component, pair, class)."""
    found = _tracked(values, context)
    out = np.zeros((2, found.sizes["pair"], 2 * _FINE * _WIDEST), np.int64)
    for axis, name in enumerate(("dx", "dy")):
        for pair, layer in enumerate(found[name].values):
            seen = layer[np.isfinite(layer)]
            places = np.clip(np.floor((seen + _WIDEST) * _FINE), 0, out.shape[2] - 1).astype("int64")
            out[axis, pair] = np.bincount(places, minlength=out.shape[2])
    return out


def _shift_join(parts: Sequence[NDArray[np.int64]], context: Context) -> dict[str, Any]:  # noqa: ARG001, counts say it
    counts = np.sum(np.stack(list(parts)), axis=0)
    sums = counts.cumsum(axis=2)
    middle = [[_median(row) for row in component] for component in sums]
    return {"shift": {"dx": middle[0], "dy": middle[1], "points": sums[0, :, -1].tolist()}}


def _median(sums: NDArray[np.int64]) -> float | None:
    if not sums[-1]:
        return None
    place = int(np.searchsorted(sums, (sums[-1] + 1) // 2))
    return (place + 0.5) / _FINE - _WIDEST


def _stage(values: NDArray[np.float32], context: Context) -> NDArray[np.float32]:
    """Turn the images of a block (time, band, y, x) into layers of its points."""
    told = _told(context.parameters)
    found = _tracked(values, context)
    for name in ("dx", "dy"):
        taken = context.found.get("shift", {}).get(name)
        if taken is not None:
            shift = np.array([math.nan if one is None else one for one in taken], "float32")
            found[name] = found[name] - xr.DataArray(shift, dims="pair")
    series = invert_offsets(found)
    size = context.place.grid.resolution if context.place is not None else (-1.0, 1.0)
    return _named(series, told, (float(size[0]), float(size[1])), found["correlation"].values)


def _named(
    series: xr.Dataset, told: OffsetParameters, size: tuple[float, float], correlation: NDArray[np.float32]
) -> NDArray[np.float32]:
    made: dict[str, NDArray[Any]] = {}
    for axis, name, metres in (("east", "dx", size[1]), ("north", "dy", size[0])):
        moved = (series[name] * np.float32(metres)).assign_attrs(units="m")
        spread = series[f"std_{name}"] * np.float32(abs(metres))
        if told.model != "none":
            fitted = fit(xr.Dataset({"displacement": moved, "std_network": spread}), told.model)
            made |= {_of_axis(str(name), axis): layer.values for name, layer in fitted.data_vars.items()}
        made[f"last_{axis}"] = moved.values[-1]
        for step, day in enumerate(_published(told)):
            made[f"displacement_{axis}_{short(day)}"] = moved.values[step]
            made[f"std_{axis}_{short(day)}"] = spread.values[step]
    made["motion"] = np.hypot(made["last_east"], made["last_north"])
    if "velocity_east" in made:
        made["speed"] = np.hypot(made["velocity_east"], made["velocity_north"])
    with np.errstate(invalid="ignore"):
        counted = np.isfinite(correlation).sum(axis=0)
        made["correlation"] = np.nansum(correlation, axis=0) / np.where(counted, counted, np.nan)
    made |= {name: series[name].values for name in ("n_pairs", "uncertain", "residual_rms")}
    return np.stack([made[layer.name].astype("float32") for layer in _layers(told)])


def _of_axis(name: str, axis: str) -> str:
    """Name what a model gives of a component: ``velocity_east``, ``velocity_east_std``."""
    return f"{name.removesuffix('_std')}_{axis}{'_std' if name.endswith('_std') else ''}"


def _published(told: OffsetParameters) -> tuple[str, ...]:
    """Give the dates whose displacements are published: without a model, they are the product."""
    return told.dates if told.series or told.model == "none" else ()


@lru_cache(maxsize=32)
def _of_model(model: str, dates: tuple[str, ...]) -> tuple[tuple[str, str, str], ...]:
    """Give name, title and unit of what a model gives of a component, by fitting one point."""
    if model == "none":
        return ()
    times = np.array(dates, "datetime64[ns]")
    still = np.zeros((len(times), 1, 1), "float32")
    fitted = fit(xr.Dataset({"displacement": (("time", "y", "x"), still)}, {"time": times}), model)
    told = ((str(name), values.attrs) for name, values in fitted.data_vars.items() if name != "n_dates")
    return tuple(
        (name, str(about.get("long_name", name)).partition(", positive")[0], str(about.get("units", "m")))
        for name, about in told
    )


def _layers(parameters: ChainParameters) -> tuple[Layer, ...]:
    told = _told(parameters)
    fitted = _of_model(told.model, told.dates)
    first = Layer("motion", "Motion from the first to the last date", "float32", "m", math.nan)
    if "velocity" in {name for name, *_ in fitted}:
        first = Layer("speed", "Speed of the surface", "float32", "m/year", math.nan)
    layers = [first]
    for axis in _AXES:
        for name, title, unit in fitted:
            error = name.endswith("_std")
            layers.append(
                Layer(_of_axis(name, axis), f"{title}, {axis}", "float32", unit, math.nan,
                      role="uncertainty" if error else "data", centred=not error and unit.startswith("m"))
            )  # fmt: skip
    layers += [
        Layer("correlation", "mean correlation of the pairs", "float32", "1", math.nan, role="quality"),
        Layer("residual_rms", "root mean square of what the series leaves of the pairs", "float32", "pixel", math.nan,
              role="quality"),
        Layer("n_pairs", "pairs with a motion", "uint16", "1", None, resampling="nearest", role="validity"),
        Layer("uncertain", "1: some date has fewer than two pairs that agree", "uint8", "1", None,
              resampling="nearest", role="quality"),
    ]  # fmt: skip
    for day in _published(told):
        for axis in _AXES:
            layers += [
                Layer(f"displacement_{axis}_{short(day)}", f"Displacement {axis}, {day}", "float32", "m", math.nan,
                      step=(f"displacement_{axis}", day), centred=True),
                Layer(f"std_{axis}_{short(day)}", f"Standard deviation of the displacement {axis}, {day}", "float32",
                      "m", math.nan, step=(f"std_{axis}", day), role="uncertainty"),
            ]  # fmt: skip
    return tuple(layers)


def _copies(parameters: ChainParameters) -> float:
    told = _told(parameters)
    return 4.0 + 8.0 * told.neighbours / told.step**2


def _cube(cube: xr.Dataset, given: dict[str, Any]) -> xr.Dataset:  # noqa: ARG001, the same for all
    raise InputError(
        "the chain takes items",
        expected="items and a grid",
        got="a cube",
        todo="deformation.track(before, after) and invert_offsets(...) take arrays",
    )


def _facts(parameters: ChainParameters, found: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001, in terracube:found
    told = _told(parameters)
    return {
        "terracube:displacement_sign": "east and north positive, m, since the first date",
        "terracube:reference_date": told.dates[0],
        "terracube:reference": {"how": "median of all points of a pair" if told.shift else "as delivered"},
    }


def _pictures(shown: Shown, parameters: ChainParameters) -> list[tuple[str, bytes]]:
    told = _told(parameters)
    names = {layer.name for layer in _layers(told)}
    what, unit = ("velocity", "m/year") if "velocity_east" in names else ("displacement", "m")
    last = "" if what == "velocity" else f"_{short(told.dates[-1])}"
    maps = [
        (f"{what.capitalize()} to the {axis}", map_picture(shown.thin(f"{what}_{axis}{last}"), unit, centred=True))
        for axis in _AXES
        if f"{what}_{axis}{last}" in names
    ]
    return [
        *maps,
        ("Mean correlation of the pairs", map_picture(shown.thin("correlation"), "")),
    ]


OFFSETS = register(
    Chain(
        name="offsets",
        version="1.0.0",
        title="Motion by image offsets",
        parameters=OffsetParameters,
        layers=_layers,
        stage=Map("tracked, inverted and fitted", _stage, copies=_copies, halo=_halo, zoom=lambda p: _told(p).step),
        surveys=(Survey("shift", _shift_part, _shift_join, lambda told: _told(told).shift),),
        intake=Intake(_part, _examine, _steps, lambda _: (), _cube, _facts, _pictures),
    )
)
