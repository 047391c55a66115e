"""Regions that fade into each other: weights that sum to one, and blends that show no border."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import shapely
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import ConflictError, EmptyResultError, InputError, MetadataError
from terracube.cubes import Grid
from terracube.processing.landcover.regions import blend, region_weights

UTM = "EPSG:32633"


def grid(width: int = 40, height: int = 20) -> Grid:
    """A small grid of 10 m pixels at (500000, 5000000)."""
    box = (500000, 5000000, 500000 + 10 * width, 5000000 + 10 * height)
    return Grid.from_bbox(box, crs=UTM, bbox_crs=UTM, resolution=10)


def halves(at: float = 500200) -> geopandas.GeoDataFrame:
    """A west and an east region that meet at an easting."""
    boxes = [shapely.box(400000, 4900000, at, 5100000), shapely.box(at, 4900000, 600000, 5100000)]
    return geopandas.GeoDataFrame({"region": ["west", "east"]}, geometry=boxes, crs=UTM)


def test_weights_fade_over_the_border() -> None:
    """Deep inside one region weighs all, on the border both weigh half, and in between it is monotone."""
    weights = region_weights(halves(), grid(), width=100).compute()
    assert weights.region.values.tolist() == ["east", "west"]
    east = weights.sel(region="east").values[5]
    assert (np.diff(east) >= 0).all()
    assert east[0] == 0
    assert east[-1] == 1
    assert abs(east[19] + east[20] - 1) < 1e-6
    assert 0.4 < east[19] < 0.5
    # 55 m east of the border the west reaches with half a cosine.
    reach = 0.5 + 0.5 * np.cos(np.pi * 55 / 100)
    np.testing.assert_allclose(east[25], 1 / (1 + reach), rtol=1e-6)


def test_zero_width_is_a_hard_cut() -> None:
    """Without width every pixel hears its own region alone."""
    weights = region_weights(halves(), grid(), width=0).values
    assert set(np.unique(weights)) == {0.0, 1.0}


@settings(max_examples=15, deadline=None)
@given(st.integers(3, 33), st.floats(0, 150), st.integers(0, 1000))
def test_weights_sum_to_one_whatever_the_chunks(block: int, width: float, seed: int) -> None:
    """Weights sum to 1 and are the same to the bit for every chunk size."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform((500000, 5000000), (500400, 5000200), (4, 2))
    parts = shapely.get_parts(shapely.voronoi_polygons(shapely.MultiPoint(centres), extend_to=halves().union_all()))
    table = geopandas.GeoDataFrame({"region": [f"r{k}" for k in range(len(parts))]}, geometry=parts, crs=UTM)
    whole = region_weights(table, grid(), width=width, beyond="nearest").values
    np.testing.assert_allclose(whole.sum(axis=0), 1, rtol=1e-6)
    np.testing.assert_array_equal(
        region_weights(table, grid(), width=width, beyond="nearest", block=block).values, whole
    )


def test_beyond_all_regions() -> None:
    """Farther than the width from all regions nothing is said, unless the nearest is asked for."""
    west = halves(500100).iloc[:1]
    weights = region_weights(west, grid(), width=50).values[0, 0]
    assert weights[9] == 1
    assert weights[13] == 1
    assert np.isnan(weights[15])
    assert (region_weights(west, grid(), width=50, beyond="nearest").values == 1).all()


def test_a_hole_is_outside() -> None:
    """A lake cut out of a region has no weight farther than the width from its shore."""
    ring = shapely.box(499000, 4999000, 501000, 5001000).difference(shapely.box(500100, 5000050, 500300, 5000150))
    table = geopandas.GeoDataFrame({"region": ["around"]}, geometry=[ring], crs=UTM)
    weights = region_weights(table, grid(), width=20).values[0]
    assert np.isnan(weights[10, 20])
    assert weights[0, 0] == 1
    assert weights[10, 11] == 1


def test_parts_of_one_name_are_one_region() -> None:
    """Two polygons with one name have no border between them; another CRS is brought to that of the grid."""
    table = halves().assign(region="same").to_crs("EPSG:4326")
    weights = region_weights(table, grid(), width=60)
    assert weights.sizes["region"] == 1
    assert (weights.values == 1).all()


