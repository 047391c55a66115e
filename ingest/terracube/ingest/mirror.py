"""Mirror a part of a remote catalogue: search it, copy the files that are asked for, and ingest them.

What was copied before an interruption is kept for a day and continued; a file gets its name only when it is whole and
agrees with the size and checksum that its item tells. Then each scene goes through the same checks as any delivery.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urljoin

import pystac_client
import requests
from pystac_client.exceptions import APIError

from terracube.core.digest import sha256_of
from terracube.core.errors import (
    AssetError,
    HostileInputError,
    InputError,
    IntegrityError,
    MetadataError,
    NotFoundError,
    TerraCubeError,
)
from terracube.core.files import remove, safe_name, write_text
from terracube.core.progress import CancelToken, ProgressCallback, silent
from terracube.cubes.access import Location, Signer, open_bytes, strip_grant
from terracube.ingest.pipeline import ingest
from terracube.ingest.report import IngestReport
from terracube.ingest.sources import Source, load_source, source_names
from terracube.stac import Catalog

_PIECE = 8 << 20
_MAX_ASSET = 16 << 30
_MAX_ITEM = 16 << 20
_MAX_ITEMS = 100_000
_TIMEOUT = 60.0
# Multihash codes of https://github.com/multiformats/multicodec that hashlib knows.
_HASHES = {0x11: "sha1", 0x12: "sha256", 0x13: "sha512", 0xD5: "md5"}


@dataclass(frozen=True)
class Search:
    """What to ask a STAC API for."""

    api: str
    """Address of its landing page."""
    collection: str
    bbox: Sequence[float] | None = None
    datetime: str | None = None
    filters: Mapping[str, Any] | None = None
    """Of the query extension: ``{"eo:cloud_cover": {"lt": 60}}``."""
    limit: int | None = None
    """Items at most."""


def mirror(
    search: Search,
    catalog: Catalog,
    *,
    assets: Sequence[str] | None = None,
    jobs: int = 4,
    signer: Signer | None = None,
    replacing: bool = False,
    dry_run: bool = False,
    progress: ProgressCallback = silent,
    cancel: CancelToken | None = None,
) -> IngestReport:
    """Copy the items of a search, with their files, into a catalogue.

    Parameters
    ----------
    search : Search
    catalog : Catalog
    assets : sequence of str, optional
        Role names (``red``) or asset keys; all that the source knows unless given.
    jobs : int
        Files copied at once.
    signer : Signer, optional
        Adds what the servers ask for (see :mod:`terracube.cubes.access`); nothing of it is kept.
    replacing, dry_run, cancel
        As in :func:`terracube.ingest.ingest`; a dry run copies nothing and tells what would be.
    progress
        Called after each file.

    Returns
    -------
    IngestReport
        One entry per item. An item whose files cannot be copied is refused, and never stops the others.

    Raises
    ------
    InputError
        If the call is wrong, or no source describes the collection.
    AssetError
        If the catalogue cannot be searched.
    """
    if jobs < 1:
        raise InputError("at least one job is needed", where="--jobs", expected=">= 1", got=str(jobs))
    source = source_of(search.collection)
    wanted = _roles(source, assets)
    token = cancel or CancelToken()
    found = _searched(search)
    report = IngestReport()
    home, index_path = _places(catalog, search)
    index = _read_index(index_path)
    ready: dict[str, Path] = {}
    with ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="mirror") as pool:
        for number, document in enumerate(found):
            try:
                plan = _plan(document, source, wanted, search.api)
                if index.get(plan.id) == plan.digest and catalog.find(plan.id, source.name) is not None:
                    report.already.append(plan.id)
                elif dry_run:
                    report.taken.append(plan.id)
                else:
                    ready[plan.id] = _copy(plan, home, pool, signer, token)
                    index[plan.id] = plan.digest
            except TerraCubeError as error:
                report.refuse(search.api, str(document.get("id", ""))[:128], str(error))
            progress(number + 1, len(found))
    if ready:
        _take(list(ready.values()), source, catalog, report, jobs=jobs, replacing=replacing, cancel=token)
        gone = {refusal.id for refusal in report.refused}
        write_text(index_path, json.dumps({name: index[name] for name in sorted(index) if name not in gone}, indent=1))
    if not report.refused:
        remove(home)
    return report.finished()


def source_of(collection: str) -> Source:
    """Give the source that describes a collection of a provider.

    Raises
    ------
    InputError
        If none does.
    """
    for name in source_names():
        source = load_source(name)
        if source.sensor is not None and collection in source.sensor.collections:
            return source
    known = sorted({each for name in source_names() if (s := load_source(name).sensor) for each in s.collections})
    raise InputError(
        "no source describes the collection",
        where="--collection",
        expected=", ".join(known),
        got=collection[:200],
        todo="write a description (docs/ingest.md, adding a source)",
    )


def _roles(source: Source, assets: Sequence[str] | None) -> set[str]:
    """Give the role names that are wanted; the mask comes with any band, because nothing is clear without it."""
    if source.sensor is None or assets is None:
        return set(source.bands)
    try:
        chosen = {source.sensor.layer(name).name for name in assets}
    except NotFoundError as error:
        raise InputError(error.what, where="--assets", expected=error.expected, got=error.got) from error
    return chosen | {source.sensor.mask.asset}


def _searched(search: Search) -> list[dict[str, Any]]:
    """Ask the catalogue; give the items as they come."""
    if not search.api.startswith(("https://", "http://")):
        raise InputError("this is no address of a catalogue", where="API", expected="https://...", got=search.api[:200])
    try:
        client = pystac_client.Client.open(search.api, timeout=_TIMEOUT)
        found = client.search(
            collections=[search.collection],
            bbox=list(search.bbox) if search.bbox else None,
            datetime=search.datetime,
            query=dict(search.filters) if search.filters else None,
            max_items=search.limit,
        )
        documents = list(islice(found.items_as_dicts(), _MAX_ITEMS + 1))
    except (APIError, requests.RequestException, ValueError, KeyError, TypeError, NotImplementedError) as error:
        raise AssetError(
            "the catalogue cannot be searched",
            where=strip_grant(search.api),
            expected="the landing page of a STAC API",
            got=f"{type(error).__name__}: {str(error)[:200]}",
        ) from error
    if len(documents) > _MAX_ITEMS:
        raise InputError(
            "the search finds too many items", expected=f"<= {_MAX_ITEMS}", todo="ask for a shorter period"
        )
    return [document for document in documents if isinstance(document, dict)]


@dataclass(frozen=True)
class _Part:
    """One file to copy."""

    key: str
    name: str
    address: str
    size: int | None
    checksum: str | None


@dataclass(frozen=True)
class _Plan:
    id: str
    document: dict[str, Any]
    parts: tuple[_Part, ...]

    @property
    def digest(self) -> str:
        """Digest of what the item says: a corrected one is another."""
        files = [[part.key, strip_grant(part.address), part.size, part.checksum] for part in self.parts]
        return sha256_of([self.document.get("properties"), self.document.get("geometry"), files])


def _plan(document: dict[str, Any], source: Source, wanted: set[str], api: str) -> _Plan:
    item_id = safe_name(str(document.get("id", "")), what="item id")
    if len(json.dumps(document)) > _MAX_ITEM:
        raise HostileInputError("the item is too large", where=item_id, expected=f"<= {_MAX_ITEM} bytes")
    base = next((link.get("href") for link in _links(document) if link.get("rel") == "self"), api)
    keys = {key: name for name in wanted for key in source.bands[name].keys}
    parts: dict[str, _Part] = {}
    assets = document.get("assets")
    for key, asset in assets.items() if isinstance(assets, dict) else ():
        role = keys.get(key)
        if role is None or role in parts or not isinstance(asset, dict) or not isinstance(asset.get("href"), str):
            continue
        address = urljoin(str(base), asset["href"])
        if not address.startswith(("https://", "http://", "s3://")):
            raise HostileInputError("an asset lies at no address", where=f"{item_id}/{key}", got=address[:200])
        suffix = PurePosixPath(address.split("?", 1)[0]).suffix.lower() or ".tif"
        size, checksum = asset.get("file:size"), asset.get("file:checksum")
        parts[role] = _Part(
            safe_name(key, what="asset key"),
            safe_name(f"{role}{suffix}", what="file name"),
            address,
            size if isinstance(size, int) else None,
            checksum if isinstance(checksum, str) else None,
        )
    if not parts:
        raise MetadataError("the item has none of the assets", where=item_id, expected=", ".join(sorted(wanted))[:300])
    return _Plan(item_id, document, tuple(parts[role] for role in sorted(parts)))


def _links(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    links = document.get("links")
    yield from (link for link in (links if isinstance(links, list) else ()) if isinstance(link, dict))


def _places(catalog: Catalog, search: Search) -> tuple[Path, Path]:
    """Give the folder of this search's copies, which gc sweeps when a day old, and the list of what was mirrored."""
    key = sha256_of([search.api, search.collection])[:16]
    return catalog.root / ".staging" / f"mirror-{key}", catalog.root / ".records" / f"mirror-{key}.json"


