"""The chain ``water``: from scenes to where water was, and what was in it, over a period; read once, in one pass.

On each date a pixel that is clear is judged wet or dry; where it is wet, what is left of glint is taken off and all
products are made. The product of the period is the middle of its dates; a period of one date is that date's map. A
pixel that was never wet and clear has no value, and a bit says why.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.cubes.storage import Layer, LayerClass
from terracube.processing.chain import Chain, ChainParameters, Context, Finish, Map
from terracube.processing.origins import Origin
from terracube.processing.registry import register
from terracube.processing.water.asking import (
    WaterParameters,
    index_options,
    made_of,
    observe,
    sensor_of_origin,
    told_of,
)
from terracube.processing.water.assembly import NOT_WATER, PARTS, UNCLEAR, assembled
from terracube.processing.water.correction import correct
from terracube.processing.water.masks import mask
from terracube.processing.water.masks.flags import DRY, NODATA, WET, bitmask
from terracube.processing.water.noise import band_noise
from terracube.processing.water.period import most_often, over_dates
from terracube.processing.water.retrievals import get_retrieval
from terracube.processing.water.sensors import WaterSensor

# Frequency of water, clear dates, flags of the mask; then for each product value, flags, and parts of the uncertainty.
_FIRST = 3
_NOTHING = bitmask(["nodata"])


def _parts(told: WaterParameters) -> tuple[str, ...]:
    return PARTS if told.uncertainty else ()


def _per_product(told: WaterParameters) -> int:
    """Count the values of each product: its own, its flags, and the parts of its uncertainty."""
    return 2 + len(_parts(told))


def _stage(cube: NDArray[np.float32], context: Context) -> NDArray[np.float32]:
    """Turn observations (time, band, y, x) into how often water was seen, and the products of the period."""
    told = told_of(context.parameters)
    shape = cube.shape[2:]
    pixels = shape[0] * shape[1]
    water, bits = np.empty((len(cube), pixels), np.uint8), np.zeros(pixels, np.uint16)
    values = np.empty((len(cube), len(told.products) * (_per_product(told) - 1), pixels), np.float32)
    flags = np.empty((len(cube), len(told.products), pixels), np.uint8)
    for step, bands in enumerate(cube):
        found = _date(bands, told, _sensor_of_step(context, step))
        water[step], values[step], flags[step] = found.water, found.values, found.flags
        bits |= found.bits
    clear = (water != NODATA).sum(axis=0)
    out = np.empty((_FIRST + len(told.products) * _per_product(told), pixels), np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        out[0] = (water == WET).sum(axis=0) / np.float32(1) / clear
    out[1], out[2] = clear, bits
    for number in range(len(told.products)):
        first = _FIRST + number * _per_product(told)
        rows = _rows(number, told)
        over_dates(values[:, rows], flags[:, number], out[first : first + _per_product(told)])
        if classes := get_retrieval(told.products[number]).classes:
            out[first] = most_often(values[:, rows.start], classes)
    return out.reshape(-1, *shape)


def _rows(number: int, told: WaterParameters) -> slice:
    """Say where a program puts the values of a product: each is followed by the parts of its uncertainty."""
    width = _per_product(told) - 1
    return slice(number * width, (number + 1) * width)


@dataclass(frozen=True, slots=True, eq=False)
class _Date:
    """What one date gave, of pixels in one row."""

    water: NDArray[np.uint8]
    bits: NDArray[np.uint16]
    values: NDArray[np.float32]
    flags: NDArray[np.uint8]


def _sensor_of_step(context: Context, step: int) -> WaterSensor:
    told = told_of(context.parameters)
    return sensor_of_origin(Origin() if context.origins is None else context.origins[step], told)


def _date(values: NDArray[np.float32], told: WaterParameters, sensor: WaterSensor) -> _Date:
    """Judge and measure one date (band, y, x)."""
    bands = {role: (("y", "x"), values[number]) for number, role in enumerate(told.bands) if role in sensor.bands}
    cube = xr.Dataset(bands, attrs={"quantity": told.quantity, "sensor": sensor.name})
    classes, marks = _water(cube, told)
    water, bits = classes.reshape(-1), marks.reshape(-1)
    wet = water == WET
    if told.correction in ("swir", "glint"):
        cube = correct(cube, told.correction)
        # What a correction says of land means nothing.
        bits = bits | np.where(wet, cube["flags"].values.reshape(-1), np.uint16(0))
    roles = tuple(str(name) for name in cube.data_vars if name in sensor.bands)
    noise = tuple(tuple(part.items()) for part in band_noise(cube, sensor))
    found = assembled(told.products, sensor.name, roles, made_of(told), _parts(told), noise)
    seen = np.stack([np.where(wet, cube[role].values.reshape(-1), np.float32(np.nan)) for role in found.program.bands])
    products, flags = found.program.run(seen.astype("float32"))
    flags[:, water == DRY] = NOT_WATER
    flags[:, (water == NODATA) & (bits & _NOTHING == 0)] = UNCLEAR
    return _Date(water, bits.astype("uint16"), products, flags)


def _water(cube: xr.Dataset, told: WaterParameters) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Give classes of water, and why a pixel was not judged, or may not be trusted."""
    if told.water_mask == "all":
        seen = np.any([np.isfinite(band.values) for band in cube.data_vars.values()], axis=0)
        return np.where(seen, WET, NODATA).astype("uint8"), np.where(seen, 0, _NOTHING).astype("uint16")
    wofs = told.water_mask == "wofs"
    found = mask(cube, "wofs") if wofs else mask(cube, "indices", **index_options(told))
    return np.asarray(found["water"].values), np.asarray(found["flags"].values)


