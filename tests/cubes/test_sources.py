"""From items to sources: files decide, nothing is guessed, one bad scene never stops the others."""

from __future__ import annotations

import json
import math
import os
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import (
    AssetError,
    ConflictError,
    HostileInputError,
    InputError,
    MetadataError,
    NotFoundError,
    TerraCubeError,
)
from terracube.cubes import YX, read_scenes
from terracube.cubes.sources import Given, band_fields, local_folder, local_path, middle_longitude, solar_day

NUMBERS = np.arange(1, 31, dtype="uint16").reshape(5, 6)
CLASSES = np.full((5, 6), 4, "uint8")
LAYERS = {"red": NUMBERS, "scl": CLASSES}


def change(item: pystac.Item, edit) -> pystac.Item:
    """Edit the JSON of an item on disk, and read it again."""
    path = Path(item.get_self_href())
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    # Not pystac's own reading: with orjson installed it refuses NaN, which Python's JSON writes.
    return pystac.Item.from_dict(json.loads(path.read_text()), href=str(path))


def one(item: pystac.Item, **options):
    """Read the only scene."""
    (scene,) = read_scenes([item], ["red"], **options).scenes
    return scene


class TestRealScenes:
    def test_what_they_are(self, real):
        """Eight scenes in order of time; the offset was applied by the provider though each asset declares one."""
        assert len(real.scenes) == 8
        assert real.left_out == ()
        assert [scene.acquired for scene in real.scenes] == sorted(scene.acquired for scene in real.scenes)
        assert len({scene.solar_day for scene in real.scenes}) == 5
        for scene in real.scenes:
            assert list(scene.bands) == ["blue", "green", "red", "nir"]
            assert scene.asset_keys == ("blue", "green", "red", "nir", "scl")
            assert scene.acquired.utcoffset() == timedelta(0)
            for source in scene.bands.values():
                assert (source.scale, source.offset, source.nodata, source.dtype) == (1e-4, 0.0, 0.0, "uint16")
                assert source.radiometry == "earthsearch:boa_offset_applied is true"
                assert source.grid.shape == (915, 915)
            assert (scene.mask.dtype, scene.mask.scale, scene.mask.offset) == ("uint8", 1.0, 0.0)

    def test_names_of_bands(self, items):
        """Role names and the agency's names lead to the same files."""
        by_role = read_scenes(items[:1], ["red"]).scenes[0].bands["red"]
        assert read_scenes(items[:1], ["B04"]).scenes[0].bands["B04"] == by_role

    def test_a_band_that_is_only_remote(self, items):
        """An asset that lies elsewhere is taken as its item claims it, without a request, to be checked when read."""
        source = read_scenes(items[:1], ["swir16"]).scenes[0].bands["swir16"]
        assert source.location.is_remote
        assert source.path.endswith("/B11.tif")
        assert (source.known, source.dtype, source.grid.shape) == (False, "uint16", (5490, 5490))
        with pytest.raises(AssetError, match=r"not on this machine.*https"):
            local_path(items[0], "swir16")

    def test_other_resolutions(self, data_dir):
        """Each band has the grid of its own file, whatever shape the item claims."""
        (path,) = (data_dir / "sentinel2-l2a" / "29RKH-all-bands").rglob("S2A*.json")
        folder = path.parent
        content = json.loads(path.read_text())
        item = pystac.Item.from_dict(content)
        item.set_self_href(str(path))
        for asset in item.assets.values():
            asset.href = f"./{asset.href.rsplit('/', 1)[1]}"
        scene = read_scenes([item], ["red", "rededge1", "coastal"]).scenes[0]
        for name, file in (("red", "B04"), ("rededge1", "B05"), ("coastal", "B01")):
            with rasterio.open(folder / f"{file}.tif") as dataset:
                assert scene.bands[name].grid.shape == dataset.shape
                assert scene.bands[name].grid.resolution.x == dataset.transform.a
        assert len({source.grid.resolution for source in scene.bands.values()}) == 3

    def test_without_georeference(self, data_dir):
        """A scene as it once came, without CRS and place, is refused by name, or left out with the reason."""
        (path,) = (data_dir / "sentinel2-l2a" / "no-georeference").rglob("S2B*.json")
        item = pystac.Item.from_file(str(path))
        with pytest.raises(MetadataError, match=r"no CRS and no geotransform.*S2B_33TWM_20230813_0_L2A/"):
            read_scenes([item], ["red"])
        found = read_scenes([item], ["red"], on_error="skip")
        assert found.scenes == ()
        assert "no CRS" in found.left_out[0].reason


