"""Match-ups: every measurement is answered, with the value of the pixels or with all reasons against it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
import rioxarray  # noqa: F401  registers the `.rio` accessor
import xarray as xr

from terracube.core.errors import EmptyResultError, InputError, MetadataError
from terracube.cubes.crs import transform_points
from terracube.ingest.insitu import table as insitu
from terracube.processing.water.correction import correct
from terracube.processing.water.masks.flags import BITS
from terracube.processing.water.matchups import BAILEY_WERDELL, REASONS, Filters, gates, line, matchup, score
from terracube.processing.water.products import retrieve

TIMES = np.array(["2020-06-01T10:00", "2020-06-01T11:30", "2020-06-05T10:00"], "datetime64[ns]")
SIDE = 40


def lake(**more: Any) -> xr.Dataset:
    """Make chlorophyll that tells its date, row and column: 100 (date + 1) + row + column / 100."""
    date, row, col = np.indices((3, SIDE, SIDE))
    values = (100.0 * (date + 1) + row + col / 100).astype("float64")
    dims = ("time", "y", "x")
    cube = xr.Dataset({"chl_oc3": (dims, values, {"units": "mg m-3"}), **more})
    coords = {"time": TIMES, "y": 5e6 - 20.0 * np.arange(SIDE) - 10, "x": 5e5 + 20.0 * np.arange(SIDE) + 10}
    placed: xr.Dataset = cube.assign_coords(coords).rio.write_crs("EPSG:32633")
    return placed


def sampled(spots: list[tuple[float, float]], times: list[str] | str = "2020-06-01T10:00", **more: Any) -> pd.DataFrame:
    """Make measurements at pixels (row, column), which may be fractions."""
    row, col = (np.array([spot[axis] for spot in spots], "float64") for axis in (0, 1))
    lon, lat = transform_points("EPSG:32633", "EPSG:4326", 5e5 + 20 * (col + 0.5), 5e6 - 20 * (row + 0.5))
    moments = [times] * len(spots) if isinstance(times, str) else times
    columns = {
        "station": [f"S{number}" for number in range(len(spots))], "lon": lon, "lat": lat,
        "time": pd.to_datetime(pd.Series(moments)).dt.tz_localize("UTC"),
        "variable": "chlorophyll_a", "value": 100.0, "unit": "ug L-1",
    }  # fmt: skip
    return pd.DataFrame(columns | more)


def flag_cube(name: str, row: int, col: int, size: int = 1) -> xr.Dataset:
    """Make the lake with a flag on some pixels of all dates."""
    flags = np.zeros((3, SIDE, SIDE), "uint16")
    flags[:, row : row + size, col : col + size] = 1 << BITS[name]
    return lake(flags=(("time", "y", "x"), flags))


def test_the_box_around_the_station() -> None:
    """Estimate, position and difference in time are those of the pixels around the point."""
    found = matchup(lake(), sampled([(5.3, 7.2)]))
    assert len(found) == 2
    first = found.iloc[0]
    assert first["used"]
    assert first["reasons"] == ""
    assert first["estimate"] == pytest.approx(105.07)
    assert first["centre"] == pytest.approx(105.07)
    assert (first["pixels"], first["valid"]) == (9, 9)
    assert (first["x"], first["y"]) == (5e5 + 150, 5e6 - 110)
    assert first["distance"] == pytest.approx(20 * np.hypot(0.3, 0.2), rel=1e-3)
    assert first["time_difference"] == 0
    assert first["scene_time"] == first["time"]
    assert (first["truth"], first["unit"], first["value_unit"]) == (100, "mg m-3", "ug L-1")
    second = found.iloc[1]
    assert second["reasons"] == "sample_used"
    assert second["time_difference"] == 5400
    told = score(found)
    assert (told.n, told.of) == (1, 1)


@pytest.mark.parametrize("box", [1, 3, 5, 9])
def test_the_size_of_the_box(box: int) -> None:
    """The mean of a plane is its middle, whatever the size; the scatter grows with it."""
    found = matchup(lake(), sampled([(20, 20)]), box=box, filters=Filters(statistic="mean"))
    assert found["estimate"].iloc[0] == pytest.approx(120.2)
    assert found["pixels"].iloc[0] == found["valid"].iloc[0] == box * box


def test_nearest_scene_that_is_good() -> None:
    """A cloud over the nearest scene leaves the next one to be used."""
    flags = np.zeros((3, SIDE, SIDE), "uint16")
    flags[0] = 1 << BITS["cloud"]
    found = matchup(lake(flags=(("time", "y", "x"), flags)), sampled([(5, 5)]))
    assert found["reasons"].tolist() == ["few_valid", ""]
    assert found["estimate"].iloc[1] == pytest.approx(205.05)
    flags[1] = 1 << BITS["cloud"]
    clouded = matchup(lake(flags=(("time", "y", "x"), flags)), sampled([(5, 5)]))
    assert (score(clouded).n, score(clouded).of) == (0, 1)


def test_no_pixel_is_used_twice() -> None:
    """Of two measurements in one pixel that nearest in time is used, and of equals that nearest to its middle."""
    table = sampled([(5.4, 5), (5, 5), (5.1, 5)], ["2020-06-05T10:00", "2020-06-05T10:00", "2020-06-05T09:59"])
    found = matchup(lake(), table)
    assert dict(zip(found["station"], found["reasons"], strict=True)) == {
        "S0": "pixel_used",
        "S1": "",
        "S2": "pixel_used",
    }


def test_boxes_that_share_pixels() -> None:
    """Of boxes of one scene that overlap, that nearest in time is used; smaller ones, or if it is allowed, all are."""
    spots = [(5, 5), (5, 6), (5, 7), (5, 8), (5, 6)]
    times = [f"2020-06-05T10:{minutes:02d}" for minutes in (20, 10, 30, 0, 40)]
    table = sampled(spots, times)
    found = matchup(lake(), table)
    assert found["reasons"].tolist() == ["", "box_used", "box_used", "", "box_used"]
    assert found["shared"].tolist() == [0, 6 + 3, 3 + 6, 0, 6 + 3]
    assert (score(found).n, score(found).of) == (2, 5)
    every = matchup(lake(), table, filters=Filters(overlap="allow"))
    assert every["reasons"].tolist() == ["", "", "", "", "pixel_used"]
    assert every["shared"].tolist() == [6, 9, 9, 6, 9]
    single = matchup(lake(), table, box=1)
    assert single["reasons"].tolist() == ["", "", "", "", "pixel_used"]
    assert single["shared"].tolist() == [0, 0, 0, 0, 1]
    wide = matchup(lake(), table, box=5)
    assert wide["reasons"].tolist() == ["box_used", "box_used", "box_used", "", "box_used"]
    apart = matchup(lake(), sampled([(5, 5), (5, 6)], ["2020-06-01T10:00", "2020-06-01T11:30"]))
    used = apart[apart["used"]]
    assert used["scene_time"].tolist() == used["time"].tolist()
    assert apart["shared"].tolist() == [0, 6, 6, 0]


def test_a_box_that_is_taken_leaves_the_next_scene() -> None:
    """A measurement whose box is compared already is compared with the next scene in time."""
    found = matchup(lake(), sampled([(5, 5), (5, 6)], ["2020-06-01T10:00", "2020-06-01T10:10"]))
    assert found["reasons"].tolist() == ["", "sample_used", "box_used", ""]
    assert found["estimate"].iloc[3] == pytest.approx(205.06)


def test_boxes_that_are_not_used_take_nothing() -> None:
    """A box that is refused for other reasons leaves its pixels to others."""
    table = sampled([(5, 5), (5, 6)], "2020-06-05T10:00", qc=[4, 1])
    found = matchup(lake(), table)
    assert found["reasons"].tolist() == ["quality", ""]
    assert found["shared"].tolist() == [6, 0]


def test_flags_of_another_meaning() -> None:
    """Flags that say that their bits are others are not read as clouds and glint."""
    cube = flag_cube("cloud", 4, 4)
    cube["flags"].attrs = {"flag_masks": [1, 64], "flag_meanings": "invalid vegetation"}
    with pytest.raises(InputError, match=r"no flags of water masks.*rename"):
        matchup(cube, sampled([(5, 5)], "2020-06-05T10:00"))
    assert matchup(cube.rename(flags="quality"), sampled([(5, 5)], "2020-06-05T10:00"))["valid"].tolist() == [9]


def test_every_reason_of_a_measurement() -> None:
    """Each fault of a measurement is told; none is dropped."""
    spots = [(4.0 * number, 10.0) for number in range(9)]
    depth = [0.5, 0, 0, 0, 50, np.nan, 0, 0, 0]
    table = sampled(spots, "2020-06-05T10:00", qc=[1, 4, 1, 1, 1, 1, 1, 1, 9], depth=depth,
                    censored=["", "", "<", "", "", "", "", "", ""],
                    qc_tests=["", "", "", "a:3,day_only", "", "", "", "", ""])  # fmt: skip
    table.loc[5, "lon"] = np.nan
    table.loc[6, "lat"] = -40
    table.loc[7, "time"] = pd.Timestamp("2020-06-04T10:00", tz="UTC")
    table.loc[8, "value"] = np.nan
    found = matchup(lake(), pd.concat([table, table.iloc[:1]], ignore_index=True))
    told = dict(zip(found["sample"], found["reasons"], strict=True))
    assert told == {
        0: "", 1: "quality", 2: "censored", 3: "time_of_day", 4: "depth", 5: "no_position", 6: "outside",
        7: "no_scene", 8: "no_value;quality", 9: "copy",
    }  # fmt: skip
    assert set(";".join(told.values()).split(";")) <= {"", *REASONS}
    counts = gates(found).set_index("reason")
    assert counts.loc["used", "candidates"] == 1
    assert list(counts.loc["no_value", ["candidates", "alone"]]) == [1, 0]
    assert list(counts.loc["quality", ["candidates", "alone"]]) == [2, 1]
    assert (score(found).n, score(found).of) == (1, 1)


def test_day_only_is_enough_for_a_window_of_days() -> None:
    """Where only the day is known, a window of a day or more may use it."""
    table = sampled([(5, 5)], "2020-06-05T00:00", qc_tests=["day_only"])
    assert matchup(lake(), table, window="24h")["used"].all()
    assert matchup(lake(), table, window="12h")["reasons"].tolist() == ["time_of_day"]


def test_a_station_on_land() -> None:
    """Where the middle pixel is dry the measurement is not compared, though its neighbours are water."""
    water = np.ones((SIDE, SIDE), "uint8")
    water[5, 5], water[:, 30:] = 0, 255
    cube = lake(water=(("y", "x"), water, {"nodata": 255}))
    cube["water"] = cube["water"].expand_dims(time=cube["time"])
    found = matchup(cube, sampled([(5, 5), (5, 6), (20, 35)], "2020-06-05T10:00"))
    assert found["reasons"].tolist() == ["on_land", "", "few_valid"]
    assert found["valid"].tolist() == [8, 8, 0]


@pytest.mark.parametrize("name", ["cloud", "glint", "near_land"])
def test_flags_of_pixels(name: str) -> None:
    """Five of nine pixels must be without a refused flag; a flag that is not refused counts for nothing."""
    table = sampled([(5, 5), (5, 3)], "2020-06-05T10:00")
    found = matchup(flag_cube(name, 4, 4, 2), table, filters=Filters(overlap="allow"))
    refused = name != "near_land"
    assert found["valid"].tolist() == ([5, 7] if refused else [9, 9])
    assert found["used"].all()
    wide = matchup(flag_cube(name, 4, 4, 3), sampled([(5, 5)], "2020-06-05T10:00"))
    assert wide["used"].tolist() == [not refused]


def test_reasons_and_uncertainties_of_the_product() -> None:
    """Pixels with a reason bit are not valid; medians of the uncertainties stand beside the estimate."""
    dims, shape = ("time", "y", "x"), (3, SIDE, SIDE)
    bits = np.zeros(shape, "uint8")
    bits[:, 5, 5], bits[:, 5, 6] = 4, 32
    cube = lake(
        chl_oc3_flags=(dims, bits),
        chl_oc3_noise=(dims, np.full(shape, 0.5)),
        chl_oc3_algorithm=(dims, np.full(shape, 2.0)),
    )
    found = matchup(cube, sampled([(5, 5)], "2020-06-05T10:00")).iloc[0]
    assert found["valid"] == 8
    assert np.isnan(found["centre"])
    assert (found["noise"], found["algorithm"]) == (0.5, 2.0)
    assert matchup(cube, sampled([(5, 5)], "2020-06-05T10:00"), box=1)["reasons"].tolist() == ["few_valid"]


@pytest.mark.parametrize("spot", [(0, 0), (0, 20), (39, 39)])
def test_boxes_at_the_edge(spot: tuple[int, int]) -> None:
    """What lies beyond the grid is missing, also in flags without a nodata number."""
    cube = flag_cube("cloud", 20, 20)
    found = matchup(cube, sampled([spot], "2020-06-05T10:00"))
    assert found["valid"].tolist() == [6 if spot == (0, 20) else 4]
    assert found["reasons"].tolist() == ["" if spot == (0, 20) else "few_valid"]


def test_scatter_of_the_product_or_of_bands() -> None:
    """A box that varies too much is not used; the variation asked may be that of other bands."""
    cube = lake()
    noisy = cube["chl_oc3"] * (1 + 0.9 * (np.indices((SIDE, SIDE)).sum(axis=0) % 2))
    cube["chl_oc3"] = noisy.assign_attrs(units="mg m-3")
    cube["blue"] = cube["chl_oc3"] * 0 + 0.01
    table = sampled([(5, 5)], "2020-06-05T10:00")
    assert matchup(cube, table, filters=BAILEY_WERDELL)["reasons"].tolist() == ["scatter"]
    calm = Filters(max_scatter=0.15, scatter_bands=("blue",))
    assert matchup(cube, table, filters=calm)["used"].tolist() == [True]
    with pytest.raises(InputError, match="lacks bands"):
        matchup(cube, table, filters=Filters(scatter_bands=("green",)))


def test_angles_of_scene_and_pixel() -> None:
    """Sun and view are judged where the cube tells them, by scene, by pixel or once."""
    table = sampled([(5, 5)], "2020-06-05T10:00")
    cube = lake().assign_coords(sun_zenith=("time", [30.0, 40.0, 80.0]), view_zenith=10.0)
    found = matchup(cube, table).iloc[0]
    assert found["reasons"] == "low_sun"
    assert (found["sun_zenith"], found["view_zenith"]) == (80, 10)
    angles = xr.full_like(lake()["chl_oc3"], 65.0).drop_attrs(deep=False)
    assert matchup(lake(view_zenith=angles), table)["reasons"].tolist() == ["low_sensor"]
    assert matchup(lake().assign_coords(view_zenith=angles), table)["reasons"].tolist() == ["low_sensor"]
    assert np.isnan(matchup(lake(), table)["sun_zenith"]).all()


@pytest.mark.parametrize(
    ("order", "chunks"), [([5, 4, 3, 2, 1, 0], (7, 40)), ([2, 0, 5, 1, 4, 3], (13, 11)), ([4, 0, 1, 3, 5, 2], (40, 40))]
)
def test_order_and_chunks_change_nothing(order: list[int], chunks: tuple[int, int]) -> None:
    """Unsorted measurements and other chunks give the same table."""
    spots = [(5, 5), (5.2, 5.3), (12, 30), (39, 0), (5, 5), (28, 28)]
    times = ["2020-06-01T10:00", "2020-06-01T10:40", "2020-06-05T12:00", "2020-06-05T08:00", "2020-06-05T09:00",
             "2020-06-03T00:00"]  # fmt: skip
    table = sampled(spots, times)
    whole = matchup(lake(), table)
    found = matchup(lake().chunk(time=1, y=chunks[0], x=chunks[1]), table.iloc[order])
    pd.testing.assert_frame_equal(found, whole)


def test_each_block_is_read_once() -> None:
    """Many stations in one block, and several products, read it once; blocks without a station are not read."""
    read: list[tuple[int, ...]] = []
    chl = lake()["chl_oc3"].chunk(time=1, y=20, x=20)

    def note(block: np.ndarray, block_id: tuple[int, ...]) -> np.ndarray:
        read.append(block_id)
        return block

    base = chl.data.map_blocks(note, dtype=chl.dtype, meta=np.empty((0, 0, 0)))
    cube = (
        lake()
        .drop_vars("chl_oc3")
        .assign(chl_oc3=(chl.dims, base, chl.attrs), chl_gons=(chl.dims, base * 2, chl.attrs))
    )
    found = matchup(cube, sampled([(5, 5), (6, 9), (9, 8), (2, 3), (30, 5)], "2020-06-05T10:00"))
    assert found["used"].sum() == 10
    assert sorted(read) == [(2, 0, 0), (2, 1, 0)]


def test_units_are_told_apart() -> None:
    """A factor is refused unless it is asked for; other quantities are refused unless they are said to be alike."""
    table = sampled([(5, 5)], "2020-06-05T10:00", unit="mg L-1", value=0.3)
    with pytest.raises(MetadataError, match="different units"):
        matchup(lake(), table)
    found = matchup(lake(), table, units="convert").iloc[0]
    assert (found["truth"], found["truth_unit"]) == (pytest.approx(300), "mg m-3")
    assert (found["value"], found["value_unit"]) == (0.3, "mg L-1")
    turbidity = lake().rename(chl_oc3="turbidity_dogliotti2015")
    turbidity["turbidity_dogliotti2015"].attrs["units"] = "FNU"
    white = sampled([(5, 5)], "2020-06-05T10:00", unit="NTU", variable="turbidity_ntu")
    variables = {"turbidity_dogliotti2015": "turbidity_ntu"}
    with pytest.raises(MetadataError, match=r"cannot become.*units=\{'NTU': 'FNU'\}"):
        matchup(turbidity, white, variables=variables, units="convert")
    alike = matchup(turbidity, white, variables=variables, units={"NTU": "FNU"})
    assert (alike["truth_unit"].iloc[0], alike["value_unit"].iloc[0]) == ("FNU", "NTU")


def test_the_table_of_an_ingest() -> None:
    """The canonical table of in-situ measurements is taken as it is, with its Arrow texts and quality flags."""
    plain = sampled([(5, 5), (9, 9), (14, 14)], "2020-06-05T10:00", qc=[1, 2, 4])
    names = ["station", "time", "lon", "lat", "variable", "value", "unit", "qc"]
    columns: dict[str, Any] = {name: plain[name] for name in names}
    table = insitu.make(**columns, source="made.csv")
    found = matchup(lake(), table)
    assert found["reasons"].tolist() == ["", "", "quality"]
    assert found["station"].tolist() == ["S0", "S1", "S2"]


def test_mixed_units_of_one_variable() -> None:
    """Measurements of one table in two units are brought to that of the product, each by its own factor."""
    table = sampled([(5, 5), (9, 9)], "2020-06-05T10:00", unit=["ug L-1", "mg L-1"], value=[300.0, 0.3])
    with pytest.raises(MetadataError, match="different units"):
        matchup(lake(), table)
    assert matchup(lake(), table, units="convert")["truth"].tolist() == pytest.approx([300, 300])


def test_products_and_their_variables() -> None:
    """Products are compared by the first word of their name; others have to be told."""
    cube = lake()
    cube["hue_angle"] = cube["chl_oc3"]
    assert set(matchup(cube, sampled([(5, 5)]))["product"]) == {"chl_oc3"}
    both = matchup(cube, sampled([(5, 5)]), variables={"hue_angle": "chlorophyll_a", "chl_oc3": "chlorophyll_a"})
    assert set(both["product"]) == {"hue_angle", "chl_oc3"}
    assert set(matchup(cube, sampled([(5, 5)]), variables=["chl_oc3"])["variable"]) == {"chlorophyll_a"}
    for wrong in (["hue_angle"], {"chl_x": "chlorophyll_a"}, []):
        with pytest.raises(InputError, match="not clear"):
            matchup(cube, sampled([(5, 5)]), variables=wrong)


def test_nothing_matches() -> None:
    """Where no scene is near, or all lies outside, the table tells it and has all its columns."""
    near = matchup(lake(), sampled([(5, 5)], "2020-06-05T10:00"))
    none = matchup(lake(), sampled([(5, 5)], "2021-06-05T10:00"))
    assert none["reasons"].tolist() == ["no_scene"]
    assert set(none.columns) == set(near.columns)
    assert none["scene_time"].isna().all()
    lost = sampled([(5, 5)])
    lost["lon"] = np.nan
    assert matchup(lake(), lost)["reasons"].tolist() == ["no_position"]
    with pytest.raises(EmptyResultError, match="no measurement"):
        matchup(lake(), sampled([(5, 5)], variable="tn"))


def test_a_cube_in_degrees_and_all_missing() -> None:
    """Longitude and latitude work as metres do; a box without a value is told."""
    cube = lake().drop_vars("spatial_ref")
    cube = cube.assign_coords(x=10 + 0.001 * np.arange(SIDE), y=50 - 0.001 * np.arange(SIDE)).rio.write_crs("EPSG:4326")
    cube["chl_oc3"] = cube["chl_oc3"].where(cube["x"] < 10.02)
    table = sampled([(5, 5), (5, 5)], "2020-06-05T10:00", lon=[10.005, 10.03], lat=[49.995, 49.995])
    found = matchup(cube, table)
    assert found["reasons"].tolist() == ["", "few_valid"]
    assert found["estimate"].iloc[0] == pytest.approx(305.05)


@pytest.mark.parametrize(
    ("change", "options", "error"),
    [
        ({"time": None}, {}, InputError),
        ({"time": pd.Timestamp("2020-06-01")}, {}, MetadataError),
        ({"lon": "east"}, {}, InputError),
        ({"unit": "pints"}, {}, MetadataError),
        ({}, {"box": 2}, InputError),
        ({}, {"window": "3"}, InputError),
        ({}, {"window": "-3h"}, InputError),
        ({}, {"window": "soon"}, InputError),
    ],
)
def test_bad_tables_and_options(change: dict[str, Any], options: dict[str, Any], error: type[Exception]) -> None:
    """Missing columns, moments without zone, words for numbers, even boxes and windows that are none are refused."""
    table = sampled([(5, 5)]).assign(**change)
    table = table.drop(columns=[name for name, value in change.items() if value is None])
    with pytest.raises(error):
        matchup(lake(), table, **options)


@pytest.mark.parametrize("window", ["3h", "same day"])
def test_absurd_positions(window: str) -> None:
    """A longitude that is none is told, whatever its size."""
    table = sampled([(5, 5), (9, 9), (14, 14)], "2020-06-05T10:00")
    table.loc[:1, "lon"] = [1e300, -np.inf]
    found = matchup(lake(), table, window=window)
    assert found["reasons"].tolist() == ["outside", "no_position", ""]


def test_labels_units_and_dates_are_needed() -> None:
    """Two rows of one label, a product without a unit, and a cube without dates are refused."""
    table = sampled([(5, 5), (6, 6)])
    with pytest.raises(InputError, match="one label"):
        matchup(lake(), table.set_index(pd.Index([1, 1])))
    bare = lake()
    del bare["chl_oc3"].attrs["units"]
    with pytest.raises(MetadataError, match="unit"):
        matchup(bare, table)
    assert matchup(bare, table, units="ignore")["truth_unit"].iloc[0] == "ug L-1"
    with pytest.raises(MetadataError):
        matchup(lake().isel(time=0, drop=True), table)


def test_from_surface_reflectance_to_scores() -> None:
    """Glint off, turbidity made, measurements met: with the glint left in, they are not."""
    red, glint, shape = 0.03, np.random.default_rng(2).uniform(0, 0.02, (3, SIDE, SIDE)), (3, SIDE, SIDE)
    values = {"green": 0.04, "red": red, "nir08": 0.002, "swir16": 0.0, "swir22": 0.0}
    bands = {name: (("time", "y", "x"), (value + glint).astype("float32")) for name, value in values.items()}
    cube = lake(**bands).drop_vars("chl_oc3").assign_attrs(quantity="rhos", sensor="S2A_MSI")
    truth = 228.1 * red / (1 - red / 0.1641)
    spots = [(float(at), float(at)) for at in range(3, 33, 5)]
    table = sampled(spots, "2020-06-05T10:20", variable="turbidity_fnu", value=truth, unit="FNU")
    scores = {}
    for method in ("swir", None):
        rhow = correct(cube.chunk(time=1, y=16, x=16), method)
        out = retrieve("turbidity_dogliotti2015", rhow).assign(flags=rhow["flags"])
        scores[method] = score(matchup(out, table))
        assert (scores[method].n, scores[method].of) == (6, 6)
    assert shape == out["turbidity_dogliotti2015"].shape
    assert scores["swir"].mdsa < 0.01
    assert scores[None].sspb > 20


BANDS = ("blue", "green", "red", "rededge1", "rededge2", "rededge3", "swir16", "swir22")


def by_day() -> xr.Dataset:
    """Give the lake as it is where scenes of a day were put together: dates are days, at 00:00."""
    days = np.array(["2020-06-01", "2020-06-02", "2020-06-05"], "datetime64[ns]")
    return lake().assign_coords(time=days)


def test_days_are_no_moments() -> None:
    """Scenes put together by day are refused for hours, not taken at midnight; the message says what to do."""
    with pytest.raises(MetadataError, match="their day, not their moment") as caught:
        matchup(by_day(), sampled([(5, 5)]))
    for way in ('groupby="time"', 'groupby="scene"', 'window="same day"'):
        assert way in str(caught.value.todo)
    assert matchup(lake(), sampled([(5, 5)]), window="3h")["used"].any()


def test_same_day_of_scenes_that_tell_their_day() -> None:
    """Days are compared, not midnights with moments: the evening belongs to its day, and to no other."""
    table = sampled([(5, 5), (15, 5), (25, 5)], ["2020-06-01T22:30", "2020-06-02T00:30", "2020-06-03T12:00"])
    found = matchup(by_day(), table, window="same day")
    assert found["reasons"].tolist() == ["", "", "no_scene"]
    assert found["scene_time"].dt.day.tolist()[:2] == [1, 2]
    assert found["time_difference"].tolist()[:2] == [0, 0]
    assert found["estimate"].iloc[0] == pytest.approx(105.05)
    wide = matchup(by_day(), table, window="1D")
    assert wide["reasons"].tolist() == ["", "sample_used", "sample_used", "", ""]
    assert sorted(wide["time_difference"]) == [-86400, -86400, 0, 0, 86400]


def test_same_day_of_scenes_that_tell_their_moment() -> None:
    """The solar day of the place decides, which in the far east begins in the evening of the day before."""
    cube = lake().drop_vars("spatial_ref")
    cube = cube.assign_coords(x=170 + 0.001 * np.arange(SIDE), y=50 - 0.001 * np.arange(SIDE))
    cube = cube.rio.write_crs("EPSG:4326").assign_coords(
        time=np.array(["2020-06-01T22:00", "2020-06-02T21:00", "2020-06-05T10:00"], "datetime64[ns]")
    )
    times = ["2020-06-01T13:00", "2020-06-02T12:00", "2020-06-02T13:00", "2020-06-02T00:00"]
    lat = [49.995, 49.99, 49.985, 49.98]
    table = sampled([(5, 5)] * 4, times, lon=170.005, lat=lat, qc_tests=["", "", "", "day_only"])
    found = matchup(cube, table, window="same day")
    assert found["reasons"].tolist() == [""] * 4
    assert found["scene_time"].dt.hour.tolist() == [22, 22, 21, 22]
    assert found["time_difference"].tolist()[:3] == [9 * 3600, -14 * 3600, 8 * 3600]
    assert matchup(cube, table.assign(qc_tests="period"), window="same day")["reasons"].eq("time_of_day").all()
    late = table.assign(time=pd.Timestamp("2020-06-04T00:00", tz="UTC"), qc_tests="")
    assert matchup(cube, late, window="same day")["reasons"].eq("no_scene").all()


@pytest.fixture(scope="module")
def harsha(data_dir: Path) -> tuple[xr.Dataset, pd.DataFrame]:
    """A Sentinel-2 scene of Harsha Lake and the stations of the same morning, without H03 as the origin did."""
    folder = data_dir / "water" / "harsha"
    with rasterio.open(folder / "S2_Harsha_08082016.tif") as file:
        values = file.read(masked=True).filled(np.nan)[1:] / 10000
        (step, _, left, _, _, top), crs = tuple(file.transform)[:6], file.crs
    cube = xr.Dataset({name: (("time", "y", "x"), band[None]) for name, band in zip(BANDS, values, strict=True)})
    y, x = top - step * (np.arange(values.shape[1]) + 0.5), left + step * (np.arange(values.shape[2]) + 0.5)
    # Sentinel-2A passes here at 16:20 UTC; the file itself tells only the day.
    cube = cube.assign_coords(time=np.array(["2016-08-08T16:20"], "datetime64[ns]"), y=y, x=x).rio.write_crs(crs)
    points = geopandas.read_file(folder / "Harsha_wq_points_sub.gpkg")
    points = points[points["Site"] != "H03"]
    clock = pd.to_datetime("2016-08-08 " + points["Time"].astype(str)).dt.tz_localize("America/New_York")
    base = pd.DataFrame({"station": points["Site"], "time": clock, "lon": points.geometry.x, "lat": points.geometry.y})
    told = [("chlorophyll_a", "Chl_ugL", "ug L-1"), ("turbidity_ntu", "Turbid_NTU", "NTU")]
    parts = [base.assign(variable=name, value=points[column], unit=unit) for name, column, unit in told]
    return cube.assign_attrs(quantity="rhos", sensor="S2A_MSI"), pd.concat(parts, ignore_index=True)


PAIRS = {"ndci": "chlorophyll_a", "turbidity_dogliotti2015": "turbidity_ntu"}


def harsha_pairs(cube: xr.Dataset, table: pd.DataFrame, method: Any, **how: Any) -> dict[str, pd.DataFrame]:
    """Go the whole way: correction, retrieval, match-ups; by product."""
    rhow = correct(cube, method)
    out = retrieve(list(PAIRS), rhow, uncertainty=True).assign(flags=rhow["flags"])
    options: dict[str, Any] = {"box": 1, "units": "ignore"} | how
    found = matchup(out, table, variables=PAIRS, **options)
    return {product: found[found["product"] == product] for product in PAIRS}


def test_harsha_indices(harsha: tuple[xr.Dataset, pd.DataFrame]) -> None:
    """The published R2 of NDCI with chlorophyll and of red over blue with turbidity, of 41 stations."""
    cube, table = harsha
    ratio = (cube["red"] / cube["blue"]).to_dataset(name="ratio")
    by_ratio = matchup(ratio, table, variables={"ratio": "turbidity_ntu"}, box=1, units="ignore")
    # As published: of the surface reflectance as it is, from which nothing is taken.
    for found, wanted in ((harsha_pairs(cube, table, None)["ndci"], 0.5110), (by_ratio, 0.4880)):
        fit = line(found)
        assert (fit.n, fit.of) == (41, 41)
        assert fit.r2 == pytest.approx(wanted, abs=1e-4)


def test_harsha_index_after_correction(harsha: tuple[xr.Dataset, pd.DataFrame]) -> None:
    """Less a grey glint that is not grey, the index follows chlorophyll less closely, and still rises with it."""
    cube, table = harsha
    fit = line(harsha_pairs(cube, table, "swir")["ndci"])
    assert (fit.n, fit.of) == (41, 41)
    assert 0.2 < fit.r2 < 0.3
    assert fit.slope > 0


@pytest.mark.parametrize(("method", "low", "high"), [(None, 190, 210), ("swir", 60, 70), ("glint", 10, 25)])
def test_harsha_turbidity_after_correction(
    harsha: tuple[xr.Dataset, pd.DataFrame], method: Any, low: float, high: float
) -> None:
    """Glint makes turbidity three times too high; less the black band the bias is below 70 %, by Fresnel below 25.

    The retrieval needs no near infrared, which the file lacks, in water as clear as this.
    """
    cube, table = harsha
    units = {"NTU": "FNU"}
    found = harsha_pairs(cube, table[table["variable"] == "turbidity_ntu"], method, units=units)
    told = score(found["turbidity_dogliotti2015"])
    assert (told.n, told.of) == (41, 41)
    assert low < told.sspb < high


def test_harsha_by_boxes(harsha: tuple[xr.Dataset, pd.DataFrame]) -> None:
    """With boxes of 3 x 3 no station is lost to another: the nearest of them lie farther apart."""
    cube, table = harsha
    found = harsha_pairs(cube, table, None, box=3)["ndci"]
    assert not found["reasons"].str.contains("used").any()
    assert (found["shared"] == 0).all()
    assert found["used"].sum() > 30
