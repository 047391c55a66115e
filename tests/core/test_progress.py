"""Progress: a bar where somebody looks, silence elsewhere."""

from __future__ import annotations

import io
import sys

import pytest

from terracube.core.errors import CancelledError
from terracube.core.progress import CancelToken, bar, silent


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Tell that somebody looks."""
        return True


def test_silent_where_nobody_looks(capsys):
    """Without a terminal not one character is written."""
    with bar("reading") as show:
        assert show is silent
        show(1, 2)
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal(monkeypatch):
    """On a terminal the title and the count are drawn, on standard error."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with bar("reading") as show:
        show(0, 3)
        show(3, 3)
    assert "reading" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()


@pytest.mark.parametrize(("enabled", "stream"), [(True, io.StringIO), (False, Terminal)])
def test_the_caller_decides(monkeypatch, enabled, stream):
    """`enabled` wins over what the stream says."""
    there = stream()
    monkeypatch.setattr(sys, "stderr", there)
    with bar("reading", enabled=enabled) as show:
        show(1, 1)
        assert (show is silent) != enabled
    assert enabled or there.getvalue() == ""


def test_cancel_token():
    """A token lets work go on until it is cancelled, and then stops it with the error of that name."""
    token = CancelToken()
    token.check()
    assert not token.cancelled
    token.cancel()
    assert token.cancelled
    with pytest.raises(CancelledError, match="cancelled"):
        token.check()
