"""Exports: what others read is what was in the table, and the rules of each format are kept."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import logging
import sqlite3
from pathlib import Path

import geopandas as gpd
import hypothesis.strategies as st
import netCDF4
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings

from terracube.core.errors import EmptyResultError, InputError, StorageError
from terracube.ingest.insitu.discrete import natural_kind, write_netcdf
from terracube.ingest.insitu.export import export
from terracube.ingest.insitu.formats import netcdf
from terracube.ingest.insitu.parquet import read_partitions, write_partitions
from terracube.ingest.insitu.series import series
from terracube.ingest.insitu.spreadsheet import neutral, plain
from terracube.ingest.insitu.table import COLUMNS, empty, join, make
from terracube.ingest.insitu.vocabulary import vocabulary

CORE = [
    *("station", "station_name", "time", "lon", "lat", "depth", "variable", "value", "unit"),
    *("method", "replicate", "censored", "qc"),
]
START = np.datetime64("2020-06-01", "us")


def rows(variable, size=6, seed=1, **told):
    """Observations of one variable at station A, with flags."""
    draw = np.random.default_rng(seed)
    facts = {
        "station": "A",
        "station_name": "Lake Ä 纳木错",
        "time": START + np.arange(size).astype("m8[D]"),
        "lon": 10.5,
        "lat": 45.25,
        "qc": draw.choice([1, 2, 3, 4], size),
        "source": [f"a.csv:{row + 2}" for row in range(size)],
    }
    return make(variable=variable, unit=vocabulary()[variable].unit, value=draw.normal(5, 1, size), **{**facts, **told})


def casts(**told):
    """Profiles of three depths at two stations."""
    depths, name = {0.5: 1, 5.0: 2, 20.0: 3}, "water_temperature"
    return join([rows(name, seed=s, depth=d, station=n, **told) for d, s in depths.items() for n in "AB"])


MOVING = {"lon": np.arange(6.0), "lat": 40.0 + np.arange(6.0)}
TABLES = {
    "timeSeries": join(
        [rows("water_temperature"), rows("chlorophyll_a"), rows("ph", station="B", lon=np.nan, lat=np.nan)]
    ),
    "timeSeriesProfile": casts(),
    "trajectoryProfile": casts(**MOVING),
    "trajectory": join([rows("water_temperature", **MOVING), rows("practical_salinity", **MOVING)]),
    "profile": casts(station_name=""),
}


def read_back(path):
    """Rows that the reader finds, in one order."""
    found = netcdf.read(path)
    assert not found.issues
    return comparable(found.table)


def comparable(table):
    """The columns that every format carries, in one order of rows."""
    order = ["variable", "station", "time", "depth", "value", "censored", "qc", "method", "replicate"]
    return table[CORE].sort_values(order).reset_index(drop=True)


@pytest.mark.parametrize("kind", TABLES)
def test_netcdf_passes_the_compliance_checker(tmp_path: Path, kind: str):
    """Every geometry is without any complaint of the CF-1.11 checker, of whatever priority, in strict mode."""
    pytest.importorskip("compliance_checker", reason="compliance-checker is not installed, so CF is not checked")
    from compliance_checker.runner import CheckSuite, ComplianceChecker

    logging.disable(logging.WARNING)  # it tells of its own deprecated checkers
    CheckSuite.load_all_available_checkers()
    path = tmp_path / "x.nc"
    write_netcdf(TABLES[kind], path, kind=kind, title="Lakes", institution="The lake team")
    passed, broke = ComplianceChecker.run_checker(
        str(path), ["cf:1.11"], 0, "strict", output_filename=str(tmp_path / "x.json"), output_format="json"
    )
    logging.disable(logging.NOTSET)
    told = json.loads((tmp_path / "x.json").read_text())["cf:1.11"]
    complaints = [
        message
        for priority in ("high_priorities", "medium_priorities", "low_priorities")
        for check in told[priority]
        for message in check["msgs"]
    ]
    assert complaints == []
    assert passed
    assert not broke
    assert told["scored_points"] == told["possible_points"] > 100


@pytest.mark.parametrize("kind", [kind for kind in TABLES if kind != "profile"])
def test_netcdf_comes_back(tmp_path: Path, kind: str):
    """What the reader finds in the file is the table: places, times, depths, values, flags, to the bit."""
    table = TABLES[kind]
    assert write_netcdf(table, tmp_path / "x.nc") == kind == natural_kind(table)
    pd.testing.assert_frame_equal(read_back(tmp_path / "x.nc"), comparable(table))


def test_limits_units_and_gaps_come_back(tmp_path: Path):
    """Values beyond a limit, units that CF has not, methods and true gaps are read as they were; nothing is added."""
    marks = {"censored": ["<", "", ">", "", "<", ""], "qc": [1, 2, 3, 4, 1, 9]}
    value, gone = np.array([0.1, 3, 1000, 4, 0.3, np.nan]), {"censored": ["<"] * 2, "qc": [9, 9]}
    table = join(
        [
            *(rows(name, **marks).assign(value=value) for name in ("turbidity_ntu", "turbidity_fnu", "colour", "tp")),
            rows("alkalinity", station="B", method="titration", replicate="1"),
            rows("phycocyanin_fluorescence", 3, station="B", method="titration", replicate="2", censored=">"),
            rows("chlorophyll_a", 2, station="C", **gone).assign(value=np.nan),
            rows("ph", 4, station="C", depth=0.5),
        ]
    )
    write_netcdf(table, tmp_path / "x.nc")
    pd.testing.assert_frame_equal(read_back(tmp_path / "x.nc"), comparable(table))
    again = netcdf.read(tmp_path / "x.nc").table
    units = again.groupby("variable")["original_unit"].first()
    assert units[["turbidity_ntu", "turbidity_fnu", "colour", "tp"]].tolist() == ["NTU", "FNU", "PCU", "mg L-1"]
    write_netcdf(again, tmp_path / "y.nc")
    pd.testing.assert_frame_equal(read_back(tmp_path / "y.nc"), comparable(table))


@pytest.mark.parametrize("name", sorted(vocabulary()))
def test_every_word_of_the_vocabulary_comes_back(tmp_path: Path, name: str):
    """Whatever is measured, the reader knows it again, with its numbers to the bit."""
    table = rows(name)
    write_netcdf(table, tmp_path / "x.nc")
    pd.testing.assert_frame_equal(read_back(tmp_path / "x.nc"), comparable(table))


def test_marks_that_are_not_understood(tmp_path: Path):
    """Marks of limits without our meanings are told, and not believed."""
    write_netcdf(rows("tp", censored="<"), tmp_path / "x.nc")
    with netCDF4.Dataset(tmp_path / "x.nc", "a") as data:
        data["tp_censored"].flag_meanings = "measured something_else true_value_is_above"
    found = netcdf.read(tmp_path / "x.nc")
    assert [issue.field for issue in found.issues] == ["tp_censored"]
    assert (found.table["censored"] == "").all()


def test_a_profile_alone_comes_back(tmp_path: Path):
    """Profiles that stand alone are numbered within their station."""
    table = TABLES["profile"]
    write_netcdf(table, tmp_path / "x.nc", kind="profile")
    found = read_back(tmp_path / "x.nc")
    assert found["station"].iloc[0] == "A/1"
    assert sorted(found["value"]) == sorted(table["value"])
    with xr.open_dataset(tmp_path / "x.nc") as data:
        assert data["station"].attrs["standard_name"] == "platform_id"


def test_netcdf_tells_limits_methods_and_units(tmp_path: Path):
    """Censored values are told by a flag, methods and replicates by labels, the measured unit beside CF's."""
    table = join(
        [
            rows("turbidity_ntu", censored=["<", "", ">", "", "", ""], method="probe", replicate="1"),
            rows("turbidity_ntu", seed=2, method="probe", replicate="2"),
        ]
    )
    export(table, tmp_path / "x.nc", title="t")
    with xr.open_dataset(tmp_path / "x.nc") as data:
        assert data.sizes["obs"] == 12
        first = data.where(data["replicate"] == "1", drop=True)
        assert first["turbidity_ntu_censored"].values.tolist() == [1, 0, 2, 0, 0, 0]
        assert data["turbidity_ntu"].attrs["units"] == "1"
        assert data["turbidity_ntu"].attrs["measured_unit"] == "NTU"
        assert data.attrs["Conventions"] == "CF-1.11"
        assert data.attrs["title"] == "t"


