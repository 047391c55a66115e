"""Items of every shape and provider: nothing of them is trusted, all that is needed is found or asked for by name."""

from __future__ import annotations

import copy
import json
import math
import pickle
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pystac
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import (
    AssetError,
    InputError,
    MetadataError,
    NotFoundError,
    TerraCubeError,
)
from terracube.core.sensors import MaskRule
from terracube.cubes import YX, Grid, read_scenes
from terracube.cubes.access import Location
from terracube.cubes.items.fields import claimed_grid
from terracube.cubes.items.hrefs import locate
from terracube.cubes.items.plausible import misses_bbox
from terracube.cubes.items.view import acquired, longitude_of, to_item, to_items
from terracube.cubes.readers import read_header
from terracube.cubes.sources import Given, verify_header

NUMBERS = np.arange(1, 31, dtype="uint16").reshape(5, 6)
CLASSES = np.full((5, 6), 4, "uint8")
UTM = {"proj:code": "EPSG:32633", "proj:shape": [10980, 10980], "proj:transform": [10, 0, 499980, 0, -10, 5200020]}
ADDRESS = "https://example.org/data/red.tif"


def feature(assets=None, collection="sentinel-2-l2a", href="https://example.org/items/a.json", **properties):
    """Make an item of STAC 1.1 that lies behind an address."""
    told = {"datetime": "2023-08-15T10:00:00Z", "s2:processing_baseline": "05.09", **properties}
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": "a",
        "collection": collection,
        "geometry": None,
        "bbox": [14.9, 45.9, 15.1, 46.1],
        "properties": told,
        "links": [{"rel": "self", "href": href}],
        "assets": assets if assets is not None else {"red": {"href": ADDRESS, **UTM}},
    }


def red(item, name="red", **options):
    """Read one band of one item, as its item claims it."""
    options = {"headers": "never", "mask": None} | options
    return read_scenes([item], [name], **options).scenes[0].bands[name]


def load(path: Path) -> dict:
    """Read JSON."""
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def real_items(data_dir):
    """Items of many providers, by file name."""
    return {path.name: load(path) for path in (data_dir / "stac-items").rglob("*.json")}


def styled(real_items, start):
    """Give the real item whose file name starts so."""
    (found,) = [item for name, item in real_items.items() if name.startswith(start)]
    return copy.deepcopy(found)


class TestShapes:
    def test_all_shapes_give_the_same_views(self):
        """pystac items, dictionaries, collections of both, lists and generators are the same items."""
        one = feature()
        item = pystac.Item.from_dict(copy.deepcopy(one))
        shapes = [
            item,
            one,
            [one],
            (x for x in [item]),
            pystac.ItemCollection([item]),
            {"type": "FeatureCollection", "features": [one]},
            to_items(one),
            to_item(one),
        ]
        for shape in shapes:
            (view,) = to_items(shape)
            assert (view.id, view.collection, view.base) == ("a", "sentinel-2-l2a", "https://example.org/items/a.json")
            assert view.assets["red"]["href"] == ADDRESS
            assert acquired(view) == (datetime(2023, 8, 15, 10, tzinfo=UTC), date(2023, 8, 15))
            assert red(view) == red(one)

    def test_a_search_is_iterated(self):
        """What a client's search finds is asked of it when it is read, page by page."""

        class Search:
            def items(self):
                return iter([feature()])

            def item_collection(self):
                raise AssertionError("not all at once")

        assert [view.id for view in to_items(Search())] == ["a"]

    @pytest.mark.parametrize(
        "wrong",
        [
            None, 1, "item.json", b"x", Path("item.json"), [1], [None], ["a"], [[]], {}, {"type": "Catalog", "id": "a"},
            {"type": "Feature"}, {"type": "Feature", "id": 1}, {"type": "Feature", "id": ""},
            [{"id": "a", "collection": 1}], {"type": "FeatureCollection", "features": [1]}, pystac.Catalog("a", "b"),
        ],
    )  # fmt: skip
    def test_what_is_no_item(self, wrong):
        """Paths, catalogues, numbers and dictionaries of other things are refused in words."""
        with pytest.raises(InputError, match="no STAC item"):
            to_items(wrong)

    def test_no_items(self):
        """No items are no views."""
        assert to_items([]) == []
        assert to_items({"type": "FeatureCollection", "features": []}) == []

    @pytest.mark.parametrize("field", ["id", "collection"])
    @pytest.mark.parametrize("wrong", ["a\nforged", "a\x1b[31m", "a\u202eb", "a\x00", "\ud800", "a" * 1025])
    @pytest.mark.parametrize("shape", ["dictionary", "pystac"])
    def test_ids_that_forge(self, field, wrong, shape):
        """Ids with control characters, or without an end, are refused before they reach a report or an error."""
        item = feature() | {field: wrong}
        if shape == "pystac":
            item = pystac.Item.from_dict(feature())
            setattr(item, {"id": "id", "collection": "collection_id"}[field], wrong)
        with pytest.raises(MetadataError, match=f"the {field} of an item is unusable") as told:
            to_items([item])
        assert str(told.value).isprintable()
        assert len(str(told.value)) < 500

    def test_ids_of_all_letters(self):
        """Ids of other alphabets, with spaces and of 1024 characters are ids."""
        for name in ("Šmarje 1", "x" * 1024, "<b>"):
            assert to_item(feature() | {"id": name}).id == name

    def test_every_stored_item_opens(self, real_items):
        """Real items and examples of all versions become views; their ids are kept."""
        items = [item for item in real_items.values() if item.get("type") == "Feature"]
        assert len(items) > 15
        assert [view.id for view in to_items(items)] == [item["id"] for item in items]


