"""Weights that a caller gives: of these pairs and these pixels, or refused."""

from __future__ import annotations

import numpy as np
import xarray as xr

from terracube.core.errors import InputError

_DIMS = ("pair", "y", "x")


def given_weights(stack: xr.Dataset, weights: xr.DataArray) -> xr.DataArray:
    """Give weights as they belong to the phases of a stack, place by place.

    Parameters
    ----------
    stack : Dataset
        With ``unwrapped_phase`` (pair, y, x).
    weights : DataArray (pair, y, x)
        Of the same sizes; what both tell of pairs, rows and columns must agree.

    Returns
    -------
    DataArray (pair, y, x)
        Without coordinates.

    Raises
    ------
    InputError
        If sizes, dates, names of pairs or coordinates differ.
    """
    phase = stack["unwrapped_phase"]
    if weights.sizes != phase.sizes:
        raise InputError(
            "weights are not on the pixels of the stack",
            where="weights",
            expected=str(dict(phase.sizes)),
            got=str(dict(weights.sizes)),
        )
    for name in ("reference_time", "secondary_time", *_DIMS):
        if name not in weights.coords or name not in phase.coords:
            continue
        told, wanted = weights[name].values, phase[name].values
        if not np.array_equal(told, wanted):
            raise InputError(
                "weights are of other pairs or pixels, or in another order",
                where=f"weights, {name}",
                expected=f"{wanted[:3]} ..."[:200],
                got=f"{told[:3]} ..."[:200],
                todo="select from them what the stack has, in its order",
            )
    return weights.transpose(*_DIMS).drop_vars(list(weights.coords))
