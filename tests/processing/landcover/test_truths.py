"""Truths of the whole chain: a map is what features and model say, pixel by pixel, however it is cut."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import EmptyResultError, InputError
from terracube.cubes import Grid
from terracube.cubes.layout import georeference
from terracube.processing import warmup
from terracube.processing.kernels import harmonics, temporal
from terracube.processing.kernels.summary import summarise
from terracube.processing.landcover.accuracy import design_sample, olofsson
from terracube.processing.landcover.classification import LANDCOVER, classify, season_year
from terracube.processing.landcover.features import FeatureSpec, Season, feature_table
from terracube.processing.landcover.learn import TrainParameters
from terracube.processing.landcover.models import Model
from terracube.processing.landcover.post import sieve_array, smooth_array
from terracube.processing.landcover.regions import blend
from terracube.processing.landcover.samples import Series, extract, make_samples, make_series
from terracube.processing.landcover.series import choose_lambda, fill_series, whittaker_series
from terracube.processing.landcover.trainer import training

BANDS = ("red", "nir")
SPEC = FeatureSpec(
    bands=BANDS, series=("red", "NDVI"), season={"step": 60, "count": 6}, statistics={"nir": ("p90", "std")}
)
QUICK = TrainParameters(trees=5, repeats=0)
HOW: tuple[dict[str, Any], ...] = ({}, {"smoothing": {"window": 5}})
TIMES = np.arange(12) * np.timedelta64(30, "D") + np.datetime64("2018-01-03", "ns")


def cube(rows: int = 11, columns: int = 13, *, seed: int = 0, missing: float = 0.4) -> xr.Dataset:
    """Make random observations, a date missing in all bands or in one; the first pixel has none."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(0.01, 0.6, (2, 12, rows, columns)).astype("float32")
    values[:, rng.random((12, rows, columns)) < missing] = np.nan
    values[0, rng.random((12, rows, columns)) < 0.05] = np.nan
    values[:, :, 0, 0] = np.nan
    grid = Grid.from_bbox(
        (500_000, 4_700_000, 500_000 + 10 * columns, 4_700_000 + 10 * rows),
        crs="EPSG:32631",
        bbox_crs="EPSG:32631",
        resolution=10,
    )
    layers = [xr.DataArray(one, dims=("time", "y", "x"), coords={"time": TIMES}) for one in values]
    return xr.Dataset({name: georeference(layer, grid) for name, layer in zip(BANDS, layers, strict=True)})


@pytest.fixture(scope="module")
def model() -> Model:
    """Give a forest of three classes, trained with its domain."""
    rng = np.random.default_rng(1)
    labels = np.repeat([3, 7, 11], 20)
    values = rng.uniform(0.01, 0.6, (60, 12, 2)) + 0.1 * (labels == 7)[:, None, None]
    series = make_series(values, np.arange(12) * 30.0 + 2, BANDS, labels)
    return training(series, params=QUICK, features=SPEC).model


