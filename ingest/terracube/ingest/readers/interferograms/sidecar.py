"""Plain GeoTIFFs of interferograms with a side-car that says what they are: ``NAME.pairs.yaml`` or ``.pairs.json``.

Nothing of it is guessed. The side-car tells the dates of each pair, the wavelength, what a growing phase means, its
unit, what zero means, and the files, which lie below its own folder; terrain and line of sight become an item of their
own. The page ``docs/interferogram.md`` shows one.

A ``network.json`` (see :mod:`.network`) that tells its sign is one too: its files are ``FIRST-SECOND_unw.tif`` and
``FIRST-SECOND_cc.tif`` in its folder or the folders in it, with anything before and after the dates.
"""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from terracube.core.errors import MetadataError, TerraCubeError
from terracube.core.files import resolve_below
from terracube.ingest.readers.interferograms import layers
from terracube.ingest.readers.interferograms.complement import MAX_BYTES, Facts, Sign, model_of
from terracube.ingest.readers.interferograms.layers import Layer, tiff
from terracube.ingest.readers.interferograms.network import NAME, Network, read_network
from terracube.ingest.readers.interferograms.pair import DAY, SECOND, Pair, geometry_item, iso, pair_item, read_date
from terracube.ingest.readers.interferograms.places import there
from terracube.ingest.readers.interferograms.tagged import tags
from terracube.ingest.scene import Delivered, Raster
from terracube.ingest.sources import Source
from terracube.ingest.text import read_json, read_mapping

_ENDS = (".pairs.yaml", ".pairs.yml", ".pairs.json")
_MAX_PAIRS = 100_000
_FORBID = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
Unit = Literal["radian", "cycle", "metre", "millimetre"]
Zero = Literal["missing", "value", "missing_without_coherence"]


class PairFiles(BaseModel):
    """Files of a pair, relative to the side-car."""

    model_config = _FORBID

    unwrapped_phase: str
    coherence: str | None = None
    wrapped_phase: str | None = None
    connected_components: str | None = None


class PairEntry(BaseModel):
    """One pair."""

    model_config = _FORBID

    reference: str
    """A date, or a moment, UTC."""
    secondary: str
    perpendicular_baseline: float | None = None
    """m."""
    files: PairFiles


class GeometryFiles(BaseModel):
    """Files of the geometry, relative to the side-car; of the line of sight, one of the three forms."""

    model_config = _FORBID

    dem: str | None = None
    los_east: str | None = None
    los_north: str | None = None
    los_up: str | None = None
    """A unit vector; which way it points is told by the sign of its upward component."""
    lv_theta: str | None = None
    lv_phi: str | None = None
    """Angles as GAMMA and HyP3 write them, radians."""
    los: str | None = None
    """Two bands as ISCE writes them: incidence, and azimuth anticlockwise from north, degrees."""
    incidence_angle: str | None = None
    """Degrees from the vertical."""


class Stack(Facts):
    """A side-car."""

    stack: str
    sign: Sign
    wavelength: float = Field(gt=0)
    unit: Unit
    """Of the unwrapped phase; metres and millimetres are of range, or with ``range_decrease`` of displacement."""
    zero: Zero
    pairs: list[PairEntry] = Field(min_length=1, max_length=_MAX_PAIRS)
    geometry: GeometryFiles | None = None


def find(path: Path) -> list[Path]:
    """Look for side-cars, and for networks that list pairs."""
    if there(path):
        return [path] if path.name.endswith(_ENDS) or _is_network(path) else []
    named = {each for end in _ENDS for each in path.rglob(f"*{end}")}
    return sorted(each for each in {*named, *filter(_is_network, path.rglob(NAME))} if there(each))


def _is_network(path: Path) -> bool:
    if path.name != NAME or not there(path):
        return False
    try:
        return "pairs" in read_json(path)
    except TerraCubeError:
        return False


def read(path: Path, source: Source) -> Delivered:
    """Read the one pair of a side-car that lists one; see :func:`read_all`.

    Raises
    ------
    TerraCubeError
    """
    found = read_all(path, source)
    if len(found) > 1:
        raise MetadataError("the side-car lists several items", where=str(path), expected="one", got=str(len(found)))
    return found[0]


