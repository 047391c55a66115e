"""What the pixels of a variable are: their type, and how missing is told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import InputError

_MAX_TEXT = 4096
Values = NDArray[Any]


@dataclass(frozen=True, slots=True)
class CubeVariable:
    """What the pixels of one variable are.

    Examples
    --------
    >>> CubeVariable("uint16", nodata=0).fill
    0
    >>> CubeVariable("float32").fill
    nan
    """

    dtype: str
    """Type of the numbers: ``uint16``, ``float32``."""
    nodata: float | None = None
    """Number that stands for missing. Floats also have NaN, which is what ``None`` means for them; integers without
    it have a value in every pixel, and can be appended for the whole grid only."""
    units: str = ""
    """UDUNITS; empty where not told."""
    title: str = ""
    """What a person reads; empty where not told."""

    def __post_init__(self) -> None:
        try:
            kind = np.dtype(self.dtype)
        except TypeError as error:
            raise InputError("unknown type of numbers", where="dtype", got=repr(self.dtype)[:80]) from error
        if kind.kind not in "iuf" or kind.itemsize > 8:
            raise InputError("a cube holds integers and floats", where="dtype", expected="uint16, ...", got=kind.name)
        nodata = math.nan if self.nodata is None and kind.kind == "f" else self.nodata
        object.__setattr__(self, "dtype", kind.name)
        object.__setattr__(self, "nodata", None if nodata is None else _fitting(nodata, kind))
        if max(len(self.units), len(self.title)) > _MAX_TEXT:
            raise InputError("text too long", where="units, title", expected=f"<= {_MAX_TEXT} characters")

    @property
    def fill(self) -> float:
        """What lies where nothing was written."""
        return 0 if self.nodata is None else self.nodata

    def missing(self, values: Values) -> NDArray[np.bool_]:
        """Tell which pixels have no value."""
        if self.nodata is None:
            return np.zeros(values.shape, bool)
        if values.dtype.kind != "f":
            return np.asarray(values == self.nodata)
        return np.isnan(values) if math.isnan(self.nodata) else np.isnan(values) | (values == self.nodata)

    def canonical(self, values: Values) -> Values:
        """Give the values such that missing is written in one way only: equal pixels are equal bits."""
        plain = np.ascontiguousarray(values, self.dtype)
        if plain.dtype.kind != "f" or self.nodata is None:
            return plain
        return np.where(np.isnan(plain), plain.dtype.type(self.nodata), plain)

    @property
    def attributes(self) -> dict[str, Any]:
        """What readers are told about the variable."""
        told = {"units": self.units, "long_name": self.title}
        number = {} if self.nodata is None or math.isnan(self.nodata) else {"nodata": self.nodata}
        return {name: text for name, text in told.items() if text} | number

    def as_dict(self) -> dict[str, Any]:
        """Give plain JSON values; NaN is the text ``NaN``."""
        nodata = "NaN" if self.nodata is not None and math.isnan(self.nodata) else self.nodata
        return {"dtype": self.dtype, "nodata": nodata, "units": self.units, "title": self.title}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> CubeVariable:
        """Make a variable of what :meth:`as_dict` gave."""
        nodata, texts = told.get("nodata"), [told.get(name, "") for name in ("dtype", "units", "title")]
        if nodata == "NaN":
            nodata = math.nan
        numeric = nodata is None or (isinstance(nodata, int | float) and not isinstance(nodata, bool))
        if not numeric or not all(isinstance(text, str) for text in texts):
            raise InputError("malformed variable", expected="dtype, nodata, units, title", got=repr(told)[:200])
        return cls(texts[0], nodata, texts[1], texts[2])


def _fitting(nodata: float, kind: np.dtype[Any]) -> float:
    """Give nodata as the type of the pixels holds it: bit for bit what is compared with them."""
    whole = kind.kind != "f"
    try:
        with np.errstate(over="ignore"):  # judged below
            held = kind.type(int(nodata) if whole else nodata).item()
    except (OverflowError, ValueError):
        held = None
    # Floats are rounded to their type, as every reader rounds them; but none becomes infinite.
    if held is None or (held != nodata if whole else math.isinf(held) and not math.isinf(nodata)):
        raise InputError("nodata does not fit the type", where="nodata", expected=kind.name, got=str(nodata))
    # One object for NaN, so that equal variables compare equal.
    return int(held) if whole else math.nan if math.isnan(held) else float(held)


def to_variable(given: CubeVariable | Mapping[str, Any] | str) -> CubeVariable:
    """Accept a variable, its fields, or the name of a type."""
    if isinstance(given, CubeVariable):
        return given
    return CubeVariable.from_dict({"dtype": given} if isinstance(given, str) else given)
