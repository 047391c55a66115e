"""The series of a lake: how much of it was seen at each date, how large it was, and what was in its water."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import shapely
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.cubes.sampling.zones import Zones, find_zones, reduce_zones
from terracube.processing.water.lakes._measure import FRACTIONS, Names, Order, Summary, measure, summary
from terracube.processing.water.lakes.areas import on_ground
from terracube.processing.water.masks.flags import UNCLEAR, bitmask, no_flags_of_others

# Pixels of a polygon whose values are kept for quantiles: of 65536, the rank of the median is off by 0.4 % at most.
_MOST_VALUES = 1 << 16
_NOISE, _ALGORITHM = "_noise", "_algorithm"
_P10, _P25, _P50, _P75, _P90 = range(len(FRACTIONS))

STATUS: MappingProxyType[str, str] = MappingProxyType(
    {
        "ok": "enough of the polygon was seen",
        "too few valid": "less of it was seen than asked for: nothing is said of its water",
        "not seen": "none of it was seen at this date: clouds, ice, or no scene",
        "outside": "no pixel of the cube lies in it",
    }
)
"""What the column ``status`` may say."""


def series(
    out: xr.Dataset,
    polygons: Any,
    *,
    min_valid: float = 0.5,
    products: Sequence[str] | None = None,
    mask: str | None = "auto",
    id: str | None = None,  # noqa: A002  the word users look for
    **options: Any,
) -> pd.DataFrame:
    """Summarise water products in lakes, reaches or coastal strips: one row per polygon and date.

    Pixels count by the share of their area that lies in the polygon, so that lakes of a few pixels, and even of less
    than one, have an area too. Each block that holds a polygon is read once, and no other; the result does not depend
    on how the data are cut, nor on which other polygons are asked for.

    Parameters
    ----------
    out : xarray.Dataset
        Variables (time, y, x) or (y, x), lazy or not, with CRS: the mask, ``flags`` if there, and products with NaN
        where missing; beside a product ``x`` its standard errors ``x_noise`` and ``x_algorithm``, if there.
    polygons : geopandas.GeoDataFrame, geopandas.GeoSeries, or shapely geometries
        Polygons and multipolygons, in any CRS.
    min_valid : float
        Least share of the polygon's area that has to be seen, in (0, 1]. What lies beyond the cube is not seen.
    products : sequence of str, optional
        Which variables; all with floating numbers that are no errors, unless given.
    mask : str or None
        Variable that is 1 on water, 0 on land and something else where it is not known. ``None``: what has a value of
        any product is water, and nothing is said about areas of water. ``"auto"``: ``water`` if there is one, as
        :func:`~terracube.processing.water.mask` gives it, else ``None``.
    id : str, optional
        Column that names the polygons; without it their index does. Names must differ.
    **options
        ``crs``: of polygons that carry none. ``flags`` ("flags"): variable of bit flags, or ``None``. ``unclear``:
        names of the flags under which a pixel is not seen, whatever the mask says; those that say nothing about water,
        and ice, unless given. ``refused``: names of the flags under which a pixel of water counts for areas, but not
        for products; ``("near_land",)`` unless given, which is set only where a mask was made with ``near_land``: light
        from land is mixed in there. ``glint``, ``haze`` and ``negative`` are others to think of. ``area``: "grid"
        (plane of the CRS), "ground" (ellipsoid), or "auto" (grid, but ground in longitude and latitude and where the
        CRS is off by more than 1 %).

    Returns
    -------
    pandas.DataFrame
        Polygons in their order, dates ascending; NaN wherever ``status`` is not ``ok``, except for what was seen.

        - ``id``; ``time`` (if the cube has dates); ``status`` (see :data:`STATUS`); ``note``.
        - ``area_total`` (m2): of the polygon; ``valid_fraction``: share of it that was seen; ``cloud_fraction``,
          ``ice_fraction`` (where there are flags): share under clouds or their shadows, and under ice.
        - ``wet_fraction``: share of water in what was seen; ``area_wet`` (m2): this share of the whole polygon, that
          is, the unseen part taken to be like the seen one; ``area_wet_min``, ``area_wet_max``: if all of the unseen
          part were dry, and if all were wet.
        - per product ``x`` (classes are none): ``x_n`` (pixels of water with a value), ``x_median``, ``x_iqr``,
          ``x_p10``, ``x_p90``, by area; where the errors are there ``x_pixel_noise`` (mean noise of one pixel),
          ``x_noise`` (of the median: noise differs from pixel to pixel and averages down with their number; where
          bands are coarser than the pixels it is a lower bound), ``x_algorithm`` (of the median: the formula errs in
          the same way for all pixels of a lake, so its error stays), and ``x_error``, both together (square root of
          the sum of squares).
        - ``pixels``: pixels of the cube that the polygon touches.

        ``attrs["units"]`` names the unit of each column that has one.

    Raises
    ------
    InputError
        If a variable or option is unknown, a polygon is empty, invalid or no polygon, or two have one name.
    MetadataError
        If the CRS of the cube or of the polygons is missing.

    Notes
    -----
    Quantiles of polygons of more than 65536 pixels are those of about 65536 of them, chosen by their place.

    Examples
    --------
    >>> import rioxarray
    >>> water = xr.DataArray([[1, 1], [0, 255]], dims=("y", "x"), coords={"y": [15.0, 5.0], "x": [5.0, 15.0]})
    >>> out = xr.Dataset({"water": water.astype("uint8"), "spm": 2.0 * water}).rio.write_crs("EPSG:32633")
    >>> table = series(out, [shapely.box(0, 0, 20, 20)], crs="EPSG:32633")
    >>> table[["status", "area_total", "valid_fraction", "area_wet_min", "area_wet_max", "spm_median"]].values.tolist()
    [['ok', 400.0, 0.75, 200.0, 300.0, 2.0]]
    """
    settled = _options(options)
    if not (isinstance(min_valid, int | float) and 0 < min_valid <= 1):
        raise InputError("the least share is no share", where="min_valid", expected="in (0, 1]", got=repr(min_valid))
    if mask == "auto":
        mask = "water" if "water" in out.data_vars else None
    names = _names(out, products, mask, settled["flags"])
    zones = find_zones(out[_needed(names)], polygons, id=id, crs=settled["crs"])
    order = _order(zones, names, settled)
    answers = reduce_zones(zones, partial(measure, order=order), summary)
    table = _table(zones, names, answers, float(min_valid), order)
    table.attrs["units"] = _units(out, table, names)
    return table


def to_dataset(table: pd.DataFrame) -> xr.Dataset:
    """Give a series as a dataset: variables (id, time), or (id,) without dates, with their units.

    Dates that a polygon has no row for are NaN; ``status`` and ``note`` are text, empty there.

    Raises
    ------
    InputError
        If a polygon has two rows of one date.

    Examples
    --------
    >>> dates = pd.to_datetime(["2023-08-10", "2023-08-13"])
    >>> to_dataset(pd.DataFrame({"id": "a", "time": dates, "area_wet": [1.0, 2.0]})).sizes
    Frozen({'id': 1, 'time': 2})
    """
    axes = [name for name in ("id", "time") if name in table.columns]
    if table.duplicated(axes).any():
        row = table.loc[table.duplicated(axes), axes].iloc[0].tolist()
        raise InputError("a polygon has two rows of one date", where="time", got=str(row)[:120], todo="drop one")
    indexed = table.set_index(axes)
    whole = pd.MultiIndex.from_product([pd.unique(table[name]) for name in axes], names=axes).sort_values()
    spread = indexed.reindex(whole if len(axes) > 1 else pd.Index(pd.unique(table["id"]), name="id"))
    cube = xr.Dataset.from_dataframe(spread)
    for name in cube.data_vars:
        unit = table.attrs.get("units", {}).get(name)
        if unit is not None:
            cube[name].attrs["units"] = unit
        elif cube[name].dtype.kind == "O":
            cube[name] = cube[name].fillna("")
    ordered: xr.Dataset = cube.sel(id=pd.unique(table["id"]))
    return ordered


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    known = {"crs": None, "flags": "flags", "unclear": UNCLEAR, "refused": ("near_land",), "area": "auto"}
    wrong = [name for name in given if name not in known]
    if wrong:
        raise InputError("unknown option", where=", ".join(wrong), expected=", ".join(known))
    for name in ("unclear", "refused"):
        if isinstance(given.get(name), str):
            raise InputError("flags are named in a list", where=name, expected=f"[{given[name]!r}]", got="one text")
    return {**known, **given}


def _names(out: xr.Dataset, products: Sequence[str] | None, mask: str | None, flags: str | None) -> Names:
    """Settle which variable says what, before anything is read."""
    if products is None:
        there = [str(name) for name, array in out.data_vars.items() if array.dtype.kind == "f" and name != mask]
        parts = {name + part for name in there for part in (_NOISE, _ALGORITHM)}
        # Classes have no middle.
        products = [name for name in there if name not in parts and "flag_values" not in out[name].attrs]
    chosen = (products,) if isinstance(products, str) else tuple(products)
    _check_names(out, chosen, mask)
    if mask is None and not chosen:
        raise InputError("there is nothing to summarise", expected="a mask, or products with floating numbers")
    if classes := [name for name in chosen if "flag_values" in out[name].attrs]:
        raise InputError(
            "classes have no median", where=", ".join(classes)[:200], expected="products that are measured"
        )
    if len(set(chosen)) < len(chosen):
        raise InputError("the same product twice", where="products", got=", ".join(chosen)[:200])
    noise, algorithm = (
        tuple(name + part if name + part in out.data_vars else None for name in chosen) for part in (_NOISE, _ALGORITHM)
    )
    found = flags if flags is not None and flags in out.data_vars else None
    if flags not in (None, "flags") and found is None:
        raise InputError("there is no such variable", where="flags", got=repr(flags)[:80])
    if found is not None:
        no_flags_of_others(out[found])
    return Names(mask, found, chosen, noise, algorithm)


def _check_names(out: xr.Dataset, products: Sequence[str], mask: str | None) -> None:
    """Refuse variables that are not there; a mask is not there where `retrieve` made the products."""
    there = ", ".join(map(str, out.data_vars))[:200]
    absent = [name for name in products if name not in out.data_vars]
    if absent:
        raise InputError("there is no such variable", where=", ".join(absent)[:200], expected="one of these", got=there)
    if mask is not None and mask not in out.data_vars:
        raise InputError(
            "there is no such variable: the mask of water",
            where=f"mask={mask!r}",
            expected="a variable that is 1 on water and 0 on land",
            got=there,
            todo="out.assign(water=found.water, flags=found.flags) with found = water.mask(cube); "
            "or mask=None, if what has a value is water",
        )


def _needed(names: Names) -> list[str]:
    told = (names.mask, names.flags, *names.products, *names.noise, *names.algorithm)
    return list(dict.fromkeys(name for name in told if name is not None))


def _order(zones: Zones, names: Names, settled: Mapping[str, Any]) -> Order:
    sizes = shapely.area(zones.shapes)
    return Order(
        grid=zones.grid,
        names=names,
        nodata=zones.nodata,
        ground=tuple(on_ground(zones.grid, shape, settled["area"]) for shape in zones.shapes),
        rates=tuple((_MOST_VALUES / np.maximum(sizes, _MOST_VALUES)).tolist()),
        unclear=bitmask(settled["unclear"]),
        refused=bitmask(settled["refused"]),
        cloud=bitmask(("cloud", "cloud_shadow")),
        ice=bitmask(("ice",)),
    )


def _table(
    zones: Zones, names: Names, answers: Sequence[Sequence[Summary]], min_valid: float, order: Order
) -> pd.DataFrame:
    times = zones.times
    dates = 1 if times is None else len(times)
    sequence = np.arange(dates) if times is None else np.argsort(times, kind="stable")
    outside, partly = zones.outside()
    blocks = []
    for number, found in enumerate(answers):
        block: dict[str, Any] = {"id": np.repeat(zones.ids[[number]], dates)}
        if times is not None:
            block["time"] = times
        total = _total(zones, found, number, partly=bool(partly[number]))
        block |= _rows(names, found, dates, total, min_valid)
        block["pixels"] = found[0].pixels if found else 0
        told = [
            "outside the cube" if outside[number] else "partly outside the cube" if partly[number] else "",
            "area on the ellipsoid" if order.ground[number] else "",
            "quantiles of a sample of pixels" if order.rates[number] < 1 else "",
        ]
        block["note"] = "; ".join(text for text in told if text)
        blocks.append(pd.DataFrame(block).iloc[sequence])
    return pd.concat(blocks, ignore_index=True)


def _total(zones: Zones, found: Sequence[Summary], number: int, *, partly: bool) -> float:
    """Give the area of a polygon in m2; NaN where it lies beyond the cube. What hangs over counts as the rest does."""
    if not found:
        return float("nan")
    if not partly:
        return found[0].area
    offset, size = zones.grid.offset, zones.grid.shape
    within = shapely.clip_by_rect(zones.shapes[number], offset.x, offset.y, offset.x + size.x, offset.y + size.y)
    return found[0].area * float(shapely.area(zones.shapes[number]) / shapely.area(within))


def _rows(
    names: Names, found: Sequence[Summary], dates: int, total: float, min_valid: float
) -> dict[str, NDArray[Any] | float]:
    """Give the columns of one polygon, (T,)."""
    missing = np.full((4, dates), np.nan)
    valid, wet, cloud, ice = np.concatenate([one.planes for one in found], axis=1) if found else missing
    share = np.minimum(valid / total, 1.0)
    status = np.where(
        share >= min_valid, "ok", np.where(valid > 0, "too few valid", "not seen" if found else "outside")
    )
    ok = status == "ok"
    rows: dict[str, NDArray[Any] | float] = {"status": status.astype(object), "area_total": total}
    rows["valid_fraction"] = share
    if names.flags is not None:
        rows |= {"cloud_fraction": np.minimum(cloud / total, 1.0), "ice_fraction": np.minimum(ice / total, 1.0)}
    if names.mask is not None:
        fraction = np.divide(wet, valid, out=np.full(dates, np.nan), where=ok)
        rows |= {"wet_fraction": fraction, "area_wet": fraction * total}
        rows["area_wet_min"] = np.where(ok, wet, np.nan)
        rows["area_wet_max"] = np.where(ok, np.minimum(wet + (total - valid), total), np.nan)
    for number, name in enumerate(names.products):
        rows |= _product(names, found, number, name, ok)
    return rows


def _product(
    names: Names, found: Sequence[Summary], number: int, name: str, ok: NDArray[np.bool_]
) -> dict[str, NDArray[Any]]:
    """Give the columns of one product of one polygon."""
    dates = ok.size
    quantiles, errors = np.full((dates, len(FRACTIONS)), np.nan), np.full((4, dates), np.nan)
    if found:
        quantiles = np.concatenate([one.quantiles[number] for one in found])
        errors = np.concatenate([one.errors[number] for one in found], axis=1)
    quantiles, told = np.where(ok[:, None], quantiles, np.nan), np.where(ok, errors, np.nan)
    columns = {
        f"{name}_n": np.nan_to_num(errors[0]).astype("int64"),
        f"{name}_median": quantiles[:, _P50],
        f"{name}_iqr": quantiles[:, _P75] - quantiles[:, _P25],
        f"{name}_p10": quantiles[:, _P10],
        f"{name}_p90": quantiles[:, _P90],
    }
    if names.noise[number] is not None:
        columns |= {f"{name}_pixel{_NOISE}": told[1], f"{name}{_NOISE}": told[2]}
    if names.algorithm[number] is not None:
        columns[f"{name}{_ALGORITHM}"] = told[3]
    if names.noise[number] is not None and names.algorithm[number] is not None:
        columns[f"{name}_error"] = np.hypot(told[2], told[3])
    return columns


def _units(out: xr.Dataset, table: pd.DataFrame, names: Names) -> dict[str, str]:
    units = {str(column): "m2" for column in table.columns if str(column).startswith("area_")}
    parts = ("_median", "_iqr", "_p10", "_p90", f"_pixel{_NOISE}", _NOISE, _ALGORITHM, "_error")
    for name in names.products:
        unit = out[name].attrs.get("units")
        units |= {name + part: str(unit) for part in parts if unit is not None and name + part in table.columns}
    return units
