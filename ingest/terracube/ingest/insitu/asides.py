"""Which files of a folder are no measurements: the notes, licences and pictures that lie beside them."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from terracube.core.errors import TerraCubeError
from terracube.ingest.insitu.formats import tables
from terracube.ingest.insitu.formats._common import head, text_head
from terracube.ingest.insitu.mapping import Mapping
from terracube.ingest.insitu.read import recognised
from terracube.ingest.insitu.textfiles import DELIMITERS, records

_NAMES = re.compile(
    r"(read[-_ ]?me|licen[cs]e)(\W.*|_.*)?|copying|notice|sources?|citation|changes|changelog|authors|contributors"
)
_NOTES = frozenset(
    {
        *(".md", ".rst", ".pdf", ".html", ".htm", ".doc", ".docx", ".odt", ".rtf", ".tex", ".bib", ".cff", ".log"),
        *(".yaml", ".yml", ".toml", ".ini", ".json", ".xml", ".xsd", ".py", ".r", ".sh", ".ipynb", ".md5", ".sha256"),
        *(".png", ".jpg", ".jpeg", ".gif", ".svg", ".tif", ".tiff"),
    }
)
#: Endings that nothing but measurements has here: such a file is refused if it is broken, wherever it lies.
_MEASUREMENTS = frozenset(
    {
        *(".nc", ".nc4", ".cdf", ".rdb", ".dia", ".noos", ".tenv3", ".pos"),
        *(".csv", ".tsv", ".tab", ".xlsx", ".xlsm", ".ods", ".gpkg"),
    }
)
_HEAD_BYTES = 1 << 16
_LINES = 1000


def is_aside(path: Path, mapping: Mapping | None) -> bool:
    """Tell whether a file that nobody named is there for people to read, and not for its measurements.

    What some reader knows by its content, and what has an ending of measurements, never is. Of the rest it is what has
    the name or the ending of a note, text that is no table, and, unless a mapping says what files are, all else.

    Parameters
    ----------
    path : Path
        A file of a folder or an archive.
    mapping : Mapping
        How the files are read, if one was given.
    """
    suffix = path.suffix.lower()
    if suffix in _MEASUREMENTS or recognised(path) not in (None, tables):
        return False
    if suffix in _NOTES or _NAMES.fullmatch(path.stem.casefold()):
        return True
    if suffix in tables.KINDS:
        return tables.KINDS[suffix] == "csv" and not _is_table(path, mapping)
    return mapping is None


def _is_table(path: Path, mapping: Mapping | None) -> bool:
    """Tell whether a text has columns, or numbers in most of its lines; what has zero bytes in it may have."""
    text = text_head(path, _HEAD_BYTES)
    if not text:
        return bool(head(path, 1))
    start = max(mapping.layout.header - 1, 0) if mapping is not None else 0
    lines = [line for line in text.splitlines()[start:] if line.strip()][:_LINES]
    if 2 * sum(any(sign.isdecimal() for sign in line) for line in lines) > len(lines):
        return True
    return any(_usual_width("\n".join(lines), delimiter) > 1 for delimiter in DELIMITERS)


def _usual_width(text: str, delimiter: str) -> int:
    """Number of cells that most rows have; 0 if no number is that of most."""
    try:
        rows = records(text, delimiter, _LINES)
    except TerraCubeError:
        return 0
    width, count = Counter(len(row) for row in rows).most_common(1)[0] if rows else (0, 0)
    return width if 3 * count > 2 * len(rows) else 0
