"""Settings: where things are. Environment variables never say what is computed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Places, read once at the door and handed down."""

    data: Path
    """Folder of real scenes that tests and demonstrations may read (``TERRACUBE_DATA``)."""
    schemas: Path
    """Folder that mirrors the addresses of JSON schemas (``TERRACUBE_SCHEMAS``)."""
    scratch: Path | None
    """Folder for intermediate files; ``None`` = beside the product (``TERRACUBE_SCRATCH``)."""


def settings() -> Settings:
    """Read the places from the environment, with defaults beside the working folder.

    Examples
    --------
    >>> settings().data.name
    'data'
    """
    shared = Path("..") / "shared"
    scratch = os.environ.get("TERRACUBE_SCRATCH")
    return Settings(
        data=Path(os.environ.get("TERRACUBE_DATA", shared / "data")),
        schemas=Path(os.environ.get("TERRACUBE_SCHEMAS", shared / "schemas")),
        scratch=Path(scratch) if scratch else None,
    )
