"""Observations into a catalogue and out again: the same bytes, all of it or nothing, only what is asked for."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from terracube.core.digest import tree_sha256
from terracube.core.errors import AssetError, ConflictError, EmptyResultError, HostileInputError, InputError
from terracube.ingest.insitu.dataset import DataSet, SourceFile, place
from terracube.ingest.insitu.mapping import parse_mapping
from terracube.ingest.insitu.parquet import columns, read_partitions, write_partitions
from terracube.ingest.insitu.qc_config import QcConfig
from terracube.ingest.insitu.store import Judging, dataset_id, ingest_insitu, open_table, publish_dataset
from terracube.ingest.insitu.table import COLUMNS, Issue, check, empty, join, make
from terracube.stac import Catalog, to_query

MAPPING = parse_mapping(
    """
kind: csv
about: {title: Lake survey, licence: CC-BY-4.0, attribution: The lake team, doi: 10.1234/lakes, url: https://example.org}
station: {column: Lake}
time: {column: Date, zone: UTC}
position: {lon: Lon, lat: Lat, crs: EPSG:4326}
columns:
  - {column: TN, variable: tn, unit: mg/L}
  - {column: TP, variable: tp, unit: mg/L}
"""
)
SURVEY = """Lake,Date,Lon,Lat,TN,TP
Namco,2019-08-20,90.6,30.7,0.5,<0.01
Namco,2020-08-20,90.6,30.7,0.6,0.02
Selinco,2019-08-25,88.9,31.8,0.7,0.03
"""


def table(size=200, seed=1):
    """Observations of two variables, three stations, three years; some without position or value."""
    draw = np.random.default_rng(seed)
    values = np.where(draw.random(size) < 0.05, np.nan, draw.normal(5, 1, size))
    lon = np.where(draw.random(size) < 0.1, np.nan, draw.uniform(88, 92, size))
    return make(
        station=draw.choice(["A", "B", "纳木错"], size),
        time=np.datetime64("2018-06-01", "us") + draw.integers(0, 2 * 365 * 86400, size).astype("m8[s]"),
        lon=lon,
        lat=np.where(np.isnan(lon), np.nan, 31.0),
        depth=draw.choice([np.nan, 0.5, 10.0], size),
        variable=draw.choice(["tn", "ph"], size),
        value=values,
        unit="1",
        censored=draw.choice(["", "<"], size),
        source=[f"a.csv:{row}" for row in range(size)],
    )


def ordered(frame):
    """Rows in one order, to compare tables as sets."""
    return frame.sort_values(["source", "variable", "value"]).reset_index(drop=True)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """An empty catalogue."""
    return Catalog.create(tmp_path / "catalogue")


@pytest.fixture
def survey(tmp_path: Path) -> Path:
    """A small lake survey."""
    path = tmp_path / "survey.csv"
    path.write_text(SURVEY)
    return path


def test_what_is_written_is_read_back(tmp_path: Path):
    """Every row, column and type comes back; the partitions are named by variable and year."""
    rows = table()
    files = write_partitions(rows, tmp_path / "t")
    found = read_partitions(tmp_path / "t")
    check(found)
    pd.testing.assert_frame_equal(ordered(found), ordered(rows))
    assert {file.relative_to(tmp_path / "t").parts[0] for file in files} == {"variable=ph", "variable=tn"}
    assert {file.parts[-2] for file in files} == {"year=2018", "year=2019", "year=2020"}


def test_the_bytes_depend_on_the_rows_alone(tmp_path: Path):
    """Any order of rows gives the same files, with rows that are there twice too."""
    rows = join([table(), table().iloc[:20]])
    write_partitions(rows, tmp_path / "a")
    write_partitions(rows.sample(frac=1.0, random_state=3).reset_index(drop=True), tmp_path / "b")
    assert tree_sha256(tmp_path / "a") == tree_sha256(tmp_path / "b")


def test_files_are_geoparquet_for_others(tmp_path: Path):
    """geopandas reads each file, and the folder, with CRS, points, empty points and the covering box."""
    rows = table()
    files = write_partitions(rows, tmp_path / "t")
    frame = gpd.read_parquet(tmp_path / "t")
    assert len(frame) == len(rows)
    assert frame.crs.to_authority() == ("OGC", "CRS84")
    assert int(frame.geometry.is_empty.sum()) == int(rows["lon"].isna().sum())
    known = frame[~frame.geometry.is_empty]
    assert np.array_equal(known.geometry.x, known["lon"])
    within = gpd.read_parquet(files[0], bbox=(88, 30, 90, 32))
    assert (within["lon"] <= 90).all()
    assert 0 < len(within) < len(gpd.read_parquet(files[0]))
    told = json.loads(pq.read_schema(files[0]).metadata[b"geo"])
    assert told["version"] == "1.1.0"
    assert told["columns"]["geometry"]["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]


def test_no_position_at_all(tmp_path: Path):
    """A file without any position has no box, and reads; an empty table writes nothing."""
    rows = table(5).assign(lon=np.nan, lat=np.nan)
    files = write_partitions(rows, tmp_path / "t")
    assert "bbox" not in json.loads(pq.read_schema(files[0]).metadata[b"geo"])["columns"]["geometry"]
    assert gpd.read_parquet(files[0]).geometry.is_empty.all()
    assert write_partitions(empty(), tmp_path / "e") == []
    assert len(read_partitions(tmp_path / "e")) == 0
    assert place(rows) == (None, None)


def test_columns_are_described():
    """The table extension tells every column of the table and of the files."""
    names = [one["name"] for one in columns()]
    assert set(names) == {*COLUMNS, "geometry", "bbox", "year"}
    assert all(one["description"] and one["type"] for one in columns())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), size=st.integers(1, 60), west=st.floats(87, 92), start=st.integers(0, 800))
def test_asking_is_filtering(tmp_path_factory, seed, size, west, start):
    """What is asked for by variable, station, box and time is what a filter of the whole table gives."""
    rows = table(size, seed)
    folder = tmp_path_factory.mktemp("t")
    write_partitions(rows, folder)
    moment = pd.Timestamp(np.datetime64("2018-06-01") + np.timedelta64(start, "D")).tz_localize("UTC")
    found = read_partitions(
        folder, variables=["tn"], stations=["A", "纳木错"], bbox=(west, 30, 93, 32), start=moment.to_pydatetime()
    )
    chosen = rows[
        (rows["variable"] == "tn")
        & rows["station"].isin(["A", "纳木错"])
        & (rows["lon"] >= west)
        & (rows["time"] >= moment)
    ]
    pd.testing.assert_frame_equal(ordered(found), ordered(chosen))


def test_a_survey_comes_in(catalog: Catalog, survey: Path, validate_stac: Callable[[dict[str, Any]], None]):
    """One item, valid STAC with the table extension: place, time, licence, source, quality, counts."""
    report = ingest_insitu([survey], MAPPING, catalog)
    assert report.taken == ["lake-survey"]
    assert report.refused == []
    assert [entry.outcome for entry in report.entries] == ["taken"]
    item = catalog.get("lake-survey", "insitu")
    validate_stac(item.to_dict(transform_hrefs=False))
    told = item.properties
    assert told["table:row_count"] == 6
    assert told["table:primary_geometry"] == "geometry"
    assert told["terracube:variables"] == ["tn", "tp"]
    assert (told["terracube:stations"], told["terracube:censored"]) == (2, 1)
    assert (told["license"], told["sci:doi"]) == ("CC-BY-4.0", "10.1234/lakes")
    assert told["terracube:quality"] == "accepted"
    assert sum(told["terracube:qc"].values()) == 6
    [source] = told["terracube:sources"]
    assert (source["name"], source["size"]) == ("survey.csv", len(SURVEY))
    assert item.bbox == [88.9, 30.7, 90.6, 31.8]
    assert told["start_datetime"] == "2019-08-20T00:00:00Z"
    assert catalog.verify(item) == []
    assert any(link.rel == "cite-as" for link in item.links)


def test_the_table_comes_out(catalog: Catalog, survey: Path):
    """All, or by variable, station, box and period; values, limits and sources as delivered."""
    ingest_insitu([survey], MAPPING, catalog)
    found = open_table(catalog)
    check(found)
    assert len(found) == 6
    assert len(open_table(catalog.root, "tp")) == 3
    assert set(open_table(catalog, stations="Selinco")["station"]) == {"Selinco"}
    assert set(open_table(catalog, bbox="90,30,91,31")["station"]) == {"Namco"}
    assert len(open_table(catalog, "tn", datetime="2020")) == 1
    assert len(open_table(catalog, "ph")) == 0
    assert len(open_table(catalog, datasets="another")) == 0
    limit = found[found["censored"] == "<"].iloc[0]
    assert (limit["value"], limit["original_value"], limit["source"]) == (0.01, "<0.01", "survey.csv:2")


def test_only_what_is_needed_is_opened(catalog: Catalog, survey: Path):
    """A damaged file of another variable or year does not matter; a needed one is told."""
    ingest_insitu([survey], MAPPING, catalog)
    folder = catalog.root / "insitu" / "lake-survey" / "observations"
    for other in ("variable=tp/year=2019", "variable=tn/year=2020"):
        (folder / other / "part.parquet").write_bytes(b"PAR1 no more")
    assert len(open_table(catalog, "tn", datetime="2019")) == 2
    with pytest.raises(AssetError, match="observations cannot be read"):
        open_table(catalog, "tp")


def test_the_same_again_changes_nothing(catalog: Catalog, survey: Path):
    """Same bytes, mapping and tests: nothing is rewritten, not even a time stamp."""
    ingest_insitu([survey], MAPPING, catalog)
    before = {path: path.stat().st_mtime_ns for path in catalog.root.rglob("*.parquet")}
    report = ingest_insitu([survey], MAPPING, catalog)
    assert (report.already, report.taken, report.refused) == (["lake-survey"], [], [])
    assert {path: path.stat().st_mtime_ns for path in catalog.root.rglob("*.parquet")} == before


@pytest.mark.parametrize("changed", ["bytes", "mapping", "tests"])
def test_a_change_needs_the_flag(catalog: Catalog, survey: Path, changed: str):
    """Other bytes, mapping or tests are refused, and with the flag become the next version."""
    ingest_insitu([survey], MAPPING, catalog)
    mapping, judging = MAPPING, None
    if changed == "bytes":
        survey.write_text(SURVEY.replace("0.7", "0.8"))
    elif changed == "mapping":
        mapping = MAPPING.model_copy(update={"method": "filtered"})
    else:
        judging = Judging(qc=QcConfig(vocabulary_range=False))
    report = ingest_insitu([survey], mapping, catalog, judging=judging)
    assert [refusal.id for refusal in report.refused] == ["lake-survey"]
    assert "--replace" in report.refused[0].reason
    report = ingest_insitu([survey], mapping, catalog, judging=judging, replacing=True)
    assert report.replaced == ["lake-survey"]
    item = catalog.get("lake-survey", "insitu")
    assert item.properties["version"] == "2"
    assert catalog.verify(item) == []
    assert len(catalog.search(to_query(collections="insitu"))) == 1
    ingest_insitu([survey], MAPPING, catalog, replacing=True) if changed != "bytes" else None
    assert len(open_table(catalog)) == 6


def test_damage_is_repaired_by_the_same_delivery(catalog: Catalog, survey: Path):
    """A damaged copy is no "already": with the flag it is written anew."""
    ingest_insitu([survey], MAPPING, catalog)
    next(catalog.root.rglob("*.parquet")).write_bytes(b"")
    assert ingest_insitu([survey], MAPPING, catalog).refused != []
    assert ingest_insitu([survey], MAPPING, catalog, replacing=True).replaced == ["lake-survey"]
    assert catalog.verify(catalog.get("lake-survey", "insitu")) == []


def test_bad_files_are_refused_and_the_rest_comes_in(catalog: Catalog, survey: Path, tmp_path: Path):
    """What cannot be read is told with its reason, in the report, in the item, and again when nothing is new."""
    bad = tmp_path / "survey2.csv"
    bad.write_bytes(b"\x00\x01\x02")
    for outcome in ("taken", "already"):
        report = ingest_insitu([survey, bad], MAPPING, catalog)
        assert getattr(report, outcome) == ["lake-survey"]
        assert [Path(refusal.path).name for refusal in report.refused] == ["survey2.csv"]
        assert "another scene" not in report.refused[0].reason
    item = catalog.get("lake-survey", "insitu")
    assert item.properties["terracube:quality"] == "suspect"
    assert "survey2.csv was refused" in item.properties["terracube:quality_reasons"][0]


def test_nothing_usable_publishes_nothing(catalog: Catalog, tmp_path: Path):
    """Only bad files: all refused, no item, no collection."""
    bad = tmp_path / "bad.csv"
    bad.write_text("")
    report = ingest_insitu([bad], MAPPING, catalog)
    assert (report.taken, len(report.refused)) == ([], 1)
    assert catalog.collections() == []
    with pytest.raises(InputError, match="no such file"):
        ingest_insitu([tmp_path / "absent.csv"], MAPPING, catalog)
    with pytest.raises(InputError, match="no file"):
        ingest_insitu([], MAPPING, catalog)
    with pytest.raises(HostileInputError):
        ingest_insitu([bad], MAPPING, catalog, dataset="../x")


def test_a_dry_run_writes_nothing(catalog: Catalog, survey: Path):
    """It says what would be done."""
    assert ingest_insitu([survey], MAPPING, catalog, dry_run=True).taken == ["lake-survey"]
    assert catalog.collections() == []


def test_folders_and_copies(catalog: Catalog, tmp_path: Path):
    """A folder gives its files; one with the same bytes counts once, and is told; the order of paths is nothing."""
    folder = tmp_path / "in"
    (folder / ".hidden").mkdir(parents=True)
    (folder / ".hidden" / "x.csv").write_text("no table")
    (folder / "b.csv").write_text(SURVEY)
    (folder / "a.csv").write_text(SURVEY)
    (folder / "c.csv").write_text(SURVEY.replace("2019", "2017"))
    report = ingest_insitu([folder], MAPPING, catalog)
    assert (report.taken, report.refused) == (["lake-survey"], [])
    assert any("counts once" in note for note in report.notes["lake-survey"])
    assert len(open_table(catalog)) == 12
    again = ingest_insitu([folder / "c.csv", folder / "b.csv", folder / "a.csv"], MAPPING, catalog)
    assert again.already == ["lake-survey"]


NOTES = {
    "SOURCE.md": "# Where it is from\n\n- Source: example.org, commit 1\n",
    "README": "Read this first, it is short",
    "LICENSE": "Do what you like,\nbut say who made it.",
    "notes.txt": "We went out early.\nThe weather, as always, was fine, cold, dry.\nNobody fell in.\n",
    "mapping.yaml": "kind: csv\n",
    "photo.jpg": "\xff",
}


def test_notes_in_a_folder_are_passed_over(catalog: Catalog, tmp_path: Path):
    """What is no table in a folder is told and counts for nothing; what was named, and broken data, is refused."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.csv").write_text(SURVEY)
    for name, text in NOTES.items():
        (folder / name).write_text(text)
    report = ingest_insitu([folder], MAPPING, catalog)
    assert (report.taken, report.refused, report.quality) == (["lake-survey"], [], {})
    told = [note for note in report.notes["lake-survey"] if "passed over" in note]
    assert [Path(note.split(" is no table")[0]).name for note in told] == sorted(NOTES)
    item = catalog.get("lake-survey", "insitu")
    assert item.properties["terracube:quality"] == "accepted"
    assert [one["name"] for one in item.properties["terracube:sources"]] == ["a.csv"]
    (folder / "README").write_text("Another word")
    assert ingest_insitu([folder], MAPPING, catalog).already == ["lake-survey"]
    named = ingest_insitu([folder, folder / "README"], MAPPING, catalog, dry_run=True, dataset="other")
    assert [Path(one.path).name for one in named.refused] == ["README"]
    (folder / "broken.csv").write_text("")
    (folder / "b.txt").write_text("A;B\n1;2\n")
    broken = ingest_insitu([folder], MAPPING, catalog, dry_run=True, dataset="other")
    assert [Path(one.path).name for one in broken.refused] == ["b.txt", "broken.csv"]


