"""Change between two maps: codes, transitions, and an area of change that reference points give."""

from __future__ import annotations

import json

import geopandas
import numpy as np
import pytest
import rioxarray  # noqa: F401  registers the `.rio` accessor
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from terracube.core.errors import InputError
from terracube.processing.landcover.accuracy import design_sample, to_html
from terracube.processing.landcover.change import (
    ChangeClasses,
    change,
    change_classes,
    regroup,
    transitions,
    validate_change,
)
from terracube.processing.landcover.nomenclature import load_nomenclature


def place(values: ArrayLike, *, nodata: int | None = 0, left: float = 500_000.0) -> xr.DataArray:
    """Put codes on a grid."""
    codes = np.asarray(values)
    y, x = 5_100_000 - 10.0 * (np.arange(codes.shape[0]) + 0.5), left + 10.0 * (np.arange(codes.shape[1]) + 0.5)
    placed = xr.DataArray(codes, dims=("y", "x"), coords={"y": y, "x": x}, name="class")
    return (placed if nodata is None else placed.assign_attrs(nodata=nodata)).rio.write_crs("EPSG:32633")


def two_years(seed: int = 0, side: int = 150) -> tuple[xr.DataArray, ...]:
    """Make two true maps with 4 % of change, and two maps that err."""
    rng = np.random.default_rng(seed)
    first = rng.choice([1, 2, 3], (side, side), p=[0.2, 0.3, 0.5]).astype("uint8")
    second = np.where((rng.random(first.shape) < 0.08) & (first == 3), 1, first).astype("uint8")

    def spoil(truth: np.ndarray) -> np.ndarray:
        return np.where(rng.random(truth.shape) < 0.05, rng.choice([1, 2, 3], truth.shape), truth).astype("uint8")

    return tuple(place(one) for one in (first, second, spoil(first), spoil(second)))


def test_codes_and_missing() -> None:
    """From and to can be read from each code; where either map is missing, so is the change."""
    before, after = place([[1, 2, 0], [3, 3, 0]]), place([[1, 3, 2], [0, 999, 0]])
    found = change(before, after)
    np.testing.assert_array_equal(found, [[1001, 2003, -1], [-1, 3999, -1]])
    assert found.dtype == "int32"
    assert found.attrs["nodata"] == -1
    floats = change(before.where(before > 0), after.astype("float32"))
    np.testing.assert_array_equal(floats, found)


@settings(max_examples=6, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 20), st.integers(0, 99))
def test_lazy_is_the_same(y: int, x: int, other: int, seed: int) -> None:
    """Lazy maps in any chunks, alike or not, give the same change, lazily."""
    first, second = (place(one) for one in np.random.default_rng(seed).integers(0, 4, (2, 20, 17)).astype("uint8"))
    first[0, 0] = second[0, 0] = 1
    whole = change(first, second)
    lazy = change(first.chunk(y=y, x=x), second.chunk(y=other))
    assert lazy.chunks is not None
    xr.testing.assert_identical(lazy.compute(), whole)
    xr.testing.assert_identical(change(first, second.chunk(y=other)).compute(), whole)
    np.testing.assert_array_equal(transitions(first.chunk(y=y), second).pixels, transitions(first, second).pixels)


def test_transitions() -> None:
    """Rows are before, columns after; gains and losses balance; the table is sorted by size."""
    found = transitions(place([[1, 1, 1], [2, 2, 0]]), place([[1, 2, 2], [2, 3, 3]]))
    assert found.codes == (1, 2, 3)
    np.testing.assert_array_equal(found.pixels, [[1, 2, 0], [0, 1, 1], [0, 0, 0]])
    assert found.areas.sum() == pytest.approx(0.05)
    assert found.changed == pytest.approx(0.03)
    np.testing.assert_allclose(found.gains, [0, 0.02, 0.01])
    np.testing.assert_allclose(found.losses, [0.02, 0.01, 0])
    table = found.table(load_nomenclature("oso-23"))
    assert table["pixels"].tolist() == [2, 1, 1, 1]
    assert (table["before_name"][0], table["after_name"][0]) == ("Dense built-up area", "Diffuse built-up area")
    assert table["share"].sum() == pytest.approx(1)
    json.dumps(found.as_dict(), allow_nan=False)


def test_maps_that_do_not_fit() -> None:
    """Other pixels, and codes above 999, are refused."""
    with pytest.raises(InputError, match="different pixels"):
        change(place([[1, 1], [1, 1]]), place([[1, 1], [1, 1]], left=500_003.0))
    with pytest.raises(InputError, match="different pixels"):
        change(place([[1, 1], [1, 1]]), place([[1, 1], [1, 1], [1, 1]]))
    big = np.array([[1, 1000], [1, 1]], "uint16")
    with pytest.raises(InputError, match="does not fit"):
        change(place(big), place(np.ones((2, 2), "uint16"))).compute()
    with pytest.raises(InputError, match="holds no class"):
        transitions(place([[1, 0], [0, 0]]), place([[0, 1], [1, 1]]))


