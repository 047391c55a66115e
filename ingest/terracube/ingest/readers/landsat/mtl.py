"""The metadata file (MTL) of Landsat Collection 2, in its three spellings: ODL text, JSON and XML.

All three hold groups of keys below one root, LANDSAT_METADATA_FILE (Landsat 8-9 OLI-TIRS Collection 2 Level 2 Data
Format Control Book, LSDS-1328, version 6, section 5; Landsat 4-7: LSDS-1336).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from terracube.core.errors import AssetError, MetadataError
from terracube.ingest.readers.claims import number
from terracube.ingest.text import read_json, read_text, read_xml

ROOT = "LANDSAT_METADATA_FILE"
_LIMIT = 4 << 20
_KEY = re.compile(r"[A-Z][A-Z0-9_]{0,99}")
_MAX_DEPTH = 4
# Groups in which several files must say the same; the others tell of the Level-1 product and are not used.
_USED = (
    "PRODUCT_CONTENTS",
    "IMAGE_ATTRIBUTES",
    "PROJECTION_ATTRIBUTES",
    "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS",
    "LEVEL2_SURFACE_TEMPERATURE_PARAMETERS",
)

Groups = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Mtl:
    """What a metadata file says: text by group and key."""

    path: Path
    groups: Groups

    def get(self, group: str, key: str) -> str | None:
        """Give a text, ``None`` where there is none."""
        return self.groups.get(group, {}).get(key) or None

    def where(self, group: str, key: str) -> str:
        """Name a field in messages."""
        return f"{self.path.name}, {group}/{key}"

    def text(self, group: str, key: str) -> str:
        """Give a text that must be there.

        Raises
        ------
        MetadataError
            If it is not.
        """
        found = self.get(group, key)
        if found is None:
            raise MetadataError("the metadata lack a field", where=self.where(group, key), got="nothing")
        return found

    def number(self, group: str, key: str) -> float:
        """Give a number that must be there.

        Raises
        ------
        MetadataError
            If it is not, or is no finite number.
        """
        return number(self.text(group, key), where=self.where(group, key))


def read_mtl(path: Path) -> Mtl:
    """Read one metadata file, by its suffix.

    Raises
    ------
    AssetError
        If it cannot be read or is no XML.
    MetadataError
        If it is malformed or cut off, holds one key twice, or is not of Collection 2.
    HostileInputError
        If it is too large, or declares XML entities.
    """
    readers: dict[str, Callable[[Path], dict[str, dict[str, dict[str, str]]]]] = {
        ".txt": _from_text,
        ".json": _from_json,
        ".xml": _from_xml,
    }
    found = readers[path.suffix.lower()](path)
    if list(found) != [ROOT]:
        raise MetadataError(
            "this is no metadata of Landsat Collection 2",
            where=path.name,
            expected=ROOT,
            got=", ".join(found)[:120] or "nothing",
            todo="download the Collection 2 Level-2 product",
        )
    return Mtl(path, found[ROOT])


def settle(paths: Sequence[Path]) -> tuple[Mtl, tuple[Path, ...], tuple[str, ...]]:
    """Read the metadata files of one product: any one suffices; those that can be read must say the same.

    Returns
    -------
    Mtl
        What all of them say together.
    tuple of Path
        Those that could be read.
    tuple of str
        Notes on files that cannot be read.

    Raises
    ------
    TerraCubeError
        If none can be read, one is hostile, or two contradict each other.
    """
    read: list[Mtl] = []
    failed: list[AssetError | MetadataError] = []
    for path in paths:
        try:
            read.append(read_mtl(path))
        except (AssetError, MetadataError) as error:
            failed.append(error)
    if not read:
        raise failed[0] if failed else AssetError("the product has no metadata file (MTL)", expected="*_MTL.txt")
    merged = {group: dict(keys) for group, keys in read[0].groups.items()}
    for other in read[1:]:
        for group, key, told in _items(other.groups):
            mine = merged.setdefault(group, {}).setdefault(key, told)
            if group in _USED and not _same(mine, told) and not key.startswith("FILE_NAME_METADATA"):
                raise MetadataError(
                    "the metadata files of the product contradict each other",
                    where=f"{read[0].path.name} and {other.path.name}, {group}/{key}",
                    expected=mine[:80],
                    got=told[:80],
                    todo="delete the file that is wrong",
                )
    return Mtl(read[0].path, merged), tuple(each.path for each in read), tuple(f"not used: {error}" for error in failed)


def _same(one: str, other: str) -> bool:
    if one.strip() == other.strip():
        return True
    try:
        return math.isclose(float(one), float(other), rel_tol=1e-9)
    except ValueError:
        return False


def _items(groups: Groups) -> Iterator[tuple[str, str, str]]:
    for group, keys in groups.items():
        for key, value in keys.items():
            yield group, key, value


def _malformed(path: Path, where: str, got: str) -> MetadataError:
    return MetadataError("the metadata file is malformed", where=f"{path.name}, {where}", got=got[:80])


def _put(keys: dict[str, str], key: str, value: str, where: tuple[Path, str]) -> None:
    if keys.setdefault(key, value) != value:
        raise _malformed(*where, f"{key} twice, with different values")


def _from_text(path: Path) -> dict[str, dict[str, dict[str, str]]]:
    """Parse lines of ``KEY = VALUE`` between ``GROUP = name`` and ``END_GROUP = name``, up to ``END``."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    stack: list[str] = []
    for line_number, line in enumerate(read_text(path, limit=_LIMIT).split("\n"), start=1):
        where = f"line {line_number}"
        key, equals, value = (part.strip() for part in line.strip().partition("="))
        if key == "END" and not equals and not stack:
            return found
        if not key and not equals:
            continue
        if not equals or not _KEY.fullmatch(key):
            raise _malformed(path, where, repr(line))
        _take(found, stack, key, value.strip('"').strip(), (path, where))
    raise MetadataError(
        "the metadata file is cut off",
        where=path.name,
        expected="END",
        got="the end of the file",
        todo="download it again",
    )


