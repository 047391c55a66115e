"""Ramps and delays with elevation: what is recovered, what is left alone, and what the record says."""

import json

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.grid import Grid
from terracube.cubes.layout import georeference
from terracube.ingest.simulate.interferograms import radar_dates
from terracube.ingest.simulate.parameters import Radar
from terracube.ingest.simulate.radar import Frame
from terracube.ingest.simulate.region import Region
from terracube.processing.deformation.corrections import (
    RampRules,
    correct_pair_ramps,
    correct_ramp_elevation,
    corrections_of,
)

DATES = np.datetime64("2020-01-01", "ns") + np.arange(10) * np.timedelta64(24, "D")
YEARS = np.arange(10) * 24 / 365.25
NAME = "ramp_elevation"
UNTESTED = RampRules(significance=None)


def placed(shape, **layers):
    """Lay arrays on a UTM grid whose tiles do not begin at its corner."""
    grid = Grid.from_affine("EPSG:32633", Affine(90, 0, 499500.0, 0, -90, 5000400.0), shape)
    made = {name: (("time", "y", "x")[-np.ndim(values) :], values) for name, values in layers.items()}
    timed = any(np.ndim(values) == 3 for values in layers.values())
    data = xr.Dataset(made, coords={"time": DATES} if timed else None)
    return georeference(data, grid).assign_attrs(reference_date="2020-01-01")


def ground(shape):
    """Give v, u (rows south, columns east, -1 to 1) and hills of a few hundred metres."""
    v, u = np.meshgrid(np.linspace(1, -1, shape[0]), np.linspace(-1, 1, shape[1]), indexing="ij")
    return v, u, 600 + 300 * np.sin(5 * u) * np.cos(4 * v)


def turbulence(rng, count, shape, size):
    """Make correlated noise: white noise smoothed twice over ``size`` pixels, of unit variance."""
    from scipy.ndimage import uniform_filter

    noise = uniform_filter(rng.standard_normal((count, *shape)), (0, size, size), mode="wrap")
    noise = uniform_filter(noise, (0, size, size), mode="wrap")
    return noise / noise.std()


def simulated(shape=(60, 70), *, noise=0.001, seed=1, ramps=0.01, delay=0.02):
    """Simulate a series with motion, ramps and a delay that grows with height; give the truth beside it."""
    rng = np.random.default_rng(seed)
    v, u, height = ground(shape)
    velocity = -0.05 * np.exp(-((u - 0.2) ** 2 + v**2) / 0.1) + 0.02 * u + 2e-5 * height
    slopes = rng.standard_normal((10, 2)) * ramps
    rates = rng.standard_normal(10) * delay
    moved = velocity * YEARS[:, None, None]
    added = slopes[:, :1, None] * u + slopes[:, 1:, None] * v + rates[:, None, None] * height / 1000
    whole = moved + added + noise * rng.standard_normal((10, *shape))
    series = placed(shape, displacement=(whole - whole[0]).astype("float32"), dem=height.astype("float32"))
    return series, velocity, np.column_stack([slopes, rates])


def detrended(values):
    """Take constant and trend off the columns (time, ...)."""
    design = np.stack([np.ones(10), YEARS], axis=1)
    flat = values.reshape(10, -1)
    return (flat - design @ np.linalg.lstsq(design, flat, rcond=None)[0]).reshape(values.shape)


def velocity_of(values):
    """Fit a velocity in each pixel."""
    return np.polyfit(YEARS, values.reshape(10, -1).astype("float64"), 1)[0].reshape(values.shape[1:])


def test_true_coefficients_are_recovered():
    """Slopes and delay come back within three standard deviations, but for a trend, which stays as motion."""
    series, _, truth = simulated()
    fixed = correct_ramp_elevation(series)
    found = detrended(fixed[f"{NAME}_coefficient"].values[:, 1:])
    away = np.abs(found - detrended(truth)) / fixed[f"{NAME}_std"].values[:, 1:]
    assert np.isfinite(away).all()
    assert (away < 4).all()
    assert (away < 2).mean() > 0.85
    assert fixed[f"{NAME}_term"].values.tolist() == ["constant", "x", "y", "height"]


