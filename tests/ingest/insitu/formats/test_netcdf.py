"""NetCDF: every discrete sampling geometry reads back as the observations that were written."""

from __future__ import annotations

import contextlib
import os
import time as clock
from collections.abc import Callable
from pathlib import Path

import netCDF4
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terracube.core.errors import AssetError, BudgetError, HostileInputError, MetadataError, TerraCubeError
from terracube.cubes.readers import netcdfguard
from terracube.ingest.insitu.formats import _nc, netcdf
from terracube.ingest.insitu.formats._flags import worst
from terracube.ingest.insitu.mapping import parse_mapping
from terracube.ingest.insitu.table import check

#: Of each fuzzing test; `make fuzz` asks for more.
EXAMPLES = int(os.environ.get("TERRACUBE_FUZZ", "40"))

STATIONS, LON, LAT = ["A1", "B2"], [10.0, -20.5], [50.0, 60.25]
FILL = -99.0
type Rows = list[tuple[str, int, float, float, float, float]]
"""Station, hour, longitude, latitude, depth, value."""


def _open(path: Path, feature: str, **dimensions: int | None) -> netCDF4.Dataset:
    data = netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC")
    data.setncatts({"featureType": feature, "Conventions": "CF-1.11"})
    for name, size in (*dimensions.items(), ("letters", 4)):
        data.createDimension(name, size)
    return data


def _put(
    data: netCDF4.Dataset,
    name: str,
    dimensions: tuple[str, ...],
    values: object,
    kind: str = "f8",
    **attributes: object,
) -> None:
    fill = attributes.pop("fill", None)
    variable = data.createVariable(name, kind, dimensions, fill_value=fill)
    variable.setncatts(attributes)
    variable[...] = values


def _ids(data: netCDF4.Dataset, name: str, dimension: str, ids: list[str], role: str) -> None:
    letters = netCDF4.stringtochar(np.array(ids, "S4"))
    _put(data, name, (dimension, "letters"), letters, "S1", cf_role=role)


def _places(data: netCDF4.Dataset, dimensions: tuple[str, ...], lon: object = LON, lat: object = LAT) -> None:
    _put(data, "lat", dimensions, lat, standard_name="latitude", units="degrees_north")
    _put(data, "lon", dimensions, lon, standard_name="longitude", units="degrees_east")


def _time(data: netCDF4.Dataset, dimensions: tuple[str, ...], hours: object) -> None:
    _put(data, "time", dimensions, hours, standard_name="time", units="hours since 2020-01-01 00:00:00", fill=FILL)


def _depth(data: netCDF4.Dataset, dimensions: tuple[str, ...], depths: object) -> None:
    _put(data, "z", dimensions, depths, standard_name="depth", units="m", positive="down", axis="Z", fill=FILL)


def _temperature(data: netCDF4.Dataset, dimensions: tuple[str, ...], values: object, coordinates: str) -> None:
    told = {"standard_name": "sea_water_temperature", "units": "degree_C", "coordinates": coordinates}
    _put(data, "temp", dimensions, values, "f4", fill=FILL, **told)


def _series(station: int, hours: list[int], first: float) -> Rows:
    return [(STATIONS[station], hour, LON[station], LAT[station], np.nan, first + n) for n, hour in enumerate(hours)]


def orthogonal_series(path: Path) -> Rows:
    """All stations share the times."""
    with _open(path, "timeSeries", station=2, time=3) as data:
        _ids(data, "id", "station", STATIONS, "timeseries_id")
        _places(data, ("station",))
        _time(data, ("time",), [0, 1, 2])
        _temperature(data, ("station", "time"), [[1, 2, 3], [4, 5, 6]], "lat lon")
    return _series(0, [0, 1, 2], 1) + _series(1, [0, 1, 2], 4)


def incomplete_series(path: Path) -> Rows:
    """Each station has its own times; the shorter is padded."""
    with _open(path, "timeSeries", station=2, obs=3) as data:
        _ids(data, "id", "station", STATIONS, "timeseries_id")
        _places(data, ("station",))
        _time(data, ("station", "obs"), [[0, 2, 4], [1, FILL, FILL]])
        _temperature(data, ("station", "obs"), [[1, 2, 3], [4, FILL, FILL]], "time lat lon")
    return _series(0, [0, 2, 4], 1) + _series(1, [1], 4)


