"""Regions of equal code: labels, joins, borders and sums, against independent references."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from terracube.processing.kernels.labels import borders, components, joined, sums

MAPS = arrays("int32", array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 3))
FEW = settings(max_examples=30, deadline=None)
SQUARE, CROSS = np.ones((3, 3)), ndimage.generate_binary_structure(2, 1)


def spiral(turns: int) -> np.ndarray:
    """A path of one pixel that winds inwards: one region that leaves and enters every chunk."""
    size = 4 * turns + 1
    plane = np.ones((size, size), "int32")
    y, x, step = 0, 0, 0
    directions = [(0, 1), (1, 0), (0, -1), (-1, 0)]
    length = size - 1
    plane[0, 0] = 2
    while length > 0:
        dy, dx = directions[step % 4]
        for _ in range(length):
            y, x = y + dy, x + dx
            plane[y, x] = 2
        step += 1
        if step >= 3 and step % 2:
            length -= 2
    return plane


@FEW
@given(MAPS, st.booleans())
def test_labels_are_those_of_scipy(codes: np.ndarray, eight: bool) -> None:
    """Each class labelled on its own by scipy gives the same regions."""
    labels, count = components(codes, nodata=0, eight=eight)
    total = 0
    for code in range(1, 4):
        theirs, number = ndimage.label(codes == code, SQUARE if eight else CROSS)
        total += number
        pairs = {(int(a), int(b)) for a, b in zip(labels[theirs > 0], theirs[theirs > 0], strict=True)}
        assert len(pairs) == number == len({pair[0] for pair in pairs})
    assert count == total
    assert ((labels == 0) == (codes == 0)).all()


@FEW
@given(MAPS)
def test_labels_follow_the_first_pixels(codes: np.ndarray) -> None:
    """Labels run from 1 without a gap, in the order in which regions begin."""
    labels, count = components(codes)
    _, first = np.unique(labels, return_index=True)
    assert (np.diff(first) > 0).all()
    assert sorted(set(labels.ravel())) == list(range(1, count + 1))


def test_a_spiral_is_one_region() -> None:
    """The longest possible chain of unions ends in one label."""
    labels, count = components(spiral(5))
    assert len(set(labels[spiral(5) == 2])) == 1
    assert count == ndimage.label(spiral(5) == 1)[1] + 1


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (1, 1)])
def test_small_maps(shape: tuple[int, int]) -> None:
    """Nothing and a single pixel are labelled too."""
    labels, count = components(np.full(shape, 4, "int32"))
    assert labels.shape == shape
    assert count == labels.size
    assert components(np.full(shape, 4, "int32"), nodata=4)[1] == 0


@FEW
@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30))
def test_joins_are_connected_components(pairs: list[tuple[int, int]]) -> None:
    """Things are joined as scipy's graph says, each under the lowest number."""
    one, two = (np.array([pair[side] for pair in pairs], "int64") for side in (0, 1))
    found = joined(20, one, two)
    _, theirs = connected_components(coo_array((np.ones(len(pairs)), (one, two)), (20, 20)), directed=False)
    for at in range(20):
        assert found[at] == np.flatnonzero(theirs == theirs[at])[0]


@FEW
@given(MAPS, st.integers(0, 2**16 - 1))
def test_borders_are_counted_side_by_side(codes: np.ndarray, bits: int) -> None:
    """Every side between a counted region and one with a target is counted once."""
    labels, count = components(codes, nodata=0)
    counted = np.array([bits >> number % 16 & 1 for number in range(count + 1)], bool)
    target = np.array([(number * 5 + bits) % 4 - 1 for number in range(count + 1)], "int32")
    wanted: dict[tuple[int, int], int] = {}
    for here, there in [(labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])]:
        for one, two in [*zip(here.flat, there.flat, strict=True), *zip(there.flat, here.flat, strict=True)]:
            if one and two and one != two and counted[one] and target[two] >= 0:
                wanted[int(one), int(target[two])] = wanted.get((int(one), int(target[two])), 0) + 1
    region, beyond, sides = borders(labels, counted, target, 3)
    assert dict(zip(zip(region.tolist(), beyond.tolist(), strict=True), sides.tolist(), strict=True)) == wanted
    assert list(wanted) == [] or sorted(wanted) == list(zip(region.tolist(), beyond.tolist(), strict=True))


def test_sums_leave_out_missing_values() -> None:
    """Sums are whole numbers of steps; NaN is neither added nor counted."""
    labels = np.array([[1, 1, 2, 0]], "int32")
    total, number = sums(labels, np.array([[0.5, np.nan, -0.25, 9]], "float32"), 2, 4.0)
    assert total[1:].tolist() == [2, -1]
    assert number[1:].tolist() == [1, 1]
