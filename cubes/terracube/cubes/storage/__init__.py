"""How pixels are stored: COG, Zarr, and the scratch folder that blocks land in."""

from terracube.cubes.storage.cog import write_cog
from terracube.cubes.storage.dataset import write_zarr
from terracube.cubes.storage.layers import Layer, LayerClass, RowReader, Statistics, StatisticsSum
from terracube.cubes.storage.scratch import Scratch
from terracube.cubes.storage.zarr import write_group

__all__ = [
    "Layer",
    "LayerClass",
    "RowReader",
    "Scratch",
    "Statistics",
    "StatisticsSum",
    "write_cog",
    "write_group",
    "write_zarr",
]
