"""Interferograms of FLATSIM (ForM@Ter, CNES), and of the other services that NSBAS makes: geocoded GeoTIFFs.

Sources: ForM@Ter, FLATSIM products (pages InU, InWF, Coh, CosENU, CosNEU); Thollard et al. 2021
(doi:10.3390/rs13183734); for the sign, the description of ForM@Ter's GDM-SAR products: phases of NSBAS are positive
where the range has grown. There:

* ``CNES_InU_geo_DATE_DATE_..._8rlks.tiff``: band 1 = unwrapped phase, radians, taken as it is; 0 = not unwrapped;
* ``CNES_Coh_geo_DATE_DATE_...``: band 1 = spatial coherence, 0 to 1;
* ``CNES_InWF_geo_DATE_DATE_...``: band 1 = filtered phase, wrapped;
* ``CNES_CosENU_geo_...``: line of sight east, north, up, from the satellite to the ground;
* ``CNES_CosNEU_geo_...``: line of sight north, east, up, from the ground to the satellite.

The sign of the upward component tells which way a vector points, and all are turned towards the satellite.

No product was at hand: this follows the description alone. The wavelength is that of Sentinel-1.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from terracube.core.errors import MetadataError
from terracube.ingest.readers.interferograms import layers
from terracube.ingest.readers.interferograms.complement import Facts, facts_beside
from terracube.ingest.readers.interferograms.layers import Layer, tiff
from terracube.ingest.readers.interferograms.pair import DAY, SENTINEL_1, Pair, geometry_item, pair_item, read_date
from terracube.ingest.readers.interferograms.places import there
from terracube.ingest.scene import Delivered, Document, Raster
from terracube.ingest.sources import Source

_PAIR = re.compile(r"[A-Z0-9]+_InU_(geo|radar)_(\d{8})[-_](\d{8})(?:_.*)?\.tiff?\Z")
_LOS = re.compile(r"([A-Z0-9]+)_Cos(ENU|NEU)_(geo|radar)(?:_.*)?\.tiff?\Z")
_LOOKS = re.compile(r"_(\d+)rlks")
_ANY = re.compile(r"_(\d{8})[-_](\d{8})[_.]")
_BANDS = {"ENU": (1, 2, 3), "NEU": (2, 1, 3)}
_MOST_BANDS = 8
_MAX_FILES = 200_000
_ENDS = (".tif", ".tiff")


def find(path: Path) -> list[Path]:
    """Look for unwrapped interferograms, and for maps of the line of sight."""
    if there(path):
        return [path] if _PAIR.match(path.name) or _LOS.match(path.name) else []
    found = (each for each in path.rglob("*.tif*") if _PAIR.match(each.name) or _LOS.match(each.name))
    return sorted(each for each in found if there(each))


def read(path: Path, source: Source) -> Delivered:
    """Read a pair, or the line of sight of a stack.

    Raises
    ------
    TerraCubeError
    """
    facts = next(
        (found for folder in (path.parent, path.parent.parent) if (found := facts_beside(folder)) != Facts()), Facts()
    )
    if "_radar" in path.name:
        raise MetadataError(
            "the product is in radar geometry", where=str(path), expected="the one in ground geometry (_geo_)"
        )
    return _geometry(path, source, facts) if _LOS.match(path.name) else _pair(path, source, facts)


def _pair(path: Path, source: Source, facts: Facts) -> Delivered:
    found = _PAIR.match(path.name)
    if found is None:
        raise MetadataError("the name tells no pair", where=str(path), expected="CNES_InU_geo_YYYYMMDD_YYYYMMDD_...")
    _, first, second = found.groups()
    given = _facts(path, first, second, facts)
    unwrapped = _layer(path, source)
    factor = facts.factor * (-1 if given.reversed else 1)
    rasters = [layers.phase(unwrapped, source, factor=factor)]
    if (file := _other(path, "Coh")) is not None:
        coherence = _layer(file, source)
        layers.same_grid(unwrapped, coherence)
        rasters.append(layers.coherence(coherence, source))
    if (file := _other(path, "InWF")) is not None:
        rasters.append(layers.phase(_layer(file, source), source, key="wrapped_phase", factor=factor))
    papers = [
        Document("metadata", file, "Metadata of the processing", "text/plain")
        for file in (path.with_suffix(".meta"), path.with_name(f"{path.name}.meta"))
        if there(file)
    ][:1]
    name = facts.name(path.stem)
    return pair_item(given.ordered(), rasters, name=name, source=source, path=path, documents=papers, notes=facts.notes)


def _facts(path: Path, first: str, second: str, facts: Facts) -> Pair:
    looks = _LOOKS.search(path.name)
    where = str(path)
    return facts.complete(
        reference=read_date(first, where=where)[0],
        secondary=read_date(second, where=where)[0],
        precision=DAY,
        wavelength=SENTINEL_1,
        where=where,
        # The name tells the looks in azimuth; in range there are more of them, by a factor that it does not tell.
        looks=(None, int(looks.group(1)) or None if looks and len(looks.group(1)) < 4 else None),
        more={"constellation": "sentinel-1", "instruments": ["c-sar"]},
    )


def _layer(path: Path, source: Source, band: int = 1) -> Layer:
    found = tiff(path, source, band=band, most=_MOST_BANDS)
    return found if found.nodata is not None else replace(found, nodata=0.0)


def _other(path: Path, kind: str) -> Path | None:
    """Give the product of another kind of the same pair."""
    dates = _ANY.search(path.name)
    if dates is None:
        return None
    names = path.parent.glob(f"*_{kind}_geo_{dates.group(1)}[-_]{dates.group(2)}*")
    found = sorted(each for each in names if each.suffix in _ENDS and there(each))
    if len(found) > 1:
        raise MetadataError(
            f"several {kind} are of this pair",
            where=str(path),
            expected="one",
            got=", ".join(each.name for each in found),
        )
    return found[0] if found else None


def _geometry(path: Path, source: Source, facts: Facts) -> Delivered:
    found = _LOS.match(path.name)
    if found is None:
        raise MetadataError("the name tells no line of sight", where=str(path), expected="CNES_CosENU_geo_...")
    east, north, up = (_layer(path, source, band) for band in _BANDS[found.group(2)])
    rasters: list[Raster] = layers.los_of_vector(east, north, up, source)
    first, last = _span(path, facts)
    shared = facts.complete(
        reference=first, secondary=last, precision=DAY, wavelength=SENTINEL_1, where=str(path),
        more={"constellation": "sentinel-1", "instruments": ["c-sar"]},
    )  # fmt: skip
    return geometry_item(
        rasters,
        (first, last),
        name=facts.name(f"{path.stem}-geometry"),
        source=source,
        path=path,
        properties=shared.geometry(),
        notes=facts.notes,
    )


def _span(path: Path, facts: Facts) -> tuple[datetime, datetime]:
    """Give first and last date of the pairs in this folder, or in those beside it."""
    days = [read_date(text, where=f"{path}, dates")[0] for text in facts.dates or ()]
    patterns = ("*_InU_geo_*", "*/*_InU_geo_*", "../*/*_InU_geo_*", "../*/*/*_InU_geo_*")
    for number, each in enumerate(each for pattern in patterns for each in path.parent.glob(pattern)):
        pair = _PAIR.match(each.name)
        if pair and number < _MAX_FILES:
            days.extend(read_date(text, where=str(each))[0] for text in pair.groups()[1:])
    if len(set(days)) < 2:
        raise MetadataError(
            "nothing tells which dates the line of sight belongs to",
            where=str(path),
            expected="interferograms beside it",
            todo="write dates: [first, last] into a file terracube.yaml beside it",
        )
    return min(days), max(days)
