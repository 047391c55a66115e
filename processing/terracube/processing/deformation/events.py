"""Events: what moved at a date, and which new acquisitions do not go on as the model says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing.deformation.model.design import Design, columns_at, design_of
from terracube.processing.deformation.model.fitting import (
    FACTS,
    GEOMETRY,
    PLACE,
    Plan,
    covariance_of,
    displacement_of,
    fit_of_block,
    flattened,
    inverse_variance,
    reference_position,
)
from terracube.processing.deformation.model.terms import Model, Step, parse_model
from terracube.processing.deformation.reference.search import AREA
from terracube.processing.kernels.regression import combine, entry

TOWARDS, AWAY, QUIET, MISSING = 1, 2, 0, 255
_ROWS = ("step", "step_std", "std_before", "std_after", "n_before", "n_after")
_METRES = {"units": "m"}
_ISO = re.compile(r"(19|20)\d\d-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?)?")
_STEP_ABOUT: dict[str, dict[str, str]] = {
    "step": {**_METRES, "long_name": "displacement at the event, positive towards the satellite"},
    "step_std": {**_METRES, "long_name": "standard deviation of the displacement at the event"},
    "std_before": {**_METRES, "long_name": "scatter about the model before the event"},
    "std_after": {**_METRES, "long_name": "scatter about the model from the event on"},
    "n_before": {"units": "1", "long_name": "dates before the event"},
    "n_after": {"units": "1", "long_name": "dates from the event on"},
}


@dataclass(frozen=True, slots=True, eq=False)
class _StepPlan:
    design: Design
    column: int
    after: NDArray[np.bool_]
    weighted: bool
    reference: int
    """Position of the reference date among those used; -1 if it is none of them."""
    walk: int
    """How many of the dates used lie before the reference date; -1 where the network's noise is not known."""


def step_map(
    series: xr.Dataset,
    date: str,
    *,
    model: str | Model = "linear",
    before: float | None = None,
    after: float | None = None,
    weights: str = "none",
    arrays: Mapping[str, xr.DataArray] | None = None,
) -> xr.Dataset:
    """Estimate how far each pixel jumped at a date.

    Parameters
    ----------
    series : xarray.Dataset
        With ``displacement`` (time, y, x), m.
    date : str
        Date, or date and time (UTC), of the event; acquisitions at it or later are after it.
    model : str or Model
        Motion besides the jump, as for :func:`fit`; ``constant`` compares means.
    before, after : float, optional
        Days before and after the event that are used; all by default. A short window keeps other motion out, a long
        one has more dates.
    weights : {"none", "std"}
        As for :func:`fit`.
    arrays : mapping of name to DataArray (time,), optional

    Returns
    -------
    xarray.Dataset
        float32 (y, x), lazy if the series is: ``step`` m, ``step_std`` m, from the scatter of all dates about the
        model and the noise of the network, where it is told; ``std_before`` and ``std_after``, the scatter of either
        side (root mean square, scaled for the parameters as a whole; NaN for a side without dates), ``n_before`` and
        ``n_after``. NaN where the pixel has no date on a side, or no more dates than parameters.

    Raises
    ------
    InputError
        If no date lies before or after the event within the window, or as :func:`fit`.

    Examples
    --------
    >>> days = np.datetime64("2020-01-01", "ns") + np.arange(0, 200, 20) * np.timedelta64(1, "D")
    >>> metres = np.float32(np.where(np.arange(10) < 5, 0.0, 0.03) + 1e-3 * np.sin(np.arange(10.0) ** 2))
    >>> series = xr.Dataset({"displacement": (("time", "y", "x"), metres[:, None, None])}, {"time": days})
    >>> found = step_map(series, "2020-04-05", model="constant")
    >>> round(float(found.step[0, 0]), 3), float(found.n_after[0, 0])
    (0.03, 5.0)
    """
    displacement = displacement_of(series)
    step = parse_model(f"step({date})").terms[1]
    times = displacement["time"].values.astype("datetime64[ns]")
    kept = _window(times, np.datetime64(date, "ns"), before, after)
    plan = _step_plan(series, model, step, (times, kept, weights), arrays)
    names = ["displacement", *(["std_network"] if plan.walk >= 0 or plan.weighted else [])]
    names = [name for name in names + ["std_atmosphere"] * plan.weighted if name in series.variables]
    layers = [series[name].isel(time=kept) for name in names]
    found = xr.apply_ufunc(
        _step_block,
        *(one.chunk({"time": -1}) if one.chunks else one for one in layers),
        kwargs={"plan": plan},
        input_core_dims=[["time"]] * len(layers),
        output_core_dims=[["row"]],
        dask="parallelized",
        output_dtypes=["float32"],
        dask_gufunc_kwargs={"output_sizes": {"row": len(_ROWS)}},
    ).transpose("row", "y", "x")
    told = {name: series.attrs[name] for name in FACTS if name in series.attrs}
    told |= {"event": date, "model": plan.design.model.text, "fit_weights": weights}
    result = xr.Dataset({name: found[at].assign_attrs(_STEP_ABOUT[name]) for at, name in enumerate(_ROWS)}, attrs=told)
    return result.assign({name: series[name] for name in GEOMETRY if name in series.variables})


