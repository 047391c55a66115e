"""Displacements of OPERA DISP-S1: NetCDF products, and the GeoTIFFs of their static layers.

Sources: JPL, "OPERA Displacement-S1 Product Specification" (JPL D-108772), and the software that writes the product
(opera-adt/disp-s1, ``product.py``, ``product_info.py``, ``main_static_layers.py``). There:

* ``displacement``: metres along the line of sight, positive towards the platform, between ``reference_datetime`` and
  ``secondary_datetime`` (UTC) of the group ``identification``, which holds ``radar_wavelength`` too. The phase that it
  was made of is -4 pi / wavelength times it: the numbers are kept with the other sign, as a change of range in metres,
  and 4 pi / wavelength is their scale;
* ``short_wavelength_displacement`` (m), ``connected_component_labels`` (65535 = none), ``temporal_coherence``,
  ``estimated_phase_quality`` (the coherence of the multi-looked interferogram; ``interferometric_correlation`` before),
  ``recommended_mask`` (1 = good), ``water_mask``;
* ``corrections/perpendicular_baseline`` varies little over a frame: its mean over a few rows is that of the pair;
* static layers: ``..._line_of_sight_enu.tif``: east, north, up, from the ground to the satellite; ``..._dem.tif``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from terracube.core.errors import MetadataError
from terracube.core.sensors import Radiometry
from terracube.cubes.access import Location
from terracube.cubes.readers import read_header, read_pixels
from terracube.cubes.window import Window
from terracube.ingest.readers.interferograms import layers
from terracube.ingest.readers.interferograms.complement import facts_beside
from terracube.ingest.readers.interferograms.layers import Layer, Rows, tiff
from terracube.ingest.readers.interferograms.ncfacts import NetcdfFacts
from terracube.ingest.readers.interferograms.pair import Pair, geometry_item, pair_item, read_date
from terracube.ingest.readers.interferograms.places import there
from terracube.ingest.scene import Delivered, Raster
from terracube.ingest.sources import Source

_PRODUCT = re.compile(r"OPERA_L3_DISP-S1_.+\.nc\Z")
_STATIC = re.compile(r"(OPERA_L3_DISP-S1-STATIC_F\d+_(\d{8})_(S1[A-D])_v[\d.]+)_line_of_sight_enu\.tif\Z")
_STEP = 512
_MEANING = {0: "not recommended", 1: "recommended"}
_LAYERS = {
    "short_wavelength_displacement": ("short_wavelength_displacement",),
    "temporal_coherence": ("temporal_coherence",),
    "coherence": ("estimated_phase_quality", "interferometric_correlation"),
    "connected_components": ("connected_component_labels",),
    "recommended_mask": ("recommended_mask",),
    "water_mask": ("water_mask",),
}
_CLASSES = {"recommended_mask": _MEANING, "water_mask": {0: "water", 1: "land"}}


def find(path: Path) -> list[Path]:
    """Look for products, and for static layers, which are named by their line of sight."""
    if there(path):
        return [path] if _PRODUCT.match(path.name) or _STATIC.match(path.name) else []
    found = (each for each in path.rglob("OPERA_L3_DISP-S1*") if _PRODUCT.match(each.name) or _STATIC.match(each.name))
    return sorted(each for each in found if there(each))


def read(path: Path, source: Source) -> Delivered:
    """Read a product, or the static layers of a frame.

    Raises
    ------
    TerraCubeError
    """
    return _static(path, source) if _STATIC.match(path.name) else _product(path, source)


@dataclass(frozen=True)
class VariablePixels:
    """A variable of a NetCDF file."""

    path: Path
    member: str
    width: int
    step: int = _STEP
    kept: None = None

    def rows(self, start: int, stop: int) -> Rows:
        """Give rows ``start`` to ``stop``; see :class:`terracube.ingest.pixels.Pixels`."""
        location = Location(str(self.path.absolute()), self.member)
        return read_pixels(location, 1, Window(start, 0, stop - start, self.width))


def _variable(path: Path, member: str, source: Source) -> Layer:
    found = read_header(Location(str(path.absolute()), member), where=f"{path}, {member}")
    rows, cols = found.grid.shape
    if found.count != 1 or max(rows, cols) > source.largest_side:
        raise MetadataError(
            "the variable is no raster of this product",
            where=f"{path}, {member}",
            expected=f"one band, at most {source.largest_side} along each side",
            got=f"{found.count} bands of {rows} x {cols}",
        )
    step = found.tile[0] * max(1, _STEP // found.tile[0])
    nodata = found.nodata[0]
    if nodata is None and np.dtype(found.dtypes[0]).kind == "f":
        nodata = math.nan
    return Layer(VariablePixels(path, member, cols, min(step, 4 * _STEP)), found.grid, found.dtypes[0], nodata, (path,))


def _product(path: Path, source: Source) -> Delivered:
    facts = facts_beside(path.parent)
    with NetcdfFacts.of(path) as told:
        names = told.variables()
        where = f"{path}, identification"
        dates = [
            read_date(told.text(f"identification/{which}_datetime"), where=where)[0]
            for which in ("reference", "secondary")
        ]
        given = facts.complete(
            reference=dates[0],
            secondary=dates[1],
            wavelength=told.number("identification/radar_wavelength"),
            where=str(path),
            baseline=told.mean("corrections/perpendicular_baseline"),
            more={"constellation": "sentinel-1", "instruments": ["c-sar"], "sar:instrument_mode": "IW"},
        )
        towards = told.attribute("displacement", "description")
    if towards and "toward" not in towards.lower():
        raise MetadataError(
            "the displacement is described in an unknown way",
            where=f"{path}, displacement, description",
            expected="positive towards the platform",
            got=towards[:120],
        )
    rasters = _rasters(path, names, given, source, sign=facts.factor)
    name = facts.name(path.stem)
    return pair_item(given.ordered(), rasters, name=name, source=source, path=path, notes=facts.notes)


def _rasters(path: Path, names: set[str], given: Pair, source: Source, *, sign: float) -> list[Raster]:
    factor = -sign * (-1 if given.reversed else 1)
    grown = layers.phase(_variable(path, "displacement", source), source, factor=factor, missing=None)
    rule = Radiometry(4 * math.pi / given.wavelength, 0.0, "kept as change of range in metres: 4 pi / wavelength")
    rasters = [replace(grown, radiometry=rule)]
    for key, variables in _LAYERS.items():
        for name in variables:
            if name in names:
                layer = _variable(path, name, source)
                rasters.append(layers.raster(key, layer, source, classes=_CLASSES.get(key, {})))
                break
    return rasters


def _static(path: Path, source: Source) -> Delivered:
    found = _STATIC.match(path.name)
    if found is None:
        raise MetadataError("the name tells no static layer", where=str(path), expected="OPERA_L3_DISP-S1-STATIC_...")
    stem, day, platform = found.groups()
    east, north, up = (tiff(path, source, band=band, most=3) for band in (1, 2, 3))
    rasters = layers.los_of_vector(east, north, up, source)
    if there(file := path.with_name(f"{stem}_dem.tif")):
        rasters.append(layers.raster("dem", tiff(file, source), source))
    moment, _ = read_date(day, where=str(path))
    told = {"constellation": "sentinel-1", "platform": f"sentinel-1{platform[-1].lower()}", "instruments": ["c-sar"]}
    return geometry_item(rasters, (moment, moment), name=f"{stem}-geometry", source=source, path=path, properties=told)
