"""Grids of what others made: xarray objects with coordinates, geoboxes of odc-geo."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS
from pyproj.exceptions import CRSError

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.crs import to_crs_text
from terracube.cubes.grid import YX, Grid

GridLike = Grid | GeoBox | xr.Dataset | xr.DataArray | dict[str, Any]

_PAIRS = (("y", "x"), ("latitude", "longitude"), ("lat", "lon"), ("northing", "easting"), ("Y", "X"))
_STANDARD = {
    "y": ("projection_y_coordinate", "latitude", "grid_latitude"),
    "x": ("projection_x_coordinate", "longitude", "grid_longitude"),
}
_MAPPINGS = ("spatial_ref", "crs")
# Coordinates may lie this far from a regular grid, in pixels: single precision keeps no more of degrees.
_UNEVEN = 5e-3


def to_grid(grid: GridLike) -> Grid:
    """Accept a grid in any of its shapes: ours, one of odc-geo, an xarray object, or what ``Grid.as_dict`` gave.

    Raises
    ------
    InputError, MetadataError
        If it is none of these, or not a regular north-up grid.
    """
    if isinstance(grid, Grid):
        return grid
    if isinstance(grid, xr.Dataset | xr.DataArray):
        return grid_like(grid)
    if isinstance(grid, GeoBox):
        return Grid.from_geobox(grid)
    if isinstance(grid, dict):
        return Grid.from_dict(grid)
    raise InputError(
        "this is no grid", where="grid", expected="a Grid, an odc GeoBox, or an xarray object", got=type(grid).__name__
    )


def grid_like(data: xr.Dataset | xr.DataArray) -> Grid:
    """Take the grid of an xarray object, from its coordinates and its CRS.

    Parameters
    ----------
    data
        With a CRS as CF, rioxarray, odc-geo or stackstac keep it, and regular coordinates of pixel centres. Rows may
        run north or south; the grid is north-up.

    Raises
    ------
    MetadataError
        If the CRS is missing, the coordinates are not regular, or they contradict the GeoTransform.
    """
    y_name, x_name = _dimensions(data)
    mapping = _mapping_attrs(data)
    crs = _crs(data, mapping)
    told = _geotransform(mapping)
    shape = (data.sizes[y_name], data.sizes[x_name])
    steps = {name: _regular(data, name) for name in (y_name, x_name)}
    if told is not None and told.e > 0 and not (told.b or told.d):
        told = Affine(told.a, 0, told.c, 0, -told.e, told.f + told.e * shape[0])
    if None in steps.values():
        if told is None:
            raise MetadataError(
                "the pixel size is not known",
                where=f"{y_name}, {x_name}",
                expected="coordinates of two pixels or more, or a GeoTransform",
                got=f"{shape[0]} x {shape[1]} pixels",
                todo="write one with ds.rio.write_transform",
            )
        steps = {name: found or _alone(data, name, told, name == y_name) for name, found in steps.items()}
    (y_edge, y_step), (x_edge, x_step) = (steps[name] or (0.0, 0.0) for name in (y_name, x_name))
    if y_step > 0:
        y_edge, y_step = y_edge + y_step * shape[0], -y_step
    grid = Grid.from_affine(crs, Affine(x_step, 0.0, x_edge, 0.0, y_step, y_edge), shape)
    return grid if told is None else _among(Grid.from_affine(crs, told, shape), grid, f"{y_name}, {x_name}")


def _alone(data: xr.Dataset | xr.DataArray, name: str, told: Affine, rows: bool) -> tuple[float, float]:
    """Give edge and step of an axis with one pixel: its size is told by the GeoTransform, its place by itself."""
    edge, step = (told.f, told.e) if rows else (told.c, told.a)
    if name not in data.coords or data.coords[name].ndim != 1 or not data.coords[name].size:
        return edge, step
    return float(data.coords[name].values[0]) - step / 2, step


def _among(told: Grid, seen: Grid, where: str) -> Grid:
    """Give the pixels that the coordinates name, with the exact edges that the GeoTransform tells.

    What was selected from a dataset keeps the GeoTransform of the whole: its pixels are some of the same, or every
    n-th of them. Anything else is a contradiction.
    """
    places = []
    for axis in (0, 1):
        size = told.resolution[axis]
        ratio = seen.resolution[axis] / size
        every = max(1, round(ratio))
        edges = [(grid.offset[axis] + grid.phase[axis]) * grid.resolution[axis] for grid in (seen, told)]
        # Centres of every n-th pixel lie (n - 1) / 2 pixels after the edge of their own first one.
        start = (edges[0] - edges[1]) / size + (every - 1) / 2
        slack = 2 * _UNEVEN * max(told.shape)
        if abs(ratio - every) * told.shape[axis] > slack or abs(start - round(start)) > min(slack, 0.25):
            raise MetadataError(
                "the coordinates contradict the GeoTransform",
                where=where,
                expected=str(tuple(told.bounds)),
                got=str(tuple(seen.bounds)),
                todo="drop the GeoTransform of the grid mapping, or correct the coordinates",
            )
        places.append((every, round(start)))
    if any(every > 1 for every, _ in places):
        return seen
    return told.window(YX(places[0][1], places[1][1]), seen.shape)


def _dimensions(data: xr.Dataset | xr.DataArray) -> tuple[str, str]:
    for y_name, x_name in _PAIRS:
        if y_name in data.sizes and x_name in data.sizes:
            return y_name, x_name
    found = {axis: [name for name in map(str, data.sizes) if _is_axis(data, name, axis)] for axis in ("y", "x")}
    if len(found["y"]) == 1 and len(found["x"]) == 1:
        return found["y"][0], found["x"][0]
    raise MetadataError(
        "which dimensions are rows and columns is not known",
        expected="y and x, or latitude and longitude, or coordinates with CF attributes",
        got=", ".join(map(str, data.sizes)),
        todo='rename them: ds.rename({"row": "y", "col": "x"})',
    )


def _is_axis(data: xr.Dataset | xr.DataArray, name: str, axis: str) -> bool:
    attrs = data.coords[name].attrs if name in data.coords else {}
    return str(attrs.get("axis", "")).lower() == axis or attrs.get("standard_name") in _STANDARD[axis]


def _mapping_attrs(data: xr.Dataset | xr.DataArray) -> Mapping[str, Any]:
    """Give the attributes of the grid mapping variable; empty if there is none."""
    for name in (*_mapping_names(data), *_MAPPINGS):
        if name in data.coords:
            return {str(key): value for key, value in data.coords[name].attrs.items()}
        if isinstance(data, xr.Dataset) and name in data.data_vars:
            return {str(key): value for key, value in data[name].attrs.items()}
    return {}


def _mapping_names(data: xr.Dataset | xr.DataArray) -> Iterator[str]:
    layers = [data, *data.data_vars.values()] if isinstance(data, xr.Dataset) else [data]
    for layer in layers:
        name = layer.encoding.get("grid_mapping", layer.attrs.get("grid_mapping"))
        if isinstance(name, str):
            yield name


def _crs(data: xr.Dataset | xr.DataArray, mapping: Mapping[str, Any]) -> str:
    """Give the CRS, from the grid mapping, or where stackstac and GeoZarr keep it."""
    told = [
        mapping.get("crs_wkt"),
        mapping.get("spatial_ref"),
        data.attrs.get("proj:code"),
        data.attrs.get("proj:wkt2"),
    ]
    if "epsg" in data.coords and data.coords["epsg"].ndim == 0:
        told.append(int(data.coords["epsg"]))
    for text in (*told, data.attrs.get("crs")):
        if text is not None and str(text).strip():
            return to_crs_text(text)
    if mapping.get("grid_mapping_name"):
        try:
            return to_crs_text(CRS.from_cf(dict(mapping)))
        except (CRSError, KeyError, TypeError, ValueError) as error:
            raise MetadataError("the grid mapping is unreadable", got=str(error)[:200]) from error
    raise MetadataError(
        "the CRS is not known",
        expected="a grid mapping variable such as spatial_ref",
        got="none",
        todo='write it: ds.rio.write_crs("EPSG:32633")',
    )


def _geotransform(mapping: Mapping[str, Any]) -> Affine | None:
    told = mapping.get("GeoTransform")
    if told is None:
        return None
    try:
        c, a, b, f, d, e = (float(part) for part in (told.split() if isinstance(told, str) else told))
    except (TypeError, ValueError, AttributeError) as error:
        raise MetadataError("the GeoTransform is unreadable", expected="six numbers", got=repr(told)[:120]) from error
    return Affine(a, b, c, d, e, f)


def _regular(data: xr.Dataset | xr.DataArray, name: str) -> tuple[float, float] | None:
    """Give the outer edge of the first pixel and the step between pixels; ``None`` if there are no two of them."""
    if name not in data.coords or data.coords[name].ndim != 1:
        return None
    values: NDArray[Any] = np.asarray(data.coords[name].values)
    if values.dtype.kind not in "iuf":
        raise MetadataError("coordinates are no numbers", where=name, got=str(values.dtype))
    places = values.astype("float64")
    if places.size < 2:
        return None
    step = _recovered(places)
    ideal = places[0] + step * np.arange(places.size)
    if not (np.isfinite(places).all() and step and float(np.abs(places - ideal).max()) <= _UNEVEN * abs(step)):
        raise MetadataError(
            "the coordinates are not regular",
            where=name,
            expected="equal steps",
            got=f"{places[0]:g}, {places[1]:g}, ..., {places[-1]:g}",
            todo="give a grid by crs and resolution",
        )
    return float(places[0]) - step / 2, step


def _recovered(places: NDArray[np.float64]) -> float:
    """Give the step between places; the short number, where rounding alone can have made another one of it."""
    step = float(places[-1] - places[0]) / (places.size - 1)
    short = float(f"{step:.9g}")
    noise = 2 * float(np.spacing(np.abs(places).max())) / (places.size - 1)
    return short if abs(short - step) <= noise else step
