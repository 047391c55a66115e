"""Sampling: the table is what plain numpy says of the eager array, however the data are cut and ordered."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import dask.array as da
import geopandas
import numpy as np
import pandas as pd
import pystac
import pytest
import rasterio
import rioxarray
import shapely
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from rasterio.features import geometry_mask

from terracube.core.errors import BudgetError, ConflictError, InputError, MetadataError
from terracube.cubes.sampling import _zones as zones
from terracube.cubes.sampling import sample

UTM = "EPSG:32633"
LEFT, TOP = 499980.0, 5100020.0  # pixels of 10 m; tiles of 256 pixels end inside the cube
HEIGHT, WIDTH, DATES = 300, 320, 3
PLACE = Affine(10, 0, LEFT, 0, -10, TOP)
ALL = ("mean", "median", "std", "min", "max", "sum", "count", "p25", "p97.5")


def made_up(shape=(DATES, HEIGHT, WIDTH), place=PLACE, crs=UTM, seed=0):
    """Integers with nodata, floats with NaN and classes, on a grid of the UTM zone unless told otherwise."""
    rng = np.random.default_rng(seed)
    red = rng.integers(1, 60000, shape, dtype="uint16")
    red[rng.random(shape) < 0.2] = 0
    ndvi = rng.normal(0.3, 0.2, shape).astype("float32")
    ndvi[rng.random(shape) < 0.3] = np.nan
    scl = rng.integers(0, 12, shape, dtype="uint8")
    dims = ("time", "y", "x")
    cube = xr.Dataset(
        {
            "red": (dims, red, {"nodata": 0}),
            "ndvi": (dims, ndvi),
            "scl": (dims, scl, {"flag_values": list(range(12))}),
        },
        coords={
            "time": pd.date_range("2023-08-10", periods=shape[0]),
            "y": place.f + (np.arange(shape[1]) + 0.5) * place.e,
            "x": place.c + (np.arange(shape[2]) + 0.5) * place.a,
        },
    )
    return cube.rio.write_crs(crs).rio.write_transform(place)


CUBE = made_up()


def points_of(number=40, seed=1):
    """Points inside and a few outside the cube."""
    rng = np.random.default_rng(seed)
    x = LEFT + rng.uniform(-100, WIDTH * 10 + 100, number)
    y = TOP - rng.uniform(-100, HEIGHT * 10 + 100, number)
    return geopandas.GeoDataFrame({"name": [f"p{i}" for i in range(number)]}, geometry=shapely.points(x, y), crs=UTM)


def polygons_of(number=12, seed=1):
    """Polygons of many sizes: some smaller than a pixel, some with holes, some partly or wholly outside."""
    rng = np.random.default_rng(seed)
    shapes = []
    for size in rng.choice([3.0, 40.0, 300.0, 1500.0], number):
        turns = np.sort(rng.uniform(0, 2 * np.pi, 9))
        middle = np.array([LEFT, TOP - HEIGHT * 10]) + rng.uniform(-0.05, 1.05, 2) * [WIDTH * 10, HEIGHT * 10]
        ring = middle + size * rng.uniform(0.5, 1, (9, 1)) * np.stack([np.cos(turns), np.sin(turns)], 1)
        shape = shapely.Polygon(ring).buffer(0)
        shapes.append(shape.difference(shapely.Point(middle).buffer(size / 4)) if size > 100 else shape)
    shapes.append(shapely.MultiPolygon([shapely.box(LEFT + a, TOP - 500, LEFT + a + 200, TOP - 90) for a in (0, 1000)]))
    return geopandas.GeoDataFrame({"name": [f"f{i}" for i in range(len(shapes))]}, geometry=shapes, crs=UTM)


def plain_zone(cube, shape, stats=ALL, **options):
    """Do the same with rasterio's mask and numpy on the whole eager arrays: one row per date."""
    inside = geometry_mask([shape], (cube.sizes["y"], cube.sizes["x"]), cube.rio.transform(), invert=True, **options)
    rows = []
    for date in range(cube.sizes["time"]):
        row, whole = {}, np.ones(int(inside.sum()), bool)
        for name in ("red", "ndvi", "scl"):
            values = cube[name].values[date][inside].astype("float64")
            if name == "red":
                values[values == 0] = np.nan
            whole &= ~np.isnan(values)
            values = values[~np.isnan(values)]
            for stat in stats:
                if stat == "count":
                    row[f"{name}_count"] = len(values)
                elif not len(values):
                    row[f"{name}_{stat}"] = np.nan
                elif stat[0] == "p":
                    row[f"{name}_{stat}"] = np.percentile(values, float(stat[1:]))
                else:
                    row[f"{name}_{stat}"] = getattr(np, stat)(values)
        rows.append(row | {"valid_count": int(whole.sum()), "pixel_count": int(inside.sum())})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("all_touched", [False, True])
