"""Builders of items: plain values in, STAC 1.1 out. Bands are told in ``bands``; nothing here writes a file."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pystac

from terracube.core.digest import multihash, path_sha256, path_size
from terracube.core.errors import AssetError, InputError, MetadataError
from terracube.stac._footprint import footprint as footprint
from terracube.stac._footprint import read_crs
from terracube.stac.extensions import EXTENSIONS as EXTENSIONS
from terracube.stac.extensions import set_extensions as set_extensions

ZARR_MEDIA_TYPE = "application/vnd.zarr; version=3"
_MEDIA_TYPES = {
    ".geojson": "application/geo+json",
    ".html": "text/html",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".png": "image/png",
    ".txt": "text/plain",
    ".xml": "application/xml",
}
_MANIFEST_TOLD = (
    "file:checksum is the sha256 of a manifest: one line per file below the folder, sorted by path, of the file's "
    "sha256 (hex), two spaces, and its path relative to the folder, as sha256sum writes it; file:size is the sum over "
    "all files."
)
_CODE = re.compile(r"[A-Za-z]+:[A-Za-z0-9._-]+")
_NODATA_TEXTS = ("nan", "inf", "-inf")

Fields = dict[str, Any]


def file_fields(path: Path) -> Fields:
    """Give size and checksum of a file or folder as STAC fields (file extension).

    Parameters
    ----------
    path : Path
        A file, or a folder such as a Zarr group, whose checksum is that of its manifest
        (see :func:`terracube.core.digest.tree_manifest`).

    Returns
    -------
    dict
        ``file:size`` in bytes and ``file:checksum``, a sha2-256 multihash in hexadecimal.

    Raises
    ------
    AssetError
        If it cannot be read.
    """
    try:
        return {"file:size": path_size(path), "file:checksum": multihash(path_sha256(path))}
    except OSError as error:
        raise AssetError("a file cannot be read", where=str(path), got=str(error.strerror or error)) from error


def band(
    name: str,
    *,
    common_name: str | None = None,
    center_wavelength: float | None = None,
    fwhm: float | None = None,
    scale: float | None = None,
    offset: float | None = None,
    **facts: Any,
) -> Fields:
    """Describe one band for the list ``bands`` of an asset.

    Parameters
    ----------
    name : str
        Name of the band, unique within its asset.
    common_name : str
        One of the names of the eo extension, such as ``red`` or ``rededge071``.
    center_wavelength, fwhm : float
        Centre and full width at half maximum, in micrometres.
    scale, offset : float
        Value = stored number * scale + offset.
    **facts
        Fields of the STAC band object under their own names: ``description``, ``unit``, ``data_type``, ``nodata``
        (a number, NaN included), ``statistics`` (non-finite numbers are left out), ``raster:spatial_resolution``, ...

    Returns
    -------
    dict
        The band, without what is ``None``.

    Examples
    --------
    >>> band("red", common_name="red", center_wavelength=0.665, nodata=float("nan"))
    {'name': 'red', 'eo:common_name': 'red', 'eo:center_wavelength': 0.665, 'nodata': 'nan'}
    """
    fields = {
        "name": name,
        "eo:common_name": common_name,
        "eo:center_wavelength": center_wavelength,
        "eo:full_width_half_max": fwhm,
        "raster:scale": scale,
        "raster:offset": offset,
        **facts,
        "nodata": _nodata(facts.get("nodata")),
        "statistics": _statistics(facts.get("statistics")),
    }
    return {key: _plain(value) for key, value in fields.items() if value is not None}


def projection_fields(
    code: str | None, *, shape: Sequence[int] | None = None, transform: Sequence[float] | None = None
) -> Fields:
    """Describe a pixel grid with the fields of the projection extension.

    Parameters
    ----------
    code : str
        ``EPSG:32633``; or WKT2 or PROJJSON, from which the code is taken if there is one, and which is written out as
        ``proj:wkt2`` and ``proj:projjson`` if there is none. ``None`` for data on no map grid.
    shape : sequence of 2 int
        Rows, columns.
    transform : sequence of 6 (or 9) float
        Affine transform from (column, row) of pixel corners to map coordinates, row by row.

    Returns
    -------
    dict
        ``proj:code``, ``proj:shape``, ``proj:transform``, and ``proj:bbox`` if both are given.

    Raises
    ------
    MetadataError
        If the CRS is unknown.

    Examples
    --------
    >>> projection_fields("EPSG:32633", shape=(2, 3), transform=(10, 0, 500000, 0, -10, 5200000))["proj:bbox"]
    [500000.0, 5199980.0, 500030.0, 5200000.0]
    """
    fields = _crs_fields(code)
    if shape is not None:
        fields["proj:shape"] = [int(size) for size in shape]
    if transform is not None:
        fields["proj:transform"] = [float(value) for value in tuple(transform)[:6]]
    if shape is not None and transform is not None:
        fields["proj:bbox"] = _map_box(fields["proj:shape"], fields["proj:transform"])
    return fields


def raster_asset(
    path: Path,
    *,
    href: str,
    title: str,
    roles: Sequence[str],
    bands: Sequence[Mapping[str, Any]],
    code: str | None,
    shape: Sequence[int],
    transform: Sequence[float],
    nodata: float | str | None = None,
    data_type: str | None = None,
    statistics: Mapping[str, Any] | None = None,
    media_type: str = pystac.MediaType.COG,
) -> pystac.Asset:
    """Describe a raster file that is there.

    Parameters
    ----------
    path : Path
        The file, whose size and checksum are taken.
    href : str
        The file as seen from the item's folder: ``./red.tif``.
    title, roles
        As STAC has them; roles such as ``data``, ``reflectance``, ``overview``.
    bands : sequence of dict
        In the order of the file; see :func:`band`.
    code, shape, transform
        The pixel grid; see :func:`projection_fields`.
    nodata : float or str
        The value that means missing; NaN is written ``"nan"``. ``None`` = the file declares none.
    data_type : str
        numpy's name of the type of the stored numbers, such as ``uint16``.
    statistics : mapping
        ``minimum``, ``maximum``, ``mean``, ``stddev``, ``count``, ``valid_percent``; numbers that are not finite are
        left out. Of a file with several bands, give them per band instead.
    media_type : str
        Cloud-optimised GeoTIFF unless said otherwise.

    Raises
    ------
    AssetError
        If the file cannot be read.
    MetadataError
        If the CRS is unknown.
    """
    values = {"data_type": data_type, "nodata": _nodata(nodata), "statistics": _statistics(statistics)}
    extra = {
        "bands": [_plain(one) for one in bands],
        **{key: value for key, value in values.items() if value is not None},
        **projection_fields(code, shape=shape, transform=transform),
        **file_fields(path),
    }
    return _asset(href, title=title, roles=roles, media_type=media_type, extra=extra)


def zarr_asset(
    folder: Path,
    *,
    href: str,
    title: str,
    roles: Sequence[str],
    bands: Sequence[Mapping[str, Any]] = (),
    grid: Mapping[str, Any] | None = None,
    description: str | None = None,
) -> pystac.Asset:
    """Describe a Zarr v3 group or array that is there.

    Parameters
    ----------
    folder : Path
        The node: the folder that holds its ``zarr.json``.
    href, title, roles, bands
        As in :func:`raster_asset`.
    grid : mapping
        Fields of :func:`projection_fields`, if all arrays share one grid.
    description : str
        Put before the sentence that tells how the checksum of the folder is computed.

    Raises
    ------
    AssetError
        If it is no Zarr v3 node, or cannot be read.
    """
    node = _zarr_node(folder)
    extra = {
        **({"bands": [_plain(one) for one in bands]} if bands else {}),
        **(grid or {}),
        "zarr:zarr_format": 3,
        "zarr:node_type": node["node_type"],
        "zarr:consolidated": node.get("consolidated_metadata") is not None,
        **file_fields(folder),
    }
    asset = _asset(href, title=title, roles=roles, media_type=ZARR_MEDIA_TYPE, extra=extra)
    asset.description = f"{description} {_MANIFEST_TOLD}" if description else _MANIFEST_TOLD
    return asset


def file_asset(
    path: Path,
    *,
    href: str,
    title: str,
    roles: Sequence[str],
    media_type: str | None = None,
    description: str | None = None,
) -> pystac.Asset:
    """Describe any other file that is there: a quick-look, a report, a table.

    Parameters
    ----------
    path : Path
        The file, whose size and checksum are taken.
    href, title, roles
        As in :func:`raster_asset`.
    media_type : str
        Needed only where the suffix does not tell (known: png, jpg, html, json, geojson, txt, xml).
    description : str
        Longer text.

    Raises
    ------
    AssetError
        If the file cannot be read.
    InputError
        If neither the suffix nor ``media_type`` tells what it is.
    """
    known = media_type or _MEDIA_TYPES.get(path.suffix.lower())
    if known is None:
        raise InputError(
            "the suffix of a file does not tell its media type",
            where=str(path),
            expected=", ".join(sorted(_MEDIA_TYPES)),
            todo="give media_type",
        )
    asset = _asset(href, title=title, roles=roles, media_type=known, extra=file_fields(path))
    asset.description = description
    return asset


def _crs_fields(code: str | None) -> Fields:
    if code is None:
        return {"proj:code": None}
    crs = read_crs(code)
    if _CODE.fullmatch(code):
        return {"proj:code": code.upper()}
    authority = crs.to_authority(min_confidence=100)
    if authority is not None:
        return {"proj:code": ":".join(authority)}
    return {"proj:code": None, "proj:wkt2": crs.to_wkt("WKT2_2019"), "proj:projjson": crs.to_json_dict()}


def _map_box(shape: Sequence[int], transform: Sequence[float]) -> list[float]:
    a, b, c, d, e, f = transform
    rows, columns = shape
    corners = [(a * x + b * y + c, d * x + e * y + f) for x in (0, columns) for y in (0, rows)]
    xs, ys = zip(*corners, strict=True)
    return [min(xs), min(ys), max(xs), max(ys)]


def _zarr_node(folder: Path) -> Fields:
    try:
        node = dict(json.loads((folder / "zarr.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise AssetError(
            "the folder is no Zarr v3 node", where=str(folder), expected="zarr.json", got=str(error)
        ) from error
    if node.get("zarr_format") != 3 or node.get("node_type") not in ("group", "array"):
        raise AssetError("the folder is no Zarr v3 node", where=str(folder), got=str(node)[:100])
    return node


def _asset(href: str, *, title: str, roles: Iterable[str], media_type: str, extra: Fields) -> pystac.Asset:
    return pystac.Asset(href, title=title, media_type=str(media_type), roles=list(roles), extra_fields=extra)


def _nodata(value: Any) -> float | int | str | None:
    """Write a nodata value as STAC 1.1 does: a number, or the text nan, inf or -inf."""
    value = _plain(value)
    if value is None or (isinstance(value, str) and value in _NODATA_TEXTS):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MetadataError("nodata is no number", expected="a number, nan, inf or -inf", got=repr(value))
    return value if math.isfinite(value) else str(float(value))


def _statistics(values: Mapping[str, Any] | None) -> Fields | None:
    kept = {key: _plain(value) for key, value in (values or {}).items()}
    finite = {key: value for key, value in kept.items() if not isinstance(value, float) or math.isfinite(value)}
    return {key: value for key, value in finite.items() if value is not None} or None


def _plain(value: Any) -> Any:
    """Turn numpy scalars, tuples and mappings into what JSON knows."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value.item() if hasattr(value, "item") else value
