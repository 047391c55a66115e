"""Pixels: target grids, loading, masks, reducers, storage and previews. Takes STAC items as plain values."""

from terracube.cubes.blocks import CubePlan, CubeSpec
from terracube.cubes.crs import Bounds
from terracube.cubes.grid import YX, Grid, Pair
from terracube.cubes.load import as_array, as_dataset, load, load_array, open_product, plan_cube
from terracube.cubes.sources import Scene, SceneSet, Source, read_scenes

__all__ = [
    "YX",
    "Bounds",
    "CubePlan",
    "CubeSpec",
    "Grid",
    "Pair",
    "Scene",
    "SceneSet",
    "Source",
    "as_array",
    "as_dataset",
    "load",
    "load_array",
    "open_product",
    "plan_cube",
    "read_scenes",
]
