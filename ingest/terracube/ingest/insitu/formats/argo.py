"""Profiles of Argo floats: core, bio-geochemical and synthetic profile files, of one or many profiles.

A parameter in delayed mode (D) or adjusted in real time (A) is read from its adjusted values; where the adjustment
gave none, the measured value is kept with the adjustment's flag (4: it could not be adjusted). Depth is that of the
pressure, which is also a variable of its own. What the position, the time or the pressure of a level is flagged for
counts for all that was measured there. Flag 8 (interpolated by the producer) becomes qc 2 with the test
``interpolated:2``; a value outside the file's own valid range is suspect.

References
----------
Argo user's manual, version 3.4, DOI 10.13155/29825: section 2.2 (profile format), reference tables 2, 3 and 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from terracube.core.errors import AssetError, BudgetError, MetadataError, TerraCubeError
from terracube.ingest.insitu.formats import _common as common
from terracube.ingest.insitu.formats import _nc as nc
from terracube.ingest.insitu.formats._flags import ARGO, worst
from terracube.ingest.insitu.mapping import Mapping
from terracube.ingest.insitu.table import (
    FAIL,
    GOOD,
    MISSING,
    NOT_EVALUATED,
    SUSPECT,
    Issue,
    Observations,
    doubt,
    join,
    make,
)
from terracube.ingest.insitu.vocabulary import term_named

_PROFILES = ("argo profile", "b-argo profile", "argo synthetic profile", "argo merged profile")
_DIMENSIONS = ("N_PROF", "N_LEVELS")
#: Reference table 3, as far as the vocabulary has words.
_PARAMETERS = {
    "PRES": "pressure",
    "TEMP": "water_temperature",
    "PSAL": "practical_salinity",
    "CNDC": "conductivity",
    "DOXY": "dissolved_oxygen_content",
    "NITRATE": "nitrate_content",
    "CHLA": "chlorophyll_a_fluorescence",
    "PH_IN_SITU_TOTAL": "ph_total_scale",
}
_MODES = {"D": "delayed mode", "A": "adjusted in real time", "R": "real time"}


def recognise(path: Path) -> bool:
    """Tell whether a file is NetCDF of Argo, of whatever type; `read` refuses those that hold no profiles by name."""
    if not nc.is_netcdf(path):
        return False
    try:
        with nc.opened(path) as data:
            return "argo" in nc.text(data, "Conventions").lower() or _data_type(path, data).lower() in _PROFILES
    except TerraCubeError:
        return False


def read(path: Path, mapping: Mapping | None = None) -> Observations:
    """Read the profiles of a file.

    Parameters
    ----------
    path : Path
        A local file.
    mapping : Mapping, optional
        Whose data these are; nothing else of it is used.

    Returns
    -------
    Observations
        ``station`` is the WMO number of the float, ``method`` the mode and sampling scheme, ``source``
        ``file.nc:N_PROF=i,N_LEVELS=k``, counted from 0.

    Raises
    ------
    AssetError
        If the file is damaged or holds no usable value.
    MetadataError
        If it is no profile file, or lacks what a profile needs.
    BudgetError
        If it claims more cells than are read.
    """
    with nc.opened(path) as data:
        kind = _data_type(path, data)
        if kind.lower() not in _PROFILES:
            expected = "DATA_TYPE " + ", ".join(_PROFILES)
            raise MetadataError("no file of Argo profiles", where=str(path), expected=expected, got=kind[:80] or "none")
        profiles = _profiles(path, data)
        names, issues = _parameters(path, data, profiles)
        level = _levels(path, data, profiles)
        tables = [_table(path, data, name, profiles, level) for name in names]
        issues = [*_lost(path, profiles), *issues]
        title = {"title": nc.text(data, "title"), "attribution": nc.text(data, "institution")}
    table = join(tables)
    if table.empty:
        raise AssetError("no value can be used", where=str(path), got=str(issues[0]) if issues else "no values")
    return Observations(table, tuple(issues), {k: v for k, v in title.items() if v} | common.about(mapping))


def _data_type(path: Path, data: Any) -> str:
    variable = data.variables.get("DATA_TYPE")
    if variable is None or not nc.is_text(variable):
        return ""
    found = nc.strings(path, variable)
    return str(found) if found.ndim == 0 else ""


@dataclass(frozen=True, slots=True)
class _Profiles:
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


@dataclass(frozen=True, slots=True)
class _Levels:
    """What is told once per level: (N_PROF, N_LEVELS)."""

    depth: np.ndarray
    flag: np.ndarray
    """QARTOD flag of the pressure."""


def _profiles(path: Path, data: Any) -> _Profiles:
    if any(name not in data.dimensions for name in _DIMENSIONS):
        raise MetadataError("dimensions are missing", where=str(path), expected=", ".join(_DIMENSIONS))
    count, levels = (len(data.dimensions[name]) for name in _DIMENSIONS)
    if count * levels > nc.MAX_CELLS:
        raise BudgetError(
            "more levels than are read", where=str(path), expected=f"<= {nc.MAX_CELLS}", got=str(count * levels)
        )
    juld = _variable(path, data, "JULD", ("N_PROF",))
    where = f"{path}, JULD"
    time = nc.moments(nc.numbers(path, juld).values, nc.text(juld, "units"), nc.text(juld, "calendar"), where)
    position = [nc.numbers(path, _variable(path, data, name, ("N_PROF",))).values for name in ("LONGITUDE", "LATITUDE")]
    flags = {"time": _qc(path, data, "JULD_QC", (count,)), "position": _qc(path, data, "POSITION_QC", (count,))}
    time = np.where(flags["time"] == MISSING, np.datetime64("NaT", "us"), time)
    lon, lat = position
    none = np.isnan(lon) | np.isnan(lat) | (np.abs(lat) > 90) | (np.abs(lon) > 360) | (flags["position"] == MISSING)
    parameters = _texts(path, data, "STATION_PARAMETERS", 2, count)
    if "PARAMETER_DATA_MODE" in data.variables:
        modes = nc.flags(path, data.variables["PARAMETER_DATA_MODE"]).astype(str)
    else:
        mode = nc.flags(path, _variable(path, data, "DATA_MODE", ("N_PROF",))).astype(str)
        modes = np.broadcast_to(mode[:, None], parameters.shape)
    if modes.shape != parameters.shape:
        raise MetadataError(
            "modes and parameters do not fit", where=str(path), expected=f"{parameters.shape}", got=f"{modes.shape}"
        )
    schemes = "VERTICAL_SAMPLING_SCHEME"
    scheme = _texts(path, data, schemes, 1, count) if schemes in data.variables else np.full(count, "", dtype=object)
    return _Profiles(
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


def _variable(path: Path, data: Any, name: str, dimensions: Sequence[str]) -> Any:
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
    return _qartod(_letters(path, data, name, shape))


def _letters(path: Path, data: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    variable = data.variables.get(name)
    found = (
        nc.flags(path, variable) if variable is not None and nc.is_text(variable) else np.full(shape, b" ", dtype="S1")
    )
    if found.shape != shape:
        raise MetadataError(
            "flags of another shape", where=f"{path}, {name}", expected=str(shape), got=str(found.shape)
        )
    return found


def _qartod(letters: np.ndarray) -> np.ndarray:
    table = np.full(256, NOT_EVALUATED, dtype="uint8")
    for letter, flag in ARGO.items():
        table[ord(letter)] = flag
    codes = np.ascontiguousarray(letters).view("uint8").reshape(letters.shape)
    return np.asarray(table[codes])


def _parameters(path: Path, data: Any, profiles: _Profiles) -> tuple[list[str], list[Issue]]:
    """Give the parameters to read, and tell of those that are not."""
    issues, names = [], []
    for name in sorted(set(profiles.parameters.ravel().tolist()) - {""}):
        variable = data.variables.get(name)
        fits = variable is not None and tuple(variable.dimensions) == _DIMENSIONS and nc.is_number(variable)
        if name in _PARAMETERS and fits:
            names.append(name)
        else:
            what = "a parameter that is not in the vocabulary" if fits else "a parameter without values per level"
            told = f"{int((profiles.parameters == name).sum())} profiles"
            issues.append(Issue(path.name, None, name[:80], what, told, "left out"))
    return names, issues


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Values of a parameter, measured or adjusted: (N_PROF, N_LEVELS)."""

    values: np.ndarray
    shown: np.ndarray
    letters: np.ndarray
    adjusted: np.ndarray
    invalid: np.ndarray
    unit: str


