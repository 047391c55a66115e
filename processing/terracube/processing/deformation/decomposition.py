"""Several lines of sight and image offsets to motion east, north and up, with its covariance."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import EmptyResultError, InputError, MetadataError
from terracube.processing.deformation.views import Look, check_looks, looks_of, root
from terracube.processing.kernels import decomposition as kernel

__all__ = ["Look", "common_times", "decompose", "looks_of", "on_common_times"]

_MOST_LOOKS = 64
# Beyond this, eigenvalues and single precision of the vectors no longer tell a direction from none.
_WORST = 1e3
_AXES = ("east", "north", "up")
_PAIRS = {"en": (4, "east and north"), "eu": (5, "east and up"), "nu": (7, "north and up")}
_VARIANCES = {"east": 3, "north": 6, "up": 8}


def decompose(
    looks: Sequence[xr.Dataset | Look],
    *,
    variable: str | None = None,
    north_std: float | None = None,
    north: float | xr.DataArray = 0.0,
    max_condition: float = _WORST,
    times: ArrayLike | None = None,
) -> xr.Dataset:
    """Decompose motion along several directions into east, north and up.

    Per pixel (and date), weighted least squares with the looks that are there:
    ``sum_q (d_q - u_q . m)^2 / s_q^2``. Weights are the inverse variances that come with the looks.

    Parameters
    ----------
    looks : sequence of Dataset or Look
        All velocities (m/year), all steps or displacements (m), or all series (with ``time``), on one grid; each as
        :func:`looks_of` takes it: radar with its line of sight, offsets of images (``east`` and ``north`` in metres) as
        two horizontal looks, maps of stations as three. Series are brought to common dates first, see
        :func:`on_common_times`. A look whose standard deviation is not above 0 somewhere does not count there.
    variable : str, optional
        Which variable of each dataset is the motion.
    north_std : float, optional
        Standard deviation, in the unit of the motion, of a prior for the motion to the north. Satellites that fly
        along the meridians hardly see it, and two looks cannot tell three components. Without one, nothing is thought
        of it before.
    north : float or DataArray (y, x)
        Mean of that prior; of GNSS, or a model. NaN: not solved there.
    max_condition : float
        Above 1, to 1000: pixels whose directions determine motion worse are not solved.
    times : array of datetime64, optional
        Dates of the result, for series.

    Returns
    -------
    Dataset (y, x) or (time, y, x), float32
        ``east``, ``north``, ``up``; ``std_east``, ``std_north``, ``std_up``; ``covariance_en``, ``covariance_eu``,
        ``covariance_nu``; ``condition``: ratio of the singular values of the matrix of the directions that are there
        (columns east and up with a prior for north); ``chi2``: sum of the squares of the residuals over their standard
        deviations; ``n_looks`` (0 is a value). NaN where the looks of a pixel do not suffice. Lazy where a look is.

    Raises
    ------
    InputError
        If a line of sight or standard deviation is missing, grids or units differ, or a parameter is wrong; if the
        looks are fewer than the unknowns.
    MetadataError
        If a unit is not told.

    Examples
    --------
    >>> def look(east, up, value):
    ...     plane = xr.DataArray(np.ones((1, 1), "float32"), dims=("y", "x"))
    ...     velocity = (value * plane).assign_attrs(units="m/year")
    ...     return xr.Dataset({"velocity": velocity, "std_velocity": 0.001 * plane, "los_east": east * plane,
    ...                        "los_north": 0 * plane, "los_up": up * plane})
    >>> found = decompose([look(-0.6, 0.8, 0.02), look(0.6, 0.8, 0.14)], north_std=0.01)
    >>> [round(found[axis].item(), 4) for axis in ("east", "up", "std_east", "std_up", "north")]
    [0.1, 0.1, 0.0012, 0.0009, 0.0]

    References
    ----------
    Wright, Parsons, Lu 2004, Toward mapping surface deformation in three dimensions using InSAR,
    doi:10.1029/2003GL018827.
    """
    given, grids = _looks(looks, variable)
    _check(len(given), north_std, max_condition)
    check_looks(given, [*grids, north] if isinstance(north, xr.DataArray) else grids)
    first: NDArray[np.bool_] | None = None
    if given[0].is_series:
        given = on_common_times(given, times)
        first = np.arange(given[0].value.sizes["time"]) == 0
    elif times is not None:
        raise InputError("dates belong to series", where="times", got="looks without a dimension time")
    found = _solve(given, first, north, np.inf if north_std is None else float(north_std), float(max_condition))
    return _dressed(found, given, grids[0], north_std, north)


def _looks(looks: Sequence[xr.Dataset | Look], variable: str | None) -> tuple[list[Look], list[Any]]:
    if isinstance(looks, xr.Dataset | Look):
        raise InputError("one look alone cannot be decomposed", where="looks", expected="a list of them")
    given: list[Look] = []
    grids: list[Any] = []
    for number, data in enumerate(looks):
        told = getattr(data, "attrs", {}).get("name", f"look {number + 1}")
        given += looks_of(data, variable=variable, name=str(told))
        grids.append(data.value if isinstance(data, Look) else data)
    return given, grids


def _check(count: int, north_std: float | None, max_condition: float) -> None:
    if north_std is not None and not 0 < north_std < np.inf:
        raise InputError("no standard deviation", where="north_std", expected="> 0, finite", got=str(north_std))
    if not 1 < max_condition <= _WORST:
        raise InputError(
            "no condition number", where="max_condition", expected=f"> 1, <= {_WORST:g}", got=str(max_condition)
        )
    least = 3 if north_std is None else 2
    if not least <= count <= _MOST_LOOKS:
        raise InputError(
            "the looks are too few or too many",
            where="looks",
            expected=f"{least} to {_MOST_LOOKS}",
            got=str(count),
            todo="give north_std, what is thought of the motion to the north before" if count == 2 else "",
        )


def _solve(
    given: Sequence[Look], first: NDArray[np.bool_] | None, north: float | xr.DataArray, north_std: float, limit: float
) -> tuple[xr.DataArray, ...]:
    arrays: list[Any] = [xr.DataArray(first, dims="time") if first is not None else False, north]
    for look in given:
        arrays += [look.value, look.total_std, *look.vector]
    work = partial(_block, north_std=north_std, limit=limit)
    rows: tuple[xr.DataArray, ...] = xr.apply_ufunc(
        work,
        *arrays,
        output_core_dims=[()] * kernel.ROWS,
        dask="parallelized",
        output_dtypes=[np.dtype("float32")] * kernel.ROWS,
        join="override",
        keep_attrs=False,
    )
    dims = [dim for dim in ("time", "y", "x") if dim in rows[0].dims]
    return tuple(row.transpose(*dims) for row in rows)


def _block(*arrays: Any, north_std: float, limit: float) -> tuple[NDArray[np.float32], ...]:
    """Solve a block: first date or not, prior, and of each look value, standard deviation and three of the vector."""
    shape = np.broadcast_shapes(*(np.shape(each) for each in arrays))
    dated = (1,) * max(0, 3 - len(shape)) + shape
    cut = [np.broadcast_to(np.asarray(each), shape).reshape(dated) for each in arrays]
    out = np.empty((dated[0], kernel.ROWS, dated[1] * dated[2]), "float32")
    for date in range(dated[0]):
        known = bool(cut[0][date].any())
        flat = np.stack([_flat(each[date]) for each in cut[1:]])
        values, stds, vectors = flat[1::5], flat[2::5], np.stack([flat[3::5], flat[4::5], flat[5::5]], axis=1)
        # Nothing has moved at the first date, and that is certain.
        values = np.ascontiguousarray(np.where(np.isfinite(values), 0, values) if known else values, "float32")
        stds = np.ascontiguousarray(np.where(np.isfinite(stds), 1, stds) if known else stds, "float32")
        prior = np.where(np.isfinite(flat[0]), 0, flat[0]).astype("float32") if known else flat[0]
        kernel.decompose(values, stds, np.ascontiguousarray(vectors), prior, north_std, limit, out[date])
        if known:
            out[date, :9] *= 0
    return tuple(np.ascontiguousarray(out[:, row]).reshape(shape) for row in range(kernel.ROWS))


def _flat(values: NDArray[Any]) -> NDArray[np.float32]:
    return np.ascontiguousarray(values, "float32").ravel()


def common_times(series: Sequence[ArrayLike], times: ArrayLike | None = None) -> NDArray[np.datetime64]:
    """Give the dates on which all of several series can be told: all of theirs, in the span that they share.

    Parameters
    ----------
    series : sequence of arrays of datetime64
    times : array of datetime64, optional
        Others instead; they may not leave the shared span.

    Returns
    -------
    array of datetime64[ns], increasing

    Raises
    ------
    InputError
        If the dates of a series are not increasing, or asked ones leave the shared span.
    EmptyResultError
        If the series share no two dates' span.

    Examples
    --------
    >>> one, other = ["2020-01-01", "2020-01-13", "2020-01-25"], ["2020-01-07", "2020-01-19", "2020-01-31"]
    >>> common_times([one, other]).astype("datetime64[D]").astype(str).tolist()
    ['2020-01-07', '2020-01-13', '2020-01-19', '2020-01-25']
    """
    own = [np.asarray(each, "datetime64[ns]") for each in series]
    for each in own:
        if each.size == 0 or np.isnat(each).any() or (np.diff(each).astype("int64") <= 0).any():
            raise InputError("the dates of a series are not in order", where="time", expected="increasing, each once")
    start, stop = max(each[0] for each in own), min(each[-1] for each in own)
    if not start < stop:
        raise EmptyResultError(
            "the series share no time",
            where="time",
            got="; ".join(f"{str(t[0])[:10]} to {str(t[-1])[:10]}" for t in own),
        )
    every = np.unique(np.concatenate(own))
    chosen = every[(every >= start) & (every <= stop)] if times is None else np.asarray(times, "datetime64[ns]").ravel()
    if chosen.size < 2 or np.isnat(chosen).any() or (np.diff(chosen).astype("int64") <= 0).any():
        raise InputError("these are no dates of a series", where="times", expected="two or more, increasing")
    if chosen[0] < start or chosen[-1] > stop:
        raise InputError(
            "series are not continued beyond their dates",
            where="times",
            expected=f"{str(start)[:10]} to {str(stop)[:10]}",
            got=f"{str(chosen[0])[:10]} to {str(chosen[-1])[:10]}",
        )
    return chosen


def on_common_times(looks: Sequence[Look], times: ArrayLike | None = None) -> list[Look]:
    """Bring series to common dates, and each to zero at the first of them.

    Between two dates motion is taken to be even: values are interpolated linearly, and a value is missing where one of
    the two is. Parts of the standard deviation that dates do not share are propagated as independent; the shared part
    (of the network) as if two neighbouring dates shared all of it, and as if the first date shared nothing with the
    others: no element of the inverse of a network's matrix is negative, so neither can make it too small. That motion
    may not have been even is not in it.

    Parameters
    ----------
    looks : sequence of Look (time, y, x)
        In metres.
    times : array of datetime64, optional
        As for :func:`common_times`.

    Returns
    -------
    list of Look
        Whose ``std`` is all of it. At the first date value and standard deviation are 0.

    Raises
    ------
    InputError, EmptyResultError
        As :func:`common_times`.
    """
    if any(look.unit != "m" for look in looks):
        raise MetadataError("series of motion are in metres", where="units", got=", ".join(look.unit for look in looks))
    own = [look.value["time"].values.astype("datetime64[ns]") for look in looks]
    chosen = common_times(own, times)
    return [_resampled(look, dates, chosen) for look, dates in zip(looks, own, strict=True)]


def _resampled(look: Look, dates: NDArray[np.datetime64], chosen: NDArray[np.datetime64]) -> Look:
    place = np.interp(_since(chosen, dates[0]), _since(dates, dates[0]), np.arange(dates.size))
    lower = np.minimum(np.floor(place).astype("int64"), dates.size - 2)
    share = xr.DataArray((place - lower).astype("float32"), dims="time", coords={"time": chosen})

    def mixed(values: xr.DataArray, power: int) -> xr.DataArray:
        # Where a date is met, the other of the two has no say, not even by being missing.
        below, above = (values.isel(time=lower + step).assign_coords(time=chosen) for step in (0, 1))
        between = (1 - share) ** power * below + share**power * above
        return below.where(share == 0, above.where(share == 1, between)).transpose(*values.dims)

    value = mixed(look.value.astype("float32"), 1)
    variance = mixed(look.std.astype("float32") ** 2, 2)
    if look.std_shared is not None:
        variance = variance + mixed(look.std_shared.astype("float32"), 1) ** 2
    start = {"time": 0}
    std = root(variance + variance.isel(start, drop=True)).where(
        xr.DataArray(np.arange(chosen.size) > 0, dims="time"), 0
    )
    moved = value - value.isel(start, drop=True)
    return Look(look.name, moved, std.transpose(*value.dims), look.vector, look.unit)


def _since(dates: NDArray[np.datetime64], start: np.datetime64) -> NDArray[np.int64]:
    return np.asarray((dates - start).astype("timedelta64[ns]").astype("int64"))


def _dressed(
    rows: Sequence[xr.DataArray], given: Sequence[Look], like: Any, north_std: float | None, north: float | xr.DataArray
) -> xr.Dataset:
    unit = given[0].unit
    what = "velocity" if unit == "m/year" else "displacement"
    found: dict[str, xr.DataArray] = {}
    for place, axis in enumerate(_AXES):
        found[axis] = rows[place].assign_attrs(units=unit, long_name=f"{what} {axis}")
    for axis, row in _VARIANCES.items():
        long_name = f"standard deviation of the {what} {axis}"
        found[f"std_{axis}"] = root(rows[row]).assign_attrs(units=unit, long_name=long_name)
    for pair, (row, names) in _PAIRS.items():
        squared = "m2" if unit == "m" else "m2/year2"
        found[f"covariance_{pair}"] = rows[row].assign_attrs(units=squared, long_name=f"covariance of {names}")
    for row, name, long_name in (
        (9, "condition", "condition number of the directions"),
        (10, "chi2", "weighted sum of squares of the residuals"),
        (11, "n_looks", "looks that count"),
    ):
        found[name] = rows[row].assign_attrs(units="1", long_name=long_name)
    product = xr.Dataset(found)
    kept = {name: each for name, each in like.coords.items() if set(each.dims) <= {"y", "x"}}
    product = product.assign_coords(kept)
    return product.assign_attrs(
        looks="; ".join(look.name for look in given),
        weights="inverse variance",
        north_prior=_told(north_std, north, unit),
    )


def _told(north_std: float | None, north: float | xr.DataArray, unit: str) -> str:
    if north_std is None:
        return "none"
    mean = f"{float(north):g}" if isinstance(north, float | int) else "a given map"
    return f"{mean} +- {float(north_std):g} {unit}"
