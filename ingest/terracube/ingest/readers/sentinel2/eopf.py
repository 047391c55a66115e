"""Sentinel-2 Level-2A products as Zarr stores of the EOPF: groups by kind and pixel size, attributes as a STAC item.

Each layer is taken in the pixels in which it is made; the copies at other sizes are left. The date is the sensing time
of the tile, as for SAFE; where only the start of the datatake is told, that is taken, and noted.

Reference: EOPF product structure for Sentinel-2 MSI Level-2A (S02MSIL2A) as the EOPF Core Python Modules 2.5 and 3.0
write it: `measurements/reflectance/r10m`, `conditions/geometry`, `conditions/mask/l2a_classification`,
`quality/atmosphere`, `quality/probability`; scale and offset as CF has them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import AssetError, HostileInputError, MetadataError, TerraCubeError
from terracube.core.sensors import Band, Radiometry
from terracube.cubes.access import Location
from terracube.cubes.readers import Header, read_header, read_pixels
from terracube.cubes.window import Window
from terracube.ingest.readers.sentinel2.eopf_angles import read_angles
from terracube.ingest.readers.sentinel2.eopf_store import Store
from terracube.ingest.readers.sentinel2.msi import (
    NATIVE,
    PRODUCT_NAME,
    Scene,
    absent,
    by_file,
    check_together,
    check_zone,
    checked_baseline,
    checked_platform,
    look_below,
    measured_radiometry,
    outline,
    percent,
    product_folder,
)
from terracube.ingest.scene import Delivered, Document, Raster, utc
from terracube.ingest.sources import Source

_ROOT = ("zarr.json", ".zattrs", ".zgroup", ".zmetadata")
_TYPES = ("S02MSIL2A", "S2MSI2A")
_BASELINE = re.compile(r"_N(\d{2}\.\d{2})$")
_ROWS = 512


@dataclass(frozen=True)
class StorePixels:
    """An array of a Zarr store."""

    location: Location
    width: int
    step: int
    """A multiple of the height of its chunks, so that none is decoded twice."""
    kept: None = None

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Give rows ``start`` to ``stop``; see :class:`terracube.ingest.pixels.Pixels`."""
        return read_pixels(self.location, 1, Window(start, 0, stop - start, self.width))


def find(path: Path) -> list[Path]:
    """Look for stores whose attributes, or if these cannot be read whose name, say that they are such a product."""
    if path.is_file():
        return [path.parent] if path.name in _ROOT and _is_product(path.parent, [path.name]) else []
    return look_below(path, _is_product)


def _is_product(folder: Path, files: Any) -> bool:
    if not any(name in _ROOT for name in files):
        return False
    try:
        item = Store(folder).attributes().get("stac_discovery")
    except TerraCubeError:
        return "MSIL2A" in folder.name
    kind = _at(item, "properties", "product:type")
    return kind in _TYPES or "MSIL2A" in str(_at(item, "id"))[:200]


def read(path: Path, source: Source) -> Delivered:
    """Read the attributes of a product and the headers of its arrays.

    Raises
    ------
    TerraCubeError
        Saying what is missing, contradictory or hostile, and where.
    """
    folder = product_folder(path)
    store = Store(folder)
    root = store.attributes()
    if not isinstance(_at(root, "stac_discovery", "properties"), dict):
        raise MetadataError(
            "the store is no EOPF product", where=str(folder), expected="stac_discovery with properties"
        )
    scene, notes = _scene(root, folder)
    rasters = [_raster(layer, place, store, source, scene) for layer, place in _places(source) if store.has(place)]
    check_together(rasters, where=scene.name)
    _check_place(root, rasters[0], scene, str(folder))
    angles = read_angles(store, rasters[0].grid)
    geometry, more = outline(_at(root, "stac_discovery", "geometry") or {}, rasters[0].grid, where=scene.name)
    notes += [*more, *angles.notes, *_thin(rasters, store), *absent(source, rasters)]
    document = store.document()
    return Delivered(
        id=scene.name,
        source=source,
        path=folder,
        acquired=scene.acquired,
        rasters=(*rasters, *angles.rasters(by_file(source))),
        properties=scene.properties() | angles.properties(),
        geometry=geometry,
        documents=() if document is None else (_document(document),),
        facts={"baseline": scene.baseline, "radiometry": _numbers(rasters)},
        notes=tuple(notes),
    )


