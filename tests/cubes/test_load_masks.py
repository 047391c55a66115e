"""Masks: what is unknown is never clear, growth crosses blocks, and nothing else about a band depends on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling

from terracube.core.errors import InputError, TerraCubeError
from terracube.core.sensors import MaskRule
from terracube.cubes import CubeSpec, Grid, load, map_blocks, plan_cube, read_scenes, reduce_time, report
from terracube.cubes.blocks import BlockReader
from terracube.cubes.pieces import in_pixels
from terracube.processing import COMPOSITE

TILED = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
SIDE = 192
NUMBERS = (np.arange(SIDE * SIDE, dtype="uint16") % 3000 + 1).reshape(SIDE, SIDE)


def file_of(item, name):
    """Give the file of an asset."""
    return Path(item.get_self_href()).parent / f"{name}.tif"


def spoil(path, row, col):
    """Make one internal tile undecodable."""
    with rasterio.open(path) as dataset:
        offset = int(dataset.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=1))
    raw = bytearray(path.read_bytes())
    raw[offset : offset + 10] = b"\xff" * 10
    path.write_bytes(bytes(raw))


def test_bands_that_reach_further_than_others(make_scene):
    """A band is loaded as far as it reaches, whatever the others do."""
    item = make_scene("scene", {"red": NUMBERS[:, :60].copy(), "nir": NUMBERS})
    alone = load([item], bands=["nir"], mask=None, chunks=None)
    for bands in (["red", "nir"], ["nir", "red"]):
        for chunks in (50, 64, None):
            found = load([item], bands=bands, mask=None, chunks=chunks, grid=Grid.like(alone))
            assert np.array_equal(found.nir.values, alone.nir.values, equal_nan=True)


RULES = [
    (0, 8, 9),
    lambda classes: classes != 9,
    MaskRule("scl", masked=(9,)),
    "clear",
]


@pytest.mark.parametrize("rule", RULES, ids=["numbers", "function", "rule", "name"])
@pytest.mark.parametrize("nodata", [0, None])
def test_damaged_tile_of_the_mask(make_scene, rule, nodata):
    """Where the mask cannot be decoded nothing is clear, for every kind of rule, and it is told."""
    classes = np.full((SIDE, SIDE), 4, "uint8")
    item = make_scene("scene", {"red": NUMBERS, "scl": classes}, nodata=nodata, **TILED)
    spoil(file_of(item, "scl"), 1, 1)
    cube = load([item], bands=["red"], mask=rule, on_error="skip", chunks=70, nodata={"red": 0})
    seen = np.isfinite(cube.red.values[0])
    assert not seen[64:128, 64:128].any()
    assert seen.sum() == SIDE * SIDE - 64 * 64
    assert [note.asset for note in report(cube).failed] == ["scl"]


@pytest.mark.parametrize("rule", [(8, 9), (0, 1, 3, 8, 9, 10), lambda classes: classes < 8, "clear"], ids=range(4))
def test_numbers_without_meaning(make_scene, rule):
    """A class that the sensor does not know, and the file's own nodata, are never clear."""
    classes = np.full((SIDE, SIDE), 4, "uint8")
    classes[:10], classes[10:20] = 255, 77
    item = make_scene("scene", {"red": NUMBERS, "scl": classes}, nodata=None)
    with rasterio.open(file_of(item, "scl"), "r+") as dataset:
        dataset.nodata = 255
    seen = np.isfinite(load([item], bands=["red"], mask=rule, chunks=None, nodata={"red": 0}).red.values[0])
    assert not seen[:20].any()
    assert seen[20:].all()


def test_chain_on_items_and_on_their_cube(make_scene):
    """A chain treats unknown classes alike, from items and from a cube that was loaded."""
    classes = np.full((SIDE, SIDE), 4, "uint8")
    classes[5:9] = 77
    item = make_scene("scene", {"red": NUMBERS, "scl": classes})
    grid = Grid.from_items([item], bands=["red"])
    parameters = {"bands": ["red"]}
    one = COMPOSITE([item], grid=grid, parameters=parameters).compute()
    two = COMPOSITE(load([item], bands=["red"], grid=grid), parameters=parameters).compute()
    assert one.identical(two)
    assert (one["count"].values[5:9] == 0).all()