def alert(kept_model: xr.Dataset, new: xr.Dataset, *, sigmas: float = 3.0) -> xr.Dataset:
    """Tell where new acquisitions do not go on as a kept model says.

    Parameters
    ----------
    kept_model : xarray.Dataset
        Of :func:`fit` with ``covariance=True``.
    new : xarray.Dataset
        With ``displacement`` (time, y, x), m, of the new dates: in the same series, that is since the same date and
        against the same reference area. ``std_network`` and ``std_atmosphere`` are used if they are there.
    sigmas : float
        So many standard deviations away from the model is an alert. At 3, one value in 370 is beyond by chance alone
        where errors are normal.

    Returns
    -------
    xarray.Dataset
        (time, y, x), lazy if one of both is: ``residual`` m, displacement minus the model; ``residual_std`` m, of the
        model's prediction (its covariance) and of one observation (the scatter of the kept series, or what the new one
        tells if that is more); ``score``, their ratio; ``alert`` uint8: 0 quiet, 1 moved towards the satellite, 2 away,
        255 missing.

    Raises
    ------
    InputError
        If the kept model has no covariance or has terms of the caller's, if both are of different pixels, reference
        dates or reference areas (of lazy ones, when computed), or if ``sigmas`` is not positive.
    """
    if not 0 < sigmas < np.inf:
        raise InputError("this is no threshold", where="sigmas", expected="above 0", got=str(sigmas))
    displacement = displacement_of(new)
    columns = _kept_columns(kept_model, displacement)
    _same_series(kept_model, new)
    names = _parameters(kept_model)
    layers = [displacement, *(kept_model[name] for name in names), kept_model["residual_std"], kept_model["covariance"]]
    places = [one[name].reset_coords(drop=True) for name in PLACE for one in (kept_model, new) if name in one]
    places = places if len(places) == 2 * len(PLACE) else []
    layers += places
    layers += [new[name] for name in ("std_network", "std_atmosphere") if name in new.variables]
    rows = [["time"]] + [[]] * (len(names) + 1) + [["parameter", "parameter_too"]] + [[]] * len(places)
    rows += [["time"]] * (len(layers) - len(rows))
    found = xr.apply_ufunc(
        _alert_block,
        *(one.chunk(dict.fromkeys(dims, -1)) if one.chunks else one for one, dims in zip(layers, rows, strict=True)),
        kwargs={"columns": columns, "reach": _reach(new) if places else ()},
        input_core_dims=rows,
        output_core_dims=[["part", "time"]],
        dask="parallelized",
        join="override",
        output_dtypes=["float32"],
        dask_gufunc_kwargs={"output_sizes": {"part": 2}},
    ).transpose("part", "time", "y", "x")
    return _judged(found[0], found[1], sigmas, kept_model)


def _window(
    times: NDArray[np.datetime64], moment: np.datetime64, before: float | None, after: float | None
) -> NDArray[np.bool_]:
    days = (times - moment.astype("datetime64[ns]")).astype("int64") / 86_400e9
    for name, value in (("before", before), ("after", after)):
        if value is not None and not value > 0:
            raise InputError("a window has a length", where=name, expected="days above 0", got=str(value))
    first, last = (-np.inf if before is None else -before), (np.inf if after is None else after)
    kept = np.asarray((days >= first) & (days <= last))
    if not (kept & (days < 0)).any() or not (kept & (days >= 0)).any():
        raise InputError(
            "no acquisition on a side of the event",
            where=str(moment),
            expected="one before and one after, within the window",
            got=f"{int((kept & (days < 0)).sum())} before, {int((kept & (days >= 0)).sum())} after",
        )
    return kept


