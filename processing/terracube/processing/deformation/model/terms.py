"""Terms of motion in time, and the text that names them: ``linear + annual + step(2018-04-24)``.

A model is a sum of terms; the constant goes without saying. Its text is taken apart word by word and nothing of it is
ever executed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError

YEAR = 365.25
"""Days in a year."""
MOST_PARAMETERS = 12
_LONGEST = 1000
_TERM = re.compile(r"([a-z][a-z0-9_]*)(?:\(([^()]*)\))?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2})?)?")
_ORDERS = {"linear": 1, "quadratic": 2, "cubic": 3}
_CYCLES = {"annual": 1, "semiannual": 2}
_RATES = {1: "velocity", 2: "acceleration", 3: "jerk"}
_GRAMMAR = (
    "linear, quadratic, cubic, annual, semiannual, step(2018-04-24), exp(2018-04-24, 30), log(2018-04-24, 30) with "
    "days of relaxation, or the name of a given array, with + between them"
)

type Doubles = NDArray[np.float64]
type Times = NDArray[np.datetime64]


class Term(Protocol):
    """What a model is made of."""

    @property
    def text(self) -> str:
        """The term as it is written in a model."""

    @property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """Name and unit of each of its parameters."""

    def columns(self, times: Times, epoch: np.datetime64, /) -> Doubles:
        """Give what each parameter is multiplied with at each date, (time, parameter)."""


@dataclass(frozen=True, slots=True)
class Polynomial:
    """Motion with a power of time, ``m t^n / n!``, t in years since the epoch: its n-th derivative is constant."""

    order: int
    """0, the constant, to 3."""

    @property
    def text(self) -> str:
        """The term as it is written in a model."""
        return {order: name for name, order in _ORDERS.items()}.get(self.order, "constant")

    @property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """Name and unit: ``offset`` m, ``velocity`` m/year, ``acceleration`` m/year2, ``jerk`` m/year3."""
        return ((_RATES.get(self.order, "offset"), "m" if not self.order else f"m/year{self.order}".removesuffix("1")),)

    def columns(self, times: Times, epoch: np.datetime64, /) -> Doubles:
        """Give the power of time, (time, 1)."""
        return (days_since(times, epoch) / YEAR)[:, None] ** self.order / math.factorial(self.order)


@dataclass(frozen=True, slots=True)
class Seasonal:
    """A sine wave, ``a cos + b sin``, whose phase counts from the beginning of the year 2000."""

    cycles: int
    """In a year."""

    @property
    def text(self) -> str:
        """The term as it is written in a model."""
        return {cycles: name for name, cycles in _CYCLES.items()}[self.cycles]

    @property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """Name and unit: cosine and sine, m."""
        return ((f"{self.text}_cos", "m"), (f"{self.text}_sin", "m"))

    def columns(self, times: Times, _epoch: np.datetime64, /) -> Doubles:
        """Give cosine and sine, (time, 2)."""
        angle = 2 * math.pi * self.cycles / YEAR * days_since(times, np.datetime64("2000-01-01", "ns"))
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)


@dataclass(frozen=True, slots=True)
class Step:
    """A jump at a moment: dates at it or later are moved."""

    date: str
    """Date, or date and time (UTC)."""

    @property
    def text(self) -> str:
        """The term as it is written in a model."""
        return f"step({self.date})"

    @property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """Name and unit: ``step_20180424``, m."""
        return ((f"step_{_compact(self.date)}", "m"),)

    def columns(self, times: Times, _epoch: np.datetime64, /) -> Doubles:
        """Give 0 before and 1 after, (time, 1)."""
        return (times >= np.datetime64(self.date, "ns"))[:, None].astype("float64")


@dataclass(frozen=True, slots=True)
class Relaxation:
    """Motion that slows down after a moment: ``m (1 - exp(-s))`` or ``m log(1 + s)``, s = days since / ``days``."""

    form: str
    """``exp`` or ``log``."""
    date: str
    """Date, or date and time (UTC)."""
    days: float
    """Time of relaxation."""

    @property
    def text(self) -> str:
        """The term as it is written in a model."""
        return f"{self.form}({self.date}, {self.days:g})"

    @property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """Name and unit: ``exp_20180424_30``, m."""
        return ((f"{self.form}_{_compact(self.date)}_{self.days:g}".replace(".", "p").replace("+", ""), "m"),)

    def columns(self, times: Times, _epoch: np.datetime64, /) -> Doubles:
        """Give the course, 0 before the moment, (time, 1)."""
        since = np.maximum(days_since(times, np.datetime64(self.date, "ns")), 0.0) / self.days
        return (-np.expm1(-since) if self.form == "exp" else np.log1p(since))[:, None]


@dataclass(frozen=True, slots=True)
class Given:
    """A course that the caller gives: one number per date (rain, level of a lake, load)."""

    name: str
    times: tuple[str, ...]
    values: tuple[float, ...]
    unit: str = "1"

    @property
    def text(self) -> str:
        """The term as it is written in a model."""
        return self.name

    @property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """Name and unit: metres per unit of the array."""
        return ((self.name, "m" if self.unit == "1" else f"m/({self.unit})"),)

    def columns(self, times: Times, _epoch: np.datetime64, /) -> Doubles:
        """Give the values at the dates, (time, 1).

        Raises
        ------
        InputError
            If the array has no value at a date.
        """
        known = dict(zip(np.array(self.times, "datetime64[ns]").tolist(), self.values, strict=True))
        lacking = [str(time)[:19] for time in times if int(time.astype("int64")) not in known]
        if lacking:
            raise InputError("a given term lacks dates", where=self.name, expected="each date", got=_few(lacking))
        return np.array([[known[int(time.astype("int64"))]] for time in times], "float64")


@dataclass(frozen=True, slots=True)
class Model:
    """A sum of terms; the first is the constant."""

    terms: tuple[Term, ...] = field(default=(Polynomial(0),))

    @property
    def text(self) -> str:
        """The model as it is written; ``constant`` if that is all."""
        return " + ".join(term.text for term in self.terms[1:]) or self.terms[0].text

    @property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """Name and unit of all parameters, in the order of the columns."""
        return tuple(one for term in self.terms for one in term.parameters)

    @property
    def columns_of(self) -> dict[str, slice]:
        """The columns of each term, by its text."""
        found, start = {}, 0
        for term in self.terms:
            stop = start + len(term.parameters)
            found[term.text] = slice(start, stop)
            start = stop
        return found


def parse_model(text: str, arrays: Mapping[str, xr.DataArray] | None = None) -> Model:
    """Read a model.

    Parameters
    ----------
    text : str
        ``linear``, ``quadratic``, ``cubic``, ``annual``, ``semiannual``, ``step(2018-04-24)``,
        ``exp(2018-04-24, 30)`` and ``log(2018-04-24, 30)`` with the days of relaxation, or a name of ``arrays``, with
        ``+`` between them; ``constant`` alone is a model too. The order does not matter to the result, save that of
        the parameters.
    arrays : mapping of name to DataArray (time,), optional
        Courses of the caller.

    Returns
    -------
    Model
        At most 12 parameters.

    Raises
    ------
    InputError
        If a term is unknown, comes twice or lacks what belongs to it, or if an array is unusable.

    Examples
    --------
    >>> model = parse_model("linear + annual + step(2018-04-24)")
    >>> [name for name, unit in model.parameters]
    ['offset', 'velocity', 'annual_cos', 'annual_sin', 'step_20180424']
    """
    if len(text) > _LONGEST:
        raise InputError("the model is too long", where="model", expected=f"<= {_LONGEST} letters", got=str(len(text)))
    words = [word.strip() for word in text.split("+")]
    given = {name: _given(name, array) for name, array in (arrays or {}).items()}
    found = [_term(word, given) for word in words if word != "constant"]
    texts = [term.text for term in found]
    twice = sorted({one for one in texts if texts.count(one) > 1})
    if twice:
        raise InputError("a term comes twice", where="model", got=", ".join(twice))
    model = Model((Polynomial(0), *found))
    if len(model.parameters) > MOST_PARAMETERS:
        raise InputError(
            "the model has too many parameters",
            where="model",
            expected=f"<= {MOST_PARAMETERS} with the constant",
            got=str(len(model.parameters)),
        )
    return model


def days_since(times: Times, moment: np.datetime64) -> Doubles:
    """Give the days from a moment to each date, (time,)."""
    return np.asarray((times.astype("datetime64[ns]") - moment.astype("datetime64[ns]")).astype("int64") / 86_400e9)


def _term(word: str, given: Mapping[str, Given]) -> Term:
    match = _TERM.fullmatch(word)
    if match is None:
        raise InputError("this is no term of a model", where="model", expected=_GRAMMAR, got=word or "nothing")
    name, inside = match[1], match[2]
    if inside is None and name in given:
        return given[name]
    if inside is None and name in _ORDERS:
        return Polynomial(_ORDERS[name])
    if inside is None and name in _CYCLES:
        return Seasonal(_CYCLES[name])
    parts = [] if inside is None else [part.strip() for part in inside.split(",")]
    if name == "step" and len(parts) == 1:
        return Step(_date(parts[0], word))
    if name in ("exp", "log") and len(parts) == 2:
        return Relaxation(name, _date(parts[0], word), _days(parts[1], word))
    raise InputError("this is no term of a model", where="model", expected=_GRAMMAR, got=word)


def _date(text: str, word: str) -> str:
    if _DATE.fullmatch(text):
        try:
            np.datetime64(text, "ns")
        except ValueError:
            pass
        else:
            return text
    raise InputError("this is no date", where=word, expected="as 2018-04-24 or 2018-04-24T08:51", got=text)


def _days(text: str, word: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = math.nan
    if not 0.01 <= days <= 1e5:
        raise InputError("this is no time of relaxation", where=word, expected="0.01 to 100000 days", got=text)
    return days


def _given(name: str, array: Any) -> Given:
    known = {*_ORDERS, *_CYCLES, "constant", "step", "exp", "log"}
    if not _TERM.fullmatch(name) or "(" in name or name in known or name in ("offset", *_RATES.values()):
        raise InputError(
            "this name cannot be that of a given term", where="arrays", expected="small letters, digits and _", got=name
        )
    if not isinstance(array, xr.DataArray) or array.dims != ("time",) or "time" not in array.coords:
        raise InputError("a given term is one number per date", where=name, expected="a DataArray (time,)")
    values = np.asarray(array.values, "float64")
    if not np.isfinite(values).all():
        raise InputError("a given term has a gap", where=name, expected="finite numbers", got="NaN or infinity")
    times = tuple(str(time) for time in array["time"].values.astype("datetime64[ns]"))
    return Given(name, times, tuple(values.tolist()), str(array.attrs.get("units", "1")))


def _compact(date: str) -> str:
    return re.sub(r"[-:]", "", date)


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
