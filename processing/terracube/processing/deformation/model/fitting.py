"""A model fitted to each pixel of a series: parameters with their errors, and which terms the data ask for."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing.deformation.model.design import Design, design_of, too_short
from terracube.processing.deformation.model.terms import YEAR, Doubles, Model, Seasonal, parse_model
from terracube.processing.deformation.model.walk import walked
from terracube.processing.kernels.regression import Regression, entry, regress

type Weights = Literal["none", "std"]
type Coloured = Literal["ar1"] | None

FACTS = ("wavelength", "looks", "reference_date", "reference", "network", "phase_sign", "crs")
GEOMETRY = ("los_east", "los_north", "los_up", "dem", "incidence_angle", "spatial_ref")
PLACE = ("reference_y", "reference_x")
_TAKEN = (*GEOMETRY, *PLACE, "covariance", "displacement", "parameter", "parameter_too", "time", "y", "x", "row")
# Beyond this what is left is a walk, and no factor tells its error.
_MOST_MEMORY = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """All that a block needs to be fitted."""

    design: Design
    weighted: bool
    reference: int
    """Position of the reference date, whose standard deviation is 0 by definition; -1 if there is none."""
    coloured: bool
    covariance: bool
    network: bool = False
    """Whether the noise of the network is known, and enters the errors."""


def fit(
    series: xr.Dataset,
    model: str | Model = "linear",
    *,
    weights: Weights = "none",
    coloured: Coloured = None,
    covariance: bool = False,
    arrays: Mapping[str, xr.DataArray] | None = None,
) -> xr.Dataset:
    """Fit a model of motion to the series of each pixel, by least squares.

    Parameters
    ----------
    series : xarray.Dataset
        With ``displacement`` (time, y, x), m; NaN = missing. NumPy- or Dask-backed.
    model : str or Model
        As for :func:`parse_model`: ``linear + annual + step(2018-04-24)``. A constant goes without saying.
    weights : {"none", "std"}
        ``none`` takes all dates alike. ``std`` takes each date with the inverse of ``std_network`` squared plus
        ``std_atmosphere`` squared, as far as they are there (at dates that lack the second, its mean over the others);
        the reference date, whose displacement is 0 by definition, with the mean variance of the others. As both grow
        with the way from the reference date through the network, ``std`` depends on the choice of that date; ``none``
        does not.
    coloured : {None, "ar1"}
        ``ar1`` multiplies all variances by (1 + r) / (1 - r), r the correlation between what is left at successive
        dates (0 at least, freed of the bias that the fit brings): right for what changes slowly, such as a velocity.
    covariance : bool
        Also give ``covariance`` (parameter, parameter_too, y, x), which :func:`alert` needs.
    arrays : mapping of name to DataArray (time,), optional
        Terms of the caller.

    Returns
    -------
    xarray.Dataset
        float32 (y, x), lazy if the series is: each parameter (``offset`` m at the epoch, ``velocity`` m/year towards
        the satellite, ``acceleration`` m/year2, ``annual_cos`` and ``annual_sin`` m, ``step_20180424`` m, ...) with
        ``_std``; ``annual_amplitude`` m and ``annual_peak``, days after the beginning of the year, with ``_std``;
        ``residual_std`` m; ``n_dates``; ``residual_correlation`` with ``coloured``. The covariance has two parts: s^2
        (G^T V G)^-1 with s^2 from what is left, so that a common factor of the weights does not matter; and where the
        series tells ``std_network`` and its reference date, that noise propagated, which adds up from date to date and
        hides from the residuals. NaN where there are no more
        dates than parameters, where those of the pixel cannot tell two terms apart, or span less than 18 months with a
        seasonal term. ``reference_y`` and ``reference_x`` of the series are kept. Attributes name the model, its
        parameters, the epoch and how it was fitted.

    Raises
    ------
    InputError
        If there is no such term, if the dates do not hold one, if a term of the caller has the name of a result, or if
        ``std`` finds no standard deviation.

    Examples
    --------
    >>> days = np.datetime64("2020-01-01", "ns") + np.arange(0, 400, 20) * np.timedelta64(1, "D")
    >>> metres = np.float32(0.01 / 365.25 * np.arange(0, 400, 20))
    >>> series = xr.Dataset({"displacement": (("time", "y", "x"), metres[:, None, None])}, {"time": days})
    >>> round(float(fit(series).velocity[0, 0]), 6)
    0.01
    """
    plan = _plan(series, model, arrays or {}, (weights, coloured, covariance))
    names = _checked(_rows(plan))
    given = _deviations(series, plan)
    layers = [_whole(array) for array in (series["displacement"], *given)]
    found = xr.apply_ufunc(
        _block,
        *layers,
        kwargs={"plan": plan},
        input_core_dims=[["time"]] * len(layers),
        output_core_dims=[["row"]],
        dask="parallelized",
        output_dtypes=["float32"],
        dask_gufunc_kwargs={"output_sizes": {"row": len(names)}},
    ).transpose("row", "y", "x")
    variables = {name: found[at].assign_attrs(_described(name, plan)) for at, name in enumerate(names) if name}
    result = xr.Dataset(variables, attrs=_facts(series, plan, weights, coloured))
    result = result.assign({name: series[name] for name in (*GEOMETRY, *PLACE) if name in series.variables})
    return _with_covariance(result, found, plan) if covariance else result


def to_model(model: str | Model, arrays: Mapping[str, xr.DataArray] | None = None) -> Model:
    """Read a model, if it is not one already."""
    return model if isinstance(model, Model) else parse_model(model, arrays)


def fit_of_block(
    values: NDArray[Any], design: Design, weights: NDArray[Any] | None = None, *, seasons: bool = True
) -> tuple[Regression, Doubles]:
    """Fit a block (time, pixel); the regression, and s^2, the variance of weight 1, (pixel,).

    With ``seasons``, pixels whose own dates are too few months for a seasonal term are not fitted: NaN, but the count.
    """
    got = regress(values, design.matrix, weights)
    if seasons:
        there = np.isfinite(values) if weights is None else np.isfinite(values) & (weights > 0)
        short = too_short(there, design)
        for rows in (got.parameters, got.inverse, got.chi2, got.squares, got.lagged):
            rows[..., short] = np.nan
    return got, got.chi2 / np.maximum(got.count - design.matrix.shape[1], 1.0)


def displacement_of(series: xr.Dataset) -> xr.DataArray:
    """Give the displacement of a series, checked.

    Raises
    ------
    InputError
        If there is none, or if its dimensions are not (time, y, x).
    """
    if "displacement" not in series.variables:
        got = ", ".join(map(str, series.data_vars))
        raise InputError("this is no series", expected="a variable displacement (time, y, x)", got=got or "nothing")
    found = series["displacement"]
    if found.dims != ("time", "y", "x") or "time" not in found.coords:
        expected = "(time, y, x) with the coordinate time"
        raise InputError("this is no series", where="displacement", expected=expected, got=str(found.dims))
    if str(found.attrs.get("units", "m")) != "m":
        raise InputError("displacement is not in metres", expected="m", got=str(found.attrs["units"]))
    return found


def reference_position(series: xr.Dataset) -> int:
    """Give the position of the reference date that the attributes name; -1 if they name none."""
    told = str(series.attrs.get("reference_date", ""))
    if not told:
        return -1
    days = series["time"].values.astype("datetime64[s]")
    found = np.flatnonzero(days == np.datetime64(told, "s"))
    found = found if found.size else np.flatnonzero(days.astype("datetime64[D]") == np.datetime64(told, "D"))
    if found.size != 1:
        raise InputError("the reference date is no date of the series", where="reference_date", got=told)
    return int(found[0])


def _plan(series: xr.Dataset, model: str | Model, arrays: Mapping[str, xr.DataArray], how: Any) -> Plan:
    weights, coloured, covariance = how
    if weights not in ("none", "std") or coloured not in (None, "ar1"):
        raise InputError(
            "there is no such way to fit",
            where="weights, coloured",
            expected="none or std; None or ar1",
            got=f"{weights}, {coloured}",
        )
    displacement = displacement_of(series)
    design = design_of(to_model(model, arrays), displacement["time"].values)
    reference = reference_position(series)
    known = "std_network" in series.variables and reference >= 0
    return Plan(design, weights == "std", reference, coloured == "ar1", covariance, known)


def _deviations(series: xr.Dataset, plan: Plan) -> list[xr.DataArray]:
    """Give the standard deviations that are of use, that of the network first."""
    names = (["std_network"] if plan.weighted or plan.network else []) + ["std_atmosphere"] * plan.weighted
    found = [series[name] for name in names if name in series.variables]
    if plan.weighted and not found:
        raise InputError(
            "the series has no standard deviations", where="weights", expected="std_network or std_atmosphere"
        )
    return found


def _whole(array: xr.DataArray) -> xr.DataArray:
    return array.chunk({"time": -1}) if array.chunks else array


def _block(values: NDArray[Any], *deviations: NDArray[Any], plan: Plan) -> NDArray[np.float32]:
    """Fit a block (y, x, time), into (y, x, row)."""
    shape = values.shape[:-1]
    flat = np.ascontiguousarray(values.reshape(-1, values.shape[-1]).T)
    weights = None
    if plan.weighted:
        weights = inverse_variance([np.broadcast_to(one, values.shape) for one in deviations], plan.reference)
    got, _ = fit_of_block(flat, plan.design, weights)
    rows = np.empty((len(_rows(plan)), flat.shape[1]), np.float32)
    noise = flattened(deviations[0], values.shape) if plan.network else None
    with np.errstate(invalid="ignore", divide="ignore"):
        covariance, memory = covariance_of(flat, got, plan, weights=weights, noise=noise)
        _fill(rows, got, covariance, plan)
    if memory is not None:
        rows[2 * len(plan.design.scale) + 2] = memory
    return np.ascontiguousarray(rows.T).reshape(*shape, -1)


def inverse_variance(deviations: list[NDArray[Any]], reference: int) -> NDArray[np.float32]:
    """Give the weights of a block (y, x, time), as (time, pixel); the reference date has the others' mean variance.

    A date whose first part is missing has no weight. Where only a further one is, that of the air of a date that came
    later, it is taken to be the mean of those that are known.
    """
    flat, *others = (np.square(one, dtype="float64").reshape(-1, one.shape[-1]).T.copy() for one in deviations)
    for part in others:
        known = np.delete(part, reference, axis=0) if reference >= 0 else part
        flat += np.where(np.isfinite(part), part, _mean_known(known))
    if reference >= 0:
        flat[reference] = _mean_known(np.delete(flat, reference, axis=0))
    with np.errstate(divide="ignore"):
        return (1.0 / flat).astype("float32")


def _mean_known(rows: Doubles) -> Doubles:
    """Give the mean over dates of what is known, 0 if nothing is, (pixel,)."""
    there = np.isfinite(rows)
    return np.asarray(np.where(there, rows, 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1))


def flattened(block: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Turn a block (y, x, time) into (time, pixel)."""
    return np.ascontiguousarray(np.broadcast_to(block, shape).reshape(-1, shape[-1]).T)


