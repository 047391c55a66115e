"""GeoTIFFs of interferograms that say in their tags what they are, as PyRate converts them from GAMMA and ROI_PAC.

Source: PyRate (Geoscience Australia), user guide and ``pyrate/core/ifgconstants.py``: tags ``DATA_TYPE``
(``ORIGINAL_IFG``, ``ORIGINAL_COH``, ``ORIGINAL_DEM``), ``DATA_UNITS``, ``INSAR_PROCESSOR``, ``FIRST_DATE``,
``SECOND_DATE``, ``FIRST_TIME``, ``SECOND_TIME`` (UTC), ``WAVELENGTH_METRES``, ``INCIDENCE_DEGREES``. Numbers are those
of the processor, so that its sign holds. ``WAVELENGTH_METRES`` is taken as it stands (PyRate computes that of GAMMA
with 3e8 m/s).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from terracube.core.errors import MetadataError, TerraCubeError
from terracube.cubes.readers import open_raster
from terracube.ingest.readers.interferograms import layers
from terracube.ingest.readers.interferograms.complement import Facts, facts_beside
from terracube.ingest.readers.interferograms.layers import tiff
from terracube.ingest.readers.interferograms.network import Network, network_of
from terracube.ingest.readers.interferograms.pair import (
    DAY,
    SECOND,
    Pair,
    geometry_item,
    pair_item,
    read_date,
)
from terracube.ingest.readers.interferograms.places import there
from terracube.ingest.scene import Delivered
from terracube.ingest.sources import Source

DATES = re.compile(r"(?<!\d)(\d{6}|\d{8})[-_](\d{6}|\d{8})(?!\d)")
_IFG, _COH, _DEM = "ORIGINAL_IFG", "ORIGINAL_COH", "ORIGINAL_DEM"
_MAX_FILES = 100_000


def find(path: Path, processor: str) -> list[Path]:
    """Look for interferograms of a processor, and for the terrain models that lie beside some.

    Parameters
    ----------
    processor : str
        ``GAMMA`` or ``ROIPAC``.
    """
    if there(path):
        return [path] if _is_ifg(path, processor) or (_is_dem(path) and _pairs(path.parent, processor)) else []
    found = [each for each in sorted(path.rglob("*_unw.tif")) if _is_ifg(each, processor)]
    folders = {each.parent for each in found}
    return sorted([*found, *(each for folder in folders for each in folder.glob("*_dem.tif") if _is_dem(each))])


def _is_ifg(path: Path, processor: str) -> bool:
    if not path.name.endswith("_unw.tif") or not DATES.search(path.name):
        return False
    told = tags(path)
    return told.get("DATA_TYPE") == _IFG and told.get("INSAR_PROCESSOR") == processor


def _is_dem(path: Path) -> bool:
    return path.name.endswith("_dem.tif") and tags(path).get("DATA_TYPE") == _DEM


def _pairs(folder: Path, processor: str) -> Iterator[Path]:
    return (each for each in sorted(folder.glob("*_unw.tif")) if _is_ifg(each, processor))


def tags(path: Path) -> dict[str, str]:
    """Give the tags of a GeoTIFF; none where it cannot be opened."""
    try:
        with open_raster(path) as dataset:
            return {str(name): str(value) for name, value in dataset.tags().items()}
    except (TerraCubeError, UnicodeDecodeError):
        return {}


def read(path: Path, source: Source, processor: str) -> Delivered:
    """Read a pair, or the terrain of a stack.

    Raises
    ------
    TerraCubeError
    """
    facts = facts_beside(path.parent)
    if path.name.endswith("_dem.tif"):
        return _terrain(path, source, processor, facts)
    given = _pair(path, tags(path), facts)
    unwrapped = tiff(path, source)
    if (unit := tags(path).get("DATA_UNITS", "RADIANS")) != "RADIANS":
        raise MetadataError(
            "the phase is in another unit", where=f"{path}, DATA_UNITS", expected="RADIANS", got=unit[:40]
        )
    # 0 is what GAMMA and ROI_PAC write where nothing was unwrapped; the conversion declares it as nodata.
    missing = 0.0 if unwrapped.nodata is None or math.isnan(unwrapped.nodata) else unwrapped.nodata
    factor = facts.factor * (-1 if given.reversed else 1)
    rasters = [layers.phase(unwrapped, source, factor=factor, missing=missing)]
    if (file := _coherence(path)) is not None:
        found = tiff(file, source)
        layers.same_grid(unwrapped, found)
        rasters.append(layers.coherence(found, source))
    name = facts.name(path.stem)
    return pair_item(given.ordered(), rasters, name=name, source=source, path=path, notes=facts.notes)


def _pair(path: Path, told: Mapping[str, str], facts: Facts) -> Pair:
    (reference, one), (secondary, other) = (_date(told, which, path) for which in ("FIRST", "SECOND"))
    found = network_of(path)
    listed = _of_network(found[0], reference, secondary, str(found[1])) if found else {}
    told_numbers = {
        "wavelength": _number(told, "WAVELENGTH_METRES", path),
        "incidence": _number(told, "INCIDENCE_DEGREES", path),
    }
    return facts.complete(
        reference=reference,
        secondary=secondary,
        precision=DAY if DAY in (one, other) else SECOND,
        where=str(path),
        **(listed | {name: value for name, value in told_numbers.items() if value is not None}),
    )


def _of_network(network: Network, reference: datetime, secondary: datetime, where: str) -> dict[str, Any]:
    told: dict[str, Any] = {
        "wavelength": network.wavelength_m,
        "incidence": network.incidence_deg,
        "heading": network.heading_deg,
        "orbit": network.orbit,
        "looks": (network.looks_rg, network.looks_az),
        "baseline": network.baseline(reference, secondary, where=where),
    }
    if network.nlooks_used_for_weight is not None:
        told["more"] = {"sar:looks_equivalent_number": network.nlooks_used_for_weight}
    return told


def _date(told: Mapping[str, str], which: str, path: Path) -> tuple[datetime, str]:
    day, time = told.get(f"{which}_DATE"), told.get(f"{which}_TIME")
    where = f"{path}, {which}_DATE"
    return read_date(day if time is None else f"{day}T{time}", where=where)


def _number(told: Mapping[str, str], name: str, path: Path) -> float | None:
    if name not in told:
        return None
    try:
        return float(told[name])
    except ValueError:
        raise MetadataError("a tag is no number", where=f"{path}, {name}", got=told[name][:40]) from None


def _coherence(path: Path) -> Path | None:
    """Give the one coherence of the same dates in the folder."""
    dates = DATES.search(path.name)
    if dates is None:
        return None
    names = [
        each for each in sorted(path.parent.glob(f"*{dates.group()}*")) if each.name.endswith(("_cc.tif", "_coh.tif"))
    ]
    found = [each for each in names if tags(each).get("DATA_TYPE", _COH) == _COH]
    if len(found) > 1:
        raise MetadataError(
            "several coherences are of these dates",
            where=str(path),
            expected="one",
            got=", ".join(e.name for e in found),
        )
    return found[0] if found else None


def _terrain(path: Path, source: Source, processor: str, facts: Facts) -> Delivered:
    days: list[datetime] = []
    for number, each in enumerate(_pairs(path.parent, processor)):
        if number >= _MAX_FILES:
            break
        days.extend(_date(tags(each), which, each)[0] for which in ("FIRST", "SECOND"))
    if not days:
        raise MetadataError("there is no pair beside the terrain model", where=str(path), expected="*_unw.tif")
    made = [layers.raster("dem", tiff(path, source), source)]
    name = facts.name(f"{path.stem}-geometry")
    return geometry_item(made, (min(days), max(days)), name=name, source=source, path=path, notes=facts.notes)
