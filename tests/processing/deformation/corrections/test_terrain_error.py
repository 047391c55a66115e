"""Errors of the terrain model: recovered beside the motion, with their error, and only where they are significant."""

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.grid import Grid
from terracube.cubes.layout import georeference
from terracube.processing.deformation.corrections import correct_terrain_error, corrections_of, date_baselines
from terracube.processing.deformation.corrections._pixels import fit_columns
from terracube.processing.deformation.network import network_of

SHAPE = (30, 40)
DATES = np.datetime64("2020-01-01", "ns") + np.arange(16) * np.timedelta64(12, "D")
YEARS = np.arange(16) * 12 / 365.25
RANGE = 850_000.0
INCIDENCE = 39.0
BASELINES = np.random.default_rng(9).normal(0, 90, 16)


def simulated(noise=0.001, seed=1):
    """Simulate quadratic motion, and a height error in half of the pixels; give it."""
    rng = np.random.default_rng(seed)
    error = np.where(np.arange(40) < 20, rng.normal(0, 15, SHAPE), 0.0)
    velocity, bend = rng.normal(0, 0.05, SHAPE), rng.normal(0, 0.1, SHAPE)
    moved = velocity * YEARS[:, None, None] + bend * YEARS[:, None, None] ** 2
    false = -(BASELINES - BASELINES[3])[:, None, None] * error / (RANGE * np.sin(np.radians(INCIDENCE)))
    whole = moved + noise * rng.standard_normal((16, *SHAPE))
    values = whole - whole[3] + false
    grid = Grid.from_affine("EPSG:32633", Affine(90, 0, 499500.0, 0, -90, 5000400.0), SHAPE)
    layers = {"displacement": (("time", "y", "x"), values.astype("float32"))}
    layers["incidence_angle"] = (("y", "x"), np.full(SHAPE, INCIDENCE, "float32"), {"units": "degrees"})
    series = georeference(xr.Dataset(layers, coords={"time": DATES}), grid)
    return series.assign_attrs(reference_date="2020-02-06"), error, whole - whole[3]


def test_the_error_is_recovered_and_removed():
    """Heights come back within their errors, 68 % within one, and the displacement as if the terrain were right."""
    series, error, clean = simulated()
    fixed = correct_terrain_error(series, BASELINES, slant_range=RANGE, significance=None)
    away = (fixed["terrain_error"].values - error) / fixed["terrain_error_std"].values
    assert np.isfinite(away).all()
    # Twelve spare dates: Student's distribution has 66.5 % within one.
    assert (np.abs(away) < 1).mean() == pytest.approx(0.665, abs=0.04)
    assert np.abs(away.mean()) < 0.12
    left = fixed["displacement"].values - clean
    assert np.sqrt((left**2).mean()) < 1e-3
    assert np.abs(fixed["displacement"].values[3]).max() == 0
    assert np.sqrt(((series["displacement"].values - clean) ** 2).mean()) > 1.4e-3


def test_only_what_is_significant_is_removed():
    """Where the terrain is right, one pixel in twenty is touched; the others keep their bits."""
    series, error, _ = simulated()
    fixed = correct_terrain_error(series, BASELINES, slant_range=RANGE)
    removed = fixed["terrain_error_removed"].values
    assert removed[:, 20:].mean() == pytest.approx(0.05, abs=0.03)
    assert removed[:, :20][np.abs(error[:, :20]) > 15].mean() > 0.95
    kept = fixed["displacement"].values[:, ~removed]
    assert np.array_equal(kept, series["displacement"].values[:, ~removed])


def test_motion_is_not_taken_for_terrain():
    """Without a height error, strong quadratic motion gives none."""
    series, _, clean = simulated(noise=1e-4)
    plain = series.assign(displacement=(("time", "y", "x"), clean.astype("float32")))
    fixed = correct_terrain_error(plain, BASELINES, slant_range=RANGE, significance=None)
    assert np.abs(fixed["terrain_error"].values).max() < 2.5


def test_missing_dates_and_pixels():
    """Gaps are left out pixel by pixel; too few dates leave a pixel alone."""
    series, error, _ = simulated(noise=1e-5)
    values = series["displacement"].values.copy()
    values[np.random.default_rng(2).random(values.shape) < 0.3] = np.nan
    values[:, 0, 0] = np.nan
    values[4:, 0, 1] = np.nan
    gappy = series.assign(displacement=(("time", "y", "x"), values))
    fixed = correct_terrain_error(gappy, BASELINES, slant_range=RANGE)
    found = fixed["terrain_error"].values
    assert np.isnan(found[0, 0])
    assert np.isnan(fixed["terrain_error_std"].values[0, 1])
    assert not fixed["terrain_error_removed"].values[0, :2].any()
    assert np.nanmax(np.abs(found - error)[1:]) < 3
    assert np.array_equal(np.isnan(fixed["displacement"].values), np.isnan(values))


