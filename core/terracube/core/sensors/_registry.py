"""Read the sensor files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import yaml

from terracube.core.errors import NotFoundError
from terracube.core.sensors._types import Band, Mask, MaskRule, Sensor

Raw = Mapping[str, Any]


@cache
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
    >>> load_sensor("landsat-c2-l2").layer("nir").name
    'nir08'
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
        bands={key: _band(key, value, common=key, kind="measured") for key, value in raw["bands"].items()},
        extras={key: _band(key, value, common=None, kind="other") for key, value in raw["extras"].items()},
        reflectance=raw["reflectance"],
        largest_side=raw["largest_side"],
        files={platform: one["files"] for one in raw.get("aboard", ()) for platform in one["platforms"]},
        mask=_mask(raw["mask"]),
    )


def _band(name: str, raw: Raw, *, common: str | None, kind: str) -> Band:
    return Band(
        name=name,
        title=raw["title"],
        keys=tuple(raw["keys"]),
        file=raw["file"],
        common_name=raw.get("common", common),
        center_wavelength=raw.get("center_wavelength"),
        full_width_half_max=raw.get("full_width_half_max"),
        kind=raw.get("kind", kind),
        dtype=raw.get("dtype"),
        scale=raw.get("scale"),
        offset=raw.get("offset"),
        nodata=raw.get("nodata"),
        unit=raw.get("unit", "1" if kind == "measured" else None),
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
    found = known.get(collection or "")
    if found is not None:
        return found
    raise NotFoundError(
        "no sensor is known for this collection", expected=", ".join(sorted(known)), got=repr(collection)[:200]
    )


@cache
def _collections() -> dict[str, Sensor]:
    return {collection: load_sensor(name) for name in sensor_names() for collection in load_sensor(name).collections}
