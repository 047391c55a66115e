"""Other loaders behind the same call: the same dataset, or an error that says what they lack."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr

from terracube.core.errors import InputError, IntegrityError
from terracube.cubes import YX, Grid, load, read_scenes
from terracube.cubes.access import Location
from terracube.cubes.engines import PeerRequest, load_odc, load_stackstac
from terracube.cubes.engines.layers import check_pixels
from terracube.cubes.load import prepare

# odc-geo calls a function of shapely that has a new name; rasterio warns about the arrays it warps for odc-stac.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The 'shapely.ops.transform:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Dataset has no geotransform"),
]

BANDS = ["blue", "green", "red", "nir"]
LOADERS = {"odc": load_odc, "stackstac": load_stackstac}
UTM = "EPSG:32633"
WEST, NORTH = 500040.0, 5100000.0


@pytest.fixture(params=["odc", "stackstac"])
def engine(request):
    """Each of the loaders; tests of one that is not installed are skipped, saying so."""
    package = {"odc": "odc.stac", "stackstac": "stackstac"}[request.param]
    pytest.importorskip(package, reason=f"{package} is not installed, so it cannot be compared")
    return request.param


def grid_at(rows, cols, *, row=0, col=0, pixel=10.0):
    """Give a grid on the pixels of the made-up scenes."""
    left, top = WEST + col * pixel, NORTH - row * pixel
    return Grid.from_bbox((left, top - rows * pixel, left + cols * pixel, top), crs=UTM, resolution=pixel, bbox_crs=UTM)


def numbers(seed, shape=(24, 30), high=4000):
    """Give numbers of a band with a tenth of them missing."""
    rng = np.random.default_rng(seed)
    values = rng.integers(1, high, shape, "uint16")
    values[rng.random(shape) < 0.1] = 0
    return values


def classes(seed, shape=(24, 30)):
    """Give classes of which a part is cloud and a part is nothing."""
    return np.random.default_rng([seed, 1]).choice(np.array([0, 4, 5, 9], "uint8"), shape, p=[0.1, 0.4, 0.3, 0.2])


@pytest.fixture(scope="module")
def three(build, tmp_path_factory):
    """Two overlapping tiles on one day, one of them on the next, and one that lies elsewhere."""
    folder = tmp_path_factory.mktemp("three")
    east = (WEST + 200.0, NORTH - 50.0)

    def scene(name, seed, when, **place):
        layers = {"red": numbers(seed), "nir": numbers(seed + 10), "scl": classes(seed)}
        return build(folder, name, layers, when=when, **place)

    return [
        scene("a", 1, "2023-08-15T10:00:00Z"),
        scene("b", 2, "2023-08-15T10:00:10Z", origin=east),
        scene("c", 3, "2023-08-16T10:00:00Z", origin=east),
        scene("far", 4, "2023-08-16T10:00:05Z", origin=(WEST + 90000.0, NORTH)),
    ]


def identical(items, engine, **options):
    """Load with our engine and with another, and compare all there is: values, coordinates, attributes."""
    own = load(items, **options).compute(scheduler="sync")
    other = load(items, engine=engine, **options)
    assert (other.chunks == {}) == (options.get("chunks", "auto") is None)
    told, wanted = (json.loads(one.attrs["terracube:cube"]) for one in (other, own))
    assert (told.pop("engine"), wanted.pop("engine")) == (engine, "terracube")
    assert told == wanted
    xr.testing.assert_identical(own.assign_attrs(other.attrs), other.compute(scheduler="sync"))
    return own


class TestSameDataset:
    @pytest.mark.parametrize("radiometry", ["physical", "dn"])
    @pytest.mark.parametrize("chunks", [100, None])
    def test_real_tile_on_its_own_pixels(self, items, tiles, engine, radiometry, chunks):
        """On the files' own pixels a real tile is the same to the bit, attributes and all."""
        window = tiles["33TWM"].window(YX(380, 200), YX(170, 230))
        tile = [item for item in items if "33TWM" in item.id]
        own = identical(tile, engine, bands=BANDS, grid=window, radiometry=radiometry, chunks=chunks)
        assert own.sizes == {"time": 5, "y": 170, "x": 230}

    @pytest.mark.parametrize("groupby", ["solar_day", "time", None])
    @pytest.mark.parametrize("radiometry", ["physical", "dn"])
    def test_two_tiles(self, three, engine, groupby, radiometry):
        """Overlapping tiles, one that lies beside the grid, and empty steps are put together alike."""
        window = grid_at(30, 52, row=-2, col=-3)
        own = identical(three, engine, bands=["red", "nir"], grid=window, groupby=groupby, radiometry=radiometry)
        assert own.sizes["time"] == (2 if groupby == "solar_day" else 4)

    def test_property_and_order(self, build, tmp_path, engine):
        """Scenes are grouped by a property, and the rule that orders a step is ours."""
        made = [
            build(
                tmp_path,
                name,
                {"red": numbers(seed)},
                when=f"2023-08-1{seed}T10:00:00Z",
                properties={"season": "wet", "eo:cloud_cover": cover},
            )
            for name, seed, cover in (("cloudy", 1, 80.0), ("bright", 2, 10.0))
        ]
        options = {"bands": ["red"], "grid": grid_at(24, 30), "mask": None, "groupby": "season", "mosaic": "min_cloud"}
        own = identical(made, engine, **options, radiometry="dn")
        bright = numbers(2)
        assert np.array_equal(own.red.values[0], np.where(bright > 0, bright, numbers(1)))

    @pytest.mark.parametrize("mask", ["clear", None, (9,), lambda values: values == 4])
    def test_masks(self, three, engine, mask):
        """Masks by name, by number, by a function, and none at all."""
        own = identical(three, engine, bands=["red", "scl"], grid=grid_at(24, 40), mask=mask)
        assert own.scl.dtype == np.uint8

    def test_one_pixel(self, three, engine):
        """A grid of one pixel is a grid."""
        identical(three[:1], engine, bands=["red"], grid=grid_at(1, 1, row=3, col=4), mask=None)

    def test_nothing_there(self, three, engine):
        """Where no scene is, everything is missing."""
        own = identical(three, engine, bands=["red"], grid=grid_at(4, 5, row=5000), mask=None, radiometry="dn")
        assert not own.red.any()

    def test_no_nodata(self, build, tmp_path, engine):
        """Without a nodata number only what lies outside is missing, and numbers become floats."""
        values = np.arange(1, 31, dtype="uint8").reshape(5, 6)
        scene = build(tmp_path, "s", {"band": values}, nodata=None, collection="unknown")
        own = identical([scene], engine, bands=["band"], grid=grid_at(6, 8), mask=None, radiometry="dn")
        assert own.band.dtype == np.float32
        assert int(own.band.isnull().sum()) == 48 - 30

    def test_nodata_beside_the_file(self, build, tmp_path, engine):
        """A nodata number that only the item knows is missing too."""
        asset = {"raster:bands": [{"nodata": 7, "data_type": "int16", "scale": 0.5, "offset": 1.0}]}
        values = np.array([[7, 8], [9, 7]], "int16")
        scene = build(tmp_path, "s", {"band": values}, nodata=None, collection="unknown", asset=asset)
        own = identical([scene], engine, bands=["band"], grid=grid_at(2, 2), mask=None)
        assert np.array_equal(own.band.values[0], [[np.nan, 5.0], [5.5, np.nan]], equal_nan=True)

    def test_infinities(self, build, tmp_path, engine):
        """What is infinite is no value."""
        values = np.array([[1, np.inf], [-np.inf, -9999], [2, np.nan]], "float32")
        scene = build(tmp_path, "s", {"band": values}, nodata=-9999, collection="unknown")
        own = identical([scene], engine, bands=["band"], grid=grid_at(3, 2), mask=None)
        assert np.array_equal(own.band.values[0], [[1, np.nan], [np.nan, np.nan], [2, np.nan]], equal_nan=True)

    def test_two_nodata_numbers(self, build, tmp_path, engine):
        """Scenes with different nodata numbers share NaN."""
        values = np.array([[1, 2], [3, 4]], "uint16")
        made = [
            build(
                tmp_path,
                f"s{day}",
                {"band": values},
                nodata=day,
                collection="unknown",
                when=f"2023-08-1{day}T10:00:00Z",
            )
            for day in (1, 2)
        ]
        own = identical(made, engine, bands=["band"], grid=grid_at(2, 2), mask=None, radiometry="dn")
        assert own.band.isnull().values.reshape(2, 4).tolist() == [[True, *[False] * 3], [False, True, *[False] * 2]]

    def test_wide_numbers(self, build, tmp_path, engine):
        """Numbers that float32 cannot hold are scaled from all their digits."""
        values = np.array([[2**24 + 1, 2**24 + 3], [5, 6]], "int32")
        asset = {"raster:bands": [{"scale": 0.5, "offset": -(2.0**23)}]}
        scene = build(tmp_path, "s", {"band": values}, nodata=-1, collection="unknown", asset=asset)
        own = identical([scene], engine, bands=["band"], grid=grid_at(2, 2), mask=None)
        assert own.band.values[0, 0].tolist() == [0.5, 1.5]


