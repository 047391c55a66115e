"""Trophic state index of lakes from the chlorophyll and the Secchi depth that are retrieved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from terracube.processing.formula import log, where
from terracube.processing.water.retrievals import blend, optics  # noqa: F401  (register what this builds on)
from terracube.processing.water.retrievals.base import (
    Bands,
    Formula,
    Retrieval,
    Retrieved,
    register_retrieval,
    registered,
)


def _index_of(source: Retrieval) -> Formula:
    """Straight line in the logarithm of another product, with that product's own coefficients and reasons."""

    def formula(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
        found = source.formula(bands, source.coefficient_set(bands.sensor).values)
        return Retrieved(_line(found.value, known), outside=found.outside, saturated=found.saturated)

    return formula


def _line(value: Any, known: Mapping[str, Any]) -> Any:
    start, slope = known["a"]
    return start + slope * log(where(value > 0, value, float("nan")))


def _register(name: str, title: str, source: Retrieval) -> Retrieval:
    return register_retrieval(
        Retrieval(
            name=name,
            title=title,
            unit="1",
            quantity=source.quantity,
            needs=source.needs,
            formula=_index_of(source),
            coefficients=name,
            built_on=(source.coefficients, *source.built_on),
            also=source.also,
            weak=source.weak,
            signed=source.signed,
        )
    )


_register("tsi_chl", "Trophic state index from chlorophyll (chl_blend)", registered()["chl_blend"])
_register("tsi_secchi", "Trophic state index from Secchi depth (secchi_lee2015)", registered()["secchi_lee2015"])
