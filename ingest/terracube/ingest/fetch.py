"""Remote files and folders come to this machine before they are looked at: through fsspec, bounded, whole or not."""

from __future__ import annotations

import errno
import os
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec

from terracube.core.errors import AssetError, HostileInputError, InputError, StorageError, TerraCubeError
from terracube.core.files import safe_name

_SCHEMES = ("https", "http", "s3", "gs", "az", "abfs")
_PIECE = 1 << 22
_MAX_BYTES = 64 << 30
_MAX_FILES = 100_000


def fetch(address: str, into: Path, *, limit: int = _MAX_BYTES) -> Path:
    """Copy what lies at an address into a folder; give the path of the copy.

    Parameters
    ----------
    address : str
        A file (``https://``, ``s3://``), or a folder of an object store. Who may read it is told by the environment,
        as fsspec's file systems take it (``AWS_*``, ``FSSPEC_*``); never by the address itself.
    into : Path
        A folder that is there.
    limit : int
        Bytes beyond which nothing is copied.

    Raises
    ------
    InputError
        If the scheme is not read, or the package that reads it is not installed.
    AssetError
        If it cannot be reached or is not there.
    HostileInputError
        If it is larger than the limit, or holds names that leave the folder.
    """
    scheme, _, rest = address.partition("://")
    if scheme not in _SCHEMES or not rest:
        raise InputError("such addresses are not read", where=address[:200], expected=", ".join(_SCHEMES))
    if "@" in rest.partition("/")[0]:
        raise InputError("the address holds a user name", where=f"{scheme}://...", todo="give keys by the environment")
    shown = address.split("?", 1)[0]
    try:
        system, path = fsspec.core.url_to_fs(address)
        return _copy(system, path, into / _leaf(shown), shown, limit)
    except ImportError as error:
        raise InputError(
            "a package is needed to read such addresses",
            where=shown,
            got=str(error)[:120],
            todo="pip install 'terracube[s3]'",
        ) from error
    except TerraCubeError:
        raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StorageError(
                "could not write", where=str(into), got=str(error.strerror), todo="free space"
            ) from error
        raise AssetError("cannot read the address", where=shown, got=type(error).__name__) from error
    except Exception as error:  # each store raises classes of its own; none may stop the others
        raise AssetError("cannot read the address", where=shown, got=type(error).__name__) from error


def _leaf(shown: str) -> str:
    return safe_name(PurePosixPath(shown.rstrip("/")).name, what="name at the end of the address")


def _copy(system: Any, path: str, target: Path, shown: str, limit: int) -> Path:
    if system.isfile(path):
        _copy_file(system, path, target, shown, limit)
        return target
    found = system.find(path, detail=True)
    if not found:
        raise AssetError("there is nothing at the address", where=shown)
    if len(found) > _MAX_FILES or sum(int(told.get("size") or 0) for told in found.values()) > limit:
        raise HostileInputError(
            "the folder holds too much", where=shown, expected=f"<= {_MAX_FILES} files, {limit} bytes"
        )
    left = limit
    root = path.rstrip("/") + "/"
    for name in sorted(found):
        inside = PurePosixPath(name.removeprefix(root))
        if inside.is_absolute() or ".." in inside.parts or not str(inside).isprintable():
            raise HostileInputError("a name leaves the folder", where=shown, got=repr(name)[:200])
        left -= _copy_file(system, name, target / inside, shown, left)
    return target


def _copy_file(system: Any, path: str, target: Path, shown: str, limit: int) -> int:
    """Copy a file; it has its name only when it is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".part-{target.name}")
    copied = 0
    expected = system.info(path).get("size")
    with system.open(path, "rb", cache_type="readahead", block_size=_PIECE) as stream, part.open("wb") as out:
        while piece := stream.read(_PIECE):
            copied += len(piece)
            if copied > limit:
                raise HostileInputError("the file is too large", where=shown, expected=f"<= {limit} bytes")
            out.write(piece)
    if expected is not None and copied != expected:
        raise AssetError("the copy is not whole", where=shown, expected=f"{expected} bytes", got=f"{copied} bytes")
    os.replace(part, target)
    return copied
