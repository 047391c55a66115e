"""Screening: too few samples, and those that look wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from terracube.core.errors import BudgetError, InputError
from terracube.processing.landcover.nomenclature import load_nomenclature
from terracube.processing.landcover.samples import Series, check_classes, make_series, outliers, read_series
from terracube.processing.landcover.samples import screen as module


def clouds(seed: int = 0, size: int = 40) -> Series:
    """Make two classes well apart in two features."""
    random = np.random.default_rng(seed)
    values = np.concatenate([random.normal(0, 1, (size, 2, 1)), random.normal(8, 1, (size, 2, 1))])
    return make_series(values, [0, 10], ["red"], [1] * size + [2] * size)


def test_clean_samples_are_not_suspect() -> None:
    """Neighbours of well separated classes agree."""
    found = outliers(clouds())
    assert not found["suspect"].any()
    assert (found["own_share"] == 1).all()
    assert (found["reason"] == "").all()


def test_wrong_labels_are_found() -> None:
    """A label that was changed is reported, with the one its neighbours have, and nothing is dropped."""
    every = clouds()
    labels = every.labels.copy()
    labels[[3, 50]] = [2, 1]
    found = outliers(replace(every, labels=labels))
    assert len(found) == len(every)
    assert found.index[found["suspect"]].tolist() == [3, 50]
    assert found["nearest_label"][[3, 50]].tolist() == [1, 2]
    assert found["reason"][3].startswith("its neighbours have other labels")


def test_far_samples_are_found() -> None:
    """A sample like no other is far from its class, though its neighbours have its label."""
    every = clouds()
    values = every.values.copy()
    values[0] = -40
    found = outliers(replace(every, values=values))
    assert found.index[found["suspect"]].tolist() == [0]
    assert found["reason"][0] == "it lies far from its class"


def test_own_group_does_not_vote() -> None:
    """Ten wrong pixels of one polygon cannot vouch for each other."""
    every = clouds()
    labels, groups = every.labels.copy(), every.groups.copy()
    labels[:10], groups[:10] = 2, 0
    found = outliers(replace(every, labels=labels, groups=groups), neighbours=9)
    assert found["suspect"][:10].all()


def test_order_means_nothing() -> None:
    """Shuffled samples get the same report, also where some are equally near."""
    values = np.repeat(np.arange(6.0), 5).reshape(-1, 1, 1)
    every = make_series(values, [0], ["red"], np.arange(30) % 3 + 1)
    order = np.random.default_rng(1).permutation(30)
    one = outliers(every, neighbours=4).set_index("sample")
    two = outliers(every.take(order), neighbours=4).set_index("sample")
    assert one.equals(two.loc[one.index])


def test_small_classes_and_single_groups() -> None:
    """Where there is nobody to ask nothing is suspected but by what is there."""
    every = make_series(np.arange(4.0).reshape(-1, 1, 1), [0], ["red"], [1, 1, 2, 2], groups=[0, 0, 0, 0])
    found = outliers(every)
    assert found["distance"].isna().all()
    assert (found["own_share"] == 0).all()


def test_what_cannot_be_screened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gaps, another number of rows, unusable numbers, and too many samples are refused."""
    every = clouds()
    gappy = every.values.copy()
    gappy[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="missing values"):
        outliers(replace(every, values=gappy))
    with pytest.raises(InputError, match="features"):
        outliers(every, np.zeros((3, 2)))
    with pytest.raises(InputError, match="screened"):
        outliers(every, neighbours=0)
    monkeypatch.setattr(module, "_MOST_SAMPLES", 10)
    with pytest.raises(BudgetError, match="balance"):
        outliers(every)


def test_constant_features_are_no_trouble() -> None:
    """What does not vary, and classes whose members are all alike, divide by nothing."""
    values = np.zeros((8, 2, 1))
    values[4:, 0] = 1
    found = outliers(make_series(values, [0, 1], ["red"], [1] * 4 + [2] * 4), neighbours=2)
    assert not found["suspect"].any()


def test_real_samples_with_wrong_labels(data_dir: Path) -> None:
    """Mato Grosso: of 100 labels changed at random more than 85 are found, and under 5 % of the others suspected."""
    every = read_series(data_dir / "landcover/mato-grosso-modis/br_mt_1_8K_9classes_6bands.csv.gz")
    random = np.random.default_rng(0)
    wrong = random.choice(len(every), 100, replace=False)
    labels = every.labels.copy()
    labels[wrong] = (labels[wrong] - 1 + random.integers(1, 9, 100)) % 9 + 1
    suspect = outliers(replace(every, labels=labels))["suspect"].to_numpy()
    assert suspect[wrong].mean() > 0.85
    assert np.delete(suspect, wrong).mean() < 0.05


def test_too_little_to_learn_from() -> None:
    """One class, a class with one sample, and a class without any are told by name."""
    oso = load_nomenclature("oso-23")
    every = make_series(np.zeros((3, 1, 1)), [0], ["red"], [10, 10, 23], nomenclature=oso)
    with pytest.raises(InputError, match="water: 1"):
        check_classes(every)
    with pytest.raises(InputError, match="tell apart"):
        check_classes(every.take([0, 1]))
    with pytest.raises(InputError, match=r"no samples.*rice, grassland"):
        check_classes(every, required=(10, 11, 13))
    check_classes(every, least=1, required=(23,))
    check_classes(make_series(np.zeros((4, 1, 1)), [0], ["red"], [1, 1, 2, 2]))
