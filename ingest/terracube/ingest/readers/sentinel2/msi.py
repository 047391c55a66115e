"""What all deliveries of Sentinel-2 Level-2A products have in common: pixel sizes, names, and what is checked."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import shapely
from shapely.errors import ShapelyError
from shapely.geometry import mapping, shape

from terracube.core.errors import AssetError, MetadataError
from terracube.core.sensors import Band, Radiometry, resolve_radiometry
from terracube.cubes.grid import Grid
from terracube.ingest.scene import Raster
from terracube.ingest.sources import Source
from terracube.stac import footprint

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""In the order of the agency's `band_id`, counted from 0. Band 10 has no surface reflectance."""

NATIVE: Mapping[str, int] = {
    **dict.fromkeys(("B02", "B03", "B04", "B08", "AOT", "WVP"), 10),
    **dict.fromkeys(("B05", "B06", "B07", "B8A", "B11", "B12", "SCL", "MSK_CLDPRB", "MSK_SNWPRB"), 20),
    **dict.fromkeys(("B01", "B09"), 60),
}
"""Metres of the pixels in which each layer is made; copies of other sizes in a product are resampled from these."""

PRODUCT_NAME = re.compile(
    r"S2[A-Z]_MSIL2A_\d{8}T\d{6}_N(?P<baseline>\d{4})_R(?P<orbit>\d{3})_T(?P<tile>\d{2}[A-Z]{3})_\d{8}T\d{6}"
)
"""Name of a product since December 2016 (PSD, issue 14.9)."""

_BASELINE = re.compile(r"\d{2}\.\d{2}")
_PLATFORM = re.compile(r"sentinel-2[a-z]")
_DOI = re.compile(r"10\.\d{4,9}/[-._;()/:A-Za-z0-9]+")
_MOST_PLACES = 1_000_000
_STORES = frozenset({"zarr.json", ".zgroup"})
_SLACK = 1e-3


@dataclass(frozen=True)
class Scene:
    """What a product says of itself as a whole; ``None`` or empty where it does not."""

    name: str
    acquired: datetime
    platform: str
    baseline: str
    tile: str = ""
    relative_orbit: int | None = None
    orbit_state: str = ""
    absolute_orbit: int | None = None
    datatake: str = ""
    generated: str = ""
    doi: str = ""
    uri: str = ""
    cloud: float | None = None
    snow: float | None = None

    def properties(self) -> dict[str, Any]:
        """Give them as STAC properties.

        Covers of clouds and snow are those that the product declares; that of clouds is there twice, because it is
        measured again when the product comes in.
        """
        told = {
            "platform": self.platform,
            "constellation": "sentinel-2",
            "instruments": ["msi"],
            "gsd": 10,
            "processing:level": "L2A",
            "s2:product_uri": self.uri,
            "s2:processing_baseline": self.baseline,
            "s2:datatake_id": self.datatake,
            "s2:generation_time": self.generated,
            "sat:relative_orbit": self.relative_orbit,
            "sat:absolute_orbit": self.absolute_orbit,
            "sat:orbit_state": self.orbit_state,
            "grid:code": f"MGRS-{self.tile}" if self.tile else "",
            "eo:cloud_cover": self.cloud,
            "eo:snow_cover": self.snow,
            "terracube:declared_cloud_cover": self.cloud,
            "sci:doi": self.doi if _DOI.fullmatch(self.doi) else "",
        }
        return {key: value for key, value in told.items() if value is not None and value != ""}


def look_below(path: Path, known: Callable[[Path, Sequence[str]], bool]) -> list[Path]:
    """List the folders at or below a path that ``known`` recognises by their own path and the names of their files.

    What lies in a recognised folder, or in a store of arrays, is not looked at; links to folders are not followed, and
    folders that cannot be read are passed over.
    """
    found = []
    for number, (place, folders, files) in enumerate(os.walk(path)):
        if number > _MOST_PLACES:
            break
        folders.sort()
        if known(Path(place), files):
            found.append(Path(place))
            folders.clear()
        elif not _STORES.isdisjoint(files):
            folders.clear()
    return sorted(found)


