"""GeoPackages as tables of measurements: attributes, points in any system, layers, and files that are none."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shapely import Point, Polygon

from terracube.core.errors import AssetError, BudgetError, InputError, MetadataError, TerraCubeError
from terracube.ingest.insitu import features
from terracube.ingest.insitu.describe import describe
from terracube.ingest.insitu.features import open_features
from terracube.ingest.insitu.mapping import Layout, parse_mapping
from terracube.ingest.insitu.read import read_observations
from terracube.ingest.insitu.table import check

TN = """kind: gpkg
station: {column: Site}
time: {column: Date, zone: UTC}
position: {lon: geometry lon, lat: geometry lat, crs: EPSG:4326}
columns: [{column: TN, variable: tn, unit: mg/L}]
"""


def survey() -> geopandas.GeoDataFrame:
    """Two sites in degrees; the second was not measured."""
    return geopandas.GeoDataFrame(
        {
            "Site": ["A", "B"],
            "Date": pd.to_datetime(["2019-08-20T10:30:00", "2019-08-21T00:00:00"]),
            "TN": [0.5, np.nan],
            "Remark": [None, "calm"],
            "Count": [3, 4],
        },
        geometry=[Point(90.6, 30.7), Point(88.9, 31.8)],
        crs="EPSG:4326",
    )


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A GeoPackage with the survey."""
    path = tmp_path / "lakes.gpkg"
    survey().to_file(path, driver="GPKG", layer="sites")
    return path


def test_a_layer_is_read(package: Path) -> None:
    """Attributes and points; an empty cell of a wide table is nothing; a row is counted as its feature."""
    found = read_observations(package, parse_mapping(TN))
    check(found.table)
    columns = ["station", "value", "lon", "lat", "source"]
    assert found.table[columns].to_numpy().tolist() == [["A", 0.5, 90.6, 30.7, "lakes.gpkg:1"]]
    assert found.table.time[0].isoformat() == "2019-08-20T10:30:00+00:00"
    assert "layer sites" in found.notes


def test_points_of_any_system_become_degrees(tmp_path: Path) -> None:
    """The layer tells its system: Albers metres come out where the degrees went in."""
    path = tmp_path / "albers.gpkg"
    survey().to_crs("+proj=aea +lat_1=25 +lat_2=47 +lon_0=105 +datum=WGS84").to_file(path, driver="GPKG")
    table = read_observations(path, parse_mapping(TN)).table
    assert table[["lon", "lat"]].to_numpy()[0] == pytest.approx([90.6, 30.7], abs=1e-9)


def test_what_has_no_position_says_so(tmp_path: Path) -> None:
    """A polygon, a missing geometry, a layer without a system, and one without geometries."""
    path = tmp_path / "a.gpkg"
    frame = survey()
    frame.set_geometry([Polygon([(0, 0), (1, 0), (1, 1)]), None], crs="EPSG:4326").to_file(path, driver="GPKG")
    found = read_observations(path, parse_mapping(TN))
    assert found.table.lon.isna().all()
    assert "2 geometries are no points: they have no position" in found.notes


@pytest.mark.parametrize("system", [0, -1])
def test_a_layer_without_a_system_has_no_positions(package: Path, system: int) -> None:
    """The format's words for "undefined" are no system, and are never taken for degrees."""
    with sqlite3.connect(package) as database:
        database.execute("UPDATE gpkg_geometry_columns SET srs_id = ?", (system,))
    database.close()
    opened = open_features(package, Layout())
    assert features.LON not in opened.head.names
    assert "tells no coordinate reference system" in opened.notes[1]


def test_layers_are_chosen(package: Path) -> None:
    """By name or number; with several, and none told, the mapping must say."""
    survey().to_file(package, driver="GPKG", layer="other")
    with pytest.raises(MetadataError, match="several layers"):
        open_features(package, Layout())
    assert open_features(package, Layout(sheet="other")).notes[0] == "layer other"
    assert open_features(package, Layout(sheet=1)).notes[0] == "layer sites"
    with pytest.raises(InputError, match="no such layer"):
        open_features(package, Layout(sheet="third"))
    assert "sheet: which of sites, other?" in "\n".join(describe(package).unsure)


def test_a_draft_reads_its_file(package: Path) -> None:
    """The points are the position, and their system is no question."""
    found = describe(package)
    assert found.mapping is not None
    assert found.mapping.kind == "gpkg"
    assert "position.crs" not in "\n".join(found.unsure)
    mapping = parse_mapping(
        found.yaml().replace("# zone: UTC", "zone: UTC").replace("variable: tn", "variable: tn, unit: mg/L")
    )
    assert read_observations(package, mapping).table.value.tolist() == [0.5]


def test_what_is_no_geopackage(tmp_path: Path, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other content under the ending is opened by no other reader; size and number of cells are bounded."""
    for content in (b"", b"{}", b"<OGRVRTDataSource/>", b"SQLite format 3\0" + b"\0" * 200):
        (tmp_path / "x.gpkg").write_bytes(content)
        with pytest.raises(AssetError, match="no GeoPackage"):
            open_features(tmp_path / "x.gpkg", Layout())
    monkeypatch.setattr(features, "_MAX_CELLS", 20)
    with pytest.raises(BudgetError, match="a layer is too large"):
        open_features(package, Layout())
    monkeypatch.setattr(features, "_MAX_BYTES", 20)
    with pytest.raises(BudgetError, match="a GeoPackage is too large"):
        open_features(package, Layout())


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(min_size=1, max_size=40), at=st.integers(0, 98_000))
def test_any_damage_is_an_error_of_ours(package: Path, noise: bytes, at: int) -> None:
    """A spoilt page gives other values or an error, and never anything else."""
    content = bytearray(package.read_bytes())
    at %= len(content)
    content[at : at + len(noise)] = noise
    path = package.with_name("spoilt.gpkg")
    path.write_bytes(content)
    with suppress(TerraCubeError):
        check(read_observations(path, parse_mapping(TN)).table)


def test_stations_of_a_real_campaign(data_dir: Path) -> None:
    """Harsha: 42 sites; the points are where the columns of degrees say."""
    path = data_dir / "water" / "harsha" / "Harsha_wq_points_sub.gpkg"
    text = describe(path).yaml().replace('constant: "",', "constant: 2016-08-08, zone: America/New_York,")
    table = read_observations(path, parse_mapping(text)).table
    truth = geopandas.read_file(path)
    turbidity = table[table.variable == "turbidity_ntu"]
    assert len(turbidity) == 42
    assert turbidity.value.tolist() == truth.Turbid_NTU.tolist()
    assert turbidity.lon.to_numpy() == pytest.approx(truth.Longitude.to_numpy(), abs=1e-6)
    assert table[table.variable == "chlorophyll_a"].value.tolist() == truth.Chl_ugL.tolist()
    assert turbidity.time.iloc[0].isoformat() == "2016-08-08T13:39:00+00:00"
