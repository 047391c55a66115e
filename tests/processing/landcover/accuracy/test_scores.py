"""Scores: equal to scikit-learn's, to published tables, and honest where there is nothing to divide by."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics

from terracube.core.errors import InputError
from terracube.processing.landcover.accuracy import Confusion, confusion, scores, spread, spread_scores

ZONES = ("Central", "Sahel", "Southeast", "Southern")


def published(folder: Path, zone: str) -> tuple[NDArray[np.float64], dict[str, list[str]]]:
    """Read a published confusion matrix of the crop mask: counts with rows = reference, and the rows as written."""
    path = folder / "landcover" / "deafrica-cropmask" / f"{zone}_10m_accuracy_assessment_confusion_matrix.csv"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    rows = {row[0]: row[1:] for row in csv.reader(path.read_text().splitlines())}
    return np.array([[float(cell) for cell in rows[name][:2]] for name in ("Non-crop", "Crop")]), rows


@pytest.mark.parametrize("zone", ZONES)
def test_published_crop_mask(data_dir: Path, zone: str) -> None:
    """The scores of the published confusion matrices are the published ones, to the digits that are printed."""
    counts, rows = published(data_dir, zone)
    found = scores(Confusion((0, 1), counts.T))
    assert found.overall * 100 == pytest.approx(float(rows["User's"][3]), abs=0.005)
    assert found.users * 100 == pytest.approx([float(cell) for cell in rows["User's"][:2]], abs=0.005)
    assert found.producers * 100 == pytest.approx([float(rows[n][3]) for n in ("Non-crop", "Crop")], abs=0.005)
    assert found.f1 == pytest.approx([float(cell) for cell in rows["F-score"][:2]], abs=0.005)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=60))
def test_as_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    """Matrix and scores equal those of scikit-learn, whatever classes are absent on either side."""
    mapped, truth = (np.array(column) for column in zip(*pairs, strict=True))
    found = confusion(mapped, truth)
    codes = list(found.codes)
    np.testing.assert_array_equal(found.counts, metrics.confusion_matrix(truth, mapped, labels=[*codes, 9])[:-1, :-1].T)
    got = scores(found)
    assert got.overall == pytest.approx(metrics.accuracy_score(truth, mapped))
    expected = metrics.precision_recall_fscore_support(truth, mapped, labels=codes, zero_division=np.nan)
    np.testing.assert_allclose(got.users, expected[0])
    np.testing.assert_allclose(got.producers, expected[1])
    np.testing.assert_allclose(got.f1, metrics.f1_score(truth, mapped, labels=codes, average=None, zero_division=0))
    np.testing.assert_array_equal(got.support, expected[3])
    if len(codes) > 1:
        assert got.kappa == pytest.approx(metrics.cohen_kappa_score(truth, mapped))
    else:
        assert math.isnan(got.kappa)


def test_order_and_extra_classes_do_not_matter() -> None:
    """Another order of samples gives the same; a class that never occurs has no accuracy and changes no mean."""
    rng = np.random.default_rng(1)
    mapped, truth = rng.integers(1, 4, (2, 50))
    order = rng.permutation(50)
    whole, wide = confusion(mapped, truth), confusion(mapped[order], truth[order], codes=[9, 1, 2, 3])
    np.testing.assert_array_equal(whole.counts, wide.counts[:3, :3])
    assert scores(whole).macro_f1 == scores(wide).macro_f1
    assert np.isnan([scores(wide).f1[3], scores(wide).users[3], scores(wide).producers[3]]).all()


def test_weights() -> None:
    """A sample of weight two counts as two samples; weights that are none are refused."""
    twice = confusion([1, 2, 2], [1, 1, 2], weights=[2, 1, 1])
    np.testing.assert_array_equal(twice.counts, confusion([1, 1, 2, 2], [1, 1, 1, 2]).counts)
    for wrong in ([1, 1], [1, 1, -1], [1, 1, np.nan]):
        with pytest.raises(InputError, match="weights"):
            confusion([1, 2, 2], [1, 1, 2], weights=wrong)


def test_refuses_what_is_no_confusion() -> None:
    """No sample, lengths that differ, codes that are none or unknown are refused."""
    for mapped, truth in (([], []), ([1], [1, 2]), ([1.5], [1]), ([np.nan], [1]), (["a"], [1]), ([[1]], [1])):
        with pytest.raises(InputError):
            confusion(mapped, truth)
    with pytest.raises(InputError, match="unknown class"):
        confusion([1], [2], codes=[1])
    with pytest.raises(InputError, match="too many"):
        confusion([1], [1], codes=range(20_000))
    with pytest.raises(InputError, match="no sample"):
        scores(Confusion((1,), np.zeros((1, 1))))


def test_unknown_classes_are_told_shortly() -> None:
    """An error names a dozen of many unknown classes and their number."""
    with pytest.raises(InputError, match=r"40 in all"):
        confusion(np.arange(40) + 5, np.full(40, 5 + 39), codes=[1])


def test_spread_is_students() -> None:
    """Mean and interval of a score over seeds are those of the t distribution; NaN are left out."""
    from scipy import stats

    values = [0.8, 0.82, 0.79, 0.85, math.nan]
    found = spread(values, level=0.9)
    expected = stats.t.interval(0.9, 3, np.mean(values[:4]), stats.sem(values[:4]))
    assert (found.low, found.high) == pytest.approx(expected)
    assert found.count == 4
    assert spread([0.5]).mean == 0.5
    assert math.isnan(spread([0.5]).high)
    assert spread([math.nan]).count == 0
    with pytest.raises(InputError, match="level"):
        spread(values, level=95)


def test_spread_scores() -> None:
    """Every score is spread over repetitions; repetitions of other classes are refused."""
    rng = np.random.default_rng(0)
    found = [scores(confusion(rng.integers(0, 3, 40), np.arange(40) % 3)) for _ in range(5)]
    told = spread_scores(found)
    assert told.overall.mean == pytest.approx(np.mean([one.overall for one in found]))
    assert told.producers[2].mean == pytest.approx(np.mean([one.producers[2] for one in found]))
    with pytest.raises(InputError, match="same classes"):
        spread_scores([found[0], scores(confusion([1], [1]))])
    with pytest.raises(InputError, match="same classes"):
        spread_scores([])


def test_json() -> None:
    """Everything becomes plain JSON without NaN."""
    one = scores(confusion([1, 1], [1, 1], codes=[1, 2]))
    for value in (one, spread_scores([one]), confusion([1], [1])):
        json.dumps(value.as_dict(), allow_nan=False)
    assert one.as_dict()["kappa"] is None
