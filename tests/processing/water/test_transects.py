"""Positions along transects, and the tide."""

from __future__ import annotations

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import InputError
from terracube.processing.water.transects import correct_tide, shore_positions, tidal_shift

CRS = 32630


def _lines(*shapes: shapely.LineString, **columns: object) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame(columns, geometry=list(shapes), crs=CRS)


def _wall(x: float, step: float = 10.0) -> shapely.LineString:
    return shapely.LineString([(x, y) for y in np.arange(-100.0, 101.0, step)])


ACROSS = geopandas.GeoDataFrame(geometry=[shapely.LineString([(0, 0), (200, 0)])], index=["T1"], crs=CRS)


@settings(max_examples=25, deadline=None)
@given(angle=st.floats(0.0, 6.28), away=st.floats(10.0, 150.0))
def test_position_does_not_depend_on_direction(angle: float, away: float) -> None:
    """A straight shore at a distance is found at that distance, in whichever direction the transect points."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    def turned(line: shapely.LineString) -> shapely.LineString:
        return shapely.transform(line, lambda points: points @ turn.T + [6e5, 5e6])

    across = ACROSS.set_geometry([turned(ACROSS.geometry.iloc[0])])
    got = shore_positions(_lines(turned(_wall(away))), across).iloc[0]
    assert got["status"] == "ok"
    assert got["n"] == 5
    assert got["position_m"] == pytest.approx(away, abs=1e-6)


def test_positions_by_date_and_transect() -> None:
    """Every transect is measured on every date, in order of both."""
    times = pd.to_datetime(["2024-02-01", "2024-01-01"])
    across = geopandas.GeoDataFrame(
        geometry=[shapely.LineString([(0, y), (200, y)]) for y in (0, 50)], index=["a", "b"], crs=CRS
    )
    got = shore_positions(_lines(_wall(60.0), _wall(40.0), time=times), across)
    assert got["transect"].tolist() == ["a", "a", "b", "b"]
    assert got["position_m"].tolist() == [40.0, 60.0, 40.0, 60.0]
    assert got["time"].is_monotonic_increasing is False
    assert got["time"][0] == pd.Timestamp("2024-01-01")


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (_wall(500.0), "no line"),
        (_wall(-5.0), "no line"),
        (shapely.LineString([(30, 0), (30, 5)]), "few points"),
        (shapely.LineString([(10, 0), (50, 1), (90, 2)]), "scattered"),
    ],
)
def test_doubtful_positions_are_missing(line: shapely.LineString, status: str) -> None:
    """Beyond the transect, of too few points or of scattered ones: NaN, with the reason."""
    got = shore_positions(_lines(line), ACROSS).iloc[0]
    assert got["status"] == status
    assert np.isnan(got["position_m"])


def test_points_beyond_reach_do_not_count() -> None:
    """A line that bends away counts only where it is near the transect."""
    bent = shapely.LineString([(40, -10), (40, 0), (40, 10), (90, 30), (140, 60)])
    got = shore_positions(_lines(bent), ACROSS).iloc[0]
    assert (got["n"], got["position_m"]) == (3, 40.0)


def test_no_lines_no_rows() -> None:
    """Dates without a line are not known here; without times, a transect has its row."""
    none = _lines(time=pd.to_datetime([]))
    assert list(shore_positions(none, ACROSS).columns)[:2] == ["transect", "time"]
    assert shore_positions(_lines(), ACROSS)["status"].tolist() == ["no line"]


def test_wrong_transects_are_refused() -> None:
    """Another CRS, no line, a name given twice and limits of nothing are errors."""
    with pytest.raises(InputError, match="one CRS"):
        shore_positions(_lines(_wall(1.0)), ACROSS.to_crs(4326))
    with pytest.raises(InputError, match="one CRS"):
        shore_positions(_lines(_wall(1.0)).set_crs(None, allow_override=True), ACROSS)
    with pytest.raises(InputError, match="no line"):
        shore_positions(_lines(_wall(1.0)), ACROSS.set_geometry(ACROSS.centroid))
    with pytest.raises(InputError, match="twice"):
        shore_positions(_lines(_wall(1.0)), pd.concat([ACROSS, ACROSS]))
    with pytest.raises(InputError, match="not positive"):
        shore_positions(_lines(_wall(1.0)), ACROSS, reach=0.0)


def test_tidal_shift_is_rise_over_slope() -> None:
    """A tide of half a metre on a slope of one in ten moves the line by five metres; NaN is missing."""
    np.testing.assert_allclose(tidal_shift([0.5, -0.2, np.nan], [0.1, 0.05, 0.1], 0.1), [4.0, -6.0, np.nan])
    with pytest.raises(InputError, match="does not rise"):
        tidal_shift(0.5, [0.1, 0.0])


def test_tide_brings_a_plane_beach_to_one_position() -> None:
    """Water lines of a plane beach at different tides come to lie at the same place."""
    times = pd.date_range("2024-01-01", periods=6, freq="5h30min")
    hours = pd.date_range("2023-12-31", "2024-01-04", freq="30min")
    level = pd.Series(np.sin(np.arange(len(hours)) / 4.0), hours)
    at_image = np.interp(times.asi8 / 1.0, hours.astype(times.dtype).asi8 / 1.0, level)
    table = pd.DataFrame({"transect": "T1", "time": times, "position_m": 80.0 - at_image / 0.08})
    got = correct_tide(table, level.sample(frac=1.0, random_state=1), 0.08)
    np.testing.assert_allclose(got["position_corrected_m"], 80.0, atol=1e-9)
    np.testing.assert_allclose(got["tide_m"], at_image, atol=1e-12)
    by_transect = correct_tide(table, level, {"T1": 0.08, "T2": 0.1}, reference=0.4)
    np.testing.assert_allclose(by_transect["position_corrected_m"], 75.0, atol=1e-9)


def test_missing_tide_is_missing() -> None:
    """Gaps, ends of the series and unknown transects give NaN, never a level of zero."""
    hours = pd.to_datetime(["2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 06:00", "2024-01-01 06:30"])
    level = pd.Series([0.0, 1.0, 2.0, np.nan], hours)
    when = pd.to_datetime(["2024-01-01 00:30", "2024-01-01 03:00", "2024-01-01 06:00", "2024-01-01 06:20", None])
    table = pd.DataFrame({"transect": ["a"] * 5, "time": when, "position_m": 10.0})
    got = correct_tide(table, level, 0.1)
    np.testing.assert_allclose(got["tide_m"], [0.5, np.nan, 2.0, np.nan, np.nan])
    np.testing.assert_allclose(got["position_corrected_m"], [15.0, np.nan, 30.0, np.nan, np.nan])
    assert correct_tide(table, level, {"b": 0.1})["position_corrected_m"].isna().all()
    assert correct_tide(table, level[:0], 0.1)["tide_m"].isna().all()
    assert len(correct_tide(table[:0], level, 0.1)) == 0


def test_times_must_fit() -> None:
    """Zones must agree (and are honoured), times be unique, and there must be times."""
    hours = pd.date_range("2024-01-01", periods=3, freq="h", tz="UTC")
    level = pd.Series([0.0, 1.0, 2.0], hours)
    table = pd.DataFrame({"transect": "a", "time": hours.tz_convert("Europe/Paris"), "position_m": 1.0})
    np.testing.assert_allclose(correct_tide(table, level, 1.0)["tide_m"], [0.0, 1.0, 2.0])
    with pytest.raises(InputError, match="zones"):
        correct_tide(table.assign(time=hours.tz_localize(None)), level, 1.0)
    with pytest.raises(InputError, match="twice"):
        correct_tide(table, pd.concat([level, level]), 1.0)
    with pytest.raises(InputError, match="no times"):
        correct_tide(table.drop(columns="time"), level, 1.0)
    with pytest.raises(InputError, match="no times"):
        correct_tide(table, level.reset_index(drop=True), 1.0)