def _step_plan(series: xr.Dataset, model: str | Model, step: Any, how: Any, arrays: Any) -> _StepPlan:
    times, kept, weights = how
    if weights not in ("none", "std"):
        raise InputError("there are no such weights", where="weights", expected="none or std", got=str(weights))
    if weights == "std" and not {"std_network", "std_atmosphere"} & set(series.variables):
        raise InputError("the series has no standard deviations", where="weights", expected="std_network")
    base = model if isinstance(model, Model) else parse_model(model, arrays)
    whole = Model((*(term for term in base.terms if term != step), step))
    design = design_of(whole, times[kept])
    place = reference_position(series)
    ahead = int(kept[:place].sum()) if place >= 0 else -1
    reference = ahead if place >= 0 and kept[place] else -1
    after = times[kept] >= np.datetime64(Step(step.date).date, "ns")
    return _StepPlan(design, whole.columns_of[step.text].start, after, weights == "std", reference,
                     ahead if "std_network" in series.variables else -1)  # fmt: skip


def _step_block(values: NDArray[Any], *deviations: NDArray[Any], plan: _StepPlan) -> NDArray[np.float32]:
    """Fit a block (y, x, time), into (y, x, row)."""
    flat = np.ascontiguousarray(values.reshape(-1, values.shape[-1]).T)
    weights = None
    if plan.weighted:
        weights = inverse_variance([np.broadcast_to(one, values.shape) for one in deviations], plan.reference)
    got, _ = fit_of_block(flat, plan.design, weights)
    noise = flattened(deviations[0], values.shape) if plan.walk >= 0 else None
    how = Plan(plan.design, plan.weighted, plan.walk, False, False, noise is not None)
    with np.errstate(invalid="ignore", divide="ignore"):
        covariance = covariance_of(flat, got, how, weights=weights, noise=noise)[0]
    left = flat - combine(plan.design.matrix, got.parameters)
    terms, scale = len(plan.design.scale), plan.design.scale[plan.column]
    share = got.count / np.maximum(got.count - terms, 1.0)
    rows = np.empty((len(_ROWS), flat.shape[1]), np.float32)
    rows[0] = got.parameters[plan.column] / scale
    with np.errstate(invalid="ignore", divide="ignore"):
        rows[1] = np.sqrt(covariance[entry(plan.column, plan.column)]) / scale
        for at, side in enumerate((~plan.after, plan.after)):
            there = np.isfinite(flat[side])
            number = there.sum(axis=0)
            squares = np.where(there, left[side] ** 2, 0.0).sum(axis=0)
            rows[2 + at] = np.sqrt(squares / number * share)
            rows[4 + at] = number
    rows[2:4, np.isnan(rows[0])] = np.nan
    return np.ascontiguousarray(rows.T).reshape(*values.shape[:-1], len(_ROWS))


def _kept_columns(kept_model: xr.Dataset, displacement: xr.DataArray) -> NDArray[np.float64]:
    lacking = [name for name in ("model", "parameters", "epoch") if name not in kept_model.attrs]
    if lacking or "covariance" not in kept_model.variables:
        raise InputError(
            "this is no model to go on with",
            where="kept_model",
            expected="attributes model, parameters and epoch, and a covariance",
            got=f"without {', '.join(lacking) or 'covariance'}",
            todo="fit(..., covariance=True)",
        )
    model = parse_model(str(kept_model.attrs["model"]))
    named = [name for name, _ in model.parameters]
    if _parameters(kept_model) != named or not {*named, "residual_std"} <= set(kept_model.variables):
        raise InputError("the model and its parameters differ", where="kept_model", got=model.text)
    if kept_model["covariance"].sizes.get("parameter") != len(named):
        raise InputError("the covariance is not of this model", where="kept_model", expected=f"{len(named)} parameters")
    return columns_at(model, displacement["time"].values, _epoch(kept_model))


def _parameters(kept_model: xr.Dataset) -> list[str]:
    told = kept_model.attrs["parameters"]
    try:
        found = json.loads(told)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError("the parameters cannot be read", where="attrs['parameters']", got=repr(told)[:80]) from error
    return [str(name) for name in found] if isinstance(found, dict) else []


def _epoch(kept_model: xr.Dataset) -> np.datetime64:
    told = str(kept_model.attrs["epoch"])
    if not _ISO.fullmatch(told):
        raise InputError("this is no moment", where="attrs['epoch']", expected="2019-01-01T00:00:00", got=told[:80])
    try:
        return np.datetime64(told, "ns")
    except ValueError as error:
        raise InputError("this is no moment", where="attrs['epoch']", got=told[:80]) from error


