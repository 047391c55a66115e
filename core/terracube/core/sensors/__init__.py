"""What is known of each sensor: band roles, wavelengths, scale and offset rules, mask rules. One YAML file each."""

from terracube.core.sensors._masks import clear_of, mask_table
from terracube.core.sensors._radiometry import resolve_radiometry
from terracube.core.sensors._registry import (
    band_from,
    described_in,
    load_sensor,
    plugin_packages,
    read_yaml,
    sensor_from,
    sensor_names,
    sensor_of,
)
from terracube.core.sensors._types import Band, Mask, MaskRule, Radiometry, Sensor

__all__ = [
    "Band",
    "Mask",
    "MaskRule",
    "Radiometry",
    "Sensor",
    "band_from",
    "clear_of",
    "described_in",
    "load_sensor",
    "mask_table",
    "plugin_packages",
    "read_yaml",
    "resolve_radiometry",
    "sensor_from",
    "sensor_names",
    "sensor_of",
]
