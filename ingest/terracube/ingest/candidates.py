"""What lies below the given paths and may be a scene: STAC items, and rasters that come without one."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terracube.core.errors import AssetError, InputError, MetadataError

_RASTERS = frozenset({".tif", ".tiff", ".jp2"})
_MAX_JSON = 16 << 20
_MAX_FILES = 1_000_000


@dataclass(frozen=True)
class Candidate:
    """A file that may describe a scene."""

    path: Path
    """The JSON of an item, or a raster that comes without one."""

    @property
    def is_item(self) -> bool:
        """Whether there is an item to read."""
        return self.path.suffix.lower() == ".json"


def find_candidates(paths: Iterable[Path]) -> list[Candidate]:
    """Look for scenes below files and folders, in the order of their paths.

    STAC catalogues and collections are passed over: the items that they name are found by themselves. A raster in a
    folder that holds no item is a candidate too, so that it is refused with a reason and not overlooked.

    Raises
    ------
    InputError
        If a path does not exist, or holds more than a million files.
    """
    found: dict[Path, Candidate] = {}
    for path in paths:
        if not path.exists():
            raise InputError("no such file or folder", where=str(path), todo="check the path")
        for candidate in _in_folder(path) if path.is_dir() else [Candidate(path)]:
            found.setdefault(candidate.path.resolve(), candidate)
    return [found[key] for key in sorted(found)]


def _in_folder(folder: Path) -> Iterator[Candidate]:
    items_in: set[Path] = set()
    rasters: list[Path] = []
    for number, path in enumerate(sorted(folder.rglob("*"))):
        if number > _MAX_FILES:
            raise InputError("too many files", where=str(folder), expected=f"<= {_MAX_FILES}", todo="ingest in parts")
        suffix = path.suffix.lower()
        if suffix == ".json" and path.is_file() and _looks_like_item(path):
            items_in.add(path.parent)
            yield Candidate(path)
        elif suffix in _RASTERS and path.is_file():
            rasters.append(path)
    yield from (Candidate(path) for path in rasters if path.parent not in items_in)


def _looks_like_item(path: Path) -> bool:
    """A JSON that says it is a feature, or that cannot be read at all: then its refusal is told."""
    try:
        return read_json(path).get("type") == "Feature"
    except (AssetError, MetadataError):
        return True


def claimed_id(candidate: Candidate) -> str:
    """Give the id that an item claims, for reports; the file's name where it cannot be read."""
    if candidate.is_item:
        try:
            return str(read_json(candidate.path).get("id", candidate.path.stem))[:200]
        except (AssetError, MetadataError):
            return candidate.path.stem
    return candidate.path.stem


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is no JSON value")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is no finite number")
    return number


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of bounded size.

    Raises
    ------
    AssetError
        If the file cannot be read or is too large.
    MetadataError
        If it is not a JSON object.
    """
    try:
        size = path.stat().st_size
        if size > _MAX_JSON:
            raise AssetError("the JSON is too large", where=str(path), expected=f"<= {_MAX_JSON} bytes", got=str(size))
        value = json.loads(path.read_bytes(), parse_constant=_refuse, parse_float=_finite)
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # a lone surrogate could not be written again
    except OSError as error:
        raise AssetError("cannot read the file", where=str(path), got=error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise MetadataError("the file is not JSON", where=str(path), got=str(error)[:120]) from error
    if not isinstance(value, dict):
        raise MetadataError("the JSON is not an object", where=str(path), expected="a STAC item")
    return value
