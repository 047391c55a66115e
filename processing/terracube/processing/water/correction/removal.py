"""The door to the correction of surface reflectances over water: what is left of sun glint and haze is taken off.

Nothing here is an atmospheric correction. It takes what a processor for land has made of the atmosphere, and subtracts
what cannot come out of the water: the reflectance of a short-wave infrared band, where water is black, or the part that
goes along with the near infrared over deep water. The output says in its attributes what was done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import dask.array as da
import numpy as np
import xarray as xr

from terracube.core.errors import InputError
from terracube.processing.water.correction.deep import deep_water
from terracube.processing.water.correction.fresnel import glint_ratio
from terracube.processing.water.correction.rules import CorrectionRules, bands_of, must_have, visible_of
from terracube.processing.water.masks.flags import BITS, are_our_flags, flag_attrs
from terracube.processing.water.noise import BAND, FACTOR
from terracube.processing.water.products import sensors_of
from terracube.processing.water.quantities import quantity_of, seen
from terracube.processing.water.sensors import load_water_sensor

type Method = Literal["swir", "hedley", "glint"]
_DEFAULTS = CorrectionRules()
_SWIR, _SPECTRAL_SWIR = "swir22", "swir16"
_HONEST = "residual correction of surface reflectance; no full atmospheric or adjacency correction"
_NOTHING = "nothing taken off, surface reflectance declared water-leaving; no atmospheric or adjacency correction"


@dataclass(frozen=True, slots=True)
class _Glint:
    """What is taken off."""

    reference: xr.DataArray | None
    """Glint reflectance of the reference band, which limit and flag are held against; ``None`` = not known."""
    amounts: Mapping[str, xr.DataArray]
    """By band; nothing is taken off a band that is not named."""
    told: str
    """What was done, in words."""
    noisy: Mapping[str, tuple[str, float]]
    """By band: the band whose noise is added by the subtraction, and the factor of it."""
    learnt: Mapping[str, xr.DataArray]
    """Numbers that the scene itself gave, for the result's coordinates."""