def _at(value: Any, *keys: str) -> Any:
    """Follow keys through nested objects; ``None`` where one is missing, or is the word that stands for nothing."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return None if value in ("null", "") else value


def _document(path: Path) -> Document:
    return Document("product_metadata", path, "Attributes of the product", "application/json")


def _numbers(rasters: list[Raster]) -> dict[str, list[float]]:
    return {r.key: [r.radiometry.scale, r.radiometry.offset] for r in rasters if r.radiometry}


def _scene(root: Mapping[str, Any], folder: Path) -> tuple[Scene, list[str]]:
    where = str(folder)
    item = root["stac_discovery"]
    told: Mapping[str, Any] = item["properties"]
    name = _name(str(_at(item, "id") or ""), folder)
    acquired, notes = _acquired(root, told, where)
    named = PRODUCT_NAME.match(name)
    baseline = _baseline(told, name, where)
    return Scene(
        name=name,
        acquired=acquired,
        platform=checked_platform(str(_at(told, "platform") or ""), where=where),
        baseline=baseline,
        tile=named["tile"] if named else "",
        relative_orbit=_whole(_at(told, "sat:relative_orbit"), 143),
        orbit_state=_orbit_state(_at(told, "sat:orbit_state")),
        absolute_orbit=_whole(_at(told, "sat:absolute_orbit"), 10_000_000),
        datatake=str(_at(told, "eopf:datatake_id") or "")[:80],
        generated=str(_at(told, "created") or "")[:40],
        doi=str(_at(told, "sci:doi") or "")[:100],
        cloud=percent(_number(_at(told, "eo:cloud_cover"))),
        snow=percent(_number(_at(told, "eo:snow_cover"))),
    ), notes


def _name(told: str, folder: Path) -> str:
    """Name the product: the mission's name of it is unique; that of the EOPF, of few letters, need not be."""
    short = told.removesuffix(".SAFE").removesuffix(".zarr")
    mission = [name for name in (short, folder.stem) if PRODUCT_NAME.fullmatch(name)]
    if len(set(mission)) > 1:
        raise MetadataError("the product has two names", where=str(folder), expected=mission[1], got=mission[0])
    if not mission and not short:
        raise MetadataError("the product has no name", where=str(folder), expected="stac_discovery id")
    return mission[0] if mission else short


def _acquired(root: Mapping[str, Any], told: Mapping[str, Any], where: str) -> tuple[datetime, list[str]]:
    sensed = _at(root, "other_metadata", "mean_sensing_time")
    if sensed is not None:
        return utc(sensed, where=f"{where}, mean_sensing_time"), []
    start = _at(told, "datetime") or _at(told, "start_datetime")
    return utc(start, where=f"{where}, datetime"), [
        "the date is the start of the datatake: no sensing time of the tile"
    ]


def _baseline(told: Mapping[str, Any], name: str, where: str) -> str:
    """Give the baseline that product, datastrip and datatake agree on; versions of EOPF software are none."""
    found: dict[str, str] = {}
    for key in ("eopf:datastrip_id", "eopf:datatake_id"):
        if match := _BASELINE.search(str(_at(told, key) or "")[:200]):
            found[key] = match[1]
    if match := PRODUCT_NAME.match(name):
        found["name"] = f"{match['baseline'][:2]}.{match['baseline'][2:]}"
    if re.fullmatch(r"\d{2}\.\d{2}", version := str(_at(told, "processing:version") or "")):
        found["processing:version"] = version
    if len(set(found.values())) > 1:
        raise MetadataError("the product tells two processing baselines", where=where, got=str(found))
    if not found:
        raise MetadataError(
            "the product tells no processing baseline", where=where, expected="like _N05.11, or _N0511_"
        )
    return checked_baseline(next(iter(found.values())), name=name, where=where)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(value: Any, most: int) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most else None


def _orbit_state(value: Any) -> str:
    return value if value in ("ascending", "descending") else ""


def _places(source: Source) -> Iterator[tuple[str, str]]:
    """Give the array of each layer in its native pixels."""
    groups = {
        "SCL": "conditions/mask/l2a_classification/r20m/scl",
        "AOT": "quality/atmosphere/r10m/aot",
        "WVP": "quality/atmosphere/r10m/wvp",
        "MSK_CLDPRB": "quality/probability/r20m/cld",
        "MSK_SNWPRB": "quality/probability/r20m/snw",
    }
    for layer, metres in NATIVE.items():
        if layer in by_file(source):
            yield layer, groups.get(layer, f"measurements/reflectance/r{metres}m/{layer.lower()}")


