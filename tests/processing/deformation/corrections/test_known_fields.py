"""Corrections that are known, not estimated: delays, tides and plates, with their signs and their grids."""

import importlib.util
import sys
import types
from datetime import timedelta

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from pyproj import Transformer

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.grid import Grid
from terracube.cubes.layout import georeference
from terracube.processing.deformation.corrections import (
    PLATES,
    correct_delays,
    correct_plate_motion,
    correct_tides,
    corrections_of,
    plate_velocity,
    solid_earth_tides,
)

SHAPE = (20, 30)
DATES = np.datetime64("2020-01-01T05:43:10", "ns") + np.arange(4) * np.timedelta64(12, "D")
LOOK = {"east": -0.61, "north": -0.11, "up": float(np.sqrt(1 - 0.61**2 - 0.11**2))}


@pytest.fixture
def series():
    """Motion of nothing but noise, in UTM zone 33 near 15 E, 45 N, with its line of sight."""
    grid = Grid.from_affine("EPSG:32633", Affine(1000, 0, 490000.0, 0, -1000, 5000000.0), SHAPE)
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.01, (4, *SHAPE))
    layers = {"displacement": (("time", "y", "x"), (values - values[1]).astype("float32"))}
    layers |= {f"los_{name}": (("y", "x"), np.full(SHAPE, value, "float32")) for name, value in LOOK.items()}
    layers["dem"] = (("y", "x"), rng.uniform(100, 1900, SHAPE).astype("float32"))
    data = georeference(xr.Dataset(layers, coords={"time": DATES}), grid)
    return data.assign_attrs(reference_date="2020-01-13")


def degrees(series):
    """Give longitude and latitude of all pixels."""
    x, y = np.meshgrid(series["x"].values, series["y"].values)
    return Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True).transform(x, y)


def lattice(times=DATES, names=("latitude", "longitude"), levels=False):
    """Make delays that are linear in place (and height), so that interpolation is exact; in metres."""
    latitude, longitude = np.arange(46, 43, -0.25), np.arange(13, 17, 0.25)
    amount = np.array([1.0, 2.0, 4.0, -1.0])[:, None, None]
    values = 2.3 + amount * 0.01 * (latitude[:, None] - 45) + amount * 0.02 * (longitude - 15)
    dims, coords = ("time", *names), {"time": times, names[0]: latitude, names[1]: longitude}
    if levels:
        height = np.array([0.0, 500.0, 2000.0])
        values = values[:, None] - (height * 3e-4)[:, None, None] * amount[:, None]
        dims, coords = ("time", "height", *names), coords | {"height": height}
    return xr.DataArray(values, coords=coords, dims=dims, attrs={"units": "m", "source": "made up"})


def test_a_longer_delay_looks_like_ground_that_sinks(series):
    """Displacement with a simulated zenith delay comes back as it was without."""
    longitude, latitude = degrees(series)
    amount = np.array([1.0, 2.0, 4.0, -1.0]) - 2.0
    longer = amount[:, None, None] * (0.01 * (latitude - 45) + 0.02 * (longitude - 15))
    seen = series.assign(displacement=series["displacement"] - (longer / LOOK["up"]).astype("float32"))
    for grid in (lattice(), lattice(names=("lat", "lon")), lattice().transpose("longitude", "time", "latitude")):
        fixed = correct_delays(seen, grid, direction="zenith")
        assert np.abs((fixed["displacement"] - series["displacement"]).values).max() < 1e-6
    assert np.abs(seen["displacement"] - series["displacement"]).max() > 5e-3
    (entry,) = corrections_of(fixed)
    assert entry["source"] == "made up"


def test_units_and_slant_delays(series):
    """Millimetres are told apart from metres, and a delay along the line of sight is not divided again."""
    metres = correct_delays(series, lattice(), direction="zenith")["displacement"] - series["displacement"]
    given = (lattice() * 1000).assign_attrs(units="mm")
    slant = correct_delays(series, given, direction="line_of_sight")["displacement"] - series["displacement"]
    assert np.allclose(slant, metres * LOOK["up"], atol=2e-8)
    with pytest.raises(MetadataError, match="unit"):
        correct_delays(series, lattice().drop_attrs(), direction="zenith")
    with pytest.raises(InputError, match="direction"):
        correct_delays(series, lattice(), direction="up")


