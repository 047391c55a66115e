"""Stations: their series, read, projected on a line of sight, and held against maps."""

from terracube.processing.deformation.gnss.comparing import compare_gnss, plot_gnss
from terracube.processing.deformation.gnss.reading import at_times, project_gnss, read_gnss

__all__ = ["at_times", "compare_gnss", "plot_gnss", "project_gnss", "read_gnss"]
