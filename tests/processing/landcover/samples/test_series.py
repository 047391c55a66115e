"""Labelled series: the value itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from terracube.core.errors import ConflictError, InputError, LeftOut
from terracube.processing.landcover.nomenclature import load_nomenclature
from terracube.processing.landcover.samples import Series, concatenate, make_series


def some(n: int = 3, **known: Any) -> Series:
    """Make n samples of two dates and two bands, all different."""
    values = np.arange(n * 4, dtype="float64").reshape(n, 2, 2)
    return make_series(values, [0, 16], ["red", "nir"], np.arange(n) % 2 + 1, **known)


def test_neutral_values() -> None:
    """What is not told is neutral: own groups, weight 1, no region, no place, no date."""
    found = some()
    assert len(found) == 3
    assert found.values.dtype == np.float32
    assert found.classes == {1: 2, 2: 1}
    assert found.groups.tolist() == [0, 1, 2]
    assert found.sample.tolist() == ["0", "1", "2"]
    assert np.isnan(found.lon).all()
    assert np.isnat(found.start).all()
    assert found.nomenclature is None


def test_kernels_get_pixels_innermost() -> None:
    """(T, B, n), contiguous, the same numbers."""
    found = some()
    assert found.series.flags.c_contiguous
    assert np.array_equal(found.series.transpose(2, 0, 1), found.values)


def test_take_and_select() -> None:
    """Samples by number or flag, bands by name; what belongs to a sample goes with it."""
    found = some(static=(("slope", np.array([1, 2, 3], "float32")),), region=["a", "b", "c"])
    assert found.take([2, 0]).sample.tolist() == ["2", "0"]
    assert found.take(np.array([False, True, False])).region.tolist() == ["b"]
    assert found.take([1]).static[0][1].tolist() == [2]
    assert np.array_equal(found.select(["nir"]).values, found.values[..., 1:])
    with pytest.raises(InputError, match="lack a band"):
        found.select(["blue"])
    with pytest.raises(InputError, match="different names"):
        found.take([0, 0])


def test_table_is_date_major() -> None:
    """Features are named by band and day, in the order of the values."""
    table, names = some().table()
    assert names == ("red_d000", "nir_d000", "red_d016", "nir_d016")
    assert table[1].tolist() == [4, 5, 6, 7]
    close = make_series(np.zeros((1, 2, 1)), [1.1, 1.2], ["red"], [1])
    assert close.table()[1] == ("red_d001.100", "red_d001.200")


def test_concatenate_keeps_groups_apart() -> None:
    """Groups of two sets with the same numbers are different groups."""
    oso = load_nomenclature("oso-23")
    left = LeftOut("x", "gone")
    one = some(groups=[5, 5, 9], nomenclature=oso, left_out=(left,))
    two = some(groups=[5, 5, 9], sample=["a", "b", "c"], nomenclature=oso)
    both = concatenate(one, two)
    assert both.groups.tolist() == [0, 0, 1, 2, 2, 3]
    assert both.left_out == (left,)
    assert np.array_equal(both.take([3, 4, 5]).values, two.values)
    assert len(concatenate(one)) == 3


def test_concatenate_refuses_what_differs() -> None:
    """Other bands, days, CRS or meaning of codes, the same names, or nothing at all."""
    one = some()
    other = some(sample=["a", "b", "c"])
    with pytest.raises(ConflictError, match="bands"):
        concatenate(one, other.select(["nir", "red"]))
    with pytest.raises(ConflictError, match="days"):
        concatenate(one, make_series(other.values, [0, 17], ["red", "nir"], [1, 1, 1], sample=["a", "b", "c"]))
    with pytest.raises(ConflictError, match="crs"):
        concatenate(one, some(sample=["a", "b", "c"], crs="EPSG:32633"))
    with pytest.raises(ConflictError, match="nomenclature"):
        concatenate(one, some(sample=["a", "b", "c"], nomenclature=load_nomenclature("oso-23")))
    with pytest.raises(InputError, match="different names"):
        concatenate(one, one)
    with pytest.raises(InputError, match="no series"):
        concatenate()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"values": np.zeros((2, 2, 2))}, "values"),
        ({"days": [16, 0]}, "days"),
        ({"days": [0, np.nan]}, "days"),
        ({"bands": ["red", "red"]}, "bands"),
        ({"labels": [1.5, 1, 1]}, "labels"),
        ({"labels": [2**40, 1, 1]}, "labels"),
        ({"groups": [1]}, "groups"),
        ({"weight": [0, 1, 1]}, "weight"),
        ({"sample": ["a", "a", "b"]}, "sample"),
        ({"static": (("slope", np.zeros(2, "float32")),)}, "static slope"),
        ({"colour": 1}, "no such field"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], told: str) -> None:
    """Every field is checked, and named."""
    told_of: dict[str, Any] = {
        "values": np.zeros((3, 2, 2)), "days": [0, 16], "bands": ["red", "nir"], "labels": [1, 1, 2],
    }  # fmt: skip
    told_of |= change
    with pytest.raises(InputError, match=told):
        make_series(**told_of)
