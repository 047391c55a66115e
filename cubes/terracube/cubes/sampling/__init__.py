"""Sampling: time series at points, statistics in polygons, and boxes of pixels around measurements."""

from terracube.cubes.sampling.boxes import box_frame, extract_boxes
from terracube.cubes.sampling.series import sample

__all__ = ["box_frame", "extract_boxes", "sample"]
