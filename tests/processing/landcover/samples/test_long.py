"""Labelled series from long tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from terracube.core.errors import ConflictError, InputError
from terracube.processing.landcover.samples import read_series, series_of

ROWS = pd.DataFrame(
    {
        "sample": ["b", "b", "a", "a"],
        "longitude": [1.0, 1, 2, 2],
        "latitude": [44.0] * 4,
        "label": ["water"] * 2 + ["maize"] * 2,
        "date": ["2018-05-01", "2018-05-11", "2018-05-11", "2018-05-01"],
        "red": [0.1, 0.2, 0.4, 0.3],
        "nir": ["0.5", "", "0.7", "NaN"],
    }
)


def change(**columns: Any) -> pd.DataFrame:
    """Give the table with other columns."""
    return ROWS.assign(**columns)


def test_table_becomes_series() -> None:
    """Samples in the order of the file, dates in order, bands in columns, nothing as NaN."""
    found = series_of(ROWS, nomenclature="oso-23")
    assert found.sample.tolist() == ["b", "a"]
    assert found.labels.tolist() == [23, 10]
    assert found.days.tolist() == [0, 10]
    assert found.bands == ("red", "nir")
    np.testing.assert_array_equal(
        found.values, np.float32([[[0.1, 0.5], [0.2, np.nan]], [[0.3, np.nan], [0.4, 0.7]]])
    )  # fmt: skip
    assert found.start.astype(str).tolist() == ["2018-05-01"] * 2
    assert found.lon.tolist() == [1, 2]
    assert found.crs == "EPSG:4326"


def test_rows_in_any_order_give_the_same() -> None:
    """Only the order of the samples follows the rows."""
    found, turned = series_of(ROWS), series_of(ROWS.iloc[::-1].reset_index(drop=True))
    back = turned.take([1, 0])
    np.testing.assert_array_equal(found.values, back.values)
    assert found.sample.tolist() == back.sample.tolist()


def test_seasons() -> None:
    """Day 0 is the first date, the day of the year that is told, or the column's."""
    assert series_of(ROWS, season="03-01").days.tolist() == [61, 71]
    own = change(start=["2018-04-01"] * 2 + ["2018-05-01"] * 2)
    found = series_of(own)
    assert found.days.tolist() == [0, 10, 30, 40]
    assert np.isnan(found.values[0, :2, 0]).all()
    assert np.isnan(found.values[1, 2:, 0]).all()


def test_groups_by_place_or_column() -> None:
    """Samples at one place are one group; without places each is alone; a column says it otherwise."""
    assert series_of(change(longitude=1.0)).groups.tolist() == [0, 0]
    assert series_of(ROWS).groups.tolist() == [0, 1]
    assert series_of(change(longitude=np.nan)).groups.tolist() == [0, 1]
    assert series_of(change(polygon=["x"] * 4)).groups.tolist() == [0, 0]
    assert series_of(ROWS.drop(columns=["longitude", "latitude"])).groups.tolist() == [0, 1]


def test_labels_left_out() -> None:
    """An ignored label goes with all its rows, and is told."""
    found = series_of(ROWS, ignore=["WATER"])
    assert found.sample.tolist() == ["a"]
    assert found.left_out[0].id == "label 'water'"


@pytest.mark.parametrize(
    ("columns", "options", "error", "told"),
    [
        ({"label": ["water", "maize"] * 2}, {}, ConflictError, "two values of label"),
        ({"longitude": [1.0, 2, 2, 2]}, {}, ConflictError, "two values of longitude"),
        ({"date": "2018-05-01"}, {}, ConflictError, "two observations at one time"),
        ({"date": "01.05.2018"}, {}, InputError, "day cannot be read"),
        ({"date": ["2018-05-01", None, "2018-05-01", "2018-06-01"]}, {}, InputError, "date is missing"),
        ({"nir": ["x"] * 4}, {}, InputError, "no number.*row 0"),
        ({"nir": [np.inf] * 4}, {}, InputError, "no number"),
        ({}, {"bands": ["blue"]}, InputError, "no bands"),
        ({}, {"bands": ["red", "red"]}, InputError, "no bands"),
        ({}, {"bands": ["label"]}, InputError, "no bands"),
        ({}, {"season": "02-30"}, InputError, "season"),
        ({}, {"columns": {"date": "day"}}, InputError, "no column for date"),
    ],
)
def test_wrong_tables(columns: Any, options: Any, error: type[Exception], told: str) -> None:
    """What contradicts itself or cannot be read is told with its place."""
    with pytest.raises(error, match=told):
        series_of(change(**columns), **options)


def test_dates_and_names_are_a_must() -> None:
    """Without a column of dates or samples there are no series."""
    with pytest.raises(InputError, match="column is missing"):
        series_of(ROWS.drop(columns="sample"))


def test_values_beyond_float32_are_missing() -> None:
    """A number that float32 cannot hold is no observation."""
    assert np.isnan(series_of(change(red=1e300)).values[..., 0]).all()


def test_only_long_tables(tmp_path: Path) -> None:
    """Series are read from a CSV alone."""
    (tmp_path / "a.gpkg").write_bytes(b"")
    with pytest.raises(InputError, match="long table"):
        read_series(tmp_path / "a.gpkg")


def test_mato_grosso(data_dir: Path) -> None:
    """1 892 series of 23 dates and 6 bands in 9 classes; leap years shift no date apart; values are the file's."""
    path = data_dir / "landcover/mato-grosso-modis/br_mt_1_8K_9classes_6bands.csv.gz"
    found = read_series(path, bands=["NDVI", "EVI"])
    assert found.values.shape == (1892, 23, 2)
    assert np.isfinite(found.values).all()
    assert len(np.unique(found.groups)) == 1406
    assert found.days[7] == 109.5
    table = pd.read_csv(path)
    np.testing.assert_array_equal(found.values[..., 0].ravel(), table["NDVI"].to_numpy(np.float32))
    assert found.nomenclature is not None
    names = [found.nomenclature.of(code).title.en for code in found.labels]
    assert names == table.groupby("sample")["label"].first().tolist()
    fixed = read_series(path, season="09-01")
    assert fixed.values.shape == (1892, 23, 6)
    assert fixed.days[0] in (12.5, 13.0)


def test_other_real_tables(data_dir: Path) -> None:
    """Cerrado: 746 series in two classes; Sinop: 1 218 in four."""
    cerrado = read_series(data_dir / "landcover/cerrado-modis/cerrado_2classes.csv.gz")
    assert (cerrado.values.shape, cerrado.classes) == ((746, 23, 2), {1: 400, 2: 346})
    sinop = read_series(data_dir / "landcover/sinop-modis/samples_modis_ndvi.csv.gz")
    assert sinop.classes == {1: 379, 2: 131, 3: 344, 4: 364}
