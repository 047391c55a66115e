"""What is measured: each case is one job, done by several contestants. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Contestant:
    """A script and the way in which it does the job."""

    name: str
    script: str
    mode: str


@dataclass(frozen=True)
class Case:
    """One row of the report."""

    name: str
    title: str
    kind: str  # "raster", "scene" or "table": what is compared
    contestants: tuple[Contestant, ...]  # ratios are over the first
    size: int  # pixels per side, or rows
    goals: dict[str, float] = field(default_factory=dict)  # measure: ratio that the own contestant is to reach


GDAL = Contestant("GDAL's COG driver", "peer_gdal.py", "same")
WAVELETS = Contestant("GDAL's COG driver, overviews of the wavelets", "peer_gdal.py", "auto")
RIO = Contestant("rio cogeo create", "peer_rio.py", "convert")
RIO_STAC = Contestant("rio cogeo create + rio stac", "peer_rio.py", "scene")
PANDAS = Contestant("pandas script", "peer_pandas.py", "table")
OWN = Contestant("terracube", "own_terracube.py", "convert")
OWN_SCENE = Contestant("terracube ingest", "own_terracube.py", "scene")
OWN_TABLE = Contestant("terracube, read and written", "own_terracube.py", "table")
OWN_INSITU = Contestant("terracube insitu, tested and published too", "own_terracube.py", "insitu")

CASES = (
    Case(
        "plain",
        "uncompressed GeoTIFF, 10980^2 uint16, to COG",
        "raster",
        (GDAL, RIO, OWN),
        10980,
        {"cpu": 1.3, "wall": 1.3},
    ),
    Case(
        "jp2",
        "lossless JPEG 2000, 10980^2 uint16, to COG",
        "raster",
        (GDAL, WAVELETS, OWN),
        10980,
        {"cpu": 1.3, "wall": 1.3},
    ),
    Case(
        "scene",
        "a scene of 4 bands 4096^2 and classes, plain GeoTIFF, into COG and STAC",
        "scene",
        (RIO_STAC, OWN_SCENE),
        4096,
    ),
    Case("insitu", "1 million observations, CSV to GeoParquet", "table", (PANDAS, OWN_TABLE, OWN_INSITU), 1_000_000),
    Case("plain-1024", "uncompressed GeoTIFF, 1024^2", "raster", (GDAL, RIO, OWN), 1024),
    Case("jp2-1024", "lossless JPEG 2000, 1024^2", "raster", (GDAL, WAVELETS, OWN), 1024),
    Case("scene-512", "a scene of 4 bands 512^2 and classes", "scene", (RIO_STAC, OWN_SCENE), 512),
    Case("insitu-20000", "20 000 observations", "table", (PANDAS, OWN_TABLE, OWN_INSITU), 20_000),
)
FULL = ("plain", "jp2", "scene", "insitu")
QUICK = ("plain-1024", "jp2-1024", "scene-512", "insitu-20000")

COG_OPTIONS = {
    "COMPRESS": "DEFLATE",
    "LEVEL": "1",
    "PREDICTOR": "STANDARD",
    "BLOCKSIZE": "512",
    "BIGTIFF": "IF_SAFER",
}
"""What every contestant is asked for; the own one always writes so."""
RESAMPLING = "average"
COLLECTION = "sentinel-2-l2a"
CLASSES = "SCL"


def case_of(name: str) -> Case:
    """Return a case by its name."""
    return next(case for case in CASES if case.name == name)
