"""Features: what a model is fed with, described as JSON, and computed from series of observations."""

from terracube.processing.landcover.features.evaluate import Computed, compute
from terracube.processing.landcover.features.functions import Function, get_function, register_function
from terracube.processing.landcover.features.presets import modis, oso
from terracube.processing.landcover.features.spec import FeatureSpec, Savgol, Season, Whittaker
from terracube.processing.landcover.features.table import FeatureTable, feature_table

__all__ = [
    "Computed",
    "FeatureSpec",
    "FeatureTable",
    "Function",
    "Savgol",
    "Season",
    "Whittaker",
    "compute",
    "feature_table",
    "get_function",
    "modis",
    "oso",
    "register_function",
]
