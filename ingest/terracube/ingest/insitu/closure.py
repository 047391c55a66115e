"""Closure of the chemistry: a sum equals its parts, and a whole is no less than what it holds.

Of one sample (station, time, depth, replicate): total suspended matter is organic and inorganic together; total
nitrogen holds the dissolved, which holds nitrate, nitrite and ammonium (all as nitrogen); total phosphorus holds the
dissolved, which holds orthophosphate (all as phosphorus). The tests are done in one unit, on intervals: a value with
its stated uncertainty, and all that a censored one may be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from terracube.core.errors import InputError
from terracube.core.validation import validated
from terracube.ingest.insitu.checks import Flags, Floats, Ints
from terracube.ingest.insitu.qc import apply_flags
from terracube.ingest.insitu.qc_config import parse_yaml
from terracube.ingest.insitu.table import FAIL, GOOD, MISSING, NOT_EVALUATED, SUSPECT, Issue, check
from terracube.ingest.insitu.vocabulary import term_named
from terracube.ingest.text import read_text

_SAMPLE = ("station", "time", "depth", "replicate")
_MOST_TOLD = 1000


@dataclass(frozen=True, slots=True)
class Closure:
    """A balance that every sample must keep."""

    name: str
    """As it stands in ``qc_tests``."""
    whole: str
    """Variable."""
    parts: tuple[str, ...]
    """Variables, summed."""
    relation: Literal["=", ">="]
    """The whole equals the parts, or is no less than those of them that were measured."""


CLOSURES: tuple[Closure, ...] = (
    Closure(
        "closure_suspended_matter", "suspended_matter", ("suspended_matter_organic", "suspended_matter_inorganic"), "="
    ),
    Closure("closure_tn", "tn", ("dtn",), ">="),
    Closure("closure_dtn", "dtn", ("no3_n", "no2_n", "nh4_n"), ">="),
    Closure("closure_tn_inorganic", "tn", ("no3_n", "no2_n", "nh4_n"), ">="),
    Closure("closure_dtn_combined", "dtn", ("no3_no2_n", "nh4_n"), ">="),
    Closure("closure_tn_combined", "tn", ("no3_no2_n", "nh4_n"), ">="),
    Closure("closure_tp", "tp", ("dtp",), ">="),
    Closure("closure_dtp", "dtp", ("po4_p",), ">="),
    Closure("closure_tp_inorganic", "tp", ("po4_p",), ">="),
)
"""The balances. Those from total to inorganic serve where the dissolved was not measured, ``combined`` where nitrate
and nitrite were measured together."""

_Share = Annotated[float, Field(ge=0, lt=1)]
_Limit = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Tolerance(BaseModel):
    """How well the laboratory measures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    relative: _Share = 0.1
    """Uncertainty of a value as a share of it."""
    by_variable: Mapping[str, _Share] = Field(default_factory=dict)
    """The same for single variables."""
    detection_limits: Mapping[str, _Limit] = Field(default_factory=dict)
    """In the canonical unit of each variable; added to the uncertainty. 0 unless told."""


def load_tolerance(path: Path) -> Tolerance:
    """Read tolerances from YAML.

    Raises
    ------
    AssetError, HostileInputError, InputError
        If the file cannot be read, or is too large, or a field is wrong.
    """
    given = parse_yaml(read_text(path, limit=1 << 20), where=str(path))
    return validated(Tolerance, given, what=f"the tolerances are wrong: {path.name}")


def close(table: pd.DataFrame, tolerance: Tolerance | None = None) -> tuple[pd.DataFrame, tuple[Issue, ...]]:
    """Test the balances of each sample; rows of one that is not kept become suspect.

    Each value is an interval: value -/+ (relative x value + detection limit); ``<L`` is 0 to L, ``>L`` is L and more.
    A balance is broken only if no numbers within the intervals keep it. Values that are missing or failed take no part:
    a sum then is not tested, and a whole is compared with the parts that are there. Of several values of one variable
    in a sample (other methods, copies) the interval reaches over all.

    Parameters
    ----------
    table : DataFrame
        Canonical, so every variable in one unit; the unit is checked. Not changed.
    tolerance : Tolerance
        10 % of the value unless given.

    Returns
    -------
    table : DataFrame
        With ``qc`` and ``qc_tests`` brought up to date.
    issues : tuple of Issue
        One for each balance of a sample that is broken, at most 1000 and one that counts the rest.

    Raises
    ------
    InputError
        If the table is not canonical, or a variable is not in the unit of the vocabulary.

    Examples
    --------
    >>> from terracube.ingest.insitu.table import make
    >>> told = {"station": "A", "time": np.array(["2019-08-20"] * 3, "M8[us]"), "unit": "mg L-1", "source": "a.xlsx:5"}
    >>> names = ["suspended_matter", "suspended_matter_organic", "suspended_matter_inorganic"]
    >>> closed, issues = close(make(variable=names, value=[9.0, 2.0, 3.0], **told))
    >>> closed["qc_tests"].tolist()[0], issues[0].what[:18]
    ('closure_suspended_matter:3', 'suspended_matter =')
    """
    check(table)
    limits = tolerance or Tolerance()
    names = sorted({name for closure in CLOSURES for name in (closure.whole, *closure.parts)})
    rows = np.flatnonzero(table["variable"].isin(names).to_numpy())
    if len(rows) == 0:
        return table.copy(), ()
    chemistry = table.iloc[rows]
    sample = chemistry.groupby(list(_SAMPLE), sort=True, dropna=False).ngroup().to_numpy("int64")
    usable = (chemistry["value"].notna() & ~chemistry["qc"].isin([FAIL, MISSING])).to_numpy()
    ranges = _ranges(chemistry[usable], sample[usable], int(sample.max()) + 1, limits)
    flags: dict[str, Flags] = {}
    issues: list[Issue] = []
    for closure in CLOSURES:
        verdict = _verdict(closure, ranges)
        concerned = chemistry["variable"].isin([closure.whole, *closure.parts]).to_numpy() & usable
        found = np.full(len(table), NOT_EVALUATED, "uint8")
        found[rows[concerned]] = verdict[sample[concerned]]
        flags[closure.name] = found
        issues += _issues(closure, chemistry[concerned], sample[concerned], verdict, ranges)
    more = [Issue("", None, "", "further balances are not kept", str(len(issues) - _MOST_TOLD), "flagged")]
    return apply_flags(table, flags), tuple(issues[:_MOST_TOLD] + (more if len(issues) > _MOST_TOLD else []))