def test_polygons_equal_mask_and_numpy(all_touched):
    """Every statistic of every polygon and date is numpy's of the pixels of rasterio's mask."""
    fields = polygons_of()
    table = sample(CUBE, fields, stats=ALL, all_touched=all_touched, id="name")
    assert list(table.columns[:2]) == ["id", "time"]
    assert table["id"].tolist() == [name for name in fields["name"] for _ in range(DATES)]
    expected = pd.concat([plain_zone(CUBE, shape, all_touched=all_touched) for shape in fields.geometry])
    for name in expected:
        np.testing.assert_allclose(table[name], expected[name], rtol=1e-12, err_msg=name)


def test_points_equal_plain_arithmetic():
    """The value of a point is that of the pixel that holds it; outside there is none, and it is told."""
    places = points_of()
    table = sample(CUBE, places, id="name")
    assert list(table.columns) == ["id", "time", "red", "ndvi", "scl", "x", "y", "inside"]
    assert table.dtypes.astype(str).to_dict() | {"id": ""} == {
        "id": "", "time": str(table["time"].dtype), "red": "float64", "ndvi": "float32", "scl": "float64",
        "x": "float64", "y": "float64", "inside": "bool",
    }  # fmt: skip
    for number, point in enumerate(places.geometry):
        col, row = int(np.floor((point.x - LEFT) / 10)), int(np.floor((TOP - point.y) / 10))
        rows = table.iloc[number * DATES : (number + 1) * DATES]
        inside = 0 <= col < WIDTH and 0 <= row < HEIGHT
        assert (rows["inside"] == inside).all()
        if not inside:
            assert rows[["red", "ndvi", "scl", "x", "y"]].isna().all(axis=None)
            continue
        red = CUBE["red"].values[:, row, col].astype(float)
        np.testing.assert_array_equal(rows["red"], np.where(red == 0, np.nan, red))
        np.testing.assert_array_equal(rows["ndvi"], CUBE["ndvi"].values[:, row, col])
        assert (rows["x"] == LEFT + (col + 0.5) * 10).all()
        assert (rows["y"] == TOP - (row + 0.5) * 10).all()
    assert not table["inside"].all()


def test_ties_go_south_and_east():
    """A point on an edge between pixels belongs to the one after the edge; the last edge is outside."""
    corner = [shapely.Point(LEFT + 10, TOP - 20), shapely.Point(LEFT + WIDTH * 10, TOP - 5), shapely.Point(LEFT, TOP)]
    table = sample(CUBE.isel(time=0), corner, crs=UTM)
    assert table["inside"].tolist() == [True, False, True]
    assert (table["x"][0], table["y"][0]) == (LEFT + 15, TOP - 25)
    assert (table["x"][2], table["y"][2]) == (LEFT + 5, TOP - 5)


def test_bilinear_recovers_a_plane():
    """Between centres a plane is met; a missing corner is left out, a missing middle pixel is missing."""
    y, x = CUBE["y"].values[:, None], CUBE["x"].values
    plane = ((x - LEFT) * 0.25 - (TOP - y) * 0.5)[None].repeat(2, 0)
    plane[1, 4, 7] = np.nan
    cube = xr.Dataset({"plane": (("time", "y", "x"), plane)}, coords={"y": CUBE.y, "x": CUBE.x, "time": [0, 1]})
    cube = cube.rio.write_crs(UTM)
    place = shapely.Point(LEFT + 73, TOP - 38)  # in pixel (3, 7), nearest to the centre of (3, 7)
    gone = shapely.Point(LEFT + 76, TOP - 44)  # in pixel (4, 7)
    table = sample(cube, [place, gone], crs=UTM, method="bilinear")
    np.testing.assert_allclose(table["plane"][0], 73 * 0.25 - 38 * 0.5, atol=1e-5)
    corners = {(3, 6): 0.7 * 0.2, (3, 7): 0.7 * 0.8, (4, 6): 0.3 * 0.2}
    expected = sum(plane[1, r, c] * w for (r, c), w in corners.items()) / sum(corners.values())
    np.testing.assert_allclose(table["plane"][1], expected, atol=1e-5)
    assert np.isfinite(table["plane"][2])
    assert np.isnan(table["plane"][3])
    edge = sample(cube, [shapely.Point(LEFT + 1, TOP - 1)], crs=UTM, method="bilinear")
    np.testing.assert_allclose(edge["plane"], plane[:, 0, 0])


