"""NWIS: RDB text and WaterML as JSON, with remarks, qualifiers and zones."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terracube.core.errors import AssetError, MetadataError, TerraCubeError
from terracube.ingest.insitu.formats import nwis
from terracube.ingest.insitu.mapping import parse_mapping
from terracube.ingest.insitu.table import Observations, check
from terracube.ingest.insitu.units import convert
from terracube.ingest.insitu.vocabulary import term_named

#: Of each fuzzing test; `make fuzz` asks for more.
EXAMPLES = int(os.environ.get("TERRACUBE_FUZZ", "40"))

CFS = 0.3048**3
IV = """# U.S. Geological Survey
# Data provided for site 03177700
agency_cd\tsite_no\tdatetime\ttz_cd\t69512_00060\t69512_00060_cd\t69513_00010\t69513_00010_cd
5s\t15s\t20d\t6s\t14n\t10s\t14n\t10s
USGS\t03177700\t2019-02-14 00:00\tEST\t974\tA\t4.5\tP
USGS\t03177700\t2019-02-14 00:15\tEST\tIce\tP\t\t
USGS\t03177700\t2019-07-14 00:15\tEDT\t12\tA:e\t\t
USGS\t03177700\t2019-07-14 00:30\tEDT\t12\tP:<\t\t
"""
DV = """#
agency_cd\tsite_no\tdatetime\t2_00010_00003\t2_00010_00003_cd
5s\t15s\t10d\t14n\t10s
USGS\t03177700\t2019-02-14\t9.5\tA
USGS\t03177700\t2019-02-15\tEqp\tP
"""


def _read(tmp_path: Path, text: str, zone: str = "") -> Observations:
    path = tmp_path / "nwis.txt"
    path.write_text(text)
    assert nwis.recognise(path)
    found = nwis.read(path, parse_mapping(f"{{kind: nwis, time: {{zone: '{zone}'}}}}") if zone else None)
    check(found.table)
    return found


def test_instantaneous_values(tmp_path: Path) -> None:
    """Zones of the rows, approved, provisional, estimated, censored and remarks are what the service says."""
    table = _read(tmp_path, IV).table
    flow = table[table["variable"] == "discharge"].reset_index(drop=True)
    np.testing.assert_allclose(flow["value"], [974 * CFS, np.nan, 12 * CFS, 12 * CFS])
    assert flow["qc"].tolist() == [1, 9, 3, 2]
    assert flow["qc_tests"].tolist() == ["", "remark_ice:9", "estimated:3", ""]
    assert flow["censored"].tolist() == ["", "", "", "<"]
    assert flow["original_value"].tolist() == ["974", "Ice", "12", "12"]
    times = ["2019-02-14 05:00", "2019-02-14 05:15", "2019-07-14 04:15", "2019-07-14 04:30"]
    assert flow["time"].dt.strftime("%Y-%m-%d %H:%M").tolist() == times
    assert len(table[table["variable"] == "water_temperature"]) == 1
    assert table["source"].tolist()[0] == "nwis.txt:5"


def test_daily_values(tmp_path: Path) -> None:
    """A day without a zone stands as written and is told; with a zone it is the start of that day."""
    table = _read(tmp_path, DV).table
    assert table["time"].iloc[0] == pd.Timestamp("2019-02-14", tz="UTC")
    assert table["qc_tests"].tolist() == ["day_only", "remark_eqp:9,day_only"]
    assert set(table["method"]) == {"daily mean; NWIS series 2"}
    told = _read(tmp_path, DV, "-05:00").table
    assert told["time"].iloc[0] == pd.Timestamp("2019-02-14T05:00", tz="UTC")
    assert told["qc_tests"].tolist() == ["", "remark_eqp:9"]


def test_two_tables_and_positions(tmp_path: Path, data_dir: Path) -> None:
    """Two tables in one file are both read; a list of sites beside it tells the places."""
    (tmp_path / "nwis_sites.txt").write_bytes((data_dir / "insitu" / "usgs-wqp" / "nwis_sites.txt").read_bytes())
    table = _read(tmp_path, IV + DV).table
    assert len(table) == 7
    assert set(table["station"]) == {"USGS-03177700"}
    assert set(table["station_name"]) == {"BLUESTONE RIVER AT BLUEFIELD, VA"}
    np.testing.assert_allclose(table["lon"], -81.2817664, atol=1e-4)


def test_rows_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    """An unknown zone, a short row, an unknown parameter and an unknown qualifier are told with their place."""
    text = IV.replace("00:30\tEDT", "00:30\tXXX").replace("69513_00010", "69513_99999").replace("A:e", "A:e Q")
    found = _read(tmp_path, text + "USGS\t03177700\t2019\n")
    told = {(issue.row, issue.field, issue.action) for issue in found.issues}
    assert {(8, "datetime", "left out"), (9, "row", "left out"), (None, "69513_99999", "left out")} <= told
    assert (None, "69512_00060", "flagged") in told


def test_units_of_all_parameters() -> None:
    """Every parameter code names a variable, and a unit that becomes the variable's."""
    for variable, unit, datum in nwis.PARAMETERS.values():
        term = term_named(variable)
        assert np.isfinite(convert(1.0, unit, term))
        assert (term.kind == "height") == bool(datum)


