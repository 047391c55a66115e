"""Samples from files: formats, labels, and everything that can be wrong with them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import shapely
from pyarrow import parquet

from terracube.core.errors import AssetError, HostileInputError, InputError, MetadataError
from terracube.processing import vectors as files
from terracube.processing.landcover.nomenclature import load_nomenclature
from terracube.processing.landcover.samples import Samples, Series, make_samples, overlapping, read_samples

LULC = "landcover/slovenia-eopatch/TestEOPatch/vector_timeless/LULC.gpkg"
POINTS = "landcover/sinop-modis/inst/extdata/samples/samples_sinop_crop.csv"


def fields(**columns: Any) -> geopandas.GeoDataFrame:
    """Make three square fields in a row, 10 m apart, with columns."""
    shapes = [shapely.box(110 * at, 0, 110 * at + 100, 100) for at in range(3)]
    told = {"label": ["maize", "water", "maize"]} | columns
    return geopandas.GeoDataFrame(told, geometry=shapes, crs="EPSG:32631")


def places(path: Path, **options: Any) -> Samples:
    """Read samples that are places."""
    found = read_samples(path, **options)
    assert isinstance(found, Samples)
    return found


def write(folder: Path, frame: geopandas.GeoDataFrame, name: str) -> Path:
    """Write fields in the format of a name."""
    path = folder / name
    if name.endswith("parquet"):
        frame.to_parquet(path)
    else:
        frame.to_file(path)
    return path


@pytest.mark.parametrize("name", ["a.gpkg", "a.parquet", "a.geoparquet"])
def test_formats_give_the_same(tmp_path: Path, name: str) -> None:
    """Labels, regions, weights and geometries come out of each format as they went in."""
    frame = fields(region=["n", "n", None], weight=[1.0, 2.0, 0.5], polygon=["p", "p", "q"], id=["a", "b", "c"])
    found = places(write(tmp_path, frame, name), nomenclature="oso-23")
    assert found.labels.tolist() == [10, 23, 10]
    assert found.region.tolist() == ["n", "n", ""]
    assert found.weight.tolist() == [1.0, 2.0, 0.5]
    assert found.groups.tolist() == [0, 0, 1]
    assert found.sample.tolist() == ["a", "b", "c"]
    assert found.frame.crs == frame.crs
    assert found.frame.geometry.geom_equals(frame.geometry).all()


def test_geojson_is_in_degrees(tmp_path: Path) -> None:
    """Without a CRS it is longitude and latitude; one in the older way is read; an odd one is refused."""
    frame = geopandas.GeoDataFrame({"label": [10, 23]}, geometry=[shapely.Point(1, 44), shapely.Point(2, 44)])
    value = json.loads(frame.to_json())
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(value))
    found = places(path, nomenclature="oso-23")
    assert found.points
    assert found.frame.crs == "OGC:CRS84"
    for named, crs in (("urn:ogc:def:crs:EPSG::32631", "EPSG:32631"), ("urn:ogc:def:crs:OGC:1.3:CRS84", "OGC:CRS84")):
        path.write_text(json.dumps({**value, "crs": {"type": "name", "properties": {"name": named}}}))
        assert places(path).frame.crs == crs
    path.write_text(json.dumps({**value, "crs": {"type": "name", "properties": {"name": "/vsicurl/x"}}}))
    with pytest.raises(MetadataError, match="CRS of the GeoJSON"):
        read_samples(path)


def test_a_csv_of_points(tmp_path: Path) -> None:
    """Longitude and latitude make points; two at one place are one group; labels are texts."""
    path = tmp_path / "a.csv.gz"
    rows = "id,lon,lat,label,start_date,end_date\na,1,44,007,2018-01-01,2018-12-31\nb,1,44,008,,\nc,2,44,007,,\n"
    path.write_bytes(gzip.compress(rows.encode()))
    found = places(path)
    assert found.nomenclature.names == ("007", "008") or found.nomenclature.codes == (7, 8)
    assert found.groups[0] == found.groups[1] != found.groups[2]
    assert str(found.frame["end"][0].date()) == "2018-12-31"
    assert found.frame["start"].isna().tolist() == [False, True, True]


def test_labels_that_are_ignored_are_told(tmp_path: Path) -> None:
    """Rows with an ignored or missing label are left out and counted; names are those of their rows."""
    path = write(tmp_path, fields(label=["maize", None, "cloud"]), "a.gpkg")
    with pytest.raises(InputError, match="a label is missing"):
        read_samples(path, ignore=["cloud"])
    found = places(path, ignore=["Cloud", ""])
    assert found.sample.tolist() == ["0"]
    assert [one.reason[:5] for one in found.left_out] == ["1 row", "1 row"]
    with pytest.raises(InputError, match="no samples left"):
        read_samples(path, ignore=["maize", "cloud", ""])
    with pytest.raises(InputError, match="does not know a label"):
        read_samples(path, nomenclature="oso-23", ignore=[""])


def test_overlapping_polygons(tmp_path: Path) -> None:
    """Fields that contradict each other are refused, left out with a report, or kept, as the user says."""
    frame = fields()
    frame.loc[1, "geometry"] = shapely.box(50, 50, 200, 80)
    path = write(tmp_path, frame, "a.gpkg")
    with pytest.raises(InputError, match=r"0 \(1\) and 1 \(2\)"):
        read_samples(path)
    found = places(path, overlaps="leave_out")
    assert found.sample.tolist() == ["2"]
    assert [one.id for one in found.left_out] == ["0", "1"]
    assert len(places(path, overlaps="keep")) == 3
    with pytest.raises(InputError, match="unknown choice"):
        read_samples(path, overlaps="maybe")


def test_what_is_no_contradiction() -> None:
    """Polygons that touch, are of one class, or of different years, do not contradict each other."""
    shapes = [shapely.box(0, 0, 10, 10), shapely.box(10, 0, 20, 10), shapely.box(5, 5, 8, 8), shapely.box(1, 1, 4, 4)]
    season = {"start": ["2018-01-01"] * 3 + ["2019-01-01"], "end": ["2018-12-31"] * 3 + ["2019-12-31"]}
    oso = load_nomenclature("oso-23")
    found = make_samples(shapes, [10, 23, 10, 23], oso, crs="EPSG:32631", **season)
    assert overlapping(found) == []
    assert overlapping(make_samples(shapes, [10, 23, 10, 23], oso, crs="EPSG:32631")) == [(0, 3)]
    points = make_samples([shapely.Point(1, 1)] * 2, [10, 23], oso, crs="EPSG:32631")
    assert overlapping(points) == []


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        (shapely.Polygon(), "empty"),
        (None, "empty"),
        (shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]), "not valid"),
        (shapely.LineString([(0, 0), (1, 1)]), "another kind"),
        (shapely.Point(1, 1), "points and polygons"),
    ],
)
def test_wrong_geometries_are_named(tmp_path: Path, shape: Any, told: str) -> None:
    """An empty, missing, invalid or unfit geometry is told with its row."""
    frame = fields()
    frame.loc[1, "geometry"] = shape
    with pytest.raises(InputError, match=told):
        read_samples(write(tmp_path, frame, "a.parquet"))


@pytest.mark.parametrize(
    ("columns", "options", "told"),
    [
        ({}, {"label": "crop"}, "no column for label"),
        ({}, {"columns": {"weight": "w"}}, "no column for weight"),
        ({}, {"columns": {"colour": "label"}}, "no such role"),
        ({"weight": [1.0, -1.0, 1.0]}, {}, "weight"),
        ({"weight": ["1", "x", "1"]}, {}, "no number"),
        ({"id": ["a", "a", "b"]}, {}, "one name"),
        ({"start": ["2018", "01/02/2018", ""]}, {}, "day cannot be read"),
        ({"start": ["2018-02-01"] * 3, "end": ["2018-01-01"] * 3}, {}, "ends before"),
    ],
)
def test_wrong_columns_are_named(tmp_path: Path, columns: Any, options: Any, told: str) -> None:
    """What a column lacks or cannot mean is told."""
    with pytest.raises(InputError, match=told):
        read_samples(write(tmp_path, fields(**columns), "a.gpkg"), **options)


def test_layers_are_chosen(tmp_path: Path) -> None:
    """One of several layers must be named, and be there."""
    path = tmp_path / "a.gpkg"
    fields().to_file(path, layer="one")
    fields().iloc[:2].to_file(path, layer="two")
    with pytest.raises(InputError, match="one, two"):
        read_samples(path)
    with pytest.raises(InputError, match="no such layer"):
        read_samples(path, layer="three")
    assert len(places(path, layer="two")) == 2


def test_missing_crs(tmp_path: Path) -> None:
    """Where the fields lie is never guessed."""
    frame = geopandas.GeoDataFrame(pd.DataFrame(fields()), geometry="geometry").set_crs(None, allow_override=True)
    frame.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(MetadataError, match="CRS"):
        read_samples(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("a.gpkg", b"<OGRVRTDataSource>", HostileInputError),
        ("a.gpkg", b"SQLite format 3\0" + b"\0" * 200, HostileInputError),
        ("a.gpkg", b"SQLite format 3\0" + b"\0" * 52 + b"GPKG" + b"\0" * 200, AssetError),
        ("a.parquet", b"PAR1 nothing PAR1", AssetError),
        ("a.geojson", b"<OGRVRTDataSource>", AssetError),
        ("a.geojson", b'{"features": 3}', AssetError),
        ("a.geojson", b"[" * 100_000, AssetError),
        ("a.geojson", b'{"type": "FeatureCollection", "features": []}', InputError),
        ("a.csv.gz", b"no gzip", AssetError),
        ("a.csv", b"", AssetError),
        ("a.csv", b"label,lon,lat\n", InputError),
        ("a.csv", b"label,lon,lat\n1,2,3,4,5\n1,2\n", AssetError),
        ("a.csv", b"label\n1\n", InputError),
        ("a.csv", b"label,lon,lat\n1,400,91\n", InputError),
        ("a.csv", b"label,lon,lat\n1,,44\n", InputError),
        ("a.csv", b"label,lon,lat\n1,inf,44\n", InputError),
        ("a.shp", b"", InputError),
    ],
)
def test_files_that_are_not_what_they_say(tmp_path: Path, name: str, content: bytes, error: type[Exception]) -> None:
    """Another format behind the name, broken or empty files, and impossible places are errors of ours."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error):
        read_samples(tmp_path / name)