def correct(
    cube: xr.Dataset,
    method: Method | None = "swir",
    *,
    sensor: str | None = None,
    swir: str | None = None,
    deep: xr.DataArray | None = None,
    water: xr.DataArray | None = None,
    rules: CorrectionRules = _DEFAULTS,
) -> xr.Dataset:
    """Take what is left of sun glint off surface reflectances, and declare the result water-leaving reflectance.

    Parameters
    ----------
    cube : xarray.Dataset
        Role-named bands of any dimensions, floating; ``attrs["quantity"]`` is ``rhos``, or ``rhow`` that still holds
        glint. In memory or lazy.
    method : "swir", "hedley", "glint" or None
        - ``swir``: every band less the short-wave infrared one, R' = R - R_swir: glint and haze taken as grey.
        - ``glint``: R' = R - f R_swir, where f is the ratio of Fresnel reflectances of the two wavelengths (Gao and Li
          2021, doi:10.21926/aeer.2103017). The wavelengths are those of the sensor.
        - ``hedley``: R' = R - b (R_nir - min R_nir), with the slope b and the minimum of the deep-water pixels of the
          whole scene, date by date (Hedley, Harborne and Mumby 2005, doi:10.1080/01431160500034086).
        - ``None``: nothing is taken off; surface reflectance is declared to be water-leaving.
    sensor : str, optional
        Like ``S2A_MSI``; without it ``attrs["sensor"]``. Only ``glint`` needs it.
    swir : str, optional
        The black band: ``swir22`` for method ``swir`` (blacker, and less light from sediment), ``swir16`` for ``glint``
        (where the refractive index is known better), unless told otherwise.
    deep : xarray.DataArray, optional
        For ``hedley``: bool (y, x) or (time, y, x), True on deep, uniform water with glint of all strengths.
    water : xarray.DataArray, optional
        bool, of the cube's dimensions or (y, x): where to correct. Without it, everywhere.
    rules : CorrectionRules
        Limits, and what becomes of pixels that are not corrected or fall below zero.

    Returns
    -------
    xarray.Dataset
        The bands in their own type, NaN where the band or the black band is missing; the black band itself becomes 0.
        ``flags`` (uint16): bits ``glint`` and ``negative`` are set, on water alone if it is given, beside those of the
        ``flags`` of the cube, which have to be those of a water mask. Other variables are passed on.
        ``noise_band`` and ``noise_factor`` in the attributes of a band: what was subtracted from it, whose noise is now
        in all bands; ``retrieve`` carries it through the formulas as one.
        ``attrs["quantity"]`` is ``rhow``; ``correction`` and ``history`` tell what was done and that it is no full
        atmospheric correction. ``hedley`` leaves its numbers as coordinates ``hedley_slope_<band>``, ``hedley_least``
        and ``hedley_count``; where a date has fewer than two deep-water pixels, it is missing.

    Raises
    ------
    InputError
        If method, band, mask or sensor are missing or do not fit; if the cube has ``flags`` that do not say that their
        bits are those of a water mask: those of another processor would be read as ours.
    MetadataError
        If the quantity is missing; for ``hedley`` if the CRS is.

    Examples
    --------
    >>> cube = xr.Dataset({"red": ("x", [0.05, 0.02]), "swir22": ("x", [0.01, 0.03])}, attrs={"quantity": "rhos"})
    >>> done = correct(cube, "swir")
    >>> done["red"].values.round(3).tolist(), done["flags"].values.tolist(), done.attrs["quantity"]
    ([0.04, -0.01], [0, 4096], 'rhow')
    """
    quantity = quantity_of(cube)
    if quantity not in ("rhos", "rhow"):
        raise InputError("this is no reflectance to correct", where="attrs['quantity']", expected="rhos or rhow",
                         got=quantity, todo="to_quantity(cube, 'rhow')")  # fmt: skip
    if method not in _METHODS:
        expected = ", ".join(map(repr, _METHODS))
        raise InputError("no such method of correction", where="method", expected=expected, got=repr(method))
    sensor, cube = sensor if sensor is not None else cube.attrs.get("sensor"), seen(cube)
    bands = bands_of(cube)
    _check_flags(cube)
    glint = _METHODS[method](_Task(cube, bands, sensor, swir, _fitting(deep, cube, "deep"), rules))
    wet = _fitting(water, cube, "water")
    here = _applied(glint, wet, rules)
    done = {band: _taken_off(cube[band], glint.amounts.get(band), here, rules) for band in bands}
    raised = {"negative": _any_below_zero([done[band] for band in visible_of(bands, sensor)])}
    raised["glint"] = None if glint.reference is None else glint.reference > rules.glint_above
    flags = _flags(cube, bands[0], raised, wet)
    noise = _noise(bands, glint)
    final = {
        band: _bounded(values, rules).assign_attrs(cube[band].attrs | {"units": "1"} | noise.get(band, {}))
        for band, values in done.items()
    }
    result = cube.assign(final | {"flags": flags}).assign_coords(dict(glint.learnt))
    told = glint.told if method is None else f"{glint.told}; {_HONEST}"
    history = "\n".join(filter(None, (str(cube.attrs.get("history", "")), f"terracube: {told}")))
    return result.assign_attrs(quantity="rhow", correction=told, history=history)


@dataclass(frozen=True, slots=True)
class _Task:
    """What a method of correction is given."""

    cube: xr.Dataset
    bands: list[str]
    sensor: str | None
    swir: str | None
    deep: xr.DataArray | None
    rules: CorrectionRules


def _none(task: _Task) -> _Glint:
    name = task.swir or _SWIR
    reference = task.cube[name] if name in task.cube.data_vars else None
    return _Glint(reference, {}, _NOTHING, {}, {})