def contiguous_series(path: Path) -> Rows:
    """The samples of a station follow each other."""
    with _open(path, "timeSeries", station=2, obs=5) as data:
        _ids(data, "id", "station", STATIONS, "timeseries_id")
        _places(data, ("station",))
        _put(data, "rows", ("station",), [3, 2], "i4", sample_dimension="obs")
        _time(data, ("obs",), [0, 1, 2, 5, 6])
        _temperature(data, ("obs",), [1, 2, 3, 4, 5], "time lat lon")
    return _series(0, [0, 1, 2], 1) + _series(1, [5, 6], 4)


def indexed_series(path: Path) -> Rows:
    """Each sample names its station."""
    with _open(path, "timeSeries", station=2, obs=4) as data:
        _ids(data, "id", "station", STATIONS, "timeseries_id")
        _places(data, ("station",))
        _put(data, "which", ("obs",), [0, 1, 0, 1], "i4", instance_dimension="station")
        _time(data, ("obs",), [0, 0, 1, 1])
        _temperature(data, ("obs",), [1, 4, 2, 5], "time lat lon")
    return _series(0, [0, 1], 1) + _series(1, [0, 1], 4)


def single_series(path: Path) -> Rows:
    """One station, told by scalars."""
    with _open(path, "timeSeries", time=2) as data:
        variable = data.createVariable("id", "S1", ("letters",))
        variable.cf_role = "timeseries_id"
        variable[:] = netCDF4.stringtochar(np.array("A1", "S4"))
        _places(data, (), LON[0], LAT[0])
        _time(data, ("time",), [0, 1])
        _temperature(data, ("time",), [1, 2], "lat lon id")
    return _series(0, [0, 1], 1)


def orthogonal_profile(path: Path) -> Rows:
    """All profiles share the depths."""
    with _open(path, "profile", profile=2, z=2) as data:
        _ids(data, "cast", "profile", STATIONS, "profile_id")
        _places(data, ("profile",))
        _time(data, ("profile",), [0, 6])
        _depth(data, ("z",), [1, 10])
        _temperature(data, ("profile", "z"), [[1, 2], [3, 4]], "time lat lon")
    return [(STATIONS[p], 6 * p, LON[p], LAT[p], d, 1 + 2 * p + k) for p in (0, 1) for k, d in enumerate((1, 10))]


def incomplete_profile(path: Path) -> Rows:
    """Each profile has its own depths; the shorter is padded."""
    with _open(path, "profile", profile=2, level=2) as data:
        _ids(data, "cast", "profile", STATIONS, "profile_id")
        _places(data, ("profile",))
        _time(data, ("profile",), [0, 6])
        _depth(data, ("profile", "level"), [[1, 10], [2, FILL]])
        _temperature(data, ("profile", "level"), [[1, 2], [3, FILL]], "time lat lon z")
    return [("A1", 0, 10, 50, 1, 1), ("A1", 0, 10, 50, 10, 2), ("B2", 6, -20.5, 60.25, 2, 3)]


def contiguous_profile(path: Path) -> Rows:
    """The levels of a profile follow each other."""
    with _open(path, "profile", profile=2, obs=3) as data:
        _ids(data, "cast", "profile", STATIONS, "profile_id")
        _places(data, ("profile",))
        _time(data, ("profile",), [0, 6])
        _put(data, "rows", ("profile",), [2, 1], "i4", sample_dimension="obs")
        _depth(data, ("obs",), [1, 10, 2])
        _temperature(data, ("obs",), [1, 2, 3], "time lat lon z")
    return [("A1", 0, 10, 50, 1, 1), ("A1", 0, 10, 50, 10, 2), ("B2", 6, -20.5, 60.25, 2, 3)]


