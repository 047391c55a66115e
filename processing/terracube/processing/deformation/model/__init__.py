"""Models of motion in time: their terms, the dates that hold them, their fit, and which terms the data ask for."""

from terracube.processing.deformation.model.design import Design, ShortSeriesWarning, columns_at, design_of
from terracube.processing.deformation.model.fitting import fit
from terracube.processing.deformation.model.selection import select_terms
from terracube.processing.deformation.model.terms import (
    Given,
    Model,
    Polynomial,
    Relaxation,
    Seasonal,
    Step,
    Term,
    parse_model,
)

__all__ = [
    "Design",
    "Given",
    "Model",
    "Polynomial",
    "Relaxation",
    "Seasonal",
    "ShortSeriesWarning",
    "Step",
    "Term",
    "columns_at",
    "design_of",
    "fit",
    "parse_model",
    "select_terms",
]
