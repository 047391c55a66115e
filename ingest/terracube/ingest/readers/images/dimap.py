"""Orthoimages of SPOT 6 and 7, Pleiades and Pleiades Neo: DIMAP version 2 with tiles of GeoTIFF or JPEG 2000.

The metadata (:mod:`terracube.ingest.readers.images.dimap_xml`) say where the image lies and how its tiles make it up;
tiles that are georeferenced themselves must say the same. Numbers stay as delivered, with the calibration of the
metadata.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from terracube.core.errors import AssetError, MetadataError
from terracube.core.sensors import Band, Radiometry
from terracube.cubes.grid import Grid
from terracube.cubes.items.headers import header_grid
from terracube.cubes.readers import open_raster
from terracube.ingest.readers.finding import described_by, find_named
from terracube.ingest.readers.images.dimap_files import Group
from terracube.ingest.readers.images.dimap_xml import Dimap, read_dimap
from terracube.ingest.readers.images.sidecar import Sidecar, licensed, missing_number, read_sidecar, sidecar_of
from terracube.ingest.scene import Delivered, Document, Raster
from terracube.ingest.sources import Source

_MAIN = re.compile(r"DIM_(.+)\.XML", re.IGNORECASE)
_VOLUME = re.compile(r"VOL_[^.]*\.XML", re.IGNORECASE)
# Pixels by which a tile's own georeference may lie off that of the metadata: both are rounded.
_SLACK = 0.01
_ROWS = 512


def find(path: Path) -> list[Path]:
    """Look for products by the name of their main metadata file."""
    return find_named(path.parent if _VOLUME.fullmatch(path.name) else path, _MAIN)


def read(path: Path, source: Source) -> Delivered:
    """Understand a product: its metadata, and the headers of its tiles.

    Raises
    ------
    TerraCubeError
        Saying what is missing, contradictory or hostile, and in which file.
    """
    main = described_by(path, _MAIN)[0]
    dimap = read_dimap(main, largest=source.largest_side)
    beside = sidecar_of(main)
    told = Sidecar() if beside is None else read_sidecar(beside)
    grid = Grid.from_affine(dimap.crs, _transform(dimap), dimap.shape)
    rasters, notes = _rasters(dimap, grid, told, source)
    match = _MAIN.fullmatch(main.name)
    return Delivered(
        id=told.id or (match[1] if match else main.stem),
        source=licensed(source, told),
        path=path,
        acquired=dimap.acquired,
        rasters=rasters,
        properties={**dimap.properties, **told.properties},
        documents=(Document("metadata", main, "Metadata of the product (DIMAP)", "application/xml"),),
        facts={"told": told.model_dump(mode="json")},
        notes=(*dimap.notes, *notes),
    )


@dataclass(frozen=True)
class TilePixels:
    """A band of an image that tiles make up; see :class:`terracube.ingest.pixels.Pixels`."""

    tiles: Mapping[tuple[int, int], Path] = field(repr=False)
    """By row and column of tiles, from 0."""
    band: int
    tile: tuple[int, int]
    shape: tuple[int, int]
    dtype: str
    step: int = _ROWS
    kept: None = None

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Give rows ``start`` to ``stop``."""
        out = np.empty((stop - start, self.shape[1]), self.dtype)
        height, width = self.tile
        for (row, col), path in self.tiles.items():
            first, last = max(start, row * height), min(stop, (row + 1) * height, self.shape[0])
            if first >= last:
                continue
            left, right = col * width, min((col + 1) * width, self.shape[1])
            part = Window(0, first - row * height, right - left, last - first)
            out[first - start : last - start, left:right] = _part(path, self.band, part)
        return out


def _part(path: Path, band: int, window: Window) -> NDArray[Any]:
    with open_raster(path) as dataset:
        try:
            values: NDArray[Any] = dataset.read(band, window=window)
        except RasterioError as error:
            raise AssetError(
                "the file is damaged: its pixels cannot be decoded",
                where=str(path),
                expected=f"{dataset.height} x {dataset.width} pixels",
                got=str(error.__cause__ or error),
                todo="download the file again",
            ) from error
    return values


def _transform(dimap: Dimap, row: int = 0, col: int = 0) -> Affine:
    """Give the transform of the image, or of the tile that begins at a pixel."""
    (left, top), (width, height) = dimap.corner, dimap.size
    return Affine(width, 0.0, left + col * width, 0.0, -height, top - row * height)


