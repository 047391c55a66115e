"""Spectral indices of the spyndex catalogue, from bands by their roles; no formula is ever evaluated as code."""

from terracube.processing.landcover.indices.catalogue import (
    Index,
    available,
    get_index,
    index_names,
    left_out,
    make_index,
    wavelengths,
)
from terracube.processing.landcover.indices.doors import evaluate, indices
from terracube.processing.landcover.indices.program import Program, compile_indices

__all__ = [
    "Index",
    "Program",
    "available",
    "compile_indices",
    "evaluate",
    "get_index",
    "index_names",
    "indices",
    "left_out",
    "make_index",
    "wavelengths",
]
