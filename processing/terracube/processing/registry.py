"""Chains by name; those of our own are imported when they are asked for."""

from __future__ import annotations

from importlib import import_module

from terracube.core.errors import InputError
from terracube.processing.chain import Chain

_REGISTRY: dict[str, Chain] = {}
# Chains of our own, registered by the modules that hold them, which are imported when one is asked for.
_OURS = {
    "composite": "terracube.processing.composite",
    "deformation": "terracube.processing.deformation.mapping",
    "landcover": "terracube.processing.landcover.classification",
    "offsets": "terracube.processing.deformation.offsets.mapping",
    "water": "terracube.processing.water.mapping",
}


def register(chain: Chain) -> Chain:
    """Make a chain known by its name.

    Raises
    ------
    InputError
        If another chain has that name.
    """
    if _REGISTRY.get(chain.name, chain) is not chain:
        raise InputError("a chain of this name is registered", got=chain.name, todo="choose another name")
    _REGISTRY[chain.name] = chain
    return chain


def get_chain(name: str) -> Chain:
    """Give a chain by name.

    Raises
    ------
    InputError
        If there is none; the message lists those there are.
    """
    if name not in _REGISTRY and name in _OURS:
        import_module(_OURS[name])
    if name not in _REGISTRY:
        raise InputError("unknown chain", expected=", ".join(chain_names()), got=repr(name))
    return _REGISTRY[name]


def chain_names() -> tuple[str, ...]:
    """List the registered chains."""
    return tuple(sorted({*_REGISTRY, *_OURS}))