def parts(size: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Give ways to cut a length."""
    cuts = st.sets(st.integers(1, size - 1), max_size=4)
    return cuts.map(lambda found: tuple(np.diff([0, *sorted(found), size]).tolist()))


def assert_same(one: xr.Dataset, other: xr.Dataset) -> None:
    """Compare two maps to the bit."""
    assert list(one) == list(other)
    for name in one:
        np.testing.assert_array_equal(one[name].values, other[name].values, err_msg=str(name))


def test_a_map_is_what_the_model_says_of_the_features(model: Model) -> None:
    """Classes, probabilities, margin and entropy are those of the feature table of the same pixels."""
    seen = cube()
    maps = classify(seen, model).compute()
    series = np.stack([seen[name].values.reshape(12, -1) for name in BANDS], axis=2).transpose(1, 0, 2)
    table = feature_table(series, SPEC, days=np.arange(2.0, 362, 30))
    known = np.isfinite(table.values).all(axis=1)
    expected = model.predict_proba(table.values[known])
    flat = maps.probabilities.values.reshape(3, -1).T
    np.testing.assert_array_equal(flat[known], expected)
    assert np.isnan(flat[~known]).all()
    assert not known[0]
    np.testing.assert_array_equal(maps["class"].values.ravel()[known], model.predict(table.values[known]))
    assert (maps["class"].values.ravel()[~known] == maps["class"].attrs["nodata"]).all()
    order = np.sort(expected, axis=1)
    np.testing.assert_array_equal(maps.probability.values.ravel()[known], order[:, -1])
    np.testing.assert_array_equal(maps.margin.values.ravel()[known], order[:, -1] - order[:, -2])
    logs = np.log(np.where(expected > 0, expected, 1), dtype="float64")
    np.testing.assert_allclose(maps.entropy.values.ravel()[known], -(expected * logs).sum(axis=1), atol=1e-6)
    clear = np.isfinite(series).all(axis=2).sum(axis=1)
    np.testing.assert_array_equal(maps.validity.values.ravel(), clear)
    assert maps.validity.values[0, 0] == 0


@settings(max_examples=8, deadline=None)
@given(rows=parts(11), columns=parts(13), dates=parts(12), smooth=st.booleans())
def test_a_map_does_not_show_its_chunks(
    model: Model, rows: tuple[int, ...], columns: tuple[int, ...], dates: tuple[int, ...], smooth: bool
) -> None:
    """However the cube is cut, all layers are the same to the bit, smoothed or not."""
    seen, how = cube(), HOW[smooth]
    cut = seen.chunk(time=dates, y=rows, x=columns)
    assert_same(classify(cut, model, **how).compute(scheduler="threads"), classify(seen, model, **how).compute())


def test_smoothing_is_that_of_the_probabilities(model: Model) -> None:
    """What the chain smooths are its own probabilities, and the class is the most probable afterwards."""
    seen = cube()
    plain, smooth = (classify(seen, model, **how).compute() for how in HOW)
    expected = smooth_array(plain.probabilities.values, window=5)
    np.testing.assert_array_equal(smooth.probabilities.values, expected)
    known = np.isfinite(expected).all(axis=0)
    codes = np.array(model.classes)[expected.argmax(axis=0)]
    np.testing.assert_array_equal(smooth["class"].values[known], codes[known])


def test_few_clear_dates_give_no_class(model: Model) -> None:
    """Pixels below min_clear have no class, probability or flag; those with just so many have."""
    seen = cube()
    every, few = classify(seen, model).compute(), classify(seen, model, min_clear=7).compute()
    below = every.validity.values < 7
    assert below.any()
    assert (every.validity.values == 7).any()
    missing = every["class"].attrs["nodata"]
    np.testing.assert_array_equal(few["class"].values, np.where(below, missing, every["class"].values))
    assert np.isnan(few.probability.values[below]).all()
    assert (few.outside.values[below] == 255).all()
    np.testing.assert_array_equal(few.validity.values, every.validity.values)


def test_an_unlike_pixel_is_flagged(model: Model) -> None:
    """A pixel far from all samples is outside; one among them is not; a missing one is neither."""
    rng = np.random.default_rng(5)
    values = rng.uniform(0.1, 0.5, (12, 2, 1, 3)).astype("float32")
    values[..., 1] += 20
    values[..., 2] = np.nan
    dims = ("time", "y", "x")
    seen = xr.Dataset({name: (dims, values[:, at]) for at, name in enumerate(BANDS)}, coords={"time": TIMES})
    assert classify(seen, model).outside.values.tolist() == [[0, 1, 255]]


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 1)])
def test_one_pixel_is_a_map(model: Model, size: tuple[int, int]) -> None:
    """Maps of one pixel, row or column are those of the same pixels in a larger one."""
    seen = cube()
    whole = classify(seen, model).compute()
    place = {"y": slice(2, 2 + size[0]), "x": slice(3, 3 + size[1])}
    assert_same(classify(seen.isel(place), model).compute(), whole.isel(place))


def test_nothing_seen_is_no_class(model: Model) -> None:
    """A cube of nothing but clouds gives missing classes, and a validity of 0."""
    maps = classify(cube() * np.nan, model, year=2018).compute()
    assert (maps["class"] == maps["class"].attrs["nodata"]).all()
    assert (maps.validity == 0).all()
    assert maps.probability.isnull().all()


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda seen: seen[["red"]], "nir"),
        (lambda seen: seen.isel(time=[1, 0]), "time"),
        (lambda seen: seen.isel(time=[0, 0, 1]), "time"),
    ],
)
def test_another_cube_is_refused(model: Model, change: Any, where: str) -> None:
    """A band that is missing, dates in disorder, and a date that comes twice are refused by name."""
    with pytest.raises(InputError, match=where):
        classify(change(cube()), model, year=2018).compute()


@pytest.mark.parametrize(("code", "dtype", "missing"), [(254, "uint8", 255), (255, "uint16", 65535)])
def test_codes_never_meet_the_missing_one(code: int, dtype: str, missing: int) -> None:
    """The type of a map leaves room for its nodata beside all codes."""
    from sklearn.ensemble import RandomForestClassifier

    spec = FeatureSpec(bands=("red",), series=("red",), season={"step": 60, "count": 1})
    forest = RandomForestClassifier(3, random_state=0).fit([[0.1], [0.2], [0.7], [0.8]], [3, 3, code, code])
    large = Model.from_sklearn(forest, features=spec.names(), spec=spec.to_json())
    red = np.array([[[0.75, np.nan]]], np.float32)
    seen = xr.Dataset({"red": (("time", "y", "x"), red)}, coords={"time": TIMES[:1]})
    found = classify(seen, large, year=2018)["class"]
    assert (str(found.dtype), found.attrs["nodata"], found.values.tolist()) == (dtype, missing, [[code, missing]])


def test_another_model_is_refused(model: Model) -> None:
    """Parameters made for one model, or for other bands and classes, do not go with another."""
    with pytest.raises(InputError, match="another model"):
        LANDCOVER(cube(), parameters={"model": "0" * 64}, resource=model)
    for wrong in ({"bands": ("nir", "red")}, {"classes": (7, 3, 11)}):
        with pytest.raises(InputError, match="those of the model"):
            LANDCOVER(cube(), parameters={"model": model.digest, **wrong}, resource=model)


@pytest.mark.parametrize(
    ("start", "dates", "year"),
    [
        ("01-01", ["2018-01-01", "2018-12-27"], 2018),
        ("01-01", ["2017-12-30", "2018-01-01", "2018-06-01"], 2018),
        ("09-01", ["2018-08-31", "2018-09-01", "2019-08-20"], 2018),
    ],
)
def test_season_is_that_of_most_dates(start: str, dates: list[str], year: int) -> None:
    """The season that holds most dates is meant, from its first to its last regular date."""
    assert season_year(Season(start=start), np.array(dates, "datetime64[D]")) == year


@pytest.mark.parametrize("dates", [[], ["2018-09-30"], ["2017-05-01", "2018-05-01"]])
def test_an_unclear_season_is_refused(dates: list[str]) -> None:
    """No date, none within a season, and as many in two: the year has to be told."""
    season, days = Season(start="03-01", step=10, count=19), np.array(dates, "datetime64[D]")
    with pytest.raises(InputError, match="which season"):
        season_year(season, days)
    assert season_year(season, days, year=2016) == 2016


def test_summary_of_ties_and_one_class() -> None:
    """Of equal classes the first is taken, with margin 0; a single class leads by all it has; NaN says nothing."""
    best, sure = np.empty(3, np.int16), np.empty((3, 3), np.float32)
    values = np.array([[0.4, 0.2, 0.5], [0.4, 0.5, np.nan], [0.2, 0.3, 0.5]], np.float32)
    summarise(values, best, sure)
    assert best.tolist() == [0, 1, -1]
    np.testing.assert_allclose(sure[:2, :2], [[0.4, 0.5], [0, 0.2]], atol=1e-6)
    assert np.isnan(sure[:, 2]).all()
    summarise(np.ones((1, 3), np.float32), best, sure)
    assert sure.tolist() == [[1] * 3, [1] * 3, [0] * 3]


def test_a_model_that_says_half_of_it_is_not_heard() -> None:
    """A region whose model lacks the probability of one class says nothing there; the other has all the weight."""
    one, two = (
        xr.DataArray(
            np.array(said, np.float32).reshape(2, 1, 1), dims=("class_code", "y", "x"), coords={"class_code": [1, 2]}
        )
        for said in ([0.9, np.nan], [0.25, 0.75])
    )
    weights = xr.DataArray(np.full((2, 1, 1), 0.5, np.float32), dims=("region", "y", "x"))
    found = blend({"a": one, "b": two}, weights.assign_coords(region=["a", "b"]))
    assert found.values.ravel().tolist() == [0.25, 0.75]


def labelled(count: int = 24) -> Series:
    """Make series of two classes that are easily told apart."""
    labels = np.arange(count) % 2 + 1
    values = np.repeat(0.2 * labels[:, None, None], 12, axis=1) + np.linspace(0, 0.05, count)[:, None, None]
    return make_series(np.repeat(values, 2, axis=2), np.arange(12) * 30.0, BANDS, labels)


def test_training_tells_what_it_left_out() -> None:
    """Samples without a clear date are left out, each with its reason, and the rest is learnt from."""
    series = labelled()
    values = series.values.copy()
    values[[2, 5]] = np.nan
    found = training(make_series(values, series.days, BANDS, series.labels), params=QUICK, features=SPEC)
    assert [(one.id, one.reason) for one in found.left_out] == [("2", "no clear date"), ("5", "no clear date")]
    assert found.model.card["samples"] == 22
    table = feature_table(series, SPEC)
    np.testing.assert_array_equal(found.model.predict(table.values), series.labels)


@pytest.mark.parametrize(
    ("kept", "error", "match"),
    [
        (lambda labels: labels == 1, InputError, "one class"),
        (lambda labels: (labels == 1) | (np.arange(24) == 1), InputError, "single sample"),
        (lambda labels: np.zeros(24, bool), EmptyResultError, "no sample has features"),
    ],
)
def test_training_refuses_what_it_cannot_learn_from(kept: Any, error: type[Exception], match: str) -> None:
    """One class, a class with one sample, and no sample that was ever seen are refused."""
    series = labelled()
    values = np.where(kept(series.labels)[:, None, None], series.values, np.nan)
    with pytest.raises(error, match=match):
        training(make_series(values, series.days, BANDS, series.labels), params=QUICK, features=SPEC)


def test_the_same_samples_give_the_same_model() -> None:
    """Training twice gives one digest; another seed gives another model."""
    first, second = (training(labelled(), params=QUICK, features=SPEC).model for _ in range(2))
    assert first.digest == second.digest
    assert training(labelled(), params=QUICK.model_copy(update={"seed": 1}), features=SPEC).model.digest != first.digest


def test_samples_do_not_depend_on_chunks_or_order() -> None:
    """What is read at samples is the same however the cube is cut and the samples are ordered."""
    from shapely.geometry import box

    from terracube.processing.landcover.nomenclature import Nomenclature

    seen, rng = cube(20, 24), np.random.default_rng(2)
    left, low = 500_000 + rng.uniform(0, 200, 12), 4_700_000 + rng.uniform(0, 160, 12)
    fields = [box(x, y, x + 45, y + 35) for x, y in zip(left, low, strict=True)]
    labels = rng.choice([1, 2], 12)
    samples = make_samples(fields, labels, Nomenclature.from_labels(["1", "2"]), crs="EPSG:32631")
    one = extract(samples, seen, start="2018-01-01")
    other = extract(samples.take(rng.permutation(12)), seen.chunk(time=5, y=7, x=3), start="2018-01-01")
    for name in ("sample", "values", "labels", "x", "y"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize(("first", "last"), [(0, 11), (3, 3), (4, 8)])
def test_seasons_include_their_first_and_last_day(first: int, last: int) -> None:
    """A sample that tells its season is read on its first and on its last day, and not before or after."""
    from shapely.geometry import Point

    from terracube.processing.landcover.nomenclature import Nomenclature

    seen = cube(missing=0)
    days = TIMES.astype("datetime64[D]").astype(str).tolist()
    samples = make_samples(
        [Point(float(seen.x[5]), float(seen.y[5]))],
        [1],
        Nomenclature.from_labels(["1"]),
        crs="EPSG:32631",
        start=[days[first]],
        end=[days[last]],
    )
    found = extract(samples, seen)
    assert found.days.tolist() == [30.0 * step for step in range(last - first + 1)]
    np.testing.assert_array_equal(found.values[0, :, 1], seen.nir.values[first : last + 1, 5, 5])


def test_features_of_samples_are_those_of_the_map(model: Model) -> None:
    """A model asked about extracted samples says what its map says at their pixels."""
    from shapely.geometry import Point

    from terracube.processing.landcover.nomenclature import Nomenclature

    seen = cube()
    maps = classify(seen, model).compute()
    places = [(y, x) for y in range(1, 11, 2) for x in range(0, 13, 3)]
    points = [Point(float(seen.x[x]), float(seen.y[y])) for y, x in places]
    samples = make_samples(points, [3] * len(points), Nomenclature.from_labels(["3"]), crs="EPSG:32631")
    found = extract(samples, seen, start="2018-01-01")
    table = feature_table(found, SPEC)
    at = {"y": xr.DataArray(found.y, dims="sample"), "x": xr.DataArray(found.x, dims="sample")}
    expected = maps.probabilities.sel(at, method="nearest").values
    np.testing.assert_array_equal(model.predict_features(table.values.T), expected)


def test_a_small_region_stays_in_its_group() -> None:
    """With groups a small region takes a class of its own group, however short that border, or stays what it is."""
    codes = np.full((5, 6), 16, "uint8")
    codes[:, 4:], codes[2, 3], codes[0, 0] = 9, 10, 23
    found = sieve_array(codes, 2, groups=[(9, 10), (16,)])
    expected = codes.copy()
    expected[2, 3] = 9
    np.testing.assert_array_equal(found, expected)
    assert sieve_array(codes, 2)[2, 3] == 16


def test_points_of_a_campaign_weigh_what_their_class_weighs() -> None:
    """The weights of the points of a class add up to its pixels, and the probability is one over the weight."""
    rng = np.random.default_rng(7)
    codes = rng.choice(np.array([1, 2, 5], "uint8"), (30, 40), p=[0.7, 0.2, 0.1])
    seen = cube(30, 40).red.isel(time=0, drop=True).copy(data=codes)
    found = design_sample(seen, {1: 9, 2: 5, 5: 7}, 3)
    for code, count in {1: 9, 2: 5, 5: 7}.items():
        own = found[found["stratum"] == code]
        assert len(own) == count
        assert own["weight"].sum() == pytest.approx((codes == code).sum())
        np.testing.assert_allclose(own["probability"] * own["weight"], 1)


def test_logit_intervals_of_areas_are_those_of_shares() -> None:
    """On the logit scale the interval of an area is that of its share of the map, whatever the unit of areas."""
    counts = [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]
    sizes = np.array([0.02, 0.015, 0.32, 0.645])
    share, large = (olofsson(counts, sizes * unit).with_logit_intervals() for unit in (1, 9e5))
    for one, other in zip(share.areas, large.areas, strict=True):
        middle, half = np.log(one.value / (1 - one.value)), share.factor * one.error / (one.value * (1 - one.value))
        low, high = (1 / (1 + np.exp(-end)) for end in (middle - half, middle + half))
        assert (one.low, one.high) == pytest.approx((low, high))
        assert (other.low / 9e5, other.high / 9e5) == pytest.approx((low, high))


def test_v_curve_by_its_definition() -> None:
    """With uneven weights and uneven candidates, lambda is that of the curve's own formula."""
    rng = np.random.default_rng(4)
    days = np.cumsum(rng.integers(3, 12, 40)).astype("float64")
    values = (np.sin(days / 40)[:, None] + rng.normal(0, 0.2, (40, 6))).astype("float32")[:, None]
    weights = rng.choice([0.0, 0.05, 1.0, 4.0], (40, 6)).astype("float32")
    steps = (days - days[0]) / np.diff(days).mean()
    for exponents in (np.arange(-2, 4.1, 0.5), np.array([-2.0, -1.5, 0.0, 0.25, 0.5, 2.0, 2.25, 4.0])):
        points = []
        for exponent in exponents:
            z = whittaker_series(values, days, 10.0**exponent, weights=weights)[:, 0].astype("float64")
            slopes = np.diff(z, axis=0) / np.diff(steps)[:, None]
            bend = 2 * np.diff(slopes, axis=0) / (steps[2:] - steps[:-2])[:, None]
            points.append((np.log10((weights * (values[:, 0] - z) ** 2).sum()), np.log10((bend**2).sum())))
        along = np.hypot(*(np.diff(points, axis=0) / np.diff(exponents)[:, None]).T)
        best = int(along.argmin())
        expected = 10 ** ((exponents[best] + exponents[best + 1]) / 2)
        assert choose_lambda(values, days, weights=weights, exponents=exponents) == pytest.approx(expected)


def test_five_clear_dates_give_akima_and_a_date_gives_its_value() -> None:
    """Akima's spline begins with five dates; linear or not, the value at a clear date is the one observed."""
    from scipy.interpolate import Akima1DInterpolator

    rng = np.random.default_rng(6)
    days = np.array([0.0, 7, 12, 30, 41])
    values = rng.normal(size=(5, 1, 400)).astype("float32")
    targets = np.linspace(0, 41, 83)
    spline, _ = fill_series(values, days, targets, "akima")
    expected = Akima1DInterpolator(days, values[:, 0].astype("float64"))(targets)
    np.testing.assert_allclose(spline[:, 0], expected, atol=1e-5)
    for method in ("linear", "akima"):
        np.testing.assert_array_equal(fill_series(values, days, days, method)[0], values)


def test_equal_values_have_equal_bits() -> None:
    """Zero and minus zero are one value: statistics do not show which came first."""
    codes = np.array([temporal.MIN, temporal.MAX, temporal.QUANTILE])
    found = []
    for values in ([0.0, -0.0], [-0.0, 0.0]):
        out = np.empty((3, 1), np.float32)
        series = np.array(values, np.float32).reshape(2, 1, 1)
        temporal.statistics(series, 0, np.arange(2.0), codes, np.full(3, 0.5), out)
        found.append(out.tobytes())
    assert found[0] == found[1] == np.zeros((3, 1), np.float32).tobytes()


@pytest.mark.parametrize("order", [1, 2, 3])
def test_dates_that_cannot_tell_terms_apart_give_no_harmonics(order: int) -> None:
    """Many dates on as few days of the year as cannot settle the parameters: NaN, never a number of rounding."""
    rng = np.random.default_rng(order)
    for _ in range(20):
        few = rng.uniform(0, 365, 2 * order)
        days = np.sort((few[:, None] + harmonics.YEAR * np.arange(6)).ravel())
        series = rng.normal(size=(days.size, 1, 1)).astype("float32")
        out = np.empty((2 * order + 2, 1), np.float32)
        harmonics.fit(series, 0, harmonics.clear_dates(series), days, order, out)
        assert np.isnan(out).all()


def test_warmup_needs_nothing_but_the_model(model: Model) -> None:
    """What a model needs is compiled from the model alone, in memory or by its file; nothing of it is changed."""
    digest = model.digest
    warmup([], model=model)
    assert model.digest == digest
    with pytest.raises(InputError, match="does not tell how its features are made"):
        warmup([], model=replace(model, spec=None))
