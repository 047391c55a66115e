"""Measured quality of a scene: the counts are those of a plain computation, however the rows arrive."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import InputError
from terracube.core.sensors import load_sensor
from terracube.cubes import YX, Grid, Pair
from terracube.ingest import ingest
from terracube.ingest.quality import SceneQuality
from terracube.ingest.quality.geolocation import check_place, footprint_overlap
from terracube.ingest.quality.judge import read_rules
from terracube.ingest.sources import load_source
from terracube.ingest.writing import write_files
from terracube.stac import footprint, to_query

RNG = np.random.default_rng(41)
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float32", "float64", "bool")
SENTINEL2, LANDSAT = load_sensor("sentinel-2-l2a"), load_sensor("landsat-c2-l2")


def grid_of(shape, resolution=10.0, top=5_200_020.0, left=499_980.0, crs="EPSG:32633"):
    """Give a grid of a shape with its corner at a place."""
    rows, cols = -top / resolution, left / resolution
    anchor = Pair(rows % 1, cols % 1)
    return Grid(crs, Pair(-resolution, resolution), anchor, YX(math.floor(rows), math.floor(cols)), YX(*shape))


def measured(values, thresholds=None, *, strip=None, key="red", **options):
    """Measure a scene of one layer."""
    scene = SceneQuality(thresholds or {})
    band = scene.layer(key, grid_of(values.shape), str(values.dtype), **options)
    for start in range(0, len(values), strip or len(values)):
        band.add(start, values[start : start + (strip or len(values))])
    return scene.finish()


def number(found, name):
    """Give a measure."""
    return found.measures[name].value


def numbers_of(dtype, shape=(60, 50)):
    """Give random numbers of a type, its extremes among them."""
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return RNG.random(shape) < 0.3
    if kind.kind == "f":
        values = RNG.normal(0.2, 0.5, shape).astype(kind)
        values[0, :4] = [np.nan, np.inf, -np.inf, -0.0]
        return values
    limits = np.iinfo(kind)
    values = RNG.integers(0, 100, shape).astype(kind)
    values[0, :3] = [limits.min, limits.max, limits.max]
    return values


class TestCounts:
    """Against numpy on the whole array."""

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_every_type(self, dtype):
        """Valid, saturated and implausible pixels and percentiles are those of a plain computation."""
        values = numbers_of(dtype)
        nodata = None if dtype == "bool" else 7
        found = measured(values, {"plausible": [0.0, 0.5]}, nodata=nodata, scale=(0.01, 0.02))
        seen = np.isfinite(values) & ((values != nodata) if nodata is not None else True)
        there = values[seen]
        physical = there.astype("float64") * 0.01 + 0.02
        facts = found.layers["red"]
        assert facts.valid_fraction == seen.mean()
        assert facts.out_of_range_fraction == pytest.approx(((physical < 0) | (physical > 0.5)).mean(), abs=1e-12)
        if np.dtype(dtype).kind in "ui":
            assert facts.saturated_fraction == (there == np.iinfo(dtype).max).mean()
        else:
            assert facts.saturated_fraction is None
        exact = np.quantile(physical, (0.02, 0.5, 0.98), method="inverted_cdf")
        assert facts.percentiles == pytest.approx(tuple(exact), rel=0.01, abs=1e-4)

    @pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16"])
    def test_percentiles_of_narrow_types_are_exact(self, dtype):
        """Where every number is counted, percentiles are numbers of the layer."""
        values = RNG.integers(0, 120, (40, 33)).astype(dtype)
        exact = np.quantile(values, (0.02, 0.5, 0.98), method="inverted_cdf")
        assert measured(values).layers["red"].percentiles == tuple(exact)

    @settings(max_examples=40, deadline=None)
    @given(
        strip=st.integers(1, 70),
        order=st.randoms(use_true_random=False),
        dtype=st.sampled_from(DTYPES),
        threads=st.integers(1, 3),
    )
    def test_strips_order_and_threads_do_not_matter(self, strip, order, dtype, threads):
        """Rows in strips of any height, in any order and from any thread give the same to the bit."""
        values = np.random.default_rng(5).integers(0, 2, (64, 19)).astype(dtype)
        scene = SceneQuality({"plausible": [0.0, 0.5]})
        band = scene.layer("red", grid_of(values.shape), dtype, nodata=None if dtype == "bool" else 3)
        starts = list(range(0, 64, strip))
        order.shuffle(starts)
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda start: band.add(start, values[start : start + strip]), starts))
        whole = measured(values, {"plausible": [0.0, 0.5]}, nodata=None if dtype == "bool" else 3)
        assert scene.finish() == whole

    def test_all_missing(self):
        """A scene without a value is rejected, and shares of nothing are not measured."""
        found = measured(np.zeros((30, 20), "uint16"), {"plausible": [0, 1]}, nodata=0)
        assert (found.verdict, found.reasons) == ("rejected", ("no pixel holds a value",))
        assert number(found, "valid_fraction") == 0.0
        for name in ("saturated_fraction", "out_of_range_fraction", "cloud_cover", "registration_shift"):
            assert number(found, name) is None
        assert found.layers["red"].percentiles is None

    def test_one_pixel(self):
        """One good pixel is a whole scene."""
        found = measured(np.array([[5]], "uint8"))
        assert (found.verdict, number(found, "valid_fraction")) == ("accepted", 1.0)

    def test_the_worst_band_counts(self):
        """The scene's number is that of its worst band, which the reason names; other layers do not count."""
        scene = SceneQuality({"valid_fraction": {"suspect_below": 0.9}})
        for key, share, kind in (("red", 1.0, "measured"), ("nir", 0.5, "measured"), ("aot", 0.0, "other")):
            values = (np.arange(100).reshape(10, 10) < 100 * share).astype("uint8")
            scene.layer(key, grid_of((10, 10)), "uint8", kind=kind, nodata=0).add(0, values)
        found = scene.finish()
        assert found.measures["valid_fraction"].band == "nir"
        assert found.reasons == ("pixels with a value: 50 % (nir), less than 90 %",)

    def test_limits_are_plausible_themselves(self):
        """A number that scales to exactly a limit is inside, whatever the last bit says."""
        values = np.array([[0, 17000, 17001]], "uint16")
        found = measured(values, {"plausible": [-0.1, 1.6]}, scale=(0.0001, -0.1))
        assert number(found, "out_of_range_fraction") == pytest.approx(1 / 3)

    @pytest.mark.parametrize(
        ("key", "unit", "expected"), [("red", "1", 0.5), ("lst", "K", None), ("sst", "K", 1.0), ("nir", "1", 0.0)]
    )
    def test_for_whom_a_range_is_meant(self, key, unit, expected):
        """The general range is one of reflectance; a band's own goes before it."""
        rules = {"plausible": {"*": [0, 1], "sst": [270, 320], "nir": [0, 5]}}
        found = measured(np.array([[0.5, 1.5]], "float32"), rules, key=key, unit=unit)
        assert number(found, "out_of_range_fraction") == expected


