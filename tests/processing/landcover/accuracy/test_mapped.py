"""Areas of a class map: exact, by the ellipsoid in degrees, and the same however the map is cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rioxarray  # noqa: F401  registers the `.rio` accessor
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from pyproj import Geod

from terracube.core.errors import InputError, MetadataError
from terracube.processing.landcover.accuracy import map_areas
from terracube.processing.landcover.accuracy.mapped import pixel_areas, styles_of, to_layer
from terracube.processing.landcover.nomenclature import load_nomenclature


def place(values: ArrayLike, *, crs: str = "EPSG:32633", size: float = 10.0, top: float = 5_100_000.0) -> xr.DataArray:
    """Put codes on a grid."""
    codes = np.asarray(values)
    y, x = top - size * (np.arange(codes.shape[0]) + 0.5), 500_000 + size * (np.arange(codes.shape[1]) + 0.5)
    if crs == "EPSG:4326":
        x = 10 + size * (np.arange(codes.shape[1]) + 0.5)
    return xr.DataArray(codes, dims=("y", "x"), coords={"y": y, "x": x}, name="class").rio.write_crs(crs)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(2, 15), st.integers(2, 15), st.integers(0, 99))
def test_chunks_do_not_matter(rows: int, columns: int, y: int, x: int, seed: int) -> None:
    """Pixels and areas are the same to the bit in memory and in any chunks."""
    codes = np.random.default_rng(seed).integers(0, 5, (rows + 1, columns + 1)).astype("uint8")
    codes[0, 0] = 1
    for crs, size, top in (("EPSG:32633", 10.0, 5_100_000.0), ("EPSG:4326", 0.01, 46.0)):
        whole = place(codes, crs=crs, size=size, top=top).assign_attrs(nodata=0)
        one, other = map_areas(whole), map_areas(whole.chunk(y=y, x=x))
        assert (one.codes, one.pixels, one.areas) == (other.codes, other.pixels, other.areas)
        assert one.codes == tuple(np.unique(codes[codes > 0]).tolist())
        assert one.pixels == tuple(int((codes == code).sum()) for code in one.codes)


def test_several_tiles() -> None:
    """A map of more than one tile of 256 pixels is counted whole."""
    codes = np.random.default_rng(0).integers(1, 4, (300, 520)).astype("uint16")
    found = map_areas(place(codes).chunk(y=100, x=512))
    assert found.pixels == tuple(np.bincount(codes.ravel())[1:].tolist())
    assert found.total == pytest.approx(300 * 520 * 0.01)


def test_degrees_have_the_area_of_the_ellipsoid() -> None:
    """Cells in degrees have the area that geodesics give them."""
    areas = pixel_areas_of(place(np.ones((4, 3), "uint8"), crs="EPSG:4326", size=0.05, top=60.0))
    for row, area in enumerate(areas):
        north = 60 - 0.05 * row
        ring = [10, 10.05, 10.05, 10], [north, north, north - 0.05, north - 0.05]
        expected = -Geod(ellps="WGS84").polygon_area_perimeter(*ring)[0] / 1e4
        assert area == pytest.approx(expected, rel=1e-6)


def pixel_areas_of(values: xr.DataArray) -> Any:
    """Area of a pixel of each row."""
    from terracube.cubes import Grid

    return pixel_areas(Grid.like(values))


def test_the_whole_earth() -> None:
    """All cells together have the area of the ellipsoid."""
    areas = pixel_areas_of(place(np.ones((18, 36), "uint8"), crs="EPSG:4326", size=10.0, top=90.0))
    assert areas.sum() * 36 * 1e4 == pytest.approx(510_065_621_724_088.0, rel=1e-9)


def test_units_and_projections() -> None:
    """Feet become hectares; equal-area projections are taken, Mercator's is refused."""
    feet = map_areas(place(np.ones((2, 2), "uint8"), crs="EPSG:6539", size=100.0, top=200_000.0)).total
    assert feet == pytest.approx(4 * (100 * 1200 / 3937) ** 2 / 1e4)
    assert map_areas(place(np.ones((2, 2), "uint8"), crs="EPSG:3035", top=3_000_000.0)).total == pytest.approx(0.04)
    with pytest.raises(MetadataError, match="does not keep areas"):
        map_areas(place(np.ones((2, 2), "uint8"), crs="EPSG:3857", top=6_000_000.0))


def test_floats_and_rows_running_north() -> None:
    """NaN is missing; rows may run north; the map that was given is left as it was."""
    codes = place(np.array([[1.0, np.nan], [2.0, 2.0]]))
    assert map_areas(codes).pixels == (1, 2)
    turned = codes.isel(y=slice(None, None, -1)).assign_attrs(_FillValue=2.0)
    before = dict(turned.attrs)
    assert map_areas(turned).codes == (1,)
    assert turned.attrs == before
    assert "nodata" in to_layer(turned)["class"].attrs


def test_what_is_no_map_is_refused() -> None:
    """Values that are no codes, no pixel at all, other dimensions and no CRS are refused."""
    with pytest.raises(InputError, match="no class code"):
        map_areas(place(np.array([[1.5]]).repeat(2, 0).repeat(2, 1)))
    with pytest.raises(InputError, match="holds no class"):
        map_areas(place(np.full((2, 2), np.nan)))
    with pytest.raises(InputError, match="no class map"):
        map_areas(place(np.ones((2, 2))).expand_dims("time"))
    with pytest.raises(InputError, match="no class map"):
        map_areas(np.ones((2, 2)))  # type: ignore[arg-type]  the error is what is tested
    with pytest.raises(MetadataError, match="CRS"):
        map_areas(place(np.ones((2, 2), "uint8")).drop_vars("spatial_ref"))


def test_styles() -> None:
    """Names and colours come from the nomenclature, else the map, else a palette."""
    oso = load_nomenclature("oso-23")
    codes = place(np.ones((2, 2), "uint8")).assign_attrs(
        flag_values=[1, 2], flag_meanings="town field", flag_colors="#112233 #445566"
    )
    assert styles_of([1], oso, codes)[1].name == oso.title_of(1)
    assert styles_of([1, 7], None, codes)[1].name == "town"
    assert styles_of([1, 7], None, codes)[1].colour == "#112233"
    assert styles_of([1, 7], None, codes)[7].name == "class 7"


def test_without() -> None:
    """Leaving out classes leaves the others as they are; leaving out all leaves nothing."""
    found = map_areas(place(np.array([[1, 2], [2, 3]], "uint8")))
    assert found.without({2}).codes == (1, 3)
    assert found.without({1, 2, 3}).total == 0
