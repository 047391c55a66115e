"""DIA and NOOS text: real gauges, small blocks by the format's description, and what must be refused."""

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
from terracube.ingest.insitu.formats import donar
from terracube.ingest.insitu.mapping import Mapping, parse_mapping
from terracube.ingest.insitu.table import check

#: Of each fuzzing test; `make fuzz` asks for more.
EXAMPLES = int(os.environ.get("TERRACUBE_FUZZ", "40"))

MET = parse_mapping("{kind: donar, time: {zone: '+01:00'}}")
HEAD = """[IDT;*DIF*;A;CENT;20190213]
[W3H]
WNS;1
PAR;WATHTE;Waterhoogte;J
CPM;10;Oppervlaktewater
EHD;I;cm
HDH;NAP;T.o.v. Normaal Amsterdams Peil
LOC;VLISSGN;Vlissingen;P;RD;3048000;38522000
ANA;F007;Gemiddelde
TYP;TE
[RKS]
TYD;20090101;0000;20090101;0300;60;min
[TPS]
STA;20090101;0000;20090101;0100;G
STA;20090101;0200;20090101;0300;O
[WRD]
"""
DIA = HEAD + "-124/0:12/25:\n999999999/99:-7/0:\n"


def _read(tmp_path: Path, text: str, mapping: Mapping | None = MET) -> pd.DataFrame:
    path = tmp_path / "a.dia"
    path.write_text(text, encoding="utf-8")
    assert donar.recognise(path)
    table = donar.read(path, mapping).table
    check(table)
    return table


def test_block_of_regular_values(tmp_path: Path) -> None:
    """Times from period and step in UTC, values in metres, flags by status and quality, a gap as a missing row."""
    table = _read(tmp_path, DIA)
    assert table["time"].tolist() == list(pd.date_range("2008-12-31T23:00", periods=4, freq="h", tz="UTC"))
    np.testing.assert_allclose(table["value"], [-1.24, 0.12, np.nan, -0.07])
    assert table["qc"].tolist() == [1, 2, 9, 2]
    assert table["qc_tests"].tolist() == ["", "interpolated:2", "", ""]
    assert table["original_value"].tolist() == ["-124", "12", "999999999", "-7"]
    assert table["source"].tolist() == ["a.dia:17", "a.dia:17", "a.dia:18", "a.dia:18"]
    assert set(table["method"]) == {"Gemiddelde; datum NAP"}


def test_zone_is_never_guessed(tmp_path: Path) -> None:
    """Without a zone in the mapping the file is refused; the same values in UTC lie an hour later."""
    with pytest.raises(MetadataError, match="time zone"):
        _read(tmp_path, DIA, None)
    table = _read(tmp_path, DIA, parse_mapping("{kind: donar, time: {zone: UTC}}"))
    assert table["time"].iloc[0] == pd.Timestamp("2009-01-01", tz="UTC")


def test_irregular_values(tmp_path: Path) -> None:
    """Values with times of their own, in Fortran's decimal comma; 2400 is the next midnight."""
    text = HEAD.replace("TYP;TE", "TYP;TN").replace("EHD;I;cm", "EHD;E;m3/s").replace("WATHTE;Waterhoogte", "Q;Debiet")
    table = _read(tmp_path, text + "20080101;1200;,236389E+01/0:20080101;2400;,5E+01/0:\n")
    assert set(table["variable"]) == {"discharge"}
    np.testing.assert_allclose(table["value"], [2.36389, 5.0])
    assert table["time"].iloc[1] == pd.Timestamp("2008-01-01T23:00", tz="UTC")


def test_predictions_are_not_measurements(tmp_path: Path) -> None:
    """Harmonic analysis gives predicted levels."""
    assert set(_read(tmp_path, DIA.replace("ANA;F007", "ANA;F012"))["variable"]) == {"water_level_predicted"}
    assert set(_read(tmp_path, DIA.replace("PAR;WATHTE", "PAR;WATHTBRKD"))["variable"]) == {"water_level_predicted"}