def test_a_folder_of_notes_alone(catalog: Catalog, tmp_path: Path):
    """There is nothing to read then, which is said with the names."""
    (tmp_path / "README.md").write_text("x")
    with pytest.raises(InputError, match=r"README\.md"):
        ingest_insitu([tmp_path], None, catalog)


def test_what_was_left_out_is_counted(catalog: Catalog, survey: Path):
    """Rows without a time or a station are counted in the report, also when the data set is there already."""
    survey.write_text(SURVEY + "Yamdrok,never,90,29,0.1,0.1\n")
    for outcome in ("taken", "already"):
        report = ingest_insitu([survey], MAPPING, catalog)
        assert getattr(report, outcome) == ["lake-survey"]
        assert (report.left_out, report.as_dict()["left_out"]) == (1, 1)
    report = ingest_insitu([survey], MAPPING, catalog, dataset="again")
    assert "1 issue: left out" in report.notes["again"]
    survey.write_text(SURVEY)
    assert ingest_insitu([survey], MAPPING, catalog, dataset="whole").left_out == 0


def test_days_without_time_of_day_are_judged(catalog: Catalog, survey: Path):
    """They are good where the tests are passed, say so, and the share of bad ones is that of all observations."""
    survey.write_text(SURVEY + "".join(f"Namco,2019-09-{day:02d},90.6,30.7,0.5,0.02\n" for day in range(1, 20)))
    assert ingest_insitu([survey], MAPPING, catalog).taken == ["lake-survey"]
    found = open_table(catalog)
    assert set(found["qc"]) == {1}
    assert set(found["qc_tests"]) == {"day_only"}
    bad = found.assign(qc=np.array([3] * 2 + [2] * (len(found) - 2), "uint8"))
    assert DataSet("d", bad, (), "c" * 64).verdict() == ("accepted", [])
    worse = found.assign(qc=np.array([3] * 20 + [2] * (len(found) - 20), "uint8"))
    assert DataSet("d", worse, (), "c" * 64).verdict() == ("suspect", ["20 of 44 observations are suspect or failed"])


