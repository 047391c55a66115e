"""Trophic state of lakes: Carlson's index from what was measured or retrieved, and its classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

CLASSES: dict[int, str] = {0: "oligotrophic", 1: "mesotrophic", 2: "eutrophic", 3: "hypereutrophic"}
"""Classes of :func:`trophic_class`, divided at 40, 50 and 70."""

LIMITS = (40.0, 50.0, 70.0)
"""Index at which the next class begins."""

CHLOROPHYLL, SECCHI, PHOSPHORUS, NITROGEN = (30.6, 9.81), (60.0, -14.41), (4.15, 14.42), (54.45, 14.43)
"""Index at a value of one, and its change with the natural logarithm of the value."""


def tsi_chlorophyll(chlorophyll: Any) -> Any:
    """Trophic state index from chlorophyll a.

    Parameters
    ----------
    chlorophyll : float, array or DataArray
        mg m-3 (ug/L) in summer near the surface. Zero and less has no index.

    Returns
    -------
    Same kind
        Index, 0 to 100 in most lakes; NaN where there is no value.

    References
    ----------
    Carlson (1977), Limnology and Oceanography 22, 361-369, doi:10.4319/lo.1977.22.2.0361.

    Examples
    --------
    >>> round(float(tsi_chlorophyll(7.3)), 1)
    50.1
    """
    return _index(chlorophyll, CHLOROPHYLL)


def tsi_secchi(depth: Any) -> Any:
    """Trophic state index from the Secchi depth, m; see :func:`tsi_chlorophyll`.

    Water that is turbid by sediment or brown by dissolved matter gets too high an index.

    Examples
    --------
    >>> float(tsi_secchi(1.0))
    60.0
    """
    return _index(depth, SECCHI)


def tsi_phosphorus(phosphorus: Any) -> Any:
    """Trophic state index from total phosphorus, **ug/L** as P; see :func:`tsi_chlorophyll`.

    Examples
    --------
    >>> round(float(tsi_phosphorus(24.0)), 1)
    50.0
    """
    return _index(phosphorus, PHOSPHORUS)


def tsi_nitrogen(nitrogen: Any) -> Any:
    """Trophic state index from total nitrogen, **mg/L** as N; see :func:`tsi_chlorophyll`.

    For lakes that lack nitrogen more than phosphorus.

    References
    ----------
    Kratzer and Brezonik (1981), Water Resources Bulletin 17, 713-715, doi:10.1111/j.1752-1688.1981.tb01282.x; numbers
    as in general use, paper not read.

    Examples
    --------
    >>> float(tsi_nitrogen(1.0))
    54.45
    """
    return _index(nitrogen, NITROGEN)


def trophic_class(index: Any) -> Any:
    """Class of a trophic state index: see :data:`CLASSES`.

    Parameters
    ----------
    index : float, array or DataArray
        Trophic state index.

    Returns
    -------
    Same kind, float
        0 below 40, 1 below 50, 2 up to 70, 3 above; NaN where there is no index.

    Examples
    --------
    >>> trophic_class(np.array([12.0, 40.0, 70.0, 70.1, np.nan])).tolist()
    [0.0, 1.0, 2.0, 3.0, nan]
    """
    found = (index >= LIMITS[0]) * 1.0 + (index >= LIMITS[1]) * 1.0 + (index > LIMITS[2]) * 1.0
    return _where(index == index, found)


def _index(value: Any, line: tuple[float, float]) -> Any:
    """Straight line in the logarithm; what is zero or less is missing before the logarithm could warn of it."""
    held = value if isinstance(value, xr.DataArray) else np.asarray(value, dtype=np.float64)
    return line[0] + line[1] * np.log(_where(held > 0, held))


def _where(good: Any, value: Any) -> Any:
    return value.where(good) if isinstance(value, xr.DataArray) else np.where(good, value, np.nan)
