"""Real scenes of two sensors, loaded end to end, against plain arithmetic on the numbers of their files."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import numpy as np
import odc.geo.xr  # noqa: F401  registers the `.odc` accessor
import pystac
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import InputError, MetadataError, NotFoundError
from terracube.core.sensors import MaskRule, load_sensor
from terracube.cubes import YX, Grid, load, report
from terracube.cubes.readers import close_files


@pytest.fixture(autouse=True)
def closed():
    """Leave no file open."""
    yield
    close_files()


def numbers(path: Path) -> np.ndarray:
    """Read a whole band with rasterio alone."""
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def at_home(path: Path, content: dict | None = None, prefix: str = "./") -> dict:
    """Give an item whose assets are the files beside it."""
    item = copy.deepcopy(content) if content else json.loads(path.read_text())
    item["links"] = [{"rel": "self", "href": str(path)}]
    for asset in item["assets"].values():
        asset["href"] = prefix + asset["href"].rpartition("/")[2]
    return item


@pytest.fixture(scope="module")
def landsat(data_dir):
    """The items of surface reflectance and temperature of one Landsat 8 scene, with the time that its MTL file has."""
    folder = next((data_dir / "landsat-c2l2").glob("LC08*"))
    items = {}
    for kind in ("SR", "ST"):
        item = at_home(next(folder.glob(f"*_{kind}_stac.json")))
        told = next(folder.glob("*_MTL.txt")).read_text()
        day, time = (re.search(f'{name} = "?([^"\n]+)', told)[1] for name in ("DATE_ACQUIRED", "SCENE_CENTER_TIME"))
        item["properties"]["datetime"] = f"{day}T{time[:15]}Z"
        items[kind] = item
    return items, folder / folder.name


@pytest.fixture(scope="module")
def desert(data_dir):
    """The Sentinel-2 product with bands of three resolutions, and its folder."""
    path = next((data_dir / "sentinel2-l2a" / "29RKH-all-bands").rglob("S2A*.json"))
    return at_home(path), path.parent


class TestLandsat:
    def test_reflectance(self, landsat):
        """Physical values are the number times 2.75e-5 minus 0.2, missing where the number is 0."""
        items, base = landsat
        bands = ["coastal", "blue", "green", "red", "nir", "swir16", "swir22"]
        found = load([items["SR"]], bands=bands, mask=None, chunks=None)
        for number, band in enumerate(bands, 1):
            stored = numbers(Path(f"{base}_SR_B{number}.TIF")).astype("float64")
            wanted = np.where(stored == 0, np.nan, stored * 2.75e-5 - 0.2)
            assert np.allclose(found[band].values[0], wanted, atol=1e-7, equal_nan=True)
            assert found[band].dtype == np.float32
        assert np.isfinite(found.red.values).sum() > 1000
        assert str(found.time.values[0])[:10] == "2020-10-31"

    def test_temperature(self, landsat):
        """Kelvin: the number times 0.00341802 plus 149."""
        items, base = landsat
        found = load([items["ST"]], bands=["lwir11"], mask=None, chunks=None).lwir11.values[0]
        stored = numbers(Path(f"{base}_ST_B10.TIF")).astype("float64")
        assert np.allclose(found, np.where(stored == 0, np.nan, stored * 0.00341802 + 149.0), atol=2e-5, equal_nan=True)
        assert 200 < np.nanmedian(found) < 320

    @pytest.mark.parametrize("rule", ["clear", "cloud", "water", "land", "snow_free"])
    def test_masks(self, landsat, rule):
        """Each rule is plain arithmetic on the bits of the quality band, for any chunks."""
        items, base = landsat
        quality = numbers(Path(f"{base}_QA_PIXEL.TIF")).astype("int64")
        bit = {n: (quality >> n) & 1 == 1 for n in range(8)}
        bad = bit[0] | bit[1] | bit[2] | bit[3] | bit[4]
        kept = {
            "clear": ~bad,
            "cloud": ~bit[0] & (bit[1] | bit[2] | bit[3]),
            "water": ~bad & bit[7],
            "land": ~bad & ~bit[7],
            "snow_free": ~bad & ~bit[5],
        }[rule]
        stored = numbers(Path(f"{base}_SR_B4.TIF"))
        wanted = np.where(kept & (stored > 0), stored, 0)
        for chunks in (None, 133):
            found = load([items["SR"]], bands=["red"], mask=rule, radiometry="dn", chunks=chunks).red
            assert np.array_equal(found.values[0], wanted)
        if rule == "cloud":
            assert (wanted > 0).sum() > 1000

    def test_flags_are_never_scaled(self, landsat):
        """The quality bands are the numbers of their files, in their type."""
        items, base = landsat
        found = load([items["SR"]], bands=["qa_pixel", "qa_aerosol"], mask=None, chunks=None, resampling="bilinear")
        for band, name in (("qa_pixel", "QA_PIXEL"), ("qa_aerosol", "SR_QA_AEROSOL")):
            values = found[band].values[0]
            stored = numbers(Path(f"{base}_{name}.TIF"))
            seen = np.isfinite(values)
            assert np.array_equal(values[seen], stored[seen])

    def test_names(self, landsat):
        """Role names, the agency's names and asset keys lead to the same numbers; one that is not there is told."""
        items, _ = landsat
        names = ["nir", "nir08", "SR_B5", "SR_B5.TIF"]
        found = load([items["SR"]], bands=names, mask=None, chunks=None)
        for name in names[1:]:
            assert np.array_equal(found[name], found.nir, equal_nan=True)
        with pytest.raises(NotFoundError, match="lwir11"):
            load([items["SR"]], bands=["lwir11"])
        with pytest.raises(NotFoundError, match="purple"):
            load([items["SR"]], bands=["purple"])

    def test_a_day_is_no_time(self, landsat):
        """The item as it came tells a day alone: neither as JSON nor through pystac is it taken for midnight."""
        items, _ = landsat
        item = copy.deepcopy(items["SR"])
        item["properties"]["datetime"] = "2020-10-31"
        with pytest.raises(MetadataError, match=r"no date.*2020-10-31"):
            load([item], bands=["red"])
        item |= {"stac_version": "1.0.0", "stac_extensions": []}
        with pytest.raises(MetadataError, match=r"no date.*2020-10-31"):
            load([pystac.Item.from_dict(item)], bands=["red"])


