"""Descriptions of features that have proved themselves."""

from __future__ import annotations

from collections.abc import Iterable

from terracube.processing.landcover.features.spec import FeatureSpec, Season
from terracube.processing.landcover.features.variables import BRIGHTNESS
from terracube.processing.landcover.indices import available

# What stands for the three indices of the method, the best first: NDWI of the method is that of near and short-wave
# infrared (Gao, 1996, doi:10.1016/S0034-4257(96)00067-3), which the catalogue calls NDMI.
_OSO = (("NDVI",), ("NDMI", "NDWI"))


def oso(bands: Iterable[str], *, start: str = "01-01", step: int = 10, count: int = 37) -> FeatureSpec:
    """Describe the features of the yearly French land-cover map: bands, NDVI, NDWI and brightness every ten days.

    Inglada et al. (2017, doi:10.3390/rs9010095). The series are filled linearly, and a year has 37 dates.

    Parameters
    ----------
    bands : iterable of str
        Role names; NDVI needs red and near infrared, NDWI short-wave infrared (NDMI of the catalogue) or else green
        (NDWI). Those that cannot be computed are left out.
    start, step, count
        The season; for another year or hemisphere.

    Examples
    --------
    >>> spec = oso(("green", "red", "nir", "swir16"))
    >>> spec.series, len(spec.names())
    (('green', 'red', 'nir', 'swir16', 'NDVI', 'NDMI', 'brightness'), 259)
    """
    roles = tuple(bands)
    known = set(available(roles))
    indices = [next((name for name in names if name in known), None) for names in _OSO]
    series = (*roles, *(name for name in indices if name is not None), BRIGHTNESS)
    return FeatureSpec(bands=roles, season=Season(start=start, step=step, count=count), series=series)


def modis(bands: Iterable[str], *, start: str = "09-01", step: int = 16, count: int = 23) -> FeatureSpec:
    """Describe the features of a year of 16-day composites such as MOD13Q1: all that was delivered, at each date.

    Parameters
    ----------
    bands : iterable of str
        What the composites hold, indices among them: ``("NDVI", "EVI", "NIR", "MIR")``.
    start, step, count
        The season; by default the agricultural year of the Cerrado.

    Examples
    --------
    >>> modis(("NDVI", "EVI")).names()[:3]
    ('NDVI_d000', 'EVI_d000', 'NDVI_d016')
    """
    names = tuple(bands)
    return FeatureSpec(bands=names, season=Season(start=start, step=step, count=count), series=names)
