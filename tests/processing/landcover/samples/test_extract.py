"""Series of samples from cubes: the right pixels, once, whatever the chunks and the order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import geopandas
import numpy as np
import pandas as pd
import pystac
import pytest
import rasterio
import rioxarray  # noqa: F401  registers the `.rio` accessor
import shapely
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from terracube.core.errors import BudgetError, EmptyResultError, InputError, MetadataError
from terracube.cubes import load
from terracube.cubes.sampling import pixels as cube_pixels
from terracube.processing.landcover.nomenclature import load_nomenclature
from terracube.processing.landcover.samples import Drawing, Samples, Series, extract, make_samples, read_samples

OSO = load_nomenclature("oso-23")
SIDE, STEP = 40, 10.0


def cube(chunks: Any = None, *, turned: bool = False) -> xr.Dataset:
    """Make a cube of three dates and two bands in which every value tells its place; a slope without dates."""
    rows, cols = np.mgrid[:SIDE, :SIDE]
    place = (rows * 100 + cols).astype("float32")
    bands = {
        name: np.stack([place + 10_000 * date + add for date in range(3)]) for name, add in (("red", 0), ("nir", 0.5))
    }
    dims = ("time", "y", "x")
    variables = {
        name: (dims, values if chunks is None else da.from_array(values, chunks)) for name, values in bands.items()
    }
    coords = {
        "time": pd.DatetimeIndex(["2018-01-11", "2018-01-21", "2019-01-11"]).astype("datetime64[ns]"),
        "y": 5_000_000 - STEP * (np.arange(SIDE) + 0.5),
        "x": 500_000 + STEP * (np.arange(SIDE) + 0.5),
    }
    found = xr.Dataset({**variables, "slope": (("y", "x"), place)}, coords=coords)
    return (found.isel(y=slice(None, None, -1)) if turned else found).rio.write_crs("EPSG:32631")


def field(row: float, col: float, height: float, width: float) -> shapely.Polygon:
    """Make a rectangle in pixels of the cube."""
    return shapely.box(
        500_000 + STEP * col, 5_000_000 - STEP * (row + height), 500_000 + STEP * (col + width), 5_000_000 - STEP * row
    )


def fields(*shapes: shapely.Geometry, labels: Any = None, **known: Any) -> Samples:
    """Make samples of rectangles."""
    return make_samples(list(shapes), labels or [10] * len(shapes), OSO, crs="EPSG:32631", **known)


def places_of(found: Series) -> NDArray[np.int64]:
    """Tell row * 100 + col of each pixel from the first value."""
    return found.values[:, 0, 0].astype(np.int64)


def test_pixels_of_a_polygon() -> None:
    """Exactly the pixels whose centre lies inside, with their values, place, group, region and label."""
    samples = fields(field(2, 3, 2, 3), field(10, 10, 1, 1), labels=[10, 23], region=["n", "s"])
    found = extract(samples, cube(), start="2018-01-01")
    assert places_of(found).tolist() == [203, 204, 205, 303, 304, 305, 1010]
    assert found.labels.tolist() == [10] * 6 + [23]
    assert found.region.tolist() == ["n"] * 6 + ["s"]
    assert found.groups[:6].tolist() == [found.groups[0]] * 6
    assert found.days.tolist() == [10, 20, 375]
    assert found.bands == ("red", "nir")
    assert (found.values[:, :, 1] - found.values[:, :, 0] == 0.5).all()
    assert found.static[0][0] == "slope"
    assert found.static[0][1].tolist() == places_of(found).tolist()
    assert found.x[0] == 500_035
    assert found.y[0] == 4_999_975
    assert found.lon[0] == pytest.approx(3.0, abs=0.001)
    assert found.nomenclature == OSO


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 4), st.booleans())
def test_chunks_and_order_mean_nothing(high: int, wide: int, seed: int, turned: bool) -> None:
    """Any chunks, any order of the samples, and a cube upside down: the same series, to the bit."""
    shapes = [field(1, 1, 20, 9), field(5, 12, 7, 20), field(30, 0, 9, 39)]
    samples = fields(*shapes, labels=[10, 23, 13])
    how = Drawing(most=15, seed=seed)
    whole = extract(samples, cube(), start="2018-01-01", drawing=how)
    order = np.random.default_rng(seed).permutation(3)
    other = extract(samples.take(order), cube((2, high, wide), turned=turned), start="2018-01-01", drawing=how)
    for name in ("values", "days", "labels", "sample", "groups", "x", "lon"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(other, name))


def test_part_of_the_cube_gives_the_same_pixels() -> None:
    """A polygon inside a part of the cube draws the pixels it draws in the whole."""
    samples = fields(field(12, 12, 10, 10))
    how = Drawing(most=7)
    whole = extract(samples, cube(), start="2018-01-01", drawing=how)
    part = extract(samples, cube().isel(y=slice(10, 30), x=slice(11, 35)), start="2018-01-01", drawing=how)
    np.testing.assert_array_equal(whole.values, part.values)
    assert whole.sample.tolist() == part.sample.tolist()


def test_so_many_pixels_of_each_polygon() -> None:
    """At most so many, spread by chance; other seeds draw others; all if asked for."""
    samples = fields(field(0, 0, 20, 20), field(30, 30, 2, 2))
    found = extract(samples, cube(), start="2018-01-01")
    assert np.unique(found.groups, return_counts=True)[1].tolist() in ([50, 4], [4, 50])
    other = extract(samples, cube(), start="2018-01-01", drawing=Drawing(seed=1))
    assert set(found.sample) != set(other.sample)
    assert len(extract(samples, cube(), start="2018-01-01", drawing=Drawing(most=None))) == 404
    drawn = [places_of(extract(samples, cube(), start="2018-01-01", drawing=Drawing(seed=s))) for s in range(20)]
    mean = np.mean([(one[one < 2000] // 100).mean() for one in drawn])
    assert mean == pytest.approx(9.5, abs=0.7)
    with pytest.raises(InputError, match="number of pixels"):
        Drawing(most=0)


def test_pixels_that_two_claim() -> None:
    """Different classes: nobody has them, and it is told; the same class: the first by name; other seasons: both."""
    shapes = (field(0, 0, 2, 4), field(0, 2, 2, 4))
    found = extract(fields(*shapes, labels=[10, 23]), cube(), start="2018-01-01")
    assert places_of(found).tolist() == [0, 1, 100, 101, 4, 5, 104, 105]
    assert [(one.id, one.reason[:8]) for one in found.left_out] == [("0", "4 pixels"), ("1", "4 pixels")]
    for names in (["a", "b"], ["b", "a"]):
        same = extract(fields(*shapes, sample=names), cube(), start="2018-01-01")
        assert len(same) == 12
        assert len(set(places_of(same).tolist())) == 12
        assert (np.char.startswith(same.sample, "a")).sum() == 8
    season = {"start": ["2018-01-01", "2019-01-01"], "end": ["2018-12-31", "2019-12-31"]}
    both = extract(fields(*shapes, labels=[10, 23], **season), cube())
    assert len(both) == 16
    assert both.left_out == ()


def test_each_sample_has_its_season() -> None:
    """Dates from the first to the last day of the sample's own season; days count from its start."""
    season = {"start": ["2018-01-01", "2019-01-01"], "end": ["2018-01-21", "2019-12-31"]}
    found = extract(fields(field(0, 0, 1, 1), field(5, 5, 1, 1), **season), cube())
    assert found.days.tolist() == [10, 20]
    assert found.values[0, :, 0].tolist() == [0, 10_000]
    assert found.values[1, 0, 0] == 20_505
    assert np.isnan(found.values[1, 1]).all()
    assert found.start.astype(str).tolist() == ["2018-01-01", "2019-01-01"]


