"""How far the air moves a series: the standard deviation of what neither motion nor the noise of the network explains.

The air's delay is drawn anew at each date, and that of the reference date is in all others. Two ways to its size:

* residuals: what a model of motion leaves at a date, less what it leaves at the reference date. A pixel's own mean
  square (delays grow with the distance from the reference area and with height) is scaled by a factor per date.
* stable ground: what ground that stands still seems to do at a date.

Of both, what the network's noise explains is taken away first. A date's size is such that 68.27 % of the pixels lie
within it: one standard deviation if they were normal, and no prey to the few that moved unlike the model. It comes from
counts in fixed classes, so that it does not depend on how the arrays are cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import EmptyResultError, InputError
from terracube.processing.deformation.model.design import Design, design_of
from terracube.processing.deformation.model.fitting import displacement_of, fit_of_block, reference_position, to_model
from terracube.processing.deformation.model.terms import YEAR, Doubles, Model, Times, days_since, parse_model
from terracube.processing.deformation.model.walk import increments
from terracube.processing.kernels.regression import combine

_LEAST_FREEDOM = 3
_SEASONAL, _SEASONAL_YEARS = "linear + annual", 1.5
# Classes of squares: 64 to a factor of two from 2**-50 to 2**14, and one below all of them.
_PER_OCTAVE, _LOWEST, _OCTAVES = 64, -50, 64
_CLASSES = _PER_OCTAVE * _OCTAVES + 1
_SIGMA_SHARE = 0.6826894921370859
# A pixel's mean square is not taken to be less than this share of what it was before the network's part went.
_LEAST_SHARE = 0.05
# Beyond this the model follows a date and the reference date so well that little can be learnt from what it leaves.
_MOST_GAIN = 8.0


def atmosphere_std(
    series: xr.Dataset,
    *,
    model: str | Model | None = None,
    stable: xr.DataArray | None = None,
    arrays: Mapping[str, xr.DataArray] | None = None,
) -> xr.DataArray:
    """Estimate the standard deviation that the air adds to each displacement.

    Parameters
    ----------
    series : xarray.Dataset
        With ``displacement`` and ``std_network`` (time, y, x), m, and the attribute ``reference_date``.
    model : str or Model, optional
        Motion that is not the air's; what it cannot follow counts as air. By default ``linear``, and ``annual`` too if
        the dates span 18 months or more, are seven or more, and not always at the same days of the year.
    stable : DataArray (y, x) of bool, optional
        Ground that stands still: then no model is asked, and each date has one value for all pixels.
    arrays : mapping of name to DataArray (time,), optional
        Terms of the caller.

    Returns
    -------
    xarray.DataArray (time, y, x), float32
        ``std_atmosphere``, m: of the displacement since the reference date, and 0 at it. Together with the network's
        part, ``hypot(std_network, std_atmosphere)`` is that of the displacement. NaN where the displacement is, and
        where a pixel has no more dates than parameters: everywhere, if none has. Lazy if the series is; attributes tell
        ``method`` and ``model``. The part of the network in the residuals is that of a chain of pairs whose variances
        are those given, which for denser networks is a little too small.

    Raises
    ------
    InputError
        If the series lacks what is needed, or has fewer than three dates more than the model has parameters.
    EmptyResultError
        If no pixel is stable; if the series is lazy, when it is computed.
    """
    displacement = displacement_of(series)
    if "std_network" not in series.variables:
        raise InputError("the noise of the network is unknown", where="series", expected="std_network (time, y, x)")
    reference = reference_position(series)
    if reference < 0:
        raise InputError("the reference date is unknown", where="attributes", expected="reference_date")
    layers = [one.chunk({"time": -1}) if one.chunks else one for one in (displacement, series["std_network"])]
    if stable is None:
        found, told = _from_residuals(layers, chosen_design(displacement, model, arrays), reference)
    else:
        found, told = _from_stable(layers, stable, reference)
    about = {"units": "m", "long_name": "standard deviation of the displacement by the air", **told}
    return found.transpose("time", "y", "x").astype("float32").rename("std_atmosphere").assign_attrs(about)


def chosen_design(
    displacement: xr.DataArray, model: str | Model | None, arrays: Mapping[str, xr.DataArray] | None
) -> Design:
    """Give the design of a model; without one, of linear motion, and annual where the dates hold it.

    Raises
    ------
    InputError
        If there are too few dates to see the air.
    """
    times = displacement["time"].values
    if model is None and len(times) > 1 and days_since(times[-1:], times[0])[0] >= _SEASONAL_YEARS * YEAR:
        try:
            return _design(parse_model(_SEASONAL), times, warn=False)
        except InputError:  # too few dates for it, or always at the same days of the year
            pass
    return _design(to_model("linear" if model is None else model, arrays), times, warn=model is not None)


def _design(model: Model, times: Times, *, warn: bool) -> Design:
    if len(times) < len(model.parameters) + _LEAST_FREEDOM:
        raise InputError(
            "there are too few dates to see the air",
            where=model.text,
            expected=f"at least {len(model.parameters) + _LEAST_FREEDOM}",
            got=str(len(times)),
            todo="give stable ground, or a model with fewer terms",
        )
    return design_of(model, times, warn=warn)


def _from_residuals(layers: list[xr.DataArray], design: Design, reference: int) -> tuple[xr.DataArray, dict[str, str]]:
    how = {"design": design, "reference": reference}
    square = _mapped(mean_square, layers, how)
    factors = _factors(_counted(residual_counts, layers, how), layers[0])
    gain = xr.DataArray(gain_of(design, reference), dims="time")
    there = layers[0].notnull()
    found = ((square * (factors * gain)) ** 0.5).where(there)
    return found, {"method": "model residuals less the part of the network", "model": design.model.text}


def _from_stable(
    layers: list[xr.DataArray], stable: xr.DataArray, reference: int
) -> tuple[xr.DataArray, dict[str, str]]:
    if stable.dims != ("y", "x") or stable.dtype != bool or stable.shape != layers[0].shape[1:]:
        expected = f"bool (y, x) of {layers[0].shape[1:]}"
        raise InputError("this is no map of stable ground", expected=expected, got=f"{stable.dtype} {stable.dims}")
    kept = [layers[0].where(stable), layers[1]]
    factors = _factors(_counted(_stable_counts, kept, {"reference": reference}), layers[0], _stable_squares)
    found = (factors**0.5).where(layers[0].notnull())
    return found, {"method": "stable ground less the part of the network", "model": "none"}


def gain_of(design: Design, reference: int) -> Doubles:
    """Give by what factor the variance of a date's air and the reference's exceeds that of their residuals."""
    rest = np.eye(len(design.matrix)) - design.hat
    seen = np.diag(rest) + rest[reference, reference] - 2 * rest[reference]
    gain = 2 / np.maximum(seen, 2 / _MOST_GAIN)
    gain[reference] = 0.0
    return np.asarray(gain)


def _residuals(
    values: NDArray[Any], deviations: NDArray[Any], design: Design, reference: int
) -> tuple[Doubles, Doubles, Doubles]:
    """Fit a block (time, pixel): residuals, variance (pixel,) of the air, and the network's increments."""
    got, _ = fit_of_block(values, design, seasons=False)
    terms = design.matrix.shape[1]
    left = values - combine(design.matrix, got.parameters)
    rest = np.eye(len(design.matrix)) - design.hat
    steps = increments(deviations, reference)
    network = combine(_beyond(rest, reference).mean(axis=0, keepdims=True), steps)[0]
    before = got.squares / np.maximum(got.count, 1.0)
    share = got.count / np.maximum(got.count - terms, 1.0)
    return left, np.maximum(before - network, _LEAST_SHARE * before) * share, steps