def test_archives_and_patterns(catalog: Catalog, tmp_path: Path):
    """Files within an archive come in, named by it; a hostile one is refused, and nothing of it is left."""
    with zipfile.ZipFile(tmp_path / "lakes.zip", "w") as archive:
        archive.writestr("2019/a.csv", SURVEY)
        archive.writestr("b.csv", SURVEY.replace("2019", "2018"))
        archive.writestr("2019/README.txt", "Read this")
    with zipfile.ZipFile(tmp_path / "lakes2.zip", "w") as archive:
        archive.writestr("../evil.csv", SURVEY)
    report = ingest_insitu([str(tmp_path / "lakes*.zip")], MAPPING, catalog)
    assert report.taken == ["lake-survey"]
    assert [Path(refusal.path).name for refusal in report.refused] == ["lakes2.zip"]
    assert [entry.input.partition("lakes.zip")[2] for entry in report.entries if entry.outcome == "taken"] == [
        "/2019/a.csv",
        "/b.csv",
    ]
    assert len(open_table(catalog)) == 12
    assert not list(catalog.root.rglob("evil.csv"))
    told = json.dumps(catalog.get("lake-survey", "insitu").to_dict(transform_hrefs=False))
    assert str(tmp_path) not in told.replace(str(catalog.root), "")


