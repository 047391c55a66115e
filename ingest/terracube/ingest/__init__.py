"""Ingest: what agencies deliver becomes analysis-ready files with STAC items, or is refused with a reason."""

from terracube.ingest.candidates import Candidate, find_candidates
from terracube.ingest.pipeline import IngestReport, Refusal, ingest

__all__ = ["Candidate", "IngestReport", "Refusal", "find_candidates", "ingest"]
