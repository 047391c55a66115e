"""From pairs to series: displacement of each date, its uncertainty, and how well the pairs agree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError, MetadataError
from terracube.processing.deformation.inversion.given import given_weights
from terracube.processing.deformation.inversion.weights import ABSOLUTE, weight_table
from terracube.processing.deformation.network import Network, elimination_of, network_of_stack
from terracube.processing.kernels.inversion import APART, LINEAR, VELOCITY, Choices, System, invert_pixels

type Weights = Literal["variance", "coherence", "fisher"] | xr.DataArray | None

LINKS: Mapping[str, int] = {"nan": APART, "minimum_velocity": VELOCITY, "linear": LINEAR}
"""What becomes of dates that no pair joins to the reference date."""

STATIC = ("los_east", "los_north", "los_up", "incidence_angle", "dem")
"""Layers of a stack that its series keeps."""

_LAYERS: Mapping[str, tuple[str, str]] = {
    "temporal_coherence": ("1", "temporal coherence of the residuals of the pairs"),
    "residual_rms": ("rad", "root of the mean square of the residuals of the pairs"),
    "chi2": ("1", "weighted square of the residuals per degree of freedom"),
    "n_pairs": ("1", "number of pairs that have a value"),
    "n_components": ("1", "number of parts that the pairs do not join; 1 where all dates hang together"),
}
_DATED: Mapping[str, tuple[str, str]] = {
    "displacement": ("m", "displacement along the line of sight, positive towards the satellite"),
    "std_network": ("m", "standard deviation of the displacement by the noise of the pairs"),
}


@dataclass(frozen=True, slots=True)
class _Plan:
    """What each block is done with."""

    system: System
    choices: Choices
    table: NDArray[np.float32] | None


def invert_stack(
    stack: xr.Dataset,
    *,
    weights: Weights = "variance",
    robust: bool = False,
    disconnected: Literal["nan", "minimum_velocity", "linear"] = "nan",
    reference_date: Any = None,
) -> xr.Dataset:
    """Solve a stack of unwrapped interferograms for the displacement of each date, by weighted least squares.

    Each pixel is solved from the pairs that it has. The phase is taken as it is: refer it to a point first.

    Parameters
    ----------
    stack : xarray.Dataset
        ``unwrapped_phase`` (pair, y, x), rad, NaN = missing; ``coherence`` (pair, y, x), 0 to 1, where the weights
        follow from it (NaN = the pair is missing there); ``reference_time`` and ``secondary_time`` along ``pair``;
        attributes ``wavelength`` (m) and, where the weights need it, ``looks``. NumPy or Dask.
    weights : str, DataArray or None
        ``variance``: one over the variance of the phase of a distributed scatterer; ``fisher``: one over its bound;
        ``coherence``; a DataArray (pair, y, x) of inverse variances, rad^-2, NaN and 0 = the pair is missing there;
        ``None``: all pairs count the same.
    robust : bool
        Find weights under which pairs that contradict the others hardly count: absolute values first, then a loss that
        levels off three times beyond the spread. Deviations then follow from these weights.
    disconnected : str
        What becomes of dates that no pair of a pixel joins to the reference date. ``nan``: missing.
        ``minimum_velocity``: each part is moved so that the squares of velocities from date to date are least.
        ``linear``: each part is moved onto the line that fits all parts best. Both are assumptions: their deviations
        are NaN.
    reference_date : datetime-like, optional
        Date of zero displacement, one of those of the stack; the first by default.

    Returns
    -------
    xarray.Dataset
        float32, lazy where the stack is. ``displacement`` (time, y, x), m, towards the satellite, 0 at the reference
        date, NaN where no pair tells; ``std_network`` (time, y, x), m, against the reference date: by the weights
        where these are one over variances, else times the root of ``chi2``, then NaN without redundancy;
        ``temporal_coherence`` (Pepe and Lanari 2006), ``residual_rms`` (rad), ``chi2`` (y, x), NaN where nothing tells,
        the last with ``robust`` of squares cut at three spreads, so that contradictions hardly count; ``n_pairs``,
        ``n_components`` (y, x), never NaN. Layers of the line of sight and height are kept. The result depends neither
        on the order of pairs nor on chunks.

    Raises
    ------
    InputError
        If the network is none, a layer, the looks or the reference date are missing, an option is none, or given
        weights are of other pairs or pixels.
    MetadataError
        If the wavelength is missing.

    References
    ----------
    Berardino et al. 2002 (doi:10.1109/TGRS.2002.803792), Pepe and Lanari 2006 (doi:10.1109/TGRS.2006.873207).

    Examples
    --------
    >>> times = np.array(["2020-01-01", "2020-01-13", "2020-01-25"], "M8[ns]")
    >>> stack = xr.Dataset(
    ...     {"unwrapped_phase": (("pair", "y", "x"), np.float32([[[1]], [[1]], [[2]]]))},
    ...     coords={"reference_time": ("pair", times[[0, 1, 0]]), "secondary_time": ("pair", times[[1, 2, 2]])},
    ...     attrs={"wavelength": 0.0554},
    ... )
    >>> found = invert_stack(stack, weights=None)["displacement"].astype(float)
    >>> (1000 * found).round(2).values.ravel().tolist()
    [0.0, -4.41, -8.82]
    """
    if disconnected not in LINKS:
        raise InputError("no such choice", where="disconnected", expected=", ".join(LINKS), got=str(disconnected))
    network, order = network_of_stack(stack)
    wavelength = _wavelength(stack)
    first = _reference(network, reference_date)
    phase, weight, table = _given(stack, weights, order)
    absolute = isinstance(weights, xr.DataArray) or weights in ABSOLUTE
    choices = Choices(-wavelength / (4 * math.pi), int(absolute), int(robust), LINKS[disconnected])
    found = _solve(phase, weight, _Plan(_system(network, first), choices, table))
    told = {
        **{name: stack.attrs[name] for name in ("looks", "phase_sign", "reference") if name in stack.attrs},
        "wavelength": wavelength,
        "reference_date": str(network.times[first])[:19],
        "network": network.digest,
        "weights": weights if isinstance(weights, str) else "none" if weights is None else "given",
        "std_network_scale": "weights" if absolute else "chi2",
        "disconnected": disconnected,
        "robust": int(robust),
    }
    return _series(found, stack, network, told)


def _wavelength(stack: xr.Dataset) -> float:
    told = stack.attrs.get("wavelength")
    if not isinstance(told, int | float | np.number) or not 1e-3 < float(told) < 10:
        raise MetadataError(
            "the stack does not tell its wavelength",
            where="attrs['wavelength']",
            expected="m",
            got=repr(told),
            todo="set it; a phase is no length without it",
        )
    return float(told)


def _reference(network: Network, date: Any) -> int:
    """Find the date that others are told against."""
    if date is None:
        return 0
    try:
        wanted = np.datetime64(date, "ns")
    except (OverflowError, TypeError, ValueError) as error:
        raise InputError("this is no date", where="reference_date", got=repr(date)[:60]) from error
    # A day names the acquisition on it; a time names that time.
    days = network.times.astype("M8[D]")
    at = np.flatnonzero((network.times == wanted) | ((days == wanted) & (np.datetime64(wanted, "D") == wanted)))
    if len(at) != 1:
        raise InputError(
            "the reference date is none of the stack",
            where="reference_date",
            expected=", ".join(str(day) for day in days[:20]),
            got=str(date),
        )
    return int(at[0])


def _given(stack: xr.Dataset, weights: Weights, order: NDArray[np.int64]) -> tuple[Any, Any, Any]:
    """Give phase, what weights follow from, and the table by which they do, in the order of the network."""
    phase = _layer(stack, "unwrapped_phase", order)
    if weights is None:
        return phase, None, None
    if isinstance(weights, xr.DataArray):
        return phase, _layer(xr.Dataset({"weights": given_weights(stack, weights)}), "weights", order), None
    looks = stack.attrs.get("looks")
    table = weight_table(weights, looks)
    return phase, _layer(stack, "coherence", order), table


def _layer(stack: xr.Dataset, name: str, order: NDArray[np.int64]) -> Any:
    if name not in stack:
        raise InputError(
            f"the stack has no layer {name}",
            expected=name,
            got=", ".join(map(str, stack.data_vars)),
            todo="load it, or take weights=None" if name == "coherence" else "load it",
        )
    if set(stack[name].dims) != {"pair", "y", "x"}:
        raise InputError(f"{name} has other dimensions", expected="(pair, y, x)", got=str(stack[name].dims))
    data = stack[name].transpose("pair", "y", "x").data
    if (order != np.arange(len(order))).any():
        data = data[order]
    return data.rechunk({0: -1}) if isinstance(data, da.Array) else np.asarray(data)


def _system(network: Network, first: int) -> System:
    """Number the dates from the reference date, which is grounded; the others follow in time."""
    dates = len(network.times)
    turn = np.r_[first, np.delete(np.arange(dates), first)]
    number = np.argsort(turn)
    pairs = np.ascontiguousarray(number[network.pairs], "int32")
    return System(elimination_of(pairs, dates), pairs, turn.astype("int32"), network.days)


def _solve(phase: Any, weight: Any, plan: _Plan) -> Any:
    """Give displacement, deviations and layers, stacked along the first axis."""
    given = [each for each in (phase, weight) if each is not None]
    lazy = next((each for each in given if isinstance(each, da.Array)), None)
    if lazy is None:
        return _block(*given, plan=plan)
    # Blocks of weights follow those of the phase.
    chunks = (-1, *(phase if isinstance(phase, da.Array) else lazy).chunks[1:])
    given = [each.rechunk(chunks) if isinstance(each, da.Array) else da.from_array(each, chunks) for each in given]
    rows = 2 * plan.system.turn.size + len(_LAYERS)
    return da.map_blocks(
        partial(_block, plan=plan), *given, dtype="float32", chunks=((rows,), *given[0].chunks[1:]),
        meta=np.empty((0, 0, 0), "float32"), name=f"invert-{_token(given, plan)}",
    )  # fmt: skip


def _token(given: list[da.Array], plan: _Plan) -> str:
    from dask.base import tokenize

    system = [np.asarray(each) for each in (*plan.system.plan, *plan.system[1:])]
    return str(tokenize([each.name for each in given], system, tuple(plan.choices), plan.table))


def _block(phase: NDArray[Any], weight: NDArray[Any] | None = None, *, plan: _Plan) -> NDArray[np.float32]:
    """Solve one block (pair, y, x)."""
    shape = phase.shape[1:]
    y = np.asarray(phase, "float32").reshape(len(phase), -1)
    w = np.broadcast_to(np.float32(1), y.shape) if weight is None else np.asarray(weight, "float32").reshape(y.shape)
    out = np.empty((2 * plan.system.turn.size + len(_LAYERS), y.shape[1]), "float32")
    invert_pixels(y, w, plan.system, plan.choices, table=plan.table, out=out)
    return out.reshape(len(out), *shape)


def _series(found: Any, stack: xr.Dataset, network: Network, told: Mapping[str, Any]) -> xr.Dataset:
    """Name what was found."""
    dates = len(network.times)
    variables: dict[str, Any] = {}
    for number, (name, (unit, title)) in enumerate(_DATED.items()):
        part = found[number * dates : (number + 1) * dates]
        variables[name] = (("time", "y", "x"), part, {"units": unit, "long_name": title})
    for number, (name, (unit, title)) in enumerate(_LAYERS.items()):
        variables[name] = (("y", "x"), found[2 * dates + number], {"units": unit, "long_name": title})
    kept = {name: stack.coords[name] for name in ("y", "x", "spatial_ref") if name in stack.coords}
    series = xr.Dataset(variables, coords={"time": network.times, **kept}, attrs=dict(told))
    for name in STATIC:
        if name in stack.variables and set(stack[name].dims) <= {"y", "x"}:
            series[name] = stack[name].reset_coords(drop=True) if name in stack.coords else stack[name]
    return series
