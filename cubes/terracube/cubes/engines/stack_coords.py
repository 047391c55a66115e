"""Coordinates of a stack: what items and assets say of themselves, in types that any store can hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from terracube.core.errors import InputError
from terracube.cubes.grid import Grid
from terracube.cubes.items.view import ItemView, acquired

Coords = dict[str, Any]
_TAKEN = ("time", "band", "x", "y", "id", "epsg", "spatial_ref", "datetime")
_UNTOLD = ("href", "type", "roles", "alternate", "eo:bands", "bands")
_EO = ("common_name", "center_wavelength", "full_width_half_max")


def item_coords(items: Sequence[ItemView], properties: bool | str | Sequence[str]) -> Coords:
    """Give time, id and properties of each step; a property that all items share is a single value."""
    moments = [np.datetime64(acquired(item)[0].replace(tzinfo=None), "ns") for item in items]
    coords: Coords = {"time": np.array(moments), "id": ("time", [item.id for item in items])}
    for name in _chosen(items, properties):
        if name not in _TAKEN:
            coords[name] = _coord("time", [item.properties.get(name) for item in items])
    return coords


def _chosen(items: Sequence[ItemView], properties: bool | str | Sequence[str]) -> list[str]:
    if isinstance(properties, str):
        return [properties]
    if isinstance(properties, bool):
        return list(dict.fromkeys(name for item in items for name in item.properties)) if properties else []
    return list(properties)


def band_coords(items: Sequence[ItemView], keys: Sequence[str]) -> Coords:
    """Give what all items that have an asset say of it alike, and the names and wavelengths of its band."""
    told = [_agreed([item.assets[key] for item in items if key in item.assets]) for key in keys]
    names = dict.fromkeys(name for one in told for name in one)
    return {name: _coord("band", [one.get(name) for one in told]) for name in names if name not in _TAKEN}


def _agreed(assets: Sequence[Mapping[str, Any]]) -> Coords:
    whole = [{**_eo(asset), **{k: v for k, v in asset.items() if k not in _UNTOLD}} for asset in assets]
    shared: Coords = {}
    for name in dict.fromkeys(name for asset in whole for name in asset):
        values = [asset[name] for asset in whole if name in asset]
        if all(value == values[0] for value in values):
            shared[name] = values[0]
    return shared


def _eo(asset: Mapping[str, Any]) -> Coords:
    """Give name and wavelength of the one band of an asset, STAC 1.0 and 1.1 alike."""
    bands = asset.get("bands") or asset.get("eo:bands")
    if not (isinstance(bands, list) and len(bands) == 1 and isinstance(bands[0], Mapping)):
        return {}
    band = bands[0]
    return {name: band.get(f"eo:{name}", band.get(name)) for name in _EO if band.get(f"eo:{name}", band.get(name))}


def _coord(dimension: str, values: list[Any]) -> Any:
    """Give a coordinate: a single value where all are alike, else an array of one type."""
    plain = [json.dumps(value) if isinstance(value, list | dict) else value for value in values]
    if all(value == plain[0] for value in plain) and plain[0] is not None:
        return plain[0]
    return dimension, _array(plain)


def _array(values: list[Any]) -> NDArray[Any]:
    """Give values of one type; missing numbers are NaN, missing text is empty."""
    there = [value for value in values if value is not None]
    if there and all(isinstance(value, bool) for value in there) and len(there) == len(values):
        return np.array(values, "bool")
    if there and all(isinstance(value, int | float) and not isinstance(value, bool) for value in there):
        whole = len(there) == len(values) and all(isinstance(value, int) and abs(value) < 1 << 62 for value in there)
        return np.array(values, "int64") if whole else np.array([np.nan if v is None else v for v in values], "float64")
    return np.array(["" if value is None else str(value) for value in values])


def pixel_coords(grid: Grid, place: str | bool) -> Coords:
    """Give ``x`` and ``y`` at the pixels' upper left corners or centres, and the code of the CRS."""
    if place not in ("topleft", "center", False):
        raise InputError(
            "unknown place of coordinates", where="xy_coords", expected="'topleft', 'center' or False", got=repr(place)
        )
    code = CRS.from_user_input(grid.crs).to_epsg()
    epsg: Coords = {} if code is None else {"epsg": code}
    if place is False:
        return epsg
    y, x = grid.centres()
    half = 0.5 if place == "topleft" else 0.0
    return {"y": y - half * grid.resolution.y, "x": x - half * grid.resolution.x, **epsg}
