"""Samples: reading, checking, dividing, screening and extracting what is known on the ground."""

from terracube.processing.landcover.samples.align import days_since, season_start
from terracube.processing.landcover.samples.extract import Drawing, extract
from terracube.processing.landcover.samples.long import read_series, series_of
from terracube.processing.landcover.samples.places import Samples, make_samples, overlapping
from terracube.processing.landcover.samples.read import read_samples
from terracube.processing.landcover.samples.screen import check_classes, outliers
from terracube.processing.landcover.samples.series import Series, concatenate, make_series
from terracube.processing.landcover.samples.split import balance, blocks, split

__all__ = [
    "Drawing",
    "Samples",
    "Series",
    "balance",
    "blocks",
    "check_classes",
    "concatenate",
    "days_since",
    "extract",
    "make_samples",
    "make_series",
    "outliers",
    "overlapping",
    "read_samples",
    "read_series",
    "season_start",
    "series_of",
    "split",
]
