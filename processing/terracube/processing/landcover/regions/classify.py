"""Classify with a model for each region: each is asked where its region weighs, and what they say is blended."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.cubes.gridlike import to_grid
from terracube.processing.kernels.summary import summarise
from terracube.processing.landcover.classification import class_layer, classify, spec_of
from terracube.processing.landcover.models import Model, ModelFile, to_model
from terracube.processing.landcover.regions.weights import blend, region_weights

if TYPE_CHECKING:
    import geopandas

_SURE = ("probability", "margin", "entropy")


def classify_regions(
    cube: xr.Dataset,
    models: Mapping[str, Model | ModelFile],
    regions: geopandas.GeoDataFrame,
    *,
    width: float,
    name: str = "region",
    beyond: Literal["missing", "nearest"] = "missing",
    **told: Any,
) -> xr.Dataset:
    """Make a map with a model for each region, without seams where regions meet; lazy in, lazy out.

    Parameters
    ----------
    cube : Dataset (time, y, x) per band
        As for :func:`~terracube.processing.landcover.classify`, with a CRS.
    models : mapping of region to Model
        One for each region; their features and classes may differ.
    regions : GeoDataFrame
        Polygons with a column ``name``.
    width : float
        How far a region reaches beyond its border, in units of the cube's CRS; see
        :func:`~terracube.processing.landcover.regions.region_weights`.
    beyond : {"missing", "nearest"}
        What is where no region reaches.
    **told
        ``year`` and ``min_clear``, as for :func:`~terracube.processing.landcover.classify`.

    Returns
    -------
    xarray.Dataset
        ``class``, ``probability``, ``margin``, ``entropy``, ``validity``, ``outside`` (1 where the models that say so
        weigh half or more) and ``probabilities`` (class_code, y, x).

    Raises
    ------
    InputError
        If a region has no model, or the cube lacks a band.
    """
    known = {str(one) for one in regions[name]} if name in regions.columns else set()
    if not known or known - set(models):
        raise InputError(
            "every region needs a model",
            where=name,
            expected=", ".join(sorted(known))[:200] or f"a column {name!r}",
            got=", ".join(sorted(models))[:200],
        )
    weights = region_weights(regions, to_grid(cube), name=name, width=width, beyond=beyond)
    chunks = {axis: sizes for axis, sizes in cube.chunksizes.items() if axis in ("y", "x")}
    weights = weights.drop_vars(("y", "x"), errors="ignore").chunk(chunks) if chunks else weights.compute()
    names = [str(one) for one in weights["region"].values]
    parts = [_part(cube, models[one], weights.sel(region=one, drop=True), told) for one in names]
    said = dict(zip(names, (part.probabilities for part in parts), strict=True))
    blended = blend(said, weights)
    found = xr.Dataset(_summary(blended, [models[one] for one in names]))
    found["validity"] = reduce(np.maximum, (part.validity for part in parts)).assign_attrs(parts[0].validity.attrs)
    heard = sum(
        (
            weights.sel(region=one, drop=True).fillna(0) * (part.outside == 1)
            for one, part in zip(names, parts, strict=True)
        ),
        start=xr.zeros_like(weights.isel(region=0, drop=True)),
    )
    missing = parts[0].outside.attrs["nodata"]
    flag = (heard >= 0.5).where(found.probability.notnull(), missing).astype("uint8")
    found["outside"] = flag.assign_attrs(parts[0].outside.attrs)
    found["probabilities"] = blended
    return found.assign_attrs(title="Land cover, models of regions blended")


def _part(cube: xr.Dataset, model: Model | ModelFile, weight: xr.DataArray, told: dict[str, Any]) -> xr.Dataset:
    """Ask one model where its region weighs."""
    bands = spec_of(to_model(model)).bands
    lacking = [band for band in bands if band not in cube]
    if lacking:
        raise InputError("the cube lacks bands", where=", ".join(lacking), expected=", ".join(bands))
    return classify(cube[list(bands)].where(weight > 0), model, **told)


def _summary(blended: xr.DataArray, models: list[Model | ModelFile]) -> dict[str, xr.DataArray]:
    """Say what is most probable, and how sure that is."""
    codes = tuple(int(code) for code in blended["class_code"].values)
    layer = class_layer(codes, models)

    def work(values: NDArray[np.float32]) -> NDArray[np.float32]:
        flat = np.ascontiguousarray(np.moveaxis(values, -1, 0)).reshape(len(codes), -1)
        best, sure = np.empty(flat.shape[1], np.int16), np.empty((3, flat.shape[1]), np.float32)
        summarise(flat, best, sure)
        both = np.concatenate([np.array([*codes, layer.missing], np.float32)[best][None], sure])
        return np.moveaxis(both.reshape(4, *values.shape[:-1]), 0, -1)

    found = xr.apply_ufunc(
        work, blended, input_core_dims=[["class_code"]], output_core_dims=[["layer"]], dask="parallelized",
        output_dtypes=[np.float32], dask_gufunc_kwargs={"output_sizes": {"layer": 4}},
    )  # fmt: skip
    told = {"long_name": layer.title, "units": "1", "nodata": layer.missing, **layer.flags}
    classes = found.isel(layer=0).astype(layer.dtype).assign_attrs(told)
    return {"class": classes, **{one: found.isel(layer=number) for number, one in enumerate(_SURE, start=1)}}
