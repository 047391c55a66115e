"""Interferograms of GAMMA: geocoded binaries with their parameter files.

Sources: GAMMA Remote Sensing, "DIFF&GEO Reference Manual" (DEM_par, gc_map, dispmap) and "ISP Reference Manual"
(SLC_par, base_perp); for the sign, ASF's "InSAR Product Guide", whose products GAMMA makes. There:

* ``*.unw``: unwrapped phase, big-endian float32, rows of ``width`` numbers; positive = the range has grown, so it is
  taken as it is; 0 = not unwrapped;
* ``*.cc``: coherence, 0 = none;
* ``*_dem.par`` (or ``*.dem_par``): the map; ``corner_lat``, ``corner_lon`` (``corner_north``, ``corner_east``) are of
  the first pixel, that is of its centre;
* ``lv_theta``, ``lv_phi``: elevation of the look vector from the horizontal, and its orientation from east towards
  north, radians;
* ``DATE_slc.par`` or ``DATE.mli.par``: time (UTC), frequency, looks, heading, incidence; ``PAIR_base.par``: baseline as
  components along the track, across it, and normal to it (TCN).

The perpendicular baseline is Bc cos(look) - Bn sin(look) at the scene centre (Baehr 2012, "Orbital effects in
spaceborne synthetic aperture radar interferometry", equation 3.5).
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from affine import Affine

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.grid import Grid
from terracube.ingest.readers.interferograms import layers
from terracube.ingest.readers.interferograms.complement import Facts, facts_beside
from terracube.ingest.readers.interferograms.gammapar import Parameters, read_parameters
from terracube.ingest.readers.interferograms.layers import Layer, binary
from terracube.ingest.readers.interferograms.pair import (
    DAY,
    SECOND,
    SPEED_OF_LIGHT,
    Pair,
    geometry_item,
    pair_item,
    read_date,
)
from terracube.ingest.readers.interferograms.places import there
from terracube.ingest.readers.interferograms.tagged import DATES
from terracube.ingest.scene import Delivered, Document, Raster
from terracube.ingest.sources import Source

_MAPS = ("_dem.par", ".dem_par", ".dem.par")
_SHARED = ("dem", "lv_theta", "lv_phi", "inc")
_FLOAT, _SHORT = ">f4", ">i2"


def find(path: Path) -> list[Path]:
    """Look for unwrapped phases beside a map parameter file, and for these files, which stand for the geometry."""
    if there(path):
        folder = [each for each in sorted(path.parent.glob("*")) if _is_phase(each)] if _is_map(path) else [path]
        found = [each for each in folder if _is_phase(each)]
        return [path] if found and _maps(path.parent) and (path in found or _has_layers(path)) else []
    phases = [each for each in sorted(path.rglob("*.unw")) if _is_phase(each)]
    maps = {folder: _maps(folder) for folder in {each.parent for each in phases}}
    geometry = [each for charts in maps.values() for each in charts if _has_layers(each)]
    return sorted([*(each for each in phases if maps[each.parent]), *geometry])


def _is_phase(path: Path) -> bool:
    named = path.suffix == ".unw" and DATES.search(path.name) is not None
    return named and there(path) and not there(path.with_name(f"{path.name}.rsc"))


def _is_map(path: Path) -> bool:
    return path.name.endswith(_MAPS) and there(path)


def _maps(folder: Path) -> list[Path]:
    return sorted(each for each in folder.glob("*") if _is_map(each))


def _stem(chart: Path) -> str:
    """Give what the layers on a map are called before their ends."""
    return next(chart.name.removesuffix(end) for end in _MAPS if chart.name.endswith(end))


def _has_layers(chart: Path) -> bool:
    return any(_shared(chart, name) for name in _SHARED)


def _shared(chart: Path, name: str) -> Path | None:
    return _beside(chart.parent, _stem(chart), (f".{name}", f"_{name}"))


def read(path: Path, source: Source) -> Delivered:
    """Read a pair, or the geometry of the stack that a map parameter file stands for.

    Raises
    ------
    TerraCubeError
    """
    facts = facts_beside(path.parent)
    return _geometry(path, source, facts) if _is_map(path) else _pair(path, source, facts)


def _pair(path: Path, source: Source, facts: Facts) -> Delivered:
    maps = _maps(path.parent)
    if len(maps) != 1:
        raise MetadataError(
            "which map do the interferograms lie on?",
            where=str(path.parent),
            expected="one *_dem.par",
            got=str(len(maps)),
        )
    grid = map_grid(maps[0], facts)
    given, papers = _facts(path, facts)
    unwrapped = binary(path, source, _FLOAT, grid, header=maps[0])
    factor = facts.factor * (-1 if given.reversed else 1)
    rasters = [layers.phase(unwrapped, source, factor=factor)]
    if (file := _coherence(path)) is not None:
        rasters.append(layers.coherence(binary(file, source, _FLOAT, grid, header=maps[0]), source))
    name = facts.name(path.stem)
    return pair_item(given.ordered(), rasters, name=name, source=source, path=path, documents=papers, notes=facts.notes)


def _coherence(path: Path) -> Path | None:
    """Give the coherence of a pair: that of its name, else the one of its dates."""
    named = _beside(path.parent, path.name, (".cc",)) or _beside(path.parent, path.stem, (".cc", ".cor"))
    dates = DATES.search(path.name)
    if named is not None or dates is None:
        return named
    found = [each for each in sorted(path.parent.glob(f"*{dates.group()}*.cc")) if there(each)]
    if len(found) > 1:
        raise MetadataError(
            "several coherences are of these dates",
            where=str(path),
            expected=f"one, or {path.stem}.cc",
            got=", ".join(each.name for each in found[:5]),
        )
    return found[0] if found else None


def map_grid(path: Path, facts: Facts) -> Grid:
    """Give the grid of a map parameter file.

    Raises
    ------
    MetadataError
        If it does not say where the pixels lie.
    """
    told = read_parameters(path)
    projection = told.text("DEM_projection").upper()
    axes = ("lat", "lon") if projection == "EQA" else ("north", "east")
    (north, dy), (east, dx) = ((told.number(f"corner_{axis}"), told.number(f"post_{axis}")) for axis in axes)
    shape = told.count("nlines"), told.count("width")
    try:
        place = Affine(dx, 0, east - dx / 2, 0, dy, north - dy / 2)
        return Grid.from_affine(facts.crs or _crs(told, projection), place, shape)
    except (InputError, MetadataError) as error:
        raise MetadataError(
            error.what, where=str(path), expected=error.expected, got=error.got, todo=error.todo
        ) from error


def _crs(told: Parameters, projection: str) -> str:
    """Give the CRS of a map on the ellipsoid and datum WGS 84; any other has to be told."""
    world = told.text("datum_name", "").upper().replace(" ", "") in ("WGS1984", "WGS84")
    if world and projection == "EQA":
        return "EPSG:4326"
    zone = told.whole("projection_zone")
    if world and projection == "UTM" and zone is not None and 1 <= zone <= 60:
        south = told.optional("false_northing") or 0.0
        return f"EPSG:{(32700 if south > 0 else 32600) + zone}"
    raise MetadataError(
        "the CRS of the map is not known",
        where=str(told.path),
        expected="DEM_projection EQA or UTM with datum_name WGS 1984",
        got=f"{projection or 'none'}, {told.text('datum_name', 'none')}"[:80],
        todo="write crs: into a file terracube.yaml beside it",
    )


def _facts(path: Path, facts: Facts) -> tuple[Pair, list[Document]]:
    found = DATES.search(path.name)
    if found is None:
        raise MetadataError("the name tells no pair", where=str(path), expected="YYYYMMDD-YYYYMMDD")
    days = [read_date(text, where=str(path))[0] for text in found.groups()]
    images = [_image(path.parent, text) for text in found.groups()]
    moments = [_moment(image, day) for image, day in zip(images, days, strict=True)]
    first = images[0]
    base = _beside(path.parent, found.group(), ("_base.par", ".base", ".base.par"))
    baseline = None if base is None or first is None else _baseline(read_parameters(base), first)
    given = facts.complete(
        reference=moments[0][0],
        secondary=moments[1][0],
        precision=SECOND if all(precise for _, precise in moments) else DAY,
        where=str(path),
        baseline=baseline,
        **(_of_image(first) if first else {}),
    )
    papers = [
        Document(key, file, title, "text/plain")
        for key, file, title in (
            ("baseline_parameters", base, "Baseline"),
            ("reference_parameters", images[0].path if images[0] else None, "Image of the reference date"),
            ("secondary_parameters", images[1].path if images[1] else None, "Image of the secondary date"),
        )
        if file is not None
    ]
    return given, papers


def _beside(folder: Path, stem: str, ends: tuple[str, ...]) -> Path | None:
    return next((file for end in ends if there(file := folder / f"{stem}{end}")), None)


def _image(folder: Path, day: str) -> Parameters | None:
    """Give the parameters of the image of a day: of the multi-looked one, if there is one."""
    file = _beside(folder, day, (".mli.par", "_mli.par", ".rmli.par", ".slc.par", "_slc.par", ".rslc.par"))
    return None if file is None else read_parameters(file)


def _moment(image: Parameters | None, day: datetime) -> tuple[datetime, bool]:
    """Give the time of an image, and whether more than its day is known."""
    numbers = [] if image is None else image.numbers("date")
    if image is None or len(numbers) < 6:
        return day, False
    year, month, number, hour, minute, second = numbers[:6]
    text = f"{year:04.0f}-{month:02.0f}-{number:02.0f}T{hour:02.0f}:{minute:02.0f}:{int(second):02d}"
    moment, _ = read_date(text, where=f"{image.path}, date")
    if moment.date() != day.date():
        raise MetadataError(
            "name and image tell different days", where=str(image.path), expected=f"{day:%Y-%m-%d}", got=text
        )
    return moment, True


def _of_image(image: Parameters) -> dict[str, Any]:
    looks = image.whole("range_looks"), image.whole("azimuth_looks")
    right, frequency = image.optional("azimuth_angle"), image.optional("radar_frequency")
    return {
        "wavelength": SPEED_OF_LIGHT / frequency if frequency and frequency > 0 else None,
        # Looks of a single-look image are 1 and say nothing of the interferogram.
        "looks": looks if max(looks[0] or 1, looks[1] or 1) > 1 else (None, None),
        "heading": image.optional("heading"),
        "incidence": image.optional("incidence_angle"),
        "more": {} if right is None else {"sar:observation_direction": "right" if right > 0 else "left"},
    }


def _baseline(told: Parameters, image: Parameters) -> float | None:
    """Give the perpendicular baseline at the scene centre: of the refined components, else of those of the orbits."""
    for name in ("precision_baseline(TCN)", "initial_baseline(TCN)"):
        numbers = told.numbers(name)
        if len(numbers) >= 3 and any(numbers[1:3]):
            _, across, normal = numbers[:3]
            break
    else:
        return None
    incidence, orbit, earth = (
        image.optional(name) for name in ("incidence_angle", "sar_to_earth_center", "earth_radius_below_sensor")
    )
    if incidence is None or not orbit or not earth or not abs(earth / orbit) < 1:
        return None
    # The law of sines in the triangle of satellite, ground and centre of the earth.
    look = math.asin(earth / orbit * math.sin(math.radians(incidence)))
    return across * math.cos(look) - normal * math.sin(look)


def _geometry(path: Path, source: Source, facts: Facts) -> Delivered:
    grid, told = map_grid(path, facts), read_parameters(path)
    rasters: list[Raster] = []
    height = _shared(path, "dem")
    if height is not None:
        kind = _SHORT if told.text("data_format").upper() == "INTEGER*2" else _FLOAT
        found = binary(height, source, kind, grid, header=path)
        rasters.append(layers.raster("dem", replace(found, nodata=0.0), source))
    angles, notes = _angles(path, grid, source)
    rasters += angles
    span = _span(path.parent)
    return geometry_item(
        rasters,
        span,
        name=facts.name(f"{_stem(path)}-geometry"),
        source=source,
        path=path,
        properties={"terracube:heading": facts.heading, "sat:orbit_state": facts.orbit},
        documents=[Document("map_parameters", path, "Map", "text/plain")],
        notes=(*notes, *facts.notes),
    )


def _angles(path: Path, grid: Grid, source: Source) -> tuple[list[Raster], list[str]]:
    """Give the line of sight, or the incidence where only the elevation was delivered."""
    found: dict[str, Layer] = {}
    notes: list[str] = []
    for name in _SHARED[1:]:
        file = _shared(path, name)
        if file is None:
            continue
        layer = binary(file, source, _FLOAT, grid, header=path)
        if layers.in_radians(layer):
            found[name] = layer
        else:
            notes.append(f"{file.name} is left out: its numbers are no radians, in which GAMMA writes angles")
    rasters: list[Raster] = []
    if "lv_theta" in found and "lv_phi" in found:
        rasters += layers.los_of_angles(found["lv_theta"], found["lv_phi"], source)
    elif "lv_theta" in found or "lv_phi" in found:
        notes.append("no line of sight: it takes both lv_theta and lv_phi")
    if "inc" in found:
        rasters.append(
            layers.raster("local_incidence_angle", replace(found["inc"], nodata=0.0), source, radiometry=layers.DEGREES)
        )
    return rasters, notes


def _span(folder: Path) -> tuple[datetime, datetime]:
    names = (DATES.search(each.name) for each in sorted(folder.glob("*.unw")))
    days = [read_date(text, where=str(folder))[0] for found in names if found for text in found.groups()]
    if not days:
        raise MetadataError("there is no pair beside the map", where=str(folder), expected="*.unw")
    return min(days), max(days)
