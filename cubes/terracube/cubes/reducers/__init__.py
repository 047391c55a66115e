"""Reducers over time on the numbers as they are stored: integers stay integers, missing dates are left out.

The geometric median, which looks at all bands of a date together, is :func:`terracube.cubes.reduce.geomedian`.
"""

from terracube.cubes.reducers.best import BestPixel, best_pixel
from terracube.cubes.reducers.overtime import reduce_time

__all__ = ["BestPixel", "best_pixel", "reduce_time"]
