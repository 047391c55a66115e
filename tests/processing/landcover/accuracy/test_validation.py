"""Validating a map: points are matched to pixels, designs are kept apart, and what cannot be used is told."""

from __future__ import annotations

import geopandas
import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401  registers the `.rio` accessor
import shapely
import xarray as xr

from terracube.core.errors import EmptyResultError, InputError, MetadataError
from terracube.processing.landcover.accuracy import (
    Report,
    Strata,
    cross_validate,
    design_sample,
    map_areas,
    olofsson,
    training_report,
    validate,
)
from terracube.processing.landcover.nomenclature import Nomenclature, load_nomenclature

SIDE = 120


def world(seed: int = 0) -> tuple[xr.DataArray, xr.DataArray]:
    """Make a true map of three classes and one that errs, with missing pixels at a corner."""
    rng = np.random.default_rng(seed)
    truth = rng.choice([1, 2, 3], (SIDE, SIDE), p=[0.1, 0.3, 0.6]).astype("uint8")
    wrong = np.where(rng.random(truth.shape) < 0.15, rng.choice([1, 2, 3], truth.shape), truth).astype("uint8")
    wrong[:5, :5] = 0
    y, x = 5_100_000 - 10.0 * (np.arange(SIDE) + 0.5), 500_000 + 10.0 * (np.arange(SIDE) + 0.5)
    maps = (
        xr.DataArray(one, dims=("y", "x"), coords={"y": y, "x": x}, name="class", attrs={"nodata": 0})
        for one in (wrong, truth)
    )
    mapped, true = (one.rio.write_crs("EPSG:32633") for one in maps)
    return mapped, true


def look_up(truth: xr.DataArray, points: geopandas.GeoDataFrame) -> np.ndarray:
    """Give the true class at points."""
    at = truth.sel(x=xr.DataArray(points.geometry.x), y=xr.DataArray(points.geometry.y), method="nearest")
    return at.values.astype(int)


def labelled(points: int = 400, seed: int = 1) -> tuple[xr.DataArray, xr.DataArray, geopandas.GeoDataFrame]:
    """Give a map, the truth, and a stratified sample with true labels."""
    mapped, truth = world()
    drawn = design_sample(mapped, points, seed, minimum=60)
    return mapped, truth, drawn.assign(label=look_up(truth, drawn))


def test_from_design_to_areas() -> None:
    """A designed sample gives true areas and true accuracy within its intervals, as written out by hand."""
    mapped, truth, points = labelled()
    report = validate(mapped, points)
    found = report.estimate
    assert found is not None
    used = truth.values[mapped.values > 0]
    hit = (mapped.values == truth.values)[mapped.values > 0].mean()
    assert found.overall.low <= hit <= found.overall.high
    for code, area in zip(found.codes, found.areas, strict=True):
        assert abs(area.value - (used == code).sum() * 0.01) < 3 * area.error
    table = pd.crosstab(points["stratum"], points["label"]).reindex(index=[1, 2, 3], columns=[1, 2, 3], fill_value=0)
    expected = olofsson(table.to_numpy(), map_areas(mapped).areas)
    assert found.as_dict() == expected.as_dict()


def test_chunks_order_and_crs_do_not_matter() -> None:
    """Chunks, the order of points, their index and their CRS change nothing."""
    mapped, _, points = labelled(200)
    one = validate(mapped, points)
    other = validate(mapped.chunk(y=31, x=50), points.sample(frac=1, random_state=0).to_crs("EPSG:4326"))
    odd = points.set_axis(["same"] * len(points))
    assert one.as_dict() == other.as_dict() == validate(mapped, odd).as_dict()


def test_names_as_labels() -> None:
    """Labels may be names of the nomenclature, or of the map's own attributes; unknown ones are refused."""
    mapped, _, points = labelled(200)
    own = Nomenclature.from_dict(
        {
            "name": "three",
            "version": "1",
            "title": {"en": "Three"},
            "classes": [
                {"code": code, "name": name, "title": {"en": name.title()}, "colour": "#112233"}
                for code, name in ((1, "town"), (2, "wood"), (3, "field"))
            ],
        }
    )
    named = points.assign(label=points["label"].map({1: "town", 2: "WOOD", 3: "field"}))
    expected = validate(mapped, points).estimate
    told = validate(mapped, named, nomenclature=own)
    assert expected is not None
    assert told.estimate is not None
    assert told.estimate.as_dict() == expected.as_dict()
    assert told.styles[2].name == "Wood"
    by_map = validate(mapped.assign_attrs(flag_values=[1, 2, 3], flag_meanings="town wood field"), named)
    assert by_map.estimate is not None
    assert by_map.estimate.as_dict() == expected.as_dict()
    with pytest.raises(InputError, match="does not know"):
        validate(mapped, named)
    with pytest.raises(MetadataError, match="nomenclature does not know"):
        validate(mapped.assign_attrs(nodata=99), points, nomenclature=own)