class TestTimes:
    def test_an_interval_is_not_a_date(self, real_items):
        """An item with start and end only is refused, with both named; its start or middle is taken when asked for."""
        item = styled(real_items, "core-item")
        with pytest.raises(MetadataError, match=r"no date.*start_datetime 2020-12-11T22:38:32.125Z.*interval="):
            acquired(to_item(item))
        view = to_item(item)
        assert acquired(view, "start")[0] == datetime(2020, 12, 11, 22, 38, 32, 125000, tzinfo=UTC)
        assert acquired(view, "middle")[0] == datetime(2020, 12, 11, 22, 38, 32, 226000, tzinfo=UTC)
        with pytest.raises(InputError, match="intervals"):
            acquired(view, "end")

    @pytest.mark.parametrize(
        "when", [None, "", "yesterday", "2020-10-31", "2020-13-01T00:00:00Z", 20230101, [], {}, "x" * 1000, True]
    )
    def test_no_date(self, when):
        """What is no moment is refused: a day alone would be read as its first moment, another solar day."""
        with pytest.raises(MetadataError, match="no date"):
            acquired(to_item(feature(datetime=when)))

    @pytest.mark.parametrize("when", ["0001-01-01T00:00:00Z", "1677-12-31T23:00:00Z", "2262-04-11T12:00:00+00:00"])
    def test_beyond_nanoseconds(self, when):
        """A date that the time axis of a cube cannot hold is refused, and the field is named."""
        with pytest.raises(MetadataError, match=r"a, properties\.datetime.*1678 to 2262"):
            acquired(to_item(feature(datetime=when)))
        told = {"start_datetime": when, "end_datetime": when}
        with pytest.raises(MetadataError, match=r"a, properties\.start_datetime.*1678 to 2262"):
            acquired(to_item(feature(datetime=None, **told)), "start")

    @pytest.mark.parametrize("when", ["1678-01-01T00:00:00Z", "2262-04-10T23:59:59Z"])
    def test_the_ends_of_nanoseconds(self, when):
        """The first and the last date, and their solar days, are exact in nanoseconds."""
        for longitude in (-179.0, 179.0):
            item = feature(datetime=when) | {"bbox": [longitude, 0, longitude, 1]}
            for moment in acquired(to_item(item)):
                exact = np.datetime64(str(moment)[:19].replace(" ", "T"))
                assert exact.astype("datetime64[ns]").astype(exact.dtype) == exact

    def test_half_an_interval(self):
        """A start without an end has no middle and no date."""
        item = feature(datetime=None, start_datetime="2020-01-01T00:00:00Z")
        with pytest.raises(MetadataError, match="no date"):
            acquired(to_item(item), "middle")
        mixed = feature(datetime=None, start_datetime="2020-01-01T00:00:00Z", end_datetime="2020-01-02T00:00:00")
        with pytest.raises(MetadataError, match="interval is unusable"):
            acquired(to_item(mixed), "middle")

    def test_real_scenes_across_the_antimeridian(self, real_items):
        """Their boxes run all around the globe; their footprints say that they lie at the antimeridian."""
        wide = [
            view
            for view in to_items([item for item in real_items.values() if item.get("type") == "Feature"])
            if view.bbox and view.bbox[2] - view.bbox[0] > 180
        ]
        assert len(wide) >= 4
        for view in wide:
            assert 178 < abs(longitude_of(view)) <= 180

    @pytest.mark.parametrize(
        ("coordinates", "middle"),
        [
            ([[[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]], 0.0),
            ([[[179, 0], [-179, 0], [-179, 1], [179, 1], [179, 0]]], -180.0),
            ([[[[170, 0], [180, 1]]], [[[-180, 0], [-178, 1]]]], 176.0),
            (None, 0.0),
            ([], 0.0),
            ("x", 0.0),
        ],
    )
    def test_boxes_around_the_globe(self, coordinates, middle):
        """A box wider than half the globe is believed unless the footprint fits into less than half of it."""
        item = feature() | {"bbox": [-180, -10, 180, 10], "geometry": {"type": "Polygon", "coordinates": coordinates}}
        assert longitude_of(to_item(item)) == pytest.approx(middle)


class TestClaims:
    @pytest.mark.parametrize(
        "crs",
        [
            {"proj:code": "EPSG:32633"},
            {"proj:epsg": 32633},
            {"proj:code": None, "proj:epsg": 32633},
            {"proj:code": "EPSG:32633", "proj:epsg": 32633},
        ],
    )
    @pytest.mark.parametrize("level", ["asset", "item"])
    def test_spellings(self, crs, level):
        """Code, EPSG number, WKT and PROJJSON, on the asset or on the item, are one grid."""
        rest = {key: value for key, value in UTM.items() if key != "proj:code"}
        on_asset = {**rest, **crs} if level == "asset" else {}
        on_item = {**rest, **crs} if level == "item" else {}
        source = red(feature({"red": {"href": ADDRESS, **on_asset}}, **on_item))
        assert source.grid.crs == "EPSG:32633"
        assert source.grid.bounds == (499980, 5090220, 609780, 5200020)
        assert (source.known, source.dtype, source.nodata, source.offset) == (False, "uint16", 0, -0.1)

    def test_wkt_and_projjson(self):
        """A CRS without a code is told in full."""
        from pyproj import CRS

        lambert = CRS.from_proj4("+proj=laea +lat_0=47 +lon_0=15 +ellps=GRS80 +units=m")
        texts = {
            json.dumps(value): red(feature({"red": {"href": ADDRESS, **UTM, "proj:code": None, key: value}})).grid.crs
            for key, value in (("proj:wkt2", lambert.to_wkt()), ("proj:projjson", lambert.to_json_dict()))
        }
        assert all(CRS.from_user_input(text).equals(lambert) for text in texts.values())

    def test_the_asset_wins_over_the_item(self):
        """What is said of the asset holds; an asset without CRS has that of the item."""
        item = feature({"red": {"href": ADDRESS, "proj:shape": [5, 6]}}, **UTM)
        assert red(item).grid.shape == (5, 6)

    def test_a_box_stands_in_for_the_transform(self):
        """Shape and box say the same as shape and transform."""
        box = {"proj:code": "EPSG:32633", "proj:shape": [10980, 5490], "proj:bbox": [499980, 5090220, 609780, 5200020]}
        assert red(feature({"red": {"href": ADDRESS, **box}})).grid.resolution == (-10, 20)

    def test_nine_numbers(self):
        """A transform may be a whole matrix."""
        nine = {**UTM, "proj:transform": [*UTM["proj:transform"], 0, 0, 1]}
        assert red(feature({"red": {"href": ADDRESS, **nine}})).grid == red(feature()).grid

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"proj:code": None}, "proj:code"),
            ({"proj:shape": None}, "proj:shape"),
            ({"proj:transform": None}, "proj:transform"),
            ({"proj:code": "EPSG:999999"}, r"proj:code.*EPSG:32633"),
            ({"proj:code": "../../x"}, "proj:code"),
            ({"proj:code": 32633}, "proj:code"),
            ({"proj:code": None, "proj:epsg": "32633"}, "proj:epsg"),
            ({"proj:code": None, "proj:epsg": True}, "proj:epsg"),
            ({"proj:code": None, "proj:wkt2": "x" * 100_000}, "proj:wkt2"),
            ({"proj:code": None, "proj:wkt2": "PROJCS[nonsense"}, "proj:wkt2"),
            ({"proj:code": None, "proj:projjson": {"type": "nonsense"}}, "proj:projjson"),
            ({"proj:epsg": 32632}, "two CRS"),
            ({"proj:shape": [10980]}, "proj:shape"),
            ({"proj:shape": [0, 5]}, "proj:shape"),
            ({"proj:shape": [2.5, 5]}, "proj:shape"),
            ({"proj:shape": [10**12, 5]}, "proj:shape"),
            ({"proj:shape": "x"}, "proj:shape"),
            ({"proj:transform": [10, 1, 0, 0, -10, 0]}, "rotated"),
            ({"proj:transform": [10, 0, math.nan, 0, -10, 0]}, "proj:transform"),
            ({"proj:transform": [10, 0, 10**400, 0, -10, 0]}, "proj:transform"),
            ({"proj:transform": [10, 0, 0, 0, -10, 0, 1, 0, 1]}, "proj:transform"),
            ({"proj:transform": [499980, 10, 0, 5200020, 0, -10]}, "rotated"),
            ({"proj:transform": None, "proj:bbox": [1, 2, 3]}, "proj:bbox"),
            ({"data_type": "complex64"}, "data_type"),
            ({"data_type": ["uint16"]}, "data_type"),
        ],
    )
    def test_incomplete_and_malformed(self, change, message):
        """What is missing or no number is named with item, asset and field; the header is asked where it may be."""
        asset = {"href": ADDRESS, **UTM, **change}
        with pytest.raises(MetadataError, match=message) as told:
            red(feature({"red": asset}))
        assert "a/red" in str(told.value)

    def test_headers_stand_in_for_claims(self, make_scene):
        """Where claims are missing, wrong or not wanted, the header of the file decides; `never` believes the item."""
        wrong = {"asset": {**UTM, "data_type": "uint16"}}
        item = make_scene("scene", {"red": NUMBERS}, **wrong)
        for headers, shape in (("auto", (5, 6)), ("always", (5, 6)), ("never", (10980, 10980))):
            source = red(item, headers=headers)
            assert source.grid.shape == shape
            assert source.known == (headers != "never")
        assert source.tile == (0, 0)
        with pytest.raises(InputError, match="rule for headers"):
            red(item, headers="sometimes")

    def test_tokens_are_refused(self):
        """A signed address is not kept: the error names the signer, and not the token."""
        tails = ("?sv=1&sig=s3cr3t", "?X-Amz-Signature=s3cr3t", "?token=s3cr3t", "?key=s3cr3t", "?auth=s3cr3t")
        tails += ("?k=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.s3cr3t", "#token=s3cr3t", ";jsessionid=s3cr3t")
        for href in (ADDRESS + tail for tail in tails):
            with pytest.raises(AssetError, match=r"carries a token.*signer=") as told:
                red(feature({"red": {"href": href, **UTM}}))
            assert "s3cr3t" not in str(told.value)
        assert red(feature({"red": {"href": f"{ADDRESS}?version=3", **UTM}})).path.endswith("?version=3")

    def test_small_enough_to_travel(self):
        """Sources of one tile share their grid: a thousand items with four bands are less than a megabyte."""
        names = ["blue", "green", "red", "nir"]
        items = []
        for number in range(1000):
            base = f"https://example.org/tiles/33/T/WM/2023/{number:04d}"
            assets = {name: {"href": f"{base}/{name}.tif", **UTM} for name in names}
            items.append(feature(assets) | {"id": f"S2A_{number}"})
        found = read_scenes(items, names, mask=None)
        assert len({id(source.grid) for scene in found.scenes for source in scene.bands.values()}) == 1
        bare = [replace(scene, properties={}) for scene in found.scenes]
        assert len(pickle.dumps(bare)) < 1_000_000

    @given(st.sampled_from(["proj:code", "proj:epsg", "proj:wkt2", "proj:projjson", "proj:shape", "proj:transform",
                            "proj:bbox", "bands", "raster:bands", "eo:bands", "nodata", "data_type", "raster:scale",
                            "href", "type", "roles", "zarr:node_type"]),
           st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20)
                        | st.sampled_from(["EPSG:4326", "uint8", "nan", "/x", "s3://b/k"]),
                        lambda part: st.lists(part, max_size=9) | st.dictionaries(
                            st.sampled_from(["name", "scale", "nodata", "eo:common_name", "type"]), part, max_size=4),
                        max_leaves=12),
           st.booleans())  # fmt: skip
    @settings(max_examples=200)
    def test_any_field(self, name, value, on_item):
        """Whatever stands in a field, there is a source or an error of ours."""
        asset = {"href": ADDRESS, **UTM} | ({} if on_item else {name: value})
        item = feature({"red": asset}, **({name: value} if on_item else {}))
        try:
            source = red(item)
        except TerraCubeError:
            return
        assert source.grid.shape.y > 0
        assert math.isfinite(source.scale)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
            lambda part: (
                st.lists(part, max_size=4)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "type",
                            "id",
                            "features",
                            "properties",
                            "assets",
                            "bbox",
                            "datetime",
                            "red",
                            "href",
                            "links",
                            "collection",
                            "geometry",
                            "coordinates",
                            "rel",
                            "bands",
                        ]
                    ),
                    part,
                    max_size=6,
                )
            ),
            max_leaves=30,
        )
    )
    @settings(max_examples=200)  # fmt: skip
    def test_any_item(self, value):
        """Whatever JSON is given, there are scenes or an error of ours."""
        for item in (value, {**feature(), **value} if isinstance(value, dict) else value):
            try:
                found = read_scenes(item, ["red"], mask=None, headers="never", on_error="skip")
            except TerraCubeError:
                continue
            assert len(found.scenes) <= 1

    def test_claims_directly(self):
        """A claim says which fields are lacking."""
        claim = claimed_grid({"proj:shape": [5, 6]}, {}, where="a/red")
        assert claim.grid is None
        assert claim.lacking == ("proj:code", "proj:transform")


