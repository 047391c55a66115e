"""stackstac's call, served by our engine: replayed against stackstac itself, and against what its manual says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pystac
import pytest
import xarray as xr
from pyproj import Transformer

from terracube.core.errors import AssetError, ConflictError, EmptyResultError, InputError, MetadataError
from terracube.cubes.engines import IgnoredArgumentWarning, stack

UTM = 32633
WEST, NORTH = 500040.0, 5100000.0
BOX = (WEST, NORTH - 60.0, WEST + 80.0, NORTH)


def counting(first=1, shape=(6, 8)):
    """Give numbers one after another, as rows."""
    return np.arange(first, first + shape[0] * shape[1], dtype="uint16").reshape(shape)


@pytest.fixture
def two(make_scene):
    """Two scenes side by side, the later one first in the alphabet."""
    return [
        make_scene("b", {"red": counting(), "nir": counting(100)}, when="2023-08-15T10:00:00Z"),
        make_scene("a", {"red": counting(200)}, when="2023-08-17T10:00:00Z", origin=(WEST + 40.0, NORTH)),
    ]


def projected(item, **fields):
    """Give a copy of an item whose assets say where they lie, as 1.1 does: no EPSG number, but a code."""
    other = item.clone()
    for asset in other.assets.values():
        asset.extra_fields.update(fields)
    return other


def absolute(items):
    """Give copies of items with absolute addresses, since stackstac resolves no others."""
    copies = [item.clone() for item in items]
    for item in copies:
        item.make_asset_hrefs_absolute()
    return copies


@pytest.fixture(scope="module")
def theirs():
    """The function that is replaced."""
    return pytest.importorskip("stackstac", reason="stackstac is not installed, so nothing can be replayed").stack


@pytest.fixture(scope="module")
def tile(items):
    """The real scenes of one tile."""
    return [item for item in items if "33TWM" in item.id]


@pytest.fixture(scope="module")
def place(tiles):
    """A part of the tile's own pixels."""
    left, _, _, top = tiles["33TWM"].bounds
    bounds = (left + 12000.0, top - 48000.0, left + 36000.0, top - 36000.0)
    return {"epsg": UTM, "resolution": 120.0, "bounds": bounds, "snap_bounds": False}


