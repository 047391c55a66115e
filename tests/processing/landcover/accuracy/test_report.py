"""The accuracy report: one page and JSON, whole, escaped, the same bytes twice."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB

from terracube.processing.landcover.accuracy import (
    Confusion,
    Report,
    cross_validate,
    olofsson,
    scores,
    to_html,
    training_report,
    write_report,
)
from terracube.processing.landcover.accuracy.mapped import ClassStyle


@pytest.fixture(scope="module")
def report() -> Report:
    """A report with everything in it; one class has a name that means harm."""
    counts = np.array([[66.0, 0, 5, 0], [0, 55, 8, 0], [1, 0, 153, 3], [0, 0, 0, 0]])
    matrix = Confusion((1, 2, 12, 13), counts)
    styles = {
        1: ClassStyle("Water", "#0000ff"),
        2: ClassStyle("<script>alert(1)</script> $x$", "#00ff00"),
        12: ClassStyle("Soy", "#ffaa00"),
        13: ClassStyle("class 13", "#ffaa88"),
    }
    rng = np.random.default_rng(0)
    y = np.repeat([1, 2, 12], 20)
    X = rng.normal(size=(60, 2)) + y[:, None] / 3
    cross = cross_validate(lambda X, y: GaussianNB().fit(X, y), X, y, np.arange(60) % 11, folds=3, seeds=[0, 1])
    base = Report(
        "Accuracy of <b>a map</b>",
        styles,
        design="points drawn at random within each class of the map",
        estimate=olofsson(matrix, [20.0, 15.0, 320.0, 0.0]),
        matrix=matrix,
        scores=scores(matrix),
        left_out={"outside the map": 3},
        notes=("a note & more",),
    )
    return base.with_model(cross)


def test_page_holds_everything(report: Report) -> None:
    """All sections are there, numbers as computed, and nothing from outside is markup."""
    page = to_html(report)
    for told in ("Area of each class", "Are the probabilities true?", "Cross-validation of the model", "To know"):
        assert told in page
    assert page.count("data:image/png;base64,") == 5
    assert "<script>" not in page
    assert "<b>a map</b>" not in page
    assert "a note &amp; more" in page
    assert "3 outside the map" in page
    assert report.estimate is not None
    margin = 100 * report.estimate.factor * report.estimate.overall.error
    assert f"{100 * report.estimate.overall.value:.1f} ± {margin:.1f} %" in page
    assert "class 12 (Soy)" in page or "class 12" not in page


def test_files(report: Report, tmp_path: Path) -> None:
    """Page and JSON are written side by side, the same bytes twice; JSON has no NaN."""
    page, values = write_report(report, tmp_path / "out" / "accuracy.html")
    first = page.read_bytes(), values.read_bytes()
    write_report(report, tmp_path / "out" / "accuracy.json")
    assert (page.read_bytes(), values.read_bytes()) == first
    told = json.loads(values.read_text())
    assert told["area_weighted"]["classes"][3]["users"]["value"] is None
    assert sorted(path.name for path in page.parent.iterdir()) == ["accuracy.html", "accuracy.json"]


def test_a_model_alone(report: Report) -> None:
    """Without a map there are no areas; without groups, no blocked figures; without probabilities, no curve."""
    assert report.cross is not None
    page = to_html(training_report(report.cross))
    assert "Area of each class" not in page
    assert "whole blocks held out" in page
    plain = replace(report.cross, blocked=None, random=replace(report.cross.random, probabilities=None))
    page = to_html(training_report(plain))
    assert "whole blocks held out" not in page
    assert "Are the probabilities true?" not in page


def test_a_map_alone(report: Report) -> None:
    """Without a model there is no cross-validation."""
    page = to_html(replace(report, cross=None, calibration=None, notes=(), left_out=None))
    assert "Cross-validation of the model" not in page
    assert "Not used" not in page


def test_many_classes() -> None:
    """Thirty classes make a page; numbers are left out of the picture of the confusion."""
    codes = tuple(range(1, 31))
    matrix = Confusion(codes, np.eye(30) * 60 + 1)
    styles = {code: ClassStyle(f"class {code}", "#808080") for code in codes}
    page = to_html(Report("Many", styles, estimate=olofsson(matrix, np.ones(30)), matrix=matrix, scores=scores(matrix)))
    assert "class 30" in page


def test_nothing_to_divide_by() -> None:
    """A score that does not exist is a dash."""
    from terracube.processing.landcover.accuracy.report import percent

    assert percent(math.nan) == "-"