def test_one_bad_block_does_not_stop_the_rest(tmp_path: Path) -> None:
    """A block with too few values is refused, the next is read."""
    path = tmp_path / "a.dia"
    path.write_text(HEAD + "1/0:2/0:\n" + DIA.partition("\n")[2])
    found = donar.read(path, MET)
    assert len(found.table) == 4
    assert [(issue.action, issue.row) for issue in found.issues] == [("refused", 2)]
    assert "as many values" in found.issues[0].what


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("-7/0:", "", "not as many values"),
        ("EHD;I;cm", "EHD;I;zork", "unit"),
        ("PAR;WATHTE;Waterhoogte;J", "PAR;XYZ;Onzin", "vocabulary"),
        ("CPM;10;Oppervlaktewater", "CPM;80;Lucht", "surface water"),
        ("TYP;TE", "TYP;D4", "at a point"),
        ("20090101;0300;60;min", "20080101;0300;60;min", "as many values"),
        ("TYD;20090101", "TYD;20091301", "no period"),
        ("LOC;VLISSGN", "LOD;VLISSGN", "no station"),
    ],
)
def test_blocks_that_are_refused(old: str, new: str, what: str, tmp_path: Path) -> None:
    """What is missing or contradictory is told."""
    with pytest.raises(TerraCubeError, match=what):
        _read(tmp_path, DIA.replace(old, new))


def test_unknown_position_and_codes_are_told(tmp_path: Path) -> None:
    """A position in an unknown system stays unknown, an unknown quality is not evaluated."""
    path = tmp_path / "a.dia"
    path.write_text(DIA.replace(";RD;", ";QQ;").replace("-7/0", "-7/33"))
    found = donar.read(path, MET)
    assert found.table["lon"].isna().all()
    assert {issue.field for issue in found.issues} == {"LOC", "[WRD]"}
    assert found.table["qc_tests"].iloc[3] == "donar_quality_33:2"


@pytest.mark.parametrize(("name", "count"), [("VLISSGN_obs1.txt", 8760), ("HOEKVHLD_obs19.txt", 166_560)])
def test_real_dia(name: str, count: int, data_dir: Path) -> None:
    """Real files give as many values as their text holds, and their sum."""
    path = data_dir / "insitu" / "tide-gauges" / name
    table = donar.read(path, MET).table
    check(table)
    text = path.read_text(encoding="ascii").partition("[WRD]\n")[2].replace("\n", "")
    values = [int(item.partition("/")[0]) for item in text.removesuffix(":").split(":")]
    assert len(table) == len(values) == count
    np.testing.assert_allclose(table["value"], np.array(values) / 100)
    steps = np.diff(table["time"].dt.tz_localize(None).to_numpy())
    assert (steps == np.timedelta64(1, "h")).all()


def test_real_positions_agree(data_dir: Path) -> None:
    """Flushing in the Dutch grid (DIA) and in degrees (NOOS) is one place within 300 m; Dover lies on its coast."""
    folder = data_dir / "insitu" / "tide-gauges"
    dia = donar.read(folder / "VLISSGN_obs1.txt", MET).table.iloc[0]
    noos = donar.read(folder / "VLISSGN_waterlevel_20180101_20180401.noos").table
    check(noos)
    apart = np.hypot((dia["lon"] - noos["lon"][0]) * 69_400, (dia["lat"] - noos["lat"][0]) * 111_200)
    assert apart < 300
    dover = donar.read(folder / "DOVR_obs1.txt", MET).table.iloc[0]
    assert abs(dover["lon"] - 1.3167) < 0.002
    assert abs(dover["lat"] - 51.1167) < 0.002


def test_real_noos(data_dir: Path) -> None:
    """The real NOOS file reads row by row as it stands, in UTC."""
    path = data_dir / "insitu" / "tide-gauges" / "VLISSGN_waterlevel_20180101_20180401.noos"
    table = donar.read(path).table
    told = [line.split() for line in path.read_text(encoding="ascii").splitlines() if not line.startswith("#")]
    assert len(table) == len(told)
    assert table["time"].dt.strftime("%Y%m%d%H%M").tolist() == [time for time, _ in told]
    np.testing.assert_array_equal(table["value"], [float(value) for _, value in told])


