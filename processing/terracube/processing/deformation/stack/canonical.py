"""One phase: in radians, growing with the distance, NaN where there is none; a coherence from 0 to 1."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.pairs import SIGN

PHASE, COHERENCE, COMPONENTS = "unwrapped_phase", "coherence", "connected_components"
_SIGNS = {SIGN: 1.0, "range_increase": 1.0, "range_decrease": -1.0}
_RADIANS = {"rad": 1.0, "radian": 1.0, "radians": 1.0, "cycle": 2 * math.pi, "cycles": 2 * math.pi}
_METRES = {
    "m": 1.0,
    "metre": 1.0,
    "metres": 1.0,
    "meter": 1.0,
    "meters": 1.0,
    "cm": 1e-2,
    "mm": 1e-3,
    "millimetre": 1e-3,
}
# What a quotient of float32 sums may exceed 1 by.
_SLACK = 1e-3


def factor_of(dataset: xr.Dataset, units: str | None, sign: str | None, wavelength: float) -> float:
    """Give what the phase is multiplied with to be in radians that grow with the distance.

    Raises
    ------
    InputError
        If a word is unknown.
    MetadataError
        If unit or sign are not told, or told twice and not the same.
    """
    told = _sign(dataset, sign)
    unit = _unit(dataset, units, told)
    if unit in _RADIANS:
        return _RADIANS[unit] * _SIGNS[told]
    if told == SIGN:
        raise MetadataError(
            "which way a phase in metres grows is not told",
            where="phase_sign",
            expected="sign='range_increase' (away from the satellite) or 'range_decrease' (towards it)",
            got="the convention of radians",
        )
    return _METRES[unit] * 4 * math.pi / wavelength * _SIGNS[told]


def _sign(dataset: xr.Dataset, given: str | None) -> str:
    told = dataset.attrs.get("phase_sign", dataset[PHASE].attrs.get("phase_sign"))
    if given is not None and given not in _SIGNS:
        raise InputError("unknown sign", where="sign", expected="range_increase, range_decrease", got=repr(given)[:80])
    if told is not None and told not in _SIGNS:
        raise MetadataError("unknown sign of the phase", where="phase_sign", expected=SIGN, got=repr(told)[:200])
    if told is not None and given is not None and _SIGNS[told] != _SIGNS[given]:
        raise MetadataError("the dataset tells another sign", where="phase_sign", expected=str(told), got=given)
    found = given if given is not None else told
    if found is None:
        raise MetadataError(
            "the sign of the phase is not told",
            where="phase_sign",
            expected="whether the phase grows with the distance to the satellite from reference to secondary date",
            got="nothing",
            todo="sign='range_increase', or 'range_decrease' if it grows as the ground comes nearer",
        )
    return str(found)


def _unit(dataset: xr.Dataset, given: str | None, sign: str) -> str:
    attribute = dataset[PHASE].attrs.get("units")
    told = [str(value).strip().lower() for value in (attribute, given) if value is not None]
    if not told and sign == SIGN:
        return "rad"
    known = {**_RADIANS, **_METRES}
    if not told:
        raise MetadataError(
            "the unit of the phase is not told",
            where=f"{PHASE}.attrs['units']",
            expected="rad, cycle, m or mm",
            got="nothing",
            todo="units='rad', if it is that",
        )
    for unit in told:
        if unit not in known:
            raise MetadataError("unknown unit of the phase", where=PHASE, expected="rad, cycle, m, mm", got=unit[:60])
    if len({(known[unit], unit in _METRES) for unit in told}) > 1:
        raise MetadataError("the dataset tells another unit", where=PHASE, expected=told[0], got=told[1])
    return told[0]


def canonical_layers(dataset: xr.Dataset, factor: float, nodata: float | None) -> dict[str, xr.DataArray]:
    """Give phase and coherence of a dataset in float32, with NaN where they are missing; lazily if it is lazy."""
    phase = dataset[PHASE]
    told = {"units": "rad", "long_name": "unwrapped phase", "phase_sign": SIGN}
    found = {PHASE: _mapped(phase, partial(_phases, factor=factor, missing=_missing(phase, nodata)), told)}
    if COHERENCE in dataset:
        values = dataset[COHERENCE]
        told = {"units": "1", "long_name": "coherence"}
        found[COHERENCE] = _mapped(values, partial(_coherences, missing=_missing(values, None)), told)
    return found


def _missing(values: xr.DataArray, given: float | None) -> tuple[float, ...]:
    told = [values.attrs.get(name) for name in ("nodata", "_FillValue", "missing_value")]
    return tuple(float(value) for value in (given, *told) if value is not None and not math.isnan(value))


def _mapped(values: xr.DataArray, rule: Any, told: Mapping[str, Any]) -> xr.DataArray:
    done: xr.DataArray = xr.apply_ufunc(rule, values, dask="parallelized", output_dtypes=["float32"], keep_attrs=False)
    dropped = {"nodata", "_FillValue", "missing_value", "scale_factor", "add_offset", "units"}
    kept = {name: value for name, value in values.attrs.items() if name not in dropped}
    return done.assign_attrs({**kept, **told})


def _phases(values: NDArray[Any], factor: float, missing: tuple[float, ...]) -> NDArray[np.float32]:
    out = np.array(values, "float32")
    if factor != 1.0:
        out = (values.astype("float64") * factor).astype("float32")
    gone = ~np.isfinite(out)
    for number in missing:
        gone |= values == values.dtype.type(number)
    out[gone] = np.nan
    return out


def _coherences(values: NDArray[Any], missing: tuple[float, ...]) -> NDArray[np.float32]:
    out = np.array(values, "float32")
    for number in missing:
        out[values == values.dtype.type(number)] = np.nan
    wrong = (out < -_SLACK) | (out > 1 + _SLACK)
    if wrong.any():
        raise InputError(
            "a coherence is not in 0 to 1",
            where=COHERENCE,
            expected="0 to 1, NaN or the declared nodata where missing",
            got=f"{out[wrong].min():g} to {out[wrong].max():g}",
            todo="divide bytes by 255 (or what the producer says), and declare the nodata in the attributes",
        )
    return np.clip(out, 0.0, 1.0, out=out)
