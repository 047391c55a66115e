"""Which terms of a model the data ask for, pixel by pixel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import fdtrc

from terracube.core.errors import InputError
from terracube.processing.deformation.model.design import design_of
from terracube.processing.deformation.model.fitting import (
    Coloured,
    Plan,
    covariance_of,
    displacement_of,
    fit_of_block,
    flattened,
    reference_position,
    to_model,
)
from terracube.processing.deformation.model.terms import Doubles, Model
from terracube.processing.kernels.regression import Regression, entry

_NAMES = ("statistic", "p_value", "bic_difference")


def select_terms(
    series: xr.Dataset,
    model: str | Model,
    *,
    level: float = 0.05,
    coloured: Coloured = None,
    arrays: Mapping[str, xr.DataArray] | None = None,
) -> xr.Dataset:
    """Test each term of a model against the model without it.

    Both tests follow from the fit of the whole model alone: leaving out q parameters m with covariance C raises the sum
    of squares by s^2 m^T C^-1 m, so that F = m^T C^-1 m / q (Seber & Lee 2003, Linear Regression Analysis,
    theorem 4.1) and the change of BIC = n ln(RSS / n) + p ln n is n ln(1 + q F / (n - p)) - q ln n.

    Parameters
    ----------
    series : xarray.Dataset
        As for :func:`fit`.
    model : str or Model
        The largest model that is thought of; its terms but the constant are tested one at a time.
    level : float
        Probability of an F as high as found by chance alone below which ``keep_f`` keeps the term.
    coloured : {None, "ar1"}
        ``ar1`` divides F by the factor by which :func:`fit` inflates variances.
    arrays : mapping of name to DataArray (time,), optional

    Returns
    -------
    xarray.Dataset
        (term, y, x), lazy if the series is: ``statistic`` (F), ``p_value``, ``bic_difference`` (without the term minus
        with it: above 0 the term is worth its parameters), float32, NaN where the model cannot be fitted; ``keep_f``
        and ``keep_bic``, bool, false there.

    Raises
    ------
    InputError
        If the model has no term to test, if ``level`` is no probability, or as :func:`fit`.

    Examples
    --------
    >>> days = np.datetime64("2020-01-01", "ns") + np.arange(0, 1000, 20) * np.timedelta64(1, "D")
    >>> metres = np.float32(1e-3 * np.sin(np.arange(50) ** 2) + 1e-4 * np.arange(50))[:, None, None]
    >>> series = xr.Dataset({"displacement": (("time", "y", "x"), metres)}, {"time": days})
    >>> found = select_terms(series, "linear + annual")
    >>> dict(zip(found.term.values.tolist(), found.keep_bic.values.ravel().tolist()))
    {'linear': True, 'annual': False}
    """
    if not 0 < level < 1:
        raise InputError("this is no probability", where="level", expected="above 0, below 1", got=str(level))
    displacement = displacement_of(series)
    design = design_of(to_model(model, arrays), displacement["time"].values)
    reference = reference_position(series)
    known = "std_network" in series.variables and reference >= 0
    plan = Plan(design, False, reference, coloured == "ar1", False, known)
    layers = [displacement, *([series["std_network"]] if known else [])]
    terms = [term.text for term in design.model.terms[1:]]
    if not terms:
        raise InputError("the model has no term to test", where="model", got=design.model.text)
    found = xr.apply_ufunc(
        _block,
        *(layer.chunk({"time": -1}) if layer.chunks else layer for layer in layers),
        kwargs={"plan": plan},
        input_core_dims=[["time"]] * len(layers),
        output_core_dims=[["test", "term"]],
        dask="parallelized",
        output_dtypes=["float32"],
        dask_gufunc_kwargs={"output_sizes": {"test": len(_NAMES), "term": len(terms)}},
    ).transpose("test", "term", "y", "x")
    result = xr.Dataset({name: found[at] for at, name in enumerate(_NAMES)}, {"term": terms})
    told = {"model": design.model.text, "level": level, "fit_noise": coloured or "white"}
    return result.assign(keep_f=result["p_value"] < level, keep_bic=result["bic_difference"] > 0).assign_attrs(told)


def _block(values: NDArray[Any], *deviations: NDArray[Any], plan: Plan) -> NDArray[np.float32]:
    """Test a block (y, x, time), into (y, x, test, term)."""
    shape = values.shape[:-1]
    flat = flattened(values, values.shape)
    got, _ = fit_of_block(flat, plan.design)
    noise = flattened(deviations[0], values.shape) if plan.network else None
    columns = list(plan.design.model.columns_of.values())[1:]
    out = np.empty((len(_NAMES), len(columns), got.count.size), np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        covariance = covariance_of(flat, got, plan, noise=noise)[0]
        for at, chosen in enumerate(columns):
            out[:, at] = _tests(got, covariance, chosen, len(plan.design.scale))
    return np.ascontiguousarray(np.moveaxis(out, -1, 0)).reshape(*shape, *out.shape[:2])


def _tests(got: Regression, covariance: Doubles, chosen: slice, terms: int) -> list[Doubles]:
    size = chosen.stop - chosen.start
    freedom = np.maximum(got.count - terms, 1.0)
    own = np.empty((got.count.size, size, size))
    for i in range(size):
        for j in range(size):
            high, low = max(i, j) + chosen.start, min(i, j) + chosen.start
            own[:, i, j] = covariance[entry(high, low)]
    # Pixels without a fit, or without any error, would stop the whole solution.
    there = np.isfinite(own).all(axis=(1, 2)) & (np.diagonal(own, axis1=1, axis2=2) > 0).all(axis=1)
    own[~there] = np.eye(size)
    values = got.parameters[chosen].T[..., None]
    explained = (values[..., 0] * np.linalg.solve(own, values)[..., 0]).sum(axis=1)
    statistic = np.where(there, explained / size, np.nan)
    bic = got.count * np.log1p(size * statistic / freedom) - size * np.log(got.count)
    return [statistic, fdtrc(size, freedom, statistic), bic]
