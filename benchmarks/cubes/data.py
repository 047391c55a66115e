"""Make the seeded scenes of the cubes benchmark, and say where the inputs of a case are.

Ten dates, four bands (uint16, 2048^2 pixels of 10 m, UTM 32N) and a scene classification (uint8, 20 m) as
cloud-optimised GeoTIFFs (tiles of 512, DEFLATE 6, horizontal predictor, average overviews) with a hole of 400 x 400
pixels without data, one STAC item per date; and the same bands once more without hole and without nodata. Written once
below ``benchmarks/data/``. The pixels are those of the composite benchmark, which compress as real scenes do.

    python benchmarks/cubes/data.py --case native
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds, transform_geom

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from composite.data import BANDS as STEMS  # noqa: E402  the folder above has to be known first
from composite.data import DATES, band_pixels, classification, surface_classes  # noqa: E402
from cubes.cases import NODATA, UTM, WEB, Case, Target, case_of  # noqa: E402

DATA = HERE.parent / "data"
REPOSITORY = HERE.parent.parent
VERSION = 1  # raise when the pixels change: an older set is then made again
SIZE, PIXEL = 2048, 10.0
LEFT, TOP = 600000.0, 5200020.0
HOLE = slice(700, 1100)
COLLECTIONS = {"synthetic": "sentinel-2-l2a", "plain": "plain-scenes"}


def write_cog(path: Path, pixels: npt.NDArray[Any], pixel_size: float, resampling: str, nodata: int | None) -> None:
    """Write one band as the science archives keep theirs."""
    height, width = pixels.shape
    profile = {"driver": "COG", "dtype": pixels.dtype.name, "count": 1, "height": height, "width": width}
    options = {"compress": "DEFLATE", "level": "6", "predictor": "2", "blocksize": 512}
    place = {"crs": UTM, "transform": from_origin(LEFT, TOP, pixel_size, pixel_size), "nodata": nodata}
    with rasterio.open(path, "w", **profile, **options, **place, overview_resampling=resampling) as target:
        target.write(pixels, 1)


def asset(name: str, stem: str, pixel_size: float, nodata: int | None) -> dict[str, Any]:
    """Return the STAC 1.0 asset of one raster, in the form of Earth Search."""
    size = round(SIZE * PIXEL / pixel_size)
    classes = name == "scl"
    missing = {} if nodata is None else {"nodata": nodata}
    kind = {"data_type": "uint8"} if classes else {"data_type": "uint16", "scale": 0.0001, "offset": 0}
    return {
        "href": f"./{stem}.tif",
        "type": "image/tiff; application=geotiff; profile=cloud-optimized",
        "proj:shape": [size, size],
        "proj:transform": list(from_origin(LEFT, TOP, pixel_size, pixel_size))[:6],
        "roles": ["data"] if classes else ["data", "reflectance"],
        "raster:bands": [{**missing, "spatial_resolution": pixel_size, **kind}],
        **({} if classes else {"eo:bands": [{"name": name, "common_name": name, "center_wavelength": STEMS[name][1]}]}),
    }


def item(kind: str, date: int) -> dict[str, Any]:
    """Return the STAC item of one date; its files lie beside it."""
    extent, nodata = SIZE * PIXEL, NODATA if kind == "synthetic" else None
    ring = [(LEFT, TOP), (LEFT, TOP - extent), (LEFT + extent, TOP - extent), (LEFT + extent, TOP), (LEFT, TOP)]
    geometry = transform_geom(UTM, "EPSG:4326", {"type": "Polygon", "coordinates": [ring]})
    longitudes, latitudes = zip(*geometry["coordinates"][0], strict=True)
    assets = {name: asset(name, stem, PIXEL, nodata) for name, (stem, _) in STEMS.items()}
    if kind == "synthetic":
        assets["scl"] = asset("scl", "SCL", 2 * PIXEL, NODATA)
    extensions = ("raster/v1.1.0", "projection/v1.1.0", "eo/v1.1.0")
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [f"https://stac-extensions.github.io/{name}/schema.json" for name in extensions],
        "id": f"{kind}-2023{DATES[date].replace('-', '')}",
        "collection": COLLECTIONS[kind],
        "geometry": {"type": "Polygon", "coordinates": [[list(point) for point in geometry["coordinates"][0]]]},
        "bbox": [min(longitudes), min(latitudes), max(longitudes), max(latitudes)],
        "properties": {
            "datetime": f"2023-{DATES[date]}T10:17:57Z",
            "proj:epsg": 32632,
            "platform": "sentinel-2a",
            # Before baseline 04.00 there is no offset, so that scale is all there is to the reflectance.
            "s2:processing_baseline": "02.14",
            "earthsearch:boa_offset_applied": True,
        },
        "links": [],
        "assets": assets,
    }


def write_date(folders: dict[str, Path], date: int, classes: npt.NDArray[np.uint8]) -> None:
    """Write the rasters and items of one date, with and without nodata."""
    documents = {kind: item(kind, date) for kind in folders}
    places = {kind: folders[kind] / documents[kind]["id"] for kind in folders}
    for place in places.values():
        place.mkdir(parents=True)
    scl = classification(date, classes)
    scl[scl == 0] = 7  # nothing is missing but the hole
    for band, (stem, _) in enumerate(STEMS.values()):
        pixels = band_pixels(date, band, classes, scl)
        write_cog(places["plain"] / f"{stem}.tif", pixels, PIXEL, "AVERAGE", None)
        pixels[HOLE, HOLE] = NODATA
        write_cog(places["synthetic"] / f"{stem}.tif", pixels, PIXEL, "AVERAGE", NODATA)
    write_cog(places["synthetic"] / "SCL.tif", scl, 2 * PIXEL, "NEAREST", NODATA)
    for kind, place in places.items():
        text = json.dumps(documents[kind], indent=2) + "\n"
        (place / f"{documents[kind]['id']}.json").write_text(text, encoding="utf-8")


def synthetic() -> Path:
    """Return the folder of the synthetic sets, made first if it is not there (about a minute, 550 MB)."""
    folder = DATA / f"cubes-{SIZE}-v{VERSION}"
    if not folder.exists():
        beside = folder.with_name(folder.name + ".partial")
        shutil.rmtree(beside, ignore_errors=True)
        classes = surface_classes(SIZE)
        for date in range(len(DATES)):
            write_date({kind: beside / kind for kind in COLLECTIONS}, date, classes)
            print(f"cubes {SIZE}: {date + 1}/{len(DATES)} dates", file=sys.stderr)
        beside.rename(folder)
    return folder


def real() -> Path | None:
    """Return the folder of the real scenes of one tile, or None when they are not on this machine."""
    root = Path(os.environ.get("TERRACUBE_DATA", REPOSITORY.parent / "shared" / "data"))
    folder = root / "sentinel2-l2a" / "33TWM" / "sentinel-2-l2a"
    return folder if folder.is_dir() else None


def item_files(folder: Path) -> list[Path]:
    """Return the item JSONs below a folder in order of time: a scene's folder and its item carry the same name."""
    found = (path for path in folder.rglob("*.json") if path.stem == path.parent.name)
    return sorted(found, key=lambda path: json.loads(path.read_text(encoding="utf-8"))["properties"]["datetime"])


