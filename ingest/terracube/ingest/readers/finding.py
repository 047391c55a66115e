"""Look for deliveries that one metadata file makes known by its name."""

from __future__ import annotations

import os
import re
from pathlib import Path

from terracube.core.errors import AssetError, MetadataError
from terracube.core.files import resolve_below


def find_named(path: Path, pattern: re.Pattern[str]) -> list[Path]:
    """Look for deliveries at or below a path.

    A delivery is named by its folder, if that holds the metadata of one product alone and no other delivery lies
    below it; else by its metadata file. Nothing is opened, and links to folders are not followed.

    Parameters
    ----------
    path : Path
        A folder, or the metadata file itself.
    pattern : compiled pattern
        Of the metadata file's whole name; its first group is the product, which several files may describe.
    """
    try:
        if not path.is_dir():
            return [path] if pattern.fullmatch(path.name) and path.is_file() else []
    except (OSError, ValueError):
        return []
    found = _by_folder(path, pattern)
    above = {parent for folder in found for parent in folder.parents}
    named: list[Path] = []
    for folder, products in found.items():
        alone = len(products) == 1 and folder not in above
        named.extend([folder] if alone else products.values())
    return sorted(named)


def _by_folder(path: Path, pattern: re.Pattern[str]) -> dict[Path, dict[str, Path]]:
    """By folder and product, the first of the files that describe it."""
    found: dict[Path, dict[str, Path]] = {}
    for folder, _, names in os.walk(path):
        for name in sorted(names):
            if match := pattern.fullmatch(name):
                found.setdefault(Path(folder), {}).setdefault(match[1], Path(folder) / name)
    return found


def described_by(path: Path, pattern: re.Pattern[str]) -> list[Path]:
    """Give the metadata files of a delivery, by name: those in its folder, or those of the same product beside it.

    Raises
    ------
    AssetError
        If the folder cannot be read.
    MetadataError
        If there is no such file, or they are of several products.
    HostileInputError
        If one is a link that leads out of the folder.
    """
    try:
        folder = path if path.is_dir() else path.parent
        found = [(match, each) for each in sorted(folder.iterdir()) if (match := pattern.fullmatch(each.name))]
    except (OSError, ValueError) as error:
        raise AssetError("cannot read the folder", where=str(path), got=str(error)[:120]) from error
    named = pattern.fullmatch(path.name)
    if named and folder != path:
        found = [(match, each) for match, each in found if match[1] == named[1]]
    if len({match[1] for match, _ in found}) != 1:
        raise MetadataError(
            "the delivery does not hold the metadata of one product",
            where=str(path),
            expected="one metadata file",
            got=", ".join(each.name for _, each in found)[:200] or "none",
        )
    return [resolve_below(folder, each.name) for _, each in found]
