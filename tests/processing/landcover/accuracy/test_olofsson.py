"""Area-weighted accuracy: the published examples to the digit, and intervals that cover what they say."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing.landcover.accuracy import AreaEstimate, Confusion, confusion, olofsson, scores, stehman
from terracube.processing.landcover.accuracy.olofsson import Estimate

GOLDEN = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
PIXELS = np.array([200_000, 150_000, 3_200_000, 6_450_000])
# What the papers multiply standard errors with.
PAPER = 1.96


def margins(found: tuple[Estimate, ...]) -> NDArray[np.float64]:
    """Half the widths of the intervals, as the papers give them."""
    return np.array([PAPER * one.error for one in found])


def values(found: tuple[Estimate, ...]) -> NDArray[np.float64]:
    """The estimates themselves."""
    return np.array([one.value for one in found])


def test_example_of_the_paper_2014() -> None:
    """Olofsson et al. 2014, section 5: deforestation, forest gain, stable forest, stable non-forest."""
    found = olofsson(GOLDEN, PIXELS * 0.09)
    assert found.overall.value == pytest.approx(0.9465, abs=5e-5)
    assert PAPER * found.overall.error == pytest.approx(0.0185, abs=5e-5)
    np.testing.assert_array_equal(np.rint(values(found.areas)), [21_158, 11_686, 285_770, 581_386])
    np.testing.assert_array_equal(np.rint(margins(found.areas)), [6_158, 3_756, 15_510, 16_282])
    np.testing.assert_allclose(values(found.users), [0.88, 0.733, 0.927, 0.963], atol=5e-4)
    np.testing.assert_allclose(margins(found.users), [0.07, 0.10, 0.04, 0.02], atol=5e-3)
    np.testing.assert_allclose(values(found.producers), [0.749, 0.847, 0.935, 0.962], atol=5e-4)
    np.testing.assert_allclose(margins(found.producers), [0.213, 0.254, 0.034, 0.018], atol=5e-4)
    assert found.total == pytest.approx(900_000)


def test_example_of_the_paper_2013() -> None:
    """Olofsson et al. 2013, section 4: 45 112 Landsat pixels of deforestation, give or take 21 072, accuracies of
    table 4."""
    mapped = [1] * 97 + [2] * 3 + [3] * 2 + [2] * 279 + [3] + [1] * 3 + [2] * 18 + [3] * 97
    found = olofsson(confusion(mapped, [1] * 102 + [2] * 280 + [3] * 118), [22_353, 1_122_543, 610_228], unit="pixels")
    assert found.areas[0].value == pytest.approx(45_112, abs=1)
    assert found.areas[0].error == pytest.approx(10_751, abs=1)
    assert found.overall.value == pytest.approx(0.944, abs=5e-4)
    np.testing.assert_allclose(values(found.producers), [0.48, 0.99, 0.90], atol=5e-3)
    assert found.unit == "pixels"


def test_example_of_stehman_2014() -> None:
    """Stehman 2014, section 4: four strata of ten points that are not the classes of the map."""
    code = {letter: number for number, letter in enumerate("ABCD", 1)}
    mapped = [code[one] for one in "AAAAAAABBB" + "ABBBBBBBBB" + "BBCCCCCCBB" + "DDDDDDDDDD"]
    truth = [code[one] for one in "AAAAACBABC" + "ABBBBBAABB" + "CCCCCDDBBA" + "DDDDDDDCCB"]
    sizes = {"A": 40_000, "B": 30_000, "C": 20_000, "D": 10_000}
    found = stehman(mapped, truth, [letter for letter in "ABCD" for _ in range(10)], sizes)
    assert (found.overall.value, found.overall.error) == pytest.approx((0.63, 0.085), abs=5e-4)
    assert found.areas[0].value / 1e5 == pytest.approx(0.35)
    assert found.areas[2].value / 1e5 == pytest.approx(0.20)
    assert found.areas[0].error / 1e5 == pytest.approx(0.082, abs=5e-4)
    assert found.areas[2].error / 1e5 == pytest.approx(0.064, abs=5e-4)
    assert found.shares[1, 2] == pytest.approx(0.08)
    np.testing.assert_allclose(values(found.users), [0.7419355, 0.5744681, 0.5, 0.7], atol=1e-7)
    np.testing.assert_allclose([one.error for one in found.users[:3]], [0.1645627, 0.1248023, 0.2151657], atol=1e-7)
    np.testing.assert_allclose(values(found.producers)[:3], [0.6571429, 0.7941176, 0.3], atol=1e-7)
    errors = [one.error for one in found.producers[:3]]
    np.testing.assert_allclose(errors, [0.1477318, 0.1165671, 0.1504438], atol=1e-7)


def written_out(counts: NDArray[np.float64], mapped: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Compute the formulas of Olofsson et al. 2014 (4 to 11) class by class, as they stand in the paper."""
    n, share = counts.sum(axis=1), mapped / mapped.sum()
    p = share[:, None] * counts / n[:, None]
    users = np.diag(counts) / n
    areas = p.sum(axis=0)
    within = counts / n[:, None] * (1 - counts / n[:, None]) / (n - 1)[:, None]
    producers, errors = np.diag(p) / areas, np.empty(len(n))
    for j in range(len(n)):
        own = share[j] ** 2 * (1 - producers[j]) ** 2 * users[j] * (1 - users[j]) / (n[j] - 1)
        rest = producers[j] ** 2 * sum(share[i] ** 2 * within[i, j] for i in range(len(n)) if i != j)
        errors[j] = math.sqrt((own + rest) / areas[j] ** 2)
    overall = math.sqrt(sum(share**2 * users * (1 - users) / (n - 1)))
    return {
        "overall": np.array([np.trace(p), overall]),
        "users": np.stack([users, np.sqrt(users * (1 - users) / (n - 1))]),
        "producers": np.stack([producers, errors]),
        "areas": np.stack([areas, np.sqrt((share[:, None] ** 2 * within).sum(axis=0))]),
    }


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 5), st.integers(0, 10_000))
def test_formulas_as_in_the_paper(classes: int, seed: int) -> None:
    """One formula for means and ratios gives what the paper's separate ones give."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 30, (classes, classes)) + np.diag(rng.integers(2, 60, classes)).astype("float64")
    mapped = rng.uniform(0.01, 5, classes)
    found, expected = olofsson(counts, mapped), written_out(counts, mapped)
    np.testing.assert_allclose([found.overall.value, found.overall.error], expected["overall"], rtol=1e-9)
    for name in ("users", "producers"):
        one = getattr(found, name)
        np.testing.assert_allclose(values(one), expected[name][0], rtol=1e-9)
        np.testing.assert_allclose([each.error for each in one], expected[name][1], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(values(found.areas) / mapped.sum(), expected["areas"][0], rtol=1e-9)
    np.testing.assert_allclose([each.error / mapped.sum() for each in found.areas], expected["areas"][1], rtol=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_strata_that_are_the_classes(seed: int) -> None:
    """Stehman's estimator over the classes of the map is Olofsson's."""
    rng = np.random.default_rng(seed)
    mapped = np.concatenate([np.repeat([1, 2, 3], 4), rng.integers(1, 4, 30)])
    truth = np.where(rng.random(42) < 0.7, mapped, rng.integers(1, 4, 42))
    sizes = dict(zip([1, 2, 3], rng.uniform(1, 9, 3).tolist(), strict=True))
    one = olofsson(confusion(mapped, truth, codes=[1, 2, 3]), list(sizes.values()))
    two = stehman(mapped, truth, mapped, sizes, sizes)
    for name in ("users", "producers", "areas"):
        np.testing.assert_allclose(values(getattr(one, name)), values(getattr(two, name)), rtol=1e-12)
        np.testing.assert_allclose(margins(getattr(one, name)), margins(getattr(two, name)), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(one.mapped, two.mapped)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_proportional_sample_weighs_alike(seed: int) -> None:
    """Where the sample is proportional to the map, area-weighted accuracy is that of the points; areas sum up."""
    counts = np.random.default_rng(seed).integers(1, 40, (4, 4)).astype("float64")
    found = olofsson(counts, counts.sum(axis=1))
    plain = scores(Confusion((1, 2, 3, 4), counts))
    assert found.overall.value == pytest.approx(plain.overall)
    np.testing.assert_allclose(values(found.producers), plain.producers)
    assert values(found.areas).sum() == pytest.approx(found.total)
    assert found.shares.sum() == pytest.approx(1)


def test_published_crop_mask(data_dir: Path) -> None:
    """A real binary map: crop area by the points is not what the map shows, and intervals hold both ways to it."""
    path = data_dir / "landcover" / "deafrica-cropmask" / "Southern_10m_accuracy_assessment_confusion_matrix.csv"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    rows = [line.split(",")[1:3] for line in path.read_text().splitlines()[1:3]]
    counts = np.array(rows, "float64").T
    everywhere = (
        np.repeat([0, 0, 1, 1], counts.ravel().astype(int)),
        np.repeat([0, 1, 0, 1], counts.ravel().astype(int)),
    )
    simple = stehman(*everywhere, ["all"] * 162, {"all": 100.0})
    assert simple.overall.value == pytest.approx(0.8642, abs=5e-5)
    assert simple.areas[1].value == pytest.approx(100 * 49 / 162)
    weighted = olofsson(Confusion((0, 1), counts), [90.0, 10.0])
    crop = weighted.areas[1]
    # 16 of 123 points mapped as something else are crop: nine tenths of the land hold more crop than all that is
    # mapped as such.
    assert crop.value == pytest.approx(90 * 16 / 123 + 10 * 33 / 39)
    assert crop.low > weighted.mapped[1]


def simulate(design: str, repetitions: int, seed: int) -> dict[str, tuple[float, float, float]]:
    """Draw samples of a map whose truth is known: how often normal and logit intervals hold it, and the bias."""
    rng = np.random.default_rng(seed)
    share = np.array([0.1, 0.3, 0.6])
    truth = np.array([[0.85, 0.1, 0.05], [0.06, 0.8, 0.14], [0.02, 0.08, 0.9]])
    p = share[:, None] * truth
    area = p.sum(axis=0)[0]
    expected = np.array([np.trace(p), area, truth[0, 0], p[0, 0] / area])
    told = np.zeros((3, 4))
    for _ in range(repetitions):
        found = one_sample(design, share, truth, rng)
        for row, one in enumerate((found, found.with_logit_intervals())):
            picked = (one.overall, one.areas[0], one.users[0], one.producers[0])
            told[row] += [each.low <= known <= each.high for each, known in zip(picked, expected, strict=True)]
        told[2] += np.array([each.value for each in picked]) - expected
    normal, logit, bias = (told / repetitions).tolist()
    return dict(zip(("overall", "area", "users", "producers"), zip(normal, logit, bias, strict=True), strict=True))


def one_sample(
    design: str, share: NDArray[np.float64], truth: NDArray[np.float64], rng: np.random.Generator
) -> AreaEstimate:
    """Draw one sample of 450 points and estimate."""
    if design == "stratified":
        return olofsson(np.stack([rng.multinomial(150, row) for row in truth]), share)
    counts = rng.multinomial(450, (share[:, None] * truth).ravel()).reshape(3, 3)
    if design == "poststratified":
        return olofsson(counts, share)
    rows, columns = np.indices((3, 3))
    mapped, labels = np.repeat(rows.ravel(), counts.ravel()), np.repeat(columns.ravel(), counts.ravel())
    return stehman(mapped, labels, np.zeros(450, int), {0: 1.0})


@pytest.mark.parametrize("design", ["stratified", "simple", "poststratified"])
def test_intervals_cover(design: str) -> None:
    """In 600 samples 95 % intervals hold the truth 90 to 98 times of a hundred, and nothing is biased."""
    for name, (normal, logit, bias) in simulate(design, 600, 3).items():
        assert 0.89 <= normal <= 0.98, (name, normal)
        assert 0.91 <= logit <= 0.98, (name, logit)
        assert abs(bias) < 0.01, (name, bias)


@pytest.mark.slow
@pytest.mark.parametrize("design", ["stratified", "simple", "poststratified"])
def test_intervals_cover_closely(design: str) -> None:
    """In 6 000 samples: logit intervals hold accuracies 94 to 97 times of a hundred, normal ones 90.5 and more."""
    found = simulate(design, 6000, 5)
    for name, (normal, logit, bias) in found.items():
        assert 0.905 <= normal <= 0.965, found
        assert (0.925 if name == "area" else 0.94) - 0.005 <= logit <= 0.97, found
        assert abs(bias) < 0.008, found


def test_logit_intervals_keep_values() -> None:
    """Values and errors stay, intervals stay within what is possible; an estimate of 1 keeps its interval."""
    plain = olofsson([[30, 0], [1, 99]], [1.0, 9.0])
    found = plain.with_logit_intervals()
    assert found.users[0] == plain.users[0]
    for one, other in zip((found.overall, *found.areas), (plain.overall, *plain.areas), strict=True):
        assert (one.value, one.error) == (other.value, other.error)
        assert 0 < one.low < one.value < one.high < found.total
    assert found.overall.high < 1


def test_groups_of_classes() -> None:
    """Accuracy of groups of classes: pairs within a group are right, areas add up, the strata remain the classes."""
    groups = {1: 10, 2: 10, 3: 30, 4: 30}
    fine, coarse = olofsson(GOLDEN, PIXELS), olofsson(GOLDEN, PIXELS, groups=groups)
    assert coarse.codes == (10, 30)
    assert coarse.areas[0].value == pytest.approx(fine.areas[0].value + fine.areas[1].value)
    assert coarse.mapped == pytest.approx((350_000, 9_650_000))
    assert coarse.overall.value > fine.overall.value
    alone = olofsson(GOLDEN, PIXELS, groups={1: 1, 2: 2, 3: 3, 4: 4})
    assert alone.as_dict() == fine.as_dict()
    with pytest.raises(InputError, match="no group"):
        olofsson(GOLDEN, PIXELS, groups={1: 1})


def test_classes_on_one_side_alone() -> None:
    """A class that the map does not hold has an area and no user's accuracy; its producer's accuracy is zero."""
    found = olofsson([[20, 5], [0, 0]], [100.0, 0.0])
    assert found.areas[1].value == pytest.approx(20)
    assert math.isnan(found.users[1].value)
    assert found.producers[1].value == 0
    found = olofsson([[20, 0], [5, 0]], [50.0, 50.0])
    assert found.users[1].value == 0
    assert math.isnan(found.producers[1].value)
    json.dumps(found.as_dict(), allow_nan=False)


def test_notes_tell_what_formulas_hide() -> None:
    """Few points and points that all agree are told: the formula gives the latter no error."""
    found = olofsson([[30, 0], [1, 99]], [1.0, 9.0])
    assert found.users[0].error == 0
    assert any("class 1 has 30 points" in note for note in found.notes)
    assert any("up to 10.0%" in note for note in found.notes)
    assert any("class 1 has 25% of its" in note and "3 points alone" in note for note in olofsson(GOLDEN, PIXELS).notes)


def test_what_cannot_be_estimated_is_refused() -> None:
    """A mapped class with fewer than two points, points without area and broken tables are refused by name."""
    for counts in ([[5, 1], [0, 0]], [[5, 1], [0, 1]]):
        with pytest.raises(InputError, match="class 2"):
            olofsson(counts, [1.0, 1.0])
    with pytest.raises(InputError, match="no area"):
        olofsson([[5, 1], [1, 5]], [1.0, 0.0])
    for counts, areas in (([[1, 2, 3]], [1.0]), ([[5, -1], [1, 5]], [1, 1]), ([[5, 1], [1, 5]], [1.0])):
        with pytest.raises(InputError):
            olofsson(counts, areas)
    with pytest.raises(InputError, match="from 0"):
        olofsson([[5, 1], [1, 5]], [1.0, np.nan])
    with pytest.raises(InputError, match="code of its own"):
        olofsson([[5, 1], [1, 5]], [1.0, 1.0], codes=[1, 1])
    with pytest.raises(InputError, match="level"):
        olofsson(GOLDEN, PIXELS, level=95)
    with pytest.raises(InputError, match="no size"):
        stehman([1, 1], [1, 1], ["a", "b"], {"a": 1})
    with pytest.raises(InputError, match="needs a stratum"):
        stehman([1, 1], [1, 1], ["a"], {"a": 1})
    with pytest.raises(InputError, match="stratum b"):
        stehman([1, 1], [1, 1], ["a", "a"], {"a": 1, "b": 2})


def test_intervals_end_where_nothing_more_is_possible() -> None:
    """No accuracy is below 0 or above 1, no area below 0 or above the map."""
    found = olofsson([[3, 1], [1, 3]], [1.0, 9.0])
    for one in (*found.users, *found.producers):
        assert 0 <= one.low <= one.value <= one.high <= 1
    for one in found.areas:
        assert 0 <= one.low <= one.value <= one.high <= found.total