def test_the_error_of_coefficients_is_that_of_repeated_noise():
    """Standard deviations agree with the spread over noise made again, white or correlated."""
    shape = (60, 70)
    height = ground(shape)[2]
    rng = np.random.default_rng(3)
    for size, most in ((1, 1.2), (5, 1.35)):
        told, spread = [], []
        for _ in range(12):
            noise = 0.002 * turbulence(rng, 10, shape, size)
            noise[0] = 0
            series = placed(shape, displacement=noise.astype("float32"), dem=height.astype("float32"))
            fixed = correct_ramp_elevation(series, model=None)
            spread.append(fixed[f"{NAME}_coefficient"].values[1:])
            told.append(fixed[f"{NAME}_std"].values[1:])
        ratio = np.sqrt((np.concatenate(spread) ** 2).mean(axis=0) / (np.concatenate(told) ** 2).mean(axis=0))
        assert np.isfinite(ratio).all()
        assert (ratio[1:] < most).all()
        assert (ratio[1:] > 1 / most).all()


def test_noise_alone_is_left_alone():
    """Correlated noise without ramps: in 30 series fewer than one date in a hundred is touched."""
    rng, shape = np.random.default_rng(5), (60, 70)
    height = ground(shape)[2].astype("float32")
    touched = 0
    for _ in range(30):
        noise = 0.003 * turbulence(rng, 10, shape, 7)
        noise -= noise[:1]
        fixed = correct_ramp_elevation(placed(shape, displacement=noise.astype("float32"), dem=height))
        touched += int(fixed[f"{NAME}_removed"].values.sum())
    assert touched <= 6


def test_motion_that_looks_like_a_ramp_or_like_the_terrain_stays():
    """Steady tilting, and subsidence that grows with height, are not removed; nor is a bowl."""
    v, u, height = ground((60, 70))
    velocity = 0.05 * u + 4e-5 * height - 0.1 * np.exp(-(u**2 + v**2) / 0.05)
    noise = 0.001 * np.random.default_rng(2).standard_normal((10, 60, 70))
    moved = velocity * YEARS[:, None, None] + noise - noise[0]
    series = placed((60, 70), displacement=moved.astype("float32"), dem=height.astype("float32"))
    fixed = correct_ramp_elevation(series)
    assert not fixed[f"{NAME}_removed"].values.any()
    assert np.array_equal(fixed["displacement"].values, series["displacement"].values)
    bare = correct_ramp_elevation(series, model=None)
    assert bare[f"{NAME}_removed"].values[-1].any(), "without a model it is taken, which the record says"
    assert "not protected" in corrections_of(bare)[0]["model"]


def test_one_bad_date_is_cleaned_and_lends_nothing_to_the_others():
    """A ramp on a single date is removed whole: velocity and the other dates come out as without it."""
    shape = (60, 70)
    v, u, height = ground(shape)
    noise = 0.001 * np.random.default_rng(4).standard_normal((10, *shape))
    clean = -0.03 * np.exp(-(u**2 + v**2) / 0.2) * YEARS[:, None, None] + noise - noise[0]
    bad = clean.copy()
    bad[7] += 0.05 * u - 0.03 * v + 0.04 * height / 1000
    fixed = correct_ramp_elevation(placed(shape, displacement=bad.astype("float32"), dem=height.astype("float32")))
    assert np.flatnonzero(fixed[f"{NAME}_removed"].values.all(axis=1)).tolist() == [7]
    others = np.delete(np.arange(10), 7)
    left = fixed["displacement"].values - clean
    assert np.abs(left[others]).max() < 3e-4
    assert np.abs(left[7] - left[7].mean()).max() < 1e-3
    # Heights are on average 600 m: that part of the delay is a shift of the whole date, which a correction keeps.
    shift = velocity_of(fixed["displacement"].values) - velocity_of(clean)
    assert np.abs(shift - shift.mean()).max() < 3e-4


def test_a_bad_reference_date_is_cleaned_in_all_others():
    """What is found at the reference date, where the displacement is zero, is given back to all others."""
    shape = (60, 70)
    v, u, _ = ground(shape)
    whole = 0.001 * np.random.default_rng(4).standard_normal((10, *shape))
    clean = whole - whole[0]
    whole[0] += 0.05 * u + 0.02 * v
    series = placed(shape, displacement=(whole - whole[0]).astype("float32"))
    fixed = correct_ramp_elevation(series, elevation=False)
    assert np.flatnonzero(fixed[f"{NAME}_removed"].values.any(axis=1)).tolist() == [0]
    left = fixed["displacement"].values - clean
    assert np.abs(left - left.mean(axis=(1, 2), keepdims=True)).max() < 1e-3
    assert (fixed["displacement"].values[0] == 0).all()


