"""Outlines: lines between regions and the rings they make, against GDAL's polygons."""

import numpy as np
import rasterio.features
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from terracube.processing.kernels.labels import components
from terracube.processing.kernels.outlines import line, outlines, rings

MAPS = arrays("int32", array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.integers(0, 2))
FEW = settings(max_examples=30, deadline=None)


def polygons(labels: np.ndarray, *, cut: bool = False) -> list[shapely.Polygon]:
    """Polygons of all regions, lines cut into sides of single pixels or not."""
    edge = [
        line(np.full(labels.shape[1], -1), labels[0].astype("int64") - 1, flat=True, at=0),
        line(labels[-1].astype("int64") - 1, np.full(labels.shape[1], -1), flat=True, at=labels.shape[0]),
        line(np.full(labels.shape[0], -1), labels[:, 0].astype("int64") - 1, flat=False, at=0),
        line(labels[:, -1].astype("int64") - 1, np.full(labels.shape[0], -1), flat=False, at=labels.shape[1]),
    ]
    inner = outlines(labels, 0, 0)
    inner[:, 0] -= 1
    lines = np.concatenate([inner, *edge])
    corners, ring, region = rings(_single(lines) if cut else lines, labels.shape[1])
    if not region.size:
        return []
    found = shapely.linearrings(corners[:, ::-1] * [1.0, -1.0], indices=ring)
    return list(shapely.polygons(found, indices=region))


def _single(lines: np.ndarray) -> np.ndarray:
    steps = {0: (0, 1), 1: (1, 0), 2: (0, -1), 3: (-1, 0)}
    found = []
    for region, direction, y, x, length in lines.tolist():
        dy, dx = steps[direction]
        found += [[region, direction, y + at * dy, x + at * dx, 1] for at in range(length)]
    return np.array(found[::-1], "int64").reshape(-1, 5)


@FEW
@given(MAPS)
def test_polygons_are_those_of_gdal(codes: np.ndarray) -> None:
    """Each region has the shape that GDAL gives it, is valid, and runs counter-clockwise."""
    labels, count = components(codes, nodata=0)
    found = polygons(labels)
    assert len(found) == count
    flip = rasterio.Affine(1, 0, 0, 0, -1, 0)
    theirs = {
        int(label): shapely.geometry.shape(shape)
        for shape, label in rasterio.features.shapes(labels, mask=labels > 0, transform=flip)
    }
    for number, polygon in enumerate(found, 1):
        assert polygon.is_valid
        assert polygon.exterior.is_ccw
        assert polygon.area == (labels == number).sum()
        assert polygon.equals(theirs[number])


@FEW
@given(MAPS)
def test_pieces_of_lines_do_not_show(codes: np.ndarray) -> None:
    """Lines in pieces of one pixel, in another order, make the same rings to the corner."""
    labels, _ = components(codes, nodata=0)
    assert [shape.wkb for shape in polygons(labels)] == [shape.wkb for shape in polygons(labels, cut=True)]


def test_corners_where_a_region_meets_itself() -> None:
    """A hole that touches the outside at a corner stays a hole: no ring touches itself."""
    labels, _ = components(np.array([[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [0, 1, 1, 1]], "int32"), nodata=0)
    (polygon,) = polygons(labels)
    assert polygon.is_valid
    assert len(polygon.interiors) == 2
