"""What the header of a raster says, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass

from terracube.cubes.grid import Grid


@dataclass(frozen=True, slots=True)
class Header:
    """Facts about a raster that are known before any pixel is read."""

    driver: str
    """``GTiff``, ``JP2OpenJPEG``, ``Zarr`` or ``netCDF``."""
    grid: Grid
    """Where the pixels of the full resolution lie, north-up."""
    count: int
    """Number of bands."""
    dtypes: tuple[str, ...]
    """Type of the numbers of each band."""
    nodata: tuple[float | None, ...]
    """The number that means nothing was seen, of each band; ``None`` where none is declared."""
    overviews: tuple[tuple[int, int], ...]
    """Height and width of each reduced resolution, finest first."""
    tile: tuple[int, int]
    """Height and width of the internal block: what has to be decoded at least."""
    decoder: str
    """``own``, ``gdal``, ``zarr`` or ``netcdf``: which one decodes the pixels."""
    flipped: bool = False
    """Whether the file is stored south-up; reading turns it."""
    scale: tuple[float | None, ...] = ()
    offset: tuple[float | None, ...] = ()
    """``value = number * scale + offset`` of each band as the file itself declares it; ``None`` where it does not."""
    descriptions: tuple[str | None, ...] = ()
    """Name of each band, where the file gives one."""
    compression: str = ""
    """How the blocks are packed: ``none``, ``deflate``, ``zstd``, ``lzw``, or another name that GDAL gives."""

    def level_shape(self, level: int) -> tuple[int, int]:
        """Give height and width of the full resolution (0) or of an overview (1 = finest)."""
        return self.overviews[level - 1] if level else (self.grid.shape.y, self.grid.shape.x)