class TestFlags:
    """What layers of flags tell."""

    def test_clouds_of_classes(self):
        """Cloud cover is the share of the cloud classes in the pixels that were seen."""
        scl = np.array([[0, 0, 8, 9], [10, 4, 3, 6]], "uint8")
        scene = SceneQuality({}, mask=SENTINEL2.mask)
        scene.layer("scl", grid_of(scl.shape), "uint8", kind="classes").add(0, scl)
        assert number(scene.finish(), "cloud_cover") == pytest.approx(100 * 3 / 6)

    def test_clouds_of_bits(self):
        """Fill is not seen, whatever its other bits say."""
        fill, cloud, dilated, clear = 1, 1 << 3, 1 << 1, 1 << 6
        qa = np.array([[fill, fill | cloud, cloud, dilated, clear, clear]], "uint16")
        scene = SceneQuality({}, mask=LANDSAT.mask)
        scene.layer("qa_pixel", grid_of(qa.shape), "uint16", kind="bits", nodata=1).add(0, qa)
        assert number(scene.finish(), "cloud_cover") == pytest.approx(100 * 2 / 4)

    def test_wide_flags_are_as_narrow_ones(self):
        """The same flags in 64 bits give the same cloud cover."""
        qa = RNG.integers(0, 256, (40, 30))
        covers = []
        for dtype in ("uint16", "uint64"):
            scene = SceneQuality({}, mask=LANDSAT.mask)
            scene.layer("qa_pixel", grid_of(qa.shape), dtype, kind="bits").add(0, qa.astype(dtype))
            covers.append(number(scene.finish(), "cloud_cover"))
        assert covers[0] == covers[1] > 0

    @pytest.mark.parametrize(
        ("rule", "expected"),
        [
            ({"layer": "qa_radsat", "bits": [0, 1, 2]}, 0.5),
            ({"layer": "qa_radsat", "classes": [1]}, 0.25),
            ({"layer": "absent", "bits": [0]}, None),
            ({"value": 100}, 0.75),
        ],
    )
    def test_saturation(self, rule, expected):
        """Saturated are the pixels that flags, classes or a number tell; a layer that is not there tells nothing."""
        scene = SceneQuality({"saturation": rule})
        scene.layer("red", grid_of((1, 4)), "uint16").add(0, np.array([[99, 100, 101, 65535]], "uint16"))
        scene.layer("qa_radsat", grid_of((1, 4)), "uint16", kind="bits").add(0, np.array([[0, 1, 6, 8]], "uint16"))
        assert number(scene.finish(), "saturated_fraction") == expected

    def test_a_largest_number_that_means_missing(self):
        """Where the largest number of a type means missing, nothing tells saturation."""
        found = measured(np.full((2, 2), 9, "uint8"), nodata=255)
        assert number(found, "saturated_fraction") is None


