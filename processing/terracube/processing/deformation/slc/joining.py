"""Put interferograms of several pairs together as a stack, as all steps after them take it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from terracube.core.errors import InputError, MetadataError
from terracube.processing.deformation.slc._arrays import check_alike

_ALIKE = ("wavelength", "looks", "phase_sign")
_DATES = ("reference_time", "secondary_time")


def join_pairs(pairs: Sequence[xr.Dataset]) -> xr.Dataset:
    """Join interferograms (y, x) of the same pixels along a new dimension ``pair``.

    Parameters
    ----------
    pairs : sequence of Dataset
        Each with the same variables (y, x) and the scalar coordinates ``reference_time`` and ``secondary_time``, as
        :func:`interferogram` makes them of dated images, in any order. May be lazy.

    Returns
    -------
    Dataset
        Ordered by reference and secondary date, with the coordinate ``pair`` ("20180106_20180130"). Attributes that
        are not the same for all pairs are left out.

    Raises
    ------
    InputError
        If there is no pair, one comes twice, or variables or pixels differ.
    MetadataError
        If dates are missing, or wavelengths, looks or signs differ.

    Examples
    --------
    >>> image = xr.DataArray(np.ones((2, 2), complex), dims=("y", "x"))
    >>> dates = [np.datetime64(day, "ns") for day in ("2018-01-06", "2018-01-30")]
    >>> from terracube.processing.deformation.slc import interferogram
    >>> join_pairs([interferogram(*(image.assign_coords(time=date) for date in dates))])["pair"].values.tolist()
    ['20180106_20180130']
    """
    if not pairs:
        raise InputError("there is no pair", where="pairs", expected="at least one")
    ordered = sorted(pairs, key=_dates)
    names = ["_".join(pd.Timestamp(date).strftime("%Y%m%d") for date in _dates(pair)) for pair in ordered]
    for before, after, name in zip(ordered, ordered[1:], names[1:], strict=False):
        if _dates(before) == _dates(after):
            raise InputError("a pair comes twice", where=name)
    _check(ordered, names)
    plain = [pair.drop_vars(_DATES) for pair in ordered]
    joined = xr.concat(
        plain, dim="pair", data_vars="all", coords="minimal", compat="override", join="override",
        combine_attrs="drop_conflicts",
    )  # fmt: skip
    dates = np.array([_dates(pair) for pair in ordered], "datetime64[ns]")
    told = {name: ("pair", dates[:, number]) for number, name in enumerate(_DATES)}
    return joined.assign_coords({"pair": names, **told})


def _dates(pair: xr.Dataset) -> tuple[Any, ...]:
    missing = [name for name in _DATES if name not in pair.coords or pair.coords[name].ndim]
    if missing:
        raise MetadataError(
            "an interferogram has no dates", where=", ".join(missing), todo="give the images the coordinate time"
        )
    return tuple(pair.coords[name].values.astype("datetime64[ns]") for name in _DATES)


def _check(pairs: Sequence[xr.Dataset], names: Sequence[str]) -> None:
    first = pairs[0]
    for pair, name in zip(pairs, names, strict=True):
        if set(pair.data_vars) != set(first.data_vars):
            raise InputError("other variables", where=name, expected=_told(first), got=_told(pair))
        some = str(next(iter(first.data_vars)))
        check_alike({names[0]: first[some], name: pair[some]})
        for fact in _ALIKE:
            if pair.attrs.get(fact) != first.attrs.get(fact):
                raise MetadataError(
                    f"pairs of another {fact} do not go together",
                    where=name,
                    expected=repr(first.attrs.get(fact)),
                    got=repr(pair.attrs.get(fact)),
                )


def _told(pair: xr.Dataset) -> str:
    return ", ".join(sorted(map(str, pair.data_vars)))
