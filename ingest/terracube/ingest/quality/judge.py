"""What a source expects of its scenes, and whether a scene keeps to it: accepted, suspect or rejected, with reasons."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from terracube.core.errors import InputError

ACCEPTED, SUSPECT, REJECTED = "accepted", "suspect", "rejected"
Span = tuple[float, float]


@dataclass(frozen=True)
class _Kind:
    """How a measure is told, and what it can be."""

    title: str
    largest: float
    factor: float = 1.0
    unit: str = " %"


MEASURES: Mapping[str, _Kind] = {
    "valid_fraction": _Kind("pixels with a value", 1.0, 100.0),
    "cloud_cover": _Kind("cloud cover", 100.0),
    "saturated_fraction": _Kind("saturated pixels", 1.0, 100.0),
    "out_of_range_fraction": _Kind("values out of the plausible range", 1.0, 100.0),
    "registration_shift": _Kind("shift between bands", math.inf, 1.0, " pixels"),
    "footprint_overlap": _Kind("part of the delivered footprint that lies on the pixels", 1.0, 100.0),
}
_EDGES = ("suspect_below", "reject_below", "suspect_above", "reject_above")
_SETTINGS = ("plausible", "saturation", "registration", "pixel_size", "origin")


@dataclass(frozen=True)
class Limit:
    """From where a measure makes a scene suspect, or rejected; ``None`` where it never does."""

    suspect_below: float | None = None
    reject_below: float | None = None
    suspect_above: float | None = None
    reject_above: float | None = None

    def crossed(self, value: float) -> tuple[str, str, float] | None:
        """Give verdict, word and edge that a value crosses, the graver first; ``None`` if it crosses none.

        Examples
        --------
        >>> Limit(suspect_above=80.0).crossed(93.0)
        ('suspect', 'more', 80.0)
        """
        for verdict, below, above in (
            (REJECTED, self.reject_below, self.reject_above),
            (SUSPECT, self.suspect_below, self.suspect_above),
        ):
            if below is not None and value < below:
                return verdict, "less", below
            if above is not None and value > above:
                return verdict, "more", above
        return None


@dataclass(frozen=True)
class Saturation:
    """How saturated pixels are known: by their number, or by bits or classes of a layer of flags."""

    value: float | None = None
    """Numbers from this one on are saturated."""
    layer: str = ""
    """Role name of the layer of flags."""
    bits: int = 0
    """A pixel with any of these bits is saturated."""
    classes: tuple[int, ...] = ()
    """A pixel of these classes is saturated."""


@dataclass(frozen=True)
class Rules:
    """What a source expects of its scenes."""

    limits: Mapping[str, Limit] = field(default_factory=dict)
    """By name of the measure."""
    plausible: Mapping[str, Span] = field(default_factory=dict)
    """Lowest and highest plausible physical value by band; ``*`` for every band of reflectance."""
    saturation: Saturation | None = None
    """``None``: the largest number of a band's integer type is saturated."""
    registration: tuple[str, str] | None = None
    """The two bands whose shift is measured."""
    pixel_size: Span | None = None
    """Smallest and largest pixel, in units of the grid."""
    origin: tuple[float, float] | None = None
    """Where the corner of a pixel lies within the pixel of a grid that begins at 0, 0: 0 or 0.5, along x and y."""


@dataclass(frozen=True)
class Measure:
    """One measured number."""

    value: float | None
    """``None`` = not measured."""
    band: str = ""
    """The band that is worst, where the number is that of a band."""


@dataclass(frozen=True)
class Verdict:
    """Whether a scene can be used as it is."""

    verdict: str
    """``accepted``, ``suspect`` or ``rejected``."""
    reasons: tuple[str, ...] = ()
    """Why it is not accepted, the gravest first; empty if it is."""
    not_measured: tuple[str, ...] = ()
    """Names of the measures that have a threshold and could not be taken; they count neither for nor against."""


