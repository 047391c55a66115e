"""The guard of the NetCDF library: on crafted files it crashes the process, or runs for ever.

The header of a classic file is checked here. HDF5 is too rich for that: a process of its own opens such a file first,
reads its metadata and its smaller variables, and may die of it. That process starts with the first file, serves all
that follow, and is replaced after each one that is no good, so that no verdict depends on the files before.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from signal import SIGALRM, SIGPROF

from terracube.core.errors import AssetError, HostileInputError
from terracube.cubes.access import ByteSource
from terracube.cubes.readers.netcdfclassic import check_classic

MAGIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05", b"\x89HDF\r\n\x1a\n")
"""How NetCDF files begin: the three classic forms, and HDF5."""
SMALL = 1 << 16
"""Number of cells of a file of HDF5 that are read before it is trusted, unless told otherwise."""
_SECONDS = 10.0
"""Time of the processor that opening may take."""
_ENDLESS = "the library does not come to an end"
_MAX_VERDICTS = 4096
_PROGRAM = Path(__file__).with_name("netcdfprobe.py")


def check_netcdf(source: ByteSource, content: bytes | None = None, *, cells: int = SMALL) -> None:
    """Refuse a file that the NetCDF library must not open.

    A file of HDF5 that was found good, or bad, is not asked again until it changes.

    Parameters
    ----------
    source : ByteSource
        The file; its name is its path unless ``content`` is given.
    content : bytes, optional
        All of its bytes, where it is no file of this machine.
    cells : int
        Variables of HDF5 are read whole until this many cells are read, and of larger ones the first cell.

    Raises
    ------
    HostileInputError
        If it is no NetCDF, or the library does not come to an end with it.
    AssetError
        If its header is damaged, the file is shorter than told, or the library fails or crashes.
    BudgetError
        If the header of a classic file is larger than 16 MiB.
    """
    held = source if content is None else _Held(source.name, content)
    head = held.read(0, min(8, held.size))
    if not head.startswith(MAGIC):
        raise HostileInputError("the file is no NetCDF", where=source.name, expected="CDF or HDF5 at its start")
    if head.startswith(b"CDF"):
        check_classic(held)
        return
    key = (cells, source.name, source.version) if content is None else (cells, hashlib.sha256(content).hexdigest())
    trouble = _verdict(key, source.name, content, cells)
    if trouble == _ENDLESS:
        raise HostileInputError("a NetCDF file that cannot be opened in time", where=source.name, got=trouble)
    if trouble:
        raise AssetError("cannot open the file", where=source.name, expected="a readable NetCDF", got=trouble)


@dataclass(frozen=True, slots=True)
class _Held:
    """Bytes of a file that lie in memory."""

    name: str
    content: bytes

    @property
    def size(self) -> int:
        """Bytes in all."""
        return len(self.content)

    def read(self, start: int, stop: int) -> bytes:
        """Give the bytes from ``start`` to before ``stop``."""
        return self.content[start:stop]


class _Probe:
    """The process that opens files first."""

    def __init__(self) -> None:
        # The interpreter that runs this, without a shell; paths of files are data, never a part of the program.
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", str(_PROGRAM), *(os.path.abspath(folder) for folder in sys.path if folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )

    def ask(self, path: str, content: bytes | None, cells: int) -> str | None:
        """Give what went wrong with a file, ``None`` if the process ended."""
        told = {"path": path, "size": len(content or b""), "cells": cells, "seconds": _SECONDS}
        requests, answers = self._process.stdin, self._process.stdout
        if requests is None or answers is None:
            return None
        try:
            for part in (json.dumps(told).encode() + b"\n", content or b""):
                at = 0
                while at < len(part):
                    at += requests.write(memoryview(part)[at:])
            answer = answers.readline()
        except BrokenPipeError:
            return None
        return str(json.loads(answer)) if answer.endswith(b"\n") else None

    def end(self, *, kill: bool) -> int:
        """Wait for the end of the process, and give how it ended."""
        self.leave()
        if kill:
            self._process.kill()
        return self._process.wait()

    def leave(self) -> None:
        """Close the pipes."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def disown(self) -> None:
        """Forget, after a fork, the process of the other one."""
        self.leave()
        self._process.returncode = 0


_lock = threading.Lock()
_verdicts: OrderedDict[Hashable, str] = OrderedDict()
_probe: _Probe | None = None


def _verdict(key: Hashable, path: str, content: bytes | None, cells: int) -> str:
    with _lock:
        if key not in _verdicts:
            _verdicts[key] = _ask(path, content, cells)
            while len(_verdicts) > _MAX_VERDICTS:
                _verdicts.popitem(last=False)
        _verdicts.move_to_end(key)
        return _verdicts[key]


def _ask(path: str, content: bytes | None, cells: int) -> str:
    """Ask the process; what it says against a file counts only if it has seen no other one before."""
    while True:
        fresh = _probe is None
        trouble = _ask_once(path, content, cells)
        if trouble in ("", _ENDLESS) or fresh:
            return trouble


def _ask_once(path: str, content: bytes | None, cells: int) -> str:
    global _probe
    answer: str | None = None
    answered = False
    try:
        _probe = _probe or _Probe()
        answer = _probe.ask(path, content, cells)
        answered = True
    except OSError as error:
        return f"no process to open it in: {error.strerror or error}"
    finally:
        code = 0 if answer == "" else _end(kill=not answered or answer is not None)
    if answer is not None:
        return answer
    return _ENDLESS if code in (-SIGPROF, -SIGALRM) else f"the library ended with {code}"


def _end(*, kill: bool = True) -> int:
    """End the process that opens files, and give how it ended."""
    global _probe
    ended, _probe = _probe, None
    return 0 if ended is None else ended.end(kill=kill)


def _after_fork() -> None:
    global _lock, _probe
    _lock = threading.Lock()
    if _probe is not None:
        _probe.disown()
    _probe = None


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_end)
