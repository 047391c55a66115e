"""Measurements in situ: what field teams and services deliver becomes one tidy table of observations."""

from terracube.ingest.insitu.mapping import Mapping, load_mapping, parse_mapping
from terracube.ingest.insitu.table import COLUMNS, Issue, Observations
from terracube.ingest.insitu.units import convert
from terracube.ingest.insitu.unittext import parse_unit
from terracube.ingest.insitu.vocabulary import Term, find_term, vocabulary

__all__ = [
    "COLUMNS",
    "Issue",
    "Mapping",
    "Observations",
    "Term",
    "convert",
    "find_term",
    "load_mapping",
    "parse_mapping",
    "parse_unit",
    "vocabulary",
]
