"""Tables of the mean spectra of optical water types.

Numbers of types belong to one table: two clusterings of the same data number their types differently. The 13 inland
types of Spyrakos et al. are not the first 13 of the 21 of inland and marine waters together: every inland type has a
near twin there (0.4 to 4.2 degrees), and none under its own number (8 to 64 degrees apart).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.processing.water.sensors import simulate_bands


@dataclass(frozen=True, slots=True, eq=False)
class WaterTypes:
    """A classification: one mean spectrum per type, and what is known of their spread."""

    name: str
    title: str
    source: str
    """Paper with DOI."""
    wavelength: NDArray[np.float64]
    """nm, ascending."""
    centroids: NDArray[np.float64]
    """Mean spectra, shape (types, wavelengths); their unit is that of the table, what is compared is told there."""
    spread: NDArray[np.float64] | None
    """Standard deviations around the means, same shape and unit; None where they are not public."""
    labels: Mapping[int, str]
    """What each type is, by its number, from 1."""


@dataclass(frozen=True, slots=True)
class _Entry:
    title: str
    source: str
    labels: tuple[str, ...] = ()
    spread: bool = False


_INLAND = (
    "hypereutrophic with scum",
    "common waters",
    "clear",
    "turbid with organic matter",
    "laden with sediment",
    "balanced constituents",
    "very productive with cyanobacteria",
    "productive with cyanobacteria",
    "common waters brighter in the blue",
    "rich in dissolved matter",
    "rich in dissolved matter with cyanobacteria",
    "turbid and moderately productive",
    "very clear and blue",
)
_SPYRAKOS = "Spyrakos et al. 2018, doi:10.1002/lno.10674"
_ENTRIES = {
    "spyrakos18": _Entry("13 types of inland waters, standardised reflectance, 1e-5 nm-1", _SPYRAKOS, _INLAND),
    "spyrakos18-all": _Entry("21 types of inland and marine waters, standardised reflectance, 1e-5 nm-1", _SPYRAKOS),
    "jackson17": _Entry(
        "14 types of ocean and shelf waters, Rrs, sr-1",
        "Jackson et al. 2017, doi:10.1016/j.rse.2017.03.036",
        spread=True,
    ),
    "bi21": _Entry(
        "14 types of inland waters, reflectance of unit area from 400 to 885 nm, nm-1",
        "Bi et al. 2021, as kept in the R package FCMm",
    ),
}


def water_type_names() -> tuple[str, ...]:
    """List the classifications."""
    return tuple(_ENTRIES)


@cache
def load_water_types(name: str) -> WaterTypes:
    """Read a classification.

    Parameters
    ----------
    name : str
        One of :func:`water_type_names`.

    Raises
    ------
    InputError
        There is no such classification.

    Examples
    --------
    >>> load_water_types("spyrakos18").centroids.shape
    (13, 81)
    """
    if name not in _ENTRIES:
        raise InputError("unknown water types", expected=", ".join(_ENTRIES), got=repr(name)[:80])
    entry = _ENTRIES[name]
    wavelength, centroids = _read(name)
    spread = _read(f"{name}-spread")[1] if entry.spread else None
    labels = entry.labels or tuple(f"type {number}" for number in range(1, len(centroids) + 1))
    return WaterTypes(name, entry.title, entry.source, wavelength, centroids, spread, dict(enumerate(labels, start=1)))


def sensor_centroids(name: str, sensor: str, roles: Sequence[str]) -> NDArray[np.float64]:
    """Average the spectra of a classification over bands of a sensor.

    Parameters
    ----------
    name : str
        A classification whose spectra are tabulated finely: ``spyrakos18`` or ``spyrakos18-all``.
    sensor : str
        Name of the sensor.
    roles : sequence of str
        Bands of the sensor that lie within the table (400 to 800 nm).

    Returns
    -------
    ndarray, shape (types, roles)
        In the unit of the table.

    Raises
    ------
    InputError
        A band reaches beyond the table, or there is no such classification or sensor.

    Examples
    --------
    >>> sensor_centroids("spyrakos18", "S2A_MSI", ["blue", "green"]).shape
    (13, 2)
    """
    table = load_water_types(name)
    seen = simulate_bands(sensor, table.wavelength, table.centroids)
    wrong = [role for role in roles if role not in seen or not np.isfinite(seen[role]).all()]
    if wrong:
        raise InputError(
            "water types are not tabulated for these bands",
            where=name,
            expected=f"bands of {sensor} from {table.wavelength[0]:g} to {table.wavelength[-1]:g} nm",
            got=", ".join(wrong),
        )
    return np.stack([seen[role] for role in roles], axis=1)


def _read(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    text = resources.files(__package__).joinpath(f"{name}.csv").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line[:1].isdigit()]
    table = np.array([[float(value) for value in line.split(",")] for line in lines])
    table.flags.writeable = False
    return table[:, 0], table[:, 1:].T
