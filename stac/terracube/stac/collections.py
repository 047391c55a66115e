"""Collections: described before they have items; their extent follows once they have."""

from __future__ import annotations

import pystac

_WORLD = [[-180.0, -90.0, 180.0, 90.0]]


def describe_collection(collection: str, *, title: str, description: str) -> pystac.Collection:
    """Describe a collection that has no items yet.

    Its licence is ``other``, as STAC calls what a link of relation ``license`` tells.

    Examples
    --------
    >>> describe_collection("composite", title="Composites", description="Composites of a period").license
    'other'
    """
    extent = pystac.Extent(pystac.SpatialExtent(_WORLD), pystac.TemporalExtent([None, None]))
    return pystac.Collection(collection, description, extent, title=title, license="other")
