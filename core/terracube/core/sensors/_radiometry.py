"""The one place that decides scale and offset of a band of an item."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from terracube.core.errors import MetadataError
from terracube.core.sensors._types import Band, Radiometry, Sensor

# Two numbers: of "4" alone it could not be told whether it comes before "04.00".
_BASELINE = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}")
# In fields that also hold versions of other software only the agency's own spelling is taken for a baseline.
_SPELT = re.compile(r"[0-9]{2}\.[0-9]{2}")
# Names of products tell the baseline: S2A_MSIL2A_20230815T100031_N0509_R122_T33TWM_... (PSD, issue 14.9, 3.3).
_NAMED = re.compile(r"_N([0-9]{2})([0-9]{2})_")
_SAME = 1e-6


def resolve_radiometry(
    sensor: Sensor | None,
    properties: Mapping[str, Any],
    *,
    scale: float | None,
    offset: float | None,
    where: str,
    band: Band | None = None,
) -> Radiometry:
    """Decide scale and offset of a band of one item; the only place that decides.

    Classes and bits are never scaled. For measured bands of a sensor whose offset depends on the processing, in this
    order: a provider that says it has already applied the offset is believed (then the offset is 0, also where the
    same item still declares one: applied twice it makes reflectance negative); then the offset that the asset
    declares; then the rule of the processing baseline, told by a property or by the product's name. For other sensors:
    what the asset declares, then the rule of the product. Where no sensor is known: what is declared, else the numbers
    as they are. Contradictions are raised, never settled by a guess.

    Parameters
    ----------
    sensor : Sensor or None
        Whose rule applies; ``None`` = unknown.
    properties : mapping
        Properties of the STAC item.
    scale, offset : float or None
        What the asset declares, ``None`` where it is silent.
    where : str
        Item and asset, for messages.
    band : Band or None
        Which band or layer; ``None`` = a measured band without rules of its own.

    Raises
    ------
    MetadataError
        If the offset cannot be known, scale or offset are no usable numbers, or the item contradicts itself.

    Examples
    --------
    >>> from terracube.core.sensors import load_sensor
    >>> s2 = load_sensor("sentinel-2-l2a")
    >>> resolve_radiometry(s2, {"s2:processing_baseline": "05.09"}, scale=None, offset=None, where="S2A/red").offset
    -0.1
    >>> applied = {"earthsearch:boa_offset_applied": True}
    >>> resolve_radiometry(s2, applied, scale=1e-4, offset=-0.1, where="S2A/red").offset
    0.0
    """
    if band is not None and band.categorical:
        return Radiometry(1.0, 0.0, "classes and flags are never scaled")
    if sensor is None or (band is not None and band.kind == "other"):
        own = (None, None) if band is None else (band.scale, band.offset)
        return _declared(scale, offset, own, where)
    if "baseline_property" in sensor.reflectance:
        return _by_baseline(sensor.reflectance, properties, scale, offset, where)
    return _by_product(sensor, band, scale, offset, where)


def _declared(
    scale: float | None, offset: float | None, own: tuple[float | None, float | None], where: str
) -> Radiometry:
    """Take what the asset says; where it is silent, what is known of the layer, else the numbers as they are."""
    _check_numbers(1.0 if scale is None else scale, offset, where)
    if scale is not None or offset is not None:
        return Radiometry(float(1.0 if scale is None else scale), float(offset or 0.0), "declared by the asset")
    if own[0] is not None:
        return Radiometry(own[0], own[1] or 0.0, "rule of the product")
    return Radiometry(1.0, 0.0, "nothing declared: numbers as they are")


def _by_product(sensor: Sensor, band: Band | None, scale: float | None, offset: float | None, where: str) -> Radiometry:
    """Take what the asset says if it says both; else the rule of the product, which one half must not contradict."""
    rule = sensor.reflectance
    own_scale = float(rule["scale"] if band is None or band.scale is None else band.scale)
    own_offset = float(rule["offset"] if band is None or band.offset is None else band.offset)
    _check_numbers(own_scale if scale is None else scale, offset, where)
    if scale is not None and offset is not None:
        return Radiometry(float(scale), float(offset), "declared by the asset")
    odd_scale = scale is not None and not math.isclose(scale, own_scale, rel_tol=_SAME)
    odd_offset = offset is not None and abs(offset - own_offset) > _SAME
    if odd_scale or odd_offset:
        raise MetadataError(
            "the asset declares one of scale and offset, and not that of the product",
            where=where,
            expected=f"scale {own_scale:g} and offset {own_offset:g}, or both declared",
            got=f"scale {scale}, offset {offset}",
            todo="declare both in the asset's bands",
        )
    return Radiometry(own_scale, own_offset, f"rule of {sensor.name}")


def _by_baseline(
    rule: Mapping[str, Any], properties: Mapping[str, Any], scale: float | None, offset: float | None, where: str
) -> Radiometry:
    known_scale = float(rule["scale"] if scale is None else scale)
    _check_numbers(known_scale, offset, where)
    applied, flag = _applied(properties, rule, where)
    if applied:
        return Radiometry(known_scale, 0.0, f"{flag} is true")
    by_rule, told = _told_by_baseline(properties, rule, where)
    if offset is None:
        if by_rule is None:
            raise MetadataError(
                "the offset of the digital numbers cannot be known",
                where=where,
                expected=f"{rule['baseline_property']}, {rule['offset_applied_property']} or raster:offset",
                got="none of them",
                todo="add the processing baseline to the item's properties",
            )
        return Radiometry(known_scale, by_rule, told)
    if by_rule is not None:
        # An offset of 0 where the baseline has one says, as the flag does, that the provider took it away already.
        allowed = (by_rule,) if applied is False else (by_rule, 0.0)
        if not any(abs(offset - value) < _SAME for value in allowed):
            raise MetadataError(
                "the declared offset contradicts the processing baseline",
                where=where,
                expected=f"{by_rule}, because {told}",
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


def _applied(properties: Mapping[str, Any], rule: Mapping[str, Any], where: str) -> tuple[bool | None, str]:
    """Give whether a provider says that it applied the offset, and in which property."""
    for name in (rule["offset_applied_property"], *rule.get("offset_applied_also", ())):
        told = properties.get(name)
        if isinstance(told, bool):
            return told, name
        if told is not None:
            raise MetadataError(f"{name} is neither true nor false", where=where, got=repr(told)[:80])
    return None, ""


def _told_by_baseline(properties: Mapping[str, Any], rule: Mapping[str, Any], where: str) -> tuple[float | None, str]:
    """Give the offset of the processing baseline and what tells it; statements that exclude each other are raised."""
    found = [
        (_offset_of_baseline(baseline, rule, where), f"{name} is {baseline}")
        for name, baseline in _baselines(properties, rule).items()
    ]
    if len({offset for offset, _ in found}) > 1:
        raise MetadataError(
            "the item tells two processing baselines",
            where=where,
            expected=f"both before {rule['offset_from_baseline']}, or both not",
            got="; ".join(told for _, told in found)[:300],
            todo="correct the one that is wrong",
        )
    return found[0] if found else (None, "")


def _baselines(properties: Mapping[str, Any], rule: Mapping[str, Any]) -> dict[str, str]:
    told: dict[str, str] = {}
    for name in (rule["baseline_property"], *rule.get("baseline_also", ())):
        if properties.get(name) is not None:
            told[name] = str(properties[name])
    for name in rule.get("version_properties", ()):
        if isinstance(value := properties.get(name), str) and _SPELT.fullmatch(value):
            told[name] = value
    for name in rule.get("product_properties", ()):
        if isinstance(value := properties.get(name), str) and (match := _NAMED.search(value[:200])):
            told[name] = f"{match[1]}.{match[2]}"
    return told


def _offset_of_baseline(baseline: str, rule: Mapping[str, Any], where: str) -> float:
    if not _BASELINE.fullmatch(baseline):
        raise MetadataError(
            "the processing baseline is not a number", where=where, expected="like 05.09", got=repr(baseline)[:80]
        )
    number = tuple(int(part) for part in baseline.split("."))
    first = tuple(int(part) for part in rule["offset_from_baseline"].split("."))
    return float(rule["offset"]) if number >= first else 0.0
