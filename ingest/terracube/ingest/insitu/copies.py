"""What is told twice: the same observation in several files, or several times in one. It stays, and is no less good.

The same are rows of one station, method, replicate, variable, time and depth. A row without position is of the place
of the others; what is told of several places is several observations, as of a survey under one name.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from terracube.ingest.insitu.checks import Ints
from terracube.ingest.insitu.table import MISSING, Issue, remark

_SAMPLE = ["station", "method", "replicate", "variable", "time", "depth"]
_PLACE = ["lon", "lat"]
_MOST_TOLD = 1000


def samples(rows: pd.DataFrame) -> Ints:
    """Number the rows by what they are of: equal numbers for one sample; -1 for a row that is alone.

    Examples
    --------
    >>> from terracube.ingest.insitu.table import make
    >>> told = {"station": "A", "variable": "ph", "unit": "1", "source": "a:1"}
    >>> times = np.array(["2020-01-01", "2020-01-01", "2020-01-02"], "M8[us]")
    >>> samples(make(time=times, value=7.0, lon=[10.0, np.nan, 10.0], lat=[5.0, np.nan, 5.0], **told)).tolist()
    [0, 0, -1]
    """
    numbers = np.full(len(rows), -1, "int64")
    several = rows.duplicated(_SAMPLE, keep=False).to_numpy()
    if not several.any():
        return numbers
    chosen = rows.loc[several, [*_SAMPLE, *_PLACE]]
    group = chosen.groupby(_SAMPLE, sort=False, dropna=False).ngroup()
    by_group = chosen[_PLACE].groupby(group)
    least, most = by_group.transform("min"), by_group.transform("max")
    one = (least == most).all(axis=1)
    placed = chosen[_PLACE].where(chosen[_PLACE].notna().all(axis=1) | ~one, least).assign(group=group)
    numbers[several] = placed.groupby(["group", *_PLACE], sort=False, dropna=False).ngroup().to_numpy()
    return numbers


def copies(table: pd.DataFrame) -> tuple[pd.DataFrame, tuple[Issue, ...]]:
    """Tell which observations are there again, with the same value.

    Parameters
    ----------
    table : DataFrame
        Canonical. Rows that their reader has already called a ``duplicate`` are not told again.

    Returns
    -------
    table : DataFrame
        With the remark ``copy`` in ``qc_tests`` of rows that repeat another, which comes before them by its source.
    issues : tuple of Issue
        One per such row, by source; at most 1000, and then one that counts the rest.
    """
    there = np.flatnonzero((table["qc"] != MISSING).to_numpy())
    number = samples(table.iloc[there])
    there, number = there[number >= 0], number[number >= 0]
    rows = table.iloc[there].assign(sample=number, place=there).sort_values(["source", "variable"], kind="stable")
    same = ["sample", "value", "censored"]
    first = rows.groupby(same, sort=False)["source"].transform("first").to_numpy(object)
    told_before = rows["qc_tests"].str.contains("duplicate|copy", regex=True).to_numpy(bool)
    again = np.flatnonzero(rows.duplicated(same).to_numpy() & ~told_before)
    told = [_copy(rows.iloc[row], str(first[row])) for row in again[:_MOST_TOLD]]
    if len(again) > _MOST_TOLD:
        told.append(Issue("", None, "value", "further copies", f"{len(again) - _MOST_TOLD}", "flagged"))
    marked = np.zeros(len(table), bool)
    marked[rows["place"].to_numpy()[again]] = True
    return table.assign(qc_tests=remark(table["qc_tests"], "copy", marked)), tuple(told)


def _copy(row: pd.Series, first: str) -> Issue:
    file, _, place = str(row["source"]).rpartition(":")
    what = f"{row['variable']} of station {row['station']} is told again, as in {first}"
    value = str(row["original_value"])[:80]
    return Issue(file, int(place) if place.isdecimal() else None, "value", what, value, "flagged")
