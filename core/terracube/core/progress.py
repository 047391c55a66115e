"""Progress of long work: a bar on a terminal, silence anywhere else, and a call-back for everybody."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from terracube.core.errors import CancelledError


class ProgressCallback(Protocol):
    """Called with the number of steps done, and of all steps."""

    def __call__(self, done: int, total: int) -> None:
        """Tell how far the work is."""


class CancelToken:
    """A flag that asks work to stop at its next safe point.

    Examples
    --------
    >>> token = CancelToken()
    >>> token.cancel()
    >>> token.cancelled
    True
    """

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask for a stop."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether a stop was asked for."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise :class:`CancelledError` if a stop was asked for."""
        if self.cancelled:
            raise CancelledError("the work was cancelled", todo="run it again; nothing half-written was left")


def silent(done: int, total: int) -> None:
    """Show nothing: the call-back used where nobody looks."""
    del done, total


@contextmanager
def bar(title: str, *, enabled: bool | None = None) -> Iterator[ProgressCallback]:
    """Yield a call-back that draws a bar on standard error; it draws nothing when that is not a terminal.

    Parameters
    ----------
    title : str
        What is being done.
    enabled : bool or None
        ``None`` = only on a terminal.
    """
    if not (sys.stderr.isatty() if enabled is None else enabled):
        yield silent
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=None)

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield show
