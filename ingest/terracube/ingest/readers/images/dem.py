"""Digital elevation models: GeoTIFF with a vertical datum, which is kept, or asked for.

Format: OGC GeoTIFF 1.1 (OGC 19-008r4), of which the keys of the vertical CRS tell the datum. Where a file is silent, a
side-car tells it (see :mod:`terracube.ingest.readers.images.sidecar`), or, for products that are known by their names,
the documentation of the producer, which the description of the source cites.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import rasterio
from pyproj import CRS
from pyproj.exceptions import CRSError

from terracube.core.errors import AssetError, MetadataError
from terracube.core.sensors import Radiometry
from terracube.cubes.crs import to_crs_text
from terracube.cubes.grid import Grid
from terracube.cubes.readers import open_raster
from terracube.ingest.rasters import Head, head
from terracube.ingest.readers.images.plain import find, stored_scaling
from terracube.ingest.readers.images.sidecar import (
    Moment,
    Sidecar,
    licensed,
    missing_number,
    read_sidecar,
    sidecar_of,
)
from terracube.ingest.scene import Delivered, Raster, utc
from terracube.ingest.sources import Source

__all__ = ["find", "read"]

_METRES = {"m": 1.0, "ft": 0.3048, "us-ft": 1200 / 3937}
_SPELT = {
    "m": ("m", "metre", "meter", "metres", "meters"),
    "ft": ("ft", "foot", "feet", "international foot"),
    "us-ft": ("us-ft", "ftus", "us survey foot", "us_survey_foot", "us survey feet", "foot_us"),
}
_UNITS = {spelt: unit for unit, names in _SPELT.items() for spelt in names}
_EXAMPLE = "vertical_datum: EPSG:5773, licence: CC-BY-4.0, datetime: 2015-06-01T00:00:00Z"


def read(path: Path, source: Source) -> Delivered:
    """Understand an elevation model: its header, its side-car, and what is known of a product of its name.

    Raises
    ------
    TerraCubeError
        Saying what is missing or contradictory, and how to tell it.
    """
    file = head(path, largest=source.largest_side, where=str(path))
    if file.count != 1:
        raise AssetError("an elevation model has one band", where=str(path), expected="1", got=str(file.count))
    beside = sidecar_of(path)
    product, where = _product(path, source), str(beside or path)
    told = Sidecar() if beside is None else read_sidecar(beside)
    grid, vertical, unit = _heights(file, told, product, where)
    told = _with_licence(told, product, where)
    acquired, interval = _moment(told, product, where)
    raster = _raster(file, grid, unit, (told, product), source, tuple(one for one in (path, beside) if one))
    return Delivered(
        id=told.id or path.stem,
        source=licensed(source, told),
        path=path,
        acquired=acquired,
        interval=interval,
        rasters=(raster,),
        properties={**told.properties, **vertical},
        facts={"told": told.model_dump(mode="json"), "vertical": dict(vertical)},
        notes=(f"known by its name as {product.title}: {product.reference}",) if product.title else (),
    )


@dataclass(frozen=True)
class _Product:
    """What a producer's documentation says of all files of a name."""

    title: str = ""
    reference: str = ""
    vertical_datum: str | None = None
    unit: str | None = None
    nodata: float | None = None
    licence: str | None = None
    licence_url: str = ""
    attribution: str = ""
    interval: Sequence[str] | None = None
    pattern: str = field(default="", repr=False)


def _product(path: Path, source: Source) -> _Product:
    for told in source.options.get("products", ()):
        if re.fullmatch(told["pattern"], path.stem):
            known: dict[str, Any] = dict(told)
            return _Product(**known)
    return _Product()


def _heights(file: Head, told: Sidecar, product: _Product, where: str) -> tuple[Grid, Mapping[str, Any], str]:
    """Give the grid without heights, what the heights refer to, and their unit; all who tell it must agree."""
    known = CRS.from_user_input(file.grid.crs)
    with rasterio.Env(GTIFF_REPORT_COMPD_CS=True), open_raster(file.path) as dataset:
        full = CRS.from_wkt(dataset.crs.to_wkt()) if dataset.crs else known
        header_unit = str(dataset.units[0] or "")
    claims = {
        "header of the file": _vertical_of(full),
        "side-car": _vertical(told.vertical_datum, where),
        f"documentation of {product.title}": _vertical(product.vertical_datum, where),
    }
    found = {name: crs for name, crs in claims.items() if crs is not None}
    if not found:
        raise MetadataError(
            "nothing tells what the heights refer to",
            where=where,
            expected="a vertical CRS in the file, or vertical_datum in a side-car",
            got="none",
            todo=f"write {file.path.stem}.yaml beside it, such as: {_EXAMPLE}; it is never guessed",
        )
    (name, first), *others = found.items()
    for other, crs in others:
        if not crs.equals(first):
            raise MetadataError(
                "two vertical datums are told",
                where=where,
                expected=f"{name}: {first.name}",
                got=f"{other}: {crs.name}",
            )
    unit = _unit({"band": header_unit, "side-car": told.unit, "product": product.unit}, first, where)
    horizontal = full.sub_crs_list[0] if full.is_compound else full.to_2d()
    properties = {"terracube:vertical_datum": _code(first), "terracube:vertical_datum_told_by": name}
    return replace(file.grid, crs=to_crs_text(horizontal)), properties, unit