class TestVerify:
    @pytest.fixture
    def pair(self, make_scene):
        """A source as a true item claims it, and the header of its file."""
        true = {"proj:code": "EPSG:32633", "proj:shape": [5, 6], "proj:transform": [10, 0, 500040, 0, -10, 5100000]}
        item = make_scene("scene", {"red": NUMBERS}, asset={**true, "data_type": "uint16", "nodata": 0})
        source = red(item)
        return source, read_header(source.location, where="scene/red")

    def test_true_claims(self, pair, make_scene):
        """A true claim becomes what reading the header at once gives."""
        source, header = pair
        checked = verify_header(source, header)
        assert checked.known
        assert (checked.grid, checked.tile, checked.decoder) == (header.grid, header.tile, header.decoder)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda s: {"grid": replace(s.grid, shape=YX(5, 7))}, "proj:shape"),
            (lambda s: {"grid": replace(s.grid, crs="EPSG:32632")}, "proj:code"),
            (lambda s: {"grid": replace(s.grid, offset=YX(0, 0))}, "proj:transform"),
            (lambda s: {"dtype": "int16"}, "data_type"),
            (lambda s: {"nodata": 7.0}, "disagree on the nodata"),
        ],
    )
    def test_lies(self, pair, change, message):
        """A claim that the file does not keep is an error that names the field, the file, and what to do."""
        source, header = pair
        with pytest.raises(MetadataError, match=message) as told:
            verify_header(replace(source, **change(source)), header)
        assert "red.tif" in str(told.value)

    def test_no_such_band(self, pair):
        """A band beyond those of the file is an error of the asset."""
        source, header = pair
        with pytest.raises(AssetError, match=r"no such band.*scene/red"):
            verify_header(replace(source, band=2), header, where="scene/red")

    def test_few_digits(self, pair):
        """A transform written with few digits is the header's."""
        source, header = pair
        close = replace(source.grid, phase=source.grid.phase._replace(x=2.0**-12))
        assert verify_header(replace(source, grid=close), header).grid == header.grid

    @pytest.mark.parametrize(("told", "wanted"), [(65535.0, 65535.0), (0.0, 0.0), (None, 0.0)])
    def test_a_usual_number_gives_way(self, pair, told, wanted):
        """A nodata number that is only usual for the product is no claim: what the file declares holds."""
        source, header = pair
        usual = red(feature({"red": {"href": ADDRESS, "data_type": "uint16", **UTM}}))
        assert (usual.nodata, usual.nodata_default) == (0.0, True)
        found = verify_header(replace(source, nodata=0.0, nodata_default=True), replace(header, nodata=(told,)))
        assert (found.nodata, found.nodata_default) == (wanted, told is None)

    def test_what_the_caller_gave_stays(self, pair):
        """A nodata number of the caller is not asked of the file; where none is claimed, the file's is taken."""
        source, header = pair
        assert verify_header(replace(source, nodata=7.0, nodata_given=True), header).nodata == 7
        assert verify_header(replace(source, nodata=None), header).nodata == 0