class TestRows:
    """Rows that do not belong."""

    @pytest.mark.parametrize(("start", "shape"), [(0, (5, 9)), (8, (3, 10)), (-1, (2, 10)), (0, (10,)), (0, (11, 10))])
    def test_refused(self, start, shape):
        """Rows of another width, or outside the layer, are refused with what was expected."""
        band = SceneQuality({}).layer("red", grid_of((10, 10)), "uint8")
        with pytest.raises(InputError, match="rows of 10 pixels within 10"):
            band.add(start, np.zeros(shape, "uint8"))

    def test_rows_that_never_came(self):
        """A layer of which rows are missing is not measured, and the scene suspect."""
        scene = SceneQuality({})
        scene.layer("red", grid_of((10, 10)), "uint8").add(0, np.ones((9, 10), "uint8"))
        found = scene.finish()
        assert (found.verdict, found.reasons) == ("suspect", ("not every row was measured: red",))
        assert number(found, "valid_fraction") is None

    def test_a_layer_twice(self):
        """Each layer is measured once."""
        scene = SceneQuality({})
        scene.layer("red", grid_of((1, 1)), "uint8")
        with pytest.raises(InputError, match="each layer once"):
            scene.layer("red", grid_of((1, 1)), "uint8")


class TestProperties:
    """What a catalogue gets."""

    def test_names_and_units(self):
        """Fractions of one, cloud in percent, verdict and reasons; what was not measured is named, not given."""
        scene = SceneQuality(
            {"cloud_cover": {"suspect_above": 20}, "registration_shift": {"suspect_above": 1}}, mask=SENTINEL2.mask
        )
        scene.layer("red", grid_of((1, 3)), "uint16", nodata=0).add(0, np.array([[0, 5, 65535]], "uint16"))
        scene.layer("scl", grid_of((1, 3)), "uint8", kind="classes").add(0, np.array([[0, 9, 4]], "uint8"))
        assert scene.finish().as_properties() == {
            "eo:cloud_cover": 50.0,
            "terracube:valid_fraction": 0.666667,
            "terracube:saturated_fraction": 0.5,
            "terracube:quality": "suspect",
            "terracube:quality_reasons": ["cloud cover: 50 %, more than 20 %"],
            "terracube:quality_not_measured": ["registration_shift"],
        }

    def test_without_a_mask(self):
        """No mask, no cloud cover."""
        assert "eo:cloud_cover" not in measured(np.ones((3, 3), "uint8")).as_properties()