FEATURE = {"type": "Feature", "properties": {"label": 1}, "geometry": {"type": "Point", "coordinates": [1, 2]}}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"geometry": {"type": "Foo", "coordinates": []}}, AssetError),
        ({"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}}, AssetError),
        ({"geometry": {"type": "Point", "coordinates": [float("nan"), 1]}}, InputError),
        ({"geometry": None}, InputError),
        ({"properties": {"geometry": 1, "label": 1}}, AssetError),
        ({"properties": None}, InputError),
        ({"properties": {"label": "\ud800"}}, InputError),
    ],
)
def test_odd_features(tmp_path: Path, change: dict[str, Any], error: type[Exception]) -> None:
    """Features that are not what they should be end in an error of ours."""
    value = {"type": "FeatureCollection", "features": [FEATURE | change]}
    (tmp_path / "a.geojson").write_text(json.dumps(value))
    with pytest.raises(error):
        read_samples(tmp_path / "a.geojson")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda geo: geo.update(primary_column="no"), AssetError),
        (lambda geo: geo.update(columns={}), AssetError),
        (lambda geo: geo["columns"]["geometry"].update(crs="nonsense"), MetadataError),
        (lambda geo: geo["columns"]["geometry"].update(encoding="other"), AssetError),
    ],
)
def test_odd_geoparquet(tmp_path: Path, change: Any, error: type[Exception]) -> None:
    """Metadata that lie end in an error of ours; so do bytes that are no geometry."""
    fields().to_parquet(tmp_path / "a.parquet")
    table = parquet.read_table(tmp_path / "a.parquet")
    geo = json.loads(table.schema.metadata[b"geo"])
    change(geo)
    parquet.write_table(table.replace_schema_metadata({b"geo": json.dumps(geo)}), tmp_path / "b.parquet")
    with pytest.raises(error):
        read_samples(tmp_path / "b.parquet")
    place = table.schema.get_field_index("geometry")
    parquet.write_table(table.set_column(place, "geometry", pa.array([b"\0"] * 3)), tmp_path / "c.parquet")
    with pytest.raises(AssetError):
        read_samples(tmp_path / "c.parquet")