def test_two_values_of_one_moment_are_both_kept(tmp_path: Path):
    """Contradictions and copies are observations of their own."""
    table = join([rows("ph"), rows("ph", seed=2), rows("ph")])
    write_netcdf(table, tmp_path / "x.nc")
    pd.testing.assert_frame_equal(read_back(tmp_path / "x.nc"), comparable(table))


def test_what_does_not_fit_is_refused(tmp_path: Path):
    """Stations that move are no time series, values without depth no profile; nothing is nothing."""
    with pytest.raises(InputError, match="trajectory"):
        write_netcdf(TABLES["trajectory"], tmp_path / "x.nc", kind="timeSeries")
    with pytest.raises(InputError, match="depth"):
        write_netcdf(TABLES["timeSeries"], tmp_path / "x.nc", kind="profile")
    with pytest.raises(InputError, match="no such kind"):
        write_netcdf(TABLES["timeSeries"], tmp_path / "x.nc", kind="grid")
    with pytest.raises(EmptyResultError):
        write_netcdf(empty(), tmp_path / "x.nc")
    with pytest.raises(InputError, match="format"):
        export(TABLES["timeSeries"], tmp_path / "x.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        export(TABLES["timeSeries"], tmp_path / "file" / "x.csv")
    assert not (tmp_path / "x.nc").exists()


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 500), size=st.integers(1, 25))
def test_any_table_comes_back_from_netcdf(tmp_path_factory, seed: int, size: int):
    """Stations, times, depths and places at random: whatever kind is natural, nothing is lost or moved."""
    draw = np.random.default_rng(seed)
    table = rows(
        "water_temperature",
        size,
        seed,
        station=draw.choice(["A", "B"], size),
        station_name="",
        time=START + draw.integers(0, 5, size).astype("m8[h]") + draw.integers(0, 3, size).astype("m8[us]"),
        depth=draw.choice([1.0, 2.5] if seed % 2 else [np.nan], size),
        lon=draw.choice([5.0, 6.0] if seed % 3 else [5.0], size),
    )
    path = tmp_path_factory.mktemp("nc") / "x.nc"
    write_netcdf(table, path)
    pd.testing.assert_frame_equal(read_back(path), comparable(table))


