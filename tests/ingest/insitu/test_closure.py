"""Closure of the chemistry: balances that cannot be kept are found, and only those."""

from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from terracube.core.errors import InputError
from terracube.ingest.insitu.closure import CLOSURES, Tolerance, close, load_tolerance
from terracube.ingest.insitu.table import check, empty, join, make
from terracube.ingest.insitu.vocabulary import vocabulary

# One sample of a lake, whose balances close: mg/L.
SAMPLE = {
    "suspended_matter": 5.0,
    "suspended_matter_organic": 2.0,
    "suspended_matter_inorganic": 3.0,
    "tn": 1.0,
    "dtn": 0.8,
    "no3_n": 0.3,
    "no2_n": 0.01,
    "nh4_n": 0.1,
    "tp": 0.05,
    "dtp": 0.03,
    "po4_p": 0.02,
}
EXACT = Tolerance(relative=0.0)


def sample(values=None, marks=None, station="Namco", **told):
    """A canonical table of one sample."""
    measured = {**SAMPLE, **(values or {})}
    measured = {name: value for name, value in measured.items() if value is not None}
    rows = [f"lakes.xlsx:{row + 2}" for row in range(len(measured))]
    return make(
        station=station,
        time=np.array(["2019-08-20"] * len(measured), "M8[us]"),
        variable=list(measured),
        value=list(measured.values()),
        unit=[vocabulary()[name].unit for name in measured],
        censored=[(marks or {}).get(name, "") for name in measured],
        source=rows,
        **told,
    )


def suspects(table):
    """Variables that are suspect."""
    return sorted(table["variable"][table["qc"] == 3])


def test_a_sample_that_closes_is_good():
    """Nothing is flagged, and what was tested is good."""
    closed, issues = close(sample())
    assert issues == ()
    assert set(closed["qc"]) == {1}
    check(closed)


def test_every_balance_has_one_unit():
    """All variables of a balance are told in the same unit, so that they can be added."""
    for closure in CLOSURES:
        assert len({vocabulary()[name].unit for name in (closure.whole, *closure.parts)}) == 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {"suspended_matter": 9.0},
            ["suspended_matter", "suspended_matter_inorganic", "suspended_matter_organic"],
        ),
        (
            {"suspended_matter": 3.0},
            ["suspended_matter", "suspended_matter_inorganic", "suspended_matter_organic"],
        ),
        ({"tn": 0.6}, ["dtn", "tn"]),
        ({"dtn": 0.2}, ["dtn", "nh4_n", "no2_n", "no3_n"]),
        ({"tn": 0.6, "dtn": None, "nh4_n": 1.0}, ["nh4_n", "no2_n", "no3_n", "tn"]),
        ({"dtp": 0.08}, ["dtp", "tp"]),
        ({"po4_p": 0.041}, ["dtp", "po4_p"]),
        ({"dtp": None, "po4_p": 20.0}, ["po4_p", "tp"]),  # ug/L taken for mg/L
    ],
)
def test_a_broken_balance_is_found_with_its_rows(values, expected):
    """Exactly the rows of the balance become suspect, with its name."""
    closed, issues = close(sample(values))
    assert suspects(closed) == expected
    assert issues
    assert all(issue.source == "lakes.xlsx" and issue.row is not None for issue in issues)
    told = closed["qc_tests"][closed["qc"] == 3]
    assert told.str.startswith("closure_").all()


def test_within_the_uncertainty_a_balance_is_kept():
    """10 % of each value, and the detection limits, are allowed for; no more."""
    off = sample({"suspended_matter": 6.0})
    assert close(off)[1] == ()
    assert close(off, EXACT)[1] != ()
    assert close(off, Tolerance(relative=0.0, detection_limits={"suspended_matter": 1.0}))[1] == ()
    assert close(off, Tolerance(relative=0.0, by_variable={"suspended_matter": 0.2}))[1] == ()


def test_censored_values_are_intervals():
    """``<L`` may be anything from 0 to L; ``>L`` anything above."""
    total = {"suspended_matter": 5.0, "suspended_matter_organic": 6.0}
    assert close(sample(total, {"suspended_matter_organic": "<"}), EXACT)[1] == ()
    assert close(sample({"suspended_matter": 4.0}, {"suspended_matter": ">"}), EXACT)[1] == ()
    assert close(sample({"suspended_matter": 4.0}, {"suspended_matter": "<"}), EXACT)[1] != ()
    assert close(sample({"dtp": 0.9}, {"dtp": "<"}), EXACT)[1] == ()
    assert close(sample({"dtp": 0.9}, {"dtp": ">"}), EXACT)[1] != ()