def test_files_that_are_not_there(tmp_path: Path) -> None:
    """A path of no file, a folder, or a path to the network is no source of samples."""
    with pytest.raises(AssetError, match="cannot read"):
        read_samples(tmp_path / "a.gpkg")
    (tmp_path / "b.gpkg").mkdir()
    with pytest.raises(AssetError, match="no file"):
        read_samples(tmp_path / "b.gpkg")
    with pytest.raises(AssetError, match="cannot read"):
        read_samples("/vsicurl/https://example.org/a.gpkg")


def test_files_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small gzip that unfolds to very much, and a table of too many rows, end in time."""
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"label,lon,lat\n" + b"1,1,1\n" * 100_000))
    monkeypatch.setattr(files, "_MOST_TEXT", 100_000)
    with pytest.raises(HostileInputError, match="too much text"):
        read_samples(path)
    monkeypatch.setattr(files, "_MOST_TEXT", 10_000_000)
    monkeypatch.setattr(files, "_MOST_ROWS", 10)
    with pytest.raises(HostileInputError, match="too many rows"):
        read_samples(path)
    monkeypatch.setattr(files, "_MOST_BYTES", 10)
    with pytest.raises(HostileInputError, match="too large"):
        read_samples(path)


def test_plain_parquet_has_no_places(tmp_path: Path) -> None:
    """Parquet without geometries is refused; so is one with too many rows, before they are read."""
    pd.DataFrame({"label": [1]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(AssetError, match="no geometries"):
        read_samples(tmp_path / "a.parquet")


def test_real_polygons(data_dir: Path) -> None:
    """Land use of Slovenia: 84 polygons in five classes; the four without a name are told."""
    found = places(data_dir / LULC, label="LULC_NAME", ignore=[""])
    assert len(found) == 84
    assert found.nomenclature.names == (
        "artificial_surface", "cultivated_land", "forest", "grassland", "schrubland",
    )  # fmt: skip
    assert list(found.classes.values()) == [11, 4, 10, 26, 33]
    assert found.left_out[0].reason.startswith("4 rows")
    assert found.frame.crs == "EPSG:32633"


def test_real_points(data_dir: Path) -> None:
    """Sinop: 18 points in four classes with their season."""
    found = places(data_dir / POINTS)
    assert found.classes == {1: 3, 2: 3, 3: 4, 4: 8}
    assert str(found.frame["start"].iloc[0].date()) == "2013-09-14"


def test_a_long_table_gives_series(data_dir: Path) -> None:
    """A CSV with dates is read as series through the same door."""
    found = read_samples(data_dir / "landcover/sinop-modis/samples_modis_ndvi.csv.gz")
    assert isinstance(found, Series)
    assert found.values.shape == (1218, 12, 1)


def test_samples_one_by_one() -> None:
    """Taking, and weights; a code that is no class, or a field that there is not, is refused."""
    oso = load_nomenclature("oso-23")
    found = make_samples(fields().geometry, [10, 23, 10], oso)
    assert found.take([2, 0]).sample.tolist() == ["2", "0"]
    assert found.take(found.labels == 23).classes == {23: 1}
    assert found.with_weight(np.array([1.0, 2, 3])).weight.tolist() == [1, 2, 3]
    with pytest.raises(InputError, match="do not fit"):
        make_samples(fields().geometry, [10, 99, 10], oso)
    with pytest.raises(InputError, match="no such field"):
        make_samples(fields().geometry, [10, 23, 10], oso, colour="red")