def _ranges(rows: pd.DataFrame, sample: Ints, count: int, limits: Tolerance) -> Mapping[str, tuple[Floats, Floats]]:
    """Give for each variable the least and the greatest value that each sample may have; NaN where not measured."""
    ranges: dict[str, tuple[Floats, Floats]] = {}
    for name in {name for closure in CLOSURES for name in (closure.whole, *closure.parts)}:
        chosen = (rows["variable"] == name).to_numpy()
        low, high = _interval(rows[chosen], name, limits)
        ranges[name] = _by_sample(low, sample[chosen], count, np.fmin), _by_sample(high, sample[chosen], count, np.fmax)
    return ranges


def _interval(rows: pd.DataFrame, name: str, limits: Tolerance) -> tuple[Floats, Floats]:
    """Give what each value may be, in the unit of its balance (the canonical one, mg/L for all of these)."""
    units = set(rows["unit"])
    if units - {term_named(name).unit}:
        raise InputError(
            "a variable is not in its canonical unit", where=name, expected=term_named(name).unit, got=", ".join(units)
        )
    value, mark = rows["value"].to_numpy(), rows["censored"].to_numpy(object)
    doubt = limits.by_variable.get(name, limits.relative) * np.abs(value) + limits.detection_limits.get(name, 0.0)
    low, high = np.where(mark == "<", 0.0, value - doubt), np.where(mark == ">", np.inf, value + doubt)
    return np.where(mark == "<", np.minimum(low, value), low), np.where(mark == "<", value, high)


def _by_sample(values: Floats, sample: Ints, count: int, pick: np.ufunc) -> Floats:
    picked = np.full(count, np.nan)
    pick.at(picked, sample, values)
    return picked


def _verdict(closure: Closure, ranges: Mapping[str, tuple[Floats, Floats]]) -> Flags:
    whole_low, whole_high = ranges[closure.whole]
    lows = np.vstack([ranges[part][0] for part in closure.parts])
    highs = np.vstack([ranges[part][1] for part in closure.parts])
    measured = ~np.isnan(lows)
    if closure.relation == "=":
        tested = ~np.isnan(whole_low) & measured.all(axis=0)
        broken = (lows.sum(axis=0) > whole_high) | (highs.sum(axis=0) < whole_low)
    else:
        tested = ~np.isnan(whole_low) & measured.any(axis=0)
        # A part is never below zero, so one that was not measured can only add.
        broken = np.nansum(np.maximum(lows, 0.0), axis=0) > whole_high
    return np.where(tested, np.where(broken, SUSPECT, GOOD), NOT_EVALUATED).astype("uint8")


def _issues(
    closure: Closure,
    rows: pd.DataFrame,
    sample: Ints,
    verdict: Flags,
    ranges: Mapping[str, tuple[Floats, Floats]],
) -> list[Issue]:
    told: list[Issue] = []
    rule = f"{closure.whole} {closure.relation} {' + '.join(closure.parts)}"
    first = {int(number): row for row, number in reversed(list(enumerate(sample))) if verdict[number] == SUSPECT}
    for number, row in sorted(first.items()):
        source, _, place = str(rows["source"].iloc[row]).rpartition(":")
        values = [f"{name} {_span(ranges[name], number)}" for name in (closure.whole, *closure.parts)]
        where = f"station {rows['station'].iloc[row]}, {rows['time'].iloc[row]:%Y-%m-%dT%H:%MZ}: {'; '.join(values)}"
        numbered = int(place) if place.isdecimal() else None
        told.append(Issue(source, numbered, closure.whole, f"{rule} is not kept", where, "flagged"))
    return told


def _span(ends: tuple[Floats, Floats], number: int) -> str:
    low, high = ends[0][number], ends[1][number]
    return "not measured" if np.isnan(low) else f"{low:.4g} to {high:.4g}"
