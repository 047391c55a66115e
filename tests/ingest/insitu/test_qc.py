"""Quality tests: what was planted is found, and nothing else."""

from __future__ import annotations

import contextlib
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from ioos_qc import qartod

from terracube.core.errors import AssetError, HostileInputError, InputError
from terracube.ingest.insitu import checks, location
from terracube.ingest.insitu.copies import copies
from terracube.ingest.insitu.gaps import gaps
from terracube.ingest.insitu.qc import apply_flags, counts, evaluate
from terracube.ingest.insitu.qc_config import (
    Climate,
    FlatLine,
    GrossRange,
    Location,
    QcConfig,
    Rate,
    Spike,
    VariableChecks,
    default_config,
    load_config,
    parse_yaml,
)
from terracube.ingest.insitu.table import check, empty, join, make
from terracube.ingest.insitu.vocabulary import vocabulary

HOUR = 3_600_000_000
START = np.datetime64("2020-06-01", "us")
ALL = VariableChecks(
    gross_range=GrossRange(fail=(-3, 60), suspect=(0, 35)),
    spike=Spike(suspect=3, fail=8),
    rate_of_change=Rate(suspect=2.5, fail=6),
    flat_line=FlatLine(suspect_hours=6, fail_hours=24, tolerance=0.0),
)
CONFIG = QcConfig(variables={"water_temperature": ALL})


def series(values, hours=None, **told):
    """A canonical table of water temperatures of station A."""
    offsets = np.arange(len(values), dtype=float) if hours is None else np.asarray(hours, float)
    times = START + np.round(offsets * HOUR).astype("int64").astype("timedelta64[us]")
    rows = [f"a.csv:{row + 2}" for row in range(len(values))]
    facts = {"station": "A", "variable": "water_temperature", "unit": "degC", "source": rows, "lon": 10.0, "lat": 45.0}
    return make(time=times, value=values, **{**facts, **told})


def noise(size, seed=1):
    """Smooth days with measured noise: nothing that a test should find."""
    return 15 + 3 * np.sin(np.arange(size) / 24 * 2 * np.pi) + np.random.default_rng(seed).normal(0, 0.1, size)


def irregular(size, seed=2):
    """Hours between 0.3 and 2 apart."""
    return np.cumsum(np.random.default_rng(seed).uniform(0.3, 2.0, size))


def bad(table, test):
    """Positions of the rows that a test gave 3 or 4."""
    told = table["qc_tests"].str.split(",").apply(lambda names: any(name.split(":")[0] == test for name in names))
    return np.flatnonzero(told.to_numpy(bool)).tolist()


@pytest.mark.parametrize("hours", [None, irregular(500)], ids=["regular", "irregular"])
def test_a_clean_series_is_not_flagged(hours):
    """Noise without faults comes out good, at even and at uneven times."""
    flagged = evaluate(series(noise(500), hours), CONFIG)
    assert set(flagged["qc"]) == {1}
    assert set(flagged["qc_tests"]) == {""}


@pytest.mark.parametrize("hours", [None, irregular(300)], ids=["regular", "irregular"])
def test_planted_spikes_are_flagged_exactly(hours):
    """A spike is flagged, by its size suspect or failed, and its neighbours are not."""
    values = noise(300)
    values[[40, 120]] += 5.0
    values[200] -= 12.0
    flagged = evaluate(series(values, hours), CONFIG)
    assert bad(flagged, "spike") == [40, 120, 200]
    assert flagged["qc"].to_numpy()[[40, 120, 200]].tolist() == [3, 3, 4]
    assert np.flatnonzero(flagged["qc"] != 1).tolist() == [40, 120, 200]


def test_planted_steps_are_flagged_exactly():
    """The first value after a step is flagged, and what follows is not."""
    values = noise(300)
    values[100:] += 4.0
    values[200:] -= 9.0
    flagged = evaluate(series(values), CONFIG)
    assert bad(flagged, "rate_of_change") == [100, 200]
    assert flagged["qc"].to_numpy()[[100, 200]].tolist() == [3, 4]
    assert np.flatnonzero(flagged["qc"] != 1).tolist() == [100, 200]


