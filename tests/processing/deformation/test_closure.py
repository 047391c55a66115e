"""Loops of networks and maps of what does not close, on made-up and on real interferograms."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from terracube.core.errors import EmptyResultError, InputError
from terracube.processing.deformation.cycles.closing import closure, loops_of, sequential_closure
from terracube.processing.deformation.network import Network, network_of_stack

TRIANGLE = [(0, 1), (0, 2), (1, 2)]


def stack(ends: list[tuple[int, int]], phase: np.ndarray) -> xr.Dataset:
    """A stack of pairs of dates 12 days apart."""
    days = np.datetime64("2021-03-01", "ns") + np.arange(40) * np.timedelta64(12, "D")
    pairs = np.array(ends)
    return xr.Dataset(
        {"unwrapped_phase": (("pair", "y", "x"), phase.astype("float32"))},
        coords={"reference_time": ("pair", days[pairs[:, 0]]), "secondary_time": ("pair", days[pairs[:, 1]])},
        attrs={"wavelength": 0.0555},
    )


def band(dates: int, width: int) -> list[tuple[int, int]]:
    """Each date with the next ones."""
    return [(i, j) for i in range(dates) for j in range(i + 1, min(dates, i + width + 1))]


def network(ends: list[tuple[int, int]]) -> Network:
    """The network of such pairs."""
    return network_of_stack(stack(ends, np.zeros((len(ends), 1, 1))))[0]


@pytest.mark.parametrize(
    "ends",
    [
        TRIANGLE,
        band(7, 3),
        [(i, i + 1) for i in range(6)] + [(0, 6)],
        [(0, 1), (1, 2), (2, 3), (0, 3), (3, 4), (4, 5), (3, 5), (5, 6)],
        [(0, 1), (0, 2), (1, 2), (3, 4), (4, 5), (5, 6), (3, 6), (4, 6)],
        [(i, j) for i in range(4) for j in range(4, 8)],
    ],
    ids=["triangle", "band", "ring", "bridge", "two parts", "no triplet"],
)
def test_loops_are_loops_and_tell_all_that_closures_can(ends: list[tuple[int, int]]) -> None:
    """Dates cancel in each; there are as many independent ones as the network has cycles."""
    found = network(ends)
    loops = loops_of(found)
    rows = np.zeros((len(loops.triplets) + len(loops.longer), len(ends)))
    for row, loop in zip(rows, [*loops.triplets, *loops.longer], strict=True):
        for m, sign in loop:
            row[m] += sign
    incidence = np.zeros((len(ends), len(found.times)))
    incidence[np.arange(len(ends)), found.pairs[:, 0]] = -1
    incidence[np.arange(len(ends)), found.pairs[:, 1]] = 1
    assert not (rows @ incidence).any()
    assert all(len(loop) == 3 for loop in loops.triplets)
    assert all(len(loop) > 3 for loop in loops.longer)
    cycles = len(ends) - np.linalg.matrix_rank(incidence)
    assert np.linalg.matrix_rank(rows) == cycles
    assert len(loops.longer) <= cycles


def test_all_triplets_are_found() -> None:
    """As many as a count of all threes of dates."""
    ends = band(9, 4)
    known = set(ends)
    count = sum({(i, j), (j, k), (i, k)} <= known for i in range(9) for j in range(i + 1, 9) for k in range(j + 1, 9))
    assert len(loops_of(network(ends)).triplets) == count


def test_one_wrong_pair_shows_in_its_loops_alone() -> None:
    """Two of a band's triplets hold the pair; all of its own loops are bad, and half of its neighbours' or fewer."""
    ends = band(5, 2)
    x = np.random.default_rng(1).normal(0, 5, (5, 3, 4))
    phase = np.array([x[j] - x[i] for i, j in ends])
    clean = closure(stack(ends, phase))
    assert clean["n_triplets"].values.tolist() == [[3.0] * 4] * 3
    assert not clean["n_bad_triplets"].values.any()
    assert not clean["bad_share"].values.any()
    np.testing.assert_allclose(clean["closure_rms"], 0, atol=1e-5)
    phase[ends.index((1, 2)), 1, 2] += 2 * np.pi
    found = closure(stack(ends, phase))
    assert found["n_bad_triplets"].values[1, 2] == 2
    assert found["n_bad_triplets"].values.sum() == 2
    share = found["bad_share"].values[:, 1, 2]
    assert share[ends.index((1, 2))] == 1
    assert share[ends.index((3, 4))] == 0


def test_longer_loops_see_what_no_triplet_does() -> None:
    """A ring of four: a wrong pair shows in its one loop."""
    phase = np.zeros((4, 1, 2))
    phase[2, 0, 1] = -6.2
    found = closure(stack([(0, 1), (1, 2), (2, 3), (0, 3)], phase))
    assert found["n_triplets"].values.tolist() == [[0, 0]]
    assert found["n_bad_loops"].values.tolist() == [[0, 1]]
    assert np.isnan(found["closure_mean"].values).all()
    assert found["bad_share"].values[:, 0].tolist() == [[0, 1]] * 4


def test_maps_do_not_depend_on_order_or_blocks() -> None:
    """Pairs in any order, in blocks of any size, on any scheduler: the same bits, in the order that was given."""
    rng = np.random.default_rng(3)
    ends = band(8, 3)
    phase = rng.normal(0, 3, (len(ends), 23, 31))
    phase[rng.random(phase.shape) < 0.1] = np.nan
    whole, order = stack(ends, phase), rng.permutation(len(ends))
    lazy = closure(whole.isel(pair=order).chunk(pair=5, y=7, x=11))
    assert all(one.chunks is not None for one in lazy.data_vars.values())
    xr.testing.assert_identical(lazy.compute(scheduler="threads"), closure(whole).isel(pair=order))
    steps = sequential_closure(whole.isel(pair=order).chunk(y=9))
    xr.testing.assert_identical(steps.compute(scheduler="synchronous"), sequential_closure(whole))


def test_a_fading_bias_grows_steadily() -> None:
    """Short pairs with a bias that long ones lack: its sum over the intervals, whatever the span."""
    ends = band(12, 3)
    bias = np.array([0.08 if j - i == 1 else 0.0 for i, j in ends])
    phase = np.broadcast_to(bias[:, None, None], (len(ends), 2, 2)).copy()
    phase[ends.index((0, 2)), 1, 1] = np.nan
    found = sequential_closure(stack(ends, phase), span=2)
    assert found["n_closures"].values.tolist() == [[10, 10], [10, 9]]
    np.testing.assert_allclose(found["cumulative_closure"].values[:, 0, 0], 0.08 * np.r_[0, np.arange(11)], atol=1e-5)
    assert found["time"].size == 12
    longer = sequential_closure(stack(ends, phase), span=3)
    np.testing.assert_allclose(longer["cumulative_closure"].values[-1, 0, 0], 9 * 0.08, atol=1e-5)


def test_what_cannot_close_is_refused() -> None:
    """No loop, no long pair, no stack, no span."""
    chain = stack([(0, 1), (1, 2)], np.zeros((2, 1, 1)))
    with pytest.raises(EmptyResultError, match="no pairs close a loop"):
        closure(chain)
    with pytest.raises(EmptyResultError, match="no long pair"):
        sequential_closure(chain)
    with pytest.raises(InputError, match="no stack of unwrapped phases"):
        closure(chain.rename(unwrapped_phase="phase"))
    with pytest.raises(InputError, match="no such span"):
        sequential_closure(chain, span=1)


def test_all_missing_is_nothing_at_all() -> None:
    """No triplet anywhere, and no number that would look like one."""
    found = closure(stack(TRIANGLE, np.full((3, 2, 2), np.nan)))
    assert not found["n_triplets"].values.any()
    assert np.isnan(found["closure_rms"].values).all()
    assert np.isnan(found["bad_share"].values).all()
    empty = sequential_closure(stack(TRIANGLE, np.full((3, 2, 2), np.nan)))
    assert np.isnan(empty["cumulative_closure"].values).all()


def test_real_interferograms_close_but_for_few_pixels(data_dir: Path) -> None:
    """Mexico City: 24 triplets; 101 of 6000 pixels have a bad one, the very number that other software finds there."""
    import rasterio

    folder = data_dir / "insar" / "mexico-sentinel1"
    told = json.loads((folder / "network.json").read_text())
    layers = []
    for first, second in told["pairs"]:
        (path,) = folder.glob(f"geotiffs/*{first}-{second}*_unw.tif")
        with rasterio.open(path) as source:
            layers.append(source.read(1))
    phase = np.array(layers, "float32")
    phase = np.where(phase == 0, np.nan, phase)
    row, column = told["ref_yx"]
    phase -= np.nan_to_num(phase[:, row, column])[:, None, None]
    days = np.array(sorted(told["dates"]))
    ends = [tuple(int(k) for k in np.searchsorted(days, pair)) for pair in told["pairs"]]
    found = closure(stack(ends, phase))
    assert found["n_triplets"].values.max() == 24
    bad = found["n_bad_triplets"].values
    expected = np.load(folder / "mintpy_reference.npz")["numTriNonzeroIntAmbiguity"]
    # The other software counts a missing phase, written as zero, as a phase: at one pixel it makes a difference.
    assert np.argwhere(bad != expected).tolist() == [[58, 6]]
    assert np.isnan(phase[:, 58, 6]).any()
    assert int((bad > 0).sum()) == 101
