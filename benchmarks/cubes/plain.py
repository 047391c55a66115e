"""The yard-stick: the same pixels with rasterio alone, as short and as fast as it goes."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from contestant import Answer, Request, contest
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window


def files(request: Request) -> list[tuple[int, int, Path]]:
    """Return date, band and path of each raster."""
    found = []
    for date, path in enumerate(request.items):
        assets = json.loads(path.read_text(encoding="utf-8"))["assets"]
        found += [(date, band, path.parent / assets[name]["href"]) for band, name in enumerate(request.case.bands)]
    return found


def read(request: Request, path: Path, out: npt.NDArray[Any]) -> None:
    """Read the target's pixels of one raster on its own grid."""
    target = request.target
    with rasterio.open(path) as source:
        column, row = (round(edge) for edge in ~source.transform @ (target.left, target.top))
        source.read(1, window=Window(column, row, target.width, target.height), out=out)


def warp(request: Request, path: Path, out: npt.NDArray[Any]) -> None:
    """Read the target's pixels of one raster through GDAL's warper, whole or block by block."""
    target, side = request.target, request.case.block
    place = {"crs": target.crs, "transform": Affine(*target.affine), "height": target.height, "width": target.width}
    with (
        rasterio.open(path) as source,
        WarpedVRT(source, **place, resampling=Resampling[request.case.method], nodata=source.nodata) as vrt,
    ):
        rows, columns = (side or target.height), (side or target.width)
        for y in range(0, target.height, rows):
            for x in range(0, target.width, columns):
                part = out[y : y + rows, x : x + columns]
                vrt.read(1, window=Window(x, y, part.shape[1], part.shape[0]), out=part)


def load(request: Request, jobs: list[tuple[int, int, Path]]) -> Answer:
    """Read everything into one array, one raster per thread at a time."""
    shape = (len(request.items), len(request.case.bands), request.target.height, request.target.width)
    values = np.empty(shape, "uint16")
    one = warp if request.mode == "vrt" else read
    with ThreadPoolExecutor(request.threads) as pool:
        list(pool.map(lambda job: one(request, job[2], values[job[0], job[1]]), jobs))
    return Answer(values)


if __name__ == "__main__":
    contest("rasterio", files, {"load": load}, ("rasterio", "numpy"))