class TestSentinel2:
    def test_three_resolutions_at_once(self, desert):
        """Twelve bands and the classes on the finest grid: each pixel is the one of its file that holds it."""
        item, folder = desert
        files = [*(f"B{number:02}" for number in range(1, 9)), "B8A", "B09", "B11", "B12"]
        names = dict(zip(load_sensor("sentinel-2-l2a").bands, files, strict=True))
        found = load([item], mask=None, bands=[*names, "scl", "aot"], chunks=None)
        fine = numbers(folder / "B04.tif").shape
        assert found.odc.geobox.shape == fine
        for band, file in (names | {"scl": "SCL", "aot": "AOT"}).items():
            stored = numbers(folder / f"{file}.tif")
            rows = np.arange(fine[0]) * stored.shape[0] // fine[0]
            cols = np.arange(fine[1]) * stored.shape[1] // fine[1]
            whole = stored[np.ix_(rows, cols)]
            scale = {"scl": 1, "aot": 1e-3}.get(band, 1e-4)
            values = found[band].values[0].astype("float64")
            seen = whole != 0
            assert np.allclose(values[seen], whole[seen] * scale, rtol=1e-6)
            if band != "scl":
                assert np.isnan(values[~seen]).all()

    def test_all_measured_bands_unless_named(self, desert):
        """Without names all measured bands that are there are loaded, in order of wavelength."""
        item, _ = desert
        found = load([item])
        assert list(found.data_vars)[:4] == ["coastal", "blue", "green", "red"]
        assert len(found.data_vars) == 12
        assert found.red.chunks is not None

    def test_masks(self, items):
        """Each rule of classes is plain arithmetic on the real scene classification."""
        item = next(one for one in items if one.id.startswith("S2A_33TWM_20230815"))
        folder = Path(item.get_self_href()).parent
        classes, stored = numbers(folder / "SCL.tif"), numbers(folder / "B04.tif")
        for rule, kept in {"clear": (2, 4, 5, 6, 7, 11), "cloud": (8, 9, 10), "water": (6,), "land": (2, 4, 5, 7, 11),
                           "snow_free": (2, 4, 5, 6, 7)}.items():  # fmt: skip
            found = load([item], bands=["red"], mask=rule, chunks=None).red.values[0]
            wanted = np.where(np.isin(classes, kept) & (stored > 0), stored * 1e-4, np.nan)
            assert np.allclose(found, wanted, atol=1e-7, equal_nan=True)

    def test_no_date(self, data_dir):
        """A file without a date can only be loaded when its item says one; none is guessed."""
        path = data_dir / "sentinel2-l2a" / "fishbourne-10m" / "s2a_l2a_fishbourne.tif"
        names = ["blue", "green", "red", "nir"]
        item = {
            "type": "Feature", "stac_version": "1.1.0", "id": "fishbourne", "geometry": None,
            "bbox": [-1.3, 50.7, -1.1, 50.8], "properties": {"datetime": None},
            "links": [{"rel": "self", "href": str(path.with_name("item.json"))}],
            "assets": {"all": {"href": f"./{path.name}", "bands": [{"name": name} for name in names]}},
        }  # fmt: skip
        with pytest.raises(MetadataError, match=r"no date.*fishbourne, properties.datetime.*give the item a datetime"):
            load([item], bands=names, mask=None)
        item["properties"]["datetime"] = "2023-06-01T11:06:29Z"
        found = load([item], bands=names, mask=None, chunks=None)
        with rasterio.open(path) as dataset:
            for number, name in enumerate(names, 1):
                assert np.allclose(found[name].values[0], dataset.read(number), equal_nan=True)
        with pytest.raises(InputError, match=r"no sensor is known.*mask=None"):
            load([item], bands=names)


