"""Water quality of OLCI by the C2RCC processor: cubes of Zarr or NetCDF on a regular grid, and swaths of NetCDF.

Formats: CF conventions 1.7 to 1.11, as xcube writes cubes (dimensions time, lat, lon) and as SNAP writes granules
(dimensions y, x with two-dimensional ``lat`` and ``lon``; the BEAM metadata profile, of which ``start_date`` is UTC).
Flags: C2RCC, Brockmann et al. 2016, "Evolution of the C2RCC neural network for Sentinel 2 and 3 for the retrieval of
ocean colour products in normal and extreme optically complex waters", ESA SP-740.

Longitude and latitude of OLCI refer to WGS 84; cubes that do not say so are taken at that. Every time of a cube becomes
an item of its own. Numbers stay as they are stored; flags become whole numbers, all bits set where nothing was seen.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import AssetError, InputError, MetadataError, TerraCubeError
from terracube.core.sensors import Band, Radiometry
from terracube.cubes.grid import Grid
from terracube.ingest.pixels import MadePixels, Pixels
from terracube.ingest.readers.ocean.cubes import Cube, arrays_in, is_store, open_cube
from terracube.ingest.readers.ocean.flags import flag_bits
from terracube.ingest.readers.ocean.nearest import Nearest, SwathPixels
from terracube.ingest.readers.ocean.netcdf import Holding, RowPixels, Stored, look, plain_unit
from terracube.ingest.readers.ocean.swath import Swath, plan, survey
from terracube.ingest.scene import Delivered, Raster, utc
from terracube.ingest.sources import Source

_KNOWN = frozenset({"c2rcc_flags", "conc_chl", "conc_tsm"})
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_BEAM = re.compile(
    r"(?P<day>\d{1,2})-(?P<month>[A-Z]{3})-(?P<year>\d{4}) (?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
    r"(?:\.(?P<part>\d{1,6}))?"
)
_PRODUCT = re.compile(r"S3(?P<letter>[AB])_OL_[12]_")
_LARGEST = 1 << 20  # only to look what a file is; the source decides what is read
_FLAG_TYPES = {1: "uint8", 2: "uint16"}


def find(path: Path) -> list[Path]:
    """Look for Zarr stores and NetCDF files that hold what C2RCC gives."""
    try:
        if path.is_file():
            return [path] if _is_file(path) else []
        return sorted(_walk(path))
    except OSError:
        return []


def read(path: Path, source: Source) -> Delivered:
    """Understand a granule, or a cube of one time.

    Raises
    ------
    InputError
        If there are several times: then :func:`read_all` gives them all.
    TerraCubeError
        As :func:`read_all` does.
    """
    found = read_all(path, source)
    if len(found) != 1:
        raise InputError("the cube holds several times", where=str(path), expected="one", got=str(len(found)))
    return found[0]


def read_all(path: Path, source: Source) -> list[Delivered]:
    """Understand a cube or a granule: one delivery for each time.

    Raises
    ------
    TerraCubeError
        Saying what is missing, contradictory, damaged or hostile, and in which variable.
    """
    cube = open_cube(path, largest=source.largest_side)
    notes = [f"{name} is listed in the metadata, but not there" for name in cube.listed if name not in ("lat", "lon")]
    if not cube.times and (swath := _swath(cube.holding)) is not None:
        return [_granule(cube.holding, swath, source)]
    times = cube.times or (_date(cube.holding, "start_date", "time_coverage_start"),)
    stem = (
        re.sub(r"[^A-Za-z0-9._+-]+", "_", path.name.removesuffix(".zarr").removesuffix(".nc")).strip("._-+") or "cube"
    )
    ids = [f"{stem}_{moment:%Y%m%dT%H%M%S}" for moment in times]
    if len(set(ids)) != len(ids):
        raise MetadataError("two times of the cube are the same second", where=str(path), expected="each time once")
    return [_step(cube, number, item, source, notes) for number, item in enumerate(ids)]


def _step(cube: Cube, number: int, item: str, source: Source, notes: list[str]) -> Delivered:
    """Make a delivery of one time of a cube."""
    layers = _Layers(source)
    grids: set[Grid] = set()
    for band in layers.wanted(cube.holding):
        stored, header = cube.layer(band.file, number, crs=str(source.options["crs"]))
        files = cube.files(band.file, number)
        if not files:
            layers.notes.append(f"{band.file} holds nothing at this time")
            continue
        grids.add(header.grid)
        layers.add(band, stored, RowPixels(stored, header.flipped), header.grid, files)
    if len(grids) > 1:
        raise MetadataError(
            "the layers lie on different grids", where=str(cube.holding.path), got=f"{len(grids)} grids"
        )
    start = cube.times[number] if cube.times else _date(cube.holding, "start_date", "time_coverage_start")
    return layers.delivered(item, cube.holding, start, cube.bounds[number] if cube.bounds else None, notes=notes)


def _granule(holding: Holding, swath: Swath, source: Source) -> Delivered:
    """Make a delivery of a swath."""
    extent = survey(swath)
    layout = plan(swath, extent, source.options, largest=source.largest_side)
    nearest, layers = Nearest(swath, layout), _Layers(source)
    layers.facts["radius"] = layout.radius
    for band in layers.wanted(holding):
        stored = holding.stored(band.file)
        if stored.shape != swath.shape:
            raise MetadataError(
                "a layer has another shape than the geolocation",
                where=stored.where,
                expected=str(swath.shape),
                got=str(stored.shape),
            )
        missing = _nothing(stored) if band.categorical else stored.missing
        layers.add(band, stored, SwathPixels(nearest, stored, missing, stored.dtype), layout.grid, (holding.path,))
    start = _date(holding, "start_date", "time_coverage_start")
    stop = _date(holding, "stop_date", "time_coverage_end", other=start)
    item = re.sub(r"[^A-Za-z0-9._+-]+", "_", holding.path.stem).strip("._-+")
    return layers.delivered(item, holding, start, (start, stop), notes=list(layout.notes))


class _Layers:
    """Collects the layers of a delivery, and what is to be told of them."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.rasters: list[Raster] = []
        self.notes: list[str] = []
        self.facts: dict[str, Any] = {}

    def wanted(self, holding: Holding) -> Iterator[Band]:
        """Give the layers of the source that are there; tell of the others that are rasters too."""
        bands = {band.file: band for band in self.source.bands.values()}
        positions = {"lat", "lon", "latitude", "longitude"}
        rasters = [
            n for n, v in holding.variables.items() if len(v.shape) >= 2 and n not in positions and _large(v.dims)
        ]
        if left := [name for name in rasters if name not in bands]:
            self.notes.append(f"left out: {', '.join(sorted(left))}"[:300])
        return (band for name, band in bands.items() if name in rasters)

    def add(self, band: Band, stored: Stored, pixels: Pixels, grid: Grid, files: tuple[Path, ...]) -> None:
        """Add a layer."""
        if band.categorical:
            expected = self.source.mask.bits if self.source.mask and self.source.mask.asset == band.name else {}
            dtype = _FLAG_TYPES.get(np.dtype(stored.dtype).itemsize, "uint32")
            fill = stored.fill if stored.fill is not None else _nothing(stored)
            made = MadePixels((pixels,), _Whole(dtype, fill, stored.where))
            bits = flag_bits(stored, expected=expected)
            self.rasters.append(Raster(band.name, band, made, grid, dtype, _all(dtype), files, bits=bits))
            return
        self._told_wavelength(band, stored)
        scale, offset = stored.scaling
        told = Radiometry(
            scale, offset, "scale_factor and add_offset of the file" if (scale, offset) != (1, 0) else "values"
        )
        measured = band.kind == "measured"
        raster = Raster(
            band.name,
            band,
            pixels,
            grid,
            stored.dtype,
            np.nan if stored.fill is None and np.dtype(stored.dtype).kind == "f" else stored.fill,
            files,
            told if measured or (scale, offset) != (1.0, 0.0) else None,
            unit=plain_unit(stored.unit)[0] if stored.unit else band.unit,
            roles=("data", "reflectance") if measured else ("data",),
            extra={"terracube:quantity": "rrs"} if measured else {},
        )
        self.rasters.append(raster)

    def _told_wavelength(self, band: Band, stored: Stored) -> None:
        told = stored.number("wavelength")
        if told is not None and band.center_wavelength and abs(told - 1000 * band.center_wavelength) > 2.0:
            right = 1000 * band.center_wavelength
            self.notes.append(f"{stored.name} claims a wavelength of {told:g} nm; that of its band is {right:g} nm")

    def delivered(
        self,
        item: str,
        holding: Holding,
        start: datetime,
        interval: tuple[datetime, datetime] | None,
        *,
        notes: list[str],
    ) -> Delivered:
        """Make the delivery.

        Raises
        ------
        AssetError
            If there is no layer.
        """
        if not self.rasters:
            raise AssetError("there is no layer", where=str(holding.path), expected="like conc_chl", got="none")
        quantity = {"terracube:quantity": "rrs"} if any(one.band.kind == "measured" for one in self.rasters) else {}
        platform = _platform(holding, start, self.source)
        return Delivered(
            id=item,
            source=self.source,
            path=holding.path,
            acquired=start,
            interval=interval,
            rasters=tuple(self.rasters),
            properties={
                **platform,
                "instruments": ["olci"],
                "constellation": "sentinel-3",
                "processing:level": "L2",
                **quantity,
            },
            facts={"time": start.isoformat(), "grid": self.rasters[0].grid.as_dict(), **self.facts},
            notes=(*notes, *self.notes),
        )


