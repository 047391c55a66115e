"""Windows of rasters that come from outside, whatever their format and place."""

from terracube.cubes.readers.cache import use_tile_cache
from terracube.cubes.readers.gdal import gdal_env, open_raster, sniff_driver
from terracube.cubes.readers.header import Header
from terracube.cubes.readers.reading import close_files, read_header, read_pixels

__all__ = [
    "Header",
    "close_files",
    "gdal_env",
    "open_raster",
    "read_header",
    "read_pixels",
    "sniff_driver",
    "use_tile_cache",
]
