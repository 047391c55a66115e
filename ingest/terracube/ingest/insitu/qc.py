"""Quality of observations: QARTOD flags by tests of ranges, seasons, neighbours in time, and positions.

Results do not depend on the order of rows, nor on rows that are there twice. What was delivered as bad stays bad: the
flag of a row is the worst of what was delivered and what the tests say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from terracube.core.errors import AssetError
from terracube.ingest.insitu import checks, location
from terracube.ingest.insitu.checks import Bools, Flags, Floats, Ints
from terracube.ingest.insitu.copies import samples
from terracube.ingest.insitu.qc_config import GrossRange, Location, QcConfig, Rate, VariableChecks, default_config
from terracube.ingest.insitu.table import FAIL, FLAGS, GOOD, MISSING, NOT_EVALUATED, SUSPECT, TEXT, check
from terracube.ingest.insitu.vocabulary import vocabulary

TESTS = (
    "gross_range",
    "climatology",
    "spike",
    "rate_of_change",
    "flat_line",
    "location",
    "location_swapped",
    "location_leap",
    "on_land",
    "contradiction",
)
"""Names of the tests made here, as they stand in ``qc_tests``."""
_SERIES = ("station", "method", "replicate")
# A verdict outweighs its absence, and the worse outweighs the better.
_RANK = np.zeros(10, "uint8")
_RANK[[NOT_EVALUATED, GOOD, SUSPECT, FAIL, MISSING]] = range(5)


def evaluate(table: pd.DataFrame, config: QcConfig | None = None) -> pd.DataFrame:
    """Test every observation, and give the table with its flags.

    The tests: ``gross_range``, ``climatology``, ``spike``, ``rate_of_change``, ``flat_line`` (see
    `terracube.ingest.insitu.checks`); ``location``, ``location_swapped``, ``location_leap`` (see
    `terracube.ingest.insitu.location`), ``on_land``; ``contradiction``: two values of one station, variable, time,
    place, depth, method and replicate; a row without position is of the place of the others. Neighbours are compared
    within series: one station, variable, method, replicate and depth level. Censored values, and those that were
    delivered as failed or fail the gross range, are nobody's neighbours; spikes are none when rates are looked at.

    Parameters
    ----------
    table : DataFrame
        Canonical; see `terracube.ingest.insitu.table`. Not changed.
    config : QcConfig
        Spans and thresholds; `default_config` unless given.

    Returns
    -------
    DataFrame
        Rows as they were, ``qc`` the worst of what was delivered and found, ``qc_tests`` with the names of those that
        gave 3 or 4 (``delivered`` where the file itself said so), and the remarks of the reader, which have no flag
        and hold none (``day_only``). 9 where there is no value; 2 stays where the reader gave it to a test (``x:2``).
        The result, tested again, stays as it is.

    Raises
    ------
    InputError
        If the table is not canonical.

    Examples
    --------
    >>> from terracube.ingest.insitu.table import make
    >>> times = np.datetime64("2020-01-01", "us") + np.arange(5) * np.timedelta64(1, "h")
    >>> told = {"station": "A", "variable": "water_temperature", "unit": "degree_Celsius", "source": "a.csv:2"}
    >>> flagged = evaluate(make(time=times, value=[5.0, 5.1, 35.0, 5.2, np.nan], **told))
    >>> flagged["qc"].tolist(), flagged["qc_tests"].tolist()[2]
    ([1, 1, 4, 1, 9], 'spike:4')
    """
    check(table)
    used = config or default_config()
    return apply_flags(table, _flags(table, used))


def apply_flags(table: pd.DataFrame, flags: Mapping[str, Flags]) -> pd.DataFrame:
    """Give the table with the verdicts of tests added: the worst counts, and the names of bad ones are kept.

    Parameters
    ----------
    table : DataFrame
        Canonical.
    flags : mapping
        By name of the test, a flag per row: 1, 2 (not made), 3 or 4.
    """
    missing = (table["qc"] == MISSING).to_numpy() | table["value"].isna().to_numpy()
    before = table["qc"].to_numpy()
    stacked = np.vstack([before, *flags.values()]) if len(table) else np.zeros((1, 0), "uint8")
    worst = np.take_along_axis(stacked, _RANK[stacked].argmax(axis=0)[None], axis=0)[0]
    # What a producer graded with a code that nobody explains does not become good by our tests. A remark (a name
    # without a flag, such as day_only) says nothing of the value, and holds nothing.
    held = (before == NOT_EVALUATED) & table["qc_tests"].str.contains(r":2(?:,|$)", regex=True).to_numpy(bool)
    worst = np.where(held & (worst == GOOD), NOT_EVALUATED, worst)
    told = table["qc_tests"].astype(object).to_numpy(copy=True)
    bad = np.flatnonzero((worst >= SUSPECT) & ~missing)
    told[bad] = _told(told[bad], before[bad], {name: one[bad] for name, one in flags.items()})
    return table.assign(
        qc=np.where(missing, MISSING, worst).astype("uint8"), qc_tests=pd.Series(told, table.index, TEXT)
    )


def _told(texts: NDArray[Any], before: Flags, flags: Mapping[str, Flags]) -> NDArray[Any]:
    """Write the names of tests; rows of the same tests and the same text are written once."""
    bad = {name: np.where(one >= SUSPECT, one, 0) for name, one in flags.items()}
    facts = pd.DataFrame({"text": texts, "before": before, **{f"test {name}": one for name, one in bad.items()}})
    number = facts.groupby(list(facts), sort=False).ngroup().to_numpy()
    first = np.unique(number, return_index=True)[1]
    written = [
        _write(texts[row], int(before[row]), {name: int(one[row]) for name, one in bad.items()}) for row in first
    ]
    return np.array(written, object)[number] if len(first) else texts


def _write(text: str, before: int, flags: Mapping[str, int]) -> str:
    """Write the bad tests of a row.

    Examples
    --------
    >>> _write("", 3, {"spike": 4}), _write("spike:3", 3, {"spike": 4, "location": 0})
    ('delivered:3,spike:4', 'spike:4')
    """
    told = _read(text)
    if before in (SUSPECT, FAIL) and max(told.values(), default=0) < before:
        told["delivered"] = before
    for name, flag in flags.items():
        if flag:
            told[name] = max(flag, told.get(name, 0))
    return ",".join(f"{name}:{flag}" if flag else name for name, flag in told.items())


def _read(text: str) -> dict[str, int]:
    """Read the names of tests and their flags; 0 where a name stands alone."""
    parts = (part.strip().rpartition(":") for part in text.split(",") if part.strip())
    return {
        (name if flag.isdecimal() and name else f"{name}{colon}{flag}"): (int(flag) if flag.isdecimal() and name else 0)
        for name, colon, flag in parts
    }


def _flags(table: pd.DataFrame, config: QcConfig) -> dict[str, Flags]:
    flags = {name: np.full(len(table), NOT_EVALUATED, "uint8") for name in TESTS}
    there = table["value"].notna().to_numpy() & (table["qc"] != MISSING).to_numpy()
    lost = _lost(table)
    for name, rows in table.groupby("variable", sort=True).indices.items():
        kept = np.asarray(rows)[there[rows]]
        made = _of_variable(table.take(kept), _checks_of(str(name), config), config, lost[kept])
        for test, found in made.items():
            flags[test][kept] = found
    # A good position says nothing of the value: it makes no row good.
    places = {name: np.where(one == GOOD, NOT_EVALUATED, one) for name, one in _of_positions(table, config).items()}
    return {**flags, **places, "contradiction": _contradictions(table, there)}


def _checks_of(name: str, config: QcConfig) -> VariableChecks:
    """Give the tests of a variable, with the range of the vocabulary where none is told."""
    told = config.variables.get(name, VariableChecks())
    term = vocabulary().get(name)
    if term is None or not config.vocabulary_range or (told.gross_range and told.gross_range.fail):
        return told
    # Not through the model: a suspect span that leaves that of the vocabulary is no mistake of the user's.
    low, high = term.valid_min, term.valid_max
    inner = told.gross_range.suspect if told.gross_range and told.gross_range.suspect else (low, high)
    spans = GrossRange.model_construct(fail=(low, high), suspect=(max(low, inner[0]), min(high, inner[1])))
    return told.model_copy(update={"gross_range": spans})


def _lost(table: pd.DataFrame) -> Bools:
    """Tell which rows others than these tests have failed: they are nobody's neighbours."""
    failed = (table["qc"] == FAIL).to_numpy()
    lost = np.zeros(len(table), bool)
    texts = table["qc_tests"].to_numpy(object)[failed]
    known = {text: _lost_by(text) for text in set(texts)}
    lost[failed] = [known[text] for text in texts]
    return lost


