"""Series of lakes: known areas and truth are recovered, what is missing is missing, and no cutting changes a bit."""

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pystac
import pytest
import shapely
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import Geod

from terracube.core.errors import InputError
from terracube.cubes import YX, Grid
from terracube.cubes.layout import georeference
from terracube.processing.water.correction import correct
from terracube.processing.water.lakes import series
from terracube.processing.water.lakes._measure import FRACTIONS, quantiles_of
from terracube.processing.water.lakes.areas import on_ground, pixel_areas
from terracube.processing.water.masks import mask
from terracube.processing.water.masks.flags import NODATA, bitmask, flag_attrs, water_attrs
from terracube.processing.water.products import retrieve

UTM = "EPSG:32633"
LEFT, TOP, SIZE = 500_000.0, 5_000_000.0, 20.0
DATES = 4
SHAPE = (90, 120)


def grid_of(shape: tuple[int, int] = SHAPE) -> Grid:
    """A grid of 20 m whose first pixel begins at LEFT, TOP."""
    one = Grid.from_bbox((LEFT, TOP - SIZE, LEFT + SIZE, TOP), crs=UTM, resolution=SIZE, bbox_crs=UTM)
    return one.window(YX(0, 0), YX(*shape))


def box(left: float, top: float, right: float, bottom: float) -> Any:
    """A box in columns and rows."""
    return shapely.box(LEFT + left * SIZE, TOP - bottom * SIZE, LEFT + right * SIZE, TOP - top * SIZE)


def disc(col: float, row: float, radius: float) -> Any:
    """A round lake in columns and rows."""
    return shapely.Point(LEFT + col * SIZE, TOP - row * SIZE).buffer(radius * SIZE, quad_segs=64)


def scene_of(
    water: NDArray[Any], flags: NDArray[Any] | None = None, *, shape: tuple[int, int] = SHAPE, **products: NDArray[Any]
) -> xr.Dataset:
    """What a chain gives: mask, flags and products (time, y, x)."""
    dates = pd.date_range("2023-08-10", periods=len(water), freq="3D")
    dims = ("time", "y", "x")
    out = xr.Dataset({"water": (dims, water.astype("uint8"), water_attrs())}, coords={"time": dates})
    out["flags"] = (dims, np.zeros(water.shape, "uint16") if flags is None else flags, flag_attrs())
    for name, values in products.items():
        out[name] = (dims, values.astype("float32"), {"units": "mg m-3"})
    return georeference(out, grid_of(shape))


def wet(dates: int = DATES, shape: tuple[int, int] = SHAPE) -> NDArray[np.uint8]:
    """Water everywhere."""
    return np.ones((dates, *shape), "uint8")


def noisy(seed: int = 0) -> xr.Dataset:
    """A scene with everything: patches of land, clouds, missing values, errors of products."""
    rng = np.random.default_rng(seed)
    water = rng.choice(np.array([0, 1, 1, 1, NODATA], "uint8"), (DATES, *SHAPE))
    flags = np.where(rng.random(water.shape) < 0.2, bitmask(["cloud"]), 0).astype("uint16")
    chl = np.where(rng.random(water.shape) < 0.1, np.nan, rng.lognormal(1, 1, water.shape))
    return scene_of(water, flags, chl=chl, chl_noise=chl * 0.1, chl_algorithm=chl * 0.3)


def test_a_round_lake_has_its_area() -> None:
    """Area of water and polygon are those of the circle, and products those that were put in."""
    out = scene_of(wet(1), chl=np.full((1, *SHAPE), 7.5))
    lake = disc(60.3, 45.7, 30.2)
    row = series(out, [lake], crs=UTM).iloc[0]
    assert row["status"] == "ok"
    assert row["area_total"] == pytest.approx(lake.area, rel=1e-6)
    assert row["area_wet"] == row["area_wet_min"] == row["area_wet_max"] == row["area_total"]
    assert row["valid_fraction"] == row["wet_fraction"] == 1.0
    assert row["chl_median"] == row["chl_p10"] == row["chl_p90"] == 7.5
    assert row["chl_iqr"] == 0.0
    assert series(out, [lake], crs=UTM).attrs["units"] == {
        "area_total": "m2", "area_wet": "m2", "area_wet_min": "m2", "area_wet_max": "m2",
        "chl_median": "mg m-3", "chl_iqr": "mg m-3", "chl_p10": "mg m-3", "chl_p90": "mg m-3",
    }  # fmt: skip


