"""Regional models without hard borders: weights of regions that fade into each other, and blended probabilities.

A model for each eco-climatic region knows its region better than one for all, but a hard cut between two models shows
on the map. Here every region reaches ``width`` beyond its border, with a weight that falls from 1 to 0 by half a
cosine of the distance; the weights of a pixel are divided by their sum. On a border between two regions both weigh
half, and a pixel farther than ``width`` inside a region hears its model alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.digest import sha256_of
from terracube.core.errors import ConflictError, EmptyResultError, InputError, MetadataError
from terracube.cubes import YX, Grid
from terracube.cubes.layout import georeference
from terracube.processing.kernels.segments import nearest_square

if TYPE_CHECKING:
    import geopandas

_BLOCK = 512
_LEAST_BLOCK = 32
_CHUNK_BYTES = 64 << 20
_MOST_REGIONS = 4096


@dataclass(frozen=True, eq=False, slots=True)
class _Region:
    """A region as what the weights need of it."""

    shape: Any
    """A shapely (multi)polygon, prepared."""
    segments: NDArray[np.float64]
    """(n, 4) ``x0, y0, x1, y1`` of its borders, holes included."""


def region_weights(
    regions: geopandas.GeoDataFrame,
    grid: Grid,
    *,
    name: str = "region",
    width: float,
    beyond: Literal["missing", "nearest"] = "missing",
    block: int = _BLOCK,
) -> xr.DataArray:
    """Make the weight of each region at each pixel of a grid, lazily.

    Parameters
    ----------
    regions : GeoDataFrame
        Polygons; those of the same name are one region. Brought to the CRS of the grid.
    grid : Grid
    name : str
        Column that holds the name of the region.
    width : float
        How far a region reaches beyond its border, in units of the CRS of the grid; 0 is a hard cut.
    beyond : {"missing", "nearest"}
        Pixels farther than ``width`` from all regions: NaN, or the nearest region alone.
    block : int
        Pixels along each side of a chunk, fewer where there are many regions; values do not depend on it.

    Returns
    -------
    DataArray (region, y, x) of float32
        From 0 to 1, summing to 1 over the regions, which are in the order of their names. The value of a pixel depends
        on its centre alone.

    Raises
    ------
    MetadataError
        If the regions have no CRS.
    InputError
        If there is no such column, a region has no name or no area, or the width is below 0.
    EmptyResultError
        If there are no regions.
    """
    import dask.array as da

    if not (math.isfinite(width) and width >= 0) or block < 1 or beyond not in ("missing", "nearest"):
        raise InputError(
            "weights of regions cannot be made so",
            where="width, block, beyond",
            expected="a width of 0 or above, a block of 1 or more, missing or nearest",
            got=f"{width}, {block}, {beyond!r}"[:200],
        )
    names, parts = _named(regions, name, grid)
    # A chunk holds the weights of all regions: of many, fewer pixels.
    block = min(block, max(_LEAST_BLOCK, math.isqrt(_CHUNK_BYTES // (8 * len(parts)))))
    rows, columns = grid.chunks(block)
    make = partial(_weights_at, regions=parts, grid=grid, width=float(width), nearest=beyond == "nearest")
    facts = [[part.shape.wkb_hex for part in parts], grid.as_dict(), width, beyond, block]
    values = da.map_blocks(
        make,
        chunks=((len(parts),), rows, columns),
        dtype=np.float32,
        meta=np.empty((0, 0, 0), np.float32),
        name=f"region-weights-{sha256_of(facts)}",
    )
    found = xr.DataArray(values, dims=("region", "y", "x"), coords={"region": list(names)}, name="weight")
    return georeference(found, grid).assign_attrs(long_name="weight of the region", units="1")


def blend(probabilities: Mapping[str, xr.DataArray], weights: xr.DataArray, *, dim: str = "class_code") -> xr.DataArray:
    """Blend what the models of regions say, by the weights of the regions.

    Parameters
    ----------
    probabilities : mapping of region to DataArray (class, y, x)
        What the model of each region says of every pixel on which the region weighs; elsewhere it may be NaN. Models
        may know different classes: one that a model does not know has probability 0 there.
    weights : DataArray (region, y, x)
        See :func:`region_weights`.
    dim : str
        Name of the dimension of classes, which has their codes as coordinate.

    Returns
    -------
    DataArray (class, y, x) of float32
        Codes in rising order. Where a region weighs but its model says nothing, the others share its weight; NaN where
        no model says anything, or no region weighs. Lazy if the input is.

    Raises
    ------
    InputError
        If a region has no probabilities, or they have no coordinate of classes.
    ConflictError
        If pixels of the probabilities and weights differ.

    Examples
    --------
    >>> weights = xr.DataArray(np.float32([[[0.75]], [[0.25]]]), dims=("region", "y", "x"))
    >>> weights = weights.assign_coords(region=["a", "b"])
    >>> says = lambda p: xr.DataArray(np.float32(p).reshape(-1, 1, 1), dims=("class_code", "y", "x"))
    >>> a, b = says([1, 0]).assign_coords(class_code=[3, 7]), says([1]).assign_coords(class_code=[7])
    >>> blend({"a": a, "b": b}, weights).values.ravel().tolist()
    [0.75, 0.25]
    """
    order = [str(region) for region in weights["region"].values]
    lacking = [region for region in order if region not in probabilities]
    if lacking:
        raise InputError("regions without probabilities", where="probabilities", got=", ".join(lacking)[:200])
    for region in order:
        _check_said(probabilities[region], weights, dim, region)
    codes = sorted({int(code) for region in order for code in probabilities[region][dim].values})
    said = [probabilities[region].drop_attrs() for region in order]
    positions = [np.searchsorted(codes, part[dim].values) for part in said]
    found: xr.DataArray = xr.apply_ufunc(
        partial(_blended, positions=positions, classes=len(codes)),
        weights.drop_attrs(),
        *(part.drop_vars(dim).rename({dim: f"{dim}_{number}"}) for number, part in enumerate(said)),
        input_core_dims=[["region"], *([f"{dim}_{number}"] for number in range(len(said)))],
        output_core_dims=[[dim]],
        join="exact",
        dask="parallelized",
        output_dtypes=[np.float32],
        dask_gufunc_kwargs={"output_sizes": {dim: len(codes)}},
    )
    found = found.assign_coords({dim: codes}).transpose(dim, "y", "x")
    return found.rename("probabilities").assign_attrs(long_name="probability of each class", units="1")


def _check_said(said: xr.DataArray, weights: xr.DataArray, dim: str, region: str) -> None:
    if set(said.dims) != {dim, "y", "x"} or dim not in said.coords:
        raise InputError(
            "these are no probabilities of classes",
            where=region,
            expected=f"({dim}, y, x) with a coordinate {dim}",
            got=str(said.dims),
        )
    for axis in ("y", "x"):
        same = said.sizes[axis] == weights.sizes[axis]
        if same and axis in said.coords and axis in weights.coords:
            same = bool((said[axis].values == weights[axis].values).all())
        if not same:
            raise ConflictError("probabilities and weights are on other pixels", where=f"{region}, {axis}")


def _blended(
    weights: NDArray[np.float32], *said: NDArray[np.float32], positions: list[NDArray[np.intp]], classes: int
) -> NDArray[np.float32]:
    """Blend (y, x, class of a region) by weights (y, x, region)."""
    shape = weights.shape[:2]
    sums, total = np.zeros((*shape, classes), np.float32), np.zeros(shape, np.float32)
    for number, (part, places) in enumerate(zip(said, positions, strict=True)):
        weight = weights[..., number]
        heard = (weight > 0) & np.isfinite(part).all(axis=-1)
        share = np.where(heard, weight, np.float32(0.0))
        total += share
        # Regions come in the order of their names, so that sums are the same however the work is cut.
        sums[..., places] += np.where(heard[..., None], part, np.float32(0.0)) * share[..., None]
    missing = np.float32(np.nan)
    return np.where(total[..., None] > 0, sums / np.where(total > 0, total, 1)[..., None], missing).astype(np.float32)


def _named(regions: geopandas.GeoDataFrame, name: str, grid: Grid) -> tuple[tuple[str, ...], tuple[_Region, ...]]:
    """Give the regions by name, in order, in the CRS of the grid."""
    if regions.crs is None:
        raise MetadataError("the regions have no CRS", where="regions", todo="regions.set_crs(...)")
    if name not in regions.columns or regions[name].isna().any():
        got = (
            f"columns {', '.join(map(str, regions.columns))}" if name not in regions.columns else "regions without one"
        )
        raise InputError("every region needs a name", where=name, expected="a column of names", got=got[:200])
    if not len(regions):
        raise EmptyResultError("there are no regions", where="regions")
    whole = regions.assign(**{name: regions[name].astype(str)}).to_crs(grid.crs).dissolve(by=name, sort=True)
    if len(whole) > _MOST_REGIONS:
        raise InputError("too many regions", where="regions", expected=f"at most {_MOST_REGIONS}", got=str(len(whole)))
    return tuple(map(str, whole.index)), tuple(_region(shape, str(key)) for key, shape in whole.geometry.items())


def _region(shape: Any, name: str) -> _Region:
    import shapely

    good = shape is not None and shape.geom_type in ("Polygon", "MultiPolygon") and shape.is_valid and shape.area > 0
    if not good:
        got = (
            "nothing" if shape is None else f"{shape.geom_type}, area {shape.area:g}, {shapely.is_valid_reason(shape)}"
        )
        raise InputError("the region is no area", where=name, expected="valid polygons", got=got[:200])
    rings = shapely.get_rings(shapely.get_parts(shape))
    lines = [np.hstack((points[:-1], points[1:])) for points in map(shapely.get_coordinates, rings)]
    shapely.prepare(shape)
    return _Region(shape, np.ascontiguousarray(np.concatenate(lines), np.float64))


def _weights_at(
    *,
    regions: tuple[_Region, ...],
    grid: Grid,
    width: float,
    nearest: bool,
    block_info: Mapping[Any, Any] | None = None,
) -> NDArray[np.float32]:
    """Make the weights of one chunk, (region, y, x)."""
    where = (block_info or {})[None]["array-location"]
    (_, (top, bottom), (left, right)) = where
    y, x = grid.window(YX(top, left), YX(bottom - top, right - left)).centres()
    raw = np.stack([_reach(_distance(region, y, x, width), width) for region in regions])
    total = raw.sum(axis=0, dtype=np.float64)
    lost = total <= 0
    if nearest and lost.any():
        every = np.stack([_distance(region, y, x, math.inf) for region in regions])
        raw[:, lost] = np.arange(len(regions))[:, None] == every[:, lost].argmin(axis=0)
        total[lost] = 1.0
    return np.where(lost & (not nearest), np.nan, raw / np.where(total > 0, total, 1.0)).astype(np.float32)


def _distance(region: _Region, y: NDArray[np.float64], x: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Give the distance of pixel centres to a region, 0 inside; infinite where it is farther than ``width``."""
    import shapely

    low, high = (min(x[0], x[-1]), min(y[0], y[-1])), (max(x[0], x[-1]), max(y[0], y[-1]))
    across = region.segments[:, [0, 2]], region.segments[:, [1, 3]]
    close = np.ones(len(region.segments), bool)
    for corners, least, most in zip(across, low, high, strict=True):
        close &= (corners.max(axis=1) >= least - width) & (corners.min(axis=1) <= most + width)
    square = np.full((y.size, x.size), np.inf)
    # With no segment close by, the chunk lies inside or outside as a whole; that one point tells, but asking all is
    # the same work for every chunk and cannot be wrong.
    nearest_square(x, y, region.segments[close], square)
    inside = shapely.contains_xy(region.shape, *np.meshgrid(x, y))
    distance = np.sqrt(square)
    distance[distance > width] = np.inf
    distance[inside] = 0.0
    return distance


def _reach(distance: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Turn distances into weights: 1 inside, half a cosine down to 0 at ``width``."""
    fading: NDArray[np.float64]
    if width == 0:
        fading = np.where(distance == 0, 1.0, 0.0)
    else:
        fading = np.where(distance < width, 0.5 + 0.5 * np.cos(np.pi * np.minimum(distance, width) / width), 0.0)
    return fading
