"""From what a user names to files on this machine: globs are spread, archives unpacked, remote places fetched."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from terracube.core.digest import path_size
from terracube.core.errors import InputError, TerraCubeError
from terracube.core.files import is_remote, remove
from terracube.ingest.archives import is_archive, unpack
from terracube.ingest.fetch import fetch
from terracube.ingest.sources import Form, Source

_RASTERS = frozenset({".tif", ".tiff", ".jp2"})
_MAX_FILES = 1_000_000
_MAGIC = "*?["


@dataclass(frozen=True)
class Place:
    """A file or folder of this machine in which deliveries are looked for."""

    path: Path
    told: str
    """What the user named: the path itself, an archive, an address."""
    archive: Path | None = None
    """What it was unpacked from."""
    error: TerraCubeError | None = None
    """Why there is nothing to look at: the archive is hostile, the address is not there."""


@dataclass(frozen=True)
class Candidate:
    """Something that may be a delivery."""

    path: Path
    told: str
    """How to name it to the user."""
    form: Form | None
    """Which reader takes it; ``None``: a raster that belongs to no delivery."""
    place: Place
    """Where it was found."""


class Incoming:
    """The places that a user's inputs name, one after the other.

    Unpacked archives are kept until they are written as long as all of them take less than a quarter of the free disk;
    beyond that they are removed after the check, and unpacked again when their turn comes.

    Parameters
    ----------
    inputs : iterable of str or Path
        Files, folders, archives (zip, tar), patterns with ``*``, ``https://`` and ``s3://`` addresses.
    scratch : Path
        An empty folder on the disk of the catalogue for what is unpacked and fetched.
    """

    def __init__(self, inputs: Iterable[str | Path], scratch: Path, *, keep: int | None = None) -> None:
        self._inputs, self._scratch = inputs, scratch
        self._left = shutil.disk_usage(scratch).free // 4 if keep is None else keep
        self._gone: set[Path] = set()

    def __iter__(self) -> Iterator[Place]:
        """Give the places.

        Raises
        ------
        InputError
            If a path does not exist or a pattern matches nothing: that is a slip of the call.
        """
        for number, told in enumerate(_spread(self._inputs)):
            folder = self._scratch / f"{number:06d}"
            try:
                place = _place(told, folder)
            except InputError:
                raise
            except TerraCubeError as error:
                remove(folder)
                place = Place(folder, told, error=error)
            yield place

    def checked(self, place: Place) -> None:
        """Take note that a place was looked at; what is unpacked there may have to make room."""
        if place.archive is None:
            return
        self._left -= path_size(place.path)
        if self._left < 0:
            self._left += path_size(place.path)
            remove(place.path)
            self._gone.add(place.path)

    def restore(self, candidate: Candidate) -> None:
        """Unpack again what had to make room.

        Raises
        ------
        TerraCubeError
            If the archive is no longer what it was.
        """
        place = candidate.place
        if place.archive is not None and place.path in self._gone:
            place.path.mkdir(parents=True, exist_ok=True)
            unpack(place.archive, place.path)
            self._gone.discard(place.path)


def _spread(inputs: Iterable[str | Path]) -> Iterator[str]:
    for one in inputs:
        text = str(one)
        if is_remote(text) or Path(text).exists() or not any(letter in text for letter in _MAGIC):
            yield text
            continue
        found = sorted(glob.glob(text, recursive=True))
        if not found:
            raise InputError("no file or folder matches", where=text, todo="check the pattern, and quote it")
        yield from found


def _place(told: str, folder: Path) -> Place:
    if is_remote(told):
        folder.mkdir(parents=True)
        local = fetch(told, folder)
    else:
        local = Path(told.removeprefix("file://"))
        if not local.exists():
            raise InputError("no such file or folder", where=told, todo="check the path")
    if local.is_file() and is_archive(local):
        target = folder / "unpacked"
        target.mkdir(parents=True)
        return Place(unpack(local, target), told, archive=local)
    return Place(local, told)


def candidates(place: Place, source: Source) -> list[Candidate]:
    """Look for deliveries of a source, in the order of their paths.

    The forms of the source are asked in their order; what one has claimed, and all below it, is not asked again. A
    raster that belongs to no delivery is a candidate too, so that it is refused with a reason and not overlooked.

    Raises
    ------
    InputError
        If a folder holds more than a million files.
    """
    rasters = _rasters(place.path)
    found: dict[Path, Candidate] = {}
    for form in source.forms:
        for path in form.find(place.path):
            if not any(path == other or other in path.parents for other in found):
                found[path] = Candidate(path, _name(place, path), form, place)
    folders = {path for path in found if path.is_dir()}
    beside = {path.parent for path in found if path not in folders}
    for path in rasters:
        if path not in found and path.parent not in beside and folders.isdisjoint(path.parents):
            found[path] = Candidate(path, _name(place, path), None, place)
    return [found[path] for path in sorted(found)]


def _name(place: Place, path: Path) -> str:
    """Name what lies in an archive or behind an address by that, and its path inside."""
    if place.told == str(place.path) or not path.is_relative_to(place.path):
        return str(path)
    inside = path.relative_to(place.path)
    return f"{place.told}!{inside}" if inside.parts else place.told


def _rasters(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path] if path.suffix.lower() in _RASTERS else []
    found = []
    for number, each in enumerate(path.rglob("*")):
        if number > _MAX_FILES:
            raise InputError("too many files", where=str(path), expected=f"<= {_MAX_FILES}", todo="ingest in parts")
        if each.suffix.lower() in _RASTERS and each.is_file():
            found.append(each)
    return sorted(found)
