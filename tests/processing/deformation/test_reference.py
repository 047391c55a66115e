"""The reference: what is given is checked, what is found is the calmest ground, the same whatever the blocks."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
import xarray as xr

from terracube.core.errors import EmptyResultError, InputError
from terracube.cubes.grid import YX, Grid, Pair
from terracube.cubes.pairs import SIGN
from terracube.processing.deformation.network import network_of
from terracube.processing.deformation.reference import apply_reference, choose_reference, to_reference
from terracube.processing.deformation.reference.given import area_pixels
from terracube.processing.deformation.reference.search import area_around
from terracube.processing.deformation.stack import to_stack

DAYS = np.datetime64("2020-01-01", "ns") + np.arange(4) * np.timedelta64(12, "D")
ENDS = np.array([(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)])
CALM = (slice(40, 48), slice(24, 32))
"""An area of 8 x 8 pixels, counted from the grid's corner, that is calmer than all others."""


def make(shape=(70, 90), *, top=0, left=0, seed=1):
    """Phases of dates without any error of closure, noisy but for one area; ``top``, ``left`` move the corner."""
    rng = np.random.default_rng(seed)
    dates = rng.normal(0, 1.0, (4, *shape)).cumsum(axis=0)
    dates[:, *CALM] = rng.normal(0, 0.01, (4, 8, 8)) + 0.01 * np.arange(4)[:, None, None]
    phase = dates[ENDS[:, 1]] - dates[ENDS[:, 0]]
    coords = {
        "reference_time": ("pair", DAYS[ENDS[:, 0]]),
        "secondary_time": ("pair", DAYS[ENDS[:, 1]]),
        "y": 5000.0 - 10 * (np.arange(shape[0]) + top + 0.5),
        "x": 200.0 + 10 * (np.arange(shape[1]) + left + 0.5),
    }
    layers = {
        "unwrapped_phase": (("pair", "y", "x"), phase.astype("float32")),
        "coherence": (("pair", "y", "x"), np.full(phase.shape, 0.6, "float32")),
    }
    found = xr.Dataset(layers, coords, {"wavelength": 0.0555, "phase_sign": SIGN}).rio.write_crs("EPSG:32633")
    return to_stack(found)


@pytest.fixture(scope="module")
def stack():
    """A stack with one calm area: rows 40 to 47, columns 24 to 31 count from y = 5000, x = 200."""
    return make(top=4, left=4)


def test_finds_the_calm_area():
    """The area that scatters least is found, with its place, and its mean phase is zero afterwards."""
    given = make().assign_coords(y=-10 * (np.arange(70) + 8 * 60 + 0.5), x=10 * (np.arange(90) + 8 * 3 + 0.5))
    found = apply_reference(given)
    assert float(found.reference_y) == pytest.approx(float(given.y[43:45].mean()))
    assert float(found.reference_x) == pytest.approx(float(given.x[27:29].mean()))
    assert float(found.reference_pixels) == 64
    assert float(found.reference_quality) == pytest.approx(0.6, abs=1e-3)
    np.testing.assert_allclose(found.unwrapped_phase[:, *CALM].mean(("y", "x")), 0, atol=1e-6)
    assert found.attrs["reference"].startswith("auto: mean of an area of 8 x 8 pixels")
    box = area_around(Grid.like(given), float(found.reference_y), float(found.reference_x))
    again = apply_reference(given, box)
    np.testing.assert_array_equal(again.unwrapped_phase, found.unwrapped_phase)


@pytest.mark.parametrize("chunks", [{"y": 13, "x": 90}, {"y": 70, "x": 31}, {"pair": 2, "y": 64, "x": 17}])
def test_any_blocks(stack, chunks):
    """What is found, and the phases, are the same to the bit for any blocks, and lazy."""
    whole = apply_reference(stack)
    lazy = apply_reference(stack.chunk(chunks))
    assert all(lazy[name].chunks is not None for name in ("unwrapped_phase", "reference_y", "reference_phase"))
    xr.testing.assert_identical(lazy.compute(), whole)


def test_same_names(stack):
    """The same stack makes the same graph."""
    one, other = (apply_reference(stack.chunk(y=20)).unwrapped_phase.data.name for _ in range(2))
    assert one == other


