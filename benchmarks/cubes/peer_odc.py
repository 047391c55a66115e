"""The jobs as a careful user of odc-stac, xarray and dask writes them."""

from __future__ import annotations

import warnings
from typing import Any

import dask
import numpy as np
import odc.stac
import xarray as xr
from affine import Affine
from contestant import Answer, Request, contest
from cubes.cases import MASKED_CLASSES, NODATA
from graphs import Stacked, graph_notes, read_items
from odc.geo.geobox import GeoBox
from zarr.codecs import BloscCodec

SCALE = np.float32(0.0001)
warnings.filterwarnings("ignore", category=PendingDeprecationWarning)
warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)


def geobox(request: Request) -> GeoBox:
    """Return the target's pixels."""
    target = request.target
    return GeoBox((target.height, target.width), Affine(*target.affine), target.crs)


def open_cube(request: Request, items: list[Any], bands: tuple[str, ...], chunks: dict[str, int] | None) -> xr.Dataset:
    """Load the items, each one a step; classes are never blended."""
    return odc.stac.load(
        items,
        bands=bands,
        geobox=geobox(request),
        groupby="id",
        resampling={"scl": "nearest", "*": request.case.method},
        chunks=chunks,
        pool=request.threads if chunks is None else None,
    )


def load(request: Request, items: list[Any]) -> Answer:
    """Load everything: at once by its own threads, or lazily and computed by dask's."""
    side = request.case.block or 2048
    chunks = None if request.mode == "eager" else {"y": side, "x": side}
    cube = open_cube(request, items, request.case.bands, chunks)
    if chunks is None:
        return Answer(Stacked(cube, request.case.bands))
    with dask.config.set(scheduler="threads", num_workers=request.threads):
        return Answer(Stacked(cube.compute(), request.case.bands), notes=lambda: graph_notes(cube))


def median(request: Request, items: list[Any]) -> Answer:
    """Mask clouds, take the median of all dates, write reflectance to Zarr."""
    side = request.case.block or 512
    cube = open_cube(request, items, (*request.case.bands, "scl"), {"y": side, "x": side}).chunk(time=-1)
    clear = ~cube.scl.isin(MASKED_CLASSES)
    layers = {
        band: cube[band].where(clear & (cube[band] != NODATA)).median("time").astype("float32") * SCALE
        for band in request.case.bands
    }
    product = xr.Dataset(layers)
    store = request.out / "median.zarr"
    codec = {"compressors": (BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"),), "chunks": (side, side)}
    encoding = dict.fromkeys(request.case.bands, codec)
    with dask.config.set(scheduler="threads", num_workers=request.threads):
        product.to_zarr(store, mode="w", zarr_format=3, consolidated=False, encoding=encoding)
    return Answer(zarr=store, notes=lambda: graph_notes(product))


def open_lazily(request: Request, items: list[Any]) -> Answer:
    """Open many items lazily; the items are in memory already."""
    side = request.case.block
    cube = open_cube(request, items, request.case.bands, {"y": side, "x": side})
    return Answer(notes=lambda: graph_notes(cube))


if __name__ == "__main__":
    contest(
        "odc-stac",
        read_items,
        {"load": load, "median": median, "open": open_lazily},
        ("odc-stac", "odc-loader", "odc-geo", "xarray", "dask", "numpy", "rasterio", "zarr"),
    )
