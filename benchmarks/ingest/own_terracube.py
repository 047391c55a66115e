"""TerraCube does the jobs; what it does more (read back, compare, checksums, quality) is part of them."""

from __future__ import annotations

import subprocess
import sys

from contestant import Request, contest
from ingest.cases import COLLECTION, RESAMPLING

from terracube.cubes.storage import Layer, write_cog
from terracube.ingest.insitu.mapping import load_mapping
from terracube.ingest.insitu.parquet import write_partitions
from terracube.ingest.insitu.read import read_observations
from terracube.ingest.insitu.store import ingest_insitu
from terracube.ingest.rasters import head
from terracube.stac import Catalog

TERRACUBE = (sys.executable, "-m", "terracube.cli.main")


def convert(request: Request) -> None:
    """Write one raster as a COG, verified."""
    known = head(request.raster, largest=20000, where=request.raster.name)
    layer = Layer("red", "Red", known.dtypes[0], "1", known.nodata[0], RESAMPLING)
    pixels = known.pixels()
    write_cog(request.out / "red.tif", pixels.rows, known.grid, layer, threads=request.threads, strip=pixels.step)


def scene(request: Request) -> None:
    """Take a scene into a catalogue, as its user does."""
    root = str(request.out / "catalog")
    ingest = ("ingest", COLLECTION, str(request.folder), "--into", root, "--jobs", str(request.threads))
    for arguments in (("init", root), ingest):
        subprocess.run([*TERRACUBE, *arguments], check=True, stdout=subprocess.DEVNULL)


def table(request: Request) -> None:
    """Read observations by their mapping and write them as GeoParquet."""
    found = read_observations(request.folder / "lakes.csv", load_mapping(request.folder / "lakes.yaml"))
    write_partitions(found.table, request.out / "table")


def insitu(request: Request) -> None:
    """Take observations into a catalogue, with every test of their quality."""
    catalog = Catalog.create(request.out / "catalog")
    report = ingest_insitu([request.folder / "lakes.csv"], load_mapping(request.folder / "lakes.yaml"), catalog)
    if not report.taken:
        raise SystemExit(f"nothing came in: {report.as_dict()}")


if __name__ == "__main__":
    jobs = {"convert": convert, "scene": scene, "table": table, "insitu": insitu}
    contest("terracube", jobs, ("terracube", "rasterio", "numpy", "pandas", "pyarrow"))
