"""From pairs to series, by weighted least squares on the network."""

from terracube.processing.deformation.inversion.solving import LINKS, STATIC, Weights, invert_stack
from terracube.processing.deformation.inversion.weights import bound_variance, phase_variance, weight_table

__all__ = ["LINKS", "STATIC", "Weights", "bound_variance", "invert_stack", "phase_variance", "weight_table"]