def test_quadratic_ramps():
    """A quadratic ramp is described by its five terms, and a linear one does not see all of it."""
    shape = (60, 70)
    v, u, _ = ground(shape)
    values = np.zeros((10, *shape))
    values[1:] = 0.001 * np.random.default_rng(4).standard_normal((9, *shape))
    values[4] += 0.02 * u * v - 0.03 * v * v
    series = placed(shape, displacement=values.astype("float32"))
    fixed = correct_ramp_elevation(series, ramp="quadratic", elevation=False, model=None)
    assert fixed[f"{NAME}_coefficient"].values[4, 1:] == pytest.approx([0, 0, 0, 0.02, -0.03], abs=3e-4)
    assert fixed["displacement"].values[4].std() < 1.1e-3
    plain = correct_ramp_elevation(series, elevation=False, model=None)
    assert plain["displacement"].values[4].std() > 5e-3


def test_flat_ground_tells_nothing_of_elevation():
    """With too little relief the height is not estimated, and a delay with it is left as it is."""
    shape = (60, 70)
    _, _u, height = ground(shape)
    flat = (height / 100).astype("float32")
    values = np.zeros((10, *shape))
    values[3] = flat / 100 + 1e-4 * np.random.default_rng(0).standard_normal(shape)
    fixed = correct_ramp_elevation(placed(shape, displacement=values.astype("float32"), dem=flat), model=None)
    assert np.isnan(fixed[f"{NAME}_coefficient"].values[:, 3]).all()
    assert not fixed[f"{NAME}_removed"].values[:, 1].any()
    low = correct_ramp_elevation(
        placed(shape, displacement=values.astype("float32"), dem=flat), model=None, rules=RampRules(relief=1.0)
    )
    assert low[f"{NAME}_removed"].values[3, 1]


def test_missing_pixels_and_dates():
    """Pixels with gaps are no part of the estimate but are corrected; an empty or poor date is left alone."""
    series, _, _ = simulated()
    values = series["displacement"].values.copy()
    rng = np.random.default_rng(6)
    values[1:, rng.random((60, 70)) < 0.3] = np.nan
    values[5, 10:] = np.nan
    values[8] = np.nan
    gappy = series.assign(displacement=(("time", "y", "x"), values))
    fixed = correct_ramp_elevation(gappy)
    kept = np.isfinite(values[1:5]).all(axis=0) & np.isfinite(values[[6, 7, 9]]).all(axis=0)
    assert set(np.delete(fixed[f"{NAME}_pixels"].values, [5, 8])) == {float(kept.sum())}
    assert (fixed[f"{NAME}_pixels"].values[[5, 8]] == 0).all()
    assert np.isnan(fixed[f"{NAME}_coefficient"].values[[5, 8]]).all()
    assert not fixed[f"{NAME}_removed"].values[[5, 8]].any()
    assert np.array_equal(np.isnan(fixed["displacement"].values), np.isnan(values))
    whole = correct_ramp_elevation(series)
    both = np.delete(np.arange(10), [5, 8])
    change = detrended_at(fixed["displacement"].values - values, both) - detrended_at(
        whole["displacement"].values - series["displacement"].values, both
    )
    assert np.nanmax(np.abs(change - np.nanmean(change, axis=(1, 2), keepdims=True))) < 4e-3


def detrended_at(values, dates):
    """Take constant and trend over some dates off."""
    design = np.stack([np.ones(len(dates)), YEARS[dates]], axis=1)
    flat = values[dates].reshape(len(dates), -1)
    seen = np.isfinite(flat).all(axis=0)
    out = np.full_like(flat, np.nan)
    out[:, seen] = flat[:, seen] - design @ np.linalg.lstsq(design, flat[:, seen], rcond=None)[0]
    return out.reshape(len(dates), *values.shape[1:])


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1)])
def test_few_pixels(shape):
    """One pixel, a row or a column: nothing fails, and nothing is removed from one pixel."""
    values = np.random.default_rng(0).standard_normal((10, *shape)).astype("float32")
    fixed = correct_ramp_elevation(placed(shape, displacement=values - values[:1]), elevation=False)
    assert np.isfinite(fixed["displacement"].values).all()
    if shape == (1, 1):
        assert not fixed[f"{NAME}_removed"].values.any()


