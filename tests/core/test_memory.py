"""Memory is given back where the system can, and nothing happens where it cannot."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from terracube.core import memory


@pytest.fixture(autouse=True)
def fresh():
    """Look for the C library anew, before and after."""
    memory._libc.cache_clear()
    yield
    memory._libc.cache_clear()


def resident() -> int:
    """Give the pages that this process holds in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1])


def test_freed_memory_is_given_back():
    """After many small blocks were freed between held ones, giving back makes the process smaller again."""
    if memory._libc() is None:
        pytest.skip("the C library has no malloc_trim, so that there is nothing to give back")
    memory.give_back()  # what tests before this one left free would be taken first
    before = resident()
    blocks = [np.ones(12_000, "uint8") for _ in range(8000)]
    held = blocks[::100]
    grown = resident() - before
    del blocks
    memory.give_back()
    assert grown > 15_000
    assert resident() - before < grown / 2
    assert all((block == 1).all() for block in held)


@pytest.mark.parametrize("there", [False, True])
def test_without_glibc(monkeypatch, there):
    """Without the library, or without that function in it, giving back does nothing and does not fail."""

    def absent(name: str) -> object:
        if there:
            return object()
        raise OSError(f"{name} not found")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    memory.give_back()
    assert memory._libc() is None
