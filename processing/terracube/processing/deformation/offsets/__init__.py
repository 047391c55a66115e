"""Offsets: how far the ground moved between images, and its history from many pairs."""

from terracube.processing.deformation.offsets.filters import neighbour_filter
from terracube.processing.deformation.offsets.rules import Rules
from terracube.processing.deformation.offsets.series import invert_offsets
from terracube.processing.deformation.offsets.stable import remove_jitter, remove_shift
from terracube.processing.deformation.offsets.track import FLAGS, track

__all__ = ["FLAGS", "Rules", "invert_offsets", "neighbour_filter", "remove_jitter", "remove_shift", "track"]