@dataclass(frozen=True)
class _Whole:
    """From flags as they are stored, which cubes may hold as floats, to whole numbers without a sign."""

    dtype: str
    fill: float
    where: str

    def __call__(self, stored: NDArray[Any]) -> NDArray[Any]:
        missing = ~np.isfinite(stored) | (stored == self.fill)
        numbers = np.where(missing, 0, stored)
        top = np.iinfo(self.dtype).max
        # A number with a sign, as the classic formats have them, stands for the one with the same bits.
        numbers = np.where(numbers < 0, numbers.astype("float64") + top + 1, numbers)
        if ((numbers < 0) | (numbers > top)).any() or (numbers != np.floor(numbers)).any():
            raise AssetError(
                "flags are no whole numbers", where=self.where, expected=f"0 to {top}", got=f"{numbers.max():g}"
            )
        found = numbers.astype(self.dtype)
        found[missing] = top
        return found


def _all(dtype: str) -> float:
    """Give the number with all bits set, which no pixel has: flags of minimum and maximum exclude each other."""
    return float(np.iinfo(dtype).max)


def _nothing(stored: Stored) -> float:
    """Give a number of the stored type that becomes the one for nothing seen."""
    if stored.fill is not None:
        return stored.fill
    kind = np.dtype(stored.dtype)
    return float("nan") if kind.kind == "f" else float(np.iinfo(kind).max) if kind.kind == "u" else -1.0


