"""Errors of whole cycles: what loops of pairs tell of them; mended, or said to be undecidable; pieces bridged."""

from terracube.processing.deformation.cycles._loops import Loops, loops_of
from terracube.processing.deformation.cycles.bridging import bridge
from terracube.processing.deformation.cycles.closing import closure, sequential_closure
from terracube.processing.deformation.cycles.mending import REACH, repair
from terracube.processing.deformation.cycles.picture import draw_repair

__all__ = ["REACH", "Loops", "bridge", "closure", "draw_repair", "loops_of", "repair", "sequential_closure"]
