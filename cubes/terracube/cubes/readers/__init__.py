"""Windows of rasters that come from outside, whatever their format and place."""

from terracube.cubes.readers.gdal import close_files, gdal_env, open_raster, read_window, sniff_driver

__all__ = ["close_files", "gdal_env", "open_raster", "read_window", "sniff_driver"]