def _vertical_of(crs: CRS) -> CRS | None:
    """Give the vertical part of a CRS: its own, or itself where heights are above its ellipsoid."""
    if crs.is_compound:
        return next((one for one in crs.sub_crs_list if one.is_vertical), None)
    return crs if len(crs.axis_info) == 3 else None


def _vertical(text: str | None, where: str) -> CRS | None:
    if text is None:
        return None
    try:
        crs = CRS.from_user_input(text)
    except CRSError:
        crs = None
    found = None if crs is None else crs if crs.is_vertical and not crs.is_compound else _vertical_of(crs)
    if found is None:
        raise MetadataError(
            "that is no vertical datum",
            where=f"{where}, vertical_datum",
            expected="the code of a vertical CRS, like EPSG:5773; EPSG:4979 for heights above the ellipsoid of WGS 84",
            got=text[:60],
        )
    return found


def _code(crs: CRS) -> str:
    authority = crs.to_authority(min_confidence=100)
    return ":".join(authority) if authority else str(crs.to_wkt())


def _unit(told: Mapping[str, str | None], vertical: CRS, where: str) -> str:
    """Give the unit of the heights, on which all who tell it agree."""
    claims = {**told, "vertical CRS": vertical.axis_info[-1].unit_name}
    found = {name: _UNITS.get(text.strip().lower()) for name, text in claims.items() if text}
    if None in found.values() or len(set(found.values())) != 1:
        raise MetadataError(
            "the unit of the heights is not clear",
            where=f"{where}, unit",
            expected="one of m, ft, us-ft, the same wherever it is told",
            got=", ".join(f"{name}: {claims[name]}" for name in found)[:200],
            todo="tell it in the side-car, with a vertical datum of that unit",
        )
    return str(next(iter(found.values())))


def _moment(told: Sidecar, product: _Product, where: str) -> Moment:
    moment = told.moment(where)
    if moment is not None:
        return moment
    if product.interval is None:
        raise MetadataError(
            "nothing tells of when the heights are",
            where=where,
            expected="datetime, or start_datetime and end_datetime, in a side-car",
            got="none",
            todo=f"write a side-car, such as: {_EXAMPLE}; a date is never guessed",
        )
    start, end = (utc(one, where=product.title) for one in product.interval)
    return start, (start, end)


def _with_licence(told: Sidecar, product: _Product, where: str) -> Sidecar:
    licence = told.licence or product.licence
    if licence is None:
        raise MetadataError(
            "nothing tells the licence",
            where=where,
            expected="licence in a side-car",
            got="none",
            todo=f"write a side-car, such as: {_EXAMPLE}",
        )
    more = {
        "licence": licence,
        "licence_url": told.licence_url or product.licence_url,
        "attribution": told.attribution or product.attribution,
    }
    return told.model_copy(update=more)


def _raster(
    file: Head, grid: Grid, unit: str, tellers: tuple[Sidecar, _Product], source: Source, files: tuple[Path, ...]
) -> Raster:
    told, product = tellers
    given = told.missing()
    if not given[0] and product.nodata is not None and file.nodata[0] is None:
        given = True, float(product.nodata)
    missing = missing_number(file.nodata[0], given, dtype=file.dtypes[0], where=str(files[-1]))
    scale, offset = stored_scaling(file.path, 1) or (1.0, 0.0)
    factor = _METRES[unit]
    reason = "heights in metres" if unit == "m" else f"heights in {unit}, given in metres"
    radiometry = Radiometry(scale * factor, offset * factor, reason)
    band, dtype = source.bands["elevation"], file.dtypes[0]
    return Raster(band.name, band, file.pixels(), grid, dtype, missing, files, radiometry, unit="m")