def test_a_planted_flat_line_is_flagged_exactly():
    """All rows of the stuck time are flagged; suspect when short, failed when long."""
    values = noise(300)
    values[50:60] = values[50]
    values[150:180] = values[150]
    alone = QcConfig(variables={"water_temperature": VariableChecks(flat_line=ALL.flat_line)})
    flagged = evaluate(series(values), alone)
    assert bad(flagged, "flat_line") == [*range(50, 60), *range(150, 180)]
    assert set(flagged["qc"][50:60]) == {3}
    assert set(flagged["qc"][150:180]) == {4}
    assert set(flagged["qc"].drop(index=[*range(50, 60), *range(150, 180)])) == {1}


def test_a_flat_line_is_measured_in_time():
    """At uneven times it is the hours that count: six equal values within 3 hours are no flat line of 6 hours."""
    values, hours = noise(40), np.arange(40.0)
    values[10:16] = 15.0
    hours[11:] -= 0.5 * np.minimum(np.arange(1, 30), 5)  # the equal values, 10 to 15, lie within 2.5 hours
    assert bad(evaluate(series(values, hours), CONFIG), "flat_line") == []
    stretched = np.arange(40.0)
    stretched[11:] += 0.5 * np.minimum(np.arange(1, 30), 5)  # and here within 7.5
    assert bad(evaluate(series(values, stretched), CONFIG), "flat_line") == [10, 11, 12, 13, 14, 15]


def test_sparse_equal_values_are_no_flat_line():
    """Equal samples a month apart are neither neighbours nor stuck."""
    flagged = evaluate(series([4.0] * 12, np.arange(12) * 720.0), CONFIG)
    assert set(flagged["qc"]) == {1}


def test_a_spike_over_a_pause_is_none():
    """What lies further apart than the longest step is not compared."""
    hours = np.array([0.0, 1, 2, 400, 800, 801, 802])
    flagged = evaluate(series([5.0, 5, 5, 25, 5, 5, 5], hours), CONFIG)
    assert set(flagged["qc"]) == {1}


def test_series_are_apart():
    """Stations, depths, methods and replicates are series of their own: alternating levels are no spikes."""
    values = np.tile([5.0, 20.0], 30)
    for name, labels in {
        "station": ["A", "B"],
        "depth": [0.5, 20.0],
        "method": ["m1", "m2"],
        "replicate": ["1", "2"],
    }.items():
        wiggle = values + np.random.default_rng(3).normal(0, 0.1, 60)
        table = series(wiggle, np.repeat(np.arange(30.0), 2), **{name: np.tile(labels, 30)})
        assert set(evaluate(table, CONFIG)["qc"]) == {1}, name


def test_the_range_of_the_vocabulary_holds_unless_told():
    """Beyond valid_min and valid_max a value fails; ``vocabulary_range: false`` lets it."""
    term = vocabulary()["chlorophyll_a"]
    table = series([1.0, term.valid_max + 1], variable="chlorophyll_a", unit=term.unit)
    assert evaluate(table)["qc"].tolist() == [1, 4]
    assert evaluate(table)["qc_tests"].tolist() == ["", "gross_range:4"]
    assert evaluate(table, QcConfig(vocabulary_range=False))["qc"].tolist() == [2, 2]


def test_a_suspect_span_beyond_the_vocabulary_is_cut():
    """A suspect span that is wider than what can be does not break the test."""
    told = QcConfig(variables={"ph": VariableChecks(gross_range=GrossRange(suspect=(-50, 9)))})
    assert evaluate(series([7.0, 9.5, 30.0], variable="ph", unit="1"), told)["qc"].tolist() == [1, 3, 4]


def test_censored_values_are_judged_by_what_they_may_be():
    """``<70`` may be anything below; ``<-10`` and ``>70`` cannot be right; limits are no neighbours."""
    table = series([10.0, 70.0, -10.0, 70.0, 10.1], censored=["", "<", "<", ">", ""])
    assert evaluate(table, CONFIG)["qc"].tolist() == [1, 1, 4, 4, 1]


