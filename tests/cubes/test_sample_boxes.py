"""Boxes around measurements: pixels as they are, with difference in time, distance and what the edge cuts off."""

from __future__ import annotations

import json

import geopandas
import numpy as np
import pandas as pd
import pystac
import pytest
import rioxarray  # noqa: F401  registers the `.rio` accessor
import shapely
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod, Transformer

from terracube.core.errors import BudgetError, EmptyResultError, InputError, MetadataError
from terracube.cubes.sampling import box_frame, boxes, extract_boxes

UTM = "EPSG:32633"
LEFT, TOP = 500040.0, 5100000.0
TIMES = pd.to_datetime(["2023-08-10T10:00", "2023-08-10T12:30", "2023-08-12T10:00", "2023-08-11T10:00"])


def made_up():
    """Four dates out of order, with reflectance, flags that have nodata, and a height without dates."""
    rng = np.random.default_rng(0)
    dims, shape = ("time", "y", "x"), (4, 30, 40)
    cube = xr.Dataset(
        {
            "red": (dims, rng.random(shape, "float32"), {"units": "1"}),
            "flags": (dims, rng.integers(1, 200, shape, dtype="uint16"), {"nodata": 65535, "flag_masks": [1, 2, 4]}),
            "height": (dims[1:], rng.random(shape[1:])),
        },
        coords={"time": TIMES, "y": TOP - 10 * (np.arange(30) + 0.5), "x": LEFT + 10 * (np.arange(40) + 0.5)},
    )
    return cube.rio.write_crs(UTM)


CUBE = made_up()


def stations(pixels, times):
    """Points at (row, column) in pixels, with moments."""
    shapes = [shapely.Point(LEFT + 10 * col, TOP - 10 * row) for row, col in pixels]
    names = [f"s{number}" for number in range(len(shapes))]
    moments = pd.to_datetime(list(times), utc=True)
    return geopandas.GeoDataFrame({"name": names, "time": moments}, geometry=shapes, crs=UTM)


def test_boxes_are_the_pixels_around():
    """Each match gives the n x n pixels of its date, unchanged, with signed seconds and the distance in metres."""
    points = stations([(5.2, 7.9), (20.5, 30.5)], ["2023-08-10T11:00", "2023-08-11T09:30"])
    found = extract_boxes(CUBE, points, n=5, window="2h", id="name")
    assert found.sizes == {"sample": 3, "y_box": 5, "x_box": 5}
    assert found["id"].values.tolist() == ["s0", "s0", "s1"]
    assert found["time"].values.tolist() == TIMES[[0, 1, 3]].values.tolist()
    assert found["time_difference"].values.tolist() == [-3600, 5400, 1800]
    for sample, (date, row, col) in enumerate([(0, 5, 7), (1, 5, 7), (3, 20, 30)]):
        place = {"y": slice(row - 2, row + 3), "x": slice(col - 2, col + 3)}
        for name in ("red", "flags"):
            box = found[name].isel(sample=sample)
            assert box.dtype == CUBE[name].dtype
            np.testing.assert_array_equal(box, CUBE[name].isel(time=date, **place))
        np.testing.assert_array_equal(found["height"][sample], CUBE["height"].isel(**place))
        assert (found["x"][sample], found["y"][sample]) == (CUBE.x[col], CUBE.y[row])
    assert found["complete"].all()
    assert found["flags"].attrs == CUBE["flags"].attrs
    to_lonlat = Transformer.from_crs(UTM, 4326, always_xy=True).transform
    ends = to_lonlat([LEFT + 79, LEFT + 75], [TOP - 52, TOP - 55])
    away = Geod(ellps="WGS84").inv(ends[0][0], ends[1][0], ends[0][1], ends[1][1])[2]
    np.testing.assert_allclose(found["distance"], [away, away, 0], atol=1e-5)
    assert 4.9 < away < 5.1


