"""Thresholds and indices."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import InputError
from terracube.processing.water.masks import water_index, water_indices
from terracube.processing.water.masks.otsu import BINS, added, balanced_threshold, histogram

BANDS = {"blue": 0.03, "green": 0.06, "red": 0.04, "nir": 0.02, "swir16": 0.01, "swir22": 0.005}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ndwi", (0.06 - 0.02) / 0.08),
        ("mndwi", (0.06 - 0.01) / 0.07),
        ("awei_nsh", 4 * (0.06 - 0.01) - (0.25 * 0.02 + 2.75 * 0.005)),
        ("awei_sh", 0.03 + 2.5 * 0.06 - 1.5 * (0.02 + 0.01) - 0.25 * 0.005),
        ("wi2015", 1.7204 + 171 * 0.06 + 3 * 0.04 - 70 * 0.02 - 45 * 0.01 - 71 * 0.005),
        ("mbwi", 2 * 0.06 - 0.04 - 0.02 - 0.01 - 0.005),
    ],
)
def test_formulas(name, expected):
    """Indices are the formulas of their papers."""
    bands = {role: np.array([value]) for role, value in BANDS.items()}
    assert water_index(name).values(bands)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["ndwi", "mndwi", "awei_sh", "wi2015", "mbwi"])
def test_formulas_as_a_public_catalogue_has_them(name):
    """But for AWEI without shadow, whose last sign it has wrong, a public catalogue has the same formulas."""
    import spyndex

    letters = {"B": "blue", "G": "green", "R": "red", "N": "nir", "S1": "swir16", "S2": "swir22"}
    catalogue = {"awei_sh": "AWEIsh", "wi2015": "WI2015"}.get(name, name.upper())
    facts = {letter: BANDS[role] for letter, role in letters.items()} | {"omega": 2.0}
    bands = {role: np.array([value]) for role, value in BANDS.items()}
    assert water_index(name).values(bands)[0] == pytest.approx(spyndex.computeIndex(catalogue, facts), rel=1e-9)


def test_table_makes_sense():
    """Each threshold lies in its window, each window in the range, and each index has a source."""
    for index in water_indices().values():
        assert index.range[0] < index.window[0] < index.threshold < index.window[1] < index.range[1]
        assert "doi:" in index.source
    with pytest.raises(InputError):
        water_index("magic")


def two_kinds(share, *, wet=(0.5, 0.12), dry=(-0.4, 0.12), many=20_000, seed=0):
    """Draw values of an index of which a share is water."""
    rng = np.random.default_rng(seed)
    count = int(share * many)
    return np.concatenate([rng.normal(*wet, count), rng.normal(*dry, many - count)])


def threshold_of(values, name="mndwi"):
    """Find the threshold of values."""
    index = water_index(name)
    return balanced_threshold(histogram(values, np.ones(values.shape, bool), index), index)


@pytest.mark.parametrize("share", [0.005, 0.02, 0.2, 0.5, 0.9, 0.99])
def test_the_share_of_water_does_not_move_the_threshold(share):
    """Whatever the share of water, the threshold is half way between the two kinds."""
    assert threshold_of(two_kinds(share)) == pytest.approx(0.05, abs=0.03)


def test_as_plain_otsu_where_both_are_as_many():
    """For equal shares it is the threshold that maximises the variance between two kinds, by brute force."""
    values = two_kinds(0.5)
    cuts = np.linspace(-0.29, 0.29, 291)
    parts = [(values[values < cut], values[values >= cut]) for cut in cuts]
    between = [low.size * high.size * (low.mean() - high.mean()) ** 2 for low, high in parts]
    assert threshold_of(values) == pytest.approx(cuts[int(np.argmax(between))], abs=0.01)


def test_one_kind_has_the_published_threshold():
    """Land or water alone, few pixels of the other, or one broad kind: the published threshold."""
    assert threshold_of(two_kinds(0.0)) == 0.0
    assert threshold_of(two_kinds(1.0)) == 0.0
    assert threshold_of(two_kinds(0.0005)) == 0.0
    assert threshold_of(np.random.default_rng(1).normal(0, 0.2, 5000)) == 0.0
    for middle in (-0.3, -0.15, 0.15, 0.3):
        assert threshold_of(np.random.default_rng(1).normal(middle, 0.15, 50_000)) == 0.0
    assert threshold_of(np.empty(0)) == 0.0
    assert threshold_of(np.full(50, np.nan)) == 0.0


def test_threshold_stays_in_its_window():
    """Kinds far off to one side give the end of the window."""
    values = two_kinds(0.5, wet=(0.9, 0.02), dry=(-0.05, 0.02))
    index = water_index("mndwi")
    assert 0.28 < threshold_of(values) <= index.window[1]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.lists(st.integers(0, 500), max_size=4))
def test_histograms_add_up(seed, cuts):
    """Counts of parts in any order are those of the whole; values beyond the range count at its ends."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, 500)
    values[rng.random(500) < 0.1] = np.nan
    clear, index = rng.random(500) < 0.8, water_index("ndwi")
    whole = histogram(values, clear, index)
    edges = [0, *sorted(cuts), 500]
    parts = [histogram(values[a:b], clear[a:b], index) for a, b in pairwise(edges)]
    np.testing.assert_array_equal(added(parts[::-1]), whole)
    assert whole.sum() == (clear & np.isfinite(values)).sum()
    assert whole.size == BINS