def test_missing_values_stay_missing():
    """No value: 9, whatever the tests say; all missing, one row and no row are no special case."""
    assert evaluate(series([np.nan] * 4), CONFIG)["qc"].tolist() == [9] * 4
    assert evaluate(series([15.0]), CONFIG)["qc"].tolist() == [1]
    assert evaluate(series([15.0], variable="unheard_of"), CONFIG)["qc"].tolist() == [2]
    nothing = evaluate(empty(), CONFIG)
    check(nothing)
    assert len(nothing) == 0
    kept = series([15.0, 16.0]).assign(qc=np.array([9, 2], "uint8"))
    assert evaluate(kept, CONFIG)["qc"].tolist() == [9, 1]


def test_delivered_flags_never_improve():
    """A good value that was delivered as bad stays bad, and says so; a failed one is nobody's neighbour."""
    values = noise(20)
    values[10] += 9.0
    table = series(values).assign(qc=np.array([3] * 5 + [2] * 5 + [4] + [1] * 9, "uint8"))
    flagged = evaluate(table, CONFIG)
    assert flagged["qc"].tolist() == [3] * 5 + [1] * 5 + [4] + [1] * 9
    assert flagged["qc_tests"].tolist()[0] == "delivered:3"
    assert flagged["qc_tests"].tolist()[10] == "delivered:4"


def test_named_doubts_of_a_reader_are_kept():
    """What a reader wrote stands before what is found."""
    table = series([15.0, 99.0], qc=[3, 3], qc_tests="future_time:3")
    assert evaluate(table, CONFIG)["qc_tests"].tolist() == ["future_time:3", "future_time:3,gross_range:4"]


def test_what_was_not_to_be_judged_stays_so():
    """A value of a grade that nobody explains is not made good by our tests; it can still be found bad."""
    table = series([15.0, 99.0, 15.0], qc=[2, 2, 2], qc_tests=["grade_7:2", "grade_7:2", ""])
    flagged = evaluate(table, CONFIG)
    assert flagged["qc"].tolist() == [2, 4, 1]
    assert flagged["qc_tests"].tolist() == ["grade_7:2", "grade_7:2,gross_range:4", ""]


def test_remarks_hold_nothing():
    """What is only to be known of a row (a day without time of day) stays told, and leaves the flag to the tests."""
    table = series([15.0, 99.0, 15.0], qc=[2, 2, 3], qc_tests=["day_only", "period", "interpolated"])
    flagged = evaluate(table, CONFIG)
    assert flagged["qc"].tolist() == [1, 4, 3]
    assert flagged["qc_tests"].tolist() == ["day_only", "period,gross_range:4", "interpolated,delivered:3"]
    pd.testing.assert_frame_equal(evaluate(flagged, CONFIG), flagged)


def test_climatology_by_month_and_depth():
    """Spans hold in their months, over the turn of the year too, and at their depths; elsewhere nothing is said."""
    members = (
        Climate(months=(11, 2), suspect=(0, 8), fail=(-1, 12)),
        Climate(months=(6, 8), depth=(0, 5), suspect=(12, 28)),
    )
    times = np.array(["2020-01-10", "2020-12-10", "2020-02-10", "2020-07-01", "2020-07-01", "2020-07-01"], "M8[us]")
    found = checks.climatology(
        np.array([9.0, 13.0, 5.0, 5.0, 5.0, 5.0]), times, np.array([1.0, 1, 1, 1, 20, np.nan]), members
    )
    assert found.tolist() == [3, 4, 1, 3, 2, 2]
    told = QcConfig(variables={"water_temperature": VariableChecks(climatology=members)})
    assert evaluate(series([5.0], depth=2.0), told)["qc_tests"].tolist() == ["climatology:3"]
    assert evaluate(series([5.0], depth=2.0, censored="<"), told)["qc"].tolist() == [1]