CDSE = {
    "bands": [{"name": "B04", "eo:common_name": "red"}],
    "href": "s3://eodata/Sentinel-2/MSI/L2A/2025/01/10/S2B.SAFE/GRANULE/IMG_DATA/R10m/T33TWM_B04_10m.jp2",
    "type": "image/jp2",
    "roles": ["data", "reflectance"],
    "nodata": 0,
    "data_type": "uint16",
    **UTM,
}
PC = "S2B_MSIL2A_20190629T212529_R043_T06VVN_20201006T080531.json"


class TestProviders:
    """Scale and offset of red in the style of each provider."""

    @pytest.mark.parametrize(
        ("start", "properties", "offset", "reason"),
        [
            # Planetary Computer: real, of an old baseline; and of 04.00, where nothing but the baseline tells.
            (PC, {}, 0.0, "s2:processing_baseline is 02.12"),
            (PC, {"s2:processing_baseline": "04.00"}, -0.1, "s2:processing_baseline is 04.00"),
            # Earth Search v0: only the name of the product tells the baseline; later items have flags of their own.
            ("S2A_28QCH", {}, 0.0, "sentinel:product_id is 02.14"),
            ("S2A_28QCH", {"sentinel:product_id": "S2A_MSIL2A_20220714T115221_N0400_R123_T28QCH_20220714T191310"},
             -0.1, "sentinel:product_id is 04.00"),
            ("S2A_28QCH", {"sentinel:boa_offset_applied": True}, 0.0, "sentinel:boa_offset_applied is true"),
            # Sinergise: real, offset declared and baseline under its own prefix.
            ("S2A_OPER_MSI_L2A_TL_2APS_20230730T020155", {}, -0.1, "declared by the asset"),
        ],
    )  # fmt: skip
    def test_real(self, real_items, start, properties, offset, reason):
        """Real items, and what they were like in other years."""
        item = styled(real_items, start)
        item["properties"].update(properties)
        source = red(item)
        assert (source.scale, source.offset, source.radiometry) == (1e-4, offset, reason)
        assert (source.dtype, source.nodata, source.known) == ("uint16", 0.0, False)

    @pytest.mark.parametrize(
        ("asset", "version", "offset"),
        [
            ({"raster:scale": 1e-4, "raster:offset": -0.1}, "05.11", -0.1),
            ({"raster:scale": 1e-4, "raster:offset": 0}, "02.14", 0.0),
            ({}, "05.11", -0.1),
            ({}, "05.00", -0.1),
            ({}, "02.14", 0.0),
        ],
    )
    def test_copernicus_data_space(self, asset, version, offset):
        """STAC 1.1 with scale and offset on the asset, the baseline in processing:version."""
        item = feature({"B04_10m": CDSE | asset}, **{"processing:version": version})
        del item["properties"]["s2:processing_baseline"]
        for name in ("red", "B04", "B04_10m"):
            source = red(item, name)
            assert (source.scale, source.offset) == (1e-4, offset)
            assert source.path.startswith("s3://eodata/")

    def test_versions_of_software_are_no_baseline(self):
        """A version that is not spelt as the agency does says nothing."""
        item = feature({"B04_10m": CDSE}, **{"processing:version": "2.6.1"})
        del item["properties"]["s2:processing_baseline"]
        with pytest.raises(MetadataError, match=r"cannot be known.*a/B04_10m"):
            red(item)

    def test_eopf(self):
        """A path into a Zarr store is the store and the variable in it."""
        store = "https://objects.example.org/S2B_MSIL2A_20250110.zarr"
        assets = {
            "B04_10m": {"href": f"{store}/measurements/reflectance/r10m/b04", "type": "application/vnd+zarr", **UTM},
            "SCL_20m": {"href": f"{store}/conditions/mask/l2a_classification/r20m/scl", "type": "application/vnd+zarr"},
            "SR_10m": {
                "href": f"{store}/measurements/reflectance/r10m",
                "type": "application/vnd+zarr; version=2",
                "bands": [{"name": "b02"}, {"name": "b03"}],
                **UTM,
            },
        }
        assets["SCL_20m"] |= UTM | {"proj:shape": [5490, 5490], "proj:transform": [20, 0, 499980, 0, -20, 5200020]}
        scene = read_scenes(feature(assets), ["red", "b03"], headers="never").scenes[0]
        assert scene.bands["red"].location == Location(store, "measurements/reflectance/r10m/b04")
        assert scene.bands["b03"].location == Location(store, "measurements/reflectance/r10m/b03")
        assert (scene.bands["b03"].band, scene.bands["b03"].offset) == (1, -0.1)
        assert (scene.mask.location.member, scene.mask.classes) == ("conditions/mask/l2a_classification/r20m/scl", True)

    def test_landsat_of_the_catalogue(self, real_items):
        """Items of USGS: role names of OLI and ETM+ alike, either name of near infrared, reflectance and flags."""
        for start, shape in (("LC08_L2SP_028030", (8041, 7931)), ("LE07_L2SP_044033", (7131, 8151))):
            item = styled(real_items, start)
            scene = read_scenes(item, ["red", "nir", "nir08", "swir22"], headers="never").scenes[0]
            source = scene.bands["nir"]
            assert (source.scale, source.offset, source.nodata, source.grid.shape) == (2.75e-5, -0.2, 0.0, shape)
            assert source == scene.bands["nir08"]
            assert (scene.mask.asset, scene.mask.classes, scene.mask.dtype) == ("qa_pixel", True, "uint16")
            assert (scene.mask.scale, scene.mask.offset, scene.mask.nodata) == (1.0, 0.0, None)

    def test_landsat_files(self, data_dir):
        """The real Landsat scene: items of STAC 0.7 whose assets are file names, pixels that are not square."""
        (path,) = (data_dir / "landsat-c2l2").rglob("*_SR_stac.json")
        item = load(path) | {"links": [{"rel": "self", "href": str(path)}]}
        for asset in item["assets"].values():
            asset["href"] = asset["href"].rpartition("/")[2]
        with pytest.raises(MetadataError, match=r"no date.*2020-10-31"):
            read_scenes(item, ["red"])
        item["properties"]["datetime"] = "2020-10-31T14:30:43Z"
        scene = read_scenes(item, ["coastal", "red", "SR_B5", "SR_B7.TIF"]).scenes[0]
        assert scene.asset_keys == ("SR_B1.TIF", "SR_B4.TIF", "SR_B5.TIF", "SR_B7.TIF", "QA_PIXEL.TIF")
        for source in scene.bands.values():
            assert (source.scale, source.offset, source.nodata, source.known) == (2.75e-5, -0.2, 0.0, True)
            assert source.grid.resolution == pytest.approx((-600.8549222797927, 600.0791556728232))
        del item["properties"]["eo:platform"]
        by_common_name = read_scenes(item, ["red", "nir"], mask=None).scenes[0]
        assert by_common_name.asset_keys == ("SR_B4.TIF", "SR_B5.TIF")
        with pytest.raises(NotFoundError, match="lwir11"):
            read_scenes(item, ["lwir11"], mask=None)

    def test_surface_temperature(self, data_dir):
        """Temperature has its own scale and offset: the MTL file of the scene says the same."""
        (path,) = (data_dir / "landsat-c2l2").rglob("*_ST_stac.json")
        item = load(path) | {"links": [{"rel": "self", "href": str(path)}]}
        item["properties"]["datetime"] = "2020-10-31T14:30:43Z"
        for asset in item["assets"].values():
            asset["href"] = asset["href"].rpartition("/")[2]
        source = red(item, "lwir11", headers="auto")
        told = path.with_name(path.name.replace("_ST_stac.json", "_MTL.txt")).read_text()
        assert f"TEMPERATURE_MULT_BAND_ST_B10 = {source.scale:.8f}" in told
        assert f"TEMPERATURE_ADD_BAND_ST_B10 = {source.offset:.1f}" in told