class TestReplay:
    """The same call in stackstac gives the same array."""

    @pytest.mark.parametrize(
        "options",
        [
            {"dtype": "uint16", "fill_value": np.uint16(0)},
            {},
            {"dtype": "float32", "fill_value": np.float32(-1), "xy_coords": "center", "sortby_date": "desc"},
            {"xy_coords": False, "sortby_date": False, "properties": "eo:cloud_cover", "band_coords": False},
        ],
    )
    def test_values_and_labels(self, theirs, tile, place, options):
        """Values, dates, ids, bands and pixel coordinates are the same."""
        call = {"assets": ["red", "nir"], "rescale": False, **place, **options}
        wanted, found = theirs(absolute(tile), **call).compute(), stack(tile, **call).compute(scheduler="sync")
        assert found.dims == wanted.dims
        assert found.dtype == wanted.dtype
        assert np.array_equal(found.values, wanted.values, equal_nan=found.dtype.kind == "f")
        for name in ("time", "id", "band", "epsg", "eo:cloud_cover"):
            assert np.array_equal(found[name], wanted[name]), name
        assert {"x", "y"} & set(wanted.coords) == {"x", "y"} & set(found.coords)
        for name in {"x", "y"} & set(wanted.coords):
            assert np.allclose(found[name], wanted[name], rtol=0, atol=1e-6)
        assert found.attrs["crs"] == wanted.attrs["crs"]
        assert found.attrs["resolution"] == wanted.attrs["resolution"]

    def test_asset_coordinates(self, theirs, tile, place):
        """What items say of a band is told alike."""
        call = {"assets": ["red", "nir"], "rescale": False, **place}
        wanted, found = theirs(absolute(tile), **call), stack(tile, **call)
        for name in ("common_name", "center_wavelength", "full_width_half_max"):
            assert np.array_equal(found[name], wanted[name]), name

    @pytest.mark.parametrize("snap", [True, False])
    @pytest.mark.parametrize("resolution", [10.0, (20.0, 10.0), None])
    def test_pixels(self, theirs, two, snap, resolution):
        """Bounds are snapped, or not, and resolutions chosen, alike."""
        told = [
            projected(
                item, **{"proj:epsg": UTM, "proj:transform": [10.0, 0, left, 0, -10.0, NORTH], "proj:shape": [6, 8]}
            )
            for item, left in zip(two, (WEST, WEST + 40.0), strict=True)
        ]
        call = {"assets": ["red"], "rescale": False, "resolution": resolution, "snap_bounds": snap}
        for bounds in (None, (WEST + 3.0, NORTH - 47.0, WEST + 58.0, NORTH - 2.0)):
            wanted, found = theirs(absolute(told), **call, bounds=bounds), stack(told, **call, bounds=bounds)
            assert found.shape == wanted.shape
            # Its own labels are stretched over bounds that hold no whole number of pixels; its transform is right.
            place = wanted.attrs["transform"]
            assert np.allclose(found.x, place.c + place.a * np.arange(found.sizes["x"]), rtol=0, atol=1e-5)
            assert np.allclose(found.y, place.f + place.e * np.arange(found.sizes["y"]), rtol=0, atol=1e-5)
            if snap and resolution != (20.0, 10.0):
                assert np.array_equal(found.values, wanted.values, equal_nan=True)

    def test_codes_alone(self, theirs, two):
        """Items with only a projection code, which stackstac cannot place, are placed."""
        fields = {"proj:code": f"EPSG:{UTM}", "proj:transform": [10.0, 0, WEST, 0, -10.0, NORTH], "proj:shape": [6, 8]}
        told = [projected(two[0], **fields)]
        with pytest.raises(ValueError, match="Cannot pick a common CRS"):
            theirs(absolute(told), assets=["red"], rescale=False)
        found = stack(told, assets=["red"], rescale=False)
        assert np.array_equal(found.values[0, 0], counting())


