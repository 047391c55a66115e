"""Series as xarray objects: sorted, described, and never mixed silently."""

from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from terracube.core.errors import BudgetError, InputError, NotFoundError
from terracube.ingest.insitu import series as module
from terracube.ingest.insitu.dataset import DataSet
from terracube.ingest.insitu.series import series
from terracube.ingest.insitu.store import publish_dataset
from terracube.ingest.insitu.table import join, make
from terracube.stac import Catalog

DAYS = np.datetime64("2020-01-01", "us") + np.arange(6) * np.timedelta64(1, "D")


def rows(values, times=None, **told):
    """Water temperatures of station A."""
    facts = {"station": "A", "variable": "water_temperature", "unit": "degC", "lon": 10.0, "lat": 45.0, "source": "a:1"}
    return make(time=DAYS[: len(values)] if times is None else times, value=values, **{**facts, **told})


def test_a_series_over_time():
    """Sorted by time, with CF attributes, position, flags and censoring beside it."""
    table = rows([3.0, 1.0, 2.0], DAYS[[2, 0, 1]], qc=[1, 1, 2], censored=["", "<", ""], depth=0.5)
    found = series(table, "A", "water_temperature")
    assert found.dims == ("time",)
    assert found.values.tolist() == [1.0, 2.0, 3.0]
    assert found["time"].to_numpy().tolist() == DAYS[:3].tolist()
    assert found["censored"].to_numpy().tolist() == ["<", "", ""]
    assert found["qc"].to_numpy().tolist() == [1, 2, 1]
    assert found.attrs["units"] == "degC"
    assert found.attrs["standard_name"] == "sea_water_temperature"
    assert found["qc"].attrs["flag_meanings"].split()[0] == "good"
    assert (float(found["lon"]), float(found["lat"]), float(found["depth"])) == (10.0, 45.0, 0.5)
    assert str(found["station"].values) == "A"


def test_flags_choose():
    """Good and not evaluated ones unless told; missing ones never; all bad gives an empty series, not an error."""
    table = rows([1.0, 2.0, 3.0, 4.0, np.nan], qc=[1, 2, 3, 4, 9])
    assert series(table, "A", "water_temperature").values.tolist() == [1.0, 2.0]
    assert series(table, "A", "water_temperature", qc=(1, 2, 3, 4, 9)).values.tolist() == [1.0, 2.0, 3.0, 4.0]
    none = series(table.iloc[3:], "A", "water_temperature")
    assert none.sizes == {"time": 0}
    assert none.attrs["units"] == "degC"


def test_profiles():
    """Several depths make a second axis; what was not measured is NaN and flagged missing."""
    table = join([rows([8.0, 9.0], depth=0.5), rows([5.0], depth=10.0)])
    found = series(table, "A", "water_temperature")
    assert found.dims == ("time", "depth")
    np.testing.assert_array_equal(found.values, [[8.0, 5.0], [9.0, np.nan]])
    assert found["qc"].values.tolist() == [[2, 2], [2, 9]]
    assert found["depth"].attrs["positive"] == "down"
    assert series(table, "A", "water_temperature", depth=10.0).values.tolist() == [5.0]
    assert series(table, "A", "water_temperature", depth=10.0).dims == ("time",)
    with pytest.raises(InputError, match="depths"):
        series(join([table, rows([1.0])]), "A", "water_temperature")


def test_depths_are_rounded_on_request():
    """Casts that never meet the same depth share levels."""
    casts = [rows([5.0, 4.0], DAYS[[day, day]], depth=[1.0 + 0.1 * day, 2.0 + 0.1 * day]) for day in range(4)]
    assert series(join(casts), "A", "water_temperature").sizes == {"time": 4, "depth": 8}
    assert series(join(casts), "A", "water_temperature", depth_step=1.0)["depth"].values.tolist() == [1.0, 2.0]


def test_several_values_are_never_chosen_silently():
    """Copies are one; methods, replicates and contradictions are told, or averaged on request."""
    assert series(join([rows([5.0]), rows([5.0])]), "A", "water_temperature").values.tolist() == [5.0]
    two = join([rows([4.0], method="m1", qc=[1]), rows([6.0], method="m2", qc=[2])])
    with pytest.raises(InputError, match="m1") as caught:
        series(two, "A", "water_temperature")
    assert "average=True" in str(caught.value)
    assert series(two, "A", "water_temperature", method="m2").values.tolist() == [6.0]
    mean = series(two, "A", "water_temperature", average=True)
    assert (mean.values.tolist(), mean["qc"].values.tolist()) == ([5.0], [2])
    limits = join([rows([4.0], replicate="1", censored="<"), rows([6.0], replicate="2")])
    assert series(limits, "A", "water_temperature", average=True)["censored"].values.tolist() == ["<"]
    opposite = join([limits.iloc[:1], rows([6.0], replicate="2", censored=">")])
    with pytest.raises(InputError, match="limit"):
        series(opposite, "A", "water_temperature", average=True)


def test_moving_platforms():
    """Positions follow the time."""
    found = series(rows([1.0, 2.0], lon=[10.0, 11.0], lat=[45.0, 46.0]), "A", "water_temperature")
    assert found["lon"].dims == ("time",)
    assert found["lat"].values.tolist() == [45.0, 46.0]


def test_what_is_not_there_is_told():
    """An unknown station, variable or choice; nothing is invented."""
    table = rows([1.0])
    for station, variable in (("B", "water_temperature"), ("A", "ph")):
        with pytest.raises(NotFoundError):
            series(table, station, variable)
    with pytest.raises(InputError, match="choice"):
        series(table, "A", "water_temperature", colour="red")
    unknown = rows([1.0], variable="foo", unit="bar")
    assert series(unknown, "A", "foo").attrs == {"long_name": "foo", "units": "bar"}


def test_too_many_cells_are_refused(monkeypatch: pytest.MonkeyPatch):
    """A grid of times and depths beyond the bound is an error with a way out, not memory."""
    monkeypatch.setattr(module, "_MOST_CELLS", 3)
    with pytest.raises(BudgetError, match="depth_step"):
        series(rows([1.0, 2.0], depth=[1.0, 2.0]), "A", "water_temperature")


def test_a_series_of_a_catalogue(tmp_path: Path):
    """From a catalogue, open or as a path, as from the table."""
    catalog = Catalog.create(tmp_path / "catalogue")
    table = join([rows([1.0, 2.0, 3.0]), rows([7.0], variable="ph", unit="1")])
    publish_dataset(DataSet("d", table, (), "c" * 64), catalog)
    for source in (catalog, catalog.root, str(catalog.root)):
        assert series(source, "A", "water_temperature").identical(series(table, "A", "water_temperature"))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), size=st.integers(1, 30))
def test_the_order_of_rows_is_nothing(seed, size):
    """Shuffled rows give the same object."""
    draw = np.random.default_rng(seed)
    times = np.datetime64("2020-01-01", "us") + draw.permutation(size).astype("m8[h]")
    table = rows(draw.normal(5, 1, size), times, depth=draw.choice([1.0, 2.0], size))
    shuffled = table.sample(frac=1.0, random_state=seed).reset_index(drop=True)
    assert series(shuffled, "A", "water_temperature").identical(series(table, "A", "water_temperature"))
