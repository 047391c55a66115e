"""Read the sensor files, and settle the one question they leave to each item: which offset its numbers carry."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml

from terracube.core.errors import MetadataError, NotFoundError

# Two numbers: of "4" alone it could not be told whether it comes before "04.00".
_BASELINE = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}")


@dataclass(frozen=True)
class Band:
    """One measured band of a sensor."""

    name: str
    """Role name, the same for every sensor: ``red``, ``nir``, ``swir16``."""
    title: str
    """What a person reads."""
    keys: tuple[str, ...]
    """Asset keys under which providers deliver it."""
    file: str
    """The agency's own name, used in file names: ``B04``."""
    common_name: str | None = None
    """Common name of the STAC eo extension, where there is one."""
    center_wavelength: float | None = None
    """Micrometres."""
    full_width_half_max: float | None = None
    """Micrometres."""


@dataclass(frozen=True)
class Mask:
    """The classified layer that says which pixels are clear."""

    asset: str
    """Role name of the layer."""
    nodata: int
    """The class that means nothing was seen."""
    classes: Mapping[int, str]
    """Meaning of every class."""
    masked: tuple[int, ...]
    """Classes left out unless the user says otherwise."""


@dataclass(frozen=True)
class Radiometry:
    """How numbers become physical values: ``value = number * scale + offset``."""

    scale: float
    offset: float
    reason: str
    """Which rule decided, for the record."""


@dataclass(frozen=True)
class Sensor:
    """A sensor at a processing level."""

    name: str
    title: str
    platforms: tuple[str, ...]
    instruments: tuple[str, ...]
    collections: tuple[str, ...]
    """Collection ids under which providers deliver it."""
    licence: str
    licence_url: str
    attribution: str
    bands: Mapping[str, Band]
    """Measured bands by role name, in order of wavelength."""
    extras: Mapping[str, Band]
    """Other layers by role name."""
    reflectance: Mapping[str, Any]
    """Scale, nodata and the offset rule of the measured bands."""
    mask: Mask
    largest_side: int
    """Pixels along each side of the finest band."""

    def layer(self, name: str) -> Band:
        """Give a band or layer by role name, asset key or the agency's name.

        Raises
        ------
        NotFoundError
            If the sensor has no such band; the message lists those it has.
        """
        for band in (*self.bands.values(), *self.extras.values()):
            if name in (band.name, *band.keys):
                return band
        raise NotFoundError(
            f"unknown band {name!r}",
            where=self.name,
            expected=", ".join([*self.bands, *self.extras]),
            got=repr(name),
            todo="use one of these names",
        )


def sensor_names() -> tuple[str, ...]:
    """List the sensors that are described here."""
    files = resources.files(__package__).iterdir()
    return tuple(sorted(f.name.removesuffix(".yaml") for f in files if f.name.endswith(".yaml")))


@cache
def load_sensor(name: str) -> Sensor:
    """Read the description of a sensor.

    Raises
    ------
    NotFoundError
        If there is none of that name.

    Examples
    --------
    >>> load_sensor("sentinel-2-l2a").bands["red"].center_wavelength
    0.665
    """
    if name not in sensor_names():
        raise NotFoundError("unknown sensor", expected=", ".join(sensor_names()), got=repr(name))
    raw = yaml.safe_load(resources.files(__package__).joinpath(f"{name}.yaml").read_text(encoding="utf-8"))
    return Sensor(
        name=raw["name"],
        title=raw["title"],
        platforms=tuple(raw["platforms"]),
        instruments=tuple(raw["instruments"]),
        collections=tuple(raw["collections"]),
        licence=raw["licence"],
        licence_url=raw["licence_url"],
        attribution=raw["attribution"],
        bands={key: _band(key, value, common=key) for key, value in raw["bands"].items()},
        extras={key: _band(key, value, common=None) for key, value in raw["extras"].items()},
        reflectance=raw["reflectance"],
        largest_side=raw["largest_side"],
        mask=Mask(
            asset=raw["mask"]["asset"],
            nodata=raw["mask"]["nodata"],
            classes=raw["mask"]["classes"],
            masked=tuple(raw["mask"]["masked"]),
        ),
    )


def _band(name: str, raw: Mapping[str, Any], *, common: str | None) -> Band:
    return Band(
        name=name,
        title=raw["title"],
        keys=tuple(raw["keys"]),
        file=raw["file"],
        common_name=raw.get("common", common),
        center_wavelength=raw.get("center_wavelength"),
        full_width_half_max=raw.get("full_width_half_max"),
    )


