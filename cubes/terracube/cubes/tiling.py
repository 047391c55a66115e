"""Tiling schemes: the plane cut into squares of pixels that have names, the same whoever asks for them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from affine import Affine
from odc.geo.geom import BoundingBox
from odc.geo.gridspec import GridSpec

from terracube.core.errors import InputError, MetadataError
from terracube.cubes._pixels import positive
from terracube.cubes.crs import check_bbox, full_turn, project_bbox, to_crs_text
from terracube.cubes.grid import YX, Grid, Pair

# OGC Two Dimensional Tile Matrix Set 2.0, annex D.1: half the equator of the sphere of EPSG:3857, its last parallel.
_HALF_EQUATOR = math.pi * 6378137.0
_LAST_PARALLEL = math.degrees(math.atan(math.sinh(math.pi)))
_MAX_ZOOM = 30
_SEAM = 180.0

Own = tuple[Any, float | tuple[float, float] | None, int | tuple[int, int] | None, tuple[float, float]]


@dataclass(frozen=True)
class Tiling:
    """Tiles of one size, counted south and east from the corner of tile (0, 0).

    All tiles are windows of one canonical grid: their pixels never depend on which tiles are asked for.

    Examples
    --------
    >>> tiling = Tiling.of("EPSG:3035", resolution=10, size=1000, origin=(0, 5_500_000))
    >>> [name for name, _ in tiling.tiles((4_321_000, 3_208_000, 4_325_000, 3_212_000), bbox_crs="EPSG:3035")]
    ['228_432', '229_432']
    """

    corner: Grid
    """Tile (0, 0)."""
    count: YX | None = None
    """Rows and columns of tiles there are; ``None`` = without end, also to the north and west."""
    prefix: str = ""
    """What the names of the tiles start with."""
    south: float = -90.0
    north: float = 90.0
    """Latitudes beyond which there are no tiles."""
    column_first: bool = False
    """Whether a name has the column before the row: web tiles are ``zoom/x/y``."""

    @classmethod
    def of(
        cls,
        crs: Any,
        *,
        resolution: float | tuple[float, float],
        size: int | tuple[int, int],
        origin: tuple[float, float] = (0.0, 0.0),
    ) -> Tiling:
        """Make a scheme.

        Parameters
        ----------
        crs
        resolution : float or (y, x)
            Pixel size in units of the CRS, positive.
        size : int or (y, x)
            Pixels of a tile.
        origin : (x, y)
            North-western corner of tile (0, 0).

        Raises
        ------
        InputError
            If a number is none, or not positive.
        """
        shape = YX(size, size) if isinstance(size, int) else YX(*size)
        if min(shape) < 1:
            raise InputError("a tile needs pixels", where="size", expected=">= 1", got=str(size))
        return cls(_corner(origin, positive(resolution), crs, shape))

    @classmethod
    def well_known(cls, name: str) -> Tiling:
        """Give a scheme by name and zoom: ``WebMercatorQuad/12``.

        Raises
        ------
        InputError
            If there is none of that name.

        Examples
        --------
        >>> Tiling.well_known("WebMercatorQuad/0").count
        YX(y=1, x=1)
        """
        scheme, _, level = name.partition("/")
        if scheme != "WebMercatorQuad" or not level.isdecimal() or int(level) > _MAX_ZOOM:
            raise InputError(
                "unknown tiling scheme", where="tiling", expected="WebMercatorQuad/0 to /30", got=repr(name)[:80]
            )
        side = 1 << int(level)
        size = 2 * _HALF_EQUATOR / (256 * side)
        # Counted from the middle of the map, where its edges are whole pixels.
        corner = Grid("EPSG:3857", Pair(-size, size), Pair(0.0, 0.0), YX(-128 * side, -128 * side), YX(256, 256))
        return cls(corner, YX(side, side), f"{level}/", -_LAST_PARALLEL, _LAST_PARALLEL, column_first=True)

    def tile(self, row: int, col: int) -> Grid:
        """Give the grid of one tile.

        Raises
        ------
        InputError
            If the scheme has no such tile.
        """
        if self.count is not None and not (0 <= row < self.count.y and 0 <= col < self.count.x):
            raise InputError(
                "no such tile",
                expected=f"rows 0..{self.count.y - 1}, columns 0..{self.count.x - 1}",
                got=f"{row}, {col}",
            )
        shape = self.corner.shape
        return self.corner.window(YX(row * shape.y, col * shape.x), shape)

    def name(self, row: int, col: int) -> str:
        """Give the name of a tile."""
        return f"{self.prefix}{col}/{row}" if self.column_first else f"{self.prefix}{row}_{col}"

    def tiles(self, bbox: Iterable[float], *, bbox_crs: Any = "EPSG:4326") -> Iterator[tuple[str, Grid]]:
        """Go through the tiles that a box touches, row by row.

        Parameters
        ----------
        bbox : four numbers
            West, south, east, north. West greater than east crosses the antimeridian.
        bbox_crs
            CRS of the box; longitude and latitude unless given.

        Raises
        ------
        InputError
            If the box is none, or outside the CRS.
        """
        spans = [self._span(part, bbox_crs) for part in self._parts(bbox, bbox_crs)]
        found = {(row, col) for rows, cols in spans for row in rows for col in cols}
        for row, col in sorted(found):
            yield self.name(row, col), self.tile(row, col)

    def _parts(self, bbox: Iterable[float], bbox_crs: Any) -> list[tuple[float, float, float, float]]:
        """Cut a box at the antimeridian, where the map is cut, and at the parallels where it ends."""
        west, south, east, north = check_bbox(bbox, bbox_crs)
        if full_turn(to_crs_text(bbox_crs)) is None:
            return [(west, south, east, north)]
        south, north = max(south, self.south), min(north, self.north)
        if south >= north:
            return []
        cut = west > east and full_turn(self.corner.crs) is None
        sides = [(west, _SEAM), (-_SEAM, east)] if cut else [(west, east)]
        return [(left, south, right, north) for left, right in sides if left != right]

    def _span(self, box: tuple[float, float, float, float], bbox_crs: Any) -> tuple[range, range]:
        bounds = project_bbox(box, to_crs_text(bbox_crs), self.corner.crs)
        cover = self.corner.cover(bounds)
        shape, first = self.corner.shape, self.corner.offset
        rows = _tiles_of(cover.offset.y - first.y, cover.shape.y, shape.y, self.count and self.count.y)
        cols = _tiles_of(cover.offset.x - first.x, cover.shape.x, shape.x, self.count and self.count.x)
        return rows, cols


def _corner(origin: tuple[float, float], size: Pair, crs: Any, shape: YX) -> Grid:
    try:
        return Grid.from_affine(crs, Affine(size.x, 0.0, float(origin[0]), 0.0, size.y, float(origin[1])), shape)
    except (MetadataError, TypeError, ValueError, IndexError) as error:
        raise InputError("the origin of a tiling is no place", expected="x, y", got=str(origin)[:80]) from error


def _tiles_of(start: int, length: int, size: int, count: int | None) -> range:
    first, last = start // size, (start + length - 1) // size
    return range(first, last + 1) if count is None else range(max(first, 0), min(last, count - 1) + 1)


def tiles_of(
    bbox: Iterable[float], tiling: Tiling | GridSpec | str | None, bbox_crs: Any, own: Own
) -> Iterator[tuple[str, Grid]]:
    """Go through tiles; see :meth:`terracube.cubes.grid.Grid.tiles`."""
    if isinstance(tiling, GridSpec):
        return _of_gridspec(tiling, bbox, bbox_crs)
    if isinstance(tiling, str):
        return Tiling.well_known(tiling).tiles(bbox, bbox_crs=bbox_crs)
    if isinstance(tiling, Tiling):
        return tiling.tiles(bbox, bbox_crs=bbox_crs)
    crs, resolution, size, origin = own
    if tiling is not None or crs is None or resolution is None or size is None:
        raise InputError(
            "a tiling scheme is needed",
            where="tiling",
            expected="a Tiling, a GridSpec, a name; or crs, resolution and size",
            got=type(tiling).__name__,
        )
    return Tiling.of(crs, resolution=resolution, size=size, origin=origin).tiles(bbox, bbox_crs=bbox_crs)


def _of_gridspec(spec: GridSpec, bbox: Iterable[float], bbox_crs: Any) -> Iterator[tuple[str, Grid]]:
    """Go through the tiles of a scheme of odc-geo; they are named by its indices, ``x_y``."""
    crs = to_crs_text(spec.crs)
    bounds = project_bbox(check_bbox(bbox, bbox_crs), to_crs_text(bbox_crs), crs)
    for (col, row), box in spec.tiles(BoundingBox(*bounds, crs=crs)):
        yield f"{col}_{row}", Grid.from_geobox(box)