class TestBothStacVersions:
    def test_the_same_source(self, make_scene):
        """Scale, offset and nodata told as STAC 1.0 and as STAC 1.1 give the same source."""
        told = {"scale": 0.0002, "offset": -0.05, "nodata": 7, "data_type": "uint16"}
        first = {"raster:bands": [told]}
        second = {"bands": [{"name": "x", "raster:scale": 0.0002, "raster:offset": -0.05, "nodata": 7}]}
        third = {"raster:scale": 0.0002, "raster:offset": -0.05, "nodata": 7, "data_type": "uint16"}
        sources = []
        for number, asset in enumerate((first, second, third)):
            version = "1.0.0" if number == 0 else "1.1.0"
            item = make_scene(f"s{number}", LAYERS, asset=asset, nodata=None, properties={})

            def edit(content, version=version):
                content["stac_version"] = version
                del content["properties"]["s2:processing_baseline"]

            sources.append(one(change(item, edit)).bands["red"])
        for source in sources:
            assert (source.scale, source.offset, source.nodata) == (0.0002, -0.05, 7.0)

    def test_a_band_says_more_than_its_asset(self):
        """What is said of the band wins over what is said of the whole asset."""
        assert band_fields({"nodata": 0, "bands": [{"nodata": 5}, {"nodata": 6}]}, 1) == {"nodata": 6}
        assert band_fields({"raster:scale": 2, "bands": [{"name": "x"}]}) == {"scale": 2}

    @pytest.mark.parametrize(
        "asset", [{}, {"bands": []}, {"bands": None}, {"bands": ["red"]}, {"raster:bands": {"0": {}}}, {"bands": [{}]}]
    )
    def test_nothing_said(self, asset):
        """Absent, empty or malformed lists of bands say nothing."""
        assert band_fields(asset) == {}

    @pytest.mark.parametrize("nodata", ["nan", "inf", "-inf", -9999.0, math.nan])
    def test_nodata_that_json_cannot_write(self, nodata):
        """STAC writes NaN and infinities as text."""
        found = band_fields({"nodata": nodata})["nodata"]
        assert found == float(nodata) or math.isnan(found) == math.isnan(float(nodata))

    @pytest.mark.parametrize("key", ["scale", "offset", "nodata"])
    @pytest.mark.parametrize("value", ["abc", "1", True, [1], {}, 10**400])
    def test_no_number(self, key, value):
        """Text, lists and truth values are no scale, offset or nodata."""
        with pytest.raises(MetadataError, match=f"{key} of a band is no number.*S2A/red"):
            band_fields({"raster:bands": [{key: value}]}, where="S2A/red")

    def test_nodata_of_file_item_and_sensor(self, make_scene):
        """The nodata of the file decides; only where it is silent the item does, and then the sensor."""
        assert one(make_scene("a", LAYERS, nodata=3)).bands["red"].nodata == 3
        assert one(make_scene("b", LAYERS, nodata=None, asset={"nodata": 5})).bands["red"].nodata == 5
        assert one(make_scene("c", LAYERS, nodata=None)).bands["red"].nodata == 0
        assert one(make_scene("d", LAYERS, nodata=None)).mask.nodata is None
        assert one(make_scene("e", LAYERS, nodata=5, asset={"nodata": 5})).bands["red"].nodata == 5

    def test_file_and_item_disagree_on_nodata(self, make_scene):
        """Two different numbers are an error that says both and what settles it; what the caller says wins."""
        item = make_scene("scene", LAYERS, nodata=3, asset={"nodata": 5})
        with pytest.raises(
            MetadataError, match=r"disagree on the nodata.*scene/.*3 in the file, 5 in the item.*nodata="
        ):
            one(item, mask=False)
        for nodata, expected in ((7, 7), ({"red": 8}, 8), ({"*": 9}, 9)):
            source = one(item, mask=False, given=Given(nodata=nodata)).bands["red"]
            assert (source.nodata, source.nodata_given) == (expected, True)

    @pytest.mark.parametrize("nodata", [-9999, 70000, 0.5, "nan"])
    def test_nodata_that_the_type_cannot_hold(self, make_scene, nodata):
        """A nodata number that no pixel can have is refused, not ignored."""
        item = make_scene("scene", LAYERS, nodata=None, asset={"nodata": nodata})
        with pytest.raises(MetadataError, match=r"cannot be one of the band's.*uint16"):
            one(item, mask=False)

    def test_nodata_is_not_given_to_classes(self, make_scene):
        """A number for all bands does not reach classes; one that names them does."""
        item = make_scene("scene", LAYERS, nodata=None)
        assert one(item, given=Given(nodata=7)).mask.nodata is None
        assert one(item, given=Given(nodata={"scl": 7})).mask.nodata == 7