def test_positions():
    """Off the globe fails; 0/0, outside the box, swapped are suspect; a position not told says nothing."""
    lon, lat = [10.0, 200.0, 0.0, 50.0, 45.0, np.nan], [45.0, 45.0, 0.0, 45.0, 10.0, np.nan]
    limits = QcConfig(location=Location(bbox=(5, 40, 15, 50)), vocabulary_range=False)
    flagged = evaluate(series([1.0] * 6, np.arange(6) * 100.0, lon=lon, lat=lat, station=list("ABCDEF")), limits)
    assert flagged["qc"].tolist() == [2, 4, 3, 3, 3, 2]
    assert flagged["qc_tests"].tolist()[4] == "location:3,location_swapped:3"
    across = Location(bbox=(170, -10, -170, 10))
    found = location.positions(np.array([175.0, -175, 0]), np.array([1.0, 1, 1]), np.arange(3), across)
    assert found["location"].tolist() == [1, 1, 3]


def test_swapped_among_the_rows_of_its_station():
    """Without any box, a row whose swap fits its station's other rows is suspect."""
    lon, lat = [88.0, 88.0, 88.1, 31.0], [31.0, 31.1, 31.0, 88.0]
    flagged = evaluate(series([4.0] * 4, np.arange(4) * 100.0, lon=lon, lat=lat), QcConfig())
    assert flagged["qc_tests"].tolist() == ["", "", "", "location_swapped:3"]


def placed(lon, lat, **told):
    """Monthly values of station A at these positions."""
    return series([4.0] * len(lon), np.arange(len(lon)) * 720.0, lon=lon, lat=lat, **told)


def test_the_rows_tell_where_a_station_is():
    """One swapped row of twelve is found, for it is the rows that count, not the two different positions."""
    lon, lat = np.full(12, 15.2), np.full(12, 46.5)
    lon[4], lat[4] = 46.5, 15.2
    flagged = evaluate(placed(lon, lat), CONFIG)
    assert bad(flagged, "location_swapped") == [4]
    assert bad(flagged, "location_leap") == []
    assert flagged["qc"].tolist() == [1] * 4 + [3] + [1] * 7
    # The same rows again and again are no further witnesses.
    repeated = join([placed(lon, lat)] + [placed(lon, lat).iloc[[4]]] * 30)
    assert bad(evaluate(repeated, CONFIG), "location_swapped") == [4, *range(12, 42)]


def test_a_leap_of_what_stays_is_suspect():
    """A buoy that lies elsewhere in one row of twenty is suspect there; one that is moved for good, or drifts, not."""
    draw = np.random.default_rng(5)
    lon, lat = 15.2 + draw.uniform(-0.02, 0.02, 20), 46.5 + draw.uniform(-0.02, 0.02, 20)
    lon[7] += 3.0
    assert bad(evaluate(placed(lon, lat), CONFIG), "location_leap") == [7]
    lon[10:] += 3.0
    assert bad(evaluate(placed(lon, lat), CONFIG), "location_leap") == []
    meridian = np.where(np.arange(20) % 5 == 0, -179.99, 179.99)
    assert bad(evaluate(placed(meridian, np.full(20, -17.0)), CONFIG), "location_leap") == []


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), step=st.floats(0.05, 0.9), lon=st.floats(-170, 170), lat=st.floats(-70, 70))
def test_what_moves_is_left_alone(seed, step, lon, lat):
    """A float that drifts from anywhere, where longitude and latitude are alike too, is neither swapped nor leaping."""
    draw = np.random.default_rng(seed)
    steps = draw.uniform(-step, step, (2, 150)) + draw.uniform(-step, step, (2, 1)) / 3
    track = np.clip(np.array([[lon], [lat]]) + np.cumsum(steps, axis=1), [[-179], [-85]], [[179], [85]])
    flagged = evaluate(placed(*track), CONFIG)
    assert set(flagged["qc"]) == {1}


def test_a_swapped_station_among_others():
    """A station far from all others whose swap lies among them is suspect, all of it; legitimate far ones are not."""
    lon = np.array([14.5, 15.2, 16.0, 46.4, 13.9, 100.0])
    lat = np.array([46.1, 46.5, 46.3, 15.3, 45.9, 10.0])
    names = np.array(list("ABCDEF"))
    times = np.repeat(np.arange(3), 6) * 720.0
    rows = series([4.0] * 18, times, lon=np.tile(lon, 3), lat=np.tile(lat, 3), station=np.tile(names, 3))
    flagged = evaluate(rows, CONFIG)
    assert set(rows["station"].to_numpy()[bad(flagged, "location_swapped")]) == {"D"}
    assert len(bad(flagged, "location_swapped")) == 3
    # The one row of it that is right stays right, and two stations do not tell which of them is wrong.
    right = rows.copy()
    right.loc[3, ["lon", "lat"]] = [15.3, 46.4]
    assert bad(evaluate(right, CONFIG), "location_swapped") == [9, 15]
    two = rows[rows["station"].isin(["A", "D"])].reset_index(drop=True)
    assert bad(evaluate(two, CONFIG), "location_swapped") == []


