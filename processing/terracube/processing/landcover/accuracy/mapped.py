"""What a class map holds: its pixels, the area of each class, and their names; whatever way it is cut into chunks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pyproj import CRS, Proj

from terracube.core.errors import InputError, MetadataError
from terracube.cubes import Grid, reduce_blocks
from terracube.cubes.crs import full_turn, metres_per_unit, transform_points
from terracube.cubes.gridlike import to_grid
from terracube.cubes.plot import classes_of
from terracube.cubes.storage.describe import missing_of
from terracube.processing.landcover.nomenclature import Nomenclature

_HECTARE = 10_000.0
# A projection may show areas this much too large or too small: that of UTM does so by 0.1 % and less.
_STRETCH = 0.01
_MOST_CLASSES = 65_536
_NAME = "class"


@dataclass(frozen=True, slots=True)
class ClassStyle:
    """How a class is called and shown."""

    name: str
    colour: str
    """``#rrggbb``."""


@dataclass(frozen=True, eq=False, slots=True)
class MapAreas:
    """Classes of a map with their sizes."""

    codes: tuple[int, ...]
    """Codes that occur, ascending."""
    pixels: tuple[int, ...]
    """Number of pixels of each."""
    areas: tuple[float, ...]
    """Area of each, in ``unit``."""
    unit: str = "ha"

    @property
    def by_code(self) -> dict[int, float]:
        """Area of each class."""
        return dict(zip(self.codes, self.areas, strict=True))

    @property
    def total(self) -> float:
        """Area of all classes."""
        return math.fsum(self.areas)

    def without(self, left_out: set[int]) -> MapAreas:
        """Give the same without some classes."""
        kept = [row for row in zip(self.codes, self.pixels, self.areas, strict=True) if row[0] not in left_out]
        codes, pixels, areas = zip(*kept, strict=True) if kept else ((), (), ())
        return MapAreas(codes, pixels, areas, self.unit)


def map_areas(class_map: xr.DataArray) -> MapAreas:
    """Measure the area of each class of a map.

    Parameters
    ----------
    class_map : xarray.DataArray (y, x)
        Class codes, lazy or not, with CRS and coordinates. Missing is NaN and the number that the attributes name
        (``nodata``, ``_FillValue``).

    Returns
    -------
    MapAreas
        In hectares. On a projected grid a pixel has its nominal area; in degrees the area that its row has on the
        ellipsoid. The same to the bit however the map is cut into chunks.

    Raises
    ------
    MetadataError
        If CRS or coordinates are missing, or the projection shows areas more than 1 % too large or too small, as
        Mercator's does.
    InputError
        If the map holds no class, or values that are no class codes.

    Examples
    --------
    >>> import rioxarray
    >>> values = xr.DataArray(np.array([[1, 1], [1, 2]]), dims=("y", "x"), coords={"y": [50, 0], "x": [500000, 500050]})
    >>> map_areas(values.rio.write_crs("EPSG:32631")).by_code
    {1: 0.75, 2: 0.25}
    """
    layer = to_layer(class_map)
    row_areas = pixel_areas(to_grid(layer))
    counted: dict[int, NDArray[np.int64]] = reduce_blocks(layer, None, _count, _Merge(layer)).compute()
    if not counted:
        raise InputError("the map holds no class", where="class_map", got="nothing but missing pixels")
    codes = sorted(counted)
    pixels = tuple(int(counted[code].sum()) for code in codes)
    areas = tuple(_area(counted[code], row_areas) for code in codes)
    return MapAreas(tuple(codes), pixels, areas)


def to_layer(class_map: xr.DataArray, name: str = _NAME) -> xr.Dataset:
    """Bring a class map to a dataset of one variable (y, x), rows running south; nothing is computed.

    Raises
    ------
    InputError
        If it is no map (y, x) of numbers.
    MetadataError
        If it has no CRS or no coordinates.
    """
    if not isinstance(class_map, xr.DataArray) or {*class_map.dims} != {"y", "x"} or class_map.dtype.kind not in "iuf":
        got = f"{class_map.dtype} {class_map.dims}" if isinstance(class_map, xr.DataArray) else type(class_map).__name__
        raise InputError("this is no class map", where="class_map", expected="numbers with dimensions y, x", got=got)
    layer = class_map.transpose("y", "x").to_dataset(name=name)
    if layer.sizes["y"] > 1 and "y" in layer.coords and layer["y"].values[0] < layer["y"].values[-1]:
        layer = layer.isel(y=slice(None, None, -1))
    to_grid(layer)
    missing = missing_of(name, layer[name])[0]
    if missing is not None and not math.isnan(missing):
        layer = layer.assign({name: layer[name].assign_attrs(nodata=missing)})
    return layer


