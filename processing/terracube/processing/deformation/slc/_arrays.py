"""What the steps from radar images share: planes that fit each other, and blocks whose cut leaves no trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from terracube.core.errors import InputError

Plane = xr.DataArray | Any
"""An array (y, x): xarray's, numpy's or Dask's."""
_KINDS = {"c": "complex numbers", "f": "real numbers"}


def to_plane(values: Plane, kind: str, *, where: str) -> xr.DataArray:
    """Accept an array (y, x), or (pair, y, x), of complex ("c") or real ("f") numbers.

    Raises
    ------
    InputError
        If it has other dimensions or another type.
    """
    if not isinstance(values, xr.DataArray):
        plain = values if isinstance(values, da.Array) else np.asarray(values)
        values = xr.DataArray(plain, dims=("pair", "y", "x")[-plain.ndim :] if 2 <= plain.ndim <= 3 else None)
    kinds = "fiu" if kind == "f" else kind
    if values.dims not in (("y", "x"), ("pair", "y", "x")) or values.dtype.kind not in kinds:
        raise InputError(
            "this is no image",
            where=where,
            expected=f"{_KINDS[kind]} with dimensions (y, x), or (pair, y, x)",
            got=f"{values.dtype} with dimensions {tuple(map(str, values.dims))}",
            todo="np.exp(1j * phase) of a wrapped phase is an interferogram" if kind == "c" else "",
        )
    return values


def check_alike(planes: Mapping[str, xr.DataArray]) -> None:
    """Refuse planes of different sizes or places; those without coordinates are taken as they are.

    Raises
    ------
    InputError
        Naming the first that does not fit.
    """
    (first, like), *others = planes.items()
    for name, plane in others:
        if plane.shape != like.shape:
            raise InputError(f"it does not fit {first}", where=name, expected=str(like.shape), got=str(plane.shape))
        for axis in plane.dims:
            told = [one.coords[axis].values for one in (plane, like) if axis in one.coords]
            if len(told) == 2 and not np.array_equal(*told):
                raise InputError(f"its pixels are not those of {first}", where=f"{name}, {axis}", todo="align them")


def each_pair(core: Callable[..., Any], *planes: xr.DataArray | xr.Dataset | None) -> Any:
    """Call a function of planes (y, x), or datasets of them, for each pair, and put the answers together again."""
    given = planes[0]
    if given is None or "pair" not in given.dims:
        return core(*planes)
    parts = [
        core(*(None if plane is None else plane.isel(pair=number) for plane in planes))
        for number in range(given.sizes["pair"])
    ]
    if not parts:
        raise InputError("there is no pair", where="pair", expected="at least one")
    joined = xr.concat(parts, dim="pair", coords="minimal", compat="override", join="override")
    return joined.assign_coords({name: value for name, value in given.coords.items() if "pair" in value.dims})


def is_lazy(arrays: Sequence[Any]) -> bool:
    """Tell whether one of the arrays is Dask's."""
    return any(isinstance(array, da.Array) for array in arrays)


def cut_alike(arrays: Sequence[Any], *, multiple: Sequence[int] = (1, 1), least: int = 1) -> list[da.Array]:
    """Cut arrays (y, x) as the first lazy one is, with borders moved to multiples, and no piece below a size."""
    lazy = next(array for array in arrays if isinstance(array, da.Array))
    chunks = tuple(on_multiples(side, step, max(least, step)) for side, step in zip(lazy.chunks, multiple, strict=True))
    return [
        array.rechunk(chunks) if isinstance(array, da.Array) else da.from_array(array, chunks=chunks)
        for array in arrays
    ]


def on_multiples(sizes: Sequence[int], step: int, least: int) -> tuple[int, ...]:
    """Move borders down to multiples of a step, leaving out those that make a piece smaller than ``least``.

    Examples
    --------
    >>> on_multiples((5, 5, 5), 4, 4)
    (4, 4, 7)
    """
    whole = sum(sizes)
    borders, at = [0], 0
    for size in sizes[:-1]:
        at += size
        border = at - at % step
        if border - borders[-1] >= least and whole - border >= least:
            borders.append(border)
    return tuple(np.diff([*borders, whole]).tolist()) if whole else tuple(sizes)