def _beyond(rows: Doubles, reference: int) -> Doubles:
    """Give by what each increment counts in the variance of sums over dates, (row, time).

    If the noise of the dates adds up along a chain, a date's noise is the sum of the increments up to it, so that an
    increment counts with the square of the sum of all weights beyond it.
    """
    beyond = np.cumsum(rows[:, ::-1], axis=1)[:, ::-1]
    beyond[:, :reference] = np.cumsum(rows[:, :reference], axis=1)
    return np.square(beyond)


def mean_square(values: NDArray[Any], deviations: NDArray[Any], design: Design, reference: int) -> NDArray[Any]:
    """Give the air's variance of a pixel (y, x) of a block (y, x, time)."""
    shape = values.shape[:-1]
    square = _residuals(_flat(values), _flat(deviations), design, reference)[1]
    return square.astype("float32").reshape(shape)


def residual_counts(
    values: NDArray[Any], deviations: NDArray[Any], design: Design, reference: int
) -> NDArray[np.int64]:
    """Count the squares of each date in classes, in units of the pixel's own mean square, of a block (time, pixel)."""
    left, square, steps = _residuals(values, deviations, design, reference)
    rest = np.eye(len(design.matrix)) - design.hat
    network = combine(_beyond(rest - rest[reference], reference), steps)
    # As the map of the mean square holds it.
    scale = square.astype("float32").astype("float64")
    with np.errstate(invalid="ignore", divide="ignore"):
        return _classes((np.square(left - left[reference]) - network) / scale)