def test_a_shrinking_lake_is_followed() -> None:
    """The wet share at every date is what was drawn."""
    water = wet()
    for date in range(DATES):
        water[date, :, 40 + 10 * (4 - date) :] = 0
    table = series(scene_of(water), [box(40, 10, 100, 30)], crs=UTM)
    np.testing.assert_allclose(table["area_wet"], np.array([40, 30, 20, 10]) * 20 * SIZE**2)
    assert (table["status"] == "ok").all()


def test_missing_is_never_dry() -> None:
    """Half the lake is hidden: its water is between what was seen and all, and the share of the seen is kept."""
    water = wet(1)
    water[0, :, :60] = NODATA
    row = series(scene_of(water), [box(40, 10, 80, 30)], crs=UTM).iloc[0]
    whole = 40 * 20 * SIZE**2
    assert (row["status"], row["valid_fraction"], row["wet_fraction"]) == ("ok", 0.5, 1.0)
    assert (row["area_wet_min"], row["area_wet"], row["area_wet_max"]) == (whole / 2, whole, whole)


def test_too_little_seen_says_nothing_of_the_water() -> None:
    """Below the least share everything but the share itself is missing; at it, everything is there."""
    water = wet(2)
    water[0, :, :61] = NODATA
    water[1, :, :60] = NODATA
    table = series(scene_of(water, chl=wet(2)), [box(40, 10, 80, 30)], crs=UTM)
    assert table["status"].tolist() == ["too few valid", "ok"]
    assert table["valid_fraction"].tolist() == [19 / 40, 0.5]
    assert table.loc[0, ["wet_fraction", "area_wet", "area_wet_min", "area_wet_max", "chl_median"]].isna().all()
    assert not table.loc[1, ["area_wet", "chl_median"]].isna().any()


def test_a_missing_scene_is_a_row_without_values() -> None:
    """A date without any pixel is not seen; a dry lake is seen, with an area of zero."""
    water = wet(3)
    water[0] = NODATA
    water[1] = 0
    table = series(scene_of(water, chl=np.where(water == 1, 2.0, np.nan)), [disc(60, 45, 20)], crs=UTM)
    assert table["status"].tolist() == ["not seen", "ok", "ok"]
    assert np.isnan(table["area_wet"][0])
    assert table["area_wet"][1] == 0.0
    assert np.isnan(table["chl_median"][1])
    assert table["chl_n"].tolist()[:2] == [0, 0]


def test_refused_flags_leave_products_but_not_areas() -> None:
    """Near land and under glint there is water, but nothing is said of what is in it."""
    flags = np.zeros((1, *SHAPE), "uint16")
    flags[0, :, :50], flags[0, :, 70:75] = bitmask(["near_land"]), bitmask(["glint"])
    chl = np.full((1, *SHAPE), 5.0)
    chl[0, :, :50], chl[0, :, 70:75] = 100.0, 1.0
    out, lake = scene_of(wet(1), flags, chl=chl, chl_noise=chl * 0.1, chl_algorithm=chl * 0.3), [box(40, 10, 80, 30)]
    own, every, both = (
        series(out, lake, crs=UTM, **given).iloc[0]
        for given in ({}, {"refused": ()}, {"refused": ("near_land", "glint")})
    )
    areas = ["status", "area_total", "valid_fraction", "wet_fraction", "area_wet", "area_wet_min", "area_wet_max"]
    assert own[areas].tolist() == every[areas].tolist() == both[areas].tolist()
    assert (own["valid_fraction"], own["wet_fraction"]) == (1.0, 1.0)
    assert [one["chl_n"] for one in (own, every, both)] == [600, 800, 500]
    assert [one["chl_p90"] for one in (own, every, both)] == [5.0, 100.0, 5.0]
    assert [one["chl_p10"] for one in (own, every, both)] == [1.0, 1.0, 5.0]
    assert both["chl_pixel_noise"] == pytest.approx(0.5)
    assert both["chl_algorithm"] == pytest.approx(1.5)
    nothing = series(out, [box(40, 10, 50, 30)], crs=UTM).iloc[0]
    assert (nothing["status"], nothing["chl_n"], nothing["area_wet"]) == ("ok", 0, nothing["area_total"])
    assert np.isnan(nothing["chl_median"])
    unmasked = series(out[["chl", "flags"]], lake, crs=UTM, mask=None).iloc[0]
    assert (unmasked["valid_fraction"], unmasked["chl_n"]) == (1.0, 600)


