"""The page on measurements: what it shows is what works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from terracube.ingest.insitu.mapping import load_mapping, parse_mapping, ready_mappings
from terracube.ingest.insitu.read import read_observations
from terracube.ingest.insitu.store import ingest_insitu
from terracube.stac import Catalog

PAGE = Path(__file__).parents[3] / "docs" / "insitu.md"


def blocks(language: str) -> list[str]:
    """Give the blocks of the page that are written in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_mapping_reads_the_file_it_is_about(tmp_path: Path) -> None:
    """Semicolons, decimal commas, -999 for no value, Chinese local time, nitrate kept as its nitrogen."""
    (text,) = blocks("yaml")
    path = tmp_path / "lakes.csv"
    path.write_text(
        "Lake;Date;Longitude;Latitude;Chl-a;NO3;PO4-P\n"
        "NAM;20.08.2019 10:00;90,6;30,7;0,52;10;-999\n"
        "SLC;21.08.2019 18:00;88,9;31,8;1,5;<0,5;4,1\n"
    )
    found = read_observations(path, parse_mapping(text))
    assert not found.issues
    values = {
        (row.station, row.variable): (row.value, row.censored, row.qc) for row in found.table.itertuples(index=False)
    }
    assert values[("NAM", "chlorophyll_a")] == (0.52, "", 2)
    assert values[("NAM", "no3_n")][0] == pytest.approx(10 * 14.007 / 62.004)
    assert values[("NAM", "po4_p")][2] == 9
    assert values[("SLC", "no3_n")][1] == "<"
    assert values[("SLC", "po4_p")][0] == pytest.approx(0.0041)
    assert found.table.time.min().isoformat() == "2019-08-20T02:00:00+00:00"
    assert found.table.lon.tolist()[:2] == [90.6, 88.9]


def test_the_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a catalogue with one survey, the table and the series hold its values."""
    path = tmp_path / "lakes.csv"
    path.write_text("Lake,Date,Lon,Lat,TN\nNAM,2019-08-20,90.6,30.7,0.5\nNAM,2020-08-20,90.6,30.7,0.6\n")
    mapping = parse_mapping(
        "{kind: csv, station: {column: Lake}, time: {column: Date}, position: {lon: Lon, lat: Lat, crs: EPSG:4326}, "
        "columns: [{column: TN, variable: tn, unit: mg/L}]}"
    )
    ingest_insitu([path], mapping, Catalog.create(tmp_path / "catalog"))
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    assert names["table"].value.tolist() == [0.5]
    assert names["nitrogen"].values.tolist() == [0.5, 0.6]


def test_ready_mappings_that_are_named_are_there() -> None:
    """Each loads, and none is left out."""
    (line,) = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("Ready ones")]
    named = re.findall(r"[a-z0-9]+(?:-[a-z0-9]+)+", line.replace("--mapping ", ""))
    assert sorted(named) == sorted(ready_mappings())
    assert all(load_mapping(name).columns for name in named)
