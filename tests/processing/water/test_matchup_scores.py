"""Scores of match-ups: known ratios give known scores, and the number compared is always told."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from terracube.core.errors import EmptyResultError, InputError
from terracube.processing.water.matchups import line, scatter, score, score_table

POSITIVE = arrays("float64", 12, elements=st.floats(1e-3, 1e3))


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_a_constant_factor(factor: float) -> None:
    """Estimates off by one factor: every score is known."""
    truth = np.array([0.1, 1.0, 7.0, 300.0])
    told = score(truth * factor, truth)
    apart = abs(math.log10(factor))
    assert (told.n, told.of) == (4, 4)
    assert told.mdsa == pytest.approx(100 * (10**apart - 1))
    assert told.sspb == pytest.approx(math.copysign(told.mdsa, factor - 1), abs=1e-9)
    assert told.rmsle == pytest.approx(apart, abs=1e-12)
    assert told.mae == pytest.approx(10**apart)
    assert told.bias == pytest.approx(factor)
    assert told.slope == pytest.approx(1)
    assert told.r2 == pytest.approx(1)


def test_scores_written_a_second_time() -> None:
    """The formulas in natural logarithms, and numpy's own regression, give the same."""
    source = np.random.default_rng(3)
    truth = 10 ** source.normal(0.5, 0.6, 200)
    estimate = truth**0.7 * 10 ** source.normal(0.1, 0.2, 200)
    told, ratio = score(estimate, truth), np.log(estimate / truth)
    assert told.mdsa == pytest.approx(100 * (np.exp(np.median(np.abs(ratio))) - 1))
    middle = np.median(ratio)
    assert told.sspb == pytest.approx(100 * np.sign(middle) * (np.exp(abs(middle)) - 1))
    assert told.rmsle == pytest.approx(np.sqrt(np.mean(np.log10(estimate / truth) ** 2)))
    fit = np.polyfit(np.log10(truth), np.log10(estimate), 1)
    assert told.slope == pytest.approx(fit[0])
    assert told.r2 == pytest.approx(np.corrcoef(np.log(truth), np.log(estimate))[0, 1] ** 2)


def test_failures_are_counted() -> None:
    """Missing, negative and zero estimates are not scored, and stay in the number of all."""
    told = score([np.nan, -1.0, 0.0, np.inf, 2.0], [1.0, 1.0, 1.0, 1.0, 1.0])
    assert (told.n, told.of) == (1, 5)
    assert math.isnan(told.slope)
    assert score([1.0], [np.nan]).of == 0
    nothing = score([], [])
    assert (nothing.n, nothing.of) == (0, 0)
    assert all(math.isnan(value) for name, value in nothing.as_dict().items() if name not in ("n", "of"))


@given(POSITIVE, POSITIVE)
@settings(max_examples=25, deadline=None)
def test_swapping_turns_the_bias_around(one: np.ndarray, other: np.ndarray) -> None:
    """MdSA, RMSLE and MAE are symmetric; SSPB changes its sign, the bias is inverted."""
    there, back = score(one, other), score(other, one)
    for name in ("mdsa", "rmsle", "mae"):
        assert getattr(there, name) == pytest.approx(getattr(back, name), rel=1e-9, abs=1e-9)
    assert there.sspb == pytest.approx(-back.sspb, rel=1e-9, abs=1e-9)
    assert there.bias == pytest.approx(1 / back.bias, rel=1e-9)
    assert there.mdsa >= abs(there.sspb) - 1e-6
    assert str(there).startswith("n = 12 of 12, MdSA")


def test_a_line_for_indices() -> None:
    """Without logarithms, negative values count; what does not vary has no correlation."""
    fit = line([-0.1, 0.0, 0.1, np.nan], [1.0, 2.0, 3.0, 4.0])
    assert (fit.n, fit.of) == (3, 4)
    assert (fit.slope, fit.intercept, fit.r2) == pytest.approx((10, 2, 1))
    assert math.isnan(line([1.0, 1.0], [1.0, 2.0]).r2)
    assert math.isnan(line([1.0, 2.0], [1.0, 1.0]).r2)


def table(**columns: object) -> pd.DataFrame:
    """Make the columns of a table of match-ups that are scored."""
    given = {"product": "chl_oc3", "variable": "chlorophyll_a", "sample": [1, 2, 3], "used": [True, True, False],
             "truth": [1.0, 2.0, 3.0], "estimate": [2.0, 4.0, np.nan], "unit": "mg m-3",
             "truth_unit": "mg m-3"}  # fmt: skip
    return pd.DataFrame(given | columns)


def test_a_table_counts_measurements_not_rows() -> None:
    """A measurement with two scenes is one; one that is not used is counted in the whole."""
    told = score(table())
    assert (told.n, told.of) == (2, 3)
    assert told.bias == pytest.approx(2)
    assert score(table(sample=[1, 1, 1])).of == 1


def test_several_products_are_not_mixed() -> None:
    """They are scored one by one."""
    both = pd.concat([table(), table(product="chl_gons", estimate=[1.0, 2.0, 3.0])])
    with pytest.raises(InputError, match="several products"):
        score(both)
    told = score_table(both).set_index("product")
    assert told.loc["chl_gons", "mdsa"] == pytest.approx(0, abs=1e-9)
    assert told.loc["chl_oc3", "n"] == 2
    assert score_table(table().iloc[:0]).empty


@pytest.mark.parametrize(
    "wrong", [(np.ones(3), np.ones(2)), (np.ones(3), None), (table(), np.ones(3)), (pd.DataFrame(),)]
)
def test_what_cannot_be_scored(wrong: tuple[Any, ...]) -> None:
    """Shapes that differ, no measurements, and other tables are refused."""
    with pytest.raises(InputError):
        score(*wrong)


@pytest.mark.parametrize("pairs", [20, 500])
def test_the_picture_tells_the_scores(pairs: int, tmp_path: Path) -> None:
    """Points or a density, the line of agreement, and n of N; it can be written."""
    truth = 10 ** np.random.default_rng(1).normal(0, 1, pairs)
    truth[0] = -1
    figure = scatter(truth * 1.3, truth, title="made")
    axes = figure.axes[0]
    assert f"n = {pairs - 1} of {pairs}" in axes.texts[0].get_text()
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert axes.get_xlim() == axes.get_ylim()
    assert axes.get_title() == "made"
    assert len(figure.axes) == (2 if pairs > 200 else 1)
    figure.savefig(tmp_path / "scatter.png")
    assert (tmp_path / "scatter.png").stat().st_size > 5000


def test_the_picture_of_a_table_names_what_is_drawn() -> None:
    """Axes carry product, variable and units."""
    axes = scatter(table()).axes[0]
    assert axes.get_xlabel() == "chlorophyll_a, measured [mg m-3]"
    assert axes.get_ylabel() == "chl_oc3, estimated [mg m-3]"


def test_no_picture_of_nothing() -> None:
    """Without a pair there is nothing to draw."""
    with pytest.raises(EmptyResultError, match="no pair"):
        scatter([np.nan], [1.0])
