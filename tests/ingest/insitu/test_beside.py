"""Files that hold no measurements, but complete those that do, belong to a data set and are not refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from terracube.ingest.insitu.access import open_table
from terracube.ingest.insitu.formats import wqp
from terracube.ingest.insitu.store import ingest_insitu
from terracube.stac import Catalog

_RESULTS = (
    "MonitoringLocationIdentifier,ActivityStartDate,ActivityStartTime/Time,ActivityStartTime/TimeZoneCode,"
    "ActivityTypeCode,ActivityMediaName,CharacteristicName,ResultSampleFractionText,ResultMeasureValue,"
    "ResultMeasure/MeasureUnitCode\n"
    'USGS-1,2020-06-01,12:00:00,UTC,Sample-Routine,Water,"Temperature, water",,12.5,deg C\n'
)
_SITES = (
    "MonitoringLocationIdentifier,MonitoringLocationName,LatitudeMeasure,LongitudeMeasure,"
    "HorizontalCoordinateReferenceSystemDatumName\nUSGS-{number},Lake {number},45.5,-90.25,WGS84\n"
)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """An empty catalogue."""
    return Catalog.create(tmp_path / "catalogue")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Results, the list of their site, and a list of another one."""
    made = tmp_path / "delivery"
    made.mkdir()
    (made / "results.csv").write_text(_RESULTS)
    (made / "sites_a.csv").write_text(_SITES.format(number=1))
    (made / "sites_b.csv").write_text(_SITES.format(number=2))
    return made


def test_a_reader_tells_what_completed_it(folder: Path) -> None:
    """Only the list that told a station of the file counts."""
    found = wqp.read(folder / "results.csv")
    assert found.table[["station_name", "lon", "lat"]].to_numpy().tolist() == [["Lake 1", -90.25, 45.5]]
    assert found.beside == (folder / "sites_a.csv",)


def test_a_list_that_completed_results_is_noted(folder: Path, catalog: Catalog) -> None:
    """It is a source of the data set and a note; a list that told nothing is refused, again and again."""
    for outcome in ("taken", "already"):
        report = ingest_insitu([folder], None, catalog, dataset="lakes")
        assert getattr(report, outcome) == ["lakes"]
        assert [Path(refusal.path).name for refusal in report.refused] == ["sites_b.csv"]
        entries = {Path(entry.input).name: entry.outcome for entry in report.entries}
        assert entries == {"results.csv": outcome, "sites_a.csv": outcome, "sites_b.csv": "refused"}
        if outcome == "taken":
            assert any(note.endswith("sites_a.csv completed other files") for note in report.notes["lakes"])
    sources = {one["name"]: one for one in catalog.get("lakes", "insitu").properties["terracube:sources"]}
    assert "refused" not in sources["sites_a.csv"]
    assert "refused" in sources["sites_b.csv"]


def test_lists_alone_are_refused(folder: Path, catalog: Catalog) -> None:
    """Without results nothing is completed."""
    (folder / "results.csv").unlink()
    report = ingest_insitu([folder], None, catalog, dataset="lakes")
    assert (report.taken, len(report.refused)) == ([], 2)


def test_a_delivery_of_the_portal(data_dir: Path, tmp_path: Path, catalog: Catalog) -> None:
    """Of real responses all come in but lists of sites of other stations; the notes on them are passed over."""
    shutil.copytree(data_dir / "insitu" / "usgs-wqp", tmp_path / "usgs", copy_function=shutil.copyfile)
    (tmp_path / "usgs").chmod(0o755)
    report = ingest_insitu([tmp_path / "usgs"], None, catalog, dataset="usgs")
    assert report.taken == ["usgs"]
    told = {Path(refusal.path).name: refusal.reason for refusal in report.refused}
    assert sorted(told) == ["nwis_sites.txt", "wqp_sites.txt"]
    assert all(reason.startswith("a list of sites, no measurements") for reason in told.values())
    assert any("SOURCE.md" in note and "passed over" in note for note in report.notes["usgs"])
    # Two services tell the same five samples, one of them without a position.
    again = open_table(catalog, stations="WIDNR_WQX-10032762")
    assert again["qc_tests"].value_counts().to_dict() == {"": 5, "copy": 5}


def test_a_real_list_that_completes(data_dir: Path, tmp_path: Path, catalog: Catalog) -> None:
    """The portal's own list of sites, beside results of one of its stations."""
    sites = (data_dir / "insitu" / "usgs-wqp" / "wqp_sites.txt").read_bytes()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "wqp_sites.txt").write_bytes(sites)
    (tmp_path / "in" / "results.txt").write_text(_RESULTS.replace("USGS-1,", "USGS-01412119,"))
    report = ingest_insitu([tmp_path / "in"], None, catalog, dataset="usgs")
    assert (report.taken, report.refused, report.quality) == (["usgs"], [], {})
    assert catalog.get("usgs", "insitu").bbox is not None