class TestPlace:
    """Whether a scene can lie where it says."""

    def test_plausible(self):
        """A tile on its grid with a footprint inside has nothing against it."""
        grid = grid_of((100, 100))
        rules = read_rules({"pixel_size": [10, 60], "origin": 0})
        geometry = footprint(grid.bounds, grid.crs)[0]
        assert check_place({"red": grid}, geometry, rules) == []
        assert footprint_overlap([grid], geometry) == pytest.approx(1.0)

    @pytest.mark.parametrize(
        ("grid", "expected"),
        [
            (grid_of((10, 10), 120.0, top=5_200_080.0, left=500_040.0), "red: pixels of 120 x 120, not of 10 to 60"),
            (grid_of((10, 10), 10.0, left=499_983.0), "red: the pixels lie 0.3 pixels off the grid"),
            (grid_of((10, 10), 30.0, top=5_200_005.0, left=499_995.0), "off the grid of the source"),
        ],
    )
    def test_suspect(self, grid, expected):
        """Pixels of another size, or off the grid of the source, are told with numbers."""
        [(verdict, reason)] = check_place({"red": grid}, None, read_rules({"pixel_size": [10, 60], "origin": 0}))
        assert verdict == "suspect"
        assert expected in reason

    def test_half_a_pixel(self):
        """The corners of Landsat lie half a pixel off multiples of its pixel."""
        grid = grid_of((10, 10), 30.0, top=5_200_005.0, left=499_995.0)
        assert check_place({"red": grid}, None, read_rules({"origin": 0.5})) == []

    def test_off_the_globe(self):
        """A grid beyond the poles is rejected, once for all layers that lie on it."""
        grid = grid_of((10, 10), 1.0, top=97.0, left=0.0, crs="EPSG:4326")
        [(verdict, reason)] = check_place({"red": grid, "nir": grid}, None, read_rules({}))
        assert verdict == "rejected"
        assert reason.startswith("red, nir: the grid does not lie on the globe")

    @pytest.mark.parametrize(
        ("left", "crs", "expected"),
        [
            (500_000.0, "EPSG:32633", []),
            (-1_500_000.0, "EPSG:32633", ["red: the grid lies 22 degrees outside the area for which"]),
            (500_000.0, "EPSG:32601", []),
            (-100_000.0, "EPSG:32601", []),
            (2_500_000.0, "EPSG:32660", ["red: the grid lies 22 degrees outside the area for which"]),
            (170.0, "EPSG:4326", []),
            (16_900_000.0, "EPSG:3857", []),
        ],
    )
    def test_far_from_its_system(self, left, crs, expected):
        """Far outside the area of its CRS a grid is suspect, also across the antimeridian; at its edge it is not."""
        resolution, top = (0.1, 46.0) if crs == "EPSG:4326" else (10.0, 5_200_000.0)
        found = check_place({"red": grid_of((10, 10), resolution, top=top, left=left, crs=crs)}, None, read_rules({}))
        assert [verdict for verdict, _ in found] == ["suspect"] * len(expected)
        assert all(reason.startswith(start) for (_, reason), start in zip(found, expected, strict=True))

    def test_elsewhere(self):
        """A footprint on the other side of the world is rejected."""
        scene = SceneQuality({}, geometry=footprint((0, 0, 1, 1), "EPSG:4326")[0])
        scene.layer("red", grid_of((10, 10)), "uint8").add(0, np.ones((10, 10), "uint8"))
        found = scene.finish()
        assert (found.verdict, number(found, "footprint_overlap")) == ("rejected", 0.0)
        assert found.reasons == ("the delivered footprint lies elsewhere than the pixels",)

    def test_half_of_it(self):
        """A footprint twice as large as the pixels lies half on them."""
        small, large = grid_of((100, 50), 1000.0), grid_of((100, 100), 1000.0)
        geometry = footprint(large.bounds, large.crs)[0]
        assert footprint_overlap([small], geometry) == pytest.approx(0.5, rel=0.02)

    @pytest.mark.parametrize(
        "geometry",
        [
            {},
            {"type": "Polygon"},
            {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]},
            {"type": "Point", "coordinates": [15, 46]},
            {"type": "Polygon", "coordinates": "x"},
            {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]},
            {"type": "GeometryCollection", "geometries": 3},
        ],
    )
    def test_a_footprint_that_is_none(self, geometry):
        """What is no area cannot be compared, and never fails."""
        assert footprint_overlap([grid_of((10, 10))], geometry) is None


class TestIngest:
    """In the pipeline: measured in the pass that writes."""

    def test_a_delivered_scene(self, delivered, catalog):
        """The numbers of the item are those of its files, counted anew."""
        ingest("sentinel-2-l2a", [path.parent for path in delivered], catalog)
        items = catalog.search(to_query(collections="sentinel-2-l2a"))
        assert len(items) == len(delivered)
        for item in items:
            folder = Path(item.get_self_href()).parent
            scl = pixels(folder / "SCL.tif")
            cover = 100 * np.isin(scl, (8, 9, 10)).sum() / (scl != 0).sum()
            assert item.properties["eo:cloud_cover"] == pytest.approx(cover, abs=1e-6)
            shares = [(pixels(folder / f"{name}.tif") != 0).mean() for name in ("B02", "B03", "B04", "B08")]
            assert item.properties["terracube:valid_fraction"] <= min(shares) + 1e-6
            assert item.properties["terracube:quality"] in ("accepted", "suspect", "rejected")

    def test_any_number_of_threads(self, delivered, tmp_path):
        """Written by one thread or by four, the measured quality is the same."""
        source = load_source("sentinel-2-l2a")
        scene = next(form.read(delivered[0], source) for form in source.forms if form.find(delivered[0]))
        found = []
        for threads in (1, 4):
            folder = tmp_path / str(threads)
            folder.mkdir()
            found.append(write_files(scene, folder, threads=threads).quality)
        assert found[0] == found[1]


def pixels(path):
    """Give the pixels of a raster."""
    with rasterio.open(path) as dataset:
        return dataset.read(1)