def product_folder(path: Path) -> Path:
    """Give the folder of a product that is named by it, or by a file in it."""
    return path if path.is_dir() else path.parent


def by_file(source: Source) -> dict[str, Band]:
    """Give the layers of a source by the agency's name."""
    return {band.file: band for band in source.bands.values()}


def checked_platform(text: str, *, where: str) -> str:
    """Give the platform as STAC spells it.

    Raises
    ------
    MetadataError
        If it is none of Sentinel-2.
    """
    platform = text.strip().lower().replace("_", "-").replace(" ", "-")
    if _PLATFORM.fullmatch(platform):
        return platform
    raise MetadataError("the platform is none of Sentinel-2", where=where, expected="Sentinel-2A", got=repr(text)[:60])


def checked_baseline(text: str, *, name: str, where: str) -> str:
    """Give the processing baseline, which must be the one that the name of the product tells.

    Raises
    ------
    MetadataError
        If it is none, or not that one.
    """
    if not _BASELINE.fullmatch(text):
        raise MetadataError("the processing baseline is unreadable", where=where, expected="05.09", got=repr(text)[:60])
    named = PRODUCT_NAME.match(name)
    if named is not None and named["baseline"] != text.replace(".", ""):
        raise MetadataError(
            "the product tells two processing baselines",
            where=where,
            expected=text,
            got=f"{name} ({named['baseline']})",
        )
    return text


def check_zone(tile: str, crs: str, *, where: str) -> None:
    """See that a tile lies in its UTM zone.

    Raises
    ------
    MetadataError
        If the CRS is another one than the name of the tile tells.

    Examples
    --------
    >>> check_zone("33TWL", "EPSG:32633", where="x")
    """
    if not tile:
        return
    north = tile[2] >= "N"
    code = f"EPSG:{326 if north else 327}{tile[:2]}"
    if crs != code:
        raise MetadataError("the tile is not in its UTM zone", where=f"{where}, T{tile}", expected=code, got=crs[:60])


def percent(value: float | None) -> float | None:
    """Give a cover in percent; ``None`` for what is none."""
    return None if value is None or not math.isfinite(value) or not 0 <= value <= 100 else round(value, 6)


def measured_radiometry(
    source: Source, band: Band, scene: Scene, *, scale: float | None, offset: float | None, where: str
) -> Radiometry:
    """Give scale and offset of a measured band as the product declares them, if its baseline allows these.

    Raises
    ------
    MetadataError
        If declaration and baseline contradict each other.
    """
    told = {"s2:processing_baseline": scene.baseline, "sentinel:product_id": scene.name}
    found = resolve_radiometry(source.sensor, told, scale=scale, offset=offset, where=where, band=band)
    reason = f"declared by the product, baseline {scene.baseline}" if offset is not None else found.reason
    return replace(found, reason=reason)


def check_grid(found: Grid, told: Grid, *, where: str, by: str) -> None:
    """See that a file lies where the metadata say.

    Raises
    ------
    MetadataError
        Naming what differs.
    """
    apart = max(abs(one - other) for one, other in zip(found.bounds, told.bounds, strict=True))
    for name, one, other, same in (
        ("CRS", told.crs, found.crs, told.crs == found.crs),
        ("rows and columns", tuple(told.shape), tuple(found.shape), told.shape == found.shape),
        ("corners", tuple(told.bounds), tuple(found.bounds), apart <= _SLACK * found.resolution.x),
    ):
        if not same:
            raise MetadataError(
                f"the file does not lie where {by} says: other {name}",
                where=where,
                expected=str(one)[:120],
                got=str(other)[:120],
                todo="check that metadata and files belong together, or download the product again",
            )