def judge(measures: Mapping[str, Measure], rules: Rules, found: Iterable[tuple[str, str]] = ()) -> Verdict:
    """Hold measures against thresholds.

    A scene without any valid pixel is rejected whatever the thresholds say. One of which nothing with a threshold could
    be measured is suspect: nothing is known of it.

    Parameters
    ----------
    measures : dict
        By name; see :data:`MEASURES`. A measure that is not there is one that was not measured.
    rules : Rules
    found : iterable of (str, str)
        What else was found: verdict and reason.

    Examples
    --------
    >>> told = judge({"cloud_cover": Measure(93.0)}, read_rules({"cloud_cover": {"suspect_above": 80}}))
    >>> told.verdict, told.reasons
    ('suspect', ('cloud cover: 93 %, more than 80 %',))
    """
    reasons = list(found)
    valid = measures.get("valid_fraction")
    if valid is not None and valid.value == 0:
        reasons.append((REJECTED, "no pixel holds a value"))
    missing = []
    for name, limit in rules.limits.items():
        measure = measures.get(name, Measure(None))
        if measure.value is None:
            missing.append(name)
        elif (crossed := limit.crossed(measure.value)) and not (name == "valid_fraction" and measure.value == 0):
            reasons.append((crossed[0], _sentence(name, measure, *crossed[1:])))
    if rules.limits and len(missing) == len(rules.limits):
        reasons.append((SUSPECT, "nothing of what has a threshold could be measured"))
    graver = sorted(reasons, key=lambda reason: reason[0] != REJECTED)
    verdict = graver[0][0] if graver else ACCEPTED
    return Verdict(verdict, tuple(reason for _, reason in graver), tuple(missing))


def _sentence(name: str, measure: Measure, word: str, edge: float) -> str:
    band = f" ({measure.band})" if measure.band else ""
    return f"{MEASURES[name].title}: {told(name, measure.value)}{band}, {word} than {told(name, edge)}"


def told(name: str, value: float | None) -> str:
    """Write a measure as a person reads it.

    Examples
    --------
    >>> told("valid_fraction", 0.03211), told("registration_shift", 0.25), told("cloud_cover", None)
    ('3.21 %', '0.25 pixels', 'not measured')
    """
    if value is None:
        return "not measured"
    kind = MEASURES[name]
    number = f"{value * kind.factor:.3g}"
    return f"{number}{kind.unit.removesuffix('s') if number == '1' else kind.unit}"


def read_rules(raw: Mapping[str, Any], *, where: str = "quality") -> Rules:
    """Read what a source expects of its scenes, as its description says it.

    Parameters
    ----------
    raw : dict
        Limits by measure (``{cloud_cover: {suspect_above: 80, reject_above: 99}}``), and settings: ``plausible``
        (``[low, high]`` for every band of reflectance, or by band), ``saturation`` (``{value: 65535}``,
        ``{layer: qa_radsat, bits: [0, 1]}`` or ``{layer: scl, classes: [1]}``), ``registration`` (two bands),
        ``pixel_size`` (``[smallest, largest]``) and ``origin`` (0 or 0.5, or one for x and one for y).
    where : str
        What it belongs to, for messages.

    Raises
    ------
    InputError
        If a name is unknown, or a number cannot be that of its measure.

    Examples
    --------
    >>> read_rules({"plausible": [-0.1, 1.6]}).plausible
    {'*': (-0.1, 1.6)}
    """
    if not isinstance(raw, Mapping):
        raise _bad(where, "names and their limits", raw)
    unknown = [str(name) for name in raw if name not in MEASURES and name not in _SETTINGS]
    if unknown:
        raise InputError(
            "no such measure of quality",
            where=where,
            expected=", ".join([*MEASURES, *_SETTINGS]),
            got=", ".join(unknown)[:200],
        )
    limits = {name: _limit(raw[name], name, f"{where}, {name}") for name in MEASURES if name in raw}
    return Rules(
        limits=limits,
        plausible=_plausible(raw.get("plausible"), f"{where}, plausible"),
        saturation=_saturation(raw.get("saturation"), f"{where}, saturation"),
        registration=_pair(raw.get("registration"), f"{where}, registration"),
        pixel_size=_span(raw["pixel_size"], f"{where}, pixel_size") if "pixel_size" in raw else None,
        origin=_origin(raw.get("origin"), f"{where}, origin"),
    )