def indexed_profile(path: Path) -> Rows:
    """Each level names its profile."""
    with _open(path, "profile", profile=2, obs=3) as data:
        _ids(data, "cast", "profile", STATIONS, "profile_id")
        _places(data, ("profile",))
        _time(data, ("profile",), [0, 6])
        _put(data, "which", ("obs",), [1, 0, 0], "i4", instance_dimension="profile")
        _depth(data, ("obs",), [2, 1, 10])
        _temperature(data, ("obs",), [3, 1, 2], "time lat lon z")
    return [("A1", 0, 10, 50, 1, 1), ("A1", 0, 10, 50, 10, 2), ("B2", 6, -20.5, 60.25, 2, 3)]


def gridded_series_of_profiles(path: Path) -> Rows:
    """Stations, times and depths as three dimensions."""
    with _open(path, "timeSeriesProfile", station=2, time=2, z=2) as data:
        _ids(data, "id", "station", STATIONS, "timeseries_id")
        _places(data, ("station",))
        _time(data, ("time",), [0, 1])
        _depth(data, ("z",), [1, 10])
        _temperature(data, ("station", "time", "z"), np.arange(8).reshape(2, 2, 2), "lat lon")
    return [
        (STATIONS[s], t, LON[s], LAT[s], d, 4 * s + 2 * t + k)
        for s in (0, 1)
        for t in (0, 1)
        for k, d in enumerate((1, 10))
    ]


def ragged_series_of_profiles(path: Path) -> Rows:
    """Levels belong to profiles by count, profiles to stations by index."""
    with _open(path, "timeSeriesProfile", station=2, profile=3, obs=5) as data:
        _ids(data, "id", "station", STATIONS, "timeseries_id")
        _places(data, ("station",))
        _put(data, "which", ("profile",), [0, 1, 0], "i4", instance_dimension="station")
        _put(data, "rows", ("profile",), [2, 1, 2], "i4", sample_dimension="obs")
        _time(data, ("profile",), [0, 3, 6])
        _depth(data, ("obs",), [1, 2, 1, 1, 2])
        _temperature(data, ("obs",), [1, 2, 3, 4, 5], "time lat lon z")
    first = [
        ("A1", hour, 10.0, 50.0, depth, value) for hour, depth, value in ((0, 1, 1), (0, 2, 2), (6, 1, 4), (6, 2, 5))
    ]
    return [*first, ("B2", 3, -20.5, 60.25, 1, 3)]


def contiguous_trajectory(path: Path) -> Rows:
    """Positions change with every sample."""
    with _open(path, "trajectory", trajectory=2, obs=3) as data:
        _ids(data, "id", "trajectory", STATIONS, "trajectory_id")
        _put(data, "rows", ("trajectory",), [2, 1], "i4", sample_dimension="obs")
        _places(data, ("obs",), [1, 2, 3], [4, 5, 6])
        _time(data, ("obs",), [0, 1, 2])
        _temperature(data, ("obs",), [1, 2, 3], "time lat lon")
    nan = np.nan
    return [("A1", 0, 1, 4, nan, 1), ("A1", 1, 2, 5, nan, 2), ("B2", 2, 3, 6, nan, 3)]


def trajectory_of_profiles(path: Path) -> Rows:
    """Profiles along a way: positions per profile, depths per level."""
    with _open(path, "trajectoryProfile", trajectory=1, profile=2, obs=3) as data:
        _ids(data, "id", "trajectory", ["A1"], "trajectory_id")
        _put(data, "which", ("profile",), [0, 0], "i4", instance_dimension="trajectory")
        _put(data, "rows", ("profile",), [1, 2], "i4", sample_dimension="obs")
        _places(data, ("profile",), [1, 2], [4, 5])
        _time(data, ("profile",), [0, 1])
        _depth(data, ("obs",), [1, 1, 2])
        _temperature(data, ("obs",), [1, 2, 3], "time lat lon z")
    return [("A1", 0, 1, 4, 1, 1), ("A1", 1, 2, 5, 1, 2), ("A1", 1, 2, 5, 2, 3)]


def points(path: Path) -> Rows:
    """Samples that belong to nothing: the station is the file."""
    with _open(path, "point", obs=2) as data:
        _places(data, ("obs",), [1, 2], [4, 5])
        _time(data, ("obs",), [0, 1])
        _depth(data, ("obs",), [0, 3])
        _temperature(data, ("obs",), [1, 2], "time lat lon z")
    return [(path.stem, 0, 1, 4, 0, 1), (path.stem, 1, 2, 5, 3, 2)]


