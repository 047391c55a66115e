"""How often there is water: wet dates out of the clear ones, and how sure that is."""

from __future__ import annotations

import numpy as np
import xarray as xr

from terracube.core.errors import InputError
from terracube.processing.water.masks.flags import DRY, WET


def frequency(masks: xr.Dataset | xr.DataArray, *, z: float = 1.96) -> xr.Dataset:
    """Count how often each pixel is water.

    Parameters
    ----------
    masks : Dataset with ``water``, or DataArray, uint8 (time, y, x)
        0 dry, 1 wet, 255 no data; numpy or Dask.
    z : float
        Half width of the interval in standard deviations: 1.96 for 95 %.

    Returns
    -------
    Dataset (y, x)
        ``frequency``, float32: wet dates over clear ones, NaN where none is clear; ``low`` and ``high``, float32:
        bounds of the interval of Wilson (1927, doi:10.1080/01621459.1927.10502953), for which dates are as if drawn
        independently; ``wet`` and ``clear``, uint16: numbers of dates. Lazy if the masks are, the same to the bit
        whatever the chunks and the order of dates.

    Raises
    ------
    InputError
        If this is no mask over time, or ``z`` is not positive.

    Examples
    --------
    >>> water = xr.DataArray(np.array([[[1, 255]], [[1, 255]], [[0, 255]]], np.uint8), dims=("time", "y", "x"))
    >>> found = frequency(water)
    >>> found["frequency"].values.round(2).tolist(), found["clear"].values.tolist()
    ([[0.6700000166893005, nan]], [[3, 0]])
    """
    water = masks["water"] if isinstance(masks, xr.Dataset) and "water" in masks else masks
    if not isinstance(water, xr.DataArray) or water.dtype != np.uint8 or "time" not in water.dims:
        got = f"{water.dtype} {water.dims}" if isinstance(water, xr.DataArray) else type(water).__name__
        raise InputError("this is no mask of water over time", where="masks", expected="uint8 (time, y, x)", got=got)
    if not z > 0:
        raise InputError("no such interval", where="z", expected="above 0", got=repr(z)[:80])
    wet = (water == WET).sum("time", dtype=np.uint16)
    clear = wet + (water == DRY).sum("time", dtype=np.uint16)
    many = clear.where(clear > 0).astype(np.float64)
    share = wet / many
    middle = (share + z * z / (2 * many)) / (1 + z * z / many)
    half = z / (1 + z * z / many) * np.sqrt(share * (1 - share) / many + z * z / (4 * many * many))
    found = {
        "frequency": (share, "frequency of water"),
        "low": (middle - half, "frequency of water, lower bound"),
        "high": (middle + half, "frequency of water, upper bound"),
    }
    layers = {name: _told(values.clip(0, 1).astype(np.float32), title) for name, (values, title) in found.items()}
    layers["wet"] = _told(wet, "dates with water")
    layers["clear"] = _told(clear, "clear dates")
    return xr.Dataset(layers, attrs={"interval": f"Wilson, z = {z:g}"})


def _told(values: xr.DataArray, title: str) -> xr.DataArray:
    return values.drop_attrs().assign_attrs(long_name=title, units="1")
