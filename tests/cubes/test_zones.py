"""Polygons on a cube: exact shares of pixels, each block once, the same to the bit however the cube is cut."""

from typing import Any

import dask.array as da
import numpy as np
import pytest
import shapely
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.grid import YX, Grid
from terracube.cubes.layout import georeference
from terracube.cubes.sampling.coverage import coverage, edges_of_shape
from terracube.cubes.sampling.zones import ZoneTile, find_zones, reduce_zones
from terracube.cubes.window import Window

UTM = "EPSG:32633"
SIZE = 10.0


def cube_of(values: NDArray[Any], *, rows: int = 0, cols: int = 0) -> xr.Dataset:
    """Put values (time, y, x) on a grid of 10 m."""
    whole = Grid.from_bbox((500_000, 5_000_000, 500_010, 5_000_010), crs=UTM, resolution=SIZE, bbox_crs=UTM)
    grid = whole.window(YX(rows, cols), YX(*values.shape[-2:]))
    dates = np.datetime64("2023-08-10", "ns") + np.arange(len(values)) * np.timedelta64(1, "D")
    array = xr.DataArray(values, dims=("time", "y", "x"), coords={"time": dates})
    return georeference(xr.Dataset({"value": array}), grid)


def box(left: float, top: float, right: float, bottom: float) -> Any:
    """A box in columns and rows of the grid of ``cube_of``."""
    return shapely.box(500_000 + left * SIZE, 5_000_010 - bottom * SIZE, 500_000 + right * SIZE, 5_000_010 - top * SIZE)


def total(tile: ZoneTile) -> NDArray[np.float64]:
    """Sum of values by share."""
    return np.asarray((tile.values["value"] * tile.shares).sum(axis=-1))


