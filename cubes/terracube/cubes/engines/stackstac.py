"""The cube as stackstac reads it, for those who want to compare."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from pyproj import CRS
from rasterio.enums import Resampling

from terracube.cubes.crs import Bounds, project_bbox
from terracube.cubes.engines.layers import build, check_pixels
from terracube.cubes.engines.request import Batch, PeerRequest, lack, missing_extra, refuse

METHODS = ("nearest", "bilinear", "cubic", "average", "mode")


def load_stackstac(request: PeerRequest) -> xr.Dataset:
    """Load a resolved call with stackstac.

    stackstac is asked for each scene on its own, once per resampling method and type; scale, offset, mask and mosaic
    are ours. It rounds what it interpolates to the integers of the files before anything is scaled.

    Parameters
    ----------
    request : PeerRequest

    Returns
    -------
    xarray.Dataset
        As :func:`terracube.cubes.load` gives it; lazy if the request has chunks.

    Raises
    ------
    InputError
        If stackstac is not installed, or lacks what the call asks for.
    IntegrityError
        If it put its pixels elsewhere.
    """
    if _stack() is None:
        raise missing_extra("stackstac")
    refuse(request, "stackstac", METHODS)
    if request.plan.spec.overviews != "none":
        raise lack("stackstac", "reads no overviews", "overviews", request.plan.spec.overviews)
    _epsg(request)
    return build(request, _read)


def _stack() -> Any:
    try:
        return import_module("stackstac").stack
    except ImportError:
        return None


def _epsg(request: PeerRequest) -> int:
    """Give the code of the target CRS: stackstac knows no other name of it."""
    code = CRS.from_user_input(request.plan.grid.crs).to_epsg()
    if code is None:
        raise lack("stackstac", "takes EPSG codes alone", "grid", "a CRS without a code")
    return int(code)


def _read(request: PeerRequest, batch: Batch) -> Mapping[str, Any]:
    """Read the layers of a batch, scene by scene: (scene, y, x)."""
    found = _call(request, batch, _documents(request, batch))
    return {name: _layer(request, batch, found, name) for name in batch.names}


def _call(request: PeerRequest, batch: Batch, documents: list[dict[str, Any]]) -> xr.DataArray | None:
    """Ask for those scenes that reach the grid; ``None`` if there are none, which stackstac cannot say."""
    if not documents:
        return None
    grid, chunks = request.plan.grid, dict(request.chunks or {})
    found: xr.DataArray = _stack()(
        documents,
        assets=list(batch.names),
        epsg=_epsg(request),
        resolution=(grid.resolution.x, -grid.resolution.y),
        bounds=tuple(grid.bounds),
        snap_bounds=False,
        resampling=Resampling[batch.method],
        chunksize=(1, 1, chunks.get("y", -1), chunks.get("x", -1)),
        dtype=np.dtype(batch.dtype),
        fill_value=batch.number,
        rescale=False,
        sortby_date=False,
        xy_coords="center",
        properties=False,
        band_coords=False,
    )
    check_pixels(grid, found.y.values, found.x.values)
    return found if request.chunks is not None else found.compute()


def _layer(request: PeerRequest, batch: Batch, found: xr.DataArray | None, name: str) -> Any:
    """Give one layer of all scenes: those that stackstac left out because they lie elsewhere are empty."""
    bands = [] if found is None else list(found.band.values)
    there = {} if found is None or name not in bands else {int(key): at for at, key in enumerate(found.id.values)}
    nothing = _nothing(request, batch)
    layers = [
        found.data[there[number], bands.index(name)] if found is not None and number in there else nothing
        for number in range(len(request.scenes))
    ]
    return np.stack(layers)


def _nothing(request: PeerRequest, batch: Batch) -> Any:
    shape = tuple(request.plan.grid.shape)
    if request.chunks is None:
        return np.full(shape, batch.number)
    chunks = (request.chunks.get("y", -1), request.chunks.get("x", -1))
    return da.full(shape, batch.number, dtype=batch.dtype, chunks=chunks)


def _documents(request: PeerRequest, batch: Batch) -> list[dict[str, Any]]:
    """Make items that say where the files are and which box they cover on the target's map."""
    documents = []
    for number, scene in enumerate(request.scenes):
        boxes = {name: _box(request, number, name) for name in batch.names}
        if any(_overlap(box, request.plan.grid.bounds) for box in boxes.values()):
            properties = {"datetime": scene.acquired.isoformat(), "proj:epsg": _epsg(request)}
            assets = {name: _asset(request, number, name, box) for name, box in boxes.items()}
            documents.append({"id": str(number), "type": "Feature", "properties": properties, "assets": assets})
    return documents


def _box(request: PeerRequest, number: int, name: str) -> Bounds:
    source = request.sources(name)[number]
    if source.band != 1:
        raise lack("stackstac", "reads files of one band", name, f"band {source.band}")
    return project_bbox(source.grid.bounds, source.grid.crs, request.plan.grid.crs)


def _asset(request: PeerRequest, number: int, name: str, box: Bounds) -> dict[str, Any]:
    return {"href": request.sources(name)[number].location.href, "proj:bbox": list(box)}


def _overlap(one: Bounds, other: Bounds) -> bool:
    beside = one.left >= other.right or one.right <= other.left
    return not (beside or one.bottom >= other.top or one.top <= other.bottom)
