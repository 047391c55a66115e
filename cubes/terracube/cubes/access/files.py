"""Bytes of files on this machine: descriptors are kept, shared by threads, and never of a file that was replaced."""

from __future__ import annotations

import os
import stat
import threading
import weakref
from collections import OrderedDict
from collections.abc import Sequence

from terracube.core.errors import AssetError
from terracube.cubes.access.errors import NotThereError
from terracube.cubes.access.ranges import check_range

_MAX_OPEN = 64
# Linux gives at most 2 GiB in one call.
_MAX_READ = 1 << 30

# Without waiting: opening a pipe would wait for its other end.
_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


class LocalBytes:
    """A regular file; any number of threads may read at once, because no position is shared."""

    __slots__ = ("__weakref__", "_descriptor", "name", "size", "version")

    def __init__(self, path: str, descriptor: int, status: os.stat_result) -> None:
        self.name = path
        self.size = status.st_size
        self.version = f"{status.st_dev}-{status.st_ino}-{status.st_ctime_ns}-{status.st_mtime_ns}-{status.st_size}"
        self._descriptor = descriptor
        # Not when the pool forgets it, but when nobody holds it: a number closed too early could be another file's.
        weakref.finalize(self, os.close, descriptor)

    def __repr__(self) -> str:
        return f"LocalBytes({self.name}, {self.size} bytes)"

    def read(self, start: int, stop: int) -> bytes:
        """Give the bytes from ``start`` to before ``stop``."""
        check_range(start, stop, self.size, self.name)
        told = ""
        parts: list[bytes] = []
        try:
            at = start
            while at < stop:
                part = os.pread(self._descriptor, min(stop - at, _MAX_READ), at)
                if not part:
                    break
                parts.append(part)
                at += len(part)
        except OSError as error:
            told = error.strerror or str(error)
        found = b"".join(parts) if len(parts) != 1 else parts[0]
        if told or len(found) != stop - start:
            raise AssetError(
                "cannot read all bytes",
                where=self.name,
                expected=f"bytes {start} to {stop}",
                got=told or f"{len(found)} bytes; the file was shortened while it was read",
            )
        return found

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Give the bytes of several ranges, in their order."""
        return [self.read(start, stop) for start, stop in ranges]


_lock = threading.Lock()
_pool: OrderedDict[tuple[str, int, int, int, int, int], LocalBytes] = OrderedDict()


def open_local(path: str) -> LocalBytes:
    """Open a regular file, or give the one that is open already.

    Raises
    ------
    AssetError
        If it is missing, no regular file, or may not be read.
    """
    try:
        key = _key(path, os.stat(path))
        with _lock:
            found = _pool.get(key)
            if found is not None:
                _pool.move_to_end(key)
                return found
        return _keep(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        absent, told = True, error.strerror or str(error)
    except (OSError, ValueError) as error:
        absent, told = False, str(getattr(error, "strerror", None) or error)
    if absent:
        raise NotThereError("the file is not there", where=path, got=told)
    raise AssetError("cannot read the file", where=path, got=told)


def _keep(path: str) -> LocalBytes:
    descriptor = os.open(path, _FLAGS)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise AssetError("not a file", where=path, expected="a regular file", got="a folder, pipe or device")
    opened = LocalBytes(path, descriptor, status)
    with _lock:
        _pool[_key(path, status)] = opened
        while len(_pool) > _MAX_OPEN:
            _pool.popitem(last=False)
    return opened


def _key(path: str, status: os.stat_result) -> tuple[str, int, int, int, int, int]:
    # Inode and change time too: a file replaced within one tick of the clock, or dated back, is another file.
    return path, status.st_dev, status.st_ino, status.st_ctime_ns, status.st_mtime_ns, status.st_size


def forget_files() -> None:
    """Close every file that nobody holds."""
    with _lock:
        _pool.clear()


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
