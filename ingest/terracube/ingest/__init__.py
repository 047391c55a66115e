"""Ingest: what agencies and field teams deliver becomes analysis-ready files with STAC items, or is refused.

Names are imported when they are first asked for: the descriptions of sources are read without the readers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from terracube.ingest.pipeline import ingest
    from terracube.ingest.report import Entry, IngestReport, Refusal
    from terracube.ingest.sources import Source, load_source, source_names

_HOMES = {
    "Entry": "report",
    "IngestReport": "report",
    "Refusal": "report",
    "Source": "sources",
    "ingest": "pipeline",
    "load_source": "sources",
    "source_names": "sources",
}

__all__ = ["Entry", "IngestReport", "Refusal", "Source", "ingest", "load_source", "source_names"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