def test_delays_by_height(series):
    """Delays on levels are interpolated at the height of each pixel; above the levels they are missing."""
    longitude, latitude = degrees(series)
    amount = np.array([1.0, 2.0, 4.0, -1.0])[:, None, None] - 2.0
    height = series["dem"].values
    longer = amount * (0.01 * (latitude - 45) + 0.02 * (longitude - 15) - 3e-4 * height)
    fixed = correct_delays(series, lattice(levels=True), direction="zenith")
    assert np.abs((fixed["displacement"] - series["displacement"] - longer / LOOK["up"]).values).max() < 1e-6
    high = series.copy(deep=True)
    high["dem"][3, 4] = 2500.0
    missing = correct_delays(high, lattice(levels=True), direction="zenith")["displacement"]
    assert np.isnan(missing.values[:, 3, 4]).all()
    assert np.isnan(missing.values).sum() == 4


def test_delays_on_the_same_pixels(series):
    """A grid of the same pixels is used as it is, lazily if it is lazy, in any order of dates."""
    values = np.random.default_rng(1).normal(2.3, 0.01, (4, *SHAPE))
    given = series["displacement"].copy(data=values).assign_attrs(units="m").isel(time=[2, 0, 3, 1])
    fixed = correct_delays(series, given, direction="line_of_sight")
    back = given.sortby("time").values
    assert np.allclose(fixed["displacement"] - series["displacement"], back - back[1], atol=1e-7)
    lazy = correct_delays(series.chunk(y=7), given.chunk(time=1, x=11), direction="line_of_sight")
    assert lazy["displacement"].chunks is not None
    assert np.array_equal(lazy["displacement"].values, fixed["displacement"].values)
    holed = given.copy(deep=True)
    holed[0, 5, 6] = np.nan
    missing = np.isnan(correct_delays(series, holed, direction="line_of_sight")["displacement"].values)
    assert missing.sum() == 1


@pytest.mark.parametrize("levels", [False, True])
def test_chunks_change_no_bit(series, levels):
    """Interpolated delays are the same bits whatever the chunks."""
    wanted = correct_delays(series, lattice(levels=levels), direction="zenith")
    lazy = correct_delays(series.chunk(time=3, y=7, x=11), lattice(levels=levels), direction="zenith")
    assert lazy["displacement"].chunks is not None
    assert np.array_equal(lazy["displacement"].values, wanted["displacement"].values)


def test_whether_delays_are_seen(series):
    """Delays that are in the displacement make it smoother; those that are not make it rougher."""
    quiet = series.assign(displacement=series["displacement"] * 0.01)
    there = correct_delays(quiet, lattice(), direction="zenith")["displacement"] - quiet["displacement"]
    seen = quiet.assign(displacement=quiet["displacement"] - there)
    for data, better in ((seen, True), (quiet, False)):
        fixed = correct_delays(data, lattice(), direction="zenith")
        spread = [one["displacement"].std(("y", "x")).values for one in (data, fixed)]
        assert np.allclose(fixed["delays_std_before"], spread[0], rtol=1e-3, atol=1e-9)
        assert np.allclose(fixed["delays_std_after"], spread[1], rtol=1e-3, atol=1e-9)
        others = [0, 2, 3]
        assert (((spread[1] < spread[0]) == better)[others]).all()
        assert ((fixed["delays_correlation"].values[others] > 0.99) == better).all()
        assert np.isnan(fixed["delays_correlation"].values[1])
        lazy = correct_delays(data.chunk(y=7), lattice(), direction="zenith")
        assert lazy["delays_correlation"].chunks is not None
        assert np.array_equal(lazy["delays_correlation"], fixed["delays_correlation"], equal_nan=True)


def test_graphs_have_the_same_keys(series):
    """The same call gives the same keys, so that a scheduler knows what it has."""
    lazy = series.chunk(y=7)
    calls = (
        lambda: correct_delays(lazy, lattice(levels=True), direction="zenith"),
        lambda: correct_plate_motion(lazy, "EURA"),
        lambda: correct_tides(lazy, tide_of(lazy)),
    )
    for call in calls:
        assert call()["displacement"].data.name == call()["displacement"].data.name


def test_dates_must_match(series):
    """A missing date is named; a field half an hour away is used only if that is said; two are one too many."""
    with pytest.raises(MetadataError, match="2020-02-06"):
        correct_delays(series, lattice().isel(time=slice(3)), direction="zenith")
    hourly = lattice(times=DATES.astype("datetime64[h]").astype("datetime64[ns]"))
    with pytest.raises(MetadataError, match="not every date"):
        correct_delays(series, hourly, direction="zenith")
    fixed = correct_delays(series, hourly, direction="zenith", tolerance=timedelta(hours=1))
    exact = correct_delays(series, lattice(), direction="zenith")
    assert np.array_equal(fixed["displacement"], exact["displacement"])
    twice = xr.concat([lattice(), lattice()], "time")
    with pytest.raises(MetadataError, match=r"\(2\)"):
        correct_delays(series, twice, direction="zenith")
    with pytest.raises(InputError, match="duration"):
        correct_delays(series, lattice(), direction="zenith", tolerance="1h")
    with pytest.raises(MetadataError, match="dates are not told"):
        correct_delays(series, lattice().isel(time=0, drop=True), direction="zenith")


