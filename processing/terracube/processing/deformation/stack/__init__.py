"""Stacks: phases of pairs in one unit and one sign, their dates, and what else is known of them."""

from terracube.processing.deformation.stack.canonical import COHERENCE, COMPONENTS, PHASE
from terracube.processing.deformation.stack.opening import (
    LINE_OF_SIGHT,
    StackWarning,
    has_place,
    join_stacks,
    open_stack,
    to_stack,
)

__all__ = [
    "COHERENCE",
    "COMPONENTS",
    "LINE_OF_SIGHT",
    "PHASE",
    "StackWarning",
    "has_place",
    "join_stacks",
    "open_stack",
    "to_stack",
]
