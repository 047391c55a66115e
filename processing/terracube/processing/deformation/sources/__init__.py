"""Sources below the ground that move its surface: spheres that swell, faults that slip or open; and fits of them."""

from terracube.processing.deformation.sources.fit import SourceFit, fit_source, model_map
from terracube.processing.deformation.sources.mogi import Motion, mogi
from terracube.processing.deformation.sources.okada import okada, okada_plane

__all__ = ["Motion", "SourceFit", "fit_source", "model_map", "mogi", "okada", "okada_plane"]