def test_cutting_does_not_decide(stack):
    """Areas are counted from the grid: a part of the stack that holds the chosen area chooses it too."""
    whole = choose_reference(stack)
    part = choose_reference(stack.isel(y=slice(21, None), x=slice(11, 70)))
    for name in ("reference_y", "reference_x", "reference_phase", "reference_quality"):
        np.testing.assert_array_equal(part[name], whole[name])


def test_closure_stays(stack):
    """The mean of an area takes one number per date away: triplets close as before."""
    found = apply_reference(stack).unwrapped_phase.astype("float64")
    np.testing.assert_allclose(found[0] + found[2] - found[1], 0, atol=5e-6)
    taken = apply_reference(stack).reference_phase.values
    assert taken[0] + taken[2] - taken[1] == pytest.approx(0, abs=1e-6)


def test_moving_ground_is_no_reference():
    """A coherent area that moves apart from all others is left out."""
    given = make()
    phase = given.unwrapped_phase.values * np.float32(0.02)
    span = (ENDS[:, 1] - ENDS[:, 0])[:, None, None]
    phase[:, *CALM] = 1e-6 + 3.0 * span
    found = choose_reference(given.assign(unwrapped_phase=(("pair", "y", "x"), phase)))
    inside = (float(given.y[47]) <= found.reference_y <= float(given.y[40])) and (
        float(given.x[24]) <= found.reference_x <= float(given.x[31])
    )
    assert not inside


def test_missing_pixels():
    """Pixels that lack a pair, a coherence or a component do not count; where none is left, that is said."""
    given = make()
    holes = given.unwrapped_phase.values.copy()
    holes[0, 40:48, 24:32] = np.nan
    found = choose_reference(given.assign(unwrapped_phase=(("pair", "y", "x"), holes)))
    assert float(found.reference_quality) < 0.5
    labels = np.ones(holes.shape, "uint8")
    labels[:, 40:48, 24:32] = 0
    labelled = choose_reference(given.assign(connected_components=(("pair", "y", "x"), labels)))
    xr.testing.assert_equal(labelled, found)
    holes[1] = np.nan
    nothing = given.assign(unwrapped_phase=(("pair", "y", "x"), holes))
    with pytest.raises(EmptyResultError, match="no pixel can be the reference"):
        apply_reference(nothing)
    lazy = apply_reference(nothing.chunk(y=20))
    with pytest.raises(EmptyResultError, match="no pixel can be the reference"):
        lazy.compute()


def test_small_and_nowhere():
    """A stack of few pixels, or without a place, has a reference too: its own numbers of rows and columns."""
    tiny = make((48, 32)).isel(y=slice(40, 43), x=slice(24, 25)).drop_vars(["y", "x", "spatial_ref"])
    found = apply_reference(tiny)
    assert (float(found.reference_y), float(found.reference_x), float(found.reference_pixels)) == (1.0, 0.0, 3.0)
    pixel = apply_reference(tiny, (2, 0))
    np.testing.assert_array_equal(pixel.unwrapped_phase[:, 2, 0], 0)


def test_point(stack):
    """A point gives the phases of its pixel, whatever the blocks, and is told."""
    y, x = float(stack.y[10]) + 4, float(stack.x[20]) - 4
    found = apply_reference(stack, (y, x))
    expected = stack.unwrapped_phase - stack.unwrapped_phase[:, 10, 20].drop_vars(["y", "x"])
    np.testing.assert_allclose(found.unwrapped_phase, expected, atol=1e-6)
    np.testing.assert_array_equal(found.unwrapped_phase[:, 10, 20], 0)
    assert found.attrs["reference"] == f"point y={float(stack.y[10])!r}, x={float(stack.x[20])!r}"
    assert (float(found.reference_y), float(found.reference_x)) == (float(stack.y[10]), float(stack.x[20]))
    xr.testing.assert_identical(apply_reference(stack.chunk(pair=2, y=7), (y, x)).compute(), found)


