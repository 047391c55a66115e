"""Products of each date, for series: where it was wet, the same that the chain ``water`` makes of its dates."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from terracube.processing.chain import ChainParameters
from terracube.processing.origins import cube_origins
from terracube.processing.water.asking import WaterParameters, index_options, observe, told_of
from terracube.processing.water.assembly import NOT_WATER, UNCLEAR
from terracube.processing.water.correction import correct
from terracube.processing.water.mapping import WATER
from terracube.processing.water.masks import mask
from terracube.processing.water.masks.flags import DRY, NODATA, WET, bitmask, flag_attrs, water_attrs
from terracube.processing.water.products import retrieve


def daily(cube: xr.Dataset, parameters: ChainParameters | dict[str, Any] | None = None) -> xr.Dataset:
    """Make the mask and the products of each date of a cube; lazy in, lazy out.

    Parameters
    ----------
    cube : xarray.Dataset
        Bands (time, y, x) of :func:`terracube.cubes.load`, or with ``attrs`` ``quantity`` and ``sensor``.
    parameters : WaterParameters or dict
        As of the chain ``water``: products, mask, correction, uncertainty.

    Returns
    -------
    xarray.Dataset
        ``water`` (uint8: 0 dry, 1 wet, 255 not seen), ``flags`` (uint16, as ``masks.flags.BITS``), and per product its
        value, NaN where it was not wet, with ``_noise``, ``_algorithm`` and ``_flags``.

    Raises
    ------
    InputError, MetadataError
        If a product cannot be made, or nobody says what saw the cube.

    Examples
    --------
    >>> bands = {"green": 0.05, "red": 0.03, "nir08": 0.01}
    >>> cube = xr.Dataset({name: (("y", "x"), np.full((1, 1), value)) for name, value in bands.items()})
    >>> cube.attrs |= {"quantity": "rhow", "sensor": "S2A_MSI"}
    >>> daily(cube, {"products": ["spm_blend"]})["spm_blend"].values.round(1).tolist()
    [[15.6]]
    """
    given = told_of(WATER.to_parameters(parameters))
    sensor = cube.attrs.get("sensor")
    if sensor is not None and not given.sensors:
        given = given.model_copy(update={"sensors": (str(sensor),)})
    told = observe(given, tuple(sorted(set(cube_origins(cube)), key=repr)))
    seen = cube[[name for name in told.bands if name in cube.data_vars]].assign_attrs(quantity=told.quantity)
    if len(told.sensors) == 1:
        seen = seen.assign_attrs(sensor=told.sensors[0])
    masks = _masks(seen, told)
    if told.correction in ("swir", "glint"):
        seen = correct(seen, told.correction)
        # What a correction says of land means nothing.
        masks["flags"] = (masks["flags"] | seen["flags"] * (masks["water"] == WET)).assign_attrs(flag_attrs())
        seen = seen.drop_vars("flags")
    out = retrieve(told.products, seen.where(masks["water"] == WET), uncertainty=told.uncertainty)
    dry, hidden = masks["water"] == DRY, (masks["water"] == NODATA) & (masks["flags"] & bitmask(["nodata"]) == 0)
    for name in told.products:
        reasons = out[f"{name}_flags"]
        judged = reasons.where(~dry, np.uint8(NOT_WATER)).where(~hidden, np.uint8(UNCLEAR))
        out[f"{name}_flags"] = judged.astype("uint8").assign_attrs(reasons.attrs)
    return out.assign(masks)


def _masks(cube: xr.Dataset, told: WaterParameters) -> dict[str, xr.DataArray]:
    if told.water_mask != "all":
        wofs = told.water_mask == "wofs"
        found = mask(cube, "wofs") if wofs else mask(cube, "indices", **index_options(told))
        return {"water": found["water"], "flags": found["flags"]}
    seen = xr.concat([cube[name].notnull() for name in cube.data_vars], dim="band").any("band")
    water = (seen * np.uint8(WET) + ~seen * np.uint8(NODATA)).astype("uint8").assign_attrs(water_attrs())
    return {"water": water, "flags": (~seen * np.uint16(1)).astype("uint16").assign_attrs(flag_attrs())}
