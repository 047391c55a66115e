"""The chain ``water``: from scenes to where water was, and what was in it, over a period; read once, in one pass.

On each date a pixel that is clear is judged wet or dry; where it is wet, what is left of glint is taken off and all
products are made. The product of the period is the middle of its dates; a period of one date is that date's map. A
pixel that was never wet and clear has no value, and a bit says why.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from terracube.core.errors import EmptyResultError, InputError, MetadataError
from terracube.core.logging import get_logger
from terracube.cubes.storage import Layer, LayerClass
from terracube.processing.chain import Chain, ChainParameters, Context, Finish, Map, Origin
from terracube.processing.kernels.temporal import QUANTILE, statistics
from terracube.processing.registry import register
from terracube.processing.water.assembly import MISSING, NOT_WATER, PARTS, UNCLEAR, Assembly, assemble, costs
from terracube.processing.water.correction import correct
from terracube.processing.water.masks import mask
from terracube.processing.water.masks.flags import DRY, NODATA, WET, bitmask
from terracube.processing.water.masks.indices import water_index, water_indices
from terracube.processing.water.noise import band_noise
from terracube.processing.water.retrievals import get_retrieval
from terracube.processing.water.sensors import WaterSensor, load_water_sensor, sensor_of_item_properties

_log = get_logger(__name__)

_RANGE_BITS = 16 | 32
_WOFS = ("blue", "green", "red", "nir", "swir16", "swir22")
# What a sensor without one of these bands has instead, as the masks know it.
_INSTEAD = {"nir": "nir08"}
# Variance of the median of 0, 1, 2, ... normal values over that of their mean; pi / 2 for many.
_WASTE = np.array([1, 1, 1, 1.3463, 1.1932, 1.4341, 1.2884, 1.4743, 1.3446, 1.4966, 1.3833, np.pi / 2])
# Frequency of water, clear dates, flags of the mask; then for each product value, flags, and parts of the uncertainty.
_FIRST = 3
_NOTHING = bitmask(["nodata"])
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
    _check_threshold(told)
    if not origins:
        raise EmptyResultError("there is no scene to look for water in", todo="another period or region")
    quantity = _quantity(told, origins)
    for name in told.sensors:
        load_water_sensor(name)
    sensors = {sensor.name: sensor for sensor in (_sensor(origin, told) for origin in origins)}
    how = _mask_method(told, tuple(sensors.values()), quantity)
    wanted: Any = ("swir" if quantity == "rhos" else "none") if told.correction == "auto" else told.correction
    if quantity == "rrs" and (how != "all" or wanted != "none"):
        raise InputError(
            "masks and corrections take reflectance",
            where="quantity",
            expected="rhos or rhow",
            got="rrs",
            todo='water_mask="all", correction="none"',
        )
    settled = told.model_copy(
        update={"sensors": tuple(sorted(sensors)), "quantity": quantity, "water_mask": how, "correction": wanted,
                "products": tuple(dict.fromkeys(told.products))}
    )  # fmt: skip
    if not settled.products:
        settled = settled.model_copy(update={"products": _usual(tuple(sensors.values()), _made_of(settled))})
    roles: list[str] = []
    for sensor in sensors.values():
        roles += _roles(settled, sensor)
    bands = tuple(dict.fromkeys([*told.bands, *(role for role in roles if role not in told.bands)]))
    return settled.model_copy(update={"bands": bands})


def _quantity(told: WaterParameters, origins: Sequence[Origin]) -> str:
    """Settle what the scenes hold: as they say; who knows better may vouch that it is water-leaving reflectance."""
    said = {origin.quantity for origin in origins}
    if told.quantity is None and len(said) == 1 and None not in said:
        return str(said.pop())
    if told.quantity is None:
        raise MetadataError(
            "it is not said which reflectance the scenes hold",
            where="quantity",
            expected="one of rhos, rhow, rrs",
            got=", ".join(sorted(map(str, said))),
            todo='parameters={"quantity": "rhos"}',
        )
    others = said - {None, told.quantity, "rhos" if told.quantity == "rhow" else None}
    if others:
        raise MetadataError(
            "the scenes say that they hold another reflectance",
            where="quantity",
            expected=", ".join(sorted(map(str, others))),
            got=told.quantity,
        )
    return told.quantity


def _usual(sensors: Sequence[WaterSensor], quantity: str) -> tuple[str, ...]:
    """Choose the usual products that all sensors allow; where none is, all, so that each is refused with its reason."""
    lost = {name: reason for one in sensors for name, reason in costs(_USUAL, one, list(one.bands), quantity).items()}
    possible = tuple(name for name in _USUAL if name not in lost)
    for name, reason in lost.items() if possible else ():
        _log.warning("left out %s: %s", name, reason)
    return possible or _USUAL


def _mask_method(told: WaterParameters, sensors: Sequence[WaterSensor], quantity: str) -> str:
    """Settle how water is told from land: what was seen as water already needs no mask of ours."""
    if told.water_mask == "auto":
        possible = quantity == "rhos" and all(_has(sensor, _WOFS) for sensor in sensors)
        return "wofs" if possible else "all"
    if told.water_mask not in ("wofs", "all", *water_indices()):
        expected = ", ".join(("auto", "wofs", "all", *water_indices()))
        raise InputError("no such water mask", where="water_mask", expected=expected, got=repr(told.water_mask))
    return told.water_mask


def _check_threshold(told: WaterParameters) -> None:
    if told.threshold is not None and told.water_mask not in water_indices():
        raise InputError(
            "a threshold is of an index",
            where="threshold",
            expected=f"water_mask of {', '.join(water_indices())}",
            got=told.water_mask,
        )


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
    # Refuses what cannot be made, each with its reason, before a band is looked up.
    assemble(told.products, sensor, list(sensor.bands), quantity=_made_of(told))
    for name in told.products:
        retrieval = get_retrieval(name)
        found += [*retrieval.roles(sensor), *retrieval.optional(sensor)]
    return list(dict.fromkeys(found))


def _made_of(told: WaterParameters) -> str:
    """Tell what the products are made of: what a correction leaves is water-leaving reflectance."""
    return "rhow" if told.correction != "none" else str(told.quantity)


@lru_cache(maxsize=64)
def _assembly(
    products: tuple[str, ...], sensor: str, roles: tuple[str, ...], quantity: str, parts: tuple[str, ...],
    noise: tuple[tuple[tuple[str, float], ...], ...],
) -> Assembly:  # fmt: skip
    own, shared = map(dict, noise)
    known = load_water_sensor(sensor)
    return assemble(products, known, roles, quantity=quantity, parts=parts, noise=own, shared=shared)


def _parts(told: WaterParameters) -> tuple[str, ...]:
    return PARTS if told.uncertainty else ()


def _per_product(told: WaterParameters) -> int:
    """Count the values of each product: its own, its flags, and the parts of its uncertainty."""
    return 2 + len(_parts(told))


def _stage(cube: NDArray[np.float32], context: Context) -> NDArray[np.float32]:
    """Turn observations (time, band, y, x) into how often water was seen, and the products of the period."""
    told = _told(context.parameters)
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
        _over_dates(values[:, rows], flags[:, number], out[first : first + _per_product(told)])
        if classes := get_retrieval(told.products[number]).classes:
            out[first] = _most_often(values[:, rows.start], classes)
    return out.reshape(-1, *shape)


def _most_often(values: NDArray[np.float32], codes: Iterable[int]) -> NDArray[np.float32]:
    """Give the class of most dates (date, pixel), the first of the list where several are; classes have no middle."""
    listed = np.array(list(codes), np.float32)
    counts = np.stack([(values == code).sum(axis=0) for code in listed])
    return np.where(counts.any(axis=0), listed[counts.argmax(axis=0)], np.float32(np.nan))


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
    told = _told(context.parameters)
    return _sensor(Origin() if context.origins is None else context.origins[step], told)


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
    found = _assembly(told.products, sensor.name, roles, _made_of(told), _parts(told), noise)
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


def index_options(told: WaterParameters) -> dict[str, Any]:
    """Give index and threshold; a run takes the published one, because one block does not see the whole scene."""
    return {"index": told.water_mask, "threshold": "published" if told.threshold is None else told.threshold}


def _over_dates(values: NDArray[np.float32], flags: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
    """Reduce a product (date, value and parts, pixel) and its flags (date, pixel) over the dates, into rows."""
    seen = np.isfinite(values[:, 0])
    count = seen.sum(axis=0).astype("float32")
    days = np.arange(len(values), dtype="float64")
    if len(values) == 1:
        out[0] = values[0, 0]
    else:
        statistics(np.ascontiguousarray(values), 0, days, np.array([QUANTILE]), np.array([0.5]), out[:1])
    used = np.bitwise_or.reduce(np.where(seen, flags & _RANGE_BITS, 0), axis=0)
    reasons = np.bitwise_or.reduce(flags & ~np.uint8(_RANGE_BITS), axis=0)
    # A date that was not seen says nothing where another one was.
    others = reasons & ~np.uint8(MISSING)
    reasons = np.where(others > 0, others, reasons)
    out[1] = np.where(count > 0, used, reasons)
    if values.shape[1] == 1:
        return
    if len(values) == 1:
        out[2:] = values[0, 1:]
        return
    out[2] = _of_middle(values[:, 1], seen, count)
    # The error grows with the value: the middle one is that of the middle value.
    statistics(np.ascontiguousarray(values), 2, days, np.array([QUANTILE]), np.array([0.5]), out[3:4])


def _of_middle(noise: NDArray[np.float32], seen: NDArray[np.bool_], count: NDArray[np.float32]) -> NDArray[np.float64]:
    """Give the noise of the median of the dates (date, pixel) from that of each.

    Two have their mean as median. Of more, the median is as sure as the geometric mean of the noises says: against
    draws of unequal noises it is off by 10 % in the middle, and by 25 % in one case of ten.
    """
    number = np.minimum(count, len(_WASTE) - 1).astype(int)
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = np.exp(np.where(seen, np.log(noise), 0).sum(axis=0, dtype="float64") / count)
        square = np.where(seen, noise.astype("float64") ** 2, 0).sum(axis=0)
        found = np.where(count > 2, middle * np.sqrt(_WASTE[number] / count), np.sqrt(square) / count)
    return np.where(count > 0, found, np.nan)


def _finish(values: NDArray[np.float32], context: Context) -> NDArray[np.float32]:
    """Turn what the dates gave (value, y, x) into layers: water or not, and how near land is."""
    told = _told(context.parameters)
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
    told = _told(parameters)
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
    told = _told(parameters)
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
