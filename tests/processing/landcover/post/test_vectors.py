"""From maps to polygons: shapes and statistics, joined over chunks to the bit, and back to the same map."""

from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio.features
import shapely
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from terracube.core.errors import BudgetError, InputError, MetadataError
from terracube.processing.landcover.post import vectorise, write_vectors

Placer = Callable[..., xr.DataArray]
MAPS = arrays("uint8", array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 2))
SIDES = st.tuples(st.integers(1, 6), st.integers(1, 6))
UTM = Affine(10, 0, 500_000, 0, -10, 4_800_000)


def told(frame: geopandas.GeoDataFrame) -> list[tuple]:
    """All columns, shapes as bytes: equal means equal to the bit, NaN included."""
    columns = [frame[name].to_numpy().tobytes() for name in frame.columns if name != "geometry"]
    return [*columns, *(shape.wkb for shape in frame.geometry)]


@settings(max_examples=20, deadline=None)
@given(MAPS, SIDES)
def test_chunks_do_not_show(placed: Placer, codes: np.ndarray, chunks: tuple[int, int]) -> None:
    """Any chunks give the same polygons, order and statistics, to the bit."""
    rng = np.random.default_rng(codes.sum())
    layer = rng.random(codes.shape).astype("float32")
    layer[rng.random(codes.shape) < 0.3] = np.nan
    odds = rng.random((2, *codes.shape)).astype("float32")

    def run(cut: tuple[int, int] | None) -> geopandas.GeoDataFrame:
        return vectorise(
            placed(codes, cut),
            probabilities=placed(odds, cut, nodata=None),
            layers={"validity": placed(layer, cut, nodata=None)},
            before=placed((codes * 3 + (layer > 0.5)).astype("uint8"), cut),
        )

    assert told(run(chunks)) == told(run(None))


@settings(max_examples=20, deadline=None)
@given(MAPS)
def test_polygons_are_the_map(placed: Placer, codes: np.ndarray) -> None:
    """Polygons are valid, do not overlap, have the area of their pixels, and burn back to the map."""
    frame = vectorise(placed(codes, (4, 4)))
    assert frame.geometry.is_valid.all()
    assert frame.crs == "EPSG:32631"
    np.testing.assert_allclose(frame.area, frame["area_m2"])
    assert frame["pixels"].sum() == (codes > 0).sum()
    if len(frame):
        burnt = rasterio.features.rasterize(
            zip(frame.geometry, frame["class"], strict=True), out_shape=codes.shape, transform=UTM, dtype="uint8"
        )
        np.testing.assert_array_equal(burnt, codes)
        theirs = [shape for shape, code in rasterio.features.shapes(codes, transform=UTM) if code]
        assert len(theirs) == len(frame)


def test_statistics(placed: Placer) -> None:
    """Means leave out NaN, probabilities are those of the polygon's class, dominant is what most pixels were."""
    codes = np.array([[1, 1, 2], [1, 1, 2]], "uint8")
    odds = np.array([[[0.9, 0.7, 0.2], [0.8, 0.6, 0.4]], [[0.1, 0.3, 0.8], [0.2, 0.4, 0.6]]], "float32")
    layer = np.array([[1, np.nan, np.nan], [2, 3, np.nan]], "float32")
    before = np.array([[1, 2, 2], [2, 1, 7]], "uint8")
    frame = vectorise(
        placed(codes),
        probabilities=placed(odds, nodata=None),
        layers={"count": placed(layer, nodata=None)},
        before=placed(before),
        names={1: "maize"},
    )
    assert frame["id"].tolist() == [1, 2]
    assert frame["name"].tolist()[0] == "maize"
    assert frame["pixels"].tolist() == [4, 2]
    np.testing.assert_allclose(frame["probability"], [0.75, 0.7], atol=1e-6)
    np.testing.assert_allclose(frame["margin"], [0.5, 0.4], atol=1e-6)
    np.testing.assert_allclose(frame["count"], [2, np.nan], atol=1e-6)
    assert frame["dominant"].tolist() == [1, 2]
    assert frame["dominant_share"].tolist() == [0.5, 0.5]


def test_one_class_of_probabilities(placed: Placer) -> None:
    """With a single class its probability is its margin."""
    frame = vectorise(placed(np.ones((2, 2), "uint8")), probabilities=placed(np.ones((1, 2, 2), "float32")))
    assert frame["margin"].tolist() == [1.0]


