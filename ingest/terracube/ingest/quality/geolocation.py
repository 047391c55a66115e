"""Whether a scene can lie where it says: on the globe, where its metadata says, with pixels of its source's size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyproj
from shapely.errors import ShapelyError
from shapely.geometry import shape

from terracube.core.errors import TerraCubeError
from terracube.cubes.grid import Grid
from terracube.ingest.quality.judge import REJECTED, SUSPECT, Rules
from terracube.stac import footprint

_OFF_GRID = 0.01
_POLE = 90.0
# Degrees: tiles reach a few beyond the zone of their system.
_FAR = 10.0
_CLOSE = 1e-6
Found = tuple[str, str]


def check_place(grids: Mapping[str, Grid], geometry: Mapping[str, Any] | None, rules: Rules) -> list[Found]:
    """List what is wrong with where a scene lies.

    Parameters
    ----------
    grids : dict
        Grid of each layer.
    geometry : dict or None
        Footprint as delivered, GeoJSON in longitude and latitude.
    rules : Rules
        Of the source; sizes and origins are checked only if it tells them.

    Returns
    -------
    list of (str, str)
        Verdict and reason; empty if all is plausible.
    """
    found = [_told(keys, reason) for reason, keys in _by_reason(grids, rules).items()]
    if geometry is not None and footprint_overlap(list(grids.values()), geometry) == 0.0:
        found.append((REJECTED, "the delivered footprint lies elsewhere than the pixels"))
    return found


def _by_reason(grids: Mapping[str, Grid], rules: Rules) -> dict[Found, list[str]]:
    """Put together the layers of which the same is wrong."""
    together: dict[Found, list[str]] = {}
    for key, grid in grids.items():
        for reason in _of_grid(grid, rules):
            together.setdefault(reason, []).append(key)
    return together


def _told(keys: Sequence[str], reason: Found) -> Found:
    return reason[0], f"{', '.join(keys)}: {reason[1]}"


def _of_grid(grid: Grid, rules: Rules) -> Iterator[Found]:
    yield from _on_globe(grid)
    size = (abs(grid.resolution.x), abs(grid.resolution.y))
    if rules.pixel_size is not None:
        low, high = rules.pixel_size
        if not all(low <= side <= high for side in size):
            yield SUSPECT, f"pixels of {size[0]:g} x {size[1]:g}, not of {low:g} to {high:g} as the source has"
    if rules.origin is not None:
        edges = (grid.bounds.left / size[0], grid.bounds.top / size[1])
        off = [abs(edge - phase - round(edge - phase)) for edge, phase in zip(edges, rules.origin, strict=True)]
        if max(off) > _OFF_GRID:
            yield SUSPECT, f"the pixels lie {max(off):.2g} pixels off the grid of the source"


def _on_globe(grid: Grid) -> Iterator[Found]:
    try:
        bbox = footprint(grid.bounds, grid.crs)[1]
    except TerraCubeError as error:
        yield REJECTED, f"the grid does not lie on the globe ({error})"
        return
    crs = pyproj.CRS.from_user_input(grid.crs)
    if crs.is_geographic and max(abs(grid.bounds.top), abs(grid.bounds.bottom)) > _POLE + abs(grid.resolution.y):
        yield REJECTED, "the grid does not lie on the globe: it reaches beyond a pole"
    elif (off := _outside_of_use(bbox, crs)) > _FAR:
        yield SUSPECT, f"the grid lies {off:.0f} degrees outside the area for which its coordinate system is meant"


def _outside_of_use(bbox: Sequence[float], crs: pyproj.CRS) -> float:
    """Give how many degrees the box lies outside the area of use of a CRS; 0 inside, or where it is not told."""
    area = crs.area_of_use
    if area is None:
        return 0.0
    west, south, east, north = bbox
    below, above = max(0.0, area.south - north), max(0.0, south - area.north)
    # Eastwards from one box to the other and back; if they overlap, one of the two ways is longer than what is left.
    to_area, to_box = (area.west - east) % 360, (west - area.east) % 360
    widths = (east - west) % 360 + ((area.east - area.west) % 360 or 360)
    apart = abs(to_area + to_box + widths - 360) < _CLOSE and widths < 360
    return max(below, above, min(to_area, to_box) if apart else 0.0)


def footprint_overlap(grids: Sequence[Grid], geometry: Mapping[str, Any] | None) -> float | None:
    """Give which part of a delivered footprint lies on the pixels.

    Returns
    -------
    float or None
        0 to 1, of the layer that covers most; ``None`` if there is no footprint or no grid, or one cannot be used.
    """
    if geometry is None:
        return None
    try:
        claimed = shape(dict(geometry))
        frames = [shape(footprint(grid.bounds, grid.crs)[0]) for grid in grids]
        whole = claimed.area
        if not frames or not claimed.is_valid or not math.isfinite(whole) or whole <= 0:
            return None
        return float(min(1.0, max(claimed.intersection(frame).area for frame in frames) / whole))
    except (TerraCubeError, ShapelyError, ValueError, TypeError, KeyError, IndexError, AttributeError):
        return None