def test_issues_lie_beside_the_data(catalog: Catalog):
    """They are a table that no spreadsheet computes, with file and row."""
    rows = table(30)
    issues = (Issue("=cmd.csv", 3, "TN", "no number", "=1+1", "left out"),)
    data = DataSet(
        "d", rows, (SourceFile("a.csv", "ab" * 32, 3),), "c" * 64, issues=issues, about={"licence": "ask us"}
    )
    item = publish_dataset(data, catalog)
    path = Path(item.assets["issues"].get_absolute_href())
    with path.open(encoding="utf-8", newline="") as stream:
        told = list(csv.DictReader(stream))
    assert told[0]["source"] == "'=cmd.csv"
    assert told[0]["value"] == "'=1+1"
    assert item.properties["license"] == "other"
    assert item.properties["terracube:licence"] == "ask us"
    assert item.properties["terracube:issues"] == {"left out": 1}


def test_publishing_is_all_or_nothing(catalog: Catalog):
    """An id that is taken, or an empty table, leaves the catalogue as it was."""
    data = DataSet("d", table(10), (), "c" * 64)
    publish_dataset(data, catalog)
    with pytest.raises(ConflictError):
        publish_dataset(data, catalog)
    with pytest.raises(EmptyResultError):
        publish_dataset(DataSet("e", empty(), (), "c" * 64), catalog)
    assert catalog.count(to_query(collections="insitu")) == 1
    assert list((catalog.root / ".staging").iterdir()) == []


