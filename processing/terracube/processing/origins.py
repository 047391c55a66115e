"""What saw the observations of a cube: platform, instruments, and what the numbers are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import xarray as xr

from terracube.core.errors import InputError, NotFoundError
from terracube.core.sensors import sensor_of
from terracube.cubes import CubePlan


@dataclass(frozen=True, slots=True)
class Origin:
    """What saw an observation."""

    platform: str | None = None
    instruments: tuple[str, ...] = ()
    quantity: str | None = None
    """What the bands hold: ``rhos``, ``rhow`` or ``rrs``."""


def origin_of(collection: str, properties: Mapping[str, Any]) -> Origin:
    """Tell what saw a scene, as its item and the description of its sensor say."""
    try:
        declared = sensor_of(collection).reflectance.get("quantity")
    except NotFoundError:  # a collection without a description here
        declared = None
    platform, quantity = properties.get("platform"), properties.get("terracube:quantity", declared)
    instruments = properties.get("instruments")
    aboard = tuple(sorted(map(str, instruments))) if isinstance(instruments, list | tuple) else ()
    return Origin(str(platform) if platform else None, aboard, str(quantity) if quantity else None)


def plan_origins(plan: CubePlan) -> tuple[Origin, ...]:
    """Tell what saw each step of time, which must be one thing."""
    found = []
    for day, group in zip(plan.dates, plan.groups, strict=True):
        seen = {origin_of(scene.collection, scene.properties) for scene in group}
        if len(seen) > 1:
            raise InputError(
                "one date was seen by several sensors",
                where=str(day),
                got="; ".join(sorted(map(repr, seen))),
                todo='groupby="scene", or filter by platform',
            )
        found.append(seen.pop())
    return tuple(found)


def cube_origins(cube: xr.Dataset | xr.DataArray) -> tuple[Origin, ...]:
    """Tell what saw each step of time of a cube, as its attributes say; nothing is told of cubes from elsewhere."""
    steps = cube.sizes.get("time", 1)
    quantity = cube.attrs.get("quantity")
    try:
        told = json.loads(cube.attrs["terracube:cube"])
        known = list(zip(told["times"], map(tuple, told["platforms"]), strict=True))
        instruments = tuple(told.get("instruments", ()))
    except (KeyError, TypeError, ValueError):
        return (Origin(None, (), quantity),) * steps
    aboard = _aboard(cube, known, steps)
    return tuple(Origin(one[0] if len(one) == 1 else None, instruments, quantity) for one in aboard)


def _aboard(
    cube: xr.Dataset | xr.DataArray, known: list[tuple[str, tuple[str, ...]]], steps: int
) -> list[tuple[str, ...]]:
    """Give the platforms of each step by its time: dates may have been taken out or put in another order since."""
    every = {one for _, one in known}
    if "time" not in cube.coords:
        return [next(iter(every)) if len(every) == 1 else ()] * steps
    now = [str(time) for time in cube["time"].values.astype("datetime64[ns]").reshape(-1)]
    if now == [time for time, _ in known]:
        return [one for _, one in known]
    seen: dict[str, set[tuple[str, ...]]] = {}
    for time, one in known:
        seen.setdefault(time, set()).add(one)
    found = [seen.get(time, every) for time in now]
    return [next(iter(one)) if len(one) == 1 else () for one in found]
