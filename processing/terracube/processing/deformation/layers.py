"""The layers of the chain ``deformation``: what a model gives, how well pairs agree, the displacement of each date."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import xarray as xr

from terracube.cubes.storage import Layer
from terracube.processing.chain import ChainParameters
from terracube.processing.deformation.asking import told_of
from terracube.processing.deformation.model import fit

_DAY = len("2020-01-01")
QUALITY = (
    ("temporal_coherence", "Temporal coherence of the residuals", "1"),
    ("residual_rms", "Root mean square of the residuals of the pairs", "rad"),
)
"""Name, title and unit."""


def short(moment: str, moments: Sequence[str] = ()) -> str:
    """Give a date as names of layers have it: ``20180106``, with the time where another has the same day."""
    day = moment[:_DAY].replace("-", "")
    alone = sum(one[:_DAY] == moment[:_DAY] for one in moments) < 2
    return day if alone else day + moment[_DAY:].replace(":", "")


@lru_cache(maxsize=32)
def _of_model(model: str, dates: tuple[str, ...], fit_weights: str, coloured: bool) -> tuple[tuple[str, str, str], ...]:
    """Give name, title and unit of what a model gives, by fitting one pixel."""
    times = np.array(dates, "datetime64[ns]")
    still = np.zeros((len(times), 1, 1), "float32")
    series = xr.Dataset(dict.fromkeys(("displacement", "std_network"), (("time", "y", "x"), still)), {"time": times})
    found = fit(series, model, weights="std" if fit_weights == "std" else "none", coloured="ar1" if coloured else None)
    return tuple(
        (str(name), str(values.attrs.get("long_name", name)), str(values.attrs.get("units", "1")))
        for name, values in found.data_vars.items()
    )


def layers_of(parameters: ChainParameters) -> tuple[Layer, ...]:
    """Give the layers that come out of the chain."""
    told = told_of(parameters)
    named = _of_model(told.model, told.dates, told.fit_weights, told.coloured)
    layers = [
        Layer(name, title, "float32", unit, math.nan, role="uncertainty" if name.endswith("_std") else "data",
              centred=not name.endswith("_std") and unit.startswith("m"))
        for name, title, unit in sorted(named, key=lambda one: (one[0] != "velocity", one[0] != "velocity_std"))
    ]  # fmt: skip
    layers += [Layer(name, title, "float32", unit, math.nan, role="quality") for name, title, unit in QUALITY]
    layers += [
        Layer("n_pairs", "pairs with a value", "uint16", "1", None, resampling="nearest", role="validity"),
        Layer("n_components", "parts of the network that no pair joins", "uint16", "1", None, resampling="nearest",
              role="quality"),
    ]  # fmt: skip
    if told.repair != "none":
        layers += [
            Layer("repair_flags", "bits: 1 changed, 2 by neighbours, 4 not settled, 8 rival, 16 pair in no loop",
                  "uint8", "1", None, resampling="nearest", role="quality"),
            Layer("n_repaired", "pairs to which whole cycles were added", "uint16", "1", None, resampling="nearest",
                  role="quality"),
        ]  # fmt: skip
    layers += [Layer(name, f"Line of sight, ground to satellite: {name[4:]}", "float32", "1", math.nan,
                     role="metadata") for name in told.statics]  # fmt: skip
    for moment in told.dates if told.series else ():
        name, day = short(moment, told.dates), moment[:_DAY]
        layers += [
            Layer(f"displacement_{name}", f"Displacement towards the satellite, {day}", "float32", "m", math.nan,
                  step=("displacement", moment), centred=True),
            Layer(f"std_{name}", f"Standard deviation of the displacement, {day}", "float32", "m", math.nan,
                  step=("std", moment), role="uncertainty"),
        ]  # fmt: skip
    return tuple(layers)