def _choose(path: Path, data: Any, name: str, profiles: _Profiles) -> _Chosen:
    """Take the adjusted values of profiles in delayed or adjusted mode, the measured ones else."""
    variable = _variable(path, data, name, _DIMENSIONS)
    measured, letters = nc.numbers(path, variable), _letters(path, data, f"{name}_QC", profiles.shape)
    mode = _mode(profiles, name)
    wanted = np.isin(mode, ("D", "A"))[:, None]
    unit = nc.text(variable, "units")
    other = data.variables.get(f"{name}_ADJUSTED")
    if other is None or not wanted.any():
        never = np.zeros(profiles.shape, dtype=bool)
        return _Chosen(measured.values, measured.shown, letters, never, measured.invalid, unit)
    adjusted = nc.numbers(path, _variable(path, data, f"{name}_ADJUSTED", _DIMENSIONS))
    if nc.text(other, "units") != unit:
        raise MetadataError(
            "adjusted in another unit", where=f"{path}, {name}", expected=unit, got=nc.text(other, "units")[:80]
        )
    flagged = _letters(path, data, f"{name}_ADJUSTED_QC", profiles.shape)
    use = wanted & np.isfinite(adjusted.values)
    return _Chosen(
        values=np.where(use, adjusted.values, measured.values),
        shown=np.where(use, adjusted.shown, measured.shown),
        letters=np.where(wanted & (flagged != b""), flagged, letters),
        adjusted=use,
        invalid=np.where(use, adjusted.invalid, measured.invalid),
        unit=unit,
    )


