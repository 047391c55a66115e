"""Pictures of observations: they hold what they should, for every shape of data, and warn of nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from terracube.core.errors import EmptyResultError, InputError, StorageError
from terracube.ingest.insitu import drawing
from terracube.ingest.insitu.plot import plot_profile, plot_series, plot_stations
from terracube.ingest.insitu.table import empty, join, make

START = np.datetime64("2020-06-01", "us")


def rows(values, hours=None, **told):
    """Total phosphorus of station A."""
    offsets = np.arange(len(values)) if hours is None else hours
    facts = {"station": "A", "variable": "tp", "unit": "mg L-1", "lon": 10.0, "lat": 45.0, "source": "a:1"}
    return make(time=START + (np.asarray(offsets) * 3600).astype("m8[s]"), value=values, **{**facts, **told})


def labels(figure):
    """Texts of the legend."""
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def painted(path):
    """How many colours a PNG holds; it must be one."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert min(image.size) > 300
        return len(image.convert("RGB").getcolors(1 << 24))


def test_a_series_with_everything(tmp_path: Path):
    """Flags, limits, a gap and a value beyond the frame each have their mark and their count in the legend."""
    values = np.linspace(1, 2, 40)
    values[5] = 99.0
    flags = np.where(np.arange(40) == 5, 4, np.where(np.arange(40) == 9, 3, 1))
    hours = np.r_[np.arange(20), np.arange(20) + 200]
    table = rows(
        values, hours, qc=flags, censored=np.where(np.arange(40) % 10 == 3, "<", ""), station_name="纳木错 $x$"
    )
    figure = plot_series(table, "A", "tp", path=tmp_path / "x.png")
    assert painted(tmp_path / "x.png") > 50
    assert labels(figure) == ["gap (1)", "good (38)", "suspect (1)", "fail (1)", "below limit (4)"]
    axes = figure.axes[0]
    assert axes.get_title(loc="left") == "Total phosphorus at A"
    assert axes.get_ylabel() == "Total phosphorus [mg L-1]"
    assert axes.get_ylim()[1] < 3
    assert [text.get_text() for text in axes.texts] == ["99"]


def test_the_same_picture_has_the_same_bytes(tmp_path: Path):
    """Nothing of the moment or the machine is in a picture."""
    for name in ("a.png", "b.png"):
        plot_series(rows([1.0, 2.0, 3.0]), "A", "tp", path=tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    "table",
    [
        rows([1.0]),
        rows([5.0, 5.0, 5.0]),
        rows([0.0, 0.0]),
        rows([1.0, 2.0], qc=[4, 4]),
        rows([1.0, 2.0], censored=["<", ">"]),
        rows([1.0, -5.0, 9.0], qc=[1, 4, 4]),
        rows(np.arange(40.0), depth=np.arange(40) % 20),
        rows(np.arange(40.0), depth=np.arange(40) % 3, method=["$\\no$", "_m2"] * 20),
        rows(np.arange(9.0), replicate=["1", "2", "3"] * 3, unit="", variable="foo"),
    ],
    ids=["one", "flat", "zero", "failed", "limits", "edges", "many depths", "methods", "replicates"],
)
def test_every_shape_is_drawn(tmp_path: Path, table: pd.DataFrame):
    """One value, no spread, only failed ones, only limits, many depths, methods: each makes a picture."""
    plot_series(table, "A", table["variable"].iloc[0], path=tmp_path / "x.png")
    assert painted(tmp_path / "x.png") > 5


def test_profiles(tmp_path: Path):
    """Depth grows downwards; times are explained by colour; of many profiles the last are drawn, and it is said."""
    casts = [rows([8.0, 6.0, 4.0], [day] * 3, depth=[0.5, 5.0, 20.0], qc=[1, 3, 1]) for day in range(3)]
    figure = plot_profile(join(casts), "A", "tp", path=tmp_path / "x.png")
    assert painted(tmp_path / "x.png") > 50
    bottom, top = figure.axes[0].get_ylim()
    assert bottom > 20 > top
    assert labels(figure) == ["suspect (3)"]
    many = join([rows([8.0, 6.0], [day] * 2, depth=[0.5, 5.0]) for day in range(70)])
    assert "60 profiles, the last of 70" in plot_profile(many, "A", "tp").axes[0].get_title(loc="left")
    one = plot_profile(casts[0], "A", "tp", path=tmp_path / "y.png")
    assert "2020-06-01 00:00 UTC" in one.axes[0].get_title(loc="left")
    with pytest.raises(EmptyResultError, match="depth"):
        plot_profile(rows([1.0]), "A", "tp")


def test_a_map_of_stations(tmp_path: Path):
    """A frame of true proportions with degrees; stations are named; rows without position are counted."""
    table = join(
        [
            rows([1.0] * 3, station="North", lon=20.0, lat=60.0),
            rows([1.0], station="South", lon=22.0, lat=59.0),
            rows([1.0], station="Lost", lon=np.nan, lat=np.nan),
        ]
    )
    figure = plot_stations(table, path=tmp_path / "x.png")
    assert painted(tmp_path / "x.png") > 20
    axes = figure.axes[0]
    assert axes.get_title(loc="left") == "2 stations, 5 observations; 1 without position"
    assert {text.get_text() for text in axes.texts} == {"North", "South"}
    assert 1.9 < axes.get_aspect() < 2.1
    assert axes.xaxis.get_major_formatter()(20.5, 0) == "20.5°E"
    assert axes.yaxis.get_major_formatter()(-3.0, 0) == "3°S"


def test_a_map_over_the_antimeridian(tmp_path: Path):
    """Stations on both sides of it lie side by side, at their own degrees."""
    table = join([rows([1.0], station="W", lon=179.0), rows([1.0], station="E", lon=-179.0)])
    axes = plot_stations(table, path=tmp_path / "x.png").axes[0]
    low, high = axes.get_xlim()
    assert high - low < 10
    assert axes.xaxis.get_major_formatter()(181.0, 0) == "179°W"


def test_many_stations_are_not_named():
    """Beyond thirty, names would hide the map; crowded ones are left out."""
    crowd = rows(np.ones(40), station=[f"S{n}" for n in range(40)], lon=np.linspace(5, 15, 40))
    assert len(plot_stations(crowd).axes[0].texts) == 0
    near = rows([1.0, 1.0], station=["A", "B"], lon=[10.0, 10.00001])
    assert len(plot_stations(near).axes[0].texts) == 1


def test_nothing_to_draw_is_told(tmp_path: Path):
    """No row, no value, no position, a wrong choice, no place to write."""
    with pytest.raises(EmptyResultError):
        plot_series(empty(), "A", "tp")
    with pytest.raises(EmptyResultError):
        plot_series(rows([np.nan]), "A", "tp")
    with pytest.raises(EmptyResultError):
        plot_stations(rows([1.0], lon=np.nan, lat=np.nan))
    with pytest.raises(InputError, match="choice"):
        plot_series(rows([1.0]), "A", "tp", colour="red")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        plot_series(rows([1.0]), "A", "tp", path=tmp_path / "file" / "x.png")


def test_letters_that_the_font_lacks():
    """They become question marks instead of warnings and boxes."""
    assert (
        plot_series(rows([1.0], station="纳木错"), "纳木错", "tp").axes[0].get_title(loc="left")
        == "Total phosphorus at ???"
    )
    assert drawing.station_of(rows([1.0], station_name="Étang")) == "A (Étang)"
