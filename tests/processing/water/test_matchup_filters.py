"""Filters of match-ups: each rule by itself, on boxes whose answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from terracube.core.errors import InputError, MetadataError
from terracube.processing.water.masks.flags import BITS
from terracube.processing.water.matchups.choice import nearest_once, shared_pixels
from terracube.processing.water.matchups.filters import (
    BAILEY_WERDELL,
    Filters,
    box_statistics,
    enough,
    valid_pixels,
    within,
)
from terracube.processing.water.matchups.units import conversion_factor, unit_of

ALL = np.ones((1, 3, 3), bool)


def test_statistics_written_a_second_time() -> None:
    """Mean, deviation, median and filter are those of numpy on the valid pixels."""
    values = np.random.default_rng(5).normal(10, 2, (20, 5, 5))
    valid = np.random.default_rng(6).random((20, 5, 5)) < 0.7
    found = box_statistics(values, valid)
    for at in range(20):
        own = values[at][valid[at]]
        kept = own[np.abs(own - own.mean()) <= 1.5 * own.std(ddof=1)]
        assert found.valid[at] == own.size
        assert found.mean[at] == pytest.approx(own.mean())
        assert found.std[at] == pytest.approx(own.std(ddof=1))
        assert found.median[at] == pytest.approx(np.median(own))
        assert found.filtered[at] == kept.size
        assert found.filtered_mean[at] == pytest.approx(kept.mean())
        assert found.scatter[at] == pytest.approx(kept.std(ddof=1) / kept.mean())


def test_boxes_of_one_pixel_and_of_none() -> None:
    """One pixel has no deviation; a box without a valid pixel has nothing, without a warning."""
    one = box_statistics(np.array([[[4.0]]]), np.ones((1, 1, 1), bool))
    assert (one.valid[0], one.filtered_mean[0], one.median[0], one.centre[0]) == (1, 4, 4, 4)
    assert np.isnan([one.std[0], one.scatter[0]]).all()
    none = box_statistics(np.full((2, 3, 3), np.nan), np.ones((2, 3, 3), bool))
    assert none.valid.tolist() == [0, 0]
    assert np.isnan([none.mean, none.median, none.filtered_mean, none.scatter, none.centre]).all()
    assert box_statistics(np.empty((0, 3, 3)), np.empty((0, 3, 3), bool)).valid.size == 0


@given(arrays("float64", (1, 3, 3), elements=st.floats(0.01, 100)), st.floats(0.1, 50))
@settings(max_examples=30, deadline=None)
def test_the_filter_never_empties_a_box(values: np.ndarray, factor: float) -> None:
    """Some pixel is always within 1.5 deviations; a factor changes means by it and the scatter not at all."""
    one, other = box_statistics(values, ALL), box_statistics(values * factor, ALL)
    assert 1 <= one.filtered[0] <= 9
    assert one.filtered_mean[0] == pytest.approx(other.filtered_mean[0] / factor, rel=1e-6)
    assert values.min() * (1 - 1e-9) <= one.filtered_mean[0] <= values.max() * (1 + 1e-9)


def test_pixels_are_refused_by_flags_reasons_and_water() -> None:
    """Each companion makes its own pixel invalid; a flag that is not refused does not."""
    flags = np.array([1 << BITS["cloud"], 1 << BITS["near_land"], 0, 0, 0, 0], "uint16")
    reasons = np.array([0, 16, 4, 0, 0, 0], "uint8")
    water = np.array([1, 1, 1, 0, 255, 1], "uint8")
    values = np.array([1.0, 1, 1, 1, 1, np.nan])
    found = valid_pixels(values, flags=flags, reasons=reasons, water=water, filters=Filters())
    assert found.tolist() == [False, True, False, False, False, False]
    strict = Filters(refused_flags=("near_land",), refused_reasons=16)
    assert not valid_pixels(values, flags=flags, reasons=reasons, filters=strict)[1]


def test_limits() -> None:
    """Half of 9 is 5 pixels and of 25 is 13; what is not known passes a limit."""
    assert enough(np.array([4, 5]), 9, 0.5).tolist() == [False, True]
    assert enough(np.array([12, 13]), 25, 0.5).tolist() == [False, True]
    assert within(np.array([np.nan, 1.0, 3.0]), 2.0).tolist() == [True, True, False]
    assert within(np.array([9.0]), None).tolist() == [True]
    assert BAILEY_WERDELL.max_scatter == 0.15


CANDIDATES = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 1), st.integers(-3, 9), st.integers(0, 9), st.integers(0, 9)),
    max_size=25,
)


def table_of(candidates: list[tuple[int, ...]]) -> np.ndarray:
    """Give columns sample, scene, row, column, distance in time."""
    return np.array(candidates, "int64").reshape(-1, 5)


@given(CANDIDATES, st.sampled_from([1, 3, 5]))
@settings(max_examples=30, deadline=None)
def test_nothing_is_used_twice(candidates: list[tuple[int, ...]], apart: int) -> None:
    """No sample and no pixel is used by two, and who is left out lost to somebody at least as near."""
    table = table_of(candidates)
    sample, middle, distance = table[:, 0], table[:, 1:4], table[:, 4]
    by_sample, by_pixel, by_box = nearest_once(distance.astype("float64"), sample, middle, apart=apart)
    assert not ((by_sample & by_pixel) | (by_sample & by_box) | (by_pixel & by_box)).any()
    chosen = ~(by_sample | by_pixel | by_box)
    steps = np.abs(middle[:, None] - middle[None])
    same = (steps[..., 0] == 0) & (steps[..., 1:] < apart).all(axis=2)
    assert len(set(sample[chosen])) == chosen.sum() == same[np.ix_(chosen, chosen)].sum()
    for at in np.flatnonzero(~chosen):
        rivals = chosen & ((sample == sample[at]) if by_sample[at] else same[at])
        assert distance[rivals].min() <= distance[at]
        assert not by_pixel[at] or (chosen & (steps[at] == 0).all(axis=1)).any()


@given(CANDIDATES, st.sampled_from([1, 3, 5]), st.integers(0, 2**25 - 1))
@settings(max_examples=30, deadline=None)
def test_shared_pixels_are_counted(candidates: list[tuple[int, ...]], box: int, chosen: int) -> None:
    """Written a second time, with sets of pixels."""
    middle, shape = table_of(candidates)[:, 1:4], (7, 10)
    used = np.array([bool(chosen >> at & 1) for at in range(len(middle))], bool)
    half = range(-(box // 2), box // 2 + 1)
    boxes = [
        {(scene, row + down, col + right) for down in half for right in half} for scene, row, col in middle.tolist()
    ]
    seen = {(scene, row, col) for scene in (0, 1) for row in range(shape[0]) for col in range(shape[1])}
    wanted = []
    for at, own in enumerate(boxes):
        others = set().union(*(one for number, one in enumerate(boxes) if number != at and used[number]))
        wanted.append(len(own & others & seen))
    assert shared_pixels(middle, used, box=box, shape=shape).tolist() == wanted


@pytest.mark.parametrize(
    "field",
    [{"min_valid": 0.0}, {"min_valid": 1.5}, {"statistic": "mode"}, {"refused_flags": ("fog",)}, {"overlap": "often"}],
)
def test_filters_without_sense(field: dict[str, Any]) -> None:
    """Shares, statistics and flags that do not exist are refused."""
    with pytest.raises(InputError):
        Filters(**field)


@pytest.mark.parametrize(
    ("source", "target", "factor"),
    [
        ("ug/L", "mg m-3", 1.0),
        ("µg·L-1", "mg m-3", 1.0),
        ("mg L-1", "g m^-3", 1.0),
        ("mg L-1", "mg m-3", 1000.0),
        ("cm", "m", 0.01),
        ("%", "1", 0.01),
        ("FNU", "FNU", 1.0),
        ("1/m", "m-1", 1.0),
    ],
)
def test_units(source: str, target: str, factor: float) -> None:
    """Units in the ways they are written become each other by their factor, exactly 1 where they are the same."""
    found = conversion_factor(source, target)
    assert found == pytest.approx(factor, rel=1e-12)
    assert factor != 1 or found == 1.0


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("NTU", "FNU"),
        ("mg m-3", "m"),
        ("", "m"),
        ("furlong", "m"),
        ("m" * 100, "m"),
        ("__import__('os')", "m"),
        ("2 m", "m"),
    ],
)
def test_units_that_cannot_be_compared(source: str, target: str) -> None:
    """NTU is not FNU; an unknown, empty or hostile text is no unit."""
    with pytest.raises(MetadataError):
        conversion_factor(source, target)
    assert unit_of("1") == unit_of("mg mg-1")
