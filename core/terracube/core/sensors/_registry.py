"""Read the sensor files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from importlib.metadata import entry_points
from importlib.resources.abc import Traversable
from typing import Any

import yaml

from terracube.core.errors import NotFoundError
from terracube.core.sensors._types import Band, Mask, MaskRule, Sensor

Raw = Mapping[str, Any]
_OWN = __package__ or "terracube.core.sensors"
# The compiled loader reads the same, ten times as fast; not every build of the library has it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


PLUGINS = "terracube.sources"
"""Group of entry points whose values are packages with more descriptions: what an ingest source knows of its sensor."""


@cache
def described_in(package: str) -> dict[str, Traversable]:
    """List the YAML files of a package by name, without reading them."""
    files = sorted(resources.files(package).iterdir(), key=lambda file: file.name)
    return {file.name.removesuffix(".yaml"): file for file in files if file.name.endswith(".yaml")}


@cache
def plugin_packages() -> tuple[str, ...]:
    """List the packages that installed distributions offer as holders of descriptions."""
    return tuple(sorted({point.value for point in entry_points(group=PLUGINS)}))


@cache
def sensor_names() -> tuple[str, ...]:
    """List the sensors that are described here."""
    return tuple(described_in(_OWN))


@cache
def load_sensor(name: str) -> Sensor:
    """Read the description of a sensor: one of those here, or of an ingest source that describes its own.

    Raises
    ------
    NotFoundError
        If there is none of that name.

    Examples
    --------
    >>> load_sensor("sentinel-2-l2a").bands["red"].center_wavelength
    0.665
    >>> load_sensor("landsat-c2-l2").layer("nir").name
    'nir08'
    """
    if name in sensor_names():
        return sensor_from(read_yaml(described_in(_OWN)[name]))
    for sensor in _plugged():
        if sensor.name == name:
            return sensor
    known = [*sensor_names(), *(sensor.name for sensor in _plugged())]
    raise NotFoundError("unknown sensor", expected=", ".join(known), got=repr(name)[:200])


@cache
def _plugged() -> tuple[Sensor, ...]:
    """Give the sensors that sources describe; a source that describes no mask is none."""
    found = [read_yaml(file) for package in plugin_packages() for file in described_in(package).values()]
    return tuple(sensor_from(raw) for raw in found if "mask" in raw)


def read_yaml(file: Traversable) -> Raw:
    """Read a description that was installed with a package."""
    raw: Raw = yaml.load(file.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506  # one of the two safe loaders
    return raw


def sensor_from(raw: Raw) -> Sensor:
    """Make a sensor of its description."""
    return Sensor(
        name=raw["name"],
        title=raw["title"],
        platforms=tuple(raw["platforms"]),
        instruments=tuple(raw["instruments"]),
        collections=tuple(raw["collections"]),
        licence=raw["licence"],
        licence_url=raw["licence_url"],
        attribution=raw["attribution"],
        bands={key: band_from(key, value, measured=True) for key, value in raw["bands"].items()},
        extras={key: band_from(key, value, measured=False) for key, value in raw.get("extras", {}).items()},
        reflectance=raw["reflectance"],
        largest_side=raw["largest_side"],
        files={platform: one["files"] for one in raw.get("aboard", ()) for platform in one["platforms"]},
        mask=_mask(raw["mask"]),
    )


def band_from(name: str, raw: Raw, *, measured: bool) -> Band:
    """Make a band, or another layer, of its description; ``keys`` and ``file`` are its name unless they are told."""
    return Band(
        name=name,
        title=raw["title"],
        keys=tuple(raw.get("keys", (name,))),
        file=raw.get("file", name),
        common_name=raw.get("common", name if measured else None),
        center_wavelength=raw.get("center_wavelength"),
        full_width_half_max=raw.get("full_width_half_max"),
        kind=raw.get("kind", "measured" if measured else "other"),
        dtype=raw.get("dtype"),
        scale=raw.get("scale"),
        offset=raw.get("offset"),
        nodata=raw.get("nodata"),
        unit=raw.get("unit", "1" if measured else None),
    )


def _mask(raw: Raw) -> Mask:
    classes = raw.get("classes", {})
    masked = tuple(raw.get("masked", ()))
    rules = {name: _rule(told, raw) for name, told in raw["rules"].items()}
    return Mask(raw["asset"], raw["nodata"], classes, masked, raw.get("bits", {}), rules)


def _rule(told: Raw, raw: Raw) -> MaskRule:
    asset, known = told.get("asset", raw["asset"]), tuple(sorted(raw.get("classes", {})))
    if "threshold" in told:
        return MaskRule(asset, threshold=told["threshold"], dilate_m=told.get("dilate_m", 0.0))
    if "bits" in told:
        return MaskRule(asset, bits=_sum(told["bits"]), any_bits=_sum(told.get("any_bits", ())))
    masked = told["masked"] if "masked" in told else [value for value in known if value not in told["kept"]]
    return MaskRule(asset, masked=tuple(sorted(masked)), known=known, nodata=raw["nodata"])


def _sum(bits: list[int]) -> int:
    return sum(1 << bit for bit in bits)


def sensor_of(collection: str | None) -> Sensor:
    """Give the sensor that delivers a collection.

    Raises
    ------
    NotFoundError
        If no sensor file names that collection.
    """
    known = _collections()
    found = known.get(collection or "") or _plugged_collections().get(collection or "")
    if found is not None:
        return found
    raise NotFoundError(
        "no sensor is known for this collection",
        expected=", ".join(sorted({*known, *_plugged_collections()})),
        got=repr(collection)[:200],
    )


@cache
def _collections() -> dict[str, Sensor]:
    return {collection: load_sensor(name) for name in sensor_names() for collection in load_sensor(name).collections}


@cache
def _plugged_collections() -> dict[str, Sensor]:
    return {collection: sensor for sensor in _plugged() for collection in sensor.collections}