def test_points_that_cannot_be_used_are_told() -> None:
    """Points outside, where the map is missing, and without a label are counted by reason."""
    mapped, _, points = labelled(200)
    strange = points.iloc[:3].copy()
    strange["geometry"] = [
        shapely.Point(0, 0),
        shapely.Point(500_005, 5_099_995),
        points.geometry.iloc[5],
    ]
    strange["label"] = [1, 1, np.nan]
    told = validate(mapped, pd.concat([points, strange], ignore_index=True))
    assert told.left_out == {"outside the map": 1, "where the map says nothing": 1, "without a label": 1}
    assert told.matrix is not None
    assert told.matrix.total == len(points)
    with pytest.raises(EmptyResultError):
        validate(mapped, strange)
    twice = pd.concat([points, points.iloc[:2]], ignore_index=True)
    assert any("2 points lie in a pixel" in note for note in validate(mapped, twice).notes)


def test_points_of_another_map_are_refused() -> None:
    """A sample that says it was drawn from another map needs to be told as strata."""
    mapped, truth = world()
    drawn = design_sample(truth, {1: 60, 2: 60, 3: 60}, 1)
    points = drawn.assign(label=look_up(truth, drawn))
    with pytest.raises(InputError, match="another map"):
        validate(mapped, points)
    sizes = map_areas(truth).by_code
    found = validate(mapped, points, design=Strata("stratum", sizes))
    assert found.estimate is not None
    hit = (mapped.values == truth.values)[mapped.values > 0].mean()
    assert found.estimate.overall.value == pytest.approx(hit, abs=4 * found.estimate.overall.error)
    assert "strata" in found.design


@pytest.mark.parametrize("design", ["simple", "poststratified"])
def test_simple_random_samples(design: str) -> None:
    """Points drawn over the whole map give its accuracy, with or without the areas of the map."""
    mapped, truth = world()
    rng = np.random.default_rng(3)
    x, y = 500_000 + 1200 * rng.random(500), 5_100_000 - 1200 * rng.random(500)
    points = geopandas.GeoDataFrame(geometry=geopandas.points_from_xy(x, y), crs="EPSG:32633")
    found = validate(mapped, points.assign(label=look_up(truth, points)), design=design).estimate
    assert found is not None
    hit = (mapped.values == truth.values)[mapped.values > 0].mean()
    assert found.overall.value == pytest.approx(hit, abs=3 * found.overall.error)
    np.testing.assert_allclose(found.mapped, map_areas(mapped).areas)


def test_classes_with_few_points() -> None:
    """A class with fewer than two points is refused by name, or left out and told."""
    mapped, _, points = labelled(200)
    thin = points[points["stratum"] != 1]
    with pytest.raises(InputError, match="class 1"):
        validate(mapped, thin)
    found = validate(mapped, thin, few="leave_out")
    assert found.estimate is not None
    assert found.estimate.total == pytest.approx(map_areas(mapped).without({1}).total)
    assert any("without class 1" in note for note in found.notes)
    with pytest.raises(EmptyResultError, match="two reference points"):
        validate(mapped, points.drop_duplicates("stratum"), few="leave_out")
    whole = validate(mapped, points, few="leave_out")
    assert whole.as_dict() == validate(mapped, points).as_dict()


def test_wrong_options() -> None:
    """Unknown designs and columns are refused."""
    mapped, _, points = labelled(200)
    with pytest.raises(InputError, match="unknown option"):
        validate(mapped, points, design="cluster")
    with pytest.raises(InputError, match="unknown option"):
        validate(mapped, points, few="ignore")
    with pytest.raises(InputError, match="no such column"):
        validate(mapped, points, label="truth")


def test_reference_knows_a_class_that_the_map_does_not() -> None:
    """A class of the reference alone gets an area and a producer's accuracy of zero."""
    mapped, _, points = labelled(200)
    points.loc[points.index[:4], "label"] = 8
    found = validate(mapped, points).estimate
    assert found is not None
    assert found.codes == (1, 2, 3, 8)
    assert found.areas[3].value > 0
    assert found.producers[3].value == 0


def test_report_of_a_model_alone() -> None:
    """Before there is a map, a report holds the cross-validation and the calibration."""
    from sklearn.naive_bayes import GaussianNB

    rng = np.random.default_rng(0)
    y = np.arange(60) % 2 + 1
    X = rng.normal(size=(60, 2)) + y[:, None]
    cross = cross_validate(lambda X, y: GaussianNB().fit(X, y), X, y, np.arange(60) // 4, seeds=[0, 1])
    told = training_report(cross, nomenclature=load_nomenclature("oso-23"))
    assert isinstance(told, Report)
    assert told.calibration is not None
    assert told.calibration.samples == 60
    assert {"cross_validation", "calibration"} <= set(told.as_dict())
    assert "area_weighted" not in told.as_dict()
