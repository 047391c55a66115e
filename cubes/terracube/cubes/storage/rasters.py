"""Keep a cube's layers as COGs: one file per variable, whole and verified or not there."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, overload

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import compute
from numpy.typing import NDArray

from terracube.core.errors import ConflictError, InputError
from terracube.core.files import STAGING_PREFIX, remove, safe_name, storage_error
from terracube.core.progress import ProgressCallback, silent
from terracube.cubes.storage import cog
from terracube.cubes.storage.chunks import check_type
from terracube.cubes.storage.describe import asked_method, grid_of, ordered, variable_of
from terracube.cubes.storage.layers import Layer, strips

# Rows that are computed at once, where the blocks of the source are lower.
_STRIP = 512


@overload
def write_cog(
    ds: xr.DataArray,
    path: str | os.PathLike[str],
    *,
    resampling: str | Mapping[str, str] | None = ...,
    overwrite: bool = ...,
    threads: int = ...,
    progress: ProgressCallback = ...,
) -> Path: ...


@overload
def write_cog(
    ds: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    resampling: str | Mapping[str, str] | None = ...,
    overwrite: bool = ...,
    threads: int = ...,
    progress: ProgressCallback = ...,
) -> dict[str, Path]: ...


def write_cog(
    ds: xr.Dataset | xr.DataArray,
    path: str | os.PathLike[str],
    *,
    resampling: str | Mapping[str, str] | None = None,
    overwrite: bool = False,
    threads: int = 1,
    progress: ProgressCallback = silent,
) -> Path | dict[str, Path]:
    """Write an array (y, x) as a COG, or each variable of a dataset as one in a folder.

    A lazy cube is computed once, in strips of rows, all variables together; memory is that of a strip.

    Parameters
    ----------
    ds : DataArray or Dataset
        Axes ``y`` and ``x`` only; integers, floats, or bool (stored as 0 and 1). Needs a CRS and even coordinates,
        north up. Nodata, ``long_name``, ``units``, ``scale_factor`` and ``add_offset`` are taken from the attributes.
    path : path
        The file for an array, the folder for a dataset: its files are ``{variable}.tif``. Each appears only when
        every pixel was read back and compared.
    resampling : str or mapping
        How overviews are made, as in :func:`~terracube.cubes.storage.dataset.write_zarr`.
    overwrite : bool
        Replace files of these names.
    threads : int
        Threads for compression; the bytes do not depend on it.
    progress : callable
        Called with the number of strips computed and files written, and of all.

    Returns
    -------
    pathlib.Path or dict
        The file, or the file of each variable.

    Raises
    ------
    ConflictError
        If a file exists and may not be replaced.
    InputError, MetadataError
        Naming the variable that cannot be stored, or what the grid lacks.
    StorageError, IntegrityError
        If the disk refuses, or what was read back is not what was written.
    """
    target = Path(path)
    if isinstance(ds, xr.DataArray):
        name = str(ds.name or "data")
        files = {name: target}
        whole = ds.to_dataset(name=name)
    else:
        whole = ds
        files = {str(name): target / f"{safe_name(str(name), what='name of a variable')}.tif" for name in ds.data_vars}
    _check(files, overwrite)
    layers = {name: _layer(name, whole[name], asked_method(name, resampling)) for name in files}
    grid = grid_of(whole)
    arrays = {name: ordered(name, whole[name]).data for name in files}
    spool = _Spool(
        target.with_name(f"{STAGING_PREFIX}{os.getpid()}-{threading.get_ident()}-{target.name}.rows"), arrays
    )
    total = len(spool.strips) + len(files)
    try:
        spool.fill(lambda done: progress(done, total))
        for done, (name, file) in enumerate(files.items(), 1):
            cog.write_cog(file, spool.rows(name, layers[name].dtype), grid, layers[name], threads=threads)
            progress(len(spool.strips) + done, total)
    except OSError as error:
        raise storage_error(error, target) from error
    finally:
        remove(spool.folder)
    return target if isinstance(ds, xr.DataArray) else files


def _check(files: Mapping[str, Path], overwrite: bool) -> None:
    if not files:
        raise InputError("the dataset has no variable", expected="one or more with axes y and x")
    there = [str(file) for file in files.values() if file.exists()]
    if there and not overwrite:
        raise ConflictError("the file exists", where=", ".join(there[:5]), todo="choose another, or overwrite=True")


def _layer(name: str, array: xr.DataArray, method: str | None) -> Layer:
    if set(array.dims) != {"y", "x"}:
        raise InputError(
            "a COG holds one raster",
            where=name,
            expected="axes y and x",
            got=", ".join(map(str, array.dims)),
            todo="choose one, as in .isel(time=0), or keep the cube with write_zarr",
        )
    told = variable_of(name, ordered(name, array), method)
    dtype = "uint8" if told.dtype == "bool" else told.dtype
    title, unit = (str(array.attrs.get(key, "")) for key in ("long_name", "units"))
    scale, offset = (float(array.attrs.get(*each)) for each in (("scale_factor", 1.0), ("add_offset", 0.0)))
    return Layer(name, title or name, dtype, unit, told.missing, told.method, scale=scale, offset=offset)


class _Spool:
    """Rows of lazy arrays, computed once, all of them together, into plain files that each COG is then written from."""

    def __init__(self, folder: Path, arrays: Mapping[str, Any]) -> None:
        self.folder = folder
        self._arrays = arrays
        self._lazy = {name: array for name, array in arrays.items() if isinstance(array, da.Array)}
        height = next(iter(arrays.values())).shape[0]
        step = max([_STRIP, *(max(array.chunks[0]) for array in self._lazy.values())])
        self.strips = list(strips(height, step)) if self._lazy else []

    def fill(self, tell: Callable[[int], None]) -> None:
        """Compute the lazy arrays, strip by strip, all of them together."""
        if self._lazy:
            self.folder.mkdir(parents=True)
        for done, (start, stop) in enumerate(self.strips, 1):
            values = compute(*(array[start:stop] for array in self._lazy.values()))
            for name, rows in zip(self._lazy, values, strict=True):
                check_type(name, rows, self._lazy[name].dtype)
                with self._path(name).open("ab") as stream:
                    stream.write(np.ascontiguousarray(rows).data)
            tell(done)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.bin"

    def rows(self, name: str, dtype: str) -> cog.Rows:
        """Give what gives the rows of an array."""
        array = self._arrays[name]
        if name in self._lazy:
            array = np.memmap(self._path(name), array.dtype, "r", shape=array.shape)

        def rows(start: int, stop: int) -> NDArray[Any]:
            part = np.asarray(array[start:stop])
            return part.astype(dtype) if part.dtype.kind == "b" else part

        return rows
