"""The geometric median against known medians, an independent long iteration, and its promises of invariance."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.cubes.reduce import GeomedianResult, geomedian

EPS = 1e-6
type Floats = NDArray[np.float64]


def cube_of(samples: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Make a cube with one row of pixels from samples (pixel, time, band)."""
    return np.ascontiguousarray(np.moveaxis(np.asarray(samples, np.float32), 0, -1)[:, :, None, :])


def median_of(*dates: tuple[float, ...]) -> NDArray[np.float32]:
    """Reduce one pixel given as one tuple of bands per date."""
    return geomedian(cube_of(np.array([dates]))).median[:, 0, 0]


def bits(result: GeomedianResult) -> list[bytes]:
    """Everything in a result, to the bit."""
    return [part.tobytes() for part in vars(result).values()]


def random_cube(seed: int, *, dates: int = 12, bands: int = 4, size: tuple[int, int] = (9, 17)) -> NDArray[np.float32]:
    """Reflectances with outliers and 40 % of dates missing, some of them in one band only."""
    random = np.random.default_rng(seed)
    ground = random.uniform(0.02, 0.5, (1, bands, *size))
    cube = ground * random.normal(1, 0.1, (dates, 1, *size)) + random.normal(0, 0.01, (dates, bands, *size))
    cube += np.where(random.random((dates, 1, *size)) < 0.1, 0.4, 0)
    cube[np.broadcast_to(random.random((dates, 1, *size)) < 0.35, cube.shape)] = np.nan
    cube[:, 0][random.random((dates, *size)) < 0.05] = np.nan
    return cube.astype(np.float32)


def distances(samples: Floats, point: Floats) -> Floats:
    """Distances of the samples (pixel, time, band) to a point per pixel; 0 for a missing date."""
    return np.nan_to_num(np.sqrt(((samples - point[:, None]) ** 2).sum(axis=2)))


def long_weiszfeld(samples: Floats, rounds: int = 4000) -> Floats:
    """Iterate as Weiszfeld did, in float64 and far beyond need, from points next to the mean (no sample is met)."""
    clear = np.isfinite(samples).all(axis=2)
    filled = np.where(clear[..., None], samples, 0.0)
    point = filled.sum(axis=1) / clear.sum(axis=1)[:, None] + 1e-7
    for _ in range(rounds):
        weights = clear / np.maximum(distances(filled, point), 1e-15)
        point = (weights[..., None] * filled).sum(axis=1) / weights.sum(axis=1)[:, None]
    return point


def families() -> dict[str, Floats]:
    """Samples (pixel, time, band) that make the search hard, each as float32 holds them."""
    random = np.random.default_rng(5)
    shape = (200, 12, 4)
    ground = random.uniform(0.02, 0.4, (200, 1, 4))
    pick = random.integers(0, 2, (200, 12, 1))
    made = {
        "noise": ground + random.normal(0, 0.03, shape),
        "brightness": ground * (1 + random.normal(0, 0.3, (200, 12, 1))) + random.normal(0, 0.002, shape),
        "line": ground * (1 + random.normal(0, 0.3, (200, 12, 1))),
        "two covers": np.where(pick, ground, ground[::-1]) + random.normal(0, 1e-3, shape),
        "repeated values": np.where(pick, ground, ground[::-1] * random.integers(1, 3, (200, 12, 1))),
        "rounded values": np.round(ground + random.normal(0, 5e-4, shape), 4),
        "heavy tails": ground + 0.01 * random.standard_cauchy(shape).clip(-1e3, 1e3),
        "negative": random.normal(0, 0.02, shape),
        "few dates": np.where(random.random((200, 12, 1)) < 0.3, random.random(shape), np.nan),
    }
    return {name: samples.astype(np.float32).astype(np.float64) for name, samples in made.items()}


