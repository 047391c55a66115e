"""Regional models without hard borders: weights that fade into each other, and maps blended by them."""

from terracube.processing.landcover.regions.classify import classify_regions
from terracube.processing.landcover.regions.weights import blend, region_weights

__all__ = ["blend", "classify_regions", "region_weights"]
