"""Series, maps and points as files: Zarr, COG, GeoParquet and CSV, each with sign, reference, looks and network."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import BudgetError, ConflictError, InputError, MetadataError
from terracube.core.files import atomic_path, safe_name, write_text
from terracube.cubes.storage.dataset import write_zarr
from terracube.cubes.storage.rasters import write_cog

if TYPE_CHECKING:
    import geopandas

FACTS = ("wavelength", "phase_sign", "reference", "network", "reference_date")
"""What every series tells beside its numbers; ``looks`` where they are known."""
ATTRIBUTES = "attributes.json"
_POSITIVE = "towards the satellite"
_WORDS: Mapping[str, tuple[str, str]] = {
    "displacement": ("m", "displacement along the line of sight, positive towards the satellite"),
    "std_network": ("m", "standard deviation of the displacement, from the noise of the pairs"),
    "std_atmosphere": ("m", "standard deviation of the displacement, from the air"),
    "velocity": ("m year-1", "velocity along the line of sight, positive towards the satellite"),
    "velocity_std": ("m year-1", "standard deviation of the velocity"),
    "temporal_coherence": ("1", "agreement of the pairs with the series"),
    "residual_rms": ("rad", "root mean square of what the series leaves of the pairs"),
    "n_pairs": ("1", "pairs with a phase"),
    "n_components": ("1", "parts into which the dates fall"),
    "chi2": ("1", "weighted sum of squares of the residuals over the degrees of freedom"),
}
_COUNTS = ("n_pairs", "n_components")
_NEVER = ("transform", "scale_factor", "add_offset")
_MOST_POINTS = 2_000_000
_FORMATS = (".parquet", ".geoparquet", ".csv")


def facts_of(dataset: xr.Dataset) -> dict[str, Any]:
    """Give what a series or its maps tell of how to read them, as JSON values.

    Returns
    -------
    dict
        All attributes; ``wavelength`` (m), ``phase_sign``, ``reference``, ``network`` (digest) and ``reference_date``
        are always there. ``reference_y``, ``reference_x`` where the dataset has them as numbers in memory.

    Raises
    ------
    MetadataError
        If one is missing: numbers without them can be taken for anything.
    """
    missing = [name for name in FACTS if dataset.attrs.get(name) in (None, "")]
    if missing:
        raise MetadataError(
            "the dataset does not tell how to read its displacements",
            where="attributes",
            expected=", ".join(FACTS),
            got=f"without {', '.join(missing)}",
            todo="take it from the inversion, or assign_attrs what is known",
        )
    told = {str(name): _plain(value) for name, value in dataset.attrs.items() if not str(name).startswith("spatial:")}
    for name in ("reference_y", "reference_x", "reference_quality"):
        if name in dataset and not dataset[name].dims and dataset[name].chunks is None:
            told[name] = _plain(dataset[name].values)
    return told


def write_series(series: xr.Dataset, path: str | os.PathLike[str], *, overwrite: bool = False, **options: Any) -> Path:
    """Write a series as Zarr, with CF attributes.

    Parameters
    ----------
    series : Dataset
        ``displacement`` (time, y, x) and what comes with it; lazy or not.
    path, overwrite, **options
        As :func:`terracube.cubes.write_zarr`.

    Raises
    ------
    MetadataError
        As :func:`facts_of`.
    TerraCubeError
        As :func:`terracube.cubes.write_zarr`.
    """
    if "displacement" not in series:
        raise InputError("this is no series", expected="displacement (time, y, x)", got=", ".join(map(str, series)))
    facts_of(series)
    return write_zarr(with_words(series), path, overwrite=overwrite, **options)


def with_words(dataset: xr.Dataset) -> xr.Dataset:
    """Give variables their units, names and what belongs to them, as CF has it, where they do not tell themselves."""
    told = {}
    for name, values in dataset.data_vars.items():
        unit, text = _WORDS.get(str(name), ("", ""))
        words = {key: value for key, value in (("units", unit), ("long_name", text)) if value}
        if name in ("displacement", "velocity"):
            words["positive"] = _POSITIVE
        errors = [other for other in ("std_network", "std_atmosphere") if name == "displacement" and other in dataset]
        if errors:
            words["ancillary_variables"] = " ".join(errors)
        if name in _COUNTS:
            words["overview_resampling"] = "nearest"
        kept = {key: value for key, value in values.attrs.items() if key not in _NEVER}
        told[str(name)] = values.assign_attrs({**words, **kept})
    loose = [
        str(name) for name, values in dataset.coords.items() if {"y", "x"} & set(values.dims) and name not in ("y", "x")
    ]
    return dataset.assign(told).reset_coords(loose)


def write_maps(
    maps: xr.Dataset,
    folder: str | os.PathLike[str],
    *,
    names: Sequence[str] | None = None,
    overwrite: bool = False,
    **options: Any,
) -> dict[str, Path]:
    """Write maps (y, x) such as the velocity and its standard deviation as COGs, one file each.

    Parameters
    ----------
    maps : Dataset
        Lazy or not.
    folder : path
        Gets ``{variable}.tif``, and at the end ``attributes.json``, what all of them have in common.
    names : sequence of str, optional
        Variables that are written; by default all that are (y, x).
    overwrite, **options
        As :func:`terracube.cubes.write_cog`.

    Returns
    -------
    dict
        The file of each variable, and of ``attributes``.

    Raises
    ------
    MetadataError
        As :func:`facts_of`.
    InputError
        If there is no map, or one that is asked for is not (y, x).
    TerraCubeError
        As :func:`terracube.cubes.write_cog`.
    """
    target = Path(folder)
    flat = [str(name) for name, values in maps.data_vars.items() if set(values.dims) == {"y", "x"}]
    chosen = flat if names is None else list(names)
    wrong = [name for name in chosen if name not in flat]
    if wrong or not chosen:
        raise InputError("this is no map", where=", ".join(wrong) or "maps", expected="variables (y, x)", got=str(flat))
    facts = facts_of(maps)
    if (target / ATTRIBUTES).exists() and not overwrite:
        raise ConflictError("the file exists", where=str(target / ATTRIBUTES), todo="overwrite=True")
    files = write_cog(with_words(maps)[chosen], target, overwrite=overwrite, **options)
    write_text(target / ATTRIBUTES, json.dumps(facts, indent=2, sort_keys=True) + "\n")
    return {**files, "attributes": target / ATTRIBUTES}


def points_of(
    dataset: xr.Dataset, points: ArrayLike | geopandas.GeoSeries | geopandas.GeoDataFrame | None = None
) -> geopandas.GeoDataFrame:
    """Take the values at points as a table.

    Parameters
    ----------
    dataset : Dataset
        A series or maps: variables (y, x) and (time, y, x).
    points : array (point, 2), or points of geopandas, optional
        ``y``, ``x`` in the CRS of the dataset, or points in any CRS, which give the values of the pixels that they lie
        in. By default the pixels that have a value.

    Returns
    -------
    geopandas.GeoDataFrame
        ``y``, ``x`` of the pixel (of its centre, in the CRS of the dataset), then maps by their names, then of each
        variable with times a column for each: ``displacement_20180106``. Geometry: the centre of the pixel. Its
        ``attrs`` are :func:`facts_of`. What is missing is NaN.

    Raises
    ------
    InputError
        If a point lies outside.
    BudgetError
        If there would be more than two million points.
    MetadataError
        If the dataset has no CRS, or as :func:`facts_of`.
    """
    import geopandas
    import pandas as pd

    from terracube.cubes.gridlike import grid_like

    grid = grid_like(dataset)
    facts = facts_of(dataset)
    layers = {str(k): v for k, v in dataset.data_vars.items() if v.dims[-2:] == ("y", "x") and v.ndim <= 3}
    rows, cols = _everywhere(dataset) if points is None else _pixels_of(dataset, points, grid.crs)
    pick = {"y": xr.DataArray(rows, dims="point"), "x": xr.DataArray(cols, dims="point")}
    found = dataset[list(layers)].isel(pick).compute()
    columns: dict[str, NDArray[Any]] = {name: found[name].values.astype("float64") for name in ("y", "x")}
    columns |= {name: found[name].values for name in layers if found[name].ndim == 1}
    for name in layers:
        if found[name].ndim == 2:
            values = found[name].transpose("time", "point").values
            columns |= dict(zip((f"{name}_{day}" for day in _days(found)), values, strict=True))
    frame = pd.DataFrame(columns)
    if points is None:
        seen = frame.drop(columns=["y", "x", *(name for name in (*_COUNTS, "dem") if name in frame)])
        seen = seen.drop(columns=[name for name in seen if str(name).startswith(("los_", "incidence"))])
        frame = frame[seen.notna().any(axis=1)].reset_index(drop=True)
    placed = geopandas.GeoDataFrame(frame, geometry=geopandas.points_from_xy(frame["x"], frame["y"]), crs=grid.crs)
    placed.attrs = facts
    return placed


def write_points(
    dataset: xr.Dataset,
    path: str | os.PathLike[str],
    points: ArrayLike | geopandas.GeoSeries | geopandas.GeoDataFrame | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Write the values at points: GeoParquet, or CSV with longitude and latitude.

    Parameters
    ----------
    dataset, points
        As :func:`points_of`.
    path : path
        ``.parquet``, ``.geoparquet`` or ``.csv``. The attributes are in the metadata of GeoParquet, and beside a CSV
        in ``{path}.json``.
    overwrite : bool
        Replace what is there.

    Raises
    ------
    InputError
        If the format is another, or as :func:`points_of`.
    ConflictError
        If the file exists.
    StorageError
        If the disk refuses.
    """
    target = Path(path)
    if target.suffix not in _FORMATS:
        raise InputError(
            "unknown format of points", where=str(path), expected=", ".join(_FORMATS), got=target.suffix or "none"
        )
    safe_name(target.name, what="name of a file")
    if target.exists() and not overwrite:
        raise ConflictError("the file exists", where=str(path), todo="choose another, or overwrite=True")
    frame = points_of(dataset, points)
    if target.suffix != ".csv":
        with atomic_path(target) as staging:
            frame.to_parquet(staging, index=False)
        return target
    there = frame.geometry.to_crs("OGC:CRS84")
    table = frame.drop(columns="geometry")
    table.insert(2, "longitude", there.x)
    table.insert(3, "latitude", there.y)
    text = json.dumps({**frame.attrs, "crs": frame.crs.to_string()}, indent=2, sort_keys=True)
    write_text(target.with_name(f"{target.name}.json"), text + "\n")
    write_text(target, table.to_csv(index=False, lineterminator="\n", float_format="%.9g"))
    return target


