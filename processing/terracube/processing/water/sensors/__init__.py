"""Spectral responses, pure-water optics and noise of the sensors that the water formulas know."""

from terracube.processing.water.sensors._registry import (
    load_water_sensor,
    pure_water,
    sensor_of_item_properties,
    water_sensor_names,
)
from terracube.processing.water.sensors._responses import band_average, response_of, simulate_bands
from terracube.processing.water.sensors._types import BandOptics, WaterSensor

__all__ = [
    "BandOptics",
    "WaterSensor",
    "band_average",
    "load_water_sensor",
    "pure_water",
    "response_of",
    "sensor_of_item_properties",
    "simulate_bands",
    "water_sensor_names",
]
