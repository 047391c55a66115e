"""Near ranges are asked for together, and nothing is lost on the way."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terracube.core.errors import AssetError, HostileInputError
from terracube.cubes.access.ranges import MOST, check_range, coalesce

RANGES = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 300)).map(lambda p: (p[0], p[0] + p[1])), max_size=30)


@given(RANGES, st.integers(0, 200), st.integers(1, 3000))
def test_every_range_lies_in_exactly_one_span(ranges, gap, longest):
    """Each range that is not empty is a part of one span, and the span tells so."""
    spans = coalesce(ranges, gap=gap, longest=longest)
    homes = [member for span in spans for member in span.members]
    assert sorted(homes) == [k for k, (start, stop) in enumerate(ranges) if start < stop]
    for span in spans:
        for member in span.members:
            assert span.start <= ranges[member][0] < ranges[member][1] <= span.stop


@given(RANGES, st.integers(0, 200), st.integers(1, 3000))
def test_spans_are_tight_ordered_and_bounded(ranges, gap, longest):
    """A span starts and ends with a wanted byte, spares gaps wider than allowed, and is long only for one range."""
    spans = coalesce(ranges, gap=gap, longest=longest)
    assert [span.start for span in spans] == sorted(span.start for span in spans)
    for span in spans:
        inside = sorted(ranges[member] for member in span.members)
        assert span.start == inside[0][0]
        assert span.stop == max(stop for _, stop in inside)
        reached = inside[0][1]
        for start, stop in inside[1:]:
            assert start - reached <= gap
            reached = max(reached, stop)
        assert span.stop - span.start <= longest or len(span.members) == 1


@given(RANGES)
def test_without_a_bound_spans_do_not_touch(ranges):
    """Where length does not matter, no two spans are nearer than the gap."""
    spans = coalesce(ranges, gap=10, longest=1 << 40)
    for before, after in pairwise(spans):
        assert after.start - before.stop > 10


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 4), (0, 11), (11, 11)])
def test_ranges_outside_the_file_are_told(start, stop):
    """A range that no file of that size has is the fault of the file."""
    with pytest.raises(AssetError, match="ends before"):
        check_range(start, stop, 10, "x.tif")


def test_giant_ranges_are_refused():
    """A header cannot make us read more than a bound at once, however large the file says it is."""
    with pytest.raises(HostileInputError, match="too many bytes"):
        check_range(0, MOST + 1, MOST * 4, "x.tif")
