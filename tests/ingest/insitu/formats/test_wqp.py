"""Water Quality Portal: characteristics, species, censoring and times as the service tells them."""

from __future__ import annotations

import contextlib
import csv
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terracube.core.errors import AssetError, TerraCubeError
from terracube.ingest.insitu.formats import wqp
from terracube.ingest.insitu.formats._characteristics import find_characteristic
from terracube.ingest.insitu.mapping import Mapping, parse_mapping
from terracube.ingest.insitu.table import Observations, check

#: Of each fuzzing test; `make fuzz` asks for more.
EXAMPLES = int(os.environ.get("TERRACUBE_FUZZ", "40"))

LIMIT = "DetectionQuantitationLimitMeasure/MeasureValue"
CONDITION = "ResultDetectionConditionText"
BASE = {
    "MonitoringLocationIdentifier": "USGS-01412119",
    "ActivityIdentifier": "a1",
    "ActivityTypeCode": "Sample-Routine",
    "ActivityMediaName": "Water",
    "ActivityStartDate": "2011-05-09",
    "ActivityStartTime/Time": "12:20:00",
    "ActivityStartTime/TimeZoneCode": "EDT",
    "ActivityDepthHeightMeasure/MeasureValue": "",
    "ActivityDepthHeightMeasure/MeasureUnitCode": "",
    "CharacteristicName": "Chloride",
    "ResultSampleFractionText": "Dissolved",
    "ResultMeasureValue": "12.5",
    "ResultMeasure/MeasureUnitCode": "mg/l",
    "MeasureQualifierCode": "",
    "ResultStatusIdentifier": "Accepted",
    "ResultValueTypeName": "Actual",
    CONDITION: "",
    "DetectionQuantitationLimitTypeName": "",
    LIMIT: "",
    "DetectionQuantitationLimitMeasure/MeasureUnitCode": "",
    "ResultAnalyticalMethod/MethodName": "",
}


