"""Files: nothing half-written is ever visible under its final name, and no name leaves its folder."""

from __future__ import annotations

import os
import re
import shutil
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from terracube.core.errors import HostileInputError, StorageError

_MAX_NAME = 128
# What Linux and macOS allow for one part of a path, and for a whole one.
_MAX_PART, _MAX_PATH = 255, 1024
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
STAGING_PREFIX = ".writing-"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` if the block ends well, else remove it.

    The temporary name starts with ``.writing-`` and keeps the suffix, because some writers choose the format by it.
    It is the writer's own: two threads or processes that write one path do not meet; the last to end wins.

    Raises
    ------
    StorageError
        If the disk refuses (full, read-only, gone).
    """
    temporary = path.with_name(f"{STAGING_PREFIX}{os.getpid()}-{threading.get_ident()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        remove(temporary)


def storage_error(error: OSError, path: Path) -> StorageError:
    """Say in our words what the operating system refused."""
    return StorageError(
        "could not write", where=str(path), got=str(error.strerror or error), todo="free space or choose another place"
    )


def sync(path: Path) -> None:
    """Flush a file, or a folder with all that is in it, to the disk, so that a rename never outlives its content."""
    inside = [path] if path.is_file() else [path, *sorted(path.rglob("*"))]
    for entry in inside:
        if entry.is_dir():
            sync_folder(entry)
        elif entry.is_file():
            with entry.open("rb") as stream:
                os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder: without it a renamed file may be gone after a power cut."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Remove a file or a folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.is_symlink() or path.exists():
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def safe_name(name: str, *, what: str) -> str:
    """Accept a name that can be a file name everywhere, refuse any other.

    Parameters
    ----------
    name : str
        The name as it came from outside.
    what : str
        What it names, for the message: ``"item id"``, ``"asset key"``.

    Raises
    ------
    HostileInputError
        If it is empty, longer than 128 characters, starts with a dot or dash, or holds anything but letters,
        digits and ``. _ + -`` (so no ``/``, no NUL).

    Examples
    --------
    >>> safe_name("S2A_33TWM_20230815_0_L2A", what="item id")
    'S2A_33TWM_20230815_0_L2A'
    """
    if len(name) <= _MAX_NAME and _SAFE_NAME.fullmatch(name):
        return name
    raise HostileInputError(
        f"{what} cannot be used as a file name",
        where=what,
        expected=f"1 to {_MAX_NAME} letters, digits, '.', '_', '+' or '-', starting with a letter or digit",
        got=repr(name[:80]) + (f"... ({len(name)} characters)" if len(name) > 80 else ""),
        todo="rename it at its source",
    )


def is_remote(href: str) -> bool:
    """Tell whether an href names a place beyond this machine's files (``https://``, ``s3://``, ``/vsicurl``, ...).

    Examples
    --------
    >>> is_remote("https://example.org/B04.tif"), is_remote("./B04.tif"), is_remote("/vsicurl/http://a/b.tif")
    (True, False, True)
    """
    try:
        return href.startswith("/vsi") or urllib.parse.urlsplit(href).scheme not in ("", "file")
    except ValueError:  # no address at all, such as "//[": certainly no name of a file beside the item
        return True


def resolve_below(folder: Path | str, href: str) -> Path:
    """Turn a local href of an item into a path, which must lie below the item's folder.

    Raises
    ------
    HostileInputError
        If the href is remote, absolute, no name of a file (NUL, too long, not encodable), or leaves the folder, also
        through a symbolic link.
    """
    local = "://" not in href and not is_remote(href) and not os.path.isabs(href)
    if local and _can_name_a_file(href):
        path = os.path.join(folder, href.removeprefix("./"))
        plain = "/" not in href.removeprefix("./") and href not in ("", ".", "..", "./", "./.", "./..")
        # A plain name that is no link cannot lead anywhere else. os.path.realpath, unlike Path.resolve, does not raise
        # on a symbolic link that leads to itself.
        if (plain and not os.path.islink(path)) or Path(os.path.realpath(path)).is_relative_to(
            os.path.realpath(folder)
        ):
            return Path(path)
    raise HostileInputError(
        "an href leaves the folder of its item",
        where=str(folder),
        expected="a relative path below that folder",
        got=repr(href[:200]),
        todo="move the file beside its item",
    )


def _can_name_a_file(href: str) -> bool:
    try:
        whole = os.fsencode(href)
    except UnicodeEncodeError:
        return False
    return b"\0" not in whole and len(whole) <= _MAX_PATH and all(len(p) <= _MAX_PART for p in whole.split(b"/"))