def test_edge_is_padded():
    """Beyond the grid stands NaN or nodata, and the sample says it is not complete."""
    found = extract_boxes(CUBE, stations([(0.5, 39.5)], ["2023-08-12T10:00"]), window="0s")
    assert found["complete"].values.tolist() == [False]
    assert found["time_difference"].values.tolist() == [0]
    inside = np.array([[False] * 3, [True, True, False], [True, True, False]])
    np.testing.assert_array_equal(found["flags"][0] == 65535, ~inside)
    np.testing.assert_array_equal(np.isnan(found["red"][0]), ~inside)
    np.testing.assert_array_equal(found["red"][0].values[1:, :2], CUBE["red"].values[2, :2, 38:])
    bare = CUBE.copy()
    bare["flags"] = bare["flags"].drop_attrs()
    with pytest.raises(MetadataError, match="cut by the edge"):
        extract_boxes(bare, stations([(0.5, 39.5)], ["2023-08-12T10:00"]))
    assert extract_boxes(bare, stations([(4.5, 9.5)], ["2023-08-12T10:00"]))["flags"].dtype == "uint16"


def test_points_without_a_match_are_told():
    """Points outside and points without a date are listed with the reason; if none is left, that is an error."""
    points = stations([(5.5, 5.5), (-3, 5), (5, 5)], ["2023-08-10T10:10", "2023-08-10T10:10", "2020-01-01T00:00"])
    found = extract_boxes(CUBE, points, id="name")
    assert found["id"].values.tolist() == ["s0", "s0"]
    assert json.loads(found.attrs["left_out"]) == [
        {"id": "s1", "reason": "outside the grid"},
        {"id": "s2", "reason": "no date within the window"},
    ]
    with pytest.raises(EmptyResultError, match="no point has a match"):
        extract_boxes(CUBE, points.iloc[1:])


def test_window_includes_its_ends():
    """A date exactly at the end of the window belongs to it; one second later it does not."""
    points = stations([(5, 5)] * 2, ["2023-08-12T13:00:00", "2023-08-12T13:00:01"])
    found = extract_boxes(CUBE, points)
    assert found["id"].values.tolist() == [0]
    assert found["time_difference"].item() == -10800


def test_zones_of_time_are_converted():
    """Moments in another time zone are compared in UTC; without a zone they are refused."""
    points = stations([(5, 5)], ["2023-08-12T10:00"])
    points["time"] = points["time"].dt.tz_convert("Europe/Ljubljana")
    assert extract_boxes(CUBE, points)["time_difference"].item() == 0
    points["time"] = points["time"].dt.tz_localize(None)
    with pytest.raises(MetadataError, match="no time zone"):
        extract_boxes(CUBE, points)


@settings(max_examples=15)
@given(
    chunks=st.fixed_dictionaries({"time": st.integers(1, 4), "y": st.integers(3, 30), "x": st.integers(3, 40)}),
    order=st.permutations(range(6)),
    n=st.sampled_from([1, 3, 7]),
)
def test_chunks_and_order_do_not_matter(chunks, order, n):
    """Any chunking gives identical boxes; another order of the points permutes them."""
    rng = np.random.default_rng(2)
    points = stations(rng.uniform(0, 30, (6, 2)), rng.choice(TIMES, 6))
    whole = extract_boxes(CUBE, points, n=n, window="26h", id="name")
    cut = extract_boxes(CUBE.chunk(chunks), points.iloc[order], n=n, window="26h", id="name")
    keys = ["id", "time", "y_box", "x_box"]
    one, two = (box_frame(found).drop(columns="sample").sort_values(keys, ignore_index=True) for found in (whole, cut))
    pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_dates_without_a_match_are_not_read():
    """Only the chunks that hold a match are computed, each once."""
    import dask.array as da

    reads = []

    def source(block_info=None):
        place = block_info[None]["array-location"]
        reads.append(tuple(place))
        return CUBE["red"].values[tuple(slice(*part) for part in place)]

    chunks = ((1,) * 4, (10,) * 3, (20, 20))
    lazy = da.map_blocks(source, chunks=chunks, dtype="float32", meta=np.empty((0,) * 3, "float32"))
    cube = CUBE[["red"]].copy()
    cube["red"] = (("time", "y", "x"), lazy)
    extract_boxes(cube, stations([(15, 10), (14, 11), (15, 20)], ["2023-08-11T10:00"] * 3))
    assert sorted(reads) == [((3, 4), (10, 20), (0, 20)), ((3, 4), (10, 20), (20, 40))]


