"""Exit codes, documented, and the one place that turns errors into them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console

from terracube.core import errors
from terracube.core.logging import get_logger

DONE = 0
FAILED = 1
REFUSED = 2
PARTLY = 3
NOTHING = 4
INTERRUPTED = 130

EXPLAINED = """
\b
Exit codes:
  0    done
  1    failed: disk, damaged files, or a product that is not what it was
  2    refused: the input is wrong or hostile, or nothing is there to work on
  3    partly: done, but something was left out; the output says what and why
  4    nothing to do: it is done already
  130  interrupted; nothing half-written was left
"""

_REFUSALS = (
    errors.InputError,
    errors.MetadataError,
    errors.HostileInputError,
    errors.NotFoundError,
    errors.ConflictError,
    errors.BudgetError,
    errors.EmptyResultError,
    errors.VersionError,
)


def code_of(error: errors.TerraCubeError) -> int:
    """Give the exit code of an error."""
    return REFUSED if isinstance(error, _REFUSALS) else FAILED


@contextmanager
def told_errors(*, as_json: bool) -> Iterator[None]:
    """Tell errors in sentences (or as JSON), and leave with their code; never a traceback for what we foresaw."""
    try:
        yield
    except errors.TerraCubeError as error:
        get_logger(__name__).debug("failed", exc_info=True)
        if as_json:
            facts = {"status": "refused" if code_of(error) == REFUSED else "failed", "error": type(error).__name__}
            click.echo(json.dumps({**facts, "message": error.what, **error.as_dict()}))
        tell(error)
        sys.exit(code_of(error))
    except OSError as error:
        # What no step foresaw: a folder that may not be read, an output that is full.
        click.echo(f"error: the system refused: {error}", err=True)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        click.echo("interrupted; nothing half-written was left", err=True)
        sys.exit(INTERRUPTED)


def tell(error: errors.TerraCubeError) -> None:
    """Write an error to standard error, one fact a line."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    console.print(f"error: {plain(error.what)}", style="bold red")
    names = {"where": "where", "expected": "expected", "got": "got", "todo": "to do"}
    for key, value in error.as_dict().items():
        if value:
            console.print(f"  {names[key] + ':':<10}{plain(value)}")


def plain(text: object) -> str:
    """Take from text that came from outside what a terminal would obey: escape sequences, bells, other controls.

    Examples
    --------
    >>> plain("red" + chr(27) + "[31m")
    'red?[31m'
    """
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))