WRITERS = [
    orthogonal_series, incomplete_series, contiguous_series, indexed_series, single_series, orthogonal_profile,
    incomplete_profile, contiguous_profile, indexed_profile, gridded_series_of_profiles, ragged_series_of_profiles,
    contiguous_trajectory, trajectory_of_profiles, points,
]  # fmt: skip


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_geometry_reads_back(write: Callable[[Path], Rows], tmp_path: Path) -> None:
    """Each geometry gives the station, time, place, depth and value of every observation, and no other row."""
    path = tmp_path / "one.nc"
    expected = pd.DataFrame(write(path), columns=["station", "hour", "lon", "lat", "depth", "value"]).astype(
        {"hour": "int64", "lon": float, "lat": float, "depth": float, "value": float}
    )
    assert netcdf.recognise(path)
    found = netcdf.read(path)
    check(found.table)
    since = found.table["time"].dt.tz_localize(None).to_numpy() - np.datetime64("2020-01-01", "us")
    table = found.table.assign(hour=since // np.timedelta64(1, "h"))
    table["station"] = table["station"].astype(object)
    keys = ["station", "hour", "depth"]
    got = table[list(expected.columns)].sort_values(keys).reset_index(drop=True)
    pd.testing.assert_frame_equal(got, expected.sort_values(keys).reset_index(drop=True), check_dtype=False)
    assert found.issues == ()
    assert set(table["variable"]) == {"water_temperature"}
    assert set(table["qc"]) == {2}


def _simple(path: Path, **attributes: object) -> netCDF4.Dataset:
    data = _open(path, "timeSeries", time=4)
    _places(data, (), 1.0, 2.0)
    _time(data, ("time",), [0, 1, 2, 3])
    return data


def test_source_names_the_cell(tmp_path: Path) -> None:
    """A row tells the cell it came from, the text of its number and its unit."""
    path = tmp_path / "one.nc"
    orthogonal_series(path)
    row = netcdf.read(path).table.iloc[4]
    assert (row["source"], row["original_value"], row["original_unit"]) == ("one.nc:station=1,time=1", "5", "degree_C")


@pytest.mark.parametrize("flagged", [False, True])
def test_missing_and_packed_values(flagged: bool, tmp_path: Path) -> None:
    """A hole is a row with qc 9 where a flag says so, else a note; packed values are unpacked; odd ones are suspect."""
    path = tmp_path / "packed.nc"
    with _simple(path) as data:
        packing = {"scale_factor": 0.1, "add_offset": 5.0, "valid_range": np.array([0, 1000], "i2")}
        variable = data.createVariable("temp", "i2", ("time",), fill_value=-1)
        variable.setncatts({"standard_name": "sea_water_temperature", "units": "degC", "coordinates": "lat lon"})
        variable.setncatts(packing)
        variable.set_auto_maskandscale(False)
        variable[:] = np.array([-1, 100, 5000, 20], "i2")
        if flagged:
            words = {"flag_values": np.array([2, 9], "i1"), "flag_meanings": "not_evaluated missing"}
            _put(data, "temp_qc", ("time",), [9, 2, 2, 2], "i1", **words)
    found = netcdf.read(path)
    check(found.table)
    first = [np.nan] * flagged
    np.testing.assert_allclose(found.table["value"], [*first, 15.0, 505.0, 7.0])
    assert found.table["qc"].tolist() == [9] * flagged + [2, 3, 2]
    assert found.table["qc_tests"].tolist() == [""] * flagged + ["", "valid_range:3", ""]
    assert [issue.action for issue in found.issues] == ["flagged"]
    assert len(found.notes) == 1 - flagged
    decoded = xr.open_dataset(path)["temp"].to_numpy()
    np.testing.assert_allclose(found.table["value"].to_numpy()[[flagged, flagged + 2]], decoded[[1, 3]])


def test_flags_by_their_meanings(tmp_path: Path) -> None:
    """Flags become QARTOD's by their words, of two the worse; an unknown word is told and not evaluated."""
    path = tmp_path / "flags.nc"
    with _simple(path) as data:
        _temperature(data, ("time",), [1, 2, 3, 4], "lat lon")
        data["temp"].ancillary_variables = "spike_test range_test"
        words = {"flag_values": np.array([1, 2, 3], "i1"), "flag_meanings": "good probably_bad fishy"}
        _put(data, "spike_test", ("time",), [1, 2, 3, 1], "i1", standard_name="spike_test_quality_flag", **words)
        words = {"flag_values": np.array([0, 4], "i1"), "flag_meanings": "pass fail"}
        _put(data, "range_test", ("time",), [0, 0, 0, 4], "i1", standard_name="gross_range_test_quality_flag", **words)
    found = netcdf.read(path)
    assert found.table["qc"].tolist() == [1, 3, 2, 4]
    assert found.table["qc_tests"].tolist() == ["", "spike_test:3", "", "range_test:4"]
    assert [issue.value for issue in found.issues] == ["fishy"]
    told = parse_mapping("{kind: netcdf, quality: {fishy: 3}}")
    assert netcdf.read(path, told).table["qc"].tolist() == [1, 3, 3, 4]


def test_worst_flag() -> None:
    """Fail is worse than suspect, suspect than not evaluated, not evaluated than good."""
    flags = [np.array([1, 1, 2, 3], "uint8"), np.array([2, 3, 3, 4], "uint8")]
    assert worst(flags).tolist() == [2, 3, 3, 4]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"standard_name": "depth", "units": "m", "positive": "down"}, 5.0),
        ({"standard_name": "depth", "units": "cm"}, 0.05),
        ({"standard_name": "height", "units": "m", "positive": "up"}, -5.0),
        ({"axis": "Z", "units": "m", "positive": "up"}, -5.0),
        ({"standard_name": "sea_water_pressure", "units": "dbar", "axis": "Z"}, 4.97244),
        ({"standard_name": "altitude", "units": "m", "positive": "up"}, np.nan),
    ],
)
def test_depth_is_positive_down(attributes: dict[str, str], expected: float, tmp_path: Path) -> None:
    """Depth follows the direction that the file tells; a pressure becomes a depth; an altitude is no depth."""
    path = tmp_path / "z.nc"
    with _simple(path) as data:
        _put(data, "z", (), 5.0, **attributes)
        _temperature(data, ("time",), [1, 2, 3, 4], "lat lon z")
    table = netcdf.read(path).table
    temperature = table[table["variable"] == "water_temperature"]
    np.testing.assert_allclose(temperature["depth"], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("units", "first"),
    [
        ("hours since 2020-01-01", "2020-01-01T00:00"),
        ("hours since 2020-01-01 00:00 +01:00", "2019-12-31T23:00"),
        ("hours since 2020-01-01T06:30:00Z", "2020-01-01T06:30"),
        ("hours since 2020-1-1 0:0:0 -5:30", "2020-01-01T05:30"),
        ("hr since 2020-01-01 UTC", "2020-01-01T00:00"),
    ],
)
def test_times_without_a_zone_are_utc(units: str, first: str, tmp_path: Path) -> None:
    """A unit of time is UTC unless it tells an offset."""
    path = tmp_path / "t.nc"
    with _simple(path) as data:
        data["time"].units = units
        _temperature(data, ("time",), [1, 2, 3, 4], "lat lon")
    assert netcdf.read(path).table["time"].iloc[0] == pd.Timestamp(first, tz="UTC")


