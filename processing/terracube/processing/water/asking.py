"""What the chain ``water`` can be told, and what the scenes decide: sensors, quantity, mask, correction and bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from terracube.core.errors import EmptyResultError, InputError, MetadataError
from terracube.core.logging import get_logger
from terracube.processing.chain import ChainParameters
from terracube.processing.origins import Origin
from terracube.processing.water.assembly import assemble, costs
from terracube.processing.water.masks.indices import water_index, water_indices
from terracube.processing.water.retrievals import get_retrieval
from terracube.processing.water.sensors import WaterSensor, load_water_sensor, sensor_of_item_properties

_log = get_logger(__name__)

_WOFS = ("blue", "green", "red", "nir", "swir16", "swir22")
# What a sensor without one of these bands has instead, as the masks know it.
_INSTEAD = {"nir": "nir08"}
_USUAL = ("spm_blend", "turbidity_dogliotti2015", "chl_blend", "secchi_lee2015", "hue_angle")


class WaterParameters(ChainParameters):
    """What the chain can be told; bands, sensors and quantity are those of the scenes."""

    bands: tuple[str, ...] = Field(default=(), max_length=32, description="role names; left out: all that is of use")
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


def told_of(parameters: ChainParameters) -> WaterParameters:
    """Take parameters for those of this chain.

    Raises
    ------
    InputError
        If they are others.
    """
    if not isinstance(parameters, WaterParameters):
        raise InputError("the water chain needs its own parameters", got=type(parameters).__name__)
    return parameters


def sensor_of_origin(origin: Origin, told: WaterParameters) -> WaterSensor:
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
    told = told_of(parameters)
    _check_threshold(told)
    if not origins:
        raise EmptyResultError("there is no scene to look for water in", todo="another period or region")
    quantity = _quantity(told, origins)
    for name in told.sensors:
        load_water_sensor(name)
    sensors = {sensor.name: sensor for sensor in (sensor_of_origin(origin, told) for origin in origins)}
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
        settled = settled.model_copy(update={"products": _usual(tuple(sensors.values()), made_of(settled))})
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
    assemble(told.products, sensor, list(sensor.bands), quantity=made_of(told))
    for name in told.products:
        retrieval = get_retrieval(name)
        # Who names the bands says which there are; what a formula may do without is not asked for beyond them.
        optional = [role for role in retrieval.optional(sensor) if not told.bands or role in told.bands]
        found += [*retrieval.roles(sensor), *optional]
    return list(dict.fromkeys(found))


def made_of(told: WaterParameters) -> str:
    """Tell what the products are made of: what a correction leaves is water-leaving reflectance."""
    return "rhow" if told.correction != "none" else str(told.quantity)


def index_options(told: WaterParameters) -> dict[str, Any]:
    """Give index and threshold; a run takes the published one, because one block does not see the whole scene."""
    return {"index": told.water_mask, "threshold": "published" if told.threshold is None else told.threshold}
