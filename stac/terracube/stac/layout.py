"""Where things lie in a catalogue folder, and how one item names another.

Every item lies at ``<root>/<collection>/<folder>/<id>.json``, three levels below the root, whatever its folder is
called. So a relative link from any item to any other is ``../../<collection>/<folder>/<id>.json``: it can be written
before it is known where the item that holds it will lie, and it survives moving the whole catalogue.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

import pystac

from terracube.core.errors import ConflictError, MetadataError
from terracube.core.files import safe_name

DATABASE = "catalog.sqlite"
CATALOG_FILE = "catalog.json"
COLLECTION_FILE = "collection.json"
STAGING = ".staging"
TRASH = ".trash"

_RESERVED = frozenset({DATABASE, f"{DATABASE}-journal", CATALOG_FILE, COLLECTION_FILE})
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_OWN_LINKS = frozenset({"self", "root", "parent", "collection", "child", "item", "items"})


def target_path(collection: str, folder: str, item_id: str) -> str:
    """Give the path of an item's JSON below the root of its catalogue.

    Examples
    --------
    >>> target_path("composites", "summer", "summer")
    'composites/summer/summer.json'
    """
    return f"{collection}/{folder}/{item_id}.json"


def item_folder(root: Path, collection: str, folder: str) -> Path:
    """Give the folder that holds an item and its assets."""
    return root / collection / folder


def relative_href(target: str) -> str:
    """Write a path below the root as seen from the folder of any item."""
    return f"../../{target}"


def relative_link(rel: str, item: pystac.Item) -> pystac.Link:
    """Make a link from any item of a catalogue to ``item`` of the same catalogue.

    Parameters
    ----------
    rel : str
        What the link means: ``derived_from``, ``predecessor-version``, ...
    item : pystac.Item
        The target: an item that came out of the catalogue, or one that is about to be published.

    Raises
    ------
    MetadataError
        If the item belongs to no collection.

    Examples
    --------
    >>> from datetime import datetime
    >>> scene = pystac.Item("A", None, None, datetime(2023, 8, 1), {}, collection="scenes")
    >>> relative_link("derived_from", scene).get_href()
    '../../scenes/A/A.json'
    """
    if not item.collection_id:
        raise MetadataError("an item belongs to no collection", where=item.id, todo="set its collection")
    target = relative_href(target_path(item.collection_id, _folder_of(item), item.id))
    return pystac.Link(rel, target, media_type=pystac.MediaType.GEOJSON, title=item.id)


def _folder_of(item: pystac.Item) -> str:
    collection, folder, name = ["", "", *(item.get_self_href() or "").split("/")][-3:]
    return folder if (collection, name) == (item.collection_id, f"{item.id}.json") else item.id


def resolve_target(href: str, *, collection: str, folder: str) -> str | None:
    """Tell to which path below the root an href of an item points; ``None`` if it leaves the catalogue.

    Examples
    --------
    >>> resolve_target("../../scenes/A/A.json", collection="composites", folder="summer")
    'scenes/A/A.json'
    >>> resolve_target("https://example.org/A.json", collection="composites", folder="summer") is None
    True
    """
    if _SCHEME.match(href) or href.startswith("/"):
        return None
    path = posixpath.normpath(posixpath.join(collection, folder, href))
    return None if path.startswith("..") or path.count("/") != 2 else path


def is_hierarchical(rel: str) -> bool:
    """Tell whether a relation is one that the catalogue itself writes (``root``, ``parent``, ``self``, ...)."""
    return rel in _OWN_LINKS


def checked_name(name: str, *, what: str) -> str:
    """Accept an id that can be a file name and is none of the catalogue's own.

    Raises
    ------
    HostileInputError
        If it cannot be a file name; see :func:`terracube.core.files.safe_name`.
    ConflictError
        If the catalogue itself needs that name.
    """
    safe_name(name, what=what)
    if name.lower() in _RESERVED:
        raise ConflictError(f"{what} is a name that the catalogue needs itself", where=what, got=name, todo="rename it")
    return name