def test_products_without_a_mask_say_what_to_do() -> None:
    """What `retrieve` gives holds no mask: then what has a value is water; a mask that is asked for must be there."""
    out, lake = noisy(), [disc(60, 45, 20)]
    alone = out.drop_vars(["water", "flags"])
    with pytest.raises(InputError, match=r"mask of water.*out\.assign\(water=.*mask=None"):
        series(alone, lake, crs=UTM, mask="water")
    plain = series(alone, lake, crs=UTM)
    assert "area_wet" not in plain
    pd.testing.assert_frame_equal(plain, series(alone, lake, crs=UTM, mask=None))
    told = series(alone.assign(water=out["water"], flags=out["flags"]), lake, crs=UTM)
    pd.testing.assert_frame_equal(told, series(out, lake, crs=UTM))


def test_the_walk_from_bands_to_series() -> None:
    """Mask, correction, retrieval, series: flags of mask and correction come together, and both are told apart."""
    glint = np.zeros((1, 30, 40), "float32")
    glint[0, :, 30:] = 0.04
    level = {"blue": 0.03, "green": 0.05, "red": 0.03, "nir": 0.01, "nir08": 0.008, "swir16": 0.002, "swir22": 0.0}
    bands = {name: (("time", "y", "x"), value + glint) for name, value in level.items()}
    cube = xr.Dataset(bands, {"time": pd.to_datetime(["2023-08-10T10:00"])}, {"quantity": "rhos", "sensor": "S2A_MSI"})
    for name in level:
        cube[name][:, :, :5] = 0.2
    cube = georeference(cube, grid_of((30, 40)))
    found = mask(cube, "indices", threshold=0.0, near_land=50.0)
    rhow = correct(cube.assign(flags=found["flags"]), "swir", water=found["water"] == 1)
    out = retrieve("turbidity_dogliotti2015", rhow).assign(water=found["water"], flags=rhow["flags"])
    every, clear = (
        series(out, [box(0, 0, 40, 30)], crs=UTM, refused=refused).iloc[0]
        for refused in (("near_land",), ("near_land", "glint"))
    )
    assert every["wet_fraction"] == clear["wet_fraction"] == pytest.approx(35 / 40)
    assert (every["turbidity_dogliotti2015_n"], clear["turbidity_dogliotti2015_n"]) == (33 * 30, 23 * 30)
    truth = 228.1 * 0.03 / (1 - 0.03 / 0.1641)
    assert every["turbidity_dogliotti2015_median"] == pytest.approx(truth, rel=1e-4)


def test_flags_of_another_meaning_are_refused() -> None:
    """Bits that say that they are others are not read as clouds."""
    out = noisy()
    out["flags"].attrs = {"flag_masks": [1, 2], "flag_meanings": "invalid land"}
    with pytest.raises(InputError, match="no flags of water masks"):
        series(out, [disc(60, 45, 20)], crs=UTM)
    assert len(series(out, [disc(60, 45, 20)], crs=UTM, flags=None)) == DATES


def test_ice_is_not_seen_unless_asked_for() -> None:
    """Under ice nothing is said about water, whatever the mask says; the share of ice is told."""
    flags = np.zeros((1, *SHAPE), "uint16")
    flags[0, :, 50:] = bitmask(["ice"])
    out = scene_of(np.where(flags > 0, 0, 1), flags)
    row = series(out, [box(40, 10, 80, 30)], crs=UTM, min_valid=0.2).iloc[0]
    assert (row["valid_fraction"], row["ice_fraction"], row["wet_fraction"]) == (0.25, 0.75, 1.0)
    taken = series(out, [box(40, 10, 80, 30)], crs=UTM, unclear=("cloud",)).iloc[0]
    assert (taken["valid_fraction"], taken["wet_fraction"]) == (1.0, 0.25)


