"""The chain ``water``: from scenes to where water was, and what was in it, over a period; read once, in one pass.

On each date a pixel that is clear is judged wet or dry; where it is wet, what is left of glint is taken off and all
products are made. The product of the period is the middle of its dates; a period of one date is that date's map. A
pixel that was never wet and clear has no value, and a bit says why.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.storage import Layer, LayerClass
from terracube.processing.chain import Chain, ChainParameters, Context, Finish, Map, Origin
from terracube.processing.kernels.temporal import QUANTILE, statistics
from terracube.processing.registry import register
from terracube.processing.water.assembly import MISSING, NOT_WATER, PARTS, Assembly, assemble, costs
from terracube.processing.water.correction import correct
from terracube.processing.water.masks import mask
from terracube.processing.water.masks.flags import DRY, NODATA, WET
from terracube.processing.water.masks.indices import water_index, water_indices
from terracube.processing.water.retrievals import get_retrieval
from terracube.processing.water.sensors import WaterSensor, load_water_sensor, sensor_of_item_properties

_RANGE_BITS = 16 | 32
_WOFS = ("blue", "green", "red", "nir", "swir16", "swir22")
# What a sensor without one of these bands has instead, as the masks know it.
_INSTEAD = {"nir": "nir08"}
# Frequency of water, clear dates, then for each product its value, flags, and parts of the uncertainty.
_FIRST = 2
_USUAL = ("spm_blend", "turbidity_dogliotti2015", "chl_blend", "secchi_lee2015", "hue_angle")


class WaterParameters(ChainParameters):
    """What the chain can be told; bands, sensors and quantity are those of the scenes."""

    bands: tuple[str, ...] = Field(default=(), max_length=32, description="role names; left out: what is needed")
    products: tuple[str, ...] = Field(
        default=(), max_length=64, description="names of retrievals; left out: the usual ones that all sensors allow"
    )
    water_mask: str = Field(
        default="auto", max_length=20, description="wofs, an index (mndwi, ndwi, ...), all; auto: wofs if bands allow"
    )
    threshold: float | None = Field(default=None, description="of the index; left out: as published")
    correction: Literal["auto", "swir", "glint", "none"] = Field(
        default="auto", description="what is taken off surface reflectance; auto: swir where it is needed"
    )
    uncertainty: bool = Field(default=True, description="give noise and error of the formula for each product")
    min_wet: float = Field(default=0.5, gt=0, le=1, description="share of clear dates from which on a pixel is water")
    shore: int = Field(default=2, ge=0, le=16, description="pixels from land within which water is flagged")
    sensors: tuple[str, ...] = Field(default=(), max_length=16, description="as the scenes say")
    quantity: Literal["rhos", "rhow", "rrs"] | None = Field(default=None, description="as the scenes say")


def _told(parameters: ChainParameters) -> WaterParameters:
    if not isinstance(parameters, WaterParameters):
        raise InputError("the water chain needs its own parameters", got=type(parameters).__name__)
    return parameters


def _sensor(origin: Origin, told: WaterParameters) -> WaterSensor:
    """Give the sensor that saw something, by what the scene says, or by what the user says of all."""
    name = sensor_of_item_properties(origin.platform, origin.instruments)
    if name is None and len(told.sensors) == 1:
        name = told.sensors[0]
    if name is None:
        raise MetadataError(
            "a scene does not say which sensor saw it, or the water formulas do not know it",
            where="platform, instruments",
            got=f"{origin.platform}, {', '.join(origin.instruments) or 'none'}",
            todo='parameters={"sensors": ["S2A_MSI"]}',
        )
    return load_water_sensor(name)


def observe(parameters: ChainParameters, origins: Sequence[Origin]) -> WaterParameters:
    """Fill in sensors, quantity, mask, correction and bands; refuse what cannot be done, before a pixel is read."""
    told = _told(parameters)
    quantities = {told.quantity} if told.quantity else {origin.quantity for origin in origins}
    if len(quantities) != 1 or None in quantities:
        raise MetadataError(
            "it is not said which reflectance the scenes hold",
            where="quantity",
            expected="one of rhos, rhow, rrs",
            got=", ".join(sorted(map(str, quantities))),
            todo='parameters={"quantity": "rhos"}',
        )
    quantity = quantities.pop()
    sensors = {sensor.name: sensor for sensor in (_sensor(origin, told) for origin in origins)}
    how = _mask_method(told, tuple(sensors.values()), str(quantity))
    wanted: Any = ("swir" if quantity == "rhos" else "none") if told.correction == "auto" else told.correction
    settled = told.model_copy(
        update={"sensors": tuple(sorted(sensors)), "quantity": quantity, "water_mask": how, "correction": wanted}
    )
    if not settled.products:
        settled = settled.model_copy(update={"products": _usual(tuple(sensors.values()), _made_of(settled))})
    roles: list[str] = []
    for sensor in sensors.values():
        roles += _roles(settled, sensor)
    bands = tuple(dict.fromkeys([*told.bands, *(role for role in roles if role not in told.bands)]))
    return settled.model_copy(update={"bands": bands})


def _usual(sensors: Sequence[WaterSensor], quantity: str) -> tuple[str, ...]:
    """Choose the usual products that all sensors allow; where none is, all, so that each is refused with its reason."""
    possible = [name for name in _USUAL if not any(costs([name], one, list(one.bands), quantity) for one in sensors)]
    return tuple(possible) or _USUAL


def _mask_method(told: WaterParameters, sensors: Sequence[WaterSensor], quantity: str) -> str:
    """Settle how water is told from land: what was seen as water already needs no mask of ours."""
    if told.water_mask == "auto":
        possible = quantity == "rhos" and all(_has(sensor, _WOFS) for sensor in sensors)
        return "wofs" if possible else "all"
    if told.water_mask not in ("wofs", "all", *water_indices()):
        expected = ", ".join(("auto", "wofs", "all", *water_indices()))
        raise InputError("no such water mask", where="water_mask", expected=expected, got=repr(told.water_mask))
    return told.water_mask


def _has(sensor: WaterSensor, roles: Sequence[str]) -> bool:
    return all(role in sensor.bands or _INSTEAD.get(role) in sensor.bands for role in roles)


def _roles(told: WaterParameters, sensor: WaterSensor) -> list[str]:
    """List the bands that mask, correction and products need of a sensor."""
    masks = {"wofs": _WOFS, "all": ()}
    needed = list(masks[told.water_mask] if told.water_mask in masks else water_index(told.water_mask).bands)
    needed += {"swir": ["swir22"], "glint": ["swir16"], "none": []}[told.correction]
    found = [role if role in sensor.bands else _INSTEAD.get(role, role) for role in needed]
    if missing := [role for role in found if role not in sensor.bands]:
        raise InputError(
            "mask or correction need bands that the sensor has not",
            where=sensor.name,
            expected=", ".join(missing),
            todo='water_mask="all" or correction="none"',
        )
    for name in told.products:
        retrieval = get_retrieval(name)
        found += [*retrieval.roles(sensor), *retrieval.optional(sensor)]
    assemble(told.products, sensor, found, quantity=_made_of(told))
    return list(dict.fromkeys(found))


def _made_of(told: WaterParameters) -> str:
    """Tell what the products are made of: what a correction leaves is water-leaving reflectance."""
    return "rhow" if told.correction != "none" else str(told.quantity)


@lru_cache(maxsize=64)
def _assembly(
    products: tuple[str, ...], sensor: str, roles: tuple[str, ...], quantity: str, parts: tuple[str, ...],
    noise: tuple[tuple[str, float], ...],
) -> Assembly:  # fmt: skip
    return assemble(products, load_water_sensor(sensor), roles, quantity=quantity, parts=parts, noise=dict(noise))


def _parts(told: WaterParameters) -> tuple[str, ...]:
    return PARTS if told.uncertainty else ()


def _per_product(told: WaterParameters) -> int:
    """Count the values of each product: its own, its flags, and the parts of its uncertainty."""
    return 2 + len(_parts(told))


def _stage(cube: NDArray[np.float32], context: Context) -> NDArray[np.float32]:
    """Turn observations (time, band, y, x) into how often water was seen, and the products of the period."""
    told = _told(context.parameters)
    shape = cube.shape[2:]
    dates = [_date(values, told, _sensor_of_step(context, step)) for step, values in enumerate(cube)]
    water = np.stack([found.water for found in dates])
    clear = (water != NODATA).sum(axis=0)
    out = np.empty((_FIRST + len(told.products) * _per_product(told), water[0].size), np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        out[0] = (water == WET).sum(axis=0) / np.float32(1) / clear
    out[1] = clear
    values = np.stack([found.values for found in dates])
    flags = np.stack([found.flags for found in dates])
    for number in range(len(told.products)):
        first = _FIRST + number * _per_product(told)
        rows = _rows(number, told)
        _over_dates(values[:, rows], flags[:, number], out[first : first + _per_product(told)])
    return out.reshape(-1, *shape)


def _rows(number: int, told: WaterParameters) -> slice:
    """Say where a program puts the values of a product: each is followed by the parts of its uncertainty."""
    width = _per_product(told) - 1
    return slice(number * width, (number + 1) * width)


class _Date:
    """What one date gave, of pixels in one row."""

    __slots__ = ("flags", "values", "water")

    def __init__(self, water: NDArray[np.uint8], values: NDArray[np.float32], flags: NDArray[np.uint8]) -> None:
        self.water, self.values, self.flags = water, values, flags


def _sensor_of_step(context: Context, step: int) -> WaterSensor:
    told = _told(context.parameters)
    return _sensor(Origin() if context.origins is None else context.origins[step], told)


def _date(values: NDArray[np.float32], told: WaterParameters, sensor: WaterSensor) -> _Date:
    """Judge and measure one date (band, y, x)."""
    bands = {role: (("y", "x"), values[number]) for number, role in enumerate(told.bands) if role in sensor.bands}
    cube = xr.Dataset(bands, attrs={"quantity": told.quantity, "sensor": sensor.name})
    water = _water(cube, told).reshape(-1)
    if told.correction in ("swir", "glint"):
        cube = correct(cube, told.correction)
    roles = tuple(str(name) for name in cube.data_vars if name in sensor.bands)
    noise = tuple((role, float(cube[role].attrs["noise"])) for role in roles if "noise" in cube[role].attrs)
    found = _assembly(told.products, sensor.name, roles, _made_of(told), _parts(told), noise)
    wet = water == WET
    seen = np.stack([np.where(wet, cube[role].values.reshape(-1), np.float32(np.nan)) for role in found.program.bands])
    products, flags = found.program.run(seen.astype("float32"))
    flags[:, water == DRY] = NOT_WATER
    return _Date(water, products, flags)


def _water(cube: xr.Dataset, told: WaterParameters) -> NDArray[np.uint8]:
    if told.water_mask == "all":
        seen = np.any([np.isfinite(band.values) for band in cube.data_vars.values()], axis=0)
        return np.where(seen, WET, NODATA).astype("uint8")
    if told.water_mask == "wofs":
        return np.asarray(mask(cube, "wofs")["water"].values)
    return np.asarray(mask(cube, "indices", **index_options(told))["water"].values)


def index_options(told: WaterParameters) -> dict[str, Any]:
    """Give index and threshold; a run takes the published one, because one block does not see the whole scene."""
    return {"index": told.water_mask, "threshold": "published" if told.threshold is None else told.threshold}


def _over_dates(values: NDArray[np.float32], flags: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
    """Reduce a product (date, value and parts, pixel) and its flags (date, pixel) over the dates, into rows."""
    seen = np.isfinite(values[:, 0])
    count = seen.sum(axis=0).astype("float32")
    if len(values) == 1:
        out[0] = values[0, 0]
    else:
        days = np.arange(len(values), dtype="float64")
        statistics(np.ascontiguousarray(values), 0, days, np.array([QUANTILE]), np.array([0.5]), out[:1])
    used = np.bitwise_or.reduce(np.where(seen, flags & _RANGE_BITS, 0), axis=0)
    reasons = np.bitwise_or.reduce(flags & ~np.uint8(_RANGE_BITS), axis=0)
    # A date that was not seen says nothing where another one was.
    others = reasons & ~np.uint8(MISSING)
    reasons = np.where(others > 0, others, reasons)
    out[1] = np.where(count > 0, used, reasons)
    if values.shape[1] == 1:
        return
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt(np.where(seen, values[:, 1] ** 2, 0).sum(axis=0, dtype="float64") / count)
        # The middle of two is their mean; that of many is as firm as the mean of 2/pi times as many.
        firm = np.where(count > 2, np.sqrt(math.pi / 2 / count), np.sqrt(1 / count))
        out[2] = spread * firm
        out[3] = np.where(seen, values[:, 2], 0).sum(axis=0, dtype="float64") / count


def _finish(values: NDArray[np.float32], context: Context) -> NDArray[np.float32]:
    """Turn what the dates gave (value, y, x) into layers: water or not, and how near land is."""
    told = _told(context.parameters)
    frequency, clear = values[:2]
    wet = frequency >= told.min_wet
    seen = np.isfinite(frequency)
    near = wet & _grown(seen & ~wet, told.shore)
    out = np.empty((len(_layers(told)), *frequency.shape), np.float32)
    out[0] = np.where(seen, wet, np.float32(np.nan))
    out[1], out[2] = frequency, clear
    out[3] = np.where(wet, near, np.float32(np.nan))
    per = _per_product(told)
    rest = out[4:].reshape(len(told.products), per, *frequency.shape)
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
    told = _told(parameters)
    first = (
        Layer("water", "Water", "uint8", "1", float(NODATA), resampling="nearest"),
        Layer("frequency", "share of clear dates on which it was wet", "float32", "1", math.nan),
        Layer("validity", "clear dates", "uint16", "1", None, resampling="nearest", role="validity"),
        Layer("near_land", "water near land: light of land may be mixed in", "uint8", "1", 255.0, resampling="nearest"),
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
        stage=Map("masks, correction and products of each date", _stage, copies=4.0),
        finish=Finish(
            "water and shore",
            _finish,
            values=lambda parameters: _FIRST + len(_told(parameters).products) * _per_product(_told(parameters)),
            halo=lambda parameters: _told(parameters).shore,
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
