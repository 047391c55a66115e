"""Grids of what others made: the pixels are theirs to the bit, or they are refused."""

from __future__ import annotations

import numpy as np
import odc.geo.xr
import pytest
import rioxarray  # noqa: F401  registers the `.rio` accessor
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from terracube.core.errors import InputError, MetadataError
from terracube.cubes import YX, Grid, Pair
from terracube.cubes.gridlike import grid_like, to_grid
from terracube.cubes.load import georeference

UTM = "EPSG:32633"


@st.composite
def grids(draw):
    """Any grid of two pixels or more along each side, not too far from the origin for single steps to be told."""
    size_y, size_x = (draw(st.sampled_from([120.0, 10.0, 1 / 3600, 463.3127165275, 0.5])) for _ in range(2))
    phase = st.integers(0, 3).map(lambda part: part / 4)
    index, side = st.integers(-(10**5), 10**5), st.integers(2, 50)
    phases, offset = Pair(draw(phase), draw(phase)), YX(draw(index), draw(index))
    return Grid(UTM, Pair(-size_y, size_x), phases, offset, YX(draw(side), draw(side)))


def bare(grid, dims=("y", "x"), crs=None):
    """Make an array with nothing but the coordinates of a grid."""
    y, x = grid.centres()
    data = xr.DataArray(np.zeros(grid.shape, "uint8"), dims=dims, coords={dims[0]: y, dims[1]: x})
    return data if crs is None else data.rio.write_crs(crs)