class TestBothSensors:
    def test_one_cube(self, landsat, desert):
        """Both by role names on one grid: each step is what the scene gives alone, where it is and where it is not."""
        items, base = landsat
        found = load([items["SR"], desert[0]], bands=["red", "nir"], mask="clear", grid=_somewhere(base))
        assert found.sizes["time"] == 2
        alone = load([items["SR"]], bands=["red", "nir"], mask="clear", grid=_somewhere(base))
        other = load([desert[0]], bands=["red", "nir"], mask="clear", grid=_somewhere(base))
        both = found.compute(scheduler="sync")
        for band in ("red", "nir"):
            assert np.array_equal(both[band].values[1], alone[band].values[0], equal_nan=True)
            assert np.array_equal(both[band].values[0], other[band].values[0], equal_nan=True)

    def test_over_one_place(self, build, tmp_path):
        """Scenes of both over one place: different numbers, the same reflectance, each masked by its own layer."""
        truth = np.linspace(0.01, 0.5, 24).reshape(4, 6)
        dn = {"s2": lambda value: value / 1e-4 + 1000, "lc": lambda value: (value + 0.2) / 2.75e-5}

        def layers(kind: str, nir: str, mask: np.ndarray) -> dict[str, np.ndarray]:
            red, other = (np.round(dn[kind](value)).astype("uint16") for value in (truth, truth[::-1]))
            return {"red": red, nir: other, "scl" if kind == "s2" else "qa_pixel": mask}

        sentinel = build(
            tmp_path, "s2", layers("s2", "nir", _classes()), properties={"s2:processing_baseline": "05.10"}
        )
        landsat = build(
            tmp_path,
            "lc",
            layers("lc", "nir08", _quality()),
            collection="landsat-c2-l2",
            when="2023-08-16T10:00:00Z",
            properties={"platform": "landsat-9"},
        )
        for chunks in (None, 3):
            found = load([landsat, sentinel], bands=["red", "nir"], chunks=chunks).compute(scheduler="sync")
            wanted = np.where(_classes() != 9, truth, np.nan)
            assert np.allclose(found.red.values[0], wanted, atol=6e-5, equal_nan=True)
            assert np.allclose(
                found.red.values[1], np.where(_quality() == 21824, truth, np.nan), atol=2e-5, equal_nan=True
            )
            assert np.allclose(
                found.nir.values[1], np.where(_quality() == 21824, truth[::-1], np.nan), atol=2e-5, equal_nan=True
            )
        told = json.loads(found.red.attrs["terracube:radiometry"])
        assert [(rule["scale"], rule["offset"]) for rule in told["rules"]] == [(1e-4, -0.1), (2.75e-5, -0.2)]
        assert told["steps"] == [[0], [1]]