class TestHostileHrefs:
    @pytest.mark.parametrize(
        ("href", "error"),
        [
            ("https://example.org/red.tif?sig=abcdef", AssetError),
            ("s3://bucket/red.tif?X-Amz-Signature=abcdef", AssetError),
            ("https://me:abcdef@example.org/red.tif", AssetError),
            ("gs://bucket/red.tif", AssetError),
            ("ftp://example.org/red.tif", AssetError),
            ("https:///red.tif", AssetError),
            ("https://example.org/a\0b.tif", HostileInputError),
            ("https://example.org/" + "x" * 5000, HostileInputError),
            ("/vsicurl/https://example.org/red.tif", AssetError),
            ("/vsizip/red.zip/red.tif", AssetError),
            ("http://[", AssetError),
            ("../other/red.tif", HostileInputError),
            ("a/../../other/red.tif", HostileInputError),
            ("link/red.tif", HostileInputError),
            ("outside.tif", HostileInputError),
            ("red.tif\0.png", HostileInputError),
            ("x" * 300, HostileInputError),
            ("\ud800.tif", HostileInputError),
            ("absolute", HostileInputError),
            ("gone.tif", AssetError),
            ("", AssetError),
            (".", AssetError),
            ("loop.tif", AssetError),
        ],
    )
    def test_refused(self, make_scene, tmp_path, href, error):
        """Remote, leaving, absolute, impossible and missing hrefs are each refused, naming the item, never opened."""
        other = make_scene("other", LAYERS)
        item = make_scene("scene", LAYERS)
        folder = tmp_path / "scene"
        (folder / "link").symlink_to(tmp_path / "other")
        (folder / "outside.tif").symlink_to(tmp_path / "other" / "red.tif")
        (folder / "loop.tif").symlink_to("loop.tif")
        secret = local_path(other, "red")
        item.assets["red"].href = str(secret) if href == "absolute" else href
        with pytest.raises(error, match="scene") as told:
            one(item)
        assert "abcdef" not in str(told.value)
        found = read_scenes([item, other], ["red"], on_error="skip")
        assert [scene.id for scene in found.scenes] == ["other"]
        assert [gone.id for gone in found.left_out] == ["scene"]

    def test_a_link_inside_is_fine(self, make_scene, tmp_path):
        """A symbolic link that stays below the item's folder is followed."""
        item = make_scene("scene", LAYERS)
        (tmp_path / "scene" / "name.tif").symlink_to("red.tif")
        item.assets["red"].href = "./name.tif"
        assert one(item).bands["red"].grid.shape == (5, 6)

    def test_a_vrt_behind_tif(self, make_scene, tmp_path):
        """A VRT in place of the raster is refused for this scene only."""
        item, good = make_scene("scene", LAYERS), make_scene("good", LAYERS)
        (tmp_path / "scene" / "red.tif").write_text("<VRTDataset/>")
        with pytest.raises(HostileInputError, match="not what its name says"):
            one(item)
        assert len(read_scenes([item, good], ["red"], on_error="skip").scenes) == 1

    def test_an_item_from_nowhere(self, make_scene):
        """An item that does not say where it lies has no files; the working folder is not searched."""
        item = make_scene("scene", LAYERS)
        item.remove_links("self")
        with pytest.raises(MetadataError, match="does not say where it lies"):
            one(item)

    def test_roots(self, make_scene, tmp_path):
        """Absolute paths are read only below folders that the caller names; links out of them are not followed."""
        item = make_scene("scene", LAYERS)
        for key in LAYERS:
            item.assets[key].href = str(tmp_path / "scene" / f"{key}.tif")
        item.remove_links("self")
        with pytest.raises(HostileInputError, match="leaves the folder"):
            one(item)
        with pytest.raises(HostileInputError, match="leaves the folder"):
            one(item, given=Given(roots=(tmp_path / "sce",)))
        assert one(item, given=Given(roots=(tmp_path,))).bands["red"].grid.shape == (5, 6)
        item.assets["red"].href = f"file://{tmp_path}/scene/red.tif"
        assert one(item, given=Given(roots=(tmp_path,))).bands["red"].grid.shape == (5, 6)
        (tmp_path / "scene" / "out.tif").symlink_to(tmp_path.parent)
        item.assets["red"].href = str(tmp_path / "scene" / "out.tif")
        with pytest.raises(HostileInputError, match="leaves the folder"):
            one(item, given=Given(roots=(tmp_path,)))

    def test_folders(self, make_scene, tmp_path):
        """An asset that is a folder is given as one, under the same rules."""
        item = make_scene("scene", LAYERS)
        (tmp_path / "scene" / "cube.zarr").mkdir()
        item.add_asset("zarr", pystac.Asset("./cube.zarr"))
        assert local_folder(item, "zarr") == tmp_path / "scene" / "cube.zarr"
        with pytest.raises(AssetError, match="folder of the asset is missing"):
            local_folder(item, "red")
        with pytest.raises(AssetError, match="file of the asset is missing"):
            local_path(item, "zarr")


