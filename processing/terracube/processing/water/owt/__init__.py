"""Optical water types: mean spectra of published classifications, as tables and as a sensor sees them."""

from terracube.processing.water.owt._tables import (
    WaterTypes,
    load_water_types,
    sensor_centroids,
    water_type_names,
)

__all__ = ["WaterTypes", "load_water_types", "sensor_centroids", "water_type_names"]