def test_csv_is_rfc_4180(tmp_path: Path):
    """One header, lines that end in CRLF, texts quoted where needed, times in UTC; a CSV reader finds the same."""
    table = rows("tp", station='A, "B"\nC', station_name="纳木错", depth=[np.nan, 0.1, 1 / 3, 1e-9, 5, 6])
    table.loc[1, "time"] = pd.Timestamp("2020-06-02T00:00:00.25Z")
    assert export(table, tmp_path / "x.csv") == "csv"
    raw = (tmp_path / "x.csv").read_bytes()
    assert raw.count(b"\r\n") == len(table) + 1
    told = list(csv.DictReader(io.StringIO(raw.decode("utf-8"), newline="")))
    assert list(told[0]) == list(COLUMNS)
    assert told[0]["station"] == 'A, "B"\nC'
    assert [row["time"] for row in told[:2]] == ["2020-06-01T00:00:00Z", "2020-06-02T00:00:00.250000Z"]
    assert [float(row["value"]) for row in told] == table["value"].tolist()
    assert told[0]["depth"] == ""
    assert float(told[2]["depth"]) == 1 / 3


def test_a_table_of_several_files_is_written(tmp_path: Path):
    """Out of a catalogue columns come in chunks, one per file: the lines are those of the table in one piece."""
    whole = join([rows("tp", depth=[np.nan, 1, 2, 3, 4, 5]), rows("ph", seed=2)])
    write_partitions(whole, tmp_path / "t")
    found = read_partitions(tmp_path / "t")
    assert found["station"].array._pa_array.num_chunks > 1
    export(found, tmp_path / "x.csv")
    export(join([found, found.iloc[:3]]), tmp_path / "y.csv")
    told = list(csv.DictReader(io.StringIO((tmp_path / "x.csv").read_bytes().decode(), newline="")))
    assert [row["station_name"] for row in told] == found["station_name"].tolist()
    assert [float(row["value"]) for row in told] == found["value"].tolist()
    assert len((tmp_path / "y.csv").read_bytes().splitlines()) == len(whole) + 4


