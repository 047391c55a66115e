"""Interferograms of COMET LiCSAR: frames of GeoTIFFs, as the portal gives them.

Sources: Lazecky et al. 2020, "LiCSAR: An Automatic InSAR Tool for Measuring and Monitoring Tectonic and Volcanic
Activity" (doi:10.3390/rs12152430); Morishita et al. 2020 (doi:10.3390/rs12030424), whose software reads these files.
There:

* ``YYYYMMDD_YYYYMMDD.geo.unw.tif``: unwrapped phase of GAMMA, radians; displacement along the line of sight, positive
  towards the satellite, is -wavelength / (4 pi) times it, so it is taken as it is; 0 = not unwrapped;
* ``.geo.cc.tif``: coherence, bytes from 0 to 255 (floats from 0 to 1 in older frames), 0 = none;
* ``FRAME.geo.E.tif``, ``.N.``, ``.U.``: components of the line of sight; ``.hgt.``: heights, m; 0 = none;
* ``metadata.txt``: ``key=value`` with master date, centre time (UTC), heading and mean incidence angle;
* ``baselines``: per date the perpendicular baseline against the master date; that of a pair is the difference;
* the frame's name tells the relative orbit and whether it ascends (``021D_04972_131213``).

The frames lie as ``interferograms/PAIR/`` beside ``metadata/``, or, as downloaded for LiCSBAS, all in one folder.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from terracube.core.errors import MetadataError
from terracube.ingest.readers.interferograms import layers
from terracube.ingest.readers.interferograms.complement import Facts, facts_beside
from terracube.ingest.readers.interferograms.layers import Layer, tiff
from terracube.ingest.readers.interferograms.pair import (
    DAY,
    MINUTE,
    SENTINEL_1,
    Pair,
    geometry_item,
    pair_item,
    read_date,
)
from terracube.ingest.readers.interferograms.places import there
from terracube.ingest.scene import Delivered, Document, Raster
from terracube.ingest.sources import Source
from terracube.ingest.text import read_text

_PAIR = re.compile(r"(\d{8})_(\d{8})\.geo\.unw\.tif\Z")
_UP = re.compile(r"(.+)\.geo\.U\.tif\Z")
_FRAME = re.compile(r"(?<!\d)(\d{3})([AD])_\d{5}_\d{6}(?!\d)")
_TIME = re.compile(r"(\d{1,2}):(\d{2}):(\d{2})")
_MAX_BYTES = 8 << 20
_MAX_PAIRS = 100_000


def find(path: Path) -> list[Path]:
    """Look for unwrapped phases, and for the geometry of frames, which is named by its upward component."""
    if there(path):
        return [path] if _PAIR.match(path.name) or _UP.match(path.name) else []
    found = [each for each in path.rglob("*.geo.*.tif") if _PAIR.match(each.name) or _UP.match(each.name)]
    return sorted(each for each in found if there(each))


def read(path: Path, source: Source) -> Delivered:
    """Read a pair, or the geometry of a frame.

    Raises
    ------
    TerraCubeError
    """
    frame = _Frame(path)
    return _geometry(frame, source) if _UP.match(path.name) else _pair(frame, source)


class _Frame:
    """Where the files of the frame of a pair, or of a layer of geometry, lie."""

    def __init__(self, path: Path) -> None:
        self.path = path
        beside = path.parent
        folders = [beside, beside.parent, beside.parent / "metadata", beside.parent.parent / "metadata"]
        self.folders = list(dict.fromkeys(folder for folder in folders if folder.is_dir()))
        self.facts: Facts = next(
            (facts for folder in self.folders if (facts := facts_beside(folder)) != Facts()), Facts()
        )
        self.texts = self._metadata()

    def file(self, name: str) -> Path | None:
        """Give the first file of that name."""
        return next((folder / name for folder in self.folders if there(folder / name)), None)

    def _metadata(self) -> dict[str, str]:
        path = self.file("metadata.txt")
        if path is None:
            return {}
        lines = [line.partition("=") for line in read_text(path, limit=_MAX_BYTES).splitlines() if "=" in line]
        return {name.strip().lower(): value.strip() for name, _, value in lines}

    @property
    def name(self) -> re.Match[str] | None:
        """Name of the frame: in the names of its layers of geometry, or of the folders around it."""
        names = [each.name for folder in self.folders for each in sorted(folder.glob("*.geo.U.tif"))[:1]]
        told = (*names, *reversed(self.path.parts))
        return next((found for text in told if (found := _FRAME.search(text))), None)

    def number(self, name: str) -> float | None:
        """Give a number of the metadata."""
        text = self.texts.get(name, "").split()
        try:
            return float(text[0]) if text else None
        except ValueError:
            raise MetadataError(
                "a value is no number", where=f"{self.path}, metadata.txt, {name}", got=text[0][:40]
            ) from None

    @property
    def time(self) -> timedelta | None:
        """Time of day at which the frame is taken."""
        found = _TIME.match(self.texts.get("center_time", ""))
        if found is None:
            return None
        hours, minutes, seconds = map(int, found.groups())
        return timedelta(hours=hours, minutes=minutes, seconds=seconds)

    def baselines(self) -> dict[str, float]:
        """Give the baseline of each date against the master date."""
        path = self.file("baselines")
        if path is None:
            return {}
        rows = [line.split() for line in read_text(path, limit=_MAX_BYTES).splitlines() if line.strip()]
        try:
            return {row[0]: 0.0 for row in rows if len(row) == 4} | {
                row[1]: float(row[2]) for row in rows if len(row) == 4
            }
        except ValueError as error:
            raise MetadataError("a baseline is no number", where=str(path), got=str(error)[:80]) from error


def _pair(frame: _Frame, source: Source) -> Delivered:
    path = frame.path
    found = _PAIR.match(path.name)
    if found is None:
        raise MetadataError("the name tells no pair", where=str(path), expected="YYYYMMDD_YYYYMMDD.geo.unw.tif")
    first, second = found.groups()
    given = _facts(frame, first, second)
    unwrapped = tiff(path, source)
    factor = frame.facts.factor * (-1 if given.reversed else 1)
    rasters = [layers.phase(unwrapped, source, factor=factor)]
    stem = path.name.removesuffix(".unw.tif")
    if there(file := path.with_name(f"{stem}.cc.tif")):
        cc = tiff(file, source)
        layers.same_grid(unwrapped, cc)
        rasters.append(layers.coherence(cc, source))
    if there(file := path.with_name(f"{stem}.diff_pha.tif")):
        rasters.append(layers.phase(tiff(file, source), source, key="wrapped_phase", factor=factor))
    ordered, name = given.ordered(), _frame_name(frame)
    return pair_item(
        ordered, rasters, name=f"{name}_{first}_{second}", source=source, path=path, notes=frame.facts.notes
    )


def _facts(frame: _Frame, first: str, second: str) -> Pair:
    time, where = frame.time, str(frame.path)
    shift = time or timedelta()
    baselines, name = frame.baselines(), frame.name
    known = first in baselines and second in baselines
    return frame.facts.complete(
        reference=read_date(first, where=where)[0] + shift,
        secondary=read_date(second, where=where)[0] + shift,
        precision=DAY if time is None else MINUTE,
        wavelength=SENTINEL_1,
        where=where,
        baseline=round(baselines[second] - baselines[first], 6) if known else None,
        heading=frame.number("heading"),
        incidence=frame.number("avg_incidence_angle"),
        orbit=_orbit(name),
        relative_orbit=int(name.group(1)) or None if name else None,
        more={"constellation": "sentinel-1", "instruments": ["c-sar"]},
    )


def _orbit(name: re.Match[str] | None) -> str | None:
    return None if name is None else "ascending" if name.group(2) == "A" else "descending"


def _frame_name(frame: _Frame) -> str:
    if frame.facts.stack:
        return frame.facts.stack
    if frame.name is None:
        raise MetadataError(
            "the name of the frame is not told",
            where=str(frame.path),
            expected="a folder or layer named like 021D_04972_131213",
            todo="write stack: into a file terracube.yaml beside it",
        )
    return frame.name.group()


def _geometry(frame: _Frame, source: Source) -> Delivered:
    up = frame.path
    stem = up.name.removesuffix(".U.tif")
    rasters: list[Raster] = []
    notes: list[str] = []
    parts = [_layer(up.with_name(f"{stem}.{part}.tif"), source) for part in ("E", "N", "U")]
    east, north, upward = parts
    if east is not None and north is not None and upward is not None:
        rasters += layers.los_of_vector(east, north, upward, source)
    else:
        notes.append("the line of sight is not whole: E, N or U is missing")
    if (height := _layer(up.with_name(f"{stem}.hgt.tif"), source)) is not None:
        rasters.append(layers.raster("dem", height, source))
    first, last = _span(frame)
    given = _facts(frame, first, last)
    file = frame.file("metadata.txt")
    papers = [Document("metadata", file, "Metadata of the frame", "text/plain")] if file else []
    return geometry_item(
        rasters,
        (given.reference, given.secondary),
        name=f"{_frame_name(frame)}-geometry",
        source=source,
        path=up,
        properties=given.geometry(),
        documents=papers,
        notes=notes,
    )


def _layer(path: Path, source: Source) -> Layer | None:
    if not there(path):
        return None
    found = tiff(path, source)
    return found if found.nodata is not None else replace(found, nodata=0.0)


def _span(frame: _Frame) -> tuple[str, str]:
    """Give first and last date of the pairs of the frame."""
    found: set[str] = set()
    places = {place for folder in frame.folders for place in (folder, folder.parent / "interferograms")}
    files = (each for place in sorted(places) for each in place.glob("*/*.geo.unw.tif"))
    for each in islice(files, _MAX_PAIRS):
        pair = _PAIR.match(each.name)
        # Each pair has a folder of its name; what lies elsewhere near by may be of another frame.
        found.update(pair.groups() if pair and each.name.startswith(each.parent.name) else ())
    if frame.facts.dates:
        found.update(_day(text, frame.path) for text in frame.facts.dates)
    if len(found) < 2:
        raise MetadataError(
            "nothing tells which dates the geometry belongs to",
            where=str(frame.path),
            expected="pairs of the frame beside it",
            todo="write dates: [first, last] into a file terracube.yaml beside it",
        )
    return min(found), max(found)


def _day(text: str, path: Path) -> str:
    moment: datetime = read_date(text, where=f"{path}, dates")[0]
    return f"{moment:%Y%m%d}"
