"""Interferograms of ROI_PAC: geocoded two-band binaries with resource files.

Sources: ROI_PAC documentation (JPL/Caltech; "File Structure" and "DEM Info"; Rosen et al. 2004,
doi:10.1029/2004EO050004): ``.unw``, ``.cor`` and ``.hgt`` alternate lines of amplitude and of phase (correlation,
height), float32, in the byte order of the machine, which is little-endian today; ``.dem`` holds whole numbers of two
bytes; ``X_FIRST``, ``Y_FIRST`` are the upper left corner. A pixel that was not unwrapped has phase 0.

The interferogram is the first image times the conjugate of the second, so that its phase grows with the range from the
first to the second date of ``DATE12``, as is told of NSBAS, which is made of ROI_PAC; it is taken as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from affine import Affine

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.grid import Grid
from terracube.ingest.readers.interferograms import layers
from terracube.ingest.readers.interferograms.complement import Facts, facts_beside
from terracube.ingest.readers.interferograms.layers import Layer, binary
from terracube.ingest.readers.interferograms.pair import DAY, Pair, geometry_item, pair_item, read_date
from terracube.ingest.readers.interferograms.places import there
from terracube.ingest.readers.interferograms.tagged import DATES
from terracube.ingest.scene import Delivered, Document
from terracube.ingest.sources import Source
from terracube.ingest.text import read_text

_MAX_BYTES = 1 << 20
_FLOAT, _SHORT = "<f4", "<i2"
_PLANES = (".unw", ".cor", ".hgt")


def find(path: Path) -> list[Path]:
    """Look for unwrapped phases with a resource file, and for terrain models beside them."""
    if there(path):
        beside = path.suffix in (".dem", ".hgt") and any(map(_is_phase, path.parent.glob("*.unw")))
        return [path] if _is_phase(path) or (beside and _has_resource(path)) else []
    found = [each for each in sorted(path.rglob("*.unw")) if _is_phase(each)]
    return sorted([*found, *(each for folder in {each.parent for each in found} for each in _terrain(folder))])


def _is_phase(path: Path) -> bool:
    return path.suffix == ".unw" and _has_resource(path)


def _has_resource(path: Path) -> bool:
    return there(path) and there(path.with_name(f"{path.name}.rsc"))


def _terrain(folder: Path) -> list[Path]:
    """Give the terrain model that stands for the geometry of the stack: the first one."""
    found = [each for end in (".dem", ".hgt") for each in sorted(folder.glob(f"*{end}")) if _has_resource(each)]
    return found[:1]


@dataclass(frozen=True)
class Resource:
    """A resource file: a name and a value on each line."""

    path: Path
    told: Mapping[str, str]

    @classmethod
    def of(cls, path: Path) -> Resource:
        """Read the resource file of a binary, or a resource file itself.

        Raises
        ------
        AssetError, HostileInputError
        """
        file = path if path.suffix == ".rsc" else path.with_name(f"{path.name}.rsc")
        rows = (line.split(None, 1) for line in read_text(file, limit=_MAX_BYTES).splitlines())
        return cls(file, {row[0]: row[1].strip() for row in rows if len(row) == 2})

    def number(self, name: str) -> float | None:
        """Give a number, if it is there."""
        if name not in self.told:
            return None
        try:
            number = float(self.told[name].split()[0])
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise MetadataError("a value is no number", where=f"{self.path}, {name}", got=self.told[name][:40])
        return number

    def needed(self, name: str) -> float:
        """Give a number that must be there."""
        found = self.number(name)
        if found is None:
            raise MetadataError("a value is missing", where=str(self.path), expected=name, got="nothing")
        return found

    def count(self, name: str) -> int | None:
        """Give a number of looks, if it is there."""
        found = self.number(name)
        return int(found) if found is not None and found >= 1 else None


def resource_grid(told: Resource, facts: Facts) -> Grid:
    """Give the grid of a resource file.

    Raises
    ------
    MetadataError
        If it does not say where the pixels lie, or in which CRS.
    """
    where = str(told.path)
    if "X_FIRST" not in told.told:
        raise MetadataError(
            "the file is in radar geometry",
            where=where,
            expected="X_FIRST, Y_FIRST",
            todo="ingest the geocoded one (geo_*)",
        )
    rows, cols = (told.needed(name) for name in ("FILE_LENGTH", "WIDTH"))
    if min(rows, cols) < 1 or rows != int(rows) or cols != int(cols):
        raise MetadataError("a size is none", where=where, expected="FILE_LENGTH and WIDTH", got=f"{rows}, {cols}")
    x, y, dx, dy = (told.needed(name) for name in ("X_FIRST", "Y_FIRST", "X_STEP", "Y_STEP"))
    try:
        return Grid.from_affine(facts.crs or _crs(told), Affine(dx, 0, x, 0, dy, y), (int(rows), int(cols)))
    except (InputError, MetadataError) as error:
        raise MetadataError(error.what, where=where, expected=error.expected, got=error.got, todo=error.todo) from error


def _crs(told: Resource) -> str:
    """Give the CRS that the resource file, or that of a terrain model beside it, names."""
    for one in (told, *(Resource.of(each) for each in _terrain(told.path.parent))):
        projection, datum = (one.told.get(name, "").upper() for name in ("PROJECTION", "DATUM"))
        if datum.replace(" ", "").replace("-", "") not in ("WGS84", "WGS1984"):
            continue
        if projection in ("LL", "LATLON"):
            return "EPSG:4326"
        zone = projection.removeprefix("UTM").strip()
        number = int(zone[:-1]) if zone[:-1].isascii() and zone[:-1].isdigit() and len(zone) < 4 else 0
        if projection.startswith("UTM") and 1 <= number <= 60 and zone[-1] in "NS":
            return f"EPSG:{(32600 if zone[-1] == 'N' else 32700) + number}"
    raise MetadataError(
        "the CRS is not known",
        where=str(told.path),
        expected="PROJECTION LATLON (or UTM with zone, as UTM33N) and DATUM WGS84",
        got=f"{told.told.get('PROJECTION', 'none')}, {told.told.get('DATUM', 'none')}"[:80],
        todo="write crs: into a file terracube.yaml beside it",
    )


def read(path: Path, source: Source) -> Delivered:
    """Read a pair, or the terrain of a stack.

    Raises
    ------
    TerraCubeError
    """
    facts = facts_beside(path.parent)
    told = Resource.of(path)
    grid = resource_grid(told, facts)
    if path.suffix != ".unw":
        return _height(path, grid, source, facts)
    given = _facts(path, told, facts)
    factor = facts.factor * (-1 if given.reversed else 1)
    rasters = [layers.phase(_layer(path, grid, source), source, factor=factor)]
    if _has_resource(file := path.with_suffix(".cor")):
        found = _layer(file, resource_grid(Resource.of(file), facts), source)
        layers.same_grid(_layer(path, grid, source), found)
        rasters.append(layers.coherence(found, source))
    papers = [Document("parameters", told.path, "Resource file", "text/plain")]
    name = facts.name(path.stem)
    return pair_item(given.ordered(), rasters, name=name, source=source, path=path, documents=papers, notes=facts.notes)


def _layer(path: Path, grid: Grid, source: Source) -> Layer:
    """Describe the second plane of a two-band file, or the only one of a terrain model."""
    header = path.with_name(f"{path.name}.rsc")
    if path.suffix not in _PLANES:
        return binary(path, source, _SHORT, grid, header=header)
    row = 4 * grid.shape.x
    return binary(path, source, _FLOAT, grid, header=header, offset=row, row_bytes=2 * row)


def _facts(path: Path, told: Resource, facts: Facts) -> Pair:
    dates = _dates(path, told)
    ends = [told.number(f"P_BASELINE_{end}_HDR") for end in ("TOP", "BOTTOM")]
    baselines = [end for end in ends if end is not None]
    return facts.complete(
        reference=dates[0],
        secondary=dates[1],
        precision=DAY,
        wavelength=told.number("WAVELENGTH"),
        where=str(told.path),
        baseline=sum(baselines) / 2 if len(baselines) == 2 else None,
        looks=(told.count("RLOOKS"), told.count("ALOOKS")),
        heading=told.number("HEADING_DEG"),
        more={"platform": told.told["PLATFORM"].lower()}
        if told.told.get("PLATFORM", "").isprintable() and "PLATFORM" in told.told
        else {},
    )


def _dates(path: Path, told: Resource) -> tuple[datetime, datetime]:
    """Give both dates, of which resource file and name must not tell different ones."""
    texts = [DATES.search(text) for text in (told.told.get("DATE12", ""), path.name)]
    found = [tuple(read_date(text, where=str(told.path))[0] for text in each.groups()) for each in texts if each]
    if not found or len(set(found)) > 1:
        raise MetadataError(
            "the dates of the pair are not told" if not found else "name and resource file tell different dates",
            where=str(told.path),
            expected="DATE12, like 060619-061002",
            got="nothing" if not found else str([[f"{day:%Y-%m-%d}" for day in pair] for pair in found]),
        )
    first, second = found[0]
    return first, second


def _height(path: Path, grid: Grid, source: Source, facts: Facts) -> Delivered:
    layer = replace(_layer(path, grid, source), nodata=0.0)
    days: list[datetime] = []
    for each in sorted(path.parent.glob("*.unw")):
        if _has_resource(each):
            days.extend(_dates(each, Resource.of(each)))
    if not days:
        raise MetadataError("there is no pair beside the terrain model", where=str(path), expected="*.unw")
    made = [layers.raster("dem", layer, source)]
    name = facts.name(f"{path.stem}-geometry")
    return geometry_item(made, (min(days), max(days)), name=name, source=source, path=path, notes=facts.notes)