def _bad(where: str, expected: str, got: object) -> InputError:
    return InputError("a threshold of quality cannot be used", where=where, expected=expected, got=repr(got)[:200])


def _number(value: object, where: str, *, low: float = -math.inf, high: float = math.inf) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not low <= float(value) <= high:  # type: ignore[arg-type]  # the line before says it is a number
        raise _bad(where, f"a number from {low:g} to {high:g}", value)
    return float(value)  # type: ignore[arg-type]


def _limit(raw: object, name: str, where: str) -> Limit:
    if not isinstance(raw, Mapping) or not raw or set(raw) - set(_EDGES):
        raise _bad(where, f"one or more of {', '.join(_EDGES)}", raw)
    high = MEASURES[name].largest
    limit = Limit(**{edge: _number(value, f"{where}, {edge}", low=0.0, high=high) for edge, value in raw.items()})
    below = (limit.reject_below, limit.suspect_below)
    above = (limit.suspect_above, limit.reject_above)
    for lower, upper in (below, above):
        if lower is not None and upper is not None and lower > upper:
            raise _bad(where, "what rejects to lie beyond what makes suspect", dict(raw))
    return limit


def _span(raw: object, where: str) -> Span:
    if not isinstance(raw, list | tuple) or len(raw) != 2:
        raise _bad(where, "two numbers, the lower first", raw)
    low, high = (_number(value, where) for value in raw)
    if not low < high:
        raise _bad(where, "two numbers, the lower first", raw)
    return low, high


def _plausible(raw: object, where: str) -> dict[str, Span]:
    if raw is None:
        return {}
    if isinstance(raw, Mapping):
        return {str(band): _span(span, f"{where}, {band}") for band, span in raw.items()}
    return {"*": _span(raw, where)}


def _whole(raw: object, where: str, highest: int) -> tuple[int, ...]:
    if not isinstance(raw, list | tuple) or not raw or not all(type(n) is int and 0 <= n <= highest for n in raw):
        raise _bad(where, f"whole numbers from 0 to {highest}", raw)
    return tuple(raw)


def _saturation(raw: object, where: str) -> Saturation | None:
    if raw is None:
        return None
    keys = set(raw) if isinstance(raw, Mapping) else set()
    if not isinstance(raw, Mapping) or keys not in ({"value"}, {"layer", "bits"}, {"layer", "classes"}):
        raise _bad(where, "value; or layer with bits or classes", raw)
    if "value" in raw:
        return Saturation(value=_number(raw["value"], where))
    if "bits" in raw:
        return Saturation(layer=str(raw["layer"]), bits=sum(1 << bit for bit in set(_whole(raw["bits"], where, 62))))
    return Saturation(layer=str(raw["layer"]), classes=_whole(raw["classes"], where, 255))


def _pair(raw: object, where: str) -> tuple[str, str] | None:
    if raw is None:
        return None
    if (
        not isinstance(raw, list | tuple)
        or len(raw) != 2
        or not all(isinstance(n, str) for n in raw)
        or raw[0] == raw[1]
    ):
        raise _bad(where, "two names of bands", raw)
    return raw[0], raw[1]


def _origin(raw: object, where: str) -> tuple[float, float] | None:
    if raw is None:
        return None
    both = raw if isinstance(raw, list | tuple) else [raw, raw]
    if len(both) != 2:
        raise _bad(where, "one number, or one for x and one for y", raw)
    x, y = (_number(value, where, low=0.0, high=1.0) for value in both)
    return x, y
