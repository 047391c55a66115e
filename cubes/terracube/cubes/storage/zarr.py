"""Zarr version 3: one group per product, readable by xarray, GDAL and GeoZarr readers.

The group carries CF coordinates and grid mapping (what today's GDAL and rioxarray read) and the attributes of the
GeoZarr conventions ``proj`` and ``spatial`` v0.1 (https://github.com/zarr-conventions). Chunks are not sharded,
because GDAL before 3.13 cannot read shards.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from pyproj import CRS
from zarr.codecs import BloscCodec
from zarr.errors import ZarrUserWarning

from terracube.core.errors import IntegrityError
from terracube.core.files import storage_error
from terracube.cubes.grid import Grid
from terracube.cubes.storage.layers import Layer, RowReader, strips

CHUNK = 512
_CONVENTIONS = {
    "proj": ("f17cb550-5864-4468-aeb7-f3180cfb622f", "Coordinate reference system of the data"),
    "spatial": ("689b58e2-cf7b-45e0-9fff-9cfc0883d6b4", "Place of the pixels in the coordinate reference system"),
}


def write_group(folder: Path, source: RowReader, grid: Grid, layers: Sequence[Layer], *, title: str) -> None:
    """Write layers into a new Zarr v3 group, a strip of chunks at a time, and compare what was stored.

    Parameters
    ----------
    folder : Path
        A folder that does not exist yet, inside a staging folder.
    source : RowReader
        Where the rows come from.
    grid, layers, title
        What they are.

    Raises
    ------
    IntegrityError
        If a value does not fit the layer's type, or what was read back is not what was written.
    StorageError
        If the disk refuses.
    """
    try:
        _write_group(folder, source, grid, layers, title)
    except OSError as error:
        raise storage_error(error, folder) from error


def _write_group(folder: Path, source: RowReader, grid: Grid, layers: Sequence[Layer], title: str) -> None:
    group = zarr.create_group(str(folder), zarr_format=3, attributes=_group_attributes(grid, title))
    _write_coordinates(group, grid)
    for number, layer in enumerate(layers):
        array = group.create_array(
            layer.name,
            shape=tuple(grid.shape),
            chunks=(min(CHUNK, grid.shape.y), min(CHUNK, grid.shape.x)),
            dtype=layer.dtype,
            fill_value=0 if layer.missing is None else layer.missing,
            dimension_names=("y", "x"),
            compressors=BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"),
            attributes=_layer_attributes(grid, layer),
        )
        for start, stop in strips(grid.shape.y, CHUNK):
            strip = layer.encode(source.rows(number, start, stop))
            array[start:stop] = strip
            if not np.array_equal(np.asarray(array[start:stop]), strip, equal_nan=strip.dtype.kind == "f"):
                raise IntegrityError("Zarr chunks read back are not those written", where=f"{layer.name}, row {start}")
    with warnings.catch_warnings():
        # Consolidated metadata are not part of the Zarr v3 specification yet; readers that look for them open the
        # group in one read, others pass them over.
        warnings.simplefilter("ignore", ZarrUserWarning)
        zarr.consolidate_metadata(str(folder))


def _spatial(grid: Grid) -> dict[str, Any]:
    return {
        **_projection(grid),
        "spatial:dimensions": ["y", "x"],
        "spatial:transform": list(grid.transform)[:6],
        "spatial:shape": list(grid.shape),
        "spatial:bbox": list(grid.bounds),
    }


def _projection(grid: Grid) -> dict[str, str]:
    # GDAL 3.12 reads the WKT and not the code; others the code and not the WKT: both are written.
    wkt = CRS.from_user_input(grid.crs).to_wkt("WKT2_2019")
    return {"proj:wkt2": wkt} | ({} if "[" in grid.crs else {"proj:code": grid.crs})


def _group_attributes(grid: Grid, title: str) -> dict[str, Any]:
    conventions = [
        {
            "schema_url": f"https://raw.githubusercontent.com/zarr-conventions/{name}/refs/tags/v0.1/schema.json",
            "spec_url": f"https://github.com/zarr-conventions/{name}/blob/v0.1/README.md",
            "uuid": uuid,
            "name": name,
            "description": description,
        }
        for name, (uuid, description) in _CONVENTIONS.items()
    ]
    return {"Conventions": "CF-1.11", "title": title, "zarr_conventions": conventions, **_spatial(grid)}


def _layer_attributes(grid: Grid, layer: Layer) -> dict[str, Any]:
    return {
        "long_name": layer.title,
        "units": layer.unit,
        "grid_mapping": "spatial_ref",
        "coordinates": "spatial_ref",
        # A number that stands for missing; NaN needs no telling.
        **({} if layer.missing is None or math.isnan(layer.missing) else {"missing_value": layer.missing}),
        **_spatial(grid),
    }


def _write_coordinates(group: zarr.Group, grid: Grid) -> None:
    crs = CRS.from_user_input(grid.crs)
    facts = {axis["axis"].lower(): axis for axis in crs.cs_to_cf()}
    for name, values in zip(("y", "x"), grid.centres(), strict=True):
        attributes = facts.get(name, {}) | {"axis": name.upper()}
        array = group.create_array(
            name, shape=values.shape, dtype="float64", dimension_names=(name,), attributes=attributes
        )
        array[:] = values
    transform = grid.transform
    geo = (transform.c, transform.a, transform.b, transform.f, transform.d, transform.e)
    mapping = crs.to_cf() | {"GeoTransform": " ".join(repr(v) for v in geo)}
    reference = group.create_array("spatial_ref", shape=(), dtype="int64", attributes=mapping)
    reference[...] = 0