def test_a_fleet_is_left_alone():
    """Ships and floats between stations, on all seas or in one, are not swapped."""
    draw = np.random.default_rng(8)
    for west, east, south, north in ((-180, 180, -60, 60), (-5, 36, 30, 45), (25, 45, 10, 35), (28, 34, 27, 33)):
        start = draw.uniform([west, south], [east, north], (30, 2))
        drift = np.cumsum(draw.uniform(-0.5, 0.5, (30, 20, 2)), axis=1)
        track = np.clip(start[:, None] + drift, [west, south], [east, north]).reshape(-1, 2)
        names = np.repeat([f"S{number}" for number in range(30)], 20)
        rows = series([4.0] * 600, np.tile(np.arange(20) * 100.0, 30), lon=track[:, 0], lat=track[:, 1], station=names)
        assert bad(evaluate(rows, CONFIG), "location_swapped") == []
        assert bad(evaluate(rows, CONFIG), "location_leap") == []


def test_on_land(tmp_path: Path):
    """Positions within the polygons of a given file are suspect; a file that is none is told."""
    import geopandas as gpd
    import shapely

    file = tmp_path / "land.geojson"
    gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 20, 50)], crs="EPSG:4326").to_file(file)
    table = series([4.0] * 3, np.arange(3) * 100.0, lon=[10.0, 30.0, np.nan], lat=[45.0, 45.0, np.nan])
    assert bad(evaluate(table, QcConfig(location=Location(land=file))), "on_land") == [0]
    file.write_text("no land")
    with pytest.raises(AssetError, match="land"):
        evaluate(table, QcConfig(location=Location(land=file)))


def test_contradictions_are_suspect_and_copies_are_not():
    """Two values for one moment doubt both; the same row twice says nothing."""
    table = series([5.0, 6.0, 7.0, 7.0], [0.0, 0, 1, 1])
    flagged = evaluate(table, CONFIG)
    assert flagged["qc_tests"].tolist() == ["contradiction:3", "contradiction:3", "", ""]


def test_a_position_that_is_not_told_is_no_other_place():
    """With and without a position it is one observation; two told places are two, as of a survey under one name."""
    told = {"lon": [10.0, np.nan, 10.0, 11.0], "lat": [45.0, np.nan, 45.0, 46.0]}
    table = series([5.0, 6.0, 7.0, 8.0], [0.0, 0, 1, 1], **told)
    assert bad(evaluate(table, CONFIG), "contradiction") == [0, 1]
    table = series([5.0, 5.0, 7.0, 7.0], [0.0, 0, 1, 1], **told)
    assert set(evaluate(table, CONFIG)["qc"]) == {1}
    marked, [again] = copies(table)
    assert marked["qc_tests"].tolist() == ["", "copy", "", ""]
    assert set(evaluate(marked, CONFIG)["qc"]) == {1}
    assert (again.source, again.row, again.action) == ("a.csv", 3, "flagged")
    assert "as in a.csv:2" in again.what


def test_copies_are_told_once_and_counted():
    """Each copy is an issue, whatever the order; those that the reader flagged are not told again; many are counted."""
    table = join([series([5.0, 6.0]), series([5.0, 6.0], source=["b.csv:2", "b.csv:3"])])
    marked, told = copies(table)
    assert [(one.source, one.row) for one in told] == [("b.csv", 2), ("b.csv", 3)]
    assert marked["qc_tests"].tolist() == ["", "", "copy", "copy"]
    assert copies(marked)[1] == ()
    back, again = copies(table.iloc[::-1])
    assert again == told
    pd.testing.assert_frame_equal(back, marked.iloc[::-1])
    assert copies(table.assign(qc_tests=make(4, qc_tests="duplicate:3")["qc_tests"]))[1] == ()
    assert copies(table.assign(value=np.arange(4.0)))[1] == ()
    assert copies(empty())[1] == ()
    many = copies(join([series(np.arange(1001.0))] * 2))[1]
    assert len(many) == 1001
    assert many[-1].value == "1"


