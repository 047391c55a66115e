"""History of motion from the offsets of many pairs, of which some are wrong."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing.deformation.network import Network, elimination_of, network_of_stack
from terracube.processing.kernels import offsets as kernels
from terracube.processing.kernels.laplacian import Elimination

# Scales of the loss and hard limits, in multiples of the noise of one offset.
_SOFT = (75.0, 37.5, 18.75, 10.0, 5.0, 3.125)
_HARD = (6.25, 5.0, 4.375)
FEW, APART = 1, 2
"""Bits of ``flags``: fewer than two pairs of the date agree; none of its pairs leads to the first date."""
_LEAST_AGREEING = 2
_METRES = (("east", "dx"), ("north", "dy"))


def invert_offsets(
    offsets: xr.Dataset, *, noise: float = 0.08, weights: str | None = "variance", robust: bool = True
) -> xr.Dataset:
    """Turn the offsets of a network of pairs into motion since the first date.

    Both components are solved by least squares on the network, with weights that they share. Weights of pairs that
    disagree with the rest are narrowed step by step, from wide to narrow, and at last pairs beyond 4.4 times the noise
    are left out (graduated non-convexity with the function of Geman and McClure; Yang et al. 2020,
    doi:10.1109/LRA.2020.2965893). A redundant network makes series more precise than its pairs (Bontemps et al. 2018,
    Remote Sensing of Environment 210, 144-158).

    Parameters
    ----------
    offsets : xarray.Dataset (pair, y, x)
        ``dx`` and ``dy``, pixels, NaN missing; ``std_dx`` and ``std_dy`` for weights; coordinates ``reference_time``
        and ``secondary_time`` (pair). Lazy in, lazy out.
    noise : float
        Usual standard deviation of one good offset, pixels: what agrees is judged by it.
    weights : "variance" or None
        One over ``noise**2`` plus the mean variance of the components; or all pairs alike.
    robust : bool
        False for plain least squares.

    Returns
    -------
    xarray.Dataset (time, y, x)
        ``dx``, ``dy``, pixels since the first date, NaN where agreeing pairs do not lead to it; ``std_dx``, ``std_dy``,
        from the network and what is left of the pairs (from ``noise`` where nothing is left to judge by);
        ``n_agreeing``, pairs of each date; ``flags`` uint8, 1 where fewer than two pairs of the date agree (such a date
        cannot be told right from wrong; if it is the first one, the whole series may be shifted), 2 where NaN;
        ``uncertain`` (y, x) uint8, 1 if any date is flagged; ``residual_rms`` (y, x) pixels; ``n_pairs`` (y, x) known.
        With ``east`` and ``north`` given as well (and their ratio to pixels in the attributes), also these, m.

    Raises
    ------
    InputError
        If this is no network of offsets.

    Examples
    --------
    >>> days = np.array(["2020-01-01", "2020-02-01", "2020-03-01"], "datetime64[ns]")
    >>> moved = xr.DataArray([[[1.0]], [[1.0]], [[2.0]]], dims=["pair", "y", "x"])
    >>> ends = {"reference_time": ("pair", days[[0, 1, 0]]), "secondary_time": ("pair", days[[1, 2, 2]])}
    >>> found = invert_offsets(xr.Dataset({"dx": moved, "dy": 0 * moved}, ends), weights=None)
    >>> found.dx.values.ravel().round(6).tolist()
    [0.0, 1.0, 2.0]
    """
    missing = [name for name in ("dx", "dy") if name not in offsets]
    if missing:
        raise InputError("these are no offsets", expected="variables dx and dy", got=f"no {', '.join(missing)}")
    if not 0 < noise < np.inf or weights not in ("variance", None):
        raise InputError("no such weights", expected="noise > 0; 'variance' or None", got=f"{noise}, {weights!r}")
    network, order = network_of_stack(offsets)
    stack = offsets.isel(pair=order).transpose("pair", ...)
    down, right = (_values(stack[name]) for name in ("dy", "dx"))
    spread = _spread(stack) if weights == "variance" else None
    plan = elimination_of(network.pairs, len(network.times))
    scales = (np.array(_SOFT) * noise, np.array(_HARD) * noise) if robust else (np.empty(0), np.empty(0))
    layers = _blocks(down, right, spread, plan=plan, pairs=network.pairs, scales=scales, noise=float(noise))
    found = _named(layers, stack["dx"], network)
    found.attrs.update(network=network.digest, noise=noise, weights=str(weights), robust=int(robust))
    return _metres(found, offsets)


def _values(data: xr.DataArray) -> Any:
    if data.ndim != 3:
        raise InputError("these are no offsets", where=str(data.name), expected="(pair, y, x)", got=str(data.dims))
    array = data.data.astype(np.float32)
    return array.rechunk({0: -1}) if isinstance(array, da.Array) else array


def _spread(stack: xr.Dataset) -> Any:
    """Give the mean variance of both components; None if none is told."""
    if "std_dx" not in stack or "std_dy" not in stack:
        raise InputError("the offsets tell no variance", where="std_dx, std_dy", todo="weights=None")
    return (_values(stack["std_dy"]) ** 2 + _values(stack["std_dx"]) ** 2) * np.float32(0.5)


def _blocks(*arrays: Any, plan: Elimination, **facts: Any) -> Any:
    """Invert all pixels, block by block if an array is lazy: (layer, y, x)."""
    known = [array for array in arrays if array is not None]
    if not any(isinstance(array, da.Array) for array in known):
        return _inverted(*known, plan=tuple(plan), **facts)
    chunks = next(array.chunks for array in known if isinstance(array, da.Array))
    given = [array.rechunk(chunks) if isinstance(array, da.Array) else da.from_array(array, chunks) for array in known]
    layers = 4 * plan.column.size + 3
    # A plain tuple of arrays: Dask's names follow from what is in it.
    return da.map_blocks(
        _inverted, *given, plan=tuple(plan), dtype=np.float32, chunks=((layers,), *chunks[1:]),
        meta=np.empty((0, 0, 0), np.float32), **facts,
    )  # fmt: skip


def _inverted(
    down: NDArray[np.float32],
    right: NDArray[np.float32],
    spread: NDArray[np.float32] | None = None,
    *,
    plan: tuple[NDArray[np.int32], ...],
    pairs: NDArray[np.int32],
    scales: tuple[NDArray[np.float64], NDArray[np.float64]],
    noise: float,
) -> NDArray[np.float32]:
    """Invert a block (pair, y, x)."""
    count, shape = down.shape[0], down.shape[1:]
    both = [np.ascontiguousarray(array.reshape(count, -1)) for array in (down, right)]
    known = np.isfinite(both[0]) & np.isfinite(both[1])
    weight = known.astype(np.float32)
    if spread is not None:
        # Relative to the noise, so that the root mean square of what is left stays in pixels.
        own = spread.reshape(count, -1) / np.float32(noise * noise)
        weight = np.where(known & (own >= 0) & np.isfinite(own), 1 / (1 + own), 0).astype(np.float32)
    dates = len(plan[0])
    out = np.empty((4 * dates + 3, both[0].shape[1]), np.float32)
    kernels.invert_offsets(Elimination(*plan), pairs, (both[0], both[1], weight), scales, out)
    rms = out[4 * dates]
    unit = np.where(np.isfinite(rms), rms, np.float32(noise))
    out[2 * dates : 3 * dates] = np.sqrt(out[2 * dates : 3 * dates]) * unit
    return out.reshape(-1, *shape)


def _named(layers: Any, like: xr.DataArray, network: Network) -> xr.Dataset:
    dates = len(network.times)
    dims = ("time", *like.dims[1:])
    coords = {name: coord for name, coord in like.coords.items() if "pair" not in coord.dims}
    down, right, spread, agreeing = (layers[k * dates : (k + 1) * dates] for k in range(4))
    few = (agreeing < _LEAST_AGREEING).astype(np.uint8) * np.uint8(FEW)
    flags = few | ((down != down).astype(np.uint8) * np.uint8(APART))
    pixel = {"units": "pixel"}
    variables: dict[str, Any] = {
        "dx": (dims, right, {"long_name": "motion along columns since the first date"} | pixel),
        "dy": (dims, down, {"long_name": "motion along rows since the first date"} | pixel),
        "std_dx": (dims, spread, {"long_name": "standard deviation of dx"} | pixel),
        "std_dy": (dims, spread, {"long_name": "standard deviation of dy"} | pixel),
        "n_agreeing": (dims, agreeing, {"long_name": "pairs of the date that agree", "units": "1"}),
        "flags": (dims, flags, {"flag_masks": [FEW, APART], "flag_meanings": "fewer_than_two_agree not_connected"}),
        "uncertain": (dims[1:], (flags != 0).any(axis=0).astype(np.uint8), {"long_name": "a date is flagged"}),
        "residual_rms": (dims[1:], layers[4 * dates], {"long_name": "what agreeing pairs leave"} | pixel),
        "n_pairs": (dims[1:], layers[4 * dates + 2], {"long_name": "pairs with a value", "units": "1"}),
    }
    return xr.Dataset(variables, {"time": network.times} | coords).assign_attrs(reference_date=str(network.times[0]))


def _metres(found: xr.Dataset, offsets: xr.Dataset) -> xr.Dataset:
    """Add the motion to the east and the north where the offsets tell the size of a pixel."""
    for name, source in _METRES:
        size = offsets[name].attrs.get("metres_per_pixel") if name in offsets else None
        if size is None:
            continue
        factor = np.float32(size)
        text = {
            "long_name": f"motion to the {name} since the first date",
            "units": "m",
            "metres_per_pixel": float(size),
        }
        found[name] = (found[source] * factor).assign_attrs(text)
        found[f"std_{name}"] = (found[f"std_{source}"] * abs(factor)).assign_attrs(units="m")
    return found