def test_a_season_without_dates_is_told() -> None:
    """Samples of a year that the cube lacks are left out by name; if all are, there is nothing."""
    season = {"start": ["2018-01-01", "2020-01-01"], "end": ["2018-12-31", "2020-12-31"]}
    samples = fields(field(0, 0, 1, 1), field(0, 0, 1, 1), labels=[10, 23], **season)
    found = extract(samples, cube())
    assert len(found) == 1
    assert found.left_out[0].reason == "the cube has no date in its season"
    with pytest.raises(EmptyResultError, match="no date"):
        extract(samples.take([1]), cube())


def test_points_and_other_crs() -> None:
    """A point takes the pixel that holds it; longitude and latitude are brought to the cube."""
    spots = [shapely.Point(500_035, 4_999_975), shapely.Point(500_000 - 5, 4_999_975)]
    samples = fields(*spots, labels=[10, 23])
    found = extract(samples, cube(), start="2018-01-01")
    assert places_of(found).tolist() == [203]
    assert found.sample.tolist() == ["0"]
    assert [(one.id, one.reason) for one in found.left_out] == [("1", "outside the cube")]
    degrees = geopandas.GeoSeries([spots[0]], crs="EPSG:32631").to_crs("EPSG:4326")
    turned = extract(make_samples(degrees, [10], OSO), cube(), start="2018-01-01")
    np.testing.assert_array_equal(found.values, turned.values)


