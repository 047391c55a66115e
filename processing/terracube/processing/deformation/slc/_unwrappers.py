"""The libraries that unwrap: each behind a function of the same form, imported where it is called."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import InputError

Solution = tuple[NDArray[np.float32], NDArray[np.int32]]
Unwrapper = Callable[[NDArray[np.complex64], NDArray[np.float32], NDArray[np.bool_], float], Solution]
"""From an interferogram, its coherence, which pixels are there, and looks to phase (rad) and components (0 = none)."""
_PACKAGES = {"whirlwind": "whirlwind-insar", "snaphu": "snaphu"}
_TODO = {
    "whirlwind": "install whirlwind-insar",
    "snaphu": 'install the extra "snaphu"; parts of it may not be used commercially',
}
_HARMLESS = ("WHIRLWIND_NUM_THREADS", "WHIRLWIND_TIMING", "WHIRLWIND_DEBUG")


def to_unwrapper(method: str) -> tuple[Unwrapper, str]:
    """Give the function behind a name, and what it calls: name and version.

    Raises
    ------
    InputError
        If there is no such method, its library is missing, or the environment would change what it computes.
    """
    known: dict[str, Unwrapper] = {"whirlwind": _whirlwind, "snaphu": _snaphu}
    if method not in known:
        raise InputError("no such unwrapper", where="method", expected=" or ".join(known), got=repr(method))
    if find_spec(method) is None:
        raise InputError("the library that unwraps is not installed", where="method", got=method, todo=_TODO[method])
    changed = [name for name in os.environ if name.startswith("WHIRLWIND_") and name not in _HARMLESS]
    if method == "whirlwind" and changed:
        raise InputError("variables of the environment change what is computed", where=", ".join(changed), todo="unset")
    return known[method], f"{_PACKAGES[method]} {version(_PACKAGES[method])}"


def _whirlwind(
    interferogram: NDArray[np.complex64], coherence: NDArray[np.float32], valid: NDArray[np.bool_], looks: float
) -> Solution:
    phase, components = import_module("whirlwind").unwrap(interferogram, coherence, looks, mask=valid)
    return np.asarray(phase, "float32"), np.asarray(components, "int32")


def _snaphu(
    interferogram: NDArray[np.complex64], coherence: NDArray[np.float32], valid: NDArray[np.bool_], looks: float
) -> Solution:
    solve = import_module("snaphu").unwrap
    phase, components = solve(interferogram, coherence, looks, cost="smooth", init="mcf", mask=valid)
    return np.asarray(phase, "float32"), np.asarray(components, "int32")
