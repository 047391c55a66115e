"""Texts as bytes: encodings and line ends as they come.

An encoding is never guessed at reading: a byte-order mark, or bytes that are valid UTF-8, or what the mapping says.
"""

from __future__ import annotations

import codecs
import os
from dataclasses import dataclass
from pathlib import Path

from terracube.core.errors import AssetError, BudgetError, MetadataError, NotFoundError

MAX_BYTES = 1 << 30
_HEAD_BYTES = 4 << 20
_BLOCK = 16 << 20
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


@dataclass(frozen=True, slots=True)
class Decoded:
    """The bytes of a text, as UTF-8 with plain line ends."""

    content: bytes
    encoding: str
    lines: frozenset[str]
    """Line ends there were: ``\\n``, ``\\r\\n``, ``\\r``."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What is good to know: an unusual encoding, line ends of several systems."""
        told = [f"decoded from {self.encoding}"] if self.encoding not in ("utf-8", "ascii") else []
        return tuple(told + (["mixed line endings"] if len(self.lines) > 1 else []))


def read_bytes(path: Path) -> bytes:
    """Read a file whole, if it is not too large.

    Raises
    ------
    NotFoundError, AssetError, BudgetError
        If it is not there, unreadable, or larger than 1 GiB.
    """
    try:
        with path.open("rb") as stream:
            # What is asked for is allocated at once, so no more is asked for than there is.
            content = stream.read(min(os.fstat(stream.fileno()).st_size, MAX_BYTES) + 1)
    except FileNotFoundError as error:
        raise NotFoundError("no such file", where=str(path)) from error
    except OSError as error:
        raise AssetError("a file cannot be read", where=str(path), got=str(error.strerror)) from error
    if len(content) > MAX_BYTES:
        raise BudgetError("a table is too large", where=str(path), expected=f"at most {MAX_BYTES} bytes", todo="cut it")
    return content


def decode(content: bytes, *, encoding: str = "", where: str) -> Decoded:
    """Make UTF-8 of the bytes of a text.

    Raises
    ------
    MetadataError
        If no encoding is told, and it is no UTF-8 and has no byte-order mark.
    AssetError
        If the bytes are not of the encoding that is told, or no text at all.
    """
    mark = next((mark for mark in _MARKS if content.startswith(mark)), b"")
    chosen = _MARKS[mark] if mark else (encoding or "utf-8")
    try:
        codec = codecs.lookup(chosen).name
        # "utf-16" asks for a mark and would guess the order of bytes without one.
        body = memoryview(content)[len(mark) :]
        text = body if codec == "utf-8" else str(body, codec).encode("utf-8")
        if codec == "utf-8":
            _must_be_utf8(body)
    except (UnicodeError, LookupError, ValueError, TypeError) as error:
        raise _undecodable(content, chosen if mark or encoding else "", error, where) from error
    plain = bytes(text)
    if b"\0" in plain[:_HEAD_BYTES]:
        raise AssetError(
            "no text: it holds zero bytes", where=where, todo="say the encoding (utf-16-le?) in the mapping"
        )
    lines = {name for name, found in _line_ends(plain) if found}
    if b"\r" in plain:
        plain = plain.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return Decoded(plain, codec, frozenset(lines))


def _must_be_utf8(body: memoryview) -> None:
    for start in range(0, len(body), _BLOCK):
        end = min(start + _BLOCK, len(body))
        while end < len(body) and body[end] & 0xC0 == 0x80:  # not within a letter
            end += 1
        str(body[start:end], "utf-8")


def _line_ends(plain: bytes) -> list[tuple[str, bool]]:
    pairs, returns, feeds = plain.count(b"\r\n"), plain.count(b"\r"), plain.count(b"\n")
    return [("\r\n", pairs > 0), ("\r", returns > pairs), ("\n", feeds > pairs)]


def _undecodable(content: bytes, encoding: str, error: Exception, where: str) -> AssetError | MetadataError:
    at = error.start if isinstance(error, UnicodeDecodeError) else None
    place = where if at is None else f"{where}, byte {at}, line {content[:at].count(bytes([10])) + 1}"
    if isinstance(error, LookupError):
        return MetadataError("no such encoding", where=where, got=encoding, expected="such as utf-8, cp1250, gb18030")
    if encoding:
        return AssetError(
            "not of the encoding that is told", where=place, expected=encoding, todo="correct layout.encoding"
        )
    return MetadataError(
        "the text is not UTF-8 and its encoding is not told",
        where=place,
        expected="layout.encoding, such as cp1252, cp1250, latin-1, gb18030, utf-16-le",
        todo="say it in the mapping; describe shows how the text reads in each",
    )