def test_samples_outside_are_told() -> None:
    """A polygon beyond the cube, one beyond in part, and one without a pixel centre."""
    shapes = (field(-5, -5, 2, 2), field(-2, 0, 4, 1), field(10.1, 10.1, 0.2, 0.2), field(20, 20, 1, 1))
    found = extract(fields(*shapes), cube(), start="2018-01-01")
    assert places_of(found).tolist() == [0, 100, 2020]
    assert {one.id: one.reason for one in found.left_out} == {
        "0": "outside the cube",
        "2": "no pixel centre inside",
        "1": "the part outside the cube",
    }
    with pytest.raises(EmptyResultError, match="no sample lies on a pixel"):
        extract(fields(field(-5, -5, 2, 2)), cube(), start="2018-01-01")
    touched = extract(fields(shapes[2]), cube(), start="2018-01-01", drawing=Drawing(all_touched=True))
    assert len(touched) == 1


def test_missing_is_nan() -> None:
    """NaN and the declared nodata of whole numbers are missing; nothing else is."""
    whole = cube()[["red"]].astype("int32")
    whole["red"].attrs["nodata"] = 0
    found = extract(fields(field(0, 0, 1, 2)), whole, start="2018-01-01")
    assert np.isnan(found.values[0, 0, 0])
    assert found.values[1, 0, 0] == 1


def test_each_chunk_is_read_once() -> None:
    """Only chunks with samples are computed, and each once for all its samples and polygons."""
    seen: list[Any] = []

    def block(values: Any, block_info: Any = None) -> Any:
        if block_info:
            seen.append(block_info[0]["chunk-location"])
        return values

    lazy = cube((3, 10, 10))[["red"]]
    lazy["red"].data = da.map_blocks(block, lazy["red"].data, dtype="float32", meta=np.empty((0, 0, 0), "float32"))
    extract(fields(field(0, 0, 5, 15), field(3, 2, 4, 4), field(35, 35, 2, 2)), lazy, start="2018-01-01")
    assert sorted(seen) == [(0, 0, 0), (0, 0, 1), (0, 3, 3)]


@pytest.mark.parametrize(
    ("choice", "error", "told"),
    [
        ({}, MetadataError, "first day of a season"),
        ({"start": "yesterday"}, InputError, "day cannot be read"),
        ({"start": "2018"}, InputError, "day cannot be read"),
        ({"start": "0018-01-01"}, InputError, "cannot be read|too far"),
        ({"start": ""}, InputError, "no day"),
        ({"start": "2018-01-01", "bands": ["blue"]}, InputError, "lacks a band"),
        ({"start": "2018-01-01", "bands": []}, InputError, "lacks a band"),
        ({"start": "2018-01-01", "resolution": 10}, InputError, "items only"),
    ],
)
def test_wrong_choices(choice: Any, error: type[Exception], told: str) -> None:
    """The season is never guessed; unknown bands and options are told."""
    with pytest.raises(error, match=told):
        extract(fields(field(0, 0, 1, 1)), cube(), **choice)


def test_bands_in_their_order() -> None:
    """Bands come in the order that is asked for."""
    found = extract(fields(field(0, 0, 1, 1)), cube(), start=np.datetime64("2018-01-01"), bands=["nir", "red"])
    assert found.bands == ("nir", "red")
    assert found.values[0, 0].tolist() == [0.5, 0]