def _read_index(path: Path) -> dict[str, str]:
    """Read which items were mirrored; without the list they are copied again, and found to be there already."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _copy(plan: _Plan, home: Path, pool: ThreadPoolExecutor, signer: Signer | None, cancel: CancelToken) -> Path:
    """Copy the files of an item side by side, and write its JSON beside them; give the path of that."""
    folder = home / plan.id
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [pool.submit(_download, part, folder, signer, cancel) for part in plan.parts]
    errors = [error for job in jobs if (error := job.exception()) is not None]
    if errors:
        raise errors[0]
    names = {part.key: part.name for part in plan.parts}
    document = {**plan.document, "properties": {**plan.document["properties"]}}
    document["assets"] = {
        key: {**asset, "href": f"./{names[key]}"} if key in names else {**asset, "href": strip_grant(asset["href"])}
        for key, asset in plan.document["assets"].items()
        if isinstance(asset, dict) and isinstance(asset.get("href"), str)
    }
    path = folder / "item.json"
    write_text(path, json.dumps(document))
    return path


def _download(part: _Part, folder: Path, signer: Signer | None, cancel: CancelToken) -> None:
    """Copy one file, from where an earlier try ended."""
    target, half = folder / part.name, folder / f"{part.name}.part"
    source = open_bytes(Location(part.address, signer=signer))
    size = source.size
    if size > _MAX_ASSET:
        raise HostileInputError("the file is too large", where=source.name, expected=f"<= {_MAX_ASSET} bytes")
    if part.size is not None and size != part.size:
        raise IntegrityError(
            "the file has not the size that its item tells", where=source.name, expected=str(part.size), got=str(size)
        )
    stamp = folder / f"{part.name}.version"
    if _version(stamp) != f"{size} {source.version}":
        remove(target)
        remove(half)
        write_text(stamp, f"{size} {source.version}")
    if target.exists():
        return
    with half.open("ab") as out:
        for start in range(out.tell(), size, _PIECE):
            cancel.check()
            out.write(source.read(start, min(start + _PIECE, size)))
    _verify(half, part, source.name, size)
    os.replace(half, target)


def _version(stamp: Path) -> str:
    return stamp.read_text(encoding="utf-8") if stamp.is_file() else ""


def _verify(half: Path, part: _Part, where: str, size: int) -> None:
    """Compare a copy with what its item tells; a wrong one is removed, so that the next try starts anew."""
    problem = "" if half.stat().st_size == size else f"{half.stat().st_size} bytes instead of {size}"
    if not problem and part.checksum is not None:
        problem = _mismatch(half, part.checksum)
    if problem:
        remove(half)
        raise IntegrityError(
            "the copy is not what the item tells",
            where=where,
            got=problem,
            todo="run again; if it stays, tell the provider",
        )


def _mismatch(path: Path, multihash: str) -> str:
    try:
        told = bytes.fromhex(multihash)
    except ValueError:
        return ""
    # The code is a varint: md5 is d5 01, the others one byte.
    code, rest = (told[0], told[1:]) if told[:1] != b"\xd5" else (0xD5, told[2:])
    if code not in _HASHES or not rest or rest[0] != len(rest) - 1:
        return ""
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, _HASHES[code]).digest()
    return "" if found == rest[1:] else f"another {_HASHES[code]}"


def _take(
    ready: Sequence[Path],
    source: Source,
    catalog: Catalog,
    report: IngestReport,
    *,
    jobs: int,
    replacing: bool,
    cancel: CancelToken,
) -> None:
    """Ingest what was copied; files that are good COGs only get another name."""
    done = ingest(source.name, ready, catalog, jobs=jobs, replacing=replacing, linking=True, cancel=cancel)
    for name in ("taken", "already", "replaced", "refused", "entries"):
        getattr(report, name).extend(getattr(done, name))
    report.notes.update(done.notes)
    report.quality.update(done.quality)
