"""What a Zarr group says of itself: CF grid mapping and the GeoZarr conventions.

These are ``proj``, ``spatial`` and ``multiscales``, all at v0.1 (https://github.com/zarr-conventions). A level ``n`` of
a pyramid has pixels of exactly 2^n full-resolution pixels on each side from the same corner, and as many as are needed
to cover the grid, so that its transform is exact and its last row and column may reach beyond the grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from terracube.cubes.crs import Bounds
from terracube.cubes.grid import YX, Grid

GRID_MAPPING = "spatial_ref"
# The names, texts and addresses are constants of the conventions' own schemas.
_CONVENTIONS = {
    "proj": ("f17cb550-5864-4468-aeb7-f3180cfb622f", "Coordinate reference system information for geospatial data"),
    "spatial": ("689b58e2-cf7b-45e0-9fff-9cfc0883d6b4", "Spatial coordinate information"),
    "multiscales": ("d35379db-88df-4056-af3a-620245f8e347", "Multiscale layout of zarr datasets"),
}
# What we write ourselves, and so never take over from a dataset that was read from such a group.
OWN = ("proj:", "spatial:", "zarr_conventions", "multiscales", "grid_mapping", "coordinates", "_ARRAY_DIMENSIONS")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the pixels of one level of a pyramid lie.

    Examples
    --------
    >>> from terracube.cubes.grid import Pair
    >>> grid = Grid("EPSG:32633", Pair(-10.0, 10.0), Pair(0.0, 0.0), YX(-509000, 50000), YX(5, 8))
    >>> Place(grid, 2).shape, Place(grid, 2).transform
    (YX(y=2, x=2), (40.0, 0.0, 500000.0, 0.0, -40.0, 5090000.0))
    """

    grid: Grid
    """Pixels of full resolution."""
    level: int = 0
    """How often the resolution is halved."""

    @property
    def size(self) -> int:
        """Full-resolution pixels along each side of a pixel of this level."""
        return 1 << self.level

    @property
    def shape(self) -> YX:
        """Rows and columns."""
        return YX(-(-self.grid.shape.y // self.size), -(-self.grid.shape.x // self.size))

    @property
    def transform(self) -> tuple[float, float, float, float, float, float]:
        """Affine coefficients a, b, c, d, e, f from pixel corners to CRS coordinates."""
        full = self.grid.transform
        return (full.a * self.size, 0.0, full.c, 0.0, full.e * self.size, full.f)

    @property
    def bounds(self) -> Bounds:
        """Outer edges in CRS units; those of a level may lie beyond those of the grid."""
        y, x = self._at(np.array([0, self.shape.y])), self._at(np.array([0, self.shape.x]), axis=1)
        return Bounds(float(x[0]), float(y[1]), float(x[1]), float(y[0]))

    def centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give the coordinates of pixel centres: rows (y) and columns (x), in CRS units."""
        return self._at(np.arange(self.shape.y) + 0.5), self._at(np.arange(self.shape.x) + 0.5, axis=1)

    def _at(self, index: NDArray[Any], axis: int = 0) -> NDArray[np.float64]:
        # Offset, phase and index add up exactly, as in Grid: the product is the only rounding.
        return (self.grid.offset[axis] + self.grid.phase[axis] + self.size * index) * self.grid.resolution[axis]


def conventions(*names: str) -> list[dict[str, str]]:
    """Give the registration of conventions, as ``zarr_conventions`` holds it."""
    return [
        {
            "schema_url": f"https://raw.githubusercontent.com/zarr-conventions/{name}/refs/tags/v0.1/schema.json",
            "spec_url": f"https://github.com/zarr-conventions/{name}/blob/v0.1/README.md",
            "uuid": _CONVENTIONS[name][0],
            "name": name,
            "description": _CONVENTIONS[name][1],
        }
        for name in names
    ]


def array_attributes(place: Place) -> dict[str, Any]:
    """Give the attributes by which readers place an array: CF, ``proj`` and ``spatial``."""
    return {
        "grid_mapping": GRID_MAPPING,
        "zarr_conventions": conventions("proj", "spatial"),
        **_projection(place.grid.crs),
        **_extent(place),
        **_pixels(place),
    }


def group_attributes(place: Place, layout: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Give the attributes of a group; with a layout, that of a pyramid, whose entries say where their pixels lie."""
    base = {"Conventions": "CF-1.11", **_projection(place.grid.crs), **_extent(place)}
    if not layout:
        return base | _pixels(place) | {"zarr_conventions": conventions("proj", "spatial")}
    names = ("proj", "spatial", "multiscales")
    # One source for each fact: beside a layout, the convention wants no transform and shape on the group.
    return base | {"zarr_conventions": conventions(*names), "multiscales": {"layout": [dict(item) for item in layout]}}


def layout(grid: Grid, methods: Mapping[str, str], levels: int) -> list[dict[str, Any]]:
    """List the arrays of a pyramid: each variable at full resolution, then at each level, finest first.

    Parameters
    ----------
    grid : Grid
    methods : mapping
        How the levels of each variable are made: ``average``, ``nearest``, ``mode``.
    levels : int
        Levels beside the full resolution. Level ``n`` of ``red`` is the array ``n/red``; it is derived from ``red``
        itself, not from the level before.
    """
    items: list[dict[str, Any]] = []
    for level in range(levels + 1):
        place = Place(grid, level)
        scale = {"scale": [float(place.size)] * 2, "translation": [0.0, 0.0]}
        for name, method in methods.items():
            derived = {"derived_from": name, "resampling_method": method} if level else {}
            asset = f"{level}/{name}" if level else name
            items.append({"asset": asset, **derived, "transform": scale, **_pixels(place)})
    return items


def grid_mapping(place: Place) -> dict[str, Any]:
    """Give the attributes of the CF grid mapping, with the transform as GDAL and rioxarray read it."""
    a, b, c, d, e, f = place.transform
    return CRS.from_user_input(place.grid.crs).to_cf() | {"GeoTransform": " ".join(map(repr, (c, a, b, f, d, e)))}


def axis_attributes(crs: str) -> dict[str, dict[str, Any]]:
    """Give the CF attributes of the coordinates ``y`` and ``x``."""
    facts = {axis["axis"].lower(): dict(axis) for axis in CRS.from_user_input(crs).cs_to_cf()}
    return {name: facts.get(name, {}) | {"axis": name.upper()} for name in "yx"}


def _extent(place: Place) -> dict[str, Any]:
    return {"spatial:dimensions": ["y", "x"], "spatial:bbox": list(place.bounds)}


def _pixels(place: Place) -> dict[str, Any]:
    return {"spatial:transform": list(place.transform), "spatial:shape": list(place.shape)}


def _projection(crs: str) -> dict[str, str]:
    # GDAL 3.12 reads the WKT and not the code; others the code and not the WKT: both are written.
    wkt = CRS.from_user_input(crs).to_wkt("WKT2_2019")
    return {"proj:wkt2": wkt} | ({} if "[" in crs else {"proj:code": crs})