class TestAnswers:
    def test_labels(self, two):
        """One step per item in order of date, one band per asset, what an item lacks is missing."""
        found = stack(two, assets=["red", "nir"], rescale=False, dtype="uint16", fill_value=0)
        assert found.dims == ("time", "band", "y", "x")
        assert found.id.values.tolist() == ["b", "a"]
        assert found.band.values.tolist() == ["red", "nir"]
        assert found.shape == (2, 2, 6, 12)
        assert np.array_equal(found[0, 1, :, :8], counting(100))
        assert not found[1, 1].any()
        assert np.array_equal(found[1, 0, :, 4:], counting(200))

    @pytest.mark.parametrize(("order", "ids"), [("asc", ["b", "a"]), ("desc", ["a", "b"]), (False, ["a", "b"])])
    def test_orders(self, two, order, ids):
        """Steps lie as asked for, whatever order the items came in, and each carries its own pixels."""
        given = two[::-1] if order is False else two
        found = stack(given, assets=["red"], rescale=False, sortby_date=order, bounds=BOX)
        assert found.id.values.tolist() == ids
        for step in found:
            assert float(step.max()) == {"b": 48.0, "a": 243.0}[str(step.id.values)]

    def test_rescaled(self, two):
        """Scale and offset are applied as they are settled for each item."""
        found = stack(two[:1], assets=["red"])
        assert found.dtype == np.float64
        assert np.allclose(found.values[0, 0], counting() / 10000, rtol=1e-6)

    def test_offset_once(self, items):
        """An offset that the provider has applied already is not applied again."""
        item = next(item for item in items if "33TWM" in item.id)
        assert item.properties["earthsearch:boa_offset_applied"]
        found = stack(item, assets=["red"], resolution=2400.0)
        assert float(found.min()) > 0

    def test_beside(self, two):
        """Items beside the bounds are left out; without bounds none is."""
        west = (WEST, NORTH - 60.0, WEST + 30.0, NORTH)
        assert stack(two, assets=["red"], bounds=west).id.values.tolist() == ["b"]
        corners = Transformer.from_crs(UTM, 4326, always_xy=True).transform_bounds(WEST, NORTH - 50, WEST + 30, NORTH)
        assert stack(two, assets=["red"], bounds_latlon=corners).id.values.tolist() == ["b"]
        with pytest.raises(EmptyResultError, match="reaches"):
            stack(two, assets=["red"], bounds=(0.0, 0.0, 100.0, 100.0))

    def test_coordinates(self, two):
        """Corners, centres or nothing; the pixels are the same."""
        top, centre, none = (stack(two[:1], assets=["red"], xy_coords=place) for place in ("topleft", "center", False))
        assert (float(top.x[0]), float(top.y[0])) == (WEST, NORTH)
        assert (float(centre.x[0]), float(centre.y[0])) == (WEST + 5.0, NORTH - 5.0)
        assert "x" not in none.coords
        assert np.array_equal(top.values, centre.values)
        assert centre.rio.crs.to_epsg() == UTM
        assert tuple(centre.rio.transform())[:6] == (10.0, 0.0, WEST, 0.0, -10.0, NORTH)

    def test_properties(self, make_scene):
        """Properties become coordinates of one type: numbers with NaN, text with nothing, JSON for what is nested."""
        made = [
            make_scene(
                name,
                {"red": counting()},
                when=f"2023-08-1{day}T10:00:00Z",
                properties={
                    "shared": "same",
                    "cover": cover,
                    "good": good,
                    "note": note,
                    "nested": {"a": day},
                    "n": day,
                },
            )
            for name, day, cover, good, note in (("a", 1, 3.5, True, "x"), ("b", 2, None, False, None))
        ]
        found = stack(made, assets=["red"])
        assert found.shared.item() == "same"
        assert found["cover"].values[0] == 3.5
        assert np.isnan(found["cover"].values[1])
        assert found.good.values.tolist() == [True, False]
        assert found.note.values.tolist() == ["x", ""]
        assert found.nested.values.tolist() == ['{"a": 1}', '{"a": 2}']
        assert found.n.values.tolist() == [1, 2]
        chosen = stack(made, assets=["red"], properties=["n", "not there"], band_coords=False)
        assert "shared" not in chosen.coords
        assert chosen["not there"].values.tolist() == ["", ""]
        assert "shared" not in stack(made, assets=["red"], properties=False).coords

    def test_zarr(self, two, tmp_path):
        """The array can be written to Zarr and read back, which the other one's coordinates forbid."""
        found = stack(two, assets=["red", "nir"], bounds=BOX)
        store = tmp_path / "stack.zarr"
        found.to_dataset(name="values").to_zarr(store, zarr_format=3, consolidated=False)
        again = xr.open_zarr(store, consolidated=False)["values"]
        assert np.array_equal(again, found, equal_nan=True)
        assert again.id.values.tolist() == ["b", "a"]

    def test_lazy_and_cut(self, two):
        """Nothing is read before it is asked for, and the cut changes nothing."""
        whole = stack(two, assets=["red"], rescale=False)
        for size in (4, (3, 5), (1, 1, 4, 4), -1):
            found = stack(two, assets=["red"], rescale=False, chunksize=size)
            assert found.chunks is not None
            assert np.array_equal(found, whole, equal_nan=True)

    def test_other_system(self, two):
        """In another CRS the resolution is that of the finest pixel, and bounds hold all items."""
        found = stack(two, assets=["red"], epsg=3035, rescale=False)
        assert found.epsg.item() == 3035
        assert 10.0 <= found.attrs["resolution"] <= 12.0 if "resolution" in found.attrs else True
        assert int(found.max()) == 247
        blended = stack(two, assets=["red"], epsg=3035, resolution=10, resampling="bilinear")
        assert float(blended.max()) <= 0.0247 + 1e-9


