"""What an asset says of its bands and its grid, in the spellings of STAC 1.0 and 1.1."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from affine import Affine

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.crs import to_crs_text
from terracube.cubes.grid import Grid

NUMBERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")
_FIELDS = tuple((key, f"raster:{key}") for key in ("scale", "offset", "nodata", "data_type"))
_CRS_FIELDS = ("proj:code", "proj:epsg", "proj:wkt2", "proj:projjson")
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,30}:[A-Za-z0-9._-]{1,60}")
_MAX_TEXT = 1 << 16
_MAX_SIDE = 1 << 30
_FAR = 1e300

Json = Mapping[str, Any]


def band_fields(asset: Json, index: int = 0, *, where: str = "") -> dict[str, Any]:
    """Collect what an asset says of one band, STAC 1.0 (``raster:bands``) and 1.1 (``bands``) alike.

    Returns
    -------
    dict
        ``scale``, ``offset``, ``nodata``, ``data_type``, each only where it is said.

    Raises
    ------
    MetadataError
        If scale, offset or nodata is no number.

    Examples
    --------
    >>> band_fields({"raster:bands": [{"scale": 0.0001, "nodata": 0}]})
    {'scale': 0.0001, 'nodata': 0}
    """
    told: dict[str, Any] = {}
    for layer in (asset, *_at(asset.get("bands"), index), *_at(asset.get("raster:bands"), index)):
        for key, spelt in _FIELDS:
            value = layer[spelt] if spelt in layer else layer.get(key)
            if value is not None:
                told[key] = value if key == "data_type" else _number(key, value, where)
    return told


def _number(key: str, value: Any, where: str) -> float:
    if key == "nodata" and (isinstance(value, float) or value in ("nan", "inf", "-inf")):
        return float(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _FAR:
        return value
    raise MetadataError(f"{key} of a band is no number", where=where, expected="a number", got=repr(value)[:80])


def _at(bands: Any, index: int) -> list[Json]:
    return (
        [bands[index]] if isinstance(bands, list) and len(bands) > index and isinstance(bands[index], Mapping) else []
    )


def bands_told(asset: Json, properties: Json) -> list[Json]:
    """List the bands that an asset names: ``bands``, ``eo:bands``, or numbers that point into the item's own list."""
    told = asset.get("bands", asset.get("eo:bands"))
    shared = properties.get("eo:bands")
    found: list[Json] = []
    for one in told if isinstance(told, list) else ():
        if isinstance(one, int) and isinstance(shared, list) and 0 <= one < len(shared):
            one = shared[one]
        found.append(one if isinstance(one, Mapping) else {})
    return found


@dataclass(frozen=True, slots=True)
class Claim:
    """Where an item says the pixels of an asset lie."""

    grid: Grid | None
    """``None`` where it does not say all that is needed."""
    lacking: tuple[str, ...] = ()
    """Fields that would be needed."""


def claimed_grid(asset: Json, properties: Json, *, where: str) -> Claim:
    """Read the grid that an item claims for an asset, from the fields of the projection extension.

    What is said of the asset wins over what is said of the item. ``proj:bbox`` stands in for a ``proj:transform`` that
    is not said: together with ``proj:shape`` it says the same.

    Raises
    ------
    MetadataError
        If a field is malformed, or two contradict each other.
    """
    crs = _crs(asset, where) or _crs(properties, where)
    shape = _shape(_first(asset, properties, "proj:shape"), where)
    numbers = _transform(_first(asset, properties, "proj:transform"), where)
    if numbers is None and shape is not None:
        numbers = _from_box(_first(asset, properties, "proj:bbox"), shape, where)
    told = {"proj:code": crs, "proj:shape": shape, "proj:transform": numbers}
    lacking = tuple(name for name, value in told.items() if not value)
    if crs is None or shape is None or numbers is None:
        return Claim(None, lacking)
    try:
        return Claim(_grid(crs, numbers, shape))
    except (InputError, MetadataError) as error:
        raise MetadataError(
            error.what, where=f"{where}, proj:transform", expected=error.expected, got=error.got, todo=error.todo
        ) from error


