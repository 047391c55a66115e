"""How far a pixel reaches from its centre: what decides whether a point lies in it."""

from __future__ import annotations

import numpy as np
import xarray as xr

from terracube.cubes.gridlike import grid_like
from terracube.processing.deformation.stack import has_place


def half_pixel(data: xr.Dataset | xr.DataArray, axis: str) -> float:
    """Give half of the size of a pixel along an axis, in the unit of its coordinates.

    Parameters
    ----------
    data : Dataset or DataArray
    axis : "y" or "x"

    Returns
    -------
    float
        Of a single row or column that of the grid; 0 where nothing tells how large it is, so that only its own
        coordinate lies in it. 0.5 where there are no coordinates, and pixels are counted.

    Examples
    --------
    >>> half_pixel(xr.Dataset(coords={"y": [30.0, 20.0, 10.0]}), "y")
    5.0
    """
    if axis not in data.coords:
        return 0.5
    centres = np.asarray(data[axis].values, "float64")
    if centres.size > 1:
        return float(abs(centres[-1] - centres[0])) / (centres.size - 1) / 2
    dataset = data if isinstance(data, xr.Dataset) else data.to_dataset(name="data")
    return abs(grid_like(dataset).resolution["yx".index(axis)]) / 2 if has_place(dataset) else 0.0
