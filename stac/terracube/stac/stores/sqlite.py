"""The embedded store: one SQLite file, no server, no extension beyond what ships with Python.

Several processes may read and write at once, also on a network disk as far as its locks work: transactions are
short, the journal is a rollback journal (write-ahead logging needs shared memory, which network disks lack), and a
writer waits for another up to a minute. Each operation opens its own connection, so a store may cross threads,
forks and pickles.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from terracube.core.errors import (
    ConflictError,
    IntegrityError,
    NotFoundError,
    StorageError,
    TerraCubeError,
    VersionError,
)
from terracube.stac._time import days, sortable
from terracube.stac.query import BBox, Query
from terracube.stac.records import Document, Index, Record, dump
from terracube.stac.stores._sql import BOXES_PER_ITEM, TABLES, where

FORMAT_VERSION = 1
_APPLICATION = 0x54435542  # "TCUB" in the file header: this SQLite file is a catalogue
_PATIENCE = 60.0  # seconds to wait for another process's transaction
# Statements are put together from constant pieces only; every value is a parameter.
_SELECT = "SELECT collection, id, folder, document FROM items WHERE "
_COUNT = "SELECT count(*) FROM items WHERE "
_IN_ORDER = " ORDER BY start_at, id, collection LIMIT ?"
_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

Pending = tuple[str, str, str]


@dataclass(frozen=True)
class SqliteStore:
    """Items and collections of one catalogue in one SQLite file."""

    path: Path
    """The file, as an absolute path."""

    def initialise(self, title: str) -> None:
        """Create the tables, unless they are there; safe against another process that does the same.

        Raises
        ------
        VersionError, IntegrityError
            If the file is there and is of a newer version, corrupt, or of another program.
        """
        with _connected(self.path, mode="rwc") as connection:
            connection.execute("BEGIN IMMEDIATE")
            if _is_empty(connection):
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                for statement in filter(str.strip, TABLES.split(";")):
                    connection.execute(statement)
                meta = [("format_version", str(FORMAT_VERSION)), ("title", title), ("longest_seconds", "0")]
                connection.executemany("INSERT INTO meta VALUES (?, ?)", meta)
                connection.execute("INSERT INTO pending VALUES ('catalog', '', '')")
            connection.execute("COMMIT")
        self.check()

    def check(self) -> None:
        """Refuse a file that this version cannot serve.

        Raises
        ------
        VersionError
            If a newer TerraCube wrote it.
        IntegrityError
            If it is corrupt, incomplete, or of another program.
        """
        with _connected(self.path) as connection:
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            if application != _APPLICATION:
                raise _broken(self.path, f"application id {application:#x}")
            found = connection.execute("SELECT value FROM meta WHERE key = 'format_version'").fetchone()
        version = str(found[0]) if found else "none"
        if not version.isdecimal():
            raise _broken(self.path, f"format version {version[:20]!r}")
        if int(version) > FORMAT_VERSION:
            raise VersionError(
                "the catalogue was written by a newer TerraCube",
                where=str(self.path),
                expected=f"format version <= {FORMAT_VERSION}",
                got=version,
                todo="install a newer TerraCube",
            )

    def search(self, query: Query) -> list[Record]:
        """Find items, sorted by first moment, then id, then collection."""
        limit = -1 if query.limit is None else query.limit
        with self.read() as transaction:
            return [Record(*row) for row in transaction.matching(_SELECT, query, _IN_ORDER, limit)]

    def count(self, query: Query) -> int:
        """Count all items that match, whatever the limit of the search."""
        with self.read() as transaction:
            ((count,),) = transaction.matching(_COUNT, query)
            return int(count)

    def find(self, item_id: str, collection: str | None = None) -> list[Record]:
        """Find the items of one id: at most one per collection, sorted by collection."""
        condition = "id = ? AND (? IS NULL OR collection = ?) ORDER BY collection"
        return self._records(_SELECT + condition, [item_id, collection, collection])

    def collections(self) -> dict[str, Document]:
        """Give the collections by id, sorted, as they were given (extents are not brought up to date)."""
        with self.read() as transaction:
            return {name: transaction.collection(name) for name in transaction.collection_ids()}

    def pending(self) -> bool:
        """Tell whether files have yet to follow the tables."""
        with self.read() as transaction:
            return bool(transaction.pending())

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Give one consistent view of the tables."""
        with _connected(self.path) as connection:
            connection.execute("BEGIN")
            yield Transaction(connection)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Change the tables: all that the block does, or, if it raises, nothing. One writer at a time."""
        with _connected(self.path) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield Transaction(connection)
            connection.execute("COMMIT")

    def _records(self, sql: str, parameters: Sequence[object]) -> list[Record]:
        with _connected(self.path) as connection:
            return [Record(*row) for row in connection.execute(sql, _texts(parameters))]


class Transaction:
    """What can be read and changed within one transaction of a :class:`SqliteStore`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def title(self) -> str:
        """Give the title of the catalogue."""
        return str(self._one("SELECT value FROM meta WHERE key = 'title'"))

    def matching(self, select: str, query: Query, order: str = "", *more: int) -> Iterable[tuple[Any, ...]]:
        """Run a SELECT of this module over the items that match."""
        longest = timedelta(seconds=float(str(self._one("SELECT value FROM meta WHERE key = 'longest_seconds'"))))
        condition, parameters = where(query, longest=longest)
        return self._connection.execute(select + condition + order, [*_texts(parameters), *more])

    def record(self, collection: str, item_id: str) -> Record | None:
        """Give one item, or ``None``."""
        return self._record("collection = ? AND id = ?", collection, item_id)

    def at(self, path: str) -> Record | None:
        """Give the item whose JSON lies at this path below the root, or ``None``."""
        collection, folder, _ = path.split("/")
        found = self._record("collection = ? AND folder = ?", collection, folder)
        return found if found is not None and found.path == path else None

    def places(self, collection: str) -> Iterator[tuple[str, str]]:
        """Give folder and id of each item of a collection, sorted by first moment, then id."""
        return self._connection.execute(
            "SELECT folder, id FROM items WHERE collection = ? ORDER BY start_at, id", (collection,)
        )

    def linking_to(self, path: str) -> list[tuple[str, Record]]:
        """Give every link to the item at this path: its relation, and the item that holds it."""
        rows = self._connection.execute(
            "SELECT rel, collection, id, folder, document FROM items JOIN links USING (item) WHERE target = ? "
            "ORDER BY collection, id",
            (path,),
        )
        return [(rel, Record(*row)) for rel, *row in rows]

    def put(self, record: Record, index: Index) -> None:
        """Register an item, in place of the one of the same collection and id if there is one."""
        self.delete(record.collection, record.id)
        start, end = sortable(index.start), sortable(index.end)
        values = (record.collection, record.id, record.folder, index.digest, start, end, record.text)
        item = self._connection.execute(
            "INSERT INTO items (collection, id, folder, digest, start_at, end_at, document) VALUES (?,?,?,?,?,?,?)",
            values,
        ).lastrowid
        self._put_boxes(item or 0, index)
        links = ((item, rel, target) for rel, target in index.links)
        self._connection.executemany("INSERT INTO links VALUES (?, ?, ?)", links)
        seconds = (index.end - index.start).total_seconds()
        self._connection.execute(
            "UPDATE meta SET value = max(CAST(value AS REAL), ?) WHERE key = 'longest_seconds'", (seconds,)
        )

    def delete(self, collection: str, item_id: str) -> None:
        """Unregister an item, if it is there."""
        item = self._one("SELECT item FROM items WHERE collection = ? AND id = ?", collection, item_id)
        if item is None:
            return
        first = int(str(item)) * BOXES_PER_ITEM
        boxes = ((first + number,) for number in range(BOXES_PER_ITEM))
        self._connection.executemany("DELETE FROM boxes WHERE box = ?", boxes)
        self._connection.execute("DELETE FROM links WHERE item = ?", (item,))
        self._connection.execute("DELETE FROM items WHERE item = ?", (item,))

    def clear(self) -> None:
        """Unregister everything."""
        self._connection.execute("DELETE FROM boxes")
        self._connection.execute("DELETE FROM links")
        self._connection.execute("DELETE FROM items")
        self._connection.execute("DELETE FROM collections")
        self._connection.execute("DELETE FROM pending")

    def collection_ids(self) -> list[str]:
        """Give the ids of the collections, sorted."""
        return [row[0] for row in self._connection.execute("SELECT id FROM collections ORDER BY id")]

    def collection(self, name: str) -> Document:
        """Give a collection as it was given.

        Raises
        ------
        NotFoundError
            If there is none of that id.
        """
        text = self._one("SELECT document FROM collections WHERE id = ?", name)
        if text is None:
            raise NotFoundError(
                "the catalogue has no such collection",
                where=name[:200],
                expected=", ".join(self.collection_ids()[:20]) or "none yet",
                todo="check the name, or add the collection",
            )
        return Record("", name, "", str(text)).document()

    def put_collection(self, name: str, document: Document) -> bool:
        """Add or change a collection; tell whether that changed anything."""
        text = dump(document, where=name)
        if self._one("SELECT document FROM collections WHERE id = ?", name) == text:
            return False
        self._connection.execute("INSERT OR REPLACE INTO collections VALUES (?, ?)", (name, text))
        return True

    def extent(self, collection: str) -> tuple[BBox | None, tuple[str, str] | None]:
        """Give the box and the period that hold all items of a collection; ``None`` without any."""
        west, south, east, north = self._connection.execute(
            "SELECT min(w), min(s), max(e), max(n) FROM boxes JOIN items ON item = box / ? WHERE collection = ?",
            (BOXES_PER_ITEM, collection),
        ).fetchone()
        start, end = self._connection.execute(
            "SELECT min(start_at), max(end_at) FROM items WHERE collection = ?", (collection,)
        ).fetchone()
        return None if west is None else (west, south, east, north), None if start is None else (start, end)

    def folders(self, collection: str) -> set[str]:
        """Give the folders of the registered items of a collection."""
        rows = self._connection.execute("SELECT folder FROM items WHERE collection = ?", (collection,))
        return {row[0] for row in rows}

    def owner(self, collection: str, folder: str) -> str | None:
        """Give the id of the item that is registered with a folder, or ``None``."""
        found = self._one("SELECT id FROM items WHERE collection = ? AND folder = ?", collection, folder)
        return None if found is None else str(found)

    def pending(self) -> list[Pending]:
        """List the files that must follow the tables: kind, collection, name."""
        return list(
            self._connection.execute("SELECT kind, collection, name FROM pending ORDER BY kind, collection, name")
        )

    def add_pending(self, jobs: Iterable[Pending]) -> None:
        """Note files that must follow the tables."""
        self._connection.executemany("INSERT OR IGNORE INTO pending VALUES (?, ?, ?)", jobs)

    def drop_pending(self, jobs: Iterable[Pending]) -> None:
        """Note that files have followed."""
        self._connection.executemany("DELETE FROM pending WHERE kind = ? AND collection = ? AND name = ?", jobs)

    def _put_boxes(self, item: int, index: Index) -> None:
        times = (days(index.start), days(index.end))
        rows = (
            (item * BOXES_PER_ITEM + number, west, east, south, north, *times, west, east, south, north)
            for number, (west, south, east, north) in enumerate(index.boxes)
        )
        self._connection.executemany("INSERT INTO boxes VALUES (?,?,?,?,?,?,?,?,?,?,?)", rows)

    def _record(self, condition: str, *parameters: str) -> Record | None:
        row = self._connection.execute(_SELECT + condition, _texts(parameters)).fetchone()
        return None if row is None else Record(*row)

    def _one(self, sql: str, *parameters: str) -> object:
        row = self._connection.execute(sql, _texts(parameters)).fetchone()
        return None if row is None else row[0]


