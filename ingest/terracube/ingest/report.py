"""What became of each delivery of an ingest."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Refusal:
    """A candidate that was not taken in."""

    path: str
    id: str
    reason: str


@dataclass(frozen=True)
class Entry:
    """One line of the manifest of a run."""

    input: str
    """Path, or archive and path inside, or address."""
    id: str
    outcome: str
    """``taken``, ``already``, ``replaced``, ``refused``; of a dry run what would become of it."""
    reason: str = ""
    """Why it was refused, or why its quality is doubtful."""
    quality: str = ""
    """``accepted``, ``suspect``, ``rejected``; empty where it was not measured."""
    sha256: str = ""
    """Digest of what was delivered."""
    bytes: int = 0
    """Size of the delivered files that were read."""
    seconds: float = 0.0
    """Time of writing and checking it."""


@dataclass
class IngestReport:
    """What became of each candidate."""

    taken: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=dict)
    quality: dict[str, list[str]] = field(default_factory=dict)
    """Ids of what is suspect or rejected, by verdict."""
    left_out: int = 0
    """Rows of measurements that could not be used; each is told in the issues beside the data."""
    entries: list[Entry] = field(default_factory=list)
    """The manifest: one entry per delivery and refusal."""

    def as_dict(self) -> dict[str, Any]:
        """Give plain JSON values; the manifest apart (see :meth:`lines`)."""
        refused = [{"path": r.path, "id": r.id, "reason": r.reason} for r in self.refused]
        lists = {"taken": self.taken, "already": self.already, "replaced": self.replaced}
        return {**lists, "refused": refused, "notes": self.notes, "quality": self.quality, "left_out": self.left_out}

    def lines(self) -> list[dict[str, Any]]:
        """Give the manifest as JSON objects."""
        return [asdict(entry) for entry in self.entries]

    def refuse(self, path: str, item_id: str, reason: str, *, sha256: str = "", size: int = 0) -> None:
        """Put a delivery among those that did not come in."""
        self.refused.append(Refusal(path, item_id, reason))
        self.entries.append(Entry(path, item_id, "refused", reason, sha256=sha256, bytes=size))

    def finished(self) -> IngestReport:
        """Put all in order, and say of a refused delivery that another one has its id."""
        there = {*self.taken, *self.already, *self.replaced}
        self.refused = [
            replace(gone, reason=f"{gone.reason}; another scene with the same id is taken")
            if gone.id in there
            else gone
            for gone in self.refused
        ]
        for names in (self.taken, self.already, self.replaced, *self.quality.values()):
            names.sort()
        self.refused.sort(key=lambda refusal: (refusal.path, refusal.id, refusal.reason))
        self.entries.sort(key=lambda entry: (entry.input, entry.id, entry.outcome))
        self.notes = dict(sorted(self.notes.items()))
        self.quality = dict(sorted(self.quality.items()))
        return self
