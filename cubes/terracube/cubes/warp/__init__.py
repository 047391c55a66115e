"""Resampling between grids whose answer for a pixel is the same to the bit in every block, order and thread.

Target pixels are known by their absolute index; where they lie in a source is found by PROJ at the nodes of a lattice
on that index, kept as integers, and interpolated in integers. One kernel scale holds for a pair of rasters. The values
are summed in float64 in one order. No coordinate depends on the window that is asked for, so cutting the work into
blocks cannot change it.
"""

from terracube.cubes.warp.extent import reach
from terracube.cubes.warp.operation import overview_level, pair_scale, pipeline
from terracube.cubes.warp.placement import METHODS, Placement, place
from terracube.cubes.warp.resample import warp

__all__ = ["METHODS", "Placement", "overview_level", "pair_scale", "pipeline", "place", "reach", "warp"]