def read_all(path: Path, source: Source) -> list[Delivered]:
    """Read all pairs of a side-car, and the geometry if it lists one.

    Raises
    ------
    TerraCubeError
        If one of them cannot be taken: a side-car that is wrong in one place is not trusted in others.
    """
    stack = _of_network(path) if path.name == NAME else _of_sidecar(path)
    pairs = [_pair(path, stack, entry, source) for entry in stack.pairs]
    names = [one.id for one in pairs]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise MetadataError("a pair is listed twice", where=str(path), got=", ".join(twice[:5]))
    return [*pairs, *_geometry(path, stack, pairs, source)]


def _pair(path: Path, stack: Stack, entry: PairEntry, source: Source) -> Delivered:
    where = f"{path}, {entry.reference} to {entry.secondary}"
    (reference, one), (secondary, other) = (read_date(text, where=where) for text in (entry.reference, entry.secondary))
    given = stack.complete(
        reference=reference,
        secondary=secondary,
        precision=DAY if DAY in (one, other) else SECOND,
        where=where,
        baseline=entry.perpendicular_baseline,
    )
    rasters = _rasters(path.parent, stack, entry.files, given, source)
    ordered = given.ordered()
    return pair_item(
        ordered, rasters, name=f"{stack.stack}_{ordered.name}", source=source, path=path, notes=stack.notes
    )


def _rasters(folder: Path, stack: Stack, files: PairFiles, given: Pair, source: Source) -> list[Raster]:
    unwrapped = _layer(folder, files.unwrapped_phase, source)
    coherence = None if files.coherence is None else _layer(folder, files.coherence, source)
    if stack.zero == "missing_without_coherence" and coherence is None:
        raise MetadataError("zero needs a coherence to be judged by", where=f"{folder}, {files.unwrapped_phase}")
    turned = stack.factor * (-1 if given.reversed else 1)
    missing = _missing(unwrapped, stack.zero)
    judge = coherence if stack.zero == "missing_without_coherence" else None
    factor = turned * _radians(stack.unit, given.wavelength)
    rasters = [layers.phase(unwrapped, source, factor=factor, missing=missing, coherence=judge)]
    if coherence is not None:
        layers.same_grid(unwrapped, coherence)
        rasters.append(layers.coherence(coherence, source, zero_missing=False))
    if files.wrapped_phase is not None:
        wrapped = _layer(folder, files.wrapped_phase, source)
        rasters.append(layers.phase(wrapped, source, key="wrapped_phase", factor=turned, missing=wrapped.nodata))
    if files.connected_components is not None:
        rasters.append(layers.labels(_layer(folder, files.connected_components, source), source))
    return rasters


def _missing(layer: Layer, zero: Zero) -> float | None:
    """Settle which number means that nothing was unwrapped, of what side-car and header say."""
    told = None if layer.nodata is None or math.isnan(layer.nodata) else layer.nodata
    if zero == "value" and told == 0:
        raise MetadataError(
            "side-car and file disagree on zero",
            where=f"{layer.where}, nodata",
            expected="zero: missing",
            got="zero: value",
        )
    if zero != "value" and told not in (None, 0.0):
        raise MetadataError(
            "side-car and file disagree on what is missing",
            where=f"{layer.where}, nodata",
            expected="zero: value, as the file declares another number",
            got=f"zero: {zero}, nodata {told:g}",
        )
    return told if zero == "value" else 0.0


def _radians(unit: Unit, wavelength: float) -> float:
    """Give the factor to radians of phase: half a wavelength of range is one cycle."""
    return {
        "radian": 1.0,
        "cycle": 2 * math.pi,
        "metre": 4 * math.pi / wavelength,
        "millimetre": 4e-3 * math.pi / wavelength,
    }[unit]


def _layer(folder: Path, name: str, source: Source, *, band: int = 1, most: int = 1) -> Layer:
    return tiff(resolve_below(folder, name), source, band=band, most=most)


def _geometry(path: Path, stack: Stack, pairs: list[Delivered], source: Source) -> list[Delivered]:
    if stack.geometry is None:
        return []
    rasters = _static(path, stack.geometry, source)
    if not rasters:
        raise MetadataError("the geometry lists no file", where=f"{path}, geometry", expected="dem, los_east, ...")
    days: list[datetime] = [one.acquired for one in pairs] + [one.interval[0] for one in pairs if one.interval]
    span = min(days), max(days)
    shared = stack.complete(reference=span[0], secondary=span[1], where=str(path)).geometry()
    name = f"{stack.stack}-geometry"
    return [geometry_item(rasters, span, name=name, source=source, path=path, properties=shared, notes=stack.notes)]