def test_names_do_not_change_with_the_run() -> None:
    """The same regions give the same graph, others another one."""
    one, two = region_weights(halves(), grid(), width=10), region_weights(halves(), grid(), width=10)
    assert one.data.name == two.data.name != region_weights(halves(), grid(), width=11).data.name


def test_unfit_regions_are_refused() -> None:
    """No CRS, no column, no name, no area, no region, a negative width."""
    table = halves()
    with pytest.raises(MetadataError):
        region_weights(table.set_crs(None, allow_override=True), grid(), width=10)
    with pytest.raises(InputError, match="name"):
        region_weights(table, grid(), name="zone", width=10)
    with pytest.raises(InputError, match="name"):
        region_weights(table.assign(region=[None, "b"]), grid(), width=10)
    with pytest.raises(InputError, match="area"):
        region_weights(table.set_geometry([shapely.Point(0, 0), shapely.Point(1, 1)]), grid(), width=10)
    with pytest.raises(EmptyResultError):
        region_weights(table.iloc[:0], grid(), width=10)
    for width in (-1.0, float("nan")):
        with pytest.raises(InputError):
            region_weights(table, grid(), width=width)


def says(values: list[float], codes: list[int], shape: tuple[int, int] = (20, 40)) -> xr.DataArray:
    """Probabilities that are the same everywhere."""
    array = np.broadcast_to(np.float32(values)[:, None, None], (len(values), *shape)).copy()
    return xr.DataArray(array, dims=("class_code", "y", "x"), coords={"class_code": codes})


def test_blend_is_the_weighted_mean() -> None:
    """Probabilities of models with other classes blend to probabilities that sum to 1."""
    weights = region_weights(halves(), grid(), width=100).compute()
    found = blend({"east": says([0.2, 0.8], [5, 2]), "west": says([1.0], [5])}, weights)
    assert found.class_code.values.tolist() == [2, 5]
    assert found.dtype == np.float32
    east = weights.sel(region="east").values
    np.testing.assert_allclose(found.sel(class_code=2), 0.8 * east, atol=1e-6)
    np.testing.assert_allclose(found.sum("class_code"), 1, atol=1e-6)


def test_blend_is_the_same_lazily() -> None:
    """Lazy input gives a lazy result with the same bits."""
    weights = region_weights(halves(), grid(), width=100, block=7)
    parts = {"east": says([0.2, 0.8], [2, 5]), "west": says([0.7, 0.3], [2, 5])}
    eager = blend(parts, weights.compute())
    lazy = blend({name: part.chunk({"y": 7, "x": 7}) for name, part in parts.items()}, weights)
    assert lazy.chunks is not None
    np.testing.assert_array_equal(lazy.values, eager.values)


def test_a_silent_model_leaves_its_weight_to_the_others() -> None:
    """Where one model says nothing the others decide; where none does, the result is missing."""
    weights = region_weights(halves(), grid(), width=100).compute()
    east, west = says([0.2, 0.8], [2, 5]), says([0.7, 0.3], [2, 5])
    east[:, 3], west[:, 3, :15] = np.nan, np.nan
    found = blend({"east": east, "west": west}, weights)
    assert np.isnan(found.values[:, 3, 0]).all()
    np.testing.assert_allclose(found.values[:, 3, 25], [0.7, 0.3], rtol=1e-6)


def test_unfit_probabilities_are_refused() -> None:
    """A region without a model, probabilities without codes, and other pixels."""
    weights = region_weights(halves(), grid(), width=100).compute()
    part = says([1.0], [5])
    with pytest.raises(InputError, match="west"):
        blend({"east": part}, weights)
    with pytest.raises(InputError):
        blend({"east": part, "west": part.drop_vars("class_code")}, weights)
    with pytest.raises(ConflictError):
        blend({"east": part, "west": says([1.0], [5], (20, 41))}, weights)
    moved = part.assign_coords(x=weights.x.values + 10)
    with pytest.raises(ConflictError):
        blend({"east": part, "west": moved}, weights)
