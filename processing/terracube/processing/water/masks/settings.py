"""What a mask is made with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import xarray as xr

from terracube.core.errors import InputError
from terracube.processing.water.masks.indices import water_index

METHODS = ("wofs", "indices", "cluster")
TESTS = ("ice", "haze")
type PerDate = float | Sequence[float] | xr.DataArray | None


class MaskOptions(TypedDict, total=False):
    """Options of :func:`mask`; :class:`MaskSettings` says what they are."""

    index: str
    threshold: float | str | None
    dem: xr.DataArray | None
    sun_azimuth: PerDate
    sun_elevation: PerDate
    cloud: xr.DataArray | str | None
    cloud_shadow: xr.DataArray | str | None
    grow: float
    tests: Sequence[str]
    near_land: float | None
    low_sun: float
    steep: float
    shade_reach: float
    seed: int


@dataclass(frozen=True, eq=False, slots=True)
class MaskSettings:
    """Options of a mask, checked."""

    method: str = "wofs"
    """``wofs``, ``indices`` or ``cluster``."""
    index: str = "mndwi"
    """Of method ``indices``."""
    threshold: float | str | None = None
    """Above is water: a number, ``"published"``, or None for one that is found from each date of the scene."""
    dem: xr.DataArray | None = None
    """Elevation on the grid of the cube, with its unit."""
    sun_azimuth: PerDate = None
    """Degrees clockwise from the grid's north; one, or one for each date."""
    sun_elevation: PerDate = None
    """Degrees above the horizon; one, or one for each date."""
    cloud: xr.DataArray | str | None = None
    """Where it is not zero there is cloud; an array like the bands, or the name of a variable of the cube."""
    cloud_shadow: xr.DataArray | str | None = None
    """The same for shadows of clouds."""
    grow: float = 3.5
    """Pixels by which clouds and their shadows are made larger."""
    tests: Sequence[str] = TESTS
    """What is looked for in the spectrum: ``ice``, ``haze``."""
    near_land: float | None = None
    """Metres from the shore within which water is flagged."""
    low_sun: float = 10.0
    """Degrees below which the sun is too low."""
    steep: float = 12.0
    """Degrees above which a slope is too steep for water."""
    shade_reach: float = 5000.0
    """Metres up to which terrain may throw shade."""
    seed: int = 0
    """Of the sample that is clustered."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError("no such method", where="method", expected=", ".join(METHODS), got=repr(self.method)[:80])
        water_index(self.index)
        unknown = [test for test in self.tests if test not in TESTS]
        if unknown or isinstance(self.tests, str):
            raise InputError("no such test", where="tests", expected=", ".join(TESTS), got=repr(self.tests)[:80])
        if not (self.threshold in (None, "published") or _is_finite(self.threshold)):
            expected = 'a number, "published" or None'
            raise InputError("no such threshold", where="threshold", expected=expected, got=repr(self.threshold)[:80])
        if not (_is_finite(self.grow) and 0 <= self.grow <= 100):
            raise InputError("no such margin", where="grow", expected="0..100 pixels", got=repr(self.grow)[:80])
        if not 0 <= self.seed < 1 << 32:
            raise InputError("no such seed", where="seed", expected="0..4294967295", got=repr(self.seed)[:80])
        if self.sun_azimuth is not None and self.sun_elevation is None:
            raise InputError("the sun's azimuth is given without its elevation", where="sun_elevation")


def settings_of(method: str, options: MaskOptions) -> MaskSettings:
    """Check the options of a mask.

    Raises
    ------
    InputError
        If there is none of a name, or one is wrong.
    """
    known = MaskOptions.__annotations__
    unknown = [name for name in options if name not in known]
    if unknown:
        raise InputError("no such option", where=", ".join(unknown)[:200], expected=", ".join(known),
                         got=f"mask(..., {unknown[0]}=...)"[:80])  # fmt: skip
    return MaskSettings(method=method, **options)


def at_date(value: PerDate, number: int | None, dates: int, where: str) -> float | None:
    """Give what holds for one date: of one value for all, or of one for each.

    Raises
    ------
    InputError
        If there are as many values as there are no dates.
    """
    if value is None:
        return None
    values = np.asarray(value, np.float64)
    if values.ndim == 0:
        return float(values)
    if values.shape != (dates,):
        raise InputError(
            "not one number for each date", where=where, expected=f"1 or {dates}", got=str(values.shape)[:80]
        )
    return float(values[number or 0])


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and math.isfinite(value)