def _finish(values: NDArray[np.float32], context: Context) -> NDArray[np.float32]:
    """Turn what the dates gave (value, y, x) into layers: water or not, and how near land is."""
    told = told_of(context.parameters)
    frequency, clear, bits = values[:_FIRST]
    wet = frequency >= told.min_wet
    seen = np.isfinite(frequency)
    near = wet & _grown(seen & ~wet, told.shore)
    out = np.empty((len(_layers(told)), *frequency.shape), np.float32)
    out[0] = np.where(seen, wet, np.float32(np.nan))
    out[1], out[2] = frequency, clear
    out[3] = np.where(wet, near, np.float32(np.nan))
    out[4] = bits
    per = _per_product(told)
    rest = out[5:].reshape(len(told.products), per, *frequency.shape)
    rest[:] = values[_FIRST:].reshape(rest.shape)
    rest[:, 0:1, ~wet] = np.nan
    rest[:, 2:, ~wet] = np.nan
    rest[:, 1, seen & ~wet] = NOT_WATER
    return out


def _grown(land: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Say which pixels lie within a distance of others, in pixels between their centres."""
    height, width = land.shape
    found = np.zeros_like(land)
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            if down**2 + right**2 > reach**2:
                continue
            to_y, to_x = slice(max(down, 0), height + min(down, 0)), slice(max(right, 0), width + min(right, 0))
            of_y, of_x = slice(max(-down, 0), height - max(down, 0)), slice(max(-right, 0), width - max(right, 0))
            found[to_y, to_x] |= land[of_y, of_x]
    return found


def _layers(parameters: ChainParameters) -> tuple[Layer, ...]:
    told = told_of(parameters)
    first = (
        Layer("water", "Water", "uint8", "1", float(NODATA), resampling="nearest"),
        Layer("frequency", "share of clear dates on which it was wet", "float32", "1", math.nan),
        Layer("validity", "clear dates", "uint16", "1", None, resampling="nearest", role="validity"),
        Layer("near_land", "water near land: light of land may be mixed in", "uint8", "1", 255.0, resampling="nearest"),
        Layer(
            "flags",
            "bits of the mask set on one date or more: why not judged, or not to be trusted",
            "uint16",
            "1",
            None,
            resampling="nearest",
            role="quality",
        ),
    )
    return (*first, *(layer for name in told.products for layer in _product_layers(name, told)))


def _product_layers(name: str, told: WaterParameters) -> list[Layer]:
    known = get_retrieval(name)
    layers = [
        Layer(name, known.title, "float32", known.unit, math.nan),
        Layer(f"{name}_flags", f"{known.title}: why there is no value, as bits", "uint8", "1", None,
              resampling="nearest", role="quality"),
    ]  # fmt: skip
    titles = {"noise": "noise of the bands, 1 sigma", "algorithm": "error of the formula, 1 sigma"}
    return layers + [
        Layer(f"{name}_{part}", f"{known.title}: {titles[part]}", "float32", known.unit, math.nan, role="uncertainty")
        for part in _parts(told)
    ]


def _copies(parameters: ChainParameters) -> float:
    """Count what is held beside the observations: values and flags of all products on all dates."""
    told = told_of(parameters)
    values = len(told.products) * (_per_product(told) - 1 + 0.25)
    return 2.0 + values / max(1, len(told.bands))


def _legend(resource: Any) -> dict[str, tuple[LayerClass, ...]]:  # noqa: ARG001, the same for all
    return {
        "water": (LayerClass(DRY, "dry", "land", "#d8cfb8"), LayerClass(WET, "water", "water", "#2b6cb0")),
        "near_land": (LayerClass(0, "open", "open water", "#2b6cb0"), LayerClass(1, "near", "near land", "#e0a030")),
    }


WATER = register(
    Chain(
        name="water",
        version="1.0.0",
        title="Water quality",
        parameters=WaterParameters,
        layers=_layers,
        stage=Map("masks, correction and products of each date", _stage, copies=_copies),
        finish=Finish(
            "water and shore",
            _finish,
            values=lambda parameters: _FIRST + len(told_of(parameters).products) * _per_product(told_of(parameters)),
            halo=lambda parameters: told_of(parameters).shore,
        ),
        legend=_legend,
        observe=observe,
    )
)


def rehearse() -> None:
    """Make products of two dates of made-up water, so that all that the chain needs is compiled in this process."""
    told = observe(WaterParameters(), (Origin("sentinel-2a", ("msi",), "rhos"),))
    cube = np.full((2, len(told.bands), 2, 2), 0.02, np.float32)
    context = Context(told, None, (Origin("sentinel-2a", ("msi",), "rhos"),) * 2)
    _finish(_stage(cube, context), context)