def _large(dims: tuple[str, ...]) -> bool:
    return dims[-2:] in (("y", "x"), ("lat", "lon"), ("latitude", "longitude"))


def _swath(holding: Holding) -> Swath | None:
    """Give the positions of a swath; ``None`` where coordinates have one dimension."""
    for lat, lon in (("lat", "lon"), ("latitude", "longitude")):
        there = [holding.variables.get(name) for name in (lat, lon)]
        if all(one is not None and len(one.shape) == 2 for one in there):
            return Swath(holding.stored(lon), holding.stored(lat))
    return None


def _platform(holding: Holding, start: datetime, source: Source) -> dict[str, str]:
    """Tell which of the satellites it was, where the name of the product does, or no other flew by then."""
    if named := _PRODUCT.search(holding.path.name):
        return {"platform": f"sentinel-3{named['letter'].lower()}"}
    flown = [name for name, day in source.options["launched"].items() if start >= utc(str(day), where="launched")]
    return {"platform": flown[0]} if len(flown) == 1 else {}


def _date(holding: Holding, *names: str, other: datetime | None = None) -> datetime:
    """Read a date of the file: as BEAM writes it, which is UTC, or ISO 8601 with its zone."""
    told = next((text for text in map(holding.text, names) if text), "")
    if not told and other is not None:
        return other
    match = _BEAM.fullmatch(told.upper())
    if match is None:
        return utc(told or None, where=f"{holding.path}, {' or '.join(names)}")
    try:
        month = _MONTHS.index(match["month"]) + 1
        clock = f"{match['hour']}:{match['minute']}:{match['second']}.{(match['part'] or '0').ljust(6, '0')}"
        return datetime.fromisoformat(f"{match['year']}-{month:02d}-{int(match['day']):02d}T{clock}+00:00")
    except ValueError as error:
        raise MetadataError(
            "there is no such date", where=str(holding.path), expected="like 14-APR-2017 10:27:29.454657", got=told[:60]
        ) from error


def _walk(path: Path) -> Iterator[Path]:
    if _is_known_store(path):
        yield path
        return
    for folder, folders, names in os.walk(path):
        stores = [name for name in folders if is_store(Path(folder) / name)]
        yield from (Path(folder) / name for name in stores if _is_known_store(Path(folder) / name))
        folders[:] = sorted(set(folders) - set(stores))
        yield from (Path(folder) / name for name in names if _is_file(Path(folder) / name))


def _is_known_store(path: Path) -> bool:
    try:
        return is_store(path) and not _KNOWN.isdisjoint(arrays_in(path))
    except TerraCubeError:
        return False


def _is_file(path: Path) -> bool:
    if path.suffix.lower() not in (".nc", ".nc4") or path.is_symlink():
        return False
    try:
        return not _KNOWN.isdisjoint(look(path, largest=_LARGEST).variables)
    except TerraCubeError:
        return False