class TestOtherPixels:
    def test_blended(self, three, engine):
        """In another CRS the same pixels are seen, and values lie near ours; classes are never blended."""
        box = (WEST + 20, NORTH - 220, WEST + 280, NORTH - 20)
        grid = Grid.from_bbox(box, crs="EPSG:3035", resolution=12, bbox_crs=UTM)
        options = {"bands": ["red", "scl"], "grid": grid, "mask": None, "chunks": 10}
        resampling = {"scl": "nearest", "red": "bilinear"}
        own = load(three[:1], resampling=resampling, **options).compute()
        other = load(three[:1], resampling=resampling, engine=engine, **options).compute()
        plain = load(three[:1], engine=engine, **options).compute()
        assert float((own.red.isnull() != other.red.isnull()).mean()) < 0.1
        assert float(abs(own.red - other.red).mean()) < 0.1 * float(own.red.std())
        assert other.scl.equals(plain.scl)
        assert not other.red.equals(plain.red)

    @pytest.mark.parametrize("method", ["cubic", "average", "mode"])
    def test_methods(self, three, engine, method):
        """All our methods are understood."""
        cube = load(
            three[:1],
            bands=["red"],
            grid=grid_at(8, 10, pixel=30.0),
            mask=None,
            resampling=method,
            engine=engine,
            chunks=None,
        )
        assert float(cube.red.notnull().mean()) > 0.5