# Items of one tile share their grid: one object for all of them is made once, compared fast and pickled once.
@lru_cache(maxsize=4096)
def _grid(crs: str, numbers: tuple[float, ...], shape: tuple[int, int]) -> Grid:
    return Grid.from_affine(crs, Affine(*numbers), shape)


def _first(asset: Json, properties: Json, name: str) -> Any:
    told = asset.get(name)
    return properties.get(name) if told is None else told


def _crs(layer: Json, where: str) -> str | None:
    """Give the CRS that one layer of an item tells; where it tells two, they have to be the same."""
    told = {name: layer[name] for name in _CRS_FIELDS if name in layer and layer[name] is not None}
    if not told:
        return None
    found = {name: _crs_text(name, _plain(name, value, where), where) for name, value in told.items()}
    codes = {found[name] for name in ("proj:code", "proj:epsg") if name in found}
    if len(codes) > 1:
        raise MetadataError(
            "the item tells two CRS", where=where, expected="one", got=str(told)[:200], todo='say headers="always"'
        )
    return next(iter(found.values()))


def _plain(name: str, value: Any, where: str) -> str | int:
    """Give a CRS as a text or a number of bounded length."""
    if name == "proj:epsg" and isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 31:
        return value
    if name == "proj:code" and isinstance(value, str) and _CODE.fullmatch(value):
        return value
    if name == "proj:wkt2" and isinstance(value, str) and "[" in value[:64] and len(value) < _MAX_TEXT:
        return value
    if name == "proj:projjson" and isinstance(value, Mapping):
        try:
            text = json.dumps(value, sort_keys=True)
        except (TypeError, ValueError, RecursionError):
            text = ""
        if 0 < len(text) < _MAX_TEXT:
            return text
    raise MetadataError("the CRS of the item is unreadable", where=f"{where}, {name}", got=repr(value)[:120])


def _crs_text(name: str, value: str | int, where: str) -> str:
    try:
        return _canonical(value)
    except (InputError, ValueError, OverflowError) as error:
        raise MetadataError(
            "the CRS of the item is unknown",
            where=f"{where}, {name}",
            expected="like EPSG:32633",
            got=repr(value)[:120],
        ) from error


@lru_cache(maxsize=1024)
def _canonical(value: str | int) -> str:
    return to_crs_text(value)


def _shape(value: Any, where: str) -> tuple[int, int] | None:
    if value is None:
        return None
    numbers = _numbers(value, (2,), f"{where}, proj:shape")
    if any(number != int(number) or not 0 < number < _MAX_SIDE for number in numbers):
        raise MetadataError(
            "the shape is none", where=f"{where}, proj:shape", expected="rows and columns", got=repr(value)[:80]
        )
    return int(numbers[0]), int(numbers[1])


def _transform(value: Any, where: str) -> tuple[float, ...] | None:
    if value is None:
        return None
    numbers = _numbers(value, (6, 9), f"{where}, proj:transform")
    if len(numbers) == 9 and numbers[6:] != (0.0, 0.0, 1.0):
        raise MetadataError("the transform is none", where=f"{where}, proj:transform", got=repr(value)[:200])
    return numbers[:6]


def _from_box(value: Any, shape: tuple[int, int], where: str) -> tuple[float, ...] | None:
    if value is None:
        return None
    left, bottom, right, top = _numbers(value, (4,), f"{where}, proj:bbox")
    return (right - left) / shape[1], 0.0, left, 0.0, (bottom - top) / shape[0], top


def _numbers(value: Any, lengths: Sequence[int], where: str) -> tuple[float, ...]:
    listed = isinstance(value, list | tuple) and len(value) in lengths
    # Neither NaN nor infinity is below anything; a whole number may be too long for a float.
    if listed and all(type(one) in (int, float) and abs(one) < _FAR for one in value):
        return tuple(map(float, value))
    expected = " or ".join(map(str, lengths)) + " finite numbers"
    raise MetadataError("a field of the grid is unusable", where=where, expected=expected, got=repr(value)[:200])