def check_together(rasters: Sequence[Raster], *, where: str) -> None:
    """See that there is a measured band, and that all layers cover the same ground.

    Raises
    ------
    AssetError
        If no measured band is there.
    MetadataError
        If two layers cover different ground.
    """
    if not any(raster.band.kind == "measured" for raster in rasters):
        raise AssetError(
            "the product has no measured band", where=where, got=", ".join(r.key for r in rasters) or "none"
        )
    first = rasters[0]
    for raster in rasters[1:]:
        if raster.grid.crs != first.grid.crs or any(
            abs(one - other) > _SLACK * first.grid.resolution.x
            for one, other in zip(raster.grid.bounds, first.grid.bounds, strict=True)
        ):
            raise MetadataError(
                "two layers of the product cover different ground",
                where=where,
                expected=f"{first.key}: {first.grid.crs} {tuple(first.grid.bounds)}",
                got=f"{raster.key}: {raster.grid.crs} {tuple(raster.grid.bounds)}",
            )


def outline(geometry: Mapping[str, Any], grid: Grid, *, where: str) -> tuple[dict[str, Any] | None, list[str]]:
    """Give a delivered footprint, cut at the antimeridian if it crosses it; and a note where it is not usable.

    Raises
    ------
    MetadataError
        If it lies elsewhere than the pixels: longitude and latitude may be swapped.
    """
    claimed = _polygon(geometry)
    if claimed is None:
        return None, ["the footprint of the metadata is no valid polygon; that of the pixels is taken"]
    pixels = shape(footprint(grid.bounds, grid.crs)[0])
    if not claimed.intersects(pixels):
        raise MetadataError(
            "the footprint of the metadata is not where the pixels are",
            where=where,
            expected=f"longitude and latitude within {[round(edge, 3) for edge in pixels.bounds]}",
            got=str([round(edge, 3) for edge in claimed.bounds]),
            todo="see whether longitude and latitude are swapped",
        )
    return _lists(mapping(claimed)), []


def _polygon(geometry: Mapping[str, Any]) -> Any:
    """Give a polygon, or several; ``None`` for what is none, or crosses itself."""
    if not _finite(geometry.get("coordinates")):
        return None
    try:
        claimed = _cut(shape(dict(geometry)))
        good = claimed.geom_type in ("Polygon", "MultiPolygon") and claimed.is_valid and not claimed.is_empty
    except (ShapelyError, ValueError, TypeError, KeyError, IndexError, AttributeError):
        return None
    return claimed if good else None


def _finite(coordinates: Any, depth: int = 4) -> bool:
    """Whether there are nothing but lists of numbers, as deep as those of a MultiPolygon."""
    if isinstance(coordinates, list | tuple):
        return depth > 0 and all(_finite(each, depth - 1) for each in coordinates)
    return isinstance(coordinates, int | float) and math.isfinite(coordinates)


def _cut(claimed: Any) -> Any:
    """Cut at the antimeridian what spans more than half the globe: no tile does."""
    least, _, most, _ = claimed.bounds
    if most - least <= 180 or claimed.geom_type != "Polygon":
        return claimed
    ring = [(x + 360 if x < 0 else x, y) for x, y, *_ in claimed.exterior.coords]
    whole = shapely.Polygon(ring)
    west = whole.intersection(shapely.box(0, -90, 180, 90))
    east = shapely.transform(whole.intersection(shapely.box(180, -90, 360, 90)), lambda xy: xy - (360, 0))
    return shapely.MultiPolygon([part for part in (west, east) if isinstance(part, shapely.Polygon) and part.area > 0])


def _lists(geometry: Mapping[str, Any]) -> dict[str, Any]:
    """Give GeoJSON with lists, as JSON has it."""

    def plain(value: Any) -> Any:
        return [plain(each) for each in value] if isinstance(value, tuple | list) else float(value)

    return {"type": geometry["type"], "coordinates": plain(geometry["coordinates"])}


def absent(source: Source, rasters: Iterable[Raster]) -> Iterator[str]:
    """Say which layers of the source a product lacks, as notes."""
    there = {raster.key for raster in rasters}
    for name, band in source.bands.items():
        if name not in there and band.file in NATIVE:
            yield f"{band.file} ({name}): the product does not hold it"
