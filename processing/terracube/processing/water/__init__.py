"""Water: where it is, how clear it is, and what is in it.

    from terracube.processing import water

    found = water.mask(cube, method="wofs")                     # wet, dry, no data, with reasons as bits
    rhow = water.correct(cube.assign(flags=found.flags), method="swir")     # residual glint off; says what it holds
    out = water.retrieve(["spm_blend", "chl_blend"], rhow, uncertainty=True)
    out = out.assign(water=found.water, flags=rhow.flags)
    lakes = water.series(out, polygons)                         # per lake and date
    pairs = water.matchup(out, measurements)                    # every candidate, every reason for leaving it out
    water.score(pairs)

One room per noun: :mod:`sensors`, :mod:`coefficients` and :mod:`retrievals` (formulas and their numbers), :mod:`masks`,
:mod:`correction`, :mod:`owt` (optical water types), :mod:`lakes`, :mod:`matchups`, :mod:`shoreline`, :mod:`transects`,
:mod:`flux` (of sediment) and :mod:`trophic` (states).
"""

from typing import TYPE_CHECKING

from terracube.core.lazy import lazy_names

if TYPE_CHECKING:
    from terracube.processing.water import (
        coefficients,
        correction,
        flux,
        lakes,
        masks,
        matchups,
        owt,
        retrievals,
        sensors,
        shoreline,
        transects,
        trophic,
    )
    from terracube.processing.water.asking import WaterParameters
    from terracube.processing.water.correction import correct
    from terracube.processing.water.dates import daily
    from terracube.processing.water.lakes import series
    from terracube.processing.water.mapping import WATER
    from terracube.processing.water.masks import frequency, mask, shore_distance
    from terracube.processing.water.matchups import matchup, scatter, score
    from terracube.processing.water.products import describe, retrieve
    from terracube.processing.water.quantities import declare, quantity_of, spectra, to_quantity
    from terracube.processing.water.retrievals import retrieval_names

# Each name with the module that holds it, imported when it is first asked for: some bring large libraries.
_ROOMS = (
    "coefficients",
    "correction",
    "flux",
    "lakes",
    "masks",
    "matchups",
    "owt",
    "retrievals",
    "sensors",
    "shoreline",
    "transects",
    "trophic",
)
_HOMES = {
    "correction": ("correct",),
    "dates": ("daily",),
    "lakes": ("series",),
    "asking": ("WaterParameters",),
    "mapping": ("WATER",),
    "masks": ("frequency", "mask", "shore_distance"),
    "matchups": ("matchup", "scatter", "score"),
    "quantities": ("declare", "quantity_of", "spectra", "to_quantity"),
    "retrievals": ("retrieval_names",),
    "products": ("describe", "retrieve"),
}

__all__ = [
    "WATER",
    "WaterParameters",
    "coefficients",
    "correct",
    "correction",
    "daily",
    "declare",
    "describe",
    "flux",
    "frequency",
    "lakes",
    "mask",
    "masks",
    "matchup",
    "matchups",
    "owt",
    "quantity_of",
    "retrieval_names",
    "retrievals",
    "retrieve",
    "scatter",
    "score",
    "sensors",
    "series",
    "shore_distance",
    "shoreline",
    "spectra",
    "to_quantity",
    "transects",
    "trophic",
]


__getattr__ = lazy_names(__name__, _HOMES, _ROOMS)