def _classes() -> np.ndarray:
    classes = np.full((4, 6), 4, "uint8")
    classes[1:3, 2:5] = 9
    return classes


def _quality() -> np.ndarray:
    quality = np.full((4, 6), 21824, "uint16")
    quality[0, :4] = 22280
    return quality


def _somewhere(base: Path) -> Grid:
    with rasterio.open(f"{base}_SR_B4.TIF") as dataset:
        left, bottom, right, top = dataset.bounds
        middle = (left + right) / 2, (bottom + top) / 2
        box = (middle[0] - 30_000, middle[1] - 30_000, middle[0] + 30_000, middle[1] + 30_000)
        return Grid.from_bbox(box, crs=dataset.crs.to_string(), resolution=600, bbox_crs=dataset.crs.to_string())


# How providers tell of one product of baseline 05.09: properties, keys of assets, fields, and whether they have taken
# the offset away from the numbers.
STYLES = {
    "Planetary Computer": ("sentinel-2-l2a", {"s2:processing_baseline": "05.09"}, "B04", {}, False),
    "earth-search v0": ("sentinel-s2-l2a-cogs", {"sentinel:boa_offset_applied": True,
        "sentinel:product_id": "S2A_MSIL2A_20230815T100031_N0509_R122_T33TWM_20230815T150000"}, "B04", {}, True),
    "earth-search v1": ("sentinel-2-l2a", {"earthsearch:boa_offset_applied": True, "s2:processing_baseline": "05.09"},
        "red", {"raster:bands": [{"scale": 1e-4, "offset": -0.1, "nodata": 0, "data_type": "uint16"}]}, True),
    "earth-search v1, not applied": ("sentinel-2-c1-l2a", {"earthsearch:boa_offset_applied": False,
        "s2:processing_baseline": "05.09"}, "red", {"raster:bands": [{"scale": 1e-4, "offset": -0.1}]}, False),
    "CDSE": ("sentinel-2-l2a", {"processing:version": "05.09"}, "B04_10m",
        {"bands": [{"name": "B04", "eo:common_name": "red"}], "raster:scale": 1e-4, "raster:offset": -0.1,
         "nodata": 0, "data_type": "uint16"}, False),
    "CDSE, silent assets": ("sentinel-2-l2a", {"processing:version": "05.09"}, "B04_10m", {}, False),
}  # fmt: skip


