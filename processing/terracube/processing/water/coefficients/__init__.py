"""Coefficients of the retrievals, as data: a YAML file per formula, in it a set per sensor, each with its source."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from terracube.core.errors import InputError
from terracube.core.validation import validated

# The compiled loader reads the same, ten times as fast; not every build of the library has it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
ANY = "any"
"""The set of a sensor that has none of its own."""

type Numbers = float | list[float] | dict[str, Numbers]


class AlgorithmError(BaseModel):
    """How far a formula is from the truth, beside what noise does: ``hypot(absolute, relative * value)``, 1 sigma."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    relative: float = Field(ge=0)
    absolute: float = Field(default=0.0, ge=0)
    basis: str = Field(min_length=1, description="where it was found, with the number of samples")


class CoefficientSet(BaseModel):
    """The numbers of one formula for some sensors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(pattern="^[a-z0-9][a-z0-9._-]*$")
    sensors: tuple[str, ...] = Field(min_length=1)
    values: dict[str, Numbers]
    source: str = Field(min_length=1, description="paper with DOI, and where the numbers were read")
    checked: Literal["paper", "secondary", "memory", "fitted"] = Field(description="where the numbers were read")
    range: tuple[float, float] | None = Field(default=None, description="of the product; beyond it is extrapolation")
    error: AlgorithmError

    @property
    def facts(self) -> dict[str, Any]:
        """Plain values that go into the attributes of a product."""
        return self.model_dump(mode="json", exclude={"sensors"})


class Family(BaseModel):
    """All sets of one formula."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    quantity: Literal["rhow", "rrs", "ratio", "any"]
    """What its formulas take; the same as theirs, in the words of a retrieval."""
    sets: tuple[CoefficientSet, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _once(self) -> Family:
        names = [one.name for one in self.sets]
        if len(set(names)) != len(names):
            raise ValueError("two sets have one name")
        return self

    def find(self, sensor: str) -> CoefficientSet | None:
        """Give the first set that names the sensor, else the one for any sensor, else ``None``."""
        own = [one for one in self.sets if sensor in one.sensors]
        return next(iter([*own, *(one for one in self.sets if ANY in one.sensors)]), None)


@cache
def load_coefficients(name: str) -> Family:
    """Read the sets of a formula by its name.

    Raises
    ------
    InputError
        If there is no such formula, or its file is wrong.

    Examples
    --------
    >>> from terracube.processing.water.coefficients import coefficient_names, load_coefficients
    >>> load_coefficients(coefficient_names()[0]).sets[0].source != ""
    True
    """
    if name not in coefficient_names():
        raise InputError("unknown coefficients", expected=", ".join(coefficient_names()), got=repr(name)[:80])
    text = resources.files(__package__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    found = validated(Family, _read(text), what=f"wrong coefficients {name}.yaml")
    if found.name != name:
        raise InputError("the name of the coefficients is not that of their file", where=name, got=found.name)
    return found


def _read(text: str) -> Any:
    return yaml.load(text, Loader=_LOADER)  # noqa: S506, one of the two safe loaders


@cache
def coefficient_names() -> tuple[str, ...]:
    """List the formulas that have coefficients."""
    files = resources.files(__package__).iterdir()
    return tuple(sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml")))
