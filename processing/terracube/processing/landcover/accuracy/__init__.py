"""Accuracy: what a model and a map are worth, and how sure that is."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from terracube.processing.landcover.accuracy.calibration import Calibration, calibration, temperature
from terracube.processing.landcover.accuracy.crossval import CrossValidation, Validation, cross_validate
from terracube.processing.landcover.accuracy.olofsson import AreaEstimate, Estimate, olofsson, stehman
from terracube.processing.landcover.accuracy.scores import (
    Confusion,
    Scores,
    ScoreSpread,
    Spread,
    confusion,
    scores,
    spread,
    spread_scores,
)

if TYPE_CHECKING:
    from terracube.processing.landcover.accuracy.design import allocate, design_sample, sample_size
    from terracube.processing.landcover.accuracy.mapped import MapAreas, map_areas
    from terracube.processing.landcover.accuracy.report import to_html, write_report
    from terracube.processing.landcover.accuracy.validation import Report, Strata, training_report, validate

_BASE = "terracube.processing.landcover.accuracy"
# These bring large libraries along (GeoPandas, Matplotlib), so they are imported when first asked for.
_LATER = {
    "MapAreas": "mapped",
    "Report": "validation",
    "Strata": "validation",
    "allocate": "design",
    "design_sample": "design",
    "map_areas": "mapped",
    "sample_size": "design",
    "to_html": "report",
    "training_report": "validation",
    "validate": "validation",
    "write_report": "report",
}

__all__ = [
    "AreaEstimate",
    "Calibration",
    "Confusion",
    "CrossValidation",
    "Estimate",
    "MapAreas",
    "Report",
    "ScoreSpread",
    "Scores",
    "Spread",
    "Strata",
    "Validation",
    "allocate",
    "calibration",
    "confusion",
    "cross_validate",
    "design_sample",
    "map_areas",
    "olofsson",
    "sample_size",
    "scores",
    "spread",
    "spread_scores",
    "stehman",
    "temperature",
    "to_html",
    "training_report",
    "validate",
    "write_report",
]


def __getattr__(name: str) -> Any:
    """Import what is large when it is first asked for."""
    if name in _LATER:
        return getattr(import_module(f"{_BASE}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