@pytest.mark.parametrize("bands", [4, 16])
def test_equals_a_long_float64_iteration(bands: int) -> None:
    """On noisy spectra with missing dates the place is right to 1e-5, the distance sum to 1e-6 of it."""
    cube = random_cube(1, dates=20, bands=bands, size=(1, 300))
    samples = np.moveaxis(cube[:, :, 0], -1, 0).astype(np.float64)
    truth, found = long_weiszfeld(samples), geomedian(cube).median[:, 0].T.astype(np.float64)
    assert np.abs(found - truth).max() < 1e-5
    assert (distances(samples, found).sum(axis=1) <= (1 + 1e-6) * distances(samples, truth).sum(axis=1)).all()


@pytest.mark.parametrize("name", families())
def test_no_long_iteration_finds_a_lower_sum(name: str) -> None:
    """However the samples lie, the mean distance is within eps of what 4000 float64 rounds reach."""
    samples = families()[name]
    clear = np.isfinite(samples).all(axis=2).sum(axis=1)
    samples, clear = samples[clear > 0], clear[clear > 0]
    found = geomedian(cube_of(samples)).median[:, 0].T.astype(np.float64)
    excess = distances(samples, found).sum(axis=1) - distances(samples, long_weiszfeld(samples)).sum(axis=1)
    assert (excess <= EPS * clear).all()


@pytest.mark.parametrize("max_iter", [1, 5, 60])
def test_newton_and_accelerated_steps_agree(max_iter: int) -> None:
    """Whichever method ends the search, it ends in the same place."""
    cube = random_cube(2, dates=30, size=(8, 16))
    usual, other = geomedian(cube).median, geomedian(cube, max_iter=max_iter).median
    np.testing.assert_allclose(other, usual, atol=5e-6)


def test_smaller_eps_is_nearer() -> None:
    """The distance to the converged median follows eps."""
    cube = random_cube(3, dates=25, size=(1, 200))
    truth = long_weiszfeld(np.moveaxis(cube[:, :, 0], -1, 0).astype(np.float64))
    for eps in (1e-2, 1e-4, 1e-6):
        assert np.nanmax(np.abs(geomedian(cube, eps=eps).median[:, 0].T - truth)) < 3 * eps


def test_centre_of_an_equilateral_triangle() -> None:
    """The Fermat point of equal sides is the centre."""
    found = median_of((0.0, 0.0), (1.0, 0.0), (0.5, 0.75**0.5))
    np.testing.assert_allclose(found, (0.5, 0.75**0.5 / 3), atol=1e-6)


def test_fermat_point_of_a_right_triangle() -> None:
    """From the Fermat point every side is seen under 120 degrees."""
    corners = np.array([(0.0, 0.0), (3.0, 0.0), (0.0, 4.0)])
    away = corners - median_of(*map(tuple, corners))
    away /= np.linalg.norm(away, axis=1)[:, None]
    np.testing.assert_allclose([away[0] @ away[1], away[1] @ away[2], away[2] @ away[0]], -0.5, atol=1e-5)


@pytest.mark.parametrize("height", [0.05, 0.3, 0.57])
def test_corner_of_120_degrees_or_more_is_the_median(height: float) -> None:
    """A triangle with a wide corner has its Fermat point in that corner, to the bit."""
    found = median_of((-1.0, 0.0), (1.0, 0.0), (0.125, height))
    assert found.tolist() == [0.125, np.float32(height)]


def test_crossing_of_the_diagonals() -> None:
    """The median of a convex quadrilateral is where its diagonals cross."""
    np.testing.assert_allclose(median_of((0, 0), (4, 0), (5, 3), (-1, 3)), (2.0, 1.2), atol=5e-6)


def test_fourth_point_inside_a_triangle_is_the_median() -> None:
    """Of four points with one inside the triangle of the others, that one is the median, to the bit."""
    assert median_of((0, 0), (4, 0), (1, 3), (1.5, 1.25)).tolist() == [1.5, 1.25]


@pytest.mark.parametrize("same", [4, 5, 6])
def test_majority_is_the_median(same: int) -> None:
    """A value held by more than half of the dates is the median, to the bit, and all deviations are 0."""
    random = np.random.default_rng(same)
    samples = random.uniform(0, 0.5, (70, 7, 4)).astype(np.float32)
    samples[:, :same] = samples[:, :1]
    result = geomedian(cube_of(samples[:, random.permutation(7)]))
    assert np.array_equal(result.median[:, 0].T, samples[:, 0])
    assert not result.emad.any()
    assert not result.bcmad.any()
    np.testing.assert_allclose(result.smad, 0, atol=1e-12)


