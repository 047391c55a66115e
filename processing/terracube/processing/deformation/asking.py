"""What the chain ``deformation`` can be told, and what the pairs of a stack decide: dates, wavelength, looks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import pystac
from pydantic import Field

from terracube.core.errors import InputError
from terracube.cubes import CubePlan
from terracube.cubes.pairs import pair_facts, pair_times
from terracube.processing.chain import ChainParameters
from terracube.processing.deformation.model import parse_model
from terracube.processing.deformation.network import Network, network_of
from terracube.processing.deformation.stack import COHERENCE, COMPONENTS, LINE_OF_SIGHT, PHASE


class DeformationParameters(ChainParameters):
    """What the chain can be told; bands, dates and what the radar was are those of the pairs."""

    bands: tuple[str, ...] = Field(default=(), max_length=4, description="layers; left out: phase, and coherence")
    mask: None = Field(default=None, description="pairs have no mask of classes")
    groupby: Literal["scene"] = Field(default="scene", description="each pair by itself")
    weights: Literal["auto", "variance", "coherence", "fisher", "none"] = Field(
        default="auto",
        description="of the pairs; auto: by the variance of the phase, where coherence and looks are told",
    )
    reference: Literal["auto"] | tuple[float, float] | tuple[float, float, float, float] | None = Field(
        default="auto", description="auto; y, x; or left, bottom, right, top in the CRS; null: referenced already"
    )
    repair: Literal["none", "pixel", "neighbours"] = Field(
        default="none", description="mend errors of whole cycles: each pixel by itself, or with those around it"
    )
    robust: bool = Field(default=False, description="pairs that contradict the others hardly count")
    disconnected: Literal["nan", "minimum_velocity", "linear"] = Field(
        default="nan", description="what becomes of dates that no pair joins to the first"
    )
    model: str = Field(default="linear", max_length=1000, description="of motion, like linear + annual")
    fit_weights: Literal["none", "std"] = Field(default="none", description="of the dates in the model")
    coloured: bool = Field(default=True, description="widen errors where residuals of successive dates are alike")
    atmosphere: bool = Field(default=True, description="estimate how far the air moves each date")
    series: bool = Field(default=True, description="publish the displacement of each date, too")
    dates: tuple[str, ...] = Field(default=(), max_length=4000, description="as the pairs say")
    pairs: tuple[tuple[int, int], ...] = Field(default=(), max_length=60_000, description="numbers of their dates")
    baselines: tuple[float | None, ...] = Field(default=(), max_length=60_000, description="m, where all tell them")
    wavelength: float | None = Field(default=None, gt=0, description="m, as the pairs say")
    looks: float | None = Field(default=None, gt=0, description="equivalent number, if the pairs do not say it")
    statics: tuple[str, ...] = Field(default=(), max_length=8, description="as the items of geometry say")


def told_of(parameters: ChainParameters) -> DeformationParameters:
    """Take parameters for those of this chain.

    Raises
    ------
    InputError
        If they are others.
    """
    if not isinstance(parameters, DeformationParameters):
        raise InputError("the deformation chain needs its own parameters", got=type(parameters).__name__)
    return parameters


def part(items: Iterable[pystac.Item]) -> tuple[list[pystac.Item], list[pystac.Item]]:
    """Part items into pairs, and the geometry that they share.

    Raises
    ------
    InputError
        If an item is neither.
    """
    pairs: list[pystac.Item] = []
    shared: list[pystac.Item] = []
    for item in items:
        if item.properties.get("terracube:insar") == "geometry":
            shared.append(item)
        elif "insar:reference_datetime" in item.properties:
            pairs.append(item)
        else:
            raise InputError(
                "the item is no interferogram",
                where=f"{item.collection_id}, {item.id}",
                expected="insar:reference_datetime",
                got="no such property",
                todo="name a collection of pairs; `terracube sources` tells where they come from",
            )
    return pairs, shared


def examine(parameters: ChainParameters, items: Sequence[pystac.Item]) -> DeformationParameters:
    """Fill in what the pairs decide, and refuse what cannot be done, before a pixel is read."""
    told = told_of(parameters)
    pairs, shared = part(items)
    facts = pair_facts(pairs)
    told_pairs = tuple(facts.pairs.values())
    network = network_of([pair[:2] for pair in told_pairs], [pair[2] for pair in told_pairs])[0]
    parse_model(told.model)
    common = set.intersection(*({*item.assets} for item in pairs))
    bands = bands_of(told, common)
    looks = told.looks if told.looks is not None else facts.attributes.get("looks")
    statics = tuple(name for name in LINE_OF_SIGHT if all(name in item.assets for item in shared)) if shared else ()
    return told.model_copy(
        update={
            "bands": bands,
            "weights": settled_weights(told, bands, looks),
            **pairs_of(network),
            "wavelength": facts.attributes["wavelength"],
            "looks": looks,
            "statics": statics if len(statics) == len(LINE_OF_SIGHT) else (),
        }
    )


def bands_of(told: DeformationParameters, common: Iterable[str]) -> tuple[str, ...]:
    """Give the layers of the pairs that are read: those asked for, or those of use that all pairs have.

    Raises
    ------
    InputError
        If the phase is not among them.
    """
    there = set(common)
    # A reference that is looked for lies where all pairs were unwrapped as one.
    useful = (PHASE, COHERENCE, COMPONENTS) if told.reference == "auto" else (PHASE, COHERENCE)
    bands = told.bands or tuple(name for name in useful if name in there)
    lacking = [name for name in dict.fromkeys((PHASE, *bands)) if name not in there or name not in bands]
    if lacking:
        raise InputError(
            "the chain needs layers that not all pairs have",
            where="bands",
            expected=", ".join(dict.fromkeys((PHASE, *bands))),
            got=f"no {', '.join(lacking)}",
        )
    return bands


def settled_weights(told: DeformationParameters, bands: Sequence[str], looks: float | None) -> str:
    """Settle the weights of the pairs.

    Raises
    ------
    InputError
        If what they need is not told.
    """
    if told.weights == "auto":
        return "variance" if COHERENCE in bands and looks else "none"
    if told.weights != "none" and COHERENCE not in bands:
        raise InputError("weights need the coherence", where="weights", expected="none", got=told.weights)
    if told.weights in ("variance", "fisher") and not looks:
        raise InputError(
            "weights by the noise of the phase need the number of looks",
            where="looks",
            expected="a number",
            got="the pairs do not say it",
            todo='--param looks=20, or weights="coherence"',
        )
    return told.weights


Steps = tuple[tuple[str, str, float], ...]
"""Reference and secondary time, and baseline (m), of each step of a plan."""


def steps_of(plan: CubePlan) -> Steps:
    """Tell the dates of each pair of a plan."""
    return pair_times(group[0] for group in plan.groups)


def pairs_of(network: Network) -> dict[str, Any]:
    """Give the parameters that a network decides."""
    return {
        "dates": tuple(str(time) for time in network.times.astype("datetime64[s]")),
        "pairs": tuple((int(one), int(two)) for one, two in network.pairs),
        "baselines": tuple(None if math.isnan(one) else float(one) for one in network.baselines),
    }


def network_of_told(told: DeformationParameters) -> Network:
    """Make the network that the parameters tell."""
    times = np.array(told.dates, "datetime64[ns]")
    baselines = [math.nan if one is None else one for one in told.baselines]
    return network_of(times[np.array(told.pairs)], baselines)[0]


def statics_of(parameters: ChainParameters) -> tuple[str, ...]:
    """Name the layers that do not change."""
    return told_of(parameters).statics


def weights_of(told: DeformationParameters) -> Any:
    """Give the weights as the inversion takes them."""
    return None if told.weights == "none" else told.weights
