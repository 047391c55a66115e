"""Anomalies: what was put on top of a season is found again, and no year hides its own extreme."""

import numpy as np
import pandas as pd
import pytest

from terracube.core.errors import InputError, MetadataError
from terracube.processing.water.lakes import anomaly


def season(years: int = 6, step: int = 10, *, noise: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """A series of waves of a year and half a year."""
    dates = pd.date_range("2017-01-03", periods=years * 365 // step, freq=f"{step}D")
    day = dates.dayofyear.to_numpy() - 1
    turn = 2 * np.pi * day / 365.2425
    values = 10 + 4 * np.cos(turn) - 2 * np.sin(turn) + np.cos(2 * turn)
    values += np.random.default_rng(seed).normal(0, noise, values.size) if noise else 0.0
    return pd.DataFrame({"id": "a", "time": dates, "chl": values})


def test_a_season_is_recovered() -> None:
    """Two waves are fitted exactly, and nothing is unusual."""
    found = anomaly(season(), "chl")
    np.testing.assert_allclose(found["expected"], season()["chl"], atol=1e-9)
    np.testing.assert_allclose(found["anomaly"], 0, atol=1e-9)


@pytest.mark.parametrize("method", ["harmonic", "window"])
def test_an_unusual_summer_is_found_whole(method: str) -> None:
    """The year that is judged does not take part: its anomaly is what was added."""
    table = season(noise=0.2)
    odd = (table["time"] >= "2020-06-01") & (table["time"] < "2020-09-01")
    table.loc[odd, "chl"] += 5.0
    found = anomaly(table, "chl", method=method)
    assert found.loc[odd, "anomaly"].median() == pytest.approx(5.0, abs=0.3)
    assert (found.loc[odd, "score"] > 3).all()
    assert abs(found.loc[~odd, "score"]).median() < 1.5


def test_scores_are_in_units_of_the_spread() -> None:
    """The spread is that of the noise, robustly."""
    found = anomaly(season(years=12, noise=0.5), "chl")
    assert found["spread"].median() == pytest.approx(0.5, rel=0.12)
    assert found["score"].std() == pytest.approx(1.0, rel=0.15)


def test_logarithms_give_ratios() -> None:
    """A bloom of ten times the usual is a ratio of ten; what is not positive is missing."""
    table = season()
    table["chl"] = 10.0 ** (table["chl"] / 10)
    table.loc[40, "chl"] *= 10
    table.loc[50, "chl"] = 0.0
    found = anomaly(table, "chl", log=True)
    assert found["anomaly"][40] == pytest.approx(10.0, rel=1e-6)
    assert np.isnan(found["anomaly"][50])
    assert found["value"][50] == 0.0


def test_missing_is_missing() -> None:
    """A gap has no anomaly, though what is expected could be told; the others stay."""
    table = season()
    table.loc[10:20, "chl"] = np.nan
    found = anomaly(table, "chl")
    assert found["anomaly"][10:21].isna().all()
    assert not found["anomaly"][21:].isna().any()


def test_too_few_years_say_nothing() -> None:
    """One other year is no climate, unless it is asked for."""
    table = season(years=2).iloc[4:-4]
    assert anomaly(table, "chl")["anomaly"].isna().all()
    assert not anomaly(table, "chl", min_years=1)["anomaly"].isna().all()
    assert anomaly(table.iloc[:5], "chl")["years"].max() == 0


def test_a_part_of_the_year_without_values_is_not_guessed() -> None:
    """Where winters were never seen, a winter has nothing to be compared with."""
    table = season()
    month = table["time"].dt.month
    winter = month.isin([12, 1, 2])
    table.loc[winter & (table["time"] < "2021-06-01"), "chl"] = np.nan
    found = anomaly(table, "chl")
    last = winter & (table["time"] >= "2022-01-20") & (table["time"] < "2022-02-05")
    assert last.any()
    assert found.loc[last, "anomaly"].isna().all()
    assert found.loc[month == 7, "anomaly"].notna().all()


def test_the_turn_of_the_year_is_near() -> None:
    """The last days of December are near the first of January."""
    dates = pd.to_datetime(["2018-12-30", "2020-01-02", "2021-12-31", "2023-01-03"])
    found = anomaly(pd.DataFrame({"time": dates, "chl": [1.0, 2.0, 3.0, 10.0]}), "chl", method="window", window=7)
    assert found["expected"].tolist() == [3.0, 3.0, 2.0, 2.0]
    assert found["years"].tolist() == [3, 3, 3, 3]


@pytest.mark.parametrize("method", ["harmonic", "window"])
def test_an_event_over_the_turn_of_the_year_does_not_hide_itself(method: str) -> None:
    """Of a flood from December to January no day counts for another, though the years differ."""
    table = season(noise=0.2)
    flood = (table["time"] >= "2019-12-15") & (table["time"] < "2020-01-16")
    table.loc[flood, "chl"] += 50.0
    found = anomaly(table, "chl", method=method, window=10)
    assert found.loc[flood, "anomaly"].to_numpy() == pytest.approx(50.0, abs=1.5)
    dates = pd.to_datetime(["2018-01-02", "2019-12-28", "2020-01-03", "2021-01-04"])
    few = anomaly(pd.DataFrame({"time": dates, "chl": [1.0, 40.0, 41.0, 3.0]}), "chl", method="window")
    assert few["expected"].tolist()[1:3] == [2.0, 2.0]
    assert few["n"].tolist() == [3, 2, 2, 3]
    assert few["years"].tolist() == [2, 2, 2, 2]


@pytest.mark.parametrize(("harmonics", "size"), [(0, 1), (1, 3), (3, 7)])
def test_the_fit_is_that_of_least_squares(harmonics: int, size: int) -> None:
    """Written a second time: the fit to what lies more than half a year away, and its robust spread."""
    table = season(noise=0.7)
    days = table["time"].to_numpy().astype("datetime64[D]")
    turn = 2 * np.pi * (table["time"].dt.dayofyear.to_numpy() - 1) / 365.2425
    columns = [np.ones(turn.size)]
    for wave in range(1, harmonics + 1):
        columns += [np.cos(wave * turn), np.sin(wave * turn)]
    design, values = np.stack(columns, axis=1), table["chl"].to_numpy()
    found = anomaly(table, "chl", harmonics=harmonics)
    for at in (0, 57, 101, len(table) - 1):
        others = np.abs((days - days[at]).astype(int)) > 182.62125
        fitted, *_ = np.linalg.lstsq(design[others], values[others])
        assert found["expected"][at] == pytest.approx(design[at] @ fitted, abs=1e-9)
        left = np.median(np.abs(values[others] - design[others] @ fitted))
        spread = 1.4826 * left * np.sqrt(others.sum() / (others.sum() - size))
        assert found["spread"][at] == pytest.approx(spread, rel=1e-9)


def test_years_of_reference() -> None:
    """Only what lies in the given span makes up what is expected."""
    table = season(years=8)
    table.loc[table["time"] >= "2021-01-01", "chl"] += 3.0
    found = anomaly(table, "chl", relative_to=("2017-01-01", "2020-12-31"))
    np.testing.assert_allclose(found.loc[table["time"] >= "2021-01-01", "anomaly"], 3.0, atol=1e-8)


def test_lakes_are_judged_by_themselves_in_any_order() -> None:
    """Rows come back in their order, whichever lakes lie between."""
    one, two = season(noise=0.1), season(noise=0.1, seed=1).assign(id="b")
    both = pd.concat([one, two], ignore_index=True).sample(frac=1, random_state=0)
    found = anomaly(both, "chl")
    assert found.index.tolist() == both.index.tolist()
    alone = anomaly(one, "chl")
    np.testing.assert_allclose(found.loc[alone.index, "anomaly"], alone["anomaly"], atol=1e-9)


def test_an_empty_table_and_rows_of_one_name() -> None:
    """No rows give no rows; an index that repeats itself changes nothing."""
    assert not len(anomaly(season().iloc[:0], "chl"))
    both = pd.concat([season(noise=0.1), season(noise=0.1).assign(id="b")])
    found = anomaly(both, "chl")
    assert found["id"].tolist() == both["id"].tolist()
    np.testing.assert_array_equal(found["anomaly"][:100], found["anomaly"][len(season()) :][:100])


def test_what_is_wrong_is_refused() -> None:
    """Columns, options and dates."""
    table = season()
    with pytest.raises(InputError, match="no such column"):
        anomaly(table, "spm")
    for wrong in ({"method": "mean"}, {"window": 0}, {"harmonics": -1}, {"min_years": 0}, {"years": 3}):
        with pytest.raises(InputError):
            anomaly(table, "chl", **wrong)
    with pytest.raises(InputError, match="no dates"):
        anomaly(table, "chl", relative_to=("long ago", "2020-01-01"))
    with pytest.raises(MetadataError, match="a date is missing"):
        anomaly(table.assign(time=pd.NaT), "chl")