class TestProbability:
    """The rule that asks the cloud probability grows what it masks by 60 m."""

    @pytest.fixture
    def item(self, make_scene):
        """Two clouds in a layer of 20 m, with averaged overviews."""
        cloud = np.zeros((SIDE // 2, SIDE // 2), "uint8")
        cloud[31, 33], cloud[60:62, 10] = 90, 40
        item = make_scene("scene", {"red": NUMBERS, "cld": cloud}, pixels={"cld": 20.0}, **TILED)
        with rasterio.open(file_of(item, "cld"), "r+") as dataset:
            dataset.build_overviews([2, 4], Resampling.average)
        return item

    def test_growth(self, item):
        """Exactly the pixels within 60 m of a cloud are left out; a probability of 0 is no missing value."""
        seen = np.isfinite(load([item], bands=["red"], mask="cloud_probability", chunks=None).red.values[0])
        y, x = np.mgrid[: SIDE // 2, : SIDE // 2]
        near = [(y - a) ** 2 + (x - b) ** 2 <= 9 for a, b in ((31, 33), (60, 10), (61, 10))]
        wanted = ~np.kron(np.logical_or.reduce(near), np.ones((2, 2), bool))
        assert np.array_equal(seen, wanted)

    @pytest.mark.parametrize("overviews", ["none", "auto"])
    @pytest.mark.parametrize("pixel", [10, 45])
    def test_any_cut(self, item, overviews, pixel):
        """It grows across the borders of blocks and strips, and never from overviews."""
        native = Grid.from_items([item], bands=["red"])
        grid = Grid.from_bbox(native.bounds, crs=native.crs, resolution=pixel, bbox_crs=native.crs)
        options = {"bands": ["red"], "mask": "cloud_probability", "grid": grid, "overviews": overviews}
        whole = load([item], chunks=None, **options)
        for chunks in (7, 32, 50):
            assert load([item], chunks=chunks, **options).compute(scheduler="sync").equals(whole)
        full = load([item], chunks=None, **(options | {"overviews": "none"}))
        assert np.array_equal(np.isfinite(full.red.values), np.isfinite(whole.red.values))


@pytest.mark.parametrize(
    ("grid", "wanted"),
    [
        (Grid.from_bbox((0, 0, 100, 100), crs="EPSG:32633", resolution=(20, 10), bbox_crs="EPSG:32633"), (5, 9)),
        (Grid.from_bbox((0, 0, 100, 100), crs="EPSG:2263", resolution=100, bbox_crs="EPSG:2263"), (3, 3)),
        (Grid.from_bbox((10, 69.9, 10.1, 70), crs="EPSG:4326", resolution=0.0002), (5, 12)),
    ],
    ids=["metres", "feet", "degrees"],
)
def test_metres_in_pixels(grid, wanted):
    """A distance is never shorter than asked for, along rows and columns, in any unit."""
    assert in_pixels(90.0, grid) == wanted
    assert in_pixels(0.0, grid) == (0, 0)


class TestOriginIsKept:
    @pytest.fixture
    def item(self, make_scene):
        """A scene with one undecodable tile."""
        item = make_scene("scene", {"red": NUMBERS, "scl": np.full((SIDE, SIDE), 4, "uint8")}, **TILED)
        spoil(file_of(item, "red"), 0, 2)
        return item

    def test_reduced(self, item):
        """What was skipped while reducing is told by the result."""
        found = reduce_time([item], "max", bands=["red"], on_error="skip")
        assert report(found).complete is None
        assert found.compute().red_count.values.sum() == SIDE * SIDE - 64 * 64
        assert [note.asset for note in report(found).failed] == ["red"]

    def test_mapped(self, item):
        """The same for a function on blocks."""
        count = {"n": "uint8"}
        found = map_blocks([item], None, lambda b: {"n": b.red.notnull().sum("time").values.astype("uint8")}, count,
                           bands=["red"], on_error="skip")  # fmt: skip
        assert found.compute().n.values.sum() == SIDE * SIDE - 64 * 64
        assert report(found).complete is False

    def test_repaired(self, item, tmp_path, make_scene):
        """A file that was mended makes another cube, with a ledger of its own."""
        broken = load([item], bands=["red"], on_error="skip", chunks=None)
        again = make_scene("other", {"red": NUMBERS}, **TILED)
        file_of(item, "red").write_bytes(file_of(again, "red").read_bytes())
        mended = load([item], bands=["red"], on_error="skip", chunks=None)
        assert report(broken).complete is False
        assert report(mended).complete is True
        assert np.isfinite(mended.red.values).all()


@pytest.mark.parametrize(
    "options",
    [
        {"mask": 5}, {"mask": True}, {"mask": [1.5]}, {"mask": ["clear"]}, {"resampling": None}, {"resampling": 3},
        {"groupby": ["a"]}, {"groupby": "x"}, {"groupby": "red"}, {"mosaic": lambda scenes: None}, {"nodata": [0]},
        {"nodata": {"red": "x"}}, {"nodata": {"rde": 0}}, {"nodata": True}, {"bands": 5}, {"bands": "red"},
        {"resolution": (1, 2, 3), "crs": 32633}, {"signer": "a-word"}, {"interval": "end"}, {"chunks": "small"},
    ],
    ids=lambda options: str({name: "function" if callable(told) else told for name, told in options.items()}),
)  # fmt: skip
def test_options_of_another_kind(make_scene, options):
    """Every option says what it takes, in our own words."""
    item = make_scene("scene", {"red": NUMBERS, "scl": np.full((SIDE, SIDE), 4, "uint8")})
    with pytest.raises(TerraCubeError):
        load([item], **({"bands": ["red"]} | options))


def test_other_engines_do_not_map(make_scene):
    """Blocks are read by our own engine; another name is refused rather than ignored."""
    item = make_scene("scene", {"red": NUMBERS})
    for door in (reduce_time, lambda items, **o: map_blocks(items, None, len, {"a": "uint8"}, **o)):
        with pytest.raises(InputError, match="engine"):
            door([item], bands=["red"], mask=None, engine="odc")


def test_items_without_the_property(make_scene):
    """Items that cannot be grouped or ordered are left out and told, if such items are to be skipped."""
    layers = {"red": NUMBERS}
    items = [make_scene("a", layers, properties={"orbit": 3, "eo:cloud_cover": 5}), make_scene("b", layers)]
    for options in ({"groupby": "orbit"}, {"mosaic": "min_cloud"}):
        with pytest.raises(TerraCubeError):
            load(items, bands=["red"], mask=None, **options)
        cube = load(items, bands=["red"], mask=None, on_error="skip", **options)
        assert [note.item for note in report(cube).left_out] == ["b"]
    with pytest.raises(TerraCubeError, match="orbit"):
        load(items[1:], bands=["red"], mask=None, on_error="skip", groupby="orbit")


def test_more_than_memory(make_scene):
    """A cube larger than the machine's memory is refused before it is allocated; lazily it opens, without pixels."""
    item = make_scene("a", {"red": NUMBERS})
    native = Grid.from_items([item], bands=["red"])
    grid = Grid.from_bbox(native.bounds, crs=native.crs, resolution=0.005, bbox_crs=native.crs)
    with pytest.raises(TerraCubeError, match="memory"):
        load([item], bands=["red"], mask=None, grid=grid, chunks=None)
    assert load([item], bands=["red"], mask=None, grid=grid, chunks=8192).red.sizes["x"] == grid.shape.x


def test_entries_that_are_no_items(make_scene):
    """What is no item at all stops the load, or is left out by its number and told."""
    item = make_scene("a", {"red": NUMBERS})
    for odd in (3, {"type": "Catalog"}, {"type": "Feature", "id": "a\nb", "properties": {}}):
        with pytest.raises(TerraCubeError):
            load([odd, item], bands=["red"], mask=None)
        cube = load([item, odd], bands=["red"], mask=None, on_error="skip", chunks=None)
        assert np.isfinite(cube.red.values).all()
        assert [note.item for note in report(cube).left_out] == ["entry 2"]


def test_nodata_that_only_the_header_knows(make_scene):
    """Numbers of a file whose header contradicts what was taken for granted are refused; values are right."""
    numbers = NUMBERS.copy()
    numbers[:5], numbers[5:9] = 0, 65535
    item = make_scene("a", {"red": numbers}, nodata=65535)
    asset = item.assets["red"]
    asset.extra_fields |= {
        "proj:code": "EPSG:32633", "proj:shape": [SIDE, SIDE], "proj:transform": [10, 0, 500040, 0, -10, 5100000],
        "data_type": "uint16",
    }  # fmt: skip
    options = {"bands": ["red"], "mask": None, "headers": "never"}
    with pytest.raises(TerraCubeError, match="another nodata"):
        load([item], radiometry="dn", chunks=None, **options)
    lenient = load([item], radiometry="dn", chunks=None, on_error="skip", **options)
    assert [note.asset for note in report(lenient).failed] == ["red"]
    seen = np.isfinite(load([item], chunks=None, **options).red.values[0])
    assert not seen[5:9].any()
    assert seen[:5].all()
    assert seen[9:].all()
    assert reduce_time([item], "max", **options).red_count.values[:5].all()


def test_a_band_called_mask(make_scene):
    """A band may be called like the mask: strips of a block keep the two apart."""
    classes = np.full((SIDE, SIDE), 4, "uint8")
    classes[:7] = 9
    item = make_scene("a", {"mask": NUMBERS, "scl": classes}, collection="other")
    rule = MaskRule("scl", masked=(9,))
    cube = load([item], bands=["mask"], mask=rule, chunks=None)
    plan = plan_cube(read_scenes([item], ["mask"], mask=rule), CubeSpec(("mask",), rule), Grid.like(cube))
    strips = BlockReader(plan, plan.grid)
    found = np.concatenate([strips.rows(0, 50), strips.rows(50, SIDE)], axis=2)
    assert np.array_equal(found[:, 0], cube["mask"].values, equal_nan=True)
    assert np.isnan(found[0, 0, :7]).all()
