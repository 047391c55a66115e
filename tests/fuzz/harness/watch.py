"""What a parser does while it runs: where it writes, whom it calls, how long it takes, how much memory it asks for."""

from __future__ import annotations

import os
import re
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = frozenset(
    ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod", "os.utime")
)
_NETWORK = frozenset(("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.bind", "urllib.Request"))
_SIZE = Path("/proc/self/statm")
"""Pages of address space that this process has."""
_STATUS = Path("/proc/self/status")
"""Where Linux tells the peak of this program; that of getrusage is inherited from the process that started it."""
_PEAK_UNIT = 1 if sys.platform == "darwin" else 1024
_COMMANDS = frozenset(("os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn", "webbrowser.open"))


class TooSlow(BaseException):
    """The call took more processor time than it may; no error that a parser could catch by mistake."""


class Watch:
    """Notes what must not happen while a parser runs.

    Parameters
    ----------
    seconds : float
        Processor time of a call.
    memory : int
        Bytes by which a call may raise the peak of this process; four times that is refused at once.
    """

    def __init__(self, *, seconds: float, memory: int) -> None:
        self.seconds, self._memory = seconds, memory
        self._allowed: tuple[str, ...] = ()
        self._secret = "/etc/passwd"
        self._armed = False
        self.seen: list[str] = []
        sys.addaudithook(self._note)
        signal.signal(signal.SIGPROF, _too_slow)

    @contextmanager
    def over(self, *folders: Path, secret: Path) -> Iterator[None]:
        """Watch; files may be written below these folders only, and none below ``secret`` may be read."""
        self.seen = []
        self._allowed, self._secret = tuple(f"{folder}{os.sep}" for folder in folders), str(secret)
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        if _SIZE.exists():  # Linux
            size = int(_SIZE.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (size + 4 * self._memory, hard))
        peak = _peak()
        signal.setitimer(signal.ITIMER_PROF, self.seconds)
        self._armed = True
        try:
            yield
        finally:
            self._armed = False
            signal.setitimer(signal.ITIMER_PROF, 0)
            resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
            if _peak() - peak > self._memory:
                self.seen.append("too much memory was used")

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._armed:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITING:
                self._written(event, path)
            elif isinstance(path, str) and (self._secret in path or path == "/etc/passwd"):
                self.seen.append("a file outside the product was opened")
        elif event in _CHANGES:
            self._written(event, arguments[0])
        elif event in _NETWORK or event in _COMMANDS:
            self.seen.append(f"{event} was called")
        elif event == "subprocess.Popen" and arguments[0] != sys.executable:
            self.seen.append(f"a program was started: {os.path.basename(str(arguments[0]))}")

    def _written(self, event: str, path: Any) -> None:
        if isinstance(path, int) or path is None:
            return
        full = os.path.realpath(os.fsdecode(path))
        if not f"{full}{os.sep}".startswith((*self._allowed, "/dev/", "/proc/")):
            self.seen.append(f"{event} outside: {os.path.basename(full)}")


def _too_slow(_number: int, _frame: FrameType | None) -> NoReturn:
    raise TooSlow


def _peak() -> int:
    """Give the largest memory that this process has held, in bytes."""
    if _STATUS.exists():
        told = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"))
        if told:
            return int(told[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _PEAK_UNIT
