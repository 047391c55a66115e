"""Text of nomenclatures: bounded reading of their files, labels as words, names and colours for labels."""

from __future__ import annotations

import colorsys
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from terracube.core.errors import AssetError, HostileInputError, MetadataError

_MOST_BYTES = 1 << 20
_DEEPEST, _LONGEST = 8, 100_000
# What PyYAML raises, beside ValueError: the last ones for a tag that does not fit its value, like "!!bool x".
_NO_YAML = (yaml.YAMLError, ValueError, RecursionError, OverflowError, TypeError, LookupError, AttributeError)


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a small YAML or JSON file that holds a mapping; see `load_nomenclature` for the errors."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or str(error)
        raise AssetError("cannot read the nomenclature", where=str(path), got=told) from error
    if len(raw) > _MOST_BYTES:
        raise HostileInputError("the nomenclature is too large", where=str(path), expected=f"<= {_MOST_BYTES} bytes")
    return parsed(raw, str(path))


def parsed(raw: bytes, where: str) -> dict[str, Any]:
    """Give the mapping that a text holds: JSON if its name ends so, else YAML."""
    try:
        text = raw.decode("utf-8-sig")
        if where.lower().endswith(".json"):
            value = json.loads(text)
        else:
            _measure(text, where)
            value = yaml.safe_load(text)
    except _NO_YAML as error:
        kind = "JSON" if where.lower().endswith(".json") else "YAML"
        told = " ".join(str(error).split())[:200]
        raise MetadataError(f"the nomenclature is no {kind}", where=where, got=told) from error
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise MetadataError("the nomenclature is no mapping", where=where, expected="name, version, title, classes")
    return value


def _measure(text: str, where: str) -> None:
    """Refuse YAML that fills the memory when it is made: measured from its events, before anything is made."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > _DEEPEST or count > _LONGEST:
            raise HostileInputError(
                "the nomenclature is too deep or too long, or refers to itself",
                where=where,
                expected=f"no aliases, at most {_DEEPEST} levels and {_LONGEST} values",
            )


def label_text(label: Any) -> str:
    """Give a label as text; empty if it is missing."""
    if label is None or (isinstance(label, float | np.floating) and not np.isfinite(label)):
        return ""
    if isinstance(label, float | np.floating) and float(label).is_integer():
        return str(int(label))
    return str(label).strip() if str(label) not in ("<NA>", "NaT") else ""


def word(label: Any) -> str:
    """Give a label in the form in which labels are compared."""
    return label_text(label).casefold()


def short(label: Any) -> str:
    """Give a label for a message."""
    return label_text(label)[:60] or "nothing"


def slugs(words: list[str]) -> list[str]:
    """Give a name that differs from all others for each word."""
    found: list[str] = []
    taken: set[str] = set()
    for first, one in enumerate(words, start=1):
        at = first
        slug = re.sub(r"[^0-9A-Za-z_-]+", "_", one).strip("_")[:56] or f"class_{first}"
        while slug.casefold() in taken:
            slug = f"{slug[:56]}_{at}"
            at += 1
        taken.add(slug.casefold())
        found.append(slug)
    return found


def hue(at: int, count: int) -> str:
    """Give one of ``count`` colours: hues at equal steps, in turns light and dark so that neighbours differ."""
    red, green, blue = colorsys.hsv_to_rgb(at / count, 0.75, 0.95 if at % 2 == 0 else 0.65)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