class TestUnusable:
    @pytest.mark.parametrize(
        ("edit", "error", "message"),
        [
            (lambda c: c["properties"].update(datetime=None, start_datetime="2023-01-01T00:00:00Z",
                                              end_datetime="2023-02-01T00:00:00Z"), MetadataError, "no date"),
            (lambda c: (c.pop("bbox"), c.update(geometry=None)), MetadataError, "no bbox"),
            (lambda c: c.update(bbox=[1, 2, 3]), MetadataError, "unusable"),
            (lambda c: c.update(bbox=["a", 2, 3, 4]), MetadataError, "unusable"),
            (lambda c: c.update(bbox=[math.nan, 2, 3, 4]), MetadataError, "unusable"),
            (lambda c: c.update(bbox=[-180, 2, -170, 4]) or c["properties"].update(datetime="0001-01-01T00:00:00Z"),
             MetadataError, "unusable"),
            (lambda c: c.update(collection="sentinel-9"), InputError, "no sensor is known"),
            (lambda c: c.pop("collection"), InputError, "no sensor is known"),
            (lambda c: c["assets"].pop("red"), NotFoundError, "no asset for band 'red'"),
            (lambda c: c["assets"].pop("scl"), NotFoundError, "no asset for band 'scl'"),
            (lambda c: c["properties"].pop("s2:processing_baseline"), MetadataError, "cannot be known"),
            (lambda c: c["properties"].update({"s2:processing_baseline": "new"}), MetadataError, "not a number"),
            (lambda c: c["assets"]["red"].update({"raster:bands": [{"offset": -0.1}]}), MetadataError, "contradicts"),
            (lambda c: c["assets"]["red"].update({"raster:bands": [{"scale": "1e-4"}]}), MetadataError, "no number"),
            (lambda c: c["assets"]["red"].update({"raster:bands": [{"scale": 0}]}), MetadataError, "no usable numbers"),
        ],
    )  # fmt: skip
    def test_items(self, make_scene, edit, error, message):
        """A broken item is refused by name, and left out without stopping the others."""
        item, good = change(make_scene("scene", LAYERS), edit), make_scene("good", LAYERS)
        with pytest.raises(error, match=message) as told:
            one(item)
        assert "scene" in str(told.value) or "no sensor" in message
        found = read_scenes([item, good], ["red"], on_error="skip")
        assert [scene.id for scene in found.scenes] == ["good"]
        assert found.left_out[0].id == "scene"
        assert message in found.left_out[0].reason

    @pytest.mark.parametrize("kind", ["float32", "complex64", "int64"])
    def test_a_mask_that_holds_no_classes(self, make_scene, kind):
        """Scene classes are small whole numbers; a layer of another type is not taken for one."""
        item = make_scene("scene", {"red": NUMBERS, "scl": CLASSES.astype(kind)}, nodata=None)
        with pytest.raises(AssetError, match=r"classes|real numbers"):
            one(item)
        assert one(item, mask=False).mask is None

    @pytest.mark.parametrize("kind", ["complex64", "complex_int16"])
    def test_complex_numbers(self, make_scene, kind):
        """A band of complex numbers has no reflectance."""
        item = make_scene("scene", LAYERS)
        path = local_path(item, "red")
        with rasterio.open(path) as dataset:
            profile = dataset.profile | {"dtype": kind, "nodata": None}
        with rasterio.open(path, "w", **profile):
            pass
        with pytest.raises(AssetError, match=r"no real numbers.*scene/red"):
            one(item)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"crs": None}, "no CRS"),
            ({"transform": Affine(10, 1, 500040, 1, -10, 5100000)}, "rotated"),
            ({"crs": 'LOCAL_CS["x",UNIT["metre",1]]'}, "not a horizontal CRS"),
        ],
    )
    def test_headers_without_a_place(self, make_scene, options, message):
        """A raster without CRS, rotated, or upside down names item and asset in its error."""
        item = make_scene("scene", LAYERS, **options)
        with pytest.raises(MetadataError, match=rf"{message}.*scene/scl"):
            one(item)

    def test_a_file_stored_south_up(self, make_scene):
        """A raster whose rows run north has the north-up grid of the same pixels: readers turn it."""
        item = make_scene("scene", LAYERS, transform=Affine(10, 0, 500040, 0, 10, 5000000))
        assert one(item).bands["red"].grid.transform == Affine(10, 0, 500040, 0, -10, 5000050)

    def test_without_geotransform(self, make_scene):
        """A raster with a CRS but no place is refused."""
        item = make_scene("scene", LAYERS)
        for key in LAYERS:
            path = local_path(item, key)
            profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "width": 6, "height": 5, "crs": "EPSG:32633"}
            with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(path, "w", **profile) as out:
                out.write(CLASSES, 1)
        with pytest.raises(MetadataError, match="no geotransform"):
            one(item)

    def test_unknown_bands_are_an_error_of_the_call(self, make_scene):
        """A band that no sensor has is refused even where bad scenes are skipped; so is an unknown rule."""
        item = make_scene("scene", LAYERS)
        for on_error in ("raise", "skip"):
            with pytest.raises(NotFoundError, match="unknown band 'purple'"):
                read_scenes([item], ["purple"], on_error=on_error)
        with pytest.raises(InputError, match="rule for errors"):
            read_scenes([item], ["red"], on_error="ignore")

    def test_two_items_of_one_id(self, make_scene, tmp_path):
        """Two items of one id and collection are a conflict, whatever else is asked; of two collections not."""
        item = make_scene("scene", LAYERS)
        for on_error in ("raise", "skip"):
            with pytest.raises(ConflictError, match="scene"):
                read_scenes([item, item.clone()], ["red"], on_error=on_error)
        other = item.clone()
        other.collection_id = "sentinel-2-c1-l2a"
        assert len(read_scenes([item, other], ["red"]).scenes) == 2

    def test_no_items(self):
        """No items are no scenes, and no error."""
        assert read_scenes([], ["red"]).scenes == ()


