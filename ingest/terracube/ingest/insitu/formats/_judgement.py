"""What a NetCDF file says of the values of a variable: flags of quality, and marks of values beyond a limit.

References
----------
CF conventions, version 1.11: sections 3.4 (ancillary data) and 3.5 (flags).
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as Words
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from terracube.ingest.insitu.formats import _nc as nc
from terracube.ingest.insitu.formats._flags import flag_of, worst
from terracube.ingest.insitu.formats._geometry import Geometry
from terracube.ingest.insitu.table import FAIL, MISSING, NOT_EVALUATED, SUSPECT, doubt

_CENSORED = {"measured": "", "true_value_is_below": "<", "true_value_is_above": ">"}


@dataclass(frozen=True, slots=True)
class Judgement:
    """Reads the flags of an open file."""

    path: Path
    geometry: Geometry
    quality: Words[str, int]
    """What words of ``flag_meanings`` mean beside those that are known."""
    issue: Callable[[str, str, str, Any], None]
    """Called with variable, what is wrong, value and action."""

    def judge(
        self, variable: Any, values: np.ndarray, invalid: np.ndarray, told: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, pd.Series]:
        """Give the flag and the tests not passed of each kept cell."""
        missing = np.isnan(values)
        told = {name: np.where((flag == MISSING) & ~missing, SUSPECT, flag) for name, flag in told.items()}
        flags = worst(list(told.values())) if told else np.full(len(missing), NOT_EVALUATED, dtype="uint8")
        tests = pd.Series("", index=range(len(missing)), dtype=object)
        for name, flag in told.items():
            for worse in (SUSPECT, FAIL):
                tests = doubt(tests, name, (flag == worse) & ~missing, worse)
        outside = invalid & ~missing
        if outside.any():
            what = "outside the range that the file says is valid"
            self.issue(variable.name, what, f"{outside.sum()} values", "flagged")
            flags, tests = (
                np.where(outside, worst([flags, np.full_like(flags, SUSPECT)]), flags),
                doubt(tests, "valid_range", outside),
            )
        return np.where(missing, MISSING, flags).astype("uint8"), tests

    def variables(self, variable: Any) -> list[Any]:
        """Give the flags of a variable: the summary if there is one, else all of them."""
        names = nc.words(variable, "ancillary_variables")
        names += [f"{variable.name}_{end}" for end in ("qc", "QC", "quality_flag", "flag")]
        found = [self.geometry.variables[name] for name in dict.fromkeys(names) if name in self.geometry.variables]
        flags = [
            other
            for other in found
            if (nc.attribute(other, "flag_meanings") is not None and not other.name.endswith("_censored"))
            or nc.text(other, "standard_name").endswith("flag")
            or other.name.lower().endswith(("qc", "flag"))
        ]
        summary = [other for other in flags if nc.text(other, "standard_name").startswith("aggregate")]
        usable = [other for other in summary or flags if self.geometry.reaches(variable.dimensions, other.dimensions)]
        return [other for other in usable if nc.is_number(other) or nc.is_text(other)]

    def read(self, variable: Any, other: Any) -> np.ndarray:
        """Give the QARTOD flags that a variable of flags means; 2 for what is not known."""
        stored = nc.raw(self.path, other)
        stored = np.char.strip(stored.astype("S1")) if stored.dtype.kind in "SU" else stored
        meanings, given = nc.words(other, "flag_meanings"), nc.attribute(other, "flag_values")
        values = _flag_values(given, stored.dtype)
        flags = np.full(stored.shape, NOT_EVALUATED, dtype="uint8")
        if stored.dtype.kind == "O" or not meanings or len(values) != len(meanings):
            self.issue(other.name, "flags without a meaning for each", " ".join(meanings), "flagged")
        else:
            for value, meaning in zip(values, meanings, strict=True):
                flag = flag_of(meaning, self.quality)
                here = stored == value
                if flag is None and here.any():
                    self.issue(other.name, "a flag of unknown meaning, taken as not evaluated", meaning, "flagged")
                flags[here] = flag or NOT_EVALUATED
        brought, known = self.geometry.bring(flags, other.dimensions, variable.dimensions, variable.shape)
        return np.where(known, brought, NOT_EVALUATED).astype("uint8")

    def censored(self, variable: Any) -> np.ndarray:
        """Give for each cell ``<`` where the true value is below the one that stands there, ``>`` where it is above.

        Told by a variable ``<name>_censored`` whose flags mean "measured", "true_value_is_below" and
        "true_value_is_above".
        """
        none = np.full(variable.shape, "", dtype=object)
        other = self.geometry.variables.get(f"{variable.name}_censored")
        if other is None or not nc.is_number(other) or not self.geometry.reaches(variable.dimensions, other.dimensions):
            return none
        meanings = nc.words(other, "flag_meanings")
        values = _flag_values(nc.attribute(other, "flag_values"), other.dtype)
        if len(values) != len(meanings) or not set(meanings) <= set(_CENSORED):
            self.issue(other.name, "flags without a meaning for each", " ".join(meanings), "flagged")
            return none
        stored = nc.raw(self.path, other)
        marks = np.full(stored.shape, "", dtype=object)
        for value, meaning in zip(values, meanings, strict=True):
            marks[stored == value] = _CENSORED[meaning]
        brought, known = self.geometry.bring(marks, other.dimensions, variable.dimensions, variable.shape)
        return np.where(known, brought, "")


def _flag_values(given: Any, dtype: Any) -> list[Any]:
    """Give the values of flags in the type that they are stored in."""
    if given is None:
        return []
    if isinstance(given, str):
        parts = given.replace(",", " ").split() if " " in given or "," in given else list(given)
        return [part.encode("ascii", errors="replace") for part in parts] if dtype.kind in "SU" else []
    plain = np.atleast_1d(np.asarray(given))
    return list(plain.tolist()) if plain.dtype.kind in "iuf" and dtype.kind in "iuf" else []