def _take(
    found: dict[str, dict[str, dict[str, str]]], stack: list[str], key: str, value: str, where: tuple[Path, str]
) -> None:
    """Open a group, close one, or keep a key of the innermost."""
    if key == "GROUP":
        if len(stack) >= _MAX_DEPTH or not _KEY.fullmatch(value):
            raise _malformed(*where, f"GROUP = {value}")
        stack.append(value)
        found.setdefault(stack[0], {})
    elif key == "END_GROUP":
        if not stack or stack.pop() != value:
            raise _malformed(*where, f"END_GROUP = {value}")
    elif len(stack) < 2:
        raise _malformed(*where, f"{key} in no group")
    else:
        _put(found[stack[0]].setdefault(stack[-1], {}), key, value, where)


def _from_json(path: Path) -> dict[str, dict[str, dict[str, str]]]:
    found: dict[str, dict[str, dict[str, str]]] = {}
    for root, groups in read_json(path).items():
        if not isinstance(groups, dict) or not all(isinstance(keys, dict) for keys in groups.values()):
            raise _malformed(path, root[:80], "no object of groups")
        found[root] = {
            group: {key: _scalar(path, key, value) for key, value in keys.items()} for group, keys in groups.items()
        }
    return found


def _scalar(path: Path, key: str, value: object) -> str:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value).strip()
    raise _malformed(path, key[:80], repr(value)[:80])


def _from_xml(path: Path) -> dict[str, dict[str, dict[str, str]]]:
    root = read_xml(path, limit=_LIMIT)
    found: dict[str, dict[str, str]] = {}
    for group in root:
        for element in group:
            if len(element):
                raise _malformed(path, f"{group.tag}/{element.tag}", "elements in it")
            _put(
                found.setdefault(str(group.tag), {}),
                str(element.tag),
                (element.text or "").strip(),
                (path, str(group.tag)),
            )
    return {str(root.tag): found}
