"""Models checked at the door: what is wrong with a value is told field by field, in our own words and class."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from terracube.core.errors import InputError


def validated[Model: BaseModel](model: type[Model], values: dict[str, Any], *, what: str) -> Model:
    """Make a model of plain JSON values.

    Parameters
    ----------
    model : type
        A pydantic model.
    values : dict
        Field names and values.
    what : str
        What is wrong if they do not fit, for the message: ``"the request is wrong"``.

    Raises
    ------
    InputError
        Naming each field that is wrong, and the fields there are.

    Examples
    --------
    >>> class Box(BaseModel):
    ...     side: int
    >>> validated(Box, {"side": "wide"}, what="the box is wrong")
    Traceback (most recent call last):
    ...
    terracube.core.errors.InputError: the box is wrong (expected: side; got: side: Input should be a valid integer, ...)
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'all'}: {fault['msg']}" for fault in error.errors())
        raise InputError(what, expected=", ".join(model.model_fields), got=told) from error
