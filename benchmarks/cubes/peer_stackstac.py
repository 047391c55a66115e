"""The jobs as a careful user of stackstac writes them: the type of the files instead of its default float64."""

from __future__ import annotations

import warnings
from typing import Any

import dask
import numpy as np
import stackstac
from contestant import Answer, Request, contest
from graphs import graph_notes, read_items
from rasterio.enums import Resampling

warnings.filterwarnings("ignore", category=PendingDeprecationWarning)


def prepare(request: Request) -> list[Any]:
    """Return the items with absolute addresses: stackstac does not resolve others."""
    items = read_items(request)
    for item in items:
        item.make_asset_hrefs_absolute()
    return items


def load(request: Request, items: list[Any]) -> Answer:
    """Stack the items and compute the array."""
    target, case = request.target, request.case
    side = case.block or 2048
    cube = stackstac.stack(
        items,
        assets=list(case.bands),
        epsg=int(target.crs.removeprefix("EPSG:")),
        resolution=target.resolution,
        bounds=target.bounds,
        snap_bounds=False,
        resampling=Resampling[case.method],
        chunksize=side,
        dtype=np.dtype("uint16"),
        fill_value=np.uint16(0),
        rescale=False,
        properties=False,
        band_coords=False,
    )
    with dask.config.set(scheduler="threads", num_workers=request.threads):
        return Answer(cube.compute().values, notes=lambda: graph_notes(cube))


if __name__ == "__main__":
    contest("stackstac", prepare, {"load": load}, ("stackstac", "xarray", "dask", "numpy", "rasterio", "pandas"))
