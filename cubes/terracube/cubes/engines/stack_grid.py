"""Where the pixels of a stack lie: bounds, resolution and CRS as they are given, or as the files have them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from affine import Affine

from terracube.core.errors import ConflictError, InputError
from terracube.cubes.crs import Bounds, project_bbox, to_crs_text
from terracube.cubes.grid import Grid
from terracube.cubes.sources import Scene


@dataclass(frozen=True)
class Place:
    """What a call says of the pixels; ``None`` = what the files say."""

    epsg: int | None
    resolution: float | tuple[float, float] | None
    bounds: tuple[float, float, float, float] | None
    bounds_latlon: tuple[float, float, float, float] | None
    snap: bool


def choose_grid(scenes: Sequence[Scene], place: Place) -> Grid:
    """Settle the target pixels.

    Raises
    ------
    ConflictError
        If no CRS is given and the files have several.
    InputError
        If bounds are given twice, or an argument is unusable.
    """
    if place.bounds is not None and place.bounds_latlon is not None:
        raise InputError("bounds are given twice", where="bounds", expected="bounds or bounds_latlon", got="both")
    grids = list(dict.fromkeys(source.grid for scene in scenes for source in scene.bands.values()))
    crs = _crs(grids) if place.epsg is None else to_crs_text(place.epsg)
    x, y = _resolution(grids, crs) if place.resolution is None else _pair(place.resolution)
    box = _box(grids, crs, place)
    if place.snap:
        return Grid.from_bbox(box, crs=crs, resolution=(y, x), bbox_crs=crs)
    shape = (_count(box.top - box.bottom, y), _count(box.right - box.left, x))
    return Grid.from_affine(crs, Affine(x, 0.0, box.left, 0.0, -y, box.top), shape)


def _crs(grids: Iterable[Grid]) -> str:
    found = sorted({grid.crs for grid in grids})
    if len(found) > 1:
        raise ConflictError(
            "the files have several CRS", expected="one", got=", ".join(found)[:200], todo="choose one with epsg="
        )
    return found[0]


def _pair(resolution: float | tuple[float, float]) -> tuple[float, float]:
    """Give pixel width and height, both positive."""
    x, y = resolution if isinstance(resolution, tuple | list) else (resolution, resolution)
    if not (x > 0 and y > 0):
        raise InputError("the resolution is not positive", where="resolution", expected="> 0", got=str(resolution))
    return float(x), float(y)


def _resolution(grids: Iterable[Grid], crs: str) -> tuple[float, float]:
    """Give the finest pixel size of the files, in the target CRS."""
    sizes = [_size(grid, crs) for grid in grids]
    return min(x for x, _ in sizes), min(y for _, y in sizes)


def _size(grid: Grid, crs: str) -> tuple[float, float]:
    """Give width and height of a file's first pixel; in another CRS, those of the box around it."""
    if grid.crs == crs:
        return grid.resolution.x, -grid.resolution.y
    left, _, _, top = grid.bounds
    box = project_bbox((left, top + grid.resolution.y, left + grid.resolution.x, top), grid.crs, crs)
    return box.right - box.left, box.top - box.bottom


def _box(grids: Iterable[Grid], crs: str, place: Place) -> Bounds:
    if place.bounds is not None:
        return Bounds(*_four(place.bounds))
    if place.bounds_latlon is not None:
        return project_bbox(_four(place.bounds_latlon), "EPSG:4326", crs)
    boxes = [project_bbox(grid.bounds, grid.crs, crs) for grid in grids]
    left, bottom = min(box.left for box in boxes), min(box.bottom for box in boxes)
    return Bounds(left, bottom, max(box.right for box in boxes), max(box.top for box in boxes))


def _four(bounds: Sequence[float]) -> tuple[float, float, float, float]:
    if len(bounds) != 4 or not bounds[1] < bounds[3]:
        raise InputError("malformed bounds", expected="west, south, east, north", got=str(bounds)[:80])
    west, south, east, north = (float(edge) for edge in bounds)
    return west, south, east, north


def _count(extent: float, size: float) -> int:
    """Give the number of whole pixels in an extent, rounded as GDAL does, at least one."""
    return max(int((extent + size / 2) / size), 1)
