"""Names of the bands that a correction handles, and what it does at the edges: choices, not physics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import xarray as xr

from terracube.core.errors import InputError
from terracube.processing.water.quantities import band_names
from terracube.processing.water.sensors import load_water_sensor

_VISIBLE = ("coastal", "blue", "green", "yellow", "red", "oa01", "oa02", "oa05", "oa09", "oa10")
_LAST_VISIBLE = 700.0
_BELOW_ZERO, _ELSEWHERE = ("keep", "zero", "missing"), ("keep", "missing")


@dataclass(frozen=True, slots=True)
class CorrectionRules:
    """What a correction does where it should not simply subtract."""

    limit: float | None = None
    """Largest reflectance of the reference band that is taken for glint; ``None`` = any. Land, clouds and whitecaps are
    brighter; 0.05 at 1600 nm is in use."""
    elsewhere: Literal["keep", "missing"] = "missing"
    """Pixels that are not water, or brighter than the limit: kept as they are, or made missing."""
    below_zero: Literal["keep", "zero", "missing"] = "keep"
    """What becomes of reflectances below zero; their flag is set in any case."""
    glint_above: float = 0.03
    """Glint reflectance of the reference band from which on the flag ``glint`` is set: a tenth of it, a usual error of
    such a correction, is as large as the red reflectance of clear water."""
    incidence: float = 0.0
    """Angle of incidence of the sun on the mirroring facets, degrees, for method ``glint``; half the sun's zenith angle
    where the sensor looks straight down."""
    nir: str = "nir"
    """Band without light from the water where it is deep, for method ``hedley``."""

    def __post_init__(self) -> None:
        """Refuse words that are not known."""
        for name, told, known in (
            ("below_zero", self.below_zero, _BELOW_ZERO),
            ("elsewhere", self.elsewhere, _ELSEWHERE),
        ):
            if told not in known:
                raise InputError("no such rule", where=name, expected=" or ".join(known), got=repr(told))


def bands_of(cube: xr.Dataset) -> list[str]:
    """Give the reflectance bands of a cube: the variables that have the name of a role.

    Raises
    ------
    InputError
        If there is none, or one holds whole numbers.
    """
    found = list(band_names(cube))
    if not found:
        got = ", ".join(map(str, cube.data_vars))[:200]
        raise InputError("the cube has no band", where="cube", expected="variables named by roles, like red", got=got)
    whole = [name for name in found if cube[name].dtype.kind != "f"]
    if whole:
        raise InputError("reflectances are not floating numbers", where=", ".join(whole), expected="float32 or float64",
                         got=str(cube[whole[0]].dtype), todo="scale the bands first")  # fmt: skip
    return found


def visible_of(bands: list[str], sensor: str | None) -> list[str]:
    """Give those of the bands that lie below 700 nm."""
    if sensor is None:
        return [name for name in bands if name in _VISIBLE]
    known = load_water_sensor(sensor).bands
    return [name for name in bands if (known[name].wavelength < _LAST_VISIBLE if name in known else name in _VISIBLE)]


def must_have(cube: xr.Dataset, band: str, why: str) -> xr.DataArray:
    """Give a band of the cube.

    Raises
    ------
    InputError
        If the cube lacks it, saying what for it is needed.
    """
    if band not in cube.data_vars:
        got: Any = ", ".join(map(str, cube.data_vars))
        raise InputError(f"a band is missing: {why}", where="cube", expected=band, got=got[:200])
    return cube[band]
