"""What the quality tests take for normal: spans and thresholds by variable, as YAML, in canonical units."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from terracube.core.errors import InputError
from terracube.core.validation import validated
from terracube.ingest.text import UnboundedYamlError, load_yaml, read_text

_MOST_BYTES = 1 << 20
_MOST_DEPTH = 8
_MOST_NODES = 100_000


def _ordered(span: tuple[float, float]) -> tuple[float, float]:
    if span[0] > span[1]:
        raise ValueError("the first number of a span is not above the second")
    return span


Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Span = Annotated[tuple[Number, Number], AfterValidator(_ordered)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GrossRange(_Model):
    """Values beyond ``fail`` are wrong, beyond ``suspect`` unusual; both ends belong to the span."""

    fail: Span | None = None
    suspect: Span | None = None

    @model_validator(mode="after")
    def _nested(self) -> GrossRange:
        if self.fail and self.suspect and not (self.fail[0] <= self.suspect[0] and self.suspect[1] <= self.fail[1]):
            raise ValueError("suspect must lie within fail")
        return self


class Climate(GrossRange):
    """What is usual in some months and depths; nothing is said of others."""

    suspect: Span
    months: tuple[Annotated[int, Field(ge=1, le=12)], Annotated[int, Field(ge=1, le=12)]] = (1, 12)
    """First and last month; (11, 2) goes over the turn of the year."""
    depth: Span | None = None
    """Metres, positive down; None = at any depth, told or not."""


class Spike(_Model):
    """How far one value may stand out from both neighbours, in units of the variable."""

    suspect: Positive
    fail: Positive | None = None


class Rate(_Model):
    """How much may change, in units of the variable per hour."""

    suspect: Positive
    fail: Positive | None = None
    shortest_hours: Positive = 1.0
    """Steps shorter than this count as so long: noise over a minute is no trend."""


class FlatLine(_Model):
    """How long a value may stay the same."""

    suspect_hours: Positive
    fail_hours: Positive | None = None
    tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Largest difference within what counts as the same."""
    fewest: Annotated[int, Field(ge=3)] = 5
    """A line of fewer points is never flat: sparse samples of a quiet lake are equal by chance."""
    whole: bool = True
    """Flag a flat line from its first point, as suits data in delayed mode; else from where it became too long."""


class VariableChecks(_Model):
    """Tests of one variable; those left out are not made."""

    gross_range: GrossRange | None = None
    climatology: tuple[Climate, ...] = ()
    spike: Spike | None = None
    rate_of_change: Rate | None = None
    flat_line: FlatLine | None = None


class Location(_Model):
    """Tests of positions."""

    bbox: tuple[Number, Number, Number, Number] | None = None
    """West, south, east, north in degrees; west > east crosses the antimeridian. Beyond it a position is suspect."""
    land: Path | None = None
    """A vector file of land; what lies inside is suspect."""
    station_degrees: Positive = 1.0
    """A position nearer to the others of its station than this is theirs; swapped ones are looked for farther off."""


class Series(_Model):
    """What a series is, in which neighbours are compared."""

    depth_step: Positive = 0.1
    """Depths in the same step (metres) are one level."""
    longest_step_hours: Positive = 36.0
    """Observations further apart than this are no neighbours, and so not compared."""
    gap_steps: Positive = 5.0
    """A pause longer than so many median steps of a series is told as a gap."""
    gap_fewest: Annotated[int, Field(ge=3)] = 10
    """Series of fewer times have no step to speak of."""


class QcConfig(_Model):
    """All that the tests take for normal."""

    variables: Mapping[str, VariableChecks] = Field(default_factory=dict)
    location: Location = Location()
    series: Series = Series()
    vocabulary_range: bool = True
    """Fail what lies beyond the vocabulary's ``valid_min`` and ``valid_max``, where nothing else is said."""


@cache
def default_config() -> QcConfig:
    """Give the configuration that holds unless told otherwise: ``qc.yaml``, which says where each number is from."""
    text = files(__package__).joinpath("qc.yaml").read_text(encoding="utf-8")
    return validated(QcConfig, parse_yaml(text, where="qc.yaml"), what="the configuration of the tests is wrong")


def load_config(path: Path) -> QcConfig:
    """Read a configuration; a test that it names for a variable replaces the default one, others stay.

    Raises
    ------
    AssetError, HostileInputError
        If the file cannot be read, or is larger than 1 MiB.
    InputError
        If it is no YAML, or a field is unknown or wrong.
    """
    given = parse_yaml(read_text(path, limit=_MOST_BYTES), where=str(path))
    config = validated(QcConfig, given, what=f"the configuration of the tests is wrong: {path.name}")
    merged = dict(default_config().variables)
    for name, checks in config.variables.items():
        before = merged.get(name, VariableChecks())
        merged[name] = before.model_copy(update={field: getattr(checks, field) for field in checks.model_fields_set})
    return config.model_copy(update={"variables": merged})


def parse_yaml(text: str, *, where: str) -> dict[str, Any]:
    """Read a YAML mapping of plain values, bounded in depth and size; references within it (``*name``) are refused.

    Raises
    ------
    InputError
        If it is anything else.
    """
    try:
        value = load_yaml(text, yaml.SafeLoader, deepest=_MOST_DEPTH, longest=_MOST_NODES)
    except UnboundedYamlError as error:
        what = "the YAML refers to itself, or is too deep or too long"
        raise InputError(what, where=where, got=str(error)) from error
    except ValueError as error:
        raise InputError("the file is no YAML", where=where, got=str(error)[:200]) from error
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise InputError("the YAML is no mapping", where=where, expected="names and values", got=type(value).__name__)
    return value