def test_clouds_are_told() -> None:
    """The share under clouds and shadows, also where the mask forgot them."""
    flags = np.zeros((1, *SHAPE), "uint16")
    flags[0, :, 70:75], flags[0, :, 75:] = bitmask(["cloud"]), bitmask(["cloud_shadow"])
    row = series(scene_of(wet(1), flags), [box(40, 10, 80, 30)], crs=UTM).iloc[0]
    assert (row["cloud_fraction"], row["valid_fraction"], row["ice_fraction"]) == (0.25, 0.75, 0.0)


def test_polygons_outside_and_across_the_edge() -> None:
    """Beyond the cube there is nothing; what hangs over is not seen."""
    table = series(scene_of(wet(1)), [box(200, 200, 210, 210), box(110, 10, 130, 30)], crs=UTM)
    assert table["status"].tolist() == ["outside", "ok"]
    assert table["note"].tolist() == ["outside the cube", "partly outside the cube"]
    assert np.isnan(table["area_total"][0])
    assert table["pixels"].tolist() == [0, 200]
    assert table["valid_fraction"][1] == 0.5
    assert table["area_total"][1] == 20 * 20 * SIZE**2
    assert (table["area_wet_min"][1], table["area_wet_max"][1]) == (200 * SIZE**2, 400 * SIZE**2)


def test_a_lake_smaller_than_a_pixel() -> None:
    """It has its own area, and the value of the pixel that it lies in."""
    chl = np.arange(SHAPE[0] * SHAPE[1], dtype=float).reshape(1, *SHAPE)
    row = series(scene_of(wet(1), chl=chl), [box(10.25, 20.25, 10.75, 20.5)], crs=UTM).iloc[0]
    assert row["area_total"] == pytest.approx(SIZE**2 / 8)
    assert (row["pixels"], row["chl_n"], row["chl_median"]) == (1, 1, 20 * SHAPE[1] + 10)


def test_a_lake_between_pixels_weighs_them() -> None:
    """Three quarters in one pixel and a quarter in the next, which is land."""
    water = wet(1)
    water[0, :, 11] = 0
    row = series(scene_of(water), [box(10.25, 20, 11.25, 21)], crs=UTM).iloc[0]
    assert row["wet_fraction"] == 0.75
    assert row["area_wet"] == 0.75 * SIZE**2


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(7, 120), st.integers(7, 120))
def test_chunks_do_not_change_a_bit(time: int, y: int, x: int) -> None:
    """Lazy tables equal the one in memory, whatever the cutting."""
    out, lakes = noisy(), [disc(60.1, 45.2, 33.3), box(-3, 50, 20.5, 95), box(3, 3, 3.5, 3.5)]
    whole = series(out, lakes, crs=UTM)
    cut = series(out.chunk(time=time, y=y, x=x), lakes, crs=UTM)
    pd.testing.assert_frame_equal(whole, cut, check_exact=True)


def test_order_of_polygons_and_dates_does_not_matter() -> None:
    """Each row is a matter of its own polygon and date; dates ascend in the table."""
    out = noisy()
    lakes = geopandas.GeoDataFrame({"id": ["a", "b"]}, geometry=[disc(60, 45, 30), box(2, 2, 9, 30)], crs=UTM)
    table = series(out, lakes, id="id")
    turned = series(out.isel(time=[2, 0, 3, 1]), lakes.iloc[::-1], id="id")
    assert turned["id"].tolist()[:DATES] == ["b"] * DATES
    again = turned.sort_values(["id", "time"], ignore_index=True)
    pd.testing.assert_frame_equal(table, again, check_exact=True)
    assert table["time"].is_monotonic_increasing is False
    assert table["time"][:DATES].is_monotonic_increasing


