"""What the network looks like in each pixel, where pairs are missing: parts, pairs, dates that hang on nothing."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.processing.deformation.network.network import Network, network_of_stack

_LAYERS = {
    "n_pairs": "pairs with a phase",
    "n_components": "parts into which the dates fall",
    "n_connected": "dates that are joined with the first one, itself included",
    "fewest_pairs": "pairs of the date that has the fewest",
}


def connectivity(stack: xr.Dataset) -> xr.Dataset:
    """Map how the pairs with a phase join the dates, pixel by pixel.

    Parameters
    ----------
    stack : Dataset
        As :func:`~terracube.processing.deformation.stack.to_stack` gives it; in memory or lazy, and so is the result.

    Returns
    -------
    xarray.Dataset
        (y, x), float32 whole numbers, never NaN: ``n_pairs``, pairs with a phase; ``n_components``, the parts into
        which the dates fall (1 = all joined); ``n_connected``, dates joined with the first one, itself included;
        ``fewest_pairs``, pairs of the date that has the fewest (0: a date without any; 1: nothing checks it).
    """
    network, order = network_of_stack(stack)
    phase = stack["unwrapped_phase"].isel(pair=order)
    if phase.chunks is not None:
        phase = phase.chunk({"pair": -1})
    found = xr.apply_ufunc(
        partial(_count, pairs=network.pairs, dates=len(network.times)),
        phase,
        input_core_dims=[["pair"]],
        output_core_dims=[["layer"]],
        dask="parallelized",
        output_dtypes=["float32"],
        dask_gufunc_kwargs={"output_sizes": {"layer": len(_LAYERS)}},
    )
    told: dict[str, Any] = {
        name: found.isel(layer=number).assign_attrs(long_name=text, units="1")
        for number, (name, text) in enumerate(_LAYERS.items())
    }
    return xr.Dataset(told)


def _count(phase: NDArray[np.float32], pairs: NDArray[np.int32], dates: int) -> NDArray[np.float32]:
    """Count for pixels (..., pair); gives (..., layer)."""
    valid = np.ascontiguousarray(np.moveaxis(np.isfinite(phase), -1, 0))
    shape = valid.shape[1:]
    valid = valid.reshape(len(pairs), -1)
    parts = _parts(valid, pairs, dates)
    degree = np.zeros((dates, valid.shape[1]), "int32")
    for number, (one, other) in enumerate(pairs):
        degree[one] += valid[number]
        degree[other] += valid[number]
    heads = parts == np.arange(dates, dtype=parts.dtype)[:, None]
    layers = [valid.sum(axis=0), heads.sum(axis=0), (parts == 0).sum(axis=0), degree.min(axis=0)]
    return np.stack(layers, axis=-1).astype("float32").reshape(*shape, len(layers))


def _parts(valid: NDArray[np.bool_], pairs: NDArray[np.int32], dates: int) -> NDArray[np.int16]:
    """Give each date the first date of its part, (date, pixel)."""
    found = np.repeat(np.arange(dates, dtype="int16")[:, None], valid.shape[1], axis=1)
    turn = list(enumerate(pairs.tolist()))
    changed = True
    while changed:
        before = found.copy()
        for number, (one, other) in turn:
            least = np.minimum(found[one], found[other])
            np.copyto(found[one], least, where=valid[number])
            np.copyto(found[other], least, where=valid[number])
        turn.reverse()  # what a sweep forwards leaves, one backwards mostly settles
        changed = bool((before != found).any())
    return found


def coverage(stack: xr.Dataset) -> xr.Dataset:
    """Count the pixels that have a phase, by pair and by date.

    Returns
    -------
    xarray.Dataset
        ``valid_pixels`` (pair) and ``best_pair`` (time): the valid pixels of the best pair of each date, 0 for a date
        without any valid pixel, whose motion nothing tells. Lazy if the stack is.
    """
    network, order = network_of_stack(stack)
    counts = stack["unwrapped_phase"].notnull().sum(("y", "x"))
    of_dates = [
        counts.isel(pair=order[(network.pairs == date).any(axis=1)]).max("pair").drop_vars("pair", errors="ignore")
        for date in range(len(network.times))
    ]
    best = xr.concat(of_dates, dim="time", coords="minimal", compat="override")
    return xr.Dataset({"valid_pixels": counts, "best_pair": best}).assign_coords(time=network.times)


def dates_without_pixels(stack: xr.Dataset) -> list[np.datetime64]:
    """List the dates that have no valid pixel in any pair; a lazy stack is read for this."""
    found = coverage(stack)[["best_pair"]].compute()
    return list(found["time"].values[found["best_pair"].values == 0])


def undetermined(network: Network) -> list[np.datetime64]:
    """List the dates that the network does not join with the first one."""
    return list(network.times[network.components() != 0])