def seen_codes(values: NDArray[Any], nodata: float | None) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Give class codes, and where there is one.

    Raises
    ------
    InputError
        If a value is no whole number.
    """
    seen = np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, np.bool_)
    if nodata is not None:
        seen &= values != nodata
    kept = values[seen]
    if values.dtype.kind == "f" and (kept != np.rint(kept)).any():
        wrong = float(kept[kept != np.rint(kept)][0])
        raise InputError("a value of the map is no class code", where="class_map", expected="0, 1, ...", got=str(wrong))
    codes = np.zeros(values.shape, np.int64)
    codes[seen] = kept.astype(np.int64)
    return codes, seen


def pixel_areas(grid: Grid) -> NDArray[np.float64]:
    """Give the area of a pixel of each row (y,), in hectares.

    Raises
    ------
    MetadataError
        If the projection does not keep areas.
    """
    turn = full_turn(grid.crs)
    if turn is not None:
        return _on_ellipsoid(grid, 2 * math.pi / turn) / _HECTARE
    _refuse_stretched(grid)
    nominal = abs(grid.resolution.x * grid.resolution.y) * metres_per_unit(grid.crs) ** 2
    return np.full(grid.shape.y, nominal / _HECTARE)


def styles_of(
    codes: Iterable[int], nomenclature: Nomenclature | None, class_map: xr.DataArray | None = None
) -> dict[int, ClassStyle]:
    """Give name and colour of each class: by the nomenclature, else by the attributes of the map, else a palette's."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    told = {
        int(code): ClassStyle(str(name), to_hex(colour))
        for code, (name, colour) in ((None if class_map is None else classes_of(class_map.attrs)) or {}).items()
    }
    if nomenclature is not None:
        told |= {one.code: ClassStyle(one.title.en, one.colour) for one in nomenclature.classes}
    palette = colormaps["tab20"]
    return {
        code: told.get(code) or ClassStyle(f"class {code}", to_hex(palette(place % 20)))
        for place, code in enumerate(codes)
    }


def _count(tile: xr.Dataset) -> tuple[float, dict[int, NDArray[np.int64]]]:
    """Count the pixels of each class in each row of a tile; beside them the place of its first row."""
    values = next(iter(tile.data_vars.values()))
    codes, seen = seen_codes(values.values, values.attrs.get("nodata"))
    found, place = np.unique(codes[seen], return_inverse=True)
    rows = np.nonzero(seen)[0]
    counts = np.bincount(place * seen.shape[0] + rows, minlength=found.size * seen.shape[0])
    table = counts.reshape(found.size, seen.shape[0])
    return float(tile["y"].values[0]), dict(zip(found.tolist(), table, strict=True))


class _Merge:
    """Adds up the counts of all tiles by class and row."""

    def __init__(self, layer: xr.Dataset) -> None:
        grid = to_grid(layer)
        self._rows, self._top, self._step = grid.shape.y, float(grid.centres()[0][0]), grid.resolution.y

    def __call__(self, parts: list[Any]) -> dict[int, NDArray[np.int64]]:
        """Give the pixels of each class by row (y,)."""
        merged: dict[int, NDArray[np.int64]] = {}
        for first, counts in parts:
            start = round((first - self._top) / self._step)
            for code, rows in counts.items():
                whole = merged.setdefault(code, np.zeros(self._rows, np.int64))
                whole[start : start + rows.size] += rows
            if len(merged) > _MOST_CLASSES:
                raise InputError(
                    "this is no class map", where="class_map", expected=f"at most {_MOST_CLASSES} classes", got="more"
                )
        return merged

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return (type(self).__name__, self._rows, self._top, self._step)


def _area(pixels: NDArray[np.int64], row_areas: NDArray[np.float64]) -> float:
    if (row_areas == row_areas[0]).all():
        return float(int(pixels.sum()) * row_areas[0])
    return math.fsum((pixels * row_areas).tolist())


def _on_ellipsoid(grid: Grid, radians: float) -> NDArray[np.float64]:
    """Give the area of cells between two parallels and two meridians of the CRS's own ellipsoid, in square metres.

    Snyder 1987, Map projections: a working manual, doi:10.3133/pp1395, equation 3-12: a^2 dlon (q1 - q0) / 2, with q
    the authalic function.
    """
    ellipsoid = CRS.from_user_input(grid.crs).ellipsoid
    if ellipsoid is None:
        raise MetadataError("the CRS has no ellipsoid", where="class_map", got=grid.crs[:80])
    major, minor = ellipsoid.semi_major_metre, ellipsoid.semi_minor_metre
    flat = math.sqrt(max(0.0, 1 - (minor / major) ** 2))
    edges = (grid.offset.y + np.arange(grid.shape.y + 1) + grid.phase.y) * grid.resolution.y * radians
    sine = np.sin(np.clip(edges, -math.pi / 2, math.pi / 2))
    slope = np.arctanh(flat * sine) / flat if flat > 0 else sine
    q = (1 - flat**2) * sine / (1 - (flat * sine) ** 2) + (1 - flat**2) * slope
    widths = abs(grid.resolution.x) * radians
    areas: NDArray[np.float64] = major**2 * widths * np.abs(np.diff(q)) / 2
    return areas


def _refuse_stretched(grid: Grid) -> None:
    """Refuse a projection that shows areas wrongly where the map lies."""
    box = grid.bounds
    x, y = np.meshgrid(np.linspace(box.left, box.right, 3), np.linspace(box.bottom, box.top, 3))
    lon, lat = transform_points(grid.crs, "EPSG:4326", x.ravel(), y.ravel())
    known = np.isfinite(lon) & np.isfinite(lat)
    if not known.any():
        return
    scales = np.asarray(Proj(grid.crs).get_factors(lon[known], lat[known]).areal_scale, "float64")
    scales = scales[np.isfinite(scales)]
    if scales.size and float(np.abs(scales - 1).max()) > _STRETCH:
        worst = float(scales[np.abs(scales - 1).argmax()])
        raise MetadataError(
            "the projection of the map does not keep areas",
            where=grid.crs[:60],
            expected=f"areas right to {_STRETCH:.0%}",
            got=f"{worst:.3f} times the true area",
            todo="warp the map to an equal-area projection or UTM",
        )
