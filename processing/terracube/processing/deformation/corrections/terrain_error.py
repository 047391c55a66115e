"""The error of the terrain model, which follows the perpendicular baseline, estimated together with the motion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import InputError, MetadataError
from terracube.processing.deformation.corrections._columns import ModelLike, columns_of, told_of
from terracube.processing.deformation.corrections._pixels import fit_columns
from terracube.processing.deformation.corrections._record import (
    DISPLACEMENT,
    check_series,
    recorded,
    reference_index,
    upward,
)
from terracube.processing.deformation.network import Network

type Doubles = NDArray[np.float64]

NAME = "terrain_error"


def date_baselines(network: Network) -> Doubles:
    """Find the perpendicular baseline of each date from those of the pairs, by least squares.

    Parameters
    ----------
    network : Network
        With ``baselines`` (pair,) m; pairs without one are left out.

    Returns
    -------
    array (date,), float64
        m, 0 at the first date.

    Raises
    ------
    MetadataError
        If the pairs whose baselines are known do not connect all dates.

    Examples
    --------
    >>> from terracube.processing.deformation.network import network_of
    >>> days = ["2020-01-01", "2020-01-13", "2020-01-25"]
    >>> network, _ = network_of([[days[0], days[1]], [days[1], days[2]]], [30.0, -50.0])
    >>> date_baselines(network).round(6).tolist()
    [0.0, 30.0, -20.0]
    """
    known = np.isfinite(network.baselines)
    if network.components(known).any():
        missing = int((~known).sum())
        raise MetadataError(
            "the baselines of the pairs do not tell that of each date",
            where="perpendicular_baseline",
            expected="known on pairs that connect all dates",
            got=f"{missing} of {len(known)} pairs without",
            todo="give the baseline of each date",
        )
    pairs = network.pairs[known]
    design = np.zeros((len(pairs), len(network.times)))
    rows = np.arange(len(pairs))
    design[rows, pairs[:, 1]] += 1.0
    design[rows, pairs[:, 0]] -= 1.0
    found = np.linalg.lstsq(design[:, 1:], network.baselines[known], rcond=None)[0]
    return np.concatenate([[0.0], found])


def correct_terrain_error(
    series: xr.Dataset,
    baselines: ArrayLike,
    *,
    slant_range: float | xr.DataArray,
    model: ModelLike = "linear + quadratic",
    significance: float | None = 0.05,
    most_alike: float = 0.9,
) -> xr.Dataset:
    """Remove the displacement that an error of the terrain model feigns, where it is significant.

    A height error dz gives ``d = -baseline dz / (r sin(incidence))`` (Berardino et al. 2002,
    doi:10.1109/TGRS.2002.803792; in the displacement domain Fattahi and Amelung 2013, doi:10.1109/TGRS.2012.2227761).
    It is estimated in each pixel together with the temporal model, over the dates that the pixel has.

    Parameters
    ----------
    series : Dataset
        ``displacement`` (time, y, x) m, ``attrs["reference_date"]``, and ``los_up`` or ``incidence_angle`` (degrees).
        Lazy in, lazy out.
    baselines : array (time,)
        Perpendicular baseline of each date, m, of any common origin: see :func:`date_baselines`.
    slant_range : float or DataArray (y, x)
        Distance to the satellite, m.
    model : str, Model, or array (time, column)
        Motion that is estimated beside it, in the words of :func:`~terracube.processing.deformation.model.fit`, or as
        columns of any course in time.
    significance : float or None
        Largest probability that noise does as well (F-test of the baseline's column, in each pixel); ``None`` removes
        everywhere.
    most_alike : float
        Largest share of the baselines' variance that the temporal model may explain: beyond, baseline and motion
        cannot be told apart.

    Returns
    -------
    Dataset
        The series with corrected displacement, and ``terrain_error`` (y, x) m, positive where the ground is higher than
        the terrain model (if the baselines' sign is that of ``interferometric phase = +4 pi / wavelength * baseline *
        dz / (r sin)``), ``terrain_error_std`` (y, x) m, ``terrain_error_removed`` (y, x) bool. NaN: not estimated, for
        want of dates or of an angle; the displacement is as it was there.

    Raises
    ------
    InputError
        If a parameter is unusable, or the baselines are too much alike the temporal model.
    MetadataError
        If reference date, incidence or range is missing.
    """
    own = check_series(series)
    at = reference_index(series)
    basis = columns_of(series, model)
    base = _checked(baselines, own.sizes["time"])
    alike = _likeness(base, basis)
    if not alike <= most_alike:
        raise InputError(
            "baselines and motion cannot be told apart",
            where="baselines, model",
            expected=f"at most {most_alike:g} of the baselines' variance explained by the temporal model",
            got=f"{alike:.3f}",
            todo="use a simpler model, or more dates",
        )
    # Over the largest baseline, the column is of the order of one, like those of the model.
    scale = float(np.abs(base - base.mean()).max())
    design = np.concatenate([((base - base[at]) / scale)[:, None], basis], axis=1)
    sine: xr.DataArray = xr.ufuncs.sqrt(1.0 - upward(series).clip(-1.0, 1.0) ** 2)
    lever = -_distance(slant_range, series) * sine.drop_vars([*sine.coords]) / scale
    fixed, found = _applied(own, lever, _Fit(design, significance))
    attrs = {
        NAME: {"units": "m", "long_name": "height of the ground above the terrain model"},
        f"{NAME}_std": {"units": "m"},
        f"{NAME}_removed": {},
    }
    layers = {name: found[name].assign_attrs(told) for name, told in attrs.items()}
    facts = {"model": told_of(model), "significance": significance}
    facts |= {"explained_by_model": round(alike, 6), "baselines": base.round(4).tolist()}
    return recorded(series.assign({DISPLACEMENT: fixed.assign_attrs(own.attrs), **layers}), NAME, **facts)


@dataclass(frozen=True, slots=True)
class _Fit:
    """Fits and corrects the pixels of a block."""

    design: Doubles
    """(time, column): the baselines less that of the reference date, then the temporal model."""
    significance: float | None

    def __call__(self, values: NDArray[np.float32], lever: Doubles) -> NDArray[np.float64]:
        """Give correction, error, its standard deviation and whether it is removed: (4 , y, x), the first per scale."""
        from scipy.special import fdtrc

        flat = values.reshape(len(values), -1)
        found = fit_columns(flat, self.design)
        slope, std = found.first, found.std
        if self.significance is None:
            good = np.isfinite(slope)
        else:
            with np.errstate(divide="ignore", invalid="ignore"):
                good = fdtrc(1.0, np.maximum(found.spare, 1.0), (slope / std) ** 2) <= self.significance
            good &= (found.spare >= 1) & np.isfinite(slope)
        reach = lever.ravel()
        good &= np.isfinite(reach) & (reach != 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.where(reach != 0, slope * reach, np.nan)
            spread = np.where(reach != 0, std * np.abs(reach), np.nan)
        parts = np.stack([np.where(good, slope, 0.0), error, spread, good.astype("float64")])
        return np.asarray(parts.reshape(4, *values.shape[1:]), "float64")


def _applied(own: xr.DataArray, lever: xr.DataArray, fit: _Fit) -> tuple[xr.DataArray, xr.Dataset]:
    """Fit all pixels and give the corrected displacement and what was found."""
    made = _mapped(own, lever, fit)
    dims = ("y", "x")
    first = xr.DataArray(fit.design[:, 0], dims="time")
    slope = xr.DataArray(made[0], dims=dims)
    fixed = own.copy(data=(own.variable - (first * slope).transpose("time", "y", "x").variable).astype(own.dtype).data)
    found = xr.Dataset(
        {
            NAME: (dims, made[1].astype("float32")),
            f"{NAME}_std": (dims, made[2].astype("float32")),
            f"{NAME}_removed": (dims, made[3] > 0),
        }
    )
    return fixed, found


def _mapped(own: xr.DataArray, lever: xr.DataArray, fit: Callable[[Any, Any], Any]) -> Any:
    if own.chunks is None and lever.chunks is None:
        return fit(own.values, lever.values)
    whole = own.chunk(time=-1)
    sides = dict(zip("yx", whole.chunks[1:], strict=True))  # type: ignore[index]
    return da.map_blocks(
        _called, whole.data, lever.chunk(sides).data[None], fit=fit, dtype="float64", meta=np.empty((0, 0, 0)),
        chunks=((4,), *whole.data.chunks[1:]),
    )  # fmt: skip


def _called(values: NDArray[np.float32], lever: Doubles, fit: Callable[[Any, Any], Any]) -> Any:
    return fit(values, lever[0])


def _checked(baselines: ArrayLike, dates: int) -> Doubles:
    base = np.asarray(baselines, "float64")
    if base.shape != (dates,) or not np.isfinite(base).all():
        got = f"shape {base.shape}" if base.shape != (dates,) else "NaN"
        raise InputError("each date has one baseline", where="baselines", expected=f"finite, ({dates},)", got=got)
    if not np.ptp(base) > 0:
        raise InputError(
            "all baselines are equal", where="baselines", expected="baselines that differ", got=f"{base[0]:g}"
        )
    return base


def _likeness(base: Doubles, basis: Doubles) -> float:
    """Give the share of the baselines' variance that the temporal model explains."""
    away = base - base.mean()
    fitted = basis @ np.linalg.lstsq(basis, away, rcond=None)[0]
    return 1.0 - float(((away - fitted) ** 2).sum() / (away**2).sum())


def _distance(slant_range: float | xr.DataArray, series: xr.Dataset) -> float | xr.DataArray:
    if isinstance(slant_range, xr.DataArray):
        slant_range = slant_range.drop_vars([*slant_range.coords])
        if set(slant_range.dims) - {"y", "x"} or any(slant_range.sizes[d] != series.sizes[d] for d in slant_range.dims):
            raise InputError("not the pixels of the series", where="slant_range", got=str(dict(slant_range.sizes)))
        return slant_range.astype("float64")
    if isinstance(slant_range, bool) or not 0 < float(slant_range) < np.inf:
        raise InputError("no distance", where="slant_range", expected="m, > 0", got=repr(slant_range))
    return float(slant_range)
