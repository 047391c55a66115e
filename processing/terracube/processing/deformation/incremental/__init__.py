"""Kept series that new pairs and dates are appended to."""

from terracube.processing.deformation.incremental.appending import append
from terracube.processing.deformation.incremental.kept import KeptSeries, keep_series

__all__ = ["KeptSeries", "append", "keep_series"]
