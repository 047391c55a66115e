"""Coloured dissolved organic matter (CDOM): its absorption in the blue, from ratios and from the inversion.

All of these are weak: ratios of bands answer to chlorophyll and suspended matter as well, and on the global set of
NOMAD half of their values are off by two thirds or more. Read them as more or less, not as numbers; a formula fitted
to the water at hand (ln a = b0 + b1 ln(green/red), after Brezonik et al. 2005, doi:10.1016/j.rse.2005.04.007) is
better wherever there are samples. No constants of that form hold everywhere, so that it is not here.

References
----------
Ficek, Zapadka, Dera 2011, Oceanologia 53(4), 959-970. Mannino, Russ, Hooker 2008, doi:10.1029/2007JC004493. Mannino
et al. 2014, doi:10.1016/j.rse.2014.06.023. Zhu, Yu, Tian, Chen, Gardner 2011, doi:10.1029/2010JC006350. The numbers
are those that public implementations carry; the papers' tables were not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from terracube.processing.formula import log, power
from terracube.processing.water.retrievals.base import Bands, Retrieval, Retrieved, register_retrieval
from terracube.processing.water.retrievals.optics import QAA_ROLES, inverted


def _cdom_ficek(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    ratio = bands["green"] / bands["red"]
    return Retrieved(known["factor"] * power(ratio, known["power"]), outside=ratio <= 0.0)


def _cdom_mannino(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    ratio = bands["blue"] / bands["green"]
    share = (ratio - known["a"]) / known["b"]
    # Greener than the curve goes, or bluer than water without any of it.
    return Retrieved(log(share) * (-1.0 / known["c"]), outside=(share <= 0.0) | (share >= 1.0))


def _cdom_qaa(bands: Bands, known: Mapping[str, Any]) -> Retrieved:
    found = inverted(bands)
    factor, exponent = known["particles"]
    particles = factor * power(found.bbp["green"], exponent)
    dissolved = found.a("coastal") - bands.optics("coastal").aw - particles
    return Retrieved(dissolved, outside=found.outside | (dissolved <= 0.0))


def _register(name: str, title: str, **facts: Any) -> None:
    register_retrieval(Retrieval(name=name, title=title, unit="m-1", coefficients=name, weak=True, **facts))


_register(
    "cdom_ficek",
    "Absorption by coloured dissolved organic matter at 440 nm, Ficek et al. 2011",
    quantity="ratio",
    needs=("green", "red"),
    formula=_cdom_ficek,
)
for _year in (2008, 2014):
    _register(
        f"cdom_mannino{_year}",
        f"Absorption by coloured dissolved organic matter at 443 nm, Mannino et al. {_year}",
        quantity="ratio",
        needs=("blue", "green"),
        formula=_cdom_mannino,
    )
_register(
    "cdom_qaa",
    "Absorption by coloured dissolved organic matter at 443 nm, quasi-analytical algorithm and particles",
    quantity="rrs",
    needs=QAA_ROLES,
    formula=_cdom_qaa,
    built_on=("qaa",),
)