def test_places_are_trusted_and_narrow():
    """Doubted positions are left out; a box may cross the antimeridian; many points become their box."""
    told = {"station": "A", "variable": "ph", "value": 7.0, "unit": "1", "source": "a"}
    rows = make(lon=[10.0, 10.5, 0.0], lat=[5.0, 6.0, 0.0], **told)
    doubted = rows.assign(qc_tests=pd.Series(["", "", "location:3"], dtype=rows["qc_tests"].dtype))
    assert place(doubted)[1] == [10.0, 5.0, 10.5, 6.0]
    assert place(rows.iloc[:1])[0] == {"type": "Point", "coordinates": [10.0, 5.0]}
    draw = np.random.default_rng(1)
    lon, lat = draw.uniform(170, 190, 2000), draw.uniform(-5, 5, 2000)
    wide = make(lon=(lon + 180) % 360 - 180, lat=lat, **told)
    geometry, bbox = place(wide)
    assert geometry["type"] == "MultiPolygon"
    assert bbox[0] > 169
    assert bbox[2] < -169


def test_ids_of_data_sets():
    """From the title or the file; in letters that no folder has, a stable number."""
    assert dataset_id(MAPPING, []) == "lake-survey"
    assert dataset_id(None, [Path("b.nc"), Path("a_1.nc")]) == "a_1"
    chinese = MAPPING.model_copy(update={"about": MAPPING.about.model_copy(update={"title": "青藏高原湖泊"})})
    assert dataset_id(chinese, []) == dataset_id(chinese, [Path("x")])
    assert dataset_id(chinese, []).startswith("insitu-")


def test_real_files_come_in(catalog: Catalog, data_dir: Path):
    """Argo profiles and a tide gauge, as delivered, with their own flags, in one catalogue."""
    ingest_insitu([data_dir / "insitu/argo/aoml/13857/13857_prof.nc"], None, catalog)
    noos = data_dir / "insitu/tide-gauges/VLISSGN_waterlevel_20180101_20180401.noos"
    report = ingest_insitu([noos], None, catalog)
    items = catalog.search(to_query(collections="insitu"))
    assert len(items) + len(report.refused) == 2
    argo = open_table(catalog, "water_temperature")
    check(argo)
    assert argo["time"].dt.year.between(1997, 2001).all()
    assert set(argo["qc"]) <= {1, 2, 3, 4, 9}
    assert (argo["qc"] == 1).mean() > 0.8
