"""Dividing samples: groups stay whole, strata keep their share, order means nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import InputError
from terracube.processing.landcover.samples import Series, balance, blocks, make_series, read_series, split

MATO_GROSSO = "landcover/mato-grosso-modis/br_mt_1_8K_9classes_6bands.csv.gz"


def labelled(labels: list[int], groups: list[int] | None = None, region: list[str] | None = None) -> Series:
    """Make series of nothing but labels."""
    names = [f"s{number}" for number in range(len(labels))]
    return make_series(
        np.zeros((len(labels), 1, 1)), [0], ["red"], labels, groups=groups, region=region, sample=names
    )  # fmt: skip


cases = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 8), st.sampled_from(["", "a"])), min_size=2, max_size=40)


@settings(max_examples=30, deadline=None)
@given(cases, st.integers(0, 5), st.sampled_from([0.1, 0.3, 0.5, 0.9]))
def test_parts_are_whole_and_do_not_depend_on_order(
    rows: list[tuple[int, int, str]], seed: int, fraction: float
) -> None:
    """Each sample is in one part, no group in both, and shuffled samples are divided alike."""
    labels, groups, region = (list(column) for column in zip(*rows, strict=True))
    every = labelled(labels, groups, region)
    try:
        training, validation = split(every, fraction=fraction, seed=seed)
    except InputError:
        assert len(set(zip(labels, region, strict=True))) >= 1
        return
    assert set(training.sample) | set(validation.sample) == set(every.sample)
    assert len(training) + len(validation) == len(every)
    assert not set(training.groups) & set(validation.groups)
    order = np.random.default_rng(seed).permutation(len(every))
    again = split(every.take(order), fraction=fraction, seed=seed)
    assert set(again[1].sample) == set(validation.sample)


def test_each_stratum_keeps_its_share() -> None:
    """Of ten groups of every class and region three are drawn; a class of one group is for training."""
    labels = [1] * 10 + [2] * 20 + [3]
    region = ["n"] * 10 + ["n"] * 10 + ["s"] * 10 + ["n"]
    training, validation = split(labelled(labels, region=region), fraction=0.3)
    assert validation.classes == {1: 3, 2: 6}
    assert validation.region.tolist().count("s") == 3
    assert training.classes[3] == 1


def test_another_seed_draws_others() -> None:
    """Seeds differ, the same seed does not; drawing in one class says nothing of another."""
    every = labelled([1] * 30 + [2] * 30)
    parts = [set(split(every, seed=seed)[1].sample) for seed in (0, 0, 1)]
    assert parts[0] == parts[1] != parts[2]
    alone = set(split(every.take(np.arange(30)), seed=0)[1].sample)
    assert alone == {name for name in parts[0] if int(name[1:]) < 30}


def test_groups_of_several_classes() -> None:
    """A group belongs to its most frequent class, and stays whole."""
    every = labelled([1, 1, 2, 1, 2, 2], groups=[0, 0, 0, 1, 2, 3])
    training, validation = split(every, fraction=0.5)
    assert not set(training.groups) & set(validation.groups)


def test_by_sample_or_by_block() -> None:
    """Samples alone, or numbers that are given, are what is not divided."""
    every = labelled([1, 1, 1, 1], groups=[0, 0, 0, 0])
    assert len(split(every, fraction=0.5, by="sample")[1]) == 2
    assert len(split(every, fraction=0.5, by=[7, 7, 7, 9])[1]) in (1, 3)
    assert len(split(every, fraction=0.5, by=[7, 7, 9, 9], stratify=())[1]) == 2
    with pytest.raises(InputError, match="would be empty"):
        split(every)


@pytest.mark.parametrize(
    ("choice", "told"),
    [({"fraction": 1.0}, "fraction"), ({"by": "plot"}, "by"), ({"by": [1]}, "by"), ({"stratify": "year"}, "stratify")],
)
def test_unknown_choices(choice: dict[str, object], told: str) -> None:
    """A choice that there is not is named."""
    with pytest.raises(InputError, match=told):
        split(labelled([1, 1]), **choice)  # type: ignore[arg-type]  # wrong on purpose


def test_blocks_are_half_degrees() -> None:
    """The number of a block is that of its corner, on all sides of the meridians, whoever else is there."""
    lon, lat = np.meshgrid(np.arange(-1.25, 1.5, 0.5), np.arange(-0.75, 1, 0.5))
    numbers = blocks(lon.ravel(), lat.ravel(), 0.5)
    assert len(np.unique(numbers)) == lon.size
    assert blocks([0.1], [0.1], 0.5)[0] == blocks([0.4], [0.49], 0.5)[0]
    assert np.array_equal(blocks(lon.ravel()[:3], lat.ravel()[:3], 0.5), numbers[:3])


@pytest.mark.parametrize(("lon", "size"), [(np.nan, 1.0), (0.0, 0.0), (0.0, np.inf), (1e300, 1e-300)])
def test_blocks_need_places(lon: float, size: float) -> None:
    """No place, no size, or a place beyond all numbers is refused."""
    with pytest.raises(InputError), np.errstate(over="ignore"):
        blocks([lon], [0.0], size)


def test_balance_takes_from_all_groups() -> None:
    """A large polygon gives as many as a small one, as long as both have some."""
    every = labelled([1] * 12 + [2] * 2, groups=[0] * 10 + [1] * 2 + [2, 3])
    found = balance(every, most=4)
    assert found.classes == {1: 4, 2: 2}
    assert np.bincount(found.groups).tolist() == [2, 2, 1, 1]
    order = np.random.default_rng(0).permutation(len(every))
    assert set(balance(every.take(order), most=4).sample) == set(found.sample)


def test_balance_by_rule_and_by_weight() -> None:
    """The median and the smallest count; weights make classes weigh alike and the mean 1."""
    every = labelled([1] * 6 + [2] * 3 + [3])
    assert balance(every).classes == {1: 3, 2: 3, 3: 1}
    assert balance(every, most="smallest").classes == {1: 1, 2: 1, 3: 1}
    weighed = balance(every, most=None, weigh=True)
    assert len(weighed) == 10
    totals = [weighed.weight[weighed.labels == code].sum() for code in (1, 2, 3)]
    np.testing.assert_allclose(totals, 10 / 3)
    with pytest.raises(InputError, match="most"):
        balance(every, most=0)


def test_real_samples_keep_places_together(data_dir: Path) -> None:
    """Mato Grosso: 30 % of the places of every class; what lies at one place is in one part."""
    every = read_series(data_dir / MATO_GROSSO)
    training, validation = split(every, fraction=0.3, seed=3)
    assert not set(training.groups) & set(validation.groups)
    for code, count in every.classes.items():
        assert validation.classes[code] / count == pytest.approx(0.3, abs=0.12)
    places = {(x, y) for x, y in zip(training.lon, training.lat, strict=True)}
    assert not places & {(x, y) for x, y in zip(validation.lon, validation.lat, strict=True)}
