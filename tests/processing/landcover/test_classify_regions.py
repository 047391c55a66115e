"""Models of regions: what each says alone where it is alone, the blend between, no seams, each chunk the same."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import shapely
import xarray as xr
from sklearn.ensemble import ExtraTreesClassifier

from terracube.core.errors import InputError
from terracube.cubes import Grid
from terracube.cubes.layout import georeference
from terracube.processing import landcover
from terracube.processing.landcover.models import Model

SPEC = landcover.FeatureSpec(bands=("red", "nir"), series=("red", "nir"), season={"step": 90, "count": 4})
ROWS, COLS = 12, 30


def model(codes: list[int], seed: int) -> Model:
    """A forest that has learnt noise: two of them disagree nearly everywhere."""
    rng = np.random.default_rng(seed)
    X, y = rng.uniform(0, 0.6, (60, 8)), np.repeat(codes, 60 // len(codes))
    forest = ExtraTreesClassifier(12, random_state=seed).fit(X, y)
    return Model.from_sklearn(forest, features=SPEC.names(), spec=SPEC.to_json())


@pytest.fixture(scope="module")
def cube() -> xr.Dataset:
    """Six dates of two bands on pixels of 10 m, some missing; two columns without any date."""
    rng = np.random.default_rng(1)
    grid = Grid.from_bbox((500000, 5000000, 500000 + 10 * COLS, 5000000 + 10 * ROWS), crs="EPSG:32633", resolution=10,
                          bbox_crs="EPSG:32633")  # fmt: skip
    values = rng.uniform(0, 0.6, (2, 6, ROWS, COLS)).astype("float32")
    values[:, rng.uniform(size=(6, ROWS, COLS)) < 0.3] = np.nan
    values[..., 3:5] = np.nan
    times = np.array([f"2018-{month:02d}-10" for month in range(1, 12, 2)], "datetime64[ns]")
    layers = {name: (("time", "y", "x"), band) for name, band in zip(("red", "nir"), values, strict=True)}
    y, x = grid.centres()
    made = xr.Dataset(layers, coords={"time": times, "y": y, "x": x})
    return xr.Dataset({name: georeference(band, grid) for name, band in made.items()})


@pytest.fixture(scope="module")
def regions() -> geopandas.GeoDataFrame:
    """West and east of a border in the middle of a column."""
    west, middle, east = 500000, 500155, 500300
    shapes = [shapely.box(west, 4999000, middle, 5001000), shapely.box(middle, 4999000, east, 5001000)]
    return geopandas.GeoDataFrame({"region": ["west", "east"]}, geometry=shapes, crs="EPSG:32633")


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    """Two models that share one class."""
    return {"west": model([3, 7], 1), "east": model([7, 300, 12], 2)}


def test_alone_far_from_borders(cube: xr.Dataset, regions: geopandas.GeoDataFrame, models: dict[str, Model]) -> None:
    """Farther than the width from the border each pixel is what the model of its region says."""
    maps = landcover.classify_regions(cube, models, regions, width=40.0)
    assert maps["class"].dtype == "uint16"
    missing = maps["class"].attrs["nodata"]
    for name, cols in (("west", slice(0, 11)), ("east", slice(20, COLS))):
        alone = landcover.classify(cube, models[name])
        theirs = np.where(alone["class"] == alone["class"].attrs["nodata"], missing, alone["class"])
        np.testing.assert_array_equal(maps["class"].values[:, cols], theirs[:, cols])
        for layer in ("probability", "margin", "entropy"):
            np.testing.assert_allclose(maps[layer].values[:, cols], alone[layer].values[:, cols], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(maps.validity, landcover.classify(cube, models["west"]).validity)
    assert (maps["class"].values[:, 3:5] == missing).all()


def test_blend_between(cube: xr.Dataset, regions: geopandas.GeoDataFrame, models: dict[str, Model]) -> None:
    """Next to the border probabilities are the mean of both by weight, and sum to one."""
    maps = landcover.classify_regions(cube, models, regions, width=40.0)
    weights = landcover.region_weights(regions, Grid.from_bbox((500000, 5000000, 500300, 5000120), crs="EPSG:32633",
                                       resolution=10, bbox_crs="EPSG:32633"), width=40.0).compute()  # fmt: skip
    west = landcover.classify(cube, models["west"]).probabilities
    east = landcover.classify(cube, models["east"]).probabilities
    expected = {
        3: west.sel(class_code=3) * weights.sel(region="west"),
        7: west.sel(class_code=7) * weights.sel(region="west") + east.sel(class_code=7) * weights.sel(region="east"),
        300: east.sel(class_code=300) * weights.sel(region="east"),
    }
    for code, values in expected.items():
        np.testing.assert_allclose(maps.probabilities.sel(class_code=code), values.values, rtol=0, atol=1e-6)
    seen = maps.probability.notnull().values
    np.testing.assert_allclose(maps.probabilities.sum("class_code").values[seen], 1.0, atol=1e-5)


@pytest.mark.parametrize("chunks", [{"y": 5, "x": 7}, {"y": 12, "x": 4}])
def test_any_chunks(
    cube: xr.Dataset, regions: geopandas.GeoDataFrame, models: dict[str, Model], chunks: dict[str, int]
) -> None:
    """Lazy and in any chunks it is the same to the bit."""
    whole = landcover.classify_regions(cube, models, regions, width=40.0)
    lazy = landcover.classify_regions(cube.chunk(time=-1, **chunks), models, regions, width=40.0)
    assert lazy["class"].chunks
    for name in whole:
        np.testing.assert_array_equal(lazy[name].values, whole[name].values)


def test_a_region_without_a_model(cube: xr.Dataset, regions: geopandas.GeoDataFrame, models: dict[str, Model]) -> None:
    """Is named."""
    with pytest.raises(InputError, match="east"):
        landcover.classify_regions(cube, {"west": models["west"]}, regions, width=10.0)
