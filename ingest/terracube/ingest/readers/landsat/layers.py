"""The raster files of a Landsat product: which there are, and whether they are what the metadata say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from terracube.core.errors import AssetError, MetadataError
from terracube.core.files import resolve_below
from terracube.core.sensors import Band, Radiometry, Sensor
from terracube.cubes.items.headers import settle_nodata
from terracube.ingest.rasters import Head, head
from terracube.ingest.readers.claims import Claim, check_claim
from terracube.ingest.readers.landsat.mtl import Mtl
from terracube.ingest.scene import Raster

_CONTENT = "PRODUCT_CONTENTS"
# How PRODUCT_CONTENTS names the layers that are no bands (LSDS-1328, LSDS-1336).
_FIELDS = {
    "QA_PIXEL": "QUALITY_L1_PIXEL",
    "QA_RADSAT": "QUALITY_L1_RADIOMETRIC_SATURATION",
    "SR_QA_AEROSOL": "QUALITY_L2_AEROSOL",
    "SR_CLOUD_QA": "QUALITY_L2_SURFACE_REFLECTANCE_CLOUD",
    "SR_ATMOS_OPACITY": "ATMOSPHERIC_OPACITY",
    "ST_QA": "QUALITY_L2_SURFACE_TEMPERATURE",
    "ST_TRAD": "THERMAL_RADIANCE",
    "ST_URAD": "UPWELL_RADIANCE",
    "ST_DRAD": "DOWNWELL_RADIANCE",
    "ST_ATRAN": "ATMOSPHERIC_TRANSMITTANCE",
    "ST_EMIS": "EMISSIVITY",
    "ST_EMSD": "EMISSIVITY_STDEV",
    "ST_CDIST": "CLOUD_DISTANCE",
}
_PAIRS = {
    bit + half: f"confidence of {what}, {name} bit"
    for bit, what in ((8, "cloud"), (10, "cloud shadow"), (12, "snow"), (14, "cirrus"))
    for half, name in ((0, "low"), (1, "high"))
}
_SATURATED = {bit: f"band {bit + 1} saturated" for bit in range(7)}
_OLI = {**_SATURATED, 8: "band 9 saturated", 11: "terrain hides the ground"}
_TM = {**_SATURATED, 9: "dropped pixel"}
_ETM = {**_TM, 5: "band 6 at low gain saturated", 8: "band 6 at high gain saturated"}
_RADSAT = {"landsat-4": _TM, "landsat-5": _TM, "landsat-7": _ETM, "landsat-8": _OLI, "landsat-9": _OLI}
_AEROSOL = {
    0: "fill",
    1: "aerosol retrieved",
    2: "water",
    5: "aerosol interpolated",
    6: "aerosol level, low bit",
    7: "aerosol level, high bit",
}
_CLOUD = {0: "dark dense vegetation", 1: "cloud", 2: "cloud shadow", 3: "beside a cloud", 4: "snow", 5: "water"}
_SAME = 1e-6


def read_layers(mtl: Mtl, sensor: Sensor, claim: Claim, *, largest: int) -> tuple[tuple[Raster, ...], tuple[str, ...]]:
    """Read the header of every file that the metadata list and that is there.

    Parameters
    ----------
    mtl : Mtl
    sensor : Sensor
        As the platform of the product carries it.
    claim : Claim
        Where the metadata say that the pixels lie.
    largest : int
        Pixels along each side beyond which a header is not believed.

    Returns
    -------
    tuple of Raster
        Measured bands first.
    tuple of str
        Notes: what is listed and not there, what was thinned.

    Raises
    ------
    TerraCubeError
        If a file is not what the metadata say, or neither reflectance nor temperature is there.
    """
    rasters: list[Raster] = []
    notes: list[str] = []
    absent: list[str] = []
    for band in (*sensor.bands.values(), *sensor.extras.values()):
        path = _file(mtl, band)
        if path is None:
            if band.name in sensor.bands and band.file.startswith("SR_"):
                notes.append(f"{band.name}: the metadata list no {band.file}")
        elif not path.is_file():
            absent.append(f"{band.name} ({band.file})")
        else:
            found = head(path, largest=largest, where=path.name)
            notes.extend(check_claim(found.grid, claim, where=path.name))
            rasters.append(_raster(mtl, sensor, band, found))
    _check_measured(mtl, sensor, rasters)
    if absent:
        notes.append(f"listed, but not there: {', '.join(absent)}")
    if all(raster.key != sensor.mask.asset for raster in rasters):
        notes.append(f"{sensor.mask.asset}: not there, so nothing tells which pixels are clear")
    return tuple(rasters), tuple(notes)


def _check_measured(mtl: Mtl, sensor: Sensor, rasters: Sequence[Raster]) -> None:
    """Refuse a product of which no measured band is there."""
    if not any(raster.key in sensor.bands for raster in rasters):
        raise AssetError(
            "neither surface reflectance nor surface temperature is there",
            where=str(mtl.path),
            expected=", ".join(band.file for band in sensor.bands.values()),
            got=", ".join(raster.band.file for raster in rasters) or "no raster",
            todo="put the bands beside the metadata file",
        )


def _field(band: Band) -> str:
    """Name a layer as the metadata do: SR_B4 is BAND_4, ST_B10 is BAND_ST_B10."""
    return _FIELDS.get(band.file) or f"BAND_{band.file.removeprefix('SR_B')}"


def _file(mtl: Mtl, band: Band) -> Path | None:
    key = f"FILE_NAME_{_field(band)}"
    name = mtl.get(_CONTENT, key)
    if name is None:
        return None
    path = resolve_below(mtl.path.parent, name)
    if not path.stem.upper().endswith(f"_{band.file}"):
        raise MetadataError(
            "the metadata name the file of another band",
            where=mtl.where(_CONTENT, key),
            expected=f"..._{band.file}.TIF",
            got=name[:120],
        )
    return path


def _raster(mtl: Mtl, sensor: Sensor, band: Band, found: Head) -> Raster:
    measured, where = band.name in sensor.bands, found.path.name
    expected = band.dtype or (str(sensor.reflectance["dtype"]) if measured else found.dtypes[0])
    claimed = (mtl.get(_CONTENT, f"DATA_TYPE_{_field(band)}") or expected).lower()
    if found.count != 1 or found.dtypes[0] != expected or claimed != expected:
        raise AssetError(
            "the file is not of the product's kind",
            where=where,
            expected=f"1 band of {expected}",
            got=f"{found.count} of {', '.join(found.dtypes)[:60]}; the metadata say {claimed[:40]}",
        )
    nodata = _nodata(sensor, band, found)
    pixels = found.pixels()
    return Raster(
        key=band.name,
        band=band,
        pixels=replace(pixels, cog=pixels.cog and nodata == found.nodata[0]),
        grid=found.grid,
        dtype=expected,
        nodata=nodata,
        files=(found.path,),
        radiometry=_radiometry(mtl, sensor, band),
        bits=_bits(mtl, sensor, band),
        roles=("data", "reflectance") if band.file.startswith("SR_B") else ("data",),
    )


def _nodata(sensor: Sensor, band: Band, found: Head) -> float | None:
    """Give the number that means missing: that of the product, which the file must not contradict."""
    if band.name == sensor.mask.asset:
        return float(sensor.mask.nodata)
    if band.kind == "bits":
        return 1.0 if band.file == "SR_QA_AEROSOL" and found.nodata[0] == 1 else None  # 1 is the bit of fill, alone
    told = float(sensor.reflectance["nodata"] if band.nodata is None else band.nodata)
    return settle_nodata(found.nodata[0], told, given=False, dtype=found.dtypes[0], where=found.path.name)


def _radiometry(mtl: Mtl, sensor: Sensor, band: Band) -> Radiometry | None:
    """Give scale and offset of a band as the metadata tell them; they must be those of the product.

    Raises
    ------
    MetadataError
        If they are not.
    """
    if band.kind == "bits" or (band.name not in sensor.bands and band.scale is None):
        return None
    scale = float(sensor.reflectance["scale"] if band.scale is None else band.scale)
    offset = float(
        (sensor.reflectance["offset"] if band.name in sensor.bands else 0.0) if band.offset is None else band.offset
    )
    if band.name not in sensor.bands:
        return Radiometry(scale, offset, f"rule of {sensor.name}")
    kind = "TEMPERATURE" if band.file.startswith("ST_") else "REFLECTANCE"
    group = f"LEVEL2_SURFACE_{kind}_PARAMETERS"
    told = tuple(mtl.number(group, f"{kind}_{part}_{_field(band)}") for part in ("MULT", "ADD"))
    if not (math.isclose(told[0], scale, rel_tol=_SAME) and math.isclose(told[1], offset, rel_tol=_SAME)):
        raise MetadataError(
            "scale and offset are not those of the product",
            where=mtl.where(group, f"{kind}_*_{_field(band)}"),
            expected=f"{scale:g} and {offset:g}",
            got=f"{told[0]:g} and {told[1]:g}",
        )
    return Radiometry(told[0], told[1], f"{kind}_MULT and {kind}_ADD of the metadata file")


def _bits(mtl: Mtl, sensor: Sensor, band: Band) -> dict[int, str]:
    """Give what each bit of a quality layer means (LSDS-1619 and LSDS-1618, tables of the quality bands)."""
    if band.name == sensor.mask.asset:
        return {**sensor.mask.bits, **_PAIRS}
    platform = mtl.text("IMAGE_ATTRIBUTES", "SPACECRAFT_ID").lower().replace("_", "-")
    known = {"QA_RADSAT": _RADSAT.get(platform, {}), "SR_QA_AEROSOL": _AEROSOL, "SR_CLOUD_QA": _CLOUD}
    return dict(known.get(band.file, {}))