def covariance_of(
    values: NDArray[Any],
    got: Regression,
    plan: Plan,
    *,
    weights: NDArray[Any] | None = None,
    noise: NDArray[Any] | None = None,
) -> tuple[Doubles, Doubles | None]:
    """Give the covariance of the parameters of a block, and the correlation of what is left, if it is to widen it.

    What is left of the dates tells the variance of errors that are independent from date to date. The noise of the
    network is not: its part comes from its own standard deviations, and what it brings to the residuals is taken from
    these first.

    Parameters
    ----------
    values : array (time, pixel)
    got : Regression
    plan : Plan
    weights, noise : array (time, pixel), optional
        Of the fit; standard deviations of the network's noise since the reference date.

    Returns
    -------
    array (p (p + 1) / 2, pixel), array (pixel,) or None
    """
    freedom = np.maximum(got.count - len(plan.design.scale), 1.0)
    left, walk = got.chi2, np.zeros(1)
    if noise is not None:
        seen = np.isfinite(values).astype("float64")
        used = seen if weights is None else np.where((seen > 0) & (weights > 0), weights, 0.0)
        walk, expected = walked(plan.design.matrix, got, used, noise, plan.reference)
        left = np.maximum(left - expected, 0.0)
    if not plan.coloured:
        return got.inverse * (left / freedom) + walk, None
    memory = residual_memory(got, got.chi2 / freedom, plan.design)
    return got.inverse * (left / freedom * (1 + memory) / (1 - memory)) + walk, memory