def _stable_counts(values: NDArray[Any], deviations: NDArray[Any], reference: int) -> NDArray[np.int64]:
    square = np.square(values, dtype="float64") - np.square(deviations, dtype="float64")
    square[reference] = np.where(np.isfinite(values[reference]), 0.0, np.nan)
    return _classes(square)


def _classes(squares: Doubles) -> NDArray[np.int64]:
    """Count squares (time, pixel) in classes, (time, class); NaN is not counted, below 0 is the lowest class."""
    out = np.zeros((len(squares), _CLASSES), np.int64)
    for date, row in enumerate(squares):
        known = row[np.isfinite(row)]
        with np.errstate(divide="ignore"):
            place = (np.log2(np.maximum(known, 0.0)) - _LOWEST) * _PER_OCTAVE
        place = np.clip(np.nan_to_num(place, neginf=-1.0), -1, _CLASSES - 2).astype(np.int64) + 1
        out[date] = np.bincount(place, minlength=_CLASSES)
    return out


def _stable_squares(counts: NDArray[np.int64]) -> Doubles:
    if not counts.any():
        raise EmptyResultError("no ground is stable", where="stable", expected="pixels with a displacement")
    return squares_within(counts)


def squares_within(counts: NDArray[np.int64]) -> Doubles:
    """Give the square below which 68.27 % lie, (time,); NaN for a date without any."""
    total = counts.sum(axis=1)
    wanted = _SIGMA_SHARE * total
    sums = np.cumsum(counts, axis=1)
    place = np.array([np.searchsorted(row, aim) for row, aim in zip(sums, wanted, strict=True)])
    rows = np.arange(len(counts))
    at = np.minimum(place, _CLASSES - 1)
    inside = (wanted - (sums - counts)[rows, at]) / np.maximum(counts[rows, at], 1)
    squares = np.where(at == 0, 0.0, 2.0 ** (_LOWEST + (at - 1 + inside) / _PER_OCTAVE))
    return np.where(total > 0, squares, np.nan)


def _flat(block: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(block.reshape(-1, block.shape[-1]).T)


def _mapped(core: Any, layers: list[xr.DataArray], how: Mapping[str, Any]) -> xr.DataArray:
    found: xr.DataArray = xr.apply_ufunc(
        core,
        *layers,
        kwargs=dict(how),
        input_core_dims=[["time"]] * len(layers),
        dask="parallelized",
        output_dtypes=["float32"],
    )
    return found


def _counted(core: Any, layers: list[xr.DataArray], how: Mapping[str, Any]) -> Any:
    """Count all blocks, (time, class); whole numbers, so that their order does not matter."""
    arrays = [layer.data for layer in layers]
    if not any(isinstance(array, da.Array) for array in arrays):
        return _one_block(*arrays, core=core, how=how)[:, 0]
    first = next(array for array in arrays if isinstance(array, da.Array))
    given = [da.asarray(array).rechunk(first.chunks) for array in arrays]
    _, down, across = first.chunks
    blocks = da.map_blocks(
        _one_block,
        *given,
        core=core,
        how=dict(how),
        dtype=np.int64,
        meta=np.empty((0, 0, 0), np.int64),
        chunks=((first.shape[0],), (1,) * len(down), (_CLASSES,) * len(across)),
    )
    folded = blocks.sum(axis=1).reshape((first.shape[0], len(across), _CLASSES))
    return folded.sum(axis=1)


def _one_block(*arrays: NDArray[Any], core: Any, how: Mapping[str, Any]) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = core(*(np.asarray(array).reshape(len(array), -1) for array in arrays), **how)
    return counts[:, None, :]


def _factors(counts: Any, like: xr.DataArray, rule: Any = squares_within) -> xr.DataArray:
    """Turn counts into the size of each date, (time,)."""
    if isinstance(counts, da.Array):
        whole = counts.rechunk(-1)
        values = whole.map_blocks(rule, drop_axis=1, dtype="float64", meta=np.empty(0))
    else:
        values = rule(counts)
    return xr.DataArray(values, dims="time", coords={"time": like["time"]})
