"""Sentinel-2 Level-2A products as ESA delivers them: a SAFE folder of JPEG 2000 files and XML.

Each layer is taken in the pixels in which it is made; the copies at other sizes are left. What the XML says of a file
must be what its header says. The date is the sensing time of the tile: a datatake, whose start names the product, may
begin twenty minutes earlier.

Reference: Sentinel-2 Products Specification Document, S2-PDGS-TAS-DI-PSD, issue 14.9 (2021) and 15.0, Level-2A product
in compact SAFE.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from terracube.core.errors import AssetError, MetadataError
from terracube.core.files import resolve_below
from terracube.core.sensors import Band, Radiometry
from terracube.ingest.rasters import head
from terracube.ingest.readers.sentinel2.msi import (
    NATIVE,
    Scene,
    absent,
    by_file,
    check_grid,
    check_together,
    check_zone,
    checked_baseline,
    checked_platform,
    look_below,
    measured_radiometry,
    outline,
    percent,
    product_folder,
)
from terracube.ingest.readers.sentinel2.safe_metadata import ProductXml, TileXml, layer_of, read_product, read_tile
from terracube.ingest.scene import Delivered, Document, Raster
from terracube.ingest.sources import Source
from terracube.ingest.text import read_xml

_MAIN = "mtd_msil2a.xml"
_TILE = "MTD_TL.xml"
_OTHERS = re.compile(r"MTD_MSIL1C\.xml|S2[A-Z]_(?:USER|OPER)_MTD_(?:SAF|DIM)L(?:1C|2A)_.*\.xml", re.IGNORECASE)
_SUFFIXES = (".jp2", ".tif")
_XML = "application/xml"


def find(path: Path) -> list[Path]:
    """Look for folders that hold the XML of a Sentinel-2 product, or have its name; those of Level-1C, and of the
    forms before December 2016, too, so that their refusal is told.
    """
    if path.is_file():
        return [path.parent] if _is_main(path.name) else []
    return look_below(path, lambda _, files: any(map(_is_main, files)))


def _is_main(name: str) -> bool:
    return name.lower() == _MAIN or _OTHERS.fullmatch(name) is not None


def read(path: Path, source: Source) -> Delivered:
    """Read the metadata of a product and the headers of its files.

    Raises
    ------
    TerraCubeError
        Saying what is missing, contradictory or hostile, and where.
    """
    folder = product_folder(path)
    main = _main_file(folder)
    product = read_product(read_xml(main), str(main))
    tile_file = resolve_below(folder, f"{product.granule}/{_TILE}")
    tile = read_tile(read_xml(tile_file), product, str(tile_file))
    scene = _scene(product, tile, str(main))
    check_zone(tile.tile, tile.grids[10].crs, where=str(tile_file))
    files, notes = _files(folder, (*product.images, *tile.masks))
    rasters = [_raster(found, source, product, tile, scene) for found in files.items() if found[0] in by_file(source)]
    check_together(rasters, where=scene.name)
    geometry, more = _geometry(product, tile, str(main))
    angles = replace(tile.angles, files=(tile_file,))
    notes += [*more, *_odd(folder, product, tile), *absent(source, rasters), *angles.notes]
    return Delivered(
        id=scene.name,
        source=source,
        path=folder,
        acquired=scene.acquired,
        rasters=(*rasters, *angles.rasters(by_file(source))),
        properties=scene.properties() | angles.properties(),
        geometry=geometry,
        documents=tuple(_documents(folder, main, tile_file, tile)),
        facts={
            "baseline": product.baseline,
            "quantification": dict(product.quantification),
            "offsets": dict(product.offsets),
            "special": dict(product.special),
            "datatake_start": product.datatake_start.isoformat(),
        },
        notes=tuple(notes),
    )


def _main_file(folder: Path) -> Path:
    try:
        names = sorted(each.name for each in folder.iterdir() if _is_main(each.name))
    except OSError as error:
        raise AssetError("cannot read the folder", where=str(folder), got=str(error.strerror or error)) from error
    mains = [name for name in names if name.lower() == _MAIN]
    if len(mains) == 1:
        return resolve_below(folder, mains[0])
    if names:
        raise MetadataError(
            "this product is not read",
            where=str(folder / names[0]),
            expected="one MTD_MSIL2A.xml: Level-2A in the compact form of December 2016 and later",
            got=", ".join(names)[:200],
            todo="download the reprocessed Level-2A product (Collection 1) of the same date",
        )
    raise AssetError("the folder holds no product", where=str(folder), expected="MTD_MSIL2A.xml", got="nothing")


def _scene(product: ProductXml, tile: TileXml, where: str) -> Scene:
    name = product.uri.removesuffix(".SAFE")
    return Scene(
        name=name,
        acquired=tile.sensed,
        platform=checked_platform(product.platform, where=where),
        baseline=checked_baseline(product.baseline, name=name, where=where),
        tile=tile.tile,
        relative_orbit=product.orbit,
        orbit_state=product.orbit_state,
        absolute_orbit=tile.absolute_orbit,
        datatake=product.datatake,
        generated=product.generated,
        doi=product.doi,
        uri=product.uri,
        cloud=percent(tile.cloud if product.cloud is None else product.cloud),
        snow=percent(tile.snow),
    )


def _files(folder: Path, hrefs: Sequence[str]) -> tuple[dict[str, tuple[int, Path]], list[str]]:
    """Choose the file of each layer: the native one, or else the finest copy; and tell what is listed but missing."""
    there: dict[str, dict[int, Path]] = {}
    gone: list[str] = []
    for href in hrefs:
        known = layer_of(href)
        if known is None or known[0] not in NATIVE:
            continue
        path = _existing(folder, href)
        if path is None:
            gone.append(f"{known[0]} at {known[1]} m: listed, but not there")
        else:
            there.setdefault(known[0], {})[known[1]] = path
    chosen, notes = {}, []
    for layer in NATIVE:
        sizes = there.get(layer)
        if sizes:
            metres = NATIVE[layer] if NATIVE[layer] in sizes else min(sizes)
            chosen[layer] = metres, sizes[metres]
            if metres != NATIVE[layer]:
                notes.append(f"{layer}: made at {NATIVE[layer]} m, of which there is no file; the copy at {metres} m")
    return chosen, notes + sorted(set(gone))


def _existing(folder: Path, href: str) -> Path | None:
    for suffix in ("",) if href.lower().endswith(_SUFFIXES) else _SUFFIXES:
        path = resolve_below(folder, href + suffix)
        if path.is_file():
            return path
    return None


def _raster(
    found: tuple[str, tuple[int, Path]], source: Source, product: ProductXml, tile: TileXml, scene: Scene
) -> Raster:
    layer, (metres, path) = found
    band, where = by_file(source)[layer], str(path)
    file = head(path, largest=source.largest_side, where=where)
    wanted = band.dtype or "uint16"
    if file.dtypes != (wanted,):
        raise AssetError("the file holds other numbers", where=where, expected=wanted, got=", ".join(file.dtypes)[:80])
    check_grid(file.grid, tile.grids[metres], where=where, by=_TILE)
    nodata = None if band.kind == "other" and band.dtype == "uint8" else product.special["NODATA"]
    if file.nodata[0] is not None and file.nodata[0] != nodata:
        raise MetadataError(
            "file and metadata disagree on the nodata number",
            where=where,
            expected=str(nodata),
            got=str(file.nodata[0]),
        )
    mask = source.mask
    return Raster(
        key=band.name,
        band=band,
        pixels=file.pixels(),
        grid=file.grid,
        dtype=wanted,
        nodata=nodata,
        files=(path,),
        radiometry=_radiometry(band, source, product, scene, where),
        unit="percent" if nodata is None else None,
        classes=mask.classes if mask and mask.asset == band.name else {},
        roles=("data", "reflectance") if band.kind == "measured" else ("data",),
    )


def _radiometry(band: Band, source: Source, product: ProductXml, scene: Scene, where: str) -> Radiometry | None:
    if band.kind == "measured":
        scale = product.quantification["BOA"]
        if product.offsets and band.file not in product.offsets:
            raise MetadataError("a band has no offset while others have", where=where, expected="BOA_ADD_OFFSET")
        if (
            not product.offsets
            and measured_radiometry(source, band, scene, scale=None, offset=None, where=where).offset
        ):
            raise MetadataError(
                "the offset of the numbers is not told",
                where=where,
                expected=f"BOA_ADD_OFFSET, because the processing baseline is {scene.baseline}",
                got="none in MTD_MSIL2A.xml",
            )
        offset = product.offsets.get(band.file, 0.0) / scale
        return measured_radiometry(source, band, scene, scale=1 / scale, offset=offset, where=where)
    told = product.quantification.get(band.file)
    return None if told is None else Radiometry(1 / told, 0.0, f"{band.file}_QUANTIFICATION_VALUE of the product")


def _geometry(product: ProductXml, tile: TileXml, where: str) -> tuple[dict[str, object] | None, list[str]]:
    if not product.ring:
        return None, ["the product tells no footprint; that of the tile is taken"]
    ring = [*product.ring, product.ring[0]] if product.ring[0] != product.ring[-1] else [*product.ring]
    return outline({"type": "Polygon", "coordinates": [ring]}, tile.grids[10], where=f"{where}, EXT_POS_LIST")


def _odd(folder: Path, product: ProductXml, tile: TileXml) -> Iterator[str]:
    """Tell harmless differences."""
    if folder.suffix == ".SAFE" and folder.name != product.uri:
        yield f"the folder is named {folder.name[:100]}, the product {product.uri[:100]}"
    if product.cloud is not None and tile.cloud is not None and abs(product.cloud - tile.cloud) > 1:
        yield f"cloud cover {product.cloud:g} % of the product, {tile.cloud:g} % of the tile"


def _documents(folder: Path, main: Path, tile_file: Path, tile: TileXml) -> Iterator[Document]:
    yield Document("product_metadata", main, "Metadata of the product", _XML)
    yield Document("granule_metadata", tile_file, "Metadata of the tile", _XML)
    strips = sorted(folder.glob("DATASTRIP/*/MTD_DS.xml"))[:1]
    others = [("datastrip_metadata", path, "Metadata of the datastrip", _XML) for path in strips]
    others.append(("inspire_metadata", folder / "INSPIRE.xml", "INSPIRE metadata", _XML))
    others.append(("safe_manifest", folder / "manifest.safe", "Manifest", _XML))
    for key, path, title, kind in others:
        if resolve_below(folder, str(path.relative_to(folder))).is_file():
            yield Document(key, path, title, kind)
    preview = _existing(folder, tile.preview) if tile.preview else None
    if preview is not None:
        yield Document("preview", preview, "Preview", "image/jp2", ("overview",))