class TestUnknownCollections:
    def test_by_key_name_and_common_name(self, real_items):
        """Without a sensor, bands are found by asset key, band name or common name; several bands lie in one file."""
        item = styled(real_items, "extended-item")
        item["assets"]["analytic"]["data_type"] = "uint16"
        for name, band in (("blue", 1), ("band2", 2), ("green", 2), ("red", 3)):
            source = red(item, name)
            assert (source.asset, source.band) == ("analytic", band)
            assert (source.scale, source.offset) == (1.0, 0.0)
            assert source.radiometry == "nothing declared: numbers as they are"
        with pytest.raises(NotFoundError, match=r"several bands.*analytic.*band1, band2, band3"):
            red(item, "analytic")
        with pytest.raises(NotFoundError, match=r"unknown band 'purple'.*analytic"):
            red(item, "purple")

    def test_masks_need_a_rule(self, make_scene):
        """There is no clear without a sensor; a rule that names its asset is enough."""
        item = make_scene("scene", {"a": NUMBERS, "quality": CLASSES}, collection="somewhere")
        with pytest.raises(InputError, match=r"no sensor is known.*mask=None"):
            read_scenes(item, ["a"])
        assert read_scenes(item, ["a"], mask=None).scenes[0].mask is None
        assert read_scenes(item, ["a"], mask=MaskRule("quality", bits=2)).scenes[0].mask.asset == "quality"
        with pytest.raises(NotFoundError, match="shade"):
            read_scenes(item, ["a"], mask=MaskRule("shade", bits=2))

    def test_declared_scale(self, make_scene):
        """Scale and offset that the item declares are taken; else those of the file itself."""
        item = make_scene("scene", {"a": NUMBERS}, collection=None, asset={"raster:bands": [{"scale": 0.5}]})
        source = red(item, "a", headers="auto")
        assert (source.scale, source.offset, source.radiometry) == (0.5, 0.0, "declared by the asset")

    def test_named_rules_choose_their_layer(self, make_scene):
        """The rule of cloud probability reads its own layer; a rule that the sensor has not is refused."""
        layers = {"red": NUMBERS, "scl": CLASSES, "cloud": np.full((5, 6), 50, "uint8")}
        item = make_scene("scene", layers, nodata=None)
        for rule, asset in ((True, "scl"), ("water", "scl"), ("cloud_probability", "cloud")):
            assert read_scenes(item, ["red"], mask=rule).scenes[0].mask.asset == asset
        with pytest.raises(InputError, match=r"unknown mask rule.*snow_free"):
            read_scenes(item, ["red"], mask="sunny")

    def test_all_bands(self, make_scene, real_items):
        """Without names: the measured bands of the sensor that every item has, or the rasters with the role data."""
        one = make_scene("one", {"red": NUMBERS, "nir": NUMBERS, "scl": CLASSES, "blue": NUMBERS})
        two = make_scene("two", {"red": NUMBERS, "blue": NUMBERS, "scl": CLASSES})
        assert list(read_scenes([one, two]).scenes[0].bands) == ["blue", "red"]
        (gone,) = read_scenes(styled(real_items, "only_crs_proj"), mask=None, on_error="skip", headers="never").left_out
        assert "BS_PC_10, proj:shape, proj:transform, data_type" in gone.reason
        several = styled(real_items, "extended-item")
        several["assets"] = {"analytic": several["assets"]["analytic"] | {"data_type": "uint16"}}
        found = read_scenes(several, mask=None, headers="never").scenes[0]
        assert [(name, source.band) for name, source in found.bands.items()] == [
            ("band1", 1), ("band2", 2), ("band3", 3), ("band4", 4),
        ]  # fmt: skip
        role = {"asset": {"roles": ["data"]}, "collection": "x"}
        other = make_scene("other", {"a": NUMBERS, "b": NUMBERS}, **role)
        assert list(read_scenes([other], mask=None).scenes[0].bands) == ["a", "b"]
        with pytest.raises(InputError, match="no band in common"):
            read_scenes([make_scene("bare", {"a": NUMBERS}, collection="x")], mask=None)
        assert read_scenes([], mask=None).scenes == ()

    def test_bands_are_a_list(self, make_scene):
        """A single text is no list of names, nor are numbers."""
        item = make_scene("scene", {"red": NUMBERS})
        for wrong in ("red", [1]):
            with pytest.raises(InputError, match="list of names"):
                read_scenes(item, wrong)

    def test_an_ambiguous_name(self, real_items):
        """A common name that several assets share is refused, with their keys."""
        item = styled(real_items, "S2A_OPER_MSI_L2A_TL_2APS_20230730T020155") | {"collection": "x"}
        del item["assets"]["red"]
        with pytest.raises(NotFoundError, match=r"several assets.*red_20m, red_60m.*key of the asset"):
            red(item)


