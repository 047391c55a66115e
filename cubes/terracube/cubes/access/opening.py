"""The door to bytes: which addresses are opened, and by what."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol
from urllib.parse import unquote, urlsplit

from terracube.core.errors import AssetError, HostileInputError, InputError
from terracube.cubes.access.connections import check_address
from terracube.cubes.access.files import forget_files, open_local
from terracube.cubes.access.location import Location
from terracube.cubes.access.redact import safe_name
from terracube.cubes.access.remote import fetch_remote, forget_remote, open_remote

_LONGEST = 4096


class ByteSource(Protocol):
    """A file of which any bytes can be read, by several threads at once."""

    @property
    def size(self) -> int:
        """Bytes in all."""
        ...

    @property
    def name(self) -> str:
        """Path or address, safe to print."""
        ...

    @property
    def version(self) -> str:
        """Text that changes when the file does, as far as its place tells; for keys of caches."""
        ...

    def read(self, start: int, stop: int) -> bytes:
        """Give the bytes from ``start`` to before ``stop``."""
        ...

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Give the bytes of several ranges (start, stop), in their order."""
        ...


def check_href(href: str) -> str:
    """Give an address in the one form that is opened, or refuse it.

    Parameters
    ----------
    href : str
        Absolute path, ``file://`` URL, or http, https or s3 URL.

    Returns
    -------
    str
        A path, or the URL as it is.

    Raises
    ------
    InputError
        If it is relative, of a scheme that is not read, or holds a user name.
    HostileInputError
        If it is meant to slip through: a GDAL virtual path, control characters, a link-local address.

    Examples
    --------
    >>> check_href("file:///data/B04%20x.tif")
    '/data/B04 x.tif'
    """
    if len(href) > _LONGEST or not href.isprintable():
        raise HostileInputError(
            "the address is no address", where=href[:80], expected="at most 4096 characters, none of control"
        )
    if href.lower().startswith("/vsi"):
        raise HostileInputError("virtual paths are not opened", where=safe_name(href), expected="a path or URL")
    scheme = href.partition("://")[0].lower() if "://" in href else ""
    if scheme == "file":
        return check_href(_path_of(href))
    if scheme in ("http", "https", "s3"):
        return _check_url(href)
    if scheme or not os.path.isabs(href):
        raise InputError(
            "nothing is read from such an address",
            where=safe_name(href),
            expected="an absolute path, file://, http://, https:// or s3://",
            todo="resolve it against the item's own address" if not scheme else "",
        )
    return href


def _path_of(href: str) -> str:
    """Give the path of a file URL; a ``?`` or ``#`` in it is percent-encoded, and part of the name."""
    host, slash, path = href[len("file://") :].partition("/")
    if host.lower() not in ("", "localhost"):
        raise InputError("a file of another machine", where=safe_name(href), expected="file:///path")
    decoded = slash + unquote(path)
    # Decoded, it could be another URL, or relative.
    if "://" in decoded or not os.path.isabs(decoded):
        raise HostileInputError("the file URL holds no path", where=safe_name(href), expected="file:///path")
    return decoded


def _check_url(href: str) -> str:
    name = safe_name(href)
    try:
        parts = urlsplit(href)
        user, host = parts.username or parts.password, parts.hostname
        _ = parts.port
    except ValueError:
        raise InputError("the address is no address", where=name) from None
    if user:
        raise InputError("a user name in an address", where=name, todo="give a signer that reads it from a variable")
    if not host or "\\" in href or " " in parts.netloc:
        raise InputError("the address names no host", where=name)
    check_address(host, name)
    return href


def open_bytes(location: Location) -> ByteSource:
    """Open a file for reading bytes, wherever it lies.

    Local files keep a descriptor, remote ones what was learnt of them, in pools of this process; both may be asked for
    again and again at little cost. Tokens are added when bytes are read.

    Parameters
    ----------
    location : Location

    Returns
    -------
    ByteSource

    Raises
    ------
    InputError, HostileInputError
        If nothing is read from such an address.
    AssetError
        If the file is missing or no regular file; `AccessError` if a server refuses it, and `UnreachableError` if none
        answers.
    """
    href = check_href(location.href)
    if "://" not in href:
        return open_local(href)
    return open_remote(Location(href, signer=location.signer))


def read_whole(location: Location, *, most: int) -> bytes:
    """Give all bytes of a small file: a remote one in a single request, of which nothing is kept.

    Raises
    ------
    NotThereError
        If there is none.
    AssetError
        If it has more than ``most`` bytes, or cannot be read; and all that `open_bytes` raises.
    """
    href = check_href(location.href)
    if "://" in href:
        return fetch_remote(Location(href, signer=location.signer), most)
    source = open_local(href)
    if source.size > most:
        raise AssetError("the file is too large", where=href, expected=f"at most {most} bytes", got=f"{source.size}")
    return source.read(0, source.size)


def forget() -> None:
    """Close local files that nobody holds, and forget what was learnt of remote ones."""
    forget_files()
    forget_remote()
