"""Directions of sun and view in a Zarr product: `conditions/geometry`.

The coordinates of the grid are those of its nodes, the first of which is the corner of the tile.
"""

from __future__ import annotations

import math

import numpy as np

from terracube.core.errors import MetadataError
from terracube.cubes.grid import Grid
from terracube.ingest.readers.sentinel2.angles import (
    NO_GRIDS,
    Angles,
    Direction,
    Floats,
    mean_direction,
    merge,
    node_grid,
)
from terracube.ingest.readers.sentinel2.eopf_store import Store
from terracube.ingest.readers.sentinel2.msi import BANDS

_GROUP = "conditions/geometry"
_NO_SURFACE = "B10"
_MOST_DETECTORS = 12
# The mean that the product tells and that of its grid, which reaches a little over the tile, degrees.
_APART = 1.5


def read_angles(store: Store, tile: Grid) -> Angles:
    """Read mean directions and grids.

    Raises
    ------
    TerraCubeError
        If an array cannot be read, or has no usable shape.
    """
    where = f"{store.folder}:{_GROUP}"
    names = ("mean_sun_angles", "mean_viewing_incidence_angles", "sun_angles", "viewing_incidence_angles", "x", "y")
    found = {name: store.numbers(f"{_GROUP}/{name}") for name in names}
    sun_mean = _pair(found["mean_sun_angles"], where)
    view_mean = _mean_view(found["mean_viewing_incidence_angles"], where)
    x, y, grids = found["x"], found["y"], found["sun_angles"]
    if x is None or y is None or grids is None:
        return Angles(sun_mean, view_mean, notes=NO_GRIDS)
    sun = _sun(grids, sun_mean, where)
    views = _views(found["viewing_incidence_angles"], sun.zenith.shape, store, where)
    grid = _grid(x, y, sun.zenith.shape, tile, where)
    off = max(abs(float(x[0]) - tile.bounds.left), abs(float(y[0]) - tile.bounds.top))
    notes = (f"the first node of the angles lies {off:g} m off the corner of the tile",) if off > 100 else ()
    used = ("sun_angles", "viewing_incidence_angles", "x", "y")
    files = tuple(file for name in used if found[name] is not None for file in store.files(f"{_GROUP}/{name}"))
    return Angles(sun_mean, view_mean, sun, views, grid, files, notes)


def _pair(values: Floats | None, where: str) -> tuple[float, float] | None:
    if values is None or not np.isfinite(values).all():
        return None
    if values.shape != (2,) or not 0 <= values[0] <= 180 or not 0 <= values[1] <= 360:
        raise MetadataError("the mean angle is none", where=where, expected="zenith and azimuth", got=str(values)[:80])
    return float(values[0]), float(values[1])


def _mean_view(values: Floats | None, where: str) -> tuple[float, float] | None:
    if values is None:
        return None
    if values.shape != (len(BANDS), 2):
        raise MetadataError("the mean angles are none", where=where, expected="(13, 2)", got=str(values.shape))
    return mean_direction(
        pair
        for name, row in zip(BANDS, values, strict=True)
        if name != _NO_SURFACE and (pair := _pair(row, f"{where}, {name}")) is not None
    )


def _sun(values: Floats, mean: tuple[float, float] | None, where: str) -> Direction:
    """Take the grids of the sun: zenith first, which the mean that is told of each confirms."""
    if values.ndim != 3 or len(values) != 2:
        raise MetadataError("the angle grid has an odd shape", where=where, expected="(2, y, x)", got=str(values.shape))
    sun = Direction(values[0], values[1]).checked(f"{where}/sun_angles")
    middle = mean_direction(zip(sun.zenith.ravel().tolist(), sun.azimuth.ravel().tolist(), strict=True))
    if mean is not None and middle is not None:
        turn = abs((middle[1] - mean[1] + 180) % 360 - 180) * math.sin(math.radians(mean[0]))
        if abs(middle[0] - mean[0]) > _APART or turn > _APART:
            raise MetadataError(
                "the grid of sun angles contradicts their mean", where=where, expected=str(mean), got=str(middle)
            )
    return sun


def _views(values: Floats | None, shape: tuple[int, ...], store: Store, where: str) -> dict[str, Direction]:
    """Take the grids of each band, merged over detectors."""
    if values is None:
        return {}
    place = f"{where}/viewing_incidence_angles"
    if values.ndim != 5 or values.shape[0] != len(BANDS) or values.shape[2:] != (2, *shape):
        raise MetadataError(
            "the angle grids have no usable shape",
            where=place,
            expected=f"(13, detectors, 2, {', '.join(map(str, shape))})",
            got=str(values.shape),
        )
    order = store.attributes(f"{_GROUP}/band").get("flag_meanings")
    if order is not None and order != [name.lower() for name in BANDS]:
        raise MetadataError("the bands of the angles are in another order", where=place, got=str(order)[:120])
    if not 1 <= values.shape[1] <= _MOST_DETECTORS:
        raise MetadataError("the angles are those of no detector", where=place, got=str(values.shape[1]))
    found = {}
    for name, band in zip(BANDS, values, strict=True):
        parts = [Direction(one[0], one[1]).checked(f"{place} {name}") for one in band]
        if name != _NO_SURFACE:
            found[name] = merge(parts)
    return found


def _grid(x: Floats, y: Floats, shape: tuple[int, ...], tile: Grid, where: str) -> Grid:
    steps = []
    for values, count, sign in ((x, shape[1], 1), (y, shape[0], -1)):
        step = sign * (values[-1] - values[0]) / (count - 1) if values.shape == (count,) and count > 1 else math.nan
        if not step > 0 or np.abs(values - (values[0] + sign * step * np.arange(count))).max() > 1e-3 * step:
            raise MetadataError(
                "the nodes of the angles are not regular", where=where, expected="equal steps, to the south"
            )
        steps.append(float(step))
    return node_grid(tile.crs, (float(x[0]), float(y[0])), (steps[0], steps[1]), (shape[0], shape[1]))