def _fill(rows: NDArray[np.float32], got: Regression, inverse: Doubles, plan: Plan) -> None:
    scale, model = plan.design.scale, plan.design.model
    terms = len(scale)
    freedom = np.maximum(got.count - terms, 1.0)
    for row in range(terms):
        rows[2 * row] = got.parameters[row] / scale[row]
        rows[2 * row + 1] = np.sqrt(inverse[entry(row, row)]) / scale[row]
    rows[2 * terms] = np.sqrt(got.squares / freedom)
    rows[2 * terms + 1] = got.count
    at = 2 * terms + 2 + plan.coloured
    for term in model.terms:
        if isinstance(term, Seasonal):
            first = model.columns_of[term.text].start
            rows[at : at + 4] = _wave(got.parameters, inverse, first, scale, term.cycles)
            at += 4
    if plan.covariance:
        pairs = [(row, column) for row in range(terms) for column in range(row + 1)]
        rows[at:] = inverse / np.array([[scale[row] * scale[column]] for row, column in pairs])


def _wave(values: Doubles, inverse: Doubles, first: int, scale: Doubles, cycles: int) -> list[Doubles]:
    """Give amplitude and day of the peak of ``a cos + b sin``, each with its standard deviation, to first order."""
    a, b = values[first] / scale[first], values[first + 1] / scale[first + 1]
    caa = inverse[entry(first, first)] / scale[first] ** 2
    cbb = inverse[entry(first + 1, first + 1)] / scale[first + 1] ** 2
    cab = inverse[entry(first + 1, first)] / (scale[first] * scale[first + 1])
    amplitude = np.hypot(a, b)
    days = YEAR / (2 * math.pi * cycles)
    peak = np.mod(np.arctan2(b, a), 2 * math.pi) * days
    spread = np.sqrt(a * a * caa + b * b * cbb + 2 * a * b * cab) / amplitude
    lag = np.sqrt(b * b * caa + a * a * cbb - 2 * a * b * cab) / amplitude**2 * days
    return [amplitude, spread, peak, lag]


