"""The door to a catalogue: a folder that holds items, their assets, and an embedded index of both.

Layout of the folder::

    CATALOG/
      catalog.json                         STAC catalogue: walkable with any STAC reader
      catalog.sqlite                       index (searches, what is registered); can be rebuilt from the files
      <collection>/collection.json         STAC collection
      <collection>/<item id>/<item id>.json and the assets of the item
      <collection>/<item id>.<8 digits>/   the same, after the item was replaced
      .staging/, .trash/                   not yet, or no longer, part of the catalogue

What holds at every moment, also after a crash: a registered item has all its assets, because its folder is complete
and flushed to the disk before one rename brings it to its place, and only then is it registered, in one transaction.
A folder that is not registered is no product. The JSON files above and beside a changed item follow the index; what a
crash left undone there is done by the next change, or by :meth:`Catalog.gc`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pystac

from terracube.core.errors import ConflictError, InputError, NotFoundError, TerraCubeError
from terracube.core.files import remove, safe_name, storage_error
from terracube.stac import _publish, _rebuild, _static
from terracube.stac._staging import empty, fresh_folder, left_overs, move_to_trash
from terracube.stac._verify import problems
from terracube.stac.layout import COLLECTION_FILE, DATABASE, STAGING, checked_name, item_folder
from terracube.stac.query import Query
from terracube.stac.records import Record, dump, to_item
from terracube.stac.stores.sqlite import SqliteStore

_COUNTING = threading.Lock()


class Catalog:
    """Items and collections in one folder. Get one from :meth:`create` or :meth:`open`.

    Several processes may use one catalogue at once; an instance may be shared between threads and pickled.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     catalog = Catalog.create(Path(folder) / "catalogue")
    ...     catalog.count(Query())
    0
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._store = SqliteStore(root / DATABASE)
        self._batches = 0

    @classmethod
    def create(cls, root: Path, *, title: str = "TerraCube catalogue") -> Catalog:
        """Create a catalogue in a new or empty folder, or open the one that is there.

        Raises
        ------
        ConflictError
            If the folder holds something else.
        VersionError, IntegrityError
            If the catalogue there cannot be used; see :meth:`open`.
        StorageError
            If the disk refuses.
        """
        root = root.resolve()
        try:
            root.mkdir(parents=True, exist_ok=True)
            foreign = not (root / DATABASE).exists() and any(root.iterdir())
        except OSError as error:
            raise storage_error(error, root) from error
        if foreign:
            raise ConflictError(
                "the folder is not empty and holds no catalogue",
                where=str(root),
                todo=_rebuild.hint(root) or "choose a new or empty folder",
            )
        catalog = cls(root)
        catalog._store.initialise(title)
        catalog._flush()
        return catalog

    @classmethod
    def open(cls, root: Path | str) -> Catalog:
        """Open the catalogue in a folder.

        Raises
        ------
        NotFoundError
            If there is none.
        VersionError
            If a newer TerraCube wrote it.
        IntegrityError
            If its database is damaged; :meth:`recover` makes a new one.
        """
        root = Path(root).resolve()
        if not (root / DATABASE).is_file():
            raise NotFoundError(
                "there is no catalogue in this folder",
                where=str(root),
                expected=DATABASE,
                todo=_rebuild.hint(root) or f"create one: terracube init {root}",
            )
        catalog = cls(root)
        catalog._store.check()
        return catalog

    @classmethod
    def recover(cls, root: Path) -> tuple[Catalog, _rebuild.Rebuilt]:
        """Make a new index for a catalogue whose database is damaged or lost; the old one is kept beside it.

        No other process may use the catalogue meanwhile.

        Raises
        ------
        NotFoundError
            If the folder holds no collections either.
        """
        root = root.resolve()
        if not any(root.glob(f"*/{COLLECTION_FILE}")):
            raise NotFoundError("the folder holds no collections", where=str(root), expected=f"*/{COLLECTION_FILE}")
        _rebuild.set_aside(root)
        catalog = cls(root)
        catalog._store.initialise(_rebuild.former_title(root))
        return catalog, catalog.rebuild()

    @property
    def root(self) -> Path:
        """The folder, as an absolute path."""
        return self._root

    def collections(self) -> list[pystac.Collection]:
        """Give all collections, sorted by id; see :meth:`get_collection`."""
        with self._store.read() as transaction:
            names = transaction.collection_ids()
        return [self.get_collection(name) for name in names]

    def add_collection(self, collection: pystac.Collection) -> None:
        """Add a collection, or change the description of one that is there; the same again changes nothing.

        Links to other places are kept; its extent is kept until there are items, and then follows them.

        Raises
        ------
        HostileInputError, ConflictError, MetadataError
            If its id cannot be a folder of the catalogue, or it cannot be written as JSON.
        """
        checked_name(collection.id, what="collection id")
        document = _static.collection_document(collection)
        with self._store.write() as transaction:
            if transaction.put_collection(collection.id, document):
                transaction.add_pending([("catalog", "", ""), ("collection", collection.id, "")])
        self._follow()

    def get_collection(self, collection: str) -> pystac.Collection:
        """Give a collection, with the extent of its items and without links to them.

        Raises
        ------
        NotFoundError
            If there is none of that id.
        """
        with self._store.read() as transaction:
            document = _static.with_extent(transaction.collection(collection), transaction)
        href = str(self._root / collection / COLLECTION_FILE)
        return pystac.Collection.from_dict(document, href=href, migrate=False, preserve_dict=False)

    def search(self, query: Query) -> list[pystac.Item]:
        """Find items, sorted by time (first moment), then id.

        Each item's self href is the absolute path of its JSON file, so the absolute hrefs of its assets and links
        can be asked for. Build the query with :func:`terracube.stac.to_query`.
        """
        return [to_item(record, self._root) for record in self._store.search(query)]

    def count(self, query: Query) -> int:
        """Count, exactly, all items that match; a limit in the query does not matter."""
        return self._store.count(query)

    def get(self, item_id: str, collection: str | None = None) -> pystac.Item:
        """Give one item.

        Raises
        ------
        NotFoundError
            If there is none of that id (in that collection).
        ConflictError
            If several collections hold one, and none was named.
        """
        return to_item(self._record(item_id, collection), self._root)

    def find(self, item_id: str, collection: str) -> pystac.Item | None:
        """Give one item, or ``None``."""
        found = self._store.find(item_id, collection)
        return to_item(found[0], self._root) if found else None

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[Path]:
        """Give an empty folder to write an item's assets into; what is left of it afterwards is removed.

        Raises
        ------
        HostileInputError
            If the name cannot be a file name.
        StorageError
            If the disk refuses.
        """
        folder = fresh_folder(self._root, safe_name(name, what="staging name"))
        try:
            yield folder
        finally:
            remove(folder)

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Write the static files once at the end of the block, not after each change in it."""
        with _COUNTING:
            self._batches += 1
        try:
            yield
        finally:
            with _COUNTING:
                self._batches -= 1
            self._follow()

    def publish(
        self, item: pystac.Item, staged: Path, *, replace: bool = False, updates: Sequence[pystac.Item] = ()
    ) -> pystac.Item:
        """Make a finished item part of the catalogue: all of it at once, or, on any error, nothing.

        Parameters
        ----------
        item : pystac.Item
            Its local assets have hrefs relative to the item's folder (``./red.tif``) and lie in ``staged``; remote
            hrefs are kept as they are. Sizes and checksums that are missing are filled in. Links to ``root``,
            ``parent``, ``collection`` and ``self`` are written by the catalogue, others are kept. Not changed.
        staged : Path
            A folder from :meth:`stage`. It becomes the item's folder.
        replace : bool
            Take the place of a registered item of the same id; links to it follow.
        updates : sequence of pystac.Item
            Registered items with changed links or properties, which are rewritten in the same step
            (see :func:`terracube.stac.link_versions`).

        Returns
        -------
        pystac.Item
            The item as it now is in the catalogue.

        Raises
        ------
        ConflictError
            If the id is registered and ``replace`` is false.
        NotFoundError
            If the collection, or an item to update, is not in the catalogue.
        HostileInputError, MetadataError, AssetError, IntegrityError
            If a name, a time, a place or an asset of the item is unusable.
        StorageError
            If the disk refuses.
        """
        self._check_staged(staged)
        document = _publish.complete(_publish.prepare(item, self._root), staged)
        changed = [_publish.prepare(one, self._root) for one in updates]
        _publish.seal(document, staged)
        record, done = None, False
        try:
            with self._store.write() as transaction:
                folder = _publish.choose_folder(transaction, document, replace=replace)
                record = Record(document["collection"], item.id, folder, dump(document, where=item.id))
                _publish.place(self._root, staged, item_folder(self._root, record.collection, folder))
                _publish.register(transaction, record)
                for one in changed:
                    _publish.update(transaction, one, new=record)
            done = True
        finally:
            # After an interrupt, whose moment is unknown, it is the index that says whether it was done.
            if record is not None and not done:
                with contextlib.suppress(TerraCubeError):
                    _publish.sweep(self._root, self._store, record)
        self._follow()
        return self.get(item.id, record.collection)

    def remove(self, item_id: str, collection: str | None = None, *, force: bool = False) -> None:
        """Remove an item and its files. Its neighbours in a chain of versions become each other's neighbours.

        Raises
        ------
        NotFoundError
            If there is none.
        ConflictError
            If other items are derived from it (named in the message), unless forced; or if the id is ambiguous.
        """
        record = self._record(item_id, collection)
        with self._store.write() as transaction:
            current = transaction.record(record.collection, record.id)
            if current is not None:
                _publish.unregister(transaction, current, force=force)
        self._follow()

    def gc(self) -> list[Path]:
        """Remove what no item needs, and finish what a crash left undone; give the paths that were removed.

        That is: staging folders of processes that no longer run (of other hosts: untouched for a day), item folders
        that are not registered, trash, and half-written files.
        """
        _static.flush(self._root, self._store)
        removed = []
        for path in left_overs(self._root):
            empty(path)
            if not path.exists():
                removed.append(path)
        with self._store.write() as transaction:
            orphans = _rebuild.unregistered(self._root, transaction)
            swept = [move_to_trash(self._root, path) for path in orphans]
        for path in swept:
            empty(path)
        return [*removed, *orphans]

    def verify(self, item: pystac.Item, *, assets: Iterable[str] | None = None) -> list[str]:
        """Compare an item's files with what it says of them: existence, size, sha256; remote assets are left out.

        Parameters
        ----------
        item : pystac.Item
            As it came out of the catalogue.
        assets : iterable of str
            Keys of the assets to look at; all unless given.

        Returns
        -------
        list of str
            One sentence per problem; empty = all is as recorded.
        """
        return problems(item, assets=None if assets is None else set(assets))

    def rebuild(self) -> _rebuild.Rebuilt:
        """Make the index anew from the item files.

        Only complete items are taken. Of several folders of one item, the one that the collection's file names is
        taken, else the youngest.

        Returns
        -------
        Rebuilt
            How many items are registered now, and which folders were left out, and why.
        """
        self._flush()
        with self._store.write() as transaction:
            done = _rebuild.rebuild(self._root, transaction)
        self._flush()
        return done

    def _record(self, item_id: str, collection: str | None) -> Record:
        found = self._store.find(item_id, collection)
        if not found:
            raise NotFoundError(
                "the catalogue has no such item",
                where=str(self._root),
                expected=f"an item of collection {collection}" if collection else "",
                got=item_id[:200],
                todo="look it up: terracube search",
            )
        if len(found) > 1:
            names = ", ".join(record.collection for record in found)
            raise ConflictError(
                "several collections hold an item of this id", where=item_id, got=names, todo="name the collection"
            )
        return found[0]

    def _check_staged(self, staged: Path) -> None:
        if not staged.is_dir() or staged.resolve().parent != self._root / STAGING:
            raise InputError(
                "the folder to publish is not a staging folder of this catalogue",
                where=str(staged),
                expected=f"a folder below {self._root / STAGING}",
                todo="write the assets into the folder that stage() gives",
            )

    def _follow(self) -> None:
        if self._batches == 0:
            self._flush()

    def _flush(self) -> None:
        _static.flush(self._root, self._store)
