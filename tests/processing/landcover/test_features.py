"""Features: names, descriptions as JSON, and values made of series."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from terracube.core.errors import ConflictError, InputError, NotFoundError, TerraCubeError
from terracube.cubes.reduce import geomedian
from terracube.processing.kernels import harmonics, phenology
from terracube.processing.landcover.features import (
    FeatureSpec,
    Savgol,
    Season,
    Whittaker,
    compute,
    feature_table,
    get_function,
    modis,
    oso,
    register_function,
)
from terracube.processing.landcover.samples.series import make_series
from terracube.processing.landcover.series import fill_series, smooth_series

BANDS = ("green", "red", "nir", "swir16")
SEASON = Season(step=30, count=12)


def rise(series: NDArray[np.float32], days: NDArray[np.float64]) -> NDArray[np.float32]:
    """Largest step of each of two variables, and the last day."""
    steps = np.diff(series, axis=0).max(axis=0)
    return np.concatenate([steps, np.full((1, series.shape[2]), days[-1], np.float32)])


def wrong(series: NDArray[np.float32], days: NDArray[np.float64]) -> NDArray[np.float32]:
    """Give what was not announced."""
    return series[0]


register_function("test_rise", "1.2", outputs=("NDVI_rise", "red_rise", "last_day"), fn=rise, needs=("NDVI", "red"))
register_function("test_wrong", "1", outputs=("a", "b"), fn=wrong, needs=("red",))

EVERYTHING: dict[str, Any] = {
    "bands": BANDS,
    "season": {"start": "03-01", "step": 30, "count": 12},
    "series": ("NDVI", "red", "nir", "brightness"),
    "statistics": {"NDVI": ("p90", "mean", "std"), "MNDWI": ("median",), "swir16": ("slope",)},
    "phenology": ("NDVI",),
    "harmonics": {"NDVI": 1, "red": 2},
    "geomedian": True,
    "terrain": ("slope", "elevation"),
    "functions": ("test_rise@1.2",),
}


def simulated(
    pixels: int, dates: int = 20, seed: int = 0, bands: int = len(BANDS)
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Cloudy observations (dates, bands, pixels) and their days."""
    rng = np.random.default_rng(seed)
    days = np.sort(rng.choice(np.arange(-20, 390), dates, replace=False)).astype(float)
    series = rng.uniform(0.02, 0.5, (dates, bands, pixels)).astype(np.float32)
    series[np.broadcast_to(rng.random((dates, 1, pixels)) < 0.4, series.shape)] = np.nan
    return series, days


def terrain(pixels: int) -> dict[str, NDArray[np.float32]]:
    """Static values."""
    return {"slope": np.arange(pixels, dtype=np.float32), "elevation": np.full(pixels, 7, np.float32)}


def rows(spec: FeatureSpec, values: NDArray[np.float32], *names: str) -> NDArray[np.float32]:
    """The features of these names."""
    return values[[spec.names().index(name) for name in names]]


def test_names_come_in_their_fixed_order() -> None:
    """Groups and names come in the documented order."""
    spec = FeatureSpec(**{**EVERYTHING, "season": Season(step=180, count=2)})
    assert spec.names() == (
        "red_d000", "nir_d000", "red_d180", "nir_d180", "NDVI_d000", "brightness_d000", "NDVI_d180", "brightness_d180",
        "MNDWI_median", "NDVI_p90", "NDVI_mean", "NDVI_std", "swir16_slope",
        "NDVI_start", "NDVI_peak", "NDVI_end", "NDVI_length", "NDVI_integral", "NDVI_amplitude", "NDVI_base",
        "NDVI_h0", "NDVI_h1_cos", "NDVI_h1_sin", "NDVI_h_rmse",
        "red_h0", "red_h1_cos", "red_h1_sin", "red_h2_cos", "red_h2_sin", "red_h_rmse",
        "green_gm", "red_gm", "nir_gm", "swir16_gm", "emad", "smad", "bcmad", "slope", "elevation",
        "NDVI_rise", "red_rise", "last_day",
    )  # fmt: skip