def test_areas_of_tiles_have_an_end():
    """An area of more pixels than are held at once is refused in tiles too; one within is taken, or is elsewhere."""
    grid = Grid("EPSG:32633", Pair(-10.0, 10.0), Pair(0.0, 0.0), YX(-500, 20), YX(16, 16))
    values = np.arange(2 * 16 * 16, dtype="float32").reshape(1, 2, 16, 16)
    with pytest.raises(InputError, match="too large"):
        area_pixels(values, grid, (-1e12, -1e12, 1e12, 1e12))
    assert area_pixels(values, grid, (200.0, 4980.0, 220.0, 5000.0)).shape == (1, 2, 4)
    assert area_pixels(values, grid, (0.0, 4980.0, 20.0, 5000.0)) is None


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_area(stack, statistic):
    """An area gives mean or median over pixels valid in all pairs."""
    given = stack.copy(deep=True)
    given.unwrapped_phase[1, 41, 25] = np.nan
    box = (float(stack.x[24]) - 1, float(stack.y[47]) - 1, float(stack.x[31]) + 1, float(stack.y[40]) + 1)
    found = apply_reference(given, box, statistic=statistic)
    values = given.unwrapped_phase.values[:, *CALM].reshape(5, -1).astype("float64")
    values = values[:, np.isfinite(values).all(axis=0)]
    np.testing.assert_array_equal(found.reference_phase, getattr(np, statistic)(values, axis=1))
    assert found.attrs["reference_statistic"] == statistic
    assert to_reference(given, box).rows == (40, 48)


def test_as_delivered(stack):
    """Without a reference the phases stay, and that is told."""
    found = apply_reference(stack, None)
    assert found.attrs["reference"] == "as delivered"
    np.testing.assert_array_equal(found.unwrapped_phase, stack.unwrapped_phase)


def test_invalid_reference(stack):
    """A pixel that lacks pairs is refused by their names, of lazy stacks when they are computed."""
    given = stack.copy(deep=True)
    given.unwrapped_phase[3, 10, 20] = np.nan
    place = (float(stack.y[10]), float(stack.x[20]))
    with pytest.raises(InputError, match=r"got: 2020-01-13 to 2020-02-06: 0 of 1; "):
        apply_reference(given, place)
    lazy = apply_reference(given.chunk(y=20), place)
    with pytest.raises(InputError, match="2020-01-13 to 2020-02-06: 0 of 1"):
        lazy.unwrapped_phase.compute()


def test_unusable(stack):
    """What is no reference, lies outside, or has no pixel is refused."""
    for wrong in ("best", (1.0,), (1, 2, 3), ("a", "b"), (np.nan, 1.0), 5):
        with pytest.raises(InputError, match="this is no reference"):
            to_reference(stack, wrong)
    with pytest.raises(InputError, match=r"outside the stack.*reference, y"):
        to_reference(stack, (float(stack.y[0]) + 6, float(stack.x[0])))
    with pytest.raises(InputError, match="holds no pixel"):
        to_reference(stack, (0, 0, 1, 1))
    with pytest.raises(InputError, match="unknown statistic"):
        apply_reference(stack, statistic="mode")
    wide = xr.Dataset({"unwrapped_phase": (("pair", "y", "x"), np.zeros((1, 600, 600), "float32"))})
    with pytest.raises(InputError, match="too large"):
        to_reference(wide, (0, 0, 599, 599))


def test_mexico(data_dir):
    """On real data the area is coherent and whole, and blocks do not decide."""
    folder = data_dir / "insar" / "mexico-sentinel1"
    told = json.loads((folder / "network.json").read_text())
    layers = {}
    for name, kind in (("unwrapped_phase", "eqa_unw"), ("coherence", "flat_eqa_cc")):
        values = []
        for pair in told["pairs"]:
            with rasterio.open(folder / "geotiffs" / f"cropA_{'-'.join(pair)}_VV_8rlks_{kind}.tif") as file:
                values.append(file.read(1))
        layers[name] = (("pair", "y", "x"), np.stack(values).astype("float32"))
    ends = np.array([[f"{day[:4]}-{day[4:6]}-{day[6:]}" for day in pair] for pair in told["pairs"]], "datetime64[ns]")
    assert len(network_of(ends)[0].times) == 13
    given = xr.Dataset(layers, {"reference_time": ("pair", ends[:, 0]), "secondary_time": ("pair", ends[:, 1])})
    stack = to_stack(given.assign_attrs(wavelength=told["wavelength_m"], phase_sign=SIGN), nodata=0)
    found = apply_reference(stack)
    assert float(found.reference_quality) > 0.6
    xr.testing.assert_identical(apply_reference(stack.chunk(y=17, x=33)).compute(), found)