def test_the_grid_must_cover_the_series(series):
    """A series that reaches beyond the grid is refused; longitudes from 0 to 360 are understood."""
    with pytest.raises(InputError, match="beyond"):
        correct_delays(series, lattice().sel(longitude=slice(13, 15)), direction="zenith")
    with pytest.raises(InputError, match="no grid"):
        correct_delays(series, lattice().rename(latitude="phi"), direction="zenith")
    with pytest.raises(InputError, match="too many"):
        correct_delays(series, lattice().expand_dims(member=2), direction="zenith")
    with pytest.raises(InputError, match="axis"):
        correct_delays(series, lattice().isel(latitude=[4]), direction="zenith")
    with pytest.raises(MetadataError):
        correct_delays(series, lattice(names=("y", "x")), direction="zenith")
    wide = lattice().pad(longitude=(0, 0))
    around = xr.concat([wide, wide.isel(longitude=[-1]).assign_coords(longitude=[190.0])], "longitude")
    fixed = correct_delays(series, around.assign_attrs(units="m"), direction="zenith")
    assert np.isfinite(fixed["displacement"]).all()


def test_the_reference_point_keeps_its_displacement(series):
    """Given a point, all three corrections leave its displacement as it was."""
    point = (float(series["y"][4]), float(series["x"][9]))
    done = correct_delays(series, lattice(), direction="zenith", reference=point)
    done = correct_plate_motion(done, "EURA", reference=point)
    done = correct_tides(done, tide_of(series), reference=point)
    assert np.allclose(done["displacement"][:, 4, 9], series["displacement"][:, 4, 9], atol=1e-8)
    assert [entry["name"] for entry in corrections_of(done)] == ["delays", "plate_motion", "solid_earth_tides"]
    assert np.abs(done["displacement"] - series["displacement"]).max() > 1e-3


def test_plates_turn_as_another_writing_says():
    """The velocity of each plate is that of the same rotation in PROJ, on both hemispheres."""
    latitude, longitude = np.array([52.4, -33.9, 1.0]), np.array([13.1, 18.4, -150.0])
    to_centre = Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
    start = np.array(to_centre.transform(longitude, latitude, np.zeros(3)))
    for x, y, z in PLATES.values():
        text = f"+proj=helmert +drx={x / 1000} +dry={y / 1000} +drz={z / 1000} +t_epoch=2010 "
        turn = Transformer.from_pipeline(text + "+convention=position_vector")
        moved = np.array(turn.transform(*start, np.full(3, 2110.0))[:3])
        phi, lam = np.radians(latitude), np.radians(longitude)
        step = (moved - start) / 100
        east = -np.sin(lam) * step[0] + np.cos(lam) * step[1]
        north = -np.sin(phi) * (np.cos(lam) * step[0] + np.sin(lam) * step[1]) + np.cos(phi) * step[2]
        found = plate_velocity((x, y, z), latitude, longitude)
        assert np.allclose(found[0], east, atol=2e-6)
        assert np.allclose(found[1], north, atol=2e-6)
        assert np.abs(found[2]).max() < 4e-4


def test_reference_of_one_pixel_is_in_it(series):
    """The point against which a correction is told lies in a single pixel, or is refused."""
    alone = series.isel(y=[2], x=[3])
    inside = (float(alone.y[0]), float(alone.x[0]))
    assert np.isfinite(correct_plate_motion(alone, "EURA", reference=inside)["displacement"].values).all()
    with pytest.raises(InputError, match="outside"):
        correct_plate_motion(alone, "EURA", reference=(inside[0] + 5e5, inside[1]))


def test_plate_motion_along_the_line_of_sight(series):
    """What is removed is the plate's velocity on the line of sight times the years since the reference date."""
    longitude, latitude = degrees(series)
    motion = plate_velocity("EURA", latitude, longitude)
    velocity = sum(part * value for part, value in zip(motion, LOOK.values(), strict=True))
    years = (np.arange(4) - 1) * 12 / 365.25
    moving = series["displacement"] + (years[:, None, None] * velocity).astype("float32")
    fixed = correct_plate_motion(series.assign(displacement=moving), "EURA")
    assert np.abs((fixed["displacement"] - series["displacement"]).values).max() < 1e-7
    lazy = correct_plate_motion(series.assign(displacement=moving).chunk(y=7, x=13), "EURA")
    assert lazy["displacement"].chunks is not None
    assert np.array_equal(lazy["displacement"].values, fixed["displacement"].values)