def sensor_of(collection: str | None) -> Sensor:
    """Give the sensor that delivers a collection.

    Raises
    ------
    NotFoundError
        If no sensor file names that collection.
    """
    for name in sensor_names():
        if collection in load_sensor(name).collections:
            return load_sensor(name)
    known = sorted(c for name in sensor_names() for c in load_sensor(name).collections)
    raise NotFoundError("no sensor is known for this collection", expected=", ".join(known), got=repr(collection))


def resolve_radiometry(
    sensor: Sensor, properties: Mapping[str, Any], *, scale: float | None, offset: float | None, where: str
) -> Radiometry:
    """Decide scale and offset of a reflectance band of one item; the only place that decides.

    In this order: a provider that says it has already applied the offset is believed (then the offset is 0, also
    where the same item still declares one: applied twice it makes reflectance negative); then the offset that the
    asset declares; then the rule of the processing baseline. Contradictions are raised, never settled by a guess.

    Parameters
    ----------
    sensor : Sensor
        Whose rule applies.
    properties : mapping
        Properties of the STAC item.
    scale, offset : float or None
        What the asset declares, ``None`` where it is silent.
    where : str
        Item and asset, for messages.

    Raises
    ------
    MetadataError
        If the offset cannot be known, scale or offset are no usable numbers, or the item contradicts itself.

    Examples
    --------
    >>> s2 = load_sensor("sentinel-2-l2a")
    >>> resolve_radiometry(s2, {"s2:processing_baseline": "05.09"}, scale=None, offset=None, where="S2A/red").offset
    -0.1
    >>> applied = {"earthsearch:boa_offset_applied": True}
    >>> resolve_radiometry(s2, applied, scale=1e-4, offset=-0.1, where="S2A/red").offset
    0.0
    """
    rule = sensor.reflectance
    known_scale = float(rule["scale"] if scale is None else scale)
    _check_numbers(known_scale, offset, where)
    applied = _applied(properties, rule, where)
    if applied:
        return Radiometry(known_scale, 0.0, f"{rule['offset_applied_property']} is true")
    baseline = properties.get(rule["baseline_property"])
    by_rule = None if baseline is None else _offset_of_baseline(str(baseline), rule, where)
    if offset is None:
        if by_rule is None:
            raise MetadataError(
                "the offset of the digital numbers cannot be known",
                where=where,
                expected=f"{rule['baseline_property']}, {rule['offset_applied_property']} or raster:offset",
                got="none of them",
                todo="add the processing baseline to the item's properties",
            )
        return Radiometry(known_scale, by_rule, f"{rule['baseline_property']} is {baseline}")
    if by_rule is not None:
        # An offset of 0 where the baseline has one says, as the flag does, that the provider took it away already.
        allowed = (by_rule,) if applied is False else (by_rule, 0.0)
        if not any(abs(offset - value) < 1e-6 for value in allowed):
            raise MetadataError(
                "the declared offset contradicts the processing baseline",
                where=where,
                expected=f"{by_rule} for baseline {baseline}",
                got=str(offset),
                todo="correct raster:offset or the baseline in the item",
            )
    return Radiometry(known_scale, float(offset), "declared by the asset")


def _check_numbers(scale: float, offset: float | None, where: str) -> None:
    if not (math.isfinite(scale) and scale > 0 and math.isfinite(offset or 0.0)):
        raise MetadataError(
            "scale or offset are no usable numbers",
            where=where,
            expected="scale > 0, both finite",
            got=f"scale {scale}, offset {offset}",
        )


def _applied(properties: Mapping[str, Any], rule: Mapping[str, Any], where: str) -> bool | None:
    applied = properties.get(rule["offset_applied_property"])
    if applied is None or isinstance(applied, bool):
        return applied
    raise MetadataError(
        f"{rule['offset_applied_property']} is neither true nor false", where=where, got=repr(applied)[:80]
    )


def _offset_of_baseline(baseline: str, rule: Mapping[str, Any], where: str) -> float:
    if not _BASELINE.fullmatch(baseline):
        raise MetadataError(
            "the processing baseline is not a number", where=where, expected="like 05.09", got=repr(baseline)[:80]
        )
    number = tuple(int(part) for part in baseline.split("."))
    first = tuple(int(part) for part in rule["offset_from_baseline"].split("."))
    return float(rule["offset"]) if number >= first else 0.0