def test_frame():
    """The table has one row per sample and pixel."""
    found = extract_boxes(CUBE, stations([(5.5, 5.5)], ["2023-08-12T10:00"]), id="name")
    table = box_frame(found)
    assert len(table) == 9
    assert {"sample", "id", "time", "time_difference", "distance", "complete", "y_box", "x_box", "red"} <= set(table)
    middle = table[(table["y_box"] == 0) & (table["x_box"] == 0)]
    assert middle["flags"].item() == CUBE["flags"].values[2, 5, 5]
    south = table[(table["y_box"] == 1) & (table["x_box"] == 0)]
    assert south["flags"].item() == CUBE["flags"].values[2, 6, 5]
    with pytest.raises(InputError, match="no boxes"):
        box_frame(CUBE)


def test_survives_a_file(tmp_path):
    """Boxes are written and read back as they are, seconds as numbers."""
    found = extract_boxes(CUBE, stations([(5.5, 5.5)], ["2023-08-12T10:00"]))
    found.to_zarr(tmp_path / "boxes.zarr", zarr_format=2)
    again = xr.open_zarr(tmp_path / "boxes.zarr", mask_and_scale=False)
    np.testing.assert_array_equal(again["time_difference"], found["time_difference"])
    np.testing.assert_array_equal(again["flags"], found["flags"])


def test_geographic_grid():
    """Distances are metres on a grid in degrees too."""
    place = Affine(0.01, 0, 15, 0, -0.01, 46)
    coords = {"time": TIMES[:1], "y": 46 - 0.01 * (np.arange(9) + 0.5), "x": 15 + 0.01 * (np.arange(9) + 0.5)}
    cube = xr.Dataset({"a": (("time", "y", "x"), np.zeros((1, 9, 9)))}, coords=coords).rio.write_crs(4326)
    points = geopandas.GeoDataFrame(
        {"time": TIMES[:1].tz_localize("UTC")}, geometry=[shapely.Point(15.05, 45.955)], crs=4326
    )
    found = extract_boxes(cube.rio.write_transform(place), points)
    np.testing.assert_allclose(found["distance"], Geod(ellps="WGS84").inv(15.05, 45.955, 15.055, 45.955)[2], rtol=1e-6)


def test_refusals(monkeypatch):
    """What is wrong is said."""
    points = stations([(5, 5)], ["2023-08-12T10:00"])
    nowhere = points.assign(time=pd.to_datetime([None], utc=True))
    cases = [
        (InputError, "middle pixel", CUBE, points, {"n": 2}),
        (InputError, "middle pixel", CUBE, points, {"n": 3.0}),
        (InputError, "no such column", CUBE, points, {"time_column": "when"}),
        (InputError, "window is no time", CUBE, points, {"window": "soon"}),
        (InputError, "window is no time", CUBE, points, {"window": "-1h"}),
        (InputError, "window is no time", CUBE, points, {"window": 3}),
        (InputError, "window is no time", CUBE, points, {"window": "3"}),
        (InputError, "has no time", CUBE, nowhere, {}),
        (InputError, "another kind", CUBE, points.set_geometry(points.buffer(9)), {}),
        (MetadataError, "no moments", CUBE.isel(time=0, drop=True), points, {}),
        (MetadataError, "no moments", CUBE.assign_coords(time=range(4)), points, {}),
    ]
    for error, message, cube, frame, options in cases:
        with pytest.raises(error, match=message):
            extract_boxes(cube, frame, **options)
    monkeypatch.setattr(boxes, "_BUDGET", 10)
    with pytest.raises(BudgetError, match="do not fit"):
        extract_boxes(CUBE, points)


def test_items(items: list[pystac.Item], tiles):
    """Items are loaded moment by moment and matched."""
    grid = tiles["33TWM"]
    middle = shapely.Point((grid.bounds.left + grid.bounds.right) / 2, (grid.bounds.top + grid.bounds.bottom) / 2)
    moment = pd.to_datetime(["2023-08-13T10:00"], utc=True)
    points = geopandas.GeoDataFrame({"time": moment}, geometry=[middle], crs=grid.crs)
    found = extract_boxes(items, points, bands=["red"], grid=grid, mask=None, radiometry="dn")
    # Two tiles were sensed on that morning, seconds apart: two moments, one of which saw the point.
    assert set(found["id"].values) == {0}
    assert (abs(found["time_difference"]) < 3600).all()
    assert dict(found["red"].sizes) == {"sample": found.sizes["sample"], "y_box": 3, "x_box": 3}
    assert (found["red"] != found["red"].attrs.get("nodata", np.nan)).any()
