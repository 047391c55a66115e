"""Regularisation: a map of pixels becomes one of areas, classes of one kind first among themselves.

The way of the yearly land-cover map of Theia (OSO): a small region of maize first becomes another crop beside it, and
only what has no neighbour of its own kind becomes something else. Each sieve runs with 8 and then with 4 connected
neighbours; then pixels may be made larger, and a last sieve takes away what is too small among these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from terracube.processing.landcover.post._arrays import Codes, nodata_of
from terracube.processing.landcover.post._passes import sieved
from terracube.processing.landcover.post.majority import coarsen, coarsened
from terracube.processing.landcover.post.sieve import Groups, rule_of

OSO_GROUPS: Mapping[str, tuple[int, ...]] = {
    "built-up": (1, 2, 3),
    "roads": (4,),
    "crops": (5, 6, 7, 8, 9, 10, 11, 12),
    "perennial crops": (14, 15),
    "open natural": (13, 18, 19),
    "forest": (16, 17),
    "bare": (20, 21),
    "snow and ice": (22,),
    "water": (23,),
}
"""Groups of the 23 classes of OSO."""
_NEIGHBOURS = (8, 4)


def regularise(
    classes: xr.DataArray,
    *,
    groups: Groups = OSO_GROUPS,
    size: int = 10,
    factor: int = 1,
    last: int = 1,
    nodata: int | None = None,
) -> xr.DataArray:
    """Turn a map of pixels into one of areas, lazily where the map is lazy.

    Parameters
    ----------
    classes : xarray.DataArray (y, x)
    groups, size, factor, last, nodata
        As for :func:`regularise_array`; the nodata that the map's attributes tell, unless given.

    Returns
    -------
    xarray.DataArray (y, x)
        The same however the map is cut.

    Raises
    ------
    InputError
        If this is no map, or a parameter is unusable.
    """
    missing = nodata_of(classes, nodata)
    data = _sieved(classes.data, groups, size, missing)
    done = classes.copy(data=data)
    if factor != 1:
        done = coarsen(done, factor, nodata=missing)
    return done.copy(data=_sieved(done.data, None, last, missing))


def regularise_array(
    classes: Codes,
    *,
    groups: Groups = OSO_GROUPS,
    size: int = 10,
    factor: int = 1,
    last: int = 1,
    nodata: int | None = None,
) -> Codes:
    """Turn a map of pixels into one of areas, in memory.

    Parameters
    ----------
    classes : integer array (y, x)
    groups : mapping of names to codes, or sequence of codes
        Classes that become each other first; a class in none has no such neighbour.
    size : int
        Regions of fewer pixels take another class.
    factor : int
        Squares of this many pixels along each side become one, of their most frequent class.
    last : int
        Then regions of fewer of these pixels take another class.
    nodata : int or None
        Pixels of this code are missing.

    Returns
    -------
    integer array (y, x), or (ceil(y / factor), ceil(x / factor))
        New.

    Raises
    ------
    InputError
        If this is no map, or a parameter is unusable.

    Examples
    --------
    A pixel of maize (10) among forest (16), with one side at sunflower (9), becomes sunflower, the other crop.

    >>> classes = np.full((6, 6), 16, "uint8")
    >>> classes[:, 4:], classes[2, 3] = 9, 10
    >>> regularise_array(classes)[2].tolist()
    [16, 16, 16, 9, 9, 9]
    """
    data = _sieved(np.asarray(classes), groups, size, nodata)
    data = coarsened(data, factor, nodata)
    found: Codes = _sieved(data, None, last, nodata)
    return found


def _sieved(data: Any, groups: Groups | None, size: int, nodata: int | None) -> Any:
    """Sieve with 8 and 4 neighbours: within the groups, if there are any, then among all."""
    kept = None if groups is None else rule_of(size, 4, groups, nodata).groups
    stages = [kept, None] if kept is not None else [None]
    for stage in stages:
        for connectivity in _NEIGHBOURS:
            data = sieved(data, rule_of(size, connectivity, stage, nodata), 1)
    return data
