"""The target grid: where every pixel lies, as integers counted from the origin of its CRS.

A grid is a CRS, a resolution and a phase, which fix every pixel of the plane, and an integer offset and shape, which
choose some of them. Column ``k`` has its left edge at ``(k + phase) * resolution``. The phase is kept to 2^-20 of a
pixel, so ``k + phase`` is exact and the product has one rounding: a coordinate is a function of ``k`` alone, never of
the window it is asked from. That is what makes results independent of how work is cut into blocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from terracube.core.errors import InputError, MetadataError
from terracube.cubes._pixels import (
    MAX_INDEX,
    YX,
    Pair,
    check_fineness,
    cover,
    from_plain,
    hold,
    pieces,
    positive,
    split,
)
from terracube.cubes.crs import Bounds, check_bbox, project_bbox, to_crs_text

if TYPE_CHECKING:
    from odc.geo.gridspec import GridSpec

    from terracube.cubes.tiling import Tiling


__all__ = ["YX", "Grid", "Pair"]


@dataclass(frozen=True)
class Grid:
    """Pixels of a north-up raster, equal in every window of the same raster.

    Examples
    --------
    >>> utm = "EPSG:32633"
    >>> grid = Grid.from_bbox((499980, 5090280, 500220, 5090520), crs=utm, resolution=120, bbox_crs=utm)
    >>> grid.shape, grid.bounds.left
    (YX(y=2, x=3), 499920.0)
    """

    crs: str
    """Canonical text: ``EPSG:32633``, or WKT2 where there is no code."""
    resolution: Pair
    """Signed pixel size in CRS units; ``y`` is negative, because rows run south."""
    phase: Pair
    """Fraction of a pixel, in [0, 1), by which the pixel edges lie off the multiples of the resolution."""
    offset: YX
    """Index of the first row and column."""
    shape: YX
    """Rows and columns."""

    @classmethod
    def from_affine(cls, crs: Any, transform: Affine, shape: tuple[int, int]) -> Grid:
        """Take the grid of a raster from its header.

        Raises
        ------
        MetadataError
            If the raster is rotated or not north-up, or its numbers are no place.
        """
        numbers = tuple(transform)[:6]
        if not all(math.isfinite(number) for number in numbers):
            raise MetadataError("the geotransform is not finite", expected="six finite numbers", got=str(numbers))
        if transform.b or transform.d or transform.a <= 0 or transform.e >= 0:
            raise MetadataError(
                "the raster is rotated or not north-up",
                expected="transform (a>0, 0, c, 0, e<0, f)",
                got=str(numbers),
                todo="warp it to a north-up grid first",
            )
        edges = Pair(transform.f / transform.e, transform.c / transform.a)
        if max(abs(edges.y), abs(edges.x)) + max(shape) >= MAX_INDEX:
            raise MetadataError(
                "the pixels are too small for their place", expected="a usual pixel size", got=str(numbers)
            )
        (phase_y, row), (phase_x, col) = split(edges.y), split(edges.x)
        resolution = Pair(float(transform.e), float(transform.a))
        return cls(to_crs_text(crs), resolution, Pair(phase_y, phase_x), YX(row, col), YX(*shape))

    @classmethod
    def from_bbox(
        cls,
        bbox: Iterable[float],
        *,
        crs: Any,
        resolution: float | tuple[float, float],
        bbox_crs: Any = "EPSG:4326",
        align: Grid | None = None,
    ) -> Grid:
        """Make the smallest grid that covers a box.

        Parameters
        ----------
        bbox : four numbers
            West, south, east, north. West greater than east crosses the antimeridian.
        crs
            CRS of the grid.
        resolution : float or (y, x)
            Pixel size in units of ``crs``, positive.
        bbox_crs
            CRS of the box; longitude and latitude unless given.
        align : Grid or None
            Take the pixel edges of this grid (its phase); else edges lie on multiples of the resolution.

        Raises
        ------
        InputError
            If the box is empty, inverted or outside the CRS, the resolution is not positive or absurdly fine, or
            ``align`` has another CRS or resolution.
        """
        text = to_crs_text(crs)
        size = positive(resolution)
        phase = _phase_of(align, text, size)
        box = project_bbox(check_bbox(bbox, bbox_crs), to_crs_text(bbox_crs), text)
        return cls(text, size, phase, YX(0, 0), YX(1, 1)).cover(box)

    @classmethod
    def from_geobox(cls, box: GeoBox) -> Grid:
        """Take the grid of a geobox of odc-geo.

        Raises
        ------
        InputError
            If it has no CRS, or is rotated or not north-up.
        """
        if box.crs is None:
            raise InputError("the geobox has no CRS", where="grid", expected="a GeoBox with a CRS", got=repr(box)[:120])
        try:
            return cls.from_affine(str(box.crs), box.transform, (box.shape.y, box.shape.x))
        except MetadataError as error:
            raise InputError(error.what, where="grid", expected=error.expected, got=error.got) from error

    @classmethod
    def like(cls, data: Any) -> Grid:
        """Take the grid of an xarray object: its regular coordinates, and the CRS that rioxarray or odc-geo see.

        Raises
        ------
        MetadataError
            If the CRS is missing, the coordinates are not regular, or they contradict the GeoTransform.
        """
        from terracube.cubes.gridlike import grid_like  # that module is built on this one

        return grid_like(data)

    @classmethod
    def from_items(
        cls,
        items: Any,
        bands: Sequence[str] | None = None,
        *,
        crs: Any = None,
        resolution: float | tuple[float, float] | None = None,
        bbox: Iterable[float] | None = None,
        bbox_crs: Any = "EPSG:4326",
    ) -> Grid:
        """Make the grid on which items lie, or one that holds them.

        Parameters
        ----------
        items
            Items of any shape, or scenes that were read.
        bands : sequence of str or None
            The finest of these decides; all measured bands unless given.
        crs, resolution
            Of the grid. Without both, the items have to lie on one grid: the same CRS, pixel size and phase.
        bbox : four numbers or None
            Only this part; else all items are held.
        bbox_crs
            CRS of the box; longitude and latitude unless given.

        Raises
        ------
        InputError
            If the items lie on several grids, or the pixel size in this CRS is not known.
        TerraCubeError
            If an item does not say where it lies.
        """
        from terracube.cubes.items.extent import grid_of_items  # that module is built on this one

        return grid_of_items(items, bands, crs=crs, resolution=resolution, bbox=bbox, bbox_crs=bbox_crs)

    @staticmethod
    def tiles(
        bbox: Iterable[float],
        tiling: Tiling | GridSpec | str | None = None,
        *,
        bbox_crs: Any = "EPSG:4326",
        crs: Any = None,
        resolution: float | tuple[float, float] | None = None,
        size: int | tuple[int, int] | None = None,
        origin: tuple[float, float] = (0.0, 0.0),
    ) -> Iterator[tuple[str, Grid]]:
        """Go through the tiles of a scheme that a box touches: names and grids, row by row.

        Parameters
        ----------
        bbox : four numbers
            West, south, east, north. West greater than east crosses the antimeridian.
        tiling : Tiling, odc GridSpec, str or None
            The scheme, or the name of a well-known one with its zoom: ``WebMercatorQuad/12``. ``None``: of ``crs``,
            ``resolution`` and ``size`` (pixels along each side), counted from ``origin`` (x, y) south and east.
        bbox_crs
            CRS of the box; longitude and latitude unless given.
        crs, resolution, size, origin
            Of a scheme of one's own.

        Raises
        ------
        InputError
            If the box is none, or the scheme is unknown or incomplete.

        Examples
        --------
        >>> [name for name, _ in Grid.tiles((14.2, 46.0, 14.6, 46.2), "WebMercatorQuad/9")]
        ['9/276/181', '9/276/182']
        """
        from terracube.cubes.tiling import tiles_of  # that module is built on this one

        own = (crs, resolution, size, origin)
        return tiles_of(bbox, tiling, bbox_crs, own)

    @classmethod
    def covering(cls, grids: Iterable[Grid], *, like: Grid) -> Grid:
        """Make the grid of all pixels of ``like`` whose centres lie in the box around the other grids.

        A centre on the northern or western edge lies inside, one on the southern or eastern edge does not: the same
        rule by which a pixel between two source pixels goes to the south and east.

        Raises
        ------
        InputError
            If there is no grid, or the CRS of ``like`` does not hold one of them in one piece.
        """
        boxes = [project_bbox(g.bounds, g.crs, like.crs) for g in grids]
        if not boxes:
            raise InputError("there is no grid to cover", expected="one grid or more", got="none")
        left, bottom = min(b.left for b in boxes), min(b.bottom for b in boxes)
        right, top = max(b.right for b in boxes), max(b.top for b in boxes)
        first_row, rows = hold(top / like.resolution.y, bottom / like.resolution.y, like.phase.y)
        first_col, cols = hold(left / like.resolution.x, right / like.resolution.x, like.phase.x)
        return replace(like, offset=YX(first_row, first_col), shape=YX(rows, cols))

    @property
    def transform(self) -> Affine:
        """Affine transform from pixel corners to CRS coordinates."""
        edge = self._edges(np.zeros(1, "int64"), np.zeros(1, "int64"))
        return Affine(self.resolution.x, 0.0, float(edge[1][0]), 0.0, self.resolution.y, float(edge[0][0]))

    @property
    def bounds(self) -> Bounds:
        """Outer edges in CRS units."""
        y, x = self._edges(np.array([0, self.shape.y]), np.array([0, self.shape.x]))
        return Bounds(float(x[0]), float(y[1]), float(x[1]), float(y[0]))

    @property
    def geobox(self) -> GeoBox:
        """The same grid as odc-geo knows it."""
        return GeoBox((self.shape.y, self.shape.x), self.transform, self.crs)

    def _edges(self, rows: NDArray[Any], cols: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        y = (self.offset.y + rows + self.phase.y) * self.resolution.y
        x = (self.offset.x + cols + self.phase.x) * self.resolution.x
        return y, x

    def centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give the coordinates of pixel centres: rows (y) and columns (x), in CRS units."""
        return self._edges(np.arange(self.shape.y) + 0.5, np.arange(self.shape.x) + 0.5)

    def window(self, start: YX, shape: YX) -> Grid:
        """Give a part of this grid; its pixels are the same pixels."""
        return replace(self, offset=YX(self.offset.y + start.y, self.offset.x + start.x), shape=shape)

    def cover(self, box: Bounds) -> Grid:
        """Give the fewest of this plane's pixels that cover a box in units of the CRS.

        Raises
        ------
        InputError
            If the pixels are too small to be counted so far from the origin.
        """
        size, phase = self.resolution, self.phase
        check_fineness(box, size)
        top, bottom = cover(box.top / size.y, box.bottom / size.y, phase.y)
        left, right = cover(box.left / size.x, box.right / size.x, phase.x)
        return replace(self, offset=YX(top, left), shape=YX(bottom - top, right - left))

    def finer(self, factor: int) -> Grid:
        """Cut each pixel into ``factor`` x ``factor``."""
        edges = [split(phase * factor) for phase in self.phase]
        return replace(
            self,
            resolution=Pair(self.resolution.y / factor, self.resolution.x / factor),
            phase=Pair(edges[0][0], edges[1][0]),
            offset=YX(self.offset.y * factor + edges[0][1], self.offset.x * factor + edges[1][1]),
            shape=YX(self.shape.y * factor, self.shape.x * factor),
        )

    def coarser(self, factor: int) -> Grid:
        """Join ``factor`` x ``factor`` pixels into one, counted from where the grid counts, as far as all are in it.

        Raises
        ------
        InputError
            If not one whole pixel is left.
        """
        # The phase is kept in whole parts, so it may move edges by a millionth of a pixel.
        phase = Pair(*(split(phase / factor)[0] for phase in self.phase))
        first = YX(-(-self.offset.y // factor), -(-self.offset.x // factor))
        ends = ((self.offset.y + self.shape.y) // factor, (self.offset.x + self.shape.x) // factor)
        shape = YX(ends[0] - first.y, ends[1] - first.x)
        if min(shape) < 1:
            raise InputError(
                "the region is smaller than one coarse pixel",
                where="grid",
                expected=f"at least {factor} x {factor} pixels",
                got=f"{self.shape.y} x {self.shape.x}",
            )
        size = Pair(self.resolution.y * factor, self.resolution.x * factor)
        return replace(self, resolution=size, phase=phase, offset=first, shape=shape)

    def same_pixels(self, other: Grid) -> bool:
        """Tell whether both grids divide the plane into the same pixels."""
        mine, theirs = (self.crs, self.resolution, self.phase), (other.crs, other.resolution, other.phase)
        return mine == theirs

    def chunks(self, block: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Give the rows and the columns of each block of at most ``block`` x ``block`` pixels."""
        return pieces(self.shape.y, block), pieces(self.shape.x, block)

    def blocks(self, block: int) -> Iterator[Grid]:
        """Go through the blocks in row order."""
        for y in range(0, self.shape.y, block):
            for x in range(0, self.shape.x, block):
                yield self.window(YX(y, x), YX(min(block, self.shape.y - y), min(block, self.shape.x - x)))

    def as_dict(self) -> dict[str, Any]:
        """Give the grid as plain JSON values, from which :meth:`from_dict` makes the same grid again."""
        return {
            "crs": self.crs,
            "resolution": [self.resolution.y, self.resolution.x],
            "phase": [self.phase.y, self.phase.x],
            "offset": list(self.offset),
            "shape": list(self.shape),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Grid:
        """Make a grid from what :meth:`as_dict` gave.

        Raises
        ------
        InputError
            If a field is missing or malformed.
        """
        resolution, phase, offset, shape = from_plain(values)
        return cls(to_crs_text(values.get("crs")), resolution, phase, offset, shape)


def _phase_of(align: Grid | None, crs: str, size: Pair) -> Pair:
    if align is None:
        return Pair(0.0, 0.0)
    if (align.crs, align.resolution) != (crs, size):
        raise InputError(
            "a grid can only be aligned with one of the same CRS and resolution",
            expected=f"{crs}, {size.x:g}",
            got=f"{align.crs}, {align.resolution.x:g}",
            todo="leave out the alignment, or the CRS and resolution",
        )
    return align.phase
