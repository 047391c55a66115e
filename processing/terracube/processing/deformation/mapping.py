"""The chain ``deformation``: from the pairs of a stack to how the ground moves, with both parts of the error.

The stack is looked at twice before: for the calmest ground, against which motion is told, and for how far the air moves
each date. Then each block is referenced, solved, and fitted by itself. ``invert`` and ``fit`` do the same in notebooks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.core.errors import InputError
from terracube.cubes.layout import georeference
from terracube.cubes.pairs import SIGN
from terracube.processing.chain import Chain, ChainParameters, Context, Intake, Map, Survey
from terracube.processing.deformation.asking import (
    DeformationParameters,
    bands_of,
    examine,
    pairs_of,
    part,
    settled_weights,
    statics_of,
    steps_of,
    told_of,
    weights_of,
)
from terracube.processing.deformation.atmosphere.search import AtmosphereSearch
from terracube.processing.deformation.cycles import REACH
from terracube.processing.deformation.inversion import invert_stack
from terracube.processing.deformation.layers import QUALITY, layers_of, short
from terracube.processing.deformation.model import fit
from terracube.processing.deformation.network import network_of_stack
from terracube.processing.deformation.reference import AUTO
from terracube.processing.deformation.reference.given import area_pixels, common_phase
from terracube.processing.deformation.reference.search import ReferenceSearch
from terracube.processing.deformation.series import LEAST_DATES, REPAIRED, invert, joined_noise, mean_noise, mended
from terracube.processing.deformation.stack import COHERENCE, COMPONENTS, LINE_OF_SIGHT, PHASE, to_stack
from terracube.processing.deformation.stack.canonical import canonical_layers
from terracube.processing.deformation.story import facts, pictures, row
from terracube.processing.registry import register

_DAY = len("2020-01-01")
_DAYS = np.timedelta64(1, "D")


def _stack_of(values: NDArray[np.float32], context: Context) -> xr.Dataset:
    """Make a stack of what was read of a block (pair, band, y, x)."""
    told = told_of(context.parameters)
    layers: dict[str, Any] = {name: (("pair", "y", "x"), values[:, number]) for number, name in enumerate(told.bands)}
    coords: dict[str, Any] = {}
    if context.steps is not None:
        ends = np.array([step[:2] for step in context.steps], "datetime64[ns]")
        coords = {"reference_time": ("pair", ends[:, 0]), "secondary_time": ("pair", ends[:, 1])}
    attributes = {"wavelength": told.wavelength, "phase_sign": SIGN}
    if told.looks is not None:
        attributes["looks"] = told.looks
    stack = xr.Dataset(layers, coords, attributes)
    # As a stack that is opened: what is infinite is missing, and a coherence beyond 0 to 1 is refused.
    stack = stack.assign(canonical_layers(stack, 1.0, None))
    return stack if context.place is None else georeference(stack, context.place.grid)


def _referenced(stack: xr.Dataset, found: Mapping[str, Any]) -> xr.Dataset:
    """Take the phase of the reference, as the survey found it, from every pair."""
    if "reference" not in found:
        return stack
    taken = np.array(found["reference"]["phase"], "float64")
    phase = np.subtract(stack[PHASE].values, taken[:, None, None], dtype="float64").astype("float32")
    return stack.assign({PHASE: (stack[PHASE].dims, phase, stack[PHASE].attrs)})


def _ready(values: NDArray[np.float32], context: Context) -> xr.Dataset:
    """Make the stack of a block as it is solved: referenced, mended with its margin, without it."""
    stack = mended(_referenced(_stack_of(values, context), context.found), told_of(context.parameters).repair)
    down, right = (slice(None), slice(None)) if context.place is None else context.place.inner
    return stack.isel(y=down, x=right)


def _halo(parameters: ChainParameters) -> int:
    return REACH if told_of(parameters).repair == "neighbours" else 0


def _solved(stack: xr.Dataset, told: DeformationParameters, found: Mapping[str, Any]) -> xr.Dataset:
    """Solve a referenced stack; the noise of a reference that was named is added."""
    series = invert_stack(stack, weights=weights_of(told), robust=told.robust, disconnected=told.disconnected)
    own = found.get("reference", {}).get("noise")
    if own is None:
        return series
    deviations = series["std_network"]
    joined = joined_noise(deviations.values, np.array(own)[:, None, None])
    return series.assign(std_network=(deviations.dims, joined, deviations.attrs))


def _reference_part(values: NDArray[np.float32], context: Context) -> Any:
    """Give what a square knows of the reference: its best areas, or the phases of the pixels that were named."""
    told, stack, place = told_of(context.parameters), _stack_of(values, context), context.place
    if place is None:
        raise InputError("a reference is looked for in places", where="context", expected="a place", got="none")
    values, grid = values[..., *place.inner], place.asked
    if isinstance(told.reference, str):
        return grid, ReferenceSearch.of(stack, grid).partial(stack.isel(y=place.inner[0], x=place.inner[1]))
    return area_pixels(values, grid, told.reference or ())


def _reference_join(parts: Sequence[Any], context: Context) -> dict[str, Any]:
    told = told_of(context.parameters)
    if told.reference == AUTO:
        spans = tuple((np.datetime64(two, "ns") - np.datetime64(one, "ns")) / _DAYS for one, two, _ in context.steps)
        grid = parts[0][0]
        search = ReferenceSearch(tuple(map(float, spans)), (*grid.resolution,), (*grid.phase,))
        best = {name: value.tolist() for name, value in search.combine([areas for _, areas in parts]).items()}
        y, x = (
            (best.pop(name) + phase) * size
            for name, phase, size in zip(("row", "col"), grid.phase, grid.resolution, strict=True)
        )
        return {"reference": {"how": AUTO, "y": y, "x": x, **best, "pixels": int(best["pixels"])}}
    names = tuple(f"{one[:_DAY]} to {two[:_DAY]}" for one, two, _ in context.steps)
    empty = np.empty((len(names), len(told.bands), 0), np.float32)
    values = np.concatenate([empty, *(part for part in parts if part is not None)], axis=2)
    phase = common_phase(values[:, told.bands.index(PHASE)], names, str(told.reference))
    alone = replace(context, place=None)
    noise = mean_noise(_solved(_stack_of(values[..., None, :], alone), told, {})["std_network"].values)
    place = list(told.reference or ())
    return {"reference": {"how": "given", "place": place, "phase": phase.tolist(), "noise": noise.tolist()}}


def _air_part(values: NDArray[np.float32], context: Context) -> NDArray[np.int64]:
    told = told_of(context.parameters)
    series = _solved(_ready(values, context), told, context.found)
    counts: NDArray[np.int64] = AtmosphereSearch.of(series).counts(series)
    return counts


def _air_join(parts: Sequence[Any], context: Context) -> dict[str, Any]:  # noqa: ARG001, the counts say it all
    return {"atmosphere": {"factors": [None if math.isnan(one) else one for one in AtmosphereSearch.combine(parts)]}}


def _with_air(series: xr.Dataset, found: Mapping[str, Any]) -> xr.Dataset:
    if "atmosphere" not in found:
        return series
    factors = np.array([math.nan if one is None else one for one in found["atmosphere"]["factors"]])
    return series.assign(std_atmosphere=AtmosphereSearch.of(series).std(series, factors))


def _stage(values: NDArray[np.float32], context: Context) -> NDArray[np.float32]:
    """Turn the pairs of a block (pair, band, y, x) into layers."""
    told = told_of(context.parameters)
    stack = _ready(values, context)
    series = _with_air(_solved(stack, told, context.found), context.found)
    made = _made_of(series.assign({name: stack[name] for name in REPAIRED if name in stack}), told)
    place = context.place
    statics = () if place is None else place.static[:, *place.inner]
    fixed = {name: statics[number] for number, name in enumerate(told.statics)}
    layers = layers_of(told)
    out = np.empty((len(layers), stack.sizes["y"], stack.sizes["x"]), np.float32)
    for number, layer in enumerate(layers):
        out[number] = fixed[layer.name] if layer.name in fixed else made[layer.name].values
    return out


def _made_of(series: xr.Dataset, told: DeformationParameters) -> xr.Dataset:
    """Give the layers of a series (y, x); lazy in, lazy out."""
    model = fit(series, told.model, weights=told.fit_weights, coloured="ar1" if told.coloured else None)
    layers = {str(name): values for name, values in model.data_vars.items() if values.dims == ("y", "x")}
    layers |= {name: series[name] for name, *_ in QUALITY}
    layers |= {name: series[name] for name in ("n_pairs", "n_components", *REPAIRED) if name in series}
    layers |= {name: series[name] for name in told.statics if name in series}
    if not told.series:
        return xr.Dataset(layers)
    variance = series["std_network"] ** 2
    if "std_atmosphere" in series:
        variance = variance + series["std_atmosphere"] ** 2
    for step, moment in enumerate(told.dates):
        layers[f"displacement_{short(moment, told.dates)}"] = series["displacement"].isel(time=step, drop=True)
        layers[f"std_{short(moment, told.dates)}"] = xr.apply_ufunc(
            np.sqrt, variance.isel(time=step, drop=True), dask="allowed"
        ).astype("float32")
    return xr.Dataset(layers)


def _copies(parameters: ChainParameters) -> float:
    """Count what is held beside the observations: the series with its errors, and the layers."""
    told = told_of(parameters)
    return 3.0 + 4.0 * len(told.dates) / max(1, len(told.pairs) * len(told.bands))


def _cube(stack: xr.Dataset, given: dict[str, Any]) -> xr.Dataset:
    """Make the layers of a stack that is loaded already."""
    known = to_stack(stack)
    told = told_of(DEFORMATION.to_parameters(given))
    network = network_of_stack(known)[0]
    bands = bands_of(told, map(str, known.data_vars))
    looks = told.looks if told.looks is not None else known.attrs.get("looks")
    statics = tuple(name for name in LINE_OF_SIGHT if name in known)
    told = told.model_copy(
        update={"bands": bands, **pairs_of(network), "weights": settled_weights(told, bands, looks), "looks": looks,
                "wavelength": known.attrs["wavelength"],
                "statics": statics if len(statics) == len(LINE_OF_SIGHT) else ()}
    )  # fmt: skip
    known = known.drop_vars([name for name in (COHERENCE, COMPONENTS) if name in known and name not in bands])
    series = invert(
        known if looks is None else known.assign_attrs(looks=looks),
        weights=weights_of(told), reference=told.reference, robust=told.robust, disconnected=told.disconnected,
        repair=told.repair, atmosphere="auto" if _has_air(told) else None,
    )  # fmt: skip
    made = _made_of(series, told)
    return xr.Dataset(
        {layer.name: made[layer.name].astype(layer.dtype) for layer in layers_of(told)}, attrs=series.attrs
    )


def _has_air(parameters: ChainParameters) -> bool:
    told = told_of(parameters)
    return told.atmosphere and len(told.dates) >= LEAST_DATES


DEFORMATION = register(
    Chain(
        name="deformation",
        version="1.0.0",
        title="Ground deformation",
        parameters=DeformationParameters,
        layers=layers_of,
        stage=Map("referenced, solved and fitted", _stage, copies=_copies, halo=_halo),
        surveys=(
            Survey("reference", _reference_part, _reference_join, lambda told: told_of(told).reference is not None),
            Survey("atmosphere", _air_part, _air_join, _has_air),
        ),
        intake=Intake(
            part,
            examine,
            steps_of,
            statics_of,
            _cube,
            facts,
            pictures,
            noun="pair",
            row=row,
            found_by='terracube:insar="pair"',
            shared='terracube:insar="geometry"',
        ),
    )
)