def _grey(task: _Task) -> _Glint:
    name = task.swir or _SWIR
    reference = must_have(task.cube, name, "method 'swir' subtracts it")
    told, noisy = f"{name} subtracted from every band", dict.fromkeys(task.bands, (name, 1.0))
    return _Glint(reference, dict.fromkeys(task.bands, reference), told, noisy, {})


def _spectral(task: _Task) -> _Glint:
    names = [task.sensor] if task.sensor is not None else sensors_of(task.cube, None)
    name = task.swir or _SPECTRAL_SWIR
    reference = must_have(task.cube, name, "method 'glint' subtracts it")
    by_sensor = {one: _ratios(one, name, task) for one in dict.fromkeys(names)}
    first = by_sensor[names[0]]
    if len(by_sensor) == 1:
        amounts = {band: reference if band == name else reference * ratio for band, ratio in first.items()}
    else:
        # Each date with the wavelengths of its own sensor.
        along = {band: xr.DataArray([by_sensor[one][band] for one in names], dims="time") for band in first}
        amounts = {
            band: reference if band == name else (reference * ratio).astype(reference.dtype).transpose(*reference.dims)
            for band, ratio in along.items()
        }
    factors = ", ".join(f"{band} {ratio:.4f}" for band, ratio in first.items())
    noisy = {band: (name, ratio) for band, ratio in first.items()}
    return _Glint(reference, amounts, f"{name} times Fresnel ratio subtracted ({factors})", noisy, {})


def _ratios(sensor: str, black: str, task: _Task) -> dict[str, float]:
    known = load_water_sensor(sensor)
    wavelength = known.band(black).wavelength
    return {band: glint_ratio(known.band(band).wavelength, wavelength, task.rules.incidence) for band in task.bands}


def _hedley(task: _Task) -> _Glint:
    nir, deep = task.rules.nir, task.deep
    if deep is None:
        raise InputError("the deep water is not known", where="deep", expected="a bool array, True on it", got="none")
    own = must_have(task.cube, nir, "method 'hedley' regresses on it")
    others = [band for band in task.bands if band != nir]
    table = _gathered(deep_water(task.cube, others, nir, deep), task.cube, len(others) + 2, own.dims)
    least, count = table.isel(column=-2, drop=True), table.isel(column=-1, drop=True)
    slopes = {band: table.isel(column=at, drop=True) for at, band in enumerate(others)}
    glint = own - least.astype(own.dtype)
    # Known only where the slopes are, so that a date without deep water is missing in all bands alike.
    glint = glint.where(count > 1)
    amounts = {band: glint * slope.astype(own.dtype) for band, slope in slopes.items()} | {nir: glint}
    learnt = {f"hedley_slope_{band}": slope for band, slope in slopes.items()}
    told = f"deep-water regression on {nir} subtracted, slopes of the whole scene"
    # The slopes are not known before they are computed; those of glint are near one.
    noisy = dict.fromkeys(task.bands, (nir, 1.0))
    return _Glint(glint, amounts, told, noisy, learnt | {"hedley_least": least, "hedley_count": count})


_METHODS: Mapping[str | None, Callable[[_Task], _Glint]] = {
    "swir": _grey,
    "hedley": _hedley,
    "glint": _spectral,
    None: _none,
}


def _gathered(delayed: Any, cube: xr.Dataset, columns: int, dims: tuple[Any, ...]) -> xr.DataArray:
    """Give the table of deep water (time, column), or (column,) for a cube without dates; lazy where the cube is."""
    timed = "time" in dims
    shape = (cube.sizes["time"] if timed else 1, columns)
    # What is in memory already is answered at once; a lazy cube stays lazy.
    values = da.from_delayed(delayed, shape, "float64") if cube.chunks else np.asarray(delayed.compute())
    table = xr.DataArray(values, dims=("time", "column"))
    if not timed:
        return table.isel(time=0)
    return table.assign_coords(time=cube["time"]) if "time" in cube.coords else table