@pytest.mark.parametrize("plate", ["ATLANTIS", (1.0, 2.0), (1.0, 2.0, np.nan), (1e4, 0.0, 0.0)])
def test_unknown_plates(series, plate):
    """A plate is named or its rotation given; it is never guessed."""
    with pytest.raises(InputError):
        correct_plate_motion(series, plate)


def test_no_line_of_sight(series):
    """Without the line of sight there is no projection; with that of other pixels neither."""
    with pytest.raises(MetadataError, match="los_north"):
        correct_plate_motion(series.drop_vars("los_north"), "EURA")
    with pytest.raises(MetadataError, match="incidence"):
        correct_delays(series.drop_vars("los_up"), lattice(), direction="zenith")


def tide_of(series):
    """Make tides that are linear in place, of decimetres, on a lattice."""
    latitude, longitude = np.arange(43.5, 46.6, 0.5), np.arange(13.5, 17, 0.5)
    amount = np.array([0.1, -0.2, 0.15, 0.3])[:, None, None]
    plane = 1 + 0.1 * (latitude[:, None] - 45) + 0.05 * (longitude - 15)
    made = {
        name: (("time", "latitude", "longitude"), amount * plane * k)
        for name, k in zip(LOOK, (0.2, 0.3, 1), strict=True)
    }
    return xr.Dataset(made, {"time": series["time"].values, "latitude": latitude, "longitude": longitude})


def test_tides_along_the_line_of_sight(series):
    """A tide that lifts the ground is displacement towards the satellite, and goes."""
    longitude, latitude = degrees(series)
    amount = np.array([0.1, -0.2, 0.15, 0.3]) + 0.2
    plane = 1 + 0.1 * (latitude - 45) + 0.05 * (longitude - 15)
    seen = amount[:, None, None] * plane * (0.2 * LOOK["east"] + 0.3 * LOOK["north"] + LOOK["up"])
    moving = series["displacement"] + seen.astype("float32")
    tides = tide_of(series)
    fixed = correct_tides(series.assign(displacement=moving), tides)
    assert np.abs((fixed["displacement"] - series["displacement"]).values).max() < 1e-6
    assert np.abs(seen).max() > 0.2
    lazy = correct_tides(series.assign(displacement=moving).chunk(y=9), tides)
    assert np.array_equal(lazy["displacement"].values, fixed["displacement"].values)
    with pytest.raises(InputError, match="no tides"):
        correct_tides(series, tides.drop_vars("up"))
    same = xr.Dataset(dict.fromkeys(("east", "north", "up"), series["displacement"] * 0 + 0.5))
    assert np.array_equal(correct_tides(series, same)["displacement"], series["displacement"])


def test_tides_need_the_time_of_day(series):
    """Dates at midnight are no times: the user is asked, for a tide turns within hours."""
    daily = series.assign_coords(time=series["time"].values.astype("datetime64[D]").astype("datetime64[ns]"))
    for call in (lambda: correct_tides(daily, tide_of(daily)), lambda: solid_earth_tides(daily)):
        with pytest.raises(MetadataError, match="times of day"):
            call()


@pytest.mark.skipif(importlib.util.find_spec("pysolid") is not None, reason="pysolid is installed")
def test_pysolid_is_asked_for(series):
    """Without pysolid, the error says what it is and what else can be done."""
    with pytest.raises(InputError, match=r"GPL.*correct_tides"):
        solid_earth_tides(series)


def test_tides_of_a_computer_like_pysolid(series, monkeypatch):
    """The lattice that pysolid is asked for covers the series, its pixels are centred, and rows run south."""

    def computed(time, facts, *, display, verbose):
        assert not display
        assert not verbose
        assert time.tzinfo is None
        latitude = facts["Y_FIRST"] + (np.arange(facts["LENGTH"]) + 0.5) * facts["Y_STEP"]
        longitude = facts["X_FIRST"] + (np.arange(facts["WIDTH"]) + 0.5) * facts["X_STEP"]
        up = np.broadcast_to(0.01 * time.day * latitude[:, None], (latitude.size, longitude.size))
        return 0 * up, 0 * up, up

    stand_in = types.ModuleType("pysolid")
    stand_in.calc_solid_earth_tides_grid = computed
    monkeypatch.setitem(sys.modules, "pysolid", stand_in)
    tides = solid_earth_tides(series)
    fixed = correct_tides(series, tides)
    _, latitude = degrees(series)
    days = series["time"].dt.day.values
    wanted = 0.01 * (days - days[1])[:, None, None] * latitude * LOOK["up"]
    assert np.abs((series["displacement"] - fixed["displacement"] - wanted).values).max() < 5e-6
    with pytest.raises(InputError, match="step"):
        solid_earth_tides(series, step=0)
    assert tides.attrs["source"].startswith("pysolid")
