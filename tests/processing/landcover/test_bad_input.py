"""What users get wrong on the way from samples to a map: each is refused by name, or left out and told."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401  registers the `.rio` accessor
import shapely
import xarray as xr
from shapely.geometry import box

from terracube.core.errors import EmptyResultError, InputError, IntegrityError, VersionError
from terracube.processing import landcover
from terracube.processing.landcover import FeatureSpec, Model, TrainParameters

UTM = "EPSG:32633"
SIDE, PIXEL = 24, 10.0
WEST, NORTH = 500_000.0, 5_200_000.0
SPEC = FeatureSpec(bands=("red", "nir"), series=("red", "nir", "NDVI"), season={"step": 60, "count": 6})
QUICK = TrainParameters(trees=10, repeats=0)
LEVELS = {3: 0.1, 7: 0.5, 20: 0.9}


@pytest.fixture(scope="module")
def cube() -> xr.Dataset:
    """A year in three vertical stripes of one class each; every tenth observation is clouded."""
    rng = np.random.default_rng(0)
    along = PIXEL * (np.arange(SIDE) + 0.5)
    level = np.repeat(list(LEVELS.values()), SIDE // 3)
    values = level + rng.normal(0, 0.02, (2, 12, SIDE, SIDE))
    values[:, rng.uniform(size=values.shape[1:]) < 0.1] = np.nan
    times = np.datetime64("2018-01-05", "ns") + np.arange(12) * np.timedelta64(30, "D")
    named = {name: (("time", "y", "x"), part.astype("float32")) for name, part in zip(SPEC.bands, values, strict=True)}
    made: xr.Dataset = xr.Dataset(named, coords={"time": times, "y": NORTH - along, "x": WEST + along})
    return made.assign_coords(made.rio.write_crs(UTM).coords)


def square(row: int, col: int, side: int = 2) -> shapely.Polygon:
    """Make a polygon of some pixels."""
    x, y = WEST + col * PIXEL, NORTH - row * PIXEL
    return box(x, y - side * PIXEL, x + side * PIXEL, y)


def polygons() -> geopandas.GeoDataFrame:
    """Four polygons of each class, each within its stripe."""
    places = [(row, stripe * 8 + 3, code) for stripe, code in enumerate(LEVELS) for row in (1, 7, 13, 19)]
    shapes = [square(row, col) for row, col, _ in places]
    return geopandas.GeoDataFrame({"label": [code for *_, code in places]}, geometry=shapes, crs=UTM)


def learn(frame: geopandas.GeoDataFrame, cube: xr.Dataset, folder: Path, **told: Any) -> landcover.Training:
    """Write the samples, read them, and learn."""
    frame.to_file(folder / "samples.gpkg")
    samples = landcover.read_samples(folder / "samples.gpkg", **told)
    return landcover.training(samples, cube, QUICK, features=SPEC)


@pytest.fixture(scope="module")
def model(cube: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model of the three classes."""
    return learn(polygons(), cube, tmp_path_factory.mktemp("model")).model