def _fitting(mask: xr.DataArray | None, cube: xr.Dataset, name: str) -> xr.DataArray | None:
    """Hold a mask against the cube: true or false, on the same pixels."""
    if mask is None:
        return None
    if not isinstance(mask, xr.DataArray) or mask.dtype.kind != "b":
        got = str(mask.dtype) if isinstance(mask, xr.DataArray) else type(mask).__name__
        raise InputError("a mask is true or false", where=name, expected="bool DataArray", got=got)
    try:
        fits = set(mask.dims) <= set(cube.dims) and all(mask.sizes[dim] == cube.sizes[dim] for dim in mask.dims)
        xr.align(cube, mask, join="exact")
    except ValueError:
        fits = False
    if not fits:
        raise InputError("a mask lies on other pixels than the cube", where=name, expected=str(dict(cube.sizes)),
                         got=str(dict(mask.sizes)), todo="bring it to the grid of the cube")  # fmt: skip
    return mask


def _applied(glint: _Glint, water: xr.DataArray | None, rules: CorrectionRules) -> xr.DataArray | None:
    """Tell where to correct; ``None`` = everywhere."""
    if rules.limit is None or glint.reference is None:
        return water
    # A missing reference is not above the limit: it makes the pixel missing, not "elsewhere".
    dark = ~(glint.reference > rules.limit)
    return dark if water is None else dark & water


def _taken_off(
    band: xr.DataArray, amount: xr.DataArray | None, here: xr.DataArray | None, rules: CorrectionRules
) -> xr.DataArray:
    corrected = band if amount is None else band - amount
    # The order of the arguments keeps the dimensions of the band first.
    corrected = corrected.astype(band.dtype)
    if here is None:
        return corrected
    elsewhere = band if rules.elsewhere == "keep" else xr.full_like(band, np.nan)
    return corrected.where(here, elsewhere).transpose(*band.dims)


def _bounded(values: xr.DataArray, rules: CorrectionRules) -> xr.DataArray:
    if rules.below_zero == "keep":
        return values
    return values.where(~(values < 0), 0.0 if rules.below_zero == "zero" else np.nan)


def _noise(bands: list[str], glint: _Glint) -> dict[str, dict[str, Any]]:
    """Say which band was subtracted from each, and times what: its noise is now in all of them."""
    return {
        band: {BAND: glint.noisy[band][0], FACTOR: float(glint.noisy[band][1])} for band in bands if band in glint.noisy
    }


def _any_below_zero(visible: list[xr.DataArray]) -> xr.DataArray | None:
    found: xr.DataArray | None = None
    for values in visible:
        found = values < 0 if found is None else found | (values < 0)
    return found


def _check_flags(cube: xr.Dataset) -> None:
    """Refuse flags of another meaning: the result has its own under that name."""
    if "flags" in cube.data_vars and not are_our_flags(cube["flags"]):
        told = cube["flags"].attrs.get("flag_meanings")
        raise InputError(
            "the cube has flags of another meaning",
            where="flags",
            expected=f"whole numbers with flag_meanings {' '.join(BITS)}",
            got=f"{cube['flags'].dtype}, {'no flag_meanings' if told is None else str(told)[:200]}",
            todo="rename them: cube.rename(flags='quality'); or, if they are those of water.mask, "
            "cube['flags'].attrs |= water.masks.flags.flag_attrs()",
        )


def _flags(
    cube: xr.Dataset, like: str, raised: Mapping[str, xr.DataArray | None], water: xr.DataArray | None
) -> xr.DataArray:
    """Add bits to the flags of the cube, on water alone if it is known."""
    own = cube["flags"] if "flags" in cube.data_vars else None
    flags = own if own is not None else xr.zeros_like(cube[like], dtype="uint16")
    for name, where in raised.items():
        if where is not None:
            there = where if water is None else where & water
            flags = flags | there.astype("uint16") * np.uint16(1 << BITS[name])
    attrs = flag_attrs() if own is None else own.attrs | flag_attrs()
    return flags.transpose(*cube[like].dims).astype("uint16").drop_attrs(deep=False).assign_attrs(attrs)
