"""``ds.terracube``: where a cube lies, what it says of itself, and pictures that show what is there."""

from __future__ import annotations

import json

import dask.array as da
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

import terracube.cubes.accessor  # noqa: F401  registers the accessor
from terracube.core.errors import AssetError, InputError, MetadataError, NotFoundError
from terracube.cubes import YX, Bounds, Grid, Pair
from terracube.cubes.load import georeference
from terracube.cubes.look import Choice, look
from terracube.cubes.plot import class_colours, classes_of, colours, ground_width, limits_of, round_length
from terracube.cubes.storage import write_zarr
from terracube.cubes.storage.rasters import write_cog

GRID = Grid("EPSG:32633", Pair(-10.0, 10.0), Pair(0.0, 0.0), YX(-515000, 50000), YX(200, 300))
SCL = {"flag_values": [0, 4, 6], "flag_meanings": "no_data vegetation water", "flag_colors": "#000000 #00ff00 #0000ff"}


@pytest.fixture(autouse=True)
def _figures():
    """Draw without a screen, and leave no figure open."""
    before = mpl.get_backend()
    mpl.use("agg")
    yield
    plt.close("all")
    mpl.use(before)


def cube(chunks=None, grid=GRID):
    """Give a cube of two dates: grey of three strengths, with a corner missing, and classes."""
    rows = np.linspace(0.0, 0.5, grid.shape.y, dtype="float32")[:, None] * np.ones((2, 1, grid.shape.x), "float32")
    rows[1] += 0.1
    rows[:, :20, :30] = np.nan
    values = {"blue": rows, "green": rows * 1.5, "red": rows * 2}
    made = {n: (da.from_array(v, chunks=chunks) if chunks else v) for n, v in values.items()}
    arrays = {
        n: georeference(xr.DataArray(v, dims=("time", "y", "x"), attrs={"units": "1"}), grid) for n, v in made.items()
    }
    classes = np.where(np.isnan(rows[0]), 0, np.where(rows[0] > 0.25, 6, 4)).astype("uint8")
    scl = georeference(xr.DataArray(classes, dims=("y", "x"), attrs={**SCL, "nodata": 0, "long_name": "Scene"}), grid)
    days = pd.to_datetime(["2024-05-01T00:00:00", "2024-05-06T10:20:00"])
    return xr.Dataset({**arrays, "scl": scl}).assign_coords(time=days)


def drawn(axes):
    """Render a figure and give its pixels."""
    axes.figure.canvas.draw()
    return np.asarray(axes.figure.canvas.buffer_rgba())


def test_the_grid():
    """The grid is the one that the cube was made on; without a CRS there is none."""
    assert cube().terracube.grid == GRID
    with pytest.raises(MetadataError, match="CRS is not known"):
        _ = cube().drop_vars("spatial_ref").terracube.grid


class TestColours:
    def test_hues_stay(self):
        """Bands are stretched together: what is redder stays redder, in order; what is missing is transparent."""
        seen = look(cube(), Choice())
        low, high = limits_of(seen, ["red", "green", "blue"], (2, 98), None)
        pixels = colours(seen, ["red", "green", "blue"], low, high)
        assert (pixels[:20, :30, 3] == 0).all()
        assert (pixels[20:, :, 3] == 255).all()
        inside = pixels[25:150, 100]
        assert (inside[:, 0] >= inside[:, 1]).all()
        assert (inside[:, 1] >= inside[:, 2]).all()
        assert (np.diff(inside[:, 0].astype(int)) >= 0).all()

    def test_limits(self):
        """Percentiles are those of all valid pixels of the bands together; values are taken as they are."""
        seen = look(cube(), Choice())
        together = np.concatenate([seen.bands[n][seen.seen[n]] for n in ("red", "blue")]).astype("float64")
        assert limits_of(seen, ["red", "blue"], (2, 98), None) == tuple(np.percentile(together, (2, 98)))
        assert limits_of(seen, ["red"], (2, 98), (0, 0.3)) == (0.0, 0.3)
        for wrong in ((98, 2), (-1, 50), (0, 101), (0, float("nan"))):
            with pytest.raises(InputError):
                limits_of(seen, ["red"], wrong, None)
        with pytest.raises(InputError, match="limits"):
            limits_of(seen, ["red"], (2, 98), (1, 1))

    def test_classes(self):
        """Classes take their own colours; what is missing or unnamed is transparent."""
        told = classes_of(SCL)
        assert told == {0: ("no data", "#000000"), 4: ("vegetation", "#00ff00"), 6: ("water", "#0000ff")}
        values = np.array([[4, 6, 9, 0]])
        pixels = class_colours(values, values != 0, told)
        assert pixels[0].tolist() == [[0, 255, 0, 255], [0, 0, 255, 255], [0, 0, 0, 0], [0, 0, 0, 0]]

    @pytest.mark.parametrize(
        "attrs", [{}, {"flag_values": [1]}, SCL | {"flag_meanings": "one two"}, SCL | {"flag_masks": [1, 2, 4]}]
    )
    def test_no_classes(self, attrs):
        """Without values and names that match, or with bit flags, there are no classes."""
        assert classes_of(attrs) is None

    def test_colours_of_our_own(self):
        """Colours that are none are replaced, each class having another."""
        told = classes_of(SCL | {"flag_colors": "#000000 javascript:x #0000ff"})
        assert len({shade for _, shade in told.values()}) == 3