def test_what_was_not_measured_breaks_nothing():
    """A sum with a part missing is not tested; a whole is held against the parts that are there."""
    closed, issues = close(sample({"suspended_matter_organic": None, "suspended_matter": 2.0}), EXACT)
    assert issues == ()
    assert closed["qc"][closed["variable"] == "suspended_matter"].tolist() == [2]
    assert close(sample({"no2_n": None, "nh4_n": None, "no3_n": 0.9}), EXACT)[1] != ()
    missing = sample({"tn": np.nan})
    assert close(missing)[1] == ()
    assert close(missing)[0]["qc"].tolist()[3] == 9


def test_failed_values_take_no_part():
    """A value that failed elsewhere neither breaks a balance nor is doubted again."""
    table = sample({"suspended_matter": 900.0})
    table["qc"] = np.where(table["variable"] == "suspended_matter", 4, table["qc"]).astype("uint8")
    closed, issues = close(table)
    assert issues == ()
    assert closed["qc"][closed["variable"] == "suspended_matter"].tolist() == [4]


def test_samples_are_apart():
    """Stations, times, depths and replicates are not mixed; depths that are not told make one sample."""
    good, wrong = sample(), sample({"suspended_matter": 9.0}, station="Selinco")
    closed, issues = close(join([good, wrong]))
    assert [issue.value.split(",")[0] for issue in issues] == ["station Selinco"]
    for name, labels in {"depth": [0.0, 10.0], "replicate": ["1", "2"]}.items():
        parts = [sample(**{name: label}) for label in labels]
        parts[1].loc[0, "value"] = 50.0
        closed, issues = close(join(parts))
        assert len(issues) == 1, name
        assert (closed["qc"] == 3).sum() == 3


def test_several_values_of_one_variable_span_an_interval():
    """Two methods for one whole: the balance is broken only if neither can keep it."""
    second = sample({"suspended_matter": 9.0}, method="other")
    assert close(join([sample(), second[second["variable"] == "suspended_matter"]]))[1] == ()


def test_a_table_without_chemistry_stays():
    """Nothing to test: nothing is changed; no row, and other variables only."""
    assert len(close(empty())[0]) == 0
    other = make(station="A", time=np.array(["2020-01-01"], "M8[us]"), variable="ph", value=[7.0], unit="1", source="a")
    pd.testing.assert_frame_equal(close(other)[0], other)


def test_another_unit_is_refused():
    """A balance is never summed over units."""
    table = sample()
    table.loc[table["variable"] == "po4_p", "unit"] = "ug L-1"
    with pytest.raises(InputError, match="canonical unit"):
        close(table)


def test_many_broken_balances_are_counted():
    """Beyond a thousand, issues are told as a number; all rows are flagged."""
    one = sample({"suspended_matter": 9.0})
    parts = pd.concat([one.assign(station=f"S{n}") for n in range(1005)], ignore_index=True)
    parts["station"] = parts["station"].astype(one["station"].dtype)
    closed, issues = close(parts)
    assert len(issues) == 1001
    assert issues[-1].value == "5"
    assert (closed["qc"] == 3).sum() == 3 * 1005


@settings(max_examples=40, deadline=None)
@given(
    parts=st.lists(st.floats(0, 100), min_size=2, max_size=2),
    errors=st.lists(st.floats(-0.09, 0.09), min_size=3, max_size=3),
    seed=st.integers(0, 1000),
)
def test_measured_balances_are_never_broken(parts, errors, seed):
    """Whatever errors within the stated 10 % the laboratory makes, in whatever order the rows come, all is kept."""
    truth = [sum(parts), *parts]
    measured = [value * (1 + error) for value, error in zip(truth, errors, strict=True)]
    table = sample(dict(zip(list(SAMPLE)[:3], measured, strict=True)))
    shuffled = table.sample(frac=1.0, random_state=seed).reset_index(drop=True)
    closed, issues = close(shuffled)
    assert issues == ()
    pd.testing.assert_frame_equal(close(closed)[0], closed)


def test_tolerances_are_read(tmp_path: Path):
    """From YAML; what is wrong is told."""
    file = tmp_path / "lab.yaml"
    file.write_text("relative: 0.05\ndetection_limits: {tp: 0.01}\n")
    assert load_tolerance(file) == Tolerance(relative=0.05, detection_limits={"tp": 0.01})
    file.write_text("relative: 2\n")
    with pytest.raises(InputError, match="relative"):
        load_tolerance(file)