def _write(path: Path, *rows: dict[str, str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(BASE))
        writer.writeheader()
        writer.writerows([BASE | row for row in rows])


def _read(tmp_path: Path, *rows: dict[str, str], mapping: Mapping | None = None) -> Observations:
    path = tmp_path / "results.csv"
    _write(path, *rows)
    assert wqp.recognise(path)
    found = wqp.read(path, mapping)
    check(found.table)
    return found


def test_one_result(tmp_path: Path) -> None:
    """A result is a row in UTC, in the canonical unit, with its method and line."""
    row = _read(tmp_path, {}).table.iloc[0]
    assert (row["variable"], row["value"], row["unit"], row["qc"]) == ("chloride", 12.5, "mg L-1", 1)
    assert row["time"] == pd.Timestamp("2011-05-09T16:20", tz="UTC")
    assert (row["method"], row["source"]) == ("Chloride, Dissolved", "results.csv:2")


def test_censored_results(tmp_path: Path) -> None:
    """Below and above a limit the value is the limit in the canonical unit; without one it is missing, never zero."""
    found = _read(
        tmp_path,
        {
            "ResultMeasureValue": "",
            CONDITION: "Not Detected",
            LIMIT: "20",
            "DetectionQuantitationLimitMeasure/MeasureUnitCode": "ug/l",
        },
        {"ResultMeasureValue": "", CONDITION: "Present Above Quantification Limit", LIMIT: "3"},
        {"ResultMeasureValue": "", CONDITION: "Not Detected"},
        {"ResultMeasureValue": "<0.5"},
        {"ResultMeasureValue": "", CONDITION: "Not Reported"},
    )
    table = found.table
    np.testing.assert_allclose(table["value"], [0.02, 3.0, np.nan, 0.5, np.nan])
    assert table["censored"].tolist() == ["<", ">", "<", "<", ""]
    assert table["qc"].tolist() == [1, 1, 9, 1, 9]
    assert [(issue.row, issue.action) for issue in found.issues if issue.row] == [(4, "flagged")]


def test_species_make_the_variable(tmp_path: Path) -> None:
    """Nitrate as N and as NO3 are two variables; without a species the rows are told and left out."""
    found = _read(
        tmp_path,
        {"CharacteristicName": "Nitrate", "ResultMeasure/MeasureUnitCode": "mg/l as N"},
        {"CharacteristicName": "Nitrate", "ResultMeasure/MeasureUnitCode": "mg/l asNO3"},
        {"CharacteristicName": "Nitrate"},
        {
            "CharacteristicName": "Phosphorus",
            "ResultSampleFractionText": "Total",
            "ResultMeasure/MeasureUnitCode": "ug/l",
        },
        {"CharacteristicName": "Phosphorus", "ResultSampleFractionText": ""},
    )
    assert found.table["variable"].tolist() == ["no3_n", "no3", "tp"]
    np.testing.assert_allclose(found.table["value"], [12.5, 12.5, 0.0125])
    reasons = {issue.what for issue in found.issues if issue.action == "left out"}
    assert reasons == {"counted as what is not told (n, no3)", "neither total nor dissolved"}


@pytest.mark.parametrize(
    ("name", "fraction", "species", "unit", "expected"),
    [
        ("Turbidity", "", "", "NTU", "turbidity_ntu"),
        ("Turbidity", "", "", "FNU", "turbidity_fnu"),
        ("Turbidity", "", "", "NTRU", None),
        ("Ammonia and ammonium", "Filtered", "as NH4", "mg/L", "nh4"),
        ("Orthophosphate", "", "as P", "mg/L", "po4_p"),
        ("Organic carbon", "Dissolved", "", "mg/l", "doc"),
        ("Nitrogen", "Filtered, lab", "as N", "mg/L", "dtn"),
        ("Alkalinity", "", "", "mg/l CaCO3", "alkalinity_caco3"),
        ("Escherichia coli", "", "", "MPN/100mL", None),
    ],
)
def test_characteristics(name: str, fraction: str, species: str, unit: str, expected: str | None) -> None:
    """Name, fraction, species and unit make a variable, or none with a reason."""
    term, reason = find_characteristic(name, fraction, species, unit)
    assert (term.name if term else None) == expected
    assert bool(reason) == (expected is None)


def test_blanks_are_left_out_and_replicates_kept(tmp_path: Path) -> None:
    """Blanks and samples of sediment are no measurements of water; a replicate is one, marked."""
    found = _read(
        tmp_path,
        {},
        {"ActivityTypeCode": "Quality Control Sample-Field Blank"},
        {"ActivityTypeCode": "Quality Control Sample-Field Replicate", "ActivityIdentifier": "r9"},
        {"ActivityMediaName": "Sediment"},
    )
    assert found.table["replicate"].tolist() == ["", "r9"]
    told = [issue.value for issue in found.issues if issue.action == "left out"]
    assert told == ["Quality Control Sample-Field Blank (1 rows)", "Sediment (1 rows)"]


def test_times(tmp_path: Path) -> None:
    """Zone codes are those of the service; an unknown one needs the mapping; a day alone is told."""
    rows = [
        {"ActivityStartTime/TimeZoneCode": "CST"},
        {"ActivityStartTime/TimeZoneCode": "XYZ"},
        {"ActivityStartTime/TimeZoneCode": ""},
        {"ActivityStartTime/Time": "", "ActivityStartTime/TimeZoneCode": ""},
        {"ActivityStartDate": "2011-02-30"},
    ]
    found = _read(tmp_path, *rows)
    assert found.table["time"].astype(str).tolist() == ["2011-05-09 18:20:00+00:00", "2011-05-09 00:00:00+00:00"]
    assert found.table["qc_tests"].tolist() == ["", "day_only"]
    lost = sorted((issue.row, issue.action) for issue in found.issues if issue.row)
    assert lost == [(3, "left out"), (4, "left out"), (6, "left out")]
    told = _read(tmp_path, *rows, mapping=parse_mapping("{kind: wqp, time: {zone: '-05:00'}}"))
    assert len(told.table) == 4


def test_flags_and_depth(tmp_path: Path) -> None:
    """Estimated is suspect, rejected failed; depth comes in metres; a reference to no length is told."""
    depth, unit = "ActivityDepthHeightMeasure/MeasureValue", "ActivityDepthHeightMeasure/MeasureUnitCode"
    found = _read(
        tmp_path,
        {"ResultValueTypeName": "Estimated", depth: "10", unit: "ft"},
        {"ResultStatusIdentifier": "Rejected", depth: "2", unit: "m"},
        {"ResultStatusIdentifier": "Preliminary", depth: "2", unit: "kg"},
        {"MeasureQualifierCode": "[E];[x]"},
    )
    assert found.table["qc"].tolist() == [3, 4, 2, 3]
    np.testing.assert_allclose(found.table["depth"], [3.048, 2, np.nan, np.nan])
    assert any(issue.row == 4 and "no depth" in issue.what for issue in found.issues)


def test_positions_from_the_list_of_sites(tmp_path: Path, data_dir: Path) -> None:
    """A list of sites beside the results gives names and positions in WGS 84."""
    sites = (data_dir / "insitu" / "usgs-wqp" / "wqp_sites.txt").read_bytes()
    (tmp_path / "sites.csv").write_bytes(sites)
    row = _read(tmp_path, {}).table.iloc[0]
    assert row["station_name"] == "MUSKEE CREEK TRIBUTARY NEAR MANUMUSKIN, NJ"
    assert (row["lon"], row["lat"]) == (pytest.approx(-74.94350608, abs=1e-4), pytest.approx(39.31011485, abs=1e-4))


def test_old_and_new_columns_agree(data_dir: Path) -> None:
    """The same five samples in the old and in the new set of columns give the same times and values."""
    folder = data_dir / "insitu" / "usgs-wqp"
    old, new = (wqp.read(folder / name).table for name in ("wqp_results.txt", "wqp3_results.txt"))
    keys = ["station", "time", "variable", "value", "unit", "qc"]
    both = [table.sort_values("time")[keys].reset_index(drop=True) for table in (old, new)]
    pd.testing.assert_frame_equal(*both)
    assert new["lat"].iloc[0] == pytest.approx(43.102665, abs=1e-4)


def test_real_results(data_dir: Path) -> None:
    """Each of 67 real results is a row or told with a number; values and limits are those of the text."""
    path = data_dir / "insitu" / "usgs-wqp" / "samples_results.txt"
    found = wqp.read(path)
    check(found.table)
    left = sum(int(issue.value.rsplit("(", 1)[1].split()[0]) for issue in found.issues)
    told = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert len(found.table) + left == len(told) == 67
    lines = found.table["source"].str.rpartition(":")[2].astype(int) - 2
    source = told.iloc[lines].reset_index(drop=True)
    censored = (found.table["censored"] == "<").to_numpy()
    np.testing.assert_array_equal(censored, source["Result_ResultDetectionCondition"] == "Not Detected")
    assert censored.sum() == 3
    np.testing.assert_allclose(
        found.table["value"][censored], source["DetectionLimit_MeasureA"][censored].astype(float)
    )
    plain = ~censored & source["Result_MeasureUnit"].isin(["mg/L", "deg C", "uS/cm", "%"]).to_numpy()
    np.testing.assert_allclose(found.table["value"][plain], source["Result_Measure"][plain].astype(float))
    flow = (source["Result_MeasureUnit"] == "ft3/sec").to_numpy()
    np.testing.assert_allclose(found.table["value"][flow], source["Result_Measure"][flow].astype(float) * 0.3048**3)


def test_rows_of_another_length_are_told(tmp_path: Path) -> None:
    """A row with a field too many is told; later rows keep their line."""
    path = tmp_path / "r.csv"
    _write(path, {}, {}, {})
    lines = path.read_text().splitlines()
    lines[2] += ",surplus"
    path.write_text("\n".join(lines) + "\n")
    found = wqp.read(path)
    assert found.table["source"].tolist() == ["r.csv:2", "r.csv:4"]
    assert [issue.row for issue in found.issues if issue.row] == [3]


def test_nothing_usable(tmp_path: Path) -> None:
    """A table of other columns, and one whose rows are all left out, is refused."""
    path = tmp_path / "a.csv"
    path.write_text("lake,date\na,b\n")
    assert not wqp.recognise(path)
    with pytest.raises(AssetError):
        wqp.read(path)
    with pytest.raises(AssetError, match="no result can be used"):
        _read(tmp_path, {"CharacteristicName": "Zork"})


_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        name: st.one_of(
            st.text(max_size=12), st.sampled_from(["<1", "-1", "1e400", "as N", "mg/l", "NaN", "2011-05-09"])
        )
        for name in BASE
    },
)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(_FIELDS, max_size=4))
def test_any_fields(rows: list[dict[str, str]], tmp_path: Path) -> None:
    """Whatever stands in the fields, the table holds or the error is ours."""
    path = tmp_path / "r.csv"
    with path.open("w", newline="", encoding="utf-8", errors="replace") as stream:
        writer = csv.DictWriter(stream, list(BASE))
        writer.writeheader()
        writer.writerows([BASE | row for row in rows])
    with contextlib.suppress(TerraCubeError):
        check(wqp.read(path).table)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 900), insert=st.binary(max_size=60))
def test_any_bytes(cut: int, insert: bytes, tmp_path: Path) -> None:
    """Whatever bytes stand in a file, the table holds or the error is ours."""
    path = tmp_path / "r.csv"
    _write(path, {}, {})
    raw = path.read_bytes()
    path.write_bytes(raw[:cut] + insert + raw[cut:])
    assert wqp.recognise(path) in (True, False)
    with contextlib.suppress(TerraCubeError):
        check(wqp.read(path).table)