def _everywhere(dataset: xr.Dataset) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    shape = (dataset.sizes["y"], dataset.sizes["x"])
    _affordable(shape[0] * shape[1])
    rows, cols = np.indices(shape)
    return rows.ravel().astype("int64"), cols.ravel().astype("int64")


def _affordable(count: int) -> None:
    if count > _MOST_POINTS:
        raise BudgetError(
            "too many points for one table",
            expected=f"<= {_MOST_POINTS}",
            got=str(count),
            todo="give points, or a part or every n-th pixel of the dataset",
        )


def _pixels_of(dataset: xr.Dataset, points: Any, crs: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if hasattr(points, "geometry"):
        if points.crs is None:
            raise MetadataError("the points have no CRS", where="points", todo="points.set_crs(...)")
        placed = points.geometry.to_crs(crs)
        if not (placed.geom_type == "Point").all():
            raise InputError("these are no points", where="points", got=", ".join(map(str, placed.geom_type.unique())))
        given = np.stack([placed.y, placed.x], axis=1)
    else:
        given = np.asarray(points, "float64")
    if given.ndim != 2 or given.shape[1] != 2 or not np.isfinite(given).all():
        raise InputError("these are no points", where="points", expected="(point, 2): y and x", got=str(given.shape))
    _affordable(len(given))
    return _index(dataset, "y", given[:, 0]), _index(dataset, "x", given[:, 1])


def _index(dataset: xr.Dataset, name: str, places: NDArray[np.float64]) -> NDArray[np.int64]:
    from terracube.cubes.gridlike import grid_like

    step = abs(grid_like(dataset).resolution["yx".index(name)])
    axis = np.asarray(dataset[name].values, "float64")
    sign = -1.0 if axis[0] > axis[-1] else 1.0
    found = np.floor((places - axis[0]) * sign / step + 0.5).astype("int64")
    outside = (found < 0) | (found >= axis.size)
    if outside.any():
        raise InputError(
            "a point lies outside the dataset",
            where=f"points, {name}",
            expected=f"{axis.min() - step / 2} to {axis.max() + step / 2}",
            got=", ".join(map(str, places[outside][:5])),
        )
    return np.asarray(found, "int64")


def _days(found: xr.Dataset) -> list[str]:
    times = found["time"].values.astype("datetime64[s]")
    for unit in ("D", "s"):
        names = [str(time).replace("-", "").replace(":", "") for time in times.astype(f"datetime64[{unit}]")]
        if len(set(names)) == len(names):
            return names
    raise InputError("a time is told twice", where="time", expected="different times")


def _plain(value: Any) -> Any:
    """Give an attribute as JSON holds it."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)
