"""What is known of each sensor: band roles, wavelengths, scale and offset rules, mask classes. One YAML file each."""

from terracube.core.sensors._registry import (
    Band,
    Mask,
    Radiometry,
    Sensor,
    load_sensor,
    resolve_radiometry,
    sensor_names,
    sensor_of,
)

__all__ = [
    "Band",
    "Mask",
    "Radiometry",
    "Sensor",
    "load_sensor",
    "resolve_radiometry",
    "sensor_names",
    "sensor_of",
]
