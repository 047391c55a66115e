"""One phase: in radians, growing with the distance, NaN where there is none; a coherence from 0 to 1."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError, MetadataError
from terracube.cubes.pairs import SIGN

PHASE, COHERENCE, COMPONENTS = "unwrapped_phase", "coherence", "connected_components"
_STILL = ("los_east", "los_north", "los_up", "dem", "incidence_angle")
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
_MISSING = ("nodata", "_FillValue", "missing_value")
_PACKED = ("scale_factor", "add_offset")


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
    if given is not None and not (isinstance(given, str) and given in _SIGNS):
        raise InputError("unknown sign", where="sign", expected="range_increase, range_decrease", got=repr(given)[:80])
    if told is not None and not (isinstance(told, str) and told in _SIGNS):
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


@dataclass(frozen=True, slots=True)
class _Packing:
    """How the numbers of a layer are stored, as its attributes tell it."""

    missing: tuple[float, ...]
    """What stands for no value, among the stored numbers."""
    scale: float
    offset: float

    @classmethod
    def of(cls, values: xr.DataArray, given: float | None = None) -> _Packing:
        """Read the attributes of a layer.

        Raises
        ------
        MetadataError
            If one is no number, or the scale is 0.
        """
        told = [number for name in _MISSING for number in _numbers(values, name)]
        told += [] if given is None else [float(given)]
        scale, offset = ((*_numbers(values, name), None)[0] for name in _PACKED)
        found = cls(
            tuple(number for number in told if not math.isnan(number)),
            1.0 if scale is None else scale,
            0.0 if offset is None else offset,
        )
        if not (math.isfinite(found.scale) and found.scale and math.isfinite(found.offset)):
            raise MetadataError(
                "a layer cannot be unpacked", where=str(values.name), expected="a finite scale but 0, a finite offset",
                got=f"scale_factor {found.scale:g}, add_offset {found.offset:g}",
            )  # fmt: skip
        return found

    @property
    def is_plain(self) -> bool:
        """Whether the stored numbers are the values, and NaN is missing."""
        return (self.missing, self.scale, self.offset) == ((), 1.0, 0.0)

    def gone(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell which stored numbers stand for no value."""
        found = np.zeros(values.shape, bool)
        for number in self.missing:
            # In the type of the layer, in which it was written; no whole number of any type equals one beyond it.
            with np.errstate(over="ignore"):
                found |= values == (values.dtype.type(number) if values.dtype.kind == "f" else np.float64(number))
        return found

    def values(self, stored: NDArray[Any], factor: float = 1.0) -> NDArray[np.float32]:
        """Unpack stored numbers, times a factor; NaN where they stand for no value."""
        if (self.scale, self.offset, factor) == (1.0, 0.0, 1.0):
            out = np.array(stored, "float32")
        else:
            out = ((stored.astype("float64") * self.scale + self.offset) * factor).astype("float32")
        out[self.gone(stored)] = np.nan
        return out


def _numbers(values: xr.DataArray, name: str) -> tuple[float, ...]:
    told = values.attrs.get(name)
    if told is None:
        return ()
    known = np.asarray(told)
    if known.dtype.kind not in "iuf":
        raise MetadataError(
            "an attribute is no number", where=f"{values.name}.attrs[{name!r}]", expected="a number",
            got=repr(told)[:60], todo="set it to the number, or delete it",
        )  # fmt: skip
    return tuple(float(number) for number in known.ravel())


def canonical_layers(dataset: xr.Dataset, factor: float, nodata: float | None) -> dict[str, xr.DataArray]:
    """Give the layers of a dataset in float32, unpacked, with NaN where they are missing; lazily if it is lazy.

    Raises
    ------
    MetadataError
        If an attribute that tells how a layer is stored is no number.
    """
    phase = dataset[PHASE]
    told = {"units": "rad", "long_name": "unwrapped phase", "phase_sign": SIGN}
    found = {PHASE: _mapped(phase, partial(_phases, factor=factor, packing=_Packing.of(phase, nodata)), told)}
    if COHERENCE in dataset:
        values = dataset[COHERENCE]
        told = {"units": "1", "long_name": "coherence"}
        found[COHERENCE] = _mapped(values, partial(_coherences, packing=_Packing.of(values)), told)
    for name in _STILL:
        if name in dataset and not (packing := _Packing.of(dataset[name])).is_plain:
            found[name] = _mapped(dataset[name], packing.values, {})
    return found


def _mapped(values: xr.DataArray, rule: Any, told: Mapping[str, Any]) -> xr.DataArray:
    done: xr.DataArray = xr.apply_ufunc(rule, values, dask="parallelized", output_dtypes=["float32"], keep_attrs=False)
    kept = {name: value for name, value in values.attrs.items() if name not in (*_MISSING, *_PACKED)}
    return done.assign_attrs({**kept, **told})


def _phases(values: NDArray[Any], factor: float, packing: _Packing) -> NDArray[np.float32]:
    out = packing.values(values, factor)
    out[~np.isfinite(out)] = np.nan
    return out


def _coherences(values: NDArray[Any], packing: _Packing) -> NDArray[np.float32]:
    out = packing.values(values)
    wrong = (out < -_SLACK) | (out > 1 + _SLACK)
    if wrong.any():
        raise InputError(
            "a coherence is not in 0 to 1",
            where=COHERENCE,
            expected="0 to 1, NaN or the declared nodata where missing",
            got=f"{out[wrong].min():g} to {out[wrong].max():g}",
            todo="divide bytes by 255 (or what the producer says), or declare scale_factor and nodata",
        )
    return np.clip(out, 0.0, 1.0, out=out)
