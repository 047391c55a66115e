"""One axis of days for samples of different years."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import BudgetError, ConflictError, InputError
from terracube.processing.landcover.samples import season_start
from terracube.processing.landcover.samples.align import SAME_DATE, blank, common_days


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.lists(st.integers(0, 4000).map(lambda day: day / 10), min_size=1, max_size=12, unique=True),
        min_size=1, max_size=6,
    ),
)  # fmt: skip
def test_axis_keeps_every_observation_apart(samples: list[list[float]]) -> None:
    """The axis rises, no observation moves by more than half a day, no sample has two at one date, order is nothing."""
    owner = np.repeat(np.arange(len(samples)), [len(days) for days in samples])
    days = np.concatenate([np.array(one) for one in samples])
    axis, place = common_days(owner, days)
    assert (np.diff(axis) > 0).all()
    assert (np.abs(axis[place] - days) <= SAME_DATE / 2 + 1e-9).all()
    assert len(set(zip(owner.tolist(), place.tolist(), strict=True))) == len(days)
    order = np.random.default_rng(len(days)).permutation(len(days))
    again, moved = common_days(owner[order], days[order])
    assert np.array_equal(axis, again)
    assert np.array_equal(place[order], moved)


def test_near_days_of_one_sample_stay() -> None:
    """Two satellites on following days are two dates, for all samples."""
    axis, place = common_days(np.array([0, 0, 1]), np.array([10.0, 11.0, 10.5]))
    assert axis.tolist() == [10.0, 10.5, 11.0]
    assert place.tolist() == [0, 2, 1]


def test_twice_at_one_time_is_a_conflict() -> None:
    """Which of two observations is right cannot be known."""
    with pytest.raises(ConflictError, match="sample number 4"):
        common_days(np.array([4, 4]), np.array([10.0, 10.0]))


def test_seasons_begin_on_their_day() -> None:
    """The season of a day is the one that holds it, over leap years and the change of year."""
    times = np.array(["2016-02-29", "2016-03-01", "2016-12-31", "2015-03-01T23:59"], "datetime64[m]")
    assert season_start(times, "03-01").astype(str).tolist() == ["2015-03-01", "2016-03-01", "2016-03-01", "2015-03-01"]


@pytest.mark.parametrize("text", ["02-29", "13-01", "1-1", "2018-01-01", "aa-bb", "", "\u0660\u0661-01"])
def test_no_day_of_the_year(text: str) -> None:
    """A day that not every year has, or that is none, is refused."""
    with pytest.raises(InputError, match="no day of the year"):
        season_start(np.array(["2018-01-01"], "datetime64[D]"), text)


def test_series_beyond_memory_are_refused() -> None:
    """The size is told before anything is made."""
    with pytest.raises(BudgetError, match="too large"):
        blank(1_000_000_000, 100, 10)