def test_quantiles_are_the_usual_ones_with_equal_weights() -> None:
    """On whole pixels the quantiles are numpy's."""
    out = noisy()
    row = series(out, [box(10, 10, 70, 60)], crs=UTM, min_valid=0.1).iloc[1]
    inner = out.isel(time=1, y=slice(10, 60), x=slice(10, 70))
    seen = (inner["water"] == 1) & (inner["flags"] == 0) & inner["chl"].notnull()
    values = inner["chl"].values[seen.values].astype("float64")
    low, quarter, median, three, high = np.quantile(values, FRACTIONS)
    assert row["chl_n"] == values.size
    np.testing.assert_allclose(
        row[["chl_p10", "chl_median", "chl_p90", "chl_iqr"]].astype(float), [low, median, high, three - quarter]
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20), st.integers(0, 2**16))
def test_weighted_quantiles(values: list[float], seed: int) -> None:
    """They ascend between least and greatest, do not heed the order, and mirror when the values do."""
    rng = np.random.default_rng(seed)
    array, weights = np.array(values), rng.uniform(0.01, 1, len(values))
    found = quantiles_of(array, weights)
    assert (np.diff(found) >= 0).all()
    assert array.min() <= found[0] <= found[-1] <= array.max()
    order = rng.permutation(len(values))
    if len(set(values)) == len(values):
        np.testing.assert_allclose(quantiles_of(array[order], weights[order]), found, atol=1e-9)
        np.testing.assert_allclose(quantiles_of(-array, weights)[::-1], -found, atol=1e-9)


def test_noise_averages_down_and_the_algorithm_does_not() -> None:
    """On equal errors: noise by the root of the number (and what a median loses), the formula's error unchanged."""
    shape = (1, *SHAPE)
    out = scene_of(wet(1), chl=np.full(shape, 5.0), chl_noise=np.full(shape, 1.0), chl_algorithm=np.full(shape, 2.0))
    row = series(out, [box(10, 10, 50, 50)], crs=UTM).iloc[0]
    assert row["chl_pixel_noise"] == 1.0
    assert row["chl_noise"] == pytest.approx(np.sqrt(np.pi / 2) / 40)
    assert row["chl_algorithm"] == 2.0
    assert row["chl_error"] == pytest.approx(np.hypot(row["chl_noise"], 2.0))
    assert "chl_noise_median" not in row


def test_noise_of_the_median_is_what_a_simulation_scatters_by() -> None:
    """Medians of many noisy lakes scatter by the error that is told."""
    rng = np.random.default_rng(5)
    dates = 200
    chl = 5.0 + rng.normal(0, 0.4, (dates, 12, 12))
    out = scene_of(wet(dates, (12, 12)), shape=(12, 12), chl=chl, chl_noise=np.full(chl.shape, 0.4))
    table = series(out, [disc(6, 6, 5.5)], crs=UTM)
    assert table["chl_median"].std() == pytest.approx(table["chl_noise"].iloc[0], rel=0.15)
    assert "chl_error" not in table


def test_one_pixel_alone_has_its_own_noise() -> None:
    """With one value the median is the value."""
    shape = (1, *SHAPE)
    out = scene_of(wet(1), chl=np.full(shape, 5.0), chl_noise=np.full(shape, 0.7))
    assert series(out, [box(10, 10, 11, 11)], crs=UTM)["chl_noise"][0] == pytest.approx(0.7)


def test_errors_that_are_missing_at_some_pixels() -> None:
    """Only what is known of the noise is averaged; nothing known is missing."""
    shape = (2, *SHAPE)
    noise = np.full(shape, 1.0)
    noise[0, :, 30:], noise[1] = np.nan, np.nan
    table = series(scene_of(wet(2), chl=np.full(shape, 5.0), chl_noise=noise), [box(10, 10, 50, 50)], crs=UTM)
    assert table["chl_pixel_noise"][0] == 1.0
    assert np.isnan(table["chl_noise"][1])


