"""Logging: text for people, one JSON object per line for machines."""

from __future__ import annotations

import io
import json
import logging
from datetime import datetime, timedelta

import pytest

from terracube.core.logging import get_logger, set_up


@pytest.fixture
def log():
    """A logger of ours; the set-up is taken back afterwards."""
    root = logging.getLogger("terracube")
    before = root.handlers[:], root.level, root.propagate
    yield get_logger("terracube.cubes.test")
    root.handlers[:], root.propagate = before[0], before[2]
    root.setLevel(before[1])


def test_json_lines(log):
    """Each record is one line of JSON with time in UTC, level, logger, message and what was given as extra."""
    stream = io.StringIO()
    set_up(verbose=1, as_json=True, stream=stream)
    log.info("read %s\nand more", "B04", extra={"scene": "S2A", "path": __import__("pathlib").Path("a/b")})
    log.warning("again")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first["message"] == "read B04\nand more"
    assert (first["level"], first["logger"], first["scene"]) == ("info", "terracube.cubes.test", "S2A")
    assert first["path"] == "a/b"
    assert datetime.fromisoformat(first["time"]).utcoffset() == timedelta(0)
    assert second["level"] == "warning"


def test_json_of_an_exception(log):
    """The traceback is part of the one line."""
    stream = io.StringIO()
    set_up(as_json=True, stream=stream)
    try:
        raise ValueError("odd")
    except ValueError:
        log.exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: odd" in json.loads(line)["exception"]


def test_extras_cannot_replace_the_facts(log):
    """A field called `level` or `time` does not overwrite the record's own."""
    stream = io.StringIO()
    set_up(as_json=True, stream=stream)
    log.error("x", extra={"level": "forged", "time": "forged", "logger": "forged"})
    line = json.loads(stream.getvalue())
    assert "forged" not in line.values()


@pytest.mark.parametrize(("verbose", "shown"), [(-1, 1), (0, 1), (1, 2), (2, 3), (9, 3)])
def test_verbosity(log, verbose, shown):
    """0 shows warnings, 1 information too, 2 and more everything."""
    stream = io.StringIO()
    set_up(verbose=verbose, stream=stream)
    log.debug("d")
    log.info("i")
    log.warning("w")
    assert len(stream.getvalue().splitlines()) == shown


def test_set_up_twice_writes_once(log, capsys):
    """A second set-up replaces the first; text goes to standard error and leaves standard output clean."""
    set_up()
    set_up()
    log.warning("once")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "WARNING terracube.cubes.test: once\n"
