"""Errors as HTTP sees them: one table from our classes to status codes, one problem document (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from terracube.core import errors

# 413 and 422 by number: Python 3.13 gave both new names.
_STATUS: dict[type[errors.TerraCubeError], HTTPStatus] = {
    errors.InputError: HTTPStatus.BAD_REQUEST,
    errors.HostileInputError: HTTPStatus.BAD_REQUEST,
    errors.NotFoundError: HTTPStatus.NOT_FOUND,
    errors.ConflictError: HTTPStatus.CONFLICT,
    errors.BudgetError: HTTPStatus(413),
    errors.EmptyResultError: HTTPStatus(422),
    errors.MetadataError: HTTPStatus(422),
    errors.AssetError: HTTPStatus(422),
    # Not 401 or 403: it is not our caller whom the other server refuses.
    errors.AccessError: HTTPStatus.BAD_GATEWAY,
    errors.UnreachableError: HTTPStatus.BAD_GATEWAY,
    errors.CancelledError: HTTPStatus.CONFLICT,
    errors.StorageError: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.IntegrityError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.VersionError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def status_of(error: errors.TerraCubeError) -> HTTPStatus:
    """Give the HTTP status of an error; that of its nearest base class in the table.

    Examples
    --------
    >>> status_of(errors.NotFoundError("no such item")).value
    404
    """
    for cls in type(error).__mro__:
        if cls in _STATUS:
            return _STATUS[cls]
    return HTTPStatus.INTERNAL_SERVER_ERROR


def problem(error: errors.TerraCubeError) -> dict[str, Any]:
    """Give the problem document of an error (media type ``application/problem+json``).

    Examples
    --------
    >>> problem(errors.InputError("resolution is not positive", got="0"))["detail"]
    'resolution is not positive (got: 0)'
    """
    status = status_of(error)
    facts = {key: value for key, value in error.as_dict().items() if value}
    return {"type": "about:blank", "title": error.what, "status": status.value, "detail": str(error), **facts}
