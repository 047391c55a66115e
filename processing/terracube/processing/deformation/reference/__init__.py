"""The ground against which motion is told: named, or found as the calmest of a stack."""

from terracube.processing.deformation.reference.placing import (
    AUTO,
    Reference,
    ReferenceLike,
    Statistic,
    apply_reference,
    choose_reference,
    known_statistic,
    to_reference,
)
from terracube.processing.deformation.reference.search import AREA, ReferenceSearch

__all__ = [
    "AREA",
    "AUTO",
    "Reference",
    "ReferenceLike",
    "ReferenceSearch",
    "Statistic",
    "apply_reference",
    "choose_reference",
    "known_statistic",
    "to_reference",
]
