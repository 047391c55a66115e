"""Which files a delivery of measurements holds: named, listed in folders and archives, fetched; each content once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from terracube.core.digest import file_sha256
from terracube.core.errors import InputError, TerraCubeError
from terracube.ingest.deliveries import Place
from terracube.ingest.insitu.asides import is_aside
from terracube.ingest.insitu.dataset import SourceFile
from terracube.ingest.insitu.mapping import Mapping
from terracube.ingest.report import IngestReport

_MOST_FILES = 100_000


@dataclass(frozen=True, slots=True)
class Delivered:
    """A file on this machine."""

    path: Path
    told: str
    """How to name it to the user: its path, or archive and path inside, or address."""
    source: SourceFile


def list_files(
    places: Iterable[Place], report: IngestReport, mapping: Mapping | None = None
) -> tuple[list[Delivered], list[str]]:
    """List the files of all places by name, with their digests; what cannot be read goes to the report.

    Hidden files of folders and archives are passed over without a word, and what is there to be read by people (see
    `terracube.ingest.insitu.asides`) with one; a file that was named is always listed. Of files with the same bytes
    the first, by name, counts.

    Returns
    -------
    files : list of Delivered
    notes : list of str
        Which files were passed over, and which left out as copies.

    Raises
    ------
    InputError
        If there are more than 100 000 files.
    """
    found: dict[Path, str] = {}
    asides: dict[Path, str] = {}
    for place in places:
        if place.error is not None:
            report.refuse(place.told, Path(place.told).name, str(place.error))
            continue
        for path, told in _inside(place):
            aside = place.path.is_dir() and is_aside(path, mapping)
            (asides if aside else found).setdefault(path.resolve(), told)
        if len(found) > _MOST_FILES:
            expected = f"<= {_MOST_FILES}"
            raise InputError("too many files", where=place.told, expected=expected, todo="ingest in parts")
    listed, notes = _once(sorted(found.items(), key=lambda one: (one[0].name, one[1])), report)
    passed = sorted(told for path, told in asides.items() if path not in found)
    return listed, [*notes, *(f"{told} is no table of measurements, and was passed over" for told in passed)]


def _inside(place: Place) -> Iterator[tuple[Path, str]]:
    """Give the files of a place, and how to name them."""
    if not place.path.is_dir():
        yield place.path, place.told
        return
    for path in sorted(place.path.rglob("*")):
        inner = path.relative_to(place.path)
        if path.is_file() and not any(part.startswith(".") for part in inner.parts):
            yield path, f"{place.told.rstrip('/')}/{inner.as_posix()}"


def _once(files: Iterable[tuple[Path, str]], report: IngestReport) -> tuple[list[Delivered], list[str]]:
    listed: list[Delivered] = []
    notes: list[str] = []
    seen: dict[str, str] = {}
    for path, told in files:
        try:
            digest, size = file_sha256(path), path.stat().st_size
        except OSError as error:
            report.refuse(told, path.name, f"cannot read the file ({error.strerror or error})")
            continue
        if digest in seen:
            notes.append(f"{told} holds the same bytes as {seen[digest]}, and counts once")
        else:
            seen[digest] = told
            listed.append(Delivered(path, told, SourceFile(path.name, digest, size)))
    return listed, notes


def reason(error: TerraCubeError) -> str:
    """Say what is wrong with a file without the place where it lay, which is nobody's business later.

    Examples
    --------
    >>> reason(InputError("no number", where="/data/a.csv", got="x"))
    'no number (got: x)'
    """
    return str(TerraCubeError(error.what, expected=error.expected, got=error.got))[:500]
