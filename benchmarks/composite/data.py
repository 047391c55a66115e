"""Make the seeded synthetic Sentinel-2 set of the composite benchmark, and say where the inputs of each case are.

Ten dates, four bands (uint16, 10 m) and a scene classification (uint8, 20 m) as cloud-optimised GeoTIFFs with one STAC
item per date, written once below ``benchmarks/data/``. The texture is noisy on purpose: decoding must cost what it
costs on real scenes, so the compression ratio is kept near that of real Sentinel-2 tiles (about 1.3).

    python benchmarks/composite/data.py --case synthetic-4096
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform_geom

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "data"
REPOSITORY = HERE.parent.parent

VERSION = 1  # raise when the pixels change: an older set is then made again
SEED = 20230810
LEFT, TOP, CRS = 499980.0, 5200020.0, "EPSG:32633"
PIXEL = 10.0
DATES = ("05-02", "05-17", "06-01", "06-16", "07-01", "07-16", "07-31", "08-14", "08-30", "09-14")
BANDS = {"blue": ("B02", 0.49), "green": ("B03", 0.56), "red": ("B04", 0.665), "nir": ("B08", 0.842)}
SCALE, OFFSET, NODATA = 0.0001, -0.1, 0

# Reflectance of the classes in the order of BANDS: conifer, broad-leaved, meadow, crop, bare soil, built, water.
SPECTRA = np.array(
    [
        [0.018, 0.034, 0.022, 0.22],
        [0.024, 0.050, 0.028, 0.38],
        [0.036, 0.070, 0.048, 0.40],
        [0.034, 0.064, 0.044, 0.46],
        [0.075, 0.105, 0.140, 0.23],
        [0.110, 0.125, 0.140, 0.21],
        [0.032, 0.030, 0.018, 0.012],
    ],
    dtype=np.float32,
)
# Share of the near infrared that comes and goes with the season.
SEASON = np.array([0.05, 0.25, 0.25, 0.45, 0.10, 0.02, 0.0], dtype=np.float32)
SCL_CLEAR: ByteGrid = np.array([4, 4, 4, 4, 5, 5, 6], dtype=np.uint8)
NOISE = (0.011, 0.013, 0.016, 0.036)  # pixel noise per band, reflectance; sets the compression ratio
FloatGrid = npt.NDArray[np.float32]
ByteGrid = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Inputs:
    """What a case reads: folders that hold item JSONs, and the target grid both contestants are given."""

    items: tuple[Path, ...]
    crs: str
    resolution: float
    bounds: tuple[float, float, float, float]  # left, bottom, right, top in units of the CRS
    compared_rows: int | None = None  # the answers are compared on the first rows only; None = on all


def smooth_field(size: int, cell: int, rng: np.random.Generator) -> FloatGrid:
    """Return a seeded bilinear random field of about unit variance with features of `cell` pixels."""
    knots = rng.standard_normal((size // cell + 2, size // cell + 2)).astype(np.float32) * np.float32(1.5)
    position = np.arange(size, dtype=np.float32) / np.float32(cell)
    low = position.astype(np.intp)
    weight = position - low
    rows = knots[low] * (1 - weight)[:, None] + knots[low + 1] * weight[:, None]
    return np.asarray(rows[:, low] * (1 - weight) + rows[:, low + 1] * weight, dtype=np.float32)


def surface_classes(size: int) -> ByteGrid:
    """Return the class of every pixel: patches of three scales with sharp edges, as fields and forests have."""
    rng = np.random.default_rng([SEED, 1])
    field = smooth_field(size, 256, rng) + 0.8 * smooth_field(size, 64, rng) + 0.5 * smooth_field(size, 16, rng)
    edges = np.quantile(field[::7, ::7], [0.25, 0.50, 0.68, 0.84, 0.92, 0.95])
    classes: ByteGrid = np.digitize(field, edges).astype(np.uint8)
    return classes


def classification(date: int, classes: ByteGrid) -> ByteGrid:
    """Return the 20 m scene classification of one date; about 30 % of the whole set is cloud, shadow or cirrus."""
    rng = np.random.default_rng([SEED, 2, date])
    half = classes.shape[0] // 2
    field = smooth_field(half, max(half // 8, 16), rng) + 0.35 * smooth_field(half, max(half // 40, 8), rng)
    cover = (0.02, 0.55, 0.18, 0.32, 0.05, 0.45, 0.12, 0.62, 0.08, 0.26)[date % 10]
    high, medium, thin = np.quantile(field[::3, ::3], [1 - 0.7 * cover, 1 - 0.9 * cover, 1 - cover])
    scl = SCL_CLEAR[classes[::2, ::2]]
    shift = max(half // 60, 2)
    shadow = np.roll(field > medium, (shift, -shift), (0, 1))
    scl[shadow] = 3
    scl[field > thin] = 10
    scl[field > medium] = 8
    scl[field > high] = 9
    if date % 5 == 3:  # the edge of the orbit crosses the tile: nothing was seen in that corner
        row, column = np.ogrid[:half, :half]
        scl[row + 2 * column < half // 4] = 0
    return scl


def band_pixels(date: int, band: int, classes: ByteGrid, scl: ByteGrid) -> npt.NDArray[np.uint16]:
    """Return the digital numbers of one band and date; 0 where the sensor saw nothing."""
    size = classes.shape[0]
    season = np.float32(np.sin(np.pi * (date + 1) / (len(DATES) + 1)))
    spectrum = SPECTRA[:, band] * (1 - SEASON * (1 - season)) if band == 3 else SPECTRA[:, band]
    texture = smooth_field(size, 4, np.random.default_rng([SEED, 3, band]))
    rng = np.random.default_rng([SEED, 4, date, band])
    reflectance = spectrum[classes] * (1 + np.float32(0.08) * texture)
    reflectance += np.float32(NOISE[band]) * rng.standard_normal((size, size), dtype=np.float32)
    reflectance *= np.float32(1 + 0.03 * rng.standard_normal())  # what the atmospheric correction leaves behind
    fine = scl.repeat(2, 0).repeat(2, 1)
    bright = np.array([0, 0, 0, 0, 0, 0, 0, 0, 0.28, 0.55, 0.06, 0], dtype=np.float32)[fine]
    reflectance += bright * (1 + np.float32(0.2) * smooth_field(size, 32, rng))
    reflectance[fine == 3] *= np.float32(0.45)
    numbers: npt.NDArray[np.uint16] = np.clip(np.rint((reflectance - OFFSET) / SCALE), 1, 15000).astype(np.uint16)
    numbers[fine == 0] = NODATA
    return numbers


def write_cog(path: Path, pixels: npt.NDArray[Any], pixel_size: float, resampling: str) -> None:
    """Write one band as a COG the way the public archives keep them: deflate, horizontal predictor, 512 tiles."""
    height, width = pixels.shape
    profile = {"driver": "COG", "dtype": pixels.dtype.name, "count": 1, "height": height, "width": width}
    options = {"compress": "DEFLATE", "predictor": "2", "blocksize": 512, "overview_resampling": resampling}
    place = {"crs": CRS, "transform": from_origin(LEFT, TOP, pixel_size, pixel_size), "nodata": NODATA}
    with rasterio.open(path, "w", **profile, **options, **place) as target:
        target.write(pixels, 1)


def asset(name: str, href: str, size: int, pixel_size: float) -> dict[str, Any]:
    """Return the STAC 1.0 asset of one raster in the form that Earth Search gives Sentinel-2 assets."""
    transform = Affine(pixel_size, 0, LEFT, 0, -pixel_size, TOP)
    common: dict[str, Any] = {
        "href": href,
        "type": "image/tiff; application=geotiff; profile=cloud-optimized",
        "proj:shape": [size, size],
        "proj:transform": list(transform)[:6],
        "roles": ["data", "reflectance"],
    }
    if name == "scl":
        raster = {"nodata": NODATA, "data_type": "uint8", "spatial_resolution": pixel_size}
        return {**common, "title": "Scene classification map (SCL)", "raster:bands": [raster]}
    raster = {"nodata": NODATA, "data_type": "uint16", "bits_per_sample": 15, "spatial_resolution": pixel_size}
    band = {"name": name, "common_name": name, "center_wavelength": BANDS[name][1]}
    return {
        **common,
        "title": f"{name} - 10m",
        "gsd": pixel_size,
        "eo:bands": [band],
        "raster:bands": [{**raster, "scale": SCALE, "offset": OFFSET}],
    }


def item(date: int, size: int, scl: ByteGrid) -> dict[str, Any]:
    """Return the STAC item of one date; its assets lie beside it."""
    extent = size * PIXEL
    ring = [(LEFT, TOP), (LEFT, TOP - extent), (LEFT + extent, TOP - extent), (LEFT + extent, TOP), (LEFT, TOP)]
    geometry = transform_geom(CRS, "EPSG:4326", {"type": "Polygon", "coordinates": [ring]})
    longitudes, latitudes = zip(*geometry["coordinates"][0], strict=True)
    extensions = ("raster/v1.1.0", "projection/v1.1.0", "eo/v1.1.0", "grid/v1.0.0")
    assets = {name: asset(name, f"{stem}.tif", size, PIXEL) for name, (stem, _) in BANDS.items()}
    assets["scl"] = asset("scl", "SCL.tif", size // 2, 2 * PIXEL)
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [f"https://stac-extensions.github.io/{name}/schema.json" for name in extensions],
        "id": item_id(date),
        "collection": "sentinel-2-l2a",
        "geometry": {"type": "Polygon", "coordinates": [[list(point) for point in geometry["coordinates"][0]]]},
        "bbox": [min(longitudes), min(latitudes), max(longitudes), max(latitudes)],
        "properties": {
            "datetime": f"2023-{DATES[date]}T09:57:57.000000Z",
            "platform": "sentinel-2a",
            "constellation": "sentinel-2",
            "instruments": ["msi"],
            "eo:cloud_cover": round(100 * float(np.isin(scl, (8, 9, 10)).mean()), 6),
            "proj:epsg": 32633,
            "grid:code": "MGRS-33TWM",
            "s2:product_type": "S2MSI2A",
            "s2:processing_baseline": "05.09",
            "earthsearch:boa_offset_applied": False,
        },
        "links": [],
        "assets": assets,
    }


def item_id(date: int) -> str:
    """Return the id of the item of one date."""
    return f"S2A_33TWM_2023{DATES[date].replace('-', '')}_0_L2A"


def write_date(folder: Path, date: int, classes: ByteGrid) -> None:
    """Write the five rasters and the item of one date into its own folder."""
    place = folder / item_id(date)
    place.mkdir(parents=True)
    scl = classification(date, classes)
    write_cog(place / "SCL.tif", scl, 2 * PIXEL, "NEAREST")
    for band, (stem, _) in enumerate(BANDS.values()):
        write_cog(place / f"{stem}.tif", band_pixels(date, band, classes, scl), PIXEL, "AVERAGE")
    document = item(date, classes.shape[0], scl)
    (place / f"{document['id']}.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def synthetic(size: int = 4096) -> Inputs:
    """Return the synthetic set of `size` pixels, made first if it is not there (a few minutes for 4096)."""
    folder = DATA / f"synthetic-{size}-v{VERSION}"
    if not folder.exists():
        beside = folder.with_name(folder.name + ".partial")
        shutil.rmtree(beside, ignore_errors=True)
        classes = surface_classes(size)
        for date in range(len(DATES)):
            write_date(beside, date, classes)
            print(f"synthetic {size}: {date + 1}/{len(DATES)} dates", file=sys.stderr)
        beside.rename(folder)
    extent = size * PIXEL
    return Inputs((folder,), CRS, PIXEL, (LEFT, TOP - extent, LEFT + extent, TOP))


def real_data() -> Path:
    """Return the folder of the real scenes: ``TERRACUBE_DATA``, by default ``../shared/data`` beside the repository."""
    return Path(os.environ.get("TERRACUBE_DATA", REPOSITORY.parent / "shared" / "data"))


def real_33t() -> Inputs | None:
    """Return the two real tiles on the native 120 m grid of 33TWM, or None when they are not on this machine."""
    folders = tuple(real_data() / "sentinel2-l2a" / tile / "sentinel-2-l2a" for tile in ("33TWM", "33TWL"))
    if not all(folder.is_dir() for folder in folders):
        return None
    rows = 1748  # 33TWL ends half a pixel below the last of them
    bounds = (499980.0, 5200020.0 - 120 * rows, 609780.0, 5200020.0)
    # From row 833 on 33TWL is read, half a pixel off: every centre is a tie between two of its pixels, and GDAL's warp
    # takes the one or the other depending on the block, so that answers can be compared only above.
    return Inputs(folders, "EPSG:32633", 120.0, bounds, compared_rows=833)


def case(name: str) -> Inputs | None:
    """Return the inputs of a case by its name, ``synthetic-<pixels>`` or ``real-33T``."""
    return real_33t() if name == "real-33T" else synthetic(int(name.removeprefix("synthetic-")))


def main() -> None:
    """Make what a case reads and print it as JSON; ``null`` if the real scenes are not on this machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", default="synthetic-4096", help="synthetic-<pixels, an even number> or real-33T")
    inputs = case(parser.parse_args().case)
    print(json.dumps(inputs and {**asdict(inputs), "items": [str(folder) for folder in inputs.items]}))


if __name__ == "__main__":
    main()