def test_a_position_that_is_not_told_moves_nothing(tmp_path: Path):
    """A fixed site with rows without position is a time series, with the site's position; ``series`` has one too."""
    table = rows("tp", lon=[np.nan, 10.5, 10.5, np.nan, 10.5, 10.5], lat=[np.nan, 45, 45, np.nan, 45, 45])
    assert natural_kind(table) == "timeSeries"
    assert write_netcdf(table, tmp_path / "x.nc") == "timeSeries"
    with xr.open_dataset(tmp_path / "x.nc") as data:
        assert (data["lon"].values.tolist(), data["lat"].values.tolist()) == ([10.5], [45.0])
    assert series(table, "A", "tp", qc=(1, 2, 3, 4))["lon"].values.tolist() == 10.5
    moving = table.assign(lon=[np.nan, 10.5, 11.5, np.nan, 10.5, 10.5])
    assert natural_kind(moving) == "trajectory"
    with pytest.raises(InputError, match="several places"):
        write_netcdf(moving, tmp_path / "x.nc", kind="timeSeries")
    assert natural_kind(table.assign(lon=np.nan, lat=np.nan)) == "timeSeries"


def test_formulas_are_made_plain(tmp_path: Path):
    """No text of a delivery is computed by a spreadsheet; numbers stay numbers."""
    table = rows("tp", station=["=cmd|'/c calc'!A0", "+1-1", "-x", "@SUM(1)", "\tx", "'a"], original_value="-0.5")
    export(table, tmp_path / "x.csv")
    told = pd.read_csv(tmp_path / "x.csv", dtype=str)
    assert [text[0] for text in told["station"]] == ["'"] * 6
    assert [plain(text) for text in told["station"]] == table["station"].tolist()
    assert told["original_value"].tolist() == ["-0.5"] * 6


@given(st.text(max_size=20))
def test_neutral_is_undone_by_plain(text: str):
    """Whatever a text is, it can be had back, and is never a formula."""
    made = neutral(text)
    assert plain(made) == text or made == text
    assert not made.startswith(("=", "@", "\t", "\r"))


def test_geopackage_comes_back(tmp_path: Path):
    """Every column and every point; rows without position have an empty one."""
    table = TABLES["timeSeries"]
    assert export(table, tmp_path / "x.gpkg") == "gpkg"
    found = gpd.read_file(tmp_path / "x.gpkg", layer="observations")
    assert found.crs.to_epsg() == 4326
    assert len(found) == len(table)
    assert found["station"].tolist() == table["station"].tolist()
    assert found["value"].tolist() == table["value"].tolist()
    assert found["qc"].tolist() == table["qc"].tolist()
    assert (pd.to_datetime(found["time"], utc=True) == table["time"]).all()
    with contextlib.closing(sqlite3.connect(tmp_path / "x.gpkg")) as database:
        [moment] = database.execute("SELECT time FROM observations LIMIT 1").fetchone()
    assert moment.startswith("2020-06-01T00:00:00")
    assert moment.endswith("Z")
    known = table["lon"].notna()
    assert found.geometry[known].x.tolist() == table["lon"][known].tolist()
    assert (found.geometry[~known].isna() | found.geometry[~known].is_empty).all()


def test_tables_without_rows(tmp_path: Path):
    """CSV and GeoPackage of nothing hold the columns."""
    export(empty(), tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text().strip() == ",".join(COLUMNS)
    export(empty(), tmp_path / "x.gpkg")
    assert len(gpd.read_file(tmp_path / "x.gpkg")) == 0
