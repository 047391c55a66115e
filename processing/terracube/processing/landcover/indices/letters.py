"""The letters of the catalogue of spectral indices, in the words of our band roles.

The catalogue names bands by letters (``N``, ``R``, ``S1``); this table is the one place that says which of our roles
they are. A letter with several roles takes the first that is there: ``N`` is the broad near infrared of Sentinel-2
(``nir``) and the one near infrared of Landsat (``nir08``).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

LETTERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "A": ("coastal",),
        "B": ("blue",),
        "G": ("green",),
        "G1": ("green05",),
        "Y": ("yellow",),
        "R": ("red",),
        "RE1": ("rededge1", "rededge071"),
        "RE2": ("rededge2", "rededge075"),
        "RE3": ("rededge3", "rededge078"),
        "N": ("nir", "nir08"),
        "N2": ("nir08",),
        "WV": ("nir09",),
        "S1": ("swir16",),
        # The "mid infrared" of the vegetation products of MODIS is its band 7, 2.105 to 2.155 micrometres.
        "S2": ("swir22", "mir"),
        "T": ("lwir", "lwir11"),
        "T1": ("lwir11", "lwir"),
        "T2": ("lwir12",),
        "VV": ("vv",),
        "VH": ("vh",),
        "HV": ("hv",),
        "HH": ("hh",),
    }
)
"""Letter of the catalogue to the roles that it may be, the preferred first."""

_RBF = "exp(-({a} - {b}) ** 2.0 / (2.0 * sigma ** 2.0))"
KERNELS: Mapping[str, str] = MappingProxyType(
    {f"k{a}{b}": "1.0" if a == b else _RBF.format(a=a, b=b) for a, b in ("NN", "NR", "NB", "NL", "GG", "GR", "GB")}
)
"""Terms of the kernel indices, with the radial basis function as kernel, whose width is the parameter ``sigma``."""
