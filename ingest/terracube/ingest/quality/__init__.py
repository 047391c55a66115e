"""Measured quality: facts of a scene, thresholds of its source, a verdict with reasons, and a report over time."""

from terracube.ingest.quality.bands import BandQuality, LayerFacts
from terracube.ingest.quality.judge import Limit, Measure, Rules, Saturation, Verdict, judge, read_rules
from terracube.ingest.quality.measure import Quality, SceneQuality
from terracube.ingest.quality.registration import Shift, find_shift

__all__ = [
    "BandQuality",
    "LayerFacts",
    "Limit",
    "Measure",
    "Quality",
    "Rules",
    "Saturation",
    "SceneQuality",
    "Shift",
    "Verdict",
    "find_shift",
    "judge",
    "read_rules",
]