def test_classes_are_never_interpolated():
    """A mapping chooses the method of each variable; without it classes are refused."""
    places = points_of()
    with pytest.raises(InputError, match="classes cannot be interpolated"):
        sample(CUBE, places, method="bilinear")
    mixed = sample(CUBE, places, method={"scl": "nearest", "*": "bilinear"})
    pd.testing.assert_series_equal(mixed["scl"], sample(CUBE, places)["scl"])
    for wrong in ("cubic", {"blue": "nearest"}):
        with pytest.raises(InputError, match="unknown method or variable"):
            sample(CUBE, places, method=wrong)


chunkings = st.fixed_dictionaries(
    {"time": st.integers(1, 3), "y": st.integers(40, 310), "x": st.integers(40, 330)}
)  # fmt: skip


@functools.cache
def eager(what):
    """The tables of the eager cube."""
    if what == "fields":
        return sample(CUBE, polygons_of(6), stats=ALL)
    return sample(CUBE, points_of(20), method={"red": "bilinear", "ndvi": "bilinear"})


@settings(max_examples=8)
@given(chunks=chunkings, mixed=st.booleans())
def test_any_chunking_gives_the_same_tables(chunks, mixed):
    """Tables of points and polygons are the same to the bit, however the cube is cut, variables alike or not."""
    fields, places, methods = polygons_of(6), points_of(20), {"red": "bilinear", "ndvi": "bilinear"}
    lazy = CUBE.chunk(chunks)
    if mixed:
        lazy["ndvi"] = CUBE["ndvi"].chunk(y=77, x=130)
        lazy["scl"] = CUBE["scl"]
    pd.testing.assert_frame_equal(sample(lazy, fields, stats=ALL), eager("fields"), check_exact=True)
    pd.testing.assert_frame_equal(sample(lazy, places, method=methods), eager("places"), check_exact=True)


