"""Retrievals: from the reflectance of water to what is in it, one module per family."""

from __future__ import annotations

from importlib import import_module

from terracube.core.errors import InputError
from terracube.processing.water.retrievals.base import (
    Bands,
    Evidence,
    Retrieval,
    Retrieved,
    evidence,
    register_retrieval,
    registered,
)

__all__ = [
    "Bands",
    "Evidence",
    "Retrieval",
    "Retrieved",
    "evidence",
    "get_retrieval",
    "register_retrieval",
    "retrieval_names",
]

_FAMILIES = (
    "sediment",
    "chlorophyll",
    "blooms",
    "optics",
    "dissolved",
    "colour",
    "types",
    "blend",
    "inversion",
    "trophic",
)


def _load() -> None:
    for family in _FAMILIES:
        import_module(f"{__name__}.{family}")


def retrieval_names() -> tuple[str, ...]:
    """List the retrievals."""
    _load()
    return tuple(sorted(registered()))


def get_retrieval(name: str) -> Retrieval:
    """Give a retrieval by name.

    Raises
    ------
    InputError
        If there is none; the message names the nearest ones.
    """
    _load()
    known = registered()
    if name in known:
        return known[name]
    from difflib import get_close_matches

    near = get_close_matches(str(name), known, n=5, cutoff=0.3)
    raise InputError("unknown retrieval", expected=", ".join(near or sorted(known)), got=repr(name)[:80])