def test_all_missing():
    """Without a value nothing is estimated and nothing fails."""
    values = np.full((10, 20, 20), np.nan, "float32")
    fixed = correct_ramp_elevation(placed((20, 20), displacement=values), elevation=False)
    assert np.isnan(fixed["displacement"].values).all()
    assert not fixed[f"{NAME}_removed"].values.any()
    assert (fixed[f"{NAME}_pixels"].values == 0).all()
    assert np.isnan(fixed[f"{NAME}_coefficient"].values).all()


def test_where_keeps_moving_ground_out_of_the_estimate():
    """A transient bowl spoils a date's ramp unless it is masked; low temporal coherence is masked by itself."""
    shape = (60, 70)
    v, u, _ = ground(shape)
    bowl = np.exp(-((u - 0.6) ** 2 + (v - 0.5) ** 2) / 0.1)
    values = 0.001 * np.random.default_rng(1).standard_normal((10, *shape))
    values[0] = 0
    values[5] += 0.02 * u + 0.2 * bowl
    series = placed(shape, displacement=values.astype("float32"), coherent=(1 - bowl).astype("float32"))
    still = series["coherent"] > 0.95
    how = {"elevation": False, "model": None}
    masked = correct_ramp_elevation(series, where=still, **how)
    assert masked[f"{NAME}_coefficient"].values[5, 1] == pytest.approx(0.02, abs=2e-3)
    assert abs(correct_ramp_elevation(series, **how)[f"{NAME}_coefficient"].values[5, 1] - 0.02) > 0.01
    named = series.rename(coherent="temporal_coherence")
    automatic = correct_ramp_elevation(named, rules=RampRules(coherence=0.95), **how)
    assert automatic[f"{NAME}_coefficient"].values[5, 1] == pytest.approx(0.02, abs=2e-3)


def test_the_reference_point_keeps_its_displacement():
    """Given a point, its displacement stays on all dates; else the mean of the pixels used does."""
    series, _, _ = simulated()
    y, x = float(series["y"][7]), float(series["x"][50])
    fixed = correct_ramp_elevation(series, reference=(y + 20, x - 30))
    assert np.allclose(fixed["displacement"][:, 7, 50], series["displacement"][:, 7, 50], atol=1e-7)
    plain = correct_ramp_elevation(series)
    means = [one["displacement"].mean(("y", "x")).values for one in (plain, series)]
    assert np.allclose(*means, atol=1e-6)
    with pytest.raises(InputError, match="outside"):
        correct_ramp_elevation(series, reference=(y + 1e6, x))


@settings(max_examples=6, deadline=None)
@given(st.integers(17, 200), st.integers(30, 300), st.integers(1, 10))
def test_chunks_change_no_bit(rows, columns, dates):
    """Any chunks give the bits of the array in memory, over several tiles."""
    series = simulated((40, 300))[0]
    wanted = CACHED.setdefault("whole", correct_ramp_elevation(series))
    lazy = correct_ramp_elevation(series.chunk(time=dates, y=min(rows, 40), x=columns))
    assert all(lazy[name].chunks is not None for name in lazy.data_vars if name.startswith(NAME))
    xr.testing.assert_identical(lazy.compute(), wanted)


CACHED = {}


def test_graphs_have_the_same_keys():
    """The same call gives the same keys, so that a scheduler knows what it has."""
    lazy = simulated((40, 60))[0].chunk(y=20)
    one, two = (correct_ramp_elevation(lazy) for _ in range(2))
    assert all(one[name].data.name == two[name].data.name for name in one.data_vars)


def test_the_reference_date_does_not_matter():
    """Counted from another date, the same ramps are found, up to that date's own."""
    series, _, _ = simulated()
    other = series.assign(displacement=series["displacement"] - series["displacement"][4].drop_vars("time"))
    found = correct_ramp_elevation(series)
    again = correct_ramp_elevation(other.assign_attrs(reference_date="2020-04-06"))
    same = again["displacement"] - again["displacement"][0].drop_vars("time")
    assert np.allclose(same, found["displacement"], atol=2e-6)
    assert np.array_equal(found[f"{NAME}_removed"], again[f"{NAME}_removed"])