def request_of(items, grid, chunks=None, **options):
    """Make the request of a load call."""
    return PeerRequest(prepare(items, bands=["red"], grid=grid, mask=None, chunks=chunks, **options).plan, chunks)


def with_sources(request, **changes):
    """Give a request whose sources are other ones."""
    groups = tuple(
        tuple(
            replace(scene, bands={name: replace(source, **changes) for name, source in scene.bands.items()})
            for scene in group
        )
        for group in request.plan.groups
    )
    return replace(request, plan=replace(request.plan, groups=groups, manifest=None))


class TestRefusals:
    def test_skipping(self, three, engine):
        """What a loader skips it does not tell, so it may not skip."""
        with pytest.raises(InputError, match="does not tell what it could not read"):
            load(three[:1], bands=["red"], grid=grid_at(2, 2), engine=engine, on_error="skip")

    @pytest.mark.parametrize("given", [5, {"red": 5}])
    def test_nodata_of_the_caller(self, three, engine, given):
        """They know the numbers of the files, and cannot be told another one."""
        with pytest.raises(InputError, match="nodata of red"):
            load(three[:1], bands=["red"], grid=grid_at(2, 2), mask=None, engine=engine, nodata=given)

    def test_variables(self, three, engine):
        """Variables inside a file are not for them."""
        request = request_of(three[:1], grid_at(2, 2))
        inside = with_sources(request, location=Location("https://example.org/cube.zarr", "red"))
        with pytest.raises(InputError, match="raster files alone"):
            LOADERS[engine](inside)

    def test_signed(self, three, engine):
        """They take addresses as they are when the graph is made."""

        class Plain:
            """A signer that adds nothing."""

            def sign(self, href, *, fresh=False):
                """Give the address as it is."""
                return href

        request = request_of(three[:1], grid_at(2, 2))
        with pytest.raises(InputError, match="sign"):
            LOADERS[engine](with_sources(request, location=Location("https://example.org/a.tif", signer=Plain())))

    def test_grown_masks(self, build, tmp_path, engine):
        """A mask that grows by metres is grown on the file's pixels, which they do not show."""
        made = build(tmp_path, "s", {"red": numbers(1), "scl": classes(1)})
        call = prepare([made], bands=["red"], grid=grid_at(2, 2))
        rules = {name: replace(rule, dilate_m=50.0) for name, rule in call.plan.rules.items()}
        with pytest.raises(InputError, match="grow"):
            LOADERS[engine](PeerRequest(replace(call.plan, rules=rules)))

    def test_stackstac(self, three):
        """stackstac reads no overviews, no second band, and knows EPSG codes alone."""
        pytest.importorskip("stackstac", reason="stackstac is not installed, so it cannot be compared")
        grid = grid_at(2, 2)
        with pytest.raises(InputError, match="overviews"):
            load_stackstac(request_of(three[:1], grid, overviews="auto"))
        with pytest.raises(InputError, match="one band"):
            load_stackstac(with_sources(request_of(three[:1], grid), band=2))
        local = "+proj=laea +lat_0=46 +lon_0=15 +ellps=GRS80 +units=m"
        with pytest.raises(InputError, match="EPSG"):
            load_stackstac(
                request_of(three[:1], Grid.from_bbox((14.9, 45.9, 15.1, 46.1), crs=local, resolution=1000.0))
            )

    @pytest.mark.parametrize(("package", "name"), [("odc.stac", "odc"), ("stackstac", "stackstac")])
    def test_not_installed(self, three, monkeypatch, package, name):
        """The error of a loader that is not there says how to get it."""
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(InputError, match=r"pip install 'terracube\[peers\]'"):
            load(three[:1], bands=["red"], grid=grid_at(2, 2), engine=name)

    def test_pixels_elsewhere(self):
        """Pixels that lie elsewhere than they were asked for are an error."""
        grid = grid_at(3, 4)
        y, x = grid.centres()
        check_pixels(grid, y, x)
        for wrong in ((y + 0.001, x), (y, x[:-1])):
            with pytest.raises(IntegrityError, match="other pixels"):
                check_pixels(grid, *wrong)