def test_gaps_are_told_not_flagged():
    """A pause of many steps is an issue with its file, row and times."""
    hours = np.r_[np.arange(20.0), np.arange(20.0) + 90]
    table = series(noise(40), hours)
    told = gaps(table.sample(frac=1.0, random_state=4))
    assert [(issue.source, issue.row, issue.field) for issue in told] == [("a.csv", 22, "time")]
    assert "71 hours" in told[0].what
    assert told[0].value == "2020-06-01T19:00:00Z to 2020-06-04T18:00:00Z"
    assert gaps(series(noise(5), [0.0, 1, 2, 99, 100])) == ()
    assert gaps(empty()) == ()


def test_many_gaps_are_counted():
    """Beyond a thousand, gaps are told as a number."""
    hours = np.cumsum(np.tile([1.0, 1.0, 1.0, 50.0], 1010))
    told = gaps(series(noise(len(hours)), hours))
    assert len(told) == 1001
    assert told[-1].value == "10"


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_order_and_copies_do_not_matter(data):
    """Shuffled, and with rows that are there twice, each row gets the same flags; and testing again changes nothing."""
    size = data.draw(st.integers(1, 40))
    draw = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    table = series(
        np.where(draw.random(size) < 0.1, np.nan, np.round(draw.normal(15, 6, size))),
        np.round(np.cumsum(draw.choice([0.0, 0.5, 1, 2, 60], size)), 1),
        station=draw.choice(["A", "B"], size),
        depth=draw.choice([0.5, 10.0, np.nan], size),
        censored=draw.choice(["", "", "", "<"], size),
    )
    flagged = evaluate(table, CONFIG)
    pd.testing.assert_frame_equal(evaluate(flagged, CONFIG), flagged)
    order = draw.permutation(np.r_[np.arange(size), draw.integers(0, size, 5)])
    again = evaluate(table.iloc[order].reset_index(drop=True), CONFIG)
    pd.testing.assert_frame_equal(again, flagged.iloc[order].reset_index(drop=True))


@settings(max_examples=30, deadline=None)
@given(
    values=st.lists(st.integers(0, 4), min_size=8, max_size=60),
    hours=st.integers(2, 5),
    tolerance=st.sampled_from([0, 1]),
)
def test_flat_lines_equal_the_reference_where_times_are_regular(values, hours, tolerance):
    """On hourly values, and without ``whole``, the result is that of ``ioos_qc``."""
    numbers, times = np.array(values, float), np.arange(len(values), dtype="int64") * HOUR
    fresh = np.arange(len(values)) == 0
    limits = FlatLine(suspect_hours=hours, fail_hours=hours + 2, tolerance=tolerance, fewest=3, whole=False)
    ours = checks.flat_lines(numbers, times, fresh, limits)
    # Its comparison is strict: a hair more of tolerance makes it ours.
    theirs = qartod.flat_line_test(
        numbers, times.astype("M8[us]"), hours * 3600, (hours + 2) * 3600, tolerance=tolerance + 1e-9
    )
    assert ours.tolist() == np.asarray(theirs).tolist()


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.integers(0, 9), min_size=1, max_size=60))
def test_rates_and_spikes_equal_the_reference_where_times_are_regular(values):
    """On hourly values the results are those of ``ioos_qc``, but that the first row, which has no rate, is not good."""
    numbers, times = np.array(values, float), np.arange(len(values), dtype="int64") * HOUR
    fresh = np.arange(len(values)) == 0
    theirs = np.asarray(qartod.rate_of_change_test(numbers, times.astype("M8[us]"), 2 / 3600, 4 / 3600))
    assert checks.rates(numbers, times, fresh, Rate(suspect=2, fail=4)).tolist() == [2, *theirs[1:].tolist()]
    spikes = np.asarray(qartod.spike_test(numbers, 2, 4, method="differential"))
    assert checks.spikes(numbers, fresh, Spike(suspect=2, fail=4)).tolist() == spikes.tolist()


