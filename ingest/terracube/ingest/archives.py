"""Archives are unpacked before anything is read of them: bounded, and only plain files below the target folder."""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, NoReturn

from terracube.core.errors import AssetError, HostileInputError, StorageError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_PIECE = 1 << 20
_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
    LookupError,
)
_MAX_RATIO = 1000
"""More than any scene is compressed by; masks without clouds come near."""


@dataclass(frozen=True)
class Limits:
    """What an archive may ask of the machine."""

    bytes: int = 64 << 30
    """All that is unpacked; the largest scenes have some ten gigabytes."""
    files: int = 100_000
    spare: int = 1 << 30
    """Bytes that must stay free on the disk."""


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    plain: bool
    folder: bool
    open: object


def is_archive(path: Path) -> bool:
    """Tell by its name whether a file is an archive that is unpacked."""
    return path.name.lower().endswith(SUFFIXES)


def unpack(path: Path, into: Path, limits: Limits | None = None) -> Path:
    """Unpack a zip or tar archive into a folder that is there and empty.

    Raises
    ------
    HostileInputError
        If a name leaves the folder, is absolute, comes twice or cannot be a file name; if a member is a link or a
        device; if the archive unpacks to more bytes or files than the limits allow, or more than it says itself.
    AssetError
        If it is damaged, encrypted, or no archive.
    StorageError
        If the disk has not the room.
    """
    bounds = limits or Limits()
    try:
        with _opened(path) as members:
            wanted = _checked(path, list(members), bounds)
            _check_room(path, into, sum(member.size for member in wanted), bounds)
            for member in wanted:
                _extract(path, member, into)
    except _BROKEN as error:
        if isinstance(error, OSError) and not isinstance(error, tarfile.TarError | zipfile.BadZipFile) and error.errno:
            raise StorageError(
                "could not unpack", where=str(path), got=str(error.strerror), todo="free space"
            ) from error
        raise AssetError(
            "the archive is damaged", where=str(path), got=str(error)[:120], todo="download it again"
        ) from error
    except RuntimeError as error:  # what zipfile says of encrypted members
        raise AssetError("the archive is encrypted", where=str(path), todo="unpack it by hand") from error
    return into


@contextmanager
def _opened(path: Path) -> Iterator[Iterator[_Member]]:
    if path.name.lower().endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            yield (_zip_member(archive, info) for info in archive.infolist())
    else:
        with tarfile.open(path) as archive:
            yield _tar_members(archive)


def _zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    kind = info.external_attr >> 16
    plain = not kind or not stat.S_IFMT(kind) or stat.S_ISREG(kind) or stat.S_ISDIR(kind)
    if info.file_size > _MAX_RATIO * max(info.compress_size, 1) and info.file_size > _PIECE:
        raise HostileInputError(
            "the archive is a bomb",
            where=f"{archive.filename}!{info.filename[:80]}",
            expected=f"at most {_MAX_RATIO} times its compressed size",
            got=f"{info.compress_size} bytes that become {info.file_size}",
        )
    return _Member(info.filename, info.file_size, plain, info.is_dir(), lambda: archive.open(info))


def _tar_members(archive: tarfile.TarFile) -> Iterator[_Member]:
    for info in archive:
        yield _Member(
            info.name, info.size, info.isreg() or info.isdir(), info.isdir(), lambda i=info: archive.extractfile(i)
        )


def _checked(path: Path, members: Iterable[_Member], bounds: Limits) -> list[_Member]:
    seen: set[str] = set()
    kept: list[_Member] = []
    total = 0
    for number, member in enumerate(members, 1):
        total += member.size
        if number > bounds.files or total > bounds.bytes:
            raise HostileInputError(
                "the archive holds too much",
                where=str(path),
                expected=f"at most {bounds.files} files and {bounds.bytes} bytes",
                got=f"{number} files, {total} bytes or more",
            )
        _check_name(path, member, seen)
        if not member.folder:
            kept.append(member)
    _check_folders(path, kept)
    return kept


def _check_folders(path: Path, members: list[_Member]) -> None:
    files = {PurePosixPath(member.name.lower()) for member in members}
    for member in members:
        if not files.isdisjoint(PurePosixPath(member.name.lower()).parents):
            _refuse(path, member, "a file of the archive lies in what is another file of it")


def _check_name(path: Path, member: _Member, seen: set[str]) -> None:
    name = member.name
    parts = PurePosixPath(name).parts
    if not parts and not member.folder:
        _refuse(path, member, "a file in the archive has no name")
    if not name or not name.isprintable() or "\\" in name or name.startswith("/") or ".." in parts or ":" in name:
        _refuse(path, member, "a name in the archive leaves its folder")
    if any(len(part.encode("utf-8", "surrogatepass")) > 255 for part in parts) or len(name) > 1000:
        _refuse(path, member, "a name in the archive is too long")
    if not member.plain:
        _refuse(path, member, "the archive holds a link or a device")
    key = "/".join(parts).lower()
    if not member.folder and key in seen:
        _refuse(path, member, "the archive holds two files of one name")
    seen.add(key)


def _refuse(path: Path, member: _Member, what: str) -> NoReturn:
    raise HostileInputError(what, where=str(path), expected="plain files below one folder", got=repr(member.name)[:200])


def _check_room(path: Path, into: Path, needed: int, bounds: Limits) -> None:
    free = shutil.disk_usage(into).free
    if needed + bounds.spare > free:
        raise StorageError(
            "there is no room to unpack the archive",
            where=str(path),
            expected=f"{needed + bounds.spare} bytes",
            got=f"{free} bytes free at {into}",
            todo="free space",
        )


def _extract(path: Path, member: _Member, into: Path) -> None:
    """Write one member; never more bytes than it says, whatever its stream gives."""
    target = into / PurePosixPath(member.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    opened: IO[bytes] = member.open()  # type: ignore[operator]  # zipfile and tarfile have no common type
    left = member.size
    with opened as stream, target.open("xb") as out:
        while piece := stream.read(min(_PIECE, left + 1)):
            left -= len(piece)
            if left < 0:
                _refuse(path, member, "a file in the archive is larger than it says")
            out.write(piece)
    if left:
        raise AssetError("the archive is damaged", where=f"{path}!{member.name}", got=f"{left} bytes are missing")
