"""STAC items of simulated scenes, in the form in which Sentinel-2 items are delivered."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer
from shapely.geometry import Polygon, box, mapping

from terracube.core.digest import sha256_of
from terracube.ingest.simulate.classification import Scl, percentages
from terracube.ingest.simulate.region import PIXEL, Region, Tile
from terracube.ingest.simulate.sensor import BANDS, SENSOR, acquisition_time, eo_band, platform_of

DIGEST_PROPERTY = "terracube:simulation"
COLLECTION = "sentinel-2-l2a"
COLLECTION_FILE = "collection.json"
BASELINE = "05.09"
_LAUNCH = "2015-06-23T00:00:00Z"
_EXTENSIONS = (
    "eo/v1.0.0",
    "grid/v1.0.0",
    "projection/v1.0.0",
    "raster/v1.1.0",
    "view/v1.0.0",
)
_SHARES = {
    "s2:nodata_pixel_percentage": Scl.NODATA,
    "s2:saturated_defective_pixel_percentage": Scl.SATURATED,
    "s2:dark_features_percentage": Scl.DARK,
    "s2:cloud_shadow_percentage": Scl.SHADOW,
    "s2:vegetation_percentage": Scl.VEGETATION,
    "s2:not_vegetated_percentage": Scl.BARE,
    "s2:water_percentage": Scl.WATER,
    "s2:unclassified_percentage": Scl.UNCLASSIFIED,
    "s2:medium_proba_clouds_percentage": Scl.CLOUD_MEDIUM,
    "s2:high_proba_clouds_percentage": Scl.CLOUD_HIGH,
    "s2:thin_cirrus_percentage": Scl.CIRRUS,
    "s2:snow_ice_percentage": Scl.SNOW,
}
_CLOUDY = (Scl.CLOUD_MEDIUM, Scl.CLOUD_HIGH, Scl.CIRRUS)


def item_id(tile: Tile, day: date) -> str:
    """Name a scene as its provider would.

    Examples
    --------
    >>> item_id(Tile("33TSM", 0, 216), date(2023, 1, 5))
    'S2B_33TSM_20230105_0_L2A'
    """
    return f"S2{platform_of(day)}_{tile.name}_{day:%Y%m%d}_0_L2A"


def scene_digest(region: Region, tile: Tile, day: date) -> str:
    """Fingerprint of what a scene depends on."""
    return sha256_of({"region": region.digest, "tile": tile.name, "date": day.isoformat()})


def scene_item(region: Region, tile: Tile, day: date, *, scl: NDArray[np.uint8], footprint: Polygon) -> dict[str, Any]:
    """Make the item of one scene.

    Parameters
    ----------
    scl : uint8 array ``(y, x)``
        The classification of the tile, from which the cloud cover is counted.
    footprint : Polygon
        Where the tile holds data, in the region's coordinates.
    """
    outline = _outline(region, footprint)
    base = "https://stac-extensions.github.io"
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [f"{base}/{name}/schema.json" for name in _EXTENSIONS],
        "id": item_id(tile, day),
        "collection": COLLECTION,
        "properties": _properties(region, tile, day, scl),
        "geometry": mapping(outline),
        "bbox": list(outline.bounds),
        "links": [{"rel": "collection", "href": f"../{COLLECTION_FILE}", "type": "application/json"}],
        "assets": {name: _band_asset(region, tile, name) for name in BANDS} | {"scl": _scl_asset(region, tile)},
    }


def scene_collection(region: Region) -> dict[str, Any]:
    """Make the collection that the items of a region name."""
    return {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": COLLECTION,
        "title": "Simulated Sentinel-2 Level-2A",
        "description": "Scenes of a simulated region in the form of Sentinel-2 Level-2A; no measurements.",
        "license": "CC0-1.0",
        "extent": {
            "spatial": {"bbox": [list(_outline(region, box(*region.bounds)).bounds)]},
            "temporal": {"interval": [[_LAUNCH, None]]},
        },
        "links": [],
    }


def _outline(region: Region, footprint: Polygon) -> Polygon:
    """Turn an outline from the region's coordinates to longitude and latitude."""
    to_lonlat = Transformer.from_crs(region.epsg, 4326, always_xy=True)
    longitude, latitude = to_lonlat.transform(*np.array(footprint.exterior.coords).T)
    return Polygon(np.column_stack([longitude, latitude]))


def _properties(region: Region, tile: Tile, day: date, scl: NDArray[np.uint8]) -> dict[str, Any]:
    when, sun, shares = acquisition_time(day), region.sun(day), percentages(scl)
    moment = when.strftime("%Y-%m-%dT%H:%M:%SZ")
    letter = platform_of(day)
    return {
        "datetime": moment,
        "created": moment,
        "updated": moment,
        "title": f"Simulated Sentinel-2{letter} scene of tile {tile.name} (not a measurement)",
        "platform": f"sentinel-2{letter.lower()}",
        "constellation": "sentinel-2",
        "instruments": ["msi"],
        "eo:cloud_cover": round(sum(shares[k] for k in _CLOUDY), 6),
        "proj:epsg": region.epsg,
        "grid:code": f"MGRS-{tile.name}",
        "view:sun_azimuth": round(sun.azimuth, 4),
        "view:sun_elevation": round(sun.elevation, 4),
        "s2:product_type": "S2MSI2A",
        "s2:processing_baseline": BASELINE,
        "s2:product_uri": f"S2{letter}_MSIL2A_{when:%Y%m%dT%H%M%S}_N0509_R079_T{tile.name}_{when:%Y%m%dT%H%M%S}.SAFE",
        "s2:sequence": "0",
        "earthsearch:boa_offset_applied": False,
        DIGEST_PROPERTY: scene_digest(region, tile, day),
    } | {name: round(shares[k], 6) for name, k in _SHARES.items()}


def _grid(region: Region, tile: Tile, resolution: int) -> dict[str, Any]:
    affine = region.transform(resolution, first_row=tile.first_row)
    factor = resolution // PIXEL
    return {
        "type": "image/tiff; application=geotiff; profile=cloud-optimized",
        "proj:shape": [tile.rows // factor, region.size // factor],
        "proj:transform": [affine.a, 0, affine.c, 0, affine.e, affine.f],
    }


def _band_asset(region: Region, tile: Tile, name: str) -> dict[str, Any]:
    band = BANDS[name]
    raster = {
        "nodata": 0,
        "data_type": "uint16",
        "bits_per_sample": 15,
        "spatial_resolution": band.resolution,
        "scale": 0.0001,
        "offset": -0.1,
    }
    return {
        "href": f"{band.file}.tif",
        "title": f"{SENSOR.bands[name].title} - {band.resolution}m",
        **_grid(region, tile, band.resolution),
        "gsd": band.resolution,
        "eo:bands": [eo_band(band)],
        "raster:bands": [raster],
        "roles": ["data", "reflectance"],
    }


def _scl_asset(region: Region, tile: Tile) -> dict[str, Any]:
    return {
        "href": "SCL.tif",
        "title": SENSOR.extras["scl"].title,
        **_grid(region, tile, 20),
        "raster:bands": [{"nodata": 0, "data_type": "uint8", "spatial_resolution": 20}],
        "roles": ["data"],
    }
