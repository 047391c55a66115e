"""The canonical table of measurements: one row per observation, the same columns whatever the file was.

What a row cannot tell stays empty: NaN for numbers, an empty text for words. Nothing that was delivered is dropped
without a word: what could not be used, and what looks wrong, is an `Issue` that names the file and the row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from terracube.core.errors import InputError

#: Texts are kept by Arrow: a million names take megabytes, not hundreds of them, in pandas 2 and in pandas 3.
TEXT = pd.StringDtype("pyarrow", na_value=np.nan)
TIME = pd.DatetimeTZDtype("us", "UTC")
COLUMNS: Mapping[str, Any] = MappingProxyType(
    {
        "station": TEXT,
        "station_name": TEXT,
        "time": TIME,
        "lon": np.dtype("float64"),
        "lat": np.dtype("float64"),
        "depth": np.dtype("float64"),
        "variable": TEXT,
        "value": np.dtype("float64"),
        "unit": TEXT,
        "method": TEXT,
        "replicate": TEXT,
        "censored": TEXT,
        "qc": np.dtype("uint8"),
        "qc_tests": TEXT,
        "original_value": TEXT,
        "original_unit": TEXT,
        "source": TEXT,
    }
)
#: QARTOD flags (IOOS, Manual for Real-Time Quality Control Data Flags, version 1.2, table 2).
GOOD, NOT_EVALUATED, SUSPECT, FAIL, MISSING = 1, 2, 3, 4, 9
FLAGS = (GOOD, NOT_EVALUATED, SUSPECT, FAIL, MISSING)
CENSORED = ("", "<", ">")
#: How many issues of one kind are told one by one; the rest is told as a number.
_MAX_TOLD = 1000

Action = Literal["flagged", "left out", "refused"]


@dataclass(frozen=True, slots=True)
class Issue:
    """Something in a file that was not used, or used with a doubt."""

    source: str
    """Name of the file."""
    row: int | None
    """Row of the file, counted from 1 as a person sees it; None if it concerns the whole file or a column."""
    field: str
    """Column or field concerned."""
    what: str
    """What is wrong, in a sentence."""
    value: str
    """What stood there."""
    action: Action
    """``flagged``: kept, with a doubt; ``left out``: no row was made of it; ``refused``: a column was not read."""

    def __str__(self) -> str:
        place = self.source + (f", row {self.row}" if self.row is not None else "")
        value = f": {self.value}" if self.value else ""
        return f"{place}, {self.field}: {self.what}{value} ({self.action})"


@dataclass(frozen=True, slots=True)
class Observations:
    """What a file of measurements gave."""

    table: pd.DataFrame
    """One row per observation, as `COLUMNS` says."""
    issues: tuple[Issue, ...] = ()
    """What was left out or doubted."""
    about: Mapping[str, str] = field(default_factory=dict)
    """What is known of the data set: title, attribution, licence, doi, url."""
    notes: tuple[str, ...] = ()
    """What was done on the way and is good to know: how the text was decoded, a conversion by a molar mass."""
    beside: tuple[Path, ...] = ()
    """Files beside the one that was read which completed it, such as a list of sites with their positions."""


def empty() -> pd.DataFrame:
    """Give the canonical table without rows.

    Examples
    --------
    >>> len(empty()), list(empty().columns)[:3]
    (0, ['station', 'station_name', 'time'])
    """
    return pd.DataFrame({name: pd.Series([], dtype=dtype) for name, dtype in COLUMNS.items()})


def make(size: int | None = None, **columns: Any) -> pd.DataFrame:
    """Make a canonical table of columns: arrays, series or lists of one length, or one value for all rows.

    Parameters
    ----------
    size : int, optional
        Number of rows; needed only if every column is one value.
    **columns
        By the names of `COLUMNS`; texts may be Arrow arrays. Left out: texts are empty, numbers NaN, times unknown,
        ``qc`` 2 (9 where the value is NaN). Times must be told in UTC, with a zone or without (``datetime64``).

    Raises
    ------
    InputError
        If a column is unknown, or the lengths differ, or a value does not fit the column.

    Examples
    --------
    >>> table = make(station="A", time=np.array(["2020-01-01T12:00"], "M8[us]"), variable="ph", value=[8.1], unit="1")
    >>> table.loc[0, "qc"], str(table.time[0]), table.loc[0, "method"]
    (np.uint8(2), '2020-01-01 12:00:00+00:00', '')
    """
    unknown = sorted(set(columns) - set(COLUMNS))
    if unknown:
        raise InputError("no such column", where="in-situ table", expected=", ".join(COLUMNS), got=", ".join(unknown))
    rows = _length(size, columns)
    made = {name: _column(name, columns.get(name), rows) for name in COLUMNS}
    if columns.get("qc") is None:
        made["qc"] = pd.Series(np.where(np.isnan(made["value"]), MISSING, NOT_EVALUATED).astype("uint8"))
    return pd.DataFrame(made)


def join(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put canonical tables below each other, with a fresh index."""
    kept = [table for table in tables if len(table)]
    return pd.concat(kept, ignore_index=True) if kept else empty()