@pytest.mark.parametrize("copies", [1, 2])
def test_start_on_a_sample_that_is_not_the_median(copies: int) -> None:
    """The mean lies on samples here; Vardi and Zhang's rule leaves them."""
    dates = [(0.0, 0.0)] * copies + [(1.0, 0.25), (1.0, -0.25), (1.0, 0.125), (1.0, -0.125), (-4.0, 0.0)]
    truth = long_weiszfeld(np.array([dates]))[0]
    assert truth[0] > 0.5
    np.testing.assert_allclose(median_of(*dates), truth, atol=1e-5)


def test_start_on_a_sample_that_is_the_median() -> None:
    """A sample that the others pull on with less than its own weight is never left."""
    assert median_of((0, 0), (1, 0), (-1, 0), (0, 2), (0, -2)).tolist() == [0, 0]


def test_odd_number_on_a_line_gives_the_middle_one() -> None:
    """On a line the geometric median is the median."""
    places = np.array([0.0, 0.1, 0.11, 0.5, 3.0])
    dates = places[:, None] * np.array([1.0, -2.0]) + np.array([0.25, 0.5])
    assert median_of(*map(tuple, dates)).tolist() == dates[2].astype(np.float32).tolist()


def test_even_number_on_a_line_gives_a_point_between_the_middle_ones() -> None:
    """Every point between the middle two has the least sum; the result is one of them."""
    x, y = median_of((0.0, 0.0), (1.0, 2.0), (2.0, 4.0), (7.0, 14.0))
    assert 1 - EPS <= x <= 2 + EPS
    assert y == pytest.approx(2 * x, abs=1e-6)


