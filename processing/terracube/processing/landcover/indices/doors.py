"""Indices of arrays by role, and of cubes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import InputError
from terracube.processing.landcover.indices.catalogue import Index, get_index
from terracube.processing.landcover.indices.program import Program, compile_indices

type Names = str | Index | Iterable[str | Index]


def _listed(names: Names) -> list[Index]:
    """Look up one index or several."""
    several = [names] if isinstance(names, str | Index) else list(names)
    return [name if isinstance(name, Index) else get_index(name) for name in several]


def _planes(program: Program, *bands: NDArray[Any]) -> NDArray[np.float32]:
    """Run a program on bands of any shapes that broadcast: (indices, ...)."""
    wrong = [name for name, band in zip(program.bands, bands, strict=True) if band.dtype.kind != "f"]
    if wrong:
        expected = "floating point numbers with NaN as missing"
        raise InputError("bands are no reflectances", where=", ".join(wrong), expected=expected)
    shape = np.broadcast_shapes(*(band.shape for band in bands))
    values = np.empty((len(bands), *shape), np.float32)
    with np.errstate(over="ignore"):
        for number, band in enumerate(bands):
            values[number, ...] = band
    return program.run(values.reshape(len(bands), math.prod(shape))).reshape(len(program.names), *shape)


def _separate(*bands: NDArray[Any], program: Program) -> tuple[NDArray[np.float32], ...] | NDArray[np.float32]:
    """Give the planes one by one, as xarray wants several results, and one alone."""
    planes = tuple(_planes(program, *bands))
    return planes if len(planes) > 1 else planes[0]


def evaluate(
    names: Names, values: Mapping[str, ArrayLike], parameters: Mapping[str, float] | None = None
) -> NDArray[np.float32]:
    """Compute indices of arrays named by role.

    Parameters
    ----------
    names : str, Index, or iterable of them
    values : mapping of str to array_like
        Role to reflectance (0..1), NaN = missing; shapes that broadcast. Roles that no index needs are ignored.
    parameters : mapping, optional
        Numbers of the formulas instead of the catalogue's defaults.

    Returns
    -------
    float32 (indices, ...)
        NaN where a band is missing, or the formula has no finite value (division by zero).

    Raises
    ------
    NotFoundError
        If an index is unknown.
    InputError
        If bands or parameters are missing, shapes do not broadcast, or values are whole numbers, whose missing value
        is not known.

    Examples
    --------
    >>> evaluate("NDVI", {"red": [0.1, 0.2], "nir": [0.3, float("nan")]}).round(3).tolist()
    [[0.5, nan]]
    """
    chosen = _listed(names)
    program = compile_indices(chosen, compile_indices(chosen, values, parameters).used, parameters)
    arrays = [np.asarray(values[role]) for role in program.bands]
    try:
        np.broadcast_shapes(*(array.shape for array in arrays))
    except ValueError as error:
        shapes = ", ".join(f"{role} {array.shape}" for role, array in zip(program.bands, arrays, strict=True))
        raise InputError("the bands have shapes that do not fit", where="values", got=shapes[:300]) from error
    return _planes(program, *arrays)


def _described(variable: xr.DataArray, index: Index, like: xr.DataArray) -> xr.DataArray:
    attributes = {"long_name": index.title, "formula": index.formula, "references": index.reference}
    if index.unit is not None:
        attributes["units"] = index.unit
    variable.attrs = {name: text for name, text in attributes.items() if text}
    if "grid_mapping" in like.encoding:
        variable.encoding["grid_mapping"] = like.encoding["grid_mapping"]
    return variable


def indices(cube: xr.Dataset, names: Names, parameters: Mapping[str, float] | None = None) -> xr.Dataset:
    """Compute indices of a cube: lazily of a lazy one, and block by block whatever its chunks.

    Parameters
    ----------
    cube : xarray.Dataset
        Variables named by role, reflectance (0..1), NaN = missing, of any dimensions; numpy or Dask. Variables that no
        index needs are not touched.
    names : str, Index, or iterable of them
    parameters : mapping, optional
        Numbers of the formulas instead of the catalogue's defaults; :func:`wavelengths` gives those of a sensor.

    Returns
    -------
    xarray.Dataset
        One float32 variable per index on the coordinates of the cube, with its title, formula and reference; NaN where
        a band is missing, or the formula has no finite value.

    Raises
    ------
    NotFoundError
        If an index is unknown.
    InputError
        If bands or parameters are missing, or bands are whole numbers, whose missing value is not known.

    Examples
    --------
    >>> cube = xr.Dataset({"red": ("x", [0.1, 0.2]), "nir": ("x", [0.3, 0.6])})
    >>> indices(cube, "NDVI").NDVI.values.round(3).tolist()
    [0.5, 0.5]
    """
    chosen = _listed(names)
    if not chosen:
        return cube[[]]
    whole = compile_indices(chosen, map(str, cube.data_vars), parameters)
    program = compile_indices(chosen, whole.used, parameters)
    bands = [cube[role] for role in program.bands]
    wrong = [str(band.name) for band in bands if band.dtype.kind != "f"]
    if wrong:
        expected = "floating point numbers with NaN as missing"
        raise InputError("bands are no reflectances", where=", ".join(wrong), expected=expected)
    found = xr.apply_ufunc(
        partial(_separate, program=program), *bands, output_core_dims=[()] * len(chosen), join="exact",
        dask="parallelized", output_dtypes=[np.float32] * len(chosen),
    )  # fmt: skip
    variables = found if isinstance(found, tuple) else (found,)
    described = {index.name: _described(one, index, bands[0]) for index, one in zip(chosen, variables, strict=True)}
    return xr.Dataset(described, attrs=cube.attrs)
