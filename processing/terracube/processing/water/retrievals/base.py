"""What a retrieval is: a formula of bands, its coefficients and unit, what it needs, and what shows it is right."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from terracube.core.errors import InputError, NotFoundError
from terracube.processing.formula import Value
from terracube.processing.water.coefficients import CoefficientSet, load_coefficients
from terracube.processing.water.sensors import BandOptics, WaterSensor

type Key = str | int
"""A band: its role, or a wavelength in nm, for the sensor's band within 10 nm."""


@dataclass(frozen=True, slots=True)
class Bands:
    """The bands that a formula gets, in the quantity it asked for: numbers or symbols."""

    values: Mapping[str, Value]
    """By role."""
    sensor: WaterSensor

    def __getitem__(self, key: Key) -> Any:
        return self.values[self.sensor.band(key).role]

    def __contains__(self, key: Key) -> bool:
        found = self.sensor.find(key)
        return found is not None and found.role in self.values

    def optics(self, key: Key) -> BandOptics:
        """Tell where the band lies, and what pure water does there."""
        return self.sensor.band(key)


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What a formula gives."""

    value: Value
    outside: Value | None = None
    """Where the spectrum lies outside of what the formula is for: there is no value."""
    saturated: Value | None = None
    """Where the reflectance no longer changes with the product: there is no value."""


type Formula = Callable[[Bands, Mapping[str, Any]], Retrieved]


@dataclass(frozen=True, slots=True)
class Retrieval:
    """A product of water colour."""

    name: str
    title: str
    unit: str
    """As UDUNITS writes it; ``1`` where there is none."""
    quantity: str
    """``rhow`` (pi Rrs) or ``rrs`` (sr-1); ``ratio`` where only the shape of either matters, so that both will do;
    ``any`` where surface reflectance will do as well."""
    needs: tuple[Key, ...]
    """Bands without which there is no value."""
    formula: Formula
    coefficients: str
    """Name of the file of coefficients."""
    also: tuple[Key, ...] = ()
    """Bands that are taken where they are there."""
    classes: Mapping[int, str] | None = None
    """What the numbers mean, where they are names."""
    cf_name: str | None = None
    """Standard name of the CF conventions, where one fits."""
    weak: bool = False
    """Known to be of little skill: said in its attributes."""
    signed: bool = False
    """Takes bands below zero as they are (differences, line heights): they are no reason to flag."""
    built_on: tuple[str, ...] = ()
    """Further files of coefficients that it reads, through other formulas."""

    def roles(self, sensor: WaterSensor) -> tuple[str, ...]:
        """Give the roles of the bands it needs, on a sensor.

        Raises
        ------
        InputError
            If the sensor has no such band.
        """
        return tuple(dict.fromkeys(sensor.band(key).role for key in self.needs))

    def optional(self, sensor: WaterSensor) -> tuple[str, ...]:
        """Give the roles of the bands it takes where they are there."""
        found = (sensor.find(key) for key in self.also)
        return tuple(dict.fromkeys(one.role for one in found if one is not None))

    def inner_sets(self, sensor: WaterSensor) -> tuple[CoefficientSet, ...]:
        """Give the coefficients that it takes for a sensor from the files that it is built on."""
        found = (load_coefficients(name).find(sensor.name) for name in self.built_on)
        return tuple(one for one in found if one is not None)

    def coefficient_set(self, sensor: WaterSensor) -> CoefficientSet:
        """Give the coefficients for a sensor.

        Raises
        ------
        NotFoundError
            If there are none.
        """
        family = load_coefficients(self.coefficients)
        found = family.find(sensor.name)
        if found is None:
            raise NotFoundError(
                "the formula has no coefficients for this sensor",
                where=self.name,
                expected=", ".join(sorted({name for one in family.sets for name in one.sensors})),
                got=sensor.name,
            )
        return found


EVIDENCE_KINDS: Mapping[str, str] = {
    "reference table": "values of other software or authors for the same spectra",
    "paper": "numbers, examples or a curve that the paper itself prints",
    "simulation": "what a model of light in water was given is found again",
    "exact": "a truth that needs no numbers of the formula: a solved equation, an inverse, an identity",
    "formula": "the formula written a second time gives the same; no more than that it is coded as it is meant",
}
"""What shows that a retrieval is right, from the outside inwards. The numbers of every set of coefficients are held
against a table that was typed from the papers besides, whatever the kind."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """How a retrieval was shown to be what it says.

    The kind says how far that goes: a ``reference table`` or a ``paper`` speaks for formula and numbers, a
    ``simulation`` for the method on waters of that model, ``exact`` for a property that must hold whatever the numbers
    are, and ``formula`` only for its code: ``n`` of ``of`` spectra are then no measure of skill.
    """

    name: str
    kind: str
    """One of :data:`EVIDENCE_KINDS`."""
    test: str
    n: int
    """Spectra that agree."""
    of: int
    note: str = ""


_REGISTRY: dict[str, Retrieval] = {}


def register_retrieval(retrieval: Retrieval) -> Retrieval:
    """Make a retrieval known by its name.

    Raises
    ------
    InputError
        If there is another of that name, nothing shows that it is right, or its coefficients are for another quantity.
    """
    if _REGISTRY.get(retrieval.name, retrieval) is not retrieval:
        raise InputError("a retrieval of this name is registered", got=retrieval.name, todo="choose another name")
    if retrieval.name not in evidence():
        raise InputError(
            "a retrieval is only registered with evidence",
            where=retrieval.name,
            expected="a row in water/retrievals/evidence/*.csv",
            todo="compare it with a table, a paper's example or a simulation, and say how many spectra agree",
        )
    for_quantity = load_coefficients(retrieval.coefficients).quantity
    if for_quantity != retrieval.quantity:
        raise InputError(
            "the formula takes another quantity than its coefficients are for",
            where=retrieval.name,
            expected=for_quantity,
            got=retrieval.quantity,
            todo=f"say the same in the retrieval and in coefficients/{retrieval.coefficients}.yaml",
        )
    for name in retrieval.built_on:
        load_coefficients(name)
    _REGISTRY[retrieval.name] = retrieval
    return retrieval


@cache
def evidence() -> Mapping[str, Evidence]:
    """Read what shows that each retrieval is right."""
    found: dict[str, Evidence] = {}
    for file in sorted(resources.files(__package__).joinpath("evidence").iterdir(), key=lambda one: one.name):
        if not file.name.endswith(".csv"):
            continue
        for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines()):
            if row["kind"] not in EVIDENCE_KINDS:
                raise InputError(
                    "no such kind of evidence", where=row["name"], expected=", ".join(EVIDENCE_KINDS), got=row["kind"]
                )
            told = Evidence(row["name"], row["kind"], row["test"], int(row["n"]), int(row["of"]), row.get("note") or "")
            found[told.name] = told
    return found


def registered() -> Mapping[str, Retrieval]:
    """Give the retrievals that are registered so far."""
    return dict(_REGISTRY)
