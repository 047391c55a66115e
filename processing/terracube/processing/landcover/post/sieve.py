"""The sieve: regions that are too small take the class beyond the longest part of their border.

A region is a connected area of one class. In one pass every region of fewer than ``size`` pixels that touches a
large one takes the class with which it shares the longest border, counted in sides of pixels over all its large
neighbours; of equal ones the lowest code. All regions change at once, so the order of pixels plays no part. A small
region among small ones alone has to wait for a further pass, and stays if there is none. Missing pixels stay missing
and are nobody's neighbours.

A region may spread over any number of chunks: each labels its own pixels and tells of the regions at its edge (their
size, and the border of those still small, by class); these tables are joined by union-find, and each chunk is told
what becomes of its regions. So a pass labels each chunk twice and joins once. The tables take 36 bytes for each pixel
along the edges of a chunk, and 32 for each class, or region at the edge, that a small region at the edge has beside
it: 70 bytes per pixel of edge in a noisy map, hardly more than 130 in the worst; 0.3 to 0.6 MB for a chunk of
1024 x 1024 pixels, less than 70 MB for a map of 11 000 x 11 000. The map itself is held meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
import xarray as xr

from terracube.core.errors import InputError
from terracube.cubes import Grid
from terracube.processing.landcover.post._arrays import Codes, nodata_of
from terracube.processing.landcover.post._passes import Rule, sieved

Groups = Mapping[str, Iterable[int]] | Iterable[Iterable[int]]
_MOST_PASSES = 32
_SQUARE_METRES = 10_000.0


def sieve(
    classes: xr.DataArray,
    size: int,
    *,
    connectivity: int = 4,
    passes: int = 2,
    groups: Groups | None = None,
    nodata: int | None = None,
) -> xr.DataArray:
    """Take away the regions of a map that are too small, lazily where the map is lazy.

    Parameters
    ----------
    classes : xarray.DataArray (y, x)
        Whole numbers, in chunks of any size.
    size, connectivity, passes, groups, nodata
        As for :func:`sieve_array`; the nodata that the map's attributes tell, unless given.

    Returns
    -------
    xarray.DataArray (y, x)
        Of the same type; the same however the map is cut.

    Raises
    ------
    InputError
        If this is no map, or a parameter is unusable.
    """
    rule = rule_of(size, connectivity, groups, nodata_of(classes, nodata))
    return classes.copy(data=sieved(classes.data, rule, check_passes(passes)))


def sieve_array(
    classes: Codes,
    size: int,
    *,
    connectivity: int = 4,
    passes: int = 2,
    groups: Groups | None = None,
    nodata: int | None = None,
) -> Codes:
    """Take away the regions of a map that are too small, in memory.

    Parameters
    ----------
    classes : integer array (y, x)
    size : int
        Regions of fewer pixels take another class.
    connectivity : 4 or 8
        Whether pixels of one class that share a corner alone are one region. Borders are always counted in sides.
    passes : int
        How often; a further pass reaches small regions that had only small neighbours.
    groups : mapping of names to codes, or sequence of codes, or None
        Classes that may become each other; a class in no group stays as it is.
    nodata : int or None
        Pixels of this code are missing.

    Returns
    -------
    integer array (y, x)
        New.

    Raises
    ------
    InputError
        If this is no map, or a parameter is unusable.

    Examples
    --------
    >>> classes = np.array([[1, 1, 2], [1, 7, 2], [1, 1, 2]]).astype("uint8")
    >>> sieve_array(classes, 2).tolist()
    [[1, 1, 2], [1, 1, 2], [1, 1, 2]]
    """
    rule = rule_of(size, connectivity, groups, nodata)
    found: Codes = sieved(np.asarray(classes), rule, check_passes(passes))
    return found


def minimum_mapping_unit(
    classes: xr.DataArray, hectares: float, *, connectivity: int = 4, passes: int = 2, nodata: int | None = None
) -> xr.DataArray:
    """Take away the regions of a map that are smaller than an area on the ground.

    Parameters
    ----------
    classes : xarray.DataArray (y, x)
        With a projected CRS.
    hectares : float
        Smallest area that stays.
    connectivity, passes, nodata
        As for :func:`sieve`.

    Returns
    -------
    xarray.DataArray (y, x)

    Raises
    ------
    InputError
        If the area is none, or the CRS is not projected.
    MetadataError
        If the map does not tell its CRS.
    """
    if not (math.isfinite(hectares) and hectares > 0):
        raise InputError("the area is none", where="hectares", expected="> 0", got=str(hectares))
    # An area of a whole number of pixels must not become one more by rounding.
    size = max(1, math.ceil(hectares * _SQUARE_METRES / pixel_area(Grid.like(classes)) - 1e-9))
    return sieve(classes, size, connectivity=connectivity, passes=passes, nodata=nodata)


def pixel_area(grid: Grid) -> float:
    """Give the area of a pixel in square metres.

    Raises
    ------
    InputError
        If the CRS is not projected, so that pixels have different areas.
    """
    from pyproj import CRS

    crs = CRS.from_user_input(grid.crs)
    if not crs.is_projected:
        raise InputError(
            "pixels of degrees have different areas",
            where="CRS",
            expected="a projected CRS",
            got=crs.name,
            todo="give a number of pixels to `sieve`, or warp the map",
        )
    unit = float(crs.axis_info[0].unit_conversion_factor)
    return abs(grid.resolution.y * grid.resolution.x) * unit * unit


def rule_of(size: int, connectivity: int, groups: Groups | None, nodata: int | None) -> Rule:
    """Check what the sieve is told."""
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise InputError("the size is no number of pixels", where="size", expected="1, 2, 3, ...", got=repr(size))
    if connectivity not in (4, 8):
        raise InputError("unknown connectivity", where="connectivity", expected="4 or 8", got=repr(connectivity))
    if groups is None:
        return Rule(int(size), connectivity == 8, nodata)
    members = groups.values() if isinstance(groups, Mapping) else groups
    found = tuple(tuple(sorted(int(code) for code in codes)) for codes in members)
    every = [code for codes in found for code in codes]
    if len(set(every)) != len(every):
        double = sorted({code for code in every if every.count(code) > 1})
        raise InputError("a class is in two groups", where="groups", got=", ".join(map(str, double)))
    return Rule(int(size), connectivity == 8, nodata, found)


def check_passes(passes: int) -> int:
    """Check a number of passes."""
    if isinstance(passes, bool) or not isinstance(passes, int) or not 1 <= passes <= _MOST_PASSES:
        raise InputError("unusable number of passes", where="passes", expected=f"1 to {_MOST_PASSES}", got=repr(passes))
    return passes
