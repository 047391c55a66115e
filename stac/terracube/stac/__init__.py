"""Catalogues: items and their assets in a folder, found by search, traceable to what they were made from.

Start with :class:`Catalog` and :func:`to_query`; build items with the functions of :mod:`terracube.stac.items` and
tell how they were made with :class:`Provenance`.
"""

from terracube.stac._rebuild import Rebuilt
from terracube.stac.catalog import Catalog
from terracube.stac.collections import describe_collection
from terracube.stac.items import (
    EXTENSIONS,
    band,
    file_asset,
    file_fields,
    footprint,
    projection_fields,
    raster_asset,
    set_extensions,
    zarr_asset,
)
from terracube.stac.layout import relative_link
from terracube.stac.provenance import (
    ChainRef,
    InputRef,
    Provenance,
    derived_from,
    input_checksum,
    product_key,
    read_provenance,
    software,
)
from terracube.stac.query import Filter, Query, parse_bbox, parse_filter, parse_interval, to_query
from terracube.stac.versions import link_versions

__all__ = [
    "EXTENSIONS",
    "Catalog",
    "ChainRef",
    "Filter",
    "InputRef",
    "Provenance",
    "Query",
    "Rebuilt",
    "band",
    "derived_from",
    "describe_collection",
    "file_asset",
    "file_fields",
    "footprint",
    "input_checksum",
    "link_versions",
    "parse_bbox",
    "parse_filter",
    "parse_interval",
    "product_key",
    "projection_fields",
    "raster_asset",
    "read_provenance",
    "relative_link",
    "set_extensions",
    "software",
    "to_query",
    "zarr_asset",
]
