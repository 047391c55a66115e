"""Fingerprints: one canonical JSON, one hash, one way to name the content of a file or a folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

_PIECE = 1 << 20
# Multihash prefix of a sha2-256 digest: code 0x12, length 0x20 (https://multiformats.io/multihash/).
_SHA256_PREFIX = "1220"


def canonical_json(value: Any) -> bytes:
    """Write a JSON value in the one form that is hashed: sorted keys, no blanks, UTF-8, no NaN.

    Examples
    --------
    >>> canonical_json({"b": 1, "a": [1.5, None]})
    b'{"a":[1.5,null],"b":1}'
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def sha256_of(value: Any) -> str:
    """Give the sha256 (hex) of a JSON value in canonical form."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def file_sha256(path: Path) -> str:
    """Give the sha256 (hex) of a file, read in pieces so that memory stays bounded."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def multihash(sha256_hex: str) -> str:
    """Turn a sha256 (hex) into the multihash that STAC's ``file:checksum`` asks for.

    Examples
    --------
    >>> multihash("ab" * 32)[:8]
    '1220abab'
    """
    return _SHA256_PREFIX + sha256_hex


def tree_manifest(folder: Path) -> str:
    """List every file below a folder as ``sha256sum -c`` reads it, sorted by path.

    The sha256 of this text is the checksum of the folder: it changes if any file is changed, added, removed or
    renamed.
    """
    files = sorted((p.relative_to(folder).as_posix(), p) for p in folder.rglob("*") if p.is_file())
    return "".join(_manifest_line(file_sha256(path), name) for name, path in files)


def _manifest_line(sha256_hex: str, name: str) -> str:
    """Write a line as ``sha256sum`` does, which marks and escapes names that would break or forge lines."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    mark = "" if escaped == name else "\\"
    return f"{mark}{sha256_hex}  {escaped}\n"


def tree_sha256(folder: Path) -> str:
    """Give the sha256 (hex) of a folder's manifest (see :func:`tree_manifest`)."""
    return hashlib.sha256(tree_manifest(folder).encode("utf-8")).hexdigest()


def path_sha256(path: Path) -> str:
    """Give the sha256 (hex) of a file, or of a folder's manifest."""
    return tree_sha256(path) if path.is_dir() else file_sha256(path)


def path_size(path: Path) -> int:
    """Give the bytes in a file, or in all files below a folder."""
    if path.is_dir():
        return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    return path.stat().st_size