@pytest.fixture(scope="module")
def disordered(tmp_path_factory, build):
    """Four scenes, two at the same moment, one in another time zone; and two without a box."""
    folder = tmp_path_factory.mktemp("order")
    when = {
        "a": "2023-08-15T10:00:02Z",
        "b": "2023-08-15T10:00:01Z",
        "c": "2023-08-15T12:00:01+02:00",
        "d": "2023-08-15T10:00:00.5Z",
    }
    whole = [build(folder, name, LAYERS, when=moment) for name, moment in when.items()]
    return [*whole, *(build(folder, name, LAYERS, bbox=None) for name in "yx")]


@settings(max_examples=20)
@given(data=st.data())
def test_order_does_not_depend_on_arrival(disordered, data):
    """Scenes come by time, then id, whatever the order of the items; so do those left out."""
    found = read_scenes(data.draw(st.permutations(disordered)), ["red"], on_error="skip")
    assert [scene.id for scene in found.scenes] == ["d", "b", "c", "a"]
    assert [gone.id for gone in found.left_out] == ["x", "y"]


class TestDays:
    @given(st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)), st.floats(-180, 180))
    def test_the_sun_decides(self, moment, longitude):
        """At local solar noon it is that day, at whatever longitude; half a day on either side is the same day."""
        noon = datetime(moment.year, moment.month, moment.day, 12, tzinfo=UTC) - timedelta(hours=longitude / 15)
        for hours in (-11.99, 0, 11.99):
            assert solar_day(noon + timedelta(hours=hours), longitude) == moment.date()

    @given(st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)), st.integers(-12, 14))
    def test_time_zones_do_not_matter(self, moment, hours):
        """The same moment told in another zone is the same day."""
        aware = moment.replace(tzinfo=UTC)
        assert solar_day(aware.astimezone(timezone(timedelta(hours=hours))), 15.0) == solar_day(aware, 15.0)

    @pytest.mark.parametrize(
        ("bbox", "middle"),
        [
            ([10, 0, 20, 1], 15),
            ([179, 0, -175, 1], -178),
            ([175, 0, -179, 1], 178),
            ([179, 0, -179, 1], -180),
            ([-180, -90, 180, 90], 0),
            ([10, 0, 100, 20, 1, 900], 15),
        ],
    )
    def test_middle_longitude(self, bbox, middle):
        """The middle lies inside the box, also across the antimeridian, and with heights."""
        assert middle_longitude(bbox) == middle

    @pytest.mark.parametrize("bbox", [[], [1, 2], [1, 2, 3, 4, 5]])
    def test_no_box(self, bbox):
        """A box has four numbers or six."""
        with pytest.raises(ValueError, match="four or six"):
            middle_longitude(bbox)

    def test_an_overpass_across_midnight(self, make_scene):
        """Two scenes of one overpass, before and after midnight UTC, have one solar day."""
        boxes = [[169, -40, 170, -39], [170, -41, 171, -40]]
        times = ["2023-08-14T23:59:50Z", "2023-08-15T00:00:10Z"]
        items = [make_scene(f"s{i}", LAYERS, when=t, bbox=b) for i, (t, b) in enumerate(zip(times, boxes, strict=True))]
        assert {scene.solar_day for scene in read_scenes(items, ["red"]).scenes} == {date(2023, 8, 15)}

    def test_across_the_antimeridian(self, make_scene):
        """A scene across the antimeridian has the day of its neighbour on the same side as its middle."""
        when = "2023-08-15T22:15:00Z"  # 10:07 in the morning of the 15th at 178 degrees west
        crossing = make_scene("crossing", LAYERS, when=when, bbox=[179, -17, -175, -16])
        beside = make_scene("beside", LAYERS, when=when, bbox=[-178.5, -17, -177.5, -16])
        days = {scene.solar_day for scene in read_scenes([crossing, beside], ["red"]).scenes}
        assert days == {date(2023, 8, 15)}

    def test_a_time_without_zone_is_utc(self, make_scene):
        """STAC times are UTC; one without zone is taken as such."""
        item = make_scene("scene", LAYERS)
        item.datetime = datetime(2023, 8, 15, 10)
        assert one(item).acquired == datetime(2023, 8, 15, 10, tzinfo=UTC)


def test_errors_are_ours_whatever_the_item(make_scene):
    """An item whose every part is odd raises errors of ours only."""
    odd = [None, "", 0, -1, [], {}, "x" * 500, math.nan, True, "../..", "\0"]
    places = [("properties", "s2:processing_baseline"), ("properties", "earthsearch:boa_offset_applied"), ("bbox",),
              ("assets", "red", "raster:bands"), ("assets", "red", "bands"), ("assets", "red", "nodata")]  # fmt: skip
    for place in places:
        for value in odd:
            item = make_scene("scene", LAYERS)

            def edit(content, place=place, value=value):
                for key in place[:-1]:
                    content = content[key]
                content[place[-1]] = value

            try:
                found = one(change(item, edit))
            except TerraCubeError:
                continue
            assert found.bands["red"].grid.shape == YX(5, 6)


def test_relative_working_folder(make_scene, tmp_path, monkeypatch):
    """Paths of sources do not depend on the working folder: workers may have another one."""
    make_scene("scene", LAYERS)
    monkeypatch.chdir(tmp_path)
    scene = one(pystac.Item.from_file("scene/scene.json"))
    assert os.path.isabs(scene.bands["red"].path)
