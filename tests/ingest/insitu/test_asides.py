"""Files beside measurements: what is a note, and what is data that must not be passed over."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.ingest.insitu.asides import is_aside
from terracube.ingest.insitu.mapping import parse_mapping

SPACED = parse_mapping(
    """
kind: csv
layout: {delimiter: " ", header: 2}
station: {column: Lake}
time: {column: Date, zone: UTC}
columns:
  - {column: TN, variable: tn, unit: mg/L}
"""
)
PROSE = "The buoy was laid out in May.\nIn summer, it drifted, we think.\nAsk before use.\n"


@pytest.mark.parametrize(
    ("name", "content", "aside"),
    [
        ("README", "x", True),
        ("ReadMe_first.txt", "a;b\n1;2\n", True),
        ("LICENCE.txt", "1. You may.\n2. You may not.\n", True),
        ("SOURCE.md", "", True),
        ("notes.txt", PROSE, True),
        ("empty.txt", "", True),
        ("map.png", "x", True),
        ("lakes.txt", "Lake;TN\nA;low\nB;high\n", False),
        ("levels.dat", "level\n1.5\n1.6\n1.7\n", False),
        ("source_water.txt", "site,tn\na,1\n", False),
        ("empty.csv", "", False),
        ("broken.nc", "x", False),
        ("broken.gpkg", "x", False),
        ("sites.txt", "agency_cd\tsite_no\tdec_lat_va\nUSGS\t1\t45\n", False),
    ],
)
def test_notes_and_data(tmp_path: Path, name: str, content: str, aside: bool):
    """Names, endings and columns tell; what a reader knows, and what ends as a table, is never passed over."""
    (tmp_path / name).write_text(content)
    assert is_aside(tmp_path / name, None) is aside
    assert is_aside(tmp_path / name, SPACED) is aside


def test_a_mapping_says_what_files_are(tmp_path: Path):
    """With one, a file of an unknown ending is read; without, it is no kind of file."""
    (tmp_path / "lakes.wsv").write_text("A 1\n")
    assert not is_aside(tmp_path / "lakes.wsv", SPACED)
    assert is_aside(tmp_path / "lakes.wsv", None)


def test_other_encodings_are_not_passed_over(tmp_path: Path):
    """Text of two bytes per letter may be a table."""
    (tmp_path / "lakes.txt").write_text("Lake;TN\n", encoding="utf-16")
    assert not is_aside(tmp_path / "lakes.txt", None)


@settings(max_examples=40, deadline=None)
@given(content=st.binary(max_size=200), suffix=st.sampled_from([".txt", ".dat", ".md", "", ".json"]))
def test_any_bytes_are_one_or_the_other(tmp_path_factory, content: bytes, suffix: str):
    """No content breaks the question."""
    path = tmp_path_factory.mktemp("a") / f"x{suffix}"
    path.write_bytes(content)
    assert is_aside(path, None) in (True, False)
