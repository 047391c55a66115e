"""A known uplift, seen by a known radar, from which each test writes the product as its producer would."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import settings

from terracube.cubes.pairs import load_pairs
from terracube.ingest import ingest
from terracube.stac import to_query

# No test is judged by its time.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")

UTM = Affine(80.0, 0.0, 600000.0, 0.0, -80.0, 4100000.0)


@dataclass(frozen=True)
class Scene:
    """Ground that rises between two dates, and a right-looking satellite on an ascending orbit."""

    wavelength: float = 0.0554657595
    incidence: float = 39.0
    heading: float = -13.0
    shape: tuple[int, int] = (9, 11)

    @property
    def uplift(self):
        """Metres, up to 12 mm: less than a cycle, so that nothing wraps."""
        y, x = np.mgrid[: self.shape[0], : self.shape[1]]
        return 0.012 * np.exp(-((y - 4) ** 2 + (x - 5) ** 2) / 8.0)

    @property
    def los(self):
        """East, north, up of the unit vector from the ground to the satellite."""
        i, a = math.radians(self.incidence), math.radians(self.heading)
        return -math.sin(i) * math.cos(a), math.sin(i) * math.sin(a), math.cos(i)

    @property
    def towards(self):
        """Displacement along the line of sight, positive towards the satellite, m."""
        return self.uplift * self.los[2]

    @property
    def ranges(self):
        """Distance to the satellite on the first and on the second date, m."""
        first = np.full(self.shape, 880_000.0)
        return first, first - self.towards

    @property
    def grown(self):
        """Phase that grows with the range: what a producer writes who says that positive is away."""
        first, second = self.ranges
        return (4 * math.pi / self.wavelength * (second - first)).astype("float32")

    @property
    def conjugate(self):
        """Phase of the first image times the conjugate of the second, from the images themselves."""
        first, second = (np.exp(-4j * math.pi / self.wavelength * distance) for distance in self.ranges)
        return np.angle(first * np.conj(second)).astype("float32")


@pytest.fixture
def scene():
    """The uplift."""
    return Scene()


@pytest.fixture
def write_tif():
    """Write a small GeoTIFF: a band (y, x), or several (band, y, x)."""

    def write(path: Path, values, *, nodata=None, crs="EPSG:32633", transform=UTM, tags=None):
        layers = np.asarray(values)
        layers = layers[None] if layers.ndim == 2 else layers
        path.parent.mkdir(parents=True, exist_ok=True)
        count, height, width = layers.shape
        profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": layers.dtype.name}
        with rasterio.open(path, "w", **profile, nodata=nodata, crs=crs, transform=transform) as out:
            out.write(layers)
            if tags:
                out.update_tags(**tags)
        return path

    return write


@pytest.fixture
def values():
    """Give a layer of a delivery as physical values, NaN where missing, strip by strip."""

    def read(delivered, key, *, strip=4):
        raster = next(one for one in delivered.rasters if one.key == key)
        height = raster.grid.shape.y
        rows = [raster.pixels.rows(start, min(start + strip, height)) for start in range(0, height, strip)]
        found = np.concatenate(rows)
        assert found.shape == tuple(raster.grid.shape)
        assert found.dtype == raster.dtype
        out = found.astype("float64")
        if raster.nodata is not None and not math.isnan(raster.nodata):
            out[found == raster.nodata] = np.nan
        rule = raster.radiometry
        return out * rule.scale + rule.offset if rule else out

    return read


@pytest.fixture
def displacement(values):
    """Give displacement towards the satellite by the one convention: -wavelength / (4 pi) * phase."""

    def of(delivered):
        wavelength = delivered.properties["terracube:wavelength"]
        return -wavelength / (4 * math.pi) * values(delivered, "unwrapped_phase")

    return of


@pytest.fixture
def recovered(catalog):
    """Ingest deliveries into a catalogue, load them as pairs, give displacement towards the satellite (pair, y, x)."""

    def run(source: str, *paths: Path, static=("los_up",)):
        report = ingest(source, paths, catalog)
        assert not report.refused, report.refused
        cube = load_pairs(catalog.search(to_query(collections=source)), ["unwrapped_phase"], static=static)
        found = -cube.attrs["wavelength"] / (4 * math.pi) * cube.unwrapped_phase
        return found.values, cube

    return run
