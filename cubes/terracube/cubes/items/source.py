"""One raster band of one scene: where its numbers lie, and how they become values."""

from __future__ import annotations

from dataclasses import dataclass

from terracube.cubes.access.location import Location
from terracube.cubes.grid import Grid


@dataclass(frozen=True, slots=True)
class Source:
    """One raster band of one scene, and how its numbers become values."""

    location: Location
    """Where its bytes lie."""
    band: int
    """Band in the file, from 1."""
    grid: Grid
    """Where its pixels lie."""
    nodata: float | None
    """The number that means nothing was seen."""
    scale: float
    offset: float
    """``value = number * scale + offset``."""
    dtype: str
    """Type of the numbers in the file."""
    radiometry: str
    """Which rule decided the scale and offset."""
    classes: bool = False
    """Whether the numbers are classes or flags, which are never scaled or blended."""
    overviews: tuple[tuple[int, int], ...] = ()
    """Height and width of each overview, finest first."""
    tile: tuple[int, int] = (0, 0)
    """Height and width of the internal tiles; zeros where the header was not read."""
    decoder: str = ""
    """What will decode the pixels; empty where the header was not read."""
    known: bool = True
    """True: the header was read. False: all this is from the item, and checked when pixels are first read."""
    nodata_given: bool = False
    """Whether the caller said the nodata number, so that the file is not asked."""
    nodata_default: bool = False
    """Whether the nodata number is merely what the product usually keeps: caller, item and header said nothing."""
    asset: str = ""
    """Key of the asset."""

    @property
    def path(self) -> str:
        """Absolute path or address of the file."""
        return self.location.href
