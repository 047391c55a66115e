"""Time series at points and statistics in polygons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import shapely
import xarray as xr
from numpy.typing import NDArray

from terracube.cubes.sampling._places import Places, to_places
from terracube.cubes.sampling._points import methods_of, read_points, to_spots
from terracube.cubes.sampling._raster import Raster, to_raster
from terracube.cubes.sampling._statistics import MOMENTS, Wanted, columns, to_wanted
from terracube.cubes.sampling._tables import Table, check_form, to_frame, to_xvec
from terracube.cubes.sampling._zones import Part, zonal

STATS = ("mean", "median", "std", "min", "max", "count")


def sample(
    data: Any,
    geometries: Any,
    *,
    method: str | Mapping[str, str] = "nearest",
    stats: str | Sequence[str] = STATS,
    all_touched: bool = False,
    as_: str = "frame",
    id: str | None = None,  # noqa: A002  the word users look for
    crs: Any = None,
    **load_options: Any,
) -> pd.DataFrame | xr.Dataset:
    """Sample a cube at points, or summarise it in polygons, at every date.

    Each chunk that holds a geometry is read once, all in one computation, and no other chunk is read. The result does
    not depend on how the data are cut into chunks; another order of the geometries gives the same rows in that order.

    Parameters
    ----------
    data : xarray.Dataset, xarray.DataArray, or STAC items
        Variables (time, y, x) or (y, x), lazy or not, with CRS and evenly spaced coordinates. Missing is NaN and the
        number that the attribute ``nodata`` (or ``_FillValue``) names. Items go through :func:`terracube.cubes.load`.
    geometries : geopandas.GeoDataFrame, geopandas.GeoSeries, or shapely geometries
        Either points or polygons and multipolygons, in any CRS. Straight edges are straight in that CRS.
    method : "nearest", "bilinear", or a mapping from variables to these
        For points. ``"nearest"``: the pixel that holds the point (on an edge, the one to the south or east).
        ``"bilinear"``: between the centres of the four pixels around, those that are missing left out; missing where
        the pixel that holds the point is. ``"*"`` in a mapping stands for all others. Classes are never interpolated.
    stats : sequence of str
        For polygons: ``mean``, ``std`` (of the pixels themselves: divided by their number), ``min``, ``max``,
        ``sum``, ``count``, ``median``, and percentiles such as ``p25`` or ``p97.5`` (linear between values).
    all_touched : bool
        Take all pixels that a polygon touches, instead of those whose centre lies inside.
    as_ : "frame" or "xvec"
        A table, or a dataset with a geometry axis (needs the extra ``xvec``).
    id : str, optional
        Column that names the geometries; without it their index does. Names must differ.
    crs : optional
        CRS of geometries that carry none.
    **load_options
        For items: what :func:`terracube.cubes.load` takes.

    Returns
    -------
    pandas.DataFrame
        One row per geometry and date: ``id``, ``time`` (if there are dates), then

        - points: one column per variable (floats keep their type, integers become float64; NaN where missing);
          ``x``, ``y``: centre of the pixel in the CRS of the cube; ``inside``: False for points outside, with NaN.
        - polygons: ``variable_statistic`` in float64, NaN where there is no value, and ``variable_count``;
          ``valid_count``: pixels where all variables have a value; ``pixel_count``: pixels that belong to the polygon;
          ``note``: empty, or why there are no or fewer pixels than one might think.
    xarray.Dataset
        With ``as_="xvec"``: the same, (geometry, time).

    Raises
    ------
    InputError
        If a geometry is empty, invalid or of another kind (naming its row), or an option is unknown.
    MetadataError
        If the CRS of the cube or of the geometries is missing.
    BudgetError
        If a median or percentile needs more than 2 GiB of values of one polygon at once.

    Examples
    --------
    >>> import rioxarray, shapely
    >>> values = xr.DataArray([[1.0, 2.0], [3.0, np.nan]], dims=("y", "x"), coords={"y": [15.0, 5.0], "x": [5.0, 15.0]})
    >>> cube = values.to_dataset(name="ndvi").rio.write_crs("EPSG:32633")
    >>> field = shapely.box(0, 0, 20, 20)
    >>> table = sample(cube, [field], stats=["mean", "p50"], crs="EPSG:32633")
    >>> table["ndvi_mean"].tolist(), table["valid_count"].tolist(), table["pixel_count"].tolist()
    ([2.0], [3], [4])
    """
    check_form(as_)
    wanted = to_wanted(stats)
    raster = to_raster(data, load_options)
    places = to_places(geometries, raster.grid, crs=crs, id=id, kind="any")
    if shapely.get_dimensions(places.pixels[0]) == 0:
        table = _at_points(raster, places, methods_of(raster, method))
    else:
        table = _in_polygons(raster, places, wanted, all_touched)
    return to_frame(table) if as_ == "frame" else to_xvec(table)


def _at_points(raster: Raster, places: Places, methods: Sequence[str]) -> Table:
    spots = to_spots(places.pixels, raster.grid)
    found = read_points(raster, spots, methods)
    y, x = raster.grid.centres()
    facts = {
        "x": np.where(spots.inside, x[spots.cols], np.nan),
        "y": np.where(spots.inside, y[spots.rows], np.nan),
        "inside": spots.inside,
    }
    series = {name: _with_dates(values, raster) for name, values in found.items()}
    return Table(places.ids, places.given, raster.times, series, facts)


def _with_dates(values: NDArray[Any], raster: Raster) -> NDArray[Any]:
    """Repeat what has no dates at every date of the others."""
    if raster.times is None or values.ndim == 2:
        return values
    return np.repeat(values[:, None], len(raster.times), axis=1)


def _in_polygons(raster: Raster, places: Places, wanted: Wanted, all_touched: bool) -> Table:
    parts = zonal(raster, places.pixels, wanted, all_touched=all_touched)
    dates = 1 if raster.times is None else len(raster.times)
    shape = (len(parts), len(raster.variables), dates)
    moments = np.full((*shape, MOMENTS), np.nan)
    moments[..., 0] = 0
    quantiles = np.full((*shape, len(wanted.fractions)), np.nan)
    whole, pixels = np.zeros((len(parts), dates), np.int64), np.zeros(len(parts), np.int64)
    for row, part in enumerate(parts):
        if part is not None and part.quantiles is not None:
            moments[row], quantiles[row], whole[row], pixels[row] = (
                part.moments,
                part.quantiles,
                part.whole,
                part.pixels,
            )
    series: dict[str, NDArray[Any]] = {}
    for place, name in enumerate(raster.names):
        found = columns(wanted, moments[:, place], quantiles[:, place])
        series |= {f"{name}_{stat}": values for stat, values in found.items()}
    series["valid_count"] = whole
    facts = {"pixel_count": pixels, "note": _notes(raster, places, parts)}
    if raster.times is None:
        series = {name: values[:, 0] for name, values in series.items()}
    return Table(places.ids, places.given, raster.times, series, facts)


def _notes(raster: Raster, places: Places, parts: Sequence[Part | None]) -> NDArray[Any]:
    """Tell why a polygon has no pixels, or fewer than it might."""
    offset, size = raster.grid.offset, raster.grid.shape
    left, top, right, bottom = shapely.bounds(places.pixels).T - np.array([[offset.x], [offset.y]] * 2)
    outside = (right <= 0) | (bottom <= 0) | (left >= size.x) | (top >= size.y)
    partly = ~outside & ((left < 0) | (top < 0) | (right > size.x) | (bottom > size.y))
    none = np.array([part is None for part in parts]) & ~outside
    told = (
        (outside, "outside the grid"),
        (partly, "partly outside the grid"),
        (none, "no pixel centre inside"),
        (places.wide, "spans more than half the globe"),
    )
    notes = ["; ".join(text for where, text in told if where[row]) for row in range(len(parts))]
    return np.array(notes, dtype=object)