def test_a_large_lake_is_sampled_by_place() -> None:
    """Of many pixels some are taken for quantiles, the same for every cutting; areas stay exact."""
    shape = (600, 400)
    values = np.random.default_rng(2).normal(10, 2, (1, *shape))
    out = scene_of(wet(1, shape), shape=shape, chl=values)
    lake = [box(0, 0, 400, 600)]
    table = series(out, lake, crs=UTM)
    assert table["area_wet"][0] == 600 * 400 * SIZE**2
    assert table["chl_n"][0] == 600 * 400
    assert table["note"][0] == "quantiles of a sample of pixels"
    assert table["chl_median"][0] == pytest.approx(10, abs=0.05)
    assert table["chl_iqr"][0] == pytest.approx(2 * 1.349, rel=0.02)
    pd.testing.assert_frame_equal(table, series(out.chunk(y=170, x=333), lake, crs=UTM), check_exact=True)


def test_without_dates_and_without_a_mask() -> None:
    """A single map gives one row; without a mask what has a value is water, and no area of water is told."""
    out = scene_of(wet(1), chl=np.where(np.arange(SHAPE[1]) < 60, 3.0, np.nan) * np.ones((1, *SHAPE)))
    still = out.isel(time=0, drop=True)
    table = series(still, [box(40, 10, 80, 30)], crs=UTM)
    assert "time" not in table
    assert (table["chl_median"][0], table["chl_n"][0], table["valid_fraction"][0]) == (3.0, 400, 1.0)
    bare = series(still[["chl"]], [box(40, 10, 80, 30)], crs=UTM, mask=None)
    assert bare["valid_fraction"][0] == 0.5
    assert "area_wet" not in bare
    assert "cloud_fraction" not in bare


def test_products_of_other_types() -> None:
    """Whole numbers with a nodata, and maps without dates beside a mask with dates."""
    out = scene_of(wet(2))
    out["class"] = (("y", "x"), np.tile(np.arange(SHAPE[1]) % 2 * 9, (SHAPE[0], 1)).astype("int16"), {"nodata": 9})
    table = series(out, [box(40, 10, 80, 30)], crs=UTM, products=["class"])
    assert table["class_n"].tolist() == [400, 400]
    assert table["class_median"].tolist() == [0.0, 0.0]


def test_infinite_values_are_missing() -> None:
    """No infinity reaches a table."""
    chl = np.full((1, *SHAPE), np.inf)
    chl[0, 10, 10] = 4.0
    row = series(scene_of(wet(1), chl=chl), [box(10, 10, 20, 20)], crs=UTM).iloc[0]
    assert (row["chl_n"], row["chl_median"]) == (1, 4.0)


def test_areas_in_longitude_and_latitude_are_geodesic() -> None:
    """A lake on a geographic grid has the area that geodesy gives it."""
    grid = Grid.from_bbox((14.0, 46.0, 14.2, 46.1), crs="EPSG:4326", resolution=0.001)
    shape = tuple(grid.shape)
    out = georeference(xr.Dataset({"water": (("y", "x"), np.ones(shape, "uint8"), water_attrs())}), grid)
    lake = shapely.Point(14.1, 46.05).buffer(0.03, quad_segs=64)
    row = series(out, [lake], crs="EPSG:4326").iloc[0]
    truth = Geod(ellps="WGS84").geometry_area_perimeter(shapely.segmentize(lake, 1e-4))[0]
    assert row["area_wet"] == pytest.approx(abs(truth), rel=1e-6)
    assert row["note"] == "area on the ellipsoid"


@pytest.mark.parametrize(("crs", "off"), [("EPSG:32633", 1e-6), ("EPSG:3035", 1e-6), ("EPSG:3857", 2e-3)])
def test_areas_of_projected_pixels_on_the_ground(crs: str, off: float) -> None:
    """The areal scale of a CRS gives the geodesic area of a pixel."""
    x, y = {"EPSG:32633": (450_000, 5_000_000), "EPSG:3035": (4_300_000, 3_200_000)}.get(crs, (1_600_000, 6_000_000))
    grid = Grid.from_bbox((x, y, x + 500, y + 500), crs=crs, resolution=100, bbox_crs=crs)
    found = pixel_areas(grid, np.array([grid.offset.y]), np.array([grid.offset.x]), ground=True)[0]
    pixel = geopandas.GeoSeries([shapely.segmentize(shapely.box(x, y + 400, x + 100, y + 500), 5)], crs=crs)
    truth = abs(Geod(ellps="WGS84").geometry_area_perimeter(pixel.to_crs("EPSG:4326").iloc[0])[0])
    assert found == pytest.approx(truth, rel=off)


