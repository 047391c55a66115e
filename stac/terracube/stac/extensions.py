"""Which STAC extensions are written, in which version, and which of them an item uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pystac

EXTENSIONS: Mapping[str, str] = {
    "alternate": "https://stac-extensions.github.io/alternate-assets/v1.2.0/schema.json",
    "auth": "https://stac-extensions.github.io/authentication/v1.1.0/schema.json",
    "classification": "https://stac-extensions.github.io/classification/v1.1.0/schema.json",
    "cube": "https://stac-extensions.github.io/datacube/v2.3.0/schema.json",
    "eo": "https://stac-extensions.github.io/eo/v2.0.0/schema.json",
    "file": "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "grid": "https://stac-extensions.github.io/grid/v1.1.0/schema.json",
    "insar": "https://stac-extensions.github.io/insar/v1.0.0/schema.json",
    "mgrs": "https://stac-extensions.github.io/mgrs/v1.0.0/schema.json",
    "mlm": "https://stac-extensions.github.io/mlm/v1.5.0/schema.json",
    "processing": "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
    "proj": "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "raster": "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "sar": "https://stac-extensions.github.io/sar/v1.3.0/schema.json",
    "sat": "https://stac-extensions.github.io/sat/v1.2.0/schema.json",
    "sci": "https://stac-extensions.github.io/scientific/v1.0.0/schema.json",
    "table": "https://stac-extensions.github.io/table/v1.2.0/schema.json",
    "version": "https://stac-extensions.github.io/version/v1.2.0/schema.json",
    "view": "https://stac-extensions.github.io/view/v1.1.0/schema.json",
    "zarr": "https://stac-extensions.github.io/zarr/v1.1.0/schema.json",
}
"""The extension, in the version that is written, for each prefix of fields (``version`` has fields without one)."""

# Fields that only an older version of an extension knows; items of providers may still hold them.
_OLDER = {
    "eo:bands": "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
    "raster:bands": "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
    "proj:epsg": "https://stac-extensions.github.io/projection/v1.2.0/schema.json",
}
_VERSION_FIELDS = frozenset({"version", "deprecated", "experimental"})
_VERSION_RELS = frozenset({"predecessor-version", "successor-version", "latest-version"})


def set_extensions(item: pystac.Item) -> pystac.Item:
    """Let the item list exactly the extensions whose fields it uses.

    Extensions that this module does not know are kept as they are listed.

    Parameters
    ----------
    item : pystac.Item
        Changed in place, and given back.

    Examples
    --------
    >>> from datetime import datetime
    >>> item = pystac.Item("A", None, None, datetime(2023, 8, 1), {"eo:cloud_cover": 3})
    >>> set_extensions(item).stac_extensions
    ['https://stac-extensions.github.io/eo/v2.0.0/schema.json']
    """
    fields = set(_fields(item))
    prefixes = {field.partition(":")[0] for field in fields if ":" in field}
    used = {url for prefix, url in EXTENSIONS.items() if prefix in prefixes}
    for field, older in _OLDER.items():
        if field in fields:
            used = {url for url in used if _family(url) != _family(older)} | {older}
    if fields & _VERSION_FIELDS or _VERSION_RELS & {str(link.rel) for link in item.links}:
        used.add(EXTENSIONS["version"])
    ours = {_family(url) for url in EXTENSIONS.values()}
    item.stac_extensions = sorted(used | {url for url in item.stac_extensions if _family(url) not in ours})
    return item


def _fields(item: pystac.Item) -> Iterator[str]:
    yield from item.properties
    for asset in item.assets.values():
        yield from asset.extra_fields
        for one in asset.extra_fields.get("bands", ()):
            yield from one
    for link in item.links:
        yield from link.extra_fields


def _family(url: str) -> str:
    """Give the address of an extension without its version."""
    return url.rsplit("/", 2)[0]