def test_reference_dates_of_the_mixed_calendar() -> None:
    """Days since year 1 differ by two between the standard and the proleptic calendar, as everywhere."""
    days = np.array([737_426.0])
    standard = _nc.moments(days, "days since 0001-01-01", "standard", "t")[0]
    proleptic = _nc.moments(days, "days since 0001-01-01", "proleptic_gregorian", "t")[0]
    assert (proleptic - standard) == np.timedelta64(2, "D")
    assert standard == xr.coding.times.decode_cf_datetime(days, "days since 0001-01-01", "standard")[0]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda data: data["time"].setncattr("units", "months since 2020-01-01"), "no unit of time"),
        (lambda data: data["time"].setncattr("units", "hours since 2020-01-01 CET"), "no unit of time"),
        (lambda data: data["time"].setncattr("calendar", "360_day"), "a calendar without true dates"),
        (lambda data: data.setncattr("featureType", "grid"), "no discrete sampling geometry"),
        (lambda data: data["lat"].setncattr("standard_name", "longitude"), "two coordinates for lon"),
    ],
)
def test_contradictions_are_refused(change: Callable[[netCDF4.Dataset], None], what: str, tmp_path: Path) -> None:
    """What the metadata leave open or contradict is an error that says so."""
    path = tmp_path / "bad.nc"
    with _simple(path) as data:
        _temperature(data, ("time",), [1, 2, 3, 4], "lat lon")
        change(data)
    with pytest.raises(MetadataError, match=what):
        netcdf.read(path)