def _mode(profiles: _Profiles, name: str) -> np.ndarray:
    """Give the mode of a parameter in each profile, "R" where the profile does not list it."""
    here = profiles.parameters == name
    place = np.argmax(here, axis=1) if here.shape[1] else np.zeros(len(here), dtype=int)
    found = profiles.modes[np.arange(len(here)), place] if here.shape[1] else np.full(len(here), "R")
    return np.where(here.any(axis=1), found, "R")


def _levels(path: Path, data: Any, profiles: _Profiles) -> _Levels:
    if "PRES" not in data.variables:
        raise MetadataError("a profile needs its pressure", where=f"{path}, PRES")
    pressure = _choose(path, data, "PRES", profiles)
    flag = np.where(np.isfinite(pressure.values), _qartod(pressure.letters), NOT_EVALUATED).astype("uint8")
    decibar = common.in_unit_of(pressure.values, pressure.unit, term_named("pressure"))
    depth = common.depth_of_pressure(decibar, profiles.lat[:, None])
    return _Levels(np.where(flag == FAIL, np.nan, depth), flag)


def _table(path: Path, data: Any, name: str, profiles: _Profiles, level: _Levels) -> pd.DataFrame:
    """Make the rows of one parameter: values, and cells that the producer flags as missing."""
    chosen, term = _choose(path, data, name, profiles), term_named(_PARAMETERS[name])
    there = np.isfinite(chosen.values)
    keep = (there | (chosen.letters == b"9")) & profiles.usable()[:, None]
    prof, lev = np.nonzero(keep)
    flags, tests = _judge(chosen, profiles, level, keep)
    mode = pd.Series(_mode(profiles, name)).map(_MODES).fillna("mode not told").to_numpy()
    how = np.where(chosen.adjusted[keep], "adjusted", "as measured")
    scheme = pd.Series(profiles.scheme[prof], dtype=object)
    method = "Argo float; " + pd.Series(mode[prof], dtype=object) + ", " + pd.Series(how, dtype=object)
    return make(
        station=profiles.station[prof],
        time=profiles.time[prof],
        lon=profiles.lon[prof],
        lat=profiles.lat[prof],
        depth=level.depth[keep],
        variable=term.name,
        value=common.in_unit_of(chosen.values[keep], chosen.unit, term),
        unit=term.unit,
        method=method.where(scheme == "", method + "; " + scheme),
        qc=flags,
        qc_tests=tests,
        original_value=nc.shown(chosen.shown[keep]),
        original_unit=chosen.unit,
        source=nc.places(path.name, _DIMENSIONS, (prof, lev)),
        size=len(prof),
    )


def _judge(chosen: _Chosen, profiles: _Profiles, level: _Levels, keep: np.ndarray) -> tuple[np.ndarray, pd.Series]:
    """Give the flag of each kept cell and the tests that are not good."""
    prof = np.nonzero(keep)[0]
    missing, letters = ~np.isfinite(chosen.values[keep]), chosen.letters[keep]
    own = _qartod(letters)
    own = np.where((own == MISSING) & ~missing, SUSPECT, own).astype("uint8")
    outside = chosen.invalid[keep] & ~missing
    parts = {
        "argo_qc": own,
        "pressure": level.flag[keep],
        "valid_range": np.where(outside, SUSPECT, GOOD).astype("uint8"),
    }
    parts |= {name: flags[prof] for name, flags in profiles.flags.items()}
    # A place or time that nobody checked does not make a checked value unchecked.
    counted = [
        np.where((flag == SUSPECT) | (flag == FAIL), flag, GOOD) for name, flag in parts.items() if name != "argo_qc"
    ]
    flags = worst([own, *counted])
    tests = pd.Series("", index=range(len(own)), dtype=object)
    for name, flag in parts.items():
        for bad in (SUSPECT, FAIL):
            tests = doubt(tests, name, (flag == bad) & ~missing, bad)
    tests = doubt(tests, "interpolated", (letters == b"8") & ~missing, NOT_EVALUATED)
    return np.where(missing, MISSING, flags).astype("uint8"), tests


def _lost(path: Path, profiles: _Profiles) -> list[Issue]:
    """Tell of profiles without a time or a float, and of those without a position."""
    issues = []
    for number in np.flatnonzero(~profiles.usable())[:1000]:
        field = "PLATFORM_NUMBER" if profiles.station[number] == "" else "JULD"
        issues.append(Issue(path.name, None, field, "a profile without it", f"N_PROF={number}", "left out"))
    nowhere = np.flatnonzero(profiles.usable() & np.isnan(profiles.lon))
    for number in nowhere[:1000]:
        told = f"N_PROF={number}"
        issues.append(
            Issue(path.name, None, "LATITUDE, LONGITUDE", "a profile without a position or depth", told, "flagged")
        )
    return issues
