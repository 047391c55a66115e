"""Interferograms of ASF HyP3, made by GAMMA (whole scenes) or ISCE2 (bursts): GeoTIFFs and a parameter file.

Sources: ASF, "InSAR Product Guide" and "Burst InSAR Product Guide" (HyP3 documentation; sections "Image Files" and
"InSAR Parameter File"), and the README that each product holds. There:

* unwrapped phase: positive = movement away from the sensor, so it is taken as it is;
* ``lv_theta``: elevation of the look vector above the horizontal, radians, positive where the sensor is above;
  ``lv_phi``: its orientation, 0 = east, pi/2 = north; the vector points back to the sensor;
* ``inc_map`` and ``inc_map_ell``: local and ellipsoidal incidence angle, radians;
* the reference granule is the earlier one; 0 is nodata in all but the water mask (1 = land), except that newer products
  set the phase of the reference point to 0, which is a value there.

No file tells the wavelength: it is that of Sentinel-1, from which all of these products are made.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from terracube.core.errors import AssetError, MetadataError
from terracube.core.files import resolve_below
from terracube.ingest.readers.interferograms import layers
from terracube.ingest.readers.interferograms.complement import Facts, facts_beside
from terracube.ingest.readers.interferograms.layers import Layer, tiff
from terracube.ingest.readers.interferograms.pair import SENTINEL_1, Pair, pair_item, read_date
from terracube.ingest.readers.interferograms.places import there
from terracube.ingest.scene import Delivered, Document, Raster
from terracube.ingest.sources import Source
from terracube.ingest.text import read_text

_PHASE = "_unw_phase.tif"
_MAX_BYTES = 1 << 20
_GRANULE = re.compile(r"(S1[A-D]?)_.*?_(\d{8}T\d{6})")
_SLC = re.compile(r"S1([AB])_.*_(\d{6})_[0-9A-F]{6}_[0-9A-F]{4}\Z")
# Relative orbit = (absolute - shift) modulo 175 + 1 (ESA, Sentinel-1 products: how orbits are counted).
_SHIFTS = {"A": 73, "B": 27}
_POLARISATION = re.compile(r"_(VV|HH|VH|HV)")


def find(path: Path) -> list[Path]:
    """Look for parameter files that have an unwrapped phase of the same name beside them."""
    if there(path):
        return [path] if _is_parameters(path) else []
    return [each for each in sorted(path.rglob("*.txt")) if _is_parameters(each)]


def _is_parameters(path: Path) -> bool:
    return path.suffix == ".txt" and there(path) and there(path.parent / f"{path.stem}{_PHASE}")


def read(path: Path, source: Source) -> Delivered:
    """Read the parameter file of a product, and the headers of its rasters.

    Raises
    ------
    TerraCubeError
    """
    told = _parameters(path)
    facts = facts_beside(path.parent)
    given = _pair(told, path, facts)
    files = _Files(path, source)
    rasters = _rasters(files, told, facts.factor * (-1 if given.reversed else 1))
    papers = [Document("parameters", path, "Parameters of the processing", "text/plain")]
    name = facts.name(path.stem)
    return pair_item(given.ordered(), rasters, name=name, source=source, path=path, documents=papers, notes=facts.notes)


def _parameters(path: Path) -> dict[str, str]:
    lines = [line.partition(":") for line in read_text(path, limit=_MAX_BYTES).splitlines() if ":" in line]
    return {name.strip().lower(): value.strip() for name, _, value in lines}


def _pair(told: dict[str, str], path: Path, facts: Facts) -> Pair:
    reference, secondary = (_granule(told, f"{which} granule", path) for which in ("reference", "secondary"))
    dates = [read_date(one.group(2), where=f"{path}, granule")[0] for one in (reference, secondary)]
    platforms = {f"sentinel-1{one.group(1)[2:].lower()}" for one in (reference, secondary) if one.group(1)[2:]}
    more: dict[str, Any] = {"constellation": "sentinel-1", "instruments": ["c-sar"], "sar:instrument_mode": "IW"}
    if len(platforms) == 1:
        more["platform"] = platforms.pop()
    if polarisation := _POLARISATION.search(path.stem):
        more["sar:polarizations"] = [polarisation.group(1)]
    return facts.complete(
        reference=dates[0],
        secondary=dates[1],
        wavelength=SENTINEL_1,
        where=str(path),
        baseline=_number(told, "baseline", path),
        looks=(_count(told, "range looks", path), _count(told, "azimuth looks", path)),
        heading=_number(told, "heading", path),
        orbit=_orbit(told.get("reference pass direction", "")),
        relative_orbit=_relative_orbit(told["reference granule"]),
        more=more,
    )


def _granule(told: dict[str, str], name: str, path: Path) -> re.Match[str]:
    """Find platform and start of a granule; of several bursts, those of the first."""
    found = _GRANULE.search(told.get(name, ""))
    if found is None:
        raise MetadataError(
            "the parameter file names no granule",
            where=f"{path}, {name}",
            expected="S1A_IW_SLC__1SDV_20171111T150004_..., or S1_136231_IW2_20200604T022312_VV_7C85-BURST",
            got=told.get(name, "nothing")[:80],
        )
    return found


def _orbit(told: str) -> str | None:
    return told.lower() if told.lower() in ("ascending", "descending") else None


def _relative_orbit(granule: str) -> int | None:
    found = _SLC.match(granule.strip())
    return (int(found.group(2)) - _SHIFTS[found.group(1)]) % 175 + 1 if found else None


def _number(told: dict[str, str], name: str, path: Path) -> float | None:
    text = told.get(name, "").split()
    if not text:
        return None
    try:
        number = float(text[0])
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise MetadataError("a parameter is no number", where=f"{path}, {name}", got=text[0][:40])
    return number


def _count(told: dict[str, str], name: str, path: Path) -> int | None:
    number = _number(told, name, path)
    return int(number) if number is not None and number >= 1 else None


class _Files:
    """The rasters of one product, by the end of their names."""

    def __init__(self, path: Path, source: Source) -> None:
        self.path, self.source = path, source

    def layer(self, end: str, *, zero: bool = True) -> Layer | None:
        """Give a layer, if it was delivered; 0 is its nodata unless the file says otherwise."""
        file = resolve_below(self.path.parent, f"{self.path.stem}_{end}.tif")
        if not there(file):
            return None
        found = tiff(file, self.source)
        return replace(found, nodata=0.0) if zero and found.nodata is None else found


def _rasters(files: _Files, told: dict[str, str], factor: float) -> list[Raster]:
    source, unwrapped = files.source, files.layer("unw_phase")
    if unwrapped is None:
        raise AssetError("the product has no unwrapped phase", where=str(files.path), expected=f"*{_PHASE}")
    kept_at = _reference_point(told, unwrapped, files.path)
    rasters = [layers.phase(unwrapped, source, factor=factor, kept_at=kept_at)]
    if (found := files.layer("corr")) is not None:
        layers.same_grid(unwrapped, found)
        rasters.append(layers.coherence(found, source))
    if (found := files.layer("wrapped_phase")) is not None:
        rasters.append(layers.phase(found, source, key="wrapped_phase", factor=factor, kept_at=kept_at))
    if (found := files.layer("conncomp")) is not None:
        rasters.append(layers.labels(found, source))
    if (found := files.layer("dem")) is not None:
        rasters.append(layers.raster("dem", found, source))
    elevation, orientation = files.layer("lv_theta"), files.layer("lv_phi")
    if elevation is not None and orientation is not None:
        rasters.extend(layers.los_of_angles(elevation, orientation, source))
    for end, key in (("inc_map_ell", "incidence_angle"), ("inc_map", "local_incidence_angle")):
        if (found := files.layer(end)) is not None:
            rasters.append(layers.raster(key, found, source, radiometry=layers.DEGREES))
    if (found := files.layer("water_mask", zero=False)) is not None:
        rasters.append(layers.raster("water_mask", found, source, classes={0: "water", 1: "land"}))
    return rasters


def _reference_point(told: dict[str, str], layer: Layer, path: Path) -> tuple[int, int] | None:
    """Give row and column of the reference point, where the parameter file tells it and it lies on the raster."""
    names = [f"{axis} coordinate of the reference point in the map projection" for axis in ("y", "x")]
    y, x = (_number(told, name, path) for name in names)
    if y is None or x is None:
        return None
    grid = layer.grid
    row = math.floor((y - grid.bounds.top) / grid.resolution.y)
    col = math.floor((x - grid.bounds.left) / grid.resolution.x)
    inside = 0 <= row < grid.shape.y and 0 <= col < grid.shape.x
    return (row, col) if inside else None