def check(frame: pd.DataFrame) -> None:
    """Hold a table to the contract: columns and types, stations, units, flags, censoring, positions in range or NaN.

    Raises
    ------
    InputError
        Naming the column and the first row (of the table, from 0) that does not fit.
    """
    if list(frame.columns) != list(COLUMNS):
        raise _wrong("columns", ", ".join(COLUMNS), ", ".join(map(str, frame.columns))[:500])
    for name, dtype in COLUMNS.items():
        if frame[name].dtype != dtype:
            raise _wrong(name, str(dtype), str(frame[name].dtype))
        if dtype == TEXT:
            _must(~frame[name].isna(), name, "a text, empty if not known")
    for name in ("station", "variable", "source", "unit"):
        _must(frame[name] != "", name, "never empty")
    _must(~frame["time"].isna(), "time", "a time")
    _must(frame["qc"].isin(FLAGS), "qc", f"one of {FLAGS}")
    _must(frame["censored"].isin(CENSORED), "censored", f"one of {CENSORED}")
    _must(frame["value"].notna() | (frame["qc"] == MISSING), "value", "NaN only where qc is 9")
    _must(frame["lon"].isna() == frame["lat"].isna(), "lon", "known where lat is known")
    _must(~np.isinf(frame[["lon", "lat", "depth", "value"]]).any(axis=1), "value", "finite")


def tell(
    source: str, rows: Sequence[int] | np.ndarray, field: str, *, what: str, values: Sequence[Any], action: Action
) -> list[Issue]:
    """Make an issue for each of the rows, at most a thousand, and one that counts the rest.

    Parameters
    ----------
    source : str
        Name of the file.
    rows : sequence of int
        Rows of the file, from 1.
    field, what, action
        As in `Issue`.
    values : sequence
        What stood in each row.

    Examples
    --------
    >>> [str(issue) for issue in tell("a.csv", [3], "T", what="no number", values=["x"], action="left out")]
    ['a.csv, row 3, T: no number: x (left out)']
    """
    told = [
        Issue(source, int(row), field, what, str(value)[:80], action)
        for row, value in zip(rows[:_MAX_TOLD], values[:_MAX_TOLD], strict=True)
    ]
    more = len(rows) - len(told)
    if more > 0:
        told.append(Issue(source, None, field, what, f"{more} more rows, the last is row {int(rows[-1])}", action))
    return told


def doubt(tests: pd.Series, test: str, where: np.ndarray | pd.Series, flag: int = SUSPECT) -> pd.Series:
    """Add ``test:flag`` to the column ``qc_tests`` where a test is not passed.

    Examples
    --------
    >>> doubt(pd.Series(["", "spike:3"], dtype=TEXT), "duplicate", np.array([True, True])).tolist()
    ['duplicate:3', 'spike:3,duplicate:3']
    """
    return remark(tests, f"{test}:{flag}", where)


def remark(tests: pd.Series, name: str, where: np.ndarray | pd.Series) -> pd.Series:
    """Add a name without a flag to the column ``qc_tests``: something to know of a row that is no fault of its value.

    Names in use: ``day_only`` (no time of day was told, 00:00 stands for it), ``period`` (only a period was told, its
    middle stands for it), ``copy`` (another row tells the same observation).

    Examples
    --------
    >>> remark(pd.Series(["", "spike:3"], dtype=TEXT), "day_only", np.array([True, True])).tolist()
    ['day_only', 'spike:3,day_only']
    """
    hit = np.asarray(where, dtype=bool)
    if not hit.any():
        return tests
    told = tests.copy()
    chosen = tests[hit]
    told[hit] = chosen.where(chosen == "", chosen + ",") + name
    return told


def _length(size: int | None, columns: Mapping[str, Any]) -> int:
    lengths = {len(values) for values in columns.values() if _many(values)}
    if size is not None:
        lengths.add(size)
    if len(lengths) != 1:
        raise InputError(
            "the columns have no common length", where="in-situ table", expected="one length", got=str(sorted(lengths))
        )
    return lengths.pop()


def _many(values: Any) -> bool:
    return values is not None and not isinstance(values, str) and hasattr(values, "__len__")


def _column(name: str, values: Any, rows: int) -> pd.Series:
    dtype = COLUMNS[name]
    try:
        if dtype == TEXT:
            return _texts("" if values is None else values, rows)
        if dtype == TIME:
            return _times(pd.NaT if values is None else values, rows)
        start = (NOT_EVALUATED if name == "qc" else np.nan) if values is None else values
        # Copied: the table never shares memory with what the caller may still change.
        return pd.Series(np.broadcast_to(np.asarray(start, dtype=dtype), rows).copy())
    except (ValueError, TypeError, OverflowError, AttributeError, pa.ArrowException) as error:
        raise _wrong(name, str(dtype), str(error)[:200]) from error


def _texts(values: Any, rows: int) -> pd.Series:
    if not _many(values):
        values = pa.repeat(pa.scalar(str(values)), rows)
    elif isinstance(values, pd.Series | pd.Categorical | np.ndarray | list | tuple):
        values = pa.array(
            pd.Series(np.asarray(values, dtype=object)).map(str, na_action="ignore"), pa.string(), from_pandas=True
        )
    dtype: Any = TEXT  # the extension types of pandas have this method; its annotations do not
    return pd.Series(dtype.__from_arrow__(pc.fill_null(values.cast(pa.large_string()), "")))


def _times(values: Any, rows: int) -> pd.Series:
    if not _many(values):
        values = [values] * rows
    times = pd.Series(values).reset_index(drop=True)
    if isinstance(times.dtype, pd.DatetimeTZDtype):
        return times.dt.tz_convert("UTC").astype(TIME)
    return times.astype("datetime64[us]").dt.tz_localize("UTC").astype(TIME)


def _must(fits: pd.Series | np.ndarray, name: str, expected: str) -> None:
    wrong = np.flatnonzero(~np.asarray(fits, dtype=bool))
    if len(wrong):
        raise _wrong(name, expected, f"row {wrong[0]} and {len(wrong) - 1} more")


def _wrong(name: str, expected: str, got: str) -> InputError:
    return InputError("not a table of observations", where=name, expected=expected, got=got)