def test_other_models():
    """A model in words or in columns protects what it holds: a step that looks like a ramp stays."""
    shape = (60, 70)
    _v, u, _ = ground(shape)
    noise = 0.001 * np.random.default_rng(8).standard_normal((10, *shape))
    moved = 0.05 * u * (np.arange(10) >= 5)[:, None, None] + noise - noise[0]
    series = placed(shape, displacement=moved.astype("float32"))
    assert correct_ramp_elevation(series, elevation=False)[f"{NAME}_removed"].values.any()
    words = correct_ramp_elevation(series, elevation=False, model="linear + step(2020-04-30)")
    columns = np.stack([YEARS, np.arange(10) >= 5], axis=1)
    same = correct_ramp_elevation(series, elevation=False, model=columns)
    for kept in (words, same):
        assert not kept[f"{NAME}_removed"].values.any()
    assert corrections_of(words)[0]["model"] == "linear + step(2020-04-30)"
    assert corrections_of(same)[0]["model"] == "2 columns of the caller"


def test_the_record_and_a_second_time():
    """The record is JSON and tells what was asked for; the same correction is refused a second time."""
    series, _, _ = simulated()
    fixed = correct_ramp_elevation(series)
    (entry,) = json.loads(fixed.attrs["corrections"])
    assert entry["name"] == NAME
    assert entry["model"] == "linear"
    assert entry["significance"] == 0.01
    with pytest.raises(InputError, match="before"):
        correct_ramp_elevation(fixed)
    with pytest.raises(MetadataError, match="record"):
        corrections_of(series.assign_attrs(corrections="[3]"))


def test_nothing_is_written_into_what_is_given():
    """The series that is given stays as it is."""
    series, _, _ = simulated()
    kept = series.copy(deep=True)
    correct_ramp_elevation(series)
    xr.testing.assert_identical(series, kept)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"ramp": "cubic"}, "unknown ramp"),
        ({"ramp": None, "elevation": False}, "nothing to remove"),
        ({"model": "wobble"}, "wobble"),
        ({"model": np.ones((3, 1))}, "unusable columns"),
        ({"where": "dem"}, "true or false"),
    ],
)
def test_bad_parameters(how, told):
    """Each says what is wrong."""
    series, _, _ = simulated((12, 12))
    if how.get("where"):
        how = {"where": series["dem"]}
    with pytest.raises(InputError, match=told):
        correct_ramp_elevation(series, **how)


def test_bad_series():
    """A series without dates, reference date, heights, CRS, or with dates out of order is refused."""
    series, _, _ = simulated((12, 12))
    with pytest.raises(InputError, match="no series"):
        correct_ramp_elevation(series.drop_vars("displacement"))
    with pytest.raises(MetadataError, match="reference date is not told"):
        correct_ramp_elevation(series.drop_attrs())
    with pytest.raises(MetadataError, match="none of the dates"):
        correct_ramp_elevation(series.assign_attrs(reference_date="1999-01-01"))
    with pytest.raises(MetadataError, match="no date"):
        correct_ramp_elevation(series.assign_attrs(reference_date="spring"))
    with pytest.raises(MetadataError, match="layer is missing"):
        correct_ramp_elevation(series.drop_vars("dem"))
    with pytest.raises(InputError, match="do not increase"):
        correct_ramp_elevation(series.isel(time=slice(None, None, -1)))
    with pytest.raises(MetadataError):
        correct_ramp_elevation(series.drop_vars("spatial_ref"))


@pytest.mark.parametrize(
    "wrong", [{"significance": 2.0}, {"correlation": -0.1}, {"relief": np.nan}, {"share": True}, {"coherence": "high"}]
)
def test_bad_rules(wrong):
    """Rules out of range are refused by name."""
    with pytest.raises(InputError, match="out of range"):
        RampRules(**wrong)