@pytest.mark.parametrize(("name", "rows"), [("waterservices_iv.txt", 20), ("waterservices_dv.txt", 4)])
def test_real_json(name: str, rows: int, data_dir: Path) -> None:
    """The real responses give all their values in UTC, at the position they tell."""
    path = data_dir / "insitu" / "usgs-wqp" / name
    found = nwis.read(path)
    check(found.table)
    assert len(found.table) == rows
    document = json.loads(path.read_text(encoding="utf-8"))
    flows, times = [], []
    for series in document["value"]["timeSeries"]:
        if series["variable"]["variableCode"][0]["value"] == "00060":
            for value in series["values"][0]["value"]:
                flows.append(float(value["value"]))
                text = value["dateTime"]
                times.append(pd.Timestamp(text if text.endswith("-05:00") else f"{text}-05:00").tz_convert("UTC"))
    table = found.table[found.table["variable"] == "discharge"]
    np.testing.assert_allclose(table["value"], np.array(flows) * CFS)
    assert table["time"].tolist() == times
    assert set(table["qc"]) == ({1} if "iv" in name else {2})
    np.testing.assert_allclose(table["lat"].unique(), [38.99719444, 39.128083], atol=1e-3)


def test_json_of_another_shape(tmp_path: Path) -> None:
    """A document that is no WaterML, or whose series hold nothing, is refused."""
    path = tmp_path / "a.json"
    for text in (
        '{"timeSeriesResponse": 1}',
        '{"timeSeriesResponse": 1, "value": {"timeSeries": [1, {}]}}',
        "{timeSeriesResponse",
    ):
        path.write_text(text)
        with pytest.raises(TerraCubeError):
            nwis.read(path)


def test_a_list_of_sites_is_no_measurement(data_dir: Path, tmp_path: Path) -> None:
    """A list of sites and other text are refused by what they are."""
    with pytest.raises(MetadataError, match="a list of sites"):
        nwis.read(data_dir / "insitu" / "usgs-wqp" / "nwis_sites.txt")
    (tmp_path / "a").write_text("lake\tdate\n")
    assert not nwis.recognise(tmp_path / "a")
    with pytest.raises(AssetError):
        nwis.read(tmp_path / "a")


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.sampled_from(["", IV, DV, IV + DV]),
    cut=st.integers(0, 700),
    insert=st.one_of(st.binary(max_size=40), st.text("0123456789_-:<>AePIce\t\n#", max_size=40).map(str.encode)),
)
def test_any_text(start: str, cut: int, insert: bytes, tmp_path: Path) -> None:
    """Whatever stands in a file, the table holds or the error is ours."""
    path = tmp_path / "a.txt"
    raw = start.encode()
    path.write_bytes(raw[:cut] + insert + raw[cut:])
    assert nwis.recognise(path) in (True, False)
    with contextlib.suppress(TerraCubeError):
        check(nwis.read(path).table)


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def _paths(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return found + [deeper for key, value in items for deeper in _paths(value, (*path, key))]


SERIES = {
    "name": "USGS:1:00060:00000",
    "sourceInfo": {
        "siteName": "A", "siteCode": [{"value": "1", "agencyCode": "USGS"}],
        "timeZoneInfo": {"defaultTimeZone": {"zoneOffset": "-05:00"}},
        "geoLocation": {"geogLocation": {"srs": "EPSG:4326", "latitude": 1.0, "longitude": 2.0}},
    },
    "variable": {"variableCode": [{"value": "00060"}], "unit": {"unitCode": "ft3/s"}, "noDataValue": -999999.0,
                 "options": {"option": [{"optionCode": "00003"}]}},
    "values": [{"value": [{"value": "1", "qualifiers": ["A"], "dateTime": "2020-02-14T00:00:00.000"},
                          {"value": "-999999", "qualifiers": ["P", "Ice"], "dateTime": "2020-02-15T00:00:00.000"}],
                "method": [{"methodID": 7}]}],
}  # fmt: skip


def test_json_remarks(tmp_path: Path) -> None:
    """The value that stands for none is missing, with the remark that tells why."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"name": "timeSeriesResponse", "value": {"timeSeries": [SERIES]}}))
    table = nwis.read(path).table
    assert table["qc"].tolist() == [1, 9]
    assert table["qc_tests"].tolist() == ["", "remark_ice:9"]
    assert table["time"].iloc[0] == pd.Timestamp("2020-02-14T05:00", tz="UTC")


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(_paths(SERIES)), value=_JSON)
def test_any_json(place: tuple[Any, ...], value: Any, tmp_path: Path) -> None:
    """Whatever stands anywhere in a document, the table holds or the error is ours."""
    series = json.loads(json.dumps(SERIES))
    inner = series
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"name": "timeSeriesResponse", "value": {"timeSeries": [series]}}))
    with contextlib.suppress(TerraCubeError):
        check(nwis.read(path).table)