def _raster(layer: str, place: str, store: Store, source: Source, scene: Scene) -> Raster:
    band, where = by_file(source)[layer], f"{store.folder}:{place}"
    header = read_header(store.location(place), where=where)
    rows, cols = header.grid.shape
    if max(rows, cols) > source.largest_side:
        raise HostileInputError(
            "the array claims more pixels than a scene of this sensor has",
            where=where,
            expected=f"at most {source.largest_side} along each side",
            got=f"{rows} x {cols}",
        )
    size = header.grid.resolution
    if header.count != 1 or not math.isclose(size.x, NATIVE[layer]) or not math.isclose(-size.y, NATIVE[layer]):
        raise MetadataError(
            "the array has other pixels than its group says",
            where=where,
            expected=f"one band of {NATIVE[layer]} m",
            got=f"{header.count} of {-size.y:g} x {size.x:g} m",
        )
    radiometry = _radiometry(band, header, source, scene, where)
    mask = source.mask
    return Raster(
        key=band.name,
        band=band,
        pixels=StorePixels(store.location(place), cols, header.tile[0] * max(1, _ROWS // header.tile[0])),
        grid=header.grid,
        dtype=header.dtypes[0],
        nodata=_nodata(band, header, source),
        files=store.files(place),
        radiometry=radiometry,
        unit="percent" if layer.startswith("MSK_") else None,
        classes=mask.classes if mask and mask.asset == band.name else {},
        roles=("data", "reflectance") if band.kind == "measured" else ("data",),
    )


def _radiometry(band: Band, header: Header, source: Source, scene: Scene, where: str) -> Radiometry | None:
    kind, scale, offset = np.dtype(header.dtypes[0]).kind, header.scale[0], header.offset[0]
    if band.kind in ("measured", "classes") and kind not in "ui":
        raise AssetError("the layer does not hold whole numbers", where=where, expected="uint16", got=header.dtypes[0])
    if band.kind == "measured":
        return measured_radiometry(source, band, scene, scale=scale, offset=offset, where=where)
    if band.scale is None or band.kind == "classes":
        return None
    if scale is None and kind == "f":
        return Radiometry(1.0, offset or 0.0, "values as they are: floats without scale_factor")
    if scale is None:
        return Radiometry(band.scale, offset or 0.0, "rule of the product")
    return Radiometry(scale, offset or 0.0, "declared by the array")


def _nodata(band: Band, header: Header, source: Source) -> float | None:
    """Give the number that means missing. A probability of 0 is one, whatever fills chunks that were not written."""
    told = header.nodata[0]
    if np.dtype(header.dtypes[0]).kind == "f":
        return math.nan if told is None else told
    if source.mask and band.name == source.mask.asset:
        return float(source.mask.nodata)
    if band.scale is None and band.kind == "other":
        return told or None
    missing = source.sensor.reflectance["nodata"] if source.sensor else 0
    return float(missing if told is None else told)


def _check_place(root: Mapping[str, Any], raster: Raster, scene: Scene, where: str) -> None:
    """See that the arrays lie where the product says."""
    check_zone(scene.tile, raster.grid.crs, where=where)
    code = _at(root, "stac_discovery", "properties", "proj:code") or _at(root, "other_metadata", "horizontal_crs_code")
    box = _at(root, "stac_discovery", "properties", "proj:bbox")
    if isinstance(code, str) and re.fullmatch(r"EPSG:\d+", code) and code != raster.grid.crs:
        raise MetadataError(
            "the arrays lie in another CRS than the product", where=where, expected=code, got=raster.grid.crs
        )
    if isinstance(box, list) and len(box) == 4 and all(_number(edge) is not None for edge in box):
        bounds = raster.grid.bounds
        if max(abs(one - other) for one, other in zip(box, bounds, strict=True)) > raster.grid.resolution.x:
            raise MetadataError(
                "the arrays do not lie where the product says",
                where=f"{where}, proj:bbox",
                expected=str(box)[:120],
                got=str(bounds),
            )


def _thin(rasters: list[Raster], store: Store) -> Iterator[str]:
    """Tell of bands that have fewer chunks than their neighbours: what was not downloaded reads as missing."""
    by_size: dict[float, dict[str, int]] = {}
    for raster in rasters:
        if raster.band.kind == "measured" and isinstance(raster.pixels, StorePixels):
            count = store.chunks(raster.pixels.location.member)
            by_size.setdefault(raster.grid.resolution.x, {})[raster.key] = count
    for counts in by_size.values():
        most = max(counts.values())
        for key, count in counts.items():
            if count < most:
                yield f"{key}: {count} chunks are there, of other bands {most}; what lacks reads as no data"
