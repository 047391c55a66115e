"""Directions of sun and view in the XML of a Sentinel-2 tile (PSD, issue 14.9, `Tile_Angles`)."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element  # only the type; the files are parsed by defusedxml

import numpy as np

from terracube.core.errors import MetadataError
from terracube.cubes.grid import Grid
from terracube.ingest.readers.sentinel2.angles import (
    MOST_NODES,
    NO_GRIDS,
    Angles,
    Direction,
    mean_direction,
    merge,
    node_grid,
)
from terracube.ingest.readers.sentinel2.msi import BANDS
from terracube.ingest.readers.sentinel2.safe_xml import band_of, number_of

# Bands by detectors are 13 x 12.
_MOST_GRIDS = 1000
# Band 10 sees clouds, not the ground.
_NO_SURFACE = "B10"


def read_angles(angles: Element | None, tile: Grid, where: str) -> Angles:
    """Read mean angles and grids of angles; products of 2017 have none.

    Parameters
    ----------
    angles : Element or None
        ``Tile_Angles``.
    tile : Grid
        Of the finest pixels; its corner is the first node.
    where : str

    Raises
    ------
    MetadataError
        If a grid is malformed, two differ in shape, or they do not reach over the tile.
    """
    if angles is None:
        return Angles(notes=NO_GRIDS)
    sun_node = angles.find("Sun_Angles_Grid")
    sun = None if sun_node is None else _direction(sun_node, f"{where}, Sun_Angles_Grid")
    parts, steps = _views(angles, where)
    steps |= set() if sun_node is None else {_steps(sun_node, where)}
    shapes = {one.zenith.shape for one in (*([sun] if sun else []), *(one for some in parts.values() for one in some))}
    if len(shapes) > 1 or len(steps) > 1:
        raise MetadataError("the angle grids of the tile differ", where=where, got=f"{sorted(shapes)}, {sorted(steps)}")
    nodes = None
    if shapes:
        nodes = node_grid(tile.crs, (tile.bounds.left, tile.bounds.top), steps.pop(), shapes.pop())
        _check_cover(nodes, tile, where)
    return Angles(
        sun_mean=_mean(angles.find("Mean_Sun_Angle"), where),
        view_mean=_view_mean(angles, where),
        sun=sun,
        views={name: merge(parts[name]) for name in BANDS if name in parts},
        grid=nodes,
        notes=NO_GRIDS if nodes is None else (),
    )


def _views(angles: Element, where: str) -> tuple[dict[str, list[Direction]], set[tuple[float, float]]]:
    """Read the grids of each band and detector, and the steps from node to node."""
    nodes = angles.findall("Viewing_Incidence_Angles_Grids")
    if len(nodes) > _MOST_GRIDS:
        raise MetadataError("too many angle grids", where=where, expected=f"<= {_MOST_GRIDS}", got=str(len(nodes)))
    parts: dict[str, list[Direction]] = {}
    steps = set()
    for each in nodes:
        name = band_of(each, "bandId", where)
        if name == _NO_SURFACE:
            continue
        place = f"{where}, Viewing_Incidence_Angles_Grids {name}, detector {each.get('detectorId', '?')[:9]}"
        parts.setdefault(name, []).append(_direction(each, place))
        steps.add(_steps(each, place))
    return parts, steps


def _check_cover(nodes: Grid, grid: Grid, where: str) -> None:
    """See that the nodes reach over the tile, to a step."""
    step_x, step_y = nodes.resolution.x, -nodes.resolution.y
    if nodes.bounds.right < grid.bounds.right - step_x or nodes.bounds.bottom > grid.bounds.bottom + step_y:
        raise MetadataError(
            "the angle grids do not cover the tile", where=where, expected=str(grid.bounds), got=str(nodes.bounds)
        )


def _steps(node: Element, where: str) -> tuple[float, float]:
    found = {
        tuple(number_of(node.findtext(f"{part}/{name}"), where, name, 1, 1e5) for name in ("COL_STEP", "ROW_STEP"))
        for part in ("Zenith", "Azimuth")
    }
    if len(found) > 1:
        raise MetadataError("zenith and azimuth have other steps", where=where, got=str(sorted(found)))
    x, y = found.pop()
    return x, y


def _direction(node: Element, where: str) -> Direction:
    zenith, azimuth = (_values(node.find(f"{part}/Values_List"), f"{where}, {part}") for part in ("Zenith", "Azimuth"))
    return Direction(zenith, azimuth).checked(where)


def _values(node: Element | None, where: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    rows = [] if node is None else [(each.text or "").split() for each in node.findall("VALUES")[: MOST_NODES + 1]]
    if not rows or len({len(row) for row in rows}) > 1 or max(len(rows), len(rows[0])) > MOST_NODES:
        raise MetadataError(
            "the angle grid has no usable shape",
            where=where,
            expected=f"rows of one length, up to {MOST_NODES}",
            got=f"{len(rows)} rows of {sorted({len(row) for row in rows})[:5]}",
        )
    try:
        return np.array([[float(text) for text in row] for row in rows], np.float64)
    except ValueError as error:
        raise MetadataError("an angle is no number", where=where, got=str(error)[:120]) from error


def _mean(node: Element | None, where: str) -> tuple[float, float] | None:
    if node is None:
        return None
    zenith, azimuth = node.findtext("ZENITH_ANGLE"), node.findtext("AZIMUTH_ANGLE")
    if "nan" in f"{zenith}{azimuth}".lower():  # a band that did not see the tile
        return None
    return number_of(zenith, where, "ZENITH_ANGLE", 0, 180), number_of(azimuth, where, "AZIMUTH_ANGLE", 0, 360)


def _view_mean(angles: Element, where: str) -> tuple[float, float] | None:
    """Give the mean over the bands that have reflectance at the ground."""
    found = []
    for each in angles.iter("Mean_Viewing_Incidence_Angle"):
        pair = _mean(each, where)
        if pair is not None and band_of(each, "bandId", where) != _NO_SURFACE:
            found.append(pair)
    return mean_direction(found)