def _lost_by(text: str) -> bool:
    told = _read(text)
    return max(told.values(), default=0) < FAIL or any(f >= FAIL and name not in TESTS for name, f in told.items())


def _of_variable(rows: pd.DataFrame, tests: VariableChecks, config: QcConfig, lost: Bools) -> dict[str, Flags]:
    values = rows["value"].to_numpy()
    marks = rows["censored"].to_numpy(object)
    flags: dict[str, Flags] = {}
    if tests.gross_range:
        spans = tests.gross_range
        flags["gross_range"] = checks.gross_range(values, marks, fail=spans.fail, suspect=spans.suspect)
    if tests.climatology:
        depths = rows["depth"].to_numpy()
        found = checks.climatology(values, _times(rows), depths, tests.climatology)
        flags["climatology"] = np.where(marks == "", found, NOT_EVALUATED).astype("uint8")
    if tests.spike or tests.rate_of_change or tests.flat_line:
        wrong = flags.get("gross_range", np.zeros(len(rows), "uint8")) == FAIL
        usable = np.flatnonzero((marks == "") & ~lost & ~wrong)
        for name, found in _of_series(rows.iloc[usable], tests, config).items():
            flags[name] = np.full(len(rows), NOT_EVALUATED, "uint8")
            flags[name][usable] = found
    return flags


