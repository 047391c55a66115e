"""What was read, what was not and why: kept while blocks are computed, wherever they are computed.

A block runs in a thread of this process, in another process of this machine, or on another host. Its notes find their
way back through memory, through a private folder that all processes of this machine see, or as events of the Dask
scheduler. They hold ids and reasons, never an address with a token.
"""

from __future__ import annotations

import atexit
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from threading import Lock

from terracube.core.errors import InputError

_TOPIC = "terracube-ledger"
_lock = Lock()
_notes: dict[str, set[Note]] = {}
# A forked child inherits the module, so the process id is part of the name.
_PROCESS = secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that a block has to tell."""

    item: str
    asset: str
    reason: str = ""
    """Why something is missing; empty for an asset of which pixels were read."""


@dataclass(frozen=True, slots=True)
class Channel:
    """How the notes of a cube come back to the process that asked for it."""

    key: str
    """Digest of the cube."""
    owner: str = field(default_factory=lambda: f"{_PROCESS}-{os.getpid()}")
    folder: str = field(default_factory=lambda: str(_folder()))

    def tell(self, notes: Iterable[Note]) -> None:
        """Keep what a block has to tell; the same note twice counts once."""
        told = set(notes)
        if not told:
            return
        if self.owner == f"{_PROCESS}-{os.getpid()}":
            with _lock:
                _notes.setdefault(self.key, set()).update(told)
        elif Path(self.folder).is_dir():
            self._write(told)
        else:
            self._send(told)

    def gather(self) -> tuple[Note, ...]:
        """Give all notes so far, sorted."""
        with _lock:
            found = set(_notes.get(self.key, ()))
        found.update(self._written(), self._sent())
        return tuple(sorted(found, key=lambda note: (note.item, note.asset, note.reason)))

    def _write(self, notes: set[Note]) -> None:
        path = Path(self.folder) / f"{self.key}-{os.getpid()}.jsonl"
        lines = "".join(json.dumps(asdict(note)) + "\n" for note in notes)
        with _lock, path.open("a", encoding="utf-8") as stream:
            stream.write(lines)

    def _written(self) -> Iterator[Note]:
        for path in sorted(Path(self.folder).glob(f"{self.key}-*.jsonl")):
            for line in path.read_text(encoding="utf-8").splitlines():
                yield Note(**json.loads(line))

    def _send(self, notes: set[Note]) -> None:
        from distributed import get_worker

        told = [asdict(note) for note in sorted(notes, key=lambda note: (note.item, note.asset))]
        get_worker().log_event(_TOPIC, {"key": self.key, "notes": told})

    def _sent(self) -> Iterator[Note]:
        from distributed import get_client

        try:
            client = get_client()
        except ValueError:  # there is no cluster
            return
        for _, event in client.get_events(_TOPIC):
            if event.get("key") == self.key:
                yield from (Note(**note) for note in event["notes"])


@cache
def _folder_of(pid: int) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=f"terracube-ledger-{pid}-"))
    atexit.register(_remove, folder, pid)
    return folder


def _folder() -> Path:
    return _folder_of(os.getpid())


def _remove(folder: Path, pid: int) -> None:
    # A forked child must not remove the folder of its parent when it ends.
    if pid == os.getpid():
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Report:
    """What a cube was made of: asked for, read so far, missing and why.

    Before anything is computed, ``read`` and ``failed`` are empty; ask again afterwards.
    """

    asked: tuple[str, ...]
    """Ids of the items of the cube, in order of time."""
    left_out: tuple[Note, ...]
    """Items that could not be used at all, known before any pixel was read."""
    failed: tuple[Note, ...]
    """What could not be read: a whole asset, or single tiles of it."""
    read: tuple[tuple[str, str], ...]
    """Item and asset of everything of which pixels were read."""

    @property
    def complete(self) -> bool | None:
        """Whether nothing is missing that should be there; ``None`` where nothing was read that this process knows."""
        if self.left_out or self.failed:
            return False
        return True if self.read else None

    def as_dict(self) -> dict[str, object]:
        """Give plain JSON values."""
        return {
            "asked": list(self.asked),
            "left_out": [asdict(note) for note in self.left_out],
            "failed": [asdict(note) for note in self.failed],
            "read": [list(pair) for pair in self.read],
        }

    def __str__(self) -> str:
        told = f"{len(self.asked)} items, {len(self.read)} assets read"
        lines = [told if self.read or self.failed else f"{len(self.asked)} items; nothing read yet by this process"]
        lines += [f"left out  {note.item}: {note.reason}" for note in self.left_out]
        lines += [f"missing   {note.item}/{note.asset}: {note.reason}" for note in self.failed]
        return "\n".join(lines)


def make_report(asked: Iterable[str], left_out: Iterable[Note], channel: Channel | None) -> Report:
    """Put together what is known of a cube now; without a channel, that is what its attributes say."""
    notes = () if channel is None else channel.gather()
    failed = tuple(note for note in notes if note.reason)
    read = tuple((note.item, note.asset) for note in notes if not note.reason)
    return Report(tuple(asked), tuple(left_out), failed, read)


def parse_left_out(told: object) -> tuple[Note, ...]:
    """Read the items that were left out from the attributes of a dataset.

    Raises
    ------
    InputError
        If they are not what :func:`terracube.cubes.load` wrote.
    """
    try:
        return tuple(Note(str(entry["id"]), "", str(entry["reason"])) for entry in told)  # type: ignore[attr-defined]
    except (KeyError, TypeError, IndexError) as error:
        raise InputError("the ledger of the dataset is not readable", got=repr(told)[:120]) from error