@settings(max_examples=6)
@given(order=st.permutations(range(9)), part=st.tuples(st.integers(0, 60), st.integers(0, 60)))
def test_order_and_extent_do_not_change_rows(order, part):
    """Another order of the geometries permutes rows; a part of the cube that holds a polygon gives its row."""
    fields = polygons_of(8)
    table = sample(CUBE, fields, stats=ALL, id="name")
    moved = sample(CUBE, fields.iloc[order], stats=ALL, id="name")
    sorted_rows = moved.set_index(["id", "time"]).loc[table.set_index(["id", "time"]).index].reset_index()
    pd.testing.assert_frame_equal(sorted_rows, table, check_exact=True)
    inner = fields[fields.within(shapely.box(LEFT + 600, TOP - HEIGHT * 10 + 600, LEFT + WIDTH * 10 - 600, TOP - 600))]
    smaller = CUBE.isel(y=slice(part[0], HEIGHT - part[1]), x=slice(part[1], WIDTH - part[0]))
    same = table[table["id"].isin(inner["name"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(sample(smaller, inner, stats=ALL, id="name"), same, check_exact=True)
    corners = [shapely.Polygon([(LEFT + 700, TOP - 700), (LEFT + 770, TOP - 730), (LEFT + 720, TOP - 900)])]
    whole, cut = (sample(cube, corners, crs=UTM, all_touched=True) for cube in (CUBE, smaller))
    pd.testing.assert_frame_equal(cut, whole, check_exact=True)
    assert len(inner)


def counted(cube, reads):
    """Give the cube with every chunk telling that it was read, one task per chunk for all variables."""

    def source(block_info=None):
        place = block_info[None]["array-location"]
        reads.append(tuple(place))
        slices = tuple(slice(*part) for part in place[1:])
        return np.stack([cube["red"].values[slices], cube["scl"].values[slices]]).astype("float32")

    chunks = ((2,), (1, 2), (100, 100, 100), (64,) * 5)
    whole = da.map_blocks(source, chunks=chunks, dtype="float32", meta=np.empty((0,) * 4, "float32"))
    dims = ("time", "y", "x")
    lazy = {name: (dims, whole[number]) for number, name in enumerate(("red", "scl"))}
    return xr.Dataset(lazy, coords=cube.coords)


def test_each_chunk_is_read_once_and_no_other():
    """Chunks that hold a geometry are computed once for all variables and geometries; others never."""
    fields = polygons_of(8)
    reads = []
    sample(counted(CUBE, reads), fields, stats=ALL)
    assert len(reads) == len(set(reads)) > 0

    near = [
        shapely.Point(LEFT + 15, TOP - 15),
        shapely.Point(LEFT + 25, TOP - 15),
        shapely.Point(LEFT + 3000, TOP - 2500),
    ]
    reads.clear()
    sample(counted(CUBE, reads), near, crs=UTM)
    assert sorted(reads) == sorted(
        ((0, 2), time, *corner)
        for time in ((0, 1), (1, 3))
        for corner in (((0, 100), (0, 64)), ((200, 300), (256, 320)))
    )
    reads.clear()
    small = shapely.box(LEFT + 15, TOP - 60, LEFT + 90, TOP - 15)
    sample(counted(CUBE, reads), [small], crs=UTM)
    assert all(read[2][0] <= 200 and read[3][0] < 192 for read in reads)
    assert len(reads) == len(set(reads))


def test_no_centre_inside_is_told():
    """A polygon that holds no centre counts 0 pixels and gives NaN with a note, never the nearest pixel."""
    tiny = shapely.box(LEFT + 11, TOP - 13, LEFT + 13, TOP - 11)
    away = shapely.box(LEFT - 500, TOP, LEFT - 400, TOP + 50)
    partly = shapely.box(LEFT - 50, TOP - 50, LEFT + 50, TOP + 50)
    table = sample(CUBE.isel(time=[0]), [tiny, away, partly], crs=UTM)
    assert table["note"].tolist() == ["no pixel centre inside", "outside the grid", "partly outside the grid"]
    assert table["pixel_count"].tolist() == [0, 0, 25]
    assert table["red_count"].tolist()[:2] == [0, 0]
    assert table[["red_mean", "ndvi_median", "scl_std", "red_min", "scl_max"]].iloc[:2].isna().all(axis=None)
    touched = sample(CUBE.isel(time=[0]), [tiny], crs=UTM, all_touched=True)
    assert touched["pixel_count"].tolist() == [1]


def test_nothing_inside():
    """Where no geometry meets the grid, nothing is read and all is told."""
    lazy = CUBE.chunk(y=100)
    away = [shapely.box(0, 0, 10, 10), shapely.box(20, 20, 30, 30)]
    table = sample(lazy, away, crs=UTM)
    assert set(table["note"]) == {"outside the grid"}
    assert len(table) == 2 * DATES
    methods = {"red": "bilinear"}
    assert not sample(lazy, [shapely.Point(0, 0)], crs=UTM, method=methods)["inside"].any()


def test_nodata_that_the_type_cannot_hold():
    """A number that a variable cannot hold is the number of no missing value."""
    cube = CUBE[["red", "ndvi"]].isel(time=0)
    cube["red"], cube["ndvi"] = cube["red"].assign_attrs(nodata=-9999), cube["ndvi"].assign_attrs(nodata=1e300)
    table = sample(cube, [shapely.box(LEFT, TOP - 100, LEFT + 100, TOP)], crs=UTM)
    assert table["red_count"].item() == 100
    assert table["ndvi_count"].item() == np.isfinite(cube["ndvi"].values[:10, :10]).sum()


def test_pixels_all_missing():
    """Pixels without values are counted as pixels, not as values."""
    cube = CUBE.isel(time=[0]).copy(deep=True)
    cube["red"].values[:] = 0
    table = sample(cube[["red"]], [shapely.box(LEFT, TOP - 20, LEFT + 20, TOP)], crs=UTM, stats=ALL)
    assert table[["red_count", "valid_count", "pixel_count"]].to_numpy().tolist() == [[0, 0, 4]]
    assert table[[f"red_{stat}" for stat in ALL if stat != "count"]].isna().all(axis=None)


def test_other_crs_and_curved_edges():
    """Points and long straight edges in longitude and latitude are followed on the grid of the cube."""
    to_lonlat = Transformer.from_crs(UTM, 4326, always_xy=True).transform
    places = points_of()
    pd.testing.assert_frame_equal(sample(CUBE, places.to_crs(4326)), sample(CUBE, places))
    coarse = made_up((1, 100, 120), Affine(2000, 0, 300000, 0, -2000, 5300000))
    west, north = to_lonlat(310000, 5290000)
    east, south = to_lonlat(530000, 5110000)
    box = shapely.box(west, south, east, north)
    table = sample(coarse, [box], crs=4326, stats="count")
    x, y = np.meshgrid(coarse["x"], coarse["y"])
    lon, lat = to_lonlat(x, y)
    assert table["pixel_count"].item() == ((lon > west) & (lon < east) & (lat > south) & (lat < north)).sum()
    bare = geopandas.GeoSeries([box], crs=4326).to_crs(UTM)
    assert geometry_mask(bare, x.shape, coarse.rio.transform(), invert=True).sum() != table["pixel_count"].item()


def test_antimeridian():
    """On a grid that goes on beyond 180 degrees, places on both sides are found; a torn polygon is refused."""
    cube = made_up((1, 40, 60), Affine(0.5, 0, 165, 0, -0.5, 10), "EPSG:4326")
    cube["red"].values[:] = np.arange(60) + 1
    table = sample(cube, [shapely.Point(-179.8, 0.1), shapely.Point(179.8, 0.1), shapely.Point(165.1, 0.1)], crs=4326)
    assert table["red"].tolist() == [31, 30, 1]
    both = shapely.MultiPolygon([shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -179, 1)])
    assert sample(cube, [both], crs=4326, stats="count")["pixel_count"].item() == 8
    torn = shapely.Polygon([(179, 0), (-179, 0), (-179, 1), (179, 1)])
    with pytest.raises(InputError, match="more than half the globe"):
        sample(made_up((1, 9, 9), Affine(1000, 0, 300000, 0, -1000, 9000), "EPSG:32601"), [torn], crs=4326)
    assert "half the globe" in sample(cube, [torn], crs=4326, stats="count")["note"].item()


def test_south_up_and_other_names_of_axes():
    """Rows that run north and axes called lat and lon give the same table."""
    fields = polygons_of(5)
    expected = sample(CUBE, fields)
    pd.testing.assert_frame_equal(sample(CUBE.isel(y=slice(None, None, -1)).chunk(y=70), fields), expected)
    place = Affine(0.01, 0, 15, 0, -0.01, 46)
    cube = made_up((1, 20, 20), place, 4326)
    renamed = cube.drop_vars("spatial_ref").rename(y="lat", x="lon").rio.write_crs(4326)
    spot = [shapely.Point(15.055, 45.955)]
    pd.testing.assert_frame_equal(sample(renamed, spot, crs=4326), sample(cube, spot, crs=4326))


def test_without_time_and_static_beside_dated():
    """Without dates there is no time column; a variable without dates is repeated at every date of the others."""
    fields, places = polygons_of(4), points_of(8)
    static = CUBE.isel(time=0, drop=True)
    assert "time" not in sample(static, fields).columns
    assert len(sample(static, places)) == 8
    beside = CUBE[["red"]].assign(height=static["ndvi"]).chunk(y=100, time=1)
    for geometries in (fields, places):
        table = sample(beside, geometries)
        alone = sample(static[["ndvi"]], geometries)
        name = "height_mean" if geometries is fields else "height"
        np.testing.assert_array_equal(table[name][::DATES], alone[name.replace("height", "ndvi")])
        np.testing.assert_array_equal(table[name][1::DATES], alone[name.replace("height", "ndvi")])


def test_arrays():
    """An array with bands is sampled band by band; one without is called by its name."""
    joined = CUBE[["red", "ndvi"]].to_array("band").rio.write_crs(UTM)
    assert {"red", "ndvi"} <= set(sample(joined, points_of(3)).columns)
    assert "scl" in sample(CUBE["scl"], points_of(3)).columns


def test_one_pixel():
    """A raster of one pixel is sampled where its transform tells the size, and refused where nothing does."""
    one = CUBE.isel(y=[5], x=[7])
    place = [shapely.Point(LEFT + 71, TOP - 51)]
    assert sample(one, place, crs=UTM)["inside"].all()
    assert sample(one, [shapely.box(LEFT, TOP - 100, LEFT + 100, TOP)], crs=UTM)["pixel_count"].tolist() == [1] * DATES
    with pytest.raises(MetadataError, match="pixel size is not known"):
        sample(one.drop_vars("spatial_ref").rio.write_crs(UTM), place, crs=UTM)


def test_exact_where_sums_would_cancel():
    """The deviation of large close numbers is not lost in rounding."""
    cube = CUBE[["ndvi"]].isel(time=[0]).astype("float64").copy(deep=True)
    values = 1e9 + np.random.default_rng(0).normal(0, 1e-3, (1, HEIGHT, WIDTH))
    cube["ndvi"] = (("time", "y", "x"), values)
    table = sample(cube, [shapely.box(LEFT, TOP - 3000, LEFT + 3200, TOP)], crs=UTM, stats=["mean", "std"])
    np.testing.assert_allclose(table["ndvi_std"], values.std(), rtol=1e-6)
    np.testing.assert_allclose(table["ndvi_mean"], values.mean(), rtol=1e-15)


def test_heavy_polygon_and_full_tiles():
    """A polygon with many vertices over whole tiles equals the mask."""
    cube = made_up((2, 1100, 900), Affine(10, 0, LEFT, 0, -10, TOP))
    shape = shapely.Point(LEFT + 4500, TOP - 5500).buffer(4600, quad_segs=800)
    assert shapely.get_num_coordinates(shape) > 1000
    table = sample(cube.chunk(y=400, x=300), [shape], crs=UTM, stats=("mean", "median", "count"))
    expected = plain_zone(cube, shape, ("mean", "median", "count"))
    for name in expected:
        np.testing.assert_allclose(table[name], expected[name], rtol=1e-12)


def test_xvec():
    """As a cube, the values are those of the table, by geometry; without xvec the error names the extra."""
    pytest.importorskip("xvec", reason="xvec is not installed")
    for geometries in (polygons_of(4), points_of(5)):
        cube = sample(CUBE, geometries, as_="xvec", id="name")
        table = sample(CUBE, geometries, id="name")
        assert cube.sizes == {"geometry": len(geometries), "time": DATES}
        assert cube.xvec.geom_coords_indexed["geometry"].crs.to_epsg() == 32633
        name = "ndvi_mean" if "ndvi_mean" in cube else "ndvi"
        np.testing.assert_array_equal(cube[name].values.ravel(), table[name])
        assert cube["id"].values.tolist() == geometries["name"].tolist()


def test_xvec_missing(monkeypatch):
    """Where xvec is not installed, this is said before anything is read."""
    monkeypatch.setitem(sys.modules, "xvec", None)
    with pytest.raises(InputError, match="terracube\\[xvec\\]"):
        sample(CUBE, points_of(2), as_="xvec")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (None, "empty"),
        (shapely.Point(), "empty"),
        (shapely.Polygon(), "empty"),
        (shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]), "not valid"),
        (shapely.Point(np.nan, 1.0), "not valid"),
        (shapely.LineString([(0, 0), (1, 1)]), "another kind"),
        (shapely.MultiPoint([(0, 0), (1, 1)]), "another kind"),
    ],
)
def test_geometries_that_are_no_places(shape, message):
    """What is no place is refused, with its row and name."""
    good = shapely.Point(LEFT, TOP)
    frame = geopandas.GeoDataFrame({"name": ["a", "b"]}, geometry=[good, shape], crs=UTM)
    with pytest.raises(InputError, match=message) as caught:
        sample(CUBE, frame, id="name")
    assert caught.value.where == "row 1 (id b)"


