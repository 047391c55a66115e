"""What an Argo file tells once per profile: float, time, place, parameters and their modes, and its flags.

References
----------
Argo user's manual, version 3.4, DOI 10.13155/29825: section 2.2 (profile format), reference tables 2 and 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from terracube.core.errors import BudgetError, MetadataError
from terracube.ingest.insitu.formats import _common as common
from terracube.ingest.insitu.formats import _nc as nc
from terracube.ingest.insitu.formats._flags import ARGO
from terracube.ingest.insitu.table import MISSING, NOT_EVALUATED

DIMENSIONS = ("N_PROF", "N_LEVELS")


def data_type(path: Path, data: Any) -> str:
    """Give what a file says that it holds, empty if it says nothing."""
    variable = data.variables.get("DATA_TYPE")
    if variable is None or not nc.is_text(variable):
        return ""
    found = nc.strings(path, variable)
    return str(found) if found.ndim == 0 else ""


@dataclass(frozen=True, slots=True)
class Profiles:
    """What is told once per profile; all arrays run along N_PROF."""

    shape: tuple[int, int]
    station: np.ndarray
    time: np.ndarray
    lon: np.ndarray
    lat: np.ndarray
    flags: dict[str, np.ndarray]
    """QARTOD flags of time and position."""
    parameters: np.ndarray
    """Names, (N_PROF, N_PARAM)."""
    modes: np.ndarray
    """Letters, (N_PROF, N_PARAM)."""
    scheme: np.ndarray

    def usable(self) -> np.ndarray:
        """Where a profile has a float and a time."""
        return np.asarray(self.station != "") & ~np.isnat(self.time)


def read_profiles(path: Path, data: Any) -> Profiles:
    """Read what is told once per profile.

    Raises
    ------
    MetadataError
        If dimensions or variables are missing, or do not fit each other.
    BudgetError
        If there are more levels than are read.
    """
    if any(name not in data.dimensions for name in DIMENSIONS):
        raise MetadataError("dimensions are missing", where=str(path), expected=", ".join(DIMENSIONS))
    count, levels = (len(data.dimensions[name]) for name in DIMENSIONS)
    if count * levels > nc.MAX_CELLS:
        raise BudgetError(
            "more levels than are read", where=str(path), expected=f"<= {nc.MAX_CELLS}", got=str(count * levels)
        )
    juld = variable_of(path, data, "JULD", ("N_PROF",))
    where = f"{path}, JULD"
    time = nc.moments(nc.numbers(path, juld).values, nc.text(juld, "units"), nc.text(juld, "calendar"), where)
    position = [
        nc.numbers(path, variable_of(path, data, name, ("N_PROF",))).values for name in ("LONGITUDE", "LATITUDE")
    ]
    flags = {"time": _qc(path, data, "JULD_QC", (count,)), "position": _qc(path, data, "POSITION_QC", (count,))}
    time = np.where(flags["time"] == MISSING, np.datetime64("NaT", "us"), time)
    lon, lat = position
    none = np.isnan(lon) | np.isnan(lat) | (np.abs(lat) > 90) | (np.abs(lon) > 360) | (flags["position"] == MISSING)
    parameters = _texts(path, data, "STATION_PARAMETERS", 2, count)
    if "PARAMETER_DATA_MODE" in data.variables:
        modes = _letters_of(path, data.variables["PARAMETER_DATA_MODE"])
    else:
        mode = _letters_of(path, variable_of(path, data, "DATA_MODE", ("N_PROF",)))
        modes = np.broadcast_to(mode[:, None], parameters.shape)
    if modes.shape != parameters.shape:
        raise MetadataError(
            "modes and parameters do not fit", where=str(path), expected=f"{parameters.shape}", got=f"{modes.shape}"
        )
    schemes = "VERTICAL_SAMPLING_SCHEME"
    scheme = _texts(path, data, schemes, 1, count) if schemes in data.variables else np.full(count, "", dtype=object)
    return Profiles(
        shape=(count, levels),
        station=_texts(path, data, "PLATFORM_NUMBER", 1, count),
        time=time,
        lon=np.where(none, np.nan, np.where(np.abs(lon) > 180, common.around(lon), lon)),
        lat=np.where(none, np.nan, lat),
        flags=flags,
        parameters=parameters,
        modes=modes,
        scheme=np.array([text.partition(":")[0] for text in scheme], dtype=object),
    )


def _letters_of(path: Path, variable: Any) -> np.ndarray:
    """Read a variable of letters as text, whatever bytes stand there."""
    return np.strings.decode(nc.flags(path, variable), "latin-1")


def variable_of(path: Path, data: Any, name: str, dimensions: Sequence[str]) -> Any:
    """Give a variable of numbers or texts that must be there with these dimensions."""
    variable = data.variables.get(name)
    if (
        variable is None
        or tuple(variable.dimensions) != tuple(dimensions)
        or not (nc.is_number(variable) or nc.is_text(variable))
    ):
        got = "nothing" if variable is None else f"{variable.dtype} {variable.dimensions}"
        raise MetadataError("a variable is missing", where=f"{path}, {name}", expected=", ".join(dimensions), got=got)
    return variable


def _texts(path: Path, data: Any, name: str, ndim: int, count: int) -> np.ndarray:
    variable = data.variables.get(name)
    found = nc.strings(path, variable) if variable is not None and nc.is_text(variable) else None
    if found is None or found.ndim != ndim or found.shape[0] != count:
        raise MetadataError("a variable is missing", where=f"{path}, {name}", expected="texts along N_PROF")
    return found


def _qc(path: Path, data: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Give QARTOD flags of a variable of Argo's flags: not evaluated where it has none."""
    return qartod(letters_of(path, data, name, shape))


def letters_of(path: Path, data: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Give flags as Argo writes them, blank where the file has none."""
    variable = data.variables.get(name)
    found = (
        nc.flags(path, variable) if variable is not None and nc.is_text(variable) else np.full(shape, b" ", dtype="S1")
    )
    if found.shape != shape:
        raise MetadataError(
            "flags of another shape", where=f"{path}, {name}", expected=str(shape), got=str(found.shape)
        )
    return found


def qartod(letters: np.ndarray) -> np.ndarray:
    """Give QARTOD flags of Argo's letters."""
    table = np.full(256, NOT_EVALUATED, dtype="uint8")
    for letter, flag in ARGO.items():
        table[ord(letter)] = flag
    codes = np.ascontiguousarray(letters).view("uint8").reshape(letters.shape)
    return np.asarray(table[codes])
