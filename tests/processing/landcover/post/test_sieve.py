"""The sieve: its rule against a plain reference, chunks that never show, GDAL where the rules agree."""

import pickle
from collections.abc import Callable

import numpy as np
import pytest
import rasterio.features
import xarray as xr
from dask.base import tokenize
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from terracube.core.errors import InputError, MetadataError
from terracube.processing.landcover.post import minimum_mapping_unit, sieve, sieve_array
from terracube.processing.landcover.post._passes import Rule, _table

Placer = Callable[..., xr.DataArray]
MAPS = arrays("uint8", array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 3))
SIDES = st.tuples(st.integers(1, 6), st.integers(1, 6))
FEW = settings(max_examples=30, deadline=None)


def plainly(codes: np.ndarray, size: int, eight: bool, groups: list[set[int]] | None = None) -> np.ndarray:
    """One pass of the rule, region by region."""
    regions = np.zeros(codes.shape, int)
    for code in set(codes.ravel()) - {0}:
        found, _ = ndimage.label(codes == code, np.ones((3, 3)) if eight else None)
        regions[found > 0] = found[found > 0] + regions.max()
    sizes = np.bincount(regions.ravel())
    out = codes.copy()
    for number in range(1, sizes.size):
        if sizes[number] >= size:
            continue
        votes: dict[int, int] = {}
        for y, x in zip(*np.nonzero(regions == number), strict=True):
            for ny, nx in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                inside = 0 <= ny < codes.shape[0] and 0 <= nx < codes.shape[1]
                if inside and regions[ny, nx] not in (0, number) and sizes[regions[ny, nx]] >= size:
                    code, own = int(codes[ny, nx]), int(codes[y, x])
                    if groups is None or any({code, own} <= group for group in groups):
                        votes[code] = votes.get(code, 0) + 1
        if votes:
            out[regions == number] = min(votes, key=lambda code: (-votes[code], code))
    return out


@FEW
@given(MAPS, st.integers(1, 7), st.sampled_from([4, 8]), st.booleans())
def test_the_rule(codes: np.ndarray, size: int, connectivity: int, grouped: bool) -> None:
    """One pass does what the rule says, region by region."""
    groups = [{1, 2}] if grouped else None
    found = sieve_array(codes, size, connectivity=connectivity, passes=1, groups=groups, nodata=0)
    np.testing.assert_array_equal(found, plainly(codes, size, connectivity == 8, groups))


@FEW
@given(MAPS, SIDES, st.integers(1, 9), st.sampled_from([4, 8]), st.integers(1, 3))
def test_chunks_do_not_show(
    placed: Placer, codes: np.ndarray, chunks: tuple[int, int], size: int, connectivity: int, passes: int
) -> None:
    """Any chunks give the same map to the bit, with the same coordinates and attributes."""
    options = {"connectivity": connectivity, "passes": passes}
    whole = sieve(placed(codes), size, **options)
    cut = sieve(placed(codes, chunks), size, **options)
    xr.testing.assert_identical(cut.compute(scheduler="synchronous"), whole)
    assert cut.data.chunks == placed(codes, chunks).data.chunks


def test_a_spiral_through_all_chunks(placed: Placer) -> None:
    """A path that crosses every chunk is one region of its whole length: one pixel more, and it goes."""
    plane = np.full((21, 21), 1, "uint8")
    for ring in range(0, 10, 2):
        plane[ring : 21 - ring, ring : 21 - ring] = 2
        plane[ring + 1 : 20 - ring, ring + 1 : 20 - ring] = 1
        plane[ring + 1, ring] = 1
        plane[ring + 2, ring + 1] = 2
    path = plane == 2
    assert ndimage.label(path)[1] == 1
    whole = np.pad(plane, 8, constant_values=3)
    for size, goes in ((int(path.sum()), False), (int(path.sum()) + 1, True)):
        found = sieve(placed(whole, (4, 5)), size, passes=1).compute(scheduler="threads").values
        np.testing.assert_array_equal(found, plainly(whole, size, False))
        assert (found[8:-8, 8:-8][path] == (3 if goes else 2)).all()


def test_gdal_agrees_on_specks() -> None:
    """Small regions, each within one large one, go where GDAL's sieve puts them."""
    rng = np.random.default_rng(0)
    codes = np.repeat(np.repeat(rng.integers(1, 5, (4, 4)), 20, 0), 20, 1).astype("uint8")
    for y in range(4, 80, 10):
        for x in range(4, 80, 10):
            codes[y : y + 2, x : x + rng.integers(1, 4)] = 9
    theirs = rasterio.features.sieve(codes, 7, connectivity=4)
    assert (theirs != codes).any()
    np.testing.assert_array_equal(sieve_array(codes, 7), theirs)


