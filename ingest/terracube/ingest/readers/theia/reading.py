"""From a MUSCATE product to a delivery."""

from __future__ import annotations

import re
from pathlib import Path

from terracube.core.errors import AssetError, InputError
from terracube.core.sensors import Sensor
from terracube.ingest.readers.finding import described_by
from terracube.ingest.readers.theia.files import files_of
from terracube.ingest.readers.theia.layers import read_layers
from terracube.ingest.readers.theia.metadata import Muscate, properties_of, read_metadata
from terracube.ingest.scene import Delivered, Document
from terracube.ingest.sources import Source

_INSTRUMENTS = {"OLITIRS": ["oli", "tirs"], "OLI": ["oli"], "TIRS": ["tirs"], "ETM": ["etm"], "TM": ["tm"]}


def read_product(path: Path, source: Source, pattern: re.Pattern[str]) -> Delivered:
    """Read the metadata of a product, and the headers of its files.

    Reflectance is that corrected for slopes (FRE) where it was delivered, else that of the surface as it lies (SRE);
    ``theia:reflectance`` says which. Where both are there, the second comes along as ``<band>_surface``.

    Parameters
    ----------
    path : Path
        The folder of the product, or its metadata file.
    source : Source
    pattern : compiled pattern
        Of the name of the metadata file.

    Raises
    ------
    TerraCubeError
        Saying what is missing, contradictory or hostile, and where.
    """
    told = read_metadata(described_by(path, pattern)[0])
    product = told.identify()
    sensor = _aboard(told, source)
    files = files_of(told)
    found = read_layers(told, files, source, sensor)
    documents = [Document("mtd", told.path, "Metadata of the product (MUSCATE)", "application/xml")]
    if files.quicklook is not None:
        documents.append(Document("thumbnail", files.quicklook, "Quick-look", "image/jpeg", ("thumbnail",)))
    properties = properties_of(told) | {"instruments": _instruments(told), "theia:reflectance": found.reflectance}
    return Delivered(
        id=product,
        source=source,
        path=path,
        acquired=told.acquired,
        rasters=found.rasters,
        properties=properties,
        documents=tuple(documents),
        facts={"theia:product_id": product},
        notes=tuple(dict.fromkeys((*files.notes, *found.notes))),
    )


def _aboard(told: Muscate, source: Source) -> Sensor:
    """Give the sensor as the platform of the product carries it."""
    if source.sensor is None:
        raise InputError("the source describes no sensor", where=source.name)
    if told.platform not in source.sensor.platforms:
        raise AssetError(
            "the product is not of this source",
            where=told.path.name,
            expected=", ".join(source.sensor.platforms),
            got=told.platform,
            todo="ingest it as theia-sentinel-2-l2a or theia-landsat-l2a",
        )
    return source.sensor.aboard(told.platform)


def _instruments(told: Muscate) -> list[str]:
    if told.platform.startswith("sentinel"):
        return ["msi"]
    name = re.sub("[^A-Z]", "", (told.get("Product_Characteristics/INSTRUMENT") or told.id.split("-")[1]).upper())
    return _INSTRUMENTS.get(name) or {"5": ["tm"], "7": ["etm"]}.get(told.platform[-1], ["oli", "tirs"])