def _same_series(kept_model: xr.Dataset, new: xr.Dataset) -> None:
    for name in ("reference_date", "reference", "wavelength"):
        told = kept_model.attrs.get(name), new.attrs.get(name)
        if None not in told and told[0] != told[1]:
            raise InputError("the new acquisitions belong to another series", where=name, expected=str(told[0]),
                             got=str(told[1]))  # fmt: skip
    sizes = [tuple(one.sizes[axis] for axis in ("y", "x")) for one in (kept_model, new)]
    alike = sizes[0] == sizes[1] and all(
        np.array_equal(kept_model[axis].values, new[axis].values)
        for axis in ("y", "x")
        if axis in kept_model.coords and axis in new.coords
    )
    if not alike:
        raise InputError("both have different pixels", where="new", expected=str(sizes[0]), got=str(sizes[1]))


def _reach(new: xr.Dataset) -> tuple[float, ...]:
    """Tell how far the references of two series may lie apart, for each axis: half of an area that is looked for."""
    axes = (np.asarray(new[axis].values, "float64") if axis in new.coords else np.arange(2.0) for axis in ("y", "x"))
    return tuple(AREA / 2 * abs(float(axis[1] - axis[0])) if axis.size > 1 else np.inf for axis in axes)


def _check_places(places: Sequence[NDArray[Any]], reach: tuple[float, ...]) -> None:
    """Refuse series whose references were found in two places; lazily they are known only now."""
    told = [float(np.ravel(one)[0]) for one in places]
    if any(abs(told[2 * k] - told[2 * k + 1]) > far for k, far in enumerate(reach)):
        raise InputError(
            "the new acquisitions have another reference",
            where="reference_y, reference_x",
            expected=f"{told[0]:g}, {told[2]:g}",
            got=f"{told[1]:g}, {told[3]:g}",
            todo=f"invert them with reference=({told[0]!r}, {told[2]!r}), or the same area for both",
        )


def _alert_block(*blocks: NDArray[Any], columns: NDArray[np.float64], reach: tuple[float, ...]) -> NDArray[np.float32]:
    """Give residual and its standard deviation of a block, (y, x, part, time)."""
    terms = columns.shape[1]
    if reach:
        _check_places(blocks[terms + 3 : terms + 3 + 2 * len(PLACE)], reach)
        blocks = (*blocks[: terms + 3], *blocks[terms + 3 + 2 * len(PLACE) :])
    values, spread, covariance = blocks[0], blocks[terms + 1], blocks[terms + 2]
    given = np.stack(np.broadcast_arrays(*blocks[1 : terms + 1]), axis=-1).astype("float64")
    residual = values - np.einsum("...p,tp->...t", given, columns)
    predicted = np.einsum("tp,...pq,tq->...t", columns, covariance.astype("float64"), columns)
    told = sum((np.square(one, dtype="float64") for one in blocks[terms + 3 :]), np.zeros(values.shape))
    observed = np.fmax(np.square(spread, dtype="float64")[..., None], told)
    out: NDArray[np.float32] = np.stack([residual, np.sqrt(predicted + observed)], axis=-2).astype("float32")
    return out


def _judged(residual: xr.DataArray, spread: xr.DataArray, sigmas: float, kept: xr.Dataset) -> xr.Dataset:
    score = residual / spread
    state = (score > sigmas) * TOWARDS + (score < -sigmas) * AWAY + score.isnull() * MISSING
    about = {
        "flag_values": np.array([QUIET, TOWARDS, AWAY], "uint8"),
        "flag_meanings": "as_the_model_says moved_towards_the_satellite moved_away",
        "nodata": MISSING,
        "long_name": f"beyond {sigmas:g} standard deviations of the model",
    }
    told = {name: kept.attrs[name] for name in FACTS if name in kept.attrs}
    return xr.Dataset(
        {
            "residual": residual.assign_attrs(units="m", long_name="displacement minus model"),
            "residual_std": spread.assign_attrs(units="m", long_name="standard deviation of the residual"),
            "score": score.assign_attrs(units="1", long_name="residual in standard deviations"),
            "alert": state.astype("uint8").assign_attrs(about),
        },
        attrs=told | {"model": kept.attrs["model"], "sigmas": sigmas},
    )