def test_direction_against_its_name(tmp_path: Path) -> None:
    """A depth that is said to grow upwards is refused."""
    path = tmp_path / "bad.nc"
    with _simple(path) as data:
        _put(data, "z", (), 5.0, standard_name="depth", units="m", positive="up")
        _temperature(data, ("time",), [1, 2, 3, 4], "lat lon z")
    with pytest.raises(MetadataError, match="contradict"):
        netcdf.read(path)


@pytest.mark.parametrize("counts", [[3, 9], [-1, 2]])
def test_counts_that_do_not_fit(counts: list[int], tmp_path: Path) -> None:
    """Counts of a ragged array must fit its samples."""
    path = tmp_path / "bad.nc"
    contiguous_series(path)
    with netCDF4.Dataset(path, "a") as data:
        data["rows"][:] = counts
    with pytest.raises(MetadataError, match="counts"):
        netcdf.read(path)


def test_index_outside(tmp_path: Path) -> None:
    """An index of a ragged array must name an instance."""
    path = tmp_path / "bad.nc"
    indexed_series(path)
    with netCDF4.Dataset(path, "a") as data:
        data["which"][0] = 7
    with pytest.raises(MetadataError, match="index"):
        netcdf.read(path)


def test_values_that_cannot_be_placed_are_told(tmp_path: Path) -> None:
    """A value without a time is left out with an issue; the others are read."""
    path = tmp_path / "lost.nc"
    with _simple(path) as data:
        data["time"][2] = FILL
        _temperature(data, ("time",), [1, 2, 3, 4], "lat lon")
    found = netcdf.read(path)
    assert found.table["value"].tolist() == [1, 2, 4]
    assert [(issue.field, issue.action) for issue in found.issues] == [("temp", "left out")]


def test_unknown_variables_are_told_and_can_be_mapped(tmp_path: Path) -> None:
    """A variable outside the vocabulary, or of an unfit unit, is told; the mapping can say what it is."""
    path = tmp_path / "words.nc"
    with _simple(path) as data:
        _temperature(data, ("time",), [1, 2, 3, 4], "lat lon")
        _put(data, "zork", ("time",), [1, 2, 3, 4], units="mg/L", coordinates="lat lon")
        _put(data, "salt", ("time",), [1, 2, 3, 4], units="kg", standard_name="sea_water_salinity")
        _put(data, "murk", ("time",), [1, 2, 3, 4], units="1", standard_name="sea_water_turbidity")
    found = netcdf.read(path)
    assert {issue.field for issue in found.issues} == {"zork", "salt", "murk"}
    told = parse_mapping("{kind: netcdf, columns: [{column: zork, variable: tn}]}")
    table = netcdf.read(path, told).table
    assert table[table["variable"] == "tn"]["value"].tolist() == [1, 2, 3, 4]


def test_impossible_positions_are_unknown(tmp_path: Path) -> None:
    """A latitude beyond the pole is no position; longitudes beyond 180 are brought west."""
    path = tmp_path / "p.nc"
    with _open(path, "trajectory", obs=2) as data:
        _places(data, ("obs",), [350.0, 3.0], [10.0, 95.0])
        _time(data, ("obs",), [0, 1])
        _temperature(data, ("obs",), [1, 2], "time lat lon")
    table = netcdf.read(path).table
    check(table)
    np.testing.assert_allclose(table["lon"], [-10.0, np.nan])


