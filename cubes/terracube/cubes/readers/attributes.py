"""The CRS of an array, as its attributes name it: CF, GeoZarr, or those of an EOPF product."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pyproj import CRS
from pyproj.exceptions import CRSError

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.crs import to_crs_text

_CRS_KEYS = ("proj:code", "proj:wkt2", "proj:projjson", "proj:epsg")

Attributes = Mapping[str, Any]


def contradiction(where: str, one: str, other: str) -> MetadataError:
    """Make the error of two statements about a place that cannot both hold."""
    return MetadataError(
        "the array says twice where it lies, and differently",
        where=where,
        expected=one,
        got=other,
        todo="ask the producer, or load by an item with proj:transform",
    )


def crs_of(attributes: Attributes, groups: Sequence[Attributes], mapping: Attributes | None, where: str) -> str:
    """Give the canonical text of the CRS that an array, its grid mapping, its group or its product name.

    Parameters
    ----------
    attributes
        Of the array.
    groups
        Of the groups that it lies in, its own first.
    mapping
        Of its grid mapping, if it has one.
    where : str

    Raises
    ------
    MetadataError
        If none is named, one is unreadable, or two contradict each other.
    """
    told = list(_named_crs(attributes, groups, mapping or {}))
    if not told:
        raise MetadataError(
            "the array does not say in which CRS it lies",
            where=where,
            expected="a grid mapping with crs_wkt, proj:code or proj:wkt2",
            got="none",
            todo="give it in the item as proj:code",
        )
    name, value = told[0]
    first = _known_crs(name, value, where)
    for other, text in told[1:]:
        if not _same_crs(first, _known_crs(other, text, where)):
            raise contradiction(where, f"{name}: {first.name}", f"{other}: {_known_crs(other, text, where).name}")
    return to_crs_text(first)


def _named_crs(attributes: Attributes, groups: Sequence[Attributes], mapping: Attributes) -> Iterator[tuple[str, Any]]:
    """Give all CRS that are named: by the array, its grid mapping and its group; else by the product."""
    found = False
    for place, names in (("array", attributes), ("group", groups[0] if groups else {})):
        for key in _CRS_KEYS:
            if names.get(key) is not None:
                found = True
                yield f"{key} of the {place}", names[key]
    for key in ("crs_wkt", "spatial_ref", "epsg_code"):
        if mapping.get(key):
            found = True
            yield f"{key} of the grid mapping", mapping[key]
            break
    else:
        if "grid_mapping_name" in mapping:
            found = True
            yield "the grid mapping", dict(mapping)
    if not found and groups:
        yield from _product_crs(groups[-1])


def _product_crs(root: Attributes) -> Iterator[tuple[str, Any]]:
    """Give the CRS of an EOPF product, which its outermost group names for all."""
    item = root.get("stac_discovery")
    properties = item.get("properties") if isinstance(item, dict) else None
    for key in _CRS_KEYS:
        if isinstance(properties, dict) and properties.get(key) is not None:
            yield f"stac_discovery {key}", properties[key]
            return
    other = root.get("other_metadata")
    for key in ("horizontal_CRS_code", "horizontal_crs_code"):
        if isinstance(other, dict) and other.get(key):
            yield f"other_metadata {key}", other[key]
            return


def _known_crs(name: str, value: Any, where: str) -> CRS:
    try:
        if isinstance(value, dict) and "grid_mapping_name" in value:
            return CRS.from_cf(value)
        crs = CRS.from_user_input(int(value) if isinstance(value, np.integer) else value)
        to_crs_text(crs)
    except (CRSError, InputError, KeyError, TypeError, ValueError):
        raise MetadataError("the CRS is unreadable", where=where, expected=name, got=str(value)[:80]) from None
    return crs


def _same_crs(one: CRS, other: CRS) -> bool:
    if one.equals(other, ignore_axis_order=True):
        return True
    code = one.to_epsg(min_confidence=25)
    return code is not None and code == other.to_epsg(min_confidence=25)
