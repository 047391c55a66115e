"""Caches of a process, shared by its threads: of what was learnt from headers, and of decoded tiles."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from numpy.typing import NDArray

_TILE_BYTES = 64 << 20
_TABLE_BYTES = 16 << 20
_PIECE_BYTES = 16 << 20
_MAX_HEADERS = 4096


class Recent[V]:
    """The values that were asked for most recently, up to a sum of their sizes."""

    def __init__(self, most: int, size_of: Callable[[V], int]) -> None:
        self.most = most
        self._size_of = size_of
        self._held = 0
        self._values: OrderedDict[Hashable, V] = OrderedDict()
        self._lock = threading.Lock()
        _all.add(self)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def held(self) -> int:
        """Sum of the sizes."""
        return self._held

    def get(self, key: Hashable) -> V | None:
        """Give a value, or ``None`` if it is not here, or no longer."""
        with self._lock:
            found = self._values.get(key)
            if found is not None:
                self._values.move_to_end(key)
            return found

    def put(self, key: Hashable, value: V) -> None:
        """Keep a value; those not asked for longest go. One larger than a quarter of the room is not kept."""
        size = self._size_of(value)
        if size > max(self.most // 4, 1):
            return
        with self._lock:
            if key in self._values:
                self._held -= self._size_of(self._values.pop(key))
            self._values[key] = value
            self._held += size
            while self._held > self.most:
                self._held -= self._size_of(self._values.popitem(last=False)[1])

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._values.clear()
            self._held = 0

    def resize(self, most: int) -> None:
        """Change the room, and forget what no longer fits."""
        with self._lock:
            self.most = most
            while self._held > most:
                self._held -= self._size_of(self._values.popitem(last=False)[1])

    def unlock(self) -> None:
        """Start anew in a forked process: another thread may have held the lock."""
        self._lock = threading.Lock()
        self.clear()


_all: weakref.WeakSet[Recent[Any]] = weakref.WeakSet()


def _after_fork() -> None:
    for cache in list(_all):
        cache.unlock()


os.register_at_fork(after_in_child=_after_fork)


def _one(_: object) -> int:
    return 1


def _nbytes(values: NDArray[Any]) -> int:
    return int(values.nbytes)


headers: Recent[Any] = Recent(_MAX_HEADERS, _one)
"""What is known of files, by their identity."""
tiles: Recent[NDArray[Any]] = Recent(_TILE_BYTES, _nbytes)
"""Decoded tiles of which a part was wanted; never written to."""
tables: Recent[NDArray[Any]] = Recent(_TABLE_BYTES, _nbytes)
"""Where the tiles of a file lie."""
pieces: Recent[bytes] = Recent(_PIECE_BYTES, len)
"""Bytes of remote files that GDAL asked for."""


def use_tile_cache(most: int) -> None:
    """Give the decoded tiles of this process so many bytes; 0 keeps none.

    Tiles are kept where a read needs a part of them, so that its neighbours need not decode them again.
    """
    tiles.resize(most)


def forget() -> None:
    """Forget everything."""
    for cache in (headers, tiles, tables, pieces):
        cache.clear()