@pytest.mark.parametrize("name", ["HOEKVHLD_ana.txt", "VLISSGN_ana.txt"])
def test_harmonic_constants_are_refused(name: str, data_dir: Path) -> None:
    """Lists of tidal components are recognised and refused by what they are."""
    path = data_dir / "insitu" / "tide-gauges" / name
    assert donar.recognise(path)
    with pytest.raises(MetadataError, match="harmonic constants"):
        donar.read(path)


NOOS = """# Location    : vlissingen
# Position    : (3.597577,51.443861)
# Source      : observed
# Unit        : waterlevel
# Timezone    : MET
201801010000   2.5000
20180101001030   N/A
201801010020   x
201802300000   1.0
"""


def test_noos_text(tmp_path: Path) -> None:
    """MET is an hour before UTC; a gap is a missing row; what is no row is told with its line."""
    path = tmp_path / "a.noos"
    path.write_text(NOOS)
    assert donar.recognise(path)
    found = donar.read(path)
    check(found.table)
    assert found.table["time"].astype(str).tolist() == ["2017-12-31 23:00:00+00:00", "2017-12-31 23:10:30+00:00"]
    assert found.table["qc"].tolist() == [2, 9]
    assert sorted(issue.row for issue in found.issues if issue.row) == [8, 9]
    assert "by the format's convention that is m" in found.notes[0]


@pytest.mark.parametrize(("old", "new"), [("MET", "CEST"), ("waterlevel", "zork"), ("vlissingen", "")])
def test_noos_that_tells_too_little(old: str, new: str, tmp_path: Path) -> None:
    """No zone, no known quantity or no station: refused."""
    path = tmp_path / "a.noos"
    path.write_text(NOOS.replace(old, new))
    with pytest.raises(MetadataError):
        donar.read(path)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.sampled_from(["", DIA, NOOS, HEAD]),
    cut=st.integers(0, 700),
    insert=st.one_of(st.binary(max_size=60), st.text("0123456789;:/,.-\n[]#WRDTYLOC ", max_size=60).map(str.encode)),
)
def test_any_text(start: str, cut: int, insert: bytes, tmp_path: Path) -> None:
    """Whatever stands in a file, it gives a table that holds or an error of ours."""
    path = tmp_path / "a.txt"
    raw = start.encode()
    path.write_bytes(raw[:cut] + insert + raw[cut:])
    assert donar.recognise(path) in (True, False)
    with contextlib.suppress(TerraCubeError):
        check(donar.read(path, MET).table)


def test_noos_zone_of_the_mapping(tmp_path: Path) -> None:
    """A header without a zone is read in the one that the mapping tells."""
    path = tmp_path / "a.noos"
    path.write_text(NOOS.replace("# Timezone    : MET\n", ""))
    assert donar.recognise(path)
    told = donar.read(path, parse_mapping("{kind: noos, time: {zone: Europe/Amsterdam}}")).table
    assert str(told["time"][0]) == "2017-12-31 23:00:00+00:00"


def test_encodings_are_never_guessed(tmp_path: Path) -> None:
    """A header in another encoding is refused until the mapping tells it."""
    path = tmp_path / "a.dia"
    path.write_bytes(DIA.replace("Vlissingen", "Fl\u00fcssingen").encode("cp1252"))
    with pytest.raises(MetadataError, match="UTF-8"):
        donar.read(path, MET)
    told = parse_mapping("{kind: donar, layout: {encoding: cp1252}, time: {zone: '+01:00'}}")
    assert donar.read(path, told).table["station_name"][0] == "Fl\u00fcssingen"


def test_absent_and_binary(tmp_path: Path) -> None:
    """No file and a binary one are refused."""
    (tmp_path / "b").write_bytes(b"[IDT;\0")
    for name in ("absent", "b"):
        with pytest.raises(AssetError):
            donar.read(tmp_path / name, MET)