def _static(path: Path, files: GeometryFiles, source: Source) -> list[Raster]:
    folder = path.parent
    rasters = [
        layers.raster(key, _layer(folder, name, source), source)
        for key in ("dem", "incidence_angle")
        if (name := getattr(files, key)) is not None
    ]
    vector = [files.los_east, files.los_north, files.los_up]
    angles = [files.lv_theta, files.lv_phi]
    forms = [any(vector), any(angles), files.los is not None]
    whole = [all(vector), all(angles), files.los is not None]
    if sum(forms) > 1 or forms != whole:
        raise MetadataError(
            "the line of sight is not told in one form",
            where=f"{path}, geometry",
            expected="los_east, los_north and los_up; or lv_theta and lv_phi; or los",
        )
    if files.los_east and files.los_north and files.los_up:
        east, north, up = (_layer(folder, name, source) for name in (files.los_east, files.los_north, files.los_up))
        return [*rasters, *layers.los_of_vector(east, north, up, source)]
    if files.lv_theta and files.lv_phi:
        theta, phi = (_layer(folder, name, source) for name in (files.lv_theta, files.lv_phi))
        return [*rasters, *layers.los_of_angles(theta, phi, source)]
    if files.los is not None:
        one, other = (_layer(folder, files.los, source, band=band, most=2) for band in (1, 2))
        return [*rasters, *layers.los_of_angles(one, other, source, convention="isce")]
    return rasters


def _of_sidecar(path: Path) -> Stack:
    return model_of(Stack, read_mapping(path, limit=MAX_BYTES), where=str(path))


def _of_network(path: Path) -> Stack:
    """Turn a network into a side-car."""
    network = read_network(path)
    if network.told_sign is None:
        raise MetadataError(
            "the network does not say what a growing phase means",
            where=f"{path}, sign",
            expected="range_increase or range_decrease",
            got=repr(network.sign)[:80],
            todo="add sign to it; or, if the files name their processor, ingest them as gamma-insar or roipac-insar",
        )
    if network.wavelength_m is None:
        raise MetadataError("the wavelength is not told", where=f"{path}, wavelength_m", expected="metres")
    if network.nodata is not None and network.nodata != 0:
        raise MetadataError("only 0 can be the nodata of a network", where=f"{path}, nodata", got=str(network.nodata))
    entries = [_entry(path, network, first, second) for first, second in network.pairs]
    terrain = [each for each in sorted(path.parent.glob("*dem.tif")) if there(each)]
    return model_of(
        Stack,
        {
            "stack": path.parent.name,
            "sign": network.told_sign,
            "wavelength": network.wavelength_m,
            "unit": "radian",
            "zero": "value" if network.nodata is None else "missing",
            "looks_range": network.looks_rg,
            "looks_azimuth": network.looks_az,
            "looks_equivalent": network.nlooks_used_for_weight,
            "heading": network.heading_deg,
            "incidence": network.incidence_deg,
            "orbit": network.orbit,
            "pairs": entries,
            "geometry": {"dem": terrain[0].name} if len(terrain) == 1 else None,
        },
        where=str(path),
    )


def _entry(path: Path, network: Network, first: str, second: str) -> PairEntry:
    (one, _), (other, _) = (read_date(text, where=f"{path}, pairs") for text in (first, second))
    stem = f"{one:%Y%m%d}-{other:%Y%m%d}"
    unwrapped = _one(path, f"*{stem}*_unw.tif", needed=True)
    times = tags(path.parent / unwrapped)
    told = [f"{day:%Y-%m-%d}" for day in (one, other)]
    for number, which in enumerate(("FIRST", "SECOND")):
        if f"{which}_TIME" in times and times.get(f"{which}_DATE") == told[number]:
            told[number] = iso(read_date(f"{told[number]}T{times[f'{which}_TIME']}", where=unwrapped)[0])
    coherence = _one(path, f"*{stem}*_cc.tif", needed=False)
    baseline = network.baseline(one, other, where=str(path))
    files = PairFiles(unwrapped_phase=unwrapped, coherence=coherence or None)
    return PairEntry(reference=told[0], secondary=told[1], perpendicular_baseline=baseline, files=files)


def _one(path: Path, pattern: str, *, needed: bool) -> str:
    folder = path.parent
    found = sorted({*folder.glob(pattern), *folder.glob(f"*/{pattern}")})
    if len(found) > 1 or (needed and not found):
        raise MetadataError(
            "a pair of the network has not one file",
            where=str(path),
            expected=pattern,
            got=", ".join(str(each.relative_to(folder)) for each in found[:5]) or "none",
        )
    return str(found[0].relative_to(folder)) if found else ""
