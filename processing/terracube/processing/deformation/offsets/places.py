"""Where the points of a lattice lie, and how large a pixel is."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from pyproj import CRS

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.gridlike import to_grid

_UNEVEN = 5e-3


def coordinates(
    like: xr.DataArray | None, shape: tuple[int, int], chip: int, step: int
) -> tuple[dict[Hashable, Any], tuple[Hashable, Hashable]]:
    """Give coordinates and dimensions of a lattice: those of the image at the middle of each chip.

    Without coordinates they are pixels, the middle of the first being zero.
    """
    dims: tuple[Hashable, ...] = ("y", "x") if like is None else like.dims
    coords: dict[Hashable, Any] = {}
    for axis, side in zip(dims, shape, strict=True):
        places = np.arange((side - chip) // step + 1) * step + 0.5 * (chip - 1)
        if like is None or axis not in like.coords:
            coords[axis] = (axis, places)
            continue
        known = np.asarray(like.coords[axis].values, "float64")
        gaps = np.diff(known)
        if not gaps.size or np.abs(gaps - gaps[0]).max() > _UNEVEN * abs(gaps[0]):
            raise InputError(
                "the pixels of the image are not evenly spaced", where=str(axis), expected="a regular grid"
            )
        size = (known[-1] - known[0]) / (known.size - 1)
        coords[axis] = (axis, known[0] + places * size, dict(like.coords[axis].attrs))
    for name in ("spatial_ref", "crs"):
        if like is not None and name in like.coords and like.coords[name].ndim == 0:
            coords[name] = like.coords[name].variable
    return coords, (dims[0], dims[1])


def metres_per_pixel(image: xr.DataArray) -> tuple[float, float] | None:
    """Give the signed size of a pixel along y and x, m; None without a projected CRS in metres."""
    try:
        grid = to_grid(image)
    except (InputError, MetadataError):
        return None
    crs = CRS.from_user_input(grid.crs)
    units = {axis.unit_name for axis in crs.axis_info[:2]}
    if not crs.is_projected or units != {"metre"}:
        return None
    rows = np.asarray(image.coords[image.dims[0]].values, "float64")
    # Rows may run north: then going down the array goes north.
    return float(np.copysign(grid.resolution.y, rows[1] - rows[0])), float(grid.resolution.x)