def test_pairs():
    """Each pair of a stack loses its own ramp, by its own pixels; what is missing stays missing."""
    rng = np.random.default_rng(1)
    _v, u, _ = ground((50, 60))
    phase = 0.3 * rng.standard_normal((4, 50, 60)) + np.array([2.0, 0.0, -3.0, 1.0])[:, None, None] * u
    phase[2, 20:] = np.nan
    stack = placed((50, 60), phase=phase[0]).drop_vars("phase")
    stack["unwrapped_phase"] = (("pair", "y", "x"), phase.astype("float32"))
    stack = stack.assign_coords(perpendicular_baseline=("pair", np.arange(4.0)))
    fixed = correct_pair_ramps(stack)
    assert fixed[f"{NAME}_removed"].values[:, 0].tolist() == [True, False, True, True]
    assert fixed[f"{NAME}_coefficient"].values[[0, 2, 3], 1] == pytest.approx([2, -3, 1], abs=0.06)
    assert fixed[f"{NAME}_pixels"].values.tolist() == [3000, 3000, 1200, 3000]
    assert np.array_equal(np.isnan(fixed["unwrapped_phase"]), np.isnan(phase))
    assert fixed["unwrapped_phase"].dims == ("pair", "y", "x")
    assert "perpendicular_baseline" in fixed.coords
    lazy = correct_pair_ramps(stack.chunk(pair=1, y=17))
    xr.testing.assert_identical(lazy.compute(), fixed)
    with pytest.raises(InputError, match="no stack"):
        correct_pair_ramps(stack.rename(pair="time"))
    with pytest.raises(InputError, match="nothing to remove"):
        correct_pair_ramps(stack, ramp=None)


def test_a_simulated_radar_over_mountains():
    """Delays layered by height under turbulence: the error falls by more than a third, and velocities do not suffer."""
    region = Region(seed=2, radar=Radar(stratification=0.04))
    frame, days = Frame(region, size=96), radar_dates(count=16)
    true = frame.motion.displacement(days)
    air = np.stack([frame.delay(day) for day in days])
    values = (true - (air - air[0])).astype("float32")
    layers = {"displacement": (("time", "y", "x"), values), "dem": (("y", "x"), frame.terrain.astype("float32"))}
    times = np.array(days, "datetime64[ns]")
    grid = Grid.from_affine(f"EPSG:{region.epsg}", frame.transform, frame.terrain.shape)
    series = georeference(xr.Dataset(layers, coords={"time": times}), grid).assign_attrs(reference_date=str(days[0]))
    fixed = correct_ramp_elevation(series)
    assert fixed[f"{NAME}_removed"].values[:, 1].sum() >= 4
    years = (times - times[0]).astype("int64") / 86_400e9 / 365.25
    errors = [one["displacement"].values - true for one in (series, fixed)]
    rates = [np.polyfit(years, error.reshape(16, -1), 1)[0].std() for error in errors]
    spread = [(error - error.mean(axis=(1, 2), keepdims=True)).std() for error in errors]
    assert spread[1] < 0.65 * spread[0]
    assert rates[1] < rates[0]


def test_real_subsidence_on_flat_ground_stays(data_dir):
    """Mexico City sinks on 70 m of relief: its velocity keeps 98 %, where plain regression takes 24 mm a date."""
    folder = data_dir / "insar" / "mexico-sentinel1"
    known = np.load(folder / "mintpy_reference.npz")
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(folder / "geotiffs" / "cropA_T005A_dem.tif") as file:
        dem = file.read(1).astype("float32")
        grid = Grid.from_affine(file.crs.to_string(), file.transform, file.shape)
    times = np.array([f"{d[:4]}-{d[4:6]}-{d[6:]}" for d in known["dates"]], "datetime64[ns]")
    values = np.where(known["nobs_no_vel"] > 0, known["ts_no_vel"], np.nan).astype("float32")
    data = {"displacement": (("time", "y", "x"), values), "dem": (("y", "x"), dem)}
    data["temporal_coherence"] = (("y", "x"), known["tcoh_no_vel"])
    series = georeference(xr.Dataset(data, coords={"time": times}), grid).assign_attrs(reference_date="2018-01-06")
    fixed = correct_ramp_elevation(series)
    assert not fixed[f"{NAME}_removed"].values[:, 1].any()
    years = (times - times[0]).astype("int64") / 86_400e9 / 365.25
    mask = known["maskTempCoh"]
    rates = [np.polyfit(years, one["displacement"].values[:, mask].astype("float64"), 1)[0] for one in (series, fixed)]
    assert np.abs(rates[0]).mean() > 0.1
    assert np.abs(rates[1] - rates[0]).mean() < 0.02 * np.abs(rates[0]).mean()
    change = (fixed["displacement"] - series["displacement"]).values
    np.testing.assert_array_equal(np.isnan(fixed["displacement"].values), np.isnan(series["displacement"].values))
    assert np.nanmean(np.abs(change)) < 2.5e-3