@given(st.lists(st.integers(-5000, 12000), min_size=1, max_size=15), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_one_band_gives_a_median(values: list[int], missing: int) -> None:
    """With one band the least sum of distances is reached at the median, wherever the values lie."""
    values_of_dates = np.array([*values, *[np.nan] * missing]) / 1e4
    found = geomedian(cube_of(values_of_dates[None, :, None])).median.item()
    ordered = np.sort(np.array(values) / 1e4)
    middle = len(values) // 2
    low, high = ordered[(len(values) - 1) // 2], ordered[middle]
    assert low - 2 * EPS <= found <= high + 2 * EPS


@pytest.mark.parametrize("dates", [1, 2, 3, 4, 7, 8, 9, 31, 33, 64])
def test_deviations_follow_their_formulas(dates: int) -> None:
    """EMAD, SMAD and BCMAD are what float64 numpy gives for the median found."""
    cube = random_cube(dates, dates=dates, size=(5, 41))
    result = geomedian(cube)
    x, m = cube.astype(np.float64), result.median.astype(np.float64)[None]
    apart = np.sqrt(((x - m) ** 2).sum(axis=1))
    cosine = (x * m).sum(axis=1) / np.sqrt((x**2).sum(axis=1) * (m**2).sum(axis=1))
    ratio = np.abs(x - m).sum(axis=1) / np.abs(x + m).sum(axis=1)
    clear = np.isfinite(x).all(axis=1)
    seen = clear.any(axis=0)
    assert np.array_equal(result.count, clear.sum(axis=0))
    for found, terms in ((result.emad, apart), (result.smad, 1 - cosine), (result.bcmad, ratio)):
        assert np.isnan(found[~seen]).all()
        truth = np.nanmedian(np.where(clear, terms, np.nan)[:, seen], axis=0)
        np.testing.assert_allclose(found[seen], truth, rtol=2e-5, atol=2e-8)


def test_small_angles_keep_their_digits() -> None:
    """An angle of 1e-4 gives 1 - cos = 5e-9, of which float32 arithmetic on the cosine would leave nothing."""
    result = geomedian(cube_of(np.array([[(1.0, 0.0), (1.0, 0.0), (1.0, 1e-4), (1.0, -1e-4), (1.0, 1e-4)]])))
    assert result.median[:, 0, 0].tolist() == [1, 0]
    assert result.smad.item() == pytest.approx(5e-9, rel=1e-3)


def test_undefined_terms_are_left_out() -> None:
    """A zero spectrum has no angle and the opposite of the median no ratio: the other dates decide."""
    dates = [(1.0, 0.0), (1.0, 0.0), (1.0, 0.0), (1.0, 0.0), (1.0, 0.0), (0.0, 0.0), (-1.0, 0.0), (1.0, 1.0)]
    result = geomedian(cube_of(np.array([dates])))
    assert result.median[:, 0, 0].tolist() == [1, 0]
    assert (result.count.item(), result.emad.item(), result.smad.item()) == (8, 0, 0)
    wide = geomedian(cube_of(np.array([[(0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (3.0, 4.0), (1.0, 0.0)]])))
    assert wide.median[:, 0, 0].tolist() == [0, 0]
    assert wide.emad.item() == 0
    assert np.isnan(wide.smad.item())
    assert wide.bcmad.item() == 1


def test_no_clear_date_is_missing_and_never_zero() -> None:
    """A pixel without clear dates is NaN in every map, with count 0; its neighbours are not."""
    cube = random_cube(7)
    cube[:, :, 2, 3] = np.nan
    cube[:, 1, 4, 5] = np.nan
    result = geomedian(cube)
    for y, x in ((2, 3), (4, 5)):
        assert np.isnan(result.median[:, y, x]).all()
        assert np.isnan([result.emad[y, x], result.smad[y, x], result.bcmad[y, x]]).all()
        assert result.count[y, x] == 0
    assert np.isfinite(result.median[:, result.count > 0]).all()


def test_all_missing() -> None:
    """A cube of NaN gives NaN and count 0."""
    result = geomedian(np.full((3, 2, 4, 5), np.nan, np.float32))
    assert np.isnan(np.stack([*result.median, result.emad, result.smad, result.bcmad])).all()
    assert not result.count.any()


@pytest.mark.parametrize("shape", [(0, 2, 3, 5), (4, 2, 0, 5), (4, 2, 3, 0), (0, 2, 0, 0)])
def test_empty_axes(shape: tuple[int, int, int, int]) -> None:
    """No dates gives missing pixels; no pixels gives empty maps of the right shape and type."""
    result = geomedian(np.zeros(shape, np.float32))
    assert result.median.shape == shape[1:]
    assert result.emad.shape == result.smad.shape == result.bcmad.shape == result.count.shape == shape[2:]
    assert result.median.dtype == result.emad.dtype == result.smad.dtype == result.bcmad.dtype == np.float32
    assert result.count.dtype == np.uint16
    assert np.isnan(result.median).all()


def test_one_clear_date_is_its_own_median() -> None:
    """One sample comes back to the bit, with deviations of 0."""
    cube = random_cube(8, dates=1, size=(8, 9))
    result = geomedian(cube)
    seen = result.count == 1
    assert np.array_equal(result.median[:, seen], cube[0][:, seen])
    assert not np.stack([result.emad, result.smad, result.bcmad])[:, seen].any()


def test_two_dates_give_their_mean() -> None:
    """Every point between two samples has the least sum; the middle is taken."""
    np.testing.assert_allclose(median_of((0.1, 0.2), (0.5, 0.4)), (0.3, 0.3), atol=1e-7)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e15, -3.4e38])
def test_unusable_value_in_one_band_drops_the_date(value: float) -> None:
    """NaN, infinity and fill values count as missing, in all bands of their date."""
    cube = random_cube(9, size=(4, 4))
    clear = cube.copy()
    cube[3, 1, 2, 2], clear[3, :, 2, 2] = value, np.nan
    assert bits(geomedian(cube)) == bits(geomedian(clear))


def test_integers_of_ten_thousand_need_no_other_eps() -> None:
    """Where float32 cannot resolve eps the search still ends, right to a few units in the last place."""
    cube = np.round(random_cube(10, size=(1, 100)) * 1e4)
    samples = np.moveaxis(cube[:, :, 0], -1, 0).astype(np.float64)
    found = geomedian(cube).median[:, 0].T
    np.testing.assert_allclose(found, long_weiszfeld(samples), atol=0.02)


@given(st.integers(0, 30), st.integers(-6, 6))
@settings(max_examples=10, deadline=None)
def test_unit_does_not_matter(seed: int, power: int) -> None:
    """In units of a power of two everything is the same to the bit, scaled."""
    cube, unit = random_cube(seed), 2.0**power
    plain, scaled = geomedian(cube), geomedian(cube * np.float32(unit), eps=EPS * unit)
    assert np.array_equal(plain.median * np.float32(unit), scaled.median, equal_nan=True)
    assert np.array_equal(plain.emad * np.float32(unit), scaled.emad, equal_nan=True)
    assert plain.smad.tobytes() == scaled.smad.tobytes()
    assert plain.bcmad.tobytes() == scaled.bcmad.tobytes()


@given(st.integers(0, 50), st.data())
@settings(max_examples=25, deadline=None)
def test_any_part_of_a_block_is_the_same_to_the_bit(seed: int, data: st.DataObject) -> None:
    """A pixel does not know the shape of its block, its lane, or what lies beside it."""
    cube = random_cube(seed)
    whole = geomedian(cube)
    y, x = (sorted(data.draw(st.sets(st.integers(0, size), min_size=2, max_size=2))) for size in cube.shape[2:])
    part = geomedian(cube[:, :, y[0] : y[1], x[0] : x[1]])
    cut = (..., slice(*y), slice(*x))
    assert bits(part) == [np.ascontiguousarray(values[cut]).tobytes() for values in vars(whole).values()]


def test_block_shape_does_not_matter() -> None:
    """The same pixels in one row, one column or shuffled give the same bits."""
    cube = random_cube(11, dates=30, size=(10, 13))
    whole = geomedian(cube)
    order = np.random.default_rng(0).permutation(130)
    row = geomedian(cube.reshape(30, 4, 1, 130))
    column = geomedian(cube.reshape(30, 4, 130, 1)[:, :, order])
    assert bits(row) == bits(whole)
    back = np.argsort(order)
    assert column.median[:, back, 0].tobytes() == whole.median.tobytes()
    assert column.bcmad[back, 0].tobytes() == whole.bcmad.tobytes()


@given(st.integers(0, 50), st.lists(st.integers(0, 12), max_size=6))
@settings(max_examples=20, deadline=None)
def test_missing_dates_change_nothing(seed: int, where: list[int]) -> None:
    """Dates without clear pixels may come and go without changing a bit."""
    cube = random_cube(seed)
    assert bits(geomedian(np.insert(cube, where, np.nan, axis=0))) == bits(geomedian(cube))


@given(st.integers(0, 50))
@settings(max_examples=10, deadline=None)
def test_dates_missing_in_a_pixel_do_not_change_it(seed: int) -> None:
    """A date that is clear elsewhere in the block changes nothing where it is missing."""
    cube = random_cube(seed)
    half = cube.copy()
    half[::2, :, :, :8] = np.nan
    together = geomedian(half)
    alone = geomedian(half[1::2, :, :, :8])
    assert together.median[..., :8].tobytes() == alone.median.tobytes()
    assert together.smad[:, :8].tobytes() == alone.smad.tobytes()


@given(st.integers(0, 50), st.permutations(range(20)))
@settings(max_examples=15, deadline=None)
def test_order_of_dates_matters_by_rounding_only(seed: int, order: list[int]) -> None:
    """Sums run in the order of the dates, so another order may change last digits, but no more."""
    cube = random_cube(seed, dates=20)
    one, other = geomedian(cube), geomedian(cube[order])
    assert np.array_equal(one.count, other.count)
    several = one.count > 2
    np.testing.assert_allclose(other.median[:, several], one.median[:, several], atol=5e-6)
    np.testing.assert_allclose(other.emad[several], one.emad[several], atol=1e-5)


def test_every_order_of_a_triangle() -> None:
    """The wide corner is found in whatever place it comes."""
    for dates in permutations([(-1.0, 0.0), (1.0, 0.0), (0.125, 0.25)]):
        assert median_of(*dates).tolist() == [0.125, 0.25]


def test_threads_share_nothing() -> None:
    """Calls at the same time from many threads, some for the first time, give the same bits."""
    cubes = [random_cube(seed, bands=3) for seed in range(12)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(geomedian, cubes))
    assert [bits(result) for result in together] == [bits(geomedian(cube)) for cube in cubes]


def test_layout_of_memory_does_not_matter() -> None:
    """Strided, reversed, Fortran-ordered and read-only cubes are reduced like their copies, and left as they were."""
    cube = random_cube(12)
    usual = bits(geomedian(cube))
    wide = np.zeros((12, 4, 18, 34), np.float32)
    wide[:, :, ::2, ::2] = cube
    fixed = cube.copy()
    fixed.flags.writeable = False
    for other in (wide[:, :, ::2, ::2], cube[:, :, ::-1][:, :, ::-1], np.asfortranarray(cube), fixed):
        before = other.tobytes()
        assert bits(geomedian(other)) == usual
        assert other.tobytes() == before


def test_as_many_dates_as_a_count_can_hold() -> None:
    """65535 dates are counted and reduced: a majority of one value among noise is found."""
    random = np.random.default_rng(1)
    samples = random.normal(0.3, 0.1, (1, 65535, 1))
    samples[:, ::2] = 0.25
    samples = np.concatenate([samples, -samples], axis=2)
    result = geomedian(cube_of(samples))
    assert result.count.item() == 65535
    assert result.median[:, 0, 0].tolist() == [0.25, -0.25]
    assert result.emad.item() == 0


@pytest.mark.parametrize(
    ("cube", "words"),
    [
        (np.zeros((3, 2, 4, 4)), "ndarray of float64"),
        (np.zeros((3, 2, 4, 4), ">f4"), "ndarray of >f4"),
        (np.ma.zeros((3, 2, 4, 4), np.float32), "MaskedArray"),
        ([[1.0]], "list"),
        (np.zeros((3, 2, 4), np.float32), r"\(3, 2, 4\)"),
        (np.zeros((3, 0, 4, 4), np.float32), r"\(3, 0, 4, 4\)"),
        (np.zeros((65536, 1, 0, 0), np.float32), "65536"),
    ],
)
def test_refuses_other_cubes(cube: NDArray[np.float32], words: str) -> None:
    """What is not a float32 cube of at most 65535 dates is refused, saying what came."""
    with pytest.raises(InputError, match=words):
        geomedian(cube)


@pytest.mark.parametrize("options", [{"eps": 0.0}, {"eps": -1e-6}, {"eps": np.nan}, {"eps": np.inf}, {"max_iter": 0}])
def test_refuses_limits_that_never_end(options: dict[str, Any]) -> None:
    """A tolerance or a number of steps that is not positive is refused."""
    with pytest.raises(InputError, match=next(iter(options))):
        geomedian(random_cube(1), **options)


def test_agrees_with_geomad() -> None:
    """Another implementation of the same formulas gives the same maps within its tolerance."""
    geomad = pytest.importorskip("geomad", reason="geomad comes with the extra 'bench' only")
    cube = random_cube(13, dates=30, size=(12, 12))
    pixels = np.ascontiguousarray(cube.transpose(2, 3, 1, 0))
    median = geomad.nangeomedian_pcm(pixels, eps=1e-7, num_threads=1)
    result = geomedian(cube)
    several = result.count > 5
    np.testing.assert_allclose(result.median[:, several], np.moveaxis(median, 2, 0)[:, several], atol=1e-5)
    np.testing.assert_allclose(result.emad[several], geomad.emad_pcm(pixels, median)[several], atol=2e-5)
    np.testing.assert_allclose(result.smad[several], geomad.smad_pcm(pixels, median)[several], atol=2e-5)
    np.testing.assert_allclose(result.bcmad[several], geomad.bcmad_pcm(pixels, median)[several], atol=2e-5)