def added(parts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Sum of sums."""
    return np.asarray(np.sum(parts, axis=0))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(-20, 20), st.integers(-20, 20))
def test_shares_are_areas_of_intersections(seed: int, row: int, col: int) -> None:
    """Shares equal what an independent library of geometry finds, holes, islands and clipping included."""
    rng = np.random.default_rng(seed)
    points = shapely.points(rng.uniform(-10, 30, (25, 2)))
    shape = shapely.union_all(shapely.buffer(points, rng.uniform(0.05, 5, 25), quad_segs=4))
    window = Window(row, col, 12, 17)
    rows, cols = np.mgrid[row : row + 12, col : col + 17]
    expected = shapely.area(shapely.intersection(shape, shapely.box(cols, rows, cols + 1, rows + 1)))
    np.testing.assert_allclose(coverage(edges_of_shape(shape), window), expected, atol=2e-5)


@pytest.mark.parametrize("reverse", [False, True])
def test_orientation_does_not_matter(reverse: bool) -> None:
    """A hole is a hole whichever way its ring runs."""
    hole = [(1, 1), (1, 2), (2, 2), (2, 1)]
    shape = shapely.Polygon([(0, 0), (3, 0), (3, 3), (0, 3)], [hole[::-1] if reverse else hole])
    found = coverage(edges_of_shape(shape), Window(0, 0, 3, 3))
    assert found.sum() == 8.0
    assert found[1, 1] == 0.0


def test_whole_pixels_are_exactly_one_and_outer_ones_exactly_zero() -> None:
    """Rounding leaves nothing outside, also far from the origin."""
    shape = shapely.Point(1_000_000.25, 500_000.75).buffer(200)
    found = coverage(edges_of_shape(shape), Window(499_744, 999_744, 512, 512))
    assert (found[250, 150:350] == 1.0).all()
    assert (found[0] == 0.0).all()
    assert found.sum() == pytest.approx(shape.area, rel=1e-6)


def test_a_sliver_smaller_than_a_pixel_has_its_share() -> None:
    """A polygon within one pixel is not lost."""
    shape = shapely.box(3.25, 4.5, 3.5, 4.75)
    found = coverage(edges_of_shape(shape), Window(0, 0, 10, 10))
    assert found[4, 3] == pytest.approx(1 / 16)
    assert np.count_nonzero(found) == 1


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(40, 400), st.integers(40, 400), st.integers(0, 2**16))
def test_chunks_do_not_change_a_bit(time: int, y: int, x: int, seed: int) -> None:
    """Answers are equal for any cutting, and equal to those in memory."""
    rng = np.random.default_rng(seed)
    cube = cube_of(rng.random((3, 300, 530), dtype="float32"))
    shapes = [box(-5.5, 3.2, 400.7, 280.1), box(250, 250, 262.3, 261.1), box(520, 290, 540, 310)]
    whole = reduce_zones(find_zones(cube, shapes, crs=UTM), total, added)
    cut = reduce_zones(find_zones(cube.chunk(time=time, y=y, x=x), shapes, crs=UTM), total, added)
    for one, other in zip(whole, cut, strict=True):
        np.testing.assert_array_equal(np.concatenate(one), np.concatenate(other))


def test_a_part_of_the_grid_gives_the_same() -> None:
    """Tiles count from the origin of the CRS: cropping beside a polygon changes nothing."""
    values = np.random.default_rng(1).random((2, 300, 300))
    field = [box(120, 90, 279.5, 288.25)]
    whole = reduce_zones(find_zones(cube_of(values), field, crs=UTM), total, added)
    cropped = reduce_zones(find_zones(cube_of(values[:, 77:, 101:], rows=77, cols=101), field, crs=UTM), total, added)
    np.testing.assert_array_equal(whole[0][0], cropped[0][0])


def test_only_blocks_with_polygons_are_read_and_once_each() -> None:
    """Two polygons in one block: one read; blocks without: none."""
    reads: list[tuple[int, ...]] = []

    def read(block: NDArray[np.float64], block_id: tuple[int, ...] | None = None) -> NDArray[np.float64]:
        reads.append(block_id or ())
        return block

    lazy = da.ones((2, 1024, 1024), chunks=(1, 256, 256)).map_blocks(read, dtype="float64", meta=np.empty((0, 0, 0)))
    cube = cube_of(np.zeros((2, 2, 2)))
    grid = Grid.like(cube).window(YX(0, 0), YX(1024, 1024))
    big = georeference(xr.Dataset({"value": (("time", "y", "x"), lazy)}, {"time": cube["time"]}), grid)
    zones = find_zones(big, [box(300, 300, 310, 310), box(320, 320, 400, 400)], crs=UTM)
    found = reduce_zones(zones, total, added)
    # The grid starts 500 000 rows from the origin, so a tile ends within a chunk: at most four chunks meet in a piece.
    assert len(reads) == len(set(reads)) <= 8
    assert [float(part[0][0]) for part in found] == [100.0, 6400.0]


def test_polygons_beyond_the_cube_have_no_answer() -> None:
    """Outside and partly outside are told."""
    zones = find_zones(cube_of(np.ones((1, 10, 10))), [box(20, 20, 30, 30), box(-5, 0, 5, 5)], crs=UTM)
    gone, partly = zones.outside()
    assert gone.tolist() == [True, False]
    assert partly.tolist() == [False, True]
    assert [len(found) for found in reduce_zones(zones, total, added)] == [0, 1]


def test_what_is_wrong_is_refused() -> None:
    """Lines, two of one name, and dates that are missing."""
    cube = cube_of(np.ones((2, 10, 10)))
    with pytest.raises(InputError, match="another kind"):
        find_zones(cube, [shapely.LineString([(0, 0), (1, 1)])], crs=UTM)
    with pytest.raises(MetadataError, match="CRS of the geometries"):
        find_zones(cube, [box(0, 0, 1, 1)])
    undated = cube.assign_coords(time=np.array(["2023-01-01", "NaT"], "datetime64[ns]"))
    with pytest.raises(MetadataError, match="a date is missing"):
        find_zones(undated, [box(0, 0, 1, 1)], crs=UTM)