def test_refusals():
    """What is missing or contradictory is said, and how to give it."""
    points, fields = points_of(3), polygons_of(2)
    bare = CUBE.drop_vars("spatial_ref")
    uneven = CUBE.assign_coords(x=np.r_[CUBE["x"].values[:-1], 9e9])
    cases = [
        (MetadataError, "CRS of the geometries", CUBE, list(points.geometry), {}),
        (MetadataError, "CRS is not known", bare, points, {}),
        (MetadataError, "not regular", uneven, points, {}),
        (MetadataError, "not north-up", CUBE.isel(x=slice(None, None, -1)), points, {}),
        (MetadataError, "no dates", CUBE.drop_vars("time"), points, {}),
        (MetadataError, "nodata is no number", CUBE.assign(red=CUBE["red"].assign_attrs(nodata="no")), points, {}),
        (ConflictError, "another CRS", CUBE, points, {"crs": 4326}),
        (InputError, "one kind", CUBE, [points.geometry[0], fields.geometry[0]], {"crs": UTM}),
        (InputError, "no geometr", CUBE, ["POINT (0 0)"], {"crs": UTM}),
        (InputError, "no geometr", CUBE, [], {"crs": UTM}),
        (InputError, "no such column", CUBE, points, {"id": "nix"}),
        (InputError, "one name", CUBE, points.assign(name="a"), {"id": "name"}),
        (InputError, "unknown statistic", CUBE, fields, {"stats": ["mode"]}),
        (InputError, "unknown statistic", CUBE, fields, {"stats": ["p101"]}),
        (InputError, "same statistic twice", CUBE, fields, {"stats": ["mean", "mean"]}),
        (InputError, "unknown form", CUBE, fields, {"as_": "table"}),
        (InputError, "for items only", CUBE, fields, {"bands": ["red"]}),
        (InputError, "cannot be sampled", CUBE.expand_dims(level=2), points, {}),
        (InputError, "no pixels", CUBE.rename(y="north"), points, {}),
        (InputError, "no pixels", CUBE.isel(x=slice(0, 0)), points, {}),
    ]
    for error, message, cube, geometries, options in cases:
        with pytest.raises(error, match=message):
            sample(cube, geometries, **options)


