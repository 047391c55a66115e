"""Publishing and removing: what must become true in one step, and how the neighbours' links follow."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import pystac

from terracube.core.digest import path_size
from terracube.core.errors import (
    AssetError,
    ConflictError,
    HostileInputError,
    IntegrityError,
    MetadataError,
    NotFoundError,
)
from terracube.core.files import is_remote, resolve_below, safe_name, storage_error, sync, sync_folder
from terracube.stac._staging import empty, move_to_trash
from terracube.stac._static import with_catalog_links
from terracube.stac.items import file_fields, set_extensions
from terracube.stac.layout import (
    checked_name,
    item_folder,
    relative_href,
    resolve_target,
    target_path,
)
from terracube.stac.records import Document, Record, content_digest, dump, from_document, index, to_document
from terracube.stac.stores.sqlite import SqliteStore, Transaction
from terracube.stac.versions import without_version


def prepare(item: pystac.Item, root: Path) -> Document:
    """Turn an item into the document that is stored, after checking its names and links.

    Raises
    ------
    HostileInputError, MetadataError, ConflictError
        If a name cannot be a file name, or the metadata is unusable.
    """
    checked_name(item.id, what="item id")
    if not item.collection_id:
        raise MetadataError("the item belongs to no collection", where=item.id, todo="set its collection")
    checked_name(item.collection_id, what="collection id")
    for key in item.assets:
        safe_name(key, what="asset key")
    document = to_document(item)
    document["links"] = [_portable(link, root) for link in document["links"]]
    index(document, folder=item.id)
    return with_catalog_links(document)


def complete(document: Document, staged: Path) -> Document:
    """Check that each local asset lies in the folder, and fill in size and checksum where they are missing.

    Raises
    ------
    HostileInputError
        If an asset, or a symbolic link in the folder, leaves it.
    AssetError, IntegrityError, ConflictError
        If an asset is missing, of another size than stated, or has the name of the item's JSON.
    """
    _refuse_symlinks(staged)
    item = from_document(document)
    for key, asset in item.assets.items():
        if not is_remote(asset.href):
            _complete_asset(asset, staged, where=f"{item.id}: {key}", reserved=f"{item.id}.json")
    set_extensions(item)
    return item.to_dict(include_self_link=False, transform_hrefs=False)


def seal(document: Document, staged: Path) -> None:
    """Write the item's JSON beside its assets, and flush all of it to the disk.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    file = staged / f"{document['id']}.json"
    try:
        file.write_text(dump(document, where=str(document["id"]), indent=2), encoding="utf-8")
        sync(staged)
    except OSError as error:
        raise storage_error(error, file) from error


def choose_folder(transaction: Transaction, document: Document, *, replace: bool) -> str:
    """Choose the folder of a new item: its id, unless an item is registered with a folder of that name.

    Raises
    ------
    NotFoundError
        If the collection is not in the catalogue.
    ConflictError
        If the item is registered already and may not be replaced.
    """
    collection, item_id = str(document["collection"]), str(document["id"])
    transaction.collection(collection)
    if transaction.record(collection, item_id) is not None and not replace:
        raise ConflictError(
            "the catalogue has an item of this id already",
            where=f"{collection}/{item_id}",
            todo="give the new one another id, or replace the old one",
        )
    stem, number = f"{item_id}.{content_digest(document)[:8]}", 0
    folder = item_id
    while transaction.owner(collection, folder) is not None:
        folder, number = (f"{stem}.{number}" if number else stem), number + 1
    return folder


