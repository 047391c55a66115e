"""Pictures, pages and files of lakes, and strips along lines: gaps are shown as gaps, and names are escaped."""

from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from matplotlib.figure import Figure

from terracube.core.errors import BudgetError, InputError, MetadataError
from terracube.processing.water.lakes import overview, picture, strips, write_csv, write_geoparquet, write_report

UTM = "EPSG:32633"


def lakes() -> geopandas.GeoDataFrame:
    """Two lakes; one has an evil name."""
    shapes = [shapely.Point(500_000, 5_000_000).buffer(900), shapely.Point(504_000, 5_001_000).buffer(300)]
    return geopandas.GeoDataFrame({"id": ["great", "=<b>evil</b>"]}, geometry=shapes, crs=UTM)


def table() -> pd.DataFrame:
    """Six dates of two lakes; the third date of the first was not seen, the second lake never was."""
    dates = pd.date_range("2023-06-01", periods=6, freq="5D")
    first = pd.DataFrame({"id": "great", "time": dates, "status": "ok", "note": ""})
    first["area_total"], first["valid_fraction"] = 2.5e6, [1.0, 0.8, 0.0, 1.0, 0.9, 1.0]
    first["wet_fraction"] = 0.9
    first["area_wet"] = 2.25e6
    first["area_wet_min"], first["area_wet_max"] = 2.0e6, 2.4e6
    for part, value in {"n": 600, "median": 8.0, "iqr": 2.0, "p10": 5.0, "p90": 12.0, "error": 1.5}.items():
        first[f"chl_{part}"] = value
    first.loc[2, "status"] = "not seen"
    first.loc[2, first.columns[6:]] = np.nan
    second = first.assign(id="=<b>evil</b>", status="not seen", valid_fraction=0.0, area_total=2.8e5)
    second[second.columns[6:]] = np.nan
    both = pd.concat([first, second], ignore_index=True)
    both.attrs["units"] = {"chl_median": "mg m-3"}
    return both


def lines_of(figure: Figure, panel: int) -> list[tuple[np.datetime64, ...]]:
    """Dates of each drawn line of two points."""
    lines = figure.axes[panel].get_lines()
    return [tuple(line.get_xdata()) for line in lines if len(np.atleast_1d(line.get_xdata())) == 2]


def test_a_gap_is_a_gap() -> None:
    """No line goes over the date that was not seen, and a mark says so."""
    figure = picture(table(), "great")
    assert [axis.get_ylabel() for axis in figure.axes] == ["water, km²", "share seen", "chl, mg m-3"]
    missing = np.datetime64("2023-06-11")
    joined = [ends for ends in lines_of(figure, 2) if isinstance(ends[0], np.datetime64)]
    assert len(joined) == 3
    assert not any(first < missing < last or missing in (first, last) for first, last in joined)
    marks = [line for line in figure.axes[2].get_lines() if line.get_marker() == "x"]
    assert [list(line.get_xdata()) for line in marks] == [[missing]]


def test_dates_far_apart_are_not_joined() -> None:
    """A season without a scene is a gap too, though no row says so."""
    rows = table().iloc[[0, 1, 3, 4, 5]].reset_index(drop=True)
    rows["time"] += np.where(rows.index < 3, 0, 200).astype("timedelta64[D]")
    drawn = [ends for ends in lines_of(picture(rows, "great"), 2) if isinstance(ends[0], np.datetime64)]
    assert len(drawn) == 3
    drawn = [ends for ends in lines_of(picture(rows, "great", max_gap=6), 2) if isinstance(ends[0], np.datetime64)]
    assert len(drawn) == 2


def test_a_lake_that_was_never_seen_has_a_picture(tmp_path: Path) -> None:
    """All gaps: empty panels with marks; one date alone too."""
    picture(table(), "=<b>evil</b>").savefig(tmp_path / "never.png")
    picture(table().iloc[:1]).savefig(tmp_path / "one.png")
    assert (tmp_path / "never.png").stat().st_size > 1000


def test_pictures_refuse_what_they_cannot_show() -> None:
    """Two lakes at once, a lake or product that is not there, no dates."""
    with pytest.raises(InputError, match="one lake"):
        picture(table())
    with pytest.raises(InputError, match="one lake"):
        picture(table(), "small")
    with pytest.raises(InputError, match="no such product"):
        picture(table(), "great", products=["spm"])
    with pytest.raises(InputError, match="no series"):
        picture(table().drop(columns="time"), "great")


def test_the_map_hatches_what_has_no_value(tmp_path: Path) -> None:
    """Both lakes are drawn, and one is told to be without a value."""
    figure = overview(table(), lakes(), "chl_median")
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert "hatched: 1 without a value" in texts
    overview(table(), lakes().set_index("id"), "wet_fraction", log=True).savefig(tmp_path / "map.png")
    with pytest.raises(InputError, match="no such column"):
        overview(table(), lakes(), "spm_median")
    with pytest.raises(InputError, match="no lake"):
        overview(table(), lakes().assign(id=["x", "y"]), "chl_median")


