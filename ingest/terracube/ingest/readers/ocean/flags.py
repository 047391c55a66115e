"""Flags of NetCDF and Zarr variables: which bit means what, as CF declares it (``flag_masks``, ``flag_meanings``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from terracube.core.errors import MetadataError

_MOST = 64


class Declared(Protocol):
    """What tells its attributes."""

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Of the variable."""

    @property
    def where(self) -> str:
        """What to call it in messages."""


def flag_bits(stored: Declared, *, expected: Mapping[int, str]) -> dict[int, str]:
    """Give the meaning of each bit, counted from 0 (CF conventions 1.11, section 3.5).

    Parameters
    ----------
    stored : Declared
    expected : mapping
        Meanings on which mask rules rely; empty for a layer without rules.

    Raises
    ------
    MetadataError
        If the masks are no single bits, do not fit the meanings, or say otherwise than is expected.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> told = {"flag_masks": [1, -2147483648], "flag_meanings": "cloud valid"}
    >>> flag_bits(SimpleNamespace(attributes=told, where="x"), expected={31: "valid"})
    {0: 'cloud', 31: 'valid'}
    """
    meanings = str(stored.attributes.get("flag_meanings", "")).split()
    masks = _whole(stored.attributes.get("flag_masks"), stored.where)
    if not masks or len(masks) != len(meanings) or len(set(masks)) != len(masks):
        raise MetadataError(
            "the meaning of the flags is not told",
            where=stored.where,
            expected="as many flag_masks as flag_meanings, each once",
            got=f"{len(masks)} masks, {len(meanings)} meanings",
        )
    found = {}
    for mask, meaning in zip(masks, meanings, strict=True):
        if mask & (mask - 1):
            raise MetadataError("a flag is no single bit", where=stored.where, expected="1, 2, 4, ...", got=str(mask))
        found[mask.bit_length() - 1] = meaning[:80]
    wrong = {bit: found.get(bit, "nothing") for bit, name in expected.items() if not _same(found.get(bit), name)}
    if wrong:
        raise MetadataError(
            "the flags have other meanings than the masks rely on",
            where=stored.where,
            expected=", ".join(f"bit {bit}: {expected[bit]}" for bit in sorted(wrong))[:200],
            got=str(wrong)[:200],
            todo="use a source that describes this version of the product",
        )
    return dict(sorted(found.items()))


def _same(found: str | None, expected: str) -> bool:
    return found is not None and found.replace("_", " ").casefold() == expected.replace("_", " ").casefold()


def _whole(value: Any, where: str) -> list[int]:
    """Give masks as numbers without a sign: the classic formats have signed types only."""
    items = np.atleast_1d(np.asarray([] if value is None else value, dtype=object)).ravel().tolist()
    if len(items) > _MOST:
        raise MetadataError("there are too many flags", where=where, expected=f"<= {_MOST}", got=str(len(items)))
    try:
        numbers = [int(one) for one in items]
    except (TypeError, ValueError, OverflowError) as error:
        raise MetadataError("flag_masks are no numbers", where=where, got=str(value)[:80]) from error
    kind = getattr(np.asarray(value), "dtype", np.dtype("int64"))
    width = 8 * kind.itemsize if kind.kind == "i" and kind.itemsize < 8 else 0
    unsigned = [one + (1 << (width or (32 if one >= -(1 << 31) else 64))) if one < 0 else one for one in numbers]
    if any(one <= 0 or one >= 1 << _MOST for one in unsigned):
        raise MetadataError("a flag is no single bit", where=where, expected="1 to 2^63", got=str(numbers)[:80])
    return unsigned
