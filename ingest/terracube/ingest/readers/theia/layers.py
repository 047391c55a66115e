"""The layers of a MUSCATE product: reflectance, what the atmosphere held, the masks, and one mask made of these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from terracube.core.errors import AssetError, MetadataError
from terracube.core.sensors import Band, Radiometry, Sensor
from terracube.cubes.items.headers import settle_nodata
from terracube.ingest.pixels import MadePixels
from terracube.ingest.rasters import Head, head
from terracube.ingest.readers.claims import Claim, check_claim
from terracube.ingest.readers.theia.files import Files
from terracube.ingest.readers.theia.masks import LAYERS, bits_of, made_mask
from terracube.ingest.readers.theia.metadata import Muscate
from terracube.ingest.scene import Raster
from terracube.ingest.sources import Source

_REFLECTANCE = {"FRE": "corrected for slopes (FRE)", "SRE": "of the surface as it lies (SRE)"}
# Groups of the finest pixels, whose layers have plain names; those of the other group of Sentinel-2 end in _20m.
_FINE, _COARSE = ("R1", "XS", "ALL"), "R2"
_AIR = {
    "wvp": ("WATER_VAPOR_CONTENT", "Water_Vapor_Content", 1),
    "aot": ("AEROSOL_OPTICAL_THICKNESS", "Aerosol_Optical_Thickness", 2),
}


@dataclass(frozen=True)
class Layers:
    """What was found."""

    rasters: tuple[Raster, ...]
    """Measured bands first."""
    reflectance: str
    """Which reflectance the bands hold: ``FRE`` or ``SRE``."""
    notes: tuple[str, ...]


@dataclass
class _Reading:
    """A product while its files are looked at."""

    told: Muscate
    files: Mapping[str, Path]
    source: Source
    claims: Mapping[str, Claim]
    groups: Mapping[str, list[str]]
    notes: list[str] = field(default_factory=list)

    def head(self, token: str, group: str) -> Head | None:
        """Read the header of a file, if it is there, and compare it with what the metadata claim of its group."""
        path = self.files.get(token)
        if path is None:
            return None
        found = head(path, largest=self.source.largest_side, where=path.name)
        claim = self.claims.get(group)
        if claim is None and len(self.claims) == 1 and group in _FINE:
            claim = next(iter(self.claims.values()))  # one group, which names of files call ALL or XS
        if claim is None:
            self.notes.append(f"the metadata do not tell where the pixels of {group} lie: the headers decide")
        else:
            self.notes.extend(f"{group}: {note}" for note in check_claim(found.grid, claim, where=path.name))
        return found

    def group_of(self, band: str) -> str:
        """Give the group of a band."""
        return next((name for name, bands in self.groups.items() if band in bands), "XS")


def read_layers(told: Muscate, files: Files, source: Source, sensor: Sensor) -> Layers:
    """Read the header of every file of a product.

    Parameters
    ----------
    told : Muscate
    files : Files
    source : Source
    sensor : Sensor
        As the platform of the product carries it.

    Raises
    ------
    TerraCubeError
        If a file is not what the metadata say, or no reflectance is there.
    """
    reading = _Reading(
        told, files.rasters, source, told.claims(largest=source.largest_side), _groups(told, sensor, source)
    )
    kind = "FRE" if any(token.startswith("FRE") for token in files.rasters) else "SRE"
    bands = _bands(reading, sensor, kind)
    if not bands:
        raise AssetError(
            "no reflectance is there",
            where=str(told.path.parent),
            expected=", ".join(f"FRE_{band.file}.tif or SRE_{band.file}.tif" for band in sensor.bands.values())[:300],
            got=", ".join(sorted(files.rasters))[:200] or "no raster",
            todo="put the bands beside the metadata file",
        )
    surfaces = _surfaces(reading, sensor) if kind == "FRE" else []
    rasters = (*bands, *surfaces, *_air(reading, sensor), *_masks(reading, sensor))
    return Layers(rasters, kind, tuple(reading.notes))


def _groups(told: Muscate, sensor: Sensor, source: Source) -> Mapping[str, list[str]]:
    """Give the bands of each group as the metadata tell them, else as the format does."""
    usual: dict[str, list[str]] = source.options.get("groups") or {"XS": [band.file for band in sensor.bands.values()]}
    return {**usual, **{name: bands for name, bands in told.groups().items() if bands}}


def _bands(reading: _Reading, sensor: Sensor, kind: str) -> list[Raster]:
    return [
        raster for band in sensor.bands.values() if (raster := _measured(reading, band, band.file, kind)) is not None
    ]


def _surfaces(reading: _Reading, sensor: Sensor) -> list[Raster]:
    """Give the second reflectance, that of the surface as it lies."""
    found = []
    for band in sensor.bands.values():
        extra = sensor.extras.get(f"{band.name}_surface")
        raster = (
            None if extra is None else _measured(reading, replace(extra, file=f"SRE_{band.file}"), band.file, "SRE")
        )
        found.extend([] if raster is None else [raster])
    return found


def _measured(reading: _Reading, band: Band, number: str, kind: str) -> Raster | None:
    found = reading.head(f"{kind}_{number}", reading.group_of(number))
    if found is None:
        return None
    check_kind(found, ("int16",), bands=1)
    scale, note = reading.told.scale("REFLECTANCE", usual=1e-4)
    reading.notes.extend([note] if note else [])
    nodata = settle_nodata(
        found.nodata[0], reading.told.special("nodata"), given=False, dtype="int16", where=found.path.name
    )
    if nodata is None:
        raise MetadataError(
            "neither metadata nor file tell which number means missing",
            where=found.path.name,
            expected="SPECIAL_VALUE nodata (-10000)",
            got="nothing",
        )
    pixels = found.pixels()
    return Raster(
        key=band.name,
        band=replace(band, title=f"{band.title}, {_REFLECTANCE[kind]}"),
        pixels=replace(pixels, cog=pixels.cog and nodata == found.nodata[0]),
        grid=found.grid,
        dtype="int16",
        nodata=nodata,
        files=(found.path,),
        radiometry=Radiometry(scale, 0.0, "REFLECTANCE_QUANTIFICATION_VALUE of the metadata"),
        roles=("data", "reflectance"),
    )


def check_kind(found: Head, dtypes: tuple[str, ...], *, bands: int) -> None:
    """Refuse a file of other numbers, or of another count of bands.

    Raises
    ------
    AssetError
        If it is one.
    """
    if found.count != bands or not set(found.dtypes) <= set(dtypes):
        raise AssetError(
            "the file is not of the product's kind",
            where=found.path.name,
            expected=f"{bands} band(s) of {' or '.join(dtypes)}",
            got=f"{found.count} of {', '.join(found.dtypes)}"[:80],
        )


def _present(reading: _Reading, start: str) -> list[tuple[str, str]]:
    """Give the groups of a layer that are there, each with the ending of its name."""
    fine = [(group, "") for group in _FINE if f"{start}_{group}" in reading.files][:1]
    return fine + ([(_COARSE, "_20m")] if f"{start}_{_COARSE}" in reading.files else [])


def _air(reading: _Reading, sensor: Sensor) -> list[Raster]:
    """Give water vapour and aerosol optical thickness: two bands of one file."""
    numbers = {(file.nature, file.token): file.index for file in reading.told.listed() if file.index}
    rasters = []
    for group, ending in _present(reading, "ATB"):
        found = reading.head(f"ATB_{group}", group)
        for name, (field_name, nature, usual) in _AIR.items():
            band = sensor.extras[f"{name}{ending}"]
            if found is not None:
                check_kind(found, ("uint8", "uint16"), bands=2)
                rasters.append(
                    _air_layer(reading, band, found, field_name, numbers.get((nature, f"ATB_{group}")) or usual)
                )
    return rasters


def _air_layer(reading: _Reading, band: Band, found: Head, what: str, index: int) -> Raster:
    if index not in (1, 2):
        raise MetadataError("the file has no such band", where=found.path.name, expected="1 or 2", got=str(index))
    scale, note = reading.told.scale(what, usual=band.scale or 1.0)
    reading.notes.extend([note] if note else [])
    dtype, told = found.dtypes[index - 1], reading.told.special(f"{what.lower()}_nodata")
    return Raster(
        key=band.name,
        band=band,
        pixels=found.pixels(index),
        grid=found.grid,
        dtype=dtype,
        nodata=settle_nodata(found.nodata[index - 1], told, given=False, dtype=dtype, where=found.path.name),
        files=(found.path,),
        radiometry=Radiometry(scale, 0.0, f"{what}_QUANTIFICATION_VALUE of the metadata"),
    )


def _masks(reading: _Reading, sensor: Sensor) -> list[Raster]:
    """Give the delivered masks of each group, and the one that is made of them."""
    heads: dict[str, Head] = {}
    rasters = []
    for start, layer in LAYERS.items():
        if start == "IAO" and any(token.startswith("IAB") for token in reading.files):
            continue
        for group, ending in _present(reading, start):
            found = reading.head(f"{start}_{group}", group)
            if found is not None:
                check_kind(found, ("uint8", "uint16"), bands=1)
                heads[f"{start}_{group}"] = found
                meaning = bits_of(reading.told, start, group, reading.groups)
                rasters.append(_mask(sensor.extras[f"{layer}{ending}"], found, meaning))
    return [*_made(reading, sensor, heads), *rasters]


def _mask(band: Band, found: Head, meaning: Mapping[int, str]) -> Raster:
    """Give a delivered mask. Every number is a statement, 0 too: what the file calls nodata is not believed."""
    pixels = replace(found.pixels(), cog=False) if found.nodata[0] is not None else found.pixels()
    return Raster(
        key=band.name,
        band=band,
        pixels=pixels,
        grid=found.grid,
        dtype=found.dtypes[0],
        nodata=None,
        files=(found.path,),
        bits=meaning,
    )


def _made(reading: _Reading, sensor: Sensor, heads: Mapping[str, Head]) -> list[Raster]:
    """Make the layer that answers what is clear: of the clouds, the ground and the edge of the image, all three."""
    for group in (*_FINE, _COARSE):
        parts = [heads.get(f"{start}_{group}") for start in ("CLM", "MG2", "EDG")]
        there = [part for part in parts if part is not None and part.grid == (parts[0] or part).grid]
        if len(there) == len(parts):
            return [
                Raster(
                    key=sensor.mask.asset,
                    band=sensor.extras[sensor.mask.asset],
                    pixels=MadePixels(tuple(part.pixels() for part in there), made_mask),
                    grid=there[0].grid,
                    dtype="uint8",
                    nodata=float(sensor.mask.nodata),
                    files=tuple(part.path for part in there),
                    bits=sensor.mask.bits,
                )
            ]
    reading.notes.append("CLM, MG2 and EDG of one grid are not there, so nothing tells which pixels are clear")
    return []