def residual_memory(got: Regression, variance: Doubles, design: Design) -> Doubles:
    """Estimate the correlation of successive residuals, freed of the bias that the fit brings to white noise."""
    dates = design.matrix.shape[0]
    bias = float(np.diagonal(design.hat, 1).mean()) if dates > 1 else 0.0
    return np.clip(got.lagged / variance + bias, 0.0, _MOST_MEMORY)


def _rows(plan: Plan) -> list[str]:
    """Name what a block gives, in order; the entries of the covariance have no name of their own."""
    model = plan.design.model
    found = [name + end for name, _ in model.parameters for end in ("", "_std")]
    found += ["residual_std", "n_dates"] + ["residual_correlation"] * plan.coloured
    for term in model.terms:
        if isinstance(term, Seasonal):
            found += [f"{term.text}_{part}" for part in ("amplitude", "amplitude_std", "peak", "peak_std")]
    terms = len(model.parameters)
    return found + [""] * (plan.covariance * terms * (terms + 1) // 2)


def _checked(names: list[str]) -> list[str]:
    """Refuse names that would stand for two things."""
    told = [*filter(None, names), *_TAKEN]
    twice = sorted({name for name in told if told.count(name) > 1})
    if twice:
        raise InputError(
            "a given term has the name of a result", where="arrays", expected="a name of its own", got=", ".join(twice)
        )
    return names


def _with_covariance(result: xr.Dataset, found: xr.DataArray, plan: Plan) -> xr.Dataset:
    names = [name for name, _ in plan.design.model.parameters]
    terms, start = len(names), found.sizes["row"] - len(names) * (len(names) + 1) // 2
    places = [start + entry(max(i, j), min(i, j)) for i in range(terms) for j in range(terms)]
    layers = found.isel(row=places).data.reshape((terms, terms, *found.shape[1:]))
    dims = ("parameter", "parameter_too", "y", "x")
    kept = result.assign_coords(parameter=names, parameter_too=names)
    about = {"long_name": "covariance of the parameters", "units": "products of theirs"}
    return kept.assign(covariance=(dims, layers, about))


def _described(name: str, plan: Plan) -> dict[str, str]:
    units = dict(plan.design.model.parameters)
    base = name.removesuffix("_std")
    if name in ("n_dates", "residual_correlation"):
        unit = "1"
    elif base.endswith("_peak"):
        unit = "day"
    else:
        unit = units.get(base, "m")
    text = base.replace("_", " ")
    text = f"standard deviation of {text}" if name.endswith("_std") and name != "residual_std" else text
    towards = ", positive towards the satellite" if base == "velocity" and name == base else ""
    return {"units": unit, "long_name": text + towards}


def _facts(series: xr.Dataset, plan: Plan, weights: str, coloured: str | None) -> dict[str, Any]:
    kept = {name: series.attrs[name] for name in FACTS if name in series.attrs}
    times = [str(time)[:19] for time in series["time"].values[[0, -1]]]
    return kept | {
        "model": plan.design.model.text,
        "parameters": json.dumps(dict(plan.design.model.parameters)),
        "epoch": str(plan.design.epoch)[:29],
        "first_date": times[0],
        "last_date": times[1],
        "fit_weights": weights,
        "fit_noise": coloured or "white",
    }