def test_short_steps_are_no_fast_change():
    """Noise within a minute, or within less than a second, is no rate."""
    table = series([15.0, 15.4, 15.1, 15.2], [0.0, 1 / 60, 1 / 60 + 1e-4, 1.0])
    assert set(evaluate(table, CONFIG)["qc"]) == {1}


def test_defaults_speak_of_the_vocabulary():
    """Each variable of the default configuration is in the vocabulary, and its spans lie where values can be."""
    for name, told in default_config().variables.items():
        term = vocabulary()[name]
        if told.gross_range and told.gross_range.suspect:
            assert told.gross_range.suspect[0] >= term.valid_min
            assert told.gross_range.suspect[1] <= term.valid_max


def test_a_configuration_adds_to_the_defaults(tmp_path: Path):
    """A file names what differs; other tests of the variable, and other variables, stay."""
    file = tmp_path / "qc.yaml"
    file.write_text("variables:\n  water_temperature:\n    spike: {suspect: 1}\nlocation: {bbox: [5, 40, 15, 50]}\n")
    config = load_config(file)
    assert config.variables["water_temperature"].spike == Spike(suspect=1)
    before = default_config().variables["water_temperature"]
    assert config.variables["water_temperature"].rate_of_change == before.rate_of_change
    assert config.variables["ph"] == default_config().variables["ph"]
    assert config.location.bbox == (5, 40, 15, 50)
    file.write_text("")
    assert load_config(file) == default_config()


@pytest.mark.parametrize(
    "text",
    [
        "variables: [1]",
        "unknown: 1",
        "- 1",
        "a: &x [1]\nb: *x",
        "a: [[[[[[[[[[1]]]]]]]]]]",
        "a: '",
        "1: 2",
        "variables: {ph: {gross_range: {fail: [9, 1]}}}",
        "variables: {ph: {gross_range: {fail: [1, 9], suspect: [0, 5]}}}",
        "variables: {ph: {spike: {suspect: .nan}}}",
        "variables: {ph: {flat_line: {suspect_hours: -1}}}",
        "\x00",
        "a: !!python/object:os.system x",
    ],
)
def test_a_wrong_configuration_is_told(tmp_path: Path, text: str):
    """Unknown fields, spans upside down, references, tags and what is no YAML: one class of error."""
    file = tmp_path / "qc.yaml"
    file.write_text(text)
    with pytest.raises(InputError):
        load_config(file)


def test_a_huge_or_absent_configuration_is_refused(tmp_path: Path):
    """A file of more than a mebibyte is not parsed; one that is not there is told."""
    file = tmp_path / "qc.yaml"
    with pytest.raises(AssetError):
        load_config(file)
    file.write_text("#" * (1 << 20) + "\n")
    with pytest.raises(HostileInputError):
        load_config(file)
    with pytest.raises(InputError):
        parse_yaml("a: [" + "1," * 100_001 + "]", where="x")


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.text(max_size=60), st.text("{}[]:,-&*!|>#'\" \n0a", max_size=40)))
def test_any_text_is_a_configuration_or_an_error_of_ours(text: str):
    """Whatever a file holds, no other error comes out."""
    with contextlib.suppress(InputError):
        assert isinstance(parse_yaml(text, where="x"), dict)


def test_flags_are_counted_and_joined():
    """Counts by flag; the worst of several tests is the flag, and all bad ones are named."""
    table = apply_flags(series([1.0, 2.0]), {"one": np.array([3, 1], "uint8"), "two": np.array([4, 2], "uint8")})
    assert table["qc_tests"].tolist() == ["one:3,two:4", ""]
    assert counts(join([table, series([np.nan])])) == {"1": 1, "2": 0, "3": 0, "4": 1, "9": 1}


def test_a_table_that_is_none_is_refused():
    """The contract of the table is checked at the door."""
    with pytest.raises(InputError, match="table"):
        evaluate(empty().drop(columns="qc"))
