"""Heights and volumes: formulas on bodies of known volume, monotone curves, and nothing beyond what was observed."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import EmptyResultError, InputError, MetadataError
from terracube.processing.water.lakes import (
    Hypsometry,
    fit_hypsometry,
    storage_series,
    to_dataset,
    volume_change,
    volume_series,
    with_heights,
)


def cone(height: np.ndarray) -> np.ndarray:
    """Area of a cone standing on its tip, 1000 m wide at 10 m."""
    return np.pi * (50.0 * height) ** 2


def test_a_cone_has_the_volume_of_a_cone() -> None:
    """The formula of the truncated pyramid is exact for cones."""
    found = volume_change(2.0, float(cone(np.array(2.0))), 8.0, float(cone(np.array(8.0))))
    assert found.volume == pytest.approx(np.pi * 50.0**2 * (8.0**3 - 2.0**3) / 3)
    assert math.isnan(found.sigma)


def test_from_a_dry_lake() -> None:
    """An area of zero is a dry lake, not a missing one."""
    found = volume_change(0.0, 0.0, 3.0, 900.0, sigma_height=0.1, sigma_area=30.0)
    assert found.volume == pytest.approx(900.0)
    assert math.isfinite(found.sigma)


@settings(max_examples=30, deadline=None)
@given(st.floats(-10, 10), st.floats(1, 1e9), st.floats(-10, 10), st.floats(1, 1e9))
def test_there_and_back_is_nothing(h1: float, a1: float, h2: float, a2: float) -> None:
    """Changes are antisymmetric."""
    assert volume_change(h1, a1, h2, a2).volume == -volume_change(h2, a2, h1, a1).volume


def test_errors_are_those_of_a_simulation() -> None:
    """First order equals what many noisy heights and areas scatter by."""
    rng = np.random.default_rng(3)
    draws = [
        volume_change(10 + a, 4e6 + c, 11.5 + b, 5e6 + d).volume
        for a, b, c, d in rng.normal(0, (0.1, 0.1, 5e4, 5e4), (4000, 4))
    ]
    told = volume_change(10, 4e6, 11.5, 5e6, sigma_height=0.1, sigma_area=5e4)
    assert told.sigma == pytest.approx(np.std(draws), rel=0.05)
    assert np.mean(draws) == pytest.approx(told.volume, rel=0.01)


def test_missing_stays_missing_and_negative_is_refused() -> None:
    """NaN in, NaN out."""
    assert math.isnan(volume_change(1.0, math.nan, 2.0, 5.0).volume)
    with pytest.raises(InputError, match="never negative"):
        volume_change(1.0, -5.0, 2.0, 5.0)


def test_the_curve_of_a_cone_is_found() -> None:
    """Heights, areas and volumes of a cone from its pairs, in any order."""
    heights = np.linspace(2, 10, 33)
    order = np.random.default_rng(0).permutation(33)
    curve = fit_hypsometry(cone(heights)[order], heights[order])
    between = np.linspace(2.1, 9.9, 50)
    np.testing.assert_allclose(curve.height(cone(between)), between, atol=0.01)
    np.testing.assert_allclose(curve.area(between), cone(between), rtol=0.01)
    volume = np.pi * 50.0**2 * (between**3 - 8) / 3
    np.testing.assert_allclose(curve.volume(cone(between)), volume, rtol=0.01, atol=1e4)
    assert curve.n == curve.pairs == 33


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**16), st.integers(3, 40))
def test_the_curve_ascends_whatever_the_noise(seed: int, count: int) -> None:
    """Greater areas never stand lower."""
    rng = np.random.default_rng(seed)
    areas = rng.uniform(1e5, 1e6, count)
    heights = areas / 1e5 + rng.normal(0, 2, count)
    try:
        curve = fit_hypsometry(areas, heights)
    except EmptyResultError:
        assert np.polyfit(areas, heights, 1)[0] < 2e-5
        return
    told = curve.height(np.linspace(areas.min(), areas.max(), 200))
    assert np.isfinite(told).all()
    assert (np.diff(told) >= -1e-9).all()
    assert (np.diff(curve.volumes) > 0).all()


def test_scatter_is_the_noise_of_the_heights() -> None:
    """What was put in is told."""
    rng = np.random.default_rng(1)
    areas = rng.uniform(1e6, 2e6, 600)
    curve = fit_hypsometry(areas, areas / 1e6 * 3 + rng.normal(0, 0.25, 600))
    assert curve.scatter == pytest.approx(0.25, rel=0.1)


def test_weights_make_a_pair_count_more() -> None:
    """A pool of two stands at their weighted mean."""
    curve = fit_hypsometry([1.0, 2.0, 3.0, 4.0], [0.0, 6.0, 3.0, 9.0], weights=[1.0, 2.0, 1.0, 1.0])
    assert float(curve.height((2 * 2 + 3) / 3)) == pytest.approx(5.0)


def test_nothing_is_extrapolated() -> None:
    """Beyond the areas and heights that were seen there is NaN."""
    curve = fit_hypsometry([1e6, 2e6, 3e6], [1.0, 2.0, 3.0])
    assert np.isnan(curve.height([0.9e6, 3.1e6])).all()
    assert np.isnan(curve.area([0.9, 3.1])).all()
    np.testing.assert_allclose(curve.height([1e6, 3e6]), [1.0, 3.0])


def test_pairs_that_make_no_curve() -> None:
    """Too few, falling, negative or uneven pairs are refused."""
    with pytest.raises(EmptyResultError, match="too few"):
        fit_hypsometry([1.0, 2.0, np.nan], [1.0, 2.0, 3.0])
    with pytest.raises(EmptyResultError, match="do not grow"):
        fit_hypsometry([1.0, 2.0, 3.0], [3.0, 2.0, 1.0])
    with pytest.raises(InputError, match="not positive"):
        fit_hypsometry([-1.0, 2.0, 3.0], [3.0, 2.0, 1.0])
    with pytest.raises(InputError, match="needs a height"):
        fit_hypsometry([1.0, 2.0, 3.0], [3.0, 2.0])


def bowl() -> Hypsometry:
    """A lake of 1 to 3 km2, 10 to 12 m."""
    return fit_hypsometry([1e6, 1.5e6, 2e6, 2.5e6, 3e6], [10.0, 10.5, 11.0, 11.5, 12.0])


def test_storage_of_a_series() -> None:
    """Heights and volumes at every date; missing and beyond stay empty, and changes go over gaps."""
    dates = pd.to_datetime(["2023-01-01", "2023-02-01", "2023-03-01", "2023-04-01"])
    table = pd.DataFrame({"id": "a", "time": dates, "area_wet": [1e6, np.nan, 2e6, 9e6]})
    table["area_wet_min"], table["area_wet_max"] = table["area_wet"], table["area_wet"] + 0.5e6
    found = storage_series(table, bowl())
    assert found["range"].tolist() == ["ok", "missing", "ok", "beyond"]
    np.testing.assert_allclose(found["height"], [10.0, np.nan, 11.0, np.nan])
    assert found["storage"][0] == 0.0
    assert found["storage"][2] == pytest.approx(1.5e6, rel=0.02)
    assert found["change"][2] == found["storage"][2]
    assert found["change"].isna().tolist() == [True, True, False, True]
    assert found["storage_max"][2] > found["storage"][2] == found["storage_min"][2]


def test_storage_needs_one_lake() -> None:
    """Two lakes, or no areas, are refused."""
    with pytest.raises(InputError, match="one lake"):
        storage_series(pd.DataFrame({"id": ["a", "b"], "area_wet": [1.0, 2.0]}), bowl())
    with pytest.raises(InputError, match="one lake"):
        storage_series(pd.DataFrame({"id": ["a"]}), bowl())


def two_lakes() -> pd.DataFrame:
    """Three dates of two lakes, the second unseen at its second date."""
    dates = pd.to_datetime(["2023-01-10", "2023-02-10", "2023-03-10"])
    rows = pd.DataFrame({"id": ["a"] * 3 + ["b"] * 3, "time": [*dates, *dates]})
    rows["area_wet"] = [1e6, 2e6, 3e6, 4e6, np.nan, 2e6]
    rows.attrs["units"] = {"area_wet": "m2"}
    return rows


def test_heights_come_from_near_dates_of_the_same_lake() -> None:
    """The nearest within the window, whatever the order; none where none is near."""
    times = pd.to_datetime(["2023-03-09", "2023-01-12", "2023-01-11", "2023-02-20", "2023-01-10"])
    heights = pd.DataFrame({"id": ["a", "a", "a", "a", "b"], "time": times, "height": [12.0, 99.0, 10.0, 11.0, 5.0]})
    found = with_heights(two_lakes().iloc[::-1], heights)
    assert found.index.tolist() == [5, 4, 3, 2, 1, 0]
    assert found.sort_index()["height"].fillna(-1).tolist() == [10.0, -1.0, 12.0, 5.0, -1.0, -1.0]
    assert found.attrs["units"] == {"area_wet": "m2"}
    wide = with_heights(two_lakes(), heights, window=15)
    assert wide["height"].fillna(-1).tolist() == [10.0, 11.0, 12.0, 5.0, -1.0, -1.0]


def test_heights_that_cannot_be_matched() -> None:
    """Without ids for two lakes, without heights, without a date."""
    heights = pd.DataFrame({"time": pd.to_datetime(["2023-01-10"]), "height": [1.0]})
    with pytest.raises(InputError, match="by date and lake"):
        with_heights(two_lakes(), heights)
    with pytest.raises(InputError, match="by date and lake"):
        with_heights(two_lakes().iloc[:3], heights[["time"]])
    with pytest.raises(MetadataError, match="a date is missing"):
        with_heights(two_lakes().iloc[:3], heights.assign(time=pd.NaT))
    assert with_heights(two_lakes().iloc[:3], heights)["height"].notna().tolist() == [True, False, False]


def test_changes_go_over_what_is_missing() -> None:
    """Each change is from the last date that is known; errors come from heights and from what was not seen."""
    rows = two_lakes().iloc[:3].assign(height=[10.0, np.nan, 12.0])
    rows["area_wet_min"], rows["area_wet_max"] = rows["area_wet"] - 3e5, rows["area_wet"] + 3e5
    found = volume_series(rows, sigma_height=0.1)
    truth = volume_change(10.0, 1e6, 12.0, 3e6, sigma_height=0.1, sigma_area=6e5 / np.sqrt(12))
    assert len(found) == 1
    assert found["change"][0] == truth.volume
    assert found["sigma"][0] == pytest.approx(truth.sigma)
    assert found["start"][0] == rows["time"][0]
    assert found["stop"][0] == rows["time"][2]
    exact = volume_series(rows[["time", "area_wet", "height"]], sigma_height=0.1)
    assert exact["sigma"][0] < truth.sigma
    assert not len(volume_series(rows.iloc[:1]))
    with pytest.raises(InputError, match="one lake"):
        volume_series(two_lakes())


def test_a_table_becomes_a_dataset() -> None:
    """Lakes in their order, dates ascending, units kept, missing rows NaN and texts empty."""
    rows = two_lakes().assign(status="ok").iloc[[5, 3, 0, 1]]
    cube = to_dataset(rows)
    assert cube["id"].values.tolist() == ["b", "a"]
    assert cube["area_wet"].attrs["units"] == "m2"
    np.testing.assert_array_equal(cube["area_wet"], [[4e6, np.nan, 2e6], [1e6, 2e6, np.nan]])
    assert cube["status"].values.tolist() == [["ok", "", "ok"], ["ok", "ok", ""]]
    assert to_dataset(rows.iloc[:1].drop(columns="time")).sizes == {"id": 1}
    with pytest.raises(InputError, match="two rows of one date"):
        to_dataset(pd.concat([rows, rows]))
