"""Opens NetCDF files for another process, and dies of them in its place. Run as a program, not imported by others.

Standard input holds requests: a line of JSON, and the content of the file if it lies in memory. Each is answered with
a line of JSON: what went wrong, empty if nothing did. A file that takes too long ends the process.
"""

from __future__ import annotations

import json
import math
import os
import resource
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

_PATIENCE = 15
"""The clock's seconds for each second of the processor's: a disk may be slow, and the machine busy."""
_STARTING, _IDLE = 300, 300.0
_MEMORY = 12 << 30
_MAX_GROUPS, _MAX_CHUNK = 4096, 1 << 24


def main(given: list[str]) -> None:
    """Answer requests until there are no more; ``given`` are the folders to import from."""
    sys.path[:] = given
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    signal.alarm(_STARTING)
    _lower(resource.RLIMIT_AS, _MEMORY)
    _lower(resource.RLIMIT_CORE, 0)
    # What the library prints must not be taken for an answer.
    answers = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    requests = sys.stdin.buffer
    trouble = _import()
    signal.alarm(0)
    # Nothing is left in the buffer between two requests: the next one comes after the answer.
    while select.select([requests], [], [], _IDLE)[0] and (line := requests.readline()):
        asked = json.loads(line)
        content = requests.read(asked["size"]) if asked["size"] else None
        trouble = trouble or look(asked["path"], content, cells=asked["cells"], seconds=asked["seconds"])
        os.write(answers, json.dumps(trouble).encode() + b"\n")


def _lower(kind: int, most: int) -> None:
    """Set a limit; a lower hard one stays."""
    hard = resource.getrlimit(kind)[1]
    allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (allowed, hard))


def _import() -> str:
    try:
        import netCDF4 as library  # noqa: N813  # only now it is known where from
    except ImportError as error:
        return f"no module netCDF4: {error}"
    return "" if library else "no module netCDF4"


def look(path: str, content: bytes | None, *, cells: int, seconds: float) -> str:
    """Open a file, read its metadata and its smaller variables, and tell what went wrong with the metadata.

    Values that cannot be read are not told: whoever wants them meets the same error.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.alarm(max(1, int(seconds * _PATIENCE)))
    try:
        return _look(path, content, cells)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)


def _look(path: str, content: bytes | None, cells: int) -> str:
    import netCDF4

    try:
        with netCDF4.Dataset("memory.nc" if content else path, mode="r", memory=content) as data:
            data.set_auto_maskandscale(False)
            data.set_auto_chartostring(False)
            groups = list(_groups(data))
            for one in (*groups, *(variable for group in groups for variable in group.variables.values())):
                for name in one.ncattrs():
                    _try(one.getncattr, name)
            for group in groups:
                for variable in group.variables.values():
                    cells -= _sample(variable, cells)
    except Exception as error:  # noqa: BLE001  # whatever it is, the other process is told
        return f"{getattr(error, 'strerror', '') or error}"[:200] or type(error).__name__
    return ""


def _groups(data: Any) -> Iterator[Any]:
    waiting = [data]
    for _ in range(_MAX_GROUPS):
        if not waiting:
            return
        group = waiting.pop()
        yield group
        waiting += group.groups.values()


def _sample(variable: Any, cells: int) -> int:
    """Read all of a variable if it is small, else its first cell, unless a piece of it is large; count the cells."""
    size = math.prod(map(int, variable.shape))
    if size <= cells:
        _try(variable.__getitem__, ...)
        return size
    chunks = variable.chunking()
    if math.prod(map(int, chunks if isinstance(chunks, list) else ())) <= _MAX_CHUNK and 0 not in variable.shape:
        _try(variable.__getitem__, (0,) * variable.ndim)
    return 0


def _try(function: Any, argument: Any) -> None:
    with suppress(Exception):  # see look
        function(argument)


if __name__ == "__main__":
    main(sys.argv[1:])
