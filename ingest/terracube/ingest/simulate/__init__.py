"""A simulated region whose truth is known: scenes, interferograms, and what lies behind them.

The physics here is written apart from the retrievals and from other sources: a retrieval that recovers this truth has
not merely undone itself. Start with :class:`Region`; its methods give the truth, :func:`write_scenes` and
:func:`write_interferograms` give what instruments would deliver.
"""

from terracube.ingest.simulate.clouds import Sky
from terracube.ingest.simulate.deformation import Deformation, LineOfSight, Motion, TrueMotion, mogi
from terracube.ingest.simulate.interferograms import pairs_of, radar_dates, write_interferograms
from terracube.ingest.simulate.parameters import Clouds, Noise, Radar
from terracube.ingest.simulate.radar import Frame, Interferogram, interferogram
from terracube.ingest.simulate.region import Region, Tile
from terracube.ingest.simulate.scenes import seen_reflectance, sky_of, swath_of, write_scenes
from terracube.ingest.simulate.sensor import BANDS, SpectralBand, acquisition_dates
from terracube.ingest.simulate.surface import Cover, Phenology
from terracube.ingest.simulate.truth import write_truth
from terracube.ingest.simulate.water import Optics, water_reflectance

__all__ = [
    "BANDS",
    "Clouds",
    "Cover",
    "Deformation",
    "Frame",
    "Interferogram",
    "LineOfSight",
    "Motion",
    "Noise",
    "Optics",
    "Phenology",
    "Radar",
    "Region",
    "Sky",
    "SpectralBand",
    "Tile",
    "TrueMotion",
    "acquisition_dates",
    "interferogram",
    "mogi",
    "pairs_of",
    "radar_dates",
    "seen_reflectance",
    "sky_of",
    "swath_of",
    "water_reflectance",
    "write_interferograms",
    "write_scenes",
    "write_truth",
]
