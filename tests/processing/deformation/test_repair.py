"""Unwrapping errors in stacks with known truth: what is mended, what is flagged, and what is left alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter

from terracube.core.errors import InputError
from terracube.ingest.simulate import Region, radar_dates, write_interferograms
from terracube.processing.deformation.cycles import draw_repair, repair
from terracube.processing.deformation.cycles.bridging import bridge
from terracube.processing.deformation.cycles.closing import closure
from terracube.processing.deformation.cycles.mending import CHANGED, LOOSE, RIVALLED, UNSETTLED, VOTED, rehearse

DATES = 16
PAIRS = [(i, j) for i in range(DATES) for j in range(i + 1, min(DATES, i + 5))]
type Errors = Callable[[tuple[int, ...], float], np.ndarray]
LAYERS = ("unwrapped_phase", "cycles", "undecided", "slack", "repair_flags")


def stack(phase: np.ndarray, pairs: list[tuple[int, int]] | None = None) -> xr.Dataset:
    """A stack of pairs of dates 12 days apart."""
    days = np.datetime64("2021-03-01", "ns") + np.arange(40) * np.timedelta64(12, "D")
    ends = np.array(PAIRS if pairs is None else pairs)
    return xr.Dataset(
        {"unwrapped_phase": (("pair", "y", "x"), phase.astype("float32"), {"units": "rad"})},
        coords={"reference_time": ("pair", days[ends[:, 0]]), "secondary_time": ("pair", days[ends[:, 1]])},
        attrs={"wavelength": 0.0555},
    )


def moving(side: int, *, noise: float, step: float = 0.0, seed: int = 0) -> np.ndarray:
    """Phases of smoothly moving ground, with a fault in the middle that slips once."""
    rng = np.random.default_rng(seed)
    x = gaussian_filter(rng.normal(size=(DATES, side, side)), (0, 8, 8), mode="wrap")
    x = np.cumsum(x / x.std() * 0.6, axis=0)
    x[DATES // 2 :, :, side // 2 :] += step
    ends = np.array(PAIRS)
    return x[ends[:, 1]] - x[ends[:, 0]] + rng.normal(0, noise, (len(PAIRS), side, side))


def scattered(shape: tuple[int, ...], wrong: float, seed: int = 1) -> np.ndarray:
    """Errors of one cycle at single pixels: what mends them."""
    rng = np.random.default_rng(seed)
    return (rng.random(shape) < wrong) * rng.choice([-1, 1], shape)


def discs(shape: tuple[int, int, int], wrong: float, seed: int = 1) -> np.ndarray:
    """The same in discs of radius 4 pixels."""
    rng, found = np.random.default_rng(seed), np.zeros(shape, int)
    y, x = np.indices(shape[1:])
    for layer in found:
        for _ in range(rng.poisson(wrong * layer.size / (np.pi * 16))):
            row, column = (rng.integers(0, side) for side in layer.shape)
            layer[(y - row) ** 2 + (x - column) ** 2 <= 16] = rng.choice([-1, 1])
    return found


def exact(found: xr.Dataset, cycles: np.ndarray) -> np.ndarray:
    """Pixels (y, x) of which every pair has the cycles that it needs."""
    return np.asarray((found["cycles"].values == cycles).all(axis=0))


@pytest.mark.parametrize("make", [scattered, discs])
@pytest.mark.parametrize(("noise", "alone", "together"), [(0.3, 0.87, 0.95), (0.8, 0.83, 0.95)])
def test_a_tenth_of_wrong_pairs_is_mended(make: Errors, noise: float, alone: float, together: float) -> None:
    """Ten thousand pixels, each pair wrong at a tenth of them: exact alone, more so with the neighbours."""
    phase = moving(100, noise=noise)
    cycles = make(phase.shape, 0.1)
    given = stack(phase - 2 * np.pi * cycles)
    single, voted = repair(given), repair(given, neighbours=True)
    assert exact(single, cycles).mean() > alone
    assert exact(voted, cycles).mean() > together
    assert (voted["cycles"].values != 0)[cycles == 0].mean() < 2e-3
    # What is unflagged is right more often, and most of what failed is flagged.
    flagged = (single["repair_flags"].values & RIVALLED) > 0
    assert exact(single, cycles)[~flagged].mean() > exact(single, cycles).mean() + 0.01
    assert flagged[~exact(single, cycles)].mean() > 0.4


def test_sound_phases_are_left_alone() -> None:
    """Without errors nothing changes, to the bit; the network could have lost three pairs anywhere."""
    given = stack(moving(24, noise=0.3))
    found = repair(given, neighbours=True)
    np.testing.assert_array_equal(found["unwrapped_phase"], given["unwrapped_phase"])
    assert not found["cycles"].values.any()
    assert not found["repair_flags"].values.any()
    assert not found["undecided"].values.any()
    assert (found["slack"] == 4).all()
    assert found["unwrapped_phase"].attrs == {"units": "rad"}
    assert "margin 0.3 rad" in found.attrs["repair"]


@pytest.mark.parametrize("step", [2.5, 4.0, 9.0])
def test_a_fault_is_not_mended_away(step: float) -> None:
    """A slip between two dates stays where it is, of less or more than half a cycle."""
    phase = moving(40, noise=0.3, step=step)
    cycles = scattered(phase.shape, 0.05)
    found = repair(stack(phase - 2 * np.pi * cycles), neighbours=True)
    assert exact(found, cycles).mean() > 0.99


def test_neighbours_do_not_overrule_what_pairs_agree_on() -> None:
    """A pixel that truly jumps by more than half a cycle beside still ground keeps its phases."""
    phase = moving(15, noise=0.1)
    ends = np.array(PAIRS)
    phase[:, 7, 7] += 4.0 * ((ends[:, 1] >= 8) & (ends[:, 0] < 8))
    found = repair(stack(phase), neighbours=True)
    assert not found["cycles"].values[:, 7, 7].any()


def test_nothing_depends_on_blocks_or_order() -> None:
    """Pairs in any order, blocks of any size, threads or none: the same bits, in the order that was given."""
    phase = moving(50, noise=0.8)
    phase -= 2 * np.pi * discs(phase.shape, 0.15)
    phase[np.random.default_rng(5).random(phase.shape) < 0.1] = np.nan
    phase[:, 20:26, 30:33] = np.nan
    given, order = stack(phase), np.random.default_rng(6).permutation(len(PAIRS))
    whole = repair(given, neighbours=True)
    assert set(np.unique(whole["repair_flags"])) > {CHANGED, CHANGED | VOTED}
    lazy = repair(given.isel(pair=order).chunk(pair=7, y=13, x=21), neighbours=True)
    assert all(lazy[name].chunks is not None for name in LAYERS)
    for found in (lazy.compute(scheduler="threads"), lazy.compute(scheduler="synchronous")):
        for name in LAYERS:
            expected = whole[name].isel(pair=order) if "pair" in whole[name].dims else whole[name]
            np.testing.assert_array_equal(found[name].values, expected.values)
    assert np.isnan(whole["unwrapped_phase"].values[:, 20:26, 30:33]).all()
    assert (whole["slack"].values[20:26, 30:33] == 127).all()


def test_a_network_that_cannot_tell_says_so() -> None:
    """A chain: no pair is in a loop, all are marked, none is changed. Two ways round a ring: no way to tell which."""
    chain = repair(stack(np.full((2, 1, 1), 9.0), [(0, 1), (1, 2)]))
    assert not chain["cycles"].values.any()
    assert (chain["undecided"].values & 1).all()
    assert chain["repair_flags"].values.tolist() == [[RIVALLED | LOOSE]]
    phase = np.zeros((3, 1, 1))
    phase[0] = 2 * np.pi
    ring = repair(stack(phase, [(0, 1), (0, 2), (1, 2)]))
    assert int((ring["cycles"] != 0).sum()) <= 1
    assert ring["repair_flags"].values[0, 0] & (UNSETTLED | RIVALLED)
    assert (repair(stack(np.full((1, 1, 1), 2.0), [(0, 1)]))["undecided"].values == 3).all()


def test_simulated_interferograms_are_mended(tmp_path: Path) -> None:
    """A stack with terrain, atmosphere and decorrelation of a region, to which errors are added."""
    import rasterio

    region = Region(seed=3)
    days = radar_dates(count=8, every=12)
    folder = write_interferograms(region, tmp_path, dates=days, neighbours=4, size=48).parent
    pairs = [(i, j) for i in range(8) for j in range(i + 1, min(8, i + 5))]
    layers = []
    for i, j in pairs:
        with rasterio.open(folder / f"{days[i]:%Y%m%d}-{days[j]:%Y%m%d}_unw.tif") as source:
            layers.append(source.read(1))
    phase = np.array(layers, "float64")
    phase[phase == 0] = np.nan
    clean = repair(stack(phase, pairs))["cycles"].values
    sound = (clean == 0).all(axis=0) & np.isfinite(phase).all(axis=0)
    assert sound.mean() > 0.5
    cycles = scattered(phase.shape, 0.02)
    given = stack(phase - 2 * np.pi * cycles, pairs)
    found = repair(given, neighbours=True)
    assert exact(found, cycles)[sound].mean() > 0.97
    assert closure(found)["n_bad_triplets"].sum() < 0.2 * closure(given)["n_bad_triplets"].sum()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"margin": -0.1}, "the margin is none"),
        ({"margin": np.nan}, "the margin is none"),
        ({"margin": 3.2}, "the margin is none"),
        ({"window": 4}, "a window has a middle"),
        ({"window": 33}, "a window has a middle"),
        ({"rivals": 12}, "no such number"),
    ],
)
def test_parameters_out_of_range_are_refused(options: dict[str, float], told: str) -> None:
    """Each with a word on what is asked for."""
    with pytest.raises(InputError, match=told):
        repair(stack(np.zeros((len(PAIRS), 1, 1))), **options)  # type: ignore[arg-type]


def test_other_things_than_stacks_are_refused() -> None:
    """Whole numbers, other dimensions, no phase."""
    good = stack(np.zeros((len(PAIRS), 1, 1)))
    for bad in (good.astype("int32"), good.isel(y=0), good.drop_vars("unwrapped_phase")):
        with pytest.raises(InputError, match="no stack of unwrapped phases"):
            repair(bad)


def test_the_picture_shows_four_panels() -> None:
    """Before, after, cycles and slack, with their counts; also where all is missing."""
    phase = moving(20, noise=0.2)
    cycles = discs(phase.shape, 0.05)
    given = stack(phase - 2 * np.pi * cycles)
    figure = draw_repair(given, repair(given), pair=3)
    titles = [ax.get_title() for ax in figure.axes[:4]]
    assert titles[:2] == ["before", "after"]
    assert titles[2] == f"{int((cycles[3] != 0).sum())} of 400 pixels changed"
    empty = given.where(given["unwrapped_phase"] > 1e9)
    assert draw_repair(empty, repair(empty)).axes[3].get_title() == "nothing there"
    with pytest.raises(InputError, match="no repaired stack"):
        draw_repair(given, given)
    with pytest.raises(InputError, match="no such pair"):
        draw_repair(given, repair(given), pair=99)


def test_rehearsing_compiles_without_data() -> None:
    """It takes a network and gives nothing."""
    rehearse(np.array([[0, 1]], "int32"), 2)


def parted(side: int = 40) -> tuple[xr.Dataset, np.ndarray]:
    """Three components of a ramp with gaps between, of which two are off by whole cycles; and what mends them."""
    y, x = np.indices((side, side))
    labels = np.where(x < 12, 1, np.where(x < 26, 2, 3)) * ~np.isin(x, [11, 12, 25, 26, 27])
    labels[(y < 3) & (x > 35)] = 4
    labels[2, 36:] = labels[0:3, 35] = 0
    cycles = np.array([0, -1, 0, 2, 5])[labels] * (labels != 4)
    phase = np.where(labels > 0, 0.15 * x + 0.02 * y, np.nan) - 2 * np.pi * cycles
    given = stack(np.stack([phase, 0.15 * x + 0.02 * y, np.full(x.shape, np.nan)]), [(0, 1), (0, 2), (1, 2)])
    return given.assign(connected_components=(("pair", "y", "x"), np.stack([labels, labels * 0 + 1, labels]))), cycles


def test_components_are_joined_to_the_largest() -> None:
    """Whole cycles are found over the gaps; one of few pixels, a pair in one piece and one without phases stay."""
    given, cycles = parted()
    found = bridge(given, radius=6, fewest=50)
    np.testing.assert_array_equal(found["bridged"].values[0], cycles - cycles[0, 20])
    assert not found["bridged"].values[1:].any()
    left = found["unwrapped_phase"].values[0] - given["unwrapped_phase"].values[1]
    np.testing.assert_allclose(left[np.isfinite(left)], 0, atol=1e-4)
    lazy = bridge(given.chunk(pair=2, y=11, x=9), radius=6, fewest=50)
    assert lazy["bridged"].chunks is not None
    xr.testing.assert_identical(lazy.compute(), found)


def test_a_steep_ramp_is_bridged_with_the_plane_taken_off() -> None:
    """Over a gap the ramp adds more than half a cycle, which only its plane tells."""
    y, x = np.indices((30, 60))
    labels = np.where(x < 20, 1, np.where(x > 27, 2, 0))
    phase = np.where(labels > 0, 0.6 * x - 0.2 * y, np.nan)
    given = stack(phase[None], [(0, 1)]).assign(connected_components=(("pair", "y", "x"), labels[None]))
    assert bridge(given, radius=5)["bridged"].values.any()
    assert not bridge(given, radius=5, deramp=True)["bridged"].values.any()


def test_bridges_need_components() -> None:
    """None, too many of them, or no window."""
    given, _ = parted()
    with pytest.raises(InputError, match="no components"):
        bridge(given.drop_vars("connected_components"))
    with pytest.raises(InputError, match="no such number of pixels"):
        bridge(given, radius=0)
    many = np.arange(3 * 80 * 80).reshape(3, 80, 80) + 1
    wide = stack(np.zeros(many.shape), [(0, 1), (0, 2), (1, 2)])
    with pytest.raises(InputError, match="too many components"):
        bridge(wide.assign(connected_components=(("pair", "y", "x"), many)))
