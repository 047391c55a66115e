"""Averages of spectra over the responses of bands."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terracube.core.errors import InputError

# A band is averaged where the spectrum holds nearly all of its response; else the average would be of another band.
_COVERED = 0.98


@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """Relative spectral response of one band."""

    wavelength: NDArray[np.float64]
    """nm, ascending."""
    value: NDArray[np.float64]
    """Relative response, 1 at the maximum, without unit."""

    @property
    def mean(self) -> float:
        """Mean wavelength, weighted by the response, nm."""
        return float((self.wavelength * self.value).sum() / self.value.sum())

    @property
    def width(self) -> float:
        """Full width at half of the maximum, nm."""
        above = np.flatnonzero(self.value >= 0.5)
        first, last = int(above[0]), int(above[-1])
        low = _crossing(self, first - 1, first) if first > 0 else float(self.wavelength[0])
        high = _crossing(self, last + 1, last) if last + 1 < self.value.size else float(self.wavelength[-1])
        return high - low


def response_of(sensor: str, role: str) -> Response:
    """Give the spectral response of one band.

    Parameters
    ----------
    sensor, role : str
        Name of the sensor, and role of its band.

    Raises
    ------
    InputError
        There is no such sensor, or it has no such band.

    Examples
    --------
    >>> response_of("L8_OLI", "red").value.max()
    np.float64(1.0)
    """
    known = responses_of(sensor)
    if role not in known:
        raise InputError("the sensor has no such band", where=sensor, expected=", ".join(known), got=role)
    return known[role]


@cache
def responses_of(sensor: str) -> Mapping[str, Response]:
    """Give the responses of all bands of a sensor by role; InputError for a sensor without a table."""
    folder = resources.files(__package__).joinpath("responses")
    # Compared with what is there, so that a name from outside never becomes part of a path.
    files = {one.name.removesuffix(".csv"): one for one in folder.iterdir() if one.name.endswith(".csv")}
    if sensor not in files:
        raise InputError("no such sensor", where="sensor", expected=", ".join(sorted(files)), got=sensor)
    found: dict[str, list[tuple[float, float]]] = {}
    text = files[sensor].read_text(encoding="utf-8")
    for row in csv.DictReader(line for line in text.splitlines() if not line.startswith("#")):
        found.setdefault(row["role"], []).append((float(row["wavelength"]), float(row["response"])))
    return MappingProxyType({role: _response(points) for role, points in found.items()})


def band_average(sensor: str, role: str, wavelength: ArrayLike, spectrum: ArrayLike) -> Any:
    """Average a spectrum over the response of a band: ``int S R dl / int R dl``.

    Parameters
    ----------
    sensor, role : str
        Name of the sensor, and role of its band.
    wavelength : array_like, shape (w,)
        Wavelengths of the spectrum, nm, ascending.
    spectrum : array_like, shape (..., w)
        Values at these wavelengths, taken as straight lines in between. NaN is missing.

    Returns
    -------
    ndarray of float64, shape (...)
        Averages in the unit of the spectrum. NaN where a needed value is missing, or where the wavelengths hold
        less than 98 % of the response.

    Raises
    ------
    InputError
        No such sensor or band; wavelengths that do not ascend or do not fit the spectrum.

    Examples
    --------
    >>> float(band_average("S2A_MSI", "green", [500, 600], [0.02, 0.02]).round(6))
    0.02
    """
    return averaged(response_of(sensor, role), wavelength, spectrum)


def simulate_bands(sensor: str, wavelength: ArrayLike, spectra: ArrayLike) -> dict[str, NDArray[np.float64]]:
    """Average spectra over every band of a sensor.

    Parameters
    ----------
    sensor : str
        Name of the sensor.
    wavelength : array_like, shape (w,)
        Wavelengths of the spectra, nm, ascending.
    spectra : array_like, shape (n, w)
        One spectrum per row. NaN is missing.

    Returns
    -------
    dict of str to ndarray of float64, shape (n,)
        Averages by role, in order of the table; bands that the wavelengths do not hold are NaN.

    Raises
    ------
    InputError
        As `band_average`.
    """
    return {role: averaged(response, wavelength, spectra) for role, response in responses_of(sensor).items()}


def averaged(response: Response, wavelength: ArrayLike, spectrum: ArrayLike) -> Any:
    """Average a spectrum over one response; as `band_average`."""
    at = np.asarray(wavelength, np.float64)
    values = np.asarray(spectrum, np.float64)
    _check(at, values)
    inside = (response.wavelength >= at[0]) & (response.wavelength <= at[-1])
    if response.value[inside].sum() < _COVERED * response.value.sum():
        return np.full(values.shape[:-1], np.nan)
    weights = _weights(response, at)
    needed = weights > 0
    return values[..., needed] @ (weights[needed] / weights.sum())


def _weights(response: Response, at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weight of each sample of a spectrum: the integral of its hat function times the response."""
    low, high = max(response.wavelength[0], at[0]), min(response.wavelength[-1], at[-1])
    nodes = np.union1d(response.wavelength, at)
    nodes = nodes[(nodes >= low) & (nodes <= high)]
    near = np.interp(nodes, response.wavelength, response.value)
    # Trapezoids over the nodes: half of the steps to either side.
    steps = np.diff(nodes, prepend=nodes[0], append=nodes[-1])
    mass = near * 0.5 * (steps[:-1] + steps[1:])
    place = np.clip(np.searchsorted(at, nodes, side="right") - 1, 0, at.size - 2)
    share = (nodes - at[place]) / (at[place + 1] - at[place])
    weights = np.bincount(place, mass * (1 - share), minlength=at.size)
    weights += np.bincount(place + 1, mass * share, minlength=at.size)
    return weights


def _check(at: NDArray[np.float64], values: NDArray[np.float64]) -> None:
    if at.ndim != 1 or at.size < 2 or not (np.diff(at) > 0).all():
        raise InputError("wavelengths do not ascend", where="wavelength", expected="two or more, ascending, in nm")
    if values.ndim == 0 or values.shape[-1] != at.size:
        raise InputError(
            "the spectrum does not fit its wavelengths",
            where="spectrum",
            expected=f"{at.size} values along the last axis",
            got=f"shape {values.shape}",
        )


def _response(points: list[tuple[float, float]]) -> Response:
    wavelength, value = (np.array(column, np.float64) for column in zip(*points, strict=True))
    wavelength.flags.writeable = value.flags.writeable = False
    return Response(wavelength, value)


def _crossing(response: Response, below: int, above: int) -> float:
    """Wavelength at which the response crosses a half between two neighbours."""
    share = (0.5 - response.value[below]) / (response.value[above] - response.value[below])
    return float(response.wavelength[below] + share * (response.wavelength[above] - response.wavelength[below]))
