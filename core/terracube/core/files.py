"""Files: nothing half-written is ever visible under its final name, and no name leaves its folder."""

from __future__ import annotations

import os
import re
import shutil
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from terracube.core.errors import HostileInputError, StorageError

_MAX_NAME = 128
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
STAGING_PREFIX = ".writing-"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` if the block ends well, else remove it.

    The temporary name starts with ``.writing-`` and keeps the suffix, because some writers choose the format by it.

    Raises
    ------
    StorageError
        If the disk refuses (full, read-only, gone).
    """
    temporary = path.with_name(f"{STAGING_PREFIX}{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
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
    """Flush a file, or every file of a folder, to the disk, so that a rename never outlives its content."""
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        with file.open("rb") as stream:
            os.fsync(stream.fileno())


def remove(path: Path) -> None:
    """Remove a file or a folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
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
    return href.startswith("/vsi") or (urllib.parse.urlsplit(href).scheme not in ("", "file"))


def resolve_below(folder: Path, href: str) -> Path:
    """Turn a local href of an item into a path, which must lie below the item's folder.

    Raises
    ------
    HostileInputError
        If the href is remote, absolute, holds NUL, or leaves the folder, also through a symbolic link.
    """
    path = (folder / href) if "\0" not in href else folder
    inside = "\0" not in href and not is_remote(href) and path.resolve().is_relative_to(folder.resolve())
    if inside and not Path(href).is_absolute():
        return path
    raise HostileInputError(
        "an href leaves the folder of its item",
        where=str(folder),
        expected="a relative path below that folder",
        got=repr(href[:200]),
        todo="move the file beside its item",
    )