class TestScaleBar:
    @pytest.mark.parametrize(
        ("crs", "box", "expected"),
        [
            ("EPSG:32633", Bounds(500000, 5e6, 520000, 5.01e6), 20000 / 0.9996),
            ("EPSG:4326", Bounds(14.0, 45.0, 15.0, 46.0), 78000),
            ("EPSG:3857", Bounds(0, 8.39e6, 20000, 8.41e6), 10000),
        ],
    )
    def test_ground_width(self, crs, box, expected):
        """The width is that on the ground: in degrees at the middle latitude, and where a projection stretches."""
        assert ground_width(crs, box) == pytest.approx(expected, rel=5e-3)

    def test_off_the_earth(self):
        """A box that is no place has no scale bar."""
        assert ground_width("EPSG:3857", Bounds(1e30, 0, 2e30, 1)) is None

    @pytest.mark.parametrize(
        ("most", "expected"), [(1.0, 1), (1.9, 1), (2.0, 2), (7, 5), (99, 50), (1e5, 1e5), (0.3, 0.2)]
    )
    def test_round_lengths(self, most, expected):
        """Lengths are 1, 2 or 5 of a power of ten."""
        assert round_length(most) == pytest.approx(expected)


class TestPlot:
    def test_true_colour(self):
        """A cube with red, green and blue is drawn in colours, with date, CRS and a bar of a round length."""
        axes = cube().terracube.plot()
        assert axes.get_title() == "2024-05-06 10:20 UTC · EPSG:32633"
        assert "500 m" in {text.get_text() for text in axes.texts}
        assert axes.get_xlim() == (GRID.bounds.left, GRID.bounds.right)
        picture = drawn(axes)
        left, bottom = (axes.transAxes.transform((0.03, 0.97))).astype(int)
        assert (picture[picture.shape[0] - bottom, left] == 255).all(), "what is missing shows the paper"

    @pytest.mark.parametrize(
        ("time", "title"),
        [
            ("2024-05-01", "2024-05-01"),
            (0, "2024-05-01"),
            (-1, "2024-05-06 10:20 UTC"),
            ("2024-05-06", "2024-05-06 10:20 UTC"),
        ],
    )
    def test_dates(self, time, title):
        """A day, a moment or a position chooses the date, and the title tells which."""
        assert cube().terracube.plot(time=time).get_title().startswith(f"{title} ·")

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"time": "2024-05-02"}, NotFoundError, "like 2024-05-01"),
            ({"time": 7}, NotFoundError, "0..1"),
            ({"time": "soon"}, InputError, "not a date"),
            ({"rgb": ("red", "nir", "blue")}, NotFoundError, "nir"),
            ({"rgb": ("red", "blue")}, InputError, "three bands"),
            ({"band": "nir"}, NotFoundError, "nir"),
        ],
    )
    def test_what_is_not_there(self, options, error, message):
        """A date or variable that is not there is named, with what is."""
        with pytest.raises(error, match=message):
            cube().terracube.plot(**options)

    def test_one_band(self):
        """One band has a colour bar with name and unit; a cube without true colours shows its first variable."""
        ds = cube()[["blue"]].rename(blue="height")
        ds.height.attrs.update(units="m", long_name="Height")
        axes = ds.terracube.plot()
        assert axes.figure.axes[1].get_ylabel() == "Height [m]"
        drawn(axes)

    def test_classes(self):
        """Classes have a legend of those that are there."""
        axes = cube().terracube.plot(band="scl")
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["vegetation", "water"]
        drawn(axes)

    def test_in_given_axes(self):
        """A figure of one's own is drawn into."""
        axes = Figure().subplots()
        assert cube().terracube.plot(ax=axes) is axes
        assert plt.get_fignums() == []

    def test_degrees(self):
        """Degrees keep the proportions of the ground at the middle latitude."""
        grid = Grid("EPSG:4326", Pair(-0.01, 0.01), Pair(0.0, 0.0), YX(-6050, 1400), YX(100, 100))
        axes = cube(grid=grid).terracube.plot()
        assert axes.get_aspect() == pytest.approx(2.0, rel=1e-6)
        assert axes.get_xlabel() == "longitude [°]"
        drawn(axes)

    def test_nothing_to_see(self):
        """A cube without any value is drawn empty."""
        empty = cube() * np.nan
        drawn(empty.rio.write_crs(32633).terracube.plot())
        drawn(empty.rio.write_crs(32633).terracube.plot(band="red"))

    def test_a_layer_too_many(self):
        """A variable with another axis is refused."""
        ds = cube().expand_dims(level=2)
        with pytest.raises(InputError, match="also level"):
            ds.terracube.plot()


