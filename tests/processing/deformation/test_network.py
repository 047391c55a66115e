"""Networks: which pairs are used, what hangs together in each pixel, and a picture of it."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import EmptyResultError, InputError
from terracube.processing.deformation.network import Network, network_of
from terracube.processing.deformation.network.pixels import (
    connectivity,
    coverage,
    dates_without_pixels,
    undetermined,
)
from terracube.processing.deformation.network.plot import date_baselines, plot_network
from terracube.processing.deformation.network.selection import (
    choose_pairs,
    keep_pairs,
    leave_out,
    mean_coherence,
    select_pairs,
    spanning_pairs,
)

START = np.datetime64("2020-01-01", "ns")
DAYS = START + np.arange(0, 800, 12) * np.timedelta64(1, "D")
ENDS = np.array([(0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (3, 4), (0, 30)])


def net(ends=ENDS, baselines=None):
    """A network of dates that are 12 days apart."""
    return network_of(DAYS[np.array(ends)], baselines)[0]


def make(ends=ENDS, *, shape=(6, 7), seed=0, missing=0.3):
    """A stack with holes and a coherence of its own for each pair."""
    rng, ends = np.random.default_rng(seed), np.array(ends)
    phase = rng.normal(0, 1, (len(ends), *shape)).astype("float32")
    phase[rng.random(phase.shape) < missing] = np.nan
    coherence = np.broadcast_to(np.linspace(0.2, 0.8, len(ends))[:, None, None], phase.shape).astype("float32")
    coords = {"reference_time": ("pair", DAYS[ends[:, 0]]), "secondary_time": ("pair", DAYS[ends[:, 1]])}
    dims = ("pair", "y", "x")
    return xr.Dataset({"unwrapped_phase": (dims, phase), "coherence": (dims, coherence)}, coords)


def test_limits():
    """Each limit keeps the pairs that its words say."""
    network = net(baselines=[0, 10, -200, 30, np.nan, 5, 1])
    assert choose_pairs(network, bandwidth=1).tolist() == [
        tuple(pair) in {(0, 1), (1, 2), (2, 3), (3, 4)} for pair in network.pairs.tolist()
    ]
    assert choose_pairs(network, longest=12).tolist() == (network.spans <= 12).tolist()
    wide = choose_pairs(network, widest=100)
    assert (~wide).tolist() == (np.abs(network.baselines) > 100).tolist()
    coherence = np.where(network.spans > 12, 0.3, 0.7)
    coherence[0] = np.nan
    kept = choose_pairs(network, coherence=coherence, least_coherence=0.5)
    assert kept.tolist() == (coherence >= 0.5).tolist()
    years = choose_pairs(network, longest=12, annual=10)
    assert years.tolist() == ((network.spans <= 12) | (network.spans == 360)).tolist()


def test_spanning_tree():
    """The tree has one pair fewer than dates, joins them all, and costs least."""
    network = net()
    tree = spanning_pairs(network)
    assert tree.sum() == len(network.times) - 1
    assert not network.components(tree).any()
    assert network.spans[tree].sum() == 4 * 12 + 360
    cost = np.array([5.0, 1, 1, 1, 5, 1, 1])
    assert sorted(cost[spanning_pairs(network, cost)]) == [1, 1, 1, 1, 1]
    assert choose_pairs(network, longest=1, spanning_tree=True).tolist() == tree.tolist()


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=20), st.integers(0, 9))
def test_tree_keeps_parts(ends, seed):
    """Whatever the network and costs, the tree has the parts of the whole and no pair too many."""
    chosen = sorted({(min(one), max(one)) for one in ends if one[0] != one[1]}) or [(0, 1)]
    network = net(chosen)
    tree = spanning_pairs(network, np.random.default_rng(seed).random(len(network.pairs)))
    assert network.components(tree).tolist() == network.components().tolist()
    assert tree.sum() == len(network.times) - len(set(network.components()))


def test_unusable_limits():
    """What cannot be a limit is refused, and so is a choice that leaves nothing."""
    network = net()
    for options in ({"bandwidth": 0}, {"longest": -1}, {"widest": np.nan}, {"annual": np.inf}):
        with pytest.raises(InputError, match="unusable limit"):
            choose_pairs(network, **options)
    with pytest.raises(InputError, match="unusable limit"):
        choose_pairs(network, coherence=np.ones(7), least_coherence=2)
    with pytest.raises(InputError, match="coherence of the pairs is not given"):
        choose_pairs(network, least_coherence=0.5)
    with pytest.raises(InputError, match="each pair has one number"):
        choose_pairs(network, coherence=[1.0], least_coherence=0.5)
    with pytest.raises(EmptyResultError, match="no pair"):
        choose_pairs(network, longest=1)


def test_leave_out():
    """Pairs of a date go with it; a date that is not there is named."""
    network = net()
    kept = leave_out(network, ["2020-01-13"])
    assert kept.tolist() == [1 not in pair for pair in network.pairs.tolist()]
    with pytest.raises(InputError, match="no such date"):
        leave_out(network, ["2020-01-14"])
    with pytest.raises(EmptyResultError):
        leave_out(network, network.times)


def test_select_from_a_stack():
    """A stack is cut to the pairs that its own coherence keeps, whatever their order; a lazy one is not computed."""
    stack = make(ENDS[::-1])
    found = select_pairs(stack, least_coherence=0.5)
    np.testing.assert_allclose(np.sort(found.coherence[:, 0, 0]), [0.5, 0.6, 0.7, 0.8], rtol=1e-6)
    with pytest.raises(InputError, match="mean_coherence"):
        select_pairs(stack.chunk(y=2), least_coherence=0.5)
    given_ = select_pairs(stack.chunk(y=2), coherence=mean_coherence(stack).values, least_coherence=0.5)
    xr.testing.assert_equal(given_.compute(), found)
    with pytest.raises(InputError, match="does not choose"):
        keep_pairs(stack, [True])
    with pytest.raises(EmptyResultError):
        keep_pairs(stack, np.zeros(7, bool))


def test_mean_coherence():
    """The mean is over pixels with a phase, the same for any blocks; a pair without any has none."""
    stack = make()
    stack["coherence"] = stack.coherence * np.linspace(0.5, 1, 42, dtype="float32").reshape(6, 7)
    stack["unwrapped_phase"][2] = np.nan
    found = mean_coherence(stack)
    expected = stack.coherence.astype("float64").where(stack.unwrapped_phase.notnull()).mean(("y", "x"))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert np.isnan(found[2])
    lazy = mean_coherence(stack.chunk(pair=2, y=4, x=3))
    assert lazy.chunks is not None
    xr.testing.assert_identical(lazy.compute(), found)
    with pytest.raises(InputError, match="no coherence"):
        mean_coherence(stack.drop_vars("coherence"))


@settings(max_examples=25)
@given(st.integers(0, 1000), st.floats(0, 1))
def test_connectivity_is_that_of_each_pixel(seed, missing):
    """Counts of a pixel are those of the network of its own pairs, also in a lazy stack."""
    stack = make(seed=seed, shape=(2, 3), missing=missing)
    network, order = network_of(DAYS[ENDS])
    found = connectivity(stack)
    for y in range(2):
        for x in range(3):
            keep = np.isfinite(stack.unwrapped_phase.values[order, y, x])
            parts = network.components(keep)
            degree = np.bincount(network.pairs[keep].ravel(), minlength=len(network.times))
            here = [float(values[y, x]) for values in found.data_vars.values()]
            assert here == [keep.sum(), len(set(parts)), (parts == 0).sum(), degree.min()]
    xr.testing.assert_identical(connectivity(stack.chunk(pair=1, y=1)).compute(), found)


def test_long_chains_hang_together():
    """A chain of dates is one part, in whatever order its pairs come."""
    ends = np.array([(k, k + 1) for k in range(40)])
    assert (connectivity(make(ends[np.argsort(np.sin(ends[:, 0]))], missing=0)).n_components == 1).all()


def test_coverage():
    """Pixels are counted by pair and date, and dates without any are named."""
    stack = make(ENDS[:5], missing=0)
    stack["unwrapped_phase"][0, 0] = np.nan
    stack["unwrapped_phase"][3:] = np.nan
    found = coverage(stack.chunk(y=2))
    assert found.valid_pixels.values.tolist() == [35, 42, 42, 0, 0]
    assert found.best_pair.values.tolist() == [42, 42, 42, 0]
    assert dates_without_pixels(stack) == [DAYS[3]]


def test_undetermined():
    """Dates in other parts than the first are listed."""
    assert undetermined(net([(0, 1), (2, 3)])) == list(DAYS[2:4])
    assert undetermined(net()) == []


def test_baselines_of_dates():
    """Baselines of dates are those of the orbits, 0 at the first of each part."""
    orbits = np.random.default_rng(0).normal(0, 50, 67)
    network = net(baselines=np.diff(orbits[ENDS], axis=1)[:, 0])
    used = [0, 1, 2, 3, 4, 30]
    np.testing.assert_allclose(date_baselines(network), orbits[used] - orbits[0], atol=1e-9)
    np.testing.assert_allclose(date_baselines(net([(0, 1), (2, 3)], [5.0, 7.0])), [0, 5, 0, 7], atol=1e-9)
    half = date_baselines(net([(0, 1), (1, 2), (2, 3)], [5.0, np.nan, 7.0]))
    np.testing.assert_allclose(half, [0, 5, np.nan, np.nan], atol=1e-9)


def test_picture():
    """The picture has a line per pair, dotted where it is not used, and tells dates that are not joined."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    network = net(baselines=np.arange(7.0))
    keep = choose_pairs(network, bandwidth=1, longest=100)
    axes = plot_network(network, coherence=np.linspace(0, 1, 7), keep=keep)
    gone, kept = axes.collections[:2]
    assert (len(gone.get_segments()), len(kept.get_segments())) == (7 - keep.sum(), keep.sum())
    assert axes.get_ylabel() == "perpendicular baseline [m]"
    assert axes.get_title() == f"6 dates, {keep.sum()} of 7 pairs"
    assert axes.get_legend() is not None
    arcs = plot_network(make())
    assert arcs.get_ylabel() == "days spanned"
    assert max(line[:, 1].max() for line in arcs.collections[1].get_segments()) == pytest.approx(360)
    with pytest.raises(InputError, match="each pair has one"):
        plot_network(network, keep=[True])
    plt.close("all")


def test_network_is_a_value():
    """A network compares by its digest, whatever the order of its pairs."""
    assert isinstance(net(), Network)
    assert net(ENDS[::-1]).digest == net().digest != net(ENDS[:3]).digest
