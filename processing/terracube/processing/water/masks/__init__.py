"""Where water is, and why a pixel may not be trusted."""

from terracube.processing.water.masks.flags import BITS, MEANINGS, NODATA, UNCLEAR, bitmask
from terracube.processing.water.masks.indices import WaterIndex, water_index, water_indices
from terracube.processing.water.masks.making import mask
from terracube.processing.water.masks.overtime import frequency
from terracube.processing.water.masks.settings import MaskOptions, MaskSettings
from terracube.processing.water.masks.shore import shore_distance

__all__ = [
    "BITS",
    "MEANINGS",
    "NODATA",
    "UNCLEAR",
    "MaskOptions",
    "MaskSettings",
    "WaterIndex",
    "bitmask",
    "frequency",
    "mask",
    "shore_distance",
    "water_index",
    "water_indices",
]
