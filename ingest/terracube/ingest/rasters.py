"""The header of a delivered raster file, checked once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rasterio.io import DatasetReader

from terracube.core.errors import HostileInputError
from terracube.cubes.grid import Grid
from terracube.cubes.items.headers import header_grid
from terracube.cubes.readers import open_raster
from terracube.ingest.pixels import FilePixels

_STRIP = 512
_STRIP_BYTES = 64 << 20


@dataclass(frozen=True)
class Head:
    """What a GeoTIFF or JPEG 2000 file says of itself."""

    path: Path
    grid: Grid
    dtypes: tuple[str, ...]
    """One per band."""
    nodata: tuple[float | None, ...]
    """One per band."""
    step: int
    """Rows that are best read at once: no tile is decoded twice."""
    cog: bool
    """Whether it is one band, laid out as a COG, with a number for missing, so that its bytes can be kept."""

    @property
    def count(self) -> int:
        """Number of bands."""
        return len(self.dtypes)

    def pixels(self, band: int = 1) -> FilePixels:
        """Give the rows of a band, counted from 1."""
        return FilePixels(self.path, band, self.step, cog=self.cog)


def head(path: Path, *, largest: int, where: str) -> Head:
    """Read the header of a raster file.

    Parameters
    ----------
    path : Path
    largest : int
        Pixels along each side beyond which the header is not believed.
    where : str
        What the file is, for messages.

    Raises
    ------
    AssetError
        If the file cannot be read.
    MetadataError
        If it holds no CRS or geotransform, or is rotated.
    HostileInputError
        If it is not what its name says, or claims too many pixels.
    """
    with open_raster(path) as dataset:
        if max(dataset.height, dataset.width) > largest:
            raise HostileInputError(
                "the file claims more pixels than a scene of this sensor has",
                where=where,
                expected=f"at most {largest} along each side",
                got=f"{dataset.height} x {dataset.width}",
            )
        return Head(
            path,
            header_grid(dataset, where),
            tuple(map(str, dataset.dtypes)),
            tuple(dataset.nodatavals),
            _step(dataset),
            _is_cog(dataset),
        )


def _step(dataset: DatasetReader) -> int:
    height: int = dataset.block_shapes[0][0]
    many = max(1, _STRIP // height)
    row_bytes: int = dataset.width * 8
    return height * max(1, min(many, _STRIP_BYTES // max(1, height * row_bytes)))


def _is_cog(dataset: DatasetReader) -> bool:
    layout = dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT")
    return dataset.driver == "GTiff" and layout == "COG" and dataset.count == 1 and dataset.nodata is not None