def test_few_classes_of_change() -> None:
    """Large transitions have a class of their own, small ones go together; maps and pairs are coded alike."""
    _, _, before, after = two_years()
    found = transitions(before, after)
    classes = change_classes(found, least=0.02)
    names = [style.name for style in classes.styles.values()]
    assert names == [
        "stable class 1", "stable class 2", "stable class 3", "class 3 to class 1", "other change",
        "stable, other classes",
    ]  # fmt: skip
    coded, few = change(before, after), regroup(change(before, after), classes)
    expected = [classes.of(*divmod(code, 1000)) for code in coded.values.ravel().tolist()]
    np.testing.assert_array_equal(few.values.ravel(), expected)
    xr.testing.assert_identical(regroup(coded.chunk(y=40), classes).compute(), few)
    assert few.attrs["nodata"] == 0
    assert [classes.is_change(code) for code in classes.styles] == [False, False, False, True, True, False]


def test_own_groups() -> None:
    """Groups that are told are taken; a pair in two of them, or one that is no change, is refused."""
    _, _, before, after = two_years()
    found = transitions(before, after)
    classes = change_classes(found, groups={"built": [(2, 1), (3, 1)]})
    assert classes.of(2, 1) == classes.of(3, 1)
    assert classes.of(1, 3) == classes.other
    assert classes.of(9, 9) == classes.unknown_stable
    for wrong in ({"a": [(1, 2)], "b": [(1, 2)]}, {"a": [(1, 1)]}):
        with pytest.raises(InputError, match="two groups"):
            change_classes(found, groups=wrong)


def test_missing_pixels_stay_missing() -> None:
    """Where there is no change code there is no class of change."""
    before, after = place([[1, 0], [2, 1]]), place([[2, 1], [2, 1]])
    classes = change_classes(transitions(before, after), least=0)
    assert regroup(change(before, after), classes).values.tolist()[0][1] == 0


def sampled(classes: ChangeClasses, maps: tuple[xr.DataArray, ...]) -> geopandas.GeoDataFrame:
    """Draw points within classes of change and label them with the truth of both dates."""
    first, second, before, after = maps
    points = design_sample(regroup(change(before, after), classes), 900, seed=2, minimum=120)
    at = {"x": xr.DataArray(points.geometry.x), "y": xr.DataArray(points.geometry.y)}
    return points.assign(before=first.sel(**at).values.astype(int), after=second.sel(**at).values.astype(int))


def test_true_area_of_change() -> None:
    """Two maps that err show more than twice the change there is; the points tell the true area within errors."""
    maps = two_years()
    first, second, before, after = maps
    truth = float((first != second).sum()) * 0.01
    classes = change_classes(transitions(before, after), least=0.02)
    points = sampled(classes, maps)
    found = validate_change(before, after, points, classes)
    assert found.mapped > 1.8 * truth
    assert abs(found.changed.value - truth) < 3 * found.changed.error
    assert found.changed.high < found.mapped
    assert found.report.estimate is not None
    assert found.mapped == pytest.approx(found.transitions.changed)
    assert "changed in truth" in found.report.notes[0]
    json.dumps(found.as_dict(), allow_nan=False)
    assert "class 3 to class 1" in to_html(found.report)


def test_labels_of_change() -> None:
    """Labels may be names; points that lack one are left out; missing columns and bare names are refused."""
    maps = two_years()
    _, _, before, after = maps
    classes = change_classes(transitions(before, after), least=0.02)
    points = sampled(classes, maps)
    expected = validate_change(before, after, points, classes).changed
    oso = load_nomenclature("oso-23")
    named = points.assign(**{name: [oso.of(code).name for code in points[name]] for name in ("before", "after")})
    assert validate_change(before, after, named, classes, nomenclature=oso).changed == expected
    with pytest.raises(InputError, match="labels are names"):
        validate_change(before, after, named, classes)
    with pytest.raises(InputError, match="no such column"):
        validate_change(before, after, points, classes, labels=("then", "now"))
    holes = points.assign(before=points["before"].astype("float64").mask(np.arange(len(points)) < 5))
    assert validate_change(before, after, holes, classes).report.left_out == {"without a label": 5}


def test_no_change_at_all() -> None:
    """Two equal maps and points that agree: no change, no error."""
    first, *_ = two_years()
    classes = change_classes(transitions(first, first))
    points = design_sample(regroup(change(first, first), classes), 300, seed=0)
    at = {"x": xr.DataArray(points.geometry.x), "y": xr.DataArray(points.geometry.y)}
    codes = first.sel(**at).values.astype(int)
    found = validate_change(first, first, points.assign(before=codes, after=codes), classes)
    assert (found.changed.value, found.mapped) == (0, 0)