class TestPlaces:
    def test_relative_hrefs(self):
        """They are resolved against the self link, on http and on S3."""
        for base, expected in (
            ("https://example.org/items/a.json", "https://example.org/items/x/red.tif"),
            ("s3://bucket/items/a.json", "s3://bucket/items/x/red.tif"),
        ):
            view = to_item(feature({"red": {"href": "./x/red.tif"}}, href=base))
            assert locate(view, "red").href == expected
        out = to_item(feature({"red": {"href": "../../../up.tif"}}, href="s3://bucket/items/a.json"))
        assert locate(out, "red").href == "s3://bucket/up.tif"
        rooted = to_item(feature({"red": {"href": "/etc/passwd"}}))
        assert locate(rooted, "red").href == "https://example.org/etc/passwd"

    @pytest.mark.parametrize(
        ("asset", "variable", "member"),
        [
            ({"href": "https://e.org/a.zarr", "bands": [{"name": "b04"}]}, "b04", "b04"),
            ({"href": "https://e.org/a.zarr/g", "bands": [{"name": "b04"}, {"name": "b03"}]}, "b03", "g/b03"),
            ({"href": "https://e.org/a.zarr/g/B04"}, "b04", "g/B04"),
            ({"href": "https://e.org/a.zarr/g/b04"}, "", "g/b04"),
            ({"href": "https://e.org/a.zarr/g", "zarr:node_type": "group"}, "ndvi", "g/ndvi"),
            ({"href": "https://e.org/a.zarr#ndvi"}, "", "ndvi"),
            ({"href": "https://e.org/a", "type": "application/vnd.zarr; version=3", "bands": [{"name": "n"}]}, "", "n"),
            ({"href": "https://e.org/a.nc", "bands": [{"name": "chl"}]}, "", "chl"),
            ({"href": "https://e.org/a.nc#chl"}, "", "chl"),
            ({"href": "https://e.org/a", "type": "application/x-netcdf"}, "chl", "chl"),
        ],
    )
    def test_variables(self, asset, variable, member):
        """Zarr and NetCDF assets name a variable by path, by band, or after #."""
        found = locate(to_item(feature({"x": asset})), "x", variable)
        assert found.member == member
        assert found.href.removesuffix(".zarr").removesuffix(".nc") == "https://e.org/a"

    def test_a_variable_without_a_name(self):
        """Which variable is meant is not guessed."""
        with pytest.raises(MetadataError, match=r"variable in the asset is not named.*a/x"):
            locate(to_item(feature({"x": {"href": "https://e.org/a.zarr"}})), "x")

    def test_local_stores(self, make_scene, tmp_path):
        """A store beside its item is found; one that is not there is told."""
        item = make_scene("scene", {"red": NUMBERS})
        (tmp_path / "scene" / "cube.zarr").mkdir()
        item.add_asset("zarr", pystac.Asset("./cube.zarr/g/b04"))
        item.add_asset("gone", pystac.Asset("./gone.zarr/g/b04"))
        assert locate(to_item(item), "zarr") == Location(str(tmp_path / "scene" / "cube.zarr"), "g/b04")
        with pytest.raises(AssetError, match=r"folder of the asset is missing.*scene/gone"):
            locate(to_item(item), "gone")

    @pytest.mark.parametrize("asset", [{}, {"href": None}, {"href": 5}, None, "x", []])
    def test_no_href(self, asset):
        """An asset without href, or that is none, is told by name."""
        with pytest.raises(AssetError, match=r"no href.*a/red"):
            locate(to_item(feature({"red": asset})), "red")


