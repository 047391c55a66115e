"""How far the air moves each date of a series."""

from terracube.processing.deformation.atmosphere.estimate import atmosphere_std
from terracube.processing.deformation.atmosphere.search import AtmosphereSearch

__all__ = ["AtmosphereSearch", "atmosphere_std"]
