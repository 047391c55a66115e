"""Sentinel-2 Level-2A: SAFE and EOPF Zarr."""
