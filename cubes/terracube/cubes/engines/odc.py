"""The cube as odc-stac reads it, for those who want to compare."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pystac
import xarray as xr
from pyproj import CRS

from terracube.cubes.crs import project_bbox
from terracube.cubes.engines.layers import build, check_pixels
from terracube.cubes.engines.request import Batch, PeerRequest, lack, missing_extra, refuse
from terracube.cubes.sources import Source

METHODS = ("nearest", "bilinear", "cubic", "average", "mode")
_EXTENSIONS = [
    "https://stac-extensions.github.io/projection/v1.1.0/schema.json",
    "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
]


def load_odc(request: PeerRequest) -> xr.Dataset:
    """Load a resolved call with odc-stac.

    odc-stac is asked for each scene on its own; scale, offset, mask and mosaic are ours. It is given items that say
    of their files what the headers say, since items are known to claim other shapes.

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
        If odc-stac is not installed, or lacks what the call asks for.
    IntegrityError
        If it put its pixels elsewhere.
    """
    if _load() is None:
        raise missing_extra("odc-stac")
    refuse(request, "odc-stac", METHODS)
    return build(request, _read)


def _load() -> Any:
    try:
        from odc.stac import load
    except ImportError:
        return None
    return load


def _read(request: PeerRequest, batch: Batch) -> Mapping[str, Any]:
    """Read the layers of a batch, scene by scene: (scene, y, x)."""
    keys = {name: _key(request, name) for name in batch.names}
    found = _load()(
        _items(request),
        bands=list(keys.values()),
        geobox=request.plan.grid.geobox,
        groupby="id",
        preserve_original_order=True,
        dtype=batch.dtype,
        nodata=batch.number,
        resampling=batch.method,
        chunks=None if request.chunks is None else dict(request.chunks),
        pool=os.cpu_count() if request.chunks is None else None,
        use_overviews=request.plan.spec.overviews != "none",
    )
    y, x = (axis for axis in found.dims if axis != "time")
    check_pixels(request.plan.grid, np.asarray(found[y]), np.asarray(found[x]))
    return {name: found[key].data for name, key in keys.items()}


def _key(request: PeerRequest, name: str) -> str:
    """Name a layer as odc-stac does: its asset, and the band in it."""
    bands = {source.band for source in request.sources(name)}
    if len(bands) > 1:
        raise lack("odc-stac", "reads the same band of every scene's file", name, ", ".join(map(str, sorted(bands))))
    return f"{_asset_key(request, name)}.{bands.pop()}"


def _asset_key(request: PeerRequest, name: str) -> str:
    return f"layer{request.layers.index(name)}"  # names with dots or hyphens mean something to odc-stac


def _items(request: PeerRequest) -> list[pystac.Item]:
    return [_item(request, number) for number in range(len(request.scenes))]


def _item(request: PeerRequest, number: int) -> pystac.Item:
    """Make an item that says where the files of a scene are and where their pixels lie."""
    scene = request.scenes[number]
    sources = {name: request.sources(name)[number] for name in request.layers}
    anywhere = next(iter(sources.values())).grid
    bbox = project_bbox(anywhere.bounds, anywhere.crs, "EPSG:4326")
    item = pystac.Item(
        id=f"{number:08d}",
        geometry={"type": "Polygon", "coordinates": [_ring(*bbox)]},
        bbox=list(bbox),
        datetime=scene.acquired,
        properties={},
        stac_extensions=_EXTENSIONS,
    )
    item.collection_id = "scenes"
    for name, source in sources.items():
        item.add_asset(_asset_key(request, name), _asset(source))
    return item


def _ring(west: float, south: float, east: float, north: float) -> list[list[float]]:
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def _asset(source: Source) -> pystac.Asset:
    code = CRS.from_user_input(source.grid.crs).to_epsg()
    crs = {"proj:epsg": code} if code else {"proj:epsg": None, "proj:wkt2": source.grid.crs}
    band = {"data_type": source.dtype}
    fields = {
        **crs,
        "proj:shape": list(source.grid.shape),
        "proj:transform": list(source.grid.transform)[:6],
        "raster:bands": [band] * source.band,
    }
    return pystac.Asset(
        source.location.href, media_type="image/tiff; application=geotiff", roles=["data"], extra_fields=fields
    )
