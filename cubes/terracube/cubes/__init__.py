"""Pixels: target grids, loading, masks, reducers, storage and previews. Takes STAC items as plain values."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from terracube.core.sensors import MaskRule
from terracube.cubes import accessor as _accessor
from terracube.cubes.crs import Bounds
from terracube.cubes.doors import map_blocks, reduce_blocks
from terracube.cubes.explain import Explanation, explain, report
from terracube.cubes.grid import YX, Grid, Pair
from terracube.cubes.ledger import Report
from terracube.cubes.load import as_array, as_dataset, load, load_array, open_product
from terracube.cubes.overtime import reduce_time
from terracube.cubes.pairs import load_pairs
from terracube.cubes.plan import CubePlan, CubeSpec, plan_cube
from terracube.cubes.preview import preview
from terracube.cubes.sources import Scene, SceneSet, Source, read_scenes
from terracube.cubes.storage.dataset import write_zarr
from terracube.cubes.storage.rasters import write_cog

if TYPE_CHECKING:
    from terracube.cubes.engines import stack
    from terracube.cubes.sampling import box_frame, extract_boxes, sample
    from terracube.cubes.storage.versioned import VersionedCube

# These bring large libraries along (GeoPandas, Icechunk), so they are imported when first asked for.
_LATER = {
    "VersionedCube": "terracube.cubes.storage.versioned",
    "box_frame": "terracube.cubes.sampling",
    "extract_boxes": "terracube.cubes.sampling",
    "sample": "terracube.cubes.sampling",
    "stack": "terracube.cubes.engines",
}

TerraCubeAccessor = _accessor.TerraCubeAccessor
"""``dataset.terracube``, registered by being imported."""

__all__ = [
    "YX",
    "Bounds",
    "CubePlan",
    "CubeSpec",
    "Explanation",
    "Grid",
    "MaskRule",
    "Pair",
    "Report",
    "Scene",
    "SceneSet",
    "Source",
    "TerraCubeAccessor",
    "VersionedCube",
    "as_array",
    "as_dataset",
    "box_frame",
    "explain",
    "extract_boxes",
    "load",
    "load_array",
    "load_pairs",
    "map_blocks",
    "open_product",
    "plan_cube",
    "preview",
    "read_scenes",
    "reduce_blocks",
    "reduce_time",
    "report",
    "sample",
    "stack",
    "write_cog",
    "write_zarr",
]


def __getattr__(name: str) -> Any:
    """Import what is large when it is first asked for."""
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
