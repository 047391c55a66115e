"""Make the seeded inputs of the ingest benchmark, and say where those of a case are.

One band of the composite benchmark's scenes (uint16, compresses as real ones do) as uncompressed GeoTIFF and as
lossless JPEG 2000 with tiles of 1024; a scene of four bands and classes as uncompressed GeoTIFF with its STAC item; and
a table of observations with local times, two units and values below detection. Written once below
``benchmarks/data/``.

    python benchmarks/ingest/data.py --case plain
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import rasterio
from rasterio.transform import from_origin

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from composite import data as composite  # noqa: E402  the folder above has to be known first
from ingest.cases import CLASSES, Case, case_of  # noqa: E402

DATA = HERE.parent / "data"
VERSION = 1  # raise when the contents change: an older set is then made again
DATE, RED = 2, 2
SEED = 20230810
LOSSLESS = {"REVERSIBLE": "YES", "QUALITY": "100", "BLOCKXSIZE": 1024, "BLOCKYSIZE": 1024}
STATIONS, YEARS = 400, 4
CENSORED, EMPTY = 0.03, 0.01
# Name in the file, variable, unit in the file, factor to the canonical unit, typical value, digits.
PARAMETERS = (
    ("Total nitrogen", "tn", "mg/L", 1.0, 1.2, 3),
    ("Total phosphorus", "tp", "ug/L", 0.001, 60.0, 1),
    ("Chlorophyll a", "chlorophyll_a", "ug/L", 1.0, 15.0, 2),
    ("Water temperature", "water_temperature", "degC", 1.0, 14.0, 1),
)
MAPPING = """\
kind: csv
about: {title: Monitoring of lakes (benchmark)}
layout: {delimiter: ",", encoding: utf-8}
station: {column: Station}
time: {column: Sampled, format: "%d.%m.%Y %H:%M", zone: Europe/Rome}
position: {lon: Longitude, lat: Latitude, crs: "EPSG:4326"}
depth: {column: Depth}
long:
  variable_column: Parameter
  value_column: Result
  unit_column: Unit
  variables:
"""


def write(path: Path, pixels: npt.NDArray[Any], pixel_size: float, driver: str, **options: Any) -> None:
    """Write one raster."""
    place = {"crs": composite.CRS, "transform": from_origin(composite.LEFT, composite.TOP, pixel_size, pixel_size)}
    height, width = pixels.shape
    shape = {"dtype": pixels.dtype.name, "count": 1, "height": height, "width": width}
    # The number for missing of a JPEG 2000 would lie in a side-car file, which would tell only some contestants.
    nodata = {"nodata": 0} if driver == "GTiff" else {}
    with rasterio.open(path, "w", driver=driver, **shape, **place, **nodata, **options) as out:
        out.write(pixels, 1)


def make_raster(folder: Path, case: Case) -> None:
    """Write one band in the form of the case."""
    classes = composite.surface_classes(case.size)
    pixels = composite.band_pixels(DATE, RED, classes, composite.classification(DATE, classes))
    if case.name.startswith("jp2"):
        write(folder / "red.jp2", pixels, composite.PIXEL, "JP2OpenJPEG", **LOSSLESS)
    else:
        write(folder / "red.tif", pixels, composite.PIXEL, "GTiff")


def make_scene(folder: Path, case: Case) -> None:
    """Write the bands of one date uncompressed, with their item."""
    classes = composite.surface_classes(case.size)
    scl = composite.classification(DATE, classes)
    place = folder / composite.item_id(DATE)
    place.mkdir()
    write(place / f"{CLASSES}.tif", scl, 2 * composite.PIXEL, "GTiff")
    for band, (stem, _) in enumerate(composite.BANDS.values()):
        write(place / f"{stem}.tif", composite.band_pixels(DATE, band, classes, scl), composite.PIXEL, "GTiff")
    told = json.dumps(composite.item(DATE, case.size, scl), indent=2)
    (place / f"{place.name}.json").write_text(told + "\n", encoding="utf-8")


def make_table(folder: Path, case: Case) -> None:
    """Write observations, one per row, and what the columns mean."""
    rng = np.random.default_rng([SEED, case.size])
    rows = case.size
    station = rng.integers(0, STATIONS, rows)
    places = np.round(rng.uniform((8.0, 44.0), (14.0, 47.0), (STATIONS, 2)), 5)
    days = np.datetime64("2019-01-01") + rng.integers(0, 365 * YEARS, rows).astype("timedelta64[D]")
    # By day, so that no local time is one that a change of clocks has twice or never.
    moments = pd.DatetimeIndex(days + rng.integers(6 * 60, 18 * 60, rows).astype("timedelta64[m]"))
    which = rng.integers(0, len(PARAMETERS), rows)
    typical = np.array([told[4] for told in PARAMETERS])[which]
    digits = np.array([told[5] for told in PARAMETERS])[which]
    values = typical * rng.lognormal(0.0, 0.4, rows)
    results = np.array([f"{value:.{digit}f}" for value, digit in zip(values, digits, strict=True)], dtype=object)
    chance = rng.random(rows)
    below = chance < CENSORED
    results[below] = "<" + results[below]
    results[(chance >= CENSORED) & (chance < CENSORED + EMPTY)] = ""
    table = pd.DataFrame(
        {
            "Station": [f"L{number:04d}" for number in station],
            "Sampled": moments.strftime("%d.%m.%Y %H:%M"),
            "Longitude": places[station, 0],
            "Latitude": places[station, 1],
            "Depth": rng.choice([0.5, 1.0, 2.0, 5.0, 10.0], rows),
            "Parameter": np.array([told[0] for told in PARAMETERS], dtype=object)[which],
            "Result": results,
            "Unit": np.array([told[2] for told in PARAMETERS], dtype=object)[which],
        }
    )
    table.to_csv(folder / "lakes.csv", index=False)
    lines = [f"    {name}: {{variable: {variable}, unit: {unit}}}\n" for name, variable, unit, *_ in PARAMETERS]
    (folder / "lakes.yaml").write_text(MAPPING + "".join(lines), encoding="utf-8")


MAKERS: dict[str, Callable[[Path, Case], None]] = {"raster": make_raster, "scene": make_scene, "table": make_table}


def inputs(case: Case) -> dict[str, Any]:
    """Return the folder of a case's inputs, made first if it is not there."""
    folder = DATA / f"ingest-{case.name}-v{VERSION}"
    if not folder.exists():
        beside = folder.with_name(folder.name + ".partial")
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        MAKERS[case.kind](beside, case)
        beside.rename(folder)
    return {"folder": str(folder)}


def main() -> None:
    """Make what a case reads and print where it is, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", required=True)
    print(json.dumps(inputs(case_of(parser.parse_args().case))))


if __name__ == "__main__":
    main()