def test_unreachable_header_tells_what_would_help():
    """Where the item is silent and the file cannot be asked, the error names item, asset, field and the way out."""
    assets = {"red": {"href": "http://127.0.0.1:9/red.tif", "proj:shape": [5, 6]}}
    with pytest.raises(
        AssetError, match=r"does not say where the pixels lie.*a/red, proj:code, proj:transform"
    ) as told:
        red(feature(assets), headers="auto")
    assert told.value.todo


def test_given_numbers():
    """A number by band, or for the others; classes take only one that names them."""
    by_band = Given(nodata={"red": 1, "*": 2})
    assert [by_band.nodata_of("red"), by_band.nodata_of("nir")] == [1, 2]
    assert by_band.nodata_of("scl", categorical=True) is None
    assert Given(nodata=3).nodata_of("scl", categorical=True) is None
    assert Given().nodata_of("red") is None


class TestPlausible:
    @pytest.mark.parametrize(
        ("code", "left", "top", "bbox", "missing"),
        [
            ("EPSG:32633", 499980, 5200020, [14.9, 45.9, 16.5, 47.0], False),
            ("EPSG:32633", 499980, 5200020, [14.9, 45.9, 100.0, 16.5, 47.0, 900.0], False),
            ("EPSG:32634", 499980, 5200020, [14.9, 45.9, 16.5, 47.0], True),
            ("EPSG:32733", 499980, 5200020, [14.9, 45.9, 16.5, 47.0], True),
            ("EPSG:32633", 499980, 6200020, [14.9, 45.9, 16.5, 47.0], True),
            # Across the antimeridian, as the standard says and as some write it.
            ("EPSG:32601", 300000, 7300020, [179.2, 64.6, -176.9, 65.9], False),
            ("EPSG:32601", 300000, 7300020, [-180.0, 64.6, 180.0, 65.9], False),
            ("EPSG:32660", 600000, 7300020, [179.2, 64.6, -176.9, 65.9], False),
            ("EPSG:32615", 600000, 7300020, [179.2, 64.6, -176.9, 65.9], True),
            # Around a pole longitudes say nothing.
            ("EPSG:3413", -50000, 50000, [10.0, 89.0, 20.0, 90.0], False),
            ("EPSG:3413", -50000, 50000, [10.0, 46.0, 20.0, 47.0], True),
            ("EPSG:32633", 499980, 5200020, ["a", 45.9, 16.5, 47.0], False),
            ("EPSG:32633", 499980, 5200020, None, False),
            ("EPSG:32633", 499980, 5200020, [math.nan] * 4, False),
        ],
    )
    def test_places_and_boxes(self, code, left, top, bbox, missing):
        """A claim is only told to be impossible where it lies wholly beside a usable box."""
        grid = Grid.from_affine(code, Affine(10, 0, left, 0, -10, top), (10980, 10980))
        assert misses_bbox(grid, bbox) is missing

    def test_real_items(self, real_items):
        """No claim of a real item lies beside its box; the box of one example of a specification is invented."""
        checked = 0
        for item in real_items.values():
            if item.get("id") == "proj-example":
                continue
            properties = item.get("properties", {})
            for key, asset in item.get("assets", {}).items():
                try:
                    grid = claimed_grid(asset, properties, where=key).grid
                except MetadataError:
                    continue
                if grid is not None:
                    checked += 1
                    assert not misses_bbox(grid, item["bbox"]), f"{item['id']}/{key}"
        assert checked > 50