class TestProviders:
    @pytest.mark.parametrize("style", STYLES)
    @pytest.mark.parametrize("far", [False, True])
    def test_equal_reflectance(self, make_scene, tmp_path, file_server, style, far):
        """One reflectance, whoever delivers it and however its metadata tell of scale and offset."""
        collection, properties, key, fields, applied = STYLES[style]
        truth = np.array([[0.0123, 0.2, 0.45, 0.9]])
        stored = np.round(truth * 1e4 + (0 if applied else 1000)).astype("uint16")
        item = make_scene("scene", {key: stored}, collection=collection, asset=fields).to_dict(transform_hrefs=False)
        item["properties"] = {"datetime": "2023-08-15T10:00:00Z", "platform": "sentinel-2a"} | properties
        if far:
            place = {
                "proj:code": "EPSG:32633",
                "proj:shape": [1, 4],
                "proj:transform": [10, 0, 500040, 0, -10, 5100000],
            }
            content = (tmp_path / "scene" / f"{key}.tif").read_bytes()
            item["assets"][key] |= place | {"href": file_server.put("/x.tif", content)}
        for name in ("red", "B04"):
            found = load([item], bands=[name], mask=None, chunks=2)
            assert file_server.asked == [] or name == "B04"
            assert np.allclose(found[name].values[0], truth, atol=1e-7), style

    def test_nothing_tells(self, make_scene):
        """An item that says neither baseline nor offset is refused, with what would help; as numbers it loads."""
        item = make_scene(
            "scene", {"B04": np.full((1, 4), 2000, "uint16")}, properties={"s2:processing_baseline": None}
        )
        with pytest.raises(MetadataError, match=r"offset.*cannot be known.*scene/B04"):
            load([item], bands=["red"], mask=None)


def brute_force(probability: np.ndarray, threshold: float, pixels: int) -> np.ndarray:
    """Tell which pixels are clear: none within a distance of a pixel at or above the threshold."""
    rows, cols = np.indices(probability.shape)
    clear = np.ones(probability.shape, bool)
    for row, col in zip(*np.nonzero(~(probability < threshold)), strict=True):
        clear &= (rows - row) ** 2 + (cols - col) ** 2 > pixels**2
    return clear


class TestCloudProbability:
    @settings(max_examples=12)
    @given(data=st.data())
    def test_dilated(self, tmp_path_factory, build, data):
        """What lies within 60 m of a probable cloud is left out: equal to brute force, for any chunks and any part."""
        rng = np.random.default_rng(data.draw(st.integers(0, 99)))
        pixel = data.draw(st.sampled_from([10, 20, 60]))
        side = 180 // pixel * 4
        layer = np.where(rng.random((side, side)) < 0.02, rng.integers(30, 101, (side, side)), 5).astype("uint8")
        fine = side * pixel // 10
        red = rng.integers(1, 9000, (fine, fine), "uint16")
        item = build(
            tmp_path_factory.mktemp("clouds"),
            "scene",
            {"red": red, "cld": layer},
            pixels={"cld": float(pixel)},
            nodata=None,
        )
        clear = np.kron(brute_force(layer, 40, -(-60 // pixel)), np.ones((pixel // 10, pixel // 10), bool))
        wanted = np.where(clear, red, 0)
        options = {"bands": ["red"], "mask": "cloud_probability", "radiometry": "dn"}
        assert np.array_equal(load([item], chunks=None, **options).red.values[0], wanted)
        chunks = data.draw(st.integers(5, fine))
        lazy = load([item], chunks=chunks, **options)
        assert np.array_equal(lazy.red.compute(scheduler="sync").values[0], wanted)
        top, left = data.draw(st.integers(0, fine - 2)), data.draw(st.integers(0, fine - 2))
        shape = YX(data.draw(st.integers(1, fine - top)), data.draw(st.integers(1, fine - left)))
        grid = Grid.from_items([item], ["red"]).window(YX(top, left), shape)
        part = load([item], chunks=None, grid=grid, **options).red.values[0]
        assert np.array_equal(part, wanted[top : top + shape.y, left : left + shape.x])

    def test_a_rule_of_ones_own(self, make_scene):
        """A rule with another threshold and distance, on an asset by its key."""
        layer = np.zeros((20, 20), "uint8")
        layer[10, 10], layer[2, 3] = 70, 50
        red = np.arange(1, 401, dtype="uint16").reshape(20, 20)
        item = make_scene("scene", {"red": red, "cld": layer}, nodata=None)
        rule = MaskRule("cld", threshold=60, dilate_m=25)
        found = load([item], bands=["red"], mask=rule, radiometry="dn", chunks=None)
        assert np.array_equal(found.red.values[0], np.where(brute_force(layer, 60, 3), red, 0))
        assert not report(found).failed
