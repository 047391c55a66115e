"""Records of runs: what was asked, what came of it, what was left out and why. One JSON each, also of failures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from terracube.core.digest import sha256_of
from terracube.core.files import write_text

FOLDER = ".records"


def write_record(root: Path, kind: str, facts: Mapping[str, Any]) -> Path:
    """Write a record below a catalogue and give its path.

    The name is the time and a digest of the content, so that records sort by time and never overwrite each other.
    """
    now = datetime.now(UTC)
    content = {"kind": kind, "time": now.isoformat(timespec="milliseconds"), **facts}
    path = root / FOLDER / f"{now:%Y%m%dT%H%M%S%f}-{kind}-{sha256_of(content)[:8]}.json"
    write_text(path, json.dumps(content, indent=2) + "\n")
    return path


def write_manifest(root: Path, kind: str, lines: Iterable[Mapping[str, Any]]) -> Path:
    """Write what became of each input of a run, one JSON object per line, and give the file's path."""
    now = datetime.now(UTC)
    told = [json.dumps(line, ensure_ascii=False) for line in lines]
    path = root / FOLDER / f"{now:%Y%m%dT%H%M%S%f}-{kind}-{sha256_of(told)[:8]}.jsonl"
    write_text(path, "".join(f"{line}\n" for line in told))
    return path
