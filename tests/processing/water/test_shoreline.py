"""Water lines: sub-pixel truth on made beaches, cuts at missing data, thresholds, a real coast."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import rioxarray
import shapely
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import InputError, MetadataError
from terracube.processing.water.shoreline import shore_threshold, shoreline

SIDE = 10.0
X0, Y0 = 600_000.0, 5_000_000.0


def _image(values: np.ndarray, **coords: object) -> xr.DataArray:
    """A picture or a stack of them on a UTM grid of 10 m, not square."""
    rows, cols = values.shape[-2:]
    places = {"y": Y0 - SIDE * (np.arange(rows) + 0.5), "x": X0 + SIDE * (np.arange(cols) + 0.5)}
    dims = ["time", "y", "x"][-values.ndim :]
    return xr.DataArray(values, {**places, **coords}, dims).rio.write_crs(32630)


def _beach(at: float, tilt: float = 0.0, *, rows: int = 12, cols: int = 30) -> np.ndarray:
    """Share of water of each pixel where everything east of x = at + tilt * y is water, by 20 x 20 samples."""
    fine = (np.arange(20) + 0.5) / 20
    y = (np.arange(rows)[:, None] + fine).reshape(rows, 1, 20, 1)
    x = (np.arange(cols)[:, None] + fine).reshape(1, cols, 1, 20)
    return np.clip((x - at - tilt * y) * 20, 0, 1).mean((2, 3))


def _index(share: np.ndarray) -> np.ndarray:
    """An index that grows with the share of water."""
    return 1.4 * share - 0.6


@settings(max_examples=25, deadline=None)
@given(at=st.floats(5.0, 20.0), tilt=st.floats(-0.5, 0.5))
def test_straight_beaches_are_found_within_an_eighth_of_a_pixel(at: float, tilt: float) -> None:
    """Wherever within the pixels a straight water line lies, points of the line found lie near it.

    A pixel takes the mean of its square: a straight line through such means is off by a little over a tenth at most.
    """
    lines = shoreline(_image(_index(_beach(at, tilt))), 0.1)
    points = shapely.get_coordinates(lines.geometry.to_numpy())
    column, row = (points[:, 0] - X0) / SIDE, (Y0 - points[:, 1]) / SIDE
    across = (column - at - tilt * row) / np.hypot(1.0, tilt)
    assert len(lines) == 1
    assert np.abs(across).max() < 0.125


def test_an_island_has_its_area_and_water_on_the_left() -> None:
    """A round island closes to a ring of its area; water lies left of the way, so that it runs clockwise."""
    row, col = np.mgrid[:40, :50]
    distance = np.hypot(row + 0.5 - 20.3, col + 0.5 - 24.7)
    lines = shoreline(_image(np.tanh(distance - 11.4)), 0.0)
    ring = shapely.LinearRing(lines.geometry[0].coords)
    assert len(lines) == 1
    assert shapely.Polygon(ring).area == pytest.approx(np.pi * 114.0**2, rel=0.01)
    assert not ring.is_ccw
    assert shapely.Polygon(ring).centroid.coords[0] == pytest.approx((X0 + 247.0, Y0 - 203.0), abs=0.5)


def test_dates_and_their_thresholds() -> None:
    """Each date is drawn by itself, at its threshold; a date without a shore has no line."""
    times = np.array(["2024-01-01", "2024-01-11", "2024-01-21"], "datetime64[ns]")
    stack = _image(np.stack([_beach(8.0), np.ones((12, 30)), _beach(14.0)]), time=times)
    lines = shoreline(stack, xr.DataArray([0.5, 0.5, 0.25], dims="time"))
    np.testing.assert_array_equal(lines["time"].to_numpy(), times[[0, 2]])
    assert lines["threshold"].tolist() == [0.5, 0.25]
    assert lines.crs.to_epsg() == 32630
    assert [line.coords[0][0] for line in lines.geometry] == pytest.approx([X0 + 80.0, X0 + 137.5], abs=3.0)
    np.testing.assert_array_equal(lines["length_m"], lines.length)


def test_lazy_is_the_same() -> None:
    """A Dask-backed index gives the same lines, however it is cut."""
    image = _image(_index(_beach(9.3, 0.2)))
    expected = shoreline(image, 0.0)
    assert shoreline(image.chunk({"y": 5, "x": 7}), 0.0).geometry.geom_equals(expected.geometry).all()


def test_lines_are_cut_near_missing_data() -> None:
    """No point lies closer than the margin to a missing or hidden pixel; the rest of the line stays."""
    share = _beach(10.0, rows=40)
    image = _image(np.where((np.arange(40) == 20)[:, None], np.nan, share))
    clear = _image(np.ones((40, 30), bool))
    clear[5, 9:12] = False
    lines = shoreline(image, 0.5, clear=clear, margin=30.0)
    rows = (Y0 - shapely.get_coordinates(lines.geometry.to_numpy())[:, 1]) / SIDE - 0.5
    assert len(lines) == 3
    assert np.abs(rows - 20).min() >= 3
    assert np.abs(rows - 5).min() >= 2.5
    assert rows.min() == 0
    assert rows.max() == 39
    assert len(shoreline(image, 0.5, margin=0.0)) == 2


def test_short_lines_can_be_dropped() -> None:
    """Ponds shorter than asked for are no shore; the longest line comes first."""
    share = _beach(20.0)
    share[5, 5] = 1.0
    assert len(shoreline(_image(share), 0.5)) == 2
    lines = shoreline(_image(share), 0.5, least_length=50.0)
    assert len(lines) == 1
    assert lines["length_m"][0] == pytest.approx(110.0)


@pytest.mark.parametrize("values", [np.full((4, 5), np.nan), np.ones((4, 5)), np.zeros((2, 2)), np.full((4, 5), -0.2)])
def test_no_shore_is_a_valid_answer(values: np.ndarray) -> None:
    """All water, all land, one pixel or nothing at all: no line, and no error."""
    lines = shoreline(_image(values), 0.0)
    assert len(lines) == 0
    assert list(lines.columns) == ["threshold", "length_m", "geometry"]


def test_what_cannot_be_drawn_is_refused() -> None:
    """Degrees, rows that run north, other pixels, no number and no date are errors."""
    image = _image(_beach(5.0))
    with pytest.raises(InputError, match="metres"):
        shoreline(image.drop_vars("spatial_ref").assign_coords(x=image.x / 1e5, y=image.y / 1e5).rio.write_crs(4326), 0)
    with pytest.raises(MetadataError):
        shoreline(image.drop_vars("spatial_ref"), 0.0)
    with pytest.raises((InputError, MetadataError)):
        shoreline(image[::-1], 0.0)
    with pytest.raises(InputError, match="different pixels"):
        shoreline(image, 0.0, clear=image[1:] > 0)
    with pytest.raises(InputError, match="not finite"):
        shoreline(image, np.nan)
    with pytest.raises(InputError, match="several thresholds"):
        shoreline(image, xr.DataArray([0.0, 1.0], dims="time"))
    with pytest.raises(InputError, match="no image"):
        shoreline(image[0], 0.0)
    with pytest.raises(InputError, match="no date"):
        shoreline(_image(np.empty((0, 4, 5)), time=np.array([], "datetime64[ns]")), 0.0)


def test_threshold_parts_unequal_classes() -> None:
    """The threshold lies between sand and water though there is a hundred times more water."""
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.normal(0.5, 0.08, 9900), rng.normal(-0.4, 0.08, 100)]).reshape(100, 100)
    image = _image(values)
    water = _image(np.arange(10_000).reshape(100, 100) < 9900)
    assert -0.2 < shore_threshold(image, water, ~water) < 0.3


def test_threshold_of_one_value_and_of_no_class() -> None:
    """One value parts nothing; a class without pixels or with other pixels is refused."""
    image = _image(np.full((3, 4), 0.2))
    left = _image(np.broadcast_to(np.arange(4) < 2, (3, 4)))
    assert shore_threshold(image, left, ~left) == pytest.approx(0.2)
    with pytest.raises(InputError, match="no pixel"):
        shore_threshold(image, left, left & False)
    with pytest.raises(InputError, match="no pixel"):
        shore_threshold(image * np.nan, left, ~left)
    with pytest.raises(InputError, match="different pixels"):
        shore_threshold(image, left, ~left[1:])


def test_a_real_coast(data_dir: Path) -> None:
    """Fishbourne at 10 m: the longest line is the shore of the harbour, water lies on its left."""
    picture = rioxarray.open_rasterio(data_dir / "sentinel2-l2a/fishbourne-10m/s2a_l2a_fishbourne.tif").load()
    bands = picture.where(picture > 0)
    index = (bands[1] - bands[3]) / (bands[1] + bands[3])
    threshold = shore_threshold(index, index > 0.1, index < -0.1)
    lines = shoreline(index, threshold, least_length=200.0)
    assert -0.25 < threshold < 0.25
    assert lines["length_m"][0] > 1500.0
    assert isinstance(lines, geopandas.GeoDataFrame)
    assert _left_is_wetter(index, lines.geometry[0])


def _left_is_wetter(index: xr.DataArray, line: shapely.LineString) -> bool:
    sides = []
    for offset in (15.0, -15.0):
        points = shapely.get_coordinates(line.offset_curve(offset))
        at = {"x": xr.DataArray(points[:, 0], dims="p"), "y": xr.DataArray(points[:, 1], dims="p")}
        sides.append(float(index.sel(at, method="nearest").mean()))
    return sides[0] > sides[1] + 0.1