def test_description_survives_json() -> None:
    """A description is JSON and back, with the same digest; another one has another digest."""
    for smooth in (None, Whittaker(lam=3), Savgol(window=7, order=3)):
        spec = FeatureSpec(**EVERYTHING, smooth=smooth)
        again = FeatureSpec.from_json(json.loads(json.dumps(spec.to_json(), sort_keys=True)))
        assert again == spec
        assert again.digest == spec.digest
        assert again.names() == spec.names()
    assert FeatureSpec(**EVERYTHING).digest != spec.digest


def test_a_changed_copy_has_its_own_names() -> None:
    """Nothing of a description is remembered by a copy that says something else, or lost by a pickled one."""
    spec = FeatureSpec(**EVERYTHING)
    copied = spec.model_copy(update={"terrain": (), "geomedian": False})
    assert copied.names() == tuple(name for name in spec.names() if name not in spec.groups["geomedian"] + spec.terrain)
    assert pickle.loads(pickle.dumps(spec)) == spec


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"bands": ("red", "red")}, "twice"),
        ({"bands": ()}, "bands"),
        ({"bands": ("../red",)}, "bands"),
        ({"series": ("NOINDEX",)}, "NOINDEX"),
        ({"series": ("red", "red")}, "same name"),
        ({"series": (), "statistics": {}}, "number of features"),
        ({"statistics": {"red": ("p101",)}}, "p101"),
        ({"statistics": {"red": ()}}, "none"),
        ({"phenology": ("EVI",)}, "EVI"),
        ({"harmonics": {"red": 4}}, "harmonics"),
        ({"terrain": ("hillshade",)}, "terrain"),
        ({"terrain": ("slope", "slope")}, "slope"),
        ({"threshold": 1.0}, "threshold"),
        ({"functions": ("nobody@1",)}, "nobody@1"),
        ({"season": {"start": "02-29"}}, "02-29"),
        ({"season": {"start": "13-01"}}, "13-01"),
        ({"season": {"step": 0}}, "season.step"),
        ({"smooth": {"kind": "savgol", "window": 4}}, "odd"),
        ({"smooth": {"kind": "savgol", "window": 13, "order": 2}}, "13"),
        ({"smooth": {"kind": "median"}}, "smooth"),
        ({"parameters": {"nothing": 1.0}}, "nothing"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_wrong_descriptions_are_refused(changed: dict[str, Any], told: str) -> None:
    """What is wrong is named, in our own class of error."""
    plain: dict[str, Any] = {"bands": ("red", "nir"), "season": {"step": 30, "count": 12}, "series": ("red",)}
    with pytest.raises(TerraCubeError) as error:
        FeatureSpec.from_json({**plain, **changed})
    assert told in str(error.value)


def test_a_description_of_too_many_features_is_refused() -> None:
    """The number of features is bounded."""
    bands = tuple(f"b{number}" for number in range(64))
    with pytest.raises(InputError, match="number of features"):
        FeatureSpec(bands=bands, series=bands, season=Season(step=1, count=400))


def test_series_are_the_filled_ones() -> None:
    """Kept bands and indices are those of the filled series, whether all or some are kept, in another order too."""
    series, days = simulated(50)
    filled, _ = fill_series(series, days, SEASON.targets())
    count = np.isfinite(series[SEASON.holds(days)]).all(axis=1).sum(axis=0)
    ndvi = (filled[:, 2] - filled[:, 1]) / (filled[:, 2] + filled[:, 1])
    for kept in (BANDS, ("nir", "green"), BANDS[::-1]):
        spec = FeatureSpec(bands=BANDS, season=SEASON, series=(*kept, "NDVI"))
        found = compute(series, days, spec)
        np.testing.assert_array_equal(found.count, count)
        for place, day in enumerate(range(0, 360, 30)):
            names = [f"{name}_d{day:03d}" for name in kept]
            expected = filled[place, [BANDS.index(name) for name in kept]]
            np.testing.assert_array_equal(rows(spec, found.values, *names), expected)
            np.testing.assert_allclose(rows(spec, found.values, f"NDVI_d{day:03d}")[0], ndvi[place], rtol=1e-5)


def test_brightness_is_the_length_of_the_spectrum() -> None:
    """Brightness is the root of the sum of squares of all bands; missing where a pixel was never seen."""
    series, days = simulated(9)
    series[:, :, 4] = np.nan
    spec = FeatureSpec(bands=BANDS, season=Season(count=1), series=("brightness",))
    filled, _ = fill_series(series, days, np.zeros(1))
    expected = np.linalg.norm(filled[0].astype(float), axis=0)
    np.testing.assert_allclose(compute(series, days, spec).values[0], expected, rtol=1e-6)


@pytest.mark.parametrize("smooth", [Whittaker(lam=2), Savgol(window=5, order=2)])
@pytest.mark.parametrize("fill", ["linear", "akima"])
def test_series_are_smoothed_after_filling(smooth: Whittaker | Savgol, fill: str) -> None:
    """The smoother works on the filled bands, and indices are made of what it gives."""
    series, days = simulated(7)
    spec = FeatureSpec(
        bands=BANDS, season=SEASON, fill=fill, smooth=smooth, series=("red",), statistics={"NDVI": ("max",)}
    )
    filled, _ = fill_series(series, days, SEASON.targets(), fill)
    smoothed = smooth_series(filled, SEASON.targets(), smooth.how)
    found = compute(series, days, spec).values
    np.testing.assert_array_equal(found[:12], smoothed[:, 1])
    ndvi = (smoothed[:, 2] - smoothed[:, 1]) / (smoothed[:, 2] + smoothed[:, 1])
    np.testing.assert_allclose(found[12], ndvi.max(0), rtol=1e-5)


def test_everything_at_once() -> None:
    """Each group holds what its kernel gives for its variable."""
    series, days = simulated(30)
    spec = FeatureSpec(**EVERYTHING)
    found = compute(series, days, spec, terrain(30)).values
    filled, _ = fill_series(series, days, spec.season.targets())
    wide = filled.astype(float)
    ndvi = (wide[:, 2] - wide[:, 1]) / (wide[:, 2] + wide[:, 1])
    mndwi = (wide[:, 0] - wide[:, 3]) / (wide[:, 0] + wide[:, 3])
    np.testing.assert_allclose(rows(spec, found, "NDVI_p90")[0], np.quantile(ndvi, 0.9, axis=0), atol=1e-6)
    np.testing.assert_allclose(rows(spec, found, "NDVI_std")[0], ndvi.std(0), atol=1e-6)
    np.testing.assert_allclose(rows(spec, found, "MNDWI_median")[0], np.median(mndwi, axis=0), atol=1e-6)
    slope = np.polyfit(spec.season.targets(), wide[:, 3], 1)[0]
    np.testing.assert_allclose(rows(spec, found, "swir16_slope")[0], slope, atol=1e-8)
    out = np.empty((7, 30), np.float32)
    phenology.seasons(np.float32(ndvi)[:, None].copy(), 0, spec.season.targets(), 0.2, out)
    np.testing.assert_allclose(rows(spec, found, "NDVI_start", "NDVI_integral"), out[[0, 4]], rtol=1e-3)
    out = np.empty((6, 30), np.float32)
    harmonics.fit(series, 1, harmonics.clear_dates(series), days, 2, out)
    np.testing.assert_array_equal(rows(spec, found, "red_h0", "red_h2_sin", "red_h_rmse"), out[[0, 4, 5]])
    median = geomedian(series[:, :, None])
    np.testing.assert_array_equal(rows(spec, found, "green_gm", "nir_gm"), median.median[[0, 2], 0])
    np.testing.assert_array_equal(rows(spec, found, "emad", "bcmad"), [median.emad[0], median.bcmad[0]])
    np.testing.assert_array_equal(rows(spec, found, "slope", "elevation"), list(terrain(30).values()))
    np.testing.assert_allclose(rows(spec, found, "NDVI_rise")[0], np.diff(ndvi, axis=0).max(0), atol=1e-6)
    assert (rows(spec, found, "last_day") == 330).all()


def test_harmonics_of_an_index_are_those_of_the_observations() -> None:
    """A yearly wave of NDVI comes back from its observations, not from the filled series."""
    _, days = simulated(1, dates=30)
    wave = 0.5 + 0.3 * np.cos(2 * np.pi * days / 365.25)
    series = np.stack([np.full(30, 0.1), 0.1 * (1 + wave) / (1 - wave)], axis=1).astype(np.float32)[..., None]
    series[::4, 1] = np.nan
    spec = FeatureSpec(bands=("red", "nir"), harmonics={"NDVI": 1})
    found = compute(series, days, spec)
    np.testing.assert_allclose(found.values.ravel(), [0.5, 0.3, 0, 0], atol=1e-6)
    assert found.count.item() == np.isfinite(series[spec.season.holds(days), 1]).sum()


def test_index_parameters_reach_the_formula() -> None:
    """Numbers of formulas can be given: SAVI with L = 0 is NDVI."""
    series, days = simulated(5)
    spec = FeatureSpec(bands=BANDS, season=SEASON, series=("SAVI", "NDVI"), parameters={"L": 0.0})
    found = compute(series, days, spec).values.reshape(12, 2, 5)
    np.testing.assert_allclose(found[:, 0], found[:, 1], rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(1, 200), st.integers(0, 199), st.integers(1, 20), st.integers(0, 5),
    st.sampled_from(["linear", "akima"]), st.sampled_from([None, Whittaker(), Savgol()]),
)  # fmt: skip
def test_a_pixel_never_depends_on_its_strip(
    pixels: int, first: int, dates: int, seed: int, fill: str, smooth: Whittaker | Savgol | None
) -> None:
    """Any part of the pixels gives the same bits, in every feature."""
    series, days = simulated(pixels, dates, seed)
    first %= pixels
    spec = FeatureSpec(**EVERYTHING, fill=fill, smooth=smooth)
    whole = compute(series, days, spec, terrain(pixels))
    static = {name: values[first:] for name, values in terrain(pixels).items()}
    part = compute(np.ascontiguousarray(series[:, :, first:]), days, spec, static)
    np.testing.assert_array_equal(whole.values[:, first:].view(np.uint32), part.values.view(np.uint32))
    np.testing.assert_array_equal(whole.count[first:], part.count)


def test_a_pixel_never_seen_is_missing() -> None:
    """Without any clear date all features but the terrain are NaN and the count is 0; the others stay."""
    series, days = simulated(3)
    series[:, 0, 1] = np.nan
    spec = FeatureSpec(**{**EVERYTHING, "functions": ()})
    found = compute(series, days, spec, terrain(3))
    assert found.count[1] == 0
    assert np.isnan(found.values[:-2, 1]).all()
    assert np.isfinite(found.values[:, [0, 2]]).all()


def test_no_pixels_and_many_dates() -> None:
    """No pixel gives no values; more dates than a byte counts are counted."""
    spec = FeatureSpec(bands=BANDS, geomedian=True)
    assert compute(np.empty((3, 4, 0), np.float32), np.arange(3.0), spec).values.shape == (7, 0)
    assert compute(np.ones((300, 4, 2), np.float32), np.arange(300.0), spec).count.tolist() == [300, 300]


@pytest.mark.parametrize(
    ("series", "days", "static", "told"),
    [
        (np.ones((3, 2, 4), np.float32), np.arange(3.0), {}, "3 bands|series"),
        (np.ones((3, 1, 4)), np.arange(3.0), {}, "float64"),
        (np.ones((4, 1, 3), np.float32).T, np.arange(3.0), {}, "contiguous"),
        (np.ones((3, 1), np.float32), np.arange(3.0), {}, "series"),
        (np.ones((0, 1, 4), np.float32), np.arange(0.0), {}, "1 to 65535"),
        (np.ones((3, 1, 4), np.float32), np.arange(2.0), {}, "days"),
        (np.ones((3, 1, 4), np.float32), np.array([0.0, 0, 1]), {}, "increasing"),
        (np.ones((3, 1, 4), np.float32), np.array([0.0, np.nan, 1]), {}, "finite"),
        (np.ones((3, 1, 4), np.float32), np.arange(3.0), {}, "static slope"),
        (np.ones((3, 1, 4), np.float32), np.arange(3.0), {"slope": np.ones(3, np.float32)}, "static slope"),
    ],
)
def test_wrong_arrays_are_refused(
    series: NDArray[np.float32], days: NDArray[np.float64], static: dict[str, NDArray[np.float32]], told: str
) -> None:
    """What does not fit the description is named."""
    spec = FeatureSpec(bands=("red",), series=("red",), terrain=("slope",))
    with pytest.raises(InputError, match=told):
        compute(series, days, spec, static)


def test_season_counts_days_from_its_start() -> None:
    """Days count from the season's start, over the turn of the year and leap days."""
    season = Season(start="09-01", step=16, count=23)
    times = np.array(["2019-09-01", "2020-01-01T06:00", "2020-03-01", "2019-08-31"], "datetime64[ns]")
    assert season.days(times, 2019).tolist() == [0.0, 122.25, 182.0, -1.0]
    assert season.targets()[-1] == 22 * 16


def test_functions_are_registered_once() -> None:
    """The same function may be registered again, another one under its key may not; names are checked."""
    again = register_function("test_wrong", "1", outputs=("a", "b"), fn=wrong, needs=("red",))
    assert again is get_function("test_wrong@1")
    with pytest.raises(ConflictError, match="test_wrong@1"):
        register_function("test_wrong", "1", outputs=("a", "b"), fn=rise, needs=("red",))
    for changed in ({"version": "new"}, {"outputs": ("a", "a")}, {"outputs": ()}, {"needs": ("a b",)}, {"needs": ()}):
        given_ = {"name": "test_other", "version": "1", "outputs": ("a",), "fn": wrong, "needs": ("red",)} | changed
        with pytest.raises(InputError, match="cannot be registered"):
            register_function(given_.pop("name"), given_.pop("version"), **given_)
    with pytest.raises(NotFoundError, match=r"test_rise@1\.2"):
        get_function("test_rise@9")


def test_a_function_must_give_what_it_announced() -> None:
    """A function that gives another shape is refused by name."""
    series, days = simulated(4)
    spec = FeatureSpec(bands=BANDS, season=SEASON, functions=("test_wrong@1",))
    with pytest.raises(InputError, match="test_wrong@1"):
        compute(series, days, spec)


def test_functions_cannot_change_the_series() -> None:
    """Functions are handed copies."""

    def spoil(series: NDArray[np.float32], days: NDArray[np.float64]) -> NDArray[np.float32]:
        series[:] = 0
        days[:] = 0
        return series[0]

    register_function("test_spoil", "1", outputs=("spoilt",), fn=spoil, needs=("red",))
    series, days = simulated(4)
    both = FeatureSpec(bands=BANDS, season=SEASON, series=BANDS, functions=("test_spoil@1", "test_rise@1.2"))
    alone = FeatureSpec(bands=BANDS, season=SEASON, series=BANDS, functions=("test_rise@1.2",))
    kept = compute(series, days, both).values
    np.testing.assert_array_equal(np.delete(kept, -4, 0), compute(series, days, alone).values)


def test_oso_preset() -> None:
    """Ten bands make 37 dates of bands, NDVI, NDWI and brightness; Landsat and fewer bands do with what they have."""
    sentinel2 = ("blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22")
    assert len(oso(sentinel2).names()) == 37 * 13
    assert oso(("blue", "green", "red", "nir08", "swir16", "swir22")).series[-3:] == ("NDVI", "NDMI", "brightness")
    assert oso(("green", "red", "nir")).series[-3:] == ("NDVI", "NDWI", "brightness")
    assert oso(("green", "red")).series == ("green", "red", "brightness")
    assert oso(("red", "nir"), start="09-01", count=2).season == Season(start="09-01", count=2)


def test_modis_preset_of_composites_is_the_composites() -> None:
    """On its own dates a series without gaps is its own features."""
    spec = modis(("NDVI", "EVI"), count=23)
    values = np.random.default_rng(0).uniform(0, 1, (5, 23, 2)).astype(np.float32)
    found = feature_table(values, spec, days=np.arange(23) * 16.0)
    np.testing.assert_array_equal(found.values, values.reshape(5, 46))
    assert found.names == make_series(values, np.arange(23) * 16.0, ("NDVI", "EVI"), np.ones(5, int)).table()[1]


def test_table_is_the_map_laid_out_for_learners() -> None:
    """Samples have the features of the same pixels, to the bit; bands of labelled series are found by name."""
    series, days = simulated(40)
    spec = FeatureSpec(**EVERYTHING)
    expected = compute(series, days, spec, terrain(40))
    plain = feature_table(series.transpose(2, 0, 1), spec, days=days, static=terrain(40))
    np.testing.assert_array_equal(plain.values, expected.values.T)
    np.testing.assert_array_equal(plain.count, expected.count)
    assert plain.values.flags.c_contiguous
    order = [3, 1, 0, 2]
    turned = series.transpose(2, 0, 1)[:, :, order]
    labelled = make_series(turned, days, [BANDS[k] for k in order], np.ones(40, int))
    np.testing.assert_array_equal(feature_table(labelled, spec, static=terrain(40)).values, expected.values.T)
    with pytest.raises(InputError, match="lack a band"):
        feature_table(labelled.select(["red"]), spec)
    with pytest.raises(InputError, match="bring their days"):
        feature_table(labelled, spec, days=days)
    with pytest.raises(InputError, match="days of the series"):
        feature_table(turned, spec)
    with pytest.raises(InputError, match="another shape"):
        feature_table(turned[0], spec, days=days)


def test_real_series_of_ndvi(data_dir: Path) -> None:
    """Sentinel-2 NDVI of Slovenia: one year's maximum is that of the clear dates, and green seasons lie in summer."""
    folder = data_dir / "landcover" / "slovenia-eopatch" / "TestEOPatch"
    ndvi = np.load(folder / "data" / "NDVI.npy")[..., 0]
    cloud = np.load(folder / "mask" / "CLM.npy")[..., 0] != 0
    times = np.array(json.loads((folder / "timestamps.json").read_text()), "datetime64[ns]")
    season = Season(step=10, count=37)
    days = season.days(times, 2017)
    year = (days >= 0) & (days < 365)
    series = np.where(cloud, np.float32(np.nan), ndvi)[year].reshape(int(year.sum()), 1, -1)
    spec = FeatureSpec(
        bands=("ndvi",),
        season=season,
        smooth=Whittaker(lam=5),
        statistics={"ndvi": ("min", "max", "p50")},
        phenology=("ndvi",),
        harmonics={"ndvi": 1},
        threshold=0.5,
    )
    found = compute(np.ascontiguousarray(series), days[year], spec)
    np.testing.assert_array_equal(found.count, np.isfinite(series[:, 0]).sum(0))
    top, middle = rows(spec, found.values, "ndvi_max", "ndvi_p50")
    assert (np.abs(top - np.nanmax(series[:, 0], axis=0)) < 0.2).mean() > 0.99
    assert (middle <= top).all()
    start, peak, end = rows(spec, found.values, "ndvi_start", "ndvi_peak", "ndvi_end")
    amplitude = rows(spec, found.values, "ndvi_amplitude")[0]
    green = amplitude > 0.3
    assert green.sum() > 1000
    assert 60 < np.median(start[green]) < 180
    assert 120 < np.median(peak[green]) < 260
    assert 220 < np.median(end[green]) <= 360
    level, cosine = rows(spec, found.values, "ndvi_h0", "ndvi_h1_cos")
    # Winter is low: the cosine, which is largest on the first of January, is negative.
    assert (cosine[green] < 0).mean() > 0.95
    assert np.corrcoef(level, middle)[0, 1] > 0.8
