"""Where the bytes of an asset lie: below the folder of its item, or at an address without any token."""

from __future__ import annotations

import os
import posixpath
import re
import urllib.parse
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from terracube.core.errors import AssetError, HostileInputError, InputError, MetadataError
from terracube.core.files import is_remote, resolve_below
from terracube.cubes.access.location import Location
from terracube.cubes.access.opening import check_href
from terracube.cubes.access.redact import safe_name, strip_grant
from terracube.cubes.access.s3 import object_url
from terracube.cubes.access.signing import Signer
from terracube.cubes.items.view import ItemView

_ADDRESS = re.compile(r"(https?|s3)://", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_MAX_HREF = 4096
_ZARR_TYPES = ("application/vnd+zarr", "application/vnd.zarr", "application/x-zarr", "application/zarr")
_NETCDF_TYPES = ("application/x-netcdf", "application/netcdf", "application/vnd.netcdf")

Json = Mapping[str, Any]


def locate(
    view: ItemView, key: str, variable: str = "", *, signer: Signer | None = None, roots: tuple[Path, ...] = ()
) -> Location:
    """Say where an asset lies.

    Parameters
    ----------
    view : ItemView
    key : str
        Of the asset.
    variable : str
        Name of the band, for assets that hold several variables (Zarr groups, NetCDF files).
    signer : Signer or None
        Who signs addresses when they are read.
    roots : tuple of Path
        Folders whose files an item may name by absolute paths; without any, only files below the item's own folder.

    Raises
    ------
    AssetError
        If the file is missing, or the address is none that can be read, or carries a token.
    HostileInputError
        If the href leaves the item's folder.
    MetadataError
        If the href is relative and the item does not say where it lies, or the variable is not known.
    """
    where = f"{view.id}/{key}"
    asset = view.assets[key]
    href = asset.get("href") if isinstance(asset, Mapping) else None
    if not isinstance(href, str):
        raise AssetError("the asset has no href", where=where, got=repr(href)[:80])
    kind = _kind(asset, href)
    place, fragment = _fragment(href, kind)
    resolved = _resolve(view, place, where, roots)
    if not kind:
        if "://" not in resolved:
            _check_there(resolved, where, folder=False)
        return Location(resolved, "", signer)
    root, inner = _split_store(resolved) if kind == "zarr" else (resolved, "")
    # A NetCDF file with one variable needs no name for it.
    member = fragment or (_member(inner, asset, variable, where) if kind == "zarr" else _named(asset, variable))
    if "://" not in root:
        _check_there(root, where, folder=kind == "zarr")
    return Location(root, member, signer)


def local_file(view: ItemView, key: str, *, folder: bool = False) -> Path:
    """Give the file, or the folder, of an asset that has to lie on this machine; as :func:`locate`."""
    where = f"{view.id}/{key}"
    href = view.assets[key].get("href")
    if not isinstance(href, str) or is_remote(href):
        raise AssetError(
            "the asset is not on this machine", where=where, got=str(href)[:200], todo="ingest the scene first"
        )
    if view.folder is None:
        raise _nowhere(view)
    path = resolve_below(view.folder, href)
    _check_there(path, where, folder=folder)
    return path


def _check_there(path: Path | str, where: str, *, folder: bool) -> None:
    kind = "folder" if folder else "file"
    if not (os.path.isdir(path) if folder else os.path.isfile(path)):
        raise AssetError(f"the {kind} of the asset is missing", where=where, expected=str(path), got=f"no {kind}")


def _nowhere(view: ItemView) -> MetadataError:
    return MetadataError(
        "the item does not say where it lies",
        where=view.id,
        expected="a self link with a path on this machine, or an address",
        got=repr(view.base)[:200],
        todo="read it with pystac.Item.from_file, or give it absolute hrefs and their folder as a root",
    )


def _resolve(view: ItemView, href: str, where: str, roots: tuple[Path, ...]) -> str:
    """Give the absolute path, or the address."""
    if _ADDRESS.match(href):
        return _address(href, where)
    if href.startswith("file://") or (Path(href).is_absolute() and not is_remote(href) and "://" not in view.base):
        return _below_a_root(view, href, roots)
    if is_remote(href):
        raise AssetError(
            "the asset lies at a place that is not read",
            where=where,
            expected="a file beside the item, or an address with http, https or s3",
            got=safe_name(href)[:200],
        )
    if not view.base:
        raise _nowhere(view)
    if "://" not in view.base:
        return str(resolve_below(posixpath.dirname(view.base), href))
    return _address(_joined(view.base, href), where)


def _below_a_root(view: ItemView, href: str, roots: tuple[Path, ...]) -> str:
    path = urllib.parse.unquote(href.removeprefix("file://")) if href.startswith("file://") else href
    own = () if view.folder is None else (view.folder,)
    for root in (*own, *roots):
        if path.startswith(str(root.absolute()) + os.sep):
            return str(resolve_below(root.absolute(), os.path.relpath(path, root.absolute())))
    raise HostileInputError(
        "an href leaves the folder of its item",
        where=view.id,
        expected="a relative path below that folder, or a path below one of the roots",
        got=repr(href[:200]),
        todo="move the file beside its item, or name its folder as a root",
    )


def _joined(base: str, href: str) -> str:
    """Join a relative href to the address of its item; urllib knows http, but not s3."""
    if not base.startswith("s3://"):
        try:
            return urllib.parse.urljoin(base, href)
        except ValueError:
            return ""
    bucket, _, key = base.removeprefix("s3://").partition("/")
    inside = posixpath.normpath(posixpath.join("/", posixpath.dirname(key), href))
    return f"s3://{bucket}{inside}"


def _address(href: str, where: str) -> str:
    """Accept an address that can be kept: every token in it would end in graphs, logs and records."""
    if len(href) > _MAX_HREF or _CONTROL.search(href):
        raise HostileInputError("the address of the asset is none", where=where, got=repr(safe_name(href)[:200]))
    try:
        parts = urllib.parse.urlsplit(href)
        host = parts.hostname if parts.scheme != "s3" else parts.netloc
    except ValueError:
        parts, host = None, None
    if parts is None or not host or parts.scheme not in ("http", "https", "s3"):
        raise AssetError(
            "the address of the asset is none", where=where, expected="http, https or s3", got=safe_name(href)[:200]
        )
    # A raster is no page with places in it: what follows a # names nothing, and may be a grant.
    if "@" in parts.netloc or parts.fragment or strip_grant(href) != href:
        raise AssetError(
            "the address of the asset carries a token",
            where=where,
            expected="an address without signature, key, session, fragment or password: tokens are never kept",
            got=safe_name(href)[:200] + "?...",
            todo="give the items as the catalogue has them, unsigned, and who signs as signer=",
        )
    return _openable(href, f"{parts.scheme}://{parts.netloc}/x", where)


# Thousands of items lie on a few hosts.
_check_host = lru_cache(maxsize=256)(check_href)


def _openable(href: str, host: str, where: str) -> str:
    """Refuse now what could not be asked for later: then it would be no error of one item, but of the whole cube."""
    try:
        if href.startswith("s3://"):
            object_url(href, "https://localhost")
        _check_host(host)
        return href if href.isprintable() and "\\" not in href else check_href(href)
    except HostileInputError as error:
        raise HostileInputError(error.what, where=where, expected=error.expected, got=safe_name(href)[:200]) from error
    except InputError as error:
        raise AssetError(error.what, where=where, expected=error.expected, got=safe_name(href)[:200]) from error


def _kind(asset: Json, href: str) -> str:
    """Tell whether an asset holds variables: ``zarr``, ``netcdf``, or empty for a raster."""
    told = str(asset.get("type") or "").lower()
    path = href.partition("?")[0].partition("#")[0]
    if told.startswith(_ZARR_TYPES) or ".zarr/" in f"{path}/":
        return "zarr"
    return "netcdf" if told.startswith(_NETCDF_TYPES) or path.endswith((".nc", ".nc4")) else ""


def _fragment(href: str, kind: str) -> tuple[str, str]:
    """Split off the variable that an href names after ``#``; rasters have none."""
    place, _, fragment = href.partition("#")
    return (place, fragment.strip("/")) if kind else (href, "")


def _split_store(href: str) -> tuple[str, str]:
    """Split a path into the Zarr store and what is inside.

    Examples
    --------
    >>> _split_store("https://example.org/a.zarr/measurements/b04")
    ('https://example.org/a.zarr', 'measurements/b04')
    """
    root, found, inner = href.partition(".zarr/")
    return (root + ".zarr", inner.strip("/")) if found else (href.rstrip("/"), "")


def _member(inner: str, asset: Json, variable: str, where: str) -> str:
    """Give the variable inside a store: the path itself where it ends at one, else the named one below it."""
    is_group = asset.get("zarr:node_type") == "group" or len(_names(asset)) > 1 or not inner
    last = inner.rpartition("/")[2]
    if not is_group or (variable and last.lower() == variable.lower()):
        return inner
    name = _named(asset, variable)
    if not name:
        raise MetadataError(
            "the variable in the asset is not named",
            where=where,
            expected="a path to a variable, or its name in the asset's bands",
            got=inner or "the whole store",
            todo="name it after # in the href, or ask for one of the asset's bands",
        )
    return f"{inner}/{name}" if inner else name


def _names(asset: Json) -> list[Any]:
    told = asset.get("bands")
    return [one.get("name") for one in told if isinstance(one, Mapping)] if isinstance(told, list) else []


def _named(asset: Json, variable: str) -> str:
    names = _names(asset)
    return variable or (names[0] if len(names) == 1 and isinstance(names[0], str) else "")