def test_equal_borders_go_to_the_lowest_code() -> None:
    """Of two neighbours with equal borders the lower code wins, wherever it lies."""
    for left, right in ((3, 5), (5, 3)):
        codes = np.array([[left, 7, right]] * 1).repeat(1, 0).astype("int16")
        codes = np.vstack([[left, left, 0, right, right], [left, left, 7, right, right], [left, left, 0, right, right]])
        assert sieve_array(codes.astype("int16"), 2, nodata=0)[1, 2] == 3


def test_further_passes_reach_further() -> None:
    """Small regions in a row are taken in from the large one, one by one."""
    codes = np.array([[1, 1, 1, 2, 3, 4]], "uint8")
    assert sieve_array(codes, 2, passes=1).tolist() == [[1, 1, 1, 1, 3, 4]]
    assert sieve_array(codes, 2, passes=3).tolist() == [[1, 1, 1, 1, 1, 1]]


@FEW
@given(MAPS, st.integers(2, 6))
def test_a_finished_map_stays(codes: np.ndarray, size: int) -> None:
    """After enough passes a further one changes nothing, and missing pixels are the same."""
    done = sieve_array(codes, size, passes=32, nodata=0)
    np.testing.assert_array_equal(sieve_array(done, size, nodata=0), done)
    np.testing.assert_array_equal(done == 0, codes == 0)
    assert set(done.ravel()) <= set(codes.ravel())


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32"])
def test_types_and_codes_are_kept(dtype: str) -> None:
    """Codes far apart and the type of the map come out as they went in."""
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    codes = np.array([[low, low, high], [low, low, low]]).astype(dtype)
    found = sieve_array(codes, 2)
    assert found.dtype == dtype
    assert (found == low).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (0, 4)])
def test_small_empty_and_uniform_maps(placed: Placer, shape: tuple[int, int]) -> None:
    """One pixel, one class and missing pixels alone stay what they are; so does no pixel."""
    for code in (0, 5):
        codes = np.full(shape, code, "uint8")
        np.testing.assert_array_equal(sieve_array(codes, 50, nodata=0), codes)
        if codes.size:
            cut = sieve(placed(codes, (1, 2)), 50)
            np.testing.assert_array_equal(cut.compute(scheduler="synchronous"), codes)


def test_mapping_unit_in_hectares(placed: Placer) -> None:
    """0.05 ha are five pixels of 10 m: five stay, four go."""
    codes = np.ones((6, 9), "uint8")
    codes[1, 1:6], codes[4, 1:5] = 2, 3
    found = minimum_mapping_unit(placed(codes), 0.05).values
    assert (found == 2).sum() == 5
    assert (found == 3).sum() == 0


@pytest.mark.parametrize("size", [2, 10, 1000])
def test_tables_grow_with_the_edge_alone(size: int) -> None:
    """What a chunk tells takes at most 150 bytes per pixel of its edge, in maps of noise of few and of many classes."""
    rng = np.random.default_rng(size)
    for classes in (2, 9, 250):
        codes = rng.integers(1, classes + 1, (256, 256)).astype("uint8")
        table = pickle.dumps(_table(codes, Rule(size, False, None)))
        assert len(table) < 150 * 4 * 256


def test_nothing_is_computed_early_and_names_are_stable(untouchable: Placer, placed: Placer) -> None:
    """A lazy map stays lazy, and the same request has the same keys."""
    lazy = sieve(untouchable((9, 9), "uint8"), 4, passes=2)
    assert lazy.dtype == "uint8"
    codes = np.ones((9, 9), "uint8")
    one, two = (sieve(placed(codes, (4, 4)), 4, groups={"a": (1, 2)}) for _ in range(2))
    assert tokenize(one.data) == tokenize(two.data)


def test_wrong_requests_are_refused(placed: Placer) -> None:
    """What is no map, and parameters without meaning, are named."""
    codes = placed(np.ones((3, 3), "uint8"))
    calls = [
        (lambda: sieve(codes.astype("float32"), 3), "classes"),
        (lambda: sieve(codes.astype("int64"), 3), "classes"),
        (lambda: sieve_array(np.ones(3, "uint8"), 3), "classes"),
        (lambda: sieve(codes, 0), "size"),
        (lambda: sieve(codes, True), "size"),
        (lambda: sieve(codes, 3, connectivity=6), "connectivity"),
        (lambda: sieve(codes, 3, passes=0), "passes"),
        (lambda: sieve(codes, 3, groups=[(1, 2), (2, 3)]), "groups"),
        (lambda: sieve(codes, 3, nodata=1 << 40), "nodata"),
        (lambda: minimum_mapping_unit(codes, -1.0), "hectares"),
        (lambda: minimum_mapping_unit(placed(np.ones((3, 3), "uint8"), degrees=True), 1.0), "CRS"),
    ]
    for call, where in calls:
        with pytest.raises(InputError) as caught:
            call()
        assert caught.value.where == where
    with pytest.raises(MetadataError):
        minimum_mapping_unit(xr.DataArray(np.ones((3, 3), "uint8"), dims=("y", "x")), 1.0)