def _rasters(dimap: Dimap, grid: Grid, told: Sidecar, source: Source) -> tuple[tuple[Raster, ...], list[str]]:
    rasters, notes = [], []
    for group in dimap.groups:
        head = _check_tiles(dimap, group)
        given = told.missing() if told.nodata is not None else ("NODATA" in dimap.special, dimap.special.get("NODATA"))
        missing = missing_number(head.nodata, given, dtype=head.dtype, where=f"{dimap.path}, Special_Value")
        for number, name in enumerate(group.bands, start=1):
            known = dimap.calibration(name)
            notes += [f"{name}: its numbers have no physical meaning"] if known is None else []
            raster = Raster(
                key=(band := _band(dimap, name, source)).name,
                band=band,
                pixels=TilePixels(group.tiles, number, dimap.tile, dimap.shape, head.dtype, head.step),
                grid=grid,
                dtype=head.dtype,
                nodata=missing,
                files=(*group.tiles.values(), dimap.path),
                radiometry=None if known is None else Radiometry(known[0], known[1], known[3]),
                unit=known[2] if known else "1",
                extra={"dimap:saturated": dimap.special["SATURATED"]} if "SATURATED" in dimap.special else {},
            )
            rasters.append(raster)
    return tuple(rasters), notes


def _band(dimap: Dimap, name: str, source: Source) -> Band:
    """Give a band by the name that the metadata give it, with the wavelengths that they tell."""
    role = source.options.get("roles", {}).get(name)
    if role not in source.bands:
        expected = ", ".join(source.options.get("roles", {}))
        raise MetadataError("a band is not known", where=str(dimap.path), expected=expected, got=name[:40])
    band, waves = source.bands[role], dimap.wavelengths(name)
    if waves is None:
        return band
    return replace(band, center_wavelength=round(waves[0], 6), full_width_half_max=round(waves[1], 6))


@dataclass(frozen=True)
class _Head:
    dtype: str
    nodata: float | None
    step: int


def _check_tiles(dimap: Dimap, group: Group) -> _Head:
    """See that the headers of all tiles say what the metadata say; give what they have in common."""
    found: set[_Head] = set()
    for (row, col), path in group.tiles.items():
        with open_raster(path) as dataset:
            _check_tile(dimap, group, (row, col), dataset, str(path))
            dtypes, height = set(map(str, dataset.dtypes)), int(dataset.block_shapes[0][0])
            step = height * max(1, _ROWS // height)
            found |= {_Head(dtype, nodata, step) for dtype in dtypes for nodata in set(dataset.nodatavals)}
    if len({(one.dtype, one.nodata) for one in found}) != 1:
        raise MetadataError(
            "the tiles differ in type or in the number for missing", where=str(dimap.path), got=str(found)[:200]
        )
    return max(found, key=lambda one: one.step)


def _check_tile(dimap: Dimap, group: Group, place: tuple[int, int], dataset: DatasetReader, where: str) -> None:
    row, col = place[0] * dimap.tile[0], place[1] * dimap.tile[1]
    expected = min(dimap.tile[0], dimap.shape[0] - row), min(dimap.tile[1], dimap.shape[1] - col)
    # Some tiles at the lower and right edges are delivered in full size.
    if (dataset.height, dataset.width) not in (expected, dimap.tile) or dataset.count != len(group.bands):
        raise MetadataError(
            "a tile is not as the metadata say",
            where=where,
            expected=f"{expected[0]} x {expected[1]} pixels, {len(group.bands)} bands",
            got=f"{dataset.height} x {dataset.width} pixels, {dataset.count} bands",
        )
    if dataset.crs is None or dataset.transform.is_identity:
        return
    own = header_grid(dataset, where)
    claimed = Grid.from_affine(dimap.crs, _transform(dimap, row, col), (dataset.height, dataset.width))
    apart = max(abs(a - b) for a, b in zip(own.bounds, claimed.bounds, strict=True)) / min(dimap.size)
    if own.crs != claimed.crs or apart > _SLACK:
        raise MetadataError(
            "metadata and image disagree on where it lies",
            where=where,
            expected=f"{claimed.crs}, {[round(v, 6) for v in claimed.bounds]}",
            got=f"{own.crs}, {[round(v, 6) for v in own.bounds]}",
            todo="ask the producer; positions are never guessed",
        )
