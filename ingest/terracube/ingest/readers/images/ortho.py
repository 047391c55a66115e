"""Orthoimages for the tracking of offsets: GeoTIFF or JPEG 2000, with a side-car of the user that tells what they are.

Format: OGC GeoTIFF 1.1 (OGC 19-008r4). A raster does not tell when it was taken, which band is which, nor who may use
it; see :mod:`terracube.ingest.readers.images.sidecar` for how the user tells it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from terracube.core.errors import MetadataError
from terracube.core.sensors import Band, Radiometry
from terracube.ingest.rasters import Head, head
from terracube.ingest.readers.images.plain import find, stored_scaling
from terracube.ingest.readers.images.sidecar import (
    BandTold,
    Sidecar,
    licensed,
    missing_number,
    read_sidecar,
    sidecar_of,
)
from terracube.ingest.scene import Delivered, Raster
from terracube.ingest.sources import Source

__all__ = ["find", "read"]

_EXAMPLE = "datetime: 2021-07-14T10:32:00Z, licence: CC-BY-4.0, access: open, bands: [{role: pan}]"


def read(path: Path, source: Source) -> Delivered:
    """Understand an orthoimage: its header, and what its side-car tells.

    Raises
    ------
    TerraCubeError
        Saying what is missing or contradictory, and how to tell it.
    """
    beside, file = sidecar_of(path), head(path, largest=source.largest_side, where=str(path))
    if beside is None:
        silent = ", nodata: 0 (or none)" if file.nodata[0] is None else ""
        raise MetadataError(
            "nothing tells when the image was taken, what its bands are, and under which licence",
            where=str(path),
            expected=f"{path.stem}.yaml beside it",
            got="no such file",
            todo=f"write one, such as: {_EXAMPLE}{silent}",
        )
    told = read_sidecar(beside)
    acquired, interval = told.moment(str(beside)) or _lacking(beside, "datetime")
    _check_told(told, beside, file.count)
    rasters = tuple(_raster(file, number, one, told, source, beside) for number, one in enumerate(told.bands, start=1))
    return Delivered(
        id=told.id or path.stem,
        source=licensed(source, told),
        path=path,
        acquired=acquired,
        interval=interval,
        rasters=rasters,
        properties={"processing:level": source.level, **told.properties},
        facts={"told": told.model_dump(mode="json")},
    )


def _lacking(beside: Path, names: str) -> NoReturn:
    raise MetadataError(
        f"the side-car lacks {names}",
        where=str(beside),
        expected=_EXAMPLE,
        got="nothing",
        todo="add it; it is never guessed",
    )


def _check_told(told: Sidecar, beside: Path, count: int) -> None:
    lacking = [name for name, there in (("licence", told.licence), ("bands", told.bands)) if not there]
    if lacking:
        _lacking(beside, " and ".join(lacking))
    if len(told.bands) != count:
        raise MetadataError(
            "the side-car tells of another number of bands",
            where=f"{beside}, bands",
            expected=f"{count}, as the image has",
            got=str(len(told.bands)),
        )


def _raster(file: Head, number: int, told: BandTold, sidecar: Sidecar, source: Source, beside: Path) -> Raster:
    where = f"{beside}, bands.{number - 1}"
    band = _band(told, source, where)
    stored = stored_scaling(file.path, number)
    given = 1.0 if told.scale is None else told.scale, told.offset or 0.0
    silent = told.scale is None and told.offset is None
    if not silent and stored is not None and stored != given:
        raise MetadataError(
            "image and side-car disagree on scale and offset",
            where=where,
            expected=f"{stored[0]:g}, {stored[1]:g} as in the image",
            got=f"{given[0]:g}, {given[1]:g}",
        )
    reason = "scale and offset of the image" if stored else "numbers as delivered" if silent else "told by the side-car"
    dtype = file.dtypes[number - 1]
    return Raster(
        band.name,
        band,
        file.pixels(number),
        file.grid,
        dtype,
        missing_number(file.nodata[number - 1], sidecar.missing(), dtype=dtype, where=str(beside)),
        (file.path, beside),
        Radiometry(*(stored or given), reason),
        unit=told.unit or None,
    )


def _band(told: BandTold, source: Source, where: str) -> Band:
    if told.role not in source.bands:
        raise MetadataError(
            "the role of a band is not known", where=where, expected=", ".join(source.bands), got=told.role[:60]
        )
    band = source.bands[told.role]
    return replace(
        band,
        title=told.title or band.title,
        center_wavelength=told.center_wavelength or band.center_wavelength,
    )
