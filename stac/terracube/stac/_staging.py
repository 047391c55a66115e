"""Folders that are not products: being written (staging), or on their way out (trash)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from terracube.core.files import STAGING_PREFIX, storage_error
from terracube.stac.layout import STAGING, TRASH

# <8 digits of the host's name>-<process id>-<number>-<name>: a process id says nothing on another host.
_STAGED = re.compile(r"([0-9a-f]{8})-([0-9]{1,9})-.*")
_WRITING = re.compile(re.escape(STAGING_PREFIX) + r"([0-9]{1,9})-.*")
_FOREIGN_AGE = 24 * 3600.0  # seconds after which the staging of another host is given up
_WRITING_AGE = 60.0  # seconds; text files are written in far less, also by another host


def fresh_folder(root: Path, name: str) -> Path:
    """Make a new, empty folder in the catalogue's staging area.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    return _fresh(root / STAGING, name)


def move_to_trash(root: Path, folder: Path) -> Path:
    """Move a folder out of sight in one step; give its new place."""
    place = _fresh(root / TRASH, folder.name) / folder.name
    try:
        os.replace(folder, place)
    except OSError as error:
        raise storage_error(error, folder) from error
    return place.parent


def empty(path: Path) -> None:
    """Remove a folder (or file) as far as possible; what resists is tried again by the next sweep."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def left_overs(root: Path) -> Iterator[Path]:
    """Find what dead processes left: staging folders, trash, half-written text files."""
    yield from (path for path in _entries(root / STAGING) if not _is_alive(path))
    yield from _entries(root / TRASH)
    for level in ("", "[!.]*/", "[!.]*/[!.]*/"):
        yield from (path for path in sorted(root.glob(f"{level}{STAGING_PREFIX}*")) if _is_abandoned(path))


def _fresh(parent: Path, name: str) -> Path:
    number = 0
    try:
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            folder = parent / f"{_host()}-{os.getpid()}-{number}-{name}"
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                return folder
            number += 1
    except OSError as error:
        raise storage_error(error, parent) from error


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _is_alive(path: Path) -> bool:
    """Tell whether a staging folder may still be in use."""
    named = _STAGED.fullmatch(path.name)
    if named and named[1] == _host():
        return _runs(int(named[2]))
    return _age(path) < _FOREIGN_AGE


def _is_abandoned(path: Path) -> bool:
    named = _WRITING.fullmatch(path.name)
    return named is not None and not _runs(int(named[1])) and _age(path) > _WRITING_AGE


def _runs(pid: int) -> bool:
    if os.name != "posix":
        return True  # there, signal 0 is not a harmless question
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
