"""What the header of a file says, and whether it is what an item claims."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
from pyproj import CRS
from rasterio.io import DatasetReader

from terracube.core.errors import AssetError, InputError, MetadataError
from terracube.cubes.grid import Grid
from terracube.cubes.items.fields import NUMBERS
from terracube.cubes.items.source import Source
from terracube.cubes.readers.header import Header

# Corners of a claimed grid may lie this far from those of the header, in pixels: decimals are written with few digits.
_SLACK = 1e-3
_TODO = 'correct the item, or say headers="always": then the header decides'


def header_grid(dataset: DatasetReader, where: str) -> Grid:
    """Give the grid of an open raster.

    Raises
    ------
    MetadataError
        If its header holds no CRS or no geotransform, or an unusable one; neither is ever guessed.
    """
    facts = {"CRS": _wkt(dataset, where), "geotransform": not dataset.transform.is_identity}
    missing = [name for name, there in facts.items() if not there]
    if missing:
        raise MetadataError(
            f"the raster has no {' and no '.join(missing)}",
            where=where,
            expected="a georeferenced raster",
            got=f"{dataset.height} x {dataset.width} pixels at no known place",
            todo="write CRS and transform into the file (for example with `rio edit-info`)",
        )
    try:
        return Grid.from_affine(facts["CRS"], dataset.transform, (dataset.height, dataset.width))
    except (InputError, MetadataError) as error:
        raise MetadataError(error.what, where=where, expected=error.expected, got=error.got, todo=error.todo) from error


def _wkt(dataset: DatasetReader, where: str) -> str:
    """Give the CRS of a raster as text; empty if it has none."""
    try:
        return "" if dataset.crs is None else str(dataset.crs.to_wkt())
    except ValueError as error:  # bytes that are no text, or keys that contradict each other
        raise MetadataError("the CRS in the header is unreadable", where=where, got=str(error)[:200]) from error


def verify_header(source: Source, header: Header, *, where: str = "") -> Source:
    """Check what an item claimed of a source against the header of its file.

    Parameters
    ----------
    source : Source
    header : Header
    where : str
        Item and asset, for messages; the location where nothing is given.

    Returns
    -------
    Source
        With what only the header knows: its exact grid, overviews, tiles, decoder, and nodata where none was claimed.

    Raises
    ------
    MetadataError
        If the header says otherwise; the message names the field.
    AssetError
        If there is no such band, or it holds no real numbers.
    """
    where = where or f"{source.location}, {source.asset}".rstrip(", ")
    dtype = band_dtype(header, source.band, where)
    _same_crs(source.grid.crs, header.grid.crs, where)
    _same("proj:shape", list(source.grid.shape), list(header.grid.shape), where)
    if _corner_distance(source.grid, header.grid) > _SLACK:
        claimed, found = (list(tuple(grid.transform)[:6]) for grid in (source.grid, header.grid))
        _same("proj:transform", claimed, found, where)
    _same("data_type", source.dtype, dtype, where)
    _check_scale(source, header, where)
    told = header.nodata[source.band - 1]
    # What a product usually keeps stands in only where the file is silent too.
    agreed = None if source.nodata_default else source.nodata
    nodata = settle_nodata(told, agreed, given=source.nodata_given, dtype=dtype, where=where)
    usual = source.nodata_default and nodata is None
    return replace(
        source,
        grid=header.grid,
        nodata=source.nodata if usual else nodata,
        nodata_default=usual,
        overviews=header.overviews,
        tile=header.tile,
        decoder=header.decoder,
        known=True,
    )


def band_dtype(header: Header, band: int, where: str) -> str:
    """Give the type of the numbers of a band.

    Raises
    ------
    AssetError
        If there is no such band, or it holds no real numbers.
    """
    if not 1 <= band <= header.count:
        raise AssetError("the file has no such band", where=where, expected=f"band {band}", got=f"{header.count} bands")
    dtype = header.dtypes[band - 1]
    if dtype not in NUMBERS:
        raise AssetError("the band holds no real numbers", where=where, expected=" or ".join(NUMBERS), got=dtype)
    return dtype


def settle_nodata(header: float | None, told: float | None, *, given: bool, dtype: str, where: str) -> float | None:
    """Settle the number that means missing: what the caller gave; else what file and item agree on.

    Parameters
    ----------
    header : float or None
        What the file declares.
    told : float or None
        What the caller gave, or the item tells.
    given : bool
        Whether the caller gave it.
    dtype : str
        Of the band.
    where : str
        For messages.

    Raises
    ------
    MetadataError
        If file and item disagree, or the number cannot be one of the band's.
    """
    if not given and header is not None and told is not None and not _same_number(header, told, dtype):
        raise MetadataError(
            "file and item disagree on the nodata number",
            where=where,
            expected="one number",
            got=f"{header:g} in the file, {told:g} in the item",
            todo="say which one holds with nodata=",
        )
    number = told if given or header is None else header
    if number is None:
        return None
    if not _can_be(float(number), dtype):
        raise MetadataError(
            "the nodata number cannot be one of the band's",
            where=where,
            expected=f"a number of {dtype}",
            got=f"{number:g}",
            todo="say which number means missing with nodata=",
        )
    return float(number)


def _can_be(number: float, dtype: str) -> bool:
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return True
    if kind.kind not in "iu":
        return False
    limits = np.iinfo(kind)
    return math.isfinite(number) and number == int(number) and limits.min <= number <= limits.max


def _same_number(one: float, other: float, dtype: str) -> bool:
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    # A float32 file cannot hold -9999.9 as JSON writes it.
    return one == other or (dtype == "float32" and math.isclose(one, other, rel_tol=1e-6))


def _check_scale(source: Source, header: Header, where: str) -> None:
    """Refuse a file whose own scale or offset is not the one that was settled without it."""
    for name, settled, values in (("scale", source.scale, header.scale), ("offset", source.offset, header.offset)):
        told = values[source.band - 1] if len(values) >= source.band else None
        if told is not None and source.radiometry.startswith("nothing declared"):
            _same(f"raster:{name}", settled, told, where)


def _same(name: str, claimed: object, found: object, where: str) -> None:
    if claimed != found:
        raise MetadataError(
            "the file is not what the item claims",
            where=f"{where}, {name}",
            expected=f"{claimed}"[:200],
            got=f"{found}"[:200],
            todo=_TODO,
        )


def _same_crs(claimed: str, found: str, where: str) -> None:
    if claimed != found and not _equal_crs(claimed, found):
        _same("proj:code", claimed, found, where)


@lru_cache(maxsize=256)
def _equal_crs(one: str, other: str) -> bool:
    return CRS.from_user_input(one).equals(CRS.from_user_input(other), ignore_axis_order=True)


def _corner_distance(one: Grid, other: Grid) -> float:
    """Give how far the outer corners of two grids of one shape lie apart, in pixels."""
    pairs = zip(one.bounds, other.bounds, strict=True)
    return max(abs(mine - theirs) for mine, theirs in pairs) / min(other.resolution.x, -other.resolution.y)
