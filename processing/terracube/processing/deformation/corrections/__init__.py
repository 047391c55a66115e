"""Corrections of a series: each by itself, each with its record, none that removes motion unasked."""

from terracube.processing.deformation.corrections._record import corrections_of
from terracube.processing.deformation.corrections._rules import RampRules
from terracube.processing.deformation.corrections.delays import correct_delays
from terracube.processing.deformation.corrections.plates import PLATES, correct_plate_motion, plate_velocity
from terracube.processing.deformation.corrections.ramp_elevation import (
    correct_pair_ramps,
    correct_ramp_elevation,
)
from terracube.processing.deformation.corrections.terrain_error import correct_terrain_error, date_baselines
from terracube.processing.deformation.corrections.tides import correct_tides, solid_earth_tides

__all__ = [
    "PLATES",
    "RampRules",
    "correct_delays",
    "correct_pair_ramps",
    "correct_plate_motion",
    "correct_ramp_elevation",
    "correct_terrain_error",
    "correct_tides",
    "corrections_of",
    "date_baselines",
    "plate_velocity",
    "solid_earth_tides",
]