def test_too_much_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels and values beyond the memory are refused before they are read."""
    samples = fields(field(0, 0, 10, 10), field(20, 20, 10, 10))
    monkeypatch.setattr(cube_pixels, "_MOST_BYTES", 100)
    with pytest.raises(BudgetError, match="values of these pixels"):
        extract(samples, cube(), start="2018-01-01")
    monkeypatch.setattr(cube_pixels, "_MOST_PIXELS", 150)
    with pytest.raises(BudgetError, match="too many pixels"):
        extract(samples, cube(), start="2018-01-01")
    with pytest.raises(InputError, match="beyond the cube"):
        cube_pixels.read_pixels(cube(), np.array([40]), np.array([0]))


def sinop(data_dir: Path) -> xr.Dataset:
    """Make a cube of the twelve scenes of Sinop."""
    folder = data_dir / "landcover/sinop-modis/inst/extdata/raster/mod13q1"
    scenes = []
    for path in sorted(folder.glob("*.jp2")):
        with rasterio.open(path) as file:
            values, place, crs = file.read(1), file.transform, file.crs
        scenes.append((path.stem[-10:], values))
    y = place.f + place.e * (np.arange(values.shape[0]) + 0.5)
    x = place.c + place.a * (np.arange(values.shape[1]) + 0.5)
    times = pd.DatetimeIndex([day for day, _ in scenes]).astype("datetime64[ns]")
    stack = np.stack([values for _, values in scenes])
    coords = {"time": times, "y": y, "x": x}
    return xr.Dataset({"ndvi": (("time", "y", "x"), stack)}, coords=coords).rio.write_crs(crs)


def test_sinop_points(data_dir: Path) -> None:
    """Real points on real scenes: the values that the raster library reads at the same places, at all 12 dates."""
    folder = data_dir / "landcover/sinop-modis/inst/extdata"
    samples = read_samples(folder / "samples/samples_sinop_crop.csv")
    assert isinstance(samples, Samples)
    found = extract(samples, sinop(data_dir))
    assert found.values.shape == (18, 12, 1)
    assert found.days.tolist()[:3] == [0, 32, 64]
    path = sorted((folder / "raster/mod13q1").glob("*.jp2"))[3]
    with rasterio.open(path) as file:
        there = samples.frame.geometry.to_crs(file.crs)
        read = [one[0] for one in file.sample(zip(there.x, there.y, strict=True))]
    order = [samples.sample.tolist().index(name) for name in found.sample]
    assert found.values[:, 3, 0].tolist() == [float(read[at]) for at in order]


def test_scenes_as_well_as_a_cube(data_dir: Path) -> None:
    """Items give what the cube that is loaded from them gives, to the bit."""
    paths = sorted((data_dir / "sentinel2-l2a").glob("33TWM/sentinel-2-l2a/*/*.json"))[:2]
    items = [pystac.Item.from_file(str(path)) for path in paths]
    loaded = load(items, bands=["nir", "red"], chunks=64)
    left, top = float(loaded["x"][200]), float(loaded["y"][300])
    shapes = [shapely.box(left, top - 2000, left + 3000, top), shapely.Point(left + 9000, top).buffer(1500)]
    samples = make_samples(shapes, [10, 16], OSO, crs=loaded.rio.crs)
    one = extract(samples, loaded, start="2023-01-01")
    two = extract(samples, items, start="2023-01-01", bands=["nir", "red"])
    assert one.bands == two.bands == ("nir", "red")
    np.testing.assert_array_equal(one.values, two.values)
    assert np.isfinite(one.values).any()
    assert one.days.tolist() == two.days.tolist()


def test_slovenian_fields(data_dir: Path) -> None:
    """Real polygons on their raster: the land use drawn by others agrees inside nearly all pixels of our polygons."""
    folder = data_dir / "landcover/slovenia-eopatch/TestEOPatch"
    samples = read_samples(folder / "vector_timeless/LULC.gpkg", label="LULC_ID", ignore=["0"])
    assert isinstance(samples, Samples)
    drawn = np.load(folder / "mask_timeless/LULC.npy")[..., 0]
    left, bottom, right, top = shapely.from_geojson((folder / "bbox.geojson").read_text()).bounds
    rows, cols = drawn.shape
    coords = {
        "time": pd.DatetimeIndex(["2017-01-01"]).astype("datetime64[ns]"),
        "y": top - (np.arange(rows) + 0.5) * (top - bottom) / rows,
        "x": left + (np.arange(cols) + 0.5) * (right - left) / cols,
    }
    raster = xr.Dataset({"lulc": (("time", "y", "x"), drawn[None])}, coords=coords).rio.write_crs("EPSG:32633")
    found = extract(samples, raster, start="2017-01-01", drawing=Drawing(most=None))
    assert len(found) > 8000
    assert (found.values[:, 0, 0] == found.labels).mean() > 0.99
