"""Errors that say what is wrong, where, what was expected, what was found, and what to do.

One base class, so that a caller can catch everything TerraCube raises on purpose; one class per situation, so
that a caller never has to read the text. The command line maps them to exit codes, the API to status codes.
"""

from __future__ import annotations

from dataclasses import dataclass

_LONGEST = 2000


class TerraCubeError(Exception):
    """Base of every error that TerraCube raises on purpose.

    Parameters
    ----------
    what : str
        One sentence: what is wrong.
    where : str
        The file, item, asset, field or option concerned.
    expected, got : str
        What would have been right, and what was found.
    todo : str
        What the user can do about it.

    Examples
    --------
    >>> print(TerraCubeError("resolution is not positive", where="--resolution", expected="> 0", got="0"))
    resolution is not positive (where: --resolution; expected: > 0; got: 0)
    """

    def __init__(self, what: str, *, where: str = "", expected: str = "", got: str = "", todo: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.expected = expected
        self.got = got
        self.todo = todo

    def __str__(self) -> str:
        facts = [("where", self.where), ("expected", self.expected), ("got", self.got), ("to do", self.todo)]
        told = "; ".join(f"{name}: {_plain(value)}" for name, value in facts if value)
        return f"{_plain(self.what)} ({told})" if told else _plain(self.what)

    def as_dict(self) -> dict[str, str]:
        """Give the facts as a flat mapping, for records, JSON output and HTTP problem documents."""
        return {"where": self.where, "expected": self.expected, "got": self.got, "todo": self.todo}


class InputError(TerraCubeError):
    """A parameter given by the user is wrong."""


class MetadataError(TerraCubeError):
    """A date, CRS, nodata value, unit or sign is missing or contradictory, and is never guessed."""


class AssetError(TerraCubeError):
    """A file cannot be read, or is not what its metadata says."""


class AccessError(AssetError):
    """A server refuses to give a file: the token or key is missing, wrong or too old, or grants too little."""


class UnreachableError(AssetError):
    """A server did not answer properly, however often it was asked; another time it may."""


class HostileInputError(TerraCubeError):
    """Input that tries to leave its folder, hide its format, or exhaust the machine."""


class NotFoundError(TerraCubeError):
    """An item, asset, catalogue or chain that was asked for does not exist."""


class ConflictError(TerraCubeError):
    """Two things claim the same name with different content."""


class BudgetError(TerraCubeError):
    """The work would need more memory or disk than it may take; the message holds the number."""


class EmptyResultError(TerraCubeError):
    """Nothing is left to make a product from."""


class IntegrityError(TerraCubeError):
    """Stored bytes or pixels are not the ones that were recorded."""


class VersionError(TerraCubeError):
    """A catalogue or record was written by a newer TerraCube."""


class StorageError(TerraCubeError):
    """The disk refused: full, read-only, or gone."""


class CancelledError(TerraCubeError):
    """The work was cancelled before it was done."""


def _plain(text: str) -> str:
    """Take from a fact what a terminal would obey, and from a long one its middle: much of it came from outside."""
    kept = text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    return kept if kept.isprintable() else "".join(one if one.isprintable() else "?" for one in kept)


@dataclass(frozen=True)
class LeftOut:
    """Something that was asked for and not used, and why: told in results, records, reports and items."""

    id: str
    """Id of the item."""
    reason: str
    """Why, in a sentence."""
