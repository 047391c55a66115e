"""Profiles of Argo floats: core, bio-geochemical and synthetic profile files, of one or many profiles.

A parameter in delayed mode (D) or adjusted in real time (A) is read from its adjusted values; where the adjustment
gave none, the measured value is kept with the adjustment's flag (4: it could not be adjusted). Depth is that of the
pressure, which is also a variable of its own. What the position, the time or the pressure of a level is flagged for
counts for all that was measured there. Flag 8 (interpolated by the producer) becomes qc 2, which no test
betters (``interpolated:2``); a value outside the file's own valid range is suspect.

References
----------
Argo user's manual, version 3.4, DOI 10.13155/29825: section 2.2 (profile format), reference tables 2, 3 and 16.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from terracube.core.errors import AssetError, MetadataError, TerraCubeError
from terracube.ingest.insitu.formats import _common as common
from terracube.ingest.insitu.formats import _nc as nc
from terracube.ingest.insitu.formats._argoprofiles import (
    DIMENSIONS,
    Profiles,
    data_type,
    letters_of,
    qartod,
    read_profiles,
    variable_of,
)
from terracube.ingest.insitu.formats._flags import worst
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
    remark,
)
from terracube.ingest.insitu.vocabulary import term_named

_PROFILES = ("argo profile", "b-argo profile", "argo synthetic profile", "argo merged profile")
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
            return "argo" in nc.text(data, "Conventions").lower() or data_type(path, data).lower() in _PROFILES
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
        kind = data_type(path, data)
        if kind.lower() not in _PROFILES:
            expected = "DATA_TYPE " + ", ".join(_PROFILES)
            raise MetadataError("no file of Argo profiles", where=str(path), expected=expected, got=kind[:80] or "none")
        profiles = read_profiles(path, data)
        names, issues = _parameters(path, data, profiles)
        level = _levels(path, data, profiles)
        tables = [_table(path, data, name, profiles, level) for name in names]
        issues = [*_lost(path, profiles), *issues]
        title = {"title": nc.text(data, "title"), "attribution": nc.text(data, "institution")}
    table = join(tables)
    if table.empty:
        raise AssetError("no value can be used", where=str(path), got=str(issues[0]) if issues else "no values")
    return Observations(table, tuple(issues), {k: v for k, v in title.items() if v} | common.about(mapping))


@dataclass(frozen=True, slots=True)
class _Levels:
    """What is told once per level: (N_PROF, N_LEVELS)."""

    depth: np.ndarray
    flag: np.ndarray
    """QARTOD flag of the pressure."""


def _parameters(path: Path, data: Any, profiles: Profiles) -> tuple[list[str], list[Issue]]:
    """Give the parameters to read, and tell of those that are not."""
    issues, names = [], []
    for name in sorted(set(profiles.parameters.ravel().tolist()) - {""}):
        variable = data.variables.get(name)
        fits = variable is not None and tuple(variable.dimensions) == DIMENSIONS and nc.is_number(variable)
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


def _choose(path: Path, data: Any, name: str, profiles: Profiles) -> _Chosen:
    """Take the adjusted values of profiles in delayed or adjusted mode, the measured ones else."""
    variable = variable_of(path, data, name, DIMENSIONS)
    measured, letters = nc.numbers(path, variable), letters_of(path, data, f"{name}_QC", profiles.shape)
    mode = _mode(profiles, name)
    wanted = np.isin(mode, ("D", "A"))[:, None]
    unit = nc.text(variable, "units")
    other = data.variables.get(f"{name}_ADJUSTED")
    if other is None or not wanted.any():
        never = np.zeros(profiles.shape, dtype=bool)
        return _Chosen(measured.values, measured.shown, letters, never, measured.invalid, unit)
    adjusted = nc.numbers(path, variable_of(path, data, f"{name}_ADJUSTED", DIMENSIONS))
    if nc.text(other, "units") != unit:
        raise MetadataError(
            "adjusted in another unit", where=f"{path}, {name}", expected=unit, got=nc.text(other, "units")[:80]
        )
    flagged = letters_of(path, data, f"{name}_ADJUSTED_QC", profiles.shape)
    use = wanted & np.isfinite(adjusted.values)
    return _Chosen(
        values=np.where(use, adjusted.values, measured.values),
        shown=np.where(use, adjusted.shown, measured.shown),
        letters=np.where(wanted & (flagged != b""), flagged, letters),
        adjusted=use,
        invalid=np.where(use, adjusted.invalid, measured.invalid),
        unit=unit,
    )


def _mode(profiles: Profiles, name: str) -> np.ndarray:
    """Give the mode of a parameter in each profile, "R" where the profile does not list it."""
    here = profiles.parameters == name
    place = np.argmax(here, axis=1) if here.shape[1] else np.zeros(len(here), dtype=int)
    found = profiles.modes[np.arange(len(here)), place] if here.shape[1] else np.full(len(here), "R")
    return np.where(here.any(axis=1), found, "R")


def _levels(path: Path, data: Any, profiles: Profiles) -> _Levels:
    if "PRES" not in data.variables:
        raise MetadataError("a profile needs its pressure", where=f"{path}, PRES")
    pressure = _choose(path, data, "PRES", profiles)
    flag = np.where(np.isfinite(pressure.values), qartod(pressure.letters), NOT_EVALUATED).astype("uint8")
    decibar = common.in_unit_of(pressure.values, pressure.unit, term_named("pressure"))
    depth = common.depth_of_pressure(decibar, profiles.lat[:, None])
    return _Levels(np.where(flag == FAIL, np.nan, depth), flag)


def _table(path: Path, data: Any, name: str, profiles: Profiles, level: _Levels) -> pd.DataFrame:
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
        source=nc.places(path.name, DIMENSIONS, (prof, lev)),
        size=len(prof),
    )


def _judge(chosen: _Chosen, profiles: Profiles, level: _Levels, keep: np.ndarray) -> tuple[np.ndarray, pd.Series]:
    """Give the flag of each kept cell and the tests that are not good."""
    prof = np.nonzero(keep)[0]
    missing, letters = ~np.isfinite(chosen.values[keep]), chosen.letters[keep]
    own = qartod(letters)
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
    tests = remark(tests, "interpolated:2", (letters == b"8") & ~missing)
    return np.where(missing, MISSING, flags).astype("uint8"), tests


def _lost(path: Path, profiles: Profiles) -> list[Issue]:
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
