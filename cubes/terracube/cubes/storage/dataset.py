"""Keep a cube: any dataset with y and x, in memory or lazy, as a Zarr store that is whole or not there."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from dask.base import compute

from terracube.core.errors import ConflictError, InputError, StorageError
from terracube.core.files import STAGING_PREFIX, atomic_path, remove, storage_error, sync
from terracube.core.progress import ProgressCallback, silent
from terracube.cubes.storage.attributes import GRID_MAPPING
from terracube.cubes.storage.chunks import CHUNK, Variable
from terracube.cubes.storage.describe import (
    asked_method,
    attributes_of,
    coordinate_of,
    grid_of,
    ordered,
    variable_of,
)
from terracube.cubes.storage.pyramid import count_levels
from terracube.cubes.storage.regions import make_frame, write_regions
from terracube.cubes.storage.zarr import Coordinate, Scheme, create_store, finish_store, write_small

_CHUNKS = (64, 2048)
_SCRATCH = ".pieces"
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
_PATIENCE = 100  # times 20 ms


def write_zarr(
    ds: xr.Dataset | xr.DataArray,
    path: str | os.PathLike[str],
    *,
    multiscales: bool | int = True,
    chunks: int = CHUNK,
    resampling: str | Mapping[str, str] | None = None,
    overwrite: bool = False,
    progress: ProgressCallback = silent,
) -> Path:
    """Write a cube as a Zarr v3 store that xarray, rioxarray, GDAL and GeoZarr readers place right.

    A lazy cube is computed region by region, by dask's scheduler at hand (an active ``distributed.Client`` if there
    is one, whose workers must see the folder), each region once, whatever the number of variables and levels; memory
    is that of the regions in work. The bytes do not depend on how the cube is chunked, nor on threads, nor on time.

    Parameters
    ----------
    ds : Dataset or DataArray
        Variables with axes ``y`` and ``x``, and any before them (``time``, ``band``): integers, floats or bool. Needs
        a CRS (``ds.rio.crs``) and evenly spaced coordinates, north up. Values are stored as they are in memory; NaN is
        missing, and so is the number that ``nodata``, ``_FillValue`` or ``missing_value`` in a variable's attributes
        names. Variables without ``y`` and ``x`` are kept beside.
    path : path
        Final name of the store; it appears only when every chunk is written, read back and compared.
    multiscales : bool or int
        Levels of half the resolution, made from the regions in memory: ``True`` = until one chunk holds the whole
        cube. Level ``n`` is the group ``n``, opened by ``xarray.open_zarr(path, group="n")``.
    chunks : int
        Pixels along each side of a chunk, a power of two from 64 to 2048; one time per chunk.
    resampling : str or mapping
        How levels are made: ``"average"`` (the mean of all valid pixels), ``"nearest"``, ``"mode"``; or one for each
        variable (``"*"`` for others). Else the attribute ``overview_resampling``, else nearest for classes
        (``flag_values``, ``flag_meanings``, bool) and counts (``standard_name``), average for all else.
    overwrite : bool
        Replace a Zarr store of this name, at the end; anything else is never replaced.
    progress : callable
        Called with the number of tasks done, and of all.

    Returns
    -------
    pathlib.Path
        The store.

    Raises
    ------
    ConflictError
        If the path exists and may not be replaced, also where another writer took it in the meantime: of several
        that begin together without ``overwrite``, one succeeds, and what it wrote stays.
    InputError, MetadataError
        Naming the variable, coordinate or attribute that cannot be stored, or what the grid lacks.
    StorageError
        If the disk refuses, or the workers of a cluster do not see the folder.
    IntegrityError
        If a chunk read back is not the one written.
    """
    target = Path(path)
    _check_target(target, overwrite)
    scheme, sources, others = plan_store(ds, chunks=chunks, multiscales=multiscales, resampling=resampling)
    with _staged(target, overwrite) as staging:
        create_store(staging, scheme)
        scratch = staging / _SCRATCH
        written = write_regions(make_frame(staging, scratch, scheme, sources), sources, progress)
        remove(scratch)
        for name, told in zip(others, compute(*others.values()), strict=True):
            write_small(staging, name, coordinate_of(name, told))
        finish_store(staging)
        _check_count(staging, scheme, written)
    return target


def plan_store(
    ds: xr.Dataset | xr.DataArray,
    *,
    chunks: int,
    multiscales: bool | int,
    resampling: str | Mapping[str, str] | None,
) -> tuple[Scheme, dict[str, Any], dict[str, xr.DataArray]]:
    """Describe the store of a dataset; give its scheme, its pixels by variable, and its variables without y and x."""
    whole = ds.to_dataset(name=ds.name or "data") if isinstance(ds, xr.DataArray) else ds
    if chunks not in {1 << n for n in range(_CHUNKS[0].bit_length() - 1, _CHUNKS[1].bit_length())}:
        raise InputError(
            "chunks of this size are not written", where="chunks", expected="64, 128, ... 2048", got=f"{chunks}"
        )
    grid = grid_of(whole)
    levels = count_levels(grid.shape, chunks, multiscales)
    variables: list[Variable] = []
    sources: dict[str, Any] = {}
    others: dict[str, xr.DataArray] = {}
    for key, array in whole.data_vars.items():
        name = str(key)
        if not {"y", "x"} & set(array.dims):
            others[name] = array
            continue
        placed = ordered(name, array)
        variables.append(variable_of(name, placed, asked_method(name, resampling)))
        sources[name] = placed.data
    if not variables:
        raise InputError("the dataset has no variable with axes y and x", got=", ".join(map(str, whole.data_vars)))
    _check_names({*map(str, whole.variables)}, levels)
    axes = {name: np.asarray(whole[name].values, "float64") for name in "yx" if name in whole.coords}
    attributes = attributes_of(whole.attrs, where="the dataset")
    scheme = Scheme(grid, tuple(variables), chunks, levels, attributes, _coordinates(whole), axes)
    return scheme, sources, others


def _check_names(names: set[str], levels: int) -> None:
    clash = names & {str(level) for level in range(1, levels + 1)}
    if clash:
        raise InputError("the name of a variable is that of a level", got=", ".join(sorted(clash)), todo="rename it")


def _coordinates(ds: xr.Dataset) -> dict[str, Coordinate]:
    found = {}
    for key, array in ds.coords.items():
        name = str(key)
        if name in ("y", "x", GRID_MAPPING, ds.rio.grid_mapping):
            continue
        if {"y", "x"} & set(array.dims):
            raise InputError(
                "a coordinate spans the grid", where=name, todo=f"make it a variable: ds.reset_coords({name!r})"
            )
        found[name] = coordinate_of(name, array)
    return found


def _check_target(target: Path, overwrite: bool) -> None:
    if not (target.exists() or target.is_symlink()):
        return
    if not overwrite:
        raise ConflictError("the path exists", where=str(target), todo="choose another, or overwrite=True")
    if target.is_symlink() or not (target / "zarr.json").is_file():
        raise ConflictError("what is there is no Zarr store, and is not replaced", where=str(target))


@contextmanager
def _staged(target: Path, overwrite: bool) -> Iterator[Path]:
    """Yield a folder beside the target that takes its name at the end, and the place of what was there."""
    aside = target.with_name(f"{STAGING_PREFIX}{os.getpid()}-{threading.get_ident()}-before-{target.name}")
    placed = False
    try:
        with atomic_path(target) as staging:
            with _cleared(staging):
                yield staging
            _check_target(target, overwrite)  # others may have written it in the meantime
            if overwrite and target.exists():
                sync(staging)  # before, not while, nothing has the name
                with suppress(FileNotFoundError):  # another writer put it aside
                    os.replace(target, aside)
        placed = True  # the name is given as that block ends
    except StorageError as error:
        # A folder takes no name that another one has; whoever got it between the last look and the renaming keeps it.
        if _is_taken(error.__cause__, target):
            raise ConflictError(
                "another writer was faster", where=str(target), todo="choose another path, or overwrite=True"
            ) from error
        raise
    except OSError as error:
        raise storage_error(error, target) from error
    finally:
        remove(aside) if placed else _put_back(aside, target)


def _put_back(aside: Path, target: Path) -> None:
    """Give what was there its name again, unless another writer has put a store there."""
    if aside.exists():
        with suppress(OSError):
            os.replace(aside, target)
        if target.exists():
            remove(aside)


@contextmanager
def _cleared(staging: Path) -> Iterator[None]:
    """Remove a folder after an error, while tasks that were under way may still be writing into it."""
    whole = False
    try:
        yield
        whole = True
    finally:
        for _ in range(0 if whole else _PATIENCE):
            with suppress(OSError):  # what is left is tried, and told, once more by who made the folder
                remove(staging)
                break
            time.sleep(0.02)


def _is_taken(error: BaseException | None, target: Path) -> bool:
    """Tell whether it was the renaming to the target that failed, because something is there."""
    if not isinstance(error, OSError) or error.filename2 != str(target):
        return False
    # It may be gone again by now, if a third writer is about to replace it.
    return error.errno in _TAKEN or os.path.lexists(target)


def _check_count(staging: Path, scheme: Scheme, written: int) -> None:
    """Compare the chunks on disk with those that tasks say they wrote."""
    names = {variable.name for variable in scheme.variables}
    folders = [staging, *(staging / str(level) for level in range(1, scheme.levels + 1))]
    there = sum(
        1 for folder in folders for name in names for path in (folder / name / "c").rglob("*") if path.is_file()
    )
    if there != written:
        raise StorageError(
            "chunks that were written are not in the store",
            where=str(staging),
            expected=f"{written} chunks",
            got=str(there),
            todo="let the workers of the cluster see the same folder",
        )
