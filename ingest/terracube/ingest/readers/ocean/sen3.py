"""Sentinel-3 OLCI Level-2 water products in full and reduced resolution (OL_2_WFR, OL_2_WRR): SEN3 folders of NetCDF.

Format: Sentinel-3 product data format specifications, OLCI Level 2 (S3IPF.PDS.004.2 and its marine counterpart; product
structures in S3IPF.PDS.002), and Sentinel-3 OLCI Level-2 report for baseline collection OL_L2M_003
(EUM/RSP/REP/21/1211386). Geolocation is longitude and latitude on WGS 84.

Linear layers keep the numbers that are stored, with their scale and offset. Layers that are stored as decimal
logarithms become physical float32 values: averages of logarithms, in overviews and composites, mean something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import AssetError, MetadataError
from terracube.core.sensors import Band, Radiometry
from terracube.ingest.pixels import MadePixels, Pixels
from terracube.ingest.readers.ocean.flags import flag_bits
from terracube.ingest.readers.ocean.nearest import Nearest, SwathPixels
from terracube.ingest.readers.ocean.netcdf import Holding, Stored, look, plain_unit
from terracube.ingest.readers.ocean.package import MANIFEST, Package, read_package
from terracube.ingest.readers.ocean.swath import Plan, Swath, plan, survey
from terracube.ingest.scene import Delivered, Document, Raster
from terracube.ingest.sources import Source

_NAME = re.compile(r"S3[A-Z]_OL_2_W[FR]R_.*\.SEN3", re.IGNORECASE)
_MARK = "wqsf.nc"
_GEO = "geo_coordinates.nc"
# A reduced product has a quarter of the samples along each side (S3IPF.PDS.002).
_COARSER = 4.0
_FEW = 64
_HALF, _ALL = 32, 0xFFFFFFFF


def find(path: Path) -> list[Path]:
    """Look for SEN3 folders of OLCI water products."""
    if path.name == MANIFEST:
        path = path.parent
    if _is_product(path):
        return [path]
    try:
        return sorted({one.parent for one in path.rglob(MANIFEST) if _is_product(one.parent)})
    except OSError:
        return []


def read(path: Path, source: Source) -> Delivered:
    """Understand a SEN3 folder: metadata, and the headers and positions of its files.

    Raises
    ------
    TerraCubeError
        Saying what is missing, contradictory, damaged or hostile, and in which file.
    """
    package = read_package(path)
    geo = _file(path, _GEO, source)
    swath = Swath(geo.stored("longitude"), geo.stored("latitude"))
    extent = survey(swath)
    package.check_place((extent.west, extent.south, extent.east, extent.north), crossing=extent.crossing)
    reduced = package.type.startswith("OL_2_WRR")
    layout = plan(swath, extent, source.options, scale=_COARSER if reduced else 1.0, largest=source.largest_side)
    gsd = 1200 if reduced else 300
    product = _Product(path, source, package, layout, Nearest(swath, layout))
    rasters, notes = product.rasters()
    return Delivered(
        id=package.name,
        source=source,
        path=path,
        acquired=package.start,
        interval=(package.start, package.stop),
        rasters=rasters,
        properties={**package.properties, **_angles(path, source), "gsd": gsd, "terracube:quantity": "rhow"},
        geometry=None if extent.crossing else package.footprint,
        documents=(Document("manifest", path / MANIFEST, "Manifest of the product", "application/xml"),),
        facts={"grid": layout.grid.as_dict(), "radius": layout.radius},
        notes=(*package.notes, *layout.notes, *notes),
    )


@dataclass(frozen=True)
class _Product:
    path: Path
    source: Source
    package: Package
    layout: Plan
    nearest: Nearest

    def rasters(self) -> tuple[tuple[Raster, ...], list[str]]:
        """Give the layers that are there, and what is to be told of the others."""
        found, notes, absent, left = [], [], [], set()
        for band in self.source.bands.values():
            name, variable = self._place(band)
            if not (self.path / name).is_file():
                absent.append(name)
                continue
            holding = _file(self.path, name, self.source)
            self.package.check_product(holding)
            left |= {one for one in holding.variables if one.lower().endswith(("_unc", "_err"))}
            raster, told = self._raster(band, holding.stored(variable), name)
            found.append(raster)
            notes += told
        if not any(raster.band.kind != "bits" for raster in found):
            raise AssetError("the product has no layer", where=str(self.path), expected="like Oa08_reflectance.nc")
        if left:
            notes.append(f"left out: uncertainties ({', '.join(sorted(left))})"[:300])
        if absent:
            notes.append(f"not delivered: {', '.join(sorted(set(absent)))}"[:300])
        return tuple(found), notes

    def _place(self, band: Band) -> tuple[str, str]:
        """Give file and variable of a layer."""
        told = self.source.options.get("variables", {}).get(band.name)
        return (str(told[0]), str(told[1])) if told else (f"{band.file}.nc", band.file)

    def _raster(self, band: Band, stored: Stored, file: str) -> tuple[Raster, list[str]]:
        if stored.shape != self.nearest.swath.shape:
            raise MetadataError(
                "a layer has another shape than the geolocation",
                where=stored.where,
                expected=str(self.nearest.swath.shape),
                got=str(stored.shape),
            )
        files = (self.path / file, self.path / _GEO)
        if band.categorical:
            return self._flags(band, stored, files), []
        unit, logarithm = plain_unit(stored.unit or band.unit or "1")
        notes = [] if unit == band.unit else [f"{stored.name}: the unit is {unit}, where {band.unit} was expected"]
        if logarithm:
            made = MadePixels((self._gridded(stored, stored.missing),), _Power(*stored.scaling, stored.missing))
            return Raster(band.name, band, made, self.layout.grid, "float32", np.nan, files, unit=unit), notes
        missing = stored.missing
        scale, offset = stored.scaling
        reason = "scale_factor and add_offset of the file"
        roles = ("data", "reflectance") if band.kind == "measured" else ("data",)
        raster = Raster(
            band.name,
            band,
            self._gridded(stored, missing),
            self.layout.grid,
            stored.dtype,
            missing,
            files,
            Radiometry(scale, offset, reason),
            unit=unit,
            roles=roles,
            extra={"terracube:quantity": "rhow"} if band.kind == "measured" else {},
        )
        return raster, notes

    def _flags(self, band: Band, stored: Stored, files: tuple[Path, ...]) -> Raster:
        """Give one half of the flags; some of the upper half raise a bit of the lower, for rules that need both."""
        mask, told = self.source.mask, self.source.options.get("raised", {})
        raised = {int(bit): dict(names) for bit, names in told.items()}
        expected = {bit: name for bit, name in (mask.bits if mask else {}).items() if bit not in raised}
        bits = flag_bits(
            stored, expected=expected | {bit: name for names in raised.values() for bit, name in names.items()}
        )
        if taken := sorted(set(raised) & set(bits)):
            raise MetadataError("a bit that was unused has a meaning", where=stored.where, got=f"bits {taken}")
        upper = mask is None or band.name != mask.asset
        missing = _ALL << _HALF if upper else mask.nodata if mask else 0
        sums = {} if upper else {bit: sum(1 << one for one in names) for bit, names in raised.items()}
        own = {bit - _HALF if upper else bit: name for bit, name in bits.items() if (bit >= _HALF) is upper}
        if not upper and mask is not None:
            own |= {bit: mask.bits.get(bit, "") for bit in raised}
        made = MadePixels((self._gridded(stored, missing),), _Half(upper, sums))
        number = float(_ALL if upper else missing)
        return Raster(band.name, band, made, self.layout.grid, "uint32", number, files, bits=dict(sorted(own.items())))

    def _gridded(self, stored: Stored, missing: float | int) -> Pixels:
        return SwathPixels(self.nearest, stored, missing, stored.dtype)


@dataclass(frozen=True)
class _Half:
    """From flags of 64 bits to one half of them."""

    upper: bool
    raised: Mapping[int, int]
    """By bit of the lower half: a pixel with any of these bits gets it."""

    def __call__(self, stored: NDArray[Any]) -> NDArray[np.uint32]:
        wide = stored.astype("uint64")
        for bit, sources in self.raised.items():
            wide |= ((wide & np.uint64(sources)) != 0).astype("uint64") << np.uint64(bit)
        part = wide >> np.uint64(_HALF) if self.upper else wide & np.uint64(_ALL)
        return part.astype("uint32")


@dataclass(frozen=True)
class _Power:
    """From stored decimal logarithms to values."""

    scale: float
    offset: float
    fill: float

    def __call__(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        known = (stored != self.fill) & np.isfinite(stored)
        out = np.full(stored.shape, np.nan, "float32")
        with np.errstate(over="ignore"):
            out[known] = np.power(10.0, stored[known].astype("float64") * self.scale + self.offset)
        return out


def _is_product(folder: Path) -> bool:
    try:
        return (folder / MANIFEST).is_file() and (
            _NAME.fullmatch(folder.name) is not None or (folder / _MARK).is_file()
        )
    except (OSError, ValueError):
        return False


def _file(folder: Path, name: str, source: Source) -> Holding:
    path = folder / name
    if path.is_symlink() or not path.is_file():
        raise AssetError("a file of the product is missing", where=str(path), todo="download the product again")
    return look(path, largest=source.largest_side)


def _angles(folder: Path, source: Source) -> Mapping[str, Any]:
    """Give the mean angles of sun and view, where the file of tie points is there."""
    if not (folder / "tie_geometries.nc").is_file():
        return {}
    holding = _file(folder, "tie_geometries.nc", source)
    means = {name: _mean(holding.stored(name)) for name in ("SZA", "SAA", "OZA", "OAA") if name in holding.variables}
    told = dict(_spelt(means))
    return {key: round(value, 4) for key, value in told.items() if np.isfinite(value)}


def _spelt(means: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    if "SZA" in means:
        yield "view:sun_elevation", 90.0 - means["SZA"]
    if "SAA" in means:
        yield "view:sun_azimuth", means["SAA"] % 360.0
    if "OZA" in means:
        yield "view:incidence_angle", means["OZA"]


def _mean(stored: Stored) -> float:
    """Give the mean of an angle in degrees, as that of directions, over rows taken at equal distances."""
    rows = np.unique(np.linspace(0, stored.shape[0] - 1, _FEW).astype("int64"))
    angles = np.radians(np.concatenate([stored.values(int(row), int(row) + 1).ravel() for row in rows]))
    known = angles[np.isfinite(angles)]
    return float(np.degrees(np.angle(np.exp(1j * known).mean()))) if known.size else float("nan")