class TestSecondBand:
    def test_odc(self, build, tmp_path):
        """odc-stac reads any band of a file, as long as it is the same in every scene's."""
        pytest.importorskip("odc.stac", reason="odc-stac is not installed, so it cannot be compared")
        stack = np.stack([numbers(1), numbers(2)])
        scene = build(tmp_path, "s", {"red": stack})
        again = build(tmp_path, "t", {"red": stack}, when="2023-08-16T10:00:00Z")
        request = request_of([scene, again], grid_at(24, 30), radiometry="dn")
        found = load_odc(with_sources(request, band=2))
        assert np.array_equal(found.red.values, np.stack([numbers(2)] * 2))
        groups = (with_sources(request, band=2).plan.groups[0], request.plan.groups[1])
        with pytest.raises(InputError, match="same band"):
            load_odc(replace(request, plan=replace(request.plan, groups=groups, manifest=None)))


def test_headers_decide(items):
    """The items of the real scenes claim other shapes than their files have; the peers are told what the files say."""
    pytest.importorskip("odc.stac", reason="odc-stac is not installed, so it cannot be compared")
    item = next(item for item in items if "33TWM" in item.id)
    scene = read_scenes([item], ["red"], mask=False).scenes[0]
    with rasterio.open(Path(scene.bands["red"].location.href)) as file:
        assert file.shape == tuple(scene.bands["red"].grid.shape)
        wanted = file.read(1)
    found = load([item], bands=["red"], mask=None, radiometry="dn", engine="odc", chunks=None)
    assert np.array_equal(found.red.values[0], wanted)