def _of_series(rows: pd.DataFrame, tests: VariableChecks, config: QcConfig) -> dict[str, Flags]:
    line = _line_up(rows, config.series.depth_step)
    fresh = checks.apart(line.series, line.times, config.series.longest_step_hours)
    flags: dict[str, Flags] = {}
    if tests.spike:
        flags["spike"] = checks.spikes(line.values, fresh, tests.spike)
    if tests.rate_of_change:
        # Who follows a spike has not changed fast: the spike has.
        calm = flags.get("spike", np.full(len(fresh), GOOD, "uint8")) < SUSPECT
        flags["rate_of_change"] = np.full(len(fresh), NOT_EVALUATED, "uint8")
        flags["rate_of_change"][calm] = _rates(line, calm, tests.rate_of_change, config.series.longest_step_hours)
    if tests.flat_line:
        flags["flat_line"] = checks.flat_lines(line.values, line.times, fresh, tests.flat_line)
    return {name: found[line.place] for name, found in flags.items()}


def _rates(line: _Line, kept: Bools, limits: Rate, longest: float) -> Flags:
    series, times = line.series[kept], line.times[kept]
    return checks.rates(line.values[kept], times, checks.apart(series, times, longest), limits)


@dataclass(frozen=True, slots=True)
class _Line:
    """Series behind each other, each time once."""

    series: Ints
    times: Ints
    values: Floats
    """Of several values of one time, the median of those that differ."""
    place: Ints
    """For each row, where in the line it stands."""


