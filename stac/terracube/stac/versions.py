"""Versions of one product: the old one stays, marked, and each knows its neighbours (STAC extension version v1.2.0)."""

from __future__ import annotations

import pystac

from terracube.core.errors import ConflictError
from terracube.stac.items import set_extensions
from terracube.stac.layout import relative_href, relative_link, resolve_target
from terracube.stac.records import Record, dump, from_document

PREDECESSOR = "predecessor-version"
SUCCESSOR = "successor-version"
LATEST = "latest-version"


def link_versions(new: pystac.Item, predecessor: pystac.Item) -> pystac.Item:
    """Make ``new`` the successor of ``predecessor``.

    ``new``, still under construction, is given its ``version`` (one more than the predecessor's, unless it has one)
    and its link to the predecessor.

    Parameters
    ----------
    new : pystac.Item
        The item about to be published, with its collection set.
    predecessor : pystac.Item
        The newest version so far, as it came out of the catalogue.

    Returns
    -------
    pystac.Item
        A copy of the predecessor, marked as deprecated and linked to its successor: hand it to
        :meth:`Catalog.publish <terracube.stac.Catalog.publish>` among the ``updates``.

    Raises
    ------
    ConflictError
        If the predecessor has a successor already, or both are the same item.

    Examples
    --------
    >>> from datetime import datetime
    >>> old, new = (pystac.Item(name, None, None, datetime(2023, 8, 1), {}, collection="c") for name in "ab")
    >>> link_versions(new, old).properties["deprecated"], new.properties["version"]
    (True, '2')
    """
    _check_order(new, predecessor)
    updated = copy_item(predecessor)
    updated.properties.setdefault("version", "1")
    updated.properties["deprecated"] = True
    new.properties.setdefault("version", _next(updated.properties["version"]))
    _set_link(new, PREDECESSOR, predecessor)
    _set_link(updated, SUCCESSOR, new)
    _set_link(updated, LATEST, new)
    set_extensions(new)
    set_extensions(updated)
    return updated


def copy_item(item: pystac.Item) -> pystac.Item:
    """Copy an item with everything it holds, also the extra fields of its links (``Item.clone`` loses those)."""
    document = pystac.Item.to_dict(item, include_self_link=False, transform_hrefs=False)
    return from_document(Record("", item.id, "", dump(document, where=item.id)).document(), href=item.get_self_href())


def without_version(holder: Record, removed: Record) -> Record:
    """Close the gap that a removed version leaves in a neighbour: its neighbours become each other's."""
    places = _links_of(removed)
    document = holder.document()
    kept = []
    for link in document["links"]:
        target = resolve_target(link["href"], collection=holder.collection, folder=holder.folder)
        if target != removed.path or link["rel"] not in (PREDECESSOR, SUCCESSOR, LATEST):
            kept.append(link)
            continue
        # What was the latest version is followed by the one before it.
        instead = places.get(PREDECESSOR if link["rel"] == LATEST else link["rel"])
        if instead is not None and instead != holder.path:
            kept.append({**link, "href": relative_href(instead), "title": instead.split("/")[-1].removesuffix(".json")})
        elif link["rel"] == SUCCESSOR:
            document["properties"].pop("deprecated", None)
    document["links"] = kept
    return Record(holder.collection, holder.id, holder.folder, dump(document, where=holder.id))


def _links_of(record: Record) -> dict[str, str | None]:
    return {
        link["rel"]: resolve_target(link["href"], collection=record.collection, folder=record.folder)
        for link in record.document()["links"]
    }


def _check_order(new: pystac.Item, predecessor: pystac.Item) -> None:
    successor = predecessor.get_single_link(SUCCESSOR)
    if successor is not None:
        raise ConflictError(
            "the predecessor has a successor already",
            where=predecessor.id,
            got=successor.title or str(successor.get_href()),
            todo="take the newest version as the predecessor",
        )
    if (new.collection_id, new.id) == (predecessor.collection_id, predecessor.id):
        raise ConflictError("an item cannot succeed itself", where=new.id, todo="give the new version an id of its own")


def _next(version: object) -> str:
    text = str(version)
    return str(int(text) + 1) if text.isdecimal() else f"{text}.1"


def _set_link(item: pystac.Item, rel: str, target: pystac.Item) -> None:
    item.remove_links(rel)
    item.add_link(relative_link(rel, target))
