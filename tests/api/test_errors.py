"""One table from errors to HTTP."""

from __future__ import annotations

import pytest

from terracube.api import problem, status_of
from terracube.core import errors


def _all_errors() -> list[type[errors.TerraCubeError]]:
    return [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.TerraCubeError)]


@pytest.mark.parametrize("cls", _all_errors(), ids=lambda cls: cls.__name__)
def test_every_error_has_a_status(cls: type[errors.TerraCubeError]) -> None:
    """Each class maps to an error status; only the base class and our own faults are 500."""
    status = status_of(cls("wrong")).value
    assert 400 <= status < 600
    ours = (errors.TerraCubeError, errors.IntegrityError, errors.VersionError)
    assert (status == 500) == (cls in ours)


@pytest.mark.parametrize("cls", [errors.AccessError, errors.UnreachableError])
def test_another_server_failed(cls: type[errors.TerraCubeError]) -> None:
    """A file that another server does not give is that server's fault, neither the caller's nor ours."""
    assert status_of(cls("refused")).value == 502


def test_problem_document() -> None:
    """The document says what the error says, and leaves out what it does not."""
    told = problem(errors.NotFoundError("no such item", where="catalogue", todo="look it up"))
    assert told == {
        "type": "about:blank",
        "title": "no such item",
        "status": 404,
        "detail": "no such item (where: catalogue; to do: look it up)",
        "where": "catalogue",
        "todo": "look it up",
    }
