"""User functions over the regular series, entered by name and version so that descriptions stay JSON."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import ConflictError, InputError, NotFoundError

type Body = Callable[[NDArray[np.float32], NDArray[np.float64]], NDArray[np.float32]]

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,47}")
_VERSION = re.compile(r"[0-9]+(\.[0-9]+){0,2}")
_LOCK = Lock()


@dataclass(frozen=True, slots=True)
class Function:
    """A registered function."""

    name: str
    version: str
    outputs: tuple[str, ...]
    """Names of the features it gives."""
    fn: Body
    """From the series (D, needs, N) and the regular dates (D,), in days, to (outputs, N)."""
    needs: tuple[str, ...]
    """The bands and indices it is handed, in order."""

    @property
    def key(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

    def __call__(self, series: NDArray[np.float32], days: NDArray[np.float64]) -> NDArray[np.float32]:
        """Call the function and check what it gives.

        Raises
        ------
        InputError
            If the result has another type or shape than was registered.
        """
        found = np.asarray(self.fn(series, days))
        shape = (len(self.outputs), series.shape[2])
        if found.dtype != np.float32 or found.shape != shape:
            raise InputError(
                "the function gives something else than was registered",
                where=self.key,
                expected=f"float32 {shape}",
                got=f"{found.dtype} {found.shape}",
            )
        return found


_REGISTERED: dict[str, Function] = {}


def register_function(
    name: str, version: str, *, outputs: tuple[str, ...], fn: Body, needs: tuple[str, ...]
) -> Function:
    """Register a function whose results become features.

    Parameters
    ----------
    name, version : str
        Together the key that a description names: ``rise@1.0``.
    outputs : tuple of str
        Names of the features.
    fn : callable
        ``fn(series, days)``: from float32 (D, V, N), the ``needs`` at the D regular dates of N pixels (NaN = missing;
        its own copy), and ``days`` (D,), to float32 (outputs, N). A pixel's result must depend on that pixel
        alone, and the function must be importable by workers.
    needs : tuple of str
        Bands and indices.

    Returns
    -------
    Function

    Raises
    ------
    InputError
        If a name is malformed.
    ConflictError
        If the key stands for another function already.

    Examples
    --------
    >>> def rise(series, days):
    ...     return series[-1] - series[0]
    >>> register_function("rise_example", "1.0", outputs=("NDVI_rise",), fn=rise, needs=("NDVI",)).key
    'rise_example@1.0'
    """
    words = (name, *outputs, *needs)
    wrong = [word for word in words if not _WORD.fullmatch(word)] + ([] if _VERSION.fullmatch(version) else [version])
    if wrong or not outputs or not needs or len(set(outputs)) < len(outputs):
        raise InputError(
            "the function cannot be registered",
            where=f"{name}@{version}"[:80],
            expected="words as name, outputs and needs, each output once, and a version like 1.0",
            got=", ".join(map(repr, wrong))[:200] or f"outputs {outputs}, needs {needs}",
        )
    made = Function(name, version, tuple(outputs), fn, tuple(needs))
    with _LOCK:
        kept = _REGISTERED.setdefault(made.key, made)
    if kept != made:
        raise ConflictError("the key stands for another function", where=made.key, todo="give a new version")
    return kept


def get_function(key: str) -> Function:
    """Give a registered function by its key, ``name@version``.

    Raises
    ------
    NotFoundError
        If nothing is registered under the key.
    """
    if key in _REGISTERED:
        return _REGISTERED[key]
    raise NotFoundError(
        "no such function",
        where="functions",
        expected=", ".join(sorted(_REGISTERED)) or "a registered function",
        got=repr(key)[:80],
        todo="register it in every process that computes (register_function)",
    )
