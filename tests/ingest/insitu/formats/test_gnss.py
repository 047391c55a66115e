"""GNSS series: files written by the producers' descriptions read back as the displacements they hold."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terracube.core.errors import AssetError, MetadataError, TerraCubeError
from terracube.ingest.insitu.formats import gnss
from terracube.ingest.insitu.table import check

TENV3_HEADER = (
    "site YYMMMDD yyyy.yyyy __MJD week d reflon _e0(m) __east(m) ____n0(m) _north(m) u0(m) ____up(m) _ant(m) "
    "sig_e(m) sig_n(m) sig_u(m) __corr_en __corr_eu __corr_nu _latitude(deg) _longitude(deg) __height(m)\n"
)
TENV3 = (
    "COVE 10JUL28 2010.5708 55405 1594 3 -112.8  -3815 -0.638876   4276712  0.811250  1687  0.349158  0.1800 "
    "0.000902 0.000992 0.004512  0.091352 -0.536983  0.041338  38.6235432767 -112.8438158344  1687.34916\n"
    "COVE 10JUL29 2010.5736 55406 1594 4 -112.8  -3815 -0.637876   4276712  0.809250  1687  0.359158  0.1800 "
    "9.999990 0.000992 0.004512  0.091352 -0.536983  0.041338  38.6235432767 -112.8438158344  1687.34916\n"
    "COVE 10JUL30 2010.5763 55407 1594 5 -112.8  -3816  0.361124   4276712  0.811250  1687  0.349158  0.1800 "
    "0.000902 0.000992 0.004512  0.091352 -0.536983  0.041338  38.6235432767 -112.8438158344  1687.34916\n"
)

#: Of each fuzzing test; `make fuzz` asks for more.
EXAMPLES = int(os.environ.get("TERRACUBE_FUZZ", "40"))
POS = """PBO Station Position Time Series. Reference Frame : IGS14
Format Version: 1.1.0
4-character ID: P087
Station name  : CortezRangNV2006
First Epoch   : 20220612 120000
Last Epoch    : 20220613 120000
Release Date  : 20220629 184027
XYZ Reference position : -2155505.08986 -4365309.68601  4110324.89307 (IGS14)
NEU Reference position :   40.3632056784  243.7207352614 2358.39506 (IGS14/WGS84)
Start Field Description
YYYYMMDD      Year, month, day for the given position epoch
HHMMSS        Hour, minute, second for the given position epoch
JJJJJ.JJJJJ   Modified Julian day for the given position epoch
dN            Difference in North component from NEU reference position, meters
dE            Difference in East component from NEU reference position, meters
Soln          "rapid", "final"
End Field Description
*YYYYMMDD HHMMSS JJJJJ.JJJJ X Y Z Sx Sy Sz Rxy Rxz Ryz NLat Elong Height dN dE dU Sn Se Su Rne Rnu Reu Soln
 20220612 120000 59742.5000 -2155505.3 -4365309.6 4110324.8 0.003 0.005 0.005 0.8 -0.8 -0.9 40.36 243.72 2358.4 \
 0.00100 -0.00200 0.00300 0.00101 0.00102 0.00503 0.1 0.1 0.1 rapid
 20220613 120000 59743.5000 -2155505.3 -4365309.6 4110324.8 0.003 0.005 0.005 0.8 -0.8 -0.9 40.36 243.72 2358.4 \
 0.00200 -0.00400 0.00600 0.00101 0.00102 0.00503 0.1 0.1 0.1 final