def target(case: Case) -> Target:
    """Return the pixels of a case."""
    native = Target(UTM, PIXEL, LEFT, TOP, SIZE, SIZE)
    if case.data == "real":
        native = Target("EPSG:32633", 120.0, 499980.0, 5200020.0, 915, 915)
    if case.target == "web":
        return _web(native, 20.0 if case.data != "real" else 120.0)
    if case.target != "native":
        pixel = float(case.target)
        side = round(native.width * native.resolution / pixel)
        native = Target(native.crs, pixel, native.left, native.top, side, side)
    return native.middle(case.window) if case.window else native


def _web(native: Target, pixel: float) -> Target:
    """Return the pixels of the web map that cover a native grid, edges on multiples of the pixel."""
    left, bottom, right, top = transform_bounds(native.crs, WEB, *native.bounds, densify_pts=101)
    column, row = math.floor(left / pixel), math.ceil(top / pixel)
    width, height = math.ceil(right / pixel) - column, row - math.floor(bottom / pixel)
    return Target(WEB, pixel, column * pixel, row * pixel, height, width)


def inputs(case: Case) -> dict[str, Any] | None:
    """Return what a case reads: folder, item files and target; None if the real scenes are not here."""
    folder = real() if case.data == "real" else synthetic() / case.data
    if folder is None:
        return None
    files = item_files(folder)[: case.dates]
    return {
        "folders": [str(path.parent) for path in files],
        "items": list(map(str, files)),
        "target": asdict(target(case)),
    }


def main() -> None:
    """Make what a case reads and print it as JSON; ``null`` if the real scenes are not on this machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", required=True)
    print(json.dumps(inputs(case_of(parser.parse_args().case))))


if __name__ == "__main__":
    main()
