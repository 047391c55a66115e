"""Optical water types: which class of published mean spectra a spectrum is nearest to, and how surely.

Each classification has its own distance, and its membership says how far it may be trusted:

* ``owt_spyrakos`` (13 inland types, Spyrakos et al. 2018, doi:10.1002/lno.10674): spectral angle over the bands of
  the sensor from 443 to 783 nm. ``_score`` is its cosine, 1 for the same shape; ``_membership`` that of fuzzy c-means
  (Bezdek 1981) on the squared chord of the angle, as no spread of the types is public.
* ``owt_spyrakos_all``: the same with the 21 types of inland and marine waters together, with numbers of their own.
* ``owt_jackson17`` (14 types of the ocean, Jackson et al. 2017, doi:10.1016/j.rse.2017.03.036): Mahalanobis distance
  with the standard deviations of the types; covariances between bands are taken as none, and so classes and
  memberships are not those of the Ocean Colour Climate Change Initiative, which uses them. The membership is the
  probability of a larger distance (Moore et al. 2001, doi:10.1109/36.942555), near zero where no type fits.
* ``owt_bi21`` (14 inland types, Bi et al. 2021, IEEE Transactions on Geoscience and Remote Sensing): Euclidean distance
  of spectra of unit area, membership of fuzzy c-means with the fuzzifier 1.5 of its authors' software.

A spectrum of which one of these bands is missing has no type.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from terracube.processing.formula import Value, exp, isfinite, maximum, minimum, sqrt, where
from terracube.processing.water.owt import load_water_types, sensor_centroids
from terracube.processing.water.retrievals.base import Bands, Key, Retrieval, Retrieved, register_retrieval

_ANGLE_NEEDS: tuple[Key, ...] = ("blue", "green", "red")
_ANGLE_ALSO: tuple[Key, ...] = ("coastal", 510, 620, 681, "rededge1", "rededge2", "rededge3")
_OCEAN: tuple[Key, ...] = (412, "coastal", "blue", 510, "green", "red")
_VISIBLE: dict[Key, float] = {412: 413, "coastal": 443, "blue": 490, 510: 510, "green": 560, 620: 620, "red": 665}
_EDGE: dict[Key, float] = {681: 681, "rededge1": 709, "rededge2": 754, "rededge3": 779, "nir08": 865, 885: 885}
_INLAND = _VISIBLE | _EDGE
_INLAND_ALSO: dict[Key, float] = {"oa01": 400, "oa09": 674}
# Below, two spectra are the same for 32-bit numbers: squared chord of directions, squared distance in nm-2.
_SAME_DIRECTION, _SAME_SHAPE = 1e-6, 1e-12

type Distances = tuple[list[Any], Value]
"""A squared distance to each type, and a value that is finite where they are."""

# Our own choice: 37 degrees from the nearest type, three times as far as types are from each other.
_LEAST_COSINE = 0.8


def _sum(terms: Sequence[Any]) -> Any:
    return reduce(add, terms)


def _nearest(distances: Sequence[Any]) -> tuple[Any, Any]:
    """Give the number of the nearest type, from 1, and its distance; the first one of equals."""
    number: Any = 1.0
    least = distances[0]
    for other, distance in enumerate(distances[1:], start=2):
        number = where(distance < least, float(other), number)
        least = minimum(least, distance)
    return number, least


def _fuzzy(distances: Sequence[Any], fuzzifier: float, same: float) -> Any:
    """Compute the fuzzy c-means membership of the nearest type, 1/n to 1, from squared distances."""
    held = [maximum(distance, same) for distance in distances]
    least = reduce(minimum, held)
    return 1.0 / _sum([(least / distance) ** (1 / (fuzzifier - 1)) for distance in held])


def _angle_keys(bands: Bands) -> list[Key]:
    return [*(key for key in _ANGLE_ALSO if key in bands), *_ANGLE_NEEDS]


def _cosines(bands: Bands, table: str) -> list[Any]:
    """Compute the cosine of the angle to each type, over all bands there are."""
    keys = _angle_keys(bands)
    centroids = sensor_centroids(table, bands.sensor.name, [bands.optics(key).role for key in keys])
    unit = centroids / np.linalg.norm(centroids, axis=1, keepdims=True)
    seen = [bands[key] for key in keys]
    length = sqrt(_sum([one * one for one in seen]))
    return [_sum([float(part) * one for part, one in zip(row, seen, strict=True)]) / length for row in unit]


def _chords(table: str) -> Callable[[Bands], Distances]:
    def distances(bands: Bands) -> Distances:
        chords = [2 - 2 * one for one in _cosines(bands, table)]
        # A spectrum that is like none of them, or almost all below zero, has no type.
        return chords, where(reduce(minimum, chords) <= 2 - 2 * _LEAST_COSINE, chords[0], math.nan)

    return distances


def _mahalanobis(bands: Bands) -> Distances:
    table = load_water_types("jackson17")
    seen = [bands[key] for key in _OCEAN]
    spread = np.ones_like(table.centroids) if table.spread is None else table.spread
    squares = [
        _sum([((one - float(c)) / float(s)) ** 2 for one, c, s in zip(seen, means, sigmas, strict=True)])
        for means, sigmas in zip(table.centroids, spread, strict=True)
    ]
    return squares, squares[0]


def _unit_area(bands: Bands) -> Distances:
    """Compute the squared distance to each type over the bands there are, all spectra scaled to the area 1."""
    known = _INLAND | {key: nm for key, nm in _INLAND_ALSO.items() if key in bands}
    at = dict(sorted(known.items(), key=lambda one: one[1]))
    nm = np.array(list(at.values()))
    weights = 0.5 * (np.diff(nm, prepend=nm[0]) + np.diff(nm, append=nm[-1]))
    table = load_water_types("bi21")
    means = table.centroids[:, np.isin(table.wavelength, nm)]
    means = means / (means @ weights)[:, None]
    seen = [bands[key] for key in at]
    area = _sum([one * float(weight) for one, weight in zip(seen, weights, strict=True)])
    shape = [one / area for one in seen]
    squares = [_sum([(one - float(c)) ** 2 for one, c in zip(shape, row, strict=True)]) for row in means]
    return squares, where(area > 0, squares[0], math.nan)


def _class(distances: Callable[[Bands], Distances]) -> Callable[[Bands, Mapping[str, Any]], Retrieved]:
    def formula(bands: Bands, _: Mapping[str, Any]) -> Retrieved:
        squares, sound = distances(bands)
        return Retrieved(_nearest(squares)[0], outside=~isfinite(sound))

    return formula


def _membership(
    distances: Callable[[Bands], Distances], same: float
) -> Callable[[Bands, Mapping[str, Any]], Retrieved]:
    def formula(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
        squares, sound = distances(bands)
        return Retrieved(_fuzzy(squares, known["fuzzifier"], same), outside=~isfinite(sound))

    return formula


def _score(table: str) -> Callable[[Bands, Mapping[str, Any]], Retrieved]:
    def formula(bands: Bands, _: Mapping[str, Any]) -> Retrieved:
        return Retrieved(reduce(maximum, _cosines(bands, table)))

    return formula


def _probability(bands: Bands, _: Mapping[str, Any]) -> Retrieved:
    """Chance of a distance larger than that of the nearest type: chi-square of six degrees of freedom, closed form."""
    half = 0.5 * _nearest(_mahalanobis(bands)[0])[1]
    return Retrieved(exp(-1.0 * half) * (1 + half + 0.5 * half * half))


def _register(name: str, title: str, formula: Any, **more: Any) -> None:
    settings: dict[str, Any] = {"quantity": "ratio", "unit": "1", "signed": True} | more
    register_retrieval(Retrieval(name=name, title=title, formula=formula, **settings))


def _register_angle(name: str, table: str, title: str) -> None:
    common = {"needs": _ANGLE_NEEDS, "also": _ANGLE_ALSO, "coefficients": "owt_angle"}
    chords = _chords(table)
    _register(name, title, _class(chords), classes=load_water_types(table).labels, **common)
    _register(f"{name}_score", f"{title}: cosine of the spectral angle to the nearest", _score(table), **common)
    _register(
        f"{name}_membership",
        f"{title}: fuzzy membership of the nearest",
        _membership(chords, _SAME_DIRECTION),
        **common,
    )


def _register_ocean() -> None:
    common = {"needs": _OCEAN, "coefficients": "owt_jackson17", "quantity": "rrs"}
    title = "Optical water type of Jackson et al. 2017"
    labels = load_water_types("jackson17").labels
    _register("owt_jackson17", title, _class(_mahalanobis), classes=labels, **common)
    _register("owt_jackson17_membership", f"{title}: membership of the nearest", _probability, **common)


def _register_inland() -> None:
    common = {"needs": tuple(_INLAND), "also": tuple(_INLAND_ALSO), "coefficients": "owt_bi21"}
    title = "Optical water type of Bi et al. 2021"
    _register("owt_bi21", title, _class(_unit_area), classes=load_water_types("bi21").labels, **common)
    formula = _membership(_unit_area, _SAME_SHAPE)
    _register("owt_bi21_membership", f"{title}: fuzzy membership of the nearest", formula, **common)


_register_angle("owt_spyrakos", "spyrakos18", "Optical water type of Spyrakos et al. 2018, inland waters")
_register_angle("owt_spyrakos_all", "spyrakos18-all", "Optical water type, 21 types of inland and marine waters")
_register_ocean()
_register_inland()
