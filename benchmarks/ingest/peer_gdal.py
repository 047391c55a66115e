"""The yard-stick: GDAL's COG driver on the file as it is, with the options that the own contestant writes with."""

from __future__ import annotations

import rasterio
import rasterio.shutil
from contestant import Request, contest
from ingest.cases import COG_OPTIONS, RESAMPLING


def convert(request: Request, overviews: str) -> None:
    """Copy one raster as a COG."""
    options = {**COG_OPTIONS, "OVERVIEW_RESAMPLING": RESAMPLING.upper(), "OVERVIEWS": overviews}
    with rasterio.Env(GDAL_NUM_THREADS=str(request.threads), GDAL_PAM_ENABLED=False):
        rasterio.shutil.copy(
            str(request.raster), str(request.out / "red.tif"), driver="COG", NUM_THREADS=str(request.threads), **options
        )


def same(request: Request) -> None:
    """Make the overviews that were asked for, of the pixels."""
    convert(request, "IGNORE_EXISTING")


def auto(request: Request) -> None:
    """Take what the file offers: the coarser levels of the wavelets are no averages, but are there."""
    convert(request, "AUTO")


if __name__ == "__main__":
    contest("GDAL", {"same": same, "auto": auto}, ("rasterio",))
