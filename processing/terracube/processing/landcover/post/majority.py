"""Votes: each pixel takes the class of most pixels around it, or squares of pixels become one."""

from __future__ import annotations

from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from affine import Affine

from terracube.core.errors import InputError, MetadataError
from terracube.cubes import Grid
from terracube.cubes.layout import georeference
from terracube.processing.kernels.neighbours import vote, vote_squares
from terracube.processing.landcover.post._arrays import Codes, named, nodata_of, odd, over_windows, ranked


def majority(classes: xr.DataArray, *, window: int = 3, nodata: int | None = None) -> xr.DataArray:
    """Give each pixel of a map the class of most pixels in the window around it, lazily where the map is lazy.

    Parameters
    ----------
    classes : xarray.DataArray (y, x)
        Whole numbers.
    window, nodata
        As for :func:`majority_array`; the nodata that the map's attributes tell, unless given.

    Returns
    -------
    xarray.DataArray (y, x)
        Of the same type; the same however the map is cut.

    Raises
    ------
    InputError
        If this is no map, or the window has no middle.
    """
    core = partial(majority_array, window=window, nodata=nodata_of(classes, nodata))
    return classes.copy(data=over_windows(core, classes.data, odd(window)))


def majority_array(classes: Codes, *, window: int = 3, nodata: int | None = None) -> Codes:
    """Give each pixel of a map the class of most pixels in the window around it, in memory.

    Parameters
    ----------
    classes : integer array (y, x)
    window : int
        Pixels along each side, odd; cut off at the edges.
    nodata : int or None
        Pixels of this code are missing: they have no vote and stay missing.

    Returns
    -------
    integer array (y, x)
        New. Of classes with equal votes the pixel's own wins, else the lowest code.

    Raises
    ------
    InputError
        If this is no map, or the window has no middle.

    Examples
    --------
    >>> majority_array(np.array([[3, 3, 3], [3, 9, 3], [0, 3, 3]]).astype("uint8"), nodata=0).tolist()
    [[3, 3, 3], [3, 3, 3], [0, 3, 3]]
    """
    radius = odd(window)
    numbers, found = ranked(classes, nodata)
    return named(vote(numbers, radius, found.size), found, classes, nodata)


def coarsen(classes: xr.DataArray, factor: int, *, nodata: int | None = None) -> xr.DataArray:
    """Make squares of pixels one pixel of their most frequent class, lazily where the map is lazy.

    Parameters
    ----------
    classes : xarray.DataArray (y, x)
    factor : int
        Pixels along each side of a square, counted from the first pixel of the map.
    nodata : int or None
        As for :func:`coarsen_array`; the nodata that the map's attributes tell, unless given.

    Returns
    -------
    xarray.DataArray (y, x)
        With the coordinates of the larger pixels if the map has a CRS, else without.

    Raises
    ------
    InputError
        If this is no map, or the factor is none.
    """
    missing = nodata_of(classes, nodata)
    data = coarsened(classes.data, factor, missing)
    coarse = xr.DataArray(data, dims=classes.dims, attrs=classes.attrs).rename(classes.name)
    try:
        grid = Grid.like(classes)
    except MetadataError:
        return coarse
    transform = grid.transform * Affine.scale(factor)
    return georeference(coarse, Grid.from_affine(grid.crs, transform, data.shape))


def coarsened(data: Any, factor: int, nodata: int | None) -> Any:
    """Coarsen a map in memory, or lazily."""
    _check_factor(factor)
    if not isinstance(data, da.Array):
        return coarsen_array(np.asarray(data), factor, nodata=nodata)
    sides = [max(factor, max(sizes) // factor * factor) for sizes in data.chunks]
    whole = data.rechunk(tuple(sides))
    chunks = tuple(tuple(-(-size // factor) for size in sizes) for sizes in whole.chunks)
    core = partial(coarsen_array, factor=factor, nodata=nodata)
    return da.map_blocks(core, whole, chunks=chunks, dtype=data.dtype, meta=np.empty((0, 0), data.dtype))


def coarsen_array(classes: Codes, factor: int, *, nodata: int | None = None) -> Codes:
    """Make squares of pixels one pixel of their most frequent class, in memory.

    Parameters
    ----------
    classes : integer array (y, x)
    factor : int
        Pixels along each side of a square; those at the southern and eastern edges may have fewer.
    nodata : int or None
        Pixels of this code have no vote; a square without a vote is missing.

    Returns
    -------
    integer array (ceil(y / factor), ceil(x / factor))
        The lowest code of equal votes.

    Raises
    ------
    InputError
        If this is no map, or the factor is none.

    Examples
    --------
    >>> coarsen_array(np.array([[4, 4, 7], [4, 7, 7]]).astype("uint8"), 2).tolist()
    [[4, 7]]
    """
    _check_factor(factor)
    numbers, found = ranked(classes, nodata)
    return named(vote_squares(numbers, factor, found.size), found, classes, nodata)


def _check_factor(factor: int) -> None:
    if isinstance(factor, bool) or not isinstance(factor, int | np.integer) or factor < 1:
        raise InputError("the factor is no number of pixels", where="factor", expected="1, 2, 3, ...", got=repr(factor))
