"""How kernels are compiled: without the lock of the interpreter, division as numpy does it, and nothing unneeded."""

from __future__ import annotations

from typing import Any

from numba import njit

# The last two are options of the compiler that its types do not know.
_FEWER: dict[str, Any] = {"no_cfunc_wrapper": True}
_FEWEST: dict[str, Any] = {**_FEWER, "no_cpython_wrapper": True}

kernel: Any = njit(nogil=True, error_model="numpy", **_FEWER)
"""For loops that Python calls."""

inner: Any = njit(nogil=True, error_model="numpy", **_FEWEST)
"""For loops that only other loops call: they need no wrapper for Python, which takes time to compile."""

part: Any = njit(nogil=True, error_model="numpy", inline="always", **_FEWEST)
"""For pieces that one loop calls in one place: they become part of it before anything is compiled. Otherwise each level
of calls optimises all that lies below it once more, which is most of the time that compiling takes."""
