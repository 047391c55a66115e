"""`terracube insitu`: a survey goes in, is looked at, and comes out; each failure has its sentence and its code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from terracube.cli.exits import FAILED, NOTHING, PARTLY, REFUSED
from terracube.cli.insitu import insitu
from terracube.ingest.insitu.vocabulary import vocabulary
from terracube.stac import Catalog

MAPPING = """
kind: csv
about: {title: Lake survey}
station: {column: Lake}
time: {column: Date, zone: UTC}
position: {lon: Lon, lat: Lat, crs: EPSG:4326}
depth: {column: Depth}
columns:
  - {column: TN, variable: tn, unit: mg/L}
  - {column: NO3-N, variable: no3_n, unit: mg/L}
"""
SURVEY = """Lake,Date,Lon,Lat,Depth,TN,NO3-N
Namco,2019-08-20,90.6,30.7,0.5,0.5,0.1
Namco,2019-08-20,90.6,30.7,10,0.6,0.1
Namco,2020-08-20,90.6,30.7,0.5,0.6,0.9
Selinco,2019-08-25,88.9,31.8,0.5,0.7,<0.01
"""


@pytest.fixture
def survey(tmp_path: Path) -> Path:
    """A survey and its mapping."""
    (tmp_path / "lakes.yaml").write_text(MAPPING)
    path = tmp_path / "lakes.csv"
    path.write_text(SURVEY)
    return path


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """An empty catalogue."""
    return Catalog.create(tmp_path / "catalogue").root


@pytest.fixture
def filled(catalog: Path, survey: Path) -> Path:
    """A catalogue with the survey."""
    assert run("ingest", survey, "--mapping", survey.with_suffix(".yaml"), "--into", catalog).exit_code == 0
    return catalog


def run(*words: object) -> Result:
    """Run a command of the group."""
    result = CliRunner().invoke(insitu, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_survey_goes_in(catalog: Path, survey: Path):
    """What became of it is told, with what was doubted; the same again has nothing to do."""
    words = ("ingest", survey, "--mapping", survey.with_suffix(".yaml"), "--into", catalog)
    dry = run(*words, "--dry-run")
    assert "dry run" in dry.output
    assert Catalog.open(catalog).collections() == []
    first = run(*words)
    assert first.exit_code == 0
    assert "in        lake-survey" in first.output
    assert "issue: flagged" in first.output
    again = run(*words, "--json")
    assert again.exit_code == NOTHING
    assert json.loads(again.output)["already"] == ["lake-survey"]


def test_tests_are_configured(catalog: Path, survey: Path, tmp_path: Path):
    """Spans and tolerances come from files; a data set may be named."""
    (tmp_path / "qc.yaml").write_text("variables: {tn: {gross_range: {suspect: [0, 0.55]}}}\n")
    (tmp_path / "lab.yaml").write_text("relative: 0.5\n")
    options = ("--qc", tmp_path / "qc.yaml", "--tolerance", tmp_path / "lab.yaml", "--id", "mine")
    result = run("ingest", survey, "--mapping", survey.with_suffix(".yaml"), "--into", catalog, *options)
    assert result.exit_code == 0
    item = Catalog.open(catalog).get("mine", "insitu")
    assert item.properties["terracube:qc"]["3"] == 3
    assert item.properties["terracube:quality"] == "suspect"


def test_a_correction_needs_the_flag(filled: Path, survey: Path):
    """Another content under the same id is refused, and with --replace becomes the next version."""
    survey.write_text(SURVEY.replace("0.7", "0.8"))
    words = ("ingest", survey, "--mapping", survey.with_suffix(".yaml"), "--into", filled)
    refused = run(*words)
    assert refused.exit_code == REFUSED
    assert "--replace" in refused.output
    assert "replaced  lake-survey" in run(*words, "--replace").output


def test_a_bad_file_makes_it_partly(catalog: Path, survey: Path, tmp_path: Path):
    """The rest comes in, and the exit code says so."""
    (tmp_path / "bad.csv").write_bytes(b"\x00")
    result = run("ingest", survey, tmp_path / "bad.csv", "--mapping", survey.with_suffix(".yaml"), "--into", catalog)
    assert result.exit_code == PARTLY
    assert "bad.csv" in result.output


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("ingest", "absent.csv", "--into", "{catalog}"), REFUSED),
        (("ingest", "{survey}", "--mapping", "{survey}", "--into", "{catalog}"), REFUSED),
        (("ingest", "{survey}", "--into", "{catalog}"), REFUSED),
        (("ingest", "{survey}", "--into", "nowhere"), REFUSED),
        (("plot", "--catalog", "{catalog}", "--station", "Namco", "--out", "x.png"), REFUSED),
        (("plot", "--catalog", "{catalog}", "--out", "x.png"), REFUSED),
        (("export", "--catalog", "{catalog}", "--variable", "nitrogen", "--out", "x.csv"), REFUSED),
        (("export", "--catalog", "{catalog}", "--out", "x.csv"), NOTHING),
        (("describe", "absent.csv"), REFUSED),
    ],
)
def test_failures_are_told(catalog: Path, survey: Path, words: tuple[str, ...], code: int):
    """No traceback: a sentence, and the documented code."""
    result = run(*(word.format(catalog=catalog, survey=survey) for word in words))
    assert result.exit_code == code
    assert result.output


def test_pictures(filled: Path, tmp_path: Path):
    """A map, a series, one depth of it, profiles: each a PNG."""
    one = ("--station", "Namco", "--variable", "tn")
    for name, options in {
        "map": (),
        "series": one,
        "depth": (*one, "--depth", "0.5"),
        "profile": (*one, "--profile"),
    }.items():
        out = tmp_path / f"{name}.png"
        result = run("plot", "--catalog", filled, *options, "--out", out)
        assert result.exit_code == 0, result.output
        assert out.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("suffix", ["nc", "csv", "gpkg"])
def test_exports(filled: Path, tmp_path: Path, suffix: str):
    """By variable, station, box and period; the suffix is the format."""
    out = tmp_path / f"x.{suffix}"
    choice = ("--variable", "tn", "--station", "Namco", "--bbox", "90,30,91,31", "--datetime", "2019")
    result = run("export", "--catalog", filled, *choice, "--out", out)
    assert result.exit_code == 0, result.output
    assert "2 observations" in result.output
    assert out.stat().st_size > 0
    assert run("export", "--catalog", filled, "--out", tmp_path / "x.txt").exit_code == REFUSED
    if suffix == "nc":
        assert run("export", "--catalog", filled, "--kind", "profile", "--out", out).exit_code == 0


def test_a_full_disk_fails(filled: Path, tmp_path: Path):
    """What the system refuses is a failure, not a refusal of the input."""
    (tmp_path / "file").write_text("")
    assert run("export", "--catalog", filled, "--out", tmp_path / "file" / "x.csv").exit_code == FAILED


def test_variables_are_listed():
    """All, or those that a word may mean; as text or JSON."""
    everything = json.loads(run("variables", "--json").output)
    assert {one["name"] for one in everything} == set(vocabulary())
    assert "chlorophyll_a" in run("variables", "Chl-a").output
    assert "turbidity_ntu" in run("variables", "turbidity").output
    nothing = run("variables", "qwertz")
    assert (nothing.exit_code, nothing.output.strip()) == (NOTHING, "0 variables")


def test_a_draft_is_written(survey: Path, tmp_path: Path):
    """The draft of a mapping, with what is unsure; an existing file is never overwritten."""
    shown = run("describe", survey)
    assert shown.exit_code == 0
    assert "no3_n" in shown.output
    out = tmp_path / "draft.yaml"
    assert run("describe", survey, "--out", out).exit_code == 0
    assert "kind: csv" in out.read_text()
    assert run("describe", survey, "--out", out).exit_code == REFUSED
