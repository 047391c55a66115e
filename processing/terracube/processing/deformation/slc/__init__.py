"""From coregistered radar images to unwrapped interferograms: looks, coherence, filter, unwrapping."""

from terracube.processing.deformation.slc.bias import expected_coherence, unbiased_coherence
from terracube.processing.deformation.slc.filtering import goldstein
from terracube.processing.deformation.slc.joining import join_pairs
from terracube.processing.deformation.slc.looks import coherence, interferogram
from terracube.processing.deformation.slc.unwrapping import unwrap

__all__ = [
    "coherence",
    "expected_coherence",
    "goldstein",
    "interferogram",
    "join_pairs",
    "unbiased_coherence",
    "unwrap",
]