class TestLike:
    @settings(max_examples=30)
    @given(grids())
    def test_what_we_wrote(self, grid):
        """Georeferenced arrays and datasets have the grid they were made on, equal to the bit."""
        array = georeference(xr.DataArray(np.zeros(grid.shape, "uint8"), dims=("y", "x")), grid)
        assert Grid.like(array) == grid
        assert Grid.like(array.to_dataset(name="red")) == grid

    @settings(max_examples=50)
    @given(grids())
    def test_coordinates_alone(self, grid):
        """Without a GeoTransform the coordinates of the centres say the same, also stored from south to north."""
        for data in (bare(grid, crs=UTM), bare(grid, crs=UTM).isel(y=slice(None, None, -1))):
            data.spatial_ref.attrs.pop("GeoTransform", None)
            found = Grid.like(data)
            if all(size in (120.0, 10.0, 0.5) for size in (grid.resolution.x, -grid.resolution.y)):
                assert found == grid
            # Longer numbers cannot be told from coordinates alone to the last bit.
            assert found.shape == grid.shape
            assert found.bounds[::2] == pytest.approx(grid.bounds[::2], abs=1e-5 * grid.resolution.x)
            assert found.bounds[1::2] == pytest.approx(grid.bounds[1::2], abs=-1e-5 * grid.resolution.y)

    @settings(max_examples=20)
    @given(grids())
    def test_odc_geo(self, grid):
        """Arrays and geoboxes of odc-geo have the grid of their geobox."""
        made = odc.geo.xr.xr_zeros(grid.geobox, dtype="uint8")
        assert Grid.like(made) == grid
        assert Grid.from_geobox(made.odc.geobox) == grid
        assert to_grid(grid.geobox) == grid

    def test_one_pixel(self):
        """One pixel has no step: the GeoTransform tells it, or it is not known."""
        grid = Grid(UTM, Pair(-10.0, 10.0), Pair(0.0, 0.5), YX(5, 7), YX(1, 1))
        array = georeference(xr.DataArray(np.zeros((1, 1)), dims=("y", "x")), grid)
        assert Grid.like(array) == grid
        del array.spatial_ref.attrs["GeoTransform"]
        with pytest.raises(MetadataError, match=r"pixel size.*write_transform"):
            Grid.like(array)
        no_coordinates = georeference(xr.DataArray(np.zeros((1, 1)), dims=("y", "x")), grid).drop_vars(["x", "y"])
        assert Grid.like(no_coordinates) == grid

    @pytest.mark.parametrize("dims", [("lat", "lon"), ("latitude", "longitude"), ("row", "col")])
    def test_names_of_dimensions(self, dims):
        """Rows and columns are known by name, or by their CF attributes."""
        grid = Grid("EPSG:4326", Pair(-0.25, 0.25), Pair(0.0, 0.0), YX(-40, 700), YX(4, 40))
        data = bare(grid, dims)
        data.coords["spatial_ref"] = xr.Variable((), 0, {"crs_wkt": "EPSG:4326"})
        if dims == ("row", "col"):
            with pytest.raises(MetadataError, match="rows and columns"):
                Grid.like(data)
            data.coords["row"].attrs["axis"] = "Y"
            data.coords["col"].attrs["standard_name"] = "longitude"
        assert Grid.like(data) == grid
        assert grid.bounds.right > 180

    def test_single_precision(self):
        """Degrees in single precision are regular enough; the phase is as good as they are."""
        grid = Grid("EPSG:4326", Pair(-0.05, 0.05), Pair(0.0, 0.0), YX(-1000, 200), YX(300, 400))
        data = bare(grid, ("lat", "lon"))
        data = data.assign_coords(lat=data.lat.astype("float32"), lon=data.lon.astype("float32"))
        data.coords["spatial_ref"] = xr.Variable((), 0, {"crs_wkt": "EPSG:4326"})
        found = Grid.like(data)
        assert found.bounds == pytest.approx(grid.bounds, abs=1e-2 * 0.05)

    @pytest.mark.parametrize(
        "place",
        [
            lambda data: data.assign_coords(spatial_ref=xr.Variable((), 0, {"spatial_ref": UTM})),
            lambda data: data.assign_coords(crs=xr.Variable((), 0, {"crs_wkt": UTM})),
            lambda data: data.assign_coords(utm=xr.Variable((), 0, {"crs_wkt": UTM})).assign_attrs(grid_mapping="utm"),
            lambda data: data.assign_coords(epsg=32633),
            lambda data: data.assign_attrs(crs="EPSG:32633"),
            lambda data: data.assign_attrs({"proj:code": "EPSG:32633"}),
        ],
    )
    def test_places_of_the_crs(self, place):
        """The CRS is found where rioxarray, CF, stackstac and GeoZarr keep it."""
        grid = Grid(UTM, Pair(-10.0, 10.0), Pair(0.0, 0.0), YX(-510000, 50000), YX(5, 6))
        assert Grid.like(place(bare(grid))) == grid
        assert Grid.like(place(bare(grid).to_dataset(name="red"))) == grid

    def test_cf_parameters(self):
        """A grid mapping of CF parameters alone is a CRS."""
        from pyproj import CRS

        told = CRS(UTM).to_cf()
        told.pop("crs_wkt")
        grid = Grid(UTM, Pair(-10.0, 10.0), Pair(0.0, 0.0), YX(-510000, 50000), YX(5, 6))
        found = Grid.like(bare(grid).assign_coords(spatial_ref=xr.Variable((), 0, told)))
        assert CRS.from_user_input(found.crs).to_cf()["grid_mapping_name"] == "transverse_mercator"
        assert found.offset == grid.offset
        broken = bare(grid).assign_coords(spatial_ref=xr.Variable((), 0, {"grid_mapping_name": "nonsense"}))
        with pytest.raises(MetadataError, match="grid mapping is unreadable"):
            Grid.like(broken)

    def test_no_crs(self):
        """Without a CRS there is no grid, also of latitudes: their datum is not guessed."""
        grid = Grid(UTM, Pair(-10.0, 10.0), Pair(0.0, 0.0), YX(0, 0), YX(5, 6))
        for dims in (("y", "x"), ("lat", "lon")):
            with pytest.raises(MetadataError, match=r"CRS is not known.*write_crs"):
                Grid.like(bare(grid, dims))

    @pytest.mark.parametrize(
        ("y", "message"),
        [
            ([4, 3, 1], "not regular"),
            ([4, 3, np.nan], "not regular"),
            ([4, 4, 4], "not regular"),
            (["a", "b", "c"], "no numbers"),
        ],
    )
    def test_irregular(self, y, message):
        """Coordinates that are not regular, or no numbers, are no grid; so are columns that run west."""
        data = xr.DataArray(np.zeros((3, 2)), dims=("y", "x"), coords={"y": y, "x": [1.0, 2.0]}).rio.write_crs(UTM)
        with pytest.raises(MetadataError, match=message):
            Grid.like(data)
        west = xr.DataArray(np.zeros((2, 2)), dims=("y", "x"), coords={"y": [2.0, 1.0], "x": [2.0, 1.0]})
        with pytest.raises(MetadataError, match="north-up"):
            Grid.like(west.rio.write_crs(UTM))

    def test_contradictions(self):
        """A GeoTransform that is not that of the coordinates is an error, as is one that is none."""
        grid = Grid(UTM, Pair(-10.0, 10.0), Pair(0.0, 0.0), YX(0, 0), YX(5, 6))
        data = bare(grid, crs=UTM)
        data.spatial_ref.attrs["GeoTransform"] = "5 10 0 0 0 -10"
        with pytest.raises(MetadataError, match="contradict the GeoTransform"):
            grid_like(data)
        data.spatial_ref.attrs["GeoTransform"] = "5 10 0"
        with pytest.raises(MetadataError, match="unreadable"):
            grid_like(data)


class TestGeoboxes:
    @pytest.mark.parametrize(
        ("transform", "crs", "message"),
        [
            (Affine(10, 0, 0, 0, 10, 0), UTM, "north-up"),
            (Affine.rotation(30) * Affine.scale(10, -10), UTM, "rotated"),
            (Affine(10, 0, 0, 0, -10, 0), None, "no CRS"),
        ],
    )
    def test_refused(self, transform, crs, message):
        """Rotated and south-up geoboxes, and such without CRS, are errors of the call."""
        with pytest.raises(InputError, match=message):
            Grid.from_geobox(GeoBox((5, 6), transform, crs))

    def test_any_shape_of_grid(self):
        """Grids, geoboxes, xarray objects and plain values are one grid; other things are none."""
        grid = Grid(UTM, Pair(-10.0, 20.0), Pair(0.0, 0.5), YX(3, 4), YX(5, 6))
        array = georeference(xr.DataArray(np.zeros((5, 6)), dims=("y", "x")), grid)
        for shape in (grid, grid.geobox, array, array.to_dataset(name="a"), grid.as_dict()):
            assert to_grid(shape) == grid
        for wrong in (None, "EPSG:32633", 10, (1, 2, 3, 4)):
            with pytest.raises(InputError, match="this is no grid"):
                to_grid(wrong)
