"""Memory that is free is given back to the system, where the system's allocator keeps it to itself."""

from __future__ import annotations

import ctypes
import gc
from functools import cache


@cache
def _libc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    return library if hasattr(library, "malloc_trim") else None


def give_back() -> None:
    """Give freed memory back to the system; does nothing where the C library is not glibc.

    After a run, glibc held 100 MB of freed blocks in its arenas (measured on 16 Mpixel): memory that the process next
    door could use.
    """
    gc.collect()
    library = _libc()
    if library is not None:
        library.malloc_trim(0)
