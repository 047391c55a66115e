"""Other processes that write into a cube: some at once, some killed on their way.

Run as a program: it loads what takes long once, and forks for each writer. icechunk, which begins threads when it is
loaded, is loaded by each writer alone.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable
from functools import partial


def kill_before(owner: type, name: str, count: int) -> None:
    """Let this process end, as by ``kill -9``, when a method is called for the n-th time."""
    real, calls = getattr(owner, name), []

    def dying(*args: object) -> object:
        calls.append(name)
        if len(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args)

    setattr(owner, name, dying)


def fork(work: Callable[[], object]) -> int:
    """Do something in a process of its own."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def wait(pids: list[int]) -> list[int]:
    """Wait for processes, and give how each ended (negative: by which signal)."""
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def killed(folder: str, moment: tuple[str, int]) -> None:
    """Append, and die on the way."""
    from conftest import make_scene

    from terracube.cubes.storage.versioned import VersionedCube
    from terracube.cubes.storage.versioned.writing import _Job

    kill_before(_Job if moment[0] == "_write" else VersionedCube, *moment)
    VersionedCube.open(folder).append(make_scene(["2023-08-01", "2023-08-15"], seed=1))


def several(folder: str, number: int) -> None:
    """Append every second of six dates."""
    from conftest import make_scene

    from terracube.cubes.storage.versioned import VersionedCube

    for day in range(1 + number, 7, 2):
        VersionedCube.open(folder).append(make_scene([f"2023-09-{day:02}"]))


def together(folder: str, number: int) -> None:
    """Append a part of one date; parts overlap."""
    from conftest import make_scene

    from terracube.cubes.storage.versioned import VersionedCube

    start, shape = ((0, 0), (20, 55)) if number else ((15, 0), (26, 55))
    VersionedCube.open(folder).append(make_scene(["2023-09-01"], start=start, shape=shape))


def main(folders: list[str]) -> None:
    """Let three writers die, two append other dates at once, and two the same; print how they ended."""
    for heavy in ("dask.array", "numba", "pyproj", "pytest", "pystac", "rich.console", "rioxarray", "xarray", "zarr"):
        importlib.import_module(heavy)
    moments = [("_write", 1), ("_write", 7), ("_commit", 1)]
    print(wait([fork(partial(killed, *one)) for one in zip(folders[2:], moments, strict=True)]))
    for work, folder in ((several, folders[0]), (together, folders[1])):
        print(wait([fork(partial(work, folder, number)) for number in range(2)]))


if __name__ == "__main__":
    main(sys.argv[1:])