class TestForms:
    def test_items(self, two):
        """Items come as a list, a collection, one alone, or dictionaries."""
        wanted = stack(two, assets=["red"])
        for given in (pystac.ItemCollection(two), [item.to_dict(transform_hrefs=False) for item in two]):
            assert stack(given, assets=["red"]).equals(wanted)
        assert stack(two[0], assets=["red"]).sizes["time"] == 1

    def test_assets(self, two):
        """Assets by key, by media type, or all of them."""
        assert stack(two).band.values.tolist() == ["red", "nir"]
        assert stack(two, assets=None).band.values.tolist() == ["red", "nir"]
        assert stack(two, assets="red").band.values.tolist() == ["red"]
        assert stack(two, assets={"image"}).band.values.tolist() == ["red", "nir"]
        with pytest.raises(InputError, match="no asset"):
            stack(two, assets={"image/jp2"})
        with pytest.raises(InputError, match="no asset"):
            stack(two, assets={"image/tiff; profile=cloud-optimized"})

    @pytest.mark.parametrize(
        ("options", "error", "told"),
        [
            ({"reader": object}, InputError, "own readers"),
            ({"dtype": "uint16"}, InputError, "rescale=False"),
            ({"dtype": "uint16", "rescale": False}, InputError, "fill value"),
            ({"dtype": "uint8", "rescale": False, "fill_value": -1}, InputError, "fill value"),
            ({"chunksize": "15 MB"}, InputError, "chunk size"),
            ({"chunksize": (1, 2, 3)}, InputError, "chunk size"),
            ({"sortby_date": "up"}, InputError, "order"),
            ({"xy_coords": "corner"}, InputError, "coordinates"),
            ({"resampling": "lanczos"}, InputError, "lanczos"),
            ({"resolution": -1}, InputError, "not positive"),
            ({"bounds": BOX, "bounds_latlon": (14.0, 46.0, 15.0, 47.0)}, InputError, "twice"),
            ({"bounds": (1.0, 2.0, 3.0)}, InputError, "malformed"),
        ],
    )
    def test_refused(self, two, options, error, told):
        """What means nothing here is refused in a sentence."""
        with pytest.raises(error, match=told):
            stack(two[:1], **{"assets": ["red"], **options})

    def test_no_items(self, two):
        """Nothing to stack, or nothing with a date, is an error."""
        with pytest.raises(EmptyResultError, match="no item"):
            stack([])
        with pytest.raises(EmptyResultError, match="any of the assets"):
            stack(two, assets=["green"])
        with pytest.raises(MetadataError, match="date"):
            stack({**two[0].to_dict(), "properties": {}}, assets=["red"])

    def test_settings_of_gdal(self, two):
        """Settings of GDAL are ignored, with a warning."""
        with pytest.warns(IgnoredArgumentWarning, match="gdal_env"):
            stack(two[:1], assets=["red"], gdal_env=object())

    def test_several_systems(self, make_scene, two):
        """Files in several CRS need one to be chosen."""
        other = make_scene("c", {"red": counting()}, crs="EPSG:32632", when="2023-08-18T10:00:00Z")
        with pytest.raises(ConflictError, match="several CRS"):
            stack([*two, other], assets=["red"])

    def test_unreadable(self, two):
        """What cannot be read is an error, or an empty step if errors are to be nodata."""
        Path(two[1].get_self_href()).with_name("red.tif").unlink()
        with pytest.raises(AssetError):
            stack(two, assets=["red"])
        found = stack(two, assets=["red"], errors_as_nodata=(OSError("404"),), rescale=False)
        assert found.id.values.tolist() == ["b", "a"]
        assert found[1].isnull().all()
        assert np.array_equal(found[0, 0], counting())
