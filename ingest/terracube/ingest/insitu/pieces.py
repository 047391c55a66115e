"""Observations of one variable: values, limits, doubts and duplicates of one column of a table."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from terracube.core.errors import MetadataError
from terracube.ingest.insitu.keys import Keys
from terracube.ingest.insitu.mapping import Mapping, Measured
from terracube.ingest.insitu.numbers import (
    CENSORED,
    EMPTY,
    NUMBER,
    REMARK,
    UNDETECTED,
    WRONG,
    Numbers,
    look_alikes,
)
from terracube.ingest.insitu.table import FAIL, GOOD, MISSING, NOT_EVALUATED, SUSPECT, Issue, doubt, make, remark, tell
from terracube.ingest.insitu.units import Conversion, conversion
from terracube.ingest.insitu.vocabulary import Term

#: How bad a flag is, by the flag.
_BADNESS = np.zeros(10, dtype="uint8")
_BADNESS[[GOOD, NOT_EVALUATED, SUSPECT, FAIL, MISSING]] = range(5)
_ABOVE = {"<": False, "<=": False, "≤": False, ">": True, ">=": True, "≥": True}


@dataclass(frozen=True, slots=True)
class Extras:
    """What stands beside the values of a column, one entry per value."""

    limits: np.ndarray | None = None
    """Detection limits; NaN where none is told."""
    limit_units: pa.Array | None = None
    signs: pa.Array | None = None
    flags: pa.Array | None = None
    methods: pa.Array | None = None
    replicates: pa.Array | None = None

    def taken(self, rows: np.ndarray) -> Extras:
        """Give only these rows."""
        columns = (self.limit_units, self.signs, self.flags, self.methods, self.replicates)
        return Extras(None if self.limits is None else self.limits[rows], *(take(column, rows) for column in columns))


@dataclass(frozen=True, slots=True)
class Delivered:
    """Values of one variable, as delivered."""

    told: Measured
    """What the mapping says of them."""
    term: Term
    name: str
    """Name of the column, or of the variable in a long table."""
    unit: str
    converted: Conversion
    texts: pa.Array
    found: Numbers
    extras: Extras
    rows: np.ndarray
    """Numbers, from 0, of the rows of the table that they stand in."""

    def only(self, kept: np.ndarray) -> Delivered:
        """Give those that a mask chooses."""
        at = np.flatnonzero(kept)
        found = Numbers(self.found.values[at], self.found.status[at], self.found.above[at], self.found.reasons)
        texts = self.texts.take(pa.array(at))
        return Delivered(
            self.told,
            self.term,
            self.name,
            self.unit,
            self.converted,
            texts,
            found,
            self.extras.taken(at),
            self.rows[at],
        )


@dataclass(slots=True)
class Piece:
    """Delivered values on their way to observations."""

    source: str
    mapping: Mapping
    keys: Keys
    given: Delivered
    issues: list[Issue] = field(default_factory=list)

    def table(self, *, keep_empty: bool) -> pd.DataFrame:
        """Make the canonical table, with what is doubtful flagged and told in ``issues``.

        ``keep_empty``: whether an empty cell is an observation that is missing, or none.
        """
        used = self.keys.usable[self.given.rows]
        if not keep_empty:
            used = used & (self.given.found.status != EMPTY)
        self.given = self.given.only(used) if not used.all() else self.given
        values, status, above = self._values()
        table = self._made(values, status, above)
        if len(table):
            self._judge(table, status)
            self._producer(table)
            self._duplicates(table)
        return table

    def _values(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Values in the canonical unit, with limits in the place of "n.d."; what they are; which lie above."""
        given = self.given
        values = np.array(given.converted(given.found.values), dtype="float64")
        status, above = given.found.status.copy(), given.found.above.copy()
        if given.extras.signs is not None:
            for text, above_it in _ABOVE.items():
                hit = (status == NUMBER) & _equal(given.extras.signs, text)
                status[hit], above[hit] = CENSORED, above_it
            told = ~np.isin(given.extras.signs.to_numpy(zero_copy_only=False), ["", "=", *_ABOVE])
            status[(status == NUMBER) & told] = REMARK
        undetected = status == UNDETECTED
        if undetected.any():
            limits = self._limits()
            known = undetected & np.isfinite(limits)
            values[known], status[known] = limits[known], CENSORED
        return values, status, above

    def _limits(self) -> np.ndarray:
        """Detection limits in the canonical unit."""
        given, limits = self.given, np.full(len(self.given.rows), np.nan)
        if given.told.limit is not None:
            limits[:] = given.converted(given.told.limit)
        if given.extras.limits is None:
            return limits
        own = np.array(given.converted(given.extras.limits), dtype="float64")
        if given.extras.limit_units is not None:
            for unit in given.extras.limit_units.unique().to_pylist():
                if unit and unit != given.unit:
                    some = _equal(given.extras.limit_units, unit)
                    own[some] = self._other_limits(unit, given.extras.limits[some])
        return np.where(np.isfinite(own), own, limits)

    def _other_limits(self, unit: str, limits: np.ndarray) -> np.ndarray:
        try:
            told = self.given.told
            return np.asarray(conversion(unit, self.given.term, basis=told.basis, molar=told.molar)(limits))
        except MetadataError as error:
            what = f"detection limits: {error}"
            self.issues.append(Issue(self.source, None, self.given.name, what, unit, "left out"))
            return np.full(len(limits), np.nan)

    def _made(self, values: np.ndarray, status: np.ndarray, above: np.ndarray) -> pd.DataFrame:
        keys, given, rows = self.keys, self.given, self.given.rows
        limited = np.isin(status, (CENSORED, UNDETECTED))
        signs = pa.array(np.where(limited, np.where(above, ">", "<"), "")) if limited.any() else ""
        return make(
            len(rows),
            station=take(keys.station, rows),
            station_name=take(keys.station_name, rows),
            time=keys.time[rows],
            lon=keys.lon[rows],
            lat=keys.lat[rows],
            depth=keys.depth[rows] if given.told.depth is None else given.told.depth,
            variable=given.term.name,
            value=values,
            unit=given.term.unit,
            method=self._method(),
            replicate=self._replicate(),
            censored=signs,
            original_value=given.texts,
            original_unit=given.unit,
            source=pc.binary_join_element_wise(self.source, pc.cast(pa.array(keys.rows[rows]), pa.string()), ":"),
        )

    def _method(self) -> str | pa.Array:
        told = self.given.told
        datum = f"datum {told.datum}" if told.datum else ""
        constant = "; ".join(part for part in (told.method or self.mapping.method, datum) if part)
        own = self.given.extras.methods
        if own is None:
            return constant
        full = pc.binary_join_element_wise(own, datum, "; ") if datum else own
        return pc.if_else(pc.equal(own, ""), pa.scalar(constant), full)

    def _replicate(self) -> str | pa.Array:
        if self.given.told.replicate:
            return self.given.told.replicate
        own = self.given.extras.replicates
        return take(self.keys.replicate, self.given.rows) if own is None else own

    def _judge(self, table: pd.DataFrame, status: np.ndarray) -> None:
        """Flag what is no number, what looks like a sentinel, what has a remark, and times that are doubtful."""
        if np.isin(status, (WRONG, REMARK)).any():
            self._tell_reasons(status)
        self._flag(table, "unreadable", status == WRONG, MISSING)
        self._flag(table, "no_limit", status == UNDETECTED, MISSING, "below a detection limit that is not told")
        self._flag(table, "remark", status == REMARK, SUSPECT)
        impossible = ~table["value"].between(self.given.term.valid_min, self.given.term.valid_max).to_numpy()
        found = look_alikes(self.given.found.values, impossible)
        self._flag(table, "sentinel", found, SUSPECT, 'looks like an undeclared mark for "no value"')
        for test, where in self.keys.doubts.items():
            self._flag(table, test, where[self.given.rows], SUSPECT)
        for test, where in self.keys.coarse.items():
            table["qc_tests"] = remark(table["qc_tests"], test, where[self.given.rows])

    def _producer(self, table: pd.DataFrame) -> None:
        """Take the producer's flags, where the mapping says what they mean."""
        if self.given.extras.flags is None:
            return
        coded = self.given.extras.flags.dictionary_encode()
        names, codes = coded.dictionary.to_pylist(), coded.indices.to_numpy()
        meaning = self.mapping.quality
        for code, text in enumerate(names):
            if text and text not in meaning and len(self.issues) < 10_000:
                some = codes == code
                self._tell(some, "a flag that the mapping does not explain", [text] * int(some.sum()))
        told = np.array([meaning.get(text, NOT_EVALUATED) for text in names], dtype="uint8")[codes]
        for flag in (SUSPECT, FAIL, MISSING):
            self._flag(table, "producer", told == flag, flag)
        table["qc"] = np.where((told == GOOD) & (table["qc"] == NOT_EVALUATED), GOOD, table["qc"]).astype("uint8")

    def _duplicates(self, table: pd.DataFrame) -> None:
        """Flag, or number, what is told twice for one station, time, depth, method and replicate."""
        names = ["station", "time", "depth"]
        names += [name for name in ("method", "replicate") if (table[name] != table[name].iloc[0]).any()]
        same = pd.DataFrame({name: pd.factorize(table[name], use_na_sentinel=False)[0] for name in names})
        again = same.duplicated().to_numpy()
        if not again.any():
            return
        groups = same.groupby(names, sort=False)
        if self.mapping.duplicates == "replicates":
            several = same.duplicated(keep=False).to_numpy()
            numbers = np.where(
                several, (groups.cumcount() + 1).astype(str).astype(object), table["replicate"].astype(object)
            )
            table["replicate"] = make(replicate=numbers)["replicate"]
            return
        texts = table["original_value"]
        first = texts.iloc[groups.ngroup().map(dict(enumerate(np.flatnonzero(~again)))).to_numpy()]
        equal = texts.to_numpy() == first.to_numpy()
        self._flag(table, "duplicate", again & equal, SUSPECT, "told twice")
        self._flag(table, "duplicate", again & ~equal, SUSPECT, "a second value for one station, time and depth")

    def _flag(self, table: pd.DataFrame, test: str, where: np.ndarray, flag: int, what: str = "") -> None:
        """Set a flag, unless a worse one is set, name the test, and tell it if there is something to tell."""
        if not where.any():
            return
        qc = table["qc"].to_numpy()
        table["qc"] = np.where(where & (_BADNESS[qc] < _BADNESS[flag]), flag, qc).astype("uint8")
        table["qc_tests"] = doubt(table["qc_tests"], test, where, flag)
        if what:
            self._tell(where, what, self.given.texts.filter(pa.array(where)).slice(0, 1001).to_pylist())

    def _tell_reasons(self, status: np.ndarray) -> None:
        reasons = self.given.found.reasons
        odd = np.isin(status, (WRONG, REMARK))
        texts = self.given.texts.filter(pa.array(odd)).to_pylist()
        why = np.array([reasons.get(text.strip(), "a sign that is not understood") for text in texts], dtype=object)
        for reason in dict.fromkeys(why):
            some = odd.copy()
            some[odd] = why == reason
            self._tell(some, reason, [text for text, one in zip(texts, why, strict=True) if one == reason][:1001])

    def _tell(self, where: np.ndarray, what: str, values: list[str]) -> None:
        rows = self.keys.rows[self.given.rows[where]]
        self.issues.extend(tell(self.source, rows, self.given.name, what=what, values=values, action="flagged"))


def take(column: pa.Array | None, rows: np.ndarray) -> pa.Array | None:
    """Take rows of a column, if there is one; all of them in order are the column itself."""
    if column is None:
        return None
    whole = len(rows) == len(column) and bool((rows == np.arange(len(column))).all())
    return column if whole else column.take(pa.array(rows))


def _equal(column: pa.Array, text: str) -> np.ndarray:
    return np.asarray(pc.equal(column, text).to_numpy(zero_copy_only=False))