def test_the_page_escapes_names_and_tells_what_is_missing(tmp_path: Path) -> None:
    """All four files are there; no name of the outside is taken for a tag or a formula."""
    files = write_report(table(), lakes(), tmp_path, title="Lakes & <rivers>")
    assert sorted(path.name for path in files) == sorted(path.name for path in tmp_path.iterdir())
    page = (tmp_path / "lakes.html").read_text(encoding="utf-8")
    assert "<b>evil</b>" not in page
    assert "Lakes &amp; &lt;rivers&gt;" in page
    assert page.count("data:image/png") == 3
    assert "rows: not seen" in page
    text = (tmp_path / "lakes.csv").read_text(encoding="utf-8")
    assert "'=<b>evil</b>,2023-06-01T00:00:00Z" in text
    again = tmp_path / "again"
    assert [path.read_bytes() for path in write_report(table(), lakes(), again, title="Lakes & <rivers>")][3] == (
        tmp_path / "lakes.html"
    ).read_bytes()


def test_few_pictures_and_no_dates(tmp_path: Path) -> None:
    """The largest lakes come first; a table without dates has a map alone."""
    write_report(table(), lakes(), tmp_path, max_pictures=1, column="wet_fraction")
    page = (tmp_path / "lakes.html").read_text(encoding="utf-8")
    assert "1 smaller polygons" in page
    assert 'alt="Series of great"' in page
    write_report(table().drop(columns="time").iloc[[0, 6]], lakes(), tmp_path)
    assert "Series of" not in (tmp_path / "lakes.html").read_text(encoding="utf-8")


def test_files_come_back(tmp_path: Path) -> None:
    """CSV and GeoParquet hold what was written; missing is empty."""
    back = pd.read_csv(write_csv(table(), tmp_path / "a.csv"))
    np.testing.assert_allclose(back["chl_median"], table()["chl_median"])
    frame = geopandas.read_parquet(write_geoparquet(table(), lakes(), tmp_path / "a.parquet"))
    assert frame.crs == UTM
    assert len(frame) == 12
    np.testing.assert_allclose(frame.geometry.area.iloc[[0, 6]], lakes().area)
    with pytest.raises(InputError, match="one polygon"):
        write_geoparquet(table(), lakes().iloc[:1], tmp_path / "b.parquet")
    assert not (tmp_path / "b.parquet").exists()


def test_strips_have_their_size() -> None:
    """Pieces of one river are equally long, do not overlap, and make up the whole."""
    river = shapely.LineString([(0, 0), (500, 0), (500, 500)])
    found = strips([river], 40, length=350, crs=UTM)
    assert found["id"].tolist() == ["0-0", "0-1", "0-2"]
    np.testing.assert_allclose(found["stop"] - found["start"], 1000 / 3)
    np.testing.assert_allclose(found.area, 1000 / 3 * 40)
    assert shapely.union_all(found.geometry).area == pytest.approx(found.area.sum(), rel=1e-3)


def test_strips_on_one_side() -> None:
    """Left of a coast that runs east is north."""
    coast = geopandas.GeoSeries([shapely.LineString([(0, 0), (1000, 0)])], crs=UTM)
    left, right = (strips(coast, 50, side=side).geometry.iloc[0] for side in ("left", "right"))
    assert left.bounds == pytest.approx((0, 0, 1000, 50))
    assert right.bounds == pytest.approx((0, -50, 1000, 0))


def test_strips_in_longitude_and_latitude() -> None:
    """They are measured in metres and come back in degrees."""
    line = geopandas.GeoDataFrame(
        {"name": ["a"]}, geometry=[shapely.LineString([(14, 46), (14.1, 46)])], crs="EPSG:4326"
    )
    found = strips(line, 100)
    assert found.crs == line.crs
    assert found.to_crs(UTM).area[0] == pytest.approx(7740 * 100, rel=0.01)


def test_strips_refuse_what_is_no_line() -> None:
    """Points, no CRS, no width, too many pieces."""
    line = shapely.LineString([(0, 0), (1000, 0)])
    with pytest.raises(InputError, match="no lines"):
        strips([shapely.Point(0, 0)], 10, crs=UTM)
    with pytest.raises(MetadataError, match="CRS"):
        strips(line, 10)
    for wrong in ({"width": 0.0}, {"width": 10, "length": -1.0}, {"width": 10, "side": "up"}):
        with pytest.raises(InputError):
            strips(line, crs=UTM, **wrong)
    with pytest.raises(BudgetError, match="too many"):
        strips(line, 10, length=1e-3, crs=UTM)
