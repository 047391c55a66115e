"""Water indices: a table of ratios and weighted sums of bands, with their published thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from terracube.core.errors import InputError

FLOOR = 0.0001
"""Reflectance below counts as this in a ratio, which has no meaning where a band is negative."""


@dataclass(frozen=True, slots=True)
class WaterIndex:
    """An index that is greater over water."""

    name: str
    title: str
    bands: tuple[str, ...]
    """Roles of the bands it needs, in the order of ``weights``."""
    weights: tuple[float, ...]
    """Of a sum; empty for a ratio of the first band and the second."""
    constant: float
    threshold: float
    """As published: what is above is water."""
    window: tuple[float, float]
    """Where a threshold of the scene is looked for."""
    range: tuple[float, float]
    """Of the histogram."""
    source: str

    @np.errstate(invalid="ignore", over="ignore")
    def values(self, bands: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Compute the index; NaN where a band is.

        Examples
        --------
        >>> water_index("mndwi").values({"green": np.array([0.06, -0.1]), "swir16": np.array([0.02, 0.1])}).round(3)
        array([ 0.5  , -0.998])
        """
        if self.weights:
            found = np.full(bands[self.bands[0]].shape, self.constant, bands[self.bands[0]].dtype)
            for weight, name in zip(self.weights, self.bands, strict=True):
                found += weight * bands[name]
            return found
        first, second = (np.maximum(bands[name], FLOOR) for name in self.bands)
        ratio: NDArray[Any] = (first - second) / (first + second)
        return ratio


@lru_cache(maxsize=1)
def water_indices() -> Mapping[str, WaterIndex]:
    """Give all indices by name.

    Examples
    --------
    >>> list(water_indices())
    ['ndwi', 'mndwi', 'awei_nsh', 'awei_sh', 'wi2015', 'mbwi']
    """
    text = files("terracube.processing.water.masks").joinpath("indices.yaml").read_text(encoding="utf-8")
    return MappingProxyType({name: _index(name, facts) for name, facts in yaml.safe_load(text).items()})


def water_index(name: str) -> WaterIndex:
    """Give an index by name.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    found = water_indices().get(name)
    if found is None:
        raise InputError("no such water index", where="index", expected=", ".join(water_indices()), got=repr(name)[:80])
    return found


def _index(name: str, facts: Mapping[str, Any]) -> WaterIndex:
    weights: dict[str, float] = facts.get("sum", {})
    return WaterIndex(
        name,
        facts["title"],
        tuple(weights or facts["ratio"]),
        tuple(weights.values()),
        facts.get("constant", 0.0),
        facts["threshold"],
        (facts["window"][0], facts["window"][1]),
        (facts["range"][0], facts["range"][1]),
        facts["source"],
    )