def test_the_plane_is_trusted_where_it_may_be() -> None:
    """UTM is taken at its word, Web Mercator at 46 degrees north is not."""
    shape = shapely.box(0, 0, 1, 1)
    utm, mercator = (
        Grid.from_bbox((14, 46, 14.1, 46.1), crs=crs, resolution=100).window(YX(0, 0), YX(1, 1))
        for crs in (UTM, "EPSG:3857")
    )
    places = [shapely.affinity.translate(shape, grid.offset.x, grid.offset.y) for grid in (utm, mercator)]
    assert not on_ground(utm, places[0], "auto")
    assert on_ground(utm, places[0], "ground")
    assert on_ground(mercator, places[1], "auto")
    assert not on_ground(mercator, places[1], "grid")
    degrees = Grid.from_bbox((14, 46, 14.1, 46.1), crs="EPSG:4326", resolution=0.001)
    with pytest.raises(InputError, match="degrees have no area"):
        on_ground(degrees, shape, "grid")
    with pytest.raises(InputError, match="unknown kind of area"):
        on_ground(utm, shape, "map")


def test_what_is_wrong_is_refused() -> None:
    """Names, shares and polygons that are wrong are told before anything is read."""
    out, lake = noisy(), [disc(60, 45, 30)]
    twice = geopandas.GeoDataFrame({"id": ["a", "a"]}, geometry=lake * 2, crs=UTM)
    for message, wrong in (
        ("no such variable", {"products": ["spm"]}),
        ("no such variable", {"mask": "wet"}),
        ("no such variable", {"flags": "bits"}),
        ("no share", {"min_valid": 0.0}),
        ("no share", {"min_valid": 1.5}),
        ("unknown option", {"minimum": 3}),
        ("same product twice", {"products": ["chl", "chl"]}),
        ("no flag of this name", {"unclear": ("fog",)}),
        ("no flag of this name", {"refused": ("fog",)}),
        ("named in a list", {"refused": "glint"}),
    ):
        options: dict[str, Any] = {"crs": UTM, **wrong}
        with pytest.raises(InputError, match=message):
            series(out, lake, **options)
    with pytest.raises(InputError, match="two geometries have one name"):
        series(out, twice, id="id")
    with pytest.raises(InputError, match="nothing to summarise"):
        series(out[["water"]], lake, crs=UTM, mask=None, products=[])


def test_real_scenes_with_clouds(data_dir: Path) -> None:
    """Five dates over Slovenia: the lake of Ptuj keeps its area, and clouded dates are missing, not dry."""
    from terracube import cubes

    folder = data_dir / "sentinel2-l2a" / "33TWM" / "sentinel-2-l2a"
    items = [pystac.Item.from_file(path) for path in sorted(folder.glob("*/S2*.json"))]
    ptuj = geopandas.GeoSeries([shapely.Point(568_900, 5_139_000).buffer(700)], index=["ptuj"], crs=UTM)
    cube = cubes.load(items, bands=["green", "nir", "scl"], mask=None, chunks=512)
    cloud = cube["scl"].isin([3, 8, 9])
    ndwi = (cube["green"] - cube["nir"]) / (cube["green"] + cube["nir"])
    water = xr.where(cloud | ndwi.isnull(), NODATA, (ndwi > 0).astype("uint8")).astype("uint8")
    flags = xr.where(cloud, bitmask(["cloud"]), 0).astype("uint16")
    out = cube.drop_vars(list(cube.data_vars)).assign(water=water, flags=flags, ndwi=ndwi.where(water == 1))
    table = series(out, ptuj)
    assert table["status"].tolist() == ["too few valid", "ok", "ok", "ok", "ok"]
    assert table["cloud_fraction"][0] > 0.5
    assert (table["wet_fraction"][1:] > 0.7).all()
    assert np.ptp(table["area_wet"][1:]) < 0.1 * table["area_total"][0]
