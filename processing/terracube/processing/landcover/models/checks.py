"""Doubts about numbers that may come from a file somebody tampered with: cheap checks, one way to say what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import InputError


def demand(fulfilled: bool | np.bool_, what: str, *, where: str, expected: str = "", got: str = "") -> None:
    """Refuse a classifier of which something that must hold does not hold.

    Raises
    ------
    InputError
        Which reading a file turns into an IntegrityError.
    """
    if not fulfilled:
        raise InputError(what, where=where, expected=expected, got=got)


@dataclass(frozen=True)
class Facts:
    """The JSON object of a classifier, each member asked for by name and type."""

    values: Mapping[str, Any]
    where: str = "classifier"

    def integer(self, name: str, least: int, most: int) -> int:
        """Give a whole number between two bounds."""
        value = self.values.get(name)
        good = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        self._demand(good, name, f"a whole number from {least} to {most}", value)
        return int(value)  # type: ignore[arg-type] # known to be one

    def number(self, name: str) -> float:
        """Give a finite number."""
        value = self.values.get(name)
        good = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
        self._demand(good, name, "a finite number", value)
        return float(value)  # type: ignore[arg-type] # known to be one

    def word(self, name: str, known: tuple[str, ...]) -> str:
        """Give one of some known words."""
        value = self.values.get(name)
        self._demand(isinstance(value, str) and value in known, name, ", ".join(known), value)
        return str(value)

    def objects(self, name: str, most: int) -> list[dict[str, Any]]:
        """Give a list of objects, at least one and not too many."""
        value = self.values.get(name)
        good = isinstance(value, list) and 0 < len(value) <= most and all(isinstance(one, dict) for one in value)
        self._demand(good, name, f"1 to {most} objects", value)
        return list(value or [])

    def _demand(self, good: bool, name: str, expected: str, value: Any) -> None:
        where = f"{self.where}.{name}"
        demand(good, "a fact of the classifier is wrong", where=where, expected=expected, got=repr(value)[:80])


@dataclass(frozen=True)
class Arrays:
    """The arrays of a classifier, each asked for by name, type and number of dimensions."""

    values: Mapping[str, NDArray[Any]]

    def take(self, name: str, dtype: type[np.generic], dimensions: int) -> NDArray[Any]:
        """Give an array that has exactly this type and this many dimensions."""
        array = self.values.get(name)
        good = array is not None and array.dtype == np.dtype(dtype) and array.ndim == dimensions
        demand(
            good,
            "an array of the classifier is missing or of another type",
            where=name,
            expected=f"{dimensions} dimensions of {np.dtype(dtype)}",
            got="nothing" if array is None else f"{array.ndim} of {array.dtype}",
        )
        return np.ascontiguousarray(array)

    def below(self, prefix: str) -> Arrays:
        """Give those whose names start with a prefix, without it."""
        own = {name.removeprefix(prefix): values for name, values in self.values.items() if name.startswith(prefix)}
        return Arrays(own)


def check_offsets(offsets: NDArray[np.int64], total: int, *, where: str) -> None:
    """Demand that offsets start at 0, rise by at least one each, and end at the number of what they count."""
    good = len(offsets) > 1 and offsets[0] == 0 and offsets[-1] == total and bool((offsets[1:] > offsets[:-1]).all())
    demand(
        good, "the offsets do not fit", where=where, expected=f"rising from 0 to {total}", got=f"{len(offsets)} offsets"
    )
