"""Comparing an item's files with what it says of them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path

import pystac

from terracube.core.digest import multihash, path_sha256, path_size
from terracube.core.errors import HostileInputError
from terracube.core.files import is_remote, resolve_below
from terracube.stac.records import content_digest, to_document


def problems(item: pystac.Item, *, assets: Collection[str] | None = None) -> list[str]:
    """List what is wrong with an item's files (or those of some assets), one sentence each."""
    href = item.get_self_href()
    if href is None:
        return ["the item does not say where it lies (it has no self link)"]
    file = Path(href)
    return [*_document_problems(item, file), *_asset_problems(item, file.parent, assets)]


def _document_problems(item: pystac.Item, file: Path) -> Iterator[str]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if content_digest(found) != content_digest(to_document(item)):
            yield f"{file.name} says something else than the catalogue"
    except OSError as error:
        yield f"{file.name} cannot be read: {error.strerror}"
    except (ValueError, AttributeError):
        yield f"{file.name} is no JSON object"


def _asset_problems(item: pystac.Item, folder: Path, wanted: Collection[str] | None) -> Iterator[str]:
    for key, asset in item.assets.items():
        if is_remote(asset.href) or (wanted is not None and key not in wanted):
            continue
        try:
            found = _difference(asset, resolve_below(folder, asset.href))
        except HostileInputError as error:
            found = str(error)
        except OSError as error:
            found = f"cannot be read: {error.strerror}"
        if found:
            yield f"asset {key} ({asset.href}): {found}"


def _difference(asset: pystac.Asset, path: Path) -> str:
    if not path.exists():
        return "is missing"
    size, checksum = (asset.extra_fields.get(field) for field in ("file:size", "file:checksum"))
    if size is None or checksum is None:
        return "has no recorded size or checksum to compare with"
    if path_size(path) != size:
        return f"has {path_size(path)} bytes, {size} are recorded"
    if not str(checksum).startswith(multihash("")):
        return f"its checksum is no sha2-256 multihash: {str(checksum)[:80]}"
    found = multihash(path_sha256(path))
    return "" if found == checksum else f"has checksum {found}, {checksum} is recorded"