def place(root: Path, staged: Path, target: Path) -> None:
    """Rename a staged folder to its final name; what lay there, registered by nobody, is swept aside.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    swept = move_to_trash(root, target) if target.exists() else None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(staged, target)
        sync_folder(target.parent)
    except OSError as error:
        raise storage_error(error, target) from error
    if swept is not None:
        empty(swept)


def register(transaction: Transaction, record: Record) -> None:
    """Register an item in place of the one of the same id, whose folder is given up and whose neighbours follow."""
    before = transaction.record(record.collection, record.id)
    neighbours = [] if before is None else transaction.linking_to(before.path)
    _put(transaction, record)
    # A folder that was to be discarded may have become the home of this very item.
    transaction.drop_pending([("discard", record.collection, record.folder)])
    transaction.add_pending([("collection", record.collection, "")])
    if before is not None and before.folder != record.folder:
        _retarget(transaction, neighbours, before.path, record.path)
        transaction.add_pending([("discard", before.collection, before.folder)])


def update(transaction: Transaction, document: Document, *, new: Record) -> None:
    """Replace the metadata of a registered item, together with the publication of ``new``.

    Links to where ``new`` would lie by its id are led to where it does lie; older versions, which named this item as
    the latest, name ``new`` if this item does.

    Raises
    ------
    NotFoundError
        If the item is not registered.
    """
    before = transaction.record(document["collection"], document["id"])
    if before is None:
        raise NotFoundError(
            "an item to update is not in the catalogue", where=f"{document['collection']}/{document['id']}"
        )
    if _hrefs(before.document()) != _hrefs(document):
        raise ConflictError("an update may not change which files an item has", where=before.id, todo="publish it anew")
    record = Record(before.collection, before.id, before.folder, dump(document, where=before.id))
    record = _led(record, target_path(new.collection, new.id, new.id), new.path)
    _put(transaction, record)
    transaction.add_pending([("item", record.collection, record.id)])
    if ("latest-version", new.path) in index(record.document(), folder=record.folder).links:
        older = [(rel, holder) for rel, holder in transaction.linking_to(record.path) if rel == "latest-version"]
        _retarget(transaction, older, record.path, new.path, rels=("latest-version",))


def unregister(transaction: Transaction, record: Record, *, force: bool) -> None:
    """Unregister an item, close the gap that it leaves in a chain of versions, and give up its folder.

    Raises
    ------
    ConflictError
        If other items are derived from it, unless forced.
    """
    links = [(rel, holder) for rel, holder in transaction.linking_to(record.path) if holder.path != record.path]
    derived = sorted({f"{holder.collection}/{holder.id}" for rel, holder in links if rel == "derived_from"})
    if derived and not force:
        raise ConflictError(
            "other items are derived from this one",
            where=f"{record.collection}/{record.id}",
            got=", ".join(derived[:10]) + (f" and {len(derived) - 10} more" if len(derived) > 10 else ""),
            todo="remove those first, or force",
        )
    for holder in {holder.path: holder for rel, holder in links if rel != "derived_from"}.values():
        _put(transaction, without_version(holder, record))
        transaction.add_pending([("item", holder.collection, holder.id)])
    transaction.delete(record.collection, record.id)
    transaction.add_pending([("collection", record.collection, ""), ("discard", record.collection, record.folder)])


def sweep(root: Path, store: SqliteStore, record: Record) -> None:
    """After a failure: take away the folder of an item that did not become registered."""
    with store.write() as transaction:
        folder = item_folder(root, record.collection, record.folder)
        swept = []
        if transaction.owner(record.collection, record.folder) is None and folder.is_dir():
            swept.append(move_to_trash(root, folder))
    for path in swept:
        empty(path)


def _hrefs(document: Document) -> dict[str, str]:
    return {key: asset["href"] for key, asset in document["assets"].items()}


def _put(transaction: Transaction, record: Record) -> None:
    transaction.put(record, index(record.document(), folder=record.folder))


def _retarget(
    transaction: Transaction,
    holders: Iterable[tuple[str, Record]],
    old: str,
    new: str,
    *,
    rels: Sequence[str] = (),
) -> None:
    """Lead the links of other items from one path below the root to another."""
    for holder in {holder.path: holder for _, holder in holders}.values():
        if holder.path != old:
            _put(transaction, _led(holder, old, new, rels=rels))
            transaction.add_pending([("item", holder.collection, holder.id)])


def _led(record: Record, old: str, new: str, *, rels: Sequence[str] = ()) -> Record:
    document = record.document()
    for link in document["links"]:
        target = resolve_target(link["href"], collection=record.collection, folder=record.folder)
        if target == old and (not rels or link["rel"] in rels):
            link["href"] = relative_href(new)
    return Record(record.collection, record.id, record.folder, dump(document, where=record.id))


def _portable(link: Document, root: Path) -> Document:
    """Write a link to something inside the catalogue so that it survives moving the catalogue."""
    if not isinstance(link["href"], str):
        raise MetadataError("a link of the item leads nowhere", where=str(link["rel"]), expected="an href")
    path = Path(link["href"].removeprefix("file://"))
    if path.is_absolute() and path.is_relative_to(root) and len(path.relative_to(root).parts) == 3:
        return {**link, "href": relative_href(path.relative_to(root).as_posix())}
    return link


def _refuse_symlinks(staged: Path) -> None:
    for folder, folders, files in os.walk(staged):
        for name in (*folders, *files):
            path = Path(folder) / name
            if path.is_symlink():
                raise HostileInputError(
                    "a folder to publish holds a symbolic link", where=str(path), todo="copy the file it points to"
                )


def _complete_asset(asset: pystac.Asset, staged: Path, *, where: str, reserved: str) -> None:
    path = resolve_below(staged, asset.href)
    inside = path.resolve().relative_to(staged.resolve()).as_posix()
    if inside == reserved:
        raise ConflictError("an asset has the name of the item's JSON", where=where, got=asset.href, todo="rename it")
    if inside == "." or not os.path.exists(path):
        got = asset.href[:200]
        raise AssetError("an asset is not in the folder to publish", where=where, expected=str(path)[:200], got=got)
    stated, found = asset.extra_fields.get("file:size"), path_size(path)
    if stated is not None and stated != found:
        raise IntegrityError("an asset has another size than stated", where=where, expected=f"{stated}", got=f"{found}")
    if not {"file:size", "file:checksum"} <= asset.extra_fields.keys():
        asset.extra_fields = {**file_fields(path), **asset.extra_fields}
