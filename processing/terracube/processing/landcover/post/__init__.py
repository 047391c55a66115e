"""After the classification: smoothing, votes, the sieve, regularisation, polygons. Seam-free: chunks never show."""

from terracube.processing.landcover.post.majority import coarsen, coarsen_array, majority, majority_array
from terracube.processing.landcover.post.regularise import OSO_GROUPS, regularise, regularise_array
from terracube.processing.landcover.post.sieve import minimum_mapping_unit, sieve, sieve_array
from terracube.processing.landcover.post.smoothing import smooth, smooth_array
from terracube.processing.landcover.post.vectors import vectorise, write_vectors

__all__ = [
    "OSO_GROUPS",
    "coarsen",
    "coarsen_array",
    "majority",
    "majority_array",
    "minimum_mapping_unit",
    "regularise",
    "regularise_array",
    "sieve",
    "sieve_array",
    "smooth",
    "smooth_array",
    "vectorise",
    "write_vectors",
]
