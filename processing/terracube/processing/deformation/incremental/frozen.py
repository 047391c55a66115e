"""New dates of a kept series, with the past as it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing.deformation.inversion import invert_stack
from terracube.processing.deformation.inversion.weights import weight_table
from terracube.processing.deformation.network.network import network_of_stack
from terracube.processing.deformation.stack import COHERENCE, PHASE

_ABSOLUTE = ("variance", "fisher")


def solve_frozen(kept: xr.Dataset, new: xr.Dataset, facts: Mapping[str, Any]) -> tuple[xr.Dataset, int]:
    """Solve for the dates that a series does not have yet.

    All kept dates together are the ground: a pair from kept date i to new date n tells ``x_n = x_i + y``, a pair from n
    to a later kept date k ``x_n = x_k - y``; several of these for one date make one of their weighted mean. Deviations
    of kept dates have the noise of the reference date in common: they are taken to err together, and so add up through
    the same weights; the noise of the new pairs is added to that as a variance.

    Parameters
    ----------
    kept : Dataset
        ``displacement``, ``std_network`` (time, y, x), on pixels that hold those of the new pairs.
    new : Dataset
        New pairs, with the reference of the series.
    facts : mapping
        Attributes of the series: wavelength, looks, weights, robust.

    Returns
    -------
    Dataset
        ``displacement``, ``std_network`` of the new dates.
    int
        Number of pairs that were used.

    Raises
    ------
    InputError
        If there is no new date, or the weights cannot be made again.
    """
    network, _ = network_of_stack(new)
    old = np.isin(network.times, kept["time"].values)
    dates = network.times[~old]
    if not dates.size:
        raise InputError(
            "no date is new: with the past as it is, nothing changes", where="how", todo="how='resolve', with old pairs"
        )
    grounded = _grounded(kept, new, facts)
    stack = _stack_of(new, grounded, dates, facts)
    robust = bool(facts.get("robust", 0))
    solved = invert_stack(stack[[PHASE]], weights=stack["weights"], robust=robust).isel(time=slice(1, None))
    past = stack[["past"]].rename(past=PHASE)
    carried = invert_stack(past, weights=stack["weights"])["displacement"].isel(time=slice(1, None))
    # The scale of weights that are not one over variances is not known from so few pairs.
    known = 1.0 if facts.get("weights") in _ABSOLUTE else np.nan
    variance = solved["std_network"] ** 2 + carried**2
    deviation = (variance**0.5 * np.float32(known)).assign_attrs(solved["std_network"].attrs)
    found = xr.Dataset({"displacement": solved["displacement"], "std_network": deviation})
    return found, int((~old[network.pairs].all(axis=1)).sum())


def _grounded(kept: xr.Dataset, new: xr.Dataset, facts: Mapping[str, Any]) -> dict[tuple[int, int], xr.Dataset]:
    """Give phase, deviation of the past (both rad) and weight, by pair of new dates counted from 1; 0 is the ground."""
    network, order = network_of_stack(new)
    old = np.isin(network.times, kept["time"].values)
    number = np.where(old, 0, np.cumsum(~old))
    lists: dict[tuple[int, int], list[xr.Dataset]] = {}
    past = _past(kept, new)
    per_metre = -4 * math.pi / float(facts["wavelength"])
    for at, (one, other) in zip(order.tolist(), network.pairs.tolist(), strict=True):
        if old[one] and old[other]:
            continue
        phase = new[PHASE].isel(pair=at, drop=True).astype("float64")
        deviation = xr.zeros_like(phase)
        if old[one] or old[other]:
            held = past.sel(time=network.times[one if old[one] else other]).drop_vars("time") * per_metre
            phase = held["displacement"] + phase if old[one] else held["displacement"] - phase
            # Where it is not known it is not known later either.
            deviation = held["std_network"]
        weight = _weight(new, at, facts).where(phase.notnull(), 0.0)
        low, high = sorted((int(number[one]), int(number[other])))
        lists.setdefault((low, high), []).append(xr.Dataset({PHASE: phase, "past": deviation, "weights": weight}))
    return {ends: _mean(found) for ends, found in sorted(lists.items())}


def _past(kept: xr.Dataset, new: xr.Dataset) -> xr.Dataset:
    """Take the pixels of the new pairs out of the kept series; their coordinates are those of the same pixels."""
    rows, cols = (int(np.argmin(np.abs(kept[name].values - new[name].values[0]))) for name in ("y", "x"))
    cut = kept[["displacement", "std_network"]].isel(
        y=slice(rows, rows + new.sizes["y"]), x=slice(cols, cols + new.sizes["x"])
    )
    return cut.assign_coords(y=new["y"], x=new["x"])


def _weight(new: xr.Dataset, at: int, facts: Mapping[str, Any]) -> xr.DataArray:
    """Give the weights of a pair, as the series was solved with them."""
    told = facts.get("weights")
    if told == "none":
        return xr.ones_like(new[PHASE].isel(pair=at, drop=True), dtype="float64")
    if told == "given":
        raise InputError("the series was solved with given weights", where="weights", expected="weights by name")
    if COHERENCE not in new:
        raise InputError("the weights follow from the coherence", where=COHERENCE, expected="a layer of the new pairs")
    table = weight_table(str(told), facts.get("looks"))
    found: xr.DataArray = xr.apply_ufunc(
        _looked_up, new[COHERENCE].isel(pair=at, drop=True), kwargs={"table": table}, dask="parallelized",
        output_dtypes=["float64"],
    )  # fmt: skip
    return found


def _looked_up(coherence: NDArray[np.float32], table: NDArray[np.float32]) -> NDArray[np.float64]:
    missing = ~np.isfinite(coherence)
    place = np.rint(np.where(missing, 0.0, coherence).astype("float64") * (len(table) - 1)).astype("int64")
    return np.where(missing, 0.0, table[np.clip(place, 0, len(table) - 1)].astype("float64"))


def _mean(found: list[xr.Dataset]) -> xr.Dataset:
    """Make one pair of several between the same dates: their weighted mean, with the sum of their weights."""
    total = sum((each["weights"] for each in found[1:]), found[0]["weights"])
    means = {
        name: sum((_share(each, name) for each in found[1:]), _share(found[0], name)) / total.where(total > 0)
        for name in (PHASE, "past")
    }
    return xr.Dataset(means).assign(weights=total).astype("float32")


def _share(pair: xr.Dataset, name: str) -> xr.DataArray:
    return (pair[name] * pair["weights"]).where(pair["weights"] > 0, 0.0)


def _stack_of(
    new: xr.Dataset,
    grounded: Mapping[tuple[int, int], xr.Dataset],
    dates: NDArray[np.datetime64],
    facts: Mapping[str, Any],
) -> xr.Dataset:
    """Make a stack of the ground and the new dates."""
    times = np.concatenate([dates[:1] - np.timedelta64(1, "D"), dates])
    ends = np.array(list(grounded))
    stack = xr.concat(list(grounded.values()), dim="pair", coords="minimal", compat="override").assign_coords(
        reference_time=("pair", times[ends[:, 0]]), secondary_time=("pair", times[ends[:, 1]])
    )
    if stack.chunks:
        stack = stack.chunk({"pair": -1})
    placed = {name: new.coords[name] for name in ("y", "x", "spatial_ref") if name in new.coords}
    return stack.assign_coords(placed).assign_attrs(wavelength=float(facts["wavelength"]))