@contextmanager
def _connected(path: Path, *, mode: str = "rw") -> Iterator[sqlite3.Connection]:
    """Open the file (mode rw never creates one); closing rolls back what was not committed."""
    try:
        uri = f"{path.as_uri()}?mode={mode}"
        connection = sqlite3.connect(uri, uri=True, timeout=_PATIENCE, isolation_level=None)
        try:
            yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise _told(error, path) from error


def _is_empty(connection: sqlite3.Connection) -> bool:
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return int(tables) == 0


def _texts(parameters: Iterable[object]) -> list[object]:
    # A text that is no Unicode (a lone surrogate) names nothing in the catalogue; SQLite would refuse it.
    return [p.encode("utf-8", "replace").decode() if isinstance(p, str) else p for p in parameters]


def _told(error: sqlite3.Error, path: Path) -> TerraCubeError:
    """Say in our words what SQLite refused."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in _CORRUPT or "no such table" in str(error) or "no such column" in str(error):
        return _broken(path, str(error))
    if code == sqlite3.SQLITE_CONSTRAINT:
        return ConflictError("two items claim the same place in the catalogue", where=str(path), got=str(error))
    todo = "free space, check the rights on the file, or wait for the other process"
    return StorageError("the catalogue could not be read or written", where=str(path), got=str(error), todo=todo)


def _broken(path: Path, got: str) -> IntegrityError:
    return IntegrityError(
        "the catalogue's database is damaged, incomplete, or no catalogue at all",
        where=str(path),
        expected="a TerraCube catalogue",
        got=got,
        todo="rebuild it from the item files: Catalog.recover(root)",
    )
