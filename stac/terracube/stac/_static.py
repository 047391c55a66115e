"""The JSON files of a catalogue: what a reader without TerraCube walks. They follow the tables, never lead them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pystac

from terracube.core.files import write_text
from terracube.stac._staging import empty, move_to_trash
from terracube.stac.layout import CATALOG_FILE, COLLECTION_FILE, is_hierarchical, item_folder
from terracube.stac.records import Document, Record, dump
from terracube.stac.stores.sqlite import Pending, SqliteStore, Transaction

# One link of an item to what is above it; hrefs are the same for every item (see layout).
_ITEM_LINKS = (
    {"rel": "root", "href": "../../catalog.json", "type": "application/json"},
    {"rel": "parent", "href": "../collection.json", "type": "application/json"},
    {"rel": "collection", "href": "../collection.json", "type": "application/json"},
)


def with_catalog_links(document: Document) -> Document:
    """Add to an item the links to its root, parent and collection."""
    return {**document, "links": [*_ITEM_LINKS, *document["links"]]}


def item_text(record: Record) -> str:
    """Write the JSON file of an item."""
    return dump(record.document(), where=record.id, indent=2)


def collection_document(collection: pystac.Collection) -> Document:
    """Take a collection as it was given, without links to its place, its items or its children."""
    document = collection.to_dict(include_self_link=False, transform_hrefs=False)
    links = [link for link in document["links"] if not is_hierarchical(link["rel"])]
    return {**document, "links": links}


def with_extent(document: Document, transaction: Transaction) -> Document:
    """Bring the extent of a collection up to date; without items it stays as given."""
    box, period = transaction.extent(document["id"])
    extent = {name: dict(value) for name, value in document["extent"].items()}
    if box is not None:
        extent["spatial"] = {**extent["spatial"], "bbox": [list(box)]}
    if period is not None:
        extent["temporal"] = {**extent["temporal"], "interval": [list(period)]}
    return {**document, "extent": extent}


def flush(root: Path, store: SqliteStore) -> None:
    """Make the files follow the tables: rewrite what changed, remove what was replaced.

    The writers' lock is held meanwhile, so that an older state never overwrites a newer one. What is left undone by a
    crash is done by the next flush.

    Raises
    ------
    StorageError
        If the disk refuses; the tables are right all the same.
    """
    if not store.pending():
        return
    discarded = []
    with store.write() as transaction:
        jobs = transaction.pending()
        for job in jobs:
            _rewrite(root, transaction, job)
        # Only now does no file link to them any more.
        for job in jobs:
            discarded += _discard(root, transaction, job)
        transaction.drop_pending(jobs)
    for folder in discarded:
        empty(folder)


def _rewrite(root: Path, transaction: Transaction, job: Pending) -> None:
    kind, collection, name = job
    if kind == "catalog":
        write_text(root / CATALOG_FILE, dump(_catalog(transaction), where=CATALOG_FILE, indent=2))
    elif kind == "collection":
        text = dump(_collection(transaction, collection), where=collection, indent=1)
        write_text(root / collection / COLLECTION_FILE, text)
    elif kind == "item" and (record := transaction.record(collection, name)):
        write_text(item_folder(root, collection, record.folder) / f"{name}.json", item_text(record))


def _discard(root: Path, transaction: Transaction, job: Pending) -> list[Path]:
    kind, collection, name = job
    folder = item_folder(root, collection, name)
    if kind != "discard" or transaction.owner(collection, name) is not None or not folder.is_dir():
        return []
    return [move_to_trash(root, folder)]


def _catalog(transaction: Transaction) -> Document:
    title = transaction.title()
    links: list[dict[str, Any]] = [
        {"rel": "root", "href": f"./{CATALOG_FILE}", "type": "application/json", "title": title}
    ]
    for name in transaction.collection_ids():
        child = {"rel": "child", "href": f"./{name}/{COLLECTION_FILE}", "type": "application/json"}
        given = transaction.collection(name).get("title")
        links.append({**child, "title": given} if given else child)
    return {
        "type": "Catalog",
        "id": "terracube",
        "stac_version": pystac.get_stac_version(),
        "title": title,
        "description": "Scenes and products, with what each was made from.",
        "links": links,
    }


def _collection(transaction: Transaction, name: str) -> Document:
    document = with_extent(transaction.collection(name), transaction)
    above = {"href": f"../{CATALOG_FILE}", "type": "application/json"}
    items = [
        {"rel": "item", "href": f"./{folder}/{item_id}.json", "type": "application/geo+json"}
        for folder, item_id in transaction.places(name)
    ]
    return {**document, "links": [{"rel": "root", **above}, {"rel": "parent", **above}, *document["links"], *items]}
