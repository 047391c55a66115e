"""Calibration by a temperature: found on held-out samples, kept by the model, and no class changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from terracube.core.errors import InputError, IntegrityError
from terracube.processing.landcover.accuracy import calibration, training_report
from terracube.processing.landcover.learn import TrainParameters, train_table, validate_fit
from terracube.processing.landcover.models import Model, describe
from terracube.processing.landcover.models import file as files
from terracube.processing.landcover.tempering import calibrated, find_temperature, tempered

NAMES = ("a", "b", "c")
QUICK = TrainParameters(trees=25, repeats=1)


def table(n: int = 150, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Three classes that overlap a little, in groups of five."""
    rng = np.random.default_rng(seed)
    y = np.array([3, 7, 20])[rng.integers(0, 3, n)]
    X = rng.normal(size=(n, 3)).astype(np.float32)
    X[:, 0] += 3 * (y == 7)
    X[:, 1] += 3 * (y == 20)
    return X, y, np.arange(n) // 5


def test_a_known_temperature_is_found() -> None:
    """Labels drawn from probabilities that were then made softer: the temperature makes them as sharp as they were."""
    rng = np.random.default_rng(0)
    true = rng.dirichlet([0.5] * 4, size=20_000)
    labels = (rng.uniform(size=(20_000, 1)) > true.cumsum(axis=1)).sum(axis=1)
    for softer in (2.0, 0.5):
        told = tempered(true, softer)
        assert find_temperature(told, labels, range(4)) == pytest.approx(1 / softer, rel=0.05)


def test_few_samples_show_little() -> None:
    """Where all of ten samples are right the model does not become certain; NaN and no rows leave it alone."""
    chances = np.tile(np.float32([0.7, 0.3]), (10, 1))
    value = find_temperature(chances, [5] * 10, [5, 6])
    assert tempered(chances, value).max() == pytest.approx(11 / 12, abs=1e-3)
    assert find_temperature(np.full((4, 2), np.nan), [5] * 4, [5, 6]) == 1
    assert find_temperature(np.full((10, 2), [0.95, 0.05]), [5] * 10, [5, 6]) == 1


def test_a_model_is_calibrated_and_says_so(tmp_path: Path) -> None:
    """The temperature comes from held-out samples, changes no class, and travels with the model and its digest."""
    X, y, groups = table()
    new = table(400, seed=1)[0]
    model = train_table(X, y, NAMES, groups=groups, params=QUICK)
    plain = train_table(X, y, NAMES, groups=groups, params=QUICK.model_copy(update={"calibrate": False}))
    cross = validate_fit(X, y, groups, params=QUICK)
    found = calibrated(cross, groups)
    assert found is not None
    assert model.temperature == found.temperature == model.card["calibration"]["temperature"] != 1
    assert plain.temperature == 1
    assert plain.card.get("calibration") is None
    np.testing.assert_array_equal(model.predict(new), plain.predict(new))
    np.testing.assert_array_equal(model.predict_proba(new), tempered(plain.predict_proba(new), model.temperature))
    np.testing.assert_array_equal(model.predict_features(new.T).T, model.predict_proba(new))
    again = Model.load(model.save(tmp_path / "m.tcmodel"))
    assert (again.temperature, again.digest) == (model.temperature, model.digest)
    assert describe(again)["temperature"] == model.temperature


def test_the_report_says_where_the_temperature_is_from() -> None:
    """The curve of the report is that after calibration, and a note says it is of the samples it was found on."""
    X, y, groups = table()
    found = calibrated(validate_fit(X, y, groups, params=QUICK), groups)
    assert found is not None
    assert found.after.brier <= found.before.brier
    report = training_report(found.cross)
    assert report.calibration is not None
    assert report.calibration.ece == found.after.ece
    assert any("same held-out samples" in note for note in found.cross.notes)
    assert found.as_dict()["samples"] == len(y)