def _line_up(rows: pd.DataFrame, depth_step: float) -> _Line:
    level = np.round(rows["depth"].to_numpy() / depth_step)
    keys = [rows[name].to_numpy(object) for name in _SERIES]
    series = pd.DataFrame({**dict(zip(_SERIES, keys, strict=True)), "level": level})
    number = series.groupby([*_SERIES, "level"], sort=True, dropna=False).ngroup().to_numpy("int64")
    times, values = _times(rows).astype("int64"), rows["value"].to_numpy()
    order = np.lexsort((values, times, number))
    moment = _changes(number[order], times[order])
    distinct = moment | _changes(values[order])
    starts = np.flatnonzero(moment)
    middle = _medians(values[order][distinct], np.flatnonzero(moment[distinct]))
    place = np.empty(len(rows), "int64")
    place[order] = np.cumsum(moment) - 1
    return _Line(number[order][starts], times[order][starts], middle, place)


def _changes(*columns: NDArray[Any]) -> Bools:
    """Tell where sorted rows differ from the one before; the first does."""
    changed = np.ones(len(columns[0]), bool)
    changed[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return changed


def _medians(values: Floats, starts: Ints) -> Floats:
    """Give the median of each run of sorted values."""
    last = np.append(starts[1:], len(values)) - 1
    return np.asarray((values[(starts + last) // 2] + values[(starts + last + 1) // 2]) / 2.0)


def _times(rows: pd.DataFrame) -> NDArray[np.datetime64]:
    return np.asarray(rows["time"].dt.tz_localize(None), "datetime64[us]")


def _of_positions(table: pd.DataFrame, config: QcConfig) -> dict[str, Flags]:
    places = table[["station", "lon", "lat"]]
    groups = places.groupby(list(places), sort=False, dropna=False)
    number = groups.ngroup().to_numpy()
    first = np.unique(number, return_index=True)[1]
    once = places.iloc[first]
    lon, lat = once["lon"].to_numpy(), once["lat"].to_numpy()
    limits = config.location
    station = pd.factorize(once["station"])[0]
    flags = location.positions(lon, lat, station, limits, _weights(table, number))
    if limits.land is not None:
        flags["on_land"] = _on_land(lon, lat, limits)
    return {name: found[number] for name, found in flags.items()}


def _weights(table: pd.DataFrame, number: Ints) -> Ints:
    """Count the samples of each position: variables, times and depths, but no copies."""
    keys = {"place": number, "variable": pd.factorize(table["variable"])[0], "time": _times(table).astype("int64")}
    once = ~pd.DataFrame({**keys, "depth": table["depth"].to_numpy()}).duplicated().to_numpy()
    return np.bincount(number[once])


def _on_land(lon: Floats, lat: Floats, limits: Location) -> Flags:
    try:
        land = gpd.read_file(limits.land).to_crs("EPSG:4326").union_all()
    except (OSError, ValueError, RuntimeError) as error:
        raise AssetError("the file of land cannot be read", where=str(limits.land), got=str(error)[:200]) from error
    known = np.isfinite(lon) & np.isfinite(lat)
    flags = np.where(known, GOOD, NOT_EVALUATED).astype("uint8")
    shapely.prepare(land)
    flags[known] = np.where(shapely.contains_xy(land, lon[known], lat[known]), SUSPECT, GOOD)
    return flags


def _contradictions(table: pd.DataFrame, there: Bools) -> Flags:
    """Flag what is told twice, differently."""
    flags = np.full(len(table), NOT_EVALUATED, "uint8")
    rows = table.loc[there]
    number = samples(rows)
    several = number >= 0
    if several.any():
        told = rows.loc[several, ["value", "censored"]].groupby(number[several]).transform("nunique")
        flags[np.flatnonzero(there)[several]] = np.where((told > 1).any(axis=1), SUSPECT, NOT_EVALUATED)
    return flags


def counts(table: pd.DataFrame) -> dict[str, int]:
    """Count the rows of each flag, as text keys for JSON.

    Examples
    --------
    >>> from terracube.ingest.insitu.table import empty
    >>> counts(empty())
    {'1': 0, '2': 0, '3': 0, '4': 0, '9': 0}
    """
    found = Counter(table["qc"].tolist())
    return {str(flag): found.get(flag, 0) for flag in FLAGS}
