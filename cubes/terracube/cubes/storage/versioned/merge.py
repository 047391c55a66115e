"""How new pixels enter a chunk that may hold some already, and the digest by which a chunk is known."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from terracube.core.errors import ConflictError, InputError
from terracube.cubes.storage.versioned.layout import CHECK_BYTES
from terracube.cubes.storage.versioned.variable import CubeVariable, Values

Mask = NDArray[np.bool_]


RULES = ("replace", "keep", "overwrite", "raise")


def check_rule(rule: str) -> None:
    """Refuse a rule that does not exist."""
    if rule not in RULES:
        raise InputError("unknown rule", where="on_conflict", expected=", ".join(RULES), got=repr(rule)[:80])


def differ(one: Values, other: Values) -> Mask:
    """Tell which pixels differ in any bit."""
    kind = f"u{one.dtype.itemsize}"
    return np.asarray(np.ascontiguousarray(one).view(kind) != np.ascontiguousarray(other).view(kind))


def merged(new: Values, old: Values, variable: CubeVariable, rule: str) -> Values:
    """Give the pixels that result; both in canonical form, and of one shape.

    Raises
    ------
    ConflictError
        If the rule is ``raise`` and both have a value in a pixel, and not the same.
    """
    if rule == "overwrite":
        return new
    seen, held = ~variable.missing(new), ~variable.missing(old)
    if rule == "keep":
        return np.where(seen & ~held, new, old)
    if rule == "raise":
        _check_equal(seen & held & differ(new, old))
    return np.where(seen, new, old)


def _check_equal(clash: Mask) -> None:
    count = int(clash.sum())
    if count:
        raise ConflictError(
            "the cube holds other values here",
            expected="pixels that are missing in the cube, or equal",
            got=f"{count} other pixels in one chunk",
            todo='choose on_conflict="replace", "keep" or "overwrite"',
        )


def digest_of(values: Values, variable: CubeVariable) -> bytes:
    """Give 16 bytes that stand for the pixels of a chunk in canonical form; zeros if all are missing."""
    if variable.nodata is not None:
        corner = values[:1, :1]
        if bool(variable.missing(corner).all()) and bool(variable.missing(values).all()):
            return bytes(CHECK_BYTES)
    plain = np.ascontiguousarray(values, np.dtype(variable.dtype).newbyteorder("<"))
    # Processors have instructions for sha256: a third of the time of blake2.
    return hashlib.sha256(plain.data).digest()[:CHECK_BYTES]