def test_classes_that_no_fold_could_learn_have_no_say() -> None:
    """A class that lies in one group is unknown whenever it is asked for: it does not make the model seem unsure."""
    X, y, groups = table()
    alone = calibrated(validate_fit(X, y, groups, params=QUICK), groups)
    more = np.float32(np.random.default_rng(2).normal(9, 1, (15, 3)))
    X, y, groups = np.vstack([X, more]), np.append(y, [50] * 15), np.append(groups, [999] * 15)
    found = calibrated(validate_fit(X, y, groups, params=QUICK), groups)
    assert alone is not None
    assert found is not None
    assert found.temperature == pytest.approx(alone.temperature, rel=0.35)
    assert found.after.samples == len(y) - 15
    assert any("15 samples take no part" in note for note in found.cross.notes)
    assert found.cross.blocked is not None
    assert found.cross.random.probabilities is not None
    assert np.isfinite(found.cross.random.probabilities).all()


@pytest.mark.parametrize("grouped", [True, False])
def test_without_repeats_folds_are_made(grouped: bool) -> None:
    """Without a cross-validation the temperature comes from folds of its own, much the same."""
    X, y, groups = table()
    member = groups if grouped else None
    validated = train_table(X, y, NAMES, groups=member, params=QUICK)
    quick = train_table(X, y, NAMES, groups=member, params=QUICK.model_copy(update={"repeats": 0}))
    assert quick.temperature == pytest.approx(validated.temperature, rel=0.25)
    assert quick.card["calibration"]["temperature"] == quick.temperature
    told = train_table(X, y, NAMES, params=QUICK, told={"temperature": 0.5})
    assert told.temperature == 0.5


def test_a_class_of_two_samples_can_be_validated() -> None:
    """Two samples of a class are enough: in a fold that holds one of them the other is learnt from."""
    X, y, _ = table(60)
    X, y = np.vstack([X, np.full((2, 3), 30, np.float32)]), np.append(y, [99, 99])
    model = train_table(X, y, NAMES, params=QUICK)
    assert 99 in model.classes
    assert model.card["accuracies"]["headline"] == "random"


def test_better_on_samples_never_seen() -> None:
    """The error of calibration is smaller on other samples, too."""
    X, y, groups = table(300)
    new, truth, _ = table(3000, seed=9)
    errors = [
        calibration(model.predict_proba(new), truth, model.classes).ece
        for model in (
            train_table(X, y, NAMES, groups=groups, params=QUICK.model_copy(update={"calibrate": on}))
            for on in (True, False)
        )
    ]
    assert errors[0] < max(0.02, errors[1])


def taken_over(**told: Any) -> Model:
    """Take over a forest as it is."""
    X, y, _ = table(60)
    forest = RandomForestClassifier(5, random_state=0).fit(X, y)
    return Model.from_sklearn(forest, features=NAMES, **told)


def test_what_is_taken_over_is_not_calibrated() -> None:
    """A forest taken over gives its own probabilities; with a temperature it is another model."""
    X, y, _ = table(60)
    forest = RandomForestClassifier(5, random_state=0).fit(X, y)
    model = taken_over()
    assert model.temperature == 1
    np.testing.assert_allclose(model.predict_proba(X), forest.predict_proba(X), atol=1e-6)
    assert taken_over(temperature=0.5).digest != model.digest
    assert taken_over(temperature=1.0).digest == model.digest


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf"), 1e3, True, "1"])
def test_unusable_temperatures_are_refused(bad: Any) -> None:
    """Numbers that would make all alike or certain, and what is no number."""
    with pytest.raises(InputError, match="temperature"):
        taken_over(temperature=bad)


@pytest.mark.parametrize("bad", [1, 1.0, True, None, "2", -3, 1e9, [2]])
def test_files_with_unusable_temperatures_are_broken(bad: Any, tmp_path: Path) -> None:
    """A file that tells such a temperature, or one of 1 (which is not told), is refused."""
    parts = taken_over()._parts()
    path = files.write(tmp_path / "m.tcmodel", files.Parts({**parts.facts, "temperature": bad}, parts.arrays))
    with pytest.raises(IntegrityError, match="temperature"):
        Model.load(path)