def test_budget(monkeypatch):
    """Quantiles of a polygon that needs too much memory are refused before reading; sums are not."""
    monkeypatch.setattr(zones, "_BUDGET", 10_000)
    large = [shapely.box(LEFT, TOP - 3000, LEFT + 3200, TOP)]
    lazy = CUBE.chunk(y=100)
    with pytest.raises(BudgetError, match="exact quantiles"):
        sample(lazy, large, crs=UTM)
    assert len(sample(lazy, large, crs=UTM, stats=["mean", "std"])) == DATES


def test_far_projection_is_refused_or_outside():
    """A point that cannot be projected is outside; a polygon that cannot be is refused."""
    cube = made_up((1, 9, 9), Affine(1000, 0, -1e5, 0, -1000, 1e5), "+proj=gnom +lat_0=90 +lon_0=0")
    assert not sample(cube, [shapely.Point(10, -60)], crs=4326)["inside"].any()
    with pytest.raises(InputError, match="cannot be projected"):
        sample(cube, [shapely.box(10, -60, 20, -50)], crs=4326)


def test_border_of_slovenia(data_dir: Path):
    """Real data: the bands of a tile inside the border of Slovenia, against rasterio and numpy."""
    folder = next((data_dir / "sentinel2-l2a/33TWM/sentinel-2-l2a").glob("*"))
    with rasterio.open(folder / "B04.tif") as opened:
        red, place = opened.read(1), opened.transform
    border = geopandas.read_file(data_dir / "vectors/svn_border.geojson")
    array = rioxarray.open_rasterio(folder / "B04.tif", chunks={"y": 200, "x": 300}).squeeze("band", drop=True)
    table = sample(array.to_dataset(name="red").assign(red=array.assign_attrs(nodata=0)), border, stats=ALL)
    inside = geometry_mask(border.geometry, red.shape, place, invert=True)
    values = red[inside & (red != 0)].astype(float)
    expected = {
        "mean": values.mean(),
        "std": values.std(),
        "median": np.median(values),
        "p25": np.percentile(values, 25),
    }
    assert table["pixel_count"].item() == inside.sum()
    assert table["red_count"].item() == len(values) > 100_000
    for stat, value in expected.items():
        np.testing.assert_allclose(table[f"red_{stat}"], value, rtol=1e-12)
    assert table["note"].item() == "partly outside the grid"


def test_items(items: list[pystac.Item], tiles):
    """Items are loaded lazily and sampled: what sampling the loaded cube gives."""
    from terracube.cubes import load

    grid = tiles["33TWM"]
    options = {"bands": ["red", "nir"], "grid": grid, "mask": None}
    x, y = (grid.bounds.left + grid.bounds.right) / 2, (grid.bounds.top + grid.bounds.bottom) / 2
    fields = [shapely.Point(x, y).buffer(900), shapely.Point(x - 20000, y).buffer(300)]
    table = sample(items, fields, crs=grid.crs, **options)
    pd.testing.assert_frame_equal(table, sample(load(items, **options).compute(), fields, crs=grid.crs))
    assert (table["pixel_count"] > 0).all()
    assert table["red_mean"].notna().any()
