"""Science: chains from cubes to product layers. Never looks at a catalogue."""

from terracube.processing.chain import Chain, ChainParameters, Context, Finish, Map
from terracube.processing.composite import COMPOSITE, CompositeParameters, composite
from terracube.processing.estimate import Estimate
from terracube.processing.registry import chain_names, get_chain, register
from terracube.processing.warm import warmup

__all__ = [
    "COMPOSITE",
    "Chain",
    "ChainParameters",
    "CompositeParameters",
    "Context",
    "Estimate",
    "Finish",
    "Map",
    "chain_names",
    "composite",
    "get_chain",
    "register",
    "warmup",
]
