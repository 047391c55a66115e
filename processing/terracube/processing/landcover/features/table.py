"""Features of labelled series: the same computation as for a map, laid out as learners take it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing.landcover.features.evaluate import compute
from terracube.processing.landcover.features.spec import FeatureSpec
from terracube.processing.landcover.samples.series import Series


@dataclass(frozen=True, eq=False, slots=True)
class FeatureTable:
    """Features of n samples."""

    values: NDArray[np.float32]
    """(n, F), C-contiguous; NaN where a feature cannot be known."""
    names: tuple[str, ...]
    """Of the F features, in order."""
    count: NDArray[np.uint16]
    """(n,) clear dates."""


def feature_table(
    series: Series | NDArray[np.float32],
    spec: FeatureSpec,
    *,
    days: NDArray[np.float64] | None = None,
    static: Mapping[str, NDArray[np.float32]] | None = None,
) -> FeatureTable:
    """Make the features of samples, to the bit those of the same pixels on a map.

    Parameters
    ----------
    series : Series, or float32 array (n, T, B)
        Labelled series, whose bands are found by name and whose days and static values are taken; or plain values of
        the description's bands in their order.
    spec : FeatureSpec
    days : (T,)
        Days since the season's start; needed for, and only allowed with, a plain array.
    static : mapping of names to (n,)
        Terrain of the samples; added to that of the series.

    Returns
    -------
    FeatureTable

    Raises
    ------
    InputError
        If the series lack a band, or shapes do not fit.

    Examples
    --------
    >>> spec = FeatureSpec(bands=("red",), series=("red",), season={"step": 10, "count": 2})
    >>> feature_table(np.float32([[[1], [2]], [[3], [5]]]), spec, days=np.array([0.0, 20])).values.tolist()
    [[1.0, 1.5], [3.0, 4.0]]
    """
    known = dict(static or {})
    if isinstance(series, Series):
        if days is not None:
            raise InputError("the series bring their days", where="days", todo="leave them out")
        chosen = series.select(spec.bands)
        values, days, known = chosen.series, chosen.days, {**dict(chosen.static), **known}
    elif days is None:
        raise InputError("the days of the series are missing", where="days", expected="days since the season's start")
    elif series.ndim != 3:
        raise InputError("the series have another shape", expected="(samples, dates, bands)", got=str(series.shape))
    else:
        values = np.ascontiguousarray(series.transpose(1, 2, 0), np.float32)
    found = compute(values, np.asarray(days, np.float64), spec, known)
    return FeatureTable(np.ascontiguousarray(found.values.T), spec.names(), found.count)