def test_nothing_is_wrong_with_the_rest(cube: xr.Dataset, model: Model) -> None:
    """The model of these samples knows the stripes."""
    found = landcover.classify(cube, model)["class"].values
    assert (found == np.repeat(list(LEVELS), SIDE // 3)).mean() > 0.99


def test_a_class_without_samples(cube: xr.Dataset, tmp_path: Path) -> None:
    """A class of the nomenclature that no sample has is told on the card; the model does not know it."""
    found = learn(polygons().replace({"label": {3: 11, 7: 12, 20: 31}}), cube, tmp_path, nomenclature="oso-17")
    assert found.model.classes == (11, 12, 31)
    without = found.model.card["classes_without_samples"]
    assert set(without) == set(landcover.load_nomenclature("oso-17").codes) - {11, 12, 31}


def test_a_class_that_lost_all_samples(cube: xr.Dataset, tmp_path: Path) -> None:
    """Polygons of a class where it was never clear are left out by name, and so is the class."""
    stripe = xr.DataArray(np.arange(SIDE) < 16, dims="x")
    found = learn(polygons(), cube.where(stripe), tmp_path)
    assert found.model.classes == (3, 7)
    told = {one.id: one.reason for one in found.left_out}
    assert "none of its samples" in told.pop("class 20")
    assert len(told) == 4 * 4
    assert set(told.values()) == {"no clear date"}


def test_one_sample_of_a_class(cube: xr.Dataset, tmp_path: Path) -> None:
    """A class with one pixel is refused with its code."""
    frame = polygons()
    frame = frame[(frame.label != 7) | (frame.index == 4)]
    frame.loc[4, "geometry"] = square(1, 12, side=1)
    with pytest.raises(InputError, match=r"single sample.*\b7\b"):
        learn(frame, cube, tmp_path)


def test_a_single_class(cube: xr.Dataset, tmp_path: Path) -> None:
    """Samples of one class teach nothing."""
    frame = polygons()
    with pytest.raises(InputError, match="one class"):
        learn(frame[frame.label == 7], cube, tmp_path)


def test_polygons_that_overlap(cube: xr.Dataset, tmp_path: Path) -> None:
    """Two classes at one place are refused with the names of both; left out if that is asked for."""
    extra = geopandas.GeoDataFrame({"label": [20]}, geometry=[square(2, 4)], crs=UTM)
    frame = pd.concat([polygons(), extra], ignore_index=True)
    with pytest.raises(InputError, match=r"overlap.*0 \(3\) and 12 \(20\)"):
        learn(frame, cube, tmp_path)
    found = learn(frame, cube, tmp_path, overlaps="leave_out")
    assert {one.id for one in found.left_out} == {"0", "12"}


def test_an_empty_polygon(cube: xr.Dataset, tmp_path: Path) -> None:
    """A polygon of nothing is refused with its row."""
    frame = polygons()
    frame.loc[5, "geometry"] = shapely.Polygon()
    with pytest.raises(InputError, match="5"):
        learn(frame, cube, tmp_path)


def test_another_crs(cube: xr.Dataset, model: Model, tmp_path: Path) -> None:
    """Samples in other coordinates are the same samples."""
    found = learn(polygons().to_crs("EPSG:3035"), cube, tmp_path).model
    probe = np.random.default_rng(1).uniform(0, 1, (50, len(model.features)))
    np.testing.assert_array_equal(found.predict_proba(probe), model.predict_proba(probe))


def test_samples_outside(cube: xr.Dataset, tmp_path: Path) -> None:
    """A polygon beyond the cube is left out by name; where all are, that is an error."""
    frame = polygons()
    frame.loc[2, "geometry"] = square(900, 900)
    found = learn(frame, cube, tmp_path)
    assert [one.id for one in found.left_out] == ["2"]
    frame.geometry = frame.geometry.translate(1e6)
    with pytest.raises(EmptyResultError, match="no sample lies"):
        learn(frame, cube, tmp_path)


def test_unknown_codes(cube: xr.Dataset, tmp_path: Path) -> None:
    """A code that the nomenclature lacks is refused by name."""
    with pytest.raises(InputError, match=r"got: '20' "):
        learn(polygons().replace({"label": {3: 11, 7: 12}}), cube, tmp_path, nomenclature="oso-17")


def test_a_feature_that_is_missing(cube: xr.Dataset, model: Model) -> None:
    """Bands that the new year lacks are named, another sensor's are not taken instead, features keep their order."""
    with pytest.raises(InputError, match="nir"):
        landcover.classify(cube.drop_vars("nir"), model)
    with pytest.raises(InputError, match="red"):
        landcover.classify(cube.rename(red="green"), model)
    with pytest.raises(InputError, match="NDVI_d300"):
        model.check_features(model.features[:-1])
    with pytest.raises(InputError, match="order"):
        model.check_features(model.features[::-1])
    other = SPEC.model_copy(update={"bands": ("nir", "red")})
    with pytest.raises(InputError, match="features are not those"):
        landcover.classify(cube, Model(**{**vars_of(model), "spec": {**other.to_json(), "series": ["nir", "red"]}}))


def vars_of(model: Model) -> dict[str, Any]:
    """Take a model apart."""
    names = ("features", "classes", "classifier", "nomenclature", "spec", "card", "missing", "extras", "temperature")
    return {name: getattr(model, name) for name in names}


def test_features_that_are_not_known(cube: xr.Dataset, model: Model) -> None:
    """NaN is refused where a table is asked, and gives no class on a map; samples with it are left out by name."""
    table = np.full((2, len(model.features)), 0.5)
    table[1, 3] = np.nan
    with pytest.raises(InputError, match=f"row 1, feature '{model.features[3]}'"):
        model.predict_proba(table)
    chances = model.predict_features(table.T)
    assert np.isfinite(chances[:, 0]).all()
    assert np.isnan(chances[:, 1]).all()
    zero = cube.copy(deep=True)
    zero.red[:, 0, 0] = zero.nir[:, 0, 0] = 0
    found = landcover.classify(zero, model)
    assert (found["class"].values[0, 0], found.validity.values[0, 0] > 0) == (255, True)


def rewritten(model: Model, folder: Path, change: Any) -> Path:
    """Write a model file with another JSON text in it."""
    source, target = model.save(folder / "good.tcmodel"), folder / "bad.tcmodel"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for info in old.infolist():
            content = old.read(info)
            if info.filename == "model.json":
                told = json.loads(content)
                change(told)
                content = json.dumps(told, sort_keys=True, separators=(",", ":")).encode()
            new.writestr(zipfile.ZipInfo(info.filename), content)
    return target


def test_a_model_of_a_newer_version(model: Model, tmp_path: Path) -> None:
    """It is refused, saying what to do."""
    path = rewritten(model, tmp_path, lambda told: told.update(version=99))
    with pytest.raises(VersionError, match="newer"):
        Model.load(path)


def test_a_model_that_was_tampered_with(model: Model, tmp_path: Path) -> None:
    """Facts that do not fit, a number changed in an array, or a file cut short are an error, never another answer."""
    for change in (
        lambda told: told["facts"].update(classes=[3, 7]),
        lambda told: told["facts"].update(temperature="hot"),
        lambda told: told["facts"].pop("card"),
    ):
        with pytest.raises(IntegrityError):
            Model.load(rewritten(model, tmp_path, change))
    whole = (tmp_path / "good.tcmodel").read_bytes()
    start = whole.index(b"NUMPY") + 200
    for broken in (
        whole[:start] + bytes([whole[start] ^ 1]) + whole[start + 1 :],
        whole[:-9],
        whole[: len(whole) // 2],
    ):
        (tmp_path / "bad.tcmodel").write_bytes(broken)
        with pytest.raises(IntegrityError):
            Model.load(tmp_path / "bad.tcmodel")


def test_a_year_without_a_clear_date_in_places(cube: xr.Dataset, model: Model) -> None:
    """There validity is 0 and the class missing, on arrays and lazily; a year without any gives no class at all."""
    hidden = cube.where(xr.DataArray(np.arange(SIDE) >= 5, dims="y"))
    for source in (hidden, hidden.chunk(y=7, x=24)):
        found = landcover.classify(source, model).compute()
        assert (found.validity.values[:5] == 0).all()
        assert (found["class"].values[:5] == 255).all()
        assert (found["class"].values[5:] != 255).all()
    nothing = landcover.classify(cube.where(False), model)
    assert (nothing["class"].values == 255).all()
    assert (nothing.validity.values == 0).all()


def test_dates_of_another_year_need_no_telling(cube: xr.Dataset, model: Model) -> None:
    """The season is that of the dates; without dates nothing is known, without a coordinate of time it is refused."""
    later = cube.assign_coords(time=cube.time + np.timedelta64(365, "D"))
    same = landcover.classify(later, model)["class"].values
    np.testing.assert_array_equal(same, landcover.classify(cube, model)["class"].values)
    nothing = landcover.classify(cube.isel(time=slice(0, 0)), model)
    assert (int(nothing.validity.max()), int(nothing["class"].min())) == (0, 255)
    with pytest.raises(InputError, match="no times"):
        landcover.classify(cube.drop_vars("time"), model)