def test_missing_pixels_alone_and_one_pixel(placed: Placer) -> None:
    """Nothing makes an empty table with all columns; one pixel is a square."""
    empty = vectorise(placed(np.zeros((4, 5), "uint8"), (2, 2)), before=placed(np.zeros((4, 5), "uint8")))
    assert len(empty) == 0
    assert list(empty.columns) == ["id", "class", "pixels", "area_m2", "dominant", "dominant_share", "geometry"]
    (square,) = vectorise(placed(np.ones((1, 1), "uint8"))).geometry
    assert square.equals(shapely.box(500_000, 4_799_990, 500_010, 4_800_000))


def test_large_chunks_and_arrays_in_memory_are_cut(placed: Placer) -> None:
    """A long map is cut before it is outlined; its one region stays one, with four corners."""
    codes = np.ones((1, 9000), "uint8")
    for chunks in (None, (1, 9000)):
        (frame,) = [vectorise(placed(codes, chunks))]
        assert len(frame) == 1
        assert len(frame.geometry[0].exterior.coords) == 5


def test_degrees_have_areas_on_the_ellipsoid(placed: Placer) -> None:
    """A pixel of 0.0001 degree at 43 N is 11.11 m high and 8.15 m wide."""
    frame = vectorise(placed(np.ones((1, 1), "uint8"), degrees=True))
    assert frame["area_m2"][0] == pytest.approx(11.11 * 8.15, rel=2e-3)


def test_simplified_polygons_still_meet(placed: Placer) -> None:
    """Outlines lose corners, and polygons neither overlap nor leave gaps."""
    y, x = np.mgrid[:40, :40]
    codes = np.where(x > y, 1, 2).astype("uint8")
    plain, simple = (vectorise(placed(codes, (16, 16)), simplify=by) for by in (None, 20.0))
    assert shapely.get_num_coordinates(simple.geometry.values).sum() < 20
    assert simple.union_all().area == pytest.approx(plain.union_all().area)
    assert simple.area.sum() == pytest.approx(plain.area.sum())


@pytest.mark.parametrize("suffix", [".parquet", ".gpkg"])
def test_files_hold_what_was_written(placed: Placer, tmp_path: Path, suffix: str) -> None:
    """Files are read back the same, and another suffix is refused."""
    codes = np.array([[1, 1, 2], [0, 2, 2]], "uint8")
    frame = vectorise(placed(codes))
    path = write_vectors(frame, tmp_path / f"map{suffix}")
    back = geopandas.read_parquet(path) if suffix == ".parquet" else geopandas.read_file(path)
    assert back.geometry.geom_equals(frame.geometry).all()
    assert back["class"].tolist() == frame["class"].tolist()
    assert back.crs == frame.crs
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    with pytest.raises(InputError, match="format"):
        write_vectors(frame, tmp_path / "map.shp")


def test_wrong_requests_are_refused(placed: Placer) -> None:
    """Other pixels, names that are taken, probabilities without codes, a map upside down, too much work."""
    codes = placed(np.arange(16, dtype="uint8").reshape(4, 4), nodata=None)
    values = placed(np.zeros((4, 4), "float32"), nodata=None)
    odds = placed(np.zeros((2, 4, 4), "float32"), nodata=None)
    calls = [
        (lambda: vectorise(codes, layers={"v": values[:3]}), "v"),
        (lambda: vectorise(codes, before=codes.assign_coords(x=codes.x + 10)), "before"),
        (lambda: vectorise(codes, before=values), "before"),
        (lambda: vectorise(codes, layers={"class": values}), "layers"),
        (lambda: vectorise(codes, layers={"v": values + np.float32(1e6)}), "v"),
        (lambda: vectorise(codes, layers={"v": values + np.float32(np.inf)}), "v"),
        (lambda: vectorise(codes, probabilities=odds.drop_vars("class")), "probabilities"),
        (lambda: vectorise(codes, probabilities=values), "probabilities"),
        (lambda: vectorise(codes[::-1]), "y"),
        (lambda: vectorise(codes, simplify=-1.0), "simplify"),
    ]
    for call, where in calls:
        with pytest.raises(InputError) as caught:
            call()
        assert caught.value.where == where
    with pytest.raises(BudgetError, match="too many"):
        vectorise(codes, most=15)
    with pytest.raises(MetadataError):
        vectorise(codes.drop_vars(["spatial_ref"]))