@settings(max_examples=5, deadline=None)
@given(st.integers(7, 30), st.integers(7, 40), st.integers(1, 16))
def test_chunks_change_no_bit(rows, columns, dates):
    """Any chunks give the bits of the array in memory."""
    series, _, _ = simulated()
    distance = xr.DataArray(np.full(SHAPE, RANGE), dims=("y", "x"))
    wanted = correct_terrain_error(series, BASELINES, slant_range=distance)
    lazy = correct_terrain_error(series.chunk(time=dates, y=rows, x=columns), BASELINES, slant_range=distance)
    assert lazy["displacement"].chunks is not None
    xr.testing.assert_identical(lazy.compute(), wanted)


def test_the_fit_is_that_of_lstsq():
    """Coefficient and standard deviation equal numpy's least squares and the textbook formula."""
    rng = np.random.default_rng(4)
    design, values = rng.standard_normal((12, 4)), rng.standard_normal((12, 5))
    found = fit_columns(values, design)
    wanted, rest, _, _ = np.linalg.lstsq(design, values, rcond=None)
    spread = np.sqrt(rest / 8 * np.linalg.inv(design.T @ design)[0, 0])
    assert np.allclose(found.first, wanted[0], rtol=1e-12)
    assert np.allclose(found.std, spread, rtol=1e-12)
    assert np.isnan(fit_columns(values, np.repeat(design[:, :1], 2, axis=1)).first).all()


def test_the_line_of_sight_serves_too():
    """The upward part of the line of sight stands for the angle."""
    series, _, _ = simulated()
    up = series["incidence_angle"] * 0 + np.cos(np.radians(INCIDENCE))
    other = series.drop_vars("incidence_angle").assign(los_up=up.astype("float32"))
    one, two = (correct_terrain_error(data, BASELINES, slant_range=RANGE) for data in (series, other))
    assert np.allclose(one["terrain_error"], two["terrain_error"], rtol=1e-6)


def test_baselines_that_follow_time_are_refused():
    """A drifting orbit cannot be told from motion."""
    series, _, _ = simulated()
    with pytest.raises(InputError, match="told apart"):
        correct_terrain_error(series, 1000 * YEARS + 0.1 * BASELINES, slant_range=RANGE)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"baselines": np.zeros(16)}, "equal"),
        ({"baselines": np.ones(3)}, "one baseline"),
        ({"baselines": np.full(16, np.nan)}, "one baseline"),
        ({"slant_range": -1.0}, "no distance"),
        ({"slant_range": xr.DataArray(np.ones((2, 2)), dims=("y", "x"))}, "pixels"),
        ({"model": "wobble"}, "wobble"),
    ],
)
def test_bad_parameters(how, told):
    """Each says what is wrong."""
    series, _, _ = simulated()
    baselines = how.pop("baselines", BASELINES)
    with pytest.raises(InputError, match=told):
        correct_terrain_error(series, baselines, **({"slant_range": RANGE} | how))


def test_missing_angles():
    """Without an angle, or with one in radians, the user is asked."""
    series, _, _ = simulated()
    with pytest.raises(MetadataError, match="incidence"):
        correct_terrain_error(series.drop_vars("incidence_angle"), BASELINES, slant_range=RANGE)
    series["incidence_angle"].attrs["units"] = "radian"
    with pytest.raises(MetadataError, match="unit"):
        correct_terrain_error(series, BASELINES, slant_range=RANGE)


def test_baselines_of_dates():
    """Those of pairs give those of dates; unknown ones are left out as long as the rest connects."""
    days = [str(day)[:10] for day in DATES[:5]]
    pairs = [(0, 1), (1, 2), (2, 3), (3, 4), (0, 2), (1, 4)]
    told = np.array([BASELINES[j] - BASELINES[i] for i, j in pairs])
    network, order = network_of([[days[i], days[j]] for i, j in pairs], told)
    assert order.size == 6
    assert date_baselines(network) == pytest.approx(BASELINES[:5] - BASELINES[0])
    told[1] = np.nan
    network, _ = network_of([[days[i], days[j]] for i, j in pairs], told)
    assert date_baselines(network) == pytest.approx(BASELINES[:5] - BASELINES[0])
    told[3] = told[5] = np.nan
    network, _ = network_of([[days[i], days[j]] for i, j in pairs], told)
    with pytest.raises(MetadataError, match="3 of 6"):
        date_baselines(network)


def test_the_record():
    """It holds the model, the baselines and how much of them the model explains."""
    series, _, _ = simulated()
    (entry,) = corrections_of(correct_terrain_error(series, BASELINES, slant_range=RANGE))
    assert entry["name"] == "terrain_error"
    assert entry["model"] == "linear + quadratic"
    assert len(entry["baselines"]) == 16
    assert 0 < entry["explained_by_model"] < 0.9