class TestCoarse:
    def test_every_nth(self):
        """A lazy cube is thinned block by block, and looks as in memory."""
        lazy, whole = look(cube((1, 64, 64)), Choice(side=90)), look(cube(), Choice(side=90))
        assert max(lazy.bands["red"].shape) <= 90
        for name in lazy.bands:
            assert np.array_equal(lazy.bands[name], whole.bands[name], equal_nan=True)
            assert np.array_equal(whole.bands[name], cube()[name].values[1, 2::4, 2::4], equal_nan=True)

    def test_levels_of_a_store(self, tmp_path):
        """From a store only the chunks of the level that is shown are read; a changed cube is not taken for it."""
        write_zarr(cube(), tmp_path / "z", chunks=64)
        opened = xr.open_zarr(tmp_path / "z", decode_coords="all")
        for file in (tmp_path / "z" / "red" / "c").rglob("*"):
            if file.is_file():
                file.write_bytes(b"")  # full resolution can no longer be read
        shown = look(opened, Choice(side=150))
        assert np.array_equal(shown.bands["red"], xr.open_zarr(tmp_path / "z", group="1").red.values[1], equal_nan=True)
        assert look(tmp_path / "z", Choice(side=80)).bands["red"].shape == (50, 75)
        doubled = opened.assign(blue=opened.blue * 2)
        found = look(doubled, Choice(band="blue", side=150)).bands["blue"]
        assert np.array_equal(found, cube().blue.values[1, 1::2, 1::2] * 2, equal_nan=True)

    def test_files(self, tmp_path):
        """A folder of COGs and a file are looked at from their overviews, in the same place."""
        ds = cube().isel(time=1, drop=True)
        write_cog(ds, tmp_path / "cogs")
        shown = look(tmp_path / "cogs", Choice(side=150))
        assert list(shown.bands) == ["red", "green", "blue"]
        assert shown.bounds == GRID.bounds
        assert shown.crs == GRID.crs
        assert not shown.seen["red"][:10, :15].any()
        assert shown.seen["red"][11:, :].all()
        one = look(tmp_path / "cogs" / "blue.tif", Choice(side=1000))
        assert np.array_equal(one.bands["blue"], ds.blue.values, equal_nan=True)

    def test_nothing_there(self, tmp_path):
        """A path that is not there, or holds no raster, is told."""
        with pytest.raises(NotFoundError):
            look(tmp_path / "none", Choice())
        with pytest.raises(AssetError):
            look(tmp_path, Choice())


class TestSummary:
    def test_what_is_told(self):
        """Grid, dates, variables and what the attributes tell, as text and as a page."""
        ds = cube().assign_attrs({"terracube:sources": json.dumps([{"id": "S2A"}] * 30), "other": 1})
        text, page = str(ds.terracube.summary()), ds.terracube.summary()._repr_html_()
        for part in (
            "EPSG:32633",
            "200 rows x 300 columns",
            "2024-05-01",
            "uint8 (y 200, x 300)",
            "Sources",
            "and 10 more",
        ):
            assert part in text
            assert part in page
        assert "other" not in text

    def test_hostile_text(self):
        """What comes from outside is escaped, cut, and never believed to be JSON."""
        attrs = {
            "terracube:a": "<script>",
            "terracube:b": json.dumps({"<b>": "&" * 9000}),
            "terracube:c": "[" * 100_000,
        }
        ds = cube().assign_attrs(attrs)
        ds.red.attrs["long_name"] = "<img>"
        page = ds.terracube.summary()._repr_html_()
        assert "<script" not in page
        assert "<img" not in page
        assert "<b>&" not in page
        assert len(page) < 20_000

    def test_without_a_place(self):
        """A dataset without CRS is told as such."""
        assert "no axes y and x" in str(xr.Dataset({"a": ("y", [1, 2])}).terracube.summary())
