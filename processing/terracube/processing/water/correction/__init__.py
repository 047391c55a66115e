"""Residual glint taken off surface reflectances over water."""

from terracube.processing.water.correction.fresnel import fresnel_reflectance, glint_ratio, refractive_index
from terracube.processing.water.correction.removal import correct
from terracube.processing.water.correction.rules import CorrectionRules

__all__ = ["CorrectionRules", "correct", "fresnel_reflectance", "glint_ratio", "refractive_index"]