def test_netcdf4_reads_as_classic(tmp_path: Path) -> None:
    """The same content in NetCDF-4, with strings, gives the same table."""
    path, other = tmp_path / "a.nc", tmp_path / "b" / "a.nc"
    other.parent.mkdir()
    orthogonal_series(path)
    with netCDF4.Dataset(other, "w") as data:
        data.featureType = "timeSeries"
        data.createDimension("station", 2)
        data.createDimension("time", 3)
        names = data.createVariable("id", str, ("station",))
        names.cf_role = "timeseries_id"
        names[:] = np.array(STATIONS, dtype=object)
        _places(data, ("station",))
        _time(data, ("time",), [0, 1, 2])
        _temperature(data, ("station", "time"), [[1, 2, 3], [4, 5, 6]], "lat lon")
    pd.testing.assert_frame_equal(netcdf.read(path).table, netcdf.read(other).table)


def test_size_is_known_before_it_is_read(tmp_path: Path) -> None:
    """A file of a few kilobytes that claims a billion cells is refused."""
    path = tmp_path / "huge.nc"
    with netCDF4.Dataset(path, "w") as data:
        data.featureType = "timeSeries"
        data.createDimension("time", 1_000_000_000)
        time = data.createVariable("time", "f8", ("time",), chunksizes=(1000,))
        time.units = "seconds since 2020-01-01"
        temp = data.createVariable("temp", "f4", ("time",), chunksizes=(1000,))
        temp.setncatts({"units": "degC", "standard_name": "sea_water_temperature"})
    with pytest.raises(BudgetError, match="cells"):
        netcdf.read(path)


@pytest.mark.parametrize(
    "name", ["http://example.org/a.nc", "https:/example.org/a.nc#mode=bytes", "absent.nc", "a\0b.nc"]
)
def test_only_local_files(name: str) -> None:
    """An address of a server, a file that is not there and no name at all are no files."""
    assert not netcdf.recognise(Path(name))
    with pytest.raises(AssetError):
        netcdf.read(Path(name))


def test_truncated_files(tmp_path: Path) -> None:
    """A file cut anywhere is refused, never read in part and never fatal."""
    path, cut = tmp_path / "a.nc", tmp_path / "cut.nc"
    orthogonal_series(path)
    raw = path.read_bytes()
    for size in range(0, len(raw) - 4, 13):
        cut.write_bytes(raw[:size])
        with pytest.raises(TerraCubeError):
            netcdf.read(cut)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), min_size=1, max_size=8))
def test_damaged_headers(changes: list[tuple[int, int]], tmp_path: Path) -> None:
    """Whatever bytes of a header are changed, it is read or refused in our words."""
    path = tmp_path / "a.nc"
    orthogonal_series(path)
    raw = bytearray(path.read_bytes())
    for place, value in changes:
        raw[place % len(raw)] = value
    path.write_bytes(bytes(raw))
    assert netcdf.recognise(path) in (True, False)
    with contextlib.suppress(TerraCubeError):
        check(netcdf.read(path).table)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.sampled_from([b"", b"CDF\x01", b"CDF\x02", b"CDF\x05"]), rest=st.binary(max_size=300))
def test_arbitrary_bytes(start: bytes, rest: bytes, tmp_path: Path) -> None:
    """Arbitrary bytes are refused in our words."""
    path = tmp_path / "x.nc"
    path.write_bytes(start + rest)
    with pytest.raises(TerraCubeError):
        netcdf.read(path)


@pytest.mark.skipif(os.name != "posix", reason="needs a fifo")
def test_hdf5_that_is_none(tmp_path: Path) -> None:
    """The signature of HDF5 followed by nonsense is refused, and a fifo is no file."""
    path = tmp_path / "x.nc"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(range(256)))
    with pytest.raises(AssetError):
        netcdf.read(path)
    os.mkfifo(tmp_path / "pipe.nc")
    began = clock.monotonic()
    assert not netcdf.recognise(tmp_path / "pipe.nc")
    assert clock.monotonic() - began < 60


def test_hdf5_that_never_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged file on which the library runs for ever is refused in time, and asked once."""
    monkeypatch.setattr(netcdfguard, "_SECONDS", 2.0)
    path = Path(__file__).parent / "crashers" / "endless-hdf5.nc"
    assert not netcdf.recognise(path)
    with pytest.raises(HostileInputError, match="in time"):
        netcdf.read(path)