"""


def _read(tmp_path: Path, text: str, name: str = "COVE.tenv3") -> pd.DataFrame:
    path = tmp_path / name
    path.write_text(text)
    assert gnss.recognise(path)
    table = gnss.read(path).table
    check(table)
    return table


def _of(table: pd.DataFrame, variable: str) -> pd.DataFrame:
    return table[table["variable"] == variable].reset_index(drop=True)


@pytest.mark.parametrize("header", ["", TENV3_HEADER])
def test_tenv3(header: str, tmp_path: Path) -> None:
    """Displacement runs on where the whole metres change; days stand at noon; with and without a header."""
    table = _read(tmp_path, header + TENV3)
    east = _of(table, "gnss_east")
    np.testing.assert_allclose(east["value"], [-638.876, -637.876, -638.876], atol=1e-6)
    assert set(east["unit"]) == {"mm"}
    assert east["time"].astype(str).tolist() == [f"2010-07-{day} 12:00:00+00:00" for day in (28, 29, 30)]
    np.testing.assert_allclose(_of(table, "gnss_north")["value"], [811.25, 809.25, 811.25], atol=1e-6)
    np.testing.assert_allclose(_of(table, "gnss_up_std")["value"], 4.512)
    assert table["station"].unique().tolist() == ["COVE"]
    assert (east["lon"][0], east["lat"][0]) == (pytest.approx(-112.8438158344), pytest.approx(38.6235432767))
    assert east["original_value"][2] == "-3816 + 0.361124"
    assert "meridian -112.8" in east["method"][0]


def test_too_large_errors_are_suspect(tmp_path: Path) -> None:
    """A standard deviation that could not be written makes its component of that day suspect, and nothing else."""
    table = _read(tmp_path, TENV3)
    assert _of(table, "gnss_east")["qc"].tolist() == [2, 3, 2]
    assert _of(table, "gnss_east")["qc_tests"].tolist() == ["", "formal_error:3", ""]
    assert set(_of(table, "gnss_north")["qc"]) == {2}


def test_short_tenv3_has_no_position(tmp_path: Path) -> None:
    """The older form of 20 columns tells no position; the frame may stand in the name of the file."""
    text = "".join(" ".join(line.split()[:20]) + "\n" for line in TENV3.splitlines())
    table = _read(tmp_path, text, "COVE.NA.tenv3")
    assert table["lon"].isna().all()
    assert table["method"].str.contains("frame NA").all()


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("10JUL29", "10JUL28", "YYMMMDD"),
        ("2010.5736", "2011.5736", "YYMMMDD"),
        ("55406", "99999", "YYMMMDD"),
        ("-0.637876", "nan", "east, north, up"),
        ("10JUL29 ", "10JUL29 x ", "row"),
    ],
)
def test_rows_that_contradict_themselves(old: str, new: str, field: str, tmp_path: Path) -> None:
    """A row whose dates differ, or that is no row, is left out with its line; the others are read."""
    path = tmp_path / "a.tenv3"
    path.write_text(TENV3_HEADER + TENV3.replace(old, new))
    found = gnss.read(path)
    assert len(_of(found.table, "gnss_up")) == 2
    assert [(issue.row, issue.field, issue.action) for issue in found.issues] == [(3, field, "left out")]


def test_a_change_of_the_meridian_is_told(tmp_path: Path) -> None:
    """Eastings from another meridian are no displacement: suspect."""
    first, second, third = TENV3.splitlines(keepends=True)
    table = _read(tmp_path, first + second + third.replace("-112.8 ", "-112.9 ", 1))
    assert _of(table, "gnss_east")["qc_tests"].tolist()[2] == "reference_meridian:3"


def test_pos(tmp_path: Path) -> None:
    """A PBO series gives its components, errors, frame, solution and place."""
    table = _read(tmp_path, POS, "P087.pos")
    np.testing.assert_allclose(_of(table, "gnss_north")["value"], [1.0, 2.0])
    np.testing.assert_allclose(_of(table, "gnss_east")["value"], [-2.0, -4.0])
    np.testing.assert_allclose(_of(table, "gnss_up_std")["value"], [5.03, 5.03])
    row = _of(table, "gnss_up").iloc[1]
    assert (row["station"], row["station_name"]) == ("P087", "CortezRangNV2006")
    assert row["time"] == pd.Timestamp("2022-06-13T12:00", tz="UTC")
    assert row["lon"] == pytest.approx(-116.2792647386)
    assert "frame IGS14" in row["method"]
    assert row["method"].endswith("solution final")


def test_pos_in_millimetres(tmp_path: Path) -> None:
    """The unit is the one that the header tells."""
    table = _read(tmp_path, POS.replace("position, meters", "position, millimeters"), "P087.pos")
    np.testing.assert_allclose(_of(table, "gnss_north")["value"], [0.001, 0.002])


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("Reference Frame : IGS14", "", "does not tell"),
        ("4-character ID: P087", "", "does not tell"),
        ("position, meters", "position", "does not tell"),
        ("40.3632056784", "140.36", "no reference position"),
        ("*YYYYMMDD", "YYYYMMDD", "names the columns"),
        (" dN dE dU", " a b c", "columns are missing"),
    ],
)
def test_pos_headers_that_tell_too_little(old: str, new: str, what: str, tmp_path: Path) -> None:
    """Frame, station, unit, position and columns must be told."""
    path = tmp_path / "a.pos"
    path.write_text(POS.replace(old, new))
    with pytest.raises(MetadataError, match=what):
        gnss.read(path)


def test_pos_day_against_mjd(tmp_path: Path) -> None:
    """A row whose day and Julian day differ is left out."""
    assert len(_of(_read(tmp_path, POS.replace("59743.5", "59744.5"), "P087.pos"), "gnss_up")) == 1


@pytest.mark.parametrize("text", ["", "site YYMMMDD\n", "lake,date\n", "PBO Station Position Time Series"])
def test_what_is_no_series(text: str, tmp_path: Path) -> None:
    """Empty, headless and other files are refused."""
    path = tmp_path / "a.txt"
    path.write_text(text)
    with pytest.raises((AssetError, MetadataError)):
        gnss.read(path)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.sampled_from(["", TENV3_HEADER + TENV3, TENV3, POS]),
    cut=st.integers(0, 1500),
    insert=st.one_of(st.binary(max_size=40), st.text("0123456789.-+eE \n*JULdNE", max_size=40).map(str.encode)),
)
def test_any_text(start: str, cut: int, insert: bytes, tmp_path: Path) -> None:
    """Whatever stands in a file, it gives a table that holds or an error of ours."""
    path = tmp_path / "a.txt"
    raw = start.encode()
    path.write_bytes(raw[:cut] + insert + raw[cut:])
    assert gnss.recognise(path) in (True, False)
    with contextlib.suppress(TerraCubeError):
        check(gnss.read(path).table)
