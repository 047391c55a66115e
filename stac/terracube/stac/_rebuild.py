"""The index made anew from the files, and the search for folders that the index does not know."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from terracube.core.digest import path_size
from terracube.core.errors import AssetError, MetadataError, TerraCubeError
from terracube.core.files import is_remote, resolve_below, storage_error
from terracube.stac.layout import CATALOG_FILE, COLLECTION_FILE, DATABASE, checked_name, is_hierarchical
from terracube.stac.records import Document, Record, dump, index
from terracube.stac.stores.sqlite import Transaction

_MALFORMED = (KeyError, TypeError, ValueError, IndexError, AttributeError)


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild did."""

    items: int
    """Items that are registered now."""
    left_out: tuple[tuple[Path, str], ...]
    """Folders that look like items and are not registered, each with the reason."""


@dataclass(frozen=True)
class _Found:
    record: Record
    file: Path
    listed: bool

    def rank(self) -> tuple[bool, float, str]:
        return self.listed, self.file.stat().st_mtime, self.record.folder


def rebuild(root: Path, transaction: Transaction) -> Rebuilt:
    """Forget all items and collections, and register what lies in the folder."""
    transaction.clear()
    transaction.add_pending([("catalog", "", "")])
    count = 0
    left_out: list[tuple[Path, str]] = []
    for file in sorted(root.glob(f"[!.]*/{COLLECTION_FILE}")):
        try:
            document, listed = _read_collection(file)
        except (TerraCubeError, OSError, *_MALFORMED) as error:
            left_out.append((file.parent, f"its {COLLECTION_FILE} is unusable: {error}"))
            continue
        transaction.put_collection(file.parent.name, document)
        transaction.add_pending([("collection", file.parent.name, "")])
        taken, refused = _read_items(file.parent, listed)
        for found in taken:
            transaction.put(found.record, index(found.record.document(), folder=found.record.folder))
        count += len(taken)
        left_out += refused
    return Rebuilt(count, tuple(left_out))


def set_aside(root: Path) -> None:
    """Rename a damaged database (and its journal) to a free name beside it."""
    for name in (DATABASE, f"{DATABASE}-journal"):
        number = 1
        while (root / f"{name}.damaged-{number}").exists():
            number += 1
        try:
            if (root / name).exists():
                os.replace(root / name, root / f"{name}.damaged-{number}")
        except OSError as error:
            raise storage_error(error, root / name) from error


def hint(root: Path) -> str:
    """Say what to do about a folder whose database is gone but whose collections are there; else nothing."""
    lost = any(root.glob(f"[!.]*/{COLLECTION_FILE}"))
    return "its database is lost; make a new one from the files: Catalog.recover(root)" if lost else ""


def former_title(root: Path) -> str:
    """Give the title that the catalogue's file still tells."""
    try:
        return str(json.loads((root / CATALOG_FILE).read_text(encoding="utf-8"))["title"])
    except (OSError, *_MALFORMED):
        return "TerraCube catalogue"


def unregistered(root: Path, transaction: Transaction) -> list[Path]:
    """Find item folders that no item is registered with, in the folders of registered collections."""
    orphans = []
    for collection in transaction.collection_ids():
        known = transaction.folders(collection)
        orphans += [path for path in _folders(root / collection) if path.name not in known and _item_file(path)]
    return orphans


def _folders(collection: Path) -> list[Path]:
    if not collection.is_dir():
        return []
    return sorted(path for path in collection.iterdir() if path.is_dir() and not path.name.startswith("."))


def _item_file(folder: Path) -> Path | None:
    """Give the item's JSON: ``<id>.json`` in a folder ``<id>`` or ``<id>.<digits>``."""
    stem = folder.name
    while stem:
        file = folder / f"{stem}.json"
        if file.is_file():
            return file
        stem = stem.rpartition(".")[0]
    return None


def _read_collection(file: Path) -> tuple[Document, set[str]]:
    document = dict(json.loads(file.read_text(encoding="utf-8")))
    if document["id"] != checked_name(file.parent.name, what="collection id") or document["type"] != "Collection":
        raise MetadataError("the collection has another id than its folder", where=str(file), got=str(document["id"]))
    listed = {link["href"].removeprefix("./").split("/")[0] for link in document["links"] if link["rel"] == "item"}
    links = [link for link in document["links"] if not is_hierarchical(link["rel"])]
    return {**document, "extent": dict(document["extent"]), "links": links}, listed


def _read_items(collection: Path, listed: set[str]) -> tuple[list[_Found], list[tuple[Path, str]]]:
    best: dict[str, _Found] = {}
    left_out = []
    for file in filter(None, map(_item_file, _folders(collection))):
        try:
            found = _Found(_read_item(file, collection.name), file, file.parent.name in listed)
        except (TerraCubeError, OSError, *_MALFORMED) as error:
            left_out.append((file.parent, str(error) or type(error).__name__))
            continue
        rival = best.get(found.record.id)
        winner = found if rival is None or found.rank() > rival.rank() else rival
        best[found.record.id] = winner
        if rival is not None:
            loser = rival if winner is found else found
            left_out.append((loser.file.parent, f"{winner.record.folder} holds the same item"))
    return list(best.values()), left_out


def _read_item(file: Path, collection: str) -> Record:
    document = dict(json.loads(file.read_text(encoding="utf-8")))
    if (document["type"], document["id"], document["collection"]) != ("Feature", file.stem, collection):
        raise MetadataError("the item has another id or collection than its folder", where=str(file))
    for asset in document["assets"].values():
        if not is_remote(asset["href"]):
            _check_asset(resolve_below(file.parent, asset["href"]), asset)
    index(document, folder=file.parent.name)
    return Record(collection, document["id"], file.parent.name, dump(document, where=str(file)))


def _check_asset(path: Path, asset: Document) -> None:
    if not path.exists() or path_size(path) != asset.get("file:size", path_size(path)):
        raise AssetError("an asset is missing or has another size than recorded", where=str(path))
