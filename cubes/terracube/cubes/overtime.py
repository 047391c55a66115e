"""Reduce a cube over time, fused with reading: the dates of a block are read, masked, reduced and forgotten."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import annotate, tokenize
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.cubes.blocks import BlockReader
from terracube.cubes.cut import Blocks, cut
from terracube.cubes.doors import map_blocks, pick
from terracube.cubes.gridlike import GridLike
from terracube.cubes.layout import attributes_of, georeference, unit_of
from terracube.cubes.load import Chunks, plan_node, prepare, remember
from terracube.cubes.plan import BandPlan, CubePlan
from terracube.cubes.reducers import reduce_time as reduce_dates
from terracube.cubes.reducers.overtime import How

_KINDS = ("median", "mean", "min", "max")


def reduce_time(
    source: Iterable[Any] | xr.Dataset,
    how: How = "median",
    *,
    grid: GridLike | None = None,
    chunks: Chunks = "auto",
    **options: Any,
) -> xr.Dataset:
    """Reduce a cube over time, lazily, one task per block.

    Numbers of files are reduced as they are stored and scaled afterwards, where all dates of a band share one scale
    and offset and none is blended: it takes a fraction of the memory, and differs from reducing the scaled values by
    their rounding alone.

    Parameters
    ----------
    source : iterable of items, or Dataset (time, y, x)
    how : str or ("percentile", q)
        ``"median"``, ``"mean"``, ``"min"``, ``"max"``, or a percentile with linear interpolation.
    grid, chunks, options
        As for :func:`terracube.cubes.load`.

    Returns
    -------
    xarray.Dataset
        For each band a variable (y, x), NaN where no date is clear (``attrs["nodata"]`` for ``min`` and ``max`` of
        ``"dn"``), and ``<band>_count``: uint16, the number of dates it comes from.

    Raises
    ------
    InputError
        If ``how`` is unknown, or as :func:`terracube.cubes.load`.
    """
    share = how[1] if isinstance(how, tuple) and len(how) == 2 and how[0] == "percentile" else None
    if not (how in _KINDS or (isinstance(share, int | float) and 0 <= share <= 100)):
        expected = f"{', '.join(_KINDS)} or ('percentile', q)"
        raise InputError("unknown reducer", where="how", expected=expected, got=repr(how)[:80])
    if isinstance(source, xr.Dataset):
        return _of_dataset(source, how, grid, chunks, options)
    call = prepare(source, grid=grid, chunks=chunks, **options)
    plan = call.plan
    if call.engine != "terracube":
        raise InputError("blocks are read by our own engine alone", where="engine", got=repr(call.engine))
    remember(plan)
    # What a block holds are numbers as they are stored.
    blocks = cut(replace(plan, bands=_as_read(plan)), chunks)
    blocks = Blocks((len(plan.groups),), blocks.y, blocks.x)
    key = f"overtime-{plan.digest[:24]}-{tokenize(how, blocks)[:16]}"
    ones = tuple((1,) * len(sizes) for sizes in (blocks.y, blocks.x))
    # Fused into the small tasks that take its variables out, a block would be computed once for each of them.
    with annotate(fuse=False):
        done = da.map_blocks(
            _run, plan_node(plan), how, blocks, chunks=ones, dtype=object, meta=np.empty((0, 0), object), name=key
        )
    variables: dict[str, xr.DataArray] = {}
    for band in plan.bands:
        attrs = {"long_name": _title(band.name, how)}
        result = _result_type(band, how)
        kept = {"nodata": np.dtype(result).type(band.fill).item()} if np.dtype(result).kind in "iu" else {}
        variables[band.name] = _layer(done, band.name, result, blocks, plan, attrs | kept | unit_of(plan, band))
        told = {"long_name": f"{band.name}: dates with a clear observation", "units": "1"}
        variables[f"{band.name}_count"] = _layer(done, f"{band.name}_count", "uint16", blocks, plan, told)
    return xr.Dataset(variables, attrs=attributes_of(plan, call.left_out))


def _layer(
    done: da.Array, name: str, dtype: str, blocks: Blocks, plan: CubePlan, attrs: dict[str, Any]
) -> xr.DataArray:
    lazy = da.map_blocks(
        pick, done, name, chunks=blocks.chunks[1:], dtype=dtype, meta=np.empty((0, 0), dtype),
        name=f"{name}-{done.name}",
    )  # fmt: skip
    return georeference(xr.DataArray(lazy, dims=("y", "x")), plan.grid).assign_attrs(attrs)


def _stored(plan: CubePlan, band: BandPlan) -> BandPlan | None:
    """Give the plan of a band as it is stored, if reducing that and scaling the result is exact."""
    sources = [scene.bands[band.name] for group in plan.groups for scene in group]
    if not band.scaled or band.method not in ("nearest", "mode"):
        return None
    first = sources[0]
    alike = all((s.dtype, s.nodata, s.scale, s.offset) == (first.dtype, first.nodata, first.scale, first.offset)
                for s in sources)  # fmt: skip
    if any(source.nodata_default and not source.known for source in sources):
        return None  # the header may say another number
    if not alike or first.nodata is None or first.dtype not in ("uint8", "uint16", "int16") or first.scale <= 0:
        return None
    return replace(band, dtype=first.dtype, nodata=float(first.nodata), scaled=False)


def _as_read(plan: CubePlan) -> tuple[BandPlan, ...]:
    return tuple(_stored(plan, band) or band for band in plan.bands)


def _result_type(band: BandPlan, how: How) -> str:
    if band.scaled:
        return band.dtype
    if how in ("min", "max"):
        return band.dtype
    return "float64" if np.dtype(band.dtype).itemsize > 2 and np.dtype(band.dtype).kind in "iu" else "float32"


def _run(plan: CubePlan, how: How, blocks: Blocks, block_id: tuple[int, ...]) -> NDArray[Any]:
    _, window = blocks.of((0, *block_id))
    target = plan.grid.window(*window)
    bands = _as_read(plan)
    reader = BlockReader(replace(plan, bands=bands), target)
    found: dict[str, NDArray[Any]] = {}
    for number, (band, read) in enumerate(zip(plan.bands, bands, strict=True)):
        values = reader.band(number)
        result, count = reduce_dates(values, how, nodata=bands[number].nodata)
        del values
        if band.scaled and not read.scaled:
            result = _scaled(plan, band, result, count)
        found[band.name], found[f"{band.name}_count"] = result, count
    reader.tell()
    out = np.empty((1, 1), object)
    out[0, 0] = found
    return out


def _scaled(plan: CubePlan, band: BandPlan, result: NDArray[Any], count: NDArray[Any]) -> NDArray[Any]:
    source = plan.groups[0][0].bands[band.name]
    values = (result.astype("float64") * source.scale + source.offset).astype(band.dtype)
    values[count == 0] = np.nan
    return values


def _of_dataset(
    source: xr.Dataset, how: How, grid: GridLike | None, chunks: Chunks, options: dict[str, Any]
) -> xr.Dataset:
    template = {}
    for name, values in source.data_vars.items():
        wide = np.dtype(values.dtype).itemsize > 2 and values.dtype.kind in "iu"
        floating = "float64" if wide else "float32"
        template[str(name)] = values.dtype.name if how in ("min", "max") else floating
        template[f"{name}_count"] = "uint16"
    found = map_blocks(source, grid, _Reduce(how), template, chunks=chunks, **options)
    for name, values in source.data_vars.items():
        kept = ("units", "nodata") if template[str(name)] == values.dtype.name else ("units",)
        found[name].attrs |= {key: values.attrs[key] for key in kept if key in values.attrs}
        found[name].attrs["long_name"] = _title(str(name), how)
        found[f"{name}_count"].attrs |= {"long_name": f"{name}: dates with a clear observation", "units": "1"}
    return found


def _title(name: str, how: How) -> str:
    return f"{name}: {how if isinstance(how, str) else f'{how[1]:g} % percentile'} over time"


class _Reduce:
    """A function on blocks that reduces every variable; named by what it does."""

    def __init__(self, how: How) -> None:
        self.how = how

    def __dask_tokenize__(self) -> tuple[str, How]:
        return "terracube-reduce-time", self.how

    def __call__(self, block: xr.Dataset) -> dict[str, NDArray[Any]]:
        found = {}
        for name, values in block.data_vars.items():
            data = np.ascontiguousarray(values.values)
            result, count = reduce_dates(data, self.how, nodata=values.attrs.get("nodata"))
            found[str(name)], found[f"{name}_count"] = result, count
        return found
