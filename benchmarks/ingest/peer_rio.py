"""The commands that a careful user calls: `rio cogeo create` for each raster, `rio stac` for each result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from contestant import Request, contest
from ingest.cases import CLASSES, COG_OPTIONS, COLLECTION, RESAMPLING

RIO = Path(sys.executable).with_name("rio")


def call(request: Request, *arguments: str) -> None:
    """Call the command to its end."""
    settings = {**os.environ, "GDAL_NUM_THREADS": str(request.threads)}
    subprocess.run([str(RIO), *arguments], check=True, stdout=subprocess.DEVNULL, env=settings)


def cogeo(request: Request, source: Path, target: Path, resampling: str) -> None:
    """Convert one raster."""
    call(
        request,
        *("cogeo", "create", str(source), str(target), "--cog-profile", "deflate", "--quiet", "--no-in-memory"),
        *(f"--overview-resampling={resampling}", f"--blocksize={COG_OPTIONS['BLOCKSIZE']}"),
        *("--co", f"ZLEVEL={COG_OPTIONS['LEVEL']}", "--co", "PREDICTOR=2", f"--threads={request.threads}"),
    )


def convert(request: Request) -> None:
    """Convert one raster."""
    cogeo(request, request.raster, request.out / "red.tif", RESAMPLING)


def scene(request: Request) -> None:
    """Convert the rasters of a scene and describe each; the date is copied by hand from the delivered item."""
    [folder] = [path for path in request.folder.iterdir() if path.is_dir()]
    told = json.loads((folder / f"{folder.name}.json").read_text(encoding="utf-8"))
    for source in sorted(folder.glob("*.tif")):
        target = request.out / source.name
        cogeo(request, source, target, "mode" if source.stem == CLASSES else RESAMPLING)
        call(
            request,
            *("stac", str(target), "--datetime", told["properties"]["datetime"], "--collection", COLLECTION),
            *("--id", f"{folder.name}_{source.stem}", "--output", str(target.with_suffix(".json"))),
        )


if __name__ == "__main__":
    contest("rio", {"convert": convert, "scene": scene}, ("rio-cogeo", "rio-stac", "rasterio"))
