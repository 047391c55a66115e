"""The composite: the geometric median of a period, with how often and how firmly each pixel was seen.

For each pixel, the point that has the smallest sum of distances to all clear observations of the period, taken as
points in the space of the bands (Roberts et al. 2017, doi:10.1109/TGRS.2017.2723896). It keeps the relations between
bands, which a median per band does not. With it come the number of clear observations and three median absolute
deviations (Roberts et al. 2018, doi:10.1109/IGARSS.2018.8518312): Euclidean, spectral (cosine) and Bray-Curtis.
"""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from terracube.core.errors import InputError
from terracube.cubes.reduce import geomedian as geomedian_kernel
from terracube.cubes.storage import Layer
from terracube.processing.chain import Chain, ChainParameters, Context, Map
from terracube.processing.registry import register

_UNCERTAINTY = {
    "emad": "Euclidean median absolute deviation",
    "smad": "Spectral (cosine) median absolute deviation",
    "bcmad": "Bray-Curtis median absolute deviation",
}


class CompositeParameters(ChainParameters):
    """What the composite can be told."""

    bands: tuple[str, ...] = Field(
        default=("blue", "green", "red", "nir"), min_length=1, max_length=16, description="role names of the bands"
    )
    min_clear: int = Field(default=1, ge=1, le=65535, description="clear observations below which a pixel is missing")
    eps: float = Field(default=1e-6, gt=0, le=1e-2, description="the median has settled when it moves less than this")


def _layers(parameters: ChainParameters) -> tuple[Layer, ...]:
    bands = [
        Layer(name, f"{name}: geometric median of surface reflectance", "float32", "1", math.nan)
        for name in parameters.bands
    ]
    count = Layer("count", "clear observations", "uint16", "1", None, resampling="nearest", role="validity")
    spreads = [Layer(name, title, "float32", "1", math.nan, role="uncertainty") for name, title in _UNCERTAINTY.items()]
    return (*bands, count, *spreads)


def _block(cube: NDArray[np.float32], context: Context) -> NDArray[np.float32]:
    """Turn a block of observations into the layers of the composite."""
    parameters = context.parameters
    if not isinstance(parameters, CompositeParameters):
        raise InputError("the composite needs its own parameters", got=type(parameters).__name__)
    found = geomedian_kernel(cube, eps=parameters.eps)
    others = np.stack([found.count.astype("float32"), found.emad, found.smad, found.bcmad])
    layers = np.concatenate([found.median, others])
    counted = len(parameters.bands)
    few = layers[counted] < parameters.min_clear
    layers[:counted, few] = np.nan
    layers[counted + 1 :, few] = np.nan
    return layers


COMPOSITE = register(
    Chain(
        name="composite",
        version="1.1.0",
        title="Geometric-median composite",
        parameters=CompositeParameters,
        layers=_layers,
        stage=Map("geometric median over time", _block),
    )
)


def composite(cube: xr.Dataset, *, min_clear: int = 1, eps: float = 1e-6) -> xr.Dataset:
    """Reduce a cube over time to its geometric median, count and deviations.

    Parameters
    ----------
    cube : xarray.Dataset
        Variables (time, y, x), reflectance, NaN = missing; numpy or Dask, then one chunk along time.
    min_clear : int
        Pixels with fewer clear observations are missing.
    eps : float
        The median has settled when it moves by less than this, in units of the bands.

    Returns
    -------
    xarray.Dataset
        One variable (y, x) per band, ``count`` (uint16), ``emad`` (units of the bands), ``smad`` (1 - cosine) and
        ``bcmad`` (0..1). NaN where there was no clear observation; a date counts only if all bands are there.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> values = np.float32([0.1, 0.2, 0.9]).reshape(3, 1, 1)
    >>> found = composite(xr.Dataset({"red": (("time", "y", "x"), values)}))
    >>> round(found.red.item(), 4), found["count"].item()
    (0.2, 3)
    """
    return COMPOSITE(cube, parameters={"min_clear": min_clear, "eps": eps})
